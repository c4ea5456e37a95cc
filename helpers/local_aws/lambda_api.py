"""The operations of Lambda's API for functions: their rules, texts and answers (section D of the behaviours)."""

from __future__ import annotations

import base64
import json
import re
import uuid
from typing import Any

from . import recursion
from .async_invokes import send_event
from .errors import ApiError
from .function_validation import (
    check_role,
    check_role_pattern,
    configured,
    constraint,
    in_range,
    invalid,
    zip_file,
)
from .functions import ACCOUNT_CONCURRENCY, LATEST, Alias, Configuration, Function, FunctionVersion, Outcome, Version
from .protocol import REQUEST_ID, Call, Later, Operation

LARGEST_EVENT = {"RequestResponse": 6_291_456, "Event": 1_048_576}
"""Bytes of a payload by invocation type (row D16)."""


# Creating, changing, deleting.


def create_function(call: Call) -> dict[str, Any]:
    """Create a function from a zip file (rows D1 to D10 and E2)."""
    params, functions = call.params, call.space.functions
    name, _ = functions.parse(params["FunctionName"])
    check_role_pattern(params["Role"])
    if params.get("PackageType", "Zip") != "Zip" or (params.get("Code") or {}).get("ImageUri"):
        raise invalid("The local AWS runs no container images: give the code as Code.ZipFile.")
    for needed in ("Runtime", "Handler"):
        if not params.get(needed):
            raise invalid(f"{needed} is mandatory for functions created with deployment packages.")
    if params.get("Layers"):
        raise invalid("The local AWS has no layers: put the libraries into the function's own zip file.")
    configuration = configured(Configuration(params["Runtime"], params["Role"], params["Handler"]), name, params)
    check_role(call, params["Role"])
    code = functions.unpack(zip_file(params.get("Code") or {}))
    function = functions.create(name, configuration, code)
    function.tags.update(params.get("Tags") or {})
    if params.get("Publish"):
        return function.publish(None).describe()
    return function.latest.describe()


def update_function_code(call: Call) -> dict[str, Any]:
    """Replace `$LATEST`'s code (row D4)."""
    params, functions = call.params, call.space.functions
    function = functions.get(params["FunctionName"])
    functions.check_changeable(function)
    _check_revision(function.latest, params)
    code = functions.unpack(zip_file(params))
    if params.get("DryRun"):
        return function.latest.describe()
    functions.update(function, code=code)
    if params.get("Publish"):
        return function.publish(None).describe()
    return function.latest.describe()


def update_function_configuration(call: Call) -> dict[str, Any]:
    """Change `$LATEST`'s configuration (row D4)."""
    params, functions = call.params, call.space.functions
    function = functions.get(params["FunctionName"])
    if params.get("Role"):
        check_role_pattern(params["Role"])
    functions.check_changeable(function)
    _check_revision(function.latest, params)
    if params.get("Layers"):
        raise invalid("The local AWS has no layers: put the libraries into the function's own zip file.")
    configuration = configured(function.latest.configuration, function.name, params)
    if configuration.role != function.latest.configuration.role:
        check_role(call, configuration.role)
    functions.update(function, configuration=configuration)
    return function.latest.describe()


def delete_function(call: Call) -> dict[str, Any]:
    """Delete a function, or one published version of it."""
    functions = call.space.functions
    function = functions.get(call.params["FunctionName"])
    qualifier = call.params.get("Qualifier") or functions.parse(call.params["FunctionName"])[1]
    if qualifier is None:
        functions.delete(function)
    elif qualifier == LATEST:
        raise invalid("$LATEST version cannot be deleted without deleting the function.")
    elif qualifier in function.aliases:
        raise invalid("Deletion of aliases is not currently supported through DeleteFunction. Use DeleteAlias.")
    else:
        functions.delete_version(function, qualifier)
    return {"StatusCode": 204}


# Reading.


def get_function(call: Call) -> dict[str, Any]:
    """Return a function's configuration, tags and reserved concurrency.

    There is no `Code.Location`: nothing serves the zip file.
    """
    version = _addressed(call)
    answer: dict[str, Any] = {
        "Configuration": _described(version),
        "Code": {"RepositoryType": "S3"},
    }
    if version.function.tags:
        answer["Tags"] = dict(version.function.tags)
    if version.function.reserved is not None:
        answer["Concurrency"] = {"ReservedConcurrentExecutions": version.function.reserved}
    return answer


def get_function_configuration(call: Call) -> dict[str, Any]:
    """Return a version's configuration."""
    return _described(_addressed(call))


