"""Bad input: whatever comes in at the front door, it is answered, soon and in a sentence, and nothing else happens.

In CI the same few thousand requests come each time; `LAB_HYPOTHESIS=long` sends many times as many new ones.
"""

from __future__ import annotations

import json
import socket
import time
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from helpers.local_aws import frontdoor, lab_api, runtime_api, state

from . import profiles
from .conftest import ROOT, Aws
from .fuzzing import KINDS, PATIENCE, Draft, Reply, Target, Wire, World, drafts, model, signed, written
from .lambda_calls import invoke

EXAMPLES = {"sqs": 15, "lambda": 9, "cloudwatch": 20, "cloudformation": 12, "logs": 4, "sts": 15, "iam": 3, "sns": 8}
"""Requests for each operation that is offered, in CI."""
OWN_STATE = {"sqs", "lambda"}
"""The services whose refusals are held against the picture of the world."""
PATHS_OF_THIS_MACHINE = (str(ROOT), str(Path.home()), "site-packages", "Traceback", 'File "')
_READING = ("Get", "List")
_USING = ("Send", "Receive", "Change", "Invoke")


def varied(name: str) -> Callable[[Any], Any]:
    """Give each test other draws than its neighbour, in CI the same every time."""
    return (lambda test: test) if profiles.LONG else seed(zlib.crc32(name.encode()))


@pytest.fixture(scope="module")
def target(state_dir: Path) -> Target:
    """Start a local AWS of this module's own: what gets through must not meet other tests."""
    info = state.ensure("fuzz", idle_stop=600)
    return Target(Aws(info))


@pytest.fixture(scope="module")
def world(target: Target) -> World:
    return World(target.aws, target).make()


def check(target: Target, reply: Reply, about: object) -> None:
    """Check what holds for every answer."""
    shown = f"{about}: {reply.status} {reply.body[:500]!r}"
    assert reply.seconds < PATIENCE, shown
    assert reply.status < 500 or (reply.status == 501 and b"does not offer" in reply.body), shown
    text = reply.body.decode("utf-8", "replace")
    assert not [one for one in PATHS_OF_THIS_MACHINE if one in text], shown
    failure = target.logged()
    assert not failure, f"{shown}\n{failure}"
    kind = reply.headers.get("content-type", "")
    if reply.body and "json" in kind:
        json.loads(reply.body)
    elif reply.body and "xml" in kind:
        ET.fromstring(reply.body)


def offered(service: str) -> list[str]:
    """Return the operations to try: ours, or for the control plane all that the service has."""
    if service in frontdoor.OWN and service not in frontdoor.SHARED:
        return sorted(frontdoor.OWN[service])
    return sorted(model(service).operation_names)


@pytest.mark.parametrize("service", KINDS)
def test_every_operation_answers_bad_input_and_changes_nothing_when_it_refuses(
    service: str, target: Target, world: World
) -> None:
    before = world.picture() if service in OWN_STATE else None

    def send(requests: list[Draft]) -> None:
        nonlocal before
        refused: list[Draft] = []
        for draft in requests:
            reply = target.send(written(draft, world.things))
            check(target, reply, draft)
            if before is None:
                continue
            if reply.status >= 400:
                refused.append(draft)
            elif not draft.operation.startswith(_READING):
                if not draft.operation.startswith(_USING):
                    world.make()
                before = world.picture()
                refused.clear()
        if refused:
            after = world.picture()
            assert after == before, f"one of these was refused and changed something: {refused}"

    for operation in offered(service):
        together = 3 if service in OWN_STATE else 1
        examples = EXAMPLES[service] // together

        @varied(operation)
        @profiles.profile(f"fuzz-{service}", examples)
        @given(st.lists(drafts(service, operation), min_size=together, max_size=together))
        def run(requests: list[Draft]) -> None:
            send(requests)

        run()
    # What was let through may have left something for later.
    target.aws.advance(60)
    assert not target.logged()


# ---- below the operations: HTTP


