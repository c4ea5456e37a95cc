"""Predictions: asked before a run, compared after it, and kept for the notebook's end, the next one and an instructor.

They stand in a file of the learner, one a notebook, beside the state of the local AWS. What counts is the last answer
given before the comparison was shown; later ones are kept beside it and not scored.
"""

from __future__ import annotations

import csv
import html
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import Any, Literal

from . import kept
from .card import Card
from .errors import LabError

Answer = int | float | str
Confidence = Literal["sure", "guess"]

CONFIDENCES = ("sure", "guess")
RECALLED = 2
"""How many predictions of the previous notebook are asked again."""

_KIND = "predictions"
COLUMNS = (
    *("prediction", "question", "unit", "options", "said", "confidence", "did", "right"),
    *("changed_to", "recalled", "recalled_right"),
)
"""What the export and a report say of a prediction."""

_ID = re.compile(r"\d\d-[a-z0-9-]+")
_ASK, _RIGHT, _WRONG = "#0072B2", "#009E73", "#D55E00"


@dataclass
class Said:
    """One answer, and when it was given."""

    answer: Answer
    confidence: str
    at: str


@dataclass
class Prediction:
    """A question to a learner, what they answered and what happened.

    Attributes
    ----------
    id : str
        The notebook's two digits, a dash and a word: `05-gap`.
    question : str
        What was asked.
    unit : str
        Of a number, such as `s`.
    options : list of str
        What there was to choose from; empty when a number was asked for.
    said : list of Said
        The answers given before the comparison, oldest first; the last one counts.
    said_after : list of Said
        The answers given after it.
    observed : int, float, str or None
        What the latest run did.
    right : list
        The options that are right; or the least and the greatest number that is.
    because : str
        Why it did that.
    revealed : str or None
        When the comparison was first shown.
    recalled : list of Said
        The answers given when it was asked again in the next notebook.
    """

    id: str
    question: str
    unit: str = ""
    options: list[str] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    said_after: list[Said] = field(default_factory=list)
    observed: Answer | None = None
    right: list[Any] = field(default_factory=list)
    because: str = ""
    revealed: str | None = None
    recalled: list[Said] = field(default_factory=list)

    @property
    def first(self) -> Said | None:
        """The answer that counts."""
        return self.said[-1] if self.said else None

    def is_right(self, answer: Answer) -> bool | None:
        """Return whether an answer is right, or None before anything was observed."""
        if self.observed is None:
            return None
        if self.options:
            return answer in self.right
        low, high = self.right
        return bool(low <= answer <= high)


@dataclass(frozen=True)
class Shown:
    """What a prediction's cell shows: a headline, and lines below it."""

    head: str
    lines: tuple[str, ...]
    colour: str = _ASK

    def __repr__(self) -> str:
        return "\n".join([self.head, *(f"  {line}" for line in self.lines)])

    def _repr_html_(self) -> str:
        body = "<br>".join(_marked(line) for line in self.lines)
        return (
            f'<div style="border-left:4px solid {self.colour}; padding:0.2em 0.8em">'
            f"<strong>{_marked(self.head)}</strong>{'<br>' if body else ''}{body}</div>"
        )


def predict(
    id: str,  # noqa: A002
    question: str,
    *,
    answer: Any = ...,
    confidence: str = "guess",
    unit: str = "",
    options: Sequence[str] = (),
) -> Shown:
    """Ask a number, or one of several options, and keep the answer.

    Parameters
    ----------
    id : str
        The notebook's two digits, a dash and a word: `05-gap`.
    question : str
        As a sentence with a question mark.
    answer : int, float or str
        A number; or an option, or its letter. Three dots mean that nothing is answered yet.
    confidence : str
        `sure` or `guess`.
    unit : str
        Of the number that is asked for, such as `s`; none for a count.
    options : sequence of str
        What to choose from.

    Returns
    -------
    Shown
        The question, and the answer if there is one.

    Raises
    ------
    LabError
        When the answer, or the confidence, is none of those asked for.
    """
    file = _Notebook(_checked_id(id)[:2])
    old = file.predictions.get(id)
    asked = Prediction(id, question, unit, [str(option) for option in options])
    if old is not None and (old.unit, old.options) == (asked.unit, asked.options):
        old.question = question
        asked = old
    if answer is ...:
        answered, notes = asked.first, _choices(asked)
        file.keep(asked)
        if answered is None:
            return Shown(question, (*notes, "Not answered yet: write your answer in place of the three dots."))
        return Shown(question, (f"You answered on {_day(answered.at)}: {_said(asked, answered)}. That stands.",))
    said = Said(_checked_answer(asked, answer), _checked_confidence(confidence), _now())
    if asked.revealed is None:
        _add(asked.said, said)
        file.keep(asked)
        more = () if said.confidence == "sure" else ('If you are sure, write confidence="sure".',)
        return Shown(question, (f"You say {_said(asked, said)}.", *more))
    counted = asked.first
    if counted is None or (counted.answer, counted.confidence) != (said.answer, said.confidence):
        _add(asked.said_after, said)
        file.keep(asked)
    stands = "nothing" if counted is None else _said(asked, counted)
    if counted is not None and counted.answer == said.answer:
        return Shown(question, (f"You said {stands}.",))
    return Shown(
        question,
        (f"You say {_said(asked, said)} now that you have seen it. What you predicted stays: {stands}.",),
    )


