"""The settings of a real pipeline, read from AWS, for the model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..errors import LabError
from ..exercises import evidence
from ..guard import own_part
from .inputs import Setup

if TYPE_CHECKING:
    from ..lab import Lab


def read(lab: Lab, *, queue: str, function: str) -> Setup:
    """Return the settings that a queue, its trigger and its function have now.

    Parameters
    ----------
    lab : Lab
        Where they are.
    queue, function : str
        Their names, with or without the lab's prefix.

    Raises
    ------
    LabError
        When there is no trigger between the two.
    """
    mapping = evidence.mapping(lab, queue, function)
    if mapping is None:
        raise LabError(f"There is no trigger between {queue} and {function}.", "", "Make one with resources.trigger.")
    sqs, lambda_ = lab.client("sqs"), lab.client("lambda")
    name = lab.name(own_part(function))
    url = sqs.get_queue_url(QueueName=lab.name(own_part(queue)))["QueueUrl"]
    of_queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    policy = json.loads(of_queue.get("RedrivePolicy", "{}"))
    pollers = mapping.get("ProvisionedPollerConfig") or {}
    settings = lambda_.get_account_settings()["AccountLimit"]
    return Setup(
        batch_size=mapping["BatchSize"],
        maximum_batching_window_in_seconds=mapping.get("MaximumBatchingWindowInSeconds") or 0,
        maximum_concurrency=(mapping.get("ScalingConfig") or {}).get("MaximumConcurrency"),
        minimum_pollers=pollers.get("MinimumPollers"),
        maximum_pollers=pollers.get("MaximumPollers"),
        reserved_concurrent_executions=lambda_.get_function_concurrency(FunctionName=name).get(
            "ReservedConcurrentExecutions"
        ),
        timeout=lambda_.get_function_configuration(FunctionName=name)["Timeout"],
        visibility_timeout=int(of_queue["VisibilityTimeout"]),
        max_receive_count=int(policy["maxReceiveCount"]) if policy else None,
        fifo=of_queue.get("FifoQueue") == "true",
        account_concurrency=settings["ConcurrentExecutions"],
    )
