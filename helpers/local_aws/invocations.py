"""What goes into an execution environment and what comes out: a recipe, an invocation, its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .clock import Timer


@dataclass(frozen=True)
class Recipe:
    """All that makes an environment: a function version's code and configuration at one moment.

    Attributes
    ----------
    function, version, runtime, runtime_arn, handler, role : str
        As the API shows them; `version` is `$LATEST` or a number.
    memory, timeout : int
        Megabytes and seconds.
    variables : dict
        The function's own environment variables.
    log_group : str
        Where its log goes.
    json_level : str or None
        The application's log level in the JSON format, or None for Text.
    system_level : str
        The platform's log level in the JSON format.
    code : Path
        The folder with the code.
    """

    function: str
    version: str
    runtime: str
    runtime_arn: str
    handler: str
    role: str
    memory: int
    timeout: int
    variables: dict[str, str]
    log_group: str
    json_level: str | None
    system_level: str
    code: Path
    key: object = field(default_factory=object, compare=False)


@dataclass
class Result:
    """How an invocation ended.

    Attributes
    ----------
    payload : bytes
        The handler's answer, or the error's JSON.
    failed : bool
        Whether it counts as a function error.
    duration : float
        Milliseconds.
    log_tail : bytes
        The last 4 KB of its log.
    """

    payload: bytes
    failed: bool
    duration: float
    log_tail: bytes
    environment: str = ""


@dataclass
class Invocation:
    """One event on its way through an environment.

    Attributes
    ----------
    request_id, arn : str
        What the context shows.
    payload : bytes
        The event.
    finish : callable
        Called once, under the lock, with the `Result`.
    client_context : str or None
        Base64-decoded JSON.
    passes : dict of str to int
        The lineage of its trace header.
    since, begun : float or None
        When its Duration and its timeout began to run, in the space's time.
    """

    request_id: str
    arn: str
    payload: bytes
    finish: Callable[[Result], None]
    client_context: str | None = None
    passes: dict[str, int] = field(default_factory=dict)
    since: float | None = None
    begun: float | None = None
    started: bool = False
    sent: bool = False
    timer: Timer | None = None
    events: list[tuple[int, str]] = field(default_factory=list)
    tail_from: int = 0
