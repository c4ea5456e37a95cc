"""Valid orders in the dead-letter queue, and no error anywhere: a cap on the function (rows C81, C94)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import messages, recorder, resources
from ..catch_up import Pipeline
from ..checks import Verdict, almost, not_yet, yes
from ..exercises import evidence
from . import trial
from .drill import Drill, Scene

if TYPE_CHECKING:
    import pandas

    from ..lab import Lab

CALLS = 2
"""How many calls the bank takes at once."""

_FRESH = 12
_MANY = 20
_SOURCE = """
import json
import time


def handler(event, context):
    for record in event["Records"]:
        order = json.loads(record["body"])
        amount = order["price"] * order["quantity"]
        time.sleep(0.12)  # the bank
        print(json.dumps({"paid": order["order"], "amount": amount}))
"""


def build(lab: Lab) -> Scene:
    """Cap the function and send a burst that finds it busy."""
    queue = resources.queue(lab, "payments", visibility_timeout=1, max_receive_count=1)
    function = resources.function(lab, "payments", source=_SOURCE, timeout=1)
    trigger = resources.trigger(lab, queue=queue, function=function, batch_size=1)
    lab.client("lambda").put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    orders = messages.orders(11, flawed=False)
    began = lab.now()
    messages.send_many(queue, orders[:1])
    trial.let_pass(lab, 240, "traffic comes")
    messages.send_many(queue, orders[1:])
    trial.let_pass(lab, 180, "traffic comes")
    runs, errors = trial.counted(lab, ["Invocations", "Errors"], began, function="payments")
    lines = sum(bool(run.error) for run in evidence.runs(lab, "payments"))
    symptoms = [
        ("orders sent to payments", str(len(orders))),
        ("Invocations of payments", str(runs)),
        ("Errors of payments", str(errors)),
        ("errors in its log", str(lines)),
        ("in payments-dead-letters", f"{trial.held(lab, 'payments-dead-letters')} orders, each of them valid"),
    ]
    return Scene(Pipeline(queue, None, function, trigger, _SOURCE), symptoms, {"began": began}, errors)


def check(lab: Lab) -> Verdict:
    """Send a burst with one bad order in it: who died, how many calls were under way, where did the bad one end."""
    fresh = trial.Fresh(lab, "payments")
    fresh.send([*fresh.orders(_FRESH), {"order": fresh.first + _FRESH, "quantity": 1}])
    fresh.settle(300)
    table, log = fresh.table(), fresh.log()
    good, bad = table.iloc[:_FRESH], table.iloc[_FRESH]
    dead, waiting = int((good["end"] == "dead").sum()), int(good["end"].isin(trial.OPEN).sum())
    if dead:
        return _died(lab, good[good["end"] == "dead"])
    if waiting:
        return almost(
            f"{waiting} of {_FRESH} fresh orders still wait after five minutes. Nothing dies, and nothing is paid: is "
            "the trigger Enabled, and may the function run?"
        )
    most = recorder.most_at_once(log)
    if most > CALLS:
        capped = any(one.get("ScalingConfig") for one in trial.triggers(lab, "payments"))
        advice = (
            "The cap is too high."
            if capped
            else "Without any cap it refuses the rest: which cap makes the pollers stop reading?"
        )
        return almost(
            f"All {_FRESH} fresh orders were paid, with {most} calls to the bank at once; it takes {CALLS}. {advice}"
        )
    may = trial.receives(trial.attributes(lab, "payments"))
    if bad["runs"] > _MANY or (bad["end"] in trial.OPEN and (may is None or may > _MANY)):
        often, advice = f"{may} times", "Lower maxReceiveCount."
        if may is None:
            often, advice = "until it is too old", "Give the queue its redrive policy again."
        elif may == 1000:
            often = "a thousand times"
        return almost(
            f"Nothing dies, but a poison message now runs {often}: one without a price ran {bad['runs']} times "
            f"already. {advice}"
        )
    if bad["end"] == "done" and not fresh.parked():
        return almost(
            f"All {_FRESH} fresh orders were paid, and one without a price was deleted as if it had been, too: nobody "
            "will ever know of it. Let its run fail, and the queue put it aside."
        )
    found = trial.held(lab, "payments-dead-letters")
    return yes(
        f"All {_FRESH} fresh orders were paid, never more than {most} at once, and one without a price was not. "
        f"{found} dead letters lie there still: lab 07 brings the valid ones back."
    )


def _died(lab: Lab, dead: pandas.DataFrame) -> Verdict:
    if (dead["failures"] > 0).all():
        return almost(
            f"{len(dead)} of {_FRESH} fresh valid orders died, now after a run that failed: a run that fails takes its "
            "whole batch with it, for one bad order or for lack of time. Set BatchSize to 1 again."
        )
    seen = f"{len(dead)} of {_FRESH} fresh valid orders died, and no run of theirs failed"
    if _as_built(lab):
        return not_yet(f"{seen}. They were received all the same: find out what they were received for.")
    return almost(
        f"{seen}. Pollers still receive what the function may not run, and such a receive counts as an attempt: let "
        "the trigger read less, or give an order more time and more receives."
    )


def _as_built(lab: Lab) -> bool:
    kept = trial.attributes(lab, "payments")
    name = lab.name("payments")
    cap = lab.client("lambda").get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
    paced = any(one.get("ScalingConfig") for one in trial.triggers(lab, "payments"))
    return (kept["VisibilityTimeout"], trial.receives(kept), cap, paced) == ("1", 1, 1, False)


DRILL = Drill(
    "zero-errors",
    "Valid orders among the dead letters",
    "{reported} UTC, support: customers were told that their payment failed. The orders are fine, support tried "
    "one by hand. The dashboard has been green since {began}. The bank, on the phone: two calls at a time "
    "is what we take, and please keep to it.",
    build,
    check,
    (
        "The dead orders were received, and never run. Which of Lambda's metrics counts a run that did not begin?",
        "`Throttles` is not 0: read `get_function_concurrency`. Who goes on reading while the function may not run?",
        f"Take the reserved concurrency away, or raise it to {CALLS}; give the trigger `MaximumConcurrency` {CALLS}.",
    ),
)
