"""What the pictures share: the figure, the time axis, labels beside the thing, and numbers in words."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import LabError
from ..plots import _describe as describe
from ..plots import _new_axes
from ..plots import _style as style

if TYPE_CHECKING:
    import numpy
    import pandas
    from matplotlib.axes import Axes

__all__ = ["GREY", "INK", "Clock", "Label", "describe", "panels", "style"]

GREY = "#808080"
"""For what has none of the four roles."""
INK = "#111111"
"""Text and marks on a coloured ground, which is there on either page."""

SMALL = 8.5
_SECONDS = 300.0
_SHORT_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_STEPS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000)


class Label(NamedTuple):
    """A word beside the thing it names."""

    x: float
    y: float
    text: str
    color: str


def panels(rows: int = 1, columns: int = 1, *, height: float = 2.8, **options: Any) -> list[Axes]:
    """Return the axes of a new figure, row by row."""
    figure: Any = _new_axes().figure
    figure.clf()
    figure.set_size_inches(7.2, height)
    return list(figure.subplots(rows, columns, squeeze=False, **options).flat)


def inches(ax: Axes) -> float:
    """Return about how tall a picture is."""
    figure: Any = ax.get_figure(root=True)
    return float(max(0.3, ax.get_position().height * figure.get_figheight()))


def require(rows: Any, what: str, fix: str) -> None:
    """Raise one sentence when there is nothing to draw."""
    if not len(rows):
        raise LabError(f"There is {what} in this log yet.", "", fix)


class Clock:
    """The time axis of one picture: seconds since its beginning, shown as such or as the time of day.

    Parameters
    ----------
    start, end : pandas.Timestamp
        The span.
    origin : str
        What happened at the beginning, for the axis' label.
    """

    def __init__(self, start: pandas.Timestamp, end: pandas.Timestamp, origin: str) -> None:
        self.start = start
        self.span = max((end - start).total_seconds(), 1e-3)
        self.origin = origin
        self.by_day = self.span > _SECONDS

    def of(self, times: Any) -> numpy.ndarray:
        """Return times as seconds since the beginning, NaN for NaT."""
        import numpy
        import pandas

        return numpy.array((pandas.Series(times) - self.start).dt.total_seconds(), float)

    def dress(self, ax: Axes, *, room: float = 0.0, label: bool = True, most: int = 8) -> None:
        """Set the axis' limits, ticks (at most `most`) and label; `room` is the share kept free on the right."""
        from matplotlib.ticker import FixedLocator, FuncFormatter

        ax.set_xlim(-0.02 * self.span, self.span * (1.02 + room))
        if self.by_day:
            step = float(next((step for step in _STEPS if self.span / step <= most - 1), _STEPS[-1]))
            offset = self.start.timestamp() % step
            ticks = [step * number - offset for number in range(1, int((self.span + offset) / step) + 1)]
            ax.xaxis.set_major_locator(FixedLocator(ticks or [0.0]))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: self.moment(x)))
        else:
            step = next((step for step in _SHORT_STEPS if self.span / step <= most), 60.0)
            ax.xaxis.set_major_locator(FixedLocator([step * n for n in range(int(self.span * 1.01 / step) + 1)]))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        if label:
            ax.set_xlabel("time, UTC" if self.by_day else f"seconds since {self.origin}")

    def moment(self, seconds: float) -> str:
        """Return a moment as the axis shows it."""
        import pandas

        if not self.by_day:
            return f"{seconds:.3g} s"
        moment = self.start + pandas.Timedelta(seconds=round(seconds))
        return f"{moment:%d %b %H:%M}" if self.span > 2 * 86_400 else f"{moment:%H:%M}"


def duration(seconds: float) -> str:
    """Return seconds as a person would say them.

    >>> [duration(s) for s in (0.0034, 0.1124, 2.345, 30, 5400, 90_000)]
    ['3.4 ms', '112 ms', '2.3 s', '30 s', '90 min', '25 h']
    """
    if seconds < 0.01:
        return f"{seconds * 1000:.2g} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    if seconds < 300:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.3g} h"


