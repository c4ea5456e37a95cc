"""The judge: deploys a design, lets five minutes of trade and their faults happen to it, and takes it away again."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import resources, stacks
from ..errors import Interrupted, LabError, is_missing
from ..messages import send_many
from ..progress import Progress
from .design import TEMPLATE, Design, load
from .provider import Provider, Remote
from .trade import OUTAGE, REHEARSAL, Trade, make

if TYPE_CHECKING:
    import pandas

    from ..lab import Lab
    from .score import Scorecard

DEADLINE = 420
"""By then the queue has to be drained, in seconds since the shop opened; from then on the provider answers at once."""
TIERS = (1, 2)
_SLICE = 1.0
_PATIENCE = 600.0
"""Seconds, on the lab's clock, after which a queue counts as never drained."""
_LOOK = 30.0
_USUAL = ("triggers", "functions", "alarms", "queues", "roles", "tables", "log groups")


@dataclass
class Facts:
    """What a run has left to look at.

    Attributes
    ----------
    opened : pandas.Timestamp
        When the shop opened.
    log : pandas.DataFrame
        The recorder's, of the queue.
    sent : dict of str to str
        The event of each message that the till sent, by the message's id.
    ledger : dict
        The provider's.
    dead : list of dict
        The bodies that were in the dead-letter queue in the end.
    stock : dict of str to int
        What the table says is left.
    alarms : list of pandas.Timestamp
        When an alarm began to ring.
    lines : list of (pandas.Timestamp, dict)
        What the functions wrote as JSON.
    rights : dict of str to list of dict
        The statements of each role, and its managed policies.
    memory : int
        Megabytes of the largest function.
    errors : list of str
        The failures in the functions' logs, as the runtime or the service wrote them.
    left : list of str
        What was still there after the stack was deleted.
    drained : bool
        Whether the queue was empty in the end.
    """

    opened: pandas.Timestamp
    log: pandas.DataFrame = field(repr=False)
    sent: dict[str, str] = field(repr=False)
    ledger: dict[str, Any] = field(repr=False)
    dead: list[dict[str, Any]] = field(repr=False)
    stock: dict[str, int]
    alarms: list[pandas.Timestamp]
    lines: list[tuple[pandas.Timestamp, dict[str, Any]]] = field(repr=False)
    rights: dict[str, list[dict[str, Any]]] = field(repr=False)
    memory: int
    drained: bool
    errors: list[str] = field(default_factory=list, repr=False)
    left: list[str] = field(default_factory=list)


def run(
    design: str | Path,
    *,
    seed: int = 1,
    tier: int = 2,
    events: int = REHEARSAL,
    lab: Lab | None = None,
    provider: str | None = None,
) -> Scorecard:
    """Deploy a design, let a day of trade happen to it, score what has become of it, and remove it.

    Parameters
    ----------
    design : str or Path
        A folder with `template.yaml`, its handlers and `notes.md`; or the letter of a design that comes with the lab.
    seed : int
        Which day of trade.
    tier : int
        1 without outage, killed environment and order; 2 with all.
    events : int
        How many messages the till sends: 400 rehearse, 6,000 are the whole trade.
    lab : Lab, optional
        Where; without it `connect()` decides.
    provider : str, optional
        Needed on a real account: the address, with its key, of a provider that Lambda can reach. It also says that you
        have agreed to pay for the run.

    Returns
    -------
    Scorecard
        A line a requirement.

    Raises
    ------
    LabError
        In a sentence, when the design cannot be run.
    """
    from .score import score
    from .workspace import keep

    if tier not in TIERS:
        raise LabError(f"There is no tier {tier!r} to run.", "", "1 and 2 are run; tier 3 is answered with the model.")
    read = load(design)
    trade = make(seed, events)
    place = lab or _connected()
    if not place._cloud.fast_forwards and provider is None:
        raise LabError(
            f"This account is real, and the judge has not been run on one: {trade.messages:,} messages, 10 minutes.",
            "Lambda there cannot reach a payment provider on this computer.",
            "Run python -m helpers.capstone.provider where Lambda reaches it; provider=ADDRESS then says you agree.",
        )
    own = Provider() if provider is None else None
    session = _Session(place, read, trade, tier, Remote(own.address if own else str(provider)))
    try:
        facts = session.run()
    except KeyboardInterrupt:
        session.remove()
        raise Interrupted(f"Stopped the run of {read.name}; what it had made is removed.") from None
    except BaseException:
        session.remove()
        raise
    finally:
        if own:
            own.close()
    card = score(read, trade, tier, facts)
    keep(card)
    return card


