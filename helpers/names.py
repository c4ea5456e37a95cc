"""The names of a learner's things: the space, the prefix, and the tag that every resource carries."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import PurePath

from .errors import LabError

TAG = "lambda-sqs-labs"
"""The key of the tag; its value is the prefix."""

_SPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PREFIX = re.compile(r"[a-z][a-z0-9]{2,15}")
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.fifo)?")
_LONGEST = 64
# VS Code adds a number of its own to the path at each start of a kernel.
_SESSION_SUFFIX = re.compile(r"-jvsc-[0-9a-f-]+(ipynb)?$")


def space_name(environ: Mapping[str, str] = os.environ) -> str:
    """Return the space of this process: `LAB_SPACE`, else one made from the notebook's path, else `default`.

    Raises
    ------
    LabError
        When `LAB_SPACE` is not a usable name.
    """
    chosen = environ.get("LAB_SPACE", "")
    if chosen:
        return valid_space(chosen)
    session = _SESSION_SUFFIX.sub("", environ.get("JPY_SESSION_NAME", ""))
    if not session:
        return "default"
    readable = re.sub(r"[^A-Za-z0-9]+", "-", PurePath(session.replace("\\", "/")).stem).strip("-")[:40]
    return f"{readable or 'notebook'}-{_digest(session)}"


def notebook_number(space: str) -> str | None:
    """Return the two digits with which the notebook of a space begins, if they are known.

    >>> notebook_number("05-when-it-fails-3fa9c1")
    '05'
    """
    found = re.match(r"(\d\d)-", space, re.ASCII)
    return found[1] if found else None


def valid_space(space: str) -> str:
    """Return `space` if it can be the name of one.

    Raises
    ------
    LabError
        When it cannot.
    """
    if not _SPACE.fullmatch(space):
        raise LabError(
            f"{space!r} cannot be the name of a space.",
            "",
            "Use up to 64 letters, digits, dots, dashes and underscores.",
        )
    return space


def prefix_for(space: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the prefix of every resource of this learner in this space: `LAB_PREFIX`, else `lab-` and six digits.

    Raises
    ------
    LabError
        When `LAB_PREFIX` is not a usable prefix.
    """
    chosen = environ.get("LAB_PREFIX", "")
    if not chosen:
        return f"lab-{_digest(f'{_user()}/{space}')}"
    # A dash in it, or "lab" alone, could make one learner's prefix the beginning of another's, and cleanup take both.
    if not _PREFIX.fullmatch(chosen) or chosen == "lab":
        raise LabError(
            f"LAB_PREFIX is {chosen!r}, which cannot be a prefix.",
            "",
            "Use 3 to 16 lower-case letters and digits, the first a letter, and not 'lab' alone.",
        )
    return chosen


def full_name(prefix: str, name: str) -> str:
    """Return `name` with the prefix before it; a name that has it already stays as it is.

    Raises
    ------
    LabError
        When AWS would not take the name for a queue, a function and a role.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise LabError(
            f"{name!r} cannot be a name.",
            "",
            "Use letters, digits, dashes and underscores, and .fifo at the end of a FIFO queue.",
        )
    full = name if name.startswith(f"{prefix}-") else f"{prefix}-{name}"
    if len(full) > _LONGEST:
        raise LabError(
            f"The name {full!r} has {len(full)} characters.", f"AWS takes {_LONGEST}.", "Choose a shorter one."
        )
    return full


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return str(os.getuid()) if hasattr(os, "getuid") else "learner"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
