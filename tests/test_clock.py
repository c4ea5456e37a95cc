"""The clock and the scheduler: the order of events, and time that waits for what is under way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.local_aws import lab_api
from helpers.local_aws.clock import Clock, Scheduler


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """Return a scheduler whose real time does not run: only `advance` makes things happen."""
    scheduler = Scheduler(Clock())
    yield scheduler
    scheduler.stop()


@pytest.fixture
def running() -> Iterator[Scheduler]:
    """Return a scheduler in real time."""
    scheduler = Scheduler(Clock())
    scheduler.start()
    yield scheduler
    scheduler.stop()


class Diary:
    """Notes what happens, and how many seconds after the beginning."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.clock = scheduler.clock
        self.start = self.clock.now()
        self.entries: list[tuple[str, float]] = []

    def note(self, what: str) -> Callable[[], None]:
        """Return an action that notes."""
        return lambda: self.entries.append((what, self.clock.now() - self.start))

    @property
    def names(self) -> list[str]:
        """What happened, in order."""
        return [what for what, _ in self.entries]

    def at(self, what: str) -> float:
        """When something happened."""
        return dict(self.entries)[what]


def work(scheduler: Scheduler, seconds: float, done: Callable[[], None]) -> None:
    """Do as a handler does: hold the clock, take real time, report under the lock."""
    scheduler.hold()

    def run() -> None:
        time.sleep(seconds)
        with scheduler.lock:
            done()
            scheduler.release()

    threading.Thread(target=run).start()


def test_time_runs_at_real_speed_from_the_machines_time(scheduler: Scheduler) -> None:
    assert scheduler.clock.now() == pytest.approx(time.time(), abs=0.5)
    before, real = scheduler.clock.now(), time.monotonic()
    time.sleep(0.05)
    assert scheduler.clock.now() - before == pytest.approx(time.monotonic() - real, abs=0.02)


def test_events_happen_in_the_order_of_their_time_whatever_the_order_of_the_calls(scheduler: Scheduler) -> None:
    diary = Diary(scheduler)
    for due in (30, 10, 20):
        scheduler.after(due, diary.note(str(due)))
    assert scheduler.advance(diary.start + 40)
    assert diary.names == ["10", "20", "30"]
    assert [moment for _, moment in diary.entries] == pytest.approx([10, 20, 30], abs=0.1)
    assert scheduler.clock.now() - diary.start == pytest.approx(40, abs=0.2)


def test_equal_times_keep_the_order_of_the_calls(scheduler: Scheduler) -> None:
    diary = Diary(scheduler)
    for number in range(50):
        scheduler.at(diary.start + 5, diary.note(str(number)))
    scheduler.advance(diary.start + 5)
    assert diary.names == [str(number) for number in range(50)]


def test_an_event_after_the_target_waits_for_the_next_advance(scheduler: Scheduler) -> None:
    diary = Diary(scheduler)
    scheduler.at(diary.start + 60, diary.note("later"))
    scheduler.advance(diary.start + 50)
    assert diary.names == []
    scheduler.advance(diary.start + 60)
    assert diary.names == ["later"]


def test_what_an_event_makes_due_on_the_way_happens_on_the_way(scheduler: Scheduler) -> None:
    diary = Diary(scheduler)

    def retry() -> None:
        diary.note("retry")()
        if len(diary.entries) < 3:
            scheduler.after(30, retry)

    scheduler.after(0, retry)
    scheduler.at(diary.start + 45, diary.note("between"))
    scheduler.advance(diary.start + 120)
    assert diary.names == ["retry", "retry", "between", "retry"]
    assert [moment for _, moment in diary.entries] == pytest.approx([0, 30, 45, 60], abs=0.1)


def test_an_event_of_the_past_happens_first_and_time_never_goes_back(scheduler: Scheduler) -> None:
    diary = Diary(scheduler)
    scheduler.at(diary.start + 1, diary.note("soon"))
    scheduler.at(diary.start - 100, diary.note("overdue"))
    scheduler.advance(diary.start + 1)
    assert diary.names == ["overdue", "soon"]
    now = scheduler.clock.now()
    assert scheduler.advance(diary.start - 1000)
    assert scheduler.clock.now() >= now


def test_a_cancelled_event_does_not_happen_even_when_it_is_next(scheduler: Scheduler) -> None:
    diary = Diary(scheduler)
    first = scheduler.after(1, diary.note("first"))
    second = scheduler.after(3, diary.note("second"))
    scheduler.after(2, second.cancel)
    scheduler.after(4, diary.note("third"))
    first.cancel()
    first.cancel()
    scheduler.advance(diary.start + 10)
    second.cancel()
    assert diary.names == ["third"]


def test_an_event_may_cancel_another_of_the_same_moment(scheduler: Scheduler) -> None:
    diary = Diary(scheduler)
    moment = diary.start + 5
    scheduler.at(moment, lambda: other.cancel())
    other = scheduler.at(moment, diary.note("other"))
    scheduler.advance(moment)
    assert diary.names == []


def test_while_work_is_under_way_time_passes_at_real_speed(scheduler: Scheduler) -> None:
    diary = Diary(scheduler)
    scheduler.at(diary.start + 10, lambda: work(scheduler, 0.4, diary.note("work ends")))
    scheduler.at(diary.start + 10.1, diary.note("meanwhile"))
    scheduler.at(diary.start + 20, diary.note("after"))
    assert scheduler.advance(diary.start + 30)
    assert diary.names == ["meanwhile", "work ends", "after"]
    assert diary.at("meanwhile") == pytest.approx(10.1, abs=0.1)
    assert diary.at("work ends") == pytest.approx(10.4, abs=0.2)
    assert diary.at("after") == pytest.approx(20, abs=0.1)
    assert scheduler.busy == 0


