"""Execution environments: one process each behind the Runtime API, and the pool that hands them out.

Everything here that changes state does so under the scheduler's lock. Three threads serve all environments: one
starts processes (and must live as long as they do: the kernel's parent-death signal is tied to it), one reads the
sockets and pipes, one samples memory while handlers run.
"""

from __future__ import annotations

import collections
import contextlib
import importlib.util
import json
import logging
import mmap
import os
import queue
import secrets
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from .clock import Timer
from .log_lines import JsonLines, Report, Splitter, TextLines, Where, iso
from .runtime_api import Connection, Request

if TYPE_CHECKING:
    from .space import Space

log = logging.getLogger(__name__)

INIT_LIMIT = 10.0
"""Seconds that a first init may take (row D58)."""
IDLE_LIFE = 600.0
"""Seconds after which an environment that nobody needs ends."""
LIFE = 7200.0
"""Seconds after which an environment takes no further invocation."""
MACHINE_CAP = 200
"""Environments at a time on this machine; beyond it invocations wait."""
LARGEST_RESPONSE = 6_291_556
"""Bytes (row D17)."""
TAIL = 4096
"""Bytes of log that LogType Tail gives (row D31)."""

_RUNTIME = Path(__file__).parent / "runtime"
_SAMPLE_EVERY = 0.02
_TREE_EVERY = 0.5
_UNKNOWN = "Runtime.Unknown"
"""What the log calls an error of Python's while the code is loaded; the payload names it (row D72)."""
_OURS = ("awslambdaric", "boto3", "time_machine", "simplejson", "six", "dateutil")


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
    since, begun : float or None
        When its Duration and its timeout began to run, in the space's time.
    """

    request_id: str
    arn: str
    payload: bytes
    finish: Callable[[Result], None]
    client_context: str | None = None
    since: float | None = None
    begun: float | None = None
    started: bool = False
    sent: bool = False
    timer: Timer | None = None
    events: list[tuple[int, str]] = field(default_factory=list)
    tail_from: int = 0


class Loop:
    """The thread that waits for all sockets, pipes and process ends."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._calls: collections.deque[Callable[[], None]] = collections.deque()
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)
        self.selector.register(self._wake_out, selectors.EVENT_READ, self._woken)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="environments", daemon=True)
        self._thread.start()

    def call(self, action: Callable[[], None]) -> None:
        """Run `action` in the thread, soon."""
        self._calls.append(action)
        with contextlib.suppress(OSError):
            self._wake_in.send(b"\0")

    def add(self, file: Any, on_ready: Callable[[int], None]) -> None:
        """Call `on_ready(events)` whenever `file` can be read; in the loop's thread only."""
        self.selector.register(file, selectors.EVENT_READ, on_ready)

    def remove(self, file: Any) -> None:
        """Stop waiting for `file`; in the loop's thread only."""
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(file)

    def stop(self) -> None:
        """End the thread."""
        self._stopped = True
        self.call(lambda: None)
        if threading.current_thread() is not self._thread:
            self._thread.join(2)

    def _woken(self, _: int) -> None:
        with contextlib.suppress(OSError):
            while self._wake_out.recv(4096):
                continue

    def _run(self) -> None:
        while not self._stopped:
            for key, events in self.selector.select():
                self._safely(lambda key=key, events=events: key.data(events))  # type: ignore[misc]
            while self._calls:
                self._safely(self._calls.popleft())
        self.selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _safely(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:
            log.exception("an execution environment's event failed")


class Process:
    """One run of the bootstrap program: the process, its log pipe and its Runtime API."""

    def __init__(self, environment: Environment, loop: Loop) -> None:
        self.environment = environment
        self.loop = loop
        self.spawned = environment.space.clock.now()
        self.popen: subprocess.Popen[bytes] | None = None
        self.ready = False
        self.waiting: Connection | None = None
        self.init_error: bytes | None = None
        self.doom: str | None = None
        self.frozen = False
        self._connections: list[Connection] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._pipe = -1
        self._exit_fd = -1
        self._ended = False

    # In the spawner's thread.

    def spawn(self, lifeline: int, variables: dict[str, str]) -> None:
        """Start the process; raises OSError when the machine will not."""
        self._pipe, write_end = os.pipe()
        try:
            popen = subprocess.Popen(
                [sys.executable, "-S", "-P", str(_RUNTIME / "bootstrap.py")],
                cwd=self.environment.recipe.code,
                env=variables,
                stdin=lifeline,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
            )
        finally:
            os.close(write_end)
        if hasattr(os, "set_blocking"):
            with contextlib.suppress(OSError):
                os.set_blocking(self._pipe, False)
        with self.environment.space.scheduler.lock:
            self.popen = popen
            if self.doom is not None:
                self._signal_group("SIGKILL")
        self.loop.call(self._attach)

    # Under the lock, from any thread.

    def kill(self, reason: str) -> None:
        """End the process and all that it has started; the first reason counts."""
        if self.doom is None:
            self.doom = reason
        self._signal_group("SIGKILL")

    def send(self, invocation: Invocation) -> bool:
        """Give the process an invocation if it is asking for one."""
        if self.waiting is None:
            return False
        connection, self.waiting = self.waiting, None
        trace = (
            f"Root=1-{int(invocation.begun or 0):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"
        )
        deadline = (invocation.begun or 0.0) + self.environment.recipe.timeout
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
            "Lambda-Runtime-Trace-Id": trace,
        }
        if invocation.client_context:
            headers["Lambda-Runtime-Client-Context"] = invocation.client_context
        connection.answer("200 OK", headers, invocation.payload)
        self.thaw()
        invocation.sent = True
        return True

    def freeze(self) -> None:
        """Stop the process while it has nothing to do (row D57)."""
        if self.doom is None and self.environment.pool.freezes:
            self.frozen = True
            self._signal_group("SIGSTOP")

    def thaw(self) -> None:
        """Let a frozen process go on."""
        if self.frozen:
            self.frozen = False
            self._signal_group("SIGCONT")

    def memory(self) -> int:
        """Return the resident bytes of the process itself; 0 when it has gone."""
        if self.popen is None:
            return 0
        return _resident(self.popen.pid)

    def _signal_group(self, name: str) -> None:
        if self.popen is None or self._ended:
            return
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.popen.pid, getattr(signal, name))
            else:
                self.popen.kill()

    # In the loop's thread.

    def _attach(self) -> None:
        assert self.popen is not None
        self.loop.add(self._listener, self._accept)
        if os.name == "posix":
            self.loop.add(self._pipe, self._printed)
        else:
            threading.Thread(target=self._read_blocking, daemon=True).start()
        if hasattr(os, "pidfd_open"):
            try:
                self._exit_fd = os.pidfd_open(self.popen.pid)
                self.loop.add(self._exit_fd, lambda _: self._exited())
                return
            except OSError:
                self._exit_fd = -1
        threading.Thread(target=self._await_exit, daemon=True).start()

    def _await_exit(self) -> None:
        assert self.popen is not None
        with contextlib.suppress(OSError):
            os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOWAIT) if hasattr(os, "waitid") else self.popen.wait()
        self.loop.call(self._exited)

    def _accept(self, _: int) -> None:
        try:
            sock, _address = self._listener.accept()
        except OSError:
            return
        connection = Connection(sock, self.address, self._serve, self._wants_write)
        self._connections.append(connection)
        self.loop.add(sock, lambda events: self._ready(connection, events))

    def _ready(self, connection: Connection, events: int) -> None:
        if events & selectors.EVENT_WRITE and not connection.writable():
            self.loop.selector.modify(connection.sock, selectors.EVENT_READ, lambda e: self._ready(connection, e))
        if events & selectors.EVENT_READ and not connection.readable():
            self._drop(connection)

    def _wants_write(self, connection: Connection) -> None:
        def wait() -> None:
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            with contextlib.suppress(KeyError, ValueError):
                self.loop.selector.modify(connection.sock, both, lambda e: self._ready(connection, e))

        self.loop.call(wait)

    def _drop(self, connection: Connection) -> None:
        self.loop.remove(connection.sock)
        with self.environment.space.scheduler.lock:
            if self.waiting is connection:
                self.waiting = None
        connection.close()
        with contextlib.suppress(ValueError):
            self._connections.remove(connection)

    def _serve(self, connection: Connection, request: Request) -> None:
        lock = self.environment.space.scheduler.lock
        if request.method == "GET" and request.path == "invocation/next":
            with lock:
                self.waiting = connection
                self.environment.on_next(self)
            return
        if request.method != "POST":
            connection.refuse("404 Not Found")
            return
        # What the handler printed is in the pipe by now, and belongs before the END line.
        self.drain()
        if request.path == "init/error":
            self.init_error = request.body
            connection.accepted()
            return
        parts = request.path.split("/")
        if len(parts) != 3 or parts[0] != "invocation" or parts[2] not in ("response", "error"):
            connection.refuse("404 Not Found")
            return
        connection.accepted()
        with lock:
            self.environment.on_answer(self, parts[1], request.body, failed=parts[2] == "error")

    def drain(self) -> bool:
        """Read what is in the log pipe; return whether it has come to its end."""
        if os.name != "posix" or self._pipe < 0:
            return True
        try:
            # At most one pipe's full at a time: a process that prints without end must not keep the thread.
            for _ in range(16):
                data = os.read(self._pipe, 65_536)
                if not data:
                    self.loop.remove(self._pipe)
                    return True
                self.environment.take_output(data)
                if len(data) < 65_536:
                    return False
        except BlockingIOError:
            pass
        except OSError:
            return True
        return False

    def _printed(self, _: int) -> None:
        self.drain()

    def _read_blocking(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._pipe, 65_536):
                self.environment.take_output(data)

    def _exited(self) -> None:
        if self._ended or self.popen is None:
            return
        self._signal_group("SIGKILL")
        self._ended = True
        code = self.popen.wait()
        self.drain()
        for file in (self._exit_fd, self._pipe):
            if file >= 0:
                self.loop.remove(file)
                with contextlib.suppress(OSError):
                    os.close(file)
        self._pipe = self._exit_fd = -1
        self.loop.remove(self._listener)
        self._listener.close()
        for connection in list(self._connections):
            self._drop(connection)
        self.environment.pool.spawner.ended(self.popen.pid)
        with self.environment.space.scheduler.lock:
            self.environment.on_exit(self, code)


