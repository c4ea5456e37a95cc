"""What stands in on other systems than Linux, run on Linux; neither macOS nor Windows has run it."""

from __future__ import annotations

import ast
import os
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from helpers.local_aws import frontdoor, platforms, state

from .conftest import ROOT, Aws
from .lambda_calls import answer_of, invoke, texts

PACKAGE = ROOT / "helpers" / "local_aws"
PROCESS_HANDLING = [
    *(
        PACKAGE / f"{name}.py"
        for name in (
            "environment",
            "environments",
            "frontdoor",
            "handler_process",
            "handler_view",
            "io_loop",
            "memory",
            "platforms",
            "runtime_api",
            "server",
            "spawner",
            "state",
        )
    ),
    *sorted((PACKAGE / "runtime").glob("*.py")),
]
STAND_IN = {"LOCAL_AWS_PURE_RUNTIME_CLIENT": "1"}
WINDOWS = {"PYTHONPATH": str(ROOT / "tests" / "windows"), **STAND_IN}
WEAKER = {
    platforms.NO_FREEZING: "tests/test_invoke.py::test_between_invocations_everything_stands_still",
}
"""The behaviours that are not kept without what Windows lacks, each with the sentence that says so."""
SENTENCES = [
    platforms.NO_GROUPS,
    platforms.NO_FREEZING,
    platforms.NO_FILE_LIMIT,
    platforms.NO_MODES,
    platforms.NO_DEATH_SIGNAL,
]


def behaviours(files: list[str], variables: dict[str, str], folder: Path, *options: str) -> None:
    """Run tests of behaviours against a server, and handlers, that are started with some variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *options, *files],
        cwd=ROOT,
        env={**environment, "TMPDIR": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert re.search(r"\d+ passed|^\.{4,}", done.stdout, re.MULTILINE), done.stdout


@pytest.fixture
def aws_elsewhere(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """Return a local AWS that lacks what Windows lacks."""
    for name, value in WINDOWS.items():
        monkeypatch.setenv(name, value)
    info = state.ensure(f"tests-elsewhere-{os.getpid()}")
    yield Aws(info)
    psutil.Process(info.pid).terminate()
    assert state.ended(info, 10)


def test_the_stand_in_for_the_runtime_client_runs_the_rows_of_lambda(tmp_path: Path) -> None:
    files = [f"tests/test_{name}.py" for name in ("invoke", "trigger", "logs", "concurrency")]
    behaviours(files, STAND_IN, tmp_path)


def test_without_what_windows_lacks_one_row_is_weaker_and_no_other(tmp_path: Path) -> None:
    left_out = [f"--deselect={test}" for test in WEAKER.values()]
    behaviours(["tests/test_invoke.py", "tests/test_logs.py"], WINDOWS, tmp_path, *left_out)


def test_without_what_windows_lacks_the_log_says_what_is_weaker(aws_elsewhere: Aws) -> None:
    """The stand-ins are really what runs, and a handler that is ended takes its children along."""
    source = """
        import subprocess, sys, time
        def handler(event, context):
            if event == "hangs":
                child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
                print("child", child.pid)
                time.sleep(600)
            return sys.modules["runtime_client"].__file__
    """
    function = aws_elsewhere.function(source, Timeout=1)
    assert invoke(aws_elsewhere, function, "where").endswith("/runtime/runtime_client.py")
    assert "Task timed out" in answer_of(aws_elsewhere, function, "hangs")["Payload"].decode()
    (child,) = [int(text.split()[1]) for text in texts(aws_elsewhere, function) if text.startswith("child ")]
    psutil.wait_procs([psutil.Process(child)] if psutil.pid_exists(child) else [], timeout=5)
    assert not psutil.pid_exists(child)
    log = state.log_file(aws_elsewhere.info.space).read_text()
    assert all(sentence in log for sentence in SENTENCES), log


def test_on_linux_nothing_is_weaker(aws: Aws) -> None:
    assert platforms.weaknesses() == []
    assert not any(sentence in state.log_file(aws.info.space).read_text() for sentence in SENTENCES)


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_nothing_is_called_that_a_system_lacks(platform: str, tmp_path: Path) -> None:
    """By typeshed, which knows what each system's Python has: every other use stands behind a question for it."""
    options = ["--platform", platform, "--follow-imports", "skip", "--cache-dir", str(tmp_path)]
    command = [sys.executable, "-m", "mypy", *options, *map(str, PROCESS_HANDLING)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    # The question is a real one: without it the same check fails.
    careless = tmp_path / "careless.py"
    careless.write_text("import os\nimport signal\nos.killpg(1, signal.SIGKILL)\nos.pidfd_open(1)\n")
    command[-len(PROCESS_HANDLING) :] = [str(careless)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("path", PROCESS_HANDLING, ids=lambda path: path.stem)
def test_no_option_or_file_is_used_that_windows_lacks(path: Path) -> None:
    """What types cannot see: options of Popen, files of the kernel's, and names that are looked up by their text."""
    tree = ast.parse(path.read_text())
    for above in ast.walk(tree):
        for below in ast.iter_child_nodes(above):
            below.above = above  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword):
            assert node.arg not in ("pass_fds", "preexec_fn", "process_group", "user", "group", "umask"), node.lineno
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match(r"/(proc|dev|sys)/", node.value):
            assert 'sys.platform == "linux"' in guards(node), (node.lineno, node.value)
        if isinstance(node, ast.Call) and ast.unparse(node).startswith(("getattr(signal", "getattr(os")):
            assert re.search(r"hasattr\((signal|os)", guards(node)), node.lineno


def guards(node: ast.AST) -> str:
    """Return the questions behind which a piece of code stands."""
    found = []
    while (above := getattr(node, "above", None)) is not None:
        if isinstance(above, ast.If | ast.IfExp) and node not in getattr(above, "orelse", ()):
            found.append(ast.unparse(above.test).replace("'", '"'))
        node = above
    return "\n".join(found)


def test_the_documentation_names_every_weakness_and_what_was_not_run() -> None:
    text = " ".join((ROOT / "docs" / "ARCHITECTURE.md").read_text().split())
    assert "neither macOS nor Windows was run" in text
    assert all(sentence in text for sentence in SENTENCES)


def test_a_long_poll_knows_its_client_beyond_the_1024th_file() -> None:
    """`select.select` knows none, and would have the client taken for gone and its messages put back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    ours, theirs = socket.socketpair()
    high = -1
    try:
        import fcntl

        high = fcntl.fcntl(ours.fileno(), fcntl.F_DUPFD, 1500)
        with socket.socket(fileno=high) as connection:
            assert not frontdoor._gone({"local_aws.socket": connection})
            theirs.close()
            assert frontdoor._gone({"local_aws.socket": connection})
    finally:
        ours.close()
        theirs.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
