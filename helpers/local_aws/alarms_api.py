"""CloudWatch's API for alarms on one metric, and for their tags."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from . import alarms
from .alarms import Alarm
from .errors import ApiError
from .metrics_api import PERCENTILE, STATISTICS
from .protocol import Call, Operation

_ACTIONS = ("OKActions", "AlarmActions", "InsufficientDataActions")
_SETTINGS = (
    *("AlarmName", "AlarmDescription", "MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions"),
    *("Period", "Unit", "EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator"),
    *("TreatMissingData", "EvaluateLowSampleCountPercentile"),
)
_NOT_OFFERED = (
    *("Metrics", "ThresholdMetricId", "EvaluationWindow", "WarmUpConfiguration", "EvaluationCriteria"),
    *("EvaluationInterval", "ActionConfiguration"),
)
_DAY = 86_400


def put_metric_alarm(call: Call) -> dict[str, Any]:
    """Make or change an alarm."""
    given = call.params
    for name in _NOT_OFFERED:
        if given.get(name):
            text = (
                f"The local AWS does not offer {name} in alarms: an alarm watches one metric, "
                "named by Namespace, MetricName and Dimensions, against a Threshold."
            )
            raise ApiError("NotImplemented", text, 501)
    if not 1 <= len(given["AlarmName"]) <= 255:
        _refuse("ValidationError", "The parameter AlarmName must be between 1 and 255 characters long.")
    for name in ("MetricName", "Namespace", "Period", "EvaluationPeriods", "Threshold", "ComparisonOperator"):
        if given.get(name) is None:
            _refuse("ValidationError", f"The parameter {name} is required for an alarm on a metric.")
    _check_statistic(given)
    _one_of(given, "ComparisonOperator", alarms.COMPARISONS)
    _one_of(given, "TreatMissingData", alarms.TREATMENTS)
    _one_of(given, "EvaluateLowSampleCountPercentile", ("evaluate", "ignore"))
    _check_periods(given)
    settings = {name: given[name] for name in _SETTINGS if given.get(name) is not None}
    settings |= {"ActionsEnabled": given.get("ActionsEnabled", True)}
    for name in _ACTIONS:
        settings[name] = list(given.get(name) or [])
        if len(settings[name]) > 5:
            _refuse("ValidationError", f"The collection {name} must not have a size greater than 5.")
        for arn in settings[name]:
            if not str(arn).startswith("arn:"):
                _refuse("ValidationError", f"Invalid arn syntax: {arn}")
    settings.setdefault("Dimensions", [])
    settings["Threshold"] = float(settings["Threshold"])
    call.space.alarms.put(settings, _tags(given.get("Tags")))
    return {}


def describe_alarms(call: Call) -> dict[str, Any]:
    """Describe alarms by names, prefix, state or action."""
    params = call.params
    names, prefix = params.get("AlarmNames"), params.get("AlarmNamePrefix")
    if names and prefix:
        _refuse("ValidationError", "AlarmNames and AlarmNamePrefix cannot be given together.")
    _one_of(params, "StateValue", alarms.STATES)
    found = [
        alarm
        for alarm in call.space.alarms
        if (not names or alarm.name in names)
        and (not prefix or alarm.name.startswith(prefix))
        and params.get("StateValue") in (None, alarm.state.value)
        and ("ActionPrefix" not in params or _has_action(alarm, params["ActionPrefix"]))
    ]
    if "MetricAlarm" not in (params.get("AlarmTypes") or ["MetricAlarm"]) or (
        params.get("ChildrenOfAlarmName") or params.get("ParentsOfAlarmName")
    ):
        found = []
    page, token = _page(params, found, 50)
    answer: dict[str, Any] = {"MetricAlarms": [_described(alarm) for alarm in page], "CompositeAlarms": []}
    return answer | token


def describe_alarms_for_metric(call: Call) -> dict[str, Any]:
    """Describe the alarms that watch exactly this metric."""
    params = call.params
    wanted = {one["Name"]: one["Value"] for one in params.get("Dimensions") or []}
    found = [
        alarm
        for alarm in call.space.alarms
        if all(alarm.settings[name] == params[name] for name in ("MetricName", "Namespace"))
        and alarm.dimensions == wanted
        and all(
            params.get(name) in (None, alarm.settings.get(name))
            for name in ("Statistic", "ExtendedStatistic", "Period", "Unit")
        )
    ]
    return {"MetricAlarms": [_described(alarm) for alarm in found]}


def describe_alarm_history(call: Call) -> dict[str, Any]:
    """Tell what has happened to alarms, newest first unless asked otherwise."""
    params = call.params
    start, end = (_seconds(params.get(name)) for name in ("StartDate", "EndDate"))
    found = [
        item
        for item in call.space.alarms.history
        if params.get("AlarmName") in (None, item.alarm)
        and params.get("HistoryItemType") in (None, item.kind)
        and (start is None or item.at >= start)
        and (end is None or item.at <= end)
    ]
    if params.get("ScanBy") != "TimestampAscending":
        found.reverse()
    page, token = _page(params, found, 50)
    items = [
        {
            "AlarmName": item.alarm,
            "AlarmType": "MetricAlarm",
            "Timestamp": _moment(item.at),
            "HistoryItemType": item.kind,
            "HistorySummary": item.summary,
            "HistoryData": item.data,
        }
        for item in page
    ]
    return {"AlarmHistoryItems": items, **token}


def set_alarm_state(call: Call) -> dict[str, Any]:
    """Give an alarm a state until its next evaluation finds another."""
    params = call.params
    alarm = _known(call, params["AlarmName"])
    _one_of(params, "StateValue", alarms.STATES)
    data = params.get("StateReasonData") or ""
    if data and not _is_json(data):
        raise ApiError("InvalidFormatFault", "StateReasonData must be JSON.", query_code="InvalidFormat")
    call.space.alarms.set_state(alarm, alarms.State(params["StateValue"], params["StateReason"], data))
    return {}


def delete_alarms(call: Call) -> dict[str, Any]:
    """Delete alarms: all of them, or none when one does not exist."""
    for alarm in [_known(call, name) for name in dict.fromkeys(call.params["AlarmNames"])]:
        call.space.alarms.delete(alarm)
    return {}


def _switch_actions(enabled: bool) -> Callable[[Call], dict[str, Any]]:
    def run(call: Call) -> dict[str, Any]:
        for name in call.params["AlarmNames"]:
            if (alarm := call.space.alarms.get(name)) is not None:
                call.space.alarms.set_actions_enabled(alarm, enabled)
        return {}

    return run


def tag_resource(call: Call) -> dict[str, Any]:
    """Tag an alarm."""
    _by_arn(call).tags.update(_tags(call.params["Tags"]))
    return {}


def untag_resource(call: Call) -> dict[str, Any]:
    """Take tags off an alarm."""
    alarm = _by_arn(call)
    for key in call.params["TagKeys"]:
        alarm.tags.pop(key, None)
    return {}


def list_tags_for_resource(call: Call) -> dict[str, Any]:
    """List an alarm's tags."""
    return {"Tags": [{"Key": key, "Value": value} for key, value in _by_arn(call).tags.items()]}


