"""Recursive loop detection: how often a chain of events has come to a function (row C110).

An invocation's trace header carries, after `Lineage=`, a mark of each function that the chain has been through and how
often. botocore sends that header with every call that a handler makes, SQS keeps it as the message's AWSTraceHeader,
and the next invocation reads it there. The form of what follows `Lineage=` is AWS's own affair.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable

from .errors import ApiError

MOST_PASSES = 16
"""Invocations of a function in one chain; the next one is stopped (row C110)."""

TERMINATE, ALLOW = "Terminate", "Allow"
"""What a function does about loops, `Terminate` unless PutFunctionRecursionConfig says otherwise."""

_FIELD = "Lineage="


class RecursiveInvocation(ApiError):  # noqa: N818 - a state, not a mistake
    """An invocation that would go on with a loop (row C110)."""

    def __init__(self) -> None:
        text = (
            "Lambda has detected your function being invoked in a recursive loop with other Amazon Web Services "
            "resources and stopped your function's invocation."
        )
        super().__init__("RecursiveInvocationException", text, 400, Type="User")


def mark(function_arn: str) -> str:
    """Return the eight characters by which a lineage names a function."""
    return hashlib.sha256(function_arn.encode()).hexdigest()[:8]


def lineage(traces: Iterable[str | None]) -> dict[str, int]:
    """Return how often each function was invoked in the longest of the chains that trace headers tell of.

    Parameters
    ----------
    traces : iterable of str or None
        The trace headers of all messages of a batch; what has no lineage, or none that can be read, begins a chain.

    Returns
    -------
    dict of str to int
        Invocations by the function's `mark`.
    """
    passes: dict[str, int] = {}
    for trace in traces:
        for part in (trace or "").split(";"):
            if not part.startswith(_FIELD):
                continue
            for entry in part.removeprefix(_FIELD).split("|"):
                name, _, number = entry.partition(":")
                if name and number.isascii() and number.isdigit() and len(number) < 6:
                    passes[name] = max(passes.get(name, 0), int(number))
    return passes


def trace_header(begun: float, passes: dict[str, int]) -> str:
    """Return the trace header of an invocation.

    Parameters
    ----------
    begun : float
        When it began, in seconds since the epoch.
    passes : dict of str to int
        The chain's lineage, this invocation included.
    """
    header = f"Root=1-{int(begun):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"
    if passes:
        header += f";{_FIELD}" + "|".join(f"{name}:{number}" for name, number in passes.items())
    return header
