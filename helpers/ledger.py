"""The behaviours ledger: what the local AWS does like AWS, what it approximates, and what only AWS can show."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .card import Card
from .errors import LabError

FILE = Path(__file__).resolve().parents[1] / "data" / "behaviours.csv"
STATES = ("same", "approximated", "AWS only", "unconfirmed")


@dataclass(frozen=True)
class Behaviour:
    """One row of the ledger.

    Attributes
    ----------
    id : str
        Its id, such as `C88`.
    statement : str
        What AWS does.
    source : str
        How that is known.
    state : str
        `same`, `approximated`, `AWS only` or `unconfirmed`.
    how : str
        What differs here, and why.
    test : str
        The tests that prove it here, separated by spaces.
    """

    id: str
    statement: str
    source: str
    state: str
    how: str
    test: str

    def _card(self) -> Card:
        rows = [("AWS", self.statement), ("Known from", self.source), ("Here", self.state)]
        if self.how:
            rows.append(("How", self.how))
        if self.test:
            rows.append(("Proved by", self.test.replace(" ", ", ")))
        return Card(f"Behaviour {self.id}", rows)

    def __repr__(self) -> str:
        return str(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()


@cache
def behaviours() -> dict[str, Behaviour]:
    """Return every row of the ledger by its id."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return {row["id"]: Behaviour(**row) for row in csv.DictReader(file)}


def behaviour(id: str) -> Behaviour:  # noqa: A002
    """Return one row.

    Raises
    ------
    LabError
        When there is none with this id.
    """
    found = behaviours().get(id) if isinstance(id, str) else None
    if found is None:
        raise LabError(
            f"The ledger has no behaviour {id!r}.", "", "Ids look like 'C88'; data/behaviours.csv lists them all."
        )
    return found
