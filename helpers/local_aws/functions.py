"""Functions: configuration and states, versions and aliases, concurrency, invocation."""

from __future__ import annotations

import hashlib
import json
import random
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import recursion
from .environments import Environments
from .errors import ApiError
from .function_code import Code, unpack
from .invocations import Invocation, Recipe, Result

if TYPE_CHECKING:
    from .space import Space

ACCOUNT_CONCURRENCY = 1000
"""Concurrent executions in the account (row D39)."""
LEAST_UNRESERVED = 100
"""Concurrent executions that no function can reserve (row D40)."""
CREATION_TIME = 0.5
"""Seconds for which a new function is Pending."""
UPDATE_TIME = 0.3
"""Seconds for which an update is InProgress."""
LATEST = "$LATEST"

_NAME = re.compile(
    r"^(arn:(?:aws[a-zA-Z-]*)?:lambda:)?(?:([a-z]{2}(?:-gov)?-[a-z]+-\d):)?(?:(\d{12}):)?(?:function:)?"
    r"([a-zA-Z0-9-_]+)(?::(\$LATEST|[a-zA-Z0-9-_]+))?$"
)
_NAME_PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)


class Throttled(ApiError):  # noqa: N818 - a state, not a mistake
    """No concurrency is left for an invocation (row D32).

    Parameters
    ----------
    reason : str
        `ReservedFunctionConcurrentInvocationLimitExceeded` or `ConcurrentInvocationLimitExceeded`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("TooManyRequestsException", "Rate Exceeded.", 429, Type="User", Reason=reason)


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended.

    Attributes
    ----------
    payload : bytes
        The handler's answer, or the error's JSON.
    error : str or None
        `Unhandled` when the function failed (row D19).
    log_tail : bytes
        The last 4 KB of the invocation's log.
    request_id : str
        The id that the handler's context and the log show.
    version : str
        The version that ran.
    """

    payload: bytes
    error: str | None
    log_tail: bytes
    request_id: str
    version: str
    environment: str = ""


@dataclass(frozen=True)
class Configuration:
    """What CreateFunction and UpdateFunctionConfiguration set; the names are the API's.

    Attributes
    ----------
    timeout, memory : int
        Seconds and megabytes.
    variables : dict
        Environment variables.
    log_format, log_group, application_level, system_level : str
        LoggingConfig; the levels matter in the JSON format only.
    dead_letter : str or None
        TargetArn of DeadLetterConfig.
    """

    runtime: str
    role: str
    handler: str
    description: str = ""
    timeout: int = 3
    memory: int = 128
    variables: dict[str, str] = field(default_factory=dict)
    log_format: str = "Text"
    log_group: str = ""
    application_level: str = "INFO"
    system_level: str = "INFO"
    dead_letter: str | None = None
    tracing: str = "PassThrough"
    storage: int = 512
    architectures: tuple[str, ...] = ("x86_64",)

    @property
    def runtime_arn(self) -> str:
        """The part of RuntimeVersionArn that names the runtime's version."""
        return hashlib.sha256(self.runtime.encode()).hexdigest()


