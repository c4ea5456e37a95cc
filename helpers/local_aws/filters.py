"""Filter patterns of event source mappings: which messages a function is invoked for (rows C36, C111 to C122)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from .errors import ApiError


@dataclass(frozen=True)
class Number:
    """A JSON number with its spelling: equality compares numbers as they are written (row C121)."""

    text: str

    @property
    def value(self) -> Decimal:
        """The number itself, for ranges."""
        return Decimal(self.text)


Test = Callable[[Any], bool]
MISSING = object()
"""Stands for the value of a key that is not there."""


def loads(text: str) -> Any:
    """Parse JSON with numbers kept as written; raise ValueError when it is none."""
    try:
        return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


class Pattern:
    """One compiled filter pattern.

    Parameters
    ----------
    text : str
        The pattern as JSON.

    Raises
    ------
    ApiError
        `Invalid filter pattern definition.` (row C36).
    """

    def __init__(self, text: str) -> None:
        try:
            pattern = loads(text)
            if not isinstance(pattern, dict):
                raise ValueError("a pattern is an object")
            body = pattern.get("body", MISSING)
            self._plain_body = isinstance(body, list)
            self._json_body = isinstance(body, dict)
            self._matches = _compile_object(pattern)
        except (ValueError, TypeError, InvalidOperation, KeyError, IndexError, RecursionError):
            raise ApiError("InvalidParameterValueException", "Invalid filter pattern definition.") from None

    def matches(self, record: dict[str, Any]) -> bool:
        """Return whether a record of the event passes.

        A pattern for a JSON body takes only bodies that are JSON, one for a plain string only those that are not (rows
        C114 to C118).
        """
        if self._plain_body or self._json_body:
            try:
                body = loads(record["body"])
            except ValueError:
                body = MISSING
            structured = isinstance(body, dict | list)
            if structured != self._json_body:
                return False
            if structured:
                record = {**record, "body": body}
        return self._matches(record)


def _compile_object(pattern: dict[str, Any]) -> Test:
    tests: list[tuple[str, Test]] = []
    choices: list[list[Test]] = []
    for key, rule in pattern.items():
        if key == "$or" and isinstance(rule, list) and rule and all(isinstance(item, dict) for item in rule):
            choices.append([_compile_object(item) for item in rule])
        elif isinstance(rule, dict):
            tests.append((key, _nested(_compile_object(rule))))
        elif isinstance(rule, list) and rule:
            tests.append((key, _any_of([_compile_leaf(item) for item in rule])))
        else:
            raise ValueError("a leaf is a list that is not empty")
    if not tests and not choices:
        raise ValueError("an empty pattern")

    def test(value: Any) -> bool:
        if not isinstance(value, dict):
            value = {}
        return all(check(value.get(key, MISSING)) for key, check in tests) and all(
            any(option(value) for option in options) for options in choices
        )

    return test


def _nested(inner: Test) -> Test:
    def test(value: Any) -> bool:
        if isinstance(value, list):
            return any(inner(item) for item in value)
        return inner(value)

    return test


def _any_of(leaves: list[Callable[[Any, bool], bool]]) -> Test:
    def test(value: Any) -> bool:
        if isinstance(value, list):
            # An array matches when one of its elements does; existence is asked of the key itself.
            return any(leaf(MISSING if not value else value[0], True) for leaf in leaves if leaf in _existence) or any(
                leaf(item, True) for item in value for leaf in leaves if leaf not in _existence
            )
        return any(leaf(value, value is not MISSING and not isinstance(value, dict)) for leaf in leaves)

    _existence = [leaf for leaf in leaves if getattr(leaf, "asks_existence", False)]
    return test


def _compile_leaf(item: Any) -> Callable[[Any, bool], bool]:
    if isinstance(item, dict):
        if len(item) != 1:
            raise ValueError("one operator at a time")
        ((name, argument),) = item.items()
        return _OPERATORS[name](argument)
    if isinstance(item, list):
        raise ValueError("a list in a list")
    return lambda value, _: _same(value, item)


def _same(value: Any, wanted: Any) -> bool:
    return type(value) is type(wanted) and value == wanted


def _exists(argument: Any) -> Callable[[Any, bool], bool]:
    if not isinstance(argument, bool):
        raise ValueError("exists takes true or false")

    def leaf(_: Any, there: bool) -> bool:
        return there is argument

    leaf.asks_existence = True  # type: ignore[attr-defined]
    return leaf


def _text(check: Callable[[str, str], bool]) -> Callable[[Any], Callable[[Any, bool], bool]]:
    def compile_(argument: Any) -> Callable[[Any, bool], bool]:
        if isinstance(argument, dict) and list(argument) == ["equals-ignore-case"]:
            folded = _string(argument["equals-ignore-case"]).casefold()
            return lambda value, _: isinstance(value, str) and check(value.casefold(), folded)
        wanted = _string(argument)
        return lambda value, _: isinstance(value, str) and check(value, wanted)

    return compile_


def _string(argument: Any) -> str:
    if not isinstance(argument, str):
        raise ValueError("a string is needed")
    return argument


def _anything_but(argument: Any) -> Callable[[Any, bool], bool]:
    if isinstance(argument, dict):
        if list(argument) not in (["prefix"], ["suffix"], ["equals-ignore-case"]):
            raise ValueError("anything-but takes prefix, suffix or equals-ignore-case")
        ((name, inner),) = argument.items()
        options = [_OPERATORS[name](item) for item in (inner if isinstance(inner, list) else [inner])]
        return lambda value, there: there and not any(option(value, there) for option in options)
    values = argument if isinstance(argument, list) else [argument]
    if not values or not all(isinstance(item, str | Number) for item in values):
        raise ValueError("anything-but takes strings or numbers")
    return lambda value, there: there and not any(_same(value, item) for item in values)


_COMPARISONS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _numeric(argument: Any) -> Callable[[Any, bool], bool]:
    if not isinstance(argument, list) or len(argument) not in (2, 4):
        raise ValueError("numeric takes one or two comparisons")
    comparisons = []
    for sign, bound in zip(argument[::2], argument[1::2], strict=True):
        if not isinstance(bound, Number):
            raise ValueError("numeric compares numbers")
        comparisons.append((_COMPARISONS[sign], bound.value))
    return lambda value, _: (
        isinstance(value, Number) and all(compare(value.value, bound) for compare, bound in comparisons)
    )


# What Lambda's guide lists and no more (row C119): EventBridge's other operators are refused.
_OPERATORS: dict[str, Callable[[Any], Callable[[Any, bool], bool]]] = {
    "exists": _exists,
    "prefix": _text(str.startswith),
    "suffix": _text(str.endswith),
    "equals-ignore-case": _text(lambda value, wanted: value.casefold() == wanted.casefold()),
    "anything-but": _anything_but,
    "numeric": _numeric,
}
