"""What comes out of the model: tables in the columns of the flight recorder and of CloudWatch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from .. import recorder
from ..card import Card
from ..errors import LabError

if TYPE_CHECKING:
    import pandas

    from .inputs import Setup, Workload
    from .line import Piece
    from .model import Model

QUEUE, FUNCTION = "model", "model"


@dataclass
class Second:
    """What happened in one second; `most` is the most runs at once in it."""

    sent: int = 0
    received: int = 0
    runs: int = 0
    messages: int = 0
    errors: int = 0
    throttles: int = 0
    dead: int = 0
    most: int = 0

    def values(self) -> tuple[int, ...]:
        """Return all of it."""
        return astuple(self)


COLUMNS = (
    "second",
    *("sent", "received", "runs", "run messages", "errors", "throttles", "died", "concurrency"),
    *("waiting", "in flight", "done", "dead", "allowed", "age_s"),
)
"""Of `Outcome.seconds`. From `waiting` to `dead` they are the recorder's states; `allowed` is what pollers may do."""


class Log:
    """Collects the steps of single messages, as the flight recorder would."""

    def __init__(self, tick: float) -> None:
        self._tick = tick
        self._rows: list[tuple[Any, ...]] = []
        self._requests = 0
        self._steps = 0

    def request(self) -> str:
        """Return a new request id."""
        self._requests += 1
        return f"run-{self._requests:05}"

    def add(self, now: int, event: str, pieces: list[Piece], request: str, outcome: str | None) -> None:
        """Add a step of the messages of one batch."""
        self._steps += 1
        # One batch has one moment, and two batches of the same tick have two: so the recorder tells them apart.
        at = now * self._tick + (self._steps % 900) * 1e-6
        function = FUNCTION if event in ("invoked", "succeeded", "failed", "throttled") else None
        for piece in pieces:
            group = str(piece.group) if piece.group else None
            fate = (request or None, None, function, outcome)
            self._rows.append((at, event, piece.name, QUEUE, piece.receives or None, group, *fate))

    def frame(self) -> pandas.DataFrame:
        """Return the log."""
        return recorder.frame(sorted(self._rows, key=lambda row: float(row[0])))


