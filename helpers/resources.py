"""Queues, roles, functions, tables, triggers in one call each, for what an earlier notebook has taught in plain boto3.

Each call makes the thing or finds it, and sets what it names: settings are AWS's own, written in snake case. It returns
when the thing can be used. What is not named stays as it is, or as AWS has it by default.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import json
import textwrap
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .card import Card
from .errors import LabError, is_missing
from .recorder_footer import recorded

if TYPE_CHECKING:
    from .lab import Lab

T = TypeVar("T")

PIPELINE_POLICIES = ("AWSLambdaBasicExecutionRole", "AWSLambdaSQSQueueExecutionRole")
"""The two managed policies that a function behind a queue needs (rows E4, E5)."""

_PATIENCE = 120
_NEW_ROLE = ("cannot be assumed by Lambda", "execution role does not have permissions to call")
_SPELT = {"kms_key_arn": "KMSKeyArn"}


class _Handle:
    """What the handles share: a card."""

    def _card(self) -> Card:
        raise NotImplementedError

    def __repr__(self) -> str:
        return str(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()


@dataclass(frozen=True, repr=False)
class Queue(_Handle):
    """A queue.

    Attributes
    ----------
    name, url, arn : str
        As AWS has them.
    dead_letters : Queue or None
        Where its redrive policy leads.
    new : bool
        Whether the call that returned it made it.
    """

    name: str
    url: str
    arn: str
    dead_letters: Queue | None = None
    new: bool = field(default=False, compare=False)
    lab: Lab | None = field(default=None, compare=False)

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO queue."""
        return self.name.endswith(".fifo")

    def _card(self) -> Card:
        rows = [("URL", self.url), ("ARN", self.arn)]
        if self.dead_letters:
            rows.append(("Dead letters", self.dead_letters.name))
        return Card(f"{'FIFO queue' if self.fifo else 'Queue'} {self.name}", rows)


@dataclass(frozen=True, repr=False)
class Role(_Handle):
    """An execution role: its name and ARN, and whether the call that returned it made it."""

    name: str
    arn: str
    new: bool = field(default=False, compare=False)

    def _card(self) -> Card:
        return Card(f"Role {self.name}", [("ARN", self.arn)])


@dataclass(frozen=True, repr=False)
class Function(_Handle):
    """A function.

    Attributes
    ----------
    name, arn : str
        As AWS has them.
    role : str
        The ARN of its execution role.
    log_group : str
        Where its log is.
    new : bool
        Whether the call that returned it made it.
    """

    name: str
    arn: str
    role: str
    log_group: str
    new: bool = field(default=False, compare=False)

    def _card(self) -> Card:
        return Card(f"Function {self.name}", [("ARN", self.arn), ("Role", self.role), ("Log", self.log_group)])


@dataclass(frozen=True, repr=False)
class Table(_Handle):
    """A table of DynamoDB: its name and ARN, and whether the call that returned it made it."""

    name: str
    arn: str
    new: bool = field(default=False, compare=False)

    def _card(self) -> Card:
        return Card(f"Table {self.name}", [("ARN", self.arn)])


@dataclass(frozen=True, repr=False)
class Trigger(_Handle):
    """An event source mapping.

    Attributes
    ----------
    uuid, arn : str
        As AWS has them.
    queue, function : str
        The ARNs of the two that it connects.
    state : str
        `Enabled` or `Disabled`.
    batch_size : int
        How many messages a run may get.
    new : bool
        Whether the call that returned it made it.
    """

    uuid: str
    arn: str
    queue: str
    function: str
    state: str
    batch_size: int
    new: bool = field(default=False, compare=False)

    def _card(self) -> Card:
        rows = [("Queue", self.queue), ("Function", self.function), ("State", self.state)]
        return Card(f"Trigger {self.uuid}", [*rows, ("Batch size", str(self.batch_size))])


