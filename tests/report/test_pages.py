"""What a report looks like: a golden text, ASCII, Markdown, HTML, JSON, CSV; and hostile values in each of them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bizspan import names
from bizspan.kpi import KPI, Count, Ratio, SqliteSource, Sum, operations
from bizspan.lens import Mark
from bizspan.report import Report, Request, as_csv, as_html, as_json, as_markdown, as_text, build
from bizspan.report._fit import shortened
from bizspan.report._text import spark
from tests.kpi.stores import Told
from tests.report.shops import BERLIN, DAY, HOSTILE, HOUR, WEEK, lens_store, operation, random_shop

NOW = WEEK.until_ns + DAY
KPIS = {
    kpi.name: kpi
    for kpi in (
        KPI("revenue", Sum("revenue"), owner="shop", meaning="Revenue.", target={"EUR": "100"}, per="day"),
        KPI("paid", Ratio(Count(operations("checkout", outcome="success")), Count(operations("checkout"))),
            owner="shop", meaning="Checkouts that end in an order.", target=0.95),
    )
}  # fmt: skip
MARKS = (Mark("TV spot", WEEK.since_ns + 20 * HOUR, WEEK.since_ns + 21 * HOUR, "DE", "campaign"),)


def small_shop() -> list[Told]:
    """Two weeks: ten checkouts a day, eight in the second one's Germany fail more often."""
    found: list[Told] = []
    for day in range(-7, 7):
        for number in range(10):
            at = WEEK.since_ns + day * DAY + 10 * HOUR + number * 60 * 10**9
            country = "DE" if number < 6 else "AT"
            is_lost = number == 0 or (day >= 0 and number in (1, 2))
            facts: dict[str, Any] = {"service.version": "1.4" if day < 3 else "1.5"}
            if is_lost:
                facts["OPERATION_REASON"] = "card_declined"
            found.append(
                operation(
                    f"u-{day}-{number}", at, outcome="rejected" if is_lost else "success",
                    money=names.VALUE if is_lost else names.REVENUE, minor=1_250 + 10 * day,
                    COUNTRY=country, SEGMENT="smb", **facts,
                )
            )  # fmt: skip
    found.append(operation("bot", WEEK.since_ns + HOUR, minor=1, TRAFFIC="bot"))
    return found


def small_report(path: Path, **more: Any) -> Report:
    source = SqliteSource(lens_store(path / "lens.db", small_shop()))
    return build(Request(source, BERLIN, WEEK, NOW, KPIS, marks=MARKS, **more))


def test_the_text_of_a_fixed_store(tmp_path: Path) -> None:
    """
    Word for word, and the same each time.
    """
    text = as_text(small_report(tmp_path))

    assert Path(__file__).with_name("golden.txt").read_text("utf-8") == text + "\n"
    assert text == as_text(small_report(tmp_path / "again"))


def test_where_the_terminal_is_ascii_so_is_the_text(tmp_path: Path) -> None:
    """
    Sparklines are of ASCII, the rest is the same; no colours unless they are asked for.
    """
    report = small_report(tmp_path)

    text = as_text(report, encoding="ascii")
    assert text.isascii()
    assert "\x1b" not in text
    assert as_text(report).translate(str.maketrans("▁▂▃▄▅▆▇█", "_.-=+*%#")) == text
    coloured = as_text(report, colour=True)
    assert "\x1b[31m" in coloured
    assert as_text(report) == re.sub(r"\x1b\[\d+m", "", coloured)


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ((1.0, 2.0, 3.0), "▁▅█"),
        ((1.0, None, 8.0), "▁ █"),
        ((2.0, 2.0), "▅▅"),
        ((1.0,), ""),
        ((None, None), ""),
        ((), ""),
    ],
)
def test_sparklines(series: tuple[float | None, ...], expected: str) -> None:
    """
    From the least to the most, with gaps; nothing where there is no course.
    """
    assert expected == spark(series)


