"""Answers that learners give in notebook 05, and the sentence that each must earn."""

from __future__ import annotations

MADE = """
url = sqs.create_queue(QueueName=lab.name("orders-dead"), Attributes={"MessageRetentionPeriod": "1209600"})["QueueUrl"]
arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
"""
POLICY = """
policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": COUNT})
sqs.set_queue_attributes(QueueUrl=pipeline.queue.url, Attributes={"RedrivePolicy": policy})
"""
SEND = """
messages.send_many(pipeline.queue, messages.orders(23))
lab.wait(170, "for five runs and the move")
"""
FOR_THE_FUNCTION = """
may = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": arn}]}
)
lab.client("iam").put_role_policy(RoleName=pipeline.role.name, PolicyName="send", PolicyDocument=may)
lab.wait(15, "until AWS knows the right")
lambda_.update_function_configuration(FunctionName=pipeline.function.name, DeadLetterConfig={"TargetArn": arn})
"""
ANSWERS = [
    (
        "05-dead-letters",
        MADE + SEND,
        "and `orders` has no redrive policy. A dead-letter queue is just a queue until a redrive policy points at it.",
    ),
    (
        "05-dead-letters",
        MADE + FOR_THE_FUNCTION + SEND,
        "That one is for asynchronous invokes; a trigger's failures follow the queue's redrive policy.",
    ),
    (
        "05-dead-letters",
        MADE + POLICY.replace("COUNT", "1") + SEND,
        "◐ almost: maxReceiveCount is 1. One failure of any kind, even a throttle, and the message is dead: "
        "AWS recommends at least 5.",
    ),
    (
        "05-dead-letters",
        MADE.replace("1209600", "345600") + POLICY.replace("COUNT", "5") + SEND,
        "A dead letter keeps its age, so little or nothing may be left to look at it",
    ),
    (
        "05-dead-letters",
        MADE + POLICY.replace("COUNT", "5"),
        "○ not yet: The policy stands, and no message of `orders` has failed since it was set",
    ),
    (
        "05-dead-letters",
        'resources.queue(lab, "late-orders", message_retention_period=864_000)\n'
        'grave = resources.queue(lab, "late-orders")\n'
        'resources.queue(lab, "orders", max_receive_count=5, dead_letters=grave)' + SEND,
        "● yes",
    ),
]
