"""Functions and execution environments: the operations, driven against real processes in a small space."""

from __future__ import annotations

import base64
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from helpers.local_aws import environments
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
    """A space with real time, functions and logs; rights, control plane and metrics only take note."""

    def __init__(self, workdir: Path) -> None:
        self.account, self.region, self.workdir, self.url = ACCOUNT, REGION, workdir, "http://127.0.0.1:9"
        self.clock = Clock()
        self.scheduler = Scheduler(self.clock)
        self.denied: set[str] = set()
        self.trusted = {ROLE}
        self.written: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        self.samples: list[tuple[str, dict[str, str], float, float]] = []
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.permissions = SimpleNamespace(
            check=lambda identity, action, resource: None,
            role_allows=lambda role, action, resource: action not in self.denied,
            role_trusts=lambda role, service: role in self.trusted and service == "lambda.amazonaws.com",
            role_credentials=lambda role, session: SimpleNamespace(
                access_key="ASIAEXAMPLE", secret_key="secret", session_token="token"
            ),
        )
        self.control = SimpleNamespace(
            log_group_exists=lambda group: any(group == known for known, _ in self.written),
            put_log_events=lambda group, stream, events: self.written[group, stream].extend(events),
        )
        self.metrics = SimpleNamespace(add=self._add)
        queue = SimpleNamespace(send=lambda draft, sender: self.sent.append((draft.body, draft.attributes)))
        self.queues = SimpleNamespace(by_arn=lambda arn: queue)
        self.logs = Logs(cast(Space, self))
        self.functions = Functions(cast(Space, self))

    def arn(self, service: str, resource: str) -> str:
        """Return an ARN of this account."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def _add(
        self,
        namespace: str,
        name: str,
        dimensions: dict[str, str],
        value: float,
        unit: str = "Count",
        at: float | None = None,
    ) -> None:
        assert namespace == "AWS/Lambda"
        self.samples.append((name, dimensions, value, self.clock.now() if at is None else at))


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

    def create(self, code: str, name: str = "orders", *, wait: bool = True, **params: Any) -> dict[str, Any]:
        """Create a function of one module."""
        members = {"Runtime": "python3.13", "Role": ROLE, "Handler": "app.handler", **params}
        answer = self.call("CreateFunction", FunctionName=name, Code={"ZipFile": packed(code)}, **members)
        if wait:
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

    def streams(self) -> list[str]:
        """Return the names of the log streams."""
        self.space.logs.flush()
        return [stream for _, stream in self.space.written]

    def metric(self, name: str, **dimensions: str) -> list[float]:
        """Return the values added to one metric."""
        return [value for known, dims, value, _ in self.space.samples if known == name and dims == dimensions]


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
import json, os, time
print("loading")
count = 0
def handler(event, context):
    global count
    count += 1
    print("got", event)
    return {"event": event, "count": count, "id": context.aws_request_id}
"""


@pytest.mark.behaviour("D1", "D2")
def test_a_new_function_is_pending_and_then_active(lab: Lab) -> None:
    created = lab.create(ECHO, wait=False)
    assert created["State"] == "Pending"
    assert created["StateReasonCode"] == "Creating"
    assert "LastUpdateStatus" not in created
    assert (created["MemorySize"], created["Timeout"], created["Version"]) == (128, 3, "$LATEST")
    assert created["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/aws/lambda/orders"}
    lab.wait(1)
    active = lab.call("GetFunctionConfiguration", FunctionName="orders")
    assert (active["State"], active["LastUpdateStatus"]) == ("Active", "Successful")
    assert "StateReason" not in active


@pytest.mark.behaviour("D3")
def test_nothing_but_reading_is_allowed_while_pending(lab: Lab) -> None:
    lab.create(ECHO, wait=False)
    for operation, params in (("Invoke", {}), ("PublishVersion", {}), ("UpdateFunctionConfiguration", {"Timeout": 5})):
        problem = refusal(lab.call, operation, FunctionName="orders", **params)
        assert (problem.code, problem.status) == ("ResourceConflictException", 409)
        assert problem.message.endswith("The function is currently in the following state: Pending")


