"""Fair queues: the tenants of a standard queue, and which of them are noisy (rows A87 to A91).

A tenant is a MessageGroupId. It is noisy while it has messages waiting and either holds a disproportionate share of the
messages in flight or has recently taken a disproportionate share of the consumers' time. Of messages without a group
each is a tenant of its own: it has nothing waiting while it is in flight, and so is never noisy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from .messages import GONE, VISIBLE, StoredMessage

NOISY_SHARE = 0.1
"""Share of the messages in flight, or of the processing time, above which a tenant is noisy (rows A88 and A89)."""

LEAST_IN_FLIGHT = 30
"""Messages in flight below which no share of them makes a tenant noisy (row A88)."""

SILENCE = 300.0
"""Seconds without a new message after which a tenant is quiet again (row A91)."""

RECENT = 300.0
"""Seconds for which processing time counts; AWS says recent (row A89)."""

LEAST_PROCESSING = 60.0
"""Seconds of recent processing in a queue below which shares of it say nothing; AWS gives no figure (row A89)."""

_SLICE = 10.0


class Work:
    """Messages in flight, and the consumers' time that those before them have taken.

    Attributes
    ----------
    in_flight : int
        Messages in flight now.
    """

    __slots__ = ("_recent", "in_flight")

    def __init__(self) -> None:
        self.in_flight = 0
        self._recent: deque[list[float]] = deque()

    def ended(self, received: float, now: float) -> None:
        """Count a message that is no longer in flight, and the time since it was received."""
        self.in_flight -= 1
        start = now // _SLICE * _SLICE
        if self._recent and self._recent[-1][0] == start:
            self._recent[-1][1] += now - received
        else:
            self._recent.append([start, now - received])

    def seconds(self, now: float) -> float:
        """Return the processing time of what ended in the last five minutes."""
        recent = self._recent
        while recent and recent[0][0] <= now - RECENT:
            recent.popleft()
        return sum(spent for _, spent in recent)


class Tenant(Work):
    """One MessageGroupId of a standard queue.

    Attributes
    ----------
    name : str
        The group.
    held, visible : int
        Its messages in all states, and those that wait.
    last_sent : float
        When it last sent a message, in seconds since the epoch.
    noisy : bool
        Whether it was noisy when that was last looked at.
    aside : deque of StoredMessage
        Messages that wait until no quiet tenant has any, in the order in which they became visible.
    """

    __slots__ = ("aside", "held", "last_sent", "name", "noisy", "visible")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.held = 0
        self.visible = 0
        self.last_sent = 0.0
        self.noisy = False
        self.aside: deque[StoredMessage] = deque()


class Tenants:
    """The tenants of one queue, and all that is in flight in it."""

    def __init__(self) -> None:
        self._all: dict[str, Tenant] = {}
        self._busy: dict[Tenant, None] = {}
        self._aside: dict[Tenant, None] = {}
        self._total = Work()

    def __bool__(self) -> bool:
        """Whether any message has a group."""
        return bool(self._all)

    # ---- the life of a message

    def entered(self, message: StoredMessage, now: float) -> None:
        """Note a message that is new in the queue."""
        if message.group_id is None:
            return
        tenant = self._all.get(message.group_id)
        if tenant is None:
            tenant = self._all[message.group_id] = Tenant(message.group_id)
        message.tenant = tenant
        tenant.held += 1
        tenant.last_sent = now

    def shown(self, message: StoredMessage) -> None:
        """Note a message that has become visible."""
        if message.tenant is not None:
            message.tenant.visible += 1

    def received(self, message: StoredMessage) -> None:
        """Note a visible message that is handed out."""
        self._total.in_flight += 1
        tenant = message.tenant
        if tenant is not None:
            tenant.in_flight += 1
            self._waits_no_more(tenant)
            self._busy[tenant] = None

    def landed(self, message: StoredMessage, now: float) -> None:
        """Note a message that is no longer in flight; nobody works on it after its visibility timeout."""
        now = max(message.received, min(now, message.due))
        self._total.ended(message.received, now)
        if message.tenant is not None:
            message.tenant.ended(message.received, now)

    def dropped(self, message: StoredMessage) -> None:
        """Note a message that leaves the queue, before its state changes."""
        tenant = message.tenant
        if tenant is None:
            return
        tenant.held -= 1
        if message.state == VISIBLE:
            self._waits_no_more(tenant)
        if not tenant.held and tenant not in self._busy:
            self._all.pop(tenant.name, None)

    def clear(self) -> None:
        """Forget everything."""
        self._all.clear()
        self._busy.clear()
        self._aside.clear()
        self._total = Work()

    def _waits_no_more(self, tenant: Tenant) -> None:
        tenant.visible -= 1
        if not tenant.visible:
            # Its backlog is drained: it begins anew (row A91).
            tenant.noisy = False
            tenant.aside.clear()
            self._aside.pop(tenant, None)

    # ---- who is noisy

    def is_noisy(self, tenant: Tenant | None, now: float) -> bool:
        """Return whether a tenant is noisy now (rows A88, A89 and A91).

        Once noisy it stays so until its backlog is drained, it has sent nothing for five minutes, or both its shares
        are small again.
        """
        if tenant is None or not tenant.visible:
            return False
        if now - tenant.last_sent >= SILENCE:
            tenant.noisy = False
            return False
        crowds = tenant.in_flight > NOISY_SHARE * self._total.in_flight
        if crowds and (tenant.noisy or tenant.in_flight >= LEAST_IN_FLIGHT):
            tenant.noisy = True
            return True
        spent = self._total.seconds(now)
        tenant.noisy = spent >= LEAST_PROCESSING and tenant.seconds(now) > NOISY_SHARE * spent
        return tenant.noisy

    def noisy(self, now: float) -> list[Tenant]:
        """Return the noisy tenants; what has long been done is forgotten on the way."""
        found = []
        for tenant in list(self._busy):
            if self.is_noisy(tenant, now):
                found.append(tenant)
            elif not tenant.in_flight and not tenant.seconds(now):
                del self._busy[tenant]
                if not tenant.held:
                    self._all.pop(tenant.name, None)
        return found

    # ---- whose turn it is

    def set_aside(self, message: StoredMessage) -> None:
        """Keep a noisy tenant's message until no quiet tenant has any."""
        tenant = message.tenant
        assert tenant is not None
        tenant.aside.append(message)
        self._aside[tenant] = None

    def kept(self, now: float) -> tuple[StoredMessage | None, StoredMessage | None]:
        """Return, of what was set aside, the first message of tenants that are quiet again, and the noisy ones' next.

        The latter is the first of the tenant with the fewest messages in flight (row A90).
        """
        quiet: StoredMessage | None = None
        noisy: StoredMessage | None = None
        fewest = 0
        for tenant, first in self._heads():
            if not self.is_noisy(tenant, now):
                if quiet is None or first.turn < quiet.turn:
                    quiet = first
            elif noisy is None or (tenant.in_flight, first.turn) < (fewest, noisy.turn):
                noisy, fewest = first, tenant.in_flight
        return quiet, noisy

    def take(self, message: StoredMessage) -> None:
        """Take what `kept` has returned."""
        assert message.tenant is not None
        message.tenant.aside.popleft()

    def compact(self) -> None:
        """Drop messages that are gone from what was set aside."""
        for tenant in list(self._aside):
            tenant.aside = deque(message for message in tenant.aside if message.state != GONE)

    def _heads(self) -> Iterator[tuple[Tenant, StoredMessage]]:
        for tenant in list(self._aside):
            aside = tenant.aside
            while aside and aside[0].state == GONE:
                aside.popleft()
            if aside:
                yield tenant, aside[0]
            else:
                del self._aside[tenant]
