"""Incident drills: each is solved by its repairs, and each wrong repair earns its own sentence."""

from __future__ import annotations

import json
import os
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import helpers
from helpers import resources
from helpers.cleanup import sweep
from helpers.errors import LabError
from helpers.incidents import DRILLS, Incident
from helpers.lab import Lab

Repair = Callable[[Lab, Incident], Any]

SECONDS_TO_BUILD = 12
"""A drill is built in about one, on a machine that does nothing else."""
MOST_WORDS = 60


@pytest.fixture(scope="module")
def lab(state_dir: Path) -> Iterator[Lab]:
    """Return a lab for all drills, and leave it empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_SPACE", f"incidents-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
        for name in ("LAB_CLOUD", "LAB_AWS_ACCOUNT", "LAB_PREFIX"):
            patch.delenv(name, raising=False)
        lab = helpers.connect("local")
    yield lab
    assert sweep(lab).total_left == 0


@pytest.fixture(autouse=True)
def _no_figures_left() -> Iterator[None]:
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def nothing(lab: Lab, drill: Incident) -> None:
    """Repair nothing."""


def paused(lab: Lab, drill: Incident) -> None:
    """Switch the trigger off."""
    assert drill.trigger is not None
    lab.client("lambda").update_event_source_mapping(UUID=drill.trigger.uuid, Enabled=False)
    lab.wait(10, "until the trigger is off")


def queue(**settings: Any) -> Repair:
    """Return a repair that changes the queue."""

    def repair(lab: Lab, drill: Incident) -> None:
        assert drill.queue is not None
        resources.queue(lab, drill.queue.name, **settings)

    return repair


def dead_letters(**settings: Any) -> Repair:
    """Return a repair that changes the dead-letter queue."""

    def repair(lab: Lab, drill: Incident) -> None:
        assert drill.dead_letters is not None
        resources.queue(lab, drill.dead_letters.name, **settings)

    return repair


def trigger(**settings: Any) -> Repair:
    """Return a repair that changes the trigger."""

    def repair(lab: Lab, drill: Incident) -> None:
        assert drill.queue is not None
        assert drill.function is not None
        resources.trigger(lab, queue=drill.queue, function=drill.function, **settings)

    return repair


def function(source: str | None = None, **settings: Any) -> Repair:
    """Return a repair that changes the function."""

    def repair(lab: Lab, drill: Incident) -> None:
        assert drill.function is not None
        resources.function(lab, drill.function.name, source=source or drill.source, **settings)

    return repair


def reserve(number: int | None) -> Repair:
    """Return a repair that reserves concurrency, or takes it away."""

    def repair(lab: Lab, drill: Incident) -> None:
        assert drill.function is not None
        client, name = lab.client("lambda"), drill.function.name
        if number is None:
            client.delete_function_concurrency(FunctionName=name)
        else:
            client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=number)

    return repair


def purged(lab: Lab, drill: Incident) -> None:
    """Throw away what the queue holds."""
    assert drill.queue is not None
    lab.client("sqs").purge_queue(QueueUrl=drill.queue.url)
    lab.wait(60, "until the purge is over")


def both(*repairs: Repair) -> Repair:
    """Return several repairs as one."""

    def repair(lab: Lab, drill: Incident) -> None:
        for one in repairs:
            one(lab, drill)

    return repair


def wants(*regions: str) -> dict[str, Any]:
    """Return a filter for parcels."""
    return {"Filters": [{"Pattern": json.dumps({"body": {"region": list(regions)}})}]}


def labels(region: str, **settings: Any) -> Repair:
    """Return a repair of one of the two label printers' triggers; without settings it is deleted."""

    def repair(lab: Lab, drill: Incident) -> None:
        client, name = lab.client("lambda"), lab.name(f"labels-{region}")
        (found,) = client.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
        if settings:
            client.update_event_source_mapping(UUID=found["UUID"], **settings)
        else:
            client.delete_event_source_mapping(UUID=found["UUID"])
        lab.wait(60, "until the trigger has changed")

    return repair


def right(action: str, *, resource: str = "") -> Repair:
    """Return a repair that gives the role of the invoices a right."""

    def repair(lab: Lab, drill: Incident) -> None:
        assert drill.queue is not None
        assert drill.role is not None
        kept = lab.client("sqs").get_queue_attributes(QueueUrl=drill.queue.url, AttributeNames=["All"])["Attributes"]
        statement = {"Effect": "Allow", "Action": action, "Resource": resource or kept["KmsMasterKeyId"]}
        resources.role(lab, drill.role.name, statements=[statement])

    return repair


