"""Every lab runs cold and alone: as it stands, with its solutions, and with the answers that learners give."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tools.environment import ROOT

from .notebooks import FOLDER, run, solutions, tagged

NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    """Give a run a state folder of its own, and end its server."""
    yield tmp_path
    environment = {**os.environ, "LAB_STATE_DIR": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-m", "helpers.local_aws", "stop", "--all"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=True,
    )


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_as_it_stands_it_reaches_the_bottom_and_every_exercise_is_not_yet_done(name: str, fresh: Path) -> None:
    result = run(name, fresh)
    assert result.verdicts
    for exercise, verdict in result.verdicts.items():
        assert verdict.startswith("○ not yet"), (exercise, verdict)
    assert result.text.rstrip().endswith("0 left")
    assert "Traceback" not in result.text


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_solution_that_a_reader_can_open_solves_each_exercise(name: str, fresh: Path) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    result = run(name, fresh, solutions(notebook))
    for exercise, verdict in result.verdicts.items():
        assert verdict.startswith("● yes"), (exercise, verdict)
    assert result.text.rstrip().endswith("0 left")


ANSWERS: list[tuple[str, str, str]] = [
    answer
    for path in sorted((Path(__file__).parent / "answers").glob("nb*.py"))
    for answer in importlib.import_module(f"tests.answers.{path.stem}").ANSWERS
]


@pytest.mark.parametrize(("exercise", "answer", "sentence"), ANSWERS)
def test_an_answer_earns_its_sentence(exercise: str, answer: str, sentence: str, fresh: Path) -> None:
    (name,) = [name for name in NOTEBOOKS if name.startswith(exercise[:2])]
    assert sentence in run(name, fresh, {exercise: answer}).verdicts[exercise]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_its_anatomy(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    lines = sorted(len([line for line in cell.source.splitlines() if line.strip()]) for cell in code)
    assert len(notebook.cells) <= 40
    assert all(not cell.outputs and cell.execution_count is None for cell in code), "outputs are stripped in git"
    assert lines[len(lines) // 2] <= 4
    assert lines[int(len(lines) * 0.9)] <= 9
    assert lines[-1] <= 20
    shown = re.sub(r"<details>.*?</details>", "", prose, flags=re.DOTALL)
    assert 8 <= len(re.findall(r"\w+", shown)) / sum(lines) <= 25
    assert not re.search(r"!\[\s*\]\(", prose), "every picture has alt text"
    assert not re.search(r"pip install|%store|account ==|\.cloud ==", "\n".join(cell.source for cell in code))
    for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", prose):
        assert (FOLDER / target).is_file(), target
    kinds = {
        kind: {found for cell in notebook.cells if (found := tagged(cell, kind))}
        for kind in ("exercise", "check", "solution")
    }
    assert kinds["exercise"] == kinds["check"] == kinds["solution"] != set()
    for heading in ("# ", "## Set up", "## Exercises", "## Key points", "## Glossary", "## In practice", "## Clean up"):
        assert re.search(rf"^{heading}", prose, re.MULTILINE), heading
