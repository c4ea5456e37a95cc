"""One local AWS a test worker, driven through public clients; virtual time instead of sleeps."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from helpers.local_aws import state
from helpers.local_aws.client import lab_request

ROOT = Path(__file__).resolve().parents[1]
LAMBDA_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
QUEUE_ROLE = "arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"
BASIC_ROLE = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def zipped(source: str, file: str = "app.py") -> bytes:
    """Return a deployment package with one module."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(file, textwrap.dedent(source))
    return buffer.getvalue()


@dataclass
class Aws:
    """A running local AWS and short ways to make things in it; every name is new."""

    info: state.ServerInfo
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str, **options: Any) -> Any:
        """Return a plain boto3 client."""
        if options or service not in self._clients:
            config = Config(retries={"total_max_attempts": 1}, proxies={}, ignore_configured_endpoint_urls=True)
            keys = {
                "endpoint_url": self.info.url,
                "region_name": self.info.region,
                "aws_access_key_id": self.info.access_key,
                "aws_secret_access_key": self.info.secret_key,
                "config": config,
            }
            client = boto3.Session().client(service, **{**keys, **options})
            if options:
                return client
            self._clients[service] = client
        return self._clients[service]

    def lab(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call a lab endpoint."""
        return lab_request(self.info, method, path, body)

    def advance(self, seconds: float) -> float:
        """Advance the clock; return the time."""
        answer = self.lab("POST", "/_local/advance", {"seconds": seconds})
        assert answer["reached"]
        return float(answer["now"])

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return float(self.lab("GET", "/_local/clock")["now"])

    def until(self, condition: Callable[[], Any], *, timeout: float = 30, step: float = 0.5) -> Any:
        """Advance the clock in steps until a condition holds; return what it returned."""
        end = self.now() + timeout
        while not (value := condition()):
            assert self.now() < end, f"{condition} did not hold within {timeout} s"
            self.advance(step)
        return value

    def name(self, what: str = "t") -> str:
        """Return a new name."""
        return f"{what}-{uuid.uuid4().hex[:10]}"

    def queue(self, *, fifo: bool = False, **attributes: Any) -> str:
        """Make a queue; return its URL."""
        if fifo:
            attributes["FifoQueue"] = True
        values = {
            key: json.dumps(value)
            if isinstance(value, dict)
            else str(value).lower()
            if isinstance(value, bool)
            else str(value)
            for key, value in attributes.items()
        }
        name = self.name("q") + (".fifo" if fifo else "")
        return str(self.client("sqs").create_queue(QueueName=name, Attributes=values)["QueueUrl"])

    def queue_arn(self, url: str) -> str:
        """Return a queue's ARN."""
        answer = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])

    def counts(self, url: str) -> tuple[int, int]:
        """Return how many messages are visible and in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return int(answer[names[0]]), int(answer[names[1]])

    def role(self, *managed: str, trust: dict[str, Any] | None = None, policy: dict[str, Any] | None = None) -> str:
        """Make a role; without arguments an execution role for a queue's consumer. Return its ARN."""
        iam = self.client("iam")
        name = self.name("role")
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust or LAMBDA_TRUST))["Role"]["Arn"]
        for policy_arn in managed or ((QUEUE_ROLE,) if policy is None else ()):
            iam.attach_role_policy(RoleName=name, PolicyArn=policy_arn)
        if policy is not None:
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
        return str(arn)

    def function(self, source: str, *, role: str | None = None, **configuration: Any) -> str:
        """Make a function of one module `app` with a `handler`, and wait until it is active; return its name."""
        client = self.client("lambda")
        name = self.name("f")
        arguments = {"Runtime": "python3.13", "Handler": "app.handler", "Timeout": 3, **configuration}
        client.create_function(
            FunctionName=name, Role=role or self.role(), Code={"ZipFile": zipped(source)}, **arguments
        )
        self.until(lambda: client.get_function_configuration(FunctionName=name)["State"] == "Active")
        return name

    def mapping(self, queue_url: str, function: str, **settings: Any) -> str:
        """Connect a queue and a function, and wait until the mapping is Enabled; return its UUID."""
        client = self.client("lambda")
        made = client.create_event_source_mapping(
            EventSourceArn=self.queue_arn(queue_url), FunctionName=function, **settings
        )
        if settings.get("Enabled", True):
            self.until(lambda: client.get_event_source_mapping(UUID=made["UUID"])["State"] == "Enabled")
        return str(made["UUID"])

    def log(self, function: str) -> list[dict[str, Any]]:
        """Return the function's log events, oldest first."""
        logs = self.client("logs")
        try:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{function}")
            return [event for page in pages for event in page["events"]]
        except logs.exceptions.ResourceNotFoundException:
            return []

    def printed(self, function: str) -> list[dict[str, Any]]:
        """Return what the function printed as JSON lines."""
        return [json.loads(event["message"]) for event in self.log(function) if event["message"].startswith("{")]

    def metric(self, namespace: str, name: str, stat: str, since: float, **dimensions: str) -> list[float]:
        """Return a metric's values by minute since a moment, in order of time."""
        query = {
            "Id": "m",
            "MetricStat": {
                "Metric": {
                    "Namespace": namespace,
                    "MetricName": name,
                    "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
                },
                "Period": 60,
                "Stat": stat,
            },
        }
        answer = self.client("cloudwatch").get_metric_data(
            MetricDataQueries=[query], StartTime=since // 60 * 60, EndTime=self.now() + 60, ScanBy="TimestampAscending"
        )
        return list(answer["MetricDataResults"][0]["Values"])


@pytest.fixture(scope="session")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the state files in a folder of the tests, so that no test meets a server of the user."""
    folder = tmp_path_factory.mktemp("state")
    before = os.environ.get("LAB_STATE_DIR")
    os.environ["LAB_STATE_DIR"] = str(folder)
    yield folder
    subprocess.run(
        [sys.executable, "-m", "helpers.local_aws", "stop", "--all"], cwd=ROOT, capture_output=True, check=False
    )
    if before is None:
        del os.environ["LAB_STATE_DIR"]
    else:
        os.environ["LAB_STATE_DIR"] = before


@pytest.fixture(scope="session")
def aws(state_dir: Path) -> Aws:
    """Return the local AWS of this worker."""
    return Aws(state.ensure(f"tests-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}", idle_stop=3600))
