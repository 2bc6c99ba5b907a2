"""From bizspan's calls to a KPI's value in Prometheus: under the names that OpenTelemetry's own exporter gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider

import bizspan
from bizspan import Attribute, Money, Vocabulary, _active
from bizspan.gauges import declared_gauges
from bizspan.kpi import (
    KPI,
    Count,
    Definition,
    Quantile,
    Ratio,
    Recurring,
    Sum,
    events,
    feedback,
    operations,
    refunds,
)
from bizspan.kpi._prometheus import prometheus_rules
from bizspan.kpi._promql import label_name, metric_name
from tests.kpi.promtool import needs_promtool, run
from tests.providers import HASH_KEY

SHOP = Vocabulary(
    "shop",
    [Attribute(name="gift", type=bool, dimension=True), Attribute(name="items", type=int, dimension=True)],
)
KINDS: dict[str, tuple[Definition, float]] = {
    "revenue": (Sum("revenue", operations("checkout")), 60.5),
    "revenue_of_all": (Sum(), 160.5),
    "revenue_of_events": (Sum(of=events("invoice.paid")), 100),
    "refunds": (Sum("refund", refunds()), 9.9),
    "costs": (Sum("cost"), 5),
    "average": (Ratio(Sum(of=operations("checkout")), Count(operations("checkout", outcome="success"))), 20.1667),
    "checkouts": (Count(operations("checkout")), 4),
    "successes": (Count(operations("checkout", outcome="success")), 3),
    "abroad": (Count(operations("checkout", unless={"country": "DE"})), 2),
    "pro": (Count(operations("checkout", plan=["pro", "team"])), 1),
    "gifts": (Count(operations("checkout", gift=True, items=3)), 1),
    "success": (Ratio(Count(operations("checkout", outcome="success")), Count(operations("checkout"))), 0.75),
    "refund_events": (Count(refunds()), 1),
    "signups": (Count(events("newsletter.signup")), 2),
    "answers": (Count(feedback("nps")), 2),
    "slowest": (Quantile(1, of=operations("checkout")), 0.005),
    "worst_score": (Quantile(0.5, "score", feedback("nps")), 9),
    "subscriptions": (Recurring("subscriptions.active"), 1129),
    "stock": (Recurring("stock.value"), 120_000),
}
IN_EURO = {"revenue", "revenue_of_all", "revenue_of_events", "refunds", "costs", "average", "stock"}


def tell() -> None:
    """A minute of a shop."""
    told: tuple[tuple[str, dict[str, Any]], ...] = (
        ("10.50", {"country": "DE", "gift": True, "items": 3}),
        ("20.00", {"country": "DE", "gift": False, "items": 3}),
        ("30.00", {"country": "AT", "plan": "pro"}),
    )
    for revenue, facts in told:
        with bizspan.operation("checkout", **facts) as op:
            op.revenue(revenue, "EUR")
            op.cost("1", "EUR")
    with bizspan.operation("checkout") as op:
        op.reject("card_declined")
    with bizspan.operation("checkout", traffic="bot") as op:
        op.revenue("1000", "EUR")
    bizspan.event("invoice.paid", revenue=Money("100", "EUR"))
    bizspan.event("newsletter.signup")
    bizspan.event("newsletter.signup")
    bizspan.event("newsletter.signup", traffic="staff")
    bizspan.refund(Money("9.90", "EUR"), order="o-1")
    bizspan.cost(Money("2", "EUR"))
    bizspan.feedback("nps", 9)
    bizspan.feedback("nps", 10)


def scraped() -> list[tuple[str, float]]:
    """Names with labels, and values, as a scrape finds them."""
    exporter = pytest.importorskip("opentelemetry.exporter.prometheus")
    from prometheus_client import REGISTRY

    provider = MeterProvider(metric_readers=[exporter.PrometheusMetricReader()])
    with bizspan.configure(export="none", meter_provider=provider, vocabulary=SHOP, hash_key=HASH_KEY):

        @bizspan.gauge("subscriptions.active", every_s=60, unit="{subscription}")
        def subscriptions() -> object:
            yield 1042, {"plan": "pro"}
            yield 87, {"plan": "enterprise"}

        @bizspan.gauge("stock.value", every_s=60)
        def stock() -> Money:
            return Money("120000.00", "EUR")

        tell()
        pipeline = _active.current
        assert pipeline is not None
        for name in ("subscriptions.active", "stock.value"):
            declared_gauges()[name].pull(pipeline)
        found = [
            (f"{sample.name}{{{_labels(sample.labels)}}}", sample.value)
            for family in REGISTRY.collect()
            if family.name.startswith(("business_", "subscriptions_", "stock_"))
            for sample in family.samples
            if not sample.name.endswith("_created")
        ]
    provider.shutdown()
    return found


def _labels(told: dict[str, str]) -> str:
    return ", ".join(f'{name}="{value}"' for name, value in sorted(told.items()))


@needs_promtool
def test_rules_find_what_bizspan_emits(tmp_path: Path) -> None:
    """
    What was told by bizspan's calls, exported by OpenTelemetry's own Prometheus exporter, is each KPI's value.
    """
    kpis = [KPI(name, of, owner="shop", meaning="-", vocabulary=SHOP) for name, (of, _) in KINDS.items()]
    rules = prometheus_rules(kpis)
    # From nothing, an hour ago, to what was scraped: the hour's increase.
    series = {
        name: f"{'0' if _is_counter(name) else value}x90 {value}x60" for name, value in scraped()
    }  # fmt: skip
    told = {name: f'bizspan:kpi_value:{"now" if of.kind == "recurring" else "1h"}{{kpi="{name}"}}'
            for name, (of, _) in KINDS.items()}  # fmt: skip

    ran = run(rules.text, tmp_path, series, expressions=[(text, 120) for text in told.values()])

    assert {} == rules.skipped
    got = {name: ran.values[text, 120] for name, text in told.items()}
    assert {
        name: {
            tuple(sorted({"kpi": name, **({"currency": "EUR"} if name in IN_EURO else {})}.items())): pytest.approx(
                value, rel=0.001
            )
        }
        for name, (_, value) in KINDS.items()
    } == got


def _is_counter(name: str) -> bool:
    return name.startswith("business_")


@pytest.mark.parametrize(
    ("name", "metric", "label"),
    [
        ("business.operation.duration", "business_operation_duration", "business_operation_duration"),
        ("stock.value-now/x", "stock_value_now_x", "stock_value_now_x"),
        ("_a..b__c_", "a_b_c", "key_a__b__c_"),
        ("2nd", "_2nd", "key_2nd"),
    ],
)
def test_names_are_those_of_the_otlp_receiver(name: str, metric: str, label: str) -> None:
    """
    Names of metrics lose extraneous underscores, names of labels keep them, and no name begins with a digit.
    """
    assert (metric, label) == (metric_name(name), label_name(name))
