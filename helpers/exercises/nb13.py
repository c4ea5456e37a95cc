"""The exercise of notebook 13: one topic, two queues, every order to one of them and some to the other."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import messages, metrics, pictures, plots, resources
from ..checks import Verdict, almost, exercise, not_yet, yes
from ..guard import own_part
from ..pictures.canvas import count
from . import evidence

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

    from ..lab import Lab

BOOK = """\
import json

def handler(event, context):
    for record in event["Records"]:
        order = json.loads(record["body"])
        print("booked", order["order"])
"""
"""The code of both functions of the exercise."""

REGIONS = ("eu", "us")
"""Where orders come from, in equal parts."""

ORDERS = 20
"""How many orders one sale has."""

DESKS = ("billing", "tax")
"""The two functions of the exercise, and their queues."""

BODIES = {
    "A": '{"region": "eu", "price": 12.5}',
    "B": '{"region": "EU", "price": null}',
    "C": '{"region": "us", "price": 10}',
    "D": '{"region": "us", "price": 20.0, "gift": "ribbon"}',
    "E": '{"price": 15}',
    "F": "a pound of tea, please",
}
"""What `sift` sends through each pattern, by letter; the last is no JSON."""

CAP = 5
"""How many runs at once pack orders in `rush`."""

_TAX = "eu"
_ROUND = "sale"
_HUNDRED = 100
_BOOKED = re.compile(r"booked (\d+)")
_SIFT = """
import json

def handler(event, context):
    for record in event["Records"]:
        print("passed", json.dumps([record["eventSourceARN"], record["body"]]))
