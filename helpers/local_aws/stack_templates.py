"""A stack's template: read, checked as a whole, and its functions filled in (CloudFormation user guide)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from .errors import ApiError

LONGEST_BODY = 51_200
"""Bytes of a TemplateBody (quotas of CloudFormation)."""

NO_VALUE: Any = object()
"""What `AWS::NoValue` stands for: the property is left out."""

_SECTIONS = {
    "AWSTemplateFormatVersion",
    "Conditions",
    "Description",
    "Mappings",
    "Metadata",
    "Outputs",
    "Parameters",
    "Resources",
}
_VARIABLE = re.compile(r"\$\{(!?)\s*([A-Za-z0-9:.]+)\s*\}")
_LOGICAL_ID = re.compile(r"[A-Za-z0-9]{1,255}")
_PSEUDO = {
    "AWS::AccountId",
    "AWS::NoValue",
    "AWS::NotificationARNs",
    "AWS::Partition",
    "AWS::Region",
    "AWS::StackId",
    "AWS::StackName",
    "AWS::URLSuffix",
}
_FUNCTIONS = {
    "Fn::Base64",
    "Fn::FindInMap",
    "Fn::GetAtt",
    "Fn::GetAZs",
    "Fn::If",
    "Fn::ImportValue",
    "Fn::Join",
    "Fn::Select",
    "Fn::Split",
    "Fn::Sub",
}


def invalid(text: str) -> ApiError:
    """Return CloudFormation's refusal."""
    return ApiError("ValidationError", text)


class Made(Protocol):
    """A resource of the stack as others refer to it."""

    @property
    def ref(self) -> str:
        """What `Ref` returns."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What `Fn::GetAtt` returns, by name."""


