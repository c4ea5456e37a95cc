"""What breaks on the way: servers, environments, kernels and clients that end in the middle, and handlers that fail."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ReadTimeoutError

import helpers
from helpers.errors import LabError
from helpers.local_aws import state

from .conftest import ROOT, Aws

pytestmark = pytest.mark.skipif(os.name != "posix", reason="these tests send POSIX signals")

GO = "go"
BUSY = """
    import os, time
    def handler(event, context):
        folder = os.environ["FOLDER"]
        open(f"{folder}/started-{os.getpid()}", "w").close()
        while not os.path.exists(f"{folder}/go"):
            time.sleep(0.01)
"""
"""A handler that runs until the test lets it go."""


def soon(condition: Callable[[], Any], seconds: float = 15) -> Any:
    """Wait in real time, as something outside the local AWS has to happen; return what the condition returned."""
    give_up = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.01)
    return value


def running(pid: int) -> bool:
    """Return whether a process still runs."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def started(folder: Path) -> list[int]:
    """Return the processes of the busy handlers that have begun."""
    return [int(path.name.partition("-")[2]) for path in folder.glob("started-*")]


@pytest.fixture
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep the state in a folder of this test alone, and end its servers."""
    folder = tmp_path / "state"
    monkeypatch.setenv("LAB_STATE_DIR", str(folder))
    monkeypatch.setenv("LAB_CLOUD", "local")
    yield folder
    command = [sys.executable, "-m", "helpers.local_aws", "stop", "--all"]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=False)


@pytest.fixture
def busy(aws: Aws, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Return a queue and a function whose handler is busy with a message of it, until the end of the test."""
    queue = aws.queue(VisibilityTimeout=120)
    function = aws.function(BUSY, Timeout=60, Environment={"Variables": {"FOLDER": str(tmp_path)}})
    mapping = aws.mapping(queue, function)
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="x")
    soon(lambda: started(tmp_path))
    yield queue, function
    (tmp_path / GO).touch()
    aws.client("lambda").delete_event_source_mapping(UUID=mapping)


class Kernel:
    """A process with a connected `lab`, as a notebook's kernel is one."""

    def __init__(self, aws: Aws, code: str) -> None:
        source = "from helpers import connect\nlab = connect()\n" + textwrap.dedent(code)
        environment = os.environ | {"LAB_SPACE": aws.info.space, "LAB_CLOUD": "local", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", source],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def rest(self) -> str:
        """Wait for its end; return what else it has printed."""
        return self.process.communicate(timeout=30)[0]


@contextlib.contextmanager
def kernel(aws: Aws, code: str) -> Iterator[Kernel]:
    """Run code in a kernel of its own, and end it at the latest at the end of the block."""
    made = Kernel(aws, code)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


# Servers


def test_a_server_killed_between_two_cells_is_told_and_the_notebook_runs_from_the_top(
    own_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_SPACE", "killed-between")

    def from_the_top() -> tuple[helpers.lab.Lab, str]:
        lab = helpers.connect()
        aws = Aws(state.ensure(lab.space))
        queue = lab.client("sqs").create_queue(QueueName=lab.name("orders"))["QueueUrl"]
        function = aws.function(BUSY, Timeout=60, Environment={"Variables": {"FOLDER": str(tmp_path)}})
        lab.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "120"})
        aws.mapping(queue, function)
        lab.client("sqs").send_message(QueueUrl=queue, MessageBody="x")
        soon(lambda: started(tmp_path))
        return lab, queue

    lab, queue = from_the_top()
    (handler,) = started(tmp_path)
    server = state.find(lab.space)
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    soon(lambda: not running(server.pid))
    told = "The local AWS of this notebook has ended, and it is empty when it starts again."
    for next_cell in (
        lambda: lab.client("sqs").send_message(QueueUrl=queue, MessageBody="y"),
        lambda: lab.client("iam").list_roles(),
        lambda: lab.wait(30),
        lambda: lab.wait_until(lambda: True if lab.now() else None),
    ):
        with pytest.raises(LabError) as problem:
            next_cell()
        assert problem.value.what == told
        assert "Run the notebook from the top" in problem.value.fix
    soon(lambda: not running(handler))
    next(tmp_path.glob("started-*")).unlink()
    again, queue = from_the_top()
    (tmp_path / GO).touch()
    again.wait(1)
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    left = again.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    assert left == dict.fromkeys(names, "0")


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "endpoint"])
def test_a_server_that_is_stopped_in_the_middle_of_invocations_leaves_nothing(
    own_state: Path, tmp_path: Path, how: str
) -> None:
    aws = Aws(state.ensure("stops-busy", idle_stop=60))
    queue = aws.queue(VisibilityTimeout=120)
    function = aws.function(BUSY, Timeout=60, Environment={"Variables": {"FOLDER": str(tmp_path)}})
    aws.mapping(queue, function, BatchSize=1)
    entries = [{"Id": str(number), "MessageBody": "x"} for number in range(3)]
    aws.client("sqs").send_message_batch(QueueUrl=queue, Entries=entries)
    soon(lambda: len(started(tmp_path)) == 3)
    family = [aws.info.pid, *(child.pid for child in psutil.Process(aws.info.pid).children(recursive=True))]
    assert set(started(tmp_path)) < set(family)
    if how == "endpoint":
        assert aws.lab("POST", "/_local/stop") == {"stopping": True}
    else:
        os.kill(aws.info.pid, getattr(signal, how))
    soon(lambda: not any(map(running, family)))
    assert {path.suffix for path in own_state.iterdir()} <= {".log", ".lock"}
    assert "Traceback" not in state.log_file("stops-busy").read_text()


