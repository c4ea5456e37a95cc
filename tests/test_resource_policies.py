"""Policies of queues, functions and keys: whom they let in besides a caller's own rights, and across accounts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Aws
from .lambda_calls import refusal
from .test_keys import Locked
from .test_rights import Caller, caller, function_arn, policy

__all__ = ["caller"]

ELSEWHERE = "222233334444"
ECHO = "def handler(event, context): return event"


class Visitor:
    """A user of another account."""

    def __init__(self, aws: Aws, account: str = ELSEWHERE) -> None:
        keys = aws.lab("POST", "/_local/visitors", {"account": account})
        self.aws, self.account, self.arn = aws, account, str(keys["arn"])
        self._keys = {"aws_access_key_id": keys["accessKeyId"], "aws_secret_access_key": keys["secretAccessKey"]}

    def client(self, service: str) -> Any:
        """Return a client with the visitor's key."""
        return self.aws.client(service, **self._keys)

    def denied(self, action: str, resource: str) -> str:
        """Return the text in which the visitor is refused."""
        return (
            f"User: {self.arn} is not authorized to perform: {action} on resource: {resource} "
            f"because no resource-based policy allows the {action} action"
        )


@pytest.fixture(scope="module")
def visitor(aws: Aws) -> Visitor:
    return Visitor(aws)


def allow(aws: Aws, url: str, *statements: dict[str, Any]) -> None:
    """Give a queue a policy."""
    document = policy(*({"Resource": aws.queue_arn(url), **one} for one in statements))
    aws.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(document)})


@pytest.mark.behaviour("E13")
def test_a_functions_own_policy_lets_a_principal_invoke_it_and_no_longer(aws: Aws, caller: Caller) -> None:
    owner, client = aws.client("lambda"), caller.client("lambda")
    name = aws.function(ECHO)
    arn = function_arn(aws, name)
    denied = (403, "AccessDeniedException", caller.denied("lambda:InvokeFunction", arn))
    caller.may({"Action": "sqs:*"})
    grant = {"FunctionName": name, "StatementId": "me", "Action": "lambda:InvokeFunction"}
    assert refusal(client.invoke, FunctionName=name) == denied
    made = json.loads(owner.add_permission(**grant, Principal=caller.arn)["Statement"])
    assert (made["Sid"], made["Principal"], made["Resource"]) == ("me", {"AWS": caller.arn}, arn)
    assert client.invoke(FunctionName=name)["StatusCode"] == 200
    assert refusal(client.get_function, FunctionName=name)[0] == 403, "the policy allows one action only"
    assert json.loads(owner.get_policy(FunctionName=name)["Policy"])["Statement"] == [made]
    status, code, text = refusal(owner.add_permission, **grant, Principal=caller.arn)
    assert (status, code) == (409, "ResourceConflictException")
    assert text.startswith("The statement id (me) provided already exists.")
    caller.may({"Effect": "Deny", "Action": "lambda:*"})
    assert refusal(client.invoke, FunctionName=name)[2] == (
        f"User: {caller.arn} is not authorized to perform: lambda:InvokeFunction on resource: {arn} "
        "with an explicit deny in an identity-based policy"
    )
    caller.may({"Action": "sqs:*"})
    owner.remove_permission(FunctionName=name, StatementId="me")
    assert refusal(client.invoke, FunctionName=name) == denied
    assert refusal(owner.remove_permission, FunctionName=name, StatementId="me")[:2] == (
        404,
        "ResourceNotFoundException",
    )


def test_a_permission_for_an_alias_or_a_source_holds_for_nothing_else(aws: Aws, caller: Caller) -> None:
    owner, client = aws.client("lambda"), caller.client("lambda")
    name = aws.function(ECHO)
    owner.create_alias(FunctionName=name, Name="live", FunctionVersion="$LATEST")
    caller.may({"Action": "sqs:*"})
    grant = {"FunctionName": name, "Action": "lambda:InvokeFunction", "Principal": caller.arn}
    owner.add_permission(**grant, StatementId="live", Qualifier="live")
    assert client.invoke(FunctionName=name, Qualifier="live")["StatusCode"] == 200
    assert client.invoke(FunctionName=f"{name}:live")["StatusCode"] == 200
    assert refusal(client.invoke, FunctionName=name)[0] == 403
    # A source is what a service names; a user's own call has none.
    owner.add_permission(**grant, StatementId="queue", SourceArn="arn:aws:s3:::orders", SourceAccount=aws.info.account)
    assert refusal(client.invoke, FunctionName=name)[0] == 403
    owner.add_permission(**{**grant, "Principal": aws.info.account}, StatementId="all")
    assert refusal(client.invoke, FunctionName=name)[0] == 403, "the account lets its users in by their own policies"


@pytest.mark.behaviour("E23")
def test_either_policy_may_allow_and_either_may_deny(aws: Aws, caller: Caller) -> None:
    """All nine pairs: each policy says nothing, yes or no; what says no first stands in the text."""
    url = aws.queue()
    client = caller.client("sqs")
    none, denied = "because no identity-based policy", "with an explicit deny in {} policy"
    own, queues = denied.format("an identity-based"), denied.format("a resource-based")
    expected = {
        None: (none, "", queues),
        "Allow": ("", "", queues),
        "Deny": (own, own, own),
    }
    for effect, reasons in expected.items():
        caller.may({"Action": "lambda:*"}, *([{"Effect": effect, "Action": "sqs:SendMessage"}] if effect else []))
        for queue_says, reason in zip((None, "Allow", "Deny"), reasons, strict=True):
            said = {"Effect": queue_says, "Principal": {"AWS": caller.arn}, "Action": "sqs:SendMessage"}
            allow(aws, url, *([said] if queue_says else [{"Principal": "*", "Action": "sqs:GetQueueUrl"}]))
            if reason:
                assert reason in refusal(client.send_message, QueueUrl=url, MessageBody="x")[2], (effect, queue_says)
            else:
                assert client.send_message(QueueUrl=url, MessageBody="x")["MessageId"], (effect, queue_says)
    assert aws.counts(url) == (3, 0)


