"""Answers that learners give in notebook 00, and the sentence that each must earn."""

from __future__ import annotations

SEND_ORDER = """
sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps({"order": 7, "price": 12.5, "quantity": 3}))
lab.wait(5, "for the run and its log")
"""
ENVELOPE = "The event is an envelope: your message is in `event['Records'][0]['body']`."
TEXT = "The body arrives as text, even when you sent JSON"
BROKEN = """
deploy("def handler(event, context):\\n    raise RuntimeError('not today')")
sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps({"order": 8, "price": 2.0, "quantity": 4}))
lab.wait(5, "for the run and its log")
"""
WORKS = """
deploy("def handler(event, context):\\n    print(len(event['Records']))")
"""
ANSWERS = [
    (
        "00-total",
        """deploy("def handler(event, context):\\n    print(event['body']['price'])")""" + SEND_ORDER,
        f"◐ almost: The last run failed with `KeyError: 'body'`. {ENVELOPE}",
    ),
    (
        "00-total",
        """deploy("def handler(event, context):\\n    print(event['Records'][0]['body']['price'])")""" + SEND_ORDER,
        TEXT,
    ),
    (
        "00-total",
        '''deploy("""
import json
def handler(event, context):
    order = json.loads(event['Records'][0]['body'])
    print('total', order['price'] + order['quantity'])
""")'''
        + SEND_ORDER,
        "◐ almost: The log says 15.5, and 3 at 12.50 make 37.5: multiply price by quantity.",
    ),
    (
        "00-total",
        '''deploy("""
import json
def handler(event, context):
    order = json.loads(event['Records'][0]['body'])
    return order['price'] * order['quantity']
""")'''
        + SEND_ORDER,
        "and no line of its log holds 37.5. The last run printed nothing: print price times quantity",
    ),
    (
        "00-total",
        '''deploy("""
import json, logging
logging.getLogger().setLevel("INFO")
def handler(event, context):
    for record in event['Records']:
        order = json.loads(record['body'])
        logging.info("order %s comes to %.2f", order['order'], order['price'] * order['quantity'])
""")'''
        + SEND_ORDER,
        "● yes",
    ),
    ("00-repair", BROKEN, "◐ almost: The last run failed with `RuntimeError: not today`. Repair the handler"),
    (
        "00-repair",
        BROKEN
        + WORKS
        + 'sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps({"order": 9, "price": 1.5, "quantity": 2}))\n'
        + 'lab.wait(5, "for the run")',
        "◐ almost: There are two messages now; the first is hidden until its 30 s are over: wait, or fast-forward.",
    ),
    ("00-repair", BROKEN + WORKS, "and the function was changed since. The message is hidden until its 30 s are over"),
    (
        "00-repair",
        BROKEN + WORKS + 'lab.wait_until(lambda: "1" in log_lines(name), why="it has come back")',
        "● yes",
    ),
]
