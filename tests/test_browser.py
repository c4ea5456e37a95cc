"""The labs in a real JupyterLab in Chromium: they open without pop-ups, and Run All reaches the bottom."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import DARK, LIGHT, NotebookPage, Server, chromium_page
from tools.environment import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SMALL = {
    "cells": [
        {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# A small notebook"},
        {"cell_type": "code", "id": "one", "metadata": {}, "execution_count": None, "outputs": [], "source": "6 * 7"},
        {"cell_type": "code", "id": "two", "metadata": {}, "execution_count": None, "outputs": [], "source": "1 / 0"},
        {"cell_type": "code", "id": "six", "metadata": {}, "execution_count": None, "outputs": [], "source": "'late'"},
    ],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a copy of the labs, so that JupyterLab's saving leaves the repository alone."""
    root = tmp_path_factory.mktemp("labs")
    for folder in ("notebooks", "data"):
        if (ROOT / folder).exists():
            shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns(".*"))
    (root / "small.ipynb").write_text(json.dumps(SMALL))
    server = Server(root, tmp_path_factory.mktemp("jupyter"))
    try:
        server.wait_until_up()
        yield server
    finally:
        server.close()


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Return the folder for pictures: LAB_SCREENSHOTS, else pytest's own."""
    folder = Path(os.environ.get("LAB_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_run_all_stops_at_an_error_and_tells_it(server: Server) -> None:
    """The test of the driver itself: outputs are read, and an error is seen, not waited over."""
    with chromium_page() as page:
        notebook = NotebookPage(page, server.address("small.ipynb"))
        assert notebook.popups() == []
        one, two, six = notebook.run_all(30)
    assert one.outputs[0]["data"]["text/plain"] == "42"
    assert two.errors == ["'1 / 0' raised ZeroDivisionError: division by zero"]
    assert six.count is None
    assert server.warnings() == []


def test_the_first_lab_runs_from_top_to_bottom(server: Server, screenshots: Path) -> None:
    """Run All on the lab as a learner gets it, with its stubs unfilled; pictures in both themes."""
    with chromium_page() as page:
        notebook = NotebookPage(page, server.address("notebooks/00-start-here.ipynb"))
        cells = notebook.run_all()
        for theme, name in ((LIGHT, "light"), (DARK, "dark")):
            notebook.screenshot(theme, screenshots / f"00-start-here-{name}.png")
        popups = notebook.popups()
    assert [error for cell in cells for error in cell.errors] == []
    assert all(cell.count for cell in cells if cell.source)
    assert popups == []
    assert server.warnings() == []
