"""What a queue holds over time, and what its messages arrive in."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import recorder
from ..plots import DEAD_LETTER, DONE, IN_FLIGHT, VISIBLE
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
    import numpy
    import pandas
    from matplotlib.axes import Axes

_MOST_STEPS = 3000
_DEPTHS = {
    "ApproximateNumberOfMessagesVisible": (0, VISIBLE, "o"),
    "ApproximateNumberOfMessagesNotVisible": (0, IN_FLIGHT, "s"),
    "ApproximateAgeOfOldestMessage": (1, GREY, "D"),
    "Errors": (2, GREY, "^"),
    "DeadLetters": (2, DEAD_LETTER, "o"),
}


def depth_and_age(log: pandas.DataFrame, points: pandas.DataFrame | None = None, *, title: str = "") -> list[Axes]:
    """Draw how many messages waited and were in flight, and the age of the oldest; dead letters if there are any.

    Parameters
    ----------
    log : pandas.DataFrame
        As `lab.recorder(queue=…)` returns it: one queue's.
    points : pandas.DataFrame, optional
        CloudWatch's, as `metrics.points` returns them, to be laid over; each is drawn across its minute.
        Beside the metrics of the queue it may have `Errors` of the function, and as `DeadLetters` the visible messages
        of the dead-letter queue.
    title : str, optional
        The finding; without it one is made of the data.

    Returns
    -------
    list of matplotlib.axes.Axes
        From top to bottom.

    Raises
    ------
    LabError
        When the log holds no message.
    """
    import numpy
    import pandas

    counts = recorder.counts_over_time(log)
    require(counts, "no message", "Send one, and read the log again with lab.recorder().")
    start, end = counts.index[0], log.loc[log["message"].notna(), "time"].max()
    if points is not None and not points.empty:
        start, end = min(start, points.index[0]), max(end, points.index[-1] + pandas.Timedelta(minutes=1))
    clock = Clock(start, end, "the first message was sent" if start == counts.index[0] else "the first point")
    dead = "dead" in counts
    moments = pandas.date_range(start, end, periods=600).union(counts.index[:: max(1, len(counts) // 2000)])
    age = recorder.age_of_oldest(log, moments)
    waiting, flying = (counts.get(name, pandas.Series(0, index=counts.index)) for name in ("waiting", "in flight"))
    most, oldest = int(waiting.max()), float(age.max())
    finding = title or f"Up to {count(most, 'message')} waiting, {int(flying.max()):,} in flight, the oldest " + (
        f"{duration(oldest)} old" + (f"; {count(int(counts['dead'].iloc[-1]), 'dead letter')}" if dead else "")
    )
    said = []
    with style():
        rows = 3 if dead else 2
        axes = panels(rows, height=1.1 + 1.25 * rows, sharex=True)
        depth, age_axis = axes[:2]
        labels = []
        for series, name, color, dots in ((waiting, "waiting", VISIBLE, "-"), (flying, "in flight", IN_FLIGHT, "--")):
            x, y = _thin(clock.of(counts.index), series.to_numpy(), clock.span)
            depth.step(x, y, where="post", color=color, ls=dots, lw=1.6)
            final = int(series.iloc[-1])
            text = f"{name} {final:,}" if final else f"{name}, up to {int(series.max()):,}"
            labels.append(Label(clock.span, final, text, color))
            said.append(f"{name} up to {int(series.max()):,}, {int(series.iloc[-1]):,} at the end")
        depth.set_ylim(0, max(1, most, int(flying.max())) * 1.12)
        depth.set_ylabel("messages")
        x = clock.of(moments)
        age_axis.plot(x, age.to_numpy(), color=GREY, ls="-", lw=1.6)
        top = float(numpy.nanmax(numpy.r_[0.0, age.to_numpy()]))
        age_axis.set_ylim(0, max(1.0, top) * 1.35)
        age_axis.set_ylabel("oldest, s")
        if top > 0:
            peak = int(numpy.nanargmax(age.to_numpy()))
            age_axis.annotate(
                duration(top), (x[peak], top), xytext=(0, 4), textcoords="offset points", ha="center", color=GREY
            )
            said.append(f"the oldest up to {duration(top)} old")
        ends: list[list[Label]] = [labels, [], []]
        if dead:
            x, y = _thin(clock.of(counts.index), counts["dead"].to_numpy(), clock.span)
            axes[2].step(x, y, where="post", color=DEAD_LETTER, ls="-.", lw=1.8)
            final = int(counts["dead"].iloc[-1])
            axes[2].set_ylim(0, max(1, final) * 1.2)
            axes[2].set_ylabel("dead letters")
            ends[2].append(Label(clock.span, final, f"dead letters {final:,}", DEAD_LETTER))
            said.append(f"{count(final, 'dead letter')} at the end")
        clock.dress(axes[-1], room=0.2)
        if points is not None:
            _lay_over(axes, points, clock, ends, said)
        for ax, names in zip(axes, ends, strict=False):
            clock.dress(ax, room=0.2, label=False)
            ax.yaxis.set_major_locator(_few())
            rules(ax, clock)
            at_right(ax, names, gap=0.2, x=clock.span)
            ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        depth.set_title(textwrap.fill(finding, 78))
        describe(depth, f"{finding}: " + "; ".join(said))
    return axes


def batch_sizes(
    logs: pandas.DataFrame | Mapping[str, pandas.DataFrame],
    *,
    batch_size: int | None = None,
    title: str = "",
) -> list[Axes]:
    """Draw how many messages came in one invocation: the share of the invocations by size.

    Parameters
    ----------
    logs : pandas.DataFrame, or mapping of str to pandas.DataFrame
        One log, or several by name, which are drawn side by side.
    batch_size : int, optional
        The mapping's BatchSize, drawn as the line that it is.
    title : str, optional
        The finding; without it one is made of the data.

    Returns
    -------
    list of matplotlib.axes.Axes
        From left to right.

    Raises
    ------
    LabError
        When no function was invoked by a queue.
    """
    import numpy

    named = dict(logs) if isinstance(logs, Mapping) else {"": logs}
    runs = {name: recorder.invocations(log) for name, log in named.items()}
    sizes = {name: table.loc[table["batch"] > 0, "batch"].to_numpy(int) for name, table in runs.items()}
    sizes = {name: values for name, values in sizes.items() if len(values)}
    require(sizes, "no batch", "A trigger has to invoke the function first; read the log again with lab.recorder().")
    largest = max(batch_size or 1, *(int(values.max()) for values in sizes.values()))
    means = {name: float(values.mean()) for name, values in sizes.items()}
    ceiling = f"Batch size {batch_size} was a ceiling: " if batch_size and min(means.values()) < batch_size else ""
    if len(means) == 1:
        (name,) = means
        finding = f"{count(len(sizes[name]), 'batch', 'batches')} averaged {count_of(means[name])}"
    else:
        finding = ", ".join(f"{name} {mean:.1f}" for name, mean in means.items()) + " on average"
    finding = title or ceiling + finding
    said = []
    with style():
        axes = panels(1, len(sizes), height=2.8, sharey=True)
        step = max(1, -(-largest // 40))
        edges = numpy.arange(1, largest + step + 1, step)
        shares = {name: numpy.histogram(values, edges)[0] / len(values) * 100 for name, values in sizes.items()}
        height = max(10.0, *(float(share.max()) for share in shares.values()))
        for ax, (name, values) in zip(axes, sizes.items(), strict=True):
            share, middles, mean = shares[name], edges[:-1] + (step - 1) / 2, means[name]
            ax.bar(middles, share, width=0.8 * step, color=DONE)
            best = int(share.argmax())
            for place in range(len(share)) if len(sizes) == 1 and largest <= 12 else (best,):
                if share[place]:
                    words = f"{share[place]:.0f} %" if share[place] >= 1 else "< 1 %"
                    _over(ax, middles[place], share[place], words, DONE, "center")
            # The mean stands above the bars, where it crosses none of them.
            ax.plot([mean], [height * 1.2], ls="", marker="v", ms=6.5, color=VISIBLE, clip_on=False)
            side = "left" if mean < largest * 0.6 else "right"
            ax.annotate(
                f"mean {mean:.1f}",
                (mean, height * 1.2),
                xytext=(7 if side == "left" else -7, 0),
                textcoords="offset points",
                ha=side,
                va="center",
                color=VISIBLE,
                fontsize=SMALL,
            )
            if batch_size:
                ax.plot([batch_size + 0.5 * step] * 2, [0, height * 1.36], color=GREY, ls=":", lw=1.4)
                _over(ax, batch_size + 0.5 * step, height * 1.28, f"BatchSize {batch_size} ", GREY, "right")
            ax.set_xlim(0.4, max(largest, batch_size or 0) + step * 0.9)
            if largest <= 12:
                ax.set_xticks(range(1, largest + 1) if len(sizes) == 1 else range(1, largest + 1, 3))
            if name:
                ax.set_title(name, fontsize=10)
            size = f"{edges[best]}" if step == 1 else f"{edges[best]} to {edges[best] + step - 1}"
            said.append(
                (f"{name}: " if name else "") + f"{count(len(values), 'invocation')}, {mean:.1f} messages on average, "
                f"{share[best]:.0f} % with {size}, the largest {values.max()}"
            )
        axes[0].set_ylim(0, height * 1.42)
        axes[0].set_yticks([tick for tick in axes[0].get_yticks() if 0 <= tick <= max(height, 20)])
        axes[0].set_ylabel("% of invocations")
        axes[len(axes) // 2].set_xlabel("messages in a batch")
        headline(axes, finding)
        describe(axes[0], f"{finding}: " + "; ".join(said))
    return axes


def count_of(mean: float) -> str:
    """Return a mean with its noun.

    >>> count_of(1.0), count_of(2.34)
    ('1.0 message', '2.3 messages')
    """
    return f"{mean:.1f} message" + ("" if f"{mean:.1f}" == "1.0" else "s")


def _over(ax: Axes, x: float, y: float, text: str, color: str, side: str) -> None:
    ax.annotate(text, (x, y), xytext=(0, 3), textcoords="offset points", ha=side, color=color, fontsize=SMALL)


def _lay_over(
    axes: list[Axes], points: pandas.DataFrame, clock: Clock, ends: list[list[Label]], said: list[str]
) -> None:
    for name in points.columns:
        series = points[name].dropna()
        row, color, marker = _DEPTHS.get(name, (-1, GREY, "o"))
        if row < 0 or row >= len(axes) or series.empty:
            continue
        ax = axes[row]
        x = clock.of(series.index)
        ax.hlines(series.to_numpy(), x, x + 60, color=color, lw=1, zorder=4)
        few = slice(0, None, max(1, -(-len(x) // 20)))
        size = 9 if name == "Errors" else 6
        marks: dict[str, Any] = {"marker": marker, "ms": size, "mfc": "none", "mew": 1.5, "zorder": 5, "clip_on": False}
        ax.plot(x[few] + 30, series.to_numpy()[few], ls="", color=color, **marks)
        short = name.removeprefix("Approximate").removeprefix("NumberOf")
        last = float(series.iloc[-1])
        total = f"CloudWatch {short} {last:,.0f}" if name != "Errors" else f"CloudWatch {short} {series.sum():,.0f}"
        if name == "Errors":
            ends[row].append(Label(clock.span, last, f"{marker_word(marker)} Errors {series.sum():,.0f}", color))
        said.append(total + f" in {count(len(series), 'point')}")
        low, high = ax.get_ylim()
        ax.set_ylim(low, max(high, float(series.max()) * 1.12))
    if any(name in _DEPTHS and points[name].notna().any() for name in points.columns):
        said.append("open marks are CloudWatch's points")
        where = axes[-1].get_xlabel()
        axes[-1].set_xlabel(f"{where}; open marks are CloudWatch's points, each across its minute")


def marker_word(marker: str) -> str:
    """Return the sign that looks like a marker."""
    return {"^": "△", "o": "○", "s": "□", "D": "◇"}.get(marker, "")


def _thin(x: numpy.ndarray, y: numpy.ndarray, span: float) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return a step curve with fewer points, each stretch's highest, lowest and last ones kept, drawn to the end."""
    import numpy

    if len(x) > _MOST_STEPS:
        stretch = numpy.minimum((x / span * (_MOST_STEPS // 3)).astype(int), _MOST_STEPS // 3)
        last = numpy.r_[stretch[1:] != stretch[:-1], True]
        order = numpy.lexsort((y, stretch))
        ends = numpy.flatnonzero(numpy.r_[stretch[order][1:] != stretch[order][:-1], True])
        begins = numpy.r_[0, ends[:-1] + 1]
        keep = numpy.unique(numpy.r_[numpy.flatnonzero(last), order[ends], order[begins]])
        x, y = x[keep], y[keep]
    return numpy.r_[x, span], numpy.r_[y, y[-1]]


def _few() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=4, integer=True)
