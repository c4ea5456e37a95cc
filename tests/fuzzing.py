"""What a fuzzer of the front door needs: requests that are almost right, a way to send them, and what must not change.

A request is built from botocore's model of its operation: the required members with values that would do, then a few
changes to members anywhere in it. It is written down and signed here, since botocore would not write most of it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import botocore.session
from hypothesis import strategies as st

from helpers.local_aws import state

from .conftest import LAMBDA_TRUST, QUEUE_ROLE, Aws, zipped

PATIENCE = 10.0
"""Seconds in which every request has to be answered."""

JSON = "json"
QUERY = "query"
REST = "rest-json"
KINDS = {
    "sqs": (JSON, JSON, QUERY),
    "lambda": (REST,),
    "cloudwatch": (JSON, JSON, QUERY),
    "logs": (JSON,),
    "sts": (QUERY,),
    "iam": (QUERY,),
    "sns": (QUERY,),
    "cloudformation": (QUERY,),
}
"""The protocols that a service speaks here."""

_SIGNING = {"cloudwatch": "monitoring"}
_MISSING = object()
_DEEP, _NAN = "fuzz:deep", "fuzz:nan"
_DEPTH = 5
_MOST_PATHS = 160

TEMPLATE = json.dumps({"Resources": {"Alarms": {"Type": "AWS::SNS::Topic"}}})
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}],
    }
)
IDENTITY_POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}
)

SEEDS: dict[str, tuple[str, ...]] = {
    "AWSAccountIds": ("@account",),
    "Action": ("lambda:InvokeFunction",),
    "Actions": ("SendMessage",),
    "AlarmName": ("alarm",),
    "AliasName": ("alias",),
    "AssumeRolePolicyDocument": (json.dumps(LAMBDA_TRUST),),
    "AttributeName": ("DisplayName", "RawMessageDelivery", "Policy"),
    "AttributeValue": ("true", POLICY),
    "ChangeSetName": ("change",),
    "ComparisonOperator": ("GreaterThanThreshold",),
    "DestinationArn": ("@queue_arn",),
    "Endpoint": ("@queue_arn", "@function_arn"),
    "EventSourceArn": ("@queue_arn", "@fifo_arn", "@source_arn"),
    "FunctionName": ("@function", "@function_arn", "@function"),
    "FunctionVersion": ("$LATEST", "1"),
    "GroupName": ("group",),
    "Handler": ("app.handler",),
    "Label": ("label",),
    "MessageBody": ("hello",),
    "MessageDeduplicationId": ("d",),
    "MessageGroupId": ("g",),
    "MetricName": ("Invocations",),
    "Namespace": ("Lab", "AWS/Lambda"),
    "PolicyArn": ("arn:aws:iam::aws:policy/AmazonSQSFullAccess",),
    "PolicyDocument": (IDENTITY_POLICY,),
    "PolicyName": ("policy",),
    "Principal": ("sns.amazonaws.com", "@account"),
    "Protocol": ("sqs", "lambda"),
    "Qualifier": ("$LATEST", "1"),
    "QueueName": ("another", "another.fifo"),
    "QueueUrl": ("@queue", "@fifo", "@dead"),
    "ReceiptHandle": ("@handle",),
    "Resource": ("@function_arn", "@mapping_arn"),
    "ResourceARN": ("@alarm_arn",),
    "Role": ("@role",),
    "RoleArn": ("@role",),
    "RoleName": ("@role_name", "victim"),
    "RoleSessionName": ("session",),
    "Runtime": ("python3.13",),
    "SourceArn": ("@dead_arn", "@queue_arn"),
    "StackName": ("stack",),
    "StateValue": ("OK",),
    "StatementId": ("sid",),
    "SubscriptionArn": ("@subscription",),
    "TemplateBody": (TEMPLATE,),
    "TopicArn": ("@topic",),
    "UUID": ("@mapping",),
    "UserName": ("victim",),
    "ZipFile": ("@zip",),
    "logGroupName": ("/lab/fuzz",),
    "logGroupNames": ("/lab/fuzz",),
    "logStreamName": ("stream",),
    "queryString": ("fields @timestamp, @message | limit 5",),
}
"""Values that would do, by member; what begins with @ is a thing of the world."""

_ATTRIBUTE_NAMES = (
    *("VisibilityTimeout", "DelaySeconds", "Policy", "RedrivePolicy", "RedriveAllowPolicy", "KmsMasterKeyId"),
    *("FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit", "QueueArn", "All"),
    *("SqsManagedSseEnabled", "MaximumMessageSize", "MessageRetentionPeriod", "KmsDataKeyReusePeriodSeconds"),
)
_HARD_TEXTS = (
    *("", " ", "\x00", "a\x0bb", "\ud800", "x\udfff", "\U0001f600", "é" * 40, "\r\nX-Injected: 1", "\u202e"),
    *("a" * 81, "a" * 257, "a" * 1025, "a" * 4097, "a" * 9000, "x" * 270_000),
    *("../../../etc/passwd", "%00", "%2e%2e%2f", "/", "//", "a/b", "a:b", "$LATEST", "*", "?", "$", "${x}", "{{x}}"),
    *("null", "true", "0", "-1", "1e9", "9" * 30, "NaN", "0x10", "١٢٣", "[]", "{}", "{", '"', '{"a":', "[" * 5000),
    *("arn:aws:sqs:us-east-1", "arn:aws:sqs:eu-west-1:000000000000:x", "arn:::::", "arn:aws:lambda:*:*:function:*"),
    *('{"Statement":[]}', '{"Statement":{"Effect":"Allow","Principal":{"AWS":[[]]},"Action":{}}}', '{"Statement":1}'),
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":7,"Action":7,"Condition":{"Bool":{"a":{}}}}]}',
    '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","NotAction":[[]],"Resource":{},"Condition":[]}]}',
    *('{"deadLetterTargetArn":[],"maxReceiveCount":{}}', '{"redrivePermission":[],"sourceQueueArns":{"a":1}}'),
    '{"Resources":{"A":{"Type":"AWS::SQS::Queue","Properties":[]}}}',
    '{"Resources":{"A":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":{"Ref":{}}}}}}',
    *("Resources: {A: &a {Type: *a}}", "!!python/object:os.system x", "Resources: [1]", "a: &x [*x]"),
    *("fields @message | filter (", "stats count(*) by bin(", "parse @message /(/", "2026-13-45T99:99:99Z", "http://["),
)
_HARD_NUMBERS = (
    *(-1, 0, 1, 2, 10, 11, 20, 21, 59, 899, 901, 1000, 1001, 10_001, 43_201, 1_209_601, 2**31 - 1, 2**31, -(2**31)),
    *(2**63 - 1, 2**63, -(2**63) - 1, 10**40, 0.5, -0.0, 1e308, 1e-320, 1.7976931348623157e308),
)
_OTHER_KINDS: tuple[Any, ...] = (
    *(None, True, False, 7, 1.5, "text", "", _DEEP, _NAN, [], {}, [None], [[]], [{}], {"": None}, {"a": {"b": []}}),
    *([1, "a", None], {"Key": 1, "Value": []}, ["a"] * 1200, {str(n): "v" for n in range(60)}),
)


# ---- what a request is made of


@dataclass(frozen=True)
class Change:
    """One change to a request: a member on a path is given another value, or taken away."""

    path: tuple[str | int, ...]
    value: Any


@dataclass(frozen=True)
class Draft:
    """A request before it is written: service, operation, protocol and what is changed in its members."""

    service: str
    operation: str
    kind: str
    changes: tuple[Change, ...]
    content_type: str | None = None


@lru_cache(maxsize=16)
def model(service: str) -> Any:
    """Return botocore's model of a service."""
    return botocore.session.get_session().get_service_model(service)


