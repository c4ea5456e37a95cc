"""The event feed: every step in a message's life, as the flight recorder reads it.

It is part of no AWS API. What happens is appended to a bounded buffer with a running number; a reader asks for what
came after the number that it knows.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .space import Space

COLUMNS = (
    "time",
    "event",
    "message",
    "queue",
    "receive_count",
    "group",
    "request",
    "environment",
    "function",
    "outcome",
)
"""The fields of a row. `time` is in seconds since the epoch, on the space's clock."""

CAPACITY = 300_000
"""Rows that are kept; the oldest go first."""

LONGEST = 20_000
"""Rows in one answer of the lab endpoint."""

Row = tuple[float, str, str | None, str | None, int | None, str | None, str | None, str | None, str | None, str | None]


class Page(NamedTuple):
    """Some of the feed.

    Attributes
    ----------
    rows : list of tuple
        By `COLUMNS`, in the order in which they were published.
    next : int
        What to ask for next: the number of the last row here.
    lost : int
        Rows after the number asked for that the buffer no longer holds.
    """

    rows: list[Row]
    next: int
    lost: int


class Events:
    """The feed of one space. Everything is called under the space's lock.

    Parameters
    ----------
    space : Space
        The space, for its clock and its lock.
    capacity : int
        Rows that are kept.
    """

    def __init__(self, space: Space, capacity: int = CAPACITY) -> None:
        self._now = space.clock.now
        self._lock = space.scheduler.lock
        self._rows: deque[Row] = deque(maxlen=capacity)
        self._append = self._rows.append
        self._published = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def published(self) -> int:
        """How many rows there have been: the number of the latest one."""
        return self._published

    def publish(
        self,
        event: str,
        *,
        message: str | None = None,
        queue: str | None = None,
        receive_count: int | None = None,
        group: str | None = None,
        request: str | None = None,
        environment: str | None = None,
        function: str | None = None,
        outcome: str | None = None,
        at: float | None = None,
    ) -> None:
        """Append a row.

        Parameters
        ----------
        event : str
            What happened, such as `received`.
        message, queue, group, request, environment, function : str, optional
            The message's id, the queue's name, MessageGroupId, the invocation's request id, the last part of the
            environment's log stream, the function's name.
        receive_count : int, optional
            The receive that this belongs to.
        outcome : str, optional
            What came of it, such as the error's type or the dead-letter queue's name.
        at : float, optional
            When, in seconds since the epoch; without it now.
        """
        self._published += 1
        self._append(
            (
                self._now() if at is None else at,
                event,
                message,
                queue,
                receive_count,
                group,
                request,
                environment,
                function,
                outcome,
            )
        )

    def since(self, number: int, limit: int = LONGEST) -> Page:
        """Return the rows after the one with this number, 0 for all, at most `limit` of them."""
        with self._lock:
            held = len(self._rows)
            oldest = self._published - held
            start = min(max(number, oldest), self._published)
            taken = max(0, min(limit, self._published - start))
            skip = start - oldest
            if skip <= held // 2:
                rows = list(islice(self._rows, skip, skip + taken))
            else:
                behind = held - skip
                rows = list(islice(reversed(self._rows), behind - taken, behind))
                rows.reverse()
            return Page(rows, start + taken, max(0, oldest - max(number, 0)))

    def page(self, number: int, limit: int = LONGEST) -> dict[str, Any]:
        """Return the same as the lab endpoint's answer: `events`, `columns`, `next` and `lost`."""
        rows, following, lost = self.since(number, min(limit, LONGEST))
        return {"events": rows, "columns": COLUMNS, "next": following, "lost": lost}
