"""What a compiled query of CloudWatch Logs Insights is made of: fields, operators, functions, statistics."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from .insights_rows import Moment, Row, Value, number, shown

Compiled = Callable[[Row], Value]
Step = Callable[[list[Row]], list[Row]]


def field(name: str) -> Compiled:
    """Return what looks up a field."""
    return lambda row: row.get(name)


def computing(made: Sequence[tuple[str, Compiled]]) -> Step:
    """Return the step that adds computed fields to every row."""

    def step(rows: list[Row]) -> list[Row]:
        for row in rows:
            for name, value in made:
                row.known[name] = value(row)
        return rows

    return step


def true(value: Value) -> bool:
    """Return whether a condition with this value holds."""
    return value if isinstance(value, bool) else value not in (None, "", 0, "0", "false")


def either(left: Compiled, right: Compiled) -> Compiled:
    """Return the disjunction of two conditions."""
    return lambda row: true(left(row)) or true(right(row))


def both(left: Compiled, right: Compiled) -> Compiled:
    """Return the conjunction of two conditions."""
    return lambda row: true(left(row)) and true(right(row))


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "!=": lambda a, b: a != b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


def compared(compare: Callable[[Any, Any], bool], left: Compiled, right: Compiled) -> Compiled:
    """Return the comparison of two terms: as numbers if both are, else as texts; with a missing field it fails."""

    def test(row: Row) -> bool:
        a, b = left(row), right(row)
        if a is None or b is None:
            return False
        x, y = number(a), number(b)
        return compare(x, y) if x is not None and y is not None else compare(shown(a), shown(b))

    return test


def one_of(left: Compiled, values: Sequence[Compiled]) -> Compiled:
    """Return the test whether a term equals one of some others."""
    tests = [compared(COMPARISONS["="], left, value) for value in values]
    return lambda row: any(test(row) for test in tests)


def arithmetic(sign: str, left: Compiled, right: Compiled) -> Compiled:
    """Return the result of an operator on two terms; what is no number has none."""

    def value(row: Row) -> Value:
        a, b = number(left(row)), number(right(row))
        if a is None or b is None:
            return None
        try:
            made = {
                "+": lambda: a + b,
                "-": lambda: a - b,
                "*": lambda: a * b,
                "/": lambda: a / b,
                "%": lambda: math.fmod(a, b),
                "^": lambda: a**b,
            }[sign]()
        except (ZeroDivisionError, OverflowError, ValueError):
            return None
        return made if isinstance(made, float) and math.isfinite(made) else None

    return value


def milliseconds(span: str) -> int:
    """Read a span of time such as `5m`."""
    unit = span.lstrip("0123456789")
    return max(1, int(span[: -len(unit)]) * {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}[unit])


def binned(span: int, text: str) -> Compiled:
    """Return the beginning of the span of time in which an event lies; `text` is the term as written."""

    def value(row: Row) -> Value:
        if text in row.known:
            return row.known[text]
        moment = row.get("@timestamp")
        return Moment(moment // span * span) if isinstance(moment, float) else None

    return value


def aggregate(function: str, argument: Compiled | None, percent: float, rows: list[Row]) -> Value:
    """Return a statistic over rows; without an argument their number."""
    if argument is None:
        return float(len(rows))
    values = [value for row in rows if (value := argument(row)) is not None]
    if function == "count":
        return float(len(values))
    if function == "count_distinct":
        return float(len({shown(value) for value in values}))
    numbers = sorted((made, value) for value in values if (made := number(value)) is not None)
    if not numbers:
        return None
    if function in ("min", "max"):
        made, value = numbers[0 if function == "min" else -1]
        return value if isinstance(value, Moment) else made
    if function == "pct":
        return numbers[max(0, math.ceil(len(numbers) * percent / 100) - 1)][0]
    try:
        total = math.fsum(made for made, _ in numbers)
    except OverflowError:
        return None
    return total / len(numbers) if function == "avg" else total


def order(value: Value) -> tuple[int, float, str]:
    """Return the key to sort by: texts before numbers."""
    made = number(value)
    return (0, 0.0, shown(value)) if made is None else (1, made, "")


def glob(text: str) -> re.Pattern[str]:
    """Return the regular expression of parse's pattern, with a group for every `*`."""
    parts = [re.escape(part) for part in text.split("*")]
    pattern = r"([\s\S]*?)".join(parts[:-1])
    if len(parts) > 1:
        pattern += "(.*)" if not parts[-1] else rf"([\s\S]*?){parts[-1]}"
    else:
        pattern = parts[0]
    return re.compile(pattern)


def unquoted(text: str) -> str:
    """Read a text in quotes."""
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), text[1:-1])


def _text_of(value: Value) -> str | None:
    return None if value is None else shown(value)


def _of_text(function: Callable[[str], Value]) -> Callable[[list[Value]], Value]:
    return lambda values: None if values[0] is None else function(shown(values[0]))


def _of_number(function: Callable[[float], float]) -> Callable[[list[Value]], Value]:
    return lambda values: None if (made := number(values[0])) is None else float(function(made))


FUNCTIONS: dict[str, tuple[int, int, Callable[[list[Value]], Value]]] = {
    "ispresent": (1, 1, lambda values: values[0] is not None),
    "isempty": (1, 1, lambda values: _text_of(values[0]) in (None, "")),
    "strcontains": (2, 2, lambda values: None not in values and shown(values[1]) in shown(values[0])),
    "strlen": (1, 1, _of_text(lambda text: float(len(text)))),
    "tolower": (1, 1, _of_text(str.lower)),
    "toupper": (1, 1, _of_text(str.upper)),
    "coalesce": (1, 10, lambda values: next((value for value in values if value is not None), None)),
    "concat": (1, 10, lambda values: "".join(shown(value) for value in values if value is not None)),
    "abs": (1, 1, _of_number(abs)),
    "ceil": (1, 1, _of_number(math.ceil)),
    "floor": (1, 1, _of_number(math.floor)),
}
