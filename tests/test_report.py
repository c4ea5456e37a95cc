"""Reports: what was solved and predicted on one page without an account or a folder, and a room's pages pooled."""

from __future__ import annotations

import os
import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers import attempts, checks, predictions, report
from helpers.__main__ import main
from helpers.checks import Verdict, almost, not_yet, yes
from helpers.errors import LabError
from helpers.lab import Lab

ACCOUNT = "123456789012"
MISTAKE = f"Look at arn:aws:sqs:us-east-1:{ACCOUNT}:lab-abc123-orders, and at /home/someone/x.py."


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Return a lab that calls no cloud, in an empty folder."""
    monkeypatch.setenv("LAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    cloud: Any = SimpleNamespace(title="local AWS", account=ACCOUNT, region="us-east-1")
    return Lab(cloud, space="a-space", prefix="lab-abc123")


def said(lab: Lab, monkeypatch: pytest.MonkeyPatch, *verdicts: Verdict, exercise: str = "05-dead-letters") -> None:
    """Let a check say these verdicts, one after the other."""
    for verdict in verdicts:
        monkeypatch.setattr(checks, "check", lambda *_, verdict=verdict, **__: verdict)
        assert lab.check(exercise) is verdict


def predicted(lab: Lab, answer: Any = 0, confidence: str = "sure") -> None:
    """Answer a prediction, and let 30 s be right."""
    lab.predict("05-gap", "How long is it <hidden>?", unit="s", answer=answer, confidence=confidence)
    lab.reveal("05-gap", observed=30, because="the message is hidden")


def test_a_yes_is_kept_with_its_time_its_cloud_and_how_many_tries_it_took(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(
        lab, monkeypatch, not_yet("Begin."), almost("One."), almost("One."), almost("Two."), yes("Done."), almost("3.")
    )
    (kept,) = attempts.everything()
    assert [one.state for one in kept.verdicts] == ["not yet", "almost", "almost", "yes", "almost"]
    assert kept.solved is not None
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", kept.solved.at)
    assert (kept.solved.cloud, kept.tries) == ("local AWS", 3)


def test_the_first_yes_outlives_a_hundred_more_verdicts(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    said(lab, monkeypatch, almost("Nearly."), yes("Done."))
    (before,) = attempts.everything()
    said(lab, monkeypatch, *(almost(str(number)) for number in range(210)))
    (after,) = attempts.everything()
    assert len(after.verdicts) == 200
    assert after.solved == before.solved


def test_hints_are_counted_and_a_look_at_an_older_one_takes_nothing_back(lab: Lab) -> None:
    for number in (None, None, 1):
        lab.hint("00-total", number)
    assert [(one.id, one.hints, one.tries) for one in attempts.everything()] == [("00-total", 2, 0)]


def test_a_verdict_stands_although_it_cannot_be_kept(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("LAB_STATE_DIR", str(tmp_path / "taken"))
    said(lab, monkeypatch, yes("Done."))
    assert "This verdict will not be in your report." in capsys.readouterr().out
    assert lab.hint("00-total").number == 1


@pytest.mark.skipif(os.name != "posix", reason="permissions of files are POSIX's")
def test_verdicts_are_readable_by_their_learner_only(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said(lab, monkeypatch, yes("Done."))
    assert stat.S_IMODE((tmp_path / "state" / "verdicts" / "05.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ['[{"id": "05-dead', "{}", "[1]", '[{"id": "05-x"}]', "\x00", '[{"other": 1}]'])
def test_damaged_files_are_set_aside_each_time_under_a_new_name(
    content: str, lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "state" / "verdicts"
    folder.mkdir(parents=True)
    for name in ("05.unreadable", "05.unreadable-2"):
        (folder / "05.json").write_text(content)
        assert lab.report().labs
        assert f"Your verdicts could not be read and begin anew; what was there is kept in {name}." in (
            capsys.readouterr().out
        )
        assert (folder / name).read_text() == content
    said(lab, monkeypatch, yes("Done."))
    assert [one.id for one in attempts.everything()] == ["05-dead-letters"]


def test_the_report_says_what_was_solved_and_how_well_sure_held(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    said(lab, monkeypatch, almost("Nearly."), yes("Done."))
    said(lab, monkeypatch, almost("No key yet."), exercise="06-settle")
    predicted(lab)
    lab.predict("06-open", "How many?", answer=...)
    shown = lab.report("Group 1 & 2")
    assert "labs begun" in repr(shown)
    assert re.search(r"05 Follow an order that fails +1 of 1 +0 of 1", repr(shown))
    assert repr(shown).endswith("Sure: 0 of 1 right; not answered: 1. The report is in progress.html.")
    assert '<a href="progress.html">' in shown._repr_html_()
    text = Path("progress.html").read_text(encoding="utf-8")
    for part in (
        "<h1>Progress of Group 1 &amp; 2</h1>",
        "<td>05-dead-letters</td><td>solved</td><td>20",
        "UTC</td><td>local AWS</td><td>2</td>",
        "06-settle</b> stands at: No key yet.",
        "<td>How long is it &lt;hidden&gt;?</td><td>0 s</td><td>sure</td><td>30 s</td><td>not right</td>",
        "sure: 0 of 1 right",
        "Not answered: 1.",
        "Python 3.",
        "prefers-color-scheme: dark",
        "@media print",
    ):
        assert part in text, part
    assert not re.search(r"""(?:src|href)=["']?(?!#)""", text), "it needs nothing else"


