"""Functions and execution environments: the operations, driven against real processes in a small space."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from helpers.local_aws import environment, environments, functions
from helpers.local_aws.clock import Clock, Scheduler
from helpers.local_aws.errors import ApiError
from helpers.local_aws.functions import Functions, Outcome, Throttled
from helpers.local_aws.lambda_api import OPERATIONS
from helpers.local_aws.logs import Logs
from helpers.local_aws.protocol import Call, Later
from helpers.local_aws.space import Identity, Space

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/orders"
PATIENCE = 20.0


class FakeSpace:
    """A space with real time, functions and logs; everything is allowed, and no metric is kept."""

    def __init__(self, workdir: Path) -> None:
        self.account, self.region, self.workdir, self.url = ACCOUNT, REGION, workdir, "http://127.0.0.1:9"
        self.clock = Clock()
        self.scheduler = Scheduler(self.clock)
        self.written: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        self.permissions = SimpleNamespace(
            check=lambda identity, action, resource, context=None: None,
            role_allows=lambda role, action, resource: True,
            role_trusts=lambda role, service: True,
            role_credentials=lambda role, session: SimpleNamespace(
                access_key="ASIAEXAMPLE", secret_key="secret", session_token="token"
            ),
        )
        self.control = SimpleNamespace(
            log_group_exists=lambda group: any(group == known for known, _ in self.written),
            put_log_events=lambda group, stream, events: self.written[group, stream].extend(events),
        )
        self.metrics = SimpleNamespace(add=lambda *sample: None)
        self.events = SimpleNamespace(publish=lambda *_, **__: None)
        self.logs = Logs(cast(Space, self))
        self.functions = Functions(cast(Space, self))

    def arn(self, service: str, resource: str) -> str:
        """Return an ARN of this account."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


class Lab:
    """What a test works with: calls, and the log."""

    def __init__(self, space: FakeSpace) -> None:
        self.space = space
        self.identity = Identity(f"arn:aws:iam::{ACCOUNT}:user/learner", "AIDAEXAMPLE")

    def begin(self, operation: str, **params: Any) -> Any:
        """Begin a call; the answer may come later."""
        with self.space.scheduler.lock:
            return OPERATIONS[operation].run(Call(cast(Space, self.space), self.identity, operation, params))

    def call(self, operation: str, **params: Any) -> dict[str, Any]:
        """Make a call and return its answer."""
        answer = self.begin(operation, **params)
        if isinstance(answer, Later):
            assert answer.wait(PATIENCE), "no answer"
            return answer.get()
        return cast("dict[str, Any]", answer)

    def create(self, code: str, name: str = "orders", **params: Any) -> dict[str, Any]:
        """Create a function of one module, and wait until it is active."""
        members = {"Runtime": "python3.13", "Role": ROLE, "Handler": "app.handler", **params}
        answer = self.call("CreateFunction", FunctionName=name, Code={"ZipFile": packed(code)}, **members)
        self.wait(1)
        return answer

    def wait(self, seconds: float) -> None:
        """Advance the clock."""
        assert self.space.scheduler.advance(self.space.clock.now() + seconds, PATIENCE)

    def invoke(self, event: Any = None, name: str = "orders", **params: Any) -> Any:
        """Invoke and return the parsed payload."""
        answer = self.call("Invoke", FunctionName=name, Payload=json.dumps(event).encode(), **params)
        return json.loads(answer["Payload"])

    def log(self) -> list[str]:
        """Return all log events, in order."""
        self.space.logs.flush()
        return [text for events in self.space.written.values() for _, text in events]


def packed(code: str, name: str = "app.py") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(name, code)
    return data.getvalue()


