"""A model of a queue, a trigger's pollers and a function, for loads that no laptop carries.

A discrete-event simulation on SimPy with AWS's published figures, each of which is in `data/facts` with its date. A
`Workload` and a `Setup` go in, an `Outcome` comes out: tables in the flight recorder's and in CloudWatch's columns. It
is a model: `docs/SCALING.md` shows where it was held against the local AWS, and says what it leaves out.

>>> minute = Workload(per_minute=(60_000,), duration=0.2)
>>> outcome = simulate(minute, Setup(maximum_concurrency=20))
>>> outcome.done, outcome.peak
(60000, 20)
"""

from __future__ import annotations

from .design import read
from .inputs import Setup, Workload
from .model import simulate
from .outcome import Outcome, compare, measures
from .sliders import sliders

__all__ = ["Outcome", "Setup", "Workload", "compare", "measures", "read", "simulate", "sliders"]
