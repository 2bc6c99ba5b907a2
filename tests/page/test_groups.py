"""Tables of customers' facts show no smaller groups than KPIs do; what is no money is none."""

from __future__ import annotations

import re
from pathlib import Path

from bizspan import names
from bizspan.kpi import KPI, Calendar, SqliteSource, Sum, evaluate
from bizspan.lens import Lens
from bizspan.page import add_page
from bizspan.page._filter import NOT_TOLD
from tests.page.reading import shown
from tests.page.shop import DAY, event, sold
from tests.page.small_day import AT, checkout, table


def test_groups_are_as_small_as_those_of_kpis(tmp_path: Path) -> None:
    """
    One customer alone is not shown, nor a group that gives it away; how many are not is said, also in the CSV.
    """
    revenue = KPI("revenue", Sum("revenue"), owner="ann", meaning="m", by=("country",))
    with Lens(tmp_path / "lens.db") as lens:
        add_page(lens, [revenue])
        lens.start(0)
        sales = [("DE", "EUR")] * 9 + [("AT", "EUR")] * 6 + [("LI", "EUR")] + [("DE", "CHF")] * 2 + [("US", "USD")] * 5
        for number, (country, code) in enumerate(sales):
            facts = {**checkout(country=country), **sold(1000 + number, code)}
            event(lens.intake, f"u-{number}", AT + number * 10**9, facts)
        answer = evaluate(revenue, SqliteSource(lens.store.path), Calendar().read("2026-09-21..2026-09-23", AT * 2))
        read = shown(lens, f"/?{DAY}")
        filtered_by = shown(lens, f"/?{DAY}&outcome=success&channel={NOT_TOLD}")
        found = table(lens, "country")

    assert {("DE", "EUR"), ("US", "USD")} == {(str(each.group[0][1]), each.currency) for each in answer.groups}
    assert [
        ["Country", "Revenue EUR", "Revenue USD", "Revenue CHF", "Operations", "Success"],
        ["DE", "90.36", "–", "few", "11", "100.0 %"],
        ["AT", "few", "–", "–", "6", "100.0 %"],
        ["US", "–", "51.00", "–", "few", "few"],
    ] == read.tables["country"]
    assert read.tables["country"] == filtered_by.tables["country"]
    said = "1 group is too small to be shown, and 3 are shown in part: fewer than 5 records"
    assert said in read.text and found[-1][0].startswith(said)
    assert ["DE", "90.36", "", "few", "11", "11", "11"] == found[1]
    assert {len(found[0])} == {len(row) for row in found}
    assert "LI" not in {cell for row in found for cell in row}


def test_a_live_page_says_why_it_shows_no_group_yet(lens: Lens) -> None:
    """
    After the first sales the totals stand there, and each table says what it waits for.
    """
    for number in range(3):
        event(lens.intake, f"u-{number}", AT, {**checkout(segment="smb", country="DE"), **sold(4200, "EUR")})

    read = shown(lens, f"/?{DAY}")

    assert "126.00 EUR" in read.text
    assert "1 group is too small to be shown: fewer than 5 records" in read.text
    assert not {"segment", "country"} & read.tables.keys()


def test_what_is_no_currency_is_no_money(tmp_path: Path) -> None:
    """
    It is missing, in the number that KPIs say; read from the minutes, from the events, and over time.
    """
    revenue = KPI("revenue", Sum("revenue"), owner="ann", meaning="m")
    with Lens(tmp_path / "lens.db") as lens:
        add_page(lens, [revenue])
        lens.start(0)
        for number, code in enumerate(("XXQ", "nok", "NOK", "", "OTHER", "NOK", "NOK", "NOK", "NOK")):
            told = sold(1250, code) if code else {names.AMOUNT_INVALID_KEYS[names.REVENUE]: "inexact"}
            facts = {**checkout(segment="smb", country="NO"), names.OPERATION_DURATION: 0.2, **told}
            event(lens.intake, f"u-{number}", AT + number * 10**9, facts)
        event(lens.intake, "lost", AT, {**checkout(names.FAILED, segment="smb", country="NO"), **sold(1250, "XXQ")})
        kpis = shown(lens, f"/kpis?{DAY}").text
        pages = [
            shown(lens, f"{path}?{DAY}{query}")
            for path in ("/", "/technical", "/events", "/features")
            for query in ("", "&segment=smb", "&segment=smb&country=NO")
        ]
        heads = [table(lens, name)[0] for name in ("country", "series", "outcomes", "cost")]

    assert "Amounts missing4" in kpis and "62.50 NOK" in kpis
    for read in pages[:3]:
        assert "Amounts missing4 " in read.text
        assert "62.50 NOK" in read.text
        assert ["Country", "Revenue NOK", "Operations", "Success"] == read.tables["country"][0]
    for read in pages:
        assert not re.search(r"Revenue (XXQ|nok|OTHER)|[0-9] (XXQ|nok|OTHER)", read.text)
    assert not {"XXQ", "nok", "OTHER"} & {title.split()[-1] for head in heads for title in head}


def test_the_group_that_is_left_out_beside_a_small_one_is_that_of_kpis(tmp_path: Path) -> None:
    """
    Of two that are as large: otherwise the page would show what the KPI hides, and the small one be the difference.
    """
    revenue = KPI("revenue", Sum("revenue"), owner="ann", meaning="m", by=("country",))
    with Lens(tmp_path / "lens.db") as lens:
        add_page(lens, [revenue])
        lens.start(0)
        for number, country in enumerate((*["DE"] * 6, *[""] * 6, *["FR"] * 6, "LI")):
            facts = {**checkout(**({"country": country} if country else {})), **sold(1000, "EUR")}
            event(lens.intake, f"u-{number}", AT + number * 10**9, facts)
        answer = evaluate(revenue, SqliteSource(lens.store.path), Calendar().read("2026-09-21..2026-09-23", AT * 2))
        lines = table(lens, "country")[1:-1]

    assert {each.group[0][1] or "" for each in answer.groups} == {line[0] for line in lines}
    assert 2 == len(lines)
