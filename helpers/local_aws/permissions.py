"""One evaluator of policies, used for callers, execution roles, handlers and trust.

It is ours because no maintained Python library evaluates a request against policy documents in-process: those on PyPI
lint, expand or audit policies, or ask AWS's own simulator, and the few that decide by themselves (lambda-preflight,
npkt) know no policy variables and only a part of the rest. The complete evaluator, @cloud-copilot/iam-simulate, is for
Node and under the AGPL; the decisions made here were compared with its decisions on some 3,000 requests, of which
`tests/data/policy_cases.json` keeps the telling ones.
"""

from __future__ import annotations

import enum
import ipaddress
import json
import re
import secrets
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .errors import ApiError
from .space import Identity

if TYPE_CHECKING:
    from .moto_adapter import Role
    from .space import Space

SESSION_SECONDS = 12 * 3600
"""How long an execution role's credentials are valid."""

Context = Mapping[str, Any]
"""Condition keys and their values: a string, a number, a bool, or a list of strings."""

_OWNER_ID = "AIDALOCALAWSLEARNER22"
_RENEW_BEFORE = 3600.0
_MOST_DECISIONS = 10_000
_FREE = {"sts:GetCallerIdentity"}
_NOT_ACROSS_ACCOUNTS = {
    f"sqs:{name}".lower()
    for name in (
        *("AddPermission", "CancelMessageMoveTask", "CreateQueue", "DeleteQueue", "ListMessageMoveTasks"),
        *("ListQueues", "ListQueueTags", "RemovePermission", "SetQueueAttributes", "StartMessageMoveTask"),
        *("TagQueue", "UntagQueue"),
    )
}
"""What a queue's policy cannot give to another account (SQS developer guide, cross-account permissions)."""
_ID_LETTERS = string.ascii_uppercase + "234567"


class Decision(enum.Enum):
    """What policies say about a request."""

    ALLOW = "allow"
    DENY = "explicit deny"
    NOTHING = "implicit deny"


@dataclass(frozen=True)
class Credential:
    """Keys and whose they are.

    Attributes
    ----------
    access_key, secret_key : str
        The keys.
    session_token : str or None
        For temporary credentials.
    expires : float or None
        Seconds since the epoch in the space's time.
    identity : Identity
        Who signs with them.
    """

    access_key: str
    secret_key: str
    session_token: str | None
    expires: float | None
    identity: Identity


# Policy documents, compiled

_Test = Callable[[Context], bool]


@dataclass(frozen=True)
class Statement:
    """One compiled statement."""

    deny: bool
    actions: re.Pattern[str]
    not_actions: bool
    resources: tuple[str, ...]
    resource_pattern: re.Pattern[str] | None
    not_resources: bool
    principals: tuple[tuple[str, str], ...] | None
    not_principals: bool
    conditions: tuple[_Test, ...]

    @property
    def depends(self) -> bool:
        """Whether what the statement says depends on condition keys."""
        return bool(self.conditions) or self.resource_pattern is None

    def applies(
        self, action: str, resource: str | None, context: Context, principal: Sequence[tuple[str, str]] | None
    ) -> bool:
        """Whether the statement speaks about a request."""
        if (self.actions.fullmatch(action) is not None) is self.not_actions:
            return False
        if not self._names(resource, context):
            return False
        if principal is not None and not self._speaks_of(principal):
            return False
        return all(test(context) for test in self.conditions)

    def _names(self, resource: str | None, context: Context) -> bool:
        if not self.resources:
            return True
        if resource is None:
            # The resource is not known. An Allow is given the benefit of the doubt; a Deny counts only for everything.
            return not self.deny or ("*" in self.resources and not self.not_resources)
        pattern = self.resource_pattern
        if pattern is None:
            filled = [text for one in self.resources if (text := _fill_resource(one, context)) is not None]
            named = any(_resource_glob(text).fullmatch(resource) for text in filled)
        else:
            named = pattern.fullmatch(resource) is not None
        return named is not self.not_resources

    def _speaks_of(self, principal: Sequence[tuple[str, str]]) -> bool:
        if self.principals is None:
            return False
        named = any(
            kind in ("*", who) and value in ("*", name) for kind, value in self.principals for who, name in principal
        )
        return named is not self.not_principals


_compiled: dict[int, tuple[Mapping[str, Any], tuple[Statement, ...]]] = {}


