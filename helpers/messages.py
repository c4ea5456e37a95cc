"""Many messages at once: send them in batches and see what was refused, read what a queue holds, or take it out."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import facts
from .card import Card
from .errors import LabError
from .progress import Progress
from .resources import Queue

if TYPE_CHECKING:
    import pandas

ORDERS = Path(__file__).resolve().parents[1] / "data" / "orders.json"
_SHOWN = 10

Choice = str | Callable[[Any], str] | None


@dataclass(frozen=True)
class Failure:
    """A message that SQS did not take.

    Attributes
    ----------
    position : int
        Its place in what was given, from 0.
    code, message : str
        What SQS says.
    sender_fault : bool
        Whether sending it again would fail again.
    body : str
        The message.
    """

    position: int
    code: str
    message: str
    sender_fault: bool
    body: str = field(repr=False)


@dataclass
class Report:
    """What became of messages that were sent.

    Attributes
    ----------
    sent : dict of int to str
        The message ids of those that SQS took, by their place in what was given.
    failed : list of Failure
        The others.
    requests : int
        How many calls of `SendMessageBatch` it took.
    seconds : float
        How long that took.
    """

    sent: dict[int, str] = field(default_factory=dict)
    failed: list[Failure] = field(default_factory=list)
    requests: int = 0
    seconds: float = 0.0

    def _headline(self) -> str:
        count = f"{len(self.sent):,}" + (f" of {len(self.sent) + len(self.failed):,}" if self.failed else "")
        one = len(self.sent) == 1 and not self.failed
        return (
            f"Sent {count} message{'' if one else 's'} in {self.requests:,} request{'' if self.requests == 1 else 's'}"
        )

    def _card(self) -> Card:
        failed = sorted(self.failed, key=lambda failure: failure.position)
        rows = [(str(failure.position), failure.code, failure.message) for failure in failed[:_SHOWN]]
        counts = ", ".join(f"{code} {count}" for code, count in Counter(one.code for one in failed).items())
        more = f"… and {len(failed) - _SHOWN} more. " if len(failed) > _SHOWN else ""
        return Card(self._headline(), rows, ("position", "code", "message"), f"{more}Not sent: {counts}")

    def __repr__(self) -> str:
        return str(self._card()) if self.failed else self._headline()

    def _repr_html_(self) -> str:
        return self._card()._repr_html_() if self.failed else f"<p>{self._headline()}</p>"


@dataclass(frozen=True)
class Message:
    """A message that was received and deleted.

    Attributes
    ----------
    message_id, body : str
        As it was sent.
    receive_count : int
        How often it was received, this time included.
    attributes : dict of str to str
        Its system attributes, such as `SentTimestamp` and `MessageGroupId`.
    """

    message_id: str
    body: str
    receive_count: int
    attributes: dict[str, str] = field(repr=False)


def send_many(
    queue: Queue,
    bodies: Iterable[Any],
    *,
    group: Choice = None,
    deduplication: Choice = None,
    delay_seconds: int | None = None,
) -> Report:
    """Send messages in batches of ten; what SQS could not take for a reason of its own is sent once more.

    Parameters
    ----------
    queue : Queue
        As `resources.queue` returns it.
    bodies : iterable
        Texts; anything else is sent as JSON.
    group, deduplication : str or callable, optional
        The message group and the deduplication id, for all or from each body. A FIFO queue needs a group.
    delay_seconds : int, optional
        How long until they can be received.

    Returns
    -------
    Report
        Which were sent, which failed and with which code.

    Raises
    ------
    LabError
        When `queue` is no `Queue`, a FIFO queue is given no group, or `bodies` is a single text.
    """
    if isinstance(bodies, str | bytes):
        raise LabError("send_many() takes several bodies.", "", "Put a single one in a list.")
    client = _client(queue)
    if queue.fifo and group is None:
        raise LabError(f"{queue.name} is a FIFO queue: each message needs a group.", "", "Add group='…'.")
    total = f" of {len(bodies):,}" if isinstance(bodies, Sized) else ""
    report, progress, began = Report(), Progress(), time.monotonic()

    def so_far() -> str:
        return f"sending: {len(report.sent) + len(report.failed):,}{total} messages"

    try:
        for batch in _batches(_entries(bodies, group, deduplication, delay_seconds)):
            again = _send(client, queue, batch, report, last=False)
            if again:
                _send(client, queue, again, report, last=True)
            progress.show(so_far)
    finally:
        progress.end()
        report.seconds = time.monotonic() - began
    return report


def drain(queue: Queue) -> list[Message]:
    """Receive and delete messages until a poll of a second finds none; those in flight elsewhere stay.

    Parameters
    ----------
    queue : Queue
        As `resources.queue` returns it.

    Returns
    -------
    list of Message
        In the order of their receipt; `pandas.DataFrame(…)` makes a table of them.

    Raises
    ------
    LabError
        When SQS does not delete one.
    """
    client, progress = _client(queue), Progress()
    found: list[Message] = []
    try:
        while received := client.receive_message(
            QueueUrl=queue.url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageSystemAttributeNames=["All"]
        ).get("Messages"):
            entries = [
                {"Id": str(number), "ReceiptHandle": one["ReceiptHandle"]} for number, one in enumerate(received)
            ]
            failed = client.delete_message_batch(QueueUrl=queue.url, Entries=entries).get("Failed", [])
            if failed:
                raise LabError(f"SQS did not delete {len(failed)} messages of {queue.name}.", failed[0]["Message"])
            for one in received:
                attributes = one["Attributes"]
                count = int(attributes["ApproximateReceiveCount"])
                found.append(Message(one["MessageId"], one["Body"], count, attributes))
            progress.show(lambda: f"receiving: {len(found):,} messages")
    finally:
        progress.end()
    return found


def peek(queue: Queue, *, seconds: int) -> pandas.DataFrame:
    """Receive messages without deleting them, until a poll of a second finds none.

    Parameters
    ----------
    queue : Queue
        As `resources.queue` returns it.
    seconds : int
        For how long they are hidden; long enough to receive them all once, or it does not end.

    Returns
    -------
    pandas.DataFrame
        A row a message: `id`, `body`, `handle` (its receipt handle), `receives` (this one included), `sent` and
        `first_receive` (UTC, without a time zone), and `source`, the name of the queue that a dead letter came from.
    """
    import pandas

    client, progress = _client(queue), Progress()
    rows: dict[str, tuple[Any, ...]] = {}
    try:
        while received := client.receive_message(
            QueueUrl=queue.url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=seconds,
            WaitTimeSeconds=1,
            MessageSystemAttributeNames=["All"],
        ).get("Messages"):
            for one in received:
                kept = one["Attributes"]
                times = int(kept["SentTimestamp"]), int(kept["ApproximateFirstReceiveTimestamp"])
                source = kept.get("DeadLetterQueueSourceArn", "").rpartition(":")[2]
                count = int(kept["ApproximateReceiveCount"])
                rows[one["MessageId"]] = (one["Body"], one["ReceiptHandle"], count, *times, source)
            progress.show(lambda: f"receiving: {len(rows):,} messages")
    finally:
        progress.end()
    columns = ["id", "body", "handle", "receives", "sent", "first_receive", "source"]
    table = pandas.DataFrame([(key, *row) for key, row in rows.items()], columns=columns)
    for name in ("sent", "first_receive"):
        table[name] = pandas.to_datetime(table[name], unit="ms")
    return table


@cache
def _orders() -> str:
    return json.dumps(json.loads(ORDERS.read_text(encoding="utf-8"))["orders"])


def orders(count: int | None = None, *, flawed: bool = True) -> list[dict[str, Any]]:
    """Return the sample orders, or the first of them.

    Parameters
    ----------
    count : int, optional
        How many.
    flawed : bool
        Whether those that no handler can add up are among them; `data/orders.json` says which they are and why.

    Raises
    ------
    LabError
        When there are not as many.
    """
    everything: list[dict[str, Any]] = json.loads(_orders())
    chosen = everything if flawed else [order for order in everything if order["order"] not in flaws()]
    if count is not None and not 0 <= count <= len(chosen):
        raise LabError(f"There are {len(chosen)} sample orders, not {count!r}.")
    return chosen[:count]


@cache
def flaws() -> dict[int, str]:
    """Return what is wrong with the flawed sample orders, by their numbers."""
    return {int(key): text for key, text in json.loads(ORDERS.read_text(encoding="utf-8"))["flaws"].items()}


def _entries(
    bodies: Iterable[Any], group: Choice, deduplication: Choice, delay: int | None
) -> Iterator[dict[str, Any]]:
    for position, body in enumerate(bodies):
        entry = {"Id": str(position), "MessageBody": body if isinstance(body, str) else json.dumps(body)}
        if group is not None:
            entry["MessageGroupId"] = group(body) if callable(group) else group
        if deduplication is not None:
            entry["MessageDeduplicationId"] = deduplication(body) if callable(deduplication) else deduplication
        yield entry if delay is None else {**entry, "DelaySeconds": delay}


def _batches(entries: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Return batches of at most ten that hold at most a mebibyte together (rows A39, A42)."""
    most, largest = facts.quota("sqs.batch_entries").value, facts.quota("sqs.message_size").value
    batch: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        length = len(entry["MessageBody"].encode("utf-8", "surrogatepass"))
        if batch and (len(batch) == most or size + length > largest):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += length
    if batch:
        yield batch


