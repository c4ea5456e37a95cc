"""The Lab: names, the guard, time, the card, cleanup, and what happens when its server has gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pandas
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

import helpers
from helpers import guard, resources
from helpers.cleanup import KINDS, sweep
from helpers.errors import Interrupted, LabError
from helpers.lab import Lab, spell
from helpers.names import TAG, full_name, prefix_for, space_name

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


class _Pretended:
    """A cloud whose time is a number; a call of `on_move` may interrupt it."""

    title, account, region, endpoint = "a pretended cloud", "123456789012", "us-east-1", "http://127.0.0.1:9"
    cost, cli, fast_forwards = "Nothing.", "export X=1", True
    phone, sends_texts, recorder = "", True, ""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0
        self.moves: list[float] = []
        self.clients: dict[str, Any] = {}
        self.interrupt_after: int | None = None

    def client(self, service: str, keys: Any = None) -> Any:
        keys = {"aws_access_key_id": "AK", "aws_secret_access_key": "SK", **(keys or {}), "region_name": self.region}
        return boto3.Session().client(service, **keys)

    def now(self) -> float:
        return self.time

    def move(self, to: float, *, patience: float) -> bool:
        if self.interrupt_after is not None and len(self.moves) >= self.interrupt_after:
            raise KeyboardInterrupt
        self.moves.append(to - self.time)
        self.time = max(self.time, min(to, self.time + 1000))
        return self.time >= to

    def source(self, client: Any, prefix: str) -> Any:
        return self

    def visitor(self, account: str) -> Any:
        return {"aws_access_key_id": "AKVISITOR", "aws_secret_access_key": "s"}

    def watch(self, service: str, client: Any) -> None:
        pass

    def outbox(self) -> list[dict[str, Any]]:
        return []

    def pauses(self) -> Iterator[float]:
        yield 0.0
        while True:
            yield 10.0


@pytest.fixture
def cloud() -> _Pretended:
    """Return a pretended cloud."""
    return _Pretended()


@pytest.fixture
def lab(cloud: _Pretended) -> Lab:
    """Return a lab in the pretended cloud."""
    return Lab(cloud, space="a-space", prefix="lab-abc123")


def refused(lab: Lab, service: str, operation: str, **parameters: Any) -> str:
    """Return the sentence with which the guard refuses a call."""
    with pytest.raises(LabError) as refusal:
        getattr(lab.client(service), operation)(**parameters)
    return str(refusal.value)


# Names and spaces


def test_a_space_is_made_from_the_notebooks_path() -> None:
    here = space_name({"JPY_SESSION_NAME": "/home/u/labs/notebooks/00-start-here.ipynb"})
    assert here.startswith("00-start-here-")
    assert here == space_name({"JPY_SESSION_NAME": "/home/u/labs/notebooks/00-start-here.ipynb"})
    assert here != space_name({"JPY_SESSION_NAME": "/home/v/labs/notebooks/00-start-here.ipynb"})
    assert here == space_name({"JPY_SESSION_NAME": "/home/u/labs/notebooks/00-start-here.ipynb-jvsc-1b3c-4d5e-ffipynb"})
    assert space_name({}) == "default"
    assert space_name({"LAB_SPACE": "mine", "JPY_SESSION_NAME": "x.ipynb"}) == "mine"


@pytest.mark.parametrize("space", ["../elsewhere", "a b", "-a", "x" * 65, "a\nb"])
def test_a_space_that_is_no_name_is_refused(space: str) -> None:
    with pytest.raises(LabError, match="cannot be the name of a space"):
        space_name({"LAB_SPACE": space})


def test_a_prefix_is_the_same_every_time_and_another_in_another_space() -> None:
    assert prefix_for("one", {}) == prefix_for("one", {})
    assert prefix_for("one", {}) != prefix_for("two", {})
    assert prefix_for("one", {"LAB_PREFIX": "anna"}) == "anna"


@pytest.mark.parametrize("prefix", ["lab", "an", "Anna", "anna-2", "1anna", "a" * 17])
def test_a_prefix_that_could_begin_anothers_names_is_refused(prefix: str) -> None:
    with pytest.raises(LabError, match="LAB_PREFIX"):
        prefix_for("one", {"LAB_PREFIX": prefix})


def test_a_name_gets_the_prefix_once_and_keeps_its_fifo_end(lab: Lab) -> None:
    assert lab.name("orders") == "lab-abc123-orders"
    assert lab.name("orders.fifo") == "lab-abc123-orders.fifo"
    assert lab.name(lab.name("orders")) == "lab-abc123-orders"


@pytest.mark.parametrize("name", ["", "a b", "orders.fif", "ä", "x" * 60, None, 3])
def test_a_name_that_aws_would_not_take_is_refused(name: Any) -> None:
    with pytest.raises(LabError):
        full_name("lab-abc123", name)


# The guard


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("sqs", "create_queue", {"QueueName": "orders"}),
        ("iam", "create_role", {"RoleName": "orders", "AssumeRolePolicyDocument": "{}"}),
        ("iam", "put_role_policy", {"RoleName": "admin", "PolicyName": "p", "PolicyDocument": "{}"}),
        ("logs", "create_log_group", {"logGroupName": "/aws/lambda/orders"}),
        ("cloudformation", "create_stack", {"StackName": "orders", "TemplateBody": "{}"}),
        ("cloudwatch", "put_composite_alarm", {"AlarmName": "orders", "AlarmRule": "TRUE"}),
        ("sns", "create_topic", {"Name": "orders"}),
        (
            "sns",
            "subscribe",
            {"TopicArn": "arn:aws:sns:us-east-1:123456789012:others", "Protocol": "sqs", "Endpoint": "q"},
        ),
        ("s3", "create_bucket", {"Bucket": "orders"}),
        ("kms", "create_alias", {"AliasName": "alias/orders", "TargetKeyId": "1234abcd"}),
        (
            "lambda",
            "create_event_source_mapping",
            {
                "FunctionName": "arn:aws:lambda:us-east-1:123456789012:function:orders",
                "EventSourceArn": "arn:aws:sqs:::q",
            },
        ),
    ],
)
def test_what_lacks_the_prefix_is_not_created(
    lab: Lab, service: str, operation: str, parameters: dict[str, str]
) -> None:
    text = refused(lab, service, operation, **parameters)
    assert "was not sent" in text
    assert "lab.name(" in text


def test_another_learners_prefix_does_not_pass_for_ones_own(lab: Lab) -> None:
    assert "lacks this lab's prefix" in refused(lab, "sqs", "create_queue", QueueName="lab-abc1234-orders")


@pytest.mark.parametrize(
    ("service", "call", "parameters"),
    [
        ("cloudwatch", "put_dashboard", {"DashboardName": "lab-abc123-d", "DashboardBody": "{}"}),
        ("events", "put_rule", {"Name": "lab-abc123-r"}),
        ("kinesis", "create_stream", {"StreamName": "lab-abc123-s"}),
        ("kms", "create_grant", {"KeyId": "1234", "GranteePrincipal": "arn:aws:iam:::u", "Operations": ["Decrypt"]}),
        ("kms", "replicate_key", {"KeyId": "mrk-1234", "ReplicaRegion": "eu-west-1"}),
        ("ec2", "run_instances", {"MinCount": 1, "MaxCount": 1}),
    ],
)
def test_what_cleanup_would_not_find_is_not_created(lab: Lab, service: str, call: str, parameters: Any) -> None:
    assert "could not find again" in refused(lab, service, call, **parameters)


def test_every_rule_of_the_guard_has_its_kind_in_the_cleanup() -> None:
    assert {rule.kind for rule in guard.RULES.values()} == {kind.name for kind in KINDS}


def test_the_tag_is_added_beside_the_learners_own(lab: Lab) -> None:
    sqs, iam = lab.client("sqs"), lab.client("iam")
    name = lab.name("orders")
    with Stubber(sqs) as stub:
        stub.add_response(
            "create_queue", {"QueueUrl": "u"}, {"QueueName": name, "tags": {"mine": "1", TAG: "lab-abc123"}}
        )
        sqs.create_queue(QueueName=name, tags={"mine": "1", TAG: "another"})
    role = {
        "Path": "/",
        "RoleName": name,
        "RoleId": "AROAAAAAAAAAAAAAA",
        "Arn": "arn:aws:iam::123456789012:role/x",
        "CreateDate": 0,
    }
    tags = [{"Key": "mine", "Value": "1"}, {"Key": TAG, "Value": "lab-abc123"}]
    with Stubber(iam) as stub:
        sent = {"RoleName": name, "AssumeRolePolicyDocument": TRUST, "Tags": tags}
        stub.add_response("create_role", {"Role": role}, sent)
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST, Tags=tags[:1])


def test_a_key_gets_the_tag_as_kms_spells_it_and_an_alias_the_prefix_behind_its_first_word(lab: Lab) -> None:
    kms = lab.client("kms")
    tags = [{"TagKey": "mine", "TagValue": "1"}, {"TagKey": TAG, "TagValue": "lab-abc123"}]
    with Stubber(kms) as stub:
        stub.add_response("create_key", {"KeyMetadata": {"KeyId": "1234"}}, {"Description": "orders", "Tags": tags})
        kms.create_key(Description="orders", Tags=tags[:1])
        named = {"AliasName": "alias/lab-abc123-orders", "TargetKeyId": "1234"}
        stub.add_response("create_alias", {}, named)
        kms.create_alias(**named)
    text = refused(lab, "kms", "create_alias", AliasName="alias/orders", TargetKeyId="1234")
    assert text.endswith("Write AliasName=\"alias/\" + lab.name('orders').")
    text = refused(lab, "logs", "create_log_group", logGroupName="/aws/lambda/orders")
    assert text.endswith("Write logGroupName=\"/aws/lambda/\" + lab.name('orders').")


def test_a_change_that_names_no_tags_leaves_a_stacks_own(lab: Lab) -> None:
    stacks, name = lab.client("cloudformation"), lab.name("orders")
    arn = f"arn:aws:cloudformation:us-east-1:123456789012:stack/{name}/6bc28136"
    tag = {"Key": TAG, "Value": "lab-abc123"}
    with Stubber(stacks) as stub:
        stub.add_response("update_stack", {"StackId": "s"}, {"StackName": arn})
        stacks.update_stack(StackName=arn)
        mine = {"Key": "mine", "Value": "1"}
        stub.add_response("update_stack", {"StackId": "s"}, {"StackName": name, "Tags": [mine, tag]})
        stacks.update_stack(StackName=name, Tags=[mine])
        change = {"StackName": name, "ChangeSetName": "first", "ChangeSetType": "CREATE"}
        stub.add_response("create_change_set", {"Id": "c"}, {**change, "Tags": [tag]})
        stacks.create_change_set(**change)


def test_a_client_of_another_account_is_made_anew_and_guarded(lab: Lab) -> None:
    sqs = lab.client("sqs", account="222233334444")
    assert sqs._request_signer._credentials.access_key == "AKVISITOR"
    assert sqs is not lab.client("sqs")
    with pytest.raises(LabError, match="lacks this lab's prefix"):
        sqs.create_queue(QueueName="orders")


def test_clients_are_plain_boto3_and_made_once(lab: Lab) -> None:
    assert lab.client("sqs") is lab.client("sqs")
    assert type(lab.client("sqs")).__module__ == "botocore.client"
    with pytest.raises(LabError, match="no service 'sqqs'"):
        lab.client("sqqs")


# Time


def test_wait_moves_the_clock_and_says_so(lab: Lab, cloud: _Pretended, capsys: pytest.CaptureFixture[str]) -> None:
    before = lab.now()
    assert lab.wait(30, why="for the retry") is None  # type: ignore[func-returns-value]
    assert lab.now() - before == timedelta(seconds=30)
    assert lab.now().tzinfo is UTC
    assert capsys.readouterr().out == "waited 30 s for the retry (fast-forwarded)\n"
    lab.wait(30, quiet=True)
    assert lab.now() - before == timedelta(seconds=60)
    assert capsys.readouterr().out == ""


def test_a_long_wait_goes_in_slices(lab: Lab, cloud: _Pretended) -> None:
    lab.wait(3600)
    assert len(cloud.moves) == 4
    assert sum(min(move, 1000) for move in cloud.moves) == 3600


@pytest.mark.parametrize("seconds", [-1, "30", None, float("nan"), float("inf"), True])
def test_wait_refuses_what_is_no_number_of_seconds(lab: Lab, seconds: Any) -> None:
    with pytest.raises(LabError, match="takes a number of seconds"):
        lab.wait(seconds)


def test_an_interrupted_wait_says_so_in_one_line_and_ends_the_run(lab: Lab, cloud: _Pretended) -> None:
    cloud.interrupt_after = 1
    with pytest.raises(KeyboardInterrupt) as stopped:
        lab.wait(3600)
    assert isinstance(stopped.value, Interrupted)
    assert stopped.value._render_traceback_() == ["Stopped in a wait of 1 h; time went part of the way."]


def test_wait_until_returns_what_the_condition_returned(lab: Lab, cloud: _Pretended) -> None:
    answers: Iterator[Any] = iter([None, [], 0, "there"])
    assert lab.wait_until(lambda: next(answers)) == "there"
    assert cloud.moves == [0, 10, 10]


def test_wait_until_looks_before_it_lets_time_pass(lab: Lab, cloud: _Pretended) -> None:
    assert lab.wait_until(lambda: True) is True
    assert cloud.moves == []


def test_wait_until_takes_a_table_and_a_thing_that_is_not_there_yet(lab: Lab) -> None:
    import pandas

    missing = ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "gone"}}, "GetFunction")
    answers: Iterator[Any] = iter([missing, pandas.DataFrame(), pandas.DataFrame({"a": [0]})])

    def look() -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert len(lab.wait_until(look)) == 1


def test_wait_until_lets_other_errors_out(lab: Lab) -> None:
    with pytest.raises(ZeroDivisionError):
        lab.wait_until(lambda: 1 / 0)


def test_wait_until_gives_up_and_says_what_it_last_saw(lab: Lab, cloud: _Pretended) -> None:
    before = cloud.time
    with pytest.raises(LabError) as given_up:
        lab.wait_until(lambda: 0, timeout=25, why="the trigger is Enabled")
    assert cloud.time - before == 25
    assert str(given_up.value) == (
        "Waited 25 s until the trigger is Enabled, and it did not happen. The last look saw: 0. "
        "Look at what should have caused it, then run this cell again."
    )


def test_wait_until_refuses_a_value_in_place_of_a_function(lab: Lab) -> None:
    with pytest.raises(LabError, match="takes a function"):
        lab.wait_until(True)  # type: ignore[arg-type]


def test_durations_read_well() -> None:
    assert [spell(seconds) for seconds in (0.5, 30, 60, 90, 120, 3600, 5400, 345600)] == [
        "0.5 s",
        "30 s",
        "1 min",
        "90 s",
        "2 min",
        "1 h",
        "90 min",
        "4 d",
    ]


# What is shown


def test_the_card_reads_as_text_and_as_html(lab: Lab) -> None:
    for shown in (repr(lab), lab._repr_html_()):
        for value in ("123456789012", "us-east-1", "http://127.0.0.1:9", "a-space", "lab-abc123-…", "Nothing."):
            assert value in shown
    assert "<table" in lab._repr_html_()
    assert "python -m helpers cleanup --space a-space" in repr(lab)


def test_a_lab_error_shows_without_a_traceback() -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell()
    with capture_output() as shown:
        shell.run_cell("from helpers import LabError\nraise LabError('It broke.', 'Because.', 'Mend it.')")
    assert shown.stdout.strip().splitlines() == ["LabError: It broke.", "Because.", "Mend it."]


# With the local AWS


@pytest.fixture
def real(state_dir: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Lab:
    """Return a lab on a local AWS that this module's tests share."""
    monkeypatch.setenv("LAB_SPACE", f"lab-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    for name in ("LAB_CLOUD", "LAB_AWS_ACCOUNT", "LAB_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    return helpers.connect()


def made(lab: Lab) -> dict[str, str]:
    """Make a pipeline, and beside it a queue that is not the lab's; return the names."""
    import io
    import zipfile

    name = lab.name("made")
    iam, sqs, functions = lab.client("iam"), lab.client("sqs"), lab.client("lambda")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    managed = "arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"
    iam.attach_role_policy(RoleName=name, PolicyArn=managed)
    iam.put_role_policy(
        RoleName=name,
        PolicyName="more",
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}]}
        ),
    )
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "def handler(event, context):\n    print('handled')\n")
    functions.create_function(
        FunctionName=name, Role=role, Runtime="python3.13", Handler="app.handler", Code={"ZipFile": code.getvalue()}
    )
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    lab.wait_until(lambda: functions.get_function(FunctionName=name)["Configuration"]["State"] == "Active")
    mapping = functions.create_event_source_mapping(EventSourceArn=arn, FunctionName=name, BatchSize=1)["UUID"]
    lab.wait_until(lambda: functions.get_event_source_mapping(UUID=mapping)["State"] == "Enabled")
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    return {"name": name, "url": url, "mapping": mapping}


