"""A queue under a customer's KMS key: what it asks of producer, consumer and trigger, and how it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Aws
from .sqs import send
from .test_rights import Caller, caller, policy
from .triggers import RECORDS

__all__ = ["caller"]

HIDDEN = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are "
    "not allowed to access. (Service: AWSKMS; Status Code: 400; Error Code: AccessDeniedException; Request ID: "
)


class Locked:
    """A queue under a new key."""

    def __init__(self, aws: Aws, **attributes: Any) -> None:
        self.aws = aws
        self.kms = aws.client("kms")
        self.key = self.kms.create_key()["KeyMetadata"]
        self.arn = str(self.key["Arn"])
        self.url = aws.queue(KmsMasterKeyId=self.key["KeyId"], **attributes)

    def refusal(self, client: Any, method: str = "receive_message", **params: Any) -> tuple[str, str]:
        """Return code and text of a refused call."""
        with pytest.raises(ClientError) as refused:
            getattr(client, method)(QueueUrl=self.url, **params)
        error = refused.value.response["Error"]
        return error["Code"], error["Message"]


@pytest.mark.behaviour("E18", "E19")
def test_producer_and_consumer_need_the_key_beside_the_queue(aws: Aws, caller: Caller) -> None:
    locked, client = Locked(aws, KmsDataKeyReusePeriodSeconds=60), caller.client("sqs")
    everything = {"Action": "sqs:*"}
    key = {"Action": "kms:GenerateDataKey", "Resource": locked.arn}
    decrypt = {"Action": "kms:Decrypt", "Resource": locked.arn}
    caller.may(everything)
    code, text = locked.refusal(client, "send_message", MessageBody="x")
    assert code == "KMS.AccessDeniedException"
    assert text.startswith(caller.denied("kms:GenerateDataKey", locked.arn) + " (Service: AWSKMS; Status Code: 400; ")
    caller.may(everything, key)
    code, text = locked.refusal(client, "send_message", MessageBody="x")
    assert text.startswith(caller.denied("kms:Decrypt", locked.arn))
    caller.may(everything, key, decrypt)
    assert client.send_message(QueueUrl=locked.url, MessageBody="x")["MessageId"]
    sent = client.send_message_batch(QueueUrl=locked.url, Entries=[{"Id": "a", "MessageBody": "y"}])
    assert len(sent["Successful"]) == 1
    caller.may(everything, key)
    assert len(client.receive_message(QueueUrl=locked.url)["Messages"]) == 1, "a data key is used again for a while"
    aws.advance(61)
    code, text = locked.refusal(client)
    assert code == "KMS.AccessDeniedException"
    assert text.startswith(HIDDEN)
    caller.may(everything, decrypt)
    assert client.receive_message(QueueUrl=locked.url)["Messages"]


@pytest.mark.behaviour("E17", "E20")
def test_a_trigger_without_the_right_to_decrypt_is_silent_until_it_has_it(aws: Aws) -> None:
    locked = Locked(aws)
    role = aws.role()
    function = aws.function(RECORDS, role=role)
    uuid = aws.mapping(locked.url, function, BatchSize=1)
    send(aws, locked.url, "a", "b")
    start = aws.now()
    aws.advance(600)
    mapping = aws.client("lambda").get_event_source_mapping(UUID=uuid)
    assert mapping["State"] == "Enabled"
    assert aws.printed(function) == []
    assert aws.counts(locked.url) == (2, 0), "nothing was received, so nothing moves towards a dead-letter queue"
    may = policy({"Action": "kms:Decrypt", "Resource": locked.arn})
    name = role.rpartition("/")[2]
    aws.client("iam").put_role_policy(RoleName=name, PolicyName="key", PolicyDocument=json.dumps(may))
    aws.advance(1)
    assert len(aws.printed(function)) == 2
    assert all(seen["at"] >= start + 600 for seen in aws.printed(function))
    aws.client("iam").delete_role_policy(RoleName=name, PolicyName="key")
    aws.advance(301)
    send(aws, locked.url, "c")
    aws.advance(60)
    assert len(aws.printed(function)) == 2
    assert aws.counts(locked.url) == (1, 0)


@pytest.mark.behaviour("E16")
def test_a_queue_without_a_customers_key_asks_for_no_right_on_one(aws: Aws, caller: Caller) -> None:
    caller.may({"Action": "sqs:*"})
    client = caller.client("sqs")
    for url in (aws.queue(SqsManagedSseEnabled="true"), aws.queue(KmsMasterKeyId="alias/aws/sqs")):
        client.send_message(QueueUrl=url, MessageBody="x")
        assert client.receive_message(QueueUrl=url)["Messages"]


@pytest.mark.behaviour("E21")
def test_a_key_that_cannot_be_used_refuses_everybody_by_its_state(aws: Aws) -> None:
    locked, sqs = Locked(aws), aws.client("sqs")
    kms, identifier, arn = locked.kms, locked.key["KeyId"], locked.arn

    def told() -> tuple[str, str]:
        code, text = locked.refusal(sqs)
        assert locked.refusal(sqs, "send_message", MessageBody="x")[0] == code
        return code, text.partition(" (Service: AWSKMS; Status Code: 400; Error Code: ")[0]

    kms.disable_key(KeyId=identifier)
    assert told() == ("KMS.DisabledException", f"{arn} is disabled.")
    kms.schedule_key_deletion(KeyId=identifier, PendingWindowInDays=7)
    assert told() == ("KMS.InvalidStateException", f"{arn} is pending deletion.")
    kms.cancel_key_deletion(KeyId=identifier)
    kms.enable_key(KeyId=identifier)
    sqs.send_message(QueueUrl=locked.url, MessageBody="x")
    signing = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]["KeyId"]
    elsewhere = f"arn:aws:kms:eu-west-1:{aws.info.account}:key/{identifier}"
    for name, expected in (
        (signing, "KMS.InvalidKeyUsageException"),
        ("alias/nowhere", "KMS.NotFoundException"),
        ("0d0c0b0a-0000-4000-8000-000000000000", "KMS.NotFoundException"),
        (elsewhere, "KMS.NotFoundException"),
    ):
        sqs.set_queue_attributes(QueueUrl=locked.url, Attributes={"KmsMasterKeyId": name})
        assert told()[0] == expected, name
    with pytest.raises(sqs.exceptions.KmsNotFound):
        sqs.receive_message(QueueUrl=locked.url)


@pytest.mark.behaviour("E17", "E18")
def test_a_keys_own_policy_decides_whether_identity_policies_count(aws: Aws, caller: Caller) -> None:
    locked, client = Locked(aws), caller.client("sqs")
    caller.may({"Action": ["sqs:*", "kms:*"]})
    nobody = {"Principal": {"AWS": f"arn:aws:iam::{aws.info.account}:user/other"}, "Action": "kms:*"}
    locked.kms.put_key_policy(KeyId=locked.arn, PolicyName="default", Policy=json.dumps(policy(nobody)))
    assert locked.refusal(client, "send_message", MessageBody="x")[0] == "KMS.AccessDeniedException"
    caller.may({"Action": "sqs:*"})
    named = {"Principal": {"AWS": caller.arn}, "Action": ["kms:GenerateDataKey*", "kms:Decrypt"]}
    locked.kms.put_key_policy(KeyId=locked.arn, PolicyName="default", Policy=json.dumps(policy(named)))
    assert client.send_message(QueueUrl=locked.url, MessageBody="x")["MessageId"]
    assert client.receive_message(QueueUrl=locked.url)["Messages"]


@pytest.mark.behaviour("E17", "E18")
def test_a_right_on_a_key_may_hold_for_calls_through_sqs_alone(aws: Aws, caller: Caller) -> None:
    locked, client = Locked(aws), caller.client("sqs")
    use = {"Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": locked.arn}
    for region, goes in (("xx-east-1", False), (aws.info.region, True)):
        only = {"Condition": {"StringEquals": {"kms:ViaService": f"sqs.{region}.amazonaws.com"}}}
        caller.may({"Action": "sqs:*"}, use | only)
        if goes:
            assert client.send_message(QueueUrl=locked.url, MessageBody="x")["MessageId"]
            assert client.receive_message(QueueUrl=locked.url)["Messages"]
        else:
            assert locked.refusal(client, "send_message", MessageBody="x")[0] == "KMS.AccessDeniedException"


@pytest.mark.behaviour("E13")
def test_a_right_on_one_key_is_none_on_another_and_the_keys_policy_counts(aws: Aws, caller: Caller) -> None:
    """A key may be called by its id, its ARN or its alias: the text names its ARN, and an alias has one of its own."""
    kms, client = aws.client("kms"), caller.client("kms")
    own, other = (kms.create_key()["KeyMetadata"] for _ in range(2))
    alias = f"alias/{aws.name('key')}"
    kms.create_alias(AliasName=alias, TargetKeyId=other["KeyId"])
    caller.may({"Action": "kms:DescribeKey", "Resource": own["Arn"]})
    assert client.describe_key(KeyId=own["KeyId"])["KeyMetadata"]["Arn"] == own["Arn"]

    def told(method: str, **params: Any) -> str:
        with pytest.raises(ClientError) as refused:
            getattr(client, method)(**params)
        return str(refused.value.response["Error"]["Message"])

    for name in (other["KeyId"], other["Arn"], alias):
        assert told("describe_key", KeyId=name) == caller.denied("kms:DescribeKey", other["Arn"])
    start = other["Arn"].partition("key/")[0]
    assert told("delete_alias", AliasName=alias) == caller.denied("kms:DeleteAlias", start + alias)
    assert told("create_key") == caller.denied("kms:CreateKey", "*")
    named = {"Principal": {"AWS": caller.arn}, "Action": "kms:DescribeKey"}
    root = {"Principal": {"AWS": f"arn:aws:iam::{aws.info.account}:root"}, "Action": "kms:*"}
    kms.put_key_policy(KeyId=other["KeyId"], PolicyName="default", Policy=json.dumps(policy(root, named)))
    assert client.describe_key(KeyId=alias)["KeyMetadata"]["Arn"] == other["Arn"]
    caller.may({"Action": "kms:*"}, {"Effect": "Deny", "Action": "kms:ScheduleKeyDeletion"})
    refused = "with an explicit deny in an identity-based policy"
    assert told("schedule_key_deletion", KeyId=own["KeyId"]).endswith(refused)


def test_sns_reaches_an_encrypted_queue_only_if_the_key_names_it(aws: Aws) -> None:
    locked, sns = Locked(aws), aws.client("sns")
    topic = sns.create_topic(Name=aws.name("topic"))["TopicArn"]
    service = {"Principal": {"Service": "sns.amazonaws.com"}}
    may_send = policy({**service, "Action": "sqs:SendMessage"})
    aws.client("sqs").set_queue_attributes(QueueUrl=locked.url, Attributes={"Policy": json.dumps(may_send)})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=aws.queue_arn(locked.url))
    sns.publish(TopicArn=topic, Message="lost")
    key_policy = policy({**service, "Action": ["kms:GenerateDataKey*", "kms:Decrypt"]})
    locked.kms.put_key_policy(KeyId=locked.arn, PolicyName="default", Policy=json.dumps(key_policy))
    sns.publish(TopicArn=topic, Message="kept")
    (message,) = aws.client("sqs").receive_message(QueueUrl=locked.url, MaxNumberOfMessages=10)["Messages"]
    assert json.loads(message["Body"])["Message"] == "kept"


CRITERIA = {"Filters": [{"Pattern": '{"body": ["wanted"]}'}]}


def key_policy(aws: Aws, *, reader: bool) -> str:
    """Return a key policy for the account, and for Lambda as the reader of filters."""
    statements: list[dict[str, Any]] = [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{aws.info.account}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ]
    if reader:
        service = {"Service": "lambda.amazonaws.com"}
        statements.append({"Effect": "Allow", "Principal": service, "Action": "kms:Decrypt", "Resource": "*"})
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@pytest.mark.behaviour("C48")
def test_encrypted_filters_are_shown_to_who_may_decrypt(aws: Aws, caller: Caller) -> None:
    """A list leaves them out, a get tells why it does; without the right to encrypt no such mapping is made."""
    key = aws.client("kms").create_key(Policy=key_policy(aws, reader=True))["KeyMetadata"]["Arn"]
    function, url, client = aws.function(RECORDS), aws.queue(), caller.client("lambda")
    arn = aws.queue_arn(url)
    made = {"EventSourceArn": arn, "FunctionName": function, "FilterCriteria": CRITERIA, "KMSKeyArn": key}
    caller.may({"Action": "lambda:*"})
    with pytest.raises(ClientError, match="not authorized to perform: kms:GenerateDataKey") as refused:
        client.create_event_source_mapping(**made)
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"
    uuid = aws.mapping(url, function, Enabled=False, FilterCriteria=CRITERIA, KMSKeyArn=key)
    shown = client.get_event_source_mapping(UUID=uuid)
    assert shown["KMSKeyArn"] == key
    assert "FilterCriteria" not in shown
    assert shown["FilterCriteriaError"]["ErrorCode"] == "AccessDeniedException"
    assert shown["FilterCriteriaError"]["Message"].startswith(caller.denied("kms:Decrypt", key))
    caller.may({"Action": "lambda:*"}, {"Action": "kms:Decrypt", "Resource": key})
    assert client.get_event_source_mapping(UUID=uuid)["FilterCriteria"] == CRITERIA
    (listed,) = client.list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"]
    assert listed["KMSKeyArn"] == key
    assert not {"FilterCriteria", "FilterCriteriaError"} & set(listed)


@pytest.mark.behaviour("C48")
def test_lambda_itself_has_to_be_in_the_policy_of_the_filters_key(aws: Aws) -> None:
    """Without the service principal no mapping is made; one that loses it reads nothing until it is back."""
    kms, client = aws.client("kms"), aws.client("lambda")
    key = kms.create_key(Policy=key_policy(aws, reader=False))["KeyMetadata"]
    function, url = aws.function(RECORDS), aws.queue()
    with pytest.raises(ClientError) as refused:
        aws.mapping(url, function, FilterCriteria=CRITERIA, KMSKeyArn=key["Arn"])
    assert refused.value.response["Error"]["Message"] == (
        "Lambda service principal was denied access to decrypt your filter criteria. Please check your KMS key policy"
    )
    kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy=key_policy(aws, reader=True))
    uuid = aws.mapping(url, function, FilterCriteria=CRITERIA, KMSKeyArn=key["Arn"])
    kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy=key_policy(aws, reader=False))
    send(aws, url, "wanted", "other")
    aws.advance(120)
    assert aws.counts(url) == (2, 0)
    assert client.get_event_source_mapping(UUID=uuid)["State"] == "Enabled"
    kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy=key_policy(aws, reader=True))
    aws.until(lambda: aws.counts(url) == (0, 0))
    assert [record["body"] for run in aws.printed(function) for record in run["event"]["Records"]] == ["wanted"]
