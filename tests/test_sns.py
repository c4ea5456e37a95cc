"""Topics: what reaches queues and functions, in which form, with whose permission; and what never leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Aws


def allow(queue_arn: str, source_arn: str) -> dict[str, Any]:
    """Return a queue policy that lets one topic send."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": source_arn}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def topic(aws: Aws, **attributes: str) -> str:
    """Make a topic; return its ARN."""
    name = aws.name("topic") + (".fifo" if attributes.get("FifoTopic") else "")
    return str(aws.client("sns").create_topic(Name=name, Attributes=attributes)["TopicArn"])


def subscribed(aws: Aws, topic_arn: str, *, allowed: str | None = None, fifo: bool = False, **attributes: Any) -> str:
    """Make a queue that has subscribed to a topic; return its URL."""
    url = aws.queue(fifo=fifo)
    arn = aws.queue_arn(url)
    policy = json.dumps(allow(arn, allowed or topic_arn))
    aws.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    values = {key: value if isinstance(value, str) else json.dumps(value) for key, value in attributes.items()}
    aws.client("sns").subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=arn, Attributes=values)
    return url


def received(aws: Aws, url: str) -> list[dict[str, Any]]:
    """Receive what is there."""
    answer = aws.client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
    )
    return list(answer.get("Messages", []))


@pytest.mark.behaviour("S2")
def test_a_queue_gets_the_message_in_sns_envelope(aws: Aws) -> None:
    arn = topic(aws)
    url = subscribed(aws, arn)
    attributes = {"kind": {"DataType": "String", "StringValue": "order"}}
    sent = aws.client("sns").publish(TopicArn=arn, Message="hi", Subject="S", MessageAttributes=attributes)
    (message,) = received(aws, url)
    assert message["Body"].startswith('{\n  "Type" : "Notification",\n  "MessageId" : ')
    body = json.loads(message["Body"])
    assert list(body) == [
        *["Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SignatureVersion", "Signature"],
        *["SigningCertURL", "UnsubscribeURL", "MessageAttributes"],
    ]
    assert (body["MessageId"], body["TopicArn"], body["Subject"], body["Message"]) == (
        sent["MessageId"],
        arn,
        "S",
        "hi",
    )
    assert body["MessageAttributes"] == {"kind": {"Type": "String", "Value": "order"}}
    assert "MessageAttributes" not in message


@pytest.mark.behaviour("S3", "S4")
def test_raw_delivery_and_the_filter(aws: Aws) -> None:
    arn = topic(aws)
    raw = subscribed(aws, arn, RawMessageDelivery="true", FilterPolicy={"kind": ["order"]})
    scope: dict[str, Any] = {"FilterPolicyScope": "MessageBody", "FilterPolicy": {"n": [{"numeric": [">", 1]}]}}
    by_body = subscribed(aws, arn, RawMessageDelivery="true", **scope)
    for kind, n in (("order", 1), ("other", 2)):
        attributes = {"kind": {"DataType": "String", "StringValue": kind}}
        aws.client("sns").publish(TopicArn=arn, Message=json.dumps({"n": n}), MessageAttributes=attributes)
    (message,) = received(aws, raw)
    assert message["Body"] == '{"n": 1}'
    assert message["MessageAttributes"] == {"kind": {"StringValue": "order", "DataType": "String"}}
    assert [message["Body"] for message in received(aws, by_body)] == ['{"n": 2}']
    many = {f"a{number}": {"DataType": "Number", "StringValue": str(number)} for number in range(10)}
    for attributes in (many, {**many, "kind": {"DataType": "String", "StringValue": "order"}}):
        aws.client("sns").publish(TopicArn=arn, Message='{"n": 3}', MessageAttributes=attributes)
    (message,) = received(aws, by_body)
    assert len(message["MessageAttributes"]) == 10


@pytest.mark.behaviour("S1")
def test_without_the_queues_permission_the_message_is_lost_without_a_word(aws: Aws) -> None:
    arn, since = topic(aws), aws.now()
    url = subscribed(aws, arn, allowed=topic(aws))
    aws.client("sns").publish(TopicArn=arn, Message="lost")
    assert received(aws, url) == []
    aws.advance(120)
    name = arn.rpartition(":")[2]
    assert sum(aws.metric("AWS/SNS", "NumberOfNotificationsFailed", "Sum", since, TopicName=name)) == 1
    policy = json.dumps(allow(aws.queue_arn(url), arn))
    aws.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    aws.client("sns").publish(TopicArn=arn, Message="there")
    assert [json.loads(message["Body"])["Message"] for message in received(aws, url)] == ["there"]


