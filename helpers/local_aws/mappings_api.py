"""The event source mapping operations of Lambda's API, with every rule and its text (rows C1 to C50)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import lambda_api
from .errors import ApiError
from .filters import Pattern
from .keys import KeyRefusal
from .mappings import Mapping, Settings
from .protocol import Call, Operation

if TYPE_CHECKING:
    from .functions import FunctionVersion
    from .queues import Queue

MOST_FILTERS = 5
"""Filters of a mapping (row C37)."""

_STREAMS_ONLY = (
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "LoggingConfig",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "ParallelizationFactor",
    "TumblingWindowInSeconds",
)
_PROBED_RIGHTS = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")


def create_event_source_mapping(call: Call) -> dict[str, Any]:
    """Connect a queue with a function."""
    params, space = call.params, call.space
    arn = params.get("EventSourceArn")
    if not arn:
        raise _invalid("Unrecognized event source.")
    service, region = _source(arn)
    if service != "sqs":
        raise _invalid(f"Unrecognized event source. Unsupported source arn : {arn}")
    if region != space.region:
        raise _invalid(f"Event source region must match Lambda region {space.region}")
    _refuse_foreign_parameters(params)
    version = _function(call, params["FunctionName"])
    settings = _settings(call, Settings(version.arn), is_fifo=arn.endswith(".fifo"))
    queue = space.queues.by_arn(arn)
    if queue is None:
        raise _invalid(
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
            "SQS Error Message: The specified queue does not exist."
        )
    for mapping in space.mappings:
        if mapping.queue_arn == arn and mapping.settings.function_arn == settings.function_arn:
            raise _already(mapping)
    _check_against(call, settings, version, queue)
    _check_key(call, settings)
    enabled = params.get("Enabled", True)
    made = space.mappings.create(queue, settings, enabled=enabled, tags=dict(params.get("Tags") or {}))
    return _shown(call, made)


def get_event_source_mapping(call: Call) -> dict[str, Any]:
    """Describe a mapping."""
    return _shown(call, call.space.mappings.get(call.params["UUID"]))


def list_event_source_mappings(call: Call) -> dict[str, Any]:
    """Describe mappings, filtered by queue and function, at most 100 a page (row C13)."""
    params, space = call.params, call.space
    found: list[Mapping] = sorted(space.mappings, key=lambda mapping: mapping.uuid)
    if params.get("EventSourceArn"):
        found = [mapping for mapping in found if mapping.queue_arn == params["EventSourceArn"]]
    if params.get("FunctionName"):
        wanted = _function_arn(call, params["FunctionName"])
        found = [
            mapping
            for mapping in found
            if mapping.settings.function_arn == wanted or mapping.settings.function_arn.startswith(wanted + ":")
        ]
    page = min(params.get("MaxItems") or 100, 100)
    begin = int(params["Marker"]) if str(params.get("Marker") or "").isdigit() else 0
    answer: dict[str, Any] = {"EventSourceMappings": []}
    for mapping in found[begin : begin + page]:
        shown = mapping.describe()
        if mapping.settings.kms_key_arn:
            shown.pop("FilterCriteria", None)
        answer["EventSourceMappings"].append(shown)
    if begin + page < len(found):
        answer["NextMarker"] = str(begin + page)
    return answer


def update_event_source_mapping(call: Call) -> dict[str, Any]:
    """Change a mapping; what is not given keeps its value (row C11)."""
    params, space = call.params, call.space
    mapping = space.mappings.get(params["UUID"])
    _refuse_while_passing(mapping, "update")
    _refuse_foreign_parameters(params)
    base = mapping.settings
    if params.get("FunctionName"):
        base = replace(base, function_arn=_function(call, params["FunctionName"]).arn)
    settings = _settings(call, base, is_fifo=mapping.queue_arn.endswith(".fifo"))
    for other in space.mappings:
        if other is not mapping and (other.queue_arn, other.settings.function_arn) == (
            mapping.queue_arn,
            settings.function_arn,
        ):
            raise _already(other)
    queue = space.queues.by_arn(mapping.queue_arn)
    only_disables = params.get("Enabled") is False and settings == mapping.settings
    if queue is not None and not only_disables:
        try:
            version = settings.version(space)
        except ApiError:
            raise _invalid("Function does not exist") from None
        _check_against(call, settings, version, queue)
    if (settings.filter_patterns, settings.kms_key_arn) != (
        mapping.settings.filter_patterns,
        mapping.settings.kms_key_arn,
    ):
        _check_key(call, settings)
    mapping.update(settings, params.get("Enabled"))
    return _shown(call, mapping)


def delete_event_source_mapping(call: Call) -> dict[str, Any]:
    """Delete a mapping; its messages stay in the queue."""
    mapping = call.space.mappings.get(call.params["UUID"])
    _refuse_while_passing(mapping, "delete")
    mapping.delete()
    return _shown(call, mapping)


def _shown(call: Call, mapping: Mapping) -> dict[str, Any]:
    """Describe a mapping, its encrypted filters only to who may decrypt them (row C48)."""
    answer = mapping.describe()
    key = mapping.settings.kms_key_arn
    if key is not None and "FilterCriteria" in answer:
        try:
            call.space.keys.check_filters(call.identity, key, "kms:Decrypt")
        except KeyRefusal as refusal:
            del answer["FilterCriteria"]
            answer["FilterCriteriaError"] = {"ErrorCode": refusal.kms_code, "Message": refusal.sentence}
    return answer


def _check_key(call: Call, settings: Settings) -> None:
    """Check that the caller may encrypt a mapping's filters, and that Lambda may read them (row C48)."""
    if settings.kms_key_arn is None or not settings.filter_patterns:
        return
    try:
        call.space.keys.check_filters(call.identity, settings.kms_key_arn, "kms:GenerateDataKey")
    except KeyRefusal as refusal:
        raise _invalid(refusal.sentence) from None
    if not call.space.keys.lambda_may_read_filters(settings.kms_key_arn):
        raise _invalid(
            "Lambda service principal was denied access to decrypt your filter criteria. "
            "Please check your KMS key policy"
        )


