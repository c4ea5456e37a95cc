"""A lane for each message; for very many, how many are in each state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import recorder
from ..plots import DEAD_LETTER, DONE, IN_FLIGHT, VISIBLE
from .canvas import (
    GREY,
    INK,
    SMALL,
    Clock,
    Label,
    at_right,
    callouts,
    count,
    describe,
    duration,
    headline,
    inches,
    listed,
    panels,
    require,
    rules,
    style,
    times,
)

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

MOST_LANES = 40
_COLOURS = {
    "delayed": GREY,
    "waiting": VISIBLE,
    "in flight": IN_FLIGHT,
    "done": DONE,
    "dead": DEAD_LETTER,
    "filtered": GREY,
    "expired": GREY,
    "redriven": VISIBLE,
}
_MARKERS = {"done": "o", "dead": "X", "filtered": "v", "expired": "d", "redriven": "<"}
_WORDS = {"dead": "dead-lettered"}
_BANDS = ("done", "dead", "filtered", "expired", "redriven", "in flight", "waiting", "delayed")
_HATCHES = {"in flight": "////", "dead": "xxxx", "delayed": "....", "filtered": "||||", "expired": "----"}


def swim_lanes(
    log: pandas.DataFrame,
    *,
    ax: Axes | None = None,
    title: str = "",
    labels: Mapping[str, str] | None = None,
    notes: Mapping[tuple[str, int], str] | None = None,
) -> Axes:
    """Draw each message's way: waiting, in flight, back again, done or dead.

    Above 40 messages it shows how many are in each state.

    Parameters
    ----------
    log : pandas.DataFrame
        As `lab.recorder()` returns it.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it a new figure.
    title : str, optional
        The finding; without it one is made of the data.
    labels : mapping of str to str, optional
        What to call each message id, such as its order's number; without it its place in the order of sending.
    notes : mapping of (str, int) to str, optional
        What to write at a receive, by message id and receive count, such as the consumer's name; without it the
        number of the receive.

    Returns
    -------
    matplotlib.axes.Axes
        With the drawing.

    Raises
    ------
    LabError
        When the log holds no message.
    """
    table = recorder.messages(log)
    require(table, "no message", "Send one, and read the log again with lab.recorder().")
    steps = recorder.transitions(log)
    clock = Clock(steps["time"].min(), log.loc[log["message"].notna(), "time"].max(), "the first message was sent")
    finding = title or _finding(table)
    with style():
        if len(table) > MOST_LANES:
            ax = ax if ax is not None else panels(height=3.0)[0]
            _bands(ax, log, clock, len(table))
        else:
            ax = ax if ax is not None else panels(height=min(7.0, 1.55 + 0.24 * len(table)))[0]
            _lanes(ax, log, table, steps, clock, dict(labels or {}), dict(notes or {}))
        headline([ax], finding)
        describe(ax, f"{finding}: " + _in_words(table, clock, dict(labels or {})))
    return ax


def _finding(table: pandas.DataFrame) -> str:
    ends = table["end"].value_counts()
    number, dead, done = len(table), int(ends.get("dead", 0)), int(ends.get("done", 0))
    if number == 1:
        (only,) = table.itertuples()
        received = count(only.attempts, "receive")
        words = {"done": f"done after {received}", "dead": f"dead-lettered after {received}"}
        return f"One message, {words.get(only.end, f'{only.end} after {received}')}, in {duration(only.total_s)}"
    longest = duration(float(table["first_wait_s"].max())) if table["first_wait_s"].notna().any() else ""
    if dead == number:
        return f"All {number:,} messages dead-lettered, after up to {count(int(table['attempts'].max()), 'receive')}"
    if dead:
        tries = int(table.loc[table["end"] == "dead", "attempts"].max())
        return f"{dead:,} of {number:,} messages dead-lettered after {count(tries, 'receive')}, {done:,} done"
    if done == number:
        first = int((table["attempts"] <= 1).sum())
        if first == number:
            return f"All {number:,} messages done at the first receive, waiting up to {longest}"
        return f"All {number:,} messages done, {number - first:,} of them only after they came back"
    return f"{number:,} messages: " + listed(f"{ends[end]:,} {end}" for end in recorder.STATES if end in ends)


def _lanes(
    ax: Axes,
    log: pandas.DataFrame,
    table: pandas.DataFrame,
    steps: pandas.DataFrame,
    clock: Clock,
    labels: dict[str, str],
    notes: dict[tuple[str, int], str],
) -> None:
    import numpy

    lane = {message: number for number, message in enumerate(table.index)}
    y = steps["message"].map(lane).to_numpy()
    begin = clock.of(steps["time"])
    last = numpy.r_[y[1:] != y[:-1], True]
    until = numpy.where(last, clock.span, numpy.r_[begin[1:], clock.span])
    state = steps["state"].to_numpy(object)
    clock.dress(ax, room=0.17)
    small = SMALL if len(table) <= 24 else 7
    names: list[Label] = []

    def name(chosen: Any, text: str, color: str, *, middle: bool) -> None:
        """Name the first lane's longest stretch of a kind, from above."""
        seen = chosen[until[chosen] - begin[chosen] > 0.04 * clock.span] if len(chosen) else chosen
        if len(chosen):
            chosen = seen if len(seen) and middle else chosen
            best = min(chosen, key=lambda row: (y[row], -(until[row] - begin[row])))
            # Further down the beginning is where the line from above crosses the least.
            into = 0.0 if not middle else 0.5 if y[best] == 0 or text == "in flight" else 0.01
            names.append(Label(begin[best] + into * (until[best] - begin[best]), y[best], text, color))

    for kind, dots in (("delayed", ":"), ("waiting", "-"), ("dead", "--")):
        rows = numpy.flatnonzero(state == kind)
        ax.hlines(y[rows], begin[rows], until[rows], color=_COLOURS[kind], lw=2, ls=dots, zorder=2)
        wide = rows[until[rows] - begin[rows] > 0.012 * clock.span]
        if kind != "dead":
            name(wide, kind, _COLOURS[kind], middle=True)
    flying = numpy.flatnonzero(state == "in flight")
    widths = until[flying] - begin[flying]
    least = 0.004 * clock.span
    ax.barh(y[flying], numpy.maximum(widths, least), left=begin[flying], height=0.62, color=IN_FLIGHT, zorder=3, lw=0)
    name(flying, "in flight", IN_FLIGHT, middle=True)
    buried = numpy.r_[state[1:] == "dead", False] & (begin == until)
    arrow = numpy.flatnonzero((steps["event"] == "visible").to_numpy() & (state == "waiting") & ~buried)
    ax.plot(begin[arrow], y[arrow], ls="", marker="|", ms=12, mew=2.5, color=VISIBLE, zorder=4)
    name(arrow, "visible again", VISIBLE, middle=False)

    receives = steps["receive_count"].to_numpy(object)
    ids = steps["message"].to_numpy(object)
    numbered = bool((table["attempts"] > 1).any())
    failed = log[(log["event"] == "failed") & log["message"].isin(lane)]
    x_failed, y_failed = clock.of(failed["time"]), failed["message"].map(lane).to_numpy(int)
    marked = set(zip(failed["message"], failed["receive_count"], strict=True))
    for row, width in zip(flying, widths, strict=True):
        which = str(receives[row]) if numbered and isinstance(receives[row], int) else ""
        note = notes.get((ids[row], receives[row]), which)
        # The mark of a failed run needs its own room beside the note.
        beside = 0.03 if (ids[row], receives[row]) in marked else 0.0
        if width > (0.012 + 0.012 * len(note) + beside) * clock.span:
            middle = begin[row] + width / 2
            ax.text(middle, y[row], note, color=INK, fontsize=small, ha="center", va="center_baseline", zorder=5)
        elif notes and note:
            ax.text(begin[row] + least * 2, y[row] - 0.32, note, color=IN_FLIGHT, fontsize=small, va="bottom")

    edge = 0.009 * clock.span
    for number, (x, of) in enumerate(zip(x_failed, y_failed, strict=True)):
        bars = flying[(y[flying] == of) & (begin[flying] <= x)]
        if len(bars) and until[bars[-1]] - begin[bars[-1]] > 2 * edge:
            # Inside its bar, which is bright enough for the mark on a dark page too.
            x_failed[number] = min(max(x, begin[bars[-1]] + edge), until[bars[-1]] - edge)
    ax.plot(x_failed, y_failed, ls="", marker="x", ms=5.5, mew=1.8, color=INK, zorder=5)
    if len(failed):
        first = numpy.lexsort((x_failed, y_failed))[0]
        names.append(Label(x_failed[first], y_failed[first], "✕ run failed", GREY))

    for kind, marker in _MARKERS.items():
        rows = numpy.flatnonzero(state == kind)
        ax.plot(
            begin[rows], y[rows], ls="", marker=marker, ms=8 if kind == "dead" else 6.5, color=_COLOURS[kind], zorder=6
        )
    _name_ends(ax, table, clock)

    # A row of names takes a sixth of an inch; the lanes share what the figure's height leaves them.
    room = 0.19 * len(table) / inches(ax)
    top = callouts(ax, names, top=-0.42 - 0.35 * room, row=-room)
    ax.set_ylim(len(table) - 0.4, top - 1.15 * room)
    many = len(table) > 24
    shown = [number for number in range(len(table)) if not many or number % 5 == 4 or number == 0]
    own = [labels.get(message, str(number + 1)) for message, number in lane.items()]
    # A lone lane's empty name stays: without it all tick labels have one colour, and the inline backend adds a box.
    ax.set_yticks(shown, [own[n] for n in shown] if len(table) > 1 or labels else [""])
    if len(table) > 1:
        ax.set_ylabel("message, as sent" if not labels and len(table) > 4 else "message")
    ax.grid(False)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _name_ends(ax: Axes, table: pandas.DataFrame, clock: Clock) -> None:
    """Write at the right how lanes ended: each stretch of equal ends once."""
    ends = table["end"].tolist()
    start = 0
    words = []
    for number in range(1, len(ends) + 1):
        if number == len(ends) or ends[number] != ends[start]:
            size = number - start
            word = _WORDS.get(ends[start], ends[start])
            text = word if size == 1 else f"{size} {word}"
            words.append(Label(clock.span * 1.01, (start + number - 1) / 2, text, _COLOURS[ends[start]]))
            if size > 1:
                ax.plot(
                    [clock.span * 1.025] * 2, [start - 0.3, number - 0.7], color=_COLOURS[ends[start]], lw=1.2, ls="-"
                )
            start = number
    for label in words:
        ax.annotate(
            label.text,
            (label.x, label.y),
            xytext=(11, 0),
            textcoords="offset points",
            va="center",
            color=label.color,
            fontsize=SMALL if len(table) <= 24 else 7.5,
        )


