"""`make bench`: how fast and how large the local AWS is, beside its targets and beside an optional peer.

All times are the host's monotonic clock's, which the bench and the handlers share. Only one of the two servers runs at
a moment of measuring: the other one and its handlers are stopped meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psutil
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tools import bench_peer
from tools.environment import ROOT, child_environment

OUTPUT = ROOT / ".build" / "bench.json"
MEGABYTE = 2**20
KEY, SECRET, ACCOUNT, REGION = (
    "LKIABENCHBENCHBENCHB",
    "bench-bench-bench-bench-bench-bench-1234",
    "111122223333",
    "us-east-1",
)
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
POLICY = "arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"
HANDLER = """
import time, socket, json, os
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.connect(("127.0.0.1", int(os.environ["BENCH_PORT"])))
pause = float(os.environ.get("BENCH_PAUSE", "0"))
def handler(event, context):
    begun = time.monotonic()
    if pause:
        time.sleep(pause)
    ids = [record["messageId"] for record in event["Records"]]
    out.send(json.dumps([begun, time.monotonic(), ids]).encode())
"""
HELLO = """
def handler(event, context):
    for record in event["Records"]:
        print("received:", record["body"])
"""


class BenchError(Exception):
    """Something could not be measured; the text is one sentence."""


@dataclass(frozen=True)
class Handled:
    """One invocation as its handler saw it: the host's clock at its first and last line, and the message ids."""

    begun: float
    ended: float
    ids: tuple[str, ...]


class Mailbox:
    """Where the handlers report to, without a log or a file in between."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MEGABYTE)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])

    def take(self, timeout: float) -> Handled | None:
        """Return the next report, or None after `timeout` seconds."""
        self._socket.settimeout(timeout)
        try:
            begun, ended, ids = json.loads(self._socket.recv(65_536))
        except TimeoutError:
            return None
        return Handled(begun, ended, tuple(ids))

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class Subject:
    """A server that is measured.

    Parameters
    ----------
    name : str
        As the table names it.
    command : list of str
        What starts it; `{port}` stands for the port.
    environment : dict
        Variables on top of the bench's own; `{port}` as above.
    account : str
        The account's number, for ARNs.
    ours : bool
        Whether it has the lab endpoints.
    """

    def __init__(
        self, name: str, command: list[str], environment: dict[str, str], account: str, folder: Path, ours: bool
    ) -> None:
        self.name = name
        self.account = account
        self.ours = ours
        self.url = ""
        self._command = command
        self._environment = environment
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._number = 0

    def start(self) -> float:
        """Start the server; return the seconds until it has answered a first signed call."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        variables = {name: text.format(port=port) for name, text in self._environment.items()}
        sqs = self.client("sqs")
        with (self._folder / f"{self.name}.log").open("ab") as log:
            begun = time.monotonic()
            self._process = subprocess.Popen(
                [part.format(port=port) for part in self._command],
                cwd=ROOT if self.ours else self._folder,
                env=child_environment() | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while time.monotonic() < begun + 60:
            if self._process.poll() is not None:
                raise BenchError(f"{self.name} ended at its start with code {self._process.returncode}.")
            with contextlib.suppress(BotoCoreError, ClientError):
                sqs.list_queues()
                return time.monotonic() - begun
            time.sleep(0.005)
        raise BenchError(f"{self.name} did not answer within a minute.")

    def stop(self) -> None:
        """End the server and all that it has started."""
        if self._process is None:
            return
        family = self.family()
        self.resume()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait(10)
        self._process = None

    def family(self) -> list[psutil.Process]:
        """Return the server's process and those below it."""
        assert self._process is not None
        try:
            server = psutil.Process(self._process.pid)
            return [server, *server.children(recursive=True)]
        except psutil.Error:
            return []

    def suspend(self) -> None:
        """Stop the server and its handlers until `resume`."""
        if hasattr(signal, "SIGSTOP"):
            for process in self._awake():
                with contextlib.suppress(psutil.Error):
                    process.suspend()

    def resume(self) -> None:
        """Let the server go on."""
        for process in self._awake():
            with contextlib.suppress(psutil.Error):
                process.resume()

    def _awake(self) -> list[psutil.Process]:
        """Return what would take time: our server freezes its idle handlers itself, and would not expect them awake."""
        return self.family()[:1] if self.ours else self.family()

    def client(self, service: str, **options: Any) -> Any:
        """Return a plain boto3 client."""
        config = Config(retries={"total_max_attempts": 1}, proxies={}, ignore_configured_endpoint_urls=True, **options)
        return boto3.Session().client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=config,
        )

    def name_for(self, what: str) -> str:
        """Return a new name."""
        self._number += 1
        return f"bench-{what}-{self._number}"

    def queue(self) -> str:
        """Make a queue; return its URL."""
        attributes = {"VisibilityTimeout": "120"}
        return str(self.client("sqs").create_queue(QueueName=self.name_for("queue"), Attributes=attributes)["QueueUrl"])

    def pipeline(
        self, port: int, *, batch_size: int = 10, pause: float = 0.0, source: str = HANDLER
    ) -> tuple[str, str]:
        """Make a queue, a role, a function and a trigger that is Enabled; return the queue's URL and the function."""
        name, functions = self.name_for("pipeline"), self.client("lambda")
        role = self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        self.client("iam").attach_role_policy(RoleName=name, PolicyArn=POLICY)
        url = self.queue()
        arn = f"arn:aws:sqs:{REGION}:{self.account}:{url.rsplit('/', 1)[-1]}"
        functions.create_function(
            FunctionName=name,
            Runtime=f"python3.{sys.version_info[1]}",
            Role=role,
            Handler="app.handler",
            Code={"ZipFile": zipped(source)},
            Timeout=30,
            Environment={"Variables": {"BENCH_PORT": str(port), "BENCH_PAUSE": str(pause)}},
        )
        functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        made = functions.create_event_source_mapping(EventSourceArn=arn, FunctionName=name, BatchSize=batch_size)
        give_up = time.monotonic() + 30
        while functions.get_event_source_mapping(UUID=made["UUID"])["State"] != "Enabled":
            if time.monotonic() > give_up:
                raise BenchError(f"The trigger of {self.name} did not become Enabled.")
            time.sleep(0.05)
        return url, name

    def drop(self, url: str, function: str) -> None:
        """Remove a pipeline, so that its pollers take no time from the next measure."""
        functions = self.client("lambda")
        for mapping in functions.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]:
            functions.delete_event_source_mapping(UUID=mapping["UUID"])
        functions.delete_function(FunctionName=function)
        self.client("sqs").delete_queue(QueueUrl=url)


