"""Definitions that hold together, and what is said to those that do not."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bizspan import Attribute, Money, Vocabulary
from bizspan.errors import SetupError
from bizspan.kpi import (
    KPI,
    AverageOrderValue,
    Calendar,
    Conversion,
    Count,
    Distinct,
    Quantile,
    Rates,
    Ratio,
    Records,
    Recurring,
    Retention,
    Sum,
    events,
    feedback,
    load,
    operations,
    refunds,
)

CHECKOUT = operations("checkout")
PAID = operations("checkout", outcome="success")
GIFTS = Vocabulary("shop", [Attribute(name="gift", type=bool)])
RATES = Rates("EUR", "2026-03-01", {"USD": "0.92"})


def made(of: Any = None, **more: Any) -> KPI:
    told: dict[str, Any] = {"owner": "shop", "meaning": "What it means.", **more}
    return KPI(told.pop("name", "orders"), Count(CHECKOUT) if of is None else of, **told)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: made(name="Orders"), "small letters"),
        (lambda: made(of="checkout"), "of is one of Count"),
        (lambda: made(owner=" "), "owner is one line"),
        (lambda: made(meaning="a\nb"), "meaning is one line"),
        (lambda: made(playbook="wiki/orders"), "begins with https"),
        (lambda: made(playbook="javascript:alert(1)"), "begins with https"),
        (lambda: made(direction="sideways"), "'up' or 'down'"),
        (lambda: made(minimum_group=0), "whole number from 1"),
        (lambda: made(by=["segmnet"]), "did you mean 'segment'"),
        (lambda: made(by=["nonsense"]), "declare it in a Vocabulary"),
        (lambda: made(by=["segment", "segment"]), "each once"),
        (lambda: made(by=["duration"]), "too many values"),
        (lambda: made(target=100), "per='day'"),
        (lambda: made(target=100, per="year"), "per is one of"),
        (lambda: made(Sum(), target=100, per="day"), "by currency"),
        (lambda: made(Sum(), target={"EUR": "1.001"}, per="day"), "the target in EUR"),
        (lambda: made(Sum(), target={"XXQ": "1"}, per="day"), "no currency"),
        (lambda: made(Ratio(Count(PAID), Count(CHECKOUT)), target=95), "from 0 to 1"),
        (lambda: made(Quantile(0.5, "segment", CHECKOUT)), "has no numbers"),
        (lambda: made(Retention(PAID), by=["country"]), "cohorts"),
        (lambda: made(Count(operations("checkout", gift="yes")), vocabulary=GIFTS), "never fits"),
        (lambda: Count(Records()), "needs the name"),
        (lambda: operations(""), "is a text"),
        (lambda: operations("checkout", country=[]), "takes a text"),
        (lambda: operations("checkout", score=float("nan")), "finite"),
        (lambda: events("business.operation"), "name operations instead"),
        (lambda: Sum("turnover"), "money is one of"),  # type: ignore[arg-type]
        (lambda: Sum("revenue", dated="order"), "for refunds"),
        (lambda: Sum("revenue", PAID), "outcome success alone"),
        (lambda: Rates("EUR", "yesterday", {}), "the date"),
        (lambda: Rates("EUR", "2026-03-01", {"USD": 0.92}), "as a text"),  # type: ignore[dict-item]
        (lambda: Rates("EUR", "2026-03-01", {"USD": "-1"}), "above 0"),
        (lambda: Rates("EUR", "2026-03-01", {"BTC": "1"}), "no currency"),
        (lambda: Ratio(Count(PAID), Quantile(0.5)), "Count, Distinct and Sum"),  # type: ignore[arg-type]
        (lambda: Ratio(Count(PAID), Sum()), "turn the ratio round"),
        (lambda: Ratio(Sum(rates=RATES), Sum("refund")), "the same rates"),
        (lambda: Conversion((CHECKOUT,)), "2 to 20 steps"),
        (lambda: Conversion((Records(), CHECKOUT)), "each step"),
        (lambda: Conversion((CHECKOUT, PAID), window="soon"), "window is a length of time"),
        (lambda: Conversion((CHECKOUT, PAID), reentry="twice"), "'first' or 'each'"),  # type: ignore[arg-type]
        (lambda: Quantile(1.5), "at most 1"),
        (lambda: Quantile(0.0000001), "at least"),
        (lambda: Distinct(""), "subject is a name"),
        (lambda: Retention(PAID, every="hour"), "'day', 'week' or 'month'"),
        (lambda: Retention(PAID, periods=3, at=4), "one of the periods"),
        (lambda: Recurring("mrr", across="all"), "'latest' or 'services'"),  # type: ignore[arg-type]
        (lambda: AverageOrderValue("turnover"), "money is one of"),  # type: ignore[arg-type]
    ],
)
def test_what_does_not_hold_together_says_what_to_change(make: Callable[[], object], said: str) -> None:
    """
    A wrong definition is a set-up error where it is written.
    """
    with pytest.raises(SetupError, match=said):
        make()


def test_the_facts_of_a_kpi_have_their_keys() -> None:
    """
    Standard facts, facts of a vocabulary, facts of every record, and attribute keys.
    """
    kpi = made(
        Count(operations("checkout", gift=True, outcome="success")),
        by=["country", "version", "business.custom.delivery"],
        vocabulary=GIFTS,
    )

    assert {
        "country": "geo.country.iso_code",
        "version": "service.version",
        "business.custom.delivery": "business.custom.delivery",
        "gift": "shop.gift",
        "outcome": "business.operation.outcome",
    } == {name: fact.key for name, fact in kpi.facts.items()}


@pytest.mark.parametrize(
    ("of", "to", "is_rate"),
    [
        (Count(PAID), Count(CHECKOUT), True),
        (Count(CHECKOUT), Count(PAID), False),
        (Count(PAID), Count(operations("basket")), False),
        (Distinct("customer", PAID), Distinct("customer", CHECKOUT), True),
        (Distinct("session", PAID), Distinct("customer", CHECKOUT), False),
        (Sum("refund", refunds()), Sum("revenue"), False),
        (Count(feedback("nps", score=[9, 10])), Count(feedback("nps")), True),
    ],
)
def test_a_ratio_of_a_part_to_its_whole_is_a_rate(of: Any, to: Any, is_rate: bool) -> None:
    """
    Only then can it have an interval, and a target from 0 to 1.
    """
    assert is_rate is Ratio(of, to).is_rate
    assert ("%" if is_rate else "") == made(Ratio(of, to)).shown_unit


def test_a_target_of_money_is_by_currency() -> None:
    """
    As `Money`, or as texts.
    """
    assert {"EUR": Decimal("10.00")} == made(Sum(), target=Money("10", "EUR"), per="day").targets
    assert {"EUR": Decimal("10.00"), "JPY": Decimal(5)} == made(
        Sum(), target={"EUR": "10", "JPY": 5}, per="day"
    ).targets
    assert {"": Decimal("0.95")} == made(Ratio(Count(PAID), Count(CHECKOUT)), target=0.95).targets


FILE = """\
[tool.bizspan]
time_zone = "Europe/Berlin"
week_start = "sunday"
kpi_module = "shop.kpis:KPIS"