@pytest.mark.behaviour("D13", "D55", "D59")
def test_warm_invocations_share_one_environment(lab: Lab) -> None:
    lab.create(ECHO)
    answer = lab.call("Invoke", FunctionName="orders", Payload=b'{"a": 1}')
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in answer
    first = json.loads(answer["Payload"])
    assert (first["event"], first["count"]) == ({"a": 1}, 1)
    assert [lab.invoke(n)["count"] for n in range(2, 6)] == [2, 3, 4, 5]
    assert len(lab.streams()) == 1


@pytest.mark.behaviour("D13")
def test_none_is_null(lab: Lab) -> None:
    lab.create("def handler(event, context): pass")
    assert lab.call("Invoke", FunctionName="orders")["Payload"] == b"null"


@pytest.mark.behaviour("D62", "D63", "D65")
def test_the_log_of_a_cold_and_a_warm_invocation(lab: Lab) -> None:
    lab.create(ECHO)
    one, two = lab.invoke({"n": 1})["id"], lab.invoke({"n": 2})["id"]
    log = lab.log()
    assert re.fullmatch(r"INIT_START Runtime Version: python:3\.13\.v\d+\tRuntime Version ARN: arn:\S+\n", log[0])
    assert log[1:4] == ["loading\n", f"START RequestId: {one} Version: $LATEST\n", "got {'n': 1}\n"]
    assert log[4] == f"END RequestId: {one}\n"
    cold = (
        rf"REPORT RequestId: {one}\tDuration: (\d+\.\d\d) ms\tBilled Duration: (\d+) ms\tMemory Size: 128 MB\t"
        r"Max Memory Used: \d+ MB\tInit Duration: (\d+\.\d\d) ms\t\n"
    )
    match = re.fullmatch(cold, log[5])
    assert match is not None, log[5]
    assert int(match[2]) - 1 < float(match[1]) + float(match[3]) <= int(match[2])
    assert log[6] == f"START RequestId: {two} Version: $LATEST\n"
    assert "Init Duration" not in log[-1]
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", lab.streams()[0])


@pytest.mark.behaviour("D31")
def test_the_tail_of_the_log(lab: Lab) -> None:
    lab.create("def handler(event, context):\n    print('x' * 5000)\n    print('last')")
    answer = lab.call("Invoke", FunctionName="orders", LogType="Tail")
    tail = base64.b64decode(answer["LogResult"])
    assert len(tail) == 4096
    assert b"xxx\nlast\nEND RequestId" in tail


@pytest.mark.behaviour("D19", "D20", "D69")
def test_an_exception(lab: Lab) -> None:
    lab.create("class Bad(Exception): pass\ndef handler(event, context):\n    raise Bad('no stock')\n")
    answer = lab.call("Invoke", FunctionName="orders")
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    error = json.loads(answer["Payload"])
    assert list(error) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert (error["errorMessage"], error["errorType"]) == ("no stock", "Bad")
    assert error["stackTrace"] == ["  File \"/var/task/app.py\", line 3, in handler\n    raise Bad('no stock')\n"]
    (line,) = (text for text in lab.log() if text.startswith("[ERROR]"))
    assert line.startswith("[ERROR] Bad: no stock\nTraceback (most recent call last):\n")
    assert '\u00a0\u00a0File "/var/task/app.py", line 3' in line