class Environment:
    """One execution environment: a log stream, a temporary folder, and at most one process at a time.

    A process that had to be killed is followed by another in the same environment; only its memory is lost (row D56).
    """

    def __init__(self, pool: Environments, recipe: Recipe) -> None:
        self.pool = pool
        self.space = pool.space
        self.recipe = recipe
        self.born = self.space.clock.now()
        name = secrets.token_hex(16)
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
        self._splitter = Splitter(pool.translations(recipe))
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
            self._forget()

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
                self._forget()
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
            shown = "" if status == "timeout" else error_type if process.init_error is None else _UNKNOWN
            self._write(self._splitter.rest())
            self._write(self._lines.init_report(duration, self._phase, status, shown))
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
            self._finish(payload, failed=True, status="error", error_type=_UNKNOWN)
        else:
            self._fail(error_type, message, lines=lines, status="timeout" if process.doom == "timeout" else "error")

    def took(self, used: int) -> None:
        """Note the memory of the whole process tree, and end it when that is too much (row D29)."""
        self.peak = max(self.peak, used)
        process = self.process
        if used > self.recipe.memory * 1024 * 1024 and self.invocation is not None and process is not None:
            process.kill("memory")

    # From the loop's thread, without the lock.

    def take_output(self, data: bytes) -> None:
        """Take in what the process has written."""
        with self.space.scheduler.lock:
            self._write(self._splitter.feed(data))

    # Inside.

    def _spawn(self) -> None:
        self.peak = 0
        process = self.process = Process(self, self.pool.loop)
        self.pool.spawner.spawn(process)

    def spawn_failed(self, process: Process, reason: OSError) -> None:
        """End the invocation for which the machine would not start a process."""
        if process is self.process and self.invocation is not None:
            self.process = None
            self._cancel_init_timer()
            self._start_line(self.invocation)
            self._fail("Runtime.InvalidEntrypoint", f"RequestId: {self.invocation.request_id} Error: {reason}")

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
        )
        self._init_duration = None
        self._write(self._lines.end(report))
        tail = "".join(
            text if text.endswith("\n") else text + "\n" for _, text in invocation.events[invocation.tail_from :]
        )
        self.space.logs.write(self.recipe.role, self.recipe.log_group, self.stream, invocation.events)
        self.invocation = None
        self.pool.freed(self)
        invocation.finish(Result(payload, failed, duration, tail.encode()[-TAIL:]))

    def _write(self, lines: list[str]) -> None:
        if not lines:
            return
        moment = self._last_event = max(self._last_event, int(self.space.clock.now() * 1000))
        into = self._between if self.invocation is None else self.invocation.events
        into.extend((moment, line) for line in lines)

    def _forget(self) -> None:
        self.pool.forget(self)


