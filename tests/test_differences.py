"""Where the local AWS is known to differ from AWS, or AWS is not known well: what it does instead is fixed here."""

from __future__ import annotations

import json

import pytest

from .conftest import QUEUE_ROLE, Aws
from .lambda_calls import invoke
from .sqs import attributes, bodies, send
from .triggers import RECORDS, batches
from .triggers import send as send_all


@pytest.mark.behaviour("A50", "A67")
def test_a_short_poll_sees_every_message_and_the_counts_are_exact(aws: Aws) -> None:
    """On AWS a short poll asks some of the servers, and the counts lag behind."""
    url = aws.queue()
    send_all(aws, url, map(str, range(40)))
    assert aws.counts(url) == (40, 0)
    assert [len(bodies(aws, url)) for _ in range(4)] == [10] * 4
    assert aws.counts(url) == (0, 40)


@pytest.mark.behaviour("A63")
def test_no_message_comes_twice_by_chance(aws: Aws) -> None:
    """On AWS it may, rarely, also after it was deleted."""
    url = aws.queue(VisibilityTimeout=1)
    client = aws.client("sqs")
    send_all(aws, url, map(str, range(20)))
    seen = []
    while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            seen.append(message["Body"])
            client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    aws.advance(5)
    assert sorted(seen, key=int) == [str(number) for number in range(20)]
    assert attributes(aws, url)["ApproximateNumberOfMessages"] == "0"


@pytest.mark.behaviour("C71")
def test_a_batch_waits_no_longer_than_its_window(aws: Aws) -> None:
    """On AWS a batch of a quiet queue may wait up to 20 s."""
    url, function = aws.queue(), aws.function(RECORDS)
    aws.mapping(url, function, MaximumBatchingWindowInSeconds=2)
    send(aws, url, "a")
    aws.advance(3)
    assert batches(aws, function) == [["a"]]


@pytest.mark.behaviour("C108")
def test_a_batch_that_succeeded_is_delivered_once(aws: Aws) -> None:
    """On AWS it may come again."""
    url, function = aws.queue(VisibilityTimeout=5), aws.function(RECORDS)
    aws.mapping(url, function)
    send(aws, url, "a")
    aws.advance(30)
    assert batches(aws, function) == [["a"]]


@pytest.mark.behaviour("D30")
def test_a_crash_in_native_code_is_told_at_once(aws: Aws) -> None:
    """On AWS it showed as a timeout, after the whole of it."""
    function = aws.function(
        """
        import os, signal
        def handler(event, context):
            os.kill(os.getpid(), signal.SIGSEGV)
        """,
        Timeout=60,
    )
    begin = aws.now()
    error = invoke(aws, function)
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("Error: Runtime exited with error: signal: segmentation fault")
    assert aws.now() - begin < 30


@pytest.mark.behaviour("D61")
def test_the_handlers_folder_is_read_only_and_its_temporary_files_are_its_own(aws: Aws) -> None:
    """On AWS it is sbx_user1051 in /var/task, with /tmp of its own."""
    function = aws.function(
        """
        import os, tempfile
        def handler(event, context):
            with tempfile.NamedTemporaryFile() as file:
                file.write(b"x")
            return os.access(os.getcwd(), os.W_OK) and os.geteuid() != 0
        """
    )
    assert invoke(aws, function) is False


@pytest.mark.behaviour("E22")
def test_a_trigger_whose_role_has_lost_its_rights_stands_still(aws: Aws) -> None:
    """It stays Enabled, and goes on when the role has them again; on AWS one may be disabled."""
    iam, client = aws.client("iam"), aws.client("lambda")
    role = aws.role()
    url, function = aws.queue(), aws.function(RECORDS, role=role)
    uuid = aws.mapping(url, function)
    name = role.rpartition("/")[2]
    iam.detach_role_policy(RoleName=name, PolicyArn=QUEUE_ROLE)
    send(aws, url, json.dumps({"order": 1}))
    aws.advance(600)
    assert aws.counts(url) == (1, 0)
    assert client.get_event_source_mapping(UUID=uuid)["State"] == "Enabled"
    iam.attach_role_policy(RoleName=name, PolicyArn=QUEUE_ROLE)
    aws.until(lambda: aws.counts(url) == (0, 0))
    assert len(batches(aws, function)) == 1


@pytest.mark.behaviour("E3")
def test_a_role_can_be_used_at_once(aws: Aws) -> None:
    """On AWS a role that is seconds old may be refused."""
    assert invoke(aws, aws.function("def handler(event, context): return 1", role=aws.role())) == 1


@pytest.mark.behaviour("F15")
def test_metrics_of_a_fresh_queue_come_with_the_first_full_minute(aws: Aws) -> None:
    """On AWS up to 15 minutes can pass."""
    url, since = aws.queue(), aws.now()
    send(aws, url, "a")
    aws.advance(60)
    sent = aws.metric("AWS/SQS", "NumberOfMessagesSent", "Sum", since, QueueName=url.rpartition("/")[2])
    assert sent == [1]
