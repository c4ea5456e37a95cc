"""The local AWS, used with the flight recorder of a real account: no account, but the same calls, logs and footer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from helpers.clouds.local import LocalCloud
from helpers.recorder_aws import Account


class AsOnAws(LocalCloud):
    """The local AWS whose event feed the recorder does not get: it has to conclude the rows."""

    recorder = "as on AWS"

    def source(self, client: Callable[[str], Any], prefix: str) -> Any:
        """Return the recorder of a real account, on this cloud's time."""
        return Account(client, prefix, self.now)
