"""The page that a report is: one HTML file with its style, light, dark or on paper, and its data for pooling."""

from __future__ import annotations

import html
import json
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from . import predictions
from .attempts import masked

if TYPE_CHECKING:
    from .report import Exercise, Lab, Report

_FORMAT = 1
_DATA = re.compile(r'<script type="application/json" id="lab-report">(.*?)</script>', re.DOTALL)
_PACKAGES = ("lambda-sqs-labs", "boto3", "moto")
_EXERCISES = {"exercise": 28, "state": 12, "first solved": 21, "on": 25, "tries": 7, "hints": 7}
_PREDICTIONS = {
    "prediction": 29,
    "said": 11,
    "confidence": 11,
    "it was": 11,
    "result": 10,
    "asked again": 9,
    "when": 19,
}
"""The columns of the two tables, and how wide they are in per cent: the same for every lab."""


def page(report: Report) -> str:
    """Return a report as HTML."""
    rows = [
        {key: masked(value) if isinstance(value, str) else value for key, value in row.items()}
        for row in predictions.rows(report.asked)
    ]
    data = {"format": _FORMAT, "name": report.name, "written": report.written, "predictions": rows}
    return _PAGE.format(
        title=html.escape(f"Progress of {report.name}" if report.name else "Progress"),
        written=_moment(report.written),
        versions=html.escape(_versions()),
        labs=f"{sum(lab.begun for lab in report.labs)} of {len(report.labs)}",
        solved=f"{sum(lab.solved for lab in report.labs)} of {sum(len(lab.exercises) for lab in report.labs)}",
        calibration="".join(_calibration(report.asked)),
        details="".join(_section(lab) for lab in report.labs if lab.begun) or "<p>Nothing was tried yet.</p>",
        # A "</" in a text would end the element that holds it.
        data=json.dumps(data, ensure_ascii=False).replace("</", "<\\/"),
    )


def read_page(text: str) -> tuple[str, str, list[dict[str, Any]]]:
    """Return the name on a page, when it was written, and its predictions.

    Raises
    ------
    ValueError, KeyError, TypeError
        When it is none, or was cut off.
    """
    found = _DATA.search(text)
    if found is None:
        raise ValueError("no report")
    data = json.loads(found[1])
    if data["format"] != _FORMAT:
        raise ValueError("another format")
    rows = [{column: row[column] for column in predictions.COLUMNS} for row in data["predictions"]]
    if not all(isinstance(value, str | int | float) for row in rows for value in row.values()):
        raise ValueError("no answers")
    return str(data["name"]), str(data["written"]), rows


def _section(lab: Lab) -> str:
    parts = [f"<h2>{html.escape(f'{lab.number} {lab.title}'.strip())}</h2>"]
    if lab.exercises:
        rows = [(one.id, *_became(one)) for one in lab.exercises]
        parts.append(_table(_EXERCISES, rows))
        parts += [
            f"<p><b>{one.id}</b> stands at: {_code(masked(one.last))}</p>"
            for one in lab.exercises
            if one.last and one.tries
        ]
    if lab.asked:
        parts.append(_table(_PREDICTIONS, [_row(one) for one in lab.asked]))
    return "".join(parts)


def _row(asked: predictions.Prediction) -> list[str]:
    (row,) = predictions.rows([asked])
    words = {"yes": "right", "no": "not right", "": ""}
    at = asked.first.at if asked.first else ""
    said, did = (_value(row[key], asked.unit) for key in ("said", "did"))
    return [
        asked.question,
        said or "not answered",
        row["confidence"],
        did if asked.revealed else "",
        words[row["right"]],
        words[row["recalled_right"]],
        _moment(at),
    ]


def _code(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _value(value: Any, unit: str) -> str:
    text = f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else value
    return f"{text} {unit}" if text and unit else text


def _table(columns: Mapping[str, int], rows: Iterable[Sequence[str]]) -> str:
    def cells(kind: str, texts: Iterable[str]) -> str:
        return "".join(f"<{kind}>{_code(masked(text))}</{kind}>" for text in texts)

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    widths = "".join(f'<col style="width:{width}%">' for width in columns.values())
    head = cells("th", columns)
    return f"<table><colgroup>{widths}</colgroup><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _calibration(asked: Sequence[predictions.Prediction]) -> Iterator[str]:
    for confidence in predictions.CONFIDENCES:
        met = [
            bool(one.is_right(one.first.answer))
            for one in asked
            if one.first and one.revealed and one.first.confidence == confidence
        ]
        if met:
            share = 100 * sum(met) / len(met)
            yield (
                f'<p class="bar"><span>{confidence}: {sum(met)} of {len(met)} right</span>'
                f'<i><b style="width:{share:.0f}%"></b></i></p>'
            )
    open_ = sum(one.first is None for one in asked)
    if open_:
        yield f"<p>Not answered: {open_}.</p>"
    if not asked:
        yield "<p>None was asked yet.</p>"


def _became(one: Exercise) -> tuple[str, ...]:
    state = "solved" if one.solved else "begun" if one.tries else "not yet"
    return (state, _moment(one.solved), one.cloud, *(str(count or "") for count in (one.tries, one.hints)))


def _moment(at: str) -> str:
    return f"{at[:10]} {at[11:16]} UTC" if at else ""


def _versions() -> str:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join([*found, f"Python {sys.version.split()[0]}", platform.system()])


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1a1a1a; --page: #fff; --line: #8886; --done: #009E73; --rest: #D55E00; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6e6e6; --page: #161616; }} }}
body {{ font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }}
h2 {{ margin-top: 2rem; break-after: avoid; }}
table {{ border-collapse: collapse; width: 100%; margin: .6rem 0; table-layout: fixed; overflow-wrap: break-word; }}
th, td {{ border-bottom: 1px solid var(--line); padding: .25rem .6rem .25rem 0; text-align: left;
  vertical-align: top; }}
th {{ font-weight: 600; }}
@media screen and (max-width: 45rem) {{ table {{ display: block; overflow-x: auto; font-size: .8em; }} }}
tr {{ break-inside: avoid; }}
.bar span {{ display: inline-block; width: 14rem; }}
.bar i {{ display: inline-block; width: 14rem; height: .8rem; background: var(--rest); vertical-align: middle; }}
.bar b {{ display: block; height: 100%; background: var(--done); }}
.bar {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
footer {{ margin-top: 2.5rem; font-size: .85em; opacity: .8; }}
@media print {{ :root {{ --ink: #000; --page: #fff; }} body {{ margin: 0; max-width: none; font-size: 11px; }} }}
</style>
<h1>{title}</h1>
<p>Lambda and SQS labs. Labs begun: {labs}. Exercises solved: {solved}. Written {written}.</p>
<h2>How well "sure" held</h2>
{calibration}
{details}
<footer>{versions}. Made on the learner's own computer from what the checks said and what was predicted there; times are
when a check first said yes and when an answer was given.</footer>
<script type="application/json" id="lab-report">{data}</script>
</html>
"""
