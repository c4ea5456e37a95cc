"""Answers that learners give in notebook 13, and the sentence that each must earn."""

from __future__ import annotations

FRESH = "sale, desks = fresh_sale(lab, role=pipeline.role)\n"
CONNECTED = """
for name, queue in desks.items():
    allow(queue, sale)
    arn = sns.subscribe(TopicArn=sale, Endpoint=queue.arn, **to_sqs)["SubscriptionArn"]
    sns.set_subscription_attributes(SubscriptionArn=arn, **raw)
    criteria = only("eu") if name == "tax" else {}
    resources.trigger(lab, queue=queue, function=name, filter_criteria=criteria)
"""
SELL = "sell(lab, sale)"
ONE_QUEUE = """
allow(desks["billing"], sale)
arn = sns.subscribe(TopicArn=sale, Endpoint=desks["billing"].arn, **to_sqs)["SubscriptionArn"]
sns.set_subscription_attributes(SubscriptionArn=arn, **raw)
for name in desks:
    criteria = only("eu") if name == "tax" else {}
    resources.trigger(lab, queue=desks["billing"], function=name, filter_criteria=criteria)
"""
WRAPPED = CONNECTED.replace("    sns.set_subscription_attributes(SubscriptionArn=arn, **raw)\n", "")
FORBIDDEN = CONNECTED.replace("    allow(queue, sale)\n", "")
BY_POLICY = """
for name, queue in desks.items():
    allow(queue, sale)
    attributes = {"RawMessageDelivery": "true"}
    if name == "tax":
        attributes["FilterPolicy"] = json.dumps({"region": ["eu"]})
    sns.subscribe(TopicArn=sale, Protocol="sqs", Endpoint=queue.arn, Attributes=attributes)
    resources.trigger(lab, queue=queue, function=name)
"""
BY_BODY = BY_POLICY.replace(
    'json.dumps({"region": ["eu"]})',
    'json.dumps({"region": [{"prefix": "e"}]})\n        attributes["FilterPolicyScope"] = "MessageBody"',
)
UNWRAPS = '''
unwrap = """
import json

def handler(event, context):
    for record in event["Records"]:
        order = json.loads(json.loads(record["body"])["Message"])
        print("booked", order["order"])
"""
for name, queue in desks.items():
    resources.function(lab, name, source=unwrap)
    policy = {"Action": "SQS:*", "Effect": "Allow", "Principal": "*", "Resource": queue.arn}
    policy["Condition"] = {"ArnLike": {"aws:SourceArn": sale}}
    text = json.dumps({"Version": "2012-10-17", "Statement": policy})
    sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"Policy": text})
    wanted = {"FilterPolicy": json.dumps({"region": ["eu"]})} if name == "tax" else {}
    sns.subscribe(TopicArn=sale, Protocol="sqs", Endpoint=queue.arn, Attributes=wanted)
    resources.trigger(lab, queue=queue, function=name)
'''
THROWS_AWAY = '''
picky = """
import json

def handler(event, context):
    for record in event["Records"]:
        order = json.loads(record["body"])
        if order["region"] == "eu":
            print("booked", order["order"])
"""
resources.function(lab, "tax", source=picky)
'''

ANSWERS = [
    ("13-fan", FRESH + ONE_QUEUE + SELL, "They share, they do not both get it."),
    (
        "13-fan",
        FRESH + WRAPPED + SELL,
        "SNS wrapped your order: raw delivery, or read Message inside body.",
    ),
    (
        "13-fan",
        FRESH + FORBIDDEN + SELL,
        "SNS published into nothing: the queue must allow this topic.",
    ),
    (
        "13-fan",
        FRESH + CONNECTED.replace('only("eu") if name == "tax" else {}', "{}") + SELL,
        "10 of them not from `eu`: filter at its trigger, or at its subscription.",
    ),
    (
        "13-fan",
        FRESH + CONNECTED.replace('only("eu") if name == "tax" else {}', 'only("eu")') + SELL,
        "`billing` booked 10 of 20 orders, `tax` 10. Billing wants every order",
    ),
    (
        "13-fan",
        FRESH + CONNECTED.replace('only("eu")', 'only("EU")') + SELL,
        "`tax` booked nothing of 20 orders.",
    ),
    (
        "13-fan",
        FRESH + CONNECTED.replace('only("eu") if name == "tax" else {}', "{}") + THROWS_AWAY + SELL,
        "it was handed all 20 and threw 10 away itself, in runs that you pay for",
    ),
    (
        "13-fan",
        FRESH + BY_POLICY.replace('["eu"]', '["eu", "us"]') + SELL,
        "10 of them not from `eu`: filter at its trigger, or at its subscription. (On AWS a filter policy may take 15",
    ),
    ("13-fan", FRESH + BY_POLICY + SELL, "● yes"),
    ("13-fan", FRESH + BY_BODY + SELL, "● yes"),
    ("13-fan", FRESH + UNWRAPS + SELL, "● yes"),
    ("13-fan", FRESH + CONNECTED.replace('only("eu")', '{"Filters": []}') + SELL, "not from `eu`"),
]
