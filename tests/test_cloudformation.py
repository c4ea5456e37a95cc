"""Stacks: what a template describes is there, the same for every API; it changes, fails and goes as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cfnlint.api import lint
from cfnlint.config import ManualArgs

from helpers.local_aws.errors import ApiError
from helpers.local_aws.stack_templates import Made, Scope, Template

from .conftest import LAMBDA_TRUST, ROOT, Aws

HELLO = (ROOT / "data" / "templates" / "hello-queue.yaml").read_text()
IAM = ["CAPABILITY_IAM"]
QUEUE = {"Type": "AWS::SQS::Queue"}


class Stack:
    """One stack of a test."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.name = aws.name("s")
        self.client = aws.client("cloudformation")
        self.id = self.name

    def create(self, template: Any, **options: Any) -> dict[str, Any]:
        """Make it; return its description once nothing is in progress."""
        self.id = self.client.create_stack(StackName=self.name, TemplateBody=_text(template), **options)["StackId"]
        return self.settled()

    def update(self, template: Any, **options: Any) -> dict[str, Any]:
        """Change it."""
        self.client.update_stack(StackName=self.name, TemplateBody=_text(template), **options)
        return self.settled()

    def delete(self) -> dict[str, Any]:
        """Delete it."""
        self.client.delete_stack(StackName=self.name)
        return self.settled()

    def settled(self) -> dict[str, Any]:
        """Return its description once nothing is in progress."""
        self.aws.until(lambda: not self.described()["StackStatus"].endswith("_IN_PROGRESS"))
        return self.described()

    def described(self) -> dict[str, Any]:
        """Return its description."""
        return dict(self.client.describe_stacks(StackName=self.id)["Stacks"][0])

    def outputs(self) -> dict[str, str]:
        """Return its outputs."""
        return {one["OutputKey"]: one["OutputValue"] for one in self.described().get("Outputs", [])}

    def physical(self) -> dict[str, str]:
        """Return what it holds, by logical id."""
        items = self.client.describe_stack_resources(StackName=self.id)["StackResources"]
        return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in items}

    def events(self, status: str) -> dict[str, str]:
        """Return the reasons of the events with a status, by logical id."""
        pages = self.client.get_paginator("describe_stack_events").paginate(StackName=self.id)
        return {
            one["LogicalResourceId"]: one.get("ResourceStatusReason", "")
            for page in pages
            for one in page["StackEvents"]
            if one["ResourceStatus"] == status
        }


def _text(template: Any) -> str:
    return template if isinstance(template, str) else json.dumps(template)


def _policy(statement: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [statement]}


def _parameters(**values: Any) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": str(value)} for key, value in values.items()]


@pytest.fixture
def stack(aws: Aws) -> Iterator[Stack]:
    """Return a stack that is not there yet."""
    made = Stack(aws)
    yield made
    if made.client.describe_stacks(StackName=made.id)["Stacks"][0]["StackStatus"] != "DELETE_COMPLETE":
        made.delete()


def test_a_stack_is_what_the_apis_show_and_messages_flow_through_it(aws: Aws, stack: Stack) -> None:
    made = stack.create(HELLO, Capabilities=IAM, Tags=[{"Key": "lab", "Value": "00"}])
    assert made["StackStatus"] == "CREATE_COMPLETE"
    outputs, physical = stack.outputs(), stack.physical()
    sqs, functions, iam = aws.client("sqs"), aws.client("lambda"), aws.client("iam")
    assert outputs["QueueUrl"] == physical["Orders"]
    assert outputs["QueueArn"] == aws.queue_arn(outputs["QueueUrl"])
    attributes = sqs.get_queue_attributes(QueueUrl=outputs["QueueUrl"], AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == "60"
    assert json.loads(attributes["RedrivePolicy"]) == {
        "deadLetterTargetArn": aws.queue_arn(outputs["DeadLetterQueueUrl"]),
        "maxReceiveCount": 3,
    }
    tags = sqs.list_queue_tags(QueueUrl=outputs["QueueUrl"])["Tags"]
    assert (tags["lab"], tags["aws:cloudformation:stack-name"]) == ("00", stack.name)
    function = functions.get_function_configuration(FunctionName=outputs["FunctionName"])
    assert (function["State"], function["Handler"], function["Timeout"]) == ("Active", "index.handler", 10)
    assert function["Role"] == iam.get_role(RoleName=physical["Role"])["Role"]["Arn"]
    assert iam.list_role_policies(RoleName=physical["Role"])["PolicyNames"] == ["read-orders"]
    mapping = functions.get_event_source_mapping(UUID=physical["Trigger"])
    assert (mapping["State"], mapping["BatchSize"]) == ("Enabled", 10)
    sqs.send_message(QueueUrl=outputs["QueueUrl"], MessageBody="stack")
    aws.advance(1)
    assert "Hello, stack\n" in [event["message"] for event in aws.log(outputs["FunctionName"])]

    assert stack.delete()["StackStatus"] == "DELETE_COMPLETE"
    for url in (outputs["QueueUrl"], outputs["DeadLetterQueueUrl"]):
        with pytest.raises(sqs.exceptions.QueueDoesNotExist):
            sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.get_function(FunctionName=outputs["FunctionName"])
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.get_event_source_mapping(UUID=physical["Trigger"])
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName=physical["Role"])
    with pytest.raises(ClientError, match=f"Stack with id {stack.name} does not exist"):
        stack.client.describe_stacks(StackName=stack.name)


