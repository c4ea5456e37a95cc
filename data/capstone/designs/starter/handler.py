"""It worked in the test. Your task is to make it work on Black Friday."""

import json
import os
import urllib.request

import boto3

PROVIDER, TABLE = os.environ["PROVIDER"], os.environ["TABLE"]
table = boto3.client("dynamodb")


def handler(event, context):
    """Handle a batch."""
    for record in event["Records"]:
        handle(json.loads(record["body"]))


def handle(event):
    """Do what an event asks for."""
    if event["type"] == "order":
        change_stock(event["item"], -event["quantity"])
    elif event["type"] == "payment":
        charge(event["order"], round(event["amount"] * 100))
    elif event["type"] == "stock":
        change_stock(event["item"], event["change"])
    # A cancellation gives back what its order took: still to be written.


def change_stock(item, packets):
    """Add packets to a tea, or take them off."""
    table.update_item(
        TableName=TABLE,
        Key={"id": {"S": f"stock/{item}"}},
        UpdateExpression="ADD #left :packets",
        ExpressionAttributeNames={"#left": "left"},
        ExpressionAttributeValues={":packets": {"N": str(packets)}},
    )


def charge(order, cents):
    """Ask the provider for a charge."""
    body = json.dumps({"order": order, "cents": cents}).encode()
    with urllib.request.urlopen(f"{PROVIDER}/charges", body, timeout=5) as answer:
        return json.load(answer)
