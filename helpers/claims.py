"""Claims about AWS, replayed: what the ledger says, what was seen in this cloud, and what finding out costs on AWS."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import facts
from .attempts import masked
from .card import Card
from .errors import LabError
from .lab import spell
from .ledger import Behaviour
from .predictions import Shown

if TYPE_CHECKING:
    from .lab import Lab

AS_CLAIMED, DIFFERS = "as claimed", "differs"
COLUMNS = ("claim", "statement", "source", "claimed", "seen", "verdict", "seconds", "dollars", "cloud", "region", "at")
"""What `Replay.export` writes."""

_STEP = 65_536
"""Bytes of payload that are one request (row G13)."""
_MEGABYTES = 128
_LONGEST_RUN = 5
"""What a run is reckoned at: a function as AWS makes it, and the timeout of the replayed one."""
_MONTH = 30 * 86_400
_ENABLING = 60
"""Seconds that AWS takes longer than the local AWS until a trigger is Enabled (row C7)."""


@dataclass
class Claim:
    """One claim, from `Replay.claim` to `saw`.

    Attributes
    ----------
    rows : tuple of Behaviour
        What the ledger says.
    runs : int
        How many runs of a function it takes at most.
    late : int
        Seconds by which AWS may be later than the local AWS.
    seconds : float or None
        How long it took on the lab's clock; None until something was seen.
    claimed, seen, verdict : str
        What the ledger says and what was seen, in words; as claimed or not.
    """

    rows: tuple[Behaviour, ...]
    runs: int
    late: int
    began: datetime
    _lab: Lab
    _show: Callable[[Claim], Shown]
    requests: int = 0
    triggers: list[datetime] = field(default_factory=list)
    seconds: float | None = None
    claimed: str = ""
    seen: str = ""
    verdict: str = ""
    at: str = ""

    @property
    def id(self) -> str:
        """The rows' ids, such as `A42, A44`."""
        return ", ".join(row.id for row in self.rows)

    def name(self, name: str) -> str:
        """Return a name, with the prefix, that no earlier try of this claim had."""
        stem, dot, _ = name.partition(".fifo")
        return self._lab.name(f"{self.rows[0].id.lower()}-{stem}-{int(self.began.timestamp()):x}{dot}")

    def saw(self, seen: Any, *, claimed: Any, unit: str = "") -> Shown:
        """Compare what was seen with what is claimed, and keep both.

        Parameters
        ----------
        seen : Any
            A text or a number; or several by their names.
        claimed : Any
            The same; or for a number the least and the greatest, as in `claimed=(9.5, 13)`.
        unit : str
            Of a number, such as `s`.
        """
        met = claimed[0] <= seen <= claimed[1] if isinstance(claimed, tuple) else seen == claimed
        self.seconds = (self._lab.now() - self.began).total_seconds()
        self.claimed, self.seen = (f"{_words(one)} {unit}".rstrip() for one in (claimed, seen))
        self.verdict = AS_CLAIMED if met else DIFFERS
        self.at = datetime.now(UTC).isoformat(timespec="seconds")
        return self._show(self)

    @property
    def longer(self) -> int:
        """Seconds by which AWS may take longer than what was counted; none where it was counted on AWS."""
        return self.late + _ENABLING * len(self.triggers) if self._lab._cloud.fast_forwards else 0

    def dollars(self, until: datetime) -> float:
        """Return what it costs on AWS at most, without any free tier, if its triggers are removed at `until`."""
        polled = sum((until - since).total_seconds() for since in self.triggers)
        polls = polled * facts.rate("trigger.idle_month").value / _MONTH
        requests = self.requests + math.ceil(polls) + 2 * self.runs
        # The dearer of the two kinds of queue, so that this is a bound.
        run = (
            facts.price("lambda.request").each + _LONGEST_RUN * _MEGABYTES / 1024 * facts.price("lambda.gb_second").each
        )
        return requests * facts.price("sqs.request_fifo").each + self.runs * run


