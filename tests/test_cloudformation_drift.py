"""Drift: what was changed behind a stack's back is found, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.local_aws.stack_drift import Difference, _compare

from .conftest import LAMBDA_TRUST, Aws
from .test_cloudformation import HELLO, IAM, QUEUE, Stack


@pytest.fixture
def stack(aws: Aws) -> Iterator[Stack]:
    """Return a stack that is not there yet."""
    made = Stack(aws)
    yield made
    if made.described()["StackStatus"] != "DELETE_COMPLETE":
        made.delete()


def detect(stack: Stack, **options: Any) -> dict[str, Any]:
    """Look for drift, and return what the detection says at its end."""
    begun = stack.client.detect_stack_drift(StackName=stack.name, **options)["StackDriftDetectionId"]
    which = {"StackDriftDetectionId": begun}
    assert stack.client.describe_stack_drift_detection_status(**which)["DetectionStatus"] == "DETECTION_IN_PROGRESS"
    describe = stack.client.describe_stack_drift_detection_status
    stack.aws.until(lambda: describe(**which)["DetectionStatus"] != "DETECTION_IN_PROGRESS")
    return dict(describe(**which))


def drifts(stack: Stack, *filters: str) -> dict[str, dict[str, Any]]:
    """Return what was found, by logical id."""
    options = {"StackResourceDriftStatusFilters": list(filters)} if filters else {}
    items = stack.client.describe_stack_resource_drifts(StackName=stack.name, **options)["StackResourceDrifts"]
    return {one["LogicalResourceId"]: one for one in items}


def differences(drift: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return the differences of one resource: path, expected, actual, kind."""
    keys = ("PropertyPath", "ExpectedValue", "ActualValue", "DifferenceType")
    return sorted(tuple(one[key] for key in keys) for one in drift["PropertyDifferences"])  # type: ignore[misc]


@pytest.mark.behaviour("H1", "H3")
def test_what_was_changed_directly_is_found_and_what_the_template_does_not_set_is_not(aws: Aws, stack: Stack) -> None:
    stack.create(HELLO, Capabilities=IAM, Tags=[{"Key": "team", "Value": "shop"}])
    assert stack.described()["DriftInformation"] == {"StackDriftStatus": "NOT_CHECKED"}
    assert drifts(stack) == {}
    physical, sqs, functions = stack.physical(), aws.client("sqs"), aws.client("lambda")

    status = detect(stack)
    assert (status["StackDriftStatus"], status["DriftedStackResourceCount"]) == ("IN_SYNC", 0)
    assert {one["StackResourceDriftStatus"] for one in drifts(stack).values()} == {"IN_SYNC"}
    assert drifts(stack).keys() == {"DeadLetters", "Orders", "Role", "Worker", "Trigger"}

    redrive = {"deadLetterTargetArn": aws.queue_arn(physical["DeadLetters"]), "maxReceiveCount": "5"}
    changed = {"VisibilityTimeout": "90", "DelaySeconds": "7", "RedrivePolicy": json.dumps(redrive)}
    sqs.set_queue_attributes(QueueUrl=physical["Orders"], Attributes=changed)
    sqs.tag_queue(QueueUrl=physical["Orders"], Tags={"mine": "too"})
    functions.update_function_configuration(FunctionName=physical["Worker"], Timeout=11, MemorySize=256)
    functions.update_event_source_mapping(UUID=physical["Trigger"], FunctionResponseTypes=[])
    status = detect(stack)
    assert (status["StackDriftStatus"], status["DriftedStackResourceCount"]) == ("DRIFTED", 3)
    found = drifts(stack, "MODIFIED", "DELETED")
    assert differences(found["Orders"]) == [
        ("/RedrivePolicy/maxReceiveCount", "3", "5", "NOT_EQUAL"),
        ("/VisibilityTimeout", "60", "90", "NOT_EQUAL"),
    ]
    assert differences(found["Worker"]) == [("/Timeout", "10", "11", "NOT_EQUAL")]
    assert differences(found["Trigger"]) == [("/FunctionResponseTypes/0", "ReportBatchItemFailures", "null", "REMOVE")]
    assert str(json.loads(found["Worker"]["ExpectedProperties"])["Timeout"]) == "10"
    assert "Code" not in json.loads(found["Worker"]["ActualProperties"])
    information = stack.described()["DriftInformation"]
    assert (information["StackDriftStatus"], "LastCheckTimestamp" in information) == ("DRIFTED", True)
    shown = stack.client.describe_stack_resource(StackName=stack.name, LogicalResourceId="Orders")
    assert shown["StackResourceDetail"]["DriftInformation"]["StackResourceDriftStatus"] == "MODIFIED"
    listed = stack.client.list_stacks()["StackSummaries"]
    assert "DRIFTED" in [one["DriftInformation"]["StackDriftStatus"] for one in listed if one["StackId"] == stack.id]
    with pytest.raises(ClientError, match=r"No updates are to be performed\."):
        stack.update(HELLO, Capabilities=IAM)