def reveal(
    id: str,  # noqa: A002
    *,
    observed: Any,
    because: str,
    right: Any = None,
    within: float | None = None,
) -> Shown:
    """Compare an answer with what was seen.

    Parameters
    ----------
    id : str
        The prediction's.
    observed : int, float or str
        What the run did.
    because : str
        Why, as the end of a sentence.
    right : optional
        What counts as right where AWS promises no one value: an option, or a list of them; for a number the least and
        the greatest, as in `right=(20, 45)`. Without it `observed` itself.
    within : float, optional
        How far from `observed` a number may be. Without it a whole number has to be met, any other to a tenth.

    Returns
    -------
    Shown
        "You said …, it was …, because …"; without an answer that none was given, and what it was all the same.

    Raises
    ------
    LabError
        When there is no such prediction, or `observed` or `right` are of another kind than the question.
    """
    file = _Notebook(_checked_id(id)[:2])
    asked = file.predictions.get(id)
    if asked is None:
        raise LabError(f"Nobody was asked the prediction {id!r} yet.", "", "Run the cell that asks it, above, first.")
    asked.right = _band(asked, observed, right, within)
    asked.observed = (_option(asked, observed) if asked.options else None) or _plain(observed)
    asked.because = because.rstrip(".")
    counted = asked.first
    if counted is not None and asked.revealed is None:
        asked.revealed = _now()
    file.keep(asked)
    if counted is None:
        return Shown("You made no prediction.", (f"It was {_did(asked)}{_counts(asked)}, because {asked.because}.",))
    met = bool(asked.is_right(counted.answer))
    lines = [f"{_outcome(asked, counted)}, because {asked.because}."]
    if asked.said_after:
        lines.append(f"Since then you say {_said(asked, asked.said_after[-1])}.")
    return Shown(_head(met, counted), tuple(lines), _RIGHT if met else _WRONG)


def summary(notebook: str) -> Card:
    """Return what was said and what happened in a notebook, and how well "sure" held.

    Raises
    ------
    LabError
        When `notebook` is not two digits.
    """
    file = _Notebook(_checked_notebook(notebook))
    rows = [_row(asked) for asked in file.predictions.values()]
    if not rows:
        return Card(f"Predictions of notebook {notebook}", [], footer="None was asked yet.")
    return Card(
        f"Predictions of notebook {notebook}",
        rows,
        ("", "you said", "confidence", "it was", "result"),
        calibration(list(file.predictions.values())),
    )


def calibration(predictions: Sequence[Prediction]) -> str:
    """Return in a sentence how often the sure answers were right, and how often the guesses."""
    parts = []
    for confidence in CONFIDENCES:
        met = [
            bool(asked.is_right(asked.first.answer))
            for asked in predictions
            if asked.first and asked.revealed and asked.first.confidence == confidence
        ]
        if met:
            parts.append(f"{'sure' if confidence == 'sure' else 'guessing'}: {sum(met)} of {len(met)} right")
    open_ = sum(asked.first is None for asked in predictions)
    if open_:
        parts.append(f"not answered: {open_}")
    return "; ".join(parts).capitalize() if parts else "Nothing was compared yet."


