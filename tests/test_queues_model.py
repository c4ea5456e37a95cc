"""Both kinds of queue against a plain model of theirs, through random histories."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from helpers.local_aws import queue_store
from helpers.local_aws.clock import Clock
from helpers.local_aws.errors import ApiError
from helpers.local_aws.queues import Draft, Queue

from .sqs import redrive
from .test_queues_unit import Sqs

VISIBILITY = 10
STEPS = 250


class StillClock(Clock):
    """A clock that moves only when it is advanced."""

    def now(self) -> float:
        """Return the time."""
        return 1_000_000_000 + self.offset


@dataclass(eq=False)
class Modelled:
    """A message as the model knows it: when it was sent, when it is visible, and how often it was received."""

    group: str | None
    sent: float
    visible: float
    receives: int = 0
    gone: bool = False


class Model:
    """One queue and its plain model: a list of messages in the order of sending."""

    def __init__(self, rnd: random.Random, fifo: bool) -> None:
        self.rnd = rnd
        self.fifo = fifo
        self.sqs = Sqs(StillClock())
        suffix = ".fifo" if fifo else ""
        self.most = rnd.choice([None, 1, 2, 3])
        self.delay = rnd.choice([0, 0, 5])
        self.retention = rnd.choice([60, 100, 345_600])
        attributes = {"ContentBasedDeduplication": "true"} if fifo else {}
        self.sqs.create(f"dead{suffix}", **attributes)
        if self.most is not None:
            attributes["RedrivePolicy"] = redrive(self.sqs.queue(f"dead{suffix}").arn, self.most)
        attributes |= {"VisibilityTimeout": str(VISIBILITY), "DelaySeconds": str(self.delay)}
        self.sqs.create(f"q{suffix}", MessageRetentionPeriod=str(self.retention), **attributes)
        self.queue: Queue = self.sqs.queue(f"q{suffix}")
        self.messages: dict[str, Modelled] = {}
        self.handles: list[tuple[str, Modelled, int]] = []

    @property
    def now(self) -> float:
        """The time."""
        return self.sqs.clock.now()

    def is_visible(self, message: Modelled) -> bool:
        """Return whether a receive would see the message."""
        return message.visible <= self.now

    def is_poison(self, message: Modelled) -> bool:
        """Return whether the next receive would move the message to the dead-letter queue."""
        return self.most is not None and message.receives >= self.most

    def forget(self) -> None:
        """Drop what is gone or has expired."""
        for message in self.messages.values():
            message.gone |= self.now - message.sent >= self.retention
        self.messages = {key: message for key, message in self.messages.items() if not message.gone}

    def send(self) -> None:
        """Send one message or three."""
        for _ in range(self.rnd.choice([1, 3])):
            group = self.rnd.choice("abc") if self.fifo else None
            own = None if self.fifo else self.rnd.choice([None, 0, 3])
            sent = self.queue.send(Draft(str(self.rnd.random()), group_id=group, delay=own), "x")
            delay = self.delay if own is None else own
            self.messages[sent.message_id] = Modelled(group, self.now, self.now + delay)

    def receivable(self) -> list[list[Modelled]]:
        """Return what may be received, in lists that each keep their order."""
        if not self.fifo:
            return [[one] for one in self.messages.values() if self.is_visible(one) and not self.is_poison(one)]
        groups: dict[str | None, list[Modelled]] = {}
        locked = set()
        for message in self.messages.values():
            if not self.is_visible(message):
                locked.add(message.group)
            elif message.group not in locked and not self.is_poison(message):
                groups.setdefault(message.group, []).append(message)
        return list(groups.values())

    def receive(self) -> None:
        """Receive, and compare what comes with what may come."""
        number = self.rnd.choice([1, 2, 5, 10])
        timeout = self.rnd.choice([None, 0, 4])
        lines = self.receivable()
        received = self.queue.receive(number, timeout)
        taken = [self.messages[message.message_id] for message in received]
        assert len(taken) == len(set(map(id, taken))) == min(number, sum(map(len, lines)))
        for line in lines:
            mine = [message for message in taken if message in line]
            assert mine == line[: len(mine)]
        kept = {stored.message_id for stored in self.queue._live.values()}
        for key, message in self.messages.items():
            if key not in kept:
                assert self.is_visible(message)
                assert self.is_poison(message)
                message.gone = True
        for handed, message in zip(received, taken, strict=True):
            message.receives += 1
            message.visible = self.now + (VISIBILITY if timeout is None else timeout)
            assert handed.receive_count == message.receives
            self.handles.append((handed.receipt_handle, message, message.receives))

    def use_a_handle(self) -> None:
        """Delete a message or change its visibility by any handle that was ever given."""
        if not self.handles:
            return
        handle, message, receive = self.rnd.choice(self.handles)
        seconds = self.rnd.choice([None, 0, 2, 20])
        latest = message.receives == receive
        in_time = latest and not self.is_visible(message)
        if seconds is None:
            fine = message.gone or in_time or not self.fifo
        else:
            fine = not message.gone and (in_time or not self.fifo)
        try:
            self.queue.delete(handle) if seconds is None else self.queue.change_visibility(handle, seconds)
        except ApiError:
            assert not fine
            return
        assert fine
        if seconds is None:
            message.gone |= latest
        elif in_time:
            message.visible = self.now + seconds

    def wait(self) -> None:
        """Let time pass."""
        self.sqs.wait(self.rnd.choice([0.5, 1, 3, 7, 15, 40]))

    def check(self) -> None:
        """Compare the counts."""
        self.queue.settle()
        counts = (self.queue.held, self.queue.visible)
        assert counts == (len(self.messages), sum(map(self.is_visible, self.messages.values())))
        assert self.queue.held == self.queue.visible + self.queue.in_flight + self.queue.delayed


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
@pytest.mark.parametrize("slack", [2, 1024])
def test_random_histories_agree_with_the_model(monkeypatch: pytest.MonkeyPatch, fifo: bool, slack: int) -> None:
    # With little slack the indexes are compacted all the time.
    monkeypatch.setattr(queue_store, "_SLACK", slack)
    for seed in range(15):
        model: Any = Model(random.Random(seed), fifo)
        steps = [model.send, model.receive, model.receive, model.use_a_handle, model.use_a_handle, model.wait]
        for _ in range(STEPS):
            model.forget()
            model.rnd.choice(steps)()
            model.forget()
            model.check()
