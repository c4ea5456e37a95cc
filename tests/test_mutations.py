"""Each named patch breaks one rule of the local AWS, and a test with that rule's id notices."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import ledger
from tools.environment import ROOT

from .mutations import Mutation

MUTATIONS: list[Mutation] = [
    mutation
    for path in sorted((ROOT / "tests" / "mutations").glob("[a-z]*.py"))
    for mutation in importlib.import_module(f"tests.mutations.{path.stem}").MUTATIONS
]
NOTICED: dict[str, str] = json.loads((ROOT / "tests" / "mutations" / "noticed.json").read_text(encoding="utf-8"))
"""By name, the test that noticed it last: it is run first, and the row's other tests if it does not notice."""
WITHOUT = ("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:hypothesispytest")
COPIED = ("helpers", "tests", "tools", "data", "pyproject.toml")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the project, to break the copy."""
    folder = tmp_path_factory.mktemp("mutated")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: f"{mutation.row}-{mutation.name}")
def test_a_broken_rule_is_noticed(mutation: Mutation, copy: Path, tmp_path: Path) -> None:
    tests = ledger.tests_by_row()[mutation.row]
    file = copy / mutation.file
    whole = file.read_text(encoding="utf-8")
    assert whole.count(mutation.old) == 1, (
        f"the text to patch stands {whole.count(mutation.old)} times in {mutation.file}"
    )
    file.write_text(whole.replace(mutation.old, mutation.new), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    first = [test for test in (NOTICED.get(mutation.name),) if test in tests]
    try:
        for chosen in filter(None, (first, tests)):
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-x", "-q", *WITHOUT, *chosen],
                cwd=copy,
                env={**environment, "TMPDIR": str(tmp_path)},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            if done.returncode == 1:
                break
    finally:
        file.write_text(whole, encoding="utf-8")
    assert done.returncode == 1, f"no test of {mutation.row} noticed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}"
    assert "FAILED" in done.stdout, f"the tests could not run:\n{done.stdout[-3000:]}"


def test_there_are_some_forty() -> None:
    assert len(MUTATIONS) >= 40
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)
