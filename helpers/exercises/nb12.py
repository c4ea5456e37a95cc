"""The exercise of notebook 12: a locked queue that stands still, because one of its five policies is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import messages, metrics, resources
from ..card import Card
from ..checks import Verdict, almost, exercise, not_yet, yes
from ..errors import is_missing
from ..guard import own_part
from ..rights import may
from . import evidence

if TYPE_CHECKING:
    from ..lab import Lab

ORDERS = 20
"""How many orders the shop sends before each attempt."""
POLLING = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
LOGGING = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
SENDING = ("kms:GenerateDataKey", "kms:Decrypt")

_SOURCE = """
def handler(event, context):
    print("locked up", len(event["Records"]), "orders")
"""
_KEY, _OLD_KEY = "the vault's key", "the vault's key until last week"
_REUSE = 60
_DECRYPT = "kms:Decrypt"
_ROLE_READS = "The role reads, the role needs it."
_KEY_ON = "It flows, and the requirement is gone: the check wants the key on."
_ONLY_DECRYPTS = "The consumer only decrypts."
_OTHERS = '`*others, _ = vault.policies["the worker\'s role"]`'


@dataclass(frozen=True, repr=False)
class Vault:
    """A queue under a key, its function, and the five policies that decide about them.

    Attributes
    ----------
    queue : Queue
        The queue.
    function : Function
        What its trigger runs.
    shop, worker : Role
        What the sender wears, and what the function and its pollers wear.
    key : str
        The ARN of the queue's key.
    policies : mapping of str to sequence of mappings
        The statements of each policy, as they are now.
    """

    queue: resources.Queue
    function: resources.Function
    shop: resources.Role
    worker: resources.Role
    key: str
    policies: Mapping[str, Sequence[Mapping[str, Any]]]

    def _card(self) -> Card:
        rows = [
            (f"{number}. {name}" if not place else "", statement["Effect"], _actions(statement), _about(statement))
            for number, (name, statements) in enumerate(self.policies.items(), 1)
            for place, statement in enumerate(statements)
        ]
        return Card(f"Five policies around {self.queue.name}", rows, ("policy", "says", "to", "on, or for whom"))

    def __repr__(self) -> str:
        return str(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()


def build(lab: Lab) -> Vault:
    """Make the vault as its colleagues left it, or bring the one that is there back to that.

    Parameters
    ----------
    lab : Lab
        Where.

    Returns
    -------
    Vault
        With one wrong policy, and the orders of a shop that wait in it.
    """
    key, old = (_key(lab, name, text) for name, text in (("vault", _KEY), ("vault-before", _OLD_KEY)))
    root = _allow(["kms:*"], "*", Principal={"AWS": f"arn:aws:iam::{lab.account}:root"})
    lab.client("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=_document([root]))
    queue = resources.queue(lab, "vault")
    mine = [lab.account, "lambda.amazonaws.com"]
    shop_may = [_allow(["sqs:SendMessage"], queue.arn), _allow(list(SENDING), key)]
    shop = _role(lab, "vault-shop", shop_may, lab.account)
    group = f"arn:aws:logs:{lab.region}:{lab.account}:log-group:/aws/lambda/{lab.name('vault')}*"
    worker_may = [_allow(list(POLLING), queue.arn), _allow(list(LOGGING), group), _allow([_DECRYPT], old)]
    worker = _role(lab, "vault-worker", worker_may, mine)
    outside = {"StringNotEquals": {"aws:PrincipalAccount": lab.account}}
    closed = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": queue.arn, "Condition": outside}
    resources.queue(
        lab,
        "vault",
        kms_master_key_id=_alias(lab, "vault"),
        kms_data_key_reuse_period_seconds=_REUSE,
        policy={"Version": "2012-10-17", "Statement": [closed]},
    )
    function = resources.function(lab, "vault", source=_SOURCE, role=worker)
    resources.trigger(lab, queue=queue, function=function, batch_size=10)
    # What was granted in an earlier attempt counts as long as a data key is kept.
    lab.wait(_REUSE + 1, "until the vault is as its colleagues left it")
    sending = lab.client("sqs", role=shop.name)
    bodies = [json.dumps(order) for order in messages.orders(ORDERS, flawed=False)]
    for first in range(0, ORDERS, 10):
        entries = [{"Id": str(place), "MessageBody": body} for place, body in enumerate(bodies[first : first + 10])]
        sending.send_message_batch(QueueUrl=queue.url, Entries=entries)
    lab.wait(120, "while the shop's orders come in")
    trust = lab.client("iam").get_role(RoleName=worker.name)["Role"]["AssumeRolePolicyDocument"]
    policies = {
        "the shop's role": shop_may,
        "the queue's own": [closed],
        "the key's own": [root],
        "who may wear the worker's role": _list(trust["Statement"]),
        "the worker's role": worker_may,
    }
    return Vault(queue, function, shop, worker, key, policies)


def pairs(lab: Lab) -> tuple[dict[str, resources.Role], dict[str, resources.Queue]]:
    """Make three roles and three queues whose policies say nothing, yes and no to sending from the one to the other.

    Parameters
    ----------
    lab : Lab
        Where.

    Returns
    -------
    tuple of (dict, dict)
        The roles and the queues, by what they say.
    """
    words = {"says nothing": "", "says yes": "Allow", "says no": "Deny"}
    names = {word: word.replace("says ", "pair-") for word in words}
    every = f"arn:aws:sqs:{lab.region}:{lab.account}:{lab.name('pair')}-*"
    roles = {
        word: resources.role(
            lab,
            names[word],
            policies=(),
            statements=[may("sqs:SendMessage", every) | {"Effect": effect}] if effect else [],
            service=lab.account,
        )
        for word, effect in words.items()
    }
    lab.wait(15, "until AWS knows the new roles")
    queues = {}
    for word, effect in words.items():
        queue = queues[word] = resources.queue(lab, names[word])
        who = {"Effect": effect, "Principal": {"AWS": [role.arn for role in roles.values()]}}
        if effect:
            said = may("sqs:SendMessage", queue.arn) | who
            resources.queue(lab, names[word], policy={"Version": "2012-10-17", "Statement": [said]})
    lab.wait(60, "until the queues have their policies")
    return roles, queues


@exercise(
    "12-policies",
    hints=[
        "No invocation and no error: the function's code was never asked. Who reads before it runs, and as whom?",
        'Wear the worker\'s role: `lab.client("sqs", role=vault.worker.name)`, and receive. Then compare the key in '
        "the policy of that role with the queue's, `vault.key`.",
        'Take the statements of `vault.policies["the worker\'s role"]`, put `vault.key` in place of the old key in the '
        "last one, and hand them to `resources.role(lab, vault.worker.name, policies=(), statements=…)`.",
    ],
)
def policies(lab: Lab, *, queue: str, function: str) -> Verdict:
    """Look for the queue's key, for what the two roles may, and for orders that flow."""
    sqs, kms = lab.client("sqs"), lab.client("kms")
    name = lab.name(own_part(queue.rpartition("/")[2]))
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    waiting = int(attributes["ApproximateNumberOfMessages"]) + int(attributes["ApproximateNumberOfMessagesNotVisible"])
    flow = f"{waiting} orders wait" if waiting else "no order waits"
    if own_part(attributes.get("KmsMasterKeyId", "alias/aws/sqs")) in ("", "sqs"):
        return almost(f"The queue `{name}` has no key of yours any more, and {flow}. {_KEY_ON}")
    used = kms.describe_key(KeyId=attributes["KmsMasterKeyId"])["KeyMetadata"]
    if used.get("Description") == _OLD_KEY:
        return almost(
            f"The queue `{name}` is under the key of last week again, and {flow}. That key is to go, and the shop has "
            "no right on it: put the queue under its own key, and mend the policy."
        )
    if not _keeps_strangers_out(attributes):
        return almost(f"The queue's policy no longer denies what comes from other accounts, and {flow}. Put it back.")
    key = used["Arn"]
    worker = lab.client("lambda").get_function_configuration(FunctionName=lab.name(own_part(function)))["Role"]
    reads = list(_allows(lab, worker.rpartition("/")[2]))
    keys_own = [one for one in _statements(kms, key) if one["Effect"] == "Allow"]
    wide = _too_wide(reads)
    if wide is not None:
        return almost(wide)
    if not any({f"arn:aws:iam::{lab.account}:root", lab.account} & set(_principals(one)) for one in keys_own):
        return almost(
            "The key's own policy no longer names this account, so no role's policy counts for the key, and the "
            "shop's neither. Leave its first statement as it was."
        )
    for one in reads:
        if _of_kms(one) and any(":alias/" in about for about in _list(one.get("Resource"))):
            return almost(
                f"The worker's role has kms:Decrypt on {_about(one)}, and {flow}. That is a name for a key: a right to "
                "decrypt names the key's own ARN, `vault.key`."
            )
    if any(_principals(one) == ["*"] and "Condition" not in one for one in keys_own):
        return almost("The key's own policy lets in everybody, of every account: name the worker's role there.")
    named = [one for one in keys_own if worker in _principals(one)]
    if any(_of_kms(one) - {_DECRYPT.lower()} for one in named):
        return almost(f"The key's own policy gives the worker's role {_actions(named[-1])}. {_ONLY_DECRYPTS}")
    if not named and not any(_of_kms(one) and _on(one, key) for one in reads):
        return _still_shut(lab, name, function, key, keys_own, waiting)
    if any(set(_list(one.get("Resource"))) - {key} for one in reads if _of_kms(one)):
        return almost(
            "The worker's role may still decrypt under the old key, so the wrong policy is still there: let it name "
            "the queue's key alone."
        )
    held = {action.lower() for one in reads for action in _list(one.get("Action"))}
    lost = [action for action in (*POLLING, *LOGGING) if action.lower() not in held]
    if lost:
        return almost(
            f"The worker's role may decrypt under the queue's key now, and has lost {', '.join(lost)}. A policy is "
            f"replaced as a whole: hand over its other statements too, {_OTHERS}."
        )
    shop = list(_allows(lab, lab.name("vault-shop")))
    if any("*" in _list(one.get("Resource")) or _wild(one) for one in shop):
        return almost("The shop's role has a statement with * as its Action or Resource: name what it needs.")
    if waiting:
        return almost(
            f"The worker's role may decrypt under the queue's key now, and {waiting} orders still wait: let a minute "
            "pass, then check again. If they still wait, wear the role and receive: the refusal says what is missing."
        )
    done = sum("locked up" in line for run in evidence.runs(lab, function) for line in run.lines)
    if not done:
        return almost("No order waits, and none was handled: run the cell that builds the vault, then mend the policy.")
    return yes(
        f"The orders flow, in {done} run{'' if done == 1 else 's'} so far, and none waits. The queue is still under "
        "its key, and the worker's role may decrypt under this key and do nothing else with any."
    )


