"""Rights: who may do what, in whose words it is refused, and what a function may do under its role."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import BASIC_ROLE, LAMBDA_TRUST, QUEUE_ROLE, Aws
from .lambda_calls import answer_of, create, invoke, refusal, texts

CALLS = """
    import boto3
    clients = {}
    def handler(event, context):
        service, method, arguments = event
        client = clients.setdefault(service, boto3.client(service))
        try:
            getattr(client, method)(**arguments)
        except Exception as problem:
            return str(problem)
        return "done"
"""
POLLING = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
LOGGING = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    """Return a policy; each statement allows, on everything, unless it says otherwise."""
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Resource": "*", **statement} for statement in statements],
    }


class Caller:
    """An IAM user with an access key, and the policy that is given to it."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.name = aws.name("user")
        self.arn = f"arn:aws:iam::{aws.info.account}:user/{self.name}"
        iam = aws.client("iam")
        iam.create_user(UserName=self.name)
        keys = iam.create_access_key(UserName=self.name)["AccessKey"]
        self._keys = {"aws_access_key_id": keys["AccessKeyId"], "aws_secret_access_key": keys["SecretAccessKey"]}
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Return a client with the user's key."""
        if service not in self._clients:
            self._clients[service] = self.aws.client(service, **self._keys)
        return self._clients[service]

    def may(self, *statements: dict[str, Any]) -> None:
        """Give the user these rights and no others."""
        document = json.dumps(policy(*statements))
        self.aws.client("iam").put_user_policy(UserName=self.name, PolicyName="own", PolicyDocument=document)

    def denied(self, action: str, resource: str) -> str:
        """Return the text in which the user is refused."""
        return (
            f"User: {self.arn} is not authorized to perform: {action} on resource: {resource} "
            f"because no identity-based policy allows the {action} action"
        )


@pytest.fixture(scope="module")
def caller(aws: Aws) -> Caller:
    """Make one user for the tests of this module; each gives it its own rights."""
    return Caller(aws)


def function_arn(aws: Aws, name: str) -> str:
    return f"arn:aws:lambda:{aws.info.region}:{aws.info.account}:function:{name}"


def by_the_role(aws: Aws, function: str, service: str, method: str, **arguments: Any) -> str:
    """Let a handler make a call under its role; return "done" or the error's text."""
    return str(invoke(aws, function, [service, method, arguments]))


def set_policy(aws: Aws, role: str, document: dict[str, Any]) -> None:
    name = role.rpartition("/")[2]
    aws.client("iam").put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(document))


# Roles and trust.


@pytest.mark.behaviour("E1", "E2")
def test_lambda_must_be_trusted_by_the_role(aws: Aws) -> None:
    text = "The role defined for the function cannot be assumed by Lambda."
    expected = (400, "InvalidParameterValueException", text)
    other = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    wrong = aws.role(trust={"Version": "2012-10-17", "Statement": [other]})
    for role in (wrong, f"arn:aws:iam::{aws.info.account}:role/unknown"):
        assert refusal(create, aws, Role=role) == expected
    listed = {**other, "Principal": {"Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"]}}
    right = aws.role(trust={"Version": "2012-10-17", "Statement": [listed]})
    function = create(aws, Role=right)["FunctionName"]
    aws.advance(1)
    update = aws.client("lambda").update_function_configuration
    assert refusal(update, FunctionName=function, Role=wrong) == expected
    name = wrong.rpartition("/")[2]
    aws.client("iam").update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(LAMBDA_TRUST))
    assert update(FunctionName=function, Role=wrong)["Role"] == wrong


@pytest.mark.behaviour("E4", "E5", "E9")
def test_the_managed_policies_hold_the_rights_of_aws(aws: Aws) -> None:
    iam = aws.client("iam")
    for arn, actions in ((BASIC_ROLE, LOGGING), (QUEUE_ROLE, POLLING + LOGGING)):
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        (statement,) = document["Statement"]
        assert sorted(statement["Action"]) == sorted(actions)
        assert statement["Resource"] == "*"
    url = aws.queue()
    function = aws.function(CALLS, Timeout=20, MemorySize=256)
    assert by_the_role(aws, function, "sqs", "get_queue_attributes", QueueUrl=url) == "done"
    for method, more in (
        ("send_message", {"MessageBody": "x"}),
        ("change_message_visibility", {"ReceiptHandle": "x", "VisibilityTimeout": 0}),
    ):
        assert "AccessDenied" in by_the_role(aws, function, "sqs", method, QueueUrl=url, **more)
    assert "AccessDenied" in by_the_role(aws, function, "sqs", "get_queue_url", QueueName=url.rpartition("/")[2])


