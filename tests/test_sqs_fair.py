"""Fair queues: tenants of a standard queue, the noisy ones among them, and what CloudWatch tells of them."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Aws
from .sqs import bodies, entries, name_of, receive, send


def fill(aws: Aws, url: str, group: str | None, number: int, **common: Any) -> None:
    """Send that many messages of a group, ten at a time; each body names its group."""
    if group is not None:
        common["MessageGroupId"] = group
    for begin in range(0, number, 10):
        some = [group or "none"] * min(10, number - begin)
        aws.client("sqs").send_message_batch(QueueUrl=url, Entries=entries(*some, **common))


def take(aws: Aws, url: str, number: int) -> list[str]:
    """Receive exactly that many messages; return their handles."""
    handles: list[str] = []
    while len(handles) < number:
        handles += [message["ReceiptHandle"] for message in receive(aws, url, min(10, number - len(handles)))]
    return handles


def delete(aws: Aws, url: str, handles: list[str]) -> None:
    """Delete messages, ten at a time."""
    for begin in range(0, len(handles), 10):
        some = [{"Id": str(index), "ReceiptHandle": one} for index, one in enumerate(handles[begin : begin + 10])]
        aws.client("sqs").delete_message_batch(QueueUrl=url, Entries=some)


@pytest.mark.behaviour("A88", "A90")
def test_thirty_in_flight_make_a_tenant_noisy_and_quiet_ones_go_first(aws: Aws) -> None:
    """A tenant with 29 messages in flight keeps its place; with the thirtieth the others' messages overtake its own."""
    url = aws.queue(VisibilityTimeout=900)
    fill(aws, url, "loud", 40)
    take(aws, url, 29)
    send(aws, url, "quiet", "quiet", MessageGroupId="calm")
    send(aws, url, "groupless")
    assert bodies(aws, url, 1) == ["loud"]
    assert bodies(aws, url, 5) == ["quiet", "quiet", "groupless", "loud", "loud"]
    # Nothing of it is lost or held back once nobody else waits.
    assert bodies(aws, url) == ["loud"] * 8


@pytest.mark.behaviour("A88")
def test_a_tenth_of_the_messages_in_flight_is_not_noisy(aws: Aws) -> None:
    """Thirty of three hundred in flight are a tenth, and no more than that; of fewer they are too many."""
    url = aws.queue(VisibilityTimeout=900)
    fill(aws, url, None, 270)
    others = take(aws, url, 270)
    fill(aws, url, "big", 32)
    take(aws, url, 30)
    send(aws, url, "quiet", MessageGroupId="calm")
    assert bodies(aws, url, 1) == ["big"]
    delete(aws, url, others[:20])
    assert bodies(aws, url, 2) == ["quiet", "big"]


@pytest.mark.behaviour("A87")
def test_messages_without_a_group_are_never_noisy(aws: Aws) -> None:
    """However many of them are in flight, each is a tenant of its own and keeps its place."""
    url = aws.queue(VisibilityTimeout=900)
    fill(aws, url, None, 35)
    take(aws, url, 32)
    send(aws, url, "grouped", MessageGroupId="calm")
    assert bodies(aws, url) == ["none"] * 3 + ["grouped"]


@pytest.mark.behaviour("A90")
def test_among_noisy_tenants_the_one_with_the_fewest_in_flight_goes_first(aws: Aws) -> None:
    """Who waits longer does not count among them."""
    url = aws.queue(VisibilityTimeout=900)
    for group, number in (("a", 33), ("b", 31)):
        fill(aws, url, group, number)
        take(aws, url, number)
    send(aws, url, "a", "a", "a", MessageGroupId="a")
    send(aws, url, "b", "b", "b", MessageGroupId="b")
    assert bodies(aws, url, 2) == ["b", "b"]
    # Both have 33 in flight now: they take turns, the older message first.
    assert bodies(aws, url) == ["a", "b", "a", "a"]


