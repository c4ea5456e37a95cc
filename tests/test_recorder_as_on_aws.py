"""The flight recorder of a real account, held against what really happened on the local AWS.

No account is here. A lab runs on the local AWS with the recorder's form for a real account: the footer in its
functions' code, what its clients noted, the functions' logs. Beside it stands the local AWS's own feed: the truth.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import re
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas
import pytest
from botocore.exceptions import ClientError

from helpers import messages, recorder, resources
from helpers.exercises import evidence
from helpers.lab import Lab
from helpers.recorder_feed import Recorder
from helpers.recorder_footer import FOOTER, MARK, recorded
from tests.as_on_aws import AsOnAws
from tests.conftest import Aws, zipped

PARTIAL = ["ReportBatchItemFailures"]

RAISES = """
import json

def handler(event, context):
    "Fail for the orders without a price."
    for record in event["Records"]:
        json.loads(record["body"])["price"]
"""
REPORTS = """
import json

def handler(event, context):
    failed = []
    for record in event["Records"]:
        try:
            json.loads(record["body"])["price"]
        except KeyError:
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
"""
LATER = """
import json

def handler(event, context):
    failed = []
    for record in event["Records"]:
        number = json.loads(record["body"])["number"]
        if number == 7 or number in (0, 3) and record["attributes"]["ApproximateReceiveCount"] == "1":
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
"""
ANSWERS = """
import json

def handler(event, context):
    first = event["Records"][0]
    answer = json.loads(first["body"])["answer"]
    return json.loads(json.dumps(answer).replace("FIRST", first["messageId"]))
"""
NOTHING = "def handler(event, context): pass"
GOOD, BAD = {"price": 2.5}, {"quantity": 1}


@dataclass
class Place:
    """A lab with the recorder of a real account, and the feed of what happened."""

    lab: Lab
    truth: Recorder
    number: int = 0

    def pipeline(self, source: str, *, batch_size: int = 10, partial: bool = False, **queue: Any) -> resources.Queue:
        """Make a queue with a dead-letter queue and a function behind it; three receives are allowed."""
        self.number += 1
        name, end = f"orders-{self.number}", ".fifo" if queue.pop("fifo", False) else ""
        dead = resources.queue(self.lab, f"{name}-dead{end}")
        made = resources.queue(self.lab, f"{name}{end}", dead_letters=dead, max_receive_count=3, **queue)
        function = resources.function(self.lab, name, source=source)
        resources.trigger(
            self.lab,
            queue=made,
            function=function,
            batch_size=batch_size,
            function_response_types=PARTIAL if partial else None,
        )
        return made

    def logs(self, **of: Any) -> tuple[pandas.DataFrame, pandas.DataFrame]:
        """Return what was concluded and what happened."""
        return self.lab.recorder(**of), self.truth.log(**of)

    def send(self, queue: resources.Queue, bodies: Sequence[Any], **fields: Any) -> None:
        """Send bodies, ten in a call."""
        messages.send_many(queue, bodies, **fields)


@pytest.fixture
def place(aws: Aws) -> Iterator[Place]:
    """Return a place to work in, and clean it up."""
    cloud = AsOnAws(aws.info)
    lab = Lab(cloud, space=aws.info.space, prefix=f"lab-{uuid.uuid4().hex[:6]}")
    yield Place(lab, Recorder(cloud, lab.name))
    lab.cleanup()


def lives(log: pandas.DataFrame) -> pandas.DataFrame:
    """Return what became of each message, without times."""
    return recorder.messages(log)[["queue", "group", "attempts", "runs", "failures", "end"]].sort_index()


def runs(log: pandas.DataFrame) -> pandas.DataFrame:
    """Return what each run was, without times."""
    table = recorder.invocations(log).set_index("request")
    return table[["function", "environment", "cold", "batch", "failed", "status", "outcome"]].sort_index()


def order(log: pandas.DataFrame) -> dict[str, list[tuple[str, int, bool]]]:
    """Return each group's messages in the order of handling, with their place in the sending; without groups, any."""
    table = recorder.handled(log)
    if set(table["group"]) == {""}:
        # Two runs may end in the same millisecond.
        table = table.assign(late=False).sort_values("message")
    return {
        str(group): list(part[["message", "place", "late"]].itertuples(index=False, name=None))
        for group, part in table.groupby("group")
    }


