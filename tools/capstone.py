"""Make data/capstone/: the trade of seed 1 as a file, and the scorecards of the five designs (they take a minute)."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from helpers.capstone import picture, trade
from helpers.capstone.score import Scorecard

SEED = 1
FILE = trade.FOLDER / "trade-1.jsonl"


def text() -> str:
    """Return the content of the file of the whole trade."""
    return trade.text(trade.make(SEED, trade.FULL))


def content(card: Scorecard) -> dict[str, Any]:
    """Return a scorecard as it is kept."""
    table = card.events.astype(object).where(card.events.notna(), None)
    kept = {key: value for key, value in vars(card).items() if key not in ("events", "lines")}
    events = {name: [round(value, 2) if isinstance(value, float) else value for value in table[name]] for name in table}
    return {**kept, "lines": [asdict(line) for line in card.lines], "events": events}


def main(arguments: list[str]) -> None:
    """Write the trade, and with `references` run the designs, too."""
    FILE.write_text(text(), encoding="utf-8")
    if arguments == ["references"]:
        from helpers import capstone

        cards = [content(capstone.run(letter, seed=SEED)) for letter in "abcde"]
        picture.REFERENCES.write_text(json.dumps(cards, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
