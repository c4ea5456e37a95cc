"""The Runtime API's side of HTTP: a small reader and writer for the one client an environment has.

An answer goes out in a single write, and `next` always carries `Content-Type` and `Lambda-Runtime-Trace-Id`: the
runtime client's C extension is slow without the one and dies without the other.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace

PREFIX = "/2018-06-01/runtime/"
LARGEST_REQUEST = 64 * 1024 * 1024
_LENGTH = re.compile(r"[0-9]{1,10}")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True)
class Request:
    """One request to the Runtime API: `path` is what follows the version's prefix."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Connection:
    """One kept-alive connection from an environment's process.

    Parameters
    ----------
    sock : socket
        The accepted connection.
    address : str
        The one Host that is answered.
    on_request : callable
        `(connection, request)`, called for every complete request.
    wants_write : callable
        `(connection)`, called when an answer could not be written at once.
    """

    def __init__(
        self,
        sock: socket.socket,
        address: str,
        on_request: Callable[[Connection, Request], None],
        wants_write: Callable[[Connection], None],
    ) -> None:
        self.sock = sock
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._address = address
        self._on_request = on_request
        self._wants_write = wants_write
        self._input = bytearray()
        self._output = b""
        self._continued = False
        self._broken = False

    def readable(self) -> bool:
        """Read what is there and answer what is complete; return whether the connection is still open."""
        try:
            while True:
                data = self.sock.recv(262_144)
                if not data:
                    return False
                self._input += data
                if len(data) < 262_144:
                    break
        except BlockingIOError:
            pass
        except OSError:
            return False
        while True:
            request = self._take()
            if self._broken:
                return False
            if request is None:
                return len(self._input) <= LARGEST_REQUEST
            if self._is_for_us(request):
                self._on_request(self, replace(request, path=request.path[len(PREFIX) :]))
            else:
                self.refuse("403 Forbidden")

    def writable(self) -> bool:
        """Write what is left of an answer; return whether there is still more."""
        try:
            self._output = self._output[self.sock.send(self._output) :]
        except BlockingIOError:
            pass
        except OSError:
            self._output = b""
        return bool(self._output)

    def answer(self, status: str, headers: dict[str, str], body: bytes) -> None:
        """Send one answer, such as status `202 Accepted`."""
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._write(f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body)

    def accepted(self) -> None:
        """Answer a post."""
        self._write(_ACCEPTED)

    def refuse(self, status: str) -> None:
        """Answer a request that is out of place."""
        self.answer(status, {"Content-Type": "application/json"}, b'{"errorType":"InvalidRequest","errorMessage":""}')

    def close(self) -> None:
        """Close the connection."""
        self.sock.close()

    def _write(self, data: bytes) -> None:
        if self._output:
            self._output += data
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return
        if sent < len(data):
            self._output = data[sent:]
            self._wants_write(self)

    def _take(self) -> Request | None:
        head_end = self._input.find(b"\r\n\r\n")
        if head_end < 0:
            return None
        lines = self._input[:head_end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        announced = headers.get("content-length") or "0"
        if not _LENGTH.fullmatch(announced):
            # Where the next request begins is not known any more.
            self._broken = True
            self.refuse("400 Bad Request")
            return None
        length = int(announced)
        end = head_end + 4 + length
        if len(self._input) < end:
            if not self._continued and headers.get("expect", "").lower() == "100-continue":
                self._continued = True
                self._write(_CONTINUE)
            return None
        body = bytes(self._input[head_end + 4 : end])
        del self._input[:end]
        self._continued = False
        method, _, rest = lines[0].partition(" ")
        return Request(method, rest.partition(" ")[0], headers, body)

    def _is_for_us(self, request: Request) -> bool:
        headers = request.headers
        return headers.get("host") == self._address and "origin" not in headers and request.path.startswith(PREFIX)


_ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n" + b'{"status":"OK"}\n'
)