def test_a_message_runs_a_handler_and_cleanup_proves_that_nothing_is_left(
    real: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    there = made(real)
    group = f"/aws/lambda/{there['name']}"
    real.wait_until(
        lambda: [
            event
            for event in real.client("logs").filter_log_events(logGroupName=group)["events"]
            if "handled" in event["message"]
        ],
        timeout=60,
        why="the handler has run",
    )
    real.wait(120)
    points = helpers.metrics.points(real, "AWS/Lambda", ["Invocations", "Errors"], FunctionName=there["name"])
    assert points["Invocations"].sum() == 1
    capsys.readouterr()
    real.cleanup()
    said = capsys.readouterr().out
    assert said.rstrip().endswith("0 left")
    report = sweep(real)
    assert report.total_left == 0
    assert not any(report.deleted.values())
    for service, call, parameters in (
        ("sqs", "get_queue_url", {"QueueName": there["name"]}),
        ("lambda", "get_function", {"FunctionName": there["name"]}),
        ("lambda", "get_event_source_mapping", {"UUID": there["mapping"]}),
        ("iam", "get_role", {"RoleName": there["name"]}),
        ("logs", "describe_log_streams", {"logGroupName": group}),
    ):
        with pytest.raises(ClientError):
            getattr(real.client(service), call)(**parameters)


def test_cleanup_touches_nothing_that_lacks_the_tag_or_the_prefix(real: Lab) -> None:
    plain = real._cloud.client("sqs")
    untagged = plain.create_queue(QueueName=real.name("untagged"))["QueueUrl"]
    foreign = plain.create_queue(QueueName="foreign", tags={TAG: real.prefix})["QueueUrl"]
    others = plain.create_queue(QueueName=real.name("others"), tags={TAG: "lab-another"})["QueueUrl"]
    own = real.client("sqs").create_queue(QueueName=real.name("own"))["QueueUrl"]
    report = sweep(real)
    assert report.deleted["queues"] == {real.name("own")}
    assert (report.left["queues"], report.untagged) == ([real.name("untagged")], {real.name("untagged")})
    left = plain.list_queues()["QueueUrls"]
    assert own not in left
    assert {untagged, foreign, others} <= set(left)
    for url in (untagged, foreign, others):
        plain.delete_queue(QueueUrl=url)


STACK = json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}})
ALARM = {
    "Namespace": "AWS/SQS",
    "MetricName": "ApproximateNumberOfMessagesVisible",
    "Statistic": "Maximum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
}
KEY = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
OTHERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "stacks": ("cloudformation", "create_stack", {"StackName": "{}", "TemplateBody": STACK}),
    "alarms": ("cloudwatch", "put_metric_alarm", {"AlarmName": "{}", **ALARM}),
    "topics": ("sns", "create_topic", {"Name": "{}"}),
    "buckets": ("s3", "create_bucket", {"Bucket": "{}"}),
    "tables": ("dynamodb", "create_table", {"TableName": "{}", **KEY}),
}


