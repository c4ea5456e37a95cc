"""Invocations: types, payloads, errors, timeouts, the life of an environment, asynchronous retries and losses."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any

import pytest

from .conftest import QUEUE_ROLE, Aws
from .lambda_calls import answer_of, create, invoke, packed, refusal, streams, texts

EVERYTHING = """
    import os, sys, tempfile, threading, time
    count = 0
    state = 0
    ticks = 0
    print("loading")

    class Bad(Exception):
        pass

    def tick():
        global ticks
        while True:
            ticks += 1
            time.sleep(0.01)

    def handler(event, context):
        global count, state
        count += 1
        do = event.get("do")
        note = os.path.join(tempfile.gettempdir(), "note")
        if do == "none":
            return None
        if do == "raise":
            raise Bad("no stock")
        if do == "set":
            return {1, 2}
        if do == "exit":
            sys.exit()
        if do == "exit 127":
            os._exit(127)
        if do == "hang":
            state = 42
            open(note, "w").write("kept")
            time.sleep(30)
        if do == "big":
            return "x" * event["size"]
        if do == "length":
            return len(event["data"])
        if do == "fill":
            data = b"x" * 300_000_000
            time.sleep(5)
        if do == "ticks":
            if not ticks:
                threading.Thread(target=tick, daemon=True).start()
            return ticks
        if do == "state":
            return [state, os.path.exists(note)]
        return {"event": event, "count": count, "id": context.aws_request_id}