def key_policy(lab: Lab, drill: Incident) -> None:
    """Let the key itself allow the role."""
    assert drill.queue is not None
    assert drill.role is not None
    kept = lab.client("sqs").get_queue_attributes(QueueUrl=drill.queue.url, AttributeNames=["All"])["Attributes"]
    everything = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{lab.account}:root"}, "Action": "kms:*"}
    reader = {"Effect": "Allow", "Principal": {"AWS": drill.role.arn}, "Action": "kms:Decrypt"}
    statements = [{**one, "Resource": "*"} for one in (everything, reader)]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    lab.client("kms").put_key_policy(KeyId=kept["KmsMasterKeyId"], PolicyName="default", Policy=policy)


def no_key(lab: Lab, drill: Incident) -> None:
    """Take the key from the queue."""
    assert drill.queue is not None
    off = {"KmsMasterKeyId": "", "SqsManagedSseEnabled": "true"}
    lab.client("sqs").set_queue_attributes(QueueUrl=drill.queue.url, Attributes=off)


def alarm(name: str = "refunds-died", **changes: Any) -> Repair:
    """Return a repair that puts the alarm anew: the right one, unless there are changes."""

    def repair(lab: Lab, drill: Incident) -> None:
        assert drill.dead_letters is not None
        settings = {
            "AlarmName": lab.name(name),
            "AlarmActions": [f"arn:aws:sns:{lab.region}:{lab.account}:{lab.name('on-call')}"],
            "Namespace": "AWS/SQS",
            "MetricName": "ApproximateNumberOfMessagesVisible",
            "Dimensions": [{"Name": "QueueName", "Value": drill.dead_letters.name}],
            "Statistic": "Maximum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "notBreaching",
        }
        lab.client("cloudwatch").put_metric_alarm(**{**settings, **changes})

    return repair


def errors_alarm(lab: Lab, drill: Incident) -> None:
    """Watch the function's errors."""
    dimensions = [{"Name": "FunctionName", "Value": lab.name("refunds")}]
    alarm(Namespace="AWS/Lambda", MetricName="Errors", Statistic="Sum", Dimensions=dimensions)(lab, drill)


def no_alarm(lab: Lab, drill: Incident) -> None:
    """Delete the alarm."""
    lab.client("cloudwatch").delete_alarms(AlarmNames=[lab.name("refunds-died")])


def swallowing(lab: Lab, drill: Incident) -> None:
    """Let the handler keep every exception to itself."""
    head, _, body = drill.source.partition("def handler(event, context):\n")
    source = f"{head}def handler(event, context):\n    try:\n{textwrap.indent(body, '    ')}    except Exception:\n"
    function(source + "        pass\n")(lab, drill)


def parking(lab: Lab, drill: Incident) -> None:
    """Let the handler put what it cannot book into another queue."""
    aside = resources.queue(lab, "ledger-aside")
    may = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": aside.arn}
    resources.role(lab, "ledger", statements=[may])
    lab.wait(15, "until AWS knows the right")
    source = f"""
        import json
        import boto3

        def handler(event, context):
            body = event["Records"][0]["body"]
            try:
                print(float(json.loads(body)["amount"]))
            except ValueError:
                boto3.client("sqs").send_message(QueueUrl="{aside.url}", MessageBody=body)
        """
    function(source, timeout=10)(lab, drill)


def aside(name: str, done: str) -> Repair:
    """Return a repair whose handler puts what fails into another queue."""

    def repair(lab: Lab, drill: Incident) -> None:
        shelf = resources.queue(lab, f"{name}-aside")
        may = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": shelf.arn}
        role = resources.role(lab, f"{name}-aside", statements=[may])
        assert drill.function is not None
        lab.client("lambda").update_function_configuration(FunctionName=drill.function.name, Role=role.arn)
        lab.wait(15, "until AWS knows the right")
        source = f"""
            import json
            import boto3

            def handler(event, context):
                for record in event["Records"]:
                    item = json.loads(record["body"])
                    try:
                        value = float(item["price"])
                        print(json.dumps({{"{done}": item["order"], "value": value}}))
                    except (KeyError, ValueError):
                        boto3.client("sqs").send_message(QueueUrl="{shelf.url}", MessageBody=record["body"])
            """
        function(source, timeout=10)(lab, drill)

    return repair