def zipped(source: str) -> bytes:
    """Return a deployment package with one module `app`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", source)
    return buffer.getvalue()


# The measures: each takes a running subject and returns figures by name.


def memory(subject: Subject, mailbox: Mailbox, scale: float) -> dict[str, float]:
    """Do the calls of the first lab, then read the resident memory of the server and of an idle environment."""
    from helpers.local_aws.client import lab_request
    from helpers.local_aws.state import ServerInfo

    url, function = subject.pipeline(mailbox.port, batch_size=1, source=HELLO)
    functions, iam = subject.client("lambda"), subject.client("iam")
    sqs, logs, watch = subject.client("sqs"), subject.client("logs"), subject.client("cloudwatch")
    group = f"/aws/lambda/{function}"
    for number in range(6):
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"hello": number}))
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        with contextlib.suppress(ClientError):
            if len(logs.filter_log_events(logGroupName=group, filterPattern='"received"')["events"]) >= 6:
                break
        time.sleep(0.1)
    if subject.ours:
        info = ServerInfo(subject.url, KEY, SECRET, subject.account, REGION, "bench", 0, 0.0)
        lab_request(info, "POST", "/_local/advance", {"seconds": 120})
    functions.update_function_code(FunctionName=function, ZipFile=zipped(HELLO))
    functions.get_waiter("function_updated_v2").wait(FunctionName=function, WaiterConfig={"Delay": 1})
    functions.invoke(FunctionName=function, Payload=json.dumps({"Records": [{"body": "{}"}]}))
    sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    iam.list_attached_role_policies(RoleName=function)
    for listing in (sqs.list_queues, functions.list_functions, iam.list_roles, logs.describe_log_groups):
        listing()
    now = time.time()
    watch.get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Invocations",
        Dimensions=[{"Name": "FunctionName", "Value": function}],
        StartTime=now - 600,
        EndTime=now + 600,
        Period=60,
        Statistics=["Sum"],
    )
    time.sleep(1)
    subject.client("sts").get_caller_identity()
    server, *others = subject.family()
    sizes = []
    for process in others:
        with contextlib.suppress(psutil.Error):
            sizes.append(process.memory_info().rss / MEGABYTE)
    figures = {"server_mb": server.memory_info().rss / MEGABYTE}
    if sizes:
        figures["environment_mb"] = max(sizes)
    subject.drop(url, function)
    return figures


def cold(subject: Subject, mailbox: Mailbox, scale: float) -> dict[str, float]:
    """Take the time from before a send to the first line of a handler that has never run."""
    times = []
    for _ in range(3 if scale < 1 else 5):
        url, function = subject.pipeline(mailbox.port)
        sqs = subject.client("sqs")
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        times.append(_one_message(subject, sqs, url, mailbox))
        subject.drop(url, function)
    return {"cold_ms": statistics.median(times)}


def warm(subject: Subject, mailbox: Mailbox, scale: float) -> dict[str, float]:
    """Take the time from before a send to the handler's first line, one message in flight."""
    url, function = subject.pipeline(mailbox.port)
    sqs = subject.client("sqs")
    for _ in range(20):
        _one_message(subject, sqs, url, mailbox)
        time.sleep(0.01)
    times = []
    for _ in range(int(500 * scale)):
        times.append(_one_message(subject, sqs, url, mailbox))
        time.sleep(0.01)
    subject.drop(url, function)
    cuts = statistics.quantiles(times, n=100)
    return {"p50_ms": cuts[49], "p95_ms": cuts[94], "p99_ms": cuts[98]}