class Environments:
    """All environments of a space.

    Parameters
    ----------
    space : Space
        The space; `space.workdir` must exist.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.folder = space.workdir / "environments"
        self.folder.mkdir(parents=True, exist_ok=True)
        _allow_open_files()
        self.loop = Loop()
        self.spawner = Spawner(self)
        self.sampler = Sampler(self)
        self.freezes = hasattr(signal, "SIGSTOP") and not os.environ.get("LOCAL_AWS_NO_FREEZE")
        self._idle: dict[object, list[Environment]] = {}
        self._all: set[Environment] = set()
        self._waiting: collections.deque[tuple[Recipe, Invocation]] = collections.deque()
        self._sweep: Timer | None = None
        self._closed = False
        self.clock_file = space.workdir / "clock"
        self.clock_file.write_bytes(struct.pack("<d", space.clock.offset))
        with self.clock_file.open("r+b") as file:
            self._clock = mmap.mmap(file.fileno(), 8)
        space.scheduler.on_offset(self._follow_clock)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def waiting(self) -> int:
        """How many invocations wait because the machine's cap is reached."""
        return len(self._waiting)

    def invoke(self, recipe: Recipe, invocation: Invocation) -> None:
        """Run an invocation in the environment that was used last, or in a new one."""
        if self._closed:
            invocation.finish(_CLOSED)
            return
        idle = self._idle.get(recipe.key)
        while idle:
            environment = idle.pop()
            if environment.usable():
                environment.begin(invocation)
                return
            environment.retire()
        if len(self._all) >= MACHINE_CAP:
            self._make_room()
        if len(self._all) >= MACHINE_CAP:
            if not self._waiting:
                log.warning("%d execution environments are in use; further invocations wait for one", MACHINE_CAP)
            self._waiting.append((recipe, invocation))
            return
        self._new(recipe).begin(invocation)

    def freed(self, environment: Environment) -> None:
        """Take an environment back whose invocation has ended."""
        self.sampler.unwatch(environment)
        if environment.retired or self._closed:
            environment.end()
            return
        for index, (recipe, invocation) in enumerate(self._waiting):
            if recipe.key is environment.recipe.key:
                del self._waiting[index]
                environment.begin(invocation)
                return
        environment.idle_since = self.space.clock.now()
        self._idle.setdefault(environment.recipe.key, []).append(environment)
        if self._waiting:
            self._make_room()
        elif self._sweep is None:
            self._sweep = self.space.scheduler.after(IDLE_LIFE, self._end_idle)

    def retire(self, recipe: Recipe) -> None:
        """Let the environments of a recipe come to their end: nothing new starts in them."""
        self._idle.pop(recipe.key, None)
        for environment in list(self._all):
            if environment.recipe.key is recipe.key:
                environment.retire()

    def forget(self, environment: Environment) -> None:
        """Drop an environment whose process has ended, and let a waiting invocation have its place."""
        if environment not in self._all:
            return
        self._all.discard(environment)
        idle = self._idle.get(environment.recipe.key)
        if idle and environment in idle:
            idle.remove(environment)
        shutil.rmtree(environment.folder, ignore_errors=True)
        if self._waiting and not self._closed and len(self._all) < MACHINE_CAP:
            recipe, invocation = self._waiting.popleft()
            self._new(recipe).begin(invocation)

    def close(self) -> None:
        """Kill every environment."""
        with self.space.scheduler.lock:
            if self._closed:
                return
            self._closed = True
            waiting, self._waiting = self._waiting, collections.deque()
            for _, invocation in waiting:
                invocation.finish(_CLOSED)
            for environment in list(self._all):
                environment.end()
        give_up = time.monotonic() + 2
        while self._all and time.monotonic() < give_up:
            time.sleep(0.005)
        self.sampler.stop()
        self.spawner.stop()
        self.loop.stop()
        self._clock.close()

    def translations(self, recipe: Recipe) -> list[tuple[bytes, bytes]]:
        """Return this machine's folders and what AWS has in their place, for stack traces."""
        library = f"/var/lang/lib/{recipe.runtime}"
        pairs = [
            (str(recipe.code), "/var/task"),
            (str(recipe.code.resolve()), "/var/task"),
            (str(_RUNTIME), "/var/runtime"),
        ]
        pairs += [(folder, f"{library}/site-packages") for folder in package_folders()]
        pairs.append((sysconfig.get_path("stdlib"), library))
        pairs.append((os.path.dirname(os.__file__), library))
        return [(here.encode(), there.encode()) for here, there in dict(pairs).items()]

    def variables(self, process: Process) -> dict[str, str]:
        """Return the whole environment of a process (row D52), and what its bootstrap takes out of it."""
        environment = process.environment
        recipe, space = environment.recipe, self.space
        with space.scheduler.lock:
            credentials = space.permissions.role_credentials(recipe.role, recipe.function)
            environment.expires = getattr(credentials, "expires", None)
        own = (
            {}
            if recipe.json_level is None
            else {
                "AWS_LAMBDA_LOG_FORMAT": "JSON",
                "AWS_LAMBDA_LOG_LEVEL": recipe.json_level,
            }
        )
        system = {name: os.environ[name] for name in ("SYSTEMROOT", "WINDIR") if name in os.environ}
        return {
            **system,
            "PATH": os.pathsep.join(("/usr/local/bin", "/usr/bin", "/bin")),
            "LANG": "en_US.UTF-8",
            "LC_CTYPE": "C.UTF-8",
            "TZ": ":UTC",
            "PYTHONPATH": "/var/runtime",
            "TMPDIR": str(environment.folder),
            **recipe.variables,
            **own,
            "AWS_LAMBDA_FUNCTION_NAME": recipe.function,
            "AWS_LAMBDA_FUNCTION_VERSION": recipe.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(recipe.memory),
            "AWS_LAMBDA_LOG_GROUP_NAME": recipe.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": environment.stream,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_RUNTIME_API": process.address,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{recipe.runtime}",
            "AWS_REGION": space.region,
            "AWS_DEFAULT_REGION": space.region,
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_SESSION_TOKEN": credentials.session_token or "",
            "AWS_ENDPOINT_URL": space.url,
            "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
            "AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1:2000",
            "_HANDLER": recipe.handler,
            # These two must name a folder that exists here; in the log they read /var/task.
            "LAMBDA_TASK_ROOT": str(recipe.code),
            "PWD": str(recipe.code),
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "_LOCAL_AWS_SERVER": str(os.getpid()),
            "_LOCAL_AWS_PACKAGES": os.pathsep.join(package_folders()),
            "_LOCAL_AWS_CLOCK": str(self.clock_file),
            "_LOCAL_AWS_PURE": "" if _has_extension() else "1",
            "_LOCAL_AWS_CODE": str(recipe.code),
        }

    def _new(self, recipe: Recipe) -> Environment:
        environment = Environment(self, recipe)
        environment.folder.mkdir()
        self._all.add(environment)
        return environment

    def _make_room(self) -> None:
        """End the environment that has been idle longest."""
        idle = [environment for group in self._idle.values() for environment in group]
        if idle:
            oldest = min(idle, key=lambda environment: environment.idle_since)
            self._idle[oldest.recipe.key].remove(oldest)
            oldest.retire()

    def _end_idle(self) -> None:
        self._sweep = None
        now = self.space.clock.now()
        left = []
        for group in self._idle.values():
            for environment in list(group):
                if environment.idle_since + IDLE_LIFE <= now:
                    group.remove(environment)
                    environment.retire()
                else:
                    left.append(environment.idle_since)
        if left:
            self._sweep = self.space.scheduler.at(min(left) + IDLE_LIFE, self._end_idle)

    def _follow_clock(self, offset: float) -> None:
        if not self._clock.closed:
            struct.pack_into("<d", self._clock, 0, offset)