def _already(mapping: Mapping) -> ApiError:
    """Return the refusal of a second mapping of the same queue and function (row C32)."""
    name = mapping.space.functions.parse(mapping.settings.function_arn)[0]
    return ApiError(
        "ResourceConflictException",
        f'An event source mapping with SQS arn (" {mapping.queue_arn} ") and function (" {name} ") already exists. '
        f"Please update or delete the existing mapping with UUID {mapping.uuid}",
        409,
    )


def _refuse_while_passing(mapping: Mapping, verb: str) -> None:
    if mapping.passing:
        text = f"Cannot {verb} the event source mapping because it is in use."
        raise ApiError("ResourceInUseException", text, 400)


def _refuse_foreign_parameters(params: dict[str, Any]) -> None:
    """Refuse what is for streams and other sources (rows C34, C35 and C44)."""
    for name in _STREAMS_ONLY:
        value = params.get(name)
        if value is not None and value is not False and value != {}:
            raise _invalid(f"Unsupported {name} parameter for given event source mapping type.")
    if params.get("StartingPosition"):
        raise _invalid("StartingPosition is not valid for SQS event sources.")
    if params.get("StartingPositionTimestamp"):
        raise _invalid("Timestamp is not valid for SQS event sources.")


def _settings(call: Call, base: Settings, *, is_fifo: bool) -> Settings:
    """Return `base` with what the call gives, each checked on its own and together."""
    params = call.params
    changes: dict[str, Any] = {}
    if params.get("BatchSize") is not None:
        changes["batch_size"] = _in_range("batchSize", params["BatchSize"], 1, 10_000)
    if params.get("MaximumBatchingWindowInSeconds") is not None:
        window = params["MaximumBatchingWindowInSeconds"]
        changes["window"] = _in_range("maximumBatchingWindowInSeconds", window, 0, 300)
    if params.get("FilterCriteria") is not None:
        patterns = [item.get("Pattern") or "" for item in params["FilterCriteria"].get("Filters") or []]
        changes |= _filters(patterns)
    if params.get("FunctionResponseTypes") is not None:
        types = params["FunctionResponseTypes"]
        if len(types) > 1 or any(name != "ReportBatchItemFailures" for name in types):
            raise _constraint(
                "functionResponseTypes",
                f"[{', '.join(types)}]",
                "Member must satisfy constraint: [Member must satisfy enum value set: [ReportBatchItemFailures]]",
            )
        changes["report_batch_item_failures"] = bool(types)
    if params.get("ScalingConfig") is not None:
        most = params["ScalingConfig"].get("MaximumConcurrency")
        if most is not None:
            _in_range("scalingConfig.maximumConcurrency", most, 2, 1000)
        changes["maximum_concurrency"] = most
    if params.get("ProvisionedPollerConfig") is not None:
        changes["provisioned"] = _provisioned(params["ProvisionedPollerConfig"])
    if params.get("MetricsConfig") is not None:
        metrics = params["MetricsConfig"].get("Metrics") or []
        if any(name != "EventCount" for name in metrics):
            raise _invalid("Invalid EventSourceMapping metrics. Expected values: [EventCount]")
        changes["event_count_metrics"] = bool(metrics)
    if params.get("KMSKeyArn") is not None:
        changes["kms_key_arn"] = params["KMSKeyArn"] or None
    settings = replace(base, **changes)
    if settings.batch_size > 10 and not settings.window:
        raise _invalid(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )
    if is_fifo and settings.window:
        raise _invalid("Batching window is not supported for FIFO queues")
    if settings.provisioned is not None and settings.maximum_concurrency is not None:
        raise _invalid(
            "Provisioned mode for SQS ESM does not support maximum concurrency feature. "
            "Use MaximumPollers as the control mechanism and remove maximum concurrency."
        )
    return settings