@lru_cache(maxsize=1024)
def _paths(service: str, operation: str) -> tuple[tuple[tuple[str | int, ...], Any, str], ...]:
    shape = model(service).operation_model(operation).input_shape
    found = [] if shape is None else list(_members(shape, (), ""))
    return tuple(found[:_MOST_PATHS])


def _members(shape: Any, path: tuple[str | int, ...], name: str) -> Iterator[tuple[tuple[str | int, ...], Any, str]]:
    if path:
        yield path, shape, name
    if len(path) >= _DEPTH:
        return
    if shape.type_name == "structure":
        for key, member in shape.members.items():
            yield from _members(member, (*path, key), key)
    elif shape.type_name == "list":
        yield from _members(shape.member, (*path, 0), name)
    elif shape.type_name == "map":
        keys = _ATTRIBUTE_NAMES[:3] if name == "Attributes" else ("key",)
        for key in keys:
            yield from _members(shape.value, (*path, key), name)


def plain(shape: Any, name: str, depth: int = 0) -> Any:
    """Return a value that would do for a member, with only what is required in it."""
    if name in SEEDS and shape.type_name in ("string", "blob"):
        return SEEDS[name][0]
    kind = shape.type_name
    if kind == "structure":
        names = shape.required_members or (list(shape.members)[:1] if depth < 2 else [])
        if name == "Code":
            names = ["ZipFile"]
        return {key: plain(shape.members[key], key, depth + 1) for key in names if depth < 6}
    if kind == "list":
        return [plain(shape.member, name, depth + 1)]
    if kind == "map":
        key = "VisibilityTimeout" if name == "Attributes" else "key"
        return {key: plain(shape.value, name, depth + 1)}
    if kind == "string":
        if shape.enum:
            return shape.enum[0]
        return "a" * max(1, int(shape.metadata.get("min", 1)))
    if kind in ("integer", "long", "float", "double"):
        return max(1, int(shape.metadata.get("min", 1)))
    return {"boolean": True, "timestamp": 1_790_000_000, "blob": "e30="}.get(kind, "a")


