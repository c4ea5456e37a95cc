"""The exercise of notebook 10: a trigger that never opens a fifth connection, and loses nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .. import metrics, recorder
from ..checks import Verdict, almost, exercise, not_yet, yes
from ..guard import own_part

if TYPE_CHECKING:
    import pandas

    from ..lab import Lab

CONNECTIONS = 4
"""How many connections the database takes."""
ORDERS = 300
"""How many orders one attempt drains."""
BATCH = 10
"""How many of them a run saves."""
MOST_RECEIVES = 100
"""A greater `maxReceiveCount` no longer stops a message that always fails in any useful time."""

_WAITING = ("delayed", "waiting", "in flight")
_CAP = "AWS allows 2 to 1,000; for one at a time use a FIFO queue with one group."


@exercise(
    "10-protect",
    hints=[
        "Every run holds one connection. Who may decide how many runs there are, without receiving an order first?",
        "Section 3 capped a trigger: `ScalingConfig` of `update_event_source_mapping`, or of `create_…`.",
        f"`ScalingConfig={{'MaximumConcurrency': {CONNECTIONS}}}` on the trigger, then `drain()`.",
    ],
)
def protect(lab: Lab, *, queue: str, function: str) -> Verdict:
    """Look at the last 300 orders: refused connections, dead letters, throttles, and how many runs there were at once.

    The verdict is on what the latest attempt did, and on the settings that are in force now.
    """
    mapping = _mapping(lab, queue, function)
    if mapping is None:
        return not_yet(
            f"There is no trigger between `{queue}` and `{function}`: run the cell above the exercise first."
        )
    everything = lab.recorder(queue=queue)
    log = _latest(everything)
    table = recorder.messages(log)
    if len(table) < ORDERS:
        return not_yet(f"{len(table)} of {ORDERS} orders have been sent: choose the settings, then call `drain()`.")
    waiting = int(table["end"].isin(_WAITING).sum())
    if waiting:
        return not_yet(f"{waiting} of {ORDERS} orders still wait in `{queue}`: let `drain()` end, then check again.")

    cap = (mapping.get("ScalingConfig") or {}).get("MaximumConcurrency")
    receives = _receives(lab, queue)
    turned_away, runs, peak = (
        recorder.refused(log, CONNECTIONS),
        len(recorder.invocations(log)),
        recorder.most_at_once(log),
    )
    throttled = max(_throttled(log), _throttles(lab, function, everything, table["sent"].min()))
    dead = int((table["end"] == "dead").sum())
    seen = f"{turned_away} of {runs} runs found no free connection, {dead} orders died, up to {peak} runs at once"
    if receives is not None and receives >= MOST_RECEIVES:
        often = "a thousand" if receives == 1000 else f"{receives:,}"
        return almost(
            f"maxReceiveCount is {receives:,}. Nothing dies, but a poison message now runs {often} times. Leave the "
            "count as it was, and let nothing be received that cannot run."
        )
    if throttled:
        return almost(
            f"{throttled} attempts to run were throttled, {dead} orders died, and "
            f"{int((table['attempts'] > table['runs']).sum())} were received more often than they ran. Throttled "
            "receives counted as attempts. Cap the reader, not the function, and drain again."
        )
    if turned_away and cap is None:
        return not_yet(
            f"{seen}; {CONNECTIONS} connections are all there are. The trigger has no cap of its own: set "
            f"MaximumConcurrency. {_CAP}"
        )
    if turned_away:
        return almost(
            f"{seen}; {CONNECTIONS} connections are all there are. MaximumConcurrency is {cap}: bring it down, and "
            "drain again."
        )
    if dead:
        return almost(f"{seen}, and nothing was throttled: is the visibility timeout longer than a run? Drain again.")
    if mapping["BatchSize"] != BATCH:
        return almost(
            f"{seen}. But BatchSize is {mapping['BatchSize']}, and a run saves {BATCH} orders: set it back to {BATCH}, "
            "and drain again."
        )
    if peak < CONNECTIONS:
        one = f" {_CAP}" if peak == 1 else ""
        return almost(
            f"{seen}: nothing was refused, and {CONNECTIONS - peak} of {CONNECTIONS} connections stayed unused.{one} "
            "Drain as fast as the database allows."
        )
    if cap is None or cap > CONNECTIONS:
        return almost(
            f"{seen}. But the trigger's cap is {cap or 'not set'} now, so the next drain may open a fifth connection: "
            "set it, and drain again."
        )
    return yes(f"{seen}, and nothing was throttled: {ORDERS} orders through {CONNECTIONS} connections.")


def _latest(log: pandas.DataFrame) -> pandas.DataFrame:
    """Return what belongs to the 300 messages that were sent last."""
    sent = log.loc[log["event"] == "sent", "message"].tail(ORDERS)
    return log[log["message"].isin(sent)]


def _throttled(log: pandas.DataFrame) -> int:
    return len(log[log["event"] == "throttled"].drop_duplicates("time"))


def _throttles(lab: Lab, function: str, everything: pandas.DataFrame, since: Any) -> int:
    """Return what CloudWatch has counted since the latest attempt began: a real account's logs tell of no throttles."""
    name = lab.name(own_part(function))
    start = since.floor("min")
    points = metrics.points(lab, "AWS/Lambda", "Throttles", start=start.to_pydatetime(), FunctionName=name)
    # The first minute may hold the end of an earlier attempt.
    earlier = everything[(everything["time"] >= start) & (everything["time"] < since)]
    return int(points["Throttles"].sum()) - _throttled(earlier)


def _mapping(lab: Lab, queue: str, function: str) -> dict[str, Any] | None:
    wanted = lab.name(own_part(queue.rpartition("/")[2]))
    answer = lab.client("lambda").list_event_source_mappings(FunctionName=lab.name(own_part(function)))
    found: list[dict[str, Any]] = answer["EventSourceMappings"]
    return next((one for one in found if one["EventSourceArn"].rpartition(":")[2] == wanted), None)


def _receives(lab: Lab, queue: str) -> int | None:
    sqs = lab.client("sqs")
    url = sqs.get_queue_url(QueueName=lab.name(own_part(queue.rpartition("/")[2])))["QueueUrl"]
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"]).get("Attributes", {})
    return int(json.loads(policy["RedrivePolicy"])["maxReceiveCount"]) if "RedrivePolicy" in policy else None
