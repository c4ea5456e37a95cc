"""No way leads to an AWS account that was not named: tried without an account, at the transport."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectTimeoutError
from botocore.httpsession import URLLib3Session

import helpers
from helpers.clouds import aws, local
from helpers.errors import LabError
from helpers.local_aws.state import ServerInfo
from helpers.recorder_footer import FOOTER
from tests.conftest import zipped

NAMED = "111122223333"
OTHER = "444455556666"
SERVER = ServerInfo("http://127.0.0.1:9", "AKLOCAL", "local-secret", "999988887777", "us-east-1", "refusals", 1, 0.0)

_STS_ANSWER = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::{0}:user/learner</Arn><UserId>AIDA</UserId><Account>{0}</Account></GetCallerIdentityResult>
<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>"""
_STS_ERROR = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>{0}</Code><Message>refused</Message></Error><RequestId>r</RequestId></ErrorResponse>"""


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._content


class Wire:
    """Stands where requests would leave the machine: it writes down their hosts and answers as STS."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.proxies: list[str | None] = []
        self.keys: list[str] = []
        self.bodies: list[str] = []
        self.account = ""
        self.error = ""

    def send(self, session: Any, request: Any) -> AWSResponse:
        """Take one request."""
        host = urlsplit(request.url).hostname or ""
        self.hosts.append(host)
        self.proxies.append(session._proxy_config.proxy_url_for(request.url))
        authorization = request.headers.get("Authorization", b"")
        text = authorization.decode() if isinstance(authorization, bytes) else str(authorization)
        self.keys += re.findall(r"Credential=([^/]+)/", text)
        body = request.body or b""
        self.bodies.append(body.decode() if isinstance(body, bytes) else str(body))
        if host.startswith("169.254."):
            raise ConnectTimeoutError(endpoint_url=request.url)
        if self.error:
            return AWSResponse(request.url, 403, {}, _Body(_STS_ERROR.format(self.error).encode()))
        if b"Action=" in (request.body.encode() if isinstance(request.body, str) else request.body or b""):
            return AWSResponse(request.url, 200, {}, _Body(_STS_ANSWER.format(self.account).encode()))
        return AWSResponse(request.url, 200, {}, _Body(b"{}"))


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Wire:
    """Return the wire, in a home without AWS settings, with keys in the environment."""
    there = Wire()
    monkeypatch.setattr(URLLib3Session, "send", lambda session, request: there.send(session, request))
    for name in [name for name in os.environ if name.startswith(("AWS_", "LAB_")) or name.lower().endswith("_proxy")]:
        if name != "LAB_STATE_DIR":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKAMBIENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ambient-secret")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    return there


