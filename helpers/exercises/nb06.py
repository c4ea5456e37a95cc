"""The exercise of notebook 06: every good order charged once, every bad one in the dead-letter queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .. import messages, recorder
from ..checks import Verdict, almost, exercise, not_yet, yes
from ..guard import own_part
from . import evidence

if TYPE_CHECKING:
    import pandas

    from ..lab import Lab
    from ..resources import Queue

BANK = '''\
"""A bank. It charges each time it is asked; for four orders it does not answer the first time."""

import os, uuid, boto3

DOWN_ONCE = {7, 71, 117, 171}
book, table = boto3.client("dynamodb"), os.environ["BANK"]

def charge(order):
    number, total = order["order"], order["price"] * order["quantity"]
    if number in DOWN_ONCE and write(f"asked about {number}"):
        raise ConnectionError("the bank does not answer")
    write(str(uuid.uuid4()), order={"N": str(number)}, total={"N": f"{total:.2f}"})

def write(key, **values):
    old = book.put_item(TableName=table, Item={"id": {"S": key}, **values}, ReturnValues="ALL_OLD")
    return "Attributes" not in old  # True for a new key'''
"""The module that goes into the function's zip file as `bank.py`."""

REPORTS = {
    "the right id, the messageId": '{"batchItemFailures": [{"itemIdentifier": "$ID"}]}',
    "an empty list": '{"batchItemFailures": []}',
    "null in place of the list": '{"batchItemFailures": null}',
    "an object without the key": "{}",
    "nothing at all (None)": "null",
    "a right id and an unknown one": '{"batchItemFailures": [{"itemIdentifier": "$ID"}, {"itemIdentifier": "1"}]}',
    "the receiptHandle as the id": '{"batchItemFailures": [{"itemIdentifier": "$HANDLE"}]}',
    "an empty text as the id": '{"batchItemFailures": [{"itemIdentifier": ""}]}',
    "messageId in place of itemIdentifier": '{"batchItemFailures": [{"messageId": "$ID"}]}',
    "a text, no object": '"one failed"',
    "no answer, but an exception": "no JSON",
}
"""What a handler may return, in words and as JSON."""

PLAY = """import json

def handler(event, context):
    first = event["Records"][0]
    text = first["body"].replace("$ID", first["messageId"])
    return json.loads(text.replace("$HANDLE", first["receiptHandle"]))
"""
"""A handler that returns what the first message of its batch asks for."""

ORDERS = 200
"""How many orders are sent: all the sample orders, of which six are bad."""

RESENT = 20
"""How many of them the producer sends a second time."""

_UNDO = "Undo the mark when the work fails, or set it after the work."
_LIST = "Return the messageId of each that failed, under `batchItemFailures`."
_REPORT = "ReportBatchItemFailures"


@exercise(
    "06-orders",
    hints=[
        "Two things go wrong: a bad order takes its batch with it, and an order that was sent twice is charged twice. "
        "Which section stopped which?",
        "Catch the exception of one record, and return its `messageId`; the trigger has to be told to read the list. "
        "Then ask the table `handled`, with the order's number, before you charge.",
        "If `bank.charge` raises, nothing was charged: whatever you wrote into `handled` before has to go again, "
        "by `delete_item`, or the retry finds the order done.",
    ],
)
def orders(lab: Lab, *, queue: str, function: str, bank: str, handled: str) -> Verdict:
    """Look at the two tables, the two queues and the trigger."""
    trigger = evidence.mapping(lab, queue, function)
    waiting = evidence.depth(lab, queue)
    buried = evidence.depth(lab, f"{own_part(queue)}-dead-letters")
    if trigger is None or waiting is None or buried is None:
        return not_yet(f"There is no trigger between `{queue}` and `{function}` yet: run the exercise's cell.")
    charged, dead = _charged(lab, bank), buried.visible + buried.in_flight
    if not charged and not dead:
        return not_yet(f"Nobody was charged, and no order is dead: deploy `{function}`, and let the orders come.")
    if left := waiting.visible + waiting.in_flight:
        return almost(f"{left} messages are still in `{queue}`. Let time pass until it is empty, then check again.")
    errors = [run.error for run in _latest(lab, function) if run.error]
    bad = messages.flaws()
    if not charged:
        said = f"with {errors[-1].rstrip('.')}. Mend that first." if errors else "so print what you catch, and read it."
        return almost(f"Nobody was charged, and {dead} messages are dead: the handler fails at every order, {said}")
    good = ORDERS - len(bad)
    missing = [number for number in range(1, ORDERS + 1) if number not in bad and number not in charged]
    if _REPORT not in (trigger.get("FunctionResponseTypes") or []):
        return _without_the_setting(dead, len(bad), len(missing))
    if not dead and not _retried(lab, queue, function):
        return almost(f"0 in the DLQ because you reported success: {len(missing) + len(bad)} orders are gone. {_LIST}")
    if not dead and missing:
        return almost(f"{_skipped(missing)} The {len(bad)} bad ones left in the same way. {_UNDO}")
    if dead > len(bad):
        extra = f"{dead} messages are dead, and only {len(bad)} orders are bad. "
        if errors:
            return almost(f"{extra}An exception fails the whole batch, with the setting on, too: catch it.")
        return almost(
            f"{extra}An unknown identifier fails the whole batch: use messageId. "
            "If you do: list only what failed, in the form of section 2."
        )
    if dead < len(bad):
        return almost(f"{dead} of the {len(bad)} bad orders are in the dead-letter queue: report every one that fails.")
    if missing:
        return almost(f"{_skipped(missing)} {_UNDO}")
    twice = sorted(number for number, times in charged.items() if times > 1)
    more = f"{len(twice)} orders were charged more than once"
    if not _items(lab, handled):
        return almost(
            f"{more}. `{handled}` is empty, and no other environment sees a handler's variables: "
            "write the number there."
        )
    if twice:
        return almost(
            f"{more}; one is number {twice[0]}, {charged[twice[0]]} times. "
            "What the producer sends again has a new messageId: use the order's number as the key."
        )
    return yes(f"{good} orders were charged once each, and the {dead} bad ones are in the dead-letter queue.")


