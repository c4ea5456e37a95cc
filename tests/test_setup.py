"""What a newcomer's machine does with the repository: the lock, the bounds, the conda file, and setup's refusals."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import rattler
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from ruamel.yaml import YAML

from tools import make, tasks
from tools.environment import (
    CELERY_LOCK,
    CLI_LOCK,
    INPUTS,
    JAVASCRIPT,
    LOCK,
    NO_NODE,
    ROOT,
    UV_LOCK,
    Environment,
    SetupError,
    child_environment,
)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONDA = YAML(typ="safe").load((ROOT / "environment.yml").read_text())
PYTHONS = ["3.10.19", "3.11.0", "3.11.14", "3.12.3", "3.13.9", "3.14.0", "3.14.99", "3.15.0", "4.0.0"]
LOCKS = pytest.mark.parametrize("lock", [LOCK, UV_LOCK, CLI_LOCK, CELERY_LOCK])


def locked(lock: str) -> dict[str, list[Version]]:
    """Return the versions that a lock names for each package; a package may differ between platforms."""
    versions: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", (ROOT / lock).read_text(), re.MULTILINE):
        versions.setdefault(name, []).append(Version(version))
    return versions


def requirements() -> list[Requirement]:
    """Return every direct requirement of pyproject.toml."""
    groups = PROJECT["dependency-groups"]
    named = PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"]
    assert set(groups) == {"build", "boot", "cli", "celery", "test"}
    return [Requirement(line) for line in [*named, *(line for group in groups.values() for line in group)]]


@LOCKS
def test_the_lock_has_a_hash_for_every_package_and_names_no_place(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = re.split(r"\n(?=\S)", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    assert all(re.match(r"[a-z0-9._-]+==\S+", entry) and "--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|@ |file:|index|find-links|trusted-host|\./|/\w", text)


def test_the_lock_of_the_javascript_sdk_has_a_hash_for_every_package_and_names_no_place() -> None:
    package = json.loads((ROOT / JAVASCRIPT / "package.json").read_text())
    lock = json.loads((ROOT / JAVASCRIPT / "package-lock.json").read_text())
    installed = {path: entry for path, entry in lock["packages"].items() if path}
    assert {f"node_modules/{name}" for name in package["dependencies"]} <= set(installed)
    assert all(entry["integrity"].startswith("sha512-") for entry in installed.values())
    assert not any("resolved" in entry for entry in installed.values())
    explained = (ROOT / "docs" / "DEPENDENCIES.md").read_text()
    assert all(f"- `{name}`" in explained for name in package["dependencies"])


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_bounds_admit_the_locked_version(requirement: Requirement) -> None:
    versions = locked({"uv": UV_LOCK, "awscli": CLI_LOCK, "celery": CELERY_LOCK}.get(requirement.name, LOCK))[
        requirement.name
    ]
    assert all(version in requirement.specifier for version in versions)


def test_packages_that_a_learner_gets_without_the_lock_have_both_bounds() -> None:
    for line in PROJECT["project"]["dependencies"]:
        operators = {specifier.operator for specifier in Requirement(line).specifier}
        assert operators == {">=", "<"}, line


def test_the_lock_holds_what_builds_the_labs_own_package() -> None:
    assert PROJECT["dependency-groups"]["build"] == PROJECT["build-system"]["requires"]


def test_every_direct_dependency_is_explained() -> None:
    text = (ROOT / "docs" / "DEPENDENCIES.md").read_text()
    assert set(re.findall(r"^- `([\w-]+)`: ", text, re.MULTILINE)) == {
        requirement.name for requirement in requirements()
    }


def test_one_range_of_python_everywhere() -> None:
    """pyproject.toml, environment.yml, the launcher and README admit the same Pythons."""
    ours = SpecifierSet(PROJECT["project"]["requires-python"])
    spec = next(spec for spec in map(conda_spec, conda_lines()) if spec.name.normalized == "python")
    assert spec.version is not None
    conda = rattler.VersionSpec(str(spec.version))
    assert [version for version in PYTHONS if version in ours] == [
        "3.11.0",
        "3.11.14",
        "3.12.3",
        "3.13.9",
        "3.14.0",
        "3.14.99",
    ]
    for version in PYTHONS:
        assert conda.matches(rattler.Version(version)) == make.suits(version) == (version in ours), version
    assert "Python 3.11 to 3.14" in (ROOT / "README.md").read_text()


def conda_lines() -> list[str]:
    """Return the conda packages of environment.yml."""
    return [line for line in CONDA["dependencies"] if isinstance(line, str)]


def conda_spec(line: str) -> rattler.MatchSpec:
    """Parse a line as conda does; raise where it could be read in two ways."""
    return rattler.MatchSpec(line, strict=True)


def test_environment_yml_leaves_the_packages_to_pyproject() -> None:
    assert [conda_spec(line).name.normalized for line in conda_lines()] == ["python", "pip"]
    assert CONDA["dependencies"][-1] == {"pip": ["-e ."]}
    assert CONDA["channels"] == ["conda-forge"]


def test_binder_can_read_the_repository(tmp_path: Path) -> None:
    """repo2docker takes environment.yml for the build, with the whole repository there when pip needs it."""
    for name in ("environment.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=child_environment(), check=False)
    assert done.returncode == 0, done.stderr
    recipe = done.stdout + done.stderr
    assert recipe.index("COPY --chown=0:0 src/ ${REPO_DIR}/") < recipe.index('--file "environment.yml"')


def python_that_says(tmp_path: Path, answer: str) -> Path:
    """Make a program that answers the launcher's question as an interpreter would."""
    fake = tmp_path / "python3.x"
    fake.write_text(f"#!/bin/sh\n{answer}\n")
    fake.chmod(0o755)
    return fake


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command that must refuse, and return its outcome; it must not get as far as a traceback."""
    outer_make = {"MAKEFLAGS": "", "MAKELEVEL": "0", "MFLAGS": ""}
    variables = os.environ | outer_make | environment
    done = subprocess.run(words, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize("version", ["3.10.13", "3.15.0", "2.7.18"])
def test_a_python_out_of_range_is_refused_in_one_sentence(version: str, tmp_path: Path) -> None:
    fake = python_that_says(tmp_path, f"echo {version}; echo /usr/bin/python")
    done = command(sys.executable, "tools/make.py", "setup", PYTHON=str(fake))
    assert done.stderr == (
        f"The labs need a Python from 3.11 to 3.14, but PYTHON={fake} is Python {version}: install one, or name one "
        "that you have, as in: make lab PYTHON=/usr/bin/python3.12\n"
    )


def test_make_refuses_with_the_sentence_and_one_line_of_its_own(tmp_path: Path) -> None:
    done = command("make", "lab", PYTHON=str(tmp_path / "nowhere"))
    sentence, makes_own = done.stderr.splitlines()
    assert "does not start: install one" in sentence
    assert re.match(r"make.*: \*\*\* .*lab\] Error 1", makes_own)


def test_make_without_any_python_says_what_to_install(tmp_path: Path) -> None:
    done = command(shutil.which("make") or "make", "lab", PATH=str(tmp_path), PYTHON="", SHELL="/bin/sh")
    assert done.stderr.startswith("No Python was found on the path: install Python 3.11, 3.12, 3.13 or 3.14")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Return a project folder with what setup reads, and a path without uv."""
    for name in (*INPUTS, UV_LOCK):
        copy = tmp_path / "labs" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    return Environment(tmp_path / "labs")


