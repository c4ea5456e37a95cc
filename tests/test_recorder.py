"""The flight recorder: the feed, what is read from it, the tables made of it, and its form for a real account."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pandas
import pytest

from helpers import recorder, recorder_aws, recorder_feed
from helpers.errors import LabError
from helpers.local_aws import events as feed
from helpers.recorder_feed import Recorder
from tests.flights import T0, Flight, failing, grouped, message_id, throttled


def at(seconds: float) -> pandas.Timestamp:
    """Return a moment after the logs' beginning."""
    return pandas.Timestamp(T0, unit="s", tz="UTC") + pandas.Timedelta(seconds=seconds)


# The feed.


def new_feed(capacity: int = 10) -> feed.Events:
    space: Any = SimpleNamespace(
        clock=SimpleNamespace(now=lambda: 5.0), scheduler=SimpleNamespace(lock=threading.RLock())
    )
    return feed.Events(space, capacity)


def test_both_sides_call_the_columns_the_same() -> None:
    assert feed.COLUMNS == recorder.COLUMNS == recorder_aws.Row._fields


def test_the_feed_gives_what_came_after_a_number() -> None:
    events = new_feed()
    for number in range(7):
        events.publish("sent", message=str(number), at=float(number))
    first = events.since(0, 3)
    assert [row[2] for row in first.rows] == ["0", "1", "2"]
    assert (first.next, first.lost) == (3, 0)
    for start in range(3, 8):
        assert [row[2] for row in events.since(start).rows] == [str(number) for number in range(start, 7)]
    assert events.since(7) == ([], 7, 0)
    events.publish("deleted", message="0")
    assert events.since(7).rows[0][:3] == (5.0, "deleted", "0")


def test_the_feed_says_how_many_it_gave_up() -> None:
    events = new_feed(capacity=4)
    for number in range(10):
        events.publish("sent", message=str(number))
    assert (len(events), events.published) == (4, 10)
    page = events.page(2, 2)
    assert (page["lost"], page["next"]) == (4, 8)
    assert [row[2] for row in page["events"]] == ["6", "7"]
    assert json.loads(json.dumps(page))["columns"] == list(recorder.COLUMNS)


def test_a_number_of_another_server_gives_a_smaller_one_back() -> None:
    assert new_feed().since(99) == ([], 0, 0)


# Reading.


