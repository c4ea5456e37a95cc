"""Tracks: the labs in 90 minutes, in a day, in six evenings; pages made of `tracks.toml` and the labs' own minutes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.environment import ROOT

if TYPE_CHECKING:
    from tools.course import Notebook

SOURCE = ROOT / "tools" / "tracks.toml"
FOLDER = ROOT / "docs" / "tracks"


class TrackError(ValueError):
    """A track that names what is not there, or whose minutes do not add up."""


@dataclass(frozen=True)
class Part:
    """A piece of a session.

    Attributes
    ----------
    what : str
        What is done, as Markdown.
    minutes : int
        How long it takes.
    sections : tuple of str
        The headings, where it is not a whole lab.
    say : str
        What a trainer says when it begins.
    labs : tuple of str
        The numbers of the labs in it.
    rest : bool
        Whether it is a break.
    """

    what: str
    minutes: int
    sections: tuple[str, ...] = ()
    say: str = ""
    labs: tuple[str, ...] = ()
    rest: bool = False


@dataclass(frozen=True)
class Session:
    """Parts without a longer pause between them."""

    title: str
    parts: tuple[Part, ...]

    @property
    def minutes(self) -> int:
        """How long it takes without its breaks."""
        return sum(part.minutes for part in self.parts if not part.rest)

    @property
    def with_breaks(self) -> int:
        """How long it takes."""
        return sum(part.minutes for part in self.parts)


@dataclass(frozen=True)
class Track:
    """A way through the labs.

    Attributes
    ----------
    name, short, title, who, output : str
        Its file's stem; what a link says; the heading; for whom it is; what they have at its end.
    sessions : tuple of Session
        In order.
    stated : int or None
        How many minutes it is said to take without its breaks.
    at_most : int or None
        How many minutes a session may take, where only that is said.
    prepare, after : tuple of str
        What is to be done before and after it.
    stalls : tuple of (str, str)
        Where people get stuck: the lab, and what is said of it.
    alone : bool
        Whether it is taken without a trainer.
    """

    name: str
    short: str
    title: str
    who: str
    output: str
    sessions: tuple[Session, ...]
    stated: int | None
    at_most: int | None
    prepare: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    stalls: tuple[tuple[str, str], ...] = ()
    alone: bool = False

    @property
    def path(self) -> Path:
        """Its page."""
        return FOLDER / f"{self.name}.md"

    @property
    def minutes(self) -> int:
        """How long it takes without its breaks."""
        return sum(session.minutes for session in self.sessions)


def read(course: list[Notebook], source: Path = SOURCE) -> list[Track]:
    """Return the tracks through a course.

    Raises
    ------
    TrackError
        When one names a lab or a section that there is not, or its minutes are not those that it states.
    """
    said = tomllib.loads(source.read_text(encoding="utf-8"))
    labs = {notebook.number: notebook for notebook in course}
    return [_track(entry, said, labs) for entry in said["track"]]


def pages(course: list[Notebook], source: Path = SOURCE) -> dict[Path, str]:
    """Return the text of each track's page."""
    return {track.path: page(track) for track in read(course, source)}


def links(course: list[Notebook], folder: str, source: Path = SOURCE) -> str:
    """Return one line that leads to all of them."""
    there = [f"[{track.short}]({folder}/{track.name}.md)" for track in read(course, source)]
    return f"Not all of it? Tracks for {', '.join(there[:-1])} and {there[-1]}."


def page(track: Track) -> str:
    """Return a track's page."""
    breaks = sum(session.with_breaks - session.minutes for session in track.sessions)
    pause = f", and {breaks} minutes of breaks" if breaks else ""
    length = f"{track.minutes} minutes{pause}"
    if track.at_most is not None:
        length += f"; no session is longer than {max(session.minutes for session in track.sessions)}"
    lines = [f"# {track.title}", "", f"{track.who} It takes {length}.", "", f"At the end: {track.output}", ""]
    partly = any(part.sections for session in track.sessions for part in session.parts)
    first = (
        " Where only sections of a lab are named, run its first cells, under Set up, all the same." if partly else ""
    )
    lines += [f"The minutes of whole labs are those that the labs declare.{first}", ""]
    for session in track.sessions:
        if session.title:
            lines += [f"## {session.title}: {session.minutes} minutes", ""]
        lines += [*_timetable(session), ""]
    before = "How to go about it" if track.alone else "What to prepare"
    for heading, points in ((before, track.prepare), ("Afterwards", track.after)):
        if not points:
            continue
        lines += [f"## {heading}", "", *(f"- {point}" for point in points), ""]
    if track.stalls:
        lines += ["## Where people get stuck", "", *_stalls(track.stalls), ""]
    return "\n".join(lines)


