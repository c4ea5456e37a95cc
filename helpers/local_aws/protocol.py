"""Requests in and answers out, by botocore's service models.

moto's protocol layer does the work for JSON, REST-JSON and the old query protocol; this module chooses among them and
writes errors in AWS's exact shape.
"""

from __future__ import annotations

import json
import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from werkzeug.datastructures import Headers, MultiDict

from . import moto_adapter
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
    trace : str, optional
        The request's `X-Amzn-Trace-Id`, which an SDK sends from within a function.
    """

    space: Space
    identity: Identity
    operation: str
    params: dict[str, Any]
    trace: str | None = None


REQUEST_ID = "x-amzn-RequestId"
"""Under this name an operation returns the id that its request is to have."""


class Later:
    """An answer that is not there yet, such as a long poll's; the front door waits for it without the lock.

    Parameters
    ----------
    abandon : callable
        Called under the lock when the client has gone away and nobody will read the answer.

    Attributes
    ----------
    present : callable
        Whether the client is still there; the front door sets it.
    """

    def __init__(self, abandon: Callable[[], None] = lambda: None) -> None:
        self._there = threading.Event()
        self._answer: dict[str, Any] | ApiError = {}
        self.abandon = abandon
        self.present: Callable[[], bool] = lambda: True

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
    action : str, optional
        The IAM action, such as `sqs:SendMessage`; without it the operation asks no right, or asks on its own.
    resource : callable, optional
        `(call) -> str`, the ARN that the right is asked for; without it `*`.
    context : callable, optional
        `(call) -> dict`, the service's own condition keys for a policy's Condition.
    """

    run: Callable[[Call], dict[str, Any] | Later]
    action: str | None = None
    resource: Callable[[Call], str] | None = None
    context: Callable[[Call], dict[str, Any]] | None = None


@dataclass(frozen=True)
class Request:
    """An HTTP request as it came in.

    Attributes
    ----------
    method : str
        The HTTP method.
    target : str
        Path and query exactly as sent: a decoded path would break ARNs.
    headers : dict
        The headers by their lower-case names.
    body : bytes
        The body.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path as sent, without the query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query as sent, without the question mark."""
        return self.target.partition("?")[2]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, complete."""

    status: int
    headers: dict[str, str]
    body: bytes


class Protocol:
    """One request's protocol: how its parameters are read and its answer is written.

    Use `read` to make one. It speaks JSON (SQS, CloudWatch and its Logs), REST-JSON (Lambda) and the old query
    protocol, which other SDKs and older command line tools still use.
    """

    def __init__(self, service: str, kind: str) -> None:
        self.service = service
        self.kind = kind
        self.model: Any = None
        self.params: dict[str, Any] = {}

    @property
    def operation(self) -> str:
        """The operation's AWS name."""
        return str(self.model.name) if self.model is not None else ""

    def result(self, members: dict[str, Any], request_id: str) -> Answer:
        """Write the answer of an operation that succeeded; under `REQUEST_ID` it may have an id of its own."""
        request_id = members.get(REQUEST_ID, request_id)
        context = moto_adapter.SerializationContext(request_id=request_id)
        written = _SERIALIZERS[self.service, self.kind](self.model, context).serialize(members)
        body, headers = written["body"], {**written["headers"], REQUEST_ID: request_id}
        if self.kind == "json":
            headers["Content-Type"] = "application/x-amz-json-1.0"
        status = written["status_code"]
        output = self.model.output_shape
        for name, shape in output.members.items() if output is not None and self.kind == "rest-json" else ():
            # Such as StatusCode of Invoke, by which 202 and 204 tell the types apart.
            if shape.serialization.get("location") == "statusCode":
                status = members.get(name, status)
        return Answer(status, headers, body.encode() if isinstance(body, str) else body)

    def error(self, problem: ApiError, request_id: str) -> Answer:
        """Write a refusal in the shape that this service and protocol use (rows A15 and E13)."""
        headers = {REQUEST_ID: request_id}
        shape = _error_shape(self.service, problem.code)
        query_code = problem.query_code or (shape.metadata.get("error", {}).get("code") if shape else None)
        fault = "Receiver" if problem.status >= 500 else "Sender"
        if self.kind == "query":
            root = ET.Element("ErrorResponse", xmlns=_XML_NAMESPACES.get(self.service, _XML_NAMESPACES["sqs"]))
            error = ET.SubElement(root, "Error")
            message = problem.message
            if self.service == "sqs" and problem.code == "QueueDoesNotExist":
                message = message.replace("exist.", "exist for this wsdl version.")  # Row A14.
            for tag, text in (("Type", fault), ("Code", query_code or problem.code), ("Message", message)):
                ET.SubElement(error, tag).text = _XML_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
            ET.SubElement(error, "Detail")
            ET.SubElement(root, "RequestId").text = request_id
            return Answer(problem.status, {**headers, "Content-Type": "text/xml"}, ET.tostring(root, "utf-8"))
        members = shape.members if shape is not None else {}
        key = "message" if "message" in members else "Message"
        if self.kind == "rest-json":
            body = {"Type": "User", key: problem.message, **problem.fields}
            headers |= {"Content-Type": "application/json", "x-amzn-ErrorType": problem.code}
        else:
            namespace = _ERROR_NAMESPACES.get(self.service, self.service)
            if problem.code == "AccessDeniedException":
                namespace, key = "com.amazon.coral.service", "Message"
            body = {"__type": f"{namespace}#{problem.code}", key: problem.message, **problem.fields}
            headers |= {"Content-Type": "application/x-amz-json-1.0"}
            if self.service in _QUERY_COMPATIBLE:
                headers["x-amzn-query-error"] = f"{query_code or problem.code};{fault}"
        return Answer(problem.status, headers, json.dumps(body).encode())


