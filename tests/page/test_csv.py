"""CSV: the tables of KPIs, the funnel, and what a spreadsheet makes of them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from bizspan import names
from bizspan.kpi import KPI, Count, Ratio, Sum, operations
from bizspan.lens import Lens
from bizspan.page import add_page
from tests.lens.asking import ask
from tests.page.reading import shown
from tests.page.shop import DAY, event, sold
from tests.page.small_day import AT, checkout, table


def test_the_table_of_a_kpi_is_there_as_csv(tmp_path: Path) -> None:
    """
    All of its groups, of which the page shows eight and says how many more there are; with the page's filters.
    """
    rate = KPI("rate", Ratio(Count(operations("checkout", outcome="success")), Count(operations("checkout"))),
               owner="ann", meaning="m", by=("country",))  # fmt: skip
    revenue = KPI("revenue", Sum("revenue"), owner="ann", meaning="m", by=("country",))
    with Lens(tmp_path / "lens.db") as lens:
        add_page(lens, [rate, revenue])
        lens.start(0)
        for number in range(11 * 6):
            facts = {**checkout(country=f"{'=X'[number // 6 == 3]}{number // 6}", segment="smb"), **sold(1000, "EUR")}
            event(lens.intake, f"u-{number}", AT + number * 10**9, facts)
        event(lens.intake, "one", AT, {**checkout(country="LI", segment="smb"), **sold(1000, "EUR")})
        read = shown(lens, f"/kpis?{DAY}&segment=smb")
        links = [str(told["href"]) for _, told in read.tags if told.get("class") == "csv"]
        rates, money = (
            [*csv.reader(io.StringIO(ask(lens, link, method="GET").body.decode(), newline=""))] for link in links
        )
        too_many = shown(lens, f"/csv/kpi-rate?{DAY}&segment=a&country=b&plan=c&campaign=d&order_id=e", 400).text

    assert [f"/csv/kpi-rate?{DAY}&segment=smb", f"/csv/kpi-revenue?{DAY}&segment=smb"] == links
    assert (2, 2) == (read.text.count("more; see the CSV"), read.text.count("3 groups are too small to be shown."))
    assert ["country", "Value", "n", "From (95 %)", "To (95 %)"] == rates[0]
    assert ["country", "Currency", "Value", "n"] == money[0]
    assert 1 + 9 + 1 == len(rates) == len(money)
    assert "at most 4 filters" in too_many


def test_a_funnel_is_there_as_csv(lens: Lens) -> None:
    """
    Of the steps, the subject and the window that the page has.
    """
    for number, names_of in enumerate((("view", "cart", "buy"), ("view", "cart"), ("view",))):
        for at, name in enumerate(names_of):
            facts = {**checkout(), names.OPERATION_NAME: name, names.CUSTOMER: f"c{number}"}
            event(lens.intake, f"{number}-{name}", AT + at * 10**9, facts)

    read = shown(lens, f"/funnel?{DAY}&steps=view,cart,buy&window=7d")
    link = next(str(told["href"]) for _, told in read.tags if told.get("class") == "csv")

    assert f"/csv/funnel?{DAY}&steps=view%2Ccart%2Cbuy&subject=customer&window=7d" == link
    assert [
        ["Step", "Reached", "Of the first count", "Of the first of", "Of the one before count", "Of the one before of"],
        ["view", "3", "3", "3", "", ""],
        ["cart", "2", "2", "3", "2", "3"],
        ["buy", "1", "1", "3", "1", "2"],
    ] == table(lens, "funnel", link.partition("?")[2])
    assert "two steps or more" in shown(lens, f"/csv/funnel?{DAY}", 400).text


@pytest.mark.parametrize("value", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1+1"])
def test_a_spreadsheet_runs_no_formula(lens: Lens, value: str) -> None:
    """
    A text that looks like one has a ' before it; numbers stay numbers.
    """
    for number in range(5):
        facts = {**checkout(segment=value, country=value, reason=value), **sold(-100, "EUR")}
        event(lens.intake, f"f-{number}", AT, facts)

    assert [f"'{value}", "-5.00", "5", "5", "5"] == table(lens, "segment")[1]
    assert f"'{value}" == table(lens, "events")[1][3]