def _one_message(subject: Subject, sqs: Any, url: str, mailbox: Mailbox) -> float:
    begun = time.monotonic()
    sent = sqs.send_message(QueueUrl=url, MessageBody="x")["MessageId"]
    while (report := mailbox.take(30)) is not None:
        if sent in report.ids:
            return (report.begun - begun) * 1000
    raise BenchError(f"A message did not reach its handler in {subject.name} within 30 s.")


def throughput(subject: Subject, mailbox: Mailbox, scale: float) -> dict[str, float]:
    """Send 2,000 messages in batches of 10 with one client; take the time until the last handler's last line."""
    rounds = []
    url, function = subject.pipeline(mailbox.port)
    sqs = subject.client("sqs")
    _one_message(subject, sqs, url, mailbox)
    for _ in range(3):
        missing: set[str] = set()
        begun = time.monotonic()
        for number in range(int(200 * scale)):
            entries = [{"Id": str(index), "MessageBody": f"{number} {index}"} for index in range(10)]
            answer = sqs.send_message_batch(QueueUrl=url, Entries=entries)
            missing.update(entry["MessageId"] for entry in answer["Successful"])
        sent, count = time.monotonic() - begun, len(missing)
        last = begun
        while missing:
            report = mailbox.take(60)
            if report is None:
                raise BenchError(f"{len(missing)} messages did not reach their handler in {subject.name} within 60 s.")
            missing.difference_update(report.ids)
            last = max(last, report.ended)
        done = max(sent, last - begun)
        rounds.append((count / done, done / sent))
        time.sleep(1)
    subject.drop(url, function)
    rate, ratio = sorted(rounds)[1]
    return {"messages_per_s": rate, "done_to_sent": ratio}


