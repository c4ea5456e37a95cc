"""The local AWS: the only module outside `local_aws` that knows of it."""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import LabError
from ..local_aws import state
from ..local_aws.client import lab_request
from ..local_aws.errors import ApiError


def _gone() -> LabError:
    return LabError(
        "The local AWS of this notebook has ended, and it is empty when it starts again.",
        "",
        "Run the notebook from the top: connect() starts it and the cells below rebuild what was there.",
    )


class LocalCloud:
    """The local AWS of one space.

    Parameters
    ----------
    server : ServerInfo
        The running server.
    """

    title = "local AWS, on this computer"
    cost = "Nothing, and no AWS account is touched."
    fast_forwards = True
    # One of the numbers that are set aside for fiction.
    phone = "+12065550100"
    sends_texts = False
    recorder = ""

    def __init__(self, server: state.ServerInfo) -> None:
        self._server = server
        self.account = server.account
        self.region = server.region
        self.endpoint = server.url
        self.cli = f'eval "$(python -m helpers.local_aws env --space {shlex.quote(server.space)})"'
        self._session = _closed_session(server)
        self._call("POST", "/_local/clients", {"pid": os.getpid()})

    def __repr__(self) -> str:
        return f"<local AWS at {self.endpoint}, space {self._server.space}>"

    def client(self, service: str, keys: Mapping[str, str] | None = None) -> Any:
        """Return a new boto3 client that reaches this server and nothing else; with `keys`, that of their owner."""
        from botocore.config import Config

        # An empty mapping, unlike None, also turns off the proxies of the environment.
        config = Config(proxies={}, connect_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
        client = self._session.client(
            service, endpoint_url=self.endpoint, region_name=self.region, config=config, **(keys or {})
        )
        client.meta.events.register_first("needs-retry", self._notice_end)
        return client

    def visitor(self, account: str) -> Mapping[str, str]:
        """Return the keys of a user of another account, whose own policies count as if they allowed everything."""
        made = self._call("POST", "/_local/visitors", {"account": account})
        return {"aws_access_key_id": made["accessKeyId"], "aws_secret_access_key": made["secretAccessKey"]}

    def now(self) -> float:
        """Return the space's time in seconds since the epoch."""
        return float(self._call("GET", "/_local/clock")["now"])

    def move(self, to: float, *, patience: float) -> bool:
        """Advance the space's clock to `to`, for at most `patience` real seconds; return whether it was reached."""
        answer = self._call("POST", "/_local/advance", {"to": to, "patience": patience}, timeout=patience + 60)
        return bool(answer["reached"])

    def outbox(self) -> list[dict[str, Any]]:
        """Return the text messages that SNS would have sent, oldest first."""
        messages: list[dict[str, Any]] = self._call("GET", "/_local/outbox")["messages"]
        return messages

    def pauses(self) -> Iterator[float]:
        """Return 0, which lets running handlers end, then 1, 1, 2, 4, … 60, 60, … seconds."""
        return itertools.chain((0.0, 1.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0), itertools.repeat(60.0))

    def source(self, client: Callable[[str], Any], prefix: str) -> LocalCloud:
        """Return this cloud: its server knows all that happens in it."""
        return self

    def watch(self, service: str, client: Any) -> None:
        """Do nothing: the server itself notes what clients do."""

    def events(self, after: int, limit: int) -> dict[str, Any]:
        """Return the event feed's rows after a number, as `GET /_local/events` does."""
        return self._call("GET", f"/_local/events?after={after}&limit={limit}")

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, timeout: float = 60
    ) -> dict[str, Any]:
        try:
            return lab_request(self._server, method, path, body, timeout=timeout)
        except OSError as problem:
            if not self._lives():
                raise _gone() from None
            raise LabError(f"The local AWS at {self.endpoint} does not answer: {problem}.", "", "Try again.") from None
        except ApiError as refusal:
            raise LabError(refusal.message) from None

    def _lives(self) -> bool:
        present = state.find(self._server.space)
        return present is not None and (present.pid, present.url) == (self._server.pid, self._server.url)

    def _notice_end(self, caught_exception: Exception | None = None, **_: Any) -> None:
        if caught_exception is not None and not self._lives():
            raise _gone() from None


def connect(space: str) -> LocalCloud:
    """Return the local AWS of a space, started if it does not run.

    Raises
    ------
    LabError
        When it does not start.
    """
    try:
        return LocalCloud(state.ensure(space))
    except state.ServerError as problem:
        raise LabError(str(problem)) from None


def find(space: str) -> LocalCloud | None:
    """Return the local AWS of a space if it runs.

    Raises
    ------
    LabError
        When the state of the servers cannot be read.
    """
    try:
        server = state.find(space)
    except state.ServerError as problem:
        raise LabError(str(problem)) from None
    return LocalCloud(server) if server is not None else None


def _closed_session(server: state.ServerInfo) -> Any:
    """Return a boto3 session that reads no environment variable, no configuration file and no profile."""
    import boto3
    import botocore.session
    from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, ConfigChainFactory, ConstantProvider

    session = botocore.session.Session()
    settings = session.get_component("config_store")
    chains = ConfigChainFactory(session=session, environ={})
    for name, (_, _, default, conversion) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items():
        chain = chains.create_config_chain(instance_name=name, default=default, conversion_func=conversion)
        settings.set_config_provider(name, chain)
    for name, value in {
        "config_file": os.devnull,
        "credentials_file": os.devnull,
        "s3": None,
        "proxies_config": None,
    }.items():
        settings.set_config_provider(name, ConstantProvider(value))
    return boto3.Session(
        botocore_session=session,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        aws_account_id=server.account,
        region_name=server.region,
    )
