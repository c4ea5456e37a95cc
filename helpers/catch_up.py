"""What each notebook finds when it begins: the pipeline that the notebooks before it have built."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import resources
from .card import Card
from .errors import LabError

if TYPE_CHECKING:
    from .lab import Lab

_PAGE_WIDTH = 92

HELLO = """
def handler(event, context):
    for record in event["Records"]:
        print("received:", record["body"])
"""

ORDERS = """
import json


def handler(event, context):
    for record in event["Records"]:
        order = json.loads(record["body"])
        total = round(order["price"] * order["quantity"], 2)
        print("order", order["order"], "comes to", total)
"""

ORDERS_IN_PART = """
import json


def handler(event, context):
    failed = []
    for record in event["Records"]:
        try:
            order = json.loads(record["body"])
            total = round(order["price"] * order["quantity"], 2)
            print("order", order["order"], "comes to", total)
        except Exception as problem:
            print("message", record["messageId"], "failed:", repr(problem))
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
"""

CHARGES = """
import json
import os


def total(order):
    return round(order["price"] * order["quantity"], 2)


def handler(event, context):
    failed = []
    for record in event["Records"]:
        message, receive = record["messageId"], record["attributes"]["ApproximateReceiveCount"]
        try:
            order = json.loads(record["body"])
            amount = total(order)
            if os.environ.get("PAYMENTS") == "down":
                raise ConnectionError("payments do not answer")
            charged = {"charged": order["order"], "amount": amount}
            print(json.dumps({**charged, "message": message, "receive": receive}))
        except Exception as problem:
            print(json.dumps({"failed": message, "error": f"{type(problem).__name__}: {problem}"}))
            failed.append({"itemIdentifier": message})
    return {"batchItemFailures": failed}
"""


@dataclass(frozen=True)
class Stage:
    """How far the pipeline has come.

    Attributes
    ----------
    name : str
        What its parts are called.
    source : str
        The function's code; without it there is neither role nor function.
    batch_size : int or None
        The trigger's; without it there is no trigger.
    max_receive_count : int or None
        Of the queue's redrive policy; without it there is no dead-letter queue.
    in_part : bool
        Whether a run may report the messages that failed.
    """

    name: str
    source: str = ""
    batch_size: int | None = None
    max_receive_count: int | None = None
    in_part: bool = False


_FAILING = Stage("orders", ORDERS, batch_size=10, max_receive_count=3)
_IN_PART = Stage("orders", ORDERS_IN_PART, batch_size=10, max_receive_count=3, in_part=True)

BEFORE: dict[str, Stage | None] = {
    "00": Stage("shop", HELLO, batch_size=1),
    "01": None,
    "02": Stage("orders"),
    "03": Stage("orders", ORDERS),
    "04": Stage("orders", ORDERS, batch_size=1),
    "05": Stage("orders", ORDERS, batch_size=10),
    "06": _FAILING,
    "07": Stage("orders", CHARGES, batch_size=10, max_receive_count=3, in_part=True),
    "08": _IN_PART,
    "09": _IN_PART,
    "10": _FAILING,
    "11": None,
    "12": Stage("orders", ORDERS, batch_size=10),
    "13": _FAILING,
    "14": None,
    "16": None,
    "17": None,
    "15": Stage("orders", ORDERS, batch_size=10),
}
"""By notebook, what is there when it begins; a further notebook gets its row here."""


@dataclass(frozen=True, repr=False)
class Pipeline:
    """What was caught up with; a part that no earlier notebook makes is None.

    Attributes
    ----------
    queue, role, function, trigger : Queue, Role, Function, Trigger or None
        As `resources` returns them.
    source : str
        The function's code.
    """

    queue: resources.Queue | None = None
    role: resources.Role | None = None
    function: resources.Function | None = None
    trigger: resources.Trigger | None = None
    source: str = ""

    @property
    def dead_letters(self) -> resources.Queue | None:
        """The queue's dead-letter queue."""
        return self.queue.dead_letters if self.queue else None

    def parts(self) -> list[tuple[str, str, bool]]:
        """Return of each part its kind, its name and whether it is new."""
        named = [
            ("queue", self.queue),
            ("dead-letter queue", self.dead_letters),
            ("role", self.role),
            ("function", self.function),
        ]
        found = [(kind, part.name, part.new) for kind, part in named if part is not None]
        if self.trigger is not None:
            found.append(("trigger", f"batch size {self.trigger.batch_size}", self.trigger.new))
        return found

    def _card(self) -> Card:
        return Card("Your pipeline", [(kind, name) for kind, name, _ in self.parts()])

    def __repr__(self) -> str:
        return str(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()


def catch_up(lab: Lab, notebook: str) -> Pipeline:
    """Make what the notebooks before `notebook` have made, as far as it is not there yet, and print what.

    What is there is brought to the settings and the code that the notebook begins with.

    Parameters
    ----------
    lab : Lab
        Where.
    notebook : str
        Two digits.

    Raises
    ------
    LabError
        When there is no notebook with that number.
    """
    if notebook not in BEFORE:
        raise LabError(
            f"There is nothing to catch up with for a notebook {notebook!r}.",
            "",
            f"Write its two digits, from {min(BEFORE)} to {max(BEFORE)}.",
        )
    made = _build(lab, BEFORE[notebook])
    new = [f"{kind} ({name})" for kind, name, is_new in made.parts() if is_new]
    if not made.parts():
        print(f"Notebook {notebook} begins with nothing, so there is nothing to make.")
    elif new:
        said = f"Ready for notebook {notebook}. Made: {', '.join(new)}."
        print(textwrap.fill(said, _PAGE_WIDTH, break_on_hyphens=False, break_long_words=False))
    else:
        print(f"Ready for notebook {notebook}: everything is there.")
    return made


def _build(lab: Lab, stage: Stage | None) -> Pipeline:
    if stage is None:
        return Pipeline()
    queue = resources.queue(lab, stage.name, max_receive_count=stage.max_receive_count)
    if not stage.source:
        return Pipeline(queue)
    role = resources.role(lab, stage.name)
    function = resources.function(lab, stage.name, source=stage.source, role=role)
    if stage.batch_size is None:
        return Pipeline(queue, role, function, None, stage.source)
    trigger = resources.trigger(
        lab,
        queue=queue,
        function=function,
        batch_size=stage.batch_size,
        function_response_types=["ReportBatchItemFailures"] if stage.in_part else [],
    )
    return Pipeline(queue, role, function, trigger, stage.source)