def refusal(call: Callable[..., Any], *args: Any, **params: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call(*args, **params)
    return caught.value


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    space = FakeSpace(tmp_path)
    space.scheduler.start()
    yield Lab(space)
    space.functions.close()
    space.scheduler.stop()
    shutil.rmtree(tmp_path, ignore_errors=True)


ECHO = """
count = 0
def handler(event, context):
    global count
    count += 1
    return {"count": count}
"""


def test_a_handlers_own_processes_count_as_its_memory(lab: Lab) -> None:
    code = """
import subprocess, sys
def handler(event, context):
    subprocess.run([sys.executable, "-c", "import time; data = b'x' * 300_000_000; time.sleep(10)"])
"""
    lab.create(code, Timeout=9)
    assert lab.invoke()["errorMessage"].endswith("signal: killed")


def _zip_with(name: str, mode: int = 0) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        archive.writestr(entry, "target")
    return data.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        _zip_with("../out.py"),
        _zip_with("/out.py"),
        _zip_with("link", 0o120777),
    ],
)
@pytest.mark.behaviour("D7")
def test_zip_files_that_reach_out_of_their_folder(lab: Lab, data: bytes) -> None:
    params = {"Runtime": "python3.13", "Role": ROLE, "Handler": "app.handler", "FunctionName": "orders"}
    problem = refusal(lab.call, "CreateFunction", Code={"ZipFile": data}, **params)
    assert problem.message == "Could not unzip uploaded file. Please check your file, then try to upload again."


@pytest.mark.behaviour("D32", "D42")
def test_without_unreserved_concurrency_only_functions_with_their_own_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(functions, "ACCOUNT_CONCURRENCY", 101)
    monkeypatch.setattr(functions, "LEAST_UNRESERVED", 0)
    lab.create("def handler(event, context): return 'mine'")
    lab.create("def handler(event, context): return 'other'", name="other")
    lab.call("PutFunctionConcurrency", FunctionName="orders", ReservedConcurrentExecutions=101)
    with pytest.raises(Throttled) as caught:
        lab.call("Invoke", FunctionName="other")
    assert caught.value.fields["Reason"] == "ConcurrentInvocationLimitExceeded"
    assert lab.invoke() == "mine"


def test_beyond_the_machine_cap_invocations_wait(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "MACHINE_CAP", 2)
    lab.create("def handler(event, context): return event")
    lab.create("def handler(event, context): return event", name="second")
    answers = [lab.begin("Invoke", FunctionName="orders", Payload=str(n).encode()) for n in range(5)]
    answers.append(lab.begin("Invoke", FunctionName="second", Payload=b"5"))
    assert all(answer.wait(PATIENCE) for answer in answers)
    assert [answer.get()["Payload"] for answer in answers] == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert lab.space.functions.environment_count <= 2


def test_the_handlers_clock_agrees_with_the_spaces(lab: Lab) -> None:
    code = """
import datetime, time
def handler(event, context):
    now = datetime.datetime.now(datetime.timezone.utc)
    return [time.time(), now.timestamp(), context.get_remaining_time_in_millis()]
"""
    lab.create(code, Timeout=30)
    for ahead in (0, 300, 7200):
        lab.wait(ahead)
        before = lab.space.clock.now()
        seen = lab.invoke()
        after = lab.space.clock.now()
        assert before - 0.01 <= seen[1] <= seen[0] + 0.001 <= after + 0.01
        assert 29_000 < seen[2] <= 30_000


def test_idle_environments_end_after_ten_minutes(lab: Lab) -> None:
    lab.create(ECHO)
    lab.invoke()
    lab.wait(599)
    assert lab.space.functions.environment_count == 1
    lab.wait(2)
    give_up = time.monotonic() + PATIENCE
    while lab.space.functions.environment_count and time.monotonic() < give_up:
        time.sleep(0.01)
    assert lab.space.functions.environment_count == 0
    assert lab.invoke()["count"] == 1


