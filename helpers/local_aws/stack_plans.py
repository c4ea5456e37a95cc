"""What an update of a stack would do, told before it is done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ApiError
from .stack import Request, Stack, changed, retagged
from .stack_kinds import Kind
from .stack_resources import KINDS
from .stack_templates import Made, Scope


@dataclass(frozen=True)
class Change:
    """What an update would do to one resource.

    Attributes
    ----------
    action : str
        `Add`, `Modify` or `Remove`.
    replacement : str
        `True` or `False` for what is modified, `Conditional` when it depends on another replacement.
    names : tuple of str
        The properties that change.
    """

    action: str
    logical_id: str
    type: str
    physical_id: str = ""
    replacement: str = ""
    names: tuple[str, ...] = ()


class _Imagined:
    """A resource that is not made yet, in a plan."""

    def __init__(self, logical_id: str, kind: Kind) -> None:
        self.ref = f"{{{logical_id}}}"
        self.attributes: Mapping[str, Any] = {name: f"{{{logical_id}.{name}}}" for name in kind.attributes}


def plan(stack: Stack, request: Request) -> list[Change]:
    """Return what an update of a stack, or its creation, would do.

    Raises
    ------
    ApiError
        When the template cannot be filled in.
    """
    found: dict[str, Made] = dict(stack.records)
    scope = stack.scope(request, found)
    wanted = scope.wanted()
    changes: list[Change] = []
    uncertain: set[str] = set()
    imports = set(stack.imports)
    for logical_id, definition in wanted.items():
        kind = KINDS[definition["Type"]]
        present = stack.records.get(logical_id)
        if present is None:
            found[logical_id] = _Imagined(logical_id, kind)
            changes.append(Change("Add", logical_id, definition["Type"]))
            continue
        names = _differing(scope, present.properties, definition["Properties"])
        if not names and not retagged(kind, present, stack.work(request, logical_id)):
            continue
        causes = [name for name in names if name in kind.replaced_by]
        replacement = "True" if causes else "False"
        if causes and all(_mentions(definition["Properties"].get(name), uncertain) for name in causes):
            replacement = "Conditional"
        if causes:
            uncertain.add(logical_id)
            found[logical_id] = _Imagined(logical_id, kind)
        shown = names or ("Tags",)
        changes.append(Change("Modify", logical_id, present.type, present.physical_id, replacement, shown))
    stack.imports = imports
    for name in stack.last_first():
        if name not in wanted:
            record = stack.records[name]
            changes.append(Change("Remove", name, record.type, record.physical_id))
    return changes


def changes_nothing(stack: Stack, request: Request) -> bool:
    """Return whether an update of a stack would do nothing at all."""
    same_outputs = request.template.outputs == stack.request.template.outputs
    return not plan(stack, request) and same_outputs and request.tags == stack.request.tags


def _differing(scope: Scope, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the properties that change; one that cannot be filled in yet does."""
    filled: dict[str, Any] = {}
    for name, value in new.items():
        try:
            filled |= scope.fill({"": value, name: value})
        except ApiError:
            filled[name] = None
    filled.pop("", None)
    return changed(old, filled)


def _mentions(value: Any, names: set[str]) -> bool:
    text = json.dumps(value, default=str)
    return any(f'"{name}"' in text or f"${{{name}" in text for name in names)
