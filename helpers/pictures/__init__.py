"""The flight recorder's pictures, one call each, in the one style of `helpers.plots`.

Each takes a log of `helpers.recorder`, several of them, or a table, makes a title of its numbers unless one is given,
and says in words what it shows. Above a number of lanes, environments or groups that can still be read it draws totals
instead.
"""

from __future__ import annotations

from .bills import bills
from .comparison import compare
from .dead import by_error
from .functions import concurrency, environments
from .groups import order_by_group
from .lanes import swim_lanes
from .limits import caps
from .outages import sent_and_done
from .queues import batch_sizes, depth_and_age
from .scaling import agreement, growth
from .sending import pace
from .side_by_side import order_by_queue
from .stacks import stack
from .standstill import standstill

__all__ = [
    "agreement",
    "batch_sizes",
    "bills",
    "by_error",
    "caps",
    "compare",
    "concurrency",
    "depth_and_age",
    "environments",
    "growth",
    "order_by_group",
    "order_by_queue",
    "pace",
    "sent_and_done",
    "stack",
    "standstill",
    "swim_lanes",
]