@pytest.mark.parametrize(
    ("code", "handler", "error_type", "message"),
    [
        pytest.param(
            "import pandas",
            "app.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'app': No module named 'pandas'",
            marks=pytest.mark.behaviour("D22"),
        ),
        pytest.param(
            "",
            "app.other",
            "Runtime.HandlerNotFound",
            "Handler 'other' missing on module 'app'",
            marks=pytest.mark.behaviour("D23"),
        ),
        pytest.param(
            "",
            "app",
            "Runtime.MalformedHandlerName",
            "Bad handler 'app': not enough values to unpack (expected 2, got 1)",
            marks=pytest.mark.behaviour("D24"),
        ),
        pytest.param(
            "def f(:",
            "app.f",
            "Runtime.UserCodeSyntaxError",
            "Syntax error in module 'app'",
            marks=pytest.mark.behaviour("D25"),
        ),
        pytest.param("1 / 0", "app.f", "ZeroDivisionError", "division by zero", marks=pytest.mark.behaviour("D21")),
    ],
)
def test_a_failing_init(lab: Lab, code: str, handler: str, error_type: str, message: str) -> None:
    lab.create(code, Handler=handler)
    error = lab.invoke()
    assert error["errorType"] == error_type
    assert error["errorMessage"].startswith(message)
    assert error["requestId"] == ""


@pytest.mark.behaviour("D51", "D58", "D72")
def test_a_failing_init_is_repeated_in_the_invocation(lab: Lab) -> None:
    lab.create("raise ValueError('no table')")
    answer = lab.call("Invoke", FunctionName="orders")
    assert answer["FunctionError"] == "Unhandled"
    log = [text for text in lab.log() if not text.startswith("[")]
    assert [text.split(" ")[0] for text in log] == [
        "INIT_START",
        "INIT_REPORT",
        "INIT_REPORT",
        "START",
        "END",
        "REPORT",
    ]
    assert re.search(
        r"^INIT_REPORT Init Duration: \S+ ms\tPhase: init\tStatus: error\tError Type: ValueError\n$", log[1]
    )
    assert "\tPhase: invoke\tStatus: error\tError Type: ValueError" in log[2]
    assert "\tStatus: error\tError Type: ValueError\n" in log[-1]


@pytest.mark.behaviour("D26")
def test_a_result_that_is_not_json(lab: Lab) -> None:
    lab.create("def handler(event, context):\n    return {1, 2}")
    error = lab.invoke()
    assert error["errorType"] == "Runtime.MarshalError"
    assert error["errorMessage"] == "Unable to marshal response: Object of type set is not JSON serializable"


@pytest.mark.behaviour("D27", "D66", "D68")
def test_a_timeout(lab: Lab) -> None:
    lab.create("import time\ndef handler(event, context):\n    time.sleep(30)", Timeout=1)
    answer = lab.call("Invoke", FunctionName="orders")
    error = json.loads(answer["Payload"])
    assert error["errorType"] == "Sandbox.Timedout"
    assert re.fullmatch(r"RequestId: \S{36} Error: Task timed out after 1\.00 seconds", error["errorMessage"])
    log = lab.log()
    assert any(re.match(r"\d{4}-\S+Z \S{36} Task timed out after 1\.00 seconds\n", text) for text in log)
    assert "\tDuration: 1000.00 ms\t" in log[-1]
    assert log[-1].endswith("\tStatus: timeout\n")


@pytest.mark.behaviour("D56", "D60")
def test_after_a_timeout_globals_are_lost_and_the_temporary_folder_is_kept(lab: Lab) -> None:
    lab.create(
        """
import os, tempfile, time
state = 0
def handler(event, context):
    global state
    note = os.path.join(tempfile.gettempdir(), "note")
    if event == "hang":
        state = 42
        open(note, "w").write("kept")
        time.sleep(30)
    return [state, os.path.exists(note)]
""",
        Timeout=1,
    )
    lab.invoke("hang")
    assert lab.invoke() == [0, True]
    assert len(lab.streams()) == 1
    assert "Init Duration" not in lab.log()[-1]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys\ndef handler(event, context): sys.exit()", "Runtime exited without providing a reason"),
        ("import sys\nsys.exit()", "Runtime exited without providing a reason"),
        ("import os\ndef handler(event, context): os._exit(127)", "Runtime exited with error: exit status 127"),
    ],
)
@pytest.mark.behaviour("D28")
def test_the_process_ends(lab: Lab, code: str, reason: str) -> None:
    lab.create(code)
    error = lab.invoke()
    assert list(error) == ["errorType", "errorMessage"]
    assert error["errorType"] == "Runtime.ExitError"
    assert re.fullmatch(rf"RequestId: \S{{36}} Error: {reason}", error["errorMessage"])
    assert lab.log()[-1].endswith("\tStatus: error\tError Type: Runtime.ExitError\n")


