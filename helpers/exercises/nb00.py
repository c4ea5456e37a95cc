"""The exercises of notebook 00: write each order's total; break the pipeline and repair it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..checks import Verdict, almost, exercise, not_yet, yes
from ..lab import spell
from . import evidence

if TYPE_CHECKING:
    from ..lab import Lab

TOTAL = 37.5
"""What the order of the exercise costs: 3 at 12.50."""

_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?!\d|\.\d)")
_ENVELOPE = "The event is an envelope: your message is in `event['Records'][0]['body']`."
_TEXT = "The body arrives as text, even when you sent JSON: `json.loads` makes an order of it."


@exercise(
    "00-total",
    hints=[
        "A handler gets an envelope. Print `event` once and look for your order in it.",
        "The order is text in `event['Records'][0]['body']`; `json.loads` turns it into a dictionary.",
        "Multiply price by quantity and print it: whatever a handler prints becomes a line of its log.",
    ],
)
def total(lab: Lab, *, queue: str, function: str) -> Verdict:
    """Look for the total of the order in the log of a run that succeeded."""
    found = _pipeline(lab, queue, function)
    if isinstance(found, Verdict):
        return found
    changed, depth, runs = found
    since = [run for run in runs if run.started >= changed]
    for run in reversed(since):
        if not run.error and any(TOTAL in _numbers(line) for line in run.lines):
            return yes(
                f"The log of run {run.request_id[:8]} holds {TOTAL}: your order went in as text and came out as a sum."
            )
    if since and since[-1].error:
        return almost(f"The last run failed with `{since[-1].error}`. {_explain(since[-1].error)}")
    for line in (line for run in reversed(since) for line in run.lines if "total" in line.lower()):
        if numbers := _numbers(line):
            return almost(f"The log says {numbers[-1]:g}, and 3 at 12.50 make {TOTAL}: multiply price by quantity.")
        return almost(f"The log says `{line[:80]}` without a number; 3 at 12.50 make {TOTAL}: print the sum as well.")
    state = evidence.trigger_state(lab, queue, function)
    if state != "Enabled":
        seen = f"is {state}" if state else "does not exist"
        return not_yet(
            f"The trigger between `{queue}` and `{function}` {seen}; it has to be Enabled: run the cells above first."
        )
    if runs and not since and runs[-1].error and depth.visible + depth.in_flight:
        return almost(f"The function was changed since its last run failed. The message is {_hidden(depth)}.")
    if not since and (depth.visible or depth.in_flight):
        return not_yet(
            f"{_messages(depth.visible + depth.in_flight)} in the queue and not handled yet: wait, then check again."
        )
    if not runs:
        return not_yet("The function has not run yet, or its log is not there yet: send the order, then check again.")
    if not since:
        return not_yet("The function has not run since you changed it: send the order, then check again.")
    written = [line for line in since[-1].lines if line.strip()]
    last = f"The last line is `{written[-1][:80]}`" if written else "The last run printed nothing"
    return not_yet(
        f"The function has run {_times(len(since))} since you changed it, and no line of its log holds {TOTAL}. "
        f"{last}: print price times quantity, and run your cell again."
    )


@exercise(
    "00-repair",
    hints=[
        "Let the handler read a key that the order does not have, deploy it, and send one order.",
        "The error is in the function's log: look for `[ERROR]`. The message is not lost, only hidden for a while.",
        "Repair the handler and deploy it, and do not send again: `lab.wait(30)` lets the hidden message come back.",
    ],
)
def repair(lab: Lab, *, queue: str, function: str) -> Verdict:
    """Look for a run that failed, a later one that succeeded, and a queue that is empty."""
    found = _pipeline(lab, queue, function)
    if isinstance(found, Verdict):
        return found
    changed, depth, runs = found
    failed = [run for run in runs if run.error]
    if not failed:
        return not_yet("No run has failed yet: break the handler, deploy it, and send an order.")
    hidden = _hidden(depth)
    if runs[-1].error:
        last = f"The last run failed with `{runs[-1].error}`"
        if not depth.visible and not depth.in_flight:
            return almost(
                f"{last}, and its message is no longer in the queue: repair the handler and send another order."
            )
        if changed > runs[-1].started:
            return almost(f"{last}, and the function was changed since. The message is {hidden}.")
        return almost(f"{last}. Repair the handler and deploy it; the message is kept, {hidden}.")
    if depth.in_flight:
        return almost(f"There are two messages now; the first is {hidden}.")
    if depth.visible:
        state = evidence.trigger_state(lab, queue, function) or "gone"
        return almost(
            f"{_messages(depth.visible)} waiting in the queue, and the trigger is {state}: it has to be Enabled."
        )
    return yes(
        f"The handler failed {_times(len(failed))} (last with `{failed[-1].error}`), the queue kept the message, "
        "and the repaired handler got it."
    )


def _pipeline(lab: Lab, queue: str, function: str) -> Verdict | tuple[float, evidence.Depth, list[evidence.Run]]:
    """Return when the function was changed, what the queue holds and the runs so far; or what is not there yet."""
    changed = evidence.changed(lab, function)
    if changed is None:
        return not_yet(f"There is no function `{function}` yet: run the cells above first.")
    depth = evidence.depth(lab, queue)
    if depth is None:
        return not_yet(f"There is no queue `{queue}` yet: run the cells above first.")
    return changed, depth, evidence.runs(lab, function)


def _explain(error: str) -> str:
    if re.match(r"KeyError: '(body|Body)'", error) or "list indices must be integers" in error:
        return _ENVELOPE
    if re.match(r"KeyError: '(price|quantity|order)'", error):
        return _ENVELOPE
    if "must be str, bytes or bytearray" in error or "'dict' object has no attribute 'body'" in error:
        return _ENVELOPE
    if "string indices must be integers" in error or "'str' object has no attribute" in error:
        return _TEXT
    return "Its log has the line that failed: look there, repair it, and run your cell again."


def _hidden(depth: evidence.Depth) -> str:
    return f"hidden until its {spell(depth.visibility_timeout)} are over: wait, or fast-forward"


def _numbers(line: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(line)]


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _messages(number: int) -> str:
    return "1 message is" if number == 1 else f"{number} messages are"
