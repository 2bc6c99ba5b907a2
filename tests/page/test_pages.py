"""Each page over HTTP: its figures, its states, and what it answers to filters that make no sense."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bizspan import names
from bizspan.kpi import KPI, Count, Ratio, operations
from bizspan.kpi._small import too_small, totals
from bizspan.lens import Intake, Lens, Mark, Retention, Store
from bizspan.page import add_page, add_page_from
from bizspan.page._filter import NOT_TOLD
from tests.lens.asking import Answer, ask, rows
from tests.page.reading import shown
from tests.page.shop import DAY, add_trace, event, fill, sold
from tests.page.small_day import AT, checkout, small_day, table

PAGES = ("/", "/features", "/funnel", "/technical", "/kpis", "/events")


# --- figures --------------------------------------------------------------------------------------------------------


def test_revenue_stands_by_segment_and_country_and_currency(lens: Lens) -> None:
    """
    Each currency has a column of its own, what does not tell the fact has a row, and staff is left out.
    """
    small_day(lens, times=5)

    read = shown(lens, f"/?{DAY}")

    assert [
        ["Segment", "Revenue EUR", "Revenue JPY", "Revenue USD", "Operations", "Success"],
        ["smb", "162.50", "–", "–", "15", "66.7 %"],
        ["not told", "–", "25", "–", "5", "100.0 %"],
        ["consumer", "–", "–", "49.95", "5", "100.0 %"],
    ] == read.tables["segment"]
    assert ["DE", "62.50", "25", "–", "15", "66.7 %"] == read.tables["country"][2]
    assert "999" not in read.text
    assert "10 of 15; 95 %: 41.7 to 84.8 % (Wilson)" in {told.get("title") for _, told in read.tags}
    assert "too small" not in read.text


def test_outcomes_have_their_reasons_and_what_was_at_stake(lens: Lens) -> None:
    """
    The share is that of the operation.
    """
    small_day(lens)

    assert [
        ["Operation", "Outcome", "Reason", "Count", "Share count", "Share of", "At stake EUR"],
        ["checkout", "success", "", "4", "4", "5", ""],
        ["checkout", "rejected", "card_declined", "1", "1", "5", "7.00"],
    ] == table(lens, "outcomes")


@pytest.mark.parametrize(
    "query",
    [
        "", "traffic=all", "operation=checkout", "segment=smb", "segment=smb&country=DE",
        "campaign=__none__", "outcome=rejected", "plan=pro", "version=1.5", "traffic=staff&segment=consumer",
    ],
)  # fmt: skip
def test_every_figure_equals_a_recount(lens: Lens, query: str) -> None:
    """
    Under each kind of filter, from the counts per minute or from the events, by country and over time; of countries,
    all that KPIs would show.
    """
    fill(lens.intake)
    kept: list[Any] = []
    for row in rows(
        lens.store,
        "SELECT time_ns, name, operation, outcome, segment, country, campaign, customer, plan, version, "
        "coalesce(traffic, 'customer') AS traffic, revenue_minor, revenue_currency FROM events",
    ):
        told: dict[str, Any] = dict(
            zip(("time_ns", "name", "operation", "outcome", "segment", "country", "campaign", "customer", "plan",
                 "version", "traffic", "minor", "currency"), row, strict=True)
        )  # fmt: skip
        where = dict(pair.split("=") for pair in query.split("&") if pair)
        traffic = where.pop("traffic", "customer")
        if traffic in ("all", told["traffic"]) and all(
            told[name] is None if value == "__none__" else told[name] == value for name, value in where.items()
        ):
            kept.append(told)
    revenue, tried, good = Counter[tuple[str, str]](), Counter[str](), Counter[str]()
    sizes = Counter[tuple[str | None, ...]]()
    for told in kept:
        if told["minor"] is not None and told["outcome"] in (None, names.SUCCESS):
            revenue[told["country"], told["currency"]] += told["minor"]
            sizes[told["currency"], told["country"]] += 1
        if told["name"] == names.EVENT_OPERATION:
            tried[told["country"]] += 1
            sizes["", told["country"]] += 1
            good[told["country"]] += told["outcome"] == names.SUCCESS

    head, *found = table(lens, "country", f"{DAY}&{query}")
    _, *series = table(lens, "series", f"{DAY}&{query}")

    hidden = too_small(sizes, 5, totals)
    codes = [title.removeprefix("Revenue ") for title in head if title.startswith("Revenue ")]
    found = [row for row in found if "too small" not in row[0] and "in part" not in row[0]]
    shown_revenue = {
        (row[0], code): round(float(row[1 + n]) * 100)
        for row in found for n, code in enumerate(codes) if row[1 + n] not in ("", "few")
    }  # fmt: skip
    assert {key: minor for key, minor in revenue.items() if key[::-1] not in hidden} == shown_revenue
    of_all = [row for row in found if row[-3] not in ("0", "few")]
    assert {each: n for each, n in tried.items() if ("", each) not in hidden} == {
        row[0]: int(row[-3]) for row in of_all
    }
    assert {each: n for each, n in good.items() if ("", each) not in hidden} == {row[0]: int(row[-2]) for row in of_all}
    assert (tried.total(), good.total()) == (sum(int(row[-2]) for row in series), sum(int(row[-1]) for row in series))


def test_what_was_hidden_and_missing_is_said(lens: Lens) -> None:
    """
    Beside each figure: its definition, owner, n, time zone, as-of, basis, certainty, and its SQL.
    """
    small_day(lens)
    event(lens.intake, "bad", AT, {**checkout(country="DE"), names.AMOUNT_INVALID_KEYS[names.REVENUE]: "inexact"})

    text = shown(lens, f"/?{DAY}").text

    for said in (
        "Definition", "Owner", "bizspan (built in)", "Time zone", "UTC", "As of", "minute_counts", "exact",
        "1 records of traffic that is not customers'", "1 were told and refused", "WITH found AS (",
    ):  # fmt: skip
        assert said in text, said


def test_features_say_what_could_be_removed(lens: Lens) -> None:
    """
    Used before but not now, with the minute in which each was used last.
    """
    event(lens.intake, "old", AT - 40 * 86_400 * 10**9, checkout(feature="fax"))
    for number in range(3):
        event(lens.intake, f"n-{number}", AT, {**checkout(feature="one-click"), **sold(100, "EUR")})

    head, *found = table(lens, "features")

    assert ["Feature", "Uses", "Revenue EUR", "Failed count", "Failed of", "Last used", "What stands out"] == head
    assert ["one-click", "3", "3.00", "0", "3"] == found[0][:5]
    assert ["fax", "0", "not used in this period: could be removed"] == [found[1][0], found[1][1], found[1][-1]]
    assert "2026-08-12T14:00:00+00:00" == found[1][5]


def test_slow_runs_are_compared_with_fast_ones_of_the_same_operation(lens: Lens) -> None:
    """
    40 fast of which 36 sell, 40 slow of which 18 sell: 18 are missed, at the slow ones' own average.
    """
    for number in range(80):
        is_slow = number >= 40
        is_sold = number % 40 < (18 if is_slow else 36)
        facts = checkout(names.SUCCESS if is_sold else names.FAILED)
        facts[names.OPERATION_DURATION] = 2.0 if is_slow else 0.05
        event(lens.intake, f"c-{number}", AT + number, {**facts, **(sold(1000, "EUR") if is_sold else {})})

    read = shown(lens, f"/technical?{DAY}")

    assert [
        ["Operation", "Took", "Tried", "Succeeded", "Missed", "Missed EUR"],
        ["checkout", "up to 100 ms", "40", "90.0 %", "–", "–"],
        ["checkout", "1.00 s to 3.00 s", "40", "45.0 %", "18", "180.00"],
    ] == read.tables["cost"]
    assert "about 180.00 EUR" in read.text and "an estimate" in read.text


def test_releases_are_marked_where_they_first_appear(lens: Lens) -> None:
    """
    Not the first one ever, which no one released into this picture.
    """
    for number, version in enumerate(("1.4", "1.4", "1.5", "1.4", "1.5")):
        event(lens.intake, f"v-{number}", AT + number * 600 * 10**9, checkout(),
              resource={"service.version": version})  # fmt: skip

    read = shown(lens, f"/?{DAY}")

    charts = [json.loads(found["data-chart"] or "") for _, found in read.tags if "data-chart" in found]
    assert charts
    assert {((AT // 10**9 + 1200) // 60 * 60, "1.5")} == {
        (mark["at"], mark["label"]) for chart in charts for mark in chart["marks"]
    }


def test_what_people_marked_is_drawn(lens: Lens) -> None:
    """
    With its end, where it was; not where one looks at another country.
    """
    from bizspan.lens import _marks

    small_day(lens, 5)
    spot = Mark("TV <spot>", AT + 60 * 10**9, AT + 180 * 10**9, country="DE", kind="campaign")
    _marks.add(lens.store.path, [spot, Mark("long ago", 1, 2)])

    def drawn(query: str) -> Any:
        read = shown(lens, f"/?{DAY}{query}")
        return json.loads(next(found["data-chart"] or "" for _, found in read.tags if "data-chart" in found))["marks"]

    second = AT // 10**9
    expected = [{"at": second + 60, "label": "TV <spot> (DE)", "until": second + 180}]
    assert (expected, expected, []) == (drawn(""), drawn("&country=DE"), drawn("&country=FR"))


def test_a_funnel_counts_who_came_how_far(lens_of_all: Lens) -> None:
    """
    Customers, in order, each once; narrowed by filters as everything is.
    """
    lens = lens_of_all
    for number, names_of in enumerate((("view", "cart", "buy"), ("view", "cart"), ("cart", "view"), ("view",))):
        for at, name in enumerate(names_of):
            facts = {
                **checkout(country="DE" if number else "FR"),
                names.OPERATION_NAME: name,
                names.CUSTOMER: f"c{number}",
            }
            event(lens.intake, f"{number}-{name}", AT + at * 10**9, facts)

    everyone = shown(lens, f"/funnel?{DAY}&steps=view,cart,buy").tables["funnel"]
    german = shown(lens, f"/funnel?{DAY}&steps=view,cart,buy&country=DE").tables["funnel"]

    assert [["view", "4"], ["cart", "2"], ["buy", "1"]] == [[row[0], row[2]] for row in everyone[1:]]
    assert [["view", "3"], ["cart", "1"], ["buy", "0"]] == [[row[0], row[2]] for row in german[1:]]
    nobody = shown(lens, f"/funnel?{DAY}&steps=view,cart,buy&segment={NOT_TOLD}&campaign=none").tables["funnel"]
    untold = shown(lens, f"/funnel?{DAY}&steps=view,cart,buy&country=DE&segment={NOT_TOLD}").tables["funnel"]
    assert (["0", "0", "0"], german) == ([row[2] for row in nobody[1:]], untold)


def test_an_event_leads_to_its_trace(lens: Lens) -> None:
    """
    The spans in their order, each child below its parent, with the business event beside them.
    """
    fill(lens.intake, visits=40)
    read = shown(lens, f"/events?{DAY}")
    link = next(str(found["href"]) for _, found in read.tags if str(found.get("href")).startswith("/trace/"))

    trace = shown(lens, link)

    assert ["POST /checkout server", "checkout internal", "SELECT carts client", "POST payments client"] == [
        re.split("No attributes|status|business[.]", row[0])[0] for row in trace.tables["spans"][1:]
    ]  # fmt: skip
    assert "checkout" == trace.tables["trace-events"][1][1]


# --- KPIs -----------------------------------------------------------------------------------------------------------


def test_kpis_stand_against_their_targets(tmp_path: Path) -> None:
    """
    Those of the configuration file, with the file's time zone.
    """
    config = tmp_path / "bizspan.toml"
    config.write_text(
        'time_zone = "Europe/Berlin"\n[kpi.checkout_rate]\nkind = "ratio"\nowner = "ann"\n'
        'meaning = "How many <checkouts> succeed"\ntarget = 0.9\n'
        'of = { kind = "count", operation = "checkout", where = { outcome = "success" } }\n'
        'to = { kind = "count", operation = "checkout" }\n'
    )
    with Lens(tmp_path / "lens.db") as lens:
        add_page_from(lens, config)
        lens.start(0)
        small_day(lens)

        text = shown(lens, f"/kpis?{DAY}").text

    for said in ("80.0 %", "target 90.0 %: missed", "How many <checkouts> succeed", "Europe/Berlin", "n=5", "ann"):
        assert said in text, said


def test_a_kpi_of_time_that_was_dropped_says_so(tmp_path: Path) -> None:
    """
    On its card and behind it; and nothing incomplete stands there as the period before.
    """
    orders = KPI("orders", Count(operations("checkout")), owner="ann", meaning="m", target=1, per="day")
    with Lens(tmp_path / "lens.db") as lens:
        add_page(lens, [orders])
        lens.start(0)
        small_day(lens)
        whole = shown(lens, f"/kpis?{DAY}").text
        lens.store.retention = Retention(days=1e-9)
        lens.store.prune()

        text = shown(lens, f"/kpis?{DAY}").text

    assert "exact" in whole and "Incomplete" not in whole
    assert "Incomplete: the store has dropped what happened before" in text
    assert "not judged for this period" in text
    assert "before:" not in text


def test_a_kpi_that_fails_leaves_the_others(tmp_path: Path) -> None:
    """
    It says why, in its own place.
    """
    rate = KPI("rate", Ratio(Count(operations("checkout", outcome="success")), Count(operations("checkout"))),
               owner="ann", meaning="m")  # fmt: skip
    with Lens(tmp_path / "lens.db") as lens:
        add_page(lens, [rate])
        lens.start(0)
        small_day(lens)

        assert "80.0 %" in shown(lens, f"/kpis?{DAY}").text


def test_filters_apply_to_kpis(tmp_path: Path) -> None:
    """
    By any fact with a column, what is not told, and traffic; the definition and the SQL of each figure have them.
    """
    rate = KPI("rate", Ratio(Count(operations("checkout", outcome="success")), Count(operations("checkout"))),
               owner="ann", meaning="m", target=0.9, by=("segment",))  # fmt: skip
    with Lens(tmp_path / "lens.db") as lens:
        add_page(lens, [rate])
        lens.start(0)
        fill(lens.intake, visits=400)
        found = {
            query: shown(lens, f"/kpis?{DAY}&{query}")
            for query in ("country=DE", "country=FR&segment=smb", f"campaign={NOT_TOLD}", "traffic=all", "operation=x")
        }
        with lens.store.reading() as connection:
            query = (
                "SELECT count(*), sum(outcome = 'success') FROM events WHERE operation = 'checkout' AND country = 'DE'"
                " AND (traffic IS NULL OR traffic = 'customer')"
            )
            of, to = connection.execute(query).fetchone()

    german = found["country=DE"].text
    assert f"{100 * to / of:.1f} %" in german
    for said in (f"n={of:,}", "country is DE", "country = 'DE'", "target 90.0 %", "segment"):
        assert said in german, said
    assert "country = 'FR' AND segment = 'smb'" in found["country=FR&segment=smb"].text
    assert "campaign IS NULL" in found[f"campaign={NOT_TOLD}"].text
    assert "everybody's traffic" in found["traffic=all"].text
    assert "n=0" in found["operation=x"].text


def test_a_filter_gives_no_small_group_away(tmp_path: Path) -> None:
    """
    Neither the few that it leaves, nor the few that it leaves out; the page says so, and shows no number beside.
    """
    rate = KPI("rate", Ratio(Count(operations("checkout", outcome="success")), Count(operations("checkout"))),
               owner="ann", meaning="m")  # fmt: skip
    with Lens(tmp_path / "lens.db") as lens:
        add_page(lens, [rate])
        lens.start(0)
        for number in range(20):
            facts = checkout(country="CH" if number < 2 else "DE", segment="smb")
            event(lens.intake, f"u-{number}", AT + number * 10**9, {**facts, **sold(1250, "EUR")})

        few, rest, all_of_them = (
            shown(lens, f"/kpis?{DAY}&{query}").text for query in ("country=CH", "country=DE", "segment=smb")
        )

    for text in (few, rest):
        assert "Not shown: this filter leaves fewer than 5, or so few without it" in text
        assert not re.search(r"n=\d|100.0 %", text)
    assert "n=20" in all_of_them


def test_a_page_is_live_for_what_others_write(lens: Lens) -> None:
    """
    Another program that marks something, or puts events into the store: each is told once, and then there is quiet.
    """
    from bizspan.lens import _marks

    small_day(lens)
    parts = urlsplit(lens.url)
    client = HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    client.request("GET", "/live")
    answer = client.getresponse()

    def told() -> str:
        said = ""
        while line := answer.readline().decode().strip():
            if not line.startswith(("retry", "data")):
                said = line
        return said

    try:
        assert "retry: 2000" == answer.readline().decode().strip()
        answer.readline()
        quiet = told()
        _marks.add(lens.store.path, [Mark("TV spot", AT, AT + 60 * 10**9)])
        after_mark = told(), told()
        with Store(lens.store.path) as other:
            event(Intake(other), "theirs", AT, checkout())
            after_event = told(), told()
        event(lens.intake, "ours", AT, checkout())
        after_own = told(), told()
        event(lens.intake, "ours", AT, checkout())
        assert told()  # sent again, and the stream goes on
    finally:
        client.close()

    one = ("event: change", ": still here")
    assert (": still here", one, one, one) == (quiet, after_mark, after_event, after_own)


# --- states ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_store_says_how_to_send_the_first_event(lens: Lens, path: str) -> None:
    """
    With the endpoint of this very lens.
    """
    assert f"OTEL_EXPORTER_OTLP_ENDPOINT={lens.url}" in shown(lens, path).text


def test_spans_are_shown_before_any_event_is_there(lens: Lens) -> None:
    """
    Of an application that sends traces alone.
    """
    request = ExportTraceServiceRequest()
    add_trace(request, "ab" * 16, AT, 0.2, is_failed=True)
    lens.intake.take("traces", "protobuf", request.SerializeToString())

    assert "of 1 requests" in str(shown(lens, f"/technical?{DAY}").tags)


def test_the_way_to_another_page_keeps_the_filters(lens: Lens) -> None:
    """
    Also to the KPIs.
    """
    small_day(lens)

    links = {found.get("href") for name, found in shown(lens, f"/?{DAY}&country=DE&traffic=all").tags if name == "a"}

    assert {f"/events?{DAY}&traffic=all&country=DE", f"/kpis?{DAY}&traffic=all&country=DE"} <= links


def test_a_period_without_events_says_where_they_are(lens: Lens) -> None:
    """
    The day of the newest one is a link away.
    """
    small_day(lens)

    read = shown(lens, "/?period=2020-01-01&segment=smb")

    assert "Nothing in this period" in read.text
    links = [str(found.get("href")) for _, found in read.tags]
    assert {"/?period=2026-09-21&segment=smb", "/?period=2020-01-01"} <= {*links}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("segmnet=smb", "There is no filter 'segmnet'; did you mean segment?"),
        ("frobnicate=1", "filters are service, version"),
        ("period=whenever", "'whenever' is no period"),
        ("period=2026-03-02..2026-03-01", "a period ends after it starts"),
        ("segment=a&segment=b", "The filter segment is there twice"),
        (f"segment={'x' * 301}", "longer than 300 characters"),
        ("from=2026-01-01T00:00&to=", "needs both of its ends"),
        ("dim=nonsense&value=1", "There is no filter 'nonsense'"),
        ("steps=a,b,c,d,e,f,g", "at most 6 steps"),
        ("steps=a,b&window=soon", "window"),
        ("steps=a,b&subject=shoe", "shoe"),
    ],
)  # fmt: skip
def test_a_filter_that_makes_no_sense_is_answered_with_a_sentence(lens: Lens, query: str, said: str) -> None:
    """
    With 400, as HTML, and with a way back.
    """
    small_day(lens)

    read = shown(lens, f"/funnel?{query}" if "steps" in query else f"/?{query}", 400)

    assert said in read.text
    assert ("a", "/") in [(tag, found.get("href")) for tag, found in read.tags]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/trace/xyz", 400, "A trace id has 32 characters"),
        (f"/trace/{'a' * 32}", 404, "knows nothing of this trace"),
        ("/csv/secrets", 404, "There is no such table"),
        ("/kpis?segment=a&country=DE&plan=b&campaign=c&order_id=d", 400, "KPIs take at most 4 filters; remove one."),
    ],
)
def test_what_is_not_there_is_said(lens: Lens, path: str, status: int, said: str) -> None:
    """
    In a page of its own.
    """
    small_day(lens)

    assert said in shown(lens, path, status).text


def test_a_store_that_cannot_be_read_says_what_to_do(lens: Lens, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    503, and the cause.
    """

    def broken(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("bizspan.page._site._newest", broken)

    assert "can't be read (disk I/O error)" in shown(lens, "/", 503).text


def test_what_a_form_sends_becomes_a_short_address(lens: Lens) -> None:
    """
    Empty fields are left out, a range becomes a period, and a chosen fact a filter.
    """
    answer = ask(
        lens, "/?period=24h&segment=&dim=plan&value=p%26ro&from=2026-01-01T00:00&to=2026-01-02T00:00", method="GET"
    )

    assert (303, "/?period=2026-01-01T00%3A00..2026-01-02T00%3A00&plan=p%26ro") == (
        answer.status,
        answer.headers["location"],
    )


# --- hostile values -------------------------------------------------------------------------------------------------

HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'; DROP TABLE events; --", "{{7*7}}",
    "\u202egnp.exe", "</title><b>", "javascript:alert(1)", "\x00\x1b[2J", "a" * 5_000,
)  # fmt: skip
WORDS = """
    html head meta title link script body a header nav div span button form label select option details summary input
    main section h1 h2 h3 p dl dt dd table thead tbody tr th td bdi svg rect figure figcaption noscript pre code
    time footer small ul li
"""
PLAIN = frozenset(WORDS.split())


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_values_are_shown_as_texts(lens: Lens, value: str) -> None:
    """
    On every page, as value, operation, reason, currency, version and name of an event: no element comes of them.
    """
    keys = (names.OPERATION_NAME, names.OPERATION_REASON, names.SEGMENT, names.COUNTRY, names.CAMPAIGN, names.FEATURE)
    facts = {**dict.fromkeys(keys, value), names.OPERATION_OUTCOME: value[:40], value[:50]: value}
    trace_id, resource = "ab" * 16, {"service.name": value, "service.version": value}
    event(lens.intake, "h-1", AT, {**facts, **sold(100, value[:60])}, trace_id=trace_id, resource=resource)
    event(lens.intake, "h-2", AT + 120 * 10**9, {names.SEGMENT: value, **sold(100, "EUR")}, name=value)
    filtered = f"segment={quote(value[:300])}"
    for path in (*PAGES, f"/trace/{trace_id}?at={AT}", f"/funnel?steps={quote(value[:60])},b", f"/?{filtered}"):
        if "?" not in path:
            path += f"?{DAY}"
        answer = ask(lens, path, method="GET")
        read = shown(lens, path, answer.status)
        assert answer.status in (200, 400), path
        assert {name for name, _ in read.tags} <= PLAIN, path
        assert 2 == sum(name == "script" for name, _ in read.tags), path
        for name, found in read.tags:
            assert not any(key.startswith("on") or key == "style" for key in found), (path, name)
            assert (found.get("href") or "/").startswith(("/", "#")), (path, found)
        assert "\x00" not in answer.body.decode() and "\u202e" not in answer.body.decode(), path


# --- headers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PAGES, "/csv/segment", "/assets/page.js", "/?wrong=1", f"/trace/{'b' * 32}"])
def test_nothing_from_elsewhere_is_allowed(lens: Lens, path: str) -> None:
    """
    A strict policy on every answer, no inline script or style, and nothing is kept by caches.
    """
    answer: Answer = ask(lens, path, method="GET")

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
    assert ("nosniff", "same-origin") == (
        answer.headers["x-content-type-options"], answer.headers["cross-origin-resource-policy"],
    )  # fmt: skip
    text = answer.body.decode()
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)", text) or path.endswith(".js")
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


def test_files_are_served_and_no_others(lens: Lens) -> None:
    """
    uPlot's licence stands beside it in the package.
    """
    from importlib.resources import files

    assert 51_081 == len(ask(lens, "/assets/uPlot.iife.min.js", method="GET").body)
    for path in ("/assets/../__init__.py", "/assets/%2e%2e/__init__.py", "/assets/x/page.js", "/assets/__init__.py"):
        assert 404 == ask(lens, path, method="GET").status
    assert "MIT" in files("bizspan.page").joinpath("assets", "uPlot.LICENSE").read_text("utf-8")
