"""Bills beside each other: what each kind of request costs, stacked."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..costs import KINDS, Usage, spelt
from ..plots import DEAD_LETTER, DONE, IN_FLIGHT, VISIBLE
from .canvas import GREY, Label, callouts, count, describe, headline, panels, require, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS = {
    "send": (VISIBLE, ""),
    "receive": (IN_FLIGHT, ""),
    "delete": (DONE, ""),
    "idle": (DEAD_LETTER, ""),
    "runs": (GREY, ""),
    "duration": (GREY, "////"),
    "pollers": (GREY, "...."),
}
_WIDTH = 24


def bills(usages: Mapping[str, Usage], *, title: str = "") -> Axes:
    """Draw what each usage costs as a bar, stacked by what is charged, with its sum at the end.

    Parameters
    ----------
    usages : mapping of str to costs.Usage
        A usage by the name of each way.
    title : str, optional
        The finding; without it the dearest is compared with the cheapest.

    Returns
    -------
    matplotlib.axes.Axes
        With the drawing.

    Raises
    ------
    LabError
        When there is no usage.
    """
    require(usages, "nothing that costs", "Count something first: costs.counted(…) or costs.model(…).")
    sums = {name: usage.total for name, usage in usages.items()}
    dearest, cheapest = max(sums, key=lambda name: sums[name]), min(sums, key=lambda name: sums[name])
    finding = title or f"{dearest}: {spelt(sums[dearest])} a month; {cheapest}: {spelt(sums[cheapest])}"
    shown = [kind for kind in KINDS if any(usage.dollars[kind] for usage in usages.values())]
    with style():
        (ax,) = panels(height=2.2 + 0.42 * len(usages))
        left = [0.0] * len(usages)
        names = []
        for kind in shown:
            color, hatch = _LOOKS[kind]
            widths = [usage.dollars[kind] for usage in usages.values()]
            look: dict[str, Any] = {"color": color} if not hatch else {"facecolor": "none", "edgecolor": color}
            ax.barh(range(len(usages)), widths, left=left, height=0.55, hatch=hatch, lw=0, **look)
            row = next(number for number, width in enumerate(widths) if width)
            names.append(Label(left[row] + widths[row] / 2, row - 0.28, KINDS[kind], color))
            left = [start + width for start, width in zip(left, widths, strict=True)]
        for place, total in enumerate(sums.values()):
            ax.annotate(
                spelt(total), (left[place], place), xytext=(4, 0), textcoords="offset points", va="center", color=GREY
            )
        ax.set_yticks(range(len(usages)), [textwrap.fill(str(name), _WIDTH) for name in usages])
        ax.set_xlim(0, max([*left, 1e-9]) * 1.13)
        top = callouts(ax, names, top=-0.5, row=-0.36, pixels=680)
        ax.set_ylim(len(usages) - 0.5, top - 0.4)
        ax.xaxis.set_major_formatter(lambda value, _: f"${value:,.2f}")
        ax.grid(False)
        ax.spines["left"].set_bounds(-0.5, len(usages) - 0.5)
        ax.set_xlabel(f"US dollars a month{_for(usages)}")
        headline([ax], finding)
        parts = (
            f"{name} {spelt(sums[name])} ("
            + ", ".join(f"{KINDS[kind]} {spelt(usage.dollars[kind])}" for kind in shown if usage.dollars[kind])
            + ")"
            for name, usage in usages.items()
        )
        describe(ax, f"{finding}: " + "; ".join(parts))
    return ax


def _for(usages: Mapping[str, Usage]) -> str:
    numbers = {round(usage.messages) for usage in usages.values()}
    return f" for {count(numbers.pop(), 'message')}" if len(numbers) == 1 else ""
