"""Logs Insights: the queries that are offered bring true figures, and the others are refused. PutLogEvents in time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Aws

ID = "6bc28136-1111-4365-b021-0ce6b2e64ab0"
REPORT = (
    "REPORT RequestId: {id}\tDuration: {duration} ms\tBilled Duration: {billed} ms\t"
    "Memory Size: 128 MB\tMax Memory Used: {used} MB\t{init}\n"
)
LINES = [
    (0, "START RequestId: " + ID + " Version: $LATEST\n"),
    (1, "[INFO]\t2026-01-01T00:00:00.000Z\t" + ID + "\torder 7 of ada took 12 ms\n"),
    (2, '{"level": "ERROR", "order": {"id": 7, "lines": ["pen", "ink"]}, "price": 2.5, "paid": true}\n'),
    (3, '{"level": "INFO", "order": {"id": 8}, "price": 10}\n'),
    (4, 'saved {"level": "INFO", "price": 0.5}\n'),
    (5, "END RequestId: " + ID + "\n"),
    (6, REPORT.format(id=ID, duration="2.16", billed="100", used="60", init="Init Duration: 97.52 ms\t")),
    (70, REPORT.format(id=ID, duration="4.50", billed="5", used="61", init="")),
    (130, REPORT.format(id=ID, duration="6.00", billed="6", used="70", init="")),
]


@dataclass
class Log:
    """A log group with known lines, and the moment of its first."""

    aws: Aws
    group: str
    start: float

    def ask(self, text: str, **options: Any) -> list[dict[str, str]]:
        """Run a query over all lines; return its rows without the pointers."""
        return ask(self.aws, self.group, text, start=int(self.start) - 60, **options)


def ask(aws: Aws, group: str, text: str, *, start: int, end: int | None = None, **options: Any) -> list[dict[str, str]]:
    """Run a query; return its rows without the pointers."""
    logs = aws.client("logs")
    made = logs.start_query(
        logGroupName=group, startTime=start, endTime=end or start + 3600, queryString=text, **options
    )
    answer = logs.get_query_results(queryId=made["queryId"])
    assert answer["status"] == "Complete"
    return [{item["field"]: item["value"] for item in row if item["field"] != "@ptr"} for row in answer["results"]]


def write(aws: Aws, group: str, events: list[tuple[float, str]]) -> dict[str, Any]:
    """Write events at moments in seconds."""
    listed = [{"timestamp": int(at * 1000), "message": message} for at, message in events]
    return dict(aws.client("logs").put_log_events(logGroupName=group, logStreamName="s", logEvents=listed))


def new_group(aws: Aws, prefix: str = "/aws/lambda/") -> str:
    """Make a log group with a stream `s`; return its name."""
    group = prefix + aws.name("g")
    aws.client("logs").create_log_group(logGroupName=group)
    aws.client("logs").create_log_stream(logGroupName=group, logStreamName="s")
    return group


@pytest.fixture(scope="module")
def log(aws: Aws) -> Log:
    """Make the log group that the queries are put to."""
    group = new_group(aws)
    start = aws.now() // 300 * 300 - 600
    write(aws, group, [(start + at, message) for at, message in LINES])
    return Log(aws, group, start)


def test_system_fields_and_newest_first(log: Log) -> None:
    rows = log.ask("fields @timestamp, @logStream, @log, @type | limit 2")
    assert [row["@type"] for row in rows] == ["REPORT", "REPORT"]
    assert rows[0]["@logStream"] == "s"
    assert rows[0]["@log"].endswith(f":{log.group}")
    assert rows[0]["@timestamp"] > rows[1]["@timestamp"]
    assert rows[0]["@timestamp"].endswith(".000")
    assert log.ask("fields @message | sort @timestamp asc | limit 1") == [{"@message": LINES[0][1]}]
    assert set(log.ask("filter @type = 'END'")[0]) == {"@timestamp", "@message"}


def test_what_is_discovered_in_report_lines(log: Log) -> None:
    (row,) = log.ask(
        "fields @requestId, @duration, @billedDuration, @memorySize, @maxMemoryUsed, @initDuration "
        "| filter @type = 'REPORT' and ispresent(@initDuration)"
    )
    assert row == {
        "@requestId": ID,
        "@duration": "2.16",
        "@billedDuration": "100",
        "@memorySize": "128000000",
        "@maxMemoryUsed": "60000000",
        "@initDuration": "97.52",
    }
    assert len(log.ask(f"filter @requestId = '{ID}'")) == 6


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("@message like /(?i)ORDER \\d+/", 1),
        ("@message like 'order'", 3),
        ("@message not like /RequestId/", 4),
        ("level = 'ERROR'", 1),
        ("level != 'ERROR'", 2),
        ("level in ['ERROR', 'INFO'] and price >= 2.5", 2),
        ("price < 1 or price > 5", 2),
        ("not (level = 'INFO') and ispresent(level)", 1),
        ("order.id = 8", 1),
        ("order.lines.1 = 'ink'", 1),
        ("@duration > 4 and @duration <= 4.5", 1),
    ],
)
def test_filters(log: Log, condition: str, count: int) -> None:
    assert log.ask(f"filter {condition} | stats count(*) as n")[0]["n"] == str(count)


def test_stats_have_figures(log: Log) -> None:
    (row,) = log.ask(
        'filter @type = "REPORT" # the invocations\n| stats count(*), count() as n, sum(@billedDuration),'
        " avg(@duration), min(@duration), max(@maxMemoryUsed / 1000 / 1000) as used,"
        " pct(@duration, 50), pct(@duration, 99) as p99,"
        " max(@memorySize / 1000 / 1000) - used as spare"
    )
    assert row == {
        "count(*)": "3",
        "n": "3",
        "sum(@billedDuration)": "111",
        "avg(@duration)": "4.22",
        "min(@duration)": "2.16",
        "used": "70",
        "pct(@duration, 50)": "4.5",
        "p99": "6",
        "spare": "58",
    }


def test_stats_by_field_and_by_time(log: Log) -> None:
    rows = log.ask("stats count(*) as n, sum(price) as total by level | sort n desc, level asc")
    assert rows == [
        {"n": "6"},
        {"level": "INFO", "n": "2", "total": "10.5"},
        {"level": "ERROR", "n": "1", "total": "2.5"},
    ]
    rows = log.ask("filter @type = 'REPORT' | stats count(*) as n, min(@duration) as d by bin(1m) | sort bin(1m) asc")
    assert [(row["n"], row["d"]) for row in rows] == [("1", "2.16"), ("1", "4.5"), ("1", "6")]
    assert all(row["bin(1m)"].endswith(":00.000") for row in rows)
    (row,) = log.ask("filter @type = 'REPORT' | stats count(*) by bin(5m)")
    assert row["count(*)"] == "3"
    assert log.ask("filter level = 'none' | stats count(*)") == []


def test_parse_by_glob_and_by_expression(log: Log) -> None:
    glob = "parse @message 'order * of * took * ms' as number, who, ms | display number, who, ms"
    wanted = [{"number": "7", "who": "ada", "ms": "12"}]
    assert log.ask(f"{glob} | filter ms > 9") == wanted
    assert log.ask(f"{glob} | filter ispresent(who)") == wanted
    assert log.ask(f"{glob} | filter ms > 12") == []
    expression = r"parse @message /order (?<number>\d+) of (?<who>\w+) took (?<ms>\d+)/"
    rows = log.ask(f"{expression} | filter ispresent(who) | stats max(ms) as ms by who, number")
    assert rows == wanted
    assert list(rows[0]) == ["who", "number", "ms"]


def test_dedup_sort_and_limits(log: Log) -> None:
    rows = log.ask("fields level, price | filter ispresent(level) | sort price desc | dedup level")
    assert rows == [{"level": "INFO", "price": "10"}, {"level": "ERROR", "price": "2.5"}]
    assert len(log.ask("fields @message", limit=4)) == 4
    assert len(log.ask("fields @message | limit 3", limit=5)) == 3


def test_json_in_other_groups_must_be_the_whole_line(aws: Aws) -> None:
    group = new_group(aws, "/shop/")
    now = aws.now()
    write(aws, group, [(now, '{"a": 1}'), (now + 1, 'saved {"a": 2}')])
    assert ask(aws, group, "fields a | filter ispresent(a)", start=int(now) - 5) == [{"a": "1"}]


def test_the_range_includes_both_ends(log: Log) -> None:
    first = int(log.start)
    assert len(ask(log.aws, log.group, "fields @message", start=first, end=first)) == 1
    assert len(ask(log.aws, log.group, "fields @message", start=first + 7, end=first + 69)) == 0


@pytest.mark.parametrize(
    "query",
    [
        *("pattern @message", "unmask @message", "fields jsonParse(@message)", "stats stddev(@duration)"),
        *("filter", "stats @duration", "fields @message |", "limit 0", "parse @message 'a * b' as x, y"),
        *("filter @message like /(/", "stats count(*) by bin(x)", "dedup level | fields level", "fields 'open"),
        "filter " + "(" * 5000,
    ],
)
def test_what_is_not_offered_is_refused_in_a_sentence(log: Log, query: str) -> None:
    logs = log.aws.client("logs")
    with pytest.raises(logs.exceptions.MalformedQueryException) as caught:
        log.ask(query)
    error = caught.value.response
    assert error["queryCompileError"]["location"]["endCharOffset"] > 0
    assert error["Error"]["Message"].endswith(".")
    if "open" not in query and "((" not in query:
        assert "fields, display, filter, parse, stats, sort, limit, dedup" in error["Error"]["Message"]


def test_other_refusals_and_the_list_of_queries(log: Log) -> None:
    logs = log.aws.client("logs")
    times = {"startTime": 0, "endTime": 9, "queryString": "fields @message"}
    for arguments, code in (
        ({**times, "logGroupName": "/nobody"}, "ResourceNotFoundException"),
        ({**times}, "InvalidParameterException"),
        ({**times, "startTime": 10, "logGroupName": log.group}, "InvalidParameterException"),
        ({**times, "queryLanguage": "SQL", "logGroupName": log.group}, "InvalidParameterException"),
    ):
        with pytest.raises(ClientError) as caught:
            logs.start_query(**arguments)
        assert caught.value.response["Error"]["Code"] == code
    made = logs.start_query(**{**times, "endTime": int(log.start) + 600}, logGroupNames=[log.group])["queryId"]
    answer = logs.get_query_results(queryId=made)
    assert answer["statistics"]["recordsScanned"] == len(LINES)
    assert logs.describe_queries(logGroupName=log.group)["queries"][0]["queryId"] == made
    with pytest.raises(ClientError, match="already ended"):
        logs.stop_query(queryId=made)
    with pytest.raises(ClientError, match="does not exist"):
        logs.get_query_results(queryId="x")


@pytest.mark.behaviour("D65")
def test_a_real_function_is_measured_by_its_report_lines(aws: Aws) -> None:
    function = aws.function("import json\ndef handler(event, context):\n    print(json.dumps({'n': event['n']}))")
    start = int(aws.now())
    for number in (1, 2, 3):
        aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps({"n": number}))
    group = f"/aws/lambda/{function}"
    (row,) = ask(
        aws,
        group,
        "filter @type = 'REPORT' | stats count(*) as n, count(@initDuration) as cold, max(@memorySize) as size",
        start=start,
    )
    assert row == {"n": "3", "cold": "1", "size": "128000000"}
    assert ask(aws, group, "stats sum(n) as total | display total", start=start) == [{"total": "6"}]


def test_events_are_written_in_the_time_of_the_space(aws: Aws) -> None:
    aws.advance(5 * 3600)
    group, now = new_group(aws), aws.now()
    hour, day = 3600.0, 86_400.0
    assert "rejectedLogEventsInfo" not in write(aws, group, [(now - hour, "a"), (now + 1.9 * hour, "b")])
    assert write(aws, group, [(now + hour, "c"), (now + 2.1 * hour, "too new")])["rejectedLogEventsInfo"] == {
        "tooNewLogEventStartIndex": 1
    }
    assert write(aws, group, [(now - 14.1 * day, "too old"), (now - 13.9 * day, "d")])["rejectedLogEventsInfo"] == {
        "tooOldLogEventEndIndex": 1
    }
    aws.client("logs").put_retention_policy(logGroupName=group, retentionInDays=3)
    assert write(aws, group, [(now - 4 * day, "expired")])["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
    read = aws.client("logs").get_log_events(logGroupName=group, logStreamName="s", startFromHead=True)["events"]
    assert [event["message"] for event in read] == ["d", "a", "c", "b"]
    for events, code in (
        ([(now, "b"), (now - 1, "a")], "InvalidParameterException"),
        ([(now - 2 * day, "a"), (now, "b")], "InvalidParameterException"),
    ):
        with pytest.raises(ClientError) as caught:
            write(aws, group, events)
        assert caught.value.response["Error"]["Code"] == code
    with pytest.raises(ClientError) as caught:
        write(aws, "/nobody", [(now, "a")])
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
