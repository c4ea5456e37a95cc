"""What the local AWS answers when it refuses a call."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A refusal with the code, text and status that AWS uses.

    Parameters
    ----------
    code : str
        The modelled name of the error, such as `QueueDoesNotExist`. boto3 makes its exception class of it.
    message : str
        The text, word for word.
    status : int
        The HTTP status.
    query_code : str, optional
        SQS only: the code of the old query protocol, which boto3 shows as `Error.Code` (row A15). Without it the
        service model's own code is used, else `code`.
    fields : Any
        Further members of the error, such as `Reason` for a throttled invocation.
    """

    def __init__(
        self, code: str, message: str, status: int = 400, *, query_code: str | None = None, **fields: Any
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.query_code = query_code
        self.fields = fields
