"""The exercise of notebook 08: an alarm that rings for dead letters, soon, and for nothing else."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..checks import Verdict, almost, exercise, not_yet, yes
from ..errors import is_missing
from ..guard import own_part
from . import evidence

if TYPE_CHECKING:
    from ..lab import Lab

SOON = timedelta(seconds=120)
"""How long after the first dead letter the alarm may ring."""

_POINTS_LATE = timedelta(seconds=120)
"""How late a point may come on AWS, over and above the periods that the alarm itself waits for."""
_DEPTH = "ApproximateNumberOfMessagesVisible"
_RINGS_AT = {
    "GreaterThanOrEqualToThreshold": "at least",
    "GreaterThanThreshold": "above",
    "LessThanThreshold": "below",
    "LessThanOrEqualToThreshold": "at most",
}
_WORDS = {2: "two", 3: "three", 4: "four", 5: "five", 10: "ten", 15: "fifteen", 60: "sixty"}
_RUN = "Run the lines that send the orders again."
_FRESH = "Before you try again, run the two cells that make a fresh start."


@exercise(
    "08-alarm",
    hints=[
        "Of the three alarms of section 2 one rang. Which metric of which queue did it watch?",
        "A depth is a photograph: which statistic leaves it as it is? How long is a period of which one is enough "
        "within two minutes?",
        f"`{_DEPTH}` of the dead-letter queue, `Maximum`, `Period=60`, `EvaluationPeriods=1`, `Threshold=1`, "
        "`GreaterThanOrEqualToThreshold`.",
    ],
)
def alarm(lab: Lab, *, queue: str, function: str) -> Verdict:
    """Look at the newest alarm: what it watches, and when it rang since it was made."""
    pages = lab.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{lab.prefix}-")
    found = [one for page in pages for one in page.get("MetricAlarms", [])]
    if not found:
        return not_yet(f"There is no alarm whose name begins with `{lab.prefix}-`: make one with `put_metric_alarm`.")
    newest = max(found, key=lambda one: (one["AlarmConfigurationUpdatedTimestamp"], one["AlarmName"]))
    source = lab.name(queue.rpartition("/")[2].rpartition(":")[2])
    dead = _dead_letters_of(lab, source)
    if not dead:
        return not_yet(f"`{source}` has no dead-letter queue: run `lab.catch_up()` again.")
    return (
        _watches_the_wrong_thing(lab, newest, source, dead, lab.name(own_part(function)))
        or _counts_wrongly(newest)
        or _rang(lab, newest, source)
    )


def _dead_letters_of(lab: Lab, source: str) -> str:
    sqs = lab.client("sqs")
    url = sqs.get_queue_url(QueueName=source)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    policy = json.loads(attributes.get("RedrivePolicy", "{}"))
    return str(policy.get("deadLetterTargetArn", "")).rpartition(":")[2]


def _watches_the_wrong_thing(lab: Lab, one: dict[str, Any], source: str, dead: str, function: str) -> Verdict | None:
    metric = one.get("MetricName", "")
    values = [dimension["Value"] for dimension in one.get("Dimensions", [])]
    watched = f"It watches {metric} of `{', '.join(values) or 'nothing in particular'}`."
    if not metric:
        return None
    if metric == "NumberOfMessagesSent" and values == [dead]:
        return almost(
            f"{watched} Moves by SQS are not sends: this stays 0. Which metric tells what lies in a queue, "
            "however it came there?"
        )
    if metric == "Errors" and one.get("Namespace") == "AWS/Lambda":
        return almost(
            f"{watched} Partial failures count as success. The runs end well, so look at where the orders end."
        )
    if metric != _DEPTH:
        return None
    names = [dimension["Name"] for dimension in one.get("Dimensions", [])]
    if one.get("Namespace") != "AWS/SQS" or names != ["QueueName"]:
        return almost(
            f"It looks for {metric} in {one.get('Namespace')}, by {', '.join(names) or 'no dimension'}. SQS tells it "
            "in AWS/SQS, by QueueName: under any other names no point will ever come."
        )
    if values == [source]:
        return almost(f"{watched} That is work that waits, and no order there is dead. Watch `{dead}`.")
    if values != [dead]:
        there = values and _exists(lab, values[0])
        missing = "" if there else " There is no such queue, so no point will ever come."
        return almost(f"{watched}{missing} The dead letters of this pipeline lie in `{dead}`: give that name.")
    return None


def _counts_wrongly(one: dict[str, Any]) -> Verdict | None:
    photographs = int(one.get("Period", 60)) // 60
    if one.get("MetricName") == _DEPTH and one.get("Statistic") == "Sum" and photographs > 1:
        number = _WORDS.get(photographs, str(photographs))
        return almost(
            f"Its statistic is Sum, over a period of {one['Period']} s. You added {number} photographs of the same "
            "queue: use Maximum."
        )
    if one.get("MetricName") == _DEPTH and one.get("Statistic") == "SampleCount":
        return almost("Its statistic is SampleCount, the number of points: that is 1 a minute, dead letters or not.")
    if one.get("TreatMissingData") == "breaching":
        return almost(
            "It treats missing data as breaching. A queue that nobody touched for six hours tells nothing, and then "
            "this alarm rings though no order died: use notBreaching."
        )
    return None


def _rang(lab: Lab, one: dict[str, Any], source: str) -> Verdict:
    configured = one["AlarmConfigurationUpdatedTimestamp"]
    log = lab.recorder(queue=source, since=configured)
    deaths = log.loc[log["event"] == "dead-lettered", "time"]
    if deaths.empty:
        return not_yet(
            f"`{one['AlarmName']}` is there, in state {one['StateValue']}, and no order has died since it was made. "
            + _RUN
        )
    first = deaths.min().to_pydatetime()
    rings = evidence.rings(lab, one["AlarmName"], configured)
    after = [ring for ring in rings if ring >= first]
    if len(after) < len(rings) or (one["StateValue"] == "ALARM" and not rings):
        early = round((first - rings[0]).total_seconds()) if rings else 0
        when = f"{early} s before the first order was dead" if early else "before the first order was dead"
        return almost(
            f"It rang {when}{_rule(one)}. An order that waits or is tried again is not lost yet: let it ring only for "
            f"what lies in the dead-letter queue. {_FRESH}"
        )
    waited = round((lab.now() - first).total_seconds())
    if not after:
        name, state = one["AlarmName"], one["StateValue"]
        died = f"The first order died {waited} s ago and `{name}` has not rung: its state is {state}"
        if state == "INSUFFICIENT_DATA":
            return almost(
                f"{died}, because no point came of what it watches. Compare namespace, metric, and the dimension's "
                f"name and value with section 2. {_FRESH}"
            )
        return almost(f"{died}{_rule(one)}. One dead letter shall be enough to make that true. {_FRESH}")
    late = after[0] - first
    periods = int(one.get("DatapointsToAlarm") or one["EvaluationPeriods"])
    needs = timedelta(seconds=int(one.get("Period", 60)) * periods)
    if late > SOON and (needs > SOON or late > needs + _POINTS_LATE):
        return almost(
            f"It rang {round(late.total_seconds())} s after the first dead letter, and {round(SOON.total_seconds())} "
            f"are allowed. It waits for {periods} periods of {one.get('Period', 60)} s: ask for less. {_FRESH}"
        )
    good = int(((log["event"] == "succeeded") & (log["time"] < first)).sum())
    silent = "" if one.get("AlarmActions") else " It tells nobody yet: `AlarmActions` takes the topic."
    return yes(
        f"It rang {round(late.total_seconds())} s after the first dead letter, and kept quiet for the {good} good "
        f"orders before it.{silent}"
    )


def _rule(one: dict[str, Any]) -> str:
    """Return when an alarm on one metric rings, as the end of a sentence."""
    than = _RINGS_AT.get(one.get("ComparisonOperator", ""))
    if than is None or not one.get("MetricName") or "Threshold" not in one:
        return ""
    values = ", ".join(dimension["Value"] for dimension in one.get("Dimensions", []))
    return f", because it rings when {one['MetricName']} of `{values}` is {than} {one['Threshold']:g}"


def _exists(lab: Lab, name: str) -> bool:
    sqs = lab.client("sqs")
    try:
        sqs.get_queue_url(QueueName=name)
    except sqs.exceptions.ClientError as problem:
        if not is_missing(problem):
            raise
        return False
    return True