class Replay:
    """Claims that were replayed in one cloud.

    Parameters
    ----------
    lab : Lab
        Where.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._claims: dict[str, Claim] = {}
        self._now: Claim | None = None
        lab.client("sqs").meta.events.register("before-call.sqs", self._count)
        lab.client("lambda").meta.events.register("after-call.lambda.CreateEventSourceMapping", self._note)

    def claim(self, *rows: str, runs: int = 0, late: int = 0) -> Claim:
        """Begin with a claim; whatever the lab's clients do from now on counts as its own.

        Parameters
        ----------
        *rows : str
            The ledger's rows that say it.
        runs : int
            How many runs of a function it takes at most.
        late : int
            Seconds by which AWS may be later than the local AWS.

        Raises
        ------
        LabError
            When the ledger has no such row, or none is named.
        """
        if not rows:
            raise LabError("A claim names at least one row of the ledger.", "", 'Such as replay.claim("C18").')
        said = tuple(self._lab.fidelity(row) for row in rows)
        self._now = Claim(said, runs, late, self._lab.now(), self._lab, self._shown)
        self._claims[self._now.id] = self._now
        return self._now

    @property
    def claims(self) -> list[Claim]:
        """Those of which something was seen."""
        return [claim for claim in self._claims.values() if claim.seconds is not None]

    def table(self) -> Card:
        """Return what was seen of each claim, and what that costs on AWS."""
        until = self._lab.now()
        rows = [
            (claim.id, _shorten(claim.seen), *map(_whole, (claim.verdict, _spelt(claim), _price(claim.dollars(until)))))
            for claim in self.claims
        ]
        met = sum(claim.verdict == AS_CLAIMED for claim in self.claims)
        least = round(sum(claim.seconds or 0 for claim in self.claims) / 60)
        most = least + round(sum(claim.longer for claim in self.claims) / 60)
        time = f"{least} minutes" if most == least else f"{least} to {most} minutes"
        whole = _price(sum(claim.dollars(until) for claim in self.claims))
        return Card(
            f"{met} of {len(rows)} as claimed, {self._where()}",
            rows,
            ("", "seen", "verdict", "waits on AWS", "dollars at most") if rows else (),
            f"On AWS together {time} of waiting, and at most {whole} if you clean up now."
            if rows
            else "Nothing was replayed yet.",
        )

    def export(self, file: str | None = None) -> str:
        """Return the table as CSV, without the account; or write it to a file and say so.

        Raises
        ------
        LabError
            When the file cannot be written.
        """
        content = io.StringIO()
        writer = csv.writer(content, lineterminator="\n")
        writer.writerow(COLUMNS)
        until = self._lab.now()
        for claim in self.claims:
            statements = " ".join(row.statement for row in claim.rows)
            sources = "; ".join(dict.fromkeys(row.source for row in claim.rows))
            found = (claim.claimed, claim.seen, claim.verdict, round(claim.seconds or 0, 1))
            place = (f"{claim.dollars(until):.7f}", self._lab._cloud.title, self._lab.region, claim.at)
            writer.writerow([claim.id, statements, sources, *found, *place])
        if file is None:
            return content.getvalue()
        try:
            Path(file).write_text(content.getvalue(), encoding="utf-8")
        except OSError as problem:
            raise LabError(f"{file} cannot be written: {problem.strerror}.") from None
        count = len(self.claims)
        return f"{count} claim{'' if count == 1 else 's'} in {file}: no account and no key."

    def _shown(self, claim: Claim) -> Shown:
        same = claim.verdict == AS_CLAIMED
        sources = "; ".join(dict.fromkeys(row.source for row in claim.rows))
        lines = [f"Seen: {claim.seen.rstrip('.')}."]
        if not same:
            lines.append(f"Claimed: {claim.claimed.rstrip('.')}.")
        lines.append(f"Known from: {sources}.")
        dollars = claim.dollars(self._lab.now())
        cost = f"at most {_price(dollars)}" if dollars else "and nothing whose price is counted here"
        lines.append(f"On AWS: {_spelt(claim)} of waiting, {cost}.")
        mark, colour = ("●", "#009E73") if same else ("◐", "#D55E00")
        return Shown(f"{mark} {claim.id} {claim.verdict}", tuple(lines), colour)

    def _where(self) -> str:
        return f"{self._lab._cloud.title}, {self._lab.region}, {datetime.now(UTC):%Y-%m-%d}"

    def _count(self, params: dict[str, Any], **_: Any) -> None:
        if self._now is not None:
            self._now.requests += max(1, math.ceil(len(params.get("body") or b"") / _STEP))

    def _note(self, http_response: Any, **_: Any) -> None:
        if self._now is not None and http_response.status_code < 300:
            self._now.triggers.append(self._lab.now())


def _words(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:g} to {value[1]:g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_words(one)}" for name, one in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_words, value)) or "none"
    return masked(f"{value:g}" if isinstance(value, float) else str(value))


def _shorten(text: str) -> str:
    return text if len(text) <= 64 else text[:63] + "…"


def _spelt(claim: Claim) -> str:
    least = max(1, round(claim.seconds or 0))
    return f"{spell(least)} to {_minutes(least + claim.longer)}" if claim.longer else spell(least)


def _minutes(seconds: float) -> str:
    """Return a time that is not known to the second."""
    return f"{math.ceil(seconds / 60)} min"


def _price(dollars: float) -> str:
    if not dollars:
        return "not counted"
    return f"${dollars:.6f}" if dollars < 0.01 else f"${dollars:.2f}"


def _whole(text: str) -> str:
    """Return a text that is not broken into lines."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")
