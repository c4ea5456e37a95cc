"""Queues from inside: what no client can see (the line of receivers, compaction, cost), or could not reach in time."""

from __future__ import annotations

import sys
from types import FrameType, SimpleNamespace
from typing import Any, cast

import pytest

from helpers.local_aws.clock import Clock, Scheduler
from helpers.local_aws.errors import ApiError
from helpers.local_aws.protocol import Call, Later
from helpers.local_aws.queues import Draft, Message, Queue, Queues, Receiver
from helpers.local_aws.space import Identity, Space
from helpers.local_aws.sqs_api import OPERATIONS

ACCOUNT = "111122223333"


def ignore(*arguments: Any, **more: Any) -> None:
    """Stand in for the metrics."""


class Sqs:
    """A space with queues and nothing else, called by operation names."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.scheduler = Scheduler(self.clock)
        self.space: Any = SimpleNamespace(
            account=ACCOUNT,
            region="us-east-1",
            url="http://localhost:4566",
            clock=self.clock,
            scheduler=self.scheduler,
            metrics=SimpleNamespace(add=ignore, each_minute=ignore),
            events=SimpleNamespace(publish=ignore),
            permissions=SimpleNamespace(check=lambda identity, action, resource: None),
            keys=SimpleNamespace(check=ignore),
            arn=lambda service, resource: f"arn:aws:{service}:us-east-1:{ACCOUNT}:{resource}",
        )
        self.space.queues = Queues(cast("Space", self.space))
        self.identity = Identity("arn:aws:iam::111122223333:user/learner", "AIDAEXAMPLE", owner=True)

    def call(self, operation: str, **params: Any) -> Any:
        """Call an operation as the front door does."""
        call = Call(self.space, self.identity, operation, params)
        with self.scheduler.lock:
            return OPERATIONS[operation].run(call)

    def refusal(self, operation: str, **params: Any) -> ApiError:
        """Return the error that an operation raises."""
        with pytest.raises(ApiError) as caught:
            self.call(operation, **params)
        return caught.value

    def create(self, name: str, **attributes: str) -> str:
        """Create a queue and return its URL."""
        if name.endswith(".fifo"):
            attributes["FifoQueue"] = "true"
        return self.call("CreateQueue", QueueName=name, Attributes=attributes)["QueueUrl"]

    def queue(self, name: str) -> Queue:
        """Return the queue itself."""
        queue = self.space.queues.get(name)
        assert queue is not None
        return queue

    def send(self, url: str, *bodies: str, **params: Any) -> list[dict[str, Any]]:
        """Send one message for each body."""
        return [self.call("SendMessage", QueueUrl=url, MessageBody=body, **params) for body in bodies]

    def receive(self, url: str, number: int = 10, **params: Any) -> list[dict[str, Any]]:
        """Receive with all system attributes."""
        params.setdefault("MessageSystemAttributeNames", ["All"])
        answer = self.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=number, **params)
        assert not isinstance(answer, Later)
        return answer.get("Messages", [])

    def bodies(self, url: str, number: int = 10, **params: Any) -> list[str]:
        """Receive and return the bodies."""
        return [message["Body"] for message in self.receive(url, number, **params)]

    def wait(self, seconds: float) -> None:
        """Advance the clock."""
        self.scheduler.advance(self.clock.now() + seconds)

    def counts(self, url: str) -> tuple[int, int, int]:
        """Return how many messages are visible, in flight and delayed."""
        names = ["", "NotVisible", "Delayed"]
        attributes = self.call("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])["Attributes"]
        visible, hidden, delayed = (int(attributes[f"ApproximateNumberOfMessages{name}"]) for name in names)
        return visible, hidden, delayed


@pytest.fixture
def sqs() -> Sqs:
    return Sqs()


# ---- a limit that is too high to be reached by calls


@pytest.mark.behaviour("A62", "B27")
def test_too_many_messages_in_flight(sqs: Sqs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Queue, "in_flight_limit", 2)
    url, fifo = sqs.create("orders"), sqs.create("orders.fifo", ContentBasedDeduplication="true")
    sqs.send(url, "a", "b", "c")
    sqs.send(fifo, "a", "b", "c", MessageGroupId="g")
    messages = sqs.receive(url)
    assert len(messages) == 2
    problem = sqs.refusal("ReceiveMessage", QueueUrl=url)
    assert (problem.code, problem.status) == ("OverLimit", 403)
    assert problem.message.startswith("Too many messages have been received without being deleted.")
    later = sqs.call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
    sqs.call("DeleteMessage", QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"])
    assert [message["Body"] for message in later.get()["Messages"]] == ["c"]
    assert sqs.bodies(fifo) == ["a", "b"]
    assert sqs.bodies(fifo) == []


# ---- the line, as pollers use it


@pytest.mark.behaviour("A51")
def test_a_long_poll_is_answered_by_the_send_and_in_the_order_of_the_line(sqs: Sqs) -> None:
    url = sqs.create("orders")
    first = sqs.call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
    second = sqs.call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
    gone = sqs.call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
    fourth = sqs.call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
    gone.abandon()
    entries = [{"Id": body, "MessageBody": body} for body in "abc"]
    sqs.call("SendMessageBatch", QueueUrl=url, Entries=entries)
    for later, body in ((first, "a"), (second, "b"), (fourth, "c")):
        assert later.wait(0)
        assert [message["Body"] for message in later.get()["Messages"]] == [body]
    assert sqs.counts(url) == (0, 3, 0)


def test_a_receiver_may_wait_again_and_delete_while_it_is_served(sqs: Sqs) -> None:
    url = sqs.create("orders")
    queue = sqs.queue("orders")
    seen: list[str] = []
    depth = 0

    def deliver(messages: list[Message]) -> None:
        nonlocal depth
        depth += 1
        assert depth == 1
        for message in messages:
            seen.append(message.body)
            queue.delete(message.receipt_handle)
            if message.body == "a":
                queue.send_many([], "x")
                sqs.send(url, "from inside")
        queue.wait(Receiver(1, None, deliver))
        depth -= 1

    queue.wait(Receiver(1, None, deliver))
    sqs.call("SendMessageBatch", QueueUrl=url, Entries=[{"Id": body, "MessageBody": body} for body in "abc"])
    assert seen == ["a", "b", "c", "from inside"]
    assert queue.held == 0


def test_a_handed_out_message_does_not_change_by_a_later_receive(sqs: Sqs) -> None:
    url = sqs.create("orders", VisibilityTimeout="0")
    sqs.send(url, "b")
    queue = sqs.queue("orders")
    (first,) = queue.receive(1)
    (second,) = queue.receive(1)
    assert (first.receive_count, second.receive_count) == (1, 2)
    queue.delete(second.receipt_handle)
    assert first.body == "b"


def test_whoever_stands_in_a_deleted_queue_is_told(sqs: Sqs) -> None:
    url = sqs.create("orders")
    told: list[str] = []
    staying = Receiver(1, None, lambda messages: None, closed=lambda: told.append("closed"))
    leaving = Receiver(1, None, lambda messages: None, closed=lambda: told.append("left"))
    sqs.queue("orders").wait(staying)
    sqs.queue("orders").wait(leaving)
    sqs.queue("orders").leave(leaving)
    sqs.call("DeleteQueue", QueueUrl=url)
    assert told == ["closed"]


# ---- cost


def test_counts_stay_exact_through_compaction(sqs: Sqs) -> None:
    url = sqs.create("orders", VisibilityTimeout="60")
    queue = sqs.queue("orders")
    sqs.send(url, "stays")
    (keeper,) = queue.receive(1, 1000)
    for _ in range(300):
        entries = [{"Id": str(n), "MessageBody": "b"} for n in range(10)]
        sqs.call("SendMessageBatch", QueueUrl=url, Entries=entries)
        for message in queue.receive(10):
            queue.delete(message.receipt_handle)
    assert sqs.counts(url) == (0, 1, 0)
    assert len(queue._pending) < 2500
    sqs.wait(1000)
    assert sqs.bodies(url) == ["stays"]
    assert keeper.body == "stays"


@pytest.mark.parametrize("name", ["orders", "orders.fifo"])
def test_the_steps_of_a_receive_do_not_grow_with_the_depth(sqs: Sqs, name: str) -> None:
    def steps(depth: int) -> int:
        """Count the lines that ten receives and deletes run at a depth."""
        fifo = name.endswith(".fifo")
        sqs.create(f"d{depth}-{name}", **({"ContentBasedDeduplication": "true"} if fifo else {}))
        queue = sqs.queue(f"d{depth}-{name}")
        drafts = [Draft(str(number), group_id=f"g{number % 13}" if fifo else None) for number in range(depth)]
        queue.send_many(drafts, "x")
        lines = 0

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal lines
            lines += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            for _ in range(10):
                (message,) = queue.receive(1)
                queue.delete(message.receipt_handle)
        finally:
            sys.settrace(before)
        return lines

    assert steps(3000) < 1.1 * steps(100)
