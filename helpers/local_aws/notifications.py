"""What SNS delivers: to our queues and functions. What it would send out of this machine ends in the outbox.

Topics and subscriptions are moto's; it hands every publication over per subscription, its filter passed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from . import function_policies
from .async_invokes import send_event
from .errors import ApiError
from .messages import Draft, next_sequence_number
from .permissions import Decision, evaluate
from .queue_fifo import FifoQueue

if TYPE_CHECKING:
    from .queues import Queue
    from .space import Space

PROTOCOLS = ("sqs", "lambda", "sms")
"""What may subscribe."""

SENDER = "AIDAIT2UOQQY3AUEKVGXU"
"""SenderId of a message that SNS sends (as recorded messages show it)."""

MOST_KEPT = 1_000
"""Messages that the outbox keeps; the oldest go first."""

_SERVICE = "sns.amazonaws.com"
_PRINCIPAL = (("Service", _SERVICE), ("AWS", "*"))


@dataclass(frozen=True)
class Publication:
    """One message on its way to one subscription.

    Attributes
    ----------
    topic_arn, subscription_arn, protocol, endpoint : str
        From where to where.
    message_id, message : str
        The message's id and text, for this protocol.
    attributes : dict
        Message attributes by name: `Type` and `Value`.
    raw : bool
        RawMessageDelivery.
    redrive : str or None
        The ARN of the subscription's dead-letter queue.
    """

    topic_arn: str
    subscription_arn: str
    protocol: str
    endpoint: str
    message_id: str
    message: str
    subject: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    group_id: str | None = None
    deduplication_id: str | None = None
    raw: bool = False
    redrive: str | None = None


class Notifications:
    """The deliveries of a space's topics, and its outbox.

    Parameters
    ----------
    space : Space
        The space.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._outbox: deque[dict[str, Any]] = deque(maxlen=MOST_KEPT)

    @property
    def outbox(self) -> list[dict[str, Any]]:
        """Text messages that SNS would have sent, oldest first."""
        return list(self._outbox)

    def post(self, phone_number: str, message: str, message_id: str, topic_arn: str | None = None) -> None:
        """Put a text message into the outbox; nothing leaves this machine."""
        self._outbox.append(
            {
                "at": self._space.clock.now(),
                "protocol": "sms",
                "to": phone_number,
                "message": message,
                "messageId": message_id,
                "topicArn": topic_arn,
            }
        )

    def check_subscription(self, topic_arn: str, protocol: str, endpoint: str) -> None:
        """Raise for a subscription that cannot be served.

        Raises
        ------
        ApiError
            For a protocol that leads out of this machine, and for a queue or function that cannot subscribe.
        """
        if protocol not in PROTOCOLS:
            raise ApiError(
                "InvalidParameter",
                f"Invalid parameter: Protocol Reason: the local AWS offers {', '.join(PROTOCOLS)}; "
                f"{protocol} would leave this machine.",
            )
        if protocol == "sms":
            return
        parts = endpoint.split(":")
        if len(parts) < 6 or parts[0] != "arn" or parts[2] != protocol:
            name = "SQS" if protocol == "sqs" else "Lambda"
            raise ApiError("InvalidParameter", f"Invalid parameter: {name} endpoint ARN")
        if protocol == "sqs" and endpoint.endswith(".fifo") and not topic_arn.endswith(".fifo"):
            raise ApiError(
                "InvalidParameter",
                "Invalid parameter: Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to "
                "standard SNS topics",
            )

    def deliver(self, publication: Publication) -> None:
        """Deliver a message to one subscription; what is not allowed is lost, as on AWS, or dead-lettered."""
        one = publication
        if one.protocol == "sms":
            self.post(one.endpoint, one.message, one.message_id, one.topic_arn)
            return
        delivered = self._to_queue(one) if one.protocol == "sqs" else self._to_function(one)
        metric = "NumberOfNotificationsDelivered" if delivered else "NumberOfNotificationsFailed"
        dimensions = {"TopicName": one.topic_arn.rpartition(":")[2]}
        self._space.metrics.add("AWS/SNS", metric, dimensions, 1)
        if not delivered and one.redrive is not None:
            self._dead_letter(one)

    def _to_queue(self, one: Publication) -> bool:
        queue = self._space.queues.by_arn(one.endpoint)
        if queue is None or not self._may_send(queue, one.topic_arn):
            return False
        if one.raw:
            body, attributes = one.message, _queue_attributes(one.attributes)
            if len(attributes) > 10:
                return False
        else:
            body, attributes = json.dumps(self.envelope(one), indent=2, separators=(",", " : ")), {}
        self._send(queue, body, attributes, one)
        return True

    def _send(self, queue: Queue, body: str, attributes: dict[str, Any], one: Publication) -> None:
        options: dict[str, Any] = {}
        if isinstance(queue, FifoQueue):
            options["group_id"] = one.group_id
            options["deduplication_id"] = one.deduplication_id or hashlib.sha256(one.message.encode()).hexdigest()
        elif one.group_id is not None:
            options["group_id"] = one.group_id
        queue.send(Draft(body, attributes, **options), SENDER)

    def _to_function(self, one: Publication) -> bool:
        try:
            version = self._space.functions.resolve(one.endpoint)
        except ApiError:
            return False
        policy = function_policies.document(version)
        context = {"aws:SourceArn": one.topic_arn, "aws:SourceAccount": self._space.account}
        policies = [] if policy is None else [policy]
        if evaluate(policies, "lambda:InvokeFunction", version.arn, context, _PRINCIPAL) is not Decision.ALLOW:
            return False
        shown = self.envelope(one)
        shown["SigningCertUrl"], shown["UnsubscribeUrl"] = shown.pop("SigningCertURL"), shown.pop("UnsubscribeURL")
        shown.setdefault("Subject", None)
        shown.setdefault("MessageAttributes", {})
        record = {
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": one.subscription_arn,
            "Sns": shown,
        }
        send_event(version, json.dumps({"Records": [record]}).encode())
        return True

    def envelope(self, one: Publication) -> dict[str, Any]:
        """Return the JSON in which SNS wraps a message that is not delivered raw.

        The signature has AWS's form and nothing more: there is no certificate of AWS's here to sign with.
        """
        region = self._space.region
        at = datetime.fromtimestamp(self._space.clock.now(), UTC).isoformat(timespec="milliseconds")
        unsubscribe = f"Action=Unsubscribe&SubscriptionArn={one.subscription_arn}"
        wrapped: dict[str, Any] = {
            "Type": "Notification",
            "MessageId": one.message_id,
            **({"SequenceNumber": next_sequence_number()} if one.topic_arn.endswith(".fifo") else {}),
            "TopicArn": one.topic_arn,
            **({"Subject": one.subject} if one.subject else {}),
            "Message": one.message,
            "Timestamp": at.replace("+00:00", "Z"),
            "SignatureVersion": "1",
            "Signature": base64.b64encode(hashlib.sha256(one.message_id.encode()).digest() * 8).decode(),
            "SigningCertURL": f"https://sns.{region}.amazonaws.com/SimpleNotificationService-local.pem",
            "UnsubscribeURL": f"https://sns.{region}.amazonaws.com/?{unsubscribe}",
        }
        if one.attributes:
            wrapped["MessageAttributes"] = {
                name: {"Type": value["Type"], "Value": _text(value["Value"])} for name, value in one.attributes.items()
            }
        return wrapped

    def _dead_letter(self, one: Publication) -> None:
        queue = self._space.queues.by_arn(one.redrive or "")
        if queue is not None and self._may_send(queue, one.topic_arn):
            self._send(queue, one.message if one.raw else json.dumps(self.envelope(one)), {}, one)

    def _may_send(self, queue: Queue, topic_arn: str) -> bool:
        """Return whether the queue's policy, and that of its key, let SNS send to it for this topic."""
        text = queue.attributes.get("Policy")
        if not text:
            return False
        context = {"aws:SourceArn": topic_arn, "aws:SourceAccount": self._space.account}
        decision = evaluate((json.loads(text),), "sqs:SendMessage", queue.arn, context, _PRINCIPAL)
        return decision is Decision.ALLOW and self._space.keys.service_may_send(_PRINCIPAL[0][1], queue)


def _queue_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in attributes.items():
        kind = value["Type"]
        if kind.startswith("Binary"):
            data = value["Value"]
            made[name] = {"DataType": kind, "BinaryValue": data if isinstance(data, bytes) else base64.b64decode(data)}
        else:
            # SQS has no type for lists: SNS sends them as String.Array.
            made[name] = {"DataType": kind, "StringValue": _text(value["Value"])}
    return made


def _text(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
