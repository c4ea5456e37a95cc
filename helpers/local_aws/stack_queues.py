"""Queues, topics and what belongs to them, in a stack."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from . import queue_attributes
from .errors import ApiError
from .stack_kinds import Kind, Steps, Work, already_there, as_json, attribute_text, differ, gone, missing, only, retag


class Queue(Kind):
    """AWS::SQS::Queue."""

    _SET = tuple(name for name in queue_attributes.SETTABLE if name != "Policy")
    properties = ("QueueName", "Tags", *_SET)
    replaced_by = ("FifoQueue", "QueueName")
    name = "QueueName"
    attributes = ("Arn", "QueueName", "QueueUrl")
    unread = ("KmsMasterKeyId",)

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Make the queue; a queue of this name that is there already is not taken over."""
        fifo = attribute_text(properties.get("FifoQueue")) == "true"
        name = str(properties.get("QueueName") or work.new_name(80, ".fifo" if fifo else ""))
        present = work.space.queues.get(name)
        if present is not None:
            raise already_there("AWS::SQS::Queue", present.url)
        answer = work.call(
            "sqs", "CreateQueue", QueueName=name, Attributes=self._values(properties), tags=work.all_tags(properties)
        )
        work.physical_id = answer["QueueUrl"]
        arn = work.space.arn("sqs", name)
        work.attributes = {"Arn": arn, "QueueName": name, "QueueUrl": work.physical_id}
        yield from ()

    def update(self, work: Work, old: dict[str, Any], new: dict[str, Any]) -> Steps:
        """Change its attributes; one that is no longer given returns to its default."""
        before, after = self._values(old), self._values(new)
        defaults = {**queue_attributes.DEFAULTS, **queue_attributes.FIFO_DEFAULTS}
        changes = {name: value for name, value in after.items() if before.get(name) != value}
        changes |= {name: defaults.get(name, "") for name in before if name not in after}
        if changes:
            work.call("sqs", "SetQueueAttributes", QueueUrl=work.physical_id, Attributes=changes)
        tags, lost = work.tag_changes(old, new)
        if lost:
            work.call("sqs", "UntagQueue", QueueUrl=work.physical_id, TagKeys=lost)
        if tags:
            work.call("sqs", "TagQueue", QueueUrl=work.physical_id, Tags=tags)
        yield from ()

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Delete the queue with all that it holds."""
        work.call("sqs", "DeleteQueue", QueueUrl=work.physical_id)
        yield from ()

    def present(self, work: Work, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return its attributes; documents as such."""
        asked = {"QueueUrl": work.physical_id, "AttributeNames": ["All"]}
        values = work.call("sqs", "GetQueueAttributes", **asked).get("Attributes", {})
        shown: dict[str, Any] = {"QueueName": work.attributes["QueueName"]}
        shown |= {name: _document(value) for name, value in values.items() if value}
        if "Tags" in properties:
            tags = work.call("sqs", "ListQueueTags", QueueUrl=work.physical_id).get("Tags", {})
            shown["Tags"] = work.tags_beyond(tags)
        return only(shown, properties)

    def _values(self, properties: Mapping[str, Any]) -> dict[str, str]:
        return {name: attribute_text(value) for name, value in properties.items() if name in self._SET}


