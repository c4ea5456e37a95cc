"""Stacks in one call: made, updated, refused, deleted; and the template that notebook 14 ships."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

import helpers
from helpers import stacks
from helpers.lab import Lab

from .conftest import ROOT

ORDERS = (ROOT / "data" / "templates" / "orders.yaml").read_text(encoding="utf-8")
QUEUE = """
Parameters: {D: {Type: Number, Default: 0}}
Resources: {Q: {Type: "AWS::SQS::Queue", Properties: {DelaySeconds: !Ref D}}}
"""


@pytest.fixture
def lab(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Return a lab of this module's own, and clean it up."""
    monkeypatch.setenv("LAB_SPACE", f"stacks-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    for name in ("LAB_CLOUD", "LAB_AWS_ACCOUNT", "LAB_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    connected = helpers.connect()
    yield connected
    connected.cleanup()


def test_one_call_makes_changes_and_leaves_a_stack(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert stacks.deploy(lab, "s", QUEUE, D=1) == "CREATE_COMPLETE"
    assert stacks.outputs(lab, "s") == {}
    assert stacks.deploy(lab, lab.name("s"), QUEUE, D=2) == "UPDATE_COMPLETE"
    assert stacks.deploy(lab, "s", QUEUE, D=2) == "UPDATE_COMPLETE"
    assert "No updates are to be performed." in capsys.readouterr().out
    began = lab.now()
    assert stacks.deploy(lab, "s", QUEUE, D=901) == "UPDATE_ROLLBACK_COMPLETE"
    happened = stacks.events(lab, "s", since=began)
    assert list(happened.columns) == ["time", "resource", "status", "reason"]
    assert list(happened["status"].iloc[[0, -1]]) == ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"]
    (reason,) = happened.loc[happened["reason"] != "", "reason"]
    assert "DelaySeconds" in reason
    assert "Service" not in reason
    with pytest.raises(ClientError, match="do not exist in the template"):
        stacks.deploy(lab, "s", QUEUE, Unknown=1)


def test_a_deleted_stack_is_still_told_by_its_id(lab: Lab) -> None:
    stacks.deploy(lab, "gone", QUEUE)
    client = lab.client("cloudformation")
    ident = client.describe_stacks(StackName=lab.name("gone"))["Stacks"][0]["StackId"]
    client.delete_stack(StackName=lab.name("gone"))
    lab.wait(5)
    assert stacks.events(lab, ident)["status"].iloc[-1] == "DELETE_COMPLETE"


def test_the_shipped_template_texts_about_large_orders_only_if_it_has_a_number(lab: Lab) -> None:
    stacks.deploy(lab, "shop", ORDERS, Phone=lab.phone())
    given = stacks.outputs(lab, "shop")
    before = len(lab.outbox())
    orders = [{"order": 1, "price": 10, "quantity": 9}, {"order": 2, "price": 1, "quantity": 9}]
    queue = helpers.resources.queue(lab, given["QueueName"])
    helpers.messages.send_many(queue, orders)
    lab.wait_until(lambda: len(lab.outbox()) > before)
    assert lab.outbox()["message"].iloc[-1] == "Order 1 comes to 90."
    role = next(
        one["PhysicalResourceId"]
        for one in lab.client("cloudformation").describe_stack_resources(StackName=lab.name("shop"))["StackResources"]
        if one["LogicalResourceId"] == "Role"
    )
    iam = lab.client("iam")
    assert sorted(iam.list_role_policies(RoleName=role)["PolicyNames"]) == ["read-orders", "send-texts"]
    stacks.deploy(lab, "shop", ORDERS, Release="2")
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["read-orders"]
    before = len(lab.outbox())
    helpers.messages.send_many(queue, orders[:1])
    lab.wait(5)
    assert len(lab.outbox()) == before
    group = f"/aws/lambda/{given['FunctionName']}"
    logged = [one["message"] for one in lab.client("logs").filter_log_events(logGroupName=group)["events"]]
    assert logged.count("order 1 comes to 90\n") == 2
    described = lab.client("lambda").get_alias(FunctionName=given["FunctionName"], Name="live")
    assert described["FunctionVersion"] == "2", json.dumps(described, default=str)
