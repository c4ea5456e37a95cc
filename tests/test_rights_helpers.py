"""A call that may be refused: the answer's words, short and whole."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.rights import attempt, may

USER = (
    "User: arn:aws:sts::111122223333:assumed-role/shop/me is not authorized to perform: sqs:sendmessage on resource: q "
)
HIDDEN = "The ciphertext refers to a customer master key that does not exist. (Service: AWSKMS; Status Code: 400)"


def refusing(text: str) -> Any:
    def call(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": text}}, "SendMessage")

    return call


@pytest.mark.parametrize(
    ("text", "short"),
    [
        (USER + "because no identity-based policy allows the sqs:sendmessage action", "no identity-based policy"),
        (USER + "because no resource-based policy allows the x action (Service: AWSKMS)", "no resource-based policy"),
        (USER + "with an explicit deny in a resource-based policy", "an explicit deny in a resource-based policy"),
        (HIDDEN, "The ciphertext refers to a customer master key that does not exist"),
    ],
)
def test_a_refusal_is_kept_whole_and_told_in_short(text: str, short: str) -> None:
    answer = attempt(refusing(text))
    assert not answer
    assert repr(answer) == answer.text == text
    assert answer.short == f"refused: {short}"
    assert str(answer).split() == text.split()
    assert max(map(len, str(answer).splitlines())) <= 88


def test_a_call_that_goes_through_is_a_yes_and_gets_its_parameters() -> None:
    seen: dict[str, Any] = {}
    answer = attempt(lambda **parameters: seen.update(parameters), QueueUrl="u")
    assert answer
    assert repr(answer) == answer.short == "yes"
    assert seen == {"QueueUrl": "u"}


def test_other_errors_come_out() -> None:
    with pytest.raises(TypeError):
        attempt(len)


def test_a_statement_names_its_actions_and_things() -> None:
    statement = may(["sqs:SendMessage"], "a", "b")
    assert statement == {"Effect": "Allow", "Action": ["sqs:SendMessage"], "Resource": ["a", "b"]}
