"""Alarms follow the data, minute by minute, and treat missing data as they are told to."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from .conftest import Aws

SPACE = "Alarms/Test"


def next_minute(aws: Aws) -> float:
    """Go to just after the start of a minute; return that start."""
    now = aws.now()
    return aws.advance(61 - now % 60) // 60 * 60


def put_alarm(aws: Aws, metric: str, **settings: Any) -> str:
    """Make an alarm on a metric; return its name."""
    about = {
        "AlarmName": aws.name("alarm"),
        "Namespace": SPACE,
        "MetricName": metric,
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        **settings,
    }
    if "ExtendedStatistic" in settings:
        del about["Statistic"]
    aws.client("cloudwatch").put_metric_alarm(**about)
    return str(about["AlarmName"])


def put(aws: Aws, metric: str, *values: tuple[float, float]) -> None:
    """Write values at moments."""
    data = [
        {"MetricName": metric, "Value": value, "Timestamp": datetime.fromtimestamp(at, UTC)} for at, value in values
    ]
    aws.client("cloudwatch").put_metric_data(Namespace=SPACE, MetricData=data)


def alarm(aws: Aws, name: str) -> dict[str, Any]:
    """Describe an alarm."""
    (found,) = aws.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return dict(found)


def moment(at: float) -> str:
    """Write a moment as StateReason does."""
    return f"{datetime.fromtimestamp(at, UTC):%d/%m/%y %H:%M:%S}"


@pytest.mark.behaviour("F2")
def test_an_alarm_on_a_dead_letter_queue_goes_off_and_back(aws: Aws) -> None:
    queue = aws.queue()
    start = next_minute(aws)
    about = {
        "Namespace": "AWS/SQS",
        "Dimensions": [{"Name": "QueueName", "Value": queue.rpartition("/")[2]}],
        "Statistic": "Maximum",
        "TreatMissingData": "notBreaching",
    }
    name = put_alarm(aws, "ApproximateNumberOfMessagesVisible", **about)
    made = alarm(aws, name)
    assert (made["StateValue"], made["StateReason"]) == ("INSUFFICIENT_DATA", "Unchecked: Initial alarm creation")
    aws.advance(60)
    assert alarm(aws, name)["StateValue"] == "OK"
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="dead")
    aws.advance(60)
    found = alarm(aws, name)
    assert found["StateValue"] == "ALARM"
    assert found["StateReason"] == (
        f"Threshold Crossed: 1 datapoint [1.0 ({moment(start + 60)})] was greater than or equal to the threshold (1.0)."
    )
    assert found["StateUpdatedTimestamp"].timestamp() == start + 120
    data = json.loads(found["StateReasonData"])
    assert data["recentDatapoints"] == [1.0]
    assert data["evaluatedDatapoints"][0]["value"] == 1.0
    aws.client("sqs").purge_queue(QueueUrl=queue)
    aws.advance(180)
    assert alarm(aws, name)["StateValue"] == "OK"
    history = aws.client("cloudwatch").describe_alarm_history(AlarmName=name)["AlarmHistoryItems"]
    assert [item["HistorySummary"] for item in history] == [
        "Alarm updated from ALARM to OK",
        "Alarm updated from OK to ALARM",
        "Alarm updated from INSUFFICIENT_DATA to OK",
        f'Alarm "{name}" created',
    ]
    told = json.loads(history[1]["HistoryData"])
    assert (told["oldState"]["stateValue"], told["newState"]["stateReason"]) == ("OK", found["StateReason"])
    only = aws.client("cloudwatch").describe_alarm_history(AlarmName=name, HistoryItemType="ConfigurationUpdate")
    assert len(only["AlarmHistoryItems"]) == 1


@pytest.mark.behaviour("F16")
def test_an_alarm_on_what_is_sent_to_a_dead_letter_queue_never_goes_off(aws: Aws) -> None:
    dead = aws.queue()
    policy = {"deadLetterTargetArn": aws.queue_arn(dead), "maxReceiveCount": 1}
    queue = aws.queue(RedrivePolicy=policy, VisibilityTimeout=1)
    dimensions = [{"Name": "QueueName", "Value": dead.rpartition("/")[2]}]
    next_minute(aws)
    about = {"Namespace": "AWS/SQS", "Dimensions": dimensions, "TreatMissingData": "notBreaching"}
    sent = put_alarm(aws, "NumberOfMessagesSent", **about)
    visible = put_alarm(aws, "ApproximateNumberOfMessagesVisible", **{**about, "Statistic": "Maximum"})
    sqs = aws.client("sqs")
    sqs.send_message(QueueUrl=queue, MessageBody="poison")
    sqs.receive_message(QueueUrl=queue)
    aws.advance(2)
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)
    aws.advance(60)
    assert alarm(aws, visible)["StateValue"] == "ALARM"
    assert alarm(aws, sent)["StateValue"] == "OK"


def test_an_alarm_tells_a_topic(aws: Aws) -> None:
    sns, sqs = aws.client("sns"), aws.client("sqs")
    topic = sns.create_topic(Name=aws.name("topic"))["TopicArn"]
    queue = aws.queue()
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": aws.queue_arn(queue),
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=aws.queue_arn(queue))
    start = next_minute(aws)
    metric = aws.name("m")
    put(aws, metric, (start, 3))
    missing = f"{topic}-gone"
    name = put_alarm(aws, metric, AlarmActions=[topic, missing], OKActions=[topic], AlarmDescription="too many")
    silent = put_alarm(aws, metric, AlarmActions=[topic], ActionsEnabled=False)
    aws.advance(60)
    assert alarm(aws, silent)["StateValue"] == "ALARM"
    (message,) = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    envelope = json.loads(message["Body"])
    told = json.loads(envelope["Message"])
    assert envelope["Subject"].startswith(f'ALARM: "{name}" in ')
    assert list(told) == [
        *["AlarmName", "AlarmDescription", "AWSAccountId", "AlarmConfigurationUpdatedTimestamp", "NewStateValue"],
        *["NewStateReason", "StateChangeTime", "Region", "AlarmArn", "OldStateValue"],
        *["OKActions", "AlarmActions", "InsufficientDataActions", "Trigger"],
    ]
    assert (told["NewStateValue"], told["OldStateValue"]) == ("ALARM", "INSUFFICIENT_DATA")
    assert told["NewStateReason"] == alarm(aws, name)["StateReason"]
    assert (told["Trigger"]["Statistic"], told["Trigger"]["Threshold"]) == ("SUM", 1.0)
    history = aws.client("cloudwatch").describe_alarm_history(AlarmName=name, HistoryItemType="Action")
    assert [item["HistorySummary"] for item in history["AlarmHistoryItems"]] == [
        f'Failed to execute action {missing}. Received error: "Topic does not exist"',
        f"Successfully executed action {topic}",
    ]


# The newest datum stands at the right: 0 is good, X breaches, - is missing. The tables are those of AWS's documentation
# for three of three and for two of three periods; "kept" is the state that the alarm had.
TABLE = [
    (3, "0-X-X", ("OK", "OK", "OK", "OK")),
    (3, "0----", ("OK", "OK", "OK", "OK")),
    (3, "-----", ("INSUFFICIENT_DATA", "kept", "ALARM", "OK")),
    (3, "0XX-X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    (3, "--X--", ("ALARM", "kept", "ALARM", "OK")),
    (3, "----X", ("kept", "kept", "ALARM", "OK")),
    (2, "0-X-X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    (2, "00X0X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    (2, "0-X--", ("OK", "OK", "ALARM", "OK")),
    (2, "----0", ("OK", "OK", "ALARM", "OK")),
    (2, "---X-", ("ALARM", "kept", "ALARM", "OK")),
]
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")


def test_missing_data_as_the_documentations_tables_have_it(aws: Aws) -> None:
    start = next_minute(aws)
    expected = {}
    for needed, points, states in TABLE:
        metric = f"{needed}{points}"
        values = [
            (start - 60 * age, 5.0 if point == "X" else 0.0)
            for age, point in enumerate(reversed(points))
            if point != "-"
        ]
        if values:
            put(aws, metric, *values)
        for treatment, state in zip(TREATMENTS, states, strict=True):
            settings = {"EvaluationPeriods": 3, "DatapointsToAlarm": needed, "TreatMissingData": treatment}
            name = put_alarm(aws, metric, **settings)
            if state == "kept":
                aws.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue="OK", StateReason="test")
                state = "OK: test"
            expected[name] = (needed, points, treatment, state)
    aws.advance(60)
    found: dict[str, Any] = {}
    for page in aws.client("cloudwatch").get_paginator("describe_alarms").paginate():
        found |= {one["AlarmName"]: one for one in page["MetricAlarms"]}
    for name, (*about, state) in expected.items():
        one = found[name]
        kept = f"{one['StateValue']}: {one['StateReason']}"
        assert state in (one["StateValue"], kept), (about, kept)


@pytest.mark.parametrize(
    ("settings", "values", "state", "reason"),
    [
        (
            {"EvaluationPeriods": 3, "DatapointsToAlarm": 2},
            (1.5, 0, 7),
            "ALARM",
            "Threshold Crossed: 2 out of the last 3 datapoints [1.5 ({0}), 7.0 ({2})] were greater than or equal to "
            "the threshold (1.0) (minimum 2 datapoints for OK -> ALARM transition).",
        ),
        (
            {"DatapointsToAlarm": 1},
            (0,),
            "OK",
            "Threshold Crossed: 1 out of the last 1 datapoints [0.0 ({0})] was not greater than or equal to the "
            "threshold (1.0) (minimum 1 datapoint for ALARM -> OK transition).",
        ),
        (
            {"EvaluationPeriods": 2, "ComparisonOperator": "LessThanThreshold", "Threshold": 20_000_000},
            (12_500_000, 1e-4),
            "ALARM",
            "Threshold Crossed: 2 datapoints [1.25E7 ({0}), 1.0E-4 ({1})] were less than the threshold (2.0E7).",
        ),
        (
            {"EvaluationPeriods": 3, "DatapointsToAlarm": 1, "TreatMissingData": "notBreaching"},
            (4,),
            "ALARM",
            "Threshold Crossed: 1 out of the last 3 datapoints [4.0 ({0})] was greater than or equal to the threshold "
            "(1.0) and 2 missing datapoints were treated as [NonBreaching] (minimum 1 datapoint for OK -> ALARM "
            "transition).",
        ),
        (
            {"EvaluationPeriods": 2, "TreatMissingData": "breaching"},
            (),
            "ALARM",
            "Threshold Crossed: no datapoints were received for 2 periods and 2 missing datapoints were treated as "
            "[Breaching].",
        ),
        (
            {"ExtendedStatistic": "p90", "ComparisonOperator": "GreaterThanThreshold", "Threshold": 3.5},
            (9,),
            "ALARM",
            "Threshold Crossed: 1 datapoint [9.0 ({0})] was greater than the threshold (3.5).",
        ),
        (
            {"Statistic": "Maximum", "ComparisonOperator": "LessThanOrEqualToThreshold", "Unit": "Bytes"},
            (1,),
            "INSUFFICIENT_DATA",
            "Unchecked: Initial alarm creation",
        ),
    ],
)
def test_reasons(aws: Aws, settings: dict[str, Any], values: tuple[float, ...], state: str, reason: str) -> None:
    start = next_minute(aws)
    metric = aws.name("m")
    if values:
        put(aws, metric, *((start - 60 * age, value) for age, value in enumerate(values)))
    name = put_alarm(aws, metric, **settings)
    aws.advance(60)
    found = alarm(aws, name)
    stamps = [moment(start - 60 * age) for age in range(3)]
    assert (found["StateValue"], found["StateReason"]) == (state, reason.format(*stamps))


def test_data_that_end_leave_an_alarm_without_data_after_its_range(aws: Aws) -> None:
    start = next_minute(aws)
    metric = aws.name("m")
    put(aws, metric, (start, 3))
    names = {treatment: put_alarm(aws, metric, TreatMissingData=treatment) for treatment in ("missing", "ignore")}
    aws.advance(180)
    assert {alarm(aws, name)["StateValue"] for name in names.values()} == {"ALARM"}
    aws.advance(60)
    lacking = alarm(aws, names["missing"])
    assert lacking["StateValue"] == "INSUFFICIENT_DATA"
    assert lacking["StateReason"] == "Insufficient Data: 1 datapoint was unknown."
    assert lacking["StateUpdatedTimestamp"].timestamp() == start + 240
    assert alarm(aws, names["ignore"])["StateValue"] == "ALARM"


def test_longer_periods_end_at_every_minute(aws: Aws) -> None:
    start = next_minute(aws)
    metric = aws.name("m")
    put(aws, metric, (start, 3), (start + 60, 4))
    name = put_alarm(aws, metric, Period=300, Threshold=7)
    aws.advance(60)
    assert alarm(aws, name)["StateValue"] == "OK"
    aws.advance(60)
    found = alarm(aws, name)
    assert found["StateValue"] == "ALARM"
    assert f"[7.0 ({moment(start - 180)})]" in found["StateReason"]


def test_a_state_that_is_set_lasts_until_the_next_evaluation(aws: Aws) -> None:
    start = next_minute(aws)
    metric = aws.name("m")
    put(aws, metric, *((start + 60 * number, 0) for number in range(3)))
    name = put_alarm(aws, metric)
    aws.advance(60)
    cloudwatch = aws.client("cloudwatch")
    cloudwatch.set_alarm_state(
        AlarmName=name, StateValue="ALARM", StateReason="a drill", StateReasonData='{"drill": true}'
    )
    found = alarm(aws, name)
    assert (found["StateValue"], found["StateReason"]) == ("ALARM", "a drill")
    aws.advance(60)
    assert alarm(aws, name)["StateValue"] == "OK"
    put_alarm(aws, metric, AlarmName=name, Threshold=0)
    assert alarm(aws, name)["StateValue"] == "OK"
    aws.advance(60)
    assert alarm(aws, name)["StateValue"] == "ALARM"


def test_alarms_are_found_switched_tagged_and_deleted(aws: Aws) -> None:
    cloudwatch = aws.client("cloudwatch")
    topic = f"arn:aws:sns:{aws.info.region}:111122223333:people"
    metric, prefix = aws.name("m"), aws.name("p")
    names = [put_alarm(aws, metric, AlarmName=f"{prefix}-{i}", AlarmActions=[topic] * i) for i in (1, 0)]
    found = cloudwatch.describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
    assert [one["AlarmName"] for one in found] == sorted(names)
    assert [one["ActionsEnabled"] for one in found] == [True, True]
    assert found[1]["AlarmActions"] == [topic]
    assert len(cloudwatch.describe_alarms(AlarmNamePrefix=prefix, ActionPrefix=topic)["MetricAlarms"]) == 1
    assert cloudwatch.describe_alarms(AlarmNamePrefix=prefix, StateValue="ALARM")["MetricAlarms"] == []
    about = {"Namespace": SPACE, "MetricName": metric}
    assert len(cloudwatch.describe_alarms_for_metric(**about)["MetricAlarms"]) == 2
    assert cloudwatch.describe_alarms_for_metric(**about, Period=300)["MetricAlarms"] == []
    page = cloudwatch.describe_alarms(AlarmNamePrefix=prefix, MaxRecords=1)
    assert len(page["MetricAlarms"]) == 1
    assert page["NextToken"]
    cloudwatch.disable_alarm_actions(AlarmNames=names)
    assert not alarm(aws, names[0])["ActionsEnabled"]
    cloudwatch.enable_alarm_actions(AlarmNames=names)
    assert alarm(aws, names[0])["ActionsEnabled"]
    arn = found[0]["AlarmArn"]
    cloudwatch.tag_resource(ResourceARN=arn, Tags=[{"Key": "lab", "Value": "1"}, {"Key": "x", "Value": "y"}])
    cloudwatch.untag_resource(ResourceARN=arn, TagKeys=["x"])
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "lab", "Value": "1"}]
    with pytest.raises(cloudwatch.exceptions.ResourceNotFound):
        cloudwatch.delete_alarms(AlarmNames=[names[0], "nobody"])
    cloudwatch.delete_alarms(AlarmNames=names)
    assert cloudwatch.describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"] == []
    history = cloudwatch.describe_alarm_history(AlarmName=names[0], ScanBy="TimestampAscending")["AlarmHistoryItems"]
    assert history[-1]["HistorySummary"] == f'Alarm "{names[0]}" deleted'
    with pytest.raises(cloudwatch.exceptions.ResourceNotFound):
        cloudwatch.set_alarm_state(AlarmName=names[0], StateValue="OK", StateReason="gone")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"Period": 10}, "multiple of 60"),
        ({"EvaluationPeriods": 1441}, "more than a day"),
        ({"EvaluationPeriods": 2, "DatapointsToAlarm": 3}, "DatapointsToAlarm"),
        ({"ComparisonOperator": "LessThanLowerOrGreaterThanUpperThreshold"}, "ComparisonOperator"),
        ({"TreatMissingData": "forget"}, "TreatMissingData"),
        ({"ExtendedStatistic": "tm90"}, "tm90"),
        ({"AlarmActions": ["people"]}, "Invalid arn"),
        ({"Metrics": [{"Id": "e", "Expression": "m1 * 2"}]}, "does not offer Metrics in alarms"),
    ],
)
def test_what_cannot_be_an_alarm(aws: Aws, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ClientError, match=words):
        put_alarm(aws, "m", **settings)


def test_alarms_hardly_slow_time_travel(aws: Aws) -> None:
    def seconds() -> float:
        before = psutil.Process(aws.info.pid).cpu_times().user
        aws.advance(2 * 3600)
        return float(psutil.Process(aws.info.pid).cpu_times().user - before)

    without = seconds()
    metric = aws.name("m")
    put(aws, metric, (aws.now(), 1))
    names = [put_alarm(aws, metric, Period=300, EvaluationPeriods=3) for _ in range(20)]
    assert seconds() < without + 1
    aws.client("cloudwatch").delete_alarms(AlarmNames=names)
