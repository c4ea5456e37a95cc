"""What every drill is made of: a story, a broken pipeline, symptoms, a check, hints."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..card import Card
from ..catch_up import Pipeline
from ..checks import Verdict

if TYPE_CHECKING:
    from ..lab import Lab

_PAGE_WIDTH = 92


@dataclass(frozen=True)
class Scene:
    """What the building of a drill leaves.

    Attributes
    ----------
    parts : Pipeline
        Queue, role, function, trigger and source.
    symptoms : sequence of (str, str)
        What anybody can see, without the cause.
    moments : mapping of str to datetime
        When what the story tells happened, by the names in its text; `reported` is added.
    errors : int
        What the metric `Errors` of its functions said.
    draw : callable, optional
        Draws the one figure.
    """

    parts: Pipeline
    symptoms: Sequence[tuple[str, str]]
    moments: Mapping[str, datetime]
    errors: int
    draw: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Drill:
    """An incident that can be started again and again.

    Attributes
    ----------
    name : str
        What `lab.incident` calls it; its exercise is `16-` and this name.
    title : str
        The complaint in a few words.
    story : str
        Who reported what and when, with the names of moments in braces.
    build : callable
        Makes the pipeline and lets its traffic run.
    check : callable
        Sends fresh traffic and judges what became of it.
    hints : tuple of str
        Where to look, what to compare, what to change.
    """

    name: str
    title: str
    story: str
    build: Callable[[Lab], Scene]
    check: Callable[[Lab], Verdict]
    hints: tuple[str, str, str]

    @property
    def exercise(self) -> str:
        """The id of its exercise."""
        return f"16-{self.name}"


@dataclass(frozen=True, repr=False)
class Incident(Pipeline):
    """A drill under way: its pipeline's parts, and what the person on call is told and sees.

    Attributes
    ----------
    name, title, story : str
        As the drill has them, with times on the lab's clock.
    symptoms : tuple of (str, str)
        What anybody can see.
    errors : int
        What the metric `Errors` of its functions said.
    """

    name: str = ""
    title: str = ""
    story: str = ""
    symptoms: tuple[tuple[str, str], ...] = field(default=())
    errors: int = 0

    def _seen(self) -> Card:
        return Card("What anybody can see", self.symptoms)

    def __repr__(self) -> str:
        return f"{textwrap.fill(self.story, _PAGE_WIDTH)}\n{self._seen()}"

    def _repr_html_(self) -> str:
        return (
            '<div style="border-left:4px solid #D55E00; padding:0.2em 0.8em; margin-bottom:0.8em; max-width:46em">'
            f"{html.escape(self.story, quote=False)}</div>{self._seen()._repr_html_()}"
        )
