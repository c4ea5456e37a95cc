"""CloudFormation stacks in one call each, for what notebook 14 has taught in plain boto3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    import pandas

    from .lab import Lab

_PATIENCE = 900
_COLUMNS = ("time", "resource", "status", "reason")


def deploy(lab: Lab, name: str, template: str, **parameters: Any) -> str:
    """Bring a stack to a template and to parameters, and wait: made if need be, updated if it is there.

    A parameter that is not named gets the template's default. Where nothing differs, AWS's answer is printed.

    Parameters
    ----------
    lab : Lab
        Where.
    name : str
        With or without the prefix.
    template : str
        JSON or YAML.
    **parameters
        By their names in the template.

    Returns
    -------
    str
        The state in which the stack ends, such as `UPDATE_COMPLETE` or `UPDATE_ROLLBACK_COMPLETE`.
    """
    from botocore.exceptions import ClientError

    client, stack = lab.client("cloudformation"), lab.name(name)
    given = [{"ParameterKey": key, "ParameterValue": _text(value)} for key, value in parameters.items()]
    request = {"StackName": stack, "TemplateBody": template, "Parameters": given, "Capabilities": ["CAPABILITY_IAM"]}
    try:
        client.update_stack(**request)
    except ClientError as refusal:
        text = refusal.response["Error"]["Message"]
        if "does not exist" in text:
            client.create_stack(**request)
        elif "No updates" in text:
            print(text)
        else:
            raise

    def state() -> str:
        status = str(client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])
        return "" if status.endswith("_IN_PROGRESS") else status

    return lab.wait_until(state, timeout=_PATIENCE, why=f"{stack} is as it shall be")


def outputs(lab: Lab, name: str) -> dict[str, str]:
    """Return a stack's outputs by their names."""
    stack = lab.client("cloudformation").describe_stacks(StackName=lab.name(name))["Stacks"][0]
    return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}


def events(lab: Lab, stack: str, *, since: datetime | None = None) -> pandas.DataFrame:
    """Return what has happened to a stack, oldest first.

    Parameters
    ----------
    lab : Lab
        Where.
    stack : str
        Its name, or its id, which also finds a stack that is deleted.
    since : datetime, optional
        Only what happened from then on.

    Returns
    -------
    pandas.DataFrame
        Columns time (UTC), resource (logical ids), status, and reason: of a failure, what the service said.
    """
    import pandas

    which = stack if stack.startswith("arn:") else lab.name(stack)
    pages = lab.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=which)
    found = [one for page in pages for one in page["StackEvents"] if since is None or one["Timestamp"] >= since]
    rows = [(one["Timestamp"], one["LogicalResourceId"], one["ResourceStatus"], _said(one)) for one in reversed(found)]
    table = pandas.DataFrame(rows, columns=_COLUMNS)
    table["time"] = pandas.to_datetime(table["time"], utc=True).dt.tz_localize(None)
    return table


def _said(event: dict[str, Any]) -> str:
    """Return the service's own words in a failure's reason, without what CloudFormation puts around them."""
    if not event["ResourceStatus"].endswith("_FAILED"):
        return ""
    text = str(event.get("ResourceStatusReason", ""))
    _, quoted, rest = text.partition('message: "')
    return rest.partition(" (Service")[0].removeprefix("Invalid request provided: ") if quoted else text


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