def compile_policy(document: Mapping[str, Any]) -> tuple[Statement, ...]:
    """Compile a policy document; the same document object is compiled once."""
    known = _compiled.get(id(document))
    if known is not None and known[0] is document:
        return known[1]
    if len(_compiled) > 2000:
        _compiled.clear()
    variables = document.get("Version") == "2012-10-17"
    statements = tuple(
        _statement(one, variables) for one in _list(document.get("Statement")) if isinstance(one, Mapping)
    )
    _compiled[id(document)] = (document, statements)
    return statements


def evaluate(
    policies: Iterable[Mapping[str, Any]],
    action: str,
    resource: str | None,
    context: Context | None = None,
    principal: Sequence[tuple[str, str]] | None = None,
) -> Decision:
    """Evaluate policy documents of one kind.

    Parameters
    ----------
    policies : iterable of dict
        The documents.
    action : str
        Such as `sqs:SendMessage`; letter case does not count.
    resource : str or None
        The ARN, or None when it is not known: then an Allow matches whatever its Resource, and a Deny only with `*`.
    context : mapping, optional
        Condition keys and values.
    principal : sequence of (str, str), optional
        For policies that name principals: every pair of kind (`AWS`, `Service`) and name under which the caller may be
        named. Without it, `Principal` is not looked at.

    Returns
    -------
    Decision
        `DENY` if any statement denies, else `ALLOW` if any allows, else `NOTHING`.
    """
    known: Context = _LowerKeys(context) if context else {}
    decision = Decision.NOTHING
    for document in policies:
        for statement in compile_policy(document):
            if (statement.deny or decision is Decision.NOTHING) and statement.applies(
                action, resource, known, principal
            ):
                if statement.deny:
                    return Decision.DENY
                decision = Decision.ALLOW
    return decision


class _LowerKeys(dict[str, Any]):
    """A context by lower-case keys: the names of condition keys have no letter case."""

    def __init__(self, context: Context) -> None:
        super().__init__((key.lower(), value) for key, value in context.items() if value is not None)


def _list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def _statement(source: Mapping[str, Any], variables: bool) -> Statement:
    deny = source.get("Effect") == "Deny"
    principals = source.get("Principal", source.get("NotPrincipal"))
    named = [str(one) for one in _list(source.get("Resource", source.get("NotResource")))]
    resources = tuple(_whole_arn(one, of_identity=principals is None) for one in named)
    dynamic = variables and any("${" in one for one in resources)
    conditions = []
    for operator, block in (source.get("Condition") or {}).items():
        for key, values in block.items():
            conditions.append(_condition(operator, key, [_text(one) for one in _list(values)], variables, deny))
    return Statement(
        deny=deny,
        actions=_union([str(one) for one in _list(source.get("Action", source.get("NotAction")))], re.IGNORECASE),
        not_actions="NotAction" in source,
        resources=resources,
        resource_pattern=None if dynamic else _resource_union(resources),
        not_resources="NotResource" in source,
        principals=None if principals is None else tuple(_principals(principals)),
        not_principals="NotPrincipal" in source,
        conditions=tuple(conditions),
    )


def _principals(source: Any) -> Iterable[tuple[str, str]]:
    if isinstance(source, str):
        yield ("*" if source == "*" else "AWS"), source
        return
    for kind, names in source.items():
        for name in _list(names):
            yield kind, f"arn:aws:iam::{name}:root" if re.fullmatch(r"\d{12}", str(name)) else str(name)


def _translate(pattern: str, any_letter: str = ".") -> str:
    signs = {"*": f"{any_letter}*", "?": any_letter}
    return "".join(signs.get(letter) or re.escape(letter.translate(_PLAINLY)) for letter in pattern)


def _union(patterns: Sequence[str], flags: int = 0) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{_translate(one)})" for one in patterns) or r"(?!)", flags | re.DOTALL)


