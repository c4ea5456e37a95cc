"""Answers that learners give in notebook 10, and the sentence that each must earn."""

from __future__ import annotations

RESERVED = "lambda_.put_function_concurrency(FunctionName=saver.name, ReservedConcurrentExecutions=4)\n"
ANSWERS = [
    ("10-protect", RESERVED + "drain()", "Throttled receives counted as attempts."),
    (
        "10-protect",
        RESERVED + 'resources.queue(lab, "bookings", max_receive_count=1000)\ndrain()',
        "Nothing dies, but a poison message now runs a thousand times.",
    ),
    (
        "10-protect",
        "try:\n"
        '    lambda_.update_event_source_mapping(UUID=booking.uuid, ScalingConfig={"MaximumConcurrency": 1})\n'
        "except Exception as refusal:\n"
        "    print(refusal)\n"
        "drain()",
        "AWS allows 2 to 1,000; for one at a time use a FIFO queue with one group.",
    ),
    (
        "10-protect",
        "resources.trigger(lab, queue=bookings, function=saver, maximum_concurrency=2)\ndrain()",
        "nothing was refused, and 2 of 4 connections stayed unused.",
    ),
    (
        "10-protect",
        "resources.trigger(lab, queue=bookings, function=saver, maximum_concurrency=12)\ndrain()",
        "MaximumConcurrency is 12: bring it down, and drain again.",
    ),
    (
        "10-protect",
        "resources.trigger(lab, queue=bookings, function=saver, maximum_concurrency=4, batch_size=5)\ndrain()",
        "But BatchSize is 5, and a run saves 10 orders: set it back to 10, and drain again.",
    ),
    (
        "10-protect",
        RESERVED
        + 'resources.queue(lab, "bookings", visibility_timeout=12, max_receive_count=5)\n'
        + "resources.trigger(lab, queue=bookings, function=saver, maximum_concurrency=4)\n"
        + "drain()",
        "● yes",
    ),
]
