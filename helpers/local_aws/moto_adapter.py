"""The only module that touches moto: its protocol layer, and its backends as the control plane.

moto's protocol layer (`moto.core.parse`, `moto.core.serialize`, driven by `get_service_model`) reads and writes what
our own services speak. moto's backends keep what is not ours: IAM, STS, CloudWatch Logs and what else a handler may
call. moto is called below its HTTP server and beside its mocks: no Flask, no `/moto-api`, no patched clients, no scan
of its modules, and never its own evaluation of rights, which the front door has done before.

Importing `moto.core` costs 0.3 s; a service is imported when it is first called.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import sys
import threading
import time
import traceback
from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

# moto reads these once, at import; what the user set for other work must not reach the local AWS.
for _name in [name for name in os.environ if name.startswith("MOTO_")]:
    del os.environ[_name]
for _name in ("TEST_SERVER_MODE", "TEST_PROXY_MODE", "INITIAL_NO_AUTH_ACTION_COUNT", "S3_IGNORE_SUBDOMAIN_BUCKETNAME"):
    os.environ.pop(_name, None)

import botocore  # noqa: E402

MOTO = ">=5.2.5,<5.3"
"""The versions of moto whose insides are known, as in pyproject.toml."""


def _explain(missing: Sequence[str]) -> str:
    """Return what to do when moto lacks something that is used inside it."""
    return (
        f"moto {version('moto')} does not have {', '.join(missing)}, which the local AWS uses. It wants moto{MOTO}: "
        "install the very version that requirements.lock names, "
        "with `make setup` or `pip install -r requirements.lock`."
    )


try:
    from moto import settings
    from moto.core.base_backend import AccountSpecificBackend
    from moto.core.config import default_user_config
    from moto.core.parse import JSONParser, QueryParser, RestJSONParser
    from moto.core.request import Request as MotoRequest
    from moto.core.routing import RestRouter
    from moto.core.serialize import (
        JSONSerializer,
        QuerySerializer,
        RestJSONSerializer,
        SerializationContext,
        SqsQuerySerializer,
    )
    from moto.core.utils import get_service_model
except ImportError as _problem:
    raise ImportError(_explain([str(_problem).removeprefix("cannot import name ")])) from _problem
from werkzeug.exceptions import HTTPException, NotFound  # noqa: E402

from .errors import ApiError  # noqa: E402

if TYPE_CHECKING:
    from .keys import Key
    from .space import Space

log = logging.getLogger(__name__)

__all__ = [
    "SERVICES",
    "AssumedRole",
    "ControlPlane",
    "JSONParser",
    "JSONSerializer",
    "QueryParser",
    "QuerySerializer",
    "RestJSONParser",
    "RestJSONSerializer",
    "Role",
    "SerializationContext",
    "SqsQuerySerializer",
    "User",
    "check_hooks",
    "get_service_model",
    "model_of",
    "rest_operation",
]

SERVICES: dict[str, tuple[str, str]] = {
    "dynamodb": ("dynamodb", "dynamodb"),
    "events": ("events", "events"),
    "iam": ("iam", "iam"),
    "kms": ("kms", "kms"),
    "logs": ("logs", "logs"),
    "s3": ("s3", "s3"),
    "secretsmanager": ("secretsmanager", "secretsmanager"),
    "sns": ("sns", "sns"),
    "ssm": ("ssm", "ssm"),
    "sts": ("sts", "sts"),
    "tagging": ("resourcegroupstaggingapi", "tagging"),
}
"""What the control plane offers: by signing name, moto's module and the first label of AWS's host name."""

SEEDED_POLICIES = (
    "AWSLambdaBasicExecutionRole",
    "AWSLambdaSQSQueueExecutionRole",
    "AWSLambdaRole",
    "AWSLambda_FullAccess",
    "AWSLambda_ReadOnlyAccess",
    "AWSXRayDaemonWriteAccess",
    "AdministratorAccess",
    "AmazonSQSFullAccess",
    "AmazonSQSReadOnlyAccess",
    "CloudWatchLogsFullAccess",
    "CloudWatchReadOnlyAccess",
    "ReadOnlyAccess",
)
"""The AWS managed policies that ListPolicies shows from the start; any other is loaded when a call names its ARN."""

_PARTITION = "aws"
_ARN_PARTS = 6
_HOOKS: tuple[tuple[str, str], ...] = (
    ("moto.settings", "INITIAL_NO_AUTH_ACTION_COUNT"),
    ("moto.core.base_backend", "AccountSpecificBackend._generate_regions"),
    ("moto.core.config", "default_user_config"),
    ("moto.core.parse", "JSONParser.parse"),
    ("moto.core.parse", "QueryParser.parse"),
    ("moto.core.parse", "RestJSONParser.parse"),
    ("moto.core.request", "Request.from_primitives"),
    ("moto.core.request", "Request.raw_url"),
    ("moto.core.responses", "BaseResponse.dispatch"),
    ("moto.core.routing", "RestRouter.match"),
    ("moto.core.serialize", "JSONSerializer.serialize"),
    ("moto.core.serialize", "QuerySerializer.serialize"),
    ("moto.core.serialize", "RestJSONSerializer.serialize"),
    ("moto.core.serialize", "SerializationContext"),
    ("moto.core.serialize", "SqsQuerySerializer.serialize"),
    ("moto.core.utils", "get_service_model"),
    ("moto.iam.aws_managed_policies", "aws_managed_policies_data"),
    ("moto.iam.models", "iam_backends"),
    ("moto.iam.models", "AWSManagedPolicy.from_data"),
    ("moto.iam.models", "IAMBackend.get_groups_for_user"),
    ("moto.iam.models", "Policy.update_default_version"),
    ("moto.iam.models", "Role.put_policy"),
    ("moto.kms.models", "kms_backends"),
    ("moto.kms.models", "KmsBackend.delete_key"),
    ("moto.kms.models", "KmsBackend.get_key_id_from_alias"),
    ("moto.kms.models", "unix_time"),
    ("moto.kms.models", "utcnow"),
    ("moto.logs.models", "logs_backends"),
    ("moto.logs.models", "LogEvent.to_filter_dict"),
    ("moto.logs.models", "LogGroup.create_log_stream"),
    ("moto.logs.models", "LogsBackend.create_log_group"),
    ("moto.sns.models", "SNSBackend.publish"),
    ("moto.sns.models", "Subscription._parse_message_structure"),
    ("moto.sns.models", "Subscription.publish"),
    ("moto.sns.models", "sns_backends"),
    ("moto.sts.models", "sts_backends"),
    ("moto.sts.models", "STSBackend.assume_role"),
)

_READING = re.compile(r"(Get|List|Simulate|Decode)")
_AWS_POLICY_ARN = re.compile(r"arn:aws:iam::aws:policy/[\w+=,.@/-]+")
_MANAGED_POLICY = re.compile(r"([\w+=,.@-]+)$")
_DELIVERIES: dict[tuple[str, str], str] = {
    ("events", "PutTargets"): "deliveries from EventBridge are not connected to its queues and functions",
    ("logs", "PutMetricFilter"): "it makes no metrics from log events",
    ("logs", "PutSubscriptionFilter"): "subscriptions of CloudWatch Logs are not connected to its queues and functions",
    ("secretsmanager", "RotateSecret"): "rotation of secrets is not connected to its queues and functions",
}
_DROPPED_HEADERS = {"date", "server", "status", "connection", "transfer-encoding"}


@dataclass(frozen=True)
class Role:
    """An IAM role as the rest of the local AWS needs it.

    Attributes
    ----------
    arn, name : str
        The ARN and the name without its path.
    role_id : str
        The unique id, `AROA…`.
    trust : dict
        The trust policy document.
    max_session : int
        MaxSessionDuration in seconds.
    """

    arn: str
    name: str
    role_id: str
    trust: dict[str, Any]
    max_session: int = 3600


@dataclass(frozen=True)
class User:
    """An IAM user: ARN, name and unique id."""

    arn: str
    name: str
    user_id: str


@dataclass(frozen=True)
class AssumedRole:
    """A session that STS made.

    Attributes
    ----------
    access_key, secret_key, session_token : str
        The temporary credentials.
    role_arn : str
        The role.
    session_name : str
        RoleSessionName.
    arn : str
        `arn:aws:sts::…:assumed-role/<role>/<session>`.
    user_id : str
        `<role id>:<session>`.
    expires : float
        Seconds since the epoch, in the space's time.
    """

    access_key: str
    secret_key: str
    session_token: str
    role_arn: str
    session_name: str
    arn: str
    user_id: str
    expires: float


def model_of(service: str) -> str | None:
    """Return the service model by which a call to the control plane is read before moto sees it.

    None stands for a service that is not offered, and for S3, whose bodies are not of its model alone.
    """
    return SERVICES[service][0] if service in SERVICES and service != "s3" else None


@lru_cache(maxsize=8)
def _router(service_name: str) -> RestRouter:
    return RestRouter(get_service_model(service_name))


def rest_operation(
    service_model: Any, method: str, raw_path_and_query: str, headers: Mapping[str, str]
) -> tuple[Any, dict[str, Any]]:
    """Find the REST operation that a request asks for; about 60 microseconds.

    Parameters
    ----------
    service_model : ServiceModel
        Made by `get_service_model`.
    method : str
        The HTTP method.
    raw_path_and_query : str
        The request target as sent: labels such as ARNs stay percent-encoded until they are taken out of it.
    headers : mapping
        The request's headers.

    Returns
    -------
    tuple of (OperationModel, dict)
        The operation and the labels of its URI, decoded.

    Raises
    ------
    LookupError
        When no operation has this path and method.
    """
    path, _, query = raw_path_and_query.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "RAW_URI": raw_path_and_query,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
    }
    for name, value in headers.items():
        if name.lower() != "host":
            environ["HTTP_" + name.upper().replace("-", "_")] = value
    try:
        operation, params = _router(service_model.service_name).match(MotoRequest(environ))
    except NotFound:
        raise LookupError(f"{method} {path}") from None
    return operation, params


@lru_cache
def _regions() -> tuple[str, ...]:
    """Return AWS's Regions from botocore's short list; moto would keep 10 MB of endpoints to know them."""
    listed = json.loads((Path(botocore.__file__).parent / "data" / "partitions.json").read_bytes())
    return tuple(region for partition in listed["partitions"] for region in partition["regions"])


AccountSpecificBackend._generate_regions = lambda self, service_name: list(_regions())  # type: ignore[assignment, method-assign]


def _managed_policies() -> str:
    """Return AWS's managed policies as one text of JSON, and let go of moto's copy: 5 MB that are needed once."""
    from moto.iam import models

    module = importlib.import_module("moto.iam.aws_managed_policies")
    text: str = module.aws_managed_policies_data
    models.aws_managed_policies_data = "{}"
    sys.modules.pop(module.__name__, None)
    vars(sys.modules["moto.iam"]).pop("aws_managed_policies", None)
    return text


def check_hooks(*, loaded: bool = False) -> None:
    """Check that everything which is used inside moto is still where it was.

    Parameters
    ----------
    loaded : bool
        Look only at what has been imported, and import nothing for it.

    Raises
    ------
    RuntimeError
        With what is missing, which versions of moto have it, and what to do.
    """
    uses = [*_HOOKS]
    uses += [(f"moto.{name}.urls", urls) for name, _ in SERVICES.values() for urls in ("url_bases", "url_paths")]
    missing = []
    for module, dotted in uses:
        if loaded and module not in sys.modules:
            continue
        try:
            found: Any = importlib.import_module(module)
            for part in dotted.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError):
            missing.append(f"{module}.{dotted}")
    if missing:
        raise RuntimeError(_explain(missing))


class ControlPlane:
    """moto's backends for one space's account and Region.

    All methods but `warm_up` are called under the space's lock.

    Parameters
    ----------
    space : Space
        The space; moto keeps its state per account and Region, so two spaces in one process need two accounts.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._account = space.account
        self._region = space.region
        self._loading = threading.Lock()
        self._tables: dict[str, list[tuple[re.Pattern[str], Callable[..., Any]]]] = {}
        self._iam: Any = None
        self.generation = 0
        """Rises whenever IAM or STS may have changed: whoever keeps what it read compares it."""
        self._indexed = -1
        self._roles: dict[str, Any] = {}
        self._keys: dict[str, tuple[User, str]] = {}
        self._documents: dict[tuple[str, str], tuple[list[dict[str, Any]], dict[str, Any] | None]] = {}
        self._sessions: dict[str, AssumedRole] = {}
        self._sessions_seen = 0
        check_hooks(loaded=True)
        settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
        default_user_config["lambda"] = {"use_docker": False}
        default_user_config["batch"] = {"use_docker": False}
        os.environ["MOTO_ACCOUNT_ID"] = self._account
        # A profile that does not exist would make the session fail in which moto looks up the Regions.
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
            os.environ.pop(name, None)

    def warm_up(self) -> None:
        """Import what the first labs call, so that no call waits for it. For a thread of its own."""
        for service in ("iam", "sts", "logs"):
            self._table(service)
        with self._space.scheduler.lock:
            self._iam_backend()
            self._logs_backend()

    def changed(self) -> None:
        """Tell that IAM was changed past `handle`."""
        self.generation += 1

    # One call

    def handle(
        self, service: str, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Let moto answer one request whose signature and rights have been checked.

        Parameters
        ----------
        service : str
            The name that the request was signed for; one of `SERVICES`.
        method, url, headers, body
            The request; path and query as sent.

        Returns
        -------
        tuple of (int, dict, bytes)
            Status, headers and body.

        Raises
        ------
        ApiError
            When the service or operation is not offered.
        """
        table = self._table(service)
        target = urlsplit(url)
        action = _action(method, target.query, headers, body)
        self._refuse_what_is_not_connected(service, action, target.query, headers, body)
        if service == "sns":
            self._check_sns(action, dict(parse_qsl(body.decode("utf-8", "replace") or target.query)))
        if service == "iam":
            for arn in set(_AWS_POLICY_ARN.findall(unquote_plus(body.decode("utf-8", "replace")))):
                self._load_managed_policy(arn)
        if service in ("kms", "tagging"):
            self._end_keys()
        host = f"{SERVICES[service][1]}.{self._region}.amazonaws.com"
        path = target.path or "/"
        full = f"https://{host}{path}" + (f"?{target.query}" if target.query else "")
        function = next((function for pattern, function in table if pattern.match(f"https://{host}{path}")), None)
        if function is None:
            raise _not_offered(f"{service}: {method} {path}")
        os.environ["MOTO_ACCOUNT_ID"] = self._account
        passed = {name: value for name, value in headers.items() if not _is_private(name)}
        request = MotoRequest.from_primitives(method, full, {**passed, "Host": host}, body)
        try:
            status, answer_headers, answer = function(request, request.raw_url, request.headers)
        except HTTPException as problem:
            status, answer_headers, answer = problem.code or 500, dict(problem.get_headers()), problem.get_body()
        except NotImplementedError:
            raise _not_offered(f"{service}:{action}") from None
        except ApiError:
            raise
        except Exception as gap:
            place = traceback.extract_tb(gap.__traceback__)[-1]
            if Path(place.filename).parent == Path(__file__).parent:
                raise
            # What moto did not think of, it does not offer.
            log.warning(
                "%s:%s ended in %s at %s:%d", service, action, type(gap).__name__, place.name, place.lineno or 0
            )
            raise _not_offered(f"{service}:{action} with these parameters") from None
        finally:
            if service in ("iam", "sts", "kms") and not _READING.match(action):
                self._after_change(service)
            if service == "sns" and action.startswith("Publish"):
                self._take_text_messages()
        return (
            int(status),
            {name: str(value) for name, value in dict(answer_headers).items() if name.lower() not in _DROPPED_HEADERS},
            answer.encode() if isinstance(answer, str) else bytes(answer or b""),
        )

    def _table(self, service: str) -> list[tuple[re.Pattern[str], Callable[..., Any]]]:
        table = self._tables.get(service)
        if table is None:
            if service not in SERVICES:
                offered = sorted({*SERVICES, "cloudformation", "cloudwatch", "lambda", "sqs"})
                raise ApiError(
                    "NotImplemented",
                    f"The local AWS does not offer the service {service}; it offers {', '.join(offered)}.",
                    501,
                )
            with self._loading:
                urls = importlib.import_module(f"moto.{SERVICES[service][0]}.urls")
                check_hooks(loaded=True)
                table = [
                    (re.compile(path.format(base)), function)
                    for base in urls.url_bases
                    for path, function in urls.url_paths.items()
                ]
                if service == "sns":
                    self._connect_sns()
                if service == "kms":
                    self._connect_kms()
                self._tables[service] = table
        return table

    def _refuse_what_is_not_connected(
        self, service: str, action: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Refuse what moto would accept and then deliver nowhere, or outside this machine."""
        if service == "sts" and action.startswith("AssumeRoleWith"):
            # moto would lend any role, whomever it trusts.
            raise ApiError("NotImplemented", f"The local AWS does not offer sts:{action}: use AssumeRole.", 501)
        what = _DELIVERIES.get((service, action))
        if service == "s3" and headers.get("x-amz-copy-source") is None and re.match(r"notification\b", query):
            what = None if action == "Get" else "notifications of S3 are not connected to its queues and functions"
        if what is not None:
            text = f"The local AWS does not offer {service}:{action}: {what}."
            raise ApiError("NotImplemented", text, 501)

    # SNS

    def _connect_sns(self) -> None:
        """Deliver to our queues and functions what moto's topics publish."""
        from moto.sns import models

        _spaces[self._account] = self._space
        models.Subscription.publish = _deliver  # type: ignore[assignment, method-assign]

    def publish(self, topic_arn: str, subject: str, message: str) -> bool:
        """Publish to a topic of SNS on behalf of another service; return whether there is such a topic."""
        if "moto.sns.models" not in sys.modules:
            return False
        self._table("sns")
        from moto.sns.models import sns_backends

        backend = sns_backends[self._account][self._region]
        if topic_arn not in backend.topics:
            return False
        backend.publish(message, topic_arn, subject=subject)
        self._take_text_messages()
        return True

    def _check_sns(self, action: str, asked: Mapping[str, str]) -> None:
        """Refuse in SNS's words what moto would fail at, or could not deliver."""
        for name in ("TopicArn", "SubscriptionArn", "TargetArn"):
            if name in asked and (amount := asked[name].count(":") + 1) < _ARN_PARTS:
                reason = f"An ARN must have at least {_ARN_PARTS} elements, not {amount}"
                raise ApiError("InvalidParameter", f"Invalid parameter: {name} Reason: {reason}")
        if action == "Subscribe":
            names = ("TopicArn", "Protocol", "Endpoint")
            self._space.notifications.check_subscription(*(asked.get(name, "") for name in names))
        if action == "Publish" and not asked.keys() & {"TopicArn", "TargetArn", "PhoneNumber"}:
            reason = "no value for required parameter"
            raise ApiError("InvalidParameter", f"Invalid parameter: TopicArn or TargetArn Reason: {reason}")
        if action.startswith("Publish"):
            self._check_topic(asked.get("TopicArn"))

    def _check_topic(self, arn: str | None) -> None:
        from moto.sns.models import sns_backends

        if arn is not None and arn not in sns_backends[self._account][self._region].topics:
            raise ApiError("NotFoundException", "Topic does not exist", 404, query_code="NotFound")

    def _take_text_messages(self) -> None:
        """Take over the text messages that moto keeps."""
        from moto.sns.models import sns_backends

        backend = sns_backends[self._account][self._region]
        for message_id, (number, message) in backend.sms_messages.items():
            self._space.notifications.post(number, message, message_id)
        backend.sms_messages.clear()
        backend.sms_message_objects.clear()

    # IAM

    def _iam_backend(self) -> Any:
        if self._iam is None:
            from moto.iam.models import iam_backends

            self._iam = iam_backends[self._account][_PARTITION]
            text = _managed_policies()
            for name in SEEDED_POLICIES:
                self._seed(name, text)
        return self._iam

    def _load_managed_policy(self, arn: str) -> None:
        backend = self._iam_backend()
        if arn not in backend.managed_policies and (name := _MANAGED_POLICY.search(arn)):
            self._seed(name[1], _managed_policies(), arn)

    def _seed(self, name: str, text: str, arn: str | None = None) -> None:
        """Add one AWS managed policy without reading the other 1,581 (5 MB of JSON)."""
        from moto.iam.models import AWSManagedPolicy

        start = text.find(f'\n "{name}":{{')
        if start < 0:
            return
        data, _ = json.JSONDecoder().raw_decode(text, text.index("{", start))
        policy = AWSManagedPolicy.from_data(name, self._account, _PARTITION, data)
        if arn in (None, policy.arn) and policy.arn not in self._iam.managed_policies:
            self._iam.aws_managed_policies.append(policy)
            self._iam.managed_policies[policy.arn] = policy

    def _after_change(self, service: str) -> None:
        self.generation += 1
        if service == "sts":
            self._note_sessions()

    def _index(self) -> Any:
        backend = self._iam_backend()
        if self._indexed != self.generation:
            self._indexed = self.generation
            self._documents.clear()
            self._roles = {role.arn: role for role in backend.roles.values()}
            self._keys = {
                key.access_key_id: (User(user.arn, user.name, user.id), key.secret_access_key)
                for user in backend.users.values()
                for key in user.access_keys
                if key.status == "Active"
            }
        return backend

    def role(self, arn: str) -> Role | None:
        """Return the role with this ARN, or None."""
        self._index()
        role = self._roles.get(arn)
        if role is None:
            return None
        trust = _document(role.assume_role_policy_document)
        return Role(role.arn, role.name, role.id, trust, int(role.max_session_duration or 3600))

    def role_named(self, name: str) -> Role | None:
        """Return the role with this name, whatever its path, or None."""
        self._index()
        return next((self.role(arn) for arn, role in self._roles.items() if role.name == name), None)

    def role_policies(self, arn: str) -> list[dict[str, Any]]:
        """Return the documents of a role's inline policies and of the default versions of its managed ones."""
        return self._policies("role", arn)[0]

    def role_boundary(self, arn: str) -> dict[str, Any] | None:
        """Return the document of a role's permissions boundary, or None."""
        return self._policies("role", arn)[1]

    def user_policies(self, name: str) -> list[dict[str, Any]]:
        """Return the policy documents of a user and of the user's groups."""
        return self._policies("user", name)[0]

    def user_named(self, name: str) -> User | None:
        """Return the user with this name, whatever its path, or None."""
        user = self._index().users.get(name)
        return None if user is None else User(user.arn, user.name, user.id)

    def _policies(self, kind: str, key: str) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        backend = self._index()
        found = self._documents.get((kind, key))
        if found is None:
            holder = self._roles.get(key) if kind == "role" else backend.users.get(key)
            documents: list[dict[str, Any]] = []
            boundary = None
            if holder is not None:
                holders = [holder, *(backend.get_groups_for_user(key) if kind == "user" else ())]
                for one in holders:
                    documents += [_document(text) for text in one.policies.values()]
                    documents += [_default_version(policy) for policy in one.managed_policies.values()]
                boundary_arn = getattr(holder, "permissions_boundary_arn", None)
                if boundary_arn:
                    self._load_managed_policy(boundary_arn)
                    policy = backend.managed_policies.get(boundary_arn)
                    # A boundary whose policy is gone allows nothing.
                    boundary = _default_version(policy) if policy is not None else {"Statement": []}
            found = self._documents[kind, key] = (documents, boundary)
        return found

    def user_of_key(self, access_key: str) -> tuple[User, str] | None:
        """Return the IAM user of an active access key and the secret key, or None."""
        if not self._may_hold_keys():
            return None
        self._index()
        return self._keys.get(access_key)

    def _may_hold_keys(self) -> bool:
        # Before the first change nobody has made a key, and an unknown key must not cost the import of IAM.
        return self.generation > 0

    # KMS

    def _connect_kms(self) -> None:
        """Let keys be dated in the space's time."""
        from moto.kms import models

        _spaces[self._account] = self._space
        models.utcnow = _space_time
        models.unix_time = _space_moment

    def _end_keys(self) -> None:
        """Delete the keys whose waiting period is over, with their aliases."""
        if "moto.kms.models" not in sys.modules:
            return
        from moto.kms.models import kms_backends

        backend = kms_backends[self._account][self._region]
        now = datetime.fromtimestamp(self._space.clock.now(), UTC).replace(tzinfo=None)
        for key in list(backend.keys.values()):
            if key.key_state == "PendingDeletion" and key.deletion_date is not None and key.deletion_date <= now:
                backend.delete_key(key.id)
                self.generation += 1

    def key(self, identifier: str) -> Key | None:
        """Return a key by its id or its alias (`alias/orders`), or None."""
        from moto.kms.models import kms_backends

        from .keys import Key

        self._end_keys()
        backend = kms_backends[self._account][self._region]
        if identifier.startswith("alias/"):
            identifier = str(backend.get_key_id_from_alias(identifier) or "")
        found = backend.keys.get(identifier)
        if found is None:
            return None
        usage = str(found.key_usage or "ENCRYPT_DECRYPT")
        return Key(str(found.arn), str(found.key_state), usage, json.loads(found.policy))

    # STS

    def assumed_role(self, access_key: str) -> AssumedRole | None:
        """Return the session that STS made with this access key, or None."""
        return self._sessions.get(access_key)

    def assume_role(self, role_arn: str, session_name: str, duration: float = 3600) -> AssumedRole:
        """Make a session of a role in STS; trust and rights are the caller's to check.

        Parameters
        ----------
        role_arn : str
            The role.
        session_name : str
            RoleSessionName.
        duration : float
            Seconds until it expires.
        """
        self._iam_backend()
        os.environ["MOTO_ACCOUNT_ID"] = self._account
        made = self._sts_backend().assume_role(
            region_name=self._region,
            role_session_name=session_name,
            role_arn=role_arn,
            policy=None,
            duration=int(duration),
            external_id=None,
        )
        self._note_sessions()
        return self._sessions[made.access_key_id]

    def _sts_backend(self) -> Any:
        from moto.sts.models import sts_backends

        return sts_backends[self._account][_PARTITION]

    def _note_sessions(self) -> None:
        """Take over the sessions made since the last time; moto dates their end in real time."""
        made = self._sts_backend().assumed_roles
        for session in made[self._sessions_seen :]:
            end = session.expiration
            left = (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp() - time.time()
            self._sessions[session.access_key_id] = AssumedRole(
                session.access_key_id,
                session.secret_access_key,
                session.session_token,
                session.role_arn,
                session.session_name,
                session.arn,
                session.user_id,
                self._space.clock.now() + left,
            )
        self._sessions_seen = len(made)

    # CloudWatch Logs

    def _logs_backend(self) -> Any:
        from moto.logs.models import logs_backends

        return logs_backends[self._account][self._region]

    def log_group_exists(self, group: str) -> bool:
        """Return whether a log group exists."""
        return group in self._logs_backend().groups

    def log_stream_exists(self, group: str, stream: str) -> bool:
        """Return whether a log group exists and has this stream."""
        found = self._logs_backend().groups.get(group)
        return found is not None and stream in found.streams

    def log_retention(self, group: str) -> int | None:
        """Return for how many days a log group keeps its events; None for ever."""
        days = self._logs_backend().groups[group].retention_in_days
        return int(days) if days else None

    def log_events(self, group: str, start: int, end: int) -> Iterable[tuple[int, int, str, str, str]]:
        """Yield the events of a log group, stream by stream.

        Parameters
        ----------
        group : str
            A log group that exists.
        start, end : int
            Epoch milliseconds, both included.

        Yields
        ------
        tuple of (int, int, str, str, str)
            Timestamp and time of arrival in epoch milliseconds, stream, event id, text.
        """
        for name, stream in self._logs_backend().groups[group].streams.items():
            for event in stream.events:
                if start <= event.timestamp <= end:
                    yield event.timestamp, event.ingestion_time, name, str(event.event_id), event.message

    def put_log_events(self, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        """Write log events, and make the group and the stream if need be.

        It goes below moto's API, which refuses events that are ahead of the real clock. Subscription filters are not
        served.

        Parameters
        ----------
        group, stream : str
            Where to.
        events : sequence of (int, str)
            Epoch milliseconds and text.
        """
        from moto.logs.models import LogEvent

        if not events:
            return
        backend = self._logs_backend()
        now = self._space.clock.now()
        moment = datetime.fromtimestamp(now, UTC).replace(tzinfo=None)
        log_group = backend.groups.get(group)
        if log_group is None:
            log_group = backend.create_log_group(group, {}) or backend.groups[group]
            log_group.creation_time = moment
        log_stream = log_group.streams.get(stream)
        if log_stream is None:
            log_group.create_log_stream(stream)
            log_stream = log_group.streams[stream]
            log_stream.creation_time = moment
        kept = log_stream.events
        received = int(now * 1000)
        for timestamp, message in events:
            event = LogEvent(received, {"timestamp": timestamp, "message": message})
            if not kept or kept[-1].timestamp <= timestamp:
                kept.append(event)
            else:
                insort(kept, event, key=_timestamp)
            log_stream.stored_bytes += len(message)
        log_stream.last_ingestion_time = moment
        log_stream.upload_sequence_token += 1


_spaces: dict[str, Space] = {}
"""Whose topics and keys are whose, by account."""


def _space_time() -> datetime:
    """Stand in for moto's clock of KMS; the account is the one that `handle` works for."""
    now = _spaces[os.environ["MOTO_ACCOUNT_ID"]].clock.now()
    return datetime.fromtimestamp(now, UTC).replace(tzinfo=None)


def _space_moment(dt: datetime | None = None) -> float:
    return (dt or _space_time()).replace(tzinfo=UTC).timestamp()


def _deliver(
    subscription: Any,
    message: str,
    message_id: str,
    subject: str | None = None,
    message_attributes: dict[str, Any] | None = None,
    group_id: str | None = None,
    deduplication_id: str | None = None,
    message_structure: str | None = None,
) -> None:
    """Stand in for moto's delivery of a publication to one subscription; the filter stays moto's."""
    from .notifications import Publication

    space = _spaces[subscription.account_id]
    # moto would keep every message for ever.
    subscription.topic.sent_notifications.clear()
    matcher = subscription._filter_policy_matcher
    if matcher is not None and not matcher.matches(message_attributes or {}, message):
        space.metrics.add("AWS/SNS", "NumberOfNotificationsFilteredOut", {"TopicName": subscription.topic.name}, 1)
        return
    if message_structure == "json":
        message = subscription._parse_message_structure(message, subscription.protocol)
    settings = subscription.attributes
    redrive = settings.get("RedrivePolicy")
    space.notifications.deliver(
        Publication(
            topic_arn=subscription.topic.arn,
            subscription_arn=subscription.arn,
            protocol=subscription.protocol,
            endpoint=subscription.endpoint,
            message_id=message_id,
            message=message,
            subject=subject,
            attributes=message_attributes or {},
            group_id=group_id,
            deduplication_id=deduplication_id,
            raw=str(settings.get("RawMessageDelivery")).lower() == "true",
            redrive=_document(redrive).get("deadLetterTargetArn") if redrive else None,
        )
    )


def _timestamp(event: Any) -> int:
    return int(event.timestamp)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> dict[str, Any]:
    document = json.loads(text)
    return document if isinstance(document, dict) else {"Statement": []}


def _document(text: Any) -> dict[str, Any]:
    """Read a policy document; one that cannot be read allows nothing."""
    if isinstance(text, dict):
        return text
    try:
        return _parsed(text or "{}")
    except ValueError:
        return {"Statement": []}


def _default_version(policy: Any) -> dict[str, Any]:
    versions: Iterable[Any] = policy.versions
    return next((_document(one.document) for one in versions if one.version_id == policy.default_version_id), {})


def _action(method: str, query: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return the operation's name, or the method of a REST service whose operation is not named."""
    for name, value in headers.items():
        if name.lower() == "x-amz-target":
            return value.rpartition(".")[2]
    for text in (query, body.decode("latin-1") if body[:2000].find(b"Action=") >= 0 else ""):
        if (action := dict(parse_qsl(text)).get("Action")) is not None:
            return action
    return method.title()


def _is_private(name: str) -> bool:
    """Whether a header would steer moto itself, or is replaced."""
    return name.lower() == "host" or name.lower().startswith("x-moto-")


def _not_offered(what: str) -> ApiError:
    return ApiError("NotImplemented", f"The local AWS does not offer {what}.", 501)