@pytest.mark.behaviour("C18")
def test_a_failed_creation_is_rolled_back_and_its_reason_stands_in_the_events(aws: Aws, stack: Stack) -> None:
    made = stack.create(HELLO, Capabilities=IAM, Parameters=_parameters(VisibilityTimeout=5, FunctionTimeout=6))
    assert made["StackStatus"] == "ROLLBACK_COMPLETE"
    (reason,) = stack.events("CREATE_FAILED").values()
    assert reason.startswith(
        'Resource handler returned message: "Invalid request provided: '
        "Queue visibility timeout: 5 seconds is less than Function timeout: 6 seconds (Service: Lambda, "
    )
    assert reason.endswith("HandlerErrorCode: InvalidRequest)")
    assert stack.events("ROLLBACK_IN_PROGRESS") == {
        stack.name: "The following resource(s) failed to create: [Trigger]. Rollback requested by user."
    }
    assert {"DeadLetters", "Orders", "Role", "Worker"} <= stack.events("DELETE_COMPLETE").keys()
    assert aws.client("sqs").list_queues(QueueNamePrefix=stack.name).get("QueueUrls", []) == []
    with pytest.raises(ClientError, match="is in ROLLBACK_COMPLETE state and can not be updated"):
        stack.update(HELLO, Capabilities=IAM)


@pytest.mark.parametrize(
    ("on_failure", "status", "left"), [("DO_NOTHING", "CREATE_FAILED", 1), ("DELETE", "DELETE_COMPLETE", 0)]
)
def test_what_a_failed_creation_leaves(aws: Aws, stack: Stack, on_failure: str, status: str, left: int) -> None:
    broken = {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 901}, "DependsOn": "Good"}
    made = stack.create({"Resources": {"Good": QUEUE, "Bad": broken}}, OnFailure=on_failure)
    assert made["StackStatus"] == status
    assert len(aws.client("sqs").list_queues(QueueNamePrefix=stack.name).get("QueueUrls", [])) == left


