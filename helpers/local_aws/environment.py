"""One execution environment: what begins, ends and fails in it, and what its log says about that."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .clock import Timer
from .handler_process import Process
from .handler_view import translations, variables
from .invocations import Invocation, Recipe, Result
from .log_lines import JsonLines, Report, Splitter, TextLines, Where, iso

if TYPE_CHECKING:
    from .environments import Environments

INIT_LIMIT = 10.0
"""Seconds that a first init may take (row D58)."""
LIFE = 7200.0
"""Seconds after which an environment takes no further invocation."""
LARGEST_RESPONSE = 6_291_556
"""Bytes (row D17)."""
TAIL = 4096
"""Bytes of log that LogType Tail gives (row D31)."""
_UNKNOWN = "Runtime.Unknown"
"""What the log calls an error of Python's while the code is loaded; the payload names it (row D72)."""


class Environment:
    """One execution environment: a log stream, a temporary folder, and at most one process at a time.

    A process that had to be killed is followed by another in the same environment; only its memory is lost (row D56).
    """

    def __init__(self, pool: Environments, recipe: Recipe) -> None:
        self.pool = pool
        self.space = pool.space
        self.recipe = recipe
        self.born = self.space.clock.now()
        self.name = name = secrets.token_hex(16)
        date = datetime.fromtimestamp(self.born, UTC)
        self.stream = f"{date:%Y/%m/%d}/[{recipe.version}]{name}"
        self.folder = pool.folder / name
        self.process: Process | None = None
        self.invocation: Invocation | None = None
        self.retired = False
        self.idle_since = 0.0
        self.expires: float | None = None
        self.peak = 0
        self._phase = "init"
        self._init_timer: Timer | None = None
        self._init_duration: float | None = None
        self._last_event = 0
        self._between: list[tuple[int, str]] = []
        self._splitter = Splitter(translations(recipe))
        self._lines = TextLines() if recipe.json_level is None else JsonLines(recipe.system_level)
        minor = recipe.runtime.removeprefix("python")
        self._where = Where(
            recipe.function,
            recipe.version,
            f"python:{minor}.v1",
            recipe.runtime_arn,
            f"{date:%Y/%m/%d}/{recipe.function}[{recipe.version}]{name}",
            recipe.memory,
            self.space.clock.now,
        )

    # Under the lock.

    def begin(self, invocation: Invocation) -> None:
        """Take on an invocation."""
        self.invocation = invocation
        # What a thread of the handler's wrote while nothing was running belongs to no invocation.
        invocation.events, self._between = self._between, []
        self.pool.sampler.watch(self)
        if self.process is not None:
            self._start(invocation)
            return
        if self._phase == "init":
            self._tell("environment started", invocation, "cold")
            self._write(self._lines.init_start(self._where))
            # INIT_START does not belong to what LogType Tail gives (row D63).
            invocation.tail_from = len(invocation.events)
            self._init_timer = self.space.scheduler.after(INIT_LIMIT, self._init_too_long)
        else:
            # The init after a crash counts in Duration (row D60). Its time is not taken from the handler's, though:
            # on a busy machine it can take longer than a short timeout.
            invocation.since = self.space.clock.now()
            limit = max(INIT_LIMIT, self.recipe.timeout)
            self._init_timer = self.space.scheduler.after(limit, self._init_too_long)
        self._spawn()

    def usable(self) -> bool:
        """Return whether it is young enough, and its credentials outlast one more invocation."""
        now = self.space.clock.now()
        fresh = self.expires is None or self.expires - now > self.recipe.timeout
        return fresh and now - self.born < LIFE

    def retire(self) -> None:
        """Take no further invocation; end now if nothing runs."""
        self.retired = True
        if self.invocation is None:
            self.end()

    def end(self) -> None:
        """End the process, if there is one, and forget the environment."""
        self.retired = True
        if self.process is not None:
            self.process.kill("retired")
        else:
            self.pool.forget(self)

    def on_next(self, process: Process) -> None:
        """Serve the process that asks for an invocation, for the first time at the end of its init."""
        if process is not self.process:
            return
        invocation = self.invocation
        if not process.ready:
            process.ready = True
            if self._phase == "init":
                self._init_duration = (self.space.clock.now() - process.spawned) * 1000
                self._phase = "invoke"
                self._write(self._lines.init_done(self._where, self._init_duration))
                self._tell("environment ready", invocation)
            self._cancel_init_timer()
            if invocation is not None:
                self._start(invocation)
                return
        if invocation is not None and not invocation.sent:
            process.send(invocation)
        elif invocation is None:
            process.freeze()

    def on_answer(self, process: Process, request_id: str, body: bytes, *, failed: bool) -> None:
        """End the invocation that the process has answered."""
        invocation = self.invocation
        if process is not self.process or invocation is None or invocation.request_id != request_id:
            return
        if process.doom is not None:
            # It was too late, or too much: the end of the process tells.
            return
        self.peak = max(self.peak, process.memory())
        if failed:
            self._finish(self._splitter.translated(body), failed=True)
        elif len(body) > LARGEST_RESPONSE:
            text = f"Response payload size exceeded maximum allowed payload size ({LARGEST_RESPONSE} bytes)."
            self._fail("Function.ResponseSizeTooLarge", text)
        else:
            self._finish(body, failed=False)

    def on_exit(self, process: Process, code: int) -> None:
        """Tell what the end of the process means: a failed init, a failed invocation, or nothing."""
        if process is not self.process:
            return
        self.process = None
        self._cancel_init_timer()
        invocation = self.invocation
        if invocation is None:
            if self.retired:
                self.pool.forget(self)
            elif self._phase == "init":
                self._phase = "invoke"
            return
        if process.doom == "retired":
            self._fail("Runtime.ExitError", f"RequestId: {invocation.request_id} Error: Runtime exited")
            return
        error_type, message = self._death(process, code, invocation)
        lines: list[str] = []
        if not process.ready:
            duration = (self.space.clock.now() - process.spawned) * 1000
            status = "timeout" if process.doom in ("timeout", "init") else "error"
            shown = "" if status == "timeout" else _known(error_type)
            self._write(self._splitter.rest())
            self._write(self._lines.init_report(self._where, duration, self._phase, status, shown))
            if self._phase == "init":
                # A failed init is tried once more as part of the invocation (rows D58 and D72).
                self._phase = "invoke"
                self._count_time(invocation)
                self._spawn()
                return
            if process.doom == "init":
                process.doom = "timeout"
            error_type, message = self._death(process, code, invocation)
        self._start_line(invocation)
        if process.doom == "timeout":
            seconds = f"{self.recipe.timeout:.2f}"
            lines = [
                f"{iso(self.space.clock.now())} {invocation.request_id} Task timed out after {seconds} seconds\n\n"
            ]
        elif process.init_error is None:
            lines = [message + "\n", error_type + "\n"]
        if process.doom == "memory":
            self.peak = self.recipe.memory * 1024 * 1024
            self._fail(error_type, message, lines=lines, shown="Runtime.OutOfMemory")
        elif process.init_error is not None and process.doom is None:
            payload = self._splitter.translated(process.init_error)
            self._finish(payload, failed=True, status="error", error_type=_known(error_type))
        else:
            self._fail(error_type, message, lines=lines, status="timeout" if process.doom == "timeout" else "error")

    def took(self, used: int) -> None:
        """Note the memory of the whole process tree, and end it when that is too much (row D29)."""
        self.peak = max(self.peak, used)
        process = self.process
        if used > self.recipe.memory * 1024 * 1024 and self.invocation is not None and process is not None:
            process.kill("memory")

    def spawn_failed(self, process: Process, reason: OSError) -> None:
        """End the invocation for which the machine would not start a process."""
        if process is self.process and self.invocation is not None:
            self.process = None
            self._cancel_init_timer()
            self._start_line(self.invocation)
            self._fail("Runtime.InvalidEntrypoint", f"RequestId: {self.invocation.request_id} Error: {reason}")

    # From the loop's thread, without the lock.

    def take_output(self, data: bytes) -> None:
        """Take in what the process has written."""
        with self.space.scheduler.lock:
            self._write(self._splitter.feed(data))

    # From the spawner's thread, without the lock.

    def variables(self, address: str) -> dict[str, str]:
        """Return the variables of its next process, whose Runtime API is at `address`."""
        with self.space.scheduler.lock:
            credentials = self.space.permissions.role_credentials(self.recipe.role, self.recipe.function)
            self.expires = getattr(credentials, "expires", None)
        return variables(self, address, credentials)

    # Inside.

    def _spawn(self) -> None:
        self.peak = 0
        process = self.process = Process(self, self.pool.loop)
        self.pool.spawner.spawn(process)

    def _count_time(self, invocation: Invocation) -> None:
        if invocation.begun is None:
            invocation.begun = self.space.clock.now()
            if invocation.since is None:
                invocation.since = invocation.begun
            invocation.timer = self.space.scheduler.at(invocation.begun + self.recipe.timeout, self._timed_out)

    def _start_line(self, invocation: Invocation) -> None:
        if not invocation.started:
            invocation.started = True
            self._write(self._lines.start(self._where, invocation.request_id, invocation.arn))

    def _start(self, invocation: Invocation) -> None:
        self._count_time(invocation)
        self._start_line(invocation)
        assert self.process is not None
        self.process.send(invocation)

    def _timed_out(self) -> None:
        if self.process is not None:
            self.process.kill("timeout")

    def _init_too_long(self) -> None:
        if self.process is not None and not self.process.ready:
            self.process.kill("init")

    def _cancel_init_timer(self) -> None:
        if self._init_timer is not None:
            self._init_timer.cancel()
            self._init_timer = None

    def _death(self, process: Process, code: int, invocation: Invocation) -> tuple[str, str]:
        """Return the error type and text for the end of a process (rows D27 to D29)."""
        prefix = f"RequestId: {invocation.request_id} Error: "
        if process.doom == "timeout":
            return "Sandbox.Timedout", f"{prefix}Task timed out after {self.recipe.timeout:.2f} seconds"
        if process.doom == "memory":
            return "Runtime.ExitError", f"{prefix}Runtime exited with error: signal: killed"
        if process.init_error is not None:
            return _json_text(process.init_error, "errorType"), _json_text(process.init_error, "errorMessage")
        if code == 0:
            return "Runtime.ExitError", f"{prefix}Runtime exited without providing a reason"
        if code < 0:
            return "Runtime.ExitError", f"{prefix}Runtime exited with error: signal: {_signal_text(-code)}"
        return "Runtime.ExitError", f"{prefix}Runtime exited with error: exit status {code}"

    def _fail(
        self, error_type: str, message: str, *, lines: list[str] | None = None, status: str = "error", shown: str = ""
    ) -> None:
        if error_type.startswith("Function."):
            members = {"errorMessage": message, "errorType": error_type}
        else:
            members = {"errorType": error_type, "errorMessage": message}
        self._write(self._splitter.rest())
        self._write(lines or [])
        log_type = "" if status == "timeout" else shown or error_type
        self._finish(_json(members), failed=True, status=status, error_type=log_type)

    def _finish(self, payload: bytes, *, failed: bool, status: str = "success", error_type: str = "") -> None:
        """Write the end of the log, give the environment back, and tell the caller, in this order."""
        invocation = self.invocation
        assert invocation is not None
        now = self.space.clock.now()
        duration = (now - (now if invocation.since is None else invocation.since)) * 1000
        if status == "timeout":
            duration = self.recipe.timeout * 1000.0
        if invocation.timer is not None:
            invocation.timer.cancel()
        self._write(self._splitter.rest())
        report = Report(
            invocation.request_id,
            duration,
            self._init_duration,
            self.recipe.memory,
            min(self.recipe.memory, -(-self.peak // (1024 * 1024))),
            status,
            error_type,
            len(payload),
        )
        self._init_duration = None
        self._write(self._lines.end(report))
        tail = "".join(
            text if text.endswith("\n") else text + "\n" for _, text in invocation.events[invocation.tail_from :]
        )
        self.space.logs.write(self.recipe.role, self.recipe.log_group, self.stream, invocation.events)
        self.invocation = None
        self.pool.freed(self)
        invocation.finish(Result(payload, failed, duration, tail.encode()[-TAIL:], self.name))

    def _tell(self, event: str, invocation: Invocation | None = None, outcome: str | None = None) -> None:
        self.space.events.publish(
            event,
            request=None if invocation is None else invocation.request_id,
            environment=self.name,
            function=self.recipe.function,
            outcome=outcome,
        )

    def _write(self, lines: list[str]) -> None:
        if not lines:
            return
        moment = self._last_event = max(self._last_event, int(self.space.clock.now() * 1000))
        into = self._between if self.invocation is None else self.invocation.events
        into.extend((moment, line) for line in lines)


def _json(members: dict[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()


def _known(error_type: str) -> str:
    """Return the type as reports name it: Lambda's own as they are, a language's as unknown (row D72)."""
    return error_type if error_type.startswith("Runtime.") else _UNKNOWN


def _json_text(body: bytes, name: str) -> str:
    try:
        return str(json.loads(body)[name])
    except (ValueError, KeyError, TypeError):
        return _UNKNOWN


def _signal_text(number: int) -> str:
    texts = {9: "killed", 11: "segmentation fault", 6: "aborted", 15: "terminated"}
    return texts.get(number, str(number))
