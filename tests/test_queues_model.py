"""Both kinds of queue against a plain reference model, through histories that hypothesis makes up.

The model knows messages as rows of a list, the clock, and AWS's rules; it has no timer, no heap and no index. Where
AWS promises a choice only (which visible messages a receive returns), the model checks that what was chosen is
allowed, and complete. In CI the same few histories come each time; `LAB_HYPOTHESIS=long` tries many new ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from helpers.local_aws import queue_store
from helpers.local_aws.clock import Clock
from helpers.local_aws.errors import ApiError
from helpers.local_aws.messages import md5_of_attributes
from helpers.local_aws.queues import Message, Receiver

from .profiles import Problems, profile
from .sqs import redrive
from .test_queues_unit import Sqs

INTERVAL = 300
LONGEST = 43_200
NEVER = float("inf")


class StillClock(Clock):
    """A clock that moves only when it is advanced."""

    def now(self) -> float:
        """Return the time."""
        return 1_000_000_000 + self.offset


@dataclass(eq=False)
class Modelled:
    """A message in one queue.

    Attributes
    ----------
    counted, here : int
        How often it was received in all, and in this queue.
    visible : float
        From when on it is visible; a message that was never received and is not yet visible is delayed.
    last : object
        What its latest handle was made for.
    landing : bool
        Whether it was hidden for 0 s and has not come back yet.
    """

    id: str
    body: str
    attributes: dict[str, Any]
    group: str | None
    deduplication: str | None
    sent: float
    arrived: float
    visible: float
    counted: int = 0
    here: int = 0
    first: float | None = None
    received: float = 0.0
    source: str | None = None
    sequence: int = 0
    last: object = None
    landing: bool = False

    def is_visible(self, now: float) -> bool:
        """Return whether a receive would see it."""
        return self.visible <= now and not self.landing

    def hide(self, now: float, seconds: float) -> None:
        """Let it be in flight; with 0 s it is until the queue looks at the clock again, and tells."""
        self.visible = now + seconds
        self.landing = not seconds


@dataclass
class Handle:
    """A receipt handle that was given once."""

    text: str
    line: Line
    message: Modelled
    receipt: object


@dataclass
class Attempt:
    """A receive with an attempt's id: when, which messages, and what was answered."""

    at: float
    receipts: list[tuple[Modelled, object]]
    handles: list[str]
    dropped: bool = False


@dataclass
class Task:
    """A message move task."""

    handle: str
    source: Line
    destination: str | None
    rate: int
    started: float
    most: int
    moved: int = 0
    cancelled: bool = False


@dataclass
class Line:
    """A queue of the model: its settings and its messages in order."""

    name: str
    fifo: bool
    url: str
    arn: str
    limit: int
    timeout: int = 30
    delay: int = 0
    retention: int = 345_600
    dead: Line | None = None
    most: int = 0
    scoped: bool = False
    by_content: bool = True
    messages: dict[str, Modelled] = field(default_factory=dict)
    purged: float = -NEVER
    known: dict[tuple[str | None, str], tuple[float, Modelled]] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    standing: list[Receiver] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)

    def forget(self, now: float) -> None:
        """Drop what has expired."""
        for message in [one for one in self.messages.values() if now - one.sent >= self.retention]:
            self.drop(message)

    def drop(self, message: Modelled) -> None:
        """Let a message be gone."""
        del self.messages[message.id]

    def flying(self, now: float) -> int:
        """Return how many messages are in flight."""
        return sum(one.here > 0 and not one.is_visible(now) for one in self.messages.values())

    def is_poison(self, message: Modelled) -> bool:
        """Return whether the next receive would be one too many (rows A68 and A72)."""
        return self.dead is not None and message.here >= self.most

    def heads(self, now: float) -> list[list[Modelled]]:
        """Return the visible messages that a receive may look at, in lists that each keep their order.

        On a FIFO queue a group shows what stands before its first message that is not visible (rows B19 to B21).
        """
        if not self.fifo:
            return [[one] for one in self.messages.values() if one.is_visible(now)]
        shown: dict[str | None, list[Modelled]] = {}
        locked = set()
        for message in self.messages.values():
            if not message.is_visible(now):
                locked.add(message.group)
            elif message.group not in locked:
                shown.setdefault(message.group, []).append(message)
        return list(shown.values())

    def known_as(self, group: str | None, deduplication: str, now: float) -> tuple[float, Modelled] | None:
        """Return the message that another one would repeat (rows B9 to B13)."""
        found = self.known.get((group if self.scoped else None, deduplication))
        return found if found is not None and now - found[0] < INTERVAL else None


