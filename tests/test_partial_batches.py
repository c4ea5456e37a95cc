"""Partial batches: what a function reports as failed, and what becomes of the rest."""

from __future__ import annotations

import pytest

from .conftest import Aws
from .triggers import batches, change, dead_letters, send

REPORT = ["ReportBatchItemFailures"]
REPORTS_BAD = """
    import json
    def handler(event, context):
        print(json.dumps({"event": event}))
        bad = [r["messageId"] for r in event["Records"] if r["body"].startswith("bad")]
        return {"batchItemFailures": [{"itemIdentifier": i} for i in bad]}
"""


@pytest.mark.behaviour("C97", "C98", "C99")
@pytest.mark.parametrize("enabled", [True, False])
def test_only_reported_failures_stay_and_only_if_the_mapping_says_so(aws: Aws, enabled: bool) -> None:
    queue = aws.queue()
    function = aws.function(REPORTS_BAD)
    aws.mapping(queue, function, FunctionResponseTypes=REPORT * enabled)
    send(aws, queue, ["bad", "good", "good"])
    aws.advance(29)
    assert aws.counts(queue) == (0, 1 if enabled else 0)
    aws.advance(2)
    assert batches(aws, function) == [["bad", "good", "good"], ["bad"]][: 1 + enabled]


@pytest.mark.behaviour("C100", "C101", "C102")
def test_forms_of_the_partial_batch_response(aws: Aws) -> None:
    function = aws.function("""
        import json
        def handler(event, context):
            first = event["Records"][0]
            return eval(first["body"], {"id": first["messageId"], "handle": first["receiptHandle"]})
    """)
    forms = {
        "{'batchItemFailures': []}": 0,
        "{'batchItemFailures': None}": 0,
        "{}": 0,
        "None": 0,
        "{'batchItemFailures': [{'itemIdentifier': id}]}": 1,
        "{'batchItemFailures': [{'itemIdentifier': ''}]}": 2,
        "{'batchItemFailures': [{'itemIdentifier': None}]}": 2,
        "{'batchItemFailures': [{'foo': 'notvalid'}]}": 2,
        "{'batchItemFailures': [{'itemIdentifier': 'unknown'}]}": 2,
        "{'batchItemFailures': [{'itemIdentifier': handle}]}": 2,
        "{'batchItemFailures': [{'itemIdentifier': id}, {'itemIdentifier': 'x'}]}": 2,
        "'no JSON object'": 2,
    }
    queues = {}
    for form in forms:
        queues[form] = aws.queue()
        aws.mapping(queues[form], function, FunctionResponseTypes=REPORT)
        send(aws, queues[form], [form, "second"])
    aws.advance(1)
    assert {form: sum(aws.counts(queues[form])) for form in forms} == forms


@pytest.mark.behaviour("C103", "C96")
def test_an_exception_fails_the_whole_batch_with_the_feature_on(aws: Aws) -> None:
    queue = aws.queue()
    function = aws.function("def handler(event, context):\n    raise RuntimeError('no')")
    aws.mapping(queue, function, FunctionResponseTypes=REPORT)
    send(aws, queue, ["a", "b"])
    aws.advance(1)
    assert aws.counts(queue) == (0, 2)


@pytest.mark.behaviour("C54", "C106")
def test_failures_of_a_fifo_batch_come_back_in_order(aws: Aws) -> None:
    queue, dead = dead_letters(aws, 2, fifo=True)
    function = aws.function(REPORTS_BAD)
    uuid = aws.mapping(queue, function, FunctionResponseTypes=REPORT, Enabled=False)
    send(aws, queue, ["1", "bad 2", "bad 3", "bad 4"], "g")
    change(aws, uuid, Enabled=True)
    aws.advance(60)
    first, second = (run["event"]["Records"] for run in aws.printed(function))
    assert [record["body"] for record in first] == ["1", "bad 2", "bad 3", "bad 4"]
    assert [record["body"] for record in second] == ["bad 2", "bad 3", "bad 4"]
    assert {record["attributes"]["ApproximateReceiveCount"] for record in second} == {"2"}
    assert list(first[0]["attributes"]) == [
        *["ApproximateReceiveCount", "SentTimestamp", "SequenceNumber", "MessageGroupId", "SenderId"],
        *["MessageDeduplicationId", "ApproximateFirstReceiveTimestamp"],
    ]
    assert aws.counts(queue) == (0, 0)
    received = aws.client("sqs").receive_message(QueueUrl=dead, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in received] == ["bad 2", "bad 3", "bad 4"]


@pytest.mark.behaviour("C104", "C105")
def test_lambda_deletes_exactly_what_is_not_listed_even_behind_a_failure(aws: Aws) -> None:
    queue = aws.queue(fifo=True)
    function = aws.function(REPORTS_BAD)
    uuid = aws.mapping(queue, function, FunctionResponseTypes=REPORT, Enabled=False)
    send(aws, queue, ["1", "bad 2", "3"], "g")
    change(aws, uuid, Enabled=True)
    aws.advance(1)
    send(aws, queue, ["4"], "g")
    send(aws, queue, ["other"], "h")
    aws.advance(20)
    # The group waits for its failure; the other one does not.
    assert batches(aws, function) == [["1", "bad 2", "3"], ["other"]]
    aws.advance(15)
    assert batches(aws, function)[2:] == [["bad 2", "4"]]


@pytest.mark.behaviour("C107", "F21", "F34")
def test_a_partial_failure_is_no_error_of_the_function(aws: Aws) -> None:
    queue = aws.queue()
    function = aws.function(REPORTS_BAD)
    uuid = aws.mapping(queue, function, FunctionResponseTypes=REPORT, MetricsConfig={"Metrics": ["EventCount"]})
    start = aws.now()
    send(aws, queue, ["bad", "good", "good"])
    aws.advance(1)
    change(aws, uuid, Enabled=False)
    aws.advance(120)
    assert sum(aws.metric("AWS/Lambda", "Invocations", "Sum", start, FunctionName=function)) == 1
    assert sum(aws.metric("AWS/Lambda", "Errors", "Sum", start, FunctionName=function)) == 0
    counted = {
        name: sum(aws.metric("AWS/Lambda", name, "Sum", start, EventSourceMappingUUID=uuid))
        for name in ("PolledEventCount", "InvokedEventCount", "FailedInvokeEventCount", "DeletedEventCount")
    }
    assert counted == {
        "PolledEventCount": 3,
        "InvokedEventCount": 3,
        "FailedInvokeEventCount": 1,
        "DeletedEventCount": 2,
    }
