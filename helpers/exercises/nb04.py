"""The exercises of notebook 04: deliver a thousand orders in batches; choose a window for a slow day."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .. import recorder
from ..checks import Verdict, almost, exercise, not_yet, yes
from ..guard import own_part
from ..lab import spell
from . import evidence

if TYPE_CHECKING:
    import pandas

    from ..lab import Lab

ORDERS = 1_000
"""How many orders the first exercise delivers."""
REJECTED = {418: "InvalidParameterValue", 804: "InvalidMessageContents"}
"""The orders that SQS cannot take, and the code that it gives."""
MOST_REQUESTS = 105
"""In how many requests."""
SLOW_DAY = 55
"""How many orders a slow day has, one every two seconds."""
MOST_RUNS, LONGEST_HOLD = 20, 10.0
"""What the second exercise allows: runs, and seconds that an order is held back."""

_SLACK = 1.0
_QUEUED = ("delayed", "waiting", "in flight")
_LOOKS = 5


@exercise(
    "04-thousand",
    hints=[
        "Cut the thousand into slices of ten: `range(0, 1000, 10)` has their beginnings. Let an entry's `Id` be the "
        "order's number.",
        "`Failed` is there only when something failed: `answer.get('Failed', [])`. Each failure has `Id` and `Code`.",
        "For each failure send one message to `rejected`: the order's number and the code. Never its batch again.",
    ],
)
def thousand(lab: Lab, *, queue: str, rejected: str) -> Verdict:
    """Look for 998 orders in a queue, the requests that they took, and a report of the two others."""
    depth, reports = evidence.depth(lab, queue), _bodies(lab, rejected)
    made = evidence.made(lab, queue)
    if depth is None or made is None or reports is None:
        return not_yet("The two queues are not there yet: run the cells above first.")
    good = ORDERS - len(REJECTED)
    table = recorder.messages(lab.recorder(queue=queue, since=made))
    kept = table[table["end"].isin(_QUEUED)]
    held, requests = depth.visible + depth.in_flight, kept["sent"].nunique()
    if not held:
        return not_yet(f"The queue is empty, and {good} of the {ORDERS:,} orders can get there: send them in tens.")
    anew = "Make the queues anew with the cell above, then send each batch once."
    if held > ORDERS:
        return almost(
            f"There are {held:,} messages, and only {good} orders that SQS takes. The good orders of that batch are in "
            f"the queue twice now. {anew}"
        )
    if held > good:
        return almost(
            f"There are {held:,} messages, and SQS takes only {good} of these orders as they are: some were sent twice "
            f"or changed on the way. Report the others and leave them as they are. {anew}"
        )
    if held < good:
        return almost(
            f"{held} of {good} orders are in the queue: {good - held} good ones are missing. An entry that fails takes "
            f"no other with it, so go on after it. {anew}"
        )
    if requests > MOST_REQUESTS:
        return almost(
            f"All {good} are in the queue, and it took {requests} requests; {MOST_REQUESTS} are allowed: ten fit in "
            f"one `send_message_batch`. {anew}"
        )
    if not reports:
        return almost(
            f"{held} orders are in the queue and nobody heard of {len(REJECTED)}. The call succeeded, two entries did "
            "not: read `Failed`."
        )
    missing = [
        number
        for number, code in REJECTED.items()
        if not any(code in text and re.search(rf"\b{number}\b", text) for text in reports)
    ]
    if missing:
        return almost(
            f"`rejected` holds {_messages(len(reports))}, and none that names an order that failed (number "
            f"{missing[0]}, counted from 1, is one) with its code: send `Id` and `Code` of every entry of `Failed`."
        )
    named = ", ".join(f"{number} ({code})" for number, code in REJECTED.items())
    return yes(f"{held} orders in {requests} requests, and the other {len(REJECTED)} reported: {named}. None is lost.")


@exercise(
    "04-window",
    hints=[
        "One order every two seconds: how many come within a window of 4 seconds, how many within 10?",
        "`set_trigger(MaximumBatchingWindowInSeconds=…)` sets the window; then `slow_day()` plays the day.",
        f"At most {MOST_RUNS} runs for {SLOW_DAY} orders are about three orders a run. Nothing needs full batches.",
    ],
)
def window(lab: Lab, *, queue: str, function: str) -> Verdict:
    """Look for few runs since the trigger was last changed, and no order held back for long."""
    mapping = _mapping(lab, queue, function)
    if mapping is None:
        return not_yet(f"There is no trigger between `{queue}` and `{function}` yet: run the cells above first.")
    log = lab.recorder(queue=queue, since=mapping["LastModified"])
    sent = int((log["event"] == "sent").sum())
    if sent < SLOW_DAY:
        return not_yet(
            f"{sent} orders were sent since the trigger was last changed; a slow day has {SLOW_DAY}: set the window, "
            "then call `slow_day()`."
        )
    left = int((recorder.messages(log)["end"].isin(_QUEUED)).sum())
    if left:
        return not_yet(f"{_messages(left)} of the slow day not handled yet: wait, then check again.")
    runs, held = len(recorder.invocations(log)), _longest_hold(log)
    seconds = mapping["MaximumBatchingWindowInSeconds"]
    seen = f"{runs} runs for {sent} orders, and the longest wait of an order in a batch was {held:.0f} s"
    if held > LONGEST_HOLD + _SLACK:
        return almost(
            f"Fewer invocations, but an order now waits up to {_words(seconds)}. Seen: {seen}; allowed are "
            f"{spell(LONGEST_HOLD)}: a shorter window gives a little of the saving back."
        )
    if runs * SLOW_DAY > MOST_RUNS * sent:
        return almost(
            f"{seen[0].upper()}{seen[1:]}; at most {MOST_RUNS} for {SLOW_DAY} are wanted. The window is "
            f"{spell(seconds)} and the batch size {mapping['BatchSize']}: "
            + ("let a batch gather for longer." if mapping["BatchSize"] > 2 else "a batch has to have room for more.")
        )
    return yes(f"{seen[0].upper()}{seen[1:]}, with a window of {spell(seconds)}.")


def _bodies(lab: Lab, queue: str) -> list[str] | None:
    """Return the texts that a queue holds, each left visible; None when there is no such queue."""
    if evidence.depth(lab, queue) is None:
        return None
    sqs = lab.client("sqs")
    url = sqs.get_queue_url(QueueName=lab.name(queue.rpartition("/")[2].rpartition(":")[2]))["QueueUrl"]
    found: dict[str, str] = {}
    for _ in range(_LOOKS):
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        found |= {one["MessageId"]: one["Body"] for one in answer.get("Messages", [])}
    return list(found.values())


def _mapping(lab: Lab, queue: str, function: str) -> dict[str, Any] | None:
    wanted = lab.name(queue.rpartition("/")[2].rpartition(":")[2])
    answer = lab.client("lambda").list_event_source_mappings(FunctionName=lab.name(own_part(function)))
    found: list[dict[str, Any]] = answer["EventSourceMappings"]
    return next((one for one in found if one["EventSourceArn"].rpartition(":")[2] == wanted), None)


def _longest_hold(log: pandas.DataFrame) -> float:
    first = log[log["message"].notna()].groupby(["event", "message"])["time"].min()
    return float((first["invoked"] - first["received"]).max().total_seconds())


def _messages(number: int) -> str:
    return "1 message" if number == 1 else f"{number} messages"


def _words(seconds: int) -> str:
    return f"{seconds // 60} minutes" if seconds >= 120 and seconds % 60 == 0 else f"{seconds} seconds"
