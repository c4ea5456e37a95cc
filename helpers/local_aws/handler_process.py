"""One process in which a handler runs: the process itself, its log pipe and its Runtime API."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from .handler_view import RUNTIME
from .invocations import Invocation
from .io_loop import Loop
from .memory import resident
from .platforms import PYTHON, kill_tree
from .recursion import trace_header
from .runtime_api import Connection, Request

if TYPE_CHECKING:
    from .environment import Environment


_LAST_OUTPUT = 1.0
"""Seconds that the last of a process's output may take where its pipe cannot be polled."""
_END = "end of output"
_MARK = f"\0{_END}\0".encode()
"""What the runtime client writes after an invocation's output, where the pipe cannot be polled; no log line has it."""


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
        self._reader: threading.Thread | None = None
        self._marked = threading.Semaphore(0)
        self._ended = False

    # In the spawner's thread.

    def spawn(self, lifeline: int) -> None:
        """Start the process; raises OSError when the machine will not."""
        variables = self.environment.variables(self.address)
        if sys.platform == "win32":
            variables["_LOCAL_AWS_MARK"] = _END
        self._pipe, write_end = os.pipe()
        try:
            popen = subprocess.Popen(
                [PYTHON, "-S", "-P", str(RUNTIME / "bootstrap.py")],
                cwd=self.environment.recipe.code,
                env=variables,
                stdin=lifeline,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
            )
        finally:
            os.close(write_end)
        if sys.platform != "win32":
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
        deadline = (invocation.begun or 0.0) + self.environment.recipe.timeout
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
            "Lambda-Runtime-Trace-Id": trace_header(invocation.begun or 0.0, invocation.passes),
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
        return resident(self.popen.pid)

    def _signal_group(self, name: str) -> None:
        if self.popen is None or self._ended:
            return
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.popen.pid, getattr(signal, name))
            elif name == "SIGKILL":
                kill_tree(self.popen)

    # In the loop's thread.

    def _attach(self) -> None:
        assert self.popen is not None
        self.loop.add(self._listener, self._accept)
        if sys.platform != "win32":
            self.loop.add(self._pipe, self._printed)
        else:
            self._reader = threading.Thread(target=self._read_blocking, args=(self._pipe,), daemon=True)
            self._reader.start()
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
            if sys.platform != "win32" and hasattr(os, "waitid"):
                os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOWAIT)
            else:
                self.popen.wait()
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
        if self._reader is None:
            self.drain()
        elif request.path != "init/error":
            self._marked.acquire(timeout=_LAST_OUTPUT)
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
        if sys.platform == "win32" or self._pipe < 0:
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

    def _read_blocking(self, pipe: int) -> None:
        rest = b""
        with contextlib.suppress(OSError):
            while data := os.read(pipe, 65_536):
                *marked, rest = (rest + data).split(_MARK)
                for output in marked:
                    self.environment.take_output(output)
                    self._marked.release()
                # The mark itself may come in two pieces.
                whole = rest.rfind(_MARK[:1], -len(_MARK))
                whole = len(rest) if whole < 0 else whole
                self.environment.take_output(rest[:whole])
                rest = rest[whole:]
        self.environment.take_output(rest)
        os.close(pipe)

    def _exited(self) -> None:
        if self._ended or self.popen is None:
            return
        self._signal_group("SIGKILL")
        self._ended = True
        code = self.popen.wait()
        if self._reader is not None:
            self._reader.join(_LAST_OUTPUT)
            self._pipe = -1  # the reader's to close
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