"""
_PASSED = "passed "


def mixed_orders(number: int = ORDERS) -> list[dict[str, Any]]:
    """Return good sample orders, from the regions in turn."""
    by_region = [
        [order for order in messages.orders(flawed=False) if order["region"] == region][: number // len(REGIONS)]
        for region in REGIONS
    ]
    return [order for group in zip(*by_region, strict=True) for order in group]


def shares(lab: Lab, sent: Mapping[resources.Queue, Sequence[Any]]) -> pandas.DataFrame:
    """Send messages, wait ten seconds, and see which function was given how many from which queue, in how many runs.

    Parameters
    ----------
    lab : Lab
        Where.
    sent : mapping
        The bodies by their queue.

    Returns
    -------
    pandas.DataFrame
        By queue and function: `messages` and `runs`.
    """
    began = lab.now()
    for queue, bodies in sent.items():
        messages.send_many(queue, bodies)
    lab.wait(10, "for the functions")
    log = lab.recorder(since=began)
    given = log[(log["event"] == "invoked") & log["queue"].isin([queue.name for queue in sent])]
    return given.groupby(["queue", "function"]).agg(messages=("message", "size"), runs=("request", "nunique"))


def tally(lab: Lab, since: datetime, triggers: Iterable[resources.Trigger]) -> dict[str, int]:
    """Wait for CloudWatch, and count, and print, what became of a sale's orders.

    Parameters
    ----------
    lab : Lab
        Where.
    since : datetime
        When the sale began.
    triggers : iterable of Trigger
        Those whose filters count.

    Returns
    -------
    dict of str to int
        Orders that a function has handled, orders that none has, and messages that filters have deleted.
    """
    lab.wait(120, "until CloudWatch has counted")
    start = since.replace(second=0, microsecond=0)
    log = lab.recorder(since=since)
    handled = int(log.loc[log["event"] == "succeeded", "message"].nunique())
    deleted = 0
    for one in triggers:
        name = "FilteredOutEventCount"
        points = metrics.points(lab, "AWS/Lambda", name, start=start, EventSourceMappingUUID=one.uuid)
        deleted += int(points[name].sum())
    dead, failed = (int((log["event"] == event).sum()) for event in ("dead-lettered", "failed"))
    print(
        f"{handled} of {ORDERS} orders handled, {deleted} messages deleted by filters, "
        f"{count(dead, 'dead letter')}, {count(failed, 'failure')}"
    )
    return {"handled": handled, "lost": ORDERS - handled, "deleted by a filter": deleted}


def fates(ways: Mapping[str, Mapping[str, int]]) -> list[Axes]:
    """Draw what became of a sale's orders on each way; the first way is compared with the second in the title.

    Parameters
    ----------
    ways : mapping
        What `tally` returned, by the name of the way.

    Returns
    -------
    list of matplotlib.axes.Axes
        From left to right.
    """
    import pandas

    table = pandas.DataFrame(list(ways.values()), index=list(ways))
    lost = [number or "none" for number in table["lost"]]
    title = f"Two filters on one queue lost {lost[0]} of {ORDERS}; two queues lost {lost[1]}"
    colors = {"lost": plots.DEAD_LETTER, "deleted by a filter": plots.VISIBLE}
    return pictures.compare(table, title=title, colors=colors, one_scale=True)


def sift(lab: Lab, patterns: Mapping[str, Any], bodies: Mapping[str, str] = BODIES) -> pandas.DataFrame:
    """Try filter patterns: a queue and a trigger for each, one function behind all of them, all bodies into each queue.

    Parameters
    ----------
    lab : Lab
        Where.
    patterns : mapping
        What the body has to be, by the name of the pattern.
    bodies : mapping of str to str
        The bodies by their letters.

    Returns
    -------
    pandas.DataFrame
        A row a pattern, a column a body by its letter: a mark where the body came through.
    """
    import pandas

    function = resources.function(lab, "sift", source=_SIFT)
    began, queues = lab.now().timestamp(), {}
    for number, (name, pattern) in enumerate(patterns.items(), 1):
        queues[name] = resources.queue(lab, f"sift-{number}")
        criteria = {"Filters": [{"Pattern": json.dumps({"body": pattern})}]}
        resources.trigger(lab, queue=queues[name], function=function, filter_criteria=criteria)
    for queue in queues.values():
        messages.send_many(queue, list(bodies.values()))
    lab.wait_until(lambda: not any(_left(lab, queue.name) for queue in queues.values()), why="all queues are empty")
    lines = [line for run in evidence.runs(lab, "sift") if run.started >= began for line in run.lines]
    passed = {tuple(json.loads(line.removeprefix(_PASSED))) for line in lines if line.startswith(_PASSED)}
    rows = [["✔" if (queue.arn, body) in passed else "" for body in bodies.values()] for queue in queues.values()]
    return pandas.DataFrame(rows, index=list(queues), columns=list(bodies))


def rush(lab: Lab, name: str, orders: Sequence[Any], *, group: messages.Choice = None) -> pandas.DataFrame:
    """Let orders wait in a queue, open its trigger, and see who is received when.

    Parameters
    ----------
    lab : Lab
        Where.
    name : str
        Of the queue; the function is `packing`, at most `CAP` runs at once.
    orders : sequence
        In the order of sending.
    group : str or callable, optional
        The message group of all, or of each.

    Returns
    -------
    pandas.DataFrame
        A row an order, in the order of sending: `place` in the order of receiving, from 1, and `seconds` since the
        first was received.
    """
    import pandas

    queue = resources.queue(lab, name)
    trigger = partial(resources.trigger, lab, queue=queue, function="packing", batch_size=10, maximum_concurrency=CAP)
    trigger(enabled=False)
    sent = messages.send_many(queue, orders, group=group).sent
    opened = lab.now()
    trigger(enabled=True)
    lab.wait_until(lambda: not _left(lab, queue.name), why="the queue is empty")
    log = lab.recorder(queue=name, since=opened)
    received = log[log["event"] == "received"].drop_duplicates("message").set_index("message")
    table = pandas.DataFrame(
        {
            "place": range(1, len(received) + 1),
            "seconds": (received["time"] - received["time"].min()).dt.total_seconds(),
        },
        index=received.index,
    )
    return table.loc[[sent[place] for place in range(len(orders))]].reset_index(drop=True)


def last_received(ways: Mapping[str, pandas.DataFrame], large: int) -> pandas.DataFrame:
    """Return by way when the last order of the large tenant was received, and the last of the small ones.

    Parameters
    ----------
    ways : mapping of str to pandas.DataFrame
        What `rush` returned, by the name of the way.
    large : int
        How many orders at the beginning are the large tenant's.
    """
    import pandas

    seconds = {name: table["seconds"] for name, table in ways.items()}
    return pandas.DataFrame(
        {
            "wholesaler's last order received, s": [one[:large].max() for one in seconds.values()],
            "shops' last order received, s": [one[large:].max() for one in seconds.values()],
        },
        index=list(seconds),
    )


def fresh_sale(lab: Lab, role: resources.Role | None) -> tuple[str, dict[str, resources.Queue]]:
    """Make the parts of the exercise, and take away what an earlier attempt connected and left in the queues.

    Parameters
    ----------
    lab : Lab
        Where.
    role : Role
        What the functions wear.

    Returns
    -------
    tuple
        The topic's ARN, and the queues by name; the functions have the queues' names.
    """
    sns, sqs, functions = lab.client("sns"), lab.client("sqs"), lab.client("lambda")
    topic = str(sns.create_topic(Name=lab.name("sale"))["TopicArn"])
    queues = {name: resources.queue(lab, name, max_receive_count=3) for name in DESKS}
    for name in DESKS:
        resources.function(lab, name, source=BOOK, role=role)
    for subscription in _subscriptions(lab, topic):
        sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    for mapping in list(_mappings(lab, DESKS)):
        lab.wait_until(partial(_settled, lab, mapping["UUID"]), why="the trigger can be deleted")
        functions.delete_event_source_mapping(UUID=mapping["UUID"])
    lab.wait_until(lambda: not list(_mappings(lab, DESKS, gone=False)), why="the triggers are gone")
    held = []
    for queue in queues.values():
        sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"Policy": ""})
        held += [one for one in (queue, queue.dead_letters) if one is not None and _left(lab, one.name)]
    for one in held:
        sqs.purge_queue(QueueUrl=one.url)
    if held:
        lab.wait(60, "until the queues are empty")
    return topic, queues


def sell(lab: Lab, topic: str) -> None:
    """Publish twenty new orders, ten from each region, with the region as a message attribute.

    It waits before, as AWS takes up to a minute to apply a queue's policy, and ten seconds after.

    Parameters
    ----------
    lab : Lab
        Where.
    topic : str
        The topic's ARN.
    """
    lab.wait(60, "until the queues' policies are in force")
    sns = lab.client("sns")
    number = (_round(lab, topic) or (0, 0.0))[0] + 1
    # How a check knows which orders belong to the latest attempt, also if none of them has arrived anywhere.
    latest = [{"Key": _ROUND, "Value": f"{number} at {lab.now().timestamp():.3f}"}]
    sns.tag_resource(ResourceArn=topic, Tags=latest)
    entries = []
    for place, order in enumerate(mixed_orders(), 1):
        attribute = {"region": {"DataType": "String", "StringValue": order["region"]}}
        text = json.dumps({**order, "order": _HUNDRED * number + place})
        entries.append({"Id": str(place), "Message": text, "MessageAttributes": attribute})
    for begin in range(0, ORDERS, 10):
        sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries[begin : begin + 10])
    print(f"Published {ORDERS} orders, {_HUNDRED * number + 1} to {_HUNDRED * number + ORDERS}")
    lab.wait(10, "for queues and functions")


@exercise(
    "13-fan",
    hints=[
        "A message of one queue goes to one function. So how many queues are there, and who puts a copy into each?",
        "Three things for each queue: `subscribe`, a queue policy that lets this topic send, and a trigger. "
        "And what does the handler find in `body`?",
        "`RawMessageDelivery` for both subscriptions. For `tax` the region in `FilterCriteria` of its trigger, or in "
        "`FilterPolicy` of its subscription.",
    ],
)
def fan(lab: Lab, *, topic: str, billing: str, tax: str) -> Verdict:
    """Look at what the two functions have booked of the latest sale, and at what connects them to the topic."""
    arn = f"arn:aws:sns:{lab.region}:{lab.account}:{lab.name(own_part(topic))}"
    sale = _round(lab, arn)
    if sale is None:
        return not_yet("Nothing was sold yet: connect the topic with the queues, and call `sell`.")
    subscribed = _subscriptions(lab, arn)
    if not subscribed:
        return not_yet(
            f"{ORDERS} orders were published, and nobody has subscribed to `{topic}`: a topic keeps nothing. "
            "Subscribe both queues, and sell again."
        )
    desks = {name: _desk(lab, name, sale, subscribed) for name in (billing, tax)}
    one, other = desks.values()
    for desk in (one, other):
        if not desk.queues:
            return not_yet(f"The function `{desk.name}` has no trigger: give it one on its queue, and sell again.")
    if one.queues & other.queues:
        return almost(
            f"`{one.name}` booked {one.distinct} of {ORDERS} orders and `{other.name}` {other.distinct}, from one "
            "queue. They share, they do not both get it. Give each function its own queue, and sell again."
        )
    for desk in (one, other):
        problem = _arrival(lab, desk, arn)
        if problem:
            return problem
    return _books(one, other)


@dataclass(frozen=True)
class _Desk:
    """A function of the exercise: the queues that it reads, what it booked of the latest sale, and how it is fed."""

    name: str
    queues: frozenset[str]
    booked: Counter[int]
    errors: Sequence[str]
    subscriptions: Sequence[Mapping[str, str]]
    filtered: bool

    @property
    def distinct(self) -> int:
        return len(self.booked)

    @property
    def raw(self) -> bool:
        return all(one.get("RawMessageDelivery") == "true" for one in self.subscriptions)

    @property
    def policed(self) -> bool:
        return any(one.get("FilterPolicy") not in (None, "", "{}") for one in self.subscriptions)


def _desk(lab: Lab, name: str, sale: tuple[int, float], subscribed: Sequence[Mapping[str, str]]) -> _Desk:
    number, began = sale
    mappings = list(_mappings(lab, [name]))
    arns = frozenset(one["EventSourceArn"] for one in mappings)
    runs = [run for run in evidence.runs(lab, name) if run.started >= began]
    found = [int(text) for run in runs for line in run.lines for text in _BOOKED.findall(line)]
    booked = Counter(order for order in found if order // _HUNDRED == number)
    sns = lab.client("sns")
    subscriptions = [
        sns.get_subscription_attributes(SubscriptionArn=one["SubscriptionArn"])["Attributes"]
        for one in subscribed
        if one["Endpoint"] in arns
    ]
    filtered = any((one.get("FilterCriteria") or {}).get("Filters") for one in mappings)
    return _Desk(name, arns, booked, [run.error for run in runs if run.error], subscriptions, filtered)


def _arrival(lab: Lab, desk: _Desk, topic: str) -> Verdict | None:
    """Return what keeps a function from its orders, or None."""
    queue = own_part(sorted(desk.queues)[0])
    if not desk.subscriptions:
        return almost(f"`{desk.name}` reads `{queue}`, and this queue has not subscribed to the topic: `subscribe` it.")
    if desk.errors:
        if not desk.raw:
            return almost(
                f"`{desk.name}` failed with {desk.errors[-1]}. SNS wrapped your order: raw delivery, or read Message "
                "inside body. Change that in the exercise's cell, and run the whole cell again."
            )
        return almost(f"`{desk.name}` failed with {desk.errors[-1]}: mend its code, and sell again.")
    left = sum(_left(lab, own_part(arn)) for arn in desk.queues)
    if left:
        return almost(f"{left} orders still wait in `{queue}`: is the trigger of `{desk.name}` Enabled? Check again.")
    if desk.booked:
        return None
    if topic not in _policy(lab, queue):
        return almost(
            f"`{desk.name}` booked nothing, and no policy of `{queue}` names the topic `{own_part(topic)}`. SNS "
            "published into nothing: the queue must allow this topic. Add the policy, and sell again."
        )
    if desk.filtered and not desk.raw:
        return almost(
            f"`{desk.name}` booked nothing: its trigger's filter looked at the envelope of SNS, where the region is "
            "text inside `Message`, and all were deleted. Deliver raw, and sell again."
        )
    return almost(
        f"`{desk.name}` booked nothing of {ORDERS} orders. A log may be late, so check again. If that changes nothing, "
        "look at the queue's policy (action, principal, resource), and at the filters: does any order match them?"
    )


def _books(billing: _Desk, tax: _Desk) -> Verdict:
    seen = f"`{billing.name}` booked {billing.distinct} of {ORDERS} orders, `{tax.name}` {tax.distinct}"
    for desk in (billing, tax):
        twice = sum(times > 1 for times in desk.booked.values())
        if twice:
            return almost(f"{seen}, and {count(twice, 'order')} twice in `{desk.name}`: does it read two queues?")
    if billing.distinct < ORDERS:
        return almost(f"{seen}. {billing.name.capitalize()} wants every order: take the filter off its way.")
    own = {order for order in billing.booked if REGIONS[(order - 1) % len(REGIONS)] == _TAX}
    foreign = len(set(tax.booked) - own)
    if foreign:
        late = (
            " (On AWS a filter policy may take 15 minutes to count: sell again later.)"
            if tax.policed and own < set(tax.booked)
            else ""
        )
        return almost(
            f"{seen}, {foreign} of them not from `{_TAX}`: filter at its trigger, or at its subscription.{late}"
        )
    if set(tax.booked) < own:
        return almost(f"{seen}. {len(own) - tax.distinct} orders from `{_TAX}` are missing there: look at the filter.")
    rest = ORDERS - len(own)
    if not tax.filtered and not tax.policed:
        return almost(
            f"{seen}. But it was handed all {ORDERS} and threw {rest} away itself, in runs that you pay for: let the "
            "trigger or the topic filter."
        )
    how = "the topic kept the other" if tax.policed else "its trigger deleted the other"
    return yes(f"{seen}; {how} {rest}. Every order was booked where it belongs, and none was lost.")


def _round(lab: Lab, topic: str) -> tuple[int, float] | None:
    """Return the number of the latest sale and when it began, or None."""
    tags = lab.client("sns").list_tags_for_resource(ResourceArn=topic)["Tags"]
    value = next((tag["Value"] for tag in tags if tag["Key"] == _ROUND), None)
    if value is None:
        return None
    number, _, moment = value.partition(" at ")
    return int(number), float(moment)


def _subscriptions(lab: Lab, topic: str) -> list[dict[str, str]]:
    pages = lab.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    return [one for page in pages for one in page["Subscriptions"] if one["SubscriptionArn"].startswith("arn:")]


def _mappings(lab: Lab, functions: Sequence[str], *, gone: bool = True) -> Iterable[dict[str, Any]]:
    """Yield the triggers of functions; those that are being deleted count as gone unless that is denied."""
    pages = lab.client("lambda").get_paginator("list_event_source_mappings")
    for name in functions:
        for page in pages.paginate(FunctionName=lab.name(own_part(name))):
            yield from (one for one in page["EventSourceMappings"] if not gone or one["State"] != "Deleting")


def _settled(lab: Lab, uuid: str) -> bool:
    return lab.client("lambda").get_event_source_mapping(UUID=uuid)["State"] in ("Enabled", "Disabled")


def _left(lab: Lab, queue: str) -> int:
    held = evidence.depth(lab, queue)
    return held.visible + held.in_flight if held else 0


def _policy(lab: Lab, queue: str) -> str:
    sqs = lab.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {})
    return str(found.get("Policy", ""))