def queue(
    lab: Lab,
    name: str,
    *,
    fifo: bool | None = None,
    visibility_timeout: int | None = None,
    message_retention_period: int | None = None,
    max_receive_count: int | None = None,
    dead_letters: Queue | None = None,
    **attributes: Any,
) -> Queue:
    """Make or find a queue.

    Parameters
    ----------
    lab : Lab
        Where.
    name : str
        With or without the prefix, and with or without `.fifo`.
    fifo : bool, optional
        Whether it is a FIFO queue; without it the name decides.
    visibility_timeout, message_retention_period : int, optional
        Seconds.
    max_receive_count : int, optional
        After how many receives a message goes to the dead-letter queue.
    dead_letters : Queue, optional
        That queue; without it one named after this one, made if need be.
    **attributes
        Any other attribute of `CreateQueue` in snake case, such as `delay_seconds=5`.

    Returns
    -------
    Queue
        With name, URL and ARN.

    Raises
    ------
    LabError
        When the name cannot be one, or a dead-letter queue is named without a count.
    """
    if name.endswith(".fifo"):
        if fifo is False:
            raise LabError(f"{name!r} is the name of a FIFO queue.", "", "Leave out .fifo, or fifo=False.")
        name, fifo = name.removesuffix(".fifo"), True
    end = ".fifo" if fifo else ""
    if dead_letters is not None and max_receive_count is None:
        raise LabError(
            "A dead-letter queue needs max_receive_count=: after how many receives a message goes there.",
            "AWS has no default for it.",
        )
    full = lab.name(name + end)
    wanted = {"visibility_timeout": visibility_timeout, "message_retention_period": message_retention_period}
    values = {_aws_name(key): _text(value) for key, value in {**wanted, **attributes}.items() if value is not None}
    target = None
    if max_receive_count is not None:
        target = dead_letters or queue(lab, f"{name}-dead-letters{end}")
        policy = {"deadLetterTargetArn": target.arn, "maxReceiveCount": max_receive_count}
        values["RedrivePolicy"] = json.dumps(policy)
    sqs = lab.client("sqs")
    url = _or_none(lambda: sqs.get_queue_url(QueueName=full)["QueueUrl"])
    new = url is None
    if url is None:
        kind = {"FifoQueue": "true"} if fifo else {}
        url = sqs.create_queue(QueueName=full, Attributes={**kind, **values})["QueueUrl"]
    elif values:
        sqs.set_queue_attributes(QueueUrl=url, Attributes=values)
    made = _queue(lab, full, url, new)
    return replace(made, dead_letters=target) if target else made


def role(
    lab: Lab,
    name: str,
    *,
    policies: Sequence[str] = PIPELINE_POLICIES,
    statements: Sequence[Mapping[str, Any]] = (),
    service: str | Sequence[str] = "lambda.amazonaws.com",
) -> Role:
    """Make or find an execution role.

    Parameters
    ----------
    lab : Lab
        Where.
    name : str
        With or without the prefix.
    policies : sequence of str
        Managed policies to attach: their names under `service-role/`, or ARNs.
    statements : sequence of mappings
        Statements of a policy of its own, beside them.
    service : str or sequence of str
        Who may wear it: a service, or the twelve digits of an account whose callers may; or several of them.

    Returns
    -------
    Role
        AWS may need some seconds until Lambda knows it; `function` and `trigger` wait for that.
    """
    iam, full = lab.client("iam"), lab.name(name)
    found = _or_none(lambda: iam.get_role(RoleName=full)["Role"])
    new = found is None
    if found is None:
        wearers = [service] if isinstance(service, str) else service
        kinds = {kind: [one for one in wearers if one.isdigit() is (kind == "AWS")] for kind in ("AWS", "Service")}
        principal = {kind: those[0] if len(those) == 1 else those for kind, those in kinds.items() if those}
        trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
        found = iam.create_role(RoleName=full, AssumeRolePolicyDocument=_document([trust]))["Role"]
    for policy in policies:
        arn = policy if policy.startswith("arn:") else f"arn:aws:iam::aws:policy/service-role/{policy}"
        iam.attach_role_policy(RoleName=full, PolicyArn=arn)
    if statements:
        iam.put_role_policy(RoleName=full, PolicyName="own", PolicyDocument=_document(statements))
    return Role(full, found["Arn"], new)