def concurrency(subject: Subject, mailbox: Mailbox, scale: float) -> dict[str, float]:
    """Send 100 messages to a handler of 100 ms, one a batch; return how many ran at once at most."""
    url, function = subject.pipeline(mailbox.port, batch_size=1, pause=0.1)
    sqs = subject.client("sqs")
    for number in range(10):
        entries = [{"Id": str(index), "MessageBody": f"{number} {index}"} for index in range(10)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
    edges: list[tuple[float, int]] = []
    while len(edges) < 200:
        report = mailbox.take(30)
        if report is None:
            raise BenchError(f"Some of 100 messages did not reach their handler in {subject.name} within 30 s.")
        edges += [(report.begun, 1), (report.ended, -1)]
    subject.drop(url, function)
    running = most = 0
    for _, step in sorted(edges):
        running += step
        most = max(most, running)
    return {"concurrency": most}


def depth(subject: Subject, mailbox: Mailbox, scale: float) -> dict[str, float]:
    """Take the time of a receive and a delete with 100 and with 50,000 messages in the queue, in turns."""
    sqs = subject.client("sqs")
    shallow, deep = subject.queue(), subject.queue()
    for url, wanted in ((shallow, 100), (deep, int(50_000 * scale))):
        for _ in range(wanted // 10):
            entries = [{"Id": str(index), "MessageBody": "x" * 100} for index in range(10)]
            sqs.send_message_batch(QueueUrl=url, Entries=entries)
    times: dict[str, list[float]] = {shallow: [], deep: []}
    for _ in range(100):
        for url, taken in times.items():
            begun = time.monotonic()
            (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            taken.append((time.monotonic() - begun) * 1000)
            sqs.send_message(QueueUrl=url, MessageBody="x" * 100)
    for url in times:
        sqs.delete_queue(QueueUrl=url)
    at_100 = statistics.median(times[shallow])
    return {"receive_delete_ms": at_100, "depth_ratio": statistics.median(times[deep]) / at_100}


MEASURES: tuple[tuple[str, Callable[[Subject, Mailbox, float], dict[str, float]]], ...] = (
    ("cold first message", cold),
    ("warm messages", warm),
    ("2,000 messages", throughput),
    ("100 handlers of 100 ms", concurrency),
    ("50,000 messages in a queue", depth),
)


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes
    ----------
    key, title, unit : str
        The figure, and how it is shown.
    limit : float, optional
        What the figure may be at most, or at least if `more`.
    share : float, optional
        What its ratio to the peer's figure may be at most, or at least if `more`.
    """

    key: str
    title: str
    unit: str
    limit: float | None = None
    share: float | None = None
    more: bool = False

    def target(self) -> str:
        """Return the targets in words."""
        sign = ">=" if self.more else "<="
        parts = [] if self.limit is None else [f"{sign} {self.limit:g} {self.unit}".rstrip()]
        if self.share is not None:
            parts.append(f"{sign} {self.share:g} x peer")
        return ", ".join(parts)

    def verdict(self, ours: float, peer: float | None) -> str:
        """Return `met`, `missed`, or nothing where there is no target."""
        bounds = [] if self.limit is None else [self.limit]
        if self.share is not None and peer is not None:
            bounds.append(self.share * peer)
        if not bounds:
            return ""
        return "met" if all(ours >= bound if self.more else ours <= bound for bound in bounds) else "missed"


LINES = (
    Line("start_s", "server start to first answer", "s", limit=1.0),
    Line("cold_ms", "cold first message", "ms", limit=150, share=0.5),
    Line("p50_ms", "warm send -> handler, p50", "ms", limit=4, share=1.0),
    Line("p95_ms", "warm send -> handler, p95", "ms"),
    Line("p99_ms", "warm send -> handler, p99", "ms", limit=10, share=0.2),
    Line("messages_per_s", "2,000 messages in batches of 10", "/s", share=2.0, more=True),
    Line("done_to_sent", "the same: all processed / sending", "x", limit=1.1),
    Line("concurrency", "100 handlers of 100 ms: at once", "", limit=6, more=True),
    Line("receive_delete_ms", "receive + delete at 100 messages", "ms"),
    Line("depth_ratio", "the same at 50,000 / at 100", "x", limit=1.2),
    Line("server_mb", "server after the first lab's work", "MB", limit=100),
    Line("environment_mb", "an idle environment", "MB", limit=20),
)


@dataclass
class Result:
    """The figures of both sides by key."""

    ours: dict[str, float] = field(default_factory=dict)
    peer: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        """Return the table's lines."""
        rows = []
        for line in LINES:
            ours, peer = self.ours.get(line.key), self.peer.get(line.key)
            rows.append(
                {
                    "key": line.key,
                    "measure": line.title,
                    "unit": line.unit,
                    "target": line.target(),
                    "ours": ours,
                    "peer": peer,
                    "ratio": ours / peer if ours is not None and peer else None,
                    "verdict": "" if ours is None else line.verdict(ours, peer),
                }
            )
        return rows

    def table(self) -> str:
        """Return the table as Markdown."""
        head = ("measure", "target", "ours", "peer", "ours / peer", "verdict")
        cells = [head]
        for row in self.rows():
            shown = [_figure(row[side], row["unit"]) for side in ("ours", "peer")]
            cells.append((row["measure"], row["target"], *shown, _figure(row["ratio"], ""), row["verdict"]))
        widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
        lines = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
            for line in cells
        ]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join([*lines, *self.notes])


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()


def subjects(folder: Path, *, with_peer: bool) -> tuple[list[Subject], str]:
    """Return the local AWS and, where it can be had, the peer; and why not."""
    ours = Subject(
        "the local AWS",
        [sys.executable, "-m", "helpers.local_aws", "serve", "--space", "bench", "--port", "{port}"],
        {
            "LAB_STATE_DIR": str(folder / "state"),
            "LOCAL_AWS_ACCESS_KEY_ID": KEY,
            "LOCAL_AWS_SECRET_ACCESS_KEY": SECRET,
            "LOCAL_AWS_ACCOUNT": ACCOUNT,
            "LOCAL_AWS_REGION": REGION,
        },
        ACCOUNT,
        folder,
        ours=True,
    )
    if not with_peer:
        return [ours], "The peer was left out, so its column and the comparisons with it are empty."
    program, why = bench_peer.find()
    if program is None:
        return [ours], why
    variables = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": "{port}", "TMPDIR": str(folder), "HOME": str(folder)}
    return [ours, Subject(bench_peer.NAME, [str(program)], variables, "000000000000", folder, ours=False)], ""


@contextlib.contextmanager
def _started(all_of_them: list[Subject]) -> Iterator[None]:
    try:
        yield
    finally:
        for subject in all_of_them:
            subject.stop()


def measure(all_of_them: list[Subject], scale: float) -> Result:
    """Measure everything; the subjects take turns at each measure."""
    result = Result()
    sides = list(zip(all_of_them, (result.ours, result.peer), strict=False))
    mailbox = Mailbox()
    with _started(all_of_them), contextlib.closing(mailbox):
        for subject, figures in sides:
            print(f"{subject.name}: starts, memory …", flush=True)
            starts = []
            for again in range(3):
                starts.append(subject.start())
                if not again:
                    figures.update(memory(subject, mailbox, scale))
                subject.stop()
            figures["start_s"] = statistics.median(starts)
        for subject, _ in sides:
            subject.start()
            # What a server does in the background after its start is no part of what follows.
            time.sleep(1)
            subject.suspend()
        for title, function in MEASURES:
            for subject, figures in sides:
                print(f"{subject.name}: {title} …", flush=True)
                subject.resume()
                while mailbox.take(0.2) is not None:
                    continue
                figures.update(function(subject, mailbox, scale))
                subject.suspend()
    return result


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table and write `.build/bench.json`."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--no-peer", action="store_true", help="measure the local AWS alone")
    parser.add_argument("--quick", action="store_true", help="a tenth of the messages, to see whether it runs")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        found, why = subjects(folder, with_peer=not options.no_peer)
        begun = time.time()
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        result = measure(found, 0.1 if options.quick else 1.0)
    except BenchError as problem:
        print(f"{problem} The server's log:", *_tail(folder), sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing was written.", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if why:
        result.notes.append(f"\n{why}")
    if load > (os.cpu_count() or 1) / 2:
        result.notes.append(f"\nThe machine was busy with other work (load {load:.1f}): expect p95 and p99 to be high.")
    print(f"\n{result.table()}")
    report = {
        "date": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(begun)),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "load_before": round(load, 2),
        "peer": f"{bench_peer.NAME} {bench_peer.VERSION}" if len(found) > 1 else None,
        "quick": options.quick,
        "rows": result.rows(),
    }
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\nThe figures are in {OUTPUT.relative_to(ROOT)}; docs/BENCH.md says how to read them.")
    return 0


def _tail(folder: Path) -> list[str]:
    lines: list[str] = []
    for log in sorted(folder.glob("*.log")):
        lines += log.read_text(errors="replace").splitlines()[-15:]
    return lines


if __name__ == "__main__":
    sys.exit(main())
