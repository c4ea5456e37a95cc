"""Drift: what in a stack is no longer as its template says, because somebody has changed it directly.

Only what the template sets is compared, and only what the services tell (CloudFormation user guide, Detecting
unmanaged configuration changes to stacks and resources).
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .errors import ApiError
from .stack_kinds import as_json, attribute_text, gone
from .stack_resources import KINDS
from .stack_templates import invalid

if TYPE_CHECKING:
    from .space import Identity
    from .stack import Record, Stack

DURATION = 1.0
"""Seconds that a detection takes; on AWS up to several minutes."""

CHECKABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED")
"""The states of a stack in which drift can be detected."""

DRIFTED = ("MODIFIED", "DELETED")


@dataclass(frozen=True)
class Difference:
    """One value that is not as expected: where, both values, and `ADD`, `REMOVE` or `NOT_EQUAL`."""

    path: str
    expected: Any
    actual: Any
    kind: str


@dataclass(frozen=True)
class Drift:
    """What was found at one resource.

    Attributes
    ----------
    status : str
        `IN_SYNC`, `MODIFIED`, `DELETED` or `UNKNOWN`.
    expected, actual : dict
        The properties that were compared.
    """

    logical_id: str
    type: str
    physical_id: str
    status: str
    moment: float
    expected: Mapping[str, Any] = field(default_factory=dict)
    actual: Mapping[str, Any] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    reason: str = ""


@dataclass
class Detection:
    """One detection over a stack: with whose rights, at what it looks, how far it is and what it has found."""

    stack: Stack
    identity: Identity
    names: tuple[str, ...]
    began: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "DETECTION_IN_PROGRESS"
    reason: str = ""
    drifted: int | None = None


@dataclass
class Findings:
    """What is known of a stack's drift: by logical id, and when was last looked."""

    drifts: dict[str, Drift] = field(default_factory=dict)
    checked: float | None = None
    under_way: Detection | None = None

    def of(self, record: Record) -> Drift | None:
        """Return what was found at a resource that the stack still holds."""
        found = self.drifts.get(record.logical_id)
        return found if found is not None and found.physical_id == record.physical_id else None

    def status(self, stack: Stack) -> str:
        """Return the StackDriftStatus."""
        if self.checked is None:
            return "NOT_CHECKED"
        present = [drift for record in stack.records.values() if (drift := self.of(record)) is not None]
        return "DRIFTED" if any(one.status in DRIFTED for one in present) else "IN_SYNC"


def detect(stack: Stack, identity: Identity, names: Iterable[str] = ()) -> Detection:
    """Begin to look at a stack's resources, or at some of them, with a caller's rights.

    Raises
    ------
    ApiError
        ValidationError for a stack that is being changed, and for a resource that it does not hold.
    """
    chosen = tuple(names)
    check_stack(stack)
    for name in chosen:
        _record(stack, name)
    under_way = stack.drift.under_way
    if under_way is not None and under_way.status == "DETECTION_IN_PROGRESS":
        raise invalid(f"Drift detection is already in progress for stack [{stack.name}].")
    made = Detection(stack, identity, chosen, stack.space.clock.now())
    stack.drift.checked, stack.drift.under_way = made.began, made
    stack.space.scheduler.after(DURATION, lambda: _finish(made))
    return made


def look(stack: Stack, identity: Identity, name: str) -> Drift:
    """Look at one resource at once, with a caller's rights.

    Raises
    ------
    ApiError
        ValidationError for a resource whose drift cannot be detected.
    """
    check_stack(stack)
    record = _record(stack, name)
    found = _look(stack, identity, record)
    if found is None:
        raise invalid(f"Resource type {record.type} of resource {name} does not support drift detection.")
    stack.drift.checked = found.moment
    stack.drift.drifts[name] = found
    return found


def check_stack(stack: Stack) -> None:
    """Raise for a stack in a state in which drift cannot be detected."""
    if stack.status not in CHECKABLE:
        raise invalid(f"Drift detection cannot be performed on stack [{stack.id}] in {stack.status} state.")


def _record(stack: Stack, name: str) -> Record:
    if name not in stack.records:
        raise invalid(f"Resource {name} does not exist for stack {stack.name}")
    return stack.records[name]


