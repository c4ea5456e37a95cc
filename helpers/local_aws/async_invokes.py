"""Asynchronous invocations: the queue between the caller and the function, retries, and where the losses go."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .errors import ApiError
from .functions import LATEST, FunctionVersion, Outcome, Throttled
from .messages import Draft
from .recursion import RecursiveInvocation

if TYPE_CHECKING:
    from .space import Space

RETRY_PAUSES = (60.0, 120.0)
"""Seconds before the second and the third try of an event whose function failed (row D34)."""
LONGEST_AGE = 21_600
"""Seconds for which an event is tried (row D35)."""
_FIRST_THROTTLE_PAUSE = 1.0
_LONGEST_THROTTLE_PAUSE = 300.0


def send_event(version: FunctionVersion, payload: bytes, trace: str | None = None) -> str:
    """Take an event for a later invocation, and return its request id, which all tries keep (row D38).

    Parameters
    ----------
    version : FunctionVersion
        What is invoked, as it was addressed.
    payload : bytes
        The event, as JSON.
    trace : str, optional
        The trace header of the call that brought it.
    """
    event = _Event(version, payload, trace)
    event.space.scheduler.after(0, event.attempt)
    return event.request_id


class _Event:
    """One event and its tries."""

    def __init__(self, version: FunctionVersion, payload: bytes, trace: str | None) -> None:
        self.function = version.function
        self.space: Space = version.function.space
        self.request_id = str(uuid.uuid4())
        self._qualifier = version.qualifier
        self._payload = payload
        self._trace = trace
        self._received = self.space.clock.now()
        self._tries = 0
        self._pause = _FIRST_THROTTLE_PAUSE
        config = self.function.event_configs.get(version.qualifier or LATEST, {})
        self._most_retries = config.get("MaximumRetryAttempts", 2)
        self._give_up = self._received + config.get("MaximumEventAgeInSeconds", LONGEST_AGE)
        self._destinations: dict[str, Any] = config.get("DestinationConfig", {})
        self._count("AsyncEventsReceived", 1)

    def attempt(self) -> None:
        """Invoke the function; a throttled try comes again and does not count as one."""
        if self.space.clock.now() > self._give_up:
            self._lost("EventAgeExceeded", None)
            return
        try:
            version = self.space.functions.resolve(self.function.name, self._qualifier)
            traces = (self._trace,)
            version.invoke(self._payload, self._done, source="event", request_id=self.request_id, traces=traces)
        except Throttled:
            self._again(self._pause)
            self._pause = min(self._pause * 2, _LONGEST_THROTTLE_PAUSE)
        except RecursiveInvocation:
            self._lost("RetriesExhausted", None)
        except ApiError as problem:
            # A function that has been deleted gets nothing any more; one that is not ready, later.
            if problem.code == "ResourceConflictException":
                self._again(self._pause)

    def _again(self, pause: float) -> None:
        if self.space.clock.now() + pause > self._give_up:
            self._lost("EventAgeExceeded", None)
        else:
            self.space.scheduler.after(pause, self.attempt)

    def _done(self, outcome: Outcome) -> None:
        self._tries += 1
        if self._tries == 1:
            self._count("AsyncEventAge", (self.space.clock.now() - self._received) * 1000, "Milliseconds")
        if outcome.error is None:
            self._deliver("OnSuccess", "Success", outcome)
        elif self._tries <= self._most_retries:
            self._again(RETRY_PAUSES[self._tries - 1])
        else:
            self._lost("RetriesExhausted", outcome)

    def _lost(self, condition: str, outcome: Outcome | None) -> None:
        self._count("AsyncEventsDropped", 1)
        self._deliver("OnFailure", condition, outcome)
        target = self.function.latest.configuration.dead_letter
        if target is not None:
            message = "" if outcome is None else str(_json(outcome.payload, {}).get("errorMessage", ""))
            attributes = {
                "RequestID": {"DataType": "String", "StringValue": self.request_id},
                "ErrorCode": {"DataType": "Number", "StringValue": "200"},
                "ErrorMessage": {"DataType": "String", "StringValue": message or "-"},
            }
            self._send(target, self._payload.decode("utf-8", "replace"), attributes, "DeadLetterErrors")

    def _deliver(self, which: str, condition: str, outcome: Outcome | None) -> None:
        """Send the record of the event's end to its destination (row D36)."""
        target = (self._destinations.get(which) or {}).get("Destination")
        if not target:
            return
        moment = datetime.fromtimestamp(self.space.clock.now(), UTC)
        record: dict[str, Any] = {
            "version": "1.0",
            "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "requestContext": {
                "requestId": self.request_id,
                "functionArn": f"{self.function.arn}:{self._qualifier or LATEST}",
                "condition": condition,
                "approximateInvokeCount": self._tries,
            },
            "requestPayload": _json(self._payload, None),
        }
        if outcome is not None:
            record["responseContext"] = {"statusCode": 200, "executedVersion": outcome.version}
            if outcome.error is not None:
                record["responseContext"]["functionError"] = outcome.error
            record["responsePayload"] = _json(outcome.payload, None)
        self._send(target, json.dumps(record, separators=(",", ":")), {}, "DestinationDeliveryFailures")

    def _send(self, target: str, body: str, attributes: dict[str, Any], failures: str) -> None:
        """Send to a queue with the execution role's rights."""
        queue = self.space.queues.by_arn(target) if ":sqs:" in target else None
        role = self.function.latest.configuration.role
        if queue is None or not self.space.permissions.role_allows(role, "sqs:SendMessage", target):
            self._count(failures, 1)
            return
        queue.send(Draft(body, attributes), role.rpartition("/")[2])

    def _count(self, metric: str, value: float, unit: str = "Count") -> None:
        self.space.metrics.add("AWS/Lambda", metric, {"FunctionName": self.function.name}, value, unit)


def _json(payload: bytes, default: Any) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return default
