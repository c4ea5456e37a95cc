"""What sending costs: calls and messages a second, and requests a message, one way beside the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .. import recorder
from ..plots import DONE, IN_FLIGHT, VISIBLE
from .canvas import require
from .comparison import compare

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

_PANELS = (
    ("calls_per_s", "calls a second", IN_FLIGHT, ",.0f"),
    ("messages_per_s", "messages a second", VISIBLE, ",.0f"),
    ("requests_per_message", "SQS requests a message", DONE, ".1f"),
)


def pace(logs: Mapping[str, pandas.DataFrame], *, title: str = "") -> list[Axes]:
    """Draw how fast messages were sent, and how many requests each took, by the way of sending.

    Parameters
    ----------
    logs : mapping of str to pandas.DataFrame
        A log by the name of each way.
    title : str, optional
        The finding; without it the last way is compared with the first.

    Returns
    -------
    list of matplotlib.axes.Axes
        From left to right.

    Raises
    ------
    LabError
        When nothing was sent.
    """
    import pandas

    rows = {}
    for name, log in logs.items():
        sent = log.loc[log["event"] == "sent", "time"]
        require(sent, "no message", "Send some, and read the log again with lab.recorder().")
        # The first call's own time is not in the log.
        calls, span = sent.nunique(), max(1e-6, (sent.max() - sent.min()).total_seconds())
        a_second = max(1, calls - 1) / span
        rows[name] = (a_second, a_second * len(sent) / calls, recorder.requests_a_message(log))
    columns = [column for column, *_ in _PANELS]
    table = pandas.DataFrame.from_dict(rows, orient="index", columns=columns)
    first, last = table.iloc[0], table.iloc[-1]
    finding = title or (
        f"{str(table.index[-1]).capitalize()}: {last['messages_per_s'] / first['messages_per_s']:.1f} times the "
        f"messages a second, {last['requests_per_message']:.1f} instead of {first['requests_per_message']:.1f} "
        "requests"
    )
    return compare(
        table.rename(columns={column: label for column, label, *_ in _PANELS}),
        title=finding,
        colors={label: color for _, label, color, _ in _PANELS},
        form={label: form for _, label, _, form in _PANELS},
    )
