"""CloudWatch Logs Insights: the part of its query language that is offered, compiled and run over log events.

Commands: fields, display, filter, parse, stats, sort, limit, dedup. What is not offered is refused in one sentence;
nothing is skipped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from . import insights_terms as terms
from .insights_rows import LogEvent, Row, Value, shown
from .insights_terms import Compiled, Step

COMMANDS = ("fields", "display", "filter", "parse", "stats", "sort", "limit", "dedup")
AGGREGATES = ("count", "count_distinct", "sum", "avg", "min", "max", "pct")
MOST_ROWS = 10_000


class QueryError(Exception):
    """A query that is malformed or beyond what is offered.

    Parameters
    ----------
    message : str
        One sentence.
    start, end : int
        Where in the query's text.
    """

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start = start
        self.end = end


@dataclass(frozen=True)
class Result:
    """What a query brings.

    Attributes
    ----------
    rows : list of list of (str, str)
        Field and value, in the order of the columns; a field that a row lacks is absent.
    matched : int
        How many events passed the filters.
    """

    rows: list[list[tuple[str, str]]]
    matched: int


# The text of a query


@dataclass(frozen=True)
class Token:
    """A piece of a query: its kind, its value, and where it stands."""

    kind: str
    text: str
    start: int
    end: int


_TOKEN = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*)
  | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
  | (?P<quoted>`[^`]+`)
  | (?P<span>\d+(?:ms|s|m|h|d)\b)
  | (?P<number>\d+(?:\.\d+)?)
  | (?P<name>[@A-Za-z_][\w.@]*)
  | (?P<sign>!=|<=|>=|=~|~=|[|,()\[\]=<>+*/%^-])
    """,
    re.VERBOSE,
)
_REGEX = re.compile(r"/((?:\\.|[^/\\])+)/")
_END = "the end of the query"


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    at, command, fresh = 0, "", True
    while at < len(text):
        before = found[-1].text.lower() if found else ""
        if text[at] == "/" and (command == "parse" or before in ("like", "=~", "~=")):
            match, kind = _REGEX.match(text, at), "regex"
        else:
            match = _TOKEN.match(text, at)
            kind = str(match.lastgroup) if match else ""
        if match is None:
            raise QueryError(f"Unexpected character {text[at]!r} at position {at}.", at, at + 1)
        if kind != "space":
            token = Token(kind, match[0], at, match.end())
            if fresh:
                command, fresh = token.text.lower(), False
            if token.kind == "sign" and token.text == "|":
                fresh = True
            found.append(token)
        at = match.end()
    found.append(Token("end", "", len(text), len(text)))
    return found


# Compiling


