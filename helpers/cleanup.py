"""Remove everything that a lab made, and prove by the APIs that nothing is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from .card import Card
from .errors import LabError, is_missing
from .guard import own_part
from .names import TAG

if TYPE_CHECKING:
    from .lab import Lab

TIMEOUT = 300.0
"""Seconds on the lab's clock for what AWS deletes at its leisure (a queue takes up to 60, a trigger longer)."""

Found = Iterator[tuple[str, Callable[[], Any] | None]]

DAYS = 7
"""How long a key waits for its deletion: the least that KMS takes."""

_GONE = ("PendingDeletion", "PendingReplicaDeletion")
_LATER = (
    "KMSInvalidStateException",
    "ResourceInUseException",
    "ResourceConflictException",
    "DeleteConflict",
    "TooManyRequestsException",
    "Throttling",
)


@dataclass(frozen=True)
class Kind:
    """One kind of thing that a lab can make.

    Attributes
    ----------
    name : str
        Its name in the plural, as in `guard.RULES`.
    find : callable
        `(lab) -> iterator of (id, delete)` over what bears the prefix. `delete` is None where AWS takes a tag and the
        lab's is not there: that was made without the lab's clients, so it is counted and left alone.
    """

    name: str
    find: Callable[[Lab], Found]


@dataclass
class Report:
    """What a cleanup removed and what AWS says is left.

    Attributes
    ----------
    where : str
        Account and Region.
    deleted : dict of str to set of str
        By kind, what was removed.
    left : dict of str to list of str
        By kind, what is still listed.
    untagged : set of str
        What of it bears the prefix and lacks the tag, which nobody but its maker may delete.
    problems : list of str
        What AWS refused.
    """

    where: str
    deleted: dict[str, set[str]] = field(default_factory=dict)
    left: dict[str, list[str]] = field(default_factory=dict)
    untagged: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    @property
    def total_left(self) -> int:
        """How many things are still there."""
        return sum(len(things) for things in self.left.values())

    def __str__(self) -> str:
        if not self.total_left and not self.problems and not any(self.deleted.values()):
            return "Nothing to clean up: 0 left"
        keys = len(self.deleted.get("keys", ()))
        what = "1 key is" if keys == 1 else f"{keys} keys are"
        cost = "it costs" if keys == 1 else "they cost"
        # KMS's price page: there is no charge for a customer managed key that is scheduled for deletion.
        later = f"{what} scheduled for deletion in {DAYS} days; until then {cost} nothing.\n" if keys else ""
        return str(
            Card(
                f"Cleanup, {self.where}",
                [(kind, str(len(self.deleted[kind])), str(len(self.left[kind]))) for kind in self.deleted],
                ("", "deleted", "left"),
                f"{later}{self.total_left} left",
                numbers=True,
            )
        )

    def require_nothing_left(self) -> None:
        """Raise if something is left, or if AWS would not say.

        Raises
        ------
        LabError
            With the names and AWS's refusals.
        """
        if self.total_left or self.problems:
            names = ", ".join(name for things in self.left.values() for name in things)
            others = ", ".join(sorted(self.untagged))
            why = f"Made without the lab's clients, so not touched: {others}." if others else ""
            raise LabError(
                f"Cleanup is not complete: {names or 'AWS would not list everything'}.",
                " ".join([why, *self.problems]).strip(),
                "Remove what is yours with the client that made it, or in the console; then run lab.cleanup() again.",
            )


def sweep(lab: Lab) -> Report:
    """Delete everything with the lab's prefix and tag; rounds go on until AWS lists nothing more of it.

    What has the prefix alone is counted as left.

    Returns
    -------
    Report
        What was removed and what is left.
    """
    report = Report(f"{lab.prefix}-… in account {lab.account}, {lab.region}")
    report.deleted = {kind.name: set() for kind in KINDS}
    report.left = {kind.name: [] for kind in KINDS}

    stacks_until = lab.now() + timedelta(seconds=TIMEOUT / 2)

    def nothing_left() -> bool:
        report.problems, report.untagged = [], set()
        untagged = 0
        for kind in KINDS:
            report.left[kind.name], others = _sweep_kind(lab, kind, report)
            report.untagged |= others
            untagged += len(others)
            if kind.name == "stacks" and set(report.left["stacks"]) - others and lab.now() < stacks_until:
                # A stack deletes what it holds; what is taken from it meanwhile may fail its deletion.
                return False
        return report.total_left == untagged

    # The first round deletes what it finds, so that only a further one can find nothing.
    if not nothing_left():
        try:
            lab.wait_until(nothing_left, TIMEOUT, "nothing is left")
        except LabError as problem:
            if not report.total_left:
                raise
            report.problems.append(problem.what)
    return report