def list_functions(call: Call) -> dict[str, Any]:
    """List functions, or with FunctionVersion=ALL all their versions."""
    everything = call.params.get("FunctionVersion") == "ALL"
    functions = sorted(call.space.functions, key=lambda function: function.name)
    versions = [version for f in functions for version in (f.all_versions() if everything else [f.latest])]
    return _page(call, "Functions", [version.describe(qualified=everything) for version in versions], 50)


def list_versions_by_function(call: Call) -> dict[str, Any]:
    """List `$LATEST` and the published versions."""
    function = call.space.functions.get(call.params["FunctionName"])
    return _page(call, "Versions", [version.describe(qualified=True) for version in function.all_versions()], 50)


def get_account_settings(call: Call) -> dict[str, Any]:
    """Return the account's limits and usage (rows D5 and D39)."""
    functions = call.space.functions
    return {
        "AccountLimit": {
            "TotalCodeSize": 80_530_636_800,
            "CodeSizeUnzipped": 262_144_000,
            "CodeSizeZipped": 52_428_800,
            "ConcurrentExecutions": ACCOUNT_CONCURRENCY,
            "UnreservedConcurrentExecutions": functions.unreserved,
        },
        "AccountUsage": {
            "TotalCodeSize": sum(version.code.size for f in functions for version in f.all_versions()),
            "FunctionCount": len(functions),
        },
    }


# Invoking.


def invoke(call: Call) -> dict[str, Any] | Later:
    """Invoke a function (rows D13 to D19 and D31)."""
    params = call.params
    kind = params.get("InvocationType") or "RequestResponse"
    if kind not in ("RequestResponse", "Event", "DryRun"):
        raise constraint(kind, "invocationType", "Member must satisfy enum value set: [Event, RequestResponse, DryRun]")
    version = _addressed(call)
    payload = params.get("Payload") or b"{}"
    payload = payload.encode() if isinstance(payload, str) else bytes(payload)
    most = LARGEST_EVENT.get(kind)
    if most is not None and len(payload) > most:
        text = f"{len(payload)} byte payload is too large for the {kind} invocation type (limit {most} bytes)"
        raise ApiError("RequestTooLargeException", text, 413, Type="User")
    try:
        json.loads(payload)
    except (ValueError, RecursionError) as problem:
        raise ApiError(
            "InvalidRequestContentException",
            f"Could not parse request body into json: Could not parse payload into json: {problem}",
            Type="User",
        ) from None
    if kind == "DryRun":
        return {"StatusCode": 204, "Payload": b""}
    version.check_invocable()
    if kind == "Event":
        request = send_event(version, payload, call.trace)
        return {"StatusCode": 202, "Payload": b"", REQUEST_ID: request}
    later = Later()

    def done(outcome: Outcome) -> None:
        answer = {"StatusCode": 200, "Payload": outcome.payload, "ExecutedVersion": outcome.version}
        answer[REQUEST_ID] = outcome.request_id
        if outcome.error is not None:
            answer["FunctionError"] = outcome.error
        if params.get("LogType") == "Tail":
            answer["LogResult"] = base64.b64encode(outcome.log_tail).decode()
        later.set(answer)

    context = params.get("ClientContext")
    client_context = None
    if context:
        try:
            client_context = base64.b64decode(context, validate=True).decode()
            json.loads(client_context)
        except ValueError:
            text = "Client context must be a valid Base64-encoded JSON object."
            raise ApiError("InvalidRequestContentException", text, Type="User") from None
    version.invoke(payload, done, source="invoke", client_context=client_context, traces=(call.trace,))
    return later


# Versions and aliases.


def publish_version(call: Call) -> dict[str, Any]:
    """Publish `$LATEST` as a numbered version."""
    params, functions = call.params, call.space.functions
    function = functions.get(params["FunctionName"])
    functions.check_changeable(function)
    _check_revision(function.latest, params)
    if params.get("CodeSha256") not in (None, "", function.latest.code.sha256):
        raise invalid(
            f"CodeSHA256 ({params['CodeSha256']}) is different from current CodeSHA256 in $LATEST "
            f"({function.latest.code.sha256}). Please try again with the CodeSHA256 in $LATEST."
        )
    return function.publish(params.get("Description")).describe()


def create_alias(call: Call) -> dict[str, Any]:
    """Give a version a name."""
    params = call.params
    function = call.space.functions.get(params["FunctionName"])
    name = params["Name"]
    if name.isdigit() or not re.fullmatch(r"[a-zA-Z0-9-_]+", name):
        raise constraint(name, "name", "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)")
    if name in function.aliases:
        raise ApiError("ResourceConflictException", f"Alias already exists: {function.arn}:{name}", 409, Type="User")
    alias = Alias(name, params["FunctionVersion"], params.get("Description", ""))
    alias.weights = _weights(function, alias.version, params)
    function.aliases[name] = alias
    return _alias(function, alias)


