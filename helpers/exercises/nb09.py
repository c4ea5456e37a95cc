"""The exercise of notebook 09: transfers of forty accounts, in order for each account and quick for the bank."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from .. import recorder
from ..checks import Verdict, almost, exercise, not_yet, yes
from . import evidence

if TYPE_CHECKING:
    import pandas

    from ..lab import Lab

ACCOUNTS = 40
TRANSFERS = 2 * ACCOUNTS
REFUSED = "7"
"""The account whose deposit the bank refuses at its first receive."""
FEE = 30
"""What a withdrawal costs that takes its account below zero."""
SECONDS = 10
"""How long the other accounts may take. The refused transfer comes back after 30 s, so whoever waits for it is late."""

_ONE_GROUP = "In order, and as slow as one worker: order is needed per account, not for the bank."
_WENT_ON = "Everything after the failed one in its group must be reported too, or it is deleted out of turn."


@dataclass(frozen=True)
class Booking:
    """A line that `book` has written: which transfer of which account, and in which message it came."""

    transfer: str
    account: str
    amount: int
    message: str


@exercise(
    "09-transfers",
    hints=[
        "Which transfers must not overtake each other? Those, and only those, share a group.",
        "When a transfer fails, whatever comes behind it in its group, in the same batch, must not be booked: "
        "keep a set of the groups that have stopped, and report those messages with the failed one.",
        "Group: `str(transfer['account'])`. In the handler `record['attributes']['MessageGroupId']` is the group. The "
        "trigger needs `function_response_types=['ReportBatchItemFailures']`, unless its batch size is 1.",
    ],
)
def transfers(lab: Lab, *, queue: str, function: str) -> Verdict:
    """Add up what was booked, in the order of booking, and look how long the accounts without a failure took."""
    log = lab.recorder(queue=queue)
    sent = int((log["event"] == "sent").sum())
    dropped = int((log["event"] == "deduplicated").sum())
    if not sent:
        return not_yet(
            f"Nothing was sent to `{queue}`: write the handler, connect it, and send the transfers in groups."
        )
    if dropped:
        return almost(
            f"{dropped} sends were dropped as duplicates. Either this queue has seen an attempt already, and the cell "
            "above makes a fresh one; or transfers share a deduplication id that are not the same."
        )
    if sent != TRANSFERS:
        return almost(f"{sent} transfers were sent, and there are {TRANSFERS}: send them all, each once.")
    if not (log["event"] == "received").any():
        return almost(
            f"{sent} transfers were sent, and none was received: connect the function with resources.trigger, and let "
            "time pass with lab.wait."
        )
    booked = _booked(lab, function, log)
    error = _last_error(lab, function, log)
    if not booked:
        seen = f" (the last run failed: {error})" if error else ""
        return almost(f"{sent} transfers were sent, and none was booked{seen}: see to the handler.")
    table = recorder.messages(log)
    wrong = {account: total for account, total in _balances(booked).items() if total}
    incomplete = _twice_or_never(booked, table, error)
    if incomplete:
        return incomplete
    if wrong:
        return _out_of_order(booked, table, wrong)
    return _in_order(booked, table, log)


def ledger(lab: Lab, function: str, since: datetime) -> pandas.DataFrame:
    """Return what a function's log says was booked, and each account's balance after it.

    Parameters
    ----------
    lab : Lab
        Where.
    function : str
        It calls `book`.
    since : datetime
        With which to begin; the column `second` counts from it.

    Returns
    -------
    pandas.DataFrame
        In the order of booking: `second`, `transfer`, `account`, `amount` and `balance`.
    """
    import pandas

    begin = since.timestamp()
    rows = [
        (round(started - begin), one.transfer, one.account, one.amount)
        for started, _, one in _bookings(lab, function)
        if started >= begin - 0.001
    ]
    table = pandas.DataFrame(rows, columns=["second", "transfer", "account", "amount"])
    return table.assign(balance=table.groupby("account")["amount"].cumsum())


def _bookings(lab: Lab, function: str) -> list[tuple[float, str, Booking]]:
    """Return of each line of `book` when its run started, the run's id, and what the line says."""
    lines = [(run.started, run.request_id, line.split()) for run in evidence.runs(lab, function) for line in run.lines]
    return [
        (started, request, Booking(words[1], words[2], int(words[3]), words[4]))
        for started, request, words in lines
        if len(words) == 5 and words[0] == "booked"
    ]


