"""Named patches, each of which breaks one rule of the local AWS; a test of that rule must notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One rule, broken.

    Attributes
    ----------
    name : str
        What is broken, in words.
    row : str
        The rule's row in the behaviours ledger.
    file : str
        The file, from the project's root.
    old, new : str
        Source text that stands there once, and what takes its place.
    """

    name: str
    row: str
    file: str
    old: str
    new: str
