"""What KMS keys ask of those who use what is encrypted with them: queues (rows E16 to E22) and filters (row C48).

A queue that SQS encrypts by itself, and one with the key that AWS manages (`alias/aws/sqs`), ask nothing. With a
customer's key SQS calls KMS in the name of the caller, and keeps what it got for `KmsDataKeyReusePeriodSeconds`: until
then a right that was taken away still counts.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .queue_store import Queue
    from .space import Identity, Space

MANAGED_ALIAS = "alias/aws/sqs"
SEND = ("kms:GenerateDataKey", "kms:Decrypt")
"""What sending asks for (row E18)."""
RECEIVE = ("kms:Decrypt",)
"""What receiving asks for (rows E17 and E19)."""

FILTER_READER = "lambda.amazonaws.com"
"""Who decrypts a mapping's filters to use them (row C48)."""

_HIDDEN = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are "
    "not allowed to access."
)
_MOST_KEPT = 10_000
_CODES = {"KMSInvalidStateException": "InvalidStateException"}


@dataclass(frozen=True)
class Key:
    """A key as KMS has it.

    Attributes
    ----------
    arn : str
        Its full name.
    state : str
        `Enabled`, `Disabled`, `PendingDeletion` or another state of KMS.
    usage : str
        `ENCRYPT_DECRYPT` is the one that a queue can use.
    policy : mapping
        The key policy.
    """

    arn: str
    state: str
    usage: str
    policy: Mapping[str, Any]


class KeyRefusal(ApiError):  # noqa: N818 - a refusal, as its parent
    """An error of KMS as SQS shows it: modelled name, code of the query protocol, KMS's sentence (row E21).

    Attributes
    ----------
    kms_code : str
        KMS's own code, such as `AccessDeniedException`.
    sentence : str
        KMS's own sentence.
    """

    def __init__(self, name: str, code: str, sentence: str) -> None:
        source = f"(Service: AWSKMS; Status Code: 400; Error Code: {code}; Request ID: {uuid.uuid4()}; Proxy: null)"
        super().__init__(name, f"{sentence} {source}", 400, query_code=f"KMS.{_CODES.get(code, code)}")
        self.kms_code = code
        self.sentence = sentence


