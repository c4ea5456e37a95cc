"""The commands: help, lab, test, setup, check, bench, ledger, course, course-long and lock."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tools.environment import (
    CELERY_LOCK,
    CLI_LOCK,
    JAVASCRIPT,
    LOCK,
    NO_NODE,
    ROOT,
    UV_LOCK,
    WINDOWS,
    Environment,
    SetupError,
    child_environment,
    find_npm,
)

START = "notebooks/00-start-here.ipynb"
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
NO_BROWSER = (
    "The browser tests did not run, as there is no Chromium: get it with `sudo apt-get install chromium`, "
    "or name one with LAB_CHROMIUM=/path/to/chrome."
)


def find_chromium() -> str | None:
    """Return the Chromium that the browser tests use: LAB_CHROMIUM, else the first on the path, else None."""
    named = os.environ.get("LAB_CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, BROWSERS)), None)


def show_help(arguments: list[str]) -> int:
    """Say the commands."""
    print(
        "make lab     set up everything and open JupyterLab at the first lab\n"
        "make test    set up everything and run all tests\n"
        "\n"
        "make setup   only make .venv, which both commands share\n"
        "make check   look at the code: ruff and mypy\n"
        "make bench   measure the local AWS, beside its targets and beside another emulator (3 minutes)\n"
        "make ledger  fill the behaviours ledger's column of tests from the tests' marks\n"
        "make course  write what is generated from the notebooks: navigation, cards, index, README's map\n"
        "make course-long   run the whole course in order, and again after interrupts (weekly)\n"
        "make lock    solve the packages' versions anew and write them to requirements.lock\n"
        "\n"
        "PYTHON=python3.12 chooses the Python (3.11 to 3.14); ARGS='…' is handed on to what a command starts.\n"
        "Without make: python3 tools/make.py lab, and the like."
    )
    return 0


def setup(arguments: list[str]) -> int:
    """Make `.venv`."""
    Environment().ensure(insist=bool(os.environ.get("PYTHON")))
    return 0


def lab(arguments: list[str]) -> int:
    """Open JupyterLab at the first lab; with no display, say its address."""
    setup([])
    options = [*jupyterlab_options(ROOT), f"--LabApp.default_url=/lab/tree/{START}"]
    if not has_display():
        options.append("--no-browser")
        print("JupyterLab starts; open one of the addresses that it names in a browser. Ctrl-C ends it.", flush=True)
    else:
        print("JupyterLab starts, and opens in your browser. Ctrl-C ends it.", flush=True)
    return run(["jupyter-lab", *options, *arguments])


def jupyterlab_options(root: Path) -> list[str]:
    """Return the options with which every JupyterLab of ours starts, the learner's and the browser tests'.

    Below ERROR the server warns of each notebook that git has just brought ("not trusted") and of a default of its own
    about pings; neither is the learner's business. The addresses are written whatever the level.
    """
    options = ["--log-level=ERROR", f"--ServerApp.root_dir={root}"]
    if not WINDOWS and os.geteuid() == 0:
        options.append("--allow-root")
    return options


def has_display() -> bool:
    """Return whether a browser can be expected to open a window."""
    if WINDOWS or sys.platform == "darwin" or os.environ.get("BROWSER"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def test(arguments: list[str]) -> int:
    """Run all tests; without Chromium or Node.js all but those that need it, which is a failure where CI=true."""
    missing = {
        mark: sentence
        for mark, sentence, found in (("browser", NO_BROWSER, find_chromium()), ("node", NO_NODE, find_npm()))
        if not found
    }
    if missing and os.environ.get("CI") == "true":
        raise SetupError("\n".join(missing.values()))
    setup([])
    chosen = ["-m", " and ".join(f"not {mark}" for mark in missing)] if missing else []
    outcome = run(["python", "-m", "pytest", "-n", "2", "--dist", "loadgroup", *chosen, *arguments])
    for sentence in missing.values():
        print(sentence, flush=True)
    return outcome


def check(arguments: list[str]) -> int:
    """Check the code's style and types."""
    setup([])
    python = ["python", "-m"]
    commands = [[*python, "ruff", "check"], [*python, "ruff", "format", "--check"], [*python, "mypy"]]
    return max([run(command) for command in commands])


