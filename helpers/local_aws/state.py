"""Which local AWS servers run, and how to reach them: one state file a space, readable by its user only."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import filelock
import platformdirs
import psutil

START_PATIENCE = 60.0
"""Seconds after which a server that does not come up is given up."""


class ServerError(Exception):
    """A server could not be started or reached; the text is one sentence for a person."""


@dataclass(frozen=True)
class ServerInfo:
    """How to reach a running server.

    Attributes
    ----------
    url : str
        The endpoint.
    access_key, secret_key : str
        The account's own key.
    account, region, space : str
        What the server serves.
    pid : int
        Its process.
    started : float
        When that process began, seconds since the epoch; tells it from a later process of the same number.
    fresh : bool
        Whether this call started it, so that it is empty.
    """

    url: str
    access_key: str
    secret_key: str = field(repr=False)
    account: str
    region: str
    space: str
    pid: int
    started: float
    fresh: bool = False

    def environment(self) -> dict[str, str]:
        """Return the environment variables that lead any AWS client to this server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCOUNT_ID": self.account,
            "AWS_PROFILE": "",
        }


def folder() -> Path:
    """Return the folder of the state files, made if need be: `LAB_STATE_DIR`, else the user's own state folder."""
    chosen = os.environ.get("LAB_STATE_DIR")
    path = Path(chosen) if chosen else platformdirs.user_state_path("lambda-sqs-labs", appauthor=False)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid") and path.stat().st_uid == os.getuid():
            path.chmod(0o700)
    except OSError as problem:
        raise ServerError(
            f"The local AWS cannot keep its state in {path} ({problem.strerror}); "
            "name a folder of yours in LAB_STATE_DIR."
        ) from None
    return path


def slug(space: str) -> str:
    """Return a file name for a space: what is readable of its name, and a hash that tells it from all others."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", Path(space).stem if "/" in space else space).strip("-")[:40]
    return f"{readable or 'space'}-{hashlib.sha256(space.encode()).hexdigest()[:8]}"


def state_file(space: str) -> Path:
    """Return the path of a space's state file."""
    return folder() / f"{slug(space)}.json"


def lock(space: str) -> filelock.BaseFileLock:
    """Return the lock that lets one process at a time look for or start a space's server."""
    return filelock.FileLock(folder() / f"{slug(space)}.lock", mode=0o600)


def log_file(space: str) -> Path:
    """Return the path of the log of a server that runs in the background."""
    return folder() / f"{slug(space)}.log"


def is_alive(pid: int, started: float) -> bool:
    """Return whether the process `pid` that began at `started` still runs."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def ended(info: ServerInfo, patience: float) -> bool:
    """Wait at most `patience` seconds for a server's end; return whether it has ended."""
    give_up = time.monotonic() + patience
    while is_alive(info.pid, info.started):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True


def find(space: str) -> ServerInfo | None:
    """Return the running server of a space; a file that a dead server left behind is removed."""
    path = state_file(space)
    try:
        info = ServerInfo(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        path.unlink(missing_ok=True)
        return None
    if is_alive(info.pid, info.started):
        return info
    path.unlink(missing_ok=True)
    return None


def running() -> list[ServerInfo]:
    """Return every running server of this user."""
    found = []
    for path in sorted(folder().glob("*.json")):
        try:
            space = json.loads(path.read_text())["space"]
        except (OSError, ValueError, KeyError, TypeError):
            path.unlink(missing_ok=True)
            continue
        info = find(space)
        if info is not None:
            found.append(info)
    return found


def write(info: ServerInfo) -> None:
    """Publish a server: the file appears whole or not at all, readable by its user only."""
    path = state_file(info.space)
    part = path.with_suffix(f".{info.pid}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({**asdict(info), "fresh": False}, file)
    os.replace(part, path)


def remove(info: ServerInfo) -> None:
    """Take back what `write` published, unless another server stands there by now."""
    path = state_file(info.space)
    try:
        if json.loads(path.read_text())["pid"] == info.pid:
            path.unlink()
    except (OSError, ValueError, KeyError):
        pass


def new_workdir(space: str) -> Path:
    """Return a folder for a server's files, and remove those of servers of this space that died."""
    prefix = f"{slug(space)}.work-"
    for old in folder().glob(f"{prefix}*"):
        pid, _, started = old.name.removeprefix(prefix).partition("-")
        if not (pid.isdigit() and started.isdigit() and is_alive(int(pid), float(started))):
            shutil.rmtree(old, ignore_errors=True)
    own = psutil.Process()
    path = folder() / f"{prefix}{own.pid}-{own.create_time():.0f}"
    path.mkdir(mode=0o700)
    return path


def ensure(space: str, *, idle_stop: float = 3600) -> ServerInfo:
    """Return the server of a space, started if it does not run.

    Parameters
    ----------
    space : str
        The space's name.
    idle_stop : float
        Seconds after which a server started here ends when no registered process is left.

    Raises
    ------
    ServerError
        When it does not come up.
    """
    with lock(space):
        info = find(space)
        if info is not None:
            return info
        return _start(space, idle_stop)


def _start(space: str, idle_stop: float) -> ServerInfo:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["LAB_STATE_DIR"] = str(folder())
    command = [sys.executable, "-m", "helpers.local_aws", "serve", "--space", space]
    command += ["--idle-stop", str(idle_stop), "--launched"]
    descriptor = os.open(log_file(space), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).resolve().parents[2],
            env=environment,
            start_new_session=os.name == "posix",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    give_up = time.monotonic() + START_PATIENCE
    while time.monotonic() < give_up:
        info = find(space)
        if info is not None and info.pid == process.pid:
            return ServerInfo(**{**asdict(info), "fresh": True})
        if process.poll() is not None:
            lines = log_file(space).read_text(errors="replace").strip().splitlines()
            said = f": {lines[-1]}" if lines else "."
            raise ServerError(f"The local AWS did not start (exit code {process.returncode}){said}")
        time.sleep(0.02)
    process.kill()
    raise ServerError(f"The local AWS did not come up within {START_PATIENCE:.0f} s; its log is {log_file(space)}.")
