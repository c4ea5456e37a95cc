"""Orders take stock, payments are charged, cancellations give stock back; what is malformed goes aside at once."""

import json
import os
import urllib.error
import urllib.request
from contextlib import suppress

import boto3

PROVIDER, TABLE, DEAD = os.environ["PROVIDER"], os.environ["TABLE"], os.environ["DEAD"]
table = boto3.client("dynamodb")


class MalformedError(ValueError):
    """No retry can mend it."""


def handler(event, context):
    """Handle a batch; return what has to come again."""
    failed, stopped = [], set()
    for record in event["Records"]:
        group = record["attributes"].get("MessageGroupId")
        # What comes after a failure in its group waits too, or it would be handled before it.
        if group is None or group not in stopped:
            try:
                handle(json.loads(record["body"]))
                continue
            except MalformedError as problem:
                set_aside(record, group, str(problem))
                continue
            except Exception as problem:
                print(json.dumps({"event": json.loads(record["body"])["id"], "reason": str(problem)}))
                stopped.add(group)
        failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def set_aside(record, group, reason):
    """Send what cannot be handled to the dead letters with its reason: a retry would only hold its group up."""
    print(json.dumps({"event": json.loads(record["body"])["id"], "reason": reason}))
    fifo = {"MessageGroupId": group, "MessageDeduplicationId": record["messageId"]} if group else {}
    attributes = {"reason": {"DataType": "String", "StringValue": reason}}
    boto3.client("sqs").send_message(QueueUrl=DEAD, MessageBody=record["body"], MessageAttributes=attributes, **fifo)


def handle(event):
    """Do what an event asks for."""
    if event["type"] == "order":
        check(event)
        take(event)
    elif event["type"] == "payment":
        pay(event["order"], event["cents"] if event["version"] >= 2 else round(event["amount"] * 100))
    elif event["type"] == "cancellation":
        give_back(event["order"])
    else:
        once(stock(event["item"]), "ADD #left :n, moves :id", "NOT contains(moves, :one)", event["id"], event["change"])


def check(order):
    """Raise if an order is malformed."""
    price = order.get("cents", order.get("price"))
    if not order.get("item"):
        raise MalformedError("the order has no item")
    if isinstance(price, bool) or not isinstance(price, int | float):
        raise MalformedError(f"the price {price!r} is no number")
    note = order.get("note", "")
    if len(note) > 500:
        raise MalformedError(f"the note has {len(note)} characters")
    if not note.isprintable():
        raise MalformedError("the note has a control character")


def take(order):
    """Take packets for an order once, if there are enough; else it is a back-order."""
    name, packets = order["order"], order["quantity"]
    row = {"id": {"S": f"order/{name}"}, "item": {"S": order["item"]}, "packets": {"N": str(packets)}}
    table.put_item(TableName=TABLE, Item=row)
    condition = "#left >= :n AND NOT contains(orders, :one)"
    once(stock(order["item"]), "SET #left = #left - :n ADD orders :id", condition, name, packets)


def give_back(order):
    """Give back once what an order has taken."""
    row = table.get_item(TableName=TABLE, Key={"id": {"S": f"order/{order}"}}, ConsistentRead=True).get("Item")
    if not row:
        raise LookupError(f"{order} is not here yet")
    condition = "contains(orders, :one) AND NOT contains(returned, :one)"
    update = "SET #left = #left + :n ADD returned :id"
    once(stock(row["item"]["S"]), update, condition, order, int(row["packets"]["N"]))


def pay(order, cents):
    """Charge an order once: who claims it charges it; if it is claimed, the provider knows whether it was charged."""
    key = {"id": {"S": f"payment/{order}"}}
    try:
        table.put_item(TableName=TABLE, Item=key, ConditionExpression="attribute_not_exists(id)")
    except table.exceptions.ConditionalCheckFailedException:
        if not ask(f"charges/{order}")["charges"]:
            raise RuntimeError(f"{order} is claimed and not charged") from None
        return
    try:
        ask("charges", {"order": order, "cents": cents})
    except urllib.error.HTTPError:
        # A refusal is certain: nothing was charged.
        table.delete_item(TableName=TABLE, Key=key)
        raise


def ask(path, body=None):
    """Ask the provider."""
    data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(f"{PROVIDER}/{path}", data, timeout=5) as answer:
        return json.load(answer)


def stock(item):
    """Return the key of a tea's row."""
    return {"id": {"S": f"stock/{item}"}}


def once(key, update, condition, name, packets):
    """Change a row of the stock, if the condition holds; the row itself remembers what has changed it."""
    values = {":n": {"N": str(packets)}, ":id": {"SS": [name]}, ":one": {"S": name}}
    with suppress(table.exceptions.ConditionalCheckFailedException):
        table.update_item(
            TableName=TABLE,
            Key=key,
            UpdateExpression=update,
            ConditionExpression=condition,
            ExpressionAttributeNames={"#left": "left"},
            ExpressionAttributeValues=values,
        )