@pytest.mark.behaviour("D29")
def test_out_of_memory(lab: Lab) -> None:
    lab.create(
        "import time\ndef handler(event, context):\n    data = b'x' * 300_000_000\n    time.sleep(5)\n    return 1"
    )
    error = lab.invoke()
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("Error: Runtime exited with error: signal: killed")
    report = lab.log()[-1]
    assert "\tMax Memory Used: 128 MB\t" in report
    assert report.endswith("\tStatus: error\tError Type: Runtime.OutOfMemory\n")


def test_a_handlers_own_processes_count_as_its_memory(lab: Lab) -> None:
    code = """
import subprocess, sys
def handler(event, context):
    subprocess.run([sys.executable, "-c", "import time; data = b'x' * 300_000_000; time.sleep(10)"])
"""
    lab.create(code, Timeout=9)
    assert lab.invoke()["errorMessage"].endswith("signal: killed")


@pytest.mark.behaviour("D16", "D17", "D18")
def test_payloads_that_are_too_large_or_no_json(lab: Lab) -> None:
    lab.create("def handler(event, context):\n    return 'x' * event")
    assert len(lab.invoke(6_000_000)) == 6_000_000
    assert lab.invoke(6_291_600) == {
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        "errorType": "Function.ResponseSizeTooLarge",
    }
    problem = refusal(lab.call, "Invoke", FunctionName="orders", Payload=b"hello")
    assert problem.code == "InvalidRequestContentException"
    assert problem.message.startswith("Could not parse request body into json: Could not parse payload into json: ")
    problem = refusal(lab.call, "Invoke", FunctionName="orders", Payload=b"1" * 6_291_457)
    assert (problem.code, problem.status) == ("RequestTooLargeException", 413)


@pytest.mark.behaviour("D16")
def test_a_large_event_arrives_whole(lab: Lab) -> None:
    lab.create("def handler(event, context):\n    return len(event)", Timeout=20)
    assert lab.invoke("x" * 6_000_000) == 6_000_000


@pytest.mark.behaviour("D15", "D11")
def test_dry_run_and_unknown_function(lab: Lab) -> None:
    lab.create(ECHO)
    assert lab.call("Invoke", FunctionName="orders", InvocationType="DryRun")["StatusCode"] == 204
    problem = refusal(lab.call, "Invoke", FunctionName="other", Qualifier="$LATEST")
    assert (problem.code, problem.status) == ("ResourceNotFoundException", 404)
    assert problem.message == f"Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:other:$LATEST"


@pytest.mark.behaviour("D8", "D9", "D10")
def test_refused_creations(lab: Lab) -> None:
    problem = refusal(lab.create, ECHO, Role="r1")
    assert problem.message.startswith(
        "1 validation error detected: Value 'r1' at 'role' failed to satisfy constraint: "
    )
    problem = refusal(lab.create, ECHO, Runtime="non-existent-runtime")
    assert problem.message.startswith("Value non-existent-runtime at 'runtime' failed to satisfy constraint: ")
    problem = refusal(lab.create, ECHO, Runtime="nodejs22.x")
    assert problem.message.startswith("The local AWS runs Python functions only")
    lab.create(ECHO)
    problem = refusal(lab.create, ECHO)
    assert (problem.code, problem.status) == ("ResourceConflictException", 409)
    assert problem.message == "Function already exist: orders"