def _limits(shape: Any, name: str) -> list[Any]:
    """Return values of a member's own type, at its limits and beyond."""
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if shape.type_name in ("integer", "long", "float", "double"):
        return [*_HARD_NUMBERS, *(value for edge in (low, high) if edge is not None for value in (edge, edge + 1))]
    if shape.type_name == "string":
        around = [min(int(edge), 300_000) for edge in (low, high) if edge is not None]
        own = [*SEEDS.get(name, ()), *(shape.enum or ())[:8]]
        return [*_HARD_TEXTS, *own, *own, *("a" * (edge + more) for edge in around for more in (-1, 0, 1))]
    if shape.type_name == "timestamp":
        return [0, -1, 1e300, 2**40, "yesterday", "2026-11-22T06:00:00Z", "2026-13-45", 1_790_000_000, 1e15]
    if shape.type_name == "blob":
        return ["", "e30=", "@zip", "not base64!", "=", "AAAA", "é", "\x00", "A" * 9000]
    if shape.type_name == "list":
        one = plain(shape.member, name)
        return [[], [one] * 11, [one] * 101, [None], [one, one]]
    if shape.type_name == "map":
        return [{}, {"": ""}, dict.fromkeys(_ATTRIBUTE_NAMES, "x"), {"k" * 300: "v" * 300}, {"\x00": "\ud800"}]
    return [True, False]


