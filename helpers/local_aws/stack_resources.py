"""The types of resource that a stack may hold: each is made, changed and deleted through the service's own operations.

What the properties of each type are, which of them replace the resource when they change, and what `Ref` and
`Fn::GetAtt` return: CloudFormation's resource and property types reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .stack_functions import EventInvokeConfig, EventSourceMapping, Function, FunctionAlias, FunctionVersion, Permission
from .stack_kinds import Kind, Steps, Work, missing, only, retag
from .stack_queues import Queue, QueuePolicy, Subscription, Topic
from .stack_roles import InlinePolicy, ManagedPolicy, Role


class LogGroup(Kind):
    """AWS::Logs::LogGroup."""

    properties = ("LogGroupName", "RetentionInDays", "Tags")
    replaced_by = ("LogGroupName",)
    name = "LogGroupName"
    attributes = ("Arn",)

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Make the log group."""
        name = str(properties.get("LogGroupName") or work.new_name(512))
        tags = {one["Key"]: one["Value"] for one in work.tag_list(properties)}
        work.call("logs", "CreateLogGroup", logGroupName=name, **({"tags": tags} if tags else {}))
        work.physical_id = name
        work.attributes = {"Arn": work.space.arn("logs", f"log-group:{name}:*")}
        self._retain(work, {}, properties)
        yield from ()

    def update(self, work: Work, old: dict[str, Any], new: dict[str, Any]) -> Steps:
        """Change how long it keeps events."""
        self._retain(work, old, new)
        retag(work, "logs", "resourceArn", work.attributes["Arn"].removesuffix(":*"), old, new)
        yield from ()

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Delete the log group."""
        work.call("logs", "DeleteLogGroup", logGroupName=work.physical_id)
        yield from ()

    def present(self, work: Work, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return how long it keeps events."""
        name = work.physical_id
        groups = work.call("logs", "DescribeLogGroups", logGroupNamePrefix=name)["logGroups"]
        found = next((one for one in groups if one["logGroupName"] == name), None)
        if found is None:
            raise missing(f"The log group {name}")
        shown: dict[str, Any] = {"LogGroupName": name}
        if "retentionInDays" in found:
            shown["RetentionInDays"] = found["retentionInDays"]
        if "Tags" in properties:
            arn = work.attributes["Arn"].removesuffix(":*")
            shown["Tags"] = work.tags_beyond(work.call("logs", "ListTagsForResource", resourceArn=arn)["tags"])
        return only(shown, properties)

    @staticmethod
    def _retain(work: Work, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        days = new.get("RetentionInDays")
        if days is not None and days != old.get("RetentionInDays"):
            work.call("logs", "PutRetentionPolicy", logGroupName=work.physical_id, retentionInDays=days)
        elif days is None and "RetentionInDays" in old:
            work.call("logs", "DeleteRetentionPolicy", logGroupName=work.physical_id)


class Alarm(Kind):
    """AWS::CloudWatch::Alarm."""

    properties = (
        "ActionsEnabled",
        "AlarmActions",
        "AlarmDescription",
        "AlarmName",
        "ComparisonOperator",
        "DatapointsToAlarm",
        "Dimensions",
        "EvaluateLowSampleCountPercentile",
        "EvaluationPeriods",
        "ExtendedStatistic",
        "InsufficientDataActions",
        "MetricName",
        "Metrics",
        "Namespace",
        "OKActions",
        "Period",
        "Statistic",
        "Tags",
        "Threshold",
        "ThresholdMetricId",
        "TreatMissingData",
        "Unit",
    )
    required = ("ComparisonOperator", "EvaluationPeriods")
    replaced_by = ("AlarmName",)
    name = "AlarmName"
    attributes = ("Arn",)

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Make the alarm."""
        name = str(properties.get("AlarmName") or work.new_name(255))
        tags = [{"Key": key, "Value": value} for key, value in work.all_tags(properties).items()]
        work.call("cloudwatch", "PutMetricAlarm", **{**properties, "AlarmName": name, "Tags": tags})
        work.physical_id = name
        work.attributes = {"Arn": work.space.arn("cloudwatch", f"alarm:{name}")}
        yield from ()

    def update(self, work: Work, old: dict[str, Any], new: dict[str, Any]) -> Steps:
        """Put it anew; its tags change by a call of their own."""
        name = work.physical_id
        settings = {key: value for key, value in new.items() if key != "Tags"}
        work.call("cloudwatch", "PutMetricAlarm", **{**settings, "AlarmName": name})
        retag(work, "cloudwatch", "ResourceARN", work.attributes["Arn"], old, new)
        yield from ()

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Delete the alarm."""
        work.call("cloudwatch", "DeleteAlarms", AlarmNames=[work.physical_id])
        yield from ()

    def present(self, work: Work, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return its settings, as far as they are set."""
        name = work.physical_id
        found = work.call("cloudwatch", "DescribeAlarms", AlarmNames=[name])["MetricAlarms"]
        if not found:
            raise missing(f"The alarm {name}")
        shown = dict(found[0])
        if "Tags" in properties:
            tags = work.call("cloudwatch", "ListTagsForResource", ResourceARN=work.attributes["Arn"])["Tags"]
            shown["Tags"] = work.tags_beyond({one["Key"]: one["Value"] for one in tags})
        return only(shown, properties)


KINDS: dict[str, Kind] = {
    "AWS::CloudWatch::Alarm": Alarm(),
    "AWS::IAM::ManagedPolicy": ManagedPolicy(),
    "AWS::IAM::Policy": InlinePolicy(),
    "AWS::IAM::Role": Role(),
    "AWS::Lambda::Alias": FunctionAlias(),
    "AWS::Lambda::EventInvokeConfig": EventInvokeConfig(),
    "AWS::Lambda::EventSourceMapping": EventSourceMapping(),
    "AWS::Lambda::Function": Function(),
    "AWS::Lambda::Permission": Permission(),
    "AWS::Lambda::Version": FunctionVersion(),
    "AWS::Logs::LogGroup": LogGroup(),
    "AWS::SNS::Subscription": Subscription(),
    "AWS::SNS::Topic": Topic(),
    "AWS::SQS::Queue": Queue(),
    "AWS::SQS::QueuePolicy": QueuePolicy(),
}
"""Every type that a stack may hold, by its AWS name."""
