"""What the functions did: execution environments and concurrency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import recorder
from ..plots import DEAD_LETTER, DONE, IN_FLIGHT, VISIBLE
from .canvas import (
    GREY,
    INK,
    Clock,
    Label,
    at_right,
    callouts,
    count,
    describe,
    duration,
    headline,
    inches,
    panels,
    require,
    rules,
    style,
)

if TYPE_CHECKING:
    import numpy
    import pandas
    from matplotlib.axes import Axes

MOST_ENVIRONMENTS = 40
_MOST_STEPS = 600
_NONE_RAN = "Invoke the function first, and read the log again with lab.recorder()."


def environments(log: pandas.DataFrame, *, ax: Axes | None = None, title: str = "") -> Axes:
    """Draw each execution environment's time: its cold start, its runs, the failed ones among them, and its end.

    Above 40 environments it shows how many were starting, running and idle.

    Parameters
    ----------
    log : pandas.DataFrame
        As `lab.recorder()` returns it.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it a new figure.
    title : str, optional
        The finding; without it one is made of the data.

    Returns
    -------
    matplotlib.axes.Axes
        With the drawing.

    Raises
    ------
    LabError
        When no function ran.
    """
    runs = recorder.invocations(log)
    require(runs, "no invocation", _NONE_RAN)
    throttles = _throttles(log)
    end = max(log["time"].max(), runs["end"].max())
    lives = _lives(log, runs, end)
    first = min(lives["begin"].min(), runs["accepted"].min()) if len(lives) else runs["accepted"].min()
    clock = Clock(first, _last_of_interest(runs, throttles, end), "the first call")
    finding = title or _paid_for_starting(runs, throttles)
    with style():
        if len(lives) > MOST_ENVIRONMENTS:
            ax = ax if ax is not None else panels(height=2.8)[0]
            _environment_totals(ax, runs, lives, clock)
        else:
            ax = ax if ax is not None else panels(height=min(7.0, 1.6 + 0.27 * max(1, len(lives))))[0]
            _gantt(ax, runs, lives, throttles, clock)
        headline([ax], finding)
        failed = int((runs["status"] == "failed").sum())
        describe(
            ax,
            f"{finding}: {count(len(runs), 'run')} in {count(len(lives), 'environment')}, "
            f"{int(runs['cold'].sum())} after a cold start, {failed} failed, {len(throttles)} throttled",
        )
    return ax


def concurrency(
    log: pandas.DataFrame,
    *,
    limit: int | None = None,
    limit_name: str = "limit",
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Draw how many invocations ran at once, with the throttled attempts and the messages that died.

    Parameters
    ----------
    log : pandas.DataFrame
        As `lab.recorder()` returns it.
    limit : int, optional
        A line at this height, such as the reserved concurrency.
    limit_name : str
        What to call it.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it a new figure.
    title : str, optional
        The finding; without it one is made of the data.

    Returns
    -------
    matplotlib.axes.Axes
        With the drawing.

    Raises
    ------
    LabError
        When no function ran and none was throttled.
    """
    import numpy

    runs = recorder.invocations(log)
    throttles = _throttles(log)
    require(runs if len(runs) else throttles, "no invocation", _NONE_RAN)
    dead = log.loc[log["event"] == "dead-lettered", "time"]
    ended = runs["end"].fillna(log["time"].max())
    starts = min([*runs["accepted"].head(1), *throttles.head(1)])
    clock = Clock(starts, max([ended.max(), *throttles.tail(1), *dead.tail(1)]), "the first call")
    x, running = _running(clock.of(runs["accepted"]), clock.of(ended))
    most = int(running.max()) if len(running) else 0
    busy = float((running[:-1] * numpy.diff(x)).sum() / clock.span) if len(x) > 1 else 0.0
    finding = title or f"At most {count(most, 'run')} at once" + "".join(
        [
            f", {count(len(throttles), 'attempt')} throttled" if len(throttles) else "",
            f", {count(len(dead), 'message')} dead-lettered" if len(dead) else "",
        ]
    )
    with style():
        ax = ax if ax is not None else panels(height=2.8)[0]
        top = max(most, limit or 0, 1)
        if len(x) > _MOST_STEPS:
            x, running = _highest(x, running, clock.span)
        ax.fill_between(x, running, step="post", color=DONE, alpha=0.35, lw=0)
        ax.step(x, running, where="post", color=DONE, lw=1.3, ls="-")
        labels = [Label(clock.span, 0.0, "running", DONE)]
        if limit is not None:
            ax.hlines(limit, -0.02 * clock.span, clock.span, color=GREY, ls="--", lw=1.6, zorder=3)
            labels.append(Label(clock.span, limit, f"{limit_name} {limit}", GREY))
        if len(throttles):
            labels.append(_marks(ax, clock.of(throttles), top * 1.17, top, "v", "throttled", clock, GREY))
        if len(dead):
            labels.append(_marks(ax, clock.of(dead), top * 1.38, top, "X", "dead-lettered", clock, DEAD_LETTER))
        room = 1.1 if not len(throttles) and not len(dead) else 1.32 if not len(dead) else 1.55
        ax.set_ylim(0, top * room)
        clock.dress(ax, room=0.22)
        at_right(ax, labels)
        ax.yaxis.set_major_locator(_whole(top))
        rules(ax, clock)
        ax.set_ylabel("runs at once")
        headline([ax], finding)
        bound = "" if limit is None else f", {limit_name} {limit}"
        describe(ax, f"{finding}: {busy:.1f} on average over {duration(clock.span)}{bound}")
    return ax


