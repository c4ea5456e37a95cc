"""A page of what a learner solved and predicted, to hand in; and for an instructor, what a room predicted.

A report is one HTML file that needs nothing else. It is made of the files that `lab.check` and `lab.predict` keep, and
names no account, no key and no folder; a name stands on it only if it is given.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import attempts, predictions
from .card import Card
from .errors import LabError
from .report_page import page, read_page

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
COLUMNS = ("report", *predictions.COLUMNS)
"""What `pool` returns."""

_LONGEST_NAME = 80
_MANY = 12
"""How many different answers get a bar of their own."""


@dataclass(frozen=True)
class Exercise:
    """What became of an exercise: when it was first solved and where, after how many tries and hints."""

    id: str
    solved: str = ""
    cloud: str = ""
    tries: int = 0
    hints: int = 0
    last: str = ""


@dataclass(frozen=True)
class Lab:
    """A lab: what there is to solve in it, and what was predicted."""

    number: str
    title: str
    exercises: tuple[Exercise, ...]
    asked: tuple[predictions.Prediction, ...]

    @property
    def begun(self) -> bool:
        """Whether anything was tried or answered in it."""
        return any(one.tries or one.hints or one.solved for one in self.exercises) or any(
            one.first is not None for one in self.asked
        )

    @property
    def solved(self) -> int:
        """How many exercises."""
        return sum(bool(one.solved) for one in self.exercises)

    @property
    def compared(self) -> list[bool]:
        """Of each prediction that was answered before it was run, whether it was right."""
        return [bool(one.is_right(one.first.answer)) for one in self.asked if one.first and one.revealed]


@dataclass(frozen=True)
class Report:
    """What a learner solved and predicted.

    Attributes
    ----------
    name : str
        The learner's, if it was given.
    written : str
        When, in UTC.
    labs : list of Lab
        All that there are.
    file : str
        The file, as it was named.
    """

    name: str
    written: str
    labs: list[Lab]
    file: str = ""

    @property
    def asked(self) -> list[predictions.Prediction]:
        """All predictions."""
        return [one for lab in self.labs for one in lab.asked]

    def _card(self) -> Card:
        begun = [lab for lab in self.labs if lab.begun]
        rows = [
            (
                f"{lab.number} {lab.title}",
                f"{lab.solved} of {len(lab.exercises)}",
                f"{sum(lab.compared)} of {len(lab.compared)}" if lab.compared else "none compared",
            )
            for lab in begun
        ]
        return Card(
            f"Progress: {len(begun)} of {len(self.labs)} labs begun",
            rows,
            ("", "exercises solved", "predictions right") if rows else (),
            f"{predictions.calibration(self.asked)}." + (f" The report is in {self.file}." if self.file else ""),
        )

    def __repr__(self) -> str:
        return str(self._card())

    def _repr_html_(self) -> str:
        link = f'<p><a href="{html.escape(self.file)}">Open the report</a></p>' if self.file else ""
        return self._card()._repr_html_() + link


def collect(name: str = "") -> Report:
    """Return what is kept of this learner.

    Raises
    ------
    LabError
        When the name is no text, or longer than a name.
    """
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        raise LabError(f"A name is a text of at most {_LONGEST_NAME} characters.", "", 'Write name="Ada", or no name.')
    tried = {one.id: one for one in attempts.everything()}
    asked = predictions.everything()
    course = {number: (title, ids) for number, title, ids in _course()}
    for number in {one[:2] for one in [*tried, *(one.id for one in asked)]} - set(course):
        course[number] = ("", [])
    labs = []
    for number, (title, ids) in sorted(course.items()):
        known = list(dict.fromkeys([*ids, *(one for one in tried if one[:2] == number)]))
        exercises = tuple(_exercise(one, tried.get(one)) for one in known)
        labs.append(Lab(number, title, exercises, tuple(one for one in asked if one.id[:2] == number)))
    return Report(name.strip(), datetime.now(UTC).isoformat(timespec="seconds"), labs)


def write(file: str | Path, name: str = "") -> Report:
    """Write this learner's report.

    Raises
    ------
    LabError
        When it cannot be written.
    """
    found = collect(name)
    written = Report(found.name, found.written, found.labs, str(file))
    try:
        Path(file).write_text(page(written), encoding="utf-8")
    except OSError as problem:
        raise LabError(f"{file} cannot be written: {problem.strerror}.", "", 'Name another: file="…".') from None
    return written


def _exercise(id: str, tried: attempts.Exercise | None) -> Exercise:  # noqa: A002
    if tried is None:
        return Exercise(id)
    first = tried.solved
    last = "" if first or not tried.verdicts else tried.verdicts[-1].text
    if first is None:
        return Exercise(id, tries=tried.tries, hints=tried.hints, last=last)
    return Exercise(id, first.at, first.cloud, tried.tries, tried.hints)


def _course() -> Iterator[tuple[str, str, list[str]]]:
    """Return number, title and exercises of each notebook that can be read and has any."""
    for path in sorted(NOTEBOOKS.glob("[0-9][0-9]-*.ipynb")):
        try:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            title = re.search(r"^# (.+)$", "".join(cells[0]["source"]), re.MULTILINE)
            tags = [tag for cell in cells for tag in cell["metadata"].get("tags", [])]
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            continue
        if exercises := [tag[6:] for tag in tags if tag.startswith("check:")]:
            yield path.stem[:2], title[1] if title else "", exercises


# A room's reports


def pool(paths: str | Path | Iterable[str | Path]) -> pandas.DataFrame:
    """Put the predictions of many reports together.

    Parameters
    ----------
    paths : str, Path or several
        Reports (`.html`), exports of `python -m helpers predictions` (`.csv`), or folders of them. A file that is
        neither is named and left out; of two reports with the same name the newer one counts.

    Returns
    -------
    pandas.DataFrame
        A row a learner and prediction: `report` (the name on it, else the file's), and the columns of the export.

    Raises
    ------
    LabError
        When there is no report at all.
    """
    import pandas

    found: dict[str, tuple[str, list[dict[str, Any]]]] = {}
    bad, older = [], []
    for path in _files(paths):
        try:
            name, written, rows = _read(path)
        except (OSError, ValueError, KeyError, TypeError):
            bad.append(path.name)
            continue
        # A report without a name is its file's: two folders may each have a progress.html.
        key = name or path.stem
        while not name and key in found:
            key += "'"
        if key in found:
            older.append(key)
            if found[key][0] > written:
                continue
        found[key] = (written, rows)
    if bad:
        print(f"Left out, because they are no reports or were cut off: {', '.join(bad)}.")
    if older:
        print(f"More than one report of {', '.join(sorted(set(older)))}: the newest counts.")
    if not found:
        raise LabError("There is no report to pool.", "", "Name the files that lab.report() wrote, or their folder.")
    return pandas.DataFrame(
        [[key, *(row[column] for column in predictions.COLUMNS)] for key, (_, rows) in found.items() for row in rows],
        columns=list(COLUMNS),
    )


def _files(paths: str | Path | Iterable[str | Path]) -> Iterator[Path]:
    named = [paths] if isinstance(paths, str | Path) else list(paths)
    seen: set[Path] = set()
    for path in map(Path, named):
        inside = sorted(one for one in path.rglob("*") if one.suffix in (".html", ".csv")) if path.is_dir() else [path]
        for one in inside:
            if one.resolve() not in seen:
                seen.add(one.resolve())
                yield one


def _read(path: Path) -> tuple[str, str, list[dict[str, Any]]]:
    """Return whose report a file is, when it was written, and its predictions."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".csv":
        return read_page(text)
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows or list(rows[0]) != list(predictions.COLUMNS) or any(None in row.values() for row in rows):
        raise ValueError("no export")
    return "", "", [{**row, "said": _number(row["said"]), "did": _number(row["did"])} for row in rows]


def _number(text: str) -> int | float | str:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def findings(pooled: pandas.DataFrame) -> Card:
    """Return a line a prediction: how many answered it, were right, and were sure and wrong."""
    answered = pooled[pooled["said"] != ""]
    rows = []
    for one, group in answered.groupby("prediction"):
        right, missed = (group["right"] == word for word in ("yes", "no"))
        counts = (len(group), right.sum(), (missed & (group["confidence"] == "sure")).sum())
        rows.append((str(one), *(str(count) for count in counts)))
    learners = pooled["report"].nunique()
    title = f"What {learners} learner{'' if learners == 1 else 's'} predicted"
    return Card(title, rows, ("", "answered", "right", "sure and wrong") if rows else (), numbers=True)


def histograms(pooled: pandas.DataFrame, *ids: str) -> list[Axes]:
    """Draw what a room predicted, a panel a prediction; the right answers are green.

    Parameters
    ----------
    pooled : pandas.DataFrame
        As `pool` returns it.
    *ids : str
        Which predictions, such as `"05-gap"`; without any, all that were answered.

    Returns
    -------
    list of matplotlib.axes.Axes
        In the order of the ids.

    Raises
    ------
    LabError
        When nobody answered one of them.
    """
    from .pictures.canvas import GREY, SMALL, describe, headline, panels, style
    from .plots import DONE

    answered = pooled[pooled["said"] != ""]
    wanted = list(ids) or sorted(answered["prediction"].unique())
    missing = [one for one in wanted if one not in set(answered["prediction"])]
    if missing or not wanted:
        raise LabError(f"Nobody answered {', '.join(missing) or 'anything'} in these reports.")
    groups = [answered[answered["prediction"] == one] for one in wanted]
    bars = [_bars(group) for group in groups]
    titles = [_finding(group) for group in groups]
    with style():
        heights = [len(one) + 1.6 for one in bars]
        axes = panels(len(bars), height=0.6 + 0.27 * sum(heights), gridspec_kw={"height_ratios": heights})
        for ax, rows, title in zip(axes, bars, titles, strict=True):
            counts = [count for _, count, _, _ in rows]
            colors = [DONE if right else GREY for *_, right in rows]
            ax.barh(range(len(rows)), counts, height=0.6, color=colors)
            for place, (_, count, sure, _) in enumerate(rows):
                text = f"{count}, {sure} sure" if sure else str(count)
                ax.annotate(text, (count, place), (4, 0), textcoords="offset points", va="center", fontsize=SMALL)
            ax.set_yticks(range(len(rows)), [label for label, *_ in rows])
            ax.set_ylim(len(rows) - 0.4, -0.6)
            ax.set_xlim(0, max(counts) * 1.25)
            ax.set_xticks([])
            ax.grid(False)
            if len(axes) > 1:
                ax.set_title(title, fontsize=10)
        right = sum(int((group["right"] == "yes").sum()) for group in groups)
        room = f"What the room predicted: {right} of {sum(map(len, groups))} answers right"
        overall = titles[0] if len(titles) == 1 else room
        headline(axes, overall)
        describe(axes[0], "; ".join([overall, *titles]))
    return axes


def _finding(group: pandas.DataFrame) -> str:
    """Return a prediction's outcome in a line."""
    sure = int(((group["confidence"] == "sure") & (group["right"] == "no")).sum())
    right = int((group["right"] == "yes").sum())
    return f"{group['prediction'].iloc[0]}: {right} of {len(group)} right" + (
        f", {sure} sure and wrong" if sure else ""
    )


def _bars(group: pandas.DataFrame) -> list[tuple[str, int, int, bool]]:
    """Return label, count, how many were sure, and whether it was right, for each answer."""
    first = group.iloc[0]
    if first["options"]:
        groups = [(one, group[group["said"].astype(str) == one]) for one in first["options"].split(" | ")]
    else:
        numbers = group["said"].astype(float)
        values = sorted(numbers.unique())
        if len(values) <= _MANY:
            groups = [(f"{value:g}", group[numbers == value]) for value in values]
        else:
            size = -(-len(values) // _MANY)
            spans = [values[start : start + size] for start in range(0, len(values), size)]
            groups = [(f"{one[0]:g} to {one[-1]:g}", group[numbers.isin(one)]) for one in spans]
        groups = [(f"{label} {first['unit']}".strip(), rows) for label, rows in groups]
    return [
        (label, len(rows), int((rows["confidence"] == "sure").sum()), bool((rows["right"] == "yes").any()))
        for label, rows in groups
    ]