@pytest.mark.behaviour("H2")
def test_what_was_deleted_is_told_and_one_resource_can_be_looked_at_again(aws: Aws, stack: Stack) -> None:
    template = {"Resources": {"A": QUEUE, "B": {**QUEUE, "Properties": {"DelaySeconds": 1, "VisibilityTimeout": 5}}}}
    stack.create(template)
    physical, sqs = stack.physical(), aws.client("sqs")
    sqs.delete_queue(QueueUrl=physical["A"])
    sqs.set_queue_attributes(QueueUrl=physical["B"], Attributes={"DelaySeconds": "2"})
    status = detect(stack, LogicalResourceIds=["B"])
    assert (status["StackDriftStatus"], status["DriftedStackResourceCount"]) == ("DRIFTED", 1)
    assert drifts(stack).keys() == {"B"}

    look = {"StackName": stack.name, "LogicalResourceId": "A"}
    gone = stack.client.detect_stack_resource_drift(**look)["StackResourceDrift"]
    assert gone["StackResourceDriftStatus"] == "DELETED"
    assert not {"ExpectedProperties", "ActualProperties", "PropertyDifferences"} & gone.keys()

    sqs.set_queue_attributes(QueueUrl=physical["B"], Attributes={"DelaySeconds": "1"})
    again = stack.client.detect_stack_resource_drift(StackName=stack.name, LogicalResourceId="B")["StackResourceDrift"]
    assert (again["StackResourceDriftStatus"], again["PropertyDifferences"]) == ("IN_SYNC", [])
    assert stack.described()["DriftInformation"]["StackDriftStatus"] == "DRIFTED", "A is still gone"
    pages = [
        stack.client.describe_stack_resource_drifts(StackName=stack.name, MaxResults=1, **token)
        for token in ({}, {"NextToken": "1"})
    ]
    assert [page["StackResourceDrifts"][0]["LogicalResourceId"] for page in pages] == ["A", "B"]