"""


@pytest.fixture(scope="module")
def everything(aws: Aws) -> str:
    """Make one function that does what the event says, with a timeout of a second."""
    return aws.function(EVERYTHING, Timeout=1)


@pytest.mark.behaviour("D13", "D14", "D15")
def test_the_three_types(aws: Aws, everything: str) -> None:
    answer = answer_of(aws, everything, {"do": "none"})
    assert (answer["StatusCode"], answer["ExecutedVersion"], answer["Payload"]) == (200, "$LATEST", b"null")
    assert "FunctionError" not in answer
    dry = answer_of(aws, everything, {}, InvocationType="DryRun")
    assert (dry["StatusCode"], dry["Payload"]) == (204, b"")
    function = aws.function("def handler(event, context): print('{\"got\": %d}' % event)")
    later = answer_of(aws, function, 7, InvocationType="Event")
    assert (later["StatusCode"], later["Payload"], later.get("ExecutedVersion")) == (202, b"", None)
    aws.advance(1)
    assert aws.printed(function) == [{"got": 7}]


@pytest.mark.behaviour("D16", "D17", "D18")
def test_payloads_that_are_too_large_or_no_json(aws: Aws, everything: str) -> None:
    call = aws.client("lambda").invoke
    assert len(invoke(aws, everything, {"do": "big", "size": 6_000_000})) == 6_000_000
    assert invoke(aws, everything, {"do": "length", "data": "x" * 6_000_000}) == 6_000_000
    answer = answer_of(aws, everything, {"do": "big", "size": 6_291_600})
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert json.loads(answer["Payload"]) == {
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        "errorType": "Function.ResponseSizeTooLarge",
    }
    too_large = refusal(call, FunctionName=everything, Payload=b"1" * 6_291_457)
    assert too_large[:2] == (413, "RequestTooLargeException")
    too_large = refusal(call, FunctionName=everything, Payload=b"1" * 1_048_577, InvocationType="Event")
    assert too_large[:2] == (413, "RequestTooLargeException")
    status, code, text = refusal(call, FunctionName=everything, Payload=b"hello")
    assert (status, code) == (400, "InvalidRequestContentException")
    assert text.startswith("Could not parse request body into json: Could not parse payload into json: ")


@pytest.mark.behaviour("D19", "D20", "D26")
def test_an_exception_and_a_result_that_is_not_json(aws: Aws, everything: str) -> None:
    answer = answer_of(aws, everything, {"do": "raise"})
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    error = json.loads(answer["Payload"])
    assert list(error) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert (error["errorMessage"], error["errorType"]) == ("no stock", "Bad")
    assert error["requestId"] == answer["ResponseMetadata"]["RequestId"] or len(error["requestId"]) == 36
    (frame,) = error["stackTrace"]
    assert re.fullmatch(r'  File "/var/task/app.py", line \d+, in handler\n    raise Bad\("no stock"\)\n', frame)
    unwritable = invoke(aws, everything, {"do": "set"})
    assert unwritable["errorType"] == "Runtime.MarshalError"
    assert unwritable["errorMessage"] == "Unable to marshal response: Object of type set is not JSON serializable"


@pytest.mark.behaviour("D27", "D55", "D56")
def test_after_a_timeout_globals_are_lost_and_the_temporary_folder_is_kept(aws: Aws) -> None:
    function = aws.function(EVERYTHING, Timeout=1)
    assert [invoke(aws, function, {})["count"] for _ in range(3)] == [1, 2, 3]
    answer = answer_of(aws, function, {"do": "hang"})
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    error = json.loads(answer["Payload"])
    assert list(error) == ["errorType", "errorMessage"]
    assert error["errorType"] == "Sandbox.Timedout"
    assert re.fullmatch(r"RequestId: \S{36} Error: Task timed out after 1\.00 seconds", error["errorMessage"])
    assert invoke(aws, function, {"do": "state"}) == [0, True]
    assert len(streams(aws, function)) == 1


@pytest.mark.behaviour("D28", "D29")
def test_a_process_that_ends_or_takes_too_much_memory(aws: Aws, everything: str) -> None:
    for do, reason in (
        ("exit", "Runtime exited without providing a reason"),
        ("exit 127", "Runtime exited with error: exit status 127"),
        ("fill", "Runtime exited with error: signal: killed"),
    ):
        error = invoke(aws, everything, {"do": do})
        assert error["errorType"] == "Runtime.ExitError"
        assert re.fullmatch(rf"RequestId: \S{{36}} Error: {reason}", error["errorMessage"])
    report = [text for text in texts(aws, everything) if text.startswith("REPORT")][-1]
    assert "\tMemory Size: 128 MB\tMax Memory Used: 128 MB\t" in report
    assert report.endswith("\tStatus: error\tError Type: Runtime.OutOfMemory\n")


MODULES = {
    "imports": "import pandas",
    "broken": "def f(:",
    "raises": "print('loading')\n1 / 0",
    "exits": "import sys\nsys.exit()",
    "empty": "",
}


def functions_that_cannot_be_loaded(aws: Aws, cases: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Make a function for each handler and check the error's type and text; return their names."""
    role, code = aws.role(), packed(**MODULES)
    names = {handler: create(aws, code, Role=role, Handler=handler, Timeout=9)["FunctionName"] for handler in cases}
    aws.advance(1)
    for handler, (error_type, text) in cases.items():
        answer = answer_of(aws, names[handler])
        error = json.loads(answer["Payload"])
        assert answer["FunctionError"] == "Unhandled"
        assert error["errorType"] == error_type
        assert error["errorMessage"].startswith(text)
        if handler == "imports.f":
            assert error["stackTrace"] == []
        if error_type != "Runtime.ExitError":
            assert error["requestId"] == ""
    return names


@pytest.mark.behaviour("D22", "D23", "D24")
def test_a_handler_that_is_not_there(aws: Aws) -> None:
    cases = {
        "imports.f": ("Runtime.ImportModuleError", "Unable to import module 'imports': No module named 'pandas'"),
        "empty.f": ("Runtime.HandlerNotFound", "Handler 'f' missing on module 'empty'"),
        "empty": (
            "Runtime.MalformedHandlerName",
            "Bad handler 'empty': not enough values to unpack (expected 2, got 1)",
        ),
    }
    functions_that_cannot_be_loaded(aws, cases)


