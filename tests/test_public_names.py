"""The public names: a change of this list is a change of what notebooks may rely on."""

from __future__ import annotations

import subprocess
import sys

import helpers
from helpers.lab import Lab


def test_the_package_offers_these_names_and_no_others() -> None:
    assert sorted(helpers.__all__) == [
        "Lab",
        "LabError",
        "claims",
        "connect",
        "costs",
        "facts",
        "incidents",
        "messages",
        "metrics",
        "pictures",
        "plots",
        "recorder",
        "report",
        "resources",
        "scaling",
        "stacks",
    ]
    assert all(getattr(helpers, name) is not None for name in helpers.__all__)
    assert dir(helpers) == sorted(helpers.__all__)


def test_a_lab_offers_these_names_and_no_others() -> None:
    methods = {name for name in vars(Lab) if not name.startswith("_")}
    assert methods == {
        "catch_up",
        "check",
        "cleanup",
        "client",
        "fidelity",
        "hint",
        "incident",
        "name",
        "now",
        "outbox",
        "phone",
        "predict",
        "predictions",
        "recall",
        "recorder",
        "report",
        "reveal",
        "wait",
        "wait_until",
    }


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "{'boto3', 'botocore', 'matplotlib', 'moto', 'pandas'}"
    code = f"import helpers, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
