"""What the labs raise: what happened, why, and what to do, without a traceback."""

from __future__ import annotations


class LabError(Exception):
    """Something a person can put right.

    Parameters
    ----------
    what : str
        What happened, as a sentence.
    why : str, optional
        The reason, as a sentence.
    fix : str, optional
        What to do next, as a sentence.
    """

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what, why, fix)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.why, self.fix) if part)

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of a traceback."""
        return [f"{type(self).__name__}: {self.what}", *(part for part in (self.why, self.fix) if part)]


class Interrupted(KeyboardInterrupt):
    """A wait that its user stopped; it shows as one line and still ends a run of cells."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


_MISSING = ("NotFound", "NotFoundException", "DoesNotExist", "NonExistentQueue", "NoSuchEntity", "NoSuchBucket")


def is_missing(problem: Exception) -> bool:
    """Return whether `problem` is AWS's answer that the thing asked for does not exist."""
    response = getattr(problem, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return isinstance(code, str) and code.endswith(_MISSING)
