"""Loops of a function and its queue: found by the trace header that botocore sends from within a handler."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Aws
from .lambda_calls import refusal
from .sqs import name_of, receive
from .triggers import dead_letters

LOOP = """
    import json, os
    import boto3

    sqs = boto3.client("sqs")

    def handler(event, context):
        for record in event["Records"]:
            number = int(record["body"])
            print(json.dumps({"number": number, "trace": record["attributes"].get("AWSTraceHeader")}))
            if number < int(os.environ["LAST"]):
                sqs.send_message(QueueUrl=os.environ["QUEUE"], MessageBody=str(number + 1))
"""


def loop(aws: Aws, url: str, last: int = 24) -> str:
    """Make a function that answers each number from a queue with the next one, up to the last, into some queue."""
    statement = {"Effect": "Allow", "Action": ["sqs:*", "logs:*"], "Resource": "*"}
    role = aws.role(policy={"Version": "2012-10-17", "Statement": [statement]})
    return aws.function(LOOP, role=role, Environment={"Variables": {"QUEUE": url, "LAST": str(last)}})


@pytest.mark.behaviour("C110", "F28")
def test_a_loop_is_stopped_after_sixteen_passes(aws: Aws) -> None:
    """The seventeenth message is received and never handled; the queue's redrive policy puts it away."""
    url, dead = dead_letters(aws, 1, VisibilityTimeout=5)
    function = loop(aws, url)
    aws.mapping(url, function)
    since = aws.now()
    aws.client("sqs").send_message(QueueUrl=url, MessageBody="1")
    aws.until(lambda: aws.counts(dead)[0])
    runs = sorted(aws.printed(function), key=lambda run: int(run["number"]))
    assert [run["number"] for run in runs] == list(range(1, 17))
    # The first message came from outside; the others carry the trace that their sender was given.
    assert [bool(run["trace"]) for run in runs] == [False] + [True] * 15
    aws.advance(60)
    dropped = aws.metric("AWS/Lambda", "RecursiveInvocationsDropped", "Sum", since, FunctionName=function)
    assert sum(dropped) == 1
    (message,) = receive(aws, dead)
    assert message["Body"] == "17"
    assert message["Attributes"]["DeadLetterQueueSourceArn"].endswith(name_of(url))

    # A call that carries on with the same chain is refused; another one is not concerned.
    client = aws.client("lambda", use_ssl=False)

    def carry(request: Any, **_: Any) -> None:
        request.headers["X-Amzn-Trace-Id"] = message["Attributes"]["AWSTraceHeader"]

    client.meta.events.register("before-sign.lambda.Invoke", carry)
    status, code, text = refusal(client.invoke, FunctionName=function, Payload=b'{"Records": []}')
    assert (status, code) == (400, "RecursiveInvocationException")
    assert text.startswith("Lambda has detected your function being invoked in a recursive loop")
    assert aws.client("lambda").invoke(FunctionName=function, Payload=b'{"Records": []}')["StatusCode"] == 200


@pytest.mark.behaviour("C110")
def test_a_loop_of_two_functions_is_stopped_too(aws: Aws) -> None:
    """What counts is how often the chain has come to a function, not by which way; what begins anew is let through."""
    first, second = (aws.queue(VisibilityTimeout=900) for _ in range(2))
    there, back = loop(aws, second, 40), loop(aws, first, 40)
    aws.mapping(first, there)
    aws.mapping(second, back)
    aws.client("sqs").send_message(QueueUrl=first, MessageBody="1")
    aws.until(lambda: len(aws.printed(back)) == 16)
    aws.advance(5)
    assert (len(aws.printed(there)), len(aws.printed(back))) == (16, 16)
    assert aws.counts(first) == (0, 1)
    aws.client("sqs").send_message(QueueUrl=first, MessageBody="40")
    aws.advance(1)
    assert len(aws.printed(there)) == 17


@pytest.mark.behaviour("C110")
def test_a_function_may_allow_its_loops(aws: Aws) -> None:
    """PutFunctionRecursionConfig lets a loop go on that is meant to be one."""
    url = aws.queue(VisibilityTimeout=5)
    function = loop(aws, url)
    client = aws.client("lambda")
    assert client.get_function_recursion_config(FunctionName=function)["RecursiveLoop"] == "Terminate"
    assert refusal(client.put_function_recursion_config, FunctionName=function, RecursiveLoop="Never")[:2] == (
        400,
        "ValidationException",
    )
    client.put_function_recursion_config(FunctionName=function, RecursiveLoop="Allow")
    assert client.get_function_recursion_config(FunctionName=function)["RecursiveLoop"] == "Allow"
    aws.mapping(url, function)
    aws.client("sqs").send_message(QueueUrl=url, MessageBody="1")
    aws.until(lambda: len(aws.printed(function)) == 24)
    assert aws.counts(url) == (0, 0)
