"""Standard queues: names and attributes, sending, receiving, visibility, deleting; and the old query protocol."""

from __future__ import annotations

import hashlib
import json
import xml.etree.ElementTree as ET
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .conftest import Aws
from .sqs import PREFIX, Polling, attributes, bodies, entries, invalid, name_of, receive, refusal, send, states
from .test_frontdoor import send as send_http

BAD_NAME = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
SHORTER = "Message must be shorter than {} bytes."
MOST = 1_048_576


def text(value: str) -> dict[str, Any]:
    """Return a message attribute of type String."""
    return {"DataType": "String", "StringValue": value}


# ---- queues and attributes


@pytest.mark.behaviour("A1")
def test_names(aws: Aws) -> None:
    client = aws.client("sqs")
    for name in ("a.b", "x" * 81, "größe", "a b", "a.fifo"):
        refused = refusal(client.create_queue, QueueName=name)
        assert refused[:2] == ("InvalidParameterValue", BAD_NAME)
    longest = aws.name("A_b-").ljust(80, "x")
    url = client.create_queue(QueueName=longest)["QueueUrl"]
    assert name_of(url) == longest
    assert client.get_queue_url(QueueName=longest)["QueueUrl"] == url
    assert refusal(client.get_queue_url, QueueName=longest.lower()).modelled == "QueueDoesNotExist"
    assert refusal(client.send_message, QueueUrl=url.lower(), MessageBody="x").modelled == "QueueDoesNotExist"


@pytest.mark.behaviour("A2", "A3")
def test_a_fresh_queue_has_exactly_the_documented_attributes(aws: Aws) -> None:
    start = aws.now()
    url = aws.queue()
    shown = attributes(aws, url)
    for name in ("CreatedTimestamp", "LastModifiedTimestamp"):
        assert start - 1 <= int(shown.pop(name)) <= start + 60
    assert shown == {
        "ApproximateNumberOfMessages": "0",
        "ApproximateNumberOfMessagesDelayed": "0",
        "ApproximateNumberOfMessagesNotVisible": "0",
        "DelaySeconds": "0",
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "QueueArn": f"arn:aws:sqs:us-east-1:{aws.info.account}:{name_of(url)}",
        "ReceiveMessageWaitTimeSeconds": "0",
        "SqsManagedSseEnabled": "true",
        "VisibilityTimeout": "30",
    }
    assert "Attributes" not in aws.client("sqs").get_queue_attributes(QueueUrl=url)


RANGES = {
    "VisibilityTimeout": (0, 43_200),
    "MessageRetentionPeriod": (60, 1_209_600),
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1_024, 1_048_576),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
}


