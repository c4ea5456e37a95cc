"""Dead-letter queues: which queue may serve which, when a message moves, what it keeps, and the way back."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest

from .conftest import Aws
from .sqs import (
    PREFIX,
    Polling,
    attributes,
    bodies,
    entries,
    name_of,
    receive,
    redrive,
    refusal,
    send,
    states,
)

MISSING = "The resource that you specified for the {} parameter doesn't exist."


def arn_of(aws: Aws, url: str) -> str:
    """Return a queue's ARN without a call."""
    return f"arn:aws:sqs:{aws.info.region}:{aws.info.account}:{name_of(url)}"


def source_of(aws: Aws, dead: str, count: int = 1, **more: Any) -> str:
    """Make a queue whose dead letters go to `dead`."""
    return aws.queue(RedrivePolicy=redrive(arn_of(aws, dead), count), **more)


def bury(aws: Aws, url: str, *texts: str, **params: Any) -> list[dict[str, Any]]:
    """Send messages through a queue with maxReceiveCount 1 into its dead-letter queue; return the sends' answers."""
    sent = send(aws, url, *texts, **params)
    for expected in (list(texts), []):
        assert bodies(aws, url, VisibilityTimeout=0) == expected
    return sent


# ---- the policies


@pytest.mark.behaviour("A17", "A18", "A21")
def test_redrive_policies_are_checked(aws: Aws) -> None:
    client = aws.client("sqs")
    dead, dead_fifo = arn_of(aws, aws.queue()), arn_of(aws, aws.queue(fifo=True))
    url, url_fifo = aws.queue(), aws.queue(fifo=True)

    def refused(policy: str, where: str = url) -> str:
        answer = refusal(client.set_queue_attributes, QueueUrl=where, Attributes={"RedrivePolicy": policy})
        start = f"Value {policy} for parameter RedrivePolicy is invalid. Reason: "
        assert (answer.code, answer.status) == ("InvalidParameterValue", 400)
        assert answer.text.startswith(start)
        return answer.text.removeprefix(start)

    mandatory = "Redrive policy does not contain mandatory attribute: {}."
    assert refused('{"maxReceiveCount":3}') == mandatory.format("deadLetterTargetArn")
    assert refused(json.dumps({"deadLetterTargetArn": dead})) == mandatory.format("maxReceiveCount")
    for count in (0, 1001, "many"):
        assert refused(redrive(dead, count)).startswith("Invalid value for maxReceiveCount")
    for bad in ("no JSON", "[]", "[" * 100_000):
        assert refused(bad)
    assert refused(redrive(dead.replace(":sqs:", ":sns:"), 3)) == (
        "Only SQS queues are valid resources for deadLetterTargetArn"
    )
    for where, target in ((url, dead_fifo), (url_fifo, dead)):
        assert refused(redrive(target, 3), where).startswith(
            "Dead-letter queue must be same type of queue as the source."
        )
    assert refused(redrive(dead.replace("us-east-1", "eu-west-1"), 3)) == (
        "Dead-letter target must be in same region as the source."
    )
    assert refused(redrive(dead.replace(aws.info.account, "999999999999"), 3))
    assert refused(redrive(dead + "-unknown", 3))
    for count in (1, 1000, "42"):
        client.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": redrive(dead, count)})
        assert int(json.loads(attributes(aws, url)["RedrivePolicy"])["maxReceiveCount"]) == int(count)


@pytest.mark.behaviour("A19", "A22")
def test_redrive_policies_come_and_go(aws: Aws) -> None:
    client = aws.client("sqs")
    dead = aws.queue()
    assert client.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == []
    urls = sorted(source_of(aws, dead) for _ in range(3))
    answer = client.list_dead_letter_source_queues(QueueUrl=dead)
    assert answer["queueUrls"] == urls
    assert "NextToken" not in answer
    first = client.list_dead_letter_source_queues(QueueUrl=dead, MaxResults=2)
    rest = client.list_dead_letter_source_queues(QueueUrl=dead, MaxResults=2, NextToken=first["NextToken"])
    assert (first["queueUrls"], rest["queueUrls"]) == (urls[:2], urls[2:])
    client.set_queue_attributes(QueueUrl=urls[0], Attributes={"RedrivePolicy": ""})
    assert "RedrivePolicy" not in attributes(aws, urls[0])
    assert client.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == urls[1:]


