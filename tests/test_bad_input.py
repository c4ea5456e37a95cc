"""What the fuzzer has found, each with one example."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from urllib.parse import urlencode

import pytest

from .conftest import Aws
from .fuzzing import Target, Wire, signed
from .test_fuzz import exchange

SAML: dict[str, object] = {"RoleArn": "a" * 20, "PrincipalArn": "a" * 20, "SAMLAssertion": "x"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def target(aws: Aws) -> Target:
    made = Target(aws)
    made.logged()
    return made


def line(target: Target, request: bytes) -> bytes:
    """Send bytes, keep the sending side open, and return the answer's first line."""
    return exchange(target, request, hold=False).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET //[ HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: +2\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_what_is_no_http_is_refused_at_once(target: Target, request_head: bytes) -> None:
    host = target.aws.info.url.removeprefix("http://").encode()
    answer = line(target, request_head + b"Host: " + host + b"\r\n\r\nzz\r\n")
    assert answer == b"HTTP/1.1 400 Bad Request"
    assert not target.logged()


def test_a_signature_with_foreign_letters_does_not_match(target: Target) -> None:
    wire = Wire("sqs", "POST", "/", {"X-Amz-Target": "AmazonSQS.ListQueues"}, b"{}")
    headers = signed(target.aws.info, wire)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    data = f"POST / HTTP/1.1\r\n{head[:-3]}é\r\nContent-Length: 2\r\n\r\n{{}}".encode("latin-1")
    assert b"403" in line(target, data)
    assert not target.logged()


@pytest.mark.parametrize(
    ("service", "name", "members", "status", "text"),
    [
        ("logs", "CreateLogGroup", {"logGroupName": ["a"]}, 400, "a parameter is not of its type"),
        ("logs", "CreateLogGroup", {}, 400, "Value null at 'logGroupName' failed to satisfy constraint"),
        ("iam", "GetRole", {}, 400, "Value null at 'roleName' failed to satisfy constraint"),
        ("iam", "ListRoles", {"Marker": "x"}, 501, "does not offer iam:ListRoles with these parameters"),
        (
            "sts",
            "AssumeRoleWithSAML",
            {"RoleArn": "a" * 20, "PrincipalArn": "a" * 20, "SAMLAssertion": "x"},
            501,
            "offer",
        ),
        ("sts", "GetSessionToken", {"DurationSeconds": 10**20}, 501, "does not offer sts:GetSessionToken"),
        ("sns", "GetTopicAttributes", {"TopicArn": "x"}, 400, "An ARN must have at least 6 elements, not 1"),
        ("sns", "Publish", {"Message": "x"}, 400, "TopicArn or TargetArn Reason: no value for required parameter"),
        ("cloudformation", "GetTemplate", {}, 400, "Value null at 'stackName' failed to satisfy constraint"),
    ],
)
def test_the_control_plane_refuses_what_moto_would_fail_at(
    target: Target, service: str, name: str, members: dict[str, object], status: int, text: str
) -> None:
    if service == "logs":
        headers = {"X-Amz-Target": f"Logs_20140328.{name}", "Content-Type": "application/x-amz-json-1.1"}
        wire = Wire(service, "POST", "/", headers, json.dumps(members).encode())
    else:
        wire = Wire(service, "POST", "/", FORM, urlencode({"Action": name, **members}).encode())
    reply = target.send(wire)
    assert (reply.status, text in reply.body.decode()) == (status, True), reply.body
    assert not target.logged()


def test_an_answer_in_xml_is_well_formed_whatever_it_repeats(target: Target) -> None:
    arn = "arn:aws:iam::aws:policy/AmazonSQSFullAccess"
    body = urlencode({"Action": "SetDefaultPolicyVersion", "PolicyArn": arn, "VersionId": "v\x1f"})
    reply = target.send(Wire("iam", "POST", "/", FORM, body.encode()))
    assert reply.status == 400
    assert "v\N{REPLACEMENT CHARACTER}" in "".join(ET.fromstring(reply.body).itertext())


def test_a_moment_beyond_all_years_is_no_moment(target: Target) -> None:
    body = {"Namespace": "Lab", "MetricData": [{"MetricName": "m", "Value": 1, "Timestamp": 1e15}]}
    headers = {"X-Amz-Target": "GraniteServiceVersion20100801.PutMetricData", "Content-Type": "application/json"}
    reply = target.send(Wire("monitoring", "POST", "/", headers, json.dumps(body).encode()))
    assert reply.status == 400
    assert not target.logged()