@lru_cache(maxsize=4096)
def _glob(pattern: str, ignore_case: bool = False) -> re.Pattern[str]:
    return re.compile(_translate(pattern), re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _whole_arn(pattern: str, of_identity: bool) -> str:
    """Add `*` for the parts that an incomplete ARN lacks; a resource's own policy must have a wildcard for that."""
    parts = pattern.split(":")
    if parts[0] != "arn" or len(parts) >= _ARN_PARTS or not (of_identity or "*" in pattern):
        return pattern
    return ":".join(parts + ["*"] * (_ARN_PARTS - len(parts)))


def _resource_pattern(pattern: str) -> str:
    """Translate a pattern of ARNs.

    Before the fifth colon a wildcard keeps to its part of the ARN, but a `*` that ends its part may go on behind it.
    """
    *parts, last = pattern.split(":", _ARN_PARTS - 1)
    if len(parts) < _ARN_PARTS - 1:
        return _translate(pattern)
    heads = [
        _translate(part.removesuffix("*"), any_letter="[^:]") + (".*" if part.endswith("*") else "") for part in parts
    ]
    return ":".join([*heads, _translate(last)])


@lru_cache(maxsize=4096)
def _resource_glob(pattern: str) -> re.Pattern[str]:
    return re.compile(_resource_pattern(pattern), re.DOTALL)


def _resource_union(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{_resource_pattern(one)})" for one in patterns) or r"(?!)", re.DOTALL)


_ARN_PARTS = 6
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
# What is filled in stands for itself: `_translate` reads these private characters as the letters, not as wildcards.
_LITERAL = {"*": "\ue000", "?": "\ue001", "$": "$"}
_LITERALLY = str.maketrans({letter: sign for letter, sign in _LITERAL.items() if letter != "$"})
_PLAINLY = {ord(sign): letter for letter, sign in _LITERAL.items() if letter != "$"}


def _fill(text: str, context: Context) -> str | None:
    """Fill in policy variables; None when one of them has no value."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        name, _, default = match[1].partition(",")
        if name in _LITERAL:
            return _LITERAL[name]
        found = context.get(name.strip().lower())
        if found is None or found == "" or isinstance(found, (list, tuple)):
            if default:
                return default.strip().strip("'").translate(_LITERALLY)
            missing = True
            return ""
        return _text(found).translate(_LITERALLY)

    filled = _VARIABLE.sub(value, text)
    return None if missing else filled


def _fill_resource(pattern: str, context: Context) -> str | None:
    """Fill in the variables behind the fifth colon; those before it are not variables and match nothing."""
    *parts, last = pattern.split(":", _ARN_PARTS - 1)
    filled = _fill(last, context)
    return None if filled is None or any("${" in part for part in parts) else ":".join([*parts, filled])


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# Conditions


def _number(text: str) -> float:
    return float(text)


def _moment(text: str) -> float:
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text)
    if re.fullmatch(r"\d{4}-\d{2}", text):
        text += "-01"
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _arn_like(actual: str, wanted: str) -> bool:
    parts, patterns = actual.split(":", 5), wanted.split(":", 5)
    return len(parts) == len(patterns) == 6 and all(
        _glob(pattern).fullmatch(part) for part, pattern in zip(parts, patterns, strict=True)
    )


def _in_network(actual: str, wanted: str) -> bool:
    return ipaddress.ip_address(actual) in ipaddress.ip_network(wanted, strict=False)


_MATCHES: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda actual, wanted: actual == wanted,
    "StringEqualsIgnoreCase": lambda actual, wanted: actual.lower() == wanted.lower(),
    "StringLike": lambda actual, wanted: _glob(wanted).fullmatch(actual) is not None,
    "NumericEquals": lambda actual, wanted: _number(actual) == _number(wanted),
    "NumericLessThan": lambda actual, wanted: _number(actual) < _number(wanted),
    "NumericLessThanEquals": lambda actual, wanted: _number(actual) <= _number(wanted),
    "NumericGreaterThan": lambda actual, wanted: _number(actual) > _number(wanted),
    "NumericGreaterThanEquals": lambda actual, wanted: _number(actual) >= _number(wanted),
    "DateEquals": lambda actual, wanted: _moment(actual) == _moment(wanted),
    "DateLessThan": lambda actual, wanted: _moment(actual) < _moment(wanted),
    "DateLessThanEquals": lambda actual, wanted: _moment(actual) <= _moment(wanted),
    "DateGreaterThan": lambda actual, wanted: _moment(actual) > _moment(wanted),
    "DateGreaterThanEquals": lambda actual, wanted: _moment(actual) >= _moment(wanted),
    "Bool": lambda actual, wanted: actual.lower() == wanted.lower(),
    "BinaryEquals": lambda actual, wanted: actual == wanted,
    "IpAddress": _in_network,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
}
_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}
_TEXTUAL = ("String", "Arn")


def _condition(operator: str, key: str, wanted: list[str], variables: bool, deny: bool) -> _Test:
    """Compile one key of a Condition block; an operator that is not known makes no Allow and no hole in a Deny."""
    key = key.lower()
    if operator == "Null":
        expected = [one.lower() == "true" for one in wanted]
        return lambda context: (key not in context) in expected
    quantifier, _, name = operator.rpartition(":")
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    negated = name in _NEGATED
    base = _NEGATED.get(name, name)
    matches = _MATCHES.get(base)
    if matches is None or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        return lambda context: deny
    fills = variables and base.startswith(_TEXTUAL) and any("${" in one for one in wanted)
    wild = base.startswith("Arn") or base == "StringLike"

    def test(context: Context) -> bool:
        said = context.get(key)
        actual = [_text(one) for one in _list(said)]
        if not actual:
            # ForAnyValue wants a value, whether or not IfExists is behind it.
            return quantifier != "ForAnyValue" and (if_exists or quantifier == "ForAllValues" or negated)
        if isinstance(said, (list, tuple)) and not quantifier:
            # Without a quantifier only a single value is compared.
            return False
        values = [text for one in wanted if (text := _fill(one, context)) is not None] if fills else wanted
        if fills and not wild:
            values = [one.translate(_PLAINLY) for one in values]
        found = (any(_safely(matches, one, value) for value in values) is not negated for one in actual)
        return any(found) if quantifier == "ForAnyValue" else all(found)

    return test


def _safely(matches: Callable[[str, str], bool], actual: str, wanted: str) -> bool:
    try:
        return matches(actual, wanted)
    except ValueError:
        return False


# Policies of several kinds


@dataclass(frozen=True)
class _Names:
    """The principals as which the policy of a resource may name a caller."""

    caller: tuple[str, str]
    role: tuple[str, str] | None
    account: tuple[str, str]


def _reason(
    policies: Iterable[Mapping[str, Any]],
    boundary: Mapping[str, Any] | None,
    resource_policy: Mapping[str, Any] | None,
    action: str,
    resource: str | None,
    context: Context,
    names: _Names,
) -> str | None:
    """Return why policies within one account refuse a request, in AWS's words, or None if they allow it.

    What a resource's policy allows to the caller itself (a user, a session, everybody) needs nothing else; what it
    allows to the caller's role is still limited by the role's permissions boundary.
    """
    by_identity = evaluate(policies, action, resource, context)
    if by_identity is Decision.DENY:
        return "with an explicit deny in an identity-based policy"
    if action.startswith("kms:") and resource_policy is not None:
        # Identity policies count for a key only as far as its own policy lets the account decide.
        lent = evaluate((resource_policy,), action, resource, context, (names.account,))
        by_identity = by_identity if lent is Decision.ALLOW else Decision.NOTHING
    by_resource = direct = Decision.NOTHING
    if resource_policy is not None:
        own = (resource_policy,)
        direct = evaluate(own, action, resource, context, (names.caller,))
        both = (names.caller,) if names.role is None else (names.caller, names.role)
        by_resource = evaluate(own, action, resource, context, both)
        # A Deny with NotPrincipal holds for every caller that has a boundary, whomever it names.
        others = ((names.account,),) if boundary is None else ((names.account,), ())
        denied = any(evaluate(own, action, resource, context, one) is Decision.DENY for one in others)
        if by_resource is Decision.DENY or denied:
            return "with an explicit deny in a resource-based policy"
    if boundary is not None:
        bounded = evaluate((boundary,), action, resource, context)
        if bounded is Decision.DENY:
            return "with an explicit deny in a permissions boundary"
        if bounded is Decision.NOTHING and direct is not Decision.ALLOW:
            return "permissions boundary"
    return None if Decision.ALLOW in (by_identity, by_resource) else "identity-based policy"


# The space's identities and rights


class Permissions:
    """Who may do what in a space.

    Parameters
    ----------
    space : Space
        The space whose control plane holds users, roles and policies.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._owner: Credential | None = None
        self._minted: dict[str, Credential] = {}
        self._by_role: dict[tuple[str, str], Credential] = {}
        self._sessions_role: dict[str, str] = {}
        self._visitors: dict[str, Credential] = {}
        self._decided: dict[tuple[str, str, str | None], bool] = {}
        self._decided_at = -1

    # Identities

    def set_owner(self, access_key: str, secret_key: str) -> None:
        """Make a pair of keys the account's own; it may do everything."""
        identity = Identity(f"arn:aws:iam::{self._space.account}:user/learner", _OWNER_ID, owner=True)
        self._owner = Credential(access_key, secret_key, None, None, identity)

    def identify(self, access_key: str) -> Credential | None:
        """Return whose an access key is: the owner's, a role session's, an IAM user's; or None."""
        if self._owner is not None and access_key == self._owner.access_key:
            return self._owner
        if (minted := self._minted.get(access_key)) is not None:
            return minted
        control = self._space.control
        if (session := control.assumed_role(access_key)) is not None:
            identity = Identity(session.arn, session.user_id)
            return Credential(access_key, session.secret_key, session.session_token, session.expires, identity)
        if (found := control.user_of_key(access_key)) is not None:
            user, secret_key = found
            return Credential(access_key, secret_key, None, None, Identity(user.arn, user.user_id))
        return None

    def role_credentials(self, role_arn: str, session_name: str) -> Credential:
        """Return temporary credentials of a role for a function, valid for at least an hour of the space's time.

        Parameters
        ----------
        role_arn : str
            The execution role.
        session_name : str
            The session's name; Lambda uses the function's.
        """
        now = self._space.clock.now()
        known = self._by_role.get((role_arn, session_name))
        if known is not None and known.expires is not None and known.expires - now > _RENEW_BEFORE:
            return known
        role = self._space.control.role(role_arn)
        name = role_arn.rpartition("/")[2]
        role_id = role.role_id if role is not None else _unique_id("AROA")
        arn = f"arn:aws:sts::{self._space.account}:assumed-role/{name}/{session_name}"
        made = Credential(
            _unique_id("ASIA"),
            secrets.token_urlsafe(30),
            secrets.token_urlsafe(120),
            now + SESSION_SECONDS,
            Identity(arn, f"{role_id}:{session_name}"),
        )
        for key in [key for key, one in self._minted.items() if one.expires is not None and one.expires < now]:
            del self._minted[key]
        self._minted[made.access_key] = self._by_role[role_arn, session_name] = made
        self._sessions_role[made.identity.arn] = role_arn
        return made

    def visitor(self, account: str) -> Credential:
        """Return keys of a user of another account, always the same ones.

        The other account is not here: its own policies count as if they allowed its user everything, so that the
        policy of the resource alone decides. Names without an account mean this account's things for it too.

        Parameters
        ----------
        account : str
            Twelve digits, another account than the space's.
        """
        if account not in self._visitors:
            identity = Identity(f"arn:aws:iam::{account}:user/visitor", _unique_id("AIDA"))
            made = Credential(_unique_id("LKIA"), secrets.token_urlsafe(30), None, None, identity)
            self._minted[made.access_key] = self._visitors[account] = made
        return self._visitors[account]

    def is_foreign(self, identity: Identity) -> bool:
        """Return whether an identity belongs to another account."""
        return _account(identity) != self._space.account

    def requester(self, identity: Identity) -> str:
        """Return as whom a caller counts with KMS: all sessions of a role are one (row E17)."""
        return self._role_of(identity) or identity.arn

    # Rights

    def check(
        self,
        identity: Identity,
        action: str,
        resource: str | None,
        context: Context | None = None,
        resource_policy: Mapping[str, Any] | None = None,
    ) -> None:
        """Raise unless an identity may do something (row E13).

        Parameters
        ----------
        identity : Identity
            Who; the account's owner may do everything.
        action : str
            The IAM action, such as `sqs:SendMessage`.
        resource : str or None
            Its ARN, `*`, or None when it is not known.
        context : mapping, optional
            Condition keys beside those that every request has.
        resource_policy : mapping, optional
            The policy of the resource itself; within an account it may allow what the identity's policies do not say.
            Without it a queue's own Policy counts.

        Raises
        ------
        ApiError
            AccessDeniedException with AWS's text, 403.
        """
        if identity.owner or action in _FREE:
            return
        reason = self._refusal(identity, action, resource, context, resource_policy)
        if reason is not None:
            raise _denial(identity, action, resource, reason)

    def check_any(self, identity: Identity, action: str, resources: Sequence[str | None]) -> None:
        """Raise unless an identity may do something to what policies may name in more than one way.

        One form that is allowed is enough, and one that is denied explicitly is too much.

        Parameters
        ----------
        identity : Identity
            Who; the account's owner may do everything.
        action : str
            The IAM action.
        resources : sequence of (str or None)
            The forms, at least one; the first stands in the text of a denial.

        Raises
        ------
        ApiError
            AccessDeniedException, 403.
        """
        if identity.owner or action in _FREE:
            return
        reasons = [self._refusal(identity, action, resource, None, None) for resource in resources]
        explicit = next((one for one in reasons if one is not None and one.startswith("with")), None)
        if explicit is not None or None not in reasons:
            raise _denial(identity, action, resources[0], explicit or str(reasons[0]))

    def allows(self, identity: Identity, action: str, resource: str | None, context: Context | None = None) -> bool:
        """Return whether an identity may do something."""
        return identity.owner or self._refusal(identity, action, resource, context, None) is None

    def role_allows(self, role_arn: str, action: str, resource: str | None, context: Context | None = None) -> bool:
        """Return whether a role's policies allow an action; False for an unknown role."""
        control = self._space.control
        if self._decided_at != control.generation or len(self._decided) > _MOST_DECISIONS:
            self._decided.clear()
            self._decided_at = control.generation
        question = (role_arn, action, resource)
        own_policy = self._policy_of(action, resource)
        if own_policy is None and context is None and (decided := self._decided.get(question)) is not None:
            return decided
        policies, boundary = control.role_policies(role_arn), control.role_boundary(role_arn)
        known = self._context(None, role_arn, context)
        # The session's name is not known: of a session only `*` speaks.
        names = _Names(("AWS", ""), ("AWS", role_arn), self._account_root())
        allowed = _reason(policies, boundary, own_policy, action, resource, known, names) is None
        documents = policies if boundary is None else [*policies, boundary]
        if own_policy is None and not any(one.depends for document in documents for one in compile_policy(document)):
            self._decided[question] = allowed
        return allowed

    def key_policy_allows(self, policy: Mapping[str, Any], action: str, key_arn: str, service: str) -> bool:
        """Return whether a key's policy lets an AWS service use the key."""
        known = self._context(None, None, {"aws:SourceAccount": self._space.account})
        return evaluate((policy,), action, key_arn, known, (("Service", service),)) is Decision.ALLOW

    def role_trusts(self, role_arn: str, service: str, context: Context | None = None) -> bool:
        """Return whether a role lets an AWS service assume it (rows E1 and E2); False for an unknown role.

        Parameters
        ----------
        role_arn : str
            The role.
        service : str
            The service principal, `lambda.amazonaws.com`.
        context : mapping, optional
            Condition keys, such as `aws:SourceArn`.
        """
        role = self._space.control.role(role_arn)
        if role is None:
            return False
        known = {"aws:SourceAccount": self._space.account, **(context or {})}
        return self._trust(role, (("Service", service),), known) is Decision.ALLOW

    def check_assume_role(self, identity: Identity, role_arn: str) -> None:
        """Raise unless a role's trust policy and the caller's rights allow sts:AssumeRole.

        The trust policy binds the account's owner too: without it nobody may assume a role.

        Raises
        ------
        ApiError
            AccessDenied, 403.
        """
        role = self._space.control.role(role_arn)
        direct = self._names_of(identity)
        known = self._context(identity, None, None)
        if role is not None and self._trust(role, (*direct, _root(_account(identity))), known) is Decision.ALLOW:
            named = self.is_foreign(identity) or self._trust(role, direct, known) is Decision.ALLOW
            if named or self.allows(identity, "sts:AssumeRole", role_arn):
                return
        text = f"User: {identity.arn} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
        raise ApiError("AccessDenied", text, 403, query_code="AccessDenied")

    def _trust(self, role: Role, principal: Sequence[tuple[str, str]], context: Context) -> Decision:
        return evaluate((role.trust,), "sts:AssumeRole", None, context, principal)

    def _refusal(
        self,
        identity: Identity,
        action: str,
        resource: str | None,
        context: Context | None,
        resource_policy: Mapping[str, Any] | None,
    ) -> str | None:
        control = self._space.control
        if self.is_foreign(identity):
            return self._foreign_refusal(identity, action, resource, context, resource_policy)
        role_arn = self._role_of(identity)
        boundary: Mapping[str, Any] | None = None
        if role_arn is not None:
            policies, boundary = control.role_policies(role_arn), control.role_boundary(role_arn)
        else:
            policies = control.user_policies(identity.arn.rpartition("/")[2])
        known = self._context(identity, role_arn, context)
        if resource_policy is None:
            resource_policy = self._policy_of(action, resource)
        role = None if role_arn is None else ("AWS", role_arn)
        names = _Names(("AWS", identity.arn), role, self._account_root())
        return _reason(policies, boundary, resource_policy, action, resource, known, names)

    def _foreign_refusal(
        self,
        identity: Identity,
        action: str,
        resource: str | None,
        context: Context | None,
        resource_policy: Mapping[str, Any] | None,
    ) -> str | None:
        """Return why a caller of another account is refused, in AWS's words, or None."""
        policy = self._policy_of(action, resource) if resource_policy is None else resource_policy
        if policy is not None and action.lower() not in _NOT_ACROSS_ACCOUNTS:
            names = (("AWS", identity.arn), _root(_account(identity)))
            decision = evaluate((policy,), action, resource, self._context(identity, None, context), names)
            if decision is not Decision.NOTHING:
                return None if decision is Decision.ALLOW else "with an explicit deny in a resource-based policy"
        return "resource-based policy"

    def _policy_of(self, action: str, resource: str | None) -> Mapping[str, Any] | None:
        """Return the policy of the queue, the function or the key that an action is about, or None."""
        if resource is None or not action.startswith(("sqs:", "lambda:", "kms:")):
            return None
        if action.startswith("kms:"):
            return self._space.keys.policy(resource)
        if action.startswith("lambda:"):
            return self._space.functions.policy(resource)
        queue = self._space.queues.by_arn(resource)
        text = None if queue is None else queue.attributes.get("Policy")
        return _parsed(text) if text else None

    def _account_root(self) -> tuple[str, str]:
        return _root(self._space.account)

    def _role_of(self, identity: Identity) -> str | None:
        """Return the ARN of the role whose session an identity is, or None for a user."""
        if ":assumed-role/" not in identity.arn:
            return None
        if (known := self._sessions_role.get(identity.arn)) is not None:
            return known
        name = identity.arn.split("/")[-2]
        role = self._space.control.role_named(name)
        return role.arn if role is not None else f"arn:aws:iam::{self._space.account}:role/{name}"

    def _names_of(self, identity: Identity) -> tuple[tuple[str, str], ...]:
        """Return the principals as which policies may name an identity itself."""
        role_arn = self._role_of(identity)
        return (("AWS", identity.arn), *((("AWS", role_arn),) if role_arn is not None else ()))

    def _context(self, identity: Identity | None, role_arn: str | None, extra: Context | None) -> dict[str, Any]:
        now = self._space.clock.now()
        known: dict[str, Any] = {
            "aws:CurrentTime": datetime.fromtimestamp(now, UTC).isoformat(),
            "aws:EpochTime": str(int(now)),
            "aws:PrincipalAccount": self._space.account if identity is None else _account(identity),
            "aws:RequestedRegion": self._space.region,
            "aws:SecureTransport": "true",
            "aws:SourceIp": "127.0.0.1",
        }
        if role_arn is not None:
            known |= {"aws:PrincipalArn": role_arn, "aws:PrincipalType": "AssumedRole"}
        if identity is not None:
            known["aws:userid"] = identity.user_id
            if role_arn is None:
                known |= {
                    "aws:PrincipalArn": identity.arn,
                    "aws:PrincipalType": "User",
                    "aws:username": identity.arn.rpartition("/")[2],
                }
        return known | dict(extra or {})


def _account(identity: Identity) -> str:
    return identity.arn.split(":")[4]


def _root(account: str) -> tuple[str, str]:
    return "AWS", f"arn:aws:iam::{account}:root"


@lru_cache(maxsize=512)
def _parsed(text: str) -> Mapping[str, Any]:
    document = json.loads(text)
    return document if isinstance(document, dict) else {}


def _denial(identity: Identity, action: str, resource: str | None, reason: str) -> ApiError:
    """Return the refusal in AWS's words; SQS writes its actions in small letters (row E13)."""
    shown = action.lower() if action.startswith("sqs:") else action
    text = f"User: {identity.arn} is not authorized to perform: {shown} on resource: {resource or '*'} " + (
        reason if reason.startswith("with") else f"because no {reason} allows the {shown} action"
    )
    return ApiError("AccessDeniedException", text, 403, query_code="AccessDenied")


def _unique_id(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_ID_LETTERS) for _ in range(16))
