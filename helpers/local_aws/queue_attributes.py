"""A queue's attributes: defaults, ranges, and the words in which SQS refuses them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import sqs_errors as errors

RANGES = {
    "VisibilityTimeout": (0, 43_200),
    "MessageRetentionPeriod": (60, 1_209_600),
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1_024, 1_048_576),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
}
"""Rows A4 to A8 and A25."""

DEFAULTS = {
    "VisibilityTimeout": "30",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "DelaySeconds": "0",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
}
"""Row A2."""

FIFO_DEFAULTS = {
    "FifoQueue": "true",
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "FifoThroughputLimit": "perQueue",
}

POLICY_BYTES = 8_192
POLICY_STATEMENTS = 20
POLICY_PRINCIPALS = 50
POLICY_CONDITIONS = 10
STATEMENT_ACTIONS = 7
"""Row A27."""

READ_ONLY = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
)
SETTABLE = (
    *RANGES,
    *FIFO_DEFAULTS,
    "SqsManagedSseEnabled",
    "KmsMasterKeyId",
    "Policy",
    "RedrivePolicy",
    "RedriveAllowPolicy",
)
KNOWN = frozenset((*SETTABLE, *READ_ONLY))

_BOOLEANS = {"FifoQueue", "ContentBasedDeduplication", "SqsManagedSseEnabled"}
_CHOICES = {"DeduplicationScope": ("messageGroup", "queue"), "FifoThroughputLimit": ("perQueue", "perMessageGroupId")}
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_FIFO_NAME = re.compile(r"[A-Za-z0-9_-]{1,75}\.fifo")
_QUEUE_ARN = re.compile(r"arn:aws[a-z-]*:sqs:([a-z0-9-]+):([0-9]{12}):([A-Za-z0-9_.-]+)")


@dataclass(frozen=True)
class RedrivePolicy:
    """Where messages go that were received too often."""

    target_arn: str
    max_receive_count: int


@dataclass(frozen=True)
class Surroundings:
    """What the check of an attribute has to know of the queue and of the other queues.

    Attributes
    ----------
    arn : str
        The queue's own ARN.
    fifo : bool
        Whether it is a FIFO queue.
    allow_policy : callable
        Takes a queue's ARN; returns None for an unknown queue, else its RedriveAllowPolicy ("" without one).
    has_role : callable
        Takes a role's ARN in the queue's account; returns whether there is such a role.
    """

    arn: str
    fifo: bool
    allow_policy: Callable[[str], str | None]
    has_role: Callable[[str], bool]

    @property
    def region(self) -> str:
        """The queue's Region."""
        return self.arn.split(":")[3]

    @property
    def account(self) -> str:
        """The queue's account."""
        return self.arn.split(":")[4]


def check_name(name: str, attributes: Mapping[str, Any]) -> bool:
    """Check a new queue's name and return whether it is a FIFO queue (rows A1, A16, B32 as amended).

    Raises
    ------
    ApiError
        For a name that SQS refuses.
    """
    if not name:
        raise errors.missing_parameter("QueueName")
    fifo = str(attributes.get("FifoQueue", "")).lower() == "true"
    if fifo:
        if not _FIFO_NAME.fullmatch(name):
            raise errors.invalid_parameter(
                "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
                "must end with .fifo suffix and be 1 to 80 in length."
            )
    elif not _NAME.fullmatch(name):
        raise errors.invalid_parameter(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        )
    return fifo


def check(given: Mapping[str, Any], around: Surroundings) -> dict[str, str]:
    """Check attributes that a caller gives and return them as they are stored; "" means: remove.

    Raises
    ------
    ApiError
        With the text of the first attribute that is wrong.
    """
    checked = {name: _check_one(name, _text(value), around) for name, value in given.items()}
    if checked.get("KmsMasterKeyId") and checked.get("SqsManagedSseEnabled") == "true":
        raise errors.invalid_attribute_name(
            "You can use one type of server-side encryption (SSE) at one time. "
            "You can either enable KMS SSE or SQS SSE."
        )
    return checked


