"""The operations of AWS CloudFormation."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from . import stack_drift
from .errors import ApiError
from .protocol import Call, Operation
from .stack import Request, Stack, moment
from .stack_plans import Change, changes_nothing, plan
from .stack_templates import Template, invalid
from .stacks import ChangeSet

_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
_PAGE = 100
_MOST_IN_A_DESCRIPTION = 100
_NOT_OFFERED = (
    "DeploymentMode",
    "NotificationARNs",
    "ResourcesToImport",
    "RollbackConfiguration",
    "StackPolicyBody",
    "StackPolicyDuringUpdateBody",
    "StackPolicyDuringUpdateURL",
    "StackPolicyURL",
)
_UPDATABLE = {
    "CREATE_COMPLETE",
    "IMPORT_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_FAILED",
    "UPDATE_ROLLBACK_COMPLETE",
}


# Making, changing, deleting


def create_stack(call: Call) -> dict[str, Any]:
    """Begin to make a stack."""
    params = call.params
    if params.get("DisableRollback") is not None and params.get("OnFailure"):
        raise invalid("You can specify either DisableRollback or OnFailure, but not both.")
    on_failure = params.get("OnFailure") or ("DO_NOTHING" if params.get("DisableRollback") else "ROLLBACK")
    stack = _new_stack(call, _request(call, None))
    plan(stack, stack.request)
    stack.protected = bool(params.get("EnableTerminationProtection"))
    call.space.stacks.all.append(stack)
    stack.begin("CREATE_IN_PROGRESS")
    stack.create(on_failure)
    return {"StackId": stack.id}


def update_stack(call: Call) -> dict[str, Any]:
    """Begin to change a stack."""
    stack = _stack(call)
    if stack.status not in _UPDATABLE and not (stack.status == "CREATE_FAILED"):
        raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
    request = _request(call, stack)
    _check_types_stay(stack, request)
    if changes_nothing(stack, request) and stack.status != "UPDATE_FAILED":
        raise invalid("No updates are to be performed.")
    stack.begin("UPDATE_IN_PROGRESS")
    stack.update(request, keep_changes=bool(call.params.get("DisableRollback")))
    return {"StackId": stack.id}


def delete_stack(call: Call) -> dict[str, Any]:
    """Begin to delete a stack; one that is not there is no error."""
    name = call.params["StackName"]
    stacks = call.space.stacks
    try:
        stack = stacks.find(name)
    except ApiError:
        return {}
    if stack.deleted is not None or stack.status == "DELETE_IN_PROGRESS":
        return {}
    if stack.protected:
        raise invalid(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
    for output in stack.outputs.values():
        user = stacks.user_of(output.get("ExportName"), stack)
        if user is not None:
            raise invalid(f"Export {output['ExportName']} cannot be deleted as it is in use by {user.name}")
    if call.params.get("RetainResources") and stack.status != "DELETE_FAILED":
        raise invalid(f"Invalid operation on stack [{stack.id}]. RetainResources is for stacks in DELETE_FAILED.")
    if stack.busy and not stack.status.startswith("CREATE"):
        raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be deleted.")
    stack.delete(tuple(call.params.get("RetainResources") or ()))
    return {}


def update_termination_protection(call: Call) -> dict[str, Any]:
    """Protect a stack from deletion, or not."""
    stack = _stack(call)
    stack.protected = bool(call.params["EnableTerminationProtection"])
    return {"StackId": stack.id}


# Reading


def describe_stacks(call: Call) -> dict[str, Any]:
    """Describe one stack, or all that are not deleted."""
    if call.params.get("StackName"):
        return {"Stacks": [_described(_stack(call))]}
    living = [stack for stack in reversed(call.space.stacks.all) if stack.deleted is None]
    return _page(call, "Stacks", [_described(stack) for stack in living], _MOST_IN_A_DESCRIPTION)


def list_stacks(call: Call) -> dict[str, Any]:
    """List stacks, the deleted ones too."""
    wanted = call.params.get("StackStatusFilter") or ()
    items = []
    for stack in reversed(call.space.stacks.all):
        if wanted and stack.status not in wanted:
            continue
        item: dict[str, Any] = {
            "StackId": stack.id,
            "StackName": stack.name,
            "CreationTime": moment(stack.created),
            "StackStatus": stack.status,
            "DriftInformation": _drift_of_stack(stack),
        }
        if stack.request.template.description:
            item["TemplateDescription"] = stack.request.template.description
        if stack.updated is not None:
            item["LastUpdatedTime"] = moment(stack.updated)
        if stack.deleted is not None:
            item["DeletionTime"] = moment(stack.deleted)
        if stack.reason:
            item["StackStatusReason"] = stack.reason
        items.append(item)
    return _page(call, "StackSummaries", items)


def describe_stack_events(call: Call) -> dict[str, Any]:
    """Return what has happened to a stack, the latest first."""
    return _page(call, "StackEvents", _stack(call).events[::-1])


def describe_stack_resources(call: Call) -> dict[str, Any]:
    """Describe a stack's resources, by the stack or by one resource's physical id."""
    params = call.params
    physical_id = params.get("PhysicalResourceId")
    if not params.get("StackName"):
        if not physical_id:
            raise invalid("Either stackName or physicalResourceId must be specified")
        for stack in call.space.stacks.all:
            if stack.deleted is None and any(one.physical_id == physical_id for one in stack.records.values()):
                return {"StackResources": _resources(stack)}
        raise invalid(f"Stack for {physical_id} does not exist")
    items = _resources(_stack(call))
    logical_id = params.get("LogicalResourceId")
    return {"StackResources": [one for one in items if logical_id in (None, one["LogicalResourceId"])]}


def describe_stack_resource(call: Call) -> dict[str, Any]:
    """Describe one resource."""
    stack = _stack(call)
    logical_id = call.params["LogicalResourceId"]
    for item in _resources(stack):
        if item["LogicalResourceId"] == logical_id:
            item["LastUpdatedTimestamp"] = item.pop("Timestamp")
            return {"StackResourceDetail": item}
    raise invalid(f"Resource {logical_id} does not exist for stack {stack.name}")


def list_stack_resources(call: Call) -> dict[str, Any]:
    """List a stack's resources."""
    items = []
    for item in _resources(_stack(call)):
        item["LastUpdatedTimestamp"] = item.pop("Timestamp")
        items.append({key: value for key, value in item.items() if key not in ("StackId", "StackName")})
    return _page(call, "StackResourceSummaries", items)


