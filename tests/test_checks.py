"""Checks: three verdicts, a sentence for each known mistake, and never a traceback for an unfilled stub."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import helpers
from helpers import checks
from helpers.checks import Verdict, exercise, yes
from helpers.errors import LabError
from helpers.exercises import evidence, nb00
from helpers.exercises.evidence import Depth, Run

WHERE = {"queue": "lab-abc123-orders", "function": "lab-abc123-orders"}
ENVELOPE = "The event is an envelope: your message is in `event['Records'][0]['body']`."
TEXT = "The body arrives as text, even when you sent JSON"
HIDDEN = "There are two messages now; the first is hidden until its 30 s are over: wait, or fast-forward."


class Seen:
    """What the readers of the cloud shall see; as a lab it has no clients."""

    def __init__(self) -> None:
        self.changed: float | None = 50.0
        self.depth: Depth | None = Depth(0, 0, 30)
        self.trigger = "Enabled"
        self.runs: list[Run] = []

    def ran(self, *lines: str, error: str = "") -> Seen:
        """Add a run, a minute after the one before."""
        self.runs.append(Run(f"run-{len(self.runs)}", 100 + 60 * len(self.runs), list(lines), error, True))
        return self


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Return a cloud with a function, a queue and an Enabled trigger, nothing sent."""
    there = Seen()
    monkeypatch.setattr(evidence, "changed", lambda *_: there.changed)
    monkeypatch.setattr(evidence, "depth", lambda *_: there.depth)
    monkeypatch.setattr(evidence, "trigger_state", lambda *_: there.trigger)
    monkeypatch.setattr(evidence, "runs", lambda *_: there.runs)
    return there


def total(seen: Seen) -> Verdict:
    """Check the first exercise."""
    return checks.check(seen, "00-total", **WHERE)  # type: ignore[arg-type]


def repair(seen: Seen) -> Verdict:
    """Check the second exercise."""
    return checks.check(seen, "00-repair", **WHERE)  # type: ignore[arg-type]


# 00-total


def test_total_stub_is_not_yet(seen: Seen) -> None:
    seen.ran("{'hello': 'world'}")
    assert total(seen).state == "not yet"
    assert "no line of its log holds 37.5" in total(seen).text


@pytest.mark.parametrize(
    "line", ["total 37.5", "order 7: 37.50", "{'order': 7, 'total': 37.5}", "37.5", "EUR 37.50.", "37.5EUR"]
)
def test_total_in_any_wording_is_yes(seen: Seen, line: str) -> None:
    assert total(seen.ran("hello").ran(line)).state == "yes"


@pytest.mark.parametrize("line", ["137.5", "37.55", "37.5.1", "v37.5"])
def test_another_number_is_no_total(seen: Seen, line: str) -> None:
    assert total(seen.ran(line)).state != "yes"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("KeyError: 'body'", ENVELOPE),
        ("KeyError: 'price'", ENVELOPE),
        ("TypeError: the JSON object must be str, bytes or bytearray, not dict", ENVELOPE),
        ("AttributeError: 'dict' object has no attribute 'body'", ENVELOPE),
        ("TypeError: list indices must be integers or slices, not str", ENVELOPE),
        ("TypeError: string indices must be integers, not 'str'", TEXT),
        ("AttributeError: 'str' object has no attribute 'get'", TEXT),
        ("NameError: name 'jsn' is not defined", "Its log has the line that failed"),
    ],
)
def test_a_known_mistake_earns_its_sentence(seen: Seen, error: str, sentence: str) -> None:
    verdict = total(seen.ran("hello").ran(error=error))
    assert verdict.state == "almost"
    assert error in verdict.text
    assert sentence in verdict.text


def test_a_wrong_sum_is_named(seen: Seen) -> None:
    verdict = total(seen.ran("total 15.5"))
    assert verdict.state == "almost"
    assert "The log says 15.5, and 3 at 12.50 make 37.5" in verdict.text


def test_an_older_message_that_is_still_hidden_does_not_keep_the_last_run_from_being_judged(seen: Seen) -> None:
    seen.depth = Depth(0, 3, 30)
    assert "The last line is `12.5`: print price times quantity" in total(seen.ran("12.5")).text
    assert "The last run printed nothing: print price times quantity" in total(seen.ran()).text


def test_a_change_without_a_run_asks_for_an_order(seen: Seen) -> None:
    seen.changed = 500.0
    assert "has not run since you changed it: send the order" in total(seen.ran("hello")).text


def test_a_total_in_a_run_that_failed_does_not_count(seen: Seen) -> None:
    assert total(seen.ran("total 37.5", error="ValueError: no")).state == "almost"


def test_a_handler_that_was_repaired_has_to_wait(seen: Seen) -> None:
    seen.ran(error="KeyError: 'body'")
    seen.changed, seen.depth = 110.0, Depth(0, 1, 30)
    assert "hidden until its 30 s are over: wait, or fast-forward" in total(seen).text


def test_a_trigger_that_does_not_deliver_is_named(seen: Seen) -> None:
    seen.trigger = "Disabled"
    assert "is Disabled; it has to be Enabled" in total(seen).text
    seen.trigger = ""
    assert "does not exist" in total(seen).text


