"""Rules of Prometheus: promtool takes them, and they fire when they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bizspan.errors import SetupError
from bizspan.kpi import (
    KPI,
    AverageOrderValue,
    Conversion,
    Count,
    Definition,
    Distinct,
    Quantile,
    Rates,
    Ratio,
    Recurring,
    Retention,
    Sum,
    events,
    feedback,
    operations,
    refunds,
)
from bizspan.kpi._prometheus import RuleOptions, prometheus_rules
from tests.kpi.promtool import DAY, Run, checked, needs_promtool, run

MONTH = 28 * DAY
LATER = MONTH + DAY


def kpi(name: str, of: Definition, **options: Any) -> KPI:
    told: dict[str, Any] = {"owner": "sales", "meaning": f"What {name} means.", **options}
    return KPI(name, of, **told)


def rate(of: str, country: str = "") -> Ratio:
    where: dict[str, Any] = {"country": country} if country else {}
    return Ratio(Count(operations(of, outcome="success", **where)), Count(operations(of, **where)))


def duration(operation: str, outcome: str = "success", **labels: str) -> str:
    told = {"business_operation_name": operation, "business_operation_outcome": outcome, **labels}
    return f"business_operation_duration_seconds_count{{{_labels(told)}}}"


def revenue(operation: str, currency: str, **labels: str) -> str:
    told = {"business_operation_name": operation, "business_revenue_currency": currency, **labels}
    return f"business_revenue_total{{{_labels(told)}}}"


def happened(event: str, **labels: str) -> str:
    return f"business_events_total{{{_labels({'business_event_name': event, **labels})}}}"


def _labels(told: dict[str, str]) -> str:
    return ", ".join(f'{name}="{value}"' for name, value in told.items())


def steady(a_minute: float, minutes: int = LATER + 60) -> str:
    return f"0+{a_minute:g}x{minutes}"


def turned(before: float, after: float, at: int = MONTH) -> str:
    """A counter that grows so much a minute before a moment, and so much after it."""
    return f"0+{before:g}x{at} {before * at + after:g}+{after:g}x{LATER + 60 - at}"


def hourly(a_hour: int, until: int = MONTH) -> str:
    """A counter that grows once an hour, and no more after a moment."""
    hours = " ".join(f"{hour * a_hour}x59" for hour in range(until // 60))
    return f"{hours} {until // 60 * a_hour}x{LATER + 60 - until}"


SHOP = (
    kpi("revenue", Sum("revenue", operations("checkout"))),
    kpi("signups", Count(events("signup"))),
    kpi("rare", Count(events("rare"))),
    kpi("young", Count(events("young"))),
    kpi("bot_signups", Count(events("bots"))),
    kpi("conversion", rate("checkout"), playbook="https://wiki.example/conversion"),
    kpi("conversion_fj", rate("checkout", country="FJ")),
    kpi("complaints", Count(events("complaint")), direction="down"),
    kpi("steady", Count(events("steady"))),
    kpi("gone", Count(events("gone"))),
    kpi("rarely_gone", Count(events("rarely_gone"))),
    kpi("mrr", Recurring("subscriptions.mrr")),
    kpi("seats", Recurring("seats")),
)
SERIES = {
    revenue("checkout", "EUR"): turned(40, 4),
    revenue("checkout", "USD"): steady(10),
    revenue("checkout", "CHF"): hourly(100),  # one sale an hour, then none
    happened("signup"): turned(2, 0.5),
    happened("rare"): turned(0.05, 0),
    happened("young"): f"_x{15 * DAY} 0+2x{13 * DAY} {26 * DAY}x{2 * DAY}",
    happened("bots"): steady(2),
    happened("bots", business_traffic="bot"): turned(50, 0),
    duration("checkout"): turned(6, 4),
    duration("checkout", "failed"): turned(4, 6),
    duration("checkout", geo_country_iso_code="FJ"): turned(0.06, 0.02),
    duration("checkout", "failed", geo_country_iso_code="FJ"): turned(0.04, 0.08),
    happened("complaint"): turned(1, 3),
    happened("steady"): steady(2),
    happened("gone"): f"0+1x{MONTH - 60}",
    happened("rarely_gone"): f"0+0.01x{MONTH - 60}",
    # Two processes pull one number.
    'subscriptions_mrr{instance="a", business_plan="pro", business_value_currency="EUR"}': f"1000x{LATER + 60}",
    'subscriptions_mrr{instance="b", business_plan="pro", business_value_currency="EUR"}': f"1000x{LATER + 60}",
    'subscriptions_mrr{instance="b", business_plan="free", business_value_currency="EUR"}': f"20x{LATER + 60}",
    "bizspan_events_offered_total": steady(1),
}  # fmt: skip


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Four weeks of a shop, and what fires a day after something changed."""
    alerts = [(name, LATER) for name in ("KpiDropped", "KpiRisen", "KpiNoData", "BizspanNoData")]
    expressions = [(f'bizspan:kpi_value:{window}{{kpi="{name}"}}', LATER) for name, window in (
        ("mrr", "now"), ("conversion", "1h"), ("bot_signups", "1h"),
    )]  # fmt: skip
    return run(
        prometheus_rules(SHOP).text,
        tmp_path_factory.mktemp("month"),
        SERIES,
        alerts=alerts,
        expressions=[*expressions, ("bizspan:kpi_median:4w", MONTH)],
        every="12h",
    )


