"""Charged twice, and no run failed: a queue that hides messages for less time than a run takes (rows C20, A56)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .. import messages, resources
from ..catch_up import Pipeline
from ..checks import Verdict, almost, not_yet, yes
from ..exercises import evidence
from . import trial
from .drill import Drill, Scene

if TYPE_CHECKING:
    from ..lab import Lab

_FRESH = 4
_TIMEOUT = 3
_SOURCE = """
import json
import time


def handler(event, context):
    for record in event["Records"]:
        order = json.loads(record["body"])
        amount = order["price"] * order["quantity"]
        print(json.dumps({"charged": order["order"], "amount": amount}))
        time.sleep(0.2)  # until the receipt is there
"""


def build(lab: Lab) -> Scene:
    """Connect the two, then let somebody change the queue."""
    queue = resources.queue(lab, "charges", visibility_timeout=30, max_receive_count=2)
    function = resources.function(lab, "charges", source=_SOURCE, timeout=_TIMEOUT)
    trigger = resources.trigger(lab, queue=queue, function=function, batch_size=1)
    orders = messages.orders(6, flawed=False)
    began = lab.now()
    messages.send_many(queue, orders[:2])
    trial.let_pass(lab, 300, "traffic comes")
    changed = lab.now()
    lab.client("sqs").set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "0"})
    messages.send_many(queue, orders[2:])
    trial.let_pass(lab, 300, "traffic comes")
    charges = Counter(trial.printed(lab, ["charges"], "charged"))
    runs, errors = trial.counted(lab, ["Invocations", "Errors"], began, function="charges")
    often = sum(count > 1 for count in charges.values())
    symptoms = [
        ("orders sent to charges", str(len(orders))),
        ("cards charged once", str(len(charges) - often)),
        ("cards charged more than once", str(often)),
        ("Invocations, Errors of charges", f"{runs}, {errors}"),
        ("in charges-dead-letters", f"{trial.held(lab, 'charges-dead-letters')} orders, all of them charged"),
    ]
    return Scene(Pipeline(queue, None, function, trigger, _SOURCE), symptoms, {"changed": changed}, errors)


def check(lab: Lab) -> Verdict:
    """Send orders and count the charges of each in the log."""
    fresh = trial.Fresh(lab, "charges")
    fresh.send(fresh.orders(_FRESH))
    fresh.settle(120)
    table = fresh.table()
    numbers = range(fresh.first, fresh.first + _FRESH)
    functions = [one["FunctionArn"] for one in trial.triggers(lab, "charges")]
    charges = Counter(one for one in trial.printed(lab, functions, "charged") if one in numbers)
    often = sum(count > 1 for count in charges.values())
    dead, waiting = int((table["end"] == "dead").sum()), int(table["end"].isin(trial.OPEN).sum())
    hidden = int(trial.attributes(lab, "charges")["VisibilityTimeout"])
    if often:
        seen = f"{often} of {_FRESH} fresh orders were charged {max(charges.values())} times, and no run failed"
        if hidden == 0 and _as_built(lab):
            return not_yet(f"{seen}. Each charge was a run of its own: what had the recorder seen before the second?")
        return almost(
            f"{seen}. The queue hides a received order for {hidden} s and a run works for longer, so the order comes "
            "back while it is being charged: only a longer VisibilityTimeout, or a charge that is safe to repeat "
            "in any environment, ends that."
        )
    if len(charges) < _FRESH:
        seen = f"{_FRESH - len(charges)} of {_FRESH} fresh orders were not charged"
        if waiting:
            return almost(
                f"{seen}, {waiting} of them wait: nobody pays twice, and nobody pays. Let the trigger run again."
            )
        return almost(
            f"{seen}, and {dead} are dead letters: hidden for {hidden} s, they were received until no try was left. "
            "Fewer runs at a time do not help: hide an order for longer than a run lasts."
        )
    if dead or waiting:
        return almost(
            f"Each of {_FRESH} fresh orders was charged once, and {dead + waiting} of them are still to be handled or "
            "lie among the dead letters: whoever brings those back relies on your handler alone. Mend the queue, too."
        )
    limit = lab.client("lambda").get_function_configuration(FunctionName=functions[0])["Timeout"]
    if hidden < limit:
        return almost(
            f"These {_FRESH} were charged once. But a run may take {limit} s, and the queue hides an order for "
            f"{hidden} s: on a slow day it is charged twice again. Lambda would refuse this trigger today."
        )
    return yes(
        f"Each of {_FRESH} fresh orders was charged once: hidden for {hidden} s, run for at most {limit} s. AWS "
        "recommends six times the timeout. The dead letters were all charged: pay back, and do not redrive them."
    )


def _as_built(lab: Lab) -> bool:
    limit = lab.client("lambda").get_function_configuration(FunctionName=lab.name("charges"))["Timeout"]
    kept = trial.attributes(lab, "charges")
    changed = evidence.changed(lab, "charges") or 0
    return (limit, trial.receives(kept)) == (_TIMEOUT, 2) and changed < int(kept["LastModifiedTimestamp"])


DRILL = Drill(
    "charged-twice",
    "Cards are charged more than once",
    "{reported} UTC, support: three calls in a row, card charged again and again for one order. Payments "
    "worked well until about {changed}. Nobody has deployed anything, says the team. Only the retries were made "
    "faster.",
    build,
    check,
    (
        "Look at one order in the recorder, row by row: when was it received again, and what was its first run doing?",
        "Compare the `VisibilityTimeout` of the queue with the time that a run takes, and with the `Timeout` of the "
        "function.",
        "Set `VisibilityTimeout` to 18, six times the function's timeout, with `set_queue_attributes`.",
    ),
)
