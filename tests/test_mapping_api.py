"""Event source mappings as Lambda's API shows them: answers, states, rules and their texts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from .conftest import BASIC_ROLE, Aws
from .triggers import RECORDS, change

CODE = "InvalidParameterValueException"


class Ground:
    """One function and one queue of each kind, for calls that are refused."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.function = aws.function(RECORDS)
        self.standard = aws.queue_arn(aws.queue())
        self.fifo = aws.queue_arn(aws.queue(fifo=True))
        config = Config(retries={"total_max_attempts": 1}, proxies={}, parameter_validation=False)
        self.client = aws.client("lambda", config=config)

    def refusal(self, **settings: Any) -> tuple[str, str]:
        """Return code and text of the refusal to create a mapping."""
        arguments = {"EventSourceArn": self.standard, "FunctionName": self.function, **settings}
        with pytest.raises(ClientError) as refused:
            self.client.create_event_source_mapping(**{k: v for k, v in arguments.items() if v is not None})
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        error = refused.value.response["Error"]
        return error["Code"], error["Message"]


@pytest.fixture(scope="module")
def ground(aws: Aws) -> Ground:
    """Return what refused calls name."""
    return Ground(aws)


@pytest.mark.behaviour("C2", "C3", "C4")
def test_what_create_answers(aws: Aws) -> None:
    made = aws.client("lambda").create_event_source_mapping(
        EventSourceArn=aws.queue_arn(aws.queue()), FunctionName=aws.function(RECORDS)
    )
    assert made.pop("ResponseMetadata")["HTTPStatusCode"] == 202
    assert set(made) == {
        *["BatchSize", "EventSourceArn", "EventSourceMappingArn", "FunctionArn", "FunctionResponseTypes"],
        *["LastModified", "MaximumBatchingWindowInSeconds", "State", "StateTransitionReason", "UUID"],
    }
    assert made["State"] == "Creating"
    assert made["StateTransitionReason"] == "USER_INITIATED"


@pytest.mark.behaviour("C1", "C5", "C6")
def test_status_codes_defaults_and_the_arn(aws: Aws, ground: Ground) -> None:
    client = aws.client("lambda")

    def status(answer: dict[str, Any]) -> int:
        return int(answer["ResponseMetadata"]["HTTPStatusCode"])

    made = client.create_event_source_mapping(EventSourceArn=aws.queue_arn(aws.queue()), FunctionName=ground.function)
    uuid = made["UUID"]
    assert (made["BatchSize"], made["MaximumBatchingWindowInSeconds"], made["FunctionResponseTypes"]) == (10, 0, [])
    assert made["EventSourceMappingArn"] == (
        f"arn:aws:lambda:{aws.info.region}:{aws.info.account}:event-source-mapping:{uuid}"
    )
    aws.advance(2)
    answer = client.get_event_source_mapping(UUID=uuid)
    assert answer["State"] == "Enabled"
    assert status(made) == 202
    assert status(answer) == status(client.list_event_source_mappings(FunctionName=ground.function)) == 200
    assert status(client.update_event_source_mapping(UUID=uuid, BatchSize=1)) == 202
    aws.advance(2)
    assert status(client.delete_event_source_mapping(UUID=uuid)) == 202


