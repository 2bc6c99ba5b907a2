"""The series of the page: each day is one of the calendar's zone, wherever its midnight lies."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bizspan import names
from bizspan.kpi import Calendar
from bizspan.lens import Lens
from bizspan.page import add_page
from tests.lens.asking import ask
from tests.page.reading import shown
from tests.page.shop import event, sold

PERIOD = "period=2026-09-01..2026-09-15"


@pytest.mark.parametrize("query", ["", "&segment=smb", "&segment=smb&country=IN"])
@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "Europe/Berlin", "UTC"])
def test_each_day_of_a_series_has_what_happened_on_it(tmp_path: Path, zone: str, query: str) -> None:
    """
    One sale a day at ten past midnight, from the minutes and from the events: chart, CSV and tile agree.
    """
    days = [datetime(2026, 9, 1, 0, 10, tzinfo=ZoneInfo(zone)) + timedelta(days=number) for number in range(14)]
    with Lens(tmp_path / "lens.db") as lens:
        add_page(lens, [], Calendar(zone))
        lens.start(0)
        for number, day in enumerate(days):
            facts = {
                names.OPERATION_NAME: "checkout", names.OPERATION_OUTCOME: names.SUCCESS, names.SEGMENT: "smb",
                names.COUNTRY: "IN", **sold(100 * (number + 1), "INR"),
            }  # fmt: skip
            event(lens.intake, f"u-{number}", int(day.timestamp()) * 10**9, facts)

        text = ask(lens, f"/csv/series?{PERIOD}{query}", method="GET").body.decode()
        page = shown(lens, f"/?{PERIOD}{query}")

    _, *found = csv.reader(io.StringIO(text, newline=""))
    assert [(day.date().isoformat(), f"{number}.00", "1") for number, day in enumerate(days, 1)] == [
        (row[0][:10], row[1], row[2]) for row in found
    ]
    chart = json.loads(next(told["data-chart"] or "" for _, told in page.tags if "data-chart" in told))
    assert [float(number) for number in range(1, 15)] == chart["series"][0]["data"]
    assert "105.00 INR" in page.text
