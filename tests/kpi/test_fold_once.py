"""What is put together without a sort reads events once, and keeps what is asked for."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bizspan import names
from bizspan.kpi import (
    KPI,
    AverageOrderValue,
    Conversion,
    Definition,
    Distinct,
    Quantile,
    Retention,
    Sum,
    operations,
    refunds,
)
from bizspan.kpi import _fold as fold
from bizspan.kpi import _folds as folds
from tests.kpi.stores import Told, sqlite_store
from tests.kpi.strategies import DAY
from tests.kpi.test_fold import MINUTE, asked, run, visit

_CHECKOUT = operations("checkout")
_BESIDE: dict[str, Definition] = {
    "average_order_value": AverageOrderValue(of=_CHECKOUT),
    "distinct": Distinct("customer", _CHECKOUT),
    "p95": Quantile(0.95, of=_CHECKOUT),
    "retention": Retention(_CHECKOUT, every="day", periods=1),
    "conversion": Conversion((operations("basket"), _CHECKOUT)),
    "dated": Sum("refund", refunds(), dated="order"),
}


def _counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is run beside the reading of columns."""
    ran: list[str] = []
    run_all = fold.Folder._all

    def noted(folder: fold.Folder, sql: str, parameters: Any) -> Any:
        ran.append(sql)
        return run_all(folder, sql, parameters)

    monkeypatch.setattr(fold.Folder, "_all", noted)
    return ran


@pytest.mark.parametrize("name", _BESIDE)
def test_what_is_said_beside_a_value_is_read_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """
    Events are read once, with those of bots, of nobody and without a duration: neither counts in the value.
    """
    kinds = ["basket", "checkout", "checkout"] * 10
    who: tuple[dict[str, Any], ...] = {names.TRAFFIC: "bot"}, {"enduser.pseudo.id": None}, {}
    told = [
        visit(
            n, DAY.since_ns + n * MINUTE, f"c-{n % 4}", kind,
            **{
                "business.revenue.minor_units": 100 + n, "business.revenue.currency": "EUR",
                "business.order.id": f"o-{n // 2}", "business.operation.duration": n / 7 if n % 3 else None,
            } | who[n % 5 % 3],
        )
        for n, kind in enumerate(kinds)
    ]  # fmt: skip
    told.append(Told("u-30", told[-1].time_ns + 1, names.EVENT_REFUND, {
        "business.order.id": "o-3", "business.refund.minor_units": 5, "business.refund.currency": "EUR",
    }))  # fmt: skip
    told = [
        replace(each, attributes={key: fact for key, fact in each.attributes.items() if fact is not None})
        for each in told
    ]
    source = sqlite_store(tmp_path / "store.db", told)
    of = KPI(name, _BESIDE[name], owner="shop", meaning="What is measured.")
    ran = _counting(monkeypatch)

    both = asked(of, source)
    found = source.rows(both)

    assert run(source, both) == found
    assert found[0]
    assert not [sql for sql in ran if not sql.startswith("SELECT duration_s")]


@pytest.mark.parametrize("more", [[], [0.1 + 1e-11]])
def test_durations_told_in_billionths_are_looked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[float]
) -> None:
    """
    They are divided back exactly, however large; a second look is only taken where one lies between two of them.
    """
    seconds = [each / 1e9 for each in (0, 1, 100_000_000, 299_999_999, 2**53 + 1, 9 * 10**18 + 511)] + more
    told = [
        visit(n, DAY.since_ns + n * MINUTE, "a", "checkout", **{"business.operation.duration": each})
        for n, each in enumerate(seconds)
    ]
    source = sqlite_store(tmp_path / "store.db", told)
    ran = _counting(monkeypatch)

    for number, value in enumerate(sorted(seconds)[:-1], 1):
        of = KPI(
            "slow",
            Quantile((number - 0.5) / len(seconds), of=operations("checkout")),
            owner="shop",
            meaning="How slow.",
        )
        assert [(value, len(seconds))] == source.rows(asked(of, source))[0]

    assert bool(more) == bool(ran)


def test_only_sales_that_are_asked_for_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of more sales than memory is for: those of the orders that were refunded, whether sold once, twice or later.
    """

    def sale(number: int, order: str, at: int) -> Told:
        facts = {
            "business.order.id": order, "business.revenue.minor_units": 500, "business.revenue.currency": "EUR",
        }  # fmt: skip
        return visit(number, DAY.since_ns + at * MINUTE, "a", "checkout", **facts)

    def refund(number: int, order: str, at: int) -> Told:
        facts = {"business.order.id": order, "business.refund.minor_units": 7, "business.refund.currency": "EUR"}
        return Told(f"u-{number}", DAY.since_ns + at * MINUTE, names.EVENT_REFUND, facts)

    told = [sale(n, f"o-{n}", n) for n in range(40)]
    told += [sale(40, "o-3", -3 * 60 * 24), sale(41, "late", 90)]
    told += [refund(42 + n, order, 60 + n) for n, order in enumerate(["o-2", "o-3", "late", "never"])]
    source = sqlite_store(tmp_path / "store.db", told)
    of = KPI("back", Sum("refund", refunds(), dated="order"), owner="shop", meaning="What was refunded.")
    monkeypatch.setattr(folds, "KEYS_MOST", 8)

    both = asked(of, source)
    with closing(sqlite3.connect(source.path, check_same_thread=False)) as database:
        folder = fold.Folder(database)
        found, _ = folder.rows([each.fold for each in both if each.fold is not None], [])
        folder.close()

    assert run(source, both) == found
    assert [("EUR", 14, 2)] == found[0]
