"""The order in which messages were handled, group by group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .. import recorder
from ..plots import DEAD_LETTER, DONE, VISIBLE
from .canvas import (
    GREY,
    SMALL,
    Clock,
    Label,
    at_right,
    count,
    describe,
    duration,
    headline,
    panels,
    require,
    rules,
    style,
)

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

MOST_GROUPS = 12
MOST_ROWS = 60


def order_by_group(log: pandas.DataFrame, *, groups: Mapping[str, str] | None = None, title: str = "") -> list[Axes]:
    """Draw when each message was handled against its place in its group, one small picture a group.

    A message is out of order when a later one of its group was handled before it. Above 12 groups there is one row a
    group, above 60 only totals.

    Parameters
    ----------
    log : pandas.DataFrame
        As `lab.recorder()` returns it.
    groups : mapping of str to str, optional
        The group of each message id; without it MessageGroupId, and one group for messages that have none.
    title : str, optional
        The finding; without it one is made of the data.

    Returns
    -------
    list of matplotlib.axes.Axes
        With the drawings.

    Raises
    ------
    LabError
        When no message was handled.
    """
    table = recorder.handled(log, groups)
    require(table, "no message that was handled", "Wait for the function, and read the log again with lab.recorder().")
    number = table["group"].nunique()
    clock = Clock(log["time"].min(), table["time"].max(), "the first message was sent")
    wrong = int(table["late"].sum())
    span = f"in {duration(clock.span)}"
    many = f"{count(len(table), 'message')} in {count(number, 'group')}"
    if number == 1:
        many = count(len(table), "message")
    order = "in order" if number == 1 else "in order within each group"
    finding = title or (f"{many}: {wrong:,} out of order, {span}" if wrong else f"{many}: {order}, {span}")
    with style():
        if number <= MOST_GROUPS:
            axes = _small_multiples(table, clock)
        else:
            axes = panels(height=min(6.0, 1.2 + 0.085 * number) if number <= MOST_ROWS else 2.8)
            (_rows if number <= MOST_ROWS else _totals)(axes[0], table, clock)
        headline(axes, finding)
        parts = table.groupby("group", sort=True)["late"].agg(["size", "sum"])
        words = [
            f"{name or 'no group'} {size}" + (f", {late} out of order" if late else "")
            for name, size, late in parts.itertuples()
        ]
        describe(axes[0], f"{finding}: " + "; ".join(words[:20]) + ("; …" if len(words) > 20 else ""))
    return axes


def _small_multiples(table: pandas.DataFrame, clock: Clock) -> list[Axes]:
    from matplotlib.ticker import MaxNLocator

    parts = list(table.groupby("group", sort=True))
    columns = min(len(parts), 3 if len(parts) <= 9 else 4)
    rows = -(-len(parts) // columns)
    axes = panels(rows, columns, height=2.9 if rows == 1 else 1.0 + 1.15 * rows, sharex=True, sharey=True)
    top = int(table["place"].max())
    for number, (ax, (name, part)) in enumerate(zip(axes, parts, strict=False)):
        x, y = clock.of(part["time"]), part["place"].to_numpy()
        late = part["late"].to_numpy(bool)
        ax.plot(x, y, color=DONE, lw=1, ls="-", alpha=0.6)
        ax.plot(x[~late], y[~late], ls="", marker="o", ms=4, color=DONE)
        ax.plot(x[late], y[late], ls="", marker="X", ms=6.5, color=DEAD_LETTER)
        clock.dress(ax, label=False, most=8 // columns + 2 if columns > 1 else 8)
        ax.set_ylim(0.2, top + 1 + 0.1 * top)
        text = f"{name}: " if name else ""
        verdict = f"{int(late.sum())} out of order ✖" if late.any() else "in order"
        color = DEAD_LETTER if late.any() else DONE
        ax.text(0.02, 0.97, f"{text}{verdict}", transform=ax.transAxes, va="top", color=color, fontsize=SMALL)
        if number % columns:
            ax.tick_params(axis="y", length=0)
    for ax in axes[len(parts) :]:
        ax.set_visible(False)
    axes[0].yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, steps=[1, 2, 5, 10]))
    figure = axes[0].figure
    where = "time, UTC" if clock.by_day else f"seconds since {clock.origin}"
    figure.supxlabel(f"handled, {where}", color="#777777", fontsize=10)  # type: ignore[union-attr]
    figure.supylabel("place in its group", color="#777777", fontsize=10)  # type: ignore[union-attr]
    return axes[: len(parts)]


def _rows(ax: Axes, table: pandas.DataFrame, clock: Clock) -> None:
    names = sorted(table["group"].unique())
    lane = {name: number for number, name in enumerate(names)}
    x, y = clock.of(table["time"]), table["group"].map(lane).to_numpy()
    late = table["late"].to_numpy(bool)
    ax.plot(x[~late], y[~late], ls="", marker="o", ms=3.2, color=DONE)
    ax.plot(x[late], y[late], ls="", marker="X", ms=6, color=DEAD_LETTER)
    clock.dress(ax, room=0.2)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_yticks(range(0, len(names), 5), names[::5], fontsize=SMALL)
    ax.set_ylabel("group")
    ax.grid(False)
    labels = [Label(clock.span, len(names) * 0.35, f"● {int((~late).sum()):,} in order", DONE)]
    if late.any():
        labels.append(Label(clock.span, len(names) * 0.6, f"✖ {int(late.sum()):,} out of order", DEAD_LETTER))
    at_right(ax, labels, x=clock.span * 1.01)


def _totals(ax: Axes, table: pandas.DataFrame, clock: Clock) -> None:
    import numpy

    x = clock.of(table["time"])
    late = table["late"].to_numpy(bool)
    labels = []
    for rows, color, dots, word in ((~late, DONE, "-", "in order"), (late, DEAD_LETTER, "--", "out of order")):
        if rows.any():
            total = int(rows.sum())
            grid = numpy.linspace(0, clock.span, 500)
            ax.plot(grid, numpy.searchsorted(x[rows], grid, side="right"), color=color, ls=dots)
            labels.append(Label(clock.span, total, f"{total:,} {word}", color))
    clock.dress(ax, room=0.22)
    ax.set_ylim(0, len(table) * 1.08)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.set_ylabel("messages handled")
    rules(ax, clock)
    at_right(ax, labels)
    groups = table.groupby("group")["late"].any()
    text = f"{int((~groups).sum()):,} of {len(groups):,} groups in order throughout"
    ax.text(0.02, 0.97, text, transform=ax.transAxes, va="top", color=VISIBLE if groups.any() else GREY, fontsize=SMALL)
