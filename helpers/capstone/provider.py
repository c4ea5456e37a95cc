"""The payment provider: a slow HTTP server with eight places, an outage, and a ledger of what it has charged."""

from __future__ import annotations

import argparse
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import Request, urlopen

PLACES = 8
"""How many charges it takes at once; a further one is refused."""
SECONDS = 0.15
"""How long a charge takes."""


class Provider:
    """A payment provider of this computer, which runs until `close`.

    It answers `POST /charges` with an `order` and `cents`, and `GET /charges/ORDER` with how often that order was
    charged. It charges twice if it is asked twice. While it is down it answers 503 to both, and to the ninth at once
    429. What only the judge may ask stands behind a key.

    Parameters
    ----------
    host, port : str, int
        Where it listens; port 0 takes a free one.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.key = secrets.token_urlsafe(12)
        self._office = _Office(self.key)
        self._server = _Server((host, port), _handler(self._office))
        self.url = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """The address with the key, for the judge."""
        return f"{self.url}/{self.key}"

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class Remote:
    """A provider as the judge sees it: where handlers reach it, its state and its ledger.

    Parameters
    ----------
    address : str
        With the key, as `Provider.address` has it.
    """

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        self.url = self._address.rpartition("/")[0]

    def set(self, **state: bool) -> None:
        """Change its state: whether it is `down`, whether it answers at `once`."""
        self._ask(json.dumps(state).encode())

    def ledger(self) -> dict[str, Any]:
        """Return `charges` and `refusals`, in the order of time."""
        answer: dict[str, Any] = self._ask(None)
        return answer

    def _ask(self, body: bytes | None) -> Any:
        with urlopen(Request(f"{self._address}/state", body), timeout=10) as answer:
            return json.load(answer)


class _Office:
    def __init__(self, key: str) -> None:
        self.key = key
        self.lock = threading.Lock()
        self.state = {"down": False, "once": False}
        self.busy = 0
        self.charges: list[dict[str, Any]] = []
        self.refusals: list[str] = []

    def charge(self, order: Any, cents: Any) -> tuple[int, dict[str, Any]]:
        with self.lock:
            if self.state["down"]:
                return 503, {"error": "we are down"}
            if self.busy >= PLACES:
                self.refusals.append(str(order))
                return 429, {"error": f"{PLACES} at once, no more"}
            self.busy += 1
        if not self.state["once"]:
            time.sleep(SECONDS)
        with self.lock:
            self.busy -= 1
            self.charges.append({"order": order, "cents": cents})
        return 201, {"charged": order}

    def look(self, order: str) -> tuple[int, dict[str, Any]]:
        with self.lock:
            if self.state["down"]:
                return 503, {"error": "we are down"}
            return 200, {"charges": sum(charge["order"] == order for charge in self.charges)}

    def change(self, state: dict[str, bool]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.state.update(state)
            return 200, dict(self.state)

    def ledger(self) -> tuple[int, dict[str, Any]]:
        with self.lock:
            return 200, {"charges": list(self.charges), "refusals": list(self.refusals)}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: who asked has gone."""


def _handler(office: _Office) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == f"/{office.key}/state":
                self._answer(*office.ledger())
            elif self.path.startswith("/charges/"):
                self._answer(*office.look(self.path.removeprefix("/charges/")))
            else:
                self._answer(404, {"error": "there is /charges and /charges/ORDER"})

        def do_POST(self) -> None:
            try:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
                if self.path == f"/{office.key}/state":
                    self._answer(*office.change(body))
                elif self.path == "/charges":
                    self._answer(*office.charge(body["order"], body["cents"]))
                else:
                    self._answer(404, {"error": "there is /charges and /charges/ORDER"})
            except (ValueError, KeyError, TypeError):
                self._answer(400, {"error": "a charge is JSON with order and cents"})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            """Write nothing: the ledger is the log."""

    return Handler


def main() -> None:
    """Be a provider until it is interrupted, for a judge on a real account; say its address with the key."""
    parser = argparse.ArgumentParser(prog="python -m helpers.capstone.provider", description=main.__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="where to listen")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--public", default="", help="how Lambda reaches it, such as http://203.0.113.7:8080")
    asked = parser.parse_args()
    provider = Provider(asked.host, asked.port)
    print(f"{asked.public.rstrip('/') or provider.url}/{provider.key}", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        provider.close()


if __name__ == "__main__":
    main()
