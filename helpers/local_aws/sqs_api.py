"""The operations of Amazon SQS."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from . import keys, queue_attributes, sqs_validation
from . import sqs_errors as errors
from .errors import ApiError
from .messages import Draft, Message, Sent, md5_of_attributes
from .protocol import Call, Later, Operation
from .queue_fifo import FifoQueue
from .queue_store import LONGEST_VISIBILITY, Queue, Receiver

BATCH_LIMIT = 10
BATCH_BYTES = 1_048_576
"""Rows A39 and A42."""

_BATCH_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ACCOUNT = re.compile(r"[0-9]{12}")
_PAGE = 1_000
_ACTIONS = {
    "*",
    "SendMessage",
    "ReceiveMessage",
    "DeleteMessage",
    "ChangeMessageVisibility",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "PurgeQueue",
}


def _queue(call: Call) -> Queue:
    queue = call.space.queues.by_url(_required(call.params, "QueueUrl"))
    queue.touch()
    return queue


def _required(params: Mapping[str, Any], name: str) -> Any:
    value = params.get(name)
    if value is None or value == "":
        raise errors.missing_parameter(name)
    return value


# ---- queues


def _create_queue(call: Call) -> dict[str, Any]:
    name = _required(call.params, "QueueName")
    tags = call.params.get("tags") or call.params.get("Tags") or {}
    if tags:
        call.space.permissions.check(call.identity, "sqs:TagQueue", call.space.arn("sqs", name))
        _check_tags(tags)
    queue = call.space.queues.create(name, call.params.get("Attributes") or {}, tags)
    queue.touch()
    return {"QueueUrl": queue.url}


def _delete_queue(call: Call) -> dict[str, Any]:
    call.space.queues.delete(_queue(call))
    return {}


def _get_queue_url(call: Call) -> dict[str, Any]:
    owner = call.params.get("QueueOwnerAWSAccountId") or call.identity.arn.split(":")[4]
    queue = call.space.queues.get(_required(call.params, "QueueName"))
    if queue is None or owner != call.space.account:
        raise errors.no_such_queue()
    queue.touch()
    return {"QueueUrl": queue.url}


def _list_queues(call: Call) -> dict[str, Any]:
    prefix = call.params.get("QueueNamePrefix") or ""
    queues = [queue for queue in call.space.queues if queue.name.startswith(prefix)]
    return _page(call, queues, "QueueUrls", always=False)


def _list_dead_letter_source_queues(call: Call) -> dict[str, Any]:
    return _page(call, call.space.queues.sources_of(_queue(call)), "queueUrls", always=True)


def _page(call: Call, queues: Iterable[Queue], key: str, *, always: bool) -> dict[str, Any]:
    """Return one page of URLs in the order of the names; a token only if a size was asked for (rows A22, A23)."""
    size = sqs_validation.integer(call.params, "MaxResults")
    if size is not None and not 1 <= size <= _PAGE:
        raise errors.invalid_value(size, "MaxResults", f"Value must be an integer between 1 and {_PAGE}.")
    token = call.params.get("NextToken")
    after = ""
    if token:
        if size is None:
            raise errors.invalid_parameter("MaxResults must be set in order to use NextToken.")
        try:
            after = base64.b64decode(token.encode("ascii"), validate=True).decode()
        except ValueError:
            raise errors.invalid_value(token, "NextToken", "Invalid or expired next token.") from None
    rest = [queue for queue in queues if queue.name > after]
    page = rest[: size or _PAGE]
    answer: dict[str, Any] = {key: [queue.url for queue in page]} if page or always else {}
    if size is not None and len(rest) > len(page):
        answer["NextToken"] = base64.b64encode(page[-1].name.encode()).decode()
    return answer


def _get_queue_attributes(call: Call) -> dict[str, Any]:
    queue = _queue(call)
    names = call.params.get("AttributeNames") or []
    for name in names:
        if name != "All" and name not in queue_attributes.KNOWN:
            raise errors.unknown_attribute(name)
    values = queue.describe()
    chosen = values if "All" in names else {name: values[name] for name in names if name in values}
    return {"Attributes": chosen} if chosen else {}


def _set_queue_attributes(call: Call) -> dict[str, Any]:
    call.space.queues.configure(_queue(call), _required(call.params, "Attributes"))
    return {}


def _purge_queue(call: Call) -> dict[str, Any]:
    _queue(call).purge()
    return {}


def _tag_queue(call: Call) -> dict[str, Any]:
    queue = _queue(call)
    tags = _required(call.params, "Tags")
    _check_tags(tags)
    queue.tags.update(tags)
    return {}


def _untag_queue(call: Call) -> dict[str, Any]:
    queue = _queue(call)
    for key in _required(call.params, "TagKeys"):
        queue.tags.pop(key, None)
    return {}


def _list_queue_tags(call: Call) -> dict[str, Any]:
    tags = _queue(call).tags
    return {"Tags": dict(tags)} if tags else {}


def _check_tags(tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        if not 1 <= len(key) <= 128:
            raise errors.invalid_parameter("Tag keys must be between 1 and 128 characters in length.")
        if len(value) > 256:
            raise errors.invalid_parameter("Tag values must be between 0 and 256 characters in length.")


# ---- the queue's policy


def _add_permission(call: Call) -> dict[str, Any]:
    queue = _queue(call)
    label = _required(call.params, "Label")
    accounts = list(_required(call.params, "AWSAccountIds"))
    actions = list(_required(call.params, "Actions"))
    if not _BATCH_ID.fullmatch(label):
        reason = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        raise errors.invalid_value(label, "Label", reason)
    if not all(_ACCOUNT.fullmatch(account) for account in accounts):
        raise errors.invalid_value(f"[{', '.join(accounts)}]", "PrincipalId", "Unable to verify.")
    if len(actions) > queue_attributes.STATEMENT_ACTIONS:
        raise errors.over_limit(
            f"{len(actions)} Actions were found, maximum allowed is {queue_attributes.STATEMENT_ACTIONS}."
        )
    for action in actions:
        if action not in _ACTIONS:
            reason = "Only the queue owner is allowed to invoke this action."
            raise errors.invalid_value(f"SQS:{action}", "ActionName", reason)
    policy = _policy(queue)
    if any(statement.get("Sid") == label for statement in policy["Statement"]):
        raise errors.invalid_value(label, "Label", "Already exists.")
    policy["Statement"].append(
        {
            "Sid": label,
            "Effect": "Allow",
            "Principal": {"AWS": _one_or_all([f"arn:aws:iam::{account}:root" for account in accounts])},
            "Action": _one_or_all([f"SQS:{action}" for action in actions]),
            "Resource": queue.arn,
        }
    )
    call.space.queues.configure(queue, {"Policy": json.dumps(policy, separators=(",", ":"))})
    return {}


def _remove_permission(call: Call) -> dict[str, Any]:
    queue = _queue(call)
    label = _required(call.params, "Label")
    policy = _policy(queue)
    rest = [statement for statement in policy["Statement"] if statement.get("Sid") != label]
    if len(rest) == len(policy["Statement"]):
        raise errors.invalid_value(label, "Label", "can't find label.")
    policy["Statement"] = rest
    call.space.queues.configure(queue, {"Policy": json.dumps(policy, separators=(",", ":")) if rest else ""})
    return {}


def _policy(queue: Queue) -> dict[str, Any]:
    text = queue.attributes.get("Policy")
    if not text:
        return {"Version": "2008-10-17", "Id": f"{queue.arn}/SQSDefaultPolicy", "Statement": []}
    policy: dict[str, Any] = json.loads(text)
    if not isinstance(policy["Statement"], list):
        policy["Statement"] = [policy["Statement"]]
    return policy


def _one_or_all(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


# ---- sending


def _send_message(call: Call) -> dict[str, Any]:
    queue = _queue(call)
    draft = sqs_validation.draft(queue, call.params, call.trace)
    if draft.size > queue.maximum_message_size:
        raise errors.invalid_parameter(
            "One or more parameters are invalid. "
            f"Reason: Message must be shorter than {queue.maximum_message_size} bytes."
        )
    call.space.keys.check(call.identity, queue, keys.SEND)
    return _sent(queue.send(draft, call.identity.user_id), call.params)


def _send_message_batch(call: Call) -> dict[str, Any]:
    queue = _queue(call)
    entries = _entries(call, "SendMessageBatchRequestEntry")
    if isinstance(queue, FifoQueue):
        _check_fifo_batch(queue, entries)
    answer = _Batch()
    drafts: list[tuple[Mapping[str, Any], Draft]] = []
    total = 0
    for entry in entries:
        try:
            draft = _batch_draft(queue, entry, call.trace)
        except ApiError as problem:
            answer.failed(entry, problem)
            total += len(str(entry.get("MessageBody", "")).encode("utf-8", "surrogatepass"))
            continue
        total += draft.size
        if draft.size > queue.maximum_message_size:
            answer.failed(
                entry,
                errors.invalid_parameter(
                    "One or more parameters cannot be validated. "
                    f"Reason: Message must be shorter than {queue.maximum_message_size} bytes."
                ),
            )
        else:
            drafts.append((entry, draft))
    if total > BATCH_BYTES:
        text = f"Batch requests cannot be longer than {BATCH_BYTES} bytes. You have sent {total} bytes."
        raise errors.batch("BatchRequestTooLong", text)
    if drafts:
        call.space.keys.check(call.identity, queue, keys.SEND)
        results = queue.send_many([draft for _, draft in drafts], call.identity.user_id)
        for (entry, _), sent in zip(drafts, results, strict=True):
            answer.succeeded(entry, _sent(sent, entry))
    return answer.result()


def _batch_draft(queue: Queue, entry: Mapping[str, Any], trace: str | None) -> Draft:
    if not entry.get("MessageBody"):
        raise ApiError("EmptyValue", "The request must contain the parameter MessageBody.", query_code="EmptyValue")
    return sqs_validation.draft(queue, entry, trace)


def _check_fifo_batch(queue: FifoQueue, entries: Sequence[Mapping[str, Any]]) -> None:
    for entry in entries:
        try:
            sqs_validation.check_fifo(queue, entry)
        except ApiError as problem:
            # Row B4: in a batch the same sentence comes with another code.
            raise errors.invalid_parameter(problem.message) from None


def _sent(sent: Sent, params: Mapping[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"MessageId": sent.message_id, "MD5OfMessageBody": sent.md5_of_body}
    if params.get("MessageAttributes"):
        answer["MD5OfMessageAttributes"] = sent.md5_of_message_attributes
    if params.get("MessageSystemAttributes"):
        answer["MD5OfMessageSystemAttributes"] = sqs_validation.system_attributes(params)[1]
    if sent.sequence_number is not None:
        answer["SequenceNumber"] = sent.sequence_number
    return answer


# ---- receiving


def _receive_message(call: Call) -> dict[str, Any] | Later:
    queue = _queue(call)
    params = call.params
    number = sqs_validation.integer(params, "MaxNumberOfMessages")
    if number is not None and not 1 <= number <= BATCH_LIMIT:
        raise errors.invalid_value(number, "MaxNumberOfMessages", "Must be between 1 and 10, if provided.")
    wait = sqs_validation.integer(params, "WaitTimeSeconds")
    if wait is not None and not 0 <= wait <= 20:
        raise errors.invalid_value(wait, "WaitTimeSeconds", "Must be >= 0 and <= 20, if provided.")
    visibility = sqs_validation.integer(params, "VisibilityTimeout")
    if visibility is not None:
        _check_visibility(visibility)
    attempt_id = sqs_validation.attempt_id(params)
    call.space.keys.check(call.identity, queue, keys.RECEIVE)
    number = 1 if number is None else number
    wait = queue.wait_time if wait is None else wait
    if wait:
        return _long_poll(call, queue, Receiver(number, visibility, _ignore, attempt_id=attempt_id), wait)
    queue.settle()
    if queue.at_in_flight_limit and not queue.fifo:
        raise errors.over_limit(
            "Too many messages have been received without being deleted. "
            "Please delete your received messages or let them timeout before receiving more."
        )
    return _received(queue.receive(number, visibility, attempt_id), params)


def _ignore(messages: list[Message]) -> None:
    """Stand in for a receiver's `deliver` until there is somebody to deliver to."""