def graves(log: pandas.DataFrame) -> tuple[dict[str, str], list[float]]:
    """Return where each dead letter went, and after how many seconds."""
    rows = log[log["event"] == "dead-lettered"].set_index("message").sort_index()
    seconds = (rows["time"] - log["time"].min()).dt.total_seconds()
    return dict(rows["outcome"]), list(seconds)


def assert_the_same(concluded: pandas.DataFrame, happened: pandas.DataFrame) -> None:
    """Compare what does not hang on the milliseconds of a log."""
    pandas.testing.assert_frame_equal(lives(concluded), lives(happened), check_dtype=False)
    pandas.testing.assert_frame_equal(runs(concluded), runs(happened), check_dtype=False)
    assert order(concluded) == order(happened)
    (where, when), (there, then) = graves(concluded), graves(happened)
    assert where == there
    # A run's beginning is taken for its receive.
    assert when == pytest.approx(then, abs=5)
    assert dict(recorder.end_states(concluded)) == dict(recorder.end_states(happened))
    assert dict(recorder.side_effects(concluded)) == dict(recorder.side_effects(happened))


def test_successes_failures_retries_and_dead_letters_are_concluded(place: Place) -> None:
    queue = place.pipeline(RAISES, batch_size=3, visibility_timeout=30)
    place.send(queue, [GOOD] * 7 + [BAD] + [GOOD] * 4)
    place.lab.wait(100)
    concluded, happened = place.logs(queue=queue.name)
    assert happened["event"].eq("dead-lettered").any()
    assert recorder.messages(happened)["attempts"].max() == 3
    assert_the_same(concluded, happened)


def test_partial_batches_are_concluded(place: Place) -> None:
    queue = place.pipeline(REPORTS, partial=True, visibility_timeout=30)
    place.send(queue, [GOOD] * 9 + [BAD] + [GOOD] * 5 + [BAD])
    place.lab.wait(100)
    concluded, happened = place.logs(queue=queue.name)
    assert set(recorder.invocations(happened)["status"]) >= {"partial"}
    assert dict(recorder.end_states(happened)) == {"done": 14, "dead": 2}
    assert_the_same(concluded, happened)


def test_a_report_counts_only_while_the_trigger_says_so(place: Place) -> None:
    queue = place.pipeline(REPORTS, visibility_timeout=30)
    place.send(queue, [GOOD, BAD])
    place.lab.wait(10)
    assert_the_same(*place.logs(queue=queue.name))
    resources.trigger(place.lab, queue=queue, function="orders-1", function_response_types=PARTIAL)
    place.send(queue, [GOOD, BAD])
    place.lab.wait(100)
    resources.trigger(place.lab, queue=queue, function="orders-1", function_response_types=[])
    place.send(queue, [BAD])
    place.lab.wait(10)
    concluded, happened = place.logs(queue=queue.name)
    assert dict(recorder.end_states(happened)) == {"done": 4, "dead": 1}
    assert_the_same(concluded, happened)


def test_what_lambda_takes_for_a_failure_of_all_is_concluded(place: Place) -> None:
    """Every form of the answer, each in a queue of its own; those that stand for all fail both messages."""
    queue = place.pipeline(ANSWERS, partial=True, visibility_timeout=30)
    forms: list[Any] = [
        None,
        {},
        {"batchItemFailures": []},
        {"batchItemFailures": None},
        {"batchItemFailures": [{"itemIdentifier": "FIRST"}]},
        {"batchItemFailures": [{"itemIdentifier": "FIRST"}, {"itemIdentifier": "unknown"}]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"id": "FIRST"}]},
        {"batchItemFailures": ["FIRST"]},
        {"batchItemFailures": "FIRST"},
        {"statusCode": 500},
        "done",
        [],
        7,
    ]
    for form in forms:
        place.send(queue, [{"answer": form}, {"answer": form}])
        place.lab.wait(2)
    concluded, happened = place.logs(queue=queue.name)
    assert recorder.invocations(happened)["failed"].gt(0).sum() >= 9
    assert_the_same(concluded, happened)


