"""The flight recorder's reading side: rows from a source, remembered and handed out as a log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from .guard import own_part
from .recorder import frame, select

if TYPE_CHECKING:
    import pandas

_PAGE = 20_000


class Source(Protocol):
    """Where rows come from."""

    def events(self, after: int, limit: int) -> dict[str, Any]:
        """Return rows after a number: `events`, `columns`, `next` and `lost`, as `GET /_local/events` does.

        With `whole`, they are all the rows there are, and take the place of what was read before.
        """


class Recorder:
    """Reads a source, remembers what it has read, and returns it as a table.

    Parameters
    ----------
    source : Source
        Where rows come from.
    name : callable, optional
        Makes the full name of a queue or a function of the short one.
    """

    def __init__(self, source: Source, name: Callable[[str], str] = str) -> None:
        self._source = source
        self._name = name
        self._parts: list[pandas.DataFrame] = []
        self._next = 0
        self._lost = 0

    def log(
        self, *, queue: str | None = None, function: str | None = None, since: datetime | None = None
    ) -> pandas.DataFrame:
        """Return what has happened so far.

        Parameters
        ----------
        queue, function : str, optional
            Only what concerns this one; a name with or without the prefix, a URL or an ARN.
        since : datetime, optional
            Only what happened from then on, such as an earlier `lab.now()`.

        Returns
        -------
        pandas.DataFrame
            By `COLUMNS`, in the order of time. `attrs["lost"]` says how many rows were given up for newer ones.

        Raises
        ------
        LabError
            When `since` has no time zone.
        """
        import pandas

        self._read()
        if len(self._parts) > 1:
            self._parts = [pandas.concat(self._parts, ignore_index=True)]
        whole = self._parts[0] if self._parts else frame([])
        log = select(
            whole.sort_values("time", kind="stable", ignore_index=True),
            queue=None if queue is None else self._name(queue.rpartition("/")[2].rpartition(":")[2]),
            function=None if function is None else self._name(own_part(function)),
            since=since,
        )
        log.attrs["lost"] = self._lost
        return log

    def _read(self) -> None:
        while True:
            page = self._source.events(self._next, _PAGE)
            if page["next"] < self._next:
                # Another server counts from the beginning.
                self._parts, self._next, self._lost = [], 0, 0
                continue
            self._lost += page["lost"]
            self._next = page["next"]
            if page.get("whole"):
                self._parts = [frame(page["events"], page["columns"])]
                return
            if not page["events"]:
                return
            self._parts.append(frame(page["events"], page["columns"]))
            if len(page["events"]) < _PAGE:
                return
