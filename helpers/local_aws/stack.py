"""One stack: what a template describes is made, changed and deleted step by step, and undone when a step fails.

It is an engine of our own, because moto's makes no rollback, no events of resources and no change of what depends on
a replaced resource, ignores types that it does not know, and takes 3.5 s and 140 MB to import.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .errors import ApiError
from .space import Identity
from .stack_drift import Findings
from .stack_kinds import Kind, Work, gone, malformed
from .stack_resources import KINDS
from .stack_templates import Made, Scope, Template, invalid

if TYPE_CHECKING:
    from .stacks import Stacks

log = logging.getLogger(__name__)

PAUSE = 0.5
"""Seconds between two looks at a resource that is not ready yet."""

STACK = "AWS::CloudFormation::Stack"

_RETAINED = ("Retain", "RetainExceptOnCreate")
_HANDLER_CODES = {
    "AccessDenied": "AccessDenied",
    "AccessDeniedException": "AccessDenied",
    "AlreadyExists": "AlreadyExists",
    "EntityAlreadyExists": "AlreadyExists",
    "ResourceAlreadyExistsException": "AlreadyExists",
    "ResourceConflictException": "AlreadyExists",
    "QueueNameExists": "AlreadyExists",
    "InvalidParameter": "InvalidRequest",
    "InvalidParameterValue": "InvalidRequest",
    "InvalidParameterValueException": "InvalidRequest",
    "InvalidRequest": "InvalidRequest",
    "ValidationError": "InvalidRequest",
    "ValidationException": "InvalidRequest",
}
_SERVICES = {"CloudWatch": "CloudWatch", "IAM": "Iam", "Lambda": "Lambda", "Logs": "CloudWatchLogs", "SNS": "Sns"}


@dataclass(frozen=True)
class Record:
    """A resource as it was made: enough to refer to it, to change it and to undo a change of it."""

    logical_id: str
    type: str
    properties: dict[str, Any]
    physical_id: str
    attributes: dict[str, Any]
    deletion_policy: str = "Delete"
    replace_policy: str = "Delete"
    dependencies: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        """What `Ref` returns."""
        return self.physical_id


@dataclass
class Shown:
    """What DescribeStackResources says of a resource."""

    type: str
    physical_id: str = ""
    status: str = ""
    reason: str = ""
    moment: float = 0.0


class _FailedError(Exception):
    """A resource could not be made or changed; its events are written, and the text is the stack's reason."""


@dataclass(frozen=True)
class Request:
    """What a caller wants of a stack.

    Attributes
    ----------
    template, given, tags
        The template, the parameters' values as given, the stack's tags.
    identity : Identity
        Whose rights count.
    capabilities : tuple of str
        What the caller acknowledges.
    """

    template: Template
    given: dict[str, str]
    tags: dict[str, str]
    identity: Identity
    capabilities: tuple[str, ...] = ()
    role_arn: str | None = None
    token: str | None = None


