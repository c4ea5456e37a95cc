"""Rules of stacks."""

from __future__ import annotations

from . import Mutation

MUTATIONS = [
    Mutation(
        "a failed stack does not say what Lambda said",
        row="C18",
        file="helpers/local_aws/stack_functions.py",
        old='    refusal = "Invalid request provided: "',
        new='    refusal = ""',
    ),
    Mutation(
        "a failed creation leaves what was made",
        row="C18",
        file="helpers/local_aws/stack.py",
        old='            failed = yield from self._delete_all(list(self.records), ("Retain",))',
        new="            failed: list[str] = []",
    ),
]
