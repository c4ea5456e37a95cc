"""A message: what is sent, what is stored, and what one receive hands out."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import struct
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .queue_fifo import Group
    from .tenants import Tenant

DELAYED, VISIBLE, IN_FLIGHT, GONE = range(4)
"""The states of a stored message. Gone is final."""

_serials = itertools.count(1)
_sequence_numbers = itertools.count(18849496460467696128, 256)


def next_sequence_number() -> str:
    """Return a FIFO queue's next SequenceNumber: twenty digits, increasing, not consecutive (row B25)."""
    return str(next(_sequence_numbers))


def md5_of_body(body: str) -> str:
    """Return the MD5 of a body's UTF-8 bytes in hex (row A36)."""
    return hashlib.md5(body.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: dict[str, dict[str, Any]]) -> str | None:
    """Return the MD5 of message attributes as AWS computes it (row A37).

    Parameters
    ----------
    attributes : dict
        By name, each with `DataType` and `StringValue` or `BinaryValue` (bytes).

    Returns
    -------
    str or None
        Hex digits; None without attributes.
    """
    if not attributes:
        return None
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        value = attributes[name]
        for text in (name, value["DataType"]):
            encoded = text.encode()
            digest.update(struct.pack(">I", len(encoded)) + encoded)
        binary = value["DataType"].startswith("Binary")
        content: bytes = value["BinaryValue"] if binary else value["StringValue"].encode("utf-8", "surrogatepass")
        digest.update((b"\x02" if binary else b"\x01") + struct.pack(">I", len(content)) + content)
    return digest.hexdigest()


def size_of(body: str, attributes: dict[str, dict[str, Any]]) -> int:
    """Return what counts towards the size limit: body and attribute names, types and values, in bytes (row A28)."""
    size = len(body) if body.isascii() else len(body.encode("utf-8", "surrogatepass"))
    for name, value in attributes.items():
        content = value.get("BinaryValue")
        if content is None:
            content = value["StringValue"].encode("utf-8", "surrogatepass")
        size += len(name.encode()) + len(value["DataType"].encode()) + len(content)
    return size


class Draft:
    """A message that is about to be sent, already validated.

    Parameters
    ----------
    body : str
        The body.
    attributes : dict, optional
        Message attributes as boto3 shapes them.
    delay : int, optional
        Seconds; without it the queue's own delay.
    group_id, deduplication_id : str, optional
        MessageGroupId and MessageDeduplicationId.
    trace_header : str, optional
        AWSTraceHeader.
    """

    __slots__ = ("attributes", "body", "deduplication_id", "delay", "group_id", "md5", "size", "trace_header")

    def __init__(
        self,
        body: str,
        attributes: dict[str, dict[str, Any]] | None = None,
        *,
        delay: int | None = None,
        group_id: str | None = None,
        deduplication_id: str | None = None,
        trace_header: str | None = None,
    ) -> None:
        self.body = body
        self.attributes = attributes or {}
        self.delay = delay
        self.group_id = group_id
        self.deduplication_id = deduplication_id
        self.trace_header = trace_header
        self.md5 = md5_of_body(body)
        self.size = size_of(body, self.attributes)


class Sent(NamedTuple):
    """What a sender learns of its message.

    `deduplicated` is true when the message was accepted and not enqueued (row B9); the identifiers are then those of
    the message that came first.
    """

    message_id: str
    md5_of_body: str
    md5_of_message_attributes: str | None
    sequence_number: str | None
    deduplicated: bool


class StoredMessage:
    """A message in one queue. It belongs to that queue for good: a move makes a copy in the other one."""

    __slots__ = (
        "arrived",
        "attributes",
        "body",
        "deduplication_id",
        "due",
        "first_received",
        "group",
        "group_id",
        "md5",
        "md5_attributes",
        "message_id",
        "receipt",
        "receive_count",
        "received",
        "receives_here",
        "sender_id",
        "sent",
        "sequence_number",
        "serial",
        "size",
        "source_arn",
        "state",
        "tenant",
        "trace_header",
        "turn",
    )

    def __init__(self, draft: Draft, sender_id: str, now: float) -> None:
        self.serial = next(_serials)
        self.message_id = str(uuid.uuid4())
        self.body = draft.body
        self.attributes = draft.attributes
        self.md5 = draft.md5
        self.md5_attributes = md5_of_attributes(draft.attributes)
        self.size = draft.size
        self.trace_header = draft.trace_header
        self.sender_id = sender_id
        self.group_id = draft.group_id
        self.deduplication_id = draft.deduplication_id
        self.sequence_number: str | None = None
        self.source_arn: str | None = None
        self.sent = now
        self.arrived = now
        self.state = VISIBLE
        self.due = 0.0
        self.receipt = 0
        self.received = 0.0
        self.receive_count = 0
        self.receives_here = 0
        self.first_received = 0.0
        self.group: Group | None = None
        self.tenant: Tenant | None = None
        self.turn = 0

    def copy(self, now: float) -> StoredMessage:
        """Return the same message for another queue, where nothing has been received yet (rows A70 to A72)."""
        other = StoredMessage.__new__(StoredMessage)
        for name in StoredMessage.__slots__:
            setattr(other, name, getattr(self, name))
        other.serial = next(_serials)
        other.arrived = now
        other.state = VISIBLE
        other.due = 0.0
        other.receipt = 0
        other.receives_here = 0
        other.group = None
        other.tenant = None
        return other

    def renew(self, now: float) -> None:
        """Become a new message, as a redriven one is (row A83)."""
        self.message_id = str(uuid.uuid4())
        self.sent = self.arrived = now
        self.receive_count = 0
        self.first_received = 0.0
        self.source_arn = None

    def forget(self) -> None:
        """Become gone, and let go of the contents: an index may hold on to the rest for a while."""
        self.state = GONE
        self.body = ""
        self.attributes = {}