@st.composite
def drafts(draw: st.DrawFn, service: str, operation: str) -> Draft:
    """Draw a request for an operation."""
    kind = draw(st.sampled_from(KINDS[service]))
    paths = _paths(service, operation)
    changes = []
    for _ in range(draw(st.sampled_from((0, 1, 1, 1, 2, 2, 3))) if paths else 0):
        path, shape, name = draw(st.sampled_from(paths))
        how = draw(st.integers(0, 9))
        if how == 0:
            value: Any = _MISSING
        elif how <= 6:
            value = draw(st.sampled_from(_limits(shape, name)))
        elif how == 7 and shape.type_name == "string":
            value = draw(st.text(st.characters(), max_size=20))
        elif how == 7 and shape.type_name in ("integer", "long"):
            value = draw(st.integers(-(2**70), 2**70))
        else:
            value = draw(st.sampled_from(_OTHER_KINDS))
        changes.append(Change(path, value))
    if draw(st.integers(0, 15)) == 0:
        changes.append(Change((draw(st.sampled_from(("Unknown", "", "__type", "\x00"))),), "value"))
    odd = draw(st.sampled_from((None,) * 24 + ("", "text/plain", "application/xml", "application/x-amz-json-9")))
    return Draft(service, operation, kind, tuple(changes), odd)


def members(draft: Draft, things: Mapping[str, str]) -> dict[str, Any]:
    """Return a draft's members, with the things of the world in their places."""
    shape = model(draft.service).operation_model(draft.operation).input_shape
    if shape is None:
        return {}
    given = plain(shape, "")
    for change in draft.changes:
        _put(given, shape, change.path, change.value)
    return dict(_resolved(_calm(given), things))


def _put(within: Any, shape: Any, path: tuple[str | int, ...], value: Any) -> None:
    """Put a value on a path, and what is missing on the way there."""
    for step, following in pairwise(path):
        if isinstance(step, str) and isinstance(within, dict):
            shape = shape.members.get(step) if shape.type_name == "structure" else shape.value
            if not isinstance(within.get(step), list if isinstance(following, int) else dict):
                within[step] = plain(shape, step) or ([None] if isinstance(following, int) else {})
            within = within[step]
        elif isinstance(within, list) and within:
            shape = shape.member
            if not isinstance(within[0], dict):
                within[0] = plain(shape, "")
            within = within[0]
        else:
            return
    last = path[-1]
    if isinstance(within, dict) and isinstance(last, str):
        if value is _MISSING:
            within.pop(last, None)
        else:
            within[last] = value
    elif isinstance(within, list) and isinstance(last, int):
        within[:1] = [] if value is _MISSING else [value]


def _calm(value: Any) -> Any:
    """Leave out waits that are allowed and would only take time."""
    if isinstance(value, list):
        return [_calm(one) for one in value]
    if not isinstance(value, dict):
        return value
    calm = {}
    for key, one in value.items():
        if str(key).endswith("WaitTimeSeconds") and str(one).isdecimal() and 1 <= int(one) <= 20:
            one = 0
        calm[key] = _calm(one)
    return calm