class Spawner:
    """The thread that starts processes, and the guard that ends them should the server die."""

    def __init__(self, pool: Environments) -> None:
        self._pool = pool
        self._orders: queue.SimpleQueue[Process | None] = queue.SimpleQueue()
        self._lifeline, self._life = os.pipe()
        self._guard: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="spawner", daemon=True)
        self._thread.start()

    def spawn(self, process: Process) -> None:
        """Start a process soon."""
        self._orders.put(process)

    def ended(self, group: int) -> None:
        """Forget a process group."""
        self._tell(f"-{group}\n")

    def stop(self) -> None:
        """End the thread and the guard."""
        self._orders.put(None)
        self._thread.join(2)
        os.close(self._lifeline)
        os.close(self._life)
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._guard.wait(2)

    def _run(self) -> None:
        while (process := self._orders.get()) is not None:
            try:
                process.spawn(self._lifeline, self._pool.variables(process))
            except Exception as problem:
                log.exception("an execution environment could not be started")
                reason = problem if isinstance(problem, OSError) else OSError(str(problem))
                with self._pool.space.scheduler.lock:
                    process.environment.spawn_failed(process, reason)
                continue
            if self._guard is None and hasattr(os, "killpg"):
                self._guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_RUNTIME / "guard.py")],
                    stdin=subprocess.PIPE,
                    start_new_session=True,
                    env={},
                )
            if process.popen is not None:
                self._tell(f"+{process.popen.pid}\n")

    def _tell(self, line: str) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._guard.stdin.write(line.encode())
                self._guard.stdin.flush()


