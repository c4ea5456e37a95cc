"""The dead-letter alarm that never rings: it counts sends, and a move is none (rows F5, F16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import messages, resources
from ..catch_up import Pipeline
from ..checks import Verdict, almost, not_yet, yes
from ..exercises import evidence
from . import trial
from .drill import Drill, Scene

if TYPE_CHECKING:
    from ..lab import Lab

_DEAD, _TOPIC = "refunds-dead-letters", "on-call"
_SENDS, _DEPTH = "NumberOfMessagesSent", "ApproximateNumberOfMessagesVisible"
_BUILT = {"MetricName": _SENDS, "Statistic": "Sum", "Period": 60, "Threshold": 1.0}
_NIGHT = 8 * 3600
_PATIENCE = 420
_SOURCE = """
import json


def handler(event, context):
    for record in event["Records"]:
        order = json.loads(record["body"])
        if order.get("busy") and record["attributes"]["ApproximateReceiveCount"] == "1":
            raise ConnectionError("the bank is busy")
        print(json.dumps({"refunded": order["order"], "amount": order["price"] * order["quantity"]}))
"""


def build(lab: Lab) -> Scene:
    """Make an alarm on a metric that stays 0, and let refunds die in the night."""
    trial.until_evening(lab)
    queue = resources.queue(lab, "refunds", max_receive_count=3)
    function = resources.function(lab, "refunds", source=_SOURCE)
    trigger = resources.trigger(lab, queue=queue, function=function, batch_size=1)
    topic = lab.client("sns").create_topic(Name=lab.name(_TOPIC))["TopicArn"]
    assert queue.dead_letters is not None
    cloudwatch = lab.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=lab.name("refunds-died"),
        AlarmActions=[topic],
        Namespace="AWS/SQS",
        Dimensions=[{"Name": "QueueName", "Value": queue.dead_letters.name}],
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
        **_BUILT,
    )
    began = lab.now()
    refunds = messages.orders(12, flawed=False)
    bad = [{key: value for key, value in order.items() if key != "price"} for order in refunds[:4]]
    messages.send_many(queue, [*refunds[4:], *bad])
    lab.wait(_NIGHT, "while the night passes")
    found = trial.held(lab, _DEAD)
    lab.client("sqs").purge_queue(QueueUrl=queue.dead_letters.url)
    trial.let_pass(lab, 60, "the letters are taken out")
    errors = trial.counted(lab, ["Errors"], began, function="refunds")[0]
    rings = len(evidence.rings(lab, lab.name("refunds-died"), began))
    symptoms = [
        ("refunds sent to refunds", str(len(refunds))),
        (f"found in {_DEAD}, and taken out", str(found)),
        ("Errors of refunds", str(errors)),
        ("alarm refunds-died", f"watches {_DEAD}, tells on-call, rang {rings} times"),
    ]
    return Scene(Pipeline(queue, None, function, trigger, _SOURCE), symptoms, {"began": began}, errors)


def check(lab: Lab) -> Verdict:
    """Let good refunds pass, one of them at its second try, then one die: see which alarm rings, and when."""
    fresh = trial.Fresh(lab, "refunds")
    if fresh.queue.dead_letters is None:
        return almost("`refunds` has no redrive policy any more: there are no dead letters to ring for. Set it again.")
    lab.client("sqs").purge_queue(QueueUrl=fresh.queue.dead_letters.url)
    trial.let_pass(lab, 180, "the alarms are calm")
    calm = lab.now()
    fresh.send([*fresh.orders(3), {**fresh.orders(4)[3], "busy": True}])
    trial.let_pass(lab, 240, "good refunds pass")
    bad_at = lab.now()
    fresh.send([{"order": fresh.first + 4, "quantity": 1}])
    trial.let_pass(lab, _PATIENCE, "a bad refund dies")
    table, log = fresh.table(), fresh.log()
    alarms = [
        one
        for page in lab.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=lab.prefix)
        for one in page["MetricAlarms"]
    ]
    if not alarms:
        return almost("There is no alarm any more, so nobody will ever be woken: make one.")
    if table["end"].iloc[-1] != "dead":
        return almost(
            f"A fresh refund without a price is {table['end'].iloc[-1]} after {_PATIENCE // 60} minutes, and no dead "
            "letter: is the trigger Enabled, and maxReceiveCount small?"
        )
    died = log.loc[(log["event"] == "dead-lettered") & (log["message"] == fresh.ids[-1]), "time"].iloc[0]
    early, right = {}, {}
    for one in alarms:
        rings = evidence.rings(lab, one["AlarmName"], calm)
        before = [ring for ring in rings if ring < bad_at]
        if before or (one["StateValue"] == "ALARM" and not rings):
            early[one["AlarmName"]] = one
        elif rings:
            right[one["AlarmName"]] = (one, round((rings[0] - died).total_seconds()))
    if early:
        name, one = next(iter(early.items()))
        if not evidence.rings(lab, name, calm):
            return almost(
                f"`{name}` is in ALARM all the time, with nothing in `{_DEAD}`: it rings once, and never again. It "
                f"asks for {one.get('ComparisonOperator')} {one.get('Threshold', 0):g}: 0 dead letters shall be OK."
            )
        return almost(
            f"`{name}` rang for four refunds of which none died: one of them only needed a second try. It watches "
            f"{_metric(one)} of `{_watched(one)}`: let it ring for what lies in `{_DEAD}`."
        )
    for name, (one, after) in right.items():
        if after >= 0 and (lacks := _unheard(lab, one)):
            return almost(f"`{name}` rang {after} s after a fresh refund died, and told nobody{lacks}.")
        if after >= 0:
            return yes(
                f"`{name}` rang {after} s after a fresh refund died, and kept quiet for four that did not. It watches "
                "what lies there, however it came there."
            )
    if right:
        name, (one, after) = next(iter(right.items()))
        return almost(
            f"`{name}` rang {-after} s before the fresh refund was dead, when it was still being tried. It watches "
            f"{_metric(one)} of `{_watched(one)}`: let it ring for what lies in `{_DEAD}`."
        )
    return _silent(lab, alarms)


def _silent(lab: Lab, alarms: list[dict[str, Any]]) -> Verdict:
    newest = max(alarms, key=lambda one: one["AlarmConfigurationUpdatedTimestamp"])
    name, metric, watched = newest["AlarmName"], _metric(newest), _watched(newest)
    seen = f"A fresh refund died, and `{name}` did not ring in {_PATIENCE // 60} minutes"
    if metric != _SENDS:
        wrong = "" if watched == lab.name(_DEAD) else f" The dead letters lie in `{lab.name(_DEAD)}`."
        periods = newest.get("EvaluationPeriods", 1)
        lasts = f"{newest.get('Period')} s" if periods == 1 else f"{periods} times {newest.get('Period')} s"
        start = "above" if newest.get("ComparisonOperator") == "GreaterThanThreshold" else "from"
        soon = " And the pager rings within minutes." if periods * newest.get("Period", 60) > _PATIENCE else ""
        return almost(
            f"{seen}. It watches {_metric(newest)} of `{watched}`, {newest.get('Statistic')} over {lasts}, and rings "
            f"{start} {newest.get('Threshold', 0):g}.{wrong} One dead letter shall be enough.{soon}"
        )
    if all(newest.get(key) == value for key, value in _BUILT.items()) and watched == lab.name(_DEAD):
        return not_yet(
            f"{seen}: its state is {newest['StateValue']}. Draw the metric that it watches over this time, and beside "
            "it what the queue says it holds."
        )
    return almost(
        f"{seen}. It still watches {metric}: a move by SQS is no send, so this stays 0, whatever the statistic, the "
        "period and the threshold. Which metric says what lies in the queue?"
    )


def _unheard(lab: Lab, one: dict[str, Any]) -> str:
    """Return why nobody on call hears an alarm; empty if somebody does."""
    actions = one.get("AlarmActions", [])
    if not actions:
        return ": give it AlarmActions"
    if not any(arn.endswith(f":{lab.name(_TOPIC)}") for arn in actions):
        return f" who listens to `{_TOPIC}`: name that topic in AlarmActions"
    return "" if one.get("ActionsEnabled", True) else ": set ActionsEnabled"


def _metric(one: dict[str, Any]) -> str:
    return str(one.get("MetricName", "an expression"))


def _watched(one: dict[str, Any]) -> str:
    return ", ".join(dimension["Value"] for dimension in one.get("Dimensions", [])) or "nothing in particular"


DRILL = Drill(
    "silent-alarm",
    "The pager was silent all night",
    "{reported} UTC, the next on duty: by chance I looked into the dead-letter queue of the refunds and took out "
    "four letters. They died after {began}. My pager was silent, and it works: I have tested the topic. The alarm has "
    "said OK since the day it was made.",
    build,
    check,
    (
        "Read the alarm's settings with `describe_alarms`: which metric, of which queue?",
        f"Draw `{_SENDS}` and `{_DEPTH}` of the dead-letter queue, one after the other. Which saw the dead letters?",
        f"`put_metric_alarm` with the same name and the same `AlarmActions`, on `{_DEPTH}`, `Maximum`, from 1.",
    ),
)
