"""What later notebooks take for granted: resources in one call, catching up, many messages, sample orders."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

import helpers
from helpers import messages, resources
from helpers.catch_up import BEFORE, ORDERS
from helpers.cleanup import sweep
from helpers.errors import LabError
from helpers.lab import Lab
from tools import orders as generator

HANDLER = "def handler(event, context):\n    return len(event['Records'])\n"


@pytest.fixture
def lab(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a lab on a local AWS that this module's tests share, and leave it empty."""
    monkeypatch.setenv("LAB_SPACE", f"resources-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    for name in ("LAB_CLOUD", "LAB_AWS_ACCOUNT", "LAB_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    lab = helpers.connect("local")
    yield lab
    assert sweep(lab).total_left == 0


def attributes(lab: Lab, queue: resources.Queue) -> dict[str, str]:
    """Return all attributes of a queue."""
    answer = lab.client("sqs").get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])
    return dict(answer["Attributes"])


# Queues


def test_a_queue_is_made_once_and_found_again(lab: Lab) -> None:
    made = resources.queue(lab, "orders", visibility_timeout=60, delay_seconds=5)
    assert made.new
    assert made.name == lab.name("orders")
    assert made.arn.endswith(f":{made.name}")
    found = resources.queue(lab, "orders")
    assert found == made
    assert not found.new
    assert attributes(lab, found)["VisibilityTimeout"] == "60"
    assert attributes(lab, found)["DelaySeconds"] == "5"
    resources.queue(lab, made.name, visibility_timeout=90)
    assert attributes(lab, found)["VisibilityTimeout"] == "90"
    assert attributes(lab, found)["DelaySeconds"] == "5"


def test_a_receive_count_brings_a_dead_letter_queue(lab: Lab) -> None:
    queue = resources.queue(lab, "orders", max_receive_count=3)
    assert queue.dead_letters is not None
    assert queue.dead_letters.name == lab.name("orders-dead-letters")
    policy = json.loads(attributes(lab, queue)["RedrivePolicy"])
    assert policy == {"deadLetterTargetArn": queue.dead_letters.arn, "maxReceiveCount": 3}
    assert resources.queue(lab, "orders") == queue
    other = resources.queue(lab, "other")
    assert resources.queue(lab, "orders", max_receive_count=2, dead_letters=other).dead_letters == other
    assert other.name in repr(resources.queue(lab, "orders"))
    with pytest.raises(LabError, match="needs max_receive_count"):
        resources.queue(lab, "orders", dead_letters=other)


def test_a_fifo_queue_is_named_as_one(lab: Lab) -> None:
    queue = resources.queue(lab, "ordered", fifo=True, content_based_deduplication=True, max_receive_count=2)
    assert queue.fifo
    assert queue.name == lab.name("ordered.fifo")
    assert queue.dead_letters is not None
    assert queue.dead_letters.name == lab.name("ordered-dead-letters.fifo")
    assert attributes(lab, queue)["ContentBasedDeduplication"] == "true"
    assert resources.queue(lab, "ordered.fifo") == queue
    with pytest.raises(LabError, match="is the name of a FIFO queue"):
        resources.queue(lab, "ordered.fifo", fifo=False)


def test_aws_says_itself_what_it_does_not_take(lab: Lab) -> None:
    with pytest.raises(ClientError, match="Unknown Attribute"):
        resources.queue(lab, "orders", visible_timeout=3)


# Roles, functions, triggers


def test_a_role_wears_both_policies_and_statements_of_its_own(lab: Lab) -> None:
    statement = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
    made = resources.role(lab, "orders", statements=[statement])
    assert made.new
    assert resources.role(lab, "orders", statements=[statement]) == made
    iam = lab.client("iam")
    attached = iam.list_attached_role_policies(RoleName=made.name)["AttachedPolicies"]
    assert {policy["PolicyName"] for policy in attached} == set(resources.PIPELINE_POLICIES)
    assert iam.get_role_policy(RoleName=made.name, PolicyName="own")["PolicyDocument"]["Statement"] == [statement]


