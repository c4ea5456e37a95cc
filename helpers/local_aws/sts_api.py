"""STS: the one operation that is ours, who the caller is. The rest is moto's."""

from __future__ import annotations

from typing import Any

from .protocol import Call, Operation


def get_caller_identity(call: Call) -> dict[str, Any]:
    """Return who signed the request. AWS asks no right for it."""
    return {"UserId": call.identity.user_id, "Account": call.space.account, "Arn": call.identity.arn}


OPERATIONS = {"GetCallerIdentity": Operation(get_caller_identity, "sts:GetCallerIdentity")}
