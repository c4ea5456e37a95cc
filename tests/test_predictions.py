"""Predictions: asked, kept, compared, asked again, exported without a name."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest

from helpers import predictions
from helpers.__main__ import main
from helpers.errors import LabError
from helpers.lab import Lab

GAP: dict[str, Any] = {"question": "How long until the second attempt?", "unit": "s"}
FULL: dict[str, Any] = {"question": "How full are the batches?", "options": ["1 to 3", "about 5", "10"]}
HIDDEN = "the message stays hidden for 30 s"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which the predictions are kept."""
    monkeypatch.setenv("LAB_STATE_DIR", str(tmp_path))
    return tmp_path / "predictions"


@pytest.fixture
def lab(folder: Path) -> Lab:
    """Return a lab that calls no cloud."""
    cloud: Any = SimpleNamespace(account="123456789012", region="us-east-1")
    return Lab(cloud, space="a-space", prefix="lab-abc123")


def test_you_said_it_did_because(lab: Lab) -> None:
    asked = lab.predict("05-gap", **GAP, answer=0, confidence="sure")
    assert repr(asked) == "How long until the second attempt?\n  You say 0 s (sure)."
    seen = lab.reveal("05-gap", observed=30, because=f"{HIDDEN}.")
    assert repr(seen) == f"Not what you were sure of.\n  You said 0 s (sure), it was 30 s, because {HIDDEN}."


def test_a_stub_reaches_the_bottom_and_says_so_in_a_line(lab: Lab) -> None:
    asked = lab.predict("05-gap", **GAP, answer=..., confidence="guess")
    assert repr(asked).splitlines()[-1] == "  Not answered yet: write your answer in place of the three dots."
    seen = lab.reveal("05-gap", observed=30, because=HIDDEN)
    assert repr(seen) == f"You made no prediction.\n  It was 30 s, because {HIDDEN}."
    assert "not answered yet" in str(lab.predictions())
    assert str(lab.predictions()).endswith("Not answered: 1")
    assert "Not answered yet" in repr(lab.recall(previous="05"))


def test_an_answer_given_after_a_stub_run_counts(lab: Lab) -> None:
    lab.predict("05-gap", **GAP)
    lab.reveal("05-gap", observed=30, because=HIDDEN)
    lab.predict("05-gap", **GAP, answer=30)
    assert repr(lab.reveal("05-gap", observed=30, because=HIDDEN)).startswith("Right, by a guess.")


def test_an_answer_may_change_until_the_comparison_and_not_after_it(lab: Lab, folder: Path) -> None:
    lab.predict("05-gap", **GAP, answer=60)
    lab.predict("05-gap", **GAP, answer=0, confidence="sure")
    lab.predict("05-gap", **GAP, answer=0, confidence="sure")
    lab.reveal("05-gap", observed=30, because=HIDDEN)
    later = lab.predict("05-gap", **GAP, answer=30, confidence="sure")
    assert repr(later).splitlines()[1] == (
        "  You say 30 s (sure) now that you have seen it. What you predicted stays: 0 s (sure)."
    )
    again = lab.reveal("05-gap", observed=30, because=HIDDEN)
    assert repr(again).splitlines() == [
        "Not what you were sure of.",
        f"  You said 0 s (sure), it was 30 s, because {HIDDEN}.",
        "  Since then you say 30 s (sure).",
    ]
    (kept,) = json.loads((folder / "05.json").read_text())
    assert [one["answer"] for one in kept["said"]] == [60, 0]
    assert [one["answer"] for one in kept["said_after"]] == [30]
    assert all(one["at"].startswith("20") for one in kept["said"] + kept["said_after"])


def test_an_earlier_answer_stands_when_the_cell_is_empty_again(lab: Lab) -> None:
    lab.predict("05-gap", **GAP, answer=0)
    assert "You answered on" in repr(lab.predict("05-gap", **GAP))
    assert repr(lab.predict("05-gap", **GAP)).endswith("0 s (guess). That stands.")
    lab.reveal("05-gap", observed=30, because=HIDDEN)
    assert repr(lab.predict("05-gap", **GAP, answer=0)).endswith("You said 0 s (guess).")


