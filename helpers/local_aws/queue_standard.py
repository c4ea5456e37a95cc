"""Standard queues: visible messages stand in one line, and what comes back goes to its end.

What a noisy tenant has in that line is set aside when its turn comes, until no quiet tenant has a message (row A90): so
each message is looked at once, however many there are.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .messages import GONE, VISIBLE, Draft, Message, Sent, StoredMessage
from .queue_store import POISON_RECEIVES, Queue
from .tenants import Tenants

if TYPE_CHECKING:
    from .queues import Queues

_turns = itertools.count(1)


class StandardQueue(Queue):
    """A standard queue. Its order is best effort: sent order, and the end of the line after a timeout (row A75)."""

    def __init__(self, queues: Queues, name: str, attributes: dict[str, str]) -> None:
        self._visible: deque[StoredMessage] = deque()
        self._tenants = Tenants()
        super().__init__(queues, name, attributes)

    def _accept(self, draft: Draft, sender_id: str, now: float) -> Sent:
        message = StoredMessage(draft, sender_id, now)
        self._store(message, self._delay if draft.delay is None else draft.delay)
        return Sent(message.message_id, draft.md5, message.md5_attributes, None, False)

    def _entered(self, message: StoredMessage) -> None:
        self._tenants.entered(message, message.arrived)

    def _shown(self, message: StoredMessage) -> None:
        message.turn = next(_turns)
        self._visible.append(message)
        self._tenants.shown(message)

    def _dropped(self, message: StoredMessage) -> None:
        self._tenants.dropped(message)

    def _gone(self, message: StoredMessage) -> None:
        pass

    def _emptied(self) -> None:
        self._visible.clear()
        self._tenants.clear()

    def _compacted(self) -> None:
        self._visible = deque(message for message in self._visible if message.state == VISIBLE)
        self._tenants.compact()

    def _altered(self, message: StoredMessage) -> None:
        pass

    def _landed(self, message: StoredMessage) -> None:
        self._tenants.landed(message, self._clock.now())

    def _reconfigured(self) -> None:
        pass

    def _has_visible(self) -> bool:
        return self.visible > 0

    def _first_visible(self) -> StoredMessage | None:
        return self._next(self._clock.now(), take=False)

    def _next(self, now: float, *, take: bool) -> StoredMessage | None:
        """Return the message whose turn it is, and with `take` let it leave the line."""
        line, tenants = self._visible, self._tenants
        while line:
            first = line[0]
            if first.state != VISIBLE:
                line.popleft()
            elif first.tenant is not None and tenants.is_noisy(first.tenant, now):
                tenants.set_aside(line.popleft())
            else:
                break
        quiet, noisy = tenants.kept(now)
        if line and (quiet is None or line[0].turn < quiet.turn):
            return line.popleft() if take else line[0]
        chosen = quiet or noisy
        if chosen is not None and take:
            tenants.take(chosen)
        return chosen

    def _take(self, max_number: int, visibility_timeout: float, now: float) -> list[Message]:
        taken: list[Message] = []
        while len(taken) < max_number and self.in_flight < self.in_flight_limit:
            message = self._next(now, take=True)
            if message is None:
                break
            target = self._dead_letter_queue(message)
            if target is None:
                self._tenants.received(message)
                taken.append(self._hand_out(message, visibility_timeout, now))
            else:
                self._bury(message, target)
                self._compact()
        return taken

    def _is_poison(self, message: StoredMessage) -> bool:
        return message.receives_here >= POISON_RECEIVES

    def _own_gauges(self, now: float) -> Iterator[tuple[str, float, str]]:
        """Yield what fair queues tell: the noisy groups, and the counts without them (row F12)."""
        if not self._tenants:
            return
        noisy = self._tenants.noisy(now)
        visible = self.visible - sum(tenant.visible for tenant in noisy)
        in_flight = self.in_flight - sum(tenant.in_flight for tenant in noisy)
        delayed = self.delayed - sum(tenant.held - tenant.visible - tenant.in_flight for tenant in noisy)
        yield "ApproximateNumberOfNoisyGroups", len(noisy), "Count"
        yield "ApproximateNumberOfMessagesVisibleInQuietGroups", visible, "Count"
        if in_flight:
            yield "ApproximateNumberOfMessagesNotVisibleInQuietGroups", in_flight, "Count"
        if delayed:
            yield "ApproximateNumberOfMessagesDelayedInQuietGroups", delayed, "Count"
        loud = {tenant.name for tenant in noisy}
        for message in self._arrivals:
            if message.state != GONE and not self._is_poison(message) and message.group_id not in loud:
                yield "ApproximateAgeOfOldestMessageInQuietGroups", int(max(0.0, now - message.arrived)), "Seconds"
                return
