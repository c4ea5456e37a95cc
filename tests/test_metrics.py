"""The metrics of queues and functions: which, with what dimensions, units and moments, and when there is none."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import BASIC_ROLE, Aws

QUIET = "def handler(event, context):\n    return 1"


def next_minute(aws: Aws) -> float:
    """Go to just after the start of a minute; return that start."""
    now = aws.now()
    return aws.advance(61 - now % 60) // 60 * 60


def name_of(queue: str) -> str:
    """Return the name in a queue's URL."""
    return queue.rpartition("/")[2]


def points(aws: Aws, namespace: str, metric: str, stat: str, start: float, **dimensions: str) -> list[dict[str, Any]]:
    """Return the data points of a metric with their units, in order of time."""
    answer = aws.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=datetime.fromtimestamp(start, UTC),
        EndTime=datetime.fromtimestamp(aws.now() + 60, UTC),
        Period=60,
        Statistics=[stat],
    )
    return sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])


def of_queue(aws: Aws, queue: str, metric: str, stat: str, start: float) -> list[tuple[float, float, str]]:
    """Return a queue's points: seconds since the start, value, unit."""
    found = points(aws, "AWS/SQS", metric, stat, start, QueueName=name_of(queue))
    return [(point["Timestamp"].timestamp() - start, point[stat], point["Unit"]) for point in found]


def listed(aws: Aws, namespace: str, **dimensions: str) -> set[str]:
    """Return the names of the metrics that exist with these dimensions, and no others."""
    wanted = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    pages = aws.client("cloudwatch").get_paginator("list_metrics").paginate(Namespace=namespace, Dimensions=wanted)
    metrics = [metric for page in pages for metric in page["Metrics"]]
    return {one["MetricName"] for one in metrics if len(one["Dimensions"]) == len(wanted)}


# AWS/SQS


@pytest.mark.behaviour("F5", "F9", "F13")
def test_points_come_by_the_minute_when_the_minute_is_over(aws: Aws) -> None:
    queue = aws.queue()
    start = next_minute(aws)
    sqs = aws.client("sqs")
    sqs.send_message(QueueUrl=queue, MessageBody="abc")
    sqs.send_message(
        QueueUrl=queue, MessageBody="abcde", MessageAttributes={"a": {"DataType": "String", "StringValue": "x"}}
    )
    assert of_queue(aws, queue, "NumberOfMessagesSent", "Sum", start) == []
    aws.advance(60)
    sqs.send_message(QueueUrl=queue, MessageBody="abc")
    assert of_queue(aws, queue, "NumberOfMessagesSent", "Sum", start) == [(0, 2, "Count")]
    assert of_queue(aws, queue, "SentMessageSize", "Maximum", start) == [(0, 13, "Bytes")]
    assert of_queue(aws, queue, "SentMessageSize", "Average", start) == [(0, 8, "Bytes")]
    aws.advance(60)
    assert of_queue(aws, queue, "NumberOfMessagesSent", "Sum", start) == [(0, 2, "Count"), (60, 1, "Count")]
    assert aws.metric("AWS/SQS", "NumberOfMessagesSent", "Sum", start) == []


