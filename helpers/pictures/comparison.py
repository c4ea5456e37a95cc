"""Bars side by side: the same measures, one way of doing a thing beside the other."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..plots import DONE
from .canvas import SMALL, describe, headline, panels, require, style

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

_WIDTH = 30


def compare(
    table: pandas.DataFrame,
    *,
    title: str,
    colors: Mapping[str, str] | None = None,
    form: str | Mapping[str, str] = ",.0f",
    one_scale: bool = False,
) -> list[Axes]:
    """Draw each column of a table as bars, a bar a row, beside each other.

    Parameters
    ----------
    table : pandas.DataFrame
        A row for each way, a column for each measure; their names are what the picture says.
    title : str
        The finding.
    colors : mapping of str to str, optional
        A colour of `helpers.plots` by measure; green without one.
    form : str, or mapping of str to str
        How a number is written; by measure, if not all are written alike.
    one_scale : bool
        Whether bars of different columns can be compared; a 0 then has no number.

    Returns
    -------
    list of matplotlib.axes.Axes
        From left to right.

    Raises
    ------
    LabError
        When the table is empty.
    """
    require(table, "nothing to compare", "Fill the table first.")
    said = []
    names = [textwrap.fill(str(way), _WIDTH) for way in table.index]
    lines = sum(1 + name.count("\n") / 2 for name in names)
    most = max(1.0, float(table.to_numpy(float).max()))
    with style():
        axes = panels(1, len(table.columns), height=1.05 + 0.36 * lines, sharey=True)
        for ax, name in zip(axes, table.columns, strict=True):
            values: Any = table[name].to_numpy(float)
            color = (colors or {}).get(name, DONE)
            written = [format(value, form if isinstance(form, str) else form[name]) for value in values]
            ax.barh(range(len(table)), values, height=0.55, color=color)
            for place, value in enumerate(values):
                if one_scale and not value:
                    continue
                ax.annotate(
                    written[place],
                    (value, place),
                    xytext=(4, 0),
                    textcoords="offset points",
                    va="center",
                    color=color,
                    fontsize=SMALL,
                )
            ax.set_xlim(0, (most if one_scale else float(values.max()) or 1.0) * 1.3)
            ax.grid(False)
            # Without a label on this axis the inline backend puts a box behind the picture.
            ax.set_xticks([0])
            if len(table.columns) > 1:
                ax.set_title(str(name), fontsize=10)
            else:
                ax.set_xlabel(str(name))
            said.append(f"{name}: " + ", ".join(f"{way} {one}" for way, one in zip(table.index, written, strict=True)))
        axes[0].set_yticks(range(len(table)), names)
        axes[0].set_ylim(len(table) - 0.5, -0.5)
        headline(axes, title)
        describe(axes[0], f"{title}: " + "; ".join(said))
    return axes
