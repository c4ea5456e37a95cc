"""The queues of a space: found by name, ARN or URL, created and deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import queue_attributes
from . import sqs_errors as errors
from .messages import Draft, Message, Sent
from .move_tasks import MoveTasks
from .queue_fifo import FifoQueue
from .queue_standard import StandardQueue
from .queue_store import Queue, Receiver

if TYPE_CHECKING:
    from .space import Space

__all__ = ["Draft", "FifoQueue", "Message", "Queue", "Queues", "Receiver", "Sent", "StandardQueue"]

NAME_BLOCKED_FOR = 60.0
"""Row A11."""


class Queues:
    """All queues of a space.

    Attributes
    ----------
    space : Space
        The space.
    move_tasks : MoveTasks
        Their redrive tasks.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.move_tasks = MoveTasks(self)
        self._queues: dict[str, Queue] = {}
        self._deleted: dict[str, float] = {}
        space.metrics.each_minute(self._minute)

    def __iter__(self) -> Iterator[Queue]:
        """Yield the queues in the order of their names."""
        return iter([self._queues[name] for name in sorted(self._queues)])

    def __len__(self) -> int:
        """Return how many queues there are."""
        return len(self._queues)

    def __bool__(self) -> bool:
        """Return true: a space without queues still has its store."""
        return True

    def url(self, name: str) -> str:
        """Return the URL that a queue of this name has."""
        return f"{self.space.url}/{self.space.account}/{name}"

    def get(self, name: str) -> Queue | None:
        """Return the queue of this name."""
        return self._queues.get(name)

    def by_arn(self, arn: str) -> Queue | None:
        """Return the queue with this ARN; None for another account's or Region's."""
        parts = queue_attributes.arn_parts(arn)
        if parts is None or parts[:2] != (self.space.region, self.space.account):
            return None
        return self._queues.get(parts[2])

    def by_url(self, url: str) -> Queue:
        """Return the queue that a caller's QueueUrl names: the last two parts of its path count.

        Raises
        ------
        ApiError
            `InvalidAddress` for what is no queue's URL, `QueueDoesNotExist` for an unknown queue (row A14).
        """
        account, name = self.split_url(url)
        queue = self._queues.get(name) if account == self.space.account else None
        if queue is None:
            raise errors.no_such_queue()
        return queue

    @staticmethod
    def split_url(url: str) -> tuple[str, str]:
        """Return the account and the name in a queue's URL.

        Raises
        ------
        ApiError
            `InvalidAddress` for what is no queue's URL.
        """
        try:
            parts = [part for part in urlsplit(url).path.split("/") if part]
        except ValueError:
            parts = []
        if len(parts) < 2:
            raise errors.invalid_address(url)
        return parts[-2], parts[-1]

    def create(self, name: str, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> Queue:
        """Create a queue, or return the one that is there with the same attributes (rows A9 to A11, B31).

        Raises
        ------
        ApiError
            For a wrong name or attribute, a different queue of this name, or a name deleted within 60 s.
        """
        fifo = queue_attributes.check_name(name, attributes)
        checked = queue_attributes.check(attributes, self._surroundings(self.space.arn("sqs", name), fifo))
        present = self._queues.get(name)
        if present is not None:
            for key, value in checked.items():
                if present.attributes.get(key, "") != value:
                    raise errors.queue_exists(key)
            return present
        now = self.space.clock.now()
        if now - self._deleted.get(name, -NAME_BLOCKED_FOR) < NAME_BLOCKED_FOR:
            raise errors.queue_deleted_recently()
        defaults = dict(queue_attributes.DEFAULTS)
        if fifo:
            defaults |= queue_attributes.FIFO_DEFAULTS
        kind = FifoQueue if fifo else StandardQueue
        queue = kind(self, name, queue_attributes.merge(defaults, checked))
        queue.tags.update(tags)
        self._queues[name] = queue
        return queue

    def configure(self, queue: Queue, attributes: Mapping[str, Any]) -> None:
        """Change attributes of a queue; an empty text removes one (row A19).

        Raises
        ------
        ApiError
            For a wrong attribute; then nothing is changed.
        """
        checked = queue_attributes.check(attributes, self._surroundings(queue.arn, queue.fifo))
        queue.configure(queue_attributes.merge(queue.attributes, checked))

    def delete(self, queue: Queue) -> None:
        """Delete a queue with all that it holds, at once (row A12)."""
        del self._queues[queue.name]
        self._deleted[queue.name] = self.space.clock.now()
        queue.close()

    def sources_of(self, queue: Queue) -> list[Queue]:
        """Return the queues whose dead-letter queue this is."""
        return [other for other in self if other.redrive is not None and other.redrive.target_arn == queue.arn]

    def _surroundings(self, arn: str, fifo: bool) -> queue_attributes.Surroundings:
        def allow_policy(target: str) -> str | None:
            queue = self.by_arn(target)
            return None if queue is None else queue.attributes.get("RedriveAllowPolicy", "")

        def has_role(role_arn: str) -> bool:
            return self.space.control.role(role_arn) is not None

        return queue_attributes.Surroundings(arn, fifo, allow_policy, has_role)

    def _minute(self, minute: float) -> None:
        for queue in self._queues.values():
            queue.gauge(minute)
