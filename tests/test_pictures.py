"""The recorder's pictures: what they find, how they aggregate, and that they read on a light and on a dark page."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas
import pytest
from matplotlib.collections import LineCollection, PolyCollection

from helpers import costs, pictures, recorder
from helpers.errors import LabError
from tests.flights import crowd, failing, grouped, message_id, outage, throttled

mpl.use("Agg")

COUNTS = pandas.DataFrame({"good orders dead": [45, 0], "runs": [185, 95]}, ["whole", "in part"])
DIED = pandas.DataFrame({"06:00": [4, 0, 0], "07:00": [0, 20, 19]}, ["KeyError", "TypeError", "ConnectionError"])
BILL = costs.model(costs.Workload(messages=1_000_000, idle_triggers=1))
CASES: dict[str, Callable[[], Any]] = {
    "lanes": lambda: pictures.swim_lanes(failing(10).log()),
    "one lane": lambda: pictures.swim_lanes(failing().log()),
    "bands": lambda: pictures.swim_lanes(grouped().log()),
    "environments": lambda: pictures.environments(failing().log()),
    "many environments": lambda: pictures.environments(grouped(200, 50).log()),
    "depth": lambda: pictures.depth_and_age(failing().log()),
    "order": lambda: pictures.order_by_group(grouped(swap=1).log()),
    "order, rows": lambda: pictures.order_by_group(grouped(120, 20).log()),
    "order, totals": lambda: pictures.order_by_group(grouped(300, 70, swap=2).log()),
    "queues": lambda: pictures.order_by_queue(
        {"6 groups": grouped().log(), "one group, swapped": grouped(60, 1, swap=1).log()}
    ),
    "batches": lambda: pictures.batch_sizes(failing(10).log(), batch_size=10),
    "outage": lambda: pictures.sent_and_done(outage().log()),
    "standstill": lambda: pictures.standstill(failing(10).log()),
    "comparison": lambda: pictures.compare(COUNTS, title="5 bad orders took 45 good ones along"),
    "errors": lambda: pictures.by_error(DIED),
    "bills": lambda: pictures.bills({"alone": BILL, "tens": BILL.scaled(100_000, idle=648_000)}),
    "concurrency": lambda: pictures.concurrency(throttled().log(), limit=1),
}


@pytest.fixture(autouse=True)
def _close() -> Any:
    yield
    plt.close("all")


def axes_of(drawn: Any) -> list[Any]:
    """Return all axes of a picture."""
    return list(drawn) if isinstance(drawn, list) else [drawn]


def title(drawn: Any) -> str:
    """Return a picture's title, on one line."""
    first = axes_of(drawn)[0]
    above = first.figure.get_suptitle()
    return " ".join((above or first.get_title(loc="left")).split())


def contrast(one: Any, other: Any) -> float:
    """Return the contrast of two colours as WCAG defines it."""

    def luminance(color: Any) -> float:
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in mpl.colors.to_rgb(color)
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", CASES)
def test_every_colour_reads_on_white_and_on_the_dark_page(name: str) -> None:
    for ax in axes_of(CASES[name]()):
        bars = [patch.get_facecolor() for patch in ax.patches if patch.get_facecolor()[3] > 0]
        used = [line.get_color() for line in ax.lines if line.get_marker() != "x"]
        used += [ax.title.get_color(), ax.xaxis.label.get_color(), *bars]
        on_bars = {"1", "2", "3"}
        used += [text.get_color() for text in ax.texts if text.get_text() not in on_bars]
        for text in ax.texts:
            if text.get_text() in on_bars:
                assert contrast(text.get_color(), pictures.lanes.IN_FLIGHT) > 4.5
        for color in used:
            assert contrast(color, "white") >= 2.9, color
            assert contrast(color, "#111111") >= 3, color
        assert mpl.colors.to_rgba(ax.figure.get_facecolor())[3] == 0
        assert mpl.colors.to_rgba(ax.get_facecolor())[3] == 0


@pytest.mark.parametrize("name", CASES)
def test_a_picture_says_in_words_what_it_shows_and_needs_no_legend(name: str) -> None:
    drawn = CASES[name]()
    axes = axes_of(drawn)
    said = repr(axes[0].figure)
    assert said.startswith(title(drawn))
    assert len(said) > len(title(drawn)) + 10
    assert all(ax.get_legend() is None for ax in axes)


@pytest.mark.parametrize("name", CASES)
def test_nothing_lies_outside_the_figure(name: str) -> None:
    figure = axes_of(CASES[name]())[0].figure
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    for ax in figure.axes:
        for text in (*ax.texts, ax.title, ax._left_title, ax.xaxis.label):
            if text.get_text() and text.get_visible() and ax.get_visible():
                box = text.get_window_extent()
                assert box.x1 <= width + 2, text.get_text()
                assert box.x0 >= -2, text.get_text()
                assert box.y1 <= height + 2, text.get_text()