# 00-repair


def test_repair_stub_is_not_yet(seen: Seen) -> None:
    assert repair(seen).state == "not yet"
    assert repair(seen.ran("hello").ran("total 37.5")).state == "not yet"


def test_broken_and_not_repaired_is_almost(seen: Seen) -> None:
    seen.depth = Depth(0, 1, 30)
    verdict = repair(seen.ran("hello").ran(error="KeyError: 'prize'"))
    assert verdict.state == "almost"
    assert "KeyError: 'prize'" in verdict.text
    assert "Repair the handler" in verdict.text


def test_repaired_and_not_waited_is_almost(seen: Seen) -> None:
    seen.ran(error="KeyError: 'prize'")
    seen.changed, seen.depth = 110.0, Depth(0, 1, 30)
    verdict = repair(seen)
    assert verdict.state == "almost"
    assert "hidden until its 30 s are over: wait, or fast-forward." in verdict.text


def test_sent_again_in_place_of_waiting_earns_its_sentence(seen: Seen) -> None:
    seen.depth = Depth(0, 1, 30)
    assert repair(seen.ran(error="KeyError: 'prize'").ran("total 37.5")) == Verdict("almost", HIDDEN)


def test_repaired_and_waited_is_yes(seen: Seen) -> None:
    verdict = repair(seen.ran(error="KeyError: 'prize'").ran(error="KeyError: 'prize'").ran("total 37.5"))
    assert verdict.state == "yes"
    assert "failed 2 times" in verdict.text


def test_a_message_that_waits_behind_a_stopped_trigger_is_almost(seen: Seen) -> None:
    seen.depth, seen.trigger = Depth(1, 0, 30), "Disabled"
    assert "the trigger is Disabled" in repair(seen.ran(error="KeyError: 'prize'").ran("ok")).text


def test_a_message_that_was_purged_is_almost(seen: Seen) -> None:
    assert "is no longer in the queue" in repair(seen.ran(error="KeyError: 'prize'")).text


# Both, and the frame


@pytest.mark.parametrize("name", ["00-total", "00-repair"])
def test_without_function_or_queue_it_is_not_yet(seen: Seen, name: str) -> None:
    seen.depth = None
    assert "no queue `lab-abc123-orders`" in checks.check(seen, name, **WHERE).text  # type: ignore[arg-type]
    seen.changed = None
    assert "no function `lab-abc123-orders`" in checks.check(seen, name, **WHERE).text  # type: ignore[arg-type]


def test_an_answer_of_aws_is_a_verdict_and_no_traceback() -> None:
    @exercise("99-refused")
    def look(lab: Any) -> Verdict:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}, "ListQueues")

    assert checks.check(None, "99-refused") == Verdict(  # type: ignore[arg-type]
        "not yet", "AWS did not let the check look: not authorized"
    )


@pytest.mark.parametrize("name", ["00-nothing", "total", "98-total", "", 7])
def test_an_unknown_exercise_is_one_sentence(name: Any) -> None:
    with pytest.raises(LabError):
        checks.check(None, name)  # type: ignore[arg-type]


@pytest.mark.parametrize("where", [{}, {"queue": "q"}, {"queue": "q", "function": None}, {**WHERE, "more": "x"}])
def test_a_check_that_is_not_told_where_to_look_is_one_sentence(seen: Seen, where: dict[str, Any]) -> None:
    with pytest.raises(LabError, match="queue=…, function=…"):
        checks.check(seen, "00-total", **where)  # type: ignore[arg-type]


def test_hints_come_in_order_and_the_last_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from helpers.lab import Lab

    monkeypatch.setenv("LAB_STATE_DIR", str(tmp_path))

    class Cloud:
        account, region = "123456789012", "us-east-1"

    lab = Lab(Cloud(), space="s", prefix="lab-abc123")  # type: ignore[arg-type]
    assert [lab.hint("00-total").number for _ in range(5)] == [1, 2, 3, 3, 3]
    assert lab.hint("00-repair").number == 1
    assert lab.hint("00-repair", 3).text.startswith("Repair the handler")
    with pytest.raises(LabError, match="has 3 hints"):
        lab.hint("00-repair", 4)


def test_a_verdict_shows_as_text_and_as_html() -> None:
    verdict = yes("`a<b>` holds")
    assert repr(verdict) == "● yes: `a<b>` holds"
    assert "<code>a&lt;b&gt;</code>" in verdict._repr_html_()


# The log


