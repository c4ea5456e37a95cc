"""CloudWatch Logs' filter patterns: which events FilterLogEvents returns (rows L1 to L5).

There are three kinds: terms, for any text; `{ … }`, for events in JSON; `[ … ]`, for events made of fields with spaces
between them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

Matches = Callable[[str], bool]

MOST_REGULAR_EXPRESSIONS = 2
"""In one pattern for JSON or for fields (row L2)."""
MOST_WILDCARDS = 3
"""Among the selectors of one pattern for JSON, at most one a selector (row L3)."""

_Event = Any
_Condition = Callable[[_Event], bool]
_Find = Callable[[_Event], Sequence[Any]]

_TERM = re.compile(
    r"""([?-]?) (?: "((?:[^"\\]|\\.)*)" | %([^%]*)% | (\S+) ) (?=\s|$)""", re.VERBOSE | re.DOTALL | re.ASCII
)
_ODD = re.compile(r"[^\w\s]+", re.ASCII)
_PLAIN = r":_\#=@/;,\-^$?\[\]{}|*+."
_REGULAR_EXPRESSION = re.compile(rf"(?:[A-Za-z0-9{_PLAIN}]|\\(?:[dDsSwW\\{_PLAIN}]|x[0-9A-Fa-f]{{2}}))*")
_TOKEN = re.compile(
    r"""(?P<quoted> "(?:[^"\\]|\\.)*" )
      | % (?P<regex> [^%]* ) %
      | (?P<selector> \$ (?: \. (?:[\w-]+|\*) | \.? \[ (?: \d+ | \* | '[^']*' | "[^"]*" ) \] )+ )
      | (?P<sign> && | \|\| | != | <= | >= | [()=<>,] )
      | (?P<word> [\w.*+-]+ )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_STEP = re.compile(r"""\. ([\w-]+) | \[ (\d+) \] | \[ '([^']*)' \] | \[ "([^"]*)" \] | (\*)""", re.VERBOSE | re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_FIELD = re.compile(r"""(?: \[ ([^\]]*) \] | "([^"]*)" ) (?=\s|$) | (\S+)""", re.VERBOSE)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    "<": lambda a, b: bool(a < b),
    ">": lambda a, b: bool(a > b),
    "<=": lambda a, b: bool(a <= b),
    ">=": lambda a, b: bool(a >= b),
}
_CONSTANTS = {"NULL": None, "TRUE": True, "FALSE": False}


class PatternError(Exception):
    """A pattern that cannot be read; its text is for InvalidParameterException."""


def compiled(pattern: str) -> Matches:
    """Return the test that a filter pattern stands for (rows L1 to L5).

    Parameters
    ----------
    pattern : str
        The pattern; an empty one matches every event.

    Returns
    -------
    callable
        From an event's message to whether it matches.

    Raises
    ------
    PatternError
        When the pattern is malformed.
    """
    text = pattern.strip()
    try:
        for start, end, read in (("{", "}", _of_json), ("[", "]", _of_fields)):
            if text.startswith(start):
                if not text.endswith(end):
                    raise PatternError(f"If a filter pattern starts with '{start}' it must end with '{end}'")
                return read(text[1:-1])
        return _of_terms(text)
    except RecursionError:
        raise _invalid("it is nested too deeply") from None


def _invalid(reason: str) -> PatternError:
    return PatternError(f"Invalid filter pattern: {reason}.")


def _odd_characters(text: str) -> PatternError:
    odd = _ODD.search(text)
    return PatternError(f"Invalid character(s) in term '{odd[0] if odd else text}'")


def _unescaped(text: str) -> str:
    return re.sub(r'\\(["\\])', r"\1", text)


def _searching(expression: str) -> Matches:
    """Return the search for a regular expression, of which only a part is offered (row L2)."""
    known = _REGULAR_EXPRESSION.match(expression)
    end = known.end() if known else 0
    if end < len(expression):
        raise PatternError(f"Invalid character(s) in term '{expression[end]}'")
    try:
        search = re.compile(expression, re.ASCII).search
    except re.error as problem:
        raise _invalid(f"a regular expression cannot be read: {problem}") from None
    return lambda message: search(message) is not None


# Terms


