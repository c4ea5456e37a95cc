"""Figures, all in one style that reads on a light and on a dark page."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

from .errors import LabError

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

VISIBLE, IN_FLIGHT, DONE, DEAD_LETTER = "#0072B2", "#CC79A7", "#009E73", "#D55E00"
"""The four colours and what they stand for, in every figure."""

_COLOURS = {
    "Errors": DEAD_LETTER,
    "Throttles": DEAD_LETTER,
    "ApproximateNumberOfMessagesVisible": VISIBLE,
    "ApproximateNumberOfMessagesNotVisible": IN_FLIGHT,
    "NumberOfMessagesSent": VISIBLE,
    "NumberOfMessagesReceived": IN_FLIGHT,
    "NumberOfMessagesDeleted": DONE,
    "Invocations": DONE,
}
_MARKERS = "os^X"


def points_per_minute(data: pandas.DataFrame, *, ax: Axes | None = None, title: str = "") -> Axes:
    """Draw metrics by the minute, each with its name beside its last point.

    Parameters
    ----------
    data : pandas.DataFrame
        As `metrics.points` returns it.
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
        When there is nothing to draw.
    """
    if getattr(data, "empty", True):
        raise LabError(
            "There is no point to draw yet.",
            "CloudWatch shows a minute some time after it has ended.",
            "Wait with lab.wait_until(lambda: metrics.points(…), why='CloudWatch shows the point') and draw again.",
        )
    from matplotlib.dates import AutoDateLocator, DateFormatter
    from matplotlib.ticker import MaxNLocator

    with _style():
        ax = ax if ax is not None else _new_axes()
        top = max(1.0, float(data.max().max()))
        shown = {name: series for name in data.columns if not (series := data[name].dropna()).empty}
        label_at = -top
        for number, (name, series) in enumerate(sorted(shown.items(), key=lambda item: item[1].iloc[-1])):
            style: dict[str, Any] = {"color": _COLOURS[name]} if name in _COLOURS else {}
            (line,) = ax.plot(
                series.index.to_pydatetime(),
                series.to_numpy(),
                marker=_MARKERS[number % len(_MARKERS)],
                clip_on=False,
                **style,
            )
            label_at = max(label_at + 0.12 * top, float(series.iloc[-1]))
            ax.annotate(
                f"{name} {series.iloc[-1]:g}",
                (series.index[-1].to_pydatetime(), label_at),
                xytext=(9, 0),
                textcoords="offset points",
                va="center",
                color=line.get_color(),
            )
        ax.set_ylim(0, top * 1.2)
        first, last = data.index[0], data.index[-1]
        room = max((last - first) * 0.18, (last - first) * 0 + _minutes(1.5))
        ax.set_xlim(first - _minutes(1), last + room)
        ax.xaxis.set_major_locator(AutoDateLocator(minticks=2, maxticks=8))
        ax.xaxis.set_major_formatter(DateFormatter("%H:%M", tz="UTC"))
        if (data.fillna(0) % 1 == 0).all(axis=None):
            ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        ax.set_xlabel("time, UTC")
        ax.set_title(title or _finding(data))
        _describe(ax, f"{title or _finding(data)}: " + "; ".join(_in_words(data, column) for column in data.columns))
    return ax


def _style() -> Any:
    import matplotlib.pyplot as plt

    # A kernel's backend, when it is loaded with the first figure, sets rcParams: a style's end must not undo that.
    plt.switch_backend(plt.get_backend())
    with as_file(files(__package__) / "lab.mplstyle") as path:
        return plt.style.context(str(path))


def _new_axes() -> Axes:
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    class LabFigure(Figure):
        """A figure whose text form says in words what it shows."""

        description = ""

        def __repr__(self) -> str:
            return self.description or super().__repr__()

    axes: Axes = plt.figure(FigureClass=LabFigure).add_subplot()
    return axes


def _describe(ax: Axes, text: str) -> None:
    if hasattr(ax.figure, "description"):
        ax.figure.description = text


def _minutes(number: float) -> Any:
    import pandas

    return pandas.Timedelta(minutes=number)


def _finding(data: pandas.DataFrame) -> str:
    name = data.columns[0]
    series = data[name].dropna()
    minutes = f"{len(series)} minute" + ("" if len(series) == 1 else "s")
    return f"{name}: {series.sum():g} in {minutes}" if (series % 1 == 0).all() else f"{name}, {minutes}"


def _in_words(data: pandas.DataFrame, column: str) -> str:
    series = data[column].dropna()
    return f"{column} " + (
        ", ".join(f"{time:%H:%M} {value:g}" for time, value in series.tail(20).items()) or "has no point"
    )
