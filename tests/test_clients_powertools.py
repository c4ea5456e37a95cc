"""Handlers that use Powertools for AWS Lambda, packed into the function's zip file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from helpers.resources import _package as packed

from .conftest import Aws
from .lambda_calls import create, invoke
from .triggers import dead_letters, send

LIBRARIES = ("aws_lambda_powertools", "typing_extensions")
VARIABLES = {
    "POWERTOOLS_SERVICE_NAME": "orders",
    "POWERTOOLS_TRACE_DISABLED": "true",
    "POWERTOOLS_LOG_LEVEL": "INFO",
}
BATCH = """
    import json
    from aws_lambda_powertools import Logger
    from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
    logger = Logger()
    processor = BatchProcessor(event_type=EventType.SQS)
    def work(record):
        if record.body.startswith("bad"):
            raise ValueError(record.body)
        print(json.dumps({"good": record.body, "count": record.attributes.approximate_receive_count}))
    @logger.inject_lambda_context
    def handler(event, context):
        logger.info("batch", extra={"size": len(event["Records"])})
        return process_partial_response(event=event, record_handler=work, processor=processor, context=context)
"""
FIFO = """
    import json
    from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    def work(record):
        print(json.dumps({"body": record.body, "group": record.attributes.message_group_id}))
        if record.body == "bad" and record.attributes.approximate_receive_count == "1":
            raise ValueError(record.body)
    def handler(event, context):
        return process_partial_response(event=event, record_handler=work, processor=processor, context=context)
"""
ONCE = """
    import json
    from aws_lambda_powertools.utilities.idempotency import (
        DynamoDBPersistenceLayer, IdempotencyConfig, idempotent, idempotent_function)
    store = DynamoDBPersistenceLayer(table_name="%s")
    config = IdempotencyConfig(event_key_jmespath="id", expires_after_seconds=3600)
    @idempotent(config=config, persistence_store=store)
    def handler(event, context):
        print(json.dumps({"charged": event["id"]}))
        if event.get("fail"):
            raise RuntimeError("the bank is closed")
        return {"receipt": context.aws_request_id}
"""


def make(aws: Aws, source: str, **settings: Any) -> str:
    """Make a function with Powertools in its zip file; return its name once it is active."""
    name = create(aws, packed(source, LIBRARIES), Environment={"Variables": VARIABLES}, Timeout=6, **settings)
    aws.advance(2)
    return str(name["FunctionName"])


def test_the_batch_processor_reports_what_failed(aws: Aws) -> None:
    queue, dead = dead_letters(aws, 2, VisibilityTimeout=36)
    function = make(aws, BATCH)
    send(aws, queue, ["one", "bad-1", "two", "bad-2"])
    aws.mapping(queue, function, BatchSize=10, FunctionResponseTypes=["ReportBatchItemFailures"])
    aws.until(lambda: aws.counts(dead) == (2, 0), timeout=120, step=5)
    printed = aws.printed(function)
    good = [(line["good"], line["count"]) for line in printed if "good" in line]
    assert sorted(good) == [("one", "1"), ("two", "1")]
    logged = [line for line in printed if line.get("message") == "batch"]
    assert sum(line["size"] for line in logged) == 6
    assert {(line["level"], line["service"], line["function_name"]) for line in logged} == {
        ("INFO", "orders", function)
    }
    assert logged[0]["cold_start"] is True
    assert aws.counts(queue) == (0, 0)


def test_the_fifo_processor_keeps_the_order_of_each_group(aws: Aws) -> None:
    """A group stops at its failure, the other group goes on, and what comes again comes in order."""
    queue = aws.queue(fifo=True, VisibilityTimeout=36)
    function = make(aws, FIFO)
    send(aws, queue, ["a1", "bad", "a3"], group="a")
    send(aws, queue, ["b1", "b2"], group="b")
    aws.mapping(queue, function, BatchSize=10, FunctionResponseTypes=["ReportBatchItemFailures"])
    aws.until(lambda: aws.counts(queue) == (0, 0), timeout=120, step=5)
    seen = aws.printed(function)
    assert [line["body"] for line in seen if line["group"] == "a"] == ["a1", "bad", "bad", "a3"]
    assert [line["body"] for line in seen if line["group"] == "b"] == ["b1", "b2"]


@pytest.fixture
def table(aws: Aws) -> str:
    """Make the table that Powertools' idempotency wants."""
    name = aws.name("once")
    aws.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def test_idempotency_charges_once_until_the_mark_expires(aws: Aws, table: str) -> None:
    statements = [
        {"Effect": "Allow", "Action": ["dynamodb:*Item"], "Resource": f"arn:aws:dynamodb:*:*:table/{table}"},
        {"Effect": "Allow", "Action": "logs:*", "Resource": "*"},
    ]
    role = aws.role(policy={"Version": "2012-10-17", "Statement": statements})
    function = make(aws, ONCE % table, Role=role)
    first = invoke(aws, function, {"id": "order-1"})
    assert "receipt" in first, first
    assert invoke(aws, function, {"id": "order-1"}) == first
    assert invoke(aws, function, {"id": "order-2"}) != first
    assert invoke(aws, function, {"id": "order-3", "fail": True})["errorMessage"] == "the bank is closed"
    assert "receipt" in invoke(aws, function, {"id": "order-3"})
    charged = [line["charged"] for line in aws.printed(function)]
    assert charged == ["order-1", "order-2", "order-3", "order-3"]
    marks = aws.client("dynamodb").scan(TableName=table)["Items"]
    assert {mark["status"]["S"] for mark in marks} == {"COMPLETED"}
    assert json.loads(next(mark["data"]["S"] for mark in marks if first["receipt"] in mark["data"]["S"])) == first
    # The handler's clock follows the virtual one.
    aws.advance(3700)
    assert invoke(aws, function, {"id": "order-1"}) != first
