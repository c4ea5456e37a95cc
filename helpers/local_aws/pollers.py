"""Pollers: how an event source mapping reads its queue and invokes its function (rows C64 to C110).

A mapping's pollers are no threads. While one of them is free the mapping stands in the queue's line of receivers, like
any long poll; a batch that is delivered goes to the function, and the invocation's end deletes what succeeded, leaves
the rest to its visibility timeout, and puts the mapping back in line.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .errors import ApiError
from .functions import Outcome, Throttled, error_type
from .queues import Message, Queue, Receiver
from .records import ENVELOPE, PAYLOAD_LIMIT, SEPARATOR, encoded, payload, record
from .recursion import RecursiveInvocation

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

POLLER_CONCURRENCY = 10
"""Concurrent invocations of one poller in provisioned mode (row C82)."""

POLLER_POLLS = 10
"""Polls of one poller in a second in provisioned mode (row C82)."""

POLLER_BYTES = 2**20
"""Bytes of messages that one poller in provisioned mode reads in a second (row C82)."""

PROVISIONED_GROWTH_PER_MINUTE = 1000
"""Concurrent invocations that a mapping in provisioned mode may add in a minute (row C83)."""

POLL_SECONDS = 20.0
"""How long an idle poller's receive waits (row G15: an assumption, AWS does not say)."""

QUIET_SECONDS = 60.0
"""After so long without being behind a mapping is back at its first pollers (row C68)."""

WINDOW_MARGIN = 30
"""Seconds that a message stays hidden beyond window and function timeout when they exceed the queue's (row C76)."""

PARTIAL = "batchItemFailures"
"""The outcome of a message that a successful invocation reported as failed."""

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 8.0
_REST = 1.0


