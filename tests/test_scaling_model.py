"""The scaling model: nothing is lost, no cap is exceeded, and it agrees with the local AWS where both can go."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas
import pytest

import helpers
from helpers import facts, pictures, recorder, resources, scaling
from helpers.cleanup import sweep
from helpers.errors import LabError
from helpers.lab import Lab
from helpers.local_aws import pollers
from helpers.scaling import Setup, Workload, compare, measures, simulate
from helpers.scaling.outcome import COLUMNS

from .scaling import CASES, agreement
from .test_scaling import Stage

MILLION = Workload((1_000_000,), duration=0.1, duration_per_message=0.04)
SETUPS = {
    "default": Setup(),
    "cap": Setup(maximum_concurrency=20),
    "pollers": Setup(minimum_pollers=5, maximum_pollers=50),
    "reserved": Setup(reserved_concurrent_executions=2, max_receive_count=2, visibility_timeout=6),
    "short": Setup(reserved_concurrent_executions=3, max_receive_count=3, timeout=1, visibility_timeout=1),
    "window": Setup(batch_size=200, maximum_batching_window_in_seconds=2, timeout=10),
    "fifo": Setup(fifo=True, batch_size=5),
    "fifo throttled": Setup(
        fifo=True, reserved_concurrent_executions=2, max_receive_count=2, timeout=1, visibility_timeout=1
    ),
}


@pytest.fixture
def lab(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Return a lab on a local AWS that this module's tests share, and leave it empty."""
    monkeypatch.setenv("LAB_SPACE", f"scaling-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    for name in ("LAB_CLOUD", "LAB_AWS_ACCOUNT", "LAB_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    lab = helpers.connect("local")
    yield lab
    assert sweep(lab).total_left == 0


# It agrees.


@pytest.mark.parametrize("name", CASES)
def test_it_agrees_with_the_local_aws_within_the_stated_tolerance(lab: Lab, name: str) -> None:
    table = agreement(lab, name)
    off = (table["local AWS"] - table["model"]).abs() > table["tolerance"] + 1e-9
    assert not off.any(), f"{name}\n{table}"


@pytest.mark.parametrize("provisioned", [None, (3, 50)])
def test_it_grows_as_the_local_pollers_do_up_to_what_no_machine_runs(provisioned: tuple[int, int] | None) -> None:
    least, most = provisioned or (None, None)
    given = {} if provisioned is None else {"provisioned": (("MinimumPollers", 3), ("MaximumPollers", 50))}
    stage = Stage(900, batch_size=1, **given)
    stage.send(3000)
    stages = []
    for _ in range(5):
        stage.advance(60)
        stages.append(stage.running)
    setup = Setup(
        batch_size=1,
        minimum_pollers=least,
        maximum_pollers=most,
        account_concurrency=10_000,
        timeout=900,
        visibility_timeout=43_200,
    )
    ours = simulate(Workload(backlog=3000, duration=900), setup, until=301).seconds["concurrency"]
    assert [int(ours[60.0 * minute]) for minute in range(1, 6)] == pytest.approx(stages, rel=0.03, abs=10)
    assert stages[-1] == (1250 if provisioned is None else 500)


def test_twenty_thousand_messages_take_as_long_as_with_the_local_pollers() -> None:
    stage = Stage(0.5)
    stage.send(20_000)
    began = stage.clock.now()
    while stage.queue.held:
        stage.advance(0.5)
    ours = simulate(Workload(backlog=20_000, duration=0.5), Setup(account_concurrency=10_000))
    assert (ours.runs, len(stage.begun)) == (2000, 2000)
    assert ours.drained_s == pytest.approx(stage.clock.now() - began, abs=1.0)


def test_what_is_assumed_is_what_the_local_aws_assumes() -> None:
    assert facts.rate("trigger.throttle_pause").value == pollers._FIRST_PAUSE
    assert facts.rate("trigger.throttle_pause_most").value == pollers._LONGEST_PAUSE
    assert facts.rate("trigger.quiet_after").value == pollers.QUIET_SECONDS
    assert facts.rate("trigger.start").value == pollers.FIRST_POLLERS
    assert facts.quota("trigger.concurrency").value == pollers.MOST_CONCURRENT
    assert facts.rate("trigger.poller_bytes").value == pollers.POLLER_BYTES
    assert facts.rate("trigger.poller_polls").value == pollers.POLLER_POLLS


@pytest.mark.parametrize(("first", "longest"), [(0.1, 1), (0.1, 8), (1, 30), (2, 60), (5, 5)])
def test_which_settings_lose_reports_does_not_depend_on_the_assumed_pauses(
    monkeypatch: pytest.MonkeyPatch, first: float, longest: float
) -> None:
    assumed = {"trigger.throttle_pause": first, "trigger.throttle_pause_most": longest}
    known = facts.rate
    monkeypatch.setattr(
        facts, "rate", lambda name: replace(known(name), value=assumed[name]) if name in assumed else known(name)
    )
    two = Setup(batch_size=1, timeout=30, reserved_concurrent_executions=2, max_receive_count=3)
    ways = {
        "two": two,
        "patient": replace(two, visibility_timeout=180, max_receive_count=5),
        "five": replace(two, reserved_concurrent_executions=5),
        "cap": replace(two, reserved_concurrent_executions=None, maximum_concurrency=2),
    }
    dead = compare(Workload(backlog=300, duration=20), ways)["dead"]
    assert dead["two"] >= 5
    assert dead["patient"] == dead["cap"] == 0
    assert dead["five"] <= 2


# It keeps its own laws.


@pytest.mark.parametrize("failures", [0.0, 0.3])
@pytest.mark.parametrize("size", [400, 60_000])
@pytest.mark.parametrize("name", SETUPS)
def test_every_message_is_handled_dead_or_there_and_no_cap_is_exceeded(name: str, size: int, failures: float) -> None:
    setup = SETUPS[name]
    workload = Workload((size // 2,), backlog=size // 2, duration=0.3, cold_start=0.2, failures=failures, groups=40)
    outcome = simulate(workload, setup, until=240)
    table = outcome.seconds
    assert tuple(table.reset_index().columns) == COLUMNS
    sent = table["sent"].cumsum()
    assert (sent == table[["waiting", "in flight", "done", "dead"]].sum(axis=1)).all()
    assert (table[["waiting", "in flight", "done", "dead"]] >= 0).all(axis=None)
    assert outcome.done + outcome.dead + outcome.left == workload.messages
    assert table["concurrency"].max() == outcome.peak <= min(setup.cap, setup.most)
    assert table["allowed"].max() <= setup.most
    assert table["in flight"].max() <= facts.quota("sqs.in_flight").value
    assert 0 < outcome.batch <= setup.batch_size
    if setup.max_receive_count is None:
        assert outcome.dead == 0
    if setup.fifo:
        assert outcome.peak <= workload.groups


@pytest.mark.parametrize("name", SETUPS)
def test_its_log_is_one_of_the_recorder_and_tells_the_same(name: str) -> None:
    workload = Workload(backlog=120, duration=0.3, failures=0.1, groups=7)
    outcome = simulate(workload, SETUPS[name], until=600)
    table, runs = recorder.messages(outcome.log), recorder.invocations(outcome.log)
    ends = recorder.end_states(outcome.log)
    assert (ends.get("done", 0), ends.get("dead", 0)) == (outcome.done, outcome.dead)
    assert (len(table), len(runs)) == (120, outcome.runs)
    assert int((runs["status"] == "failed").sum()) == outcome.errors
    assert measures(outcome.log)["throttles"] == outcome.throttles
    most = SETUPS[name].max_receive_count
    if most is not None:
        assert table["attempts"].max() <= most
        assert (table.loc[table["end"] == "dead", "attempts"] == most).all()
    if SETUPS[name].fifo:
        assert not recorder.handled(outcome.log)["late"].any() or outcome.errors or outcome.throttles
    pictures.concurrency(outcome.log)
    plt.close("all")


def test_the_same_seed_gives_the_same_and_another_one_other_failures() -> None:
    workload = Workload(backlog=20_000, duration=0.2, failures=0.2)
    first, again, other = (simulate(workload, Setup(), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.done == other.done == 20_000
    assert not first.seconds.equals(other.seconds)


def test_cohorts_and_single_messages_say_the_same() -> None:
    """4,900 messages are followed one by one, 5,100 in cohorts."""
    single, cohorts = (simulate(Workload(backlog=size, duration=0.5), Setup()) for size in (4_900, 5_100))
    assert (single._log is None, cohorts._log is None) == (False, True)
    assert cohorts.drained_s == pytest.approx(single.drained_s * 5_100 / 4_900, rel=0.05)
    assert cohorts.runs == pytest.approx(single.runs * 5_100 / 4_900, abs=3)


def test_a_million_messages_a_minute_take_seconds() -> None:
    began = time.process_time()
    outcome = simulate(Workload((1_000_000,) * 5, duration=0.1, duration_per_message=0.04), Setup())
    assert time.process_time() - began < 15
    assert outcome.done == 5_000_000


# What it says.


def test_from_five_to_the_ceiling_and_no_further_than_the_account() -> None:
    long = Workload((1_000_000,) * 5, duration=0.5)
    wide = simulate(long, Setup(account_concurrency=5_000)).seconds["concurrency"]
    assert wide[60.0] == pytest.approx(304, abs=3)
    assert wide.max() == facts.quota("trigger.concurrency").value
    assert wide.idxmax() == pytest.approx((1250 - 5) / 300 * 60, abs=3)
    assert simulate(long, Setup()).peak == facts.quota("account.concurrency").value


def test_a_poller_reads_a_hundred_messages_a_second() -> None:
    few, enough = (simulate(MILLION, Setup(minimum_pollers=p, maximum_pollers=p)) for p in (100, 170))
    assert few.drained_s == pytest.approx(100, abs=2)
    assert enough.drained_s == pytest.approx(60, abs=2)
    large: Any = {"batch_size": 100, "maximum_batching_window_in_seconds": 2, "timeout": 60}
    gathered = simulate(MILLION, Setup(minimum_pollers=100, maximum_pollers=100, visibility_timeout=360, **large))
    assert gathered.drained_s == pytest.approx(100 + 4, abs=3)
    assert gathered.batch == pytest.approx(100, rel=0.02)
    heavy = simulate(Workload((60_000,), bytes=100_000), Setup(minimum_pollers=2, maximum_pollers=2), until=60)
    assert heavy.done == pytest.approx(2 * 2**20 / 100_000 * 60, rel=0.05)


def test_large_batches_meet_the_limit_of_messages_in_flight() -> None:
    setup = Setup(batch_size=10_000, maximum_batching_window_in_seconds=1, timeout=60, visibility_timeout=360)
    outcome = simulate(Workload(backlog=1_000_000, duration=20), setup)
    assert outcome.peak == 12
    assert outcome.seconds["in flight"].max() == 120_000


def test_caps_differ_in_what_they_turn_back() -> None:
    reports = Workload(backlog=300, duration=20)
    common: Any = {"batch_size": 1, "timeout": 30}
    table = compare(
        reports,
        {
            "reserved": Setup(reserved_concurrent_executions=2, visibility_timeout=30, max_receive_count=3, **common),
            "six times": Setup(reserved_concurrent_executions=2, visibility_timeout=180, max_receive_count=5, **common),
            "trigger": Setup(maximum_concurrency=2, visibility_timeout=30, max_receive_count=3, **common),
        },
    )
    assert table["dead"]["reserved"] > 10
    assert table["dead"]["six times"] == table["dead"]["trigger"] == table["throttles"]["trigger"] == 0
    assert list(table["peak"]) == [2, 2, 2]


def test_a_run_that_outlives_its_visibility_is_done_twice_or_dead_and_counted_once() -> None:
    setup = Setup(batch_size=1, timeout=2, visibility_timeout=2, max_receive_count=3, reserved_concurrent_executions=2)
    outcome = simulate(Workload(backlog=60, duration=1.9, cold_start=0.5), setup, until=900)
    assert (outcome.done + outcome.dead, outcome.errors) == (60, 0)
    assert outcome.runs > outcome.done


def test_a_run_that_needs_longer_than_the_timeout_fails_then() -> None:
    setup = Setup(timeout=1, visibility_timeout=5, max_receive_count=2)
    outcome = simulate(Workload(backlog=40, duration=1.5), setup)
    assert (outcome.done, outcome.dead, outcome.errors) == (0, 40, outcome.runs)
    assert set(outcome.log["outcome"].dropna()) == {"timeout", "dead letters"}


def test_a_window_gathers_and_a_quiet_trigger_hands_over_single_messages() -> None:
    slow = Workload((60,), duration=0.2)
    single, gathered = (
        simulate(slow, Setup(batch_size=10, maximum_batching_window_in_seconds=window)) for window in (0, 5)
    )
    assert single.batch == 1
    assert gathered.batch == pytest.approx(6, abs=1)


def test_failing_runs_make_a_trigger_poll_less() -> None:
    outcome = simulate(
        Workload(backlog=200, duration=0.2, failures=1.0), Setup(batch_size=1, visibility_timeout=600), until=30
    )
    assert outcome.seconds["allowed"].min() == 1
    assert outcome.done == 0


# Tables and inputs.


def test_minutes_have_the_names_of_metrics() -> None:
    outcome = simulate(MILLION, Setup())
    minutes = outcome.minutes
    assert minutes["NumberOfMessagesSent"].sum() == 1_000_000
    assert minutes["Invocations"].sum() == outcome.runs == outcome.totals["runs"]
    assert minutes["ConcurrentExecutions"].max() == outcome.peak
    assert "1,000,000 done" in repr(outcome)
    assert "1,000,000 done" in outcome._repr_html_()
    with pytest.raises(LabError, match="were not followed one by one"):
        _ = outcome.log


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Setup(batch_size=11), "needs a window"),
        (lambda: Setup(batch_size=0), "AWS allows 1 to 10,000"),
        (lambda: Setup(fifo=True, batch_size=11), "AWS allows 1 to 10"),
        (lambda: Setup(maximum_concurrency=1), "AWS allows 2 to 1,000"),
        (lambda: Setup(maximum_concurrency=5, minimum_pollers=2), "exclude maximum_concurrency"),
        (lambda: Setup(maximum_concurrency=5, reserved_concurrent_executions=4), "is greater than"),
        (lambda: Setup(minimum_pollers=300), "AWS allows 2 to 200"),
        (lambda: Setup(minimum_pollers=50, maximum_pollers=20), "AWS allows 50 to 10,000"),
        (lambda: Setup(timeout=60), "visibility timeout: 30 seconds is less than"),
        (lambda: Workload(), "has no message"),
        (lambda: Workload(per_minute=(-1,)), "whole numbers"),
        (lambda: Workload(backlog=1, duration=0), "longer than 0 s"),
        (lambda: Workload(backlog=1, failures=2), "from 0 to 1"),
    ],
)
def test_what_aws_refuses_is_refused_in_a_sentence(make: Any, sentence: str) -> None:
    with pytest.raises(LabError, match=sentence):
        make()


def test_a_setup_shows_what_differs_from_the_defaults() -> None:
    assert repr(Setup(minimum_pollers=3)) == "Setup(minimum_pollers=3)"
    assert Setup(minimum_pollers=3).pollers == (3, 200)
    assert Setup(maximum_pollers=3).pollers == (2, 3)
    assert repr(Workload([5], duration=0.2)) == "Workload(per_minute=(5,), duration=0.2)"  # type: ignore[arg-type]


def test_settings_are_read_from_a_pipeline(lab: Lab) -> None:
    queue = resources.queue(lab, "read", visibility_timeout=66, max_receive_count=7)
    function = resources.function(lab, "read", source="def handler(event, context):\n    pass\n", timeout=11)
    pollers_of = {"MinimumPollers": 4, "MaximumPollers": 9}
    resources.trigger(lab, queue=queue, function=function, enabled=False, provisioned_poller_config=pollers_of)
    found = scaling.read(lab, queue="read", function="read")
    assert repr(found) == (
        "Setup(minimum_pollers=4, maximum_pollers=9, timeout=11, visibility_timeout=66, max_receive_count=7, "
        "account_concurrency=1000)"
    )
    with pytest.raises(LabError, match="no trigger between"):
        scaling.read(lab, queue="other", function="read")


# Pictures and sliders.


def test_the_models_line_and_the_points_of_what_ran_are_in_one_picture() -> None:
    logs = {
        name: simulate(CASES[name].workload, CASES[name].setup).log
        for name in ("MaximumConcurrency 3", "FIFO, six groups")
    }
    axes = pictures.agreement(logs, logs)
    assert len(axes) == 4
    assert [line.get_marker() for line in axes[0].lines] == ["None", "o"]
    assert "MaximumConcurrency 3: 4.0 s, the model 4.0 s" in repr(axes[0].figure)
    with pytest.raises(LabError, match=r"^There is no invocation in this log yet\."):
        pictures.agreement({"none": recorder.frame([])}, logs)
    plt.close("all")


def test_growth_is_drawn_for_each_setup_with_its_limit() -> None:
    tables = {
        "default": simulate(MILLION, Setup()).seconds,
        "cap": simulate(MILLION, Setup(maximum_concurrency=9)).seconds,
    }
    axes = pictures.growth(tables, ("concurrency", "waiting"), limits={"concurrency": 700}, title="A finding")
    texts = [text.get_text() for text in axes[0].texts]
    assert "cap: up to 9.0" in texts or "cap: up to 9" in texts
    assert "limit 700" in texts
    assert "A finding: default up to" in repr(axes[0].figure)
    with pytest.raises(LabError, match="no second"):
        pictures.growth({"none": pandas.DataFrame()})
    plt.close("all")


def test_a_slider_calls_the_function_again_and_says_what_is_refused() -> None:
    calls: list[dict[str, float]] = []

    def draw(pollers: int, share: float) -> Any:
        calls.append({"pollers": pollers, "share": share})
        if pollers > 5:
            raise LabError("Too many.")
        return plt.figure().add_subplot()

    shown = scaling.sliders(draw, {"pollers": 2, "share": 0.5}, pollers=(2, 9, 1), share=(0, 1, 0.25))
    shown._ipython_display_()
    assert calls == [{"pollers": 2, "share": 0.5}]
    shown.widgets["pollers"].value = 4
    assert calls[-1] == {"pollers": 4, "share": 0.5}
    shown.widgets["pollers"].value = 9
    assert shown.picture() == "Too many."
    assert not plt.get_fignums()
    with pytest.raises(LabError, match="a start and a range"):
        scaling.sliders(draw, {"pollers": 2}, pollers=(2, 9, 1), share=(0, 1, 0.25))
