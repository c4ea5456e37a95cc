"""Rules of rights and roles, each broken once."""

from tests.mutations import Mutation

_PERMISSIONS = "helpers/local_aws/permissions.py"
_ROLES = "helpers/local_aws/function_validation.py"

MUTATIONS = [
    Mutation(
        "a role needs not trust Lambda",
        row="E2",
        file=_ROLES,
        old='if not call.space.permissions.role_trusts(role, "lambda.amazonaws.com"):',
        new="if not role:",
    ),
    Mutation(
        "the pollers need no right of the execution role",
        row="E6",
        file="helpers/local_aws/pollers.py",
        old="return self.space.permissions.role_allows(self._role, action, self.mapping.queue_arn)",
        new="return True",
    ),
    Mutation(
        "a log is written without the rights to write it",
        row="E8",
        file="helpers/local_aws/logs.py",
        old="if not events or not self._may_write(role_arn, group, stream):",
        new="if not events:",
    ),
    Mutation(
        "anybody may pass any role",
        row="E10",
        file=_ROLES,
        old='call.space.permissions.check(call.identity, "iam:PassRole", role, passed)',
        new="passed.clear()",
    ),
    Mutation(
        "the Resource of a policy counts for nothing",
        row="E12",
        file=_PERMISSIONS,
        old="return named is not self.not_resources",
        new="return True",
    ),
    Mutation(
        "an explicit deny counts for nothing",
        row="E13",
        file=_PERMISSIONS,
        old="if statement.deny:\n                    return Decision.DENY",
        new="if statement.deny:\n                    continue",
    ),
    Mutation(
        "a queue's own policy is not read",
        row="E13",
        file=_PERMISSIONS,
        old="return _parsed(text) if text else None",
        new="return None",
    ),
    Mutation(
        "batches need a right of their own",
        row="E15",
        file="helpers/local_aws/sqs_api.py",
        old='Operation(_send_message_batch, "sqs:SendMessage", _arn_of_url)',
        new='Operation(_send_message_batch, "sqs:SendMessageBatch", _arn_of_url)',
    ),
    Mutation(
        "a function's own policy is not read",
        row="E13",
        file=_PERMISSIONS,
        old="return self._space.functions.policy(resource)",
        new="return None",
    ),
    Mutation(
        "another account's users need no policy of the resource",
        row="E13",
        file=_PERMISSIONS,
        old='return "resource-based policy"',
        new="return None",
    ),
    Mutation(
        "a zip file may reach out of its folder",
        row="D7",
        file="helpers/local_aws/function_code.py",
        old='".." in path.parts or ',
        new="",
    ),
]