@pytest.mark.behaviour("A20")
def test_a_dead_letter_queue_chooses_its_sources(aws: Aws) -> None:
    client = aws.client("sqs")
    dead, url = aws.queue(), aws.queue()
    arn, dead_arn = arn_of(aws, url), arn_of(aws, dead)
    change = {"QueueUrl": url, "Attributes": {"RedrivePolicy": redrive(dead_arn, 3)}}

    def allow(permission: str, *sources: str) -> str:
        return json.dumps({"redrivePermission": permission, **({"sourceQueueArns": sources} if sources else {})})

    for policy, allowed in (
        (allow("denyAll"), False),
        (allow("allowAll"), True),
        (allow("byQueue", dead_arn), False),
        (allow("byQueue", *(f"{arn}-{number}" for number in range(9)), arn), True),
        ("", True),
    ):
        client.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": policy})
        client.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})
        if allowed:
            client.set_queue_attributes(**change)
        else:
            assert refusal(client.set_queue_attributes, **change).code == "InvalidParameterValue"

    def refused(bad: str) -> str:
        answer = refusal(client.set_queue_attributes, QueueUrl=dead, Attributes={"RedriveAllowPolicy": bad})
        start = f"Value {bad} for parameter RedriveAllowPolicy is invalid."
        assert answer.code == "InvalidParameterValue"
        assert answer.text.startswith(start)
        return answer.text.removeprefix(start + " Reason: ")

    assert refused(allow("byQueue", *(f"{arn}-{number}" for number in range(11))))
    assert refused(allow("allowAll", arn))
    for bad in ("{}", "no", "[" * 100_000, allow("perhaps")):
        assert refused(bad) == "Amazon SQS can't create the redrive allow policy, as it's in an unsupported format."


# ---- the move


@pytest.mark.behaviour("A68", "A69", "A71")
@pytest.mark.parametrize("count", [1, 2])
def test_the_receive_past_the_limit_moves_the_message(aws: Aws, count: int) -> None:
    dead = aws.queue()
    url = source_of(aws, dead, count, VisibilityTimeout=10)
    send(aws, url, "poison")
    for _ in range(count):
        assert bodies(aws, url) == ["poison"]
        aws.advance(10)
    aws.advance(600)
    assert (states(aws, url), states(aws, dead)) == ((1, 0, 0), (0, 0, 0))
    assert bodies(aws, url) == []
    assert (states(aws, url), states(aws, dead)) == ((0, 0, 0), (1, 0, 0))
    (message,) = receive(aws, dead)
    assert message["Attributes"]["ApproximateReceiveCount"] == str(count + 1)


@pytest.mark.behaviour("A70", "A73")
def test_what_a_message_keeps(aws: Aws) -> None:
    dead = aws.queue()
    url = source_of(aws, dead)
    own = {"k": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}, "n": {"DataType": "Number", "StringValue": "1"}}
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-2-3"}}
    (sent,) = bury(aws, url, "poison", MessageAttributes=own, MessageSystemAttributes=trace, MessageGroupId="g")
    (message,) = receive(aws, dead, MessageAttributeNames=["All"])
    assert message["MessageId"] == sent["MessageId"]
    assert message["Body"] == "poison"
    assert message["MessageAttributes"] == own
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert message["Attributes"]["AWSTraceHeader"] == "Root=1-2-3"
    assert message["Attributes"]["MessageGroupId"] == "g"
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == arn_of(aws, url)


