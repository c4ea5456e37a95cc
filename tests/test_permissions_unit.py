"""The evaluator of policies, and rights through moto's IAM without a server."""

from __future__ import annotations

import io
import json
import secrets
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from helpers.local_aws import moto_adapter
from helpers.local_aws.clock import Clock, Scheduler
from helpers.local_aws.errors import ApiError
from helpers.local_aws.moto_adapter import ControlPlane
from helpers.local_aws.permissions import SESSION_SECONDS, Decision, Permissions, evaluate

QUEUE = "arn:aws:sqs:us-east-1:111122223333:orders"
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    """Return a document of statements; each allows everything that it does not say otherwise."""
    whole = [{"Effect": "Allow", "Resource": "*", **one} for one in statements]
    return {"Version": "2012-10-17", "Statement": whole}


def allowed(statement: dict[str, Any], action: str = "sqs:SendMessage", resource: Any = QUEUE, **context: Any) -> bool:
    """Return whether one statement allows a request; context keys are written with two underscores for the colon."""
    named = {key.replace("__", ":"): value for key, value in context.items()}
    if not {"Action", "NotAction"} & set(statement):
        statement = {"Action": "*", **statement}
    return evaluate([policy(statement)], action, resource, named) is Decision.ALLOW


def test_actions_have_wildcards_and_no_letter_case() -> None:
    assert allowed({"Action": "SQS:sendmessage"})
    assert allowed({"Action": ["s3:*", "sqs:Send?essage"]})
    assert not allowed({"Action": "sqs:Send"})
    assert allowed({"NotAction": "iam:*"})
    assert not allowed({"NotAction": "sqs:*"})


def test_resources_have_wildcards_and_letter_case() -> None:
    assert allowed({"Resource": "arn:aws:sqs:*:*:ord*"})
    assert allowed({"Resource": ["x", QUEUE]})
    assert not allowed({"Resource": QUEUE.upper()})
    document = policy({"Action": "*"})
    del document["Statement"][0]["Resource"]
    document["Statement"][0]["NotResource"] = QUEUE
    assert evaluate([document], "sqs:SendMessage", QUEUE) is Decision.NOTHING
    assert evaluate([document], "sqs:SendMessage", QUEUE + "2") is Decision.ALLOW


def test_an_unknown_resource_is_allowed_but_denied_only_for_all() -> None:
    allow = {"Action": "*", "Resource": QUEUE}
    narrow = {"Effect": "Deny", "Action": "*", "Resource": QUEUE}
    assert evaluate([policy(allow, narrow)], "sns:Publish", None) is Decision.ALLOW
    assert evaluate([policy(allow, {**narrow, "Resource": "*"})], "sns:Publish", None) is Decision.DENY


def test_a_deny_wins_in_any_order() -> None:
    deny = policy({"Effect": "Deny", "Action": "sqs:*"})
    allow = policy({"Action": "*"})
    assert evaluate([deny, allow], "sqs:SendMessage", QUEUE) is Decision.DENY
    assert evaluate([allow, deny], "sqs:SendMessage", QUEUE) is Decision.DENY
    assert evaluate([], "sqs:SendMessage", QUEUE) is Decision.NOTHING


@pytest.mark.parametrize(
    ("operator", "key", "wanted", "yes", "no"),
    [
        ("StringEquals", "a__b", ["x", "y"], "y", "z"),
        ("StringNotEquals", "a__b", ["x", "y"], "z", "y"),
        ("StringLike", "a__b", "or*", "orders", "floor"),
        ("ArnLike", "aws__SourceArn", "arn:aws:sns:*:1:t*", "arn:aws:sns:eu:1:top", "arn:aws:sns:eu:2:top"),
        ("NumericLessThan", "a__b", "5", 4, 5),
        ("DateGreaterThan", "aws__CurrentTime", "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z", "2025-06-01T00:00:00Z"),
        ("Bool", "aws__SecureTransport", True, "true", "false"),
        ("IpAddress", "aws__SourceIp", "10.0.0.0/8", "10.1.2.3", "11.1.2.3"),
        ("NotIpAddress", "aws__SourceIp", "10.0.0.0/8", "11.1.2.3", "10.1.2.3"),
        ("ForAllValues:StringEquals", "aws__TagKeys", ["a", "b"], ["a"], ["a", "c"]),
        ("ForAnyValue:StringEquals", "aws__TagKeys", ["a", "b"], ["a", "c"], ["c"]),
        ("Null", "a__b", "false", "there", None),
    ],
)
def test_conditions(operator: str, key: str, wanted: Any, yes: Any, no: Any) -> None:
    statement = {"Condition": {operator: {key.replace("__", ":").upper(): wanted}}}
    assert allowed(statement, **{key: yes})
    assert not allowed(statement, **{key: no})


