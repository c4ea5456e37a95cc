"""What a workload costs: the model, the counts of what really happened, and that both agree on the local AWS."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas
import pytest

import helpers
from helpers import costs, messages, pictures, recorder, resources
from helpers.cleanup import sweep
from helpers.costs import Usage, Workload
from helpers.errors import LabError
from helpers.lab import Lab

WORKS = """
import json
import time

def handler(event, context):
    time.sleep(0.02)
    bad = [record["messageId"] for record in event["Records"] if record["body"].startswith("bad")]
    return {"batchItemFailures": [{"itemIdentifier": message} for message in bad]}
"""

TENS: dict[str, Any] = {"in_one_send": 10, "in_one_run": 10}
SMALL, LARGE = "x" * 500, "x" * 102_400


def log_of(rows: list[tuple[Any, ...]]) -> pandas.DataFrame:
    """Return a log of rows (seconds, event, message, request)."""
    columns = ["time", "event", "message", "request"]
    return recorder.frame([(1_700_000_000 + second, *rest) for second, *rest in rows], columns)


# ---- the model


def test_a_small_message_alone_takes_three_requests_and_in_tens_three_tenths() -> None:
    alone = costs.model(Workload(messages=1_000_000))
    assert alone.requests == {"send": 1e6, "receive": 1e6, "delete": 1e6, "idle": 0}
    assert alone.a_message == 3
    assert costs.model(Workload(messages=1_000_000, in_one_send=10, in_one_run=10)).a_message == pytest.approx(0.3)
    assert costs.model(Workload(messages=1_000_000, in_one_run=10)).a_message == pytest.approx(1.2)


def test_each_64_kb_is_a_request_when_it_is_sent_and_when_it_is_received() -> None:
    large = costs.model(Workload(messages=100, size=102_400))
    assert large.requests == {"send": 200, "receive": 200, "delete": 100, "idle": 0}
    tens = costs.model(Workload(messages=100, size=102_400, in_one_send=10, in_one_run=10))
    assert tens.requests == {"send": 160, "receive": 160, "delete": 10, "idle": 0}


def test_prices_are_those_of_the_dated_file() -> None:
    used = costs.model(Workload(messages=1_000_000, seconds=0.1, memory=128))
    assert used.dollars["send"] == pytest.approx(0.40)
    assert used.dollars["runs"] == pytest.approx(0.20)
    assert used.dollars["duration"] == pytest.approx(1e6 * 0.1 / 8 * 0.0000166667)
    assert costs.model(Workload(messages=1_000_000, fifo=True)).dollars["send"] == pytest.approx(0.50)
    assert used.total == pytest.approx(sum(used.dollars.values()))


def test_an_idle_trigger_and_provisioned_pollers_cost_without_a_message() -> None:
    idle = costs.model(Workload(messages=0, idle_triggers=40))
    assert idle.idle == 40 * 648_000
    assert idle.total == pytest.approx(10.368)
    pollers = costs.model(Workload(messages=0, provisioned_pollers=2))
    assert pollers.total == pytest.approx(2 * 720 * 0.00925)


def test_cold_starts_and_memory_count_and_time_goes_by_the_millisecond() -> None:
    work: dict[str, Any] = {"messages": 1_000, "seconds": 0.0101, "memory": 512}
    assert costs.model(Workload(**work)).gb_seconds == pytest.approx(1_000 * 0.011 / 2)
    cold = costs.model(Workload(**work, cold=0.1, init_seconds=0.3))
    assert cold.gb_seconds == pytest.approx((1_000 * 0.011 + 100 * 0.3) / 2)


def test_what_always_fails_is_received_again_and_never_deleted() -> None:
    used = costs.model(Workload(messages=1_000, failing=0.001, receives=11_520))
    assert used.receive == 1_000 + 11_519
    assert used.runs == used.receive
    assert used.delete == 999


def test_a_filter_saves_runs_and_no_requests() -> None:
    plain, filtered = (costs.model(Workload(messages=1_000, filtered=share)) for share in (0, 0.9))
    assert filtered.requests == pytest.approx(plain.requests)
    assert filtered.runs == pytest.approx(100)


def test_the_free_tier_is_told_and_not_taken_off() -> None:
    used = costs.model(Workload(messages=1_000_000))
    assert used.free == pytest.approx(0.40 + 0.20 + 12_500 * 0.0000166667)
    assert "The free tier is not taken off" in repr(used)
    assert f"worth ${used.free:.2f} of this at most" in repr(used)
    assert "SQS: empty receives" not in repr(used)
    assert "$" not in used._repr_html_().replace("<span>$</span>", "")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"messages": -1}, "messages of a workload is a number"),
        ({"messages": 1, "in_one_send": 11}, "sends 1 to 10 messages"),
        ({"messages": 1, "in_one_run": 0}, "1 message or more"),
        ({"messages": 1, "receives": 0}, "once or more"),
        ({"messages": 1, "failing": 0.6, "filtered": 0.6}, "are shares"),
    ],
)
def test_a_workload_that_cannot_be_is_told_in_a_sentence(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(LabError, match=said):
        Workload(**wrong)


def test_bills_are_drawn_beside_each_other_and_said_in_words() -> None:
    ways = {name: costs.model(Workload(messages=1e6, **words)) for name, words in {"alone": {}, "tens": TENS}.items()}
    ax = pictures.bills(ways)
    words = repr(ax.figure)
    assert "alone: $1.61 a month; tens: $0.16" in words
    assert "SQS: send $0.04" in words
    assert "empty receives" not in words
    assert ax.get_xlabel() == "US dollars a month for 1,000,000 messages"
    assert ax.get_title(loc="left") == "alone: $1.61 a month; tens: $0.16"
    with pytest.raises(LabError, match="nothing that costs"):
        pictures.bills({})


# ---- calls in a log


def test_what_went_in_one_call_is_one_call() -> None:
    log = log_of(
        [
            *((0, "sent", name, None) for name in "abc"),
            *((1, "received", name, None) for name in "abc"),
            *((1.1, "invoked", name, "run") for name in "abc"),
            *((1.2, "succeeded", name, "run") for name in "ab"),
            (1.2, "failed", "c", "run"),
            (1.3, "deleted", "a", None),
            (1.35, "deleted", "b", None),
            (31, "received", "c", None),
            (31.1, "invoked", "c", "again"),
            (31.2, "succeeded", "c", "again"),
            (31.3, "deleted", "c", None),
        ]
    )
    found = recorder.calls(log)
    assert list(found["kind"]) == ["send", "receive", "delete", "receive", "delete"]
    assert list(found["messages"]) == [3, 3, 2, 1, 1]
    assert recorder.requests_a_message(log) == pytest.approx(5 / 3)


def test_receives_of_two_pollers_at_one_moment_are_two_calls() -> None:
    log = log_of(
        [(0, "received", "a", None), (0, "received", "b", None), (1, "invoked", "a", "x"), (1, "invoked", "b", "y")]
    )
    assert list(recorder.calls(log)["kind"]) == ["receive", "receive"]
    assert recorder.calls(log_of([])).empty


def test_a_call_holds_ten_and_what_a_client_deletes_at_once_is_one_call() -> None:
    names = [f"m{number}" for number in range(12)]
    log = log_of(
        [
            *((0, "received", name, None) for name in names),
            *((2 + number / 100_000, "deleted", name, None) for number, name in enumerate(names[:4])),
            (3, "deleted", names[4], None),
        ]
    )
    assert [tuple(row) for row in recorder.calls(log)[["kind", "messages"]].to_numpy()] == [
        ("receive", 6),
        ("receive", 6),
        ("delete", 4),
        ("delete", 1),
    ]


# ---- what a learner hands over


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what an estimate needs of a lab."""
    monkeypatch.setenv("LAB_STATE_DIR", str(tmp_path))
    return SimpleNamespace(space="here")