@pytest.mark.behaviour("C7", "C8", "C9")
def test_states_from_creation_to_deletion(aws: Aws) -> None:
    client = aws.client("lambda")
    function = aws.function(RECORDS)
    arn = aws.queue_arn(aws.queue())
    uuid = client.create_event_source_mapping(EventSourceArn=arn, FunctionName=function)["UUID"]
    aws.advance(2)
    assert client.get_event_source_mapping(UUID=uuid)["State"] == "Enabled"
    assert client.update_event_source_mapping(UUID=uuid, Enabled=False)["State"] == "Disabling"
    aws.advance(2)
    assert client.get_event_source_mapping(UUID=uuid)["State"] == "Disabled"
    assert client.update_event_source_mapping(UUID=uuid, Enabled=True)["State"] == "Enabling"
    aws.advance(2)
    assert client.update_event_source_mapping(UUID=uuid, FunctionName=aws.function(RECORDS))["State"] == "Updating"
    aws.advance(2)
    assert client.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"
    assert client.get_event_source_mapping(UUID=uuid)["State"] == "Deleting"
    aws.advance(2)
    for call in (
        client.get_event_source_mapping,
        client.update_event_source_mapping,
        client.delete_event_source_mapping,
    ):
        with pytest.raises(client.exceptions.ResourceNotFoundException) as gone:
            call(UUID=uuid)
        assert gone.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
        assert gone.value.response["Error"]["Message"] == "The resource you requested does not exist."
    off = client.create_event_source_mapping(EventSourceArn=arn, FunctionName=function, Enabled=False)
    assert off["State"] == "Disabled"


@pytest.mark.behaviour("C10")
def test_a_mapping_on_its_way_cannot_be_changed(aws: Aws) -> None:
    client = aws.client("lambda")
    made = client.create_event_source_mapping(
        EventSourceArn=aws.queue_arn(aws.queue()), FunctionName=aws.function(RECORDS)
    )
    uuid = made["UUID"]
    for verb, call in (
        ("update", client.update_event_source_mapping),
        ("delete", client.delete_event_source_mapping),
    ):
        with pytest.raises(client.exceptions.ResourceInUseException) as busy:
            call(UUID=uuid)
        assert busy.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert busy.value.response["Error"]["Message"] == (
            f"Cannot {verb} the event source mapping because it is in use."
        )


@pytest.mark.behaviour("C11", "C12", "C39")
def test_an_update_keeps_what_it_does_not_name_and_empties_what_it_empties(aws: Aws, ground: Ground) -> None:
    client = aws.client("lambda")
    pattern = json.dumps({"body": {"a": [1]}})
    chosen = {
        "BatchSize": 50,
        "MaximumBatchingWindowInSeconds": 7,
        "FilterCriteria": {"Filters": [{"Pattern": pattern}]},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": 3},
        "MetricsConfig": {"Metrics": ["EventCount"]},
    }
    uuid = aws.mapping(aws.queue(), ground.function, **chosen)

    def shown() -> dict[str, Any]:
        answer = client.get_event_source_mapping(UUID=uuid)
        return {name: answer.get(name) for name in (*chosen, "ProvisionedPollerConfig")}

    expected: dict[str, Any] = {**chosen, "ProvisionedPollerConfig": None}
    assert shown() == expected
    source = client.get_event_source_mapping(UUID=uuid)["EventSourceArn"]
    steps: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"BatchSize": 20}, {"BatchSize": 20}),
        ({"ScalingConfig": {}}, {"ScalingConfig": None}),
        ({"FilterCriteria": {}}, {"FilterCriteria": None}),
        ({"FilterCriteria": {"Filters": []}}, {"FilterCriteria": None}),
        ({"FunctionResponseTypes": []}, {"FunctionResponseTypes": []}),
        ({"MetricsConfig": {"Metrics": []}}, {"MetricsConfig": None}),
        (
            {"ProvisionedPollerConfig": {"MinimumPollers": 5}},
            {"ProvisionedPollerConfig": {"MinimumPollers": 5, "MaximumPollers": 200}},
        ),
        ({"ProvisionedPollerConfig": {}}, {"ProvisionedPollerConfig": None}),
        ({"BatchSize": 5, "MaximumBatchingWindowInSeconds": 0}, {"BatchSize": 5, "MaximumBatchingWindowInSeconds": 0}),
    ]
    for given, changed in steps:
        change(aws, uuid, **given)
        expected |= changed
        assert shown() == expected, given

    def smuggle(params: dict[str, Any], **_: Any) -> None:
        params["body"] = json.dumps({**json.loads(params["body"]), "EventSourceArn": ground.standard}).encode()

    ground.client.meta.events.register("before-call.lambda.UpdateEventSourceMapping", smuggle)
    ground.client.update_event_source_mapping(UUID=uuid, BatchSize=6)
    ground.client.meta.events.unregister("before-call.lambda.UpdateEventSourceMapping", smuggle)
    aws.advance(2)
    assert shown()["BatchSize"] == 6
    assert client.get_event_source_mapping(UUID=uuid)["EventSourceArn"] == source