def test_a_missing_key_matches_only_what_is_negated_or_optional() -> None:
    assert not allowed({"Condition": {"StringEquals": {"a:b": "x"}}})
    assert allowed({"Condition": {"StringNotEquals": {"a:b": "x"}}})
    assert allowed({"Condition": {"StringEqualsIfExists": {"a:b": "x"}}})
    assert allowed({"Condition": {"ForAllValues:StringEquals": {"a:b": "x"}}})


def test_an_unknown_operator_opens_nothing() -> None:
    odd = {"StringRhymes": {"a:b": "x"}}
    assert not allowed({"Condition": odd})
    deny = policy({"Action": "*"}, {"Effect": "Deny", "Action": "*", "Condition": odd})
    assert evaluate([deny], "sqs:SendMessage", QUEUE) is Decision.DENY


def test_policy_variables_are_filled_in() -> None:
    own = {"Resource": "arn:aws:sqs:*:*:${aws:username}-*"}
    arn = "arn:aws:sqs:us-east-1:111122223333:ada-orders"
    assert allowed(own, resource=arn, aws__username="ada")
    assert not allowed(own, resource=arn, aws__username="bob")
    assert not allowed(own, resource=arn)
    assert allowed({"Condition": {"StringEquals": {"a:b": "${aws:username}"}}}, a__b="ada", aws__username="ada")


@pytest.fixture
def space() -> Any:
    """Make a space with a real clock, a real control plane in an account of its own, and permissions."""
    clock = Clock()
    account = str(secrets.randbelow(9 * 10**11) + 10**11)
    made = SimpleNamespace(account=account, region="us-east-1", clock=clock, scheduler=Scheduler(clock))
    made.control = ControlPlane(made)  # type: ignore[arg-type]
    made.permissions = Permissions(made)  # type: ignore[arg-type]
    made.permissions.set_owner("AKIAOWNER", "secret")
    return made


def client(space: Any, service: str) -> Any:
    """Return a boto3 client whose requests go to the control plane without a network."""
    made = boto3.Session().client(
        service,
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="AKIAOWNER",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )
    signing = made.meta.service_model.signing_name

    def send(request: Any, **_: Any) -> AWSResponse:
        body = request.body.read() if hasattr(request.body, "read") else request.body
        body = body.encode() if isinstance(body, str) else body or b""
        headers = {key: value.decode() if isinstance(value, bytes) else value for key, value in request.headers.items()}
        status, answered, content = space.control.handle(signing, request.method, request.url, headers, body)
        raw = io.BytesIO(content)
        raw.stream = lambda **__: iter([content])  # type: ignore[attr-defined]
        return AWSResponse(request.url, status, {k.lower(): v for k, v in answered.items()}, raw)

    made.meta.events.register("before-send.*.*", send)
    return made


def role(space: Any) -> str:
    """Make a role; return its ARN."""
    document = {"Version": "2012-10-17", "Statement": [TRUST]}
    made = client(space, "iam").create_role(RoleName="orders", AssumeRolePolicyDocument=json.dumps(document))
    return str(made["Role"]["Arn"])


def refusal(call: Any, *arguments: Any, **options: Any) -> ApiError:
    """Return the error that a call raises."""
    with pytest.raises(ApiError) as caught:
        call(*arguments, **options)
    return caught.value


def test_any_aws_managed_policy_can_be_attached(space: Any) -> None:
    arn = role(space)
    name = "arn:aws:iam::aws:policy/AmazonDynamoDBReadOnlyAccess"
    client(space, "iam").attach_role_policy(RoleName="orders", PolicyArn=name)
    assert space.permissions.role_allows(arn, "dynamodb:GetItem", "arn:aws:dynamodb:us-east-1:1:table/t")
    assert not space.permissions.role_allows(arn, "dynamodb:PutItem", "arn:aws:dynamodb:us-east-1:1:table/t")


def test_role_credentials_are_renewed_in_virtual_time(space: Any) -> None:
    arn = role(space)
    first = space.permissions.role_credentials(arn, "orders")
    assert space.permissions.role_credentials(arn, "orders") is first
    assert space.permissions.identify(first.access_key) is first
    assert first.identity.user_id == f"{space.control.role(arn).role_id}:orders"
    space.scheduler.advance(space.clock.now() + SESSION_SECONDS + 1)
    second = space.permissions.role_credentials(arn, "orders")
    assert second.access_key != first.access_key
    assert second.expires > space.clock.now()
    assert space.permissions.identify(first.access_key) is None


