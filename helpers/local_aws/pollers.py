"""Pollers: how an event source mapping reads its queue and invokes its function (rows C64 to C110).

A mapping's pollers are no threads. While one of them is free the mapping stands in the queue's line of receivers, like
any long poll; a batch that is delivered goes to the function, and the invocation's end deletes what succeeded, leaves
the rest to its visibility timeout, and puts the mapping back in line.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import ApiError
from .functions import Outcome, Throttled
from .queues import Message, Queue, Receiver
from .records import ENVELOPE, PAYLOAD_LIMIT, payload, record, size

if TYPE_CHECKING:
    from .clock import Timer
    from .mappings import Mapping, Settings
    from .space import Space

FIRST_POLLERS = 5
"""Batches that a mapping handles at once from the start (row C65)."""

GROWTH_PER_MINUTE = 300
"""Concurrent invocations that a mapping may add in a minute while it is behind (row C66)."""

MOST_CONCURRENT = 1250
"""Concurrent invocations of a mapping (row C67)."""

POLL_SECONDS = 20.0
"""How long an idle poller's receive waits (row G15: an assumption, AWS does not say)."""

QUIET_SECONDS = 60.0
"""After so long without being behind a mapping is back at its first pollers (row C68)."""

_FIRST_THROTTLE_PAUSE = 0.5
_LONGEST_THROTTLE_PAUSE = 8.0


@dataclass
class Batch:
    """Messages that go to the function together."""

    messages: list[Message] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    size: int = ENVELOPE
    give_up: float = 0.0
    """When their visibility ends: a throttled batch is retried until then (row C94)."""