@pytest.mark.behaviour("F6", "F7", "F8")
def test_receives_empty_receives_and_deletes_are_counted(aws: Aws) -> None:
    queue = aws.queue(VisibilityTimeout=0)
    start = next_minute(aws)
    sqs = aws.client("sqs")
    sqs.receive_message(QueueUrl=queue)
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    for _ in range(2):
        (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    for _ in range(2):
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    with pytest.raises(ClientError):
        sqs.delete_message(QueueUrl=queue, ReceiptHandle="no handle")
    aws.advance(60)
    for metric, number in (
        ("NumberOfMessagesReceived", 2),
        ("NumberOfEmptyReceives", 1),
        ("NumberOfMessagesDeleted", 2),
    ):
        assert of_queue(aws, queue, metric, "Sum", start) == [(0, number, "Count")]


@pytest.mark.behaviour("F2", "F3", "F4")
def test_visible_messages_are_always_told_and_the_others_while_there_are_any(aws: Aws) -> None:
    queue = aws.queue(VisibilityTimeout=70)
    start = next_minute(aws)
    sqs = aws.client("sqs")
    aws.advance(60)
    for delay in (0, 0, 100):
        sqs.send_message(QueueUrl=queue, MessageBody="x", DelaySeconds=delay)
    sqs.receive_message(QueueUrl=queue)
    aws.advance(180)
    gauge = "ApproximateNumberOfMessages"
    assert [value for _, value, _ in of_queue(aws, queue, f"{gauge}Visible", "Maximum", start)] == [0, 1, 3, 3]
    assert of_queue(aws, queue, f"{gauge}NotVisible", "Maximum", start) == [(60, 1, "Count")]
    assert of_queue(aws, queue, f"{gauge}Delayed", "Maximum", start) == [(60, 1, "Count")]


@pytest.mark.behaviour("F1")
def test_the_age_of_the_oldest_message_leaves_out_what_was_received_three_times(aws: Aws) -> None:
    dead = aws.queue()
    policy = {"deadLetterTargetArn": aws.queue_arn(dead), "maxReceiveCount": 4}
    queue = aws.queue(RedrivePolicy=policy)
    metric = "ApproximateAgeOfOldestMessage"
    start = next_minute(aws)
    sqs = aws.client("sqs")
    aws.advance(60)
    sqs.send_message(QueueUrl=queue, MessageBody="poison")
    aws.advance(120)
    (first, second) = of_queue(aws, queue, metric, "Maximum", start)
    assert (first[0], first[2], second[0]) == (60, "Seconds", 120)
    assert 58 <= first[1] <= 60
    assert 118 <= second[1] <= 120
    for _ in range(3):
        sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)
    aws.advance(60)
    assert len(of_queue(aws, queue, metric, "Maximum", start)) == 2
    sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)
    sqs.receive_message(QueueUrl=queue)
    aws.advance(60)
    ((at, age, _),) = of_queue(aws, dead, metric, "Maximum", start)
    assert at == 240
    assert 55 <= age <= 60


@pytest.mark.behaviour("F5", "F16")
def test_a_move_to_a_dead_letter_queue_is_no_send(aws: Aws) -> None:
    dead = aws.queue()
    queue = aws.queue(RedrivePolicy={"deadLetterTargetArn": aws.queue_arn(dead), "maxReceiveCount": 1})
    start = next_minute(aws)
    sqs = aws.client("sqs")
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)
    sqs.receive_message(QueueUrl=queue)
    aws.advance(60)
    assert of_queue(aws, dead, "NumberOfMessagesSent", "Sum", start) == []
    assert of_queue(aws, dead, "ApproximateNumberOfMessagesVisible", "Maximum", start) == [(0, 1, "Count")]


@pytest.mark.behaviour("F10", "F11")
def test_metrics_of_fifo_queues_alone(aws: Aws) -> None:
    fifo, standard = aws.queue(fifo=True, VisibilityTimeout=120), aws.queue()
    start = next_minute(aws)
    sqs = aws.client("sqs")
    for group, body in (("a", "1"), ("a", "1"), ("b", "2"), ("c", "3")):
        sqs.send_message(QueueUrl=fifo, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=body)
    sqs.send_message(QueueUrl=standard, MessageBody="1")
    for queue in (fifo, standard):
        sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=2)
    aws.advance(60)
    assert of_queue(aws, fifo, "NumberOfMessagesSent", "Sum", start) == [(0, 3, "Count")]
    assert of_queue(aws, fifo, "NumberOfDeduplicatedSentMessages", "Sum", start) == [(0, 1, "Count")]
    groups = "ApproximateNumberOfGroupsWithInflightMessages"
    assert of_queue(aws, fifo, groups, "Maximum", start) == [(0, 2, "Count")]
    assert not listed(aws, "AWS/SQS", QueueName=name_of(standard)) & {groups, "NumberOfDeduplicatedSentMessages"}