def test_an_estimate_is_kept_until_it_is_forgotten(desk: Any) -> None:
    assert costs.estimated(desk, "15-budget") is None
    assert "Nothing is estimated yet" in repr(costs.estimate(desk, "15-budget", send=..., idle=...))
    assert costs.estimated(desk, "15-budget") is None
    said = repr(costs.estimate(desk, "15-budget", send=1_000, idle=2_000.4))
    assert "send 1,000, idle 2,000: 3,000 requests a month." in said
    costs.estimate(desk, "15-other", send=1)
    costs.estimate(desk, "15-budget", receive=5)
    assert costs.estimated(desk, "15-budget") == {"send": 0, "receive": 5, "delete": 0, "idle": 0}
    costs.forget(desk, "15-budget")
    assert costs.estimated(desk, "15-budget") is None
    assert costs.estimated(desk, "15-other") is not None


def test_an_estimate_that_is_none_is_told_in_a_sentence(desk: Any) -> None:
    with pytest.raises(LabError, match="'sends' is no kind of request"):
        costs.estimate(desk, "15-budget", sends=1)
    with pytest.raises(LabError, match="send is a number of requests"):
        costs.estimate(desk, "15-budget", send="many")


def test_a_file_of_estimates_that_cannot_be_read_is_set_aside(desk: Any, tmp_path: Path) -> None:
    costs.estimate(desk, "15-budget", send=1)
    (tmp_path / "estimates" / "15.json").write_text("{")
    assert costs.estimated(desk, "15-budget") is None
    costs.estimate(desk, "15-budget", send=2)
    assert (costs.estimated(desk, "15-budget") or {})["send"] == 2


