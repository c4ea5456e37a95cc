"""Concurrency: reserved and not, throttles, and one environment an event at a time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from .conftest import Aws
from .lambda_calls import answer_of, invoke, refusal, streams

SLEEPS = """
    import time, uuid
    environment = uuid.uuid4().hex
    busy = 0
    def handler(event, context):
        global busy
        busy += 1
        time.sleep(event or 0)
        seen = busy
        busy -= 1
        return [environment, seen]
"""


@pytest.mark.behaviour("D46", "D59")
def test_concurrency_is_what_runs_at_once_each_in_an_environment_of_its_own(aws: Aws) -> None:
    function = aws.function(SLEEPS)
    start = aws.now()
    with ThreadPoolExecutor(4) as threads:
        seen = list(threads.map(lambda _: invoke(aws, function, 0.8), range(4)))
    assert len({environment for environment, _ in seen}) == 4
    assert {at_once for _, at_once in seen} == {1}
    assert len(streams(aws, function)) == 4
    # One after the other needs one environment, and a warm one is used again.
    assert {invoke(aws, function)[0] for _ in range(5)} <= {environment for environment, _ in seen}
    aws.advance(60)
    assert max(aws.metric("AWS/Lambda", "ConcurrentExecutions", "Maximum", start, FunctionName=function)) == 4


@pytest.mark.behaviour("D32", "D41", "D42")
def test_reserved_concurrency_is_a_ceiling_and_0_stops_everything(aws: Aws) -> None:
    client = aws.client("lambda")
    function, other = aws.function(SLEEPS), aws.function(SLEEPS)
    start = aws.now()
    left = client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=1)
    assert client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == left - 1
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(answer_of, aws, function, 0.6)
        while not aws.lab("GET", "/_local/clock")["busy"]:
            time.sleep(0.01)
        with pytest.raises(client.exceptions.TooManyRequestsException) as throttled:
            invoke(aws, function)
        assert invoke(aws, other)[1] == 1
        assert running.result()["StatusCode"] == 200
    answer = throttled.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert (answer["Error"]["Code"], answer["Error"]["Message"]) == ("TooManyRequestsException", "Rate Exceeded.")
    assert answer["Type"] == "User"
    assert answer["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    assert refusal(client.invoke, FunctionName=function)[:2] == (429, "TooManyRequestsException")
    aws.advance(60)
    assert sum(aws.metric("AWS/Lambda", "Throttles", "Sum", start, FunctionName=function)) == 2
    assert sum(aws.metric("AWS/Lambda", "Invocations", "Sum", start, FunctionName=function)) == 1


@pytest.mark.behaviour("D39")
def test_an_account_has_a_thousand_concurrent_executions(aws: Aws) -> None:
    assert aws.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"] == 1000


@pytest.mark.behaviour("D40", "D43", "D44")
def test_reserving_concurrency(aws: Aws) -> None:
    client = aws.client("lambda")
    function = aws.function(SLEEPS)
    limits = client.get_account_settings()["AccountLimit"]
    most = limits["UnreservedConcurrentExecutions"] - 100
    unset = client.get_function_concurrency(FunctionName=function)
    assert unset["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert "ReservedConcurrentExecutions" not in unset
    text = (
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
        "below its minimum value of [100]."
    )
    put = client.put_function_concurrency
    expected = (400, "InvalidParameterValueException", text)
    assert refusal(put, FunctionName=function, ReservedConcurrentExecutions=most + 1) == expected
    put(FunctionName=function, ReservedConcurrentExecutions=most)
    assert client.get_function_concurrency(FunctionName=function)["ReservedConcurrentExecutions"] == most
    assert client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 100
    client.publish_version(FunctionName=function)
    text = (
        "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
        "Please specify either a function name or an unqualified function ARN."
    )
    expected = (400, "InvalidParameterValueException", text)
    assert refusal(put, FunctionName=f"{function}:1", ReservedConcurrentExecutions=1) == expected
    client.delete_function_concurrency(FunctionName=function)
    assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(FunctionName=function)
