"""The thread that starts handler processes, and the guard process that ends them should the server die."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import subprocess
import sys
import threading

from .handler_process import Process
from .handler_view import RUNTIME

log = logging.getLogger(__name__)


class Spawner:
    """The thread that starts processes, and the guard that ends them should the server die."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._orders: queue.SimpleQueue[Process | None] = queue.SimpleQueue()
        self._lifeline, self._life = os.pipe()
        self._guard: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="spawner", daemon=True)
        self._thread.start()

    def spawn(self, process: Process) -> None:
        """Start a process soon."""
        self._orders.put(process)

    def ended(self, group: int) -> None:
        """Forget a process group."""
        self._tell(f"-{group}\n")

    def stop(self) -> None:
        """End the thread and the guard."""
        self._orders.put(None)
        self._thread.join(2)
        os.close(self._lifeline)
        os.close(self._life)
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._guard.wait(2)

    def _run(self) -> None:
        while (process := self._orders.get()) is not None:
            try:
                process.spawn(self._lifeline)
            except Exception as problem:
                log.exception("an execution environment could not be started")
                reason = problem if isinstance(problem, OSError) else OSError(str(problem))
                with self._lock:
                    process.environment.spawn_failed(process, reason)
                continue
            if self._guard is None and hasattr(os, "killpg"):
                self._guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(RUNTIME / "guard.py")],
                    stdin=subprocess.PIPE,
                    start_new_session=True,
                    env={},
                )
            if process.popen is not None:
                self._tell(f"+{process.popen.pid}\n")

    def _tell(self, line: str) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._guard.stdin.write(line.encode())
                self._guard.stdin.flush()
