"""Short ways to speak to SQS in a test."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError

from .conftest import Aws

PREFIX = "AWS.SimpleQueueService."


class Refusal(NamedTuple):
    """What a refused call says: `Error.Code`, `Error.Message`, the HTTP status, and the modelled error's name."""

    code: str
    text: str
    status: int
    modelled: str


def refusal(call: Callable[..., Any], **params: Any) -> Refusal:
    """Make a call that must be refused."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    error: dict[str, Any] = dict(answer["Error"])
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    return Refusal(error["Code"], error["Message"], status, error.get("QueryErrorCode", ""))


def invalid(value: object, parameter: str, reason: str) -> tuple[str, str]:
    """Return code and text of the refusal of a parameter's value."""
    text = f"Value {value} for parameter {parameter} is invalid. Reason: {reason}"
    return "InvalidParameterValue", text


def name_of(url: str) -> str:
    """Return a queue's name."""
    return url.rpartition("/")[2]


def attributes(aws: Aws, url: str, *names: str) -> dict[str, str]:
    """Return a queue's attributes, all without names."""
    answer = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=list(names) or ["All"])
    return dict(answer.get("Attributes", {}))


def states(aws: Aws, url: str) -> tuple[int, int, int]:
    """Return how many messages are visible, in flight and delayed."""
    values = attributes(aws, url)
    visible, hidden, delayed = (values[f"ApproximateNumberOfMessages{of}"] for of in ("", "NotVisible", "Delayed"))
    return int(visible), int(hidden), int(delayed)


def entries(*bodies: str, **common: Any) -> list[dict[str, Any]]:
    """Return the entries of a batch, their Ids counted from 0."""
    return [{"Id": str(index), "MessageBody": body, **common} for index, body in enumerate(bodies)]


def send(aws: Aws, url: str, *bodies: str, **params: Any) -> list[dict[str, Any]]:
    """Send messages one by one, in order; return what SQS answers."""
    client = aws.client("sqs")
    return [client.send_message(QueueUrl=url, MessageBody=body, **params) for body in bodies]


def receive(aws: Aws, url: str, number: int = 10, **params: Any) -> list[dict[str, Any]]:
    """Receive with all system attributes."""
    params.setdefault("MessageSystemAttributeNames", ["All"])
    answer = aws.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=number, **params)
    return list(answer.get("Messages", []))


def bodies(aws: Aws, url: str, number: int = 10, **params: Any) -> list[str]:
    """Receive and return the bodies."""
    return [message["Body"] for message in receive(aws, url, number, **params)]


def redrive(arn: str, count: object) -> str:
    """Return a redrive policy as text, without spaces."""
    return json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": count}, separators=(",", ":"))


class Polling:
    """A receive that waits in a thread of its own.

    Attributes
    ----------
    answer : dict or None
        The answer, once it is there.
    """

    def __init__(self, aws: Aws, url: str, **params: Any) -> None:
        self.answer: dict[str, Any] | None = None
        self._error: Exception | None = None
        client = aws.client("sqs")

        def run() -> None:
            try:
                self.answer = client.receive_message(QueueUrl=url, **params)
            except Exception as error:
                self._error = error

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def join(self) -> dict[str, Any]:
        """Return the answer, or raise what the call raised."""
        self._thread.join(10)
        assert not self._thread.is_alive(), "the poll is not answered"
        if self._error is not None:
            raise self._error
        assert self.answer is not None
        return self.answer

    def done(self) -> bool:
        """Return whether the call has ended."""
        self._thread.join(0.03)
        return not self._thread.is_alive()