def _sweep_kind(lab: Lab, kind: Kind, report: Report) -> tuple[list[str], set[str]]:
    from botocore.exceptions import ClientError

    found: list[str] = []
    untagged: set[str] = set()
    try:
        for name, delete in kind.find(lab):
            found.append(name)
            if delete is None:
                untagged.add(name)
                continue
            try:
                delete()
            except ClientError as problem:
                code = problem.response["Error"]["Code"]
                if is_missing(problem):
                    continue
                if code not in _LATER:
                    report.problems.append(f"{name}: {problem.response['Error'].get('Message', code)}")
                continue
            report.deleted[kind.name].add(name)
    except ClientError as problem:
        if not is_missing(problem):
            report.problems.append(f"{kind.name}: {problem.response['Error'].get('Message', 'refused')}")
    return found, untagged


def _stacks(lab: Lab) -> Found:
    client = lab.client("cloudformation")
    for page in client.get_paginator("describe_stacks").paginate():
        for stack in page["Stacks"]:
            name = stack["StackName"]
            # What belongs to another stack goes with it.
            if not _named(lab, name) or stack.get("ParentId") or stack["StackStatus"] == "DELETE_COMPLETE":
                continue
            if stack["StackStatus"] == "DELETE_IN_PROGRESS":
                yield name, lambda: None
                continue
            delete = partial(client.delete_stack, StackName=name)
            yield from _claimed(lab, name, delete, partial(dict, Tags=stack.get("Tags", [])))


def _alarms(lab: Lab) -> Found:
    client = lab.client("cloudwatch")
    pages = client.get_paginator("describe_alarms").paginate(
        AlarmNamePrefix=f"{lab.prefix}-", AlarmTypes=["CompositeAlarm", "MetricAlarm"]
    )
    for page in pages:
        for alarm in [*page.get("CompositeAlarms", []), *page.get("MetricAlarms", [])]:
            name, arn = alarm["AlarmName"], alarm["AlarmArn"]
            delete = partial(client.delete_alarms, AlarmNames=[name])
            yield from _claimed(lab, name, delete, client.list_tags_for_resource, ResourceARN=arn)


def _topics(lab: Lab) -> Found:
    # A topic's subscriptions go with it.
    client = lab.client("sns")
    for page in client.get_paginator("list_topics").paginate():
        for topic in page["Topics"]:
            arn = topic["TopicArn"]
            if _named(lab, own_part(arn)):
                delete = partial(client.delete_topic, TopicArn=arn)
                yield from _claimed(lab, own_part(arn), delete, client.list_tags_for_resource, ResourceArn=arn)


def _buckets(lab: Lab) -> Found:
    from botocore.exceptions import ClientError

    client = lab.client("s3")

    def tags(bucket: str) -> dict[str, Any]:
        try:
            return {"Tags": client.get_bucket_tagging(Bucket=bucket)["TagSet"]}
        except ClientError as problem:
            if problem.response["Error"]["Code"] != "NoSuchTagSet":
                raise
            return {}

    def delete(bucket: str) -> None:
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            things = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if things:
                objects = [{key: thing[key] for key in ("Key", "VersionId")} for thing in things]
                client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        client.delete_bucket(Bucket=bucket)

    for bucket in client.list_buckets().get("Buckets", []):
        if _named(lab, bucket["Name"]):
            yield from _claimed(lab, bucket["Name"], partial(delete, bucket["Name"]), tags, bucket=bucket["Name"])


def _triggers(lab: Lab) -> Found:
    client = lab.client("lambda")
    for page in client.get_paginator("list_event_source_mappings").paginate():
        for mapping in page["EventSourceMappings"]:
            if not _named(lab, own_part(mapping.get("FunctionArn", ""))):
                continue
            uuid = mapping["UUID"]
            if mapping.get("State") == "Deleting":
                yield uuid, lambda: None
                continue
            delete = partial(client.delete_event_source_mapping, UUID=uuid)
            yield from _claimed(lab, uuid, delete, client.list_tags, Resource=mapping["EventSourceMappingArn"])


def _functions(lab: Lab) -> Found:
    client = lab.client("lambda")
    for page in client.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            name, arn = function["FunctionName"], function["FunctionArn"]
            if _named(lab, name):
                delete = partial(client.delete_function, FunctionName=name)
                yield from _claimed(lab, name, delete, client.list_tags, Resource=arn)


def _queues(lab: Lab) -> Found:
    client = lab.client("sqs")
    pages = client.get_paginator("list_queues").paginate(
        QueueNamePrefix=f"{lab.prefix}-", PaginationConfig={"PageSize": 1000}
    )
    for page in pages:
        for url in page.get("QueueUrls", []):
            delete = partial(client.delete_queue, QueueUrl=url)
            yield from _claimed(lab, own_part(url), delete, client.list_queue_tags, QueueUrl=url)