class Query:
    """A compiled query.

    Parameters
    ----------
    text : str
        The query.

    Raises
    ------
    QueryError
        For what is malformed or not offered.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0
        self._steps: list[tuple[str, Step]] = []
        self._columns: list[str] = []
        self._displayed: list[str] | None = None
        self._aggregates: list[tuple[str, Compiled | None, float]] | None = None
        self._outside: list[Token] = []
        self._has_stats = False
        self.limit: int | None = None
        while True:
            self._command()
            if self._peek().kind == "end":
                break
            self._expect("|")

    def run(self, events: Iterable[LogEvent], account: str, limit: int | None = None) -> Result:
        """Run the query.

        Parameters
        ----------
        events : iterable of LogEvent
            The events of the time range.
        account : str
            The account's number, for `@log`.
        limit : int, optional
            StartQuery's limit; one in the query counts more.
        """
        ordered = sorted(events, key=lambda event: (event.timestamp, int(event.event_id)), reverse=True)
        rows = [Row(account, event) for event in ordered]
        matched = len(rows)
        filtering = True
        for kind, step in self._steps:
            rows = step(rows)
            filtering = filtering and kind in ("filter", "fields", "display", "parse")
            if filtering:
                matched = len(rows)
        if self.limit is None:
            rows = rows[: min(limit or MOST_ROWS, MOST_ROWS)]
        columns = self._displayed if self._displayed is not None else self._columns
        if not columns:
            columns = ["@timestamp", "@message"]
        if not self._has_stats:
            columns = [*(column for column in columns if column != "@ptr"), "@ptr"]
        lines = []
        for row in rows:
            values = ((column, row.get(column)) for column in dict.fromkeys(columns))
            lines.append([(column, shown(value)) for column, value in values if value is not None])
        return Result(lines, matched)

    # Reading

    def _peek(self, ahead: int = 0) -> Token:
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def _next(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def _is(self, text: str, ahead: int = 0) -> bool:
        token = self._peek(ahead)
        return token.kind in ("sign", "name") and token.text.lower() == text

    def _take(self, text: str) -> bool:
        if self._is(text):
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            self._refuse(f"expected {text!r} and found {self._peek().text or _END!r}")

    def _refuse(self, why: str, token: Token | None = None) -> NoReturn:
        token = token or self._peek()
        raise QueryError(
            f"The local AWS cannot run this query: {why}; it offers the commands {', '.join(COMMANDS)}, the functions "
            f"{', '.join(AGGREGATES)} in stats, bin, {', '.join(terms.FUNCTIONS)}, and the operators "
            "= != < <= > >= like in and or not + - * / % ^.",
            token.start,
            max(token.end, token.start + 1),
        )

    def _span(self, start: int) -> str:
        """Return the text from a token to the one before this."""
        return self._text[self._tokens[start].start : self._tokens[self._at - 1].end]

    # Commands

    def _command(self) -> None:
        token = self._next()
        name = token.text.lower()
        if token.kind != "name" or name not in COMMANDS:
            self._refuse(f"{token.text or _END!r} is no command that is offered", token)
        if self._steps and self._steps[-1][0] == "dedup" and name != "limit":
            self._refuse("only limit may come after dedup", token)
        self._steps.append((name, getattr(self, f"_{name}")()))

    def _fields(self) -> Step:
        made = self._list(self._named)
        self._columns += [name for name, _ in made]
        return terms.computing(made)

    def _display(self) -> Step:
        made = self._list(self._named)
        self._displayed = [name for name, _ in made]
        return terms.computing(made)

    def _filter(self) -> Step:
        condition = self._expression()
        return lambda rows: [row for row in rows if terms.true(condition(row))]

    def _parse(self) -> Step:
        source: Compiled = terms.field("@message")
        if self._peek().kind in ("name", "quoted"):
            source = self._primary()
        token = self._next()
        if token.kind == "regex":
            pattern = self._regex(token)
            names = list(pattern.groupindex)
            if not names:
                self._refuse("a regular expression after parse needs named groups such as (?<user>\\w+)", token)
            if self._take("as"):
                names = self._list(self._name)
        elif token.kind == "string":
            pattern = terms.glob(terms.unquoted(token.text))
            self._expect("as")
            names = self._list(self._name)
        else:
            self._refuse(f"parse needs a glob in quotes or a regular expression, not {token.text or _END!r}", token)
        if len(names) != pattern.groups:
            self._refuse(f"parse has {pattern.groups} placeholders and {len(names)} names", token)

        def step(rows: list[Row]) -> list[Row]:
            for row in rows:
                text = source(row)
                match = pattern.search(shown(text)) if text is not None else None
                if match is not None:
                    found = zip(names, match.groups(), strict=True)
                    row.known.update({name: value for name, value in found if value is not None})
            return rows

        return step

    def _stats(self) -> Step:
        self._aggregates, aliases = [], list[tuple[str, Compiled]]()
        while True:
            self._outside = []
            before = len(self._aggregates)
            name, value = self._named()
            unknown = [token for token in self._outside if token.text not in [alias for alias, _ in aliases]]
            if unknown or (len(self._aggregates) == before and not self._outside):
                at = unknown[0] if unknown else self._peek()
                self._refuse(f"stats needs a function such as count(*) or avg({name})", at)
            aliases.append((name, value))
            if not self._take(","):
                break
        aggregates, self._aggregates = self._aggregates, None
        keys = self._list(self._named) if self._take("by") else []
        self._has_stats = True
        self._columns, self._displayed = [name for name, _ in [*keys, *aliases]], None

        def step(rows: list[Row]) -> list[Row]:
            groups: dict[tuple[Value, ...], list[Row]] = {}
            for row in rows:
                groups.setdefault(tuple(key(row) for _, key in keys), []).append(row)
            made = []
            for values, members in groups.items():
                line = Row("", None, dict(zip([name for name, _ in keys], values, strict=True)))
                for number_, (function, argument, percent) in enumerate(aggregates):
                    line.known[f"\0{number_}"] = terms.aggregate(function, argument, percent, members)
                for name, value in aliases:
                    line.known[name] = value(line)
                made.append(line)
            return made

        return step

    def _sort(self) -> Step:
        keys = self._list(self._sort_key)

        def step(rows: list[Row]) -> list[Row]:
            for value, descending in reversed(keys):
                there = [row for row in rows if value(row) is not None]
                there.sort(key=lambda row, value=value: terms.order(value(row)), reverse=descending)  # type: ignore[misc]
                rows = there + [row for row in rows if value(row) is None]
            return rows

        return step

    def _sort_key(self) -> tuple[Compiled, bool]:
        value = self._sum()
        descending = self._take("desc")
        if not descending:
            self._take("asc")
        return value, descending

    def _limit(self) -> Step:
        token = self._next()
        if token.kind != "number" or "." in token.text or not 1 <= int(token.text) <= MOST_ROWS:
            self._refuse(f"limit is a whole number from 1 to {MOST_ROWS}", token)
        most = self.limit = int(token.text)
        return lambda rows: rows[:most]

    def _dedup(self) -> Step:
        keys = [terms.field(name) for name in self._list(self._name)]

        def step(rows: list[Row]) -> list[Row]:
            seen: set[tuple[Value, ...]] = set()
            kept = []
            for row in rows:
                values = tuple(key(row) for key in keys)
                if None in values or values not in seen:
                    seen.add(values)
                    kept.append(row)
            return kept

        return step

    # Expressions

    def _list(self, one: Callable[[], Any]) -> list[Any]:
        found = [one()]
        while self._take(","):
            found.append(one())
        return found

    def _name(self) -> str:
        token = self._next()
        if token.kind not in ("name", "quoted"):
            self._refuse(f"expected the name of a field and found {token.text or _END!r}", token)
        return token.text.strip("`")

    def _named(self) -> tuple[str, Compiled]:
        start = self._at
        value = self._expression()
        name = self._span(start).strip("`")
        return (self._name() if self._take("as") else name), value

    def _expression(self) -> Compiled:
        value = self._and()
        while self._take("or"):
            value = terms.either(value, self._and())
        return value

    def _and(self) -> Compiled:
        value = self._not()
        while self._take("and"):
            value = terms.both(value, self._not())
        return value

    def _not(self) -> Compiled:
        if self._take("not"):
            value = self._not()
            return lambda row: not terms.true(value(row))
        return self._comparison()

    def _comparison(self) -> Compiled:
        left = self._sum()
        negated = self._is("not") and (self._is("like", 1) or self._is("in", 1)) and self._take("not")
        test: Compiled | None = None
        if self._take("like") or self._take("=~") or self._take("~="):
            test = self._like(left)
        elif self._take("in"):
            self._expect("[")
            values = self._list(self._sum)
            self._expect("]")
            test = terms.one_of(left, values)
        else:
            for sign, compare in terms.COMPARISONS.items():
                if self._take(sign):
                    return terms.compared(compare, left, self._sum())
        if test is None:
            return left
        found = test
        return (lambda row: not found(row)) if negated else found

    def _like(self, left: Compiled) -> Compiled:
        token = self._next()
        if token.kind == "regex":
            pattern = self._regex(token)
            return lambda row: (value := left(row)) is not None and pattern.search(shown(value)) is not None
        if token.kind != "string":
            self._refuse(f"like needs a text in quotes or a regular expression, not {token.text or _END!r}", token)
        part = terms.unquoted(token.text)
        return lambda row: (value := left(row)) is not None and part in shown(value)

    def _sum(self) -> Compiled:
        value = self._product()
        while self._is("+") or self._is("-"):
            value = terms.arithmetic(self._next().text, value, self._product())
        return value

    def _product(self) -> Compiled:
        value = self._power()
        while self._is("*") or self._is("/") or self._is("%"):
            value = terms.arithmetic(self._next().text, value, self._power())
        return value

    def _power(self) -> Compiled:
        value = self._unary()
        return terms.arithmetic("^", value, self._power()) if self._take("^") else value

    def _unary(self) -> Compiled:
        if self._take("-"):
            return terms.arithmetic("-", lambda row: 0.0, self._unary())
        return self._primary()

    def _primary(self) -> Compiled:
        token = self._next()
        if token.kind == "number":
            constant: Value = float(token.text)
            return lambda row: constant
        if token.kind == "string":
            text = terms.unquoted(token.text)
            return lambda row: text
        if token.kind == "sign" and token.text == "(":
            value = self._expression()
            self._expect(")")
            return value
        if token.kind == "name" and self._is("("):
            return self._call(token)
        if token.kind in ("name", "quoted"):
            if self._aggregates is not None:
                self._outside.append(token)
            return terms.field(token.text.strip("`"))
        self._refuse(f"{token.text or _END!r} was not expected", token)

    def _call(self, token: Token) -> Compiled:
        name = token.text.lower()
        self._expect("(")
        if name == "bin":
            span = self._next()
            if span.kind != "span":
                self._refuse("bin needs a span of time such as 5m", span)
            self._expect(")")
            return terms.binned(terms.milliseconds(span.text), self._text[token.start : self._tokens[self._at - 1].end])
        if name in AGGREGATES and self._aggregates is not None:
            return self._aggregate(name, token)
        if name not in terms.FUNCTIONS:
            self._refuse(f"{token.text}() is not offered here", token)
        values = [] if self._is(")") else self._list(self._expression)
        self._expect(")")
        least, most, function = terms.FUNCTIONS[name]
        if not least <= len(values) <= most:
            self._refuse(f"{token.text}() does not take {len(values)} arguments", token)
        return lambda row: function([value(row) for value in values])

    def _aggregate(self, name: str, token: Token) -> Compiled:
        outer, outside = self._aggregates, self._outside
        assert outer is not None
        self._aggregates = None
        argument: Compiled | None = None
        percent = 0.0
        if name == "count" and (self._take("*") or self._is(")")):
            pass
        else:
            argument = self._expression()
        if name == "pct":
            self._expect(",")
            wanted = self._next()
            if wanted.kind != "number" or not 0 <= float(wanted.text) <= 100:
                self._refuse("pct needs a field and a percentage such as pct(@duration, 95)", wanted)
            percent = float(wanted.text)
        self._expect(")")
        self._aggregates, self._outside = outer, outside
        outer.append((name, argument, percent))
        return terms.field(f"\0{len(outer) - 1}")

    def _regex(self, token: Token) -> re.Pattern[str]:
        text = token.text[1:-1].replace("\\/", "/")
        try:
            return re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", text))
        except re.error:
            self._refuse(f"{token.text} is no regular expression", token)