[tool.bizspan.kpi.revenue]
kind = "sum"
owner = "shop"
meaning = "What customers paid."
operation = "checkout"
where = {country = ["DE", "AT"]}
unless = {channel = "app"}
target = {EUR = "1000"}
per = "day"
by = ["segment"]
rates = {to = "EUR", date = 2026-03-01, per = {USD = "0.92"}}

[tool.bizspan.kpi.refunds]
kind = "sum"
owner = "shop"
meaning = "What went back."
event = "business.refund"
money = "refund"
dated = "order"

[tool.bizspan.kpi.success]
kind = "ratio"
owner = "shop"
meaning = "Checkouts that succeed."
of = {operation = "checkout", where = {outcome = "success"}}
to = {operation = "checkout"}
target = 0.95

[tool.bizspan.kpi.conversion]
kind = "conversion"
owner = "shop"
meaning = "Baskets that are paid."
steps = [{operation = "basket"}, {operation = "checkout", where = {outcome = "success"}}]
window = "2d"
reentry = "each"

[tool.bizspan.kpi.aov]
kind = "average_order_value"
owner = "shop"
meaning = "An order's worth."
operation = "checkout"

[tool.bizspan.kpi.p95]
kind = "quantile"
owner = "shop"
meaning = "How long it takes."
q = 0.95
operation = "checkout"
direction = "down"

[tool.bizspan.kpi.buyers]
kind = "distinct"
owner = "shop"
meaning = "Who buys."
operation = "checkout"

