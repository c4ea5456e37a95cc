"""CloudWatch's API for metrics: GetMetricData, GetMetricStatistics, ListMetrics and PutMetricData."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from .errors import ApiError
from .metrics_store import MINUTE, Bucket, Series
from .protocol import Call, Operation

STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
PERCENTILE = re.compile(r"p(100|\d{1,2}(\.\d{1,10})?)")
_MOST_POINTS = 1440
_MOST_QUERIES = 500
_PAGE = 500

Points = dict[int, float]
"""Values by the start of their periods, in seconds since the epoch."""


def get_metric_data(call: Call) -> dict[str, Any]:
    """Answer metric queries and arithmetic on them."""
    start, end = _range(call, "ValidationError")
    queries: Sequence[Mapping[str, Any]] = call.params.get("MetricDataQueries") or []
    if not queries:
        _missing("MetricDataQueries")
    if len(queries) > _MOST_QUERIES:
        _refuse(
            "ValidationError", f"The collection MetricDataQueries must not have a size greater than {_MOST_QUERIES}."
        )
    identifiers = [str(query.get("Id", "")) for query in queries]
    for number, identifier in enumerate(identifiers, 1):
        if not re.fullmatch(r"[a-z][a-zA-Z0-9_]*", identifier):
            _refuse(
                "ValidationError",
                f"The value {identifier} for parameter MetricDataQueries.member.{number}.Id is not matching the "
                "expected pattern ^[a-z][a-zA-Z0-9_]*$.",
            )
        if identifier in identifiers[: number - 1]:
            _refuse("ValidationError", f"The id {identifier} is used more than once in MetricDataQueries.")
    known: dict[str, Points] = {}
    labels: dict[str, str] = {}
    for number, query in enumerate(queries, 1):
        if "MetricStat" in query:
            known[query["Id"]], labels[query["Id"]] = _metric_points(call, query["MetricStat"], number, start, end)
        elif "Expression" not in query:
            _refuse(
                "ValidationError",
                f"Exactly one of the elements of MetricDataQueries.member.{number} must be non null: "
                "MetricStat or Expression.",
            )
    metrics = list(known)
    waiting = [query for query in queries if "MetricStat" not in query]
    while waiting:
        ready = [query for query in waiting if not (_names(query["Expression"]) - set(known)) & set(identifiers)]
        for query in ready or waiting[:1]:
            known[query["Id"]] = _Expression(query["Expression"], known, metrics).points()
            labels[query["Id"]] = query["Id"]
            waiting.remove(query)
    newest_first = call.params.get("ScanBy", "TimestampDescending") != "TimestampAscending"
    results = []
    for query in queries:
        if query.get("ReturnData", True) is False:
            continue
        points = sorted(known[query["Id"]].items(), reverse=newest_first)
        results.append(
            {
                "Id": query["Id"],
                "Label": query.get("Label") or labels[query["Id"]],
                "Timestamps": [_moment(at) for at, _ in points],
                "Values": [value for _, value in points],
                "StatusCode": "Complete",
            }
        )
    return {"MetricDataResults": results, "Messages": []}


def get_metric_statistics(call: Call) -> dict[str, Any]:
    """Answer with the data points of one metric."""
    params = call.params
    start, end = _range(call, "InvalidParameterValue")
    period = _period(params.get("Period"), "Period", "InvalidParameterValue")
    statistics = list(params.get("Statistics") or [])
    extended = list(params.get("ExtendedStatistics") or [])
    if not statistics and not extended:
        _missing("Statistics")
    for name in statistics:
        if name not in STATISTICS:
            _refuse("InvalidParameterValue", f"The value {name} for parameter Statistics.member.1 is not valid.")
    for name in extended:
        if not PERCENTILE.fullmatch(name):
            _unknown_statistic(name, "InvalidParameterValue")
    asked = math.ceil((end - start) / period)
    if asked > _MOST_POINTS:
        text = (
            f"You have requested up to {asked:,} datapoints, which exceeds the limit of {_MOST_POINTS:,}. "
            "You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        )
        _refuse("InvalidParameterCombination", text)
    series = call.space.metrics.get(params["Namespace"], params["MetricName"], _dimensions(params.get("Dimensions")))
    datapoints = []
    for at, bucket in _spans(call, series, params.get("Unit"), start, end, period):
        point: dict[str, Any] = {"Timestamp": _moment(at), "Unit": series.unit if series is not None else "None"}
        point |= {name: value for name in statistics if (value := bucket.statistic(name)) is not None}
        percentiles = {name: value for name in extended if (value := bucket.statistic(name)) is not None}
        if percentiles:
            point["ExtendedStatistics"] = percentiles
        datapoints.append(point)
    return {"Label": params["MetricName"], "Datapoints": datapoints}


def list_metrics(call: Call) -> dict[str, Any]:
    """List the metrics that have data, 500 at a time."""
    params = call.params
    wanted = [(one["Name"], one.get("Value")) for one in params.get("Dimensions") or []]
    found = [
        series
        for series in call.space.metrics
        if params.get("Namespace") in (None, series.namespace)
        and params.get("MetricName") in (None, series.name)
        and all(any(name == n and value in (None, v) for n, v in series.dimensions) for name, value in wanted)
    ]
    token = str(params.get("NextToken") or "0")
    if not token.isdecimal():
        _refuse("InvalidParameterValue", "The parameter NextToken is not valid.")
    first = int(token)
    answer: dict[str, Any] = {
        "Metrics": [
            {
                "Namespace": series.namespace,
                "MetricName": series.name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions],
            }
            for series in found[first : first + _PAGE]
        ]
    }
    if len(found) > first + _PAGE:
        answer["NextToken"] = str(first + _PAGE)
    return answer


def put_metric_data(call: Call) -> dict[str, Any]:
    """Take in custom metrics."""
    namespace = call.params["Namespace"]
    if namespace.startswith("AWS/"):
        _refuse("InvalidParameterValue", "The value AWS/ for parameter Namespace is invalid.")
    data: Sequence[Mapping[str, Any]] = call.params.get("MetricData") or []
    if not data and not call.params.get("EntityMetricData"):
        _missing("MetricData")
    parsed = [_datum(datum, f"MetricData.member.{number}") for number, datum in enumerate(data, 1)]
    metrics = call.space.metrics
    for datum, samples in zip(data, parsed, strict=True):
        about = (namespace, datum["MetricName"], _dimensions(datum.get("Dimensions")))
        at = _seconds(datum["Timestamp"]) if datum.get("Timestamp") is not None else None
        unit = datum.get("Unit") or "None"
        if isinstance(samples, tuple):
            metrics.add_statistics(*about, samples, unit, at)
        else:
            for value, count in samples:
                metrics.add(*about, value, unit, at, count)
    return {}


def _datum(datum: Mapping[str, Any], where: str) -> list[tuple[float, float]] | tuple[float, float, float, float]:
    given = [name for name in ("Value", "Values", "StatisticValues") if datum.get(name) not in (None, [])]
    if len(given) > 1:
        first, second = (f"{where}.{name}" for name in given[:2])
        text = f"The parameters {first} and {second} are mutually exclusive and you have specified both."
        _refuse("InvalidParameterCombination", text)
    if not given:
        _missing(f"{where}.Value")
    if given == ["StatisticValues"]:
        known = datum["StatisticValues"]
        return (known["SampleCount"], known["Sum"], known["Minimum"], known["Maximum"])
    values = [datum["Value"]] if given == ["Value"] else list(datum["Values"])
    counts = list(datum.get("Counts") or [1] * len(values)) if given == ["Values"] else [1]
    if len(counts) != len(values):
        text = f"The parameters {where}.Values and {where}.Counts must be of the same size."
        _refuse("InvalidParameterValue", text)
    for value in values:
        if not math.isfinite(value):
            _refuse("InvalidParameterValue", f"The value {value} for parameter {where}.Value is invalid.")
    return [(float(value), float(count)) for value, count in zip(values, counts, strict=True)]


def _metric_points(call: Call, query: Mapping[str, Any], number: int, start: float, end: float) -> tuple[Points, str]:
    metric = query.get("Metric") or {}
    where = f"MetricDataQueries.member.{number}.MetricStat"
    for name in ("Namespace", "MetricName"):
        if not metric.get(name):
            _missing(f"{where}.Metric.{name}")
    stat = str(query.get("Stat", ""))
    if stat not in STATISTICS and not PERCENTILE.fullmatch(stat):
        _unknown_statistic(stat, "ValidationError")
    period = _period(query.get("Period"), f"{where}.Period", "ValidationError")
    series = call.space.metrics.get(metric["Namespace"], metric["MetricName"], _dimensions(metric.get("Dimensions")))
    points = {}
    for at, bucket in _spans(call, series, query.get("Unit"), start, end, period):
        value = bucket.statistic(stat)
        if value is not None:
            points[at] = value
    return points, str(metric["MetricName"])


def _spans(
    call: Call, series: Series | None, unit: str | None, start: float, end: float, period: int
) -> list[tuple[int, Bucket]]:
    if series is None or unit not in (None, series.unit):
        return []
    return series.spans(start, end, period, call.space.clock.now())


def _range(call: Call, code: str) -> tuple[float, float]:
    for name in ("StartTime", "EndTime"):
        if call.params.get(name) is None:
            _missing(name)
    start, end = _seconds(call.params["StartTime"]), _seconds(call.params["EndTime"])
    if start == end:
        _refuse(code, "The parameter StartTime must not equal parameter EndTime.")
    if start > end:
        _refuse(code, "The parameter StartTime must be less than the parameter EndTime.")
    return math.floor(start / MINUTE) * MINUTE, end


def _period(value: int | None, where: str, code: str) -> int:
    if value is None:
        _missing(where)
    if value < MINUTE or value % MINUTE:
        _refuse(code, f"The parameter {where} must be a multiple of 60: the local AWS keeps one-minute data points.")
    return int(value)


def _dimensions(given: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    return {one["Name"]: one["Value"] for one in given or []}


def _seconds(moment: datetime | float) -> float:
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    return float(moment)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _missing(name: str) -> NoReturn:
    text = f"The parameter {name} is required."
    raise ApiError("MissingRequiredParameterException", text, query_code="MissingParameter")


_MODELLED = {"InvalidParameterValue", "InvalidParameterCombination"}


def _refuse(code: str, text: str) -> NoReturn:
    raise ApiError(f"{code}Exception" if code in _MODELLED else code, text, query_code=code)


def _unknown_statistic(name: str, code: str) -> NoReturn:
    text = f"The statistic {name} is not offered here; it is {', '.join(STATISTICS)} or a percentile such as p99."
    _refuse(code, text)


# Arithmetic on queries


def _names(expression: str) -> set[str]:
    return set(re.findall(r"[a-z][a-zA-Z0-9_]*", expression))


_MOST_NODES = 200
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}
_AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "SUM": math.fsum,
    "AVG": lambda values: math.fsum(values) / len(values),
    "MIN": min,
    "MAX": max,
}


class _Expression:
    """Arithmetic on query ids: + - * /, numbers, and SUM, AVG, MIN, MAX of METRICS() or of a list.

    A result has a point where both sides have one, as CloudWatch has it; what is divided by zero has none.
    """

    def __init__(self, text: str, known: Mapping[str, Points], metrics: Sequence[str]) -> None:
        self.text = text
        self.known = known
        self.metrics = metrics

    def points(self) -> Points:
        try:
            tree = ast.parse(self.text.strip(), mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            self._refuse()
        if sum(1 for _ in ast.walk(tree)) > _MOST_NODES:
            self._refuse()
        value = self._value(tree.body)
        if not isinstance(value, dict):
            self._refuse()
        return value

    def _refuse(self) -> NoReturn:
        _refuse(
            "ValidationError",
            f"The expression '{self.text}' is not offered here: it may use the ids of other queries, numbers, "
            "+ - * / and SUM, AVG, MIN, MAX of METRICS() or of a list.",
        )

    def _value(self, node: ast.expr) -> Points | float | list[Points]:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return float(node.value)
        if isinstance(node, ast.Name) and node.id in self.known:
            return self.known[node.id]
        if isinstance(node, ast.List):
            return [self._series(one) for one in node.elts]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return self._combine(ast.Mult, -1.0, self._value(node.operand))
        if isinstance(node, ast.BinOp):
            return self._combine(type(node.op), self._value(node.left), self._value(node.right))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self._call(node.func.id, node.args)
        self._refuse()

    def _series(self, node: ast.expr) -> Points:
        value = self._value(node)
        if not isinstance(value, dict):
            self._refuse()
        return value

    def _call(self, name: str, arguments: list[ast.expr]) -> Points | list[Points]:
        if name == "METRICS" and len(arguments) <= 1:
            part = ""
            if arguments:
                if not (isinstance(arguments[0], ast.Constant) and isinstance(arguments[0].value, str)):
                    self._refuse()
                part = arguments[0].value
            return [self.known[one] for one in self.metrics if part in one]
        if name not in _AGGREGATES or len(arguments) != 1:
            self._refuse()
        value = self._value(arguments[0])
        if not isinstance(value, list):
            self._refuse()
        moments = sorted({at for points in value for at in points})
        return {at: _AGGREGATES[name]([points[at] for points in value if at in points]) for at in moments}

    def _combine(
        self, operator: type[ast.operator], left: Points | float | list[Points], right: Points | float | list[Points]
    ) -> Points | float:
        apply = _OPERATORS.get(operator)
        if apply is None or isinstance(left, list) or isinstance(right, list):
            self._refuse()
        if isinstance(left, float) and isinstance(right, float):
            if operator is ast.Div and right == 0:
                self._refuse()
            return apply(left, right)
        moments = (
            left.keys() & right.keys()
            if isinstance(left, dict) and isinstance(right, dict)
            else (left if isinstance(left, dict) else right)
        )
        found: Points = {}
        for at in moments:  # type: ignore[union-attr]
            a = left[at] if isinstance(left, dict) else left
            b = right[at] if isinstance(right, dict) else right
            if operator is not ast.Div or b:
                found[at] = apply(a, b)
        return found


OPERATIONS = {
    "GetMetricData": Operation(get_metric_data, "cloudwatch:GetMetricData"),
    "GetMetricStatistics": Operation(get_metric_statistics, "cloudwatch:GetMetricStatistics"),
    "ListMetrics": Operation(list_metrics, "cloudwatch:ListMetrics"),
    "PutMetricData": Operation(put_metric_data, "cloudwatch:PutMetricData"),
}
