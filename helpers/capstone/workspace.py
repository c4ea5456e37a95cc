"""What belongs to the learner: the folder of a design, and the scorecards that it got."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from .. import kept
from ..errors import LabError
from .design import DESIGNS, NOTES, TEMPLATE, load
from .judge import run
from .score import Line, Scorecard

HIDDEN = (2, 3)
"""The seeds of the final."""
_KIND = "capstone"
_SHARED = "handler.py"


def start(name: str = "my-design", *, like: str = "starter", afresh: bool = False) -> Path:
    """Make the folder of a design of your own, if it is not there yet, and say what is in it.

    Its files are edited in JupyterLab, or with `%%writefile` in a cell.

    Parameters
    ----------
    name : str
        What it is called. It stands beside the notebook; with `LAB_STATE_DIR` set, there.
    like : str
        What it begins as: `starter`, or the letter of one of the five designs that come with the lab.
    afresh : bool
        Whether to put that in the place of what is there.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    LabError
        When there is no such design to begin with, or the name cannot be a folder's.
    """
    source = DESIGNS / like
    if not (source / TEMPLATE).is_file():
        raise LabError(f"There is no design {like!r} to begin with.", "", "Take starter, a, b, c, d or e.")
    if not name or Path(name).name != name:
        raise LabError(f"{name!r} cannot be the name of a design.", "", "Use letters, digits and dashes.")
    folder = kept.folder("designs") / name if os.environ.get("LAB_STATE_DIR") else Path(name)
    new = afresh or not (folder / TEMPLATE).exists()
    if new:
        folder.mkdir(parents=True, exist_ok=True)
        for file in (TEMPLATE, NOTES, _SHARED):
            here = source / file if (source / file).exists() else DESIGNS / file
            text = here.read_text(encoding="utf-8").replace(f"../{_SHARED}", _SHARED)
            (folder / file).write_text(text, encoding="utf-8")
    state = f"made, like {like}" if new else "there already, and left as it is"
    print(f"{name}: {state}. Edit {TEMPLATE}, {_SHARED} and {NOTES} in it.")
    return folder


def final(design: str | Path, *, seed: int) -> Scorecard | None:
    """Run a design on a hidden seed, once it has met every requirement of the rehearsal.

    Parameters
    ----------
    design : str or Path
        Its folder.
    seed : int
        2 or 3.

    Returns
    -------
    Scorecard or None
        None when the rehearsal was not passed.

    Raises
    ------
    LabError
        When the final has no such day.
    """
    if seed not in HIDDEN:
        raise LabError(f"The final has no day {seed!r}.", "", f"It has {' and '.join(map(str, HIDDEN))}.")
    rehearsed = last(design)
    if rehearsed is None or not rehearsed.passed:
        print("The final comes after a rehearsal in which every line is met: capstone.run(design) first.")
        return None
    return run(design, seed=seed)


def keep(card: Scorecard) -> None:
    """Keep a scorecard, by the content of the design's files."""
    path = kept.folder(_KIND) / f"{card.digest}-{card.seed}-{card.tier}.json"
    content = {key: value for key, value in vars(card).items() if key not in ("events", "lines")}
    content["lines"] = [asdict(line) for line in card.lines]
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def last(design: str | Path, *, seed: int = 1, tier: int = 2) -> Scorecard | None:
    """Return the scorecard that the files of a design got, as they are now; None when they got none.

    Parameters
    ----------
    design : str or Path
        Its folder.
    seed, tier : int
        Of which run.
    """
    import pandas

    path = kept.folder(_KIND) / f"{load(design).digest}-{seed}-{tier}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    lines = tuple(Line(**{**line, "evidence": tuple(line["evidence"])}) for line in content.pop("lines"))
    errors = tuple(content.pop("errors", ()))
    return Scorecard(**content, lines=lines, events=pandas.DataFrame(), errors=errors)
