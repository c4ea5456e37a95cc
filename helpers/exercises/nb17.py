"""The exercises of notebook 17: a design that keeps every promise on Black Friday, and on days nobody has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..capstone.design import DESIGNS, load
from ..capstone.score import Line, Scorecard
from ..capstone.workspace import HIDDEN, last
from ..checks import Verdict, almost, exercise, not_yet, yes
from ..errors import LabError

if TYPE_CHECKING:
    from ..lab import Lab

_CAUSES = ("valid events dead-lettered",)
"""What is told first where several lines fail: the others follow from it."""
_ADVICE = {
    "charged exactly once": "The till sends twice and a process can end after the work: claim an order in the table "
    "before you charge it, and ask the provider about a claim that you meet again.",
    "order per customer": "A later event of a customer was done first: put all events of a customer into one message "
    "group, and give the rest of a group back when one of it fails.",
    "valid events dead-lettered": "They failed while payments were down and were given up. Count how often the "
    "unluckiest is received in 40 s, and allow more.",
    "malformed events dead-lettered": "An event that breaks a rule of the brief was handled, or is lost: check the "
    "item, the price and the note before you take stock.",
    "reasons in the log": "Print one line of JSON with `event` and `reason` when an event is refused.",
    "stock": "A resend or a retry took packets twice, or a sold-out tea was sold: make the update conditional, and let "
    "it remember what has changed it.",
    "refused by the provider": "More than eight runs asked at once: cap the trigger with MaximumConcurrency.",
    "3 of 4 orders in the outage": "They waited behind payments of other customers: choose a message group that holds "
    "only what has to stay in order.",
    "drained": "Something still ran after minute 7: look at the group that is longest.",
    "alarm": "Watch `ApproximateNumberOfMessagesVisible` of the dead-letter queue: Maximum over 60 s, above 0.",
    "rights": "Name the actions and the one resource of each; AWSLambdaBasicExecutionRole may stay.",
    "cost": "Look at the runs: a larger batch, or less memory.",
    "cleanup": "The stack has to take everything along when it is deleted.",
}

_LOGGED = (
    "Most of them were not sent in the outage. {}What shares a batch with a failing event comes back with it until "
    "maxReceiveCount is reached: report only what failed, and put aside at once what no retry mends."
)
"""Where valid events were given up for another reason."""


@exercise(
    "17-design",
    hints=[
        "Take the hard lines first. Which events have to stay in order with each other, and which need not? That is "
        "your message group.",
        "A payment that fails at 2:00 fails again at 2:30. A malformed event fails always. They want different ends: "
        "the first comes back, with the rest of its group; the second goes aside at once, with its reason.",
        "FIFO, `MessageGroup: customer`, `ReportBatchItemFailures`, `maxReceiveCount: 4`, `MaximumConcurrency: 8`, and "
        "a conditional write for each charge and each change of stock.",
    ],
)
def design(lab: Lab, *, design: str) -> Verdict:
    """Look at the scorecard that the design's files got, as they are now."""
    try:
        read = load(design)
    except LabError as refusal:
        return not_yet(str(refusal))
    card = last(design)
    if read.files == load(DESIGNS / "starter").files:
        met = f" It meets {len(card.lines) - len(card.failed)} of {len(card.lines)} lines." if card else ""
        return not_yet(f"This is still the starter.{met} Edit its files, then let the judge run.")
    if card is None:
        return not_yet("The judge has not seen these files as they are now: run `card = capstone.run(design)`.")
    if card.passed:
        return yes(f"All {len(card.lines)} lines are met. Two days that nobody has seen are left: the final.")
    line = next((one for one in card.failed if one.name in _CAUSES), card.failed[0])
    return almost(f"{_told(card, line)}{_others(len(card.failed) - 1)}")


@exercise(
    "17-final",
    hints=[
        "Nothing to write: pass the rehearsal, then let the final run.",
        "If a hidden day fails where the rehearsal passed, something of your design knows that day: an id, a count, "
        "a moment.",
        "`capstone.final(design, seed=2)` runs one day, `seed=3` the other.",
    ],
)
def final(lab: Lab, *, design: str) -> Verdict:
    """Look at the scorecards of the hidden seeds."""
    try:
        cards = {seed: last(design, seed=seed) for seed in HIDDEN}
    except LabError as refusal:
        return not_yet(str(refusal))
    open_ = [seed for seed, card in cards.items() if card is None]
    if open_:
        days = " and ".join(f"day {seed}" for seed in open_)
        return not_yet(f"The final has not run with these files on {days}: meet every line of day 1, then run it.")
    for seed, card in cards.items():
        if card is not None and not card.passed:
            return almost(f"Day {seed}: {_told(card, card.failed[0])}{_others(len(card.failed) - 1)}")
    return yes("Every line is met on days that nobody has seen. The shop can open.")


def _told(card: Scorecard, line: Line) -> str:
    if line.elsewhere:
        log = f"The log says: {'; '.join(card.errors[:2])}. " if card.errors else ""
        return f"{line.sentence} {_LOGGED.format(log)}"
    return f"{line.sentence} {_ADVICE[line.name]}"


def _others(number: int) -> str:
    return "" if not number else " One more line is not met." if number == 1 else f" {number} more lines are not met."
