"""The pool of execution environments: which one takes an invocation, and how long an idle one lives.

Everything about environments that changes state does so under the scheduler's lock. Three threads serve them all: one
starts processes (and must live as long as they do: the kernel's parent-death signal is tied to it), one reads the
sockets and pipes, one samples memory while handlers run.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import mmap
import os
import shutil
import signal
import struct
import sys
import time
from typing import TYPE_CHECKING

from .clock import Timer
from .environment import Environment
from .invocations import Invocation, Recipe, Result
from .io_loop import Loop
from .memory import Sampler
from .spawner import Spawner

if TYPE_CHECKING:
    from .space import Space

log = logging.getLogger(__name__)

IDLE_LIFE = 600.0
"""Seconds after which an environment that nobody needs ends."""
MACHINE_CAP = 200
"""Environments at a time on this machine; beyond it invocations wait."""

_CLOSED = Result(b'{"errorType":"Runtime.ExitError","errorMessage":"The local AWS has ended"}', True, 0.0, b"")


class Environments:
    """All environments of a space.

    Parameters
    ----------
    space : Space
        The space; `space.workdir` must exist.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.folder = space.workdir / "environments"
        self.folder.mkdir(parents=True, exist_ok=True)
        _allow_open_files()
        self.loop = Loop()
        self.spawner = Spawner(space.scheduler.lock)
        self.sampler = Sampler(space.scheduler.lock, space.clock)
        self.freezes = hasattr(signal, "SIGSTOP") and not os.environ.get("LOCAL_AWS_NO_FREEZE")
        self._idle: dict[object, list[Environment]] = {}
        self._all: set[Environment] = set()
        self._waiting: collections.deque[tuple[Recipe, Invocation]] = collections.deque()
        self._sweep: Timer | None = None
        self._closed = False
        self.clock_file = space.workdir / "clock"
        self.clock_file.write_bytes(struct.pack("<d", space.clock.offset))
        with self.clock_file.open("r+b") as file:
            self._clock = mmap.mmap(file.fileno(), 8)
        space.scheduler.on_offset(self._follow_clock)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def waiting(self) -> int:
        """How many invocations wait because the machine's cap is reached."""
        return len(self._waiting)

    def invoke(self, recipe: Recipe, invocation: Invocation) -> None:
        """Run an invocation in the environment that was used last, or in a new one."""
        if self._closed:
            invocation.finish(_CLOSED)
            return
        idle = self._idle.get(recipe.key)
        while idle:
            environment = idle.pop()
            if environment.usable():
                environment.begin(invocation)
                return
            environment.retire()
        if len(self._all) >= MACHINE_CAP:
            self._make_room()
        if len(self._all) >= MACHINE_CAP:
            if not self._waiting:
                log.warning("%d execution environments are in use; further invocations wait for one", MACHINE_CAP)
            self._waiting.append((recipe, invocation))
            return
        self._new(recipe).begin(invocation)

    def freed(self, environment: Environment) -> None:
        """Take an environment back whose invocation has ended."""
        self.sampler.unwatch(environment)
        if environment.retired or self._closed:
            environment.end()
            return
        for index, (recipe, invocation) in enumerate(self._waiting):
            if recipe.key is environment.recipe.key:
                del self._waiting[index]
                environment.begin(invocation)
                return
        environment.idle_since = self.space.clock.now()
        self._idle.setdefault(environment.recipe.key, []).append(environment)
        if self._waiting:
            self._make_room()
        elif self._sweep is None:
            self._sweep = self.space.scheduler.after(IDLE_LIFE, self._end_idle)

    def retire(self, recipe: Recipe) -> None:
        """Let the environments of a recipe come to their end: nothing new starts in them."""
        self._idle.pop(recipe.key, None)
        for environment in list(self._all):
            if environment.recipe.key is recipe.key:
                environment.retire()

    def forget(self, environment: Environment) -> None:
        """Drop an environment whose process has ended, and let a waiting invocation have its place."""
        if environment not in self._all:
            return
        self._all.discard(environment)
        self.space.events.publish(
            "environment ended", environment=environment.name, function=environment.recipe.function
        )
        idle = self._idle.get(environment.recipe.key)
        if idle and environment in idle:
            idle.remove(environment)
        shutil.rmtree(environment.folder, ignore_errors=True)
        if self._waiting and not self._closed and len(self._all) < MACHINE_CAP:
            recipe, invocation = self._waiting.popleft()
            self._new(recipe).begin(invocation)

    def close(self) -> None:
        """Kill every environment."""
        with self.space.scheduler.lock:
            if self._closed:
                return
            self._closed = True
            waiting, self._waiting = self._waiting, collections.deque()
            for _, invocation in waiting:
                invocation.finish(_CLOSED)
            for environment in list(self._all):
                environment.end()
        give_up = time.monotonic() + 2
        while self._all and time.monotonic() < give_up:
            time.sleep(0.005)
        self.sampler.stop()
        self.spawner.stop()
        self.loop.stop()
        self._clock.close()

    def _new(self, recipe: Recipe) -> Environment:
        environment = Environment(self, recipe)
        environment.folder.mkdir()
        self._all.add(environment)
        return environment

    def _make_room(self) -> None:
        """End the environment that has been idle longest."""
        idle = [environment for group in self._idle.values() for environment in group]
        if idle:
            oldest = min(idle, key=lambda environment: environment.idle_since)
            self._idle[oldest.recipe.key].remove(oldest)
            oldest.retire()

    def _end_idle(self) -> None:
        self._sweep = None
        now = self.space.clock.now()
        left = []
        for group in self._idle.values():
            for environment in list(group):
                if environment.idle_since + IDLE_LIFE <= now:
                    group.remove(environment)
                    environment.retire()
                else:
                    left.append(environment.idle_since)
        if left:
            self._sweep = self.space.scheduler.at(min(left) + IDLE_LIFE, self._end_idle)

    def _follow_clock(self, offset: float) -> None:
        if not self._clock.closed:
            struct.pack_into("<d", self._clock, 0, offset)


def _allow_open_files() -> None:
    """Raise the soft limit of open files: an environment takes four, and many systems allow 1,024 or 256."""
    if sys.platform == "win32":
        return
    import resource

    with contextlib.suppress(ValueError, OSError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
