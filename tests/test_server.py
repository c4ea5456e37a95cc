"""The server as a process: how it starts, is found, dies and is followed by another."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from helpers.local_aws import state
from helpers.local_aws.client import lab_request

from .conftest import ROOT, Aws


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the local AWS to its end."""
    return subprocess.run(
        [sys.executable, "-m", "helpers.local_aws", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def wait_for_end(pid: int, seconds: float = 10) -> None:
    """Wait for a process to end."""
    give_up = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < give_up, f"process {pid} still runs"
        time.sleep(0.02)


@pytest.fixture
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep the state in a folder of this test alone."""
    monkeypatch.setenv("LAB_STATE_DIR", str(tmp_path / "state"))
    yield tmp_path
    run("stop", "--all")


def test_two_that_start_at_once_get_one_server(own_state: Path) -> None:
    code = "from helpers.local_aws import state; print(state.ensure('both', idle_stop=60).pid)"

    def start() -> str:
        return subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        ).stdout.strip()

    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _: start(), range(2))
    assert first == second


def test_the_state_is_readable_by_its_user_only(own_state: Path) -> None:
    state.ensure("private", idle_stop=60)
    for path in state.folder().iterdir():
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(state.folder().stat().st_mode) == 0o700


def test_a_stale_or_broken_state_file_is_replaced(own_state: Path) -> None:
    info = state.ensure("stale", idle_stop=60)
    os.kill(info.pid, signal.SIGKILL)
    wait_for_end(info.pid)
    after = state.ensure("stale", idle_stop=60)
    assert after.fresh
    assert after.pid != info.pid
    state.state_file("broken").write_text("{not json")
    assert state.ensure("broken", idle_stop=60).fresh
    assert not list(state.folder().glob(f"*.work-{info.pid}-*")), "the dead server's files are removed"


def test_serve_says_where_it_is_and_takes_keys_and_account(own_state: Path) -> None:
    keys = {
        "LOCAL_AWS_ACCESS_KEY_ID": "LKIAEXAMPLE",
        "LOCAL_AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "LOCAL_AWS_ACCOUNT": "123412341234",
    }
    env_file = own_state / "env"
    with subprocess.Popen(
        [sys.executable, "-m", "helpers.local_aws", "serve", "--space", "front", "--env-file", str(env_file)],
        cwd=ROOT,
        env={**os.environ, **keys},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        line = server.stdout.readline()
        info = state.find("front")
        assert info is not None
        assert line == f"local AWS ready at {info.url} (space front, account 123412341234)\n"
        assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
        assert "export AWS_ACCESS_KEY_ID=LKIAEXAMPLE" in env_file.read_text()
        assert run("env", "--space", "front").stdout == env_file.read_text()

        again = run("serve", "--space", "front")
        assert again.returncode == 1
        assert again.stderr.startswith(f"A local AWS for the space 'front' runs already at {info.url}")
        assert again.stderr.count("\n") == 1

        assert f"front: {info.url}" in run("status").stdout
        server.send_signal(signal.SIGINT)
        rest, errors = server.communicate(timeout=10)
        assert (server.returncode, rest) == (0, "")
        assert "Traceback" not in errors
    assert state.find("front") is None


def test_a_taken_port_is_said_in_one_sentence(own_state: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = run("serve", "--port", str(port), "--space", "taken")
    assert answer.returncode == 1
    assert answer.stderr == (
        f"Port {port} is taken by another program; give another one, or leave --port out for any free one.\n"
    )


def test_commands_without_a_server_say_what_to_do(own_state: Path) -> None:
    for verb in ("env", "stop"):
        answer = run(verb, "--space", "nowhere")
        assert answer.returncode == 1
        assert answer.stderr.startswith("There is no local AWS for the space 'nowhere'. None is running.")
        assert answer.stderr.count("\n") == 1
    assert run("status").stdout == "No local AWS is running.\n"
    assert run("stop", "--all").stdout == "No local AWS is running.\n"


def test_a_wrong_account_is_said_in_one_sentence(own_state: Path) -> None:
    answer = run("serve", LOCAL_AWS_ACCOUNT="12")
    assert answer.returncode == 1
    assert answer.stderr == "LOCAL_AWS_ACCOUNT is twelve digits, not '12'.\n"


def test_no_handler_outlives_a_killed_server(own_state: Path) -> None:
    aws = Aws(state.ensure("killed", idle_stop=60))
    queue = aws.queue(VisibilityTimeout=60)
    function = aws.function(
        "import os, time\ndef handler(event, context):\n    print('{\"pid\": %d}' % os.getpid())\n    time.sleep(50)",
        Timeout=60,
    )
    aws.mapping(queue, function)
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="x")
    server = psutil.Process(aws.info.pid)
    give_up = time.monotonic() + 10
    while not (children := server.children(recursive=True)):
        assert time.monotonic() < give_up
    server.kill()
    for child in children:
        wait_for_end(child.pid)


def test_a_server_ends_when_nothing_uses_it_any_more(own_state: Path) -> None:
    info = state.ensure("idle", idle_stop=1)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as user:
        lab_request(info, "POST", "/_local/clients", {"pid": user.pid})
        time.sleep(2.5)
        assert state.find("idle") == info.__class__(**{**info.__dict__, "fresh": False})
        user.communicate(b"\n")
    wait_for_end(info.pid)
    assert state.find("idle") is None


def test_stop_ends_the_server_and_its_files(own_state: Path) -> None:
    info = state.ensure("stopped", idle_stop=60)
    assert run("stop", "--space", "stopped").stdout == "The local AWS of the space stopped has ended.\n"
    assert not state.is_alive(info.pid, info.started)
    assert not list(state.folder().glob("*.work-*"))
