"""The flight recorder's pictures, one call each, in the one style of `helpers.plots`.

Each takes a log of `helpers.recorder`, or a table, makes a title of its numbers unless one is given, and says in words
what it shows. Above a number of lanes, environments or groups that can still be read it draws totals instead.
"""

from __future__ import annotations

from .comparison import compare
from .dead import by_error
from .functions import concurrency, environments
from .groups import order_by_group
from .lanes import swim_lanes
from .outages import sent_and_done
from .queues import batch_sizes, depth_and_age

__all__ = [
    "batch_sizes",
    "by_error",
    "compare",
    "concurrency",
    "depth_and_age",
    "environments",
    "order_by_group",
    "sent_and_done",
    "swim_lanes",
]
