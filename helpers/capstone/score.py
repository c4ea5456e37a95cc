"""The scorecard: a line a requirement, each with its value, its bound and the events that show it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import costs, recorder
from ..card import Card
from ..errors import LabError
from .design import Design
from .judge import DEADLINE, Facts
from .provider import PLACES
from .provider import SECONDS as CHARGE
from .trade import OUTAGE, Trade, cents, scarce

if TYPE_CHECKING:
    import pandas

AGE = 15
"""Seconds within which three of four orders have to be done, also while others cannot pay."""
RING = 120
"""Seconds within which an alarm has to ring."""
FINDABLE = 60
"""Seconds within which the reason of a failure has to stand in the log."""
BUDGET = 1.0
"""US dollars that a million events may cost."""
OWN_WORK = 0.01
"""Seconds that a run is taken to work by itself, beside its charges: the same on any computer."""
LOOK = {
    "charged exactly once": "these orders in card.events; card.errors",
    "order per customer": "sent and done of such a customer in card.events",
    "valid events dead-lettered": "card.errors, for why they failed",
    "malformed events dead-lettered": "these in card.events: done, or lost?",
    "reasons in the log": "what the handler prints for these",
    "stock": "the item's orders in card.events",
    "refused by the provider": "how many runs there can be at once",
    "3 of 4 orders in the outage": "what these waited behind: done in card.events",
    "3 of 4 orders": "what these waited behind: done in card.events",
    "drained": "these in card.events; card.errors",
    "alarm": "the alarm's queue, metric, period and threshold",
    "rights": "the role's policies in the template",
    "cost": "batch and memory in the template",
    "cleanup": "DeletionPolicy in the template",
}
"""By line, where its cause is found."""
_MANAGED = "AWSLambdaBasicExecutionRole"
_SHOWN = 3


@dataclass(frozen=True)
class Line:
    """One requirement.

    Attributes
    ----------
    name : str
        What is required.
    value, bound : str
        What was measured, and what was asked for.
    passed : bool
        Whether it is met.
    evidence : tuple of str
        The events, orders or names that show it.
    hard : bool
        Whether nothing else counts without it.
    elsewhere : bool
        Whether the day's own trouble is not the reason why it is not met.
    """

    name: str
    value: str
    bound: str
    passed: bool
    evidence: tuple[str, ...] = ()
    hard: bool = False
    elsewhere: bool = False

    @property
    def sentence(self) -> str:
        """The line in a sentence."""
        shown = f" ({_some(self.evidence)})" if self.evidence else ""
        return f"{self.name[0].upper()}{self.name[1:]}: {self.value}, asked for {self.bound}{shown}."


@dataclass(frozen=True)
class Scorecard:
    """What a design did in a day of trade.

    Attributes
    ----------
    design, digest : str
        Its name, and a text that is another one when its files have changed.
    seed, tier, messages : int
        What it was run with.
    lines : tuple of Line
        The requirements.
    events : pandas.DataFrame
        A row an event: `id`, `type`, `tenant`, `customer`, `order`, `item`, `at`, `sent`, `done` and `dead` (seconds
        since the shop opened, NaN for never), `overtaken` and `flaw`.
    errors : tuple of str
        What the functions' logs say of failures, each once, the most frequent first.
    """

    design: str
    digest: str
    seed: int
    tier: int
    messages: int
    lines: tuple[Line, ...]
    events: pandas.DataFrame = field(repr=False, compare=False)
    errors: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every requirement is met."""
        return all(line.passed for line in self.lines)

    @property
    def failed(self) -> tuple[Line, ...]:
        """The requirements that are not met, hard ones first."""
        return tuple(sorted((line for line in self.lines if not line.passed), key=lambda line: not line.hard))

    def __getitem__(self, name: str) -> Line:
        """Return the line with a name."""
        found = next((line for line in self.lines if line.name == name), None)
        if found is None:
            raise LabError(
                f"There is no line {name!r}.", "", f"There are {', '.join(line.name for line in self.lines)}."
            )
        return found

    def _card(self) -> Card:
        rows = [
            (
                f"{'✔' if line.passed else '✘'} {line.name}{' (hard)' if line.hard else ''}",
                line.value,
                line.bound,
                _some(line.evidence) if line.passed else f"{_some(line.evidence)} → look at {LOOK[line.name]}".strip(),
            )
            for line in self.lines
        ]
        met = sum(line.passed for line in self.lines)
        verdict = "all met" if self.passed else f"{met} of {len(self.lines)} met"
        title = f"{self.design}, seed {self.seed}, tier {self.tier}, {self.messages:,} messages: {verdict}"
        footer = "" if self.passed or not self.errors else f"card.errors: {_some(self.errors)}"
        return Card(title, rows, ("", "value", "asked for", "evidence"), footer)

    def __repr__(self) -> str:
        return str(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()


def brief() -> Card:
    """Return what is asked of a design, line by line."""
    rows = [
        (
            "charged exactly once (hard)",
            "every payment, also of a sold-out order; the provider charges twice if asked twice",
        ),
        ("order per customer (hard)", "no event is done before an earlier one of the same customer"),
        ("valid events dead-lettered", "none"),
        ("malformed events dead-lettered", "all, and there when the day is over"),
        ("reasons in the log", f"for each of them a line of JSON with event and reason, within {FINDABLE} s"),
        ("stock", "right, and never below 0: a sold-out order takes nothing, a cancelled one gives back what it took"),
        ("refused by the provider", f"nothing: it takes {CHARGE * 1000:.0f} ms, and {PLACES} at once"),
        ("3 of 4 orders in the outage", f"done in {AGE} s; customers with a payment in the outage do not count"),
        ("drained", f"by minute {_clock(DEADLINE)}"),
        ("alarm", f"rings within {RING} s of the first dead letter, and not without a cause"),
        ("rights", f"no wildcard; {_MANAGED} is allowed"),
        ("cost", f"at most ${BUDGET:.2f} a million events, counted from requests and charges"),
        ("cleanup", "a deleted stack leaves nothing"),
    ]
    return Card("What Halm & Kraut asks for", rows)


def score(design: Design, trade: Trade, tier: int, seen: Facts) -> Scorecard:
    """Return the scorecard of a run."""
    table = events_of(trade, seen)
    lines = [
        _charges(trade, seen),
        *([_order(table)] if tier > 1 else []),
        _valid_dead(table, tier),
        _malformed_dead(table, trade, seen),
        _reasons(trade, seen),
        _stock(trade, seen),
        _refusals(seen),
        _age(table, tier),
        _drain(table),
        _alarm(table, seen, tier),
        _rights(seen),
        _cost(design, table, trade, seen),
        _cleanup(seen),
    ]
    return Scorecard(
        design.name, design.digest, trade.seed, tier, trade.messages, tuple(lines), table, _errors(trade, seen)
    )


def _errors(trade: Trade, seen: Facts) -> tuple[str, ...]:
    """Return what the logs say of failures; the reasons of what is malformed have a line of their own."""
    said = Counter(seen.errors)
    raised = tuple(said)
    for _, line in seen.lines:
        reason = str(line.get("reason") or "")
        # Who prints a reason and raises it has said it twice.
        if reason and str(line.get("event")) not in trade.flaws and not any(one.endswith(reason) for one in raised):
            said[reason] += 1
    return tuple(f"{text}, {_count(times, 'time')}" for text, times in said.most_common())


def events_of(trade: Trade, seen: Facts) -> pandas.DataFrame:
    """Return a row an event, with what became of it by the recorder."""
    import pandas

    log = seen.log[seen.log["message"].notna()]
    log = log.assign(id=log["message"].map(seen.sent), second=(log["time"] - seen.opened).dt.total_seconds())
    table = pandas.DataFrame(
        [
            {key: event.get(key) for key in ("id", "type", "tenant", "customer", "order", "item", "at")}
            for event in trade.events
        ]
    )
    for column, event in (("sent", "sent"), ("done", "succeeded"), ("dead", "dead-lettered")):
        first = log[log["event"] == event].groupby("id")["second"].min()
        table[column] = table["id"].map(first).astype(float)
    table["flaw"] = table["id"].map(trade.flaws).fillna("")
    # What only the dead-letter queue knows, a handler has sent there itself.
    own = {str(body.get("id")) for body in seen.dead} & set(table.loc[table["dead"].isna(), "id"])
    here = table["id"].isin(own)
    table.loc[here, "dead"] = table.loc[here, "done"].fillna(table.loc[here, "sent"])
    table["overtaken"] = _overtaken(table)
    return table


def _overtaken(table: pandas.DataFrame) -> pandas.Series:
    """Return which events were done after a later one of their customer."""
    counted = table[(table["flaw"] == "") & table["customer"].str.startswith("C")]
    done = counted["done"].fillna(math.inf)
    # The earliest end of any later event of the same customer.
    later = done[::-1].groupby(counted["customer"][::-1]).transform(lambda ends: ends.cummin().shift(1))
    return (done > later.reindex(done.index)).reindex(table.index, fill_value=False)


def _charges(trade: Trade, seen: Facts) -> Line:
    due = {event["order"]: cents(event) for event in trade.events if event["type"] == "payment"}
    times = Counter(charge["order"] for charge in seen.ledger["charges"])
    wrong = [f"{order} not charged" for order in due if not times[order]]
    wrong += [f"{order} charged {number} times" for order, number in times.items() if number > 1]
    wrong += [f"{order} never ordered" for order in times if order not in due]
    for charge in seen.ledger["charges"]:
        if times[charge["order"]] == 1 and due.get(charge["order"], charge["cents"]) != charge["cents"]:
            wrong.append(f"{charge['order']} for {charge['cents']} cents, due were {due[charge['order']]}")
    right = len(due) - len({text.split()[0] for text in wrong} & set(due))
    return Line("charged exactly once", f"{right:,} of {len(due):,} orders", "all", not wrong, tuple(wrong), hard=True)


def _order(table: pandas.DataFrame) -> Line:
    late = table[table["overtaken"]]
    shown = tuple(f"{row.customer}: {row.type} {row.id}" for row in late.itertuples())
    return Line("order per customer", f"{_count(len(late), 'event')} overtaken", "none", late.empty, shown, hard=True)


def _valid_dead(table: pandas.DataFrame, tier: int) -> Line:
    dead = table[table["dead"].notna() & (table["flaw"] == "")]
    shown = tuple(f"{row.id} at {_clock(row.dead)}" for row in dead.itertuples())
    outage = dead["sent"].between(OUTAGE[0] - 1, OUTAGE[1])
    elsewhere = not dead.empty and (tier == 1 or float(outage.mean()) < 0.5)
    return Line("valid events dead-lettered", f"{len(dead)}", "0", dead.empty, shown, elsewhere=elsewhere)


def _malformed_dead(table: pandas.DataFrame, trade: Trade, seen: Facts) -> Line:
    there = {str(body.get("id")) for body in seen.dead}
    missing = [f"{event}: {flaw}" for event, flaw in trade.flaws.items() if event not in there]
    found = len(trade.flaws) - len(missing)
    return Line(
        "malformed events dead-lettered",
        f"{found} of {len(trade.flaws)}",
        "all",
        not missing,
        tuple(missing),
    )


def _reasons(trade: Trade, seen: Facts) -> Line:
    received = seen.log[seen.log["event"] == "received"]
    first = received.assign(id=received["message"].map(seen.sent)).groupby("id")["time"].min()
    told: dict[str, Any] = {}
    for moment, line in seen.lines:
        if line.get("reason") and str(line.get("event")) in trade.flaws:
            told[str(line["event"])] = min(moment, told.get(str(line["event"]), moment))
    missing = []
    for event in trade.flaws:
        after = (told[event] - first[event]).total_seconds() if event in told and event in first.index else 0.0
        if event not in told or after > FINDABLE:
            missing.append(f"{event}: after {after:.0f} s" if event in told else f"{event}: no such line")
    return Line(
        "reasons in the log",
        f"{len(trade.flaws) - len(missing)} of {len(trade.flaws)}",
        f"all, within {FINDABLE} s",
        not missing,
        tuple(missing),
    )


def _stock(trade: Trade, seen: Facts) -> Line:
    due: dict[str, int] = defaultdict(int, trade.stock)
    placed = {event["order"]: event for event in trade.valid if event["type"] == "order"}
    for event in trade.valid:
        if event["type"] == "order":
            due[event["item"]] -= event["quantity"]
        elif event["type"] == "stock":
            due[event["item"]] += event["change"]
        elif event["type"] == "cancellation":
            order = placed[event["order"]]
            due[order["item"]] += order["quantity"]
    wrong = []
    for item, left in sorted(seen.stock.items()):
        if left < 0:
            wrong.append(f"{item} is {left}")
        elif scarce(item) and left > trade.stock[item]:
            wrong.append(f"{item} is {left}, and there never were more than {trade.stock[item]}")
        elif not scarce(item) and left != due[item]:
            wrong.append(f"{item} is {left}, should be {due[item]}")
    right = len(trade.stock) - len(wrong)
    return Line("stock", f"{right} of {len(trade.stock)} teas right", "all, none below 0", not wrong, tuple(wrong))


def _refusals(seen: Facts) -> Line:
    refused = seen.ledger["refusals"]
    return Line("refused by the provider", f"{len(refused)}", "0", not refused, tuple(dict.fromkeys(refused)))


def _age(table: pandas.DataFrame, tier: int) -> Line:
    orders = table[(table["flaw"] == "") & (table["type"] == "order")]
    if tier > 1:
        # The till hands over what came in before: the last of it when the provider is back.
        held = table[(table["sent"] >= OUTAGE[0]) & (table["at"] < OUTAGE[1])]
        # Whose own payment waits has to wait, too: that is the promised order.
        paying = held.loc[held["type"] == "payment", "customer"]
        orders = orders[orders.index.isin(held.index) & ~orders["customer"].isin(paying)]
    waits = (orders["done"] - orders["sent"]).fillna(math.inf)
    wait = sorted(waits)[math.ceil(0.75 * len(waits)) - 1] if len(waits) else math.inf
    shown = tuple(f"{name}: {number:,} waited longer" for name, number in _by_tenant(orders[waits > AGE]))
    value = "never done" if math.isinf(wait) else f"{wait:.0f} s"
    name = "3 of 4 orders in the outage" if tier > 1 else "3 of 4 orders"
    return Line(name, value, f"done in {AGE} s", wait <= AGE, shown if wait > AGE else ())


def _drain(table: pandas.DataFrame) -> Line:
    valid = table[table["flaw"] == ""]
    left = valid[["done", "dead"]].min(axis=1)
    last = float(left.max()) if left.notna().all() else math.inf
    late = valid[left.fillna(math.inf) > DEADLINE]
    shown = tuple(f"{name}: {_count(number, 'event')}" for name, number in _by_tenant(late))
    value = "never" if math.isinf(last) else f"at {_clock(last)}"
    return Line("drained", value, f"by {_clock(DEADLINE)}", last <= DEADLINE, shown)


def _by_tenant(late: pandas.DataFrame) -> list[tuple[str, int]]:
    """Return each tenant with the first of its late events, and how many they are."""
    return [
        (f"{tenant}, {late.loc[late['tenant'] == tenant, 'id'].iloc[0]}", int(number))
        for tenant, number in late["tenant"].value_counts().items()
    ]


def _alarm(table: pandas.DataFrame, seen: Facts, tier: int) -> Line:
    dead = float(table["dead"].min())
    rung = [(moment - seen.opened).total_seconds() for moment in seen.alarms]
    trouble = min([*([OUTAGE[0]] if tier > 1 else []), *([dead] if dead == dead else [])], default=math.inf)
    false = [moment for moment in rung if moment < trouble]
    bound = f"within {RING} s, none false"
    if false:
        return Line("alarm", f"rang at {_clock(false[0])}, when all was well", bound, False)
    if dead != dead:
        return Line("alarm", "nothing was dead-lettered", bound, False)
    after = [moment - dead for moment in rung if moment >= dead]
    evidence = (f"first dead letter at {_clock(dead)}",)
    if not after:
        return Line("alarm", "did not ring", bound, False, evidence)
    return Line("alarm", f"rang after {after[0]:.0f} s", bound, after[0] <= RING, evidence)


def _rights(seen: Facts) -> Line:
    wide = []
    for role, statements in seen.rights.items():
        name = role.rsplit("-", 2)[-2] if role.count("-") > 1 else role
        for statement in statements:
            if managed := statement.get("Managed"):
                wide += [] if managed == _MANAGED else [f"{name}: {managed} is for every resource"]
                continue
            if statement.get("Effect") != "Allow":
                continue
            wide += [f"{name}: {action}" for action in _listed(statement.get("Action", ())) if "*" in action]
            wide += [
                f"{name}: {resource}"
                for resource in _listed(statement.get("Resource", ()))
                if resource == "*" or (not resource.startswith("arn:aws:logs:") and resource.endswith((":*", "/*")))
            ]
    return Line("rights", f"{_count(len(wide), 'wildcard')}", "none", not wide, tuple(wide))


def _cost(design: Design, table: pandas.DataFrame, trade: Trade, seen: Facts) -> Line:
    """Count requests and charges, and price them: no time of this computer goes into it."""
    log = seen.log[(seen.log["time"] - seen.opened).dt.total_seconds() <= DEADLINE]
    runs = len(recorder.invocations(log))
    used = costs.Usage(
        messages=trade.messages,
        # Ten messages a call: the till sends so, whatever the design.
        send=math.ceil(trade.messages / 10),
        receive=runs,
        delete=runs,
        runs=runs,
        gb_seconds=(OWN_WORK * runs + CHARGE * len(seen.ledger["charges"])) * seen.memory / 1024,
        fifo=bool(design.group),
    )
    million = used.total / trade.messages * 1e6
    shown = (f"{runs:,} runs", f"{used.traffic:,.0f} SQS requests", f"{seen.memory} MB")
    return Line("cost", f"${million:.2f} a million events", f"at most ${BUDGET:.2f}", million <= BUDGET, shown)


def _cleanup(seen: Facts) -> Line:
    return Line("cleanup", f"{len(seen.left)} left", "0 left", not seen.left, tuple(seen.left))


def _listed(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else list(value)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02}"


def _some(evidence: Sequence[str]) -> str:
    more = len(evidence) - _SHOWN
    return "; ".join(evidence[:_SHOWN]) + (f"; {more:,} more" if more > 0 else "")
