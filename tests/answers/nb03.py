"""Answers that learners give in notebook 03, and the sentence that each must earn."""

from __future__ import annotations

PAUSE = "follow(lambda_.update_event_source_mapping(UUID=invoices.uuid, Enabled=False))\n"
RESUME = """
follow(lambda_.update_event_source_mapping(UUID=invoices.uuid, Enabled=True))
lab.wait(10, "until all are handled")
"""
HIDE = 'sqs.set_queue_attributes(QueueUrl=shop.url, Attributes={"VisibilityTimeout": "360"})\n'
DEPLOY = 'resources.function(lab, "invoices", source=repaired, timeout=60)\n'
TRADE = "trade()\n"
TRY = """
try:
    lambda_.update_event_source_mapping(UUID=invoices.uuid, Enabled=True)
except lambda_.exceptions.ClientError as refusal:
    print(refusal)
"""
DELETE = """
lambda_.delete_event_source_mapping(UUID=invoices.uuid)
lab.wait(120, "until the trigger is gone")
"""
MAKE = """
follow(lambda_.create_event_source_mapping(EventSourceArn=shop.arn, FunctionName=lab.name("invoices")))
lab.wait(10, "until all are handled")
"""
RESERVE = 'lambda_.put_function_concurrency(FunctionName=lab.name("invoices"), ReservedConcurrentExecutions=0)\n'
RELEASE = """
lambda_.delete_function_concurrency(FunctionName=lab.name("invoices"))
lab.wait(60, "until all are handled")
"""
PURGE = 'sqs.purge_queue(QueueUrl=shop.url)\nlab.wait(60, "until the purge is over")\n'
DELAY = 'sqs.set_queue_attributes(QueueUrl=shop.url, Attributes={"DelaySeconds": "900"})\n'
WAIT = 'lab.wait(600, "until the delay is over")\n'
ALLOW = """
lambda_.add_permission(
    FunctionName=lab.name("invoices"), StatementId=f"sqs-{lab.now():%H%M%S}", Action="lambda:InvokeFunction",
    Principal="sqs.amazonaws.com", SourceArn=shop.arn,
)
"""
ANSWERS = [
    (
        "03-pause",
        TRADE + HIDE + DEPLOY,
        "orders are dead letters: the trigger was polling when they came. Pause it",
    ),
    (
        "03-pause",
        PAUSE + TRADE + DEPLOY + TRY,
        "'Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds'. Raise the queue's "
        "visibility first: Lambda compares the two when a mapping is made or changed.",
    ),
    (
        "03-pause",
        DELETE + TRADE + HIDE + DEPLOY + MAKE,
        "Messages are safe: 20 of 20 orders are handled, and none is lost, but the new mapping is a new UUID, and its "
        "batch size is 10 where the old one's was 1; `Enabled=False` is the pause button.",
    ),
    (
        "03-pause",
        RESERVE + TRADE + HIDE + DEPLOY + RELEASE,
        "◐ almost: With reserved concurrency 0 the trigger goes on receiving, and each receive counts: orders were "
        "received up to 3 times without a run, and 20 of 20 are dead letters.",
    ),
    (
        "03-pause",
        PAUSE + TRADE + PURGE + HIDE + DEPLOY + RESUME,
        "20 of 20 orders are gone: a purge deletes what waits, nobody handled it, and no dead-letter queue has it.",
    ),
    (
        "03-pause",
        DELAY + TRADE + HIDE + DEPLOY + WAIT,
        "after the 900 s by which the queue now delays each order: the trigger was not paused. Start over",
    ),
    (
        "03-pause",
        PAUSE + TRADE + "resources.function(lab, 'invoices', source=repaired)\n" + RESUME + DEPLOY,
        "Nobody refused that, because Lambda compares the two only when a mapping is made or changed.",
    ),
    (
        "03-pause",
        'resources.trigger(lab, queue=shop, function="invoices", enabled=False)\n'
        "resources.queue(lab, fresh, visibility_timeout=60)\n"
        + DEPLOY
        + TRADE
        + 'resources.trigger(lab, queue=shop, function="invoices")\nlab.wait(10, "until all are handled")\n',
        "● yes",
    ),
    ("03-pause", ALLOW + PAUSE + TRADE + HIDE + DEPLOY + RESUME, "● yes"),
]