_PATHS = (
    *("/", "//", "/%00", "/..%2f..%2fetc", "/?Action=ListQueues", "/?Action=%ff%fe", "/?" + "a=b&" * 3000, "*", "/é"),
    *(
        "/2015-03-31/functions",
        "/2015-03-31/functions/",
        "/2015-03-31/functions/%",
        "/2015-03-31/functions/%c3%28/invocations",
    ),
    *(
        "/2015-03-31/functions/" + "a" * 9000,
        "/2015-03-31/event-source-mappings/%0d%0aX:1",
        "http://[",
        "//[::1",
        "/#x",
    ),
    *(
        "/000000000000/q",
        "/moto-api/reset",
        "/_local/clock",
        "/_local/advance",
        "/_local/nothing",
        "/_local/events?after=x",
    ),
)
_HEADERS = (
    *(
        b"X-Amz-Target: AmazonSQS.",
        b"X-Amz-Target: \xff\xfe",
        b"X-Amz-Target:",
        b"Content-Type: \x01",
        b"X-Amz-Date: now",
    ),
    *(b"Content-Encoding: gzip", b"Content-Encoding: br", b"Expect: 100-continue", b"Connection: upgrade", b"no colon"),
    *(
        b"Host: evil.example",
        b"Host:",
        b"Origin: null",
        b"X-Long: " + b"a" * 70_000,
        b" folded: x",
        b"X-Moto-Account: 1",
    ),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Content-Length: -1", b"Content-Length: x"),
    *(b"Content-Length: 99999999999", b"Content-Length: +5", b"Content-Length: 7", b"Authorization: AWS4-HMAC-SHA256 "),
    *(
        b"Authorization: Basic x",
        b"Authorization: AWS4-HMAC-SHA256 Credential=\xff/1/2/3/aws4_request, SignedHeaders=, Signature=",
    ),
    *(b"X-Amz-Security-Token: \xe9", b"Smithy-Protocol: rpc-v2-cbor", b"X-Amz-Content-Sha256: UNSIGNED-PAYLOAD"),
)
_BODIES = (
    *(
        b"",
        b"{}",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe{}",
        b'{"a":NaN}',
        b'{"QueueName":"\\ud800"}',
        b"\x1f\x8b\x08\x00",
    ),
    *(
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"Action=ListQueues&Version=2012-11-05",
        b"Action=ListQueues&Action=%",
        b"&" * 9000,
    ),
    *(
        b"5\r\nhello\r\n0\r\n\r\n",
        b"zz\r\nhello\r\n",
        b"-5\r\n",
        b"5\r\nhel",
        b"ffffffffffffffff\r\n",
        b"0\r\n\r\n",
        b"5;x=y\r\nhello\r\n0\r\n\r\n",
    ),
    *(
        b'{"seconds":-1}',
        b'{"seconds":1e999}',
        b'{"seconds":[]}',
        b'{"to":9e99}',
        b'{"pid":1e3}',
        b'{"pid":"\\u0000"}',
        b'{"a": 1' + b"0" * 5000 + b"}",
    ),
)
_METHODS = (
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "post",
    "X" * 300,
    "GE T",
    "",
)
_SERVICES = ("sqs", "lambda", "monitoring", "logs", "sts", "iam", "sns", "cloudformation", "local-aws", "s3", "nothing")
_SIGNATURES = ("right", "right", "right", "none", "secret", "key", "region", "date", "cut", "foreign letters")


@st.composite
def raw(draw: st.DrawFn) -> tuple[Wire, dict[str, object]]:
    """Draw a request below any protocol, and how it is to be sent."""
    path = draw(st.sampled_from(("/",) * 20 + _PATHS))
    method = draw(st.sampled_from(("POST",) * 12 + _METHODS))
    body = draw(st.sampled_from(_BODIES) | st.binary(max_size=64))
    wire = Wire(draw(st.sampled_from(_SERVICES)), method, path, {}, body)
    if draw(st.booleans()):
        target = (
            "AmazonSQS.ListQueues",
            "GraniteServiceVersion20100801.ListMetrics",
            "Logs_20140328.DescribeLogGroups",
            "X",
            ".",
        )
        wire.headers["X-Amz-Target"] = draw(st.sampled_from(target))
    how: dict[str, object] = {
        "more": draw(st.just([]) | st.lists(st.sampled_from(_HEADERS), max_size=2)),
        "signature": draw(st.sampled_from(_SIGNATURES)),
        "length": draw(st.sampled_from((None,) * 9 + ("none", "short", "long"))),
        "cut": draw(st.sampled_from((None,) * 9 + ("head", "body", "hold"))),
        "twice": draw(st.booleans()),
        "version": draw(st.sampled_from(("1.1",) * 24 + ("1.0", "2.0", "9.9", "x", ""))),
    }
    return wire, how


def as_bytes(target: Target, wire: Wire, how: dict[str, object]) -> bytes:
    """Return a request as it goes over the line."""
    changes = {
        "secret": {"secret": "wrong"},
        "key": {"key": "LKIAUNKNOWN"},
        "region": {"region": "eu-west-1"},
        "date": {"date": "20010101T000000Z"},
    }.get(str(how["signature"]), {})
    headers = signed(target.aws.info, wire, **changes)
    if how["signature"] == "none":
        del headers["Authorization"]
    elif how["signature"] == "cut":
        headers["Authorization"] = headers["Authorization"][:-3]
    elif how["signature"] == "foreign letters":
        headers["Authorization"] = headers["Authorization"][:-1] + "é"
    lines = [f"{name}: {value}".encode("latin-1") for name, value in headers.items()]
    more = how["more"]
    assert isinstance(more, list)
    given_length = any(one.lower().startswith((b"content-length", b"transfer")) for one in more)
    if how["length"] != "none" and not given_length:
        shift = {"short": -1, "long": 3}.get(str(how["length"]), 0)
        lines.append(f"Content-Length: {max(0, len(wire.body) + shift)}".encode())
    head = f"{wire.method} {wire.target} HTTP/{how['version']}".encode()
    return head + b"\r\n" + b"\r\n".join([*lines, *more]) + b"\r\n\r\n" + wire.body