class Pollers:
    """All pollers of one mapping.

    Parameters
    ----------
    space : Space
        The space.
    mapping : Mapping
        The mapping; `mapping.active` says whether it polls.
    settings : Settings
        What is in force; `apply` changes it.
    """

    def __init__(self, space: Space, mapping: Mapping, settings: Settings) -> None:
        self.space = space
        self.mapping = mapping
        self.settings = settings
        self.in_flight = 0
        self.limit = FIRST_POLLERS
        self._queue: Queue | None = None
        self._receiver: Receiver | None = None
        self._gathering: Batch | None = None
        self._window_end: Timer | None = None
        self._ready: deque[Batch] = deque()
        self._growth: Timer | None = None
        self._behind_at = 0.0
        self._empty_share = 0.0
        self._role = ""

    @property
    def most(self) -> int:
        """The most batches at once: the mapping's own cap, else Lambda's."""
        return self.settings.maximum_concurrency or MOST_CONCURRENT

    def apply(self, settings: Settings) -> None:
        """Poll by other settings from now on."""
        self.settings = settings
        self.limit = min(max(self.limit, min(FIRST_POLLERS, self.most)), self.most)
        self._leave()
        if not self.mapping.active or not settings.window:
            self._close_batch()
        self.poll()

    def stop(self) -> None:
        """Read no more; what is gathered already still goes to the function."""
        self._leave()
        self._close_batch()

    def poll(self) -> None:
        """Stand in the queue's line if a poller is free and the role may read; the one place where reading begins."""
        if self._receiver is not None or not self.mapping.active or self._ready or self.in_flight >= self.limit:
            return
        queue = self.space.queues.by_arn(self.mapping.queue_arn)
        if queue is None or not self._may("sqs:ReceiveMessage"):
            return
        self._queue = queue
        room = self.settings.batch_size - (len(self._gathering.messages) if self._gathering else 0)
        receiver = Receiver(min(10, room), None, self._deliver, closed=self._queue_gone)
        self._receiver = receiver
        queue.wait(receiver)

    def _leave(self) -> None:
        if self._receiver is not None and self._queue is not None:
            self._queue.leave(self._receiver)
        self._receiver = None

    def _queue_gone(self) -> None:
        self._receiver = None

    def _may(self, action: str) -> bool:
        """Whether the function's execution role has a right on the queue now: the pollers wear that role (row E6)."""
        try:
            self._role = self.settings.version(self.space).role
        except ApiError:
            if action == "sqs:ReceiveMessage":
                return False
        return self.space.permissions.role_allows(self._role, action, self.mapping.queue_arn)

    def wake(self) -> None:
        """Look again whether the role may read."""
        if self._receiver is not None and not self._may("sqs:ReceiveMessage"):
            self._leave()
        self.poll()

    # Reading.

    def _deliver(self, messages: list[Message]) -> None:
        self._receiver = None
        queue = self._queue
        assert queue is not None
        self._count("PolledEventCount", len(messages))
        give_up = self.space.clock.now() + queue.visibility_timeout
        batch = self._gathering or Batch(give_up=give_up)
        refused: list[Message] = []
        for message in messages:
            entry = record(message, queue, self.space.region, windowed=self.settings.window > 0)
            if self.settings.filters and not any(pattern.matches(entry) for pattern in self.settings.filters):
                refused.append(message)
                continue
            bytes_ = size(entry)
            if batch.messages and batch.size + bytes_ > PAYLOAD_LIMIT:
                self._ready.append(batch)
                batch = Batch(give_up=give_up)
            batch.messages.append(message)
            batch.records.append(entry)
            batch.size += bytes_
        if self.settings.filters:
            self._count("FilteredOutEventCount", len(refused))
        # What no filter wants is deleted without an invocation (row C111).
        self._delete(refused)
        self._gathering = batch if batch.messages else None
        if self._gathering and (not self.settings.window or len(batch.messages) >= self.settings.batch_size):
            self._close_batch()
        elif self._gathering and self._window_end is None:
            self._window_end = self.space.scheduler.after(self.settings.window, self._close_batch)
        self._invoke_ready()

    def _close_batch(self) -> None:
        if self._window_end is not None:
            self._window_end.cancel()
            self._window_end = None
        if self._gathering is not None:
            self._ready.append(self._gathering)
            self._gathering = None
        self._invoke_ready()

    # Invoking.

    def _invoke_ready(self) -> None:
        while self._ready and self.in_flight < self.limit:
            self.in_flight += 1
            self._invoke(self._ready.popleft(), _FIRST_THROTTLE_PAUSE)
        self._grow_if_behind()
        self.poll()

    def _invoke(self, batch: Batch, pause: float) -> None:
        self._count("InvokedEventCount", len(batch.messages))
        try:
            version = self.settings.version(self.space)
            version.invoke(
                payload(batch.records),
                lambda outcome: self._done(batch, outcome),
                source="event source mapping",
            )
        except Throttled:
            self._count("FailedInvokeEventCount", len(batch.messages))
            again = self.space.clock.now() + pause
            if again < batch.give_up:
                longer = min(pause * 2, _LONGEST_THROTTLE_PAUSE)
                self.space.scheduler.at(again, lambda: self._invoke(batch, longer))
            else:
                self._freed()
        except ApiError:
            # The function is gone or not ready: nothing is deleted, everything returns after its visibility timeout.
            self._count("FailedInvokeEventCount", len(batch.messages))
            self._freed()

    def _done(self, batch: Batch, outcome: Outcome) -> None:
        failed = failed_messages(batch.messages, outcome, self.settings.report_batch_item_failures)
        if failed:
            self._count("FailedInvokeEventCount", len(failed))
        unhappy = {message.message_id for message in failed}
        self._delete([message for message in batch.messages if message.message_id not in unhappy])
        if failed and not self.settings.report_batch_item_failures:
            # Lambda polls less while a function fails (rows C95 and C96).
            self.limit = max(1, self.limit - 1)
        elif self.limit < min(FIRST_POLLERS, self.most):
            self.limit += 1
        self._freed()

    def _freed(self) -> None:
        self.in_flight -= 1
        self._invoke_ready()

    def _delete(self, messages: list[Message]) -> None:
        queue = self._queue
        if not messages or queue is None:
            return
        if not self._may("sqs:DeleteMessage"):
            self._count("DeletedEventCount", 0)
            return
        deleted = 0
        for message in messages:
            try:
                queue.delete(message.receipt_handle)
                deleted += 1
            except ApiError:
                # A FIFO handle that has expired while the function ran (row B22): the message comes again.
                continue
        self._count("DeletedEventCount", deleted)

    # Scaling.

    def _grow_if_behind(self) -> None:
        if self._growth is not None or not self._is_behind():
            return
        self._behind_at = self.space.clock.now()
        if self.limit < self.most:
            self._growth = self.space.scheduler.after(60 / GROWTH_PER_MINUTE, self._grow)

    def _is_behind(self) -> bool:
        if self.in_flight < self.limit:
            return False
        queue = self._queue
        return bool(self._ready) or (self.mapping.active and queue is not None and queue.visible > 0)

    def _grow(self) -> None:
        self._growth = None
        if self._is_behind():
            self.limit = min(self.limit + 1, self.most)
        self._invoke_ready()

    def each_minute(self, minute: float) -> None:
        """Count what idle pollers asked for in the minute that has ended; shrink after a quiet while."""
        quiet = self.space.clock.now() - self._behind_at > QUIET_SECONDS
        if quiet and self.limit > min(FIRST_POLLERS, self.most):
            self.limit = max(min(FIRST_POLLERS, self.most), self.in_flight)
        queue = self.space.queues.by_arn(self.mapping.queue_arn)
        if queue is None or not self.mapping.active:
            return
        self.wake()
        queue.touch()
        idle = max(0, min(self.limit, FIRST_POLLERS) - self.in_flight)
        polls = idle * 60 / POLL_SECONDS + self._empty_share
        self._empty_share = polls % 1
        queue.count_empty_receives(int(polls), at=minute)
        self._count("PolledEventCount", 0, at=minute)

    def _count(self, metric: str, value: int, at: float | None = None) -> None:
        if self.settings.event_count_metrics:
            dimensions = {"EventSourceMappingUUID": self.mapping.uuid}
            self.space.metrics.add("AWS/Lambda", metric, dimensions, value, at=at)


def failed_messages(messages: list[Message], outcome: Outcome, report_batch_item_failures: bool) -> list[Message]:
    """Return the messages of a batch that are not done.

    An error fails all of them (rows C88 and C103). Otherwise the response counts only when the mapping says so (row
    C97): a list of known message ids fails those, anything malformed in it fails all (rows C98 to C102).
    """
    if outcome.error is not None:
        return messages
    if not report_batch_item_failures:
        return []
    try:
        response = json.loads(outcome.payload)
    except ValueError:
        return messages
    if not isinstance(response, dict):
        return [] if response is None else messages
    items = response.get("batchItemFailures")
    if items is None:
        return []
    if not isinstance(items, list):
        return messages
    known = {message.message_id: message for message in messages}
    failed = []
    for item in items:
        message = known.get(item.get("itemIdentifier") or "") if isinstance(item, dict) else None
        if message is None:
            return messages
        failed.append(message)
    return failed