@pytest.mark.behaviour("A91")
def test_a_tenant_is_quiet_again_when_its_backlog_is_drained(aws: Aws) -> None:
    """Until then it stays noisy with fewer than thirty in flight; afterwards it needs thirty again."""
    url = aws.queue(VisibilityTimeout=900)
    fill(aws, url, "loud", 32)
    handles = take(aws, url, 31)
    send(aws, url, "first", MessageGroupId="calm")
    assert bodies(aws, url, 1) == ["first"]
    delete(aws, url, handles[:3])
    send(aws, url, "second", MessageGroupId="calm")
    assert bodies(aws, url) == ["second", "loud"]
    send(aws, url, "loud", MessageGroupId="loud")
    send(aws, url, "third", MessageGroupId="calm")
    assert bodies(aws, url) == ["loud", "third"]


@pytest.mark.behaviour("A91")
def test_a_tenant_is_quiet_again_after_five_silent_minutes(aws: Aws) -> None:
    """Its messages then go in their old order; with the next one that it sends it is noisy again."""
    url = aws.queue(VisibilityTimeout=900)
    fill(aws, url, "loud", 33)
    take(aws, url, 30)
    aws.advance(250)
    send(aws, url, "quiet", "quiet", "quiet", MessageGroupId="calm")
    assert bodies(aws, url, 1) == ["quiet"]
    aws.advance(60)
    assert bodies(aws, url, 1) == ["loud"]
    fill(aws, url, "loud", 1)
    assert bodies(aws, url) == ["quiet", "quiet", "loud", "loud", "loud"]


@pytest.mark.behaviour("A89")
def test_a_tenant_whose_messages_take_long_is_noisy(aws: Aws) -> None:
    """One slow message is enough: what counts is the share of the consumers' time in the last five minutes."""
    url = aws.queue(VisibilityTimeout=900)
    fill(aws, url, "slow", 3)
    slow = take(aws, url, 1)
    aws.advance(100)
    delete(aws, url, slow)
    send(aws, url, "quick", MessageGroupId="quick")
    assert bodies(aws, url, 1) == ["quick"]
    aws.advance(280)
    fill(aws, url, "slow", 1)
    aws.advance(30)
    send(aws, url, "quick", MessageGroupId="quick")
    assert bodies(aws, url) == ["slow", "slow", "slow", "quick"]


@pytest.mark.behaviour("F12")
def test_cloudwatch_tells_of_noisy_groups_and_of_the_others(aws: Aws) -> None:
    """The counts and the age leave the noisy groups out; a queue without groups has no such metrics."""
    url, plain = aws.queue(VisibilityTimeout=900), aws.queue()
    since = aws.now()
    fill(aws, url, "loud", 38)
    take(aws, url, 32)
    fill(aws, url, "loud", 2, DelaySeconds=900)
    aws.advance(60)
    fill(aws, url, "calm", 4)
    take(aws, url, 1)
    fill(aws, url, "calm", 2, DelaySeconds=900)
    send(aws, plain, "x")
    aws.advance(60)

    def last(name: str, queue: str = url) -> float | None:
        values = aws.metric("AWS/SQS", name, "Maximum", since, QueueName=name_of(queue))
        return values[-1] if values else None

    assert last("ApproximateNumberOfNoisyGroups") == 1
    assert last("ApproximateNumberOfMessagesVisible") == 9
    assert last("ApproximateNumberOfMessagesVisibleInQuietGroups") == 3
    assert last("ApproximateNumberOfMessagesNotVisibleInQuietGroups") == 1
    assert last("ApproximateNumberOfMessagesDelayedInQuietGroups") == 2
    age, whole = last("ApproximateAgeOfOldestMessageInQuietGroups"), last("ApproximateAgeOfOldestMessage")
    assert age is not None
    assert whole is not None
    assert age <= 60 <= whole
    assert last("ApproximateNumberOfMessagesVisible", plain) == 1
    assert last("ApproximateNumberOfNoisyGroups", plain) is None
