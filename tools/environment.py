"""Make `.venv`, exactly as requirements.lock says, and know when there is nothing to do.

uv does the work: the one on the path, else one in a virtual environment of its own, `.boot`. A stamp is written as the
last step; an environment without it is half made and is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "lambda-sqs-labs"
LOCK = "requirements.lock"
UV_LOCK = "tools/uv.lock"
CLI_LOCK = "tools/awscli.lock"
CELERY_LOCK = "tools/celery.lock"
JAVASCRIPT = "tools/javascript"
NO_NODE = (
    "The tests with AWS's SDK for JavaScript did not run, as there is no Node.js with npm: "
    "get both with `sudo apt-get install nodejs npm`."
)
JUPYTER = ("tools/jupyter/jupyter_server_config.json", "tools/jupyter/overrides.json")
INPUTS = (LOCK, "pyproject.toml", "tools/environment.py", *JUPYTER)
WINDOWS = os.name == "nt"
UNREACHABLE = re.compile(
    r"error sending request|dns error|failed to lookup|connection (refused|reset|aborted)|timed? ?out|no such host"
    r"|network (connectivity )?(is|was) (disabled|unreachable)|name resolution|newconnectionerror|proxy|tunnel|sslerror"
    r"|certificate|could not connect|failed to fetch|offline|no matching distribution"
    r"|enotfound|eai_again|econnrefused|econnreset|etimedout",
    re.IGNORECASE,
)


class SetupError(Exception):
    """One sentence for the person at the terminal: what failed, and what to do."""


def executable(environment: Path, name: str) -> Path:
    """Return where a virtual environment keeps a program."""
    return environment / "Scripts" / f"{name}.exe" if WINDOWS else environment / "bin" / name


def find_npm() -> str | None:
    """Return npm's path where Node.js is there as well, else None."""
    return shutil.which("npm") if shutil.which("node") else None


def child_environment() -> dict[str, str]:
    """Return the variables for every process that is started.

    Without PYTHONDONTWRITEBYTECODE, which would have each kernel compile all that it imports, and without the variables
    that would aim an installer at another place.
    """
    dropped = (
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONHOME",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_USER",
        "UV_TARGET",
        "UV_PREFIX",
    )
    return {name: value for name, value in os.environ.items() if name not in dropped}


