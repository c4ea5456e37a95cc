"""What is generated from the notebooks' own metadata: navigation, cards, the index, README's map, the tracks.

Each notebook says in its metadata, under `lab`, how many minutes it takes (`reading`, `doing`, `waiting` on the local
AWS, `waiting_on_aws`), which notebooks it comes `after`, and what you will do in it (`you_will`). One that is no lab
says of what `kind` it is: a `replay` has claims about AWS in place of exercises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from tools import tracks
from tools.environment import ROOT

FOLDER = ROOT / "notebooks"
INDEX = FOLDER / "README.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- labs: make course -->", "<!-- end of labs -->"
NAVIGATION = "navigation"
KINDS = ("reading", "doing", "waiting")


@dataclass(frozen=True)
class Notebook:
    """A notebook, and what it says of itself.

    Attributes
    ----------
    path : Path
        Its file.
    content : NotebookNode
        Its cells and metadata.
    title, outcome : str
        Its heading, and the paragraph under it.
    minutes : dict of str to int
        By `reading`, `doing`, `waiting` and `waiting_on_aws`.
    after : list of str
        The two digits of the notebooks that it builds on.
    you_will : str
        What you will do in it, to follow those two words.
    kind : str
        `lab`, or `replay`.
    """

    path: Path
    content: Any
    title: str
    outcome: str
    minutes: dict[str, int]
    after: list[str]
    you_will: str
    kind: str = "lab"

    @property
    def number(self) -> str:
        """Its two digits."""
        return self.path.stem[:2]

    @property
    def total(self) -> int:
        """Minutes on the local AWS."""
        return sum(self.minutes[kind] for kind in KINDS)


def read(path: Path) -> Notebook:
    """Read a notebook."""
    content = nbformat.read(path, as_version=4)
    heading, outcome = re.findall(r"^# (.+)\n\n(.+)$", content.cells[0].source, re.MULTILINE)[0]
    said = content.metadata["lab"]
    kind = said.get("kind", "lab")
    return Notebook(path, content, heading, outcome, dict(said["minutes"]), list(said["after"]), said["you_will"], kind)


def notebooks() -> list[Notebook]:
    """Return the course, in order."""
    return [read(path) for path in sorted(FOLDER.glob("[0-9][0-9]-*.ipynb"))]


def card(notebook: Notebook) -> str:
    """Return the first cell with its row of times."""
    spelt = ", ".join(f"{notebook.minutes[kind]} {kind}" for kind in KINDS)
    row = f"| **Time** | {notebook.total} minutes: {spelt} |"
    return re.sub(r"^\| \*\*Time\*\* \|.*\|$", row, str(notebook.content.cells[0].source), count=1, flags=re.MULTILINE)


def navigation(course: list[Notebook], place: int) -> str:
    """Return the links at a notebook's end."""
    links = ["[All labs](README.md)"]
    if place:
        links.insert(0, f"← [{label(course[place - 1])}]({course[place - 1].path.name})")
    if place + 1 < len(course):
        links.append(f"[{label(course[place + 1])}]({course[place + 1].path.name}) →")
    return "---\n\n" + " · ".join(links)


def label(notebook: Notebook) -> str:
    """Return number and title."""
    return f"{notebook.number} {notebook.title}"


def index(course: list[Notebook]) -> str:
    """Return notebooks/README.md."""
    lines = [
        "# All labs",
        "",
        "Each lab stands alone: `lab.catch_up()` in its first cells makes, in seconds, what the labs before it made.",
        "Minutes are declared in the labs themselves; *waiting* is what remains of it on the local AWS, where time is",
        "moved on, and *on AWS* what the same cells wait for on a real account.",
        "",
        "| lab | you will | after | minutes | reading | doing | waiting | on AWS |",
        "|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for one in course:
        times = [str(one.minutes[kind]) for kind in (*KINDS, "waiting_on_aws")]
        after = ", ".join(one.after) or "nothing"
        link = f"[{label(one)}]({one.path.name})"
        lines.append(f"| {link} | {one.you_will} | {after} | {one.total} | {' | '.join(times)} |")
    sums = [sum(one.minutes[kind] for one in course) for kind in (*KINDS, "waiting_on_aws")]
    whole = sum(one.total for one in course)
    lines.append(f"| all of them | | | {whole} | {' | '.join(map(str, sums))} |")
    lines += ["", f"That is {whole / 60:.1f} hours. {tracks.links(course, '../docs/tracks')} What each teaches:"]
    return "\n".join([*lines, "", *outcomes(course), ""])


def outcomes(course: list[Notebook]) -> list[str]:
    """Return a line a notebook, of what it says under its title."""
    return [f"- **{label(one)}.** {one.outcome}" for one in course]


def readme_map(course: list[Notebook]) -> str:
    """Return the table for README's first page."""
    lines = ["| lab | you will | minutes |", "|---|---|--:|"]
    for one in course:
        lines.append(f"| [{label(one)}](notebooks/{one.path.name}) | {one.you_will} | {one.total} |")
    return "\n".join([*lines, "", tracks.links(course, "docs/tracks")])


def generated() -> dict[Path, str]:
    """Return the text of every file that holds something generated, as it should be."""
    course = notebooks()
    texts = {INDEX: index(course), **tracks.pages(course)}
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    texts[README] = f"{before}{BEGIN}\n{readme_map(course)}\n{END}{after}"
    for place, notebook in enumerate(course):
        content = notebook.content
        content.cells[0].source = card(notebook)
        cells = [cell for cell in content.cells if NAVIGATION not in cell.metadata.get("tags", [])]
        last = nbformat.v4.new_markdown_cell(
            navigation(course, place), id=NAVIGATION, metadata={"tags": [NAVIGATION], "editable": False}
        )
        content.cells = [*cells, last]
        texts[notebook.path] = nbformat.writes(content, indent=1) + "\n"
    return texts


def write() -> list[Path]:
    """Write what is generated, where it differs, and return those files."""
    changed = []
    for path, text in generated().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def main() -> int:
    """Write what is generated and say which files that changed, or in a sentence why it cannot be."""
    try:
        changed = write()
    except tracks.TrackError as problem:
        print(problem)
        return 1
    print(*map(str, changed) if changed else ["Nothing to do."], sep="\n")
    return 0
