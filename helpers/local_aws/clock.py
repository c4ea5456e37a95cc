"""Virtual time, and the scheduler of everything that happens later.

Time runs at real speed and can be advanced. It is never set in one jump: `Scheduler.advance` walks from due event to
due event and lets everything that an event starts come to its end, so that a retry which is due on the way happens
when it is due.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

LAST_RUNS = 5.0
"""Seconds after the target for which `Scheduler.advance` waits for work that still runs."""


class Clock:
    """Seconds since the epoch, as the space sees them.

    The base is the monotonic clock, so that a correction of the machine's own clock moves no message.
    """

    def __init__(self) -> None:
        self._base = time.time() - time.monotonic()
        self.offset = 0.0
        """Seconds by which the space is ahead of real time."""

    def now(self) -> float:
        """Return the present time of the space in seconds since the epoch."""
        return self._base + time.monotonic() + self.offset


class Timer:
    """One thing that is due later; `cancel` makes it not happen."""

    __slots__ = ("action", "due")

    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due = due
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Make the action not happen. Harmless when it has happened already."""
        self.action = None


class Scheduler:
    """The one queue of due events, and the one lock of the space.

    Every change of the space's state happens under `lock`; every action is called with it held. An action must not
    block: what takes time (a handler's run) is started by the action, counted with `hold` and `release`, and
    reports back in another call under the lock.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._busy = 0
        self._advancing = False
        self._stopped = False
        self._on_offset: list[Callable[[float], None]] = []
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def start(self) -> None:
        """Begin to run due events in real time."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; nothing that is still due happens."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def at(self, due: float, action: Callable[[], None]) -> Timer:
        """Call `action` under the lock once the clock has reached `due`; equal times keep the order of the calls."""
        with self._changed:
            timer = Timer(due, action)
            if not self._heap or due < self._heap[0][0]:
                self._changed.notify_all()
            heapq.heappush(self._heap, (due, next(self._order), timer))
            return timer

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Call `action` under the lock `seconds` from now."""
        return self.at(self.clock.now() + seconds, action)

    def hold(self) -> None:
        """Count one more piece of work that must end before time may be advanced."""
        with self._changed:
            self._busy += 1

    def release(self) -> None:
        """Count one piece of work less."""
        with self._changed:
            self._busy -= 1
            if not self._busy:
                self._changed.notify_all()

    @property
    def busy(self) -> int:
        """How many pieces of work hold the clock at real speed."""
        return self._busy

    def on_offset(self, listener: Callable[[float], None]) -> None:
        """Call `listener(offset)` under the lock whenever the clock has been advanced."""
        self._on_offset.append(listener)

    def advance(self, target: float, patience: float | None = None) -> bool:
        """Advance the clock to `target`, event by event.

        While a handler runs, time passes at real speed: the next event has to wait for it, as it would on AWS. What
        runs when `target` is reached has `LAST_RUNS` seconds to end; where handlers always overlap, nothing ever rests.

        Parameters
        ----------
        target : float
            Seconds since the epoch.
        patience : float, optional
            Real seconds after which to come back although `target` is not reached, for a caller who shows progress.

        Returns
        -------
        bool
            Whether `target` was reached.
        """
        give_up = None if patience is None else time.monotonic() + patience
        with self._changed:
            while self._advancing:
                self._changed.wait(0.05)
                if give_up is not None and time.monotonic() > give_up:
                    return False
            self._advancing = True
            try:
                while not self._stopped:
                    self._run_due()
                    now = self.clock.now()
                    if now >= target and (not self._busy or now >= target + LAST_RUNS):
                        return True
                    if give_up is not None and time.monotonic() > give_up:
                        return False
                    if self._busy:
                        due = self._next_due()
                        pause = 0.25 if due is None else min(0.25, max(0.0, due - now))
                        self._changed.wait(pause)
                        continue
                    due = self._next_due()
                    self._move_to(target if due is None else min(due, target))
                return False
            finally:
                self._advancing = False
                self._changed.notify_all()

    def _move_to(self, moment: float) -> None:
        ahead = moment - self.clock.now()
        if ahead > 0:
            self.clock.offset += ahead
            for listener in self._on_offset:
                listener(self.clock.offset)

    def _next_due(self) -> float | None:
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _run_due(self) -> None:
        while (due := self._next_due()) is not None and due <= self.clock.now():
            action = heapq.heappop(self._heap)[2].action
            if action is None:
                continue
            try:
                action()
            except Exception:
                log.exception("an event of the local AWS failed")

    def _run(self) -> None:
        with self._changed:
            while not self._stopped:
                if self._advancing:
                    self._changed.wait()
                    continue
                self._run_due()
                due = self._next_due()
                self._changed.wait(None if due is None else max(0.0, due - self.clock.now()))