def _too_wide(statements: Sequence[Mapping[str, Any]]) -> str | None:
    """Return what is too much in the statements of the worker's role."""
    for one in statements:
        actions = _of_kms(one)
        if actions - {_DECRYPT.lower()}:
            return f"The worker's role has {_actions(one)} on the key now. {_ONLY_DECRYPTS}"
        if _wild(one) or any("*" in about and ":logs:" not in about for about in _list(one.get("Resource"))):
            return (
                f"The worker's role has {_actions(one)} on {_about(one)}: a statement with * as its Action or Resource "
                "opens more than this queue. Name what it needs."
            )
    return None


def _still_shut(
    lab: Lab, name: str, function: str, key: str, keys_own: Sequence[Mapping[str, Any]], waiting: int
) -> Verdict:
    """Return the verdict while the worker's role may not decrypt, by what was changed instead."""
    root = f"arn:aws:iam::{lab.account}:root"
    shop = [(_of_kms(one), tuple(_list(one.get("Resource")))) for one in _allows(lab, lab.name("vault-shop"))]
    as_left = [(set(), shop[0][1]), ({one.lower() for one in SENDING}, (key,))] if shop else []
    others = [who for one in keys_own for who in _principals(one) if who not in (root, lab.account)]
    if shop != as_left or others:
        who = others[0].rpartition("/")[2] if others else lab.name("vault-shop")
        return almost(f"`{who}` has other rights on the key than before, and {waiting} orders wait. {_ROLE_READS}")
    points = metrics.points(
        lab, "AWS/Lambda", ["Invocations", "Errors"], FunctionName=lab.name(own_part(function))
    ).sum()
    seen = ", ".join(f"{int(value)} {metric.lower()}" for metric, value in points.items())
    return not_yet(
        f"{waiting} orders wait in `{name}`; in the last 15 minutes there were {seen}. The pollers are refused. Wear "
        "the role of the function and receive: the refusal says what is missing."
    )


