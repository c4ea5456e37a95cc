"""Answers that learners give in notebook 12, and the sentence that each must earn."""

from __future__ import annotations

WAIT = '\nlab.wait(60, "until AWS knows the new rights and the orders flow")'
SHOP = 'vault.policies["the shop\'s role"]'
WORKER = 'vault.policies["the worker\'s role"]'


def give(role: str, statements: str) -> str:
    """Return the code that gives a role of the vault these statements."""
    return f"resources.role(lab, vault.{role}.name, policies=(), statements=[{statements}])" + WAIT


def worker_may(actions: str, on: str) -> str:
    """Return the code that replaces the last statement of the worker's role."""
    return give("worker", f"*{WORKER}[:2], may({actions}, {on})")


def key_lets(who: str, actions: str) -> str:
    """Return the code that adds a statement to the key's own policy."""
    return (
        f'own = vault.policies["the key\'s own"] + [may({actions}, "*") | {{"Principal": {who}}}]\n'
        'policy = json.dumps({"Version": "2012-10-17", "Statement": own})\n'
        'kms.put_key_policy(KeyId=vault.key, PolicyName="default", Policy=policy)' + WAIT
    )


def queue_gets(**attributes: str) -> str:
    """Return the code that sets attributes of the queue."""
    values = ", ".join(f'"{name}": {value}' for name, value in attributes.items())
    return f"sqs.set_queue_attributes(QueueUrl=vault.queue.url, Attributes={{{values}}})" + WAIT


ANSWERS = [
    (
        "12-policies",
        give("shop", f'*{SHOP}, may("kms:Decrypt", "*")'),
        "The role reads, the role needs it.",
    ),
    (
        "12-policies",
        key_lets('{"AWS": vault.shop.arn}', '"kms:Decrypt"'),
        "The role reads, the role needs it.",
    ),
    (
        "12-policies",
        queue_gets(KmsMasterKeyId='""'),
        "It flows, and the requirement is gone: the check wants the key on.",
    ),
    (
        "12-policies",
        queue_gets(KmsMasterKeyId='"alias/aws/sqs"'),
        "It flows, and the requirement is gone: the check wants the key on.",
    ),
    ("12-policies", worker_may('"kms:*"', "vault.key"), "The consumer only decrypts."),
    ("12-policies", worker_may('"kms:Decrypt"', 'vault.key.partition("/")[0] + "/*"'), "has kms:Decrypt on key/*"),
    ("12-policies", give("worker", 'may("kms:Decrypt", vault.key)'), "has lost sqs:ReceiveMessage, sqs:DeleteMessage"),
    ("12-policies", give("worker", f'{WORKER}[0], may("kms:Decrypt", vault.key)'), "has lost logs:CreateLogGroup"),
    (
        "12-policies",
        worker_may('"kms:Decrypt"', 'vault.key.partition("key/")[0] + "alias/" + lab.name("vault")'),
        "a right to decrypt names the key's own ARN",
    ),
    (
        "12-policies",
        'only = [may("kms:Decrypt", "*") | {"Principal": {"AWS": vault.worker.arn}}]\n'
        'policy = json.dumps({"Version": "2012-10-17", "Statement": only})\n'
        'kms.put_key_policy(KeyId=vault.key, PolicyName="default", Policy=policy)\n' + give("worker", f"*{WORKER}[:2]"),
        "no longer names this account",
    ),
    ("12-policies", worker_may('"kms:Decrypt"', '"*"'), "opens more than this queue. Name what it needs."),
    (
        "12-policies",
        give("worker", f'*{WORKER}, may("kms:Decrypt", vault.key)'),
        "The worker's role may still decrypt under the old key",
    ),
    (
        "12-policies",
        queue_gets(KmsMasterKeyId='"alias/" + lab.name("vault-before")'),
        "is under the key of last week again",
    ),
    ("12-policies", queue_gets(Policy='""'), "no longer denies what comes from other accounts"),
    ("12-policies", key_lets('"*"', '"kms:Decrypt"'), "lets in everybody, of every account"),
    ("12-policies", key_lets('{"AWS": vault.worker.arn}', '"kms:*"'), "The consumer only decrypts."),
    ("12-policies", WAIT, "20 orders wait in"),
    (
        "12-policies",
        key_lets('{"AWS": vault.worker.arn}', '"kms:Decrypt"'),
        "The worker's role may still decrypt under the old key",
    ),
    (
        "12-policies",
        key_lets('{"AWS": vault.worker.arn}', '"kms:Decrypt"') + "\n" + give("worker", f"*{WORKER}[:2]"),
        "● yes",
    ),
    (
        "12-policies",
        'through = {"StringEquals": {"kms:ViaService": f"sqs.{lab.region}.amazonaws.com"}}\n'
        + give("worker", f'*{WORKER}[:2], may("kms:Decrypt", vault.key) | {{"Condition": through}}'),
        "● yes",
    ),
    (
        "12-policies",
        "mended = json.dumps({'Version': '2012-10-17', 'Statement': "
        f"[*{WORKER}[:2], may(['kms:Decrypt'], vault.key)]}})\n"
        "lab.client('iam').put_role_policy(RoleName=vault.worker.name, PolicyName='own', PolicyDocument=mended)" + WAIT,
        "● yes",
    ),
]
