"""STS: who the caller is, and temporary credentials of a role. The rest is moto's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from .errors import ApiError
from .protocol import Call, Operation


def get_caller_identity(call: Call) -> dict[str, Any]:
    """Return who signed the request. AWS asks no right for it."""
    arn = call.identity.arn
    return {"UserId": call.identity.user_id, "Account": arn.split(":")[4], "Arn": arn}


def assume_role(call: Call) -> dict[str, Any]:
    """Return temporary credentials of a role whose trust policy lets the caller assume it (row E1)."""
    params, space = call.params, call.space
    duration = int(params.get("DurationSeconds") or 3600)
    if not 900 <= duration <= 43_200:
        raise ApiError(
            "ValidationError",
            f"1 validation error detected: Value '{duration}' at 'durationSeconds' failed to satisfy constraint: "
            "Member must have value between 900 and 43200",
        )
    if params.get("Policy") or params.get("PolicyArns"):
        text = "The local AWS does not offer session policies: give the role itself no more than the session may do."
        raise ApiError("NotImplemented", text, 501)
    space.permissions.check_assume_role(call.identity, params["RoleArn"])
    session = space.control.assume_role(params["RoleArn"], params["RoleSessionName"], duration)
    return {
        "Credentials": {
            "AccessKeyId": session.access_key,
            "SecretAccessKey": session.secret_key,
            "SessionToken": session.session_token,
            "Expiration": datetime.fromtimestamp(session.expires, UTC),
        },
        "AssumedRoleUser": {"AssumedRoleId": session.user_id, "Arn": session.arn},
        "PackedPolicySize": 0,
    }


OPERATIONS = {
    "GetCallerIdentity": Operation(get_caller_identity),
    "AssumeRole": Operation(assume_role),
}
