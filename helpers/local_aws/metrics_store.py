"""CloudWatch's metrics: per-minute aggregates of every series.

`add` runs several times a message, so a minute with one sample is kept as that number alone, and any other as its
statistics with a count of each value, from which percentiles are made.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .space import Space

log = logging.getLogger(__name__)

MINUTE = 60
RETENTION_MINUTES = 15 * 24 * 60
"""One-minute points are kept for 15 days."""

Dimensions = tuple[tuple[str, str], ...]
_MOST_VALUES = 1000


class Bucket:
    """The aggregate of the samples of a span of time.

    Attributes
    ----------
    count, total, low, high : float
        SampleCount, Sum, Minimum and Maximum.
    values : dict
        How often each value came, for percentiles; beyond a thousand different values they are rounded to three
        significant digits. Empty for statistics that came without values.
    """

    __slots__ = ("count", "high", "low", "total", "values")

    def __init__(self) -> None:
        self.count = 0.0
        self.total = 0.0
        self.low = math.inf
        self.high = -math.inf
        self.values: dict[float, float] = {}

    def add(self, value: float, count: float = 1) -> None:
        """Take in a value that came `count` times."""
        self.count += count
        self.total += value * count
        if value < self.low:
            self.low = value
        if value > self.high:
            self.high = value
        values = self.values
        if value in values:
            values[value] += count
        else:
            if len(values) >= _MOST_VALUES:
                value = _rounded(value)
            values[value] = values.get(value, 0) + count

    def merge(self, other: float | Bucket) -> None:
        """Take in another span's samples."""
        if isinstance(other, Bucket):
            self.count += other.count
            self.total += other.total
            self.low = min(self.low, other.low)
            self.high = max(self.high, other.high)
            values = self.values
            for value, count in other.values.items():
                if len(values) >= _MOST_VALUES and value not in values:
                    value = _rounded(value)
                values[value] = values.get(value, 0) + count
        else:
            self.add(other)

    def percentile(self, percent: float) -> float | None:
        """Return the value at or below which `percent` of the samples lie; None when the values are not known."""
        if not self.values:
            return self.low if self.low == self.high else None
        if sum(self.values.values()) < self.count:
            return None
        wanted = self.count * percent / 100
        seen = 0.0
        for value in sorted(self.values):
            seen += self.values[value]
            if seen >= wanted:
                return min(max(value, self.low), self.high)
        return self.high

    def statistic(self, name: str) -> float | None:
        """Return a statistic by CloudWatch's name: Sum, Average, Minimum, Maximum, SampleCount or pNN."""
        if name == "Sum":
            return self.total
        if name == "Average":
            return self.total / self.count if self.count else None
        if name == "SampleCount":
            return float(self.count)
        if name == "Maximum":
            return self.high
        if name == "Minimum":
            return self.low
        return self.percentile(float(name[1:]))


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


