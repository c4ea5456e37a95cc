"""Requests in and answers out, by botocore's service models.

moto's protocol layer does the work for JSON, REST-JSON and the old query protocol; this module chooses among them and
writes errors in AWS's exact shape.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import ApiError
from .space import Identity, Space


@dataclass(frozen=True)
class Call:
    """One API call, parsed and with its caller known.

    Attributes
    ----------
    space : Space
        The space that is called.
    identity : Identity
        The caller.
    operation : str
        The operation's AWS name, such as `SendMessage`.
    params : dict
        The members by their AWS names; members that were not given are absent.
    """

    space: Space
    identity: Identity
    operation: str
    params: dict[str, Any]


class Later:
    """An answer that is not there yet, such as a long poll's; the front door waits for it without the lock.

    Parameters
    ----------
    abandon : callable
        Called under the lock when the client has gone away and nobody will read the answer.
    """

    def __init__(self, abandon: Callable[[], None] = lambda: None) -> None:
        self._there = threading.Event()
        self._answer: dict[str, Any] | ApiError = {}
        self.abandon = abandon

    def set(self, answer: dict[str, Any] | ApiError) -> None:
        """Give the answer. The first one counts."""
        if not self._there.is_set():
            self._answer = answer
            self._there.set()

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` for the answer; return whether it is there."""
        return self._there.wait(seconds)

    def get(self) -> dict[str, Any]:
        """Return the answer, or raise it if it is an error."""
        if isinstance(self._answer, ApiError):
            raise self._answer
        return self._answer


@dataclass(frozen=True)
class Operation:
    """How one API operation is done and what right it needs.

    Attributes
    ----------
    run : callable
        `(call) -> dict | Later`, called under the space's lock.
    action : str
        The IAM action, such as `sqs:SendMessage`.
    resource : callable, optional
        `(call) -> str`, the ARN that the right is asked for; without it `*`.
    """

    run: Callable[[Call], dict[str, Any] | Later]
    action: str
    resource: Callable[[Call], str] | None = None
