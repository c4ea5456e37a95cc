"""Clients of another make: AWS's command line tool, led to the local AWS by `env` alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.environment import Environment

from .conftest import BASIC_ROLE, LAMBDA_TRUST, QUEUE_ROLE, ROOT, Aws, zipped


@pytest.fixture(scope="module")
def aws_cli() -> Path:
    """Return AWS's command line tool; it is fetched once."""
    return Environment().aws_cli()


def test_the_command_line_tool_walks_through_hello_world(aws: Aws, aws_cli: Path, tmp_path: Path) -> None:
    exports = subprocess.run(
        [sys.executable, "-m", "helpers.local_aws", "env", "--space", aws.info.space],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    path = os.pathsep.join([str(aws_cli.parent), os.environ["PATH"]])

    def call(*arguments: str) -> dict[str, object]:
        command = ["sh", "-c", f'{exports}aws "$@"', "sh", "--output", "json", *arguments]
        environment = {"PATH": path, "HOME": str(tmp_path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}

    name = aws.name("cli")
    url = str(call("sqs", "create-queue", "--queue-name", name)["QueueUrl"])
    arn = call("iam", "create-role", "--role-name", name, "--assume-role-policy-document", json.dumps(LAMBDA_TRUST))
    for policy in (BASIC_ROLE, QUEUE_ROLE):
        call("iam", "attach-role-policy", "--role-name", name, "--policy-arn", policy)
    package = tmp_path / "function.zip"
    package.write_bytes(zipped("def handler(event, context):\n    print(event['Records'][0]['body'])"))
    role = str(arn["Role"]["Arn"])  # type: ignore[index]
    create = ["lambda", "create-function", "--function-name", name, "--runtime", "python3.13", "--role", role]
    call(*create, "--handler", "app.handler", "--zip-file", f"fileb://{package}")
    aws.advance(1)
    source = ["--event-source-arn", aws.queue_arn(url), "--function-name", name, "--batch-size", "1"]
    call("lambda", "create-event-source-mapping", *source)
    aws.advance(2)
    call("sqs", "send-message", "--queue-url", url, "--message-body", '{"hello": "world"}')
    aws.advance(1)
    assert [event["message"] for event in aws.log(name) if event["message"].startswith("{")] == ['{"hello": "world"}\n']
