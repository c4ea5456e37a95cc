"""Answers that learners give in notebook 04, and the sentence that each must earn."""

from __future__ import annotations

IN_TENS = """
def send_tens(start):
    entries = [{"Id": str(place + 1), "MessageBody": bodies[place]} for place in range(start, start + 10)]
    return sqs.send_message_batch(QueueUrl=thousand_url, Entries=entries).get("Failed", [])
"""
REPORT = """
    for failure in failed:
        sqs.send_message(QueueUrl=rejected_url, MessageBody=f"order {failure['Id']}: {failure['Code']}")
"""
DAY = "\nslow_day()\n"

ANSWERS = [
    (
        "04-thousand",
        IN_TENS + "for start in range(0, 1000, 10):\n    send_tens(start)",
        "◐ almost: 998 orders are in the queue and nobody heard of 2. The call succeeded, two entries did not: "
        "read `Failed`.",
    ),
    (
        "04-thousand",
        IN_TENS + "for start in range(0, 1000, 10):\n    failed = send_tens(start) and send_tens(start)" + REPORT,
        "◐ almost: There are 1,016 messages, and only 998 orders that SQS takes. The good orders of that batch are in "
        "the queue twice now.",
    ),
    (
        "04-thousand",
        """
for number, body in enumerate(bodies, 1):
    try:
        sqs.send_message(QueueUrl=thousand_url, MessageBody=body)
    except sqs.exceptions.ClientError as problem:
        code = problem.response["Error"]["Code"]
        sqs.send_message(QueueUrl=rejected_url, MessageBody=json.dumps({"order": number, "code": code}))
""",
        "◐ almost: All 998 are in the queue, and it took 998 requests; 105 are allowed",
    ),
    (
        "04-thousand",
        """
from helpers import resources
report = messages.send_many(resources.queue(lab, "thousand"), bodies)
text = json.dumps([{"order": failure.position + 1, "code": failure.code} for failure in report.failed])
sqs.send_message(QueueUrl=rejected_url, MessageBody=text)
""",
        "● yes",
    ),
    (
        "04-window",
        "set_trigger(MaximumBatchingWindowInSeconds=300)" + DAY,
        "◐ almost: Fewer invocations, but an order now waits up to 5 minutes.",
    ),
    (
        "04-window",
        "set_trigger(MaximumBatchingWindowInSeconds=1)" + DAY,
        "at most 20 for 55 are wanted. The window is 1 s and the batch size 1",
    ),
    (
        "04-window",
        "set_trigger(BatchSize=100, MaximumBatchingWindowInSeconds=7)" + DAY,
        "● yes",
    ),
]