def test_json_has_a_schema_and_exact_money(tmp_path: Path) -> None:
    """
    Money is text; moments are of the time zone.
    """
    told = json.loads(as_json(small_report(tmp_path)))

    assert "bizspan.report/1" == told["schema"]
    assert {"since": "2026-03-02T00:00:00+01:00", "until": "2026-03-09T00:00:00+01:00"} == told["period"]
    assert ["revenue", "paid"] == [row["kpi"] for row in told["rows"]]
    assert "627.20" == told["rows"][0]["value"]
    assert [False, False] == [row["met"] for row in told["rows"]]
    assert ["TV spot", "shop 1.5"] == [each["label"] for each in told["factors"]]
    assert 1 == told["hidden"]


# --- hostile values -------------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path: Path) -> Report:
    """A report with markup, formulas and escapes in names, reasons, segments and marks."""
    marks = [Mark(text, WEEK.since_ns, WEEK.until_ns) for text in HOSTILE]
    source = SqliteSource(lens_store(tmp_path / "lens.db", random_shop(4)))
    return build(Request(source, BERLIN, WEEK, WEEK.until_ns + 30 * DAY, {}, marks=marks, most=1_000))


def test_no_control_reaches_the_terminal(hostile: Report) -> None:
    """
    An escape in a reason is no escape any more.
    """
    text = as_text(hostile)

    assert all(line.isprintable() for line in text.split("\n"))
    assert "red" in text


class Page(HTMLParser):
    """Notes the tags, the attributes and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_is_strict_and_what_was_told_is_text(hostile: Report) -> None:
    """
    One file that loads and runs nothing: no script, no handler, no address; a policy that says so.
    """
    html = as_html(hostile)
    page = Page()
    page.feed(html)

    assert not {"script", "link", "img", "iframe", "object", "form", "a"} & page.tags
    assert not [name for name in page.attributes if name.startswith("on") or name in ("href", "src", "style")]
    assert "svg" in page.tags
    assert HOSTILE[0] in page.text
    assert "default-src 'none'; style-src 'sha256-" in html.replace("&#x27;", "'")
    assert "prefers-color-scheme:dark" in html
    assert "@media print" in html
    assert "\x1b" not in html


def test_no_cell_is_a_formula(hostile: Report) -> None:
    """
    A text that begins like one has an apostrophe before it; numbers stay numbers.
    """
    lines = list(csv.DictReader(io.StringIO(as_csv(hostile))))
    numbers = {"value", "n", "before", "n_before", "change", "low", "high", "target"}

    cells = [cell for line in lines for name, cell in line.items() if name not in numbers]
    assert "'=HYPERLINK(1)" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    for line in lines:
        for name in numbers:
            float(line[name] or 0)


def test_markdown_stays_in_its_cells(hostile: Report) -> None:
    """
    A pipe, a tag and markup in a name are text: every row has its head's cells.
    """
    lines = as_markdown(hostile).split("\n")

    assert r"a\|b\`c\*" in "\n".join(lines)
    assert "<script>" not in "\n".join(lines)
    width = 0
    for line in lines:
        cells = len(re.findall(r"(?<!\\)\|", line))
        if not line.startswith("|"):
            width = 0
        else:
            width = width or cells
            assert width == cells, line


def test_an_empty_store_says_so_everywhere(tmp_path: Path) -> None:
    """
    No figure is made up, and each format still holds together.
    """
    report = build(Request(SqliteSource(lens_store(tmp_path / "lens.db", [])), BERLIN, WEEK, NOW, {}))

    assert "No operation in this time." in as_text(report)
    assert "Nothing failed or was rejected." in as_html(report)
    assert [None] * 3 == [row["value"] for row in json.loads(as_json(report))["rows"]]
    assert as_csv(report).startswith("section,name,")
    assert "# Report" in as_markdown(report)


def test_what_is_many_is_bounded_and_said(tmp_path: Path) -> None:
    """
    A reason for each customer fills no terminal; all of them are in JSON and CSV.
    """
    shop = [
        operation(
            f"u-{number}", WEEK.since_ns, outcome="failed", minor=100 + number, OPERATION_REASON=f"reason {number}"
        )
        for number in range(100)
    ]
    report = build(Request(SqliteSource(lens_store(tmp_path / "lens.db", shop)), BERLIN, WEEK, NOW, {}))

    for text in (as_text(report), as_html(report), as_markdown(report)):
        assert 2 == text.count("60 more lines in JSON and CSV")
        assert "reason 99" in text  # the largest amount
    assert "reason 0," in as_csv(report)
    assert 100 == len(json.loads(as_json(report))["risks"])


# --- marks on charts -------------------------------------------------------------------------------------------------


class Charts(HTMLParser):
    """By chart of a page: its marks as (tag, left, title), and what it is called."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.marks: list[list[tuple[str, float, str]]] = []
        self.names: list[str] = []
        self._at: tuple[str, float] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "svg" and "aria-label" in told:
            self.marks.append([])
            self.names.append(told["aria-label"] or "")
        if told.get("class") == "mark":
            self._at = tag, float(told.get("x") or told.get("x1") or 0.0)

    def handle_data(self, data: str) -> None:
        if self._at is not None:
            self.marks[-1].append((*self._at, data))
            self._at = None


