"""The invariants of docs/ARCHITECTURE.md that can be read off the source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest

from tools.environment import ROOT

HELPERS = ROOT / "helpers"
LOCAL_AWS = HELPERS / "local_aws"


def imports(path: Path) -> set[str]:
    """Return the absolute names of the modules that a file imports, wherever in it."""
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def test_the_local_aws_imports_nothing_from_the_rest_of_helpers() -> None:
    for path in LOCAL_AWS.rglob("*.py"):
        foreign = {name for name in imports(path) if re.match(r"helpers(\.(?!local_aws)|$)", name)}
        assert not foreign, (path.name, foreign)


def test_only_the_adapter_imports_moto() -> None:
    for path in HELPERS.rglob("*.py"):
        if not path.name.startswith("moto_"):
            assert not {name for name in imports(path) if name.split(".")[0] == "moto"}, path.name


def test_only_one_module_of_helpers_knows_the_local_aws() -> None:
    for path in HELPERS.rglob("*.py"):
        if LOCAL_AWS not in path.parents and path.relative_to(HELPERS).as_posix() != "clouds/local.py":
            assert not {name for name in imports(path) if name.startswith("helpers.local_aws")}, path.name


def test_time_in_the_local_aws_is_read_from_its_clock() -> None:
    outside = {"moto_adapter.py", "clock.py", "frontdoor.py", "server.py", "state.py", "__main__.py"}
    for path in LOCAL_AWS.glob("*.py"):
        if path.name not in outside:
            assert not re.search(r"time\.time\(|datetime\.now\(|utcnow\(", path.read_text()), path.name


def test_the_readme_maps_every_notebook() -> None:
    text = (ROOT / "README.md").read_text()
    assert set(re.findall(r"\(notebooks/([\w-]+)\.ipynb\)", text)) == {
        path.stem for path in (ROOT / "notebooks").glob("*.ipynb")
    }


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_does_not_ask_which_cloud_it_runs_on(path: Path) -> None:
    code = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
    assert not re.search(r"LAB_CLOUD|_cloud\b|local_aws|lab\.account\s*[=!]=", code)
