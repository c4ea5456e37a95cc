"""Ends the process groups of all execution environments when the server has died.

The server writes `+<group>` and `-<group>` lines; the end of that pipe means that the server is gone. A stopped
process cannot notice that by itself, and a handler's own child processes never would.
"""

import os
import signal
import sys


def main() -> None:
    """Read until the pipe ends, then kill what is left."""
    if sys.platform == "win32":
        sys.exit("There are no process groups here to guard.")
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        group = int(line[1:])
        if line[:1] == b"+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError:
            continue


if __name__ == "__main__":
    main()
