"""Answers that learners give in notebook 11, and the sentence that each must earn."""

from __future__ import annotations

UPDATE = "lambda_.update_event_source_mapping(UUID={}.uuid, {})\n"


def _plan(cap: int) -> str:
    return UPDATE.format("plan", f'ScalingConfig={{"MaximumConcurrency": {cap}}}') + "drain()"


def _pollers(least: int, most: int, more: str = "") -> str:
    config = f'ProvisionedPollerConfig={{"MinimumPollers": {least}, "MaximumPollers": {most}}}{more}'
    return UPDATE.format("tickets", config)


RESERVED = "lambda_.put_function_concurrency(FunctionName=seller.name, ReservedConcurrentExecutions={})\n"
ANSWERS = [
    ("11-plan", "drain()", "no cap is set. Ask the model for the smallest that is enough."),
    ("11-plan", _plan(4), "With MaximumConcurrency 4 the model needs 5.1 s, and you have 4: try more."),
    ("11-plan", _plan(10), "MaximumConcurrency 10 is enough: the model says 2.6 s. But a smaller cap does it"),
    (
        "11-plan",
        UPDATE.format("plan", 'BatchSize=10, ScalingConfig={"MaximumConcurrency": 2}') + "drain()",
        "here each order is a run of its own: set BatchSize back to 1.",
    ),
    (
        "11-plan",
        "resources.trigger(lab, queue=plan_queue, function=plan_function, maximum_concurrency=6)\ndrain()",
        "● yes",
    ),
    (
        "11-spike",
        UPDATE.format("tickets", 'ScalingConfig={"MaximumConcurrency": 900}'),
        "A cap of 900 makes nothing faster. The trigger still begins with 5 runs and adds 300 a minute",
    ),
    (
        "11-spike",
        _pollers(90, 90),
        "90 pollers carry 900 runs, but each reads 100 messages a second: together 9,000, and 16,667 arrive.",
    ),
    ("11-spike", _pollers(2, 200), "Only 2 pollers are there when the spike begins"),
    ("11-spike", _pollers(200, 200), "but the database takes 900: fewer pollers read less at once."),
    (
        "11-spike",
        _pollers(200, 200, ", BatchSize=1"),
        "With BatchSize 1 a poll brings 1 of ten messages: 200 pollers read 2,000 a second",
    ),
    (
        "11-spike",
        _pollers(100, 200, ", BatchSize=500, MaximumBatchingWindowInSeconds=1"),
        "a batch of 500 works for 10.1 s, and the function's timeout is 3 s.",
    ),
    ("11-spike", RESERVED.format(900), "the spike is over in one: have pollers ready for it."),
    (
        "11-spike",
        "lambda_.update_function_configuration(FunctionName=seller.name, Timeout=60)",
        "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds. Change that",
    ),
    (
        "11-spike",
        RESERVED.format(500) + _pollers(200, 200),
        "The pollers read what the function may not run: cap the readers, not the function.",
    ),
    (
        "11-spike",
        "resources.trigger(lab, queue=shop, function=seller, enabled=False,\n"
        '                  provisioned_poller_config={"MinimumPollers": 160, "MaximumPollers": 165})',
        "● yes",
    ),
]
