"""The event that a function gets from a queue (rows C51 to C62)."""

from __future__ import annotations

import base64
import json
from typing import Any

from .queues import Message, Queue

PAYLOAD_LIMIT = 6 * 2**20
"""Bytes of one invocation's payload, the records' metadata included (rows C69 and C74)."""

ENVELOPE = len('{"Records": []}')
SEPARATOR = b", "


def record(message: Message, queue: Queue, region: str, *, windowed: bool) -> dict[str, Any]:
    """Return one record of the event, its keys in AWS's order.

    Parameters
    ----------
    message : Message
        A message as received.
    queue : Queue
        The queue it came from.
    region : str
        The Region.
    windowed : bool
        Whether the mapping has a batching window: AWS then writes absent values as null (rows C56 and C58).
    """
    result: dict[str, Any] = {
        "messageId": message.message_id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": message.system_attributes(),
        "messageAttributes": {
            name: _attribute(value, windowed=windowed) for name, value in message.message_attributes.items()
        },
    }
    if message.message_attributes:
        result["md5OfMessageAttributes"] = message.md5_of_message_attributes
    elif windowed:
        result["md5OfMessageAttributes"] = None
    result["md5OfBody"] = message.md5_of_body
    result["eventSource"] = "aws:sqs"
    result["eventSourceARN"] = queue.arn
    result["awsRegion"] = region
    return result


def _attribute(value: dict[str, Any], *, windowed: bool) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if "BinaryValue" in value:
        binary = value["BinaryValue"]
        text = binary if isinstance(binary, str) else base64.b64encode(binary).decode()
        if windowed:
            result["stringValue"] = None
        result["binaryValue"] = text
    else:
        result["stringValue"] = value.get("StringValue", "")
        if windowed:
            result["binaryValue"] = None
    return {**result, "stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}


def encoded(record_: dict[str, Any]) -> bytes:
    """Return a record as it stands in the payload."""
    return json.dumps(record_, ensure_ascii=False).encode()


def payload(records: list[bytes]) -> bytes:
    """Return the event as the function gets it, of encoded records."""
    return b'{"Records": [' + SEPARATOR.join(records) + b"]}"