@pytest.mark.behaviour("E2")
def test_a_role_that_lambda_cannot_assume(lab: Lab) -> None:
    problem = refusal(lab.create, ECHO, Role=f"arn:aws:iam::{ACCOUNT}:role/unknown")
    assert problem.code == "InvalidParameterValueException"
    assert problem.message == "The role defined for the function cannot be assumed by Lambda."


@pytest.mark.behaviour("D5")
def test_timeout_and_memory_have_limits(lab: Lab) -> None:
    problem = refusal(lab.create, ECHO, Timeout=901)
    assert problem.message == (
        "1 validation error detected: Value '901' at 'timeout' failed to satisfy constraint: "
        "Member must have value less than or equal to 900"
    )
    assert "greater than or equal to 128" in refusal(lab.create, ECHO, MemorySize=64).message


@pytest.mark.behaviour("D6", "D53")
def test_environment_variables_have_limits(lab: Lab) -> None:
    problem = refusal(lab.create, ECHO, Environment={"Variables": {"BIG": "x" * 4100}})
    assert "exceeded the 4KB limit. String measured: {" in problem.message
    problem = refusal(lab.create, ECHO, Environment={"Variables": {"AWS_REGION": "eu-west-1"}})
    assert problem.message.endswith("Reserved keys used in this request: AWS_REGION")


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
        b"not a zip file",
        b"PK\x03\x04 broken",
        _zip_with("../out.py"),
        _zip_with("/out.py"),
        _zip_with("link", 0o120777),
    ],
)
@pytest.mark.behaviour("D7")
def test_bad_zip_files(lab: Lab, data: bytes) -> None:
    params = {"Runtime": "python3.13", "Role": ROLE, "Handler": "app.handler", "FunctionName": "orders"}
    problem = refusal(lab.call, "CreateFunction", Code={"ZipFile": data}, **params)
    assert problem.message == "Could not unzip uploaded file. Please check your file, then try to upload again."


@pytest.mark.behaviour("D7")
def test_a_zip_file_that_grows_too_large(lab: Lab) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"big{number}", b"\0" * 100_000_000)
    params = {"Runtime": "python3.13", "Role": ROLE, "Handler": "app.handler", "FunctionName": "orders"}
    problem = refusal(lab.call, "CreateFunction", Code={"ZipFile": data.getvalue()}, **params)
    assert problem.message == "Unzipped size must be smaller than 262144000 bytes"


