"""Claims: seen beside claimed, the bound on what it costs on AWS, and an export without an account."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers import facts
from helpers.claims import AS_CLAIMED, DIFFERS, Replay
from helpers.errors import LabError
from helpers.lab import Lab

ACCOUNT = "123456789012"


class _Client:
    """A client whose calls are told to whoever has registered."""

    def __init__(self) -> None:
        self.listeners: dict[str, Any] = {}
        self.meta = SimpleNamespace(
            service_model=SimpleNamespace(service_name="x"),
            events=SimpleNamespace(register=lambda event, listener: self.listeners.update({event: listener})),
        )

    def send(self, size: int = 10) -> None:
        self.listeners["before-call.sqs"](params={"body": b"x" * size})

    def trigger(self, status: int = 202) -> None:
        listen = self.listeners["after-call.lambda.CreateEventSourceMapping"]
        listen(http_response=SimpleNamespace(status_code=status))


class _Cloud:
    """A cloud whose clock is a number."""

    title, account, region = "AWS", ACCOUNT, "eu-west-1"
    fast_forwards = False

    def __init__(self) -> None:
        self.time = 1_700_000_000.0
        self.clients: dict[str, _Client] = {}

    def client(self, service: str, *_: Any) -> Any:
        return self.clients.setdefault(service, _Client())

    def now(self) -> float:
        return self.time

    def source(self, client: Any, prefix: str) -> Any:
        return SimpleNamespace(watch=lambda *_: None)


@pytest.fixture
def cloud() -> _Cloud:
    """Return the cloud."""
    return _Cloud()


@pytest.fixture
def replay(cloud: _Cloud) -> Replay:
    """Return a replay in it."""
    pretended: Any = cloud
    return Replay(Lab(pretended, space="a-space", prefix="lab-abc123"))


def test_a_yes_and_a_unit_are_words(replay: Replay) -> None:
    assert "Seen: accepted: yes, found: none." in repr(
        replay.claim("B10").saw({"accepted": True, "found": []}, claimed=0)
    )
    shown = repr(replay.claim("C89").saw(12, claimed=(8, 11.5), unit="s"))
    assert "Seen: 12 s.\n  Claimed: 8 to 11.5 s." in shown


def test_what_is_seen_stands_beside_what_is_claimed(replay: Replay, cloud: _Cloud) -> None:
    claim = replay.claim("C18", "C20")
    cloud.time += 90
    shown = claim.saw({"state": "Enabled", "dead letters": 1}, claimed={"state": "Enabled", "dead letters": 1})
    text = repr(shown)
    assert text.startswith("● C18, C20 as claimed\n  Seen: state: Enabled, dead letters: 1.\n  Known from: Lambda dev")
    assert "On AWS: 90 s of waiting, and nothing whose price is counted here." in text
    assert "Claimed" not in text


def test_a_difference_shows_both(replay: Replay) -> None:
    shown = repr(replay.claim("C18").saw("accepted", claimed="refused"))
    assert shown.startswith("◐ C18 differs\n  Seen: accepted.\n  Claimed: refused.")
    assert str(replay.table()).startswith("0 of 1 as claimed, AWS, eu-west-1, 20")


@pytest.mark.parametrize(
    ("seen", "claimed", "verdict"),
    [(10.0, (9.5, 13), AS_CLAIMED), (13.1, (9.5, 13), DIFFERS), ([], [], AS_CLAIMED), (["a"], ["a", "b"], DIFFERS)],
)
def test_ranges_and_lists(seen: Any, claimed: Any, verdict: str, replay: Replay) -> None:
    claim = replay.claim("C89")
    claim.saw(seen, claimed=claimed)
    assert claim.verdict == verdict


def test_the_bound_counts_requests_by_their_size_polls_until_now_and_runs(replay: Replay, cloud: _Cloud) -> None:
    claim = replay.claim("C97", runs=2)
    cloud.clients["sqs"].send()
    cloud.clients["sqs"].send(65_537)
    cloud.clients["lambda"].trigger()
    cloud.clients["lambda"].trigger(400)
    cloud.time += 40
    claim.saw(1, claimed=1)
    request = facts.price("sqs.request_fifo").each
    run = facts.price("lambda.request").each + 5 * 0.125 * facts.price("lambda.gb_second").each
    polls = 40 * facts.rate("trigger.idle_month").value / (30 * 86_400)
    assert claim.dollars(replay._lab.now()) == pytest.approx((3 + polls + 2 * 2) * request + 2 * run)
    cloud.time += 3600
    assert claim.dollars(replay._lab.now()) > 300 * request


def test_calls_before_the_first_claim_are_nobodys(replay: Replay, cloud: _Cloud) -> None:
    cloud.clients["sqs"].send()
    cloud.clients["lambda"].trigger()
    assert replay.claim("C18").requests == 0


def test_a_claim_that_is_tried_again_counts_once_under_another_name(replay: Replay, cloud: _Cloud) -> None:
    first = replay.claim("B10")
    first.saw(0, claimed=1)
    cloud.time += 1
    again = replay.claim("B10")
    assert again.name("orders.fifo") != first.name("orders.fifo")
    assert first.name("orders.fifo") == "lab-abc123-b10-orders-6553f100.fifo"
    assert [claim.verdict for claim in replay.claims] == []
    again.saw(1, claimed=1)
    assert str(replay.table()).startswith("1 of 1 as claimed")


def test_how_much_longer_it_may_take_on_aws_is_said_where_it_was_not_run_there(replay: Replay, cloud: _Cloud) -> None:
    cloud.fast_forwards = True
    claim = replay.claim("F5", "F16", late=900)
    cloud.clients["lambda"].trigger()
    cloud.time += 20
    assert "20 s to 17 min of waiting" in repr(claim.saw(0, claimed=0))
    assert "On AWS together 0 to 16 minutes of waiting" in str(replay.table())
    assert "20\xa0s\xa0to\xa017\xa0min" in str(replay.table())
    cloud.fast_forwards = False
    assert "On AWS: 20 s of waiting" in repr(claim.saw(0, claimed=0))
    assert "On AWS together 0 minutes of waiting" in str(replay.table())


def test_what_has_no_price_is_not_called_free(replay: Replay) -> None:
    assert "and nothing whose price is counted here" in repr(replay.claim("F5").saw(0, claimed=0))
    assert "not\xa0counted" in str(replay.table())


def test_the_export_has_no_account(replay: Replay, tmp_path: Path) -> None:
    assert repr(replay.table()).endswith("Nothing was replayed yet.")
    replay.claim("C18").saw(f"arn:aws:sqs:eu-west-1:{ACCOUNT}:lab-abc123-orders", claimed="x")
    replay.claim("C20")
    (row,) = csv.DictReader(io.StringIO(replay.export()))
    assert (row["claim"], row["verdict"], row["cloud"], row["region"]) == ("C18", "differs", "AWS", "eu-west-1")
    assert row["seen"] == "arn:aws:sqs:eu-west-1:…:orders"
    assert row["statement"].startswith("A queue's visibility timeout below")
    file = tmp_path / "replay.csv"
    assert replay.export(str(file)) == f"1 claim in {file}: no account and no key."
    assert ACCOUNT not in file.read_text()
    with pytest.raises(LabError, match="cannot be written"):
        replay.export(str(tmp_path))


def test_a_claim_names_rows_that_there_are(replay: Replay) -> None:
    for rows in ((), ("X1",)):
        with pytest.raises(LabError):
            replay.claim(*rows)
