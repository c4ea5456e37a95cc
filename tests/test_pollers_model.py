"""Pollers under random outcomes, settings and changes: no message is lost, and all who tell of it tell the same.

Queues, mappings, functions, metrics and the event feed are the real ones; handlers are played in virtual time, so that
hundreds of histories take seconds. A few histories run against the real server with real handlers too. In CI the same
ones come each time; `LAB_HYPOTHESIS=long` tries many new ones.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from helpers.local_aws import mappings_api, metrics_api, sqs_api
from helpers.local_aws.clock import Scheduler
from helpers.local_aws.errors import ApiError
from helpers.local_aws.events import Events
from helpers.local_aws.function_code import Code
from helpers.local_aws.functions import Configuration, Functions, error_payload
from helpers.local_aws.invocations import Invocation, Recipe, Result
from helpers.local_aws.mappings import Mappings
from helpers.local_aws.metrics_store import Metrics
from helpers.local_aws.pollers import Pollers
from helpers.local_aws.protocol import Call
from helpers.local_aws.queues import Queues
from helpers.local_aws.space import Identity, Space

from .conftest import Aws
from .profiles import Problems, profile
from .sqs import redrive
from .test_queues_model import StillClock

ACCOUNT, REGION = "111122223333", "us-east-1"
OPERATIONS = {**sqs_api.OPERATIONS, **mappings_api.OPERATIONS, **metrics_api.OPERATIONS}
PERFORMED = ("ok", "listed", "raise", "time out", "crash")
"""What a handler does about a message."""
FORMS: dict[str, Any] = {
    "list": None,
    "nothing": {},
    "null": None,
    "null list": {"batchItemFailures": None},
    "not a list": {"batchItemFailures": "all"},
    "unknown id": {"batchItemFailures": [{"itemIdentifier": "unknown"}]},
    "empty id": {"batchItemFailures": [{"itemIdentifier": ""}]},
    "null id": {"batchItemFailures": [{"itemIdentifier": None}]},
    "wrong key": {"batchItemFailures": [{"foo": "notvalid"}]},
    "text": "done",
}
"""What a handler returns (rows C98 to C102): the ids of the listed messages, or something else."""
ALL_DONE = ("nothing", "null", "null list")


def answer(form: str, listed: list[str]) -> Any:
    """Return what a handler returns."""
    if form == "list":
        return {"batchItemFailures": [{"itemIdentifier": one} for one in listed]}
    return FORMS[form]


@dataclass
class Run:
    """One invocation, as the function has seen it."""

    function: str
    begun: float
    ids: list[str]
    request: str
    ended: float | None = None
    failed: bool = False
    form: str = "list"
    listed: list[str] = field(default_factory=list)
    reports: bool = False

    @property
    def undone(self) -> set[str]:
        """What Lambda may not delete (rows C88 and C97 to C103)."""
        if self.failed:
            return set(self.ids)
        if not self.reports or self.form in ALL_DONE:
            return set()
        return set(self.listed if self.form == "list" else self.ids)


class Stage:
    """Environments in which handlers are played: what a message's body says happens, in virtual time."""

    def __init__(self, space: Small) -> None:
        self.space = space
        self.runs: list[Run] = []
        self.watch: list[Any] = []

    def __len__(self) -> int:
        return 0

    def retire(self, recipe: Recipe) -> None:
        """Nothing is kept."""

    def invoke(self, recipe: Recipe, invocation: Invocation) -> None:
        """Play an invocation."""
        scheduler = self.space.scheduler
        # Time passes while it runs: nothing real is waited for.
        scheduler.release()
        records = json.loads(invocation.payload)["Records"]
        run = Run(recipe.function, self.space.clock.now(), [one["messageId"] for one in records], invocation.request_id)
        self.runs.append(run)
        for watcher in self.watch:
            watcher(run, records)
        does, listed, forms, seconds = set(), [], ["list"], 0.0
        for one in records:
            body = json.loads(one["body"])
            step = min(int(one["attributes"]["ApproximateReceiveCount"]), len(body["does"])) - 1
            does.add(body["does"][step])
            seconds = max(seconds, body["seconds"])
            if body["does"][step] == "listed":
                listed.append(one["messageId"])
            if body["form"] != "list":
                forms.append(body["form"])
        run.form, run.listed = forms[-1], listed
        payload, failed = json.dumps(answer(run.form, listed)).encode(), False
        if "time out" in does or seconds > recipe.timeout:
            seconds, payload, failed = recipe.timeout, error_payload("Sandbox.Timedout", "Task timed out"), True
        elif "crash" in does:
            payload, failed = error_payload("Runtime.ExitError", "Runtime exited"), True
        elif "raise" in does:
            payload, failed = error_payload("RuntimeError", "no"), True

        def finish() -> None:
            run.ended, run.failed = self.space.clock.now(), failed
            scheduler.hold()
            invocation.finish(Result(payload, failed, seconds * 1000, b"", "stage"))

        scheduler.after(seconds, finish)