def function(
    lab: Lab,
    name: str,
    *,
    source: str | Mapping[str, str],
    role: Role | str | None = None,
    timeout: int | None = None,
    memory_size: int | None = None,
    environment: Mapping[str, str] | None = None,
    runtime: str = "python3.13",
    handler: str = "app.handler",
    libraries: Sequence[str] = (),
    **settings: Any,
) -> Function:
    """Make a function, or bring the one that is there to this code and these settings.

    Parameters
    ----------
    lab : Lab
        Where.
    name : str
        With or without the prefix.
    source : str or mapping
        The code of the module `app`; or the texts of several files by their names.
    role : Role or str, optional
        What it wears, or that role's ARN; without it a role of the function's name with `PIPELINE_POLICIES`.
    timeout : int, optional
        Seconds that a run may last; AWS's default is 3.
    memory_size : int, optional
        Megabytes.
    environment : mapping, optional
        Environment variables.
    runtime, handler : str
        As AWS has them.
    libraries : sequence of str, optional
        Packages or modules of this environment, in pure Python, that go into the zip file beside the code.
    **settings
        Any other setting of `CreateFunction` in snake case.

    Returns
    -------
    Function
        Active.

    Raises
    ------
    LabError
        When AWS cannot make it ready, or there is no such library in pure Python.
    """
    client, full = lab.client("lambda"), lab.name(name)
    package = _package(source, libraries)
    wanted: dict[str, Any] = {"timeout": timeout, "memory_size": memory_size, **settings}
    values = {_aws_name(key): value for key, value in wanted.items() if value is not None}
    values |= {"Runtime": runtime, "Handler": handler}
    if environment is not None:
        values["Environment"] = {"Variables": dict(environment)}
    found = _or_none(lambda: client.get_function_configuration(FunctionName=full))
    if role is not None or found is None:
        worn = role if role is not None else _own_role(lab, name)
        values["Role"] = worn.arn if isinstance(worn, Role) else worn
    new = found is None
    if found is None:
        _known(
            lab,
            lambda: client.create_function(FunctionName=full, Code={"ZipFile": package}, **values),
            "Lambda knows the role",
        )
    else:
        _ready(lab, full)
        # On a real account the same code is there with what the recorder adds to it.
        same = {_digest(package), _digest(recorded(package, handler, runtime))}
        if found["CodeSha256"] not in same:
            client.update_function_code(FunctionName=full, ZipFile=package)
            _ready(lab, full)
        if any(found.get(key) != value for key, value in values.items()):
            _known(
                lab, lambda: client.update_function_configuration(FunctionName=full, **values), "Lambda knows the role"
            )
    ready = _ready(lab, full)
    return Function(full, ready["FunctionArn"], ready["Role"], f"/aws/lambda/{full}", new)


