"""Figures that age: prices, quotas and rates, each with its date and its source, from `data/facts`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

from .card import Card
from .errors import LabError

FOLDER = Path(__file__).resolve().parents[1] / "data" / "facts"
KINDS = ("prices", "quotas", "rates")
CONFIDENCES = ("documented", "reported", "derived", "assumed")


@dataclass(frozen=True)
class Fact:
    """One figure, as it was on a day.

    Attributes
    ----------
    name : str
        Such as `lambda.request`.
    value : int or float
        The figure as AWS states it, for `per` units.
    unit : str
        Such as `USD`, `s` or `concurrent runs`.
    as_of : date
        The day for which it is known.
    source : str
        How it is known.
    confidence : str
        `documented` by AWS, `reported` by others, `derived` from other figures, or `assumed`.
    row : str
        The behaviour whose figure it is.
    per : int
        For how many things a price is.
    of : str
        What those things are: `requests`, `GB-second`.
    note : str
        What it holds for, and what else is said.
    text : str
        The figure in words.
    """

    name: str
    value: int | float
    unit: str
    as_of: date
    source: str
    confidence: str
    row: str
    per: int = 1
    of: str = ""
    note: str = ""
    text: str = ""

    @property
    def each(self) -> float:
        """The price of one thing, or the figure itself."""
        return float(self.value) / self.per

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        """Return the figure as it reads in a sentence: `$0.20 per million requests`."""
        return self.text

    def _card(self) -> Card:
        rows = [
            ("Value", self.text),
            ("As of", self.as_of.isoformat()),
            ("Source", f"{self.source} ({self.confidence})"),
        ]
        return Card(self.name, [*rows, *([("Note", self.note)] if self.note else [])])

    def __repr__(self) -> str:
        return str(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()


def price(name: str) -> Fact:
    """Return a price of us-east-1 in US dollars, such as `lambda.request`; its `each` is the price of one.

    Raises
    ------
    LabError
        When none has this name.
    """
    return _find("prices", name)


def quota(name: str) -> Fact:
    """Return a limit, such as `trigger.concurrency`.

    Raises
    ------
    LabError
        When none has this name.
    """
    return _find("quotas", name)


def rate(name: str) -> Fact:
    """Return a rate of growth or reporting, such as `trigger.growth`.

    Raises
    ------
    LabError
        When none has this name.
    """
    return _find("rates", name)


def table(kind: Literal["prices", "quotas", "rates"]) -> Card:
    """Return all figures of a kind with their dates.

    Raises
    ------
    LabError
        When there is no such kind.
    """
    if kind not in KINDS:
        raise LabError(f"There is no table {kind!r}.", "", f"There are {', '.join(KINDS)}.")
    rows = [(fact.name, fact.text, fact.as_of.isoformat(), fact.confidence) for fact in facts(kind).values()]
    return Card(kind.capitalize(), rows, ("", "figure", "as of", "known"))


@cache
def facts(kind: str) -> dict[str, Fact]:
    """Return all figures of a kind by their names."""
    with (FOLDER / f"{kind}.toml").open("rb") as file:
        groups = tomllib.load(file, parse_float=Decimal)
    return {
        f"{group}.{name}": _fact(kind, f"{group}.{name}", entry)
        for group, entries in groups.items()
        for name, entry in entries.items()
    }


def _fact(kind: str, name: str, entry: dict[str, Any]) -> Fact:
    value, per, of = entry["value"], entry.get("per", 1), entry.get("of", "")
    if kind == "prices":
        entry = {**entry, "unit": "USD"}
        text = f"${value:f} per {_spell(per)}{of}" if isinstance(value, Decimal) else f"${value} per {_spell(per)}{of}"
    else:
        text = f"{value:,} {entry['unit']}"
    number = float(value) if isinstance(value, Decimal) else value
    return Fact(name=name, **{**entry, "value": number, "text": text})


def _spell(per: int) -> str:
    return "" if per == 1 else "million " if per == 1_000_000 else f"{per:,} "


def _find(kind: str, name: str) -> Fact:
    known = facts(kind)
    if not isinstance(name, str) or name not in known:
        raise LabError(
            f"There is no {kind[:-1]} called {name!r}.", "", f"data/facts/{kind}.toml has {', '.join(known)}."
        )
    return known[name]