def make(client: Callable[[str], Any], kind: str, name: str) -> None:
    """Make one thing of a kind."""
    service, call, parameters = OTHERS[kind]
    getattr(client(service), call)(
        **{key: value.format(name) if value == "{}" else value for key, value in parameters.items()}
    )


def test_stacks_alarms_topics_buckets_and_tables_go_with_all_that_is_in_them(real: Lab) -> None:
    for kind in OTHERS:
        make(real.client, kind, real.name("all"))
    s3, sns = real.client("s3"), real.client("sns")
    s3.put_bucket_versioning(Bucket=real.name("all"), VersioningConfiguration={"Status": "Enabled"})
    for _ in range(2):
        s3.put_object(Bucket=real.name("all"), Key="orders.json", Body=b"{}")
    s3.delete_object(Bucket=real.name("all"), Key="orders.json")
    topic = sns.create_topic(Name=real.name("all"))["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sms", Endpoint="+491701234567")
    report = sweep(real)
    report.require_nothing_left()
    assert {kind: report.deleted[kind] for kind in OTHERS} == {kind: {real.name("all")} for kind in OTHERS}
    assert not real.client("cloudwatch").describe_alarms(AlarmNamePrefix=real.prefix)["MetricAlarms"]
    assert not sns.list_topics()["Topics"]
    assert not sns.list_subscriptions()["Subscriptions"]
    assert not s3.list_buckets()["Buckets"]
    assert not real.client("dynamodb").list_tables()["TableNames"]
    stacks = real.client("cloudformation").list_stacks()["StackSummaries"]
    assert {stack["StackStatus"] for stack in stacks} == {"DELETE_COMPLETE"}
    assert not real.client("sqs").list_queues(QueueNamePrefix=real.prefix).get("QueueUrls")


