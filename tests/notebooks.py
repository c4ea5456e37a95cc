"""Run a lab notebook as a learner does: as it stands, with wrong answers before the right one, or another way."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import jmespath
import nbformat
from botocore.config import Config
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from tools.environment import ROOT

FOLDER = ROOT / "notebooks"
SECONDS_PER_CELL = 60


def tagged(cell: Any, kind: str) -> str | None:
    """Return the exercise's id if the cell carries the tag `kind:id`."""
    for tag in cell.metadata.get("tags", []):
        if tag.startswith(f"{kind}:"):
            return str(tag.partition(":")[2])
    return None


def solutions(notebook: Any) -> dict[str, str]:
    """Return each exercise's solution: the code in its collapsed block, as a reader can open it."""
    found = {}
    for cell in notebook.cells:
        exercise = tagged(cell, "solution")
        if exercise:
            found[exercise] = "\n\n".join(re.findall(r"```python\n(.*?)```", cell.source, re.DOTALL))
    return found


@dataclass
class Run:
    """What a run left.

    Attributes
    ----------
    notebook : NotebookNode
        With its outputs.
    verdicts : dict
        What each exercise's check said, attempt by attempt.
    """

    notebook: Any
    verdicts: dict[str, list[str]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All text outputs, in order."""
        return "\n".join(text for cell in self.notebook.cells for text in texts(cell))

    @property
    def warnings(self) -> list[str]:
        """What cells wrote to standard error, which a learner sees in red."""
        outputs = [output for cell in self.notebook.cells for output in cell.get("outputs", [])]
        return [output["text"] for output in outputs if output.get("name") == "stderr"]


def texts(cell: Any) -> list[str]:
    """Return the text outputs of a cell."""
    return [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", [])]


@dataclass
class Session:
    """A notebook that is open in a kernel.

    Attributes
    ----------
    notebook : NotebookNode
        Its cells.
    execute : callable
        Runs the cell at an index and returns it, with its outputs.
    interrupt : callable
        Interrupts the kernel, as the stop button does.
    """

    notebook: Any
    execute: Callable[[int], Any]
    interrupt: Callable[[], None]


@contextmanager
def session(name: str, state_dir: Path, space: str = "") -> Iterator[Session]:
    """Open a notebook in a fresh kernel.

    Parameters
    ----------
    name : str
        The notebook's file name without its ending.
    state_dir : Path
        Where its local AWS keeps its state; an empty folder makes the run cold.
    space : str, optional
        Its space; without one, a space of its own.
    """
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    manager: KernelManager = KernelManager(kernel_name="python3")
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=SECONDS_PER_CELL,
        store_widget_state=False,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "LAB_"))}
    environment |= {"LAB_STATE_DIR": str(state_dir), "LAB_SPACE": space or f"{name}-test"}
    with client.setup_kernel(env=environment):
        yield Session(
            notebook,
            lambda index: client.execute_cell(notebook.cells[index], index),
            manager.interrupt_kernel,
        )


def run(name: str, state_dir: Path, attempts: Mapping[str, Sequence[str]] | None = None, space: str = "") -> Run:
    """Run a notebook from a fresh kernel.

    Parameters
    ----------
    name, state_dir, space
        As for `session`.
    attempts : mapping, optional
        By exercise, the code to stand in its cell, attempt after attempt. Before each further attempt the cells tagged
        `start:` with the exercise's id are run again, and after each one the check.
    """
    with session(name, state_dir, space) as opened:
        notebook, execute = opened.notebook, opened.execute
        result = Run(notebook)
        starts: dict[str, list[int]] = {}
        tried: dict[str, list[str]] = {}
        position: dict[str, int] = {}
        for index, cell in enumerate(notebook.cells):
            if exercise := tagged(cell, "start"):
                starts.setdefault(exercise, []).append(index)
            if exercise := tagged(cell, "exercise"):
                position[exercise] = index
                tried[exercise] = list((attempts or {}).get(exercise, ()))
                if tried[exercise]:
                    cell.source = tried[exercise].pop(0)
            execute(index)
            if exercise := tagged(cell, "check"):
                verdicts = result.verdicts.setdefault(exercise, [])
                verdicts.append(texts(cell)[-1])
                for answer in tried[exercise]:
                    for start in starts.get(exercise, ()):
                        execute(start)
                    notebook.cells[position[exercise]].source = answer
                    execute(position[exercise])
                    verdicts.append(texts(execute(index))[-1])
        return result


LISTINGS: dict[str, tuple[str, str, str]] = {
    "queues": ("sqs", "list_queues", "QueueUrls"),
    "functions": ("lambda", "list_functions", "Functions[].FunctionName"),
    "event source mappings": ("lambda", "list_event_source_mappings", "EventSourceMappings[].UUID"),
    "roles": ("iam", "list_roles", "Roles[].RoleName"),
    "policies": ("iam", "list_policies", "Policies[?starts_with(Arn, 'arn:aws:iam::aws:') == `false`].Arn"),
    "log groups": ("logs", "describe_log_groups", "logGroups[].logGroupName"),
    "alarms": ("cloudwatch", "describe_alarms", "MetricAlarms[].AlarmName"),
    "topics": ("sns", "list_topics", "Topics[].TopicArn"),
    "stacks": ("cloudformation", "describe_stacks", "Stacks[?StackStatus != 'DELETE_COMPLETE'].StackName"),
    "buckets": ("s3", "list_buckets", "Buckets[].Name"),
    "tables": ("dynamodb", "list_tables", "TableNames"),
    "keys": ("kms", "list_keys", "Keys[].KeyId"),
    "aliases": ("kms", "list_aliases", "Aliases[?starts_with(AliasName, 'alias/aws/') == `false`].AliasName"),
}


def left(state_dir: Path) -> dict[str, list[str]]:
    """Return what is still there by kind, as a plain client lists it: nothing of the labs' own takes part.

    Parameters
    ----------
    state_dir : Path
        Where the one local AWS that was used keeps its state.
    """
    (file,) = state_dir.glob("*.json")
    server = json.loads(file.read_text(encoding="utf-8"))
    config = Config(proxies={}, ignore_configured_endpoint_urls=True)
    found = {}
    for kind, (service, operation, path) in LISTINGS.items():
        client = boto3.Session().client(
            service,
            endpoint_url=server["url"],
            region_name=server["region"],
            aws_access_key_id=server["access_key"],
            aws_secret_access_key=server["secret_key"],
            config=config,
        )
        names = jmespath.search(path, getattr(client, operation)()) or []
        if kind == "keys":
            # KMS deletes none sooner than after seven days.
            states = {name: client.describe_key(KeyId=name)["KeyMetadata"]["KeyState"] for name in names}
            names = [name for name in names if states[name] != "PendingDeletion"]
        if names:
            found[kind] = names
    return found