def _described(alarm: Alarm) -> dict[str, Any]:
    answer = {
        **alarm.settings,
        "AlarmArn": alarm.arn,
        "AlarmConfigurationUpdatedTimestamp": _moment(alarm.configured),
        "StateValue": alarm.state.value,
        "StateReason": alarm.state.reason,
        "StateUpdatedTimestamp": _moment(alarm.updated),
        "StateTransitionedTimestamp": _moment(alarm.transitioned),
    }
    return answer | ({"StateReasonData": alarm.state.data} if alarm.state.data else {})


def _check_statistic(given: Mapping[str, Any]) -> None:
    statistic, extended = given.get("Statistic"), given.get("ExtendedStatistic")
    if (statistic is None) == (extended is None):
        _refuse("ValidationError", "Exactly one of Statistic and ExtendedStatistic must be given.")
    if statistic is not None:
        _one_of(given, "Statistic", STATISTICS)
    elif not PERCENTILE.fullmatch(str(extended)):
        _refuse("ValidationError", f"The statistic {extended} is not offered here; it is a percentile such as p99.")


def _check_periods(given: Mapping[str, Any]) -> None:
    period, periods = given["Period"], given["EvaluationPeriods"]
    needed = given.get("DatapointsToAlarm")
    if period < 60 or period % 60:
        text = "The parameter Period must be a multiple of 60: the local AWS keeps one-minute data points."
        _refuse("ValidationError", text)
    if periods < 1:
        _refuse("ValidationError", "The parameter EvaluationPeriods must be greater than or equal to 1.")
    if needed is not None and not 1 <= needed <= periods:
        _refuse("ValidationError", "The parameter DatapointsToAlarm must be between 1 and EvaluationPeriods.")
    if period * periods > (_DAY if period < 3600 else 7 * _DAY):
        text = (
            "Metrics cannot be checked across more than a day, or a week with periods of an hour or more "
            "(EvaluationPeriods * Period)."
        )
        _refuse("ValidationError", text)


