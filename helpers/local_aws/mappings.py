"""Event source mappings: what connects a queue with a function, its states and its rules (rows C1 to C50)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import ApiError
from .filters import Pattern
from .pollers import Pollers

if TYPE_CHECKING:
    from .functions import FunctionVersion
    from .queues import Queue
    from .space import Space

SETTLING = {"Creating": 1.0, "Enabling": 1.0, "Disabling": 0.5, "Updating": 1.0, "Deleting": 1.0}
"""Seconds that each passing state lasts here. AWS promises none; a minute or more is common."""

USER_INITIATED = "USER_INITIATED"


@dataclass(frozen=True)
class Settings:
    """What can be changed of a mapping.

    Attributes
    ----------
    function_arn : str
        The function, with the qualifier that was given (row C14).
    batch_size : int
        The most records of one invocation.
    window : int
        Seconds to gather records for, 0 to invoke with what one receive returned.
    filter_patterns : tuple of str
        Patterns as JSON; a record passes that matches any.
    report_batch_item_failures : bool
        Whether the function's response says which records failed.
    maximum_concurrency : int, optional
        The most batches at once.
    provisioned : dict, optional
        MinimumPollers and MaximumPollers of provisioned mode.
    event_count_metrics : bool
        Whether the opt-in metrics are written (row F30).
    kms_key_arn : str, optional
        The key of the filter criteria (row C48).
    """

    function_arn: str
    batch_size: int = 10
    window: int = 0
    filter_patterns: tuple[str, ...] = ()
    report_batch_item_failures: bool = False
    maximum_concurrency: int | None = None
    provisioned: tuple[tuple[str, int], ...] | None = None
    event_count_metrics: bool = False
    kms_key_arn: str | None = None
    filters: tuple[Pattern, ...] = field(default=(), compare=False)

    def version(self, space: Space) -> FunctionVersion:
        """Return what is invoked now; an alias may point elsewhere tomorrow.

        Raises
        ------
        ApiError
            When the function is gone.
        """
        return space.functions.resolve(self.function_arn)


class Mapping:
    """One event source mapping.

    Attributes
    ----------
    state : str
        One of AWS's states (row C7).
    active : bool
        Whether its pollers read the queue.
    """

    def __init__(self, space: Space, queue: Queue, settings: Settings, *, enabled: bool, tags: dict[str, str]) -> None:
        self.space = space
        self.uuid = str(uuid.uuid4())
        self.queue_arn = queue.arn
        self.settings = settings
        self.tags = tags
        self.last_modified = space.clock.now()
        self.active = False
        self._enabled = enabled
        self.pollers = Pollers(space, self, settings)
        self.state = "Disabled"
        if enabled:
            self._pass_through("Creating")

    @property
    def arn(self) -> str:
        """The mapping's ARN (row C6)."""
        return self.space.arn("lambda", f"event-source-mapping:{self.uuid}")

    @property
    def passing(self) -> bool:
        """Whether it is on the way from one state to another and cannot be changed (row C10)."""
        return self.state not in ("Enabled", "Disabled")

    def update(self, settings: Settings, enabled: bool | None) -> None:
        """Take other settings; they are in force once the passing state is over (row C16)."""
        enabled = self._enabled if enabled is None else enabled
        state = "Updating"
        if enabled != self._enabled:
            state = "Enabling" if enabled else "Disabling"
        self._enabled = enabled
        self.settings = settings
        if state == "Disabling":
            self.active = False
            self.pollers.stop()
        self._pass_through(state)

    def delete(self) -> None:
        """Stop polling; the mapping is gone once `Deleting` is over."""
        self.active = False
        self.pollers.stop()
        self._pass_through("Deleting")

    def _pass_through(self, state: str) -> None:
        self.state = state
        self.last_modified = self.space.clock.now()
        self.space.scheduler.after(SETTLING[state], self._settle)

    def _settle(self) -> None:
        if self.state == "Deleting":
            self.space.mappings.forget(self)
            return
        self.active = self._enabled
        self.state = "Enabled" if self._enabled else "Disabled"
        self.pollers.apply(self.settings)

    def describe(self) -> dict[str, Any]:
        """Return the answer's members: for SQS exactly these, and the optional ones only when set (rows C2 to C4)."""
        settings = self.settings
        answer: dict[str, Any] = {
            "BatchSize": settings.batch_size,
            "EventSourceArn": self.queue_arn,
            "EventSourceMappingArn": self.arn,
            "FunctionArn": settings.function_arn,
            "FunctionResponseTypes": ["ReportBatchItemFailures"] if settings.report_batch_item_failures else [],
            "LastModified": self.last_modified,
            "MaximumBatchingWindowInSeconds": settings.window,
            "State": self.state,
            "StateTransitionReason": USER_INITIATED,
            "UUID": self.uuid,
        }
        if settings.filter_patterns:
            answer["FilterCriteria"] = {"Filters": [{"Pattern": text} for text in settings.filter_patterns]}
        if settings.maximum_concurrency is not None:
            answer["ScalingConfig"] = {"MaximumConcurrency": settings.maximum_concurrency}
        if settings.provisioned is not None:
            answer["ProvisionedPollerConfig"] = dict(settings.provisioned)
        if settings.event_count_metrics:
            answer["MetricsConfig"] = {"Metrics": ["EventCount"]}
        if settings.kms_key_arn is not None:
            answer["KMSKeyArn"] = settings.kms_key_arn
        return answer


class Mappings:
    """All event source mappings of a space."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._by_uuid: dict[str, Mapping] = {}
        space.metrics.each_minute(self._each_minute)

    def __len__(self) -> int:
        return len(self._by_uuid)

    def __iter__(self) -> Iterator[Mapping]:
        return iter(self._by_uuid.values())

    def get(self, uuid_: str) -> Mapping:
        """Return a mapping; raise `ResourceNotFoundException` (row C9) when there is none."""
        mapping = self._by_uuid.get(uuid_)
        if mapping is None:
            raise ApiError("ResourceNotFoundException", "The resource you requested does not exist.", 404)
        return mapping

    def create(self, queue: Queue, settings: Settings, *, enabled: bool, tags: dict[str, str]) -> Mapping:
        """Make a mapping; its pollers begin once it is Enabled."""
        mapping = Mapping(self.space, queue, settings, enabled=enabled, tags=tags)
        self._by_uuid[mapping.uuid] = mapping
        return mapping

    def forget(self, mapping: Mapping) -> None:
        """Take a deleted mapping off the list."""
        self._by_uuid.pop(mapping.uuid, None)

    def wake(self) -> None:
        """Let every mapping look again whether it may read: rights have changed (rows E6 and E22)."""
        for mapping in list(self):
            if mapping.active:
                mapping.pollers.wake()

    def _each_minute(self, minute: float) -> None:
        for mapping in list(self):
            mapping.pollers.each_minute(minute)