QUEUES = st.sampled_from(["q", "q", "q", "dead", "dead", "grave"])
NUMBERS = st.sampled_from([1, 2, 5, 10])
TIMEOUTS = st.sampled_from([None, None, 0, 4, 20])
PICKS = st.integers(0, 10_000)
ATTRIBUTES: list[dict[str, Any]] = [
    {},
    {"n": {"DataType": "Number", "StringValue": "1"}},
    {"s": {"DataType": "String.own", "StringValue": "é"}, "b": {"DataType": "Binary", "BinaryValue": b"\0"}},
]
DRAFTS = st.fixed_dictionaries(
    {
        "body": st.sampled_from(["a", "b", None, None]),
        "delay": st.sampled_from([None, 0, 3, 3]),
        "group": st.sampled_from("ggh"),
        "deduplication": st.sampled_from([None, None, "d", "d", "e", hashlib.sha256(b"a").hexdigest()]),
        "attributes": st.integers(0, len(ATTRIBUTES) - 1),
    }
)
SETTINGS = st.one_of(
    st.tuples(st.just("VisibilityTimeout"), st.sampled_from([0, 5, 10, 30])),
    st.tuples(st.just("DelaySeconds"), st.sampled_from([0, 0, 2, 10])),
    st.tuples(st.just("MessageRetentionPeriod"), st.sampled_from([60, 100, 345_600])),
    st.tuples(st.just("RedrivePolicy"), st.sampled_from([0, 1, 2, 3])),
)


