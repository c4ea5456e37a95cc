"""What a workload costs: from its description, and from what really happened.

`model` takes a `Workload`, `counted` the flight recorder's log and CloudWatch; both return a `Usage`: requests by kind,
runs and GB-seconds, with the dated prices of `facts` beside them. A month has 30 days.

Nothing stands in it of which no dated price is known here, such as logs, alarms, KMS calls and data transfer; nor the
surcharge of fair queues, the tiers above the first, and calls that only read or change settings. The free tier is not
taken off, because it is the account's, not a queue's; a usage says what it would take off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from . import facts, kept, metrics, recorder
from .card import Card
from .errors import LabError
from .guard import own_part
from .predictions import Shown

if TYPE_CHECKING:
    import pandas

    from .lab import Lab

MONTH = timedelta(days=30)
REQUESTS = ("send", "receive", "delete", "idle")
"""The kinds of SQS requests; `idle` are receives that found nothing."""
KINDS = {
    "send": "SQS: send",
    "receive": "SQS: receive",
    "delete": "SQS: delete",
    "idle": "SQS: empty receives",
    "runs": "Lambda: requests",
    "duration": "Lambda: duration",
    "pollers": "Lambda: provisioned pollers",
}
"""What is charged, and what it is called."""

_UNITS = {"duration": ", GB-seconds", "pollers": ", hours"}
_KIND = "estimates"


@dataclass(frozen=True)
class Workload:
    """A month's work as one would describe it.

    Attributes
    ----------
    messages : float
        How many are sent.
    size : float
        Bytes of one.
    fifo : bool
        Whether the queue is a FIFO queue.
    in_one_send : float
        How many messages a call that sends carries.
    in_one_run : float
        How many messages a receive, a run and a deletion carry, on average: the real mean, not `BatchSize`.
    seconds : float
        How long a run takes.
    memory : float
        The function's, in MB.
    cold : float
        Which share of the runs starts an environment.
    init_seconds : float
        How long that takes.
    failing : float
        Which share of the messages always fails; they come back alone.
    receives : float
        How often such a message is received before it is gone.
    filtered : float
        Which share of the messages no filter wants. That the others of their receive are deleted in a call of their own
        is an assumption.
    idle_triggers : float
        How many triggers wait for messages all month. How often their pollers ask is an assumption (row G15).
    provisioned_pollers : float
        How many provisioned pollers there are all month.
    """

    messages: float
    size: float = 1_000
    fifo: bool = False
    in_one_send: float = 1
    in_one_run: float = 1
    seconds: float = 0.1
    memory: float = 128
    cold: float = 0
    init_seconds: float = 0
    failing: float = 0
    receives: float = 1
    filtered: float = 0
    idle_triggers: float = 0
    provisioned_pollers: float = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            number = isinstance(value, int | float) and math.isfinite(value) and value >= 0
            if not number:
                raise LabError(f"{name} of a workload is a number, 0 or more, not {value!r}.")
        most = facts.quota("sqs.batch_entries").value
        if not 1 <= self.in_one_send <= most:
            raise LabError(f"A call sends 1 to {most} messages, not {self.in_one_send:g}.")
        if self.in_one_run < 1:
            raise LabError(f"A run gets 1 message or more, not {self.in_one_run:g}.")
        if self.receives < 1:
            raise LabError("A message is received once or more.", "", "Write receives=3 for three times.")
        if max(self.cold, self.failing, self.filtered, self.failing + self.filtered) > 1:
            raise LabError(
                "cold, failing and filtered are shares: from 0 to 1.", "", "Write 0.01 for one in a hundred."
            )


@dataclass(frozen=True, repr=False)
class Usage:
    """What is charged, by kind.

    Attributes
    ----------
    messages : float
        How many were sent.
    send, receive, delete, idle : float
        SQS requests as they are billed: a call for each 64 KB that it carries, once at least.
    runs : float
        Lambda requests.
    gb_seconds : float
        Billed duration times memory, cold starts included.
    poller_hours : float
        Of provisioned pollers.
    fifo : bool
        Whether the requests are those of a FIFO queue.
    """

    messages: float
    send: float = 0
    receive: float = 0
    delete: float = 0
    idle: float = 0
    runs: float = 0
    gb_seconds: float = 0
    poller_hours: float = 0
    fifo: bool = False

    @property
    def requests(self) -> dict[str, float]:
        """The SQS requests by kind."""
        return {kind: getattr(self, kind) for kind in REQUESTS}

    @property
    def traffic(self) -> float:
        """The SQS requests for messages: all but the empty receives."""
        return self.send + self.receive + self.delete

    @property
    def a_message(self) -> float:
        """How many SQS requests a message took."""
        return self.traffic / max(1, self.messages)

    @property
    def dollars(self) -> dict[str, float]:
        """What each kind costs, by the keys of `KINDS`."""
        request = facts.price("sqs.request_fifo" if self.fifo else "sqs.request").each
        return {
            **{kind: number * request for kind, number in self.requests.items()},
            "runs": self.runs * facts.price("lambda.request").each,
            "duration": self.gb_seconds * facts.price("lambda.gb_second").each,
            "pollers": self.poller_hours * facts.price("trigger.poller_hour").each,
        }

    @property
    def total(self) -> float:
        """Dollars, without the free tier."""
        return sum(self.dollars.values())

    @property
    def free(self) -> float:
        """How many dollars the free tier would take off if nothing else in the account used it in that month."""
        request = facts.price("sqs.request_fifo" if self.fifo else "sqs.request").each
        return (
            min(sum(self.requests.values()), facts.quota("sqs.free_requests").value) * request
            + min(self.runs, facts.quota("lambda.free_requests").value) * facts.price("lambda.request").each
            + min(self.gb_seconds, facts.quota("lambda.free_gb_seconds").value) * facts.price("lambda.gb_second").each
        )

    def scaled(self, messages: float, *, idle: float = 0) -> Usage:
        """Return the same traffic with more messages, and so many empty receives instead of those counted.

        Cold starts grow with it; provisioned pollers do not.
        """
        by = messages / max(1, self.messages)
        grown = {name: getattr(self, name) * by for name in ("send", "receive", "delete", "runs", "gb_seconds")}
        return replace(self, messages=messages, idle=idle, **grown)

    def _card(self) -> Card:
        amounts = {**self.requests, "runs": self.runs, "duration": self.gb_seconds, "pollers": self.poller_hours}
        rows = [
            (KINDS[kind] + _UNITS.get(kind, ""), f"{amounts[kind]:,.0f}", spelt(dollars))
            for kind, dollars in self.dollars.items()
            if amounts[kind] or kind in ("send", "receive", "delete", "runs")
        ]
        free = f"The free tier is not taken off; it is the account's, and worth {spelt(self.free)} of this at most."
        return Card(
            f"{self.messages:,.0f} messages",
            [*rows, ("together", "", spelt(self.total))],
            ("", "how many", "US dollars"),
            free,
            numbers=True,
        )

    def __repr__(self) -> str:
        return str(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()


def spelt(dollars: float) -> str:
    """Return an amount as a person would write it.

    >>> spelt(14.766), spelt(0.2592), spelt(0.004), spelt(0)
    ('$14.77', '$0.26', '$0.0040', '$0.00')
    """
    return f"${dollars:,.4f}" if 0 < abs(dollars) < 0.01 else f"${dollars:,.2f}"


def model(workload: Workload) -> Usage:
    """Return what a workload uses in a month."""
    w = workload
    first = w.messages / w.in_one_run
    again = w.messages * w.failing * (w.receives - 1)
    # A receive holds ten messages at most, and so does a deletion.
    most = float(facts.quota("sqs.batch_entries").value)
    calls = max(1.0, w.in_one_run / most)
    held = min(w.in_one_run, most)
    # A run is left out only if none of its messages is wanted; a deletion only if all of its messages fail.
    runs = first * (1 - w.filtered**w.in_one_run) + again
    deletions = first * calls * (1 - (w.filtered + w.failing) ** held)
    by_filter = first * calls * (1 - (1 - w.filtered) ** held)
    seconds = runs * (_billed(w.seconds) + w.cold * w.init_seconds)
    return Usage(
        messages=w.messages,
        send=w.messages / w.in_one_send * steps(w.in_one_send * w.size),
        receive=first * calls * steps(held * w.size) + again * steps(w.size),
        delete=deletions + by_filter,
        idle=w.idle_triggers * idle_month(),
        runs=runs,
        gb_seconds=seconds * w.memory / 1024,
        poller_hours=w.provisioned_pollers * MONTH / timedelta(hours=1),
        fifo=w.fifo,
    )


def steps(size: float) -> int:
    """Return as how many requests a call is billed that carries so many bytes.

    >>> steps(0), steps(65_536), steps(65_537), steps(102_400)
    (1, 1, 2, 2)
    """
    return max(1, math.ceil(size / facts.quota("sqs.billing_chunk").value))


def idle_month() -> float:
    """Return how many receives an idle trigger makes in a month; how often AWS's pollers ask is assumed (row G15)."""
    return float(facts.rate("trigger.idle_month").value)