@pytest.mark.behaviour("E13")
def test_a_handlers_own_calls_need_rights_of_its_role(aws: Aws) -> None:
    url, other = aws.queue(), aws.queue()
    role = aws.role(policy=policy({"Action": ["logs:*"]}))
    name = role.rpartition("/")[2]
    function = aws.function(CALLS, role=role, Timeout=20, MemorySize=256)
    send = {"service": "sqs", "method": "send_message", "MessageBody": "x"}
    denied = (
        "An error occurred (AccessDenied) when calling the SendMessage operation: "
        f"User: arn:aws:sts::{aws.info.account}:assumed-role/{name}/{function} is not authorized to perform: "
        f"sqs:sendmessage on resource: {aws.queue_arn(url)} "
    )
    nothing = denied + "because no identity-based policy allows the sqs:sendmessage action"
    assert by_the_role(aws, function, QueueUrl=url, **send) == nothing
    allow = {"Action": "sqs:SendMessage", "Resource": aws.queue_arn(url)}
    set_policy(aws, role, policy(allow))
    assert by_the_role(aws, function, QueueUrl=url, **send) == "done"
    assert "AccessDenied" in by_the_role(aws, function, QueueUrl=other, **send)
    set_policy(aws, role, policy(allow, {"Effect": "Deny", "Action": "sqs:Send*"}))
    assert by_the_role(aws, function, QueueUrl=url, **send) == (
        denied + "with an explicit deny in an identity-based policy"
    )


# What the pollers and the log need.


@pytest.mark.behaviour("E6", "E7", "E8")
def test_a_trigger_needs_three_rights_of_the_role_and_a_log_three_others(aws: Aws) -> None:
    url = aws.queue()
    role = aws.role(policy=policy({"Action": POLLING[:2]}))
    function = aws.function("def handler(event, context): print('got it')", role=role)
    connect = {"EventSourceArn": aws.queue_arn(url), "FunctionName": function}
    status, code, text = refusal(aws.client("lambda").create_event_source_mapping, **connect)
    assert (status, code) == (400, "InvalidParameterValueException")
    assert text == "The function execution role does not have permissions to call GetQueueAttributes on SQS"
    # No permission of the function for SQS: the queue is read, it does not push.
    set_policy(aws, role, policy({"Action": POLLING, "Resource": aws.queue_arn(url)}))
    aws.mapping(url, function)
    aws.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    aws.advance(2)
    assert aws.counts(url) == (0, 0)
    assert texts(aws, function) == []
    set_policy(aws, role, policy({"Action": [*POLLING, *LOGGING]}))
    aws.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    aws.advance(2)
    assert "got it\n" in texts(aws, function)
    # The pollers wear the role: a right that it loses is lost to them.
    set_policy(aws, role, policy({"Action": [*POLLING[1:], *LOGGING]}))
    aws.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    aws.advance(60)
    assert aws.counts(url) == (1, 0)


@pytest.mark.behaviour("E8")
def test_each_right_of_the_log_counts_and_counts_again_after_a_deletion(aws: Aws) -> None:
    logs = aws.client("logs")
    role = aws.role(policy=policy({"Action": LOGGING[1:]}))
    function = aws.function("def handler(event, context): print('hello')", role=role)
    group = f"/aws/lambda/{function}"
    answer_of(aws, function)
    assert texts(aws, function) == []
    logs.create_log_group(logGroupName=group)
    answer_of(aws, function)
    assert texts(aws, function).count("hello\n") == 1
    logs.delete_log_group(logGroupName=group)
    answer_of(aws, function)
    assert texts(aws, function) == []
    set_policy(aws, role, policy({"Action": LOGGING}))
    answer_of(aws, function)
    assert texts(aws, function).count("hello\n") == 1
    logs.delete_log_group(logGroupName=group)
    set_policy(aws, role, policy({"Action": LOGGING}, {"Effect": "Deny", "Action": "logs:CreateLogStream"}))
    answer_of(aws, function)
    assert texts(aws, function) == []


# Callers.


