"""A design: a folder with a template, its handlers and a note; read, refused in a sentence, or made ready to deploy."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import templates
from ..errors import LabError
from .trade import FOLDER

DESIGNS = FOLDER / "designs"
TEMPLATE = "template.yaml"
NOTES = "notes.md"
OUTPUTS = ("QueueUrl", "DeadLetterQueueUrl")
PARAMETERS = ("Provider", "Table")
FIELDS = ("customer", "tenant", "order", "id", "type")
_SHORTEST_NOTE = 100

_WITNESS = """

# The judge's: the process ends once, after the work and before the answer.
import os as _judge_os

_judge_handler = {handler}


def {handler}(event, context):
    answer = _judge_handler(event, context)
    for record in event.get("Records", ()):
        if {mark!r} in record["body"] and record["attributes"]["ApproximateReceiveCount"] == "1":
            _judge_os._exit(1)
    return answer
"""


@dataclass(frozen=True)
class Design:
    """What somebody has designed.

    Attributes
    ----------
    name : str
        The folder's.
    folder : Path
        Where it is.
    group : str
        The field of an event that is its message group; empty for a standard queue.
    template : dict
        As it was written, its short forms spelt out.
    handlers : dict of str to str
        The code by the logical id of its function.
    files : dict of str to str
        What was read, by the names of the files.
    """

    name: str
    folder: Path
    group: str
    template: dict[str, Any] = field(repr=False)
    handlers: dict[str, str] = field(repr=False)
    files: dict[str, str] = field(repr=False)

    @property
    def digest(self) -> str:
        """A text that is another one when a file has changed."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()[:16]

    def body(self, killed: str = "") -> str:
        """Return the template as CloudFormation takes it, with the code in it.

        Parameters
        ----------
        killed : str, optional
            The event after whose first run the process ends.
        """
        resources = {}
        for name, resource in self.template["Resources"].items():
            if name in self.handlers:
                code = self.handlers[name]
                if killed:
                    function = resource["Properties"]["Handler"].partition(".")[2]
                    code += _WITNESS.format(handler=function, mark=f'"id": "{killed}"')
                resource = {**resource, "Properties": {**resource["Properties"], "Code": {"ZipFile": code}}}
            resources[name] = resource
        return json.dumps({**self.template, "Resources": resources})


def find(design: str | Path) -> Path:
    """Return the folder of a design: a path, or the letter of one of the five that come with the lab.

    Raises
    ------
    LabError
        When there is none.
    """
    folder = DESIGNS / design if isinstance(design, str) and design in ("a", "b", "c", "d", "e") else Path(design)
    if not folder.is_dir():
        raise LabError(
            f"There is no design in {str(design)!r}.", "", "Name a folder with template.yaml, or a, b, c, d or e."
        )
    return folder


def load(design: str | Path) -> Design:
    """Read a design.

    Parameters
    ----------
    design : str or Path
        Its folder, or the letter of one that comes with the lab.

    Raises
    ------
    LabError
        In a sentence, when it cannot be deployed as it is.
    """
    folder = find(design)
    name = folder.resolve().name
    files = {TEMPLATE: _read(folder, TEMPLATE), NOTES: _read(folder, NOTES)}
    if len(files[NOTES].strip()) < _SHORTEST_NOTE:
        raise LabError(
            f"{name}/{NOTES} says too little.",
            "A design that nobody explained cannot be run at night.",
            "Give it a line each for queue and group, batch, timeouts, maxReceiveCount, concurrency, idempotency.",
        )
    template = _template(name, files[TEMPLATE])
    handlers = {}
    for logical, resource in template["Resources"].items():
        if not isinstance(resource, dict) or resource.get("Type") != "AWS::Lambda::Function":
            continue
        properties = _mapping(resource.get("Properties"))
        code = properties.get("Code")
        if isinstance(code, str):
            file = code
            handlers[logical] = files[file] = _read(folder, file)
        elif isinstance(code, Mapping) and isinstance(code.get("ZipFile"), str):
            file, handlers[logical] = TEMPLATE, code["ZipFile"]
        else:
            raise LabError(
                f"{name}: the function {logical} has no code.", "", "Write Code: handler.py, a file of the design."
            )
        _check_handler(name, logical, str(properties.get("Handler", "")), file, handlers[logical])
    if not handlers:
        raise LabError(f"{name}/{TEMPLATE} makes no function.", "", "It needs an AWS::Lambda::Function.")
    return Design(name, folder, _group(name, template), template, handlers, files)


def _read(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LabError(f"The design {folder.resolve().name} has no {name}.", "", f"Write {folder / name}.") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise LabError(f"{folder / name} cannot be read: {problem}.") from None


def _template(name: str, text: str) -> dict[str, Any]:
    try:
        template = templates.read(text)
    except LabError as problem:
        raise LabError(f"{name}/{TEMPLATE}: {problem.what}") from None
    for section, wanted in (("Parameters", PARAMETERS), ("Outputs", OUTPUTS)):
        missing = [one for one in wanted if one not in _mapping(template.get(section))]
        if missing:
            why = (
                "The judge tells a design where the provider and the table are."
                if section == "Parameters"
                else ("The judge sends to the queue and counts what is in the dead-letter queue.")
            )
            raise LabError(f"{name}/{TEMPLATE} lacks {' and '.join(missing)} under {section}.", why)
    return template


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _group(name: str, template: Mapping[str, Any]) -> str:
    group = _mapping(_mapping(template.get("Metadata")).get("Till")).get("MessageGroup") or ""
    if group and group not in FIELDS:
        raise LabError(
            f"{name}: the till cannot group by {group!r}.",
            "",
            f"Metadata, Till, MessageGroup is one of {', '.join(FIELDS)}.",
        )
    return str(group)


def _check_handler(name: str, logical: str, handler: str, file: str, code: str) -> None:
    module, _, function = handler.partition(".")
    if module != "index" or not function.isidentifier():
        raise LabError(
            f"{name}: the function {logical} has the Handler {handler!r}.",
            "Code in a template becomes the one file index.py.",
            "Write Handler: index.handler.",
        )
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError) as problem:
        line = getattr(problem, "lineno", None)
        where = f" (line {line})" if line else ""
        raise LabError(f"{name}/{file} is no Python: {getattr(problem, 'msg', problem)}{where}.") from None
    made = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    made |= {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    if function not in made:
        raise LabError(f"{name}/{file} has no function {function}.", f"The template's Handler is {handler}.")
