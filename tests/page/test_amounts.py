"""Amounts that are none, and amounts that are too many: what the page says of them is what KPIs say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bizspan import names
from bizspan.kpi import KPI, Sum
from bizspan.lens import Lens
from bizspan.page import add_page
from tests.lens.asking import ask
from tests.page.reading import shown
from tests.page.shop import DAY, event, sold
from tests.page.small_day import AT, checkout

MINOR, CURRENCY = names.MINOR_UNITS_KEYS[names.REVENUE], names.CURRENCY_KEYS[names.REVENUE]
INVALID = names.AMOUNT_INVALID_KEYS[names.REVENUE]
REVENUE = KPI("revenue", Sum("revenue"), owner="ann", meaning="m")
QUERIES = (
    "",
    "&segment=smb",
    "&segment=smb&country=NO",
)  # minutes; events, with the minutes' series; events


def started(path: Path, *amounts: dict[str, Any]) -> Lens:
    """A lens with a page, and a checkout for each of these amounts, a minute apart."""
    lens = Lens(path / "lens.db")
    add_page(lens, [REVENUE], minimum_group=1)
    lens.start(0)
    for number, told in enumerate(amounts):
        facts = {**checkout(segment="smb", country="NO", feature="one-click"), names.OPERATION_DURATION: 0.2, **told}
        event(lens.intake, f"u-{number}", AT + number * 60 * 10**9, facts)
    return lens


def abouts(lens: Lens, path: str) -> dict[str, tuple[int, int]]:
    """By table, how many records are hidden beside it, and how many amounts are missing."""
    page = ask(lens, path, method="GET").body.decode()
    found: dict[str, tuple[int, int]] = {}
    for section in page.split("<section")[1:]:
        name = re.search(r'^[^>]* id="(\w+)"', section)
        told = re.findall(r"<dt>(?:Hidden|Amounts missing)</dt><dd>([0-9,]+) ", section)
        if name and len(told) == 2:
            found[name[1]] = int(told[0]), int(told[1])
    return found


@pytest.mark.server
def test_what_is_missing_is_what_kpis_call_missing(tmp_path: Path) -> None:
    """
    A refused amount, one without its minor units, one without a currency, and one of no currency: each once.
    """
    told: list[dict[str, Any]] = [
        {INVALID: "inexact"}, {CURRENCY: "EUR"}, {MINOR: 500}, {MINOR: 500, CURRENCY: "XXQ"},
        {INVALID: "inexact", CURRENCY: "EUR"}, *[{**sold(100, "EUR")}] * 5, {},
    ]  # fmt: skip
    with started(tmp_path, *told) as lens:
        kpis = shown(lens, f"/kpis?{DAY}").text
        pages = [shown(lens, f"{path}?{DAY}{query}").text for path in ("/", "/features") for query in QUERIES]

    assert "Amounts missing5W" in kpis
    assert [True] * 6 == ["Amounts missing5 were" in text for text in pages]


@pytest.mark.server
def test_a_figure_counts_what_it_is_made_of(tmp_path: Path) -> None:
    """
    Beside operations stand operations of other traffic, beside counts no amounts, beside features those of features.
    """
    other = {names.TRAFFIC: "bot"}
    with started(tmp_path, {INVALID: "inexact"}, {**other}, {**other, **sold(100, "EUR")}) as lens:
        event(lens.intake, "none", AT, {**checkout(segment="smb", country="NO"), INVALID: "inexact"})
        event(lens.intake, "said", AT, {**other, names.FEEDBACK_NAME: "nps"}, name=names.EVENT_FEEDBACK)
        for query in QUERIES[::2]:
            read = abouts(lens, f"/?{DAY}{query}")
            of_features = abouts(lens, f"/features?{DAY}{query}")

            assert (2, 0) == read["conversion"]
            assert (2, 0) == read["outcomes"]
            assert (2 if query else 3, 2) == read["country"]
            assert (2, 1) == of_features["features"]


@pytest.mark.server
def test_sums_beyond_64_bits_are_shown_exactly(tmp_path: Path) -> None:
    """
    Invented amounts, each of which fits, stop neither the page nor a KPI, and are added up to the last unit.
    """
    most = 2**62 + 1
    with started(tmp_path, *[{**sold(most, "EUR")}] * 5) as lens:
        pages = {
            path + query: shown(lens, f"{path}?{DAY}{query}").text
            for path in ("/", "/kpis", "/features", "/technical", "/events")
            for query in QUERIES
        }

    total = f"{5 * most // 100:,}.{5 * most % 100:02d}"
    assert [] == [path for path, text in pages.items() if path[1:2] in ("", "&", "k", "f") and total not in text]


@pytest.mark.server
def test_more_than_64_bits_in_one_minute_is_an_estimate(tmp_path: Path) -> None:
    """
    The counts per minute hold that as a floating-point number, and the page says so; read from the events it is exact.
    """
    with started(tmp_path, *[{**sold(100, "EUR")}] * 5) as lens:
        for number in range(3):
            event(lens.intake, f"m-{number}", AT, {**checkout(segment="smb", country="NO"), **sold(2**62 + 1, "EUR")})
        by_minutes, of_events = (ask(lens, f"/?{DAY}{query}", method="GET").body.decode() for query in QUERIES[::2])

    estimate = "<dt>Certainty</dt><dd>an estimate</dd>"
    assert (True, False) == (estimate in by_minutes, estimate in of_events)
    total = 3 * (2**62 + 1) + 500
    assert f"{total // 100:,}.{total % 100:02d}" in of_events