def well_formed(body: bytes) -> bytes:
    """Return XML with a replacement character for what XML cannot hold, also as a reference: moto repeats anything."""

    def allowed(reference: re.Match[str]) -> str:
        digits = reference[1]
        number = int(digits[1:], 16) if digits[0] == "x" else int(digits)
        fits = number <= 0x10FFFF and not _XML_FORBIDDEN.match(chr(number))
        return reference[0] if fits else "\N{REPLACEMENT CHARACTER}"

    text = _XML_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", body.decode("utf-8", "replace"))
    return _XML_REFERENCE.sub(allowed, text).encode()


def guess(service: str, request: Request) -> Protocol:
    """Return the protocol that a request seems to speak, to answer it when it cannot be read."""
    content = request.headers.get("content-type", "")
    if service == "lambda":
        kind = "rest-json"
    elif content.startswith("application/x-www-form-urlencoded") or "Action=" in request.query:
        kind = "query"
    else:
        kind = "json"
    return Protocol(service, kind)


def read(service: str, request: Request) -> Protocol:
    """Read a request to one of our own services.

    Parameters
    ----------
    service : str
        `sqs`, `lambda`, `cloudwatch`, `logs` or `sts`.
    request : Request
        The request, its signature verified.

    Returns
    -------
    Protocol
        With `model`, `operation` and `params` filled in.

    Raises
    ------
    ApiError
        When the operation is unknown or the parameters are not of the model's types.
    """
    reading = guess(service, request)
    services = moto_adapter.get_service_model(service)
    values: MultiDict[str, str] = MultiDict()
    url_params: dict[str, Any] = {}
    if reading.kind == "rest-json":
        try:
            reading.model, url_params = moto_adapter.rest_operation(
                services, request.method, request.target, request.headers
            )
        except LookupError:
            raise _unknown_operation(f"{request.method} {request.path}") from None
        values = MultiDict(parse_qsl(request.query, keep_blank_values=True))
    else:
        if reading.kind == "query":
            text = request.body.decode("utf-8", "replace") or request.query
            values = MultiDict(parse_qsl(text, keep_blank_values=True))
            name = values.get("Action", "")
        elif "cbor" in request.headers.get("smithy-protocol", "") or "cbor" in request.headers.get("content-type", ""):
            raise ApiError(
                "UnsupportedProtocol",
                "The local AWS speaks JSON and the query protocol; this client spoke CBOR. Choose one of those in it.",
                415,
            )
        else:
            name = request.headers.get("x-amz-target", "").rpartition(".")[2]
        if name not in services.operation_names:
            raise _unknown_operation(name)
        reading.model = services.operation_model(name)
    parser = {
        "json": moto_adapter.JSONParser,
        "rest-json": moto_adapter.RestJSONParser,
        "query": moto_adapter.QueryParser,
    }[reading.kind]
    try:
        reading.params = parser(reading.model).parse(
            {
                "body": request.body if _body_is_payload(reading.model) else request.body.decode("utf-8"),
                "headers": Headers(list(request.headers.items())),
                "method": request.method,
                "url_params": url_params,
                "url_path": request.path,
                "values": values,
            }
        )
        if reading.kind == "query" and service == "sqs" and "QueueUrl" not in reading.params and request.path != "/":
            # The query protocol posts to the queue's own URL.
            reading.params["QueueUrl"] = request.path
        _require(reading, reading.model.input_shape, reading.params)
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RuntimeError):
        # A moment beyond all years is an OverflowError or a RuntimeError, JSON without end a RecursionError.
        raise ApiError(
            "SerializationException", "The request could not be read: a parameter is not of its type."
        ) from None
    return reading