def _one_of(given: Mapping[str, Any], name: str, offered: Sequence[str] | Mapping[str, Any]) -> None:
    value = given.get(name)
    if value is not None and value not in offered:
        text = f"The value {value} for parameter {name} is not valid; it is one of {', '.join(offered)}."
        _refuse("ValidationError", text)


def _has_action(alarm: Alarm, prefix: str) -> bool:
    return any(arn.startswith(prefix) for name in _ACTIONS for arn in alarm.settings[name])


def _page(params: Mapping[str, Any], found: list[Any], usual: int) -> tuple[list[Any], dict[str, str]]:
    token, size = str(params.get("NextToken") or "0"), int(params.get("MaxRecords") or usual)
    if not token.isdecimal():
        raise ApiError("InvalidNextToken", "The parameter NextToken is not valid.")
    if not 1 <= size <= 100:
        _refuse("ValidationError", "The parameter MaxRecords must be between 1 and 100.")
    first = int(token)
    more = {"NextToken": str(first + size)} if len(found) > first + size else {}
    return found[first : first + size], more


def _known(call: Call, name: str) -> Alarm:
    alarm = call.space.alarms.get(name)
    if alarm is None:
        raise ApiError("ResourceNotFound", f"The alarm {name} does not exist.", 404)
    return alarm


def _by_arn(call: Call) -> Alarm:
    arn: str = call.params["ResourceARN"]
    start = call.space.arn("cloudwatch", "alarm:")
    alarm = call.space.alarms.get(arn.removeprefix(start)) if arn.startswith(start) else None
    if alarm is None:
        text = f"The resource {arn} does not exist."
        raise ApiError("ResourceNotFoundException", text, 404, ResourceType="Alarm", ResourceId=arn)
    return alarm


def _tags(given: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in given or []}


def _seconds(moment: datetime | float | None) -> float | None:
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    return moment


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(code: str, text: str) -> NoReturn:
    raise ApiError(code, text)


def _resource(call: Call) -> str:
    name = call.params.get("AlarmName")
    return call.space.arn("cloudwatch", f"alarm:{name}") if name else "*"


def _tagged(call: Call) -> str:
    return str(call.params["ResourceARN"])


def _named(call: Call) -> str:
    names = call.params.get("AlarmNames") or []
    return call.space.arn("cloudwatch", f"alarm:{names[0]}") if len(names) == 1 else "*"


OPERATIONS = {
    "PutMetricAlarm": Operation(put_metric_alarm, "cloudwatch:PutMetricAlarm", _resource),
    "DescribeAlarms": Operation(describe_alarms, "cloudwatch:DescribeAlarms"),
    "DescribeAlarmsForMetric": Operation(describe_alarms_for_metric, "cloudwatch:DescribeAlarmsForMetric"),
    "DescribeAlarmHistory": Operation(describe_alarm_history, "cloudwatch:DescribeAlarmHistory", _resource),
    "SetAlarmState": Operation(set_alarm_state, "cloudwatch:SetAlarmState", _resource),
    "DeleteAlarms": Operation(delete_alarms, "cloudwatch:DeleteAlarms", _named),
    "EnableAlarmActions": Operation(_switch_actions(True), "cloudwatch:EnableAlarmActions", _named),
    "DisableAlarmActions": Operation(_switch_actions(False), "cloudwatch:DisableAlarmActions", _named),
    "TagResource": Operation(tag_resource, "cloudwatch:TagResource", _tagged),
    "UntagResource": Operation(untag_resource, "cloudwatch:UntagResource", _tagged),
    "ListTagsForResource": Operation(list_tags_for_resource, "cloudwatch:ListTagsForResource", _tagged),
}
