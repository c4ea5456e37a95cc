"""Nothing is invoked, and the trigger says Enabled: the role may not decrypt (rows E17, E20)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .. import messages, metrics, plots, resources
from ..catch_up import Pipeline
from ..checks import Verdict, almost, not_yet, yes
from . import trial
from .drill import Drill, Scene

if TYPE_CHECKING:
    from datetime import datetime

    from ..lab import Lab

_FRESH = 5
_KEY = "invoices"
_REUSE = 60
_BEFORE, _AFTER, _STEP = 6, 12, 3
_DEPTH = "ApproximateNumberOfMessagesVisible"
_SOURCE = """
import json


def handler(event, context):
    for record in event["Records"]:
        print(json.dumps({"filed": json.loads(record["body"])["order"]}))
"""


def build(lab: Lab) -> Scene:
    """Let the pipeline work, put the queue under a key, and let it stand still."""
    queue = resources.queue(lab, "invoices", max_receive_count=5)
    role = resources.role(lab, "invoices")
    function = resources.function(lab, "invoices", source=_SOURCE, role=role)
    trigger = resources.trigger(lab, queue=queue, function=function, batch_size=1)
    orders = messages.orders(_BEFORE + _AFTER, flawed=False)
    began = lab.now()
    for position in range(0, _BEFORE, _STEP):
        messages.send_many(queue, orders[position : position + _STEP])
        trial.let_pass(lab, 120, "traffic comes")
    changed = lab.now()
    key = lab.client("kms").create_key(Description=_KEY)["KeyMetadata"]["Arn"]
    settings = {"KmsMasterKeyId": key, "KmsDataKeyReusePeriodSeconds": str(_REUSE)}
    lab.client("sqs").set_queue_attributes(QueueUrl=queue.url, Attributes=settings)
    for position in range(_BEFORE, _BEFORE + _AFTER, _STEP):
        messages.send_many(queue, orders[position : position + _STEP])
        trial.let_pass(lab, 240, "traffic comes")
    runs, errors, throttles = trial.counted(lab, ["Invocations", "Errors", "Throttles"], began, function="invoices")
    state = lab.client("lambda").get_event_source_mapping(UUID=trigger.uuid)["State"]
    symptoms = [
        ("invoices sent to invoices", str(len(orders))),
        ("Invocations of invoices", str(runs)),
        ("Errors, Throttles", f"{errors}, {throttles}"),
        ("waiting in invoices", str(trial.held(lab, "invoices"))),
        ("the trigger says", state),
    ]
    parts = Pipeline(queue, role, function, trigger, _SOURCE)
    return Scene(parts, symptoms, {"changed": changed}, errors, lambda: _draw(lab, began))


def _draw(lab: Lab, since: datetime) -> object:
    start = trial.minute(since)
    runs = metrics.points(lab, "AWS/Lambda", "Invocations", start=start, FunctionName=lab.name("invoices"))
    depth = metrics.points(lab, "AWS/SQS", _DEPTH, start=start, QueueName=lab.name("invoices"))
    table = depth.join(runs, how="outer")
    table["Invocations"] = table["Invocations"].fillna(0)
    last = runs.index[-1]
    title = f"The last run was at {last:%H:%M}; {depth[_DEPTH].iloc[-1]:.0f} invoices wait"
    return plots.points_per_minute(table, title=title)


def check(lab: Lab) -> Verdict:
    """Send invoices, and look whether they are filed and the queue is still under the key."""
    fresh = trial.Fresh(lab, "invoices")
    fresh.send(fresh.orders(_FRESH))
    fresh.settle(240)
    end = fresh.table()["end"]
    done = int((end == "done").sum())
    kept = trial.attributes(lab, "invoices")
    key = kept.get("KmsMasterKeyId", "")
    if done < _FRESH:
        seen = f"{done} of {_FRESH} fresh invoices were filed, and {trial.held(lab, 'invoices')} messages wait"
        if not any(one["State"] == "Enabled" for one in trial.triggers(lab, "invoices")):
            return almost(f"{seen}: no trigger of `invoices` is Enabled now. Enable one, and look on.")
        role = _rights(lab)
        if "kms:" in role:
            return almost(
                f"{seen}. The role has a right on KMS now, but it does not let it decrypt with this key: compare its "
                "Action and Resource with the queue's `KmsMasterKeyId`."
            )
        if _touched(lab, role):
            return almost(
                f"{seen}. More rights on SQS, or a new trigger, change nothing: the role may receive. What it "
                "receives is encrypted: what else does reading it need?"
            )
        return not_yet(
            f"{seen}, with 0 errors. The pollers wear the function's role: what do they need to read this queue, and "
            "which of that does the role lack?"
        )
    if key and not _same(lab, key):
        return almost(
            f"All {_FRESH} fresh invoices were filed, and the queue is under another key than the company's. It flows, "
            "and the requirement is gone: set the former `KmsMasterKeyId` again, and give the role its right on it."
        )
    if not key:
        return almost(
            f"All {_FRESH} fresh invoices were filed, and the queue is no longer under the key. It flows, and the "
            "requirement is gone: set `KmsMasterKeyId` again, and give the role its right."
        )
    wide = " The role may do everything with it: `kms:Decrypt` is enough." if "kms:*" in _rights(lab) else ""
    return yes(
        f"All {_FRESH} fresh invoices were filed, and the queue is under the key.{wide} The invoices that waited were "
        "never lost: a queue keeps them for four days."
    )


def _same(lab: Lab, key: str) -> bool:
    """Return whether a key is the one that the queue was put under."""
    if key.startswith("alias/"):
        return False
    found: dict[str, Any] = lab.client("kms").describe_key(KeyId=key)["KeyMetadata"]
    return bool(found["Description"] == _KEY)


def _rights(lab: Lab) -> str:
    """Return the text of the policies of the function's role that are its own or the account's."""
    iam = lab.client("iam")
    arn = lab.client("lambda").get_function_configuration(FunctionName=lab.name("invoices"))["Role"]
    name = arn.rpartition("/")[2]
    found = [
        json.dumps(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    ]
    for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"]
        found.append(f"{policy['PolicyName']} {json.dumps(document)}")
    return "\n".join(found)


def _touched(lab: Lab, rights: str) -> bool:
    """Return whether the role or the trigger is no longer as it was built."""
    if any(line.partition(" ")[0] not in resources.PIPELINE_POLICIES for line in rights.splitlines()):
        return True
    changed = int(trial.attributes(lab, "invoices")["LastModifiedTimestamp"])
    return any(one["LastModified"].timestamp() > changed + 1 for one in trial.triggers(lab, "invoices"))


DRILL = Drill(
    "nothing-runs",
    "Nothing is invoked",
    "{reported} UTC, accounting: no invoice since {changed}. The security team says that all is well: the "
    "queue is under the company's key now, as the auditors want it, and there it stays. I have looked, the trigger is "
    "Enabled. No error, no alarm.",
    build,
    check,
    (
        "Nobody runs the code, so its log says nothing. Who reads the queue, and whose rights does that reader have?",
        "The queue has a `KmsMasterKeyId`. Which right on that key does a reader need, and do the policies of the role "
        "give it?",
        "Give the function's role `kms:Decrypt` on the key's ARN with `put_role_policy`.",
    ),
)
