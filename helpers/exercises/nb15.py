"""The exercise of notebook 15: a month's bill, known before it comes, and below a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import costs, facts, recorder
from ..checks import Verdict, almost, exercise, not_yet, yes
from ..guard import own_part

if TYPE_CHECKING:
    import pandas

    from ..lab import Lab

MONTH = 2_000_000
"""How many receipts a month brings."""
SAMPLE = 40
"""How many of them one attempt sends."""
SIZE = 102_400
"""Bytes of one."""
BRANCHES = 40
"""How many triggers wait for the branches' orders."""
BUDGET = 14.0
"""Dollars a month, for requests of SQS and of Lambda."""

_ID = "15-budget"
_NEAR = 0.1
_QUIET = 0.4
"""Idle triggers may ask less often than assumed: with two pollers instead of five (row G15)."""
_TRAFFIC = ("send", "receive", "delete")
_WAITING = ("delayed", "waiting", "in flight")
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@exercise(
    _ID,
    hints=[
        "Four numbers, each for a month: calls that send, that receive, that delete, and receives that find nothing. "
        "What does one call carry, and as how many requests is it billed?",
        "A call of ten receipts carries 1,024,000 bytes, and 65,536 bytes are one request. A deletion carries no "
        "receipt. Section 2 measured what one idle trigger asks for in a month.",
        'Send and handle in tens: `play("receipts", receipts, 10, 10)`. `costs.Workload` with `size`, `in_one_send`, '
        "`in_one_run` and `idle_triggers` describes just that.",
    ],
)
def budget(lab: Lab, *, queue: str, function: str) -> Verdict:
    """Compare the estimate with what the last 40 receipts took, times 50,000, and the bill with the budget."""
    log = _latest(lab.recorder(queue=queue))
    table = recorder.messages(log)
    if len(table) < SAMPLE:
        return not_yet(
            f"{len(table)} of {SAMPLE} receipts have been sent to `{queue}`: choose how, and call `play(…)`."
        )
    waiting = int(table["end"].isin(_WAITING).sum())
    if waiting:
        return not_yet(
            f"{waiting} of {SAMPLE} receipts still wait in `{queue}`: wait until they are handled, then check."
        )
    size = costs.average_size(lab, queue, since=log["time"].min().to_pydatetime())
    if not size:
        return not_yet(
            f"{SAMPLE} receipts are handled, and CloudWatch has not counted their bytes yet: wait two minutes more, "
            "then check."
        )
    if not _near(size, SIZE):
        return almost(
            f"A receipt of your sample has {size / 1024:.1f} KB, and the shop's have {SIZE / 1024:.0f} KB: send "
            "`receipts` as they are."
        )
    estimate = costs.estimated(lab, _ID)
    if estimate is None:
        return not_yet(f"{SAMPLE} receipts are counted, and there is no estimate yet: `costs.estimate(…)` keeps yours.")
    branches = _idle_triggers(lab, queue, function)
    if branches < BRANCHES:
        return almost(
            f"{branches} of {BRANCHES} branches have a trigger that is on: an order may come to any of them, so switch "
            "them on again, and save elsewhere."
        )
    sample = costs.from_log(lab, queue, log)
    month = sample.scaled(MONTH, idle=branches * costs.idle_month())
    wrong = [kind for kind in _TRAFFIC if not _near(estimate[kind], getattr(month, kind))]
    if not (1 - _NEAR) * _QUIET * month.idle <= estimate["idle"] <= (1 + _NEAR) * month.idle:
        wrong.append("idle")
    if wrong:
        return almost(_mistake(log, size, estimate, month, wrong))
    bill = month.total - month.dollars["duration"]
    made, said = (sum(numbers.values()) / 1e6 for numbers in (month.requests, estimate))
    seen = (
        f"{made:.1f} million SQS requests a month by the recorder's counts, {said:.1f} million by your estimate; with "
        f"{month.runs / 1e6:.1f} million runs that is {costs.spelt(bill)} of {costs.spelt(BUDGET)}"
    )
    if bill > BUDGET:
        return almost(f"{seen}. The estimate is right and the budget is not kept: let a call carry more receipts.")
    return yes(f"{seen}. You knew the bill before it came.")