@needs_promtool
def test_a_drop_fires_where_enough_is_expected(month: Run) -> None:
    """
    Half of the usual revenue, signups, or a conversion below 80 % of the usual fire; one sale an hour, too few entries,
    other currencies, other traffic, and less than three weeks of history do not.
    """
    expected = [("conversion", ""), ("revenue", "EUR"), ("signups", "")]

    assert expected == month.firing("KpiDropped", LATER)


@needs_promtool
def test_a_rise_fires_where_down_is_good(month: Run) -> None:
    """
    Three times the usual complaints fire, under a name that says so.
    """
    assert [("complaints", "")] == month.firing("KpiRisen", LATER)


@needs_promtool
def test_missing_data_fires_where_some_is_expected(month: Run) -> None:
    """
    A counter that is gone fires, one that rarely counted does not; a gauge that nobody pulls does.
    """
    assert [("gone", ""), ("seats", "")] == month.firing("KpiNoData", LATER)
    assert [] == month.alerts["BizspanNoData", LATER]


@needs_promtool
def test_a_gauge_is_not_added_up_over_processes(month: Run) -> None:
    """
    Two processes that tell one number count once; its sets of facts are added.
    """
    key = (("currency", "EUR"), ("kpi", "mrr"))

    assert {key: 1020.0} == month.values['bizspan:kpi_value:now{kpi="mrr"}', LATER]


@needs_promtool
def test_other_traffic_does_not_count(month: Run) -> None:
    """
    What bots do is left out of the value.
    """
    value = month.values['bizspan:kpi_value:1h{kpi="bot_signups"}', LATER]

    assert {(("kpi", "bot_signups"),): 120.0} == value


@needs_promtool
def test_the_usual_is_the_median_of_four_weeks(month: Run) -> None:
    """
    The median is of this hour; with fewer than three weeks there is none.
    """
    medians = month.values["bizspan:kpi_median:4w", MONTH]

    assert 120.0 == medians[(("kpi", "signups"),)]
    assert 600.0 == medians[(("currency", "USD"), ("kpi", "revenue"))]
    assert (("kpi", "young"),) not in medians


@needs_promtool
def test_an_alert_says_what_people_need(month: Run) -> None:
    """
    Owner and severity are labels; value, usual value, meaning and playbook are annotations.
    """
    (alert,) = [each for each in month.alerts["KpiDropped", LATER] if each.labels["kpi"] == "conversion"]

    assert {
        "alertname": "KpiDropped", "kpi": "conversion", "owner": "sales", "severity": "warning",
    } == alert.labels  # fmt: skip
    assert {
        "summary": "conversion: below the usual",
        "description": "39.8% in the last hour; the median of this hour in four weeks is 60%.",
        "meaning": "What conversion means.",
        "runbook_url": "https://wiki.example/conversion",
    } == alert.annotations


TARGETS = (
    kpi("revenue", Sum("revenue", operations("checkout")), target={"EUR": "10000", "JPY": 900_000}, per="day"),
    kpi("conversion", rate("checkout"), target="0.65"),
    kpi("few", rate("few"), target="0.9"),
    kpi("slow", Quantile(0.95, of=operations("checkout")), target=2, direction="down"),
    kpi("fast", Quantile(0.5, of=operations("checkout")), target=2, direction="down"),
    kpi("mrr", Recurring("mrr"), target={"EUR": 1000}),
    kpi("average", Ratio(Sum(of=operations("checkout")), Count(operations("checkout"))), target={"EUR": "4"}),
    kpi("younger", Count(events("younger")), target=1_000_000, per="week"),
    kpi("gone", Count(events("gone"))),
    kpi("rare", Count(events("rare"))),
)