def test_a_stack_deletes_what_it_holds_and_what_it_has_kept_goes_after_it(real: Lab) -> None:
    queue = {"Type": "AWS::SQS::Queue"}
    template = json.dumps({"Resources": {"Gone": queue, "Kept": {**queue, "DeletionPolicy": "Retain"}}})
    client = real.client("cloudformation")
    client.create_stack(StackName=real.name("holds"), TemplateBody=template)
    client.get_waiter("stack_create_complete").wait(StackName=real.name("holds"), WaiterConfig={"Delay": 1})
    report = sweep(real)
    report.require_nothing_left()
    assert report.deleted["stacks"] == {real.name("holds")}
    (kept,) = report.deleted["queues"]
    assert kept.startswith(real.name("holds-Kept"))


def test_what_was_made_without_the_labs_clients_is_counted_and_not_touched(real: Lab) -> None:
    for kind in OTHERS:
        make(real._cloud.client, kind, real.name("outside"))
        make(real._cloud.client, kind, "foreign")
    real._cloud.client("sqs").create_queue(QueueName=real.name("outside"))
    began = real.now()
    report = sweep(real)
    assert real.now() - began < timedelta(minutes=2), "there is nothing to wait for"
    assert report.untagged >= {real.name("outside")}
    assert {kind: report.left[kind] for kind in OTHERS} == {kind: [real.name("outside")] for kind in OTHERS}
    assert real.name("outside") in report.left["queues"]
    assert not any(report.deleted.values())
    assert str(report).endswith("left")
    assert "\n0 left" not in str(report)
    with pytest.raises(LabError, match=r"Cleanup is not complete: .*-outside.*without the lab's clients"):
        report.require_nothing_left()
    plain = real._cloud.client
    for name in (real.name("outside"), "foreign"):
        plain("cloudformation").delete_stack(StackName=name)
        plain("cloudwatch").delete_alarms(AlarmNames=[name])
        plain("sns").delete_topic(TopicArn=f"arn:aws:sns:{real.region}:{real.account}:{name}")
        plain("s3").delete_bucket(Bucket=name)
        plain("dynamodb").delete_table(TableName=name)
    plain("sqs").delete_queue(QueueUrl=plain("sqs").get_queue_url(QueueName=real.name("outside"))["QueueUrl"])
    real.wait(61, "until they are gone")
    real.cleanup()