class Store(RuleBasedStateMachine):
    """Three queues, q with dead letters in dead, and dead with dead letters in grave, each step beside the model."""

    fifo = False
    problems = Problems()

    def __init__(self) -> None:
        super().__init__()
        self.problems.found.clear()
        self.wrong: list[BaseException] = []
        self.lines: dict[str, Line] = {}
        self.handles: list[Handle] = []
        self.tasks: list[Task] = []
        self.every: dict[str, str] = {}
        self.ended: set[tuple[str, str]] = set()
        self.bodies = 0
        self.coming: list[tuple[Line, dict[str, Any]]] = []
        self.taken_in: list[tuple[Modelled, bool]] = []

    @property
    def now(self) -> float:
        """The time."""
        return self.sqs.clock.now()

    # ---- set up

    @initialize(
        limit=st.sampled_from([120_000, 120_000, 120_000, 4]),
        scoped=st.booleans(),
        most=st.sampled_from([0, 1, 2, 3]),
        most_dead=st.sampled_from([0, 0, 1, 2]),
        timeout=st.sampled_from([5, 10, 30]),
        delay=st.sampled_from([0, 5]),
        short=st.booleans(),
    )
    def create(
        self, limit: int, scoped: bool, most: int, most_dead: int, timeout: int, delay: int, short: bool
    ) -> None:
        """Make the queues."""
        self.sqs = Sqs(StillClock())
        self.sqs.space.events = SimpleNamespace(publish=self._guarded(self._happened))
        self.sqs.space.metrics = SimpleNamespace(add=self._guarded(self._measured), each_minute=lambda listener: None)
        suffix = ".fifo" if self.fifo else ""
        for name in ("grave", "dead", "q"):
            attributes = {"ContentBasedDeduplication": "true"} if self.fifo else {}
            if self.fifo and scoped:
                attributes["DeduplicationScope"] = "messageGroup"
            url = self.sqs.create(name + suffix, **attributes)
            queue = self.sqs.queue(name + suffix)
            queue.in_flight_limit = limit
            self.lines[name] = Line(name, self.fifo, url, queue.arn, limit, scoped=scoped and self.fifo)
        for name, number in (("q", most), ("dead", most_dead)):
            self.configure(name, ("RedrivePolicy", number))
        self.configure("q", ("VisibilityTimeout", timeout))
        self.configure("q", ("DelaySeconds", delay))
        if short:
            # Some dead letters are too old for it when they come, and somebody waits for them.
            self.configure("dead", ("MessageRetentionPeriod", 60))
            self.stand_in_line("dead", 10, None)

    def _guarded(self, action: Callable[..., None]) -> Callable[..., None]:
        """Keep what an action of the model raises, and raise it at the end of the step: the store would log it."""

        def run(*arguments: Any, **members: Any) -> None:
            try:
                action(*arguments, **members)
            except BaseException as error:
                self.wrong.append(error)

        return run

    def _call(self, operation: str, **params: Any) -> tuple[dict[str, Any], str | None]:
        """Call an operation; return its answer, and the code with which it was refused."""
        try:
            return self.sqs.call(operation, **params), None
        except ApiError as problem:
            return {}, problem.code

    def _settle(self) -> None:
        for line in self.lines.values():
            line.forget(self.now)

    # ---- sending

    @rule(name=QUEUES, drafts=st.lists(DRAFTS, min_size=1, max_size=4), batch=st.booleans())
    def send(self, name: str, drafts: list[dict[str, Any]], batch: bool) -> None:
        """Send a few messages, one by one or as a batch."""
        self._settle()
        line = self.lines[name]
        params = [self._params(draft) for draft in drafts]
        before = dict(line.totals)
        self.coming = [(line, one) for one in params]
        self.taken_in = []
        if batch:
            entries = [{"Id": str(index), **one} for index, one in enumerate(params)]
            answer = self.sqs.call("SendMessageBatch", QueueUrl=line.url, Entries=entries)
            assert [one["Id"] for one in answer["Successful"]] == [one["Id"] for one in entries]
            assert "Failed" not in answer
            answers = answer["Successful"]
        else:
            answers = [self.sqs.call("SendMessage", QueueUrl=line.url, **one) for one in params]
        self._raise()
        assert len(self.taken_in) == len(drafts)
        for one, answer, (message, new) in zip(params, answers, self.taken_in, strict=True):
            assert answer["MessageId"] == message.id
            assert answer["MD5OfMessageBody"] == hashlib.md5(one["MessageBody"].encode()).hexdigest()
            assert answer.get("MD5OfMessageAttributes") == md5_of_attributes(one.get("MessageAttributes", {}))
            if new:
                message.sequence = int(answer.get("SequenceNumber", 0))
            assert int(answer.get("SequenceNumber", 0)) == message.sequence
        more = {key: value - before.get(key, 0) for key, value in line.totals.items()}
        stored = sum(new for _, new in self.taken_in)
        assert more.get("NumberOfMessagesSent", 0) == stored
        assert more.get("NumberOfDeduplicatedSentMessages", 0) == len(drafts) - stored

    def _params(self, draft: dict[str, Any]) -> dict[str, Any]:
        self.bodies += 1
        params: dict[str, Any] = {"MessageBody": draft["body"] or str(self.bodies)}
        if draft["attributes"]:
            params["MessageAttributes"] = ATTRIBUTES[draft["attributes"]]
        if self.fifo:
            params["MessageGroupId"] = draft["group"]
            if draft["deduplication"]:
                params["MessageDeduplicationId"] = draft["deduplication"]
        elif draft["delay"] is not None:
            params["DelaySeconds"] = draft["delay"]
        return params

    def _sent(self, message_id: str, *, new: bool) -> None:
        """Take in what was sent, before somebody who stands in line gets it."""
        line, params = self.coming.pop(0)
        body, group = params["MessageBody"], params.get("MessageGroupId")
        deduplication = None
        if line.fifo:
            deduplication = params.get("MessageDeduplicationId") or hashlib.sha256(body.encode()).hexdigest()
            first = line.known_as(group, deduplication, self.now)
            assert new == (first is None)
            if first is not None:
                assert first[1].id == message_id
                self.taken_in.append((first[1], False))
                return
        delay = params.get("DelaySeconds", line.delay)
        message = Modelled(
            message_id,
            body,
            params.get("MessageAttributes", {}),
            group,
            deduplication,
            self.now,
            self.now,
            self.now + delay,
        )
        if deduplication is not None:
            line.known[group if line.scoped else None, deduplication] = (self.now, message)
        assert new
        assert message_id not in self.every
        self.every[message_id] = body
        line.messages[message_id] = message
        self.taken_in.append((message, True))

    # ---- receiving

    @rule(name=QUEUES, number=NUMBERS, timeout=TIMEOUTS, attempt=st.sampled_from([None, None, None, "x", "y"]))
    def receive(self, name: str, number: int, timeout: int | None, attempt: str | None) -> None:
        """Receive, perhaps as a repeated attempt."""
        self._settle()
        line = self.lines[name]
        params: dict[str, Any] = {"MaxNumberOfMessages": number, "MessageSystemAttributeNames": ["All"]}
        if timeout is not None:
            params["VisibilityTimeout"] = timeout
        if line.fifo and attempt is not None:
            params["ReceiveRequestAttemptId"] = attempt
            if self._again(line, attempt, params):
                return
        room = line.limit - line.flying(self.now)
        answer, refused = self._call("ReceiveMessage", QueueUrl=line.url, MessageAttributeNames=["All"], **params)
        assert refused == ("OverLimit" if room <= 0 and not line.fifo else None)
        shown = answer.get("Messages", [])
        for one in shown:
            assert one.get("MD5OfMessageAttributes") == md5_of_attributes(one.get("MessageAttributes", {}))
        self._received(line, [Shown.of_answer(one) for one in shown], number, timeout)
        if line.fifo and attempt is not None and shown:
            kept = self.handles[-len(shown) :]
            receipts = [(handle.message, handle.receipt) for handle in kept]
            line.attempts[attempt] = Attempt(self.now, receipts, [handle.text for handle in kept])

    def _again(self, line: Line, name: str, params: dict[str, Any]) -> bool:
        """Repeat a receive, if that attempt still counts (row B24)."""
        attempt = line.attempts.get(name)
        if attempt is None or attempt.dropped or self.now - attempt.at >= INTERVAL:
            return False
        for message, receipt in attempt.receipts:
            if (
                line.messages.get(message.id) is not message
                or message.last is not receipt
                or message.visible <= self.now
            ):
                attempt.dropped = True
                return False
        messages = self.sqs.call("ReceiveMessage", QueueUrl=line.url, **params)["Messages"]
        assert [one["ReceiptHandle"] for one in messages] == attempt.handles
        timeout = params.get("VisibilityTimeout", line.timeout)
        for message, _ in attempt.receipts:
            message.hide(self.now, timeout)
        return True

    def _received(self, line: Line, got: list[Shown], number: int, timeout: int | None) -> None:
        """Check that what a receive returned is allowed and complete, and take it over."""
        now = self.now
        room = max(0, line.limit - line.flying(now))
        heads = line.heads(now)
        allowed = sum(not line.is_poison(one) for head in heads for one in head)
        assert len(got) == min(number, room, allowed)
        assert len({one.id for one in got}) == len(got)
        taken = [line.messages[one.id] for one in got]
        for head in heads:
            mine = [one for one in taken if one in head]
            assert mine == head[: len(mine)]
        if len(got) < min(number, room):
            assert not any(line.is_poison(one) for head in heads for one in head)
        for message, shown in zip(taken, got, strict=True):
            assert not line.is_poison(message)
            message.counted += 1
            message.here += 1
            message.received = now
            message.hide(now, line.timeout if timeout is None else timeout)
            message.first = now if message.first is None else message.first
            message.last = object()
            self.handles.append(Handle(shown.handle, line, message, message.last))
            assert shown.body == message.body
            assert shown.attributes == message.attributes
            self._check_system(line, message, shown.system)
        if line.fifo:
            for group in "gh":
                known = [one.sequence for one in line.messages.values() if one.group == group and one.sequence]
                assert known == sorted(known)

    def _check_system(self, line: Line, message: Modelled, system: dict[str, str]) -> None:
        expected = {
            "ApproximateReceiveCount": str(message.counted),
            "ApproximateFirstReceiveTimestamp": str(int((message.first or 0) * 1000)),
            "SentTimestamp": str(int(message.sent * 1000)),
            "SenderId": "AIDAEXAMPLE",
        }
        if message.source is not None:
            expected["DeadLetterQueueSourceArn"] = message.source
        if line.fifo:
            assert message.group is not None
            assert message.deduplication is not None
            expected["MessageGroupId"] = message.group
            expected["MessageDeduplicationId"] = message.deduplication
            if not message.sequence:
                message.sequence = int(system["SequenceNumber"])
            expected["SequenceNumber"] = str(message.sequence)
        assert system == expected

    @rule(name=QUEUES, number=NUMBERS, timeout=TIMEOUTS)
    def stand_in_line(self, name: str, number: int, timeout: int | None) -> None:
        """Let somebody wait for messages, as a long poll or a mapping does."""
        self._settle()
        line = self.lines[name]

        def deliver(messages: list[Message]) -> None:
            assert receiver in line.standing, "served twice, or after it had left"
            line.standing.remove(receiver)
            self._settle()
            self._received(line, [Shown.of_message(one) for one in messages], number, timeout)

        receiver = Receiver(number, timeout, self._guarded(deliver))
        line.standing.append(receiver)
        self.sqs.queue(self._full(name)).wait(receiver)

    @rule(name=st.sampled_from(["q", "q", "q", "dead"]))
    def leave_the_line(self, name: str) -> None:
        """Let who waits longest go."""
        line = self.lines[name]
        if line.standing:
            self.sqs.queue(self._full(name)).leave(line.standing.pop(0))

    # ---- after a receive

    @precondition(lambda self: self.handles)
    @rule(picks=st.lists(PICKS, min_size=1, max_size=3), batch=st.booleans(), late=st.booleans())
    def delete(self, picks: list[int], batch: bool, late: bool) -> None:
        """Delete by any handles that were ever given."""
        self._settle()
        handles = [self._pick(pick, late) for pick in picks]
        if not batch:
            for handle in handles:
                fine = self._deletable(handle)
                self._deleted(handle, fine)
                assert self._succeeds("DeleteMessage", handle) == fine
            return
        line = handles[0].line
        entries = [{"Id": str(index), "ReceiptHandle": handle.text} for index, handle in enumerate(handles)]
        fine_ones = set()
        for entry, handle in zip(entries, handles, strict=True):
            # A handle of another queue is none of this one's (row A58).
            fine = handle.line is line and self._deletable(handle)
            self._deleted(handle, fine)
            if fine:
                fine_ones.add(entry["Id"])
        answer = self.sqs.call("DeleteMessageBatch", QueueUrl=line.url, Entries=entries)
        assert {one["Id"] for one in answer.get("Successful", [])} == fine_ones

    def _pick(self, pick: int, late: bool) -> Handle:
        """Return any handle, or one of the latest ten."""
        return self.handles[-1 - pick % min(10, len(self.handles))] if late else self.handles[pick % len(self.handles)]

    def _deletable(self, handle: Handle) -> bool:
        """Return whether a delete succeeds: always on a standard queue (rows A56, A57 and B22)."""
        return not handle.line.fifo or self._is_gone(handle) or self._in_time(handle)

    def _is_gone(self, handle: Handle) -> bool:
        return handle.line.messages.get(handle.message.id) is not handle.message

    def _in_time(self, handle: Handle) -> bool:
        return handle.message.last is handle.receipt and handle.message.visible > self.now

    def _deleted(self, handle: Handle, fine: bool) -> None:
        if fine and not self._is_gone(handle) and handle.message.last is handle.receipt:
            handle.line.drop(handle.message)

    def _succeeds(self, operation: str, handle: Handle, **params: Any) -> bool:
        _, refused = self._call(operation, QueueUrl=handle.line.url, ReceiptHandle=handle.text, **params)
        assert refused in (None, "InvalidParameterValueException")
        return refused is None

    @precondition(lambda self: self.handles)
    @rule(pick=PICKS, late=st.booleans(), seconds=st.sampled_from([0, 0, 1, 5, 20, LONGEST]))
    def change_visibility(self, pick: int, late: bool, seconds: int) -> None:
        """Change a visibility timeout by any handle that was ever given."""
        self._settle()
        handle = self._pick(pick, late)
        in_time = not self._is_gone(handle) and self._in_time(handle)
        fine = in_time or (not self._is_gone(handle) and not handle.line.fifo)
        if in_time and self.now - handle.message.received + seconds > LONGEST:
            fine = False
        if fine and in_time:
            handle.message.visible = self.now + seconds
            for attempt in handle.line.attempts.values():
                attempt.dropped |= any(receipt is handle.receipt for _, receipt in attempt.receipts)
        assert self._succeeds("ChangeMessageVisibility", handle, VisibilityTimeout=seconds) == fine

    # ---- the whole queue

    @rule(name=QUEUES)
    def purge(self, name: str) -> None:
        """Purge."""
        self._settle()
        line = self.lines[name]
        _, refused = self._call("PurgeQueue", QueueUrl=line.url)
        assert refused == ("PurgeQueueInProgress" if self.now - line.purged < 60 else None)
        if refused is None:
            line.purged = self.now
            line.messages.clear()

    @rule(name=QUEUES, change=SETTINGS)
    def configure(self, name: str, change: tuple[str, int]) -> None:
        """Change an attribute."""
        self._settle()
        line = self.lines[name]
        key, value = change
        text = str(value)
        if key == "RedrivePolicy":
            target = {"q": "dead", "dead": "grave", "grave": None}[name]
            if target is None:
                return
            line.dead = self.lines[target] if value else None
            line.most = value
            text = redrive(self.lines[target].arn, value) if value else ""
        elif key == "VisibilityTimeout":
            line.timeout = value
        elif key == "MessageRetentionPeriod":
            line.retention = value
        else:
            line.delay = value
            # It holds at once on a FIFO queue, and for new messages only on a standard one.
            for message in line.messages.values() if line.fifo else ():
                if not message.here and message.visible > self.now:
                    message.visible = message.arrived + value
        self.sqs.call("SetQueueAttributes", QueueUrl=line.url, Attributes={key: text})

    # ---- moving back

    @rule(
        name=st.sampled_from(["dead", "dead", "dead", "grave", "q"]),
        to=st.sampled_from([None, None, "q", "dead", "grave"]),
        rate=st.sampled_from([None, 1, 7, 100]),
    )
    def start_task(self, name: str, to: str | None, rate: int | None) -> None:
        """Start to move dead letters."""
        self._settle()
        source = self.lines[name]
        params: dict[str, Any] = {"SourceArn": source.arn}
        if to is not None:
            params["DestinationArn"] = self.lines[to].arn
        if rate is not None:
            params["MaxNumberOfMessagesPerSecond"] = rate
        fine = any(line.dead is source for line in self.lines.values()) and to != name and not self._running(source)
        most = sum(one.is_visible(self.now) for one in source.messages.values())
        answer, refused = self._call("StartMessageMoveTask", **params)
        assert refused == (None if fine else "InvalidParameterValueException")
        if fine:
            self.tasks.append(Task(answer["TaskHandle"], source, to, rate or 500, self.now, most))

    def _statuses(self, source: Line) -> list[dict[str, Any]]:
        answer = self.sqs.call("ListMessageMoveTasks", SourceArn=source.arn, MaxResults=10)["Results"]
        return list(answer)

    def _running(self, source: Line) -> bool:
        return any(one["Status"] in ("RUNNING", "CANCELLING") for one in self._statuses(source))

    @precondition(lambda self: self.tasks)
    @rule()
    def cancel_task(self) -> None:
        """Cancel the latest task."""
        task = self.tasks[-1]
        runs = self._statuses(task.source)[0]["Status"] == "RUNNING"
        answer, refused = self._call("CancelMessageMoveTask", TaskHandle=task.handle)
        assert (refused is None) == runs
        if runs:
            assert answer["ApproximateNumberOfMessagesMoved"] == task.moved
            task.cancelled = True

    # ---- time

    @rule(seconds=st.sampled_from([0.5, 1, 1, 3, 5, 7, 10, 30, 61, 250, 300]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.sqs.wait(seconds)

    # ---- what the store tells

    def _happened(self, event: str, **row: Any) -> None:
        self._settle()
        if event in ("sent", "deduplicated"):
            self._sent(row["message"], new=event == "sent")
        elif event == "dead-lettered":
            self._buried(row["queue"], row["message"], row["outcome"])
        elif event == "redriven":
            self._redriven(row["message"], row["queue"], row["outcome"])
        elif event in ("deleted", "expired"):
            key = (row["queue"], row["message"])
            assert key not in self.ended, "ended twice"
            self.ended.add(key)
        elif event == "visible":
            self.lines[row["queue"].partition(".")[0]].messages[row["message"]].landing = False
        elif event == "received":
            message = self.lines[row["queue"].partition(".")[0]].messages[row["message"]]
            assert row["receive_count"] == message.counted + 1

    def _buried(self, queue: str, message_id: str, to: str) -> None:
        line, target = self.lines[queue.partition(".")[0]], self.lines[to.partition(".")[0]]
        message = line.messages[message_id]
        assert line.dead is target
        assert line.is_poison(message), "it may be received once more"
        assert any(message in head for head in line.heads(self.now)), "nobody could receive it"
        line.drop(message)
        sent = self.now if line.fifo else message.sent
        target.messages[message.id] = Modelled(
            message.id,
            message.body,
            message.attributes,
            message.group,
            message.id if line.fifo else None,
            sent,
            self.now,
            self.now,
            counted=message.counted,
            first=message.first,
            source=line.arn,
        )

    def _redriven(self, new: str, queue: str, old: str) -> None:
        target = self.lines[queue.partition(".")[0]]
        task = next(task for task in reversed(self.tasks) if old in task.source.messages)
        assert not task.cancelled
        message = task.source.messages[old]
        assert message.is_visible(self.now)
        if task.source.fifo:
            assert any(head[0] is message for head in task.source.heads(self.now)), "out of order"
        assert (message.source if task.destination is None else self.lines[task.destination].arn) == target.arn
        task.moved += 1
        assert task.moved <= task.most
        assert task.moved <= (self.now - task.started) * task.rate + 1e-3
        task.source.drop(message)
        assert new not in self.every
        self.every[new] = message.body
        target.messages[new] = Modelled(
            new, message.body, message.attributes, message.group, message.deduplication, self.now, self.now, self.now
        )

    def _measured(
        self, namespace: str, name: str, dimensions: dict[str, str], value: float, *more: Any, **_: Any
    ) -> None:
        line = self.lines.get(dimensions["QueueName"].partition(".")[0])
        if line is not None and namespace == "AWS/SQS":
            line.totals[name] = line.totals.get(name, 0) + int(value)

    # ---- after each step

    @invariant()
    def agree(self) -> None:
        """Compare the counts, and what cannot be seen of one step alone."""
        if not self.lines:
            return
        counted, before = self._counted(), None
        while counted != before:
            # What is hidden for 0 s is there again at once, for the next one in line.
            counted, before = self._counted(), counted
        self._raise()
        self._settle()
        now = self.now
        for name, line in self.lines.items():
            flying = line.flying(now)
            visible = sum(one.is_visible(now) for one in line.messages.values())
            assert counted[name] == (visible, flying, len(line.messages) - visible - flying), name
            assert flying <= line.limit
            if line.standing and flying < line.limit:
                assert not line.heads(now), "somebody waits for what is there"
        for source in self.lines.values():
            mine = [task for task in reversed(self.tasks) if task.source is source]
            for status, task in zip(self._statuses(source), mine, strict=False):
                self._check_task(task, status)

    def _counted(self) -> dict[str, tuple[int, int, int]]:
        return {name: self.sqs.counts(line.url) for name, line in self.lines.items()}

    def _check_task(self, task: Task, status: dict[str, Any]) -> None:
        assert status["ApproximateNumberOfMessagesMoved"] == task.moved
        assert status["ApproximateNumberOfMessagesToMove"] == task.most
        assert (status["Status"] in ("CANCELLING", "CANCELLED")) == task.cancelled
        if status["Status"] == "FAILED":
            assert task.destination is None
        over = task.started + task.most / task.rate + 2 * max(0.1, 1 / task.rate)
        if self.now > over and not task.source.fifo:
            assert status["Status"] not in ("RUNNING", "CANCELLING")

    def _raise(self) -> None:
        if self.wrong:
            raise self.wrong[0]
        assert not self.problems.found

    def teardown(self) -> None:
        """Receive and delete all that is left: exactly what the model says is there."""
        if not self.lines or self.wrong or self.problems.found:
            return
        for name, line in self.lines.items():
            for receiver in line.standing:
                self.sqs.queue(self._full(name)).leave(receiver)
            line.standing.clear()
            for change in (("RedrivePolicy", 0), ("MessageRetentionPeriod", 1_209_600), ("VisibilityTimeout", 30)):
                self.configure(name, change)
        self.wait(LONGEST + 300)
        self.agree()
        for name, line in self.lines.items():
            while line.messages:
                left = len(line.messages)
                self.receive(name, 10, None, None)
                self._raise()
                taken = [handle for handle in self.handles[-10:] if not self._is_gone(handle) and handle.line is line]
                for handle in taken:
                    if self._in_time(handle):
                        assert self._succeeds("DeleteMessage", handle)
                        self._deleted(handle, True)
                assert len(line.messages) < left, "messages that nobody can receive"
        self.agree()

    def _full(self, name: str) -> str:
        return name + (".fifo" if self.fifo else "")


@dataclass
class Shown:
    """A received message, whoever received it."""

    id: str
    handle: str
    body: str
    attributes: dict[str, Any]
    system: dict[str, str]

    @classmethod
    def of_answer(cls, one: dict[str, Any]) -> Shown:
        """Read what ReceiveMessage returned."""
        return cls(
            one["MessageId"], one["ReceiptHandle"], one["Body"], one.get("MessageAttributes", {}), one["Attributes"]
        )

    @classmethod
    def of_message(cls, one: Message) -> Shown:
        """Read what a receiver in line was given."""
        return cls(one.message_id, one.receipt_handle, one.body, one.message_attributes, one.system_attributes())


class StandardStore(Store):
    """Standard queues."""


class FifoStore(Store):
    """FIFO queues."""

    fifo = True


@pytest.fixture
def problems() -> Iterator[None]:
    with Store.problems.heard():
        yield


@pytest.mark.usefixtures("problems")
@pytest.mark.parametrize("store", [StandardStore, FifoStore], ids=["standard", "fifo"])
@pytest.mark.parametrize("slack", [0, 1024])
def test_random_histories_agree_with_the_model(monkeypatch: pytest.MonkeyPatch, store: type[Store], slack: int) -> None:
    # With little slack the indexes are compacted all the time.
    monkeypatch.setattr(queue_store, "_SLACK", slack)
    run_state_machine_as_test(store, settings=profile("queues", examples=90))