@pytest.mark.behaviour("A72", "A73")
def test_a_chain_of_dead_letter_queues(aws: Aws) -> None:
    last = aws.queue()
    middle = source_of(aws, last, VisibilityTimeout=0)
    first = source_of(aws, middle, VisibilityTimeout=0)
    (sent,) = bury(aws, first, "poison")
    assert bodies(aws, middle) == ["poison"]
    assert bodies(aws, middle) == []
    (message,) = receive(aws, last)
    assert message["MessageId"] == sent["MessageId"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "3"
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == arn_of(aws, middle)


@pytest.mark.behaviour("A74", "B29")
@pytest.mark.parametrize("fifo", [False, True])
def test_a_standard_dead_letter_queue_goes_on_counting_a_fifo_one_begins_anew(aws: Aws, fifo: bool) -> None:
    dead = aws.queue(fifo=fifo, MessageRetentionPeriod=100)
    url = source_of(aws, dead, fifo=fifo)
    more = {"MessageGroupId": "g", "MessageDeduplicationId": "d"} if fifo else {}
    send(aws, url, "poison", **more)
    aws.advance(60)
    for expected in (["poison"], []):
        assert bodies(aws, url, VisibilityTimeout=0) == expected
    assert states(aws, dead) == (1, 0, 0)
    aws.advance(41)
    assert states(aws, dead) == ((1, 0, 0) if fifo else (0, 0, 0))
    aws.advance(60)
    assert states(aws, dead) == (0, 0, 0)


@pytest.mark.behaviour("B28", "B30")
def test_a_group_goes_on_when_its_poison_is_dead_lettered(aws: Aws) -> None:
    dead = aws.queue(fifo=True)
    url = source_of(aws, dead, fifo=True, ContentBasedDeduplication=True, VisibilityTimeout=5)
    sent, _ = send(aws, url, "poison", "good", MessageGroupId="g")
    assert bodies(aws, url, 1) == ["poison"]
    assert bodies(aws, url) == []
    aws.advance(5)
    assert bodies(aws, url) == ["good"]
    (message,) = receive(aws, dead)
    assert message["MessageId"] == sent["MessageId"]
    assert message["Attributes"]["MessageDeduplicationId"] == sent["MessageId"]
    assert message["Attributes"]["MessageGroupId"] == "g"


@pytest.mark.behaviour("A51", "A68")
def test_a_dead_letter_serves_who_waits_for_it(aws: Aws) -> None:
    dead = aws.queue()
    url = source_of(aws, dead)
    poll = Polling(aws, dead, WaitTimeSeconds=20)
    bury(aws, url, "poison")
    assert [message["Body"] for message in poll.join()["Messages"]] == ["poison"]


@pytest.mark.behaviour("A74")
def test_a_dead_letter_that_is_too_old_serves_nobody(aws: Aws) -> None:
    dead = aws.queue(MessageRetentionPeriod=60)
    url = source_of(aws, dead)
    send(aws, url, "a")
    assert bodies(aws, url, VisibilityTimeout=0) == ["a"]
    aws.advance(61)
    poll = Polling(aws, dead, WaitTimeSeconds=20)
    assert not poll.done()
    assert bodies(aws, url) == []
    aws.advance(20)
    assert "Messages" not in poll.join()
    assert states(aws, dead) == (0, 0, 0)


# ---- the way back


@pytest.mark.behaviour("A76", "A81", "A83")
def test_a_task_brings_messages_back_to_their_sources_as_new_ones(aws: Aws) -> None:
    client = aws.client("sqs")
    dead = aws.queue()
    arn = arn_of(aws, dead)
    url, other = (source_of(aws, dead, MessageRetentionPeriod=300) for _ in range(2))
    before = {sent["MessageId"] for sent in bury(aws, url, *"abc")}
    bury(aws, other, "x")
    aws.advance(200)
    started = aws.now()
    handle = client.start_message_move_task(SourceArn=arn, MaxNumberOfMessagesPerSecond=1)["TaskHandle"]
    send(aws, url, "live")
    aws.advance(2.1)
    (task,) = client.list_message_move_tasks(SourceArn=arn)["Results"]
    assert abs(task.pop("StartedTimestamp") / 1000 - started) < 1
    assert task == {
        "TaskHandle": handle,
        "Status": "RUNNING",
        "SourceArn": arn,
        "MaxNumberOfMessagesPerSecond": 1,
        "ApproximateNumberOfMessagesMoved": 2,
        "ApproximateNumberOfMessagesToMove": 4,
    }
    aws.advance(2)
    (task,) = client.list_message_move_tasks(SourceArn=arn)["Results"]
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 4)
    assert "TaskHandle" not in task
    assert states(aws, dead) == (0, 0, 0)
    assert bodies(aws, other) == ["x"]
    live, *after = receive(aws, url)
    assert [live["Body"], *(message["Body"] for message in after)] == ["live", "a", "b", "c"]
    assert not before & {message["MessageId"] for message in after}
    for message in after:
        assert message["Attributes"]["ApproximateReceiveCount"] == "1"
        assert "DeadLetterQueueSourceArn" not in message["Attributes"]
        assert int(message["Attributes"]["SentTimestamp"]) / 1000 > started
    aws.advance(200)
    assert states(aws, url) == (4, 0, 0)


