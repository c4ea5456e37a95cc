"""What goes into the model: what arrives and what it costs, and the settings by AWS's names."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from .. import facts, recorder
from ..errors import LabError

if TYPE_CHECKING:
    import pandas

RECEIVE = 10
"""Messages that one receive returns at most."""
WINDOW_MARGIN = 30.0
"""Seconds that are added when window and timeout exceed the visibility timeout (row C76)."""


@dataclass(frozen=True, repr=False)
class Workload:
    """What arrives, and what a run does with it.

    Attributes
    ----------
    per_minute : tuple of int
        Messages sent in each minute, evenly.
    backlog : int
        Messages that wait when the trigger opens.
    duration : float
        Seconds that a run lasts.
    duration_per_message : float
        Seconds that each message of its batch adds to it.
    cold_start : float
        Seconds more for the first run of each environment.
    failures : float
        Which share of the runs fails, by chance.
    bytes : int
        The size of a message.
    groups : int
        Message groups of a FIFO queue; messages go to them in turns.
    """

    per_minute: tuple[int, ...] = ()
    backlog: int = 0
    duration: float = 0.5
    duration_per_message: float = 0.0
    cold_start: float = 0.0
    failures: float = 0.0
    bytes: int = 1_000
    groups: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "per_minute", tuple(self.per_minute))
        if any(not _is_count(number) for number in (*self.per_minute, self.backlog, self.groups)):
            raise LabError("Messages and groups are whole numbers from 0 on.", "", "Write per_minute=(1_000_000,).")
        if not self.messages:
            raise LabError("This workload has no message.", "", "Give it per_minute=(60_000,) or backlog=40.")
        if min(self.duration, self.duration_per_message, self.cold_start) < 0 or self.run_lasts(1) <= 0:
            raise LabError("A run lasts longer than 0 s.", "", "Write duration=0.5.")
        if not 0 <= self.failures <= 1:
            raise LabError(f"failures is a share from 0 to 1, not {self.failures}.")

    @classmethod
    def of(cls, log: pandas.DataFrame, **changes: Any) -> Workload:
        """Return a log's messages as a backlog, with the lengths of its runs and cold starts as they were.

        Parameters
        ----------
        log : pandas.DataFrame
            As `lab.recorder(queue=…)` returns it: of one queue, of messages that waited when the trigger opened.
        **changes
            What is otherwise than in the log.

        Raises
        ------
        LabError
            When no run has ended in it.
        """
        runs = recorder.invocations(log)
        lasted = (runs["end"] - runs["accepted"]).dt.total_seconds()
        ended = runs["end"].notna()
        if not ended.any():
            raise LabError("No run has ended in this log yet.", "", "Let the messages be handled first.")
        warm = lasted[ended & ~runs["cold"]]
        usual = float(warm.mean() if len(warm) else runs.loc[ended, "duration_s"].mean())
        first = lasted[ended & runs["cold"]]
        found = {
            "backlog": int((log["event"] == "sent").sum()),
            "duration": round(usual, 3),
            "cold_start": round(max(0.0, float(first.mean()) - usual), 3) if len(first) else 0.0,
            "groups": int(log["group"].dropna().nunique()),
        }
        return cls(**{**found, **changes})

    @property
    def messages(self) -> int:
        """How many messages there are in all."""
        return sum(self.per_minute) + self.backlog

    def run_lasts(self, batch: float) -> float:
        """Return how many seconds a warm run of a batch lasts."""
        return self.duration + self.duration_per_message * batch

    def __repr__(self) -> str:
        return _said(self)


@dataclass(frozen=True, repr=False)
class Setup:
    """The settings of queue, trigger and function, by AWS's names.

    Attributes
    ----------
    batch_size, maximum_batching_window_in_seconds : int
        Of the trigger.
    maximum_concurrency : int, optional
        The trigger's own cap.
    minimum_pollers, maximum_pollers : int, optional
        Of its provisioned mode; one of them is enough to switch it on.
    reserved_concurrent_executions : int, optional
        The function's share of the account.
    timeout : float
        The function's, in seconds: a run that needs longer fails then.
    visibility_timeout : float
        The queue's, in seconds.
    max_receive_count : int, optional
        Of its redrive policy; without it nothing becomes a dead letter.
    fifo : bool
        Whether it is a FIFO queue.
    account_concurrency : int, optional
        What the account has in the Region; AWS's default without it.
    """

    batch_size: int = 10
    maximum_batching_window_in_seconds: int = 0
    maximum_concurrency: int | None = None
    minimum_pollers: int | None = None
    maximum_pollers: int | None = None
    reserved_concurrent_executions: int | None = None
    timeout: float = 3
    visibility_timeout: float = 30
    max_receive_count: int | None = None
    fifo: bool = False
    account_concurrency: int | None = None

    def __post_init__(self) -> None:
        for name, low, high in self._ranges():
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and low <= value <= high):
                raise LabError(f"{name} is {value!r}; AWS allows {low:,} to {high:,}.")
        if self.batch_size > RECEIVE and not self.maximum_batching_window_in_seconds:
            raise LabError(
                f"A batch size of {self.batch_size:,} needs a window.", "", "maximum_batching_window_in_seconds=1, say."
            )
        if self.maximum_concurrency is not None and self.provisioned:
            raise LabError("Provisioned pollers exclude maximum_concurrency.", "", "maximum_pollers is their cap.")
        reserved = self.reserved_concurrent_executions
        if self.maximum_concurrency is not None and reserved is not None and self.maximum_concurrency > reserved:
            raise LabError(
                f"MaximumConcurrency: {self.maximum_concurrency} is greater than what is reserved: {reserved}."
            )
        if self.visibility_timeout < self.timeout:
            raise LabError(
                f"Queue visibility timeout: {self.visibility_timeout} seconds is less than "
                f"Function timeout: {self.timeout} seconds"
            )

    def _ranges(self) -> list[tuple[str, float, float]]:
        quota = facts.quota
        window = 0 if self.fifo else quota("trigger.window").value
        batch = quota("trigger.batch_size_fifo" if self.fifo else "trigger.batch_size").value
        least, most = quota("trigger.maximum_concurrency_least").value, quota("trigger.maximum_concurrency_most").value
        low = facts.rate("trigger.provisioned_start").value
        return [
            ("batch_size", 1, batch),
            ("maximum_batching_window_in_seconds", 0, window),
            ("maximum_concurrency", least, most),
            ("minimum_pollers", low, quota("trigger.provisioned_minimum_pollers").value),
            ("maximum_pollers", self.minimum_pollers or low, quota("trigger.provisioned_maximum_pollers").value),
            ("reserved_concurrent_executions", 0, self.account),
            ("timeout", 1, quota("lambda.timeout").value),
            ("visibility_timeout", 0, quota("sqs.visibility_timeout").value),
            ("max_receive_count", 1, 1000),
            ("account_concurrency", 1, 10**7),
        ]

    @property
    def account(self) -> int:
        """Runs that the account may have at once."""
        return int(self.account_concurrency or facts.quota("account.concurrency").value)

    @property
    def provisioned(self) -> bool:
        """Whether the trigger has pollers of its own."""
        return self.minimum_pollers is not None or self.maximum_pollers is not None

    @property
    def pollers(self) -> tuple[int, int]:
        """The least and the most pollers of provisioned mode, with AWS's defaults."""
        least = self.minimum_pollers or int(facts.rate("trigger.provisioned_start").value)
        return least, self.maximum_pollers or max(least, int(facts.rate("trigger.provisioned_most").value))

    @property
    def first(self) -> int:
        """Batches that the trigger handles at once from the start."""
        if self.provisioned:
            return self.pollers[0] * int(facts.rate("trigger.poller_runs").value)
        return min(int(facts.rate("trigger.start").value), self.most)

    @property
    def most(self) -> int:
        """Batches that it may ever handle at once."""
        if self.provisioned:
            return self.pollers[1] * int(facts.rate("trigger.poller_runs").value)
        return self.maximum_concurrency or int(facts.quota("trigger.concurrency").value)

    @property
    def cap(self) -> int:
        """Runs that the function may have at once."""
        return self.account if self.reserved_concurrent_executions is None else self.reserved_concurrent_executions

    @property
    def hidden(self) -> float:
        """Seconds that a receive hides its messages."""
        needed = self.maximum_batching_window_in_seconds + self.timeout
        if self.maximum_batching_window_in_seconds and needed > self.visibility_timeout:
            return needed + WINDOW_MARGIN
        return self.visibility_timeout

    def __repr__(self) -> str:
        return _said(self)


def _said(what: Any) -> str:
    """Return what differs from the defaults, as code."""
    parts = [
        f"{one.name}={getattr(what, one.name)!r}" for one in fields(what) if getattr(what, one.name) != one.default
    ]
    return f"{type(what).__name__}({', '.join(parts)})"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