@pytest.fixture
def local_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that a local AWS runs."""
    monkeypatch.setattr(local.state, "ensure", lambda space: SERVER)
    monkeypatch.setattr(local.state, "find", lambda space: SERVER)
    monkeypatch.setattr(local, "lab_request", lambda *_, **__: {"now": 0.0})


def _refusal(cloud: str | None = "aws") -> str:
    with pytest.raises(LabError) as refused:
        helpers.connect(cloud)
    return str(refused.value)


def test_aws_without_a_named_account_is_refused_and_nothing_is_sent(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_session() -> None:
        raise AssertionError("a session was made")

    monkeypatch.setattr(aws, "_session", no_session)
    assert "LAB_AWS_ACCOUNT is not set" in _refusal()
    monkeypatch.setenv("LAB_CLOUD", "aws")
    assert "LAB_AWS_ACCOUNT is not set" in _refusal(None)
    assert wire.hosts == []


@pytest.mark.parametrize("number", ["12345", "1111-2222-3333", "my-account", "\uff11" * 12, " "])
def test_aws_with_what_is_no_account_number_is_refused_and_nothing_is_sent(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    monkeypatch.setenv("LAB_AWS_ACCOUNT", number)
    assert "LAB_AWS_ACCOUNT" in _refusal()
    assert wire.hosts == []


def test_credentials_of_another_account_are_refused_and_both_are_named_whole(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_AWS_ACCOUNT", NAMED)
    wire.account = OTHER
    text = _refusal()
    assert NAMED in text
    assert OTHER in text
    assert wire.hosts == ["sts.eu-central-1.amazonaws.com"]


@pytest.mark.parametrize(
    ("code", "said"),
    [("ExpiredToken", "have expired"), ("InvalidClientTokenId", "were refused (InvalidClientTokenId)")],
)
def test_credentials_that_sts_refuses_are_refused(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.setenv("LAB_AWS_ACCOUNT", NAMED)
    wire.error = code
    text = _refusal()
    assert NAMED in text
    assert said in text
    assert "ambient-secret" not in text


def test_no_credentials_are_refused_after_two_short_questions_to_the_metadata_service_at_most(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_AWS_ACCOUNT", NAMED)
    monkeypatch.setenv("AWS_METADATA_SERVICE_TIMEOUT", "60")
    monkeypatch.setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "20")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    began = time.monotonic()
    assert "there are none" in _refusal()
    assert time.monotonic() - began < 5
    assert set(wire.hosts) <= {"169.254.169.254"}
    assert len(wire.hosts) <= 2


def test_a_profile_that_is_not_there_is_refused(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_AWS_ACCOUNT", NAMED)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "the profile that AWS_PROFILE names is not there" in _refusal()
    assert wire.hosts == []


def test_a_missing_region_is_refused(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_AWS_ACCOUNT", NAMED)
    monkeypatch.delenv("AWS_REGION")
    assert "No Region is set" in _refusal()
    assert wire.hosts == []


def test_an_unknown_cloud_is_refused(wire: Wire) -> None:
    assert "There is no cloud 'aws-prod'" in _refusal("aws-prod")
    assert wire.hosts == []


@pytest.mark.usefixtures("local_server")
def test_auto_without_a_named_account_asks_nobody_and_says_why(wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    assert helpers.connect().account == SERVER.account
    assert capsys.readouterr().out == "Using the local AWS. No AWS account is named: LAB_AWS_ACCOUNT is not set.\n"
    assert wire.hosts == []


@pytest.mark.usefixtures("local_server")
@pytest.mark.parametrize("trouble", ["account", "expired", "profile", "region"])
def test_auto_falls_back_when_the_named_account_is_not_reached(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trouble: str
) -> None:
    monkeypatch.setenv("LAB_AWS_ACCOUNT", NAMED)
    wire.account = OTHER
    wire.error = "ExpiredToken" if trouble == "expired" else ""
    if trouble == "profile":
        monkeypatch.setenv("AWS_PROFILE", "nobody")
    if trouble == "region":
        monkeypatch.delenv("AWS_REGION")
    lab = helpers.connect()
    said = capsys.readouterr().out
    assert lab.account == SERVER.account
    assert said.count("\n") == 1
    assert NAMED in said
    assert (OTHER in said) == (trouble == "account")


@pytest.mark.usefixtures("local_server")
def test_local_asks_nobody_even_with_an_account_named(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_AWS_ACCOUNT", NAMED)
    monkeypatch.setenv("LAB_CLOUD", "local")
    wire.account = NAMED
    assert helpers.connect().account == SERVER.account
    assert wire.hosts == []


@pytest.mark.parametrize("cloud", ["auto", "aws"])
def test_the_named_account_is_used_and_an_ambient_endpoint_cannot_stand_in_for_it(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, cloud: str
) -> None:
    monkeypatch.setenv("LAB_AWS_ACCOUNT", NAMED)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://stand-in.example:4566")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://stand-in.example:4566")
    wire.account = NAMED
    lab = helpers.connect(cloud)
    lab.client("sqs").list_queues()
    assert lab.account == NAMED
    assert wire.hosts == ["sts.eu-central-1.amazonaws.com", "sqs.eu-central-1.amazonaws.com"]
    assert f"Account   {NAMED}" in repr(lab)


def test_on_the_named_account_a_key_is_tagged_and_what_cleanup_would_not_find_is_not_sent(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_AWS_ACCOUNT", NAMED)
    wire.account = NAMED
    lab = helpers.connect("aws")
    kms = lab.client("kms")
    kms.create_key()
    tag = {"TagKey": "lambda-sqs-labs", "TagValue": lab.prefix}
    assert json.loads(wire.bodies[-1]) == {"Tags": [tag]}
    kms.create_alias(AliasName=f"alias/{lab.name('orders')}", TargetKeyId="1234")
    assert wire.hosts == ["sts.eu-central-1.amazonaws.com", *["kms.eu-central-1.amazonaws.com"] * 2]
    with pytest.raises(LabError, match="lacks this lab's prefix"):
        kms.create_alias(AliasName="alias/orders", TargetKeyId="1234")
    with pytest.raises(LabError, match="could not find again"):
        kms.replicate_key(KeyId="mrk-1234", ReplicaRegion="eu-west-1")
    assert len(wire.hosts) == 3


def test_a_role_of_another_account_is_not_worn(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_AWS_ACCOUNT", NAMED)
    wire.account = NAMED
    lab = helpers.connect("aws")
    asked = list(wire.hosts)
    with pytest.raises(LabError, match=f"no role of the account {NAMED}"):
        lab.client("sqs", role=f"arn:aws:iam::{OTHER}:role/lab-orders")
    assert wire.hosts == asked


def test_on_the_named_account_code_gets_the_recorder_s_lines_and_the_card_says_so(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_AWS_ACCOUNT", NAMED)
    wire.account = NAMED
    lab = helpers.connect("aws")
    lab.client("lambda").create_function(
        FunctionName=lab.name("orders"),
        Role=f"arn:aws:iam::{NAMED}:role/{lab.name('orders')}",
        Runtime="python3.13",
        Handler="app.handler",
        Code={"ZipFile": zipped("def handler(event, context): pass")},
    )
    sent = base64.b64decode(json.loads(wire.bodies[-1])["Code"]["ZipFile"])
    with zipfile.ZipFile(io.BytesIO(sent)) as archive:
        assert archive.read("app.py").decode() == "def handler(event, context): pass" + FOOTER
    assert "gets some lines at its end" in repr(lab)


def test_on_the_named_account_there_is_no_caller_of_another_one(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_AWS_ACCOUNT", NAMED)
    wire.account = NAMED
    lab = helpers.connect("aws")
    with pytest.raises(LabError, match=f"second account of yours, and the labs reach none but {NAMED}. Skip this cell"):
        lab.client("sqs", account=OTHER)
    assert wire.hosts == ["sts.eu-central-1.amazonaws.com"]


AMBIENT = {
    "AWS_PROFILE": "production",
    "AWS_SESSION_TOKEN": "ambient-token",
    "AWS_DEFAULT_REGION": "ap-south-1",
    "AWS_ENDPOINT_URL": "http://stand-in.example:4566",
    "AWS_ENDPOINT_URL_SQS": "http://stand-in.example:4567",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_DEFAULTS_MODE": "auto",
    "AWS_CSM_ENABLED": "true",
    "HTTP_PROXY": "http://proxy.example:3128",
    "HTTPS_PROXY": "http://proxy.example:3128",
    "http_proxy": "http://proxy.example:3128",
    "ALL_PROXY": "http://proxy.example:3128",
}
CONFIG = """[default]
region = ap-south-1
endpoint_url = http://stand-in.example:4568
use_fips_endpoint = true
[profile production]
region = ap-south-1
endpoint_url = http://stand-in.example:4569
aws_access_key_id = AKPROFILE
aws_secret_access_key = profile-secret
role_arn = arn:aws:iam::444455556666:role/admin
source_profile = default
"""


@pytest.mark.usefixtures("local_server")
@pytest.mark.parametrize("profile_exists", [True, False])
def test_no_ambient_setting_sends_a_local_call_elsewhere(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, profile_exists: bool
) -> None:
    config = tmp_path / "aws-config"
    config.write_text(CONFIG if profile_exists else "")
    for name, value in AMBIENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(config))
    lab = helpers.connect("local")
    lab.client("sqs").list_queues()
    lab.client("lambda").list_functions()
    lab.client("logs").describe_log_groups()
    lab.client("iam").delete_role(RoleName="r")
    lab.client("cloudwatch").list_metrics()
    lab.client("sts").get_caller_identity()
    assert len(wire.hosts) == 6
    assert set(wire.hosts) == {"127.0.0.1"}
    assert set(wire.proxies) == {None}
    assert set(wire.keys) == {SERVER.access_key}
    assert {lab.client(service).meta.region_name for service in ("sqs", "lambda", "logs")} == {"us-east-1"}
    assert {lab.client(service).meta.endpoint_url for service in ("sqs", "lambda", "iam")} == {SERVER.url}


@pytest.mark.usefixtures("local_server")
def test_no_secret_shows(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = helpers.connect("local")
    shown = repr(lab) + lab._repr_html_() + repr(vars(lab)) + repr(lab.client("sqs")) + repr(SERVER)
    assert SERVER.secret_key not in shown
    assert "ambient-secret" not in shown