def _resolved(value: Any, things: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return things.get(value[1:], value) if value.startswith("@") else value
    if isinstance(value, list):
        return [_resolved(one, things) for one in value]
    if isinstance(value, dict):
        return {key: _resolved(one, things) for key, one in value.items()}
    return value


# ---- writing it down


@dataclass
class Wire:
    """A request as it goes out, before it is signed."""

    service: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def written(draft: Draft, things: Mapping[str, str]) -> Wire:
    """Write a draft down in its protocol."""
    operation = model(draft.service).operation_model(draft.operation)
    given = members(draft, things)
    service = _SIGNING.get(draft.service, draft.service)
    if draft.kind == REST:
        wire = _rest(service, operation, given)
    elif draft.kind == JSON:
        metadata = operation.service_model.metadata
        headers = {
            "Content-Type": f"application/x-amz-json-{metadata['jsonVersion']}",
            "X-Amz-Target": f"{metadata['targetPrefix']}.{operation.name}",
        }
        wire = Wire(service, "POST", "/", headers, _json(given))
    else:
        fields = {"Action": operation.name, "Version": operation.service_model.api_version}
        for name, value in given.items():
            _flatten(fields, name, value, (operation.input_shape.members or {}).get(name))
        body = urlencode(fields, errors="surrogatepass").encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        wire = Wire(service, "POST", "/", headers, body)
    if draft.content_type is not None:
        wire.headers["Content-Type"] = draft.content_type
    return wire


def _json(value: Any) -> bytes:
    text = json.dumps(value)
    return text.replace(f'"{_DEEP}"', "[" * 30_000 + "]" * 30_000).replace(f'"{_NAN}"', "NaN").encode()


def _rest(service: str, operation: Any, given: dict[str, Any]) -> Wire:
    path = operation.http["requestUri"]
    query: dict[str, str] = {}
    headers = {"Content-Type": "application/json"}
    body: dict[str, Any] = {}
    payload: bytes | None = None
    shape = operation.input_shape
    for name, value in given.items():
        member = shape.members.get(name) if shape is not None else None
        where = member.serialization if member is not None else {}
        label = where.get("name", name)
        text = value if isinstance(value, str) else json.dumps(value)
        if where.get("location") == "uri":
            encoded = quote(text, safe="", errors="surrogatepass")
            path = path.replace("{" + label + "}", encoded).replace("{" + label + "+}", encoded)
        elif where.get("location") == "querystring":
            query[label] = text
        elif where.get("location") == "header":
            printable = "".join(letter for letter in text if letter.isprintable())
            headers[label] = printable.encode("latin-1", "ignore").decode("latin-1")[:8000]
        elif shape.serialization.get("payload") == name:
            payload = text.encode("utf-8", "surrogatepass")
        else:
            body[label] = value
    if query:
        path += ("&" if "?" in path else "?") + urlencode(query, errors="surrogatepass", quote_via=quote)
    return Wire(service, operation.http["method"], path, headers, _json(body) if payload is None else payload)


def _flatten(into: dict[str, str], prefix: str, value: Any, shape: Any) -> None:
    flat = shape is not None and shape.serialization.get("flattened")
    if isinstance(value, dict):
        is_map = shape is not None and shape.type_name == "map"
        for number, (key, one) in enumerate(value.items(), 1):
            if is_map:
                entry = f"{prefix}.{number}" if flat else f"{prefix}.entry.{number}"
                into[f"{entry}.{shape.key.serialization.get('name', 'key')}"] = str(key)
                _flatten(into, f"{entry}.{shape.value.serialization.get('name', 'value')}", one, shape.value)
            else:
                member = shape.members.get(key) if shape is not None and shape.type_name == "structure" else None
                _flatten(into, f"{prefix}.{key}", one, member)
    elif isinstance(value, list):
        member = shape.member if shape is not None and shape.type_name == "list" else None
        for number, one in enumerate(value, 1):
            if flat:
                name = member.serialization.get("name") if member is not None else None
                base = prefix.rpartition(".")[0]
                place = f"{base}.{name}" if name and base else name or prefix
            else:
                place = f"{prefix}.member"
            _flatten(into, f"{place}.{number}", one, member)
    elif value is not None:
        into[prefix] = str(value).lower() if isinstance(value, bool) else str(value)


# ---- sending it


@dataclass
class Reply:
    """What came back, and in how many seconds."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


def signed(info: state.ServerInfo, wire: Wire, **changes: str) -> dict[str, str]:
    """Return a request's headers with its signature; `secret`, `key`, `region` and `date` may be others than right."""
    stamp = changes.get("date") or datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    region, secret = changes.get("region", info.region), changes.get("secret", info.secret_key)
    scope = f"{stamp[:8]}/{region}/{wire.service}/aws4_request"
    headers = {**wire.headers, "Host": urlsplit(info.url).netloc, "X-Amz-Date": stamp}
    path, _, query = wire.target.partition("?")
    canonical = "\n".join(
        [
            wire.method,
            quote(path, safe="/~"),
            "&".join(sorted(item if "=" in item else item + "=" for item in query.split("&"))) if query else "",
            f"host:{headers['Host']}\nx-amz-date:{stamp}\n",
            "host;x-amz-date",
            hashlib.sha256(wire.body).hexdigest(),
        ]
    )
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in (stamp[:8], region, wire.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    credential = f"Credential={changes.get('key', info.access_key)}/{scope}"
    headers["Authorization"] = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host;x-amz-date, Signature={signature}"
    return headers


@dataclass
class Target:
    """The server that is fuzzed: one connection to it, what it logs, and how many requests it has had."""

    aws: Aws
    requests: int = 0
    refused: int = 0
    read: int = 0
    _connection: http.client.HTTPConnection | None = None

    def send(self, wire: Wire) -> Reply:
        """Sign and send a request."""
        began = time.monotonic()
        for attempt in (1, 2):
            if self._connection is None:
                address = urlsplit(self.aws.info.url)
                self._connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=PATIENCE)
            try:
                self._connection.putrequest(wire.method, wire.target, skip_host=True, skip_accept_encoding=True)
                for name, value in signed(self.aws.info, wire).items():
                    self._connection.putheader(name, value.encode("latin-1"))
                self._connection.putheader("Content-Length", str(len(wire.body)))
                self._connection.endheaders(wire.body)
                answer = self._connection.getresponse()
                body = answer.read()
            except (ConnectionError, http.client.HTTPException):
                self._connection.close()
                self._connection = None
                if attempt == 2:
                    raise
                continue
            break
        self.requests += 1
        self.refused += answer.status >= 400
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, headers, body, time.monotonic() - began)

    def call(self, service: str, operation: str, **given: Any) -> dict[str, Any]:
        """Make a call in JSON and return its answer; a refusal is an empty one."""
        metadata = model(service).metadata
        if service == "lambda":
            wire = _rest(service, model(service).operation_model(operation), given)
        else:
            headers = {"X-Amz-Target": f"{metadata['targetPrefix']}.{operation}", "Content-Type": "application/json"}
            wire = Wire(_SIGNING.get(service, service), "POST", "/", headers, json.dumps(given).encode())
        reply = self.send(wire)
        return dict(json.loads(reply.body or b"{}")) if reply.status < 300 else {}

    def logged(self) -> str:
        """Return what the server has logged since the last time, as far as it is a failure."""
        data = state.log_file(self.aws.info.space).read_bytes()
        new, self.read = data[self.read :], len(data)
        text = new.decode("utf-8", "replace")
        return text if "Traceback" in text or "ERROR" in text else ""


