"""CloudWatch Logs: Insights' queries, FilterLogEvents, and PutLogEvents in the space's time. The rest is moto's."""

from __future__ import annotations

import base64
import itertools
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import ApiError
from .log_filters import PatternError, compiled
from .logs_queries import StartedQuery
from .protocol import Call, Operation

if TYPE_CHECKING:
    from .space import Space

_MOST_GROUPS = 50
_MOST_EVENTS = 10_000
_MOST_BYTES = 1_048_576
_EVENT_OVERHEAD = 26
_HOUR = 3_600_000
_DAY = 24 * _HOUR
_MOST_STREAMS = 100
_LONGEST_PATTERN = 1024
_FOR_EVER = 2**63
_FIRST_BACKWARDS = 1_704_067_200_000
"""From when on startTime may be for events in descending order: 1 January 2024 (row L6)."""


def start_query(call: Call) -> dict[str, Any]:
    """Run a query at once; its results are there when they are first asked for."""
    from .insights import MOST_ROWS, Query, QueryError
    from .insights_rows import LogEvent

    params, space = call.params, call.space
    if params.get("queryLanguage") not in (None, "CWLI"):
        _refuse(f"The local AWS offers the query language CWLI; it does not offer {params['queryLanguage']}.")
    groups = _groups(call)
    start, end = int(params["startTime"]), int(params["endTime"])
    if start > end:
        _refuse("The start time of a query must not be after its end time.")
    limit = params.get("limit")
    if limit is not None and not 1 <= limit <= MOST_ROWS:
        _refuse(f"The limit of a query is between 1 and {MOST_ROWS}.")
    try:
        query = Query(params["queryString"])
    except QueryError as problem:
        raise _malformed(str(problem), problem.start, problem.end) from None
    except RecursionError:
        raise _malformed("The query is nested too deeply.", 0, len(params["queryString"])) from None
    space.logs.flush()
    for group in groups:
        space.permissions.check_any(call.identity, "logs:StartQuery", _group_resources(space, group))
        if not space.control.log_group_exists(group):
            text = f"Log group '{group}' does not exist for account ID '{space.account}'"
            raise ApiError("ResourceNotFoundException", text)
    events = [
        LogEvent(timestamp, ingested, group, stream, event_id, message)
        for group in groups
        for timestamp, ingested, stream, event_id, message in space.control.log_events(
            group, _to_milliseconds(start), _to_milliseconds(end + 1) - 1
        )
    ]
    result = query.run(events, space.account, limit)
    scanned = sum(len(event.message.encode()) for event in events)
    made = StartedQuery(
        str(uuid.uuid4()), params["queryString"], groups, space.clock.now(), result, len(events), scanned
    )
    space.queries.add(made)
    return {"queryId": made.query_id}


def get_query_results(call: Call) -> dict[str, Any]:
    """Return the rows of a query."""
    query = call.space.queries.get(call.params["queryId"])
    return {
        "queryLanguage": "CWLI",
        "results": [[{"field": name, "value": value} for name, value in row] for row in query.result.rows],
        "statistics": {
            "recordsMatched": float(query.result.matched),
            "recordsScanned": float(query.scanned),
            "bytesScanned": float(query.scanned_bytes),
            "estimatedRecordsSkipped": 0.0,
            "estimatedBytesSkipped": 0.0,
            "logGroupsScanned": float(len(query.groups)),
        },
        "status": "Complete",
    }


def stop_query(call: Call) -> dict[str, Any]:
    """Refuse to stop a query: every query is over when StartQuery returns."""
    call.space.queries.get(call.params["queryId"])
    _refuse("The query has already ended: it cannot be stopped.")


def describe_queries(call: Call) -> dict[str, Any]:
    """List the queries, newest first."""
    params = call.params
    most = params.get("maxResults") or 1000
    found = [
        {
            "queryLanguage": "CWLI",
            "queryId": query.query_id,
            "queryString": query.text,
            "status": "Complete",
            "createTime": int(query.created * 1000),
            "logGroupName": query.groups[0],
        }
        for query in call.space.queries
        if params.get("logGroupName") in (None, *query.groups) and params.get("status") in (None, "Complete")
    ]
    return {"queries": found[:most]}