[tool.bizspan.kpi.nps_answers]
kind = "count"
owner = "shop"
meaning = "Answers."
feedback = "nps"

[tool.bizspan.kpi.retention]
kind = "retention"
owner = "shop"
meaning = "Who comes back."
first = {operation = "checkout"}
every = "week"

[tool.bizspan.kpi.mrr]
kind = "recurring"
owner = "shop"
meaning = "What subscriptions bring."
gauge = "subscriptions.mrr"
across = "services"
"""


def test_a_file_declares_every_kind(tmp_path: Path) -> None:
    """
    What stands in the file is what Python would say.
    """
    path = tmp_path / "pyproject.toml"
    path.write_text(FILE, encoding="utf-8")

    declared = load(path)

    assert Calendar("Europe/Berlin", "sunday") == declared.calendar
    assert ("shop.kpis:KPIS",) == declared.modules
    where = operations("checkout", country=["DE", "AT"], unless={"channel": "app"})
    assert {
        "revenue": Sum(of=where, rates=RATES),
        "refunds": Sum("refund", refunds(), dated="order"),
        "success": Ratio(Count(PAID), Count(CHECKOUT)),
        "conversion": Conversion((operations("basket"), PAID), window="2d", reentry="each"),
        "aov": AverageOrderValue(of=CHECKOUT),
        "p95": Quantile(0.95, of=CHECKOUT),
        "buyers": Distinct(of=CHECKOUT),
        "nps_answers": Count(feedback("nps")),
        "retention": Retention(CHECKOUT, every="week"),
        "mrr": Recurring("subscriptions.mrr", across="services"),
    } == {name: kpi.of for name, kpi in declared.kpis.items()}
    assert ("segment",) == declared.kpis["revenue"].by


def test_a_file_of_its_own_needs_no_prefix(tmp_path: Path) -> None:
    """
    As with all of the configuration file.
    """
    path = tmp_path / "bizspan.toml"
    path.write_text(FILE.replace("tool.bizspan.kpi", "kpi").replace("[tool.bizspan]", ""), encoding="utf-8")

    assert "success" in load(path).kpis


@pytest.mark.parametrize(
    ("begins", "wrong", "said"),
    [
        ('kind = "sum"', 'kind = "summ"', "7: kpi.revenue.kind: expected one of count"),
        ('owner = "shop"', 'ownr = "shop"', "8: kpi.revenue.ownr: expected one of"),
        ('operation = "checkout"', "operation = 7", "10: kpi.revenue.operation: expected a text"),
        ("where =", 'where = {countri = "DE"}', "6: kpi.revenue: the fact 'countri' is not known; did you mean"),
        ("where =", "where = 7", "11: kpi.revenue.where: expected a table"),
        ("rates =", 'rates = {to = "EUR"}', "16: kpi.revenue.rates.per: it is missing"),
        ("time_zone =", 'time_zone = "Mars"', "2: time_zone: 'Mars' is no time zone"),
        ("week_start =", 'week_start = "someday"', "3: week_start: week_start is a day's name"),
        ("kpi_module =", "kpi_module = 7", "4: kpi_module: expected a text"),
        ("to =", "to = {}", "26: kpi.success: a count needs the name"),
        ("steps =", 'steps = "basket"', "38: kpi.conversion.steps: expected a list"),
        ("q =", 'q = "half"', "48: kpi.p95: q is a number"),
        ("first =", "first = {operatio = 1}", "72: kpi.retention.first.operatio: expected one of"),
    ],
)
def test_what_is_wrong_in_a_file_has_file_line_and_key(tmp_path: Path, begins: str, wrong: str, said: str) -> None:
    """
    The error begins with the file and the line.
    """
    path = tmp_path / "pyproject.toml"
    line = next(each for each in FILE.splitlines() if each.startswith(begins))
    path.write_text(FILE.replace(line, wrong, 1), encoding="utf-8")

    with pytest.raises(SetupError) as raised:
        load(path)

    assert str(raised.value).startswith(f"{path}:{said}")


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    """
    Missing, no TOML, or with a table of another kind.
    """
    for text, said in (("kpi = [", "no TOML"), ("kpi = 7", "expected a table for each KPI")):
        (tmp_path / "kpis.toml").write_text(text, encoding="utf-8")
        with pytest.raises(SetupError, match=said):
            load(tmp_path / "kpis.toml")
    with pytest.raises(SetupError, match="can't be read"):
        load(tmp_path / "missing.toml")
