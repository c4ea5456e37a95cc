"""What every client of a lab does before it sends a call that creates something.

The name has to begin with the learner's prefix, and the lab's tag is added: what the guard lets through, `cleanup`
finds again. A create call that `cleanup` would not find is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import LabError
from .names import TAG


@dataclass(frozen=True)
class Rule:
    """How one create call names and tags what it makes.

    Attributes
    ----------
    kind : str
        The kind of thing, as `cleanup.KINDS` calls it; a part of a thing has the kind of the whole.
    name : str
        The parameter that holds the name, or the name or ARN of the whole; empty for what has none and is found by its
        tag alone.
    tags : str, optional
        The parameter that takes tags; without it the call takes none.
    pairs : bool
        Whether tags are a list of pairs.
    kept : bool
        Whether a call that names no tags leaves those of something that is there.
    spelt : tuple of (str, str)
        What a pair calls its two halves.
    """

    kind: str
    name: str
    tags: str = ""
    pairs: bool = False
    kept: bool = False
    spelt: tuple[str, str] = ("Key", "Value")


RULES: dict[tuple[str, str], Rule] = {
    ("sqs", "CreateQueue"): Rule("queues", "QueueName", "tags"),
    ("lambda", "CreateFunction"): Rule("functions", "FunctionName", "Tags"),
    ("lambda", "CreateAlias"): Rule("functions", "FunctionName"),
    ("lambda", "CreateFunctionUrlConfig"): Rule("functions", "FunctionName"),
    ("lambda", "CreateEventSourceMapping"): Rule("triggers", "FunctionName", "Tags"),
    ("iam", "CreateRole"): Rule("roles", "RoleName", "Tags", pairs=True),
    ("iam", "PutRolePolicy"): Rule("roles", "RoleName"),
    ("iam", "AttachRolePolicy"): Rule("roles", "RoleName"),
    ("iam", "CreatePolicy"): Rule("policies", "PolicyName", "Tags", pairs=True),
    ("iam", "CreatePolicyVersion"): Rule("policies", "PolicyArn"),
    ("dynamodb", "CreateTable"): Rule("tables", "TableName", "Tags", pairs=True),
    ("cloudformation", "CreateStack"): Rule("stacks", "StackName", "Tags", pairs=True),
    ("cloudformation", "UpdateStack"): Rule("stacks", "StackName", "Tags", pairs=True, kept=True),
    ("cloudformation", "CreateChangeSet"): Rule("stacks", "StackName", "Tags", pairs=True, kept=True),
    ("cloudwatch", "PutMetricAlarm"): Rule("alarms", "AlarmName", "Tags", pairs=True),
    ("cloudwatch", "PutCompositeAlarm"): Rule("alarms", "AlarmName", "Tags", pairs=True),
    ("sns", "CreateTopic"): Rule("topics", "Name", "Tags", pairs=True),
    ("sns", "Subscribe"): Rule("topics", "TopicArn"),
    ("s3", "CreateBucket"): Rule("buckets", "Bucket"),
    ("kms", "CreateKey"): Rule("keys", "", "Tags", pairs=True, spelt=("TagKey", "TagValue")),
    ("kms", "CreateAlias"): Rule("aliases", "AliasName"),
    ("logs", "CreateLogGroup"): Rule("log groups", "logGroupName", "tags"),
    ("logs", "CreateLogStream"): Rule("log groups", "logGroupName"),
}
"""The create calls that a lab may make; a further service gets its rows here and its kind in `cleanup.KINDS`."""

_NAME = "lab_name"
_CREATES = ("Create", "Run", "Allocate", "Request", "Import", "Register", "Publish")
_PUTS = {
    ("cloudwatch", "PutDashboard"),
    ("cloudwatch", "PutMetricStream"),
    ("cloudwatch", "PutAnomalyDetector"),
    ("events", "PutRule"),
    ("kms", "ReplicateKey"),
    ("ssm", "PutParameter"),
}
_HARMLESS = {("lambda", "PublishVersion"), ("sns", "Publish"), ("sns", "PublishBatch")}


def install(client: Any, prefix: str) -> None:
    """Make `client` refuse what cleanup would not find, and tag the rest."""
    client.meta.events.register("provide-client-params", _check(prefix))
    if client.meta.service_model.service_name == "s3":
        # The tags of CreateBucket itself are newer than some clouds that know the call.
        client.meta.events.register("after-call.s3.CreateBucket", _tag_bucket(client, prefix))


def hold_texts(client: Any, phone: str) -> None:
    """Make a client of SNS refuse to send a text message to any number but `phone`; empty, to any at all."""

    def check(params: dict[str, Any], model: Any, **_: Any) -> None:
        number = params.get("PhoneNumber") if model.name == "Publish" else None
        if model.name == "Subscribe" and str(params.get("Protocol")).lower() == "sms":
            number = params.get("Endpoint")
        if number and number != phone:
            raise LabError(
                f"{model.name} was not sent: it would text {number}.",
                "On a real account a text message reaches a phone, and AWS bills it.",
                f"If that number is yours and you want it, set LAB_PHONE_NUMBER={number}, and connect again.",
            )

    client.meta.events.register("provide-client-params", check)


def _check(prefix: str) -> Callable[..., dict[str, Any] | None]:
    def check(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> dict[str, Any] | None:
        call = (model.service_model.service_name, model.name)
        rule = RULES.get(call)
        if rule is None:
            if call in _PUTS or (model.name.startswith(_CREATES) and call not in _HARMLESS):
                raise LabError(
                    f"lab.client({call[0]!r}) does not make the call {model.name}.",
                    "Cleanup could not find again what it creates.",
                    "If you want it nevertheless, use a boto3 client of your own and remove it yourself.",
                )
            return None
        value = params.get(rule.name)
        # Without a name boto3 itself says what is missing.
        if isinstance(value, str) and not own_part(value).startswith(f"{prefix}-"):
            raise LabError(
                f"{model.name} was not sent: the name {own_part(value)!r} lacks this lab's prefix.",
                f"Everything a lab makes is called {prefix}-…, so that cleanup finds it.",
                f"Write {rule.name}={_head(value)}lab.name({_short(value)!r}).",
            )
        context[_NAME] = value
        if rule.kept and rule.tags not in params and params.get("ChangeSetType") not in ("CREATE", "IMPORT"):
            return None
        return _tagged(params, rule, prefix) if rule.tags else None

    return check


def _tag_bucket(client: Any, prefix: str) -> Callable[..., None]:
    def tag(http_response: Any, context: dict[str, Any], **_: Any) -> None:
        if http_response.status_code < 300:
            client.put_bucket_tagging(Bucket=context[_NAME], Tagging={"TagSet": [{"Key": TAG, "Value": prefix}]})

    return tag


def own_part(name: str) -> str:
    """Return the part of a name, ARN or log group that its maker chose.

    >>> own_part("arn:aws:lambda:us-east-1:123456789012:function:lab-1-orders:live")
    'lab-1-orders'
    >>> own_part("/aws/lambda/lab-1-orders"), own_part("arn:aws:sns:us-east-1:123456789012:lab-1-orders")
    ('lab-1-orders', 'lab-1-orders')
    >>> own_part("arn:aws:cloudformation:us-east-1:123456789012:stack/lab-1-orders/6bc28136")
    'lab-1-orders'
    """
    for kind, end in ((":function:", ":"), (":stack/", "/")):
        if kind in name:
            return name.split(kind)[1].split(end)[0]
    if name.startswith("/"):
        return name.removeprefix("/aws/lambda/")
    last = name.rpartition("/")[2]
    return last.rpartition(":")[2] if last.startswith("arn:") else last


def _short(name: str) -> str:
    return own_part(name) or "orders"


def _head(name: str) -> str:
    """Return what has to stand before the own part of the name of a log group or of a key's alias, as code."""
    head = name.removesuffix(own_part(name))
    return f'"{head}" + ' if head.endswith("/") and not head.startswith("arn:") else ""


def _tagged(params: dict[str, Any], rule: Rule, prefix: str) -> dict[str, Any]:
    given = params.get(rule.tags)
    if rule.pairs:
        key, value = rule.spelt
        others = [pair for pair in given or [] if not (isinstance(pair, dict) and pair.get(key) == TAG)]
        return {**params, rule.tags: [*others, {key: TAG, value: prefix}]}
    return {**params, rule.tags: {**(given or {}), TAG: prefix}}