@pytest.mark.behaviour("D21", "D25", "D51")
def test_code_that_fails_while_it_is_loaded(aws: Aws) -> None:
    cases = {
        "broken.f": ("Runtime.UserCodeSyntaxError", "Syntax error in module 'broken'"),
        "raises.f": ("ZeroDivisionError", "division by zero"),
        "exits.f": ("Runtime.ExitError", "RequestId: "),
    }
    names = functions_that_cannot_be_loaded(aws, cases)
    # The runtime tells of the error and exits; Lambda tries once more, as part of the invocation.
    assert texts(aws, names["raises.f"]).count("loading\n") == 2


@pytest.mark.behaviour("D31")
def test_the_tail_of_the_log(aws: Aws) -> None:
    function = aws.function("def handler(event, context):\n    print('x' * 5000)\n    print('last')")
    answer = answer_of(aws, function, LogType="Tail")
    tail = base64.b64decode(answer["LogResult"])
    assert len(tail) == 4096
    assert b"xxx\nlast\nEND RequestId" in tail
    assert b"INIT_START" not in base64.b64decode(answer_of(aws, function, LogType="Tail")["LogResult"])
    assert "LogResult" not in answer_of(aws, function)


@pytest.mark.behaviour("D57")
def test_between_invocations_everything_stands_still(aws: Aws, everything: str) -> None:
    invoke(aws, everything, {"do": "ticks"})
    first = invoke(aws, everything, {"do": "ticks"})
    time.sleep(0.5)
    assert invoke(aws, everything, {"do": "ticks"}) - first < 15


SLOW_START = """
    import sys, time
    time.sleep(0.4)
    def handler(event, context):
        if event:
            sys.exit()
"""


@pytest.mark.behaviour("D60")
def test_duration_holds_the_init_only_when_it_is_repeated(aws: Aws) -> None:
    function = aws.function(SLOW_START, Timeout=1)
    for event in (None, "exit", None):
        answer_of(aws, function, event)
    reports = [text for text in texts(aws, function) if text.startswith("REPORT")]
    durations = [float(re.search(r"\tDuration: (\S+) ms", text)[1]) for text in reports]  # type: ignore[index]
    assert durations[0] < 400 <= durations[2]
    first_init = re.search(r"Init Duration: (\S+) ms", reports[0])
    assert first_init is not None
    assert float(first_init[1]) >= 400
    assert "Init Duration" not in reports[2]


# Asynchronous invocations.


FAILS = """
    import json, time
    def handler(event, context):
        print(json.dumps({"at": time.time(), "id": context.aws_request_id}))
        if event["fail"]:
            raise ValueError("no")
        return "done"
"""


def sender(aws: Aws) -> str:
    """Make a role that may send to every queue, beside the usual rights."""
    allow = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
    return aws.role(QUEUE_ROLE, policy={"Version": "2012-10-17", "Statement": [allow]})


def received(aws: Aws, url: str) -> list[dict[str, Any]]:
    """Take a queue's messages out of it, and return them with their attributes."""
    sqs = aws.client("sqs")
    answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    for message in answer.get("Messages", []):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return list(answer.get("Messages", []))


