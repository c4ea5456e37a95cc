"""The exercise of notebook 07: bring back what the fix cures, keep the rest with its reason, charge nothing twice."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..checks import Verdict, almost, exercise, not_yet, yes
from ..errors import is_missing
from ..pictures.canvas import count, listed
from . import evidence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..lab import Lab

CURED = frozenset({5, 7, 8, 23, 58})
"""Dead letters that the fix cures, each attempt's numbers counted from its own thousand."""
NEVER = frozenset({87, 124, 151, 179})
"""Dead letters that no code cures."""
BY_HAND = 6
"""A dead letter whose order was sent again and charged."""

_CHARGED = re.compile(r'"charged": (\d+)')
_THOUSAND = 1000
_LATER = 40
_REASONS = ("reason", "error", "problem")
_AGAIN = "Run the cell that makes the dead letters, and try again."


@dataclass(frozen=True)
class _Letter:
    """A message as a check sees it: its order, when it was sent (seconds since the epoch), and the reason it bears."""

    order: int
    sent: float
    reason: str


@dataclass(frozen=True)
class _Morning:
    """The latest attempt: from which number its orders count, when it began, how often each was charged."""

    number: int
    began: float
    charged: Counter[int]

    @property
    def cured(self) -> set[int]:
        return {self.number + order for order in CURED}

    @property
    def never(self) -> set[int]:
        return {self.number + order for order in NEVER}

    @property
    def by_hand(self) -> int:
        return self.number + BY_HAND

    def of_it(self, letters: list[_Letter]) -> list[_Letter]:
        """Return the letters of this attempt, without those of earlier ones."""
        return [letter for letter in letters if letter.order // _THOUSAND == self.number // _THOUSAND]


@exercise(
    "07-redrive",
    hints=[
        "A move task takes everything that it finds. What must not go back, and what has to be there before it starts?",
        "Deploy `fixed`; `messages.peek` the letters; try each body with `problem_of`, and look each order up among "
        "the `charged` ones of `log_lines('shop')`.",
        "What must not go back: `keep` it with its reason, and delete it by its handle. Give the others back with a "
        "visibility timeout of 0, start the move task with `shop.dead_letters.arn`, and wait.",
    ],
)
def redrive(lab: Lab, *, queue: str, function: str, quarantine: str) -> Verdict:
    """Look at who was charged and how often, and at what lies in the dead-letter queue and in the quarantine."""
    sqs = lab.client("sqs")
    morning = _morning(lab, function)
    if morning is None:
        return not_yet(f"`{function}` has not charged any order of the branch. {_AGAIN}")
    url = sqs.get_queue_url(QueueName=lab.name(queue))["QueueUrl"]
    policy = json.loads(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["RedrivePolicy"])
    dead_arn = policy["deadLetterTargetArn"]
    dead = dead_arn.rpartition(":")[2]
    if under_way := _under_way(lab, queue, dead, dead_arn):
        return almost(under_way)
    letters = morning.of_it(_look(lab, dead))
    if wrong := _gone_wrong(morning, letters, dead):
        return almost(wrong)
    there = {letter.order for letter in letters}
    return _rest(morning, there, morning.of_it(_look(lab, quarantine)), dead, quarantine)


def _gone_wrong(morning: _Morning, letters: list[_Letter], dead: str) -> str:
    """Return what a redrive or a resend has done that it should not have; empty if nothing."""
    again = {letter.order for letter in letters if letter.sent > morning.began + _LATER}
    there = {letter.order for letter in letters}
    twice = sorted(order for order, number in morning.charged.items() if number > 1)
    if old := again & morning.cured:
        return (
            f"{count(len(old), 'order')} that the fix cures went back before the branch's function had the fix, ran "
            f"into the old code and {'is a dead letter' if len(old) == 1 else 'are dead letters'} again. "
            "Deploy first, then redrive."
        )
    if back := again & morning.never:
        also = f", and order {_numbers(twice)} was charged twice" if twice else ""
        return (
            f"You redrove everything, so the {len(back)} that no code cures are back in `{dead}`{also}. "
            "Take out what must not go back before you start the move."
        )
    if twice:
        return (
            f"Order {_numbers(twice)} was charged {max(morning.charged.values())} times. A redriven message is a new "
            f"one: only the order's own number tells that it was charged before. Look first. {_AGAIN}"
        )
    if guessed := morning.never & set(morning.charged):
        return f"Order {_numbers(guessed)} was charged, and nobody knows its price or quantity. Keep it for a person."
    if left := there & morning.cured & set(morning.charged):
        theirs = "its letter is" if len(left) == 1 else "their letters are"
        return (
            f"{count(len(left), 'order')} went through by another way, and {theirs} still in `{dead}`: with the next "
            "redrive everything runs twice. Delete a letter once its order is through."
        )
    return ""


def _rest(morning: _Morning, there: set[int], kept: list[_Letter], dead: str, quarantine: str) -> Verdict:
    """Return the verdict for a state in which nothing has gone wrong: what is missing, or yes."""
    inside = {letter.order for letter in kept}
    open_ = morning.cured - set(morning.charged)
    if open_ and there >= morning.cured | morning.never:
        return not_yet(
            f"`{dead}` holds {count(len(there), 'letter')}, and none of the {len(CURED)} that the fix cures has been "
            "charged. Deploy, take out what must not go back, redrive."
        )
    if lost := open_ - there - inside:
        return almost(
            f"{count(len(lost), 'order')} that the fix would have cured {'is' if len(lost) == 1 else 'are'} neither "
            f"charged nor in a queue: purged or deleted is gone for ever. {_AGAIN}"
        )
    if unfair := open_ & inside:
        return almost(f"Order {_numbers(unfair)} lies in `{quarantine}`, and the fix cures it: send it back.")
    if open_:
        return almost(f"Order {_numbers(open_)} waits in `{dead}`, and the fix cures it. Redrive it.")
    if gone := morning.never - there - inside:
        return almost(
            f"Order {_numbers(gone)} is in no queue any more, and somebody wants that tea. Keep what no code cures, "
            f"in `{quarantine}`. {_AGAIN}"
        )
    if stayed := morning.never & there:
        return almost(
            f"{count(len(stayed), 'letter')} that no code cures {'is' if len(stayed) == 1 else 'are'} still in "
            f"`{dead}`: the next redrive takes them along. Keep them in `{quarantine}`, with the reason, and delete "
            "them here."
        )
    if morning.by_hand in there:
        return almost(
            f"Order {morning.by_hand} was charged when it was sent again by hand, and its dead letter is still in "
            f"`{dead}`: with the next redrive it runs twice. Take it out."
        )
    if bare := {letter.order for letter in kept if letter.order in morning.never and not letter.reason}:
        return almost(
            f"Order {_numbers(bare)} is kept without a reason. In a month nobody will know why it lies there: send it "
            "with a message attribute `reason`."
        )
    return yes(
        f"{len(CURED)} orders came through, each charged once, also the one sent by hand; {len(NEVER)} are kept in "
        f"`{quarantine}` with their reason; `{dead}` is empty."
    )


def _morning(lab: Lab, function: str) -> _Morning | None:
    """Return the latest attempt, or None when no order of one was charged yet."""
    found = [
        (run.started, int(match[1]))
        for run in evidence.runs(lab, function)
        for line in run.lines
        if (match := _CHARGED.search(line))
    ]
    if not found:
        return None
    number = max(order for _, order in found) // _THOUSAND * _THOUSAND
    mine = [(started, order) for started, order in found if order > number]
    return _Morning(number, min(started for started, _ in mine), Counter(order for _, order in mine))


def _under_way(lab: Lab, queue: str, dead: str, dead_arn: str) -> str:
    """Return what has still to come to rest before anything can be judged; empty if nothing."""
    for task in lab.client("sqs").list_message_move_tasks(SourceArn=dead_arn)["Results"]:
        if task["Status"] in ("RUNNING", "CANCELLING"):
            moved, of = task["ApproximateNumberOfMessagesMoved"], task["ApproximateNumberOfMessagesToMove"]
            return f"A move task is under way: {moved} of {of}. Let time pass with lab.wait(60), then check again."
    source, letters = evidence.depth(lab, queue), evidence.depth(lab, dead)
    on_the_way = source.visible + source.in_flight if source else 0
    if on_the_way:
        return (
            f"{count(on_the_way, 'message')} of `{queue}` {'is' if on_the_way == 1 else 'are'} neither done nor dead "
            "yet. Let time pass with lab.wait(60), then check again."
        )
    if letters and letters.in_flight:
        return (
            f"{count(letters.in_flight, 'letter')} of `{dead}` {'is' if letters.in_flight == 1 else 'are'} hidden by "
            "a receive. Give them back with a visibility timeout of 0, then go on."
        )
    return ""


def _look(lab: Lab, queue: str) -> list[_Letter]:
    """Return what a queue holds, and leave it there."""
    sqs = lab.client("sqs")
    found: list[_Letter] = []
    handles: list[str] = []
    try:
        url = sqs.get_queue_url(QueueName=lab.name(queue))["QueueUrl"]
    except sqs.exceptions.ClientError as problem:
        if not is_missing(problem):
            raise
        return []
    while received := sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=60,
        WaitTimeSeconds=1,
        MessageSystemAttributeNames=["SentTimestamp"],
        MessageAttributeNames=["All"],
    ).get("Messages"):
        handles += [one["ReceiptHandle"] for one in received]
        found += [_letter(one) for one in received]
    for begin in range(0, len(handles), 10):
        entries = [
            {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
            for number, handle in enumerate(handles[begin : begin + 10])
        ]
        sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)
    return found


def _letter(message: dict[str, Any]) -> _Letter:
    """Return a message as a letter; the order may stand in its body itself or one level down."""
    try:
        body = json.loads(message["Body"])
        inner = next((value for value in (body.get("order"), body.get("body")) if isinstance(value, dict | str)), body)
        order = int((json.loads(inner) if isinstance(inner, str) else inner)["order"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return _Letter(0, 0.0, "")
    reasons = [value.get("StringValue", "") for value in message.get("MessageAttributes", {}).values()]
    reasons += [str(body.get(name) or "") for name in _REASONS]
    return _Letter(order, int(message["Attributes"]["SentTimestamp"]) / 1000, next(filter(None, reasons), ""))


def _numbers(orders: Iterable[int]) -> str:
    return listed([str(order) for order in sorted(orders)])