def _bands(ax: Axes, log: pandas.DataFrame, clock: Clock, number: int) -> None:
    import numpy

    counts = recorder.counts_over_time(log)
    at = clock.of(counts.index)
    grid = numpy.linspace(0, clock.span, 500)
    rows = numpy.searchsorted(at, grid, side="right") - 1
    floor = numpy.zeros(len(grid))
    ends: list[Label] = []
    names: list[Label] = []
    for kind in (kind for kind in _BANDS if kind in counts):
        height = counts[kind].to_numpy()[rows]
        color = _COLOURS[kind]
        ax.fill_between(grid, floor, floor + height, facecolor=color, alpha=0.75, lw=0, zorder=2)
        if kind in _HATCHES:
            ax.fill_between(
                grid, floor, floor + height, facecolor="none", hatch=_HATCHES[kind], edgecolor=color, lw=0, zorder=2.1
            )
        ax.plot(grid, floor + height, color=color, lw=1.2, ls="-", zorder=2.2)
        final = int(counts[kind].iloc[-1])
        if final:
            ends.append(Label(clock.span, floor[-1] + height[-1] / 2, f"{final:,} {_WORDS.get(kind, kind)}", color))
        elif kind in ("waiting", "in flight", "delayed"):
            peak = int(numpy.argmax(height))
            most = int(counts[kind].max())
            names.append(Label(grid[peak], floor[peak] + height[peak] / 2, f"up to {most:,} {kind}", color))
        floor = floor + height
    clock.dress(ax, room=0.2)
    ax.set_ylim(0, number)
    at_right(ax, ends)
    top = callouts(ax, names, top=number * 1.03, row=number * 0.11)
    if names:
        ax.set_ylim(0, top + number * 0.1)
    ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= number])
    rules(ax, clock)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.set_ylabel("messages")


def _in_words(table: pandas.DataFrame, clock: Clock, labels: dict[str, str]) -> str:
    if len(table) > MOST_LANES:
        ends = table["end"].value_counts()
        totals = listed(f"{ends[end]:,} {end}" for end in recorder.STATES if end in ends)
        return f"{totals} after {duration(clock.span)}; the median message took {duration(table['total_s'].median())}"
    parts = []
    for number, row in enumerate(table.itertuples()):
        who = labels.get(str(row.Index), f"message {number + 1}")
        wait = f"waited {duration(row.first_wait_s)}, " if row.first_wait_s == row.first_wait_s else ""
        parts.append(
            f"{who} {wait}received {times(row.attempts)}, {_WORDS.get(row.end, row.end)} after {duration(row.total_s)}"
        )
    return "; ".join(parts[:20]) + ("; …" if len(parts) > 20 else "")