def test_an_update_changes_in_place_what_aws_changes_in_place(aws: Aws, stack: Stack) -> None:
    stack.create(HELLO, Capabilities=IAM)
    before = stack.physical()
    template = HELLO.replace('print("Hello,"', 'print("Goodbye,"').replace("maxReceiveCount: 3", "maxReceiveCount: 5")
    values = _parameters(VisibilityTimeout=90, FunctionTimeout=15, BatchSize=1)
    assert stack.update(template, Capabilities=IAM, Parameters=values)["StackStatus"] == "UPDATE_COMPLETE"
    assert stack.physical() == before
    outputs, sqs, functions = stack.outputs(), aws.client("sqs"), aws.client("lambda")
    attributes = sqs.get_queue_attributes(QueueUrl=outputs["QueueUrl"], AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == "90"
    assert json.loads(attributes["RedrivePolicy"])["maxReceiveCount"] == 5
    assert functions.get_function_configuration(FunctionName=before["Worker"])["Timeout"] == 15
    assert functions.get_event_source_mapping(UUID=before["Trigger"])["BatchSize"] == 1
    sqs.send_message(QueueUrl=outputs["QueueUrl"], MessageBody="stack")
    aws.advance(1)
    assert "Goodbye, stack\n" in [event["message"] for event in aws.log(before["Worker"])]
    with pytest.raises(ClientError, match=r"No updates are to be performed\."):
        stack.update(template, Capabilities=IAM, Parameters=values)


@pytest.mark.behaviour("H5")
def test_another_queue_name_replaces_the_queue_and_what_depends_on_it_follows(aws: Aws, stack: Stack) -> None:
    stack.create(HELLO, Capabilities=IAM)
    before, name = stack.physical(), aws.name("named")
    properties = "  Orders:\n    Type: AWS::SQS::Queue\n    Properties:\n"
    template = HELLO.replace(properties, f"{properties}      QueueName: {name}\n")
    stack.update(template, Capabilities=IAM)
    after, outputs = stack.physical(), stack.outputs()
    assert outputs["QueueUrl"].endswith(f"/{name}")
    assert {one for one in after if after[one] != before[one]} == {"Orders", "Trigger"}
    sqs, functions = aws.client("sqs"), aws.client("lambda")
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.get_queue_attributes(QueueUrl=before["Orders"], AttributeNames=["All"])
    (mapping,) = functions.list_event_source_mappings(FunctionName=before["Worker"])["EventSourceMappings"]
    assert mapping["EventSourceArn"] == outputs["QueueArn"]
    sqs.send_message(QueueUrl=outputs["QueueUrl"], MessageBody="moved")
    aws.advance(1)
    assert "Hello, moved\n" in [event["message"] for event in aws.log(before["Worker"])]


@pytest.mark.behaviour("H6")
def test_a_failed_update_is_taken_back(aws: Aws, stack: Stack) -> None:
    def resources(visibility: int, name: str, delay: int) -> dict[str, Any]:
        return {
            "Resources": {
                "Changed": {**QUEUE, "Properties": {"VisibilityTimeout": visibility}},
                "Replaced": {**QUEUE, "Properties": {"QueueName": name}, "DependsOn": "Changed"},
                "Failing": {**QUEUE, "Properties": {"DelaySeconds": delay}, "DependsOn": "Replaced"},
                **({"Added": {**QUEUE, "DependsOn": "Changed"}} if delay else {}),
            }
        }

    first = aws.name("first")
    stack.create(resources(30, first, 0))
    before = stack.physical()
    assert stack.update(resources(40, aws.name("second"), 901))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "Failing" in stack.events("UPDATE_FAILED")
    sqs = aws.client("sqs")
    attributes = sqs.get_queue_attributes(QueueUrl=before["Changed"], AttributeNames=["VisibilityTimeout"])
    assert attributes["Attributes"] == {"VisibilityTimeout": "30"}
    assert sqs.get_queue_url(QueueName=first)["QueueUrl"] == before["Replaced"]
    assert {name: url for name, url in stack.physical().items() if name in before} == before
    assert len(sqs.list_queues(QueueNamePrefix="second").get("QueueUrls", [])) == 0
    assert stack.update(resources(50, first, 0))["StackStatus"] == "UPDATE_COMPLETE"


def test_a_change_set_says_what_it_would_do_and_does_it(aws: Aws, stack: Stack) -> None:
    def resources(name: str, **other: Any) -> str:
        queue = {**QUEUE, "Properties": {"QueueName": name}}
        policy = {"QueueUrl": {"Fn::GetAtt": ["Orders", "QueueUrl"]}}
        return _text({"Resources": {"Orders": queue, **other}, "Outputs": {"Url": {"Value": policy["QueueUrl"]}}})

    client, first, second = stack.client, aws.name("first"), aws.name("second")
    names = {"StackName": stack.name, "ChangeSetName": "begin"}
    client.create_change_set(**names, ChangeSetType="CREATE", TemplateBody=resources(first, Gone=QUEUE))
    stack.id = client.describe_change_set(**names)["StackId"]
    assert stack.described()["StackStatus"] == "REVIEW_IN_PROGRESS"
    client.execute_change_set(**names)
    assert stack.settled()["StackStatus"] == "CREATE_COMPLETE"
    names["ChangeSetName"] = "rename"
    client.create_change_set(**names, TemplateBody=resources(second, New=QUEUE))
    described = client.describe_change_set(**names)
    assert (described["Status"], described["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")
    changes = [change["ResourceChange"] for change in described["Changes"]]
    assert {(one["LogicalResourceId"], one["Action"], one.get("Replacement")) for one in changes} == {
        ("Orders", "Modify", "True"),
        ("New", "Add", None),
        ("Gone", "Remove", None),
    }
    assert stack.outputs()["Url"].endswith(first)
    client.execute_change_set(**names)
    assert stack.settled()["StackStatus"] == "UPDATE_COMPLETE"
    assert stack.outputs()["Url"].endswith(second)
    names["ChangeSetName"] = "nothing"
    client.create_change_set(**names, TemplateBody=resources(second, New=QUEUE))
    described = client.describe_change_set(**names)
    assert (described["Status"], described["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert described["StatusReason"].startswith("The submitted information didn't contain changes.")


def test_a_change_set_is_found_by_the_name_of_the_stack_that_is_there(aws: Aws, stack: Stack) -> None:
    names = {"StackName": stack.name, "ChangeSetName": "again"}
    for _ in range(2):
        stack.create({"Resources": {"Orders": QUEUE}})
        made = stack.client.create_change_set(
            **names, TemplateBody=_text({"Resources": {"Orders": QUEUE, "New": QUEUE}})
        )
        described = stack.client.describe_change_set(**names)
        assert (described["ChangeSetId"], described["ExecutionStatus"]) == (made["Id"], "AVAILABLE")
        stack.client.execute_change_set(**names)
        assert stack.settled()["StackStatus"] == "UPDATE_COMPLETE"
        stack.delete()


def test_topics_policies_permissions_alarms_and_log_groups(aws: Aws, stack: Stack) -> None:
    name = aws.name("f")
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": {"Fn::GetAtt": ["Inbox", "Arn"]},
        "Condition": {"ArnEquals": {"aws:SourceArn": {"Ref": "Topic"}}},
    }
    template = {
        "Resources": {
            "Inbox": QUEUE,
            "Topic": {"Type": "AWS::SNS::Topic"},
            "Policy": {
                "Type": "AWS::SQS::QueuePolicy",
                "Properties": {
                    "Queues": [{"Ref": "Inbox"}],
                    "PolicyDocument": _policy(allow),
                },
            },
            "Subscription": {
                "Type": "AWS::SNS::Subscription",
                "Properties": {
                    "TopicArn": {"Ref": "Topic"},
                    "Protocol": "sqs",
                    "Endpoint": {"Fn::GetAtt": ["Inbox", "Arn"]},
                    "RawMessageDelivery": True,
                    "FilterPolicy": {"kind": ["order"]},
                },
            },
            "Group": {
                "Type": "AWS::Logs::LogGroup",
                "Properties": {"LogGroupName": f"/aws/lambda/{name}", "RetentionInDays": "7"},
            },
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": LAMBDA_TRUST}},
            "Worker": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "FunctionName": name,
                    "Runtime": "python3.13",
                    "Handler": "index.handler",
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                    "Code": {"ZipFile": "def handler(event, context): pass"},
                    "RecursiveLoop": "Allow",
                    "ReservedConcurrentExecutions": 2,
                    "Environment": {"Variables": {"QUEUE": {"Ref": "Inbox"}, "COUNT": 1}},
                },
            },
            "Permission": {
                "Type": "AWS::Lambda::Permission",
                "Properties": {
                    "Action": "lambda:InvokeFunction",
                    "FunctionName": {"Ref": "Worker"},
                    "Principal": "sns.amazonaws.com",
                    "SourceArn": {"Ref": "Topic"},
                },
            },
            "Alarm": {
                "Type": "AWS::CloudWatch::Alarm",
                "Properties": {
                    "Namespace": "AWS/SQS",
                    "MetricName": "ApproximateNumberOfMessagesVisible",
                    "Dimensions": [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["Inbox", "QueueName"]}}],
                    "Statistic": "Maximum",
                    "Period": "60",
                    "EvaluationPeriods": 1,
                    "Threshold": 5,
                    "ComparisonOperator": "GreaterThanThreshold",
                },
            },
        }
    }
    assert stack.create(template, Capabilities=IAM)["StackStatus"] == "CREATE_COMPLETE", stack.events("CREATE_FAILED")
    physical = stack.physical()
    sns, functions = aws.client("sns"), aws.client("lambda")
    for kind in ("order", "other"):
        attributes = {"kind": {"DataType": "String", "StringValue": kind}}
        sns.publish(TopicArn=physical["Topic"], Message=kind, MessageAttributes=attributes)
    (message,) = aws.client("sqs").receive_message(QueueUrl=physical["Inbox"], MaxNumberOfMessages=10)["Messages"]
    assert message["Body"] == "order"
    (statement,) = json.loads(functions.get_policy(FunctionName=name)["Policy"])["Statement"]
    assert statement["Condition"] == {"ArnLike": {"AWS:SourceArn": physical["Topic"]}}
    function = functions.get_function(FunctionName=name)
    assert function["Concurrency"] == {"ReservedConcurrentExecutions": 2}
    assert functions.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Allow"
    assert function["Configuration"]["Environment"]["Variables"] == {"QUEUE": physical["Inbox"], "COUNT": "1"}
    (group,) = aws.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"]
    assert group["retentionInDays"] == 7
    cloudwatch = aws.client("cloudwatch")
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[physical["Alarm"]])["MetricAlarms"]
    assert alarm["Threshold"] == 5
    del template["Resources"]["Subscription"], template["Resources"]["Alarm"], template["Resources"]["Permission"]
    assert stack.update(template, Capabilities=IAM)["StackStatus"] == "UPDATE_COMPLETE"
    assert sns.list_subscriptions_by_topic(TopicArn=physical["Topic"])["Subscriptions"] == []
    assert cloudwatch.describe_alarms(AlarmNames=[physical["Alarm"]])["MetricAlarms"] == []
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.get_policy(FunctionName=name)


