"""Every lab runs cold and alone: as it stands, and with the answers that learners give before the solution."""

from __future__ import annotations

import importlib
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tools import course
from tools.environment import ROOT

from .notebooks import FOLDER, left, run, solutions, tagged

NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
# A notebook whose metadata calls it a replay shows claims about AWS one by one: there is nothing in it to solve, and a
# claim's whole experiment stands in one cell.
REPLAYS = [name for name in NOTEBOOKS if course.read(FOLDER / f"{name}.ipynb").kind == "replay"]
LABS = [name for name in NOTEBOOKS if name not in REPLAYS]
HEADINGS = ("# ", "## Set up", "## Exercises", "## Key points", "## Glossary", "## In practice", "## Clean up")
REPLAY_HEADINGS = ("# ", "## Set up", "## What was seen", "## In practice", "## Clean up")

MOST_CELLS = {"16-incident-drills": 60}
"""By notebook, how many cells it may have where 40 do not do: nine drills have five each."""


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


@pytest.mark.parametrize("name", LABS)
def test_as_it_stands_it_reaches_the_bottom_and_every_exercise_is_not_yet_done(name: str, fresh: Path) -> None:
    result = run(name, fresh)
    assert result.verdicts
    for exercise, (verdict,) in result.verdicts.items():
        assert verdict.startswith("○ not yet"), (exercise, verdict)
    assert result.text.rstrip().endswith("0 left")
    assert result.warnings == []
    assert left(fresh) == {}


def tries(name: str) -> dict[str, list[tuple[str, str]]]:
    """Return what is tried at each exercise of a notebook, and what its check has to say.

    Wrong answers and other right ones take turns, so that a right one has something to mend, and a wrong one after it
    is still told; the last is the solution, as a reader can open it.
    """
    solved = solutions(nbformat.read(FOLDER / f"{name}.ipynb", as_version=4))
    wrong, right = answers(name, right=False), answers(name, right=True)
    assert set(right) == set(solved), "another right answer for each exercise"
    found = {}
    for exercise, solution in solved.items():
        turns = itertools.zip_longest(wrong.get(exercise, ()), right[exercise])
        found[exercise] = [*(one for turn in turns for one in turn if one), (solution, "● yes")]
    return found


@pytest.mark.parametrize("name", LABS)
def test_each_wrong_answer_earns_its_sentence_and_each_right_one_its_yes(name: str, fresh: Path) -> None:
    given = tries(name)
    result = run(name, fresh, {exercise: [answer for answer, _ in turns] for exercise, turns in given.items()})
    for exercise, verdicts in result.verdicts.items():
        sentences = [sentence for _, sentence in given[exercise]]
        for number, (verdict, sentence) in enumerate(zip(verdicts, sentences, strict=True)):
            assert sentence in verdict, (exercise, number, verdict)
    assert result.text.rstrip().endswith("0 left")
    assert left(fresh) == {}


@pytest.mark.parametrize("name", REPLAYS)
def test_a_replay_sees_what_every_claim_says(name: str, fresh: Path) -> None:
    result = run(name, fresh)
    claims = sum(cell.source.count("replay.claim(") for cell in result.notebook.cells if cell.cell_type == "code")
    assert f"{claims} of {claims} as claimed" in result.text
    assert "differs" not in result.text
    assert result.text.rstrip().endswith("0 left")
    assert result.warnings == []
    assert left(fresh) == {}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_its_anatomy(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    lines = sorted(len([line for line in cell.source.splitlines() if line.strip()]) for cell in code)
    assert len(notebook.cells) <= MOST_CELLS.get(name, 40)
    assert all(not cell.outputs and cell.execution_count is None for cell in code), "outputs are stripped in git"
    if name in LABS:
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
    assert kinds["exercise"] == kinds["check"] == kinds["solution"]
    assert bool(kinds["exercise"]) is (name in LABS)
    for heading in HEADINGS if name in LABS else REPLAY_HEADINGS:
        assert re.search(rf"^{heading}", prose, re.MULTILINE), heading
