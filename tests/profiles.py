"""How much the property tests try: a little and always the same, or much and always something new."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, Phase, settings

LONG = os.environ.get("LAB_HYPOTHESIS") == "long"
"""Whether a long run was asked for: `LAB_HYPOTHESIS=long`."""


def profile(name: str, examples: int, steps: int = 50) -> settings:
    """Register and return the settings of a property test.

    Parameters
    ----------
    name : str
        The profile's name.
    examples : int
        Histories to try in CI, where the same ones come each time; a long run tries forty times as many new ones.
    steps : int
        Steps of a history; a long run takes twice as many.
    """
    settings.register_profile(
        name,
        max_examples=examples * 40 if LONG else examples,
        stateful_step_count=steps * 2 if LONG else steps,
        derandomize=not LONG,
        deadline=None,
        database=None,
        print_blob=LONG,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    return settings.get_profile(name)


class Problems(logging.Handler):
    """What the local AWS would only log: an action, a receiver or a listener that failed."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.found.append(self.format(record))

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listen to the local AWS's log."""
        logger = logging.getLogger("helpers.local_aws")
        logger.addHandler(self)
        yield
        logger.removeHandler(self)
