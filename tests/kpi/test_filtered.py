"""KPIs over what a filter leaves: the values, and what they must not give away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bizspan import names
from bizspan.errors import SetupError
from bizspan.kpi import KPI, Count, Filter, SqliteSource, Sum, evaluate, filtered, operations
from bizspan.kpi._words import in_words
from tests.kpi.cases import DEFINITIONS, kpi
from tests.kpi.stores import HAS_CHDB, NO_CHDB, ChdbSource, Told, sqlite_store
from tests.kpi.strategies import BERLIN, DAY, HOUR, told

NOW = DAY.until_ns + 40 * HOUR
FILTERABLE = [name for name in DEFINITIONS if kpi(name).kind not in ("retention", "recurring")]
ORDERS = KPI("orders", Count(operations("checkout")), owner="shop", meaning="Orders.")


def sale(number: int, traffic: str = "", **facts: str) -> Told:
    keys = {"country": names.COUNTRY, "segment": names.SEGMENT}
    attributes: dict[str, Any] = {
        names.OPERATION_NAME: "checkout", names.OPERATION_OUTCOME: "success",
        names.MINOR_UNITS_KEYS[names.REVENUE]: 1000,
        names.CURRENCY_KEYS[names.REVENUE]: "EUR",
    }  # fmt: skip
    attributes |= {keys[name]: value for name, value in facts.items()} | ({names.TRAFFIC: traffic} if traffic else {})
    return Told(f"u-{number}", DAY.since_ns + number, names.EVENT_OPERATION, attributes)


def shop(path: Path, sizes: Mapping[tuple[str, str, str], int]) -> SqliteSource:
    """So many sales by country, segment and traffic."""
    wanted = [cell for cell, size in sizes.items() for _ in range(size)]
    return sqlite_store(
        path,
        (
            sale(number, traffic, country=country, segment=segment)
            for number, (country, segment, traffic) in enumerate(wanted)
        ),
    )


@pytest.mark.parametrize("name", FILTERABLE)
@given(events=told(), country=st.sampled_from(["DE", "AT", None]))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_filtered_kpi_is_the_group_of_its_breakdown(
    tmp_path: Path, name: str, events: list[Told], country: str | None
) -> None:
    """
    Of every kind, also of what does not tell the fact; of a conversion, by where it was entered.
    """
    source = sqlite_store(tmp_path / "store.db", events)
    measured = kpi(name)

    answer = filtered(measured, source, DAY, Filter((("country", country),)), calendar=BERLIN, as_of_ns=NOW)
    whole = evaluate(measured, source, DAY, calendar=BERLIN, by=("country",), as_of_ns=NOW)

    expected = {each.currency: each.value for each in whole.groups if each.group == (("country", country),)}
    found = {each.currency: each.value for each in answer.total}
    assert expected == {currency: value for currency, value in found.items() if currency in expected}
    assert not any(value for currency, value in found.items() if currency not in expected)
    assert 0 == answer.withheld


@pytest.mark.skipif(not HAS_CHDB, reason=NO_CHDB)
def test_clickhouse_filters_as_sqlite_does(tmp_path: Path) -> None:
    """
    By a value, by what is not told, and by everybody's traffic.
    """
    events = [sale(n, "bot" if n % 5 == 0 else "", **({"country": "DE"} if n % 3 else {})) for n in range(90)]
    engines = ChdbSource(), sqlite_store(tmp_path / "store.db", events)
    engines[0].load(events)

    for by in (Filter((("country", "DE"),)), Filter((("country", None),)), Filter((("country", None),), "all")):
        one, other = (filtered(ORDERS, source, DAY, by, calendar=BERLIN, as_of_ns=NOW) for source in engines)
        assert one.total == other.total
        assert one.total[0].n


def test_the_definition_and_the_sql_have_the_filter(tmp_path: Path) -> None:
    """
    So that whoever opens a figure sees what it is of.
    """
    source = shop(tmp_path / "store.db", {("DE", "smb", ""): 20, ("AT", "smb", ""): 20})

    by = Filter((("country", "DE"), ("campaign", None)), "all")
    answer = filtered(ORDERS, source, DAY, by, calendar=BERLIN, as_of_ns=NOW)

    assert 20 == answer.total[0].value
    assert "country = 'DE'" in answer.statements[0].text
    assert "campaign IS NULL" in answer.statements[0].text
    assert 'operations "checkout" where campaign is not told and country is DE' in in_words(answer.kpi.of)


def test_a_target_of_all_records_is_not_held_against_some(tmp_path: Path) -> None:
    """
    A rate's is; that of a sum is of everything.
    """
    revenue = KPI("revenue", Sum(), owner="shop", meaning="x", target={"EUR": 10}, per="day")
    source = shop(tmp_path / "store.db", {("DE", "smb", ""): 20})

    assert {} == filtered(revenue, source, DAY, Filter((("country", "DE"),)), as_of_ns=NOW).kpi.targets
    assert revenue.targets == filtered(revenue, source, DAY, Filter(), as_of_ns=NOW).kpi.targets


@pytest.mark.parametrize("name", ["retention", "mrr"])
def test_what_is_not_filtered_says_so(tmp_path: Path, name: str) -> None:
    """
    It is not shown as if it were.
    """
    source = shop(tmp_path / "store.db", {})

    with pytest.raises(SetupError, match="is not filtered; remove the filters"):
        filtered(kpi(name), source, DAY, Filter((("country", "DE"),)), as_of_ns=NOW)
    with pytest.raises(SetupError, match="at most 4 facts"):
        filtered(ORDERS, source, DAY, Filter(tuple((f"a.{n}", "x") for n in range(5))), as_of_ns=NOW)


# --- small numbers ----------------------------------------------------------------------------------------------------


def number(source: SqliteSource, *where: tuple[str, str], traffic: str = "", measured: KPI = ORDERS) -> int | None:
    """What the page shows; None where it does not."""
    answer = filtered(measured, source, DAY, Filter(where, traffic), calendar=BERLIN, as_of_ns=NOW)
    if answer.withheld:
        assert (None, (), 0) == (answer.hidden, answer.groups, answer.suppressed)
        return None
    return int(answer.total[0].value or 0) if answer.total else 0


def test_a_small_group_is_not_shown_nor_its_complement(tmp_path: Path) -> None:
    """
    Nor as many others as it takes so that it can't be worked out. What is not there at all is 0.
    """
    sizes = {("DE", "smb", ""): 60, ("AT", "smb", ""): 38, ("CH", "smb", ""): 2, ("FR", "smb", ""): 9}
    source = shop(tmp_path / "store.db", sizes)
    complement = shop(tmp_path / "other.db", {("DE", "smb", ""): 60, ("CH", "smb", ""): 2})

    assert (60, 38, None, None, 0) == tuple(number(source, ("country", each)) for each in ("DE", "AT", "CH", "FR", "X"))
    assert (None, None) == tuple(number(complement, ("country", each)) for each in ("DE", "CH"))
    assert 62 == number(complement, ("segment", "smb"))


def test_a_small_traffic_is_not_what_remains(tmp_path: Path) -> None:
    """
    Everybody less the customers is the others: with three of them, everybody's figure is not shown.
    """
    few = shop(tmp_path / "few.db", {("DE", "smb", ""): 60, ("DE", "smb", "staff"): 3})
    many = {("DE", "smb", ""): 60, ("DE", "smb", "staff"): 7, ("DE", "smb", "bot"): 30, ("AT", "smb", "bot"): 3}
    source = shop(tmp_path / "many.db", many)

    assert (60, None, None) == tuple(number(few, traffic=each) for each in ("", "all", "staff"))
    assert (60, 100, 7, 33) == tuple(number(source, traffic=each) for each in ("", "all", "staff", "bot"))
    assert 100 == number(source, ("segment", "smb"), traffic="all")
    assert [None, None] == [number(source, ("country", each), traffic="all") for each in ("DE", "AT")]


_cells = st.dictionaries(
    st.tuples(st.sampled_from(["DE", "AT", "CH"]), st.sampled_from(["smb", "ent", "edu"]), st.just("")),
    st.sampled_from([1, 2, 4, 5, 6, 9, 12, 20]),
    min_size=1,
)


# The breakdown hides none of Germany's groups, the one by country hides Germany: their sum would give CH away.
_HARD = {
    ("DE", "ent", ""): 8, ("DE", "smb", ""): 30, ("DE", "edu", ""): 40,
    ("AT", "ent", ""): 5, ("AT", "smb", ""): 20, ("AT", "edu", ""): 60,
    ("FR", "ent", ""): 6, ("FR", "smb", ""): 21, ("FR", "edu", ""): 70, ("CH", "ent", ""): 3,
}  # fmt: skip


@example(sizes=_HARD, by=("country", "segment"))
@given(sizes=_cells, by=st.sampled_from([(), ("country",), ("country", "segment"), ("segment", "country")]))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_small_group_follows_from_all_pages_together(
    tmp_path: Path, sizes: dict[tuple[str, str, str], int], by: tuple[str, ...]
) -> None:
    """
    Whoever loads the page with every filter, and adds and subtracts whatever it shows, gets no group below the minimum.
    """
    source = shop(tmp_path / "store.db", sizes)
    measured = KPI("orders", Count(operations("checkout")), owner="shop", meaning="x",
                   by=by)  # fmt: skip
    countries, segments = sorted({cell[0] for cell in sizes}), sorted({cell[1] for cell in sizes})
    cells = list(product(countries, segments))
    shown: list[set[tuple[str, str]]] = []
    small: list[set[tuple[str, str]]] = []
    for country, segment in product([*countries, ""], [*segments, ""]):
        where = tuple((name, value) for name, value in (("country", country), ("segment", segment)) if value)
        mine = {cell for cell in cells if country in ("", cell[0]) and segment in ("", cell[1])}
        size = sum(sizes.get((*cell, ""), 0) for cell in mine)
        answer = filtered(measured, source, DAY, Filter(where), calendar=BERLIN, as_of_ns=NOW)
        shown += [] if answer.withheld else [mine]
        for each in answer.groups:
            told = dict(each.group)
            shown.append({cell for cell in mine if told.get("country", cell[0]) == cell[0]
                          and told.get("segment", cell[1]) == cell[1]})  # fmt: skip
        if where and 0 < size < 5:
            assert answer.withheld
            # That which is everything stands on the page without a filter.
            small += [] if len(mine) == len(cells) else [mine]

    for group in small:
        assert not follows(group, shown, cells), (group, shown)


def follows(group: set[tuple[str, str]], shown: Iterable[set[tuple[str, str]]], cells: list[tuple[str, str]]) -> bool:
    """Whether a sum over these cells is a combination of the sums that are shown."""
    rows: list[list[Fraction]] = []

    def reduced(row: list[Fraction]) -> list[Fraction]:
        for known in rows:
            at = next(index for index, value in enumerate(known) if value)
            row = [value - row[at] / known[at] * other for value, other in zip(row, known, strict=True)]
        return row

    for each in shown:
        row = reduced([Fraction(cell in each) for cell in cells])
        if any(row):
            rows.append(row)
    return not any(reduced([Fraction(cell in group) for cell in cells]))
