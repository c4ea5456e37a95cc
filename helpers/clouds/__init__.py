"""The two clouds behind one small protocol, and the choice between them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from ..errors import LabError


class Witness(Protocol):
    """Where the flight recorder's rows come from."""

    def watch(self, service: str, client: Any) -> None:
        """Note what a client of the lab does from now on, where rows are made of that."""

    def events(self, after: int, limit: int) -> dict[str, Any]:
        """Return rows after a number, as `recorder_feed.Source` says."""


class Cloud(Protocol):
    """One account in one Region, on AWS or on this computer.

    Attributes
    ----------
    title, account, region, endpoint : str
        What the identity card shows.
    cost : str
        What the labs can cost there, as a sentence.
    cli : str
        The shell line that points the AWS CLI at it.
    fast_forwards : bool
        Whether time can be advanced.
    phone : str
        The number to which the labs may send text messages, or nothing.
    sends_texts : bool
        Whether a text message leaves for a phone, which AWS bills.
    recorder : str
        What the learner should know of how the flight recorder sees there, as a sentence, or nothing.
    """

    title: str
    account: str
    region: str
    endpoint: str
    cost: str
    cli: str
    fast_forwards: bool
    phone: str
    sends_texts: bool
    recorder: str

    def client(self, service: str, keys: Mapping[str, str] | None = None) -> Any:
        """Return a new boto3 client; with `keys`, named as boto3 names them, that of whom they belong to."""

    def visitor(self, account: str) -> Mapping[str, str]:
        """Return the keys of a user of another account.

        Raises
        ------
        LabError
            When the cloud has none.
        """

    def now(self) -> float:
        """Return the cloud's time in seconds since the epoch."""

    def move(self, to: float, *, patience: float) -> bool:
        """Let time pass until `to`, for at most about `patience` real seconds; return whether it was reached."""

    def outbox(self) -> list[dict[str, Any]]:
        """Return the text messages that were kept instead of sent: `at`, `to`, `message`, `topicArn`."""

    def pauses(self) -> Iterator[float]:
        """Return the seconds to let pass between two looks at something that is awaited, without end."""

    def source(self, client: Callable[[str], Any], prefix: str) -> Witness:
        """Return where the flight recorder's rows come from.

        Parameters
        ----------
        client : callable
            Returns the lab's client of a service.
        prefix : str
            What the lab's names begin with.
        """


def choose(
    cloud: str | None, *, space: str, start: bool = True, environ: Mapping[str, str] = os.environ
) -> tuple[Cloud | None, str]:
    """Return the cloud to use, and a line that says why it is the local one although AWS was not ruled out.

    Parameters
    ----------
    cloud : str or None
        `auto`, `local` or `aws`; None reads `LAB_CLOUD`, whose default is `auto`.
    space : str
        The space on the local AWS.
    start : bool
        Whether to start a local AWS that does not run; without it, None comes back instead.

    Raises
    ------
    LabError
        For `aws` when the account is not named or the credentials are not its own; for any other value.
    """
    asked = cloud if cloud is not None else environ.get("LAB_CLOUD") or "auto"
    if asked not in ("auto", "local", "aws"):
        raise LabError(
            f"There is no cloud {asked!r}.",
            "",
            "LAB_CLOUD, or connect(), takes auto, local or aws; auto is what you get without it.",
        )
    note = ""
    if asked != "local":
        try:
            from . import aws

            return aws.connect(environ), ""
        except LabError as refusal:
            if asked == "aws":
                raise
            note = f"Using the local AWS. {refusal.what} {refusal.why}".strip()
    from . import local

    return local.connect(space) if start else local.find(space), note