@pytest.mark.parametrize("name", CASES)
def test_the_inline_backend_puts_no_box_behind_it(name: str) -> None:
    from matplotlib_inline.backend_inline import _fetch_figure_metadata

    assert _fetch_figure_metadata(axes_of(CASES[name]())[0].figure) is None


def test_a_comparison_writes_every_number_and_needs_rows() -> None:
    axes = pictures.compare(COUNTS, title="t")
    assert [[text.get_text() for text in ax.texts] for ax in axes] == [["45", "0"], ["185", "95"]]
    assert "runs: whole 185, in part 95" in repr(axes[0].figure)
    with pytest.raises(LabError, match="nothing to compare"):
        pictures.compare(COUNTS[:0], title="t")


def test_the_two_worst_errors_come_first_and_a_zero_is_left_out() -> None:
    drawn = pictures.by_error(DIED)
    assert title(drawn) == "Two errors killed 39 of 43 messages"
    assert [label.get_text() for label in drawn[0].get_yticklabels()] == ["TypeError", "ConnectionError", "KeyError"]
    assert [[text.get_text() for text in ax.texts] for ax in drawn] == [["4"], ["20", "19"]]
    with pytest.raises(LabError, match="no dead letter"):
        pictures.by_error(DIED[:0])


def test_the_title_states_the_finding_in_the_run_s_own_numbers() -> None:
    part = failing(10, 1, partial=True).log()
    assert title(pictures.swim_lanes(part)) == "1 of 10 messages dead-lettered after 3 receives, 9 done"
    assert title(pictures.swim_lanes(failing(10).log())) == "All 10 messages dead-lettered, after up to 3 receives"
    assert title(pictures.swim_lanes(failing().log())) == "One message, dead-lettered after 3 receives, in 90 s"
    found = title(pictures.environments(failing().log()))
    assert found == "1 of 3 calls paid for starting: 100 ms init, 300 ms work; 3 failed"
    assert title(pictures.concurrency(throttled().log())) == (
        "At most 1 run at once, 18 attempts throttled, 3 messages dead-lettered"
    )
    assert title(pictures.order_by_group(grouped(swap=2).log())).startswith("60 messages in 6 groups: 2 out of order")
    assert title(pictures.order_by_group(grouped().log())).startswith("60 messages in 6 groups: in order within each")
    queues = {"6 groups": grouped().log(), "swapped": grouped(60, 1, swap=1).log()}
    assert title(pictures.order_by_queue(queues)) == (
        "Same 60 messages: 6 groups 2.3 s, in order per group; swapped 12.8 s, 1 overtaken"
    )
    assert recorder.by_queue(queues)["overtaken"].tolist() == [0, 1]
    batches = pictures.batch_sizes({"part": part, "whole": failing(10).log()}, batch_size=10)
    assert title(batches) == "Batch size 10 was a ceiling: part 4.0, whole 10.0 on average"
    assert title(pictures.depth_and_age(part, title="Mine")) == "Mine"


def test_a_lane_has_its_receives_its_returns_and_its_death_where_they_were() -> None:
    ax = pictures.swim_lanes(failing().log())
    bars = [(round(bar.get_x()), round(bar.get_x() + bar.get_width())) for bar in ax.patches]  # type: ignore[attr-defined]
    assert bars == [(0, 30), (30, 60), (60, 90)]
    marks = {line.get_marker(): line.get_xdata() for line in ax.lines}
    assert [round(float(x)) for x in marks["|"]] == [30, 60]  # type: ignore[union-attr, arg-type]
    assert [round(float(x)) for x in marks["X"]] == [90]  # type: ignore[union-attr, arg-type]
    assert len(marks["x"]) == 3  # type: ignore[arg-type]
    assert {"1", "2", "3", "dead-lettered", "in flight"} <= {text.get_text() for text in ax.texts}


def test_names_and_notes_take_the_place_of_numbers() -> None:
    first = message_id(0)
    ax = pictures.swim_lanes(failing(2).log(), labels={first: "order-7"}, notes={(first, 1): "A"})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["order-7", "2"]
    assert "A" in {text.get_text() for text in ax.texts}


def test_a_failed_runs_mark_has_room_beside_its_number() -> None:
    log = failing().log()
    part = log[log["time"] <= log["time"].iloc[0] + pandas.Timedelta(seconds=31)]
    numbers = [text.get_text() for text in pictures.swim_lanes(part).texts]
    assert "1" in numbers
    assert "2" not in numbers


def test_forty_messages_get_lanes_and_more_get_totals() -> None:
    assert len(pictures.swim_lanes(grouped(40, 5).log()).patches) == 40
    more = pictures.swim_lanes(grouped(41, 5).log())
    assert not more.patches
    assert any(isinstance(part, PolyCollection) for part in more.collections)
    assert "41 done" in {text.get_text() for text in more.texts}