# ---- what must not change


_VOLATILE = {
    *("State", "StateReason", "StateReasonCode", "LastUpdateStatus", "LastUpdateStatusReason", "LastModified"),
    *("LastUpdateStatusReasonCode", "StateTransitionReason", "LastProcessingResult"),
    "RevisionId",
}
"""What changes by itself, such as when a function becomes Active."""
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@dataclass
class World:
    """Queues, a function, a trigger and a topic, at which requests are aimed."""

    aws: Aws
    target: Target
    things: dict[str, str] = field(default_factory=dict)

    def make(self) -> World:
        """Make what is not there, and remove what requests have made besides."""
        aws, things = self.aws, self.things
        sqs, functions = aws.client("sqs"), aws.client("lambda")
        if not things:
            things["account"], things["role"] = aws.info.account, aws.role(QUEUE_ROLE)
            things["role_name"] = things["role"].rpartition("/")[2]
            things["topic"] = aws.client("sns").create_topic(Name="fuzz")["TopicArn"]
            things["alarm_arn"] = f"arn:aws:cloudwatch:{aws.info.region}:{aws.info.account}:alarm:alarm"
            things["zip"] = base64.b64encode(zipped("def handler(event, context): return event")).decode()
            aws.client("logs").create_log_group(logGroupName="/lab/fuzz")
            aws.client("logs").create_log_stream(logGroupName="/lab/fuzz", logStreamName="stream")
        urls = set(sqs.list_queues().get("QueueUrls", ()))
        for key, fifo in (("queue", False), ("fifo", True), ("dead", False), ("source", False)):
            if things.get(key) in urls:
                urls.discard(things[key])
                rest = {"MessageRetentionPeriod": "345600", "ReceiveMessageWaitTimeSeconds": "0"}
                sqs.set_queue_attributes(QueueUrl=things[key], Attributes=rest)
                continue
            things[key] = aws.queue(fifo=fifo)
            things[f"{key}_arn"] = aws.queue_arn(things[key])
            if key == "queue":
                for body in "abc":
                    sqs.send_message(QueueUrl=things[key], MessageBody=body)
                things["handle"] = sqs.receive_message(QueueUrl=things[key])["Messages"][0]["ReceiptHandle"]
            if key == "dead":
                policy = json.dumps({"deadLetterTargetArn": things["dead_arn"], "maxReceiveCount": 3})
                sqs.set_queue_attributes(QueueUrl=things["queue"], Attributes={"RedrivePolicy": policy})
        for url in urls:
            sqs.delete_queue(QueueUrl=url)
        names = {one["FunctionName"] for one in functions.list_functions()["Functions"]}
        for name in names - {things.get("function", "")}:
            functions.delete_function(FunctionName=name)
        if things.get("function") not in names:
            things["function"] = aws.function("def handler(event, context): return event", role=things["role"])
            functions.publish_version(FunctionName=things["function"])
            arn = functions.get_function_configuration(FunctionName=things["function"])["FunctionArn"]
            things["function_arn"] = arn
        found = {one["UUID"] for one in functions.list_event_source_mappings()["EventSourceMappings"]}
        for uuid in found - {things.get("mapping", "")}:
            aws.until(partial(self._removed, uuid))
        if things.get("mapping") not in found:
            things["mapping"] = aws.mapping(things["source"], things["function"])
            things["mapping_arn"] = functions.get_event_source_mapping(UUID=things["mapping"])["EventSourceMappingArn"]
        return self

    def _removed(self, uuid: str) -> bool:
        functions = self.aws.client("lambda")
        try:
            functions.delete_event_source_mapping(UUID=uuid)
        except functions.exceptions.ResourceNotFoundException:
            return True
        except functions.exceptions.ResourceInUseException:
            return False
        return True

    def picture(self) -> dict[str, Any]:
        """Return everything that a refused request must leave as it was."""
        call = self.target.call
        seen: dict[str, Any] = {}
        for url in call("sqs", "ListQueues").get("QueueUrls", ()):
            attributes = call("sqs", "GetQueueAttributes", QueueUrl=url, AttributeNames=["All"]).get("Attributes", {})
            attributes["messages"] = sum(int(attributes.pop(name, 0)) for name in _COUNTS)
            seen[url] = (attributes, call("sqs", "ListQueueTags", QueueUrl=url))
        for one in call("lambda", "ListFunctions")["Functions"]:
            name = one["FunctionName"]
            function = call("lambda", "GetFunction", FunctionName=name)
            configuration = function.pop("Configuration", {})
            function["kept"] = {key: value for key, value in configuration.items() if key not in _VOLATILE}
            parts = ("GetPolicy", "ListAliases", "ListVersionsByFunction", "ListFunctionEventInvokeConfigs")
            answers: dict[str, Any] = {part: call("lambda", part, FunctionName=name) for part in parts}
            answers["GetPolicy"].pop("RevisionId", None)
            answers["ListVersionsByFunction"] = len(answers["ListVersionsByFunction"].get("Versions", ()))
            seen[name] = (function, answers)
        for one in call("lambda", "ListEventSourceMappings")["EventSourceMappings"]:
            if one["State"] == "Deleting":  # it goes by itself
                continue
            kept = {key: value for key, value in one.items() if key not in _VOLATILE}
            seen[one["UUID"]] = (kept, call("lambda", "ListTags", Resource=one["EventSourceMappingArn"]))
        return seen

    def works(self) -> None:
        """Prove that a message still goes through a trigger."""
        aws = self.aws
        queue = aws.queue()
        function = aws.function("def handler(event, context): print('{}')")
        aws.mapping(queue, function)
        aws.client("sqs").send_message(QueueUrl=queue, MessageBody="x")
        aws.until(lambda: aws.printed(function))
        assert aws.counts(queue) == (0, 0)