class Stack:
    """One stack.

    Attributes
    ----------
    status, reason : str
        StackStatus and StackStatusReason.
    records : dict
        What it holds, by logical id.
    shown : dict
        What is said of every resource that it has had.
    events : list of dict
        Oldest first.
    drift : Findings
        What was found when somebody looked for drift.
    """

    def __init__(self, owner: Stacks, name: str, request: Request) -> None:
        self.owner = owner
        self.space = owner.space
        self.name = name
        self.id = owner.space.arn("cloudformation", f"stack/{name}/{uuid.uuid4()}")
        self.request = request
        self.values: dict[str, Any] = {}
        self.status = ""
        self.reason = ""
        self.created = owner.space.clock.now()
        self.updated: float | None = None
        self.deleted: float | None = None
        self.on_failure = "ROLLBACK"
        self.protected = False
        self.records: dict[str, Record] = {}
        self.shown: dict[str, Shown] = {}
        self.events: list[dict[str, Any]] = []
        self.outputs: dict[str, dict[str, Any]] = {}
        self.imports: set[str] = set()
        self.drift = Findings()
        self._steps: Iterator[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether an operation is under way."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    # The operations

    def create(self, on_failure: str) -> None:
        """Begin to make everything."""
        self.on_failure = on_failure
        self._begin(self._creating())

    def update(self, request: Request, *, keep_changes: bool) -> None:
        """Begin to change what differs; `keep_changes` leaves a failed update as it is."""
        self._begin(self._updating(request, keep_changes))

    def delete(self, retained: tuple[str, ...] = ()) -> None:
        """Begin to delete everything."""
        self._set("DELETE_IN_PROGRESS", "User Initiated")
        self._begin(self._deleting(retained))

    def _begin(self, steps: Iterator[None]) -> None:
        if isinstance(self._steps, Generator):
            self._steps.close()
        self._steps = steps

        def go() -> None:
            if self._steps is not steps:
                return
            try:
                next(steps)
            except StopIteration:
                return
            except Exception as problem:
                log.exception("stack %s", self.name)
                failed = self.status.replace("_IN_PROGRESS", "_FAILED").replace("_COMPLETE_CLEANUP", "")
                self._set(failed, f"The local AWS failed at this stack: {problem!r}. Please report it as a defect.")
                return
            self.space.scheduler.after(PAUSE, go)

        self.space.scheduler.after(0, go)

    def _creating(self) -> Iterator[None]:
        try:
            yield from self._make_all(self.request, [])
        except _FailedError as problem:
            text = str(problem)
            if self.on_failure == "DO_NOTHING":
                self._set("CREATE_FAILED", text)
                return
            if self.on_failure == "DELETE":
                self._set("DELETE_IN_PROGRESS", f"{text}Delete requested by user.")
                yield from self._deleting(())
                return
            self._set("ROLLBACK_IN_PROGRESS", f"{text}Rollback requested by user.")
            failed = yield from self._delete_all(list(self.records), ("Retain",))
            if failed:
                self._set("ROLLBACK_FAILED", f"The following resource(s) failed to delete: [{', '.join(failed)}]. ")
            else:
                self._set("ROLLBACK_COMPLETE")
            return
        self._set("CREATE_COMPLETE")

    def _updating(self, request: Request, keep_changes: bool) -> Iterator[None]:
        before, outputs, imports = self.request, self.outputs, self.imports
        undo: list[tuple[Record | None, Record | None]] = []
        try:
            yield from self._make_all(request, undo)
        except _FailedError as problem:
            text = str(problem)
            if keep_changes:
                self.request = request
                self._set("UPDATE_FAILED", text)
                return
            self._set("UPDATE_ROLLBACK_IN_PROGRESS", text)
            left = yield from self._undo(undo)
            self.request, self.outputs, self.imports = before, outputs, imports
            if left is None:
                return
            self._set("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
            yield from self._delete_records(left)
            self._set("UPDATE_ROLLBACK_COMPLETE")
            return
        self.updated = self.space.clock.now()
        self._set("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        wanted = self.scope(request).wanted()
        replaced = [old for old, new in undo if old is not None and new is not None]
        replaced = [old for old in replaced if self.records[old.logical_id].physical_id != old.physical_id]
        kept = [old for old in replaced if old.replace_policy == "Retain"]
        for old in kept:
            self._note(old.logical_id, "DELETE_SKIPPED", physical_id=old.physical_id, quiet=True)
        removed = [name for name in self.last_first() if name not in wanted]
        yield from self._delete_records([old for old in reversed(replaced) if old not in kept])
        yield from self._delete_all(removed, _RETAINED)
        self._set("UPDATE_COMPLETE")

    def _deleting(self, retained: tuple[str, ...]) -> Iterator[None]:
        failed = yield from self._delete_all(self.last_first(), _RETAINED, retained)
        if failed:
            self._set("DELETE_FAILED", f"The following resource(s) failed to delete: [{', '.join(failed)}]. ")
            return
        self.deleted = self.space.clock.now()
        self.outputs, self.imports = {}, set()
        self._set("DELETE_COMPLETE")

    # Making and changing

    def scope(self, request: Request, find: Mapping[str, Made] | None = None) -> Scope:
        """Return what a request's functions are filled in with."""
        values = {
            **request.template.values(request.given),
            "AWS::AccountId": self.space.account,
            "AWS::NotificationARNs": [],
            "AWS::Partition": "aws",
            "AWS::Region": self.space.region,
            "AWS::StackId": self.id,
            "AWS::StackName": self.name,
            "AWS::URLSuffix": "amazonaws.com",
        }
        records: Mapping[str, Made] = self.records if find is None else find
        return Scope(request.template, values, records.get, self._imported)

    def _imported(self, name: str) -> str:
        value = self.owner.exports().get(name)
        if value is None:
            raise invalid(f"No export named {name} found.")
        self.imports.add(name)
        return value[1]

    def _make_all(self, request: Request, undo: list[tuple[Record | None, Record | None]]) -> Iterator[None]:
        """Make or change every resource in its order; what was done stands in `undo`."""
        scope = self.scope(request)
        self.imports = set()
        for logical_id, definition in scope.wanted().items():
            present = self.records.get(logical_id)
            yield from self._make(request, scope, logical_id, definition, present, undo)
        try:
            self.outputs = self._outputs(request, scope)
        except ApiError as problem:
            raise _FailedError(problem.message + " ") from None
        self.request = request

    def _make(
        self,
        request: Request,
        scope: Scope,
        logical_id: str,
        definition: Mapping[str, Any],
        present: Record | None,
        undo: list[tuple[Record | None, Record | None]],
    ) -> Iterator[None]:
        kind = KINDS[definition["Type"]]
        work = self.work(request, logical_id)
        verb = "CREATE" if present is None else "UPDATE"
        properties: dict[str, Any] = {}
        meta = _meta(definition, tuple(scope.dependencies(definition)))
        try:
            properties = scope.fill(definition["Properties"])
            if present is not None and present.properties == properties and not retagged(kind, present, work):
                self.records[logical_id] = replace(present, **meta)
                return
            names = () if present is None else changed(present.properties, properties)
            replacing = present is not None and any(name in kind.replaced_by for name in names)
            if replacing and present is not None and properties.get(kind.name or "") is not None:
                custom = properties[kind.name or ""]
                if custom == present.properties.get(kind.name or ""):
                    raise invalid(
                        "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                        f"Rename {custom} and update the stack again."
                    )
            self._note(logical_id, f"{verb}_IN_PROGRESS", type_=definition["Type"], properties=properties)
            kind.check(logical_id, properties)
            if present is None or replacing:
                if replacing:
                    reason = "Requested update requires the creation of a new physical resource; hence creating one."
                    self._note(logical_id, "UPDATE_IN_PROGRESS", reason, properties=properties)
                steps = kind.create(work, properties)
            else:
                work.physical_id, work.attributes = present.physical_id, dict(present.attributes)
                work.tags_before = present.tags
                steps = kind.update(work, present.properties, properties)
            announced = present is not None and not replacing
            for _ in steps:
                if not announced and work.physical_id:
                    announced = True
                    self._started(logical_id, verb, work, properties)
                yield
            if not announced:
                self._started(logical_id, verb, work, properties)
        except GeneratorExit:
            # The stack is deleted before it is complete: what is half made belongs to it.
            if present is None and work.physical_id:
                self.records[logical_id] = Record(
                    logical_id,
                    definition["Type"],
                    properties,
                    work.physical_id,
                    work.attributes,
                    tags=work.tags,
                    **meta,
                )
            raise
        except (ApiError, AttributeError, KeyError, TypeError, ValueError) as fault:
            problem = fault
            if not isinstance(problem, ApiError):
                log.exception("resource %s of stack %s", logical_id, self.name)
                problem = malformed(logical_id)
            made = Record(
                logical_id, definition["Type"], properties, work.physical_id, work.attributes, tags=work.tags, **meta
            )
            if present is None and work.physical_id:
                self.records[logical_id] = made
                undo.append((None, made))
            elif present is not None:
                # What was changed before the failure is changed back, or what was made is deleted.
                undo.append((present, made if work.physical_id else present))
            reason = _reason(definition["Type"], kind, problem)
            self._note(logical_id, f"{verb}_FAILED", reason, definition["Type"], work.physical_id or None, properties)
            verb = "create" if present is None else "update"
            raise _FailedError(f"The following resource(s) failed to {verb}: [{logical_id}]. ") from None
        record = Record(
            logical_id, definition["Type"], properties, work.physical_id, work.attributes, tags=work.tags, **meta
        )
        undo.append((present, record))
        self.records[logical_id] = record
        self._note(logical_id, f"{verb}_COMPLETE", physical_id=record.physical_id, properties=properties)

    def _started(self, logical_id: str, verb: str, work: Work, properties: dict[str, Any]) -> None:
        reason = "Resource creation Initiated"
        self._note(logical_id, f"{verb}_IN_PROGRESS", reason, physical_id=work.physical_id, properties=properties)

    def _outputs(self, request: Request, scope: Scope) -> dict[str, dict[str, Any]]:
        outputs: dict[str, dict[str, Any]] = {}
        for name, output in request.template.outputs.items():
            if "Condition" in output and not scope.holds(output["Condition"]):
                continue
            value = scope.fill(output["Value"])
            shown = {"OutputKey": name, "OutputValue": str(value).lower() if isinstance(value, bool) else str(value)}
            if output.get("Description"):
                shown["Description"] = str(output["Description"])
            if output.get("Export"):
                export = str(scope.fill(output["Export"]["Name"]))
                holder = self.owner.exports().get(export)
                if holder is not None and holder[0] is not self:
                    raise invalid(f"Export with name {export} is already exported by stack {holder[0].name}.")
                shown["ExportName"] = export
            outputs[name] = shown
        kept = {one.get("ExportName"): one["OutputValue"] for one in outputs.values()}
        for before in self.outputs.values():
            exported = before.get("ExportName")
            user = self.owner.user_of(exported, self)
            if user is not None and kept.get(exported) != before["OutputValue"]:
                verb = "updated" if exported in kept else "deleted"
                raise invalid(f"Export {exported} cannot be {verb} as it is in use by {user.name}")
        return outputs

    # Undoing and deleting

    def _undo(self, undo: list[tuple[Record | None, Record | None]]) -> Generator[None, None, list[Record] | None]:
        """Take an update back, the last step first; return what was made by it and has to go."""
        left: list[Record] = []
        for old, new in reversed(undo):
            if old is None:
                if new is not None:
                    left.append(new)
                continue
            self.records[old.logical_id] = old
            if new is None or new is old:
                self._note(old.logical_id, "UPDATE_COMPLETE", physical_id=old.physical_id)
                continue
            if new.physical_id != old.physical_id:
                left.append(new)
                self._note(old.logical_id, "UPDATE_COMPLETE", physical_id=old.physical_id)
                continue
            kind, work = KINDS[old.type], self.work(self.request, old.logical_id, old)
            self._note(old.logical_id, "UPDATE_IN_PROGRESS", physical_id=old.physical_id)
            try:
                work.tags_before = new.tags
                yield from kind.update(work, new.properties, old.properties)
            except ApiError as problem:
                self._note(old.logical_id, "UPDATE_FAILED", _reason(old.type, kind, problem))
                text = f"The following resource(s) failed to update: [{old.logical_id}]. "
                self._set("UPDATE_ROLLBACK_FAILED", text)
                return None
            self._note(old.logical_id, "UPDATE_COMPLETE", physical_id=old.physical_id)
        for record in left:
            if self.records.get(record.logical_id) is record:
                del self.records[record.logical_id]
        return left

    def last_first(self) -> list[str]:
        """Return what the stack holds, each before what it depends on."""
        order: list[str] = []

        def visit(name: str) -> None:
            if name in order or name not in self.records:
                return
            for other in self.records[name].dependencies:
                visit(other)
            order.append(name)

        for name in self.records:
            visit(name)
        return order[::-1]

    def _delete_all(
        self, names: list[str], kept: tuple[str, ...], retained: tuple[str, ...] = ()
    ) -> Generator[None, None, list[str]]:
        """Delete resources of the stack; return the logical ids of those that could not be deleted."""
        failed: list[str] = []
        for name in [one for one in self.last_first() if one in names]:
            record = self.records[name]
            if record.deletion_policy in kept or name in retained:
                self._note(name, "DELETE_SKIPPED", physical_id=record.physical_id)
            else:
                failed += yield from self._delete_records([record])
                if name in failed:
                    continue
            del self.records[name]
        return failed

    def _delete_records(self, records: list[Record]) -> Generator[None, None, list[str]]:
        failed: list[str] = []
        for record in records:
            kind, work = KINDS[record.type], self.work(self.request, record.logical_id, record)
            self._note(record.logical_id, "DELETE_IN_PROGRESS", type_=record.type, physical_id=record.physical_id)
            try:
                yield from kind.delete(work, record.properties)
            except ApiError as problem:
                if not gone(problem):
                    self._note(record.logical_id, "DELETE_FAILED", _reason(record.type, kind, problem))
                    failed.append(record.logical_id)
                    continue
            self._note(record.logical_id, "DELETE_COMPLETE", physical_id=record.physical_id)
            present = self.records.get(record.logical_id)
            if present is not None and present is not record:
                shown = self.shown[record.logical_id]
                shown.physical_id, shown.status = present.physical_id, "UPDATE_COMPLETE"
        return failed

    def work(self, request: Request, logical_id: str, record: Record | None = None) -> Work:
        """Return what a kind of resource needs to make, change or delete one for a request."""
        tags = {
            **request.tags,
            "aws:cloudformation:stack-name": self.name,
            "aws:cloudformation:stack-id": self.id,
            "aws:cloudformation:logical-id": logical_id,
        }
        identity = request.identity
        if request.role_arn is not None:
            identity = self.space.permissions.role_credentials(request.role_arn, "AWSCloudFormation").identity
        work = Work(self.space, identity, self.name, logical_id, tags)
        if record is not None:
            work.physical_id, work.attributes, work.tags = record.physical_id, dict(record.attributes), record.tags
        return work

    # What is shown

    def _set(self, status: str, reason: str = "") -> None:
        self.status, self.reason = status, reason
        self._event(self.name, STACK, self.id, status, reason, None)

    def begin(self, status: str) -> None:
        """Show that an operation has begun."""
        self._set(status, "User Initiated")

    def _note(
        self,
        logical_id: str,
        status: str,
        reason: str = "",
        type_: str | None = None,
        physical_id: str | None = None,
        properties: dict[str, Any] | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        shown = self.shown.get(logical_id)
        if shown is None:
            shown = self.shown[logical_id] = Shown(type_ or self.records[logical_id].type)
        if not quiet:
            shown.type = type_ or shown.type
            shown.status, shown.reason, shown.moment = status, reason, self.space.clock.now()
            if physical_id is not None:
                shown.physical_id = physical_id
        self._event(logical_id, shown.type, physical_id or shown.physical_id, status, reason, properties)

    def _event(
        self, logical_id: str, type_: str, physical_id: str, status: str, reason: str, properties: dict[str, Any] | None
    ) -> None:
        now = self.space.clock.now()
        event: dict[str, Any] = {
            "StackId": self.id,
            "EventId": str(uuid.uuid4()) if type_ == STACK else f"{logical_id}-{status}-{uuid.uuid4()}",
            "StackName": self.name,
            "LogicalResourceId": logical_id,
            "PhysicalResourceId": physical_id,
            "ResourceType": type_,
            "Timestamp": moment(now),
            "ResourceStatus": status,
        }
        if reason:
            event["ResourceStatusReason"] = reason
        if properties is not None:
            event["ResourceProperties"] = json.dumps(properties, separators=(",", ":"), default=str)
        if self.request.token:
            event["ClientRequestToken"] = self.request.token
        self.events.append(event)


def moment(seconds: float) -> datetime:
    """Return a moment as CloudFormation shows it, to the millisecond."""
    return datetime.fromtimestamp(int(seconds * 1000) / 1000, UTC).replace(tzinfo=None)


def _meta(definition: Mapping[str, Any], dependencies: tuple[str, ...]) -> dict[str, Any]:
    return {
        "deletion_policy": definition.get("DeletionPolicy", "Delete"),
        "replace_policy": definition.get("UpdateReplacePolicy", "Delete"),
        "dependencies": dependencies,
    }


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the properties in which two sets of them differ."""
    return tuple(sorted(name for name in {*old, *new} if old.get(name) != new.get(name)))


def retagged(kind: Kind, present: Record, work: Work) -> bool:
    """Return whether a resource should carry other tags than it does."""
    return "Tags" in kind.properties and present.tags != work.tags


def _reason(type_: str, kind: Kind, problem: ApiError) -> str:
    """Return what the event says of a failure, in the form of CloudFormation's resource handlers."""
    if problem.code in ("PropertyValidation", "ValidationError") and "failed to satisfy" not in problem.message:
        return problem.message
    code = problem.query_code or problem.code
    handler = _HANDLER_CODES.get(problem.code) or _HANDLER_CODES.get(code)
    handler = handler or ("NotFound" if gone(problem) else "GeneralServiceException")
    text = problem.message
    if problem.code != "AlreadyExists":
        name = type_.split("::")[1]
        where = f"(Service: {_SERVICES.get(name, name.title())}, Status Code: {problem.status}"
        text = f"{kind.refusal if handler == 'InvalidRequest' else ''}{text} {where}, Request ID: {uuid.uuid4()})"
    token = uuid.uuid4()
    return f'Resource handler returned message: "{text}" (RequestToken: {token}, HandlerErrorCode: {handler})'