def test_fifty_thousand_messages_are_drawn_in_a_moment() -> None:
    log = crowd().log()
    for draw in (pictures.swim_lanes, pictures.depth_and_age, pictures.environments, pictures.concurrency):
        best = 99.0
        for _ in range(2):
            start = time.process_time()
            axes_of(draw(log))[0].figure.canvas.draw()
            best = min(best, time.process_time() - start)
        assert best < 2, draw
    assert title(pictures.swim_lanes(log)) == "1,000 of 50,000 messages dead-lettered after 2 receives, 49,000 done"


def test_an_hour_is_shown_by_the_clock_and_a_minute_by_seconds() -> None:
    short = pictures.swim_lanes(failing().log())
    assert short.get_xlabel() == "seconds since the first message was sent"
    long = pictures.swim_lanes(failing(visibility=600).log())
    assert long.get_xlabel() == "time, UTC"
    assert all(":" in label.get_text() for label in long.get_xticklabels())


def test_environments_end_and_the_picture_ends_soon_after_the_last_run() -> None:
    ax = pictures.environments(failing().log())
    assert ax.get_xlim()[1] < 100
    hatched = [patch for patch in ax.patches if patch.get_hatch()]
    assert len(hatched) == 1


def test_cloudwatch_s_points_are_laid_over_the_recorder_s_curves() -> None:
    log = failing().log()
    index = pandas.date_range(log["time"].min().floor("min"), periods=3, freq="1min")
    names = ["ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage", "Errors", "Duration"]
    points = pandas.DataFrame({name: [1.0, 0.0, float("nan")] for name in names}, index=index)
    axes = pictures.depth_and_age(log, points)
    assert len(axes) == 3
    for ax in axes:
        assert sum(line.get_markerfacecolor() == "none" for line in ax.lines) == 1
        assert any(isinstance(part, LineCollection) for part in ax.collections)
    assert "CloudWatch's points" in axes[-1].get_xlabel()
    assert "CloudWatch Errors 1 in 2 points" in repr(axes[0].figure)
    points["DeadLetters"] = [0.0, 3.0, 3.0]
    axes = pictures.depth_and_age(log, points)
    assert sum(line.get_markerfacecolor() == "none" for line in axes[2].lines) == 2
    assert "CloudWatch Errors 1 in 2 points; CloudWatch DeadLetters 3 in 3 points" in repr(axes[0].figure)
    assert len(pictures.depth_and_age(grouped().log())) == 2


def test_a_message_is_out_of_order_when_a_later_one_of_its_group_came_before_it() -> None:
    table = recorder.handled(grouped(12, 3, swap=1).log())
    assert list(table.loc[table["late"], "place"]) == [1]
    assert set(table.loc[table["late"], "group"]) == {"account-000"}
    own = {message_id(number): "all" for number in range(12)}
    assert set(recorder.handled(grouped(12, 3).log(), own)["group"]) == {"all"}


@pytest.mark.parametrize(("number", "pictures_drawn"), [(1, 1), (12, 12), (13, 1), (61, 1)])
def test_groups_get_a_picture_each_up_to_twelve(number: int, pictures_drawn: int) -> None:
    assert len(pictures.order_by_group(grouped(number * 3, number).log())) == pictures_drawn


def test_shares_of_batch_sizes_add_up_to_all() -> None:
    (ax,) = pictures.batch_sizes(failing(10, 1, partial=True).log())
    assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(100)  # type: ignore[attr-defined]
    assert ax.patches[0].get_height() == pytest.approx(200 / 3)  # type: ignore[attr-defined]


def test_it_draws_into_axes_that_are_given() -> None:
    from matplotlib.figure import Figure

    for draw in (pictures.swim_lanes, pictures.environments, pictures.concurrency):
        ax = Figure().add_subplot()
        assert draw(failing().log(), ax=ax) is ax


SEVERAL = ("caps", "order_by_queue", "pace")
OF_NO_LOG = ("agreement", "bills", "by_error", "compare", "growth", "stack")


@pytest.mark.parametrize("name", [name for name in pictures.__all__ if name not in OF_NO_LOG])
def test_nothing_to_draw_is_one_sentence(name: str) -> None:
    nothing: Any = recorder.frame([])
    with pytest.raises(LabError, match=r"^There is no .* in this log yet\."):
        getattr(pictures, name)({"one": nothing} if name in SEVERAL else nothing)


@pytest.mark.parametrize("name", ["swim_lanes", "depth_and_age"])
def test_one_row_is_enough(name: str) -> None:
    assert title(getattr(pictures, name)(failing().log().iloc[:1]))


def test_an_outage_is_a_delay_for_messages_and_an_end_for_calls() -> None:
    drawn = pictures.sent_and_done(outage().log())
    assert title(drawn) == "10 messages waited up to 60 min; 3 direct calls failed"
