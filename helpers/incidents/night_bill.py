"""The bill that grew overnight: a poison message that may be received a thousand times (rows C88, C89, C93)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import messages, metrics, plots, resources
from ..catch_up import Pipeline
from ..checks import Verdict, almost, not_yet, yes
from . import trial
from .drill import Drill, Scene

if TYPE_CHECKING:
    from datetime import datetime

    from ..lab import Lab

_HIDDEN = 300
_RECEIVES = 1000
_NIGHT = 8 * 3600
_FRESH = 4
_WATCH = 3600
_DAY = 86_400
_MANY = 20
_KEPT = "is kept aside"
_SOURCE = """
import json


def handler(event, context):
    for record in event["Records"]:
        item = json.loads(record["body"])
        print(json.dumps({"imported": item["order"], "value": float(item["price"]) * item["quantity"]}))
"""


def build(lab: Lab) -> Scene:
    """Leave a poison message to a queue that does not give up, for a night."""
    trial.until_evening(lab)
    queue = resources.queue(lab, "imports", visibility_timeout=_HIDDEN, max_receive_count=_RECEIVES)
    function = resources.function(lab, "imports", source=_SOURCE, timeout=30)
    trigger = resources.trigger(lab, queue=queue, function=function, batch_size=1)
    items = messages.orders(20, flawed=False)
    began = lab.now()
    messages.send_many(queue, items)
    messages.send_many(queue, [{**items[0], "price": "n/a"}])
    lab.wait(_NIGHT, "while the night passes")
    sent = trial.counted(lab, ["NumberOfMessagesSent"], began, queue="imports")[0]
    runs, errors = trial.counted(lab, ["Invocations", "Errors"], began, function="imports")
    symptoms = [
        ("items sent to imports", str(sent)),
        ("Invocations of imports", str(runs)),
        ("Errors of imports", str(errors)),
        ("in flight in imports", str(trial.held(lab, "imports"))),
        ("in imports-dead-letters", str(trial.held(lab, "imports-dead-letters"))),
    ]
    parts = Pipeline(queue, None, function, trigger, _SOURCE)
    return Scene(parts, symptoms, {"began": began}, errors, lambda: _draw(lab, began))


def _draw(lab: Lab, since: datetime) -> object:
    # The hour that is not over yet would look like a fall.
    start, end = (moment.replace(minute=0, second=0, microsecond=0) for moment in (since, lab.now()))
    name = lab.name("imports")
    table = metrics.points(lab, "AWS/Lambda", "Invocations", start=start, end=end, period=3600, FunctionName=name)
    runs = table["Invocations"].iloc[1:].median()
    title = f"After {since:%H:%M} nobody sent anything, and each hour had {runs:.0f} runs"
    return plots.points_per_minute(table, title=title)


def check(lab: Lab) -> Verdict:
    """Send good items and a bad one, and look an hour later how often the bad one ran and where it is."""
    fresh = trial.Fresh(lab, "imports")
    fresh.send([*fresh.orders(_FRESH), {**fresh.orders(_FRESH + 1)[_FRESH], "price": "n/a"}])
    fresh.settle(_WATCH)
    kept = trial.attributes(lab, "imports")
    may, hidden = trial.receives(kept), int(kept["VisibilityTimeout"])
    if may is not None and may <= _MANY and may * hidden > _WATCH:
        fresh.settle(min(may * hidden, _DAY))
    table = fresh.table()
    good, bad = table.iloc[:_FRESH], table.iloc[_FRESH]
    done, end, runs = int((good["end"] == "done").sum()), bad["end"], int(bad["runs"])
    if done < _FRESH:
        return almost(
            f"The bill is lower, and {_FRESH - done} of {_FRESH} fresh good items are {good['end'].iloc[-1]}: an "
            "import that does not import is cheap. Let the trigger run, and give each good item a second chance."
        )
    if end == "done" and not fresh.parked():
        return almost(
            f"A fresh bad item was deleted as if it had been imported. It costs {runs} run, and nobody will ever know "
            "about it: let it fail, and let the queue put it aside."
        )
    if end in ("dead", "done"):
        return _aside(lab, runs, where=_KEPT if end == "done" else "lies among the dead letters")
    if end == "expired":
        return almost(
            f"A fresh bad item ran {runs} times, and was deleted for its age: `imports` keeps items for "
            f"{kept['MessageRetentionPeriod']} s now. Nobody will ever look at it, and a good one may go the same way."
        )
    minutes = round((lab.now() - fresh.since).total_seconds() / 60)
    seen = f"A fresh bad item ran {runs} times in {minutes} minutes and is still {end}"
    if may == _RECEIVES and kept["VisibilityTimeout"] == str(_HIDDEN):
        return not_yet(
            f"{seen}. The dead-letter queue is there, and empty: read the policy that should fill it. Emptying the "
            "queue by hand helps until the next bad item."
        )
    if may is None:
        return almost(
            f"{seen}. Without a redrive policy it comes back until it is too old: {kept['MessageRetentionPeriod']} s."
        )
    days, until = may * hidden / _DAY, int(kept["MessageRetentionPeriod"]) / _DAY
    runs_for = f"{seen}. It may be received {may} times, every {hidden} s: that is"
    if days < until:
        return almost(f"{runs_for} {days * 24:.0f} hours of runs for one bad item. Fewer receives end them.")
    return almost(
        f"{runs_for} {days:.1f} days of runs, and after {until:g} days it expires unseen. Fewer receives end both."
    )


def _aside(lab: Lab, runs: int, where: str) -> Verdict:
    left = trial.held(lab, "imports")
    more = f" {left} older messages still wait in `imports` for their next receive." if left else ""
    if runs > _MANY:
        return almost(
            f"A fresh bad item {where}, after {runs} runs: a file of such items costs as much as the night did. What "
            "fails five times fails a sixth time, too: lower maxReceiveCount."
        )
    if where != _KEPT and runs < 2:
        return almost(
            f"A fresh bad item went to the dead-letter queue after {runs} run. So does every good one that meets one "
            "bad moment, or is throttled once: AWS recommends at least 5 receives."
        )
    return yes(
        f"A fresh bad item ran {runs} {'time' if runs == 1 else 'times'} and {where}; good items were imported.{more}"
    )


DRILL = Drill(
    "night-bill",
    "The import is billed for a night without imports",
    "{reported} UTC, finance: the import's cost alert went off. Your partner sends one file a day, at {began} "
    "it came, and then nothing. So why do I pay for runs all night? You told me that a dead-letter queue takes care of "
    "such things.",
    build,
    check,
    (
        "Something is run again and again. How many messages are that, and what is their `ApproximateReceiveCount`?",
        "The dead-letter queue is empty. Read the `RedrivePolicy` of `imports`: when would it be filled?",
        "Set `maxReceiveCount` to 5 in the `RedrivePolicy` of `imports`, with the same `deadLetterTargetArn`.",
    ),
)
