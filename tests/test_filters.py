"""Filters: which messages a function is invoked for, and what becomes of the others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Aws
from .triggers import RECORDS, batches, send


@pytest.fixture(scope="module")
def watcher(aws: Aws) -> str:
    """Return a function that prints what it is invoked with; the tests tell their records apart by the queue."""
    return aws.function(RECORDS)


def passed(aws: Aws, watcher: str, patterns: list[Any], bodies: list[str]) -> list[str]:
    """Send bodies through a mapping with filters; return those that reach the function. None is left in the queue."""
    queue = aws.queue()
    arn = aws.queue_arn(queue)
    criteria = {"Filters": [{"Pattern": json.dumps(p) if isinstance(p, dict) else p} for p in patterns]}
    aws.mapping(queue, watcher, FilterCriteria=criteria)
    send(aws, queue, bodies)
    aws.advance(1)
    assert aws.counts(queue) == (0, 0)
    records = [record for run in aws.printed(watcher) for record in run["event"]["Records"]]
    return [record["body"] for record in records if record["eventSourceARN"] == arn]


@pytest.mark.behaviour("C111", "C112", "C114")
def test_what_no_filter_wants_is_deleted_unseen(aws: Aws) -> None:
    dead = aws.queue()
    queue = aws.queue(RedrivePolicy={"deadLetterTargetArn": aws.queue_arn(dead), "maxReceiveCount": 1})
    function = aws.function(RECORDS)
    aws.mapping(queue, function, FilterCriteria={"Filters": [{"Pattern": '{"body": {"region": ["eu"]}}'}]})
    send(aws, queue, ['{"region": "us"}', '{"region": "us"}'])
    aws.advance(60)
    assert aws.printed(function) == []
    send(aws, queue, ['{"region": "us"}', '{"region":   "eu"}', "not JSON"])
    aws.advance(60)
    assert batches(aws, function) == [['{"region":   "eu"}']]
    assert aws.counts(queue) == aws.counts(dead) == (0, 0)


BODIES = [
    *('{"a": "x"}', '{"a": "y"}', '{"a": null}', '{"a": ""}', '{"b": "x"}'),
    *('{"a": {"c": "x"}}', '{"a": ["x", "z"]}'),
]


@pytest.mark.behaviour("C119", "C120")
@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"a": ["x"]}, [0, 6]),
        ({"a": ["x", "y"]}, [0, 1, 6]),
        ({"a": [None]}, [2]),
        ({"a": [""]}, [3]),
        ({"a": [{"equals-ignore-case": "X"}]}, [0, 6]),
        ({"a": [{"anything-but": ["x", ""]}]}, [1, 2, 6]),
        ({"a": [{"exists": True}]}, [0, 1, 2, 3, 6]),
        ({"a": [{"exists": False}]}, [4, 5]),
        ({"a": [{"prefix": "y"}]}, [1]),
        ({"a": [{"suffix": "z"}]}, [6]),
        ({"a": {"c": ["x"]}}, [5]),
        ({"$or": [{"a": ["y"]}, {"b": ["x"]}]}, [1, 4]),
    ],
)
def test_operators(aws: Aws, watcher: str, rule: dict[str, Any], expected: list[int]) -> None:
    assert passed(aws, watcher, [{"body": rule}], BODIES) == [BODIES[index] for index in expected]


@pytest.mark.behaviour("C119", "C121")
@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("[300]", ["300"]),
        ("[300.0]", ["300.0"]),
        ("[3.0e2]", ["3.0e2"]),
        ('[{"numeric": ["=", 300]}]', ["300", "300.0", "3.0e2"]),
        ('[{"numeric": [">", 100]}]', ["300", "300.0", "3.0e2"]),
        ('[{"numeric": [">=", 100]}]', ["100", "300", "300.0", "3.0e2"]),
        ('[{"numeric": [">", 50, "<=", 100]}]', ["100"]),
        ('[{"numeric": ["<", 0]}]', ["-1"]),
    ],
)
def test_numbers(aws: Aws, watcher: str, rule: str, expected: list[str]) -> None:
    numbers = ["-1", "50", "100", "300", "300.0", "3.0e2", '"300"']
    bodies = [f'{{"n": {number}}}' for number in numbers]
    assert passed(aws, watcher, [f'{{"body": {{"n": {rule}}}}}'], bodies) == [f'{{"n": {n}}}' for n in expected]


@pytest.mark.behaviour("C115", "C116", "C117")
def test_the_body_and_the_pattern_are_both_json_or_both_plain(aws: Aws, watcher: str) -> None:
    bodies = ["red", "blue", '{"color": "red"}']
    assert passed(aws, watcher, [{"body": {"color": ["red"]}}], bodies) == ['{"color": "red"}']
    assert passed(aws, watcher, [{"body": ["red"]}], bodies) == ["red"]
    assert passed(aws, watcher, [{"body": [{"prefix": ""}]}], bodies) == ["red", "blue"]


@pytest.mark.behaviour("C113", "C118")
def test_a_pattern_without_body_asks_for_metadata(aws: Aws, watcher: str) -> None:
    bodies = ["plain", '{"a": 1}']
    assert passed(aws, watcher, [{"eventSource": ["aws:sqs"]}], bodies) == bodies
    assert passed(aws, watcher, [{"attributes": {"ApproximateReceiveCount": ["2"]}}], bodies) == []
    both = {"eventSource": ["aws:sqs"], "body": {"a": [1]}}
    assert passed(aws, watcher, [both], bodies) == ['{"a": 1}']


@pytest.mark.behaviour("C122")
def test_one_filter_of_several_is_enough_and_all_keys_of_one_are_needed(aws: Aws, watcher: str) -> None:
    bodies = ['{"a": 1, "b": 1}', '{"a": 1, "b": 2}', '{"c": 1}', '{"b": 2}']
    patterns = [{"body": {"a": [1], "b": [2]}}, {"body": {"c": [1]}}]
    assert passed(aws, watcher, patterns, bodies) == ['{"a": 1, "b": 2}', '{"c": 1}']


@pytest.mark.behaviour("C36", "C119")
@pytest.mark.parametrize(
    "rule", [{"wildcard": "a*"}, {"cidr": "10.0.0.0/8"}, {"exists": "yes"}, {"numeric": [">"]}, {"no-such": 1}]
)
def test_an_unknown_operator_is_no_pattern(aws: Aws, watcher: str, rule: dict[str, Any]) -> None:
    client = aws.client("lambda")
    criteria = {"Filters": [{"Pattern": json.dumps({"body": {"a": [rule]}})}]}
    with pytest.raises(client.exceptions.InvalidParameterValueException, match=r"Invalid filter pattern definition\."):
        client.create_event_source_mapping(
            EventSourceArn=aws.queue_arn(aws.queue()), FunctionName=watcher, FilterCriteria=criteria
        )
