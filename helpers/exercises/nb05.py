"""The exercise of notebook 05: a dead-letter queue for the orders that no handler can add up."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .. import recorder
from ..checks import Verdict, almost, exercise, not_yet, yes
from ..errors import is_missing
from ..guard import own_part
from ..lab import spell

if TYPE_CHECKING:
    from ..lab import Lab

RECEIVES = 5
"""How often an order is to be tried, and the least that AWS recommends (row C93)."""

_TRIAL = timedelta(seconds=60)
_RETENTION = "MessageRetentionPeriod"
_JUST_A_QUEUE = "A dead-letter queue is just a queue until a redrive policy points at it."
_ASYNCHRONOUS = "That one is for asynchronous invokes; a trigger's failures follow the queue's redrive policy."
_TOO_FEW = f"AWS recommends at least {RECEIVES}."


@exercise(
    "05-dead-letters",
    hints=[
        "Two queues take part: one that is there, and one that you make. Which has to know the other?",
        "Section 3 made a queue with a `RedrivePolicy`; `set_queue_attributes` gives it to one that exists.",
        f"Put `RedrivePolicy` with the ARN and `maxReceiveCount` {RECEIVES} on orders, and a `MessageRetentionPeriod` "
        "above 345600 on the queue for the dead letters.",
    ],
)
def dead_letters(lab: Lab, *, queue: str, function: str) -> Verdict:
    """Look for a redrive policy, its numbers, and a flawed order that went its way while all others passed."""
    sqs = lab.client("sqs")
    name = queue.rpartition("/")[2].rpartition(":")[2]
    url = sqs.get_queue_url(QueueName=lab.name(name))["QueueUrl"]
    source = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    if "RedrivePolicy" not in source:
        return _without_policy(lab, name, url, function)
    policy = json.loads(source["RedrivePolicy"])
    receives = int(policy["maxReceiveCount"])
    if receives == 1:
        return almost(
            f"maxReceiveCount is 1. One failure of any kind, even a throttle, and the message is dead: {_TOO_FEW}"
        )
    if receives != RECEIVES:
        advice = f" {_TOO_FEW}" if receives < RECEIVES else ""
        return almost(
            f"maxReceiveCount is {receives}, and a bad order shall be tried {RECEIVES} times.{advice} "
            "Set it, and send the orders again."
        )
    target = policy["deadLetterTargetArn"].rpartition(":")[2]
    try:
        target_url = sqs.get_queue_url(QueueName=target)["QueueUrl"]
    except sqs.exceptions.ClientError as problem:
        if not is_missing(problem):
            raise
        return almost(f"The policy names `{target}`, and there is no such queue: a message cannot move. Make it.")
    kept = int(sqs.get_queue_attributes(QueueUrl=target_url, AttributeNames=["All"])["Attributes"][_RETENTION])
    if kept <= int(source[_RETENTION]):
        return almost(
            f"`{target}` keeps messages for {spell(kept)}, and `{name}` for {spell(int(source[_RETENTION]))}. A dead "
            "letter keeps its age, so little or nothing may be left to look at it: raise its MessageRetentionPeriod."
        )
    return _on_the_way(lab, name, target, int(source["LastModifiedTimestamp"]))


def _without_policy(lab: Lab, name: str, url: str, function: str) -> Verdict:
    sqs = lab.client("sqs")
    seen = f"`{name}` has no redrive policy"
    configuration = lab.client("lambda").get_function_configuration(FunctionName=lab.name(own_part(function)))
    target = configuration.get("DeadLetterConfig", {}).get("TargetArn", "").rpartition(":")[2]
    if target:
        return almost(f"The function has `{target}` in its DeadLetterConfig, and {seen}. {_ASYNCHRONOUS}")
    if sqs.list_dead_letter_source_queues(QueueUrl=url)["queueUrls"]:
        return almost(
            f"A redrive policy names `{name}`, and {seen} of its own: it belongs to the queue that fails. Set it "
            "there, and let it name the other queue."
        )
    others = [other for other in _queues(lab) if other != url and _stands_alone(sqs, other)]
    if others:
        return almost(f"There is a queue `{others[-1].rpartition('/')[2]}`, and {seen}. {_JUST_A_QUEUE}")
    return not_yet(f"{seen}: a bad order comes back until it is too old. Make a queue and a policy that names it.")


def _on_the_way(lab: Lab, name: str, target: str, changed: int) -> Verdict:
    table = recorder.messages(lab.recorder(queue=name))
    # What was sent under earlier settings belongs to an earlier attempt.
    table = table[table["sent"] >= datetime.fromtimestamp(changed, UTC)]
    failed = table[(table["failures"] > 0) & (table["end"] != "expired")]
    if failed.empty:
        return not_yet(
            f"The policy stands, and no message of `{name}` has failed since it was set: send the orders, with the "
            "trigger enabled."
        )
    waiting = int(table["end"].isin(["delayed", "waiting", "in flight"]).sum())
    last = failed.iloc[-1]
    if waiting:
        return almost(
            f"{waiting} of {len(table)} messages are still in `{name}`; the last one that failed was received "
            f"{int(last['attempts'])} times. Let time pass until each is done or dead, then check again."
        )
    if last["end"] != "dead" or int(last["attempts"]) != RECEIVES:
        return almost(
            f"The last order that failed is {last['end']} after {int(last['attempts'])} receives, and it shall be dead "
            f"after {RECEIVES}: it began under other settings. Send the orders again."
        )
    after = table[table["sent"] >= last["sent"] - _TRIAL]
    dead, done = int((after["end"] == "dead").sum()), int((after["end"] == "done").sum())
    if dead > 1 or not done:
        return almost(
            f"Of the last {len(after)} orders {dead} are dead and {done} are done; only the one without a price shall "
            "be dead. Is the trigger's batch size 1? A bad order takes its batch with it."
        )
    return yes(
        f"The bad order was tried {RECEIVES} times and lies in `{target}`; the {done} good ones passed, "
        "and nothing was lost."
    )


def _queues(lab: Lab) -> list[str]:
    pages = lab.client("sqs").get_paginator("list_queues").paginate(QueueNamePrefix=lab.prefix)
    return [url for page in pages for url in page.get("QueueUrls", [])]


def _stands_alone(sqs: Any, url: str) -> bool:
    """Return whether a queue neither has a redrive policy nor is named by one."""
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return "RedrivePolicy" not in attributes and not sqs.list_dead_letter_source_queues(QueueUrl=url)["queueUrls"]