def get_template(call: Call) -> dict[str, Any]:
    """Return a stack's template as it was given."""
    if call.params.get("ChangeSetName"):
        text = _change_set(call).request.template.text
    else:
        text = _stack(call).request.template.text
    return {"TemplateBody": text, "StagesAvailable": ["Original", "Processed"]}


def validate_template(call: Call) -> dict[str, Any]:
    """Check a template's form."""
    template = _template(call, None)
    parameters = [
        {
            "ParameterKey": name,
            "NoEcho": str(one.get("NoEcho", False)).lower() == "true",
            **({"DefaultValue": str(one["Default"])} if "Default" in one else {}),
            **({"Description": str(one["Description"])} if "Description" in one else {}),
        }
        for name, one in template.parameters.items()
    ]
    return {"Parameters": parameters, "Description": template.description, **_needed(template)}


def get_template_summary(call: Call) -> dict[str, Any]:
    """Say what a template takes and holds."""
    stack = _stack(call) if call.params.get("StackName") else None
    template = stack.request.template if stack is not None else _template(call, None)
    parameters = [
        {
            "ParameterKey": name,
            "ParameterType": one.get("Type", "String"),
            "NoEcho": str(one.get("NoEcho", False)).lower() == "true",
            **({"DefaultValue": str(one["Default"])} if "Default" in one else {}),
        }
        for name, one in template.parameters.items()
    ]
    types = sorted({one["Type"] for one in template.resources.values()})
    return {
        "Parameters": parameters,
        "Description": template.description,
        "ResourceTypes": types,
        "Version": "2010-09-09",
        **_needed(template),
    }