def test_a_key_is_scheduled_for_deletion_and_its_alias_goes(real: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """A key without the tag is not the lab's, whatever else it is called; one that waits for its end is not left."""
    kms, plain = real.client("kms"), real._cloud.client("kms")
    own = kms.create_key(Description="own")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=f"alias/{real.name('orders')}", TargetKeyId=own)
    other = plain.create_key(Tags=[{"TagKey": TAG, "TagValue": "lab-another"}])["KeyMetadata"]["KeyId"]
    untagged = plain.create_key()["KeyMetadata"]["KeyId"]
    plain.create_alias(AliasName="alias/foreign", TargetKeyId=other)
    capsys.readouterr()
    real.cleanup()
    said = capsys.readouterr().out
    assert "1 key is scheduled for deletion in 7 days; until then it costs nothing.\n0 left" in said
    key = kms.describe_key(KeyId=own)["KeyMetadata"]
    assert key["KeyState"] == "PendingDeletion"
    assert timedelta(days=6) < key["DeletionDate"] - datetime.now(UTC) < timedelta(days=8)
    names = {alias["AliasName"] for alias in plain.list_aliases()["Aliases"]}
    assert {name for name in names if not name.startswith("alias/aws/")} == {"alias/foreign"}
    assert {plain.describe_key(KeyId=one)["KeyMetadata"]["KeyState"] for one in (other, untagged)} == {"Enabled"}
    real.cleanup()
    assert capsys.readouterr().out == "Nothing to clean up: 0 left\n"
    for _ in range(2):
        kms.create_key()
    kms.disable_key(KeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    real.cleanup()
    assert "3 keys are scheduled for deletion in 7 days; until then they cost nothing." in capsys.readouterr().out
    plain.delete_alias(AliasName="alias/foreign")


def test_a_client_may_wear_a_role_and_then_has_its_rights(real: Lab) -> None:
    queue = resources.queue(real, "worn")
    may = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue.arn}
    role = resources.role(real, "worn", policies=(), statements=[may], service=["lambda.amazonaws.com", real.account])
    for name in ("worn", role.arn):
        sqs = real.client("sqs", role=name)
        assert sqs.send_message(QueueUrl=queue.url, MessageBody="x")["MessageId"]
        with pytest.raises(ClientError, match=r"assumed-role/.*-worn/tried-on is not authorized.* sqs:receivemessage"):
            sqs.receive_message(QueueUrl=queue.url)
    assert real.client("sqs").receive_message(QueueUrl=queue.url)["Messages"]
    closed = resources.role(real, "closed")
    with pytest.raises(ClientError, match="sts:AssumeRole"):
        real.client("sqs", role=closed.name)
    several = ["lambda.amazonaws.com", "sqs.amazonaws.com", real.account, "222233334444"]
    resources.role(real, "several", policies=(), service=several)
    trust = real.client("iam").get_role(RoleName=real.name("several"))["Role"]["AssumeRolePolicyDocument"]
    principal = {"AWS": [real.account, "222233334444"], "Service": ["lambda.amazonaws.com", "sqs.amazonaws.com"]}
    assert trust["Statement"][0]["Principal"] == principal
    guest = real.client("sqs", account="222233334444")
    with pytest.raises(ClientError, match="because no resource-based policy allows the sqs:sendmessage action"):
        guest.send_message(QueueUrl=queue.url, MessageBody="x")
    with pytest.raises(LabError, match="twelve digits of another account"):
        real.client("sqs", account=real.account)
    real.cleanup()