# Environments and handlers


@pytest.mark.behaviour("C88", "D28")
def test_an_environment_killed_in_a_batch_fails_it_and_its_messages_come_back(aws: Aws, tmp_path: Path) -> None:
    queue = aws.queue(VisibilityTimeout=60)
    function = aws.function(
        """
        import json, os, time
        def handler(event, context):
            print(json.dumps({record["messageId"]: record["attributes"]["ApproximateReceiveCount"]
                              for record in event["Records"]}))
            if event["Records"][0]["attributes"]["ApproximateReceiveCount"] == "1":
                open(os.environ["FOLDER"] + f"/started-{os.getpid()}", "w").close()
                time.sleep(50)
        """,
        Timeout=55,
        Environment={"Variables": {"FOLDER": str(tmp_path)}},
    )
    mapping = aws.mapping(queue, function, Enabled=False)
    entries = [{"Id": str(number), "MessageBody": "x"} for number in range(4)]
    sent = aws.client("sqs").send_message_batch(QueueUrl=queue, Entries=entries)["Successful"]
    start = aws.now()
    aws.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=True)
    aws.lab("POST", "/_local/advance", {"seconds": 2, "patience": 0.2})
    (victim,) = soon(lambda: started(tmp_path))
    os.kill(victim, signal.SIGKILL)
    aws.advance(1)
    assert aws.counts(queue) == (0, 4)
    aws.advance(120)
    assert aws.counts(queue) == (0, 0)
    ids = {entry["MessageId"] for entry in sent}
    assert aws.printed(function) == [dict.fromkeys(ids, "1"), dict.fromkeys(ids, "2")]
    log = "".join(event["message"] for event in aws.log(function))
    assert log.count("REPORT RequestId") == 2
    assert "Runtime exited with error: signal: killed" in log
    assert sum(aws.metric("AWS/Lambda", "Invocations", "Sum", start, FunctionName=function)) == 2
    assert sum(aws.metric("AWS/Lambda", "Errors", "Sum", start, FunctionName=function)) == 1
    assert sum(aws.metric("AWS/SQS", "NumberOfMessagesDeleted", "Sum", start, QueueName=queue.rpartition("/")[2])) == 4