@pytest.mark.behaviour("C13")
def test_lists_are_filtered_and_come_in_pages_of_a_hundred(aws: Aws) -> None:
    client = aws.client("lambda")
    function, other = aws.function(RECORDS), aws.function(RECORDS)
    queue = aws.queue()
    arn = aws.queue_arn(queue)
    prefix = arn.rpartition(":")[0]
    mine = {aws.mapping(queue, function, Enabled=False)}
    theirs = aws.mapping(queue, other, Enabled=False)
    for _ in range(101):
        name = aws.queue().rpartition("/")[2]
        made = client.create_event_source_mapping(
            EventSourceArn=f"{prefix}:{name}", FunctionName=function, Enabled=False
        )
        mine.add(made["UUID"])
    first = client.list_event_source_mappings(FunctionName=function, MaxItems=1000)
    assert len(first["EventSourceMappings"]) == 100
    rest = client.list_event_source_mappings(FunctionName=function, Marker=first["NextMarker"])
    assert "NextMarker" not in rest
    assert {item["UUID"] for page in (first, rest) for item in page["EventSourceMappings"]} == mine
    found = client.list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"]
    assert {item["UUID"] for item in found} == {theirs, *(mine & {item["UUID"] for item in found})}
    assert len(found) == 2
    both = client.list_event_source_mappings(EventSourceArn=arn, FunctionName=other)["EventSourceMappings"]
    assert [item["UUID"] for item in both] == [theirs]
    assert len(client.list_event_source_mappings(FunctionName=function, MaxItems=7)["EventSourceMappings"]) == 7
    for uuid in mine:
        client.delete_event_source_mapping(UUID=uuid)
    aws.advance(2)
    assert client.list_event_source_mappings(FunctionName=function)["EventSourceMappings"] == []


@pytest.mark.behaviour("C14")
def test_every_form_of_a_function_name(aws: Aws) -> None:
    client = aws.client("lambda")
    name = aws.function(RECORDS)
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    account, region = aws.info.account, aws.info.region
    full = f"arn:aws:lambda:{region}:{account}:function:{name}"
    forms = {
        name: full,
        full: full,
        f"{account}:function:{name}": full,
        f"{name}:$LATEST": f"{full}:$LATEST",
        f"{name}:1": f"{full}:1",
        f"{full}:1": f"{full}:1",
        f"{name}:live": f"{full}:live",
        f"{full}:live": f"{full}:live",
        f"{account}:function:{name}:live": f"{full}:live",
    }
    for form, arn in forms.items():
        made = client.create_event_source_mapping(
            EventSourceArn=aws.queue_arn(aws.queue()), FunctionName=form, Enabled=False
        )
        assert made["FunctionArn"] == arn, form


