"""CloudWatch's points as a DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .errors import LabError

if TYPE_CHECKING:
    import pandas

    from .lab import Lab

_MAXIMUM = {
    "ApproximateAgeOfOldestMessage",
    "ApproximateNumberOfMessagesVisible",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "ConcurrentExecutions",
    "UnreservedConcurrentExecutions",
}
_AVERAGE = {"Duration", "SentMessageSize"}


def points(
    lab: Lab,
    namespace: str,
    names: str | Sequence[str],
    *,
    statistic: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    period: int = 60,
    **dimensions: str,
) -> pandas.DataFrame:
    """Read metrics by `GetMetricData`.

    Parameters
    ----------
    lab : Lab
        Whose metrics.
    namespace : str
        `AWS/Lambda` or `AWS/SQS`.
    names : str or sequence of str
        The metrics, such as `Invocations`.
    statistic : str, optional
        `Sum`, `Average`, `Maximum`, `p99`, … Without it Maximum for depths, ages and concurrency (rows F1 to F4, F24),
        Average for `Duration` and `SentMessageSize` (F9, F23), Sum for the rest.
    start, end : datetime, optional
        With a time zone; without them the last 15 minutes on the lab's clock.
    period : int
        Seconds a point.
    **dimensions : str
        By AWS's own names: `FunctionName=…`, `QueueName=…`.

    Returns
    -------
    pandas.DataFrame
        A column a metric, a row a period that has a point; where only other metrics have one it holds NaN, because
        CloudWatch knows no value there.

    Raises
    ------
    LabError
        When no metric is named, or a time has no time zone.
    """
    import pandas

    wanted = [names] if isinstance(names, str) else list(names)
    if not wanted or not all(isinstance(name, str) and name for name in wanted):
        raise LabError("points() takes the name of a metric, or several.", "", "Such as 'Invocations'.")
    for moment in (start, end):
        if moment is not None and moment.tzinfo is None:
            raise LabError(f"{moment} has no time zone.", "CloudWatch counts in UTC.", "Use lab.now().")
    end = end or lab.now() + timedelta(seconds=1)
    start = start or end - timedelta(minutes=15)
    queries = [
        {
            "Id": f"m{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": namespace,
                    "MetricName": name,
                    "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
                },
                "Period": period,
                "Stat": statistic or ("Maximum" if name in _MAXIMUM else "Average" if name in _AVERAGE else "Sum"),
            },
        }
        for number, name in enumerate(wanted)
    ]
    values: dict[str, dict[Any, float]] = {name: {} for name in wanted}
    pages = lab.client("cloudwatch").get_paginator("get_metric_data")
    for page in pages.paginate(MetricDataQueries=queries, StartTime=start, EndTime=end, ScanBy="TimestampAscending"):
        for result in page["MetricDataResults"]:
            name = wanted[int(result["Id"][1:])]
            values[name].update(zip(result["Timestamps"], result["Values"], strict=True))
    columns = {name: pandas.Series(series, dtype=float) for name, series in values.items()}
    frame = pandas.DataFrame(columns)
    frame.index = pandas.to_datetime(frame.index, utc=True)
    return frame.sort_index().rename_axis("time")