def test_a_question_that_became_another_one_is_asked_anew(lab: Lab) -> None:
    lab.predict("05-gap", **GAP, answer=0)
    assert "Not answered yet" in repr(lab.predict("05-gap", **{**GAP, "unit": "min"}))


@pytest.mark.parametrize(
    ("answer", "shown", "met"),
    [
        (30, {"observed": 30}, True),
        (31, {"observed": 30}, False),
        (31, {"observed": 30.2}, True),
        (27, {"observed": 30.2}, False),
        (28, {"observed": 30, "within": 2}, True),
        (28.5, {"observed": 30, "within": 1}, False),
        (20, {"observed": 31, "right": (20, 45)}, True),
        (5, {"observed": 31, "right": [45, 20]}, False),
    ],
)
def test_a_number_is_scored_by_its_band(lab: Lab, answer: Any, shown: dict[str, Any], met: bool) -> None:
    lab.predict("06-dead", "How many end in the dead-letter queue?", answer=answer)
    head = repr(lab.reveal("06-dead", because="of the batch", **shown)).splitlines()[0]
    assert head == ("Right, by a guess." if met else "Not what you guessed.")


def test_a_band_is_told(lab: Lab) -> None:
    lab.predict("06-dead", "How many?", answer=5)
    assert "it was 31 (20 to 45 count as right), because" in repr(
        lab.reveal("06-dead", observed=31, right=(20, 45), because="a bad message takes its batch with it")
    )


def test_one_of_many_is_told_in_the_singular(lab: Lab) -> None:
    lab.predict("05-runs", "How often is it run?", answer=1, unit="runs")
    seen = lab.reveal("05-runs", observed=2, right=(1, 3), because="it came back")
    assert "You said 1 run (guess), it was 2 runs (1 to 3 runs count as right)" in repr(seen)


@pytest.mark.parametrize("answer", ["b", "B", " b", "about 5"])
def test_an_option_is_named_by_its_letter_or_its_text(lab: Lab, answer: str) -> None:
    assert "You say about 5 (guess)." in repr(lab.predict("04-full", **FULL, answer=answer))


def test_options_are_listed_and_compared(lab: Lab) -> None:
    assert repr(lab.predict("04-full", **FULL)).splitlines()[1:4] == ["  a) 1 to 3", "  b) about 5", "  c) 10"]
    lab.predict("04-full", **FULL, answer="c", confidence="sure")
    seen = lab.reveal("04-full", observed=1.04, right="a", because="only a backlog fills them")
    assert "You said 10 (sure), it was 1.04, which is 1 to 3, because only a backlog fills them." in repr(seen)
    lab.predict("04-also", **FULL, answer="a")
    assert repr(lab.reveal("04-also", observed="a", because="it is")).splitlines() == [
        "Right, by a guess.",
        '  You said 1 to 3 (guess), it was "1 to 3", because it is.',
    ]
    lab.predict("04-more", **FULL, answer="b", confidence="sure")
    seen = lab.reveal("04-more", observed=4, right=["a", "b"], because="both do")
    assert repr(seen).startswith("Right, and you knew it.")


