"""Read by every Python that has this folder on its path: the local AWS then lacks there what Windows lacks.

Its modules of process handling see an `os`, a `signal` and a `sys` without those names; the rest of Python is whole.
"""

from __future__ import annotations

import importlib.machinery
import os
import signal
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

MODULES = {
    f"helpers.local_aws.{name}"
    for name in (
        "environment",
        "environments",
        "handler_process",
        "io_loop",
        "memory",
        "platforms",
        "server",
        "spawner",
        "state",
    )
}
LACKS = {
    "os": (
        "fork forkpty geteuid getegid getgid getpgid getpgrp getuid killpg mkfifo nice pidfd_open "
        "posix_spawn setpgid setsid sysconf sysconf_names uname wait wait3 wait4 waitid WEXITED WNOWAIT P_PID P_PIDFD"
    ),
    "signal": (
        "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 alarm pause "
        "pidfd_send_signal pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigtimedwait "
        "sigwait sigwaitinfo"
    ),
    "sys": "",
}
DIFFERS: dict[str, dict[str, Any]] = {"os": {"name": "nt"}, "signal": {}, "sys": {"platform": "win32"}}
MISSING_MODULES = ("fcntl", "grp", "pwd", "resource", "termios")


class Lacking(ModuleType):
    """A module without some of its names."""

    def __init__(self, whole: ModuleType) -> None:
        super().__init__(whole.__name__)
        self.__dict__.update(DIFFERS[whole.__name__])
        self._whole = whole
        self._lacks = set(LACKS[whole.__name__].split())

    def __getattr__(self, name: str) -> Any:
        if name in self._lacks:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self._whole, name)


LACKING = {module.__name__: Lacking(module) for module in (os, signal, sys)}


class Finder:
    """Finds the modules of process handling, and takes from them what Windows lacks."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module as Python does; after it has run, it sees the lacking modules."""
        spec = importlib.machinery.PathFinder.find_spec(name, path, target) if name in MODULES else None
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                for own, lacking in LACKING.items():
                    if own in vars(module):
                        setattr(module, own, lacking)
                if name.endswith(".environments"):
                    for missing in MISSING_MODULES:
                        sys.modules[missing] = None  # type: ignore[assignment]

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]
