"""CloudFormation templates as data: read, and which of their resources refer to which."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import LabError

_IN_A_TEXT = re.compile(r"\$\{(\w+)[.}]")


def read(text: str) -> dict[str, Any]:
    """Return a template, its short forms such as `!Ref` written out.

    Parameters
    ----------
    text : str
        JSON or YAML.

    Raises
    ------
    LabError
        When it is neither, or has no Resources.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML with CloudFormation's short forms."""

    Loader.add_multi_constructor("!", _written_out)
    try:
        # JSON is YAML.
        template = yaml.load(text, Loader)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise LabError(f"The template is no YAML{where}: {getattr(problem, 'problem', problem)}.") from None
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise LabError("The template has no Resources.")
    return template


def _written_out(loader: Any, tag: str, node: Any) -> dict[str, Any]:
    construct = {"scalar": loader.construct_scalar, "sequence": loader.construct_sequence}.get(node.id)
    if construct is None:
        return {f"Fn::{tag}": loader.construct_mapping(node, deep=True)}
    value = construct(node) if node.id == "scalar" else construct(node, deep=True)
    if tag in ("Ref", "Condition"):
        return {tag: value}
    return {f"Fn::{tag}": value.split(".", 1) if tag == "GetAtt" and isinstance(value, str) else value}


def references(template: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return of each resource the others that it refers to or names in DependsOn.

    >>> references({"Resources": {"A": {}, "B": {"DependsOn": "A"}, "C": {"Properties": {"x": {"Ref": "B"}}}}})
    {'A': [], 'B': ['A'], 'C': ['B']}
    """
    resources: Mapping[str, Any] = template["Resources"]
    found = {}
    for name, resource in resources.items():
        before = resource.get("DependsOn") or []
        named = [before] if isinstance(before, str) else [*before]
        named += _named(resource.get("Properties"))
        found[name] = [one for one in dict.fromkeys(named) if one in resources]
    return found


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _IN_A_TEXT.findall(value)
    elif isinstance(value, list):
        for one in value:
            yield from _named(one)
    elif isinstance(value, Mapping):
        for name, one in value.items():
            if name == "Ref":
                yield str(one)
            elif name == "Fn::GetAtt" and isinstance(one, list):
                yield str(one[0])
            elif name != "ZipFile":
                yield from _named(one)


def in_order(template: Mapping[str, Any]) -> list[str]:
    """Return the resources, each after what it refers to.

    >>> in_order({"Resources": {"B": {"DependsOn": "A"}, "A": {}}})
    ['A', 'B']
    """
    known, order = references(template), []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise LabError(f"The template's resources refer to each other in a circle: {json.dumps([*path, name])}.")
        for other in known[name]:
            visit(other, (*path, name))
        if name not in order:
            order.append(name)

    for name in known:
        visit(name, ())
    return order