def test_the_page_is_well_formed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    said(lab, monkeypatch, almost("a < b & </script>"))
    lab.predict("05-tag", "What ends a </script>?", options=["</script>", "a"], answer="a")
    lab.report("</script>")
    opened: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            if tag not in ("meta", "col"):
                opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    Tags().feed(Path("progress.html").read_text(encoding="utf-8"))
    assert opened == []
    assert list(report.pool("progress.html")["options"]) == ["</script> | a"]


def test_no_account_no_folder_and_no_prefix_is_on_it(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said(lab, monkeypatch, almost(MISTAKE))
    lab.predict("05-where", f"Whose is {ACCOUNT} in C:\\Users\\someone\\x?", answer=123456789013)
    lab.report()
    text = Path("progress.html").read_text(encoding="utf-8")
    for private in (ACCOUNT, "lab-abc123", "/home/", "Users", str(tmp_path), "a-space"):
        assert private not in text
        assert private not in (tmp_path / "state" / "verdicts" / "05.json").read_text()
    assert report.pool("progress.html")["said"].tolist() == [123456789013]


def test_a_report_of_nothing_is_a_page_all_the_same(lab: Lab) -> None:
    assert repr(lab.report()).startswith("Progress: 0 of ")
    assert "Nothing was tried yet." in Path("progress.html").read_text(encoding="utf-8")


def test_a_notebook_that_cannot_be_read_takes_no_part(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said(lab, monkeypatch, yes("Done."))
    (tmp_path / "05-half.ipynb").write_text('{"cells": [')
    (tmp_path / "06-empty.ipynb").write_text('{"cells": []}')
    monkeypatch.setattr(report, "NOTEBOOKS", tmp_path)
    assert [(one.number, one.solved) for one in lab.report().labs] == [("05", 1)]


@pytest.mark.parametrize("name", [7, None, "x" * 81])
def test_a_name_is_a_short_text(name: Any, lab: Lab) -> None:
    with pytest.raises(LabError, match="A name is a text"):
        lab.report(name)


def test_a_report_that_cannot_be_written_is_one_sentence(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LabError, match="cannot be written"):
        lab.report(file="no/such/folder.html")
    assert main(["report", "--to", "no/such/folder.html"]) == 1
    assert main(["report", "--name", "first"]) == 0
    assert "The report is in progress.html." in capsys.readouterr().out


@pytest.fixture
def room(lab: Lab) -> Path:
    """Return a folder with the reports of three learners and the export of a fourth, who answered nothing."""
    folder = Path("room")
    folder.mkdir()
    for name, answer, confidence in (("first", 0, "sure"), ("second", 30, "guess"), ("", 30, "sure")):
        predictions.forget("05")
        predicted(lab, answer, confidence)
        lab.predict("04-full", "How full?", options=["1 to 3", "10"], answer="10", confidence=confidence)
        lab.reveal("04-full", observed="1 to 3", because="few wait")
        lab.report(name, file=str(folder / f"{name or 'nobody'}.html"))
        predictions.forget("04")
    predictions.forget("05")
    lab.predict("05-gap", "How long is it <hidden>?", unit="s")
    (folder / "export.csv").write_text(predictions.export())
    return folder


def test_a_room_is_pooled(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pooled = report.pool(room)
    gap = pooled[pooled["prediction"] == "05-gap"].set_index("report")
    assert dict(gap["said"]) == {"first": 0, "second": 30, "nobody": 30, "export": ""}
    assert dict(gap["right"]) == {"first": "no", "second": "yes", "nobody": "yes", "export": ""}
    lines = [line.split() for line in str(report.findings(pooled)).splitlines()]
    assert lines[2:] == [["04-full", "3", "0", "2"], ["05-gap", "3", "2", "1"]]
    assert capsys.readouterr().out == ""


def test_files_that_are_no_reports_are_named_and_left_out(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (room / "first.html").read_text()
    (room / "cut.html").write_text(whole[:-200])
    (room / "older.html").write_text(whole.replace('"format": 1', '"format": 0'))
    (room / "odd.html").write_text(whole.replace('"said": 0', '"said": [0]'))
    (room / "page.html").write_text("<p>Hello</p>")
    (room / "other.csv").write_text("a,b\n1,2\n")
    (room / "bytes.html").write_bytes(b"\xff\xfe")
    assert report.pool([room, room / "first.html"])["report"].nunique() == 4
    (line,) = capsys.readouterr().out.splitlines()
    names = "bytes.html, cut.html, odd.html, older.html, other.csv, page.html"
    assert line == f"Left out, because they are no reports or were cut off: {names}."
    assert report.pool(str(room / "first.html"))["report"].unique().tolist() == ["first"]
    with pytest.raises(LabError, match="no report to pool"):
        report.pool([room / "page.html", room / "missing.html"])


def test_of_two_reports_of_one_learner_the_newer_counts(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (room / "first.html").read_text()
    changed = text.replace('"said": 0', '"said": 60').replace('"written": "20', '"written": "19')
    (room / "first older.html").write_text(changed)
    (room / "sub").mkdir()
    (room / "sub" / "nobody.html").write_text((room / "nobody.html").read_text())
    pooled = report.pool(room)
    assert pooled[(pooled["report"] == "first") & (pooled["prediction"] == "05-gap")]["said"].tolist() == [0]
    assert pooled["report"].nunique() == 5
    assert "More than one report of first: the newest counts." in capsys.readouterr().out


def test_the_picture_says_what_the_room_predicted(room: Path) -> None:
    pooled = report.pool(room)
    (alone,) = report.histograms(pooled, "05-gap")
    assert alone.get_title(loc="left") == "05-gap: 2 of 3 right, 1 sure and wrong"
    assert [label.get_text() for label in alone.get_yticklabels()] == ["0 s", "30 s"]
    assert [text.get_text() for text in alone.texts] == ["1, 1 sure", "2, 1 sure"]
    both = report.histograms(pooled)
    assert [label.get_text() for label in both[0].get_yticklabels()] == ["1 to 3", "10"]
    assert repr(both[0].figure).startswith("What the room predicted: 2 of 6 answers right; 04-full: 0 of 3 right")
    with pytest.raises(LabError, match="Nobody answered 05-other"):
        report.histograms(pooled, "05-other")


def test_many_different_numbers_share_bars(room: Path) -> None:
    pooled = report.pool(room / "first.html")
    gap = pooled[pooled["prediction"] == "05-gap"]
    import pandas

    many = pandas.concat([gap.assign(said=number / 2, report=str(number)) for number in range(40)])
    (ax,) = report.histograms(many, "05-gap")
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[0] == "0 to 1.5 s"
    assert len(labels) == 10


def test_the_commands_of_a_room(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["room", str(room), "--table", "pooled.csv", "--picture", "room.svg"]) == 0
    assert "What 4 learners predicted" in capsys.readouterr().out
    assert Path("pooled.csv").read_text().startswith("report,prediction,question")
    assert Path("room.svg").read_text().startswith("<?xml")
    assert main(["room", str(room), "--picture", "room.strange"]) == 1
    assert main(["room", "nowhere"]) == 1
