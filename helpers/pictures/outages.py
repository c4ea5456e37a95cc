"""What an outage does to messages that wait in a queue, and to calls that cannot wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import recorder
from ..plots import DEAD_LETTER, DONE, VISIBLE
from .canvas import Label, at_right, count, describe, duration, headline, listed, panels, require, style, times

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


def sent_and_done(log: pandas.DataFrame, *, title: str = "") -> Axes:
    """Draw how many messages were sent and how many were done, the wait between the two, and failed direct calls.

    Parameters
    ----------
    log : pandas.DataFrame
        As `lab.recorder()` returns it: of one queue's messages, and of calls without a queue if there were some.
    title : str, optional
        The finding; without it one is made of the data.

    Returns
    -------
    matplotlib.axes.Axes
        Minutes to the right, messages upwards.

    Raises
    ------
    LabError
        When the log holds no message.
    """
    import numpy

    messages = recorder.messages(log)
    require(messages, "no message", "Send one, and read the log again with lab.recorder().")
    begin = log["time"].min()

    def minutes(moments: pandas.Series) -> numpy.ndarray:
        return numpy.sort((moments.dropna() - begin).dt.total_seconds().to_numpy(float)) / 60

    sent, done = minutes(messages["sent"]), minutes(messages.loc[messages["end"] == "done", "ended"])
    lost = minutes(log.loc[(log["event"] == "failed") & log["message"].isna(), "time"])
    end = max(float(values[-1]) for values in (sent, done, lost) if len(values)) * 1.04
    waits = (messages["ended"] - messages["sent"]).dt.total_seconds()
    longest = f"waited up to {duration(float(waits.max()))}"
    waited = f"{count(len(done), 'message')} {longest}" if len(done) else "No message is done"
    finding = title or "; ".join([waited, *([f"{count(len(lost), 'direct call')} failed"] if len(lost) else [])])
    with style():
        (ax,) = panels(height=2.8)
        curves = {}
        for name, moments, color, dots in (("sent", sent, VISIBLE, "--"), ("done", done, DONE, "-")):
            x, y = numpy.r_[0.0, moments, end], numpy.r_[0, 1 : len(moments) + 1, len(moments)]
            ax.step(x, y, where="post", color=color, ls=dots, lw=1.8)
            curves[name] = (x, y)
        every = numpy.union1d(curves["sent"][0], curves["done"][0])
        heights = [y[numpy.searchsorted(x, every, side="right") - 1] for x, y in curves.values()]
        ax.fill_between(every, heights[0], heights[1], step="post", color=VISIBLE, alpha=0.18, lw=0)
        labels = [
            Label(end, len(sent), f"sent {len(sent):,}", VISIBLE),
            Label(end, len(done), f"done {len(done):,}", DONE),
        ]
        if len(lost):
            ax.plot(lost, numpy.zeros(len(lost)), ls="", marker="X", ms=7, color=DEAD_LETTER, clip_on=False, zorder=5)
            text = f"{count(len(lost), 'direct call')} failed"
            ax.annotate(text, (lost[0], 0), xytext=(8, 8), textcoords="offset points", color=DEAD_LETTER)
        middle = (float(numpy.median(sent)) + float(numpy.median(done))) / 2 if len(done) else end / 2
        ax.annotate("waiting in the queue", (middle, len(sent) / 2), ha="center", va="center", color=VISIBLE)
        ax.set_ylim(0, len(sent) * 1.12)
        ax.set_xlim(0, end * 1.16)
        ax.set_xticks([tick for tick in ax.get_xticks() if 0 <= tick <= end])
        ax.grid(False)
        ax.set_xlabel("minutes")
        ax.set_ylabel("messages")
        at_right(ax, labels)
        headline([ax], finding)
        said = [
            f"{len(sent):,} sent",
            f"{len(done):,} done",
            f"direct calls failed {times(len(lost))}" if len(lost) else "",
        ]
        describe(ax, f"{finding}: {listed(said)}")
    return ax