@pytest.mark.behaviour("C17")
def test_tags_of_a_mapping(aws: Aws, ground: Ground) -> None:
    client = aws.client("lambda")
    uuid = aws.mapping(aws.queue(), ground.function, Enabled=False, Tags={"lab": "1"})
    arn = client.get_event_source_mapping(UUID=uuid)["EventSourceMappingArn"]
    tagged = client.tag_resource(Resource=arn, Tags={"team": "orders"})
    assert tagged["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert client.list_tags(Resource=arn)["Tags"] == {"lab": "1", "team": "orders"}
    untagged = client.untag_resource(Resource=arn, TagKeys=["lab"])
    assert untagged["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert client.list_tags(Resource=arn)["Tags"] == {"team": "orders"}
    unknown = arn[:-1] + ("0" if arn[-1] != "0" else "1")
    with pytest.raises(client.exceptions.ResourceNotFoundException) as gone:
        client.list_tags(Resource=unknown)
    assert gone.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert gone.value.response["Error"]["Message"] == f"Event source mapping not found: {unknown}"


@pytest.mark.behaviour("C18", "C19", "C20")
def test_a_function_may_not_run_longer_than_its_messages_are_hidden(aws: Aws) -> None:
    client, sqs = aws.client("lambda"), aws.client("sqs")
    function = aws.function(RECORDS, Timeout=60)
    short, equal = aws.queue(VisibilityTimeout=30), aws.queue(VisibilityTimeout=60)
    text = "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds"
    with pytest.raises(client.exceptions.InvalidParameterValueException) as refused:
        client.create_event_source_mapping(EventSourceArn=aws.queue_arn(short), FunctionName=function)
    assert refused.value.response["Error"]["Message"] == text
    assert client.list_event_source_mappings(FunctionName=function)["EventSourceMappings"] == []
    uuid = aws.mapping(equal, function)
    sqs.set_queue_attributes(QueueUrl=equal, Attributes={"VisibilityTimeout": "30"})
    sqs.send_message(QueueUrl=equal, MessageBody="x")
    aws.advance(1)
    assert aws.counts(equal) == (0, 0)
    with pytest.raises(client.exceptions.InvalidParameterValueException) as refused:
        client.update_event_source_mapping(UUID=uuid, BatchSize=1)
    assert refused.value.response["Error"]["Message"] == text
    client.update_event_source_mapping(UUID=uuid, Enabled=False)


@pytest.mark.behaviour("C28", "C29")
@pytest.mark.parametrize("missing", ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"])
def test_a_role_without_a_right_on_the_queue_is_refused(aws: Aws, missing: str) -> None:
    client = aws.client("lambda")
    rights = [f"sqs:{name}" for name in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes") if name != missing]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": rights, "Resource": "*"}]}
    function = aws.function(RECORDS, role=aws.role(BASIC_ROLE, policy=policy))
    with pytest.raises(client.exceptions.InvalidParameterValueException) as refused:
        client.create_event_source_mapping(EventSourceArn=aws.queue_arn(aws.queue()), FunctionName=function)
    assert refused.value.response["Error"]["Message"] == (
        f"The function execution role does not have permissions to call {missing} on SQS"
    )


@pytest.mark.behaviour("C27", "C30", "C31")
def test_missing_parts_are_named(aws: Aws, ground: Ground) -> None:
    none = f"arn:aws:sqs:{aws.info.region}:{aws.info.account}:none"
    assert ground.refusal(EventSourceArn=none) == (
        CODE,
        "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
        "SQS Error Message: The specified queue does not exist.",
    )
    assert ground.refusal(FunctionName="no-such-function") == (CODE, "Function does not exist")
    assert ground.refusal(EventSourceArn=None) == (CODE, "Unrecognized event source.")


@pytest.mark.behaviour("C49")
def test_the_queue_is_an_sqs_queue_of_the_same_region(aws: Aws, ground: Ground) -> None:
    elsewhere = ground.standard.replace(aws.info.region, "eu-west-3")
    assert ground.refusal(EventSourceArn=elsewhere) == (
        CODE,
        f"Event source region must match Lambda region {aws.info.region}",
    )
    assert ground.refusal(EventSourceArn="arn:aws:s3:::bucket") == (
        CODE,
        "Unrecognized event source. Unsupported source arn : arn:aws:s3:::bucket",
    )


@pytest.mark.behaviour("C21", "C24", "C25")
def test_batch_size_and_window_go_together(aws: Aws, ground: Ground) -> None:
    needs_window = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
    assert ground.refusal(BatchSize=11) == (CODE, needs_window)
    assert ground.refusal(EventSourceArn=ground.fifo, BatchSize=11) == (CODE, needs_window)
    no_window = "Batching window is not supported for FIFO queues"
    assert ground.refusal(EventSourceArn=ground.fifo, MaximumBatchingWindowInSeconds=5) == (CODE, no_window)
    assert ground.refusal(EventSourceArn=ground.fifo, BatchSize=11, MaximumBatchingWindowInSeconds=5)[1] == no_window
    uuid = aws.mapping(aws.queue(), ground.function, Enabled=False)
    with pytest.raises(ClientError) as refused:
        aws.client("lambda").update_event_source_mapping(UUID=uuid, BatchSize=11)
    assert refused.value.response["Error"]["Message"] == needs_window


def _outside(name: str, value: int, bound: str) -> tuple[str, str]:
    return (
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: "
        f"Member must have value {bound}",
    )


@pytest.mark.behaviour("C22", "C23", "C26")
def test_ranges_of_batch_size_and_window(aws: Aws, ground: Ground) -> None:
    at_most, at_least = "less than or equal to {}", "greater than or equal to {}"
    window = {"MaximumBatchingWindowInSeconds": 1}
    assert ground.refusal(BatchSize=10_001, **window) == _outside("batchSize", 10_001, at_most.format(10_000))
    assert ground.refusal(BatchSize=0) == _outside("batchSize", 0, at_least.format(1))
    name = "maximumBatchingWindowInSeconds"
    assert ground.refusal(MaximumBatchingWindowInSeconds=301) == _outside(name, 301, at_most.format(300))
    assert ground.refusal(MaximumBatchingWindowInSeconds=-1) == _outside(name, -1, at_least.format(0))
    largest = aws.mapping(
        aws.queue(), ground.function, Enabled=False, BatchSize=10_000, MaximumBatchingWindowInSeconds=300
    )
    assert aws.client("lambda").get_event_source_mapping(UUID=largest)["BatchSize"] == 10_000


@pytest.mark.behaviour("C40", "C41", "C42")
def test_rules_of_maximum_concurrency(aws: Aws, ground: Ground) -> None:
    client = aws.client("lambda")
    code, text = ground.refusal(ScalingConfig={"MaximumConcurrency": 1})
    assert code == "ValidationException"
    assert text.endswith("Member must have value greater than or equal to 2")
    code, text = ground.refusal(ScalingConfig={"MaximumConcurrency": 1001})
    assert code == "ValidationException"
    assert text.endswith("Member must have value less than or equal to 1000")
    function = aws.function(RECORDS)
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=5)
    assert ground.refusal(FunctionName=function, ScalingConfig={"MaximumConcurrency": 100}) == (
        CODE,
        "MaximumConcurrency: 100 is greater than Function Reserved Concurrency: 5",
    )
    both = {"ScalingConfig": {"MaximumConcurrency": 2}, "ProvisionedPollerConfig": {"MinimumPollers": 2}}
    assert ground.refusal(**both) == (
        CODE,
        "Provisioned mode for SQS ESM does not support maximum concurrency feature. "
        "Use MaximumPollers as the control mechanism and remove maximum concurrency.",
    )
    aws.mapping(aws.queue(), function, Enabled=False, ScalingConfig={"MaximumConcurrency": 5})


