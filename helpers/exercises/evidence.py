"""What checks look at: a function's runs in its log, a queue's counts, the trigger between the two."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..errors import is_missing
from ..guard import own_part
from ..recorder_footer import is_line

if TYPE_CHECKING:
    from ..lab import Lab

_START = re.compile(r"START RequestId: (\S+)")
_ERROR = re.compile(r"\[ERROR\]\s+(.+)")
_STATUS = re.compile(r"\tStatus: (\w+)(?:\tError Type: (\S+))?")


@dataclass
class Run:
    """One invocation, as the function's log tells it.

    Attributes
    ----------
    request_id : str
        The invocation's id.
    started : float
        Seconds since the epoch.
    lines : list of str
        What the handler wrote, without what the flight recorder adds to it on a real account.
    error : str
        What went wrong, such as `KeyError: 'body'`; empty for a run that succeeded.
    ended : bool
        Whether its report has been written.
    stream : str
        The log stream that it wrote to: its environment's.
    """

    request_id: str
    started: float
    lines: list[str] = field(default_factory=list)
    error: str = ""
    ended: bool = False
    stream: str = ""


@dataclass(frozen=True)
class Depth:
    """How many messages a queue holds.

    Attributes
    ----------
    visible, in_flight : int
        Waiting to be received; received and not deleted.
    visibility_timeout : int
        Seconds that a received message stays hidden.
    """

    visible: int
    in_flight: int
    visibility_timeout: int


def runs(lab: Lab, function: str) -> list[Run]:
    """Return a function's invocations, oldest first; none when it has no log yet."""
    from botocore.exceptions import ClientError

    logs = lab.client("logs")
    group = f"/aws/lambda/{lab.name(own_part(function))}"
    found: list[Run] = []
    try:
        for page in logs.get_paginator("describe_log_streams").paginate(logGroupName=group):
            for stream in page["logStreams"]:
                name = stream["logStreamName"]
                found += [replace(run, stream=name) for run in _parse(_events(logs, group, name))]
    except ClientError as problem:
        if not is_missing(problem):
            raise
    return sorted(found, key=lambda run: run.started)


def depth(lab: Lab, queue: str) -> Depth | None:
    """Return how many messages a queue holds, or None when there is no such queue."""
    from botocore.exceptions import ClientError

    sqs = lab.client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "VisibilityTimeout"]
    try:
        url = sqs.get_queue_url(QueueName=lab.name(_queue_name(queue)))["QueueUrl"]
        values = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    except ClientError as problem:
        if not is_missing(problem):
            raise
        return None
    return Depth(*(int(values[name]) for name in names))


def dead_letters(lab: Lab, queue: str) -> tuple[int, int]:
    """Return how many receives a queue's redrive policy allows, and how many messages its dead-letter queue holds."""
    sqs = lab.client("sqs")
    url = sqs.get_queue_url(QueueName=lab.name(_queue_name(queue)))["QueueUrl"]
    kept = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"]).get("Attributes", {})
    policy = json.loads(kept.get("RedrivePolicy", "{}"))
    held = depth(lab, policy["deadLetterTargetArn"]) if policy else None
    return int(policy.get("maxReceiveCount", 0)), held.visible + held.in_flight if held else 0


def made(lab: Lab, queue: str) -> datetime | None:
    """Return when a queue was made, in whole seconds, or None when there is no such queue."""
    from botocore.exceptions import ClientError

    sqs = lab.client("sqs")
    try:
        url = sqs.get_queue_url(QueueName=lab.name(_queue_name(queue)))["QueueUrl"]
        values = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["CreatedTimestamp"])["Attributes"]
    except ClientError as problem:
        if not is_missing(problem):
            raise
        return None
    return datetime.fromtimestamp(int(values["CreatedTimestamp"]), UTC)


def changed(lab: Lab, function: str) -> float | None:
    """Return when a function's code was last changed, in seconds since the epoch, or None without such a function."""
    from botocore.exceptions import ClientError

    try:
        answer = lab.client("lambda").get_function_configuration(FunctionName=lab.name(own_part(function)))
    except ClientError as problem:
        if not is_missing(problem):
            raise
        return None
    return datetime.strptime(answer["LastModified"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()


def mapping(lab: Lab, queue: str, function: str) -> dict[str, Any] | None:
    """Return the trigger between a queue and a function, an enabled one first, or None when there is none."""
    wanted = lab.name(_queue_name(queue))
    pages = (
        lab.client("lambda")
        .get_paginator("list_event_source_mappings")
        .paginate(FunctionName=lab.name(own_part(function)))
    )
    found: list[dict[str, Any]] = [
        one
        for page in pages
        for one in page["EventSourceMappings"]
        if one.get("EventSourceArn", "").rpartition(":")[2] == wanted
    ]
    return min(found, key=lambda one: one["State"] != "Enabled", default=None)


def trigger_state(lab: Lab, queue: str, function: str) -> str:
    """Return the state of the trigger between a queue and a function, such as `Enabled`; empty when there is none."""
    found = mapping(lab, queue, function)
    return found["State"] if found else ""


def rings(lab: Lab, alarm: str, since: datetime) -> list[datetime]:
    """Return when an alarm went to ALARM, oldest first."""
    pages = (
        lab.client("cloudwatch")
        .get_paginator("describe_alarm_history")
        .paginate(AlarmName=alarm, HistoryItemType="StateUpdate")
    )
    items = [item for page in pages for item in page["AlarmHistoryItems"]]
    return sorted(
        item["Timestamp"]
        for item in items
        if item["Timestamp"] >= since and json.loads(item["HistoryData"])["newState"]["stateValue"] == "ALARM"
    )


def _queue_name(queue: str) -> str:
    return queue.rpartition("/")[2].rpartition(":")[2]


def _events(logs: Any, group: str, stream: str) -> list[dict[str, Any]]:
    # Only this call keeps the order of lines of the same millisecond. Its last page repeats its own token.
    events: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    while True:
        page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, **token)
        events += page["events"]
        if page["nextForwardToken"] == token.get("nextToken"):
            return events
        token = {"nextToken": page["nextForwardToken"]}


def _parse(events: list[dict[str, Any]]) -> list[Run]:
    found: list[Run] = []
    before = ""
    for event in events:
        text = event["message"].rstrip("\n")
        if start := _START.match(text):
            found.append(Run(start[1], event["timestamp"] / 1000, error=before))
            before = ""
        elif error := _ERROR.match(text):
            # An error while the module is imported is logged before the run that meets it.
            if found and not found[-1].ended:
                found[-1].error = error[1]
            else:
                before = error[1]
        elif text.startswith("REPORT RequestId:") and found:
            found[-1].ended = True
            if (status := _STATUS.search(text)) and not found[-1].error:
                found[-1].error = "it timed out" if status[1] == "timeout" else (status[2] or status[1])
        elif found and not found[-1].ended and not text.startswith(("END RequestId:", "INIT_START")):
            if is_line(text):
                continue
            if "Task timed out after" in text and not found[-1].error:
                found[-1].error = "it timed out"
            found[-1].lines.append(text)
    return found
