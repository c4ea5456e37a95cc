"""Broken rules of SQS."""

from __future__ import annotations

from . import Mutation

QUEUE = "helpers/local_aws/queue_store.py"
FIFO = "helpers/local_aws/queue_fifo.py"
MESSAGES = "helpers/local_aws/messages.py"
TENANTS = "helpers/local_aws/tenants.py"

MUTATIONS = [
    Mutation(
        "the queue's delay beats the message's own",
        row="A33",
        file="helpers/local_aws/queue_standard.py",
        old="self._delay if draft.delay is None else draft.delay",
        new="self._delay",
    ),
    Mutation(
        "an old receipt handle deletes",
        row="A56",
        file=QUEUE,
        old="        return current\n",
        new="        return True\n",
    ),
    Mutation(
        "a changed visibility timeout counts from the receive",
        row="A59",
        file=QUEUE,
        old="self._schedule(message, now + seconds)",
        new="self._schedule(message, message.received + seconds)",
    ),
    Mutation(
        "a message is received once more than maxReceiveCount",
        row="A68",
        file=QUEUE,
        old="message.receives_here < policy.max_receive_count",
        new="message.receives_here <= policy.max_receive_count",
    ),
    Mutation(
        "a chain of dead-letter queues counts receives of the queues before",
        row="A72",
        file=MESSAGES,
        old="        other.receives_here = 0\n",
        new="",
    ),
    Mutation(
        "retention begins again in a standard dead-letter queue",
        row="A74",
        file=QUEUE,
        old="(message.sent, message.serial, message)",
        new="(message.arrived, message.serial, message)",
    ),
    Mutation(
        "a redriven message keeps its identity and its time",
        row="A83",
        file=MESSAGES,
        old="        self.message_id = str(uuid.uuid4())\n        self.sent = self.arrived = now\n",
        new="",
    ),
    Mutation(
        "a deduplication id is forgotten when its message is deleted",
        row="B10",
        file=FIFO,
        old="    def _gone(self, message: StoredMessage) -> None:\n",
        new="    def _gone(self, message: StoredMessage) -> None:\n"
        "        self._known.clear()\n"
        "        self._known_until.clear()\n",
    ),
    Mutation(
        "a group in flight does not lock its other messages",
        row="B19",
        file=FIFO,
        old='        name = message.group_id or ""\n',
        new="        name = str(message.serial)\n",
    ),
    Mutation(
        "what stands behind an extended message comes back before it",
        row="B21",
        file=FIFO,
        old="                if message.state == GONE:\n                    continue\n                room",
        new="                if message.state != VISIBLE:\n                    continue\n                room",
    ),
    Mutation(
        "messages without a group make a tenant together",
        row="A87",
        file=TENANTS,
        old="        if message.group_id is None:\n"
        "            return\n"
        "        tenant = self._all.get(message.group_id)\n",
        new='        message.group_id = message.group_id or "none"\n        tenant = self._all.get(message.group_id)\n',
    ),
    Mutation(
        "a tenth of the messages in flight is noisy however few they are",
        row="A88",
        file=TENANTS,
        old="tenant.in_flight >= LEAST_IN_FLIGHT",
        new="tenant.in_flight >= 1",
    ),
    Mutation(
        "slow tenants are not noisy",
        row="A89",
        file=TENANTS,
        old="tenant.seconds(now) > NOISY_SHARE * spent",
        new="tenant.seconds(now) > spent",
    ),
    Mutation(
        "among noisy tenants the oldest message goes first",
        row="A90",
        file=TENANTS,
        old="(tenant.in_flight, first.turn) < (fewest, noisy.turn)",
        new="first.turn < noisy.turn",
    ),
    Mutation(
        "a tenant that sends no more stays noisy",
        row="A91",
        file=TENANTS,
        old="if now - tenant.last_sent >= SILENCE:",
        new="if now - tenant.last_sent >= 10 * SILENCE:",
    ),
]
