"""Figures and the tables under them: what they refuse, and that they read on a light and on a dark page."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import matplotlib as mpl
import pandas
import pytest

from helpers import metrics, plots
from helpers.errors import LabError

mpl.use("Agg")


@pytest.fixture
def table() -> pandas.DataFrame:
    """Return three minutes of two metrics, one of them with a gap."""
    index = pandas.date_range("2026-01-01 12:00", periods=3, freq="1min", tz="UTC")
    return pandas.DataFrame({"Invocations": [1.0, 2.0, 4.0], "Errors": [float("nan"), 0.0, 4.0]}, index=index)


def contrast(one: Any, other: Any) -> float:
    """Return the contrast of two colours as WCAG defines it."""

    def luminance(color: Any) -> float:
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in mpl.colors.to_rgb(color)
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_colour_reads_on_white_and_on_the_dark_page(table: pandas.DataFrame) -> None:
    axes = plots.points_per_minute(table)
    used = [text.get_color() for text in axes.texts] + [line.get_color() for line in axes.lines]
    used += [label.get_color() for label in axes.get_xticklabels() + axes.get_yticklabels()]
    used += [axes.title.get_color(), axes.xaxis.label.get_color()]
    used += [plots.VISIBLE, plots.IN_FLIGHT, plots.DONE, plots.DEAD_LETTER]
    for color in used:
        assert contrast(color, "white") >= 2.9, color
        assert contrast(color, "#111111") >= 3, color
    assert mpl.colors.to_rgba(axes.figure.get_facecolor())[3] == 0  # type: ignore[union-attr]


def test_the_inline_backend_puts_no_box_behind_it(table: pandas.DataFrame) -> None:
    from matplotlib_inline.backend_inline import _fetch_figure_metadata

    assert _fetch_figure_metadata(plots.points_per_minute(table).figure) is None


def test_a_figure_says_in_words_what_it_shows(table: pandas.DataFrame) -> None:
    shown = repr(plots.points_per_minute(table, title="One minute failed").figure)
    assert shown == "One minute failed: Invocations 12:00 1, 12:01 2, 12:02 4; Errors 12:01 0, 12:02 4"


def test_labels_of_equal_values_do_not_cover_each_other(table: pandas.DataFrame) -> None:
    first, second = (text.xy[1] for text in plots.points_per_minute(table).texts)  # type: ignore[attr-defined]
    assert abs(first - second) >= 0.1 * 4


def test_it_draws_into_axes_that_are_given(table: pandas.DataFrame) -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    assert plots.points_per_minute(table, ax=axes) is axes


def test_nothing_to_draw_is_one_sentence(table: pandas.DataFrame) -> None:
    with pytest.raises(LabError, match="no point to draw yet"):
        plots.points_per_minute(table.iloc[:0])


@pytest.mark.parametrize("names", ["", [], [3]])
def test_points_needs_the_name_of_a_metric(names: Any) -> None:
    with pytest.raises(LabError, match="takes the name of a metric"):
        metrics.points(None, "AWS/Lambda", names)  # type: ignore[arg-type]


def test_points_needs_times_with_a_zone() -> None:
    with pytest.raises(LabError, match="has no time zone"):
        metrics.points(None, "AWS/Lambda", "Errors", start=datetime(2026, 1, 1))  # type: ignore[arg-type]