def test_the_target_is_reached_only_when_the_work_has_ended(scheduler: Scheduler) -> None:
    diary = Diary(scheduler)
    scheduler.at(diary.start + 10, lambda: work(scheduler, 0.3, diary.note("work ends")))
    assert scheduler.advance(diary.start + 10)
    assert diary.names == ["work ends"]
    assert scheduler.clock.now() - diary.start == pytest.approx(10.3, abs=0.2)


def test_patience_ends_an_advance_that_work_holds_up_and_the_next_one_goes_on(scheduler: Scheduler) -> None:
    diary = Diary(scheduler)
    scheduler.hold()
    real = time.monotonic()
    assert not scheduler.advance(diary.start + 1000, patience=0.2)
    assert 0.15 < time.monotonic() - real < 2
    assert scheduler.clock.now() - diary.start < 5
    scheduler.release()
    assert scheduler.advance(diary.start + 1000, patience=5)
    assert scheduler.clock.now() - diary.start == pytest.approx(1000, abs=0.2)


def test_two_that_advance_at_once_both_get_there_and_no_time_is_added_up(scheduler: Scheduler) -> None:
    diary = Diary(scheduler)
    for due in (10, 50, 150):
        scheduler.at(diary.start + due, lambda: work(scheduler, 0.05, diary.note("work")))
    reached: dict[float, bool] = {}

    def advance(seconds: float) -> None:
        reached[seconds] = scheduler.advance(diary.start + seconds)

    threads = [threading.Thread(target=advance, args=(seconds,)) for seconds in (100.0, 200.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert reached == {100.0: True, 200.0: True}
    assert [moment for _, moment in diary.entries] == pytest.approx([10.05, 50.05, 150.05], abs=0.2)
    assert scheduler.clock.now() - diary.start == pytest.approx(200, abs=1)


def test_who_waits_for_anothers_advance_has_patience_too(scheduler: Scheduler) -> None:
    diary = Diary(scheduler)
    scheduler.hold()
    first = threading.Thread(target=scheduler.advance, args=(diary.start + 10,))
    first.start()
    time.sleep(0.05)
    assert not scheduler.advance(diary.start + 20, patience=0.1)
    scheduler.release()
    first.join(5)
    assert not first.is_alive()


def test_an_event_that_raises_is_logged_and_stops_nothing(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    diary = Diary(scheduler)

    def fail() -> None:
        raise ValueError("broken")

    scheduler.after(1, fail)
    scheduler.after(2, diary.note("next"))
    with caplog.at_level(logging.ERROR):
        assert scheduler.advance(diary.start + 3)
    assert diary.names == ["next"]
    assert "broken" in caplog.text


def test_listeners_hear_every_move_of_the_clock(scheduler: Scheduler) -> None:
    heard: list[float] = []
    scheduler.on_offset(heard.append)
    start = scheduler.clock.now()
    scheduler.at(start + 10, lambda: None)
    scheduler.advance(start + 30)
    assert heard == sorted(heard)
    assert heard[-1] == scheduler.clock.offset == pytest.approx(30, abs=0.2)


def test_in_real_time_events_happen_when_they_are_due(running: Scheduler) -> None:
    diary = Diary(running)
    done = threading.Event()
    running.after(60, diary.note("far"))
    running.after(0.15, done.set)
    running.after(0.05, diary.note("near"))
    assert done.wait(5)
    assert diary.names == ["near"]
    assert diary.at("near") == pytest.approx(0.05, abs=0.1)


def test_in_real_time_an_event_that_raises_stops_nothing(running: Scheduler) -> None:
    done = threading.Event()
    running.after(0, lambda: [][0])
    running.after(0.01, done.set)
    assert done.wait(5)


def test_real_time_goes_on_after_an_advance(running: Scheduler) -> None:
    start, done = running.clock.now(), threading.Event()
    running.at(start + 100.1, done.set)
    assert running.advance(start + 100)
    assert done.wait(5)
    assert running.clock.now() - start < 105


def test_stop_ends_an_advance_that_is_held_up() -> None:
    scheduler = Scheduler(Clock())
    scheduler.hold()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(scheduler.advance(scheduler.clock.now() + 10)))
    thread.start()
    time.sleep(0.05)
    scheduler.stop()
    thread.join(5)
    assert answers == [False]


def test_work_that_never_rests_does_not_hold_a_wait_for_ever(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("helpers.local_aws.clock.LAST_RUNS", 0.2)
    start = scheduler.clock.now()
    scheduler.hold()
    assert scheduler.advance(start + 0.1, patience=5)
    assert 0.3 <= scheduler.clock.now() - start < 2


def test_nor_does_it_hold_a_wait_that_is_made_of_slices(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helpers.local_aws.clock.LAST_RUNS", 0.2)
    space: Any = SimpleNamespace(clock=scheduler.clock, scheduler=scheduler)
    start = scheduler.clock.now()
    scheduler.hold()
    slices = (lab_api.advance(space, {"to": start + 0.1, "patience": 0.1})["reached"] for _ in range(50))
    assert any(slices)
    assert 0.3 <= scheduler.clock.now() - start < 2