def _long_poll(call: Call, queue: Queue, receiver: Receiver, seconds: int) -> dict[str, Any] | Later:
    answered: dict[str, Any] | None = None

    def deliver(messages: list[Message]) -> None:
        nonlocal answered
        timer.cancel()
        answered = _received(messages, call.params)
        later.set(answered)

    def expire() -> None:
        queue.leave(receiver)
        queue.count_empty_receives(1)
        later.set({})

    def closed() -> None:
        timer.cancel()
        later.set(errors.no_such_queue())

    def abandon() -> None:
        timer.cancel()
        queue.leave(receiver)

    receiver.deliver = deliver
    receiver.closed = closed
    later = Later(abandon)
    receiver.present = lambda: later.present()
    timer = call.space.scheduler.after(seconds, expire)
    queue.wait(receiver)
    return later if answered is None else answered


def _received(messages: list[Message], params: Mapping[str, Any]) -> dict[str, Any]:
    if not messages:
        return {}
    system = {*(params.get("MessageSystemAttributeNames") or ()), *(params.get("AttributeNames") or ())}
    own = params.get("MessageAttributeNames") or ()
    return {"Messages": [_message(message, system, own) for message in messages]}


def _message(message: Message, system: set[str], own: Sequence[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "MessageId": message.message_id,
        "ReceiptHandle": message.receipt_handle,
        "MD5OfBody": message.md5_of_body,
        "Body": message.body,
    }
    if system:
        attributes = message.system_attributes()
        if "All" not in system:
            attributes = {name: value for name, value in attributes.items() if name in system}
        if attributes:
            shown["Attributes"] = attributes
    if own and message.message_attributes:
        chosen = {name: value for name, value in message.message_attributes.items() if _is_asked_for(name, own)}
        if chosen:
            # The digest is of what is returned, so that a client can check it.
            shown["MD5OfMessageAttributes"] = md5_of_attributes(chosen)
            shown["MessageAttributes"] = chosen
    return shown


def _is_asked_for(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a message attribute is meant by `All`, `.*`, its name, or a prefix with `.*` (row A52)."""
    return any(
        pattern in ("All", ".*", name) or (pattern.endswith(".*") and name.startswith(pattern[:-2]))
        for pattern in patterns
    )


# ---- after a receive


def _delete_message(call: Call) -> dict[str, Any]:
    _queue(call).delete(_required(call.params, "ReceiptHandle"))
    return {}


def _delete_message_batch(call: Call) -> dict[str, Any]:
    queue = _queue(call)

    def delete(entry: Mapping[str, Any]) -> None:
        queue.delete(_required(entry, "ReceiptHandle"))

    return _each(_entries(call, "DeleteMessageBatchRequestEntry"), delete)


def _change_message_visibility(call: Call) -> dict[str, Any]:
    _change(_queue(call), call.params)
    return {}


def _change_message_visibility_batch(call: Call) -> dict[str, Any]:
    queue = _queue(call)
    return _each(_entries(call, "ChangeMessageVisibilityBatchRequestEntry"), lambda entry: _change(queue, entry))


def _change(queue: Queue, params: Mapping[str, Any]) -> None:
    handle = _required(params, "ReceiptHandle")
    seconds = sqs_validation.integer(params, "VisibilityTimeout")
    if seconds is None:
        raise errors.missing_parameter("VisibilityTimeout")
    _check_visibility(seconds)
    queue.change_visibility(handle, seconds)


def _check_visibility(seconds: int) -> None:
    if not 0 <= seconds <= LONGEST_VISIBILITY:
        reason = f"Must be >= 0 and <= {LONGEST_VISIBILITY}, if provided."
        raise errors.invalid_value(seconds, "VisibilityTimeout", reason)


# ---- batches


class _Batch:
    """The answer of a batch in the making; a list that stays empty is left out (row A46)."""

    def __init__(self) -> None:
        self._successful: list[dict[str, Any]] = []
        self._failed: list[dict[str, Any]] = []

    def succeeded(self, entry: Mapping[str, Any], members: Mapping[str, Any]) -> None:
        self._successful.append({"Id": entry["Id"], **members})

    def failed(self, entry: Mapping[str, Any], problem: ApiError) -> None:
        self._failed.append(
            {
                "Id": entry["Id"],
                "Code": problem.query_code or problem.code,
                "Message": problem.message,
                "SenderFault": problem.status < 500,
            }
        )

    def result(self) -> dict[str, Any]:
        lists = {"Successful": self._successful, "Failed": self._failed}
        return {name: entries for name, entries in lists.items() if entries}


def _entries(call: Call, kind: str) -> list[Mapping[str, Any]]:
    """Return a batch's entries if the batch as a whole is sound (rows A40, A41, A43)."""
    entries: list[Mapping[str, Any]] = call.params.get("Entries") or []
    if not entries:
        raise errors.batch("EmptyBatchRequest", f"There should be at least one {kind} in the request.")
    if len(entries) > BATCH_LIMIT:
        text = f"Maximum number of entries per request are {BATCH_LIMIT}. You have sent {len(entries)}."
        raise errors.batch("TooManyEntriesInBatchRequest", text)
    seen = set()
    for entry in entries:
        identifier = entry.get("Id") or ""
        if not _BATCH_ID.fullmatch(identifier):
            raise errors.batch(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
                "It can be at most 80 letters long.",
            )
        if identifier in seen:
            raise errors.batch("BatchEntryIdsNotDistinct", f"Id {identifier} repeated.")
        seen.add(identifier)
    return entries


def _each(entries: Iterable[Mapping[str, Any]], action: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    answer = _Batch()
    for entry in entries:
        try:
            action(entry)
        except ApiError as problem:
            answer.failed(entry, problem)
        else:
            answer.succeeded(entry, {})
    return answer.result()


# ---- redrive


def _start_message_move_task(call: Call) -> dict[str, Any]:
    params = call.params
    rate = sqs_validation.integer(params, "MaxNumberOfMessagesPerSecond")
    source = _required(params, "SourceArn")
    task = call.space.queues.move_tasks.start(source, params.get("DestinationArn") or None, rate)
    return {"TaskHandle": task.handle}


def _list_message_move_tasks(call: Call) -> dict[str, Any]:
    limit = sqs_validation.integer(call.params, "MaxResults")
    limit = 1 if limit is None else limit
    if not 1 <= limit <= 10:
        raise errors.invalid_value(limit, "MaxResults", "Value for parameter must be an integer between 1 and 10.")
    tasks = call.space.queues.move_tasks.of(_required(call.params, "SourceArn"), limit)
    return {"Results": [task.describe() for task in tasks]}


def _cancel_message_move_task(call: Call) -> dict[str, Any]:
    moved = call.space.queues.move_tasks.cancel(_required(call.params, "TaskHandle"))
    return {"ApproximateNumberOfMessagesMoved": moved}


# ---- the table


def _arn_of_url(call: Call) -> str:
    account, name = call.space.queues.split_url(_required(call.params, "QueueUrl"))
    return f"arn:aws:sqs:{call.space.region}:{account}:{name}"


def _arn_of_name(call: Call) -> str:
    return call.space.arn("sqs", str(call.params.get("QueueName") or ""))


def _arn_of_account(call: Call) -> str:
    return call.space.arn("sqs", "")


def _source_arn(call: Call) -> str:
    return str(_required(call.params, "SourceArn"))


def _arn_of_task(call: Call) -> str:
    return call.space.queues.move_tasks.source_of(_required(call.params, "TaskHandle"))


OPERATIONS: dict[str, Operation] = {
    "AddPermission": Operation(_add_permission, "sqs:AddPermission", _arn_of_url),
    "CancelMessageMoveTask": Operation(_cancel_message_move_task, "sqs:CancelMessageMoveTask", _arn_of_task),
    "ChangeMessageVisibility": Operation(_change_message_visibility, "sqs:ChangeMessageVisibility", _arn_of_url),
    "ChangeMessageVisibilityBatch": Operation(
        _change_message_visibility_batch, "sqs:ChangeMessageVisibility", _arn_of_url
    ),
    "CreateQueue": Operation(_create_queue, "sqs:CreateQueue", _arn_of_name),
    "DeleteMessage": Operation(_delete_message, "sqs:DeleteMessage", _arn_of_url),
    "DeleteMessageBatch": Operation(_delete_message_batch, "sqs:DeleteMessage", _arn_of_url),
    "DeleteQueue": Operation(_delete_queue, "sqs:DeleteQueue", _arn_of_url),
    "GetQueueAttributes": Operation(_get_queue_attributes, "sqs:GetQueueAttributes", _arn_of_url),
    "GetQueueUrl": Operation(_get_queue_url, "sqs:GetQueueUrl", _arn_of_name),
    "ListDeadLetterSourceQueues": Operation(
        _list_dead_letter_source_queues, "sqs:ListDeadLetterSourceQueues", _arn_of_url
    ),
    "ListMessageMoveTasks": Operation(_list_message_move_tasks, "sqs:ListMessageMoveTasks", _source_arn),
    "ListQueueTags": Operation(_list_queue_tags, "sqs:ListQueueTags", _arn_of_url),
    "ListQueues": Operation(_list_queues, "sqs:ListQueues", _arn_of_account),
    "PurgeQueue": Operation(_purge_queue, "sqs:PurgeQueue", _arn_of_url),
    "ReceiveMessage": Operation(_receive_message, "sqs:ReceiveMessage", _arn_of_url),
    "RemovePermission": Operation(_remove_permission, "sqs:RemovePermission", _arn_of_url),
    "SendMessage": Operation(_send_message, "sqs:SendMessage", _arn_of_url),
    "SendMessageBatch": Operation(_send_message_batch, "sqs:SendMessage", _arn_of_url),
    "SetQueueAttributes": Operation(_set_queue_attributes, "sqs:SetQueueAttributes", _arn_of_url),
    "StartMessageMoveTask": Operation(_start_message_move_task, "sqs:StartMessageMoveTask", _source_arn),
    "TagQueue": Operation(_tag_queue, "sqs:TagQueue", _arn_of_url),
    "UntagQueue": Operation(_untag_queue, "sqs:UntagQueue", _arn_of_url),
}
"""Every operation by its AWS name. A batch needs the right of the single operation (row E13)."""