@pytest.mark.behaviour("D52")
def test_the_environment_variables(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "1")
    lab.create(
        "import os\ndef handler(event, context):\n    return dict(os.environ)",
        Environment={"Variables": {"TABLE": "t"}},
    )
    seen = lab.invoke()
    assert "SECRET_OF_THE_SERVER" not in seen
    assert not [name for name in seen if name.startswith("_LOCAL")]
    expected = {
        "TABLE": "t",
        "AWS_LAMBDA_FUNCTION_NAME": "orders",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/orders",
        "AWS_LAMBDA_LOG_STREAM_NAME": lab.streams()[0],
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
        "AWS_SESSION_TOKEN": "token",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "_HANDLER": "app.handler",
        "TZ": ":UTC",
    }
    assert expected.items() <= seen.items()
    assert re.match(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", seen["_X_AMZN_TRACE_ID"])


@pytest.mark.behaviour("D54")
def test_the_context(lab: Lab) -> None:
    lab.create(
        """
def handler(event, context):
    return [context.function_name, context.function_version, context.invoked_function_arn, context.memory_limit_in_mb,
            context.log_group_name, context.get_remaining_time_in_millis(), context.client_context.custom]
""",
        Timeout=9,
        MemorySize=256,
    )
    client_context = base64.b64encode(b'{"custom": {"a": 1}}').decode()
    seen = lab.invoke(ClientContext=client_context)
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:orders"
    assert seen[:5] == ["orders", "$LATEST", arn, "256", "/aws/lambda/orders"]
    assert 8000 < seen[5] <= 9000
    assert seen[6] == {"a": 1}


def test_a_handler_sees_the_packages_of_the_runtime_and_no_others(lab: Lab) -> None:
    code = """
import importlib
def handler(event, context):
    found = []
    for name in ("boto3", "botocore", "urllib3", "dateutil", "six", "moto", "numpy", "helpers", "pytest"):
        try:
            importlib.import_module(name)
            found.append(name)
        except ImportError:
            pass
    return found
"""
    lab.create(code, Timeout=30, MemorySize=256)
    assert lab.invoke() == ["boto3", "botocore", "urllib3", "dateutil", "six"]


@pytest.mark.behaviour("D70")
def test_prints_and_log_records_keep_their_order(lab: Lab) -> None:
    lab.create(
        """
import logging, sys
log = logging.getLogger()
def handler(event, context):
    print("one")
    log.warning("two\\nlines")
    print("three", file=sys.stderr)
    log.info("not shown")
    print("four", end="")
"""
    )
    lab.invoke()
    log = lab.log()
    start = next(n for n, text in enumerate(log) if text.startswith("START"))
    assert log[start + 1] == "one\n"
    assert re.fullmatch(r"\[WARNING\]\t\S+Z\t\S{36}\ttwo\nlines\n", log[start + 2])
    assert log[start + 3 : start + 5] == ["three\n", "four"]
    assert log[start + 5].startswith("END")


@pytest.mark.behaviour("D71")
def test_the_json_log_format(lab: Lab) -> None:
    code = "import logging\ndef handler(event, context):\n    logging.getLogger('shop').info('hello')"
    lab.create(code, LoggingConfig={"LogFormat": "JSON"})
    lab.invoke()
    lines = [json.loads(text) for text in lab.log()]
    kinds = [line.get("type") or line["level"] for line in lines]
    assert kinds == ["platform.initStart", "platform.start", "INFO", "platform.report"]
    assert lines[2]["message"] == "hello"
    assert lines[3]["record"]["status"] == "success"
    assert lines[3]["record"]["metrics"]["initDurationMs"] > 0


def test_megabytes_of_output_block_nothing(lab: Lab) -> None:
    lab.create("def handler(event, context):\n    for n in range(30_000):\n        print('x' * 99)", Timeout=30)
    assert lab.invoke() is None
    assert lab.log().count("x" * 99 + "\n") == 30_000


@pytest.mark.behaviour("E8")
def test_without_rights_to_log_the_function_runs_and_nothing_is_written(lab: Lab) -> None:
    lab.space.denied.add("logs:PutLogEvents")
    lab.create(ECHO)
    assert lab.invoke()["count"] == 1
    assert lab.log() == []


@pytest.mark.behaviour("D32", "D41")
def test_reserved_concurrency_throttles(lab: Lab) -> None:
    lab.create("import time\ndef handler(event, context):\n    time.sleep(0.5)")
    lab.call("PutFunctionConcurrency", FunctionName="orders", ReservedConcurrentExecutions=1)
    running = lab.begin("Invoke", FunctionName="orders")
    with pytest.raises(Throttled) as caught:
        lab.call("Invoke", FunctionName="orders")
    problem = caught.value
    assert (problem.code, problem.status, problem.message) == ("TooManyRequestsException", 429, "Rate Exceeded.")
    assert problem.fields == {"Type": "User", "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}
    assert running.wait(PATIENCE)
    lab.call("PutFunctionConcurrency", FunctionName="orders", ReservedConcurrentExecutions=0)
    assert refusal(lab.call, "Invoke", FunctionName="orders").status == 429
    assert sum(lab.metric("Throttles", FunctionName="orders")) == 2
    assert sum(lab.metric("Invocations", FunctionName="orders")) == 1


@pytest.mark.behaviour("D40", "D43", "D44")
def test_reserving_concurrency(lab: Lab) -> None:
    lab.create(ECHO)
    assert lab.call("GetFunctionConcurrency", FunctionName="orders") == {}
    problem = refusal(lab.call, "PutFunctionConcurrency", FunctionName="orders", ReservedConcurrentExecutions=901)
    assert problem.message.endswith("UnreservedConcurrentExecution below its minimum value of [100].")
    lab.call("PutFunctionConcurrency", FunctionName="orders", ReservedConcurrentExecutions=900)
    assert lab.call("GetFunctionConcurrency", FunctionName="orders") == {"ReservedConcurrentExecutions": 900}
    assert lab.call("GetAccountSettings")["AccountLimit"]["UnreservedConcurrentExecutions"] == 100
    problem = refusal(lab.call, "PutFunctionConcurrency", FunctionName="orders:1", ReservedConcurrentExecutions=1)
    assert problem.message.startswith("This operation is permitted on Lambda functions only.")
    lab.call("DeleteFunctionConcurrency", FunctionName="orders")
    assert lab.space.functions.reserved_concurrency("orders") is None


@pytest.mark.behaviour("D4")
def test_an_update_is_in_progress_and_then_there(lab: Lab) -> None:
    lab.create("def handler(event, context): return 'old'")
    assert lab.invoke() == "old"
    updating = lab.call("UpdateFunctionCode", FunctionName="orders", ZipFile=packed("def handler(e, c): return 'new'"))
    assert (updating["State"], updating["LastUpdateStatus"]) == ("Active", "InProgress")
    assert updating["LastUpdateStatusReasonCode"] == "Creating"
    assert lab.invoke() == "old"
    problem = refusal(lab.call, "UpdateFunctionConfiguration", FunctionName="orders", Timeout=4)
    assert problem.message == (
        "The operation cannot be performed at this time. An update is in progress for resource: "
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:orders"
    )
    lab.wait(1)
    assert lab.invoke() == "new"
    assert len(lab.streams()) == 2


@pytest.mark.behaviour("F19", "F20", "F24")
def test_metrics(lab: Lab) -> None:
    lab.create("def handler(event, context):\n    if event: raise ValueError(event)")
    before = lab.space.clock.now()
    lab.invoke()
    lab.invoke("bad")
    both = {"FunctionName": "orders"}
    assert lab.metric("Invocations", **both) == [1, 1]
    assert lab.metric("Errors", **both) == [0, 1]
    assert lab.metric("ConcurrentExecutions") == [1, 1]
    assert len(lab.metric("Duration", FunctionName="orders", Resource="orders")) == 2
    assert all(before <= at for *_, at in lab.space.samples)


def test_ten_at_a_time_need_ten_environments(lab: Lab) -> None:
    lab.create("import time\ndef handler(event, context):\n    time.sleep(1)")
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda n: lab.call("Invoke", FunctionName="orders"), range(10)))
    assert [answer["Payload"] for answer in answers] == [b"null"] * 10
    assert len(lab.streams()) == 10
    assert max(lab.metric("ConcurrentExecutions", FunctionName="orders")) == 10


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


