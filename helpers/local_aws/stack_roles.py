"""Roles and policies, in a stack."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from .stack_kinds import Kind, Steps, Work, as_json, differ, only, unless_gone


class Role(Kind):
    """AWS::IAM::Role."""

    properties = (
        "AssumeRolePolicyDocument",
        "Description",
        "ManagedPolicyArns",
        "MaxSessionDuration",
        "Path",
        "PermissionsBoundary",
        "Policies",
        "RoleName",
        "Tags",
    )
    required = ("AssumeRolePolicyDocument",)
    replaced_by = ("Path", "RoleName")
    name = "RoleName"
    attributes = ("Arn", "RoleId")

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Make the role with its policies."""
        name = str(properties.get("RoleName") or work.new_name(64))
        direct = only(properties, ("Description", "MaxSessionDuration", "Path", "PermissionsBoundary"))
        trust = as_json(properties["AssumeRolePolicyDocument"])
        tags = work.tag_list(properties)
        made = work.call("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=trust, Tags=tags, **direct)
        work.physical_id = name
        work.attributes = {"Arn": made["Role"]["Arn"], "RoleId": made["Role"]["RoleId"]}
        self._policies(work, {}, properties)
        yield from ()

    def update(self, work: Work, old: dict[str, Any], new: dict[str, Any]) -> Steps:
        """Change trust, policies, description, session length and boundary."""
        name = work.physical_id
        if differ(old, new, ("AssumeRolePolicyDocument",)):
            trust = as_json(new["AssumeRolePolicyDocument"])
            work.call("iam", "UpdateAssumeRolePolicy", RoleName=name, PolicyDocument=trust)
        if differ(old, new, ("Description", "MaxSessionDuration")):
            work.call("iam", "UpdateRole", RoleName=name, **only(new, ("Description", "MaxSessionDuration")))
        if differ(old, new, ("PermissionsBoundary",)):
            if "PermissionsBoundary" in new:
                boundary = new["PermissionsBoundary"]
                work.call("iam", "PutRolePermissionsBoundary", RoleName=name, PermissionsBoundary=boundary)
            else:
                work.call("iam", "DeleteRolePermissionsBoundary", RoleName=name)
        self._policies(work, old, new)
        tags, lost = work.tag_changes(old, new)
        if lost:
            work.call("iam", "UntagRole", RoleName=name, TagKeys=lost)
        own = [{"Key": key, "Value": value} for key, value in tags.items() if not key.startswith("aws:")]
        if own:
            work.call("iam", "TagRole", RoleName=name, Tags=own)
        yield from ()

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Delete the role and its own policies."""
        self._policies(work, properties, {})
        work.call("iam", "DeleteRole", RoleName=work.physical_id)
        yield from ()

    def present(self, work: Work, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return its trust, settings and policies."""
        which = {"RoleName": work.physical_id}
        found = work.call("iam", "GetRole", **which)["Role"]
        shown = {**found, "AssumeRolePolicyDocument": _document(found["AssumeRolePolicyDocument"])}
        if "PermissionsBoundary" in found:
            shown["PermissionsBoundary"] = found["PermissionsBoundary"]["PermissionsBoundaryArn"]
        if "ManagedPolicyArns" in properties:
            attached = work.call("iam", "ListAttachedRolePolicies", **which)["AttachedPolicies"]
            shown["ManagedPolicyArns"] = [one["PolicyArn"] for one in attached]
        if "Policies" in properties:
            names = work.call("iam", "ListRolePolicies", **which)["PolicyNames"]
            texts = {name: work.call("iam", "GetRolePolicy", PolicyName=name, **which) for name in names}
            shown["Policies"] = [
                {"PolicyName": name, "PolicyDocument": _document(one["PolicyDocument"])} for name, one in texts.items()
            ]
        if "Tags" in properties:
            shown["Tags"] = work.tags_beyond({one["Key"]: one["Value"] for one in found.get("Tags", [])})
        return only(shown, properties)

    @staticmethod
    def _policies(work: Work, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        name = work.physical_id
        before, after = list(old.get("ManagedPolicyArns") or []), list(new.get("ManagedPolicyArns") or [])
        for arn in after:
            if arn not in before:
                work.call("iam", "AttachRolePolicy", RoleName=name, PolicyArn=arn)
        inline = {one["PolicyName"]: as_json(one["PolicyDocument"]) for one in new.get("Policies") or []}
        inline_before = {one["PolicyName"]: as_json(one["PolicyDocument"]) for one in old.get("Policies") or []}
        for policy, text in inline.items():
            if inline_before.get(policy) != text:
                work.call("iam", "PutRolePolicy", RoleName=name, PolicyName=policy, PolicyDocument=text)
        for arn in before:
            if arn not in after:
                unless_gone(work, "iam", "DetachRolePolicy", RoleName=name, PolicyArn=arn)
        for policy in inline_before:
            if policy not in inline:
                unless_gone(work, "iam", "DeleteRolePolicy", RoleName=name, PolicyName=policy)


class InlinePolicy(Kind):
    """AWS::IAM::Policy: a policy inside roles, users and groups."""

    properties = ("Groups", "PolicyDocument", "PolicyName", "Roles", "Users")
    required = ("PolicyDocument", "PolicyName")
    attributes = ("Id",)
    _HOLDERS = {"Roles": "Role", "Users": "User", "Groups": "Group"}

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Put the policy into each."""
        for member, holder in self._HOLDERS.items():
            for name in properties.get(member) or []:
                work.call(
                    "iam",
                    f"Put{holder}Policy",
                    PolicyName=properties["PolicyName"],
                    PolicyDocument=as_json(properties["PolicyDocument"]),
                    **{f"{holder}Name": name},
                )
        work.physical_id = work.physical_id or work.new_name(64)
        work.attributes = {"Id": work.physical_id}
        yield from ()

    def update(self, work: Work, old: dict[str, Any], new: dict[str, Any]) -> Steps:
        """Put it anew, and take it from those that are not named any more."""
        renamed = old["PolicyName"] != new["PolicyName"]
        lost = {
            member: [name for name in old.get(member) or [] if renamed or name not in (new.get(member) or [])]
            for member in self._HOLDERS
        }
        yield from self.create(work, new)
        yield from self.delete(work, {**old, **lost})

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Take the policy out of each."""
        for member, holder in self._HOLDERS.items():
            for name in properties.get(member) or []:
                names = {f"{holder}Name": name, "PolicyName": properties["PolicyName"]}
                unless_gone(work, "iam", f"Delete{holder}Policy", **names)
        yield from ()


class ManagedPolicy(Kind):
    """AWS::IAM::ManagedPolicy."""

    properties = ("Description", "ManagedPolicyName", "Path", "PolicyDocument", "Roles")
    required = ("PolicyDocument",)
    replaced_by = ("Description", "ManagedPolicyName", "Path")
    name = "ManagedPolicyName"
    attributes = ("PolicyArn",)
    unread = ("Roles",)

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Make the policy and attach it."""
        name = str(properties.get("ManagedPolicyName") or work.new_name(128))
        text = as_json(properties["PolicyDocument"])
        direct = only(properties, ("Description", "Path"))
        made = work.call("iam", "CreatePolicy", PolicyName=name, PolicyDocument=text, **direct)
        work.physical_id = made["Policy"]["Arn"]
        work.attributes = {"PolicyArn": work.physical_id}
        for role in properties.get("Roles") or []:
            work.call("iam", "AttachRolePolicy", RoleName=role, PolicyArn=work.physical_id)
        yield from ()

    def update(self, work: Work, old: dict[str, Any], new: dict[str, Any]) -> Steps:
        """Make a new default version, and attach it elsewhere."""
        arn = work.physical_id
        if differ(old, new, ("PolicyDocument",)):
            versions = work.call("iam", "ListPolicyVersions", PolicyArn=arn)["Versions"]
            for version in versions:
                if not version["IsDefaultVersion"]:
                    work.call("iam", "DeletePolicyVersion", PolicyArn=arn, VersionId=version["VersionId"])
            text = as_json(new["PolicyDocument"])
            work.call("iam", "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)
        before, after = old.get("Roles") or [], new.get("Roles") or []
        for role in after:
            if role not in before:
                work.call("iam", "AttachRolePolicy", RoleName=role, PolicyArn=arn)
        for role in before:
            if role not in after:
                unless_gone(work, "iam", "DetachRolePolicy", RoleName=role, PolicyArn=arn)
        yield from ()

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Detach and delete the policy."""
        arn = work.physical_id
        for role in properties.get("Roles") or []:
            unless_gone(work, "iam", "DetachRolePolicy", RoleName=role, PolicyArn=arn)
        for version in work.call("iam", "ListPolicyVersions", PolicyArn=arn)["Versions"]:
            if not version["IsDefaultVersion"]:
                work.call("iam", "DeletePolicyVersion", PolicyArn=arn, VersionId=version["VersionId"])
        work.call("iam", "DeletePolicy", PolicyArn=arn)
        yield from ()

    def present(self, work: Work, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return its default version's document."""
        found = work.call("iam", "GetPolicy", PolicyArn=work.physical_id)["Policy"]
        which = {"PolicyArn": work.physical_id, "VersionId": found["DefaultVersionId"]}
        document = work.call("iam", "GetPolicyVersion", **which)["PolicyVersion"]["Document"]
        shown = {**found, "ManagedPolicyName": found["PolicyName"], "PolicyDocument": _document(document)}
        return only(shown, properties)


def _document(value: Any) -> Any:
    """Return a policy as IAM shows it, which is encoded like a part of a URL."""
    return json.loads(unquote(value)) if isinstance(value, str) else value