@pytest.mark.behaviour("F14")
def test_a_queue_that_nobody_touches_for_six_hours_tells_nothing(aws: Aws) -> None:
    idle, holding = aws.queue(), aws.queue()
    sqs = aws.client("sqs")
    sqs.send_message(QueueUrl=holding, MessageBody="x")
    start = next_minute(aws)
    aws.advance(7 * 3600)
    visible = "ApproximateNumberOfMessagesVisible"
    last = of_queue(aws, idle, visible, "Maximum", start)[-1]
    assert 6 * 3600 - 120 <= last[0] <= 6 * 3600
    assert of_queue(aws, holding, visible, "Maximum", start)[-1][0] == 7 * 3600 - 60
    touched = aws.now()
    sqs.get_queue_attributes(QueueUrl=idle, AttributeNames=["QueueArn"])
    aws.advance(60)
    assert of_queue(aws, idle, visible, "Maximum", touched // 60 * 60)


@pytest.mark.behaviour("F17")
def test_a_trigger_counts_like_any_consumer(aws: Aws) -> None:
    queue = aws.queue()
    aws.mapping(queue, aws.function(QUIET))
    start = next_minute(aws)
    for number in range(3):
        aws.client("sqs").send_message(QueueUrl=queue, MessageBody=str(number))
    aws.advance(120)

    def total(metric: str) -> float:
        return sum(value for _, value, _ in of_queue(aws, queue, metric, "Sum", start))

    assert (total("NumberOfMessagesReceived"), total("NumberOfMessagesDeleted")) == (3, 3)
    assert total("NumberOfEmptyReceives") > 0


# AWS/Lambda


@pytest.mark.behaviour("F20", "F21", "F22")
def test_invocations_errors_and_throttles_are_apart(aws: Aws) -> None:
    function = aws.function("def handler(event, context):\n    assert event", role=aws.role(BASIC_ROLE))
    start = next_minute(aws)
    client = aws.client("lambda")
    for payload in (b"1", b"1", b"0"):
        client.invoke(FunctionName=function, Payload=payload)
    aws.advance(60)
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    for _ in range(2):
        with pytest.raises(client.exceptions.TooManyRequestsException):
            client.invoke(FunctionName=function)
    aws.advance(60)
    expected = {"Invocations": [(0, 3)], "Errors": [(0, 1)], "Throttles": [(0, 0), (60, 2)]}
    for metric, values in expected.items():
        found = points(aws, "AWS/Lambda", metric, "Sum", start, FunctionName=function)
        assert [(point["Timestamp"].timestamp() - start, point["Sum"]) for point in found] == values
        assert {point["Unit"] for point in found} == {"Count"}


@pytest.mark.behaviour("F21")
def test_a_reported_part_of_a_batch_is_no_error(aws: Aws) -> None:
    queue = aws.queue()
    function = aws.function("""
        def handler(event, context):
            return {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
    """)
    aws.mapping(queue, function, FunctionResponseTypes=["ReportBatchItemFailures"])
    start = next_minute(aws)
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="x")
    aws.advance(60)
    assert sum(aws.metric("AWS/Lambda", "Invocations", "Sum", start, FunctionName=function)) >= 1
    assert sum(aws.metric("AWS/Lambda", "Errors", "Sum", start, FunctionName=function)) == 0


@pytest.mark.behaviour("F18")
def test_dimensions_of_an_alias(aws: Aws) -> None:
    function = aws.function(QUIET, role=aws.role(BASIC_ROLE))
    client = aws.client("lambda")
    client.publish_version(FunctionName=function)
    client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    start = next_minute(aws)
    for qualifier in ({"Qualifier": "live"}, {"Qualifier": "1"}, {}):
        client.invoke(FunctionName=function, **qualifier)
    aws.advance(60)

    def count(**dimensions: str) -> float:
        return sum(aws.metric("AWS/Lambda", "Invocations", "Sum", start, **dimensions))

    assert count(FunctionName=function) == 3
    assert count(FunctionName=function, Resource=f"{function}:live") == 1
    assert count(FunctionName=function, Resource=f"{function}:live", ExecutedVersion="1") == 1
    assert count(FunctionName=function, Resource=f"{function}:1") == 1
    assert count(FunctionName=function, Resource=function) == 1
    assert count() >= 3
    assert count(FunctionName=function, Resource=f"{function}:1", ExecutedVersion="1") == 0


