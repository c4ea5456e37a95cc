"""What a query of CloudWatch Logs Insights reads: log events, the fields discovered in them, and their values."""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

_MOST_JSON_FIELDS = 200

Value = str | float | bool | None


class Moment(float):
    """Epoch milliseconds that are shown as a date."""


@dataclass(frozen=True)
class LogEvent:
    """One event as CloudWatch Logs keeps it; times in epoch milliseconds."""

    timestamp: int
    ingested: int
    group: str
    stream: str
    event_id: str
    message: str


class Row:
    """An event, or a line of statistics; fields are looked for only when they are asked for."""

    def __init__(self, account: str, event: LogEvent | None, known: dict[str, Value] | None = None) -> None:
        self._account = account
        self.event = event
        self.known: dict[str, Value] = known if known is not None else {}

    def get(self, name: str) -> Value:
        """Return a field's value, None when there is none."""
        if name in self.known:
            return self.known[name]
        event = self.event
        if event is None:
            return None
        if name == "@message":
            return event.message
        if name == "@timestamp":
            return Moment(event.timestamp)
        if name == "@ingestionTime":
            return Moment(event.ingested)
        if name == "@logStream":
            return event.stream
        if name == "@log":
            return f"{self._account}:{event.group}"
        if name == "@ptr":
            return b64encode(f"{event.group}|{event.stream}|{event.event_id}".encode()).decode()
        return (self._platform if name.startswith("@") else self._json).get(name)

    @cached_property
    def _platform(self) -> dict[str, Value]:
        assert self.event is not None
        return _platform_fields(self.event.message)

    @cached_property
    def _json(self) -> dict[str, Value]:
        assert self.event is not None
        of_lambda = self.event.group.startswith("/aws/lambda/")
        return _json_fields(self.event.message, anywhere=of_lambda)


_PLATFORM_LINE = re.compile(r"(START|END|REPORT) RequestId: ([0-9a-f-]{36})")
_LOGGED_ID = re.compile(r"(?:^|\t)([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\t")
_FIGURES = {
    "@duration": re.compile(r"\tDuration: ([\d.]+) ms"),
    "@billedDuration": re.compile(r"\tBilled Duration: ([\d.]+) ms"),
    "@memorySize": re.compile(r"\tMemory Size: (\d+) MB"),
    "@maxMemoryUsed": re.compile(r"\tMax Memory Used: (\d+) MB"),
    "@initDuration": re.compile(r"\tInit Duration: ([\d.]+) ms"),
}
_MEGABYTE = 1_000_000


def _platform_fields(message: str) -> dict[str, Value]:
    """Return what is discovered in Lambda's lines; memory is in bytes."""
    line = _PLATFORM_LINE.match(message)
    if line is None:
        logged = _LOGGED_ID.search(message[:200])
        return {"@requestId": logged[1]} if logged else {}
    found: dict[str, Value] = {"@type": line[1], "@requestId": line[2]}
    if line[1] == "REPORT":
        for name, pattern in _FIGURES.items():
            if (figure := pattern.search(message)) is not None:
                number = float(figure[1])
                found[name] = number * _MEGABYTE if "emory" in name else number
    return found


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)


def _json_fields(message: str, anywhere: bool) -> dict[str, Value]:
    """Return the fields of a line that is JSON, or of the first JSON in a line of Lambda's."""
    start = message.find("{")
    if start < 0 or (not anywhere and message[:start].strip()):
        return {}
    try:
        document, end = _DECODER.raw_decode(message, start)
    except (ValueError, RecursionError):
        return {}
    if not anywhere and message[end:].strip():
        return {}
    found: dict[str, Value] = {}
    _flatten(document, "", found)
    return found


def _flatten(value: Any, name: str, found: dict[str, Value]) -> None:
    if len(found) >= _MOST_JSON_FIELDS:
        return
    if isinstance(value, dict | list):
        items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            _flatten(item, f"{name}.{key}" if name else str(key), found)
    elif isinstance(value, bool):
        found[name] = "true" if value else "false"
    elif value is not None:
        found[name] = value


def number(value: Value) -> float | None:
    """Return a value as a number, or None when it is none."""
    if isinstance(value, float | int):
        return float(value)
    if value is None or "_" in value:
        return None
    try:
        made = float(value)
    except ValueError:
        return None
    return made if math.isfinite(made) else None


def shown(value: Value) -> str:
    """Write a value as GetQueryResults does."""
    if isinstance(value, Moment):
        moment = datetime.fromtimestamp(value / 1000, UTC)
        return f"{moment:%Y-%m-%d %H:%M:%S}.{int(value) % 1000:03d}"
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float | int):
        return str(int(value)) if value == int(value) else f"{value:.4f}".rstrip("0").rstrip(".")
    return str(value)
