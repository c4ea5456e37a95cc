"""The whole course in one place, in order, and every notebook again after an interrupt: `make course-long`."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from helpers.lab import Lab
from tools import course, tracks

from . import test_capstone, test_incidents
from .notebooks import FOLDER, left, run, session, solutions, tagged, texts
from .test_notebooks import LABS, NOTEBOOKS, stop_all

SPACE = "course"
lab = test_capstone.lab


@pytest.fixture(scope="module")
def one_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the state folder that all notebooks share."""
    folder = tmp_path_factory.mktemp("course")
    yield folder
    stop_all(folder)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_in_order_in_one_place_every_solution_is_a_yes(name: str, one_place: Path) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    result = run(name, one_place, {exercise: [code] for exercise, code in solutions(notebook).items()}, SPACE)
    assert all(verdict.startswith("● yes") for (verdict,) in result.verdicts.values()), result.verdicts
    assert left(one_place) == {}


@pytest.mark.parametrize("name", LABS)
def test_an_interrupted_notebook_can_be_run_again(name: str, one_place: Path) -> None:
    """The cell that an exercise waits in is stopped; then all cells are run from the first one, in the same kernel."""
    with session(name, one_place, SPACE) as opened:
        cells = opened.notebook.cells
        stopped = next(index for index, cell in enumerate(cells) if tagged(cell, "exercise"))
        for index in range(stopped):
            opened.execute(index)
        cells[stopped].source, written = "lab.wait_until(lambda: False, timeout=10**9)", cells[stopped].source
        cells[stopped].metadata["tags"].append("raises-exception")
        threading.Timer(1, opened.interrupt).start()
        opened.execute(stopped)
        assert "Stopped while waiting" in str(cells[stopped].outputs)
        cells[stopped].source = written
        cells[stopped].metadata["tags"].remove("raises-exception")
        for index in range(len(cells)):
            opened.execute(index)
        last = [cell for cell in cells if cell.cell_type == "code"][-1]
        assert texts(last)[-1].rstrip().endswith("0 left")
    assert left(one_place) == {}


@pytest.mark.parametrize("letter", "abcde")
def test_on_another_day_too_a_design_gets_its_scorecard(lab: Lab, letter: str) -> None:
    test_capstone.judged(lab, letter, 2)


@pytest.mark.parametrize("name", test_incidents.DRILLS)
def test_every_known_repair_of_a_drill_earns_its_sentence(lab: Lab, name: str) -> None:
    test_incidents.repaired(lab, name, test_incidents.REPAIRS[name])


def parts() -> list[tuple[str, tuple[str, ...]]]:
    """Return the notebooks of which a track takes some sections, and those."""
    notebooks = course.notebooks()
    names = {notebook.number: notebook.path.stem for notebook in notebooks}
    taken = {
        (names[part.labs[0]], part.sections)
        for track in tracks.read(notebooks)
        for one in track.sessions
        for part in one.parts
        if part.sections
    }
    return sorted(taken)


@pytest.mark.parametrize(("name", "sections"), parts(), ids=lambda value: value if isinstance(value, str) else "")
def test_the_sections_that_a_track_takes_run_without_the_others(
    name: str, sections: tuple[str, ...], one_place: Path
) -> None:
    with session(name, one_place, SPACE) as opened:
        within = False
        for index, cell in enumerate(opened.notebook.cells):
            if cell.cell_type == "markdown" and (found := re.findall(r"^#{2,4} (.+)$", cell.source, re.MULTILINE)):
                within = found[-1] in ("Set up", "Clean up", *sections)
            if within and cell.cell_type == "code":
                opened.execute(index)
    assert left(one_place) == {}
