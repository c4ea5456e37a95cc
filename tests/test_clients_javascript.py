"""AWS's SDK for JavaScript, led to the local AWS by its environment variables alone."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tools.environment import NO_NODE, ROOT, Environment, find_npm

from .conftest import Aws, zipped

pytestmark = pytest.mark.node

Call = Callable[..., dict[str, Any]]


def as_bytes(data: bytes) -> dict[str, str]:
    """Return bytes as the bridge reads them."""
    return {"$bytes": base64.b64encode(data).decode()}


@pytest.fixture(scope="module")
def call(aws: Aws) -> Iterator[Call]:
    """Return a function that has the SDK make one call: `call("sqs", "SendMessage", QueueUrl=…)`."""
    if find_npm() is None:
        if os.environ.get("CI") == "true":
            pytest.fail(NO_NODE)
        pytest.skip(NO_NODE)
    settings = {name: value for name, value in aws.info.environment().items() if value}
    environment = {"PATH": os.environ["PATH"], "NODE_PATH": str(Environment().javascript()), **settings}
    node = subprocess.Popen(
        [str(shutil.which("node")), str(ROOT / "tests" / "javascript" / "bridge.cjs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        encoding="utf-8",
    )
    assert node.stdin is not None
    assert node.stdout is not None
    source, sink = node.stdout, node.stdin

    def make(client: str, command: str, **inputs: Any) -> dict[str, Any]:
        sink.write(json.dumps({"client": client, "command": command, "input": inputs}) + "\n")
        sink.flush()
        answer: dict[str, Any] = json.loads(source.readline())
        return answer

    yield make
    sink.close()
    assert node.wait(10) == 0


def done(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the output of a call that must have succeeded."""
    assert "output" in answer, answer
    output: dict[str, Any] = answer["output"]
    return output