def test_a_handler_that_forks_and_exits_leaves_no_process(aws: Aws, tmp_path: Path) -> None:
    function = aws.function(
        """
        import os, time
        def handler(event, context):
            child = os.fork()
            if child == 0:
                time.sleep(300)
                os._exit(0)
            open(os.environ["FOLDER"] + f"/started-{child}", "w").close()
            if event["exit"]:
                os._exit(3)
            return child
        """,
        Environment={"Variables": {"FOLDER": str(tmp_path)}},
    )
    client = aws.client("lambda")

    def invoke(leave: bool) -> Any:
        answer = client.invoke(FunctionName=function, Payload=json.dumps({"exit": leave}))
        return answer.get("FunctionError"), json.loads(answer["Payload"].read())

    failed, answer = invoke(True)
    assert failed == "Unhandled"
    assert answer["errorMessage"].endswith("Runtime exited with error: exit status 3")
    (orphan,) = started(tmp_path)
    soon(lambda: not running(orphan))
    failed, child = invoke(False)
    assert failed is None
    assert running(child), "it stands still with its environment, as on AWS"
    client.delete_function(FunctionName=function)
    soon(lambda: not running(child))


def test_a_handler_that_fills_its_output_holds_up_nobody(aws: Aws) -> None:
    queue, other = aws.queue(VisibilityTimeout=60), aws.queue()
    function = aws.function(
        """
        import os, sys
        def handler(event, context):
            for _ in range(200):
                os.write(1, b"x" * 99_999 + b"\\n")
        """,
        Timeout=30,
    )
    quiet = aws.function("def handler(event, context):\n    return None")
    aws.mapping(queue, function, BatchSize=1)
    aws.mapping(other, quiet)
    start = aws.now()
    sqs = aws.client("sqs")
    for number in range(2):
        sqs.send_message(QueueUrl=queue, MessageBody=str(number))
    sqs.send_message(QueueUrl=other, MessageBody="x")
    began = time.monotonic()
    aws.advance(60)
    assert time.monotonic() - began < 20
    assert aws.counts(queue) == aws.counts(other) == (0, 0)
    aws.advance(60)
    assert sum(aws.metric("AWS/Lambda", "Invocations", "Sum", start, FunctionName=function)) == 2
    assert sum(aws.metric("AWS/Lambda", "Errors", "Sum", start, FunctionName=function)) == 0


