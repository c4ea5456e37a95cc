"""The server's process: the WSGI server, its threads, and how its life begins and ends."""

from __future__ import annotations

import errno
import logging
import os
import random
import secrets
import shutil
import signal
import string
import threading
import time
from typing import Any

import cheroot.wsgi
import psutil
from cheroot.workers.threadpool import ThreadPool

from . import http_requests, state
from .frontdoor import FrontDoor
from .platforms import weaknesses
from .space import Space

log = logging.getLogger(__name__)

MOST_THREADS = 300
"""Requests served at a time; each long poll and each synchronous invocation takes one."""

LARGEST_REQUEST = 80 * 2**20
"""Bytes; a 50 MB zip is 67 MB as base64."""

_FIRST_THREADS = 24
_THREADS_AT_A_TIME = 24
_WATCH_INTERVAL = 5.0


class _GrowingThreadPool(ThreadPool):
    """A pool that begins small and grows when a request finds no idle thread."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._growing = threading.Lock()

    def put(self, obj: Any) -> None:
        super().put(obj)
        if self.idle <= self.qsize:
            # grow() waits for its threads, and this is the thread that takes in every request.
            threading.Thread(target=self._grow_once, daemon=True).start()

    def _grow_once(self) -> None:
        if self._growing.acquire(blocking=False):
            try:
                self.grow(_THREADS_AT_A_TIME)
            finally:
                self._growing.release()


class _Gateway(cheroot.wsgi.Gateway_10):
    """Adds the connection's socket to the environ, so that a long poll can tell whether its client is still there."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]
        environ: dict[str, Any] = super().get_environ()  # type: ignore[func-returns-value]
        environ["local_aws.socket"] = self.req.conn.socket
        return environ


class PortTakenError(Exception):
    """The port that was asked for is in use."""


class Server:
    """One local AWS on loopback.

    Parameters
    ----------
    space : str
        The space's name.
    port : int
        The port, 0 for any free one.
    idle_stop : float, optional
        Seconds after which it ends when no registered process is left; without it only a signal or `stop` ends it.

    Raises
    ------
    PortTakenError
        When the port is in use.
    """

    def __init__(self, space: str, port: int = 0, idle_stop: float | None = None) -> None:
        self._idle_stop = idle_stop
        access_key = os.environ.get("LOCAL_AWS_ACCESS_KEY_ID") or "LKIA" + _random(
            string.ascii_uppercase + "234567", 16
        )
        secret_key = os.environ.get("LOCAL_AWS_SECRET_ACCESS_KEY") or _random(string.ascii_letters + string.digits, 40)
        account = os.environ.get("LOCAL_AWS_ACCOUNT") or str(random.SystemRandom().randint(10**11, 10**12 - 1))
        region = os.environ.get("LOCAL_AWS_REGION") or "us-east-1"
        if not (account.isdigit() and len(account) == 12):
            raise state.ServerError(f"LOCAL_AWS_ACCOUNT is twelve digits, not {account!r}.")
        self.space = Space(account=account, region=region, workdir=state.new_workdir(space), name=space)
        self.space.permissions.set_owner(access_key, secret_key)
        self._http = cheroot.wsgi.Server(
            ("127.0.0.1", port), self._not_ready, numthreads=4, max=MOST_THREADS, request_queue_size=256
        )
        self._http.gateway = _Gateway
        self._http.ConnectionClass = http_requests.Connection
        self._http.max_request_header_size = http_requests.LARGEST_HEAD
        self._http.requests = _GrowingThreadPool(self._http, min=_FIRST_THREADS, max=MOST_THREADS)
        self._http.max_request_body_size = LARGEST_REQUEST
        self._http.keep_alive_conn_limit = 1000
        self._http.timeout = 300
        self._http.error_log = _to_log  # type: ignore[method-assign]
        try:
            self._http.prepare()
        except OSError as problem:
            shutil.rmtree(self.space.workdir, ignore_errors=True)
            if (
                problem.errno == errno.EADDRINUSE
                or "could not bind" in str(problem).lower()
                or "in use" in str(problem)
            ):
                raise PortTakenError from None
            raise
        port = self._http.bind_addr[1]
        self.space.url = f"http://127.0.0.1:{port}"
        self._door = FrontDoor(self.space, {f"127.0.0.1:{port}", f"localhost:{port}"})
        self._http.wsgi_app = self._door
        own = psutil.Process()
        self.info = state.ServerInfo(
            url=self.space.url,
            access_key=access_key,
            secret_key=secret_key,
            account=account,
            region=region,
            space=space,
            pid=own.pid,
            started=own.create_time(),
        )

    @staticmethod
    def _not_ready(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("503 Service Unavailable", [])
        return []

    def run(self, ready: Any) -> None:
        """Serve until a signal, `stop` or idleness ends it.

        Parameters
        ----------
        ready : callable
            Called once calls are answered.
        """
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), lambda *_: self.space.stop_requested.set())
        for sentence in weaknesses():
            log.warning("%s", sentence)
        self.space.start()
        threading.Thread(target=self._http.serve, name="front door", daemon=True).start()
        state.write(self.info)
        try:
            ready()
            threading.Thread(target=self.space.control.warm_up, name="warm-up", daemon=True).start()
            idle_since = time.monotonic()
            while not self.space.stop_requested.wait(_WATCH_INTERVAL if self._idle_stop is None else 1.0):
                self._forget_dead_clients()
                now = time.monotonic()
                if self.space.clients:
                    idle_since = now
                idle_since = max(idle_since, self._door.last_call)
                if self._idle_stop is not None and now - idle_since > self._idle_stop:
                    log.info("no process has used the local AWS for %.0f s; it ends", self._idle_stop)
                    break
        finally:
            self.close()

    def close(self) -> None:
        """End the server, every handler's process and the server's files."""
        state.remove(self.info)
        # Without the lock: the ends of the handlers' processes are taken in under it.
        self.space.close()
        self._http.interrupt = None
        self._http.ready = False
        shutil.rmtree(self.space.workdir, ignore_errors=True)

    def _forget_dead_clients(self) -> None:
        for pid in [pid for pid in self.space.clients if not psutil.pid_exists(pid)]:
            self.space.clients.discard(pid)


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _to_log(msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
    log.log(level, "%s", msg, exc_info=traceback)
