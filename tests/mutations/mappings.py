"""Rules of event source mappings, broken one at a time."""

from __future__ import annotations

from . import Mutation

_POLLERS = "helpers/local_aws/pollers.py"
_FILTERS = "helpers/local_aws/filters.py"
_API = "helpers/local_aws/mappings_api.py"

MUTATIONS = [
    Mutation(
        "a failed batch is deleted",
        row="C88",
        file=_POLLERS,
        old="    if outcome.error is not None:\n        return messages\n",
        new="    if outcome.error is not None:\n        return []\n",
    ),
    Mutation(
        "batchItemFailures counts although the mapping does not ask for it",
        row="C97",
        file=_POLLERS,
        old="    if not report_batch_item_failures:\n        return []\n",
        new="",
    ),
    Mutation(
        "an unknown identifier among batchItemFailures is passed over",
        row="C102",
        file=_POLLERS,
        old="        if message is None:\n            return messages\n",
        new="        if message is None:\n            continue\n",
    ),
    Mutation(
        "a mapping begins with one batch at a time",
        row="C65",
        file=_POLLERS,
        old="FIRST_POLLERS = 5\n",
        new="FIRST_POLLERS = 1\n",
    ),
    Mutation(
        "concurrency grows by 60 a minute as it did years ago",
        row="C66",
        file=_POLLERS,
        old="\nGROWTH_PER_MINUTE = 300\n",
        new="\nGROWTH_PER_MINUTE = 60\n",
    ),
    Mutation(
        "MaximumConcurrency does not hold the pollers back",
        row="C80",
        file=_POLLERS,
        old="return self.settings.maximum_concurrency or MOST_CONCURRENT",
        new="return MOST_CONCURRENT",
    ),
    Mutation(
        "a throttled batch is given up at once",
        row="C94",
        file=_POLLERS,
        old="            if again < batch.give_up:\n",
        new="            if again < 0:\n",
    ),
    Mutation(
        "polling does not back off when the function fails",
        row="C95",
        file=_POLLERS,
        old="self._in_trouble(max(1, self.limit - 1))",
        new="self._in_trouble(self.limit)",
    ),
    Mutation(
        "polling backs off although failures are reported item by item",
        row="C96",
        file=_POLLERS,
        old="        if failed and not settings.report_batch_item_failures:\n",
        new="        if failed:\n",
    ),
    Mutation(
        "a disabled mapping reads on",
        row="C86",
        file=_POLLERS,
        old="if self._receiver is not None or not self.mapping.active or self._ready",
        new="if self._receiver is not None or self._ready",
    ),
    Mutation(
        "a full batch waits for its window",
        row="C69",
        file=_POLLERS,
        old="len(batch.messages) >= self.settings.batch_size):\n            self._close_batch()",
        new="len(batch.messages) >= self.settings.batch_size):\n"
        "            self._resting = self.space.scheduler.after(self.settings.window or 0, self._close_batch)",
    ),
    Mutation(
        "messages of one group run in two batches at once",
        row="C77",
        file=_POLLERS,
        old="        if full and queue.fifo:\n",
        new="        if full and not queue:\n",
    ),
    Mutation(
        "what no filter wants stays in the queue",
        row="C111",
        file=_POLLERS,
        old="        if refused and not self._delete(queue, refused):\n            self._rest()\n",
        new="",
    ),
    Mutation(
        "equal numbers are the same however they are written",
        row="C121",
        file=_FILTERS,
        old="    return type(value) is type(wanted) and value == wanted\n",
        new="    if isinstance(value, Number) and isinstance(wanted, Number):\n"
        "        return value.value == wanted.value\n"
        "    return type(value) is type(wanted) and value == wanted\n",
    ),
    Mutation(
        "an empty list is a filter pattern",
        row="C36",
        file=_FILTERS,
        old="        elif isinstance(rule, list) and rule:\n",
        new="        elif isinstance(rule, list):\n",
    ),
    Mutation(
        "an absent attribute's MD5 is left out with a window too",
        row="C58",
        file="helpers/local_aws/records.py",
        old='    elif windowed:\n        result["md5OfMessageAttributes"] = None\n',
        new="",
    ),
    Mutation(
        "a function may run longer than its messages are hidden",
        row="C18",
        file=_API,
        old="    if queue.visibility_timeout < version.timeout:\n",
        new="    if queue.visibility_timeout < 0:\n",
    ),
    Mutation(
        "a queue and a function can be connected twice",
        row="C32",
        file=_API,
        old="if mapping.queue_arn == arn and mapping.settings.function_arn == settings.function_arn:",
        new="if mapping.queue_arn is None:",
    ),
    Mutation(
        "a loop is never stopped",
        row="C110",
        file="helpers/local_aws/recursion.py",
        old="MOST_PASSES = 16\n",
        new="MOST_PASSES = 1600\n",
    ),
    Mutation(
        "a provisioned poller polls without end",
        row="C82",
        file=_POLLERS,
        old="POLLER_POLLS = 10\n",
        new="POLLER_POLLS = 1000\n",
    ),
]