def put_log_events(call: Call) -> dict[str, Any]:
    """Write events: not older than 14 days, and not more than two hours ahead of the space's time."""
    params, space = call.params, call.space
    group, stream = params["logGroupName"], params["logStreamName"]
    space.logs.flush()
    if not space.control.log_group_exists(group):
        raise ApiError("ResourceNotFoundException", "The specified log group does not exist.")
    if not space.control.log_stream_exists(group, stream):
        raise ApiError("ResourceNotFoundException", "The specified log stream does not exist.")
    events = [(int(event["timestamp"]), str(event["message"])) for event in params["logEvents"]]
    _check_events(events)
    now = int(space.clock.now() * 1000)
    oldest, newest = now - 14 * _DAY, now + 2 * _HOUR
    retention = space.control.log_retention(group)
    expired = now - retention * _DAY if retention else None
    rejected: dict[str, int] = {}
    accepted = []
    for index, (timestamp, message) in enumerate(events):
        if timestamp < oldest:
            rejected["tooOldLogEventEndIndex"] = index + 1
        elif timestamp > newest:
            rejected.setdefault("tooNewLogEventStartIndex", index)
        elif expired is not None and timestamp < expired:
            rejected["expiredLogEventEndIndex"] = index + 1
        else:
            accepted.append((timestamp, message))
    space.control.put_log_events(group, stream, accepted)
    answer: dict[str, Any] = {"nextSequenceToken": f"{now:056d}"}
    return answer | ({"rejectedLogEventsInfo": rejected} if rejected else {})


def filter_log_events(call: Call) -> dict[str, Any]:
    """Return a log group's events that match a pattern, in the order of their time, a page at a time (row L6)."""
    params, space = call.params, call.space
    group = _searched_group(call)
    space.permissions.check_any(call.identity, "logs:FilterLogEvents", _group_resources(space, group))
    _check_search(params)
    try:
        matches = compiled(params.get("filterPattern") or "")
    except PatternError as problem:
        _refuse(str(problem))
    space.logs.flush()
    if not space.control.log_group_exists(group):
        raise ApiError("ResourceNotFoundException", "The specified log group does not exist.")
    names, prefix = params.get("logStreamNames"), params.get("logStreamNamePrefix") or ""
    if not all(space.control.log_stream_exists(group, name) for name in names or ()):
        raise ApiError("ResourceNotFoundException", "The specified log stream does not exist.")
    start, end = params.get("startTime") or 0, params.get("endTime")
    now = int(space.clock.now() * 1000)
    backwards, after = params.get("startFromHead") is False, None
    if params.get("nextToken"):
        backwards, after = _read_token(params["nextToken"], group, now)
    elif backwards and start < _FIRST_BACKWARDS:
        _refuse("startFromHead can be false only with a startTime on or after Jan 1, 2024 00:00:00 UTC.")
    found = [
        ((timestamp, ingested, int(event_id)), stream, message)
        for timestamp, ingested, stream, event_id, message in space.control.log_events(
            group, start, _FOR_EVER if end is None else end
        )
        if (stream in names if names else stream.startswith(prefix))
    ]
    found.sort(key=lambda event: event[0], reverse=backwards)
    page: list[dict[str, Any]] = []
    size, last = 0, after
    for key, stream, message in found:
        if (after is not None and (key >= after if backwards else key <= after)) or not matches(message):
            continue
        size += len(message.encode())
        if len(page) == (params.get("limit") or _MOST_EVENTS) or (page and size > _MOST_BYTES):
            return {"events": page, "searchedLogStreams": [], "nextToken": _token(group, backwards, last, now)}
        last = key
        page.append(
            {
                "logStreamName": stream,
                "timestamp": key[0],
                "message": message,
                "ingestionTime": key[1],
                "eventId": str(key[2]),
            }
        )
    return {"events": page, "searchedLogStreams": []}


def _searched_group(call: Call) -> str:
    name, identifier = call.params.get("logGroupName"), call.params.get("logGroupIdentifier")
    if bool(name) == bool(identifier):
        _refuse("Exactly one of logGroupName and logGroupIdentifier must be given.")
    return str(name or identifier).removeprefix(call.space.arn("logs", "log-group:")).removesuffix(":*")