def _booked(lab: Lab, function: str, log: pandas.DataFrame) -> list[Booking]:
    requests = _requests(log)
    return [one for _, request, one in _bookings(lab, function) if request in requests]


def _requests(log: pandas.DataFrame) -> set[str]:
    # Rows of an environment name the run that started it, which may be of another queue.
    return set(log.loc[log["message"].notna(), "request"].dropna())


def _last_error(lab: Lab, function: str, log: pandas.DataFrame) -> str:
    requests = _requests(log)
    errors = [run.error for run in evidence.runs(lab, function) if run.error and run.request_id in requests]
    return errors[-1] if errors else ""


def _balances(booked: list[Booking]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in booked:
        total[one.account] += one.amount
        if one.amount < 0 and total[one.account] < 0:
            total[one.account] -= FEE
    return dict(total)


def _twice_or_never(booked: list[Booking], table: pandas.DataFrame, error: str) -> Verdict | None:
    often = Counter(one.transfer for one in booked)
    twice = [transfer for transfer, count in often.items() if count > 1]
    if twice:
        cause = (
            "a run that raises sends its whole batch back. Report what failed, or let a batch have one message."
            if error
            else "either the handler reports what it has booked, or its answer cannot be read, and the whole batch "
            'comes back. Each failure is {"itemIdentifier": record["messageId"]}.'
        )
        return almost(f"{_transfers(len(twice))} booked more than once, such as transfer {twice[0]}: {cause}")
    if len(often) == TRANSFERS:
        return None
    ends = table.loc[~table.index.isin([one.message for one in booked]), "end"].tolist()
    missing = f"{_transfers(TRANSFERS - len(often))} not booked"
    if "done" in ends:
        return almost(
            f"{missing}, and the messages of {ends.count('done')} are deleted: what a run does not report as failed "
            "counts as done. Does the trigger know ReportBatchItemFailures, and is every failure in the answer?"
        )
    if "dead" in ends:
        return almost(
            f"{missing}, and the messages of {ends.count('dead')} went to a dead-letter queue: a transfer has to be "
            "tried again."
        )
    return almost(
        f"{missing} yet; what is missing is still in the queue. Let time pass with lab.wait, and check again."
    )


def _transfers(number: int) -> str:
    return "1 transfer was" if number == 1 else f"{number} transfers were"


def _out_of_order(booked: list[Booking], table: pandas.DataFrame, wrong: dict[str, int]) -> Verdict:
    account = REFUSED if REFUSED in wrong else min(wrong)
    groups = {table.loc[one.message, "group"] for one in booked if one.account == account}
    seen = f"account {account} ended at {wrong[account]}: its withdrawal overtook its deposit."
    if len(groups) > 1 or None in groups:
        return almost(f"Fast, and {seen} Give the two one group.")
    return almost(f"{seen.capitalize()} {_WENT_ON}")


def _in_order(booked: list[Booking], table: pandas.DataFrame, log: pandas.DataFrame) -> Verdict:
    began = log.loc[log["event"] == "received", "time"].min()
    rows = table.loc[[one.message for one in booked]].assign(account=[one.account for one in booked])
    rows["seconds"] = (rows["ended"] - began).dt.total_seconds()
    others = rows[rows["account"] != REFUSED]
    seconds = float(others["seconds"].max())
    if rows["group"].nunique() == 1:
        return almost(f"All are in one group, and the accounts without a failure took {seconds:.1f} s. {_ONE_GROUP}")
    late = others[~(others["seconds"] <= SECONDS)]
    if late.empty:
        last = float(rows.loc[rows["account"] == REFUSED, "seconds"].max())
        return yes(
            f"All {ACCOUNTS} accounts ended at 0, in order. {ACCOUNTS - 1} were done after {seconds:.1f} s; account "
            f"{REFUSED} waited for its deposit until {last:.0f} s, and nobody waited with it."
        )
    slow = late["account"].unique()
    waited = f"{len(slow)} accounts, such as {slow[0]}, took {seconds:.1f} s, and {SECONDS} s were allowed."
    if late["group"].isin(rows.loc[rows["account"] == REFUSED, "group"]).any():
        return almost(f"{waited} They share a group with account {REFUSED}, and waited for its deposit.")
    if (late["failures"] > 0).any():
        return almost(
            f"{waited} They were reported as failed only because they were in a batch with account {REFUSED}: its "
            "group has to stop, the others may go on."
        )
    return almost(f"{waited} Let more groups run at once, or look at what each run does.")
