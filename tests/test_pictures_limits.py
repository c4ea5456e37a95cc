"""Caps on concurrency: how many runs a downstream would refuse, and caps drawn on the same scales."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from helpers.errors import LabError
from helpers.pictures import caps
from helpers.recorder import most_at_once, refused
from tests.flights import Flight, message_id, throttled

mpl.use("Agg")


def crossing() -> Flight:
    """Return five runs: three at once, one that begins when another ends, one alone."""
    flight = Flight()
    for number, (begin, end) in enumerate(((0.0, 1.0), (0.1, 3.0), (0.2, 4.0), (1.0, 2.0), (5.0, 6.0))):
        message = message_id(number)
        flight.add(0, "sent", message)
        flight.run(begin, end, f"r{number}", {message: 1})
        flight.add(end + 0.001, "deleted", message)
    return flight


@pytest.mark.parametrize(("places", "number"), [(1, 2), (2, 1), (3, 0), (4, 0)])
def test_a_run_is_refused_while_all_places_are_held_and_a_refused_run_holds_none(places: int, number: int) -> None:
    assert refused(crossing().log(), places) == number


def test_an_end_makes_room_for_a_beginning_at_the_same_moment() -> None:
    assert most_at_once(crossing().log()) == 3
    assert most_at_once(Flight().log()) == refused(Flight().log(), 1) == 0


def test_caps_are_compared_on_the_same_scale_with_what_died_in_each() -> None:
    axes = caps({"narrow": throttled().log(), "wide": crossing().log()}, limits={"narrow": 1})
    figure = axes[0].figure
    assert axes[0].get_xlim() == pytest.approx(axes[1].get_xlim())
    assert figure.get_suptitle() == "Dead: 3 with narrow, 0 with wide"
    assert axes[0].get_title(loc="left").startswith("narrow: 2 of 5 orders done, 3 dead, in ")
    assert "wide, 5 of 5 orders done, 0 dead" in repr(figure)
    assert "cap 1" in [text.get_text() for text in axes[0].texts]
    assert not [text for text in axes[1].texts if text.get_text().startswith("cap")]
    plt.close("all")


def test_without_messages_there_is_nothing_to_compare() -> None:
    with pytest.raises(LabError, match="no message"):
        caps({"empty": Flight().log()})