def _throttles(log: pandas.DataFrame) -> pandas.Series:
    """Return the moments of throttled attempts: the messages of one batch have the same one."""
    rows = log[log["event"] == "throttled"]
    return rows.drop_duplicates(["time", "function"])["time"]


def _lives(log: pandas.DataFrame, runs: pandas.DataFrame, end: pandas.Timestamp) -> pandas.DataFrame:
    """Return a row an environment, in the order of beginning: `begin`, `ready` and `end`."""
    import pandas

    table = runs[runs["environment"].notna()].groupby("environment", sort=False).agg(begin=("accepted", "min"))
    kinds = {"begin": "environment started", "ready": "environment ready", "end": "environment ended"}
    for column, event in kinds.items():
        at = log[log["event"] == event].groupby("environment")["time"].min()
        if column == "begin":
            index = table.index.union(at.index, sort=False)
            table = table.reindex(index)
            table["begin"] = at.reindex(index).fillna(table["begin"])
        else:
            table[column] = at.reindex(table.index)
    table["ended"] = table["end"].notna()
    table["end"] = table["end"].fillna(end)
    return table.sort_values("begin", kind="stable") if len(table) else pandas.DataFrame(table)


def _last_of_interest(runs: pandas.DataFrame, throttles: pandas.Series, end: pandas.Timestamp) -> pandas.Timestamp:
    """Return where to cut the picture: environments live on for long after their last run."""
    import pandas

    last = runs["end"].max() if runs["end"].notna().all() else end
    last = max([last, *throttles.tail(1)])
    return min(end, last + max((last - runs["accepted"].min()) * 0.15, pandas.Timedelta(milliseconds=1)))


def _paid_for_starting(runs: pandas.DataFrame, throttles: pandas.Series) -> str:
    cold, number = int(runs["cold"].sum()), len(runs)
    init, work = runs["init_s"].median(), runs["duration_s"].median()
    begin = f"{cold} of {count(number, 'call')} paid for starting"
    figures = [f"{duration(init)} init" if init == init else "", f"{duration(work)} work" if work == work else ""]
    shown = ", ".join(figure for figure in figures if figure)
    failed = int((runs["status"] == "failed").sum())
    troubles = [f"{failed} failed" if failed else "", f"{len(throttles)} throttled" if len(throttles) else ""]
    return f"{begin}: {shown}" + "".join(f"; {trouble}" for trouble in troubles if trouble)


