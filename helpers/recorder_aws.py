"""The flight recorder of a real account, put together from what the lab's clients did and from the functions' logs.

It was not run on an account: it is tested against recorded answers and log lines.

SQS has no event feed, so some rows are concluded, and some cannot be had:

- What this process's own clients sent, received, deleted or gave back is noted when the call returns. What another
  process did, or this one before its kernel was restarted, is not seen.
- Runs and environments come from the logs: START, END, REPORT with its Init Duration, and the error's line. A run's
  messages are known only if its handler prints one line of JSON for each record, see `RECORD_LINE`. Logs arrive some
  seconds late.
- The pollers' receives and deletes stand at the run's start and end; the return of a failed message stands at its
  receive plus the queue's visibility timeout, and its move to the dead-letter queue there after the last receive.
- Throttled attempts, filtered and expired messages leave no trace: CloudWatch counts them.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .recorder import COLUMNS, PARTIAL

RECORD_LINE = """print(json.dumps({
    "record": record["messageId"],
    "receive_count": int(record["attributes"]["ApproximateReceiveCount"]),
    "group": record["attributes"].get("MessageGroupId"),
    "queue": record["eventSourceARN"].split(":")[-1],
}))"""
"""What a handler prints for each record so that the recorder knows which messages a run had.

`record` is the one required key. A second line for the same record with `"outcome": "failed"` says that the handler
returns it in batchItemFailures.
"""

_START = re.compile(r"START RequestId: (\S+)")
_END = re.compile(r"END RequestId: (\S+)")
_REPORT = re.compile(r"REPORT RequestId: (\S+)")
_INIT = re.compile(r"Init Duration: ([\d.]+) ms")
_STATUS = re.compile(r"Status: (\w+)(?:\s+Error Type: (\S+))?")
_ERROR = re.compile(r"\[ERROR\]\s+([\w.]+)")
_TIMED_OUT = re.compile(r"Task timed out after [\d.]+ seconds")
_LOOK_BACK = 900.0


class Row(NamedTuple):
    """A row of the log, by `recorder.COLUMNS`."""

    time: float
    event: str
    message: str | None = None
    queue: str | None = None
    receive_count: int | None = None
    group: str | None = None
    request: str | None = None
    environment: str | None = None
    function: str | None = None
    outcome: str | None = None


@dataclass(frozen=True)
class Settings:
    """What a queue's attributes say about its messages' way.

    Attributes
    ----------
    visibility_timeout : float
        Seconds.
    max_receive_count : int or None
        None without a redrive policy.
    dead_letter_queue : str or None
        Its name.
    """

    visibility_timeout: float = 30.0
    max_receive_count: int | None = None
    dead_letter_queue: str | None = None


@dataclass
class Notes:
    """What the clients of this process did, noted as their calls return.

    Attributes
    ----------
    rows : list of Row
        In the order of the calls.
    returns : dict
        When a message that a client received comes back if nothing happens, by message, None for the queue's own
        timeout, with the row of the receive.
    """

    now: Callable[[], float] = time.time
    rows: list[Row] = field(default_factory=list)
    returns: dict[str, tuple[Row, float | None]] = field(default_factory=dict)
    _handles: dict[str, Row] = field(default_factory=dict)
    _sent: set[str] = field(default_factory=set)
    _receives: dict[str, int] = field(default_factory=dict)

    def watch(self, client: Any) -> None:
        """Note what an SQS client does from now on."""
        events = client.meta.events
        # What `before` keeps in the call's context, `after` finds there: both get the same one.
        events.register("before-parameter-build.sqs", self._before)
        for name, note in (
            ("SendMessage", self._sent_one),
            ("SendMessageBatch", self._sent_many),
            ("ReceiveMessage", self._received),
            ("DeleteMessage", self._deleted_one),
            ("DeleteMessageBatch", self._deleted_many),
            ("ChangeMessageVisibility", self._changed_one),
            ("ChangeMessageVisibilityBatch", self._changed_many),
        ):
            events.register(f"after-call.sqs.{name}", self._after(note))

    def _before(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["lab_recorder"] = (params, self.now())

    def _after(self, note: Callable[[dict[str, Any], dict[str, Any], float], None]) -> Callable[..., None]:
        def after(parsed: dict[str, Any], context: dict[str, Any], http_response: Any = None, **_: Any) -> None:
            status = getattr(http_response, "status_code", 200)
            if "lab_recorder" in context and status < 300:
                params, began = context["lab_recorder"]
                note(params, parsed, began)

        return after

    def _send(self, params: Mapping[str, Any], queue: str, message: str, began: float) -> None:
        known = message in self._sent
        self._sent.add(message)
        outcome = "delayed" if params.get("DelaySeconds") and not known else None
        event = "deduplicated" if known else "sent"
        self.rows.append(Row(began, event, message, queue, group=params.get("MessageGroupId"), outcome=outcome))

    def _sent_one(self, params: dict[str, Any], parsed: dict[str, Any], began: float) -> None:
        self._send(params, _name(params), parsed["MessageId"], began)

    def _sent_many(self, params: dict[str, Any], parsed: dict[str, Any], began: float) -> None:
        entries = {entry["Id"]: entry for entry in params["Entries"]}
        for entry in parsed.get("Successful", []):
            self._send(entries[entry["Id"]], _name(params), entry["MessageId"], began)

    def _received(self, params: dict[str, Any], parsed: dict[str, Any], _: float) -> None:
        for message in parsed.get("Messages", []):
            name, attributes = message["MessageId"], message.get("Attributes", {})
            count = int(attributes.get("ApproximateReceiveCount", self._receives.get(name, 0) + 1))
            self._receives[name] = count
            group = attributes.get("MessageGroupId")
            row = Row(self.now(), "received", name, _name(params), count, group)
            self.rows.append(row)
            self._handles[message["ReceiptHandle"]] = row
            hidden = params.get("VisibilityTimeout")
            self.returns[name] = (row, None if hidden is None else row.time + hidden)

    def _deleted_one(self, params: dict[str, Any], _: dict[str, Any], __: float) -> None:
        received = self._handles.get(params["ReceiptHandle"])
        if received is not None:
            self.rows.append(received._replace(time=self.now(), event="deleted"))
            self.returns.pop(str(received.message), None)

    def _deleted_many(self, params: dict[str, Any], parsed: dict[str, Any], began: float) -> None:
        done = {entry["Id"] for entry in parsed.get("Successful", [])}
        for entry in params["Entries"]:
            if entry["Id"] in done:
                self._deleted_one(entry, {}, began)

    def _changed_one(self, params: dict[str, Any], _: dict[str, Any], __: float) -> None:
        received = self._handles.get(params["ReceiptHandle"])
        if received is None:
            return
        seconds = params["VisibilityTimeout"]
        if seconds:
            self.returns[str(received.message)] = (received, self.now() + seconds)
        else:
            self.rows.append(received._replace(time=self.now(), event="visible"))
            self.returns.pop(str(received.message), None)

    def _changed_many(self, params: dict[str, Any], parsed: dict[str, Any], began: float) -> None:
        done = {entry["Id"] for entry in parsed.get("Successful", [])}
        for entry in params["Entries"]:
            if entry["Id"] in done:
                self._changed_one(entry, {}, began)


@dataclass
class _Run:
    request: str
    environment: str
    start: float
    end: float | None = None
    init: float | None = None
    error: str | None = None
    records: dict[str, dict[str, Any]] = field(default_factory=dict)


def rows_of_log(function: str, events: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Return the rows that a function's log tells.

    Parameters
    ----------
    function : str
        Its name.
    events : iterable of mappings
        As FilterLogEvents returns them: `logStreamName`, `timestamp` in milliseconds, and `message`, in the Text or the
        JSON format.
    """
    rows: list[Row] = []
    for run in _runs(events):
        common: dict[str, Any] = {
            "request": run.request,
            "environment": run.environment,
            "function": function,
        }
        if run.init is not None:
            rows.append(Row(run.start - run.init / 1000, "environment started", **common, outcome="cold"))
            rows.append(Row(run.start, "environment ready", **common))
        for name, record in run.records.items() or ((None, {}),):
            about: dict[str, Any] = common | {
                "message": name,
                "queue": record.get("queue"),
                "receive_count": record.get("receive_count"),
                "group": record.get("group"),
            }
            if name is not None:
                rows.append(Row(run.start, "received", **about))
            rows.append(Row(run.start, "invoked", **about))
            if run.end is None:
                continue
            if run.error is not None or record.get("outcome") == "failed":
                rows.append(Row(run.end, "failed", **about, outcome=run.error or PARTIAL))
            else:
                rows.append(Row(run.end, "succeeded", **about))
                if name is not None:
                    rows.append(Row(run.end, "deleted", **about))
    return sorted(rows, key=lambda row: row.time)


