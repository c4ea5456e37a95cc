"""The scaling model: beside the local AWS at small scale, and alone over minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import recorder
from ..plots import DEAD_LETTER, DONE, IN_FLIGHT, VISIBLE
from .canvas import GREY, SMALL, Label, at_right, describe, headline, panels, require, style
from .functions import _highest, _running, _whole

if TYPE_CHECKING:
    import numpy
    import pandas
    from matplotlib.axes import Axes

MEASURES = {
    "concurrency": "runs at once",
    "age_s": "age of the oldest, s",
    "waiting": "messages waiting",
    "allowed": "runs that pollers may hold",
    "in flight": "messages in flight",
    "done": "messages done",
    "dead": "dead letters",
}
"""The columns of the model's table that can be drawn, and what their axes say."""

_CYCLE = ((VISIBLE, "-"), (DEAD_LETTER, "--"), (DONE, "-."), (IN_FLIGHT, ":"))
_POINTS = 22


def agreement(
    logs: Mapping[str, pandas.DataFrame], models: Mapping[str, pandas.DataFrame], *, title: str = ""
) -> list[Axes]:
    """Draw the model's line and a cloud's points on top: runs at once, and messages that had their end.

    Parameters
    ----------
    logs : mapping of str to pandas.DataFrame
        What happened, a log by the name of each setup.
    models : mapping of str to pandas.DataFrame
        The model's logs, by the same names.
    title : str, optional
        The finding; without it, by how much the times differ.

    Returns
    -------
    list of matplotlib.axes.Axes
        The upper row, then the lower one.

    Raises
    ------
    LabError
        When a log holds no run.
    """
    import numpy

    said = []
    with style():
        axes = panels(2, len(logs), height=3.9, sharex="col")
        for number, (name, log) in enumerate(logs.items()):
            upper, lower = axes[number], axes[len(logs) + number]
            seen, ours = _steps(log), _steps(models[name])
            span = max(seen["span"], ours["span"]) * 1.04
            moments = numpy.linspace(0.01, span * 0.98, _POINTS)
            for ax, what in ((upper, "running"), (lower, "ended")):
                x, y = _drawn(ours[what], what, span)
                ax.step(x, y, where="post", color=VISIBLE, lw=1.6, ls="-")
                times, values = _drawn(seen[what], what, span)
                at = values[numpy.searchsorted(times, moments, side="right") - 1]
                ax.plot(moments, at, ls="", marker="o", ms=3.6, color=DEAD_LETTER, zorder=4)
                ax.set_xlim(-0.02 * span, span)
                top = max(1.0, float(y.max()), float(at.max()))
                ax.set_ylim(0, top * 1.14)
                ax.yaxis.set_major_locator(_whole(top))
            upper.set_title(name, fontsize=SMALL + 0.5, pad=5)
            lower.set_xlabel("seconds")
            said.append(f"{name}: {seen['span']:.1f} s, the model {ours['span']:.1f} s")
        axes[0].set_ylabel("runs at once")
        axes[len(logs)].set_ylabel("messages ended")
        lower = axes[len(logs)]
        for height, color, word in ((0.9, VISIBLE, "line: model"), (0.78, DEAD_LETTER, "points: what ran")):
            lower.text(0.04, height, word, color=color, fontsize=SMALL, transform=lower.transAxes)
        finding = title or "; ".join(said)
        headline(axes, finding)
        describe(axes[0], f"{finding}: " + "; ".join(said))
    return axes


def _drawn(steps: Any, what: str, span: float) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the steps from 0 on; of runs at once the highest in each stretch, for between two batches they dip."""
    import numpy

    x, y = steps
    return _highest(x, y, span) if what == "running" else (numpy.r_[0, x, span], numpy.r_[0, y, y[-1:]])


def _steps(log: pandas.DataFrame) -> dict[str, Any]:
    """Return runs at once and messages ended, by seconds since the first receive, and when the last one ended."""
    import numpy

    runs, table = recorder.invocations(log), recorder.messages(log)
    require(runs, "no invocation", "Let the messages be handled first.")
    begin = log.loc[log["event"] == "received", "time"].min()

    def since(times: pandas.Series) -> numpy.ndarray:
        return numpy.array((times - begin).dt.total_seconds(), float)

    ends = numpy.sort(since(table["ended"].dropna()))
    last = float(ends.max()) if len(ends) else 0.0
    running = _running(since(runs["accepted"]), since(runs["end"].fillna(log["time"].max())))
    return {"running": running, "ended": (ends, numpy.arange(1, len(ends) + 1)), "span": last}


def growth(
    tables: Mapping[str, pandas.DataFrame],
    columns: Sequence[str] = ("concurrency", "age_s"),
    *,
    limits: Mapping[str, float] | None = None,
    limit_name: str = "limit",
    title: str = "",
) -> list[Axes]:
    """Draw the model over minutes: a panel for each column, a line for each setup.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        `Outcome.seconds` by the name of each setup, at most four.
    columns : sequence of str
        Which of `MEASURES`.
    limits : mapping of str to number, optional
        A line at this height, by column.
    limit_name : str
        What to call it.
    title : str, optional
        The finding; without it, the highest value of the first column in each.

    Returns
    -------
    list of matplotlib.axes.Axes
        From top to bottom.

    Raises
    ------
    LabError
        When a table is empty.
    """
    from matplotlib.ticker import StrMethodFormatter

    for table in tables.values():
        require(table, "no second", "Run the model with scaling.simulate first.")
    known = dict(limits or {})
    span = max(float(table.index.max()) for table in tables.values()) / 60
    most = {name: {column: float(table[column].max()) for column in columns} for name, table in tables.items()}
    said = [
        f"{name} up to " + ", ".join(f"{value:,.0f} {MEASURES[column]}" for column, value in highest.items())
        for name, highest in most.items()
    ]
    finding = title or "; ".join(said)
    with style():
        axes = panels(len(columns), 1, height=0.7 + 1.75 * len(columns), sharex=True)
        for ax, column in zip(axes, columns, strict=True):
            labels = []
            for (name, table), (color, line) in zip(tables.items(), _CYCLE, strict=False):
                values = table[column].fillna(0.0)
                ax.plot(table.index / 60, values, color=color, ls=line, lw=1.7)
                peak = int(values.to_numpy().argmax())
                highest = f"up to {values.max():,.1f}" if values.max() < 9.95 else f"up to {values.max():,.0f}"
                word = f"{name}: {highest}" if len(tables) > 1 else highest
                labels.append(Label(span, float(values.iloc[min(peak, len(values) - 1)]), word, color))
            top = max([label.y for label in labels] + [known.get(column, 0), 1.0])
            if column in known:
                ax.hlines(known[column], 0, span, color=GREY, ls="--", lw=1.4, zorder=1)
                labels.append(Label(span, known[column], f"{limit_name} {known[column]:,}", GREY))
            ax.set_ylim(0, top * 1.12)
            ax.set_xlim(-0.01 * span, span * 1.01)
            ax.yaxis.set_major_locator(_whole(top))
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            at_right(ax, labels, gap=0.13, x=span)
            ax.set_ylabel(MEASURES[column])
        axes[-1].set_xlabel("minutes")
        headline(axes, finding)
        describe(axes[0], f"{finding}: " + "; ".join(said))
    return axes