def _mistake(
    log: pandas.DataFrame, size: float, estimate: dict[str, float], month: costs.Usage, wrong: list[str]
) -> str:
    """Return the sentence for an estimate that is off."""
    times = MONTH / SAMPLE
    calls = recorder.calls(log)["kind"].value_counts() * times
    if wrong[0] != "idle" and all(
        _near(estimate[kind] * times, getattr(month, kind)) or _near(estimate[kind] * times, calls.get(kind, 0))
        for kind in wrong
        if kind != "idle"
    ):
        return (
            f"{wrong[0]}: you estimated {estimate[wrong[0]]:,.0f} requests, which is about what the sample of {SAMPLE} "
            f"took. A month brings {times:,.0f} times as many receipts."
        )
    as_messages = any(
        kind in wrong and _near(estimate[kind], MONTH) and not _near(calls.get(kind, 0), MONTH) for kind in _TRAFFIC
    )
    if as_messages or _near(sum(estimate[kind] for kind in _TRAFFIC), MONTH):
        return (
            f"You counted messages, not requests. {MONTH:,} receipts took {calls.get('send', 0):,.0f} calls that sent, "
            f"{calls.get('receive', 0):,.0f} that received and {calls.get('delete', 0):,.0f} that deleted, and each "
            "is billed."
        )
    if any(kind in wrong and _near(estimate[kind], calls.get(kind, 0)) for kind in ("send", "receive")):
        number = costs.steps(size)
        spelt = _WORDS[number] if number < len(_WORDS) else str(number)
        return (
            f"{size / 1024:.0f} KB is {spelt} requests each time it moves. Each {_chunk()} KB that a call carries is "
            "billed as one, when it is sent and when it is received."
        )
    if wrong == ["idle"] and estimate["idle"] < month.idle * _NEAR:
        more = ": more than your traffic" if month.idle > month.traffic else ""
        return (
            f"{BRANCHES} idle triggers ask about {month.idle / 1e6:.0f} million times a month{more}. Nobody has to "
            "send anything for that."
        )
    kind = wrong[0]
    if kind == "idle":
        return (
            f"idle: you estimated {estimate['idle']:,.0f} requests a month. {BRANCHES} idle triggers ask "
            f"{_QUIET * month.idle:,.0f} to {month.idle:,.0f} times: multiply what section 2 measured for one of them "
            f"by {BRANCHES}."
        )
    return (
        f"{kind}: you estimated {estimate[kind]:,.0f} requests a month, and the recorder's counts make "
        f"{getattr(month, kind):,.0f}. Look at what one call carries, and correct that number."
    )


def _near(number: float, wanted: float) -> bool:
    return abs(number - wanted) <= _NEAR * wanted


def _chunk() -> int:
    return int(facts.quota("sqs.billing_chunk").value // 1024)


def _latest(log: pandas.DataFrame) -> pandas.DataFrame:
    """Return what belongs to the receipts that were sent last."""
    sent = log.loc[log["event"] == "sent", "message"].tail(SAMPLE)
    requests = log.loc[log["message"].isin(sent), "request"].dropna()
    return log[log["message"].isin(sent) | (log["message"].isna() & log["request"].isin(requests))]


def _idle_triggers(lab: Lab, queue: str, function: str) -> int:
    """Return how many triggers of the function, beside the queue's own, are on."""
    busy = lab.name(own_part(queue.rpartition("/")[2]))
    name = lab.name(own_part(function))
    pages = lab.client("lambda").get_paginator("list_event_source_mappings").paginate(FunctionName=name)
    return sum(
        one["State"] in ("Enabled", "Enabling", "Creating", "Updating")
        for page in pages
        for one in page["EventSourceMappings"]
        if own_part(one["EventSourceArn"]).startswith(lab.name("branch-")) and own_part(one["EventSourceArn"]) != busy
    )
