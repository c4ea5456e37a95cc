"""The lab endpoints: the few things that AWS does not have, such as moving the clock.

Requests are signed like every other, with the service name `local-aws`. Bodies are JSON.

| request | body | answer |
|---|---|---|
| `GET /_local/clock` | | `now`, `offset`, `busy` |
| `POST /_local/advance` | `seconds` or `to`; `patience` | `now`, `offset`, `busy`, `reached` |
| `POST /_local/clients` | `pid` | `clients` |
| `GET /_local/status` | | what the server is and holds |
| `GET /_local/outbox` | | `messages` that SNS would have sent as text messages, oldest first |
| `POST /_local/visitors` | `account` | `arn`, `accessKeyId`, `secretAccessKey` of a user of another account |
| `POST /_local/stop` | | `stopping` |

`now` and `to` are seconds since the epoch, `offset` is how far the space is ahead of real time in seconds, `busy` is
how many invocations hold the clock. `patience` is how many real seconds the caller waits at most for its answer.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from .client import SERVICE as SERVICE
from .errors import ApiError
from .events import LONGEST as LARGEST_PAGE
from .protocol import Request
from .space import Space

LONGEST = 400 * 86_400.0
"""The most seconds that one call may advance the clock."""

_ACCOUNT = re.compile("[0-9]{12}")


def clock(space: Space, _: dict[str, Any]) -> dict[str, Any]:
    """Say what time it is."""
    return {"now": space.clock.now(), "offset": space.clock.offset, "busy": space.scheduler.busy}


def advance(space: Space, body: dict[str, Any]) -> dict[str, Any]:
    """Advance the clock, event by event."""
    now = space.clock.now()
    seconds, to = body.get("seconds"), body.get("to")
    if (seconds is None) == (to is None):
        raise _invalid("Give either seconds or to.")
    target = now + _number("seconds", seconds) if to is None else _number("to", to)
    patience = None if body.get("patience") is None else _number("patience", body["patience"])
    if target - now > LONGEST:
        raise _invalid(f"The clock moves at most {LONGEST / 86_400:.0f} days at a time.")
    reached = space.scheduler.advance(target, patience)
    return {**clock(space, {}), "reached": reached}


def clients(space: Space, body: dict[str, Any]) -> dict[str, Any]:
    """Register a process that uses the server; the server outlives the last one by its idle time."""
    pid = body.get("pid")
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 0:
        raise _invalid("pid is the number of a process.")
    space.clients.add(pid)
    return {"clients": len(space.clients)}


def status(space: Space, _: dict[str, Any]) -> dict[str, Any]:
    """Say what the server is and holds."""
    with space.scheduler.lock:
        return {
            "space": space.name,
            "account": space.account,
            "region": space.region,
            "url": space.url,
            "pid": os.getpid(),
            "queues": len(space.queues),
            "functions": len(space.functions),
            "mappings": len(space.mappings),
            "environments": space.functions.environment_count,
            **clock(space, {}),
        }


def outbox(space: Space, _: dict[str, Any]) -> dict[str, Any]:
    """Show the text messages that nobody has sent: each `at`, `to`, `message`, `messageId` and `topicArn`."""
    with space.scheduler.lock:
        return {"messages": space.notifications.outbox}


def events(space: Space, body: dict[str, Any]) -> dict[str, Any]:
    """Return the event feed after a number: `events`, `columns`, `next` and `lost`."""
    after, limit = _number("after", body.get("after", 0)), _number("limit", body.get("limit", LARGEST_PAGE))
    return space.events.page(int(after), int(limit))


def visitors(space: Space, body: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a user of another account: what it may do here, the policies of queues and functions say."""
    account = body.get("account")
    if not isinstance(account, str) or not _ACCOUNT.fullmatch(account) or account == space.account:
        raise _invalid("account is the twelve digits of another account than this one.")
    with space.scheduler.lock:
        made = space.permissions.visitor(account)
    return {"arn": made.identity.arn, "accessKeyId": made.access_key, "secretAccessKey": made.secret_key}


def stop(space: Space, _: dict[str, Any]) -> dict[str, Any]:
    """End the server once this answer is out."""
    space.stop_requested.set()
    return {"stopping": True}


ENDPOINTS: dict[tuple[str, str], Callable[[Space, dict[str, Any]], dict[str, Any]]] = {
    ("GET", "/_local/clock"): clock,
    ("POST", "/_local/advance"): advance,
    ("POST", "/_local/clients"): clients,
    ("GET", "/_local/status"): status,
    ("GET", "/_local/outbox"): outbox,
    ("GET", "/_local/events"): events,
    ("POST", "/_local/visitors"): visitors,
    ("POST", "/_local/stop"): stop,
}


def answer(space: Space, request: Request) -> dict[str, Any]:
    """Answer a request to a lab endpoint.

    Raises
    ------
    ApiError
        When there is no such endpoint, or the body is not what it takes.
    """
    endpoint = ENDPOINTS.get((request.method, request.path))
    if endpoint is None:
        offered = ", ".join(f"{method} {path}" for method, path in ENDPOINTS)
        raise ApiError(
            "NotFound", f"There is no lab endpoint {request.method} {request.path}; there is: {offered}.", 404
        )
    try:
        body = json.loads(request.body or b"{}")
    except ValueError:
        raise _invalid("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise _invalid("The body is a JSON object.")
    if request.method == "GET":
        body = {name: _figure(value) for name, value in parse_qsl(request.query)}
    return endpoint(space, body)


def _figure(text: str) -> Any:
    return int(text) if text.isascii() and text.isdigit() else text


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise _invalid(f"{name} is a number of seconds, 0 or more.")
    return float(value)


def _invalid(text: str) -> ApiError:
    return ApiError("InvalidParameter", text)