def test_a_function_is_active_and_brought_to_its_code_and_settings(lab: Lab) -> None:
    client = lab.client("lambda")

    def configuration() -> dict[str, Any]:
        return dict(client.get_function_configuration(FunctionName=lab.name("orders")))

    made = resources.function(lab, "orders", source=HANDLER)
    assert made.new
    first = configuration()
    assert (first["State"], first["Timeout"]) == ("Active", 3)
    assert made.role == resources.role(lab, "orders").arn
    assert resources.function(lab, "orders", source=HANDLER) == made
    assert configuration()["RevisionId"] == first["RevisionId"], "nothing was changed"
    resources.function(
        lab,
        "orders",
        source={"app.py": "from other import handler\n", "other.py": HANDLER},
        timeout=9,
        environment={"TABLE": "t"},
        memory_size=256,
    )
    second = configuration()
    assert second["CodeSha256"] != first["CodeSha256"]
    assert (second["Timeout"], second["MemorySize"]) == (9, 256)
    assert second["Environment"] == {"Variables": {"TABLE": "t"}}
    answer = client.invoke(FunctionName=made.name, Payload=json.dumps({"Records": [1, 2]}))
    assert json.load(answer["Payload"]) == 2


def test_libraries_go_into_the_zip_file_and_the_same_code_stays_the_same(lab: Lab) -> None:
    client = lab.client("lambda")
    source = """
        from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

        def one(record):
            if record.body == "bad":
                raise ValueError(record.body)

        def handler(event, context):
            processor = BatchProcessor(event_type=EventType.SQS)
            return process_partial_response(event, one, processor, context)
    """
    libraries = ("aws_lambda_powertools", "typing_extensions")
    made = resources.function(lab, "orders", source=source, libraries=libraries)
    first = client.get_function_configuration(FunctionName=made.name)
    assert first["CodeSize"] < 2_000_000
    resources._files_of.cache_clear()
    resources.function(lab, "orders", source=source, libraries=libraries)
    assert client.get_function_configuration(FunctionName=made.name)["RevisionId"] == first["RevisionId"]
    records = [{"messageId": body, "body": body, "eventSource": "aws:sqs"} for body in ("good", "bad")]
    answer = client.invoke(FunctionName=made.name, Payload=json.dumps({"Records": records}))
    assert json.load(answer["Payload"]) == {"batchItemFailures": [{"itemIdentifier": "bad"}]}


@pytest.mark.parametrize(
    ("library", "why"),
    [("no_such_library", "no library"), ("../secrets", "no library"), ("json.tool", "no library"), ("numpy", "not in")],
)
def test_what_is_no_library_in_pure_python_is_refused(lab: Lab, library: str, why: str) -> None:
    with pytest.raises(LabError, match=why):
        resources.function(lab, "orders", source=HANDLER, libraries=[library])


def test_a_table_is_made_once_emptied_and_cleaned_up(lab: Lab) -> None:
    made = resources.table(lab, "handled")
    assert made.new
    assert made.name == lab.name("handled")
    assert made.arn.endswith(f":table/{made.name}")
    client = lab.client("dynamodb")
    once = {"Item": {"id": {"S": "order 7"}}, "ConditionExpression": "attribute_not_exists(id)"}
    client.put_item(TableName=made.name, **once)
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        client.put_item(TableName=made.name, **once)
    found = resources.table(lab, "handled")
    assert found == made
    assert not found.new
    assert client.scan(TableName=made.name)["Count"] == 1
    for number in range(60):
        client.put_item(TableName=made.name, Item={"id": {"S": str(number)}})
    resources.table(lab, "handled", empty=True)
    assert client.scan(TableName=made.name)["Count"] == 0
    assert sweep(lab).deleted["tables"] == {made.name}
    assert not client.list_tables()["TableNames"]


def test_a_trigger_is_made_once_and_brought_to_its_settings(lab: Lab) -> None:
    queue, function = resources.queue(lab, "orders"), resources.function(lab, "orders", source=HANDLER)
    made = resources.trigger(lab, queue=queue, function=function, batch_size=1)
    assert (made.new, made.state, made.batch_size) == (True, "Enabled", 1)
    assert resources.trigger(lab, queue="orders", function="orders", batch_size=1) == made
    paused = resources.trigger(lab, queue=queue, function=function, enabled=False)
    assert (paused.uuid, paused.state, paused.batch_size) == (made.uuid, "Disabled", 1)
    more = resources.trigger(
        lab,
        queue=queue,
        function=function,
        batch_size=20,
        maximum_batching_window_in_seconds=1,
        function_response_types=["ReportBatchItemFailures"],
        maximum_concurrency=2,
    )
    assert (more.uuid, more.state, more.batch_size) == (made.uuid, "Enabled", 20)
    mapping = lab.client("lambda").get_event_source_mapping(UUID=made.uuid)
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}
    with pytest.raises(LabError, match="There is no queue"):
        resources.trigger(lab, queue="nowhere", function=function)


