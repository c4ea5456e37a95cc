"""The exercises of notebook 11: a cap that the model chose, and pollers for a spike that no machine here can carry."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .. import facts, recorder, scaling
from ..checks import Verdict, almost, exercise, not_yet, yes
from ..errors import LabError
from ..scaling import Outcome, Setup, Workload, simulate
from .evidence import mapping

if TYPE_CHECKING:
    from ..lab import Lab

PLAN = Workload(backlog=40, duration=0.5, cold_start=0.1)
"""What the first exercise drains, as the model is told."""
SECONDS = 4.0
"""Within how many seconds."""

SPIKE = Workload((1_000_000,), duration=0.1, duration_per_message=0.02, cold_start=0.2)
"""What arrives in the second exercise."""
OLDEST = 10.0
"""No message may be older than this, in seconds."""
CONNECTIONS = 900
"""How many runs the database takes at once."""

_WAITING = ("delayed", "waiting", "in flight")


def least_cap() -> int:
    """Return the smallest MaximumConcurrency with which the first exercise's orders are drained in time."""
    caps = range(int(facts.quota("trigger.maximum_concurrency_least").value), PLAN.backlog)
    return next(cap for cap in caps if _plan(cap).drained_s <= SECONDS)


def _plan(cap: int | None) -> Outcome:
    return simulate(PLAN, Setup(batch_size=1, maximum_concurrency=cap))


@exercise(
    "11-plan",
    hints=[
        "Needed concurrency is messages times seconds a run, divided by the seconds that you have.",
        "Let the model say: `simulate(work, Setup(batch_size=1, maximum_concurrency=…)).drained_s` for a few caps.",
        "`ScalingConfig={'MaximumConcurrency': 6}` on the trigger, then `drain()`.",
    ],
)
def plan(lab: Lab, *, queue: str, function: str) -> Verdict:
    """Look at the trigger's cap, and at the last forty orders."""
    trigger = mapping(lab, queue, function)
    if trigger is None:
        return not_yet(
            f"There is no trigger between `{queue}` and `{function}`: run the cell above the exercise first."
        )
    log = lab.recorder(queue=queue)
    log = log[log["message"].isin(log.loc[log["event"] == "sent", "message"].tail(PLAN.backlog))]
    table = recorder.messages(log)
    if len(table) < PLAN.backlog:
        return not_yet(f"{len(table)} of {PLAN.backlog} orders have been sent: set the cap, then call `drain()`.")
    if table["end"].isin(_WAITING).any():
        return not_yet("Some orders still wait: let `drain()` end, then check again.")
    cap = (trigger.get("ScalingConfig") or {}).get("MaximumConcurrency")
    least, seen = least_cap(), scaling.measures(log)
    took_s = round(float(seen["seconds"]), 1)
    took = f"It took {took_s:.1f} s with up to {seen['peak']:.0f} runs at once"
    if trigger["BatchSize"] != 1:
        return almost(
            f"{took}. A batch size of {trigger['BatchSize']} makes fewer runs of the same length; here each order is a "
            "run of its own: set BatchSize back to 1."
        )
    if int((table["end"] == "dead").sum()) or seen["throttles"]:
        return almost(
            f"{took}, and {seen['throttles']:.0f} attempts were throttled: cap the trigger, not the function."
        )
    if cap is None:
        return not_yet(f"{took}, as many as it liked: no cap is set. Ask the model for the smallest that is enough.")
    said = _plan(cap).drained_s
    if cap < least:
        return almost(
            f"{took}. With MaximumConcurrency {cap} the model needs {said:.1f} s, and you have {SECONDS:.0f}: try more."
        )
    if cap > least:
        return almost(
            f"{took}. MaximumConcurrency {cap} is enough: the model says {said:.1f} s. But a smaller cap does it "
            f"within {SECONDS:.0f} s as well."
        )
    if seen["peak"] > cap:
        return almost(f"{took}, but the cap is {cap} now: drain again with it.")
    late = f" More than {SECONDS:.0f} s: this machine was busy, and its runs took longer." if took_s > SECONDS else ""
    return yes(
        f"{took}; the model had said {said:.1f} s with MaximumConcurrency {cap}, and {_plan(cap - 1).drained_s:.1f} "
        f"with {cap - 1}.{late}"
    )


