"""Dead letters by what killed them, in columns that share one scale, such as the hours of a night."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..plots import DEAD_LETTER
from .canvas import require
from .comparison import compare

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


def by_error(table: pandas.DataFrame, *, title: str = "") -> list[Axes]:
    """Draw numbers of messages, a row an error, a small picture a column, all on one scale.

    Parameters
    ----------
    table : pandas.DataFrame
        Whole numbers; its index are the errors, its columns the small pictures.
    title : str, optional
        The finding; without it how many died of the two worst errors.

    Returns
    -------
    list of matplotlib.axes.Axes
        From left to right.

    Raises
    ------
    LabError
        When there is no dead letter.
    """
    require(table, "no dead letter", "Receive them from the dead-letter queue first.")
    table = table.sort_index()
    table = table.loc[table.sum(axis=1).sort_values(ascending=False, kind="stable").index].astype(int)
    totals = table.sum(axis=1)
    finding = title or f"Two errors killed {totals.iloc[:2].sum():,} of {totals.sum():,} messages"
    return compare(table, title=finding, colors=dict.fromkeys(table, DEAD_LETTER), one_scale=True)
