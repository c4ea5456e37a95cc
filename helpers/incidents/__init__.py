"""Incident drills: pipelines built broken, with symptoms to see and a cause to find.

Each drill is a module: it builds its pipeline, lets traffic run, tells a story, and judges a repair by what becomes of
fresh traffic. `lab.incident` starts one; `lab.check("16-…")` judges it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ..cleanup import sweep
from ..errors import LabError
from . import (
    charged_twice,
    half_gone,
    lost_in_part,
    night_bill,
    nothing_runs,
    silent_alarm,
    stands_still,
    vanished,
    zero_errors,
)
from .drill import Drill, Incident

if TYPE_CHECKING:
    import pandas

    from ..lab import Lab

__all__ = ["DRILLS", "Drill", "Incident", "start", "told"]

DRILLS: dict[str, Drill] = {
    drill.name: drill
    for drill in (
        zero_errors.DRILL,
        half_gone.DRILL,
        charged_twice.DRILL,
        nothing_runs.DRILL,
        stands_still.DRILL,
        silent_alarm.DRILL,
        night_bill.DRILL,
        vanished.DRILL,
        lost_in_part.DRILL,
    )
}
"""The drills by name, in the order of the notebook; a further one gets its place here."""

_TOLD: WeakKeyDictionary[Lab, dict[str, Incident]] = WeakKeyDictionary()


def start(lab: Lab, name: str) -> Incident:
    """Remove what the lab has made before, build a drill's pipeline, let its traffic run, and return what shows.

    Parameters
    ----------
    lab : Lab
        Where.
    name : str
        Such as `"zero-errors"`.

    Returns
    -------
    Incident
        Story and symptoms, and the parts of the pipeline.

    Raises
    ------
    LabError
        When there is no such drill.
    """
    drill = DRILLS.get(name)
    if drill is None:
        raise LabError(f"There is no incident {name!r}.", "", f"There are {', '.join(DRILLS)}.")
    # What an earlier drill left would go on at every wait, some of it for ever.
    sweep(lab).require_nothing_left()
    scene = drill.build(lab)
    if scene.draw is not None:
        scene.draw()
    moments = {**scene.moments, "reported": lab.now()}
    incident = Incident(
        **vars(scene.parts),
        name=name,
        title=drill.title,
        story=drill.story.format(**{key: f"{moment:%a %H:%M}" for key, moment in moments.items()}),
        symptoms=tuple(scene.symptoms),
        errors=scene.errors,
    )
    _TOLD.setdefault(lab, {})[name] = incident
    return incident


def told(lab: Lab) -> pandas.DataFrame:
    """Return a row an incident that was started in this lab: its complaint, and what `Errors` said.

    Parameters
    ----------
    lab : Lab
        Where.

    Returns
    -------
    pandas.DataFrame
        By name, in the order of the drills: `complaint` and `Errors`.
    """
    import pandas

    known = _TOLD.get(lab, {})
    rows = {name: (known[name].title, known[name].errors) for name in DRILLS if name in known}
    return pandas.DataFrame.from_dict(rows, orient="index", columns=["complaint", "Errors"])