@dataclass
class Batch:
    """Messages that go to the function together.

    Attributes
    ----------
    queue : Queue
        Where they were received: a queue of the same name that is made later knows nothing of them.
    give_up : float
        When their visibility ends: what could not be invoked is tried until then (row C94).
    waited : bool
        Whether no poller was free for it at first.
    rest : list of Batch
        What the payload's limit has parted from a FIFO receive: it must not overtake this one (row C77).
    """

    queue: Queue
    give_up: float
    messages: list[Message] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    size: int = ENVELOPE
    waited: bool = False
    rest: list[Batch] = field(default_factory=list)

    def without(self, groups: Set[str | None]) -> bool:
        """Drop the messages of groups that are stuck; return whether any are left."""
        kept = [index for index, message in enumerate(self.messages) if message.group_id not in groups]
        self.messages = [self.messages[index] for index in kept]
        self.records = [self.records[index] for index in kept]
        return bool(kept)


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
        self.limit = self.first
        self._queue: Queue | None = None
        self._receiver: Receiver | None = None
        self._gathering: Batch | None = None
        self._window_end: Timer | None = None
        self._ready: deque[Batch] = deque()
        self._growth: Timer | None = None
        self._growth_due = 0.0
        self._resting: Timer | None = None
        self._second = -1.0
        self._polls = 0
        self._bytes = 0
        self._healthy = True
        self._behind_at = 0.0
        self._trouble_at = 0.0
        self._empty_share = 0.0
        self._role = ""

    @property
    def first(self) -> int:
        """Batches at once from the start, and again after a quiet while (rows C65, C68 and C82)."""
        if self.settings.provisioned is not None:
            return dict(self.settings.provisioned)["MinimumPollers"] * POLLER_CONCURRENCY
        return min(FIRST_POLLERS, self.most)

    @property
    def most(self) -> int:
        """The most batches at once: the mapping's own cap, else Lambda's."""
        if self.settings.provisioned is not None:
            return dict(self.settings.provisioned)["MaximumPollers"] * POLLER_CONCURRENCY
        return self.settings.maximum_concurrency or MOST_CONCURRENT

    @property
    def provisioned(self) -> int:
        """Event pollers that a mapping in provisioned mode has now (row F37)."""
        return -(-self.limit // POLLER_CONCURRENCY)

    def apply(self, settings: Settings) -> None:
        """Poll by other settings from now on; what was gathered by the old ones goes to the function as it is."""
        self._leave()
        self.settings = settings
        self.limit = min(max(self.limit, self.first), self.most)
        self._close_batch()

    def stop(self) -> None:
        """Read no more; what is gathered already still goes to the function."""
        self._leave()
        self._close_batch()

    def poll(self) -> None:
        """Stand in the queue's line if a poller is free and the role may read; the one place where reading begins."""
        if self._receiver is not None or not self.mapping.active or self._ready or self.in_flight >= self.limit:
            return
        if self._resting is not None or self._is_metered():
            return
        queue = self.space.queues.by_arn(self.mapping.queue_arn)
        if queue is None or not self._may("sqs:ReceiveMessage") or not self._may_decrypt(queue):
            return
        self._queue = queue
        room = self.settings.batch_size - (len(self._gathering.messages) if self._gathering else 0)
        receiver = Receiver(min(10, room), self._visibility(queue), self._deliver, closed=self._queue_gone)

        def look_again() -> bool:
            # The queue's own timeout, or the function's, may have been changed since it stands in line.
            with contextlib.suppress(ApiError):
                receiver.visibility_timeout = self._visibility(queue)
            return True

        receiver.present = look_again
        self._receiver = receiver
        queue.wait(receiver)

    def _visibility(self, queue: Queue) -> int | None:
        """Return for how long a receive hides its messages, None for the queue's own timeout (row C76)."""
        if not self.settings.window:
            return None
        needed = self.settings.window + self.settings.version(self.space).timeout
        return None if needed <= queue.visibility_timeout else needed + WINDOW_MARGIN

    def _leave(self) -> None:
        if self._receiver is not None and self._queue is not None:
            self._queue.leave(self._receiver)
        self._receiver = None

    def _queue_gone(self) -> None:
        self._receiver = None
        self._close_batch()

    def _may(self, action: str) -> bool:
        """Whether the function's execution role has a right on the queue now: the pollers wear that role (row E6)."""
        try:
            self._role = self.settings.version(self.space).role
        except ApiError:
            if action == "sqs:ReceiveMessage":
                return False
        return self.space.permissions.role_allows(self._role, action, self.mapping.queue_arn)

    def _may_decrypt(self, queue: Queue) -> bool:
        """Whether the role may use the queue's key, and Lambda that of the filters (rows C48 and E20).

        Without it the pollers say nothing and read nothing.
        """
        key = self.settings.kms_key_arn if self.settings.filters else None
        if key is not None and not self.space.keys.lambda_may_read_filters(key):
            return False
        return self.space.keys.role_may_read(self._role, queue)

    def wake(self) -> None:
        """Look again whether the role may read."""
        if self._receiver is not None:
            queue = self._queue
            if queue is None or not self._may("sqs:ReceiveMessage") or not self._may_decrypt(queue):
                self._leave()
        self.poll()

    # Reading.

    def _deliver(self, messages: list[Message]) -> None:
        receiver, self._receiver = self._receiver, None
        queue = self._queue
        assert queue is not None
        self._count("PolledEventCount", len(messages))
        self._meter(sum(message.size for message in messages))
        hidden = queue.visibility_timeout
        if receiver is not None and receiver.visibility_timeout is not None:
            hidden = int(receiver.visibility_timeout)
        give_up = self.space.clock.now() + hidden
        batch = self._gathering or Batch(queue, give_up)
        full: list[Batch] = []
        refused: list[Message] = []
        for message in messages:
            entry = record(message, queue, self.space.region, windowed=self.settings.window > 0)
            if self.settings.filters and not any(pattern.matches(entry) for pattern in self.settings.filters):
                refused.append(message)
                continue
            text = encoded(entry)
            if batch.messages and batch.size + len(text) > PAYLOAD_LIMIT:
                full.append(batch)
                batch = Batch(queue, give_up)
            batch.messages.append(message)
            batch.records.append(text)
            batch.size += len(text) + len(SEPARATOR)
        if full:
            self._end_window()
        if self.settings.filters:
            self._count("FilteredOutEventCount", len(refused))
            self._tell("filtered", refused, queue)
        # What no filter wants is deleted without an invocation (row C111).
        if refused and not self._delete(queue, refused):
            self._rest()
        if full and queue.fifo:
            full[0].rest = [*full[1:], batch]
            self._ready.append(full[0])
            self._gathering = None
        else:
            self._ready.extend(full)
            self._gathering = batch if batch.messages else None
        if self._gathering and (not self.settings.window or len(batch.messages) >= self.settings.batch_size):
            self._close_batch()
        elif self._gathering and self._window_end is None:
            self._window_end = self.space.scheduler.after(self.settings.window, self._close_batch)
        self._invoke_ready()

    def _end_window(self) -> None:
        if self._window_end is not None:
            self._window_end.cancel()
            self._window_end = None

    def _close_batch(self) -> None:
        self._end_window()
        if self._gathering is not None:
            self._ready.append(self._gathering)
            self._gathering = None
        self._invoke_ready()

    def _is_metered(self) -> bool:
        """Whether a mapping in provisioned mode has read all that its pollers read in a second; then it rests."""
        if self.settings.provisioned is None:
            return False
        if self.space.clock.now() - self._second >= 1:
            return False
        if self._polls < POLLER_POLLS * self.provisioned and self._bytes < POLLER_BYTES * self.provisioned:
            return False
        self._rest(self._second + 1 - self.space.clock.now())
        return True

    def _meter(self, size: int) -> None:
        """Count a poll that has brought so many bytes."""
        now = self.space.clock.now()
        if now - self._second >= 1:
            self._second, self._polls, self._bytes = now, 0, 0
        self._polls += 1
        self._bytes += size

    def _rest(self, seconds: float = _REST) -> None:
        """Read nothing for a moment: what comes back at once would be read again and again in the same instant."""

        def rested() -> None:
            self._resting = None
            self.poll()

        if self._resting is None:
            self._resting = self.space.scheduler.after(seconds, rested)

    # Invoking.

    def _invoke_ready(self) -> None:
        while self._ready and self.in_flight < self.limit:
            batch = self._ready.popleft()
            if batch.waited and self.space.clock.now() >= batch.give_up:
                continue
            self.in_flight += 1
            self._invoke(batch, _FIRST_PAUSE)
        for batch in self._ready:
            batch.waited = True
        self._watch()
        self.poll()

    def _invoke(self, batch: Batch, pause: float) -> None:
        self._count("InvokedEventCount", len(batch.messages))
        settings = self.settings
        accepted = self.space.clock.now()
        try:
            request = settings.version(self.space).invoke(
                payload(batch.records),
                lambda outcome: self._done(batch, outcome, settings),
                source="event source mapping",
                traces=[message.trace_header for message in batch.messages],
            )
        except RecursiveInvocation:
            # The messages come back after their visibility timeout, and at last to the dead-letter queue (row C110).
            self._count("FailedInvokeEventCount", len(batch.messages))
            self.space.scheduler.after(0, self._freed)
        except ApiError as problem:
            # Throttled, or the function is gone or not ready yet.
            self._count("FailedInvokeEventCount", len(batch.messages))
            if isinstance(problem, Throttled):
                self._tell("throttled", batch.messages, batch.queue, at=accepted)
                self._in_trouble(max(self.limit - 1, min(self.limit, self.first)))
            again = self.space.clock.now() + pause
            if again < batch.give_up:
                longer = min(pause * 2, _LONGEST_PAUSE)
                self.space.scheduler.at(again, lambda: self._invoke_again(batch, longer))
            else:
                # The poller is free no earlier than the messages: they are not read again in the same instant.
                free = max(batch.give_up, self.space.clock.now() + _FIRST_PAUSE)
                self.space.scheduler.at(free, self._freed)
        else:
            self._tell("invoked", batch.messages, batch.queue, request=request, at=accepted)

    def _invoke_again(self, batch: Batch, pause: float) -> None:
        """Try a batch again, unless its mapping has been disabled or deleted since (row C86)."""
        if self.mapping.active:
            self._invoke(batch, pause)
        else:
            self._freed()

    def _done(self, batch: Batch, outcome: Outcome, settings: Settings) -> None:
        """Judge an invocation by the settings that it began with: a change on the way loses nothing."""
        failed = failed_messages(batch.messages, outcome, settings.report_batch_item_failures)
        if failed:
            self._count("FailedInvokeEventCount", len(failed))
        unhappy = {message.message_id for message in failed}
        done = [message for message in batch.messages if message.message_id not in unhappy]
        run, where = outcome.request_id, outcome.environment
        reason = PARTIAL if outcome.error is None else error_type(outcome)
        self._tell("failed", failed, batch.queue, request=run, environment=where, outcome=reason)
        self._tell("succeeded", done, batch.queue, request=run, environment=where)
        self._delete(batch.queue, done)
        stuck = {message.group_id for message in failed}
        rest = [later for later in batch.rest if later.without(stuck)]
        if rest:
            rest[0].rest = rest[1:]
            rest[0].waited = True
            self._ready.appendleft(rest[0])
        if failed and not settings.report_batch_item_failures:
            self._in_trouble(max(1, self.limit - 1))
        else:
            self._healthy = True
            self.limit = max(self.limit, min(self.limit + 1, self.first))
        self._freed()

    def _in_trouble(self, limit: int) -> None:
        """Poll less, and do not grow until something succeeds again (rows C95 and C96)."""
        self._healthy = False
        self._trouble_at = self.space.clock.now()
        self.limit = limit

    def _freed(self) -> None:
        self.in_flight -= 1
        self._invoke_ready()

    def _delete(self, queue: Queue, messages: list[Message]) -> int:
        """Delete messages as the role may; return how many."""
        if not messages:
            return 0
        deleted = 0
        if not queue.deleted and self._may("sqs:DeleteMessage"):
            for message in messages:
                try:
                    queue.delete(message.receipt_handle)
                    deleted += 1
                except ApiError:
                    # A FIFO handle that has expired while the function ran (row B22): the message comes again.
                    continue
        self._count("DeletedEventCount", deleted)
        return deleted

    def _tell(
        self, event: str, messages: list[Message], queue: Queue, *, at: float | None = None, **fields: str | None
    ) -> None:
        """Publish a step of every message of a batch, at one moment."""
        moment = self.space.clock.now() if at is None else at
        name = self.settings.function_arn.split(":function:")[-1].split(":")[0]
        for message in messages:
            self.space.events.publish(
                event,
                message=message.message_id,
                queue=queue.name,
                receive_count=message.receive_count,
                group=message.group_id,
                function=name,
                at=moment,
                **fields,
            )

    # Scaling.

    def _watch(self) -> None:
        """Look again in a moment while all pollers are at work: messages may come that none of them can read."""
        if self._growth is not None or self.in_flight < self.limit:
            return
        if self._is_behind():
            self._behind_at = self.space.clock.now()
        if self._healthy and self.limit < self.most:
            step = 60 / GROWTH_PER_MINUTE
            if self.settings.provisioned is not None:
                step = 60 * POLLER_CONCURRENCY / PROVISIONED_GROWTH_PER_MINUTE
            now = self.space.clock.now()
            # Counted from the last step, so that a slow machine does not make the growth slower.
            due = self._growth_due + step
            self._growth_due = due if due > now else now + step
            self._growth = self.space.scheduler.at(self._growth_due, self._grow)

    def _is_behind(self) -> bool:
        if self.in_flight < self.limit:
            return False
        queue = self._queue
        return bool(self._ready) or (self.mapping.active and queue is not None and queue.visible > 0)

    def _grow(self) -> None:
        self._growth = None
        if self._healthy and self._is_behind():
            # In provisioned mode a poller more, with all that it carries (row C83).
            more = 1 if self.settings.provisioned is None else POLLER_CONCURRENCY
            self.limit = min(self.limit + more, self.most)
        self._invoke_ready()

    def each_minute(self, minute: float) -> None:
        """Count what idle pollers asked for in the minute that has ended; go back to the first pollers when quiet."""
        now = self.space.clock.now()
        if self.settings.provisioned is not None and self.mapping.active:
            dimensions = {"EventSourceMappingUUID": self.mapping.uuid}
            self.space.metrics.add("AWS/Lambda", "ProvisionedPollers", dimensions, self.provisioned, at=minute)
        if now - self._behind_at > QUIET_SECONDS and self.limit > self.first:
            self.limit = max(self.first, self.in_flight)
        if now - self._trouble_at > QUIET_SECONDS:
            self._healthy = True
            self.limit = max(self.limit, self.first)
        queue = self.space.queues.by_arn(self.mapping.queue_arn)
        if queue is None or not self.mapping.active:
            return
        self.wake()
        queue.touch()
        if self._receiver is None:
            return
        self._count("PolledEventCount", 0, at=minute)
        idle = max(0, min(self.limit, FIRST_POLLERS) - self.in_flight)
        polls = idle * 60 / POLL_SECONDS + self._empty_share
        self._empty_share = polls % 1
        queue.count_empty_receives(int(polls), at=minute)

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