def test_fifo_groups_retries_and_duplicates_are_concluded(place: Place) -> None:
    queue = place.pipeline(
        LATER, partial=True, fifo=True, visibility_timeout=30, content_based_deduplication=True, batch_size=4
    )
    bodies = [{"number": number} for number in range(8)]
    for _ in range(2):
        place.send(queue, bodies, group=lambda body: "eu" if body["number"] % 2 else "us")
    place.lab.wait(100)
    concluded, happened = place.logs(queue=queue.name)
    assert (happened["event"] == "deduplicated").sum() == len(bodies)
    assert recorder.handled(happened)["late"].any(), "what is behind a failed message went on in the same batch"
    assert_the_same(concluded, happened)


def test_dead_letters_that_somebody_reads_have_been_moved_before(place: Place) -> None:
    queue = place.pipeline(RAISES, visibility_timeout=30)
    place.send(queue, [BAD])
    place.lab.wait(100)
    assert queue.dead_letters is not None
    sqs = place.lab.client("sqs")
    (letter,) = sqs.receive_message(QueueUrl=queue.dead_letters.url, MessageSystemAttributeNames=["All"])["Messages"]
    assert_the_same(*place.logs(queue=queue.name))
    sqs.delete_message(QueueUrl=queue.dead_letters.url, ReceiptHandle=letter["ReceiptHandle"])
    concluded, happened = place.logs(queue=queue.name)
    assert dict(recorder.end_states(happened)) == {"dead": 1}
    assert_the_same(concluded, happened)


def test_what_nobody_handles_expires_and_the_first_receive_is_known(place: Place) -> None:
    queue = place.pipeline(NOTHING, visibility_timeout=30, message_retention_period=60)
    trigger: dict[str, Any] = {"queue": queue, "function": "orders-1", "batch_size": 10}
    resources.trigger(place.lab, **trigger, maximum_batching_window_in_seconds=20)
    place.send(queue, [GOOD] * 3)
    place.lab.wait(30, "until the window has ended")
    resources.trigger(place.lab, **trigger, enabled=False)
    place.send(queue, [GOOD] * 2)
    place.lab.wait(90)
    concluded, happened = place.logs(queue=queue.name)
    assert dict(recorder.end_states(happened)) == {"done": 3, "expired": 2}
    assert_the_same(concluded, happened)
    # The pollers take a message at once and keep it for the window.
    assert (recorder.messages(concluded)["first_wait_s"].dropna() < 15).all()


def test_dead_letters_expire_counted_from_their_first_sending(place: Place) -> None:
    queue = place.pipeline(RAISES, visibility_timeout=30)
    assert queue.dead_letters is not None
    resources.queue(place.lab, queue.dead_letters.name, message_retention_period=3600)
    place.send(queue, [BAD])
    place.lab.wait(3700)
    concluded, happened = place.logs(queue=queue.dead_letters.name)
    ends = [log.loc[log["event"] == "expired", "time"] for log in (concluded, happened)]
    assert [len(end) for end in ends] == [1, 1]
    assert abs((ends[0].iloc[0] - ends[1].iloc[0]).total_seconds()) < 5
    assert_the_same(*place.logs(queue=queue.name))


def test_what_others_sent_is_seen_once_it_came_to_a_run(place: Place, aws: Aws) -> None:
    queue = place.pipeline(RAISES, visibility_timeout=30)
    for body in (GOOD, BAD):
        aws.client("sqs").send_message(QueueUrl=queue.url, MessageBody=json.dumps(body))
    place.lab.wait(100)
    concluded, happened = place.logs(queue=queue.name)
    assert (concluded["event"] == "sent").sum() == 2
    assert_the_same(concluded, happened)


def test_a_receive_that_was_throttled_is_known_once_the_message_came_to_a_run(place: Place) -> None:
    queue = place.pipeline(NOTHING, visibility_timeout=30)
    client, name = place.lab.client("lambda"), place.lab.name("orders-1")
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    place.send(queue, [GOOD])
    place.lab.wait(45)
    client.delete_function_concurrency(FunctionName=name)
    place.lab.wait(60)
    concluded, happened = place.logs(queue=queue.name)
    for log in (concluded, happened):
        (life,) = recorder.messages(log).itertuples()
        assert (life.end, life.runs) == ("done", 1)
        assert life.attempts > 1
        assert life.first_wait_s < 10