@pytest.mark.behaviour("C92", "C97", "F5")
def test_ten_thousand_messages_through_a_handler_that_fails_at_random(aws: Aws, tmp_path: Path) -> None:
    """Each message fails by its id and receive count alone, so that the end of every one is known beforehand."""
    tries, share = 3, 0.3
    dead = aws.queue()
    policy = {"deadLetterTargetArn": aws.queue_arn(dead), "maxReceiveCount": tries}
    queue = aws.queue(VisibilityTimeout=30, RedrivePolicy=policy)
    done_file = tmp_path / "done"
    function = aws.function(
        f"""
        import hashlib, os
        done = os.open({str(done_file)!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        def fails(message, count):
            return int(hashlib.md5((message + count).encode()).hexdigest(), 16) % 1000 < {share * 1000:.0f}
        def handler(event, context):
            failed = [record["messageId"] for record in event["Records"]
                      if fails(record["messageId"], record["attributes"]["ApproximateReceiveCount"])]
            good = [record["messageId"] for record in event["Records"] if record["messageId"] not in failed]
            os.write(done, "".join(message + "\\n" for message in good).encode())
            return {{"batchItemFailures": [{{"itemIdentifier": message}} for message in failed]}}
        """,
        Timeout=5,
    )
    mapping = aws.mapping(queue, function, FunctionResponseTypes=["ReportBatchItemFailures"])
    sqs, start = aws.client("sqs"), aws.now()
    sent: set[str] = set()
    for _ in range(1000):
        entries = [{"Id": str(number), "MessageBody": "x"} for number in range(10)]
        sent.update(
            entry["MessageId"] for entry in sqs.send_message_batch(QueueUrl=queue, Entries=entries)["Successful"]
        )
    assert len(sent) == 10_000
    aws.advance(30 * tries + 30)

    def failures(message: str) -> int:
        def fails(count: int) -> bool:
            return int(hashlib.md5(f"{message}{count}".encode()).hexdigest(), 16) % 1000 < share * 1000

        return next((count for count in range(tries) if not fails(count + 1)), tries)

    expected_dead = {message for message in sent if failures(message) == tries}
    done = done_file.read_text().split()
    assert len(done) == len(set(done)), "no message was processed twice"
    assert set(done) == sent - expected_dead
    assert aws.counts(queue) == (0, 0)
    assert aws.counts(dead) == (len(expected_dead), 0)
    buried: set[str] = set()
    while len(buried) < len(expected_dead):
        messages = sqs.receive_message(QueueUrl=dead, MaxNumberOfMessages=10).get("Messages", [])
        assert messages
        buried.update(message["MessageId"] for message in messages)
    assert buried == expected_dead
    aws.advance(60)
    name, dead_name = queue.rpartition("/")[2], dead.rpartition("/")[2]

    def total(metric: str, name: str) -> float:
        return sum(aws.metric("AWS/SQS", metric, "Sum", start, QueueName=name))

    assert total("NumberOfMessagesSent", name) == len(sent)
    assert total("NumberOfMessagesDeleted", name) == len(done)
    assert total("NumberOfMessagesReceived", name) == sum(min(failures(message) + 1, tries) for message in sent)
    assert total("NumberOfMessagesSent", dead_name) == 0, "a move is no send"
    assert sum(aws.metric("AWS/Lambda", "Errors", "Sum", start, FunctionName=function)) == 0
    aws.client("lambda").delete_event_source_mapping(UUID=mapping)
    for url in (queue, dead):
        sqs.delete_queue(QueueUrl=url)


# Kernels and clients


def test_a_kernel_killed_in_a_wait_leaves_a_server_that_goes_on(
    aws: Aws, busy: tuple[str, str], tmp_path: Path
) -> None:
    queue, function = busy
    before = aws.lab("GET", "/_local/clock")
    with kernel(aws, "print('waits', flush=True)\nlab.wait(300)") as killed:
        assert killed.line() == "waits"
        time.sleep(0.3)
        killed.process.kill()
    after = aws.lab("GET", "/_local/clock")
    assert after["busy"] == before["busy"] >= 1
    assert after["offset"] == pytest.approx(before["offset"], abs=1), "a busy handler holds the clock"
    (tmp_path / GO).touch()
    began = time.monotonic()
    # What the dead kernel had asked for last may still be under way: it leads to the same moment, not beyond it.
    assert aws.lab("POST", "/_local/advance", {"to": before["now"] + 300})["reached"]
    assert time.monotonic() - began < 10
    time.sleep(1.1)
    assert aws.now() - before["now"] == pytest.approx(300, abs=10)
    assert aws.counts(queue) == (0, 0)
    assert sum(aws.metric("AWS/Lambda", "Errors", "Sum", before["now"], FunctionName=function)) == 0


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("lab.wait(300, 'for the report')", "Stopped in a wait of 5 min for the report; time went part of the way."),
        ("lab.wait_until(lambda: False, 300, 'it is done')", "Stopped while waiting until it is done."),
    ],
)
def test_an_interrupted_wait_says_so_and_the_kernel_goes_on(
    aws: Aws, busy: tuple[str, str], tmp_path: Path, call: str, text: str
) -> None:
    code = f"""
        import os, time
        from helpers.errors import Interrupted
        print("waits", flush=True)
        try:
            {call}
        except Interrupted as problem:
            print()
            print(problem, flush=True)
        lab.client("sqs").list_queues()
        start = lab.now()
        print("ready", flush=True)
        while not os.path.exists({str(tmp_path / GO)!r}):
            time.sleep(0.01)
        lab.wait(10)
        print((lab.now() - start).total_seconds() >= 10)
    """
    with kernel(aws, code) as interrupted:
        assert interrupted.line() == "waits"
        time.sleep(0.5)
        interrupted.process.send_signal(signal.SIGINT)
        said = [interrupted.line()]
        while said[-1] != "ready":
            assert interrupted.process.poll() is None, said
            said.append(interrupted.line())
        assert text in said
        (tmp_path / GO).touch()
        assert interrupted.rest().splitlines()[-1] == "True"
        assert interrupted.process.returncode == 0


