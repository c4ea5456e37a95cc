"""The exercise of notebook 02: a counter that shows how long a function's environment lives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..checks import Verdict, almost, exercise, not_yet, yes
from ..guard import own_part
from . import evidence
from .evidence import Run

if TYPE_CHECKING:
    from ..lab import Lab

_NAMED = re.compile(r"(?:count|call|number)\w*\W{1,4}(\d+)\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")
_PER_ENVIRONMENT = re.compile(r"environment|process|container|instance|cold.?start|restart", re.IGNORECASE)
_TIMED_OUT = "it timed out"

_INSIDE = "It restarts at each call; code outside the handler runs once per environment."
_NO_STORE = "After the timeout it was 1 again, and a second environment has its own."
_SWALLOWED = "Lambda saw success: with a queue in front the message would now be deleted."


@exercise(
    "02-counter",
    hints=[
        "What stands outside the handler runs when an environment starts, and stays for its next calls.",
        "A number outside the handler is changed with `global calls` inside it; then `print` it, first of all.",
        'Write `calls = 0` above the handler; in it `global calls`, `calls += 1`, `print("count", calls)`. '
        "Leave the order without a price alone, and put the word environment into the description.",
    ],
)
def counter(lab: Lab, *, function: str) -> Verdict:
    """Look for counts k and k + 1 on one log stream, 1 after a timeout, a failure, and a true description."""
    changed = evidence.changed(lab, function)
    if changed is None:
        return not_yet(f"There is no function `{function}` yet: run the exercise's cell first.")
    runs = evidence.runs(lab, function)
    runs = [run for run in runs if run.started >= changed] or runs
    if not runs:
        return not_yet(f"`{function}` has not run yet, or its log is not there yet: call it, then check again.")
    counts = [_count(run) for run in runs]
    if all(count is None for count in counts):
        if all(run.error for run in runs):
            return not_yet(f"All {len(runs)} runs failed, the first with “{runs[0].error}”: mend that first.")
        return not_yet(
            f"The log of the last {len(runs)} runs holds no count: count the calls, and print the count in each."
        )
    late = max((place for place, run in enumerate(runs) if run.error == _TIMED_OUT), default=None)
    if late is None:
        return almost(
            f"None of the last {len(runs)} runs timed out, so none shows what a timeout does to the count: let one "
            "work for longer than the function's timeout."
        )
    before = _before(runs[:late], counts[:late])
    if before is not None:
        return before
    after = _after(runs[late + 1 :], counts[late + 1 :])
    if after is not None:
        return after
    wrong = _described(lab, function)
    if wrong is not None:
        return wrong
    first, second = counts[late - 2 : late]
    return yes(
        f"The count was {first} and {second} on one log stream, and 1 again after the timeout: what stands outside the "
        "handler lives as long as its environment's process. The order without a price failed, and Lambda knows."
    )


def _before(runs: list[Run], counts: list[int | None]) -> Verdict | None:
    """Return what is wrong with the two runs before the timeout."""
    if len(runs) < 2:
        return almost("Fewer than two runs came before the one that timed out: call it twice, then let one time out.")
    (one, other), (first, second) = runs[-2:], counts[-2:]
    if first is None or second is None:
        return almost("One of the two runs before the timeout printed no count: print it in each, first of all.")
    if one.stream != other.stream:
        return almost("The two runs before the timeout had an environment each: call once more, one after the other.")
    if first == second:
        return almost(f"Two calls in a row counted {first} and {second}. {_INSIDE}")
    if second != first + 1:
        return almost(f"Two calls in a row counted {first} and {second}, and each call shall count for one.")
    return None


def _after(runs: list[Run], counts: list[int | None]) -> Verdict | None:
    """Return what is wrong with the runs after the timeout."""
    if not runs:
        return almost("No call came after the one that timed out: call it once more, and look at the count.")
    if counts[0] is None:
        return almost("The run after the timeout printed no count: print it in each, first of all.")
    if counts[0] == 0:
        return almost("After the timeout the count was 0, in the first run of a new process: add 1, then print.")
    if counts[0] != 1:
        return almost(
            f"After the timeout the count went on with {counts[0]}: it is kept in a file, or somewhere else outside "
            "the process. Keep it in a variable, to see the process end."
        )
    if len(runs) < 2:
        return almost("The order without a price is still missing: send it as the last one, and let it fail.")
    if not runs[-1].error:
        return almost(f"The run of the last order, the one without a price, ended well. {_SWALLOWED}")
    return None


def _described(lab: Lab, function: str) -> Verdict | None:
    """Return what is wrong with the function's description."""
    client = lab.client("lambda")
    configuration = client.get_function_configuration(FunctionName=lab.name(own_part(function)))
    text = configuration.get("Description", "").strip()
    if not text:
        return almost("The function's description is empty: say in it what the count is of.")
    if not _PER_ENVIRONMENT.search(text):
        return almost(f"The count is right, and the description calls it “{text}”. {_NO_STORE}")
    return None


def _count(run: Run) -> int | None:
    """Return the count that a run printed: the number behind such a word, else the last whole number."""
    lines = [line for line in run.lines if "Task timed out" not in line]
    named = [found for line in lines for found in _NAMED.findall(line)]
    numbers = named or [found for line in lines for found in _NUMBER.findall(line)]
    return int(numbers[-1]) if numbers else None
