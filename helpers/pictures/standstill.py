"""A queue that nobody reads for a while: the backlog, the age of its oldest message, and the runs, on one time axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .. import recorder
from ..plots import DONE, VISIBLE
from .canvas import GREY, SMALL, Clock, count, describe, duration, headline, panels, require, rules, style

if TYPE_CHECKING:
    from datetime import datetime

    import pandas
    from matplotlib.axes import Axes

_MINUTE = 60.0
_ROOM = 0.04
_NAMED = 0.25


def standstill(log: pandas.DataFrame, *, marks: Mapping[str, datetime] | None = None, title: str = "") -> list[Axes]:
    """Draw how many messages waited, how old the oldest was, and how many runs began in each minute.

    Parameters
    ----------
    log : pandas.DataFrame
        As `lab.recorder(queue=…)` returns it: one queue's.
    marks : mapping of str to datetime, optional
        What was changed and when; each is a line through all three.
    title : str, optional
        The finding; without it one is made of the data.

    Returns
    -------
    list of matplotlib.axes.Axes
        Backlog, age and runs, from top to bottom.

    Raises
    ------
    LabError
        When the log holds no message.
    """
    import numpy
    import pandas
    from matplotlib.ticker import MaxNLocator

    counts = recorder.counts_over_time(log)
    require(counts, "no message", "Send one, and read the log again with lab.recorder().")
    start, end = counts.index[0], log.loc[log["message"].notna(), "time"].max()
    clock = Clock(start, end, "the first message was sent")
    waiting = counts["waiting"]
    age = recorder.age_of_oldest(log, pandas.date_range(start, end, periods=600).union(counts.index))
    begins = clock.of(recorder.invocations(log)["accepted"])
    edges = numpy.arange(0.0, clock.span + _MINUTE, _MINUTE)
    runs, _ = numpy.histogram(begins, edges)
    most, oldest = int(waiting.max()), float(age.max()) if age.notna().any() else 0.0
    finding = title or f"Up to {count(most, 'message')} waiting, the oldest {duration(oldest)} old"
    told = [f"waiting up to {most:,}", f"the oldest up to {duration(oldest)} old", f"{count(len(begins), 'run')}"]
    with style():
        axes = panels(3, height=4.6, sharex=True)
        x = numpy.r_[clock.of(counts.index), clock.span]
        y = numpy.r_[waiting.to_numpy(), waiting.iloc[-1]]
        axes[0].fill_between(x, y, step="post", color=VISIBLE, alpha=0.18, lw=0)
        axes[0].step(x, y, where="post", color=VISIBLE, ls="-", lw=1.6)
        axes[1].plot(clock.of(age.index), age.to_numpy(), color=GREY, ls="-", lw=1.6)
        axes[2].bar(edges[:-1], runs, width=_MINUTE * 0.9, align="edge", color=DONE)
        names = ("messages waiting", "age of the oldest, s", "runs a minute")
        for ax, name, color in zip(axes, names, (VISIBLE, GREY, DONE), strict=True):
            ax.set_ylim(0, max(1.0, ax.get_ylim()[1]) * 1.12)
            ax.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
            ax.set_title(name, loc="left", color=color, fontsize=SMALL, fontweight="normal", pad=3)
            clock.dress(ax, room=_ROOM, label=ax is axes[-1])
            rules(ax, clock)
        for text, moment in (marks or {}).items():
            told.append(_mark(axes, clock, text, moment))
        headline(axes, finding)
        describe(axes[0], f"{finding}: " + "; ".join(told))
    return axes


def _mark(axes: list[Axes], clock: Clock, text: str, moment: datetime) -> str:
    """Draw a line through all panels and name it in the first; return it in words."""
    import pandas

    (at,) = clock.of([pandas.Timestamp(moment)])
    for ax in axes:
        ax.axvline(at, color=GREY, ls="--", lw=1.2)
    # Above the picture, where the name of the first panel leaves room.
    inside = at < clock.span * _NAMED
    axes[0].annotate(
        text,
        (at, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4, -4) if inside else (0, 3),
        textcoords="offset points",
        ha="left" if inside else "right" if at > clock.span * (1 - _NAMED / 3) else "center",
        va="top" if inside else "bottom",
        color=GREY,
        fontsize=SMALL,
    )
    return f"{text} at {clock.moment(at)}"
