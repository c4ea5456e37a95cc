"""Short ways to make and to call functions, for the tests of functions."""

from __future__ import annotations

import io
import json
import textwrap
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Aws, zipped


def packed(**modules: str) -> bytes:
    """Return a deployment package of several modules."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in modules.items():
            archive.writestr(f"{name}.py", textwrap.dedent(source))
    return buffer.getvalue()


def create(aws: Aws, source: str | bytes = "def handler(event, context): return event", **settings: Any) -> Any:
    """Create a function, and return CreateFunction's answer: it is Pending."""
    arguments = {
        "FunctionName": aws.name("f"),
        "Runtime": "python3.13",
        "Handler": "app.handler",
        "Code": {"ZipFile": source if isinstance(source, bytes) else zipped(source)},
        **settings,
    }
    arguments.setdefault("Role", aws.role())
    return aws.client("lambda").create_function(**arguments)


def invoke(aws: Aws, function: str, event: Any = None, **options: Any) -> Any:
    """Invoke, and return the parsed payload."""
    return json.loads(answer_of(aws, function, event, **options)["Payload"])


def answer_of(aws: Aws, function: str, event: Any = None, **options: Any) -> dict[str, Any]:
    """Invoke, and return the whole answer with its payload read."""
    answer = aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode(), **options)
    return {**answer, "Payload": answer["Payload"].read()}


def refusal(call: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[int, str, str]:
    """Return status, code and text of the error that a call ends in."""
    with pytest.raises(ClientError) as caught:
        call(*arguments, **options)
    error = caught.value.response
    return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"], error["Error"]["Message"]


def texts(aws: Aws, function: str) -> list[str]:
    """Return the function's log, oldest first."""
    return [event["message"] for event in aws.log(function)]


def streams(aws: Aws, function: str) -> list[str]:
    """Return the names of the function's log streams."""
    answer = aws.client("logs").describe_log_streams(logGroupName=f"/aws/lambda/{function}")
    return [stream["logStreamName"] for stream in answer["logStreams"]]
