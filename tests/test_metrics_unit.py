"""Metrics: per-minute aggregates, and CloudWatch's queries over them."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.local_aws.clock import Clock, Scheduler
from helpers.local_aws.errors import ApiError
from helpers.local_aws.metrics_api import OPERATIONS
from helpers.local_aws.metrics_store import RETENTION_MINUTES, Metrics
from helpers.local_aws.protocol import Call
from helpers.local_aws.space import Identity

SQS = {"QueueName": "orders"}


@pytest.fixture
def space() -> Any:
    """Make a space with real time and metrics, at the start of an hour."""
    clock = Clock()
    made = SimpleNamespace(clock=clock, scheduler=Scheduler(clock))
    made.metrics = Metrics(made)  # type: ignore[arg-type]
    made.scheduler.advance(clock.now() // 3600 * 3600 + 3600)
    return made


def call(space: Any, operation: str, **params: Any) -> dict[str, Any]:
    """Call an operation as the front door does."""
    identity = Identity("arn:aws:iam::111122223333:user/learner", "AIDA", owner=True)
    answer = OPERATIONS[operation].run(Call(space, identity, operation, params))
    assert isinstance(answer, dict)
    return answer


def moment(seconds: float) -> datetime:
    """Return a naive UTC datetime, as moto's parsers make them."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def query(
    identifier: str = "m", stat: str = "Sum", period: int = 60, name: str = "Sent", **more: Any
) -> dict[str, Any]:
    """Return a metric query."""
    dimensions = [{"Name": key, "Value": value} for key, value in SQS.items()]
    metric = {"Namespace": "AWS/SQS", "MetricName": name, "Dimensions": dimensions}
    return {"Id": identifier, "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}, **more}


def data(space: Any, *queries: dict[str, Any], start: float, end: float, **more: Any) -> list[dict[str, Any]]:
    """Return the results of metric queries, oldest point first."""
    times = {"StartTime": moment(start), "EndTime": moment(end)}
    arguments = {"ScanBy": "TimestampAscending", **times, **more}
    answer = call(
        space,
        "GetMetricData",
        MetricDataQueries=list(queries),
        **arguments,
    )
    return list(answer["MetricDataResults"])


def refusal(space: Any, operation: str, **params: Any) -> ApiError:
    """Return the error of a refused call."""
    with pytest.raises(ApiError) as caught:
        call(space, operation, **params)
    return caught.value


@pytest.mark.behaviour("F13")
def test_a_minute_is_seen_once_it_is_over(space: Any) -> None:
    start = space.clock.now()
    space.metrics.add("AWS/SQS", "Sent", SQS, 1, at=start + 10)
    assert data(space, query(), start=start, end=start + 600)[0]["Values"] == []
    space.scheduler.advance(start // 60 * 60 + 60)
    result = data(space, query(), start=start, end=start + 600)[0]
    assert result["Values"] == [1]
    assert result["Timestamps"] == [datetime.fromtimestamp(start // 60 * 60, UTC)]
    assert (result["StatusCode"], result["Label"]) == ("Complete", "Sent")


@pytest.mark.behaviour("F23")
def test_statistics_of_a_period(space: Any) -> None:
    start = space.clock.now() // 3600 * 3600
    for number in range(1, 101):
        space.metrics.add("AWS/SQS", "Sent", SQS, number, "Milliseconds", at=start + 2 * number)
    space.scheduler.advance(start + 300)
    expected = {"Sum": 5050, "Average": 50.5, "Minimum": 1, "Maximum": 100, "SampleCount": 100, "p50": 50, "p99": 99}
    for stat, value in expected.items():
        assert data(space, query(stat=stat, period=300), start=start, end=start + 300)[0]["Values"] == [value]
    sums = data(space, query(), start=start, end=start + 300)[0]["Values"]
    assert (len(sums), sum(sums)) == (4, 5050)


def test_periods_are_aligned_to_the_epoch_and_the_end_is_excluded(space: Any) -> None:
    start = space.clock.now() // 3600 * 3600
    for minute in range(10):
        space.metrics.add("AWS/SQS", "Sent", SQS, 1, at=start + 60 * minute)
    space.scheduler.advance(start + 900)
    result = data(space, query(period=300), start=start + 120, end=start + 480)[0]
    assert [at.timestamp() - start for at in result["Timestamps"]] == [0, 300]
    assert result["Values"] == [5, 3]
    newest_first = data(space, query(period=300), start=start, end=start + 600, ScanBy="TimestampDescending")[0]
    assert [at.timestamp() - start for at in newest_first["Timestamps"]] == [300, 0]


def test_dimensions_and_namespace_must_match_exactly(space: Any) -> None:
    start = space.clock.now()
    space.metrics.add("AWS/SQS", "Sent", {"QueueName": "others"}, 1)
    space.metrics.add("AWS/Lambda", "Sent", SQS, 1)
    space.metrics.add("AWS/SQS", "Sent", {}, 1)
    space.scheduler.advance(start + 120)
    assert data(space, query(), start=start - 60, end=start + 120)[0]["Values"] == []


def test_arithmetic_on_queries(space: Any) -> None:
    start = space.clock.now() // 60 * 60
    for at, sent, deleted in ((0, 4, 2), (60, 8, 0), (120, 6, None)):
        space.metrics.add("AWS/SQS", "Sent", SQS, sent, at=start + at)
        if deleted is not None:
            space.metrics.add("AWS/SQS", "Deleted", SQS, deleted, at=start + at)
    space.scheduler.advance(start + 240)
    sums = query("m1", ReturnData=False), query("m2", name="Deleted", ReturnData=False)

    def values(expression: str) -> list[float]:
        results = data(space, {"Id": "e", "Expression": expression}, *sums, start=start, end=start + 240)
        assert [result["Id"] for result in results] == ["e"]
        return list(results[0]["Values"])

    assert values("m1 - m2") == [2, 8]
    assert values("100 * m1 / m2") == [200]
    assert values("SUM(METRICS())") == [6, 8, 6]
    assert values("MAX([m1, m2])") == [4, 8, 6]
    chained = ({"Id": "e2", "Expression": "e1 * 2"}, {"Id": "e1", "Expression": "m1 + 1", "ReturnData": False})
    assert data(space, *chained, *sums, start=start, end=start + 240)[0]["Values"] == [10, 18, 14]
    for bad in ("m9 + 1", "ANOMALY_DETECTION_BAND(m1)", "m1 +", "__import__('os')", "m1 ** 9"):
        with pytest.raises(ApiError, match="not offered here"):
            values(bad)


def test_get_metric_statistics(space: Any) -> None:
    start = space.clock.now() // 60 * 60
    for value in (1, 3):
        space.metrics.add("AWS/SQS", "Sent", SQS, value, at=start)
    space.scheduler.advance(start + 60)
    about = {
        "Namespace": "AWS/SQS",
        "MetricName": "Sent",
        "Dimensions": [{"Name": "QueueName", "Value": "orders"}],
        "StartTime": moment(start),
        "EndTime": moment(start + 300),
        "Period": 60,
    }
    answer = call(space, "GetMetricStatistics", **about, Statistics=["Sum", "Average"], ExtendedStatistics=["p100"])
    point = {"Timestamp": datetime.fromtimestamp(start, UTC), "Unit": "Count", "Sum": 4, "Average": 2}
    assert answer == {"Label": "Sent", "Datapoints": [{**point, "ExtendedStatistics": {"p100": 3}}]}
    assert call(space, "GetMetricStatistics", **about, Statistics=["Sum"], Unit="Bytes")["Datapoints"] == []
    refused = refusal(space, "GetMetricStatistics", **{**about, "Period": 90}, Statistics=["Sum"])
    assert refused.query_code == "InvalidParameterValue"
    long = {**about, "StartTime": moment(start - 90_000), "EndTime": moment(start)}
    refused = refusal(space, "GetMetricStatistics", **long, Statistics=["Sum"])
    assert refused.query_code == "InvalidParameterCombination"
    assert refused.message.startswith("You have requested up to 1,500 datapoints, which exceeds the limit of 1,440.")
    assert refusal(space, "GetMetricStatistics", **about).query_code == "MissingParameter"


def test_the_range_must_run_forwards(space: Any) -> None:
    now = space.clock.now()
    times = {"StartTime": moment(now), "EndTime": moment(now - 60)}
    refused = refusal(space, "GetMetricData", MetricDataQueries=[query()], **times)
    assert (refused.code, refused.status) == ("ValidationError", 400)
    assert refused.message == "The parameter StartTime must be less than the parameter EndTime."
    times["EndTime"] = times["StartTime"]
    refused = refusal(space, "GetMetricData", MetricDataQueries=[query()], **times)
    assert refused.message == "The parameter StartTime must not equal parameter EndTime."


def test_put_and_list_custom_metrics(space: Any) -> None:
    start = space.clock.now() // 60 * 60
    dimensions = [{"Name": "b", "Value": "2"}, {"Name": "a", "Value": "1"}]
    about = {"MetricName": "Orders", "Dimensions": dimensions, "Timestamp": moment(start)}
    four = {"SampleCount": 4, "Sum": 20, "Minimum": 2, "Maximum": 8}
    metrics = [
        {**about, "Value": 1.0, "Unit": "Count"},
        {**about, "Values": [2.0, 3.0], "Counts": [1.0, 2.0], "Unit": "Count"},
        {**about, "MetricName": "Sizes", "StatisticValues": four},
    ]
    call(space, "PutMetricData", Namespace="Shop", MetricData=metrics)
    space.scheduler.advance(start + 60)
    for name, stat, value in (("Orders", "Sum", 9), ("Orders", "SampleCount", 4), ("Sizes", "Average", 5)):
        metric = {"Namespace": "Shop", "MetricName": name, "Dimensions": dimensions[::-1]}
        asked = {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}}
        assert data(space, asked, start=start, end=start + 60)[0]["Values"] == [value]
    listed = call(space, "ListMetrics", Namespace="Shop", Dimensions=[{"Name": "a"}])["Metrics"]
    assert [one["MetricName"] for one in listed] == ["Orders", "Sizes"]
    assert call(space, "ListMetrics", Dimensions=[{"Name": "a", "Value": "9"}])["Metrics"] == []
    assert (
        refusal(space, "PutMetricData", Namespace="AWS/SQS", MetricData=metrics).query_code == "InvalidParameterValue"
    )
    both = [{**metrics[0], "Values": [1.0]}]
    refused = refusal(space, "PutMetricData", Namespace="Shop", MetricData=both)
    assert refused.query_code == "InvalidParameterCombination"


def test_each_minute_is_walked_in_virtual_time(space: Any) -> None:
    seen: list[float] = []
    space.metrics.each_minute(seen.append)
    start = space.clock.now() // 60 * 60
    space.scheduler.advance(start + 600)
    assert seen == [start + 60 * minute for minute in range(10)]


def test_points_are_dropped_after_fifteen_days(space: Any) -> None:
    start = int(space.clock.now() // 60)
    for minute in range(start, start + RETENTION_MINUTES + 100):
        space.metrics.add("AWS/SQS", "Sent", SQS, 1, at=minute * 60)
    series = space.metrics.get("AWS/SQS", "Sent", SQS)
    assert len(series.points) <= RETENTION_MINUTES + 1
    assert start not in series.points


def test_many_different_values_stay_small_and_close(space: Any) -> None:
    start = space.clock.now() // 60 * 60
    for number in range(20_000):
        space.metrics.add("AWS/SQS", "Sent", SQS, 1 + number / 7, at=start)
    space.scheduler.advance(start + 60)
    assert len(space.metrics.get("AWS/SQS", "Sent", SQS).points[start // 60].values) < 4_000
    assert data(space, query(stat="p90"), start=start, end=start + 60)[0]["Values"][0] == pytest.approx(2572, rel=0.01)


def test_queries_over_many_points_come_whole(space: Any) -> None:
    start = space.clock.now() // 60 * 60
    for minute in range(20_000):
        space.metrics.add("AWS/SQS", "Sent", SQS, minute, at=start + 60 * minute)
    space.scheduler.advance(start + 60 * 20_000)
    queries = [query(f"m{number}", stat) for number, stat in enumerate(("Sum", "Average", "p50", "p99", "Maximum"))]
    results = data(space, *queries, start=start, end=start + 60 * 20_000)
    assert [len(result["Values"]) for result in results] == [20_000] * 5
