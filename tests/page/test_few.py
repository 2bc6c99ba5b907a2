"""What a filter leaves is shown where a breakdown by its facts would show it."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from bizspan import names
from bizspan.kpi import KPI, Calendar, Count, SqliteSource, filtered, operations
from bizspan.lens import Lens
from bizspan.page._blocks import Blocks
from bizspan.page._few import Guard
from bizspan.page._filter import NOT_TOLD, read
from bizspan.page._kpis import _filter_of
from tests.lens.asking import ask
from tests.page.reading import shown
from tests.page.shop import DAY, START_NS, add_event, add_trace, event, sold
from tests.page.small_day import AT, checkout, table

_TABLES = (
    "events", "cost", "outcomes", "conversion", "series", "segment", "country", "channel", "campaign", "features",
    "funnel",
)  # fmt: skip
_SAID = "Not shown: this filter leaves fewer than 5 records, or so few without it that they could be worked out."
_FACTS = {"segment": names.SEGMENT, "country": names.COUNTRY, "plan": names.PLAN}


def _countries(lens: Lens) -> None:
    """Nine sales in one country, six in another one, and one in a third."""
    for number, country in enumerate(("DE",) * 9 + ("AT",) * 6 + ("LI",)):
        facts = {
            **checkout(country=country), **sold(987_600 + number, "EUR"), names.OPERATION_DURATION: 0.2,
            names.CUSTOMER: f"c{number}",
        }  # fmt: skip
        event(lens.intake, f"u-{number}", AT + number * 10**9, facts)


@pytest.mark.parametrize("told", ["country=LI", "country=AT", "country=LI&outcome=success", "country=LI&traffic=all"])
def test_a_group_that_is_too_small_is_on_no_page_and_in_no_file(lens: Lens, told: str) -> None:
    """
    Nor the one that would give it away: subtracted from all, with those that are shown.
    """
    _countries(lens)

    for path in ("/", "/features", "/events", "/technical", "/funnel"):
        read_of = shown(lens, f"{path}?{DAY}&{told}&steps=checkout,checkout")
        assert _SAID in read_of.text, path
        assert "9,87" not in read_of.text
        assert not read_of.tables.keys() - {""}, path
    for name in _TABLES:
        answer = ask(lens, f"/csv/{name}?{DAY}&{told}&steps=checkout,checkout", method="GET").body.decode()
        assert answer.startswith(f'Note\r\n"{_SAID}'), name
        assert 2 == answer.count("\r\n")


def test_other_groups_are_shown(lens: Lens) -> None:
    """
    With their tiles, tables and events; and what a small one has is missing nowhere else.
    """
    _countries(lens)

    german = shown(lens, f"/?{DAY}&country=DE")

    assert _SAID not in german.text
    assert ["DE", "88,884.36", "9", "100.0 %"] == german.tables["country"][1]
    assert 9 == len(table(lens, "events", f"{DAY}&country=DE")) - 1
    assert "158,017 EUR" in shown(lens, f"/?{DAY}").text


def test_requests_stay_beside_a_small_group(lens: Lens, tmp_path: Path) -> None:
    """
    Their latency is no customer's; how a group's operations ended, and what that cost, is not beside it.
    """
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    _countries(lens)
    traces = ExportTraceServiceRequest()
    add_trace(traces, "0" * 31 + "1", AT, 0.5, is_failed=True)
    lens.intake.take("traces", "protobuf", traces.SerializeToString())

    found = shown(lens, f"/technical?{DAY}&country=LI")

    charts = [json.loads(each["data-chart"] or "") for _, each in found.tags if "data-chart" in each]
    drawn = [{value for value in chart["series"][0]["data"] if value is not None} for chart in charts]
    assert [{500.0}, {100.0}, set()] == drawn
    assert "cost" not in found.tables


def test_a_lens_may_show_all(lens_of_all: Lens) -> None:
    """
    On a machine of one's own: groups of any size, also in tables.
    """
    _countries(lens_of_all)

    small = shown(lens_of_all, f"/?{DAY}&country=LI")

    assert "9,876.15 EUR" in small.text
    assert ["LI", "9,876.15", "1", "100.0 %"] == small.tables["country"][1]
    assert {"DE", "AT", "LI"} == {row[0] for row in table(lens_of_all, "country")[1:]}


@pytest.mark.parametrize("seed", range(4))
def test_what_is_shown_is_what_a_kpi_shows(tmp_path: Path, seed: int) -> None:
    """
    For every filter by one fact, by two and by three, with values that nothing has, and what does not tell them.
    """
    chance = random.Random(seed)
    request = ExportLogsServiceRequest()
    values: dict[str, list[str | None]] = {
        "segment": ["a", "b", None], "country": ["DE", "AT", "LI", None], "plan": ["x", "y"]
    }  # fmt: skip
    for number in range(150):
        told = {key: chance.choices(values[name], [9, 3, 1, 1][: len(values[name])])[0] for name, key in _FACTS.items()}
        facts = {**checkout(), **{key: value for key, value in told.items() if value}}
        add_event(request, f"u-{number}", START_NS + chance.randrange(10**13), facts)
    kpi = KPI("runs", Count(operations("checkout")), owner="ann", meaning="m")
    calendar, blocks = Calendar(), Blocks()
    differ: list[object] = []
    seen = {True: 0, False: 0}
    with Lens(tmp_path / "lens.db") as lens, lens.store.reading() as connection:
        lens.intake.take("logs", "protobuf", request.SerializeToString())
        for size in (1, 2, 3):
            for facts_of in itertools.combinations(values, size):
                for wanted in itertools.product(*([*values[name], "nothing"] for name in facts_of)):
                    where = tuple(zip(facts_of, wanted, strict=True))
                    query = [("period", "2026-09-21..2026-09-23"), *((n, v or NOT_TOLD) for n, v in where)]
                    asked = read("/", query, calendar, START_NS + 10**14)
                    answer = filtered(kpi, SqliteSource(lens.store.path), asked.period, _filter_of(asked))
                    is_few = Guard(5, blocks).is_few(connection, asked)
                    seen[is_few] += 1
                    # Of nothing, a page may say that it is nothing; a KPI of two facts does not.
                    is_there = Guard(1, blocks).at_least(connection, asked)
                    if is_few != bool(answer.withheld) if is_there else is_few and not answer.withheld:
                        differ.append((where, is_few, answer.total))

    assert [] == differ
    assert min(seen.values()) > 5
