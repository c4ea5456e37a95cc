"""Answers that learners give in notebook 14, and the sentence that each must earn."""

from __future__ import annotations

LINE = "      VisibilityTimeout: !Ref VisibilityTimeout"
WAIT = 'lab.wait(10, "for orders that are under way")'
BOTH = "FunctionTimeout=90, VisibilityTimeout=540"


def deploy(settings: str, template: str = "template") -> str:
    """Return an update of the stack that the exercise is about."""
    return f'stacks.deploy(lab, "bench", {template}, {settings})\n'


ANSWERS = [
    (
        "14-together",
        deploy("FunctionTimeout=90"),
        "'Queue visibility timeout: 60 seconds is less than Function timeout: 90 seconds'",
    ),
    (
        "14-together",
        f"at = '{LINE}'\n"
        "called = f\"      QueueName: {lab.name('bench-orders')}\"\n"
        + deploy(BOTH, "template.replace(at, f'{called}\\n{at}')"),
        "A new name is a new queue: 12 messages stayed in the old one and went with it.",
    ),
    (
        "14-together",
        'begin, end = template.index("      RedrivePolicy:"), template.index("  Role:")\n'
        + deploy(BOTH, 'template[:begin] + "\\n" + template[end:]'),
        "A dead-letter queue is just a queue until a redrive policy points at it.",
    ),
    (
        "14-together",
        deploy(f"{BOTH}, TriggerEnabled=False"),
        "so 12 orders still wait: TriggerEnabled belongs into the update too.",
    ),
    (
        "14-together",
        deploy("FunctionTimeout=90, TriggerEnabled=False"),
        "Lambda compares the two only when a trigger is made or changed.",
    ),
    (
        "14-together",
        deploy("FunctionTimeout=900, VisibilityTimeout=900"),
        "A run needs no more than 90 s: lower FunctionTimeout.",
    ),
    (
        "14-together",
        deploy("FunctionTimeout=90, VisibilityTimeout=90"),
        "AWS recommends six times the timeout, which is 540 s.",
    ),
    (
        "14-together",
        'sqs.set_queue_attributes(QueueUrl=waiting.url, Attributes={"VisibilityTimeout": "540"})\n'
        + deploy("FunctionTimeout=90"),
        "What is changed beside the stack is drift",
    ),
    (
        "14-together",
        deploy("VisibilityTimeout=540"),
        "A run needs up to 90 s: name FunctionTimeout as well.",
    ),
    (
        "14-together",
        deploy("VisibilityTimeout=540, TriggerEnabled=False") + deploy(BOTH) + WAIT,
        "● yes",
    ),
    (
        "14-together",
        f"fixed = template.replace('{LINE}', '      VisibilityTimeout: 540').replace('!Ref FunctionTimeout', '90')\n"
        "fixed = fixed.replace('${FunctionTimeout}', '90')\n" + deploy("Release=2", "fixed") + WAIT,
        "● yes",
    ),
]