def list_exports(call: Call) -> dict[str, Any]:
    """List what stacks export."""
    items = [
        {"ExportingStackId": stack.id, "Name": name, "Value": value}
        for name, (stack, value) in sorted(call.space.stacks.exports().items())
    ]
    return _page(call, "Exports", items)


def list_imports(call: Call) -> dict[str, Any]:
    """List the stacks that import an export."""
    name = call.params["ExportName"]
    users = [stack.name for stack in call.space.stacks.all if name in stack.imports]
    if not users:
        raise invalid(f"Export '{name}' is not imported by any stack.")
    return _page(call, "Imports", users)


# Change sets


def create_change_set(call: Call) -> dict[str, Any]:
    """Describe a change without doing it."""
    params, stacks = call.params, call.space.stacks
    name = params["ChangeSetName"]
    if not _NAME.fullmatch(name):
        raise _pattern(name, "changeSetName")
    kind = params.get("ChangeSetType") or "UPDATE"
    wanted = params["StackName"]
    present = stacks.named(wanted) or next((one for one in stacks.all if one.id == wanted), None)
    if kind == "CREATE":
        if present is not None and present.status != "REVIEW_IN_PROGRESS":
            raise ApiError(
                "AlreadyExistsException",
                f"Stack [{present.name}] already exists and cannot be created again with the changeSet [{name}].",
            )
        stack = present or _new_stack(call, _request(call, None))
        request = _request(call, None)
        stack.request = request
    elif kind == "UPDATE":
        if present is None:
            raise invalid(f"Stack [{params['StackName']}] does not exist")
        if present.busy or present.status not in _UPDATABLE:
            raise invalid(f"Stack:{present.id} is in {present.status} state and can not be updated.")
        stack, request = present, _request(call, present)
        _check_types_stay(stack, request)
    else:
        raise invalid("The local AWS offers change sets of the types CREATE and UPDATE.")
    if any(one.name == name and one.stack is stack for one in stacks.change_sets.values()):
        raise ApiError(
            "AlreadyExistsException",
            f"ChangeSet {name} cannot be created due to a mismatch with existing attribute Name",
        )
    changes = plan(stack, request)
    if kind == "CREATE" and present is None:
        stacks.all.append(stack)
        stack.begin("REVIEW_IN_PROGRESS")
    arn = call.space.arn("cloudformation", f"changeSet/{name}/{uuid.uuid4()}")
    description = params.get("Description", "")
    made = ChangeSet(arn, name, stack, request, kind, changes, description, call.space.clock.now())
    made.on_failure = params.get("OnStackFailure") or "ROLLBACK"
    if kind == "UPDATE" and not changes and changes_nothing(stack, request):
        made.status, made.execution = "FAILED", "UNAVAILABLE"
        made.reason = (
            "The submitted information didn't contain changes. Submit different information to create a change set."
        )
    stacks.change_sets[arn] = made
    return {"Id": arn, "StackId": stack.id}


def describe_change_set(call: Call) -> dict[str, Any]:
    """Return what a change set would do."""
    made = _change_set(call)
    answer: dict[str, Any] = {
        "ChangeSetName": made.name,
        "ChangeSetId": made.id,
        "StackId": made.stack.id,
        "StackName": made.stack.name,
        "Parameters": _parameters(made.request),
        "CreationTime": moment(made.created),
        "ExecutionStatus": made.execution,
        "Status": made.status,
        "Capabilities": list(made.request.capabilities),
        "Tags": [{"Key": key, "Value": value} for key, value in made.request.tags.items()],
        "Changes": [_change(one) for one in made.changes],
    }
    if made.description:
        answer["Description"] = made.description
    if made.reason:
        answer["StatusReason"] = made.reason
    return answer


