"""A stack as its template draws it: what refers to what, each resource's state, and what a change has replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import templates
from ..plots import DEAD_LETTER, DONE, VISIBLE
from .canvas import GREY, SMALL, count, describe, headline, listed, panels, require, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 0.36
_ENDING = 12
_FATES = {
    "new": ("+", VISIBLE),
    "replaced": ("↻", DEAD_LETTER),
    "changed": ("✎", DONE),
    "removed": ("✕", DEAD_LETTER),
    "as before": ("", GREY),
}


class _Part(NamedTuple):
    name: str
    kind: str
    state: str
    fate: str
    ids: str


def stack(
    template: str,
    resources: Sequence[Mapping[str, Any]],
    *,
    before: Sequence[Mapping[str, Any]] | None = None,
    title: str = "",
) -> Axes:
    """Draw a stack's resources in the order of their making, with an arc from each to what refers to it.

    Parameters
    ----------
    template : str
        Its template.
    resources : sequence of mappings
        As `describe_stack_resources` returns them under `StackResources`.
    before : sequence of mappings, optional
        The same from before a change: what was replaced and what was changed stands out.
    title : str, optional
        The finding; without it one is made of the data.

    Returns
    -------
    matplotlib.axes.Axes
        With the drawing.

    Raises
    ------
    LabError
        When there is no resource, and for a template that cannot be read.
    """
    require(resources, "no resource", "Make the stack first, and ask again with describe_stack_resources.")
    body = templates.read(template)
    now = {one["LogicalResourceId"]: one for one in resources}
    earlier = {one["LogicalResourceId"]: one for one in before or ()}
    order = [name for name in templates.in_order(body) if name in now]
    order += [name for name in now if name not in order]
    parts = [_part(now[name], earlier.get(name), compared=before is not None) for name in order]
    links = templates.references(body)
    arcs = [(other, name) for name in order for other in links.get(name, ()) if other in order]
    finding = title or _finding(parts, compared=before is not None)
    with style():
        (ax,) = panels(height=1.1 + _ROW * len(parts))
        place = {name: row for row, name in enumerate(order)}
        for start, end in arcs:
            marked = {part.name for part in parts if part.fate == "replaced"} >= {start, end}
            _arc(ax, place[start], place[end], DEAD_LETTER if marked else GREY)
        for row, part in enumerate(parts):
            _row(ax, row, part, compared=before is not None)
        ax.text(
            -1.8, len(parts) - 0.1, "an arrow leads from a resource to what refers to it", color=GREY, fontsize=SMALL
        )
        ax.set_xlim(-1.9, 10.4)
        ax.set_ylim(len(parts) + 0.1, -0.7)
        ax.set_axis_off()
        headline([ax], finding)
        told = [
            f"{part.name} ({part.kind}) {part.fate if before is not None else part.state}"
            + (f", refers to {listed(links[part.name])}" if links.get(part.name) else "")
            for part in parts
        ]
        describe(ax, f"{finding}: " + "; ".join(told))
    return ax


def _part(one: Mapping[str, Any], earlier: Mapping[str, Any] | None, *, compared: bool) -> _Part:
    ident, state = str(one.get("PhysicalResourceId") or ""), str(one["ResourceStatus"])
    ids = _short(ident)
    if not compared:
        fate = ""
    elif earlier is None:
        fate = "new"
    elif earlier["PhysicalResourceId"] != ident:
        fate, ids = "replaced", f"{_short(str(earlier['PhysicalResourceId']))} → {ids}"
    elif earlier["Timestamp"] != one["Timestamp"]:
        fate = "changed"
    else:
        fate = "as before"
    return _Part(one["LogicalResourceId"], one["ResourceType"].rpartition("::")[2], state, fate, ids)


def _short(ident: str) -> str:
    """Return the end of a physical id, which is what differs."""
    last = ident.rpartition("/")[2].rpartition(":")[2] if "/" in ident or ":" in ident else ident
    return last if len(last) <= _ENDING else f"…{last[-_ENDING:]}"


def _finding(parts: Sequence[_Part], *, compared: bool) -> str:
    if not compared:
        states = {part.state for part in parts}
        return f"{count(len(parts), 'resource')}: {listed(sorted(states))}"
    found = [(fate, sum(part.fate == fate for part in parts)) for fate in _FATES]
    told = listed([f"{number} {fate}" for fate, number in found if number])
    return f"{count(len(parts), 'resource')}: {told}"


def _arc(ax: Axes, start: int, end: int, color: str) -> None:
    from matplotlib.patches import FancyArrowPatch

    # Long arcs reach further to the left, so that no two lie on each other.
    ax.add_patch(
        FancyArrowPatch(
            (-0.12, start + 0.06),
            (-0.12, end - 0.06),
            connectionstyle=f"arc3,rad={0.34 + 0.28 / abs(end - start)}",
            arrowstyle="-|>",
            mutation_scale=9,
            color=color,
            lw=1.4 if color != GREY else 1.0,
            shrinkA=0,
            shrinkB=0,
        )
    )


def _row(ax: Axes, row: int, part: _Part, *, compared: bool) -> None:
    mark, color = _FATES[part.fate] if compared else ("", _color_of(part.state))
    text: dict[str, Any] = {"va": "center", "fontsize": SMALL}
    ax.text(0, row, part.name, fontweight="bold", color=color, **text)
    ax.text(1.85, row, part.kind, color=GREY, **text)
    said = f"{mark} {part.fate}".strip() if compared else part.state
    ax.text(4.25, row, said, color=color, **text)
    ax.text(6.65, row, part.ids, color=color if part.fate == "replaced" else GREY, **text)


def _color_of(state: str) -> str:
    if state.endswith("_FAILED") or state.startswith("DELETE"):
        return DEAD_LETTER
    return DONE if state.endswith("_COMPLETE") else VISIBLE
