"""Half of the traffic is gone without a trace: two triggers with filters on one queue (rows C84, C111)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .. import messages, resources
from ..catch_up import Pipeline
from ..checks import Verdict, almost, not_yet, yes
from . import trial
from .drill import Drill, Scene

if TYPE_CHECKING:
    from ..lab import Lab

REGIONS = ("eu", "us")
_FUNCTIONS = tuple(f"labels-{region}" for region in REGIONS)
_SENT = 20
_SOURCE = """
import json


def handler(event, context):
    for record in event["Records"]:
        parcel = json.loads(record["body"])
        print(json.dumps({"label": parcel["order"], "region": parcel["region"]}))
"""


def build(lab: Lab) -> Scene:
    """Give each of two functions on one queue a filter, and send parcels for both."""
    queue = resources.queue(lab, "parcels", max_receive_count=5)
    role = resources.role(lab, "labels")
    made = []
    for region, name in zip(REGIONS, _FUNCTIONS, strict=True):
        function = resources.function(lab, name, source=_SOURCE, role=role)
        pattern = json.dumps({"body": {"region": [region]}})
        filters = {"Filters": [{"Pattern": pattern}]}
        made.append(
            (function, resources.trigger(lab, queue=queue, function=function, batch_size=1, filter_criteria=filters))
        )
    began = lab.now()
    messages.send_many(queue, _parcels(1))
    trial.let_pass(lab, 180, "traffic comes")
    labels = trial.printed(lab, _FUNCTIONS, "label")
    errors = sum(trial.counted(lab, ["Errors"], began, function=name)[0] for name in _FUNCTIONS)
    symptoms = [
        ("parcels sent to parcels", f"{_SENT}, half for eu and half for us"),
        ("labels printed", str(len(labels))),
        ("waiting in parcels", str(trial.held(lab, "parcels"))),
        ("in parcels-dead-letters", str(trial.held(lab, "parcels-dead-letters"))),
        ("Errors of labels-eu and labels-us", str(errors)),
    ]
    function, trigger = made[0]
    return Scene(Pipeline(queue, role, function, trigger, _SOURCE), symptoms, {"began": began}, errors)


def check(lab: Lab) -> Verdict:
    """Send parcels for both regions, and count labels."""
    fresh = trial.Fresh(lab, "parcels")
    fresh.send(_parcels(fresh.first))
    fresh.settle(300)
    end = fresh.table()["end"]
    done, dead = int((end == "done").sum()), int((end == "dead").sum())
    # On a real account no log says what a filter has deleted: what is nowhere else was.
    waiting = min(trial.held(lab, "parcels"), _SENT - done - dead)
    gone = _SENT - done - dead - waiting
    if gone:
        return _filtered(lab, gone, done)
    if waiting or done < _SENT:
        return almost(
            f"Of {_SENT} fresh parcels {done} have a label, {waiting} wait in `parcels` and {dead} are dead letters. "
            "No filter drops them now: is a trigger Enabled, and do its runs succeed?"
        )
    return yes(
        f"All {_SENT} fresh parcels have a label, and no filter dropped one. Those that were dropped before are gone: "
        "their sender has to send them again."
    )


def _filtered(lab: Lab, gone: int, done: int) -> Verdict:
    seen = f"{done} of {_SENT} fresh parcels have a label, and {gone} were deleted unseen"
    active = [one for one in trial.triggers(lab, "parcels") if one["State"] == "Enabled"]
    if len(active) == 1:
        return almost(
            f"{seen}. One trigger is left, and its filter now deletes everything that it does not want: whoever reads "
            "a queue alone has to want all of it."
        )
    patterns = {_pattern(one) for one in active}
    built = {json.dumps({"body": {"region": [region]}}) for region in REGIONS}
    if len(active) == len(REGIONS) and patterns == built:
        return not_yet(
            f"{seen}. A dead-letter queue does not see them, nor does another try: they count as handled. Which call "
            "tells what a trigger wants?"
        )
    return almost(
        f"{seen}. A filter is still there. The triggers of one queue compete: each message goes to one of them, "
        "whatever it wants, and what it does not want is deleted."
    )


def _pattern(one: dict[str, Any]) -> str:
    return ";".join(found["Pattern"] for found in one.get("FilterCriteria", {}).get("Filters", []))


def _parcels(first: int) -> list[dict[str, Any]]:
    return [{"order": first + number, "region": REGIONS[number // 5 % 2]} for number in range(_SENT)]


DRILL = Drill(
    "half-gone",
    "Half of the parcels have no label",
    "{reported} UTC, the warehouse: since {began}, when the second label printer went live, half of the "
    "parcels stand here without a label. It does not matter which, eu or us. The shop swears that it sent them all. "
    "Nothing waits, nothing failed.",
    build,
    check,
    (
        'The recorder knows how each message ended: look at `recorder.messages(lab.recorder(queue="parcels"))`.',
        "`filtered` is an end, too. List the triggers of the queue with `list_event_source_mappings`, and read "
        "`FilterCriteria`.",
        "Both functions print any label: take the filters away with `update_event_source_mapping` and "
        "`FilterCriteria={}`.",
    ),
)