def exchange(target: Target, data: bytes, *, hold: bool) -> bytes:
    """Send bytes and end the sending side, or hold it open for a moment; return all that comes back."""
    address = urlsplit(target.aws.info.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=PATIENCE) as line:
        try:
            line.sendall(data)
            if hold:
                line.settimeout(0.02)
            else:
                line.shutdown(socket.SHUT_WR)
            answer = bytearray()
            while block := line.recv(65_536):
                answer += block
        except TimeoutError:
            # It may wait for what is held back, and for nothing else.
            if not hold:
                raise
            return b""
        except OSError:
            # It may close on what it has refused before it has read it.
            return b""
        return bytes(answer)


def test_whatever_comes_over_the_line_is_answered_or_closed(target: Target, world: World) -> None:
    before = world.picture()
    sent = 0

    @varied("")
    @profiles.profile("fuzz-raw", 700)
    @given(raw())
    def run(request: tuple[Wire, dict[str, object]]) -> None:
        nonlocal sent
        wire, how = request
        if wire.target == "/_local/stop":
            return
        data = as_bytes(target, wire, how)
        if how["cut"] == "head":
            data = data[: len(data) // 3]
        elif how["cut"] == "body":
            data = data[: max(1, len(data) - len(wire.body) // 2 - 1)]
        elif how["twice"]:
            data += data
        began = time.monotonic()
        answer = exchange(target, data, hold=how["cut"] == "hold")
        assert time.monotonic() - began < PATIENCE
        sent += 1
        target.requests += 1
        if answer:
            assert answer.startswith(b"HTTP/1."), answer[:200]
            status = int(answer.split(b" ", 2)[1])
            # Of HTTP's own: a version that is not spoken, and a coding that is not known.
            assert status < 500 or status in (501, 505), answer[:500]
        text = answer.decode("latin-1")
        assert not [one for one in PATHS_OF_THIS_MACHINE if one in text], text[:2000]
        failure = target.logged()
        assert not failure, failure

    run()
    world.make()
    assert {*world.picture()} == {*before}


def test_the_lab_endpoints_refuse_what_they_do_not_take(target: Target) -> None:
    values: st.SearchStrategy[Any] = st.sampled_from(
        (None, True, -1, 0.0, 1e308, 10**40, "1", "", [], {}, float("nan"), float("inf"), "\ud800")
    )
    names = st.sampled_from(("seconds", "to", "patience", "pid", "after", "limit", "\x00", ""))
    paths = sorted({(method, path) for method, path in lab_api.ENDPOINTS if path != "/_local/stop"})

    @varied("")
    @profiles.profile("fuzz-lab", 150)
    @given(
        st.sampled_from(paths),
        st.dictionaries(names, values, max_size=3),
        st.sampled_from((None, "GET", "POST", "PUT")),
    )
    def run(endpoint: tuple[str, str], body: dict[str, object], method: str | None) -> None:
        query = "?" + urlencode({name: str(value) for name, value in body.items()}, errors="replace")
        query = query if endpoint[0] == "GET" else ""
        wire = Wire("local-aws", method or endpoint[0], endpoint[1] + query, {}, json.dumps(body).encode())
        check(target, target.send(wire), wire)

    run()


@pytest.mark.parametrize(
    "request_line",
    [
        "Content-Length: -9999",
        "Content-Length: x",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked",
    ],
)
def test_a_handler_that_speaks_badly_to_its_runtime_api_harms_only_itself(target: Target, request_line: str) -> None:
    aws = target.aws
    source = f"""
        import os, socket
        def handler(event, context):
            host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
            line = socket.create_connection((host, int(port)), timeout=2)
            head = f"POST {runtime_api.PREFIX}init/error HTTP/1.1\\r\\nHost: {{host}}:{{port}}\\r\\n"
            line.sendall(head.encode() + b"{request_line}\\r\\n\\r\\n")
            try:
                return line.recv(100).decode("latin-1")
            except TimeoutError:
                return "waits"
    """
    function = aws.function(source)
    invoke(aws, function)
    assert not target.logged()


def test_after_all_this_a_message_still_goes_through_a_trigger(target: Target, world: World) -> None:
    world.works()
    assert not target.logged()
    print(f"{target.requests} requests, {target.refused} of them refused")
