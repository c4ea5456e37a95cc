"""How SQS refuses: each error with its modelled name, its code in the old query protocol, and its HTTP status.

boto3 shows the old code as `Error.Code` and the modelled name as `Error.QueryErrorCode` (row A15).
"""

from __future__ import annotations

from .errors import ApiError

_PREFIX = "AWS.SimpleQueueService."


def invalid_parameter(text: str) -> ApiError:
    """Return the error that most wrong parameters end in (row A29)."""
    return ApiError("InvalidParameterValueException", text, query_code="InvalidParameterValue")


def invalid_value(value: object, parameter: str, reason: str) -> ApiError:
    """Return `invalid_parameter` in its usual words: `Value … for parameter … is invalid. Reason: …`."""
    return invalid_parameter(f"Value {value} for parameter {parameter} is invalid. Reason: {reason}")


def missing_parameter(name: str) -> ApiError:
    """Return the error for a parameter that has to be there (row A30)."""
    text = f"The request must contain the parameter {name}."
    return ApiError("MissingRequiredParameterException", text, query_code="MissingParameter")


def unknown_attribute(name: str) -> ApiError:
    """Return the error for a queue attribute that does not exist, or not for this kind of queue (row A16)."""
    return invalid_attribute_name(f"Unknown Attribute {name}.")


def invalid_attribute_name(text: str) -> ApiError:
    """Return an `InvalidAttributeName`."""
    return ApiError("InvalidAttributeName", text, query_code="InvalidAttributeName")


def invalid_attribute_value(name: str, reason: str = "") -> ApiError:
    """Return the error for a queue attribute out of its range (row A33 as amended)."""
    text = f"Invalid value for the parameter {name}."
    return ApiError(
        "InvalidAttributeValue", f"{text} Reason: {reason}" if reason else text, query_code="InvalidAttributeValue"
    )


def no_such_queue() -> ApiError:
    """Return the error for an unknown queue (row A14)."""
    return ApiError("QueueDoesNotExist", "The specified queue does not exist.", query_code=_PREFIX + "NonExistentQueue")


def invalid_address(url: str) -> ApiError:
    """Return the error for a text that is no queue's address (row A58 as amended)."""
    return ApiError(
        "InvalidAddress", f"The address {url} is not valid for this endpoint.", 404, query_code="InvalidAddress"
    )


def queue_exists(attribute: str) -> ApiError:
    """Return the error for a second creation with another attribute (row A10)."""
    return ApiError(
        "QueueNameExists",
        f"A queue already exists with the same name and a different value for attribute {attribute}",
        query_code="QueueAlreadyExists",
    )


def queue_deleted_recently() -> ApiError:
    """Return the error for a name that was in use less than 60 s ago (row A11)."""
    return ApiError(
        "QueueDeletedRecently",
        "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
        query_code=_PREFIX + "QueueDeletedRecently",
    )


def purge_in_progress(name: str) -> ApiError:
    """Return the error for a second purge within 60 s (row A66)."""
    return ApiError(
        "PurgeQueueInProgress",
        f"Only one PurgeQueue operation on {name} is allowed every 60 seconds.",
        403,
        query_code=_PREFIX + "PurgeQueueInProgress",
    )


def bad_receipt_handle(handle: str) -> ApiError:
    """Return the error for a text that is no receipt handle of this queue (row A58 as amended)."""
    return ApiError(
        "ReceiptHandleIsInvalid",
        f'The input receipt handle "{handle}" is not a valid receipt handle.',
        404,
        query_code="ReceiptHandleIsInvalid",
    )


def over_limit(text: str) -> ApiError:
    """Return an `OverLimit` (row A62)."""
    return ApiError("OverLimit", text, 403, query_code="OverLimit")


def not_found(text: str) -> ApiError:
    """Return a `ResourceNotFoundException` (row A79)."""
    return ApiError("ResourceNotFoundException", text, 404, query_code="ResourceNotFoundException")


def unsupported(text: str) -> ApiError:
    """Return an `UnsupportedOperation`."""
    return ApiError("UnsupportedOperation", text, query_code=_PREFIX + "UnsupportedOperation")


def invalid_contents(text: str) -> ApiError:
    """Return the error for characters that a message may not hold (row A31)."""
    return ApiError("InvalidMessageContents", text, query_code="InvalidMessageContents")


def batch(name: str, text: str) -> ApiError:
    """Return one of the errors that refuse a whole batch, such as `EmptyBatchRequest` (rows A40 to A43)."""
    return ApiError(name, text, query_code=_PREFIX + name)
