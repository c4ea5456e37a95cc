"""The optional peer of the bench: another emulator, in an environment of its own, started through its own command."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tools.environment import ROOT, Environment, SetupError, child_environment, executable

NAME = "MiniStack"
VERSION = "1.5.33"
FOLDER = ROOT / ".build" / "peer"


def find() -> tuple[Path | None, str]:
    """Return the peer's program, installed where it is missing, and else why it is not there.

    Returns
    -------
    tuple of (Path or None, str)
        The program, and a sentence for the reader of the table when there is none.
    """
    program = executable(FOLDER, "ministack")
    stamp = FOLDER / "complete"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == VERSION and program.exists():
        return program, ""
    print(f"Fetching {NAME} {VERSION} into .build/peer …", flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    try:
        uv = Environment().uv()
        for command in (
            [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(FOLDER)],
            [uv, "pip", "install", "--quiet", "--python", str(executable(FOLDER, "python")), f"ministack=={VERSION}"],
        ):
            subprocess.run(command, cwd=ROOT, env=child_environment(), capture_output=True, check=True, timeout=300)
    except (OSError, subprocess.SubprocessError, SetupError):
        shutil.rmtree(FOLDER, ignore_errors=True)
        return None, f"{NAME} {VERSION} could not be fetched, so its column and the comparisons with it are empty."
    stamp.write_text(VERSION, encoding="utf-8")
    return program, ""
