"""CloudWatch's rules, each broken."""

from __future__ import annotations

from . import Mutation

_STORE = "helpers/local_aws/metrics_store.py"
_QUEUES = "helpers/local_aws/queue_store.py"
_FUNCTIONS = "helpers/local_aws/functions.py"

MUTATIONS = [
    Mutation(
        "a-minute-is-seen-before-it-is-over",
        row="F13",
        file=_STORE,
        old="math.ceil(end / MINUTE), math.floor(now / MINUTE), max(",
        new="math.ceil(end / MINUTE), math.ceil(now / MINUTE), max(",
    ),
    Mutation(
        "a-forgotten-queue-goes-on-telling",
        row="F14",
        file=_QUEUES,
        old="ACTIVE_FOR = 6 * 3600.0",
        new="ACTIVE_FOR = 6 * 86400.0",
    ),
    Mutation(
        "poison-counts-as-the-oldest-message",
        row="F1",
        file=_QUEUES,
        old="arrivals[0].state == GONE or self._is_poison(arrivals[0])",
        new="arrivals[0].state == GONE",
    ),
    Mutation(
        "nothing-in-flight-is-told-as-zero",
        row="F3",
        file=_QUEUES,
        old='if self.in_flight:\n            add("Approx',
        new='if self.in_flight >= 0:\n            add("Approx',
    ),
    Mutation(
        "an-alias-has-no-executed-version",
        row="F18",
        file=_FUNCTIONS,
        old="if version.qualifier in version.function.aliases:",
        new="if version.qualifier is None and version.function.aliases:",
    ),
    Mutation(
        "invocations-are-stamped-with-their-end",
        row="F19",
        file=_FUNCTIONS,
        old='self._add(version, "Invocations", 1, "Count", started)',
        new='self._add(version, "Invocations", 1, "Count", self.space.clock.now())',
    ),
    Mutation(
        "a-throttled-request-counts-as-an-invocation",
        row="F22",
        file=_FUNCTIONS,
        old='self._add(version, "Throttles", 1, "Count", self.space.clock.now())',
        new='self._add(version, "Throttles", 1, "Count", self.space.clock.now())\n'
        '            self._add(version, "Invocations", 1, "Count", self.space.clock.now())',
    ),
    Mutation(
        "what-is-reserved-is-not-claimed",
        row="F26",
        file=_FUNCTIONS,
        old="claimed = unreserved + ACCOUNT_CONCURRENCY - self.unreserved",
        new="claimed = unreserved",
    ),
    Mutation(
        "an-alarm-misses-the-threshold-itself",
        row="F2",
        file="helpers/local_aws/alarms.py",
        old='"GreaterThanOrEqualToThreshold": (lambda value, limit: value >= limit',
        new='"GreaterThanOrEqualToThreshold": (lambda value, limit: value > limit',
    ),
]
