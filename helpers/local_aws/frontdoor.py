"""The front door: one WSGI application that every call goes through.

In order: a foreign Host and any Origin are refused, the signature is verified over the raw request, the caller's rights
are evaluated, and the call is routed to our own services or to moto's. Nothing unsigned reaches anything.
"""

from __future__ import annotations

import hmac
import json
import logging
import selectors
import socket
import time
import uuid
import zlib
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

from . import http_requests, lab_api, logs_api, moto_adapter, protocol, services, signature, stacks_api, sts_api
from .errors import ApiError
from .protocol import Answer, Call, Later, Operation, Protocol, Request
from .space import Identity, Space

log = logging.getLogger(__name__)

OWN: dict[str, dict[str, Operation]] = {
    **services.OPERATIONS,
    "cloudformation": stacks_api.OPERATIONS,
    "logs": logs_api.OPERATIONS,
    "sts": sts_api.OPERATIONS,
}
"""The operations that are ours, by service."""
SHARED = {"logs", "sts"}
"""The services whose other operations are moto's."""

_SIGNING_NAMES = {"monitoring": "cloudwatch"}
_GLOBAL_SERVICES = {"iam", "sts"}
_CONCERNS_POLLERS = {
    *("CreateFunction", "DeleteFunction", "UpdateFunctionConfiguration", "CreateAlias", "UpdateAlias", "DeleteAlias"),
    *("CreateQueue", "SetQueueAttributes"),
}
"""After these a mapping may have got or lost its queue, its function or its role."""
_PRESENCE_CHECK = 0.5
LARGEST_UNPACKED = 64 * 2**20
"""Bytes of a body after unpacking."""


