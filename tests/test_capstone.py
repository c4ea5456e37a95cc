"""The capstone's judge: five designs of which each gets exactly its scorecard, and what else can be wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pandas
import pytest

import helpers
from helpers import capstone, checks, recorder
from helpers.capstone import judge, picture
from helpers.capstone.design import DESIGNS, load
from helpers.capstone.judge import Facts, _Session
from helpers.capstone.provider import PLACES, Provider, Remote
from helpers.capstone.score import LOOK, Line, Scorecard, score
from helpers.capstone.trade import FULL, REHEARSAL, make
from helpers.errors import Interrupted, LabError
from helpers.lab import Lab
from tools import capstone as generator

LINES = (
    "charged exactly once",
    "order per customer",
    "valid events dead-lettered",
    "malformed events dead-lettered",
    "reasons in the log",
    "stock",
    "refused by the provider",
    "3 of 4 orders in the outage",
    "drained",
    "alarm",
    "rights",
    "cost",
    "cleanup",
)
KNOWN = {
    "a": {"order per customer"},
    "b": {"3 of 4 orders in the outage"},
    "c": set(),
    "d": {"order per customer"},
    "e": {"order per customer", "valid events dead-lettered"},
}
"""What each design does not meet, on any day."""
COUNTED = {
    "charged exactly once",
    "malformed events dead-lettered",
    "reasons in the log",
    "stock",
    "refused by the provider",
    "rights",
    "cleanup",
}
"""The lines that say the same for all five."""


@pytest.fixture
def lab(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Return a lab on a local AWS of this module's, in which a design has to leave nothing."""
    monkeypatch.setenv("LAB_SPACE", f"capstone-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    for name in ("LAB_CLOUD", "LAB_AWS_ACCOUNT", "LAB_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    lab = helpers.connect("local")
    yield lab
    lab.cleanup()


@pytest.fixture
def mine(state_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a folder with the design C, to be spoilt."""
    monkeypatch.setenv("LAB_STATE_DIR", str(tmp_path))
    return capstone.start("mine", like="c")


# The trade


def test_the_file_of_the_trade_is_what_its_generator_makes() -> None:
    assert generator.FILE.read_text(encoding="utf-8") == generator.text()


@pytest.mark.parametrize(("seed", "events"), [(1, REHEARSAL), (2, REHEARSAL), (3, REHEARSAL), (1, FULL)])
def test_the_trade_is_mixed_as_promised(seed: int, events: int) -> None:
    trade = make(seed, events)
    assert trade == make(seed, events) != make(seed + 1, events)
    assert trade.messages == events
    assert len(trade.events) == events - round(0.02 * events)
    assert len(trade.flaws) == max(4, round(0.005 * events))
    assert set(trade.flaws.values()) == {
        "it has no item",
        "its price is a text",
        "its note has 90 KB",
        "its note has a control character",
    }
    tenants = Counter(event["tenant"] for event in trade.events)
    assert 0.62 <= tenants["harbour"] / len(trade.events) <= 0.78
    assert {event["version"] for event in trade.events if event["at"] < 60} == {1}
    assert {event["version"] for event in trade.events if event["at"] >= 60} == {2}
    lives: dict[str, list[str]] = {}
    for event in trade.events:
        lives.setdefault(event["order"], []).append(event["type"])
    assert {tuple(life) for life in lives.values()} == {
        ("order",),
        ("order", "payment"),
        ("order", "payment", "cancellation"),
        ("stock",),
    }
    assert [event["at"] for event in trade.events] == sorted(event["at"] for event in trade.events)
    handed = [(moment, event) for moment, some in trade.handovers for event in some]
    assert all(event["at"] <= moment for moment, event in handed)
    long = sum(flaw == "its note has 90 KB" for flaw in trade.flaws.values())
    assert sum(len(json.dumps(event)) > 85_000 for _, event in handed) == long
    assert trade.killed in {event["id"] for event in trade.valid}


def test_there_is_no_trade_of_another_size() -> None:
    with pytest.raises(LabError, match=r"There is no trade of 7 events\. Take 400 to 6,000"):
        make(1, 7)


# The provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Return a payment provider."""
    made = Provider()
    yield made
    made.close()


def charge(provider: Provider, order: str) -> int:
    """Ask for a charge; return the status."""
    try:
        with urlopen(
            f"{provider.url}/charges", json.dumps({"order": order, "cents": 5}).encode(), timeout=10
        ) as answer:
            return int(answer.status)
    except HTTPError as refusal:
        return refusal.code


def test_the_provider_charges_twice_if_it_is_asked_twice(provider: Provider) -> None:
    assert [charge(provider, "o1"), charge(provider, "o1")] == [201, 201]
    with urlopen(f"{provider.url}/charges/o1", timeout=5) as answer:
        assert json.load(answer) == {"charges": 2}
    assert Remote(provider.address).ledger()["charges"] == [{"order": "o1", "cents": 5}] * 2


def test_the_provider_refuses_a_ninth_at_once(provider: Provider) -> None:
    statuses: list[int] = []
    office = provider._office
    office.busy = PLACES - 1
    statuses.append(charge(provider, "o1"))
    office.busy = PLACES
    statuses.append(charge(provider, "o2"))
    assert statuses == [201, 429]
    assert Remote(provider.address).ledger()["refusals"] == ["o2"]


def test_eight_at_once_are_charged(provider: Provider) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda number=number: statuses.append(charge(provider, f"o{number}")))
        for number in range(PLACES)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * PLACES


def test_a_provider_of_its_own_says_where_it_is() -> None:
    command = [sys.executable, "-u", "-m", "helpers.capstone.provider"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=generator.FILE.parents[2]) as hosted:
        assert hosted.stdout is not None
        address = hosted.stdout.readline().strip()
        try:
            assert Remote(address).ledger() == {"charges": [], "refusals": []}
        finally:
            hosted.kill()


def test_the_provider_can_be_down_and_obeys_only_who_has_the_key(provider: Provider) -> None:
    Remote(provider.address).set(down=True)
    assert charge(provider, "o1") == 503
    assert Remote(provider.address).ledger() == {"charges": [], "refusals": []}
    with pytest.raises(HTTPError, match="404"):
        Remote(f"{provider.url}/guess").set(down=False)


# The five designs


# The day of seed 2: `make course-long`, and C on days 2 and 3 in notebook 17.
@pytest.mark.parametrize("letter", "abcde")
def test_each_design_gets_its_scorecard(lab: Lab, letter: str) -> None:
    judged(lab, letter, 1)


def judged(lab: Lab, letter: str, seed: int) -> None:
    """Run a design; its scorecard has to be the known one."""
    card = capstone.run(letter, seed=seed, lab=lab)
    assert tuple(line.name for line in card.lines) == LINES
    assert {line.name for line in card.failed} == KNOWN[letter], card
    trade = make(seed)
    payments = sum(event["type"] == "payment" for event in trade.events)
    values = {line.name: line.value for line in card.lines if line.name in COUNTED}
    assert values == {
        "charged exactly once": f"{payments} of {payments} orders",
        "malformed events dead-lettered": "4 of 4",
        "reasons in the log": "4 of 4",
        "stock": "10 of 10 teas right",
        "refused by the provider": "0",
        "rights": "0 wildcards",
        "cleanup": "0 left",
    }
    overtaken = card.events[card.events["overtaken"]]
    assert bool(len(overtaken)) == ("order per customer" in KNOWN[letter])
    if letter == "e":
        # What was sent when payments went down failed at 2:00 and at 2:30, and was given up at 3:00.
        given_up = card.events[card.events["dead"].notna() & (card.events["flaw"] == "")]
        first = card.events[(card.events["type"] == "payment") & card.events["sent"].between(119.5, 130)]
        assert set(first["id"]) <= set(given_up["id"])
        assert given_up["done"].notna().all()


def test_the_figure_shows_what_the_five_designs_got() -> None:
    cards = capstone.references()
    assert {card.design: {line.name for line in card.failed} for card in cards} == KNOWN
    axes = capstone.compare()
    assert len(axes) == len(cards)
    described = repr(axes[0].figure)
    assert described.startswith("Only C keeps every promise: ")
    assert "B FIFO by tenant: orders waited" in described
    for card in cards:
        assert card.digest == load(card.design).digest, "run python -m tools.capstone references"
    assert len(capstone.compare(cards[2:3])) == 1


# Where it ends early


def test_an_interrupt_leaves_nothing_and_the_next_run_works(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    hand_over = _Session.hand_over

    def stopped(self: Any, queue: Any, events: Any) -> None:
        hand_over(self, queue, events)
        if len(self.sent) > 40:
            raise KeyboardInterrupt

    monkeypatch.setattr(_Session, "hand_over", stopped)
    with pytest.raises(Interrupted, match="Stopped the run of a"):
        capstone.run("a", lab=lab)
    assert not lab.client("sqs").list_queues(QueueNamePrefix=lab.prefix).get("QueueUrls")
    assert not lab.client("dynamodb").list_tables()["TableNames"]
    # A kernel that was killed leaves its stack; the next run begins by removing it.
    remove = _Session.remove
    monkeypatch.setattr(_Session, "remove", lambda self: [])
    with pytest.raises(Interrupted):
        capstone.run("a", lab=lab)
    assert lab.client("sqs").list_queues(QueueNamePrefix=lab.prefix).get("QueueUrls")
    monkeypatch.setattr(_Session, "remove", remove)
    monkeypatch.setattr(_Session, "hand_over", hand_over)
    # In tier 1 a standard queue is enough.
    card = capstone.run("a", tier=1, lab=lab)
    assert card.passed, card
    assert "order per customer" not in {line.name for line in card.lines}


def test_what_a_stack_keeps_is_found_and_removed(lab: Lab, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(mine, "  DeadLetters:\n", "  DeadLetters:\n    DeletionPolicy: Retain\n")
    monkeypatch.setattr(_Session, "replay", lambda self: setattr(self, "opened", float(round(self.lab._cloud.now()))))
    card = capstone.run(mine, lab=lab)
    assert not card["cleanup"].passed
    assert "DeadLetters" in card["cleanup"].sentence
    assert not lab.client("sqs").list_queues(QueueNamePrefix=lab.prefix).get("QueueUrls")


def edit(folder: Path, old: str, new: str, file: str = "template.yaml") -> None:
    """Change a design."""
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")


def without_trigger(folder: Path) -> None:
    """Take the trigger out of a design."""
    text = (folder / "template.yaml").read_text()
    edit(folder, text[text.index("  Trigger:\n") : text.index("  Alarm:\n")], "")


SPOILT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no template": (lambda folder: (folder / "template.yaml").unlink(), "The design mine has no template.yaml."),
    "no notes": (lambda folder: (folder / "notes.md").unlink(), "The design mine has no notes.md."),
    "no words": (lambda folder: (folder / "notes.md").write_text("good"), "mine/notes.md says too little."),
    "no handler": (lambda folder: (folder / "handler.py").unlink(), "The design mine has no handler.py."),
    "no YAML": (
        lambda folder: edit(folder, "Resources:", "Resources: ]"),
        "mine/template.yaml: The template is no YAML in line",
    ),
    "no output": (
        lambda folder: edit(folder, "  DeadLetterQueueUrl:", "  Other:"),
        "mine/template.yaml lacks DeadLetterQueueUrl under Outputs.",
    ),
    "no parameter": (
        lambda folder: edit(folder, "  Provider:\n    Type: String\n", ""),
        "mine/template.yaml lacks Provider under Parameters.",
    ),
    "no such group": (
        lambda folder: edit(folder, "MessageGroup: customer", "MessageGroup: shop"),
        "mine: the till cannot group by 'shop'.",
    ),
    "no Python": (
        lambda folder: edit(folder, "def check(", "def check((", "handler.py"),
        "mine/handler.py is no Python",
    ),
    "no such handler": (
        lambda folder: edit(folder, "index.handler", "index.main"),
        "mine/handler.py has no function main.",
    ),
    "another module": (
        lambda folder: edit(folder, "index.handler", "handler.handler"),
        "mine: the function Worker has the Handler 'handler.handler'.",
    ),
    "zeros in it": (
        lambda folder: (folder / "handler.py").write_bytes(b"\0"),
        "mine/handler.py is no Python: source code string cannot contain null bytes",
    ),
    "outputs in a list": (
        lambda folder: edit(
            folder,
            "  QueueUrl:\n    Value: !Ref Events\n  DeadLetterQueueUrl:\n    Value: !Ref DeadLetters\n",
            "  - QueueUrl\n  - DeadLetterQueueUrl\n",
        ),
        "mine/template.yaml lacks QueueUrl and DeadLetterQueueUrl under Outputs.",
    ),
    "no code": (lambda folder: edit(folder, "      Code: handler.py\n", ""), "mine: the function Worker has no code."),
    "not FIFO": (
        lambda folder: edit(folder, "    MessageGroup: customer", "    Other: customer"),
        "The queue of mine is FIFO. Metadata, Till, MessageGroup is 'not there'.",
    ),
    "a text for the till": (
        lambda folder: edit(folder, "  Till:\n    MessageGroup: customer", "  Till: customer"),
        "The queue of mine is FIFO. Metadata, Till, MessageGroup is 'not there'.",
    ),
    "no trigger": (without_trigger, "No trigger of mine reads the queue."),
    "refused template": (
        lambda folder: edit(folder, "!GetAtt Events.Arn\n      FunctionName", "!GetAtt Evnts.Arn\n      FunctionName"),
        "CloudFormation refused the template of mine: ",
    ),
    "refused resource": (
        lambda folder: edit(folder, "VisibilityTimeout: 30", "VisibilityTimeout: 10"),
        "The stack of mine was not made: Trigger failed.",
    ),
    "raises at import": (
        lambda folder: edit(folder, "import boto3\n", "import boto3, stripe\n", "handler.py"),
        "The handler of mine cannot start: Runtime.ImportModuleError: Unable to import module 'index': "
        "No module named 'stripe'",
    ),
    "raises without records": (
        lambda folder: edit(
            folder, "    failed, stopped = [], set()\n", "    raise OSError('no disk')\n", "handler.py"
        ),
        "The handler of mine cannot start: OSError: no disk",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_design_that_cannot_be_run_is_told_in_a_sentence(lab: Lab, mine: Path, what: str) -> None:
    spoil, sentence = SPOILT[what]
    spoil(mine)
    with pytest.raises(LabError) as refusal:
        capstone.run(mine, lab=lab)
    assert str(refusal.value).startswith(sentence)
    assert not lab.client("sqs").list_queues(QueueNamePrefix=lab.prefix).get("QueueUrls")


def test_other_arguments_are_told_too(lab: Lab) -> None:
    with pytest.raises(LabError, match="There is no design in 'nowhere'"):
        capstone.run("nowhere", lab=lab)
    with pytest.raises(LabError, match="There is no tier 3 to run"):
        capstone.run("c", tier=3, lab=lab)


def test_a_real_account_is_asked_first(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab._cloud, "fast_forwards", False, raising=False)
    with pytest.raises(LabError, match="This account is real, and the judge has not been run on one"):
        capstone.run("c", lab=lab)


# The learner's folder


def test_a_start_leaves_what_is_there(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(file.name for file in mine.iterdir()) == ["handler.py", "notes.md", "template.yaml"]
    assert load(mine).group == "customer"
    (mine / "notes.md").write_text("mine")
    assert capstone.start("mine") == mine
    assert (mine / "notes.md").read_text() == "mine"
    assert "left as it is" in capsys.readouterr().out
    capstone.start("mine", afresh=True)
    assert load(mine).group == ""
    with pytest.raises(LabError, match="There is no design 'z' to begin with"):
        capstone.start("other", like="z")
    with pytest.raises(LabError, match="cannot be the name"):
        capstone.start("../other")


def test_without_a_folder_for_state_a_design_stands_beside_the_notebook(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LAB_STATE_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert capstone.start() == Path("my-design")
    assert (tmp_path / "my-design" / "template.yaml").exists()


def test_a_scorecard_belongs_to_the_files_as_they_were(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = ideal_card(mine)
    assert capstone.last(mine) is None
    judge_keep(card)
    assert capstone.last(mine) == card
    edit(mine, "maxReceiveCount: 4", "maxReceiveCount: 5")
    assert capstone.last(mine) is None
    assert capstone.final(mine, seed=2) is None
    assert "The final comes after a rehearsal" in capsys.readouterr().out


def test_the_final_runs_the_hidden_seeds(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from helpers.capstone import workspace

    judge_keep(ideal_card(mine))
    seeds = []
    monkeypatch.setattr(workspace, "run", lambda design, *, seed: seeds.append(seed))
    for seed in (2, 3):
        capstone.final(mine, seed=seed)
    assert seeds == [2, 3]
    with pytest.raises(LabError, match="The final has no day 4"):
        capstone.final(mine, seed=4)


SENTENCES = {
    "b": "They waited behind payments of other customers: choose a message group that holds only what has to stay in",
    "c": "● yes: All 13 lines are met. Two days that nobody has seen are left: the final.",
    "d": "A later event of a customer was done first: put all events of a customer into one message group",
    "e": "They failed while payments were down and were given up. Count how often the unluckiest is received in 40 s",
}
SENTENCES["a"] = SENTENCES["d"]


@pytest.mark.parametrize("letter", "abcde")
def test_each_design_earns_its_sentence(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, letter: str
) -> None:
    monkeypatch.setenv("LAB_STATE_DIR", str(tmp_path))
    mine = capstone.start("mine", like=letter)
    card = capstone.references()["abcde".index(letter)]
    judge_keep(replace(card, digest=load(mine).digest))
    verdict = repr(exercise(None, "17-design", design=str(mine)))
    assert SENTENCES[letter] in verdict
    if not card.passed:
        assert any(line.sentence in verdict for line in card.failed)
    final = repr(exercise(None, "17-final", design=str(mine)))
    assert "○ not yet: The final has not run with these files on day 2 and day 3" in final
    judge_keep(replace(card, digest=load(mine).digest, seed=2))
    judge_keep(replace(card, digest=load(mine).digest, seed=3))
    final = repr(exercise(None, "17-final", design=str(mine)))
    assert final.startswith("● yes" if card.passed else "◐ almost: Day 2: ")


def test_valid_events_that_died_before_the_outage_have_another_reason(mine: Path) -> None:
    seen = ideal()
    log = seen.log.copy()
    first = log["message"].isin([message for message, event in seen.sent.items() if event == "e00001"])
    log.loc[first & (log["event"] == "succeeded"), "event"] = "dead-lettered"
    card = card_of(replace(seen, log=log, errors=["KeyError: 'item'"] * 2))
    assert card.errors == ("KeyError: 'item', 2 times",)
    shown = repr(card)
    assert "e00001 at 0:20 → look at card.errors" in shown
    assert shown.endswith("card.errors: KeyError: 'item', 2 times")
    card = replace(card, digest=load(mine).digest)
    judge_keep(card)
    assert capstone.last(mine) == card
    verdict = repr(exercise(None, "17-design", design=str(mine)))
    assert "Most of them were not sent in the outage. The log says: KeyError: 'item', 2 times." in verdict


def test_the_log_tells_failures_in_the_words_of_the_handler() -> None:
    assert judge._failure("[ERROR] KeyError: 'item'\nTraceback (most recent call last):\n") == "KeyError: 'item'"
    assert judge._failure("[ERROR]\t2026-11-27T09:00:00.000Z\t5c1\tno stock\n") == "no stock"
    late = "2026-11-27T09:00:00.000Z 5c1 Task timed out after 3.00 seconds\n\n"
    assert judge._failure(late) == "Task timed out after 3.00 seconds"
    said = [*ideal().lines, (ideal().opened, {"event": "e00001", "reason": "no disk"})]
    twice = card_of(replace(ideal(), errors=["OSError: no disk"], lines=said))
    assert twice.errors == ("OSError: no disk, 1 time",)


def test_every_line_says_where_to_look() -> None:
    assert {*LINES, "3 of 4 orders"} == set(LOOK)


def test_the_checks_say_what_has_not_been_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAB_STATE_DIR", str(tmp_path))
    starter = capstone.start("starter")
    assert "This is still the starter. Edit its files" in repr(exercise(None, "17-design", design=str(starter)))
    judge_keep(replace(capstone.references()[0], digest=load(starter).digest))
    assert "It meets 12 of 13 lines." in repr(exercise(None, "17-design", design=str(starter)))
    edit(starter, "BatchSize: 10", "BatchSize: 5")
    assert "The judge has not seen these files as they are now" in repr(
        exercise(None, "17-design", design=str(starter))
    )
    (starter / "notes.md").unlink()
    for check in ("17-design", "17-final"):
        assert "○ not yet: The design starter has no notes.md." in repr(exercise(None, check, design=str(starter)))


def exercise(lab: Any, check: str, **where: str) -> Any:
    """Return a check's verdict."""
    return checks.check(lab, check, **where)


def judge_keep(card: Scorecard) -> None:
    """Keep a scorecard."""
    from helpers.capstone.workspace import keep

    keep(card)


# The lines, one by one


def ideal() -> Facts:
    """Return what a run of the trade of 200 events leaves in which nothing goes wrong."""
    trade = make(1)
    opened = pandas.Timestamp("2026-11-27 09:00", tz="UTC")
    rows: list[tuple[Any, ...]] = []
    sent: dict[str, str] = {}
    for moment, events in trade.handovers:
        for event in events:
            message = f"m{len(sent)}"
            sent[message] = event["id"]
            at = opened.timestamp() + moment
            end = "dead-lettered" if event["id"] in trade.flaws else "succeeded"
            for name, second in (("sent", 0.0), ("received", 0.1), ("invoked", 0.1), (end, 0.5)):
                rows.append((at + second, name, message, "q.fifo", 1, event["customer"], f"r{moment}", "e", "f", None))
    due = dict(trade.stock)
    orders = {event["order"]: event for event in trade.valid if event["type"] == "order"}
    for event in trade.valid:
        if event["type"] == "stock":
            due[event["item"]] += event["change"]
        elif event["type"] != "payment":
            sign = -1 if event["type"] == "order" else 1
            due[orders[event["order"]]["item"]] += sign * orders[event["order"]]["quantity"]
    due = {item: max(0, left) for item, left in due.items()}
    payments = [event for event in trade.events if event["type"] == "payment"]
    charges = [
        {"order": one["order"], "cents": one["cents"] if one["version"] > 1 else round(100 * one["amount"])}
        for one in payments
    ]
    first = min(moment for moment, events in trade.handovers if any(one["id"] in trade.flaws for one in events))
    lines = [
        (opened + pandas.Timedelta(seconds=moment + 0.3), {"event": one["id"], "reason": "it is malformed"})
        for moment, events in trade.handovers
        for one in events
        if one["id"] in trade.flaws
    ]
    return Facts(
        opened,
        recorder.frame(rows).sort_values("time", kind="stable"),
        sent,
        {"charges": charges, "refusals": []},
        [one for one in trade.events if one["id"] in trade.flaws],
        due,
        [opened + pandas.Timedelta(seconds=first + 60)],
        lines,
        {"s-Role-x": [{"Effect": "Allow", "Action": ["sqs:ReceiveMessage"], "Resource": "arn:aws:sqs:us-east-1:1:q"}]},
        256,
        True,
    )


def card_of(seen: Facts, tier: int = 2) -> Scorecard:
    """Return the scorecard of what a run left."""
    return score(load("c"), make(1), tier, seen)


def ideal_card(folder: Path) -> Scorecard:
    """Return the scorecard that a design gets when nothing goes wrong."""
    return score(load(folder), make(1), 2, ideal())


def test_what_goes_well_meets_every_line() -> None:
    card = card_of(ideal())
    assert card.passed, card
    assert tuple(line.name for line in card.lines) == LINES
    assert "all met" in repr(card)
    with pytest.raises(LabError, match="There is no line 'speed'"):
        card["speed"]


def charges(seen: Facts, change: Any) -> Facts:
    """Return it with another ledger."""
    made = [dict(charge) for charge in seen.ledger["charges"]]
    change(made)
    return replace(seen, ledger={**seen.ledger, "charges": made})


def shifted(seen: Facts, seconds: float, *late: str) -> Facts:
    """Return it with the runs of some kinds of event later."""
    trade = make(1)
    kinds = {event["id"]: event["type"] for event in trade.valid}
    log = seen.log.copy()
    rows = (log["event"] == "succeeded") & log["message"].map(seen.sent).map(kinds).isin(late)
    log.loc[rows, "time"] += pandas.Timedelta(seconds=seconds)
    return replace(seen, log=log)


ALLOW = {"Effect": "Allow", "Action": "sqs:ReceiveMessage", "Resource": "arn:aws:sqs:us-east-1:1:q"}


def roles(**statement: Any) -> Any:
    """Return what gives the role another statement."""
    return lambda seen: replace(seen, rights={"s-Role-x": [{**ALLOW, **statement}]})


WRONG = {
    "twice": (lambda seen: charges(seen, lambda made: made.append(made[0])), "charged exactly once", "charged 2 times"),
    "never": (lambda seen: charges(seen, lambda made: made.pop(0)), "charged exactly once", "not charged"),
    "wrong sum": (
        lambda seen: charges(seen, lambda made: made[0].update(cents=8)),
        "charged exactly once",
        "for 8 cents",
    ),
    "strange": (
        lambda seen: charges(seen, lambda made: made.append({"order": "o9", "cents": 1})),
        "charged exactly once",
        "o9 never ordered",
    ),
    "late orders": (
        lambda seen: shifted(seen, 16, "order", "payment", "cancellation"),
        "3 of 4 orders in the outage",
        "harbour",
    ),
    "late payments": (lambda seen: shifted(seen, 45, "payment"), "order per customer", "payment e"),
    "never drained": (lambda seen: shifted(seen, 200, "stock"), "drained", "harbour"),
    "refusal": (
        lambda seen: replace(seen, ledger={**seen.ledger, "refusals": ["o7"]}),
        "refused by the provider",
        "o7",
    ),
    "malformed kept": (
        lambda seen: replace(seen, dead=seen.dead[1:]),
        "malformed events dead-lettered",
        "it has no item",
    ),
    "no reason": (lambda seen: replace(seen, lines=seen.lines[1:]), "reasons in the log", "e00045"),
    "late reason": (
        lambda seen: replace(seen, lines=[(moment + pandas.Timedelta(minutes=2), line) for moment, line in seen.lines]),
        "reasons in the log",
        "e00045",
    ),
    "oversold": (lambda seen: replace(seen, stock={**seen.stock, "Sencha": -1}), "stock", "Sencha is -1"),
    "miscounted": (lambda seen: replace(seen, stock={**seen.stock, "Mint": 1}), "stock", "Mint is 1, should be"),
    "invented": (lambda seen: replace(seen, stock={**seen.stock, "Oolong": 999}), "stock", "there never were more"),
    "silent": (lambda seen: replace(seen, alarms=[]), "alarm", "did not ring"),
    "slow alarm": (
        lambda seen: replace(seen, alarms=[seen.alarms[0] + pandas.Timedelta(minutes=2)]),
        "alarm",
        "rang after 180 s",
    ),
    "false alarm": (
        lambda seen: replace(seen, alarms=[seen.opened + pandas.Timedelta(seconds=5), *seen.alarms]),
        "alarm",
        "rang at 0:05, when all was well",
    ),
    "any action": (
        roles(Action="sqs:*"),
        "rights",
        "Role: sqs:*",
    ),
    "any resource": (
        roles(Resource="*"),
        "rights",
        "Role: *",
    ),
    "any table": (
        roles(Resource="arn:aws:dynamodb:us-east-1:1:table/*"),
        "rights",
        "table/*",
    ),
    "managed": (
        roles(Managed="AWSLambdaSQSQueueExecutionRole"),
        "rights",
        "is for every resource",
    ),
    "large": (lambda seen: replace(seen, memory=4096), "cost", "4096 MB"),
    "left": (lambda seen: replace(seen, left=["queues: q"]), "cleanup", "queues: q"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_line_sees_what_it_is_for_and_no_other_does(what: str) -> None:
    spoil, name, said = WRONG[what]
    card = card_of(spoil(ideal()))
    assert [line.name for line in card.failed] == [name], card
    assert said in card[name].sentence


def test_the_brief_has_every_line() -> None:
    assert tuple(str(row[0]).removesuffix(" (hard)") for row in capstone.brief().rows) == LINES


def test_rights_may_deny_anything_and_write_any_log() -> None:
    rights: list[dict[str, Any]] = [
        {"Effect": "Deny", "Action": "*", "Resource": "*"},
        {"Managed": "AWSLambdaBasicExecutionRole"},
        {**ALLOW, "Action": ["logs:PutLogEvents"], "Resource": ["arn:aws:logs:us-east-1:1:log-group:/aws/lambda/f:*"]},
    ]
    assert card_of(replace(ideal(), rights={"s-Role-x": rights})).passed


def test_a_verdict_names_what_weighs_most() -> None:
    card = capstone.references()[4]
    assert re.fullmatch(r"\d+ valid ones dead, \d+ overtaken", picture._verdict(card))
    assert card.failed[0].hard
    line = Line("stock", "9 of 10 teas right", "all", False, ("Mint is 1",))
    assert line.sentence == "Stock: 9 of 10 teas right, asked for all (Mint is 1)."


def test_the_five_designs_differ_in_what_they_are_about() -> None:
    assert {letter: load(letter).group for letter in "abcde"} == {
        "a": "",
        "b": "tenant",
        "c": "customer",
        "d": "order",
        "e": "customer",
    }
    assert len({load(letter).handlers["Worker"] for letter in "abcde"}) == 1
    assert judge.DEADLINE == 420


def test_a_design_is_named_by_its_folder(tmp_path: Path) -> None:
    shutil.copytree(DESIGNS / "starter", tmp_path / "Über design")
    assert judge._plain("Über design") == "ber-design"
    assert judge._plain("…") == "design"
    assert load(tmp_path / "Über design").name == "Über design"