@pytest.mark.behaviour("E10", "E13")
def test_creating_a_function_needs_the_right_and_the_right_to_pass_the_role(aws: Aws, caller: Caller) -> None:
    role, name = aws.role(), aws.name("f")
    arguments = {
        "FunctionName": name,
        "Role": role,
        "Runtime": "python3.13",
        "Handler": "app.handler",
        "Code": {"ZipFile": b"PK"},
    }
    make = caller.client("lambda").create_function
    caller.may({"Action": "iam:PassRole"})
    denied = caller.denied("lambda:CreateFunction", function_arn(aws, name))
    assert refusal(make, **arguments) == (403, "AccessDeniedException", denied)
    caller.may({"Action": "lambda:*"}, {"Action": "iam:PassRole", "Resource": role + "-another"})
    assert refusal(make, **arguments) == (403, "AccessDeniedException", caller.denied("iam:PassRole", role))
    condition = {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    caller.may({"Action": "lambda:*"}, {"Action": "iam:PassRole", "Resource": role, "Condition": condition})
    # The rights are there: now it is the code that is refused.
    assert refusal(make, **arguments)[1] == "InvalidParameterValueException"
    function = aws.function("", role=aws.role())
    caller.may({"Action": "lambda:*"})
    update = caller.client("lambda").update_function_configuration
    assert refusal(update, FunctionName=function, Role=role)[2] == caller.denied("iam:PassRole", role)


@pytest.mark.behaviour("E11", "E12")
def test_creating_and_listing_mappings_have_no_resource_but_a_condition(aws: Aws, caller: Caller) -> None:
    url = aws.queue()
    function, other = aws.function(""), aws.function("")
    client = caller.client("lambda")
    connect = {"EventSourceArn": aws.queue_arn(url), "FunctionName": function}
    named = function_arn(aws, function)
    caller.may({"Action": "lambda:*", "Resource": f"arn:aws:lambda:{aws.info.region}:{aws.info.account}:*"})
    for action, call, arguments in (
        ("CreateEventSourceMapping", client.create_event_source_mapping, connect),
        ("ListEventSourceMappings", client.list_event_source_mappings, {}),
        ("ListFunctions", client.list_functions, {}),
        ("GetAccountSettings", client.get_account_settings, {}),
    ):
        text = caller.denied(f"lambda:{action}", "*")
        assert refusal(call, **arguments) == (403, "AccessDeniedException", text)
    condition = {"Condition": {"ArnEquals": {"lambda:FunctionArn": named}}}
    caller.may({"Action": "lambda:*EventSourceMapping", **condition})
    # No right of the caller on the queue is asked.
    uuid = client.create_event_source_mapping(**connect)["UUID"]
    assert refusal(client.create_event_source_mapping, **{**connect, "FunctionName": other})[0] == 403
    assert client.get_event_source_mapping(UUID=uuid)["FunctionArn"] == named
    aws.advance(2)
    client.delete_event_source_mapping(UUID=uuid)


@pytest.mark.behaviour("E13")
def test_denials_in_the_words_of_lambda_and_sqs(aws: Aws, caller: Caller) -> None:
    url, function = aws.queue(), aws.function("")
    sqs, client = caller.client("sqs"), caller.client("lambda")
    caller.may({"Action": "sts:GetCallerIdentity"})
    queue, called = aws.queue_arn(url), function_arn(aws, function)
    account = queue.rpartition(":")[0] + ":"
    for call, code, text in (
        (
            lambda: client.invoke(FunctionName=function),
            "AccessDeniedException",
            caller.denied("lambda:InvokeFunction", called),
        ),
        (
            lambda: client.invoke(FunctionName="unknown"),
            "AccessDeniedException",
            caller.denied("lambda:InvokeFunction", function_arn(aws, "unknown")),
        ),
        (lambda: sqs.receive_message(QueueUrl=url), "AccessDenied", caller.denied("sqs:receivemessage", queue)),
        (lambda: sqs.list_queues(), "AccessDenied", caller.denied("sqs:listqueues", account)),
    ):
        assert refusal(call) == (403, code, text)
    with pytest.raises(ClientError) as refused:
        sqs.receive_message(QueueUrl=url)
    headers = refused.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-query-error"] == "AccessDenied;Sender"
    assert caller.client("sts").get_caller_identity()["Arn"] == caller.arn


@pytest.mark.behaviour("E13")
def test_a_queues_own_policy_may_allow_and_deny(aws: Aws, caller: Caller) -> None:
    url = aws.queue()
    arn = aws.queue_arn(url)
    send = caller.client("sqs").send_message
    message = {"QueueUrl": url, "MessageBody": "x"}
    set_attributes = aws.client("sqs").set_queue_attributes
    caller.may({"Action": "lambda:*"})
    assert refusal(send, **message)[0] == 403
    statement = {"Principal": {"AWS": caller.arn}, "Action": "sqs:SendMessage", "Resource": arn}
    set_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy(statement))})
    assert send(**message)["MessageId"]
    caller.may({"Action": "sqs:*"})
    statement = {**statement, "Effect": "Deny", "Principal": "*"}
    set_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy(statement))})
    assert refusal(send, **message) == (
        403,
        "AccessDenied",
        f"User: {caller.arn} is not authorized to perform: sqs:sendmessage on resource: {arn} "
        "with an explicit deny in a resource-based policy",
    )
    assert caller.client("sqs").receive_message(QueueUrl=url)["Messages"]
    # Lambda's pollers wear the execution role, which a queue's policy may name too.
    role = aws.role(BASIC_ROLE)
    function = aws.function("def handler(event, context): pass", role=role)
    statement = {"Principal": {"AWS": role}, "Action": POLLING, "Resource": arn}
    set_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy(statement))})
    aws.mapping(url, function)


