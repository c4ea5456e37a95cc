"""Five minutes of a tea shop's trade, the same for the same seed: what happens, and when the till hands it over."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import LabError

FOLDER = Path(__file__).resolve().parents[2] / "data" / "capstone"
FULL = 6_000
"""How many events the whole trade has."""
REHEARSAL = 400
"""How many a rehearsal has; with fewer, chance decides what shows."""
SECONDS = 300
NEW_VERSION = 60.0
"""From this second on events have the new version."""
OUTAGE = (120.0, 160.0)
"""From when until when the payment provider is down, in seconds."""
KILLED = (205.0, 255.0)
"""Between these seconds lies the payment after which an environment ends."""
LONGEST_NOTE = 500
"""Characters that a gift note may have."""

TENANTS = {"harbour": 0.7, "station": 0.2, "market": 0.1}
"""The shops and their shares of the trade."""
_CUSTOMERS = {"harbour": (1, 630), "station": (631, 810), "market": (811, 900)}
_TEAS = {
    "Assam": 850,
    "Darjeeling": 1250,
    "Earl Grey": 790,
    "Genmaicha": 980,
    "Jasmine": 1020,
    "Lapsang": 1140,
    "Mint": 460,
    "Oolong": 1400,
    "Rooibos": 520,
    "Sencha": 1330,
}
_SCARCE = ("Oolong", "Sencha")
_FLAWS = ("it has no item", "its price is a text", "its note has 90 KB", "its note has a control character")
_RUSH = 280.0
_Made = tuple[float, int, dict[str, Any]]


@dataclass(frozen=True)
class Trade:
    """What a shop does in five minutes.

    Attributes
    ----------
    seed : int
        What it was made from.
    events : list of dict
        In the order in which they happen; `at` is the second.
    handovers : list of (int, list of dict)
        When the till hands over what has come in, in seconds, and what; some events come twice.
    stock : dict of str to int
        How many packets of each tea there are in the beginning.
    flaws : dict of str to str
        What is wrong with the malformed events, by their ids.
    killed : str
        The event after which an environment ends.
    """

    seed: int
    events: list[dict[str, Any]] = field(repr=False)
    handovers: list[tuple[int, list[dict[str, Any]]]] = field(repr=False)
    stock: dict[str, int]
    flaws: dict[str, str]
    killed: str

    @property
    def valid(self) -> list[dict[str, Any]]:
        """The events that are not malformed."""
        return [event for event in self.events if event["id"] not in self.flaws]

    @property
    def messages(self) -> int:
        """How many messages the till sends."""
        return sum(len(events) for _, events in self.handovers)


def cents(event: dict[str, Any]) -> int:
    """Return what a payment comes to, in either version of the event."""
    return int(event["cents"]) if event["version"] >= 2 else round(event["amount"] * 100)


def make(seed: int = 1, events: int = REHEARSAL) -> Trade:
    """Return the trade of a seed.

    Parameters
    ----------
    seed : int
        Another seed, another day.
    events : int
        How many messages the till sends, from 400 to 6,000; the mix is the same.

    Raises
    ------
    LabError
        When it is another number.
    """
    if not isinstance(events, int) or not REHEARSAL <= events <= FULL:
        raise LabError(f"There is no trade of {events!r} events.", "", f"Take {REHEARSAL} to {FULL:,}.")
    chance = random.Random(f"Black Friday {seed} {events}")
    resent = round(0.02 * events)
    flawed = max(len(_FLAWS), round(0.005 * events))
    orders, payments, cancelled = round(0.38 * events), round(0.25 * events), round(0.08 * events)
    moves = events - resent - orders - payments - cancelled

    made: list[_Made] = []

    def add(at: float, kind: str, tenant: str, customer: str, order: str, **more: Any) -> _Made:
        event = {"at": round(at, 1), "type": kind, "tenant": tenant, "customer": customer, "order": order, **more}
        made.append((event["at"], len(made), event))
        return made[-1]

    placed = []
    for number in range(1, orders + 1):
        bad = number <= flawed
        tenant = "harbour" if bad else chance.choices(list(TENANTS), list(TENANTS.values()))[0]
        first, last = _CUSTOMERS[tenant]
        # The flawed ones come from customers who order seldom.
        rank = chance.randint(40, last - first) if bad else _zipf(chance, last - first + 1)
        at = 32.0 + (number - 1) * 138.0 / flawed if bad else chance.uniform(0.5, 272.0)
        item = chance.choice(sorted(_TEAS))
        flaw = {"flaw": _FLAWS[(number - 1) % len(_FLAWS)]} if bad else {}
        placed.append(
            add(at, "order", tenant, f"C{first + rank:03}", "", item=item, quantity=chance.randint(1, 4), **flaw)
        )
    for number, (_, _, order) in enumerate(sorted(placed, key=lambda one: one[:2]), 1):
        order["order"] = f"o{number:04}"
    sound = [order for _, _, order in placed if "flaw" not in order]

    paid = []
    for order in sorted(chance.sample(sound, payments), key=lambda one: one["at"]):
        late = order["tenant"] == "harbour" and order["at"] < _RUSH - 20 and chance.random() < 0.4
        at = chance.uniform(_RUSH, SECONDS - 0.5) if late else min(order["at"] + chance.uniform(1, 22), SECONDS - 0.4)
        paid.append(add(at, "payment", order["tenant"], order["customer"], order["order"], total=_total(order)))
    early = [payment for payment in paid if payment[0] < _RUSH - 10]
    # A customer who cancels while payments fail shows whether the order of events is kept.
    hasty = [payment for payment in early if OUTAGE[0] - 15 <= payment[0] < OUTAGE[1] - 22][: max(3, cancelled // 6)]
    others = [payment for payment in early if payment not in hasty]
    for at, _, payment in hasty + chance.sample(others, min(len(others), cancelled - len(hasty))):
        delay = chance.uniform(0.5, 4) if (at, _, payment) in hasty else chance.uniform(2, 60)
        add(min(at + delay, SECONDS - 0.3), "cancellation", payment["tenant"], payment["customer"], payment["order"])
    moves += orders + payments + cancelled - len(made)
    plenty = sorted(set(_TEAS) - set(_SCARCE))
    for _ in range(moves):
        tenant = chance.choices(list(TENANTS), list(TENANTS.values()))[0]
        change = {"item": chance.choice(plenty), "change": chance.randint(5, 40)}
        add(chance.uniform(0.5, SECONDS - 1), "stock", tenant, f"W-{tenant}", "", **change)

    all_events, flaws = _finish(made)
    stock = _stock(all_events, flaws, chance)
    handovers, twice = _handovers(chance, all_events, flaws, resent, step=5 if events > 2_000 else 20)
    candidates = [
        event["id"]
        for event in all_events
        if event["type"] == "payment" and KILLED[0] <= event["at"] <= KILLED[1] and event["id"] not in twice
    ]
    return Trade(seed, all_events, handovers, stock, flaws, candidates[len(candidates) // 2] if candidates else "")


def text(trade: Trade) -> str:
    """Return a trade as a file, an event a line; a long note stands there in short."""
    lines = []
    for event in trade.events:
        note = event.get("note", "")
        short = {"note": f"{note[:20]}… ({len(note):,} characters)"} if len(note) > LONGEST_NOTE else {}
        lines.append(json.dumps({**event, **short}, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def _zipf(chance: random.Random, count: int) -> int:
    return chance.choices(range(count), [1 / rank for rank in range(1, count + 1)])[0]


def _total(order: dict[str, Any]) -> int:
    return _TEAS[order["item"]] * int(order["quantity"])


def _finish(made: list[_Made]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the events in the order of time, numbered and in their versions, and what is wrong with some."""
    # What a customer does follows from what the customer did: no two events of one at the same tenth.
    last: dict[str, float] = defaultdict(lambda: -1.0)
    finished: list[dict[str, Any]] = []
    flaws: dict[str, str] = {}
    for number, (at, _, raw) in enumerate(sorted(made, key=lambda one: one[:2]), 1):
        at = max(at, round(last[raw["order"]] + 0.1, 1)) if raw["order"] else at
        last[raw["order"]] = at
        version = 1 if at < NEW_VERSION else 2
        event: dict[str, Any] = {"version": version, "id": f"e{number:05}", "at": at}
        event |= {key: value for key, value in raw.items() if key not in ("at", "total", "flaw")}
        if not event["order"]:
            event["order"] = f"m{number:05}"
        if event["type"] == "order":
            price = _TEAS[event["item"]]
            event |= {"price": price / 100} if version == 1 else {"cents": price}
        if event["type"] == "payment":
            event |= {"amount": raw["total"] / 100} if version == 1 else {"cents": raw["total"]}
        if flaw := raw.get("flaw"):
            flaws[event["id"]] = flaw
            _spoil(event, flaw)
        finished.append(event)
    return finished, flaws


