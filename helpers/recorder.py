"""The flight recorder: every message's life as rows, and the tables that are made of them.

A log has the same columns on both clouds. On the local AWS it is what happened there; on a real account it is put
together from what the lab's clients did and from the functions' logs (`recorder_aws`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .errors import LabError

if TYPE_CHECKING:
    import pandas

COLUMNS = (
    "time",
    "event",
    "message",
    "queue",
    "receive_count",
    "group",
    "request",
    "environment",
    "function",
    "outcome",
)
"""The columns of a log, the same on both clouds."""

MESSAGE_EVENTS = (
    "sent",
    "deduplicated",
    "received",
    "invoked",
    "succeeded",
    "failed",
    "throttled",
    "visible",
    "deleted",
    "filtered",
    "dead-lettered",
    "redriven",
    "expired",
)
"""What can happen to a message. `invoked`, `succeeded`, `failed` and `throttled` without one are direct calls."""

ENVIRONMENT_EVENTS = ("environment started", "environment ready", "environment ended")
"""What can happen to an execution environment; the first two are the beginning and the end of a cold start."""

STATES = ("delayed", "waiting", "in flight", "done", "dead", "filtered", "expired", "redriven")
"""Where a message can be. The last five are ends: `redriven` is a dead letter that went back as a new message."""

PARTIAL = "batchItemFailures"
"""The outcome of a message that its function reported as failed, while the invocation itself succeeded."""

MOST_IN_A_CALL = 10
"""How many messages one call of SQS sends, receives or deletes at most."""

_DELAYED, _WAITING, _IN_FLIGHT, _DONE = range(4)
_REDRIVEN = STATES.index("redriven")
_ENDS = STATES[_DONE:]
_STATE_OF = {
    "sent": "waiting",
    "received": "in flight",
    "visible": "waiting",
    "deleted": "done",
    "filtered": "filtered",
    "dead-lettered": "dead",
    "redriven": "waiting",
    "expired": "expired",
}


def frame(rows: Sequence[Sequence[Any]], columns: Sequence[str] = COLUMNS) -> pandas.DataFrame:
    """Return rows as a log.

    Parameters
    ----------
    rows : sequence of sequences
        With `time` in seconds since the epoch.
    columns : sequence of str
        What the fields are called.
    """
    import pandas

    log = pandas.DataFrame([tuple(row) for row in rows], columns=list(columns)).reindex(columns=list(COLUMNS))
    moments = pandas.to_numeric(log["time"]).to_numpy(float)
    # By whole microseconds: a float of seconds since the epoch has no more to give.
    log["time"] = pandas.to_datetime((moments * 1e6).round().astype("int64"), unit="us", utc=True).as_unit("us")
    log["receive_count"] = pandas.to_numeric(log["receive_count"]).astype("Int64")
    for column in COLUMNS:
        if column not in ("time", "receive_count"):
            log[column] = log[column].astype(object).where(log[column].notna(), None)
    return log


def select(
    log: pandas.DataFrame, *, queue: str | None = None, function: str | None = None, since: datetime | None = None
) -> pandas.DataFrame:
    """Return the part of a log that concerns a queue, a function or the time from `since` on.

    Rows of environments stay as far as they belong to invocations that stay. Seen from a dead-letter queue, a dead
    letter has come `from` its source and waits; seen from the source it is dead.

    Parameters
    ----------
    log : pandas.DataFrame
        The log.
    queue, function : str, optional
        Full names.
    since : datetime, optional
        With a time zone.

    Raises
    ------
    LabError
        When `since` has no time zone.
    """
    if since is not None:
        if since.tzinfo is None:
            raise LabError(f"{since} has no time zone.", "The recorder counts in UTC.", "Use lab.now().")
        log = log[log["time"] >= since]
    if queue is not None:
        arrived = (log["event"] == "dead-lettered") & (log["outcome"] == queue) & (log["queue"] != queue)
        kept = log[(log["queue"] == queue) | arrived]
        if arrived.any():
            here = arrived[kept.index]
            kept = kept.assign(
                outcome=kept["outcome"].where(~here, "from " + kept["queue"].astype(str)),
                queue=kept["queue"].where(~here, queue),
            )
        log = _with_environments(log, kept)
    if function is not None:
        of_function = log["function"] == function
        touched = log.loc[of_function & log["message"].notna(), "message"].unique()
        log = log[of_function | log["message"].isin(touched)]
    return log.reset_index(drop=True)


def messages(log: pandas.DataFrame) -> pandas.DataFrame:
    """Return a row a message: how often it was tried, how long it waited, and how it ended.

    Returns
    -------
    pandas.DataFrame
        By message id, in the order of sending: `queue`, `group`, `sent`, `attempts` (receives), `runs` (times that it
        was given to a function), `failures`, `first_wait_s` (from sending to the first receive), `total_s` (to its end,
        or to the end of the log), `end` (one of `STATES`) and `ended`.
    """
    import pandas

    steps = transitions(log)
    of_messages = log[log["message"].notna()]
    by_message = steps.groupby("message", sort=False)
    first = by_message["time"].first()
    table = pandas.DataFrame({"queue": by_message["queue"].first(), "group": by_message["group"].first()})
    table["sent"] = steps[steps["event"].isin(["sent", "redriven"])].groupby("message", sort=False)["time"].first()
    for column, event in (("attempts", "received"), ("runs", "invoked"), ("failures", "failed")):
        counts = of_messages.loc[of_messages["event"] == event, "message"].value_counts()
        table[column] = counts.reindex(table.index, fill_value=0).astype(int)
    received = steps[steps["event"] == "received"].groupby("message", sort=False)["time"].first()
    table["first_wait_s"] = (received.reindex(table.index) - table["sent"]).dt.total_seconds()
    last = by_message[["state", "time"]].last()
    over = last["state"].isin(_ENDS)
    end_of_log = log["time"].max() if len(log) else pandas.NaT
    table["total_s"] = (last["time"].where(over, end_of_log) - first).dt.total_seconds()
    table["end"] = last["state"].astype(object)
    table["ended"] = last["time"].where(over)
    return table


def invocations(log: pandas.DataFrame) -> pandas.DataFrame:
    """Return a row an invocation.

    Returns
    -------
    pandas.DataFrame
        In the order of time: `request`, `function`, `environment`, `accepted` (concurrency counts from here), `start`
        (the handler's), `end` (NaT while it runs), `duration_s`, `cold`, `init_s` (NaN without a cold start), `batch`
        (messages; 0 for a direct call), `failed` (messages), `status` (`running`, `succeeded`, `partial` or `failed`)
        and `outcome`.
    """
    import numpy
    import pandas

    rows = log[log["request"].notna() & log["event"].isin(["invoked", "succeeded", "failed"])]
    direct = rows["message"].isna()
    # An asynchronous call keeps its request id when it is tried again; a batch never does.
    attempt = ((rows["event"] == "invoked") & direct).groupby(rows["request"], sort=False).cumsum()
    rows = rows.assign(attempt=attempt.where(direct, 0), direct=direct)
    keys = ["request", "attempt"]
    begun = rows[rows["event"] == "invoked"].groupby(keys, sort=False)
    table = pandas.DataFrame(
        {
            "function": begun["function"].first(),
            "accepted": begun["time"].min(),
            "batch": begun["direct"].agg(lambda calls: int((~calls).sum())) if len(rows) else [],
        }
    )
    ended = rows[rows["event"] != "invoked"].groupby(keys, sort=False)
    table["end"] = ended["time"].max()
    wrong = rows[rows["event"] == "failed"]
    table["failed"] = wrong[~wrong["direct"]].groupby(keys, sort=False).size()
    table["failed"] = table["failed"].fillna(0).astype(int)
    table["outcome"] = ended["outcome"].first()
    table["outcome"] = wrong.groupby(keys, sort=False)["outcome"].first().reindex(table.index).fillna(table["outcome"])
    broken = wrong[wrong["outcome"] != PARTIAL].groupby(keys, sort=False).size().reindex(table.index).notna()
    status = numpy.select(
        [table["end"].isna(), broken, table["failed"] > 0], ["running", "failed", "partial"], "succeeded"
    )
    table["status"] = pandas.Series(status, index=table.index, dtype=object)
    table = table.reset_index()

    started = _environment_times(log, "environment started")
    ready = _environment_times(log, "environment ready")
    first_of_request = ~table["request"].duplicated()
    begin = started.reindex(table["request"]).set_axis(table.index).where(first_of_request)
    initialised = ready.reindex(table["request"]).set_axis(table.index).where(first_of_request)
    table["cold"] = begin.notna()
    table["init_s"] = (initialised - begin).dt.total_seconds()
    table["start"] = table["accepted"].where(~(initialised > table["accepted"]), initialised)
    table["duration_s"] = (table["end"] - table["start"]).dt.total_seconds()
    known = log[log["request"].notna() & log["environment"].notna()].drop_duplicates("request", keep="last")
    table["environment"] = known.set_index("request")["environment"].reindex(table["request"]).to_numpy()
    columns = ["request", "function", "environment", "accepted", "start", "end", "duration_s", "cold", "init_s"]
    table = table[[*columns, "batch", "failed", "status", "outcome"]]
    return table.sort_values("accepted", kind="stable", ignore_index=True)


def end_states(log: pandas.DataFrame) -> pandas.Series:
    """Return how many messages are in each state, in the order of `STATES`; those with none are left out."""
    counts = messages(log)["end"].value_counts()
    return counts.reindex([state for state in STATES if state in counts.index]).rename("messages").rename_axis("end")


def side_effects(log: pandas.DataFrame, keys: Mapping[str, str] | None = None) -> pandas.Series:
    """Return how often a function was run for each message: as often as its effects may have happened.

    Parameters
    ----------
    log : pandas.DataFrame
        The log.
    keys : mapping of str to str, optional
        The business key of each message id; runs of messages with the same key are added up.
    """
    runs = messages(log)["runs"]
    if keys is None:
        return runs
    names = runs.index.to_series().map(dict(keys))
    return runs.groupby(names.to_numpy(), sort=False).sum().rename_axis("key")


def transitions(log: pandas.DataFrame) -> pandas.DataFrame:
    """Return the rows at which a message changes its state, with `state` and `before`, by message and time.

    What happens to a dead letter afterwards changes nothing here, except that it goes back.
    """
    import numpy
    import pandas

    codes, names = pandas.factorize(log["event"])
    number = numpy.array([STATES.index(_STATE_OF[name]) if name in _STATE_OF else -1 for name in names] or [-1])
    kept = (number[codes] >= 0) & log["message"].notna().to_numpy()
    rows, state = log[kept], number[codes[kept]]
    if rows["outcome"].notna().any():
        event = rows["event"].to_numpy(object)
        state[(event == "sent") & (rows["outcome"] == "delayed").to_numpy()] = _DELAYED
        buried = numpy.flatnonzero(event == "dead-lettered")
        from_source = rows["outcome"].iloc[buried].astype(str).str.startswith("from ").to_numpy(bool)
        state[buried[from_source]] = _WAITING
        returned = (event == "redriven") & rows["outcome"].isin(rows["message"]).to_numpy() & rows["outcome"].notna()
        if returned.any():
            old = rows[returned]
            rows = pandas.concat([rows, old.assign(message=old["outcome"])])
            state = numpy.r_[state, numpy.full(len(old), _REDRIVEN)]
    who, _ = pandas.factorize(rows["message"])
    order = numpy.lexsort((_naive(rows["time"]), who))
    who, state = who[order], state[order]
    first = numpy.diff(who, prepend=-1) != 0
    over = state >= _DONE
    # Ends before this row, of the same message: what follows an end changes nothing.
    before = numpy.cumsum(over) - over
    before -= numpy.maximum.accumulate(numpy.where(first, before, 0))
    kept = (before == 0) | (state == _REDRIVEN)
    who, state, order = who[kept], state[kept], order[kept]
    first = numpy.diff(who, prepend=-1) != 0
    earlier = numpy.where(first, -1, numpy.r_[-1, state[:-1]][: len(state)])
    return rows.iloc[order].assign(
        state=pandas.Categorical.from_codes(state, list(STATES)),
        before=pandas.Categorical.from_codes(earlier, list(STATES)),
    )


def counts_over_time(log: pandas.DataFrame) -> pandas.DataFrame:
    """Return how many messages were in each state from each moment of a change on, by `STATES`."""
    import numpy
    import pandas

    steps = transitions(log).sort_values("time", kind="stable")
    state, before = steps["state"].cat.codes.to_numpy(), steps["before"].cat.codes.to_numpy()
    columns = {
        name: numpy.cumsum((state == code).astype(int) - (before == code).astype(int))
        for code, name in enumerate(STATES)
        if (state == code).any()
    }
    table = pandas.DataFrame(columns, index=pandas.DatetimeIndex(steps["time"], name="time"))
    return table[~table.index.duplicated(keep="last")]


def age_of_oldest(log: pandas.DataFrame, moments: pandas.DatetimeIndex) -> pandas.Series:
    """Return the age in seconds of the oldest message at each moment, NaN when there was none.

    As CloudWatch counts it (row F1): from the sending until the message is gone, and on a standard queue only until it
    has been received three times.
    """
    import numpy
    import pandas

    steps = transitions(log)
    sent = steps.groupby("message", sort=False)["time"].first()
    far = pandas.Timestamp("2200-01-01", tz="UTC")
    gone = steps[steps["state"].isin(_ENDS)].groupby("message", sort=False)["time"].first().reindex(sent.index)
    receives = steps[(steps["event"] == "received") & ~steps["queue"].astype(str).str.endswith(".fifo")]
    third = receives[receives.groupby("message", sort=False).cumcount() == 2].set_index("message")["time"]
    until = pandas.concat([gone, third.reindex(sent.index)], axis=1).min(axis=1).fillna(far)
    order = numpy.argsort(_naive(sent), kind="stable")
    begins = _naive(sent)[order]
    latest = numpy.maximum.accumulate(_naive(until)[order]) if len(order) else begins
    at = moments.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]")
    oldest = numpy.searchsorted(latest, at, side="right")
    found = oldest < len(begins)
    age = numpy.full(len(at), numpy.nan)
    age[found] = (at[found] - begins[oldest[found]]) / numpy.timedelta64(1, "s")
    age[age < 0] = numpy.nan
    return pandas.Series(age, index=moments, name="age_s")


def handled(log: pandas.DataFrame, groups: Mapping[str, str] | None = None) -> pandas.DataFrame:
    """Return a row a handled message, in the order of handling.

    Returns
    -------
    pandas.DataFrame
        `message`, `group`, `place` (its number in the group, by sending), `time`, and `late`: whether a later message
        of its group was handled before it. A message counts as handled when its run succeeded, else when it was
        deleted.
    """
    table = messages(log)
    table["group"] = table.index.to_series().map(dict(groups)) if groups is not None else table["group"]
    table["group"] = table["group"].where(table["group"].notna(), "").astype(str)
    table["place"] = table.groupby("group", sort=False).cumcount() + 1
    ends = log[log["message"].notna() & log["event"].isin(["succeeded", "deleted"])]
    done = ends.sort_values("event", kind="stable", ascending=False).drop_duplicates("message").sort_index()
    done = done[["message", "time"]].sort_values("time", kind="stable")
    done = done.join(table[["group", "place"]], on="message", how="inner")
    done["late"] = done["place"] < done.groupby("group", sort=False)["place"].cummax()
    return done[["message", "group", "place", "time", "late"]].reset_index(drop=True)


def placed(log: pandas.DataFrame) -> pandas.DataFrame:
    """Return a row a handled message with its number in the sending and its seconds since the first was sent."""
    table = handled(log)
    sent = messages(log)["sent"]
    numbers = {message: number for number, message in enumerate(sent.index, 1)}
    table["number"] = table["message"].map(numbers)
    table["seconds"] = (table["time"] - sent.min()).dt.total_seconds()
    return table


def by_queue(logs: Mapping[str, pandas.DataFrame]) -> pandas.DataFrame:
    """Return a row a queue: how long all its messages took, and how many were overtaken.

    Parameters
    ----------
    logs : mapping of str to pandas.DataFrame
        A log by the name of each queue.

    Returns
    -------
    pandas.DataFrame
        By name: `messages`, `groups`, `seconds` (from the first that was sent until the last was handled), and
        `overtaken`: those that a later one of their group was handled before.
    """
    import pandas

    rows = {
        name: (len(table), table["group"].nunique(), float(table["seconds"].max()), int(table["late"].sum()))
        for name, table in ((name, placed(log)) for name, log in logs.items())
    }
    return pandas.DataFrame.from_dict(rows, orient="index", columns=["messages", "groups", "seconds", "overtaken"])


def refused(log: pandas.DataFrame, places: int) -> int:
    """Return how many runs would find no place in a downstream that each run holds from its beginning to its end.

    A refused run holds none.

    Parameters
    ----------
    log : pandas.DataFrame
        As `lab.recorder()` returns it.
    places : int
        How many runs the downstream takes at once, such as a database's connections.
    """
    held: list[pandas.Timestamp] = []
    turned_away = 0
    runs = invocations(log)
    ends = runs["end"].fillna(log["time"].max())
    for begin, end in zip(runs["accepted"], ends, strict=True):
        held = [other for other in held if other > begin]
        if len(held) < places:
            held.append(end)
        else:
            turned_away += 1
    return turned_away


def most_at_once(log: pandas.DataFrame) -> int:
    """Return how many runs were under way at once at most."""
    runs = invocations(log)
    begins = [(moment, 1) for moment in runs["accepted"]]
    # An end before a beginning at the same moment: one takes the other's place.
    steps = sorted([*begins, *((moment, -1) for moment in runs["end"].dropna())])
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def requests_a_message(log: pandas.DataFrame) -> float:
    """Return how many requests a message took: calls that sent, received some, or deleted.

    Receives that found nothing are not in it.

    Parameters
    ----------
    log : pandas.DataFrame
        As `lab.recorder(queue=…)` returns it: one queue's, of messages that all were handled.
    """
    return len(calls(log)) / max(1, int((log["event"] == "sent").sum()))


def calls(log: pandas.DataFrame) -> pandas.DataFrame:
    """Return a row a call of SQS: what it was, when, and how many messages it carried.

    What was sent or received in one call has one moment in the log. Deletions of a run, or of what the filters took
    out of one receive, are one call for each ten.

    Parameters
    ----------
    log : pandas.DataFrame
        As `lab.recorder(queue=…)` returns it.

    Returns
    -------
    pandas.DataFrame
        In the order of time: `time`, `kind` (`send`, `receive` or `delete`) and `messages`. Receives that found nothing
        are not in it, nor calls that read or change settings.
    """
    import pandas

    rows = log[log["message"].notna()].reset_index(drop=True)
    by_message = rows["message"]
    # What the pollers do with a message stands between its receive and its deletion: the run, or the filter.
    run = rows["request"].where(rows["event"] == "invoked", None)
    begins = rows["event"] == "received"
    turn = begins.groupby(by_message, sort=False).cumsum()
    run_of_turn = run.groupby([by_message, turn], sort=False).transform("first")
    found = []
    sent = rows[rows["event"] == "sent"].groupby("time", sort=False).size()
    found += [(moment, "send", int(number)) for moment, number in sent.items()]
    for moment, part in rows[begins].groupby("time", sort=False):
        number = max(run_of_turn[part.index].nunique(), math.ceil(len(part) / MOST_IN_A_CALL))
        found += [(moment, "receive", share) for share in _shares(len(part), number)]
    gone = rows[rows["event"] == "deleted"]
    received = rows["time"].where(begins).groupby(by_message, sort=False).ffill()
    filtered = (rows["event"] == "filtered").groupby([by_message, turn], sort=False).transform("max")
    # A client's own deletions have no run: those of one call follow each other at once.
    own = (gone["time"].diff() > pandas.Timedelta(milliseconds=1)).cumsum()
    of_run, of_filter = run_of_turn[gone.index], filtered[gone.index].astype(bool)
    key = [
        ("run", name) if isinstance(name, str) else ("filter", moment) if by_filter else ("own", number)
        for name, by_filter, moment, number in zip(of_run, of_filter, received[gone.index], own, strict=True)
    ]
    for _, part in gone.groupby(pandas.Series(key, index=gone.index, dtype=object), sort=False):
        number = math.ceil(len(part) / MOST_IN_A_CALL)
        found += [(part["time"].iloc[0], "delete", share) for share in _shares(len(part), number)]
    table = pandas.DataFrame(found, columns=["time", "kind", "messages"])
    return table.sort_values("time", kind="stable", ignore_index=True)


def _shares(whole: int, parts: int) -> list[int]:
    return [whole // parts + (number < whole % parts) for number in range(parts)]


def _with_environments(log: pandas.DataFrame, kept: pandas.DataFrame) -> pandas.DataFrame:
    import pandas

    requests = kept["request"].dropna().unique()
    around = log["event"].isin(ENVIRONMENT_EVENTS) & log["message"].isna()
    environments = log.loc[around & log["request"].isin(requests), "environment"].dropna().unique()
    known = kept["environment"].dropna().unique()
    extra = log[around & (log["environment"].isin(environments) | log["environment"].isin(known))]
    return pandas.concat([kept, extra]).sort_index()


def _environment_times(log: pandas.DataFrame, event: str) -> pandas.Series:
    rows = log[(log["event"] == event) & log["request"].notna()]
    return rows.drop_duplicates("request").set_index("request")["time"]


def _naive(times: pandas.Series) -> Any:
    """Return times with a zone as numpy's, which have none, in UTC."""
    return times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]")
