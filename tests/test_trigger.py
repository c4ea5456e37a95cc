"""A queue, a function and the mapping between them: what is invoked, with what, when, and what is left."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import BASIC_ROLE, Aws, zipped
from .triggers import FAILS, RECORDS, batches, change, dead_letters, send, works_for


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


@pytest.mark.behaviour("C54", "C57", "C59")
@pytest.mark.parametrize("window", [0, 1])
def test_every_kind_of_message_attribute(aws: Aws, window: int) -> None:
    queue = aws.queue()
    function = aws.function(RECORDS)
    aws.mapping(queue, function, MaximumBatchingWindowInSeconds=window)
    attributes = {
        "text": {"DataType": "String", "StringValue": "käse"},
        "number": {"DataType": "Number.int", "StringValue": "1"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"1100"},
    }
    sent = aws.client("sqs").send_message(QueueUrl=queue, MessageBody="[1, 2]", MessageAttributes=attributes)
    aws.advance(2)
    (seen,) = aws.printed(function)
    (record,) = seen["event"]["Records"]
    assert record["body"] == "[1, 2]"
    assert record["md5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert record["md5OfBody"] == sent["MD5OfMessageBody"]
    assert list(record).index("md5OfMessageAttributes") == list(record).index("md5OfBody") - 1
    lists: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
    null = {"binaryValue": None} if window else {}
    assert record["messageAttributes"] == {
        "text": {"stringValue": "käse", **null, **lists, "dataType": "String"},
        "number": {"stringValue": "1", **null, **lists, "dataType": "Number.int"},
        "bytes": {
            **({"stringValue": None} if window else {}),
            "binaryValue": "MTEwMA==",
            **lists,
            "dataType": "Binary",
        },
    }
    order = ["stringValue", "binaryValue", "stringListValues", "binaryListValues", "dataType"]
    for entry in record["messageAttributes"].values():
        assert list(entry) == [key for key in order if key in entry]


@pytest.mark.behaviour("C60", "C61", "C62")
def test_every_optional_system_attribute_at_once(aws: Aws) -> None:
    queue, dead = dead_letters(aws, 1, VisibilityTimeout=0)
    function = aws.function(RECORDS)
    aws.mapping(dead, function)
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=1:bd4cecd5:0"
    aws.client("sqs").send_message(
        QueueUrl=queue,
        MessageBody="x",
        MessageGroupId="tenant",
        MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": trace}},
    )
    for _ in range(2):
        aws.client("sqs").receive_message(QueueUrl=queue)
    aws.advance(1)
    (seen,) = aws.printed(function)
    (record,) = seen["event"]["Records"]
    assert list(record["attributes"]) == [
        *["DeadLetterQueueSourceArn", "ApproximateReceiveCount", "AWSTraceHeader", "SentTimestamp", "MessageGroupId"],
        *["SenderId", "ApproximateFirstReceiveTimestamp"],
    ]
    assert record["attributes"]["DeadLetterQueueSourceArn"] == aws.queue_arn(queue)
    assert record["attributes"]["AWSTraceHeader"] == trace
    assert record["attributes"]["MessageGroupId"] == "tenant"
    assert record["eventSourceARN"] == aws.queue_arn(dead)
    assert all(isinstance(value, str) for value in record["attributes"].values())


@pytest.mark.behaviour("C14", "C16", "C63")
def test_a_mapping_on_an_alias_follows_it(aws: Aws) -> None:
    client = aws.client("lambda")
    queue = aws.queue()
    function = aws.function(RECORDS)
    client.publish_version(FunctionName=function)
    client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    uuid = aws.mapping(queue, f"{function}:live")
    send(aws, queue, ["first"])
    aws.advance(1)
    client.update_function_code(FunctionName=function, ZipFile=zipped(RECORDS.replace('"at"', '"two": 2, "at"')))
    aws.advance(1)
    client.publish_version(FunctionName=function)
    client.update_alias(FunctionName=function, Name="live", FunctionVersion="2")
    send(aws, queue, ["second"])
    aws.advance(1)
    other = aws.function(RECORDS)
    assert client.update_event_source_mapping(UUID=uuid, FunctionName=other)["State"] == "Updating"
    send(aws, queue, ["third"])
    aws.advance(2)
    send(aws, queue, ["fourth"])
    aws.advance(1)
    seen = aws.printed(function)
    assert ["two" in run for run in seen] == [False, True, True]
    assert {run["arn"].rpartition(":function:")[2] for run in seen} == {f"{function}:live"}
    (last,) = aws.printed(other)
    assert last["arn"].endswith(f":function:{other}")
    assert batches(aws, other) == [["fourth"]]


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


@pytest.mark.behaviour("C55", "C88")
@pytest.mark.parametrize("end", ["raise RuntimeError('no')", "import os; os._exit(1)", "import time; time.sleep(9)"])
def test_however_an_invocation_fails_nothing_is_deleted(aws: Aws, end: str) -> None:
    queue = aws.queue()
    function = aws.function(
        f"""
        import json
        def handler(event, context):
            print(json.dumps({{"event": event}}), flush=True)
            if event["Records"][0]["attributes"]["ApproximateReceiveCount"] == "1":
                {end}
        """,
        Timeout=1,
    )
    aws.mapping(queue, function)
    send(aws, queue, ["a", "b"])
    aws.advance(25)
    assert aws.counts(queue) == (0, 2)
    aws.advance(10)
    first, second = (run["event"]["Records"] for run in aws.printed(function))
    assert [record["messageId"] for record in first] == [record["messageId"] for record in second]
    assert {record["attributes"]["ApproximateReceiveCount"] for record in second} == {"2"}
    assert not {record["receiptHandle"] for record in first} & {record["receiptHandle"] for record in second}
    assert aws.counts(queue) == (0, 0)


@pytest.mark.behaviour("C91", "C93")
def test_only_the_queues_own_redrive_counts(aws: Aws) -> None:
    queue, dead = dead_letters(aws, 5)
    aside = aws.queue()
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}
    function = aws.function(
        """
        def handler(event, context):
            assert event["Records"][0]["attributes"]["ApproximateReceiveCount"] == "5"
        """,
        role=aws.role(BASIC_ROLE, policy=policy),
        DeadLetterConfig={"TargetArn": aws.queue_arn(aside)},
    )
    aws.client("lambda").put_function_event_invoke_config(
        FunctionName=function,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": aws.queue_arn(aside)}},
    )
    aws.mapping(queue, function)
    send(aws, queue, ["recovers at the fifth attempt"])
    aws.advance(200)
    assert aws.counts(queue) == aws.counts(dead) == aws.counts(aside) == (0, 0)


@pytest.mark.behaviour("C109")
def test_a_handler_times_its_own_retry(aws: Aws) -> None:
    queue = aws.queue()
    rights = ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility", "GetQueueUrl"]
    statement = {"Effect": "Allow", "Action": [f"sqs:{name}" for name in rights], "Resource": "*"}
    role = aws.role(BASIC_ROLE, policy={"Version": "2012-10-17", "Statement": [statement]})
    function = aws.function(
        """
        import boto3, json, os
        sqs = boto3.client("sqs")
        def handler(event, context):
            (record,) = event["Records"]
            print(json.dumps({"event": event}))
            where = {"QueueUrl": os.environ["QUEUE"], "ReceiptHandle": record["receiptHandle"]}
            if record["attributes"]["ApproximateReceiveCount"] == "1":
                sqs.change_message_visibility(**where, VisibilityTimeout=5)
            else:
                sqs.delete_message(**where)
            raise RuntimeError("the message is taken care of")
        """,
        role=role,
        Timeout=20,
        Environment={"Variables": {"QUEUE": queue}},
    )
    aws.mapping(queue, function)
    send(aws, queue, ["x"])
    aws.advance(15)
    assert aws.counts(queue) == (0, 0)
    assert len(aws.printed(function)) == 2


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


@pytest.mark.behaviour("C69", "C75")
def test_a_full_batch_does_not_wait_for_its_window(aws: Aws) -> None:
    queue = aws.queue(VisibilityTimeout=28)
    function = aws.function(RECORDS)
    aws.mapping(queue, function, BatchSize=12, MaximumBatchingWindowInSeconds=10)
    send(aws, queue, map(str, range(15)))
    assert aws.counts(queue) == (0, 15)
    aws.advance(0.2)
    assert [len(batch) for batch in batches(aws, function)] == [12]
    aws.advance(11)
    assert [len(batch) for batch in batches(aws, function)] == [12, 3]
    counts = {r["attributes"]["ApproximateReceiveCount"] for s in aws.printed(function) for r in s["event"]["Records"]}
    assert counts == {"1"}
    assert aws.counts(queue) == (0, 0)


@pytest.mark.behaviour("C76")
def test_a_window_longer_than_the_visibility_timeout_hands_out_nothing_twice(aws: Aws) -> None:
    queue = aws.queue(VisibilityTimeout=10)
    function = aws.function(FAILS, Timeout=3)
    aws.mapping(queue, function, BatchSize=100, MaximumBatchingWindowInSeconds=60)
    start = aws.now()
    send(aws, queue, ["x"])
    aws.advance(120)
    (seen,) = aws.printed(function)
    assert seen["count"] == "1"
    assert 60 <= seen["at"] - start < 62
    aws.advance(60)
    # Window, timeout and 30 s after the receive the message is back, and gathered anew.
    again = aws.printed(function)[1]
    assert 153 <= again["at"] - start < 155


@pytest.mark.behaviour("C76")
def test_a_shorter_visibility_timeout_hands_out_nothing_twice_within_a_window(aws: Aws) -> None:
    queue = aws.queue(VisibilityTimeout=60)
    function = aws.function(FAILS, Timeout=3)
    aws.mapping(queue, function, BatchSize=100, MaximumBatchingWindowInSeconds=20)
    aws.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "4"})
    send(aws, queue, ["x"])
    aws.advance(25)
    (seen,) = aws.printed(function)
    assert seen["count"] == "1"


SIZES = """
    import json
    def handler(event, context):
        counts = [r["attributes"]["ApproximateReceiveCount"] for r in event["Records"]]
        print(json.dumps({"bodies": [r["body"][:1] for r in event["Records"]], "counts": counts}))
        assert counts[0] == "2" or event["Records"][0]["body"][0] != "0"