class Version:
    """One version of a function: the live `$LATEST` or a published number."""

    def __init__(
        self, function: Function, number: str, configuration: Configuration, code: Code, description: str | None = None
    ) -> None:
        self.function = function
        self.number = number
        self.configuration = configuration
        self.code = code
        if description is not None:
            self.configuration = replace(configuration, description=description)
        self.state = "Active"
        self.update_status: str | None = "Successful"
        self.revision = str(uuid.uuid4())
        self.modified = function.space.clock.now()
        self.recipe = self._make_recipe()

    @property
    def arn(self) -> str:
        """The qualified ARN."""
        return f"{self.function.arn}:{self.number}"

    def change(self, **changes: Any) -> None:
        """Take on a new state, with a new RevisionId."""
        for name, value in changes.items():
            setattr(self, name, value)
        self.revision = str(uuid.uuid4())

    def renew(self) -> None:
        """Run what comes next by the present code and configuration, in new environments."""
        old, self.recipe = self.recipe, self._make_recipe()
        self.function.owner.environments.retire(old)

    def describe(self, *, qualified: bool | None = None) -> dict[str, Any]:
        """Return the members of FunctionConfiguration (rows D1, D2 and D4).

        Parameters
        ----------
        qualified : bool, optional
            Whether FunctionArn ends in the version; by default it does for a published version.
        """
        config, space = self.configuration, self.function.space
        if qualified is None:
            qualified = self.number != LATEST
        logging: dict[str, Any] = {"LogFormat": config.log_format, "LogGroup": config.log_group}
        if config.log_format == "JSON":
            logging |= {"ApplicationLogLevel": config.application_level, "SystemLogLevel": config.system_level}
        answer: dict[str, Any] = {
            "FunctionName": self.function.name,
            "FunctionArn": self.arn if qualified else self.function.arn,
            "Runtime": config.runtime,
            "Role": config.role,
            "Handler": config.handler,
            "CodeSize": self.code.size,
            "Description": config.description,
            "Timeout": config.timeout,
            "MemorySize": config.memory,
            "LastModified": datetime.fromtimestamp(self.modified, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
            + f"{int(self.modified * 1000) % 1000:03d}+0000",
            "CodeSha256": self.code.sha256,
            "Version": self.number,
            "TracingConfig": {"Mode": config.tracing},
            "RevisionId": self.revision,
            "State": self.state,
            "PackageType": "Zip",
            "Architectures": list(config.architectures),
            "EphemeralStorage": {"Size": config.storage},
            "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
            "RuntimeVersionConfig": {
                "RuntimeVersionArn": f"arn:aws:lambda:{space.region}::runtime:{config.runtime_arn}",
            },
            "LoggingConfig": logging,
        }
        if config.variables:
            answer["Environment"] = {"Variables": dict(config.variables)}
        if config.dead_letter:
            answer["DeadLetterConfig"] = {"TargetArn": config.dead_letter}
        creating = {"StateReason": "The function is being created.", "StateReasonCode": "Creating"}
        if self.state == "Pending":
            answer |= creating
        if self.update_status is not None:
            answer["LastUpdateStatus"] = self.update_status
        if self.update_status == "InProgress":
            answer |= {f"LastUpdate{name.replace('State', 'Status')}": text for name, text in creating.items()}
        return answer

    def _make_recipe(self) -> Recipe:
        config, function = self.configuration, self.function
        return Recipe(
            function=function.name,
            version=self.number,
            runtime=config.runtime,
            runtime_arn=f"arn:aws:lambda:{function.space.region}::runtime:{config.runtime_arn}",
            handler=config.handler,
            role=config.role,
            memory=config.memory,
            timeout=config.timeout,
            variables=config.variables,
            log_group=config.log_group,
            json_level=config.application_level if config.log_format == "JSON" else None,
            system_level=config.system_level,
            code=self.code.folder,
        )


@dataclass
class Alias:
    """A name for a version; `weights` sends shares of the invocations to other versions."""

    name: str
    version: str
    description: str = ""
    weights: dict[str, float] = field(default_factory=dict)
    revision: str = field(default_factory=lambda: str(uuid.uuid4()))


class Function:
    """A function: its versions, aliases, reserved concurrency and tags."""

    def __init__(self, owner: Functions, name: str, configuration: Configuration, code: Code) -> None:
        self.owner = owner
        self.space = owner.space
        self.name = name
        self.arn = self.space.arn("lambda", f"function:{name}")
        self.latest = Version(self, LATEST, configuration, code)
        self.versions: dict[str, Version] = {}
        self.aliases: dict[str, Alias] = {}
        self.reserved: int | None = None
        self.tags: dict[str, str] = {}
        self.event_configs: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, list[dict[str, Any]]] = {}
        self.recursive_loop = recursion.TERMINATE
        self.running = 0
        self._published = 0

    def publish(self, description: str | None) -> Version:
        """Publish `$LATEST`; unchanged since the last time, that version is returned again."""
        latest = self.latest
        last = self.versions.get(str(self._published))
        if last is not None and last.code == latest.code:
            same = replace(last.configuration, description="") == replace(latest.configuration, description="")
            if same:
                return last
        self._published += 1
        number = str(self._published)
        version = self.versions[number] = Version(self, number, latest.configuration, latest.code, description)
        if latest.state == "Pending":
            version.state, version.update_status = "Pending", None
        return version

    def policy(self, qualifier: str | None) -> dict[str, Any] | None:
        """Return the resource-based policy of the function, or of a version or alias of it; None without one."""
        statements = self.policies.get(qualifier or LATEST)
        return {"Version": "2012-10-17", "Id": "default", "Statement": statements} if statements else None

    def all_versions(self) -> list[Version]:
        """Return `$LATEST` and the published versions, in order."""
        return [self.latest, *self.versions.values()]


