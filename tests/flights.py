"""Logs of the flight recorder as a run would leave them, made without one."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pandas

from helpers import recorder

T0 = 1_790_000_000.0
Row = tuple[Any, ...]


def message_id(number: int) -> str:
    """Return the same id for the same number."""
    return str(uuid.UUID(int=random.Random(number).getrandbits(128)))


class Flight:
    """Collects rows; times are seconds since `T0`."""

    def __init__(self, queue: str = "orders", function: str = "handle") -> None:
        self.queue = queue
        self.function = function
        self.rows: list[Row] = []

    def add(self, time: float, event: str, message: str | None = None, **fields: Any) -> None:
        """Add a row."""
        if message is not None:
            fields.setdefault("queue", self.queue)
        values = {"time": T0 + time, "event": event, "message": message, **fields}
        self.rows.append(tuple(values.get(column) for column in recorder.COLUMNS))

    def run(self, start: float, end: float, request: str, batch: dict[str, int], **fields: Any) -> None:
        """Add a run of a batch, given by message id and receive count; `failed` names those that fail."""
        failed, outcome = fields.pop("failed", {}), fields.pop("outcome", "KeyError")
        environment, cold = fields.pop("environment", "e1"), fields.pop("cold", None)
        common = {"request": request, "function": self.function}
        if cold is not None:
            self.add(start - cold, "environment started", environment=environment, outcome="cold", **common)
            self.add(start, "environment ready", environment=environment, **common)
        for message, count in batch.items():
            self.add(start - (cold or 0), "invoked", message, receive_count=count, **common, **fields)
        for message, count in batch.items():
            event = "failed" if message in failed else "succeeded"
            said = {"outcome": outcome} if message in failed else {}
            about = {"receive_count": count, "environment": environment, **common, **fields, **said}
            self.add(end, event, message, **about)

    def log(self) -> pandas.DataFrame:
        """Return the log, in the order of time."""
        return recorder.frame(sorted(self.rows, key=lambda row: row[0]))


def failing(messages: int = 1, poison: int = 1, *, partial: bool = False, visibility: float = 30) -> Flight:
    """Return a batch of which the last ones fail at 0, 30 and 60 s and are dead at 90 s."""
    flight = Flight()
    ids = [message_id(number) for number in range(messages)]
    for number, message in enumerate(ids):
        flight.add(0.001 * number, "sent", message)
    bad = set(ids[messages - poison :])
    live = list(ids)
    for attempt in range(3):
        start = 0.1 + attempt * visibility
        for message in live:
            flight.add(start, "received", message, receive_count=attempt + 1)
        failed = bad if partial else set(live)
        flight.run(
            start + (0.1 if not attempt else 0),
            start + 0.3,
            f"r{attempt}",
            dict.fromkeys(live, attempt + 1),
            failed=failed,
            cold=None if attempt else 0.1,
            outcome=recorder.PARTIAL if partial else "KeyError",
        )
        for message in live:
            if message in failed:
                flight.add(start + visibility, "visible", message)
            else:
                flight.add(start + 0.301, "deleted", message)
        live = [message for message in live if message in failed]
    for message in live:
        flight.add(0.1 + 3 * visibility, "dead-lettered", message, receive_count=3, outcome="orders-dlq")
    flight.add(700, "environment ended", environment="e1", function=flight.function)
    return flight


def grouped(messages: int = 60, groups: int = 6, *, fifo: bool = True, swap: int = 0) -> Flight:
    """Return messages of groups, each handled for 0.2 s; the first `swap` groups begin with their second message."""
    flight = Flight("transfers.fifo" if fifo else "transfers")
    lanes: dict[str, list[str]] = {}
    for number in range(messages):
        message, group = message_id(number), f"account-{number % groups:03}"
        flight.add(number * 0.001, "sent", message, group=group)
        lanes.setdefault(group, []).append(message)
    for lane, (group, ids) in enumerate(lanes.items()):
        order = [ids[1], ids[0], *ids[2:]] if lane < swap else ids
        for place, message in enumerate(order):
            start = 0.2 + place * 0.21 + lane * 0.001
            flight.add(start, "received", message, receive_count=1, group=group)
            cold = 0.1 if not place else None
            run = {"environment": f"e{lane}", "cold": cold, "group": group}
            flight.run(start + (cold or 0), start + 0.2, f"r{message}", {message: 1}, **run)
            flight.add(start + 0.201, "deleted", message, group=group)
    return flight


def throttled() -> Flight:
    """Return 5 messages for a function that runs one at a time: three are throttled until they die."""
    flight = Flight()
    ids = [message_id(number) for number in range(5)]
    for message in ids:
        flight.add(0, "sent", message)
        flight.add(0.1, "received", message, receive_count=1)
    for number, message in enumerate(ids[:2]):
        flight.run(0.2 + number, 1.2 + number, f"r{number}", {message: 1}, cold=None if number else 0.1)
        flight.add(1.201 + number, "deleted", message)
    for attempt in (1, 2):
        for number, message in enumerate(ids[2:]):
            for again in (0.11, 0.61, 1.61):
                at = again + (attempt - 1) * 2 + number * 0.001
                flight.add(at, "throttled", message, receive_count=attempt, function=flight.function)
            flight.add(attempt * 2.1, "visible", message)
            if attempt == 1:
                flight.add(2.1, "received", message, receive_count=2)
            else:
                flight.add(4.2, "dead-lettered", message, receive_count=2, outcome="orders-dlq")
    return flight


def crowd(messages: int = 50_000) -> Flight:
    """Return very many messages in batches of ten; every fiftieth fails twice and dies."""
    flight = Flight()
    ids = [message_id(number) for number in range(messages)]
    for number, message in enumerate(ids):
        flight.add(number * 0.0005, "sent", message)
    for first in range(0, messages, 10):
        batch = dict.fromkeys(ids[first : first + 10], 1)
        start = 0.5 + first * 0.0007
        bad = {ids[first]} if first % 50 == 0 else set()
        for message in batch:
            flight.add(start, "received", message, receive_count=1)
        flight.run(start, start + 0.1, f"r{first}", batch, failed=bad, outcome=recorder.PARTIAL)
        for message in batch:
            if message not in bad:
                flight.add(start + 0.101, "deleted", message)
                continue
            flight.add(start + 30, "visible", message)
            flight.add(start + 30, "received", message, receive_count=2)
            run = {"failed": bad, "outcome": recorder.PARTIAL}
            flight.run(start + 30, start + 30.1, f"again{first}", {message: 2}, **run)
            flight.add(start + 60, "visible", message)
            flight.add(start + 60, "dead-lettered", message, receive_count=2, outcome="orders-dlq")
    return flight


def outage() -> Flight:
    """Return ten messages that wait up to an hour for their function, and three direct calls that fail meanwhile."""
    flight = Flight()
    for number in range(10):
        message = message_id(number)
        flight.add(300 * number, "sent", message)
        flight.add(3600, "received", message, receive_count=1)
        flight.run(3600.1, 3600.2, f"r{number}", {message: 1}, cold=0.1 if not number else None)
        flight.add(3600.3, "deleted", message)
    for number in range(3):
        flight.add(900 * number, "invoked", request=f"d{number}", function=flight.function)
        flight.add(900 * number + 0.1, "failed", request=f"d{number}", function=flight.function, outcome="KeyError")
    return flight