def _roles(lab: Lab) -> Found:
    client = lab.client("iam")

    def delete(name: str) -> None:
        for page in client.get_paginator("list_attached_role_policies").paginate(RoleName=name):
            for policy in page["AttachedPolicies"]:
                client.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
        for page in client.get_paginator("list_role_policies").paginate(RoleName=name):
            for policy in page["PolicyNames"]:
                client.delete_role_policy(RoleName=name, PolicyName=policy)
        client.delete_role(RoleName=name)

    for page in client.get_paginator("list_roles").paginate():
        for role in page["Roles"]:
            name = role["RoleName"]
            if _named(lab, name):
                yield from _claimed(lab, name, partial(delete, name), client.list_role_tags, RoleName=name)


def _policies(lab: Lab) -> Found:
    client = lab.client("iam")

    def delete(arn: str) -> None:
        for version in client.list_policy_versions(PolicyArn=arn)["Versions"]:
            if not version["IsDefaultVersion"]:
                client.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
        client.delete_policy(PolicyArn=arn)

    for page in client.get_paginator("list_policies").paginate(Scope="Local"):
        for policy in page["Policies"]:
            name, arn = policy["PolicyName"], policy["Arn"]
            if _named(lab, name):
                yield from _claimed(lab, name, partial(delete, arn), client.list_policy_tags, PolicyArn=arn)


def _tables(lab: Lab) -> Found:
    client = lab.client("dynamodb")
    for page in client.get_paginator("list_tables").paginate():
        for name in filter(partial(_named, lab), page["TableNames"]):
            table = client.describe_table(TableName=name)["Table"]
            if table["TableStatus"] == "DELETING":
                yield name, lambda: None
                continue
            delete = partial(client.delete_table, TableName=name)
            yield from _claimed(lab, name, delete, client.list_tags_of_resource, ResourceArn=table["TableArn"])


def _aliases(lab: Lab) -> Found:
    # AWS takes no tags for them.
    client = lab.client("kms")
    for page in client.get_paginator("list_aliases").paginate():
        for alias in page["Aliases"]:
            name = alias["AliasName"]
            if _named(lab, own_part(name)):
                yield name, partial(client.delete_alias, AliasName=name)


def _keys(lab: Lab) -> Found:
    # A key has no name: the tag alone says whose it is. One that waits for its deletion is not left.
    from botocore.exceptions import ClientError

    client = lab.client("kms")
    for page in client.get_paginator("list_keys").paginate():
        for key in (key["KeyId"] for key in page["Keys"]):
            try:
                tags = client.list_resource_tags(KeyId=key)["Tags"]
            except ClientError as problem:
                # The policy of another's key may hide it.
                if is_missing(problem) or problem.response["Error"]["Code"] == "AccessDeniedException":
                    continue
                raise
            if {"TagKey": TAG, "TagValue": lab.prefix} not in tags:
                continue
            if client.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] not in _GONE:
                yield key, partial(client.schedule_key_deletion, KeyId=key, PendingWindowInDays=DAYS)


def _log_groups(lab: Lab) -> Found:
    # Lambda makes these groups itself, without the tag.
    client = lab.client("logs")
    for beginning in (f"/aws/lambda/{lab.prefix}-", f"{lab.prefix}-"):
        for page in client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=beginning):
            for group in page["logGroups"]:
                name = group["logGroupName"]
                yield name, partial(client.delete_log_group, logGroupName=name)


def _named(lab: Lab, name: str) -> bool:
    return name.startswith(f"{lab.prefix}-")


def _claimed(
    lab: Lab, name: str, delete: Callable[[], Any], read: Callable[..., dict[str, Any]], **which: str
) -> Found:
    """Yield what bears the lab's tag with its `delete`, and what bears no lab's tag without one."""
    from botocore.exceptions import ClientError

    try:
        tags = read(**which).get("Tags", {})
    except ClientError as problem:
        if is_missing(problem):
            return
        raise
    if isinstance(tags, list):
        tags = {tag["Key"]: tag["Value"] for tag in tags}
    owner = tags.get(TAG)
    if owner is None or owner == lab.prefix:
        yield name, delete if owner else None


KINDS = (
    Kind("stacks", _stacks),
    Kind("triggers", _triggers),
    Kind("functions", _functions),
    Kind("alarms", _alarms),
    Kind("topics", _topics),
    Kind("queues", _queues),
    Kind("roles", _roles),
    Kind("policies", _policies),
    Kind("tables", _tables),
    Kind("buckets", _buckets),
    Kind("aliases", _aliases),
    Kind("keys", _keys),
    Kind("log groups", _log_groups),
)
"""In the order of deletion: who still writes or reads goes first. A further kind of thing gets its row here."""
