"""One thread that waits for the sockets, the pipes and the ends of all handler processes."""

from __future__ import annotations

import collections
import contextlib
import logging
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)


class Loop:
    """The thread that waits for all sockets, pipes and process ends."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._calls: collections.deque[Callable[[], None]] = collections.deque()
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)
        self.selector.register(self._wake_out, selectors.EVENT_READ, self._woken)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="environments", daemon=True)
        self._thread.start()

    def call(self, action: Callable[[], None]) -> None:
        """Run `action` in the thread, soon."""
        self._calls.append(action)
        with contextlib.suppress(OSError):
            self._wake_in.send(b"\0")

    def add(self, file: Any, on_ready: Callable[[int], None]) -> None:
        """Call `on_ready(events)` whenever `file` can be read; in the loop's thread only."""
        self.selector.register(file, selectors.EVENT_READ, on_ready)

    def remove(self, file: Any) -> None:
        """Stop waiting for `file`; in the loop's thread only."""
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(file)

    def stop(self) -> None:
        """End the thread."""
        self._stopped = True
        self.call(lambda: None)
        if threading.current_thread() is not self._thread:
            self._thread.join(2)

    def _woken(self, _: int) -> None:
        with contextlib.suppress(OSError):
            while self._wake_out.recv(4096):
                continue

    def _run(self) -> None:
        while not self._stopped:
            for key, events in self.selector.select():
                self._safely(lambda key=key, events=events: key.data(events))  # type: ignore[misc]
            while self._calls:
                self._safely(self._calls.popleft())
        self.selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _safely(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:
            log.exception("an execution environment's event failed")