def merge(present: dict[str, str], checked: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes after a change, with what follows from it (rows A19, A25, B14).

    Raises
    ------
    ApiError
        If the FIFO settings do not go together.
    """
    merged = {**present, **checked}
    if checked.get("KmsMasterKeyId"):
        merged["SqsManagedSseEnabled"] = "false"
        merged.setdefault("KmsDataKeyReusePeriodSeconds", "300")
    elif checked.get("SqsManagedSseEnabled") == "true" or checked.get("KmsMasterKeyId") == "":
        merged.pop("KmsMasterKeyId", None)
        if "KmsDataKeyReusePeriodSeconds" not in checked:
            merged.pop("KmsDataKeyReusePeriodSeconds", None)
    if merged.get("FifoThroughputLimit") == "perMessageGroupId" and merged.get("DeduplicationScope") != "messageGroup":
        raise errors.invalid_attribute_value(
            "FifoThroughputLimit",
            "To set FifoThroughputLimit to perMessageGroupId, the DeduplicationScope must be messageGroup.",
        )
    return {name: value for name, value in merged.items() if value != ""}


def redrive_policy(attributes: Mapping[str, str]) -> RedrivePolicy | None:
    """Return the redrive policy among stored attributes."""
    text = attributes.get("RedrivePolicy")
    if not text:
        return None
    policy = json.loads(text)
    return RedrivePolicy(policy["deadLetterTargetArn"], int(policy["maxReceiveCount"]))


def arn_parts(arn: str) -> tuple[str, str, str] | None:
    """Return Region, account and name of a queue's ARN, or None if it is none."""
    match = _QUEUE_ARN.fullmatch(arn)
    return (match[1], match[2], match[3]) if match else None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _check_one(name: str, value: str, around: Surroundings) -> str:
    if name not in SETTABLE:
        raise errors.unknown_attribute(name)
    if name in FIFO_DEFAULTS and not around.fifo:
        if name in _CHOICES:
            raise errors.invalid_attribute_name(f"You can specify the {name} only when FifoQueue is set to true.")
        raise errors.unknown_attribute(name)
    if name in RANGES:
        return _check_number(name, value)
    if name in _BOOLEANS:
        value = value.lower()
        if value not in ("true", "false"):
            raise errors.invalid_attribute_value(name)
        if name == "FifoQueue" and value == "false":
            raise errors.invalid_attribute_value(name, "Modifying queue type is not supported.")
        return value
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise errors.invalid_attribute_value(name)
        return value
    if value == "":
        return value
    if name == "Policy":
        return _check_policy(value, around)
    if name == "RedrivePolicy":
        return _check_redrive(value, around)
    if name == "RedriveAllowPolicy":
        return _check_redrive_allow(value)
    return value


def _check_number(name: str, value: str) -> str:
    low, high = RANGES[name]
    if not _INTEGER.fullmatch(value) or not low <= int(value) <= high:
        raise errors.invalid_attribute_value(name)
    return str(int(value))


def _check_policy(text: str, around: Surroundings) -> str:
    try:
        policy = json.loads(text)
        statements = policy["Statement"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise errors.invalid_attribute_value("Policy") from None
    statements = _listed(statements)
    if not statements or not all(_is_statement(one) for one in statements):
        raise errors.invalid_attribute_value("Policy")
    if len(text.encode()) > POLICY_BYTES:
        raise errors.over_limit("Submitted policy is over max allowed size.")
    actions = max(len(_listed(one.get("Action", one.get("NotAction")))) for one in statements)
    _check_amount(actions, STATEMENT_ACTIONS, "actions", "in a statement from")
    principals = [principal for one in statements for principal in _principals(one)]
    conditions = sum(len(keys) for one in statements for keys in one.get("Condition", {}).values())
    for amount, most, what in (
        (len(statements), POLICY_STATEMENTS, "statements"),
        (len(principals), POLICY_PRINCIPALS, "principals"),
        (conditions, POLICY_CONDITIONS, "conditions"),
    ):
        _check_amount(amount, most, what, "in")
    roles = f"arn:aws:iam::{around.account}:role/"
    if any(principal.startswith(roles) and not around.has_role(principal) for principal in principals):
        raise errors.invalid_attribute_value("Policy")
    return text


def _check_amount(amount: int, most: int, what: str, where: str) -> None:
    if amount > most:
        raise errors.over_limit(f"{amount} {what} were found {where} the submitted policy, max allowed is {most}")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _principals(statement: Mapping[str, Any]) -> Iterator[str]:
    named = statement.get("Principal", statement.get("NotPrincipal"))
    for values in named.values() if isinstance(named, dict) else (named,):
        yield from map(str, _listed(values))


def _is_statement(statement: Any) -> bool:
    return (
        isinstance(statement, dict)
        and statement.get("Effect") in ("Allow", "Deny")
        and bool(statement.keys() & {"Principal", "NotPrincipal"})
        and bool(statement.keys() & {"Action", "NotAction"})
        and isinstance(statement.get("Condition", {}), dict)
        and all(isinstance(keys, dict) for keys in statement.get("Condition", {}).values())
    )


def _check_redrive(text: str, around: Surroundings) -> str:
    def refuse(reason: str) -> Exception:
        return errors.invalid_value(text, "RedrivePolicy", reason)

    policy = _json_object(text)
    if policy is None:
        raise refuse("Redrive policy is not a valid JSON map.")
    for key in ("deadLetterTargetArn", "maxReceiveCount"):
        if policy.get(key) in (None, ""):
            raise refuse(f"Redrive policy does not contain mandatory attribute: {key}.")
    for key in policy:
        if key not in ("deadLetterTargetArn", "maxReceiveCount"):
            raise refuse(f"Redrive policy contains unknown attribute: {key}.")
    count = policy["maxReceiveCount"]
    number = int(count) if isinstance(count, str) and _INTEGER.fullmatch(count) else count
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= 1_000:
        raise refuse(f"Invalid value for maxReceiveCount: {count}, valid values are from 1 to 1000 both inclusive.")
    target = str(policy["deadLetterTargetArn"])
    parts = arn_parts(target)
    if parts is None:
        raise refuse("Only SQS queues are valid resources for deadLetterTargetArn")
    region, account, name = parts
    if region != around.region:
        raise refuse("Dead-letter target must be in same region as the source.")
    if account != around.account:
        raise refuse("Dead-letter target owner should be same as the source.")
    allowed = around.allow_policy(target)
    if allowed is None:
        raise refuse("Dead letter target does not exist.")
    if name.endswith(".fifo") != around.fifo:
        raise refuse("Dead-letter queue must be same type of queue as the source.")
    if not may_redrive(allowed, around.arn):
        raise refuse("The redrive allow policy of the dead-letter queue does not permit this source queue.")
    return json.dumps(policy, separators=(",", ":"))


def may_redrive(allow_policy: str, source_arn: str) -> bool:
    """Return whether a dead-letter queue's RedriveAllowPolicy ("" for none) lets a source use it (row A20)."""
    if not allow_policy:
        return True
    policy = json.loads(allow_policy)
    permission = policy["redrivePermission"]
    return permission == "allowAll" or (permission == "byQueue" and source_arn in policy["sourceQueueArns"])


def _check_redrive_allow(text: str) -> str:
    def refuse(reason: str) -> Exception:
        return errors.invalid_value(text, "RedriveAllowPolicy", reason)

    policy = _json_object(text)
    if policy is None or policy.keys() - {"redrivePermission", "sourceQueueArns"} or "redrivePermission" not in policy:
        raise refuse("Amazon SQS can't create the redrive allow policy, as it's in an unsupported format.")
    permission, sources = policy["redrivePermission"], policy.get("sourceQueueArns")
    if permission not in ("allowAll", "denyAll", "byQueue"):
        raise refuse("Amazon SQS can't create the redrive allow policy, as it's in an unsupported format.")
    if (permission == "byQueue") != (sources is not None):
        raise refuse("sourceQueueArns has to be given with byQueue, and with byQueue only.")
    if sources is not None and (
        not isinstance(sources, list)
        or not 1 <= len(sources) <= 10
        or not all(isinstance(arn, str) and arn_parts(arn) for arn in sources)
    ):
        raise refuse("sourceQueueArns has to hold 1 to 10 queue ARNs.")
    return json.dumps(policy, separators=(",", ":"))


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
