"""Metric alarms that follow the data: their store, and their evaluation at the end of every minute.

An alarm looks back over its evaluation range, which is two periods longer than its evaluation periods, and makes one of
three states of what it finds there. Time is the space's. Of its actions the topics of SNS are carried out.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .metrics_store import MINUTE

if TYPE_CHECKING:
    from .space import Space

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"
STATES = (OK, ALARM, INSUFFICIENT_DATA)
TREATMENTS = ("missing", "notBreaching", "breaching", "ignore")
_MARGIN = 2
"""The evaluation range of three periods is five, in the example of AWS's documentation."""
_HISTORY = 10_000
_ACTIONS = {OK: "OKActions", ALARM: "AlarmActions", INSUFFICIENT_DATA: "InsufficientDataActions"}
REGION_NAMES = {
    "us-east-1": "US East (N. Virginia)",
    "us-east-2": "US East (Ohio)",
    "us-west-1": "US West (N. California)",
    "us-west-2": "US West (Oregon)",
    "eu-central-1": "EU (Frankfurt)",
    "eu-west-1": "EU (Ireland)",
    "ap-northeast-1": "Asia Pacific (Tokyo)",
    "ap-southeast-2": "Asia Pacific (Sydney)",
}
"""How notifications name a Region; any other stands by its code."""

COMPARISONS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanOrEqualToThreshold": (lambda value, limit: value >= limit, "greater than or equal to"),
    "GreaterThanThreshold": (lambda value, limit: value > limit, "greater than"),
    "LessThanThreshold": (lambda value, limit: value < limit, "less than"),
    "LessThanOrEqualToThreshold": (lambda value, limit: value <= limit, "less than or equal to"),
}
"""How a value is compared with the threshold, and the words for it."""


@dataclass
class State:
    """A state of an alarm and why it has it.

    Attributes
    ----------
    value : str
        `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    reason, data : str
        StateReason, and StateReasonData as JSON text.
    """

    value: str = INSUFFICIENT_DATA
    reason: str = "Unchecked: Initial alarm creation"
    data: str = ""


@dataclass
class Alarm:
    """A metric alarm.

    Attributes
    ----------
    arn : str
        Its ARN.
    settings : dict
        What PutMetricAlarm was given, by AWS's names, with the defaults filled in.
    configured, updated, transitioned : float
        When it was last configured, its state last set and its state's value last changed, in seconds since the epoch.
    state : State
        The state.
    tags : dict
        Its tags.
    """

    arn: str
    settings: dict[str, Any]
    configured: float
    updated: float
    transitioned: float
    state: State = field(default_factory=State)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """AlarmName."""
        return str(self.settings["AlarmName"])

    @property
    def statistic(self) -> str:
        """The statistic or percentile that is watched."""
        return str(self.settings.get("Statistic") or self.settings["ExtendedStatistic"])

    @property
    def dimensions(self) -> dict[str, str]:
        """The dimensions of the metric."""
        return {one["Name"]: one["Value"] for one in self.settings.get("Dimensions") or []}


@dataclass(frozen=True)
class Point:
    """One period of the evaluation range; `value` is None when it has no data."""

    start: float
    value: float | None = None
    samples: float = 0


@dataclass(frozen=True)
class HistoryItem:
    """One line of an alarm's history, which outlives the alarm."""

    alarm: str
    at: float
    kind: str
    summary: str
    data: str


