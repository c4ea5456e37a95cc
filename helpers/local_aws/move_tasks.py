"""Tasks that move the messages of a dead-letter queue back (rows A76 to A84)."""

from __future__ import annotations

import base64
import json
import uuid
from typing import TYPE_CHECKING, Any

from . import sqs_errors as errors
from .clock import Timer

if TYPE_CHECKING:
    from .queue_store import Queue
    from .queues import Queues

DEFAULT_RATE = 500
MAXIMUM_RATE = 500
MAXIMUM_ACTIVE = 100
"""Row A84."""
_STEP = 0.1
_NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"
_NO_SOURCE = "CouldNotDetermineMessageSource"


class MoveTask:
    """One task. It moves as many messages as were visible when it began.

    Parameters
    ----------
    source : Queue
        The dead-letter queue.
    destination_arn : str or None
        Where the messages go; None sends each back to the queue that it came from.
    rate : int or None
        Messages per second; None leaves the choice to SQS.
    """

    def __init__(self, source: Queue, destination_arn: str | None, rate: int | None, now: float) -> None:
        self.source_arn = source.arn
        self.destination_arn = destination_arn
        self.rate = rate
        self.started = now
        self.to_move = source.visible
        self.moved = 0
        self.status = "RUNNING"
        self.failure = ""
        self.timer: Timer | None = None
        self.allowance = 0.0
        content = {"taskId": str(uuid.uuid4()), "sourceArn": source.arn}
        self.handle = base64.b64encode(json.dumps(content).encode()).decode()

    @property
    def active(self) -> bool:
        """Whether it still moves messages."""
        return self.status in ("RUNNING", "CANCELLING")

    @property
    def step(self) -> float:
        """Seconds between two moves of one or more messages."""
        return max(_STEP, 1.0 / (self.rate or DEFAULT_RATE))

    def describe(self) -> dict[str, Any]:
        """Return the entry that ListMessageMoveTasks shows (row A81)."""
        entry: dict[str, Any] = {"TaskHandle": self.handle} if self.status == "RUNNING" else {}
        entry |= {"Status": self.status, "SourceArn": self.source_arn}
        if self.destination_arn is not None:
            entry["DestinationArn"] = self.destination_arn
        if self.rate is not None:
            entry["MaxNumberOfMessagesPerSecond"] = self.rate
        entry["ApproximateNumberOfMessagesMoved"] = self.moved
        entry["ApproximateNumberOfMessagesToMove"] = self.to_move
        if self.failure:
            entry["FailureReason"] = self.failure
        entry["StartedTimestamp"] = int(self.started * 1000)
        return entry