def _of_terms(text: str) -> Matches:
    """Read terms: all must occur, those after `-` must not; of those after `?` one must, if there are no others."""
    wanted: list[Matches] = []
    optional: list[Matches] = []
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise _odd_characters(text[position:])
        sign, phrase, expression, word = match.groups()
        if word is not None and _ODD.search(word):
            raise _odd_characters(word)
        term = _searching(expression) if expression is not None else _containing(word or _unescaped(phrase or ""))
        if sign == "?":
            optional.append(term)
        else:
            wanted.append(_unless(term) if sign else term)
        position = match.end()
        while position < len(text) and text[position].isspace():
            position += 1
    if optional and not wanted:
        return lambda message: any(term(message) for term in optional)
    return lambda message: all(term(message) for term in wanted)


def _containing(term: str) -> Matches:
    # `" "` stands for everything, as an empty pattern does.
    return (lambda message: term in message) if term.strip() else (lambda message: True)


def _unless(condition: _Condition) -> _Condition:
    return lambda event: not condition(event)


# What patterns for JSON and for fields have in common


class _Expression:
    """Conditions with `&&`, `||` and parentheses, as tokens.

    Parameters
    ----------
    tokens : sequence of (str, str)
        Kind and text.
    subject : callable
        From a token to what finds its values in an event.
    loose : bool
        Whether texts that are numbers are compared as numbers.
    """

    def __init__(
        self, tokens: Sequence[tuple[str, str]], subject: Callable[[tuple[str, str]], _Find], *, loose: bool
    ) -> None:
        self._tokens = tokens
        self._subject = subject
        self._loose = loose
        self._position = 0

    def read(self) -> _Condition:
        """Return the condition that the tokens stand for."""
        condition = self._either()
        if self._position < len(self._tokens):
            raise _invalid(f"'{self._tokens[self._position][1]}' is not expected there")
        return condition

    def _either(self) -> _Condition:
        parts = [self._both()]
        while self._follows("||"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda event: any(part(event) for part in parts)

    def _both(self) -> _Condition:
        parts = [self._one()]
        while self._follows("&&"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda event: all(part(event) for part in parts)

    def _one(self) -> _Condition:
        if self._follows("("):
            condition = self._either()
            if not self._follows(")"):
                raise _invalid("a parenthesis is not closed")
            return condition
        find = self._subject(self._next())
        kind, operator = self._next()
        if kind == "word" and operator in ("IS", "NOT", "EXISTS") and not self._loose:
            return self._state(find, operator)
        if operator not in _COMPARISONS:
            raise _invalid(f"'{operator}' is no operator")
        test = self._comparison(operator, *self._next())
        return lambda event: any(test(value) for value in find(event))

    def _state(self, find: _Find, word: str) -> _Condition:
        second = self._next()[1] if word != "EXISTS" else ""
        if (word, second) == ("NOT", "EXISTS"):
            return lambda event: not find(event)
        if word == "IS" and second in _CONSTANTS:
            constant = _CONSTANTS[second]
            return lambda event: any(value is constant for value in find(event))
        raise _invalid("only IS NULL, IS TRUE, IS FALSE and NOT EXISTS are supported")

    def _comparison(self, operator: str, kind: str, text: str) -> Callable[[Any], bool]:
        compare = _COMPARISONS[operator]
        if kind == "word" and _NUMBER.fullmatch(text):
            return self._numeric(compare, text, ordered=operator not in ("=", "!="))
        if operator not in ("=", "!="):
            raise _invalid(f"{operator} compares with a number")
        if kind == "regex":
            test = _searching(text)
        elif kind in ("quoted", "word"):
            test = _like(_unescaped(text[1:-1]) if kind == "quoted" else text)
        else:
            raise _invalid(f"'{text}' is no value")
        wanted = operator == "="
        return lambda value: _is_text_or_number(value) and test(str(value)) is wanted

    def _numeric(self, compare: Callable[[Any, Any], bool], text: str, *, ordered: bool) -> Callable[[Any], bool]:
        number = Decimal(text)

        def test(value: Any) -> bool:
            if self._loose and _NUMBER.fullmatch(value):
                value = Decimal(value)
            if isinstance(value, Decimal):
                return compare(value, number)
            return isinstance(value, str) and not ordered and compare(value, text)

        return test

    def _follows(self, sign: str) -> bool:
        found = self._position < len(self._tokens) and self._tokens[self._position] == ("sign", sign)
        self._position += found
        return found

    def _next(self) -> tuple[str, str]:
        if self._position == len(self._tokens):
            raise _invalid("it ends too early")
        self._position += 1
        return self._tokens[self._position - 1]


def _tokens(text: str) -> list[tuple[str, str]]:
    """Return the kinds and texts of what a pattern in brackets is made of."""
    tokens: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _odd_characters(text[position:])
        tokens.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    if [kind for kind, _ in tokens].count("regex") > MOST_REGULAR_EXPRESSIONS:
        raise _invalid(f"it may have at most {MOST_REGULAR_EXPRESSIONS} regular expressions")
    return tokens


def _like(wanted: str) -> Matches:
    """Return the comparison with a text that may begin and end with a `*` for anything; elsewhere it is a character."""
    core = wanted[wanted.startswith("*") : len(wanted) - (wanted.endswith("*") and len(wanted) > 1)]
    if wanted.startswith("*") and wanted.endswith("*"):
        return lambda value: core in value
    if wanted.startswith("*"):
        return lambda value: value.endswith(core)
    return (lambda value: value.startswith(core)) if wanted.endswith("*") else (lambda value: value == core)


def _is_text_or_number(value: Any) -> bool:
    return isinstance(value, str | Decimal)


# Patterns for JSON


def _of_json(text: str) -> Matches:
    tokens = _tokens(text)
    wildcards = [selector.count("*") for kind, selector in tokens if kind == "selector"]
    if max(wildcards, default=0) > 1 or sum(wildcards) > MOST_WILDCARDS:
        raise _invalid(f"one wildcard a selector and {MOST_WILDCARDS} altogether are allowed")
    condition = _Expression(tokens, _selected, loose=False).read()

    def matches(message: str) -> bool:
        try:
            document = json.loads(message, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_constant)
        except (ValueError, ArithmeticError, RecursionError):
            return False
        return isinstance(document, dict) and condition(document)

    return matches


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def _selected(token: tuple[str, str]) -> _Find:
    """Return what finds the values that a selector such as `$.users[0].id` names."""
    kind, selector = token
    if kind != "selector":
        raise _invalid(f"'{selector}' is no selector: those begin with '$.'")
    steps: list[str | int | None] = []
    for name, index, single, double, wildcard in _STEP.findall(selector):
        steps.append(None if wildcard else int(index) if index else name or single or double)

    def find(event: _Event) -> Sequence[Any]:
        found = [event]
        for step in steps:
            found = [inner for value in found for inner in _inside(value, step)]
        return found

    return find


def _inside(value: Any, step: str | int | None) -> Sequence[Any]:
    if step is None:
        return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(step, int):
        return value[step : step + 1] if isinstance(value, list) else ()
    return (value[step],) if isinstance(value, dict) and step in value else ()


# Patterns for fields


def _of_fields(text: str) -> Matches:
    parts: list[list[tuple[str, str]]] = [[]]
    for token in _tokens(text):
        if token == ("sign", ","):
            parts.append([])
        else:
            parts[-1].append(token)
    gaps = [place for place, part in enumerate(parts) if part == [("word", "...")]]
    if len(gaps) > 1:
        raise _invalid("it may have one ellipsis")
    conditions = [_field_condition(part) for part in parts if part != [("word", "...")]]

    def matches(message: str) -> bool:
        found = list(_FIELD.finditer(message))
        fields = ["".join(match.groups("")) for match in found]
        spare = len(fields) - len(conditions)
        if spare < 0:
            return False
        if gaps:
            del fields[gaps[0] : gaps[0] + spare]
        elif spare:
            # `[w1=ERROR, w2]` is for every event whose first word is ERROR: the last field takes the rest.
            fields[-spare - 1 :] = [message[found[-spare - 1].start() :].rstrip()]
        return all(condition(field) for condition, field in zip(conditions, fields, strict=True))

    return matches


def _field_condition(tokens: Sequence[tuple[str, str]]) -> _Condition:
    """Return what one field of a pattern asks for: a name alone, or nothing, takes anything."""
    names = [text for kind, text in tokens if kind == "word"][:1]
    if names and not re.fullmatch(r"[\w-]+", names[0], re.ASCII):
        raise _odd_characters(names[0])
    if not tokens or list(tokens) == [("word", name) for name in names]:
        return lambda field: True

    def subject(token: tuple[str, str]) -> _Find:
        if token not in [("word", name) for name in names]:
            raise _invalid(f"'{token[1]}' is not the name of this field")
        return lambda field: (field,)

    return _Expression(tokens, subject, loose=True).read()
