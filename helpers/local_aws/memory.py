"""The memory that handlers take, looked at while they run."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil

from .clock import Clock

if TYPE_CHECKING:
    from .environment import Environment

_SAMPLE_EVERY = 0.02
_TREE_EVERY = 0.5
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Sampler:
    """The thread that looks at the memory of running environments."""

    def __init__(self, lock: threading.RLock, clock: Clock) -> None:
        self._lock = lock
        self._clock = clock
        self._running: set[Environment] = set()
        self._some = threading.Event()
        self._stopped = False
        threading.Thread(target=self._run, name="memory", daemon=True).start()

    def watch(self, environment: Environment) -> None:
        """Begin to look at an environment; under the lock."""
        self._running.add(environment)
        if not self._some.is_set():
            self._some.set()

    def unwatch(self, environment: Environment) -> None:
        """Look no longer; under the lock."""
        self._running.discard(environment)

    def stop(self) -> None:
        """End the thread."""
        self._stopped = True
        self._some.set()

    def _run(self) -> None:
        children: dict[int, list[int]] = {}
        looked = 0.0
        while not self._stopped:
            self._some.wait()
            time.sleep(_SAMPLE_EVERY)
            with self._lock:
                if not self._running:
                    self._some.clear()
                    children = {}
                    continue
                now = self._clock.now()
                running = []
                long_running = set()
                for environment in self._running:
                    if environment.process is not None and environment.process.popen is not None:
                        pid = environment.process.popen.pid
                        running.append((environment, pid))
                        begun = environment.invocation.begun if environment.invocation is not None else None
                        if begun is not None and now - begun > _TREE_EVERY:
                            long_running.add(pid)
            # Looking through all of the machine's processes is dear: only for handlers that run on and on.
            if not long_running:
                children = {}
            elif time.monotonic() - looked > _TREE_EVERY:
                looked = time.monotonic()
                children = _trees(long_running)
            for environment, pid in running:
                used = resident(pid) + sum(map(resident, children.get(pid, ())))
                if used > environment.peak:
                    with self._lock:
                        if environment in self._running:
                            environment.took(used)


def resident(pid: int) -> int:
    """Return a process's resident bytes, 0 when it has gone."""
    if sys.platform == "linux":
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * _PAGE
        except (OSError, IndexError):
            return 0
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _trees(roots: set[int]) -> dict[int, list[int]]:
    """Return all descendants of each process."""
    parents: dict[int, int] = {}
    for process in psutil.process_iter(["ppid"]):
        parents[process.pid] = process.info["ppid"] or 0
    trees: dict[int, list[int]] = {}
    for pid in parents:
        above = parents[pid]
        while above and above not in roots:
            above = parents.get(above, 0)
        if above:
            trees.setdefault(above, []).append(pid)
    return trees