def test_messages_go_out_come_in_and_go_away(aws: Aws, call: Call) -> None:
    name = aws.name("js")
    url = done(call("sqs", "CreateQueue", QueueName=name, Attributes={"VisibilityTimeout": "60"}))["QueueUrl"]
    assert done(call("sqs", "GetQueueUrl", QueueName=name))["QueueUrl"] == url
    attributes = {
        "colour": {"DataType": "String", "StringValue": "grün"},
        "size": {"DataType": "Number.int", "StringValue": "7"},
        "raw": {"DataType": "Binary", "BinaryValue": as_bytes(b"\x00\xff")},
    }
    single = done(call("sqs", "SendMessage", QueueUrl=url, MessageBody="žluť 🐎", MessageAttributes=attributes))
    entries = [
        {"Id": "a", "MessageBody": "one", "MessageAttributes": attributes},
        {"Id": "b", "MessageBody": "two"},
        {"Id": "c", "MessageBody": "\x01"},
    ]
    batch = done(call("sqs", "SendMessageBatch", QueueUrl=url, Entries=entries))
    assert [entry["Id"] for entry in batch["Successful"]] == ["a", "b"]
    assert [(entry["Id"], entry["SenderFault"]) for entry in batch["Failed"]] == [("c", True)]

    asked = {"MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"], "MessageSystemAttributeNames": ["All"]}
    got = {
        message["Body"]: message
        for _ in range(5)
        for message in done(call("sqs", "ReceiveMessage", QueueUrl=url, **asked)).get("Messages", [])
    }
    assert set(got) == {"žluť 🐎", "one", "two"}
    first = got["žluť 🐎"]
    assert first["MessageId"] == single["MessageId"]
    assert first["MessageAttributes"] == attributes
    assert first["MD5OfMessageAttributes"] == single["MD5OfMessageAttributes"]
    assert first["Attributes"]["ApproximateReceiveCount"] == "1"

    handles = [message["ReceiptHandle"] for message in got.values()]
    done(call("sqs", "ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=handles[0], VisibilityTimeout=0))
    assert aws.counts(url) == (1, 2)
    done(call("sqs", "DeleteMessage", QueueUrl=url, ReceiptHandle=handles[0]))
    entries = [{"Id": str(index), "ReceiptHandle": handle} for index, handle in enumerate(handles[1:])]
    assert len(done(call("sqs", "DeleteMessageBatch", QueueUrl=url, Entries=entries))["Successful"]) == 2
    assert aws.counts(url) == (0, 0)
    done(call("sqs", "DeleteQueue", QueueUrl=url))


def test_the_sdk_checks_the_hashes_of_bodies(aws: Aws, call: Call) -> None:
    """A client whose own MD5 is broken refuses what the others take: so the check is on."""
    url = aws.queue()
    for command, inputs in (
        ("SendMessage", {"MessageBody": "x"}),
        ("SendMessageBatch", {"Entries": [{"Id": "a", "MessageBody": "x"}]}),
        ("ReceiveMessage", {}),
    ):
        refused = call("sceptic", command, QueueUrl=url, **inputs)
        assert "checksum" in refused["message"].lower(), refused
        assert not refused["service"]


@pytest.mark.parametrize(
    ("client", "command", "inputs", "error", "status"),
    [
        ("sqs", "GetQueueUrl", {"QueueName": "there-is-none"}, "QueueDoesNotExist", 400),
        ("sqs", "SendMessageBatch", {"Entries": []}, "EmptyBatchRequest", 400),
        ("sqs", "DeleteMessage", {"ReceiptHandle": "no handle"}, "ReceiptHandleIsInvalid", 404),
        ("lambda", "GetFunction", {"FunctionName": "there-is-none"}, "ResourceNotFoundException", 404),
        ("lambda", "GetEventSourceMapping", {"UUID": "there-is-none"}, "ResourceNotFoundException", 404),
        (
            "lambda",
            "CreateFunction",
            {"FunctionName": "f", "Role": "none", "Code": {}},
            None,
            400,
        ),
    ],
)
def test_errors_are_the_sdks_classes(
    aws: Aws, call: Call, client: str, command: str, inputs: dict[str, Any], error: str | None, status: int
) -> None:
    if client == "sqs" and command != "GetQueueUrl":
        inputs = {"QueueUrl": aws.queue(), **inputs}
    refused = call(client, command, **inputs)
    assert refused["status"] == status, refused
    assert refused["fault"] == "client"
    assert refused["service"]
    if error is not None:
        assert (refused["error"], refused["modelled"]) == (error, True)
    assert refused["message"]


def test_a_function_is_made_invoked_and_triggered(aws: Aws, call: Call) -> None:
    name, url, role = aws.name("js"), aws.queue(), aws.role()
    source = """
        def handler(event, context):
            print("hello", [record["body"] for record in event.get("Records", [])])
            if event.get("fail"):
                raise ValueError("on purpose")
            return {"got": event}
    """
    made = done(
        call(
            "lambda",
            "CreateFunction",
            FunctionName=name,
            Role=role,
            Runtime="python3.13",
            Handler="app.handler",
            Code={"ZipFile": as_bytes(zipped(source))},
            Environment={"Variables": {"COLOUR": "grün"}},
        )
    )
    assert made["State"] == "Pending"
    aws.advance(2)
    configuration = done(call("lambda", "GetFunctionConfiguration", FunctionName=name))
    assert (configuration["State"], configuration["Environment"]["Variables"]) == ("Active", {"COLOUR": "grün"})

    payload = as_bytes(json.dumps({"n": "žluť"}).encode())
    answer = done(call("lambda", "Invoke", FunctionName=name, Payload=payload, LogType="Tail"))
    assert json.loads(base64.b64decode(answer["Payload"]["$bytes"])) == {"got": {"n": "žluť"}}
    assert (answer["StatusCode"], answer.get("FunctionError"), answer["ExecutedVersion"]) == (200, None, "$LATEST")
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert "\nhello []\n" in tail
    assert "\nREPORT RequestId: " in tail

    failed = done(call("lambda", "Invoke", FunctionName=name, Payload=as_bytes(b'{"fail": 1}')))
    assert failed["FunctionError"] == "Unhandled"
    assert json.loads(base64.b64decode(failed["Payload"]["$bytes"]))["errorMessage"] == "on purpose"
    queued = done(call("lambda", "Invoke", FunctionName=name, InvocationType="Event", Payload=as_bytes(b"{}")))
    assert queued["StatusCode"] == 202

    mapping = done(
        call("lambda", "CreateEventSourceMapping", EventSourceArn=aws.queue_arn(url), FunctionName=name, BatchSize=2)
    )
    assert mapping["State"] == "Creating"
    assert isinstance(mapping["LastModified"], str)
    aws.advance(3)
    done(call("sqs", "SendMessage", QueueUrl=url, MessageBody="by the trigger"))
    aws.advance(2)
    assert "hello ['by the trigger']\n" in [event["message"] for event in aws.log(name)]
    listed = done(call("lambda", "ListEventSourceMappings", FunctionName=name))["EventSourceMappings"]
    assert [entry["UUID"] for entry in listed] == [mapping["UUID"]]
    assert done(call("lambda", "DeleteEventSourceMapping", UUID=mapping["UUID"]))["State"] == "Deleting"
    done(call("lambda", "DeleteFunction", FunctionName=name))
    assert call("lambda", "GetFunction", FunctionName=name)["error"] == "ResourceNotFoundException"
