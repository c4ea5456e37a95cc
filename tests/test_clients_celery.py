"""A consumer of another make: kombu's transport for SQS, bare and under a Celery worker.

kombu alone calls through boto3; a worker's event loop writes, signs and reads its calls itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tools.environment import Environment

from .conftest import Aws

CRASHES = """
    with connection.SimpleQueue(name) as queue:
        for body in ("žluť", "second"):
            queue.put({"body": body})
        held = queue.get(timeout=10)
        print(json.dumps(held.payload), flush=True)
        os._exit(0)  # without an acknowledgement, as when a worker is killed
"""
WORKS_OFF = """
    with connection.SimpleQueue(name) as queue:
        for _ in range(2):
            message = queue.get(timeout=10)
            attributes = message.properties["delivery_info"]["sqs_message"]["Attributes"]
            print(json.dumps([message.payload, attributes["ApproximateReceiveCount"]]), flush=True)
            message.ack()
"""
TASKS = """
import os
from celery import Celery

def note(text):
    with open("notes", "a") as file:
        file.write(text + "\\n")

app = Celery("tasks", broker="sqs://")
app.conf.update(
    task_default_queue=os.environ["TASKS_QUEUE"],
    task_create_missing_queues=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    broker_transport_options={"wait_time_seconds": 1, "polling_interval": 0.05, "visibility_timeout": 90},
)

@app.task
def add(a, b):
    note(f"sum {a + b}")

@app.task(bind=True, max_retries=1)
def retries(self):
    note(f"attempt {self.request.retries}")
    raise self.retry(countdown=0)
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """Return a Python with Celery; it is fetched once."""
    return Environment().celery()


def variables(aws: Aws) -> dict[str, str]:
    """Return the environment of a program that knows the local AWS by AWS's own variables."""
    settings = {name: value for name, value in aws.info.environment().items() if value}
    return {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **settings}


def kombu(aws: Aws, python: Path, name: str, body: str) -> list[Any]:
    """Run a few lines on kombu's connection, which is led to the local AWS by its URL; return what they print."""
    opening = f"""
import json, os
from urllib.parse import quote
from kombu import Connection
name, host = {name!r}, {aws.info.url.removeprefix("http://")!r}
key, secret = {aws.info.access_key!r}, {aws.info.secret_key!r}
options = {{"is_secure": False, "region": {aws.info.region!r}, "visibility_timeout": 45, "wait_time_seconds": 1}}
with Connection(f"sqs://{{key}}:{{quote(secret, safe='')}}@{{host}}", transport_options=options) as connection:
"""
    program = opening + body
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [python, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_kombu_gets_again_what_it_has_not_acknowledged(aws: Aws, python: Path) -> None:
    name = aws.name("kombu")
    (held,) = kombu(aws, python, name, CRASHES)
    url = aws.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
    attributes = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    assert attributes["Attributes"] == {"VisibilityTimeout": "45"}
    assert sum(aws.counts(url)) == 2
    assert aws.counts(url)[1] >= 1
    aws.advance(46)
    assert aws.counts(url) == (2, 0)
    seen = kombu(aws, python, name, WORKS_OFF)
    assert sorted(payload["body"] for payload, _ in seen) == ["second", "žluť"]
    assert [held, "2"] in seen
    assert aws.counts(url) == (0, 0)


def test_a_celery_worker_runs_tasks_and_deletes_their_messages(aws: Aws, python: Path, tmp_path: Path) -> None:
    queue = aws.name("celery")
    (tmp_path / "tasks.py").write_text(TASKS)
    environment = {**variables(aws), "TASKS_QUEUE": queue}
    sends = "from tasks import add, retries; add.delay(1, 2); add.delay(20, 3); retries.delay()"
    subprocess.run([python, "-c", sends], cwd=tmp_path, env=environment, timeout=60, check=True)
    url = aws.client("sqs").get_queue_url(QueueName=queue)["QueueUrl"]
    assert aws.counts(url) == (3, 0)

    command: list[str | Path] = [
        python,
        "-m",
        "celery",
        "-A",
        "tasks",
        "worker",
        "--pool",
        "solo",
        "--loglevel",
        "INFO",
    ]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    worker = subprocess.Popen(
        [*command, *quiet], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert worker.stdout is not None
    patience = threading.Timer(40, worker.kill)
    patience.start()
    said = []
    try:
        for line in worker.stdout:
            said.append(line)
            if "MaxRetriesExceededError" in line:
                break
    finally:
        worker.terminate()
        said.append(worker.communicate()[0])
        patience.cancel()
    output = "".join(said)
    assert (tmp_path / "notes").exists(), output
    notes = (tmp_path / "notes").read_text().splitlines()
    assert sorted(notes) == ["attempt 0", "attempt 1", "sum 23", "sum 3"], output
    assert "Traceback" not in output.split("MaxRetriesExceededError")[0], output
    assert aws.counts(url) == (0, 0), output
