"""FIFO queues: one line of messages in each group, and one line of groups whose first message is visible.

A group gives out its first messages as far as they are visible, up to the first one that is in flight or delayed. This
one rule makes the lock of a group (row B19), its release (row B20), and the order after one message of several was
extended (row B21).
"""

from __future__ import annotations

import hashlib
import heapq
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import sqs_errors as errors
from .messages import (
    DELAYED,
    GONE,
    IN_FLIGHT,
    VISIBLE,
    Draft,
    Message,
    Sent,
    StoredMessage,
    md5_of_attributes,
    next_sequence_number,
)
from .queue_store import Queue, Receiver

if TYPE_CHECKING:
    from .queues import Queues

DEDUPLICATION_INTERVAL = 300.0
"""Row B9. The time within which ReceiveRequestAttemptId counts is the same (row B24)."""


class Group:
    """The messages of one MessageGroupId, in their order."""

    __slots__ = ("in_flight", "messages", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.messages: deque[StoredMessage] = deque()
        self.in_flight = 0


class FifoQueue(Queue):
    """A FIFO queue."""

    fifo = True
    _lenient = False

    def __init__(self, queues: Queues, name: str, attributes: dict[str, str]) -> None:
        self._groups: dict[str, Group] = {}
        self._open: OrderedDict[Group, None] = OrderedDict()
        self._busy_groups = 0
        self._known: dict[tuple[str | None, str], Sent] = {}
        self._known_until: deque[tuple[float, tuple[str | None, str]]] = deque()
        self._attempts: OrderedDict[str, tuple[float, list[StoredMessage], list[Message]]] = OrderedDict()
        self._attempt_of: dict[int, str] = {}
        super().__init__(queues, name, attributes)

    # ---- sending

    def deduplicates_by_content(self) -> bool:
        """Return whether a message without a deduplication id gets the hash of its body."""
        return self.attributes.get("ContentBasedDeduplication") == "true"

    def _accept(self, draft: Draft, sender_id: str, now: float) -> Sent:
        while self._known_until and self._known_until[0][0] <= now:
            del self._known[self._known_until.popleft()[1]]
        identifier = draft.deduplication_id or hashlib.sha256(draft.body.encode("utf-8", "surrogatepass")).hexdigest()
        per_group = self.attributes.get("DeduplicationScope") == "messageGroup"
        key = (draft.group_id if per_group else None, identifier)
        first = self._known.get(key)
        if first is not None:
            # The digests are of what was sent now: an SDK compares them.
            digest = md5_of_attributes(draft.attributes)
            return first._replace(md5_of_body=draft.md5, md5_of_message_attributes=digest, deduplicated=True)
        message = StoredMessage(draft, sender_id, now)
        message.deduplication_id = identifier
        message.sequence_number = next_sequence_number()
        sent = Sent(message.message_id, draft.md5, message.md5_attributes, message.sequence_number, False)
        self._known[key] = sent
        self._known_until.append((now + DEDUPLICATION_INTERVAL, key))
        self._store(message, self._delay)
        return sent

    def adopt(self, message: StoredMessage) -> None:
        """Take in a message from another queue: it stands at the end of its group, its time begins again (row B29)."""
        message.sequence_number = next_sequence_number()
        message.sent = message.arrived
        super().adopt(message)

    def _adopt_dead(self, message: StoredMessage) -> None:
        message.deduplication_id = message.message_id
        self.adopt(message)

    def _reconfigured(self) -> None:
        """Give delayed messages the new delay: on a FIFO queue it holds for them too, unlike on a standard one."""
        if not self.delayed:
            return
        for message in self._live.values():
            if message.state == DELAYED and message.due != message.arrived + self._delay:
                message.due = message.arrived + self._delay
                self._stale += 1
                heapq.heappush(self._pending, (message.due, message.serial, message))

    # ---- groups

    def _entered(self, message: StoredMessage) -> None:
        name = message.group_id or ""
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Group(name)
        message.group = group
        group.messages.append(message)

    def _shown(self, message: StoredMessage) -> None:
        group = message.group
        assert group is not None
        if group.messages[0].state in (VISIBLE, GONE):
            self._offer(group)

    def _dropped(self, message: StoredMessage) -> None:
        pass

    def _gone(self, message: StoredMessage) -> None:
        if message.group is not None:
            self._offer(message.group)

    def _offer(self, group: Group) -> None:
        """Let the group stand in line if its first message is visible, and only then."""
        messages = group.messages
        while messages and messages[0].state == GONE:
            messages.popleft()
        if messages and messages[0].state == VISIBLE:
            if group not in self._open:
                self._open[group] = None
            return
        self._open.pop(group, None)
        if not messages:
            self._groups.pop(group.name, None)

    def _emptied(self) -> None:
        self._groups.clear()
        self._open.clear()
        self._busy_groups = 0
        self._attempts.clear()
        self._attempt_of.clear()

    def _compacted(self) -> None:
        pass

    def _has_visible(self) -> bool:
        return bool(self._open)

    def _first_visible(self) -> StoredMessage | None:
        for group in self._open:
            return group.messages[0]
        return None

    # ---- receiving

    def _take(self, max_number: int, visibility_timeout: float, now: float) -> list[Message]:
        taken: list[Message] = []
        while self._open and len(taken) < max_number and self.in_flight < self.in_flight_limit:
            group, _ = self._open.popitem(last=False)
            for message in group.messages:
                if message.state == GONE:
                    continue
                room = len(taken) < max_number and self.in_flight < self.in_flight_limit
                if message.state != VISIBLE or not room:
                    break
                target = self._dead_letter_queue(message)
                if target is None:
                    taken.append(self._hand_out(message, visibility_timeout, now))
                    self._busy_groups += not group.in_flight
                    group.in_flight += 1
                else:
                    self._bury(message, target)
            self._offer(group)
        self._compact()
        return taken

    def wait(self, receiver: Receiver) -> None:
        """Let a receiver stand in line, unless it repeats an attempt (row B24)."""
        again = self._again(receiver.attempt_id, receiver.visibility_timeout)
        if again:
            receiver.deliver(again)
        else:
            super().wait(receiver)

    def _take_for(self, max_number: int, visibility_timeout: float | None, attempt_id: str | None) -> list[Message]:
        again = self._again(attempt_id, visibility_timeout)
        if again:
            return again
        taken = super()._take_for(max_number, visibility_timeout, attempt_id)
        if attempt_id is not None and taken:
            stored = [self._find(message.receipt_handle)[0] for message in taken]
            kept = [message for message in stored if message is not None]
            self._attempts[attempt_id] = (self._clock.now(), kept, taken)
            for message in kept:
                self._attempt_of[message.serial] = attempt_id
        return taken

    def _again(self, attempt_id: str | None, visibility_timeout: float | None) -> list[Message]:
        """Return what the attempt got before, hidden anew, if none of it was deleted, changed, or came back."""
        now = self._clock.now()
        while self._attempts and next(iter(self._attempts.values()))[0] + DEDUPLICATION_INTERVAL <= now:
            self._forget_attempt(next(iter(self._attempts)))
        if attempt_id is None:
            return []
        self.settle(now)
        found = self._attempts.get(attempt_id)
        if found is None:
            return []
        timeout = self._visibility_timeout if visibility_timeout is None else visibility_timeout
        _, stored, taken = found
        for message in stored:
            self._stale += 1
            self._schedule(message, now + timeout)
        self._handed_out(taken)
        self._compact()
        return taken

    def _forget_attempt(self, attempt_id: str) -> None:
        for message in self._attempts.pop(attempt_id)[1]:
            self._attempt_of.pop(message.serial, None)

    def _altered(self, message: StoredMessage) -> None:
        attempt_id = self._attempt_of.get(message.serial)
        if attempt_id is not None:
            self._forget_attempt(attempt_id)

    def _landed(self, message: StoredMessage) -> None:
        self._altered(message)
        group = message.group
        assert group is not None
        group.in_flight -= 1
        self._busy_groups -= not group.in_flight

    def _own_gauges(self, now: float) -> Iterator[tuple[str, float, str]]:
        yield "ApproximateNumberOfGroupsWithInflightMessages", self._busy_groups, "Count"

    def _may_delete(self, message: StoredMessage, current: bool, handle: str) -> bool:
        if not current or message.state != IN_FLIGHT:
            raise errors.invalid_value(handle, "ReceiptHandle", "The receipt handle has expired.")
        return True
