"""What standard and FIFO queues have in common: counting, time, the line of receivers, handles, dead letters.

A queue keeps one heap of what becomes visible later and one of what expires, and a single timer for the earlier of
both heads. Entries of messages that are gone stay in the heaps until they are due or until they outnumber the others.
"""

from __future__ import annotations

import heapq
import logging
import math
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from . import queue_attributes
from . import sqs_errors as errors
from .clock import Timer
from .messages import DELAYED, GONE, IN_FLIGHT, VISIBLE, Draft, Message, ReceiptHandles, Sent, StoredMessage

if TYPE_CHECKING:
    from .queues import Queues

log = logging.getLogger(__name__)

NAMESPACE = "AWS/SQS"
LONGEST_VISIBILITY = 43_200
PURGE_INTERVAL = 60.0
ACTIVE_FOR = 6 * 3600.0
POISON_RECEIVES = 3
_NEVER = math.inf
_SLACK = 1024


def _always() -> bool:
    return True


class Receiver:
    """One who stands in a queue's line for messages.

    Parameters
    ----------
    max_number : int
        The most messages to take at once.
    visibility_timeout : float or None
        Seconds; None for the queue's own.
    deliver : callable
        Called under the lock with at least one message, once; the receiver has left the line by then. It may be called
        before `Queue.wait` returns, and may call anything of the queue, `wait` included.
    closed : callable, optional
        Called under the lock when the queue is deleted while the receiver stands in line.
    attempt_id : str, optional
        ReceiveRequestAttemptId (FIFO only, row B24).

    Attributes
    ----------
    present : callable
        Asked under the lock before messages are taken; who has gone away leaves the line without any.
    """

    __slots__ = ("attempt_id", "closed", "deliver", "max_number", "present", "visibility_timeout")

    def __init__(
        self,
        max_number: int,
        visibility_timeout: float | None,
        deliver: Callable[[list[Message]], None],
        closed: Callable[[], None] | None = None,
        attempt_id: str | None = None,
    ) -> None:
        self.max_number = max_number
        self.visibility_timeout = visibility_timeout
        self.deliver = deliver
        self.closed = closed
        self.attempt_id = attempt_id
        self.present: Callable[[], bool] = _always


