"""Tracks: labs and sections that exist, and minutes that add up."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tools import course, tracks
from tools.tracks import TrackError

HEAD = """
[common]
prepare = ["Have a room."]
after = ["Clean up."]
[stalls]
"01" = ["The handle is old."]
[[track]]
name = "short"
short = "an hour"
title = "An hour"
who = "Anyone."
output = "A card."
"""
SESSION = '[[track.session]]\n[[track.session.part]]\nlab = "01"\n'


def lab(number: str, total: int, text: str) -> Any:
    """Return a notebook with one cell of text."""
    cell = SimpleNamespace(cell_type="markdown", source=text)
    path = Path(f"{number}-some-lab.ipynb")
    return SimpleNamespace(
        number=number, title="Some lab", total=total, path=path, content=SimpleNamespace(cells=[cell])
    )


LABS = [
    lab("01", 37, "# Some lab\n\n## 1. Send\n\n## 2. Lease\n\n### Looking is receiving\n\n## 20. Late"),
    lab("02", 20, "# Other\n\n## Drill 1: orders\n\n## Drill 10: cards"),
]


def read(tmp_path: Path, text: str) -> tracks.Track:
    """Return the one track of a text."""
    source = tmp_path / "tracks.toml"
    source.write_text(HEAD + text, encoding="utf-8")
    (track,) = tracks.read(LABS, source)
    return track


@pytest.mark.parametrize("track", tracks.read(course.notebooks()), ids=lambda track: track.name)
def test_a_track_takes_what_it_states(track: tracks.Track) -> None:
    assert track.minutes == track.stated or (
        track.at_most and all(one.minutes <= track.at_most for one in track.sessions)
    )
    text = tracks.page(track)
    rows = re.findall(r"^\| (\d+):(\d\d) \| (\d+) \|", text, re.MULTILINE)
    assert len(rows) == sum(len(session.parts) for session in track.sessions)
    for (hours, minutes, length), (next_hours, next_minutes, _) in pairwise(rows):
        after = 60 * int(next_hours) + int(next_minutes)
        assert after in (0, 60 * int(hours) + int(minutes) + int(length))
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (tracks.FOLDER / target).resolve().exists(), target


def test_the_five_tracks_have_their_lengths() -> None:
    there = {track.name: track.stated or track.at_most for track in tracks.read(course.notebooks())}
    assert there == {"conference": 90, "half-day": 210, "day": 390, "evenings": 140, "on-call": 120}


def test_a_whole_lab_takes_the_minutes_that_it_declares(tmp_path: Path) -> None:
    track = read(
        tmp_path,
        f'minutes = 42\n{SESSION}say = "Go."\n[[track.session.part]]\nbreak = 10\n'
        '[[track.session.part]]\nwhat = "Talk"\nminutes = 5\n',
    )
    text = tracks.page(track)
    assert "It takes 42 minutes, and 10 minutes of breaks." in text
    assert "| 0:00 | 37 | [01 Some lab](../../notebooks/01-some-lab.ipynb) | Go. |" in text
    assert "| 0:47 | 5 | Talk |  |" in text
    assert "- [01 Some lab](../../notebooks/01-some-lab.ipynb): The handle is old." in text
    assert "- Have a room." in text


def test_sections_are_named_by_how_their_headings_begin(tmp_path: Path) -> None:
    first = 'sections = ["Looking", "2."]\nminutes = 9\n'
    second = '[[track.session.part]]\nlab = "02"\nsections = ["Drill 1"]\nminutes = 1'
    track = read(tmp_path, f"minutes = 10\n{SESSION}{first}{second}")
    found = [part.sections for part in track.sessions[0].parts]
    assert found == [("Looking is receiving", "2. Lease"), ("Drill 1: orders",)]
    assert "run its first cells, under Set up, all the same" in tracks.page(track)


def test_who_is_alone_is_told_nothing_of_a_room(tmp_path: Path) -> None:
    text = tracks.page(read(tmp_path, f"at_most = 40\nalone = true\n{SESSION}"))
    assert "Have a room" not in text
    assert "you say" not in text
    assert "no session is longer than 37" in text
    assert "How to go about it" not in text, "nothing is said of it"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"minutes = 30\n{SESSION}", "The track short states 30 minutes, and its parts take 37."),
        (f"at_most = 30\n{SESSION}", "takes 37 minutes: more than stated"),
        (SESSION, "has to state its minutes"),
        (f"minutes = 9\n{SESSION.replace('01', '17')}", "names lab 17, and there is no lab 17 in notebooks/"),
        (
            f'minutes = 9\n{SESSION}sections = ["4. Not"]\nminutes = 9',
            "names a section '4. Not' of lab 01, which has 1. S",
        ),
        (f'minutes = 9\n{SESSION}sections = ["2. Lease"]', "name its sections and how many minutes they take"),
        (f"minutes = 9\n{SESSION}minutes = 9", "takes a part of lab 01: name its sections"),
    ],
)
def test_what_does_not_fit_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(TrackError, match=re.escape(sentence)):
        read(tmp_path, text)


def test_where_people_get_stuck_is_said_of_what_is_taken(tmp_path: Path) -> None:
    stalls = '"01" = ["The handle is old.", { section = "20", stall = "It is late." }]'
    source = tmp_path / "tracks.toml"
    head = HEAD.replace('"01" = ["The handle is old."]', stalls)
    source.write_text(head + f"minutes = 37\n{SESSION}", encoding="utf-8")
    (track,) = tracks.read(LABS, source)
    assert (
        "- [01 Some lab](../../notebooks/01-some-lab.ipynb)\n  - The handle is old.\n  - It is late.\n"
        in tracks.page(track)
    )
    source.write_text(head + f'minutes = 9\n{SESSION}sections = ["2."]\nminutes = 9', encoding="utf-8")
    (track,) = tracks.read(LABS, source)
    assert [stall for _, stall in track.stalls] == ["The handle is old."]


def test_where_people_get_stuck_is_said_of_labs_that_exist(tmp_path: Path) -> None:
    source = tmp_path / "tracks.toml"
    source.write_text(HEAD.replace('"01" =', '"33" =') + f"minutes = 37\n{SESSION}", encoding="utf-8")
    with pytest.raises(TrackError, match="there is no lab 33"):
        tracks.read(LABS, source)


def test_make_course_says_in_a_sentence_what_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> list[Path]:
        raise TrackError("There is no lab 17.")

    monkeypatch.setattr(course, "write", refuse)
    assert course.main() == 1
    assert capsys.readouterr().out == "There is no lab 17.\n"


def test_the_first_page_and_the_index_lead_to_the_tracks() -> None:
    notebooks = course.notebooks()
    assert "(docs/tracks/on-call.md)" in course.readme_map(notebooks)
    assert "(../docs/tracks/on-call.md)" in course.index(notebooks)
    assert set(tracks.pages(notebooks)) <= set(course.generated())
