"""Black Friday at Halm & Kraut: a day of trade, a payment provider, and a judge of designs."""

from __future__ import annotations

from .judge import run
from .picture import compare, references
from .score import Line, Scorecard, brief
from .trade import Trade, make
from .workspace import final, last, start

__all__ = ["Line", "Scorecard", "Trade", "brief", "compare", "final", "last", "make", "references", "run", "start"]
