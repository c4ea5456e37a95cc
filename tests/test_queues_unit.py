"""SQS behind its operations, on a clock that the tests move."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from helpers.local_aws.clock import Clock, Scheduler
from helpers.local_aws.errors import ApiError
from helpers.local_aws.protocol import Call, Later
from helpers.local_aws.queues import Message, Queue, Queues, Receiver
from helpers.local_aws.space import Identity, Space
from helpers.local_aws.sqs_api import OPERATIONS

ACCOUNT = "111122223333"


class Samples:
    """Takes metrics in place of the metrics store."""

    def __init__(self) -> None:
        self.samples: list[tuple[str, str, float, float | None]] = []
        self.listeners: list[Any] = []

    def add(
        self,
        namespace: str,
        name: str,
        dimensions: dict[str, str],
        value: float,
        unit: str = "Count",
        at: float | None = None,
    ) -> None:
        """Keep one sample."""
        assert namespace == "AWS/SQS"
        self.samples.append((name, dimensions["QueueName"], value, at))

    def each_minute(self, listener: Any) -> None:
        """Keep the listener."""
        self.listeners.append(listener)

    def of(self, name: str, queue: str) -> list[float]:
        """Return a metric's values."""
        return [value for metric, named, value, _ in self.samples if (metric, named) == (name, queue)]