def test_a_stack_that_is_deleted_while_it_is_made_leaves_nothing(aws: Aws, stack: Stack) -> None:
    stack.id = stack.client.create_stack(StackName=stack.name, TemplateBody=HELLO, Capabilities=IAM)["StackId"]
    aws.until(lambda: stack.physical().get("Worker"), step=0.05)
    assert stack.described()["StackStatus"] == "CREATE_IN_PROGRESS"
    function = stack.physical()["Worker"]
    assert stack.delete()["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="Function not found"):
        aws.client("lambda").get_function(FunctionName=function)
    assert "Trigger" not in stack.physical()
    assert stack.events("DELETE_COMPLETE").keys() == {"DeadLetters", "Orders", "Role", "Worker", stack.name}


@pytest.mark.behaviour("H8")
def test_other_tags_of_the_stack_reach_what_it_holds(aws: Aws, stack: Stack) -> None:
    template = {"Resources": {"Orders": QUEUE, "Topic": {"Type": "AWS::SNS::Topic"}}}
    stack.create(template, Tags=[{"Key": "old", "Value": "1"}, {"Key": "both", "Value": "1"}])
    stack.update(template, Tags=[{"Key": "both", "Value": "2"}, {"Key": "new", "Value": "2"}])
    physical = stack.physical()
    tags = aws.client("sqs").list_queue_tags(QueueUrl=physical["Orders"])["Tags"]
    assert {key: value for key, value in tags.items() if not key.startswith("aws:")} == {"both": "2", "new": "2"}
    tags = aws.client("sns").list_tags_for_resource(ResourceArn=physical["Topic"])["Tags"]
    assert {one["Key"]: one["Value"] for one in tags} == {"both": "2", "new": "2"}


@pytest.mark.behaviour("H7")
def test_what_is_retained_stays_and_what_is_there_is_not_taken_over(aws: Aws, stack: Stack) -> None:
    name = aws.name("kept")
    template = {"Resources": {"Kept": {**QUEUE, "Properties": {"QueueName": name}, "DeletionPolicy": "Retain"}}}
    stack.create(template)
    stack.delete()
    assert "Kept" in stack.events("DELETE_SKIPPED")
    url = aws.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
    again = Stack(aws)
    assert again.create(template)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert f"with identifier '{url}' already exists." in again.events("CREATE_FAILED")["Kept"]
    again.delete()
    assert aws.client("sqs").get_queue_url(QueueName=name)["QueueUrl"] == url


def test_a_stack_imports_what_another_exports(aws: Aws, stack: Stack) -> None:
    export = aws.name("export")
    output = {"Value": {"Fn::GetAtt": ["Dead", "Arn"]}, "Export": {"Name": export}}
    stack.create({"Resources": {"Dead": QUEUE}, "Outputs": {"Arn": output}})
    arn = stack.outputs()["Arn"]
    redrive = {"deadLetterTargetArn": {"Fn::ImportValue": export}, "maxReceiveCount": 2}
    user = Stack(aws)
    template = {"Resources": {"Orders": {**QUEUE, "Properties": {"RedrivePolicy": redrive}}}}
    assert user.create(template)["StackStatus"] == "CREATE_COMPLETE"
    url = user.physical()["Orders"]
    policy = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]
    assert json.loads(policy["RedrivePolicy"])["deadLetterTargetArn"] == arn
    with pytest.raises(ClientError, match=f"Export {export} cannot be deleted as it is in use by {user.name}"):
        stack.delete()
    user.delete()


