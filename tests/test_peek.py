"""Reading dead letters without losing them, and drawing what killed them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas
import pytest

import helpers
from helpers import messages, resources
from helpers.cleanup import sweep
from helpers.errors import LabError
from helpers.lab import Lab
from helpers.pictures.dead import by_error
from helpers.plots import DEAD_LETTER

mpl.use("Agg")


@pytest.fixture
def lab(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Return a lab on the local AWS, and leave it empty."""
    monkeypatch.setenv("LAB_SPACE", f"peek-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    for name in ("LAB_CLOUD", "LAB_AWS_ACCOUNT", "LAB_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    lab = helpers.connect("local")
    yield lab
    assert sweep(lab).total_left == 0


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


def test_to_peek_is_to_lease_and_loses_nothing(lab: Lab) -> None:
    source = resources.queue(lab, "late", max_receive_count=1)
    assert source.dead_letters is not None
    messages.send_many(source, [{"n": n} for n in range(12)])
    assert len(messages.peek(source, seconds=5)) == 12
    lab.wait(6)
    assert messages.peek(source, seconds=5).empty
    peeked = messages.peek(source.dead_letters, seconds=60)
    assert sorted(json.loads(body)["n"] for body in peeked["body"]) == list(range(12))
    assert set(peeked["source"]) == {source.name}
    assert set(peeked["receives"]) == {2}
    assert (peeked["sent"] <= peeked["first_receive"]).all()
    assert messages.peek(source.dead_letters, seconds=60).empty
    lab.client("sqs").delete_message(QueueUrl=source.dead_letters.url, ReceiptHandle=peeked["handle"][0])
    lab.wait(61)
    assert set(messages.peek(source.dead_letters, seconds=60)["id"]) == set(peeked["id"][1:])


def test_errors_are_drawn_on_one_scale_with_the_worst_first() -> None:
    table = pandas.DataFrame({"05:00": [0, 3], "06:00": [7, 0]}, index=["KeyError: 'price'", "TypeError"])
    axes = by_error(table)
    assert axes[0].figure.get_suptitle() == "Two errors killed 10 of 10 messages"
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["KeyError: 'price'", "TypeError"]
    assert len({ax.get_xlim() for ax in axes}) == 1
    assert [[text.get_text() for text in ax.texts] for ax in axes] == [["3"], ["7"]]
    assert repr(axes[0].figure).endswith(
        "05:00: KeyError: 'price' 0, TypeError 3; 06:00: KeyError: 'price' 7, TypeError 0"
    )
    assert {mpl.colors.to_hex(bar.get_facecolor()).upper() for bar in axes[0].patches} == {DEAD_LETTER}


def test_no_dead_letter_is_one_sentence() -> None:
    with pytest.raises(LabError, match="There is no dead letter"):
        by_error(pandas.DataFrame())
