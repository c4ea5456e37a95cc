"""What a message has to be before SQS takes it, and the words in which it is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import sqs_errors as errors
from .messages import Draft, md5_of_attributes
from .queue_fifo import FifoQueue
from .queue_store import Queue

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_IDENTIFIER = re.compile(r"""[A-Za-z0-9!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}""")
_ATTRIBUTE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_TYPE = re.compile(r"(String|Number|Binary)(\.[^\x00-\x1f]+)?")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MOST_ATTRIBUTES = 10
_NOT_FOR_THIS_TYPE = "The request include parameter that is not valid for this queue type."


def integer(params: Mapping[str, Any], name: str) -> int | None:
    """Return a parameter as a whole number, or None without it.

    Raises
    ------
    ApiError
        If it is no number.
    """
    value = params.get(name)
    if value is None:
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise errors.invalid_value(value, name, "Must be an integer.") from None


def draft(queue: Queue, params: Mapping[str, Any], trace: str | None = None) -> Draft:
    """Return what a SendMessage or a batch entry asks to be sent, its size not yet checked (rows A30 to A35, B3 to B8).

    Raises
    ------
    ApiError
        For the first thing that is wrong with it.
    """
    body = params.get("MessageBody")
    if not body:
        raise errors.missing_parameter("MessageBody")
    check_characters(body)
    attributes = message_attributes(params.get("MessageAttributes") or {})
    trace_header = system_attributes(params)[0] or trace
    delay = integer(params, "DelaySeconds")
    if delay is not None and not 0 <= delay <= 900:
        raise errors.invalid_value(delay, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
    group_id = params.get("MessageGroupId")
    deduplication_id = params.get("MessageDeduplicationId")
    if isinstance(queue, FifoQueue):
        check_fifo(queue, params)
        if delay:
            raise errors.invalid_value(delay, "DelaySeconds", _NOT_FOR_THIS_TYPE)
    elif deduplication_id is not None:
        raise errors.invalid_value(deduplication_id, "MessageDeduplicationId", _NOT_FOR_THIS_TYPE)
    _check_identifier("MessageGroupId", group_id)
    _check_identifier("MessageDeduplicationId", deduplication_id)
    return Draft(
        body,
        attributes,
        delay=delay,
        group_id=group_id,
        deduplication_id=deduplication_id,
        trace_header=trace_header,
    )


def check_fifo(queue: FifoQueue, params: Mapping[str, Any]) -> None:
    """Check that a message for a FIFO queue has a group and something to recognise duplicates by (rows B3, B5).

    Raises
    ------
    ApiError
        When one of them is missing.
    """
    if params.get("MessageGroupId") is None:
        raise errors.missing_parameter("MessageGroupId")
    if params.get("MessageDeduplicationId") is None and not queue.deduplicates_by_content():
        raise errors.invalid_parameter(
            "The queue should either have ContentBasedDeduplication enabled or "
            "MessageDeduplicationId provided explicitly"
        )


def check_characters(text: str) -> None:
    """Check that a text holds only characters that SQS takes (row A31).

    Raises
    ------
    ApiError
        `InvalidMessageContents` with the first other one.
    """
    if text.isascii() and text.isprintable():
        return
    found = _FORBIDDEN.search(text)
    if found is not None:
        raise errors.invalid_contents(
            f"Invalid binary character '#x{ord(found[0]):X}' was found in the message body, the set of allowed "
            "characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
        )


def message_attributes(given: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return message attributes as they are stored (rows A34, A35).

    Raises
    ------
    ApiError
        For the first one that is wrong.
    """
    if not given:
        return {}
    if len(given) > _MOST_ATTRIBUTES:
        raise errors.invalid_parameter(
            f"Number of message attributes [{len(given)}] exceeds the allowed maximum [{_MOST_ATTRIBUTES}]."
        )
    return {name: _message_attribute(name, value) for name, value in given.items()}


def _message_attribute(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    lower = name.lower()
    sound = _ATTRIBUTE_NAME.fullmatch(name) and ".." not in name and not name.startswith(".") and not name.endswith(".")
    if not sound:
        raise errors.invalid_parameter(
            f"The message (user) attribute name '{name}' is invalid. It can have up to 256 letters, digits, "
            "underscores, hyphens and periods, and may not begin or end with a period or have two in succession."
        )
    if lower.startswith(("aws.", "amazon.")):
        raise errors.invalid_parameter(
            f"The message (user) attribute name '{name}' is invalid. It may not begin with AWS. or Amazon."
        )
    kind = given.get("DataType") or ""
    if not kind:
        raise errors.invalid_parameter(f"The message (user) attribute '{name}' must contain a non-empty type.")
    match = _TYPE.fullmatch(kind)
    if match is None or len(kind) > 256:
        raise errors.invalid_parameter(
            f"The type of message (user) attribute '{name}' is invalid. You must use only the following supported "
            "type prefixes: Binary, Number, String."
        )
    if given.get("StringListValues") or given.get("BinaryListValues"):
        raise errors.unsupported("Message attribute list values in SendMessage operation are not supported.")
    base = match[1]
    key = "BinaryValue" if base == "Binary" else "StringValue"
    value = given.get(key)
    if not value:
        raise errors.invalid_parameter(
            f"Message (user) attribute '{name}' must contain a non-empty value of type '{base}'."
        )
    if key == "BinaryValue":
        content = value.encode() if isinstance(value, str) else bytes(value)
        return {key: content, "DataType": kind}
    check_characters(value)
    if base == "Number" and not _NUMBER.fullmatch(value):
        raise errors.invalid_parameter(f"Can't cast the value of message (user) attribute '{name}' to a number.")
    return {key: value, "DataType": kind}


def system_attributes(params: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return AWSTraceHeader and the MD5 of the message system attributes (row A38).

    Raises
    ------
    ApiError
        For any other system attribute.
    """
    given = params.get("MessageSystemAttributes")
    if not given:
        return None, None
    for name, value in given.items():
        if name != "AWSTraceHeader":
            raise errors.invalid_parameter(f"Message system attribute name '{name}' is invalid.")
        if value.get("DataType") != "String" or not value.get("StringValue"):
            raise errors.invalid_parameter(
                f"The message system attribute '{name}' must contain a non-empty value of type 'String'."
            )
    return given["AWSTraceHeader"]["StringValue"], md5_of_attributes(dict(given))


def _check_identifier(name: str, value: str | None) -> None:
    if value is not None and not _IDENTIFIER.fullmatch(value):
        reason = f"{name} can only include alphanumeric and punctuation characters. 1 to 128 in length."
        raise errors.invalid_value(value, name, reason)


def attempt_id(params: Mapping[str, Any]) -> str | None:
    """Return a receive's ReceiveRequestAttemptId (row B24).

    Raises
    ------
    ApiError
        If it has other characters or another length than allowed.
    """
    value = params.get("ReceiveRequestAttemptId")
    _check_identifier("ReceiveRequestAttemptId", value)
    return value