class MoveTasks:
    """All tasks of a space, in the order in which they were started."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._tasks: list[MoveTask] = []

    def start(self, source_arn: str, destination_arn: str | None, rate: int | None) -> MoveTask:
        """Start a task.

        Raises
        ------
        ApiError
            For an unknown queue, a source that is no dead-letter queue, or a second task on it (rows A77 to A79).
        """
        if rate is not None and not 1 <= rate <= MAXIMUM_RATE:
            reason = f"Value must be between 1 and {MAXIMUM_RATE}."
            raise errors.invalid_value(rate, "MaxNumberOfMessagesPerSecond", reason)
        source = self._queue(source_arn, "SourceArn")
        if destination_arn is not None:
            destination = self._queue(destination_arn, "DestinationArn")
            if destination is source:
                raise errors.invalid_parameter("Source queue arn and destination queue arn cannot be the same.")
            if destination.fifo != source.fifo:
                raise errors.invalid_parameter("Source and destination have to be queues of the same type.")
        if not self._queues.sources_of(source):
            raise errors.invalid_parameter("Source queue must be configured as a Dead Letter Queue.")
        if any(task.active and task.source_arn == source_arn for task in self._tasks):
            raise errors.invalid_parameter(
                "There is already a task running. "
                "Only one active task is allowed for a source queue arn at a given time."
            )
        if sum(task.active for task in self._tasks) >= MAXIMUM_ACTIVE:
            raise errors.over_limit(f"No more than {MAXIMUM_ACTIVE} message move tasks can be active.")
        source.touch()
        source.settle()
        task = MoveTask(source, destination_arn, rate, self._queues.space.clock.now())
        self._tasks.append(task)
        self._schedule(task)
        return task

    def cancel(self, handle: str) -> int:
        """Cancel a task and return how many messages it has moved (row A80).

        Raises
        ------
        ApiError
            For a text that is no handle, and for a task that is unknown or no longer running.
        """
        source_arn = self.source_of(handle)
        if self._queues.by_arn(source_arn) is None:
            raise errors.not_found("The resource that you specified for the SourceArn parameter doesn't exist.")
        task = next((task for task in self._tasks if task.handle == handle), None)
        if task is None:
            raise errors.not_found("Task does not exist.")
        if task.status != "RUNNING":
            raise errors.invalid_parameter("Only active tasks can be cancelled.")
        task.status = "CANCELLING"
        return task.moved

    def of(self, source_arn: str, limit: int) -> list[MoveTask]:
        """Return the latest tasks of a queue, newest first (row A81).

        Raises
        ------
        ApiError
            For an unknown queue.
        """
        self._queue(source_arn, "SourceArn").touch()
        return [task for task in reversed(self._tasks) if task.source_arn == source_arn][:limit]

    @staticmethod
    def source_of(handle: str) -> str:
        """Return the ARN of the queue in a task's handle.

        Raises
        ------
        ApiError
            For a text that is no handle.
        """
        try:
            content = json.loads(base64.b64decode(handle.encode("ascii"), validate=True))
            return str(content["sourceArn"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise errors.invalid_parameter("Value for parameter TaskHandle is invalid.") from None

    def _queue(self, arn: str, parameter: str) -> Queue:
        queue = self._queues.by_arn(arn)
        if queue is None:
            raise errors.not_found(f"The resource that you specified for the {parameter} parameter doesn't exist.")
        return queue

    def _schedule(self, task: MoveTask) -> None:
        task.timer = self._queues.space.scheduler.after(task.step, lambda: self._work(task))

    def _work(self, task: MoveTask) -> None:
        if task.status == "CANCELLING":
            task.status = "CANCELLED"
            return
        source = self._queues.by_arn(task.source_arn)
        if source is None:
            self._fail(task, _NO_QUEUE)
            return
        task.allowance += task.step * (task.rate or DEFAULT_RATE)
        fed: dict[Queue, None] = {}
        while task.allowance > 1 - 1e-6 and task.moved < task.to_move and task.status == "RUNNING":
            task.allowance -= 1
            if not self._move_one(task, source, fed):
                break
        for queue in fed:
            queue.serve()
        if task.status != "RUNNING":
            return
        if task.moved >= task.to_move or not source.visible:
            task.status = "COMPLETED"
        else:
            self._schedule(task)

    def _move_one(self, task: MoveTask, source: Queue, fed: dict[Queue, None]) -> bool:
        arn = task.destination_arn
        first = source.peek()
        if first is None:
            return False
        if arn is None:
            arn = first.source_arn
            if arn is None:
                self._fail(task, _NO_SOURCE)
                return False
        destination = self._queues.by_arn(arn)
        if destination is None:
            self._fail(task, _NO_QUEUE)
            return False
        message = source.extract(first)
        old = message.message_id
        message.renew(self._queues.space.clock.now())
        self._queues.space.events.publish(
            "redriven", message=message.message_id, queue=destination.name, group=message.group_id, outcome=old
        )
        destination.adopt(message)
        fed[destination] = None
        task.moved += 1
        return True

    def _fail(self, task: MoveTask, reason: str) -> None:
        task.status = "FAILED"
        task.failure = reason