def _gantt(ax: Axes, runs: pandas.DataFrame, lives: pandas.DataFrame, throttles: pandas.Series, clock: Clock) -> None:
    import numpy
    from matplotlib.collections import PolyCollection

    lane = {name: number for number, name in enumerate(lives.index)}
    number = len(lives)
    begin = clock.of(lives["begin"])
    end = numpy.minimum(clock.of(lives["end"]), clock.span * 1.02)
    init_end = numpy.nan_to_num(clock.of(lives["ready"]), nan=-1.0)
    ax.hlines(range(number), numpy.maximum(begin, init_end), end, color=GREY, lw=1.4, zorder=1.8)
    started = numpy.flatnonzero(init_end > begin)
    least = 0.003 * clock.span
    ax.barh(
        started,
        numpy.maximum(init_end[started] - begin[started], least),
        left=begin[started],
        height=0.6,
        facecolor="none",
        edgecolor=VISIBLE,
        hatch="/////",
        lw=1.2,
        zorder=3,
    )
    known = runs[runs["environment"].isin(lane)]
    y = known["environment"].map(lane).to_numpy(int)
    x0 = clock.of(known["start"])
    x1 = numpy.where(known["end"].isna(), clock.span, clock.of(known["end"]))
    status = known["status"].to_numpy(object)
    names: list[Label] = []
    kinds = (
        (("succeeded", "partial"), DONE, "run"),
        (("failed",), DEAD_LETTER, "✕ failed"),
        (("running",), IN_FLIGHT, "running"),
    )
    for wanted, color, word in kinds:
        rows = numpy.flatnonzero(numpy.isin(status, wanted))
        widths = numpy.maximum(x1[rows] - x0[rows], least)
        left, low = x0[rows], y[rows] - 0.3
        corners = [(left, low), (left, low + 0.6), (left + widths, low + 0.6), (left + widths, low)]
        boxes = numpy.stack([numpy.stack(corner, axis=-1) for corner in corners], axis=1)
        # One collection: a patch for each of thousands of runs would take seconds.
        ax.add_collection(
            PolyCollection(list(boxes), facecolor=color, edgecolor=color, lw=0.5, zorder=3.2), autolim=False
        )
        wide = rows[widths > 5 * least]
        ax.vlines(x0[wide], y[wide] - 0.3, y[wide] + 0.3, color=INK, lw=1, ls="-", zorder=3.3)
        if word == "✕ failed":
            ax.plot(x0[rows] + widths / 2, y[rows] + 0.42, ls="", marker="x", ms=5, mew=1.6, color=color, zorder=4)
        if len(rows):
            first = min(range(len(rows)), key=lambda row: (y[rows[row]], -widths[row]))
            names.append(Label(x0[rows[first]] + widths[first] / 2, y[rows[first]], word, color))
    if len(started):
        first = int(started[0])
        names.append(Label((begin[first] + init_end[first]) / 2, first, "init", VISIBLE))
    idle = _widest_gap(y, x0, x1, clock.span) if number else None
    if idle is not None:
        names.append(Label(idle[0], idle[1], "idle", GREY))
    over = numpy.flatnonzero(lives["ended"].to_numpy() & (clock.of(lives["end"]) <= clock.span * 1.02))
    ax.plot(end[over], over, ls="", marker="|", ms=13, mew=2.2, color=GREY, zorder=4)
    if len(over):
        names.append(Label(end[over[0]], over[0], "ended", GREY))
    bottom = number - 0.4
    ticks, words = list(range(number)), [str(place + 1) for place in range(number)]
    if number > 24:
        ticks, words = ticks[::5], words[::5]
    if len(throttles):
        at = clock.of(throttles)
        ax.plot(at, [number] * len(at), ls="", marker="v", ms=6, color=DEAD_LETTER, mfc="none", mew=1.4, zorder=4)
        ticks, words, bottom = [*ticks, number], [*words, f"throttled\n{len(at):,} times"], number + 0.6
    clock.dress(ax, room=0.04)
    room = 0.19 * (bottom + 0.5) / inches(ax)
    top = callouts(ax, names, top=-0.42 - 0.35 * room, row=-room)
    ax.set_ylim(bottom, top - room)
    ax.set_yticks(ticks, words)
    if number > 1:
        ax.set_ylabel("environment")
    ax.grid(False)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _widest_gap(y: numpy.ndarray, x0: numpy.ndarray, x1: numpy.ndarray, span: float) -> tuple[float, int] | None:
    """Return the middle of the topmost environment's longest rest between two runs, if it can be seen."""
    import numpy

    for lane in numpy.unique(y)[:3]:
        begins, ends = numpy.sort(x0[y == lane]), numpy.sort(x1[y == lane])
        gaps = begins[1:] - ends[:-1]
        if len(gaps) and gaps.max() > 0.02 * span:
            widest = int(gaps.argmax())
            return float((ends[widest] + begins[widest + 1]) / 2), int(lane)
    return None


