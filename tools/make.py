"""The Makefile's commands, also for a machine without make: ``python3 tools/make.py lab``.

This file finds a Python that the labs run on and hands over to `tools.tasks`. It must be readable by any Python, so
that an old one can say what is wrong: no annotations, no f-strings.
"""

import os
import subprocess
import sys

FIRST, LAST = (3, 11), (3, 14)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CANDIDATES = ["python3"] + ["python3.{}".format(minor) for minor in range(LAST[1], FIRST[1] - 1, -1)]
PROBE = "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.executable)"


def suits(version):
    # type: (str) -> bool
    """Return whether the labs run on that version of Python ("3.12.1")."""
    return FIRST <= tuple(int(part) for part in version.split(".")[:2]) <= LAST


def ask(python):
    # type: (str) -> tuple[str, str] | None
    """Return version and path of an interpreter, or None where it does not start."""
    try:
        process = subprocess.Popen([python, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lines = process.communicate()[0].decode().split("\n")
        return (lines[0].strip(), lines[1].strip()) if process.returncode == 0 else None
    except (OSError, IndexError):
        return None


def choose(named):
    # type: (str | None) -> str
    """Return the path of the Python to use: the one named, else the one that runs this, else the first that suits.

    Ends with one sentence where there is none.
    """
    here = "{}.{}.{}".format(*sys.version_info[:3])
    if named:
        found = ask(named)
        if found and suits(found[0]):
            return found[1]
        seen = "PYTHON={} is Python {}".format(named, found[0]) if found else "PYTHON={} does not start".format(named)
    elif suits(here):
        return sys.executable
    else:
        for name in CANDIDATES:
            found = ask(name)
            if found and suits(found[0]):
                return found[1]
        seen = "this one is Python {}, and no python3.11 to python3.14 is on the path".format(here)
    sys.exit(
        "The labs need a Python from {}.{} to {}.{}, but {}: ".format(*(FIRST + LAST + (seen,)))
        + "install one, or name one that you have, as in: make lab PYTHON=/usr/bin/python3.12"
    )


def main():
    # type: () -> None
    """Run the command on a Python that suits."""
    python = choose(os.environ.get("PYTHON"))
    if python == sys.executable:
        sys.path.insert(0, ROOT)
        from tools import tasks

        sys.exit(tasks.main(sys.argv[1:]))
    sys.exit(subprocess.call([python, os.path.abspath(__file__)] + sys.argv[1:]))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