def _key(lab: Lab, name: str, description: str) -> str:
    """Make or find a key by its alias; return its ARN."""
    from botocore.exceptions import ClientError

    kms = lab.client("kms")
    try:
        return str(kms.describe_key(KeyId=_alias(lab, name))["KeyMetadata"]["Arn"])
    except ClientError as problem:
        if not is_missing(problem):
            raise
    made = kms.create_key(Description=description)["KeyMetadata"]
    kms.create_alias(AliasName=_alias(lab, name), TargetKeyId=made["KeyId"])
    return str(made["Arn"])


def _alias(lab: Lab, name: str) -> str:
    return f"alias/{lab.name(name)}"


def _role(lab: Lab, name: str, statements: Sequence[Mapping[str, Any]], wearers: str | Sequence[str]) -> resources.Role:
    """Make or find a role that has these statements, and nothing that an attempt has added."""
    made = resources.role(lab, name, policies=(), statements=statements, service=wearers)
    iam = lab.client("iam")
    for policy in iam.list_attached_role_policies(RoleName=made.name)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=made.name, PolicyArn=policy["PolicyArn"])
    for policy in iam.list_role_policies(RoleName=made.name)["PolicyNames"]:
        if policy != "own":
            iam.delete_role_policy(RoleName=made.name, PolicyName=policy)
    return made


