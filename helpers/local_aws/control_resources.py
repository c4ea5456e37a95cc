"""Which resource a call to the control plane is about, so that a policy's Resource counts there too.

Where a service names one thing in two ways, both are returned. None stands for a resource that is not known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from . import moto_adapter
from .protocol import Request
from .space import Identity, Space

_PREFIXES = {"tagging": "tag"}
_S3_ACTIONS = {
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteObjects": "DeleteObject",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "UploadPart": "PutObject",
}
_OWN_USER = {"CreateAccessKey", "GetUser", "ListAccessKeys", "ListMFADevices"}
_IAM_LISTS = {"ListGroups": "group/", "ListPolicies": "policy/", "ListRoles": "role/", "ListUsers": "user/"}


def asked(space: Space, identity: Identity, service: str, request: Request) -> tuple[str, tuple[str, ...] | None]:
    """Return the right that a call needs, and the ARNs under which policies may name what it is about.

    Parameters
    ----------
    space : Space
        The space that is called.
    identity : Identity
        The caller; some calls of IAM are about the caller's own user.
    service : str
        The name that the request was signed for, such as `logs`.
    request : Request
        The request.

    Returns
    -------
    tuple of (str, tuple of str or None)
        Such as `logs:FilterLogEvents` and its log group; None when the resource is not known.
    """
    if service == "s3":
        return _s3(request)
    members = _members(request)
    target = request.headers.get("x-amz-target", "")
    operation = target.rpartition(".")[2] if target else str(members.get("Action", request.method.title()))
    finder = _FINDERS.get(service)
    about = None if finder is None else finder(space, identity, operation, members)
    return f"{_PREFIXES.get(service, service)}:{operation}", about


def _s3(request: Request) -> tuple[str, tuple[str, ...] | None]:
    try:
        operation, labels = moto_adapter.rest_operation(
            moto_adapter.get_service_model("s3"), request.method, request.target, request.headers
        )
    except LookupError:
        return f"s3:{request.method.title()}", None
    bucket, key = labels.get("Bucket"), labels.get("Key")
    about = None if bucket is None else (f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else ""),)
    if operation.name == "DeleteObjects" and bucket is not None:
        about = (f"arn:aws:s3:::{bucket}/*",)
    return f"s3:{_S3_ACTIONS.get(operation.name, operation.name)}", about


def _members(request: Request) -> Mapping[str, Any]:
    if "x-amz-target" in request.headers:
        try:
            members = json.loads(request.body or b"{}")
        except ValueError:
            return {}
        return members if isinstance(members, dict) else {}
    return dict(parse_qsl(request.body.decode("utf-8", "replace") or request.query))


def _iam(space: Space, identity: Identity, operation: str, members: Mapping[str, Any]) -> tuple[str, ...] | None:
    start = f"arn:aws:iam::{space.account}:"
    path = str(members.get("Path") or "/").lstrip("/")
    if operation in _IAM_LISTS:
        return (start + _IAM_LISTS[operation],)
    if name := members.get("GroupName"):
        return (f"{start}group/{path}{name}",)
    if name := members.get("RoleName"):
        role = space.control.role_named(name)
        return (role.arn if role is not None else f"{start}role/{path}{name}",)
    if name := members.get("UserName"):
        user = space.control.user_named(name)
        return (user.arn if user is not None else f"{start}user/{path}{name}",)
    if operation in _OWN_USER:
        return (identity.arn,)
    if arn := members.get("PolicyArn"):
        return (arn,)
    if name := members.get("PolicyName"):
        return (f"{start}policy/{path}{name}",)
    return None


def _logs(space: Space, _: Identity, operation: str, members: Mapping[str, Any]) -> tuple[str, ...] | None:
    start = space.arn("logs", "log-group:")
    if operation == "DescribeLogGroups":
        return (f"{start}:log-stream:",)
    name = members.get("logGroupName") or members.get("logGroupIdentifier") or members.get("resourceArn")
    names = members.get("logGroupNames") or []
    if not name and len(names) == 1:
        (name,) = names
    if not isinstance(name, str) or not name:
        return None
    group = (name if name.startswith("arn:") else start + name).removesuffix(":*")
    if stream := members.get("logStreamName"):
        return (f"{group}:log-stream:{stream}",)
    # Both forms of a group's ARN are in use in policies, with and without what follows its name.
    return (group, f"{group}:log-stream:")


def _sns(space: Space, _: Identity, operation: str, members: Mapping[str, Any]) -> tuple[str, ...] | None:
    for name in ("TopicArn", "TargetArn", "ResourceArn"):
        if arn := members.get(name):
            return (arn,)
    if number := members.get("PhoneNumber"):
        # It has no ARN: nothing but * names it.
        return (number,)
    return (space.arn("sns", members["Name"]),) if operation == "CreateTopic" and members.get("Name") else None


def _dynamodb(space: Space, _: Identity, operation: str, members: Mapping[str, Any]) -> tuple[str, ...] | None:
    name = members.get("TableName")
    if not isinstance(name, str):
        return None
    return (name if name.startswith("arn:") else space.arn("dynamodb", f"table/{name}"),)


def _kms(space: Space, _: Identity, operation: str, members: Mapping[str, Any]) -> tuple[str, ...] | None:
    named = members.get("KeyId") or members.get("TargetKeyId") or members.get("AliasName")
    if not isinstance(named, str) or not named:
        return None
    if operation == "DeleteAlias":
        return (space.arn("kms", named),)
    key = space.control.key(named.rpartition(":")[2].removeprefix("key/"))
    if key is not None:
        return (key.arn,)
    return (named if named.startswith("arn:") else space.arn("kms", f"key/{named}"),)


_FINDERS: dict[str, Callable[[Space, Identity, str, Mapping[str, Any]], tuple[str, ...] | None]] = {
    "dynamodb": _dynamodb,
    "iam": _iam,
    "kms": _kms,
    "logs": _logs,
    "sns": _sns,
}