"""


@pytest.mark.behaviour("C74", "C77", "C105")
@pytest.mark.parametrize("fifo", [False, True])
def test_six_megabytes_are_the_most_of_one_invocation(aws: Aws, fifo: bool) -> None:
    queue = aws.queue(fifo=fifo)
    function = aws.function(SIZES)
    uuid = aws.mapping(queue, function, Enabled=False)
    for index in range(8):
        more = {"MessageGroupId": "g", "MessageDeduplicationId": str(index)} if fifo else {}
        aws.client("sqs").send_message(QueueUrl=queue, MessageBody=str(index) + "x" * 999_999, **more)
    change(aws, uuid, Enabled=True)
    aws.advance(40)
    seen = [run["bodies"] for run in aws.printed(function)]
    first, second = list("012345"), list("67")
    assert aws.counts(queue) == (0, 0)
    if fifo:
        # What the limit has parted does not overtake a failure of its group.
        assert seen == [first, first, second]
    else:
        assert sorted(seen) == [first, first, second]
        assert {count for run in aws.printed(function) if run["bodies"] == second for count in run["counts"]} == {"1"}


@pytest.mark.behaviour("C84", "C85")
def test_two_functions_share_a_queue_and_two_queues_a_function(aws: Aws) -> None:
    queue, second_queue = aws.queue(), aws.queue()
    one, two = aws.function(RECORDS), aws.function(RECORDS)
    aws.mapping(queue, one, BatchSize=1)
    aws.mapping(queue, two, BatchSize=2)
    aws.mapping(second_queue, one, BatchSize=10)
    bodies = [str(index) for index in range(20)]
    send(aws, queue, bodies)
    send(aws, second_queue, ["a", "b", "c"])
    aws.advance(2)
    seen_one, seen_two = batches(aws, one), batches(aws, two)
    assert ["a", "b", "c"] in seen_one
    seen_one.remove(["a", "b", "c"])
    assert {len(batch) for batch in seen_one} == {1}
    assert {len(batch) for batch in seen_two} <= {1, 2}
    assert sorted(body for batch in seen_one + seen_two for body in batch) == sorted(bodies)
    assert seen_one
    assert seen_two


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


@pytest.mark.behaviour("E6", "C28")
def test_a_new_role_of_the_function_holds_for_its_pollers(aws: Aws) -> None:
    client = aws.client("lambda")
    queue = aws.queue()
    role, other = aws.role(), aws.role(BASIC_ROLE)
    function = aws.function(RECORDS, role=role)
    aws.mapping(queue, function)
    client.update_function_configuration(FunctionName=function, Role=other)
    send(aws, queue, ["x"])
    aws.advance(90)
    assert aws.counts(queue) == (1, 0)
    client.update_function_configuration(FunctionName=function, Role=role)
    aws.advance(1)
    assert batches(aws, function) == [["x"]]


@pytest.mark.behaviour("C15")
def test_a_mapping_outlives_its_function_and_its_queue(aws: Aws) -> None:
    client, sqs = aws.client("lambda"), aws.client("sqs")
    queue = aws.queue()
    name = queue.rpartition("/")[2]
    function = aws.function(RECORDS)
    role = client.get_function_configuration(FunctionName=function)["Role"]
    uuid = aws.mapping(queue, function)
    client.delete_function(FunctionName=function)
    send(aws, queue, ["without function"])
    aws.advance(120)
    assert client.get_event_source_mapping(UUID=uuid)["State"] == "Enabled"
    assert aws.counts(queue) == (1, 0)
    client.create_function(
        FunctionName=function, Role=role, Runtime="python3.13", Handler="app.handler", Code={"ZipFile": zipped(RECORDS)}
    )
    aws.advance(5)
    assert batches(aws, function) == [["without function"]]
    sqs.delete_queue(QueueUrl=queue)
    aws.advance(61)
    sqs.create_queue(QueueName=name)
    send(aws, queue, ["in the new queue"])
    aws.advance(1)
    assert batches(aws, function)[1:] == [["in the new queue"]]
    assert aws.counts(queue) == (0, 0)


@pytest.mark.behaviour("C11", "C86")
def test_nothing_gathered_is_lost_or_doubled_when_the_mapping_changes(aws: Aws) -> None:
    client = aws.client("lambda")
    queue = aws.queue(VisibilityTimeout=300)
    function = aws.function(RECORDS)
    uuid = aws.mapping(queue, function, BatchSize=100, MaximumBatchingWindowInSeconds=60)
    send(aws, queue, [f"a{index}" for index in range(15)])
    aws.advance(5)
    change(aws, uuid, BatchSize=5)
    send(aws, queue, [f"b{index}" for index in range(5)])
    aws.advance(1)
    send(aws, queue, ["c"])
    aws.advance(5)
    client.update_event_source_mapping(UUID=uuid, Enabled=False)
    aws.advance(2)
    send(aws, queue, ["d"])
    aws.advance(400)
    assert aws.counts(queue) == (1, 0)
    change(aws, uuid, Enabled=True)
    client.delete_event_source_mapping(UUID=uuid)
    aws.advance(400)
    assert aws.counts(queue) == (0, 0)
    seen = [body for batch in batches(aws, function) for body in batch]
    assert sorted(seen) == sorted([*(f"a{i}" for i in range(15)), *(f"b{i}" for i in range(5)), "c", "d"])


@pytest.mark.behaviour("C86")
def test_what_is_in_flight_when_the_mapping_goes_is_still_deleted(aws: Aws) -> None:
    queue = aws.queue()
    function = aws.function(works_for(0.3))
    uuid = aws.mapping(queue, function)
    send(aws, queue, ["x"])
    aws.client("lambda").delete_event_source_mapping(UUID=uuid)
    aws.advance(60)
    assert batches(aws, function) == [["x"]]
    assert aws.counts(queue) == (0, 0)


@pytest.mark.behaviour("C86", "C94")
def test_a_throttled_batch_of_a_disabled_mapping_is_given_up(aws: Aws) -> None:
    client = aws.client("lambda")
    queue = aws.queue()
    function = aws.function(RECORDS)
    uuid = aws.mapping(queue, function)
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    send(aws, queue, ["x"])
    aws.advance(3)
    change(aws, uuid, Enabled=False)
    client.delete_function_concurrency(FunctionName=function)
    aws.advance(60)
    assert aws.printed(function) == []
    assert aws.counts(queue) == (1, 0)
    change(aws, uuid, Enabled=True)
    aws.advance(1)
    (seen,) = aws.printed(function)
    assert seen["event"]["Records"][0]["attributes"]["ApproximateReceiveCount"] == "2"


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


@pytest.mark.behaviour("F30", "F31", "F32")
def test_metrics_of_a_mapping_that_asks_for_them(aws: Aws) -> None:
    queue, silent_queue = aws.queue(), aws.queue()
    function = aws.function("def handler(event, context):\n    assert event['Records'][0]['body'] != 'bad'")
    criteria = {"Filters": [{"Pattern": '{"body": [{"anything-but": "unwanted"}]}'}]}
    uuid = aws.mapping(queue, function, BatchSize=1, FilterCriteria=criteria, MetricsConfig={"Metrics": ["EventCount"]})
    silent = aws.mapping(silent_queue, function)
    start = aws.now() // 60 * 60 + 60
    aws.advance(start - aws.now())
    send(aws, queue, ["good", "unwanted"])
    send(aws, silent_queue, ["good"])
    aws.advance(180)
    names = ("PolledEventCount", "FilteredOutEventCount", "InvokedEventCount", "DeletedEventCount")

    def points(name: str, of: str) -> list[float]:
        return aws.metric("AWS/Lambda", name, "Sum", start, EventSourceMappingUUID=of)

    # An empty poll counts 0; what was filtered out is deleted as well.
    assert {name: points(name, uuid) for name in names} == {
        "PolledEventCount": [2, 0, 0],
        "FilteredOutEventCount": [1],
        "InvokedEventCount": [1],
        "DeletedEventCount": [2],
    }
    assert not any(points(name, silent) for name in names)
    change(aws, uuid, Enabled=False)
    aws.advance(120 - aws.now() % 60)
    off = aws.now()
    aws.advance(180)
    assert aws.metric("AWS/Lambda", "PolledEventCount", "Sum", off, EventSourceMappingUUID=uuid) == []


@pytest.mark.behaviour("F33", "F34", "F35")
def test_metrics_of_failures_and_of_deletions_that_fail(aws: Aws) -> None:
    queue = aws.queue()
    role = aws.role()
    function = aws.function(
        """
        def handler(event, context):
            assert event["Records"][0]["attributes"]["ApproximateReceiveCount"] != "1"
        """,
        role=role,
    )
    uuid = aws.mapping(queue, function, MetricsConfig={"Metrics": ["EventCount"]})
    start = aws.now() // 60 * 60 + 60
    aws.advance(start - aws.now())

    def counted() -> dict[str, list[float]]:
        names = ("PolledEventCount", "InvokedEventCount", "FailedInvokeEventCount", "DeletedEventCount")
        return {n: aws.metric("AWS/Lambda", n, "Sum", start, EventSourceMappingUUID=uuid) for n in names}

    send(aws, queue, ["x"])
    aws.advance(60)
    assert counted() == {
        "PolledEventCount": [2],
        "InvokedEventCount": [2],
        "FailedInvokeEventCount": [1],
        "DeletedEventCount": [1],
    }
    deny = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "sqs:DeleteMessage", "Resource": "*"}]}
    aws.client("iam").put_role_policy(
        RoleName=role.rpartition("/")[2], PolicyName="deny", PolicyDocument=json.dumps(deny)
    )
    send(aws, queue, ["y"])
    aws.advance(60)
    assert aws.counts(queue) == (0, 1)
    assert counted()["DeletedEventCount"] == [1, 0]


@pytest.mark.behaviour("F36")
def test_a_queue_has_no_metrics_of_other_sources(aws: Aws) -> None:
    queue = aws.queue()
    uuid = aws.mapping(queue, aws.function(RECORDS), MetricsConfig={"Metrics": ["EventCount"]})
    send(aws, queue, ["x"])
    aws.advance(120)
    found = aws.client("cloudwatch").list_metrics(
        Namespace="AWS/Lambda", Dimensions=[{"Name": "EventSourceMappingUUID", "Value": uuid}]
    )["Metrics"]
    assert {metric["MetricName"] for metric in found} <= {
        *["PolledEventCount", "FilteredOutEventCount", "InvokedEventCount", "FailedInvokeEventCount"],
        "DeletedEventCount",
    }
    assert found