def test_a_call_with_an_event_like_a_queue_s_is_no_message(place: Place) -> None:
    queue = place.pipeline(RAISES)
    place.send(queue, [GOOD])
    record = {
        "messageId": "19dd0b57-b21e-4ac1-bd88-01bbb068cb78",
        "attributes": {"ApproximateReceiveCount": "1"},
        "eventSource": "aws:sqs",
        "eventSourceARN": queue.arn,
        "body": json.dumps(GOOD),
    }
    name = place.lab.name("orders-1")
    place.lab.client("lambda").invoke(FunctionName=name, Payload=json.dumps({"Records": [record]}))
    place.lab.wait(5)
    concluded, happened = place.logs(function=name)
    assert (recorder.invocations(happened)["batch"] == 0).any()
    assert_the_same(concluded, happened)


# The footer.

WRONG = {
    "no syntax": ("def handler(event, context)\n    return 1\n", "app.handler"),
    "an open text": ('def handler(event, context):\n    """Return one.\n    return 1\n', "app.handler"),
    "no such name": ("def handle(event, context):\n    return 1\n", "app.handler"),
    "not to be called": ("handler = 'one'\n", "app.handler"),
    "no such module": (NOTHING, "main.handler"),
    "fails on loading": ("import json\nraise ValueError('not here')\n", "app.handler"),
    "one argument": ("def handler(event):\n    return 1\n", "app.handler"),
    "no JSON": ("def handler(event, context):\n    return {1, 2}\n", "app.handler"),
    "async": ("async def handler(event, context):\n    return 1\n", "app.handler"),
    "leaves": ("import sys\ndef handler(event, context):\n    sys.exit(3)\n", "app.handler"),
    "recursion": ("def handler(event, context):\n    return handler(event, context)\n", "app.handler"),
}


def outcome(aws: Aws, package: bytes, handler: str) -> tuple[Any, ...]:
    """Return what Lambda answers to a call of a function with this code, and its log's errors."""
    client, name = aws.client("lambda"), aws.name("f")
    client.create_function(
        FunctionName=name, Runtime="python3.13", Handler=handler, Role=aws.role(), Code={"ZipFile": package}
    )
    aws.until(lambda: client.get_function_configuration(FunctionName=name)["State"] == "Active")
    answer = client.invoke(FunctionName=name, Payload=json.dumps({"Records": [{"eventSource": "aws:sqs"}]}))
    said = json.loads(answer["Payload"].read())
    client.delete_function(FunctionName=name)
    said.pop("requestId", None)
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", said.pop("errorMessage", ""))
    return answer.get("FunctionError"), said.pop("errorType", ""), text, said


@pytest.mark.parametrize("fault", WRONG)
def test_code_that_cannot_run_fails_as_it_would_without_the_footer(aws: Aws, fault: str) -> None:
    source, handler = WRONG[fault]
    plain = zipped(source)
    package = recorded(plain, handler, "python3.13")
    without, with_footer = outcome(aws, plain, handler), outcome(aws, package, handler)
    assert without[0] == "Unhandled"
    assert with_footer[:3] == without[:3]
    frames = [
        [line for line in one.pop("stackTrace", []) if "/var/task/" in line and "in recorded\n" not in line]
        for one in (with_footer[3], without[3])
    ]
    # Half of the frames at which Python gives up a recursion are the footer's.
    assert set(frames[0]) == set(frames[1])
    assert frames[0] == frames[1] or fault == "recursion"
    assert with_footer[3] == without[3]


def unzipped(package: bytes) -> dict[str, str]:
    """Return the texts in a zip file by name."""
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_the_footer_is_added_once_and_the_same_zip_gives_the_same_bytes() -> None:
    plain = zipped(NOTHING)
    once = recorded(plain, "app.handler", "python3.13")
    assert unzipped(once) == {"app.py": NOTHING + FOOTER}
    assert recorded(plain, "app.handler", "python3.13") == once
    assert recorded(once, "app.handler", "python3.13") == once


BY_HAND = """
import json
def handler(event, context):
    for record in event["Records"]:
        print(json.dumps({"record": record["messageId"]}))
"""


