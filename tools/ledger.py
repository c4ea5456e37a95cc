"""Fill the behaviours ledger's column `test` from the tests' marks."""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from tools.environment import ROOT

FILE = ROOT / "data" / "behaviours.csv"
COLUMNS = ("id", "statement", "source", "state", "how", "test")


def marks(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each marked test of a file as its name and the ids of its `@pytest.mark.behaviour`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            ids = [
                str(argument.value)
                for mark in node.decorator_list
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.behaviour"
                for argument in mark.args
                if isinstance(argument, ast.Constant)
            ]
            if ids:
                yield node.name, ids


def tests_by_row() -> dict[str, list[str]]:
    """Return the tests that carry each id, as `tests/file.py::name`."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        for name, ids in marks(path):
            for id_ in ids:
                found.setdefault(id_, []).append(f"tests/{path.name}::{name}")
    return found


def rows() -> list[dict[str, str]]:
    """Return the ledger's rows as they stand."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def filled() -> str:
    """Return the ledger's text with its column `test` filled in."""
    tests = tests_by_row()
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows():
        names = sorted({test.rpartition("::")[2] for test in tests.get(row["id"], [])})
        writer.writerow({**row, "test": " ".join(names)})
    return buffer.getvalue()


def write() -> None:
    """Write the ledger anew."""
    FILE.write_text(filled(), encoding="utf-8", newline="")
