"""Answers that learners give in notebook 15, and the sentence that each must earn."""

from __future__ import annotations

WAIT = 'lab.wait(120, "until CloudWatch has counted")\n'
ALONE = 'play("receipts", receipts, in_one_call=1, batch_size=1)\n' + WAIT
TENS = 'play("receipts", receipts, in_one_call=10, batch_size=10)\n' + WAIT
IDLE = "idle=40 * 648_000"
BRANCH = 'resources.trigger(lab, queue="branch-00", function="works"'
ANSWERS = [
    (
        "15-budget",
        TENS + f'costs.estimate(lab, "15-budget", send=2_000_000, receive=2_000_000, delete=2_000_000, {IDLE})',
        "You counted messages, not requests.",
    ),
    (
        "15-budget",
        ALONE + f'costs.estimate(lab, "15-budget", send=2_000_000, {IDLE})',
        "You counted messages, not requests.",
    ),
    (
        "15-budget",
        ALONE + f'costs.estimate(lab, "15-budget", send=2_000_000, receive=2_000_000, delete=2_000_000, {IDLE})',
        "100 KB is two requests each time it moves.",
    ),
    (
        "15-budget",
        TENS + f'costs.estimate(lab, "15-budget", send=200_000, receive=200_000, delete=200_000, {IDLE})',
        "100 KB is two requests each time it moves.",
    ),
    (
        "15-budget",
        TENS + 'costs.estimate(lab, "15-budget", send=3_200_000, receive=3_200_000, delete=200_000, idle=0)',
        "40 idle triggers ask about 26 million times a month: more than your traffic.",
    ),
    (
        "15-budget",
        TENS + f'costs.estimate(lab, "15-budget", send=4_000_000, receive=4_000_000, delete=200_000, {IDLE})',
        "send: you estimated 4,000,000 requests a month, and the recorder's counts make 3,200,000.",
    ),
    (
        "15-budget",
        ALONE + f'costs.estimate(lab, "15-budget", send=4_000_000, receive=4_000_000, delete=2_000_000, {IDLE})',
        "The estimate is right and the budget is not kept",
    ),
    ("15-budget", TENS, "there is no estimate yet"),
    (
        "15-budget",
        'lab.wait(62 - lab.now().second, "for a new minute")\n'
        'play("receipts", receipts, in_one_call=10, batch_size=10)\nlab.wait(5, "until all are handled")',
        "CloudWatch has not counted their bytes yet",
    ),
    (
        "15-budget",
        'play("receipts", small, in_one_call=10, batch_size=10)\n' + WAIT,
        "and the shop's have 100 KB",
    ),
    (
        "15-budget",
        TENS + f'costs.estimate(lab, "15-budget", send=64, receive=64, delete=4, {IDLE})',
        "send: you estimated 64 requests, which is about what the sample of 40 took.",
    ),
    (
        "15-budget",
        TENS + 'costs.estimate(lab, "15-budget", send=3_200_000, receive=3_200_000, delete=200_000, idle=5_184_000)',
        "idle: you estimated 5,184,000 requests a month. 40 idle triggers ask 10,368,000 to 25,920,000 times",
    ),
    (
        "15-budget",
        BRANCH + ", enabled=False)\n" + TENS + f'costs.estimate(lab, "15-budget", send=3_200_000, {IDLE})',
        "39 of 40 branches have a trigger that is on",
    ),
    (
        "15-budget",
        BRANCH + ")\n" + f'costs.estimate(lab, "15-budget", send=3_200_000, delete=200_000, {IDLE})',
        "receive: you estimated 0 requests a month",
    ),
    (
        "15-budget",
        'play("receipts", receipts, in_one_call=1, batch_size=10)\n'
        + WAIT
        + "plan = costs.Workload(messages=2_000_000, size=102_400, in_one_run=10, idle_triggers=40)\n"
        + 'costs.estimate(lab, "15-budget", **costs.model(plan).requests)',
        "● yes",
    ),
    (
        "15-budget",
        'play("receipts", receipts, in_one_call=5, batch_size=5)\n'
        + WAIT
        + 'costs.estimate(lab, "15-budget", send=3_200_000, receive=3_200_000, delete=400_000, idle=40 * 259_200)',
        "● yes",
    ),
]