def update_alias(call: Call) -> dict[str, Any]:
    """Point an alias elsewhere, or change its description or its weights."""
    params = call.params
    function, alias = _alias_of(call)
    if params.get("RevisionId") not in (None, "", alias.revision):
        raise _precondition("GetAlias")
    version = params.get("FunctionVersion") or alias.version
    weights = _weights(function, version, params) if "RoutingConfig" in params else alias.weights
    _check_version(function, version)
    alias.version, alias.weights = version, weights
    alias.description = params.get("Description", alias.description)
    alias.revision = str(uuid.uuid4())
    return _alias(function, alias)


def get_alias(call: Call) -> dict[str, Any]:
    """Return an alias."""
    return _alias(*_alias_of(call))


def list_aliases(call: Call) -> dict[str, Any]:
    """List a function's aliases, those of one version if it is given."""
    function = call.space.functions.get(call.params["FunctionName"])
    version = call.params.get("FunctionVersion")
    aliases = [alias for _, alias in sorted(function.aliases.items()) if version in (None, alias.version)]
    return _page(call, "Aliases", [_alias(function, alias) for alias in aliases], 50)


def delete_alias(call: Call) -> dict[str, Any]:
    """Delete an alias; one that is not there is no error."""
    function = call.space.functions.get(call.params["FunctionName"])
    function.aliases.pop(call.params["Name"], None)
    function.event_configs.pop(call.params["Name"], None)
    return {}


# Concurrency.


def put_function_concurrency(call: Call) -> dict[str, Any]:
    """Reserve concurrency for a function (rows D40 to D44)."""
    function = _unqualified(call)
    concurrency = call.params["ReservedConcurrentExecutions"]
    if concurrency < 0:
        rule = "Member must have value greater than or equal to 0"
        raise constraint(concurrency, "reservedConcurrentExecutions", rule)
    call.space.functions.reserve(function, concurrency)
    return {"ReservedConcurrentExecutions": concurrency}


def get_function_concurrency(call: Call) -> dict[str, Any]:
    """Return a function's reserved concurrency; nothing when it has none (row D43)."""
    reserved = _unqualified(call).reserved
    return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}


def delete_function_concurrency(call: Call) -> dict[str, Any]:
    """Give a function's reserved concurrency back."""
    call.space.functions.reserve(_unqualified(call), None)
    return {}


# Asynchronous invocation's settings.


def put_function_recursion_config(call: Call) -> dict[str, Any]:
    """Let a function be part of a loop, or not (row C110)."""
    function = call.space.functions.get(call.params["FunctionName"])
    wanted = call.params["RecursiveLoop"]
    if wanted not in (recursion.ALLOW, recursion.TERMINATE):
        raise constraint(wanted, "recursiveLoop", "Member must satisfy enum value set: [Terminate, Allow]")
    function.recursive_loop = wanted
    return {"RecursiveLoop": wanted}


def get_function_recursion_config(call: Call) -> dict[str, Any]:
    """Say what a function does about loops."""
    return {"RecursiveLoop": call.space.functions.get(call.params["FunctionName"]).recursive_loop}


def put_function_event_invoke_config(call: Call) -> dict[str, Any]:
    """Set how asynchronous invocations are retried and where their records go (row D35)."""
    return _set_event_config(call, {})


def update_function_event_invoke_config(call: Call) -> dict[str, Any]:
    """Change some of these settings."""
    function, key = _event_config_key(call)
    return _set_event_config(call, _event_config(function, key))


def get_function_event_invoke_config(call: Call) -> dict[str, Any]:
    """Return these settings."""
    function, key = _event_config_key(call)
    return _described_event_config(function, key, _event_config(function, key))


def list_function_event_invoke_configs(call: Call) -> dict[str, Any]:
    """List these settings of all versions and aliases that have some."""
    function = call.space.functions.get(call.params["FunctionName"])
    configs = [_described_event_config(function, key, config) for key, config in function.event_configs.items()]
    return _page(call, "FunctionEventInvokeConfigs", configs, 50)


def delete_function_event_invoke_config(call: Call) -> dict[str, Any]:
    """Return to the default settings."""
    function, key = _event_config_key(call)
    _event_config(function, key)
    del function.event_configs[key]
    return {}


# Tags of functions; the mappings' module answers for mappings.


def tag_resource(call: Call) -> dict[str, Any]:
    """Tag a function."""
    _tagged(call).tags.update(call.params["Tags"])
    return {}