def execute_change_set(call: Call) -> dict[str, Any]:
    """Do what a change set describes."""
    made = _change_set(call)
    stack = made.stack
    if made.execution != "AVAILABLE":
        text = f"ChangeSet [{made.id}] cannot be executed in its current status of [{made.status}]"
        raise ApiError("InvalidChangeSetStatus", text)
    if stack.busy:
        raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
    made.execution = "EXECUTE_COMPLETE"
    stacks = call.space.stacks
    stacks.change_sets = {key: one for key, one in stacks.change_sets.items() if one.stack is not stack or one is made}
    if made.kind == "CREATE":
        stack.request = made.request
        stack.begin("CREATE_IN_PROGRESS")
        stack.create("DO_NOTHING" if call.params.get("DisableRollback") else made.on_failure)
    else:
        stack.begin("UPDATE_IN_PROGRESS")
        stack.update(made.request, keep_changes=bool(call.params.get("DisableRollback")))
    return {}


def delete_change_set(call: Call) -> dict[str, Any]:
    """Forget a change set."""
    try:
        made = _change_set(call)
    except ApiError as problem:
        if problem.code == "ChangeSetNotFound" and call.params["ChangeSetName"].startswith("arn:"):
            return {}
        raise
    del call.space.stacks.change_sets[made.id]
    return {}


def list_change_sets(call: Call) -> dict[str, Any]:
    """List a stack's change sets."""
    stack = _stack(call)
    items = [
        {
            "StackId": stack.id,
            "StackName": stack.name,
            "ChangeSetId": one.id,
            "ChangeSetName": one.name,
            "ExecutionStatus": one.execution,
            "Status": one.status,
            "CreationTime": moment(one.created),
        }
        for one in call.space.stacks.change_sets.values()
        if one.stack is stack
    ]
    return _page(call, "Summaries", items)


# Drift


def detect_stack_drift(call: Call) -> dict[str, Any]:
    """Begin to compare a stack's resources with what its template says."""
    made = stack_drift.detect(_stack(call), call.identity, call.params.get("LogicalResourceIds") or ())
    call.space.stacks.detections[made.id] = made
    return {"StackDriftDetectionId": made.id}


def describe_stack_drift_detection_status(call: Call) -> dict[str, Any]:
    """Say how far a detection is, and what it has found."""
    identifier = call.params["StackDriftDetectionId"]
    made = call.space.stacks.detections.get(identifier)
    if made is None:
        raise invalid(f"Drift detection with id {identifier} does not exist")
    answer: dict[str, Any] = {
        "StackId": made.stack.id,
        "StackDriftDetectionId": made.id,
        "DetectionStatus": made.status,
        "Timestamp": moment(made.began),
    }
    if made.reason:
        answer["DetectionStatusReason"] = made.reason
    if made.drifted is not None:
        answer["DriftedStackResourceCount"] = made.drifted
        answer["StackDriftStatus"] = made.stack.drift.status(made.stack)
    return answer


def detect_stack_resource_drift(call: Call) -> dict[str, Any]:
    """Compare one resource with what the template says."""
    stack = _stack(call)
    found = stack_drift.look(stack, call.identity, call.params["LogicalResourceId"])
    return {"StackResourceDrift": _drift(stack, found)}


def describe_stack_resource_drifts(call: Call) -> dict[str, Any]:
    """Return what was found at every resource that was looked at."""
    stack = _stack(call)
    wanted = call.params.get("StackResourceDriftStatusFilters") or ()
    found = [drift for name in sorted(stack.records) if (drift := stack.drift.of(stack.records[name])) is not None]
    items = [_drift(stack, one) for one in found if not wanted or one.status in wanted]
    return _page(call, "StackResourceDrifts", items, int(call.params.get("MaxResults") or _PAGE))