def _send(
    client: Any, queue: Queue, batch: list[dict[str, Any]], report: Report, *, last: bool
) -> list[dict[str, Any]]:
    """Send a batch, note what became of it, and return what is worth sending again."""
    from botocore.exceptions import ClientError

    entries = {entry["Id"]: entry for entry in batch}
    try:
        answer = client.send_message_batch(QueueUrl=queue.url, Entries=batch)
    except ClientError as problem:
        error = problem.response["Error"]
        # A single message above the limit fails its whole call; any other refusal of a call is not about one message.
        if len(batch) > 1 or not error["Code"].endswith("BatchRequestTooLong"):
            raise
        answer = {
            "Failed": [{"Id": batch[0]["Id"], "Code": error["Code"], "Message": error["Message"], "SenderFault": True}]
        }
    report.requests += 1
    for one in answer.get("Successful", []):
        report.sent[int(one["Id"])] = one["MessageId"]
    again = []
    for one in answer.get("Failed", []):
        if not last and not one["SenderFault"]:
            again.append(entries[one["Id"]])
            continue
        body = entries[one["Id"]]["MessageBody"]
        report.failed.append(Failure(int(one["Id"]), one["Code"], one.get("Message", ""), one["SenderFault"], body))
    return again


def _client(queue: Queue) -> Any:
    if not isinstance(queue, Queue) or queue.lab is None:
        raise LabError(
            "This takes a queue as resources.queue returns it.", "", "Write queue = resources.queue(lab, 'orders')."
        )
    return queue.lab.client("sqs")
