"""What is kept of a learner: files of theirs, one a notebook, beside the state of the local AWS."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import platformdirs

from .errors import LabError


def folder(kind: str) -> Path:
    """Return where the files of a kind stand, such as `predictions`: under `LAB_STATE_DIR`, else the user's own."""
    chosen = os.environ.get("LAB_STATE_DIR")
    state = Path(chosen) if chosen else platformdirs.user_state_path("lambda-sqs-labs", appauthor=False)
    return state / kind


def file(kind: str, notebook: str) -> Path:
    """Return the file of a notebook, by its two digits."""
    return folder(kind) / f"{notebook}.json"


def notebooks(kind: str) -> list[str]:
    """Return the numbers of the notebooks of which something is kept."""
    return sorted(path.stem for path in folder(kind).glob("[0-9][0-9].json"))


def read(kind: str, notebook: str) -> list[Any]:
    """Return the entries of a notebook's file.

    Raises
    ------
    ValueError
        When the file holds no list.
    LabError
        When it cannot be opened.
    """
    try:
        entries = json.loads(file(kind, notebook).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise _unusable(kind, problem) from None
    if not isinstance(entries, list):
        raise ValueError(f"{kind} are no list")
    return entries


def set_aside(kind: str, notebook: str) -> None:
    """Keep a file that cannot be read under another name, and say so."""
    path = file(kind, notebook)
    aside, number = path.with_suffix(".unreadable"), 1
    while aside.exists():
        number += 1
        aside = path.with_suffix(f".unreadable-{number}")
    os.replace(path, aside)
    print(f"Your {kind} could not be read and begin anew; what was there is kept in {aside.name}.")


def write(kind: str, notebook: str, entries: list[Any]) -> None:
    """Put entries into a notebook's file, whole or not at all; only its learner may read it.

    Raises
    ------
    LabError
        When it cannot be written.
    """
    path = file(kind, notebook)
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            json.dump(entries, opened, indent=1, ensure_ascii=False)
        os.replace(part, path)
    except OSError as problem:
        raise _unusable(kind, problem) from None


def forget(kind: str, notebook: str) -> bool:
    """Remove a notebook's file; return whether there was one."""
    path = file(kind, notebook)
    existed = path.exists()
    path.unlink(missing_ok=True)
    return existed


def _unusable(kind: str, problem: OSError) -> LabError:
    return LabError(
        f"Your {kind} cannot be kept in {folder(kind)} ({problem.strerror}).",
        "",
        "Name a folder of yours in LAB_STATE_DIR.",
    )
