"""FIFO queues: what they ask for, duplicates, groups and their order, handles, repeated attempts."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from .conftest import Aws
from .sqs import Polling, attributes, bodies, entries, invalid, name_of, receive, refusal, send, states

GROUP = "The request must contain the parameter MessageGroupId."
NEITHER = "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
HIGH = {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}


def fifo(aws: Aws, **more: Any) -> str:
    """Make a FIFO queue that recognises duplicates by their content."""
    return aws.queue(fifo=True, **{"ContentBasedDeduplication": True, **more})


# ---- attributes


@pytest.mark.behaviour("A1", "B32")
def test_names(aws: Aws) -> None:
    client = aws.client("sqs")
    for name in ("a", "a.fif", ".fifo", "a.b.fifo", "x" * 76 + ".fifo"):
        assert refusal(client.create_queue, QueueName=name, Attributes={"FifoQueue": "true"})[:2] == (
            "InvalidParameterValue",
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
            "must end with .fifo suffix and be 1 to 80 in length.",
        )
    assert refusal(client.create_queue, QueueName="a.fifo")[:2] == (
        "InvalidParameterValue",
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
    )
    longest = aws.name().ljust(75, "x") + ".fifo"
    url = client.create_queue(QueueName=longest, Attributes={"FifoQueue": "true"})["QueueUrl"]
    assert name_of(url) == longest


@pytest.mark.behaviour("B1", "B2", "B31")
def test_a_queue_stays_of_its_type(aws: Aws) -> None:
    client = aws.client("sqs")
    url = fifo(aws)
    shown = attributes(aws, url)
    assert {name: shown[name] for name in ("FifoQueue", "ContentBasedDeduplication", *HIGH)} == {
        "FifoQueue": "true",
        "ContentBasedDeduplication": "true",
        "DeduplicationScope": "queue",
        "FifoThroughputLimit": "perQueue",
    }
    client.set_queue_attributes(QueueUrl=url, Attributes={"FifoQueue": "true"})
    assert refusal(client.set_queue_attributes, QueueUrl=url, Attributes={"FifoQueue": "false"})[:3] == (
        "InvalidAttributeValue",
        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
        400,
    )
    other = {"FifoQueue": "true", "ContentBasedDeduplication": "false"}
    assert refusal(client.create_queue, QueueName=name_of(url), Attributes=other)[:2] == (
        "QueueAlreadyExists",
        "A queue already exists with the same name and a different value for attribute ContentBasedDeduplication",
    )


@pytest.mark.behaviour("B14")
def test_high_throughput_comes_and_goes(aws: Aws) -> None:
    client = aws.client("sqs")
    url = fifo(aws)
    assert refusal(client.set_queue_attributes, QueueUrl=url, Attributes={"FifoThroughputLimit": "perMessageGroupId"})[
        :2
    ] == (
        "InvalidAttributeValue",
        "Invalid value for the parameter FifoThroughputLimit. Reason: To set FifoThroughputLimit to "
        "perMessageGroupId, the DeduplicationScope must be messageGroup.",
    )
    off = {"DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue"}
    for state in (HIGH, off, HIGH):
        client.set_queue_attributes(QueueUrl=url, Attributes=state)
        assert attributes(aws, url, *HIGH) == state
    assert refusal(client.set_queue_attributes, QueueUrl=url, Attributes={"DeduplicationScope": "queue"}).code == (
        "InvalidAttributeValue"
    )
    assert attributes(aws, fifo(aws, **HIGH), *HIGH) == HIGH


# ---- sending


@pytest.mark.behaviour("B3", "B4", "B5")
def test_what_a_message_must_have(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue(fifo=True)
    refused = refusal(client.send_message, QueueUrl=url, MessageBody="b", MessageDeduplicationId="d")
    assert refused[:3] == ("MissingParameter", GROUP, 400)
    good = {"Id": "good", "MessageBody": "b", "MessageGroupId": "g", "MessageDeduplicationId": "d"}
    for missing, text in (("MessageGroupId", GROUP), ("MessageDeduplicationId", NEITHER)):
        bad = {key: value for key, value in good.items() if key != missing} | {"Id": "bad"}
        batch = refusal(client.send_message_batch, QueueUrl=url, Entries=[good, bad])
        assert batch[:3] == ("InvalidParameterValue", text, 400)
    refused = refusal(client.send_message, QueueUrl=url, MessageBody="b", MessageGroupId="g")
    assert refused[:2] == ("InvalidParameterValue", NEITHER)
    assert states(aws, url) == (0, 0, 0)


@pytest.mark.behaviour("B6", "B7")
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        *[
            (name, value, f"{name} can only include alphanumeric and punctuation characters. 1 to 128 in length.")
            for name in ("MessageDeduplicationId", "MessageGroupId")
            for value in ("", "x" * 129, "a b", "ä")
        ],
        ("DelaySeconds", 2, "The request include parameter that is not valid for this queue type."),
    ],
)
def test_parameters_that_a_fifo_queue_refuses(aws: Aws, name: str, value: Any, reason: str) -> None:
    client = aws.client("sqs")
    params = {"QueueUrl": fifo(aws), "MessageBody": "b", "MessageGroupId": "g!" * 64, name: value}
    assert refusal(client.send_message, **params)[:2] == invalid(value, name, reason)


@pytest.mark.behaviour("B8")
def test_the_delay_of_the_queue_holds_for_all_and_keeps_the_order(aws: Aws) -> None:
    url = fifo(aws, DelaySeconds=10)
    send(aws, url, "a", MessageGroupId="g", DelaySeconds=0)
    aws.advance(5)
    send(aws, url, "b", MessageGroupId="g")
    assert states(aws, url) == (0, 0, 2)
    aws.advance(5)
    assert bodies(aws, url, VisibilityTimeout=0) == ["a"]
    aws.advance(5)
    assert bodies(aws, url) == ["a", "b"]


@pytest.mark.behaviour("B9", "B10", "B25")
def test_duplicates_are_dropped_for_five_minutes_even_after_deletion(aws: Aws) -> None:
    url = aws.queue(fifo=True)
    same = {"MessageGroupId": "g", "MessageDeduplicationId": "d"}
    (first,) = send(aws, url, "b", **same)
    aws.advance(200)
    assert states(aws, url) == (1, 0, 0)
    (message,) = receive(aws, url)
    aws.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    aws.advance(98)
    note = {"note": {"DataType": "String", "StringValue": "x"}}
    (again,) = send(aws, url, "another body", MessageAttributes=note, **same)
    assert [again[key] for key in ("MessageId", "SequenceNumber")] == [first["MessageId"], first["SequenceNumber"]]
    assert again["MD5OfMessageBody"] == hashlib.md5(b"another body").hexdigest()
    assert len(again["MD5OfMessageAttributes"]) == 32
    assert states(aws, url) == (0, 0, 0)
    aws.advance(2)
    (new,) = send(aws, url, "b", **same)
    assert states(aws, url) == (1, 0, 0)
    assert len(new["SequenceNumber"]) == 20
    assert int(new["SequenceNumber"]) > int(first["SequenceNumber"]) + 1


@pytest.mark.behaviour("B11")
def test_content_is_the_body_alone(aws: Aws) -> None:
    url = fifo(aws)
    note = {"note": {"DataType": "String", "StringValue": "x"}}
    digest = hashlib.sha256(b"b").hexdigest()
    send(aws, url, "b", MessageGroupId="g")
    send(aws, url, "b", MessageGroupId="g", MessageAttributes=note)
    send(aws, url, "other", MessageGroupId="g", MessageDeduplicationId=digest)
    assert states(aws, url) == (1, 0, 0)
    send(aws, url, "b", MessageGroupId="g", MessageDeduplicationId="own")
    assert states(aws, url) == (2, 0, 0)


@pytest.mark.behaviour("B12", "B13")
@pytest.mark.parametrize(("scope", "delivered"), [("queue", ["a"]), ("messageGroup", ["a", "b"])])
def test_the_scope_of_deduplication(aws: Aws, scope: str, delivered: list[str]) -> None:
    url = aws.queue(fifo=True, DeduplicationScope=scope)
    for body, group in (("a", "g"), ("b", "h"), ("c", "h")):
        send(aws, url, body, MessageGroupId=group, MessageDeduplicationId="same")
    assert bodies(aws, url) == delivered


# ---- receiving


@pytest.mark.behaviour("B17", "B25", "B26")
def test_a_batch_is_enqueued_in_its_order(aws: Aws) -> None:
    url = fifo(aws)
    answer = aws.client("sqs").send_message_batch(QueueUrl=url, Entries=entries(*"cab", MessageGroupId="g"))
    numbers = [entry["SequenceNumber"] for entry in answer["Successful"]]
    assert numbers == sorted(numbers, key=int)
    messages = receive(aws, url)
    assert [message["Body"] for message in messages] == list("cab")
    for message, number in zip(messages, numbers, strict=True):
        assert message["Attributes"].keys() == {
            *("SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"),
            *("MessageGroupId", "MessageDeduplicationId", "SequenceNumber"),
        }
        assert message["Attributes"]["MessageGroupId"] == "g"
        assert message["Attributes"]["SequenceNumber"] == number
        assert message["Attributes"]["MessageDeduplicationId"] == hashlib.sha256(message["Body"].encode()).hexdigest()


def two_groups(aws: Aws) -> str:
    """Make a queue with four messages of one group and two of another."""
    url = fifo(aws)
    for body in ("g1-m1", "g1-m2", "g1-m3", "g2-m1", "g1-m4", "g2-m2"):
        send(aws, url, body, MessageGroupId=body[:2])
    return url


@pytest.mark.behaviour("B18", "B19", "B20")
def test_a_group_is_locked_while_one_of_it_is_in_flight(aws: Aws) -> None:
    client = aws.client("sqs")
    url = two_groups(aws)
    first, second = receive(aws, url, 2)
    assert [first["Body"], second["Body"]] == ["g1-m1", "g1-m2"]
    assert bodies(aws, url) == ["g2-m1", "g2-m2"]
    client.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert bodies(aws, url) == []
    client.delete_message(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"])
    assert bodies(aws, url) == ["g1-m3", "g1-m4"]


@pytest.mark.behaviour("B17", "B18", "B20")
def test_a_group_comes_back_in_order(aws: Aws) -> None:
    url = two_groups(aws)
    assert bodies(aws, url, 5) == ["g1-m1", "g1-m2", "g1-m3", "g1-m4", "g2-m1"]
    aws.advance(30)
    for body in bodies(aws, url), bodies(aws, url, 1):
        assert [one for one in body if one.startswith("g1")] in ([], ["g1-m1", "g1-m2", "g1-m3", "g1-m4"])
        assert [one for one in body if one.startswith("g2")] in ([], ["g2-m1", "g2-m2"])
    assert states(aws, url) == (0, 6, 0)


@pytest.mark.behaviour("B21")
@pytest.mark.parametrize("position", [0, 1, 2])
def test_an_extended_message_holds_back_what_is_behind_it(aws: Aws, position: int) -> None:
    url = fifo(aws)
    send(aws, url, "1", "2", "3", "4", MessageGroupId="g")
    handle = receive(aws, url, 3)[position]["ReceiptHandle"]
    aws.client("sqs").change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=100)
    aws.advance(30)
    assert bodies(aws, url, VisibilityTimeout=0) == ["1", "2", "3"][:position]
    aws.advance(70)
    assert bodies(aws, url) == ["1", "2", "3", "4"]


@pytest.mark.behaviour("B22", "B23")
def test_a_handle_expires_with_its_visibility_timeout(aws: Aws) -> None:
    client = aws.client("sqs")
    url = fifo(aws)
    send(aws, url, "1", "2", MessageGroupId="g")
    extended, expired = (message["ReceiptHandle"] for message in receive(aws, url))
    client.change_message_visibility(QueueUrl=url, ReceiptHandle=extended, VisibilityTimeout=60)
    aws.advance(31)
    client.delete_message(QueueUrl=url, ReceiptHandle=extended)
    reason = "The receipt handle has expired."
    refused = refusal(client.delete_message, QueueUrl=url, ReceiptHandle=expired)
    assert refused[:3] == (*invalid(expired, "ReceiptHandle", reason), 400)
    assert bodies(aws, url) == ["2"]


@pytest.mark.behaviour("B24")
def test_a_repeated_attempt_gets_the_same_messages_and_hides_them_anew(aws: Aws) -> None:
    client = aws.client("sqs")
    url = two_groups(aws)
    first = receive(aws, url, 2, ReceiveRequestAttemptId="try")
    aws.advance(20)
    assert receive(aws, url, 2, ReceiveRequestAttemptId="try", WaitTimeSeconds=1) == first
    aws.advance(20)
    assert states(aws, url) == (4, 2, 0)
    client.delete_message(QueueUrl=url, ReceiptHandle=first[0]["ReceiptHandle"])
    assert bodies(aws, url, ReceiveRequestAttemptId="try") == ["g2-m1", "g2-m2"]
    refused = refusal(client.receive_message, QueueUrl=url, ReceiveRequestAttemptId="x" * 129)
    assert refused.code == "InvalidParameterValue"


@pytest.mark.behaviour("B19", "B20", "A51")
def test_a_long_poll_gets_the_group_when_its_lock_is_released(aws: Aws) -> None:
    client = aws.client("sqs")
    url = fifo(aws)
    send(aws, url, "1", "2", MessageGroupId="g")
    handle = receive(aws, url, 1)[0]["ReceiptHandle"]
    poll = Polling(aws, url, WaitTimeSeconds=20)
    assert not poll.done()
    client.delete_message(QueueUrl=url, ReceiptHandle=handle)
    assert [message["Body"] for message in poll.join()["Messages"]] == ["2"]


@pytest.mark.behaviour("B34")
def test_lambda_sends_nothing_to_a_fifo_queue(aws: Aws) -> None:
    client = aws.client("lambda")
    name = aws.function("def handler(event, context):\n    pass")
    arn = aws.queue_arn(fifo(aws))
    refused = refusal(client.update_function_configuration, FunctionName=name, DeadLetterConfig={"TargetArn": arn})
    assert refused[:2] == (
        "InvalidParameterValueException",
        "Invalid dead letter queue ARN: FIFO SQS queue is not supported for dead letter configuration",
    )
    config = {"DestinationConfig": {"OnFailure": {"Destination": arn}}}
    refused = refusal(client.put_function_event_invoke_config, FunctionName=name, **config)
    assert refused[:2] == (
        "InvalidParameterValueException",
        "The provided destination config DestinationConfig(onSuccess=OnSuccess(destination=), "
        f"onFailure=OnFailure(destination={arn})) is invalid.",
    )