@dataclass(frozen=True)
class FunctionVersion:
    """A version as it was addressed: by the function's name alone, a number or an alias.

    Attributes
    ----------
    record : Version
        The version that runs.
    qualifier : str or None
        What the caller has asked for.
    """

    record: Version
    qualifier: str | None = None

    @property
    def function(self) -> Function:
        """The function."""
        return self.record.function

    @property
    def name(self) -> str:
        """The function's name."""
        return self.record.function.name

    @property
    def version(self) -> str:
        """`$LATEST` or the published number."""
        return self.record.number

    @property
    def arn(self) -> str:
        """The ARN as it was addressed, with the qualifier if there was one."""
        return self.function.arn if self.qualifier is None else f"{self.function.arn}:{self.qualifier}"

    @property
    def role(self) -> str:
        """The execution role's ARN."""
        return self.record.configuration.role

    @property
    def timeout(self) -> int:
        """The function's timeout in seconds."""
        return self.record.configuration.timeout

    def check_invocable(self) -> None:
        """Raise the refusal of an invocation while the function is not Active (row D3)."""
        if self.record.state == "Pending":
            raise _conflict(
                "The operation cannot be performed at this time. "
                "The function is currently in the following state: Pending"
            )

    def invoke(
        self,
        payload: bytes,
        done: Callable[[Outcome], None],
        *,
        source: str,
        client_context: str | None = None,
        request_id: str | None = None,
        traces: Iterable[str | None] = (),
    ) -> str:
        """Begin an invocation; under the scheduler's lock.

        Parameters
        ----------
        payload : bytes
            The event, as JSON.
        done : callable
            Called exactly once, under the lock, with the `Outcome`.
        source : str
            Who invokes, for diagnosis.
        client_context : str, optional
            JSON for `context.client_context`.
        request_id : str, optional
            An asynchronous retry keeps its id (row D38).
        traces : iterable of str or None
            The trace headers of what is in the event.

        Returns
        -------
        str
            The request id.

        Raises
        ------
        Throttled
            When no concurrency is left.
        RecursiveInvocation
            When it would go on with a loop (row C110).
        ApiError
            While the function is Pending.
        """
        self.check_invocable()
        functions = self.function.owner
        passes = functions.count_passes(self, traces)
        # Of a batch the pollers tell, message by message.
        tell = None if source == "event source mapping" else functions.space.events.publish
        try:
            functions.take_concurrency(self)
        except Throttled:
            if tell is not None:
                tell("throttled", request=request_id, function=self.name)
            raise
        started = functions.space.clock.now()
        request_id = request_id or str(uuid.uuid4())
        if tell is not None:
            tell("invoked", request=request_id, function=self.name, at=started)
        running, everywhere, unreserved = self.function.running, functions.running, functions.unreserved_running

        def finish(result: Result) -> None:
            functions.give_back(self.function)
            functions.count(self, started, result, running, everywhere, unreserved)
            error = "Unhandled" if result.failed else None
            outcome = Outcome(result.payload, error, result.log_tail, request_id, self.version, result.environment)
            if tell is not None:
                tell(
                    "failed" if error else "succeeded",
                    request=request_id,
                    environment=result.environment,
                    function=self.name,
                    outcome=error_type(outcome) if error else None,
                )
            try:
                done(outcome)
            finally:
                functions.space.scheduler.release()

        functions.space.scheduler.hold()
        invocation = Invocation(request_id, self.arn, payload, finish, client_context, passes)
        functions.environments.invoke(self.record.recipe, invocation)
        return request_id


