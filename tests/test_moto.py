"""moto stays behind one adapter: its versions, what is used inside it, and what is said when that has moved."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from helpers.local_aws import moto_adapter

from .conftest import ROOT

ADVICE = (
    r"It wants moto>=5\.2\.5,<5\.3: install the very version that requirements\.lock names, "
    r"with `make setup` or `pip install -r requirements\.lock`\."
)


def test_one_range_of_versions_and_the_installed_one_is_in_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = [Requirement(line) for line in project["dependencies"] if Requirement(line).name == "moto"]
    assert wanted.specifier == SpecifierSet(moto_adapter.MOTO)
    installed = importlib.metadata.version("moto")
    assert installed in wanted.specifier
    locked = re.search(r"^moto==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked is not None
    assert locked[1] == installed


def test_every_hook_is_where_it_was_and_every_import_is_one() -> None:
    moto_adapter.check_hooks()
    hooks = {f"{module}.{dotted}" for module, dotted in moto_adapter._HOOKS}
    tree = ast.parse(Path(moto_adapter.__file__).read_text())
    used = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "moto"
        for alias in node.names
    }
    unchecked = {name for name in used if not any(hook == name or hook.startswith(f"{name}.") for hook in hooks)}
    assert used
    assert not unchecked


@pytest.mark.parametrize(
    ("module", "owner", "name"),
    [
        ("moto.core.serialize", None, "SerializationContext"),
        ("moto.iam.models", None, "iam_backends"),
        ("moto.sns.models", "SNSBackend", "publish"),
        ("moto.dynamodb.urls", None, "url_paths"),
    ],
)
def test_a_hook_that_has_moved_explains_itself(
    module: str, owner: str | None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto_adapter.check_hooks()  # Imports all of them: one that is imported later would miss the hook as well.
    place = importlib.import_module(module)
    holder = getattr(place, owner) if owner else place
    for each in getattr(holder, "__mro__", (holder,)):
        if name in vars(each):
            monkeypatch.delattr(each, name)
    hook = ".".join(filter(None, (module, owner, name)))
    installed = importlib.metadata.version("moto")
    sentence = rf"^moto {re.escape(installed)} does not have {re.escape(hook)}, which the local AWS uses\. {ADVICE}$"
    for loaded in (False, True):
        with pytest.raises(RuntimeError, match=sentence):
            moto_adapter.check_hooks(loaded=loaded)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("import moto.core.routing as m; del m.RestRouter", r"'RestRouter' from 'moto\.core\.routing'"),
        ("import moto.core.request as m; del m.Request.raw_url", r"moto\.core\.request\.Request\.raw_url"),
    ],
)
def test_a_server_on_another_moto_does_not_start_and_says_why(change: str, said: str, tmp_path: Path) -> None:
    start = f"""
import sys
{change}
from helpers.local_aws.__main__ import main
sys.argv = ["local_aws", "serve", "--space", "moto-has-moved"]
sys.exit(main())
"""
    environment = {**os.environ, "LAB_STATE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", start],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert re.search(rf"moto \S+ does not have {said}.*, which the local AWS uses\. {ADVICE}$", last), done.stderr
    assert not list(tmp_path.glob("*.json"))
