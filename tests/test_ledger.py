"""The behaviours ledger tells the truth about the tests."""

from __future__ import annotations

from collections import Counter

import pytest

from helpers.errors import LabError
from helpers.ledger import STATES, behaviour, behaviours
from tools import ledger


def test_every_row_says_what_how_it_is_known_and_how_it_stands_here() -> None:
    rows = ledger.rows()
    assert len(rows) == len({row["id"] for row in rows}) == len(behaviours())
    for row in rows:
        assert row["statement"], row["id"]
        assert row["source"], row["id"]
        assert row["state"] in STATES, row["id"]
        assert row["how"] or row["state"] == "same", f"{row['id']} is {row['state']} and does not say how"


def test_what_is_the_same_is_proved_by_a_test() -> None:
    tests = ledger.tests_by_row()
    unproved = [row["id"] for row in ledger.rows() if row["state"] == "same" and row["id"] not in tests]
    assert unproved == []


def test_every_mark_names_a_row_and_no_test_more_than_three() -> None:
    known = {row["id"] for row in ledger.rows()}
    assert sorted(set(ledger.tests_by_row()) - known) == []
    for path in sorted((ledger.ROOT / "tests").glob("test_*.py")):
        for name, ids in ledger.marks(path):
            assert len(ids) <= 3, (path.name, name)


def test_the_column_of_tests_is_filled_in() -> None:
    assert ledger.FILE.read_text(encoding="utf-8") == ledger.filled(), "run `make ledger`"


def test_a_row_can_be_shown_and_an_unknown_one_is_refused() -> None:
    shown = repr(behaviour("C88"))
    assert "visibility timeout" in shown
    assert "same" in shown
    with pytest.raises(LabError, match="no behaviour 'Z9'"):
        behaviour("Z9")


def test_the_states_are_counted() -> None:
    counts = Counter(row["state"] for row in ledger.rows())
    assert counts["same"] > sum(counts.values()) / 2
