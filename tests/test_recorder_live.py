"""The event feed of a running local AWS: what really happened stands in the log."""

from __future__ import annotations

import json
from typing import Any

import pandas
import pytest

from helpers import recorder
from helpers.recorder_feed import Recorder
from tests.conftest import Aws

FAILS = """
import json

def handler(event, context):
    bad = [record for record in event["Records"] if "bad" in record["body"]]
    if bad and "partial" not in bad[0]["body"]:
        raise KeyError("total")
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in bad]}
"""


class Feed:
    """The lab endpoint as the recorder's source."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    def events(self, after: int, limit: int) -> dict[str, Any]:
        """Return rows after a number."""
        return self._aws.lab("GET", f"/_local/events?after={after}&limit={limit}")


def log_of(aws: Aws, queue: str) -> pandas.DataFrame:
    """Return the log of a queue, by its URL."""
    return Recorder(Feed(aws)).log(queue=queue)


def seconds(log: pandas.DataFrame, event: str) -> list[float]:
    """Return when something happened, in whole seconds since the log's beginning."""
    times = log.loc[log["event"] == event, "time"]
    return [round((moment - log["time"].min()).total_seconds()) for moment in times]


def pipeline(aws: Aws, *, partial: bool = False, **queue: Any) -> tuple[str, str]:
    """Make a queue with a dead-letter queue behind it and the function that fails; return the queue's URL and name."""
    dead = aws.queue()
    policy = {"deadLetterTargetArn": aws.queue_arn(dead), "maxReceiveCount": 3}
    url = aws.queue(RedrivePolicy=policy, VisibilityTimeout=30, **queue)
    kinds = {"FunctionResponseTypes": ["ReportBatchItemFailures"]} if partial else {}
    aws.mapping(url, aws.function(FAILS), **kinds)
    return url, url.rpartition("/")[2]


@pytest.mark.behaviour("C88", "A68")
def test_a_failing_message_is_received_at_0_30_and_60_and_dead_at_90(aws: Aws) -> None:
    url, name = pipeline(aws)
    sent = aws.client("sqs").send_message(QueueUrl=url, MessageBody="bad")["MessageId"]
    aws.advance(100)
    log = log_of(aws, url)
    assert set(log["message"].dropna()) == {sent}
    assert seconds(log, "received") == [0, 30, 60]
    assert seconds(log, "invoked") == [0, 30, 60]
    assert seconds(log, "failed") == [0, 30, 60]
    assert seconds(log, "dead-lettered") == [90]
    assert list(log.loc[log["event"] == "received", "receive_count"]) == [1, 2, 3]
    assert set(log.loc[log["event"] == "failed", "outcome"]) == {"KeyError"}
    (row,) = recorder.messages(log).itertuples()
    assert (row.queue, row.attempts, row.end) == (name, 3, "dead")
    runs = recorder.invocations(log)
    assert list(runs["cold"]) == [True, False, False]
    assert list(runs["status"]) == ["failed"] * 3
    assert runs["environment"].nunique() == 1
    assert 0 < runs["init_s"].iloc[0] < 10


def test_a_batch_that_fails_in_part_keeps_the_others(aws: Aws) -> None:
    url, _ = pipeline(aws, partial=True, DelaySeconds=2)
    entries = [{"Id": str(n), "MessageBody": "bad partial" if n == 3 else "good"} for n in range(5)]
    aws.client("sqs").send_message_batch(QueueUrl=url, Entries=entries)
    aws.advance(120)
    log = log_of(aws, url)
    assert dict(recorder.end_states(log)) == {"done": 4, "dead": 1}
    assert set(log.loc[log["event"] == "failed", "outcome"]) == {recorder.PARTIAL}
    assert seconds(log, "visible")[:5] == [2] * 5
    assert recorder.invocations(log)["batch"].sum() == 7


def test_a_client_s_lease_and_a_duplicate_are_seen(aws: Aws) -> None:
    sqs, url = aws.client("sqs"), aws.queue(fifo=True, ContentBasedDeduplication=True, VisibilityTimeout=30)
    for _ in range(2):
        sqs.send_message(QueueUrl=url, MessageBody="same", MessageGroupId="eu")
    handle = sqs.receive_message(QueueUrl=url)["Messages"][0]["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
    handle = sqs.receive_message(QueueUrl=url)["Messages"][0]["ReceiptHandle"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
    log = log_of(aws, url)
    assert list(log["event"]) == ["sent", "deduplicated", "received", "visible", "received", "deleted"]
    assert set(log["group"]) == {"eu"}
    assert log["message"].nunique() == 1


def test_filtered_expired_and_direct_calls_are_seen(aws: Aws) -> None:
    sqs, url = aws.client("sqs"), aws.queue(MessageRetentionPeriod=60)
    sqs.send_message(QueueUrl=url, MessageBody="old")
    aws.advance(61)
    assert dict(recorder.end_states(log_of(aws, url))) == {"expired": 1}
    function = aws.function(FAILS)
    pattern = json.dumps({"body": {"region": ["eu"]}})
    aws.mapping(url, function, FilterCriteria={"Filters": [{"Pattern": pattern}]})
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"region": "us"}))
    aws.until(lambda: "filtered" in set(log_of(aws, url)["event"]))
    assert dict(recorder.end_states(log_of(aws, url))) == {"filtered": 1, "expired": 1}

    aws.client("lambda").invoke(FunctionName=function, Payload=b"{}")
    log = Recorder(Feed(aws)).log(function=function)
    (row,) = recorder.invocations(log).itertuples()
    assert (row.batch, row.status, row.cold, row.outcome) == (0, "failed", True, "KeyError")


def test_what_is_throttled_says_so(aws: Aws) -> None:
    url, function = aws.queue(VisibilityTimeout=4), aws.function(FAILS)
    aws.client("lambda").put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    aws.mapping(url, function)
    aws.client("sqs").send_message(QueueUrl=url, MessageBody="good")
    aws.advance(3)
    log = log_of(aws, url)
    assert "throttled" in set(log["event"])
    assert set(log.loc[log["event"] == "throttled", "function"]) == {function}
    assert recorder.invocations(log).empty


def test_a_redriven_message_begins_anew(aws: Aws) -> None:
    url, _ = pipeline(aws)
    old = aws.client("sqs").send_message(QueueUrl=url, MessageBody="bad")["MessageId"]
    aws.advance(100)
    dead = log_of(aws, url).query("event == 'dead-lettered'")["outcome"].iloc[0]
    arn = aws.queue_arn(url).rpartition(":")[0] + f":{dead}"
    aws.client("sqs").start_message_move_task(SourceArn=arn)
    aws.advance(5)
    table = recorder.messages(log_of(aws, url))
    assert table.loc[old, "end"] == "redriven"
    assert len(table) == 2
