"""The program of an execution environment: awslambdaric around the handler.

It sees to four things and then leaves the process to AWS's own runtime client: the process ends when the server
does, the handler imports only what Lambda's Python runtime has, its clock agrees with the space's, and the log goes
to one pipe in the order in which it was written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_PACKAGES = {
    "awslambdaric",
    "boto3",
    "botocore",
    "dateutil",
    "jmespath",
    "runtime_client",
    "s3transfer",
    "simplejson",
    "six",
    "snapshot_restore_py",
    "urllib3",
}
_PR_SET_PDEATHSIG = 1


class SomePackages:
    """Finds some installed packages, and no other.

    Parameters
    ----------
    folders : list of str
        Where this Python's packages are installed.
    names : set of str
        The packages, such as those that come with Lambda's Python runtime.
    """

    def __init__(self, folders: list[str], names: set[str]) -> None:
        self._folders = folders
        self._names = names

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a top-level package of the runtime (a submodule is found through its package)."""
        return PathFinder.find_spec(name, self._folders) if path is None and name in self._names else None


def end_with(server: int) -> None:
    """End this process when the server's process `server` has ended, however it ended."""
    import _thread

    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        try:
            while os.read(lifeline, 1):
                continue
        except OSError:
            pass
        if sys.platform != "win32":
            import signal

            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    _thread.start_new_thread(watch, ())
    if sys.platform == "linux":
        import ctypes
        import signal

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != server:
            os._exit(1)


def clock_follower(path: str, folders: list[str]) -> Callable[[], None]:
    """Return a function that shifts this process's clock to the space's.

    Parameters
    ----------
    path : str
        A file of eight bytes, the seconds by which the space is ahead of real time.
    folders : list of str
        Where time-machine is installed.
    """
    import mmap
    import struct
    import time

    with open(path, "rb") as file:
        shared = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    read = struct.Struct("<d").unpack_from
    applied = 0.0
    traveller = None

    def follow() -> None:
        nonlocal applied, traveller
        offset = read(shared)[0]
        if offset == applied:
            return
        if traveller is None:
            finder = SomePackages(folders, {"time_machine", "_time_machine"})
            sys.meta_path.append(finder)
            import time_machine

            sys.meta_path.remove(finder)
            traveller = time_machine.travel(time.time() + offset, tick=True).start()
            # The traveller's time begins to run with the first look at it.
            time.time()
        else:
            traveller.shift(offset - applied)
        applied = offset

    return follow


def main() -> None:
    """Run the handler that `_HANDLER` names until the process is ended."""
    settings = [os.environ.pop("_LOCAL_AWS_" + name) for name in ("SERVER", "PACKAGES", "CLOCK", "PURE", "CODE")]
    server, packages, clock, pure, code = settings
    mark = os.environ.pop("_LOCAL_AWS_MARK", "")
    folders = packages.split(os.pathsep)
    end_with(int(server))
    follow = clock_follower(clock, folders)
    follow()
    sys.meta_path.append(SomePackages(folders, _PACKAGES))
    if pure:
        import importlib.util

        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "runtime_client.py")
        spec = importlib.util.spec_from_file_location("runtime_client", source)
        assert spec is not None and spec.loader is not None  # noqa: PT018
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        vars(module)["mark"] = mark
        sys.modules["runtime_client"] = module
    os.environ["_LAMBDA_TELEMETRY_LOG_FD"] = str(os.dup(1))
    from awslambdaric import bootstrap
    from awslambdaric.lambda_runtime_client import LambdaRuntimeClient

    class Client(LambdaRuntimeClient):
        """The runtime client, which sets the clock before each event."""

        def wait_next_invocation(self) -> object:
            """Wait for an event, and set the clock to its time."""
            request = super().wait_next_invocation()
            follow()
            return request

    sys.path.insert(0, code)
    sys.argv = ["bootstrap", os.environ["_HANDLER"]]
    bootstrap.run(os.environ["_HANDLER"], Client(os.environ["AWS_LAMBDA_RUNTIME_API"]))


if __name__ == "__main__":
    main()