def assemble(
    noted: Iterable[Row],
    logged: Iterable[Row],
    queues: Mapping[str, Settings],
    now: float,
    returns: Mapping[str, tuple[Row, float | None]] | None = None,
) -> list[Row]:
    """Put the clients' and the logs' rows together, and conclude returns and moves to the dead-letter queue.

    Parameters
    ----------
    noted, logged : iterable of Row
        `Notes.rows`, and `rows_of_log` of each function.
    queues : mapping of str to Settings
        By queue name; a queue that is missing concludes nothing.
    now : float
        Nothing is concluded beyond it.
    returns : mapping, optional
        `Notes.returns`.
    """
    rows = sorted([*noted, *logged], key=lambda row: row.time)
    homes = {row.message: (row.queue, row.group) for row in rows if row.event == "sent"}
    rows = [
        row._replace(queue=row.queue or homes[row.message][0], group=row.group or homes[row.message][1])
        if row.message in homes
        else row
        for row in rows
    ]
    concluded: list[Row] = []
    open_receives: dict[str, Row] = {}
    for row in rows:
        if row.message is None:
            continue
        if row.event == "received":
            before = open_receives.get(row.message)
            if before is not None:
                concluded.append(before._replace(time=min(row.time, _back(before, queues, returns)), event="visible"))
            open_receives[row.message] = row
        elif row.event in ("deleted", "visible"):
            open_receives.pop(row.message, None)
    for message, row in open_receives.items():
        back = _back(row, queues, returns)
        if back > now:
            continue
        concluded.append(row._replace(time=back, event="visible"))
        settings = queues.get(row.queue or "")
        if settings is None or settings.max_receive_count is None or row.request is None:
            continue
        if (row.receive_count or 0) >= settings.max_receive_count:
            dead = row._replace(time=back, event="dead-lettered", message=message, outcome=settings.dead_letter_queue)
            concluded.append(dead)
    plain = [row._replace(request=None, environment=None, function=None) for row in concluded]
    # A message is visible before it is received again at that very moment.
    return sorted([*plain, *rows], key=lambda row: row.time)


