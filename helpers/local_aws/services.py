"""Operations are called with a caller's rights: by the front door for a client, by a stack for its owner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from botocore.exceptions import ParamValidationError
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from . import (
    alarms_api,
    control_resources,
    function_policies,
    lambda_api,
    mappings_api,
    metrics_api,
    moto_adapter,
    sqs_api,
)
from .errors import ApiError
from .protocol import Call, Later, Operation, Request
from .space import Identity, Space

OPERATIONS: dict[str, dict[str, Operation]] = {
    "sqs": sqs_api.OPERATIONS,
    "lambda": {**lambda_api.OPERATIONS, **mappings_api.OPERATIONS, **function_policies.OPERATIONS},
    "cloudwatch": {**metrics_api.OPERATIONS, **alarms_api.OPERATIONS},
}
"""The operations of ours that a stack can call, by service; the front door offers more."""


def call(space: Space, identity: Identity, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
    """Call an operation as a client would, but below HTTP; under the space's lock.

    Parameters
    ----------
    space : Space
        The space.
    identity : Identity
        Whose rights count.
    service, operation : str
        Such as `sqs`, `CreateQueue`.
    params : dict
        The members by their AWS names; texts are made numbers and truth values where the service's model wants them.

    Returns
    -------
    dict
        The answer's members.

    Raises
    ------
    ApiError
        What a client would be refused with, also when the caller has not the right.
    """
    model = moto_adapter.get_service_model(service).operation_model(operation)
    params = dict(fitted(model.input_shape, params))
    misfits = list(_misfits(model.input_shape, params, "#"))
    if misfits:
        raise ApiError("PropertyValidation", "\n".join(misfits))
    own = OPERATIONS.get(service)
    if own is None:
        return _control_plane(space, identity, service, model, params)
    if operation not in own:
        raise ApiError("NotImplemented", f"The local AWS does not offer {service}:{operation}.", 501)
    answer = run(own[operation], Call(space, identity, operation, params))
    space.mappings.wake()
    if isinstance(answer, Later):
        raise TypeError(f"{service}:{operation} answers later")
    return answer


def run(operation: Operation, call: Call) -> dict[str, Any] | Later:
    """Run an operation of ours if its caller has the right; under the space's lock."""
    if operation.action is not None:
        resource = operation.resource(call) if operation.resource else "*"
        context = operation.context(call) if operation.context else None
        call.space.permissions.check(call.identity, operation.action, resource, context)
    return operation.run(call)


def ask_control_plane(
    space: Space, identity: Identity, service: str, request: Request
) -> tuple[int, dict[str, str], bytes]:
    """Let moto answer a request if its caller has the right; under the space's lock."""
    if not identity.owner:
        action, about = control_resources.asked(space, identity, service, request)
        space.permissions.check_any(identity, action, about or (None,))
    if service == "logs":
        space.logs.flush()
    before = space.control.generation
    url = f"{space.url}{request.target}"
    answer = space.control.handle(service, request.method, url, request.headers, request.body)
    if space.control.generation != before:
        space.mappings.wake()
    return answer


def fitted(shape: Any, value: Any) -> Any:
    """Return a value with its texts, numbers and truth values as a shape of a service's model wants them.

    What cannot be made to fit stays, for the service to refuse.
    """
    if shape is None or value is None:
        return value
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        return {name: fitted(shape.members.get(name), one) for name, one in value.items()}
    if kind == "map" and isinstance(value, dict):
        return {str(name): fitted(shape.value, one) for name, one in value.items()}
    if kind == "list" and isinstance(value, list):
        return [fitted(shape.member, one) for one in value]
    if kind in ("integer", "long") and isinstance(value, (str, float)):
        try:
            return int(value)
        except ValueError:
            return value
    if kind in ("float", "double") and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    if kind == "boolean" and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if kind == "string" and isinstance(value, (bool, int, float)):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value


_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "blob": ("String", (str, bytes)),
    "boolean": ("Boolean", (bool,)),
    "double": ("Number", (int, float)),
    "float": ("Number", (int, float)),
    "integer": ("Integer", (int,)),
    "list": ("JSONArray", (list,)),
    "long": ("Integer", (int,)),
    "map": ("JSONObject", (dict,)),
    "string": ("String", (str,)),
    "structure": ("JSONObject", (dict,)),
}
_NAMES = {str: "String", bool: "Boolean", int: "Integer", float: "Number", list: "JSONArray", dict: "JSONObject"}


def _misfits(shape: Any, value: Any, path: str) -> Iterator[str]:
    """Yield what is not of the type that a service's model wants, in the words of CloudFormation's validation."""
    if shape is None or value is None or shape.type_name not in _TYPES:
        return
    name, types = _TYPES[shape.type_name]
    if not isinstance(value, types) or (isinstance(value, bool) and name != "Boolean"):
        yield f"{path}: expected type: {name}, found: {_NAMES.get(type(value), 'String')}"
    elif isinstance(value, dict):
        for key, one in value.items():
            member = shape.members.get(key) if shape.type_name == "structure" else shape.value
            yield from _misfits(member, one, f"{path}/{key}")
        if shape.type_name == "structure":
            for key in shape.required_members:
                if value.get(key) is None:
                    yield f"{path}: required key [{key}] not found"
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _misfits(shape.member, one, f"{path}/{index}")


def _control_plane(
    space: Space, identity: Identity, service: str, model: Any, params: dict[str, Any]
) -> dict[str, Any]:
    kind = model.metadata["protocol"]
    try:
        made = create_serializer(kind).serialize_to_request(params, model)
    except ParamValidationError as misfit:
        raise ApiError("ValidationException", str(misfit)) from None
    body = made["body"]
    request = Request(
        made["method"],
        made["url_path"],
        {name.lower(): str(text) for name, text in made["headers"].items()},
        urlencode(body).encode() if isinstance(body, dict) else body,
    )
    status, headers, answer = ask_control_plane(space, identity, service, request)
    response = {"status_code": status, "headers": headers, "body": answer}
    parsed: dict[str, Any] = create_parser(kind).parse(response, model.output_shape)
    if status >= 300:
        problem = parsed.get("Error", {})
        raise ApiError(problem.get("Code", "InternalFailure"), problem.get("Message", "no text"), status)
    parsed.pop("ResponseMetadata", None)
    return parsed