def _drift(stack: Stack, one: stack_drift.Drift) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "StackId": stack.id,
        "LogicalResourceId": one.logical_id,
        "PhysicalResourceId": one.physical_id,
        "ResourceType": one.type,
        "StackResourceDriftStatus": one.status,
        "Timestamp": moment(one.moment),
    }
    if one.reason:
        shown["DriftStatusReason"] = one.reason
    if one.status in ("IN_SYNC", "MODIFIED"):
        for name, values in (("ExpectedProperties", one.expected), ("ActualProperties", one.actual)):
            shown[name] = json.dumps(values, separators=(",", ":"), default=str)
        shown["PropertyDifferences"] = [
            {
                "PropertyPath": difference.path,
                "ExpectedValue": stack_drift.shown(difference.expected),
                "ActualValue": stack_drift.shown(difference.actual),
                "DifferenceType": difference.kind,
            }
            for difference in one.differences
        ]
    return shown


def _drift_of_stack(stack: Stack) -> dict[str, Any]:
    shown: dict[str, Any] = {"StackDriftStatus": stack.drift.status(stack)}
    if stack.drift.checked is not None:
        shown["LastCheckTimestamp"] = moment(stack.drift.checked)
    return shown


def _drift_of_resource(stack: Stack, name: str) -> dict[str, Any]:
    found = stack.drift.of(stack.records[name]) if name in stack.records else None
    if found is None:
        return {"StackResourceDriftStatus": "NOT_CHECKED"}
    return {"StackResourceDriftStatus": found.status, "LastCheckTimestamp": moment(found.moment)}


# What they share


def _stack(call: Call) -> Stack:
    name = call.params.get("StackName")
    if name is None:
        # Not required in the model, where it may stand in for another name.
        raise invalid(
            "1 validation error detected: Value null at 'stackName' failed to satisfy constraint: "
            "Member must not be null"
        )
    return call.space.stacks.find(name)


def _new_stack(call: Call, request: Request) -> Stack:
    name = call.params["StackName"]
    if not _NAME.fullmatch(name):
        raise _pattern(name, "stackName")
    if call.space.stacks.named(name) is not None:
        raise ApiError("AlreadyExistsException", f"Stack [{name}] already exists")
    return Stack(call.space.stacks, name, request)


def _template(call: Call, stack: Stack | None) -> Template:
    params = call.params
    if params.get("UsePreviousTemplate"):
        if stack is None:
            raise invalid("UsePreviousTemplate is for stacks that exist.")
        return stack.request.template
    if params.get("TemplateURL"):
        raise invalid("The local AWS takes a template as TemplateBody, not from S3.")
    if not params.get("TemplateBody"):
        raise invalid("Either Template URL or Template Body must be specified.")
    template = Template(params["TemplateBody"])
    call.space.stacks.check_types(template)
    return template


