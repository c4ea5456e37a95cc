"""Run a lab notebook as a learner does: as it stands, with its solutions, or with another answer in an exercise."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from tools.environment import ROOT

FOLDER = ROOT / "notebooks"
SECONDS_PER_CELL = 60


def tagged(cell: Any, kind: str) -> str | None:
    """Return the exercise's id if the cell carries the tag `kind:id`."""
    for tag in cell.metadata.get("tags", []):
        if tag.startswith(f"{kind}:"):
            return str(tag.partition(":")[2])
    return None


def solutions(notebook: Any) -> dict[str, str]:
    """Return each exercise's solution: the code in its collapsed block, as a reader can open it."""
    found = {}
    for cell in notebook.cells:
        exercise = tagged(cell, "solution")
        if exercise:
            found[exercise] = "\n\n".join(re.findall(r"```python\n(.*?)```", cell.source, re.DOTALL))
    return found


@dataclass
class Run:
    """What a run left.

    Attributes
    ----------
    notebook : NotebookNode
        With its outputs.
    verdicts : dict
        What each exercise's check said.
    """

    notebook: Any
    verdicts: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All text outputs, in order."""
        return "\n".join(text for cell in self.notebook.cells for text in texts(cell))


def texts(cell: Any) -> list[str]:
    """Return the text outputs of a cell."""
    return [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", [])]


def run(name: str, state_dir: Path, answers: dict[str, str] | None = None) -> Run:
    """Run a notebook from a fresh kernel in a space of its own.

    Parameters
    ----------
    name : str
        The notebook's file name without its ending.
    state_dir : Path
        Where its local AWS keeps its state; an empty folder makes the run cold.
    answers : dict, optional
        The code to stand in an exercise's cell, by exercise.
    """
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        exercise = tagged(cell, "exercise")
        if exercise and exercise in (answers or {}):
            cell.source = (answers or {})[exercise]
    manager: KernelManager = KernelManager(kernel_name="python3")
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=SECONDS_PER_CELL,
        store_widget_state=False,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "LAB_"))}
    client.execute(env={**environment, "LAB_STATE_DIR": str(state_dir), "LAB_SPACE": f"{name}-test"})
    result = Run(notebook)
    for cell in notebook.cells:
        exercise = tagged(cell, "check")
        if exercise:
            result.verdicts[exercise] = texts(cell)[-1]
    return result
