"""Log lines on their way to CloudWatch Logs, written with the rights of the role that writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .space import Space

_MOST_BUFFERED = 50_000


class Logs:
    """The buffer between the functions and CloudWatch Logs.

    Parameters
    ----------
    space : Space
        The space whose control plane keeps the logs.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._buffer: dict[tuple[str, str], list[tuple[int, str]]] = {}
        self._buffered = 0
        self._streams: set[tuple[str, str]] = set()

    def write(self, role_arn: str, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        """Write log events as a role; without the rights they are lost and nobody is told (row E8).

        Parameters
        ----------
        role_arn : str
            The execution role.
        group, stream : str
            Where to.
        events : sequence of (int, str)
            Epoch milliseconds and text.
        """
        if not events or not self._may_write(role_arn, group, stream):
            return
        self._buffer.setdefault((group, stream), []).extend(events)
        self._buffered += len(events)
        if self._buffered > _MOST_BUFFERED:
            self.flush()

    def flush(self) -> None:
        """Hand everything that was written so far to CloudWatch Logs, in the order of its time."""
        with self._space.scheduler.lock:
            buffer, self._buffer, self._buffered = self._buffer, {}, 0
            for (group, stream), events in buffer.items():
                events.sort(key=lambda event: event[0])
                self._space.control.put_log_events(group, stream, events)

    def _may_write(self, role_arn: str, group: str, stream: str) -> bool:
        allows = self._space.permissions.role_allows
        of_group = self._space.arn("logs", f"log-group:{group}")
        of_stream = f"{of_group}:log-stream:{stream}"
        if not allows(role_arn, "logs:PutLogEvents", of_stream):
            return False
        # A group that was deleted is made again, and the right to do so is asked again.
        new_group = not self._group_exists(group)
        if new_group and not allows(role_arn, "logs:CreateLogGroup", of_group):
            return False
        if new_group or (group, stream) not in self._streams:
            if not allows(role_arn, "logs:CreateLogStream", of_stream):
                return False
            self._streams.add((group, stream))
        return True

    def _group_exists(self, group: str) -> bool:
        return any(group == known for known, _ in self._buffer) or self._space.control.log_group_exists(group)
