"""Whatever happens to a mapping: no message is lost, none is handled twice, and groups keep their order.

Random changes from fixed seeds, on real pollers and real queues with a stand-in for the function.
"""

from __future__ import annotations

import collections
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from helpers.local_aws.functions import Outcome, Throttled
from helpers.local_aws.queues import Draft

from .test_scaling import Stage

LARGE = 700_000


class Upheaval(Stage):
    """A stage whose function fails and is throttled at times, and notes what it has handled."""

    def __init__(self, seed: int, *, fifo: bool, visibility: int) -> None:
        self.random = random.Random(seed)
        self.failing = 0.0
        self.handled: collections.Counter[str] = collections.Counter()
        self.order: dict[str | None, list[int]] = collections.defaultdict(list)
        self.busy: set[str | None] = set()
        self.doubled: set[str | None] = set()
        self.sent = 0
        super().__init__(0)
        attributes = {"VisibilityTimeout": str(visibility)} | ({"FifoQueue": "true"} if fifo else {})
        self.queue = self.queues.create("up.fifo" if fifo else "up", attributes, {})
        self.mapping = self.mappings.create(self.queue, self.settings(), enabled=True, tags={})
        self.advance(2)

    def invoke(self, payload: bytes, done: Callable[[Outcome], None], *, source: str, traces: list[str | None]) -> None:
        """Work for a while, fail or succeed."""
        if self.running >= self.concurrency:
            raise Throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
        records = json.loads(payload)["Records"]
        groups = {record["attributes"].get("MessageGroupId") for record in records} - {None}
        self.doubled |= groups & self.busy
        self.busy |= groups
        self.running += 1
        fails = self.random.random() < self.failing

        def end() -> None:
            self.running -= 1
            self.busy -= groups
            for record in [] if fails else records:
                self.handled[record["messageId"]] += 1
                self.order[record["attributes"].get("MessageGroupId")].append(int(record["body"].split()[0]))
            done(Outcome(b"null", "Unhandled" if fails else None, b"", "", "$LATEST"))

        self.scheduler.after(self.random.choice([0.01, 0.5, 3, 30]), end)

    def send_some(self) -> None:
        """Send up to 25 messages, now and then large ones."""
        fifo, padding = self.queue.fifo, "x" * (LARGE if self.random.random() < 0.03 else 0)
        drafts = []
        for _ in range(self.random.randint(1, 25)):
            group = f"g{self.random.randint(0, 3)}" if fifo else None
            identifier = str(self.sent) if fifo else None
            drafts.append(Draft(f"{self.sent} {padding}", group_id=group, deduplication_id=identifier))
            self.sent += 1
        with self.scheduler.lock:
            self.queue.send_many(drafts, "AIDAEXAMPLE")

    def change(self) -> None:
        """Change the mapping's settings, or switch it on or off."""
        pick = self.random.choice
        settings: dict[str, Any] = {"batch_size": pick([1, 2, 10]), "maximum_concurrency": pick([None, 2, 3, 20])}
        if not self.queue.fifo and pick([True, False]):
            settings |= {"window": pick([1, 20]), "batch_size": pick([1, 15, 100])}
        with self.scheduler.lock:
            if not self.mapping.passing:
                self.mapping.update(self.settings(**settings), pick([None, None, True, False]))


@pytest.mark.behaviour("C86", "C87", "C105")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fifo", [False, True])
@pytest.mark.parametrize("failing", [False, True])
def test_nothing_is_lost_or_handled_twice(seed: int, fifo: bool, failing: bool) -> None:
    visibility = 1000 if failing else 43_200
    stage = Upheaval(seed, fifo=fifo, visibility=visibility)
    pick = stage.random.choice
    for _ in range(60):
        happens = stage.random.random()
        if happens < 0.45:
            stage.send_some()
        elif happens < 0.65:
            stage.change()
        elif happens < 0.75:
            stage.concurrency = pick([0, 1, 3, 10**6])
        elif happens < 0.85 and failing:
            stage.failing = pick([0, 0.3, 1])
        stage.advance(pick([0, 0.05, 1, 10, 100]))
    stage.concurrency, stage.failing = 10**6, 0.0
    stage.advance(3)
    with stage.scheduler.lock:
        stage.mapping.update(stage.settings(), True)
    stage.advance(3 * visibility)
    assert (stage.queue.held, stage.running, stage.mapping.pollers.in_flight) == (0, 0, 0)
    assert len(stage.handled) == stage.sent
    assert set(stage.handled.values()) == {1}
    assert not stage.doubled
    if fifo:
        assert all(bodies == sorted(bodies) for bodies in stage.order.values())
