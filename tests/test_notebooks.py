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

from .notebooks import FOLDER, left, run, solutions, tagged

NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def stop_all(state_dir: Path) -> None:
    """End the servers that keep their state in a folder."""
    environment = {**os.environ, "LAB_STATE_DIR": str(state_dir)}
    subprocess.run(
        [sys.executable, "-m", "helpers.local_aws", "stop", "--all"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=True,
    )


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    """Give a run a state folder of its own, and end its server."""
    yield tmp_path
    stop_all(tmp_path)


ANSWERS: list[tuple[str, str, str]] = [
    answer
    for path in sorted((Path(__file__).parent / "answers").glob("nb*.py"))
    for answer in importlib.import_module(f"tests.answers.{path.stem}").ANSWERS
]


def answers(name: str, *, right: bool) -> dict[str, list[tuple[str, str]]]:
    """Return a notebook's known answers with their sentences, by exercise: the wrong ones, or the other right ones."""
    found: dict[str, list[tuple[str, str]]] = {}
    for exercise, answer, sentence in ANSWERS:
        if exercise[:2] == name[:2] and sentence.startswith("● yes") is right:
            found.setdefault(exercise, []).append((answer, sentence))
    return found


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_as_it_stands_it_reaches_the_bottom_and_every_exercise_is_not_yet_done(name: str, fresh: Path) -> None:
    result = run(name, fresh)
    assert result.verdicts
    for exercise, (verdict,) in result.verdicts.items():
        assert verdict.startswith("○ not yet"), (exercise, verdict)
    assert result.text.rstrip().endswith("0 left")
    assert result.warnings == []
    assert left(fresh) == {}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_each_wrong_answer_earns_its_sentence_and_then_the_solution_its_yes(name: str, fresh: Path) -> None:
    """The solution is the one that a reader can open, tried where the wrong answers were tried before."""
    solved = solutions(nbformat.read(FOLDER / f"{name}.ipynb", as_version=4))
    wrong = answers(name, right=False)
    attempts = {exercise: [*(answer for answer, _ in wrong.get(exercise, ())), solved[exercise]] for exercise in solved}
    result = run(name, fresh, attempts)
    for exercise, verdicts in result.verdicts.items():
        sentences = [*(sentence for _, sentence in wrong.get(exercise, ())), "● yes"]
        for number, (verdict, sentence) in enumerate(zip(verdicts, sentences, strict=True)):
            assert sentence in verdict, (exercise, number, verdict)
    assert result.text.rstrip().endswith("0 left")
    assert left(fresh) == {}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_another_way_to_the_goal_is_as_good(name: str, fresh: Path) -> None:
    others = answers(name, right=True)
    assert set(others) == set(solutions(nbformat.read(FOLDER / f"{name}.ipynb", as_version=4))), "one for each exercise"
    result = run(name, fresh, {exercise: [answer for answer, _ in given] for exercise, given in others.items()})
    for exercise, verdicts in result.verdicts.items():
        assert all(verdict.startswith("● yes") for verdict in verdicts), (exercise, verdicts)


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