def _spoil(event: dict[str, Any], flaw: str) -> None:
    price = "price" if "price" in event else "cents"
    if flaw == _FLAWS[0]:
        del event["item"]
    elif flaw == _FLAWS[1]:
        event[price] = str(event[price])
    elif flaw == _FLAWS[2]:
        event["note"] = "All the best! " * (90_000 // 14)
    else:
        # JSON writes it as six letters, which SQS takes; raw, SQS would refuse the whole call.
        event["note"] = "With love\x01"


def _stock(events: list[dict[str, Any]], flaws: dict[str, str], chance: random.Random) -> dict[str, int]:
    demand = Counter[str]()
    for event in events:
        if event["type"] == "order" and event["id"] not in flaws:
            demand[event["item"]] += event["quantity"]
    return {
        item: demand[item] // 4 if item in _SCARCE else demand[item] + chance.randint(20, 80) for item in sorted(_TEAS)
    }


def scarce(item: str) -> bool:
    """Return whether there is less of a tea than is ordered."""
    return item in _SCARCE


def _handovers(
    chance: random.Random, events: list[dict[str, Any]], flaws: dict[str, str], resent: int, step: int
) -> tuple[list[tuple[int, list[dict[str, Any]]]], set[str]]:
    by_time: dict[int, list[dict[str, Any]]] = {moment: [] for moment in range(step, SECONDS + 1, step)}
    again = []
    sound = [event for event in events if event["id"] not in flaws]
    # Some of those that are sent twice are payments: they show who charges twice.
    payments = [event for event in sound if event["type"] == "payment" and event["at"] < OUTAGE[0] - 20]
    twice = chance.sample(payments, min(len(payments), max(3, resent // 4)))
    rest = [event for event in sound if event not in twice]
    twice += chance.sample(rest, resent - len(twice))
    for event in events:
        by_time[max(step, math.ceil(event["at"] / step) * step)].append(event)
    for event in twice:
        first = max(step, math.ceil(event["at"] / step) * step)
        again.append((min(SECONDS, first + step * chance.randint(0, 2)), event))
    for moment, event in again:
        by_time[moment].append(event)
    return list(by_time.items()), {event["id"] for event in twice}