def _request(call: Call, stack: Stack | None) -> Request:
    params = call.params
    for name in _NOT_OFFERED:
        if params.get(name):
            raise invalid(f"The local AWS offers no {name} for stacks.")
    template = _template(call, stack)
    given: dict[str, str] = {}
    for one in params.get("Parameters") or []:
        key = one["ParameterKey"]
        if one.get("UsePreviousValue"):
            if stack is None or key not in stack.request.template.parameters:
                raise invalid(
                    f"Invalid input for parameter key {key}. Cannot specify usePreviousValue as true for a "
                    "parameter key not in the previous template"
                )
            if key in stack.request.given:
                given[key] = stack.request.given[key]
        else:
            given[key] = str(one.get("ParameterValue", ""))
    template.values(given)
    capabilities = tuple(params.get("Capabilities") or ())
    if not params.get("UsePreviousTemplate"):
        needed = template.capabilities()
        enough = {"CAPABILITY_IAM": {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"}}
        for capability in needed:
            if not enough.get(capability, {capability}) & set(capabilities):
                raise ApiError("InsufficientCapabilitiesException", f"Requires capabilities : [{capability}]")
    if params.get("Tags") is None and stack is not None:
        tags = stack.request.tags
    else:
        tags = {one["Key"]: one["Value"] for one in params.get("Tags") or []}
    role_arn = params.get("RoleARN") or (stack.request.role_arn if stack is not None else None)
    if role_arn is not None:
        call.space.permissions.check(call.identity, "iam:PassRole", role_arn)
        if not call.space.permissions.role_trusts(role_arn, "cloudformation.amazonaws.com"):
            raise invalid(f"Role {role_arn} is invalid or cannot be assumed")
    return Request(template, given, tags, call.identity, capabilities, role_arn, params.get("ClientRequestToken"))


def _check_types_stay(stack: Stack, request: Request) -> None:
    changed = [
        name
        for name, definition in request.template.resources.items()
        if name in stack.records and stack.records[name].type != definition["Type"]
    ]
    if changed:
        raise invalid(
            "Update of resource type is not permitted. The new template modifies resource type of the following "
            f"resources: [{', '.join(changed)}]"
        )


def _described(stack: Stack) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "StackId": stack.id,
        "StackName": stack.name,
        "CreationTime": moment(stack.created),
        "RollbackConfiguration": {},
        "StackStatus": stack.status,
        "DisableRollback": stack.on_failure == "DO_NOTHING",
        "NotificationARNs": [],
        "Capabilities": list(stack.request.capabilities),
        "Parameters": _parameters(stack.request),
        "Outputs": list(stack.outputs.values()),
        "Tags": [{"Key": key, "Value": value} for key, value in stack.request.tags.items()],
        "EnableTerminationProtection": stack.protected,
        "DriftInformation": _drift_of_stack(stack),
    }
    if stack.request.template.description:
        answer["Description"] = stack.request.template.description
    if stack.request.role_arn:
        answer["RoleARN"] = stack.request.role_arn
    if stack.updated is not None:
        answer["LastUpdatedTime"] = moment(stack.updated)
    if stack.deleted is not None:
        answer["DeletionTime"] = moment(stack.deleted)
    if stack.reason:
        answer["StackStatusReason"] = stack.reason
    return answer


def _parameters(request: Request) -> list[dict[str, Any]]:
    shown = []
    for name, value in request.template.values(request.given).items():
        secret = str(request.template.parameters[name].get("NoEcho", False)).lower() == "true"
        text = "****" if secret else ",".join(map(str, value)) if isinstance(value, list) else str(value)
        shown.append({"ParameterKey": name, "ParameterValue": text})
    return shown


def _resources(stack: Stack) -> list[dict[str, Any]]:
    items = []
    for name in sorted(stack.shown):
        one = stack.shown[name]
        if stack.status.startswith("UPDATE") and one.status in ("DELETE_COMPLETE", "DELETE_SKIPPED"):
            continue
        item: dict[str, Any] = {
            "StackName": stack.name,
            "StackId": stack.id,
            "LogicalResourceId": name,
            "PhysicalResourceId": one.physical_id,
            "ResourceType": one.type,
            "Timestamp": moment(one.moment),
            "ResourceStatus": one.status,
            "DriftInformation": _drift_of_resource(stack, name),
        }
        if one.reason:
            item["ResourceStatusReason"] = one.reason
        items.append(item)
    return items


def _change(one: Change) -> dict[str, Any]:
    change: dict[str, Any] = {
        "Action": one.action,
        "LogicalResourceId": one.logical_id,
        "ResourceType": one.type,
        "Scope": [],
        "Details": [],
    }
    if one.physical_id:
        change["PhysicalResourceId"] = one.physical_id
    if one.action == "Modify":
        change["Replacement"] = one.replacement
        change["Scope"] = ["Tags" if one.names == ("Tags",) else "Properties"]
        recreation = {"True": "Always", "Conditional": "Conditionally"}.get(one.replacement, "Never")
        change["Details"] = [
            {
                "Target": {"Attribute": "Properties", "Name": name, "RequiresRecreation": recreation},
                "Evaluation": "Static",
                "ChangeSource": "DirectModification",
            }
            for name in one.names
        ]
    return {"Type": "Resource", "ResourceChange": change}


def _change_set(call: Call) -> ChangeSet:
    name, stack = call.params["ChangeSetName"], call.params.get("StackName")
    stacks = call.space.stacks
    sets = stacks.change_sets
    if name in sets:
        return sets[name]
    # A stack that is gone keeps its change sets here, and another may have its name by now.
    present = stacks.named(stack) if stack else None
    for one in sets.values():
        if one.name == name and (one.stack is present or one.stack.id == stack):
            return one
    if stack:
        call.space.stacks.find(stack)
    raise ApiError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)