def untag_resource(call: Call) -> dict[str, Any]:
    """Take tags off a function."""
    function = _tagged(call)
    for key in call.params["TagKeys"]:
        function.tags.pop(key, None)
    return {}


def list_tags(call: Call) -> dict[str, Any]:
    """List a function's tags."""
    return {"Tags": dict(_tagged(call).tags)}


# What the operations share.


def _check_revision(version: Version, params: dict[str, Any]) -> None:
    if params.get("RevisionId") not in (None, "", version.revision):
        raise _precondition("GetFunction/GetAlias")


def _addressed(call: Call) -> FunctionVersion:
    return call.space.functions.resolve(call.params["FunctionName"], call.params.get("Qualifier") or None)


def _described(version: FunctionVersion) -> dict[str, Any]:
    return {**version.record.describe(), "FunctionArn": version.arn}


def _unqualified(call: Call) -> Function:
    if call.space.functions.parse(call.params["FunctionName"])[1] is not None:
        raise invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
            "Please specify either a function name or an unqualified function ARN."
        )
    return call.space.functions.get(call.params["FunctionName"])


def _tagged(call: Call) -> Function:
    return call.space.functions.get(call.params["Resource"])


def _check_version(function: Function, number: str) -> None:
    if number != LATEST and number not in function.versions:
        raise ApiError("ResourceNotFoundException", f"Function not found: {function.arn}:{number}", 404, Type="User")


def _weights(function: Function, version: str, params: dict[str, Any]) -> dict[str, float]:
    _check_version(function, version)
    weights = dict((params.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {})
    if weights and LATEST in (version, *weights):
        raise invalid("$LATEST is not supported for an alias pointing to more than 1 version")
    for number, weight in weights.items():
        _check_version(function, number)
        if not 0 <= weight <= 1:
            raise constraint(weights, "routingConfig.additionalVersionWeights", "Map value must be between 0.0 and 1.0")
    if len(weights) > 1:
        raise invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
    if version in weights:
        raise invalid(f"Invalid function version {version}. Function version {version} is already included in routing.")
    return weights


def _alias_of(call: Call) -> tuple[Function, Alias]:
    function = call.space.functions.get(call.params["FunctionName"])
    alias = function.aliases.get(call.params["Name"])
    if alias is None:
        text = f"Cannot find alias arn: {function.arn}:{call.params['Name']}"
        raise ApiError("ResourceNotFoundException", text, 404, Type="User")
    return function, alias


def _alias(function: Function, alias: Alias) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "AliasArn": f"{function.arn}:{alias.name}",
        "Name": alias.name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision,
    }
    if alias.weights:
        answer["RoutingConfig"] = {"AdditionalVersionWeights": dict(alias.weights)}
    return answer


def _event_config_key(call: Call) -> tuple[Function, str]:
    version = _addressed(call)
    return version.function, version.qualifier or LATEST


def _event_config(function: Function, key: str) -> dict[str, Any]:
    if key not in function.event_configs:
        text = f"The function {function.arn}:{key} doesn't have an EventInvokeConfig"
        raise ApiError("ResourceNotFoundException", text, 404, Type="User")
    return function.event_configs[key]


def _set_event_config(call: Call, base: dict[str, Any]) -> dict[str, Any]:
    params = call.params
    function, key = _event_config_key(call)
    config = dict(base)
    limits = {"MaximumRetryAttempts": (0, 2), "MaximumEventAgeInSeconds": (60, 21_600)}
    for member, (least, most) in limits.items():
        if params.get(member) is not None:
            config[member] = in_range(member, params[member], least, most)
    if params.get("DestinationConfig") is not None:
        config["DestinationConfig"] = _destinations(params["DestinationConfig"])
    if not config:
        raise invalid("You must specify at least one of error handling or destination setting.")
    config["LastModified"] = call.space.clock.now()
    function.event_configs[key] = config
    return _described_event_config(function, key, config)


def _destinations(config: dict[str, Any]) -> dict[str, Any]:
    success = (config.get("OnSuccess") or {}).get("Destination") or ""
    failure = (config.get("OnFailure") or {}).get("Destination") or ""
    if any(":sqs:" in arn and arn.endswith(".fifo") for arn in (success, failure)):
        raise invalid(
            f"The provided destination config DestinationConfig(onSuccess=OnSuccess(destination={success}), "
            f"onFailure=OnFailure(destination={failure})) is invalid."
        )
    return {"OnSuccess": config.get("OnSuccess") or {}, "OnFailure": config.get("OnFailure") or {}}


def _described_event_config(function: Function, key: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"DestinationConfig": {"OnSuccess": {}, "OnFailure": {}}, **config, "FunctionArn": f"{function.arn}:{key}"}


