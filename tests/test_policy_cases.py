"""Decisions on policies and requests, as they were checked against another evaluator (see the data's `source`)."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.local_aws.errors import ApiError
from helpers.local_aws.permissions import Permissions
from helpers.local_aws.space import Identity

DATA = json.loads((Path(__file__).parent / "data" / "policy_cases.json").read_text(encoding="utf-8"))
ACCOUNT = DATA["account"]
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:orders"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/orders-role"


def permissions(case: dict[str, Any]) -> Permissions:
    """Return the rights in a space in which every user and role has a case's policies."""
    policies, boundary = case["policies"], case.get("boundary")
    own = case.get("resource_policy")
    queue = SimpleNamespace(attributes={} if own is None else {"Policy": json.dumps(own)})
    control = SimpleNamespace(
        generation=0,
        role_policies=lambda arn: policies,
        role_boundary=lambda arn: boundary,
        role_named=lambda name: SimpleNamespace(arn=f"arn:aws:iam::{ACCOUNT}:role/{name}"),
        user_policies=lambda name: policies,
    )
    space: Any = SimpleNamespace(
        account=ACCOUNT,
        region="us-east-1",
        clock=SimpleNamespace(now=lambda: 0.0),
        control=control,
        queues=SimpleNamespace(by_arn=lambda arn: queue),
        functions=SimpleNamespace(policy=lambda arn: None),
    )
    return Permissions(space)


def decision(case: dict[str, Any]) -> str:
    """Return what is decided: allow, explicit deny or implicit deny."""
    user = ":user/" in case["principal"]
    identity = Identity(case["principal"], "AIDAEXAMPLE" if user else "AROAEXAMPLE:orders")
    try:
        permissions(case).check(identity, case["action"], case["resource"], case.get("context"))
    except ApiError as denied:
        return "explicit deny" if "with an explicit deny" in denied.message else "implicit deny"
    return "allow"


@pytest.mark.behaviour("E13")
@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in DATA["cases"]])
def test_a_request_is_decided_as_expected(case: dict[str, Any]) -> None:
    assert decision(case) == case["expected"]


@pytest.mark.parametrize(
    ("principal", "boundary", "expected"),
    [
        (ROLE, None, True),
        (ROLE, "sqs:*", True),
        (ROLE, "lambda:*", False),
        ("*", "lambda:*", True),
        (f"arn:aws:iam::{ACCOUNT}:root", None, False),
    ],
)
def test_what_a_queue_allows_to_an_execution_role_is_limited_by_its_boundary(
    principal: str, boundary: str | None, expected: bool
) -> None:
    allow = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sqs:SendMessage", "Resource": QUEUE}
    case: dict[str, Any] = {"policies": [], "resource_policy": {"Statement": [allow]}}
    if boundary is not None:
        case["boundary"] = {"Statement": [{"Effect": "Allow", "Action": boundary, "Resource": "*"}]}
    assert permissions(case).role_allows(ROLE, "sqs:SendMessage", QUEUE) is expected