def test_nothing_is_left_of_a_handlers_own_processes(lab: Lab) -> None:
    code = """
import subprocess
def handler(event, context):
    return subprocess.Popen(["sleep", "600"]).pid
"""
    lab.create(code)
    pid = lab.invoke()
    assert psutil.pid_exists(pid)
    lab.space.functions.close()
    give_up = time.monotonic() + PATIENCE
    while _lives(pid) and time.monotonic() < give_up:
        time.sleep(0.01)
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_closing_answers_what_still_runs(lab: Lab) -> None:
    lab.create("import time\ndef handler(event, context):\n    time.sleep(60)", Timeout=60)
    running = lab.begin("Invoke", FunctionName="orders")
    lab.space.functions.close()
    assert running.wait(PATIENCE)
    assert lab.space.scheduler.busy == 0


def test_the_runtime_client_in_pure_python(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_AWS_PURE_RUNTIME_CLIENT", "1")
    lab.create(ECHO)
    assert [lab.invoke(n)["count"] for n in range(3)] == [1, 2, 3]


def test_done_is_called_under_the_lock_and_may_invoke_again(lab: Lab) -> None:
    lab.create(ECHO)
    version = lab.space.functions.resolve("orders")
    outcomes: list[Outcome] = []
    ended = threading.Event()

    def done(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) < 20:
            version.invoke(b"1", done, source="test")
        else:
            ended.set()

    with lab.space.scheduler.lock:
        version.invoke(b"0", done, source="test")
        assert lab.space.scheduler.busy == 1
    assert ended.wait(PATIENCE)
    with lab.space.scheduler.lock:
        assert lab.space.scheduler.busy == 0
    assert [json.loads(outcome.payload)["count"] for outcome in outcomes] == list(range(1, 21))


@pytest.mark.behaviour("D58", "D72")
def test_an_init_that_takes_too_long_is_repeated_under_the_functions_timeout(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "INIT_LIMIT", 0.4)
    lab.create("import time\ntime.sleep(0.7)\ndef handler(event, context): return 'late'", Timeout=3)
    assert lab.invoke() == "late"
    log = lab.log()
    assert re.fullmatch(r"INIT_REPORT Init Duration: 4\d\d\.\d\d ms\tPhase: init\tStatus: timeout\n", log[1])
    assert "Init Duration" not in log[-1]
    duration = re.search(r"\tDuration: (\S+) ms", log[-1])
    assert duration is not None
    assert float(duration[1]) > 700


def test_a_handler_that_prints_without_end_can_still_be_timed_out(lab: Lab) -> None:
    lab.create("def handler(event, context):\n    while True: print('x' * 500)", Timeout=1)
    lab.create("def handler(event, context): return 1", name="other")
    endless = lab.begin("Invoke", FunctionName="orders")
    assert lab.invoke(name="other") == 1
    assert endless.wait(PATIENCE)
    assert json.loads(endless.get()["Payload"])["errorType"] == "Sandbox.Timedout"


_SERVER = """
import sys, time
from pathlib import Path
from tests.test_functions_unit import FakeSpace, Lab
folder = Path(sys.argv[1])
space = FakeSpace(folder)
space.scheduler.start()
lab = Lab(space)
CODE = '''
import os, subprocess
def handler(event, context):
    child = subprocess.Popen(["sleep", "600"])
    if event:
        open(event, "w").write(f"{os.getpid()} {child.pid}")
        while True: pass
    return [os.getpid(), child.pid]
'''
lab.create(CODE, name="frozen")
lab.create(CODE, name="running", Timeout=600)
frozen = lab.invoke(name="frozen")
note = folder / "note"
lab.begin("Invoke", FunctionName="running", Payload=f'"{note}"'.encode())
while not note.exists() or not note.read_text():
    time.sleep(0.01)
print(*frozen, note.read_text(), space.functions.environments.spawner._guard.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_nothing_outlives_a_killed_server(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[1]
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(tmp_path)], cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    pids = [int(pid) for pid in server.stdout.readline().split()]
    assert len(pids) == 5
    assert all(_lives(pid) for pid in pids)
    server.kill()
    server.wait()
    give_up = time.monotonic() + PATIENCE
    while any(_lives(pid) for pid in pids) and time.monotonic() < give_up:
        time.sleep(0.02)
    assert [pid for pid in pids if _lives(pid)] == []
