"""Rules of functions, invocations, concurrency and logs, each broken once."""

from tests.mutations import Mutation

_FUNCTIONS = "helpers/local_aws/functions.py"
_ASYNC = "helpers/local_aws/async_invokes.py"

MUTATIONS = [
    Mutation(
        "a function can be invoked while it is Pending",
        row="D3",
        file=_FUNCTIONS,
        old='if self.record.state == "Pending":',
        new='if self.record.state == "Never":',
    ),
    Mutation(
        "a function error is not marked as one",
        row="D19",
        file=_FUNCTIONS,
        old='error = "Unhandled" if result.failed else None',
        new="error = None",
    ),
    Mutation(
        "a dry run runs the handler",
        row="D15",
        file="helpers/local_aws/lambda_api.py",
        old='if kind == "DryRun":',
        new='if kind == "Never":',
    ),
    Mutation(
        "too much memory is not noticed",
        row="D29",
        file="helpers/local_aws/environment.py",
        old='process.kill("memory")',
        new="pass",
    ),
    Mutation(
        "a failed event is tried again at once",
        row="D34",
        file=_ASYNC,
        old="RETRY_PAUSES = (60.0, 120.0)",
        new="RETRY_PAUSES = (1.0, 1.0)",
    ),
    Mutation(
        "every try of an event has an id of its own",
        row="D38",
        file=_ASYNC,
        old='source="event", request_id=self.request_id, ',
        new='source="event", ',
    ),
    Mutation(
        "the whole account's concurrency can be reserved",
        row="D40",
        file=_FUNCTIONS,
        old="LEAST_UNRESERVED = 100",
        new="LEAST_UNRESERVED = 0",
    ),
    Mutation(
        "reserved concurrency is no ceiling",
        row="D41",
        file=_FUNCTIONS,
        old="if function.running >= function.reserved:",
        new="if function.running > 900:",
    ),
    Mutation(
        "no environment is used a second time",
        row="D55",
        file="helpers/local_aws/environments.py",
        old="        while idle:\n            environment = idle.pop()",
        new="        while idle and False:\n            environment = idle.pop()",
    ),
    Mutation(
        "background threads go on between invocations",
        row="D57",
        file="helpers/local_aws/handler_process.py",
        old='self._signal_group("SIGSTOP")',
        new="pass",
    ),
    Mutation(
        "the init of a cold start is not billed",
        row="D67",
        file="helpers/local_aws/log_lines.py",
        old="self.duration + (self.init or 0.0)",
        new="self.duration",
    ),
]
