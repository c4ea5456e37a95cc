"""Answers that learners give in notebook 16, and the sentence that each must earn; `test_incidents` has more."""

from __future__ import annotations

ANSWERS = [
    (
        "16-zero-errors",
        "lambda_.delete_function_concurrency(FunctionName=drill.function.name)",
        "calls to the bank at once; it takes 2. Without any cap it refuses the rest",
    ),
    (
        "16-zero-errors",
        "lambda_.put_function_concurrency(FunctionName=drill.function.name, ReservedConcurrentExecutions=2)\n"
        'resources.queue(lab, "payments", visibility_timeout=12, max_receive_count=5)',
        "● yes",
    ),
    (
        "16-half-gone",
        'lambda_.delete_event_source_mapping(UUID=triggers(drill.queue)[1]["UUID"])',
        "One trigger is left, and its filter now deletes everything that it does not want",
    ),
    (
        "16-half-gone",
        'pattern = json.dumps({"body": {"region": ["eu", "us"]}})\n'
        "for one in triggers(drill.queue):\n"
        '    lambda_.update_event_source_mapping(UUID=one["UUID"], FilterCriteria={"Filters": [{"Pattern": pattern}]})',
        "● yes",
    ),
    (
        "16-charged-twice",
        'resources.queue(lab, "charges", visibility_timeout=1)',
        "But a run may take 3 s, and the queue hides an order for 1 s",
    ),
    ("16-charged-twice", 'resources.queue(lab, "charges", visibility_timeout=30)', "● yes"),
    (
        "16-nothing-runs",
        'may = {"Effect": "Allow", "Action": "sqs:*", "Resource": drill.queue.arn}\n'
        'resources.role(lab, "invoices", statements=[may])',
        "More rights on SQS, or a new trigger, change nothing",
    ),
    (
        "16-nothing-runs",
        'settled = {"KmsMasterKeyId": "", "SqsManagedSseEnabled": "true"}\n'
        "sqs.set_queue_attributes(QueueUrl=drill.queue.url, Attributes=settled)",
        "It flows, and the requirement is gone",
    ),
    (
        "16-nothing-runs",
        'may = {"Effect": "Allow", "Action": "kms:*", "Resource": settings(drill.queue)["KmsMasterKeyId"]}\n'
        'resources.role(lab, "invoices", statements=[may])',
        "● yes",
    ),
    (
        "16-stands-still",
        "sqs.purge_queue(QueueUrl=drill.queue.url)",
        "Taking away the one that you found helps until the next comes",
    ),
    ("16-stands-still", 'resources.queue(lab, "ledger.fifo", max_receive_count=5)', "● yes"),
    (
        "16-silent-alarm",
        "cloudwatch.put_metric_alarm(\n"
        '    AlarmName=lab.name("refunds-died"),\n'
        '    Namespace="AWS/Lambda",\n'
        '    MetricName="Errors",\n'
        '    Dimensions=[{"Name": "FunctionName", "Value": drill.function.name}],\n'
        '    Statistic="Sum",\n'
        "    Period=60,\n"
        "    EvaluationPeriods=1,\n"
        "    Threshold=1,\n"
        '    ComparisonOperator="GreaterThanOrEqualToThreshold",\n'
        ")",
        "rang for four refunds of which none died",
    ),
    (
        "16-silent-alarm",
        "cloudwatch.put_metric_alarm(\n"
        '    AlarmName=lab.name("another"),\n'
        "    AlarmActions=[f\"arn:aws:sns:{lab.region}:{lab.account}:{lab.name('on-call')}\"],\n"
        '    Namespace="AWS/SQS",\n'
        '    MetricName="ApproximateNumberOfMessagesVisible",\n'
        '    Dimensions=[{"Name": "QueueName", "Value": drill.dead_letters.name}],\n'
        '    Statistic="Average",\n'
        "    Period=60,\n"
        "    EvaluationPeriods=2,\n"
        "    Threshold=0,\n"
        '    ComparisonOperator="GreaterThanThreshold",\n'
        ")",
        "● yes",
    ),
    (
        "16-night-bill",
        'resources.queue(lab, "imports", visibility_timeout=3600)',
        "It may be received 1000 times, every 3600 s: that is 41.7 days of runs",
    ),
    ("16-night-bill", 'resources.queue(lab, "imports", visibility_timeout=60, max_receive_count=10)', "● yes"),
    (
        "16-vanished",
        "resources.queue(lab, drill.dead_letters.name, message_retention_period=432_000)",
        "keeps messages for 5 days from their first sending",
    ),
    ("16-vanished", "resources.queue(lab, drill.dead_letters.name, message_retention_period=864_000)", "● yes"),
    (
        "16-lost-in-part",
        'resources.queue(lab, "stock", max_receive_count=10)',
        "No setting of the queue changes that.",
    ),
    (
        "16-lost-in-part",
        "source = drill.source.replace('return {\"batchItemFailures\": failed}', 'assert not failed, failed')\n"
        'resources.function(lab, "stock", source=source)\n'
        'resources.trigger(lab, queue=drill.queue, function="stock", batch_size=1)',
        "● yes",
    ),
]
