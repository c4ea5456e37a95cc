"""The Logs Insights queries that were started, and what they brought."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import ApiError

if TYPE_CHECKING:
    from .insights import Result

_MOST_QUERIES = 200


@dataclass
class StartedQuery:
    """A query that StartQuery has run."""

    query_id: str
    text: str
    groups: list[str]
    created: float
    result: Result
    scanned: int
    scanned_bytes: int


class Queries:
    """The queries of a space, and their results; the oldest are forgotten."""

    def __init__(self) -> None:
        self._queries: OrderedDict[str, StartedQuery] = OrderedDict()

    def __iter__(self) -> Iterator[StartedQuery]:
        """Yield the queries, newest first."""
        return reversed(list(self._queries.values()))

    def add(self, query: StartedQuery) -> None:
        """Keep a query."""
        self._queries[query.query_id] = query
        while len(self._queries) > _MOST_QUERIES:
            self._queries.popitem(last=False)

    def get(self, query_id: str) -> StartedQuery:
        """Return a query.

        Raises
        ------
        ApiError
            ResourceNotFoundException for an unknown id.
        """
        query = self._queries.get(query_id)
        if query is None:
            raise ApiError("ResourceNotFoundException", f"The query {query_id} does not exist.")
        return query