def test_a_text_message_ends_in_the_outbox(real: Lab) -> None:
    before = len(real.outbox())
    real.client("sns").publish(PhoneNumber=real.phone(), Message="order 7 is large")
    (row,) = real.outbox().iloc[before:].itertuples(index=False)
    assert (row.to, row.message) == ("+12065550100", "order 7 is large")
    assert abs(row.time - pandas.Timestamp(real.now()).tz_localize(None)) < timedelta(seconds=30)


def test_where_texts_would_leave_none_is_sent_unless_its_number_is_named(
    lab: Lab, cloud: _Pretended, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lab.phone() == ""
    assert "set LAB_PHONE_NUMBER to your number" in capsys.readouterr().out
    assert "would text +12065550100" in refused(lab, "sns", "publish", PhoneNumber="+12065550100", Message="m")
    topic = f"arn:aws:sns:us-east-1:123456789012:{lab.name('t')}"
    how = {"TopicArn": topic, "Protocol": "sms", "Endpoint": "+12065550100"}
    assert "AWS bills it" in refused(lab, "sns", "subscribe", **how)
    assert lab.outbox().empty
    assert "has no outbox" in capsys.readouterr().out
    cloud.phone = "+12065550100"
    allowed = Lab(cloud, space="a-space", prefix="lab-abc123")
    assert allowed.phone() == "+12065550100"
    with pytest.raises(LabError, match="would text \\+12065550199"):
        allowed.client("sns").publish(PhoneNumber="+12065550199", Message="m")


def test_cleanup_needs_no_kernel(real: Lab) -> None:
    real.client("sqs").create_queue(QueueName=real.name("left-behind"))
    command = [sys.executable, "-m", "helpers", "cleanup", "--space", real.space]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "0 left" in done.stdout
    assert not real.client("sqs").list_queues(QueueNamePrefix=real.prefix).get("QueueUrls")
    command[-1] = "no-such-space"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "does not run: nothing is left" in done.stdout


def test_waiting_is_fast(real: Lab) -> None:
    before, began = real.now(), time.monotonic()
    real.wait(86_400)
    assert time.monotonic() - began < 2
    assert timedelta(0) <= real.now() - before - timedelta(days=1) < timedelta(seconds=2)


def test_a_dead_server_is_told_in_one_sentence_and_connecting_again_begins_anew(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_SPACE", f"dies-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    lab = helpers.connect("local")
    url = lab.client("sqs").create_queue(QueueName=lab.name("q"))["QueueUrl"]
    os.kill(lab._cloud._server.pid, getattr(signal, "SIGKILL", signal.SIGTERM))  # type: ignore[attr-defined]
    for call in (lambda: lab.client("sqs").get_queue_attributes(QueueUrl=url), lab.now, lambda: lab.wait(1)):
        began = time.monotonic()
        with pytest.raises(LabError, match="has ended, and it is empty when it starts again"):
            call()
        assert time.monotonic() - began < 3
    again = helpers.connect("local")
    with pytest.raises(LabError, match="has ended"):
        lab.client("sqs").list_queues()
    assert "QueueUrls" not in again.client("sqs").list_queues()


def test_a_proxy_in_the_environment_is_not_used(real: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    lab = helpers.connect("local")
    assert lab.client("sts").get_caller_identity()["Account"] == lab.account
    assert lab.account == real.account


def test_a_queue_can_be_made_again_at_once_under_its_old_name(real: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    sqs = real.client("sqs")
    url = sqs.create_queue(QueueName=real.name("again"))["QueueUrl"]
    sqs.delete_queue(QueueUrl=url)
    assert sqs.create_queue(QueueName=real.name("again"))["QueueUrl"] == url
    assert capsys.readouterr().out == ("waited 1 min until the deleted queue's name is free again (fast-forwarded)\n")
    real.cleanup()
    real.cleanup()
    assert capsys.readouterr().out.endswith("0 left\nNothing to clean up: 0 left\n")
