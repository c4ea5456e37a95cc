"""`python -m helpers cleanup`: remove what a notebook made, without its kernel."""

from __future__ import annotations

import argparse
import sys

from .errors import LabError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m helpers")
    commands = parser.add_subparsers(required=True, metavar="cleanup")
    command = commands.add_parser("cleanup", help="remove everything that a notebook made, and prove it")
    command.add_argument("--space", help="the space, as the identity card shows it (default: LAB_SPACE, else default)")
    options = parser.parse_args(arguments)
    try:
        cleanup(options.space)
    except LabError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def cleanup(space: str | None = None) -> None:
    """Remove everything that the notebook of `space` made, in the cloud that `LAB_CLOUD` chooses.

    Raises
    ------
    LabError
        When something is left.
    """
    from .clouds import choose
    from .lab import Lab
    from .names import prefix_for, space_name, valid_space

    space = valid_space(space) if space else space_name()
    prefix = prefix_for(space)
    cloud, note = choose(None, space=space, start=False)
    if note:
        print(note)
    if cloud is None:
        print(f"The local AWS of the space {space} does not run: nothing is left of it.")
        return
    Lab(cloud, space=space, prefix=prefix).cleanup()


if __name__ == "__main__":
    sys.exit(main())