def recall(previous: str, answers: Sequence[Any] = ()) -> Shown:
    """Ask predictions of the previous notebook again, first those of which the learner was wrongly sure.

    Parameters
    ----------
    previous : str
        That notebook's two digits.
    answers : sequence
        One for each question, three dots where nothing is answered yet.

    Returns
    -------
    Shown
        The questions; for each that is answered what was said, what happened and why.

    Raises
    ------
    LabError
        When there are more answers than questions, or one is none of those asked for.
    """
    file = _Notebook(_checked_notebook(previous))
    # The order depends only on what that notebook left, so that the same questions come when they are answered.
    asked = sorted((one for one in file.predictions.values() if one.observed is not None), key=_urgency)[:RECALLED]
    if not asked:
        return Shown(f"Nothing to recall: notebook {previous} has not been run here.", ())
    if isinstance(answers, str) or not isinstance(answers, Sequence) or len(answers) > len(asked):
        raise LabError(
            f"recall() asks {len(asked)} question{'s' * (len(asked) > 1)} and takes as many answers.",
            "",
            f"Write answers=[{', '.join(['...'] * len(asked))}].",
        )
    given = [*answers, *[...] * (len(asked) - len(answers))]
    lines: list[str] = []
    for number, (one, answer) in enumerate(zip(asked, given, strict=True), 1):
        lines.append(f"{number}. {one.question}")
        if answer is ...:
            lines += [*_choices(one), "Not answered yet."]
            continue
        said = Said(_checked_answer(one, answer), "", _now())
        _add(one.recalled, said)
        file.keep(one)
        verdict = "Right" if one.is_right(said.answer) else "Not this time"
        lines.append(f"{verdict}: you say {_value(one, said.answer)}, and it was {_did(one)}, because {one.because}.")
    return Shown(f"From notebook {previous}, without looking:", tuple(lines))


def export() -> str:
    """Return all predictions as CSV, for pooling: no name, no place, no time of day, only questions and answers."""
    content = io.StringIO()
    writer = csv.DictWriter(content, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(everything()))
    return content.getvalue()


def everything() -> list[Prediction]:
    """Return all that was asked, notebook by notebook."""
    return [asked for notebook in kept.notebooks(_KIND) for asked in _Notebook(notebook).predictions.values()]


def rows(asked: Iterable[Prediction]) -> list[dict[str, Any]]:
    """Return a row a prediction, by `COLUMNS`."""
    return [dict(zip(COLUMNS, _values(one), strict=True)) for one in asked]


def _values(asked: Prediction) -> list[Any]:
    counted, again = asked.first, asked.recalled[0] if asked.recalled else None
    return [
        asked.id,
        asked.question,
        asked.unit,
        " | ".join(asked.options),
        counted.answer if counted else "",
        counted.confidence if counted else "",
        asked.observed if asked.observed is not None else "",
        _yes(asked.is_right(counted.answer) if counted and asked.revealed else None),
        asked.said_after[-1].answer if asked.said_after else "",
        again.answer if again else "",
        _yes(asked.is_right(again.answer) if again else None),
    ]


def forget(notebook: str) -> bool:
    """Remove the answers of a notebook, so that its questions are asked anew; return whether there were any.

    Raises
    ------
    LabError
        When `notebook` is not two digits.
    """
    return kept.forget(_KIND, _checked_notebook(notebook))


# The file


class _Notebook:
    """The predictions of one notebook, as they stand in its file."""

    def __init__(self, number: str) -> None:
        self._number = number
        self.predictions: dict[str, Prediction] = {}
        try:
            self.predictions = {entry["id"]: _read(entry) for entry in kept.read(_KIND, number)}
        except (ValueError, KeyError, TypeError):
            kept.set_aside(_KIND, number)

    def keep(self, prediction: Prediction) -> None:
        self.predictions[prediction.id] = prediction
        kept.write(_KIND, self._number, [asdict(one) for one in self.predictions.values()])


def _read(entry: dict[str, Any]) -> Prediction:
    said = {key: [Said(**one) for one in entry[key]] for key in ("said", "said_after", "recalled")}
    return Prediction(**{**entry, **said})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _add(said: list[Said], new: Said) -> None:
    if not said or (said[-1].answer, said[-1].confidence) != (new.answer, new.confidence):
        said.append(new)


# What is taken


def _checked_id(id: Any) -> str:  # noqa: A002
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise LabError(f"{id!r} is not the id of a prediction.", "", "Ids look like '05-gap'.")
    return id


def _checked_notebook(notebook: Any) -> str:
    if not isinstance(notebook, str) or not re.fullmatch(r"\d\d", notebook, re.ASCII):
        raise LabError(f"{notebook!r} is not the number of a notebook.", "", "Write its two digits, as in '05'.")
    return notebook


def _checked_confidence(confidence: Any) -> str:
    if confidence not in CONFIDENCES:
        raise LabError(f'confidence is "sure" or "guess", not {confidence!r}.')
    return str(confidence)


def _checked_answer(asked: Prediction, answer: Any) -> Answer:
    if asked.options:
        found = _option(asked, answer)
        if found is None:
            raise LabError(f"{answer!r} is none of the options.", "", f"Write a letter: {'; '.join(_choices(asked))}.")
        return found
    if not _is_number(answer):
        instead = f"answer={answer.strip()}, without quotes" if _reads_as_number(answer) else "answer=30, or any other"
        raise LabError(f"The answer is a number{_in(asked.unit)}, not {answer!r}.", "", f"Write {instead}.")
    return _plain(answer)