@pytest.mark.behaviour("D34", "D37", "D38")
def test_an_event_is_tried_three_times_and_then_lost_to_where_the_settings_say(aws: Aws) -> None:
    done, lost, dead = aws.queue(), aws.queue(), aws.queue()
    client = aws.client("lambda")
    dead_letter = {"TargetArn": aws.queue_arn(dead)}
    function = aws.function(FAILS, role=sender(aws), DeadLetterConfig=dead_letter)
    client.put_function_event_invoke_config(
        FunctionName=function,
        DestinationConfig={
            "OnSuccess": {"Destination": aws.queue_arn(done)},
            "OnFailure": {"Destination": aws.queue_arn(lost)},
        },
    )
    begun = aws.now()
    answer_of(aws, function, {"fail": True}, InvocationType="Event")
    aws.advance(179)
    tries = aws.printed(function)
    assert [round(one["at"] - begun) for one in tries] == [0, 60]
    assert received(aws, lost) == []
    aws.advance(10)
    tries = aws.printed(function)
    assert [item["at"] - begun for item in tries] == pytest.approx([0, 60, 180], abs=3)
    assert len({one["id"] for one in tries}) == 1
    (record,) = received(aws, lost)
    said = json.loads(record["Body"])
    arn = f"arn:aws:lambda:{aws.info.region}:{aws.info.account}:function:{function}:$LATEST"
    assert list(said) == [
        *["version", "timestamp", "requestContext", "requestPayload", "responseContext", "responsePayload"]
    ]
    assert said["version"] == "1.0"
    assert said["requestContext"] == {
        "requestId": tries[0]["id"],
        "functionArn": arn,
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 3,
    }
    assert said["requestPayload"] == {"fail": True}
    assert said["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert said["responsePayload"]["errorMessage"] == "no"
    (letter,) = received(aws, dead)
    assert letter["Body"] == '{"fail": true}'
    assert {key: value["StringValue"] for key, value in letter["MessageAttributes"].items()} == {
        "RequestID": tries[0]["id"],
        "ErrorCode": "200",
        "ErrorMessage": "no",
    }
    assert letter["MessageAttributes"]["ErrorCode"]["DataType"] == "Number"
    answer_of(aws, function, {"fail": False}, InvocationType="Event")
    aws.advance(1)
    (record,) = received(aws, done)
    said = json.loads(record["Body"])
    assert (said["requestContext"]["condition"], said["responsePayload"]) == ("Success", "done")
    assert said["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}


@pytest.mark.behaviour("D34", "D35", "D36")
def test_a_throttled_event_waits_longer_and_longer_until_it_is_too_old(aws: Aws) -> None:
    client = aws.client("lambda")
    lost = aws.queue()
    function = aws.function(FAILS, role=sender(aws))
    client.put_function_event_invoke_config(
        FunctionName=function,
        MaximumRetryAttempts=0,
        MaximumEventAgeInSeconds=120,
        DestinationConfig={"OnFailure": {"Destination": aws.queue_arn(lost)}},
    )
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    answer_of(aws, function, {"fail": True}, InvocationType="Event")
    aws.advance(121)
    assert aws.printed(function) == []
    (record,) = received(aws, lost)
    assert json.loads(record["Body"])["requestContext"]["condition"] == "EventAgeExceeded"
    begun = aws.now()
    answer_of(aws, function, {"fail": True}, InvocationType="Event")
    aws.advance(20)
    client.delete_function_concurrency(FunctionName=function)
    aws.advance(300)
    (one,) = aws.printed(function)
    assert one["at"] - begun == pytest.approx(1 + 2 + 4 + 8 + 16, abs=2)
    (record,) = received(aws, lost)
    assert json.loads(record["Body"])["requestContext"]["approximateInvokeCount"] == 1
    unchecked = {"FunctionName": function, "MaximumRetryAttempts": 3}
    assert refusal(client.put_function_event_invoke_config, **unchecked)[:2] == (400, "ValidationException")
    unchecked = {"FunctionName": function, "MaximumEventAgeInSeconds": 21_601}
    assert refusal(client.put_function_event_invoke_config, **unchecked)[:2] == (400, "ValidationException")


def test_a_destination_without_the_right_to_send_loses_the_record(aws: Aws) -> None:
    lost = aws.queue()
    function = aws.function(FAILS)
    aws.client("lambda").put_function_event_invoke_config(
        FunctionName=function,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": aws.queue_arn(lost)}},
    )
    start = aws.now()
    answer_of(aws, function, {"fail": True}, InvocationType="Event")
    aws.advance(60)
    assert received(aws, lost) == []
    assert aws.metric("AWS/Lambda", "DestinationDeliveryFailures", "Sum", start, FunctionName=function) == [1]
