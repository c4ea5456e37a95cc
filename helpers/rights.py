"""Rights, in a line each: a statement of a policy, and a call that may be refused."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_PAGE_WIDTH = 88
_WHY = re.compile(r"because (no .+?) allows the |with (an explicit deny in .+? (?:policy|boundary))")


@dataclass(frozen=True, repr=False)
class Answer:
    """What became of a call: true if it went through, else AWS's refusal.

    Attributes
    ----------
    text : str
        The refusal as AWS words it; empty when there was none.
    """

    text: str = ""

    def __bool__(self) -> bool:
        return not self.text

    @property
    def short(self) -> str:
        """`yes`, or which kind of policy refused: the end of AWS's text."""
        found = _WHY.search(self.text)
        return "yes" if self else f"refused: {(found[1] or found[2]) if found else self.text.partition('. ')[0]}"

    def __str__(self) -> str:
        return textwrap.fill(repr(self), _PAGE_WIDTH, break_long_words=False, break_on_hyphens=False)

    def __repr__(self) -> str:
        return self.text or "yes"


def may(actions: str | Sequence[str], *arns: str) -> dict[str, Any]:
    """Return one statement of a policy.

    Parameters
    ----------
    actions : str or sequence of str
        Such as `sqs:SendMessage`.
    *arns : str
        On what.

    >>> may("sqs:SendMessage", "arn:aws:sqs:us-east-1:111122223333:orders")["Effect"]
    'Allow'
    """
    return {"Effect": "Allow", "Action": actions, "Resource": list(arns)}


def attempt(call: Callable[..., Any], **parameters: Any) -> Answer:
    """Make a call that AWS may refuse.

    Parameters
    ----------
    call : callable
        A method of a client, such as `sqs.send_message`.
    **parameters
        Its parameters.
    """
    from botocore.exceptions import ClientError

    try:
        call(**parameters)
    except ClientError as refusal:
        return Answer(refusal.response["Error"]["Message"])
    return Answer()
