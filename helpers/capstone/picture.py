"""Designs side by side: how long each event took in each, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import LabError
from ..pictures.canvas import GREY, SMALL, describe, headline, listed, panels, style
from ..plots import DEAD_LETTER, DONE, IN_FLIGHT
from .score import Line, Scorecard
from .trade import FOLDER, OUTAGE, SECONDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REFERENCES = FOLDER / "references.json"
"""What the five designs got when they were last run, by tools/capstone.py."""
_TITLES = {
    "a": "A standard queue",
    "b": "B FIFO by tenant",
    "c": "C FIFO by customer",
    "d": "D FIFO by order",
    "e": "E as C, dead after two",
}


def references() -> list[Scorecard]:
    """Return the scorecards of the five designs, as they were when the lab was made.

    Raises
    ------
    LabError
        When there are none.
    """
    import pandas

    try:
        content = json.loads(REFERENCES.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LabError("There are no scorecards of the five designs.", "", "Run tools/capstone.py.") from None
    cards = []
    for one in content:
        lines = tuple(Line(**{**line, "evidence": tuple(line["evidence"])}) for line in one.pop("lines"))
        table = pandas.DataFrame(one.pop("events")).astype(dict.fromkeys(("sent", "done", "dead"), float))
        errors = tuple(one.pop("errors", ()))
        cards.append(Scorecard(**one, lines=lines, events=table, errors=errors))
    return cards


def compare(cards: Sequence[Scorecard] = (), *, title: str = "") -> list[Axes]:
    """Draw designs as small multiples: for each event when it was sent, and how long it took.

    Parameters
    ----------
    cards : sequence of Scorecard, optional
        As `run` returns them; without any, the five designs that come with the lab, as they were when it was made.
    title : str, optional
        The finding; without it one is made of the scorecards.

    Returns
    -------
    list of matplotlib.axes.Axes
        With the drawings.
    """
    shown = list(cards) or references()
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    finding = title or _finding(shown)
    top = max(70.0, *(float(_waits(card).max()) for card in shown)) * 1.25
    with style():
        axes = panels(rows, columns, height=1.1 + 1.75 * rows, sharex=True, sharey=True)
        for number, (ax, card) in enumerate(zip(axes, shown, strict=False)):
            _panel(ax, card, top)
            if number + columns >= len(shown):
                ax.tick_params(labelbottom=True)
        for ax in axes[len(shown) :]:
            ax.axis("off")
        if len(axes) > len(shown):
            _key(axes[len(shown)])
        figure: Any = axes[0].figure
        figure.supxlabel("minute in which the event was sent", color="#777777", fontsize=10)
        figure.supylabel("seconds until it was done, or dead", color="#777777", fontsize=10)
        headline(axes, finding)
        describe(axes[0], f"{finding}: " + "; ".join(f"{_title(card)}: {_verdict(card)}" for card in shown))
    return axes[: len(shown)]


def _waits(card: Scorecard) -> Any:
    table = card.events[card.events["flaw"] == ""]
    return table[["dead", "done"]].bfill(axis=1)["dead"] - table["sent"]


def _panel(ax: Axes, card: Scorecard, top: float) -> None:
    table = card.events[card.events["flaw"] == ""]
    wait = _waits(card)
    dead = table["dead"].notna()
    late = table["overtaken"] & ~dead
    payment = table["type"] == "payment"
    minute = table["sent"] / 60
    ax.axvspan(OUTAGE[0] / 60, OUTAGE[1] / 60, color=GREY, alpha=0.22, lw=0)
    for chosen, marker, size, color in (
        (~dead & ~late & payment, "o", 2.6, GREY),
        (~dead & ~late & ~payment, "o", 2.6, DONE),
        (late, "X", 5.0, IN_FLIGHT),
        (dead, "v", 5.5, DEAD_LETTER),
    ):
        # A little beside each other: a handover is one moment.
        x = minute[chosen] + (table.index[chosen] % 20 - 10) / 75
        ax.plot(x, wait[chosen], ls="", marker=marker, ms=size, mew=0, color=color, alpha=0.85)
    ax.set_xlim(0, SECONDS / 60 + 0.3)
    ax.set_ylim(-0.03 * top, top)
    ax.set_yticks([0, 30, 60] if top < 120 else [0, 60, 120, 180, 240, 300][: int(top // 60) + 1])
    ax.set_xticks(range(int(SECONDS / 60) + 1))
    met = card.passed
    ax.text(0.02, 0.99, _title(card), transform=ax.transAxes, va="top", color="#777777", fontsize=SMALL, weight="bold")
    color = DONE if met else DEAD_LETTER
    words = f"{'✔' if met else '✘'} {_verdict(card)}"
    ax.text(0.02, 0.885, words, transform=ax.transAxes, va="top", color=color, fontsize=SMALL)


def _key(ax: Axes) -> None:
    ax.text(0.0, 0.99, "One mark, one event", transform=ax.transAxes, va="top", fontsize=SMALL, weight="bold")
    rows = (
        ("o", DONE, "order, cancellation, stock"),
        ("o", GREY, "payment"),
        ("X", IN_FLIGHT, "overtaken by a later one"),
        ("v", DEAD_LETTER, "valid, and dead-lettered"),
        ("s", GREY, "payments are down"),
    )
    for number, (marker, color, words) in enumerate(rows):
        height = 0.8 - 0.16 * number
        alpha = 0.35 if marker == "s" else 1.0
        ax.plot(0.04, height, marker=marker, color=color, ms=6, mew=0, alpha=alpha, transform=ax.transAxes)
        ax.text(0.1, height, words, color="#777777", fontsize=SMALL, va="center", transform=ax.transAxes)


def _title(card: Scorecard) -> str:
    return _TITLES.get(card.design, card.design)


def _verdict(card: Scorecard) -> str:
    """Return what is wrong, the cause before its effects."""
    failed = {line.name: line.value for line in card.failed}
    said = []
    if dead := failed.pop("valid events dead-lettered", ""):
        said.append(f"{dead} valid ones dead")
    if overtaken := failed.pop("order per customer", ""):
        said.append(f"{overtaken.split()[0]} overtaken")
    if waited := failed.pop("3 of 4 orders in the outage", ""):
        said.append(f"orders waited {waited}")
    said += [f"{name}: {value}" for name, value in failed.items()][: max(0, 2 - len(said))]
    more = len(card.failed) - len(said)
    return (", ".join(said) or "every line is met") + (f", {more} more" if more else "")


def _finding(cards: Sequence[Scorecard]) -> str:
    good = [_title(card) for card in cards if card.passed]
    if len(cards) == 1:
        return f"{_title(cards[0])}: {_verdict(cards[0])}"
    if len(good) == 1:
        missed = listed(
            f"{_verdict(card).partition(',')[0]} in {card.design.upper()}" for card in cards if not card.passed
        )
        return f"Only {good[0].partition(' ')[0]} keeps every promise: {missed}"
    return f"{len(good)} of {len(cards)} keep every promise"
