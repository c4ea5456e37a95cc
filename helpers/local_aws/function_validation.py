"""What a function's configuration, role and code may be, and Lambda's texts for what they may not be."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from typing import Any

from . import moto_adapter
from .errors import ApiError
from .functions import Configuration
from .protocol import Call

_ROLE = re.compile(r"^arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$")
_ROLE_PATTERN = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
_VARIABLE = re.compile(r"^[a-zA-Z][a-zA-Z0-9_]+$")
_RESERVED_VARIABLES = {
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
}
_LARGEST_VARIABLES = 4096


def configured(base: Configuration, name: str, params: dict[str, Any]) -> Configuration:
    """Return `base` with what a call sets, checked."""
    changes: dict[str, Any] = {}
    direct = {"Description": "description", "Handler": "handler", "Role": "role", "Runtime": "runtime"}
    for member, attribute in direct.items():
        if params.get(member) is not None:
            changes[attribute] = params[member]
    _check_runtime(changes.get("runtime", base.runtime))
    ranges = {"Timeout": ("timeout", 1, 900), "MemorySize": ("memory", 128, 10_240)}
    for member, (attribute, least, most) in ranges.items():
        if params.get(member) is not None:
            changes[attribute] = in_range(member, params[member], least, most)
    if params.get("EphemeralStorage"):
        changes["storage"] = in_range("ephemeralStorage.size", params["EphemeralStorage"]["Size"], 512, 10_240)
    if params.get("Environment") is not None:
        changes["variables"] = _variables(params["Environment"].get("Variables") or {})
    if params.get("TracingConfig"):
        changes["tracing"] = params["TracingConfig"].get("Mode", base.tracing)
    if params.get("DeadLetterConfig") is not None:
        changes["dead_letter"] = _dead_letter(params["DeadLetterConfig"].get("TargetArn"))
    if params.get("Architectures"):
        changes["architectures"] = tuple(params["Architectures"])
    logging = params.get("LoggingConfig") or {}
    log_format = logging.get("LogFormat", base.log_format)
    if log_format not in ("Text", "JSON"):
        rule = "Member must satisfy enum value set: [JSON, Text]"
        raise constraint(log_format, "loggingConfig.logFormat", rule)
    if log_format == "Text" and ("ApplicationLogLevel" in logging or "SystemLogLevel" in logging):
        raise invalid("You cannot set ApplicationLogLevel or SystemLogLevel while LogFormat is Text.")
    changes |= {
        "log_format": log_format,
        "log_group": logging.get("LogGroup") or base.log_group or f"/aws/lambda/{name}",
        "application_level": logging.get("ApplicationLogLevel", base.application_level),
        "system_level": logging.get("SystemLogLevel", base.system_level),
    }
    return replace(base, **changes)


def _check_runtime(runtime: str) -> None:
    known = [str(value) for value in moto_adapter.get_service_model("lambda").shape_for("Runtime").enum]
    if runtime not in known:
        raise invalid(
            f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
            f"[{', '.join(known)}] or be a valid ARN"
        )
    if not runtime.startswith("python3."):
        raise invalid(f"The local AWS runs Python functions only: choose a python3 runtime instead of {runtime}.")


def _variables(variables: dict[str, str]) -> dict[str, str]:
    for name in variables:
        if not _VARIABLE.match(name):
            rule = (
                "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: "
                "[a-zA-Z]([a-zA-Z0-9_])+]"
            )
            raise constraint(variables, "environment.variables", rule)
    reserved = sorted(_RESERVED_VARIABLES & variables.keys())
    if reserved:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            "provided contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    measured = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode()) > _LARGEST_VARIABLES:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided exceeded the 4KB limit. String measured: {measured}"
        )
    return dict(variables)


def _dead_letter(arn: str | None) -> str | None:
    if not arn:
        return None
    if ":sqs:" in arn and arn.endswith(".fifo"):
        raise invalid("Invalid dead letter queue ARN: FIFO SQS queue is not supported for dead letter configuration")
    return arn


def zip_file(code: dict[str, Any]) -> bytes:
    """Return the zip file that a call gives as the code."""
    if code.get("ImageUri") or code.get("S3Bucket"):
        raise invalid("The local AWS takes a function's code as ZipFile, not from S3 and not as a container image.")
    data = code.get("ZipFile")
    if not data:
        raise invalid("Please provide a source for function code.")
    if isinstance(data, bytes) and data[:2] == b"PK":
        return data
    try:
        return base64.b64decode(data, validate=True)
    except ValueError:
        return data if isinstance(data, bytes) else str(data).encode()


def check_role_pattern(role: str) -> None:
    """Check that a text has the form of a role's ARN."""
    if not _ROLE.match(role):
        raise constraint(role, "role", f"Member must satisfy regular expression pattern: {_ROLE_PATTERN}")


def check_role(call: Call, role: str) -> None:
    """Check that the caller may pass a role and that Lambda may assume it (rows E2 and E10)."""
    passed = {"iam:PassedToService": "lambda.amazonaws.com"}
    call.space.permissions.check(call.identity, "iam:PassRole", role, passed)
    if not call.space.permissions.role_trusts(role, "lambda.amazonaws.com"):
        raise invalid("The role defined for the function cannot be assumed by Lambda.")


def in_range(member: str, value: int, least: int, most: int) -> int:
    """Return a number that lies between two others, both included."""
    name = member[0].lower() + member[1:]
    if value < least:
        raise constraint(value, name, f"Member must have value greater than or equal to {least}")
    if value > most:
        raise constraint(value, name, f"Member must have value less than or equal to {most}")
    return value


def constraint(value: object, name: str, rule: str) -> ApiError:
    """Return the error for a value that breaks a rule of the API."""
    return ApiError(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: {rule}",
    )


def invalid(text: str) -> ApiError:
    """Return the error for a value that Lambda does not take."""
    return ApiError("InvalidParameterValueException", text, Type="User")