def _finish(made: Detection) -> None:
    stack, failed = made.stack, []
    if stack.deleted is not None:
        made.status, made.reason = "DETECTION_FAILED", "The stack was deleted."
        return
    found: list[Drift] = []
    for name in made.names or tuple(stack.records):
        if name in stack.records and (drift := _look(stack, made.identity, stack.records[name])) is not None:
            found.append(drift)
    for one in found:
        stack.drift.drifts[one.logical_id] = one
        if one.status == "UNKNOWN":
            failed.append(one.logical_id)
    made.drifted = sum(one.status in DRIFTED for one in found)
    made.status = "DETECTION_FAILED" if failed else "DETECTION_COMPLETE"
    if failed:
        made.reason = f"Failed to detect drift on resource [{', '.join(failed)}]"


def _look(stack: Stack, identity: Identity, record: Record) -> Drift | None:
    """Compare one resource with what the stack has made of it; None where its type does not allow that."""
    kind = KINDS[record.type]
    work = stack.work(replace(stack.request, identity=identity), record.logical_id, record)
    expected = {name: value for name, value in record.properties.items() if name not in kind.unread}
    seen: dict[str, Any] = {
        "logical_id": record.logical_id,
        "type": record.type,
        "physical_id": record.physical_id,
        "moment": stack.space.clock.now(),
    }
    try:
        actual = kind.present(work, expected)
    except ApiError as problem:
        if gone(problem):
            return Drift(status="DELETED", **seen)
        return Drift(status="UNKNOWN", reason=problem.message, **seen)
    if actual is None:
        return None
    _leave_out_attached(stack, record, actual)
    differences = tuple(_compare(expected, actual, ""))
    status = "MODIFIED" if differences else "IN_SYNC"
    return Drift(status=status, expected=expected, actual=actual, differences=differences, **seen)


def _leave_out_attached(stack: Stack, role: Record, actual: dict[str, Any]) -> None:
    """Take out of a role's policies those that are resources of the stack themselves."""
    if role.type != "AWS::IAM::Role":
        return
    others = [one for one in stack.records.values() if role.physical_id in (one.properties.get("Roles") or [])]
    names = {one.properties["PolicyName"] for one in others if one.type == "AWS::IAM::Policy"}
    arns = {one.physical_id for one in others if one.type == "AWS::IAM::ManagedPolicy"}
    if "Policies" in actual:
        actual["Policies"] = [one for one in actual["Policies"] if one["PolicyName"] not in names]
    if "ManagedPolicyArns" in actual:
        actual["ManagedPolicyArns"] = [arn for arn in actual["ManagedPolicyArns"] if arn not in arns]


def _compare(expected: Any, actual: Any, path: str) -> Iterator[Difference]:
    if isinstance(expected, str) and isinstance(actual, (dict, list)):
        # A document may be given as its text.
        with contextlib.suppress(ValueError):
            expected = json.loads(expected)
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name, value in expected.items():
            if name not in actual:
                yield Difference(f"{path}/{name}", value, None, "REMOVE")
            else:
                yield from _compare(value, actual[name], f"{path}/{name}")
        for name, value in actual.items():
            if name not in expected:
                yield Difference(f"{path}/{name}", None, value, "ADD")
    elif isinstance(expected, list) and isinstance(actual, list):
        yield from _compare_lists(expected, actual, path)
    elif _plain(expected) != _plain(actual):
        yield Difference(path, expected, actual, "NOT_EQUAL")


def _compare_lists(expected: list[Any], actual: list[Any], path: str) -> Iterator[Difference]:
    """Compare what is in one list only, pair by pair: the order of a property's values is the service's."""
    left = list(enumerate(actual))
    lacking: list[tuple[int, Any]] = []
    for place, value in enumerate(expected):
        same = next((one for one in left if not any(_compare(value, one[1], ""))), None)
        if same is None:
            lacking.append((place, value))
        else:
            left.remove(same)
    pairs = min(len(lacking), len(left))
    for (place, value), (_, other) in zip(lacking[:pairs], left[:pairs], strict=True):
        yield from _compare(value, other, f"{path}/{place}")
    for place, value in lacking[pairs:]:
        yield Difference(f"{path}/{place}", value, None, "REMOVE")
    for place, value in left[pairs:]:
        yield Difference(f"{path}/{place}", None, value, "ADD")


def _plain(value: Any) -> str:
    """Return a value as text, so that 60 and "60", and true and "true", are the same."""
    return attribute_text(int(value) if isinstance(value, float) and value.is_integer() else value)


def shown(value: Any) -> str:
    """Return a value as PropertyDifferences show it."""
    if value is None:
        return "null"
    return as_json(value) if isinstance(value, list) else attribute_text(value)