def test_a_role_without_the_rights_ends_with_what_aws_says(lab: Lab) -> None:
    role = resources.role(lab, "poor", policies=["AWSLambdaBasicExecutionRole"])
    function = resources.function(lab, "poor", source=HANDLER, role=role)
    with pytest.raises(ClientError, match="does not have permissions to call ReceiveMessage on SQS"):
        resources.trigger(lab, queue=resources.queue(lab, "orders"), function=function)


def test_the_handles_show_as_cards(lab: Lab) -> None:
    queue = resources.queue(lab, "orders")
    assert repr(queue).splitlines()[0] == f"Queue {queue.name}"
    assert queue.url in queue._repr_html_()
    assert "arn:aws:iam::" in repr(resources.role(lab, "orders"))


# Catching up


@pytest.mark.parametrize("notebook", sorted(BEFORE))
def test_a_notebook_finds_what_those_before_it_made(
    lab: Lab, notebook: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(lab)
    lab.wait(61)
    capsys.readouterr()
    began = time.monotonic()
    made = lab.catch_up(notebook)
    assert time.monotonic() - began < 10
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 92 for line in lines), "a longer one breaks within a name on the page"
    said = " ".join(lines)
    assert f"otebook {notebook}" in said
    for kind, name, new in made.parts():
        assert new
        assert f"{kind} ({name})" in said
    again = lab.catch_up(notebook)
    assert again == made
    assert not any(new for _, _, new in again.parts())
    assert capsys.readouterr().out.endswith(
        "everything is there.\n" if made.parts() else "so there is nothing to make.\n"
    )


def test_the_pipeline_of_the_notebooks_handles_orders_and_dead_letters_the_flawed(lab: Lab) -> None:
    made = lab.catch_up("07")
    assert made.queue is not None
    assert made.dead_letters is not None
    report = messages.send_many(made.queue, messages.orders())
    assert (len(report.sent), report.failed, report.requests) == (200, [], 20)
    lab.wait(150)
    dead = messages.drain(made.dead_letters)
    assert {json.loads(one.body)["order"] for one in dead} == set(messages.flaws())
    assert messages.drain(made.dead_letters) == []
    assert attributes(lab, made.queue)["ApproximateNumberOfMessages"] == "0"


def test_catching_up_brings_back_what_was_changed(lab: Lab) -> None:
    made = lab.catch_up("05")
    assert made.function is not None
    assert made.source == ORDERS
    resources.function(lab, "orders", source=HANDLER)
    resources.trigger(lab, queue="orders", function="orders", batch_size=3, enabled=False)
    again = lab.catch_up("05")
    assert again == made
    answer = lab.client("lambda").invoke(FunctionName=made.function.name, Payload=json.dumps({"Records": [1]}))
    assert "FunctionError" in answer


def test_catching_up_says_which_notebooks_there_are(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"from 00 to \d\d"):
        lab.catch_up("99")
    with pytest.raises(LabError, match="Write its two digits"):
        lab.catch_up()


# Many messages


@pytest.mark.behaviour("A39", "A44", "A45")
def test_what_sqs_refuses_is_reported_with_its_code_and_the_rest_is_sent(lab: Lab) -> None:
    queue = resources.queue(lab, "small", maximum_message_size=4096)
    bodies = [*({"n": number} for number in range(20)), "x" * 5000, "a\x01b"]
    report = messages.send_many(queue, bodies)
    assert sorted(report.sent) == list(range(20))
    assert [(one.position, one.code) for one in report.failed] == [
        (20, "InvalidParameterValue"),
        (21, "InvalidMessageContents"),
    ]
    assert all(one.sender_fault for one in report.failed)
    assert report.requests == 3, "what is the sender's fault is not sent again"
    assert repr(report).splitlines()[0] == "Sent 20 of 22 messages in 3 requests"
    assert "InvalidMessageContents" in report._repr_html_()
    assert sorted(json.loads(one.body)["n"] for one in messages.drain(queue)) == list(range(20))


