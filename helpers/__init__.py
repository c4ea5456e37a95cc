"""What a notebook imports: `connect()` and the few things around it.

The names are loaded when they are first used, so that `python -m helpers.local_aws` starts without boto3's or
matplotlib's weight.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import (
        claims,
        costs,
        facts,
        incidents,
        messages,
        metrics,
        pictures,
        plots,
        recorder,
        report,
        resources,
        scaling,
        stacks,
    )
    from .errors import LabError
    from .lab import Lab, connect

__all__ = [
    "Lab",
    "LabError",
    "claims",
    "connect",
    "costs",
    "facts",
    "incidents",
    "messages",
    "metrics",
    "pictures",
    "plots",
    "recorder",
    "report",
    "resources",
    "scaling",
    "stacks",
]

_HOMES = {"Lab": "lab", "LabError": "errors", "connect": "lab"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    if name in __all__:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"helpers has no {name!r}; it has {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return sorted(__all__)
