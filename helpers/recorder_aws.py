"""The flight recorder of a real account, put together from what the lab's clients did and from the functions' logs.

It was not run on an account: it is tested against recorded answers and log lines, and on the local AWS against what
really happened there.

SQS has no event feed, so some rows are concluded, and some cannot be had:

- What this process's own clients sent, received, deleted or gave back is noted when the call returns, by its computer's
  clock. Of what another process did, or this one before its kernel was restarted, only the sending of a message that
  came to a run is seen.
- Runs and environments come from the logs: START, END, REPORT with its Init Duration, and the error's line. A run's
  messages are known only if its handler prints one line of JSON for each record, see `RECORD_LINE`: the code that a
  lab's client uploads gets a footer that does (`recorder_footer`). Not so the code that a CloudFormation template
  brings, nor a run that fails before its handler is called. Where no run of a function printed any, a sentence says so.
  Logs arrive some seconds late.
- Whether a report of failed messages counted is concluded from the trigger: as this process's clients last set it
  before the run, else as it is now.
- The pollers' deletes stand at the run's end, their receives at its start, except a message's first, which SQS tells.
  The return of a failed message stands at its receive plus the queue's visibility timeout, and its move to the
  dead-letter queue there after the last receive.
- A message that nobody is seen to delete has expired at the end of its queue's retention period.
- Throttled attempts, filtered messages and the end of a delay leave no trace, except that a message's first receive is
  known once it came to a run; CloudWatch counts what is throttled. A redriven message is seen only as the new one that
  it has become, once somebody receives it; where a handler itself changed a message's visibility, its return stands at
  the queue's timeout.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import recorder_footer
from .guard import own_part
from .recorder import COLUMNS, PARTIAL

RECORD_LINE = """print(json.dumps({
    "record": record["messageId"],
    "receive_count": int(record["attributes"]["ApproximateReceiveCount"]),
    "group": record["attributes"].get("MessageGroupId"),
    "queue": record["eventSourceARN"].split(":")[-1],
    "sent_ms": int(record["attributes"]["SentTimestamp"]),
    "first_received_ms": int(record["attributes"]["ApproximateFirstReceiveTimestamp"]),
}))"""
"""What a handler prints for each record so that the recorder knows which messages a run had.

The footer prints it; in code that cannot have one it may be written by hand. `record` is the one required key. A second
line for the same record with `"outcome": "failed"` says that the handler returns it in batchItemFailures.
"""

_START = re.compile(r"START RequestId: (\S+)")
_END = re.compile(r"END RequestId: (\S+)")
_REPORT = re.compile(r"REPORT RequestId: (\S+)")
_INIT = re.compile(r"Init Duration: ([\d.]+) ms")
_STATUS = re.compile(r"Status: (\w+)(?:\s+Error Type: (\S+))?")
_ERROR = re.compile(r"\[ERROR\]\s+([\w.]+)")
_TIMED_OUT = re.compile(r"Task timed out after [\d.]+ seconds")
_LOOK_BACK = 900.0
_SETTINGS = ["VisibilityTimeout", "RedrivePolicy", "MessageRetentionPeriod"]


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
    retention : float
        Seconds.
    """

    visibility_timeout: float = 30.0
    max_receive_count: int | None = None
    dead_letter_queue: str | None = None
    retention: float = 345_600.0


