"""How many batches a mapping handles at once: five, more while it is behind, fewer in trouble, one for each group.

With real handlers where seconds are enough; where minutes are needed, real pollers on a real queue invoke a stand-in
whose work takes virtual time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from helpers.local_aws.clock import Clock, Scheduler
from helpers.local_aws.functions import Outcome, Throttled
from helpers.local_aws.mappings import Mappings, Settings
from helpers.local_aws.queues import Draft, Queues
from helpers.local_aws.space import Space

from .conftest import Aws
from .triggers import RECORDS, batches, change, dead_letters, peak, send, works_for

ARN = "arn:aws:lambda:us-east-1:111122223333:function:f"


@pytest.mark.behaviour("C64", "C66")
def test_a_hundred_messages_are_handled_by_more_and_more_environments(aws: Aws) -> None:
    queue = aws.queue()
    function = aws.function(works_for(0.1))
    uuid = aws.mapping(queue, function, BatchSize=1, Enabled=False)
    send(aws, queue, map(str, range(100)))
    change(aws, uuid, Enabled=True)
    aws.advance(10)
    runs = aws.printed(function)
    assert len(runs) == 100
    assert aws.counts(queue) == (0, 0)
    assert peak(runs) > 5
    start = min(run["begin"] for run in runs)
    # One more each fifth of a second.
    assert peak(runs) <= 5 + (max(run["end"] for run in runs) - start + 0.5) * 5


@pytest.mark.behaviour("C40", "C80")
def test_maximum_concurrency_holds_back_the_pollers(aws: Aws) -> None:
    queue = aws.queue()
    function = aws.function(works_for(0.1))
    uuid = aws.mapping(queue, function, BatchSize=1, Enabled=False, ScalingConfig={"MaximumConcurrency": 2})
    aws.client("lambda").put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=2)
    send(aws, queue, map(str, range(8)))
    start = aws.now()
    change(aws, uuid, Enabled=True)
    aws.advance(60)
    runs = aws.printed(function)
    assert peak(runs) == 2
    records = [record for run in runs for record in run["event"]["Records"]]
    assert len(records) == 8
    assert {record["attributes"]["ApproximateReceiveCount"] for record in records} == {"1"}
    aws.advance(60)
    assert not any(aws.metric("AWS/Lambda", "Throttles", "Sum", start, FunctionName=function))


@pytest.mark.behaviour("C81", "C94", "F22")
def test_throttled_messages_are_received_all_the_same_and_end_as_dead_letters(aws: Aws) -> None:
    queue, dead = dead_letters(aws, 2)
    function = aws.function(RECORDS)
    aws.mapping(queue, function, BatchSize=1)
    aws.client("lambda").put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    start = aws.now()
    send(aws, queue, ["good"])
    aws.advance(59)
    assert aws.counts(queue) == (0, 1)
    aws.advance(61)
    assert aws.counts(queue) == (0, 0)
    assert aws.printed(function) == []
    sums = {
        name: sum(aws.metric("AWS/Lambda", name, "Sum", start, FunctionName=function))
        for name in ("Throttles", "Invocations", "Errors")
    }
    # Each receive was tried until its visibility timeout was over.
    assert sums.pop("Throttles") >= 8
    assert sums == {"Invocations": 0, "Errors": 0}
    (message,) = aws.client("sqs").receive_message(QueueUrl=dead, MessageSystemAttributeNames=["All"])["Messages"]
    assert message["Body"] == "good"


@pytest.mark.behaviour("C94")
def test_a_throttled_batch_goes_through_within_its_visibility_timeout(aws: Aws) -> None:
    client = aws.client("lambda")
    queue = aws.queue()
    function = aws.function(RECORDS)
    aws.mapping(queue, function)
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    send(aws, queue, ["x"])
    aws.advance(10)
    client.delete_function_concurrency(FunctionName=function)
    aws.advance(15)
    (seen,) = aws.printed(function)
    assert seen["event"]["Records"][0]["attributes"]["ApproximateReceiveCount"] == "1"
    assert aws.counts(queue) == (0, 0)


@pytest.mark.behaviour("C95", "C96")
@pytest.mark.parametrize("reports", [False, True])
def test_failures_make_a_mapping_poll_less_unless_it_reports_them(aws: Aws, reports: bool) -> None:
    queue = aws.queue(VisibilityTimeout=600)
    function = aws.function(works_for(0.1, "raise RuntimeError('no')"))
    types = ["ReportBatchItemFailures"] * reports
    uuid = aws.mapping(queue, function, BatchSize=1, Enabled=False, FunctionResponseTypes=types)
    send(aws, queue, map(str, range(16)))
    change(aws, uuid, Enabled=True)
    aws.advance(10)
    runs = sorted(aws.printed(function), key=lambda run: run["begin"])
    assert len(runs) == 16
    if reports:
        assert peak(runs[8:]) >= 4
    else:
        assert peak(runs) <= 6
        assert peak(runs[-5:]) == 1


@pytest.mark.behaviour("C72", "C73")
def test_thirty_messages_in_two_batches(aws: Aws) -> None:
    client = aws.client("lambda")
    queue = aws.queue()
    function = aws.function(RECORDS)
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=2)
    settings = {
        "BatchSize": 20,
        "MaximumBatchingWindowInSeconds": 2,
        "ScalingConfig": {"MaximumConcurrency": 2},
    }
    uuid = aws.mapping(queue, function, Enabled=False, **settings)
    send(aws, queue, map(str, range(30)))
    change(aws, uuid, Enabled=True)
    aws.advance(5)
    sizes = [len(batch) for batch in batches(aws, function)]
    assert len(sizes) == 2
    assert sum(sizes) == 30


@pytest.mark.behaviour("C77", "C79")
@pytest.mark.parametrize(("maximum", "expected"), [(10, 6), (2, 2)])
def test_groups_and_maximum_concurrency_bound_a_fifo_queue(aws: Aws, maximum: int, expected: int) -> None:
    queue = aws.queue(fifo=True)
    function = aws.function(works_for(0.25 if maximum == 10 else 0.05))
    uuid = aws.mapping(queue, function, BatchSize=1, Enabled=False, ScalingConfig={"MaximumConcurrency": maximum})
    groups = "abcdef"
    for group in groups:
        send(aws, queue, [f"{group}{index}" for index in range(3)], group)
    change(aws, uuid, Enabled=True)
    aws.advance(5)
    runs = aws.printed(function)
    assert peak(runs) == expected
    bodies = [run["event"]["Records"][0]["body"] for run in sorted(runs, key=lambda run: run["begin"])]
    for group in groups:
        assert [body for body in bodies if body[0] == group] == [f"{group}{index}" for index in range(3)]
        assert peak([run for run in runs if run["event"]["Records"][0]["body"][0] == group]) == 1


@pytest.mark.behaviour("C79")
def test_a_fifo_batch_may_hold_several_groups_each_in_order(aws: Aws) -> None:
    queue = aws.queue(fifo=True)
    function = aws.function(RECORDS)
    uuid = aws.mapping(queue, function, Enabled=False)
    for number in range(3):
        for group in "ab":
            send(aws, queue, [f"{group}{number}"], group)
    change(aws, uuid, Enabled=True)
    aws.advance(1)
    (batch,) = batches(aws, function)
    for group in "ab":
        assert [body for body in batch if body[0] == group] == [f"{group}{number}" for number in range(3)]


@pytest.mark.behaviour("C77", "C78")
def test_one_group_is_handled_in_order_by_one_environment(aws: Aws) -> None:
    queue = aws.queue(fifo=True)
    function = aws.function(RECORDS)
    send(aws, queue, map(str, range(5)), "g")
    aws.mapping(queue, function, BatchSize=1)
    aws.advance(5)
    assert batches(aws, function) == [["0"], ["1"], ["2"], ["3"], ["4"]]
    streams = aws.client("logs").describe_log_streams(logGroupName=f"/aws/lambda/{function}")["logStreams"]
    assert len(streams) == 1


class Stage:
    """Real pollers and a real queue; the function is a stand-in that works for virtual seconds."""

    def __init__(self, seconds: float, **settings: Any) -> None:
        self.seconds = seconds
        self.concurrency = 10**6
        self.response = b"null"
        self.running = 0
        self.begun: list[float] = []
        self.pollers: list[float] = []
        self.clock = Clock()
        self.scheduler = Scheduler(self.clock)
        self.minutes: list[Callable[[float], None]] = []
        self.space = SimpleNamespace(
            account="111122223333",
            region="us-east-1",
            url="http://localhost:4566",
            clock=self.clock,
            scheduler=self.scheduler,
            metrics=SimpleNamespace(add=self._measured, each_minute=self.minutes.append),
            events=SimpleNamespace(publish=lambda *_, **__: None),
            permissions=SimpleNamespace(role_allows=lambda *_: True),
            keys=SimpleNamespace(role_may_read=lambda *_: True),
            functions=SimpleNamespace(resolve=lambda _: self),
            arn=lambda service, resource: f"arn:aws:{service}:us-east-1:111122223333:{resource}",
        )
        self.space.queues = self.queues = Queues(cast("Space", self.space))
        self.mappings = Mappings(cast("Space", self.space))
        self.space.mappings = self.mappings
        self.scheduler.after(60, self._minute)
        self.queue = self.queues.create("q", {"VisibilityTimeout": "43200"}, {})
        self.settings = functools.partial(Settings, ARN, **settings)
        self.mapping = self.mappings.create(self.queue, self.settings(), enabled=True, tags={})
        self.advance(1)

    # What a function version has.
    role = "arn:aws:iam::111122223333:role/r"
    timeout = 900

    def invoke(self, payload: bytes, done: Callable[[Outcome], None], *, source: str, traces: list[str | None]) -> None:
        """Work for some seconds of virtual time."""
        assert source
        assert payload
        assert traces
        if self.running >= self.concurrency:
            raise Throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
        self.running += 1
        self.begun.append(self.clock.now())

        def end() -> None:
            self.running -= 1
            done(Outcome(self.response, None, b"", "", "$LATEST"))

        self.scheduler.after(self.seconds, end)

    def _minute(self) -> None:
        self.scheduler.after(60, self._minute)
        for listener in self.minutes:
            listener(self.clock.now() - 60)

    def _measured(
        self, namespace: str, name: str, dimensions: dict[str, str], value: float, *_: Any, **__: Any
    ) -> None:
        if name == "ProvisionedPollers":
            assert (namespace, dimensions) == ("AWS/Lambda", {"EventSourceMappingUUID": self.mapping.uuid})
            self.pollers.append(value)

    def send(self, number: int, size: int = 1) -> None:
        """Send messages of some bytes."""
        with self.scheduler.lock:
            self.queue.send_many([Draft("x" * size) for _ in range(number)], "AIDAEXAMPLE")

    def advance(self, seconds: float) -> None:
        """Advance the clock."""
        assert self.scheduler.advance(self.clock.now() + seconds)


@pytest.mark.behaviour("C65", "C66", "C67")
def test_from_five_to_the_cap_at_three_hundred_a_minute() -> None:
    stage = Stage(600, batch_size=1)
    for _ in range(5):
        stage.send(1)
    assert stage.running == 5
    stage.send(1)
    assert (stage.running, stage.queue.visible) == (5, 1)
    stage.advance(0.5)
    assert stage.running == 6
    # All pollers are at work when the flood comes: none of them sees it.
    stage.advance(10)
    assert stage.running == 6
    stage.send(3000)
    stage.advance(60)
    assert 295 <= stage.running <= 310
    stage.advance(60)
    assert 590 <= stage.running <= 610
    stage.advance(240)
    assert stage.running == 1250


@pytest.mark.behaviour("C68")
def test_a_quiet_mapping_is_back_at_five() -> None:
    stage = Stage(20, batch_size=1)
    stage.send(500)
    stage.advance(60)
    assert stage.running > 50
    stage.advance(200)
    assert (stage.running, stage.queue.held) == (0, 0)
    stage.send(100)
    stage.advance(0.1)
    assert stage.running == 5


@pytest.mark.behaviour("C82", "C83")
def test_provisioned_pollers_begin_wider_and_grow_faster() -> None:
    stage = Stage(600, batch_size=1, provisioned=(("MinimumPollers", 3), ("MaximumPollers", 50)))
    stage.send(2000)
    assert stage.running == 30
    stage.advance(12)
    assert 215 <= stage.running <= 240
    assert stage.running % 10 == 0, "a poller comes with all that it carries"
    stage.advance(60)
    assert stage.running == 500


@pytest.mark.behaviour("F37")
def test_provisioned_pollers_are_counted_by_the_minute() -> None:
    stage = Stage(90, batch_size=1, provisioned=(("MinimumPollers", 2), ("MaximumPollers", 5)))
    stage.advance(60)
    stage.send(200)
    stage.advance(60)
    stage.advance(600)
    # As few as may be at first, as many as may be under load, and again as few when it is over.
    assert (stage.pollers[0], max(stage.pollers), stage.pollers[-1]) == (2, 5, 2)
    unprovisioned = Stage(1)
    unprovisioned.advance(120)
    assert unprovisioned.pollers == []


@pytest.mark.behaviour("C82")
@pytest.mark.parametrize(("size", "expected"), [(1, 200), (100_000, 21)])
def test_a_provisioned_poller_polls_ten_times_and_reads_a_megabyte_a_second(size: int, expected: int) -> None:
    stage = Stage(0, provisioned=(("MinimumPollers", 2), ("MaximumPollers", 2)))
    stage.advance(2)
    for _ in range(40):
        stage.send(10, size)
    # Two pollers: twenty polls of ten messages, or two megabytes and what the last poll brought beyond them.
    stage.advance(0.2)
    assert expected <= 400 - stage.queue.held < expected + 10
    stage.advance(1)
    assert 2 * expected <= 400 - stage.queue.held < 2 * expected + 20


@pytest.mark.behaviour("C81", "C94")
def test_a_throttled_mapping_reads_on_and_hardly_grows() -> None:
    # A minute of unchecked growth would be 300; where between five and thirty it swings, AWS does not say.
    stage = Stage(1, batch_size=1)
    stage.concurrency = 2
    stage.send(300)
    for _ in range(20):
        stage.advance(3)
        assert stage.running <= 2 < 5 <= stage.queue.in_flight <= 30
    assert stage.queue.held < 240


@pytest.mark.behaviour("C99")
def test_a_batch_is_judged_by_the_settings_it_began_with() -> None:
    stage = Stage(5, report_batch_item_failures=True)
    stage.response = b'{"batchItemFailures": [{"itemIdentifier": "no such message"}]}'
    stage.send(3)
    stage.mapping.update(stage.settings(report_batch_item_failures=False), None)
    stage.advance(10)
    assert (stage.mapping.state, stage.queue.in_flight) == ("Enabled", 3)


@pytest.mark.behaviour("C94")
@pytest.mark.parametrize("concurrency", [0, 1])
def test_without_any_visibility_timeout_time_still_passes(concurrency: int) -> None:
    stage = Stage(0.5, batch_size=1)
    stage.concurrency = concurrency
    stage.queues.configure(stage.queue, {"VisibilityTimeout": "0"})
    stage.send(20)
    stage.advance(30)
    assert len(stage.begun) <= 61 * concurrency
