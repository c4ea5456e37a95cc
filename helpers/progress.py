"""What is shown while something takes its time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

_SILENCE = 2.0
"""Seconds after which something is worth a line."""


class Progress:
    """One line that is rewritten in place, begun only when the wait has become noticeable."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._shown = 0

    def show(self, text: Callable[[], str]) -> None:
        """Show a line, if it has taken long enough to be worth one."""
        if time.monotonic() - self._began > _SILENCE:
            line = text()
            self._write(line)
            self._shown = len(line)

    def end(self, text: str = "") -> None:
        """Put the last line, or none, in the place of what is shown."""
        if self._shown:
            self._write(text)
            sys.stdout.write("\n" if text else "\r")
        elif text:
            sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        self._shown = 0

    def _write(self, line: str) -> None:
        sys.stdout.write("\r" + line.ljust(self._shown))
        sys.stdout.flush()