@needs_promtool
def test_a_missed_target_fires_by_currency(tmp_path: Path) -> None:
    """
    What is below its target, or above where down is good, fires once its period has gone by; few records do not. In the
    first weeks, yesterday's hour says whether data is missing.
    """
    buckets = {0.5: 1.2, 1.0: 6, 2.5: 9, 5.0: 10, "+Inf": 10}
    series = {
        revenue("checkout", "EUR"): steady(5, 3 * DAY),  # 7,200 a day
        revenue("checkout", "JPY"): steady(900, 3 * DAY),  # 1,296,000 a day
        duration("checkout"): steady(6, 3 * DAY),
        duration("checkout", "failed"): steady(4, 3 * DAY),
        duration("few"): f"0x{2 * DAY} 1x{DAY}",
        duration("few", "failed"): f"0x{2 * DAY} 1x{DAY}",
        'mrr{business_value_currency="EUR"}': f"999x{3 * DAY}",
        happened("younger"): steady(1, 3 * DAY),
        happened("gone"): steady(1, 2 * DAY - 120),
        happened("rare"): steady(0.01, 2 * DAY - 120),
        **{
            f'business_operation_duration_seconds_bucket{{business_operation_name="checkout", le="{bound}"}}': steady(
                count, 3 * DAY
            )
            for bound, count in buckets.items()
        },
    }
    early, late = 20 * 60, 2 * DAY + 60

    ran = run(
        prometheus_rules(TARGETS).text,
        tmp_path,
        series,
        alerts=[("KpiTargetMissed", early), ("KpiTargetMissed", late), ("KpiNoData", late)],
    )

    always = [("average", "EUR"), ("conversion", ""), ("mrr", "EUR"), ("slow", "")]
    assert always == ran.firing("KpiTargetMissed", early)
    assert sorted([*always, ("revenue", "EUR")]) == ran.firing("KpiTargetMissed", late)
    assert [("gone", "")] == ran.firing("KpiNoData", late)
    (missed,) = [each for each in ran.alerts["KpiTargetMissed", late] if each.labels["kpi"] == "revenue"]
    assert (
        "7200 EUR in the last 24 hours; the target is at least 10000 EUR, 900000 JPY."
        == missed.annotations["description"]
    )


@needs_promtool
def test_silence_of_everything_fires(tmp_path: Path) -> None:
    """
    Where no process reports at all, one alert says so, once.
    """
    ran = run(prometheus_rules(SHOP).text, tmp_path, {"up": steady(0, 60)}, alerts=[("BizspanNoData", 60)])

    assert ["BizspanNoData"] == [each.labels["alertname"] for each in ran.alerts["BizspanNoData", 60]]


NASTY = 'a"b\\c`{{ $value }}{{ fail }} }}{ \u2028\x7f é 😀 \ud800 <&> - : # %'


@needs_promtool
def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    """
    Quotes, templates, line separators and regular expressions in names, owners and meanings come out as they went in.
    """
    hostile = kpi(
        "hostile",
        Ratio(
            Count(operations(NASTY, "a.b|c(", segment=["x.y", 'q"']), ),
            Count(operations(NASTY, "a.b|c(", "dropped")),
        ),
        owner=NASTY,
        meaning=NASTY,
        playbook="https://x.example/{{.}}?a=b#c",
        target="0.9",
    )  # fmt: skip
    plain = NASTY.replace("\ud800", "\ufffd")
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"').replace("\ufffd", "\\ufffd")
    series = {
        f'business_operation_duration_seconds_count{{business_operation_name="{quoted}", '
        'business_customer_segment="x.y"}': steady(1, 240),
        'business_operation_duration_seconds_count{business_operation_name="a.b|c(", '
        'business_customer_segment="q\\""}': steady(1, 240),
        'business_operation_duration_seconds_count{business_operation_name="aXb", '
        'business_customer_segment="xXy"}': steady(10, 240),
        'business_operation_duration_seconds_count{business_operation_name="dropped"}': steady(2, 240),
    }
    rules = prometheus_rules([hostile], RuleOptions(severity=NASTY)).text

    ran = run(
        rules, tmp_path, series, alerts=[("KpiTargetMissed", 180)], expressions=[("bizspan:kpi_value:1h", 180)]
    )  # fmt: skip

    assert "SUCCESS" in checked(rules, tmp_path)
    assert {(("kpi", "hostile"),): 0.5} == ran.values["bizspan:kpi_value:1h", 180]
    (alert,) = ran.alerts["KpiTargetMissed", 180]
    assert (plain, plain) == (alert.labels["owner"], alert.labels["severity"])
    assert (plain, "https://x.example/{{.}}?a=b#c") == (alert.annotations["meaning"], alert.annotations["runbook_url"])


