"""Answers that learners give in notebook 06, and the sentence that each must earn."""

from __future__ import annotations

DEPLOY = """
files = {"app.py": source, "bank.py": BANK}
resources.function(lab, "shop", source=files, role=role, environment=names, timeout=20, libraries=LIBRARIES)
resources.trigger(lab, queue=shop, function="shop", maximum_concurrency=2, function_response_types=TYPES)
trade(shop)
"""
LISTS = '''
source = """
import json, os
import bank, boto3

dynamodb = boto3.client("dynamodb")
table = os.environ["TABLE"]

def handler(event, context):
    failed = []
    for record in event["Records"]:
        try:
            charge_once(json.loads(record["body"]), record)
        except Exception:
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}

def charge_once(order, record):
    CHARGE
"""
'''
MARK_FIRST = """
    key = {"id": {"S": KEY}}
    try:
        dynamodb.put_item(TableName=table, Item=key, ConditionExpression="attribute_not_exists(id)")
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return
    bank.charge(order)
"""
LOOK_FIRST = """
    key = {"id": {"S": str(order["order"])}}
    if "Item" not in dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True):
        bank.charge(order)
        dynamodb.put_item(TableName=table, Item=key)
"""
BY_POWERTOOLS = '''
source = """
import json, os
import bank
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function)

processor = BatchProcessor(event_type=EventType.SQS)
memory = DynamoDBPersistenceLayer(table_name=os.environ["TABLE"])
config = IdempotencyConfig(event_key_jmespath="order")

@idempotent_function(data_keyword_argument="order", config=config, persistence_store=memory)
def charge_once(order):
    bank.charge(order)

def one(record):
    charge_once(order=json.loads(record.body))

def handler(event, context):
    config.register_lambda_context(context)
    return process_partial_response(event, one, processor, context)
"""
'''


def deployed(source: str, *, reports: bool = True, libraries: tuple[str, ...] = ()) -> str:
    """Return a cell that deploys a handler and lets the orders come."""
    types = '["ReportBatchItemFailures"]' if reports else "[]"
    return source + DEPLOY.replace("TYPES", types).replace("LIBRARIES", repr(libraries))


def charging(how: str) -> str:
    """Return a handler that reports what failed, and charges in one way."""
    return LISTS.replace("    CHARGE\n", how.lstrip("\n"))


BY_HANDLE = charging(LOOK_FIRST).replace('r": record["messageId"]', 'r": record["receiptHandle"]')
UNDONE = MARK_FIRST.replace("KEY", "str(order['order'])")
IN_A_VARIABLE = """
    if order["order"] not in seen:
        bank.charge(order)
        seen.add(order["order"])
"""
BY_MESSAGE = LOOK_FIRST.replace('str(order["order"])', 'record["messageId"]')

ANSWERS = [
    (
        "06-orders",
        deployed(charging(LOOK_FIRST), reports=False),
        "◐ almost: Your list was ignored and all were deleted: the mapping lacks FunctionResponseTypes.",
    ),
    (
        "06-orders",
        deployed(
            charging(LOOK_FIRST).replace(
                '"itemIdentifier": record["messageId"]', '"itemIdentifier": record["receiptHandle"]'
            )
        ),
        "An unknown identifier fails the whole batch: use messageId.",
    ),
    (
        "06-orders",
        deployed(charging(UNDONE)),
        "◐ almost: The retry was skipped: 4 orders are marked done and never charged.",
    ),
    (
        "06-orders",
        deployed(charging(LOOK_FIRST).replace('failed.append({"itemIdentifier": record["messageId"]})', "pass")),
        "◐ almost: 0 in the DLQ because you reported success: 9 orders are gone.",
    ),
    (
        "06-orders",
        deployed(charging(BY_MESSAGE)),
        "◐ almost: 20 orders were charged more than once; one is number 1, 2 times. What the producer sends again has "
        "a new messageId: use the order's number as the key.",
    ),
    (
        "06-orders",
        deployed(charging(IN_A_VARIABLE).replace("import bank", "seen = set()\nimport bank")),
        "`handled` is empty, and no other environment sees a handler's variables: write the number there.",
    ),
    (
        "06-orders",
        deployed(charging(LOOK_FIRST).replace("import json, os", "import os")),
        "Nobody was charged, and 220 messages are dead: the handler fails at every order, so print what you catch",
    ),
    (
        "06-orders",
        deployed(charging(LOOK_FIRST).replace("        except Exception:", "        except ZeroDivisionError:")),
        "An exception fails the whole batch, with the setting on, too: catch it.",
    ),
    (
        "06-orders",
        deployed(BY_POWERTOOLS, libraries=("aws_lambda_powertools", "typing_extensions")),
        "● yes: 194 orders were charged once each, and the 6 bad ones are in the dead-letter queue.",
    ),
]
