"""What stands in a function's log: the platform's lines, the handler's, and both in JSON."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime

import pytest

from .conftest import Aws
from .lambda_calls import answer_of, create, invoke, streams, texts

TALKS = """
    import logging, sys, time
    print("loading")
    log = logging.getLogger()

    class CustomException(Exception):
        pass

    def handler(event, context):
        if event == "raise":
            raise CustomException("some error occurred")
        if event == "hang":
            time.sleep(30)
        if event == "exit":
            sys.exit()
        print("one")
        log.warning("two\\nlines")
        print("three", file=sys.stderr)
        log.info("not shown")
        print("four", end="")
        return context.aws_request_id
"""


@pytest.mark.behaviour("D62", "D63", "D64")
def test_the_lines_around_a_cold_and_a_warm_invocation(aws: Aws) -> None:
    function = aws.function(TALKS)
    one, two = invoke(aws, function), invoke(aws, function)
    log = texts(aws, function)
    init = r"INIT_START Runtime Version: python:3\.13\.v\d+\tRuntime Version ARN: arn:aws:lambda:\S+::runtime:\S+\n"
    assert re.fullmatch(init, log[0])
    assert log[1:4] == ["loading\n", f"START RequestId: {one} Version: $LATEST\n", "one\n"]
    assert log[5:8] == ["three\n", "four", f"END RequestId: {one}\n"]
    assert log[9] == f"START RequestId: {two} Version: $LATEST\n"
    (stream,) = streams(aws, function)
    today = datetime.fromtimestamp(aws.now(), UTC)
    assert re.fullmatch(rf"{today:%Y/%m/%d}/\[\$LATEST\][0-9a-f]{{32}}", stream)


@pytest.mark.behaviour("D65", "D67", "D70")
def test_what_an_invocation_logs_and_what_it_took(aws: Aws) -> None:
    function = aws.function(TALKS)
    one, two = invoke(aws, function), invoke(aws, function)
    log = texts(aws, function)
    assert re.fullmatch(rf"\[WARNING\]\t\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z\t{one}\ttwo\nlines\n", log[4])
    cold = (
        rf"REPORT RequestId: {one}\tDuration: (\d+\.\d\d) ms\tBilled Duration: (\d+) ms\tMemory Size: 128 MB\t"
        r"Max Memory Used: \d+ MB\tInit Duration: (\d+\.\d\d) ms\t\n"
    )
    match = re.fullmatch(cold, log[8])
    assert match is not None, log[8]
    assert int(match[2]) == math.ceil(round(float(match[1]) + float(match[3]), 2))
    assert log[-1].startswith(f"REPORT RequestId: {two}\t")
    assert "Init Duration" not in log[-1]


@pytest.mark.behaviour("D66", "D68", "D69")
def test_how_failures_are_told(aws: Aws) -> None:
    function = aws.function(TALKS, Timeout=1)
    for event in ("raise", "hang", "exit"):
        answer_of(aws, function, event)
    log = texts(aws, function)
    (line,) = (text for text in log if text.startswith("[ERROR]"))
    assert line.startswith("[ERROR] CustomException: some error occurred\nTraceback (most recent call last):\n")
    assert '\n\u00a0\u00a0File "/var/task/app.py", line ' in line
    timed_out = next(n for n, text in enumerate(log) if "Task timed out" in text)
    assert re.match(r"\d{4}-\d\d-\d\dT\S+Z \S{36} Task timed out after 1\.00 seconds\n", log[timed_out])
    assert log[timed_out + 1].startswith("END RequestId")
    reports = [text for text in log if text.startswith("REPORT")]
    assert "Status" not in reports[0], "the handler raised, and the process lives"
    assert "\tDuration: 1000.00 ms\tBilled Duration: 1000 ms\t" in reports[1]
    assert reports[1].endswith("\tStatus: timeout\n")
    assert reports[2].endswith("\tStatus: error\tError Type: Runtime.ExitError\n")


@pytest.mark.behaviour("D72")
def test_an_init_that_fails_is_told_of_twice(aws: Aws) -> None:
    function = aws.function("import sys\nsys.exit(3)", Timeout=9)
    answer_of(aws, function)
    told = [text for text in texts(aws, function) if text.startswith("INIT_REPORT")]
    line = r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: {}\tStatus: error\tError Type: Runtime.ExitError\n"
    assert len(told) == 2
    for text, phase in zip(told, ("init", "invoke"), strict=True):
        assert re.fullmatch(line.format(phase), text)
    for code, shown in (("import pandas", "Runtime.ImportModuleError"), ("1 / 0", "Runtime.Unknown")):
        broken = aws.function(code, Timeout=9)
        assert answer_of(aws, broken)["FunctionError"]
        told = [text for text in texts(aws, broken) if "\tStatus: error" in text]
        assert [text.partition(" ")[0] for text in told] == ["INIT_REPORT", "INIT_REPORT", "REPORT"]
        assert [text.rpartition("\t")[2] for text in told] == [f"Error Type: {shown}\n"] * 3
    fine = aws.function("def handler(event, context): pass")
    answer_of(aws, fine)
    assert not any("INIT_REPORT" in text for text in texts(aws, fine))


@pytest.mark.behaviour("D71")
def test_the_json_log_format(aws: Aws) -> None:
    code = """
        import logging
        def handler(event, context):
            logging.getLogger("shop").info("hello")
            if event:
                raise ValueError("no")
    """
    function = create(aws, code, LoggingConfig={"LogFormat": "JSON"})["FunctionName"]
    aws.advance(1)
    request = json.loads(answer_of(aws, function, 1)["Payload"])["requestId"]
    lines = [json.loads(text) for text in texts(aws, function)]
    kinds = [line.get("type") or line["level"] for line in lines]
    assert kinds == ["platform.initStart", "platform.start", "INFO", "ERROR", "platform.report"]
    assert lines[2] | {"message": "hello", "logger": "shop", "requestId": request} == lines[2]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", lines[2]["timestamp"])
    assert (lines[3]["errorType"], lines[3]["errorMessage"]) == ("ValueError", "no")
    assert lines[3]["stackTrace"]
    assert lines[1]["record"]["requestId"] == request
    metrics = lines[4]["record"]["metrics"]
    assert metrics["billedDurationMs"] == math.ceil(metrics["durationMs"] + metrics["initDurationMs"])


@pytest.mark.behaviour("D71")
@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("DEBUG", ["initStart", "initRuntimeDone", "initReport", "start", "runtimeDone", "report"]),
        ("INFO", ["initStart", "start", "report"]),
        ("WARN", []),
    ],
)
def test_the_platforms_json_lines_by_level(aws: Aws, level: str, told: list[str]) -> None:
    """Failures are told at every level."""
    code = """
        import os
        def handler(event, context):
            if event:
                os._exit(3)
            return "four"
    """
    logging = {"LogFormat": "JSON", "SystemLogLevel": level}
    function = create(aws, code, LoggingConfig=logging)["FunctionName"]
    aws.advance(1)
    assert invoke(aws, function, 0) == "four"
    lines = [json.loads(text) for text in texts(aws, function)]
    assert [line["type"] for line in lines] == [f"platform.{name}" for name in told]
    for line in lines:
        assert line["record"].get("status", "success") == "success"
        if line["type"] == "platform.runtimeDone":
            assert line["record"]["metrics"]["producedBytes"] == len('"four"')
    assert invoke(aws, function, 1)["errorType"] == "Runtime.ExitError"
    failure = [json.loads(text) for text in texts(aws, function) if text.startswith("{")][len(lines) :]
    kinds = [line["type"] for line in failure if line["type"] != "platform.start"]
    assert kinds == ["platform.runtimeDone", "platform.report"]
    assert {line["record"]["errorType"] for line in failure[-2:]} == {"Runtime.ExitError"}


def test_megabytes_of_output_block_nothing(aws: Aws) -> None:
    function = aws.function("def handler(event, context):\n    for n in range(10_000): print('x' * 99)", Timeout=30)
    assert invoke(aws, function) is None
    assert texts(aws, function).count("x" * 99 + "\n") == 10_000