class QueuePolicy(Kind):
    """AWS::SQS::QueuePolicy."""

    properties = required = ("PolicyDocument", "Queues")
    attributes = ("Id",)

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Set the policy of every queue."""
        for url in properties["Queues"]:
            self._set(work, url, as_json(properties["PolicyDocument"]))
        work.physical_id = work.physical_id or work.new_name(80)
        work.attributes = {"Id": work.physical_id}
        yield from ()

    def update(self, work: Work, old: dict[str, Any], new: dict[str, Any]) -> Steps:
        """Set it anew, and take it from queues that are not named any more."""
        for url in old["Queues"]:
            if url not in new["Queues"]:
                self._set(work, url, "")
        yield from self.create(work, new)

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Take the policy from its queues."""
        for url in properties["Queues"]:
            self._set(work, url, "")
        yield from ()

    def present(self, work: Work, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the first policy that differs, and the queues that have one."""
        policies = {}
        for url in properties["Queues"]:
            asked = {"QueueUrl": url, "AttributeNames": ["Policy"]}
            if text := work.call("sqs", "GetQueueAttributes", **asked).get("Attributes", {}).get("Policy"):
                policies[url] = _document(text)
        if not policies:
            raise missing("The policy")
        wanted = _document(properties["PolicyDocument"])
        others = [policy for policy in policies.values() if policy != wanted]
        return {"PolicyDocument": others[0] if others else wanted, "Queues": list(policies)}

    @staticmethod
    def _set(work: Work, url: str, policy: str) -> None:
        try:
            work.call("sqs", "SetQueueAttributes", QueueUrl=url, Attributes={"Policy": policy})
        except ApiError as problem:
            if policy or not gone(problem):
                raise


class Topic(Kind):
    """AWS::SNS::Topic."""

    _SET = ("ContentBasedDeduplication", "DisplayName", "FifoTopic", "KmsMasterKeyId")
    properties = (*_SET, "Subscription", "Tags", "TopicName")
    replaced_by = ("FifoTopic", "TopicName")
    name = "TopicName"
    attributes = ("TopicArn", "TopicName")
    unread = ("KmsMasterKeyId",)

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Make the topic and its subscriptions."""
        values = {name: attribute_text(properties[name]) for name in self._SET if name in properties}
        ending = ".fifo" if values.get("FifoTopic") == "true" else ""
        name = str(properties.get("TopicName") or work.new_name(256, ending))
        arn = work.space.arn("sns", name)
        if _topic_exists(work, arn):
            raise already_there("AWS::SNS::Topic", arn)
        work.call("sns", "CreateTopic", Name=name, Attributes=values, Tags=work.tag_list(properties))
        work.physical_id = arn
        work.attributes = {"TopicArn": arn, "TopicName": name}
        self._subscribe(work, {}, properties)
        yield from ()

    def update(self, work: Work, old: dict[str, Any], new: dict[str, Any]) -> Steps:
        """Change attributes and subscriptions."""
        for name in self._SET:
            if differ(old, new, (name,)):
                value = attribute_text(new.get(name, ""))
                params = {"AttributeName": name, "AttributeValue": value}
                work.call("sns", "SetTopicAttributes", TopicArn=work.physical_id, **params)
        self._subscribe(work, old, new)
        retag(work, "sns", "ResourceArn", work.physical_id, old, new)
        yield from ()

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Delete the topic with its subscriptions."""
        work.call("sns", "DeleteTopic", TopicArn=work.physical_id)
        yield from ()

    def present(self, work: Work, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return its attributes, and those of its subscriptions that are still there."""
        arn = work.physical_id
        shown = {"TopicName": work.attributes["TopicName"]}
        shown |= work.call("sns", "GetTopicAttributes", TopicArn=arn)["Attributes"]
        if "Subscription" in properties:
            answer = work.call("sns", "ListSubscriptionsByTopic", TopicArn=arn)["Subscriptions"]
            there = [only(one, ("Endpoint", "Protocol")) for one in answer]
            # Others may be resources of their own.
            shown["Subscription"] = [one for one in properties["Subscription"] if one in there]
        if "Tags" in properties:
            tags = work.call("sns", "ListTagsForResource", ResourceArn=arn)["Tags"]
            shown["Tags"] = work.tags_beyond({one["Key"]: one["Value"] for one in tags})
        return only(shown, properties)

    @staticmethod
    def _subscribe(work: Work, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        before, after = old.get("Subscription") or [], new.get("Subscription") or []
        for one in after:
            if one not in before:
                work.call("sns", "Subscribe", TopicArn=work.physical_id, **one)
        lost = [(one["Protocol"], one["Endpoint"]) for one in before if one not in after]
        if lost:
            answer = work.call("sns", "ListSubscriptionsByTopic", TopicArn=work.physical_id)
            for one in answer["Subscriptions"]:
                if (one["Protocol"], one["Endpoint"]) in lost:
                    work.call("sns", "Unsubscribe", SubscriptionArn=one["SubscriptionArn"])


def _topic_exists(work: Work, arn: str) -> bool:
    try:
        work.call("sns", "GetTopicAttributes", TopicArn=arn)
    except ApiError as problem:
        if gone(problem):
            return False
        raise
    return True


class Subscription(Kind):
    """AWS::SNS::Subscription."""

    _SET = ("FilterPolicyScope", "FilterPolicy", "RawMessageDelivery", "RedrivePolicy")
    properties = (*_SET, "Endpoint", "Protocol", "TopicArn")
    required = ("Protocol", "TopicArn")
    replaced_by = ("Endpoint", "Protocol", "TopicArn")
    attributes = ("Arn",)

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Subscribe."""
        values = {name: attribute_text(properties[name]) for name in self._SET if name in properties}
        direct = only(properties, self.replaced_by)
        made = work.call("sns", "Subscribe", Attributes=values, ReturnSubscriptionArn=True, **direct)
        work.physical_id = made["SubscriptionArn"]
        work.attributes = {"Arn": made["SubscriptionArn"]}
        yield from ()

    def update(self, work: Work, old: dict[str, Any], new: dict[str, Any]) -> Steps:
        """Change filter, form and dead-letter queue."""
        empty = {"FilterPolicy": "{}", "FilterPolicyScope": "MessageAttributes", "RawMessageDelivery": "false"}
        for name in self._SET:
            if differ(old, new, (name,)):
                value = attribute_text(new[name]) if name in new else empty.get(name, "")
                params = {"AttributeName": name, "AttributeValue": value}
                work.call("sns", "SetSubscriptionAttributes", SubscriptionArn=work.physical_id, **params)
        yield from ()

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Unsubscribe."""
        work.call("sns", "Unsubscribe", SubscriptionArn=work.physical_id)
        yield from ()

    def present(self, work: Work, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return its attributes; documents as such."""
        found = work.call("sns", "GetSubscriptionAttributes", SubscriptionArn=work.physical_id)["Attributes"]
        return only({name: _document(value) for name, value in found.items() if value}, properties)


def _document(value: Any) -> Any:
    """Return what a text of JSON says, and any other value as it is."""
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