def other_key(lab: Lab, drill: Incident) -> None:
    """Put the queue under a key of one's own."""
    key = lab.client("kms").create_key(Description="mine")["KeyMetadata"]["Arn"]
    queue(kms_master_key_id=key)(lab, drill)
    right("kms:Decrypt")(lab, drill)


def unnamed(lab: Lab, drill: Incident) -> None:
    """Return what failed under a name that Lambda does not know."""
    source = drill.source.replace('"batchItemFailures"', '"failures"')
    assert source != drill.source
    function(source)(lab, drill)


def raising(lab: Lab, drill: Incident) -> None:
    """Let the handler raise in place of naming what failed."""
    source = drill.source.replace('return {"batchItemFailures": failed}', "assert not failed, failed")
    assert source != drill.source
    function(source)(lab, drill)


IN_PART = {"function_response_types": ["ReportBatchItemFailures"]}

REPAIRS: dict[str, list[tuple[Repair, str]]] = {
    "zero-errors": [
        (nothing, "○ not yet: "),
        (reserve(None), "calls to the bank at once; it takes 2."),
        (reserve(0), "Pollers still receive what the function may not run"),
        (queue(max_receive_count=1000), "Nothing dies, but a poison message now runs a thousand times"),
        (paused, "12 of 12 fresh orders still wait"),
        (both(reserve(None), trigger(maximum_concurrency=3)), "calls to the bank at once; it takes 2. The cap is too"),
        (both(reserve(None), trigger(maximum_concurrency=2, batch_size=10)), "died, now after a run that failed"),
        (both(reserve(None), trigger(maximum_concurrency=2), swallowing), "was deleted as if it had been, too"),
        (queue(redrive_policy="", visibility_timeout=30), "runs until it is too old: one without a price ran"),
        (both(reserve(None), trigger(maximum_concurrency=2)), "● yes: All 12 fresh orders were paid"),
        (both(reserve(2), queue(visibility_timeout=12, max_receive_count=5)), "● yes: All 12 fresh orders were paid"),
    ],
    "half-gone": [
        (nothing, "○ not yet: "),
        (queue(max_receive_count=10), "A dead-letter queue does not see them, nor does another try"),
        (labels("us"), "One trigger is left, and its filter now deletes everything that it does not want"),
        (labels("us", FilterCriteria={}), "A filter is still there. The triggers of one queue compete"),
        (both(labels("eu", FilterCriteria={}), labels("us", FilterCriteria={})), "● yes: All 20 fresh parcels"),
        (both(labels("us"), labels("eu", FilterCriteria=wants("eu", "us"))), "● yes: All 20 fresh parcels"),
    ],
    "charged-twice": [
        (nothing, "○ not yet: "),
        (queue(max_receive_count=5), "The queue hides a received order for 0 s and a run works for longer"),
        (queue(max_receive_count=1), "Each of 4 fresh orders was charged once, and 4 of them"),
        (queue(visibility_timeout=1), "But a run may take 3 s, and the queue hides an order for 1 s"),
        (paused, "nobody pays twice, and nobody pays"),
        (reserve(1), "they were received until no try was left. Fewer runs at a time do not help"),
        (queue(redrive_policy=""), "only a longer VisibilityTimeout, or a charge that is safe to repeat"),
        (queue(visibility_timeout=18), "● yes: Each of 4 fresh orders was charged once: hidden for 18 s"),
        (both(function(timeout=1), queue(visibility_timeout=6)), "● yes: Each of 4 fresh orders was charged once"),
    ],
    "nothing-runs": [
        (nothing, "○ not yet: 0 of 5 fresh invoices were filed, and 17 messages wait, with 0 errors."),
        (right("sqs:*", resource="*"), "More rights on SQS, or a new trigger, change nothing"),
        (right("kms:Encrypt"), "The role has a right on KMS now, but it does not let it decrypt with this key"),
        (no_key, "It flows, and the requirement is gone"),
        (paused, "no trigger of `invoices` is Enabled now"),
        (other_key, "the queue is under another key than the company's"),
        (queue(kms_master_key_id="alias/aws/sqs"), "the queue is under another key than the company's"),
        (right("kms:Decrypt"), "● yes: All 5 fresh invoices were filed, and the queue is under the key. The invoices"),
        (key_policy, "● yes: All 5 fresh invoices were filed"),
        (right("kms:*"), "● yes: All 5 fresh invoices were filed, and the queue is under the key. The role may do"),
    ],
    "stands-still": [
        (nothing, "○ not yet: Behind a fresh bad entry 0 of 3 good ones"),
        (purged, "Taking away the one that you found helps until the next comes"),
        (queue(max_receive_count=1000), "The bad one may be received 1000 times before it leaves"),
        (queue(max_receive_count=1), "the bad one left after one run"),
        (queue(message_retention_period=60), "and 3 were deleted for their age with it"),
        (queue(visibility_timeout=0), "an entry is back before its run is over"),
        (queue(visibility_timeout=60), "nothing of its group is handed out before the bad entry has succeeded or left"),
        (swallowing, "the bad entry was deleted as if it had been booked"),
        (paused, "that have nothing to do with it 0: is the trigger Enabled?"),
        (
            both(queue(max_receive_count=3), trigger(batch_size=10)),
            "good entries died with the bad one: they were in its batch.",
        ),
        (queue(max_receive_count=3), "3 of 3 good ones of its account were booked in 15 minutes, in their order"),
        (parking, "● yes: Behind a fresh bad entry 3 of 3 good ones"),
    ],
    "silent-alarm": [
        (nothing, "○ not yet: A fresh refund died, and"),
        (alarm(MetricName="NumberOfMessagesSent", Threshold=0.5), "a move by SQS is no send, so this stays 0"),
        (errors_alarm, "rang for four refunds of which none died"),
        (alarm(Threshold=10), "and rings from 10. One dead letter shall be enough."),
        (alarm(AlarmActions=[]), "after a fresh refund died, and told nobody"),
        (alarm(ActionsEnabled=False), "and told nobody: set ActionsEnabled"),
        (alarm(Threshold=0), "is in ALARM all the time"),
        (alarm(ComparisonOperator="GreaterThanThreshold"), "and rings above 1. One dead letter shall be enough."),
        (alarm(Period=300, EvaluationPeriods=3), "over 3 times 300 s, and rings from 1."),
        (no_alarm, "There is no alarm any more"),
        (alarm(), "● yes: "),
        (alarm("another", Statistic="Sum", Period=120), "● yes: "),
    ],
    "night-bill": [
        (nothing, "○ not yet: A fresh bad item ran"),
        (purged, "Emptying the queue by hand helps until the next bad item."),
        (queue(visibility_timeout=3600), "It may be received 1000 times, every 3600 s: that is 41.7 days of runs"),
        (queue(visibility_timeout=30, max_receive_count=100), "after 100 runs: a file of such items costs"),
        (queue(max_receive_count=100), "that is 8 hours of runs for one bad item"),
        (queue(message_retention_period=600), "was deleted for its age"),
        (queue(redrive_policy=""), "Without a redrive policy it comes back until it is too old"),
        (queue(max_receive_count=1), "went to the dead-letter queue after 1 run."),
        (swallowing, "A fresh bad item was deleted as if it had been imported."),
        (paused, "an import that does not import is cheap"),
        (queue(max_receive_count=5), "● yes: A fresh bad item ran 5 times and lies among the dead letters"),
        (queue(max_receive_count=10, visibility_timeout=60), "● yes: A fresh bad item ran 10 times"),
        (queue(max_receive_count=5, visibility_timeout=3600), "● yes: A fresh bad item ran 5 times"),
        (aside("imports", "imported"), "● yes: A fresh bad item ran 1 time and is kept aside"),
    ],
    "vanished": [
        (nothing, "○ not yet: A fresh return died when it was 3.5 days old, and 12 h later it was gone"),
        (dead_letters(message_retention_period=432_000), "keeps messages for 5 days from their first sending"),
        (queue(message_retention_period=86_400), "expired in `returns` itself, which keeps them for 1 day:"),
        (queue(max_receive_count=1000), "15 minutes after the trigger went on, and no dead letter"),
        (paused, "No trigger of `returns` is Enabled"),
        (dead_letters(message_retention_period=1_209_600), "8.0 days are left to look at it"),
        (dead_letters(message_retention_period=604_800), "● yes: A fresh return waited 3.5 days"),
    ],
    "lost-in-part": [
        (nothing, "○ not yet: 2 of 2 fresh bad items were deleted after 1 run"),
        (queue(max_receive_count=10), "No setting of the queue changes that."),
        (trigger(batch_size=1), "without ReportBatchItemFailures the trigger does not read what a handler returns"),
        (raising, "good ones died with them: a run that raises fails its whole batch"),
        (paused, "10 of 10 fresh items are still in `stock`"),
        (both(trigger(**IN_PART), unnamed), "The trigger reads what the handler returns now, and found none"),
        (both(trigger(**IN_PART), queue(message_retention_period=60)), "fresh items were deleted for their age"),
        (aside("stock", "counted"), "● yes: 8 fresh good items are counted, and 2 bad ones are kept aside"),
        (trigger(**IN_PART), "● yes: 8 fresh good items are counted"),
        (both(raising, trigger(batch_size=1)), "● yes: 8 fresh good items are counted"),
    ],
}