def test_figures_of_numpy_are_numbers_too(lab: Lab, folder: Path) -> None:
    lab.predict("05-gap", **GAP, answer=numpy.int64(30))
    assert "Right" in repr(lab.reveal("05-gap", observed=numpy.float64(29.98), because=HIDDEN))
    assert json.loads((folder / "05.json").read_text())[0]["observed"] == 29.98


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({**GAP, "answer": "30"}, "The answer is a number in s, not '30'. Write answer=30, without quotes."),
        ({**GAP, "answer": "soon"}, "The answer is a number in s, not 'soon'. Write answer=30, or any other."),
        ({**GAP, "answer": None}, "The answer is a number in s, not None."),
        ({**GAP, "answer": True}, "The answer is a number in s, not True."),
        ({**GAP, "answer": float("nan")}, "The answer is a number in s, not nan."),
        ({**FULL, "answer": 7}, "7 is none of the options. Write a letter: a) 1 to 3; b) about 5; c) 10."),
        ({**FULL, "answer": "d"}, "'d' is none of the options."),
        ({**GAP, "answer": 3, "confidence": "maybe"}, 'confidence is "sure" or "guess", not \'maybe\'.'),
    ],
)
def test_an_answer_of_another_kind_earns_one_sentence_and_is_not_kept(
    lab: Lab, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(LabError) as refusal:
        lab.predict("05-gap", **arguments)
    assert sentence in str(refusal.value)
    assert "None was asked yet" in str(lab.predictions("05"))


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        ({"observed": "soon"}, "05-gap asked for a number in s, and what was observed is 'soon'."),
        ({"observed": None}, "what was observed is None"),
        ({"observed": 30, "right": 30}, "right= takes the least and the greatest number"),
    ],
)
def test_an_observation_of_another_kind_earns_one_sentence(lab: Lab, shown: dict[str, Any], sentence: str) -> None:
    lab.predict("05-gap", **GAP, answer=3)
    with pytest.raises(LabError) as refusal:
        lab.reveal("05-gap", because=HIDDEN, **shown)
    assert sentence in str(refusal.value)


def test_an_observation_that_is_no_option_has_to_say_which_is_right(lab: Lab) -> None:
    lab.predict("04-full", **FULL, answer="a")
    with pytest.raises(LabError, match="none of the options of 04-full"):
        lab.reveal("04-full", observed=1.7, because="of the backlog")
    with pytest.raises(LabError, match="within= is for numbers"):
        lab.reveal("04-full", observed=1.7, right="a", within=1, because="of the backlog")


def test_what_was_not_asked_cannot_be_compared(lab: Lab) -> None:
    with pytest.raises(LabError, match="Run the cell that asks it"):
        lab.reveal("05-gap", observed=30, because=HIDDEN)
    with pytest.raises(LabError, match="Ids look like '05-gap'"):
        lab.predict("gap", **GAP)
    with pytest.raises(LabError, match="not the number of a notebook"):
        lab.recall("../05")


def worked_through(lab: Lab) -> None:
    """Answer four predictions of notebook 05, of which the surest wrong one stands third."""
    for name, answer, confidence in (
        ("known", 30, "sure"),
        ("luck", 30, "guess"),
        ("wrong", 0, "sure"),
        ("unlucky", 1, "guess"),
    ):
        lab.predict(f"05-{name}", f"How long is {name}?", unit="s", answer=answer, confidence=confidence)
        lab.reveal(f"05-{name}", observed=30, because=HIDDEN)


def test_the_table_at_the_end_says_how_well_sure_held(lab: Lab) -> None:
    worked_through(lab)
    lab.predict("05-open", "How long?", unit="s", answer=4)
    lab.predict("06-other", "How many?", answer=4)
    text = str(lab.predictions("05"))
    assert text.splitlines()[0] == "Predictions of notebook 05"
    assert [line.split()[0] for line in text.splitlines()[2:-1]] == [
        "05-known",
        "05-luck",
        "05-wrong",
        "05-unlucky",
        "05-open",
    ]
    assert "not run yet" in text
    assert text.endswith("Sure: 1 of 2 right; guessing: 1 of 2 right")
    assert "06-other" in str(lab.predictions())
    assert lab.predictions("05")._repr_html_().count("<tr>") == 6


def test_without_a_number_the_notebook_is_that_of_the_space(folder: Path) -> None:
    cloud: Any = SimpleNamespace(account="123456789012", region="us-east-1")
    assert "notebook 05" in str(Lab(cloud, space="05-when-it-fails-3fa9c1", prefix="lab-a").predictions())
    with pytest.raises(LabError, match="Write its two digits"):
        Lab(cloud, space="default", prefix="lab-a").predictions()


