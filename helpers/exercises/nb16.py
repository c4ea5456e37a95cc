"""The exercises of notebook 16: one for each incident drill."""

from __future__ import annotations

from ..checks import exercise
from ..incidents import DRILLS

for _drill in DRILLS.values():
    exercise(_drill.exercise, hints=_drill.hints)(_drill.check)
