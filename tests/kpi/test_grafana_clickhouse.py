"""What panels of Grafana get from ClickHouse: the figures that plain evaluation gives of the same events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bizspan import names
from bizspan._currencies import EXPONENTS
from bizspan.kpi import Calendar, Retention, evaluate
from bizspan.kpi._grafana_sql import panel_sql, trend_sql
from bizspan.kpi._promql import NotExpressible
from tests.kpi.cases import DEFINITIONS
from tests.kpi.cases import kpi as declared_kpi
from tests.kpi.stores import HAS_CHDB, NO_CHDB, ChdbSource, Point, Told, sqlite_store

DAY_2026 = Calendar().read("2026-03-02", 0)
SQL_KINDS = [name for name, (of, _) in DEFINITIONS.items() if not isinstance(of, Retention) and name != "converted"]


@pytest.mark.skipif(not HAS_CHDB, reason=NO_CHDB)
def test_panels_over_clickhouse_get_the_figures(tmp_path: Path) -> None:
    """
    Each statement gives, for the dashboard's time, what `evaluate` says of the same events, by group too.
    """
    told, points = _told()
    sqlite = sqlite_store(tmp_path / "store.db", told, points)
    clickhouse = ChdbSource()
    clickhouse.load(told, points)
    period = DAY_2026

    for name in SQL_KINDS:
        declared = declared_kpi(name)
        for by in ((), declared.by):
            answer = evaluate(declared, sqlite, period, by=by)
            figures = answer.groups if by else answer.total
            expected = {
                (each.currency or "", *(value for _, value in each.group)): pytest.approx(
                    float(each.value), abs=0.5001 * 10.0 ** -EXPONENTS[each.currency] if declared.is_money else 1e-9
                )  # money there is rounded
                for each in figures
                if each.value is not None
            }
            sql = panel_sql(declared, by)
            for variable, at in (("${__from}", period.since_ns), ("${__to}", period.until_ns)):
                sql = sql.replace(variable, str(at // 1_000_000))
            selected = sql.partition("\n")[0].removeprefix("SELECT ").split(", ")
            columns = [column.rpartition(" AS ")[2].strip('"') for column in selected]
            got: dict[Any, float] = {}
            for row in clickhouse.ask(sql):
                cells = dict(zip(columns, row, strict=True))
                key = ((cells.get("currency") or ""), *(cells[fact] for fact in by))
                if cells["value"] is not None:
                    got[key] = float(cells["value"])
            assert expected == got, (name, by, sql)


@pytest.mark.skipif(not HAS_CHDB, reason=NO_CHDB)
def test_trends_over_clickhouse_are_of_the_calendars_days(tmp_path: Path) -> None:
    """
    Each day of the KPIs' time zone has the value that `evaluate` gives for it.
    """
    told, _ = _told()
    sqlite = sqlite_store(tmp_path / "store.db", told)
    clickhouse = ChdbSource()
    clickhouse.load(told)
    tokyo = Calendar("Asia/Tokyo")
    compared = 0

    for name in SQL_KINDS:
        declared = declared_kpi(name)
        try:
            sql = trend_sql(declared, "Asia/Tokyo")
        except NotExpressible:
            continue
        compared += 1
        expected: dict[Any, Any] = {}
        for day in tokyo.split(DAY_2026, "day"):
            answer = evaluate(declared, sqlite, day, by=())
            start = tokyo.around(day.since_ns, "day").since_ns // 1_000_000_000
            rounding = 0.5001 if declared.is_money else 1e-9
            expected |= {
                (start, each.currency): pytest.approx(float(each.value), abs=rounding)
                for each in answer.total
                if each.value is not None and each.n
            }
        for variable, at in (("${__from}", DAY_2026.since_ns), ("${__to}", DAY_2026.until_ns)):
            sql = sql.replace(variable, str(at // 1_000_000))
        rows = clickhouse.ask(f"SELECT toUnixTimestamp(time) AS at, * FROM (\n{sql}\n)")
        got = {(int(row[0]), row[2] if len(row) == 4 else ""): float(row[-1]) for row in rows if row[-1] is not None}
        assert expected == got, (name, sql)

    assert compared > 20


def _told() -> tuple[list[Told], list[Point]]:
    """A day of a shop: three currencies, retries, bots, and some that tell no country."""
    minute = 60 * 1_000_000_000
    told: list[Told] = []
    for index in range(240):
        outcome = ("success", "success", "failed")[index % 3]
        country = ("DE", "AT", None, "FR")[index % 4]
        currency, minor = (("EUR", 1999), ("JPY", 500), ("BHD", 12345))[index % 5 % 3]
        facts: dict[str, Any] = {
            names.OPERATION_NAME: ("basket", "checkout")[index % 2],
            names.OPERATION_OUTCOME: outcome,
            names.OPERATION_DURATION: index / 16,
            names.CUSTOMER: f"c-{index % 17}",
            names.ORDER: f"o-{index // 3}",
            names.TRAFFIC: "bot" if index % 29 == 0 else "customer",
            names.CURRENCY_KEYS[names.REVENUE]: currency,
            names.MINOR_UNITS_KEYS[names.REVENUE]: minor + index,
        }
        if country:
            facts[names.COUNTRY] = country
        at = DAY_2026.since_ns + index * 5 * minute
        told.append(Told(f"u-{index}", at, names.EVENT_OPERATION, facts, copies=1 + index % 2))
        if index % 10 == 0:
            refund = {names.CURRENCY_KEYS[names.REFUND]: currency, names.MINOR_UNITS_KEYS[names.REFUND]: 100 + index,
                      names.ORDER: f"o-{index // 3}", names.COUNTRY: "DE"}  # fmt: skip
            told.append(Told(f"r-{index}", at + 1, names.EVENT_REFUND, refund))
        if index % 7 == 0:
            answer = {names.FEEDBACK_NAME: "nps", names.FEEDBACK_SCORE: float(index % 11), names.COUNTRY: "AT"}
            told.append(Told(f"f-{index}", at + 2, names.EVENT_FEEDBACK, answer))
        if index % 6 == 0:
            told.append(Told(f"s-{index}", at - minute, "signup", {names.CUSTOMER: f"c-{index % 17}"}))
    points = [
        Point(DAY_2026.until_ns - 10 * minute, "mrr", 100.0 + index, service, {names.PLAN: plan, **money})
        for index, (service, plan, money) in enumerate(
            (service, plan, {names.CURRENCY_KEYS[names.VALUE]: "EUR"})
            for service in ("shop", "worker")
            for plan in ("pro", "free")
        )
    ]
    return told, points
