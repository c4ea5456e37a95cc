"""`connect()` and the Lab that it returns: clients, names, time, checks and cleanup."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from . import attempts, checks, guard
from .card import Card
from .clouds import Cloud, choose
from .errors import Interrupted, LabError, is_missing
from .names import TAG, full_name, notebook_number, prefix_for, space_name
from .progress import Progress

if TYPE_CHECKING:
    import pandas

    from .catch_up import Pipeline
    from .clouds import Witness
    from .incidents import Incident
    from .ledger import Behaviour
    from .predictions import Shown
    from .recorder_feed import Recorder
    from .report import Report

T = TypeVar("T")

_SLICE = 1.0


def connect(cloud: str | None = None) -> Lab:
    """Connect to the cloud in which this notebook's exercises run.

    Parameters
    ----------
    cloud : str, optional
        `auto` (AWS if `LAB_AWS_ACCOUNT` names the account that the credentials belong to, else the local AWS),
        `local` or `aws`. Without it `LAB_CLOUD` decides.

    Returns
    -------
    Lab
        Shown as the last line of a cell it is the identity card.

    Raises
    ------
    LabError
        For `aws`, when the account is not named or the credentials are not its own.
    """
    space = space_name()
    prefix = prefix_for(space)
    chosen, note = choose(cloud, space=space)
    assert chosen is not None
    if note:
        print(note)
    return Lab(chosen, space=space, prefix=prefix)


class Lab:
    """One learner's place to work in: an account, a Region, a prefix, a clock. `connect` makes it.

    Attributes
    ----------
    account, region : str
        As they stand in ARNs.
    space : str
        What this notebook's local AWS is called.
    prefix : str
        What every resource's name begins with.
    """

    def __init__(self, cloud: Cloud, *, space: str, prefix: str) -> None:
        self._cloud = cloud
        self._clients: dict[str, Any] = {}
        self._hints: dict[str, int] = {}
        self._notebook = notebook_number(space)
        self.account = cloud.account
        self.region = cloud.region
        self.space = space
        self.prefix = prefix
        self._recorder: Recorder | None = None

    def client(self, service: str, *, role: str = "", account: str = "") -> Any:
        """Return the plain boto3 client of a service.

        It adds the lab's tag to what it creates, and refuses to create what lacks the lab's prefix.

        Parameters
        ----------
        service : str
            As in `boto3.client`: `sqs`, `lambda`, `iam`, `logs`, `cloudwatch`.
        role : str, optional
            The name or ARN of a role of this account that trusts it: the client wears it, for an hour, and has its rights
            instead of yours.
        account : str, optional
            The twelve digits of another account: the client is a user of that one, whom it allows everything. Only the
            local AWS has such a user.

        Raises
        ------
        LabError
            When AWS has no such service, the cloud no caller of another account, or the role is another account's.
        """
        if role or account:
            return self._new_client(service, self._cloud.visitor(account) if account else self._worn(role))
        if service not in self._clients:
            self._clients[service] = self._new_client(service)
        return self._clients[service]

    def _new_client(self, service: str, keys: Mapping[str, str] | None = None) -> Any:
        from botocore.exceptions import UnknownServiceError

        try:
            client = self._cloud.client(service, keys)
        except UnknownServiceError:
            raise LabError(
                f"AWS has no service {service!r}.", "", "sqs, lambda, iam, logs and cloudwatch are some."
            ) from None
        guard.install(client, self.prefix)
        if service == "sns" and self._cloud.sends_texts:
            guard.hold_texts(client, self._cloud.phone)
        self._witness.watch(service, client)
        if service == "sqs":
            client.meta.events.register("needs-retry.sqs.CreateQueue", self._wait_for_name)
        return client

    def _worn(self, role: str) -> dict[str, str]:
        """Return temporary keys of a role."""
        arn = role if role.startswith("arn:") else f"arn:aws:iam::{self.account}:role/{self.name(role)}"
        if not arn.startswith(f"arn:aws:iam::{self.account}:"):
            raise LabError(
                f"{arn} is not worn: it is no role of the account {self.account}.",
                "A client that wears it would reach an account that was not named.",
                "Name a role of this account.",
            )
        made = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="tried-on")["Credentials"]
        return {
            "aws_access_key_id": made["AccessKeyId"],
            "aws_secret_access_key": made["SecretAccessKey"],
            "aws_session_token": made["SessionToken"],
        }

    def name(self, name: str) -> str:
        """Return `name` with this lab's prefix: `orders` becomes `lab-3fa9c1-orders`, `orders.fifo` keeps its end.

        Raises
        ------
        LabError
            When AWS would not take it.
        """
        return full_name(self.prefix, name)

    def now(self) -> datetime:
        """Return the present time in UTC; on the local AWS its own, which `wait` moves."""
        return datetime.fromtimestamp(self._cloud.now(), UTC)

    def wait(self, seconds: float, why: str = "", *, quiet: bool = False) -> None:
        """Let time pass: slept on AWS, fast-forwarded on the local AWS, where everything due on the way happens.

        Parameters
        ----------
        seconds : float
            How long.
        why : str, optional
            What for, shown while it lasts.
        quiet : bool
            Whether to leave out the line at the end.

        Raises
        ------
        LabError
            When `seconds` is not a number, or below 0.
        """
        _require_seconds("wait()", seconds)
        purpose = f" {why}" if why else ""
        progress = Progress()
        start = self._cloud.now()

        def so_far() -> str:
            return f"waiting{purpose}: {spell(round(self._cloud.now() - start))} of {spell(seconds)}"

        try:
            while not self._cloud.move(start + seconds, patience=_SLICE):
                progress.show(
                    lambda: f"waiting{purpose}: {spell(round(self._cloud.now() - start))} of {spell(seconds)}"
                )
        except KeyboardInterrupt:
            progress.end()
            raise Interrupted(f"Stopped in a wait of {spell(seconds)}{purpose}; time went part of the way.") from None
        done = f"waited {spell(seconds)}{purpose}" + (" (fast-forwarded)" if self._cloud.fast_forwards else "")
        progress.end("" if quiet else done)

    def wait_until(self, condition: Callable[[], T], timeout: float = 300, why: str = "") -> T:
        """Wait for something that AWS does not promise by the clock.

        Parameters
        ----------
        condition : callable
            Looks, and returns something true (a table that is not empty counts) once it is there. An answer of AWS
            that the thing looked for does not exist counts as not yet.
        timeout : float
            Seconds, on the lab's clock, after which to give up.
        why : str, optional
            What is awaited, such as `"the trigger is Enabled"`.

        Returns
        -------
        Any
            What `condition` returned.

        Raises
        ------
        LabError
            After `timeout`, with what was last seen.
        """
        _require_seconds("the timeout of wait_until()", timeout)
        if not callable(condition):
            raise LabError(
                "wait_until() takes a function that looks.", "", "Write lambda: in front of what it is to look at."
            )
        awaited = why or "what the condition looks for"
        progress = Progress()
        start = self._cloud.now()

        def so_far() -> str:
            return f"waiting until {awaited}: {spell(round(self._cloud.now() - start))} of {spell(timeout)}"

        try:
            for pause in self._cloud.pauses():
                seen: Any
                try:
                    seen = condition()
                except Exception as problem:
                    if not is_missing(problem):
                        raise
                    seen = problem
                if not isinstance(seen, Exception) and _is_true(seen):
                    progress.end()
                    return seen  # type: ignore[no-any-return]
                now = self._cloud.now()
                if now - start >= timeout:
                    break
                target = min(now + pause, start + timeout)
                while not self._cloud.move(target, patience=_SLICE):
                    progress.show(so_far)
                progress.show(so_far)
        except KeyboardInterrupt:
            progress.end()
            raise Interrupted(f"Stopped while waiting until {awaited}.") from None
        progress.end()
        raise LabError(
            f"Waited {spell(timeout)} until {awaited}, and it did not happen.",
            f"The last look saw: {_shorten(seen)}.",
            "Look at what should have caused it, then run this cell again.",
        )

    def check(self, exercise: str, **where: str) -> checks.Verdict:
        """Look at what an exercise has left in the cloud, and say *not yet*, *almost* or *yes*.

        Parameters
        ----------
        exercise : str
            Its id, such as `"00-total"`.
        **where : str
            Where to look, such as `queue=` and `function=`: names, with or without the prefix, URLs or ARNs.

        Raises
        ------
        LabError
            When there is no such exercise, or it looks at other things.
        """
        verdict = checks.check(self, exercise, **where)
        attempts.note(self, exercise, verdict, self._cloud.title)
        return verdict

    def hint(self, exercise: str, number: int | None = None) -> checks.Hint:
        """Return the next hint of an exercise, or the one with `number`.

        Raises
        ------
        LabError
            When there is no such exercise or hint.
        """
        if number is None:
            self._hints[exercise] = number = self._hints.get(exercise, 0) + 1
            number = min(number, len(checks.find(exercise).hints))
        shown = checks.hint(exercise, number)
        attempts.hinted(exercise, number)
        return shown

    def predict(
        self,
        prediction: str,
        question: str,
        *,
        answer: Any = ...,
        confidence: str = "guess",
        unit: str = "",
        options: Sequence[str] = (),
    ) -> Shown:
        """Ask for a prediction, a number or one of several options, and keep the answer.

        Parameters
        ----------
        prediction : str
            Its id, such as `"05-gap"`.
        question : str
            As a sentence with a question mark.
        answer : int, float or str
            A number; or an option, or its letter. Three dots mean that nothing is answered yet.
        confidence : str
            `sure` or `guess`.
        unit : str
            Of the number that is asked for, such as `s`.
        options : sequence of str
            What to choose from, if it is not a number.

        Raises
        ------
        LabError
            When the answer, or the confidence, is none of those asked for.
        """
        from .predictions import predict

        shown = predict(prediction, question, answer=answer, confidence=confidence, unit=unit, options=options)
        self._notebook = prediction[:2]
        return shown

    def reveal(
        self, prediction: str, *, observed: Any, because: str, right: Any = None, within: float | None = None
    ) -> Shown:
        """Compare a prediction with what happened: you said …, it was …, because ….

        Parameters
        ----------
        prediction : str
            Its id, such as `"05-gap"`.
        observed : int, float or str
            What the run did.
        because : str
            Why, as the end of a sentence.
        right : optional
            What counts as right where AWS promises no one value: an option, or a list of them; for a number the least
            and the greatest, as in `right=(20, 45)`.
        within : float, optional
            How far from `observed` a number may be. Without it a whole number has to be met, any other to a tenth.

        Raises
        ------
        LabError
            When it was not asked, or `observed` or `right` are of another kind than the question.
        """
        from .predictions import reveal

        return reveal(prediction, observed=observed, because=because, right=right, within=within)

    def predictions(self, notebook: str | None = None) -> Card:
        """Return a table of what was said and what happened in a notebook.

        Parameters
        ----------
        notebook : str, optional
            Its two digits; without it this one.

        Raises
        ------
        LabError
            When it is not known which notebook this is.
        """
        from .predictions import summary

        return summary(self._this_notebook(notebook, "lab.predictions"))

    def recall(self, previous: str, answers: Sequence[Any] = ()) -> Shown:
        """Ask two predictions of the previous notebook again, first those of which the learner was wrongly sure.

        Parameters
        ----------
        previous : str
            That notebook's two digits.
        answers : sequence
            One for each question, three dots where nothing is answered yet.

        Raises
        ------
        LabError
            When there are more answers than questions, or one is none of those asked for.
        """
        from .predictions import recall

        return recall(previous, answers)

    def report(self, name: str = "", *, file: str = "progress.html") -> Report:
        """Write what you solved and predicted in all labs into one page that can be handed in.

        Parameters
        ----------
        name : str, optional
            Yours, if it shall stand on the page; nothing else on it says whose it is.
        file : str
            Where, from this notebook's folder.

        Raises
        ------
        LabError
            When it cannot be written.
        """
        from .report import write

        return write(file, name)

    def catch_up(self, notebook: str | None = None) -> Pipeline:
        """Make what the notebooks before one have made, as far as it is not there yet, and say what.

        Parameters
        ----------
        notebook : str, optional
            The two digits of the notebook that is about to begin; without it this one.

        Returns
        -------
        Pipeline
            Its queue, role, function, trigger and dead-letter queue.

        Raises
        ------
        LabError
            When it is not known which notebook this is, or there is none with that number.
        """
        from .catch_up import catch_up

        return catch_up(self, self._this_notebook(notebook, "lab.catch_up"))

    def incident(self, name: str) -> Incident:
        """Begin an incident drill: remove what this lab has made, build a broken pipeline, and show what can be seen.

        Parameters
        ----------
        name : str
            Which, such as `"zero-errors"`; its check is `lab.check("16-zero-errors")`.

        Returns
        -------
        Incident
            Story and symptoms; its `queue`, `function`, `trigger` and `source` are the pipeline's.

        Raises
        ------
        LabError
            When there is no such incident.
        """
        from .incidents import start

        return start(self, name)

    def recorder(
        self, *, queue: str | None = None, function: str | None = None, since: datetime | None = None
    ) -> pandas.DataFrame:
        """Return what the flight recorder has: every message's life as rows, in the order of time.

        Parameters
        ----------
        queue, function : str, optional
            Only what concerns this one; a name with or without the prefix, a URL or an ARN.
        since : datetime, optional
            Only what happened from then on, such as an earlier `lab.now()`.

        Returns
        -------
        pandas.DataFrame
            Columns time (UTC), event, message, queue, receive_count, group, request, environment, function, outcome;
            the same on both clouds.
        """
        if self._recorder is None:
            from .recorder_feed import Recorder

            self._recorder = Recorder(self._witness, self.name)
        return self._recorder.log(queue=queue, function=function, since=since)

    def phone(self) -> str:
        """Return the number to which this lab may send text messages; empty if to none, and then it says so.

        On the local AWS it is one that belongs to nobody, and `outbox` shows what it would have got. On a real account
        it is the one that `LAB_PHONE_NUMBER` names.
        """
        if not self._cloud.phone:
            print(
                "No text message will be sent: on a real account it reaches a phone, and AWS bills it.\n"
                "If you want that, set LAB_PHONE_NUMBER to your number, and connect again."
            )
        return self._cloud.phone

    def outbox(self) -> pandas.DataFrame:
        """Return the text messages that the local AWS has kept instead of sending them, oldest first.

        Returns
        -------
        pandas.DataFrame
            Columns time (UTC), to, message. A real account has no outbox: there it is empty, and says so.
        """
        import pandas

        if self._cloud.sends_texts:
            print("A real account has no outbox: its text messages are on their way to a phone, or were never sent.")
        rows = [(one["at"], one["to"], one["message"]) for one in self._cloud.outbox()]
        table = pandas.DataFrame(rows, columns=["time", "to", "message"])
        table["time"] = pandas.to_datetime(table["time"], unit="s").dt.floor("ms")
        return table

    def fidelity(self, behaviour: str) -> Behaviour:
        """Return a row of the behaviours ledger: what AWS does, and how it stands on the local AWS.

        Parameters
        ----------
        behaviour : str
            Its id, such as `"C88"`.

        Raises
        ------
        LabError
            When the ledger has no such row.
        """
        from .ledger import behaviour as find

        return find(behaviour)

    def cleanup(self) -> None:
        """Remove everything that this lab made, ask AWS what is left, and print both.

        It needs nothing from the notebook: prefix and tag lead it. `python -m helpers cleanup` does the same.

        Raises
        ------
        LabError
            When something cannot be removed.
        """
        from .cleanup import sweep

        report = sweep(self)
        print(report)
        report.require_nothing_left()

    def _this_notebook(self, notebook: str | None, call: str) -> str:
        number = notebook if notebook is not None else self._notebook
        if number is None:
            raise LabError("It is not known which notebook this is.", "", f"Write its two digits: {call}('05').")
        return number

    @cached_property
    def _witness(self) -> Witness:
        return self._cloud.source(self.client, self.prefix)

    def _wait_for_name(self, response: Any, attempts: int, **_: Any) -> float | None:
        """Let a queue be made again under the name of one that was deleted within the last minute (row A11)."""
        code = response[1].get("Error", {}).get("Code", "") if response else ""
        if not code.endswith("QueueDeletedRecently") or attempts > 2:
            return None
        self.wait(60, "until the deleted queue's name is free again")
        return 0.0

    def _card(self) -> Card:
        return Card(
            "Where this notebook works",
            [
                ("Cloud", self._cloud.title),
                ("Account", self.account),
                ("Region", self.region),
                ("Endpoint", self._cloud.endpoint),
                ("Space", self.space),
                ("Names", f"{self.prefix}-… : what is created gets this prefix and the tag {TAG}, or is refused"),
                ("Cost", self._cloud.cost),
                *([("Recorder", self._cloud.recorder)] if self._cloud.recorder else []),
                ("AWS CLI", self._cloud.cli),
                ("Clean up", f"lab.cleanup(), or in a shell: python -m helpers cleanup --space {self.space}"),
            ],
        )

    def __repr__(self) -> str:
        return str(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()


def spell(seconds: float) -> str:
    """Return a duration as a person would write it.

    >>> spell(30), spell(3600), spell(90), spell(345600)
    ('30 s', '1 h', '90 s', '4 d')
    """
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if (seconds >= 2 * size and seconds % size == 0) or seconds == size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _require_seconds(what: str, seconds: Any) -> None:
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not math.isfinite(seconds) or seconds < 0:
        raise LabError(f"{what} takes a number of seconds, 0 or more, not {seconds!r}.")


def _is_true(value: Any) -> bool:
    empty = getattr(value, "empty", None)
    return not empty if isinstance(empty, bool) else bool(value)


def _shorten(seen: Any) -> str:
    text = " ".join(repr(seen).split()) if not isinstance(seen, Exception) else str(seen)
    return text if len(text) <= 200 else text[:199] + "…"
