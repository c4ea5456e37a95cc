"""What checks said, kept for a report: when an exercise was first solved, after how many tries and hints."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from . import kept
from .checks import Verdict
from .errors import LabError

if TYPE_CHECKING:
    from .lab import Lab

_KIND = "verdicts"
_MOST = 200
"""How many verdicts of one exercise are kept; the first solution stays whatever comes after."""


@dataclass
class Attempt:
    """One verdict: its state and sentence, when and in which cloud it was given."""

    state: str
    text: str
    at: str
    cloud: str


@dataclass
class Exercise:
    """What became of an exercise.

    Attributes
    ----------
    id : str
        Such as `05-dead-letters`.
    verdicts : list of Attempt
        In the order of time; one that says the same as the one before is not kept again.
    hints : int
        The highest hint that was shown.
    """

    id: str
    verdicts: list[Attempt] = field(default_factory=list)
    hints: int = 0

    @property
    def solved(self) -> Attempt | None:
        """The first yes."""
        return next((one for one in self.verdicts if one.state == "yes"), None)

    @property
    def tries(self) -> int:
        """How many different attempts were judged, up to the first that was right; a stub is none."""
        states = [one.state for one in self.verdicts]
        until = states.index("yes") + 1 if "yes" in states else len(states)
        return sum(state != "not yet" for state in states[:until])


def note(lab: Lab, id: str, verdict: Verdict, cloud: str) -> None:  # noqa: A002
    """Keep what a check said. A verdict that cannot be kept is said to be lost, and stands all the same."""
    try:
        there = _of(id)
        one = there.setdefault(id, Exercise(id))
        text = masked(verdict.text.replace(f"{lab.prefix}-", ""))
        new = Attempt(verdict.state, text, datetime.now(UTC).isoformat(timespec="seconds"), cloud)
        last = one.verdicts[-1] if one.verdicts else None
        if last is None or (last.state, last.text, last.cloud) != (new.state, new.text, new.cloud):
            one.verdicts.append(new)
            if len(one.verdicts) > _MOST:
                one.verdicts.pop(next(number for number, old in enumerate(one.verdicts) if old is not one.solved))
            _keep(id, there)
    except LabError as problem:
        print(f"This verdict will not be in your report. {problem}")


def hinted(id: str, number: int) -> None:  # noqa: A002
    """Keep that a hint was shown, if it can be kept."""
    try:
        there = _of(id)
        one = there.setdefault(id, Exercise(id))
        if number > one.hints:
            one.hints = number
            _keep(id, there)
    except LabError:
        return


def everything() -> list[Exercise]:
    """Return all that was checked, notebook by notebook."""
    return [one for notebook in kept.notebooks(_KIND) for one in _of(notebook).values()]


def masked(text: str) -> str:
    """Return text without what says whose it is: account numbers, access keys, names' prefixes, folders.

    >>> masked("arn:aws:sqs:us-east-1:123456789012:lab-3fa9c1-orders")
    'arn:aws:sqs:us-east-1:…:orders'
    """
    text = re.sub(r"(?<!\d)\d{12}(?!\d)", "…", text)
    text = re.sub(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}", "…", text)
    text = re.sub(r"\blab-[0-9a-f]{6}-", "", text)
    return re.sub(r"(?:[A-Za-z]:\\|/(?:home|Users|root|tmp|var/folders)/)[^\s'\"`<>]*", "…", text)


def _of(id: str) -> dict[str, Exercise]:  # noqa: A002
    number = id[:2]
    try:
        return {entry["id"]: _read(entry) for entry in kept.read(_KIND, number)}
    except (ValueError, KeyError, TypeError):
        kept.set_aside(_KIND, number)
        return {}


def _read(entry: dict[str, Any]) -> Exercise:
    return Exercise(**{**entry, "verdicts": [Attempt(**one) for one in entry["verdicts"]]})


def _keep(id: str, there: dict[str, Exercise]) -> None:  # noqa: A002
    kept.write(_KIND, id[:2], [asdict(one) for one in there.values()])