def test_the_next_notebook_asks_again_what_was_wrongly_sure_first(lab: Lab) -> None:
    worked_through(lab)
    assert repr(lab.recall(previous="05")).splitlines() == [
        "From notebook 05, without looking:",
        "  1. How long is wrong?",
        "  Not answered yet.",
        "  2. How long is unlucky?",
        "  Not answered yet.",
    ]
    shown = repr(lab.recall(previous="05", answers=[30, ...])).splitlines()
    assert shown[2] == f"  Right: you say 30 s, and it was 30 s, because {HIDDEN}."
    assert shown[4] == "  Not answered yet."
    assert "Not this time: you say 2 s" in repr(lab.recall("05", [30, 2]))
    with pytest.raises(LabError, match="asks 2 questions and takes as many answers"):
        lab.recall("05", [1, 2, 3])
    with pytest.raises(LabError, match="takes as many answers"):
        lab.recall("05", "30")


def test_there_is_nothing_to_recall_of_a_notebook_that_was_not_run(lab: Lab) -> None:
    assert repr(lab.recall(previous="04")) == "Nothing to recall: notebook 04 has not been run here."


def test_it_shows_in_a_notebook_with_nothing_unescaped(lab: Lab) -> None:
    asked = lab.predict("05-gap", "Is 1 < 2 in `a < b`, or *never*?", answer=1)
    assert "Is 1 &lt; 2 in <code>a &lt; b</code>, or <em>never</em>?" in asked._repr_html_()
    assert "border-left" in asked._repr_html_()
    assert asked._repr_html_().count("<div") == asked._repr_html_().count("</div>") == 1
    assert predictions.Shown("head", ())._repr_html_().count("<br>") == 0


@pytest.mark.skipif(os.name != "posix", reason="permissions of files are POSIX's")
def test_the_file_is_readable_by_its_learner_only(lab: Lab, folder: Path) -> None:
    lab.predict("05-gap", **GAP, answer=3)
    assert stat.S_IMODE((folder / "05.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["05.json"]


def test_a_damaged_file_is_set_aside(lab: Lab, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab.predict("05-gap", **GAP, answer=3)
    (folder / "05.json").write_text('[{"id": "05-gap"')
    assert "Not answered yet" in repr(lab.predict("05-gap", **GAP))
    assert "begin anew; what was there is kept in 05.unreadable" in capsys.readouterr().out


def test_a_folder_that_cannot_be_used_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("LAB_STATE_DIR", str(tmp_path / "taken"))
    with pytest.raises(LabError, match="Name a folder of yours in LAB_STATE_DIR"):
        predictions.predict("05-gap", **GAP, answer=3)


def test_the_export_has_the_answers_and_names_nobody(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worked_through(lab)
    lab.predict("04-full", **FULL)
    lab.predict("05-wrong", "How long is wrong?", unit="s", answer=30)
    lab.recall("05", [30])
    file = tmp_path / "mine.csv"
    assert main(["predictions", "--export", str(file)]) == 0
    assert "5 predictions in" in capsys.readouterr().out
    rows = {row["prediction"]: row for row in csv.DictReader(io.StringIO(file.read_text()))}
    assert rows["05-wrong"] == {
        "prediction": "05-wrong",
        "question": "How long is wrong?",
        "unit": "s",
        "options": "",
        "said": "0",
        "confidence": "sure",
        "did": "30",
        "right": "no",
        "changed_to": "30",
        "recalled": "30",
        "recalled_right": "yes",
    }
    assert rows["04-full"]["options"] == "1 to 3 | about 5 | 10"
    assert rows["04-full"]["said"] == rows["04-full"]["right"] == ""
    for private in (str(Path.home()), str(tmp_path), "a-space", "lab-abc123", "T0", "+00:00", lab.account):
        assert private not in file.read_text()


def test_the_commands(lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab.predict("05-gap", **GAP, answer=3)
    done = subprocess.run(
        [sys.executable, "-m", "helpers", "predictions", "--export", "-"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[1] == "05-gap,How long until the second attempt?,s,,3,guess,,,,,"
    assert main(["predictions", "--export", str(tmp_path)]) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert main(["predictions", "--forget", "05"]) == 0
    assert main(["predictions", "--forget", "05"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "The predictions of notebook 05 are forgotten.",
        "Notebook 05 has none.",
    ]
    assert main(["predictions", "--forget", "../x"]) == 1
