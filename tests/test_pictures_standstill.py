"""A queue that stands still: backlog, age and runs over one axis, with what was changed and when."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from helpers.errors import LabError
from helpers.pictures import standstill
from helpers.recorder import frame
from tests.flights import Flight, message_id

mpl.use("Agg")


def silent() -> Flight:
    """Return ten messages, one a minute: the first two run at once, the others together in the last minute."""
    flight = Flight()
    for number in range(10):
        message = message_id(number)
        begin = 60.0 * number
        flight.add(begin, "sent", message)
        start = begin + 1 if number < 2 else 601.0 + number / 10
        flight.run(start, start + 0.05, f"r{number}", {message: 1})
        flight.add(start + 0.06, "deleted", message)
    return flight


def test_it_shows_what_waited_how_long_and_when_runs_began() -> None:
    log = silent().log()
    marks = {"key": log["time"].iloc[0] + (log["time"].max() - log["time"].min()) / 5, "right": log["time"].max()}
    axes: list[Any] = list(standstill(log, marks=marks, title="nothing ran"))
    figure = axes[0].figure
    assert figure.get_suptitle() == "nothing ran"
    words = repr(figure)
    assert "waiting up to 8; the oldest up to 8 min old; 10 runs; key at " in words
    assert "; right at " in words
    bars = [patch.get_height() for patch in axes[2].patches]
    assert bars[:3] == [1, 1, 0]
    assert sum(bars) == 10
    assert [ax.get_title(loc="left") for ax in axes] == ["messages waiting", "age of the oldest, s", "runs a minute"]
    assert all(len(ax.lines) >= 2 for ax in axes), "each panel has both marks"
    assert {text.get_ha() for text in axes[0].texts} == {"left", "right"}, "a name keeps inside the picture"
    plt.close("all")


def test_without_a_title_it_says_how_much_waited() -> None:
    figure = standstill(silent().log())[0].figure
    assert figure.get_suptitle() == "Up to 8 messages waiting, the oldest 8 min old"
    plt.close("all")


def test_without_messages_there_is_nothing_to_show() -> None:
    with pytest.raises(LabError, match="no message"):
        standstill(frame([]))
