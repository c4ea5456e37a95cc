"""A queue, a function and the mapping between them: what is invoked, with what, when, and what is left."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import BASIC_ROLE, Aws

RECORDS = """
    import json, time
    def handler(event, context):
        print(json.dumps({"at": time.time(), "event": event, "arn": context.invoked_function_arn}))
"""
FAILS = """
    import json, time
    def handler(event, context):
        for record in event["Records"]:
            print(json.dumps({"at": time.time(), "count": record["attributes"]["ApproximateReceiveCount"],
                              "id": record["messageId"], "handle": record["receiptHandle"]}))
        raise RuntimeError("no")
"""


def dead_letters(aws: Aws, max_receive_count: int, **attributes: Any) -> tuple[str, str]:
    """Make a queue with a dead-letter queue; return both URLs."""
    dead = aws.queue()
    policy = {"deadLetterTargetArn": aws.queue_arn(dead), "maxReceiveCount": max_receive_count}
    return aws.queue(RedrivePolicy=policy, **attributes), dead


@pytest.mark.behaviour("C51", "C52", "C53")
def test_a_message_reaches_the_handler_as_lambda_writes_it(aws: Aws) -> None:
    queue = aws.queue()
    function = aws.function(RECORDS)
    aws.mapping(queue, function, BatchSize=1)
    sent = aws.client("sqs").send_message(QueueUrl=queue, MessageBody='{"hello": "world"}')
    aws.advance(1)
    (seen,) = aws.printed(function)
    assert list(seen["event"]) == ["Records"]
    (record,) = seen["event"]["Records"]
    assert list(record) == [
        *["messageId", "receiptHandle", "body", "attributes", "messageAttributes"],
        *["md5OfBody", "eventSource", "eventSourceARN", "awsRegion"],
    ]
    assert record["messageId"] == sent["MessageId"]
    assert record["body"] == '{"hello": "world"}'
    assert list(record["attributes"]) == [
        *["ApproximateReceiveCount", "SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp"]
    ]
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["eventSource"] == "aws:sqs"
    assert record["eventSourceARN"] == aws.queue_arn(queue)


@pytest.mark.behaviour("C87")
def test_success_deletes_whatever_the_handler_returns(aws: Aws) -> None:
    queue = aws.queue()
    function = aws.function("def handler(event, context):\n    return {'batchItemFailures': 'nonsense'}")
    aws.mapping(queue, function)
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="x")
    aws.advance(60)
    assert aws.counts(queue) == (0, 0)


@pytest.mark.behaviour("C88", "C89", "C92")
def test_failures_return_at_the_visibility_timeout_and_end_in_the_dead_letter_queue(aws: Aws) -> None:
    queue, dead = dead_letters(aws, 3, VisibilityTimeout=30)
    function = aws.function(FAILS)
    aws.mapping(queue, function)
    start = aws.now()
    sent = aws.client("sqs").send_message(QueueUrl=queue, MessageBody="poison")
    aws.advance(89)
    assert aws.counts(dead) == (0, 0)
    aws.advance(31)
    seen = aws.printed(function)
    assert [item["count"] for item in seen] == ["1", "2", "3"]
    assert [round(item["at"] - start) for item in seen] == [0, 30, 60]
    assert {item["id"] for item in seen} == {sent["MessageId"]}
    assert len({item["handle"] for item in seen}) == 3
    assert aws.counts(queue) == (0, 0)
    (message,) = aws.client("sqs").receive_message(QueueUrl=dead, MessageSystemAttributeNames=["All"])["Messages"]
    assert message["MessageId"] == sent["MessageId"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "4"
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == aws.queue_arn(queue)


@pytest.mark.behaviour("C90")
def test_one_bad_message_takes_its_batch_with_it(aws: Aws) -> None:
    queue, dead = dead_letters(aws, 1, VisibilityTimeout=5)
    function = aws.function(
        "def handler(event, context):\n    assert all(r['body'] != 'bad' for r in event['Records'])"
    )
    bodies = ["bad", "good 1", "good 2"]
    uuid = aws.mapping(queue, function, Enabled=False)
    entries = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies)]
    aws.client("sqs").send_message_batch(QueueUrl=queue, Entries=entries)
    aws.client("lambda").update_event_source_mapping(UUID=uuid, Enabled=True)
    aws.advance(10)
    messages = aws.client("sqs").receive_message(QueueUrl=dead, MaxNumberOfMessages=10)["Messages"]
    assert sorted(message["Body"] for message in messages) == bodies


@pytest.mark.behaviour("C97", "C98", "C99")
@pytest.mark.parametrize("enabled", [True, False])
def test_only_reported_failures_stay_and_only_if_the_mapping_says_so(aws: Aws, enabled: bool) -> None:
    queue = aws.queue()
    function = aws.function("""
        def handler(event, context):
            bad = [r["messageId"] for r in event["Records"] if r["body"] == "bad"]
            return {"batchItemFailures": [{"itemIdentifier": i} for i in bad]}
    """)
    uuid = aws.mapping(queue, function, Enabled=False, FunctionResponseTypes=["ReportBatchItemFailures"] * enabled)
    entries = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(["bad", "good", "good"])]
    aws.client("sqs").send_message_batch(QueueUrl=queue, Entries=entries)
    aws.client("lambda").update_event_source_mapping(UUID=uuid, Enabled=True)
    aws.advance(5)
    assert aws.counts(queue) == (0, 1 if enabled else 0)


@pytest.mark.behaviour("C100", "C101", "C102")
@pytest.mark.parametrize(
    ("response", "left"),
    [
        ("{'batchItemFailures': []}", 0),
        ("{'batchItemFailures': None}", 0),
        ("{}", 0),
        ("None", 0),
        ("{'batchItemFailures': [{'itemIdentifier': ''}]}", 2),
        ("{'batchItemFailures': [{'itemIdentifier': None}]}", 2),
        ("{'batchItemFailures': [{'foo': 'notvalid'}]}", 2),
        ("{'batchItemFailures': [{'itemIdentifier': 'unknown'}]}", 2),
        ("{'batchItemFailures': [{'itemIdentifier': event['Records'][0]['messageId']}, {'itemIdentifier': 'x'}]}", 2),
    ],
)
def test_forms_of_the_partial_batch_response(aws: Aws, response: str, left: int) -> None:
    queue = aws.queue()
    function = aws.function(f"def handler(event, context):\n    return {response}")
    uuid = aws.mapping(queue, function, Enabled=False, FunctionResponseTypes=["ReportBatchItemFailures"])
    aws.client("sqs").send_message_batch(QueueUrl=queue, Entries=[{"Id": i, "MessageBody": i} for i in "ab"])
    aws.client("lambda").update_event_source_mapping(UUID=uuid, Enabled=True)
    aws.advance(5)
    assert sum(aws.counts(queue)) == left


@pytest.mark.behaviour("C64", "C70")
def test_messages_that_wait_already_are_read_in_batches_of_ten(aws: Aws) -> None:
    queue = aws.queue()
    for _ in range(3):
        entries = [{"Id": str(i), "MessageBody": str(i)} for i in range(10)]
        aws.client("sqs").send_message_batch(QueueUrl=queue, Entries=entries)
    function = aws.function(RECORDS)
    aws.mapping(queue, function)
    aws.advance(5)
    assert [len(seen["event"]["Records"]) for seen in aws.printed(function)] == [10, 10, 10]


@pytest.mark.behaviour("C69", "C72")
def test_a_window_gathers_more_than_one_receive(aws: Aws) -> None:
    queue = aws.queue()
    function = aws.function(RECORDS)
    aws.mapping(queue, function, BatchSize=100, MaximumBatchingWindowInSeconds=10)
    for index in range(25):
        aws.client("sqs").send_message(QueueUrl=queue, MessageBody=str(index))
    assert aws.printed(function) == []
    aws.advance(11)
    assert [len(seen["event"]["Records"]) for seen in aws.printed(function)] == [25]


@pytest.mark.behaviour("C56", "C58")
def test_a_window_writes_nulls_for_what_is_absent(aws: Aws) -> None:
    queue = aws.queue()
    function = aws.function(RECORDS)
    aws.mapping(queue, function, MaximumBatchingWindowInSeconds=1)
    attribute = {"n": {"DataType": "Number", "StringValue": "1"}}
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="plain")
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="with", MessageAttributes=attribute)
    aws.advance(2)
    found = {r["body"]: r for seen in aws.printed(function) for r in seen["event"]["Records"]}
    assert found["plain"]["md5OfMessageAttributes"] is None
    assert list(found["with"]["messageAttributes"]["n"].items()) == [
        ("stringValue", "1"),
        ("binaryValue", None),
        ("stringListValues", []),
        ("binaryListValues", []),
        ("dataType", "Number"),
    ]


@pytest.mark.behaviour("C2", "C3", "C4")
def test_what_create_answers(aws: Aws) -> None:
    made = aws.client("lambda").create_event_source_mapping(
        EventSourceArn=aws.queue_arn(aws.queue()), FunctionName=aws.function(RECORDS)
    )
    assert made.pop("ResponseMetadata")["HTTPStatusCode"] == 202
    assert set(made) == {
        *["BatchSize", "EventSourceArn", "EventSourceMappingArn", "FunctionArn", "FunctionResponseTypes"],
        *["LastModified", "MaximumBatchingWindowInSeconds", "State", "StateTransitionReason", "UUID"],
    }
    assert made["State"] == "Creating"
    assert made["StateTransitionReason"] == "USER_INITIATED"


@pytest.mark.behaviour("C8", "C9", "C10")
def test_states_from_creation_to_deletion(aws: Aws) -> None:
    client = aws.client("lambda")
    function = aws.function(RECORDS)
    arn = aws.queue_arn(aws.queue())
    uuid = client.create_event_source_mapping(EventSourceArn=arn, FunctionName=function)["UUID"]
    with pytest.raises(client.exceptions.ResourceInUseException) as busy:
        client.update_event_source_mapping(UUID=uuid, BatchSize=1)
    assert busy.value.response["Error"]["Message"] == "Cannot update the event source mapping because it is in use."
    aws.advance(2)
    assert client.get_event_source_mapping(UUID=uuid)["State"] == "Enabled"
    assert client.update_event_source_mapping(UUID=uuid, Enabled=False)["State"] == "Disabling"
    aws.advance(2)
    assert client.get_event_source_mapping(UUID=uuid)["State"] == "Disabled"
    assert client.update_event_source_mapping(UUID=uuid, Enabled=True)["State"] == "Enabling"
    aws.advance(2)
    assert client.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"
    aws.advance(2)
    with pytest.raises(client.exceptions.ResourceNotFoundException) as gone:
        client.get_event_source_mapping(UUID=uuid)
    assert gone.value.response["Error"]["Message"] == "The resource you requested does not exist."


@pytest.mark.behaviour("C86")
def test_a_disabled_mapping_leaves_messages_and_enabling_delivers_them(aws: Aws) -> None:
    queue = aws.queue()
    function = aws.function(RECORDS)
    uuid = aws.mapping(queue, function)
    client = aws.client("lambda")
    client.update_event_source_mapping(UUID=uuid, Enabled=False)
    aws.advance(2)
    entries = [{"Id": str(i), "MessageBody": str(i)} for i in range(5)]
    aws.client("sqs").send_message_batch(QueueUrl=queue, Entries=entries)
    aws.advance(3600)
    assert aws.counts(queue) == (5, 0)
    client.update_event_source_mapping(UUID=uuid, Enabled=True)
    aws.advance(5)
    assert aws.counts(queue) == (0, 0)
    (seen,) = aws.printed(function)
    waited = seen["at"] - int(seen["event"]["Records"][0]["attributes"]["SentTimestamp"]) / 1000
    assert 3600 <= waited < 3610


@pytest.mark.behaviour("C18", "C19")
def test_a_function_may_not_run_longer_than_its_messages_are_hidden(aws: Aws) -> None:
    client = aws.client("lambda")
    function = aws.function(RECORDS, Timeout=60)
    short, equal = aws.queue(VisibilityTimeout=30), aws.queue(VisibilityTimeout=60)
    with pytest.raises(client.exceptions.InvalidParameterValueException) as refused:
        client.create_event_source_mapping(EventSourceArn=aws.queue_arn(short), FunctionName=function)
    assert refused.value.response["Error"]["Message"] == (
        "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds"
    )
    assert client.list_event_source_mappings(FunctionName=function)["EventSourceMappings"] == []
    aws.mapping(equal, function)


@pytest.mark.behaviour("C28")
def test_a_role_without_rights_on_the_queue_is_refused(aws: Aws) -> None:
    client = aws.client("lambda")
    function = aws.function(RECORDS, role=aws.role(BASIC_ROLE))
    with pytest.raises(client.exceptions.InvalidParameterValueException) as refused:
        client.create_event_source_mapping(EventSourceArn=aws.queue_arn(aws.queue()), FunctionName=function)
    assert refused.value.response["Error"]["Message"] == (
        "The function execution role does not have permissions to call ReceiveMessage on SQS"
    )


@pytest.mark.behaviour("E6")
def test_a_right_taken_away_later_stops_delivery_and_given_back_resumes_it(aws: Aws) -> None:
    iam = aws.client("iam")
    role = aws.role()
    queue = aws.queue()
    function = aws.function(RECORDS, role=role)
    aws.mapping(queue, function)
    name = role.rpartition("/")[2]
    policy = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"][0]["PolicyArn"]
    iam.detach_role_policy(RoleName=name, PolicyArn=policy)
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="x")
    aws.advance(120)
    assert aws.counts(queue) == (1, 0)
    assert aws.printed(function) == []
    iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    aws.advance(1)
    assert aws.counts(queue) == (0, 0)


@pytest.mark.behaviour("C27", "C30", "C31")
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"EventSourceArn": "arn:aws:sqs:us-east-1:{account}:none"},
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
            "SQS Error Message: The specified queue does not exist.",
        ),
        ({"FunctionName": "no-such-function"}, "Function does not exist"),
        ({"EventSourceArn": None}, "Unrecognized event source."),
    ],
)
def test_missing_parts_are_named(aws: Aws, change: dict[str, Any], text: str) -> None:
    client = aws.client("lambda")
    arguments = {"EventSourceArn": aws.queue_arn(aws.queue()), "FunctionName": aws.function(RECORDS), **change}
    arguments = {
        key: value.format(account=aws.info.account) if key == "EventSourceArn" else value
        for key, value in arguments.items()
        if value is not None
    }
    with pytest.raises(client.exceptions.InvalidParameterValueException) as refused:
        client.create_event_source_mapping(**arguments)
    assert refused.value.response["Error"]["Message"] == text


@pytest.mark.behaviour("C21", "C25", "C42")
@pytest.mark.parametrize(
    ("fifo", "settings", "text"),
    [
        (
            False,
            {"BatchSize": 11},
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
        ),
        (True, {"MaximumBatchingWindowInSeconds": 5}, "Batching window is not supported for FIFO queues"),
        (
            False,
            {"ScalingConfig": {"MaximumConcurrency": 2}, "ProvisionedPollerConfig": {"MinimumPollers": 2}},
            "Provisioned mode for SQS ESM does not support maximum concurrency feature. "
            "Use MaximumPollers as the control mechanism and remove maximum concurrency.",
        ),
        (False, {"StartingPosition": "LATEST"}, "StartingPosition is not valid for SQS event sources."),
        (
            False,
            {"BisectBatchOnFunctionError": True},
            "Unsupported BisectBatchOnFunctionError parameter for given event source mapping type.",
        ),
        (False, {"FilterCriteria": {"Filters": [{"Pattern": "null"}]}}, "Invalid filter pattern definition."),
    ],
)
def test_settings_that_do_not_go_together(aws: Aws, fifo: bool, settings: dict[str, Any], text: str) -> None:
    client = aws.client("lambda")
    arn = aws.queue_arn(aws.queue(fifo=fifo))
    with pytest.raises(ClientError) as refused:
        client.create_event_source_mapping(EventSourceArn=arn, FunctionName=aws.function(RECORDS), **settings)
    assert refused.value.response["Error"] == {
        "Code": "InvalidParameterValueException",
        "Message": text,
    } | {key: value for key, value in refused.value.response["Error"].items() if key == "Type"}


@pytest.mark.behaviour("C32", "C33")
def test_one_mapping_for_a_queue_and_a_function(aws: Aws) -> None:
    client = aws.client("lambda")
    queue, function = aws.queue(), aws.function(RECORDS)
    uuid = aws.mapping(queue, function)
    arn = aws.queue_arn(queue)
    with pytest.raises(client.exceptions.ResourceConflictException) as refused:
        client.create_event_source_mapping(EventSourceArn=arn, FunctionName=function)
    assert refused.value.response["Error"]["Message"] == (
        f'An event source mapping with SQS arn (" {arn} ") and function (" {function} ") already exists. '
        f"Please update or delete the existing mapping with UUID {uuid}"
    )
    aws.mapping(queue, aws.function(RECORDS))


@pytest.mark.behaviour("C111", "C112", "C114")
def test_what_no_filter_wants_is_deleted_unseen(aws: Aws) -> None:
    queue = aws.queue()
    function = aws.function(RECORDS)
    pattern = json.dumps({"body": {"region": ["eu"]}})
    aws.mapping(queue, function, FilterCriteria={"Filters": [{"Pattern": pattern}]})
    for body in ('{"region": "us"}', '{"region": "eu"}', "not JSON"):
        aws.client("sqs").send_message(QueueUrl=queue, MessageBody=body)
    aws.advance(60)
    seen = [record["body"] for item in aws.printed(function) for record in item["event"]["Records"]]
    assert seen == ['{"region": "eu"}']
    assert aws.counts(queue) == (0, 0)


@pytest.mark.behaviour("C77", "C78")
def test_one_group_is_handled_in_order_by_one_environment(aws: Aws) -> None:
    queue = aws.queue(fifo=True, ContentBasedDeduplication=True)
    function = aws.function(RECORDS)
    for index in range(5):
        aws.client("sqs").send_message(QueueUrl=queue, MessageBody=str(index), MessageGroupId="g")
    aws.mapping(queue, function, BatchSize=1)
    aws.advance(5)
    bodies = [seen["event"]["Records"][0]["body"] for seen in aws.printed(function)]
    assert bodies == ["0", "1", "2", "3", "4"]
    streams = aws.client("logs").describe_log_streams(logGroupName=f"/aws/lambda/{function}")["logStreams"]
    assert len(streams) == 1


@pytest.mark.behaviour("F20", "F21")
def test_the_invocations_graph_gets_its_points(aws: Aws) -> None:
    queue = aws.queue()
    function = aws.function(RECORDS)
    aws.mapping(queue, function, BatchSize=1)
    start = aws.now()
    for _ in range(2):
        aws.client("sqs").send_message(QueueUrl=queue, MessageBody="x")
    aws.advance(120)
    assert sum(aws.metric("AWS/Lambda", "Invocations", "Sum", start, FunctionName=function)) == 2
    assert sum(aws.metric("AWS/Lambda", "Errors", "Sum", start, FunctionName=function)) == 0
    durations = aws.metric("AWS/Lambda", "Duration", "Maximum", start, FunctionName=function)
    assert durations
    assert all(0 < value < 3000 for value in durations)


@pytest.mark.behaviour("F8", "G15")
def test_an_idle_trigger_asks_and_asks(aws: Aws) -> None:
    queue = aws.queue()
    aws.mapping(queue, aws.function(RECORDS))
    start = aws.now()
    aws.advance(3600)
    name = queue.rpartition("/")[2]
    empty = sum(aws.metric("AWS/SQS", "NumberOfEmptyReceives", "Sum", start, QueueName=name))
    assert 360 <= empty <= 960
