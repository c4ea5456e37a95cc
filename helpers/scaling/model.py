"""The simulation: producers, a queue, a trigger's pollers and a function's concurrency as SimPy processes.

Time goes in whole ticks. Up to `EXACT` messages a tick is a millisecond, each message and each run is an event of its
own, and everything is written into a log. Beyond, a tick is 20 ms and what happens in the same tick is one event:
messages that were sent in it are one piece, runs that begin in it with batches of one size are one cohort. A run's
length is rounded to ticks so that the mean is right. Idle pollers share the messages of a tick evenly, for within it
they come one after the other; what has waited for longer goes in full batches.

AWS does not publish all that a model needs. Assumed are the pauses between throttled tries, what a trigger gives up
when it is throttled or a run fails (one batch for each), when it counts as quiet, and that Lambda's 1,000 new
environments in 10 s refill evenly.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from .. import facts
from .inputs import RECEIVE, Setup, Workload
from .line import AGED_RECEIVES, Groups, Line, Origin, Piece
from .outcome import Log, Outcome, Second

if TYPE_CHECKING:
    import simpy

Process = Generator[Any, Any, None]

EXACT = 5_000
"""Up to so many messages each is followed by itself."""
LONGEST = 7_200.0
"""Seconds that the model goes on, at most, after the last message was sent."""

_FINE, _COARSE = 0.001, 0.02
_GROWTH_SECONDS = 10


class Batch:
    """Runs of one cohort: batches of about the same size, received at the same moment.

    Attributes
    ----------
    pieces : list of Piece
        Their messages.
    runs : int
        How many batches; one, where each message is followed by itself.
    give_up : int
        The tick at which their visibility ends.
    name : str
        The request id of a single run.
    """

    __slots__ = ("give_up", "name", "pieces", "runs")

    def __init__(self, pieces: list[Piece], runs: int, give_up: int) -> None:
        self.pieces = pieces
        self.runs = runs
        self.give_up = give_up
        self.name = ""

    @property
    def messages(self) -> int:
        """How many messages they hold."""
        return sum(piece.number for piece in self.pieces)

    def split(self, runs: int) -> Batch:
        """Part so many runs with their messages from the cohort and return them."""
        wanted = round(self.messages * runs / self.runs)
        pieces: list[Piece] = []
        while wanted and self.pieces:
            piece = self.pieces[0]
            part = piece.split(wanted) if piece.number > wanted else self.pieces.pop(0)
            wanted -= part.number
            pieces.append(part)
        self.runs -= runs
        return Batch(pieces, runs, self.give_up)


class Model:
    """One simulation; `simulate` runs it.

    Parameters
    ----------
    workload : Workload
        What arrives.
    setup : Setup
        The settings.
    seed : int
        Decides which runs fail.
    """

    def __init__(self, workload: Workload, setup: Setup, seed: int) -> None:
        import numpy
        import simpy

        self.workload, self.setup = workload, setup
        self.exact = workload.messages <= EXACT
        self.tick = _FINE if self.exact else _COARSE
        self.env: simpy.Environment = simpy.Environment()
        self.over = self.env.event()
        self.chance = numpy.random.default_rng(seed)
        self.line: Line = (Groups if setup.fifo else Line)(self._bury)
        self.log = Log(self.tick) if self.exact else None
        self.second = Second()
        self.rows: list[tuple[float, ...]] = []

        self.origins: deque[Origin] = deque()
        self.sent = self.flying = self.done = self.dead = 0
        self.to_send = workload.messages
        self.fresh = 0
        self.running = self.idle = self.environments = 0
        self.peak = 0
        self.slowest = 0.0
        self.ended_at = 0

        self.cap = setup.cap
        self.limit = setup.first
        self.busy = 0
        self.healthy = True
        self.crowded = self.behind = False
        self.behind_at = self.trouble_at = -(10**9)
        self.ready: deque[Batch] = deque()
        self.gathered: list[Piece] = []
        self.gathering = 0
        self.polls = self.reads = 0.0
        self.starts = self.most_starts = float(facts.rate("lambda.growth").value)
        self.started_at = 0
        self.carry = 0.0
        self.asleep = True

        rate = facts.rate
        self.grows_by = int(rate("trigger.poller_runs").value) if setup.provisioned else 1
        growth = rate("trigger.provisioned_growth" if setup.provisioned else "trigger.growth").value
        self.grows_every = self.ticks(60 * self.grows_by / growth)
        self.poller_runs = int(rate("trigger.poller_runs").value)
        self.poll_rate = float(rate("trigger.poller_polls").value)
        self.read_rate = rate("trigger.poller_bytes").value / workload.bytes
        self.pause = self.ticks(rate("trigger.throttle_pause").value)
        self.longest_pause = self.ticks(rate("trigger.throttle_pause_most").value)
        self.quiet = self.ticks(rate("trigger.quiet_after").value)
        self.most_in_flight = int(facts.quota("sqs.in_flight").value)
        self.hidden = self.ticks(setup.hidden)

    # Time.

    @property
    def now(self) -> int:
        """The tick that it is."""
        return int(self.env.now)

    def ticks(self, seconds: float) -> int:
        """Return seconds as whole ticks."""
        return round(seconds / self.tick)

    def lasting(self, seconds: float) -> int:
        """Return a run's length in ticks, longer and shorter in turns so that the mean is right."""
        exact = seconds / self.tick + self.carry
        whole = max(1, round(exact))
        self.carry = exact - whole
        return whole

    def sleep(self, ticks: int) -> simpy.Timeout:
        """Return an event that comes after so many ticks."""
        return self.env.timeout(ticks)

    # Producers.

    def send(self) -> Process:
        """Send the backlog at once and each minute's messages evenly."""
        self.arrive(self.workload.backlog, fresh=False)
        minute = self.ticks(60)
        for index, number in enumerate(self.workload.per_minute):
            moments = min(number, minute)
            for moment in range(moments):
                due = index * minute + moment * minute // moments
                if due > self.now:
                    yield self.sleep(due - self.now)
                self.arrive(number * (moment + 1) // moments - number * moment // moments, fresh=True)

    def arrive(self, number: int, *, fresh: bool) -> None:
        """Let messages become visible for the first time."""
        for count, group in self._portions(number):
            if not self.origins or self.origins[-1].at != self.now:
                self.origins.append(Origin(self.now, 0))
            origin = self.origins[-1]
            origin.alive += count
            origin.counted += count
            piece = Piece(origin, count, group, f"message-{self.sent + 1:05}" if self.exact else "")
            self.sent += count
            self.note("sent", [piece])
            self.line.put(piece)
        self.second.sent += number
        self.fresh += number * fresh
        self.wake()

    def _portions(self, number: int) -> Iterator[tuple[int, int]]:
        """Yield how many messages of which group are sent together, each by itself where each is followed."""
        groups = self.workload.groups if self.setup.fifo else 0
        if self.exact or 0 < number <= groups:
            for index in range(self.sent, self.sent + number):
                yield 1, index % max(1, groups)
        elif groups:
            first = self.sent
            for place in range(groups):
                yield number // groups + (place < number % groups), (first + place) % groups
        elif number:
            yield number, 0

    # Pollers.

    def wake(self) -> None:
        """Let the pollers look at the end of this tick."""
        if self.asleep:
            self.asleep = False
            self.env.timeout(0).callbacks.append(lambda _: self.look())

    def look(self) -> None:
        """Hand batches to the function as long as a poller is free and something may be received."""
        self.asleep = True
        self.crowded = False
        while self.ready and self.busy < self.limit:
            self.hand_over(self.ready.popleft())
        while self.busy < self.limit:
            if not (self.gather() if self.setup.maximum_batching_window_in_seconds else self.receive()):
                break
        self.fresh = 0
        # Messages wait that no poller is free for, or has a poll left for.
        full = self.busy >= self.limit or (self.setup.provisioned and min(self.polls, self.reads) < 1)
        self.behind = full and (self.crowded or bool(self.ready) or self.line.waiting > 0)
        if self.behind:
            self.behind_at = self.now

    def room(self) -> int:
        """Return how many messages may still be received: a queue has only so many in flight (row A62)."""
        return min(self.line.receivable, self.most_in_flight - self.flying)

    def receive(self) -> bool:
        """Receive without a window: what has waited in full batches, what has just come shared by idle pollers."""
        full = min(RECEIVE, self.setup.batch_size)
        room, free = self.room(), self.limit - self.busy
        if self.setup.provisioned:
            free = min(free, int(self.polls), math.ceil(self.reads / full))
        if room <= 0 or free <= 0:
            return False
        old = min(room, max(0, self.line.waiting - self.fresh))
        if self.exact or self.setup.fifo:
            runs, number = 1, min(full, room)
        elif old:
            runs = min(free, max(1, old // full))
            number = min(runs * full, room)
        else:
            runs = min(free, room)
            number = min(runs * full, room)
            self.crowded = number > runs
            # Some runs have a message more than the others: two cohorts, the second in the next round.
            size, more = divmod(number, runs)
            if more:
                runs, number = more, more * (size + 1)
        if self.setup.provisioned:
            self.polls -= runs
            self.reads -= number
        pieces = self.line.take(number)
        taken = sum(piece.number for piece in pieces)
        if not taken:
            return False
        self.fresh = min(self.fresh, self.line.waiting)
        self.received(pieces)
        self.hand_over(Batch(pieces, min(runs, taken), self.now + self.hidden))
        return True

    def gather(self) -> bool:
        """Receive into one batch until it is full or its window is over; full ones go several at a time."""
        size, room, free = self.setup.batch_size, self.room(), self.limit - self.busy
        if self.setup.provisioned:
            room = min(room, int(self.polls) * RECEIVE, math.ceil(self.reads))
        if room <= 0 or free <= 0:
            return False
        runs = 1 if self.gathered or self.exact or self.setup.fifo else max(1, min(free, room // size))
        missing = runs * size - self.gathering
        pieces = self.line.take(min(missing, room))
        taken = sum(piece.number for piece in pieces)
        if not taken:
            return False
        if self.setup.provisioned:
            self.polls -= math.ceil(taken / RECEIVE)
            self.reads -= taken
        self.received(pieces)
        if not self.gathered:
            self.env.process(self.close_window(pieces))
        self.gathered += pieces
        self.gathering += taken
        if taken == missing:
            self.close(runs)
            return True
        return False

    def close_window(self, pieces: list[Piece]) -> Process:
        """Close a batch when its window is over, if it is not closed by then."""
        first = pieces[0]
        yield self.sleep(self.ticks(self.setup.maximum_batching_window_in_seconds))
        if self.gathered and self.gathered[0] is first:
            self.close(1)
            self.wake()

    def close(self, runs: int) -> None:
        """Let what was gathered go to the function."""
        pieces, self.gathered, self.gathering = self.gathered, [], 0
        batch = Batch(pieces, runs, self.now + self.hidden)
        if self.busy < self.limit:
            self.hand_over(batch)
        else:
            self.ready.append(batch)

    def received(self, pieces: list[Piece]) -> None:
        """Count a receive."""
        for piece in pieces:
            piece.receives += 1
            self.flying += piece.number
            self.second.received += piece.number
            if piece.receives == AGED_RECEIVES and not self.setup.fifo:
                piece.origin.counted -= piece.number
        self.note("received", pieces)

    def grow(self) -> Process:
        """Add pollers while messages wait for one, unless the last runs were throttled or failed."""
        while True:
            yield self.sleep(self.grows_every)
            if self.healthy and self.behind and self.limit < self.setup.most:
                self.limit = min(self.limit + self.grows_by, self.setup.most)
                self.wake()

    def refill(self) -> Process:
        """Give provisioned pollers their polls and their bytes, evenly: what was not read is not read later."""
        every = max(1, self.ticks(_COARSE))
        while True:
            second = math.ceil(self.limit / self.poller_runs) * every * self.tick
            self.polls = min(self.polls + second * self.poll_rate, max(1.0, 2 * second * self.poll_rate))
            self.reads = min(self.reads + second * self.read_rate, max(1.0, 2 * second * self.read_rate))
            if self.line.waiting:
                self.wake()
            yield self.sleep(every)

    def startable(self) -> int:
        """Return how many new environments Lambda would start now; what it starts comes back evenly (row D45)."""
        gained = (self.now - self.started_at) * self.tick * self.most_starts / _GROWTH_SECONDS
        self.starts, self.started_at = min(self.most_starts, self.starts + gained), self.now
        return int(self.starts)

    def calm(self) -> Process:
        """Look once a minute whether the trigger is quiet."""
        while True:
            yield self.sleep(self.ticks(60))
            if self.now - self.behind_at > self.quiet and self.limit > self.setup.first:
                self.limit = max(self.setup.first, self.busy)
            if self.now - self.trouble_at > self.quiet:
                self.healthy = True
                self.limit = max(self.limit, self.setup.first)
            self.wake()

    def in_trouble(self, limit: int) -> None:
        """Poll less, and do not grow until something succeeds again."""
        self.healthy = False
        self.trouble_at = self.now
        self.limit = limit

    # The function.

    def hand_over(self, batch: Batch) -> None:
        """Invoke the function with a batch that a poller has just got."""
        self.busy += batch.runs
        self.invoke(batch, self.pause)

    def invoke(self, batch: Batch, pause: int) -> None:
        """Begin as many runs as there is concurrency for; the others are throttled."""
        granted = min(batch.runs, self.cap - self.running, self.idle + self.startable())
        if granted < batch.runs:
            refused = batch.split(batch.runs - granted) if granted else batch
            self.second.throttles += refused.runs
            self.note("throttled", refused.pieces)
            first = min(self.limit, self.setup.first)
            self.in_trouble(max(self.limit - refused.runs, first))
            self.env.process(self.try_again(refused, pause))
        if granted:
            warm = min(granted, self.idle)
            if warm < granted:
                self.begin(batch if not warm else batch.split(granted - warm), cold=True)
            if warm:
                self.begin(batch, cold=False)

    def try_again(self, batch: Batch, pause: int) -> Process:
        """Try a throttled batch again until its visibility is over, then give it up (row C94)."""
        if self.now + pause < batch.give_up:
            yield self.sleep(pause)
            self.invoke(batch, min(2 * pause, self.longest_pause))
            return
        self.env.process(self.come_back(batch))
        yield self.sleep(max(batch.give_up, self.now + self.pause) - self.now)
        self.busy -= batch.runs
        self.wake()

    def begin(self, batch: Batch, *, cold: bool) -> None:
        """Begin runs, in new environments or in idle ones."""
        if cold:
            self.starts -= batch.runs
            self.environments += batch.runs
        else:
            self.idle -= batch.runs
        self.running += batch.runs
        self.second.runs += batch.runs
        self.second.messages += batch.messages
        self.peak = max(self.peak, self.running)
        self.second.most = max(self.second.most, self.running)
        if self.log is not None:
            batch.name = self.log.request()
        self.note("invoked", batch.pieces, request=batch.name)
        needed = self.workload.run_lasts(batch.messages / batch.runs)
        seconds = min(needed, self.setup.timeout) + self.workload.cold_start * cold
        ticks = self.lasting(seconds)
        if self.now + ticks > batch.give_up:
            self.env.process(self.come_back(batch, late=True))
        # No process of its own: runs are most of what happens, and a callback is a third of the events.
        self.sleep(ticks).callbacks.append(lambda _: self.end(batch, too_long=needed > self.setup.timeout))

    def end(self, batch: Batch, *, too_long: bool) -> None:
        """Delete what was handled; what failed comes back when its visibility ends."""
        self.running -= batch.runs
        self.idle += batch.runs
        self.busy -= batch.runs
        wrong = batch.runs if too_long else 0
        if self.workload.failures and not too_long:
            wrong = int(self.chance.binomial(batch.runs, self.workload.failures))
        good = batch.runs - wrong
        if wrong:
            failed = batch.split(wrong) if good else batch
            self.second.errors += wrong
            self.note("failed", failed.pieces, request=batch.name, outcome="timeout" if too_long else "by chance")
            self.in_trouble(max(1, self.limit - wrong))
            if self.now <= failed.give_up:
                self.env.process(self.come_back(failed))
        if good:
            self.note("succeeded", batch.pieces, request=batch.name)
            self.delete(batch)
            self.healthy = True
            self.limit = max(self.limit, min(self.limit + good, self.setup.first))
        self.wake()

    # What becomes of messages.

    def come_back(self, batch: Batch, *, late: bool = False) -> Process:
        """Show messages again when their visibility ends; those of a run that is late are still its to delete."""
        yield self.sleep(max(0, batch.give_up - self.now))
        pieces = [piece for piece in batch.pieces if piece.number]
        for piece in pieces:
            self.flying -= piece.number
            if late and not self.setup.fifo:
                piece.late = set(pieces) if piece.late is None else piece.late
        if late:
            # A FIFO queue's handles have expired; a standard queue's still delete (row B22).
            batch.pieces = [] if self.setup.fifo else pieces
        self.note("visible", pieces)
        for piece in reversed(pieces):
            self.line.free(piece)
            self.line.put(piece)
        self.wake()

    def delete(self, batch: Batch) -> None:
        """Delete what a run has handled, wherever it is by now."""
        for piece in batch.pieces:
            for part in sorted(piece.late, key=lambda one: one.origin.at) if piece.late else [piece]:
                if not part.number:
                    continue
                self.note("deleted", [part])
                if part.waits:
                    self.line.waiting -= part.number
                else:
                    self.flying -= part.number
                    self.line.free(part)
                self.done += part.number
                self._end(part)

    def _bury(self, piece: Piece) -> bool:
        """Move messages that were received as often as they may be to the dead-letter queue."""
        most = self.setup.max_receive_count
        if most is None or piece.receives < most:
            return False
        self.line.waiting -= piece.number
        self.dead += piece.number
        self.second.dead += piece.number
        self.note("dead-lettered", [piece], outcome="dead letters")
        if piece.late is not None:
            piece.late.discard(piece)
        self._end(piece)
        return True

    def _end(self, piece: Piece) -> None:
        piece.origin.alive -= piece.number
        if self.setup.fifo or piece.receives < AGED_RECEIVES:
            piece.origin.counted -= piece.number
        self.slowest = max(self.slowest, (self.now - piece.origin.at) * self.tick)
        piece.number = 0
        self.ended_at = self.now
        while self.origins and not self.origins[0].alive:
            self.origins.popleft()
        if self.done + self.dead == self.to_send and not self.over.triggered:
            self.over.succeed()

    def note(self, event: str, pieces: list[Piece], *, request: str = "", outcome: str | None = None) -> None:
        """Write into the log, where there is one."""
        if self.log is not None:
            self.log.add(self.now, event, pieces, request, outcome)

    # Watching.

    def watch(self) -> Process:
        """Write a row each second."""
        while True:
            yield self.sleep(self.ticks(1))
            self.write_row()

    def write_row(self) -> None:
        """Write what happened since the last row, and how things stand."""
        counted = next((one for one in self.origins if one.counted), None)
        age = math.nan if counted is None else (self.now - counted.at) * self.tick
        stand = (self.line.waiting, self.flying, self.done, self.dead, self.limit, age)
        self.rows.append((self.now * self.tick, *self.second.values(), *stand))
        self.second = Second(most=self.running)


def simulate(workload: Workload, setup: Setup, *, seed: int = 1, until: float | None = None) -> Outcome:
    """Run the model until every message is handled or dead.

    Parameters
    ----------
    workload : Workload
        What arrives.
    setup : Setup
        The settings.
    seed : int
        Decides which runs fail, where some do.
    until : float, optional
        Seconds after which to stop in any case; without it two hours after the last message was sent.

    Returns
    -------
    Outcome
        What became of the messages, by seconds, by minutes and in sum.
    """
    model = Model(workload, setup, seed)
    refill = [model.refill] if setup.provisioned else []
    for process in (*refill, model.send, model.grow, model.calm, model.watch):
        model.env.process(process())
    last = 60 * len(workload.per_minute) + LONGEST if until is None else until
    model.env.run(until=model.over | model.sleep(model.ticks(last)))
    model.write_row()
    return Outcome.of(model)
