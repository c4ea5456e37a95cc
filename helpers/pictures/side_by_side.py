"""The same messages through several queues: in which order they were handled, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import recorder
from ..plots import DEAD_LETTER, DONE, IN_FLIGHT, VISIBLE
from .canvas import GREY, SMALL, count, describe, headline, panels, require, style

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

_CYCLE = (VISIBLE, IN_FLIGHT, DONE, GREY)


def order_by_queue(logs: Mapping[str, pandas.DataFrame], *, title: str = "") -> list[Axes]:
    """Draw of each queue when each message was handled against its place in the sending, and the seconds of all.

    The messages of a group share a colour and a line. A message is overtaken when a later one of its group was handled
    before it.

    Parameters
    ----------
    logs : mapping of str to pandas.DataFrame
        A log by the name of each queue.
    title : str, optional
        The finding; without it one is made of the data.

    Returns
    -------
    list of matplotlib.axes.Axes
        One for each queue, and the one with the seconds.

    Raises
    ------
    LabError
        When no message was handled.
    """
    tables = {name: recorder.placed(log) for name, log in logs.items()}
    for table in tables.values():
        require(table, "no message that was handled", "Wait for the function, and read it again with lab.recorder().")
    facts = recorder.by_queue(logs)
    spans = {str(name): float(span) for name, span in facts["seconds"].items()}
    late = {str(name): int(number) for name, number in facts["overtaken"].items()}
    most = int(facts["messages"].max())
    finding = title or f"Same {count(most, 'message')}: {_ways(facts)}"
    with style():
        figure: Any = panels(height=4.3)[0].figure
        figure.clf()
        grid = figure.add_gridspec(2, len(tables), height_ratios=(3, 0.25 + 0.3 * len(tables)))
        axes: list[Axes] = []
        for number, (name, table) in enumerate(tables.items()):
            ax = figure.add_subplot(grid[0, number], sharey=axes[0] if axes else None)
            _panel(ax, table, name, late[name])
            ax.set_ylim(0, most * 1.04)
            ax.tick_params(axis="y", labelleft=not number, length=0 if number else 3)
            axes.append(ax)
        axes[0].set_ylabel("number in the sending")
        axes.append(figure.add_subplot(grid[1, :]))
        _bars(axes[-1], spans)
        headline(axes, finding)
        said = [f"{name} {late[name] or 'none'} of {len(table)} overtaken" for name, table in tables.items()]
        describe(axes[0], f"{finding}: " + ", ".join(said))
    return axes


def _ways(facts: pandas.DataFrame) -> str:
    kept = [f"{name} {row['seconds']:.1f} s" for name, row in facts.iterrows() if not row["overtaken"]]
    broken = [
        f"{name} {row['seconds']:.1f} s, {int(row['overtaken'])} overtaken"
        for name, row in facts.iterrows()
        if row["overtaken"]
    ]
    order = [f"{', '.join(kept)}, in order per group{' each time' if len(kept) > 1 else ''}"] if kept else []
    return "; ".join([*order, *broken])


def _panel(ax: Axes, table: pandas.DataFrame, name: str, late: int) -> None:
    from matplotlib.ticker import MaxNLocator

    for number, (_, part) in enumerate(table.groupby("group", sort=True)):
        color = _CYCLE[number % len(_CYCLE)]
        ax.plot(part["seconds"], part["number"], color=color, ls="-", lw=1, marker="o", ms=3)
    wrong = table[table["late"]]
    if late:
        ax.plot(wrong["seconds"], wrong["number"], ls="", marker="X", ms=4.5, color=DEAD_LETTER)
    ax.set_xlim(0, float(table["seconds"].max()) * 1.06)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=3, min_n_ticks=2))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g} s")
    verdict = f"{late} overtaken ✖" if late else "in order per group"
    ax.set_title(f"{name}\n{verdict}", fontsize=SMALL, color=DEAD_LETTER if late else DONE, pad=4)


def _bars(ax: Axes, spans: Mapping[str, float]) -> None:
    ax.barh(range(len(spans)), list(spans.values()), height=0.6, color=IN_FLIGHT)
    for place, value in enumerate(spans.values()):
        ax.annotate(
            f"{value:.1f} s",
            (value, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=IN_FLIGHT,
            fontsize=SMALL,
        )
    ax.set_xlim(0, max(spans.values()) * 1.12)
    ax.set_ylim(len(spans) - 0.4, -0.6)
    ax.set_yticks(range(len(spans)), list(spans), fontsize=SMALL)
    ax.set_xticks([0])
    ax.set_xticklabels([""])
    ax.set_xlabel("until the last was handled")
    ax.grid(False)