def _needed(template: Template) -> dict[str, Any]:
    needed = template.capabilities()
    if not needed:
        return {"Capabilities": []}
    holders = [one["Type"] for one in template.resources.values() if one["Type"].startswith("AWS::IAM::")]
    text = f"The following resource(s) require capabilities: [{', '.join(dict.fromkeys(holders))}]"
    return {"Capabilities": needed, "CapabilitiesReason": text}


def _page(call: Call, member: str, items: list[Any], most: int = _PAGE) -> dict[str, Any]:
    token = str(call.params.get("NextToken") or "0")
    if not token.isdigit():
        raise invalid("Invalid NextToken.")
    start = int(token)
    answer: dict[str, Any] = {member: items[start : start + most]}
    if start + most < len(items):
        answer["NextToken"] = str(start + most)
    return answer


def _pattern(value: str, name: str) -> ApiError:
    return invalid(
        f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
    )


def _arn(call: Call) -> str:
    name = str(call.params.get("StackName") or "")
    if not name or name.startswith("arn:"):
        return name or "*"
    stack = call.space.stacks.named(name)
    return stack.id if stack is not None else call.space.arn("cloudformation", f"stack/{name}/*")


def _operation(run: Any, resource: bool = True) -> Operation:
    name = "".join(part.title() for part in run.__name__.split("_"))
    return Operation(run, f"cloudformation:{name}", _arn if resource else None)


OPERATIONS: dict[str, Operation] = {
    "CreateChangeSet": _operation(create_change_set),
    "CreateStack": _operation(create_stack),
    "DeleteChangeSet": _operation(delete_change_set),
    "DeleteStack": _operation(delete_stack),
    "DescribeChangeSet": _operation(describe_change_set),
    "DescribeStackDriftDetectionStatus": _operation(describe_stack_drift_detection_status, resource=False),
    "DescribeStackEvents": _operation(describe_stack_events),
    "DescribeStackResource": _operation(describe_stack_resource),
    "DescribeStackResourceDrifts": _operation(describe_stack_resource_drifts),
    "DescribeStackResources": _operation(describe_stack_resources),
    "DescribeStacks": _operation(describe_stacks),
    "DetectStackDrift": _operation(detect_stack_drift),
    "DetectStackResourceDrift": _operation(detect_stack_resource_drift),
    "ExecuteChangeSet": _operation(execute_change_set),
    "GetTemplate": _operation(get_template),
    "GetTemplateSummary": _operation(get_template_summary),
    "ListChangeSets": _operation(list_change_sets),
    "ListExports": _operation(list_exports, resource=False),
    "ListImports": _operation(list_imports, resource=False),
    "ListStackResources": _operation(list_stack_resources),
    "ListStacks": _operation(list_stacks, resource=False),
    "UpdateStack": _operation(update_stack),
    "UpdateTerminationProtection": _operation(update_termination_protection),
    "ValidateTemplate": _operation(validate_template, resource=False),
}