def _filters(patterns: list[str]) -> dict[str, Any]:
    if len(patterns) > MOST_FILTERS:
        raise _invalid(
            f"Too many filter patterns, maximum allowed {MOST_FILTERS} patterns, provided {len(patterns)} patterns."
        )
    for number, text in enumerate(patterns, 1):
        if len(text) > 4096:
            place = f"filterCriteria.filters.{number}.member.pattern"
            raise _constraint(place, text, "Member must have length less than or equal to 4096")
    return {"filter_patterns": tuple(patterns), "filters": tuple(Pattern(text) for text in patterns)}


def _provisioned(config: dict[str, Any]) -> tuple[tuple[str, int], ...] | None:
    if not config:
        return None
    if config.get("PollerGroupName"):
        raise _invalid("Invalid parameter: pollerGroupName")
    least, most = config.get("MinimumPollers", 2), config.get("MaximumPollers", 200)
    if not 2 <= least <= 200 or not least <= most <= 10_000:
        raise _invalid(
            "MinimumPollers should be between [2, 200] and MaximumPollers should be between [MinimumPollers, 10000]"
        )
    return (("MinimumPollers", least), ("MaximumPollers", most))


def _check_against(call: Call, settings: Settings, version: FunctionVersion, queue: Queue) -> None:
    """Check a mapping's settings against its function, its queue and its role (rows C18, C28, C29 and C41)."""
    reserved = call.space.functions.reserved_concurrency(version.name)
    if settings.maximum_concurrency is not None and reserved is not None and settings.maximum_concurrency > reserved:
        raise _invalid(
            f"MaximumConcurrency: {settings.maximum_concurrency} is greater than "
            f"Function Reserved Concurrency: {reserved}"
        )
    for right in _PROBED_RIGHTS:
        if not call.space.permissions.role_allows(version.role, f"sqs:{right}", queue.arn):
            raise _invalid(f"The function execution role does not have permissions to call {right} on SQS")
    if queue.visibility_timeout < version.timeout:
        raise _invalid(
            f"Queue visibility timeout: {queue.visibility_timeout} seconds is less than "
            f"Function timeout: {version.timeout} seconds"
        )


def _function(call: Call, name: str) -> FunctionVersion:
    try:
        return call.space.functions.resolve(name)
    except ApiError as problem:
        if problem.code != "ResourceNotFoundException":
            raise
        raise _invalid("Function does not exist") from None


