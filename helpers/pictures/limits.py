"""Caps on concurrency: one way beside the other, and how many runs a downstream with fewer places would refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .. import recorder
from .canvas import count, describe, duration, headline, panels, require, style
from .functions import concurrency

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


def caps(
    logs: Mapping[str, pandas.DataFrame], *, limits: Mapping[str, int] | None = None, title: str = ""
) -> list[Axes]:
    """Draw concurrency under several caps, one below the other on the same scale of time.

    Parameters
    ----------
    logs : mapping of str to pandas.DataFrame
        A log by the name of each cap.
    limits : mapping of str to int, optional
        The cap's height, by the same names.
    title : str, optional
        The finding; without it, how many messages died in each.

    Returns
    -------
    list of matplotlib.axes.Axes
        From top to bottom.

    Raises
    ------
    LabError
        When a log holds no message.
    """
    from matplotlib.ticker import FixedLocator

    known = dict(limits or {})
    told = {name: _in_words(log) for name, log in logs.items()}
    deaths = {name: int((log["event"] == "dead-lettered").sum()) for name, log in logs.items()}
    finding = title or "Dead: " + ", ".join(f"{number:,} with {name}" for name, number in deaths.items())
    with style():
        axes = panels(len(logs), 1, height=0.6 + 1.95 * len(logs))
        for ax, (name, log) in zip(axes, logs.items(), strict=True):
            concurrency(log, limit=known.get(name), limit_name="cap", ax=ax, title=f"{name}: {told[name]}")
            ax.set_title(ax.get_title(loc="left"), loc="left", fontsize=10, fontweight="normal")
        longest = max(axes, key=lambda ax: ax.get_xlim()[1])
        for ax in axes:
            ax.set_xlim(longest.get_xlim())
            ax.xaxis.set_major_locator(FixedLocator(list(longest.get_xticks())))
            if ax is not axes[-1]:
                ax.set_xlabel("")
        headline(axes, finding)
        describe(axes[0], f"{finding}: " + "; ".join(f"{name}, {words}" for name, words in told.items()))
    return axes


def _in_words(log: pandas.DataFrame) -> str:
    table = recorder.messages(log)
    require(table, "no message", "Send some, and read the log again with lab.recorder().")
    dead, done = int((table["end"] == "dead").sum()), int((table["end"] == "done").sum())
    span = (table["ended"].max() - table["sent"].min()).total_seconds() if dead + done else 0.0
    return f"{done:,} of {count(len(table), 'order')} done, {dead:,} dead" + (f", in {duration(span)}" if span else "")
