"""Requests that are no HTTP: answered with 400 before the front door sees them, and their connection closed."""

from __future__ import annotations

import re
from typing import Any

from cheroot.errors import MaxSizeExceeded
from cheroot.server import HTTPConnection, HTTPRequest

LARGEST_HEAD = 2**20
"""Bytes of a request's line and headers together."""

_LENGTH = re.compile(rb"[0-9]{1,18}")


class BrokenBodyError(Exception):
    """A body that cannot be read: it ends early, or its chunks are none."""


class Request(HTTPRequest):
    """A request that is refused where cheroot would fail at it, or wait for what cannot come."""

    def read_request_line(self) -> bool:
        """Read the first line; return whether it is one."""
        try:
            return bool(super().read_request_line())
        except ValueError:
            # What cannot be split, such as `//[`.
            return self._refuse("Malformed Request-URI")

    def read_request_headers(self) -> bool:
        """Read the headers; return whether they can be relied on."""
        if not super().read_request_headers():
            return False
        length = self.inheaders.get(b"Content-Length")
        if length is not None and not _LENGTH.fullmatch(length):
            return self._refuse("Malformed Content-Length Header.")
        if length is not None and b"Transfer-Encoding" in self.inheaders:
            return self._refuse("A request has either a Content-Length or a Transfer-Encoding.")
        return True

    def _refuse(self, text: str) -> bool:
        self.simple_response("400 Bad Request", text)
        return False


class Connection(HTTPConnection):
    """A connection whose requests are checked like that."""

    RequestHandlerClass = Request


def body(environ: dict[str, Any]) -> bytes:
    """Read a request's body to its end.

    Raises
    ------
    BrokenBodyError
        When it ends before its end, is too large, or its chunks are malformed.
    """
    try:
        data = bytes(environ["wsgi.input"].read())
    except (ValueError, OSError, MaxSizeExceeded):
        raise BrokenBodyError from None
    if len(data) < int(environ.get("CONTENT_LENGTH") or 0):
        raise BrokenBodyError
    return data