@pytest.mark.behaviour("S5")
def test_what_could_not_be_delivered_goes_to_the_subscriptions_dead_letter_queue(aws: Aws) -> None:
    arn = topic(aws)
    dead = subscribed(aws, topic(aws), allowed=arn)
    redrive = {"deadLetterTargetArn": aws.queue_arn(dead)}
    subscribed(aws, arn, allowed=topic(aws), RawMessageDelivery="true", RedrivePolicy=redrive)
    aws.client("sns").publish(TopicArn=arn, Message="refused")
    assert [message["Body"] for message in received(aws, dead)] == ["refused"]


def test_a_fifo_topic_keeps_order_and_group(aws: Aws) -> None:
    arn = topic(aws, FifoTopic="true", ContentBasedDeduplication="true")
    url = subscribed(aws, arn, fifo=True, RawMessageDelivery="true")
    for text in ("1", "2", "2", "3"):
        aws.client("sns").publish(TopicArn=arn, Message=text, MessageGroupId="g")
    messages = received(aws, url)
    assert [message["Body"] for message in messages] == ["1", "2", "3"]
    assert {message["Attributes"]["MessageGroupId"] for message in messages} == {"g"}


def test_a_function_is_invoked_if_its_policy_lets_the_topic(aws: Aws) -> None:
    arn = topic(aws)
    client = aws.client("lambda")
    name = aws.function("import json\ndef handler(event, context):\n    print(json.dumps(event))")
    endpoint = client.get_function_configuration(FunctionName=name)["FunctionArn"]
    aws.client("sns").subscribe(TopicArn=arn, Protocol="lambda", Endpoint=endpoint)
    aws.client("sns").publish(TopicArn=arn, Message="lost")
    aws.advance(1)
    assert aws.printed(name) == []
    permission = {"Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com", "SourceArn": arn}
    client.add_permission(FunctionName=name, StatementId="sns", **permission)
    aws.client("sns").publish(TopicArn=arn, Message="hello")
    aws.advance(1)
    (event,) = aws.printed(name)
    (record,) = event["Records"]
    assert (record["EventSource"], record["Sns"]["Message"]) == ("aws:sns", "hello")
    client.remove_permission(FunctionName=name, StatementId="sns")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_policy(FunctionName=name)


def test_text_messages_stay_in_the_outbox(aws: Aws) -> None:
    sns, arn = aws.client("sns"), topic(aws)
    before = len(aws.lab("GET", "/_local/outbox")["messages"])
    sent = sns.publish(PhoneNumber="+4917612345678", Message="your order is on its way")
    sns.subscribe(TopicArn=arn, Protocol="sms", Endpoint="+4917612345679")
    sns.publish(TopicArn=arn, Message="to all")
    direct, fanned = aws.lab("GET", "/_local/outbox")["messages"][before:]
    assert (direct["to"], direct["message"]) == ("+4917612345678", "your order is on its way")
    assert direct["messageId"] == sent["MessageId"]
    assert (fanned["to"], fanned["message"], fanned["topicArn"]) == ("+4917612345679", "to all", arn)


@pytest.mark.behaviour("H9")
@pytest.mark.parametrize(("resource", "allowed"), [("*", True), ("arn:aws:sns:*:*:*", False)])
def test_a_text_takes_the_right_on_everything(aws: Aws, resource: str, allowed: bool) -> None:
    iam, user = aws.client("iam"), aws.name("user")
    iam.create_user(UserName=user)
    statement = {"Effect": "Allow", "Action": "sns:Publish", "Resource": resource}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=document)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    names = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    publish = aws.client("sns", **names).publish
    if allowed:
        assert publish(PhoneNumber="+4917612345678", Message="m")["MessageId"]
    else:
        with pytest.raises(ClientError, match=r"not authorized .* on resource: \+4917612345678"):
            publish(PhoneNumber="+4917612345678", Message="m")


@pytest.mark.parametrize(
    ("protocol", "endpoint", "text"),
    [
        ("https", "https://example.com/", "would leave this machine"),
        ("email", "a@example.com", "would leave this machine"),
        ("sqs", "not an arn", "SQS endpoint ARN"),
        ("sqs", "arn:aws:sqs:us-east-1:123456789012:a.fifo", "FIFO SQS Queues can not be subscribed to standard"),
        ("lambda", "arn:aws:sqs:us-east-1:123456789012:a", "Lambda endpoint ARN"),
    ],
)
def test_what_cannot_subscribe(aws: Aws, protocol: str, endpoint: str, text: str) -> None:
    sns, arn = aws.client("sns"), topic(aws)
    with pytest.raises(sns.exceptions.InvalidParameterException) as caught:
        sns.subscribe(TopicArn=arn, Protocol=protocol, Endpoint=endpoint)
    assert text in str(caught.value)
    assert sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"] == []


def test_an_unknown_topic_is_refused(aws: Aws) -> None:
    with pytest.raises(ClientError, match="Topic does not exist"):
        aws.client("sns").publish(TopicArn=topic(aws) + "x", Message="x")
