"""Remove everything that a lab made, and prove by the APIs that nothing is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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

_LATER = (
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
        `(lab) -> iterator of (id, delete)` over what bears the prefix, and the tag where AWS takes one.
    """

    name: str
    find: Callable[[Lab], Iterator[tuple[str, Callable[[], Any]]]]


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
    problems : list of str
        What AWS refused.
    """

    where: str
    deleted: dict[str, set[str]] = field(default_factory=dict)
    left: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def total_left(self) -> int:
        """How many things are still there."""
        return sum(len(things) for things in self.left.values())

    def __str__(self) -> str:
        if not self.total_left and not self.problems and not any(self.deleted.values()):
            return "Nothing to clean up: 0 left"
        return str(
            Card(
                f"Cleanup, {self.where}",
                [(kind, str(len(self.deleted[kind])), str(len(self.left[kind]))) for kind in self.deleted],
                ("", "deleted", "left"),
                f"{self.total_left} left",
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
            raise LabError(
                f"Cleanup is not complete: {names or 'AWS would not list everything'}.",
                " ".join(self.problems),
                "Run lab.cleanup() again, or remove it in the console.",
            )


def sweep(lab: Lab) -> Report:
    """Delete everything with the lab's prefix and tag; rounds go on until AWS lists nothing more.

    Returns
    -------
    Report
        What was removed and what is left.
    """
    report = Report(f"{lab.prefix}-… in account {lab.account}, {lab.region}")
    report.deleted = {kind.name: set() for kind in KINDS}
    report.left = {kind.name: [] for kind in KINDS}

    def nothing_left() -> bool:
        report.problems = []
        for kind in KINDS:
            report.left[kind.name] = _sweep_kind(lab, kind, report)
        return not report.total_left

    # The first round deletes what it finds, so that only a further one can find nothing.
    if not nothing_left():
        try:
            lab.wait_until(nothing_left, TIMEOUT, "nothing is left")
        except LabError as problem:
            if not report.total_left:
                raise
            report.problems.append(problem.what)
    return report


def _sweep_kind(lab: Lab, kind: Kind, report: Report) -> list[str]:
    from botocore.exceptions import ClientError

    found = []
    try:
        for name, delete in kind.find(lab):
            found.append(name)
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
    return found


def _triggers(lab: Lab) -> Iterator[tuple[str, Callable[[], Any]]]:
    client = lab.client("lambda")
    for page in client.get_paginator("list_event_source_mappings").paginate():
        for mapping in page["EventSourceMappings"]:
            if not _named(lab, own_part(mapping.get("FunctionArn", ""))):
                continue
            uuid = mapping["UUID"]
            if mapping.get("State") == "Deleting":
                yield uuid, lambda: None
            elif _tagged(lab, client.list_tags, Resource=mapping["EventSourceMappingArn"]):
                yield uuid, partial(client.delete_event_source_mapping, UUID=uuid)


def _functions(lab: Lab) -> Iterator[tuple[str, Callable[[], Any]]]:
    client = lab.client("lambda")
    for page in client.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            name, arn = function["FunctionName"], function["FunctionArn"]
            if _named(lab, name) and _tagged(lab, client.list_tags, Resource=arn):
                yield name, partial(client.delete_function, FunctionName=name)


def _queues(lab: Lab) -> Iterator[tuple[str, Callable[[], Any]]]:
    client = lab.client("sqs")
    pages = client.get_paginator("list_queues").paginate(
        QueueNamePrefix=f"{lab.prefix}-", PaginationConfig={"PageSize": 1000}
    )
    for page in pages:
        for url in page.get("QueueUrls", []):
            if _tagged(lab, client.list_queue_tags, QueueUrl=url):
                yield own_part(url), partial(client.delete_queue, QueueUrl=url)


def _roles(lab: Lab) -> Iterator[tuple[str, Callable[[], Any]]]:
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
            if _named(lab, name) and _tagged(lab, client.list_role_tags, RoleName=name):
                yield name, partial(delete, name)


def _policies(lab: Lab) -> Iterator[tuple[str, Callable[[], Any]]]:
    client = lab.client("iam")

    def delete(arn: str) -> None:
        for version in client.list_policy_versions(PolicyArn=arn)["Versions"]:
            if not version["IsDefaultVersion"]:
                client.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
        client.delete_policy(PolicyArn=arn)

    for page in client.get_paginator("list_policies").paginate(Scope="Local"):
        for policy in page["Policies"]:
            name, arn = policy["PolicyName"], policy["Arn"]
            if _named(lab, name) and _tagged(lab, client.list_policy_tags, PolicyArn=arn):
                yield name, partial(delete, arn)


def _log_groups(lab: Lab) -> Iterator[tuple[str, Callable[[], Any]]]:
    # Lambda makes these groups itself, without the tag.
    client = lab.client("logs")
    for beginning in (f"/aws/lambda/{lab.prefix}-", f"{lab.prefix}-"):
        for page in client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=beginning):
            for group in page["logGroups"]:
                name = group["logGroupName"]
                yield name, partial(client.delete_log_group, logGroupName=name)


def _named(lab: Lab, name: str) -> bool:
    return name.startswith(f"{lab.prefix}-")


def _tagged(lab: Lab, read: Callable[..., dict[str, Any]], **which: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        tags = read(**which).get("Tags", {})
    except ClientError as problem:
        if is_missing(problem):
            return False
        raise
    if isinstance(tags, list):
        tags = {tag["Key"]: tag["Value"] for tag in tags}
    return bool(tags.get(TAG) == lab.prefix)


KINDS = (
    Kind("triggers", _triggers),
    Kind("functions", _functions),
    Kind("queues", _queues),
    Kind("roles", _roles),
    Kind("policies", _policies),
    Kind("log groups", _log_groups),
)
"""In the order of deletion: who still writes or reads goes first. A further kind of thing gets its row here."""