def _stalls(said: Sequence[tuple[str, str]]) -> Iterator[str]:
    for lab, group in groupby(said, key=lambda one: one[0]):
        first, *more = (stall for _, stall in group)
        if more:
            yield f"- {lab}"
            yield from (f"  - {stall}" for stall in (first, *more))
        else:
            yield f"- {lab}: {first}"


def _timetable(session: Session) -> list[str]:
    spoken = any(part.say for part in session.parts)
    lines = [f"| from | minutes | what |{' you say |' if spoken else ''}", f"|--:|--:|---|{'---|' if spoken else ''}"]
    clock = 0
    for part in session.parts:
        sections = f": {'; '.join(part.sections)}" if part.sections else ""
        row = f"| {clock // 60}:{clock % 60:02} | {part.minutes} | {part.what}{sections} |"
        lines.append(row + (f" {part.say} |" if spoken else ""))
        clock += part.minutes
    return lines


def _track(entry: dict[str, Any], said: dict[str, Any], labs: dict[str, Notebook]) -> Track:
    name = entry["name"]
    sessions = tuple(
        Session(session.get("title", ""), tuple(_part(part, name, labs) for part in session["part"]))
        for session in entry["session"]
    )
    parts = [part for session in sessions for part in session.parts]
    for lab in set(said["stalls"]) - set(labs):
        raise TrackError(f"tools/tracks.toml says where people get stuck in lab {lab}, and there is no lab {lab}.")
    common: dict[str, list[str]] = {} if entry.get("alone") else said["common"]
    track = Track(
        name,
        entry["short"],
        entry["title"],
        entry["who"],
        entry["output"],
        sessions,
        entry.get("minutes"),
        entry.get("at_most"),
        (*entry.get("prepare", ()), *common.get("prepare", ())),
        tuple(common.get("after", ())),
        tuple(
            (_link(labs[lab]), stall)
            for lab in dict.fromkeys(lab for part in parts for lab in part.labs)
            for stall in _told(said["stalls"].get(lab, ()), labs[lab], parts, name)
        ),
        bool(entry.get("alone")),
    )
    if track.stated is not None and track.minutes != track.stated:
        raise TrackError(f"The track {name} states {track.stated} minutes, and its parts take {track.minutes}.")
    if (track.stated is None) == (track.at_most is None):
        raise TrackError(f"The track {name} has to state its minutes, or those that a session may take at most.")
    for session in sessions:
        if track.at_most is not None and session.minutes > track.at_most:
            raise TrackError(f"{session.title} of the track {name} takes {session.minutes} minutes: more than stated.")
    return track


def _told(said: Sequence[Any], lab: Notebook, parts: Sequence[Part], track: str) -> Iterator[str]:
    """Yield what is said of a lab, as far as its sections are taken."""
    mine = [part for part in parts if lab.number in part.labs]
    for one in said:
        if isinstance(one, str):
            yield one
        elif (section := _section(lab, one["section"], track)) and any(
            not part.sections or section in part.sections for part in mine
        ):
            yield one["stall"]


def _part(entry: dict[str, Any], track: str, labs: dict[str, Notebook]) -> Part:
    say = entry.get("say", "")
    if "break" in entry:
        return Part("Break", entry["break"], rest=True)
    if "what" in entry and "lab" not in entry:
        return Part(entry["what"], entry["minutes"], say=say)
    numbers = tuple(entry.get("one_of", ())) or (entry["lab"],)
    for number in numbers:
        if number not in labs:
            raise TrackError(f"The track {track} names lab {number}, and there is no lab {number} in notebooks/.")
    if "one_of" in entry:
        return Part("One of " + ", ".join(_link(labs[one]) for one in numbers), entry["minutes"], (), say, numbers)
    lab = labs[entry["lab"]]
    sections = tuple(_section(lab, begin, track) for begin in entry.get("sections", ()))
    minutes = entry.get("minutes", None if sections else lab.total)
    if minutes is None or (not sections and minutes != lab.total and "what" not in entry):
        raise TrackError(
            f"The track {track} takes a part of lab {lab.number}: name its sections and how many minutes they take."
        )
    what = f"{_link(lab)}: {entry['what']}" if "what" in entry else _link(lab)
    return Part(what, minutes, sections, say, numbers)


def _section(lab: Notebook, begin: str, track: str) -> str:
    text = "\n".join(cell.source for cell in lab.content.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^#{2,4} (.+)$", text, re.MULTILINE)
    found = [one for one in headings if one == begin or re.match(rf"{re.escape(begin)}(?!\w)", one)]
    if len(found) != 1:
        there = "; ".join(headings)
        raise TrackError(f"The track {track} names a section {begin!r} of lab {lab.number}, which has {there}.")
    return found[0]


def _link(lab: Notebook) -> str:
    return f"[{lab.number} {lab.title}](../../notebooks/{lab.path.name})"