def trade(shop: Queue) -> None:
    """Send all sample orders, some of them a second time, and let time pass until each has had its three receives.

    Parameters
    ----------
    shop : Queue
        As `resources.queue` returns it.
    """
    assert shop.lab is not None
    messages.send_many(shop, messages.orders(ORDERS))
    shop.lab.wait(45, f"until the producer, not sure, sends {RESENT} orders again")
    messages.send_many(shop, messages.orders(RESENT))
    shop.lab.wait(110, "for three receives and the move")


def play_all(play: Queue) -> pandas.DataFrame:
    """Let the handler `PLAY` return each of `REPORTS` for a batch of two messages.

    Parameters
    ----------
    play : Queue
        A queue with a trigger for `PLAY`, of batch size 2.

    Returns
    -------
    pandas.DataFrame
        A row for each report: how many of the two messages `come back`, and how many are `deleted`.
    """
    import pandas

    lab = play.lab
    assert lab is not None
    begun, name = lab.now(), own_part(play.name)
    reports: dict[str, str] = {}

    def all_ran() -> bool:
        runs = recorder.invocations(lab.recorder(queue=name, since=begun))
        return bool(runs.loc[runs["end"].notna(), "batch"].sum() >= len(reports))

    for words, text in REPORTS.items():
        reports |= dict.fromkeys(messages.send_many(play, [text, text]).sent.values(), words)
        lab.wait_until(all_ran, why="both messages have had their run")
    ends = recorder.messages(lab.recorder(queue=name, since=begun))["end"]
    table = pandas.crosstab(ends.index.map(reports), ends == "done").set_axis(["come back", "deleted"], axis=1)
    return table.reindex([*REPORTS]).rename_axis("the handler returns")


def _without_the_setting(dead: int, bad: int, missing: int) -> Verdict:
    lacks = "the mapping lacks FunctionResponseTypes"
    if not dead:
        return almost(
            f"Your list was ignored and all were deleted: {lacks}. {missing + bad} orders are in no queue, and never "
            "charged."
        )
    if dead > bad:
        return not_yet(
            f"{dead} messages are dead, and only {bad} orders are bad: each took its batch along, and {lacks}."
        )
    return almost(f"{dead} messages are dead, and {lacks}: without it a run succeeds or fails as a whole.")


def _skipped(missing: Sequence[int]) -> str:
    return (
        f"The retry was skipped: {len(missing)} orders are marked done and never charged. One is number {missing[0]}."
    )


def _retried(lab: Lab, queue: str, function: str) -> bool:
    since = datetime.fromtimestamp(evidence.changed(lab, function) or 0.0, UTC)
    return bool((recorder.messages(lab.recorder(queue=queue, since=since))["attempts"] > 1).any())


def _items(lab: Lab, table: str) -> list[dict[str, Any]]:
    pages = lab.client("dynamodb").get_paginator("scan").paginate(TableName=lab.name(table), ConsistentRead=True)
    return [item for page in pages for item in page["Items"]]


def _charged(lab: Lab, bank: str) -> Counter[int]:
    return Counter(int(item["order"]["N"]) for item in _items(lab, bank) if "order" in item)


def _latest(lab: Lab, function: str) -> list[evidence.Run]:
    since = evidence.changed(lab, function) or 0.0
    return [run for run in evidence.runs(lab, function) if run.started >= since]