@pytest.mark.behaviour("A76", "A77", "A84")
def test_tasks_have_their_limits(aws: Aws) -> None:
    client = aws.client("sqs")
    target = arn_of(aws, aws.queue())
    dead = aws.queue()
    for number in range(101):
        # Each queue is the dead-letter queue of the next one.
        source = aws.queue(RedrivePolicy=redrive(arn_of(aws, dead), 1))
        start = {"SourceArn": arn_of(aws, dead), "DestinationArn": target, "MaxNumberOfMessagesPerSecond": 1}
        client.send_message_batch(QueueUrl=dead, Entries=entries(*"abcdefghij"))
        if number == 100:
            assert refusal(client.start_message_move_task, **start).code == "OverLimit"
            break
        if number == 0:
            for rate in (0, 501):
                bad = {**start, "MaxNumberOfMessagesPerSecond": rate}
                assert refusal(client.start_message_move_task, **bad).code == "InvalidParameterValue"
        client.start_message_move_task(**start)
        if number == 0:
            assert refusal(client.start_message_move_task, **start)[:2] == (
                "InvalidParameterValue",
                "There is already a task running. "
                "Only one active task is allowed for a source queue arn at a given time.",
            )
        dead = source
    aws.advance(10)
    client.start_message_move_task(**start)


@pytest.mark.behaviour("A78", "A79", "A80")
def test_tasks_that_are_refused(aws: Aws) -> None:
    client = aws.client("sqs")
    dead = aws.queue()
    arn = arn_of(aws, dead)
    assert refusal(client.start_message_move_task, SourceArn=arn)[:3] == (
        "InvalidParameterValue",
        "Source queue must be configured as a Dead Letter Queue.",
        400,
    )
    source_of(aws, dead)
    for bad in ({"SourceArn": arn + "-unknown"}, {"SourceArn": arn, "DestinationArn": arn + "-unknown"}):
        assert refusal(client.start_message_move_task, **bad)[:3] == (
            "ResourceNotFoundException",
            MISSING.format(list(bad)[-1]),
            404,
        )
    assert refusal(client.cancel_message_move_task, TaskHandle="x")[:3] == (
        "InvalidParameterValue",
        "Value for parameter TaskHandle is invalid.",
        400,
    )
    send(aws, dead, *"abc")
    handle = client.start_message_move_task(SourceArn=arn, DestinationArn=arn_of(aws, aws.queue()))["TaskHandle"]
    client.cancel_message_move_task(TaskHandle=handle)
    content = {**json.loads(base64.b64decode(handle)), "taskId": str(uuid.uuid4())}
    unknown = base64.b64encode(json.dumps(content).encode()).decode()
    assert refusal(client.cancel_message_move_task, TaskHandle=unknown)[:3] == (
        "ResourceNotFoundException",
        "Task does not exist.",
        404,
    )


@pytest.mark.behaviour("A80", "A81", "A82")
def test_tasks_end_early(aws: Aws) -> None:
    client = aws.client("sqs")
    dead, target = aws.queue(), aws.queue()
    source_of(aws, dead)
    arn, target_arn = arn_of(aws, dead), arn_of(aws, target)
    send(aws, dead, *"abc")
    start = {"SourceArn": arn, "DestinationArn": target_arn}
    handle = client.start_message_move_task(**start, MaxNumberOfMessagesPerSecond=1)["TaskHandle"]
    aws.advance(1.1)
    assert client.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"] == 1
    assert client.list_message_move_tasks(SourceArn=arn)["Results"][0]["Status"] == "CANCELLING"
    aws.advance(1)
    client.start_message_move_task(**start)
    client.delete_queue(QueueUrl=target)
    aws.advance(1)
    newest, oldest = client.list_message_move_tasks(SourceArn=arn, MaxResults=10)["Results"]
    assert oldest["Status"] == "CANCELLED"
    assert (newest["Status"], newest["FailureReason"]) == ("FAILED", PREFIX + "NonExistentQueue")
    assert newest["DestinationArn"] == target_arn
    assert not newest.keys() & {"MaxNumberOfMessagesPerSecond", "TaskHandle"}
    assert len(client.list_message_move_tasks(SourceArn=arn)["Results"]) == 1
    for number in (0, 11):
        assert refusal(client.list_message_move_tasks, SourceArn=arn, MaxResults=number).code == (
            "InvalidParameterValue"
        )
    assert states(aws, dead) == (2, 0, 0)
