"""What needs no kernel: `python -m helpers cleanup`, `predictions`, `report` and `room`."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

from .errors import LabError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m helpers")
    commands = parser.add_subparsers(required=True, metavar="command")
    command = commands.add_parser("cleanup", help="remove everything that a notebook made, and prove it")
    command.add_argument("--space", help="the space, as the identity card shows it (default: LAB_SPACE, else default)")
    command.set_defaults(run=lambda options: cleanup(options.space))
    command = commands.add_parser("predictions", help="export what was predicted, without names; or begin anew")
    either = command.add_mutually_exclusive_group(required=True)
    either.add_argument("--export", metavar="FILE", help="write all predictions to a CSV file (- for the screen)")
    either.add_argument("--forget", metavar="NOTEBOOK", help="forget those of a notebook, such as 05")
    command.set_defaults(run=lambda options: predictions(options.export, options.forget))
    command = commands.add_parser("report", help="write what was solved and predicted into one page to hand in")
    command.add_argument("--name", default="", help="the learner's, if it shall stand on it")
    command.add_argument("--to", metavar="FILE", default="progress.html", help="(default: progress.html)")
    command.set_defaults(run=lambda options: report(options.name, options.to))
    command = commands.add_parser("room", help="what a room predicted: pool the reports of many")
    command.add_argument("paths", nargs="+", metavar="PATH", help="reports, exports of predictions, or folders of them")
    command.add_argument("--table", metavar="FILE", help="write the pooled answers to a CSV file")
    command.add_argument("--picture", metavar="FILE", help="draw them, to an .svg, .png or .pdf file")
    command.set_defaults(run=lambda options: room(options.paths, options.table, options.picture))
    options = parser.parse_args(arguments)
    try:
        options.run(options)
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


def predictions(export: str | None, forget: str | None) -> None:
    """Write the learner's predictions to a file that names no person, or forget those of a notebook.

    Raises
    ------
    LabError
        When the file cannot be written, or there is no such notebook.
    """
    from . import predictions as kept

    if forget is not None:
        existed = kept.forget(forget)
        print(f"The predictions of notebook {forget} are forgotten." if existed else f"Notebook {forget} has none.")
    elif export == "-":
        print(kept.export(), end="")
    elif export is not None:
        content = kept.export()
        try:
            Path(export).write_text(content, encoding="utf-8")
        except OSError as problem:
            raise LabError(f"{export} cannot be written: {problem.strerror}.") from None
        count = len(list(csv.reader(content.splitlines()))) - 1
        print(f"{count} prediction{'' if count == 1 else 's'} in {export}: questions and answers, and no names.")


def report(name: str, to: str) -> None:
    """Write a learner's report and say what stands on it.

    Raises
    ------
    LabError
        When it cannot be written.
    """
    from .report import write

    print(write(to, name))


def room(paths: list[str], table: str | None, picture: str | None) -> None:
    """Say of each prediction how many of a room were right, and write the answers and their picture.

    Raises
    ------
    LabError
        When there is no report, or a file cannot be written.
    """
    from .report import findings, histograms, pool

    pooled = pool(paths)
    print(findings(pooled))
    try:
        if table:
            pooled.to_csv(table, index=False)
        if picture:
            figure: Any = histograms(pooled)[0].figure
            figure.savefig(picture)
    except (OSError, ValueError) as problem:
        raise LabError(f"It cannot be written: {problem}") from None


if __name__ == "__main__":
    sys.exit(main())
