"""What an execution environment's log is made of: the platform's own lines, and what the process writes.

The process writes raw text and telemetry frames into one pipe; `Splitter` makes log events of both.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_MAGIC = b"\xa5\x5a\x00"
_FRAME_HEADER = 16


class Splitter:
    """Splits an environment's output into log events.

    A frame (magic, type, length, microseconds, message; big-endian) is one event however many lines it has. Anything
    else is one event a line.

    Parameters
    ----------
    translate : list of (bytes, bytes)
        Folders of this machine and what stands in their place on AWS.
    """

    def __init__(self, translate: list[tuple[bytes, bytes]]) -> None:
        self._translate = translate
        self._buffer = b""

    def feed(self, data: bytes) -> list[str]:
        """Take in more output and return the events that are complete."""
        buffer = self._buffer + data if self._buffer else data
        events: list[str] = []
        start = 0
        while start < len(buffer):
            frame = buffer.find(_MAGIC, start)
            stop = len(buffer) if frame < 0 else frame
            while start < stop:
                end = buffer.find(b"\n", start, stop)
                if end < 0 and frame < 0:
                    break
                end = stop if end < 0 else end + 1
                events.append(self._text(buffer[start:end]))
                start = end
            if frame < 0 or len(buffer) < frame + _FRAME_HEADER:
                break
            end = frame + _FRAME_HEADER + int.from_bytes(buffer[frame + 4 : frame + 8], "big")
            if len(buffer) < end:
                break
            events.append(self._text(buffer[frame + _FRAME_HEADER : end]))
            start = end
        self._buffer = buffer[start:]
        return events

    def rest(self) -> list[str]:
        """Return an unfinished last line, which becomes an event of its own."""
        rest, self._buffer = self._buffer, b""
        return [self._text(rest)] if rest else []

    def translated(self, text: bytes) -> bytes:
        """Put AWS's folders in the place of this machine's."""
        for here, there in self._translate:
            text = text.replace(here, there)
        return text

    def _text(self, raw: bytes) -> str:
        return self.translated(raw).decode("utf-8", "replace")


@dataclass
class Report:
    """The figures of one invocation's REPORT line.

    Attributes
    ----------
    request_id : str
        The invocation.
    duration : float
        Milliseconds in the handler; with a repeated init, that too (row D60).
    init : float or None
        Milliseconds of a normal init, on a cold start only.
    memory_size, memory_used : int
        Megabytes.
    status : str
        `success`, `error` or `timeout`.
    error_type : str
        For status `error`, such as `Runtime.ExitError`.
    produced : int
        Bytes of the handler's answer.
    """

    request_id: str
    duration: float
    init: float | None
    memory_size: int
    memory_used: int
    status: str = "success"
    error_type: str = ""
    produced: int = 0

    @property
    def billed(self) -> int:
        """Billed milliseconds: duration and init together, rounded up (row D67)."""
        return math.ceil(round(self.duration + (self.init or 0.0), 2))


class TextLines:
    """The platform's lines in the Text format (rows D63 to D72)."""

    def init_start(self, where: Where) -> list[str]:
        """Return the line of a cold start (row D63)."""
        return [f"INIT_START Runtime Version: {where.runtime}\tRuntime Version ARN: {where.runtime_arn}\n"]

    def init_done(self, where: Where, duration: float) -> list[str]:
        """Return nothing: an init that succeeds is told by the REPORT line."""
        return []

    def init_report(self, where: Where, duration: float, phase: str, status: str, error_type: str) -> list[str]:
        """Return the line of an init that failed; `duration` in milliseconds (row D72)."""
        error = f"\tError Type: {error_type}" if error_type else ""
        return [f"INIT_REPORT Init Duration: {duration:.2f} ms\tPhase: {phase}\tStatus: {status}{error}\n"]

    def start(self, where: Where, request_id: str, arn: str) -> list[str]:
        """Return the line before the handler's first (row D64)."""
        return [f"START RequestId: {request_id} Version: {where.version}\n"]

    def end(self, report: Report) -> list[str]:
        """Return the lines after the handler's last (rows D64 to D66)."""
        parts = [
            f"REPORT RequestId: {report.request_id}",
            f"Duration: {report.duration:.2f} ms",
            f"Billed Duration: {report.billed} ms",
            f"Memory Size: {report.memory_size} MB",
            f"Max Memory Used: {report.memory_used} MB",
        ]
        if report.init is not None:
            parts.append(f"Init Duration: {report.init:.2f} ms")
        if report.status != "success":
            parts.append(f"Status: {report.status}")
            if report.error_type:
                parts.append(f"Error Type: {report.error_type}")
            line = "\t".join(parts) + "\n"
        else:
            line = "\t".join(parts) + "\t\n"
        return [f"END RequestId: {report.request_id}\n", line]