@dataclass(frozen=True, repr=False)
class Outcome:
    """What the model did.

    Attributes
    ----------
    workload : Workload
        What arrived.
    setup : Setup
        By which settings.
    done, dead : int
        Messages that were handled, and dead letters.
    left : int
        Messages that had no end when the model stopped.
    runs, errors, throttles : int
        Runs that began, runs that failed, and attempts that were turned back.
    peak : int
        The most runs at once.
    oldest_s : float
        The longest time from a message's sending to its end, in seconds.
    drained_s : float
        When the last message had its end, in seconds from the beginning.
    seconds : pandas.DataFrame
        A row a second. From `waiting` to `dead` the columns are those of `recorder.counts_over_time`.
    """

    workload: Workload
    setup: Setup
    done: int
    dead: int
    left: int
    runs: int
    errors: int
    throttles: int
    peak: int
    oldest_s: float
    drained_s: float
    seconds: pandas.DataFrame = field(compare=False)
    _log: Log | None = field(compare=False, default=None)

    @classmethod
    def of(cls, model: Model) -> Outcome:
        """Return what a simulation has left."""
        import pandas

        table = pandas.DataFrame(model.rows, columns=list(COLUMNS)).set_index("second")
        oldest = max(model.slowest, (model.now - model.origins[0].at) * model.tick if model.origins else 0.0)
        return cls(
            model.workload,
            model.setup,
            done=model.done,
            dead=model.dead,
            left=model.to_send - model.done - model.dead,
            runs=int(table["runs"].sum()),
            errors=int(table["errors"].sum()),
            throttles=int(table["throttles"].sum()),
            peak=model.peak,
            oldest_s=round(oldest, 3),
            drained_s=round(model.ended_at * model.tick, 3),
            seconds=table,
            _log=model.log,
        )

    @property
    def batch(self) -> float:
        """Messages of a run, on average."""
        return float(self.seconds["run messages"].sum()) / max(1, self.runs)

    @property
    def log(self) -> pandas.DataFrame:
        """The log of each message, in the recorder's columns.

        Raises
        ------
        LabError
            When there were too many messages to follow each.
        """
        if self._log is None:
            raise LabError(
                f"{self.workload.messages:,} messages were not followed one by one.",
                "",
                "Use `seconds` or `minutes`; up to 5,000 messages there is a log.",
            )
        return self._log.frame()

    @property
    def minutes(self) -> pandas.DataFrame:
        """A row a minute, in the names of CloudWatch's metrics, by the statistic that suits each."""
        import pandas

        table = self.seconds
        # A row stands for the second that ends with it.
        minute = ((table.index.to_series() - 1e-9) // 60).astype(int).to_numpy()
        by_minute = table.groupby(minute)
        sums, most = by_minute.sum(), by_minute.max()
        columns = {
            "NumberOfMessagesSent": sums["sent"],
            "NumberOfMessagesReceived": sums["received"],
            "ApproximateNumberOfMessagesVisible": most["waiting"],
            "ApproximateNumberOfMessagesNotVisible": most["in flight"],
            "ApproximateAgeOfOldestMessage": most["age_s"],
            "Invocations": sums["runs"],
            "Errors": sums["errors"],
            "Throttles": sums["throttles"],
            "ConcurrentExecutions": most["concurrency"],
        }
        return pandas.DataFrame(columns).rename_axis("minute")

    @property
    def totals(self) -> pandas.Series:
        """All figures in one column."""
        import pandas

        names = [one.name for one in fields(self)[2:-2]]
        return pandas.Series({**{name: getattr(self, name) for name in names}, "batch": round(self.batch, 1)})

    def _card(self) -> Card:
        rows = [
            ("Messages", f"{self.done:,} done, {self.dead:,} dead" + (f", {self.left:,} left" if self.left else "")),
            ("Runs", f"{self.runs:,} of {self.batch:.1f} messages, up to {self.peak:,} at once"),
            ("Throttled", f"{self.throttles:,} attempts"),
            ("Oldest message", f"{self.oldest_s:,.1f} s"),
            ("Drained", f"after {self.drained_s:,.1f} s"),
        ]
        return Card(f"Model: {self.setup!r}", rows)

    def __repr__(self) -> str:
        return str(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()


def compare(workload: Workload, setups: Mapping[str, Setup], *, seed: int = 1) -> pandas.DataFrame:
    """Run the model once for each setup and return a row for each.

    Parameters
    ----------
    workload : Workload
        What arrives.
    setups : mapping of str to Setup
        By name.
    seed : int
        Decides which runs fail, where some do.

    Returns
    -------
    pandas.DataFrame
        By name: what `Outcome.totals` has.
    """
    import pandas

    from .model import simulate

    rows = {name: simulate(workload, setup, seed=seed).totals for name, setup in setups.items()}
    table = pandas.DataFrame(rows).T
    whole = [name for name in table if name not in ("oldest_s", "drained_s", "batch")]
    return table.astype(dict.fromkeys(whole, int))


def measures(log: pandas.DataFrame) -> pandas.Series:
    """Return the figures by which the model is held against a cloud, the same for both logs.

    Parameters
    ----------
    log : pandas.DataFrame
        As `lab.recorder(queue=…)` or `Outcome.log` gives it: of one queue.

    Returns
    -------
    pandas.Series
        `seconds` from the first receive to the last message's end, `runs`, `peak` (the most runs at once), `batch`
        (messages of a run, on average), `throttles` and `dead`.
    """
    import pandas

    table, runs = recorder.messages(log), recorder.invocations(log)
    begun = log.loc[log["event"] == "received", "time"].min()
    throttled = log[log["event"] == "throttled"].drop_duplicates(["time", "function"])
    return pandas.Series(
        {
            "seconds": (table["ended"].max() - begun).total_seconds(),
            "runs": len(runs),
            "peak": recorder.most_at_once(log),
            "batch": float(runs["batch"].mean()),
            "throttles": len(throttled),
            "dead": int((table["end"] == "dead").sum()),
        }
    )
