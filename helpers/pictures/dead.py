"""Dead letters by what killed them, in columns that share one scale: by the hour, or by what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..plots import DEAD_LETTER
from .canvas import require
from .comparison import compare

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


def by_error(table: pandas.DataFrame, *, title: str = "", colors: Mapping[str, str] | None = None) -> list[Axes]:
    """Draw numbers of messages, a row an error, a small picture a column, all on one scale.

    Parameters
    ----------
    table : pandas.DataFrame
        Whole numbers; its index are the errors, its columns the small pictures.
    title : str, optional
        The finding; without it how many died of the two worst errors.
    colors : mapping of str to str, optional
        A colour of `helpers.plots` by column; that of dead letters without one.

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
    return compare(table, title=finding, colors=dict.fromkeys(table, DEAD_LETTER) | dict(colors or {}), one_scale=True)
