"""Answers that learners give in notebook 08, and the sentence that each must earn."""

from __future__ import annotations

ALARM = """
settings = {
    "AlarmName": lab.name("dead-orders"),
    "Namespace": "AWS/SQS",
    "MetricName": "ApproximateNumberOfMessagesVisible",
    "Dimensions": [{"Name": "QueueName", "Value": pipeline.dead_letters.name}],
    "Statistic": "Maximum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
}
cloudwatch.put_metric_alarm(**settings | CHANGES)
"""
SEND = """
messages.send_many(pipeline.queue, messages.orders(20))
lab.wait(120, "for a clean run")
messages.send_many(pipeline.queue, messages.orders(23)[20:])
lab.wait(300, "for three runs, the move and the alarm")
"""
SOURCE = '"Dimensions": [{"Name": "QueueName", "Value": pipeline.queue.name}]'


def put(changes: str = "{}") -> str:
    """Return the code that makes the alarm of the solution with these changes."""
    return ALARM.replace("CHANGES", changes)


ANSWERS = [
    (
        "08-alarm",
        put('{"MetricName": "NumberOfMessagesSent", "Statistic": "Sum"}') + SEND,
        "Moves by SQS are not sends: this stays 0.",
    ),
    (
        "08-alarm",
        put(
            '{"Namespace": "AWS/Lambda", "MetricName": "Errors", "Statistic": "Sum", '
            '"Dimensions": [{"Name": "FunctionName", "Value": pipeline.function.name}]}'
        )
        + SEND,
        "Partial failures count as success.",
    ),
    (
        "08-alarm",
        put('{"Statistic": "Sum", "Period": 300}') + SEND,
        "You added five photographs of the same queue: use Maximum.",
    ),
    ("08-alarm", put("{" + SOURCE + "}") + SEND, "That is work that waits, and no order there is dead."),
    (
        "08-alarm",
        put('{"MetricName": "ApproximateNumberOfMessagesNotVisible", ' + SOURCE + "}") + SEND,
        "◐ almost: It rang",
    ),
    ("08-alarm", put('{"EvaluationPeriods": 3, "DatapointsToAlarm": 3}') + SEND, "It waits for 3 periods of 60 s"),
    ("08-alarm", put('{"Threshold": 5}') + SEND, "is at least 5. One dead letter shall be enough"),
    (
        "08-alarm",
        put(
            '{"AlarmName": lab.name("any"), "Statistic": "Average", "EvaluationPeriods": 2, "DatapointsToAlarm": 1, '
            '"Threshold": 0, "ComparisonOperator": "GreaterThanThreshold", "AlarmActions": [topic]}'
        )
        + SEND,
        "● yes",
    ),
]