def _connected() -> Lab:
    from ..lab import connect

    # The notebook's own connect() has said why it is this cloud.
    with redirect_stdout(io.StringIO()):
        return connect()


class _Session:
    """One run of one design."""

    def __init__(self, lab: Lab, design: Design, trade: Trade, tier: int, provider: Remote) -> None:
        self.lab, self.design, self.trade, self.tier, self.provider = lab, design, trade, tier, provider
        self.stack = lab.name(f"capstone-{_plain(design.name)}")
        self.progress = Progress()
        self.opened = 0.0
        self.sent: dict[str, str] = {}
        self.redriven = 0
        self.queue = self.dead = ""
        self.read: list[str] = []

    # What it does

    def run(self) -> Facts:
        """Do all of it; what was made is removed when it ends well."""
        self.say("removing what an earlier run has left")
        self.remove()
        self.say("deploying the stack")
        table = resources.table(self.lab, self.stack)
        for item, packets in self.trade.stock.items():
            row = {"id": {"S": f"stock/{item}"}, "left": {"N": str(packets)}}
            self.lab.client("dynamodb").put_item(TableName=table.name, Item=row)
        self.provider.set(down=False, once=False)
        self.deploy(table.name)
        self.smoke()
        self.replay()
        self.redrive()
        facts = self.look(table.name)
        self.say("removing the stack")
        facts.left = self.remove()
        self.progress.end()
        return facts

    def deploy(self, table: str) -> None:
        """Make the stack."""
        from botocore.exceptions import ClientError

        client = self.lab.client("cloudformation")
        try:
            client.create_stack(
                StackName=self.stack,
                TemplateBody=self.design.body(self.trade.killed if self.tier > 1 else ""),
                Parameters=[
                    {"ParameterKey": "Provider", "ParameterValue": self.provider.url},
                    {"ParameterKey": "Table", "ParameterValue": table},
                ],
                Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
            )
        except ClientError as problem:
            raise LabError(
                f"CloudFormation refused the template of {self.design.name}: {problem.response['Error']['Message']}"
            ) from None
        status = self.until(lambda: self.status() if not self.status().endswith("IN_PROGRESS") else "", 600)
        if status != "CREATE_COMPLETE":
            events = stacks.events(self.lab, self.stack)
            failed = events[events["status"].str.endswith("FAILED")]
            first, reason = (self.stack, "") if failed.empty else failed[["resource", "reason"]].iloc[0]
            raise LabError(f"The stack of {self.design.name} was not made: {first} failed.", reason)
        outputs = stacks.outputs(self.lab, self.stack)
        self.queue, self.dead = outputs["QueueUrl"], outputs["DeadLetterQueueUrl"]
        fifo = self.queue.endswith(".fifo")
        if fifo != bool(self.design.group):
            raise LabError(
                f"The queue of {self.design.name} is {'FIFO' if fifo else 'a standard queue'}.",
                f"Metadata, Till, MessageGroup is {self.design.group or 'not there'!r}.",
                "A FIFO queue needs a message group, and this till sends none to a standard queue.",
            )

    def smoke(self) -> None:
        """Wait until the triggers poll, and call each function with no records: a handler that cannot start is told."""
        client = self.lab.client("lambda")
        mappings = [
            one
            for name in self.names("AWS::Lambda::Function")
            for one in client.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
        ]
        sources = {one["EventSourceArn"].rpartition(":")[2] for one in mappings}
        self.read = [url for url in self.names("AWS::SQS::Queue") if url.rpartition("/")[2] in sources]
        if self.queue not in self.read:
            raise LabError(
                f"No trigger of {self.design.name} reads the queue.", "", "Add an AWS::Lambda::EventSourceMapping."
            )

        def ready() -> bool:
            return all(client.get_event_source_mapping(UUID=one["UUID"])["State"] == "Enabled" for one in mappings)

        self.until(ready, 300)
        for name in sorted({one["FunctionArn"] for one in mappings}):
            answer = client.invoke(FunctionName=name, Payload=b'{"Records": []}')
            if "FunctionError" in answer:
                problem = json.load(answer["Payload"])
                raise LabError(
                    f"The handler of {self.design.name} cannot start: {problem.get('errorType', '')}: "
                    f"{problem.get('errorMessage', '')}",
                    "It was called with no records, before the shop opened.",
                )

    def replay(self) -> None:
        """Let the trade happen, with its faults, until nothing of it is under way."""
        now = self.lab._cloud.now()
        self.opened = math.ceil(now / 60 + 0.05) * 60.0
        queue = resources.Queue(self.queue.rpartition("/")[2], self.queue, "", lab=self.lab)
        switches = dict(zip(OUTAGE, (True, False), strict=True)) if self.tier > 1 else {}
        handovers = dict(self.trade.handovers)
        for moment in sorted({*handovers, *map(int, switches)}):
            self.move(self.opened + moment, "the shop is open")
            if moment in switches:
                self.provider.set(down=switches[moment])
            self.hand_over(queue, handovers.get(moment, []))
        self.move(self.opened + DEADLINE, "the shop has closed")
        # What is late is late: nobody has to wait for 150 ms a payment any more.
        self.provider.set(once=True)
        self.empty()

    def hand_over(self, queue: resources.Queue, events: list[dict[str, Any]]) -> None:
        """Send what has come in, each as a message of its own."""
        if not events:
            return
        group = self.design.group
        number = len(self.sent)
        report = send_many(
            queue,
            [json.dumps(event) for event in events],
            group=(lambda body: str(json.loads(body)[group])) if group else None,
            deduplication=self.ids(number) if group else None,
        )
        if report.failed:
            raise LabError(
                f"The queue of {self.design.name} refused {len(report.failed)} events: {report.failed[0].message}",
                "",
                "The longest event has about 90 KB.",
            )
        self.sent.update((message, events[place]["id"]) for place, message in report.sent.items())

    def ids(self, number: int) -> Callable[[Any], str]:
        """Return what gives each message a deduplication id of its own: a resend is a new message."""
        count = iter(range(number, number + 100_000))
        return lambda _: f"{self.trade.seed}-{next(count)}"

    def redrive(self) -> None:
        """Send the dead letters back once, as an operator does."""
        if not sum(self.depth(self.dead)):
            return
        sqs = self.lab.client("sqs")
        arns = [
            sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            for url in (self.dead, self.queue)
        ]
        sqs.start_message_move_task(SourceArn=arns[0], DestinationArn=arns[1])
        self.until(
            lambda: sqs.list_message_move_tasks(SourceArn=arns[0])["Results"][0]["Status"] != "RUNNING", 600, first=1.0
        )
        self.empty()

    def empty(self) -> None:
        """Wait until nothing is waiting or under way in a queue that is read, or for as long as makes sense."""
        with suppress(LabError):
            self.until(lambda: not any(sum(self.depth(url)) for url in self.read), _PATIENCE, first=0.0)

    # What it sees

    def look(self, table: str) -> Facts:
        """Read what has become of the trade."""
        import pandas

        self.say("reading recorder, ledger, logs and alarms")
        opened = pandas.Timestamp(self.opened, unit="s", tz="UTC")
        queue = self.queue.rpartition("/")[2]
        log = self.lab.recorder(queue=queue, since=opened.to_pydatetime())
        redriven = log[(log["event"] == "redriven") & log["outcome"].notna()]
        for new, old in zip(redriven["message"], redriven["outcome"], strict=True):
            if old in self.sent:
                self.sent[new] = self.sent[old]
                self.redriven += 1
        drained = not sum(self.depth(self.queue))
        functions = self.names("AWS::Lambda::Function")
        configurations = [self.lab.client("lambda").get_function_configuration(FunctionName=name) for name in functions]
        written = [entry for name in functions for entry in self.written(name)]
        return Facts(
            opened,
            log,
            self.sent,
            self.provider.ledger(),
            self.dead_letters(),
            self.stock(table),
            self.alarms(),
            [(moment, line) for moment, text in written if (line := _json(text))],
            {name: self.statements(name) for name in self.names("AWS::IAM::Role")},
            max(one["MemorySize"] for one in configurations),
            drained,
            [_failure(text) for _, text in written if not _json(text)],
        )

    def dead_letters(self) -> list[dict[str, Any]]:
        """Take what is in the dead-letter queue."""
        client = self.lab.client("sqs")
        found: list[dict[str, Any]] = []
        while self.depth(self.dead)[0]:
            received = client.receive_message(QueueUrl=self.dead, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in received.get("Messages", []):
                client.delete_message(QueueUrl=self.dead, ReceiptHandle=message["ReceiptHandle"])
                with suppress(ValueError):
                    body = json.loads(message["Body"])
                    found += [body] if isinstance(body, dict) else []
        return found

    def stock(self, table: str) -> dict[str, int]:
        """Return what the table says is left."""
        client = self.lab.client("dynamodb")
        rows = {
            item: client.get_item(TableName=table, Key={"id": {"S": f"stock/{item}"}}, ConsistentRead=True).get(
                "Item", {}
            )
            for item in self.trade.stock
        }
        return {item: int(float(row.get("left", {}).get("N", "0"))) for item, row in rows.items()}

    def alarms(self) -> list[pandas.Timestamp]:
        """Return when an alarm of the stack began to ring."""
        import pandas

        client = self.lab.client("cloudwatch")
        rung = []
        for name in self.names("AWS::CloudWatch::Alarm"):
            pages = client.get_paginator("describe_alarm_history").paginate(
                AlarmName=name, HistoryItemType="StateUpdate"
            )
            for page in pages:
                rung += [
                    pandas.Timestamp(item["Timestamp"]).tz_convert("UTC")
                    for item in page["AlarmHistoryItems"]
                    if item["HistorySummary"].endswith("to ALARM")
                ]
        return sorted(moment for moment in rung if moment.timestamp() >= self.opened)

    def written(self, function: str) -> list[tuple[pandas.Timestamp, str]]:
        """Return the lines in a function's log that have a reason or an error, with their times."""
        import pandas

        found = []
        try:
            pages = self.lab.client("logs").get_paginator("filter_log_events")
            for page in pages.paginate(
                logGroupName=f"/aws/lambda/{function}",
                startTime=int(self.opened * 1000),
                filterPattern='?reason ?"[ERROR]" ?"Task timed out"',
            ):
                found += [
                    (pandas.Timestamp(event["timestamp"], unit="ms", tz="UTC"), event["message"])
                    for event in page["events"]
                ]
        except Exception as problem:
            if not is_missing(problem):
                raise
        return found

    def statements(self, role: str) -> list[dict[str, Any]]:
        """Return what a role may do: its own statements, and the names of its managed policies."""
        iam = self.lab.client("iam")
        found: list[dict[str, Any]] = []
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            statements = document["Statement"]
            found += statements if isinstance(statements, list) else [statements]
        for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            arn = policy["PolicyArn"]
            if ":iam::aws:" in arn:
                found.append({"Managed": policy["PolicyName"]})
            else:
                version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
                document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
                statements = document["Statement"]
                found += statements if isinstance(statements, list) else [statements]
        return found

    def names(self, kind: str) -> list[str]:
        """Return the names of the stack's resources of a type."""
        pages = self.lab.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.stack)
        return [
            one["PhysicalResourceId"]
            for page in pages
            for one in page["StackResourceSummaries"]
            if one["ResourceType"] == kind
        ]

    def depth(self, url: str) -> tuple[int, ...]:
        """Return how many messages of a queue are waiting, in flight and delayed."""
        names = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")]
        answer = self.lab.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return tuple(int(answer[name]) for name in names)

    # Time

    def say(self, what: str) -> None:
        """Show what is being done."""
        self.progress.show(lambda: f"{self.design.name}: {what}")

    def move(self, to: float, what: str) -> None:
        """Let time pass."""
        while not self.lab._cloud.move(to, patience=_SLICE):
            self.show(what)
        self.show(what)

    def show(self, what: str) -> None:
        """Show what time it is in the shop."""
        second = max(0.0, self.lab._cloud.now() - self.opened)
        sent = f"{len(self.sent) - self.redriven:,} of {self.trade.messages:,} events sent"
        self.say(f"minute {int(second // 60)}:{int(second % 60):02}, {what}, {sent}")

    def until(self, condition: Callable[[], Any], timeout: float, *, first: float = 0.5) -> Any:
        """Let time pass until a condition holds."""
        start, pause = self.lab._cloud.now(), first
        while not (seen := condition()):
            now = self.lab._cloud.now()
            if now - start > timeout:
                raise LabError(f"Waited {timeout:.0f} s for {self.design.name}, and it did not happen.")
            self.move(now + pause, "waiting for what is under way") if self.opened else self.pass_by(now + pause)
            pause = min(_LOOK, max(0.5, pause * 2))
        return seen

    def pass_by(self, to: float) -> None:
        """Let time pass before the shop opens."""
        while not self.lab._cloud.move(to, patience=_SLICE):
            self.say("waiting for the stack")

    def status(self) -> str:
        """Return the stack's status, empty when there is none."""
        client = self.lab.client("cloudformation")
        try:
            return str(client.describe_stacks(StackName=self.stack)["Stacks"][0]["StackStatus"])
        except Exception as problem:
            if "does not exist" not in str(problem):
                raise
            return ""

    # The end

    def remove(self) -> list[str]:
        """Remove what a run has made; return what the deletion of the stack has left."""
        from ..cleanup import KINDS

        if self.status():
            self.lab.client("cloudformation").delete_stack(StackName=self.stack)
            self.until(lambda: not self.status().endswith("IN_PROGRESS"), 600)
        left = []
        # To ask each service takes its time, and most designs use none but these.
        others = any(f"AWS::{service}::" in self.design.files[TEMPLATE] for service in ("SNS", "KMS", "S3"))
        for kind in KINDS:
            if kind.name not in _USUAL and not others:
                continue
            for name, delete in kind.find(self.lab):
                if not name.rpartition("/")[2].startswith(self.stack):
                    continue
                if kind.name not in ("tables", "log groups"):
                    left.append(f"{kind.name}: {name}")
                if delete:
                    with suppress(Exception):
                        delete()
        return left


def _json(text: str) -> dict[str, Any] | None:
    """Return the object that a line of a log is; None when it is none."""
    with suppress(ValueError):
        line = json.loads(text)
        if isinstance(line, dict):
            return line
    return None


def _failure(text: str) -> str:
    """Return what a line of a log says of a failure, without what is another one in each run."""
    first = text.splitlines()[0] if text.strip() else ""
    for mark in ("[ERROR]", "Task timed out"):
        if mark in first:
            # A logger puts its time and the request's id before the message, between tabs.
            return first[first.index(mark) :].removeprefix("[ERROR]").split("\t")[-1].strip()
    return first.strip()


def _plain(name: str) -> str:
    return (
        "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower())[:20].strip("-")
        or "design"
    )