class Alarms:
    """The alarms of a space.

    Parameters
    ----------
    space : Space
        The space whose metrics are watched.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._alarms: dict[str, Alarm] = {}
        self.history: deque[HistoryItem] = deque(maxlen=_HISTORY)
        space.metrics.each_minute(self._minute)

    def __iter__(self) -> Iterator[Alarm]:
        """Yield the alarms in the order of their names."""
        return iter([self._alarms[name] for name in sorted(self._alarms)])

    def __len__(self) -> int:
        """Return how many alarms there are."""
        return len(self._alarms)

    def __bool__(self) -> bool:
        """Return true: a space without alarms still has its store."""
        return True

    def get(self, name: str) -> Alarm | None:
        """Return the alarm of this name."""
        return self._alarms.get(name)

    def put(self, settings: dict[str, Any], tags: dict[str, str]) -> Alarm:
        """Make an alarm, or give one new settings, which leaves its state as it is."""
        name, now = settings["AlarmName"], self._space.clock.now()
        alarm = self._alarms.get(name)
        verb = "created" if alarm is None else "updated"
        if alarm is None:
            arn = self._space.arn("cloudwatch", f"alarm:{name}")
            alarm = self._alarms[name] = Alarm(arn, settings, now, now, now, tags=tags)
        alarm.settings, alarm.configured = settings, now
        self._configured(alarm, verb)
        return alarm

    def delete(self, alarm: Alarm) -> None:
        """Remove an alarm; its history stays."""
        del self._alarms[alarm.name]
        self._configured(alarm, "deleted")

    def set_actions_enabled(self, alarm: Alarm, enabled: bool) -> None:
        """Set ActionsEnabled."""
        alarm.settings = {**alarm.settings, "ActionsEnabled": enabled}
        alarm.configured = self._space.clock.now()
        self._configured(alarm, "updated")

    def set_state(self, alarm: Alarm, state: State, at: float | None = None) -> None:
        """Give an alarm a state, and write it into the history when its value is another."""
        now = self._space.clock.now() if at is None else at
        before, alarm.state, alarm.updated = alarm.state, state, now
        if before.value == state.value:
            return
        alarm.transitioned = now
        told = {
            "version": "1.0",
            **{
                key: {
                    "stateValue": one.value,
                    "stateReason": one.reason,
                    **({"stateReasonData": json.loads(one.data)} if one.data else {}),
                }
                for key, one in (("oldState", before), ("newState", state))
            },
        }
        summary = f"Alarm updated from {before.value} to {state.value}"
        self.history.append(HistoryItem(alarm.name, now, "StateUpdate", summary, _json(told)))
        if alarm.settings["ActionsEnabled"]:
            for action in alarm.settings[_ACTIONS[state.value]]:
                self._act(alarm, action, before, now)

    def _act(self, alarm: Alarm, action: str, before: State, now: float) -> None:
        """Publish to a topic; another action cannot be carried out here, and the history says so."""
        region = REGION_NAMES.get(self._space.region, self._space.region)
        message = _notification(alarm, before, now, self._space.account, region)
        subject = f'{alarm.state.value}: "{alarm.name}" in {region}'[:100]
        topic = action.split(":")[2:3] == ["sns"]
        done = topic and self._space.control.publish(action, subject, message)
        data: dict[str, Any] = {
            "actionState": "Succeeded" if done else "Failed",
            "stateUpdateTimestamp": int(now * 1000),
            "notificationResource": action,
        }
        if done:
            summary = f"Successfully executed action {action}"
            data["publishedMessage"] = {"default": message}
        else:
            why = "Topic does not exist" if topic else "The local AWS carries out only actions that are SNS topics"
            summary = f'Failed to execute action {action}. Received error: "{why}"'
            data["error"] = why
        self.history.append(HistoryItem(alarm.name, now, "Action", summary, _json(data)))

    def _configured(self, alarm: Alarm, verb: str) -> None:
        kind = {"created": "Create", "updated": "Update", "deleted": "Delete"}[verb]
        about = {key[0].lower() + key[1:]: value for key, value in alarm.settings.items() if key != "Tags"}
        told = {"version": "1.0", "type": kind, f"{verb}Alarm": {**about, "alarmArn": alarm.arn}}
        item = HistoryItem(
            alarm.name,
            self._space.clock.now(),
            "ConfigurationUpdate",
            f'Alarm "{alarm.name}" {verb}',
            _json(told),
        )
        self.history.append(item)

    # Evaluation

    def _minute(self, minute: float) -> None:
        now = minute + MINUTE
        for alarm in self._alarms.values():
            found = evaluate(alarm, self._points(alarm, now), now)
            if found is not None:
                self.set_state(alarm, found, now)

    def _points(self, alarm: Alarm, now: float) -> list[Point]:
        """Return the periods of the evaluation range, newest first; they end at the minute that has just ended."""
        settings = alarm.settings
        period = settings["Period"]
        series = self._space.metrics.get(settings["Namespace"], settings["MetricName"], alarm.dimensions)
        known = series is not None and settings.get("Unit") in (None, series.unit)
        points = []
        for number in range(1, settings["EvaluationPeriods"] + _MARGIN + 1):
            start = now - number * period
            bucket = series.window(start, start + period) if series is not None and known else None
            value = None if bucket is None else bucket.statistic(alarm.statistic)
            points.append(Point(start, value, bucket.count if bucket is not None else 0))
        return points


def evaluate(alarm: Alarm, points: list[Point], now: float) -> State | None:
    """Return the state that an alarm gets from the periods of its evaluation range, or None when it keeps its own.

    Parameters
    ----------
    alarm : Alarm
        The alarm.
    points : list of Point
        The periods, newest first: two more than the alarm's EvaluationPeriods.
    now : float
        Seconds since the epoch.
    """
    settings = alarm.settings
    periods: int = settings["EvaluationPeriods"]
    needed: int = settings.get("DatapointsToAlarm") or periods
    treatment: str = settings.get("TreatMissingData") or "missing"
    breaches = COMPARISONS[settings["ComparisonOperator"]][0]
    real = [point for point in points if point.value is not None]
    if len(real) >= periods:
        # What is missing is not missed: older data stand in for it.
        real = real[:periods]
    filled = periods - len(real)
    breaching = [point for point in real if breaches(_value(point), settings["Threshold"])]
    others = [point for point in real if not breaches(_value(point), settings["Threshold"])]
    if treatment in ("breaching", "notBreaching"):
        bad = len(breaching) + (filled if treatment == "breaching" else 0)
        value = ALARM if bad >= needed else OK
    elif len(breaching) >= needed:
        value = ALARM
    elif others:
        value = OK
    elif treatment == "ignore":
        return None
    elif breaching:
        # A lone breach is not believed before it is as old as DatapointsToAlarm: the next datum may be good.
        if points.index(breaching[-1]) + 1 < needed:
            return None
        value = ALARM
    else:
        value = INSUFFICIENT_DATA
    if value == alarm.state.value:
        return None
    shown = breaching if value == ALARM else others
    return State(value, _reason(alarm, value, shown, filled), _reason_data(alarm, points, real, now))


def _value(point: Point) -> float:
    assert point.value is not None
    return point.value


def _reason(alarm: Alarm, value: str, shown: list[Point], filled: int) -> str:
    settings = alarm.settings
    periods = settings["EvaluationPeriods"]
    if value == INSUFFICIENT_DATA:
        return f"Insufficient Data: {_counted(periods, 'datapoint')} {_were(periods)} unknown."
    treatment = {"breaching": "Breaching", "notBreaching": "NonBreaching"}.get(settings.get("TreatMissingData", ""))
    missing = (
        f"{_counted(filled, 'missing datapoint')} {_were(filled)} treated as [{treatment}]"
        if filled and treatment
        else ""
    )
    if not shown and missing:
        return f"Threshold Crossed: no datapoints were received for {_counted(periods, 'period')} and {missing}."
    listed = ", ".join(
        f"{java_double(_value(one))} ({datetime.fromtimestamp(one.start, UTC):%d/%m/%y %H:%M:%S})" for one in shown
    )
    words = ("" if value == ALARM else "not ") + COMPARISONS[settings["ComparisonOperator"]][1]
    crossed = f"{words} the threshold ({java_double(settings['Threshold'])})"
    rest = f" and {missing}" if missing else ""
    if not settings.get("DatapointsToAlarm"):
        number = _counted(len(shown), "datapoint")
        return f"Threshold Crossed: {number} [{listed}] {_were(len(shown))} {crossed}{rest}."
    needed = settings["DatapointsToAlarm"]
    least, change = (needed, "OK -> ALARM") if value == ALARM else (max(1, periods - needed + 1), "ALARM -> OK")
    return (
        f"Threshold Crossed: {len(shown)} out of the last {periods} datapoints [{listed}] {_were(len(shown))} "
        f"{crossed}{rest} (minimum {_counted(least, 'datapoint')} for {change} transition)."
    )


def _reason_data(alarm: Alarm, points: list[Point], real: list[Point], now: float) -> str:
    settings = alarm.settings
    evaluated = real or points[: settings["EvaluationPeriods"]]
    told: dict[str, Any] = {"version": "1.0", "queryDate": _stamp(now)}
    if real:
        told["startDate"] = _stamp(real[-1].start)
    if settings.get("Unit"):
        told["unit"] = settings["Unit"]
    told |= {
        "statistic": alarm.statistic,
        "period": settings["Period"],
        "recentDatapoints": [_value(point) for point in reversed(real)],
        "threshold": settings["Threshold"],
        "evaluatedDatapoints": [
            {"timestamp": _stamp(point.start)}
            | ({} if point.value is None else {"sampleCount": point.samples, "value": point.value})
            for point in evaluated
        ],
    }
    return _json(told)


def _notification(alarm: Alarm, before: State, now: float, account: str, region: str) -> str:
    """Return what CloudWatch publishes to a topic, as recorded messages show it."""
    settings = alarm.settings
    statistic = settings.get("Statistic")
    name = "SAMPLE_COUNT" if statistic == "SampleCount" else str(statistic).upper()
    trigger = {
        "MetricName": settings["MetricName"],
        "Namespace": settings["Namespace"],
        **(
            {"StatisticType": "Statistic", "Statistic": name}
            if statistic
            else {"StatisticType": "ExtendedStatistic", "ExtendedStatistic": settings["ExtendedStatistic"]}
        ),
        "Unit": settings.get("Unit"),
        "Dimensions": [{"value": one["Value"], "name": one["Name"]} for one in settings["Dimensions"]],
        "Period": settings["Period"],
        "EvaluationPeriods": settings["EvaluationPeriods"],
        **({"DatapointsToAlarm": settings["DatapointsToAlarm"]} if settings.get("DatapointsToAlarm") else {}),
        "ComparisonOperator": settings["ComparisonOperator"],
        "Threshold": settings["Threshold"],
        "TreatMissingData": settings.get("TreatMissingData", "missing"),
        "EvaluateLowSampleCountPercentile": settings.get("EvaluateLowSampleCountPercentile", ""),
    }
    told = {
        "AlarmName": alarm.name,
        "AlarmDescription": settings.get("AlarmDescription"),
        "AWSAccountId": account,
        "AlarmConfigurationUpdatedTimestamp": _stamp(alarm.configured),
        "NewStateValue": alarm.state.value,
        "NewStateReason": alarm.state.reason,
        "StateChangeTime": _stamp(now),
        "Region": region,
        "AlarmArn": alarm.arn,
        "OldStateValue": before.value,
        **{name: settings[name] for name in _ACTIONS.values()},
        "Trigger": trigger,
    }
    return _json(told)


def java_double(value: float) -> str:
    """Write a number as CloudWatch's reasons do: `1.0`, `99.5`, `1.0E7`."""
    value = float(value)
    if not value or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    exponent = math.floor(math.log10(abs(value)))
    mantissa = float(f"{value:.16e}".partition("e")[0])
    return f"{mantissa!r}E{exponent}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