def _band(asked: Prediction, observed: Any, right: Any, within: float | None) -> list[Any]:
    if asked.options:
        if within is not None:
            raise LabError("within= is for numbers; this prediction has options.")
        wanted = observed if right is None else right
        found = [_option(asked, one) for one in (wanted if isinstance(wanted, list | tuple) else [wanted])]
        if not found or None in found:
            raise LabError(
                f"{wanted!r} is none of the options of {asked.id}.", "", "Name the right one, as in right='a'."
            )
        return found
    if not _is_number(observed):
        raise LabError(f"{asked.id} asked for a number{_in(asked.unit)}, and what was observed is {observed!r}.")
    if right is not None:
        if not isinstance(right, list | tuple) or len(right) != 2 or not all(_is_number(one) for one in right):
            raise LabError(f"right= takes the least and the greatest number, as in right=(20, 45), not {right!r}.")
        return sorted(_plain(one) for one in right)
    if within is None:
        within = 0 if isinstance(observed, Integral) else abs(float(observed)) / 10
    return [_plain(observed - within), _plain(observed + within)]


def _option(asked: Prediction, answer: Any) -> str | None:
    text = str(answer).strip()
    if text in asked.options:
        return text
    letter = ord(text.lower()) - ord("a") if len(text) == 1 else -1
    return asked.options[letter] if 0 <= letter < len(asked.options) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _reads_as_number(answer: Any) -> bool:
    return isinstance(answer, str) and bool(re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", answer))


def _plain(value: Any) -> Any:
    """Return a number of any library as Python's own, which JSON can hold."""
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else str(value)


# What is shown


def _choices(asked: Prediction) -> tuple[str, ...]:
    return tuple(f"{chr(ord('a') + number)}) {option}" for number, option in enumerate(asked.options))


def _value(asked: Prediction, value: Answer) -> str:
    if isinstance(value, str):
        return value
    number = f"{value:,}" if isinstance(value, int) else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
    one_of_many = value == 1 and len(asked.unit) > 2 and asked.unit.endswith("s")
    return f"{number} {asked.unit[:-1] if one_of_many else asked.unit}".rstrip()


def _said(asked: Prediction, said: Said) -> str:
    return f"{_value(asked, said.answer)} ({said.confidence})"


def _did(asked: Prediction) -> str:
    if asked.observed is None:
        return ""
    seen = _value(asked, asked.observed)
    if asked.options and asked.observed not in asked.options:
        return f"{seen}, which is {' or '.join(asked.right)}"
    return f'"{seen}"' if asked.options else seen


def _outcome(asked: Prediction, counted: Said) -> str:
    return f"You said {_said(asked, counted)}, it was {_did(asked)}{_counts(asked)}"


def _counts(asked: Prediction) -> str:
    if isinstance(asked.observed, int) and asked.right[0] < asked.right[1]:
        least = asked.right[0] if isinstance(asked.right[0], str) else f"{asked.right[0]:,}"
        return f" ({least} to {_value(asked, asked.right[1])} count as right)"
    return ""


def _head(met: bool, counted: Said) -> str:
    if met:
        return "Right, and you knew it." if counted.confidence == "sure" else "Right, by a guess."
    return "Not what you were sure of." if counted.confidence == "sure" else "Not what you guessed."


def _row(asked: Prediction) -> tuple[str, ...]:
    counted = asked.first
    if counted is None:
        return (asked.id, "not answered yet", "", "", "")
    if not asked.revealed:
        return (asked.id, _value(asked, counted.answer), counted.confidence, "not run yet", "")
    result = "right" if asked.is_right(counted.answer) else "not"
    return (asked.id, _value(asked, counted.answer), counted.confidence, _did(asked), result)


def _urgency(asked: Prediction) -> int:
    counted = asked.first
    if counted is None:
        return 2
    return {(False, "sure"): 0, (False, "guess"): 1, (True, "guess"): 3, (True, "sure"): 4}[
        bool(asked.is_right(counted.answer)), counted.confidence
    ]


def _in(unit: str) -> str:
    return f" in {unit}" if unit else ""


def _yes(met: bool | None) -> str:
    return "" if met is None else "yes" if met else "no"


def _day(at: str) -> str:
    return at[:10]


def _marked(text: str) -> str:
    shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
    return re.sub(r"\*([^*\s][^*]*)\*", r"<em>\1</em>", shown)