class Pages:
    """A source whose rows grow."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows
        self.asked: list[int] = []
        self.lost = 0

    def events(self, after: int, limit: int) -> dict[str, Any]:
        """Return rows as the lab endpoint does."""
        self.asked.append(after)
        following = min(after, len(self.rows))
        rows = self.rows[following : following + limit]
        lost, self.lost = self.lost, 0
        return {"events": rows, "columns": recorder.COLUMNS, "next": following + len(rows), "lost": lost}


def test_the_recorder_asks_only_for_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_feed, "_PAGE", 5)
    source = Pages(failing().rows[:8])
    reader = Recorder(source)
    assert len(reader.log()) == 8
    source.rows, source.lost = failing().rows, 2
    log = reader.log()
    assert len(log) == len(failing().rows)
    assert log["time"].is_monotonic_increasing
    assert log.attrs["lost"] == 2
    assert source.asked[:3] == [0, 5, 8]


def test_another_server_is_read_from_its_beginning() -> None:
    source = Pages(failing(3).rows)
    reader = Recorder(source)
    reader.log()
    source.rows = failing().rows[:2]
    assert list(reader.log()["event"]) == ["sent", "received"]


def test_the_columns_have_the_same_types_with_and_without_rows() -> None:
    empty, full = recorder.frame([]), failing().log()
    assert tuple(full.columns) == recorder.COLUMNS
    assert dict(empty.dtypes) == dict(full.dtypes)
    assert str(full["time"].dtype) == "datetime64[us, UTC]"
    assert full["time"].iloc[0] == at(0)


def test_a_log_is_cut_to_a_queue_a_function_or_a_time() -> None:
    other = Flight("others", "other")
    other.add(1, "sent", "x")
    other.add(2, "received", "x", receive_count=1)
    other.run(3, 4, "rx", {"x": 1}, environment="e9", cold=0.1)
    source = Pages(failing().rows + other.rows)
    reader = Recorder(source, lambda name: name.removeprefix("lab-1-"))
    assert set(reader.log(queue="arn:aws:sqs:us-east-1:123456789012:others")["message"].dropna()) == {"x"}
    assert set(reader.log(queue="http://localhost/123456789012/lab-1-others")["environment"].dropna()) == {"e9"}
    of_function = reader.log(function="other")
    assert list(of_function["event"]).count("sent") == 1
    assert set(of_function["function"].dropna()) == {"other"}
    late = reader.log(queue="orders", since=datetime.fromtimestamp(T0 + 60, UTC))
    assert late["time"].min() >= at(60)
    assert "dead-lettered" in set(late["event"])
    with pytest.raises(LabError, match="has no time zone"):
        reader.log(since=datetime(2026, 1, 1))


def test_seen_from_the_dead_letter_queue_a_dead_letter_waits() -> None:
    log = failing(2, 2).log()
    assert dict(recorder.end_states(recorder.select(log, queue="orders"))) == {"dead": 2}
    seen = recorder.select(log, queue="orders-dlq")
    assert dict(recorder.end_states(seen)) == {"waiting": 2}
    assert set(seen["outcome"].dropna()) == {"from orders"}


# Tables.


def test_a_failing_message_s_way_in_numbers() -> None:
    (row,) = recorder.messages(failing().log()).itertuples()
    assert (row.attempts, row.runs, row.failures, row.end) == (3, 3, 3, "dead")
    assert row.first_wait_s == pytest.approx(0.1)
    assert row.total_s == pytest.approx(90.1)
    assert row.ended == at(90.1)


def test_each_end_is_recognised() -> None:
    flight = Flight()
    for name in ("done", "filtered", "expired", "waiting", "in flight", "later"):
        flight.add(0, "sent", name, outcome="delayed" if name == "later" else None)
    for name in ("done", "filtered", "in flight"):
        flight.add(1, "received", name, receive_count=1)
    flight.add(2, "filtered", "filtered")
    flight.add(2, "deleted", "filtered")
    flight.add(2, "deleted", "done")
    flight.add(3, "expired", "expired")
    flight.add(5, "deduplicated", "done")
    ends = recorder.messages(flight.log())["end"]
    assert {name: end for name, end in ends.items() if name != "later"} == {
        name: name for name in ends.index if name != "later"
    }
    assert ends["later"] == "delayed"
    states = [state for state in recorder.STATES if state not in ("dead", "redriven")]
    assert list(recorder.end_states(flight.log()).index) == states


def test_a_redriven_message_ends_and_a_new_one_begins() -> None:
    flight = failing()
    old = message_id(0)
    flight.add(95, "received", old, queue="orders-dlq", receive_count=4)
    flight.add(100, "redriven", "new", outcome=old)
    flight.add(101, "received", "new", receive_count=1)
    flight.add(102, "deleted", "new")
    table = recorder.messages(flight.log())
    assert dict(table["end"]) == {old: "redriven", "new": "done"}
    assert table.loc["new", "total_s"] == pytest.approx(2)


def test_a_dead_letter_that_is_read_and_deleted_stays_dead() -> None:
    flight = failing()
    flight.add(95, "received", message_id(0), queue="orders-dlq", receive_count=4)
    flight.add(96, "deleted", message_id(0), queue="orders-dlq")
    assert dict(recorder.end_states(flight.log())) == {"dead": 1}


def test_a_batch_that_fails_in_part_is_no_failed_run() -> None:
    whole, part = (recorder.invocations(failing(10, 1, partial=partial).log()) for partial in (False, True))
    assert list(whole["status"]) == ["failed"] * 3
    assert list(whole["batch"]) == [10, 10, 10]
    assert list(part["status"]) == ["partial"] * 3
    assert list(part["batch"]) == [10, 1, 1]
    assert list(part["failed"]) == [1, 1, 1]
    assert list(part["outcome"]) == [recorder.PARTIAL] * 3


def test_a_cold_start_is_told_from_the_run() -> None:
    table = recorder.invocations(failing().log())
    assert list(table["cold"]) == [True, False, False]
    assert table["init_s"].iloc[0] == pytest.approx(0.1)
    assert list(table["environment"]) == ["e1"] * 3
    first = table.iloc[0]
    assert (first["accepted"], first["start"]) == (at(0.1), at(0.2))
    assert first["duration_s"] == pytest.approx(0.2)


def test_direct_calls_count_each_try_of_the_same_request() -> None:
    flight = Flight()
    for attempt in range(3):
        about = {"request": "r", "function": "handle"}
        flight.add(attempt * 60, "invoked", **about)
        flight.add(attempt * 60 + 1, "failed", environment="e1", outcome="ValueError", **about)
    flight.add(200, "invoked", request="q", function="handle")
    table = recorder.invocations(flight.log())
    assert list(table["status"]) == ["failed", "failed", "failed", "running"]
    assert list(table["batch"]) == [0] * 4
    assert list(table["outcome"])[:3] == ["ValueError"] * 3


def test_side_effects_count_runs_and_add_up_by_business_key() -> None:
    log = failing(2, 2).log()
    assert dict(recorder.side_effects(log)) == {message_id(0): 3, message_id(1): 3}
    assert dict(recorder.side_effects(log, {message_id(0): "order-7", message_id(1): "order-7"})) == {"order-7": 6}


def test_counts_over_time_add_up_to_what_was_sent() -> None:
    for flight in (failing(10, 1, partial=True), grouped(), throttled()):
        counts = recorder.counts_over_time(flight.log())
        sent = sum(row[1] == "sent" for row in flight.rows)
        assert counts.iloc[-1].sum() == sent
        assert (counts >= 0).all(axis=None)
        assert counts.index.is_unique


@pytest.mark.behaviour("F1")
def test_the_oldest_message_leaves_the_metric_after_three_receives_on_a_standard_queue() -> None:
    moments = pandas.DatetimeIndex([at(10), at(59), at(61), at(95)])
    ages = recorder.age_of_oldest(failing().log(), moments)
    assert list(ages.round(1))[:2] == [10, 59]
    assert ages.isna().tolist() == [False, False, True, True]
    fifo = failing()
    fifo.rows = [tuple("orders.fifo" if field == "orders" else field for field in row) for row in fifo.rows]
    assert list(recorder.age_of_oldest(fifo.log(), moments).isna()) == [False, False, False, True]


def test_every_table_of_an_empty_log_is_empty() -> None:
    log = recorder.frame([])
    for table in (
        recorder.messages(log),
        recorder.invocations(log),
        recorder.end_states(log),
        recorder.side_effects(log),
        recorder.transitions(log),
        recorder.counts_over_time(log),
        recorder.select(log, queue="q", function="f"),
    ):
        assert len(table) == 0


# A real account: recorded answers and log lines.

STREAM = "2026/11/22/[$LATEST]0a1b2c3d"
FIRST = "8f6a2b1c-0000-4000-8000-000000000001"
SECOND = "8f6a2b1c-0000-4000-8000-000000000002"


def lines(*texts: tuple[float, str], stream: str = STREAM) -> list[dict[str, Any]]:
    """Return log events as FilterLogEvents does."""
    return [
        {"logStreamName": stream, "timestamp": int((T0 + seconds) * 1000), "message": text} for seconds, text in texts
    ]


def printed(message: str, count: int = 1, **more: Any) -> str:
    """Return the line that a handler prints for a record."""
    return json.dumps({"record": message, "receive_count": count, "queue": "orders", **more}) + "\n"


COLD_AND_FAILED = lines(
    (1.0, "INIT_START Runtime Version: python:3.13.v1\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime:0\n"),
    (1.2, f"START RequestId: {FIRST} Version: $LATEST\n"),
    (1.2, printed("m1")),
    (1.3, printed("m2", group="eu")),
    (1.4, "[ERROR] KeyError: 'total'\nTraceback (most recent call last):\n  File \"/var/task/app.py\", line 5\n"),
    (1.4, f"END RequestId: {FIRST}\n"),
    (
        1.4,
        f"REPORT RequestId: {FIRST}\tDuration: 200.00 ms\tBilled Duration: 401 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 34 MB\tInit Duration: 112.50 ms\t\n",
    ),
)
WARM_AND_PARTIAL = lines(
    (31.2, f"START RequestId: {SECOND} Version: $LATEST\n"),
    (31.2, printed("m1", 2)),
    (31.2, printed("m2", 2)),
    (31.3, json.dumps({"record": "m2", "outcome": "failed"})),
    (31.4, f"END RequestId: {SECOND}\n"),
    (31.4, f"REPORT RequestId: {SECOND}\tDuration: 200.00 ms\tBilled Duration: 200 ms\t\n"),
)


def test_a_log_tells_runs_cold_starts_failures_and_messages() -> None:
    rows = recorder_aws.rows_of_log("handle", COLD_AND_FAILED + WARM_AND_PARTIAL)
    log = recorder.frame(rows)
    table = recorder.invocations(log)
    assert list(table["status"]) == ["failed", "partial"]
    assert list(table["outcome"]) == ["KeyError", recorder.PARTIAL]
    assert list(table["cold"]) == [True, False]
    assert table["init_s"].iloc[0] == pytest.approx(0.1125)
    assert set(table["environment"]) == {"0a1b2c3d"}
    assert list(table["batch"]) == [2, 2]
    assert dict(recorder.messages(log)["end"]) == {"m1": "done", "m2": "in flight"}
    assert set(log.loc[log["message"] == "m2", "group"].dropna()) == {"eu"}


def test_a_run_that_times_out_or_is_killed_is_failed() -> None:
    report = f"REPORT RequestId: {FIRST}\tDuration: 3000.00 ms\tStatus: "
    for ending, outcome in (
        (f"2026-11-22T00:00:04.000Z {FIRST} Task timed out after 3.00 seconds\n\n", "Sandbox.Timedout"),
        (report + "timeout\n", "Sandbox.Timedout"),
        (report + "error\tError Type: Runtime.OutOfMemory\n", "Runtime.OutOfMemory"),
    ):
        events = lines(
            (0, f"START RequestId: {FIRST} Version: $LATEST\n"), (3, ending), (3, f"END RequestId: {FIRST}\n")
        )
        rows = recorder_aws.rows_of_log("handle", events)
        assert [(row.event, row.outcome) for row in rows] == [("invoked", None), ("failed", outcome)]


def test_a_log_in_the_json_format_says_the_same() -> None:
    def platform(kind: str, **record: Any) -> str:
        return json.dumps({"time": "2026-11-22T00:00:00.000Z", "type": f"platform.{kind}", "record": record})

    events = lines(
        (0.0, platform("initStart", functionName="handle")),
        (0.2, platform("start", requestId=FIRST, version="$LATEST")),
        (0.2, printed("m1")),
        (0.3, json.dumps({"level": "INFO", "message": {"record": "m2", "receive_count": "1"}})),
        (0.4, json.dumps({"level": "ERROR", "errorType": "KeyError", "message": "'total'", "requestId": FIRST})),
        (0.5, platform("report", requestId=FIRST, metrics={"initDurationMs": 112.5}, status="success")),
    )
    (row,) = recorder.invocations(recorder.frame(recorder_aws.rows_of_log("handle", events))).itertuples()
    assert (row.batch, row.status, row.outcome, row.cold) == (2, "failed", "KeyError", True)


def test_an_unfinished_run_and_lines_of_nobody_are_no_obstacle() -> None:
    events = lines(
        (0, "loading\n"), (0, "{not json"), (1, f"START RequestId: {FIRST} Version: $LATEST\n"), (2, "[1]\n")
    )
    assert [row.event for row in recorder_aws.rows_of_log("handle", events)] == ["invoked"]


@pytest.mark.behaviour("C88", "A68")
def test_returns_and_the_dead_letter_queue_are_concluded() -> None:
    queues = {"orders": recorder_aws.Settings(30, 2, "orders-dlq")}
    sent = [recorder_aws.Row(T0, "sent", name, "orders", group="eu") for name in ("m1", "m2")]
    logged = recorder_aws.rows_of_log("handle", COLD_AND_FAILED + WARM_AND_PARTIAL)
    log = recorder.frame(recorder_aws.assemble(sent, logged, queues, T0 + 70))
    table = recorder.messages(log)
    assert dict(table["end"]) == {"m1": "done", "m2": "dead"}
    assert dict(table["attempts"]) == {"m1": 2, "m2": 2}
    assert table.loc["m2", "ended"] == at(61.2)
    assert list(log.loc[log["event"] == "visible", "time"]) == [at(31.2), at(31.2), at(61.2)]
    assert set(log.loc[log["message"] == "m1", "group"]) == {"eu"}
    early = recorder.frame(recorder_aws.assemble(sent, logged, queues, T0 + 40))
    assert recorder.messages(early).loc["m2", "end"] == "in flight"


class Events:
    """The part of a boto3 client that hooks are registered with."""

    def __init__(self) -> None:
        self.hooks: dict[str, Any] = {}
        self.meta = SimpleNamespace(events=self)

    def register(self, name: str, hook: Any) -> None:
        """Keep a hook."""
        self.hooks[name] = hook

    def call(self, name: str, answer: dict[str, Any], status: int = 200, **params: Any) -> None:
        """Do what botocore does around a call."""
        context: dict[str, Any] = {}
        params = {"QueueUrl": "https://sqs.us-east-1.amazonaws.com/123456789012/orders", **params}
        self.hooks["before-parameter-build.sqs"](params=params, model=None, context=context)
        response = SimpleNamespace(status_code=status)
        self.hooks[f"after-call.sqs.{name}"](http_response=response, parsed=answer, model=None, context=context)


def test_what_clients_do_is_noted() -> None:
    moments = iter(range(100))
    notes = recorder_aws.Notes(now=lambda: T0 + next(moments))
    client = Events()
    notes.watch(client)
    entries = [{"Id": "a", "MessageGroupId": "eu"}, {"Id": "b", "MessageBody": "too large"}]
    client.call(
        "SendMessageBatch", {"Successful": [{"Id": "a", "MessageId": "m1"}], "Failed": [{"Id": "b"}]}, Entries=entries
    )
    client.call("SendMessage", {"MessageId": "m2"}, DelaySeconds=5)
    client.call("SendMessage", {"MessageId": "m2"})
    client.call("SendMessage", {"Error": {}}, status=400)
    received = [{"MessageId": name, "ReceiptHandle": f"h-{name}"} for name in ("m1", "m2")]
    client.call("ReceiveMessage", {"Messages": received}, VisibilityTimeout=3)
    client.call("DeleteMessage", {}, ReceiptHandle="h-m1")
    client.call("ChangeMessageVisibility", {}, ReceiptHandle="h-m2", VisibilityTimeout=0)
    client.call("ReceiveMessage", {"Messages": [{"MessageId": "m2", "ReceiptHandle": "h2-m2"}]}, VisibilityTimeout=3)
    client.call("DeleteMessage", {}, ReceiptHandle="h-m2")
    client.call("ReceiveMessage", {})
    seen = [(row.event, row.message, row.receive_count) for row in notes.rows]
    assert seen == [
        ("sent", "m1", None),
        ("sent", "m2", None),
        ("deduplicated", "m2", None),
        ("received", "m1", 1),
        ("received", "m2", 1),
        ("deleted", "m1", 1),
        ("visible", "m2", 1),
        ("received", "m2", 2),
    ]
    assert (notes.rows[0].group, notes.rows[1].outcome) == ("eu", "delayed")
    rows = recorder_aws.assemble(notes.rows, [], {}, T0 + 100, notes.returns)
    assert rows[-1].event == "visible"
    assert rows[-1].time == notes.rows[-1].time + 3


def test_hooks_fit_botocore() -> None:
    import boto3
    from botocore.stub import Stubber

    client = boto3.Session().client(
        "sqs", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    notes = recorder_aws.Notes()
    notes.watch(client)
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/orders.fifo"
    with Stubber(client) as stub:
        stub.add_response("send_message", {"MessageId": "m1", "MD5OfMessageBody": "5d41402abc4b2a76b9719d911017c592"})
        client.send_message(QueueUrl=url, MessageBody="hello", MessageGroupId="eu")
    (row,) = notes.rows
    assert (row.event, row.message, row.queue, row.group) == ("sent", "m1", "orders.fifo", "eu")