def bench(arguments: list[str]) -> int:
    """Measure the local AWS; docs/BENCH.md says how to read what comes out."""
    setup([])
    return run(["python", "-m", "tools.bench", *arguments])


def ledger(arguments: list[str]) -> int:
    """Fill the behaviours ledger's column of tests from the tests' marks."""
    from tools.ledger import FILE, write

    write()
    print(f"{FILE.relative_to(ROOT)} names the tests as they stand.")
    return 0


def course(arguments: list[str]) -> int:
    """Write what is generated from the notebooks' metadata: navigation, cards, the index, README's map."""
    setup([])
    return run(["python", "-c", "from tools import course; raise SystemExit(course.main())"])


def course_long(arguments: list[str]) -> int:
    """Run the whole course in order in one place, and each notebook once more after an interrupt; a weekly matter."""
    setup([])
    return run(["python", "-m", "pytest", "-v", "tests/long_course.py", *arguments])


def lock(arguments: list[str]) -> int:
    """Solve the packages' versions from pyproject.toml for every platform and Python, and write them down.

    Versions that still fit are kept; ``ARGS=--upgrade`` takes the newest. No setting of this machine, and no other
    index than uv's own, gets into the lock.
    """
    environment = {
        name: value
        for name, value in child_environment().items()
        if not (name.startswith("UV_") and ("INDEX" in name or "FIND_LINKS" in name))
    }
    solve = [Environment().uv(), "pip", "compile", "--quiet", "--no-config", "--universal", "--python-version", "3.11"]
    solve += ["--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-annotate"]
    solve += ["--custom-compile-command", "make lock", *arguments]
    for source, output in (
        (["pyproject.toml", "--group", "build", "--group", "test"], LOCK),
        (["--group", "boot"], UV_LOCK),
        (["--group", "cli"], CLI_LOCK),
        (["--group", "celery"], CELERY_LOCK),
    ):
        print(f"Solving {output} …", flush=True)
        outcome = subprocess.run([*solve, *source, "--output-file", output], cwd=ROOT, env=environment, check=False)
        if outcome.returncode:
            return outcome.returncode
    npm = find_npm()
    if npm is None:
        print(f"{JAVASCRIPT}/package-lock.json stays as it is, as there is no Node.js with npm.")
        return 0
    print(f"Solving {JAVASCRIPT}/package-lock.json …", flush=True)
    verb = "update" if "--upgrade" in arguments else "install"
    quiet = ["--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    return subprocess.run([npm, verb, *quiet], cwd=ROOT / JAVASCRIPT, env=child_environment(), check=False).returncode


def run(command: list[str]) -> int:
    """Run a program of `.venv` in the project's folder and return its exit code."""
    environment = child_environment()
    program = Environment().program(command[0])
    environment["PATH"] = os.pathsep.join([str(program.parent), environment.get("PATH", os.defpath)])
    environment.pop("PYTHON", None)
    process = subprocess.Popen([str(program), *command[1:]], cwd=ROOT, env=environment)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the program has had the same signal, and ends in its own way


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "help": show_help,
    "lab": lab,
    "test": test,
    "setup": setup,
    "check": check,
    "bench": bench,
    "ledger": ledger,
    "course": course,
    "course-long": course_long,
    "lock": lock,
}


def main(arguments: list[str]) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        The command's name, then what is handed on to the program that it starts.

    Returns
    -------
    int
        The exit code.
    """
    name, *rest = arguments or ["help"]
    os.chdir(ROOT)
    try:
        if name not in COMMANDS:
            raise SetupError(f"There is no command {name!r}: use one of {', '.join(COMMANDS)}.")
        return COMMANDS[name](rest)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The command could not be carried out: {error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; what is half made is made anew the next time.", file=sys.stderr)
        return 130
