"""Exercises: their checks look at the state of the cloud, so that every way to the goal counts.

A module `helpers.exercises.nb<number>` holds a notebook's exercises: functions `(lab, **where) -> Verdict` under
`@exercise`. They read queues, logs and metrics through the lab's clients, never a notebook's variables.
"""

from __future__ import annotations

import html
import importlib
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .errors import LabError, is_missing

if TYPE_CHECKING:
    from .lab import Lab

State = Literal["not yet", "almost", "yes"]

_MARKS: dict[State, tuple[str, str]] = {
    "not yet": ("○", "#777777"),
    "almost": ("◐", "#D55E00"),
    "yes": ("●", "#009E73"),
}


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes
    ----------
    state : str
        `not yet`, `almost` or `yes`.
    text : str
        What was seen, what was expected and what to do next.
    """

    state: State
    text: str

    def __repr__(self) -> str:
        return f"{_MARKS[self.state][0]} {self.state}: {self.text}"

    def _repr_html_(self) -> str:
        mark, colour = _MARKS[self.state]
        return _box(colour, f"{mark} {self.state}", self.text)


@dataclass(frozen=True)
class Hint:
    """One hint of an exercise, and how many there are."""

    number: int
    of: int
    text: str

    def __repr__(self) -> str:
        more = "the next call shows the next one" if self.number < self.of else "the solution stands below"
        return f"Hint {self.number} of {self.of}: {self.text} ({more})"

    def _repr_html_(self) -> str:
        return _box("#0072B2", *repr(self).split(": ", 1))


@dataclass(frozen=True)
class Exercise:
    """A registered exercise."""

    id: str
    hints: Sequence[str]
    look: Callable[..., Verdict]


_EXERCISES: dict[str, Exercise] = {}


def exercise(id: str, *, hints: Sequence[str] = ()) -> Callable[[Callable[..., Verdict]], Callable[..., Verdict]]:  # noqa: A002
    """Register a function as the check of the exercise `id`.

    Parameters
    ----------
    id : str
        The notebook's two digits, a dash and a word: `00-total`.
    hints : sequence of str
        From a nudge to nearly the solution.
    """

    def register(look: Callable[..., Verdict]) -> Callable[..., Verdict]:
        _EXERCISES[id] = Exercise(id, hints, look)
        return look

    return register


def not_yet(text: str) -> Verdict:
    """Return the verdict for work that has not begun, or of which nothing shows."""
    return Verdict("not yet", text)


def almost(text: str) -> Verdict:
    """Return the verdict for work with a known mistake in it."""
    return Verdict("almost", text)


def yes(text: str) -> Verdict:
    """Return the verdict for an exercise that is solved."""
    return Verdict("yes", text)


def find(id: str) -> Exercise:  # noqa: A002
    """Return an exercise.

    Raises
    ------
    LabError
        When there is none with this id.
    """
    if not isinstance(id, str) or not re.fullmatch(r"\d\d-[a-z-]+", id):
        raise LabError(
            f"{id!r} is not the id of an exercise.", "", "Ids look like '00-total'; the exercise's heading has it."
        )
    module = f"{__package__}.exercises.nb{id[:2]}"
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as problem:
        if problem.name != module:
            raise
    if id not in _EXERCISES:
        siblings = ", ".join(sorted(known for known in _EXERCISES if known[:2] == id[:2]))
        raise LabError(f"There is no exercise {id!r}.", "", f"This notebook has {siblings}." if siblings else "")
    return _EXERCISES[id]


def check(lab: Lab, id: str, **where: str) -> Verdict:  # noqa: A002
    """Look at what an exercise has left in the cloud.

    Parameters
    ----------
    lab : Lab
        Where to look.
    id : str
        The exercise.
    **where : str
        Names, URLs or ARNs of what the exercise is about.

    Raises
    ------
    LabError
        When there is no such exercise, or it takes other arguments.
    """
    from botocore.exceptions import ClientError

    found = find(id)
    expected = list(inspect.signature(found.look).parameters)[1:]
    if sorted(where) != sorted(expected) or not all(isinstance(value, str) and value for value in where.values()):
        arguments = ", ".join(f"{name}=…" for name in expected)
        raise LabError(
            f"The exercise {id!r} has to be told where to look.",
            "",
            f"Write lab.check({id!r}, {arguments}) with the names as text.",
        )
    try:
        return found.look(lab, **where)
    except ClientError as problem:
        error: dict[str, Any] = problem.response.get("Error", {})
        if is_missing(problem):
            return not_yet(
                f"Something is not there yet ({error.get('Message', error.get('Code'))}): run the cells above first."
            )
        return not_yet(f"AWS did not let the check look: {error.get('Message', error.get('Code'))}")


def hint(id: str, number: int) -> Hint:  # noqa: A002
    """Return a hint of an exercise.

    Raises
    ------
    LabError
        When there is no such exercise or hint.
    """
    hints = find(id).hints
    if not isinstance(number, int) or not 1 <= number <= len(hints):
        raise LabError(f"The exercise {id!r} has {len(hints)} hints, and no hint {number!r}.")
    return Hint(number, len(hints), hints[number - 1])


def _box(colour: str, head: str, text: str) -> str:
    shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
    return (
        f'<div style="border-left:4px solid {colour}; padding:0.2em 0.8em">'
        f"<strong>{html.escape(head)}</strong><br>{shown}</div>"
    )
