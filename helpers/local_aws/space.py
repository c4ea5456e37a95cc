"""The state of one local AWS, put together in one place.

A space is one account in one Region: one clock, one lock, and a store for each kind of thing. Its parts reach each
other through it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .clock import Clock, Scheduler

if TYPE_CHECKING:
    from .alarms import Alarms
    from .events import Events
    from .functions import Functions
    from .keys import Keys
    from .logs import Logs
    from .logs_queries import Queries
    from .mappings import Mappings
    from .metrics_store import Metrics
    from .moto_adapter import ControlPlane
    from .notifications import Notifications
    from .permissions import Permissions
    from .queues import Queues
    from .stacks import Stacks


@dataclass(frozen=True)
class Identity:
    """Who calls: a signed request's credentials, resolved.

    Attributes
    ----------
    arn : str
        The principal, such as `arn:aws:iam::…:user/learner` or `arn:aws:sts::…:assumed-role/orders/orders`.
    user_id : str
        What SQS shows as SenderId and STS as UserId.
    owner : bool
        Whether this is the account's own key, which may do everything.
    """

    arn: str
    user_id: str
    owner: bool = False


@dataclass
class Space:
    """One account in one Region, with its clock.

    Parameters
    ----------
    account : str
        The account's twelve digits.
    region : str
        The one Region that is served.
    workdir : Path
        A folder of this server alone, removed when it ends: function code, environments' temporary folders.
    name : str
        The space's name, for messages.
    url : str
        Where the front door listens, without a slash at the end.
    clients : set of int
        The processes that use the space; the server outlives the last one.
    stop_requested : threading.Event
        Set to end the server.
    """

    account: str
    region: str
    workdir: Path
    name: str = "default"
    url: str = ""
    clock: Clock = field(default_factory=Clock)
    clients: set[int] = field(default_factory=set)
    stop_requested: threading.Event = field(default_factory=threading.Event)

    scheduler: Scheduler = field(init=False)
    events: Events = field(init=False)
    queues: Queues = field(init=False)
    functions: Functions = field(init=False)
    mappings: Mappings = field(init=False)
    metrics: Metrics = field(init=False)
    alarms: Alarms = field(init=False)
    logs: Logs = field(init=False)
    queries: Queries = field(init=False)
    permissions: Permissions = field(init=False)
    keys: Keys = field(init=False)
    control: ControlPlane = field(init=False)
    notifications: Notifications = field(init=False)
    stacks: Stacks = field(init=False)

    def __post_init__(self) -> None:
        from .alarms import Alarms
        from .events import Events
        from .functions import Functions
        from .keys import Keys
        from .logs import Logs
        from .logs_queries import Queries
        from .mappings import Mappings
        from .metrics_store import Metrics
        from .moto_adapter import ControlPlane
        from .notifications import Notifications
        from .permissions import Permissions
        from .queues import Queues
        from .stacks import Stacks

        self.scheduler = Scheduler(self.clock)
        self.events = Events(self)
        self.control = ControlPlane(self)
        self.permissions = Permissions(self)
        self.keys = Keys(self)
        self.metrics = Metrics(self)
        self.logs = Logs(self)
        self.queries = Queries()
        self.queues = Queues(self)
        self.functions = Functions(self)
        self.mappings = Mappings(self)
        self.notifications = Notifications(self)
        self.stacks = Stacks(self)
        self.alarms = Alarms(self)  # The last: a minute's metrics are complete when its alarms are evaluated.

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of `resource` in this account and Region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def start(self) -> None:
        """Let time run."""
        self.scheduler.start()

    def close(self) -> None:
        """End every execution environment and stop the clock."""
        self.functions.close()
        self.scheduler.stop()
