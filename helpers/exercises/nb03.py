"""The exercise of notebook 03: pause a trigger for a release, and lose nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .. import recorder
from ..checks import Verdict, almost, exercise, not_yet, yes
from ..errors import is_missing
from ..guard import own_part
from . import evidence

if TYPE_CHECKING:
    import pandas

    from ..lab import Lab

ORDERS = 20
"""How many orders come during the release."""
TIMEOUT = 60
"""Seconds that a run of the repaired version may last."""
PAUSED = 60.0
"""Seconds that every order has to wait at least; `trade` lets ten minutes pass."""

_BUTTON = "`Enabled=False` is the pause button"
_RAISE = "Raise the queue's visibility first: Lambda compares the two when a mapping is made or changed."
_SAFE_FACTOR = 6


@exercise(
    "03-pause",
    hints=[
        "A trigger has one setting that stops it and keeps it. Which call changes a trigger that is there?",
        "`follow(lambda_.update_event_source_mapping(UUID=invoices.uuid, Enabled=False))` pauses it and waits until "
        "it is `Disabled`. Then call `trade()`. If Lambda refuses to start it again, read the two numbers it names.",
        "While it is paused: `set_queue_attributes` with a VisibilityTimeout of 360, and then `resources.function(lab, "
        '"invoices", source=repaired, timeout=60)`. At the end `Enabled=True`.',
    ],
)
def pause(lab: Lab, *, queue: str, function: str) -> Verdict:
    """Look for orders that waited and were handled once by the repaired version, by the trigger that was there."""
    sqs = lab.client("sqs")
    url = sqs.get_queue_url(QueueName=lab.name(queue.rpartition("/")[2].rpartition(":")[2]))["QueueUrl"]
    tags = sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
    depth, made = evidence.depth(lab, queue), evidence.made(lab, queue)
    if depth is None or made is None or "trigger" not in tags:
        return not_yet(f"`{queue}` has no tag `trigger`: run the cell above the exercise first.")
    timeout = lab.client("lambda").get_function_configuration(FunctionName=lab.name(own_part(function)))["Timeout"]
    log = lab.recorder(queue=queue, since=made)
    table = recorder.messages(log)
    if len(table) < ORDERS:
        return not_yet(
            f"{len(table)} orders came to this queue, and {ORDERS} shall: pause the trigger, then call `trade()`."
        )
    if problem := _lost(lab, log, table, depth, queue, function):
        return almost(problem)
    mapping = evidence.mapping(lab, queue, function)
    if mapping is None:
        return almost(
            f"There is no trigger between the queue and `{function}` now. {_safe(table)}, but its settings are gone: "
            f"{_BUTTON}. Connect the two again."
        )
    if problem := _stopped(mapping, depth, timeout, table):
        return almost(problem)
    if timeout < TIMEOUT:
        return almost(
            f"The function's timeout is {timeout} s, and the repaired version may need {TIMEOUT}: deploy it with that."
        )
    if depth.visibility_timeout < timeout:
        return almost(
            f"The queue hides a message for {depth.visibility_timeout} s, and a run may last {timeout} s. Nobody "
            "refused that, because Lambda compares the two only when a mapping is made or changed. Raise the queue's "
            "visibility."
        )
    left = int(table["end"].isin(["delayed", "waiting", "in flight"]).sum())
    if left:
        return almost(f"The trigger is Enabled, and {left} of {len(table)} orders are still to be handled: wait.")
    if int(table["runs"].max()) > 1:
        return almost(f"An order was run {int(table['runs'].max())} times; each shall be handled once.")
    if mapping["UUID"] != tags["trigger"]:
        size = mapping["BatchSize"]
        batch = f", and its batch size is {size} where the old one's was 1" if size != 1 else ""
        return almost(f"{_safe(table)}, but the new mapping is a new UUID{batch}; {_BUTTON}. Start over and use it.")
    delay = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])["Attributes"]["DelaySeconds"]
    waited = max(0.0, float(table["first_wait_s"].min()) - int(delay))
    if waited < PAUSED:
        late = f", after the {delay} s by which the queue now delays each order" if int(delay) else ""
        return almost(
            f"{_safe(table)}, but an order was taken {waited:.1f} s after it came{late}: the trigger was not paused. "
            "Start over, and call `trade()` while it is Disabled."
        )
    return yes(_praise(lab, table, depth, timeout, function))


def _lost(
    lab: Lab, log: pandas.DataFrame, table: pandas.DataFrame, depth: evidence.Depth, queue: str, function: str
) -> str:
    """Say how orders were lost or tried in vain, or nothing when they were not."""
    ours = log[log["message"].isin(table.index)]
    purged = int((ours["outcome"] == "purged").sum())
    queued = int(table["end"].isin(["waiting", "in flight"]).sum())
    dead = int((table["end"] == "dead").sum())
    # A real account's recorder sees no receive without a run, nor what such receives lead to.
    allowed, letters = evidence.dead_letters(lab, queue)
    unrecorded = max(0, letters - dead)
    if purged or (queued and not depth.visible + depth.in_flight and not unrecorded):
        return (
            f"{purged or queued} of {len(table)} orders are gone: a purge deletes what waits, nobody handled it, and "
            "no dead-letter queue has it. A pause needs no empty queue: it keeps the orders for later. Start over."
        )
    throttled = ours.loc[ours["event"] == "throttled", "message"].nunique()
    unseen = int(((table["end"] == "dead") & (table["runs"] == 0)).sum())
    reserved = lab.client("lambda").get_function_concurrency(FunctionName=lab.name(own_part(function)))
    if throttled or unseen or unrecorded or reserved.get("ReservedConcurrentExecutions") == 0:
        return (
            "With reserved concurrency 0 the trigger goes on receiving, and each receive counts: orders were received "
            f"up to {int(table['attempts'].max()) or allowed} times without a run, and {max(dead, letters)} of "
            f"{len(table)} are dead letters. "
            f"{_BUTTON}: it stops the receiving. Start over."
        )
    failed = int((table["failures"] > 0).sum())
    if failed:
        return (
            f"{failed} of {len(table)} orders met the old version, {int(table['failures'].sum())} runs failed, and "
            f"{dead} orders are dead letters: the trigger was polling when they came. Pause it, wait until it is "
            "Disabled, and only then call `trade()`. Start over."
        )
    if dead:
        return f"{dead} of {len(table)} orders are dead letters: received too often. Start over."
    return ""


def _stopped(mapping: dict[str, Any], depth: evidence.Depth, timeout: int, table: pandas.DataFrame) -> str:
    """Say why a trigger does not poll, or nothing when it does."""
    if mapping["State"] == "Enabled":
        return ""
    waiting = f"{len(table)} orders wait safely"
    if mapping["State"] == "Disabled" and depth.visibility_timeout < timeout:
        return (
            f"The trigger is Disabled, {waiting}, and Lambda refuses to start it: 'Queue visibility timeout: "
            f"{depth.visibility_timeout} seconds is less than Function timeout: {timeout} seconds'. {_RAISE}"
        )
    return (
        f"The trigger is {mapping['State']}, and {waiting}. Once the repaired version is there, `Enabled=True` starts "
        "it again; give it the time to become Enabled."
    )


def _safe(table: pandas.DataFrame) -> str:
    done = int((table["end"] == "done").sum())
    return f"Messages are safe: {done} of {len(table)} orders are handled, and none is lost"


def _praise(lab: Lab, table: pandas.DataFrame, depth: evidence.Depth, timeout: int, function: str) -> str:
    text = (
        f"{len(table)} orders waited {table['first_wait_s'].min() / 60:.0f} minutes or longer, and each was handled "
        f"once by the repaired version. The queue hides a message for {depth.visibility_timeout} s, a run may last "
        f"{timeout} s."
    )
    if depth.visibility_timeout < _SAFE_FACTOR * timeout:
        text += f" AWS recommends {_SAFE_FACTOR} times the timeout, here {_SAFE_FACTOR * timeout} s."
    if "sqs.amazonaws.com" in _policy(lab, function):
        text += " You also allowed SQS to call it. Not wrong, not needed: nobody pushes here, the role reads."
    return text


def _policy(lab: Lab, function: str) -> str:
    from botocore.exceptions import ClientError

    try:
        return json.dumps(lab.client("lambda").get_policy(FunctionName=lab.name(own_part(function)))["Policy"])
    except ClientError as problem:
        if not is_missing(problem):
            raise
        return ""
