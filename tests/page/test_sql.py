"""The SQL beside each figure: it can be run, and gives what the page shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import unescape
from typing import Any

import pytest

from bizspan.lens import Lens
from bizspan.page import _sections
from tests.lens.asking import ask, rows
from tests.page.shop import DAY, event, fill, sold
from tests.page.small_day import AT, checkout, table


def statements(lens: Lens, path: str) -> dict[str, list[str]]:
    """The SQL of a page, by the id of its section."""
    page = ask(lens, path, method="GET").body.decode()
    return {
        section[: section.index('"')]: [
            unescape(code) for code in re.findall(r'aria-label="SQL"><code>(.*?)</code>', section, re.DOTALL)
        ]
        for section in re.split(r'<section [^>]*id="', page)[1:]
    }


def test_the_sql_that_is_shown_can_be_run(lens_of_all: Lens) -> None:
    """
    Each statement of each page, as it stands there.
    """
    lens = lens_of_all
    fill(lens.intake, visits=60)
    found = 0
    for path in ("/", "/features", "/technical", "/events", "/?segment=smb&country=DE", "/features?segment=smb"):
        for codes in statements(lens, f"{path}{'&' if '?' in path else '?'}{DAY}").values():
            for sql in codes:
                rows(lens.store, sql)
                assert "AND 1" not in sql
                found += 1

    assert found > 25


@pytest.mark.parametrize("query", ["", "&operation=checkout", "&segment=smb", "&traffic=all", "&campaign=__none__"])
def test_the_sql_of_a_table_gives_its_figures(lens: Lens, query: str) -> None:
    """
    One statement for each table; read from the minutes, and from the events.
    """
    fill(lens.intake)
    event(lens.intake, "bad", AT, {**checkout(segment="smb", country="DE"), **sold(1, "XXQ")})
    told = statements(lens, f"/?{DAY}{query}")

    for name in ("segment", "country", "campaign", "channel", "outcomes", "conversion"):
        (sql,) = told[name]
        head, *lines = table(lens, name, f"{DAY}{query}")
        shown_rows = {tuple(_told(head, line)) for line in lines if "shown" not in line[0]}
        run = {tuple(_run(head, row)) for row in rows(lens.store, sql)}
        assert shown_rows, name
        for row in shown_rows:
            assert any(all(a in ("few", b) for a, b in zip(row, other, strict=True)) for other in run), (name, row, run)
        assert len(lines) >= len(run) or name in _sections.TITLES


def _told(head: list[str], line: list[str]) -> Iterator[str]:
    """A line of a CSV in the words of its statement: a rate's lower number stands there already."""
    for title, cell in zip(head, line, strict=True):
        if title in ("Success of", "Succeeded of", "Share count"):
            continue
        if title.startswith(("Revenue", "At stake")):
            yield cell if cell == "few" else str(round(float(cell or 0) * 100))
        else:
            yield f"{float(cell):.4f}" if title == "Mean time" else cell


def _run(head: list[str], row: Sequence[Any]) -> Iterator[str]:
    titles = [title for title in head if title not in ("Success of", "Succeeded of", "Share count")]
    for title, cell in zip(titles, row, strict=True):
        is_money = title.startswith(("Revenue", "At stake"))
        yield f"{cell:.4f}" if title == "Mean time" else str(cell or 0) if is_money else str(cell)
