"""The AWS account that the learner named, and no other."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import LabError

if TYPE_CHECKING:
    from ..recorder_aws import Account

ACCOUNT_VARIABLE = "LAB_AWS_ACCOUNT"
PHONE_VARIABLE = "LAB_PHONE_NUMBER"

_HOW = f"Set {ACCOUNT_VARIABLE} to the twelve digits of the account to use."
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}


class AwsCloud:
    """A real account. `connect` makes one only after STS has confirmed its number."""

    title = "AWS"
    cost = "Requests and run time are billed by AWS. A trigger that is left behind keeps polling: run lab.cleanup()."
    fast_forwards = False
    sends_texts = True
    recorder = "Code that you upload gets some lines at its end: each run then logs its messages' ids for the recorder."

    def __init__(self, session: Any, account: str, region: str, phone: str = "") -> None:
        self._session = session
        self.phone = phone
        self.account = account
        self.region = region
        self.endpoint = f"AWS's own, in {region}"
        self.cli = f"export AWS_REGION={region}"

    def __repr__(self) -> str:
        return f"<AWS account {self.account} in {self.region}>"

    def client(self, service: str, keys: Mapping[str, str] | None = None) -> Any:
        """Return a new boto3 client of the account; with `keys`, of one of its roles."""
        return self._session.client(service, region_name=self.region, config=_config(), **(keys or {}))

    def visitor(self, account: str) -> Mapping[str, str]:
        """Refuse: no account but the named one is reached.

        Raises
        ------
        LabError
            Always.
        """
        raise LabError(
            f"There is no caller of the account {account} here.",
            f"On AWS this takes a second account of yours, and the labs reach none but {self.account}.",
            "Skip this cell, or run it on the local AWS: LAB_CLOUD=local.",
        )

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return time.time()

    def move(self, to: float, *, patience: float) -> bool:
        """Sleep until `to`, for at most `patience` seconds; return whether it was reached."""
        time.sleep(max(0.0, min(patience, to - time.time())))
        return time.time() >= to

    def source(self, client: Callable[[str], Any], prefix: str) -> Account:
        """Return the recorder that puts rows together from the lab's own calls and the functions' logs."""
        from ..recorder_aws import Account

        return Account(client, prefix)

    def outbox(self) -> list[dict[str, Any]]:
        """Return nothing: AWS sends text messages and keeps none."""
        return []

    def pauses(self) -> Iterator[float]:
        """Return 1, 2, 3, 4, 5, 5, … seconds."""
        return itertools.chain((1.0, 2.0, 3.0, 4.0), itertools.repeat(5.0))


def connect(environ: Mapping[str, str]) -> AwsCloud:
    """Return the account named in `LAB_AWS_ACCOUNT`, once STS has confirmed that the credentials are its own.

    Raises
    ------
    LabError
        When no account is named, when the credentials fail, and when they belong to another account.
    """
    named = environ.get(ACCOUNT_VARIABLE, "").strip()
    if not named:
        raise LabError(f"No AWS account is named: {ACCOUNT_VARIABLE} is not set.", "", _HOW)
    phone = environ.get(PHONE_VARIABLE, "").strip()
    if phone and not re.fullmatch(r"\+[1-9]\d{1,14}", phone, re.ASCII):
        raise LabError(
            f"{PHONE_VARIABLE} is {phone!r}, which is not a phone number as SNS takes it.",
            "",
            "Write it with its country's code and nothing but digits, such as +12065550100, or leave it out.",
        )
    if not re.fullmatch(r"\d{12}", named, re.ASCII):
        raise LabError(f"{ACCOUNT_VARIABLE} is {named!r}, which is not the number of an account.", "", _HOW)

    # boto3 is needed from here on only: who names no account never makes a session with ambient settings.
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        session = _session()
        region = environ.get("AWS_REGION") or session.region_name
        if not region:
            raise LabError(
                f"No Region is set for the account {named} that {ACCOUNT_VARIABLE} names.",
                "",
                "Set AWS_REGION, such as us-east-1.",
            )
        answer = session.client("sts", region_name=region, config=_config(quick=True)).get_caller_identity()
    except (BotoCoreError, ClientError) as problem:
        raise LabError(
            f"{ACCOUNT_VARIABLE} names the account {named}, but the credentials do not work: {_reason(problem)}.",
            "",
            "Sign in again or choose the right AWS_PROFILE, then connect again; LAB_CLOUD=local needs no account.",
        ) from None
    account = str(answer["Account"])
    if account != named:
        raise LabError(
            f"{ACCOUNT_VARIABLE} names the account {named}, but the credentials belong to the account {account}.",
            "",
            f"Choose credentials of {named}, or name {account} if that is the one you mean; nothing was touched.",
        )
    return AwsCloud(session, account, region, phone)


def _session() -> Any:
    import boto3
    import botocore.session

    session = botocore.session.Session()
    # Instance credentials are looked for once and briefly, whatever the environment says.
    session.set_config_variable("metadata_service_timeout", 1)
    session.set_config_variable("metadata_service_num_attempts", 1)
    return boto3.Session(botocore_session=session)


def _config(*, quick: bool = False) -> Any:
    from botocore.config import Config

    # An ambient endpoint could answer in the named account's place.
    config = Config(ignore_configured_endpoint_urls=True)
    if quick:
        config = config.merge(Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2}))
    return config


def _reason(problem: Exception) -> str:
    from botocore.exceptions import ClientError, NoCredentialsError, PartialCredentialsError, ProfileNotFound

    if isinstance(problem, ClientError):
        code = problem.response.get("Error", {}).get("Code", "unknown")
        return f"they have expired ({code})" if code in _EXPIRED else f"they were refused ({code})"
    if isinstance(problem, NoCredentialsError):
        return "there are none"
    if isinstance(problem, PartialCredentialsError):
        return "they are incomplete"
    if isinstance(problem, ProfileNotFound):
        return "the profile that AWS_PROFILE names is not there"
    return f"STS could not be asked ({type(problem).__name__})"
