"""Functions: what creation answers, states, limits and their texts, the handler's surroundings, versions."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from typing import Any

import pytest
from botocore.config import Config

from .conftest import Aws, zipped
from .lambda_calls import create, invoke, refusal

PENDING = "The operation cannot be performed at this time. The function is currently in the following state: Pending"


@pytest.mark.behaviour("D1", "D2", "D3")
def test_a_new_function_is_pending_and_then_active(aws: Aws) -> None:
    client = aws.client("lambda")
    made = create(aws)
    name = made["FunctionName"]
    for call, more in (
        (client.invoke, {}),
        (client.update_function_code, {"ZipFile": zipped("")}),
        (client.update_function_configuration, {"Timeout": 5}),
        (client.publish_version, {}),
    ):
        assert refusal(call, FunctionName=name, **more) == (409, "ResourceConflictException", PENDING)
    expected = {
        "State": "Pending",
        "StateReason": "The function is being created.",
        "StateReasonCode": "Creating",
        "Architectures": ["x86_64"],
        "Description": "",
        "EphemeralStorage": {"Size": 512},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
        "MemorySize": 128,
        "PackageType": "Zip",
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "Timeout": 3,
        "TracingConfig": {"Mode": "PassThrough"},
        "Version": "$LATEST",
    }
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert made | expected == made
    assert "LastUpdateStatus" not in made
    assert re.fullmatch(r"[0-9a-f-]{36}", made["RevisionId"])
    assert made["RuntimeVersionConfig"]["RuntimeVersionArn"].startswith(f"arn:aws:lambda:{aws.info.region}::runtime:")
    aws.advance(1)
    active = client.get_function_configuration(FunctionName=name)
    assert (active["State"], active["LastUpdateStatus"]) == ("Active", "Successful")
    assert "StateReason" not in active


@pytest.mark.behaviour("D4")
def test_an_update_is_in_progress_and_then_there(aws: Aws) -> None:
    client = aws.client("lambda")
    name = aws.function("def handler(event, context): return 'old'")
    assert invoke(aws, name) == "old"
    updating = client.update_function_code(
        FunctionName=name, ZipFile=zipped("def handler(event, context): return 'new'")
    )
    said = invoke(aws, name)
    again = refusal(client.update_function_configuration, FunctionName=name, Timeout=4)
    assert (updating["State"], updating["LastUpdateStatus"]) == ("Active", "InProgress")
    assert updating["LastUpdateStatusReason"] == "The function is being created."
    assert updating["LastUpdateStatusReasonCode"] == "Creating"
    assert said == "old"
    assert again == (
        409,
        "ResourceConflictException",
        "The operation cannot be performed at this time. An update is in progress for resource: "
        + updating["FunctionArn"],
    )
    aws.advance(1)
    assert invoke(aws, name) == "new"


@pytest.mark.behaviour("D5", "D8", "D9")
def test_settings_out_of_range_are_refused_in_the_words_of_aws(aws: Aws) -> None:
    role = aws.role()
    start = "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: "
    least = start + "Member must have value greater than or equal to {}"
    most = start + "Member must have value less than or equal to {}"
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"Timeout": 901}, "ValidationException", most.format(901, "timeout", 900)),
        ({"MemorySize": 10_241}, "ValidationException", most.format(10_241, "memorySize", 10_240)),
        ({"MemorySize": 64}, "ValidationException", least.format(64, "memorySize", 128)),
        (
            {"EphemeralStorage": {"Size": 10_241}},
            "ValidationException",
            most.format(10_241, "ephemeralStorage.size", 10_240),
        ),
        (
            {"Runtime": "non-existent-runtime"},
            "InvalidParameterValueException",
            "Value non-existent-runtime at 'runtime' failed to satisfy constraint: "
            "Member must satisfy enum value set: [",
        ),
        (
            {"Role": "r1"},
            "ValidationException",
            start.format("r1", "role") + "Member must satisfy regular expression pattern: "
            r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+",
        ),
    ]
    fifo = f"arn:aws:sqs:{aws.info.region}:{aws.info.account}:q.fifo"
    text = "Invalid dead letter queue ARN: FIFO SQS queue is not supported for dead letter configuration"
    cases.append(({"DeadLetterConfig": {"TargetArn": fifo}}, "InvalidParameterValueException", text))
    # boto3 itself would refuse some of these.
    unchecked = aws.client("lambda", config=Config(parameter_validation=False))
    for change, code, text in cases:
        settings = {"FunctionName": "f", "Runtime": "python3.13", "Handler": "app.handler", "Role": role, **change}
        status, seen_code, seen_text = refusal(unchecked.create_function, **settings, Code={"ZipFile": zipped("")})
        assert (status, seen_code) == (400, code)
        assert seen_text.startswith(text), seen_text
    made = create(aws, Role=role, Timeout=900, MemorySize=10_240, EphemeralStorage={"Size": 10_240})
    assert (made["Timeout"], made["MemorySize"], made["EphemeralStorage"]) == (900, 10_240, {"Size": 10_240})
    put = aws.client("lambda").put_function_event_invoke_config
    destinations = {"OnFailure": {"Destination": fifo}}
    assert refusal(put, FunctionName=made["FunctionName"], DestinationConfig=destinations) == (
        400,
        "InvalidParameterValueException",
        "The provided destination config DestinationConfig(onSuccess=OnSuccess(destination=), "
        f"onFailure=OnFailure(destination={fifo})) is invalid.",
    )


@pytest.mark.behaviour("D6", "D53")
def test_environment_variables_have_limits(aws: Aws) -> None:
    role = aws.role()
    status, code, text = refusal(create, aws, Role=role, Environment={"Variables": {"BIG": "x" * 4090}})
    assert (status, code) == (400, "InvalidParameterValueException")
    assert text == (
        "Lambda was unable to configure your environment variables because the environment variables you have "
        'provided exceeded the 4KB limit. String measured: {"BIG":"' + "x" * 4090 + '"}'
    )
    for name in ("AWS_REGION", "LAMBDA_TASK_ROOT", "_HANDLER"):
        text = refusal(create, aws, Role=role, Environment={"Variables": {name: "x"}})[2]
        assert "reserved keys" in text or "regular expression" in text


@pytest.mark.behaviour("D7")
def test_zip_files_that_are_none_or_too_large(aws: Aws) -> None:
    role = aws.role()
    text = "Could not unzip uploaded file. Please check your file, then try to upload again."
    for data in (b"not a zip file", b"PK\x03\x04 broken"):
        assert refusal(create, aws, data, Role=role) == (400, "InvalidParameterValueException", text)
    assert refusal(create, aws, bytes(52_428_801), Role=role) == (
        413,
        "RequestEntityTooLargeException",
        "Zipped size must be smaller than 52428800 bytes",
    )
    grown = io.BytesIO()
    with zipfile.ZipFile(grown, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("big", bytes(262_144_001))
    text = "Unzipped size must be smaller than 262144000 bytes"
    assert refusal(create, aws, grown.getvalue(), Role=role) == (400, "InvalidParameterValueException", text)


@pytest.mark.behaviour("D10", "D11")
def test_names_that_are_taken_or_unknown(aws: Aws) -> None:
    client = aws.client("lambda")
    made = create(aws)
    name = made["FunctionName"]
    again = refusal(create, aws, FunctionName=name, Role=made["Role"])
    assert again == (409, "ResourceConflictException", f"Function already exist: {name}")
    arn = made["FunctionArn"].replace(name, "no-such-function")
    for call, qualifier in ((client.get_function, None), (client.invoke, None), (client.invoke, "$LATEST")):
        more = {} if qualifier is None else {"Qualifier": qualifier}
        shown = arn if qualifier is None else f"{arn}:{qualifier}"
        expected = (404, "ResourceNotFoundException", f"Function not found: {shown}")
        assert refusal(call, FunctionName="no-such-function", **more) == expected


@pytest.mark.behaviour("D12")
def test_every_python_runtime_of_lambda_can_be_named(aws: Aws) -> None:
    role = aws.role()
    for minor in range(8, 16):
        assert create(aws, Role=role, Runtime=f"python3.{minor}")["Runtime"] == f"python3.{minor}"


SURROUNDINGS = """
    import os
    def handler(event, context):
        return {
            "env": dict(os.environ), "task": os.getcwd(), "function_name": context.function_name,
            "version": context.function_version, "arn": context.invoked_function_arn,
            "memory": context.memory_limit_in_mb, "group": context.log_group_name, "stream": context.log_stream_name,
            "id": context.aws_request_id, "left": context.get_remaining_time_in_millis(),
            "custom": context.client_context and context.client_context.custom, "tenant": context.tenant_id,
            "identity": context.identity.cognito_identity_id,
        }