def _environment_totals(ax: Axes, runs: pandas.DataFrame, lives: pandas.DataFrame, clock: Clock) -> None:
    import numpy

    grid = numpy.linspace(0, clock.span, 500)

    def alive(begin: Any, end: Any) -> numpy.ndarray:
        begins, ends = numpy.sort(begin), numpy.sort(end)
        return numpy.searchsorted(begins, grid, side="right") - numpy.searchsorted(ends, grid, side="right")

    begin = clock.of(lives["begin"])
    ready = clock.of(lives["ready"])
    seen = ~numpy.isnan(ready)
    starting = alive(begin[seen], ready[seen])
    running = alive(clock.of(runs["start"]), clock.of(runs["end"].fillna(lives["end"].max())))
    there = alive(begin, clock.of(lives["end"]))
    idle = numpy.maximum(there - running - starting, 0)
    floor = numpy.zeros(len(grid))
    names = []
    for height, color, word, hatch in (
        (running, DONE, "running", ""),
        (starting, VISIBLE, "in init", "////"),
        (idle, GREY, "idle", "...."),
    ):
        ax.fill_between(
            grid, floor, floor + height, facecolor=color, alpha=0.7 if not hatch else 0.25, lw=0, step="mid"
        )
        if hatch:
            ax.fill_between(
                grid, floor, floor + height, facecolor="none", edgecolor=color, hatch=hatch, lw=0, step="mid"
            )
        if height.max():
            peak = int(height.argmax())
            names.append(Label(grid[peak], floor[peak] + height[peak] / 2, f"up to {height.max():,} {word}", color))
        floor = floor + height
    clock.dress(ax, room=0.02)
    high = max(1.0, float(floor.max()))
    top = callouts(ax, names, top=high * 1.03, row=high * 0.12)
    ax.set_ylim(0, top + high * 0.12)
    ax.yaxis.set_major_locator(_whole(high))
    ax.set_ylabel("environments")


def _running(starts: numpy.ndarray, ends: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return moments and how many were under way from each on."""
    import numpy

    x = numpy.r_[starts, ends]
    change = numpy.r_[numpy.ones(len(starts), int), -numpy.ones(len(ends), int)]
    # An end before a beginning at the same moment: one takes the other's place.
    order = numpy.lexsort((change, x))
    return x[order], numpy.cumsum(change[order])


def _highest(x: numpy.ndarray, running: numpy.ndarray, span: float) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the highest number in each of 300 stretches of time."""
    import numpy

    edges = numpy.linspace(0, span, 301)
    at_edge = numpy.r_[0, running][numpy.searchsorted(x, edges[:-1], side="right")]
    highest = at_edge.copy()
    numpy.maximum.at(highest, numpy.clip(numpy.searchsorted(edges, x, side="right") - 1, 0, 299), running)
    return edges, numpy.r_[highest, 0]


def _marks(
    ax: Axes, at: numpy.ndarray, height: float, top: float, marker: str, word: str, clock: Clock, color: str
) -> Label:
    """Mark moments in a row above the curve; beyond 200 they are bars of how many."""
    import numpy

    if len(at) <= 200:
        filled = "none" if marker == "v" else color
        ax.plot(at, [height] * len(at), ls="", marker=marker, ms=6, color=color, mfc=filled, mew=1.2, clip_on=False)
    else:
        number, edges = numpy.histogram(at, 120, (0, clock.span))
        tall = number / number.max() * 0.14 * top
        ax.bar(edges[:-1], tall, width=numpy.diff(edges), bottom=height - 0.07 * top, align="edge", color=color)
    return Label(clock.span, height, f"{len(at):,} {word}", color)


def _whole(top: float) -> Any:
    from matplotlib.ticker import FixedLocator, MaxNLocator

    ticks = [tick for tick in MaxNLocator(nbins=5, integer=True).tick_values(0, top) if 0 <= tick <= top * 1.001]
    return FixedLocator(ticks)
