"""Standard queues: visible messages stand in one line, and what comes back goes to its end."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .messages import GONE, VISIBLE, Draft, Message, Sent, StoredMessage
from .queue_store import POISON_RECEIVES, Queue

if TYPE_CHECKING:
    from .queues import Queues


class StandardQueue(Queue):
    """A standard queue. Its order is best effort: sent order, and the end of the line after a timeout (row A75)."""

    def __init__(self, queues: Queues, name: str, attributes: dict[str, str]) -> None:
        self._visible: deque[StoredMessage] = deque()
        super().__init__(queues, name, attributes)

    def _accept(self, draft: Draft, sender_id: str, now: float) -> Sent:
        message = StoredMessage(draft, sender_id, now)
        self._store(message, self._delay if draft.delay is None else draft.delay)
        return Sent(message.message_id, draft.md5, message.md5_attributes, None, False)

    def _entered(self, message: StoredMessage) -> None:
        pass

    def _shown(self, message: StoredMessage) -> None:
        self._visible.append(message)

    def _gone(self, message: StoredMessage) -> None:
        pass

    def _emptied(self) -> None:
        self._visible.clear()

    def _compacted(self) -> None:
        self._visible = deque(message for message in self._visible if message.state == VISIBLE)

    def _altered(self, message: StoredMessage) -> None:
        pass

    def _landed(self, message: StoredMessage) -> None:
        pass

    def _reconfigured(self) -> None:
        pass

    def _has_visible(self) -> bool:
        return self.visible > 0

    def _first_visible(self) -> StoredMessage | None:
        while self._visible and self._visible[0].state == GONE:
            self._visible.popleft()
        return self._visible[0] if self._visible else None

    def _take(self, max_number: int, visibility_timeout: float, now: float) -> list[Message]:
        taken: list[Message] = []
        while self._visible and len(taken) < max_number and self.in_flight < self.in_flight_limit:
            message = self._visible.popleft()
            if message.state != VISIBLE:
                continue
            target = self._dead_letter_queue(message)
            if target is None:
                taken.append(self._hand_out(message, visibility_timeout, now))
            else:
                self._bury(message, target)
                self._compact()
        return taken

    def _is_poison(self, message: StoredMessage) -> bool:
        return message.receives_here >= POISON_RECEIVES
