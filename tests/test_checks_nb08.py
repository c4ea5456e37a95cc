"""Notebook 08's check: what an alarm's own settings give away, before anything has died."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers import checks

DEAD = "lab-abc123-orders-dead-letters"
SOLUTION: dict[str, Any] = {
    "AlarmName": "lab-abc123-dead-orders",
    "AlarmConfigurationUpdatedTimestamp": datetime(2026, 1, 1, tzinfo=UTC),
    "Namespace": "AWS/SQS",
    "MetricName": "ApproximateNumberOfMessagesVisible",
    "Dimensions": [{"Name": "QueueName", "Value": DEAD}],
    "Statistic": "Maximum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
}


def lab_with(alarms: list[dict[str, Any]]) -> Any:
    """Return a lab with these alarms, the queue `orders` and its dead-letter queue."""

    def get_queue_url(QueueName: str) -> dict[str, str]:  # noqa: N803
        if QueueName not in ("lab-abc123-orders", DEAD):
            raise ClientError({"Error": {"Code": "AWS.SimpleQueueService.NonExistentQueue"}}, "GetQueueUrl")
        return {"QueueUrl": QueueName}

    policy = {
        "Attributes": {"RedrivePolicy": f'{{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:111122223333:{DEAD}"}}'}
    }
    sqs = SimpleNamespace(
        exceptions=SimpleNamespace(ClientError=ClientError),
        get_queue_url=get_queue_url,
        get_queue_attributes=lambda **_: policy,
    )
    pages = SimpleNamespace(paginate=lambda **_: [{"MetricAlarms": alarms}])
    cloudwatch = SimpleNamespace(get_paginator=lambda _: pages)
    clients = {"sqs": sqs, "cloudwatch": cloudwatch}
    return SimpleNamespace(prefix="lab-abc123", name=lambda own: f"lab-abc123-{own}", client=clients.__getitem__)


def verdict(*alarms: dict[str, Any]) -> str:
    """Return what the check says of these alarms."""
    return repr(checks.check(lab_with(list(alarms)), "08-alarm", queue="orders", function="orders"))


def test_without_an_alarm_it_is_not_yet() -> None:
    assert verdict().startswith("○ not yet: There is no alarm")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"Dimensions": [{"Name": "QueueName", "Value": "orders-dead-letters"}]}, "There is no such queue"),
        (
            {"Dimensions": [{"Name": "Queue", "Value": DEAD}]},
            "in AWS/SQS, by Queue. SQS tells it in AWS/SQS, by QueueName",
        ),
        ({"Dimensions": []}, "in AWS/SQS, by no dimension."),
        ({"Namespace": "AWS/Lambda"}, "It looks for ApproximateNumberOfMessagesVisible in AWS/Lambda"),
        ({"TreatMissingData": "breaching"}, "It treats missing data as breaching."),
        ({"Statistic": "SampleCount"}, "that is 1 a minute, dead letters or not"),
    ],
)
def test_settings_that_can_not_work_earn_their_sentence(changes: dict[str, Any], sentence: str) -> None:
    said = verdict(SOLUTION | changes)
    assert said.startswith("◐ almost: ")
    assert sentence in said


def test_the_newest_alarm_is_judged() -> None:
    newer = {"AlarmConfigurationUpdatedTimestamp": datetime(2026, 1, 2, tzinfo=UTC), "Namespace": "AWS/Lambda"}
    assert "in AWS/Lambda" in verdict(SOLUTION | newer, SOLUTION)