class Keys:
    """Who may use the keys of a space's queues and filters.

    Parameters
    ----------
    space : Space
        The space whose control plane holds the keys.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._kept: dict[tuple[str, str, str, str], float] = {}

    def check(self, identity: Identity, queue: Queue, actions: tuple[str, ...]) -> None:
        """Raise unless a caller may use a queue's key; the account's own key may, as long as the key can be used.

        Raises
        ------
        ApiError
            One of SQS's KMS errors (row E21).
        """
        identifier = self._identifier(queue)
        if identifier is None:
            return
        requester = self._space.permissions.requester(identity)
        if self._is_kept(queue, identifier, requester, actions):
            return
        key = self._usable(identifier, actions)
        for action in actions:
            if not identity.owner and not self._space.permissions.allows(identity, action, key.arn, self._via_sqs()):
                kind = "resource" if self._space.permissions.is_foreign(identity) else "identity"
                raise _denied(identity.arn, action, key.arn, receiving=actions == RECEIVE, kind=kind)
        self._keep(queue, identifier, requester, actions)

    def role_may_read(self, role_arn: str, queue: Queue) -> bool:
        """Return whether a role's pollers may read from a queue as far as its key goes (row E20)."""
        identifier = self._identifier(queue)
        if identifier is None or self._is_kept(queue, identifier, role_arn, RECEIVE):
            return True
        try:
            key = self._usable(identifier, RECEIVE)
        except ApiError:
            return False
        role_allows, via = self._space.permissions.role_allows, self._via_sqs()
        if not all(role_allows(role_arn, action, key.arn, via) for action in RECEIVE):
            return False
        # A poller that waits for messages must ask again when the time of what it got is over.
        self._space.scheduler.at(self._keep(queue, identifier, role_arn, RECEIVE), self._space.mappings.wake)
        return True

    def service_may_send(self, service: str, queue: Queue) -> bool:
        """Return whether a service such as `sns.amazonaws.com` may send to a queue as far as its key goes.

        The policy of AWS's own key names no service, so a queue with it gets nothing from one.
        """
        identifier = queue.attributes.get("KmsMasterKeyId")
        if not identifier:
            return True
        if self._identifier(queue) is None:
            return False
        try:
            key = self._usable(identifier, SEND)
        except ApiError:
            return False
        return all(self._space.permissions.key_policy_allows(key.policy, action, key.arn, service) for action in SEND)

    def check_filters(self, identity: Identity, key_arn: str, action: str) -> None:
        """Raise unless a caller may use the key of a mapping's filters (row C48).

        Parameters
        ----------
        identity : Identity
            The caller, in whose name Lambda calls KMS.
        key_arn : str
            The mapping's KMSKeyArn.
        action : str
            `kms:GenerateDataKey` to encrypt, `kms:Decrypt` to read.

        Raises
        ------
        KeyRefusal
            With KMS's own code and sentence.
        """
        key = self._usable(key_arn, (action,))
        if not identity.owner and not self._space.permissions.allows(identity, action, key.arn):
            raise _denied(identity.arn, action, key.arn, receiving=False)

    def lambda_may_read_filters(self, key_arn: str) -> bool:
        """Return whether Lambda's pollers may decrypt filters: the key's own policy has to say so (row C48)."""
        try:
            key = self._usable(key_arn, RECEIVE)
        except KeyRefusal:
            return False
        allows = self._space.permissions.key_policy_allows
        return allows(key.policy, "kms:Decrypt", key.arn, FILTER_READER)

    def policy(self, arn: str) -> Mapping[str, Any] | None:
        """Return the policy of a key, or None when there is none with this ARN."""
        key = self._space.control.key(arn.rpartition("/")[2])
        return None if key is None else key.policy

    def _via_sqs(self) -> dict[str, str]:
        return {"kms:ViaService": f"sqs.{self._space.region}.amazonaws.com"}

    def _identifier(self, queue: Queue) -> str | None:
        """Return what a queue calls its customer's key, None for a queue without one."""
        identifier = queue.attributes.get("KmsMasterKeyId")
        if not identifier or identifier.rpartition(":")[2] == MANAGED_ALIAS:
            return None
        return identifier

    def _usable(self, identifier: str, actions: tuple[str, ...]) -> Key:
        region = identifier.split(":")[3] if identifier.startswith("arn:") else self._space.region
        if region != self._space.region:
            raise KeyRefusal("KmsNotFound", "NotFoundException", f"Invalid arn {region}")
        key = self._space.control.key(identifier.rpartition(":")[2].removeprefix("key/"))
        if key is None:
            alias = "alias/" in identifier
            arn = self._space.arn("kms", identifier.rpartition(":")[2])
            missing = f"Alias {arn} is not found." if alias else f"Key '{self._whole(identifier)}' does not exist"
            raise KeyRefusal("KmsNotFound", "NotFoundException", missing)
        if key.state == "Disabled":
            raise KeyRefusal("KmsDisabled", "DisabledException", f"{key.arn} is disabled.")
        if key.state != "Enabled":
            state = {"PendingDeletion": "pending deletion"}.get(key.state, key.state)
            raise KeyRefusal("KmsInvalidState", "KMSInvalidStateException", f"{key.arn} is {state}.")
        if key.usage != "ENCRYPT_DECRYPT":
            text = f"{key.arn} key usage is {key.usage} which is not valid for {actions[0].partition(':')[2]}."
            raise KeyRefusal("KmsInvalidKeyUsage", "InvalidKeyUsageException", text)
        return key

    def _whole(self, identifier: str) -> str:
        return identifier if identifier.startswith("arn:") else self._space.arn("kms", f"key/{identifier}")

    def _is_kept(self, queue: Queue, identifier: str, requester: str, actions: tuple[str, ...]) -> bool:
        now = self._space.clock.now()
        return all(self._kept.get((queue.arn, identifier, requester, action), 0) > now for action in actions)

    def _keep(self, queue: Queue, identifier: str, requester: str, actions: tuple[str, ...]) -> float:
        if len(self._kept) > _MOST_KEPT:
            self._kept.clear()
        end = self._space.clock.now() + int(queue.attributes.get("KmsDataKeyReusePeriodSeconds", "300"))
        for action in actions:
            self._kept[queue.arn, identifier, requester, action] = end
        return end


def _denied(caller: str, action: str, key_arn: str, *, receiving: bool, kind: str = "identity") -> KeyRefusal:
    """Return the refusal of KMS as SQS hands it on; a receiver is not told which key it is (row E19)."""
    if receiving:
        return KeyRefusal("KmsAccessDenied", "AccessDeniedException", _HIDDEN)
    text = f"User: {caller} is not authorized to perform: {action} on resource: {key_arn} "
    text += f"because no {kind}-based policy allows the {action} action"
    return KeyRefusal("KmsAccessDenied", "AccessDeniedException", text)