class Sampler:
    """The thread that looks at the memory of running environments."""

    def __init__(self, pool: Environments) -> None:
        self._lock = pool.space.scheduler.lock
        self._clock = pool.space.clock
        self._running: set[Environment] = set()
        self._some = threading.Event()
        self._stopped = False
        threading.Thread(target=self._run, name="memory", daemon=True).start()

    def watch(self, environment: Environment) -> None:
        """Begin to look at an environment; under the lock."""
        self._running.add(environment)
        if not self._some.is_set():
            self._some.set()

    def unwatch(self, environment: Environment) -> None:
        """Look no longer; under the lock."""
        self._running.discard(environment)

    def stop(self) -> None:
        """End the thread."""
        self._stopped = True
        self._some.set()

    def _run(self) -> None:
        children: dict[int, list[int]] = {}
        looked = 0.0
        while not self._stopped:
            self._some.wait()
            time.sleep(_SAMPLE_EVERY)
            with self._lock:
                if not self._running:
                    self._some.clear()
                    children = {}
                    continue
                now = self._clock.now()
                running = []
                long_running = set()
                for environment in self._running:
                    if environment.process is not None and environment.process.popen is not None:
                        pid = environment.process.popen.pid
                        running.append((environment, pid))
                        begun = environment.invocation.begun if environment.invocation is not None else None
                        if begun is not None and now - begun > _TREE_EVERY:
                            long_running.add(pid)
            # Looking through all of the machine's processes is dear: only for handlers that run on and on.
            if not long_running:
                children = {}
            elif time.monotonic() - looked > _TREE_EVERY:
                looked = time.monotonic()
                children = _trees(long_running)
            for environment, pid in running:
                used = _resident(pid) + sum(map(_resident, children.get(pid, ())))
                if used > environment.peak:
                    with self._lock:
                        if environment in self._running:
                            environment.took(used)


