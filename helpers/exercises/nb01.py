"""The exercise of notebook 01: lease three messages, finish one, give one back, keep one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..checks import Verdict, almost, exercise, not_yet, yes
from ..lab import spell
from . import evidence

if TYPE_CHECKING:
    import pandas

    from ..lab import Lab

LEASED = 3
"""How many messages the exercise sends."""

KEPT = 90.0
"""Seconds that the kept message has to stay hidden: three times a queue's own 30, and less than 2 minutes more."""

_OVER = "To start over, run the cell that fills the queue again."


@dataclass(frozen=True)
class Lease:
    """One receive of a message that was not deleted.

    Attributes
    ----------
    began : float
        Seconds since the epoch.
    ended : float or None
        When the message became visible again; None while it is hidden.
    """

    began: float
    ended: float | None

    def seconds(self, now: float) -> float:
        """Return how long the message was hidden, or has been by now."""
        return (now if self.ended is None else self.ended) - self.began


@exercise(
    "01-lease",
    hints=[
        "One `receive_message` with `MaxNumberOfMessages=3` leases all three; each has a `ReceiptHandle` of its own.",
        "`delete_message` finishes one. `change_message_visibility` sets a lease anew, counted from the call.",
        "Give back with `VisibilityTimeout=0`, keep with `VisibilityTimeout=120`, then `lab.wait(90)`: who is hidden?",
    ],
)
def lease(lab: Lab, *, queue: str) -> Verdict:
    """Look for one message deleted, one given back before its time, and one hidden for a minute and a half."""
    depth, made = evidence.depth(lab, queue), evidence.made(lab, queue)
    if depth is None or made is None:
        return not_yet(f"There is no queue `{queue}` yet: run the cells above first.")
    timeout, log = depth.visibility_timeout, lab.recorder(queue=queue, since=made)

    sent = log.loc[log["event"] == "sent", "message"].nunique()
    if sent != LEASED:
        return not_yet(f"The queue was sent {_messages(sent)}, and the exercise is about {LEASED}. {_OVER}")
    received = log.loc[log["event"] == "received", "message"].nunique()
    if received < LEASED:
        return not_yet(
            f"{_messages(received)} of {LEASED} received so far: lease all {LEASED}, in as many receives as it takes."
        )
    most = int(log.loc[log["event"] == "received", "receive_count"].max())
    finished = log.loc[log["event"] == "deleted", "message"].nunique()
    if finished == 0 and most > 1:
        return almost(
            "A handle belongs to one receive; this message was received again since, so use the newest one. "
            f"Nothing is deleted yet, after up to {most} receives of a message; with an older handle a delete fails "
            "without an error."
        )
    if finished == 0:
        return almost(
            "You read it; reading only hides it. DeleteMessage ends it. "
            "It takes the `ReceiptHandle` of your receive, not the `MessageId`."
        )
    if finished > 1:
        return almost(f"{_messages(finished)} deleted, and one was to be finished; a deleted one is gone. {_OVER}")

    now = lab.now().timestamp()
    first, second = _given_and_kept(_leases(log), timeout, now)
    hidden = spell(round(first.seconds(now)))
    if first.ended is None:
        return almost(
            f"Two are hidden, for {hidden} now, and nobody else can have either: "
            f"give one back with ChangeMessageVisibility to 0, right after its receive. {_OVER}"
        )
    if first.seconds(now) > timeout + 2:
        return almost(
            f"Nobody else could have either for {hidden}: "
            f"give one back right after its receive, with ChangeMessageVisibility to 0. {_OVER}"
        )
    if first.seconds(now) >= timeout - 1:
        return almost(
            "It came back by itself; ChangeMessageVisibility to 0 gives it back now. "
            f"It was hidden for {hidden}, the lease's full time. {_OVER}"
        )
    if second.seconds(now) < KEPT:
        hidden = spell(round(second.seconds(now)))
        if second.ended is None:
            return almost(
                f"One is finished, one given back. The third has been hidden for {hidden}: "
                "wait until it is 90 s, and check again."
            )
        return almost(
            f"The one to keep came back after {hidden}, and it was to stay hidden for 2 min more: "
            f"ChangeMessageVisibility to 120 before the lease ends. {_OVER}"
        )
    return yes(
        f"One is deleted, one went back {first.seconds(now):.1f} s after its receive, and one was hidden for "
        f"{spell(round(second.seconds(now)))}, well past the queue's {spell(timeout)}."
    )


def _given_and_kept(leases: list[list[Lease]], timeout: int, now: float) -> tuple[Lease, Lease]:
    """Return the lease that was given back and the one that was kept; a look at the queue afterwards is a new lease."""
    pairs = [
        (early, max(others, key=lambda one: one.seconds(now)))
        for mine, others in (leases, leases[::-1])
        for early in mine
        if early.ended is not None and early.seconds(now) < timeout - 1
    ]
    if pairs:
        return max(pairs, key=lambda pair: pair[1].seconds(now))
    first, second = sorted((each[-1] for each in leases), key=lambda one: one.seconds(now))
    return first, second


def _leases(log: pandas.DataFrame) -> list[list[Lease]]:
    """Return the leases of each message that was not deleted, in their order."""
    found = []
    for _, rows in log[log["message"].notna()].groupby("message", sort=False):
        if (rows["event"] == "deleted").any():
            continue
        begun = [time.timestamp() for time in rows.loc[rows["event"] == "received", "time"]]
        back = [time.timestamp() for time in rows.loc[rows["event"] == "visible", "time"]]
        limits = [*begun[1:], float("inf")]
        found.append(
            [
                Lease(start, next((end for end in back if start <= end <= limit), None))
                for start, limit in zip(begun, limits, strict=True)
            ]
        )
    return found


def _messages(number: int) -> str:
    return "1 message" if number == 1 else f"{number} messages"