@pytest.mark.behaviour("C43", "C44")
def test_rules_of_provisioned_pollers(aws: Aws, ground: Ground) -> None:
    text = "MinimumPollers should be between [2, 200] and MaximumPollers should be between [MinimumPollers, 10000]"
    for config in (
        {"MinimumPollers": 1},
        {"MinimumPollers": 201, "MaximumPollers": 300},
        {"MaximumPollers": 1},
        {"MaximumPollers": 10_001},
        {"MinimumPollers": 20, "MaximumPollers": 10},
    ):
        assert ground.refusal(ProvisionedPollerConfig=config) == (CODE, text), config
    named = {"MinimumPollers": 2, "PollerGroupName": "mine"}
    assert ground.refusal(ProvisionedPollerConfig=named) == (CODE, "Invalid parameter: pollerGroupName")
    uuid = aws.mapping(aws.queue(), ground.function, Enabled=False, ProvisionedPollerConfig={"MaximumPollers": 10_000})
    shown = aws.client("lambda").get_event_source_mapping(UUID=uuid)["ProvisionedPollerConfig"]
    assert shown == {"MinimumPollers": 2, "MaximumPollers": 10_000}


@pytest.mark.behaviour("C34", "C35", "C47")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DestinationConfig", {"OnSuccess": {"Destination": "arn:aws:sqs:us-east-1:111122223333:q"}}),
        ("DestinationConfig", {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:111122223333:q"}}),
        ("BisectBatchOnFunctionError", True),
        ("MaximumRetryAttempts", 3),
        ("MaximumRecordAgeInSeconds", 60),
        ("ParallelizationFactor", 2),
        ("TumblingWindowInSeconds", 30),
        ("LoggingConfig", {"SystemLogLevel": "DEBUG"}),
    ],
)
def test_parameters_of_other_sources(ground: Ground, name: str, value: Any) -> None:
    text = f"Unsupported {name} parameter for given event source mapping type."
    assert ground.refusal(**{name: value}) == (CODE, text)


