"""What is put together without a sort has the rows of the statement, in the same order."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings

from bizspan import names
from bizspan.kpi import (
    KPI,
    Conversion,
    Distinct,
    Period,
    Quantile,
    SqliteSource,
    Statement,
    _slices,
    events,
    operations,
    statements,
)
from bizspan.kpi import _fold as fold
from bizspan.kpi import _folds as folds
from tests.kpi import strategies
from tests.kpi.cases import DEFINITIONS, SHOP, kpi
from tests.kpi.stores import Told, sqlite_store
from tests.kpi.strategies import BERLIN, DAY, HOUR

MINUTE = 60 * 10**9
COUNTRY = names.COUNTRY
_QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
_FOLDED = {"average_order_value", "conversion", "distinct", "quantile", "retention"}


def asked(of: KPI, source: SqliteSource, by: Sequence[str] | None = None) -> tuple[Statement, ...]:
    return statements(
        of, source, DAY, calendar=BERLIN, by=of.by if by is None else by, as_of_ns=DAY.until_ns + 3 * HOUR
    )


def run(source: SqliteSource, told: Sequence[Statement]) -> list[list[Any]]:
    with closing(sqlite3.connect(source.path)) as database:
        return [database.execute(each.sql, dict(each.parameters)).fetchall() for each in told]


def test_what_is_told_apart_by_subject_is_not_sorted() -> None:
    """
    Each kind that needs it is put together, where its facts are texts; what only counts and adds is SQL.
    """
    nowhere = SqliteSource("nowhere.db")

    found = {name for name in DEFINITIONS if any(fold.worth([each.fold for each in asked(kpi(name), nowhere, ())]))}

    # Points have no column: a value in JSON may also be a text.
    assert {name for name in DEFINITIONS if kpi(name).kind in _FOLDED} - {"points"} <= found
    assert not {name for name in found if kpi(name).kind in ("count", "recurring")}


@pytest.mark.fuzz
@pytest.mark.parametrize("size", [2, 50_000])
@settings(max_examples=settings().max_examples // 4, suppress_health_check=_QUIET)
@given(told=strategies.told())
def test_rows_are_those_of_the_statement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Told], size: int
) -> None:
    """
    Of every kind, by group and over all, read at once or in many slices, with moments that several events share.
    """
    monkeypatch.setattr(_slices, "SLICE", size)
    source = sqlite_store(tmp_path / "store.db", told)

    for name in DEFINITIONS:
        note(name)
        of = kpi(name)
        both = (*asked(of, source, ()), *(asked(of, source) if of.by else ()))
        assert run(source, both) == source.rows(both)


def visit(number: int, time_ns: int, customer: str, operation: str, **more: Any) -> Told:
    facts = {
        "business.operation.name": operation, "business.operation.outcome": "success", "enduser.pseudo.id": customer,
        **more,
    }  # fmt: skip
    return Told(f"u-{number}", time_ns, "business.operation", facts)


@pytest.mark.parametrize("odd", ["\x1f", "\x1e", "a\x1fb", "", "\x00", "ä\x1e", "NULL"])
def test_values_that_look_like_what_parts_them_are_told_apart(tmp_path: Path, odd: str) -> None:
    """
    Customers and countries with the very characters that stand between values, beside missing ones.
    """
    places = [("a", odd), (odd, "DE"), ("b", None), (odd, odd), ("a", None)]
    told = [
        visit(n, DAY.since_ns + n * MINUTE, customer, "checkout", **({} if country is None else {COUNTRY: country}))
        for n, (customer, country) in enumerate(places)
    ]
    source = sqlite_store(tmp_path / "store.db", told)
    of = KPI("who", Distinct("customer", operations("checkout")), owner="shop", meaning="Who came.", by=("country",))

    both = (*asked(of, source, ()), *asked(of, source))
    assert run(source, both) == source.rows(both)
    assert 3 == source.rows(both)[0][0][0]


def test_beyond_what_memory_is_for_the_statement_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With more subjects than are kept in memory, the answer is the same, and SQLite's.
    """
    told = [visit(n, DAY.since_ns + n * MINUTE, f"c-{n % 9}", "checkout") for n in range(30)]
    source = sqlite_store(tmp_path / "store.db", told)
    of = KPI("who", Distinct("customer", operations("checkout")), owner="shop", meaning="Who came.")
    before = source.rows(asked(of, source))

    monkeypatch.setattr(folds, "KEYS_MOST", 8)
    refused: list[str] = []
    monkeypatch.setattr(fold.Folder, "rows", _noting(fold.Folder.rows, refused))

    assert before == source.rows(asked(of, source))
    assert [(9, 9)] == before[0]
    assert ["CantFold"] == refused


def _noting(rows: Any, refused: list[str]) -> Any:
    def noted(*told: Any) -> Any:
        try:
            return rows(*told)
        except Exception as error:
            refused.append(type(error).__name__)
            raise

    return noted


def test_a_quantile_is_one_of_the_values(tmp_path: Path) -> None:
    """
    Durations that are the same in billionths of a second, far beyond, or zero: the exact one at the rank is told.
    """
    seconds = [0.0, 1e-12, 2e-12, 0.1, 0.1 + 1e-11, 0.1 + 2e-11, 0.3, 7e9, 1e11, 3e11]
    told = [
        visit(n, DAY.since_ns + n * MINUTE, "a", "checkout", **{"business.operation.duration": each})
        for n, each in enumerate(reversed(seconds))
    ]
    source = sqlite_store(tmp_path / "store.db", told)

    for number, value in enumerate(seconds, 1):
        part = number / len(seconds) if number < len(seconds) else 0.99
        of = KPI("slow", Quantile(part, of=operations("checkout")), owner="shop", meaning="How slow.")
        (found, _) = source.rows(asked(of, source))
        assert [(value, len(seconds))] == found


