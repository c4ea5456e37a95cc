"""Dead letters that vanished before anyone looked: they kept the age that they had (row A74)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import messages, resources
from ..catch_up import Pipeline
from ..checks import Verdict, almost, not_yet, yes
from . import trial
from .drill import Drill, Scene

if TYPE_CHECKING:
    from datetime import datetime

    from ..lab import Lab

_DEAD = "returns-dead-letters"
_PAUSE = 302_400
_OFF_DUTY = 216_000
_FOUR_DAYS = "345600"
_RETENTION = "MessageRetentionPeriod"
_SOURCE = """
import json


def handler(event, context):
    for record in event["Records"]:
        parcel = json.loads(record["body"])
        print(json.dumps({"returned": parcel["order"], "value": parcel["price"] * parcel["quantity"]}))
"""


def build(lab: Lab) -> Scene:
    """Pause the trigger for three and a half days, go on, and come back after two days and a half."""
    queue = resources.queue(lab, "returns", max_receive_count=3)
    function = resources.function(lab, "returns", source=_SOURCE)
    resources.trigger(lab, queue=queue, function=function, batch_size=1, enabled=False)
    assert queue.dead_letters is not None
    returns = messages.orders(9, flawed=False)
    bad = [{key: value for key, value in one.items() if key != "price"} for one in returns[:5]]
    messages.send_many(queue, [*returns[5:], *bad])
    lab.wait(_PAUSE, "while the trigger is off for the move of the database")
    on = lab.now()
    trigger = resources.trigger(lab, queue=queue, function=function, enabled=True)
    trial.let_pass(lab, 240, "traffic comes")
    seen = trial.held(lab, _DEAD)
    lab.wait(_OFF_DUTY, "while you are off duty")
    runs, errors = trial.counted(lab, ["Invocations", "Errors"], on, function="returns")
    deleted = trial.counted(lab, ["NumberOfMessagesDeleted"], on, queue=_DEAD)[0]
    symptoms = [
        ("returns sent to returns", f"{len(returns)}, before the trigger was off"),
        ("Invocations, Errors of returns", f"{runs}, {errors}"),
        (f"in {_DEAD}, {on:%a %H:%M}", str(seen)),
        (f"in {_DEAD}, now", str(trial.held(lab, _DEAD))),
        (f"NumberOfMessagesDeleted of {_DEAD}", str(deleted)),
    ]
    return Scene(Pipeline(queue, None, function, trigger, _SOURCE), symptoms, {"on": on}, errors)


def check(lab: Lab) -> Verdict:
    """Let returns wait as long again, let one die, and look whether it is there 2.5 days later."""
    fresh = trial.Fresh(lab, "returns")
    fresh.send([*fresh.orders(2), {"order": fresh.first + 2, "quantity": 1}])
    paused = [one["UUID"] for one in trial.triggers(lab, "returns") if one["State"] != "Disabled"]
    if not paused:
        return almost("No trigger of `returns` is Enabled: the returns grow old, and nobody tries them. Enable one.")
    _switch(lab, paused, on=False)
    lab.wait(_PAUSE, "while fresh returns wait for a trigger that is off")
    _switch(lab, paused, on=True)
    fresh.settle(900)
    table = fresh.table()
    good, end = table.iloc[:2], table["end"].iloc[2]
    kept = trial.attributes(lab, "returns")
    if "expired" in good["end"].tolist() or end == "expired":
        return almost(
            f"The fresh returns expired in `returns` itself, which keeps them for {_days(kept)}: before, they at least "
            "came to be tried. Keep them longer there, and longer still where they lie when they are dead."
        )
    if end != "dead":
        return almost(
            f"A fresh bad return is {end} 15 minutes after the trigger went on, and no dead letter: let it fail three "
            "times, and go to a dead-letter queue."
        )
    target = fresh.queue.dead_letters
    assert target is not None
    died = lab.now()
    lab.wait(_OFF_DUTY, "while you are off duty")
    there = _expired(lab, target.name, fresh.ids[2])
    limit = trial.attributes(lab, target.name)
    if there is not None:
        hours = (there - died).total_seconds() / 3600
        seen = (
            f"A fresh return died when it was 3.5 days old, and {hours:.0f} h later it was gone, before anyone looked"
        )
        if limit[_RETENTION] == kept[_RETENTION] == _FOUR_DAYS:
            return not_yet(
                f"{seen}. Nobody deleted it: from when does a dead-letter queue count the age of what lies in it?"
            )
        return almost(
            f"{seen}. `{target.name}` keeps messages for {_days(limit)} from their first sending, and `returns` for "
            f"{_days(kept)}: make the first number larger, 14 days (1209600) at most."
        )
    age = (_PAUSE + _OFF_DUTY) / 86_400
    left = int(limit[_RETENTION]) / 86_400 - age
    return yes(
        f"A fresh return waited 3.5 days, died, and was still there 2.5 days later, {age:.1f} days old. "
        f"{left:.1f} days are left to look at it. What vanished before is lost."
    )


def _switch(lab: Lab, triggers: list[str], *, on: bool) -> None:
    client = lab.client("lambda")
    for uuid in triggers:
        client.update_event_source_mapping(UUID=uuid, Enabled=on)
    wanted = "Enabled" if on else "Disabled"
    lab.wait_until(
        lambda: all(client.get_event_source_mapping(UUID=uuid)["State"] == wanted for uuid in triggers),
        120,
        f"the trigger is {wanted}",
    )


def _expired(lab: Lab, queue: str, message: str) -> datetime | None:
    """Return when a message became too old in a queue, or None if it did not."""
    log = lab.recorder(queue=queue)
    rows = log[(log["message"] == message) & (log["event"] == "expired")]
    return None if rows.empty else rows["time"].iloc[0].to_pydatetime()  # type: ignore[no-any-return]


def _days(kept: dict[str, str]) -> str:
    number = int(kept[_RETENTION]) / 86_400
    return f"{number:g} day{'' if number == 1 else 's'}"


DRILL = Drill(
    "vanished",
    "Five dead letters are gone",
    "{reported} UTC, the warehouse: on {on}, when the database had moved and the trigger was on again, five "
    "returns went to the dead-letter queue. I wrote it down and had two days off. Now it is empty. Who has "
    "deleted them? Everybody says: not me.",
    build,
    check,
    (
        "Nobody deleted them. In which other two ways can a message end? The recorder of the dead-letter queue has it.",
        f"`expired`. Compare `{_RETENTION}` of both queues, and think of when the returns were first sent.",
        f"Set `{_RETENTION}` of the dead-letter queue to 1209600, fourteen days, with `set_queue_attributes`.",
    ),
)