@exercise(
    "11-spike",
    hints=[
        "Who is there when the spike begins? A trigger by itself only begins to grow then.",
        "Two bounds: enough pollers to read 16,667 messages a second, 100 each; and few enough for 900 runs at once.",
        "`ProvisionedPollerConfig={'MinimumPollers': 170, 'MaximumPollers': 170}` on the trigger; BatchSize stays 10.",
    ],
)
def spike(lab: Lab, *, queue: str, function: str) -> Verdict:
    """Read the settings of the pipeline from AWS, and let the model send the spike through them."""
    if mapping(lab, queue, function) is None:
        return not_yet(
            f"There is no trigger between `{queue}` and `{function}`: run the cell above the exercise first."
        )
    try:
        setup = scaling.read(lab, queue=queue, function=function)
    except LabError as problem:
        return not_yet(f"The model cannot take these settings: {problem.what}. Change that, then check again.")
    # Not every account has AWS's default: the exercise is to have an answer on each.
    setup = replace(setup, account_concurrency=max(setup.account, int(facts.quota("account.concurrency").value)))
    outcome = simulate(SPIKE, setup, until=600)
    age, second = outcome.oldest_s, sum(SPIKE.per_minute) / 60
    seen = f"In the model the oldest message was {age:,.1f} s old, with up to {outcome.peak:,} runs at once"
    if _is_untouched(setup):
        return not_yet(
            f"{seen}. The trigger is as the first cell made it: it begins with {setup.first} runs and adds "
            f"{facts.rate('trigger.growth').value} a minute. Change its settings, then check again."
        )
    if outcome.errors:
        return almost(
            f"{seen}, and {outcome.errors:,} runs were cut off: a batch of {setup.batch_size:,} works for "
            f"{SPIKE.run_lasts(setup.batch_size):.1f} s, and the function's timeout is {setup.timeout:.0f} s."
        )
    if outcome.dead or outcome.throttles > outcome.runs / 100:
        return almost(
            f"{seen}, {outcome.throttles:,} attempts were throttled and {outcome.dead:,} messages died. The pollers "
            "read what the function may not run: cap the readers, not the function."
        )
    if outcome.peak > CONNECTIONS:
        return almost(
            f"{seen}. The age is {'right' if age <= OLDEST else 'too great'}, but the database takes {CONNECTIONS}: "
            "fewer pollers read less at once."
        )
    if age <= OLDEST:
        return yes(f"{seen}: {setup!r} holds a million messages a minute.")
    least, most = setup.pollers
    if not setup.provisioned:
        cap = f"A cap of {setup.maximum_concurrency:,} makes nothing faster. " if setup.maximum_concurrency else ""
        return almost(
            f"{seen}. {cap}The trigger still begins with {setup.first} runs and adds "
            f"{facts.rate('trigger.growth').value} a minute, and the spike is over in one: have pollers ready for it."
        )
    reads = int(facts.rate("trigger.poller_polls").value) * min(10, setup.batch_size)
    if setup.batch_size < 10:
        return almost(
            f"{seen}. With BatchSize {setup.batch_size} a poll brings {setup.batch_size} of ten messages: {most} "
            f"pollers read {most * reads:,} a second, and {second:,.0f} arrive."
        )
    if most * reads < 0.9 * second:
        return almost(
            f"{seen}. {most} pollers carry {10 * most:,} runs, but each reads {reads} messages a second: together "
            f"{most * reads:,}, and {second:,.0f} arrive."
        )
    return almost(
        f"{seen}. Only {least} pollers are there when the spike begins, and those that are added come too late: raise "
        "MinimumPollers."
    )


def _is_untouched(setup: Setup) -> bool:
    caps = (setup.maximum_concurrency, setup.reserved_concurrent_executions)
    reading = (setup.batch_size, setup.maximum_batching_window_in_seconds)
    return not setup.provisioned and caps == (None, None) and reading == (10, 0)