@pytest.mark.behaviour("D57")
def test_between_invocations_everything_stands_still(lab: Lab) -> None:
    lab.create(
        """
import threading, time
ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        time.sleep(0.01)
threading.Thread(target=tick, daemon=True).start()
def handler(event, context):
    return ticks
"""
    )
    first = lab.invoke()
    time.sleep(0.5)
    assert lab.invoke() - first < 15


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


@pytest.mark.behaviour("D14", "D34", "D38")
def test_asynchronous_invocations_are_tried_three_times(lab: Lab) -> None:
    target = f"arn:aws:sqs:{REGION}:{ACCOUNT}:lost"
    lab.create(
        "def handler(event, context):\n    print('try', context.aws_request_id)\n    raise ValueError('no')",
        DeadLetterConfig={"TargetArn": target},
    )
    lab.call(
        "PutFunctionEventInvokeConfig", FunctionName="orders", DestinationConfig={"OnFailure": {"Destination": target}}
    )
    begun = lab.space.clock.now()
    answer = lab.call("Invoke", FunctionName="orders", InvocationType="Event", Payload=b'{"n": 1}')
    assert answer == {"StatusCode": 202, "Payload": b""}
    lab.wait(600)
    tries = [text for text in lab.log() if text.startswith("try")]
    assert len(tries) == 3
    assert len(set(tries)) == 1
    starts = [at - begun for name, dims, _, at in lab.space.samples if name == "Invocations" and not dims]
    assert starts == pytest.approx([0, 60, 180], abs=3)
    record, letter = lab.space.sent
    assert json.loads(record[0])["requestContext"]["condition"] == "RetriesExhausted"
    assert json.loads(record[0])["requestContext"]["approximateInvokeCount"] == 3
    assert letter[0] == '{"n": 1}'
    assert letter[1]["ErrorMessage"]["StringValue"] == "no"