class Account:
    """The recorder's source on a real account.

    Parameters
    ----------
    client : callable
        Returns the boto3 client of a service.
    prefix : str
        Of the lab's names: the logs of functions that begin with it are read.
    """

    def __init__(self, client: Callable[[str], Any], prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._began = time.time()
        self.notes = Notes()

    def watch(self, service: str, client: Any) -> None:
        """Note what a client does from now on; only SQS's is of interest."""
        if service == "sqs":
            self.notes.watch(client)

    def events(self, after: int, limit: int) -> dict[str, Any]:
        """Return all rows: logs arrive late and out of order, so everything is put together anew each time."""
        logged: list[Row] = []
        pages = self._client("logs").get_paginator("describe_log_groups")
        for page in pages.paginate(logGroupNamePrefix=f"/aws/lambda/{self._prefix}-"):
            for group in page["logGroups"]:
                logged += self._read(group["logGroupName"])
        noted = list(self.notes.rows)
        names = {row.queue for row in [*noted, *logged] if row.queue}
        queues = {name: settings for name in names if (settings := self._settings(name)) is not None}
        rows = assemble(noted, logged, queues, time.time(), self.notes.returns)
        return {"events": rows, "columns": COLUMNS, "next": 0, "lost": 0, "whole": True}

    def _read(self, group: str) -> list[Row]:
        pages = self._client("logs").get_paginator("filter_log_events")
        start = int((self._began - _LOOK_BACK) * 1000)
        events = [
            event for page in pages.paginate(logGroupName=group, startTime=start) for event in page.get("events", [])
        ]
        return rows_of_log(group.removeprefix("/aws/lambda/"), events)

    def _settings(self, name: str) -> Settings | None:
        from botocore.exceptions import ClientError

        sqs = self._client("sqs")
        try:
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
            answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout", "RedrivePolicy"])
        except ClientError:
            # A queue that has been deleted since says nothing any more.
            return None
        attributes = answer.get("Attributes", {})
        policy = json.loads(attributes.get("RedrivePolicy", "{}"))
        target = policy.get("deadLetterTargetArn")
        return Settings(
            float(attributes.get("VisibilityTimeout", 30)),
            int(policy["maxReceiveCount"]) if target else None,
            target.rpartition(":")[2] if target else None,
        )


def environment_of(stream: str) -> str:
    """Return the part of a log stream's name that is the environment's own.

    >>> environment_of("2026/11/22/[$LATEST]0a1b2c")
    '0a1b2c'
    """
    return stream.rpartition("]")[2] or stream


def _back(row: Row, queues: Mapping[str, Settings], returns: Mapping[str, tuple[Row, float | None]] | None) -> float:
    """Return when a received message comes back if nothing happens; never, if its queue is not known."""
    received, until = (returns or {}).get(str(row.message), (None, None))
    if received is not None and until is not None and received.time == row.time:
        return until
    settings = queues.get(row.queue or "")
    return float("inf") if settings is None else row.time + settings.visibility_timeout


def _name(params: Mapping[str, Any]) -> str:
    return str(params["QueueUrl"]).rpartition("/")[2]


def _runs(events: Iterable[Mapping[str, Any]]) -> list[_Run]:
    runs: dict[str, _Run] = {}
    current: dict[str, _Run] = {}
    again: list[_Run] = []
    # The sort keeps the order of lines with equal times, which is the log's own.
    for event in sorted(events, key=lambda event: event["timestamp"]):
        stream, at, text = event["logStreamName"], event["timestamp"] / 1000, event["message"]
        data = _json(text)
        record = data.get("record") if data else None
        if data and isinstance(record, dict) and str(data.get("type", "")).startswith("platform."):
            text = _as_text(str(data["type"]), record)
        elif data is not None:
            inner = data.get("message")
            noted = data if isinstance(record, str) else inner if isinstance(inner, dict) else _json(str(inner))
            if stream in current and noted and isinstance(noted.get("record"), str):
                _note(current[stream], noted)
            elif stream in current and isinstance(data.get("errorType"), str):
                current[stream].error = data["errorType"]
        if found := _START.match(text):
            run = _Run(found[1], environment_of(stream), at)
            if found[1] in runs:
                # An asynchronous call that is tried again keeps its id.
                again.append(runs[found[1]])
            runs[found[1]] = current[stream] = run
            continue
        if stream not in current:
            continue
        run = current[stream]
        if found := _ERROR.match(text):
            run.error = found[1]
        elif _TIMED_OUT.search(text):
            run.error = "Sandbox.Timedout"
        elif _END.match(text):
            run.end = at
        elif _REPORT.match(text):
            run.end = run.end or at
            if found := _INIT.search(text):
                run.init = float(found[1])
            if (found := _STATUS.search(text)) and found[1] != "success":
                run.error = run.error or found[2] or ("Sandbox.Timedout" if found[1] == "timeout" else "Unhandled")
    return [*again, *runs.values()]


def _note(run: _Run, line: dict[str, Any]) -> None:
    known = run.records.setdefault(line["record"], {})
    for key in ("queue", "group", "outcome"):
        if isinstance(line.get(key), str):
            known[key] = line[key]
    if str(line.get("receive_count", "")).isdigit():
        known["receive_count"] = int(line["receive_count"])


def _as_text(kind: str, record: Mapping[str, Any]) -> str:
    """Return a platform event of the JSON format as its line in the Text format."""
    request = record.get("requestId", "")
    if kind == "platform.start":
        return f"START RequestId: {request}"
    if kind != "platform.report":
        return ""
    init = record.get("metrics", {}).get("initDurationMs")
    return (
        f"REPORT RequestId: {request}"
        + (f"\tInit Duration: {init} ms" if init is not None else "")
        + f"\tStatus: {record.get('status', 'success')}"
        + (f"\tError Type: {record['errorType']}" if record.get("errorType") else "")
    )


def _json(text: str) -> dict[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        data = json.loads(text)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None
