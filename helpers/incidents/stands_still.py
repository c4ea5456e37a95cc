"""A group stands still: a poison message at the head of a FIFO group, without a dead-letter queue (rows C105, B30)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import messages, recorder, resources
from ..catch_up import Pipeline
from ..checks import Verdict, almost, not_yet, yes
from . import trial
from .drill import Drill, Scene

if TYPE_CHECKING:
    from ..lab import Lab

_QUEUE = "ledger.fifo"
_ACCOUNTS = ("1001", "1002", "1003")
_EACH = 5
_BEHIND = 3
_HIDDEN = 30
_SOURCE = """
import json


def handler(event, context):
    for record in event["Records"]:
        entry = json.loads(record["body"])
        amount = round(float(entry["amount"]), 2)
        print(json.dumps({"account": entry["account"], "entry": entry["entry"], "amount": amount}))
"""


def build(lab: Lab) -> Scene:
    """Put a bad entry into one account's line."""
    queue = resources.queue(lab, _QUEUE)
    function = resources.function(lab, "ledger", source=_SOURCE)
    trigger = resources.trigger(lab, queue=queue, function=function, batch_size=1)
    began = lab.now()
    entries = [entry for number in range(1, _EACH + 1) for entry in (_entry(who, number) for who in _ACCOUNTS)]
    entries[4]["amount"] = "ten"
    _send(queue, entries)
    trial.let_pass(lab, 900, "traffic comes")
    table = recorder.messages(lab.recorder(queue=_QUEUE, since=began))
    runs, errors = trial.counted(lab, ["Invocations", "Errors"], began, function="ledger")
    symptoms = [
        (f"account {who}", f"{_EACH} entries sent, {int((rows['end'] == 'done').sum())} booked")
        for who, rows in table.groupby("group")
    ]
    symptoms += [
        ("messages in ledger.fifo", str(trial.held(lab, _QUEUE))),
        ("Invocations, Errors of ledger", f"{runs}, {errors}"),
    ]
    parts = Pipeline(queue, None, function, trigger, _SOURCE)
    return Scene(parts, symptoms, {"began": began}, errors)


def check(lab: Lab) -> Verdict:
    """Send a bad entry with good ones behind it, and good ones of another account."""
    fresh = trial.Fresh(lab, _QUEUE)
    blocked, other = (f"{who}-{fresh.first}" for who in ("2001", "2002"))
    bad = {**_entry(blocked, 2), "amount": "ten"}
    behind = [_entry(blocked, number) for number in range(3, 3 + _BEHIND)]
    entries = [_entry(blocked, 1), bad, *behind, *(_entry(other, number) for number in (1, 2))]
    fresh.send(entries, group=lambda entry: entry["account"], deduplication=_id)
    fresh.settle(900)
    table = fresh.table()
    ends = table["end"].tolist()
    flow, poison, rest = ends[2 : 2 + _BEHIND], ends[1], [ends[0], *ends[2 + _BEHIND :]]
    booked = flow.count("done")
    seen = f"Behind a fresh bad entry {booked} of {_BEHIND} good ones of its account were booked in 15 minutes"
    kept = trial.attributes(lab, _QUEUE)
    if "dead" in flow + rest:
        return almost(
            f"{(flow + rest).count('dead')} good entries died with the bad one: they were in its batch. Set BatchSize "
            "to 1 again, or let the handler report which entry failed."
        )
    hidden, again = int(kept["VisibilityTimeout"]), int(table["runs"].drop(table.index[1]).max())
    if hidden < _HIDDEN and again > 1:
        return almost(
            f"Good entries were run up to {again} times: hidden for {hidden} s, an entry is back before its run is "
            f"over. Set VisibilityTimeout to {_HIDDEN} again: what blocks the account is one entry that fails."
        )
    if rest.count("done") < len(rest):
        return almost(
            f"{seen}, and of {len(rest)} entries that have nothing to do with it {rest.count('done')}: is the trigger "
            "Enabled?"
        )
    if expired := flow.count("expired"):
        return almost(
            f"{seen}, and {expired} were deleted for their age with it: `{_QUEUE}` keeps entries for "
            f"{kept['MessageRetentionPeriod']} s now. That takes the good ones, too: let only the bad one leave."
        )
    if booked < _BEHIND:
        count = trial.receives(kept)
        if count is not None:
            return almost(
                f"{seen}. The bad one may be received {count} times before it leaves, every "
                f"{kept['VisibilityTimeout']} s: too often for those who wait behind it."
            )
        if poison in trial.OPEN and _as_built(lab, kept):
            return not_yet(
                f"{seen}; the others wait for it. Taking away the one that you found helps until the next comes: what "
                "becomes of a message that fails however often it is tried?"
            )
        return almost(
            f"{seen}. Waiting longer or failing more politely does not help: nothing of its group is handed out "
            "before the bad entry has succeeded or left. Where can it go?"
        )
    if poison == "done" and not fresh.parked():
        return almost(
            f"{seen}, and the bad entry was deleted as if it had been booked: nobody will ever look at it. Send "
            "it to a queue where somebody does."
        )
    if poison == "dead" and table["runs"].iloc[1] < 2:
        return almost(
            f"{seen}, and the bad one left after one run. So does every good one that meets one bad moment, and what "
            "is behind it overtakes it: AWS recommends at least 5 receives."
        )
    where = "is a dead letter" if poison == "dead" else "is kept aside"
    return yes(
        f"{seen}, in their order, and the bad one {where}. What comes behind it has overtaken it: whoever books it "
        "later has to know that."
    )


def _entry(account: str, number: int) -> dict[str, Any]:
    return {"account": account, "entry": number, "amount": 10.0 * number}


def _id(entry: dict[str, Any]) -> str:
    return f"{entry['account']}-{entry['entry']}"


def _send(queue: resources.Queue, entries: list[dict[str, Any]]) -> None:
    messages.send_many(queue, entries, group=lambda entry: str(entry["account"]), deduplication=_id)


def _as_built(lab: Lab, kept: dict[str, str]) -> bool:
    (found,) = trial.triggers(lab, _QUEUE) or [{}]
    return kept["VisibilityTimeout"] == str(_HIDDEN) and not found.get("FunctionResponseTypes")


DRILL = Drill(
    "stands-still",
    "One account is not booked any more",
    "{reported} UTC, a customer: the last transfers to my account do not show, those to others do. Accounting "
    "confirms: since {began} hardly anything of this account was booked, the others are complete. The function "
    "reports errors, but then it always did report a few.",
    build,
    check,
    (
        "The queue is a FIFO queue, and the account is the message group. Which message of the group is tried, again "
        "and again?",
        "Everything of a group waits until the message before it has succeeded or left. Where may a message of this "
        "queue leave to?",
        "Make a dead-letter queue that is a FIFO queue, too, and name it in a `RedrivePolicy` of `ledger.fifo` with a "
        "`maxReceiveCount` of 5.",
    ),
)