def table(lab: Lab, name: str, *, key: str = "id", empty: bool = False) -> Table:
    """Make or find a table of DynamoDB whose items are found by one text.

    Parameters
    ----------
    lab : Lab
        Where.
    name : str
        With or without the prefix.
    key : str
        The attribute that holds that text.
    empty : bool
        Whether to remove what it holds.

    Returns
    -------
    Table
        Active.
    """
    client, full = lab.client("dynamodb"), lab.name(name)

    def look() -> dict[str, Any] | None:
        answer: dict[str, Any] = client.describe_table(TableName=full)["Table"]
        return answer if answer["TableStatus"] == "ACTIVE" else None

    new = _or_none(lambda: client.describe_table(TableName=full)) is None
    if new:
        client.create_table(
            TableName=full,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    ready = lab.wait_until(look, _PATIENCE, f"the table {full} is ready")
    assert ready is not None
    if empty:
        names = {"#key": key}
        # As many as one BatchWriteItem takes.
        pages = client.get_paginator("scan").paginate(
            TableName=full,
            ProjectionExpression="#key",
            ExpressionAttributeNames=names,
            PaginationConfig={"PageSize": 25},
        )
        for page in pages:
            left = {full: [{"DeleteRequest": {"Key": item}} for item in page["Items"]]}
            while left.get(full):
                left = client.batch_write_item(RequestItems=left).get("UnprocessedItems", {})
    return Table(full, ready["TableArn"], new)


def trigger(
    lab: Lab,
    *,
    queue: Queue | str,
    function: Function | str,
    batch_size: int | None = None,
    maximum_batching_window_in_seconds: int | None = None,
    function_response_types: Sequence[str] | None = None,
    maximum_concurrency: int | None = None,
    enabled: bool = True,
    **settings: Any,
) -> Trigger:
    """Connect a queue and a function, or bring the trigger between them to these settings.

    Parameters
    ----------
    lab : Lab
        Where.
    queue, function : Queue, Function or str
        What to connect; or their names.
    batch_size : int, optional
        How many messages a run may get; AWS's default is 10.
    maximum_batching_window_in_seconds : int, optional
        How long to gather them.
    function_response_types : sequence of str, optional
        `["ReportBatchItemFailures"]`, or none.
    maximum_concurrency : int, optional
        How many runs at once; from 2 up.
    enabled : bool
        Whether it polls.
    **settings
        Any other setting of `CreateEventSourceMapping` in snake case.

    Returns
    -------
    Trigger
        `Enabled`, or `Disabled` if that was asked for.
    """
    client = lab.client("lambda")
    source = queue if isinstance(queue, Queue) else _found_queue(lab, queue)
    target = function.name if isinstance(function, Function) else _function_name(lab, function)
    wanted: dict[str, Any] = {
        "batch_size": batch_size,
        "maximum_batching_window_in_seconds": maximum_batching_window_in_seconds,
        "function_response_types": None if function_response_types is None else list(function_response_types),
        "scaling_config": None if maximum_concurrency is None else {"MaximumConcurrency": maximum_concurrency},
        **settings,
    }
    values = {_aws_name(key): value for key, value in wanted.items() if value is not None}
    mappings = client.list_event_source_mappings(EventSourceArn=source.arn, FunctionName=target)["EventSourceMappings"]
    uuid = next((mapping["UUID"] for mapping in mappings if mapping["State"] != "Deleting"), None)
    new = uuid is None
    if uuid is None:
        made = _known(
            lab,
            lambda: client.create_event_source_mapping(
                EventSourceArn=source.arn, FunctionName=target, Enabled=enabled, **values
            ),
            "Lambda knows the rights of the role",
        )
        uuid = made["UUID"]
    else:
        there = _settled(lab, uuid)
        if (there["State"] == "Enabled") != enabled or any(
            (there.get(key) or None) != (value or None) for key, value in values.items()
        ):
            client.update_event_source_mapping(UUID=uuid, Enabled=enabled, **values)
    ready = _settled(lab, uuid)
    arns = ready["EventSourceArn"], ready["FunctionArn"]
    return Trigger(uuid, ready["EventSourceMappingArn"], *arns, ready["State"], ready["BatchSize"], new)


def _queue(lab: Lab, name: str, url: str, new: bool) -> Queue:
    sqs = lab.client("sqs")
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn", "RedrivePolicy"])["Attributes"]
    target = None
    if "RedrivePolicy" in answer:
        arn = json.loads(answer["RedrivePolicy"])["deadLetterTargetArn"]
        other = arn.rpartition(":")[2]
        address = _or_none(lambda: sqs.get_queue_url(QueueName=other)["QueueUrl"])
        target = Queue(other, address, arn, lab=lab) if address else None
    return Queue(name, url, answer["QueueArn"], target, new, lab)


def _found_queue(lab: Lab, queue: str) -> Queue:
    name = lab.name(queue.rpartition("/")[2].rpartition(":")[2])
    url = _or_none(lambda: lab.client("sqs").get_queue_url(QueueName=name)["QueueUrl"])
    if url is None:
        raise LabError(f"There is no queue {name}.", "", "Make it first: resources.queue(lab, …).")
    return _queue(lab, name, url, False)


def _function_name(lab: Lab, function: str) -> str:
    return function if function.startswith("arn:") else lab.name(function)


def _own_role(lab: Lab, name: str) -> Role:
    return role(lab, name)


def _digest(package: bytes) -> str:
    return base64.b64encode(hashlib.sha256(package).digest()).decode()


def _package(source: str | Mapping[str, str], libraries: Sequence[str] = ()) -> bytes:
    """Return a zip file that is the same for the same source."""
    own = {"app.py": source} if isinstance(source, str) else source
    files = {name: textwrap.dedent(text).encode() for name, text in own.items()}
    for library in libraries:
        files |= _files_of(library)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


@cache
def _files_of(library: str) -> dict[str, bytes]:
    """Return the files of an installed package or module, by their names in a zip file."""
    found = importlib.util.find_spec(library) if library.isidentifier() else None
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        raise LabError(f"There is no library {library!r} in pure Python in this environment.")
    origin = Path(found.origin)
    if found.submodule_search_locations is None:
        return {origin.name: origin.read_bytes()}
    paths = sorted(path for path in origin.parent.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    if any(path.suffix in (".so", ".pyd") for path in paths):
        raise LabError(f"The library {library!r} is not in pure Python.", "", "Build its zip file for Lambda's Linux.")
    return {path.relative_to(origin.parents[1]).as_posix(): path.read_bytes() for path in paths}


def _ready(lab: Lab, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        answer: dict[str, Any] = lab.client("lambda").get_function_configuration(FunctionName=name)
        pending = answer["State"] == "Pending" or answer.get("LastUpdateStatus") == "InProgress"
        return None if pending else answer

    answer = lab.wait_until(look, _PATIENCE, f"the function {name} is ready")
    assert answer is not None
    if "Failed" in (answer["State"], answer.get("LastUpdateStatus")):
        reason = answer.get("StateReason") or answer.get("LastUpdateStatusReason") or ""
        raise LabError(f"AWS could not make the function {name} ready.", reason)
    return answer


def _settled(lab: Lab, uuid: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        answer: dict[str, Any] = lab.client("lambda").get_event_source_mapping(UUID=uuid)
        return answer if answer["State"] in ("Enabled", "Disabled") else None

    answer = lab.wait_until(look, _PATIENCE, "the trigger is ready")
    assert answer is not None
    return answer


def _known(lab: Lab, call: Callable[[], T], why: str) -> T:
    """Repeat a call that AWS refuses for as long as it does not know a new role."""
    from botocore.exceptions import ClientError

    refusals: list[ClientError] = []

    def attempt() -> list[T]:
        try:
            return [call()]
        except ClientError as problem:
            if not any(text in problem.response["Error"].get("Message", "") for text in _NEW_ROLE):
                raise
            refusals.append(problem)
            return []

    try:
        return lab.wait_until(attempt, 60, why)[0]
    except LabError:
        raise (refusals[-1] if refusals else LabError(f"AWS did not answer until {why}.")) from None


def _or_none(call: Callable[[], T]) -> T | None:
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as problem:
        if not is_missing(problem):
            raise
        return None


def _document(statements: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _aws_name(setting: str) -> str:
    return _SPELT.get(setting) or "".join(part[:1].upper() + part[1:] for part in setting.split("_"))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, Mapping | list) else str(value)