class Sqs:
    """A space with queues and nothing else, called by operation names."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.scheduler = Scheduler(self.clock)
        self.metrics = Samples()
        self.space: Any = SimpleNamespace(
            account=ACCOUNT,
            region="us-east-1",
            url="http://localhost:4566",
            clock=self.clock,
            scheduler=self.scheduler,
            metrics=self.metrics,
            permissions=SimpleNamespace(check=lambda identity, action, resource: None),
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


def redrive(name: str, count: object) -> str:
    return json.dumps({"deadLetterTargetArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}", "maxReceiveCount": count})


# ---- queues and attributes


@pytest.mark.behaviour("A2", "A3")
def test_a_fresh_queue_has_exactly_the_documented_attributes(sqs: Sqs) -> None:
    url = sqs.create("orders")
    attributes = sqs.call("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert abs(int(attributes.pop("CreatedTimestamp")) - time.time()) < 60
    assert abs(int(attributes.pop("LastModifiedTimestamp")) - time.time()) < 60
    assert attributes == {
        "ApproximateNumberOfMessages": "0",
        "ApproximateNumberOfMessagesDelayed": "0",
        "ApproximateNumberOfMessagesNotVisible": "0",
        "DelaySeconds": "0",
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "QueueArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:orders",
        "ReceiveMessageWaitTimeSeconds": "0",
        "SqsManagedSseEnabled": "true",
        "VisibilityTimeout": "30",
    }
    assert sqs.call("GetQueueAttributes", QueueUrl=url) == {}


@pytest.mark.behaviour("A9", "A10", "B31")
def test_creating_a_queue_again(sqs: Sqs) -> None:
    url = sqs.create("orders", DelaySeconds="5")
    assert sqs.create("orders", DelaySeconds="5") == url
    assert sqs.create("orders") == url
    problem = sqs.refusal("CreateQueue", QueueName="orders", Attributes={"DelaySeconds": "6"})
    assert (problem.code, problem.query_code) == ("QueueNameExists", "QueueAlreadyExists")
    expected = "A queue already exists with the same name and a different value for attribute DelaySeconds"
    assert problem.message == expected


@pytest.mark.behaviour("A11", "A12", "A14")
def test_a_deleted_queue_is_gone_and_its_name_is_blocked_for_a_minute(sqs: Sqs) -> None:
    url = sqs.create("orders")
    sqs.send(url, "one")
    sqs.call("DeleteQueue", QueueUrl=url)
    problem = sqs.refusal("SendMessage", QueueUrl=url, MessageBody="two")
    assert problem.query_code == "AWS.SimpleQueueService.NonExistentQueue"
    assert (problem.code, problem.message) == ("QueueDoesNotExist", "The specified queue does not exist.")
    assert sqs.refusal("CreateQueue", QueueName="orders").code == "QueueDeletedRecently"
    sqs.wait(60)
    assert sqs.bodies(sqs.create("orders")) == []


@pytest.mark.behaviour("A1", "B32")
@pytest.mark.parametrize(
    ("name", "fifo", "text"),
    [
        ("a.b", False, "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"),
        ("x" * 81, False, "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"),
        ("a.fifo", False, "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"),
        (
            "a",
            True,
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
            "must end with .fifo suffix and be 1 to 80 in length.",
        ),
    ],
)
def test_bad_names(sqs: Sqs, name: str, fifo: bool, text: str) -> None:
    problem = sqs.refusal("CreateQueue", QueueName=name, Attributes={"FifoQueue": "true"} if fifo else {})
    assert (problem.query_code, problem.message) == ("InvalidParameterValue", text)


@pytest.mark.behaviour("A16", "A33", "B14")
@pytest.mark.parametrize(
    ("fifo", "attributes", "code", "text"),
    [
        (False, {"DelaySeconds": "901"}, "InvalidAttributeValue", "Invalid value for the parameter DelaySeconds."),
        (
            False,
            {"VisibilityTimeout": "x"},
            "InvalidAttributeValue",
            "Invalid value for the parameter VisibilityTimeout.",
        ),
        (False, {"FifoQueue": "false"}, "InvalidAttributeName", "Unknown Attribute FifoQueue."),
        (False, {"Nonsense": "1"}, "InvalidAttributeName", "Unknown Attribute Nonsense."),
        (False, {"QueueArn": "1"}, "InvalidAttributeName", "Unknown Attribute QueueArn."),
        (
            False,
            {"DeduplicationScope": "queue"},
            "InvalidAttributeName",
            "You can specify the DeduplicationScope only when FifoQueue is set to true.",
        ),
        (
            True,
            {"FifoThroughputLimit": "perMessageGroupId"},
            "InvalidAttributeValue",
            "Invalid value for the parameter FifoThroughputLimit. Reason: To set FifoThroughputLimit to "
            "perMessageGroupId, the DeduplicationScope must be messageGroup.",
        ),
        (
            False,
            {"KmsMasterKeyId": "k", "SqsManagedSseEnabled": "true"},
            "InvalidAttributeName",
            "You can use one type of server-side encryption (SSE) at one time. "
            "You can either enable KMS SSE or SQS SSE.",
        ),
        (False, {"Policy": "{}"}, "InvalidAttributeValue", "Invalid value for the parameter Policy."),
    ],
)
def test_bad_attributes(sqs: Sqs, fifo: bool, attributes: dict[str, str], code: str, text: str) -> None:
    url = sqs.create("q.fifo" if fifo else "q")
    problem = sqs.refusal("SetQueueAttributes", QueueUrl=url, Attributes=attributes)
    assert (problem.query_code, problem.message) == (code, text)


@pytest.mark.behaviour("A17", "A18", "A21")
def test_redrive_policies_are_checked(sqs: Sqs) -> None:
    sqs.create("dead")
    sqs.create("dead.fifo")
    url = sqs.create("orders", RedrivePolicy=redrive("dead", "42"))

    def refused(policy: str) -> str:
        problem = sqs.refusal("SetQueueAttributes", QueueUrl=url, Attributes={"RedrivePolicy": policy})
        assert problem.query_code == "InvalidParameterValue"
        start = f"Value {policy} for parameter RedrivePolicy is invalid. Reason: "
        assert problem.message.startswith(start)
        return problem.message.removeprefix(start)

    assert refused('{"maxReceiveCount":3}').endswith("mandatory attribute: deadLetterTargetArn.")
    assert refused(redrive("dead", "")).endswith("mandatory attribute: maxReceiveCount.")
    for count in (0, 1001, "many"):
        assert refused(redrive("dead", count)).startswith("Invalid value for maxReceiveCount")
    assert refused(redrive("dead.fifo", 3)).startswith("Dead-letter queue must be same type of queue as the source.")
    assert refused(redrive("dead", 3).replace("us-east-1", "eu-west-1")) == (
        "Dead-letter target must be in same region as the source."
    )
    assert refused(redrive("dead", 3).replace(":sqs:", ":sns:")) == (
        "Only SQS queues are valid resources for deadLetterTargetArn"
    )
    assert refused(redrive("missing", 3)) == "Dead letter target does not exist."


@pytest.mark.behaviour("A19", "A20", "A22")
def test_redrive_policies_come_and_go(sqs: Sqs) -> None:
    dead = sqs.create("dead", RedriveAllowPolicy='{"redrivePermission":"denyAll"}')
    assert (
        "RedrivePolicy"
        in sqs.refusal("CreateQueue", QueueName="o", Attributes={"RedrivePolicy": redrive("dead", 3)}).message
    )
    sqs.call("SetQueueAttributes", QueueUrl=dead, Attributes={"RedriveAllowPolicy": ""})
    url = sqs.create("orders", RedrivePolicy=redrive("dead", 3))
    assert sqs.call("ListDeadLetterSourceQueues", QueueUrl=dead) == {"queueUrls": [url]}
    sqs.call("SetQueueAttributes", QueueUrl=url, Attributes={"RedrivePolicy": ""})
    assert sqs.call("GetQueueAttributes", QueueUrl=url, AttributeNames=["RedrivePolicy"]) == {}
    eleven = json.dumps(
        {
            "redrivePermission": "byQueue",
            "sourceQueueArns": [f"arn:aws:sqs:us-east-1:{ACCOUNT}:q{n}" for n in range(11)],
        }
    )
    problem = sqs.refusal("SetQueueAttributes", QueueUrl=dead, Attributes={"RedriveAllowPolicy": eleven})
    assert problem.message.startswith(f"Value {eleven} for parameter RedriveAllowPolicy is invalid.")


@pytest.mark.behaviour("A25")
def test_a_kms_key_turns_the_other_encryption_off(sqs: Sqs) -> None:
    url = sqs.create("orders", KmsMasterKeyId="alias/orders")
    attributes = sqs.call("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["SqsManagedSseEnabled"] == "false"
    assert attributes["KmsDataKeyReusePeriodSeconds"] == "300"


@pytest.mark.behaviour("A23")
def test_list_queues_pages_only_when_asked_to(sqs: Sqs) -> None:
    assert sqs.call("ListQueues") == {}
    urls = [sqs.create(f"q{n}") for n in range(5)]
    sqs.create("other")
    assert sqs.call("ListQueues", QueueNamePrefix="q") == {"QueueUrls": urls}
    first = sqs.call("ListQueues", QueueNamePrefix="q", MaxResults=3)
    second = sqs.call("ListQueues", QueueNamePrefix="q", MaxResults=3, NextToken=first["NextToken"])
    assert first["QueueUrls"] + second["QueueUrls"] == urls
    assert "NextToken" not in second


@pytest.mark.behaviour("A24", "A26")
def test_tags_and_permissions(sqs: Sqs) -> None:
    url = sqs.create("orders")
    sqs.call("TagQueue", QueueUrl=url, Tags={"a": "1", "b": "2"})
    sqs.call("UntagQueue", QueueUrl=url, TagKeys=["a"])
    assert sqs.call("ListQueueTags", QueueUrl=url) == {"Tags": {"b": "2"}}
    problem = sqs.refusal("TagQueue", QueueUrl=url, Tags={"": "1"})
    assert problem.message == "Tag keys must be between 1 and 128 characters in length."
    grant = {"QueueUrl": url, "Label": "L", "AWSAccountIds": [ACCOUNT], "Actions": ["SendMessage"]}
    sqs.call("AddPermission", **grant)
    policy = json.loads(sqs.queue("orders").attributes["Policy"])
    assert policy["Statement"][0]["Action"] == "SQS:SendMessage"
    assert sqs.refusal("AddPermission", **grant).message.endswith(
        "for parameter Label is invalid. Reason: Already exists."
    )
    sqs.call("RemovePermission", QueueUrl=url, Label="L")
    problem = sqs.refusal("RemovePermission", QueueUrl=url, Label="L")
    assert problem.message == "Value L for parameter Label is invalid. Reason: can't find label."


# ---- sending


@pytest.mark.behaviour("A32", "A36", "A37")
def test_digests_of_a_sent_message(sqs: Sqs) -> None:
    url = sqs.create("orders")
    attributes = {
        "Title": {"DataType": "String", "StringValue": "The Whistler"},
        "Author": {"DataType": "String", "StringValue": "John Grisham"},
        "WeeksOn": {"DataType": "Number", "StringValue": "6"},
    }
    (sent,) = sqs.send(url, "test", MessageAttributes=attributes)
    assert sent.keys() == {"MessageId", "MD5OfMessageBody", "MD5OfMessageAttributes"}
    assert sent["MD5OfMessageBody"] == "098f6bcd4621d373cade4e832627b4f6"
    assert sent["MD5OfMessageAttributes"] == "d25a6aea97eb8f585bfa92d314504a92"


@pytest.mark.behaviour("A29", "A30", "A31")
def test_bodies_that_are_refused(sqs: Sqs) -> None:
    url = sqs.create("orders", MaximumMessageSize="1024")
    sqs.send(url, "x" * 1024)
    problem = sqs.refusal("SendMessage", QueueUrl=url, MessageBody="x" * 1025)
    assert (problem.code, problem.query_code) == ("InvalidParameterValueException", "InvalidParameterValue")
    assert problem.message == "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes."
    problem = sqs.refusal("SendMessage", QueueUrl=url, MessageBody="")
    assert (problem.query_code, problem.message) == (
        "MissingParameter",
        "The request must contain the parameter MessageBody.",
    )
    for body in ("a\x01", "a\ud800", "\ufffe"):
        assert sqs.refusal("SendMessage", QueueUrl=url, MessageBody=body).query_code == "InvalidMessageContents"
    sqs.send(url, "tab\t line\n größe 🎉")


@pytest.mark.behaviour("A33", "A86", "A92")
@pytest.mark.parametrize(
    ("params", "text"),
    [
        (
            {"DelaySeconds": 901},
            "Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
        ),
        (
            {"MessageGroupId": "group 123"},
            "Value group 123 for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include "
            "alphanumeric and punctuation characters. 1 to 128 in length.",
        ),
        (
            {"MessageDeduplicationId": "d"},
            "Value d for parameter MessageDeduplicationId is invalid. "
            "Reason: The request include parameter that is not valid for this queue type.",
        ),
    ],
)
def test_parameters_that_a_standard_queue_refuses(sqs: Sqs, params: dict[str, Any], text: str) -> None:
    problem = sqs.refusal("SendMessage", QueueUrl=sqs.create("orders"), MessageBody="b", **params)
    assert (problem.query_code, problem.message) == ("InvalidParameterValue", text)


@pytest.mark.behaviour("A34", "A35")
@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (
            "E",
            {"DataType": "String", "StringValue": ""},
            "Message (user) attribute 'E' must contain a non-empty value of type 'String'.",
        ),
        (
            "E",
            {"DataType": "Text", "StringValue": "x"},
            "The type of message (user) attribute 'E' is invalid. You must use only the following supported type "
            "prefixes: Binary, Number, String.",
        ),
        ("aws.x", {"DataType": "String", "StringValue": "x"}, "AWS."),
        ("a..b", {"DataType": "String", "StringValue": "x"}, "a..b"),
        ("n", {"DataType": "Number", "StringValue": "six"}, "number"),
    ],
)
def test_message_attributes_that_are_refused(sqs: Sqs, name: str, value: dict[str, str], text: str) -> None:
    url = sqs.create("orders")
    problem = sqs.refusal("SendMessage", QueueUrl=url, MessageBody="b", MessageAttributes={name: value})
    assert problem.query_code == "InvalidParameterValue"
    assert text in problem.message


@pytest.mark.behaviour("A40", "A41", "A43")
def test_batches_that_are_refused_whole(sqs: Sqs) -> None:
    url = sqs.create("orders")

    def refused(operation: str, *ids: str) -> tuple[str, str]:
        entries = [{"Id": one, "MessageBody": "b", "ReceiptHandle": "h"} for one in ids]
        problem = sqs.refusal(operation, QueueUrl=url, Entries=entries)
        return (problem.query_code or "").removeprefix("AWS.SimpleQueueService."), problem.message

    assert refused("SendMessageBatch", *map(str, range(20))) == (
        "TooManyEntriesInBatchRequest",
        "Maximum number of entries per request are 10. You have sent 20.",
    )
    code, text = refused("DeleteMessageBatch", "a b")
    assert (code, text[:58]) == ("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters,")
    assert refused("DeleteMessageBatch", "dup", "dup") == ("BatchEntryIdsNotDistinct", "Id dup repeated.")
    assert refused("SendMessageBatch") == (
        "EmptyBatchRequest",
        "There should be at least one SendMessageBatchRequestEntry in the request.",
    )


@pytest.mark.behaviour("A42", "A44", "A45")
def test_a_batch_fails_in_part(sqs: Sqs) -> None:
    url = sqs.create("orders", MaximumMessageSize="1024")
    bodies = {"good": "b", "long": "x" * 1025, "dirty": "\x01", "empty": ""}
    entries = [{"Id": key, "MessageBody": body} for key, body in bodies.items()]
    answer = sqs.call("SendMessageBatch", QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    failed = {entry["Id"]: (entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]}
    assert failed == {
        "long": ("InvalidParameterValue", True),
        "dirty": ("InvalidMessageContents", True),
        "empty": ("EmptyValue", True),
    }
    assert answer["Failed"][0]["Message"] == (
        "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes."
    )
    problem = sqs.refusal(
        "SendMessageBatch",
        QueueUrl=url,
        Entries=[{"Id": "a", "MessageBody": "x" * 1048576}, {"Id": "b", "MessageBody": "x"}],
    )
    assert problem.message == "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes."


@pytest.mark.behaviour("A6", "A33")
def test_a_delay_holds_a_message_back(sqs: Sqs) -> None:
    url = sqs.create("orders", DelaySeconds="10")
    sqs.send(url, "queue's delay")
    sqs.send(url, "own delay", DelaySeconds=3)
    sqs.send(url, "none", DelaySeconds=0)
    assert sqs.counts(url) == (1, 0, 2)
    assert sqs.bodies(url) == ["none"]
    sqs.wait(3)
    assert sqs.bodies(url) == ["own delay"]
    sqs.wait(7)
    assert sqs.bodies(url) == ["queue's delay"]


# ---- receiving


@pytest.mark.behaviour("A47", "A48")
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("MaxNumberOfMessages", 11, "Must be between 1 and 10, if provided."),
        ("MaxNumberOfMessages", 0, "Must be between 1 and 10, if provided."),
        ("WaitTimeSeconds", 21, "Must be >= 0 and <= 20, if provided."),
    ],
)
def test_receives_that_are_refused(sqs: Sqs, name: str, value: int, reason: str) -> None:
    problem = sqs.refusal("ReceiveMessage", QueueUrl=sqs.create("orders"), **{name: value})
    assert problem.message == f"Value {value} for parameter {name} is invalid. Reason: {reason}"


@pytest.mark.behaviour("A49", "A52", "A55")
def test_what_a_receive_shows(sqs: Sqs) -> None:
    url = sqs.create("orders")
    assert sqs.call("ReceiveMessage", QueueUrl=url) == {}
    attributes = {name: {"DataType": "String", "StringValue": name} for name in ("bar.one", "bar.two", "foo")}
    sqs.send(url, "b", MessageAttributes=attributes)
    (plain,) = sqs.call("ReceiveMessage", QueueUrl=url, VisibilityTimeout=0)["Messages"]
    assert plain.keys() == {"MessageId", "ReceiptHandle", "MD5OfBody", "Body"}
    (full,) = sqs.call(
        "ReceiveMessage", QueueUrl=url, AttributeNames=["All"], MessageAttributeNames=["bar.*"], VisibilityTimeout=0
    )["Messages"]
    assert full["MessageAttributes"].keys() == {"bar.one", "bar.two"}
    assert full["Attributes"]["ApproximateReceiveCount"] == "2"
    assert full["Attributes"]["SenderId"] == "AIDAEXAMPLE"
    assert abs(int(full["Attributes"]["SentTimestamp"]) / 1000 - time.time()) < 60
    (every,) = sqs.call("ReceiveMessage", QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    assert every["MessageAttributes"] == attributes


@pytest.mark.behaviour("A38", "A85", "C53")
def test_system_attributes_come_in_the_order_of_a_lambda_event(sqs: Sqs) -> None:
    url = sqs.create("orders")
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-2-3"}}
    sqs.send(url, "b", MessageSystemAttributes=trace, MessageGroupId="tenant")
    (message,) = sqs.queue("orders").receive(1)
    assert list(message.system_attributes()) == [
        "ApproximateReceiveCount",
        "AWSTraceHeader",
        "SentTimestamp",
        "MessageGroupId",
        "SenderId",
        "ApproximateFirstReceiveTimestamp",
    ]


@pytest.mark.behaviour("A4", "A56", "A57")
def test_a_message_comes_back_until_it_is_deleted(sqs: Sqs) -> None:
    url = sqs.create("orders")
    sqs.send(url, "one")
    (first,) = sqs.receive(url)
    assert sqs.bodies(url) == []
    sqs.wait(29)
    assert sqs.bodies(url) == []
    sqs.wait(1)
    (second,) = sqs.receive(url)
    assert second["MessageId"] == first["MessageId"]
    assert second["ReceiptHandle"] != first["ReceiptHandle"]
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
    sqs.call("DeleteMessage", QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert sqs.counts(url) == (0, 1, 0)
    sqs.wait(30)
    sqs.call("DeleteMessage", QueueUrl=url, ReceiptHandle=second["ReceiptHandle"])
    assert sqs.counts(url) == (0, 0, 0)


@pytest.mark.behaviour("A58", "A61a", "A61b")
def test_handles_of_nothing(sqs: Sqs) -> None:
    url = sqs.create("orders")
    sqs.send(url, "one")
    handle = sqs.receive(url)[0]["ReceiptHandle"]
    for operation, params in (("DeleteMessage", {}), ("ChangeMessageVisibility", {"VisibilityTimeout": 1})):
        for bad in ("garbage", handle[:-4]):
            problem = sqs.refusal(operation, QueueUrl=url, ReceiptHandle=bad, **params)
            assert (problem.code, problem.status) == ("ReceiptHandleIsInvalid", 404)
            assert problem.message == f'The input receipt handle "{bad}" is not a valid receipt handle.'
    sqs.call("DeleteMessage", QueueUrl=url, ReceiptHandle=handle)
    sqs.call("DeleteMessage", QueueUrl=url, ReceiptHandle=handle)
    problem = sqs.refusal("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=1)
    assert problem.message == (
        f"Value {handle} for parameter ReceiptHandle is invalid. "
        "Reason: Message does not exist or is not available for visibility timeout change."
    )


@pytest.mark.behaviour("A59", "A60", "A61")
def test_changing_visibility(sqs: Sqs) -> None:
    url = sqs.create("orders")
    sqs.send(url, "one")
    handle = sqs.receive(url)[0]["ReceiptHandle"]
    change = {"QueueUrl": url, "ReceiptHandle": handle}
    sqs.wait(20)
    sqs.call("ChangeMessageVisibility", VisibilityTimeout=60, **change)
    sqs.wait(59)
    assert sqs.bodies(url) == []
    problem = sqs.refusal("ChangeMessageVisibility", VisibilityTimeout=43200, **change)
    assert problem.message == (
        "Value 43200 for parameter VisibilityTimeout is invalid. "
        "Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
    )
    sqs.wait(1)
    sqs.call("ChangeMessageVisibility", VisibilityTimeout=60, **change)
    (again,) = sqs.receive(url)
    sqs.call("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=again["ReceiptHandle"], VisibilityTimeout=0)
    assert sqs.bodies(url) == ["one"]
    sqs.wait(30)
    assert sqs.counts(url) == (1, 0, 0)


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
    later = sqs.call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
    sqs.call("DeleteMessage", QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"])
    assert [message["Body"] for message in later.get()["Messages"]] == ["c"]
    assert sqs.bodies(fifo) == ["a", "b"]
    assert sqs.bodies(fifo) == []


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


@pytest.mark.behaviour("A8", "A49", "A51")
def test_a_long_poll_ends_empty_or_with_its_queue(sqs: Sqs) -> None:
    url = sqs.create("orders", ReceiveMessageWaitTimeSeconds="5")
    later = sqs.call("ReceiveMessage", QueueUrl=url)
    sqs.wait(4.5)
    assert not later.wait(0)
    sqs.wait(0.5)
    assert later.wait(0)
    assert later.get() == {}
    assert sqs.metrics.of("NumberOfEmptyReceives", "orders") == [1]
    later = sqs.call("ReceiveMessage", QueueUrl=url)
    sqs.call("DeleteQueue", QueueUrl=url)
    with pytest.raises(ApiError, match="does not exist"):
        later.get()


@pytest.mark.behaviour("A64", "A75")
def test_what_comes_back_goes_to_the_end_of_the_line(sqs: Sqs) -> None:
    url = sqs.create("orders", VisibilityTimeout="1")
    sqs.send(url, "a", "b", "c")
    sqs.bodies(url, 1)
    sqs.wait(1)
    assert sqs.bodies(url, VisibilityTimeout=30) == ["b", "c", "a"]


@pytest.mark.behaviour("A5")
def test_messages_expire_also_by_a_lowered_retention(sqs: Sqs) -> None:
    url = sqs.create("orders")
    sqs.send(url, "old")
    sqs.wait(345599)
    assert sqs.counts(url) == (1, 0, 0)
    sqs.wait(1)
    assert sqs.counts(url) == (0, 0, 0)
    sqs.send(url, "a")
    sqs.wait(100)
    sqs.send(url, "b")
    sqs.call("SetQueueAttributes", QueueUrl=url, Attributes={"MessageRetentionPeriod": "60"})
    assert sqs.bodies(url) == ["b"]
    sqs.wait(60)
    assert sqs.counts(url) == (0, 0, 0)


@pytest.mark.behaviour("A65", "A66")
def test_purge(sqs: Sqs) -> None:
    url = sqs.create("orders")
    sqs.send(url, "a", "b")
    sqs.send(url, "c", DelaySeconds=9)
    sqs.receive(url, 1)
    sqs.call("PurgeQueue", QueueUrl=url)
    assert sqs.counts(url) == (0, 0, 0)
    problem = sqs.refusal("PurgeQueue", QueueUrl=url)
    assert problem.status == 403
    assert problem.message == "Only one PurgeQueue operation on orders is allowed every 60 seconds."
    sqs.wait(60)
    sqs.call("PurgeQueue", QueueUrl=url)


# ---- dead letters


@pytest.mark.behaviour("A68", "A69", "A71")
def test_the_receive_past_the_limit_moves_the_message(sqs: Sqs) -> None:
    dead = sqs.create("dead")
    url = sqs.create("orders", RedrivePolicy=redrive("dead", 2), VisibilityTimeout="10")
    sqs.send(url, "poison")
    for _ in range(2):
        assert sqs.bodies(url) == ["poison"]
        sqs.wait(10)
    sqs.wait(1000)
    assert sqs.counts(dead) == (0, 0, 0)
    assert sqs.bodies(url) == []
    (message,) = sqs.receive(dead)
    assert message["Attributes"]["ApproximateReceiveCount"] == "3"
    assert sqs.metrics.of("NumberOfMessagesSent", "dead") == []


@pytest.mark.behaviour("A70", "A72", "A73")
def test_a_chain_of_dead_letter_queues(sqs: Sqs) -> None:
    urls = [sqs.create("q3")]
    for name, target in (("q2", "q3"), ("q1", "q2")):
        urls.insert(0, sqs.create(name, RedrivePolicy=redrive(target, 1), VisibilityTimeout="0"))
    attributes = {"k": {"DataType": "Binary", "BinaryValue": b"\x00"}}
    sent = sqs.send(urls[0], "poison", MessageAttributes=attributes)[0]
    assert sqs.bodies(urls[0]) == ["poison"]
    assert sqs.bodies(urls[0]) == []
    assert sqs.bodies(urls[1]) == ["poison"]
    assert sqs.bodies(urls[1]) == []
    (message,) = sqs.receive(urls[2], MessageAttributeNames=["All"])
    assert message["MessageId"] == sent["MessageId"]
    assert message["MessageAttributes"] == attributes
    assert message["Attributes"]["ApproximateReceiveCount"] == "3"
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == sqs.queue("q2").arn


@pytest.mark.behaviour("A74", "B29")
@pytest.mark.parametrize("suffix", ["", ".fifo"])
def test_retention_goes_on_in_a_standard_dead_letter_queue_and_begins_again_in_a_fifo_one(
    sqs: Sqs, suffix: str
) -> None:
    dead = sqs.create(f"dead{suffix}", MessageRetentionPeriod="1000")
    url = sqs.create(f"orders{suffix}", RedrivePolicy=redrive(f"dead{suffix}", 1), VisibilityTimeout="0")
    fifo = {"MessageGroupId": "g", "MessageDeduplicationId": "d"} if suffix else {}
    sqs.send(url, "poison", **fifo)
    sqs.wait(600)
    sqs.receive(url)
    sqs.receive(url)
    assert sqs.counts(dead) == (1, 0, 0)
    sqs.wait(500)
    assert sqs.counts(dead) == ((1, 0, 0) if suffix else (0, 0, 0))


def test_a_dead_letter_serves_who_waits_for_it(sqs: Sqs) -> None:
    dead = sqs.create("dead")
    url = sqs.create("orders", RedrivePolicy=redrive("dead", 1), VisibilityTimeout="0")
    later = sqs.call("ReceiveMessage", QueueUrl=dead, WaitTimeSeconds=20)
    sqs.send(url, "poison")
    sqs.receive(url)
    assert not later.wait(0)
    sqs.receive(url)
    assert later.get()["Messages"][0]["Body"] == "poison"


# ---- move tasks


@pytest.mark.behaviour("A76", "A81", "A83")
def test_a_move_task_brings_messages_back_to_their_sources(sqs: Sqs) -> None:
    dead = sqs.create("dead")
    url = sqs.create("orders", RedrivePolicy=redrive("dead", 1))
    sqs.send(url, *"abcd")
    before = {message["MessageId"] for message in sqs.receive(url)}
    sqs.wait(30)
    sqs.receive(url)
    arn = sqs.queue("dead").arn
    sqs.call("StartMessageMoveTask", SourceArn=arn, MaxNumberOfMessagesPerSecond=1)
    sqs.wait(2.5)
    (task,) = sqs.call("ListMessageMoveTasks", SourceArn=arn)["Results"]
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"], task["ApproximateNumberOfMessagesToMove"]) == (
        "RUNNING",
        2,
        4,
    )
    sqs.wait(2)
    (task,) = sqs.call("ListMessageMoveTasks", SourceArn=arn)["Results"]
    assert task["Status"] == "COMPLETED"
    assert "TaskHandle" not in task
    after = sqs.receive(url)
    assert [message["Body"] for message in after] == list("abcd")
    assert all(message["Attributes"]["ApproximateReceiveCount"] == "1" for message in after)
    assert not before & {message["MessageId"] for message in after}
    assert sqs.counts(dead) == (0, 0, 0)


@pytest.mark.behaviour("A77", "A78", "A79")
def test_move_tasks_that_are_refused(sqs: Sqs) -> None:
    dead = sqs.create("dead")
    arn = sqs.queue("dead").arn
    assert sqs.refusal("StartMessageMoveTask", SourceArn=arn).message == (
        "Source queue must be configured as a Dead Letter Queue."
    )
    sqs.create("orders", RedrivePolicy=redrive("dead", 1))
    problem = sqs.refusal("StartMessageMoveTask", SourceArn=arn, DestinationArn=f"{arn}-missing")
    assert (problem.status, problem.message) == (
        404,
        "The resource that you specified for the DestinationArn parameter doesn't exist.",
    )
    sqs.send(dead, "a")
    sqs.call("StartMessageMoveTask", SourceArn=arn)
    assert sqs.refusal("StartMessageMoveTask", SourceArn=arn).message == (
        "There is already a task running. Only one active task is allowed for a source queue arn at a given time."
    )


@pytest.mark.behaviour("A80", "A81", "A82")
def test_move_tasks_end_early(sqs: Sqs) -> None:
    dead = sqs.create("dead")
    sqs.create("orders", RedrivePolicy=redrive("dead", 1))
    target = sqs.create("target")
    sqs.send(dead, *"abc")
    arn, rate = sqs.queue("dead").arn, {"MaxNumberOfMessagesPerSecond": 1}
    handle = sqs.call("StartMessageMoveTask", SourceArn=arn, DestinationArn=sqs.queue("target").arn, **rate)[
        "TaskHandle"
    ]
    sqs.wait(1.5)
    assert sqs.call("CancelMessageMoveTask", TaskHandle=handle) == {"ApproximateNumberOfMessagesMoved": 1}
    sqs.wait(1)
    sqs.call("StartMessageMoveTask", SourceArn=arn, DestinationArn=sqs.queue("target").arn)
    sqs.call("DeleteQueue", QueueUrl=target)
    sqs.wait(1)
    newest, oldest = sqs.call("ListMessageMoveTasks", SourceArn=arn, MaxResults=10)["Results"]
    assert oldest["Status"] == "CANCELLED"
    assert (newest["Status"], newest["FailureReason"]) == ("FAILED", "AWS.SimpleQueueService.NonExistentQueue")
    assert sqs.refusal("CancelMessageMoveTask", TaskHandle="x").message == "Value for parameter TaskHandle is invalid."


# ---- FIFO


@pytest.mark.behaviour("B3", "B4", "B5")
def test_what_a_fifo_message_must_have(sqs: Sqs) -> None:
    url = sqs.create("o.fifo")
    text = "The request must contain the parameter MessageGroupId."
    problem = sqs.refusal("SendMessage", QueueUrl=url, MessageBody="b")
    assert (problem.query_code, problem.message) == ("MissingParameter", text)
    problem = sqs.refusal("SendMessageBatch", QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "b"}])
    assert (problem.query_code, problem.message) == ("InvalidParameterValue", text)
    assert sqs.refusal("SendMessage", QueueUrl=url, MessageBody="b", MessageGroupId="g").message == (
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
    )


@pytest.mark.behaviour("B1", "B2", "B7")
def test_what_a_fifo_queue_refuses(sqs: Sqs) -> None:
    url = sqs.create("o.fifo", ContentBasedDeduplication="true")
    sqs.call("SetQueueAttributes", QueueUrl=url, Attributes={"FifoQueue": "true"})
    problem = sqs.refusal("SetQueueAttributes", QueueUrl=url, Attributes={"FifoQueue": "false"})
    assert problem.message == (
        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported."
    )
    problem = sqs.refusal("SendMessage", QueueUrl=url, MessageBody="b", MessageGroupId="g", DelaySeconds=2)
    assert problem.message == (
        "Value 2 for parameter DelaySeconds is invalid. "
        "Reason: The request include parameter that is not valid for this queue type."
    )


@pytest.mark.behaviour("B9", "B10", "B11")
def test_duplicates_are_dropped_for_five_minutes_even_after_deletion(sqs: Sqs) -> None:
    url = sqs.create("o.fifo", ContentBasedDeduplication="true")
    (first,) = sqs.send(url, "b", MessageGroupId="g")
    (message,) = sqs.receive(url)
    assert len(message["Attributes"]["MessageDeduplicationId"]) == 64
    assert message["Attributes"]["SequenceNumber"] == first["SequenceNumber"]
    sqs.call("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    sqs.wait(299)
    (again,) = sqs.send(url, "b", MessageGroupId="other")
    assert again["MessageId"] == first["MessageId"]
    assert sqs.counts(url) == (0, 0, 0)
    assert sqs.metrics.of("NumberOfDeduplicatedSentMessages", "o.fifo") == [1]
    sqs.wait(1)
    (new,) = sqs.send(url, "b", MessageGroupId="g")
    assert sqs.counts(url) == (1, 0, 0)
    assert len(new["SequenceNumber"]) == 20
    assert int(new["SequenceNumber"]) > int(first["SequenceNumber"])


@pytest.mark.behaviour("B12", "B13")
def test_the_scope_of_deduplication(sqs: Sqs) -> None:
    for scope, count in (("queue", 1), ("messageGroup", 2)):
        url = sqs.create(f"{scope}.fifo", DeduplicationScope=scope)
        for group in "gh":
            sqs.send(url, "b", MessageGroupId=group, MessageDeduplicationId="same")
        assert sqs.counts(url) == (count, 0, 0)


@pytest.fixture
def groups(sqs: Sqs) -> str:
    """Make a FIFO queue with four messages of one group and two of another."""
    url = sqs.create("o.fifo", ContentBasedDeduplication="true")
    for body in ("g1-m1", "g1-m2", "g1-m3", "g2-m1", "g1-m4", "g2-m2"):
        sqs.send(url, body, MessageGroupId=body[:2])
    return url


@pytest.mark.behaviour("B17", "B18", "B19")
def test_a_group_is_locked_while_one_of_it_is_in_flight(sqs: Sqs, groups: str) -> None:
    first = sqs.receive(groups, 2)
    assert [message["Body"] for message in first] == ["g1-m1", "g1-m2"]
    assert sqs.bodies(groups) == ["g2-m1", "g2-m2"]
    sqs.call("DeleteMessage", QueueUrl=groups, ReceiptHandle=first[0]["ReceiptHandle"])
    assert sqs.bodies(groups) == []
    sqs.call("DeleteMessage", QueueUrl=groups, ReceiptHandle=first[1]["ReceiptHandle"])
    assert sqs.bodies(groups) == ["g1-m3", "g1-m4"]


@pytest.mark.behaviour("B17", "B20")
def test_a_group_comes_back_in_order(sqs: Sqs, groups: str) -> None:
    assert sqs.bodies(groups, 2) == ["g1-m1", "g1-m2"]
    sqs.wait(30)
    assert sorted(sqs.bodies(groups)) == ["g1-m1", "g1-m2", "g1-m3", "g1-m4", "g2-m1", "g2-m2"]


@pytest.mark.behaviour("B21")
@pytest.mark.parametrize("position", [0, 1, 2])
def test_an_extended_message_holds_back_what_is_behind_it(sqs: Sqs, position: int) -> None:
    url = sqs.create("o.fifo", ContentBasedDeduplication="true")
    sqs.send(url, "1", "2", "3", "4", MessageGroupId="g")
    messages = sqs.receive(url, 3)
    handle = messages[position]["ReceiptHandle"]
    sqs.call("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=100)
    sqs.wait(30)
    assert sqs.bodies(url, VisibilityTimeout=0) == ["1", "2", "3"][:position]
    sqs.wait(70)
    assert sqs.bodies(url) == ["1", "2", "3", "4"]


@pytest.mark.behaviour("B22", "B23")
def test_a_fifo_handle_expires(sqs: Sqs, groups: str) -> None:
    one, two = (message["ReceiptHandle"] for message in sqs.receive(groups, 2))
    sqs.call("ChangeMessageVisibility", QueueUrl=groups, ReceiptHandle=one, VisibilityTimeout=60)
    sqs.wait(31)
    sqs.call("DeleteMessage", QueueUrl=groups, ReceiptHandle=one)
    problem = sqs.refusal("DeleteMessage", QueueUrl=groups, ReceiptHandle=two)
    assert (
        problem.message
        == f"Value {two} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
    )


@pytest.mark.behaviour("B24")
def test_a_repeated_attempt_gets_the_same_messages(sqs: Sqs, groups: str) -> None:
    first = sqs.receive(groups, 2, ReceiveRequestAttemptId="try")
    sqs.wait(20)
    again = sqs.receive(groups, 2, ReceiveRequestAttemptId="try", WaitTimeSeconds=1)
    assert again == first
    sqs.wait(20)
    assert sqs.counts(groups) == (4, 2, 0)
    sqs.call("DeleteMessage", QueueUrl=groups, ReceiptHandle=first[0]["ReceiptHandle"])
    assert sqs.bodies(groups, ReceiveRequestAttemptId="try") == ["g2-m1", "g2-m2"]


@pytest.mark.behaviour("B8")
def test_the_delay_of_a_fifo_queue_keeps_the_order(sqs: Sqs) -> None:
    url = sqs.create("o.fifo", ContentBasedDeduplication="true", DelaySeconds="10")
    sqs.send(url, "a", MessageGroupId="g", DelaySeconds=0)
    sqs.wait(5)
    sqs.send(url, "b", MessageGroupId="g")
    assert sqs.counts(url) == (0, 0, 2)
    sqs.wait(5)
    assert sqs.bodies(url, VisibilityTimeout=0) == ["a"]
    sqs.wait(5)
    assert sqs.bodies(url) == ["a", "b"]


@pytest.mark.behaviour("B28", "B30")
def test_a_group_goes_on_when_its_poison_is_dead_lettered(sqs: Sqs) -> None:
    dead = sqs.create("dead.fifo")
    url = sqs.create(
        "o.fifo", ContentBasedDeduplication="true", RedrivePolicy=redrive("dead.fifo", 1), VisibilityTimeout="5"
    )
    (sent, *_) = sqs.send(url, "poison", "good", MessageGroupId="g")
    assert sqs.bodies(url, 1) == ["poison"]
    assert sqs.bodies(url) == []
    sqs.wait(5)
    assert sqs.bodies(url) == ["good"]
    (message,) = sqs.receive(dead)
    assert message["Attributes"]["MessageDeduplicationId"] == sent["MessageId"]
    assert message["Attributes"]["MessageGroupId"] == "g"


# ---- the line, as pollers use it


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


# ---- metrics


@pytest.mark.behaviour("F5", "F6", "F7")
def test_metrics_of_calls(sqs: Sqs) -> None:
    url = sqs.create("orders")
    sqs.call("SendMessageBatch", QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": "xy"} for n in range(3)])
    for message in sqs.receive(url):
        sqs.call("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    sqs.receive(url)
    figures = {name: sum(sqs.metrics.of(name, "orders")) for name, *_ in sqs.metrics.samples}
    assert figures == {
        "NumberOfMessagesSent": 3,
        "SentMessageSize": 6,
        "NumberOfMessagesReceived": 3,
        "NumberOfMessagesDeleted": 3,
        "NumberOfEmptyReceives": 1,
    }


@pytest.mark.behaviour("F1", "F3", "F14")
def test_gauges_of_a_minute(sqs: Sqs) -> None:
    url = sqs.create("orders", VisibilityTimeout="0")

    def minute() -> dict[str, float]:
        sqs.metrics.samples.clear()
        start = sqs.clock.now() - 60
        sqs.metrics.listeners[0](start)
        assert all(at == start for *_, at in sqs.metrics.samples)
        return {name.removeprefix("Approximate"): value for name, _, value, _ in sqs.metrics.samples}

    assert minute() == {"NumberOfMessagesVisible": 0}
    sqs.send(url, "first")
    sqs.wait(50)
    sqs.send(url, "second", DelaySeconds=100)
    assert minute() == {"NumberOfMessagesVisible": 1, "NumberOfMessagesDelayed": 1, "AgeOfOldestMessage": 50}
    for _ in range(3):
        (message,) = sqs.receive(url)
    assert 0 <= minute()["AgeOfOldestMessage"] < 50
    sqs.call("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    sqs.wait(100)
    sqs.receive(url, VisibilityTimeout=7200)
    assert minute()["NumberOfMessagesNotVisible"] == 1
    sqs.call("PurgeQueue", QueueUrl=url)
    sqs.wait(6 * 3600 - 1)
    assert minute() == {"NumberOfMessagesVisible": 0}
    sqs.wait(10)
    assert minute() == {}


@pytest.mark.behaviour("F11")
def test_groups_in_flight(sqs: Sqs, groups: str) -> None:
    handles = [message["ReceiptHandle"] for message in sqs.receive(groups)]
    queue = sqs.queue("o.fifo")
    name = "ApproximateNumberOfGroupsWithInflightMessages"
    queue.gauge(sqs.clock.now() - 60)
    for handle in handles:
        sqs.call("DeleteMessage", QueueUrl=groups, ReceiptHandle=handle)
    queue.gauge(sqs.clock.now() - 60)
    assert sqs.metrics.of(name, "o.fifo") == [2, 0]


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
def test_the_cost_of_a_receive_does_not_grow_with_the_depth(sqs: Sqs, name: str) -> None:
    def cost(depth: int) -> float:
        url = sqs.create(f"d{depth}{name}", **({"ContentBasedDeduplication": "true"} if "." in name else {}))
        queue = sqs.queue(f"d{depth}{name}")
        while queue.held < depth:
            group = {"MessageGroupId": f"g{queue.held % 97}"} if "." in name else {}
            sqs.send(url, f"{queue.held}", **group)
        best = float("inf")
        for _ in range(10):
            begun = time.perf_counter()
            for _ in range(5):
                for message in queue.receive(1):
                    queue.delete(message.receipt_handle)
            best = min(best, time.perf_counter() - begun)
        return best

    # The bound is wide because other tests may run on the same cores.
    assert cost(20_000) < 3 * cost(100)