def _function_arn(call: Call, name: str) -> str:
    try:
        return call.space.functions.resolve(name).arn
    except ApiError:
        return name if name.startswith("arn:") else call.space.arn("lambda", f"function:{name}")


def _source(arn: str) -> tuple[str, str]:
    parts = arn.split(":")
    if len(parts) < 6 or parts[0] != "arn":
        raise _invalid("Unrecognized event source.")
    return parts[2], parts[3]


def _in_range(name: str, value: int, least: int, most: int) -> int:
    if value < least:
        raise _constraint(name, value, f"Member must have value greater than or equal to {least}")
    if value > most:
        raise _constraint(name, value, f"Member must have value less than or equal to {most}")
    return value


def _constraint(name: str, value: object, rule: str) -> ApiError:
    return ApiError(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: {rule}",
    )


def _invalid(text: str) -> ApiError:
    return ApiError("InvalidParameterValueException", text)


def _mapping_of(call: Call) -> Mapping | None:
    """Return the mapping that a tagging call names, or None when it names something else."""
    arn = str(call.params["Resource"])
    if ":event-source-mapping:" not in arn:
        return None
    for mapping in call.space.mappings:
        if mapping.arn == arn:
            return mapping
    raise ApiError("ResourceNotFoundException", f"Event source mapping not found: {arn}", 404)


def tag_resource(call: Call) -> dict[str, Any]:
    """Tag a mapping, or a function (row C17)."""
    mapping = _mapping_of(call)
    if mapping is None:
        return _functions_own("TagResource", call)
    mapping.tags.update(call.params["Tags"])
    return {}


def untag_resource(call: Call) -> dict[str, Any]:
    """Take tags off a mapping, or off a function."""
    mapping = _mapping_of(call)
    if mapping is None:
        return _functions_own("UntagResource", call)
    for key in call.params["TagKeys"]:
        mapping.tags.pop(key, None)
    return {}


def list_tags(call: Call) -> dict[str, Any]:
    """List the tags of a mapping, or of a function."""
    mapping = _mapping_of(call)
    if mapping is None:
        return _functions_own("ListTags", call)
    return {"Tags": dict(mapping.tags)}


def _functions_own(name: str, call: Call) -> dict[str, Any]:
    answer = lambda_api.OPERATIONS[name].run(call)
    assert isinstance(answer, dict)
    return answer


def _one(call: Call) -> str:
    return call.space.arn("lambda", f"event-source-mapping:{call.params['UUID']}")


def _tagged(call: Call) -> str:
    return str(call.params["Resource"])


def _condition_keys(call: Call) -> dict[str, Any]:
    """Return lambda:FunctionArn, the one condition key that narrows rights on mappings (row E11)."""
    name = call.params.get("FunctionName")
    if name:
        return {"lambda:FunctionArn": _function_arn(call, name)}
    for mapping in call.space.mappings:
        if mapping.uuid == call.params.get("UUID"):
            return {"lambda:FunctionArn": mapping.settings.function_arn}
    return {}


OPERATIONS: dict[str, Operation] = {
    # Creating and listing have no resource of their own (rows E11 and E12).
    "CreateEventSourceMapping": Operation(
        create_event_source_mapping, "lambda:CreateEventSourceMapping", context=_condition_keys
    ),
    "ListEventSourceMappings": Operation(list_event_source_mappings, "lambda:ListEventSourceMappings"),
    "GetEventSourceMapping": Operation(get_event_source_mapping, "lambda:GetEventSourceMapping", _one, _condition_keys),
    "UpdateEventSourceMapping": Operation(
        update_event_source_mapping, "lambda:UpdateEventSourceMapping", _one, _condition_keys
    ),
    "DeleteEventSourceMapping": Operation(
        delete_event_source_mapping, "lambda:DeleteEventSourceMapping", _one, _condition_keys
    ),
    "TagResource": Operation(tag_resource, "lambda:TagResource", _tagged),
    "UntagResource": Operation(untag_resource, "lambda:UntagResource", _tagged),
    "ListTags": Operation(list_tags, "lambda:ListTags", _tagged),
}
