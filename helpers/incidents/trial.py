"""What drills share: counts that anybody can see, time that passes quietly, fresh traffic to judge a repair by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .. import messages, metrics, recorder, resources
from ..errors import LabError
from ..exercises import evidence

if TYPE_CHECKING:
    import pandas

    from ..lab import Lab

OPEN = ("delayed", "waiting", "in flight")
"""The states of a message that has not come to its end."""

ENDLESS = 100
"""Runs of one message after which a check has seen enough."""

EVENING = 22
"""The hour, in UTC, in which a drill of a night begins."""


def let_pass(lab: Lab, seconds: float, why: str) -> None:
    """Let minutes pass; a line is shown only if they are long on this machine."""
    lab.wait(seconds, why, quiet=True)


def until_evening(lab: Lab) -> None:
    """Let time pass until it is evening."""
    now = lab.now()
    evening = now.replace(hour=EVENING, minute=0, second=0, microsecond=0)
    let_pass(lab, (evening - now).total_seconds() % 86_400, "until the evening")


def counted(lab: Lab, names: Sequence[str], since: datetime, *, function: str = "", queue: str = "") -> tuple[int, ...]:
    """Return what CloudWatch counted since the minute of a moment: sums of a function's or of a queue's metrics."""
    start = minute(since)
    if function:
        points = metrics.points(lab, "AWS/Lambda", names, start=start, statistic="Sum", FunctionName=lab.name(function))
    else:
        points = metrics.points(lab, "AWS/SQS", names, start=start, statistic="Sum", QueueName=lab.name(queue))
    return tuple(int(points[name].sum()) for name in names)


def minute(moment: datetime) -> datetime:
    """Return the beginning of a moment's minute: a point belongs to a whole one."""
    return moment.replace(second=0, microsecond=0)


def held(lab: Lab, queue: str) -> int:
    """Return how many messages a queue holds, visible or in flight; 0 when there is no such queue."""
    depth = evidence.depth(lab, queue)
    return depth.visible + depth.in_flight if depth else 0


def attributes(lab: Lab, queue: str) -> dict[str, str]:
    """Return all attributes of a queue."""
    sqs = lab.client("sqs")
    url = sqs.get_queue_url(QueueName=lab.name(queue))["QueueUrl"]
    found: dict[str, str] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return found


def receives(kept: dict[str, str]) -> int | None:
    """Return the receives that a queue's redrive policy allows, or None without one."""
    return int(json.loads(kept["RedrivePolicy"])["maxReceiveCount"]) if "RedrivePolicy" in kept else None


def triggers(lab: Lab, queue: str) -> list[dict[str, Any]]:
    """Return the mappings that read a queue, whatever their functions."""
    arn = attributes(lab, queue)["QueueArn"]
    found: list[dict[str, Any]] = lab.client("lambda").list_event_source_mappings(EventSourceArn=arn)[
        "EventSourceMappings"
    ]
    return [one for one in found if one["State"] != "Deleting"]


def printed(lab: Lab, functions: Iterable[str], key: str) -> list[Any]:
    """Return what stands under a key in the JSON lines that functions printed, in the order of their runs."""
    found = []
    for function in functions:
        for line in (line for run in evidence.runs(lab, function) for line in run.lines):
            if line.startswith("{"):
                value = json.loads(line).get(key)
                found += [] if value is None else [value]
    return found


class Fresh:
    """Fresh traffic into a queue that was repaired, and what became of it.

    Parameters
    ----------
    lab : Lab
        Where.
    queue : str
        The queue that producers send to.
    """

    def __init__(self, lab: Lab, queue: str) -> None:
        self._lab = lab
        # A queue that is not there is AWS's to report; `resources.queue` would make it.
        attributes(lab, queue)
        self.queue = resources.queue(lab, queue)
        lab.wait_until(
            lambda: all(one["State"] in ("Enabled", "Disabled") for one in triggers(lab, queue)),
            120,
            "the triggers have taken their settings",
        )
        self.since = lab.now()
        self.first = int(self.since.timestamp()) % 1_000_000 * 100
        self.ids: list[str] = []

    def orders(self, count: int, **fields: Any) -> list[dict[str, Any]]:
        """Return good orders with numbers of their own."""
        return [{"order": self.first + number, "price": 4.5, "quantity": 2, **fields} for number in range(count)]

    def send(self, bodies: Sequence[Any], **options: Any) -> None:
        """Send bodies as `messages.send_many` does."""
        report = messages.send_many(self.queue, bodies, **options)
        self.ids += [report.sent[position] for position in sorted(report.sent)]

    def settle(self, seconds: float) -> None:
        """Wait until the queue is empty, the time is up, or a message runs without end."""
        lab = self._lab
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        # A message that is hidden for hardly any time may run many thousand times.
        soon = int(attributes(lab, self.queue.name)["VisibilityTimeout"]) <= 1

        def over() -> bool:
            answer = lab.client("sqs").get_queue_attributes(QueueUrl=self.queue.url, AttributeNames=names)
            return not any(int(count) for count in answer["Attributes"].values())

        def endless() -> bool:
            if not soon:
                return False
            log = self.log()
            runs = log.loc[log["event"] == "invoked", "message"].value_counts()
            return len(runs) > 0 and int(runs.iloc[0]) > ENDLESS

        with suppress(LabError):
            lab.wait_until(lambda: over() or endless(), seconds, "the check's fresh messages are through")
        # A message may leave its queue while a run of it is under way.
        let_pass(lab, 5, "the last run has ended")

    def log(self) -> pandas.DataFrame:
        """Return what the recorder has of this traffic."""
        log = self._lab.recorder(since=self.since)
        return log[log["message"].isin(self.ids)]

    def table(self) -> pandas.DataFrame:
        """Return a row a message, in the order of sending."""
        return recorder.messages(self.log()).reindex(self.ids)

    def parked(self) -> bool:
        """Return whether something was sent to another queue since the check began."""
        log = self._lab.recorder(since=self.since)
        return bool(((log["event"] == "sent") & (log["queue"] != self.queue.name)).any())