def count(number: int, thing: str, things: str = "") -> str:
    """Return a number and its noun.

    >>> count(1, "message"), count(50_000, "message")
    ('1 message', '50,000 messages')
    """
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def times(number: int) -> str:
    """Return how often, in words.

    >>> times(1), times(3)
    ('once', '3 times')
    """
    return "once" if number == 1 else f"{number:,} times"


def listed(parts: Iterable[str]) -> str:
    """Return parts as an enumeration.

    >>> listed(["9 done", "1 dead"]), listed(["a", "b", "c"])
    ('9 done and 1 dead', 'a, b and c')
    """
    *most, last = [part for part in parts if part] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def at_right(ax: Axes, labels: Sequence[Label], *, gap: float = 0.11, x: float | None = None) -> None:
    """Write labels to the right of the data, at their heights as far as they do not cover each other."""
    low, high = sorted(ax.get_ylim())
    step = gap * (high - low)
    ordered = sorted(labels, key=lambda label: label.y)
    heights: list[float] = []
    # A label at the very bottom would be struck through by the axis.
    ordered = [label._replace(y=max(label.y, low + 0.055 * (high - low))) for label in ordered]
    for label in ordered:
        heights.append(max(label.y, heights[-1] + step) if heights else label.y)
    over = heights[-1] - high if heights else 0.0
    for index in range(len(heights) - 1, -1, -1):
        if over > 0:
            ceiling = high if index == len(heights) - 1 else heights[index + 1] - step
            heights[index] = min(heights[index], ceiling)
    for label, height in zip(ordered, heights, strict=True):
        ax.annotate(
            label.text,
            (label.x if x is None else x, height),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=label.color,
            fontsize=SMALL,
            annotation_clip=False,
        )


def rules(ax: Axes, clock: Clock) -> None:
    """Draw the grid as far as the data goes: a rule would strike through the labels at the right."""
    low, high = sorted(ax.get_ylim())
    heights = [height for height in ax.get_yticks() if low < height <= high]
    ax.grid(False)
    ax.hlines(heights, ax.get_xlim()[0], clock.span, color="#777777", alpha=0.27, lw=0.8, ls="-", zorder=0.5)


def headline(axes: Sequence[Axes], text: str) -> None:
    """Write the title over one picture or several, in two lines if it is long."""
    lines = textwrap.fill(text, 78)
    figure: Any = axes[0].figure
    if len(axes) == 1:
        axes[0].set_title(lines, pad=9)
    else:
        figure.suptitle(lines, x=0.01, ha="left", color="#777777", fontsize=11, fontweight="bold")


def callouts(ax: Axes, labels: Sequence[Label], *, top: float, row: float, pixels: float = 640) -> float:
    """Name things from above, each by a short line to its place; return the height of the highest row.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Its horizontal limits are set already.
    labels : sequence of Label
        What to name, at its place.
    top, row : float
        The height of the first row of names, and from one row to the next.
    pixels : float
        The width of the axes.
    """
    left, right = ax.get_xlim()
    width = (right - left) / pixels
    ends: list[float] = []
    highest = top
    for label in sorted(labels, key=lambda label: label.x, reverse=True):
        # From the right to the left: a line down from a higher row then passes left of the names below it.
        begin, end = label.x - 3 * width, label.x + (len(label.text) * 6.6 + 10) * width
        if end > right:
            begin, end = right - (end - begin), right
        level = next((number for number, taken in enumerate(ends) if end <= taken), len(ends))
        if level == len(ends):
            ends.append(math.inf)
        ends[level] = begin
        for lower in range(level):
            ends[lower] = min(ends[lower], label.x - 3 * width)
        height = top + level * row
        highest = height if abs(height) > abs(highest) else highest
        ax.plot([label.x, label.x], [height, label.y], color=label.color, lw=0.8, ls="-", zorder=1.5)
        ax.text(begin + 3 * width, height, label.text, color=label.color, fontsize=SMALL, va="bottom")
    return highest