class Template:
    """A template whose form has been checked.

    Parameters
    ----------
    text : str
        JSON or YAML, with YAML's short forms of the functions.

    Attributes
    ----------
    text : str
        As it was given.
    resources, parameters, conditions, mappings, outputs : dict
        Its sections.

    Raises
    ------
    ApiError
        ValidationError, with CloudFormation's text.
    """

    def __init__(self, text: str) -> None:
        if len(text.encode()) > LONGEST_BODY:
            raise invalid(
                "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: "
                f"Member must have length less than or equal to {LONGEST_BODY}"
            )
        self.text = text
        self.body = _read(text)
        if self.body.get("Transform"):
            raise invalid("The local AWS offers no Transform: write the template without macros and without SAM.")
        if self.body.get("Rules"):
            raise invalid("The local AWS offers no Rules in templates: check parameters by their own constraints.")
        unknown = [name for name in self.body if name not in _SECTIONS]
        if unknown:
            raise invalid(f"Invalid template property or properties [{', '.join(unknown)}]")
        self.description: str = str(self.body.get("Description") or "")
        self.resources = self._section("Resources")
        self.parameters = self._section("Parameters")
        self.conditions = self._section("Conditions")
        self.mappings = self._section("Mappings")
        self.outputs = self._section("Outputs")
        if not self.resources:
            raise invalid("Template format error: At least one Resources member must be defined.")
        for name, resource in self.resources.items():
            if not _LOGICAL_ID.fullmatch(name):
                raise invalid(f"Template format error: Resource name {name} is non alphanumeric.")
            if not isinstance(resource, dict):
                raise invalid("Template format error: Any Resources member must be an object.")
            if not isinstance(resource.get("Type"), str):
                where = f"[/Resources/{name}]"
                raise invalid(f"Template format error: {where} Every Resources object must contain a Type member.")
            if not isinstance(resource.get("Properties") or {}, dict):
                raise invalid(f"Template format error: [/Resources/{name}/Properties] 'Properties' must be an object.")
        for section in (self.parameters, self.mappings):
            if not all(isinstance(one, dict) for one in section.values()):
                raise invalid("Template format error: Every Parameters and Mappings member must be an object.")
        for name, output in self.outputs.items():
            if not isinstance(output, dict) or output.get("Value") is None:
                raise invalid(f"Template format error: Output {name} is malformed. The Value field is required.")
        self._check_names()

    def _section(self, name: str) -> dict[str, Any]:
        section = self.body.get(name)
        if section is None:
            return {}
        if not isinstance(section, dict):
            raise invalid(f"Template format error: {name} must be an object.")
        return section

    def _check_names(self) -> None:
        known = {*self.resources, *self.parameters, *_PSEUDO}
        for block, items in (("Resources", self.resources), ("Outputs", self.outputs)):
            missing: list[str] = []
            for item in items.values():
                for kind, name, _ in references(item):
                    if kind == "Fn::GetAtt" and name not in self.resources:
                        text = f"Template error: instance of Fn::GetAtt references undefined resource {name}"
                        raise invalid(text)
                    if kind == "Ref" and name not in known:
                        missing.append(name)
                    if kind == "Condition" and name not in self.conditions:
                        text = f"Template format error: Unresolved condition dependency {name} in the {block} block"
                        raise invalid(text + " of the template")
                for name in _list(item.get("DependsOn") if block == "Resources" else None):
                    if name not in self.resources:
                        missing.append(str(name))
            if missing:
                names = ", ".join(dict.fromkeys(missing))
                text = f"Template format error: Unresolved resource dependencies [{names}] in the {block} block"
                raise invalid(text + " of the template")

    def values(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Return the parameters' values: what is given, else the default.

        Raises
        ------
        ApiError
            For a parameter that is unknown, has no value, or breaks its own rule.
        """
        unknown = [name for name in given if name not in self.parameters]
        if unknown:
            raise invalid(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
        missing = [name for name, one in self.parameters.items() if name not in given and one.get("Default") is None]
        if missing:
            raise invalid(f"Parameters: [{', '.join(missing)}] must have values")
        values: dict[str, Any] = {}
        for name, declared in self.parameters.items():
            try:
                values[name] = _parameter(name, declared, given.get(name))
            except (AttributeError, TypeError, ValueError, re.error):
                raise invalid(f"Template format error: Parameter {name} is malformed.") from None
        return values

    def capabilities(self) -> list[str]:
        """Return which capability the template asks for: resources of IAM need one."""
        named = {"AWS::IAM::Role": "RoleName", "AWS::IAM::ManagedPolicy": "ManagedPolicyName"}
        needed: list[str] = []
        for resource in self.resources.values():
            if str(resource["Type"]).startswith("AWS::IAM::"):
                own_name = named.get(resource["Type"])
                if own_name is not None and own_name in (resource.get("Properties") or {}):
                    return ["CAPABILITY_NAMED_IAM"]
                needed = ["CAPABILITY_IAM"]
        return needed


class Scope:
    """What a template's functions are filled in with.

    Parameters
    ----------
    template : Template
        The template.
    values : dict
        The parameters' values and the pseudo parameters'.
    find : callable
        Takes a logical id; returns the resource, or None while there is none.
    exported : callable
        Takes an export's name; returns its value.
    """

    def __init__(
        self,
        template: Template,
        values: Mapping[str, Any],
        find: Callable[[str], Made | None],
        exported: Callable[[str], str],
    ) -> None:
        self._template = template
        self._values = values
        self._find = find
        self._exported = exported
        self._conditions: dict[str, bool] = {}

    def holds(self, name: str) -> bool:
        """Return whether a condition holds."""
        if name not in self._conditions:
            if name not in self._template.conditions:
                raise invalid(f"Template format error: Unresolved condition dependency {name}")
            self._conditions[name] = self._test(self._template.conditions[name])
        return self._conditions[name]

    def _test(self, value: Any) -> bool:
        if isinstance(value, dict) and len(value) == 1:
            ((name, operand),) = value.items()
            if name == "Condition":
                return self.holds(str(operand))
            if isinstance(operand, list) and operand:
                if name == "Fn::Equals" and len(operand) == 2:
                    left, right = (self.fill(one) for one in operand)
                    return _text(left) == _text(right)
                if name == "Fn::Not" and len(operand) == 1:
                    return not self._test(operand[0])
                if name == "Fn::And":
                    return all(self._test(one) for one in operand)
                if name == "Fn::Or":
                    return any(self._test(one) for one in operand)
        raise invalid(
            "Template format error: Every Conditions member must be a condition function: "
            "Fn::And, Fn::Equals, Fn::Not, Fn::Or or Condition."
        )

    def wanted(self) -> dict[str, dict[str, Any]]:
        """Return the resources whose conditions hold, each after what it depends on.

        Raises
        ------
        ApiError
            For a reference to a resource that is not made, and for a circle.
        """
        chosen = {
            name: {**resource, "Properties": self.prune(resource.get("Properties") or {})}
            for name, resource in self._template.resources.items()
            if "Condition" not in resource or self.holds(resource["Condition"])
        }
        order: dict[str, dict[str, Any]] = {}
        path: list[str] = []

        def visit(name: str) -> None:
            if name in order:
                return
            if name in path:
                circle = ", ".join(path[path.index(name) :])
                raise invalid(f"Circular dependency between resources: [{circle}]")
            path.append(name)
            for other in self.dependencies(chosen[name]):
                if other in chosen:
                    visit(other)
                elif other not in _list(chosen[name].get("DependsOn")):
                    raise invalid(
                        f"Template format error: Unresolved resource dependencies [{other}] "
                        "in the Resources block of the template"
                    )
            path.pop()
            order[name] = chosen[name]

        for name in chosen:
            visit(name)
        for output in self._template.outputs.values():
            if "Condition" in output and not self.holds(output["Condition"]):
                continue
            for _, name, _ in references(self.prune(output["Value"])):
                if name in self._template.resources and name not in chosen:
                    text = f"Template format error: Unresolved resource dependencies [{name}] in the Outputs block"
                    raise invalid(text + " of the template")
        return order

    def dependencies(self, resource: Mapping[str, Any]) -> list[str]:
        """Return the logical ids that a resource refers to or names in DependsOn."""
        found = [str(one) for one in _list(resource.get("DependsOn"))]
        found += [name for _, name, _ in references(resource.get("Properties")) if name in self._template.resources]
        return list(dict.fromkeys(found))

    def prune(self, value: Any) -> Any:
        """Return a value with every `Fn::If` replaced by its branch."""
        if isinstance(value, dict):
            if len(value) == 1 and "Fn::If" in value:
                operand = value["Fn::If"]
                if not isinstance(operand, list) or len(operand) != 3:
                    raise invalid("Template error: Fn::If requires a list argument with three parameters")
                return self.prune(operand[1] if self.holds(str(operand[0])) else operand[2])
            return {name: self.prune(one) for name, one in value.items()}
        return [self.prune(one) for one in value] if isinstance(value, list) else value

    def fill(self, value: Any) -> Any:
        """Return a value with its functions filled in; what is AWS::NoValue is left out.

        Raises
        ------
        ApiError
            For a function that is used in a wrong way, or refers to what is not there.
        """
        if isinstance(value, list):
            return [one for one in map(self.fill, value) if one is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, operand),) = value.items()
            if name == "Ref":
                return self._ref(str(operand))
            if name in _FUNCTIONS:
                try:
                    return self._apply(name, operand)
                except (TypeError, ValueError, KeyError, IndexError):
                    raise invalid(f"Template error: this {name} has not the form of one: {operand}") from None
            if name.startswith("Fn::"):
                raise invalid(f"The local AWS offers no {name} in templates.")
        filled = {name: self.fill(one) for name, one in value.items()}
        return {name: one for name, one in filled.items() if one is not NO_VALUE}

    def _apply(self, name: str, operand: Any) -> Any:
        if name == "Fn::GetAtt":
            return self._attribute(str(operand[0]), str(self.fill(operand[1])))
        if name == "Fn::If":
            condition, yes, no = operand
            return self.fill(yes if self.holds(condition) else no)
        if name == "Fn::Sub":
            return self._substitute(operand)
        if name == "Fn::Base64":
            return base64.b64encode(_text(self.fill(operand)).encode()).decode()
        if name == "Fn::ImportValue":
            return self._exported(_text(self.fill(operand)))
        if name == "Fn::GetAZs":
            region = self.fill(operand) or self._values["AWS::Region"]
            return [f"{region}{letter}" for letter in "abc"]
        operand = self.fill(operand)
        if name == "Fn::FindInMap":
            found = self._template.mappings
            for key in operand[:3]:
                if not isinstance(found, dict) or _text(key) not in found:
                    raise invalid(f"Template error: Unable to get mapping for {'::'.join(map(_text, operand))}")
                found = found[_text(key)]
            return found
        if name == "Fn::Join":
            delimiter, items = operand
            return delimiter.join(_text(one) for one in items)
        if name == "Fn::Select":
            index, items = int(operand[0]), operand[1]
            if not 0 <= index < len(items):
                raise invalid("Template error: Fn::Select cannot select nonexistent value at index " + str(index))
            return items[index]
        delimiter, text = operand
        return _text(text).split(delimiter)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self._values:
            return self._values[name]
        made = self._find(name)
        if made is None:
            raise invalid(f"Template format error: Unresolved resource dependencies [{name}] in the template")
        return made.ref

    def _attribute(self, name: str, attribute: str) -> Any:
        made = self._find(name)
        if made is None:
            raise invalid(f"Template format error: Unresolved resource dependencies [{name}] in the template")
        if attribute not in made.attributes:
            kind = self._template.resources[name]["Type"]
            raise invalid(
                f"Template error: resource {name} does not support attribute type {attribute} in Fn::GetAtt"
                f" ({kind} has: {', '.join(made.attributes) or 'none'})"
            )
        return made.attributes[attribute]

    def _substitute(self, operand: Any) -> str:
        text, own = operand if isinstance(operand, list) else (operand, {})

        def value(match: re.Match[str]) -> str:
            if match[1]:
                return "${" + match[2] + "}"
            name = match[2]
            if name in own:
                return _text(self.fill(own[name]))
            if "." in name and name not in self._values:
                return _text(self._attribute(*name.split(".", 1)))  # type: ignore[call-arg]
            return _text(self._ref(name))

        return _VARIABLE.sub(value, str(text))


def references(value: Any) -> Iterator[tuple[str, str, str]]:
    """Yield what a part of a template refers to: `Ref`, `Fn::GetAtt` or `Condition`, a name, and the attribute."""
    if isinstance(value, list):
        for one in value:
            yield from references(one)
    if not isinstance(value, dict):
        return
    if len(value) == 1:
        ((name, operand),) = value.items()
        if name == "Ref":
            yield "Ref", str(operand), ""
            return
        if name == "Fn::GetAtt" and isinstance(operand, list) and len(operand) == 2:
            yield "Fn::GetAtt", str(operand[0]), operand[1] if isinstance(operand[1], str) else ""
            return
        if name == "Fn::If" and isinstance(operand, list) and operand:
            yield "Condition", str(operand[0]), ""
            yield from references(operand[1:])
            return
        if name == "Fn::Sub":
            text, own = operand if isinstance(operand, list) and len(operand) == 2 else (operand, {})
            for match in _VARIABLE.finditer(str(text)):
                if not match[1] and match[2] not in own:
                    first, dot, attribute = match[2].partition(".")
                    yield ("Fn::GetAtt" if dot else "Ref"), first, attribute
            yield from references(own)
            return
    if isinstance(value.get("Type"), str) and isinstance(value.get("Condition"), str):
        yield "Condition", value["Condition"], ""
    for one in value.values():
        yield from references(one)


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parameter(name: str, declared: Mapping[str, Any], given: str | None) -> Any:
    value = _text(declared["Default"]) if given is None else _text(given)
    kind = declared.get("Type", "String")
    allowed = [_text(one) for one in _list(declared.get("AllowedValues"))]
    items = (
        [one.strip() for one in value.split(",")] if kind.startswith("List<") or kind == "CommaDelimitedList" else None
    )
    for one in [value] if items is None else items:
        if allowed and one not in allowed:
            raise invalid(f"Parameter '{name}' must be one of AllowedValues")
        if kind in ("Number", "List<Number>"):
            try:
                number = float(one)
            except ValueError:
                raise invalid(f"Parameter '{name}' must be a number.") from None
            if "MaxValue" in declared and number > float(declared["MaxValue"]):
                raise invalid(f"Parameter '{name}' must be a number not greater than {declared['MaxValue']}")
            if "MinValue" in declared and number < float(declared["MinValue"]):
                raise invalid(f"Parameter '{name}' must be a number not less than {declared['MinValue']}")
    if kind == "String":
        if "AllowedPattern" in declared and not re.fullmatch(declared["AllowedPattern"], value):
            raise invalid(
                f"Parameter {name} failed to satisfy constraint: "
                + declared.get(
                    "ConstraintDescription", f"Parameter '{name}' must match pattern {declared['AllowedPattern']}"
                )
            )
        if "MinLength" in declared and len(value) < int(declared["MinLength"]):
            raise invalid(f"Parameter '{name}' must contain at least {declared['MinLength']} characters")
        if "MaxLength" in declared and len(value) > int(declared["MaxLength"]):
            raise invalid(f"Parameter '{name}' must contain at most {declared['MaxLength']} characters")
    return value if items is None else items


def _read(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text) if text.lstrip().startswith("{") else _read_yaml(text)
    except json.JSONDecodeError as problem:
        where = f"(line {problem.lineno}, column {problem.colno})"
        raise invalid(f"Template format error: JSON not well-formed. {where}") from None
    except RecursionError:
        raise invalid("Template format error: the template is nested too deeply.") from None
    if not isinstance(body, dict):
        raise invalid("Template format error: unsupported structure.")
    return body


def _read_yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML as CloudFormation reads it: short forms of the functions, and a date is a text."""

        yaml_implicit_resolvers = {
            letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
            for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise invalid("Template error: YAML aliases are not allowed in CloudFormation templates")
            return super().compose_node(parent, index)

    def short_form(loader: Any, name: str, node: Any) -> dict[str, Any]:
        if isinstance(node, yaml.ScalarNode):
            value: Any = loader.construct_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            value = loader.construct_sequence(node, deep=True)
        else:
            value = loader.construct_mapping(node, deep=True)
        if name == "GetAtt" and isinstance(value, str):
            value = value.split(".", 1)
        return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}

    Loader.add_multi_constructor("!", short_form)
    try:
        return yaml.load(text, Loader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        raise invalid(f"Template format error: YAML not well-formed.{where}") from None
    except yaml.YAMLError:
        raise invalid("Template format error: YAML not well-formed.") from None