class Functions:
    """All functions of a space.

    Parameters
    ----------
    space : Space
        The space.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.running = 0
        """Invocations that run now, in the whole account."""
        self._functions: dict[str, Function] = {}
        self._environments: Environments | None = None
        self._code: Path = space.workdir / "code"

    def __len__(self) -> int:
        return len(self._functions)

    def __iter__(self) -> Iterator[Function]:
        return iter(self._functions.values())

    @property
    def environments(self) -> Environments:
        """The execution environments; their threads start with the first function."""
        if self._environments is None:
            self._environments = Environments(self.space)
        return self._environments

    @property
    def environment_count(self) -> int:
        """How many execution environments there are."""
        return 0 if self._environments is None else len(self._environments)

    # Finding.

    def get(self, name_or_arn: str) -> Function:
        """Return a function by its name or ARN, a qualifier in it ignored.

        Raises
        ------
        ApiError
            ResourceNotFoundException (row D11), AccessDeniedException for another account's function (row E14), or
            ValidationException for what can be no name.
        """
        name, qualifier = self.parse(name_or_arn)
        if name not in self._functions:
            raise self._not_found(name, qualifier)
        return self._functions[name]

    def resolve(self, name_or_arn: str, qualifier: str | None = None) -> FunctionVersion:
        """Return the version that a name or ARN and a qualifier address.

        Parameters
        ----------
        name_or_arn : str
            A name, `name:qualifier`, a partial or a full ARN.
        qualifier : str, optional
            A version or an alias.

        Raises
        ------
        ApiError
            ResourceNotFoundException when there is no such function, version or alias (row D11).
        """
        name, in_name = self.parse(name_or_arn)
        if qualifier is not None and in_name is not None and qualifier != in_name:
            raise ApiError(
                "InvalidParameterValueException",
                "The derived qualifier from the function name does not match the specified qualifier.",
            )
        qualifier = qualifier or in_name
        function = self._functions.get(name)
        if function is None:
            raise self._not_found(name, qualifier)
        if qualifier is None or qualifier == LATEST:
            return FunctionVersion(function.latest, qualifier)
        alias = function.aliases.get(qualifier)
        number = qualifier
        if alias is not None:
            number, draw = alias.version, random.random()
            for other, weight in alias.weights.items():
                if draw < weight:
                    number = other
                    break
                draw -= weight
        version = function.latest if number == LATEST else function.versions.get(number)
        if version is None:
            raise self._not_found(name, qualifier)
        return FunctionVersion(version, qualifier)

    def parse(self, name_or_arn: str) -> tuple[str, str | None]:
        """Split a name or ARN into the function's name and the qualifier."""
        match = _NAME.match(name_or_arn)
        if match is None or len(match[4]) > 64:
            raise ApiError(
                "ValidationException",
                f"1 validation error detected: Value '{name_or_arn}' at 'functionName' failed to satisfy constraint: "
                f"Member must satisfy regular expression pattern: {_NAME_PATTERN}",
            )
        region, account = match[2], match[3]
        if account and account != self.space.account:
            # AWS says nothing about another account's functions, not even in words (row E14).
            raise ApiError("AccessDeniedException", "", 403, Message=None)
        if region and region != self.space.region:
            raise self._not_found(name_or_arn, None)
        return match[4], match[5]

    def arn(self, name_or_arn: str, qualifier: str | None = None) -> str:
        """Return the ARN that rights are asked for; never raises."""
        match = _NAME.match(name_or_arn)
        if match is None:
            return (
                name_or_arn if name_or_arn.startswith("arn:") else self.space.arn("lambda", f"function:{name_or_arn}")
            )
        qualifier = qualifier or match[5]
        return self.space.arn("lambda", f"function:{match[4]}" + (f":{qualifier}" if qualifier else ""))

    def policy(self, arn: str) -> dict[str, Any] | None:
        """Return the resource-based policy of what an ARN names; None without one. Never raises."""
        match = _NAME.match(arn)
        function = None if match is None else self._functions.get(match[4])
        return None if match is None or function is None else function.policy(match[5])

    # Changing.

    def unpack(self, data: bytes) -> Code:
        """Unpack a zip file (row D7)."""
        self._code.mkdir(parents=True, exist_ok=True)
        return unpack(data, self._code)

    def create(self, name: str, configuration: Configuration, code: Code) -> Function:
        """Create a function, which is Pending for a moment (rows D1 and D2)."""
        if name in self._functions:
            raise _conflict(f"Function already exist: {name}")
        function = self._functions[name] = Function(self, name, configuration, code)
        function.latest.state, function.latest.update_status = "Pending", None

        def activate() -> None:
            for version in function.all_versions():
                if version.state == "Pending":
                    version.change(state="Active", update_status="Successful")

        self.space.scheduler.after(CREATION_TIME, activate)
        return function

    def update(self, function: Function, configuration: Configuration | None = None, code: Code | None = None) -> None:
        """Change `$LATEST`; what is invoked while the update runs is still the old one (row D4)."""
        latest = function.latest
        latest.change(update_status="InProgress", modified=self.space.clock.now())
        if configuration is not None:
            latest.configuration = configuration
        if code is not None:
            latest.code = code

        def finish() -> None:
            if self._functions.get(function.name) is function:
                latest.change(update_status="Successful")
                latest.renew()

        self.space.scheduler.after(UPDATE_TIME, finish)

    def check_changeable(self, function: Function) -> None:
        """Raise the refusal of a change while the function is Pending or being updated (rows D3 and D4)."""
        start = "The operation cannot be performed at this time. "
        if function.latest.state == "Pending":
            raise _conflict(f"{start}The function is currently in the following state: Pending")
        if function.latest.update_status == "InProgress":
            raise _conflict(f"{start}An update is in progress for resource: {function.arn}")

    def delete(self, function: Function) -> None:
        """Delete a function with all versions; what runs comes to its end."""
        del self._functions[function.name]
        for version in function.all_versions():
            self.environments.retire(version.recipe)

    def delete_version(self, function: Function, number: str) -> None:
        """Delete a published version."""
        for alias in function.aliases.values():
            if number == alias.version or number in alias.weights:
                raise _conflict(f"Version {number} of function {function.name} is used by alias {alias.name}")
        version = function.versions.pop(number, None)
        if version is not None:
            self.environments.retire(version.recipe)

    # Concurrency.

    def reserved_concurrency(self, name: str) -> int | None:
        """Return a function's reserved concurrency, None when it has none or there is no such function."""
        function = self._functions.get(name)
        return None if function is None else function.reserved

    @property
    def unreserved(self) -> int:
        """The account's concurrency that no function has reserved."""
        return ACCOUNT_CONCURRENCY - sum(function.reserved or 0 for function in self)

    @property
    def unreserved_running(self) -> int:
        """How many invocations of functions without reserved concurrency run now."""
        return sum(function.running for function in self if function.reserved is None)

    def reserve(self, function: Function, concurrency: int | None) -> None:
        """Reserve concurrency for a function, or give it back with None (row D40)."""
        if concurrency is not None:
            left = self.unreserved + (function.reserved or 0) - concurrency
            if left < LEAST_UNRESERVED:
                raise ApiError(
                    "InvalidParameterValueException",
                    "Specified ReservedConcurrentExecutions for function decreases account's "
                    f"UnreservedConcurrentExecution below its minimum value of [{LEAST_UNRESERVED}].",
                )
        function.reserved = concurrency

    def count_passes(self, version: FunctionVersion, traces: Iterable[str | None]) -> dict[str, int]:
        """Return the lineage of an invocation that is to begin, or raise `RecursiveInvocation` and count that."""
        passes = recursion.lineage(traces)
        mark = recursion.mark(version.function.arn)
        if passes.get(mark, 0) >= recursion.MOST_PASSES and version.function.recursive_loop != recursion.ALLOW:
            self._add(version, "RecursiveInvocationsDropped", 1, "Count", self.space.clock.now())
            raise recursion.RecursiveInvocation
        passes[mark] = passes.get(mark, 0) + 1
        return passes

    def take_concurrency(self, version: FunctionVersion) -> None:
        """Count one more running invocation, or raise `Throttled` and count that."""
        function = version.function
        reason = None
        if function.reserved is not None:
            if function.running >= function.reserved:
                reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
        elif self.unreserved_running >= self.unreserved:
            reason = "ConcurrentInvocationLimitExceeded"
        if reason is not None:
            self._add(version, "Throttles", 1, "Count", self.space.clock.now())
            raise Throttled(reason)
        function.running += 1
        self.running += 1

    def give_back(self, function: Function) -> None:
        """Count one running invocation less."""
        function.running -= 1
        self.running -= 1

    def count(
        self, version: FunctionVersion, started: float, result: Result, running: int, everywhere: int, unreserved: int
    ) -> None:
        """Add an invocation to the metrics, stamped with its start (rows F19 to F26)."""
        self._add(version, "Invocations", 1, "Count", started)
        self._add(version, "Errors", int(result.failed), "Count", started)
        self._add(version, "Throttles", 0, "Count", started)
        self._add(version, "Duration", result.duration, "Milliseconds", started)
        self._add(version, "ConcurrentExecutions", running, "Count", started, everywhere)
        add = self.space.metrics.add
        add("AWS/Lambda", "UnreservedConcurrentExecutions", {}, unreserved, "Count", started)
        claimed = unreserved + ACCOUNT_CONCURRENCY - self.unreserved
        add("AWS/Lambda", "ClaimedAccountConcurrency", {}, claimed, "Count", started)

    def close(self) -> None:
        """End all execution environments."""
        if self._environments is not None:
            self._environments.close()

    def _add(
        self, version: FunctionVersion, metric: str, value: float, unit: str, at: float, everywhere: float | None = None
    ) -> None:
        name = version.name
        resource = name if version.qualifier is None else f"{name}:{version.qualifier}"
        add = self.space.metrics.add
        add("AWS/Lambda", metric, {"FunctionName": name}, value, unit, at)
        add("AWS/Lambda", metric, {"FunctionName": name, "Resource": resource}, value, unit, at)
        if version.qualifier in version.function.aliases:
            dimensions = {"ExecutedVersion": version.version, "FunctionName": name, "Resource": resource}
            add("AWS/Lambda", metric, dimensions, value, unit, at)
        add("AWS/Lambda", metric, {}, value if everywhere is None else everywhere, unit, at)

    def _not_found(self, name: str, qualifier: str | None) -> ApiError:
        arn = self.arn(name, qualifier)
        return ApiError("ResourceNotFoundException", f"Function not found: {arn}", 404, Type="User")


def error_type(outcome: Outcome) -> str:
    """Return the errorType of a failed invocation, `Unhandled` when its payload names none."""
    try:
        return str(json.loads(outcome.payload)["errorType"])
    except (ValueError, KeyError, TypeError):
        return "Unhandled"


def error_payload(error_type: str, message: str) -> bytes:
    """Return the JSON of a function error that the platform makes."""
    return json.dumps({"errorType": error_type, "errorMessage": message}, separators=(",", ":")).encode()


def _conflict(text: str) -> ApiError:
    return ApiError("ResourceConflictException", text, 409, Type="User")