@pytest.mark.behaviour("C35")
def test_a_queue_has_no_starting_position(ground: Ground) -> None:
    assert ground.refusal(StartingPosition="LATEST") == (CODE, "StartingPosition is not valid for SQS event sources.")
    assert ground.refusal(StartingPositionTimestamp=1_700_000_000) == (
        CODE,
        "Timestamp is not valid for SQS event sources.",
    )


@pytest.mark.behaviour("C36", "C37", "C38")
def test_rules_of_filter_patterns(ground: Ground) -> None:
    def refusal(*patterns: str) -> tuple[str, str]:
        return ground.refusal(FilterCriteria={"Filters": [{"Pattern": pattern} for pattern in patterns]})

    for pattern in ("null", "a plain string", '{"eventSource": "aws:sqs"}', '{"eventSource": []}'):
        assert refusal(pattern) == (CODE, "Invalid filter pattern definition."), pattern
    good = '{"body": {"a": [1]}}'
    for number in (6, 11):
        text = f"Too many filter patterns, maximum allowed 5 patterns, provided {number} patterns."
        assert refusal(*[good] * number) == (CODE, text)
    code, text = refusal(json.dumps({"body": ["x" * 4096]}))
    assert code == "ValidationException"
    assert text.endswith("Member must have length less than or equal to 4096")


@pytest.mark.behaviour("C45", "C46")
def test_response_types_and_metrics_that_queues_have(ground: Ground) -> None:
    assert ground.refusal(FunctionResponseTypes=["Other"])[0] == "ValidationException"
    assert ground.refusal(FunctionResponseTypes=["ReportBatchItemFailures"] * 2)[0] == "ValidationException"
    for name in ("ErrorCount", "KafkaMetrics"):
        assert ground.refusal(MetricsConfig={"Metrics": [name]}) == (
            CODE,
            "Invalid EventSourceMapping metrics. Expected values: [EventCount]",
        )


@pytest.mark.behaviour("C32", "C33")
def test_one_mapping_for_a_queue_and_a_function(aws: Aws) -> None:
    client = aws.client("lambda")
    queue, function = aws.queue(), aws.function(RECORDS)
    uuid = aws.mapping(queue, function)
    arn = aws.queue_arn(queue)
    with pytest.raises(client.exceptions.ResourceConflictException) as refused:
        client.create_event_source_mapping(EventSourceArn=arn, FunctionName=function)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert refused.value.response["Error"]["Message"] == (
        f'An event source mapping with SQS arn (" {arn} ") and function (" {function} ") already exists. '
        f"Please update or delete the existing mapping with UUID {uuid}"
    )
    other = aws.mapping(queue, aws.function(RECORDS))
    with pytest.raises(client.exceptions.ResourceConflictException):
        client.update_event_source_mapping(UUID=other, FunctionName=function)