class Message:
    """A message as one receive handed it out: what a later receive changes is not seen here.

    Attributes
    ----------
    message_id, body, md5_of_body : str
        As `ReceiveMessage` returns them.
    receipt_handle : str
        This receive's handle.
    message_attributes : dict
        By name, as boto3 shapes them; empty without attributes.
    md5_of_message_attributes : str or None
        None without attributes.
    receive_count : int
        ApproximateReceiveCount of this receive.
    received : float
        When it was received, in seconds since the epoch.
    """

    __slots__ = (
        "_stored",
        "body",
        "md5_of_body",
        "md5_of_message_attributes",
        "message_attributes",
        "message_id",
        "receipt_handle",
        "receive_count",
        "received",
    )

    def __init__(self, stored: StoredMessage, receipt_handle: str) -> None:
        self._stored = stored
        self.message_id = stored.message_id
        self.receipt_handle = receipt_handle
        self.body = stored.body
        self.md5_of_body = stored.md5
        self.message_attributes = stored.attributes
        self.md5_of_message_attributes = stored.md5_attributes
        self.receive_count = stored.receive_count
        self.received = stored.received

    @property
    def group_id(self) -> str | None:
        """MessageGroupId."""
        return self._stored.group_id

    @property
    def trace_header(self) -> str | None:
        """AWSTraceHeader."""
        return self._stored.trace_header

    @property
    def sequence_number(self) -> str | None:
        """SequenceNumber, on a FIFO queue."""
        return self._stored.sequence_number

    @property
    def sent(self) -> float:
        """When it was sent, in seconds since the epoch."""
        return self._stored.sent

    @property
    def size(self) -> int:
        """Bytes that count towards the limit (row A28)."""
        return self._stored.size

    def system_attributes(self) -> dict[str, str]:
        """Return the system attributes by name, in the order that a Lambda event has them (rows C53, C54, C60)."""
        stored = self._stored
        values = (
            ("DeadLetterQueueSourceArn", stored.source_arn),
            ("ApproximateReceiveCount", str(self.receive_count)),
            ("AWSTraceHeader", stored.trace_header),
            ("SentTimestamp", _milliseconds(stored.sent)),
            ("SequenceNumber", stored.sequence_number),
            ("MessageGroupId", stored.group_id),
            ("SenderId", stored.sender_id),
            ("MessageDeduplicationId", stored.deduplication_id),
            ("ApproximateFirstReceiveTimestamp", _milliseconds(stored.first_received)),
        )
        return {name: value for name, value in values if value is not None}


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


class ReceiptHandles:
    """Makes one queue's receipt handles and recognises them, for as long as the space lives."""

    _LAYOUT = struct.Struct(">3sQQ")
    _MARK = b"\x01\x01\x01"

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._receipts = itertools.count(1)

    def issue(self, message: StoredMessage) -> str:
        """Give `message` a new receipt and return its handle; the older ones are then out of date (row A56)."""
        message.receipt = next(self._receipts)
        content = self._LAYOUT.pack(self._MARK, message.serial, message.receipt)
        return base64.b64encode(content + self._seal(content)).decode()

    def read(self, handle: str) -> tuple[int, int] | None:
        """Return the message's serial and the receipt's number, or None if this is no handle of this queue."""
        try:
            raw = base64.b64decode(handle.encode("ascii"), validate=True)
        except ValueError:
            return None
        content = raw[: self._LAYOUT.size]
        if len(content) < self._LAYOUT.size or raw[self._LAYOUT.size :] != self._seal(content):
            return None
        _, serial, receipt = self._LAYOUT.unpack(content)
        return serial, receipt

    def _seal(self, content: bytes) -> bytes:
        return hashlib.blake2b(content, key=self._key, digest_size=64).digest()