@pytest.mark.behaviour("E13", "E24")
def test_another_accounts_user_needs_the_queues_policy(aws: Aws, visitor: Visitor) -> None:
    url = aws.queue()
    arn, sqs = aws.queue_arn(url), visitor.client("sqs")
    message = {"QueueUrl": url, "MessageBody": "x"}
    assert refusal(sqs.send_message, **message) == (403, "AccessDenied", visitor.denied("sqs:sendmessage", arn))
    aws.client("sqs").add_permission(
        QueueUrl=url, Label="guest", AWSAccountIds=[visitor.account], Actions=["SendMessage", "GetQueueUrl"]
    )
    assert sqs.send_message(**message)["MessageId"]
    assert refusal(sqs.receive_message, QueueUrl=url)[2] == visitor.denied("sqs:receivemessage", arn)
    name = url.rpartition("/")[2]
    assert sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=aws.info.account)["QueueUrl"] == url
    assert refusal(sqs.get_queue_url, QueueName=name)[1] == "AWS.SimpleQueueService.NonExistentQueue"
    # What a policy cannot give away, and what a Deny takes back.
    allow(aws, url, {"Principal": {"AWS": visitor.arn}, "Action": "sqs:*"})
    assert sqs.receive_message(QueueUrl=url)["Messages"]
    attributes = {"QueueUrl": url, "Attributes": {"DelaySeconds": "1"}}
    assert refusal(sqs.set_queue_attributes, **attributes)[2] == visitor.denied("sqs:setqueueattributes", arn)
    everybody = {"Principal": "*", "Action": "sqs:SendMessage"}
    outside = {"StringNotEquals": {"aws:PrincipalAccount": aws.info.account}}
    allow(aws, url, everybody, {**everybody, "Effect": "Deny", "Condition": outside})
    assert refusal(sqs.send_message, **message) == (
        403,
        "AccessDenied",
        f"User: {visitor.arn} is not authorized to perform: sqs:sendmessage on resource: {arn} "
        "with an explicit deny in a resource-based policy",
    )
    assert visitor.client("sts").get_caller_identity()["Account"] == ELSEWHERE


@pytest.mark.behaviour("E13")
def test_another_accounts_user_needs_the_functions_policy(aws: Aws, visitor: Visitor) -> None:
    name = aws.function(ECHO)
    arn, client = function_arn(aws, name), visitor.client("lambda")
    denied = (403, "AccessDeniedException", visitor.denied("lambda:InvokeFunction", arn))
    assert refusal(client.invoke, FunctionName=arn) == denied
    grant = {"FunctionName": name, "StatementId": "guest", "Action": "lambda:InvokeFunction"}
    aws.client("lambda").add_permission(**grant, Principal=visitor.account)
    assert client.invoke(FunctionName=arn)["StatusCode"] == 200
    assert refusal(Visitor(aws, "333344445555").client("lambda").invoke, FunctionName=arn)[0] == 403
    assert refusal(client.list_functions)[2] == visitor.denied("lambda:ListFunctions", "*")
    assert refusal(visitor.client("iam").list_users)[0] == 403


@pytest.mark.behaviour("E18")
def test_another_account_needs_the_keys_policy_too(aws: Aws, visitor: Visitor) -> None:
    locked, sqs = Locked(aws), visitor.client("sqs")
    allow(aws, locked.url, {"Principal": {"AWS": visitor.account}, "Action": "sqs:SendMessage"})
    code, text = locked.refusal(sqs, "send_message", MessageBody="x")
    assert code == "KMS.AccessDeniedException"
    assert text.startswith(visitor.denied("kms:GenerateDataKey", locked.arn))
    root = {"Principal": {"AWS": f"arn:aws:iam::{aws.info.account}:root"}, "Action": "kms:*"}
    guest = {"Principal": {"AWS": visitor.account}, "Action": ["kms:GenerateDataKey", "kms:Decrypt"]}
    locked.kms.put_key_policy(KeyId=locked.arn, PolicyName="default", Policy=json.dumps(policy(root, guest)))
    assert sqs.send_message(QueueUrl=locked.url, MessageBody="x")["MessageId"]


def test_a_role_may_be_lent_to_another_account(aws: Aws, visitor: Visitor) -> None:
    url = aws.queue()
    statement = {"Effect": "Allow", "Principal": {"AWS": visitor.account}, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": [statement]}
    role = aws.role(trust=trust, policy=policy({"Action": "sqs:SendMessage"}))
    own = {**statement, "Principal": {"AWS": f"arn:aws:iam::{aws.info.account}:root"}}
    closed = aws.role(trust={**trust, "Statement": [own]})
    sts = visitor.client("sts")
    refused = refusal(sts.assume_role, RoleArn=closed, RoleSessionName="me")
    assert refused[:2] == (403, "AccessDenied")
    keys = sts.assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    lent = aws.client(
        "sqs",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    assert lent.send_message(QueueUrl=url, MessageBody="x")["MessageId"]
    assert refusal(lent.receive_message, QueueUrl=url)[2].endswith(
        "because no identity-based policy allows the sqs:receivemessage action"
    )


def test_a_visitor_is_of_another_account(aws: Aws) -> None:
    for account in (aws.info.account, "1", 222233334444, None, "22223333444x"):
        with pytest.raises(Exception, match="twelve digits of another account"):
            aws.lab("POST", "/_local/visitors", {"account": account})
