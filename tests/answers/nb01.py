"""Answers that learners give in notebook 01, and the sentence that each must earn."""

from __future__ import annotations

LEASE = """
def lease():
    return sqs.receive_message(QueueUrl=desk, MaxNumberOfMessages=3, WaitTimeSeconds=1)["Messages"]

one, two, three = lease()
"""
FINISH_ONE = """
sqs.delete_message(QueueUrl=desk, ReceiptHandle=one["ReceiptHandle"])
"""
GIVE_TWO_BACK = """
sqs.change_message_visibility(QueueUrl=desk, ReceiptHandle=two["ReceiptHandle"], VisibilityTimeout=0)
"""
KEEP_THREE = """
sqs.change_message_visibility(QueueUrl=desk, ReceiptHandle=three["ReceiptHandle"], VisibilityTimeout=120)
"""
WAIT = """
lab.wait(90, "to see who stays hidden")
"""
ANSWERS = [
    (
        "01-lease",
        LEASE + GIVE_TWO_BACK + KEEP_THREE + WAIT,
        "◐ almost: You read it; reading only hides it. DeleteMessage ends it.",
    ),
    (
        "01-lease",
        LEASE + FINISH_ONE + KEEP_THREE + 'lab.wait(30, "until it is back")' + WAIT,
        "◐ almost: It came back by itself; ChangeMessageVisibility to 0 gives it back now.",
    ),
    (
        "01-lease",
        LEASE
        + 'lab.wait(30, "over a coffee")\n_, two, three = lease()\n'
        + FINISH_ONE
        + GIVE_TWO_BACK
        + KEEP_THREE
        + WAIT,
        "◐ almost: A handle belongs to one receive; this message was received again since, so use the newest one.",
    ),
    (
        "01-lease",
        LEASE + FINISH_ONE + GIVE_TWO_BACK + WAIT,
        "◐ almost: The one to keep came back after 30 s",
    ),
    (
        "01-lease",
        """
handles = []
while len(handles) < 3:
    answer = sqs.receive_message(QueueUrl=desk, VisibilityTimeout=120)
    handles += [message["ReceiptHandle"] for message in answer.get("Messages", [])]
sqs.delete_message_batch(QueueUrl=desk, Entries=[{"Id": "0", "ReceiptHandle": handles[0]}])
back = {"Id": "1", "ReceiptHandle": handles[1], "VisibilityTimeout": 0}
sqs.change_message_visibility_batch(QueueUrl=desk, Entries=[back])
lab.wait(100, "to see who stays hidden")
""",
        "● yes",
    ),
    (
        "01-lease",
        LEASE + FINISH_ONE + GIVE_TWO_BACK + KEEP_THREE + WAIT + "sqs.receive_message(QueueUrl=desk)",
        "● yes",
    ),
    (
        "01-lease",
        LEASE.replace("WaitTimeSeconds=1", "VisibilityTimeout=120") + FINISH_ONE + WAIT + GIVE_TWO_BACK,
        "◐ almost: Nobody else could have either for 90 s: give one back right after its receive",
    ),
]