class Queue(ABC):
    """A queue of either kind. Everything is called under the space's lock.

    Attributes
    ----------
    name, arn, url : str
        What names it.
    attributes : dict of str to str
        The attributes that were set and the defaults, as text; `describe` adds the counts.
    tags : dict of str to str
        Its tags.
    visible, in_flight, delayed : int
        How many messages are in each state, exactly.
    touched : float
        When an API call or a message last concerned it, in seconds since the epoch (row F14).
    deleted : bool
        Whether it has been deleted.
    """

    fifo = False
    in_flight_limit = 120_000
    """Rows A62 and B27."""

    def __init__(self, queues: Queues, name: str, attributes: dict[str, str]) -> None:
        self._queues = queues
        self._scheduler = queues.space.scheduler
        self._clock = queues.space.clock
        self.name = name
        self.arn = queues.space.arn("sqs", name)
        self.attributes: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.visible = 0
        self.in_flight = 0
        self.delayed = 0
        self.deleted = False
        self.created = self.modified = self.touched = self._clock.now()
        self._dimensions = {"QueueName": name}
        self._publish = queues.space.events.publish
        self._handles = ReceiptHandles()
        self._live: dict[int, StoredMessage] = {}
        self._pending: list[tuple[float, int, StoredMessage]] = []
        self._expiry: list[tuple[float, int, StoredMessage]] = []
        self._arrivals: deque[StoredMessage] = deque()
        self._stale = 0
        self._timer: Timer | None = None
        self._next_due = _NEVER
        self._line: OrderedDict[Receiver, None] = OrderedDict()
        self._serving = False
        self._fed: dict[Queue, None] = {}
        self._purged = -_NEVER
        self.configure(attributes)

    @property
    def url(self) -> str:
        """The queue's URL."""
        return self._queues.url(self.name)

    @property
    def visibility_timeout(self) -> int:
        """The queue's own visibility timeout in seconds."""
        return self._visibility_timeout

    @property
    def at_in_flight_limit(self) -> bool:
        """Whether no more messages may be received until some are deleted or come back."""
        return self.in_flight >= self.in_flight_limit

    @property
    def held(self) -> int:
        """How many messages it holds in all states."""
        return len(self._live)

    def touch(self) -> None:
        """Note that something concerned the queue: it stays active for six hours (row F14)."""
        self.touched = self._clock.now()

    # ---- attributes

    def configure(self, attributes: dict[str, str]) -> None:
        """Take over checked and merged attributes; they hold at once, for stored messages too (row A5)."""
        self.attributes = attributes
        self._visibility_timeout = int(attributes["VisibilityTimeout"])
        self._delay = int(attributes["DelaySeconds"])
        self._retention = int(attributes["MessageRetentionPeriod"])
        self.maximum_message_size = int(attributes["MaximumMessageSize"])
        self.wait_time = int(attributes["ReceiveMessageWaitTimeSeconds"])
        self.redrive = queue_attributes.redrive_policy(attributes)
        self.modified = self._clock.now()
        self._reconfigured()
        self._arm()
        self.settle()

    def describe(self) -> dict[str, str]:
        """Return all attributes as GetQueueAttributes shows them (row A2)."""
        self.settle()
        return {
            **self.attributes,
            "QueueArn": self.arn,
            "ApproximateNumberOfMessages": str(self.visible),
            "ApproximateNumberOfMessagesNotVisible": str(self.in_flight),
            "ApproximateNumberOfMessagesDelayed": str(self.delayed),
            "CreatedTimestamp": str(int(self.created)),
            "LastModifiedTimestamp": str(int(self.modified)),
        }

    # ---- sending

    def send(self, draft: Draft, sender_id: str) -> Sent:
        """Store one message and serve the line; see `send_many`."""
        return self.send_many((draft,), sender_id)[0]

    def send_many(self, drafts: Iterable[Draft], sender_id: str) -> list[Sent]:
        """Store messages in their order, then serve the line once.

        Parameters
        ----------
        drafts : iterable of Draft
            Validated messages. On a FIFO queue each has a group and a deduplication id, or the queue makes the latter
            of the body.
        sender_id : str
            The system attribute SenderId.

        Returns
        -------
        list of Sent
            One for each draft.
        """
        now = self._clock.now()
        self.touched = now
        self.settle(now)
        metrics = self._queues.space.metrics
        sent = []
        stored = 0
        for draft in drafts:
            result = self._accept(draft, sender_id, now)
            sent.append(result)
            delay = self._delay if self.fifo or draft.delay is None else draft.delay
            self._publish(
                "deduplicated" if result.deduplicated else "sent",
                message=result.message_id,
                queue=self.name,
                group=draft.group_id,
                outcome="delayed" if delay and not result.deduplicated else None,
                at=now,
            )
            if not result.deduplicated:
                stored += 1
                metrics.add(NAMESPACE, "SentMessageSize", self._dimensions, draft.size, "Bytes")
        if stored:
            metrics.add(NAMESPACE, "NumberOfMessagesSent", self._dimensions, stored, "Count")
        if stored < len(sent):
            duplicates = len(sent) - stored
            metrics.add(NAMESPACE, "NumberOfDeduplicatedSentMessages", self._dimensions, duplicates, "Count")
        self._arm()
        self.serve()
        return sent

    def adopt(self, message: StoredMessage) -> None:
        """Take in a message from another queue, visible at once; the caller serves the line."""
        self.touch()
        self._store(message, 0.0)
        self._arm()

    # ---- receiving

    def receive(
        self, max_number: int, visibility_timeout: float | None = None, attempt_id: str | None = None
    ) -> list[Message]:
        """Take what is visible now, at most `max_number`: a short poll (row A50, without its sampling).

        Parameters
        ----------
        max_number : int
            The most messages to take.
        visibility_timeout : float, optional
            Seconds; without it the queue's own.
        attempt_id : str, optional
            ReceiveRequestAttemptId (FIFO only).
        """
        now = self._clock.now()
        self.touched = now
        self.settle(now)
        taken = self._take_for(max_number, visibility_timeout, attempt_id)
        if not taken:
            self.count_empty_receives(1)
        self._serve_fed()
        return taken

    def wait(self, receiver: Receiver) -> None:
        """Let a receiver stand in line; it is served at once if a message is visible."""
        now = self._clock.now()
        self.touched = now
        self.settle(now)
        self._line[receiver] = None
        self.serve()

    def leave(self, receiver: Receiver) -> None:
        """Take a receiver out of line. Harmless when it does not stand there."""
        self._line.pop(receiver, None)

    def serve(self) -> None:
        """Hand visible messages to the line, first come, first served.

        What `deliver` starts in the queue is seen by the loop that is running already.
        """
        if self._serving:
            return
        self._serving = True
        try:
            while self._line and self._has_visible() and not self.at_in_flight_limit:
                receiver = next(iter(self._line))
                if not receiver.present():
                    del self._line[receiver]
                    continue
                taken = self._take_for(receiver.max_number, receiver.visibility_timeout, receiver.attempt_id)
                if taken:
                    del self._line[receiver]
                    try:
                        receiver.deliver(taken)
                    except Exception:
                        log.exception("a receiver of queue %s failed", self.name)
                self._serve_fed()
        finally:
            self._serving = False

    def count_empty_receives(self, number: int, at: float | None = None) -> None:
        """Add polls that found nothing to the metric (row F8): an idle poller's are counted, not made."""
        if number:
            metrics = self._queues.space.metrics
            metrics.add(NAMESPACE, "NumberOfEmptyReceives", self._dimensions, number, "Count", at=at)

    # ---- after a receive

    def delete(self, receipt_handle: str) -> None:
        """Delete a received message (rows A56 to A58, A61b, B22).

        Raises
        ------
        ApiError
            For a text that is no handle of this queue; on a FIFO queue for a handle that has expired.
        """
        now = self._clock.now()
        self.touched = now
        self.settle(now)
        message, current = self._find(receipt_handle)
        if message is not None and self._may_delete(message, current, receipt_handle):
            self._tell("deleted", message, now)
            self._remove(message)
        self._queues.space.metrics.add(NAMESPACE, "NumberOfMessagesDeleted", self._dimensions, 1, "Count")
        if self._line:
            self.serve()

    def change_visibility(self, receipt_handle: str, seconds: float) -> None:
        """Let a message in flight come back `seconds` from now (rows A59 to A61a).

        A standard queue accepts the handle of a message that is visible again, and does nothing.

        Raises
        ------
        ApiError
            For a text that is no handle, for a message that is gone, and beyond twelve hours after the receive.
        """
        now = self._clock.now()
        self.touched = now
        self.settle(now)
        message, current = self._find(receipt_handle)
        if message is None or not (self._lenient or (current and message.state == IN_FLIGHT)):
            reason = "Message does not exist or is not available for visibility timeout change."
            raise errors.invalid_value(receipt_handle, "ReceiptHandle", reason)
        if not current or message.state != IN_FLIGHT:
            return
        if now - message.received + seconds > LONGEST_VISIBILITY:
            reason = f"Total VisibilityTimeout for the message is beyond the limit [{LONGEST_VISIBILITY} seconds]"
            raise errors.invalid_value(int(seconds), "VisibilityTimeout", reason)
        self._stale += 1
        if seconds <= 0:
            self.in_flight -= 1
            self._landed(message)
            self._show(message)
            self._tell("visible", message, now)
            self.serve()
        else:
            self._altered(message)
            self._schedule(message, now + seconds)
            self._arm()
            self._compact()

    # ---- the whole queue

    def purge(self) -> None:
        """Remove every message, those in flight too (row A65: at once).

        Raises
        ------
        ApiError
            Within 60 s of another purge (row A66).
        """
        now = self._clock.now()
        self.touched = now
        if now - self._purged < PURGE_INTERVAL:
            raise errors.purge_in_progress(self.name)
        self._purged = now
        for message in self._live.values():
            self._tell("deleted", message, now, "purged")
        self._clear()

    def close(self) -> None:
        """End the queue: its messages are gone, and whoever stands in line is told."""
        self.deleted = True
        now = self._clock.now()
        for message in self._live.values():
            self._tell("deleted", message, now, "queue deleted")
        self._clear()
        line, self._line = list(self._line), OrderedDict()
        for receiver in line:
            if receiver.closed is not None:
                receiver.closed()

    def peek(self) -> StoredMessage | None:
        """Return the message that a receive would take first, and leave it where it is."""
        self.settle()
        return self._first_visible()

    def extract(self, message: StoredMessage) -> StoredMessage:
        """Take a message out of the queue for another one; no receive is counted."""
        copy = message.copy(self._clock.now())
        self._remove(message)
        return copy

    def settle(self, now: float | None = None) -> None:
        """Do what is due by now although its timer has not fired yet."""
        if now is None:
            now = self._clock.now()
        if self._next_due <= now:
            self._pass_time(now)

    # ---- metrics

    def age_of_oldest(self, now: float) -> float | None:
        """Return seconds since the oldest message came into this queue, or None when there is none (row F1).

        On a standard queue a message received three times or more no longer counts.
        """
        arrivals = self._arrivals
        while arrivals and (arrivals[0].state == GONE or self._is_poison(arrivals[0])):
            arrivals.popleft()
        return max(0.0, now - arrivals[0].arrived) if arrivals else None

    def gauge(self, minute: float) -> None:
        """Add the gauges of the minute that began at `minute` and has just ended (rows F1 to F4, F11, F12, F14)."""
        now = minute + 60.0
        if self._live:
            self.touched = max(self.touched, now)
        if now - self.touched > ACTIVE_FOR:
            return
        metrics = self._queues.space.metrics

        def add(name: str, value: float, unit: str = "Count") -> None:
            metrics.add(NAMESPACE, name, self._dimensions, value, unit, at=minute)

        add("ApproximateNumberOfMessagesVisible", self.visible)
        if self.in_flight:
            add("ApproximateNumberOfMessagesNotVisible", self.in_flight)
        if self.delayed:
            add("ApproximateNumberOfMessagesDelayed", self.delayed)
        age = self.age_of_oldest(now)
        if age is not None:
            add("ApproximateAgeOfOldestMessage", int(age), "Seconds")
        for name, value, unit in self._own_gauges(now):
            add(name, value, unit)

    # ---- what the kinds differ in

    _lenient = True
    """Whether handles of messages that are visible again still work (rows A57, A61; not on FIFO, B22)."""

    @abstractmethod
    def _accept(self, draft: Draft, sender_id: str, now: float) -> Sent:
        """Store a draft, or recognise it as a duplicate."""

    @abstractmethod
    def _entered(self, message: StoredMessage) -> None:
        """Note a message that is new in the queue, in whatever state."""

    @abstractmethod
    def _shown(self, message: StoredMessage) -> None:
        """Note a message that has become visible."""

    @abstractmethod
    def _gone(self, message: StoredMessage) -> None:
        """Note a message that has just left the queue."""

    @abstractmethod
    def _emptied(self) -> None:
        """Forget every message."""

    @abstractmethod
    def _has_visible(self) -> bool:
        """Return whether a receive would find something to look at."""

    @abstractmethod
    def _first_visible(self) -> StoredMessage | None:
        """Return the message that a receive would take first, and leave it where it is."""

    @abstractmethod
    def _take(self, max_number: int, visibility_timeout: float, now: float) -> list[Message]:
        """Hand out visible messages, and move those that were received too often."""

    def _take_for(self, max_number: int, visibility_timeout: float | None, attempt_id: str | None) -> list[Message]:
        timeout = self._visibility_timeout if visibility_timeout is None else visibility_timeout
        taken = self._take(max_number, timeout, self._clock.now())
        self._handed_out(taken)
        return taken

    @abstractmethod
    def _compacted(self) -> None:
        """Drop entries of messages that are gone from the kind's own structures."""

    @abstractmethod
    def _altered(self, message: StoredMessage) -> None:
        """Note that a message in flight got another visibility timeout."""

    @abstractmethod
    def _landed(self, message: StoredMessage) -> None:
        """Note that a message is no longer in flight."""

    @abstractmethod
    def _reconfigured(self) -> None:
        """Note that the attributes were changed."""

    @abstractmethod
    def _own_gauges(self, now: float) -> Iterator[tuple[str, float, str]]:
        """Yield name, value and unit of the kind's own gauges."""

    @abstractmethod
    def _dropped(self, message: StoredMessage) -> None:
        """Note a message that leaves the queue, before its state changes."""

    def _is_poison(self, message: StoredMessage) -> bool:
        return False

    def _may_delete(self, message: StoredMessage, current: bool, handle: str) -> bool:
        return current

    # ---- the life of a message

    def _tell(self, event: str, message: StoredMessage, at: float, outcome: str | None = None) -> None:
        """Publish a step in a message's life."""
        self._publish(
            event,
            message=message.message_id,
            queue=self.name,
            receive_count=message.receive_count or None,
            group=message.group_id,
            outcome=outcome,
            at=at,
        )

    def _store(self, message: StoredMessage, delay: float) -> None:
        self._live[message.serial] = message
        heapq.heappush(self._expiry, (message.sent, message.serial, message))
        self._arrivals.append(message)
        if delay > 0:
            message.state = DELAYED
            self.delayed += 1
            self._schedule(message, message.arrived + delay)
            self._entered(message)
        else:
            self._entered(message)
            self._show(message)

    def _show(self, message: StoredMessage) -> None:
        message.state = VISIBLE
        message.due = 0.0
        self.visible += 1
        self._shown(message)

    def _schedule(self, message: StoredMessage, due: float) -> None:
        message.due = due
        heapq.heappush(self._pending, (due, message.serial, message))

    def _hand_out(self, message: StoredMessage, visibility_timeout: float, now: float) -> Message:
        self.visible -= 1
        self.in_flight += 1
        message.state = IN_FLIGHT
        message.received = now
        message.receive_count += 1
        message.receives_here += 1
        if not message.first_received:
            message.first_received = now
        self._schedule(message, now + visibility_timeout)
        self._tell("received", message, now)
        return Message(message, self._handles.issue(message))

    def _handed_out(self, taken: list[Message]) -> None:
        self._arm()
        if taken:
            self._queues.space.metrics.add(NAMESPACE, "NumberOfMessagesReceived", self._dimensions, len(taken), "Count")

    def _remove(self, message: StoredMessage) -> None:
        self._drop(message)
        self._gone(message)
        self._compact()

    def _drop(self, message: StoredMessage) -> None:
        self._dropped(message)
        if message.state == IN_FLIGHT:
            self.in_flight -= 1
            self._landed(message)
        elif message.state == VISIBLE:
            self.visible -= 1
        else:
            self.delayed -= 1
        del self._live[message.serial]
        message.forget()
        self._stale += 1

    def _dead_letter_queue(self, message: StoredMessage) -> Queue | None:
        """Return where a message belongs that would now be received once too often (rows A68, A72)."""
        policy = self.redrive
        if policy is None or message.receives_here < policy.max_receive_count:
            return None
        target = self._queues.by_arn(policy.target_arn)
        return None if target is self else target

    def _bury(self, message: StoredMessage, target: Queue) -> None:
        """Move a message to its dead-letter queue; the caller tells its own kind's structures."""
        copy = message.copy(self._clock.now())
        copy.source_arn = self.arn
        self._tell("dead-lettered", message, copy.arrived, target.name)
        self._drop(message)
        target._adopt_dead(copy)
        self._fed[target] = None

    def _adopt_dead(self, message: StoredMessage) -> None:
        self.adopt(message)

    def _serve_fed(self) -> None:
        while self._fed:
            queue, _ = self._fed.popitem()
            # A dead letter may be older than this queue keeps messages (row A74).
            queue.settle()
            queue.serve()

    def _find(self, handle: str) -> tuple[StoredMessage | None, bool]:
        """Return the message of a handle, None if it is gone, and whether the handle is its latest."""
        read = self._handles.read(handle)
        if read is None:
            raise errors.bad_receipt_handle(handle)
        serial, receipt = read
        message = self._live.get(serial)
        return message, message is not None and message.receipt == receipt

    def _clear(self) -> None:
        for message in self._live.values():
            message.forget()
        self._live.clear()
        self._pending.clear()
        self._expiry.clear()
        self._arrivals.clear()
        self.visible = self.in_flight = self.delayed = self._stale = 0
        self._emptied()
        self._arm()

    # ---- time

    def _arm(self) -> None:
        """Let the timer fire no later than the earlier of both heads."""
        due = self._pending[0][0] if self._pending else _NEVER
        if self._expiry:
            due = min(due, self._expiry[0][0] + self._retention)
        if due < self._next_due or (due == _NEVER and self._timer is not None):
            if self._timer is not None:
                self._timer.cancel()
            self._next_due = due
            self._timer = None if due == _NEVER else self._scheduler.at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._pass_time(self._clock.now())

    def _pass_time(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._next_due = _NEVER
        expiry = self._expiry
        while expiry and expiry[0][0] + self._retention <= now:
            message = heapq.heappop(expiry)[2]
            if message.state != GONE:
                self._tell("expired", message, now)
                self._remove(message)
                self.touched = now
                expiry = self._expiry
        pending = self._pending
        while pending and pending[0][0] <= now:
            due, _, message = heapq.heappop(pending)
            if message.due != due or message.state not in (DELAYED, IN_FLIGHT):
                continue
            if message.state == DELAYED:
                self.delayed -= 1
            else:
                self.in_flight -= 1
                self._landed(message)
            self._show(message)
            self._tell("visible", message, now)
        self._arm()
        self.serve()

    def _compact(self) -> None:
        if self._stale <= len(self._live) + _SLACK:
            return
        self._stale = 0
        self._pending = [
            entry for entry in self._pending if entry[2].due == entry[0] and entry[2].state in (DELAYED, IN_FLIGHT)
        ]
        heapq.heapify(self._pending)
        self._expiry = [entry for entry in self._expiry if entry[2].state != GONE]
        heapq.heapify(self._expiry)
        self._arrivals = deque(message for message in self._arrivals if message.state != GONE)
        self._compacted()
