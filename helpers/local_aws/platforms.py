"""What other systems than Linux lack of what process handling uses, and what is weaker there.

Only Linux is run. Everywhere else the local AWS does without what is missing, and its log says what that costs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import psutil

PYTHON: str = getattr(sys, "_base_executable", sys.executable) if sys.platform == "win32" else sys.executable
"""The Python of handlers' processes: on Windows not the virtual environment's, which only starts another process."""

NO_GROUPS = (
    "This system has no process groups: of what a handler has started, only what still descends from it is ended with "
    "it, and nothing when the server dies."
)
NO_FREEZING = (
    "This system cannot stop a process and let it go on: a handler's threads keep running between two invocations."
)
NO_FILE_LIMIT = "The limit of open files cannot be raised on this system: fewer environments may fit than 200."
NO_MODES = "This system's files have no mode: who may read the keys in the state files is up to their folder's rights."
NO_DEATH_SIGNAL = (
    "This system does not tell a process of its parent's death: a handler that is stuck in foreign code may outlive a "
    "server that dies."
)


def weaknesses() -> list[str]:
    """Return one sentence for each thing that is weaker on this system than on Linux, where there is none."""
    lacks = {
        NO_GROUPS: not hasattr(os, "killpg"),
        NO_FREEZING: not hasattr(signal, "SIGSTOP"),
        NO_FILE_LIMIT: sys.platform == "win32",
        NO_MODES: sys.platform == "win32",
        NO_DEATH_SIGNAL: sys.platform != "linux",
    }
    return [sentence for sentence, lacking in lacks.items() if lacking]


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process and what still descends from it, where there are no process groups."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
    process.kill()