class _Logs:
    """CloudWatch Logs with one stream in two pages."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def get_paginator(self, _: str) -> _Logs:
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return [{"logStreams": [{"logStreamName": "one"}]}]

    def get_log_events(self, nextToken: str = "0", **_: Any) -> dict[str, Any]:  # noqa: N803
        events = [{"message": line, "timestamp": 1000 * number} for number, line in enumerate(self.lines)]
        half = len(events) // 2
        pages = {"0": (events[:half], "1"), "1": (events[half:], "2"), "2": ([], "2")}
        page, token = pages[nextToken]
        return {"events": page, "nextForwardToken": token}


class _LogLab:
    """A lab of which only the log is read."""

    def __init__(self, lines: list[str]) -> None:
        self._logs = _Logs(lines)

    def client(self, _: str) -> _Logs:
        return self._logs

    def name(self, name: str) -> str:
        return name


def test_a_log_is_read_run_by_run() -> None:
    lines = [
        "INIT_START Runtime Version: python:3.13.v1",
        "START RequestId: a Version: $LATEST\n",
        "total 37.5\n",
        "END RequestId: a\n",
        "REPORT RequestId: a\tDuration: 3.01 ms\t\n",
        "START RequestId: b Version: $LATEST\n",
        "[ERROR] KeyError: 'body'\nTraceback (most recent call last):\n",
        "END RequestId: b\n",
        "REPORT RequestId: b\tDuration: 3.01 ms\t\n",
        "START RequestId: c Version: $LATEST\n",
        "END RequestId: c\n",
        "REPORT RequestId: c\tDuration: 1000.00 ms\tStatus: timeout\n",
        "[ERROR] Runtime.ImportModuleError: Unable to import module 'x'",
        "START RequestId: d Version: $LATEST\n",
        "REPORT RequestId: d\tDuration: 1.00 ms\tStatus: error\tError Type: Runtime.ImportModuleError\n",
    ]
    found = evidence.runs(_LogLab(lines), "orders")  # type: ignore[arg-type]
    assert [(run.request_id, run.lines, run.error) for run in found] == [
        ("a", ["total 37.5"], ""),
        ("b", [], "KeyError: 'body'"),
        ("c", [], "it timed out"),
        ("d", [], "Runtime.ImportModuleError: Unable to import module 'x'"),
    ]
    assert {run.stream for run in found} == {"one"}


def test_the_total_is_that_of_the_order() -> None:
    assert nb00.TOTAL == 12.5 * 3


# The same on the local AWS: each known mistake, then the solution

HANDLER = """
import json

def handler(event, context):
    for record in event["Records"]:
        order = json.loads(record["body"])
        print("order", order["order"], "total", order["price"] * order["quantity"])
"""


@pytest.fixture
def deployed(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Callable[[str], None], Callable[[], None]]:
    """Return a lab with a pipeline, and two functions: deploy a handler, send the order."""
    monkeypatch.setenv("LAB_SPACE", f"checks-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    lab = helpers.connect("local")
    name = lab.name("orders")
    iam, sqs, functions = lab.client("iam"), lab.client("sqs"), lab.client("lambda")

    def package(source: str) -> bytes:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("app.py", source)
        return content.getvalue()

    def configuration() -> Any:
        return functions.get_function_configuration(FunctionName=name)

    def deploy(source: str) -> None:
        functions.update_function_code(FunctionName=name, ZipFile=package(source))
        lab.wait_until(lambda: configuration()["LastUpdateStatus"] == "Successful")

    def send() -> None:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"order": 7, "price": 12.5, "quantity": 3}))
        lab.wait(1)

    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    managed = "arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"
    iam.attach_role_policy(RoleName=name, PolicyArn=managed)
    functions.create_function(
        FunctionName=name,
        Role=role,
        Runtime="python3.13",
        Handler="app.handler",
        Code={"ZipFile": package("def handler(event, context):\n    print(event)\n")},
    )
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    lab.wait_until(lambda: configuration()["State"] == "Active")
    mapping = functions.create_event_source_mapping(EventSourceArn=arn, FunctionName=name, BatchSize=1)["UUID"]
    lab.wait_until(lambda: functions.get_event_source_mapping(UUID=mapping)["State"] == "Enabled")
    return lab, deploy, send


def test_the_exercises_of_notebook_00_on_the_local_aws(
    deployed: tuple[Any, Callable[[str], None], Callable[[], None]], capsys: pytest.CaptureFixture[str]
) -> None:
    lab, deploy, send = deployed
    where = {"queue": lab.name("orders"), "function": "orders"}
    send()
    assert lab.check("00-total", **where).state == "not yet"
    assert lab.check("00-repair", **where).state == "not yet"
    deploy(HANDLER.replace('json.loads(record["body"])', 'event["body"]'))
    send()
    assert ENVELOPE in lab.check("00-total", **where).text
    deploy(HANDLER.replace('json.loads(record["body"])', 'record["body"]'))
    lab.wait(31)
    assert TEXT in lab.check("00-total", **where).text
    deploy(HANDLER.replace(" * ", " + "))
    lab.wait(31)
    assert "The log says 15.5" in lab.check("00-total", **where).text
    deploy(HANDLER)
    send()
    assert lab.check("00-total", **where).state == "yes"
    deploy(HANDLER.replace('"price"', '"prize"'))
    send()
    assert "Repair the handler" in lab.check("00-repair", **where).text
    deploy(HANDLER)
    assert "the function was changed since" in lab.check("00-repair", **where).text
    send()
    assert lab.check("00-repair", **where) == Verdict("almost", HIDDEN)
    lab.wait(31)
    assert lab.check("00-repair", **where).state == "yes"
    lab.cleanup()
    assert lab.check("00-total", **where).state == "not yet"