def fake_uv(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put a uv on the path that writes its arguments down and then runs a script."""
    calls = folder / "calls"
    uv = folder / "fake-uv"
    uv.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{script}\n')
    uv.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(uv))
    return calls


MAKES_VENV = f'if [ "$1" = venv ]; then mkdir -p .venv/bin; ln -s {sys.executable} .venv/bin/python; fi'


def test_a_python_without_venv_is_refused_with_debians_package(
    project: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SetupError, match=r"sudo apt-get install python3\.\d+-venv`, or put uv on the path"):
        project.ensure()
    assert not project.venv.exists()


def test_unreachable_packages_are_one_sentence(project: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very first download, that of uv, is aimed at a port that nobody listens on."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SetupError, match=r"^The packages cannot be reached .* check the network and the proxy"):
        project.ensure()
    assert not project.stamp.exists()


def test_what_is_half_made_is_made_anew(project: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    project.venv.mkdir()
    (project.venv / "left-over").touch()
    fake_uv(project.root, monkeypatch, f'{MAKES_VENV}\ncase "$*" in *install*) echo "no such file"; exit 1;; esac')
    with pytest.raises(SetupError, match=r"^Setup failed at installing the labs' own package: .*setup\.log\.$"):
        project.ensure()
    assert not (project.venv / "left-over").exists()
    assert not project.stamp.exists()


def test_nothing_is_done_twice_and_a_new_lock_is_an_update(
    project: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = fake_uv(project.root, monkeypatch, MAKES_VENV)
    project.ensure()
    assert [line.split()[0] for line in calls.read_text().splitlines()] == ["venv", "pip", "pip"]
    assert "--require-hashes" in calls.read_text()
    assert "Making .venv with Python" in capsys.readouterr().out
    calls.unlink()
    project.ensure(insist=True)
    assert not calls.exists()
    assert capsys.readouterr().out == ""
    with (project.root / LOCK).open("a") as lock:
        lock.write("# changed\n")
    project.ensure()
    assert [line.split()[0] for line in calls.read_text().splitlines()] == ["pip", "pip"]
    assert "Updating .venv" in capsys.readouterr().out


def test_a_folder_that_was_moved_gets_a_new_environment(
    project: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The programs of an environment name the folder that it was made in."""
    calls = fake_uv(project.root, monkeypatch, MAKES_VENV)
    project.ensure()
    moved = Environment(tmp_path / "elsewhere" / "labs")
    shutil.copytree(project.root, moved.root, symlinks=True)
    calls.unlink()
    moved.ensure()
    assert calls.read_text().startswith("venv ")


def test_children_compile_what_they_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "PYTHONDONTWRITEBYTECODE" not in child_environment()


@pytest.mark.parametrize(
    ("chromium", "npm", "chosen", "told"),
    [
        (None, "npm", "not browser", [tasks.NO_BROWSER]),
        ("chromium", None, "not node", [NO_NODE]),
        (None, None, "not browser and not node", [tasks.NO_BROWSER, NO_NODE]),
    ],
)
def test_without_chromium_or_node_the_other_tests_run_and_one_line_says_so(
    chromium: str | None,
    npm: str | None,
    chosen: str,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    started: list[list[str]] = []

    def run(command: list[str]) -> int:
        started.append(command)
        return 0

    monkeypatch.setattr(tasks, "find_chromium", lambda: chromium)
    monkeypatch.setattr(tasks, "find_npm", lambda: npm)
    monkeypatch.setattr(tasks, "setup", lambda arguments: 0)
    monkeypatch.setattr(tasks, "run", run)
    monkeypatch.setenv("CI", "false")
    assert tasks.main(["test"]) == 0
    assert started[0][-2:] == ["-m", chosen]
    assert capsys.readouterr().out.splitlines() == told
    monkeypatch.setenv("CI", "true")
    assert tasks.main(["test"]) == 1
    assert len(started) == 1
    assert capsys.readouterr().err.splitlines() == told


def test_without_node_the_javascript_sdk_is_refused_in_one_sentence(
    project: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SetupError, match=r"^The tests with AWS's SDK for JavaScript did not run, .* nodejs npm`\.$"):
        project.javascript()


@pytest.mark.parametrize("user", [0, 1000])
def test_only_root_is_told_to_be_allowed(user: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert ("--allow-root" in tasks.jupyterlab_options(tmp_path)) == (user == 0)


def test_help_tells_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert tasks.main([]) == 0
    told = set(re.findall(r"^make ([\w-]+)", capsys.readouterr().out, re.MULTILINE))
    assert told == set(tasks.COMMANDS) - {"help"}
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(tasks.COMMANDS)