"""


@pytest.mark.behaviour("D52", "D54")
def test_environment_variables_and_context(aws: Aws) -> None:
    name = aws.function(
        SURROUNDINGS,
        Timeout=9,
        MemorySize=256,
        Runtime="python3.14",
        Environment={"Variables": {"TABLE": "t"}},
    )
    sent = base64.b64encode(b'{"custom": {"a": 1}}').decode()
    seen = invoke(aws, name, ClientContext=sent)
    arn = f"arn:aws:lambda:{aws.info.region}:{aws.info.account}:function:{name}"
    group = f"/aws/lambda/{name}"
    assert (seen["function_name"], seen["version"], seen["arn"], seen["memory"]) == (name, "$LATEST", arn, "256")
    assert (seen["group"], seen["custom"], seen["tenant"], seen["identity"]) == (group, {"a": 1}, None, None)
    assert 8000 < seen["left"] <= 9000
    env = seen["env"]
    expected = {
        "TABLE": "t",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": group,
        "AWS_LAMBDA_LOG_STREAM_NAME": seen["stream"],
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.14",
        "AWS_REGION": aws.info.region,
        "AWS_DEFAULT_REGION": aws.info.region,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "_HANDLER": "app.handler",
        "LANG": "en_US.UTF-8",
        "LC_CTYPE": "C.UTF-8",
        "TZ": ":UTC",
        "PYTHONPATH": "/var/runtime",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": seen["task"],
        "PWD": seen["task"],
    }
    assert env | expected == env
    assert env["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API"} <= env.keys()
    assert re.match(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", env["_X_AMZN_TRACE_ID"])
    assert not [key for key in env if key.startswith("_LOCAL") or key == "LAB_STATE_DIR"]


OWN_RUNTIME = """
    import http.client, json, os
    def call(method, path, body=None, **headers):
        connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        connection.request(method, "/2018-06-01/runtime/" + path, body, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    statuses = []
    while True:
        status, headers, event = call("GET", "invocation/next")
        request = headers["Lambda-Runtime-Aws-Request-Id"]
        if event == b'"fail"':
            error = {"errorMessage": "no", "errorType": "Mine.Own", "stackTrace": []}
            type_header = {"Lambda-Runtime-Function-Error-Type": "Mine.Own"}
            statuses.append(call("POST", f"invocation/{request}/error", json.dumps(error), **type_header)[0])
        else:
            body = {"status": status, "headers": headers, "event": json.loads(event), "statuses": statuses}
            statuses.append(call("POST", f"invocation/{request}/response", json.dumps(body))[0])
"""


@pytest.mark.behaviour("D48", "D49", "D50")
def test_a_program_of_ones_own_can_speak_the_runtime_api(aws: Aws) -> None:
    name = aws.function(OWN_RUNTIME, Timeout=7)
    now = aws.now()
    seen = invoke(aws, name, {"n": 1})
    assert (seen["status"], seen["event"], seen["statuses"]) == (200, {"n": 1}, [])
    headers = seen["headers"]
    assert headers["Lambda-Runtime-Invoked-Function-Arn"].endswith(f":function:{name}")
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["Lambda-Runtime-Aws-Request-Id"])
    assert now + 7 <= int(headers["Lambda-Runtime-Deadline-Ms"]) / 1000 + 0.01 <= now + 17
    assert headers["Lambda-Runtime-Trace-Id"].startswith("Root=1-")
    assert invoke(aws, name, "fail") == {"errorMessage": "no", "errorType": "Mine.Own", "stackTrace": []}
    assert invoke(aws, name)["statuses"] == [202, 202]


@pytest.mark.behaviour("D47")
def test_only_an_environments_own_process_may_ask_its_runtime_api(aws: Aws) -> None:
    name = aws.function("""
        import http.client, os
        def handler(event, context):
            address = os.environ["AWS_LAMBDA_RUNTIME_API"]
            seen = []
            for headers in ({"Host": "evil.example"}, {"Host": address, "Origin": "http://evil.example"}):
                connection = http.client.HTTPConnection(address)
                connection.request("GET", "/2018-06-01/runtime/invocation/next", headers=headers)
                seen.append(connection.getresponse().status)
            return seen
    """)
    assert invoke(aws, name) == [403, 403]


def test_a_handler_sees_the_packages_of_the_runtime_and_no_others(aws: Aws) -> None:
    name = aws.function(
        """
        import importlib
        def handler(event, context):
            found = []
            for name in event:
                try:
                    importlib.import_module(name)
                    found.append(name)
                except ImportError:
                    pass
            return found
        """,
        Timeout=30,
        MemorySize=256,
    )
    there = ["boto3", "botocore", "urllib3", "dateutil", "six"]
    assert invoke(aws, name, [*there, "moto", "numpy", "helpers", "pytest"]) == there


def test_versions_and_aliases(aws: Aws) -> None:
    client = aws.client("lambda")
    name = aws.function("def handler(event, context): return ['one', context.invoked_function_arn]")
    first = client.publish_version(FunctionName=name, Description="first")
    assert (first["Version"], first["FunctionArn"].rpartition(":")[2]) == ("1", "1")
    assert client.publish_version(FunctionName=name)["Version"] == "1"
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    client.update_function_code(FunctionName=name, ZipFile=zipped("def handler(event, context): return ['two']"))
    aws.advance(1)
    said, arn = invoke(aws, name, Qualifier="live")
    assert said == "one"
    assert arn.endswith(f":{name}:live")
    assert invoke(aws, name) == ["two"]
    client.publish_version(FunctionName=name)
    client.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    assert invoke(aws, f"{name}:live") == ["two"]
    listed = client.list_versions_by_function(FunctionName=name)["Versions"]
    assert [version["Version"] for version in listed] == ["$LATEST", "1", "2"]
    assert refusal(client.delete_function, FunctionName=name, Qualifier="2")[:2] == (409, "ResourceConflictException")
    client.delete_function(FunctionName=name)
    assert refusal(client.get_function, FunctionName=name)[0] == 404


def test_what_the_local_aws_does_not_run_is_said_in_a_sentence(aws: Aws) -> None:
    role = aws.role()
    layer = f"arn:aws:lambda:{aws.info.region}:{aws.info.account}:layer:x:1"
    for change, words in (
        ({"Runtime": "nodejs22.x"}, "Python functions only"),
        ({"Layers": [layer]}, "has no layers"),
        ({"Code": {"S3Bucket": "bucket", "S3Key": "key"}}, "not from S3"),
        ({"PackageType": "Image", "Code": {"ImageUri": "image"}}, "no container images"),
    ):
        assert words in refusal(create, aws, Role=role, **change)[2]
    assert json.dumps(aws.client("lambda").get_account_settings()["AccountUsage"])
