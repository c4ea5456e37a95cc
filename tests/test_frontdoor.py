"""The front door: what it refuses, and that a signature covers the request exactly as sent."""

from __future__ import annotations

import http.client
import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from helpers.local_aws.client import lab_request
from helpers.local_aws.errors import ApiError
from helpers.local_aws.frontdoor import FrontDoor
from helpers.local_aws.protocol import Answer

from .conftest import BASIC_ROLE, Aws


def send(aws: Aws, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, bytes]:
    """Send a request as it stands."""
    address = urlsplit(aws.info.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def signed(aws: Aws, body: bytes, service: str = "sqs", **changes: str) -> dict[str, str]:
    """Return the headers of a signed ListQueues."""
    headers = {"X-Amz-Target": "AmazonSQS.ListQueues", "Content-Type": "application/x-amz-json-1.0"}
    request = AWSRequest("POST", aws.info.url + "/", data=body, headers=headers)
    keys = Credentials(aws.info.access_key, changes.get("secret", aws.info.secret_key))
    SigV4Auth(keys, service, changes.get("region", aws.info.region)).add_auth(request)
    return dict(request.headers.items())


def test_a_signed_request_is_answered(aws: Aws) -> None:
    assert send(aws, "POST", "/", signed(aws, b"{}"), b"{}")[0] == 200


@pytest.mark.parametrize("header", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}])
def test_web_pages_are_refused_even_with_a_signature(aws: Aws, header: dict[str, str]) -> None:
    assert send(aws, "POST", "/", {**signed(aws, b"{}"), **header}, b"{}")[0] == 403


@pytest.mark.parametrize(
    ("target", "method"),
    [("/", "POST"), ("/moto-api/reset", "POST"), ("/_local/stop", "POST"), ("/_local/clock", "GET")],
)
def test_nothing_unsigned_reaches_anything(aws: Aws, target: str, method: str) -> None:
    status, body = send(aws, method, target, {"Content-Type": "application/json"}, b"{}")
    assert status == 403
    assert b"Missing" in body


def test_a_changed_body_or_another_secret_is_refused(aws: Aws) -> None:
    assert send(aws, "POST", "/", signed(aws, b"{}"), b'{"QueueNamePrefix": "x"}')[0] == 403
    assert send(aws, "POST", "/", signed(aws, b"{}", secret="wrong"), b"{}")[0] == 403


def test_another_region_is_refused_in_a_sentence(aws: Aws) -> None:
    status, body = send(aws, "POST", "/", signed(aws, b"{}", region="eu-west-1"), b"{}")
    assert status == 400
    assert b"one Region, us-east-1" in body


def test_arns_in_paths_and_queries_are_signed_as_sent(aws: Aws) -> None:
    client = aws.client("lambda")
    function = aws.function("def handler(event, context):\n    return context.invoked_function_arn")
    arn = client.get_function(FunctionName=function)["Configuration"]["FunctionArn"]
    assert client.get_function(FunctionName=arn)["Configuration"]["FunctionName"] == function
    assert json.load(client.invoke(FunctionName=arn, Qualifier="$LATEST")["Payload"]).startswith(arn)
    assert client.list_event_source_mappings(EventSourceArn=aws.queue_arn(aws.queue()))["EventSourceMappings"] == []
    client.tag_resource(Resource=arn, Tags={"a b": "1", "ü": "2"})
    client.untag_resource(Resource=arn, TagKeys=["a b", "ü"])
    assert client.list_tags(Resource=arn)["Tags"] == {}
    assert aws.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/none")["logGroups"] == []


def test_an_operation_that_is_not_offered_is_named(aws: Aws) -> None:
    with pytest.raises(ClientError, match="does not offer cloudwatch:ListDashboards"):
        aws.client("cloudwatch").list_dashboards()
    with pytest.raises(ClientError, match="ec2"):
        aws.client("ec2").describe_instances()


def test_the_lab_endpoints_check_what_they_get(aws: Aws) -> None:
    for body in ({}, {"seconds": -1}, {"seconds": "1"}, {"seconds": 1, "to": 2}, {"seconds": 1e12}):
        with pytest.raises(ApiError) as refused:
            lab_request(aws.info, "POST", "/_local/advance", body)
        assert refused.value.status == 400
    with pytest.raises(ApiError, match="There is no lab endpoint"):
        lab_request(aws.info, "GET", "/_local/nothing")


@pytest.mark.behaviour("E13")
def test_a_caller_without_the_right_gets_the_text_of_aws(aws: Aws) -> None:
    role = aws.role(
        BASIC_ROLE,
        trust={
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
        },
    )
    keys = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    client = aws.client(
        "sqs",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    url = aws.queue()
    with pytest.raises(ClientError) as refused:
        client.send_message(QueueUrl=url, MessageBody="x")
    arn = f"arn:aws:sts::{aws.info.account}:assumed-role/{role.rpartition('/')[2]}/me"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    assert refused.value.response["Error"]["Message"] == (
        f"User: {arn} is not authorized to perform: sqs:sendmessage on resource: {aws.queue_arn(url)} "
        "because no identity-based policy allows the sqs:sendmessage action"
    )


def test_sts_says_who_calls(aws: Aws) -> None:
    answer = aws.client("sts").get_caller_identity()
    assert answer["Account"] == aws.info.account
    assert answer["Arn"] == f"arn:aws:iam::{aws.info.account}:user/learner"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_sends_none(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    door = FrontDoor(SimpleNamespace(), {"localhost"})  # type: ignore[arg-type]
    monkeypatch.setattr(door, "_answer", lambda _: Answer(status, {"Content-Type": "application/json"}, b"{}"))
    started: list[Any] = []
    assert list(door({"REQUEST_METHOD": "POST"}, lambda *line: started.append(line))) == [b""]
    assert "Content-Length" not in dict(started[0][1])