def usual(name: str) -> list[tuple[Repair, str]]:
    """Return nothing done, a wrong repair and two right ones; the long course tries every one."""
    wrong = [one for one in REPAIRS[name] if not one[1].startswith("● yes")]
    right = [one for one in REPAIRS[name] if one not in wrong]
    return [*wrong[:2], *right[:2]]


def repaired(lab: Lab, name: str, repairs: list[tuple[Repair, str]]) -> None:
    """Try repairs one after the other in one lab: each `incident` starts afresh."""
    for repair, sentence in repairs:
        repair(lab, lab.incident(name))
        assert sentence in repr(lab.check(f"16-{name}")), (name, repair)


@pytest.mark.parametrize("name", DRILLS)
def test_a_repair_earns_its_sentence(lab: Lab, name: str) -> None:
    repaired(lab, name, usual(name))


@pytest.mark.parametrize("name", DRILLS)
def test_a_drill_is_built_soon_and_shows_no_cause(lab: Lab, name: str) -> None:
    lab.incident(name)
    began = time.monotonic()
    drill = lab.incident(name)
    assert time.monotonic() - began < SECONDS_TO_BUILD
    assert len(drill.story.split()) <= MOST_WORDS
    assert "UTC" in drill.story
    assert 4 <= len(drill.symptoms) <= 6
    assert drill.queue is not None
    assert drill.function is not None
    assert drill.trigger is not None
    assert drill.story.split()[0] in drill._repr_html_()
    told = f"{drill!r}\n{DRILLS[name].title}"
    assert not [word for word in GIVEN_AWAY[name] if word.lower() in told.lower()]