def counted(lab: Lab, queue: str, *, since: datetime | None = None) -> Usage:
    """Return what really happened to a queue's messages: calls, runs and durations from the flight recorder.

    Sizes and empty receives come from CloudWatch, which shows a minute when it is over. A call's bytes are its messages
    times their average. Empty receives are those of the whole minutes since `since`. On a real account the recorder
    sees no throttled and no filtered messages.

    Parameters
    ----------
    lab : Lab
        Where to look.
    queue : str
        A name with or without the prefix, a URL or an ARN.
    since : datetime, optional
        Only what happened from then on, such as an earlier `lab.now()`.
    """
    return from_log(lab, queue, lab.recorder(queue=queue, since=since), since)


def from_log(lab: Lab, queue: str, log: pandas.DataFrame, since: datetime | None = None) -> Usage:
    """Return the same as `counted` of a part of the queue's log."""
    name = _full_name(lab, queue)
    begin = since or (log["time"].min().to_pydatetime() if len(log) else lab.now())
    calls = recorder.calls(log)
    size = average_size(lab, name, since=begin) if len(calls) else 0.0
    # A deletion carries receipt handles, and no message.
    billed = calls["messages"].map(lambda number: steps(number * size)).where(calls["kind"] != "delete", 1)
    by_kind = billed.groupby(calls["kind"]).sum()
    runs = recorder.invocations(log)
    return Usage(
        messages=int((log["event"] == "sent").sum()),
        **{kind: float(by_kind.get(kind, 0)) for kind in ("send", "receive", "delete")},
        idle=_empty(lab, name, begin),
        runs=len(runs),
        gb_seconds=_gb_seconds(lab, runs),
        fifo=name.endswith(".fifo"),
    )


