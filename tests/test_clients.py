"""AWS's command line tool, led to the local AWS by `env` alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tools.environment import Environment

from .conftest import BASIC_ROLE, LAMBDA_TRUST, QUEUE_ROLE, ROOT, Aws, zipped


@pytest.fixture(scope="module")
def aws_cli() -> Path:
    """Return AWS's command line tool; it is fetched once."""
    return Environment().aws_cli()


Call = Callable[..., Any]


@pytest.fixture
def call(aws: Aws, aws_cli: Path, tmp_path: Path) -> Call:
    """Return a function that has the tool run one command, in a shell that has read what `env` prints."""
    exports = subprocess.run(
        [sys.executable, "-m", "helpers.local_aws", "env", "--space", aws.info.space],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    path = os.pathsep.join([str(aws_cli.parent), os.environ["PATH"]])

    def run(*arguments: str, refused: bool = False) -> Any:
        command = ["sh", "-c", f'{exports}aws "$@"', "sh", "--output", "json", *arguments]
        environment = {"PATH": path, "HOME": str(tmp_path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        if refused:
            assert done.returncode in (254, 255), done.stdout
            return done.stderr
        assert done.returncode == 0, done.stderr
        try:
            return json.loads(done.stdout) if done.stdout.strip() else {}
        except ValueError:
            return done.stdout

    return run


def make_function(aws: Aws, call: Call, name: str, source: str, folder: Path) -> None:
    """Make a role and a function with the tool, and wait until it is active."""
    made = call("iam", "create-role", "--role-name", name, "--assume-role-policy-document", json.dumps(LAMBDA_TRUST))
    for policy in (BASIC_ROLE, QUEUE_ROLE):
        call("iam", "attach-role-policy", "--role-name", name, "--policy-arn", policy)
    package = folder / "function.zip"
    package.write_bytes(zipped(source))
    create = ["lambda", "create-function", "--function-name", name, "--runtime", "python3.13"]
    create += ["--role", made["Role"]["Arn"], "--handler", "app.handler", "--zip-file", f"fileb://{package}"]
    call(*create)
    aws.advance(1)


def test_the_command_line_tool_walks_through_hello_world(aws: Aws, call: Call, tmp_path: Path) -> None:
    name = aws.name("cli")
    url = call("sqs", "create-queue", "--queue-name", name)["QueueUrl"]
    make_function(aws, call, name, "def handler(event, context):\n    print(event['Records'][0]['body'])", tmp_path)
    source = ["--event-source-arn", aws.queue_arn(url), "--function-name", name, "--batch-size", "1"]
    call("lambda", "create-event-source-mapping", *source)
    aws.advance(2)
    call("sqs", "send-message", "--queue-url", url, "--message-body", '{"hello": "world"}')
    aws.advance(1)
    assert [event["message"] for event in aws.log(name) if event["message"].startswith("{")] == ['{"hello": "world"}\n']


def test_the_command_line_tool_walks_from_failure_to_redrive_and_clears_up(
    aws: Aws, call: Call, tmp_path: Path
) -> None:
    name, begun = aws.name("cli"), aws.now()
    dead = call("sqs", "create-queue", "--queue-name", f"{name}-dead")["QueueUrl"]
    dead_arn = call("sqs", "get-queue-attributes", "--queue-url", dead, "--attribute-names", "QueueArn")
    policy = {"deadLetterTargetArn": dead_arn["Attributes"]["QueueArn"], "maxReceiveCount": "2"}
    attributes = {"VisibilityTimeout": "6", "RedrivePolicy": json.dumps(policy)}
    url = call("sqs", "create-queue", "--queue-name", name, "--attributes", json.dumps(attributes))["QueueUrl"]
    source = """
        import os
        def handler(event, context):
            for record in event["Records"]:
                print("seen", record["body"])
                if record["body"] == "bad" and not os.environ.get("FIXED"):
                    raise ValueError("bad")
    """
    make_function(aws, call, name, source, tmp_path)
    made = call(
        *("lambda", "create-event-source-mapping", "--function-name", name, "--batch-size", "1"),
        *("--event-source-arn", aws.queue_arn(url)),
    )
    aws.advance(2)
    entries = [{"Id": body, "MessageBody": body} for body in ("good", "bad")]
    sent = call("sqs", "send-message-batch", "--queue-url", url, "--entries", json.dumps(entries))
    assert {entry["Id"] for entry in sent["Successful"]} == {"good", "bad"}
    aws.until(lambda: aws.counts(dead) == (1, 0))

    # Mended, and driven back.
    call("lambda", "update-function-configuration", "--function-name", name, "--environment", "Variables={FIXED=1}")
    aws.advance(2)
    task = call("sqs", "start-message-move-task", "--source-arn", aws.queue_arn(dead))
    assert task["TaskHandle"]
    aws.advance(5)
    tasks = call("sqs", "list-message-move-tasks", "--source-arn", aws.queue_arn(dead))["Results"]
    assert [(task["Status"], task["ApproximateNumberOfMessagesMoved"]) for task in tasks] == [("COMPLETED", 1)]
    aws.until(lambda: aws.counts(url) == (0, 0))

    group = f"/aws/lambda/{name}"
    events = call("logs", "filter-log-events", "--log-group-name", group, "--filter-pattern", "seen")["events"]
    assert sorted(event["message"] for event in events) == ["seen bad\n"] * 3 + ["seen good\n"]
    since = datetime.fromtimestamp(begun - 60, UTC).isoformat()
    stream = call("logs", "describe-log-streams", "--log-group-name", group)["logStreams"][0]["logStreamName"]
    lines = call("logs", "get-log-events", "--log-group-name", group, "--log-stream-name", stream, "--start-from-head")
    assert lines["events"][0]["message"].startswith("INIT_START Runtime Version: python:3.13")

    aws.advance(120)
    query = {
        "Id": "errors",
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/Lambda",
                "MetricName": "Errors",
                "Dimensions": [{"Name": "FunctionName", "Value": name}],
            },
            "Period": 60,
            "Stat": "Sum",
        },
    }
    end = datetime.fromtimestamp(aws.now() + 60, UTC).isoformat()
    data = call(
        *("cloudwatch", "get-metric-data", "--metric-data-queries", json.dumps([query])),
        *("--start-time", since, "--end-time", end),
    )
    assert sum(data["MetricDataResults"][0]["Values"]) == 2

    call("lambda", "delete-event-source-mapping", "--uuid", made["UUID"])
    call("lambda", "delete-function", "--function-name", name)
    call("logs", "delete-log-group", "--log-group-name", group)
    for policy_arn in (BASIC_ROLE, QUEUE_ROLE):
        call("iam", "detach-role-policy", "--role-name", name, "--policy-arn", policy_arn)
    call("iam", "delete-role", "--role-name", name)
    for queue in (url, dead):
        call("sqs", "delete-queue", "--queue-url", queue)
    assert "(ResourceNotFoundException)" in call("lambda", "get-function", "--function-name", name, refused=True)
    assert "NonExistentQueue" in call("sqs", "get-queue-url", "--queue-name", name, refused=True)