@pytest.mark.behaviour("F19", "F24", "F25")
def test_metrics_stand_at_the_start_of_an_invocation_and_appear_at_its_end(aws: Aws) -> None:
    function = aws.function(
        "import time\ndef handler(event, context):\n    time.sleep(event)", role=aws.role(BASIC_ROLE)
    )
    for _ in range(2):
        aws.client("lambda").invoke(FunctionName=function, Payload=b"0")
    start = next_minute(aws)
    aws.advance(59.4 - aws.now() % 60)
    for _ in range(2):
        aws.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=b"1.2")
    while aws.now() < start + 60.1:
        assert aws.metric("AWS/Lambda", "Invocations", "Sum", start, FunctionName=function) == []
    assert aws.metric("AWS/Lambda", "Invocations", "Sum", start, FunctionName=function) == []
    aws.advance(60)
    for metric, stat in (("Invocations", "Sum"), ("ConcurrentExecutions", "Maximum")):
        (point,) = points(aws, "AWS/Lambda", metric, stat, start, FunctionName=function)
        assert (point["Timestamp"].timestamp(), point[stat], point["Unit"]) == (start, 2, "Count")
    for metric in ("ConcurrentExecutions", "UnreservedConcurrentExecutions"):
        assert aws.metric("AWS/Lambda", metric, "Maximum", start)[0] >= 2
    assert aws.metric("AWS/Lambda", "UnreservedConcurrentExecutions", "Maximum", start, FunctionName=function) == []


@pytest.mark.behaviour("F25", "F26")
def test_what_is_reserved_is_claimed(aws: Aws) -> None:
    function = aws.function(QUIET, role=aws.role(BASIC_ROLE))
    client = aws.client("lambda")
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=7)
    unreserved = client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    total = client.get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    start = next_minute(aws)
    client.invoke(FunctionName=function)
    aws.advance(60)
    client.delete_function_concurrency(FunctionName=function)
    (claimed,) = aws.metric("AWS/Lambda", "ClaimedAccountConcurrency", "Maximum", start)
    (running,) = aws.metric("AWS/Lambda", "UnreservedConcurrentExecutions", "Maximum", start)
    assert claimed - running == total - unreserved >= 7


@pytest.mark.behaviour("F23")
def test_duration_is_in_milliseconds_and_without_the_cold_start(aws: Aws) -> None:
    function = aws.function(
        "import time\ntime.sleep(0.4)\ndef handler(event, context):\n    time.sleep(0.02)", role=aws.role(BASIC_ROLE)
    )
    start = next_minute(aws)
    for _ in range(3):
        aws.client("lambda").invoke(FunctionName=function)
    aws.advance(60)
    (point,) = points(aws, "AWS/Lambda", "Duration", "Maximum", start, FunctionName=function)
    assert point["Unit"] == "Milliseconds"
    assert 20 <= point["Maximum"] < 400
    (median,) = aws.metric("AWS/Lambda", "Duration", "p50", start, FunctionName=function)
    (average,) = aws.metric("AWS/Lambda", "Duration", "Average", start, FunctionName=function)
    assert 20 <= median <= point["Maximum"]
    assert 20 <= average <= point["Maximum"]


@pytest.mark.behaviour("F27")
def test_asynchronous_events_are_counted_until_they_are_dropped(aws: Aws) -> None:
    queue = aws.queue()
    statement = {"Effect": "Allow", "Action": ["sqs:SendMessage", "logs:*"], "Resource": "*"}
    role = aws.role(policy={"Version": "2012-10-17", "Statement": [statement]})
    function = aws.function("raise_it", role=role, DeadLetterConfig={"TargetArn": aws.queue_arn(queue)})
    client = aws.client("lambda")
    client.put_function_event_invoke_config(
        FunctionName=function,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": aws.queue_arn(queue)}},
    )
    aws.client("iam").delete_role_policy(RoleName=role.rpartition("/")[2], PolicyName="own")
    start = next_minute(aws)
    client.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps({}))
    aws.advance(240)
    for metric in ("AsyncEventsReceived", "AsyncEventsDropped", "DeadLetterErrors", "DestinationDeliveryFailures"):
        assert sum(aws.metric("AWS/Lambda", metric, "Sum", start, FunctionName=function)) == 1, metric
    (age,) = points(aws, "AWS/Lambda", "AsyncEventAge", "Maximum", start, FunctionName=function)
    assert age["Unit"] == "Milliseconds"
    assert sum(aws.metric("AWS/Lambda", "Invocations", "Sum", start, FunctionName=function)) == 2


@pytest.mark.behaviour("F29")
def test_a_queue_has_no_iterator_age(aws: Aws) -> None:
    queue, function = aws.queue(), aws.function(QUIET)
    aws.mapping(queue, function)
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="x")
    aws.advance(120)
    names = listed(aws, "AWS/Lambda", FunctionName=function)
    assert {"Invocations", "Duration"} <= names
    assert not names & {"IteratorAge", "OffsetLag"}