@pytest.mark.behaviour("A42")
def test_large_messages_share_a_request_only_as_far_as_they_fit(lab: Lab) -> None:
    queue = resources.queue(lab, "large")
    report = messages.send_many(queue, ["x" * 400_000] * 5 + ["x" * 1_100_000])
    assert sorted(report.sent) == [0, 1, 2, 3, 4]
    assert [one.position for one in report.failed] == [5]
    assert report.failed[0].code.endswith("BatchRequestTooLong")
    assert report.requests == 4


def test_what_is_not_the_senders_fault_is_sent_once_more_alone(lab: Lab) -> None:
    sqs = lab.client("sqs")
    queue = resources.Queue("q", "https://sqs/1/q", "arn:aws:sqs:us-east-1:1:q", lab=lab)

    def ok(*numbers: int) -> list[dict[str, str]]:
        return [{"Id": str(number), "MessageId": f"m{number}", "MD5OfMessageBody": "0"} for number in numbers]

    def no(number: int) -> dict[str, Any]:
        return {"Id": str(number), "Code": "InternalError", "Message": "busy", "SenderFault": False}

    def sent(*numbers: int) -> dict[str, Any]:
        entries = [{"Id": str(number), "MessageBody": str(number)} for number in numbers]
        return {"QueueUrl": queue.url, "Entries": entries}

    with Stubber(sqs) as stub:
        stub.add_response("send_message_batch", {"Successful": ok(0), "Failed": [no(1), no(2)]}, sent(0, 1, 2))
        stub.add_response("send_message_batch", {"Successful": ok(2), "Failed": [no(1)]}, sent(1, 2))
        report = messages.send_many(queue, ["0", "1", "2"])
    assert report.sent == {0: "m0", 2: "m2"}
    assert [(one.position, one.code, one.body) for one in report.failed] == [(1, "InternalError", "1")]
    assert report.requests == 2


def test_a_fifo_queue_is_sent_groups_and_drained_in_their_order(lab: Lab) -> None:
    queue = resources.queue(lab, "ordered", fifo=True)
    bodies = [{"account": number % 3, "step": number} for number in range(25)]
    with pytest.raises(LabError, match="each message needs a group"):
        messages.send_many(queue, bodies)
    messages.send_many(
        queue, bodies, group=lambda body: f"account-{body['account']}", deduplication=lambda body: str(body["step"])
    )
    found = [json.loads(one.body) for one in messages.drain(queue)]
    assert len(found) == 25
    for account in range(3):
        steps = [body["step"] for body in found if body["account"] == account]
        assert steps == sorted(steps)


def test_a_long_send_shows_how_far_it_is(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("helpers.progress._SILENCE", -1.0)
    queue = resources.queue(lab, "orders")
    assert repr(messages.send_many(queue, ["one"])) == "Sent 1 message in 1 request"
    messages.send_many(queue, [str(number) for number in range(12)])
    assert "sending: 12 of 12 messages" in capsys.readouterr().out
    assert len(messages.drain(queue)) == 13
    assert "receiving: 13 messages" in capsys.readouterr().out
    assert messages.send_many(queue, []).requests == 0


def test_a_single_text_or_a_url_is_refused_in_one_sentence(lab: Lab) -> None:
    queue = resources.queue(lab, "orders")
    with pytest.raises(LabError, match="takes several bodies"):
        messages.send_many(queue, "hello")
    with pytest.raises(LabError, match="takes a queue as"):
        messages.send_many(queue.url, ["hello"])  # type: ignore[arg-type]


# The sample orders


def test_the_sample_orders_are_what_their_seed_makes() -> None:
    assert messages.ORDERS.read_text(encoding="utf-8") == generator.text(), "run tools/orders.py"


def test_the_flawed_orders_are_those_that_a_handler_cannot_add_up() -> None:
    scope: dict[str, Any] = {}
    exec(ORDERS, scope)
    failed = set()
    for order in messages.orders():
        try:
            scope["handler"]({"Records": [{"body": json.dumps(order)}]}, None)
        except (KeyError, TypeError):
            failed.add(order["order"])
    assert failed == set(messages.flaws())
    assert len(messages.orders()) == 200
    assert len(messages.orders(flawed=False)) == 200 - len(failed)
    assert len(messages.orders(10)) == 10
    with pytest.raises(LabError, match="There are 200 sample orders, not 201"):
        messages.orders(201)