def _body_is_payload(model: Any) -> bool:
    shape = model.input_shape
    return shape is not None and "payload" in shape.serialization


def _unknown_operation(name: str) -> ApiError:
    return ApiError(
        "UnknownOperationException", f"The action {name or 'without a name'} is not valid for this endpoint.", 404
    )


def _require(reading: Protocol, shape: Any, value: Any) -> None:
    """Raise when a required member is missing or a member is of another type than the model's."""
    if shape is None:
        return
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            raise TypeError
        for name in shape.required_members:
            if value.get(name) is None:
                raise _missing(reading, name)
        members = shape.members
        for name, member in value.items():
            if member is not None and name in members:
                _require(reading, members[name], member)
    elif kind == "list":
        if not isinstance(value, list):
            raise TypeError
        for item in value:
            _require(reading, shape.member, item)
    elif kind == "map":
        if not isinstance(value, dict):
            raise TypeError
        for item in value.values():
            _require(reading, shape.value, item)
    elif not isinstance(value, _SCALARS.get(kind, (object,))) or (isinstance(value, bool) and kind != "boolean"):
        raise TypeError


def _missing(reading: Protocol, name: str) -> ApiError:
    if reading.service == "sqs":
        text = f"The request must contain the parameter {name}."
        return ApiError("MissingRequiredParameterException", text, query_code="MissingParameter")
    if reading.service == "cloudwatch":
        text = f"The parameter {name} is required."
        return ApiError("MissingRequiredParameterException", text, query_code="MissingParameter")
    lower = name[0].lower() + name[1:]
    text = f"1 validation error detected: Value null at '{lower}' failed to satisfy constraint: Member must not be null"
    code = "InvalidParameterException" if reading.service == "logs" else "ValidationException"
    return ApiError(code, text, query_code="ValidationError" if reading.kind == "query" else None)


def _error_shape(service: str, code: str) -> Any:
    try:
        return moto_adapter.get_service_model(service).shape_for(code)
    except Exception:
        return None


_SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "blob": (str, bytes),
}
_SERIALIZERS: dict[tuple[str, str], Any] = {
    ("sqs", "json"): moto_adapter.JSONSerializer,
    ("sqs", "query"): moto_adapter.SqsQuerySerializer,
    ("cloudwatch", "json"): moto_adapter.JSONSerializer,
    ("cloudwatch", "query"): moto_adapter.QuerySerializer,
    ("logs", "json"): moto_adapter.JSONSerializer,
    ("sts", "query"): moto_adapter.QuerySerializer,
    ("cloudformation", "query"): moto_adapter.QuerySerializer,
    ("lambda", "rest-json"): moto_adapter.RestJSONSerializer,
}
_QUERY_COMPATIBLE = {"sqs", "cloudwatch"}
_ERROR_NAMESPACES = {"sqs": "com.amazonaws.sqs", "cloudwatch": "com.amazonaws.cloudwatch"}
_XML_NAMESPACES = {
    "cloudformation": "http://cloudformation.amazonaws.com/doc/2010-05-15/",
    "sns": "http://sns.amazonaws.com/doc/2010-03-31/",
    "sqs": "http://queue.amazonaws.com/doc/2012-11-05/",
    "cloudwatch": "http://monitoring.amazonaws.com/doc/2010-08-01/",
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
    "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
}
_XML_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_XML_REFERENCE = re.compile("&#(x[0-9a-fA-F]{1,8}|[0-9]{1,9});")
