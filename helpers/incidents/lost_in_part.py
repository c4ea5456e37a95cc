"""Failures are reported and lost: the trigger does not ask for them (row C97)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from .. import messages, resources
from ..catch_up import ORDERS_IN_PART, Pipeline
from ..checks import Verdict, almost, not_yet, yes
from ..exercises import evidence
from . import trial
from .drill import Drill, Scene

if TYPE_CHECKING:
    from ..lab import Lab

_GOOD, _BAD = 8, 2
_BUILT_COUNT = 3


def build(lab: Lab) -> Scene:
    """Connect a handler that reports failures by a trigger that does not listen."""
    queue = resources.queue(lab, "stock", max_receive_count=_BUILT_COUNT)
    function = resources.function(lab, "stock", source=ORDERS_IN_PART)
    trigger = resources.trigger(lab, queue=queue, function=function, batch_size=10)
    began = lab.now()
    good = messages.orders(15, flawed=False)
    bad = [{key: value for key, value in one.items() if key != "price"} for one in messages.orders(5, flawed=False)]
    messages.send_many(queue, [*good, *bad])
    trial.let_pass(lab, 300, "traffic comes")
    runs, errors = trial.counted(lab, ["Invocations", "Errors"], began, function="stock")
    lines = Counter(line.split()[0] for run in evidence.runs(lab, "stock") for line in run.lines)
    symptoms = [
        ("items sent to stock", str(len(good) + len(bad))),
        ("lines of items counted in the log", str(lines["order"])),
        ("Invocations, Errors of stock", f"{runs}, {errors}"),
        ("in stock", str(trial.held(lab, "stock"))),
        ("in stock-dead-letters", str(trial.held(lab, "stock-dead-letters"))),
    ]
    return Scene(Pipeline(queue, None, function, trigger, ORDERS_IN_PART), symptoms, {"began": began}, errors)


def check(lab: Lab) -> Verdict:
    """Send items of which two are bad: the bad ones shall be kept, and no good one with them."""
    fresh = trial.Fresh(lab, "stock")
    bad = [{"order": fresh.first + _GOOD + number, "quantity": 1} for number in range(_BAD)]
    fresh.send([*bad, *fresh.orders(_GOOD)])
    fresh.settle(600)
    table = fresh.table()
    ends, good = table["end"].iloc[:_BAD], table.iloc[_BAD:]
    parked = fresh.parked()
    lost, dead = 0 if parked else int((ends == "done").sum()), int((ends == "dead").sum())
    with_them = int((good["end"] == "dead").sum())
    if lost:
        seen = f"{lost} of {_BAD} fresh bad items were deleted after {int(table['runs'].iloc[0])} run, and are nowhere"
        if any(one.get("FunctionResponseTypes") for one in trial.triggers(lab, "stock")):
            return almost(
                f"{seen}. The trigger reads what the handler returns now, and found none of them there: it wants "
                "`batchItemFailures`, a list with an `itemIdentifier` for each message that failed."
            )
        if _as_built(lab):
            return not_yet(
                f"{seen}. The handler returned their ids. Compare what it returns with what the trigger was told to do "
                "with that."
            )
        return almost(
            f"{seen}. The handler returns their ids, and without ReportBatchItemFailures the trigger does not read "
            "what a handler returns: a run that returns has handled everything. No setting of the queue changes that."
        )
    if with_them:
        return almost(
            f"The {dead} bad items are kept now, and {with_them} of {_GOOD} good ones died with them: a run that "
            "raises fails its whole batch. So does one that names an id which "
            "it was not given. Let the trigger keep only what the handler names."
        )
    if expired := int((table["end"] == "expired").sum()):
        return almost(
            f"{expired} of {_GOOD + _BAD} fresh items were deleted for their age, before anybody looked: let `stock` "
            "keep items for longer, and its redrive policy allow few receives."
        )
    if dead < (0 if parked else _BAD) or int((good["end"] == "done").sum()) < _GOOD:
        waiting = int(table["end"].isin(trial.OPEN).sum())
        return almost(
            f"{waiting} of {_GOOD + _BAD} fresh items are still in `stock` after ten minutes. Nothing is lost, and "
            "nothing is put aside: is the trigger Enabled, and does the redrive policy allow few receives?"
        )
    where = "are kept aside" if parked else "lie in `stock-dead-letters`"
    again = int((good["runs"] > 1).sum())
    twice = f" {again} good ones were run more than once." if again else ""
    return yes(
        f"{_GOOD} fresh good items are counted, and {_BAD} bad ones {where}.{twice} What was lost "
        "before is only in the log: its lines have the message ids."
    )


def _as_built(lab: Lab) -> bool:
    kept = trial.attributes(lab, "stock")
    found: list[dict[str, Any]] = trial.triggers(lab, "stock")
    return (
        trial.receives(kept) == _BUILT_COUNT
        and kept["VisibilityTimeout"] == "30"
        and [one["BatchSize"] for one in found] == [10]
    )


DRILL = Drill(
    "lost-in-part",
    "Items are missing, and nothing failed",
    "{reported} UTC, the warehouse: twenty items were scanned at {began}, and the stock list has fifteen. The "
    "team has no alarm, no error and no dead letter. The handler names every item that it cannot count, they say, and "
    "it has for a year. Last week the pipeline was set up anew, with the same code.",
    build,
    check,
    (
        "Search the function's log for the five: did they fail? And what did the run return then?",
        "Lambda deletes what a run has handled. Which setting of the trigger lets a run say that it has not handled "
        "all?",
        'Give the trigger `FunctionResponseTypes=["ReportBatchItemFailures"]` with `update_event_source_mapping`.',
    ),
)
