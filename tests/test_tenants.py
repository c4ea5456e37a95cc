"""Fair queues against a plain reference: who is noisy and whose turn it is, worked out anew at each message."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

import pytest

from helpers.local_aws.clock import Clock
from helpers.local_aws.queues import Draft, Queue

from .test_queues_unit import Sqs

VISIBILITY = 100.0


class StillClock(Clock):
    """A clock that moves only when it is advanced."""

    def now(self) -> float:
        """Return the time."""
        return 1_000_000_000 + self.offset


@dataclass(eq=False)
class Waiting:
    """A message of the reference: when it became visible, and from when on it is, if it is in flight."""

    group: str | None
    turn: int
    received: float | None = None


@dataclass
class Reference:
    """A standard queue without any index.

    Attributes
    ----------
    marked : set of str
        Groups that were noisy since their backlog was drained or they fell silent: they may still be.
    spent : list of (float, str or None, float)
        When which group's message ended, and the seconds for which it had been in flight.
    """

    messages: dict[str, Waiting] = field(default_factory=dict)
    last_sent: dict[str, float] = field(default_factory=dict)
    marked: set[str] = field(default_factory=set)
    spent: list[tuple[float, str | None, float]] = field(default_factory=list)
    turns: int = 0

    def count(self, group: str | None, *, flying: bool) -> int:
        """Count a group's messages that wait, or that are in flight."""
        return sum(one.group == group and (one.received is not None) == flying for one in self.messages.values())

    def judge(self, group: str, now: float) -> tuple[bool, bool]:
        """Return whether a group is noisy for certain, and whether it may be (rows A87 to A91)."""
        if not self.count(group, flying=False) or now - self.last_sent[group] >= 300:
            self.marked.discard(group)
            return False, False
        mine = self.count(group, flying=True)
        crowds = mine > 0.1 * sum(one.received is not None for one in self.messages.values())
        recent = [(whose, seconds) for ended, whose, seconds in self.spent if ended // 10 * 10 > now - 300]
        whole = sum(seconds for _, seconds in recent)
        slow = whole >= 60 and sum(seconds for whose, seconds in recent if whose == group) > 0.1 * whole
        certain = slow or (crowds and mine >= 30)
        if certain:
            self.marked.add(group)
        return certain, certain or (crowds and group in self.marked)

    def look(self, now: float) -> tuple[set[str], set[str]]:
        """Return the groups that are noisy for certain, and those that may be besides: when AWS looks is its affair."""
        verdicts = {group: self.judge(group, now) for group in self.last_sent}
        certain = {group for group, verdict in verdicts.items() if verdict[0]}
        return certain, {group for group, verdict in verdicts.items() if verdict[1]} - certain

    def turns_of(self, noisy: set[str]) -> str:
        """Return the id of the message whose turn it is while these groups are noisy."""
        waiting = {key: one for key, one in self.messages.items() if one.received is None}
        quiet = {key: one for key, one in waiting.items() if one.group not in noisy}
        if quiet:
            return min(quiet, key=lambda key: quiet[key].turn)
        return min(waiting, key=lambda key: (self.count(waiting[key].group, flying=True), waiting[key].turn))

    def next(self, now: float) -> tuple[set[str], bool]:
        """Return the ids of messages whose turn it may be, and whether some group is noisy for certain."""
        certain, besides = self.look(now)
        choices = itertools.chain.from_iterable(
            itertools.combinations(sorted(besides), size) for size in range(len(besides) + 1)
        )
        return {self.turns_of(certain | set(more)) for more in choices}, bool(certain)

    def end(self, key: str, now: float) -> None:
        """Let a message be no longer in flight."""
        one = self.messages[key]
        assert one.received is not None
        now = min(now, one.received + VISIBILITY)
        self.spent.append((now, one.group, now - one.received))
        one.received = None


@pytest.mark.behaviour("A88", "A90", "A91")
@pytest.mark.parametrize("seed", range(5))
def test_random_histories_agree_with_the_reference(seed: int) -> None:
    rnd = random.Random(seed)
    sqs = Sqs(StillClock())
    sqs.create("q", VisibilityTimeout=str(int(VISIBILITY)))
    queue: Queue = sqs.queue("q")
    model = Reference()
    handles: dict[str, str] = {}
    judged = 0
    for _ in range(260):
        now = sqs.clock.now()
        do = rnd.random()
        if do < 0.3:
            for _ in range(rnd.choice([1, 5, 12])):
                group = rnd.choice(["loud", "loud", "b", "c", None])
                sent = queue.send(Draft("x", group_id=group), "x")
                model.turns += 1
                model.messages[sent.message_id] = Waiting(group, model.turns)
                if group is not None:
                    model.last_sent[group] = now
        elif do < 0.7:
            number = rnd.choice([1, 5, 10])
            for message in queue.receive(number):
                allowed, certain = model.next(now)
                judged += certain and len(allowed) == 1
                assert message.message_id in allowed
                model.messages[message.message_id].received = now
                handles[message.message_id] = message.receipt_handle
            assert queue.visible == sum(one.received is None for one in model.messages.values())
            model.look(now)
        elif do < 0.9 and handles:
            for key in rnd.sample(sorted(handles), k=min(len(handles), rnd.choice([1, 5, 10]))):
                queue.delete(handles.pop(key))
                model.end(key, now)
                del model.messages[key]
            model.look(now)
        else:
            # A few seconds at a time, so that nothing comes back that the reference has not seen.
            sqs.scheduler.advance(now + rnd.choice([1, 7, 40, 310]))
            now = sqs.clock.now()
            back = [key for key, one in model.messages.items() if one.received is not None]
            for key in sorted(back, key=lambda key: model.messages[key].received or 0.0):
                one = model.messages[key]
                assert one.received is not None
                if one.received + VISIBILITY <= now:
                    model.end(key, now)
                    model.turns += 1
                    one.turn = model.turns
                    handles.pop(key)
            model.look(now)
        queue.age_of_oldest(now)
    assert judged > 5
