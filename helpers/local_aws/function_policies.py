"""A function's resource-based policy: who may invoke it from outside, and Lambda's three operations for it."""

from __future__ import annotations

import json
import re
from typing import Any

from .errors import ApiError
from .functions import LATEST, FunctionVersion
from .protocol import Call, Operation

_STATEMENT_ID = re.compile(r"[a-zA-Z0-9-_]{1,100}")
_ACTION = re.compile(r"lambda:[*]|lambda:[a-zA-Z]+|[*]")
_ACCOUNT = re.compile(r"\d{12}")


def document(version: FunctionVersion) -> dict[str, Any] | None:
    """Return the policy of a function, or of the version or alias that was addressed; None without one."""
    return version.function.policy(version.qualifier)


def add_permission(call: Call) -> dict[str, Any]:
    """Let a principal call an action of a function (Lambda API reference, AddPermission)."""
    params = call.params
    version = _addressed(call)
    statement_id, action, principal = params["StatementId"], params["Action"], params["Principal"]
    if not _STATEMENT_ID.fullmatch(statement_id):
        raise _constraint(statement_id, "statementId", "([a-zA-Z0-9-_]+)")
    if not _ACTION.fullmatch(action):
        raise _constraint(action, "action", "(lambda:[*]|lambda:[a-zA-Z]+|[*])")
    statements = version.function.policies.setdefault(version.qualifier or LATEST, [])
    if any(one["Sid"] == statement_id for one in statements):
        text = f"The statement id ({statement_id}) provided already exists. Please provide a new statement id, "
        raise ApiError("ResourceConflictException", text + "or remove the existing statement.", 409, Type="User")
    statement: dict[str, Any] = {
        "Sid": statement_id,
        "Effect": "Allow",
        "Principal": _principal(principal),
        "Action": action,
        "Resource": version.arn,
    }
    condition: dict[str, Any] = {}
    if params.get("SourceArn"):
        condition["ArnLike"] = {"AWS:SourceArn": params["SourceArn"]}
    if params.get("SourceAccount"):
        condition["StringEquals"] = {"AWS:SourceAccount": params["SourceAccount"]}
    if condition:
        statement["Condition"] = condition
    statements.append(statement)
    return {"Statement": json.dumps(statement, separators=(",", ":"))}


def remove_permission(call: Call) -> dict[str, Any]:
    """Take one statement out of the policy."""
    version = _addressed(call)
    statements = version.function.policies.get(version.qualifier or LATEST, [])
    rest = [one for one in statements if one["Sid"] != call.params["StatementId"]]
    if len(rest) == len(statements):
        text = f"Statement {call.params['StatementId']} is not found in resource policy."
        raise ApiError("ResourceNotFoundException", text, 404, Type="User")
    version.function.policies[version.qualifier or LATEST] = rest
    return {}


def get_policy(call: Call) -> dict[str, Any]:
    """Return the policy as text."""
    version = _addressed(call)
    policy = document(version)
    if policy is None:
        raise ApiError("ResourceNotFoundException", "The resource you requested does not exist.", 404, Type="User")
    return {"Policy": json.dumps(policy, separators=(",", ":")), "RevisionId": version.record.revision}


def _addressed(call: Call) -> FunctionVersion:
    return call.space.functions.resolve(call.params["FunctionName"], call.params.get("Qualifier") or None)


def _principal(text: str) -> str | dict[str, str]:
    if text == "*":
        return "*"
    if _ACCOUNT.fullmatch(text):
        return {"AWS": f"arn:aws:iam::{text}:root"}
    return {"AWS" if text.startswith("arn:") else "Service": text}


def _constraint(value: str, name: str, pattern: str) -> ApiError:
    return ApiError(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: "
        f"Member must satisfy regular expression pattern: {pattern}",
    )


def _arn(call: Call) -> str:
    return call.space.functions.arn(str(call.params.get("FunctionName", "")), call.params.get("Qualifier"))


__all__ = ["OPERATIONS", "document"]

OPERATIONS: dict[str, Operation] = {
    "AddPermission": Operation(add_permission, "lambda:AddPermission", _arn),
    "GetPolicy": Operation(get_policy, "lambda:GetPolicy", _arn),
    "RemovePermission": Operation(remove_permission, "lambda:RemovePermission", _arn),
}
