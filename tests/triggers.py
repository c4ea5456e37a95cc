"""What the tests of event source mappings share: handlers, queues with dead letters, and what a function has seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .conftest import Aws

RECORDS = """
    import json, time
    def handler(event, context):
        print(json.dumps({"at": time.time(), "event": event, "arn": context.invoked_function_arn}))
"""
FAILS = """
    import json, time
    def handler(event, context):
        for record in event["Records"]:
            print(json.dumps({"at": time.time(), "count": record["attributes"]["ApproximateReceiveCount"],
                              "id": record["messageId"], "handle": record["receiptHandle"]}))
        raise RuntimeError("no")
"""


def works_for(seconds: float, then: str = "pass") -> str:
    """Return a handler that works for some time and prints when it began and ended, and what it got."""
    return f"""
    import json, time
    def handler(event, context):
        begin = time.time()
        time.sleep({seconds})
        print(json.dumps({{"begin": begin, "end": time.time(), "event": event}}))
        {then}
"""


def peak(runs: list[dict[str, Any]]) -> int:
    """Return how many runs overlapped at most."""
    moments = sorted([(run["begin"], 1) for run in runs] + [(run["end"], -1) for run in runs])
    most = now = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return most


def dead_letters(aws: Aws, max_receive_count: int, **attributes: Any) -> tuple[str, str]:
    """Make a queue with a dead-letter queue; return both URLs."""
    fifo = attributes.get("fifo", False)
    dead = aws.queue(fifo=fifo)
    policy = {"deadLetterTargetArn": aws.queue_arn(dead), "maxReceiveCount": max_receive_count}
    return aws.queue(RedrivePolicy=policy, **attributes), dead


def send(aws: Aws, queue: str, bodies: Iterable[str], group: str | None = None) -> list[str]:
    """Send bodies in their order, ten at a time; return the message ids."""
    fifo = {} if group is None else {"MessageGroupId": group}
    rest, sent = list(bodies), []
    while rest:
        some, rest = rest[:10], rest[10:]
        entries = [{"Id": str(index), "MessageBody": body, **fifo} for index, body in enumerate(some)]
        if group is not None:
            for entry in entries:
                entry["MessageDeduplicationId"] = aws.name("d")
        answer = aws.client("sqs").send_message_batch(QueueUrl=queue, Entries=entries)
        sent += [item["MessageId"] for item in answer["Successful"]]
    return sent


def change(aws: Aws, uuid: str, **settings: Any) -> None:
    """Change a mapping and wait until the change holds."""
    client = aws.client("lambda")
    client.update_event_source_mapping(UUID=uuid, **settings)
    aws.until(lambda: client.get_event_source_mapping(UUID=uuid)["State"] in ("Enabled", "Disabled"))


def batches(aws: Aws, function: str) -> list[list[str]]:
    """Return the bodies of each batch that a function has seen, in order."""
    return [[record["body"] for record in run["event"]["Records"]] for run in aws.printed(function)]
