"""Broken rules of encrypted queues."""

from __future__ import annotations

from . import Mutation

_KEYS = "helpers/local_aws/keys.py"

MUTATIONS = [
    Mutation(
        "a trigger reads without kms:Decrypt",
        row="E20",
        file=_KEYS,
        old="            return False\n        # A poller",
        new="            return True\n        # A poller",
    ),
    Mutation(
        "to send asks only for a data key",
        row="E18",
        file=_KEYS,
        old='SEND = ("kms:GenerateDataKey", "kms:Decrypt")',
        new='SEND = ("kms:GenerateDataKey",)',
    ),
    Mutation(
        "a disabled key still works",
        row="E21",
        file=_KEYS,
        old='if key.state == "Disabled":',
        new='if key.state == "Off":',
    ),
    Mutation(
        "encrypted filters are shown to everybody",
        row="C48",
        file="helpers/local_aws/mappings_api.py",
        old='            del answer["FilterCriteria"]\n',
        new="",
    ),
    Mutation(
        "pollers read by filters that Lambda may not decrypt",
        row="C48",
        file="helpers/local_aws/pollers.py",
        old="if key is not None and not self.space.keys.lambda_may_read_filters(key):",
        new="if key == queue.arn:",
    ),
]