def test_an_alias_a_version_and_what_belongs_to_a_function(aws: Aws, stack: Stack) -> None:
    source = {"ZipFile": "def handler(event, context):\n    return 1\n"}
    work: dict[str, Any] = {"Role": aws.role(), "Runtime": "python3.13", "Handler": "index.handler", "Code": source}
    work["Environment"] = {"Variables": {"AA": "1"}}
    version = {"FunctionName": {"Ref": "Work"}, "Description": "1"}
    live = {"FunctionName": {"Ref": "Work"}, "FunctionVersion": {"Fn::GetAtt": ["Version", "Version"]}, "Name": "live"}
    permission = {"FunctionName": {"Ref": "Work"}, "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com"}
    retries = {"FunctionName": {"Ref": "Work"}, "Qualifier": "$LATEST", "MaximumRetryAttempts": 1}
    resources = {
        "Work": {"Type": "AWS::Lambda::Function", "Properties": work},
        "Version": {"Type": "AWS::Lambda::Version", "Properties": version},
        "Live": {"Type": "AWS::Lambda::Alias", "Properties": live},
        "Permission": {"Type": "AWS::Lambda::Permission", "Properties": permission},
        "Retries": {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": retries},
    }
    assert stack.create({"Resources": resources})["StackStatus"] == "CREATE_COMPLETE", stack.events("CREATE_FAILED")
    assert detect(stack)["StackDriftStatus"] == "IN_SYNC"
    assert len(drifts(stack)) == len(resources)

    physical, functions = stack.physical(), aws.client("lambda")
    name = physical["Work"]
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": {"AA": "2", "BB": "3"}})
    described = functions.get_function_configuration
    aws.until(lambda: described(FunctionName=name)["LastUpdateStatus"] == "Successful")
    functions.publish_version(FunctionName=name)
    weights = {"AdditionalVersionWeights": {"1": 0.5}}
    functions.update_alias(FunctionName=name, Name="live", FunctionVersion="2", RoutingConfig=weights)
    functions.remove_permission(FunctionName=name, StatementId=physical["Permission"])
    functions.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    assert detect(stack)["DriftedStackResourceCount"] == 4
    found = drifts(stack)
    assert differences(found["Work"]) == [
        ("/Environment/Variables/AA", "1", "2", "NOT_EQUAL"),
        ("/Environment/Variables/BB", "null", "3", "ADD"),
    ]
    assert differences(found["Live"]) == [("/FunctionVersion", "1", "2", "NOT_EQUAL")]
    assert differences(found["Retries"]) == [("/MaximumRetryAttempts", "1", "0", "NOT_EQUAL")]
    assert found["Version"]["StackResourceDriftStatus"] == "IN_SYNC"
    assert found["Permission"]["StackResourceDriftStatus"] == "DELETED"


def test_roles_topics_policies_log_groups_and_alarms(aws: Aws, stack: Stack) -> None:
    statement = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    basic = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    role = {
        "AssumeRolePolicyDocument": LAMBDA_TRUST,
        "Policies": [{"PolicyName": "send", "PolicyDocument": document}],
        "ManagedPolicyArns": [basic],
        "MaxSessionDuration": 3600,
    }
    public = {**document, "Statement": [{**statement, "Principal": "*"}]}
    watched = {"Namespace": "Shop", "MetricName": "Sold", "Statistic": "Sum", "Period": 60, "Threshold": 1}
    alarm = {**watched, "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1}
    queue, topic = {"Fn::GetAtt": ["Queue", "Arn"]}, {"Ref": "Topic"}
    subscription = {"TopicArn": topic, "Protocol": "sqs", "Endpoint": queue, "RawMessageDelivery": True}
    ref = {"Ref": "Role"}
    resources: dict[str, tuple[str, dict[str, Any]]] = {
        "Role": ("IAM::Role", role),
        "Extra": ("IAM::Policy", {"PolicyName": "extra", "PolicyDocument": document, "Roles": [ref]}),
        "Managed": ("IAM::ManagedPolicy", {"PolicyDocument": document, "Roles": [ref]}),
        "Queue": ("SQS::Queue", {"Tags": [{"Key": "a", "Value": "1"}]}),
        "Open": ("SQS::QueuePolicy", {"Queues": [{"Ref": "Queue"}], "PolicyDocument": public}),
        "Topic": ("SNS::Topic", {"DisplayName": "Shop", "Tags": [{"Key": "a", "Value": "1"}]}),
        "Subscription": ("SNS::Subscription", subscription),
        "Log": ("Logs::LogGroup", {"RetentionInDays": 7, "Tags": [{"Key": "a", "Value": "1"}]}),
        "Alarm": ("CloudWatch::Alarm", {**alarm, "Tags": [{"Key": "a", "Value": "1"}]}),
    }
    template = {name: {"Type": f"AWS::{kind}", "Properties": given} for name, (kind, given) in resources.items()}
    stack.create({"Resources": template}, Capabilities=IAM, Tags=[{"Key": "team", "Value": "shop"}])
    assert detect(stack)["StackDriftStatus"] == "IN_SYNC", [
        (name, one.get("PropertyDifferences"), one.get("DriftStatusReason")) for name, one in drifts(stack).items()
    ]
    assert drifts(stack).keys() == resources.keys() - {"Extra"}, "AWS detects no drift of AWS::IAM::Policy"
    with pytest.raises(ClientError, match="does not support drift detection"):
        stack.client.detect_stack_resource_drift(StackName=stack.name, LogicalResourceId="Extra")

    physical, iam, sqs, sns = stack.physical(), aws.client("iam"), aws.client("sqs"), aws.client("sns")
    other = json.dumps({**document, "Statement": [{**statement, "Action": "sqs:*"}]})
    iam.put_role_policy(RoleName=physical["Role"], PolicyName="send", PolicyDocument=other)
    iam.detach_role_policy(RoleName=physical["Role"], PolicyArn=basic)
    arn = physical["Managed"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=other, SetAsDefault=True)
    sqs.tag_queue(QueueUrl=physical["Queue"], Tags={"a": "2", "b": "3"})
    sqs.set_queue_attributes(QueueUrl=physical["Queue"], Attributes={"Policy": ""})
    sns.set_topic_attributes(TopicArn=physical["Topic"], AttributeName="DisplayName", AttributeValue="Store")
    raw = {"AttributeName": "RawMessageDelivery", "AttributeValue": "false"}
    sns.set_subscription_attributes(SubscriptionArn=physical["Subscription"], **raw)
    aws.client("logs").put_retention_policy(logGroupName=physical["Log"], retentionInDays=14)
    aws.client("cloudwatch").delete_alarms(AlarmNames=[physical["Alarm"]])
    detect(stack)
    found = drifts(stack)
    assert differences(found["Role"]) == [
        ("/ManagedPolicyArns/0", basic, "null", "REMOVE"),
        ("/Policies/0/PolicyDocument/Statement/0/Action", "sqs:SendMessage", "sqs:*", "NOT_EQUAL"),
    ]
    assert [one[0] for one in differences(found["Managed"])] == ["/PolicyDocument/Statement/0/Action"]
    assert [one[0] for one in differences(found["Queue"])] == ["/Tags/0/Value", "/Tags/1"]
    assert differences(found["Topic"]) == [("/DisplayName", "Shop", "Store", "NOT_EQUAL")]
    assert differences(found["Subscription"]) == [("/RawMessageDelivery", "true", "false", "NOT_EQUAL")]
    assert differences(found["Log"]) == [("/RetentionInDays", "7", "14", "NOT_EQUAL")]
    assert {name for name in found if found[name]["StackResourceDriftStatus"] == "DELETED"} == {"Open", "Alarm"}
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")


def test_an_update_forgets_what_it_has_replaced_and_keeps_what_it_did_not_touch(aws: Aws, stack: Stack) -> None:
    stack.create({"Resources": {"A": QUEUE, "B": {**QUEUE, "Properties": {"DelaySeconds": 1}}}})
    sqs, before = aws.client("sqs"), stack.physical()
    sqs.set_queue_attributes(QueueUrl=before["B"], Attributes={"DelaySeconds": "2"})
    detect(stack)
    named = {**QUEUE, "Properties": {"QueueName": aws.name("b"), "DelaySeconds": 1}}
    stack.update({"Resources": {"A": QUEUE, "B": named}})
    assert drifts(stack).keys() == {"A"}
    assert stack.described()["DriftInformation"]["StackDriftStatus"] == "IN_SYNC"


def test_what_cannot_be_looked_at(aws: Aws, stack: Stack) -> None:
    broken = {**QUEUE, "Properties": {"DelaySeconds": 901}}
    stack.create({"Resources": {"A": broken}})
    with pytest.raises(ClientError, match="in ROLLBACK_COMPLETE state"):
        stack.client.detect_stack_drift(StackName=stack.name)
    stack.delete()
    stack.id = stack.name
    stack.create({"Resources": {"A": QUEUE}})
    with pytest.raises(ClientError, match="Resource B does not exist"):
        stack.client.detect_stack_drift(StackName=stack.name, LogicalResourceIds=["B"])
    with pytest.raises(ClientError, match="does not exist"):
        stack.client.describe_stack_drift_detection_status(StackDriftDetectionId="none")
    stack.client.detect_stack_drift(StackName=stack.name)
    with pytest.raises(ClientError, match="already in progress"):
        stack.client.detect_stack_drift(StackName=stack.name)
    aws.advance(2)
    detect(stack)


def test_a_change_set_that_undoes_drift_is_not_offered(stack: Stack) -> None:
    stack.create({"Resources": {"A": QUEUE}})
    template = json.dumps({"Resources": {"A": QUEUE, "B": QUEUE}})
    which = {"StackName": stack.name, "ChangeSetName": "c", "DeploymentMode": "REVERT_DRIFT"}
    with pytest.raises(ClientError, match="offers no DeploymentMode"):
        stack.client.create_change_set(TemplateBody=template, **which)


def test_who_may_not_read_a_resource_learns_that_and_the_rest(aws: Aws, stack: Stack) -> None:
    stack.create({"Resources": {"A": QUEUE, "B": QUEUE}})
    user, iam = aws.name("user"), aws.client("iam")
    iam.create_user(UserName=user)
    allowed = [aws.queue_arn(stack.physical()["A"])]
    statements = [
        {"Effect": "Allow", "Action": "cloudformation:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "sqs:GetQueueAttributes", "Resource": allowed},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    names = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    theirs = aws.client("cloudformation", **names)
    begun = theirs.detect_stack_drift(StackName=stack.name)["StackDriftDetectionId"]
    aws.advance(2)
    status = theirs.describe_stack_drift_detection_status(StackDriftDetectionId=begun)
    assert (status["DetectionStatus"], "[B]" in status["DetectionStatusReason"]) == ("DETECTION_FAILED", True)
    found = drifts(stack)
    assert found["A"]["StackResourceDriftStatus"] == "IN_SYNC"
    assert found["B"]["StackResourceDriftStatus"] == "UNKNOWN"
    assert "sqs:getqueueattributes" in found["B"]["DriftStatusReason"].lower()


@pytest.mark.behaviour("H4")
def test_a_version_of_an_unchanged_function_is_not_made_again(aws: Aws, stack: Stack) -> None:
    source = {"ZipFile": "def handler(event, context):\n    return 1\n"}
    work: dict[str, Any] = {"Role": aws.role(), "Runtime": "python3.13", "Handler": "index.handler", "Code": source}
    version = {"FunctionName": {"Ref": "Work"}, "Description": "first"}
    resources: dict[str, Any] = {
        "Work": {"Type": "AWS::Lambda::Function", "Properties": work},
        "Version": {"Type": "AWS::Lambda::Version", "Properties": version},
    }
    stack.create({"Resources": resources})
    version["Description"] = "second"
    assert stack.update({"Resources": resources})["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    (reason,) = stack.events("UPDATE_FAILED").values()
    assert "A version for this Lambda function exists ( 1 ). Modify the function to create a new version." in reason
    work["Timeout"] = 5
    assert stack.update({"Resources": resources})["StackStatus"] == "UPDATE_COMPLETE"
    assert stack.physical()["Version"].endswith(":2")


@pytest.mark.parametrize(
    ("expected", "actual", "found"),
    [
        (60, "60", []),
        (True, "true", []),
        (1.0, 1, []),
        (["a", "b"], ["b", "a"], []),
        ('{"a": 1}', {"a": 1}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [Difference("/a/b", 1, 2, "NOT_EQUAL")]),
        ({"a": 1}, {}, [Difference("/a", 1, None, "REMOVE")]),
        ({}, {"a": 1}, [Difference("/a", None, 1, "ADD")]),
        (["a"], ["a", "b"], [Difference("/1", None, "b", "ADD")]),
        (["a", "b"], ["c"], [Difference("/0", "a", "c", "NOT_EQUAL"), Difference("/1", "b", None, "REMOVE")]),
    ],
)
def test_values_are_compared_as_cloudformation_shows_them(expected: Any, actual: Any, found: list[Difference]) -> None:
    assert list(_compare(expected, actual, "")) == found