def package_folders() -> list[str]:
    """Return the folders in which the packages of Lambda's Python runtime are installed."""
    global _folders
    if _folders is None:
        found = []
        for name in _OURS:
            spec = importlib.util.find_spec(name)
            if spec is not None and spec.origin:
                origin = Path(spec.origin)
                found.append(str(origin.parent.parent if origin.name == "__init__.py" else origin.parent))
        _folders = list(dict.fromkeys(found))
    return _folders


_CLOSED = Result(b'{"errorType":"Runtime.ExitError","errorMessage":"The local AWS has ended"}', True, 0.0, b"")
_folders: list[str] | None = None
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def _allow_open_files() -> None:
    """Raise the soft limit of open files: an environment takes four, and many systems allow 1,024 or 256."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _has_extension() -> bool:
    if os.environ.get("LOCAL_AWS_PURE_RUNTIME_CLIENT"):
        return False
    return importlib.util.find_spec("runtime_client") is not None


def _resident(pid: int) -> int:
    """Return a process's resident bytes, 0 when it has gone."""
    if sys.platform == "linux":
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * _PAGE
        except (OSError, IndexError):
            return 0
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _trees(roots: set[int]) -> dict[int, list[int]]:
    """Return all descendants of each process."""
    parents: dict[int, int] = {}
    for process in psutil.process_iter(["ppid"]):
        parents[process.pid] = process.info["ppid"] or 0
    trees: dict[int, list[int]] = {}
    for pid in parents:
        above = parents[pid]
        while above and above not in roots:
            above = parents.get(above, 0)
        if above:
            trees.setdefault(above, []).append(pid)
    return trees


def _json(members: dict[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()


def _json_text(body: bytes, name: str) -> str:
    try:
        return str(json.loads(body)[name])
    except (ValueError, KeyError, TypeError):
        return "Runtime.Unknown"


def _signal_text(number: int) -> str:
    texts = {9: "killed", 11: "segmentation fault", 6: "aborted", 15: "terminated"}
    return texts.get(number, str(number))