def idle_a_month(lab: Lab, queue: str, *, since: datetime) -> float:
    """Return how many receives of a month would find nothing if all of it were like the whole minutes since `since`."""
    name = _full_name(lab, queue)
    begin = _next_minute(since)
    minutes = math.floor((lab.now() - begin) / timedelta(minutes=1))
    if minutes < 1:
        raise LabError(
            "No whole minute has gone by yet.", "", "Wait first: lab.wait(120, 'until CloudWatch has counted')."
        )
    return _empty(lab, name, since) / minutes * (MONTH / timedelta(minutes=1))


def average_size(lab: Lab, queue: str, *, since: datetime) -> float:
    """Return the average size of what was sent since the minute of `since`, in bytes; 0 if CloudWatch does not know."""
    name = _full_name(lab, queue)
    start = since.replace(second=0, microsecond=0)
    bytes_, number = (
        metrics.points(lab, "AWS/SQS", "SentMessageSize", statistic=statistic, start=start, QueueName=name)
        for statistic in ("Sum", "SampleCount")
    )
    sent = float(number["SentMessageSize"].sum())
    return float(bytes_["SentMessageSize"].sum()) / sent if sent else 0.0


def by_tag(lab: Lab, key: str, *, since: datetime) -> pandas.DataFrame:
    """Return a month's cost by the value of a tag, as a cost allocation report would, if all of it were like this.

    Queues carry what SQS costs, functions what Lambda costs.

    Parameters
    ----------
    lab : Lab
        Where to look: at what it made.
    key : str
        The tag, such as `team`.
    since : datetime
        What happened from then until now is counted, and goes on all month; it takes a whole minute at least.

    Returns
    -------
    pandas.DataFrame
        By value, the dearest first, with `(no tag)`: `messages`, `requests` (of SQS), `runs`, `sqs` and `lambda`
        (dollars), `dollars`.
    """
    import pandas

    times = MONTH / (lab.now() - since)
    rows: list[tuple[str, Usage]] = []
    for url in _queues(lab):
        value = lab.client("sqs").list_queue_tags(QueueUrl=url).get("Tags", {}).get(key, "")
        usage = counted(lab, url, since=since)
        month = usage.scaled(usage.messages * times, idle=idle_a_month(lab, url, since=since))
        # The runs are the function's, which has tags of its own.
        rows.append((value, replace(month, runs=0, gb_seconds=0)))
    for function in _functions(lab):
        value = lab.client("lambda").list_tags(Resource=function["FunctionArn"]).get("Tags", {}).get(key, "")
        runs = recorder.invocations(lab.recorder(function=function["FunctionName"], since=since))
        runs = runs[runs["function"] == function["FunctionName"]]
        rows.append((value, Usage(0, runs=len(runs) * times, gb_seconds=_gb_seconds(lab, runs) * times)))
    table = pandas.DataFrame(
        [
            (
                value or "(no tag)",
                round(usage.messages),
                round(sum(usage.requests.values())),
                round(usage.runs),
                sum(usage.dollars[kind] for kind in REQUESTS),
                usage.dollars["runs"] + usage.dollars["duration"],
                usage.total,
            )
            for value, usage in rows
        ],
        columns=[key, "messages", "requests", "runs", "sqs", "lambda", "dollars"],
    )
    table = table.groupby(key).sum().sort_values("dollars", ascending=False)
    return table.astype(dict.fromkeys(("messages", "requests", "runs"), "int64"))