@pytest.mark.parametrize(
    ("package", "handler", "runtime"),
    [
        (zipped(BY_HAND), "app.handler", "python3.13"),
        (zipped(NOTHING, "shop/app.py"), "shop.app.handler", "python3.13"),
        (zipped(NOTHING), "other.handler", "python3.13"),
        (zipped(NOTHING), "handler", "python3.13"),
        (zipped(NOTHING), "app.handler", "nodejs22.x"),
        (b"no zip file", "app.handler", "python3.13"),
    ],
)
def test_what_cannot_have_the_footer_is_left_as_it_is(package: bytes, handler: str, runtime: str) -> None:
    assert recorded(package, handler, runtime) is package


def test_the_footer_keeps_name_docstring_answer_and_what_the_other_files_are() -> None:
    archive = resources._package({"app.py": RAISES, "bank.py": "x = 1"})
    texts = unzipped(recorded(archive, "app.handler", "python3.13"))
    assert texts["bank.py"] == "x = 1"
    ast.parse(texts["app.py"])
    assert texts["app.py"].startswith(RAISES)
    namespace: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_HANDLER", "app.handler")
        exec(texts["app.py"], namespace)
    handler = namespace["handler"]
    assert (handler.__name__, handler.__doc__) == ("handler", "Fail for the orders without a price.")
    with pytest.raises(KeyError, match="Records"):
        handler({}, None)


def uploads(lab: Lab) -> list[Mapping[str, Any]]:
    """Return the list to which the parameters of each upload of this lab are added, as they are sent."""
    sent: list[Mapping[str, Any]] = []
    for name in ("CreateFunction", "UpdateFunctionCode"):
        lab.client("lambda").meta.events.register(
            f"before-call.lambda.{name}", lambda params, **_: sent.append(json.loads(params["body"]))
        )
    return sent


def test_only_a_lab_on_a_real_account_adds_it_and_the_same_code_is_not_uploaded_twice(place: Place, aws: Aws) -> None:
    sent = uploads(place.lab)
    for source in (NOTHING, NOTHING, REPORTS, REPORTS):
        resources.function(place.lab, "plain", source=source)
    codes = [base64.b64decode(one["Code"]["ZipFile"] if "Code" in one else one["ZipFile"]) for one in sent]
    assert [MARK in unzipped(code)["app.py"] for code in codes] == [True, True]
    package = resources._package(NOTHING)
    given = {"ZipFile": package}
    with pytest.raises(ClientError):
        place.lab.client("lambda").create_function(
            FunctionName=place.lab.name("plain"), Role="arn:aws:iam::123456789012:role/none", Handler="app.handler",
            Runtime="python3.13", Code=given,
        )  # fmt: skip
    assert given["ZipFile"] is package, "the caller's own is not changed"
    other = Lab(AsOnAws.__base__(aws.info), space=aws.info.space, prefix=place.lab.prefix)  # type: ignore[misc]
    sent = uploads(other)
    resources.function(other, "local", source=NOTHING)
    assert [unzipped(base64.b64decode(one["Code"]["ZipFile"]))["app.py"] for one in sent] == [NOTHING]


def test_what_the_footer_prints_is_not_the_handler_s(place: Place) -> None:
    queue = place.pipeline('def handler(event, context):\n    print("the sum is 37.5")')
    place.send(queue, [GOOD])
    runs = place.lab.wait_until(lambda: evidence.runs(place.lab, "orders-1"), why="it has run")
    assert [line for run in runs for line in run.lines] == ["the sum is 37.5"]


def test_a_function_of_a_template_is_said_to_be_silent_once(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    queue = place.pipeline(NOTHING)
    plain = AsOnAws.__base__(place.lab._cloud._server).client("lambda")  # type: ignore[attr-defined, misc]
    plain.update_function_code(FunctionName=place.lab.name("orders-1"), ZipFile=zipped(NOTHING))
    place.lab.wait(10, "until the new code is live")
    place.send(queue, [GOOD])
    place.lab.wait(5)
    for _ in range(2):
        assert recorder.invocations(place.lab.recorder(function="orders-1"))["batch"].sum() == 0
    assert (
        capsys.readouterr().out.count(f"cannot tell which messages the runs of {place.lab.name('orders-1')} had") == 1
    )
