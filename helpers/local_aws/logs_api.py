"""CloudWatch Logs: Logs Insights' queries, and PutLogEvents in the space's time. The rest is moto's."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import ApiError
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
    "PutLogEvents": Operation(put_log_events, "logs:PutLogEvents", _stream_resource),
}