class FrontDoor:
    """The WSGI application of one space.

    Parameters
    ----------
    space : Space
        The space behind the door.
    hosts : set of str
        The values of `Host` under which it answers; any other is refused, so that no web page can reach it by a name
        of its own.
    """

    def __init__(self, space: Space, hosts: set[str]) -> None:
        self.space = space
        self.hosts = hosts
        self.last_call = time.monotonic()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        answer = self._answer(environ)
        reason = HTTPStatus(answer.status).phrase if answer.status in HTTPStatus._value2member_map_ else "Status"
        headers = [(name, str(value)) for name, value in answer.headers.items()]
        if environ["REQUEST_METHOD"] != "HEAD":
            # The answer to a HEAD request carries the length of what a GET would bring.
            headers = [item for item in headers if item[0].lower() != "content-length"]
            if answer.status not in (204, 304):
                headers.append(("Content-Length", str(len(answer.body))))
        start_response(f"{answer.status} {reason}", headers)
        # What follows a 204 on the connection is the next answer.
        return [b"" if answer.status in (204, 304) else answer.body]

    def _answer(self, environ: dict[str, Any]) -> Answer:
        request_id = str(uuid.uuid4())
        try:
            request = _request(environ)
        except http_requests.BrokenBodyError:
            headers = {"Content-Type": "text/plain", "Connection": "close"}
            return Answer(400, headers, b"The body is not as long, or not in the chunks, that its headers say.")
        if request.headers.get("host") not in self.hosts or "origin" in request.headers:
            text = (
                "The local AWS answers only clients on this machine that call it by its own address, and no web page."
            )
            return Answer(403, {"Content-Type": "text/plain"}, text.encode())
        speaking: Protocol | None = None
        service = "sqs"
        try:
            claim = signature.claim(request)
            service = _SIGNING_NAMES.get(claim.service, claim.service)
            identity = self._authenticate(request, claim)
            request = _unpacked(request)
            self.last_call = time.monotonic()
            if service == lab_api.SERVICE:
                return self._lab(request, identity)
            if service in OWN and not self._is_control_plane(service, request):
                speaking = protocol.read(service, request)
                operation = OWN[service].get(speaking.operation)
                if operation is None:
                    raise ApiError(
                        "NotImplemented",
                        f"The local AWS does not offer {service}:{speaking.operation}. "
                        f"It offers: {', '.join(sorted(OWN[service]))}.",
                        501,
                    )
                trace = request.headers.get("x-amzn-trace-id")
                trace = unquote(trace) if trace else None
                call = Call(self.space, identity, speaking.operation, speaking.params, trace)
                return speaking.result(self._perform(operation, call, environ), request_id)
            return self._control_plane(service, request, identity)
        except ApiError as problem:
            return (speaking or protocol.guess(service, request)).error(problem, request_id)
        except Exception:
            log.exception("%s %s", request.method, request.path)
            text = "The local AWS failed at this call; its log says where. Please report it as a defect."
            failure = ApiError("InternalFailure", text, 500)
            return (speaking or protocol.guess(service, request)).error(failure, request_id)

    def _authenticate(self, request: Request, claim: signature.Claim) -> Identity:
        space = self.space
        with space.scheduler.lock:
            credential = space.permissions.identify(claim.access_key)
        if credential is None:
            raise ApiError(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
                403,
                query_code="InvalidClientTokenId",
            )
        signature.verify(request, claim, credential.secret_key, (time.time(), space.clock.now()))
        token = request.headers.get("x-amz-security-token", "")
        if not hmac.compare_digest(token.encode(), (credential.session_token or "").encode()):
            raise ApiError("UnrecognizedClientException", "The security token included in the request is invalid.", 403)
        if credential.expires is not None and credential.expires < space.clock.now():
            raise ApiError("ExpiredTokenException", "The security token included in the request is expired", 403)
        if claim.region != space.region and claim.service not in _GLOBAL_SERVICES:
            raise ApiError(
                "InvalidRegion",
                f"The local AWS has one Region, {space.region}; the request was signed for {claim.region}.",
                400,
            )
        return credential.identity

    def _perform(self, operation: Operation, call: Call, environ: dict[str, Any]) -> dict[str, Any]:
        with self.space.scheduler.lock:
            outcome = services.run(operation, call)
            if isinstance(outcome, Later):
                outcome.present = lambda: not _gone(environ)
            if call.operation in _CONCERNS_POLLERS:
                self.space.mappings.wake()
        if isinstance(outcome, Later):
            while not outcome.wait(_PRESENCE_CHECK):
                if _gone(environ):
                    with self.space.scheduler.lock:
                        outcome.abandon()
                    break
            return outcome.get()
        return outcome

    def _is_control_plane(self, service: str, request: Request) -> bool:
        """Whether a service that we share with moto is asked for an operation of moto's."""
        if service not in SHARED:
            return False
        name = request.headers.get("x-amz-target", "").rpartition(".")[2]
        if not name:
            name = dict(parse_qsl(request.body.decode("utf-8", "replace") or request.query)).get("Action", "")
        return name not in OWN[service]

    def _control_plane(self, service: str, request: Request, identity: Identity) -> Answer:
        if (name := moto_adapter.model_of(service)) is not None:
            protocol.read(name, request)
        with self.space.scheduler.lock:
            status, headers, body = services.ask_control_plane(self.space, identity, service, request)
        if service != "s3" and body.startswith(b"<"):
            body = protocol.well_formed(body)
        return Answer(status, dict(headers), body)

    def _lab(self, request: Request, identity: Identity) -> Answer:
        headers = {"Content-Type": "application/json"}
        try:
            if not identity.owner:
                raise ApiError("AccessDeniedException", "Only the account's own key may use the lab endpoints.", 403)
            body = json.dumps(lab_api.answer(self.space, request)).encode()
            return Answer(200, headers, body)
        except ApiError as problem:
            body = json.dumps({"code": problem.code, "message": problem.message}).encode()
            return Answer(problem.status, headers, body)


def _request(environ: dict[str, Any]) -> Request:
    headers = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}
    for key, name in (("CONTENT_TYPE", "content-type"), ("CONTENT_LENGTH", "content-length")):
        if environ.get(key):
            headers[name] = environ[key]
    target = environ["REQUEST_URI"]
    if isinstance(target, bytes):
        target = target.decode("latin-1")
    return Request(environ["REQUEST_METHOD"], target, headers, http_requests.body(environ))


def _unpacked(request: Request) -> Request:
    """Return the request with its body unpacked; boto3 sends large metric data packed."""
    if request.headers.get("content-encoding") != "gzip":
        return request
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(request.body, LARGEST_UNPACKED)
    except zlib.error:
        raise ApiError("SerializationException", "The body is not what its Content-Encoding says.") from None
    if not unpacker.eof:
        raise ApiError("RequestEntityTooLargeException", "The body is cut off, or too large unpacked.", 413)
    headers = {name: value for name, value in request.headers.items() if name != "content-encoding"}
    return Request(request.method, request.target, headers | {"content-length": str(len(body))}, body)


def _gone(environ: dict[str, Any]) -> bool:
    """Whether the client has hung up while its long poll was waited for."""
    connection = environ.get("local_aws.socket")
    if not isinstance(connection, socket.socket):
        return False
    try:
        # Not select.select, which knows no file beyond the 1,024th.
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            readable = selector.select(0)
        return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
    except (OSError, ValueError):
        return True