def test_two_kernels_share_one_space_and_neither_undoes_the_others_time(aws: Aws) -> None:
    name = aws.name("shared")
    code = f"""
        sqs = lab.client("sqs")
        url = sqs.create_queue(QueueName=lab.name({name!r}))["QueueUrl"]
        print("ready", flush=True)
        short = 0
        for number in range(20):
            sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=5)
            before = lab.now()
            lab.wait(10)
            short += (lab.now() - before).total_seconds() < 10
        print()
        print("short", short, flush=True)
        print(url)
    """
    before = aws.now()
    with kernel(aws, code) as one, kernel(aws, code) as two:
        assert one.line() == two.line() == "ready"
        ends = [each.rest().splitlines()[-2:] for each in (one, two)]
    assert ends[0] == ends[1]
    assert ends[0][0] == "short 0"
    assert 200 <= aws.now() - before < 430, "the waits of both, side by side or after one another"
    assert aws.counts(ends[0][1]) == (40, 0)


def test_a_client_that_hangs_up_in_a_long_poll_takes_no_message(aws: Aws) -> None:
    queue = aws.queue(VisibilityTimeout=600)
    address = urlsplit(aws.info.url)
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "AmazonSQS.ReceiveMessage",
    }
    body = json.dumps({"QueueUrl": queue, "WaitTimeSeconds": 20}).encode()
    request = AWSRequest("POST", aws.info.url + "/", data=body, headers=headers)
    SigV4Auth(Credentials(aws.info.access_key, aws.info.secret_key), "sqs", aws.info.region).add_auth(request)
    for _ in range(3):
        connection = http.client.HTTPConnection(address.hostname or "", address.port)
        connection.request("POST", "/", body, dict(request.headers.items()))
        time.sleep(0.1)
        connection.close()
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="precious")
    assert aws.counts(queue) == (1, 0)
    (message,) = aws.client("sqs").receive_message(
        QueueUrl=queue, MessageSystemAttributeNames=["ApproximateReceiveCount"], WaitTimeSeconds=1
    )["Messages"]
    assert message["Attributes"] == {"ApproximateReceiveCount": "1"}


def test_a_client_that_hangs_up_in_an_invocation_changes_nothing_for_the_handler(aws: Aws, tmp_path: Path) -> None:
    function = aws.function(BUSY, Timeout=30, Environment={"Variables": {"FOLDER": str(tmp_path)}})
    patience = Config(read_timeout=0.5, retries={"total_max_attempts": 1}, proxies={})
    impatient = aws.client("lambda", config=patience)
    start = aws.now()
    with pytest.raises(ReadTimeoutError):
        impatient.invoke(FunctionName=function)
    (tmp_path / GO).touch()
    aws.advance(60)
    assert sum(aws.metric("AWS/Lambda", "Invocations", "Sum", start, FunctionName=function)) == 1
    assert sum(aws.metric("AWS/Lambda", "Errors", "Sum", start, FunctionName=function)) == 0
    assert any(event["message"].startswith("REPORT") for event in aws.log(function))
