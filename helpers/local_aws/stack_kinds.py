"""What every type of resource in a stack shares: the work on it, its properties' rules, and the calls it makes."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import services
from .errors import ApiError
from .space import Identity, Space

_SUFFIX_LETTERS = string.ascii_letters + string.digits
_MISFIT = "PropertyValidation"
_GONE = {
    "NoSuchEntity",
    "NotFound",
    "NotFoundException",
    "QueueDoesNotExist",
    "ResourceNotFound",
    "ResourceNotFoundException",
}


@dataclass
class Work:
    """What is done to one resource, and what has come of it.

    Attributes
    ----------
    space, identity
        Where, and with whose rights.
    stack_name, logical_id : str
        For names that are not given.
    tags, tags_before : dict
        The stack's tags and CloudFormation's own, which every resource gets; what they were before an update.
    physical_id : str
        What was made; known as soon as it is there, also when what follows fails.
    attributes : dict
        What `Fn::GetAtt` returns.
    """

    space: Space
    identity: Identity
    stack_name: str
    logical_id: str
    tags: dict[str, str] = field(default_factory=dict)
    tags_before: dict[str, str] = field(default_factory=dict)
    physical_id: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)

    def call(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """Call an operation with the rights of who works on the stack."""
        try:
            return services.call(self.space, self.identity, service, operation, params)
        except ApiError as problem:
            raise _misfit(self.logical_id, problem.message) if problem.code == _MISFIT else problem from None

    def new_name(self, most: int, ending: str = "") -> str:
        """Return a name of the stack's, the logical id and twelve random letters, at most `most` letters long."""
        suffix = "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(12))
        room = most - len(ending) - len(suffix) - 2
        name = f"{self.stack_name[: max(1, room - len(self.logical_id[: room // 2]))]}-{self.logical_id}"
        return f"{name[: room + 1]}-{suffix}{ending}"

    def all_tags(self, properties: Mapping[str, Any]) -> dict[str, str]:
        """Return the resource's own tags and the stack's."""
        return {**self.tags, **_own_tags(properties)}

    def tag_list(self, properties: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return the tags as the services of the control plane take them; IAM refuses those of AWS's own."""
        tags = self.all_tags(properties)
        return [{"Key": key, "Value": value} for key, value in tags.items() if not key.startswith("aws:")]

    def tag_changes(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
        """Return the tags to set and the keys to take off."""
        before, after = {**self.tags_before, **_own_tags(old)}, self.all_tags(new)
        changed = {key: value for key, value in after.items() if before.get(key) != value}
        return changed, [key for key in before if key not in after]

    def tags_beyond(self, present: Mapping[str, str]) -> list[dict[str, str]]:
        """Return those of a resource's tags that are its own, neither the stack's nor AWS's."""
        return [
            {"Key": key, "Value": value}
            for key, value in present.items()
            if key not in self.tags and not key.startswith("aws:")
        ]


def _own_tags(properties: Mapping[str, Any]) -> dict[str, str]:
    return {str(one["Key"]): str(one["Value"]) for one in properties.get("Tags") or []}


Steps = Iterator[None]
"""What has to wait yields, and is asked again a moment later."""


class Kind:
    """One type of resource.

    Attributes
    ----------
    properties : tuple of str
        The properties that it takes.
    required : tuple of str
        Those that must be there.
    replaced_by : tuple of str
        Those whose change makes a new resource.
    name : str, optional
        The property that names it, if it may be named.
    """

    properties: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    replaced_by: tuple[str, ...] = ()
    name: str | None = None
    attributes: tuple[str, ...] = ()
    refusal = ""
    """What CloudFormation's handler puts before the service's text."""
    unread: tuple[str, ...] = ()
    """Properties that a detection of drift leaves out: no service tells their values as they were given."""

    def check(self, logical_id: str, properties: Mapping[str, Any]) -> None:
        """Raise for a property that the type does not have, or lacks.

        Raises
        ------
        ApiError
            With the text that stands in the stack's events.
        """
        faults = [f"#: required key [{name}] not found" for name in self.required if name not in properties]
        faults += [f"#: extraneous key [{name}] is not permitted" for name in properties if name not in self.properties]
        for name, members in _LISTS.items():
            if name in properties and name in self.properties:
                faults += _list_faults(name, properties[name], members)
        if faults:
            raise _misfit(logical_id, "\n".join(faults))

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Make the resource."""
        raise NotImplementedError

    def update(self, work: Work, old: dict[str, Any], new: dict[str, Any]) -> Steps:
        """Change it in place; only called when nothing of `replaced_by` has changed."""
        raise NotImplementedError

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Delete it; one that is gone already is no error."""
        raise NotImplementedError

    def present(self, work: Work, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the present values of the properties that are set, or None where drift cannot be detected.

        A property that is set and not returned is gone.

        Raises
        ------
        ApiError
            When the resource is gone, and when the caller may not read it.
        """
        return None


_LISTS: dict[str, tuple[str, ...]] = {
    "Groups": (),
    "ManagedPolicyArns": (),
    "Policies": ("PolicyDocument", "PolicyName"),
    "Queues": (),
    "Roles": (),
    "Subscription": ("Endpoint", "Protocol"),
    "Tags": ("Key", "Value"),
    "Users": (),
}
"""Properties that are lists, and the keys of what they hold; without keys they hold texts."""


def _list_faults(name: str, value: Any, members: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"#/{name}: expected type: JSONArray"
        return
    for index, one in enumerate(value):
        where = f"#/{name}/{index}"
        if not members:
            if not isinstance(one, str):
                yield f"{where}: expected type: String"
        elif not isinstance(one, dict):
            yield f"{where}: expected type: JSONObject"
        else:
            for key in members:
                if key not in one:
                    yield f"{where}: required key [{key}] not found"
                elif key != "PolicyDocument" and isinstance(one[key], (dict, list)):
                    yield f"{where}/{key}: expected type: String"


def _misfit(logical_id: str, faults: str) -> ApiError:
    return ApiError(_MISFIT, f"Properties validation failed for resource {logical_id} with message:\n{faults}")


def malformed(logical_id: str) -> ApiError:
    """Return the refusal of properties that have not the form of the type's, found only when they were used."""
    return _misfit(logical_id, "#: the properties have not the form that this type of resource takes")


def gone(problem: ApiError) -> bool:
    """Return whether a refusal says that there is no such thing."""
    return problem.code in _GONE or (problem.query_code or "") in _GONE


def missing(what: str) -> ApiError:
    """Return the answer of a service that has no such thing."""
    return ApiError("ResourceNotFoundException", f"{what} does not exist.", 404)


def within(expected: Any, present: Any) -> Any:
    """Return the part of a structure whose members are set: the others are the service's defaults."""
    if isinstance(expected, dict) and isinstance(present, dict):
        return {name: within(value, present[name]) for name, value in expected.items() if name in present}
    return present


def already_there(kind: str, identifier: str) -> ApiError:
    """Return the refusal to take over what is there already."""
    text = f"Resource of type '{kind}' with identifier '{identifier}' already exists."
    return ApiError("AlreadyExists", text, 409)


def differ(old: Mapping[str, Any], new: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Return whether any of these properties changes."""
    return any(old.get(name) != new.get(name) for name in names)


def as_json(value: Any) -> str:
    """Return a document as text."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def only(properties: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the properties with these names."""
    return {name: properties[name] for name in names if name in properties}


def attribute_text(value: Any) -> str:
    """Return a property as the text that SQS and SNS take for an attribute."""
    return as_json(value) if isinstance(value, dict) else str(value).lower() if isinstance(value, bool) else str(value)


def retag(work: Work, service: str, key: str, arn: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Change tags by TagResource and UntagResource, whose members each service spells in its own way."""
    tags, lost = work.tag_changes(old, new)
    listed = [{"Key": name, "Value": value} for name, value in tags.items() if not name.startswith("aws:")]
    as_given: Any = {"lambda": tags, "logs": {one["Key"]: one["Value"] for one in listed}}.get(service, listed)
    first, keys = ("tags", "tagKeys") if service == "logs" else ("Tags", "TagKeys")
    if lost:
        work.call(service, "UntagResource", **{key: arn, keys: lost})
    if as_given:
        work.call(service, "TagResource", **{key: arn, first: as_given})


def unless_gone(work: Work, service: str, operation: str, **params: Any) -> None:
    """Call an operation that takes something away; what is gone already is no error."""
    try:
        work.call(service, operation, **params)
    except ApiError as problem:
        # What no service would have taken was never there.
        if not gone(problem) and problem.code != "ValidationException":
            raise
