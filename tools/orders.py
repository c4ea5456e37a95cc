"""Make data/orders.json: 200 orders of a tea shop from one seed, six of them flawed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

SEED = 2026
COUNT = 200
CUSTOMERS = 40
FILE = Path(__file__).resolve().parents[1] / "data" / "orders.json"

TEAS = {
    "Assam": 8.5,
    "Darjeeling": 12.5,
    "Earl Grey": 7.9,
    "Genmaicha": 9.8,
    "Jasmine": 10.2,
    "Lapsang": 11.4,
    "Mint": 4.6,
    "Oolong": 14.0,
    "Rooibos": 5.2,
    "Sencha": 13.3,
}
NOTES = {12: "Für Grüße: bitte schön verpacken", 66: "ありがとう", 143: "Happy birthday 🎂"}
FLAWS: dict[int, tuple[str, dict[str, Any]]] = {
    23: ("it has no price", {"price": ...}),
    58: ("its price is a text", {"price": "12.50"}),
    87: ("it has no quantity", {"quantity": ...}),
    124: ("its quantity is null", {"quantity": None}),
    151: ("its price is a text that is no number", {"price": "free"}),
    179: ("its quantity is a word", {"quantity": "two"}),
}


def orders() -> list[dict[str, Any]]:
    """Return the orders, flaws included."""
    chance = random.Random(SEED)
    made = []
    for number in range(1, COUNT + 1):
        # A few customers order often, most of them seldom.
        customer = chance.choices(range(1, CUSTOMERS + 1), [1 / rank for rank in range(1, CUSTOMERS + 1)])[0]
        item = chance.choice(sorted(TEAS))
        order: dict[str, Any] = {
            "order": number,
            "customer": f"C{customer:03}",
            "region": "eu" if chance.random() < 0.5 else "us",
            "item": item,
            "quantity": chance.randint(1, 5),
            "price": TEAS[item],
        }
        if number in NOTES:
            order["note"] = NOTES[number]
        for key, value in FLAWS.get(number, ("", {}))[1].items():
            if value is ...:
                del order[key]
            else:
                order[key] = value
        made.append(order)
    return made


def text() -> str:
    """Return the file's content, an order a line."""
    about = {
        "about": "Sample orders of a tea shop, made by tools/orders.py; no handler can add up the flawed ones.",
        "seed": SEED,
        "flaws": {str(number): flaw for number, (flaw, _) in FLAWS.items()},
    }
    head = json.dumps(about, indent=1, ensure_ascii=False)[:-2]
    lines = ",\n".join("  " + json.dumps(order, ensure_ascii=False) for order in orders())
    return f'{head},\n "orders": [\n{lines}\n ]\n}}\n'


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