def check_range(aws: Aws, name: str) -> None:
    """Check that a queue takes both ends of an attribute's range, and nothing beyond."""
    client = aws.client("sqs")
    low, high = RANGES[name]
    attribute: dict[str, Any] = {name: low}
    url = aws.queue(**attribute)
    assert attributes(aws, url, name) == {name: str(low)}
    client.set_queue_attributes(QueueUrl=url, Attributes={name: str(high)})
    for value in (low - 1, high + 1, "x", "1.5", "6_0", " 60", "٦٠", ""):
        expected = ("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
        bad = {name: str(value)}
        assert refusal(client.set_queue_attributes, QueueUrl=url, Attributes=bad)[:2] == expected
        assert refusal(client.create_queue, QueueName=aws.name(), Attributes=bad)[:2] == expected
    assert attributes(aws, url, name) == {name: str(high)}


@pytest.mark.behaviour("A4", "A5", "A6")
@pytest.mark.parametrize("name", ["VisibilityTimeout", "MessageRetentionPeriod", "DelaySeconds"])
def test_ranges_of_times(aws: Aws, name: str) -> None:
    check_range(aws, name)


@pytest.mark.behaviour("A7", "A8")
@pytest.mark.parametrize("name", ["MaximumMessageSize", "ReceiveMessageWaitTimeSeconds"])
def test_ranges_of_size_and_wait(aws: Aws, name: str) -> None:
    check_range(aws, name)


@pytest.mark.behaviour("A9", "A10")
def test_creating_a_queue_again(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue(DelaySeconds=5)
    name = name_of(url)
    assert client.create_queue(QueueName=name, Attributes={"DelaySeconds": "5"})["QueueUrl"] == url
    assert client.create_queue(QueueName=name)["QueueUrl"] == url
    assert refusal(client.create_queue, QueueName=name, Attributes={"DelaySeconds": "6"}) == (
        "QueueAlreadyExists",
        "A queue already exists with the same name and a different value for attribute DelaySeconds",
        400,
        "QueueNameExists",
    )


@pytest.mark.behaviour("A11", "A12", "A13")
def test_a_queue_is_made_and_deleted_at_once_and_its_name_is_blocked_for_a_minute(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue()
    send(aws, url, "one", "two")
    assert len(receive(aws, url, 1)) == 1
    client.delete_queue(QueueUrl=url)
    assert refusal(client.send_message, QueueUrl=url, MessageBody="x").modelled == "QueueDoesNotExist"
    assert refusal(client.create_queue, QueueName=name_of(url)) == (
        PREFIX + "QueueDeletedRecently",
        "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
        400,
        "QueueDeletedRecently",
    )
    aws.advance(60)
    assert client.create_queue(QueueName=name_of(url))["QueueUrl"] == url
    assert states(aws, url) == (0, 0, 0)


@pytest.mark.behaviour("A14", "A15")
def test_an_unknown_queue(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue() + "-unknown"
    with pytest.raises(client.exceptions.QueueDoesNotExist) as refused:
        client.receive_message(QueueUrl=url)
    assert refused.value.response["Error"] == {
        "Code": "AWS.SimpleQueueService.NonExistentQueue",
        "Message": "The specified queue does not exist.",
        "QueryErrorCode": "QueueDoesNotExist",
        "Type": "Sender",
    }
    metadata = refused.value.response["ResponseMetadata"]
    assert metadata["HTTPStatusCode"] == 400
    assert metadata["HTTPHeaders"]["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"
    assert refusal(client.get_queue_url, QueueName=name_of(url))[:3] == (
        PREFIX + "NonExistentQueue",
        "The specified queue does not exist.",
        400,
    )


@pytest.mark.behaviour("A16", "B2")
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("FifoQueue", "false", "Unknown Attribute FifoQueue."),
        ("FifoQueue", "true", "Unknown Attribute FifoQueue."),
        ("ContentBasedDeduplication", "true", "Unknown Attribute ContentBasedDeduplication."),
        (
            "DeduplicationScope",
            "queue",
            "You can specify the DeduplicationScope only when FifoQueue is set to true.",
        ),
        (
            "FifoThroughputLimit",
            "perQueue",
            "You can specify the FifoThroughputLimit only when FifoQueue is set to true.",
        ),
        ("QueueArn", "arn", "Unknown Attribute QueueArn."),
        ("Nonsense", "1", "Unknown Attribute Nonsense."),
    ],
)
def test_attributes_that_a_standard_queue_does_not_have(aws: Aws, name: str, value: str, expected: str) -> None:
    client = aws.client("sqs")
    change = {"QueueUrl": aws.queue(), "Attributes": {name: value}}
    assert refusal(client.set_queue_attributes, **change)[:2] == ("InvalidAttributeName", expected)
    if (name, value) != ("FifoQueue", "true"):
        made = refusal(client.create_queue, QueueName=aws.name(), Attributes={name: value})
        assert made[:2] == ("InvalidAttributeName", expected)


@pytest.mark.behaviour("A23")
def test_list_queues_pages_only_when_asked_to(aws: Aws) -> None:
    client = aws.client("sqs")
    prefix = aws.name("list")
    assert "QueueUrls" not in client.list_queues(QueueNamePrefix=prefix)
    urls = [client.create_queue(QueueName=f"{prefix}-{number}")["QueueUrl"] for number in range(3)]
    answer = client.list_queues(QueueNamePrefix=prefix)
    assert answer["QueueUrls"] == urls
    assert "NextToken" not in answer
    first = client.list_queues(QueueNamePrefix=prefix, MaxResults=2)
    rest = client.list_queues(QueueNamePrefix=prefix, MaxResults=2, NextToken=first["NextToken"])
    assert first["QueueUrls"] + rest["QueueUrls"] == urls
    assert "NextToken" not in rest


@pytest.mark.behaviour("A24")
def test_tags(aws: Aws) -> None:
    client = aws.client("sqs")
    url = client.create_queue(QueueName=aws.name(), tags={"team": "a", "Team": "b"})["QueueUrl"]
    client.tag_queue(QueueUrl=url, Tags={"team": "c", "more": ""})
    client.untag_queue(QueueUrl=url, TagKeys=["Team", "unknown"])
    assert client.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "c", "more": ""}
    expected = ("InvalidParameterValue", "Tag keys must be between 1 and 128 characters in length.")
    assert refusal(client.tag_queue, QueueUrl=url, Tags={"": "x"})[:2] == expected
    assert "Tags" not in client.list_queue_tags(QueueUrl=aws.queue())


@pytest.mark.behaviour("A24")
def test_tags_at_creation_need_a_right_of_their_own(aws: Aws) -> None:
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    right = {"Effect": "Allow", "Action": "sqs:CreateQueue", "Resource": "*"}
    documents = [{"Version": "2012-10-17", "Statement": [statement]} for statement in (trust, right)]
    role = aws.role(trust=documents[0], policy=documents[1])
    keys = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    client = aws.client(
        "sqs",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    name = aws.name()
    refused = refusal(client.create_queue, QueueName=name, tags={"team": "a"})
    assert refused.code == "AccessDenied"
    assert "sqs:tagqueue" in refused.text
    assert name_of(client.create_queue(QueueName=name)["QueueUrl"]) == name


@pytest.mark.behaviour("A25")
def test_one_encryption_at_a_time(aws: Aws) -> None:
    client = aws.client("sqs")
    names = ("SqsManagedSseEnabled", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds")
    url = aws.queue(KmsMasterKeyId="alias/aws/sqs")
    assert attributes(aws, url, *names) == dict(zip(names, ("false", "alias/aws/sqs", "300"), strict=True))
    both = {"KmsMasterKeyId": "alias/aws/sqs", "SqsManagedSseEnabled": "true"}
    assert refusal(client.set_queue_attributes, QueueUrl=url, Attributes=both)[:2] == (
        "InvalidAttributeName",
        "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.",
    )
    for period in ("59", "86401"):
        change = {"KmsDataKeyReusePeriodSeconds": period}
        refused = refusal(client.set_queue_attributes, QueueUrl=url, Attributes=change)
        assert refused.text == "Invalid value for the parameter KmsDataKeyReusePeriodSeconds."
    client.set_queue_attributes(QueueUrl=url, Attributes={"SqsManagedSseEnabled": "true"})
    assert attributes(aws, url, *names) == {"SqsManagedSseEnabled": "true"}


@pytest.mark.behaviour("A26", "A27")
def test_permissions_come_and_go(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue()
    grant = {"QueueUrl": url, "Label": "L", "AWSAccountIds": [aws.info.account], "Actions": ["SendMessage"]}
    client.add_permission(**grant)
    (statement,) = json.loads(attributes(aws, url)["Policy"])["Statement"]
    assert statement == {
        "Sid": "L",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{aws.info.account}:root"},
        "Action": "SQS:SendMessage",
        "Resource": aws.queue_arn(url),
    }
    assert refusal(client.add_permission, **grant)[:3] == (*invalid("L", "Label", "Already exists."), 400)
    eight = {**grant, "Label": "M", "Actions": [*["SendMessage"] * 7, "ReceiveMessage"]}
    assert refusal(client.add_permission, **eight)[:3] == (
        "OverLimit",
        "8 Actions were found, maximum allowed is 7.",
        403,
    )
    nobody = refusal(client.add_permission, **{**grant, "AWSAccountIds": ["1"], "Label": "M"})
    assert nobody[:2] == invalid("[1]", "PrincipalId", "Unable to verify.")
    client.remove_permission(QueueUrl=url, Label="L")
    refused = refusal(client.remove_permission, QueueUrl=url, Label="L")
    assert refused[:3] == (*invalid("L", "Label", "can't find label."), 400)
    assert "Policy" not in attributes(aws, url)


@pytest.mark.behaviour("A24", "A27")
def test_policies_have_their_limits(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue()

    def policy(statements: int = 1, **parts: Any) -> str:
        statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*", **parts}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement] * statements})

    def accounts(number: int) -> dict[str, list[str]]:
        return {"AWS": [f"{account:012}" for account in range(1, number + 1)]}

    def conditions(number: int) -> dict[str, dict[str, str]]:
        return {"StringEquals": {f"aws:RequestTag/{key}": "x" for key in range(number)}}

    for sound in (
        policy(20),
        policy(Principal=accounts(50)),
        policy(Condition=conditions(10)),
        policy(Action=["sqs:SendMessage"] * 7),
        policy(Principal={"AWS": aws.role()}),
    ):
        client.set_queue_attributes(QueueUrl=url, Attributes={"Policy": sound})

    def refused(bad: str) -> tuple[str, str]:
        return refusal(client.set_queue_attributes, QueueUrl=url, Attributes={"Policy": bad})[:2]

    for text, bad in (
        ("21 statements were found in the submitted policy, max allowed is 20", policy(21)),
        ("51 principals were found in the submitted policy, max allowed is 50", policy(Principal=accounts(51))),
        ("11 conditions were found in the submitted policy, max allowed is 10", policy(Condition=conditions(11))),
        (
            "10 actions were found in a statement from the submitted policy, max allowed is 7",
            policy(Action=["sqs:SendMessage"] * 10),
        ),
        ("Submitted policy is over max allowed size.", policy(Sid="x" * 8192)),
    ):
        assert refused(bad) == ("OverLimit", text)
    nobody = {"AWS": f"arn:aws:iam::{aws.info.account}:role/no-such-role"}
    for bad in ("{}", "no", "[" * 100_000, policy(Effect="Perhaps"), policy(Principal=nobody)):
        assert refused(bad) == ("InvalidAttributeValue", "Invalid value for the parameter Policy.")


# ---- sending


@pytest.mark.behaviour("A32", "A36", "A37")
def test_digests_of_a_sent_message(aws: Aws) -> None:
    url = aws.queue()
    (plain,) = send(aws, url, "größe 🎉")
    del plain["ResponseMetadata"]
    assert plain.keys() == {"MessageId", "MD5OfMessageBody"}
    assert plain["MD5OfMessageBody"] == hashlib.md5("größe 🎉".encode()).hexdigest()
    sample = {
        "WeeksOn": {"DataType": "Number", "StringValue": "6"},
        "Title": text("The Whistler"),
        "Author": text("John Grisham"),
    }
    (sent,) = send(aws, url, "test", MessageAttributes=sample)
    assert sent["MD5OfMessageBody"] == "098f6bcd4621d373cade4e832627b4f6"
    assert sent["MD5OfMessageAttributes"] == "d25a6aea97eb8f585bfa92d314504a92"
    assert "SequenceNumber" not in sent


@pytest.mark.behaviour("A28", "A29")
def test_sizes(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue()
    own = {"MessageAttributes": {"name": text("value")}}
    trace = {"MessageSystemAttributes": {"AWSTraceHeader": text("Root=1-2-3")}}
    room = MOST - len("name" + "String" + "value")
    send(aws, url, "x" * MOST, **trace)
    send(aws, url, "x" * room, **own)
    for body, params in (("x" * (MOST + 1), {}), ("ü" * (MOST // 2) + "x", {}), ("x" * (room + 1), own)):
        assert refusal(client.send_message, QueueUrl=url, MessageBody=body, **params) == (
            "InvalidParameterValue",
            f"One or more parameters are invalid. Reason: {SHORTER.format(MOST)}",
            400,
            "InvalidParameterValueException",
        )
    client.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "1024"})
    assert SHORTER.format(1024) in refusal(client.send_message, QueueUrl=url, MessageBody="x" * 1025).text
    send(aws, url, "x" * 1024)


@pytest.mark.behaviour("A30", "A31")
def test_bodies_that_are_refused(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue()
    assert refusal(client.send_message, QueueUrl=url, MessageBody="") == (
        "MissingParameter",
        "The request must contain the parameter MessageBody.",
        400,
        "MissingRequiredParameterException",
    )
    for body in ("a\x00", "a\x01", "\x0b", "\ufffe", "\uffff", "\ud800"):
        assert refusal(client.send_message, QueueUrl=url, MessageBody=body).code == "InvalidMessageContents"
    edges = "\t\n\r\x20\x7f\x80\ud7ff\ue000\ufffd\U00010000\U0010ffff"
    send(aws, url, edges)
    assert bodies(aws, url) == [edges]


@pytest.mark.behaviour("A33", "A86", "A92")
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DelaySeconds", -1, "DelaySeconds must be >= 0 and <= 900."),
        ("DelaySeconds", 901, "DelaySeconds must be >= 0 and <= 900."),
        *[
            (
                "MessageGroupId",
                value,
                "MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.",
            )
            for value in ("", "group 123", "x" * 129)
        ],
        (
            "MessageDeduplicationId",
            "d",
            "The request include parameter that is not valid for this queue type.",
        ),
    ],
)
def test_parameters_that_a_standard_queue_refuses(aws: Aws, name: str, value: Any, reason: str) -> None:
    refused = refusal(aws.client("sqs").send_message, QueueUrl=aws.queue(), MessageBody="b", **{name: value})
    assert refused[:3] == (*invalid(value, name, reason), 400)


@pytest.mark.behaviour("A34", "A35")
def test_message_attributes_that_are_refused(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue()
    sound = {"x" * 256: text("x"), "a.b-c_1": {"DataType": "Number.int", "StringValue": "-1.5e3"}}
    sound |= {f"n{number}": {"DataType": "Binary.gif", "BinaryValue": b"\x00"} for number in range(8)}
    send(aws, url, "b", MessageAttributes=sound)

    def refused(given: dict[str, Any]) -> str:
        answer = refusal(client.send_message, QueueUrl=url, MessageBody="b", MessageAttributes=given)
        assert answer.code == "InvalidParameterValue"
        return answer.text

    for name in ("aws.x", "AMAZON.x", ".a", "a.", "a..b", "a b", "x" * 257):
        assert name in refused({name: text("x")})
    assert "[11]" in refused({**sound, "eleventh": text("x")})
    assert "number" in refused({"n": {"DataType": "Number", "StringValue": "six"}})
    assert refused({"ErrorDetails": text("")}) == (
        "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'."
    )
    assert refused({"bad": {"DataType": "Text", "StringValue": "x"}}) == (
        "The type of message (user) attribute 'bad' is invalid. You must use only the following supported type "
        "prefixes: Binary, Number, String."
    )


@pytest.mark.behaviour("A38", "A54", "A85")
def test_system_attributes_travel_with_the_message(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue()
    trace = {"AWSTraceHeader": text("Root=1-2-3;Parent=4;Sampled=1")}
    (sent,) = send(aws, url, "b", MessageSystemAttributes=trace, MessageGroupId="tenant")
    assert len(sent["MD5OfMessageSystemAttributes"]) == 32
    assert "SequenceNumber" not in sent
    send(aws, url, "c", MessageGroupId="tenant")
    message, other = receive(aws, url)
    assert message["Attributes"].keys() == {
        *("SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"),
        *("AWSTraceHeader", "MessageGroupId"),
    }
    assert message["Attributes"]["AWSTraceHeader"] == "Root=1-2-3;Parent=4;Sampled=1"
    assert message["Attributes"]["SenderId"] == aws.client("sts").get_caller_identity()["UserId"]
    # One group does not wait for itself: both are in flight at once.
    assert other["Attributes"]["MessageGroupId"] == "tenant"
    bad = {"Other": text("x")}
    refused = refusal(client.send_message, QueueUrl=url, MessageBody="b", MessageSystemAttributes=bad)
    assert refused.code == "InvalidParameterValue"


@pytest.mark.behaviour("A40", "A41", "A43")
@pytest.mark.parametrize("operation", ["send_message_batch", "delete_message_batch", "change_message_visibility_batch"])
def test_batches_that_are_refused_whole(aws: Aws, operation: str) -> None:
    call = getattr(aws.client("sqs"), operation)
    url = aws.queue()
    kind = "".join(word.title() for word in operation.split("_")) + "RequestEntry"
    own: dict[str, Any] = {"MessageBody": "b"} if "send" in operation else {"ReceiptHandle": "h"}
    own |= {"VisibilityTimeout": 1} if "visibility" in operation else {}

    def refused(*ids: str) -> tuple[str, str, int]:
        return refusal(call, QueueUrl=url, Entries=[{"Id": one, **own} for one in ids])[:3]

    assert refused(*map(str, range(20))) == (
        PREFIX + "TooManyEntriesInBatchRequest",
        "Maximum number of entries per request are 10. You have sent 20.",
        400,
    )
    for bad in ("a b", "", "x" * 81, "a.b"):
        assert refused("good", bad) == (
            PREFIX + "InvalidBatchEntryId",
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
            "It can be at most 80 letters long.",
            400,
        )
    assert refused("dup", "dup") == (PREFIX + "BatchEntryIdsNotDistinct", "Id dup repeated.", 400)
    assert refused() == (PREFIX + "EmptyBatchRequest", f"There should be at least one {kind} in the request.", 400)


@pytest.mark.behaviour("A39", "A42")
def test_a_batch_has_one_size_for_all(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue()
    half = "x" * (MOST // 2)
    ten = [*entries(half, half[:-8]), *({"Id": f"{'i' * 79}{n}", "MessageBody": "x"} for n in range(8))]
    assert len(client.send_message_batch(QueueUrl=url, Entries=ten)["Successful"]) == 10
    assert refusal(client.send_message_batch, QueueUrl=url, Entries=entries(half, half, "x")) == (
        PREFIX + "BatchRequestTooLong",
        "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.",
        400,
        "BatchRequestTooLong",
    )


@pytest.mark.behaviour("A44", "A45", "A46")
def test_a_batch_fails_in_part(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue(MaximumMessageSize=1024)
    answer = client.send_message_batch(QueueUrl=url, Entries=entries("good", "x" * 1025, "\x01", "", "also good"))
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert [entry["Id"] for entry in answer["Successful"]] == ["0", "4"]
    assert answer["Failed"][0] == {
        "Id": "1",
        "SenderFault": True,
        "Code": "InvalidParameterValue",
        "Message": f"One or more parameters cannot be validated. Reason: {SHORTER.format(1024)}",
    }
    assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in answer["Failed"][1:]] == [
        ("2", "InvalidMessageContents", True),
        ("3", "EmptyValue", True),
    ]
    assert "Failed" not in client.send_message_batch(QueueUrl=url, Entries=entries("good"))
    assert "Successful" not in client.send_message_batch(QueueUrl=url, Entries=entries("\x01"))
    assert bodies(aws, url) == ["good", "also good", "good"]


@pytest.mark.behaviour("A6", "A33")
def test_a_delay_holds_a_message_back(aws: Aws) -> None:
    url = aws.queue(DelaySeconds=30, VisibilityTimeout=100)
    send(aws, url, "queue's delay")
    send(aws, url, "own delay", DelaySeconds=10)
    send(aws, url, "none", DelaySeconds=0)
    assert states(aws, url) == (1, 0, 2)
    assert bodies(aws, url) == ["none"]
    aws.advance(9)
    assert bodies(aws, url) == []
    aws.advance(1)
    assert bodies(aws, url) == ["own delay"]
    aws.advance(20)
    assert bodies(aws, url) == ["queue's delay"]


# ---- receiving


@pytest.mark.behaviour("A47", "A48")
def test_receives_that_are_refused(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue()
    for name, values, reason in (
        ("MaxNumberOfMessages", (0, 11), "Must be between 1 and 10, if provided."),
        ("WaitTimeSeconds", (-1, 21), "Must be >= 0 and <= 20, if provided."),
    ):
        for value in values:
            refused = refusal(client.receive_message, QueueUrl=url, **{name: value})
            assert refused[:3] == (*invalid(value, name, reason), 400)
    client.send_message_batch(QueueUrl=url, Entries=entries(*"abc"))
    assert len(client.receive_message(QueueUrl=url)["Messages"]) == 1


@pytest.mark.behaviour("A49", "A52", "A53")
def test_a_receive_shows_what_it_is_asked_for(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue(VisibilityTimeout=0)
    empty = client.receive_message(QueueUrl=url)
    assert "Messages" not in empty
    assert empty["ResponseMetadata"]["HTTPStatusCode"] == 200
    own = {name: text(name) for name in ("bar.one", "bar.two", "foo")}
    send(aws, url, "b", MessageAttributes=own)

    def shown(**params: Any) -> dict[str, Any]:
        return dict(client.receive_message(QueueUrl=url, **params)["Messages"][0])

    assert shown().keys() == {"MessageId", "ReceiptHandle", "MD5OfBody", "Body"}
    assert shown(MessageAttributeNames=["bar.*"])["MessageAttributes"].keys() == {"bar.one", "bar.two"}
    for names in (["All"], [".*"], list(own)):
        assert shown(MessageAttributeNames=names)["MessageAttributes"] == own
    assert "MessageAttributes" not in shown(MessageAttributeNames=["fo", "ba*"])
    for parameter in ("MessageSystemAttributeNames", "AttributeNames"):
        one = shown(**{parameter: ["SenderId"]})
        assert one["Attributes"].keys() == {"SenderId"}
        assert len(shown(**{parameter: ["All"]})["Attributes"]) == 4


@pytest.mark.behaviour("A55", "A56", "A57")
def test_a_message_comes_back_until_it_is_deleted(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue()
    start = aws.now()
    send(aws, url, "one")
    aws.advance(5)
    (first,) = receive(aws, url)
    assert states(aws, url) == (0, 1, 0)
    aws.advance(29)
    assert bodies(aws, url) == []
    aws.advance(1)
    (second,) = receive(aws, url)
    assert second["MessageId"] == first["MessageId"]
    assert second["ReceiptHandle"] != first["ReceiptHandle"]
    assert [message["Attributes"]["ApproximateReceiveCount"] for message in (first, second)] == ["1", "2"]
    for message in (first, second):
        stamps = [message["Attributes"][name] for name in ("SentTimestamp", "ApproximateFirstReceiveTimestamp")]
        assert [round(int(stamp) / 1000 - start) for stamp in stamps] == [0, 5]
    client.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert states(aws, url) == (0, 1, 0)
    aws.advance(30)
    client.delete_message(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"])
    assert states(aws, url) == (0, 0, 0)


@pytest.mark.behaviour("A4", "A59")
def test_a_receive_may_name_its_own_visibility_timeout(aws: Aws) -> None:
    url = aws.queue(VisibilityTimeout=10)
    send(aws, url, "one")
    for timeout in (60, None):
        assert bodies(aws, url, **({} if timeout is None else {"VisibilityTimeout": timeout})) == ["one"]
        aws.advance((timeout or 10) - 1)
        assert bodies(aws, url) == []
        aws.advance(1)
    assert states(aws, url) == (1, 0, 0)


@pytest.mark.behaviour("A58", "A61a", "A61b")
def test_handles_of_nothing(aws: Aws) -> None:
    client = aws.client("sqs")
    url, other = aws.queue(), aws.queue()
    send(aws, url, "one")
    handle = receive(aws, url)[0]["ReceiptHandle"]
    for where, bad in ((url, "garbage"), (url, handle[:-4]), (other, handle)):
        for call in (
            lambda **params: client.delete_message(**params),
            lambda **params: client.change_message_visibility(VisibilityTimeout=1, **params),
        ):
            assert refusal(call, QueueUrl=where, ReceiptHandle=bad)[:3] == (
                "ReceiptHandleIsInvalid",
                f'The input receipt handle "{bad}" is not a valid receipt handle.',
                404,
            )
    client.delete_message(QueueUrl=url, ReceiptHandle=handle)
    client.delete_message(QueueUrl=url, ReceiptHandle=handle)
    refused = refusal(client.change_message_visibility, QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=1)
    reason = "Message does not exist or is not available for visibility timeout change."
    assert refused[:3] == (*invalid(handle, "ReceiptHandle", reason), 400)


@pytest.mark.behaviour("A56", "A61b", "A46")
def test_batches_of_handles_fail_in_part(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue()
    send(aws, url, "one", "two")
    handles = ["garbage", *(message["ReceiptHandle"] for message in receive(aws, url))]
    given = [{"Id": f"i{number}", "ReceiptHandle": handle} for number, handle in enumerate(handles)]
    change = [{**entry, "VisibilityTimeout": 0} for entry in given[:2]]
    changed = client.change_message_visibility_batch(QueueUrl=url, Entries=change)
    assert states(aws, url) == (1, 1, 0)
    deleted = client.delete_message_batch(QueueUrl=url, Entries=given)
    for answer, good in ((changed, ["i1"]), (deleted, ["i1", "i2"])):
        assert [entry["Id"] for entry in answer["Successful"]] == good
        (failed,) = answer["Failed"]
        assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("i0", "ReceiptHandleIsInvalid", True)
    assert states(aws, url) == (0, 0, 0)
    assert "Failed" not in client.delete_message_batch(QueueUrl=url, Entries=given[1:])


@pytest.mark.behaviour("A59", "A60", "A61")
def test_changing_visibility(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue()
    send(aws, url, "one")
    handle = receive(aws, url)[0]["ReceiptHandle"]
    change = {"QueueUrl": url, "ReceiptHandle": handle}
    aws.advance(20)
    client.change_message_visibility(VisibilityTimeout=60, **change)
    aws.advance(59)
    assert bodies(aws, url) == []
    reason = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
    for seconds in (43_200, 43_200 - 79):
        refused = refusal(client.change_message_visibility, VisibilityTimeout=seconds, **change)
        assert refused[:3] == (*invalid(seconds, "VisibilityTimeout", reason), 400)
    for seconds in (-1, 43_201):
        refused = refusal(client.change_message_visibility, VisibilityTimeout=seconds, **change)
        assert refused.code == "InvalidParameterValue"
    aws.advance(1)
    client.change_message_visibility(VisibilityTimeout=60, **change)
    assert states(aws, url) == (1, 0, 0)
    (again,) = receive(aws, url)
    change["ReceiptHandle"] = again["ReceiptHandle"]
    client.change_message_visibility(VisibilityTimeout=43_200 - 10, **change)
    client.change_message_visibility(VisibilityTimeout=0, **change)
    assert bodies(aws, url) == ["one"]
    aws.advance(30)
    assert states(aws, url) == (1, 0, 0)


@pytest.mark.behaviour("A51")
def test_a_long_poll_ends_with_the_first_message(aws: Aws) -> None:
    url = aws.queue()
    start = aws.now()
    send(aws, url, "late", DelaySeconds=5)
    poll = Polling(aws, url, WaitTimeSeconds=20, MaxNumberOfMessages=10)
    aws.until(poll.done, timeout=60)
    (message,) = poll.join()["Messages"]
    assert message["Body"] == "late"
    assert 5 <= aws.now() - start < 20


@pytest.mark.behaviour("A8", "A49", "A51")
def test_a_long_poll_ends_empty_after_its_wait_or_with_its_queue(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue(ReceiveMessageWaitTimeSeconds=5)
    start = aws.now()
    poll = Polling(aws, url)
    aws.until(poll.done, timeout=60)
    assert "Messages" not in poll.join()
    assert aws.now() - start >= 5
    assert "Messages" not in client.receive_message(QueueUrl=url, WaitTimeSeconds=0)
    poll = Polling(aws, url, WaitTimeSeconds=20)
    client.delete_queue(QueueUrl=url)
    with pytest.raises(client.exceptions.QueueDoesNotExist):
        poll.join()


@pytest.mark.behaviour("A64", "A75")
def test_what_comes_back_goes_to_the_end_of_the_line(aws: Aws) -> None:
    url = aws.queue(VisibilityTimeout=1)
    send(aws, url, *"abc")
    for _ in range(3):
        assert bodies(aws, url) == list("abc")
        aws.advance(1)
    send(aws, url, "d")
    assert bodies(aws, url, 1) == ["a"]
    aws.advance(1)
    assert bodies(aws, url) == list("bcda")


@pytest.mark.behaviour("A5")
def test_messages_expire_also_by_a_lowered_retention(aws: Aws) -> None:
    url = aws.queue(MessageRetentionPeriod=120)
    send(aws, url, "old")
    receive(aws, url, VisibilityTimeout=1000)
    aws.advance(118)
    assert states(aws, url) == (0, 1, 0)
    aws.advance(2)
    assert states(aws, url) == (0, 0, 0)
    send(aws, url, "a")
    aws.advance(80)
    send(aws, url, "b")
    aws.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "60"})
    assert bodies(aws, url) == ["b"]
    aws.advance(60)
    assert states(aws, url) == (0, 0, 0)


@pytest.mark.behaviour("A65", "A66")
def test_purge(aws: Aws) -> None:
    client = aws.client("sqs")
    url = aws.queue()
    send(aws, url, "a", "b")
    send(aws, url, "c", DelaySeconds=9)
    receive(aws, url, 1)
    client.purge_queue(QueueUrl=url)
    assert states(aws, url) == (0, 0, 0)
    assert refusal(client.purge_queue, QueueUrl=url) == (
        PREFIX + "PurgeQueueInProgress",
        f"Only one PurgeQueue operation on {name_of(url)} is allowed every 60 seconds.",
        403,
        "PurgeQueueInProgress",
    )
    aws.advance(60)
    client.purge_queue(QueueUrl=url)


# ---- the old query protocol


def query(aws: Aws, path: str, **params: str) -> tuple[int, ET.Element]:
    """Post a signed form, as SDKs did before SQS spoke JSON; return the status and the answer."""
    body = urlencode({"Version": "2012-11-05", **params}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    request = AWSRequest("POST", aws.info.url + path, data=body, headers=headers)
    SigV4Auth(Credentials(aws.info.access_key, aws.info.secret_key), "sqs", aws.info.region).add_auth(request)
    status, answer = send_http(aws, "POST", path, dict(request.headers.items()), body)
    root = ET.fromstring(answer)
    for element in root.iter():
        namespace, _, element.tag = element.tag.rpartition("}")
        assert namespace == "{http://queue.amazonaws.com/doc/2012-11-05/"
    return status, root


@pytest.mark.behaviour("A14", "A40")
def test_the_query_protocol_is_still_spoken(aws: Aws) -> None:
    url = aws.queue()
    path = urlsplit(url).path
    attribute = {"Name": "kind", "Value.StringValue": "x", "Value.DataType": "String"}
    own = {f"MessageAttribute.1.{key}": value for key, value in attribute.items()}
    status, sent = query(aws, "/", Action="SendMessage", QueueUrl=url, MessageBody="a & <b>", **own)
    assert (status, sent.tag) == (200, "SendMessageResponse")
    identifier = sent.findtext("SendMessageResult/MessageId")
    assert sent.findtext("SendMessageResult/MD5OfMessageBody") == hashlib.md5(b"a & <b>").hexdigest()
    assert sent.findtext("ResponseMetadata/RequestId")
    names = {"AttributeName.1": "All", "MessageAttributeName.1": "All"}
    status, received = query(aws, path, Action="ReceiveMessage", MaxNumberOfMessages="1", **names)
    (message,) = received.findall("ReceiveMessageResult/Message")
    assert message.findtext("MessageId") == identifier
    assert message.findtext("Body") == "a & <b>"
    system = {item.findtext("Name"): item.findtext("Value") for item in message.findall("Attribute")}
    assert system["ApproximateReceiveCount"] == "1"
    assert message.findtext("MessageAttribute/Value/StringValue") == "x"
    handle = message.findtext("ReceiptHandle") or ""
    assert query(aws, path, Action="DeleteMessage", ReceiptHandle=handle)[0] == 200
    assert states(aws, url) == (0, 0, 0)

    status, refused = query(aws, path + "x", Action="SendMessage", MessageBody="a")
    assert (status, refused.tag) == (400, "ErrorResponse")
    assert [(part.tag, part.text) for part in refused[0]] == [
        ("Type", "Sender"),
        ("Code", "AWS.SimpleQueueService.NonExistentQueue"),
        ("Message", "The specified queue does not exist for this wsdl version."),
        ("Detail", None),
    ]
    batch = {}
    for number in range(1, 12):
        batch[f"SendMessageBatchRequestEntry.{number}.Id"] = f"i{number}"
        batch[f"SendMessageBatchRequestEntry.{number}.MessageBody"] = "x"
    status, refused = query(aws, path, Action="SendMessageBatch", **batch)
    assert refused.findtext("Error/Code") == "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"
