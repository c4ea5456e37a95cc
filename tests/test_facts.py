"""The figures that age: each has a date and a source, and reads well in text and in code."""

from __future__ import annotations

import re
from datetime import date

import pytest

from helpers import facts
from helpers.errors import LabError

EVERY = [(kind, fact) for kind in facts.KINDS for fact in facts.facts(kind).values()]


@pytest.mark.parametrize(("kind", "fact"), EVERY, ids=[f"{kind}-{fact.name}" for kind, fact in EVERY])
def test_a_figure_says_when_and_from_where_it_is_known(kind: str, fact: facts.Fact) -> None:
    assert isinstance(fact.value, int | float)
    assert fact.unit
    assert date(2024, 1, 1) < fact.as_of < date(2027, 1, 1)
    assert len(fact.source) > 10
    assert fact.confidence in facts.CONFIDENCES
    assert re.fullmatch(r"[A-G]\d+", fact.row)
    assert (fact.unit == "USD") == (kind == "prices") == bool(fact.of)


def test_a_price_reads_in_a_sentence_and_counts_in_code() -> None:
    request = facts.price("lambda.request")
    assert f"A request costs {request}." == "A request costs $0.20 per million requests."
    assert request.value == float(request) == 0.2
    assert request.each * 3_000_000 == pytest.approx(0.6)
    assert str(facts.price("lambda.gb_second")) == "$0.0000166667 per GB-second"
    assert facts.price("lambda.gb_second").each == 0.0000166667
    assert str(facts.quota("trigger.concurrency")) == "1,250 concurrent runs"
    assert str(facts.rate("trigger.growth")) == "300 more concurrent runs a minute"


def test_derived_figures_follow_from_those_they_are_made_of() -> None:
    month = facts.rate("trigger.start").value * 60 / facts.rate("trigger.poll_wait").value * 60 * 24 * 30
    assert facts.rate("trigger.idle_month").value == month
    smallest = 2 * 730 * facts.price("trigger.poller_hour").value
    assert facts.price("trigger.provisioned_month").value == pytest.approx(smallest, abs=0.01)
    assert facts.quota("sqs.message_size").value == 16 * facts.quota("sqs.billing_chunk").value


def test_what_other_texts_say_stands_beside_the_figure() -> None:
    assert "1,000" in facts.quota("trigger.concurrency").note
    assert "2,000" in facts.quota("trigger.provisioned_maximum_pollers").note
    for shown in (repr(facts.quota("trigger.concurrency")), facts.quota("trigger.concurrency")._repr_html_()):
        assert "1,250 concurrent runs" in shown
        assert "AWS Lambda Developer Guide" in shown
        assert "2026-11-21" in shown


def test_a_table_shows_all_of_a_kind() -> None:
    assert "$0.40 per million requests" in str(facts.table("prices"))
    assert facts.table("rates")._repr_html_().count("<tr>") == len(facts.facts("rates")) + 1


def test_an_unknown_name_is_told_in_one_sentence() -> None:
    with pytest.raises(LabError, match="There is no price called"):
        facts.price("sqs.reqest")
    with pytest.raises(LabError, match="There is no quota called 3"):
        facts.quota(3)  # type: ignore[arg-type]
    with pytest.raises(LabError, match="There is no table 'price'"):
        facts.table("price")  # type: ignore[arg-type]


def test_a_page_does_not_take_two_prices_for_a_formula() -> None:
    shown = facts.table("prices")._repr_html_()
    assert "<span>$</span>" in shown
    assert "$" not in shown.replace("<span>$</span>", "")
