"""What the notebooks say is so: generated parts are current, links resolve, names exist, times are plausible."""

from __future__ import annotations

import csv
import json
import re
from functools import cache
from pathlib import Path

import aws_lambda_powertools
import botocore
import pytest
from botocore.loaders import Loader

from tools import course
from tools.environment import ROOT

COURSE = course.notebooks()
PAGES = [ROOT / "README.md", course.INDEX, *sorted((ROOT / "docs").rglob("*.md"))]
SERVICES = ("sqs", "lambda", "iam", "sts", "logs", "cloudwatch", "sns", "cloudformation", "kms", "s3", "dynamodb")
# Words of code spans that neither code nor AWS's own models have.
OUTSIDE = ("AWSLambdaBasicExecutionRole", "AWSLambdaSQSQueueExecutionRole", "amazonaws", "lab_aws_account", "null")


@pytest.mark.parametrize("path", course.generated(), ids=lambda path: path.name)
def test_what_is_generated_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == course.generated()[path], "run: make course"


@pytest.mark.parametrize("notebook", COURSE, ids=lambda notebook: notebook.number)
def test_a_notebook_says_what_it_needs_and_how_long_it_takes(notebook: course.Notebook) -> None:
    assert set(notebook.minutes) == {*course.KINDS, "waiting_on_aws"}
    assert all(isinstance(value, int) and value >= 0 for value in notebook.minutes.values())
    assert set(notebook.after) < {one.number for one in COURSE if one.number < notebook.number} | {notebook.number}
    assert 5 <= len(notebook.you_will.split()) <= 18, notebook.you_will
    assert notebook.kind in ("lab", "replay")


@pytest.mark.parametrize("notebook", COURSE, ids=lambda notebook: notebook.number)
def test_the_minutes_of_reading_are_those_that_its_text_takes(notebook: course.Notebook) -> None:
    """At 90 to 230 words a minute, which is how fast people read technical text; code counts with them."""
    text = "\n".join(cell.source for cell in notebook.content.cells)
    words = len(re.findall(r"\w+", re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)))
    assert words / 230 <= notebook.minutes["reading"] + 1
    assert words / 90 >= notebook.minutes["reading"]


def prose(notebook: course.Notebook) -> str:
    """Return a notebook's markdown without its solutions."""
    cells = [cell.source for cell in notebook.content.cells if cell.cell_type == "markdown"]
    return re.sub(r"<details>.*?</details>", "", "\n".join(cells), flags=re.DOTALL)


def targets(text: str) -> list[str]:
    """Return where links and pictures lead."""
    return re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub and JupyterLab give to headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *(one.path for one in COURSE)], ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    if page.suffix == ".ipynb":
        text = "\n".join(cell.source for cell in course.read(page).content.cells if cell.cell_type == "markdown")
    else:
        text = page.read_text(encoding="utf-8")
    for target in targets(text):
        if re.match(r"https://", target):
            continue
        path, _, anchor = target.partition("#")
        assert not re.match(r"\w+:", target), target
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


@cache
def known() -> frozenset[str]:
    """Return the names that AWS, the helpers, the ledger and the data have."""
    names: set[str] = set(OUTSIDE)
    for service in SERVICES:
        versions = sorted((Path(botocore.__file__).parent / "data" / service).glob("*/service-2.json*"))
        model = Loader().load_service_model(service, "service-2", versions[-1].parent.name)
        names |= set(re.findall(r"\w+", json.dumps(model)))
    toolkit = Path(aws_lambda_powertools.__file__).parent.rglob("*.py")
    for file in [*(ROOT / "helpers").rglob("*.py"), *toolkit, ROOT / "Makefile", *(ROOT / "data").rglob("*.[jty]*")]:
        names |= set(re.findall(r"\w+", file.read_text(encoding="utf-8")))
    with (ROOT / "data" / "behaviours.csv").open(encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            names |= set(re.findall(r"\w+", row["statement"])) | {row["id"]}
    return frozenset(name.lower() for name in names)


@pytest.mark.parametrize("notebook", COURSE, ids=lambda notebook: notebook.number)
def test_names_in_prose_exist(notebook: course.Notebook) -> None:
    """A code span's words stand in this notebook's code, in AWS's models, in the helpers or in the ledger."""
    code = "\n".join(cell.source for cell in notebook.content.cells if cell.cell_type == "code")
    solutions = "\n".join(cell.source for cell in notebook.content.cells if "<details>" in cell.source)
    here = {name.lower() for name in re.findall(r"\w+", code + solutions)}
    # The table of other tools' names is checked by eye against their documentation.
    text = re.sub(r"^\|[^\n]*Terraform[^\n]*\n(?:\|[^\n]*\n?)*", "", prose(notebook), flags=re.MULTILINE)
    spans = re.findall(r"`([^`]+)`", text)
    unknown = {
        word
        for span in spans
        for word in re.findall(r"[A-Za-z_]\w{2,}", span)
        if word.lower() not in here | known() and not re.fullmatch(r"\d.*", word)
    }
    assert not unknown