class Trigger(NamedTuple):
    """What a trigger's settings say about an answer."""

    queue: str
    function: str
    reports: bool

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Trigger:
        """Return it by what Lambda answers."""
        return cls(
            str(settings.get("EventSourceArn", "")).rpartition(":")[2],
            own_part(str(settings.get("FunctionArn", ""))),
            "ReportBatchItemFailures" in (settings.get("FunctionResponseTypes") or []),
        )


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
    invokes : set of str
        The requests of the calls that invoked a function: no queue brought their events.
    triggers : list of (float, Trigger)
        When and how triggers were made or changed.
    """

    now: Callable[[], float] = time.time
    rows: list[Row] = field(default_factory=list)
    returns: dict[str, tuple[Row, float | None]] = field(default_factory=dict)
    invokes: set[str] = field(default_factory=set)
    triggers: list[tuple[float, Trigger]] = field(default_factory=list)
    _handles: dict[str, Row] = field(default_factory=dict)
    _newest: dict[str, str] = field(default_factory=dict)
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

    def watch_functions(self, client: Any) -> None:
        """Note what a client of Lambda invokes, and how it sets triggers, from now on."""
        events = client.meta.events
        events.register("after-call.lambda.Invoke", self._invoked)
        for name in ("CreateEventSourceMapping", "UpdateEventSourceMapping"):
            events.register(f"after-call.lambda.{name}", self._connected)

    def _invoked(self, parsed: dict[str, Any], **_: Any) -> None:
        self.invokes.add(parsed.get("ResponseMetadata", {}).get("RequestId", ""))

    def _connected(self, parsed: dict[str, Any], **_: Any) -> None:
        if "EventSourceArn" in parsed:
            self.triggers.append((self.now(), Trigger.of(parsed)))

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
            self._newest[name] = message["ReceiptHandle"]
            hidden = params.get("VisibilityTimeout")
            self.returns[name] = (row, None if hidden is None else row.time + hidden)

    def _deleted_one(self, params: dict[str, Any], _: dict[str, Any], __: float) -> None:
        received = self._handles.get(params["ReceiptHandle"])
        # With an older handle a delete succeeds, and the message stays (row A56).
        if received is not None and self._newest[str(received.message)] == params["ReceiptHandle"]:
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


def rows_of_log(
    function: str,
    events: Iterable[Mapping[str, Any]],
    *,
    invoked: Collection[str] = (),
    reports: Callable[[str, float], bool] = lambda queue, at: True,
) -> list[Row]:
    """Return the rows that a function's log tells.

    Parameters
    ----------
    function : str
        Its name.
    events : iterable of mappings
        As FilterLogEvents returns them: `logStreamName`, `timestamp` in milliseconds, and `message`, in the Text or the
        JSON format.
    invoked : collection of str
        Requests of calls: what their handlers print of records is not of a queue.
    reports : callable
        Returns whether the trigger of a queue let failed messages be reported at a time.
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
        records = {} if run.request in invoked else run.records
        for name, record in records.items() or ((None, {}),):
            about: dict[str, Any] = common | {
                "message": name,
                "queue": record.get("queue"),
                "receive_count": record.get("receive_count"),
                "group": record.get("group"),
            }
            if name is not None:
                if "sent_ms" in record:
                    sent = {key: about[key] for key in ("message", "queue", "receive_count", "group")}
                    rows.append(Row(record["sent_ms"] / 1000, "sent", **sent))
                begun = run.start
                if "first_received_ms" in record and "receive_count" in record:
                    first = record["first_received_ms"] / 1000
                    if record["receive_count"] == 1:
                        begun = first
                    else:
                        rows.append(Row(first, "received", name, receive_count=1))
                rows.append(Row(begun, "received", **about))
            rows.append(Row(run.start, "invoked", **about))
            if run.end is None:
                continue
            reported = record.get("outcome") == "failed" and reports(record.get("queue", ""), run.start)
            if run.error is not None or reported:
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
    noted, logged = list(noted), list(logged)
    sent = {row.message for row in noted if row.event == "sent"}
    # Each run tells of the sending again, one behind a dead-letter queue with that queue's name.
    told: dict[str | None, Row] = {}
    for row in sorted(logged, key=lambda row: row.receive_count or 0):
        if row.event == "sent" and row.message not in sent:
            told.setdefault(row.message, row._replace(receive_count=None))
    # A later run tells of the first receive, too: news only of one that led to no run, as where Lambda was throttled.
    firsts = {row.message: row for row in logged if row.event == "received" and row.request is None}
    rest = [row for row in logged if row.event != "sent" and not (row.event == "received" and row.request is None)]
    for row in (*noted, *rest):
        if row.event == "received" and row.receive_count == 1:
            firsts.pop(row.message, None)
    rows = sorted([*noted, *told.values(), *firsts.values(), *rest], key=lambda row: row.time)
    homes = {row.message: (row.queue, row.group) for row in rows if row.event == "sent"}
    rows = [
        row._replace(queue=row.queue or homes[row.message][0], group=row.group or homes[row.message][1])
        if row.message in homes
        else row
        for row in rows
    ]
    concluded: list[Row] = []
    open_receives: dict[str, Row] = {}

    def close(row: Row, back: float, dead: bool) -> None:
        concluded.append(row._replace(time=back, event="visible"))
        if dead:
            target = queues[str(row.queue)].dead_letter_queue
            concluded.append(row._replace(time=back, event="dead-lettered", outcome=target))

    for row in rows:
        if row.message is None:
            continue
        if row.event == "received":
            before = open_receives.get(row.message)
            if before is not None:
                close(before, min(row.time, _back(before, queues, returns)), _moved(before, row.queue, queues))
            open_receives[row.message] = row
        elif row.event in ("deleted", "visible"):
            open_receives.pop(row.message, None)
    for row in open_receives.values():
        back = _back(row, queues, returns)
        if back <= now:
            close(row, back, row.request is not None and _used_up(row, queues))
    gone = {row.message for row in [*rows, *concluded] if row.event in ("deleted", "dead-lettered")}
    for row in rows:
        settings = queues.get(row.queue or "")
        if row.event == "sent" and row.message not in gone and settings is not None:
            end = row.time + settings.retention
            if end <= now:
                concluded.append(row._replace(time=end, event="expired", outcome=None))
    begun = {row.message: row.time for row in rows if row.event == "sent"}
    taken = {(row.message, row.queue) for row in rows if row.event == "deleted"}
    for row in [row for row in concluded if row.event == "dead-lettered"]:
        settings = queues.get(row.outcome or "")
        if settings is None or (row.message, row.outcome) in taken:
            continue
        # Only on a FIFO queue does the move begin the time anew (rows A74 and B29).
        sent_at = row.time if str(row.outcome).endswith(".fifo") else begun.get(row.message, row.time)
        end = max(row.time, sent_at + settings.retention)
        if end <= now:
            concluded.append(row._replace(time=end, event="expired", queue=row.outcome, outcome=None))
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
    now : callable, optional
        Returns the account's time.
    """

    def __init__(self, client: Callable[[str], Any], prefix: str, now: Callable[[], float] = time.time) -> None:
        self._client = client
        self._prefix = prefix
        self._now = now
        self._began = now()
        self._silent: set[str] = set()
        self.notes = Notes(now)

    def watch(self, service: str, client: Any) -> None:
        """Note what a client of SQS or Lambda does from now on; the code that it uploads gets the footer."""
        if service == "sqs":
            self.notes.watch(client)
        elif service == "lambda":
            self.notes.watch_functions(client)
            recorder_footer.install(client)

    def events(self, after: int, limit: int) -> dict[str, Any]:
        """Return all rows: logs arrive late and out of order, so everything is put together anew each time."""
        present = self._triggers()
        logged: list[Row] = []
        pages = self._client("logs").get_paginator("describe_log_groups")
        for page in pages.paginate(logGroupNamePrefix=f"/aws/lambda/{self._prefix}-"):
            for group in page["logGroups"]:
                logged += self._read(group["logGroupName"], present)
        noted = list(self.notes.rows)
        names = {row.queue for row in [*noted, *logged] if row.queue}
        queues = {name: settings for name in names if (settings := self._settings(name)) is not None}
        for name in {one.dead_letter_queue for one in queues.values() if one.dead_letter_queue} - set(queues):
            if (settings := self._settings(name)) is not None:
                queues[name] = settings
        rows = assemble(noted, logged, queues, self._now(), self.notes.returns)
        return {"events": rows, "columns": COLUMNS, "next": 0, "lost": 0, "whole": True}

    def _read(self, group: str, present: Collection[Trigger]) -> list[Row]:
        function = group.removeprefix("/aws/lambda/")
        pages = self._client("logs").get_paginator("filter_log_events")
        start = int((self._began - _LOOK_BACK) * 1000)
        events = [
            event for page in pages.paginate(logGroupName=group, startTime=start) for event in page.get("events", [])
        ]
        rows = rows_of_log(
            function,
            events,
            invoked=self.notes.invokes,
            reports=lambda queue, at: self._reports(present, function, queue, at),
        )
        self._notice_silence(function, rows, present)
        return rows

    def _triggers(self) -> list[Trigger]:
        pages = self._client("lambda").get_paginator("list_event_source_mappings").paginate()
        found = [Trigger.of(one) for page in pages for one in page["EventSourceMappings"]]
        return [one for one in found if one.function.startswith(f"{self._prefix}-")]

    def _reports(self, present: Collection[Trigger], function: str, queue: str, at: float) -> bool:
        """Return whether a function's report of failed messages of a queue counted."""
        of_both = (queue, function)
        noted = [one.reports for when, one in self.notes.triggers if one[:2] == of_both and when <= at]
        there = [one.reports for one in present if one[:2] == of_both]
        return [True, *there[-1:], *noted][-1]

    def _notice_silence(self, function: str, rows: Collection[Row], present: Collection[Trigger]) -> None:
        """Say once of a function behind a queue that its runs tell nothing of their messages."""
        ended = [row for row in rows if row.event == "succeeded" and row.request not in self.notes.invokes]
        if not ended or any(row.message for row in rows) or function in self._silent:
            return
        if any(one.function == function for one in present):
            self._silent.add(function)
            print(
                f"The recorder cannot tell which messages the runs of {function} had: its code was not uploaded "
                'through lab.client("lambda"), as with a template, or could not be added to.'
            )

    def _settings(self, name: str) -> Settings | None:
        from botocore.exceptions import ClientError

        sqs = self._client("sqs")
        try:
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
            answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=_SETTINGS)
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
            float(attributes.get("MessageRetentionPeriod", 345_600)),
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


def _used_up(row: Row, queues: Mapping[str, Settings]) -> bool:
    """Return whether a receive was the last one that its queue allows."""
    settings = queues.get(row.queue or "")
    most = settings.max_receive_count if settings else None
    return most is not None and (row.receive_count or 0) >= most


def _moved(row: Row, to: str | None, queues: Mapping[str, Settings]) -> bool:
    """Return whether a message that was received next from `to` had been moved there as a dead letter."""
    settings = queues.get(row.queue or "")
    return settings is not None and to != row.queue and to == settings.dead_letter_queue


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
    for key in ("receive_count", "sent_ms", "first_received_ms"):
        if str(line.get(key, "")).isdigit():
            known[key] = int(line[key])


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
