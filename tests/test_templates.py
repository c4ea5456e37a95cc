"""Templates as data, and the picture of a stack that is drawn from one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from helpers import templates
from helpers.errors import LabError
from helpers.pictures import stack

from .conftest import ROOT

mpl.use("Agg")

ORDERS = (ROOT / "data" / "templates" / "orders.yaml").read_text(encoding="utf-8")


def test_short_forms_are_written_out_in_yaml_and_json_is_read_too() -> None:
    text = "Resources: {A: {Properties: {x: !GetAtt B.Arn, y: !Sub 'a${B}', z: !Join [',', [!Ref B]]}}, B: {}}"
    body = templates.read(text)
    wanted = {"x": {"Fn::GetAtt": ["B", "Arn"]}, "y": {"Fn::Sub": "a${B}"}, "z": {"Fn::Join": [",", [{"Ref": "B"}]]}}
    assert body["Resources"]["A"]["Properties"] == wanted
    assert templates.references(body) == {"A": ["B"], "B": []}
    assert templates.read('{"Resources": {"A": {"Properties": {"x": {"Fn::If": ["C", 1, 2]}}}}}')["Resources"]["A"]
    nested = templates.read("Resources: {A: {Properties: {x: !If [C, {k: !Ref B}, !Transform {Name: n}]}}, B: {}}")
    assert templates.references(nested)["A"] == ["B"]


def test_each_resource_comes_after_what_it_refers_to() -> None:
    body = templates.read(ORDERS)
    order = templates.in_order(body)
    assert order == ["DeadLetters", "Orders", "Role", "Worker", "Log", "Version", "Live", "Trigger"]
    assert templates.references(body)["Trigger"] == ["Log", "Orders", "Live"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is no YAML in line 1"),
        ("a: 1", "has no Resources"),
        ("Resources: [1]", "has no Resources"),
    ],
)
def test_what_is_no_template_is_told_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(LabError, match=said):
        templates.read(text)


def test_a_circle_is_told() -> None:
    with pytest.raises(LabError, match="circle"):
        templates.in_order(templates.read("Resources: {A: {DependsOn: B}, B: {DependsOn: A}}"))


def part(name: str, ident: str, moment: int = 0, state: str = "CREATE_COMPLETE") -> dict[str, Any]:
    """Return a resource as describe_stack_resources shows one."""
    kind = templates.read(ORDERS)["Resources"][name]["Type"]
    at = datetime.fromtimestamp(1_790_000_000 + moment, UTC)
    shown = {"LogicalResourceId": name, "PhysicalResourceId": ident, "ResourceType": kind}
    return {**shown, "Timestamp": at, "ResourceStatus": state}


def words(ax: Any) -> list[str]:
    """Return what is written in a picture."""
    return [text.get_text() for text in ax.texts]


def test_a_stack_is_drawn_in_the_order_of_its_making() -> None:
    ax = stack(ORDERS, [part("Orders", "https://sqs/1/lab-orders"), part("DeadLetters", "https://sqs/1/lab-dead")])
    said = words(ax)
    assert said.index("DeadLetters") < said.index("Orders")
    assert "lab-orders" in said
    assert ax.get_title(loc="left") == "2 resources: CREATE_COMPLETE"
    assert len(ax.patches) == 1, "one arrow, from the dead-letter queue to the queue that names it"
    assert "Orders (Queue) CREATE_COMPLETE, refers to DeadLetters" in repr(ax.figure)
    plt.close("all")


def test_after_a_change_what_was_replaced_stands_out() -> None:
    before = [part("DeadLetters", "d"), part("Orders", "q-old"), part("Role", "r"), part("Live", "l")]
    changed = "UPDATE_COMPLETE"
    after = [part("DeadLetters", "d"), part("Orders", "q-new", 5, changed), part("Role", "r", 5, changed)]
    ax = stack(ORDERS, [*after, part("Log", "g", 5)], before=before)
    assert ax.get_title(loc="left") == "4 resources: 1 new, 1 replaced, 1 changed and 1 as before"
    assert "q-old → q-new" in words(ax)
    assert "Orders (Queue) replaced" in repr(ax.figure)
    plt.close("all")


def test_without_resources_there_is_nothing_to_draw() -> None:
    with pytest.raises(LabError, match="no resource"):
        stack(ORDERS, [])