def _check_search(params: Mapping[str, Any]) -> None:
    if params.get("logStreamNames") is not None and params.get("logStreamNamePrefix") is not None:
        _refuse("logStreamNames and logStreamNamePrefix cannot both be given.")
    limit, names, pattern = (params.get(name) for name in ("limit", "logStreamNames", "filterPattern"))
    most = "less than or equal to"
    for wrong, value, name, rule in (
        (limit is not None and limit < 1, limit, "limit", "value greater than or equal to 1"),
        (limit is not None and limit > _MOST_EVENTS, limit, "limit", f"value {most} {_MOST_EVENTS}"),
        (names is not None and not names, names, "logStreamNames", "length greater than or equal to 1"),
        (len(names or ()) > _MOST_STREAMS, names, "logStreamNames", f"length {most} {_MOST_STREAMS}"),
        (len(pattern or "") > _LONGEST_PATTERN, pattern, "filterPattern", f"length {most} {_LONGEST_PATTERN}"),
    ):
        if wrong:
            text = f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: "
            _refuse(f"{text}Member must have {rule}")


def _token(group: str, backwards: bool, last: Sequence[int] | None, now: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([group, backwards, last, now]).encode()).decode()


def _read_token(token: str, group: str, now: int) -> tuple[bool, tuple[int, int, int]]:
    """Return the direction of a search and where its last page ended; a token is good for a day (row L6)."""
    try:
        of_group, backwards, (timestamp, ingested, number), made = json.loads(base64.urlsafe_b64decode(token))
        if of_group == group and int(made) >= now - _DAY:
            return bool(backwards), (int(timestamp), int(ingested), int(number))
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        pass
    _refuse("The specified nextToken is invalid.")


def _check_events(events: Sequence[tuple[int, str]]) -> None:
    if not 1 <= len(events) <= _MOST_EVENTS:
        _refuse(f"A single PutLogEvents request holds from 1 to {_MOST_EVENTS} log events.")
    if any(later[0] < earlier[0] for earlier, later in itertools.pairwise(events)):
        _refuse("Log events in a single PutLogEvents request must be in chronological order.")
    if events[-1][0] - events[0][0] > _DAY:
        _refuse("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
    if any(not message for _, message in events):
        _refuse("Log event message cannot be empty.")
    size = sum(len(message.encode()) + _EVENT_OVERHEAD for _, message in events)
    if size > _MOST_BYTES:
        _refuse(f"Upload too large: {size} bytes exceeds limit of {_MOST_BYTES}")


def _malformed(text: str, start: int, end: int) -> ApiError:
    told = {"location": {"startCharOffset": start, "endCharOffset": end}, "message": text}
    return ApiError("MalformedQueryException", text, queryCompileError=told)


def _groups(call: Call) -> list[str]:
    params = call.params
    given = [name for name in ("logGroupName", "logGroupNames", "logGroupIdentifiers") if params.get(name)]
    if len(given) != 1:
        _refuse("Exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be given.")
    value = params[given[0]]
    groups = [value] if isinstance(value, str) else list(value)
    if given == ["logGroupIdentifiers"]:
        prefix = call.space.arn("logs", "log-group:")
        groups = [group.removeprefix(prefix).removesuffix(":*") for group in groups]
    if len(groups) > _MOST_GROUPS:
        _refuse(f"A query can name at most {_MOST_GROUPS} log groups.")
    return list(dict.fromkeys(groups))


def _to_milliseconds(moment: int) -> int:
    """Read a time in seconds; clients also send milliseconds, which AWS takes as such."""
    return moment * 1000 if abs(moment) < 100_000_000_000 else moment


def _group_resources(space: Space, group: str) -> tuple[str, str]:
    arn = space.arn("logs", f"log-group:{group}")
    return arn, f"{arn}:log-stream:"


def _stream_resource(call: Call) -> str:
    params = call.params
    return call.space.arn("logs", f"log-group:{params['logGroupName']}:log-stream:{params['logStreamName']}")


def _refuse(text: str) -> NoReturn:
    raise ApiError("InvalidParameterException", text)


OPERATIONS = {
    "StartQuery": Operation(start_query),
    "GetQueryResults": Operation(get_query_results, "logs:GetQueryResults"),
    "StopQuery": Operation(stop_query, "logs:StopQuery"),
    "DescribeQueries": Operation(describe_queries, "logs:DescribeQueries"),
    "FilterLogEvents": Operation(filter_log_events),
    "PutLogEvents": Operation(put_log_events, "logs:PutLogEvents", _stream_resource),
}