# ---- both ways in, on the local AWS


@pytest.fixture
def lab(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Return a lab on a local AWS that this module's tests share, and leave it empty."""
    monkeypatch.setenv("LAB_SPACE", f"costs-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    for name in ("LAB_CLOUD", "LAB_AWS_ACCOUNT", "LAB_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    lab = helpers.connect("local")
    yield lab
    assert sweep(lab).total_left == 0


def play(lab: Lab, name: str, bodies: list[str], *, in_one_send: int, batch_size: int, **settings: Any) -> Usage:
    """Let messages wait in a queue, open its trigger, and return what was counted when all is over."""
    fifo = name.endswith(".fifo")
    queue = resources.queue(lab, name, visibility_timeout=10, max_receive_count=3)
    function = resources.function(lab, "works", source=WORKS)
    options: dict[str, Any] = {
        "queue": queue,
        "function": function,
        "batch_size": batch_size,
        "function_response_types": ["ReportBatchItemFailures"],
        **settings,
    }
    resources.trigger(lab, enabled=False, **options)
    began = lab.now()
    sqs = lab.client("sqs")
    for start in range(0, len(bodies), in_one_send):
        entries = [
            {"Id": str(number), "MessageBody": body}
            | ({"MessageGroupId": f"group-{number}", "MessageDeduplicationId": str(number)} if fifo else {})
            for number, body in enumerate(bodies[start : start + in_one_send], start)
        ]
        if in_one_send == 1:
            entries[0].pop("Id")
            sqs.send_message(QueueUrl=queue.url, **entries[0])
        else:
            assert "Failed" not in sqs.send_message_batch(QueueUrl=queue.url, Entries=entries)
    resources.trigger(lab, enabled=True, **options)
    lab.wait(180)
    usage = costs.counted(lab, queue.name, since=began)
    assert usage.messages == len(bodies)
    return usage


def agree(counted: Usage, expected: Usage) -> None:
    """Assert that every kind of request and the runs are within a tenth."""
    for kind in ("send", "receive", "delete", "runs"):
        assert getattr(counted, kind) == pytest.approx(getattr(expected, kind), rel=0.1), (kind, counted, expected)


WANTED = {"Filters": [{"Pattern": json.dumps({"body": {"region": ["eu"]}})}]}

LIVE: dict[str, tuple[list[str], dict[str, Any], dict[str, Any]]] = {
    "alone": ([SMALL] * 40, {"in_one_send": 1, "batch_size": 1}, {}),
    "tens": ([SMALL] * 100, {"in_one_send": 10, "batch_size": 10}, {"in_one_send": 10, "in_one_run": 10}),
    "mixed": ([SMALL] * 100, {"in_one_send": 1, "batch_size": 10}, {"in_one_run": 10}),
    "large": ([LARGE] * 20, {"in_one_send": 1, "batch_size": 1}, {"size": 102_400}),
    "large-tens": (
        [LARGE] * 40,
        {"in_one_send": 10, "batch_size": 10},
        {"size": 102_400, "in_one_send": 10, "in_one_run": 10},
    ),
    "hundreds": (
        [SMALL] * 400,
        {"in_one_send": 10, "batch_size": 100, "maximum_batching_window_in_seconds": 2},
        {"in_one_send": 10, "in_one_run": 80},
    ),
    "in-order.fifo": ([SMALL] * 40, {"in_one_send": 10, "batch_size": 1}, {"in_one_send": 10, "fifo": True}),
    "poison": (["bad"] * 4 + [SMALL] * 36, {"in_one_send": 1, "batch_size": 1}, {"failing": 0.1, "receives": 3}),
    "filtered": (
        [json.dumps({"region": "us" if number % 10 else "eu"}) for number in range(40)],
        {"in_one_send": 10, "batch_size": 1, "filter_criteria": WANTED},
        {"in_one_send": 10, "filtered": 0.9},
    ),
}


@pytest.mark.parametrize("name", LIVE)
def test_the_model_and_the_counts_agree_within_a_tenth(lab: Lab, name: str) -> None:
    bodies, way, described = LIVE[name]
    counted = play(lab, name, bodies, **way)
    if name == "hundreds":
        # How a window is divided is not fixed: the mean batch is what a learner would measure.
        described = {**described, "in_one_run": len(bodies) / counted.runs}
    expected = costs.model(Workload(messages=len(bodies), **{"size": 500, **described}))
    agree(counted, expected)
    assert counted.fifo == expected.fifo == name.endswith(".fifo")
    month = counted.scaled(1_000_000, idle=648_000)
    same = costs.model(Workload(messages=1_000_000, idle_triggers=1, **{"size": 500, **described}))
    assert sum(month.requests.values()) == pytest.approx(sum(same.requests.values()), rel=0.1)


def test_duration_is_what_the_report_lines_bill(lab: Lab) -> None:
    counted = play(lab, "timed", [SMALL] * 12, in_one_send=1, batch_size=1)
    logs, group = lab.client("logs"), f"/aws/lambda/{lab.name('works')}"
    lines = [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]
    billed = [int(line.split("Billed Duration: ")[1].split(" ms")[0]) for line in lines if "Billed Duration" in line]
    assert len(billed) == counted.runs == 12
    assert counted.gb_seconds == pytest.approx(sum(billed) / 1000 * 128 / 1024, rel=0.1)


@pytest.mark.behaviour("G15")
def test_an_idle_hour_is_counted_as_the_model_says(lab: Lab) -> None:
    queue = resources.queue(lab, "idle")
    resources.trigger(lab, queue=queue, function=resources.function(lab, "works", source=WORKS))
    began = lab.now()
    with pytest.raises(LabError, match="No whole minute"):
        costs.idle_a_month(lab, "idle", since=began)
    lab.wait(3_600)
    assert costs.counted(lab, "idle", since=began).idle == pytest.approx(900, rel=0.1)
    assert costs.idle_a_month(lab, "idle", since=began) == pytest.approx(costs.idle_month(), rel=0.1)


def test_a_report_by_tag_gives_each_its_queues_and_functions(lab: Lab) -> None:
    began = lab.now()
    function = resources.function(lab, "works", source=WORKS)
    for name, team in (("orders", "shop"), ("old", "archive"), ("loose", "")):
        queue = resources.queue(lab, name)
        resources.trigger(lab, queue=queue, function=function, batch_size=1)
        if team:
            lab.client("sqs").tag_queue(QueueUrl=queue.url, Tags={"team": team})
    lab.client("lambda").tag_resource(Resource=function.arn, Tags={"team": "shop"})
    messages.send_many(resources.queue(lab, "orders"), [{"order": number} for number in range(20)])
    lab.wait(600)
    table = costs.by_tag(lab, "team", since=began)
    assert set(table.index) == {"shop", "archive", "(no tag)"}
    assert table.index.name == "team"
    assert table.loc["shop", "messages"] == table.loc["shop", "runs"] == pytest.approx(20 * 4_320, rel=0.05)
    assert table.loc["archive", "messages"] == table.loc["archive", "runs"] == table.loc["archive", "lambda"] == 0
    assert table.loc["archive", "requests"] == pytest.approx(648_000)
    assert table.loc["shop", "lambda"] > 0
    assert table["dollars"].is_monotonic_decreasing
    assert table["dollars"].tolist() == pytest.approx((table["sqs"] + table["lambda"]).tolist())


def test_nothing_sent_costs_nothing(lab: Lab) -> None:
    resources.queue(lab, "empty")
    used = costs.counted(lab, "empty", since=datetime.now(UTC) - timedelta(minutes=2))
    assert used.total == 0
    assert used.a_message == 0