def test_a_stack_has_its_callers_rights_only(aws: Aws, stack: Stack) -> None:
    iam, name = aws.client("iam"), aws.name("user")
    iam.create_user(UserName=name)
    allowed = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "cloudformation:*", "Resource": "*"}],
    }
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(allowed))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    stack.client = aws.client("cloudformation", **keys)
    assert stack.create({"Resources": {"Orders": QUEUE}})["StackStatus"] == "ROLLBACK_COMPLETE"
    reason = stack.events("CREATE_FAILED")["Orders"]
    assert "is not authorized to perform: sqs:" in reason
    assert reason.endswith("HandlerErrorCode: AccessDenied)")
    stack.client = aws.client("cloudformation")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{", "Template format error: JSON not well-formed. (line 1, column 2)"),
        ("a: [", "Template format error: YAML not well-formed. (line 1, column 5)"),
        ("hello", "Template format error: unsupported structure."),
        ("Description: x", "Template format error: At least one Resources member must be defined."),
        ("Resources: {A: &a {Type: 'AWS::SQS::Queue'}, B: *a}", "Template error: YAML aliases are not allowed"),
        ({"Resources": {"A": {"Type": "AWS::No::Thing"}}}, "Unrecognized resource types: [AWS::No::Thing]"),
        (
            {"Resources": {"A": {**QUEUE, "Properties": {"QueueName": {"Ref": "B"}}}}},
            "Template format error: Unresolved resource dependencies [B] in the Resources block of the template",
        ),
        (
            {"Resources": {"A": QUEUE}, "Outputs": {"X": {"Value": {"Fn::GetAtt": ["B", "Arn"]}}}},
            "Template error: instance of Fn::GetAtt references undefined resource B",
        ),
        (
            {"Resources": {"A": QUEUE}, "Outputs": {"X": {"Value": {"Fn::GetAtt": ["A", "Size"]}}}},
            "Template error: resource A does not support attribute type Size in Fn::GetAtt",
        ),
        (
            {"Resources": {"A": {**QUEUE, "DependsOn": "B"}, "B": {**QUEUE, "DependsOn": "A"}}},
            "Circular dependency between resources: [A, B]",
        ),
        (
            {"Parameters": {"N": {"Type": "String"}}, "Resources": {"A": QUEUE}},
            "Parameters: [N] must have values",
        ),
        (
            {"Parameters": {"N": {"Type": "Number", "MaxValue": 3, "Default": 4}}, "Resources": {"A": QUEUE}},
            "Parameter 'N' must be a number not greater than 3",
        ),
        (
            {"Resources": {"A": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "x"}}}},
            "Requires capabilities : [CAPABILITY_NAMED_IAM]",
        ),
        ({"Transform": "AWS::Serverless-2016-10-31", "Resources": {"A": QUEUE}}, "no Transform"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_at_once(aws: Aws, template: Any, text: str) -> None:
    client, name = aws.client("cloudformation"), aws.name("s")
    with pytest.raises(ClientError) as caught:
        client.create_stack(StackName=name, TemplateBody=_text(template), Capabilities=IAM)
    assert text in caught.value.response["Error"]["Message"]
    with pytest.raises(ClientError, match="does not exist"):
        client.describe_stacks(StackName=name)


@pytest.mark.parametrize(
    ("kind", "properties", "text"),
    [
        ("SQS::Queue", {"Timeout": 3}, "#: extraneous key [Timeout] is not permitted"),
        ("SQS::Queue", {"RedrivePolicy": {"maxReceiveCount": 3}}, "Resource handler returned message:"),
        (
            "SQS::QueuePolicy",
            {"Queues": "x"},
            "#: required key [PolicyDocument] not found\n#/Queues: expected type: JSON",
        ),
        (
            "Lambda::Permission",
            {"Action": ["lambda:*"], "FunctionName": "f", "Principal": "*"},
            "#/Action: expected type: String, found: JSONArray",
        ),
    ],
)
def test_wrong_properties_fail_the_resource(stack: Stack, kind: str, properties: dict[str, Any], text: str) -> None:
    stack.create({"Resources": {"A": {"Type": f"AWS::{kind}", "Properties": properties}}})
    assert text in stack.events("CREATE_FAILED")["A"]


def test_a_resource_with_a_name_of_its_own_is_not_replaced_under_this_name(aws: Aws, stack: Stack) -> None:
    def role(path: str) -> dict[str, Any]:
        properties = {"RoleName": name, "Path": path, "AssumeRolePolicyDocument": LAMBDA_TRUST}
        return {"Resources": {"Role": {"Type": "AWS::IAM::Role", "Properties": properties}}}

    name = aws.name("role")
    stack.create(role("/"), Capabilities=["CAPABILITY_NAMED_IAM"])
    stack.update(role("/labs/"), Capabilities=["CAPABILITY_NAMED_IAM"])
    assert stack.events("UPDATE_FAILED")["Role"] == (
        "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
        f"Rename {name} and update the stack again."
    )


class _Made:
    ref = "url-of-a"
    attributes = {"Arn": "arn:aws:sqs:eu-west-1:1:a", "QueueName": "a"}


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("!Ref A", "url-of-a"),
        ("!GetAtt A.Arn", "arn:aws:sqs:eu-west-1:1:a"),
        ("!GetAtt [A, QueueName]", "a"),
        ("!Sub '${A.QueueName}-${Stage}-${!literal}-${AWS::Region}'", "a-test-${literal}-eu-west-1"),
        ("!Sub ['${x}/${Stage}', {x: !Ref A}]", "url-of-a/test"),
        ("!Join ['-', [a, !Ref Stage, 1]]", "a-test-1"),
        ("!Select [5, !Split [':', !GetAtt A.Arn]]", "a"),
        ("!FindInMap [Sizes, !Ref Stage, n]", 3),
        ("!If [IsTest, yes-it-is, !Ref 'AWS::NoValue']", "yes-it-is"),
        ("{a: 1, b: !If [IsLive, 2, !Ref 'AWS::NoValue']}", {"a": 1}),
        ("[1, !Ref 'AWS::NoValue']", [1]),
        ("!Ref Names", ["x", "y"]),
        ("!Base64 hello", "aGVsbG8="),
        ("!ImportValue other", "imported other"),
        ("2012-10-17", "2012-10-17"),
    ],
)
def test_functions_of_a_template(value: str, filled: Any) -> None:
    template = Template(f"""
        Parameters:
          Stage: {{Type: String, Default: test, AllowedValues: [test, live]}}
          Names: {{Type: CommaDelimitedList, Default: "x, y"}}
        Mappings: {{Sizes: {{test: {{n: 3}}}}}}
        Conditions:
          IsLive: !Equals [!Ref Stage, live]
          IsTest: !And [!Not [!Condition IsLive], !Or [!Condition IsLive, !Equals [1, '1']]]
        Resources: {{A: {{Type: "AWS::SQS::Queue", Properties: {{X: {value}}}}}}}
    """)
    values = {**template.values({}), "AWS::Region": "eu-west-1"}
    made: Mapping[str, Made] = {"A": _Made()}
    scope = Scope(template, values, made.get, lambda name: f"imported {name}")
    assert scope.fill(template.resources["A"]["Properties"])["X"] == filled


def test_resources_come_after_what_they_need() -> None:
    template = Template("""
        Conditions: {Never: !Equals [1, 2]}
        Resources:
          C: {Type: X, DependsOn: B}
          B: {Type: X, Properties: {a: !If [Never, !Ref D, !Sub "${A.Arn}"]}}
          A: {Type: X}
          D: {Type: X, Condition: Never}
    """)
    nothing: Mapping[str, Made] = {}
    assert list(Scope(template, {}, nothing.get, str).wanted()) == ["A", "B", "C"]
    with pytest.raises(ApiError, match=r"Unresolved condition dependency Never"):
        Template("Resources: {A: {Type: X, Condition: Never}}")


def test_the_labs_templates_pass_the_linter() -> None:
    configuration = ManualArgs(regions=["us-east-1"])
    paths = sorted((ROOT / "data" / "templates").glob("*.yaml"))
    assert paths
    for path in paths:
        assert [str(match) for match in lint(path.read_text(), config=configuration)] == []