GIVEN_AWAY = {
    "zero-errors": ["throttl", "concurren", "reserved"],
    "half-gone": ["filter"],
    "charged-twice": ["visib", "0 s"],
    "nothing-runs": ["decrypt", "kms", "role"],
    "stands-still": ["poison", "group", "second entry"],
    "silent-alarm": ["NumberOfMessagesSent", "metric"],
    "night-bill": ["receive", "1000", "poison"],
    "vanished": ["retention", "expired", "too old"],
    "lost-in-part": ["ReportBatchItemFailures", "FunctionResponseTypes"],
}
"""By drill, the words that would name the cause."""


def test_a_drill_can_be_checked_again_without_a_new_start(lab: Lab) -> None:
    drill = lab.incident("half-gone")
    assert repr(lab.check("16-half-gone")).startswith("○ not yet")
    labels("us", FilterCriteria={})(lab, drill)
    assert repr(lab.check("16-half-gone")).startswith("◐ almost")
    labels("eu", FilterCriteria={})(lab, drill)
    assert repr(lab.check("16-half-gone")).startswith("● yes")


def test_without_an_incident_a_check_says_so(lab: Lab) -> None:
    sweep(lab)
    for name in DRILLS:
        assert repr(lab.check(f"16-{name}")).startswith("○ not yet: Something is not there yet"), name


def test_an_incident_has_to_exist(lab: Lab) -> None:
    with pytest.raises(LabError, match="There is no incident 'fire'"):
        lab.incident("fire")


def test_each_drill_has_three_hints(lab: Lab) -> None:
    assert len(DRILLS) >= 8
    for name in DRILLS:
        assert [lab.hint(f"16-{name}", number).of for number in (1, 2, 3)] == [3, 3, 3]