@pytest.mark.parametrize("reentry", ["first", "each"])
def test_entries_at_one_moment_count_by_the_first_row(tmp_path: Path, reentry: Any) -> None:
    """
    What happens at the moment of an entry belongs to it; of two entries then, the first row tells the group.
    """
    at = DAY.since_ns + HOUR
    told = [
        visit(0, at, "a", "checkout", **{COUNTRY: "NL"}),
        visit(1, at, "a", "basket", **{COUNTRY: "FR"}),
        visit(2, at, "a", "basket", **{COUNTRY: "DE"}),
        visit(3, at + 1, "a", "basket", **{COUNTRY: "AT"}),
        visit(4, at + 1, "a", "checkout", **{COUNTRY: "AT"}),
    ]
    source = sqlite_store(tmp_path / "store.db", told)
    steps = (operations("basket"), operations("checkout"))
    of = KPI("paid", Conversion(steps, reentry=reentry), owner="shop", meaning="Who paid.", by=("country",))

    (found, _) = source.rows(asked(of, source))

    assert run(source, asked(of, source))[0] == found
    assert ("FR", 1, 1, 0) == found[0] if reentry == "first" else ("DE", 1, 1, 0) in found


@pytest.mark.parametrize("reentry", ["first", "each"])
@pytest.mark.parametrize("start_ns", [0, 95, 10**18 - 5, DAY.since_ns])
def test_moments_of_any_length_come_in_turn(tmp_path: Path, start_ns: int, reentry: Any) -> None:
    """
    Just after 1970, and where one more digit is needed: each moment is what it is, not how it is written.
    """
    kinds = ["basket", "checkout", "basket", "basket", "checkout", "checkout"] * 4
    told = [
        visit(n, start_ns + n // 2 * 3, "abc"[n % 3], kind, **{COUNTRY: "DE" if n % 4 else "AT"})
        for n, kind in enumerate(kinds)
    ]
    source = sqlite_store(tmp_path / "store.db", told)
    steps = (operations("basket"), operations("checkout"))
    of = KPI("paid", Conversion(steps, window="1h", reentry=reentry), owner="shop", meaning="Who paid.")
    period = Period(start_ns, start_ns + 10**6, "span")

    for by in ((), ("country",)):
        both = statements(of, source, period, by=by, as_of_ns=period.until_ns)
        assert run(source, both) == source.rows(both)
        assert sum(row[-3] for row in source.rows(both)[0]) > 0


def test_a_conversion_may_have_more_steps_than_there_are_digits(tmp_path: Path) -> None:
    """
    Each of twenty steps is told apart from all others.
    """
    told = [
        visit(19 * n + step, DAY.since_ns + (19 * n + step) * MINUTE, f"c-{n}", f"step-{step}")
        for n in range(20)
        for step in range(n + 1)
    ]
    source = sqlite_store(tmp_path / "store.db", told)
    steps = tuple(operations(f"step-{step}") for step in range(20))
    of = KPI("far", Conversion(steps), owner="shop", meaning="How far they came.")

    (found, _) = source.rows(asked(of, source))

    assert run(source, asked(of, source))[0] == found
    assert [*range(20, 0, -1)] == [*found[0][:-1]]


@pytest.mark.parametrize("reentry", ["first", "each"])
@pytest.mark.parametrize(("other", "reads"), [("DE", 0), ("AT", 1)])
def test_rows_are_numbered_where_it_matters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str, reads: int, reentry: Any
) -> None:
    """
    Which row came first is only read where somebody entered twice at one moment, in different groups.
    """
    at = [DAY.since_ns + n // 4 * HOUR for n in range(40)]
    told = [
        visit(n, time_ns, f"c-{n // 2}", "checkout" if n % 4 == 3 else "basket", **{COUNTRY: "DE"})
        for n, time_ns in enumerate(at)
    ]
    told.append(visit(40, at[-1], "c-18", "basket", **{COUNTRY: other}))
    source = sqlite_store(tmp_path / "store.db", told)
    steps = (operations("basket"), operations("checkout"))
    of = KPI("paid", Conversion(steps, reentry=reentry), owner="shop", meaning="Who paid.", by=("country",))
    read: list[str] = []
    seldom = fold.Folder._seldom

    def noted(folder: fold.Folder, told: Any, often: Any, column: _slices.Column, found: Any) -> Any:
        read.append(column.sql)
        return seldom(folder, told, often, column, found)

    monkeypatch.setattr(fold.Folder, "_seldom", noted)

    (found, _) = source.rows(asked(of, source))

    assert run(source, asked(of, source))[0] == found
    assert ["id"] * reads == read


def test_facts_that_are_numbers_are_left_to_sqlite() -> None:
    """
    1, 1.0 and '1' are one value or three: SQLite says which.
    """
    nowhere = SqliteSource("nowhere.db")
    of = KPI("who", Distinct("customer", events("search.done")), owner="shop", meaning="Who.", vocabulary=SHOP)

    def are_put_together(by: Sequence[str]) -> list[bool]:
        return [each is not None for each in fold.worth([each.fold for each in asked(of, nowhere, by)])]

    assert [True, True] == are_put_together(())
    assert [False, False] == are_put_together(("points",))
