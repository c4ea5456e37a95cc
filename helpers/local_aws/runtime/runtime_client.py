"""A pure-Python `runtime_client`, for systems where awslambdaric comes without its C extension.

It offers the three calls that awslambdaric makes, over one kept-alive connection to the Runtime API.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
from typing import Any

_user_agent = "aws-lambda-python"
_connection: http.client.HTTPConnection | None = None
mark = ""
"""What is written between two zero bytes after an invocation's output, where its reader cannot see the end of it."""


def initialize_client(user_agent: str) -> None:
    """Set the User-Agent of all requests."""
    global _user_agent
    _user_agent = user_agent


def next() -> tuple[bytes, dict[str, Any]]:  # noqa: A001 - the name that awslambdaric calls
    """Wait for the next invocation and return its event and headers (row D48)."""
    body, received = _request("GET", "/invocation/next")
    headers: dict[str, Any] = dict(received)
    if "Lambda-Runtime-Deadline-Ms" in headers:
        headers["Lambda-Runtime-Deadline-Ms"] = int(headers["Lambda-Runtime-Deadline-Ms"])
    return body, headers


def post_invocation_result(
    invoke_id: str, result_data: bytes, content_type: str = "application/json", invocation_id: str | None = None
) -> None:
    """Give the invocation's result (row D49)."""
    _end_output()
    _request("POST", f"/invocation/{invoke_id}/response", result_data, {"Content-Type": content_type})


def post_error(
    invoke_id: str, error_response_data: str | bytes, xray_fault: str, invocation_id: str | None = None
) -> None:
    """Give the invocation's error (row D50)."""
    _end_output()
    body = error_response_data.encode() if isinstance(error_response_data, str) else error_response_data
    _request("POST", f"/invocation/{invoke_id}/error", body, {"Content-Type": "application/json"})


def _end_output() -> None:
    if mark:
        # A handler may have closed it.
        with contextlib.suppress(OSError):
            os.write(1, f"\0{mark}\0".encode())


def _request(
    method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[bytes, http.client.HTTPMessage]:
    global _connection
    if _connection is None:
        _connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        _connection.connect()
        _connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        _connection.request(method, "/2018-06-01/runtime" + path, body, {"User-Agent": _user_agent, **(headers or {})})
        response = _connection.getresponse()
        data = response.read()
    except Exception:
        _connection.close()
        _connection = None
        raise
    if response.status >= 300:
        raise RuntimeError(f"Runtime API {path}: {response.status} {data[:200]!r}")
    return data, response.headers
