"""All stacks of a space, and the change sets that wait for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .stack import Request, Stack
from .stack_drift import Detection
from .stack_plans import Change
from .stack_resources import KINDS
from .stack_templates import Template, invalid, references

if TYPE_CHECKING:
    from .space import Space


@dataclass
class ChangeSet:
    """A change that is described before it is done."""

    id: str
    name: str
    stack: Stack
    request: Request
    kind: str
    changes: list[Change]
    description: str
    created: float
    status: str = "CREATE_COMPLETE"
    reason: str = ""
    execution: str = "AVAILABLE"
    on_failure: str = "ROLLBACK"


class Stacks:
    """All stacks of a space, the deleted ones too.

    Parameters
    ----------
    space : Space
        The space.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.all: list[Stack] = []
        self.change_sets: dict[str, ChangeSet] = {}
        self.detections: dict[str, Detection] = {}

    def find(self, name_or_id: str) -> Stack:
        """Return a stack; a deleted one only by its id.

        Raises
        ------
        ApiError
            ValidationError when there is none.
        """
        for stack in reversed(self.all):
            if stack.id == name_or_id or (stack.name == name_or_id and stack.deleted is None):
                return stack
        raise invalid(f"Stack with id {name_or_id} does not exist")

    def named(self, name: str) -> Stack | None:
        """Return the living stack of this name, or None."""
        return next((stack for stack in self.all if stack.name == name and stack.deleted is None), None)

    def exports(self) -> dict[str, tuple[Stack, str]]:
        """Return every exported value and whose it is."""
        return {
            output["ExportName"]: (stack, output["OutputValue"])
            for stack in self.all
            for output in stack.outputs.values()
            if "ExportName" in output
        }

    def user_of(self, export: str | None, but: Stack) -> Stack | None:
        """Return a stack that imports an export."""
        if export is None:
            return None
        return next((stack for stack in self.all if stack is not but and export in stack.imports), None)

    def check_types(self, template: Template) -> None:
        """Raise for a type of resource that is not offered, and for an attribute that a type does not have."""
        unknown = sorted({one["Type"] for one in template.resources.values() if one["Type"] not in KINDS})
        if unknown:
            raise invalid(
                f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]. "
                f"The local AWS offers: {', '.join(KINDS)}."
            )
        for kind, name, attribute in references({**template.resources, "": template.outputs}):
            if kind == "Fn::GetAtt" and attribute:
                offered = KINDS[template.resources[name]["Type"]].attributes
                if attribute not in offered:
                    text = f"Template error: resource {name} does not support attribute type {attribute} in Fn::GetAtt"
                    raise invalid(text)