class Small:
    """A space with queues, functions on a stage, mappings, metrics and the feed."""

    def __init__(self) -> None:
        self.account, self.region, self.url, self.workdir = ACCOUNT, REGION, "http://localhost:4566", Path("unused")
        self.clock = StillClock()
        self.scheduler = Scheduler(self.clock)
        self.allowed = True
        self.permissions = SimpleNamespace(
            check=lambda *_: None, role_allows=lambda role, action, resource: self.allowed
        )
        self.keys = SimpleNamespace(check=lambda *_: None, role_may_read=lambda role, queue: True)
        space = cast(Space, self)
        self.events = Events(space)
        self.metrics = Metrics(space)
        self.queues = Queues(space)
        self.functions = Functions(space)
        self.stage = Stage(self)
        self.functions._environments = cast(Any, self.stage)
        self.mappings = Mappings(space)
        self.identity = Identity(f"arn:aws:iam::{ACCOUNT}:user/learner", "AIDAEXAMPLE", owner=True)

    def arn(self, service: str, resource: str) -> str:
        """Return an ARN of this account."""
        return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"

    def call(self, operation: str, **params: Any) -> Any:
        """Call an operation."""
        with self.scheduler.lock:
            return OPERATIONS[operation].run(Call(cast(Space, self), self.identity, operation, params))

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        assert self.scheduler.advance(self.clock.now() + seconds, 60)

    def total(self, namespace: str, name: str, dimension: str, value: str, stat: str = "Sum") -> list[float]:
        """Return a metric's values by minute, as GetMetricData gives them."""
        metric = {"Namespace": namespace, "MetricName": name, "Dimensions": [{"Name": dimension, "Value": value}]}
        query = {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}}
        end = datetime.fromtimestamp(self.clock.now() + 60, UTC)
        start = datetime.fromtimestamp(self.clock.now() - 86_400, UTC)
        found = self.call(
            "GetMetricData", MetricDataQueries=[query], StartTime=start, EndTime=end, ScanBy="TimestampAscending"
        )
        return list(found["MetricDataResults"][0]["Values"])


BODIES = st.fixed_dictionaries(
    {
        "does": st.lists(st.sampled_from(["ok", "ok", *PERFORMED]), min_size=1, max_size=3),
        "form": st.sampled_from(["list"] * 12 + list(FORMS)),
        "seconds": st.sampled_from([0.1, 0.1, 0.5, 2, 4]),
        "kind": st.sampled_from(["wanted"] * 6 + ["other"]),
    }
)
SETTINGS = st.fixed_dictionaries(
    {
        "BatchSize": st.sampled_from([1, 2, 3, 10, 10, 25]),
        "MaximumBatchingWindowInSeconds": st.sampled_from([0, 0, 0, 2, 20]),
        "FunctionResponseTypes": st.sampled_from([[], ["ReportBatchItemFailures"]]),
        "ScalingConfig": st.sampled_from([{}, {}, {"MaximumConcurrency": 2}, {"MaximumConcurrency": 3}]),
        "FilterCriteria": st.sampled_from([{}, {}, {"Filters": [{"Pattern": '{"body": {"kind": ["wanted"]}}'}]}]),
    }
)
SIDES = st.sampled_from(["f", "f", "f", "g"])


