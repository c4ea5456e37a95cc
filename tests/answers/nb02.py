"""Answers that learners give in notebook 02, and the sentence that each must earn."""

from __future__ import annotations

HANDLER = '''
counting = """
import time

calls = 0

def handler(event, context):
    global calls
    calls += 1
    print("count", calls)
    time.sleep(event.get("seconds", 0))
    return event["price"] * event["quantity"]
"""
description = "counts the calls of one environment"
'''
CALL = """
resources.function(lab, "counter", source=counting, timeout=2, description=description)
for change in CHANGES:
    event = {"price": 1.1, "quantity": 3, **change}
    lambda_.invoke(FunctionName=lab.name("counter"), Payload=json.dumps(event))
lab.wait(5, "for the log")
"""
CALLS = CALL.replace("CHANGES", '({}, {}, {"seconds": 5}, {}, {"price": None})')
INSIDE = HANDLER.replace("calls = 0\n", "").replace("    global calls\n", "    calls = 0\n")
IN_A_FILE = '''
counting = """
import pathlib, tempfile, time

def handler(event, context):
    kept = pathlib.Path(tempfile.gettempdir(), "count")
    calls = int(kept.read_text()) + 1 if kept.exists() else 1
    kept.write_text(str(calls))
    print("count", calls)
    time.sleep(event.get("seconds", 0))
    return event["price"] * event["quantity"]
"""
description = "counts the calls of one environment"
'''
SWALLOWED = HANDLER.replace(
    '    return event["price"] * event["quantity"]',
    '    try:\n        return event["price"] * event["quantity"]\n'
    '    except TypeError as problem:\n        print("no price", problem)',
)
LOGGED = '''
counting = """
import logging, time
logging.getLogger().setLevel("INFO")

class Calls:
    seen = []

def handler(event, context):
    Calls.seen.append(context.aws_request_id)
    logging.info("this is call %d", len(Calls.seen))
    time.sleep(event.get("seconds", 0))
    print("comes to", round(event["price"] * event["quantity"]))
"""
description = "how many calls this process has seen"
'''
NOT_GLOBAL = HANDLER.replace("    global calls\n", "")
FROM_ZERO = HANDLER.replace("    calls += 1\n", "").replace("    time.sleep", "    calls += 1\n    time.sleep")
SHOP = HANDLER.replace("the calls of one environment", "all orders since the start of the shop")
ANSWERS = [
    (
        "02-counter",
        INSIDE + CALLS,
        "◐ almost: Two calls in a row counted 1 and 1. It restarts at each call; code outside the handler runs once "
        "per environment.",
    ),
    (
        "02-counter",
        SHOP + CALLS,
        "After the timeout it was 1 again, and a second environment has its own.",
    ),
    (
        "02-counter",
        SWALLOWED + CALLS,
        "Lambda saw success: with a queue in front the message would now be deleted.",
    ),
    ("02-counter", IN_A_FILE + CALLS, "◐ almost: After the timeout the count went on with 4: it is kept in a file"),
    (
        "02-counter",
        HANDLER + CALL.replace("CHANGES", '({}, {}, {}, {"price": None})'),
        "◐ almost: None of the last 4 runs timed out",
    ),
    (
        "02-counter",
        NOT_GLOBAL + CALL.replace("CHANGES", '({}, {}, {"price": None})'),
        "○ not yet: All 3 runs failed, the first with “UnboundLocalError: ",
    ),
    ("02-counter", FROM_ZERO + CALLS, "◐ almost: After the timeout the count was 0, in the first run of a new process"),
    ("02-counter", LOGGED + CALLS, "● yes: The count was 1 and 2 on one log stream, and 1 again after the timeout"),
]
