"""Answers that learners give in notebook 07, and the sentence that each must earn."""

from __future__ import annotations

FIX = """
resources.function(lab, "shop", source=fixed)
"""
MOVE = """
sqs.start_message_move_task(SourceArn=shop.dead_letters.arn)
lab.wait(90, "for the move and the runs")
"""
CHARGED = """
charged = set(log_lines("shop")["charged"])
"""
SORT = """
for row in messages.peek(shop.dead_letters, seconds=300).itertuples():
    letter = {"QueueUrl": shop.dead_letters.url, "ReceiptHandle": row.handle}
    number = json.loads(row.body)["order"]
    reason = "charged already" if number in charged else problem_of(row.body)
    if reason:
        KEEP
        sqs.delete_message(**letter)
    else:
        GO
"""
KEEP = "keep(row.body, reason)"
BACK = "sqs.change_message_visibility(**letter, VisibilityTimeout=0)"
BY_HAND = "sqs.send_message(QueueUrl=shop.url, MessageBody=row.body)"
BARE = "sqs.send_message(QueueUrl=quarantine.url, MessageBody=row.body)"
WITHIN = """sqs.send_message(
            QueueUrl=quarantine.url, MessageBody=json.dumps({"order": json.loads(row.body), "reason": reason})
        )"""
WAIT = """
lab.wait(90, "for their runs")
"""


def sort(keep: str, go: str) -> str:
    """Return the loop over the letters, with what it does to either kind."""
    return SORT.replace("KEEP", keep).replace("GO", go)


ANSWERS = [
    ("07-redrive", FIX + MOVE, "You redrove everything, so the 4 that no code cures are back in"),
    (
        "07-redrive",
        FIX
        + CHARGED
        + """
for row in messages.peek(shop.dead_letters, seconds=30).itertuples():
    if json.loads(row.body)["order"] not in charged and not problem_of(row.body):
        sqs.send_message(QueueUrl=shop.url, MessageBody=row.body)
"""
        + WAIT,
        "with the next redrive everything runs twice. Delete a letter once its order is through.",
    ),
    (
        "07-redrive",
        MOVE + FIX,
        "5 orders that the fix cures went back before the branch's function had the fix, ran into the old code and "
        "are dead letters again. Deploy first, then redrive.",
    ),
    (
        "07-redrive",
        FIX + "charged = set()" + sort(KEEP, BACK) + MOVE,
        "was charged 2 times. A redriven message is a new one",
    ),
    ("07-redrive", FIX + CHARGED + sort("pass", BACK) + MOVE, "and somebody wants that tea. Keep what no code cures"),
    ("07-redrive", FIX + CHARGED + sort(BARE, BACK) + MOVE, "is kept without a reason."),
    ("07-redrive", FIX + CHARGED + sort(WITHIN, BY_HAND + "\n        sqs.delete_message(**letter)") + WAIT, "● yes"),
]