class Triggers(RuleBasedStateMachine):
    """A queue with dead letters, two functions, and a mapping of each that comes, changes and goes."""

    fifo = False
    problems: ClassVar[Problems] = Problems()

    def __init__(self) -> None:
        super().__init__()
        self.problems.found.clear()
        self.space = Small()
        self.began = self.space.clock.now()
        self.wrong: list[BaseException] = []
        self.mapped: dict[str, str] = {}
        self.uuids: list[str] = []
        self.pollers: list[Pollers] = []
        self.sent: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, str | None] = {}
        self.read = 0
        self.alive: set[str] = set()
        self.rows: list[dict[str, Any]] = []
        self.by_hand = Counter[str]()
        self.handles: list[str] = []
        self.largest = 0
        self.numbers = 0
        self.ready = False
        self.steady = True
        """Whether all handles have lasted as long as the function may run."""

    # ---- set up

    @initialize(
        most=st.sampled_from([0, 1, 2, 3]), hidden=st.sampled_from([4, 10, 30]), settings=SETTINGS, both=st.booleans()
    )
    def create(self, most: int, hidden: int, settings: dict[str, Any], both: bool) -> None:
        """Make queues, functions and the first mapping."""
        suffix = ".fifo" if self.fifo else ""
        common = {"FifoQueue": "true", "ContentBasedDeduplication": "true"} if self.fifo else {}
        self.names = {"dead": "dead" + suffix, "q": "q" + suffix}
        self.urls = {
            key: self.space.call("CreateQueue", QueueName=name, Attributes=common)["QueueUrl"]
            for key, name in self.names.items()
        }
        self.queue = self.space.queues.get(self.names["q"])
        attributes = {"VisibilityTimeout": str(hidden)}
        if most:
            attributes["RedrivePolicy"] = redrive(self.space.arn("sqs", self.names["dead"]), most)
        self.space.call("SetQueueAttributes", QueueUrl=self.urls["q"], Attributes=attributes)
        self.most = most
        for name in "fg":
            configuration = Configuration("python3.13", "role", "app.handler", timeout=3)
            self.space.functions.create(name, configuration, Code("", 0, Path("unused")))
        self.space.wait(1)
        self.space.stage.watch.append(self._begins)
        self.ready = True
        self.connect("f", settings, True)
        if both:
            self.connect("g", settings, True)

    @rule(side=SIDES, settings=SETTINGS, enabled=st.sampled_from([True, True, False]))
    def connect(self, side: str, settings: dict[str, Any], enabled: bool) -> None:
        """Create a mapping; a second one of the same queue and function is refused."""
        answer, refused = self._mapping(
            "CreateEventSourceMapping",
            settings,
            EventSourceArn=self.space.arn("sqs", self.names["q"]),
            FunctionName=side,
            Enabled=enabled,
            MetricsConfig={"Metrics": ["EventCount"]},
        )
        if side in self.mapped:
            assert refused == "ResourceConflictException" or not self.space.allowed
        elif refused is None:
            self.mapped[side] = answer["UUID"]
            self.uuids.append(answer["UUID"])
            self.pollers.append(self.space.mappings.get(answer["UUID"]).pollers)

    def _mapping(self, operation: str, settings: dict[str, Any], **params: Any) -> tuple[dict[str, Any], str | None]:
        settings = dict(settings)
        if self.fifo or not settings["MaximumBatchingWindowInSeconds"]:
            settings["MaximumBatchingWindowInSeconds"] = 0
            settings["BatchSize"] = min(10, settings["BatchSize"])
        self.largest = max(self.largest, settings["BatchSize"])
        return self._call(operation, **settings, **params)

    def _call(self, operation: str, **params: Any) -> tuple[dict[str, Any], str | None]:
        try:
            return self.space.call(operation, **params), None
        except ApiError as problem:
            return {}, problem.code

    # ---- what may happen

    @precondition(lambda self: len(self.sent) < 60)
    @rule(bodies=st.lists(BODIES, min_size=1, max_size=10), groups=st.lists(st.sampled_from("ggh"), min_size=10))
    def send(self, bodies: list[dict[str, Any]], groups: list[str]) -> None:
        """Send messages that say what is to happen to them."""
        entries: list[dict[str, Any]] = []
        for body, group in zip(bodies, groups, strict=False):
            self.numbers += 1
            text = json.dumps({**body, "number": self.numbers})
            entry = {"Id": str(len(entries)), "MessageBody": text}
            entries.append({**entry, "MessageGroupId": group} if self.fifo else entry)
        for entry in entries:
            answer = self.space.call(
                "SendMessage", QueueUrl=self.urls["q"], **{key: entry[key] for key in entry if key != "Id"}
            )
            self.sent[answer["MessageId"]] = entry

    @rule(seconds=st.sampled_from([0.2, 0.6, 1, 3, 5, 12, 31, 65]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.space.wait(seconds)

    @precondition(lambda self: self.mapped)
    @rule(settings=SETTINGS, pick=st.integers(0, 9), enabled=st.sampled_from([None, None, True, False]))
    def change(self, settings: dict[str, Any], pick: int, enabled: bool | None) -> None:
        """Update a mapping, enable or disable it."""
        side = sorted(self.mapped)[pick % len(self.mapped)]
        more: dict[str, Any] = {} if enabled is None else {"Enabled": enabled}
        self._mapping("UpdateEventSourceMapping", settings, UUID=self.mapped[side], **more)

    @precondition(lambda self: self.mapped)
    @rule(pick=st.integers(0, 9), soon=st.booleans())
    def disconnect(self, pick: int, soon: bool) -> None:
        """Delete a mapping."""
        side = sorted(self.mapped)[pick % len(self.mapped)]
        _, refused = self._call("DeleteEventSourceMapping", UUID=self.mapped[side])
        if refused is None:
            del self.mapped[side]
        if not soon:
            self.space.wait(1.1)

    @rule(side=SIDES, concurrency=st.sampled_from([None, None, 0, 1, 2, 5]))
    def reserve(self, side: str, concurrency: int | None) -> None:
        """Reserve concurrency."""
        self.space.functions.reserve(self.space.functions.get(side), concurrency)

    @rule(allowed=st.booleans())
    def allow(self, allowed: bool) -> None:
        """Take the role's rights on the queue away, or give them back."""
        self.space.allowed = allowed
        with self.space.scheduler.lock:
            self.space.mappings.wake()

    @rule(seconds=st.sampled_from([1, 4, 10, 30]))
    def configure(self, seconds: int) -> None:
        """Change the queue's visibility timeout."""
        self.steady &= seconds > 3
        self.space.call("SetQueueAttributes", QueueUrl=self.urls["q"], Attributes={"VisibilityTimeout": str(seconds)})

    @rule(delete=st.booleans())
    def meddle(self, delete: bool) -> None:
        """Receive some of the messages by hand, and perhaps delete them."""
        params = {"QueueUrl": self.urls["q"], "MaxNumberOfMessages": 3}
        for message in self.space.call("ReceiveMessage", **params).get("Messages", []):
            self.by_hand["received"] += 1
            if delete:
                self.by_hand["deleted"] += 1
                params = {"QueueUrl": self.urls["q"], "ReceiptHandle": message["ReceiptHandle"]}
                self.space.call("DeleteMessage", **params)

    # ---- what must hold

    def _begins(self, run: Run, records: list[dict[str, Any]]) -> None:
        """Check a batch when the function gets it."""
        try:
            self._check_batch(run, records)
        except BaseException as error:
            self.wrong.append(error)

    def _check_batch(self, run: Run, records: list[dict[str, Any]]) -> None:
        assert 0 < len(records) <= self.largest
        (pollers,) = (one.pollers for one in self.space.mappings if one.settings.function_arn.endswith(run.function))
        run.reports = pollers.settings.report_batch_item_failures
        assert len(set(run.ids)) == len(run.ids)
        function = self.space.functions.get(run.function)
        running = [one for one in self.space.stage.runs if one.ended is None and one.function == run.function]
        if function.reserved is not None:
            assert len(running) <= function.reserved
        if not self.fifo:
            return
        self._follow()
        for group in "gh":
            mine = [one for one in run.ids if self.groups[one] == group]
            if not mine:
                continue
            line = [one for one, its in self.groups.items() if one in self.alive and its == group]
            assert mine == line[: len(mine)], "a message has overtaken another one of its group"
            if self.steady:
                others = [one for other in running if other is not run for one in other.ids]
                assert not any(self.groups[one] == group for one in others), "two at once of a group"

    def _follow(self) -> None:
        """Read the feed: each message's life in order (received, invoked, judged, and one end)."""
        while (page := self.space.events.page(self.read))["events"]:
            assert not page["lost"]
            self.read = page["next"]
            self._follow_page(page)

    def _follow_page(self, page: dict[str, Any]) -> None:
        for values in page["events"]:
            row = dict(zip(page["columns"], values, strict=True))
            self.rows.append(row)
            event, message = row["event"], row["message"]
            if row["queue"] != self.names["q"]:
                continue
            if event == "sent":
                self.alive.add(message)
                self.groups[message] = row["group"]
            elif event in ("deleted", "dead-lettered", "expired"):
                assert message in self.alive, "a second end"
                self.alive.discard(message)
            elif event == "received":
                assert message in self.alive

    @invariant()
    def agree(self) -> None:
        """Compare what is in the queue with the feed."""
        if not self.ready:
            return
        if self.wrong:
            raise self.wrong[0]
        assert not self.problems.found
        self._follow()
        assert self.queue is not None
        assert self.queue.held == len(self.alive)

    def teardown(self) -> None:
        """Let everything come to rest; then every message has one end, and all sources agree."""
        if not self.ready or self.wrong or self.problems.found:
            return
        self.allow(True)
        for name in "fg":
            self.reserve(name, None)
        if self.queue is not None and self.queue.visibility_timeout < 3:
            self.configure(4)
        self.space.wait(2)
        for uuid in self.mapped.values():
            self._call("UpdateEventSourceMapping", UUID=uuid, Enabled=True)
        self.space.wait(60)
        enabled = [self.space.call("GetEventSourceMapping", UUID=uuid)["State"] for uuid in self.mapped.values()]
        assert all(state == "Enabled" for state in enabled)
        if enabled and self.most:
            # At worst the messages of a group fail one after the other, as often as they may.
            for _ in range(len(self.sent)):
                self.agree()
                if self.alive:
                    self.space.wait(150)
            self.agree()
            assert not self.alive, "neither done nor dead after all that time"
        for uuid in self.mapped.values():
            self.space.call("UpdateEventSourceMapping", UUID=uuid, Enabled=False)
        self.space.wait(200)
        self.agree()
        assert not self.space.scheduler.busy
        assert not any(one.in_flight for one in self.pollers), "a poller that works on nothing"
        self._check_metrics()
        self._check_ends()

    def _check_metrics(self) -> None:
        rows, space = self.rows, self.space
        seen = Counter(row["event"] for row in rows if row["queue"] == self.names["q"])
        runs = space.stage.runs
        assert all(run.ended is not None for run in runs)
        for side in "fg":
            mine = [run for run in runs if run.function == side]
            assert sum(space.total("AWS/Lambda", "Invocations", "FunctionName", side)) == len(mine)
            assert sum(space.total("AWS/Lambda", "Errors", "FunctionName", side)) == sum(run.failed for run in mine)
        told = {
            event: Counter((row["request"], row["message"]) for row in rows if row["event"] == event)
            for event in ("invoked", "succeeded", "failed")
        }
        assert told["invoked"] == Counter((run.request, one) for run in runs for one in run.ids)
        assert told["failed"] == Counter((run.request, one) for run in runs for one in run.undone)
        assert told["succeeded"] == told["invoked"] - told["failed"]
        name = self.names["q"]
        sums = {
            metric: sum(space.total("AWS/SQS", f"NumberOfMessages{metric}", "QueueName", name))
            for metric in ("Sent", "Received", "Deleted")
        }
        assert sums["Sent"] == seen["sent"] == len(self.sent)
        assert sums["Received"] == seen["received"]
        done = seen["succeeded"] + seen["filtered"] + self.by_hand["deleted"]
        assert seen["deleted"] <= sums["Deleted"] <= done
        counts = {
            metric: sum(
                sum(space.total("AWS/Lambda", f"{metric}EventCount", "EventSourceMappingUUID", uuid))
                for uuid in self.uuids
            )
            for metric in ("Polled", "FilteredOut", "Invoked", "FailedInvoke", "Deleted")
        }
        assert counts["Polled"] == seen["received"] - self.by_hand["received"]
        assert counts["FilteredOut"] == seen["filtered"]
        assert counts["Invoked"] >= seen["invoked"] + seen["throttled"]
        assert counts["FailedInvoke"] >= seen["failed"] + seen["throttled"]
        assert counts["Deleted"] == sums["Deleted"] - self.by_hand["deleted"]

    def _check_ends(self) -> None:
        ends = Counter(
            row["message"]
            for row in self.rows
            if row["event"] in ("deleted", "dead-lettered") and row["queue"] == self.names["q"]
        )
        assert not ends or max(ends.values()) == 1
        buried = {row["message"] for row in self.rows if row["event"] == "dead-lettered"}
        for key, expected in (("q", self.alive), ("dead", buried)):
            depth = self.space.total(
                "AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", self.names[key], "Maximum"
            )
            assert depth[-1] == len(expected)
            assert self._drained(key) == set(expected)
        assert set(ends) | self.alive == set(self.sent)

    def _drained(self, key: str) -> set[str]:
        attributes = {"RedrivePolicy": "", "VisibilityTimeout": "30"}
        self.space.call("SetQueueAttributes", QueueUrl=self.urls[key], Attributes=attributes)
        found: list[str] = []
        while messages := self.space.call("ReceiveMessage", QueueUrl=self.urls[key], MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in messages:
                found.append(message["MessageId"])
                handle = message["ReceiptHandle"]
                self.space.call("DeleteMessage", QueueUrl=self.urls[key], ReceiptHandle=handle)
        assert len(found) == len(set(found))
        return set(found)


class StandardTriggers(Triggers):
    """On a standard queue."""


class FifoTriggers(Triggers):
    """On a FIFO queue."""

    fifo = True


@pytest.fixture
def problems() -> Iterator[None]:
    with Triggers.problems.heard():
        yield


@pytest.mark.usefixtures("problems")
@pytest.mark.parametrize("triggers", [StandardTriggers, FifoTriggers], ids=["standard", "fifo"])
def test_every_message_ends_once_and_all_sources_agree(triggers: type[Triggers]) -> None:
    run_state_machine_as_test(triggers, settings=profile("pollers", examples=150, steps=30))


# ---- the same against the real server, with real handlers

HANDLER = """
    import json, os, time
    FORMS = json.loads(os.environ["FORMS"])
    def handler(event, context):
        does, listed, form = set(), [], "list"
        for record in event["Records"]:
            body = json.loads(record["body"])
            step = min(int(record["attributes"]["ApproximateReceiveCount"]), len(body["does"])) - 1
            does.add(body["does"][step])
            if body["does"][step] == "listed":
                listed.append({"itemIdentifier": record["messageId"]})
            if body["form"] != "list":
                form = body["form"]
        if "time out" in does:
            time.sleep(9)
        if "crash" in does:
            os._exit(3)
        if "raise" in does:
            raise RuntimeError("no")
        return {"batchItemFailures": listed} if form == "list" else FORMS[form]
"""

REAL_BODIES = st.fixed_dictionaries(
    {
        "does": st.sampled_from(
            [["ok"], ["listed"], ["raise"], ["crash"], ["raise", "ok"], ["crash", "ok"], ["time out", "ok"]]
        ),
        "form": st.sampled_from(["list"] * 12 + list(FORMS)),
    }
)


@given(
    fifo=st.booleans(),
    most=st.sampled_from([1, 2]),
    size=st.sampled_from([1, 3, 10]),
    report=st.booleans(),
    bodies=st.lists(REAL_BODIES, min_size=2, max_size=6),
    change=st.sampled_from(["nothing", "disable", "delete", "reserve"]),
)
@profile("real pollers", examples=6)
def test_real_handlers_leave_every_message_at_one_end(
    aws: Aws, fifo: bool, most: int, size: int, report: bool, bodies: list[dict[str, Any]], change: str
) -> None:
    sqs, functions = aws.client("sqs"), aws.client("lambda")
    since = aws.now()
    dead = aws.queue(fifo=fifo)
    policy = {"deadLetterTargetArn": aws.queue_arn(dead), "maxReceiveCount": most}
    url = aws.queue(fifo=fifo, VisibilityTimeout=5, RedrivePolicy=policy)
    function = aws.function(HANDLER, Timeout=1, Environment={"Variables": {"FORMS": json.dumps(FORMS)}})
    settings: dict[str, Any] = {"BatchSize": size, "FunctionResponseTypes": ["ReportBatchItemFailures"] * report}
    uuid = aws.mapping(url, function, **settings)
    entries = [{"Id": str(index), "MessageBody": json.dumps(body)} for index, body in enumerate(bodies)]
    if fifo:
        entries = [
            {**entry, "MessageGroupId": "gh"[index // 4], "MessageDeduplicationId": str(index)}
            for index, entry in enumerate(entries)
        ]
    sent = [one["MessageId"] for one in sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]]
    if change == "disable":
        functions.update_event_source_mapping(UUID=uuid, Enabled=False)
        aws.advance(3)
        functions.update_event_source_mapping(UUID=uuid, Enabled=True)
    elif change == "delete":
        functions.delete_event_source_mapping(UUID=uuid)
        aws.advance(3)
        aws.mapping(url, function, **settings)
    elif change == "reserve":
        functions.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=1)
    aws.until(lambda: aws.counts(url) == (0, 0), timeout=200, step=5)
    aws.advance(70)
    rows = _feed(aws, url.rpartition("/")[2])
    ends = {name: {row["message"] for row in rows if row["event"] == name} for name in ("deleted", "dead-lettered")}
    assert not ends["deleted"] & ends["dead-lettered"]
    assert ends["deleted"] | ends["dead-lettered"] == set(sent)
    runs: dict[str, str] = {}
    for row in rows:
        if row["event"] in ("succeeded", "failed"):
            whole = "failed" if row["event"] == "failed" and row["outcome"] != "batchItemFailures" else "ended"
            assert runs.setdefault(row["request"], whole) == whole
    assert runs.keys() == {row["request"] for row in rows if row["event"] == "invoked"}
    assert sum(aws.metric("AWS/Lambda", "Invocations", "Sum", since, FunctionName=function)) == len(runs)
    failed = sum(how == "failed" for how in runs.values())
    assert sum(aws.metric("AWS/Lambda", "Errors", "Sum", since, FunctionName=function)) == failed
    queue = {"QueueName": url.rpartition("/")[2]}
    assert sum(aws.metric("AWS/SQS", "NumberOfMessagesDeleted", "Sum", since, **queue)) == len(ends["deleted"])
    received = sum(row["event"] == "received" for row in rows)
    assert sum(aws.metric("AWS/SQS", "NumberOfMessagesReceived", "Sum", since, **queue)) == received
    queue = {"QueueName": dead.rpartition("/")[2]}
    depth = aws.metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", since, **queue)
    assert depth[-1] == aws.counts(dead)[0] == len(ends["dead-lettered"])


def _feed(aws: Aws, queue: str) -> list[dict[str, Any]]:
    """Return the event feed's rows of a queue."""
    rows: list[dict[str, Any]] = []
    after = 0
    while (page := aws.lab("GET", f"/_local/events?after={after}"))["events"]:
        rows += [dict(zip(page["columns"], values, strict=True)) for values in page["events"]]
        after = page["next"]
    return [row for row in rows if row["queue"] == queue]
