"""FilterLogEvents: what its patterns match, what they refuse, and how the events come in pages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.local_aws.log_filters import PatternError, compiled

from .conftest import Aws
from .test_rights import Caller, caller

__all__ = ["caller"]

ERROR = "[ERROR 400] BAD REQUEST"
ARGUMENTS = "[ERROR 419] MISSING ARGUMENTS"
WARNING = "[WARN] code is a message"
TRAIL = json.dumps(
    {
        "eventType": "UpdateTrail",
        "sourceIPAddress": "111.111.111.111",
        "arrayKey": ["value", "another value"],
        "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
        "SomeObject": None,
        "ThisFlag": True,
        "user": {"id": 1, "email": "John.Stiles@example.com"},
        "cluster.name": "c",
        "star": "Ev*ent",
        "code": "404",
        "latency": 50.5,
        "coordinates": [[0, 1, 2], [4, 5, 6]],
        "actions": ["GET", "PUT", "DELETE"],
    }
)
ACCESS = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'

TERMS = [
    ("", ERROR, True),
    ('" "', "one", True),
    ("ERROR", ERROR, True),
    ("ERROR", "Exiting with ERRORCODE: -1", True),
    ("error", ERROR, False),
    ("ERROR ARGUMENTS", ARGUMENTS, True),
    ("ERROR ARGUMENTS", ERROR, False),
    ("ARGUMENTS ERROR", ARGUMENTS, True),
    ('"BAD REQUEST"', ERROR, True),
    ('"REQUEST BAD"', ERROR, False),
    ('"[ERROR 400]" REQUEST', ERROR, True),
    (r'"a \"b\" \\c"', r'a "b" \c', True),
    ("?ERROR ?WARN", WARNING, True),
    ("?ERROR ?ARGUMENTS", WARNING, False),
    ('?"BAD REQUEST" ?nothing', ERROR, True),
    ("?ARGUMENTS REQUEST", ERROR, True),
    ("?ERROR REQUEST", ARGUMENTS, False),
    ("ERROR -ARGUMENTS", ERROR, True),
    ("ERROR -ARGUMENTS", ARGUMENTS, False),
    ('-"BAD REQUEST"', ERROR, False),
    ("-ERROR", WARNING, True),
]
REGULAR_EXPRESSIONS = [
    ("%AUTHORIZED%", "[ERROR 401] UNAUTHORIZED REQUEST", True),
    ("%authorized%", "[ERROR 401] UNAUTHORIZED REQUEST", False),
    ("%^[hc]at%", "hat", True),
    ("%^[hc]at%", "a hat", False),
    ("%[hc]at$%", "a hat", True),
    ("%colou?r%", "color", True),
    ("%^a{3,5}$%", "aaaaaa", False),
    ("%gray|grey%", "grey", True),
    (r"%\d{1,3}\.\d+\.\d+\.\d+%", ACCESS, True),
    (r"%\x28x\x29%", "f(x)", True),
    ("{ $.eventType = %^Up.*Trail$% }", TRAIL, True),
    ("{ $.eventType != %Trail% }", TRAIL, False),
    ("{ $.arrayKey[*] = %val.{2}% }", TRAIL, True),
    (r"{ $.* = %111\.111\.111\.1[0-9]{1,2}% }", TRAIL, True),
    (r"%\[\d\]%", "a[7]", True),
    ("[ip=%^127%, ..., status=%4.4%, bytes]", ACCESS, True),
]
IN_JSON = [
    ('{ $.eventType = "UpdateTrail" }', TRAIL, True),
    ("{$.eventType=UpdateTrail}", TRAIL, True),
    ('{ $.eventType = "updateTrail" }', TRAIL, False),
    ("{ $.sourceIPAddress != 123.123.* }", TRAIL, True),
    ("{ $.sourceIPAddress != 111.111.* }", TRAIL, False),
    ('{ $.eventType = "Update*" }', TRAIL, True),
    ('{ $.eventType = "*Trail" }', TRAIL, True),
    ('{ $.eventType = "*dateT*" }', TRAIL, True),
    ('{ $.eventType = "Up*Trail" }', TRAIL, False),
    ('{ $.star = "Ev*ent" }', TRAIL, True),
    ("{ $.latency = * }", TRAIL, True),
    ("{ $.nothing = * }", TRAIL, False),
    ('{ $.arrayKey[0] = "value" }', TRAIL, True),
    ('{ $.arrayKey[1] = "value" }', TRAIL, False),
    ('{ $.arrayKey[*] = "another value" }', TRAIL, True),
    ("{ $.objectList[1].id = 2 }", TRAIL, True),
    ("{ $.objectList[*].id > 2 }", TRAIL, False),
    ("{ $.user.* = 1 }", TRAIL, True),
    ("{ $.coordinates[1][0] = 4 }", TRAIL, True),
    ("{ $.['cluster.name'] = \"c\" }", TRAIL, True),
    ("{ $.arrayKey = value }", TRAIL, False),
    ("{ $.arrayKey != value }", TRAIL, False),
    ("{ $.user != 1 }", TRAIL, False),
    ("{ $.nothing != 1 }", TRAIL, False),
    ('{ $.SomeObject != "x" }', TRAIL, False),
    ("{ $.latency = 5* }", TRAIL, True),
    ("{ $.SomeObject IS NULL }", TRAIL, True),
    ("{ $.nothing IS NULL }", TRAIL, False),
    ("{ $.nothing NOT EXISTS }", TRAIL, True),
    ("{ $.SomeObject NOT EXISTS }", TRAIL, False),
    ("{ $.ThisFlag IS TRUE }", TRAIL, True),
    ("{ $.ThisFlag IS FALSE }", TRAIL, False),
    ("{ $.latency >= 50 && $.latency < 5.1e1 }", TRAIL, True),
    ("{ $.latency > +50.5 }", TRAIL, False),
    ("{ $.latency = 505e-1 }", TRAIL, True),
    ("{ $.latency != -1 }", TRAIL, True),
    ("{ $.code = 404 }", TRAIL, True),
    ("{ $.code >= 400 }", TRAIL, False),
    ("{ ($.user.id = 1) && ($.actions[2] = DELETE) }", TRAIL, True),
    ('{ ($.user.id = 2 && $.code = "x") || $.actions[2] = "GET" }', TRAIL, False),
    ('{ $.user.email = "John*" || $.coordinates[0][1] = no && $.actions[2] = no }', TRAIL, True),
    ('{ ($.user.email = "John*" || $.coordinates[0][1] = no) && $.actions[2] = no }', TRAIL, False),
    ("{ $.a NOT EXISTS }", "plain text", False),
    ("{ $.a NOT EXISTS }", "[1]", False),
    ("{ $.a NOT EXISTS }", '{"b": 1e99999999999999999999}', False),
    ("{ $.a = 1 }", '{"a": 1.0}\n', True),
]
IN_FIELDS = [
    ("[w1=ERROR, w2]", "ERROR message", True),
    ("[w1=ERROR, w2]", "ERROR 09/25/2014 12:00:02 Failed to process request", True),
    ("[w1=ERROR, w2]", "WARNING 09/25/2014 12:00:02 Invalid user request", False),
    ("[w1=ERROR, w2]", "ERROR", False),
    ('[w1=ERROR, w2="Failed to [process] a*"]', "ERROR Failed to [process] a request\n", True),
    ("[w1=ERROR || w1=WARN, w2]", "WARN message", True),
    ("[w1!=ERROR&&w1!=WARN, w2]", "WARN message", False),
    ("[w1!=ERROR && w1!=WARN, w2]", "INFO message", True),
    ("[ip, user, username, timestamp, request, status_code, bytes]", ACCESS, True),
    ("[ip, user, username, timestamp, request, status_code, bytes, more]", ACCESS, False),
    (r"[ip=%127\.0\.0\.[1-9]%, user, username, timestamp, request =*.html*, status_code = 4*, bytes]", ACCESS, True),
    ("[..., status_code, bytes > 1000]", ACCESS, True),
    ("[ip, user, ..., status_code = 5*, bytes]", ACCESS, False),
    ("[ip=127.0.0.1, ...]", ACCESS, True),
    ("[..., request=*.html*, status_code=4*,]", ACCESS, True),
    ('[..., request="GET *", status_code >= 400 && status_code != 403, bytes]', ACCESS, True),
    ("[a, b, timestamp=*-0700, ...]", ACCESS, False),
    ("[a, b, c, timestamp=*-0700, ...]", ACCESS, True),
    ("[a=1, ...]", "1.0 x", True),
    ("[a, ..., b]", "one", False),
]


@pytest.mark.parametrize(("pattern", "message", "expected"), TERMS)
@pytest.mark.behaviour("L1")
def test_terms(pattern: str, message: str, expected: bool) -> None:
    assert compiled(pattern)(message) is expected


@pytest.mark.parametrize(("pattern", "message", "expected"), REGULAR_EXPRESSIONS)
@pytest.mark.behaviour("L2")
def test_regular_expressions(pattern: str, message: str, expected: bool) -> None:
    assert compiled(pattern)(message) is expected


@pytest.mark.parametrize(("pattern", "message", "expected"), IN_JSON)
@pytest.mark.behaviour("L3")
def test_patterns_for_json(pattern: str, message: str, expected: bool) -> None:
    assert compiled(pattern)(message) is expected


@pytest.mark.parametrize(("pattern", "message", "expected"), IN_FIELDS)
@pytest.mark.behaviour("L4")
def test_patterns_for_fields(pattern: str, message: str, expected: bool) -> None:
    assert compiled(pattern)(message) is expected


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("?Status: timeout", "Invalid character(s) in term ':'"),
        ("order-7", "Invalid character(s) in term '-'"),
        ('ERROR - "Exiting"', "Invalid character(s) in term '-'"),
        ("Spawned (reason", "Invalid character(s) in term '('"),
        ('say "no', "Invalid character(s) in term '\"'"),
        ("naïve", "Invalid character(s) in term 'ï'"),
        ("%something!%", "Invalid character(s) in term '!'"),
        ("%a(b)%", "Invalid character(s) in term '('"),
        (r"%a\(b%", "Invalid character(s) in term '\\'"),
        ("%a b%", "Invalid character(s) in term ' '"),
        (r"%a\bb%", "Invalid character(s) in term '\\'"),
        ("%a[b%", "Invalid filter pattern: a regular expression cannot be read: "),
        ("{ $.level = ERROR", "If a filter pattern starts with '{' it must end with '}'"),
        ("[time, level=ERROR, msg", "If a filter pattern starts with '[' it must end with ']'"),
        ('{ $."sc-status" = 5* }', "Invalid character(s) in term '$.\"'"),
        ('{ $.message = "error-response" ; $.path = "/a" }', "Invalid character(s) in term ';'"),
        ("{ level = ERROR }", "Invalid filter pattern: 'level' is no selector"),
        ("{ $.level }", "Invalid filter pattern: it ends too early."),
        ("{ }", "Invalid filter pattern: it ends too early."),
        ("{ $.a = 1 || }", "Invalid filter pattern: it ends too early."),
        ("{ $.a = = }", "Invalid filter pattern: '=' is no value."),
        ("{ $.a 1 }", "Invalid filter pattern: '1' is no operator."),
        ("{ $.a = 1 $.b = 2 }", "Invalid filter pattern: '$.b' is not expected there."),
        ("{ ($.a = 1 }", "Invalid filter pattern: a parenthesis is not closed."),
        ("{ $.a > x }", "Invalid filter pattern: > compares with a number."),
        (
            "{ $.a IS NOT NULL }",
            "Invalid filter pattern: only IS NULL, IS TRUE, IS FALSE and NOT EXISTS ",
        ),
        ("{ $.a EXISTS }", "Invalid filter pattern: only IS NULL, IS TRUE, IS FALSE and NOT EXISTS "),
        ("{ $.a[*].b[*] = 1 }", "Invalid filter pattern: one wildcard a selector and 3 altogether are allowed."),
        (
            "{ $.a = %a% || $.b = %b% || $.c = %c% }",
            "Invalid filter pattern: it may have at most 2 ",
        ),
        ("{ " + "(" * 900 + " }", "Invalid filter pattern: it is nested too deeply."),
        ("[..., a, ...]", "Invalid filter pattern: it may have one ellipsis."),
        ("[status = 4* && bytes > 1000]", "Invalid filter pattern: 'bytes' is not the name of this field."),
        ("[a.b, c]", "Invalid character(s) in term '.'"),
    ],
)
@pytest.mark.behaviour("L5")
def test_what_is_no_pattern(pattern: str, text: str) -> None:
    with pytest.raises(PatternError) as refused:
        compiled(pattern)
    assert str(refused.value).startswith(text)


class Log:
    """A log group with events in three streams, a second apart and in turn."""

    def __init__(self, aws: Aws) -> None:
        self.logs = aws.client("logs")
        self.group = aws.name("/shop/log")
        self.start = int(aws.now()) * 1000 - 600_000
        self.logs.create_log_group(logGroupName=self.group)
        for place, stream in enumerate(("blue/1", "blue/2", "red/1")):
            self.logs.create_log_stream(logGroupName=self.group, logStreamName=stream)
            events = [
                {"timestamp": self.start + at * 1000, "message": f"order {at} failed" if at % 2 else f"order {at}"}
                for at in range(place, 9, 3)
            ]
            self.logs.put_log_events(logGroupName=self.group, logStreamName=stream, logEvents=events)

    def ask(self, **asked: Any) -> dict[str, Any]:
        """Ask for one page."""
        return dict(self.logs.filter_log_events(logGroupName=self.group, **asked))

    def found(self, **asked: Any) -> list[int]:
        """Return the seconds at which the events of a page were."""
        return [(event["timestamp"] - self.start) // 1000 for event in self.ask(**asked)["events"]]

    def refused(self, **asked: Any) -> tuple[str, str]:
        """Return code and text of a refusal."""
        with pytest.raises(ClientError) as refused:
            self.logs.filter_log_events(**({"logGroupName": self.group} | asked))
        error = refused.value.response["Error"]
        return error["Code"], error["Message"]


@pytest.fixture(scope="module")
def log(aws: Aws) -> Log:
    """Make the log group."""
    return Log(aws)


@pytest.mark.behaviour("L1", "L6")
def test_events_come_by_time_from_the_streams_and_moments_that_were_asked_for(aws: Aws, log: Log) -> None:
    assert log.found() == list(range(9))
    assert log.found(filterPattern="failed", interleaved=False) == [1, 3, 5, 7]
    assert log.found(filterPattern="?failed ?8") == [1, 3, 5, 7, 8]
    assert log.found(filterPattern="order -failed") == [0, 2, 4, 6, 8]
    assert log.found(logStreamNamePrefix="blue/") == [0, 1, 3, 4, 6, 7]
    assert log.found(logStreamNames=["red/1", "blue/1"]) == [0, 2, 3, 5, 6, 8]
    assert log.found(startTime=log.start + 2000, endTime=log.start + 4000) == [2, 3, 4]
    assert log.found(startTime=log.start + 2000, startFromHead=False) == [8, 7, 6, 5, 4, 3, 2]
    arn = f"arn:aws:logs:{aws.info.region}:{aws.info.account}:log-group:{log.group}"
    answer = dict(log.logs.filter_log_events(logGroupIdentifier=arn, limit=1))
    assert answer["searchedLogStreams"] == []
    (event,) = answer["events"]
    assert (event["logStreamName"], event["message"]) == ("blue/1", "order 0")
    assert event["ingestionTime"] >= log.start + 600_000
    assert event["eventId"]


@pytest.mark.behaviour("L6")
def test_pages_follow_their_token_whatever_comes_in_between(aws: Aws) -> None:
    log = Log(aws)
    first = log.ask(filterPattern="failed", limit=2)
    assert [event["message"] for event in first["events"]] == ["order 1 failed", "order 3 failed"]
    early = [{"timestamp": log.start, "message": "early failed"}]
    log.logs.put_log_events(logGroupName=log.group, logStreamName="red/1", logEvents=early)
    second = log.ask(filterPattern="failed", limit=2, nextToken=first["nextToken"])
    assert [event["message"] for event in second["events"]] == ["order 5 failed", "order 7 failed"]
    assert "nextToken" not in second
    last = log.ask(limit=9, startTime=log.start, startFromHead=False)
    rest = log.found(startTime=log.start, nextToken=last["nextToken"], startFromHead=True)
    assert rest == [0], "the token keeps the direction"
    large = [{"timestamp": log.start + 60_000 + n, "message": f"{n}" + "x" * 400_000} for n in range(4)]
    for one in large:
        log.logs.put_log_events(logGroupName=log.group, logStreamName="red/1", logEvents=[one])
    pages = log.logs.get_paginator("filter_log_events").paginate(logGroupName=log.group, filterPattern="%^[0-9]x%")
    assert [len(page["events"]) for page in pages] == [2, 2], "a page holds 1 MB"
    old = Log(aws).ask(limit=1)["nextToken"]
    told = ("InvalidParameterException", "The specified nextToken is invalid.")
    assert log.refused(nextToken=old) == log.refused(nextToken="x") == told


@pytest.mark.behaviour("L5", "L6")
def test_what_filter_log_events_refuses(log: Log) -> None:
    invalid = "InvalidParameterException"
    assert log.refused(filterPattern="order-7") == (invalid, "Invalid character(s) in term '-'")
    assert log.refused(filterPattern="x" * 1025)[1].endswith("Member must have length less than or equal to 1024")
    assert log.refused(limit=10_001)[1].endswith("Member must have value less than or equal to 10000")
    for asked in (
        {"logStreamNames": ["red/1"], "logStreamNamePrefix": "red"},
        {"logGroupIdentifier": log.group},
        {"startFromHead": False},
        {"startFromHead": False, "startTime": 1_704_067_199_999},
    ):
        assert log.refused(**asked)[0] == invalid, asked
    missing = "ResourceNotFoundException"
    assert log.refused(logGroupName="/none") == (missing, "The specified log group does not exist.")
    assert log.refused(logStreamNames=["green"]) == (missing, "The specified log stream does not exist.")


def test_a_search_needs_its_right_on_the_log_group(aws: Aws, log: Log, caller: Caller) -> None:
    client, arn = caller.client("logs"), f"arn:aws:logs:{aws.info.region}:{aws.info.account}:log-group:{log.group}"
    caller.may({"Action": "logs:Get*"})
    with pytest.raises(ClientError) as refused:
        client.filter_log_events(logGroupName=log.group)
    assert refused.value.response["Error"]["Message"] == caller.denied("logs:FilterLogEvents", arn)
    for resource in (arn, f"{arn}:*"):
        caller.may({"Action": "logs:FilterLogEvents", "Resource": resource})
        for named in ({"logGroupName": log.group}, {"logGroupIdentifier": arn}):
            assert len(client.filter_log_events(**named)["events"]) == 9


def test_a_pattern_that_would_make_a_metric_is_refused_instead_of_kept_without_one(log: Log) -> None:
    metric = {"metricName": "Failed", "metricNamespace": "Shop", "metricValue": "1"}
    with pytest.raises(ClientError, match="makes no metrics from log events"):
        log.logs.put_metric_filter(
            logGroupName=log.group, filterName="failed", filterPattern="failed", metricTransformations=[metric]
        )