def _allow(actions: list[str], resource: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", **more, "Action": actions, "Resource": resource}


def _document(statements: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _allows(lab: Lab, role: str) -> Iterator[Mapping[str, Any]]:
    """Return the Allow statements of all policies of a role."""
    iam = lab.client("iam")
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = policy["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        documents.append(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])
    for document in documents:
        yield from (one for one in _list(document["Statement"]) if one["Effect"] == "Allow")


def _statements(kms: Any, key: str) -> list[Mapping[str, Any]]:
    return _list(json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])["Statement"])


def _keeps_strangers_out(attributes: Mapping[str, str]) -> bool:
    statements = _list(json.loads(attributes.get("Policy") or "{}").get("Statement"))
    return any(one["Effect"] == "Deny" and "aws:PrincipalAccount" in json.dumps(one) for one in statements)


def _list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _of_kms(statement: Mapping[str, Any]) -> set[str]:
    actions = {action.lower() for action in _list(statement.get("Action"))}
    return {action for action in actions if action == "*" or action.startswith("kms:")}


def _wild(statement: Mapping[str, Any]) -> bool:
    return any("*" in action for action in _list(statement.get("Action")))


def _on(statement: Mapping[str, Any], key: str) -> bool:
    return key in _list(statement.get("Resource"))


def _principals(statement: Mapping[str, Any]) -> list[str]:
    source = statement.get("Principal")
    return _list(source.get("AWS")) if isinstance(source, Mapping) else _list(source)


def _actions(statement: Mapping[str, Any]) -> str:
    return ", ".join(_list(statement.get("Action")))


def _about(statement: Mapping[str, Any]) -> str:
    """Return what a statement is about, by the last part of its ARN, and whom it is for."""
    about = [one.split(":", 5)[-1] for one in _list(statement.get("Resource"))]
    if "Condition" in statement:
        return f"{', '.join(about)}, for other accounts"
    source = statement.get("Principal", {})
    whom = [one for value in source.values() for one in _list(value)] if isinstance(source, Mapping) else []
    shown = ["this account" if one.removesuffix(":root")[-12:].isdigit() else one for one in whom]
    return ", ".join(shown or about)
