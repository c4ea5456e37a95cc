"""The exercise of notebook 14: two settings and a trigger in one update of a stack, and no message lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import recorder, stacks
from ..checks import Verdict, almost, exercise, not_yet, yes
from . import evidence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import pandas

    from ..lab import Lab

ORDERS = 12
"""How many orders wait when an attempt begins."""
TIMEOUT, VISIBILITY = 90, 540
"""Seconds: what a run may take, and what AWS recommends for the queue then."""
BATCH = 10
"""The most orders of one run, which no answer needs to change."""

_FRESH = "Run the cell above the exercise again, and then your update."


@dataclass(frozen=True)
class _State:
    """What a stack is now: its status, its parts by logical id, and its events since a moment."""

    status: str
    parts: dict[str, str]
    events: pandas.DataFrame


@exercise(
    "14-together",
    hints=[
        "Which parameters of the template hold the two settings? And what becomes of one that `stacks.deploy` does not "
        "name?",
        "Lambda compares the queue's visibility with the function's timeout when a trigger is changed. Resources are "
        "changed in the order of the arrows, so one update with both values is in the right order.",
        f"`stacks.deploy(lab, 'bench', template, FunctionTimeout={TIMEOUT}, VisibilityTimeout={VISIBILITY})`; "
        "`TriggerEnabled` is true unless you name it.",
    ],
)
def together(lab: Lab, *, stack: str) -> Verdict:
    """Look at a stack, at both values as they are in force, and at what became of the orders that waited."""
    name = lab.name(stack)
    log = lab.recorder()
    table, sent = _waiting(log, name)
    if len(table) < ORDERS:
        return not_yet(f"{len(table)} of {ORDERS} orders wait for the stack `{stack}`: run the cell above first.")
    state = _look(lab, name, sent)
    if state is None:
        return not_yet(f"There is no stack `{stack}`. {_FRESH}")
    if state.status.endswith("_IN_PROGRESS"):
        return not_yet(f"The stack is {state.status}: wait until it has ended, then check again.")
    orders, worker = state.parts.get("Orders", ""), state.parts.get("Worker", "")
    if not orders or not worker:
        return almost(f"The stack has no Orders or no Worker any more: start from `template`. {_FRESH}")
    updates = int((state.events["status"][state.events["resource"] == name] == "UPDATE_IN_PROGRESS").sum())
    if problem := _undone(state, log, table, orders):
        return problem

    sqs, functions = lab.client("sqs"), lab.client("lambda")
    attributes = sqs.get_queue_attributes(QueueUrl=orders, AttributeNames=["All"])["Attributes"]
    visibility = int(attributes["VisibilityTimeout"])
    described = functions.get_function_configuration
    latest = described(FunctionName=worker)["Timeout"]
    live = described(FunctionName=worker, Qualifier="live")["Timeout"]
    mapping = functions.get_event_source_mapping(UUID=state.parts["Trigger"])
    trigger, left = mapping["State"], int((table["end"] != "done").sum())
    if left and not table["runs"].any() and _went_through(lab, attributes, worker):
        left = 0
    seen = f"a run may take {live} s, an order stays hidden for {visibility} s, and the trigger is {trigger}"
    if drifted := _drifted(lab, name):
        return almost(
            f"Now {seen}, but that is not what the stack says of {' and '.join(drifted)}. What is changed beside the "
            f"stack is drift, and a later update may undo it: change the parameters. {_FRESH}"
        )
    if not updates:
        return not_yet(
            f"The stack `{stack}` has not been updated: {seen}. {left} orders wait. Bring this stack to {TIMEOUT} s "
            f"and {VISIBILITY} s with one call of `stacks.deploy`."
        )
    if "RedrivePolicy" not in attributes:
        return almost(
            "The queue Orders names no dead-letter queue any more, so an order that fails comes back for days. A "
            "dead-letter queue is just a queue until a redrive policy points at it. Keep that part of the template."
        )
    if live != latest:
        return almost(
            f"The function's timeout is {latest} s, but `live` points at a version of {live} s: a version is a copy. "
            "Let the same update publish a new one, as the template's Version does."
        )
    if live < TIMEOUT:
        return almost(f"Now {seen}. A run needs up to {TIMEOUT} s: name FunctionTimeout as well.")
    if live > TIMEOUT:
        return almost(f"Now {seen}. A run needs no more than {TIMEOUT} s: lower FunctionTimeout.")
    if visibility < live:
        return almost(
            f"Now {seen}. Nobody refused that, because Lambda compares the two only when a trigger is made or changed. "
            f"Raise VisibilityTimeout to {VISIBILITY}."
        )
    if visibility < VISIBILITY:
        return almost(f"Now {seen}. AWS recommends six times the timeout, which is {VISIBILITY} s.")
    if trigger != "Enabled":
        return almost(f"Now {seen}, so {ORDERS} orders still wait: TriggerEnabled belongs into the update too.")
    if left:
        return almost(f"Now {seen}, and {left} of {ORDERS} orders are not handled yet: wait, then check again.")
    if mapping["BatchSize"] != BATCH:
        return almost(f"Now {seen}. But BatchSize is {mapping['BatchSize']}, and was {BATCH}: leave it out.")
    how = "one update" if updates == 1 else f"{updates} updates, where one would have done"
    return yes(
        f"The stack is {state.status}: {seen}, all of it in {how}. The {ORDERS} orders that waited were kept, and each "
        f"was handled{_in_runs(int(table['runs'].max()))}."
    )


def _went_through(lab: Lab, queue: Mapping[str, str], function: str) -> bool:
    """Return whether a queue is empty, and its dead-letter queue, after runs without an error.

    A real account's recorder does not know the messages of a template's function.
    """
    counts = ("", "NotVisible", "Delayed")
    if any(int(queue[f"ApproximateNumberOfMessages{count}"]) for count in counts):
        return False
    runs = evidence.runs(lab, function)
    return bool(runs) and not runs[-1].error and not evidence.dead_letters(lab, queue["QueueArn"])[1]


def _in_runs(most: int) -> str:
    return f" in {most} run{'' if most == 1 else 's'}" if most else ""


def _undone(state: _State, log: pandas.DataFrame, table: pandas.DataFrame, orders: str) -> Verdict | None:
    """Say why an update did not come through, or what it took with it; None when it did no harm."""
    reasons = state.events["reason"][state.events["reason"] != ""]
    if state.status == "UPDATE_ROLLBACK_COMPLETE" and len(reasons):
        said = str(reasons.iloc[-1])
        how = "Name both" if "visibility timeout" in said else "Change nothing else, and name both"
        return almost(
            f"The stack is {state.status}: AWS said '{said}', and everything was changed back. {how} values in the "
            f"same update: {TIMEOUT} s and {VISIBILITY} s."
        )
    if not state.status.endswith("_COMPLETE"):
        return almost(f"The stack is {state.status}: `stacks.events` shows why. {_FRESH}")
    ours = log[log["message"].isin(table.index)]
    gone = ours.loc[ours["outcome"] == "queue deleted", "message"].nunique()
    elsewhere = ours.loc[ours["event"] == "sent", "queue"].iloc[0] != orders.rpartition("/")[2]
    if gone or (elsewhere and not table["runs"].any()):
        return almost(
            f"A new name is a new queue: {gone or ORDERS} messages stayed in the old one and went with it. Leave "
            f"QueueName out. {_FRESH}"
        )
    return None


def _waiting(log: pandas.DataFrame, name: str) -> tuple[pandas.DataFrame, datetime | None]:
    """Return the fate of the orders that were sent last to a queue of the stack, and when the first of them was."""
    mine = log[(log["event"] == "sent") & log["queue"].astype(str).str.startswith(f"{name}-")].tail(ORDERS)
    if mine.empty:
        return recorder.messages(log.iloc[:0]), None
    return recorder.messages(log[log["message"].isin(mine["message"])]), _aware(mine["time"].min())


def _look(lab: Lab, name: str, since: datetime | None) -> _State | None:
    from botocore.exceptions import ClientError

    client = lab.client("cloudformation")
    try:
        stack = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as problem:
        if "does not exist" not in str(problem):
            raise
        return None
    parts = client.describe_stack_resources(StackName=name)["StackResources"]
    return _State(
        stack["StackStatus"],
        {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in parts},
        stacks.events(lab, name, since=since),
    )


def _drifted(lab: Lab, name: str) -> list[str]:
    look = lab.client("cloudformation").detect_stack_resource_drift
    found = {part: look(StackName=name, LogicalResourceId=part)["StackResourceDrift"] for part in ("Orders", "Worker")}
    return [part for part, drift in found.items() if drift["StackResourceDriftStatus"] == "MODIFIED"]


def _aware(moment: pandas.Timestamp) -> datetime:
    return (moment if moment.tzinfo else moment.tz_localize("UTC")).to_pydatetime()