def test_marks_and_releases_are_drawn_on_every_chart(tmp_path: Path) -> None:
    """
    A stretch is shaded and a moment is a line, where it was: a value stands in the middle of its day.
    """
    factors = (
        Mark("of the week before", WEEK.since_ns - 2 * DAY, WEEK.since_ns - DAY),
        Mark("<b>TV</b> spot", WEEK.since_ns + 36 * HOUR, WEEK.since_ns + 60 * HOUR, "DE", "campaign"),
    )
    source = SqliteSource(lens_store(tmp_path / "lens.db", small_shop()))
    charts = Charts(as_html(build(Request(source, BERLIN, WEEK, NOW, KPIS, marks=factors))))

    day = 154 / 6
    release = 3 + (3 + 10 / 24 - 0.5) * day
    assert 2 == len(charts.marks)
    for marks, name in zip(charts.marks, charts.names, strict=True):
        assert [("rect", round(3 + day, 1), "<b>TV</b> spot"), ("line", round(release, 1), "shop 1.5")] == marks
        assert name.endswith("; marked: <b>TV</b> spot, shop 1.5")


# --- the width of a terminal ----------------------------------------------------------------------------------------


def wide_report(path: Path, count: int = 11) -> Report:
    """Eleven KPIs with long names and targets, by hour over a week: 168 points each."""
    kpis = {
        f"revenue_of_the_shop_{number}": replace(KPIS["revenue"], name=f"revenue_of_the_shop_{number}")
        for number in range(count)
    }
    report = small_report(path)
    source = SqliteSource(path / "lens.db")
    built = build(Request(source, BERLIN, WEEK, NOW, {**kpis, "paid": KPIS["paid"]}, marks=MARKS))
    course = tuple(float(number % 24) for number in range(429))
    return replace(built, rows=tuple(replace(row, series=course) for row in built.rows), movers=report.movers)


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, width: int) -> None:
    """
    A course gets shorter, then cells take more lines; no word of the whole text is lost.
    """
    report = wide_report(tmp_path)
    text, whole = as_text(report, width=width), as_text(report)

    assert width >= max(map(len, text.split("\n")))
    assert max(map(len, whole.split("\n"))) > 120
    bars = str.maketrans("", "", "▁▂▃▄▅▆▇█ \n")
    assert Counter(whole.translate(bars)) == Counter(text.translate(bars))


@pytest.mark.parametrize("text", [as_text, as_markdown])
def test_a_course_has_thirty_points_at_most(tmp_path: Path, text: Callable[[Report], str]) -> None:
    """
    However long the time is, also where the text goes to a file.
    """
    courses = re.findall("[▁▂▃▄▅▆▇█]+", text(wide_report(tmp_path)))

    assert {30} == {len(each) for each in courses}


def test_a_point_of_a_short_course_is_the_mean_of_what_it_stands_for() -> None:
    """
    Each value is in one point, and a point of unknown values is unknown.
    """
    assert (1.5, 4.0, None, 8.5) == shortened((1.0, 2.0, None, 4.0, None, None, 8.0, 9.0), 4)
    assert (1.0, 2.0, None) == shortened((1.0, 2.0, None), 3)
