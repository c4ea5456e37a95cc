"""The lines by which the flight recorder of a real account knows a run's messages, added to the code of a function.

A real account tells of a run only what its log holds. So the code that a lab's client uploads there gets a footer, at
the end of the handler's module. It wraps the handler: before a run it prints `recorder_aws.RECORD_LINE` for each
message of a queue, and after it a line for each that the answer reports as failed.

The handler keeps its name and docstring and gets the same event; its answer or its exception is what Lambda sees. An
exception's traceback begins with one frame more. Code that cannot run fails as it would without the footer: a module
with an error in its syntax is left as it is, and a handler that is missing or cannot be called is not wrapped.

Other code is left as it is too, and its runs' messages stay unknown: code from S3, images, other runtimes than Python,
a handler in a package or in no file of the zip, and what a CloudFormation template brings.
"""

from __future__ import annotations

import ast
import io
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

MARK = "# The lab has added what follows"
"""How the footer begins: a module in which this stands has it already."""

# No text over several lines: one that the module leaves open would end here.
FOOTER = f"""

{MARK}, on a real account only: its flight recorder learns from these lines
# which messages a run had. Your handler gets the same event, and its answer or its error stays what it is.
def _lab_recorded(handler):
    import functools
    import json

    def before(event):
        records = event.get("Records") if isinstance(event, dict) else None
        told = []
        for record in records if isinstance(records, list) else ():
            if record.get("eventSource") == "aws:sqs":
                attributes = record["attributes"]
                line = {{
                    "record": record["messageId"],
                    "receive_count": int(attributes["ApproximateReceiveCount"]),
                    "group": attributes.get("MessageGroupId"),
                    "queue": record["eventSourceARN"].split(":")[-1],
                    "sent_ms": int(attributes["SentTimestamp"]),
                    "first_received_ms": int(attributes["ApproximateFirstReceiveTimestamp"]),
                }}
                print(json.dumps(line))
                told.append(line["record"])
        return told

    def failed(told, answer):
        if not isinstance(answer, dict):
            return [] if answer is None else told
        items = answer.get("batchItemFailures")
        if items is None:
            return []
        known = isinstance(items, (list, tuple)) and all(isinstance(item, dict) for item in items)
        names = [item.get("itemIdentifier") for item in items] if known else [None]
        # To Lambda one name that it does not know stands for all of them.
        return names if all(name in told for name in names) else told

    def after(told, answer):
        for name in failed(told, answer):
            print(json.dumps({{"record": name, "outcome": "failed"}}))

    def quietly(tell, *about):
        try:
            return tell(*about)
        except Exception:
            return []

    @functools.wraps(handler)
    def recorded(*arguments, **named):
        told = quietly(before, *arguments[:1])
        answer = handler(*arguments, **named)
        quietly(after, told, answer)
        return answer

    return recorded


_lab_handler = __import__("os").environ.get("_HANDLER", "").rpartition(".")[2]
if callable(globals().get(_lab_handler)):
    globals()[_lab_handler] = _lab_recorded(globals()[_lab_handler])
"""
"""What is added. The handler's name is Lambda's own setting, so that a later change of it counts."""


def recorded(package: bytes, handler: str, runtime: str) -> bytes:
    """Return a zip file whose handler prints what the recorder needs, or the same one where that cannot be.

    Parameters
    ----------
    package : bytes
        A deployment package.
    handler, runtime : str
        As the function's settings have them.

    Returns
    -------
    bytes
        The same for the same package. One that has the footer, or that prints such lines itself, is not changed.
    """
    module, _, _ = handler.rpartition(".")
    if not module or not runtime.startswith("python"):
        return package
    try:
        with zipfile.ZipFile(io.BytesIO(package)) as archive:
            entries = {entry.filename: (entry, archive.read(entry)) for entry in archive.infolist()}
            whole = len(entries) == len(archive.infolist())
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError):
        return package
    name = f"{module}.py"
    if not whole or name not in entries or f"{module}/__init__.py" in entries or not _is_open(entries[name][1]):
        return package
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry, content in entries.values():
            archive.writestr(entry, content + FOOTER.encode() if entry.filename == name else content)
    return buffer.getvalue()


def is_line(text: str) -> bool:
    """Return whether a line of a log is one of the footer's.

    >>> is_line('{"record": "8f6a2b1c", "outcome": "failed"}'), is_line('{"order": 7, "total": 37.5}')
    (True, False)
    """
    return text.startswith('{"record": "')


def install(client: Any) -> None:
    """Make a client of Lambda add the footer to the code that it uploads."""
    client.meta.events.register("before-parameter-build.lambda.CreateFunction", _create)
    client.meta.events.register("before-parameter-build.lambda.UpdateFunctionCode", _update(client))


def _create(params: dict[str, Any], **_: Any) -> None:
    code = params.get("Code")
    if isinstance(code, Mapping) and isinstance(code.get("ZipFile"), bytes | bytearray):
        # The mapping is the caller's own.
        params["Code"] = {**code, "ZipFile": _changed(code["ZipFile"], params)}


def _update(client: Any) -> Any:
    from botocore.exceptions import BotoCoreError, ClientError

    def update(params: dict[str, Any], **_: Any) -> None:
        if not isinstance(params.get("ZipFile"), bytes | bytearray):
            return
        try:
            there = client.get_function_configuration(FunctionName=params.get("FunctionName"))
        except (BotoCoreError, ClientError):
            # What is wrong with the function or the caller's rights, the call itself says.
            return
        params["ZipFile"] = _changed(params["ZipFile"], there)

    return update


def _changed(package: bytes | bytearray, settings: Mapping[str, Any]) -> bytes:
    return recorded(bytes(package), str(settings.get("Handler", "")), str(settings.get("Runtime", "")))


def _is_open(source: bytes) -> bool:
    """Return whether a module can be read, and prints nothing for the recorder yet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    if MARK.encode() in source:
        return False
    return not any(
        isinstance(node, ast.Dict)
        and any(isinstance(key, ast.Constant) and key.value == "record" for key in node.keys)
        and "messageId" in ast.dump(node)
        for node in ast.walk(tree)
    )