def _page(call: Call, member: str, items: list[dict[str, Any]], most: int) -> dict[str, Any]:
    marker = call.params.get("Marker") or "0"
    start = int(marker) if marker.isdigit() else 0
    stop = start + min(call.params.get("MaxItems") or most, most)
    answer: dict[str, Any] = {member: items[start:stop]}
    if stop < len(items):
        answer["NextMarker"] = str(stop)
    return answer


def _precondition(call: str) -> ApiError:
    return ApiError(
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. "
        f"Call the {call} API to retrieve the latest Revision Id",
        412,
        Type="User",
    )


def _function_arn(call: Call) -> str:
    name = call.params.get("FunctionName") or call.params.get("Resource") or ""
    return call.space.functions.arn(str(name).partition(":$")[0]) if name else "*"


def _qualified_arn(call: Call) -> str:
    return call.space.functions.arn(str(call.params.get("FunctionName", "")), call.params.get("Qualifier"))


OPERATIONS: dict[str, Operation] = {
    "CreateFunction": Operation(create_function, "lambda:CreateFunction", _function_arn),
    "UpdateFunctionCode": Operation(update_function_code, "lambda:UpdateFunctionCode", _function_arn),
    "UpdateFunctionConfiguration": Operation(
        update_function_configuration, "lambda:UpdateFunctionConfiguration", _function_arn
    ),
    "DeleteFunction": Operation(delete_function, "lambda:DeleteFunction", _qualified_arn),
    "GetFunction": Operation(get_function, "lambda:GetFunction", _qualified_arn),
    "GetFunctionConfiguration": Operation(
        get_function_configuration, "lambda:GetFunctionConfiguration", _qualified_arn
    ),
    # Rows E12: these two have no resource of their own.
    "ListFunctions": Operation(list_functions, "lambda:ListFunctions"),
    "GetAccountSettings": Operation(get_account_settings, "lambda:GetAccountSettings"),
    "ListVersionsByFunction": Operation(list_versions_by_function, "lambda:ListVersionsByFunction", _function_arn),
    "Invoke": Operation(invoke, "lambda:InvokeFunction", _qualified_arn),
    "PublishVersion": Operation(publish_version, "lambda:PublishVersion", _function_arn),
    "CreateAlias": Operation(create_alias, "lambda:CreateAlias", _function_arn),
    "UpdateAlias": Operation(update_alias, "lambda:UpdateAlias", _function_arn),
    "GetAlias": Operation(get_alias, "lambda:GetAlias", _function_arn),
    "ListAliases": Operation(list_aliases, "lambda:ListAliases", _function_arn),
    "DeleteAlias": Operation(delete_alias, "lambda:DeleteAlias", _function_arn),
    "PutFunctionConcurrency": Operation(put_function_concurrency, "lambda:PutFunctionConcurrency", _function_arn),
    "GetFunctionConcurrency": Operation(get_function_concurrency, "lambda:GetFunctionConcurrency", _function_arn),
    "DeleteFunctionConcurrency": Operation(
        delete_function_concurrency, "lambda:DeleteFunctionConcurrency", _function_arn
    ),
    "PutFunctionRecursionConfig": Operation(
        put_function_recursion_config, "lambda:PutFunctionRecursionConfig", _function_arn
    ),
    "GetFunctionRecursionConfig": Operation(
        get_function_recursion_config, "lambda:GetFunctionRecursionConfig", _function_arn
    ),
    "PutFunctionEventInvokeConfig": Operation(
        put_function_event_invoke_config, "lambda:PutFunctionEventInvokeConfig", _qualified_arn
    ),
    "UpdateFunctionEventInvokeConfig": Operation(
        update_function_event_invoke_config, "lambda:UpdateFunctionEventInvokeConfig", _qualified_arn
    ),
    "GetFunctionEventInvokeConfig": Operation(
        get_function_event_invoke_config, "lambda:GetFunctionEventInvokeConfig", _qualified_arn
    ),
    "ListFunctionEventInvokeConfigs": Operation(
        list_function_event_invoke_configs, "lambda:ListFunctionEventInvokeConfigs", _function_arn
    ),
    "DeleteFunctionEventInvokeConfig": Operation(
        delete_function_event_invoke_config, "lambda:DeleteFunctionEventInvokeConfig", _qualified_arn
    ),
    "TagResource": Operation(tag_resource, "lambda:TagResource", _function_arn),
    "UntagResource": Operation(untag_resource, "lambda:UntagResource", _function_arn),
    "ListTags": Operation(list_tags, "lambda:ListTags", _function_arn),
}