def test_log_events_of_days_ahead_are_kept_in_order(space: Any) -> None:
    space.scheduler.advance(space.clock.now() + 5 * 86_400)
    now = int(space.clock.now() * 1000)
    assert not space.control.log_group_exists("/aws/lambda/f")
    space.control.put_log_events("/aws/lambda/f", "s", [(now, "one"), (now + 2, "three")])
    space.control.put_log_events("/aws/lambda/f", "s", [(now + 1, "two")])
    assert space.control.log_group_exists("/aws/lambda/f")
    logs = client(space, "logs")
    events = logs.get_log_events(logGroupName="/aws/lambda/f", logStreamName="s", startFromHead=True)["events"]
    assert [event["message"] for event in events] == ["one", "two", "three"]
    stream = logs.describe_log_streams(logGroupName="/aws/lambda/f")["logStreams"][0]
    assert stream["creationTime"] >= now - 1000
    assert stream["lastEventTimestamp"] == now + 2


def test_a_key_is_dated_and_gone_in_the_spaces_time(space: Any) -> None:
    kms, day = client(space, "kms"), 86_400
    space.scheduler.advance(space.clock.now() + 5 * day)
    made, now = kms.create_key()["KeyMetadata"], space.clock.now()
    kms.create_alias(AliasName="alias/orders", TargetKeyId=made["KeyId"])
    other = kms.create_key()["KeyMetadata"]
    assert made["CreationDate"].timestamp() == pytest.approx(now, abs=60)
    for key in (made, other):
        due = kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)["DeletionDate"]
        assert due.timestamp() == pytest.approx(now + 7 * day, abs=60)
        assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["DeletionDate"] == due
    kms.cancel_key_deletion(KeyId=other["KeyId"])
    space.scheduler.advance(now + 7 * day - 60)
    assert space.control.key("alias/orders").state == "PendingDeletion"
    space.scheduler.advance(now + 7 * day + 60)
    assert space.control.key("alias/orders") is None
    for name in (made["KeyId"], made["Arn"], "alias/orders"):
        with pytest.raises(kms.exceptions.NotFoundException):
            kms.describe_key(KeyId=name)
    assert kms.describe_key(KeyId=other["KeyId"])["KeyMetadata"]["KeyState"] == "Disabled"


def test_services_that_a_handler_may_call(space: Any) -> None:
    s3 = client(space, "s3")
    s3.create_bucket(Bucket="orders")
    s3.put_object(Bucket="orders", Key="a/b c", Body=b"content")
    assert s3.get_object(Bucket="orders", Key="a/b c")["Body"].read() == b"content"
    table = {"TableName": "t", "BillingMode": "PAY_PER_REQUEST"}
    dynamodb = client(space, "dynamodb")
    dynamodb.create_table(
        **table,
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )
    dynamodb.put_item(TableName="t", Item={"k": {"S": "1"}})
    assert dynamodb.get_item(TableName="t", Key={"k": {"S": "1"}})["Item"] == {"k": {"S": "1"}}
    client(space, "ssm").put_parameter(Name="p", Value="v", Type="String")
    assert client(space, "ssm").get_parameter(Name="p")["Parameter"]["Value"] == "v"
    client(space, "secretsmanager").create_secret(Name="s", SecretString="v")
    assert client(space, "secretsmanager").get_secret_value(SecretId="s")["SecretString"] == "v"
    key = client(space, "kms").create_key()["KeyMetadata"]
    assert key["Arn"].startswith(f"arn:aws:kms:us-east-1:{space.account}:key/")
    topic = client(space, "sns").create_topic(Name="t")["TopicArn"]
    assert topic == f"arn:aws:sns:us-east-1:{space.account}:t"
    assert client(space, "events").list_rules()["Rules"] == []
    assert "ResourceTagMappingList" in client(space, "resourcegroupstaggingapi").get_resources()


def test_what_is_not_offered_is_refused_in_a_sentence(space: Any) -> None:
    refused = refusal(client(space, "ec2").describe_instances)
    assert refused.status == 501
    assert refused.message.startswith("The local AWS does not offer the service ec2; it offers cloud")


def test_arns_in_paths_stay_whole() -> None:
    model = moto_adapter.get_service_model("lambda")
    arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A111122223333%3Afunction%3Aorders"
    operation, labels = moto_adapter.rest_operation(
        model, "POST", f"/2015-03-31/functions/{arn}/invocations?Qualifier=1", {}
    )
    assert operation.name == "Invoke"
    assert labels == {"FunctionName": "arn:aws:lambda:us-east-1:111122223333:function:orders"}
    operation, labels = moto_adapter.rest_operation(model, "GET", f"/2017-03-31/tags/{arn}", {})
    assert (operation.name, labels["Resource"].count(":")) == ("ListTags", 6)
    with pytest.raises(LookupError):
        moto_adapter.rest_operation(model, "GET", "/nothing", {})


def test_every_hook_inside_moto_is_where_it_was() -> None:
    moto_adapter.check_hooks()
