"""The scaling model and the local AWS on the same workloads: what `docs/SCALING.md` shows and a test holds.

`python -m tests.scaling` prints the table of that page, from a space of its own that it leaves empty.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas

from helpers import messages, recorder, resources
from helpers.scaling import Setup, Workload, measures, simulate

if TYPE_CHECKING:
    from helpers.lab import Lab


@dataclass(frozen=True)
class Case:
    """One workload under one setup, and how far the local AWS may be from the model.

    Attributes
    ----------
    workload : Workload
        A backlog; `duration` is how long the handler sleeps.
    setup : Setup
        The settings.
    tolerance : dict of str to tuple
        By figure of `measures`, the share of the model's value and the least difference that are allowed.
    """

    workload: Workload
    setup: Setup
    tolerance: dict[str, tuple[float, float]] = field(default_factory=dict)

    def may_differ(self, name: str, value: float) -> float:
        """Return how far a figure of the local AWS may be from the model's."""
        share, least = {**ALWAYS, **self.tolerance}[name]
        return max(share * abs(value), least)


ALWAYS = {
    "seconds": (0.2, 0.8),
    "runs": (0.0, 0.0),
    "peak": (0.15, 2.0),
    "batch": (0.0, 0.01),
    "throttles": (0.0, 0.0),
    "dead": (0.0, 0.0),
}

CASES = {
    "growth from five, slow handler": Case(Workload(backlog=60, duration=1.0), Setup(batch_size=1)),
    "MaximumConcurrency 3": Case(
        Workload(backlog=30, duration=0.4), Setup(batch_size=1, maximum_concurrency=3), {"peak": (0, 0)}
    ),
    "reserved concurrency 1": Case(
        Workload(backlog=16, duration=0.5),
        Setup(batch_size=1, reserved_concurrent_executions=1, timeout=2, visibility_timeout=3, max_receive_count=2),
        {"seconds": (0.3, 3.1), "peak": (0, 0), "runs": (0, 2), "throttles": (0.3, 6), "dead": (0, 2)},
    ),
    "FIFO, six groups": Case(
        Workload(backlog=36, duration=0.4, groups=6), Setup(batch_size=1, fifo=True), {"peak": (0, 0)}
    ),
    "backlog in batches of ten": Case(Workload(backlog=300, duration=0.5), Setup(batch_size=10)),
    # The local AWS lets its pollers ask for a second's messages at once, the model spreads the same over the second.
    "two provisioned pollers": Case(
        Workload(backlog=400, duration=1.0),
        Setup(batch_size=10, minimum_pollers=2, maximum_pollers=2),
        {"seconds": (0.2, 1.5)},
    ),
}


def live(lab: Lab, case: Case, name: str) -> pandas.DataFrame:
    """Run a case on the local AWS; return its log."""
    workload, setup = case.workload, case.setup
    source = f"import time\n\ndef handler(event, context):\n    time.sleep({workload.duration})\n"
    queue = resources.queue(
        lab,
        f"{name}.fifo" if setup.fifo else name,
        visibility_timeout=int(setup.visibility_timeout),
        max_receive_count=setup.max_receive_count,
    )
    function = resources.function(lab, name, source=source, timeout=int(setup.timeout))
    if setup.reserved_concurrent_executions is not None:
        lab.client("lambda").put_function_concurrency(
            FunctionName=function.name, ReservedConcurrentExecutions=setup.reserved_concurrent_executions
        )
    settings: dict[str, Any] = {"batch_size": setup.batch_size}
    if setup.provisioned:
        least, most = setup.pollers
        settings["provisioned_poller_config"] = {"MinimumPollers": least, "MaximumPollers": most}
    if setup.maximum_concurrency is not None:
        settings["maximum_concurrency"] = setup.maximum_concurrency
    resources.trigger(lab, queue=queue, function=function, enabled=False, **settings)
    began = lab.now()
    bodies = [{"number": number} for number in range(workload.backlog)]
    if setup.fifo:
        group = {index: f"group-{index % workload.groups}" for index in range(workload.backlog)}
        messages.send_many(
            queue, bodies, group=lambda body: group[body["number"]], deduplication=lambda body: str(body["number"])
        )
    else:
        messages.send_many(queue, bodies)
    resources.trigger(lab, queue=queue, function=function, enabled=True)

    def over() -> bool:
        log = lab.recorder(queue=queue.name, since=began)
        return bool(recorder.messages(log)["ended"].notna().all())

    lab.wait_until(over, why="every message has its end")
    return lab.recorder(queue=queue.name, since=began)


def agreement(lab: Lab, name: str) -> pandas.DataFrame:
    """Return a row a figure of one case: on the local AWS, in the model, and how far the two may differ.

    The model is given how long a run and a cold start really took: a busy machine is slower.
    """
    case = CASES[name]
    log = live(lab, case, f"agree-{list(CASES).index(name)}")
    ours = measures(simulate(Workload.of(log), case.setup).log)
    table = pandas.DataFrame({"local AWS": measures(log), "model": ours})
    table["tolerance"] = [case.may_differ(str(figure), value) for figure, value in ours.items()]
    return table


def main() -> None:
    """Print the table of `docs/SCALING.md`."""
    import helpers
    from helpers.cleanup import sweep

    os.environ["LAB_SPACE"] = "scaling-agreement"
    lab = helpers.connect("local")
    print("| setup | figure | local AWS | model | tolerance |\n|---|---|---|---|---|")
    try:
        for name in CASES:
            for figure, row in agreement(lab, name).iterrows():
                cells = " | ".join(f"{row[column]:.3g}" for column in ("local AWS", "model", "tolerance"))
                print(f"| {name} | {figure} | {cells} |", flush=True)
    finally:
        sweep(lab)


if __name__ == "__main__":
    main()
