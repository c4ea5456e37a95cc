"""Answers that learners give in notebook 09, and the sentence that each must earn."""

from __future__ import annotations

STOPS = '''
handler = """
from bank import book

def handler(event, context):
    failed, stopped = [], set()
    for record in event["Records"]:
        group = record["attributes"]["MessageGroupId"]
        if group in stopped or not book(record):
            stopped.add(group)
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
"""
'''
STOPS_ALL = STOPS.replace("group in stopped", "stopped")
GOES_ON = "handler = goes_on\n"
RAISES = '''
handler = """
from bank import book

def handler(event, context):
    for record in event["Records"]:
        if not book(record):
            raise RuntimeError("refused")
"""
'''
SEND = """
resources.function(lab, "bank", source={"app.py": handler, "bank.py": bank})
resources.trigger(lab, queue=transfer_queue, function="bank", batch_size=SIZE, function_response_types=TYPES)
messages.send_many(transfer_queue, transfers, group=lambda transfer: str(GROUP))
lab.wait(70, "until the refused deposit is tried again")
"""


def _sent(group: str, size: int = 10, types: str = '["ReportBatchItemFailures"]') -> str:
    return SEND.replace("GROUP", group).replace("SIZE", str(size)).replace("TYPES", types)


ANSWERS = [
    (
        "09-transfers",
        STOPS + _sent('"bank"'),
        "In order, and as slow as one worker: order is needed per account, not for the bank.",
    ),
    (
        "09-transfers",
        STOPS + _sent('transfer["id"]'),
        "◐ almost: Fast, and account 7 ended at -30: its withdrawal overtook its deposit.",
    ),
    (
        "09-transfers",
        GOES_ON + _sent('transfer["account"]'),
        "Account 7 ended at -30: its withdrawal overtook its deposit. Everything after the failed one in its group "
        "must be reported too, or it is deleted out of turn.",
    ),
    (
        "09-transfers",
        STOPS + _sent('transfer["account"]', types="[]"),
        "Does the trigger know ReportBatchItemFailures",
    ),
    (
        "09-transfers",
        RAISES + _sent('transfer["account"]', types="[]"),
        "a run that raises sends its whole batch back",
    ),
    (
        "09-transfers",
        STOPS.replace("itemIdentifier", "messageId") + _sent('transfer["account"]'),
        "or its answer cannot be read, and the whole batch comes back",
    ),
    (
        "09-transfers",
        'messages.send_many(transfer_queue, transfers, group=lambda transfer: str(transfer["account"]))',
        "80 transfers were sent, and none was received: connect the function",
    ),
    ("09-transfers", STOPS_ALL + _sent('transfer["account"]'), "its group has to stop, the others may go on"),
    (
        "09-transfers",
        RAISES + _sent('transfer["account"]', size=1, types="[]"),
        "● yes: All 40 accounts ended at 0",
    ),
]