class JsonLines(TextLines):
    """The platform's lines in the JSON format (row D71).

    Parameters
    ----------
    level : str
        The function's SystemLogLevel: WARN tells of failures only, INFO of the start and the end besides, DEBUG of
        each phase's end too.
    """

    def __init__(self, level: str) -> None:
        self._quiet = level == "WARN"
        self._debug = level == "DEBUG"

    def init_start(self, where: Where) -> list[str]:
        """Return `platform.initStart`."""
        record = {
            "initializationType": "on-demand",
            "phase": "init",
            "runtimeVersion": where.runtime,
            "runtimeVersionArn": where.runtime_arn,
            "functionName": where.function,
            "functionVersion": where.version,
            "instanceId": where.instance,
            "instanceMaxMemory": where.memory * 1024 * 1024,
        }
        return [] if self._quiet else [_platform("platform.initStart", where.now(), record)]

    def init_done(self, where: Where, duration: float) -> list[str]:
        """Return `platform.initRuntimeDone` and `platform.initReport` of an init that succeeded."""
        return self._init_ended(where, duration, "init", "success", "") if self._debug else []

    def init_report(self, where: Where, duration: float, phase: str, status: str, error_type: str) -> list[str]:
        """Return `platform.initRuntimeDone` and `platform.initReport` of an init that failed: told at every level."""
        return self._init_ended(where, duration, phase, status, error_type)

    def _init_ended(self, where: Where, duration: float, phase: str, status: str, error_type: str) -> list[str]:
        record: dict[str, Any] = {"initializationType": "on-demand", "phase": phase, "status": status}
        if error_type:
            record["errorType"] = error_type
        report = {**record, "metrics": {"durationMs": round(duration, 3)}}
        now = where.now()
        return [_platform("platform.initRuntimeDone", now, record), _platform("platform.initReport", now, report)]

    def start(self, where: Where, request_id: str, arn: str) -> list[str]:
        """Return `platform.start`."""
        record = {"requestId": request_id, "functionArn": arn, "version": where.version}
        self._now = where.now
        return [] if self._quiet else [_platform("platform.start", where.now(), record)]

    def end(self, report: Report) -> list[str]:
        """Return `platform.report`, and before it `platform.runtimeDone` at DEBUG and for failures; there is no END."""
        metrics: dict[str, float] = {
            "durationMs": round(report.duration, 3),
            "billedDurationMs": report.billed,
            "memorySizeMB": report.memory_size,
            "maxMemoryUsedMB": report.memory_used,
        }
        if report.init is not None:
            metrics["initDurationMs"] = round(report.init, 3)
        record: dict[str, Any] = {"requestId": report.request_id, "metrics": metrics, "status": report.status}
        if report.error_type:
            record["errorType"] = report.error_type
        failed = report.status != "success"
        events = []
        if self._debug or failed:
            done = {**record, "metrics": {"durationMs": metrics["durationMs"], "producedBytes": report.produced}}
            events.append(_platform("platform.runtimeDone", self._now(), done))
        if failed or not self._quiet:
            events.append(_platform("platform.report", self._now(), record))
        return events


@dataclass(frozen=True)
class Where:
    """Which environment of which function writes.

    Attributes
    ----------
    function, version, runtime, runtime_arn, instance : str
        Names as they stand in the lines; `runtime` such as `python:3.13.v1`.
    memory : int
        MemorySize in megabytes.
    now : callable
        The space's time in seconds since the epoch.
    """

    function: str
    version: str
    runtime: str
    runtime_arn: str
    instance: str
    memory: int
    now: Any


def iso(seconds: float) -> str:
    """Write a moment as `2026-01-01T00:00:00.123Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _platform(kind: str, now: float, record: dict[str, Any]) -> str:
    return json.dumps({"time": iso(now), "type": kind, "record": record}, separators=(",", ":")) + "\n"