class Environment:
    """The project's `.venv` and `.boot`, in a project folder.

    Parameters
    ----------
    root
        The project's folder.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.venv = root / ".venv"
        self.boot = root / ".boot"
        self.log = root / ".build" / "setup.log"
        self.stamp = self.venv / "complete"

    def program(self, name: str) -> Path:
        """Return the path of a program of `.venv`."""
        return executable(self.venv, name)

    def ensure(self, *, insist: bool = False) -> None:
        """Make or update `.venv`; return at once where it is as the lock says.

        Parameters
        ----------
        insist
            An environment of another version than the running Python is made anew, not kept.

        Raises
        ------
        SetupError
            What failed and what to do.
        """
        with self._alone():
            wanted = self._fingerprint()
            stamped = self._stamped()
            if stamped and insist and stamped[0] != version():
                stamped = None
            if stamped and stamped[1] == wanted:
                return
            begun = time.monotonic()
            self._write_log("")
            uv = self.uv()
            if stamped:
                print(f"Updating .venv to {LOCK} …", flush=True)
                self.stamp.unlink()
            else:
                print(
                    f"Making .venv with Python {version()} ({sys.executable}) and the packages of {LOCK}; "
                    "the first time this downloads about 300 MB …",
                    flush=True,
                )
                self._remove(self.venv)
                self._run(
                    "making .venv", [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, self.venv]
                )
            python = self.program("python")
            pip: list[str | Path] = [uv, "pip", "--no-progress"]
            into: list[str | Path] = ["--python", python, "--no-compile-bytecode"]
            self._run("installing the packages", [*pip, "sync", *into, "--require-hashes", LOCK])
            own: list[str | Path] = ["--no-deps", "--no-build-isolation", "--reinstall-package", NAME]
            own += ["--editable", self.root]
            self._run("installing the labs' own package", [*pip, "install", *into, *own])
            self.stamp.write_text(f"{version_of(python)}\n{wanted}\n{self.root}\n", encoding="utf-8")
            print(f".venv is ready ({time.monotonic() - begun:.0f} s).", flush=True)

    def uv(self) -> str:
        """Return a uv: the one on the path, else the one of `.boot`, which is made where it is missing."""
        found = shutil.which("uv")
        if found:
            return found
        uv = executable(self.boot, "uv")
        stamp = self.boot / "complete"
        wanted = digest([self.root / UV_LOCK])
        if uv.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
            return str(uv)
        print("Fetching uv, which installs the packages, into .boot …", flush=True)
        self._remove(self.boot)
        try:
            import ensurepip  # noqa: F401
            import venv  # noqa: F401
        except ImportError:
            self._refuse_without_venv()
        self._run("making .boot", [sys.executable, "-m", "venv", self.boot])
        pip: list[str | Path] = [
            executable(self.boot, "python"),
            "-m",
            "pip",
            "--quiet",
            "--disable-pip-version-check",
            "install",
        ]
        self._run("fetching uv", [*pip, "--no-compile", "--only-binary", ":all:", "--require-hashes", "-r", UV_LOCK])
        stamp.write_text(wanted, encoding="utf-8")
        return str(uv)

    def aws_cli(self) -> Path:
        """Return AWS's command line tool in an environment of its own, made where it is missing.

        Raises
        ------
        SetupError
            What failed and what to do.
        """
        return executable(self._apart("awscli", CLI_LOCK, "AWS's command line tool"), "aws")

    def celery(self) -> Path:
        """Return the Python of an environment with Celery and its transport for SQS, made where it is missing.

        Raises
        ------
        SetupError
            What failed and what to do.
        """
        return executable(self._apart("celery", CELERY_LOCK, "Celery"), "python")

    def javascript(self) -> Path:
        """Return the folder of AWS's SDK for JavaScript, for NODE_PATH; it is fetched where it is missing.

        Raises
        ------
        SetupError
            What failed and what to do; `NO_NODE` where there is no Node.js.
        """
        source, folder = self.root / JAVASCRIPT, self.root / ".build" / "javascript"
        stamp = folder / "complete"
        npm = find_npm()
        if npm is None:
            raise SetupError(NO_NODE)
        files = [source / "package.json", source / "package-lock.json"]
        wanted = digest(files)
        with self._alone():
            if not (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted):
                self._remove(folder)
                folder.mkdir(parents=True)
                for file in files:
                    shutil.copy(file, folder)
                quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
                self._run("fetching AWS's SDK for JavaScript", [npm, "ci", *quiet, "--prefix", folder])
                stamp.write_text(wanted, encoding="utf-8")
        return folder / "node_modules"

    def _apart(self, name: str, lock: str, what: str) -> Path:
        """Return the environment `.build/<name>` as its lock says, made where it is missing."""
        folder = self.root / ".build" / name
        stamp = folder / "complete"
        wanted = digest([self.root / lock])
        with self._alone():
            if not (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted):
                uv = self.uv()
                self._remove(folder)
                self._run(
                    f"making .build/{name}", [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, folder]
                )
                pip: list[str | Path] = [uv, "pip", "--no-progress", "sync", "--python", executable(folder, "python")]
                self._run(f"fetching {what}", [*pip, "--no-compile-bytecode", "--require-hashes", lock])
                stamp.write_text(wanted, encoding="utf-8")
        return folder

    def _refuse_without_venv(self) -> None:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise SetupError(
            f"Python {version()} ({sys.executable}) came without its venv module: on Debian and Ubuntu install it with "
            f"`sudo apt-get install {package}`, or put uv on the path, and repeat the command."
        )

    def _fingerprint(self) -> str:
        """Return one hash of what the environment is made from."""
        return digest([self.root / name for name in INPUTS])

    def _stamped(self) -> tuple[str, str] | None:
        """Return Python's version and the fingerprint of a `.venv` that is complete, starts and was not moved."""
        try:
            python, fingerprint, root = self.stamp.read_text(encoding="utf-8").splitlines()
            usable = root == str(self.root) and version_of(self.program("python")) == python
            return (python, fingerprint) if usable else None
        except (OSError, ValueError, subprocess.CalledProcessError):
            return None

    def _remove(self, folder: Path) -> None:
        try:
            if folder.exists():
                shutil.rmtree(folder)
        except OSError as error:
            raise SetupError(
                f"The old {folder.name} cannot be removed ({error.strerror}: {error.filename}): close what uses it, "
                "remove it by hand, and repeat the command."
            ) from None

    def _run(self, doing: str, command: Sequence[str | Path]) -> None:
        try:
            done = subprocess.run(
                [str(part) for part in command],
                cwd=self.root,
                env=child_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except OSError as error:
            raise SetupError(f"Setup failed at {doing}: {error}.") from None
        self._write_log(f"$ {' '.join(str(part) for part in command)}\n{done.stdout}\n", append=True)
        if done.returncode == 0:
            return
        log = self.log.relative_to(self.root)
        if "No space left" in done.stdout:
            raise SetupError(f"Setup failed at {doing} because the disk is full: make room and repeat the command.")
        if doing != "making .boot" and UNREACHABLE.search(done.stdout):
            raise SetupError(
                f"The packages cannot be reached (setup failed at {doing}): check the network and the proxy, or behind "
                "a mirror set UV_DEFAULT_INDEX and PIP_INDEX_URL to it, and repeat the command; what the installer "
                f"said is in {log}."
            )
        if "ensurepip" in done.stdout:
            self._refuse_without_venv()
        raise SetupError(f"Setup failed at {doing}: what the installer said is in {log}.")

    def _write_log(self, text: str, *, append: bool = False) -> None:
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("a" if append else "w", encoding="utf-8") as file:
            file.write(text)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no other command is making the environment."""
        self.log.parent.mkdir(exist_ok=True)
        with (self.log.parent / "setup.lock").open("w") as file:
            if not WINDOWS:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def version() -> str:
    """Return the running Python's version, such as "3.12.1"."""
    return "{}.{}.{}".format(*sys.version_info[:3])


def version_of(python: Path) -> str:
    """Return an interpreter's version; raise OSError or CalledProcessError where it does not start."""
    probe = "import sys; print('%d.%d.%d' % sys.version_info[:3])"
    return subprocess.run([python, "-I", "-S", "-c", probe], capture_output=True, text=True, check=True).stdout.strip()


def digest(files: list[Path]) -> str:
    """Return one hash of the files' contents."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()