@pytest.mark.behaviour("E15")
def test_the_right_for_one_message_covers_batches(aws: Aws, caller: Caller) -> None:
    url = aws.queue()
    client, arn = caller.client("sqs"), aws.queue_arn(url)
    caller.may({"Action": "sqs:*Batch"})
    calls: list[tuple[str, Any, dict[str, Any]]] = [
        ("sqs:sendmessage", client.send_message_batch, {"MessageBody": "x"}),
        ("sqs:deletemessage", client.delete_message_batch, {"ReceiptHandle": "x"}),
        (
            "sqs:changemessagevisibility",
            client.change_message_visibility_batch,
            {"ReceiptHandle": "x", "VisibilityTimeout": 0},
        ),
    ]
    for action, call, entry in calls:
        arguments = {"QueueUrl": url, "Entries": [{"Id": "1", **entry}]}
        assert refusal(call, **arguments) == (403, "AccessDenied", caller.denied(action, arn))
    caller.may({"Action": ["sqs:SendMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]})
    for _, call, entry in calls:
        assert call(QueueUrl=url, Entries=[{"Id": "1", **entry}])


def test_resources_and_conditions_of_a_policy_count(aws: Aws, caller: Caller) -> None:
    mine, other = aws.queue(), aws.queue()
    sqs = caller.client("sqs")
    caller.may({"Action": "sqs:Send*", "Resource": aws.queue_arn(mine)})
    assert sqs.send_message(QueueUrl=mine, MessageBody="x")
    assert refusal(sqs.send_message, QueueUrl=other, MessageBody="x")[0] == 403
    caller.may({"Action": "sqs:*", "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2100-01-01T00:00:00Z"}}})
    assert refusal(sqs.send_message, QueueUrl=mine, MessageBody="x")[0] == 403
    caller.may({"Action": "sqs:*", "Condition": {"StringEquals": {"aws:username": caller.name}}})
    assert sqs.send_message(QueueUrl=mine, MessageBody="x")
    caller.may({"Action": "sqs:*"}, {"Effect": "Deny", "Action": "sqs:Send*", "Resource": aws.queue_arn(mine)})
    denied = refusal(sqs.send_message, QueueUrl=mine, MessageBody="x")
    assert denied[2].endswith("with an explicit deny in an identity-based policy")
    assert sqs.send_message(QueueUrl=other, MessageBody="x")


def test_resources_count_in_the_control_plane_too(aws: Aws, caller: Caller) -> None:
    iam, logs, sns = caller.client("iam"), caller.client("logs"), caller.client("sns")
    role = aws.role()
    mine, other = f"/{aws.name('mine')}", f"/{aws.name('other')}"
    for group in (mine, other):
        aws.client("logs").create_log_group(logGroupName=group)
    topic = aws.client("sns").create_topic(Name=aws.name("topic"))["TopicArn"]
    caller.may(
        {"Action": "iam:*", "Resource": role},
        {"Action": "logs:*", "Resource": f"arn:aws:logs:*:*:log-group:{mine}:*"},
        {"Action": "sns:*", "Resource": topic},
    )
    assert iam.get_role(RoleName=role.rpartition("/")[2])["Role"]["Arn"] == role
    name = aws.role().rpartition("/")[2]
    denied = caller.denied("iam:GetRole", f"arn:aws:iam::{aws.info.account}:role/{name}")
    assert refusal(iam.get_role, RoleName=name) == (403, "AccessDenied", denied)
    assert refusal(iam.get_user)[2] == caller.denied("iam:GetUser", caller.arn)
    assert logs.describe_log_streams(logGroupName=mine)["logStreams"] == []
    assert refusal(logs.describe_log_streams, logGroupName=other)[:2] == (403, "AccessDeniedException")
    assert sns.get_topic_attributes(TopicArn=topic)
    assert refusal(sns.create_topic, Name="another")[0] == 403
    caller.may(
        {"Action": "logs:*"},
        {"Effect": "Deny", "Action": "logs:*", "Resource": f"arn:aws:logs:*:*:log-group:{mine}:*"},
    )
    assert logs.describe_log_streams(logGroupName=other)["logStreams"] == []
    assert refusal(logs.describe_log_streams, logGroupName=mine)[0] == 403


def test_a_bucket_is_named_in_the_rights_of_s3(aws: Aws, caller: Caller) -> None:
    s3, bucket = caller.client("s3"), aws.name("bucket")
    aws.client("s3").create_bucket(Bucket=bucket)
    caller.may({"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/in/*"})
    s3.put_object(Bucket=bucket, Key="in/a", Body=b"x")
    assert refusal(s3.put_object, Bucket=bucket, Key="out/a", Body=b"x")[0] == 403
    assert refusal(s3.get_object, Bucket=bucket, Key="in/a")[0] == 403


def test_a_users_groups_and_keys_count(aws: Aws) -> None:
    iam, user = aws.client("iam"), Caller(aws)
    url, group = aws.queue(), aws.name("group")
    send = user.client("sqs").send_message
    iam.create_group(GroupName=group)
    iam.add_user_to_group(GroupName=group, UserName=user.name)
    document = json.dumps(policy({"Action": "sqs:*"}))
    iam.put_group_policy(GroupName=group, PolicyName="all", PolicyDocument=document)
    assert send(QueueUrl=url, MessageBody="x")
    iam.remove_user_from_group(GroupName=group, UserName=user.name)
    assert refusal(send, QueueUrl=url, MessageBody="x")[0] == 403
    (key,) = iam.list_access_keys(UserName=user.name)["AccessKeyMetadata"]
    iam.update_access_key(UserName=user.name, AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert refusal(send, QueueUrl=url, MessageBody="x")[1] in ("InvalidClientTokenId", "UnrecognizedClientException")


def test_a_role_is_assumed_by_whom_it_trusts_and_lends_its_rights(aws: Aws, caller: Caller) -> None:
    url = aws.queue()
    sts = caller.client("sts")
    caller.may({"Action": "lambda:*"})
    statement = {"Effect": "Allow", "Principal": {"AWS": caller.arn}, "Action": "sts:AssumeRole"}
    send = policy({"Action": "sqs:SendMessage"})
    role = aws.role(trust={"Version": "2012-10-17", "Statement": [statement]}, policy=send)
    untrusting = aws.role()
    expected = f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {untrusting}"
    refused = refusal(sts.assume_role, RoleArn=untrusting, RoleSessionName="me")
    assert refused == (403, "AccessDenied", expected)
    answer = sts.assume_role(RoleArn=role, RoleSessionName="me", DurationSeconds=900)
    name = role.rpartition("/")[2]
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{aws.info.account}:assumed-role/{name}/me"
    keys = answer["Credentials"]
    sqs = aws.client(
        "sqs",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    assert sqs.send_message(QueueUrl=url, MessageBody="x")
    assert refusal(sqs.receive_message, QueueUrl=url)[0] == 403
    boundary = "arn:aws:iam::aws:policy/AmazonSQSReadOnlyAccess"
    aws.client("iam").put_role_permissions_boundary(RoleName=name, PermissionsBoundary=boundary)
    text = refusal(sqs.send_message, QueueUrl=url, MessageBody="x")[2]
    assert text.endswith("because no permissions boundary allows the sqs:sendmessage action")
    # The trust policy binds the account's own key too.
    owner = aws.client("sts").assume_role
    assert refusal(owner, RoleArn=untrusting, RoleSessionName="me")[:2] == (403, "AccessDenied")
    aws.advance(901)
    assert refusal(sqs.send_message, QueueUrl=url, MessageBody="x")[1] in ("ExpiredToken", "ExpiredTokenException")


@pytest.mark.behaviour("E14")
def test_another_accounts_function_is_denied_without_a_word(aws: Aws) -> None:
    arn = function_arn(aws, "orders").replace(aws.info.account, "000000000000")
    assert refusal(aws.client("lambda").get_function, FunctionName=arn) == (403, "AccessDeniedException", None)