class Series:
    """One metric with one set of dimensions."""

    __slots__ = ("dimensions", "name", "namespace", "points", "unit")

    def __init__(self, namespace: str, name: str, dimensions: Dimensions, unit: str) -> None:
        self.namespace = namespace
        self.name = name
        self.dimensions = dimensions
        self.unit = unit
        self.points: dict[int, float | Bucket] = {}
        """By minutes since the epoch; a lone sample is the number itself."""

    def bucket(self, minute: int) -> Bucket:
        """Return the aggregate of a minute to add to."""
        point = self.points.get(minute)
        if isinstance(point, Bucket):
            return point
        made = Bucket()
        if point is not None:
            made.add(point)
        else:
            self.drop_before(minute - RETENTION_MINUTES)
        self.points[minute] = made
        return made

    def drop_before(self, minute: int) -> None:
        """Forget what is older; the oldest stand first, but for data that came late."""
        points = self.points
        while points and (first := next(iter(points))) < minute:
            del points[first]

    def window(self, start: float, end: float) -> Bucket | None:
        """Aggregate the minutes of one span that may begin at any full minute; None when it has no data."""
        bucket = Bucket()
        for minute in range(math.floor(start / MINUTE), math.ceil(end / MINUTE)):
            point = self.points.get(minute)
            if point is not None:
                bucket.merge(point)
        return bucket if bucket.count else None

    def spans(self, start: float, end: float, period: int, now: float) -> list[tuple[int, Bucket]]:
        """Aggregate the minutes that are over into periods aligned to the epoch.

        Parameters
        ----------
        start, end : float
            Seconds since the epoch; the period in which `start` lies counts, `end` does not.
        period : int
            Seconds, a multiple of 60.
        now : float
            The present: a minute is seen once it is over.

        Returns
        -------
        list of (int, Bucket)
            The start of each period with data, oldest first.
        """
        width = period // MINUTE
        first = math.floor(start / period) * width
        last = min(math.ceil(end / MINUTE), math.floor(now / MINUTE), max(self.points, default=-1) + 1)
        first = max(first, last - RETENTION_MINUTES)
        points = self.points
        minutes: Iterable[int]
        if last - first <= len(points):
            minutes = (minute for minute in range(first, last) if minute in points)
        else:
            minutes = sorted(minute for minute in points if first <= minute < last)
        found: list[tuple[int, Bucket]] = []
        if width == 1:
            for minute in minutes:
                point = points[minute]
                if not isinstance(point, Bucket):
                    lone, point = point, Bucket()
                    point.add(lone)
                found.append((minute * MINUTE, point))
            return found
        for number, group in itertools.groupby(minutes, key=lambda minute: minute // width):
            bucket = Bucket()
            for minute in group:
                bucket.merge(points[minute])
            found.append((number * period, bucket))
        return found


class Metrics:
    """The metrics of a space.

    Parameters
    ----------
    space : Space
        The space whose clock counts.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._clock = space.clock
        self._series: dict[tuple[str, str, Dimensions], Series] = {}
        self._listeners: list[Callable[[float], None]] = []

    def add(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        value: float,
        unit: str = "Count",
        at: float | None = None,
        count: float = 1,
    ) -> None:
        """Add one sample; about two microseconds.

        Parameters
        ----------
        namespace, name : str
            The metric, such as `AWS/Lambda` and `Invocations`.
        dimensions : mapping
            Its dimensions.
        value : float
            The sample.
        unit : str
            CloudWatch's name of its unit.
        at : float, optional
            Seconds since the epoch; without it now.
        count : float
            How often the value came.
        """
        key = (namespace, name, tuple(dimensions.items()) if len(dimensions) < 2 else tuple(sorted(dimensions.items())))
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series(namespace, name, key[2], unit)
        minute = int((self._clock.now() if at is None else at) // MINUTE)
        point = series.points.get(minute)
        if point is None and count == 1:
            series.points[minute] = value
            if len(series.points) > RETENTION_MINUTES:
                series.drop_before(minute - RETENTION_MINUTES)
        elif point.__class__ is Bucket:
            point.add(value, count)  # type: ignore[union-attr]
        else:
            series.bucket(minute).add(value, count)

    def add_statistics(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        statistics: tuple[float, float, float, float],
        unit: str = "None",
        at: float | None = None,
    ) -> None:
        """Add samples of which only SampleCount, Sum, Minimum and Maximum are known."""
        key = (namespace, name, tuple(sorted(dimensions.items())))
        series = self._series.setdefault(key, Series(namespace, name, key[2], unit))
        known = Bucket()
        known.count, known.total, known.low, known.high = statistics
        if known.low == known.high:
            known.values = {known.low: known.count}
        series.bucket(int((self._clock.now() if at is None else at) // MINUTE)).merge(known)

    def get(self, namespace: str, name: str, dimensions: Mapping[str, str]) -> Series | None:
        """Return the series with exactly these dimensions, or None."""
        return self._series.get((namespace, name, tuple(sorted(dimensions.items()))))

    def __iter__(self) -> Iterator[Series]:
        """All series, in the order of their first samples."""
        return iter(list(self._series.values()))

    def each_minute(self, listener: Callable[[float], None]) -> None:
        """Call `listener(start)` under the lock when a minute has ended, with the moment at which it began.

        Every minute is walked, also when the clock is advanced: a listener has to be cheap.
        """
        with self._space.scheduler.lock:
            self._listeners.append(listener)
            if len(self._listeners) == 1:
                self._await(math.floor(self._clock.now() / MINUTE) * MINUTE + MINUTE)

    def _await(self, boundary: float) -> None:
        self._space.scheduler.at(boundary, lambda: self._minute_over(boundary))

    def _minute_over(self, boundary: float) -> None:
        self._await(boundary + MINUTE)
        for listener in self._listeners:
            try:
                listener(boundary - MINUTE)
            except Exception:
                log.exception("what is done each minute failed")