EVERY_KIND: dict[str, Definition] = {
    "count": Count(operations("a")),
    "count_events": Count(events("a", "b")),
    "count_feedback": Count(feedback("nps", question="nps")),
    "count_unless": Count(operations("a", unless={"country": ["DE", "AT"], "outcome": "failed"})),
    "sum": Sum(),
    "sum_events": Sum(of=events("invoice.paid")),
    "sum_refund": Sum("refund", refunds(country=["DE", "AT"])),
    "sum_cost": Sum("cost", operations("a", country="DE")),
    "ratio_sums": Ratio(Sum("refund"), Sum("revenue")),
    "ratio": Ratio(Sum("revenue", operations("a")), Count(operations("a"))),
    "quantile": Quantile(0.99, of=operations("a", plan="pro")),
    "score": Quantile(0.5, "score", feedback("nps")),
    "recurring": Recurring("stock.value", across="services"),
}


@needs_promtool
@pytest.mark.parametrize("direction", ["up", "down"])
def test_promtool_takes_every_kind(direction: str, tmp_path: Path) -> None:
    """
    Each kind that metrics can tell makes rules that Prometheus would load, and twice the same.
    """
    kpis = [
        *(kpi(name, of, direction=direction) for name, of in EVERY_KIND.items()),
        *(
            kpi(f"each_{per}", Sum(), direction=direction, per=per, target={"EUR": "0.50", "JPY": 0})
            for per in ("hour", "day", "week", "month")
        ),
    ]
    rules = prometheus_rules(kpis)

    assert {} == rules.skipped
    assert "SUCCESS" in checked(rules.text, tmp_path)
    assert rules == prometheus_rules(kpis)


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (Distinct(), "metrics do not know each customer"),
        (Ratio(Count(operations("a")), Distinct("session")), "metrics do not know each session"),
        (AverageOrderValue(), "declare a ratio of a sum to a count"),
        (Conversion((operations("a"), operations("b"))), "which customer took which step"),
        (Retention(operations("a")), "cohorts are counted from events"),
        (Sum("tax"), "tax is not on metrics"),
        (Sum("refund", refunds(), dated="order"), "when the order was sold"),
        (Sum(rates=Rates("EUR", "2026-03-01", {"USD": "0.92"})), "never converted"),
        (Sum(of=feedback("nps")), "feedback has no money"),
        (Sum("cost", operations("a", outcome="failed")), "'outcome' is not on these metrics"),
        (Count(operations("a", customer="c-1")), "'customer' is not on these metrics"),
        (Count(operations("a", reason="declined")), "'reason' is not on these metrics"),
        (Count(operations("a", version="1.5")), "in target_info"),
        (Quantile(0.5, "score", operations("a")), "only durations of operations"),
        (Quantile(0.5, "duration", events("a")), "only durations of operations"),
    ],
    ids=str,
)
def test_what_metrics_cannot_tell_is_said(of: Definition, said: str) -> None:
    """
    Such a KPI has no rules; the reason stands in the file and in the result.
    """
    rules = prometheus_rules([kpi("it", of), kpi("signups", Count(events("signup")))])

    assert ["it"] == [*rules.skipped]
    assert said in rules.skipped["it"]
    assert f"# it has no rules: {rules.skipped['it']}\n" in rules.text
    assert "bizspan-kpi-signups" in rules.text


def test_a_change_that_is_none_is_refused() -> None:
    """
    The part from which on a change is said lies between nothing and all.
    """
    for change in (0, 1, -0.5, float("nan")):
        with pytest.raises(SetupError, match="volume_change is a part of the usual"):
            RuleOptions(volume_change=change)


def test_a_gauge_with_a_unit_has_its_name_told() -> None:
    """
    The name in Prometheus is told where the unit became a part of it.
    """
    rules = prometheus_rules(
        [kpi("stock", Recurring("stock.value"))], RuleOptions(gauges={"stock.value": "stock_value_EUR"})
    )

    assert " (stock_value_EUR)," in rules.text