def estimate(lab: Lab, exercise: str, **requests: Any) -> Shown:
    """Keep an estimate of a month's SQS requests for a check to read, and say what was kept.

    Parameters
    ----------
    lab : Lab
        Where it holds.
    exercise : str
        The exercise's id, such as `15-budget`.
    **requests
        Numbers by kind: send, receive, delete, idle. Three dots mean that nothing is estimated yet.

    Raises
    ------
    LabError
        When it is another kind, or no number.
    """
    unknown = sorted(set(requests) - set(REQUESTS))
    if unknown:
        raise LabError(f"{unknown[0]!r} is no kind of request.", "", f"There are {', '.join(REQUESTS)}.")
    given = {kind: requests[kind] for kind in REQUESTS if requests.get(kind, ...) is not ...}
    for kind, number in given.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number) or number < 0:
            raise LabError(f"{kind} is a number of requests, 0 or more, not {number!r}.")
    if not given:
        return Shown("Nothing is estimated yet.", ("Write numbers in place of the three dots.",))
    entry = {"id": exercise, "space": lab.space, "at": datetime.now(UTC).isoformat(timespec="seconds"), **given}
    kept.write(_KIND, exercise[:2], [*_others(lab, exercise), entry])
    parts = ", ".join(f"{kind} {number:,.0f}" for kind, number in given.items())
    return Shown("Your estimate is kept.", (f"{parts}: {sum(given.values()):,.0f} requests a month.",))


def estimated(lab: Lab, exercise: str) -> dict[str, float] | None:
    """Return the estimate that was kept last, 0 where a kind was left out, or None without one."""
    for entry in _entries(exercise[:2]):
        if (entry.get("id"), entry.get("space")) == (exercise, lab.space):
            return {kind: float(entry.get(kind, 0)) for kind in REQUESTS}
    return None


def forget(lab: Lab, exercise: str) -> None:
    """Remove the estimate of an exercise, so that it can be made anew."""
    kept.write(_KIND, exercise[:2], _others(lab, exercise))


def _entries(notebook: str) -> list[dict[str, Any]]:
    try:
        return [entry for entry in kept.read(_KIND, notebook) if isinstance(entry, dict)]
    except ValueError:
        kept.set_aside(_KIND, notebook)
        return []


def _others(lab: Lab, exercise: str) -> list[dict[str, Any]]:
    mine = (exercise, lab.space)
    return [entry for entry in _entries(exercise[:2]) if (entry.get("id"), entry.get("space")) != mine]


def _billed(seconds: float) -> float:
    """Return a duration as it is billed, in whole milliseconds."""
    # A hair less: 0.1 s are 100 ms, whatever binary fractions make of it.
    return math.ceil(seconds * 1000 - 1e-6) / 1000


def _gb_seconds(lab: Lab, runs: pandas.DataFrame) -> float:
    total = 0.0
    for name, part in runs.groupby("function"):
        memory = lab.client("lambda").get_function_configuration(FunctionName=name)["MemorySize"]
        seconds = (part["duration_s"].fillna(0) + part["init_s"].fillna(0)).map(_billed).sum()
        total += float(seconds) * memory / 1024
    return total


def _empty(lab: Lab, queue: str, since: datetime) -> float:
    begin = _next_minute(since)
    found = metrics.points(lab, "AWS/SQS", "NumberOfEmptyReceives", start=begin, QueueName=queue)
    return float(found["NumberOfEmptyReceives"].sum())


def _full_name(lab: Lab, queue: str) -> str:
    """Return a queue's full name; it may be given as such, without its prefix, as a URL or an ARN."""
    return lab.name(queue.rpartition("/")[2].rpartition(":")[2])


def _next_minute(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)


def _queues(lab: Lab) -> Iterable[str]:
    for page in lab.client("sqs").get_paginator("list_queues").paginate(QueueNamePrefix=lab.prefix):
        yield from page.get("QueueUrls", [])


def _functions(lab: Lab) -> Iterable[dict[str, Any]]:
    for page in lab.client("lambda").get_paginator("list_functions").paginate():
        yield from (one for one in page["Functions"] if own_part(one["FunctionName"]).startswith(f"{lab.prefix}-"))