def test_versions_and_aliases(lab: Lab) -> None:
    lab.create("import os\ndef handler(event, context): return ['one', context.invoked_function_arn]")
    first = lab.call("PublishVersion", FunctionName="orders", Description="first")
    assert first["Version"] == "1"
    assert first["FunctionArn"].endswith(":orders:1")
    assert lab.call("PublishVersion", FunctionName="orders")["Version"] == "1"
    lab.call("CreateAlias", FunctionName="orders", Name="live", FunctionVersion="1")
    lab.call("UpdateFunctionCode", FunctionName="orders", ZipFile=packed("def handler(e, c): return ['two']"))
    lab.wait(1)
    said, arn = lab.invoke(Qualifier="live")
    assert said == "one"
    assert arn.endswith(":orders:live")
    assert lab.invoke() == ["two"]
    lab.call("PublishVersion", FunctionName="orders")
    lab.call("UpdateAlias", FunctionName="orders", Name="live", FunctionVersion="2")
    assert lab.invoke(name="orders:live") == ["two"]
    assert [v["Version"] for v in lab.call("ListVersionsByFunction", FunctionName="orders")["Versions"]] == [
        "$LATEST",
        "1",
        "2",
    ]
    assert refusal(lab.call, "DeleteFunction", FunctionName="orders", Qualifier="2").status == 409
    assert lab.metric("Invocations", FunctionName="orders", Resource="orders:live") == [1, 1]


def test_deleting_a_function(lab: Lab) -> None:
    lab.create(ECHO)
    lab.invoke()
    lab.call(
        "TagResource",
        Resource=lab.call("GetFunction", FunctionName="orders")["Configuration"]["FunctionArn"],
        Tags={"a": "b"},
    )
    assert lab.call("GetFunction", FunctionName="orders")["Tags"] == {"a": "b"}
    lab.call("DeleteFunction", FunctionName="orders")
    assert refusal(lab.call, "GetFunction", FunctionName="orders").code == "ResourceNotFoundException"
    assert lab.call("ListFunctions")["Functions"] == []


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
    monkeypatch.setattr(environments, "INIT_LIMIT", 0.4)
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


def test_only_the_environments_own_process_may_ask(lab: Lab) -> None:
    code = """
import http.client, os
def handler(event, context):
    address = os.environ["AWS_LAMBDA_RUNTIME_API"]
    seen = []
    for headers in ({"Host": "evil.example"}, {"Host": address, "Origin": "http://evil.example"}):
        connection = http.client.HTTPConnection(address)
        connection.request("GET", "/2018-06-01/runtime/invocation/next", headers=headers)
        seen.append(connection.getresponse().status)
    return seen
"""
    lab.create(code)
    assert lab.invoke() == [403, 403]


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
