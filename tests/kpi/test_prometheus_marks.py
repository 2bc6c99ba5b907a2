"""Marks in rules of Prometheus: silent while one lasts, and out of the median of four weeks."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from bizspan.kpi import Count, Recurring, events
from bizspan.kpi._prometheus import prometheus_rules
from bizspan.lens import Mark, _marks
from tests.child import BOUND_S, environment
from tests.kpi.promtool import DAY, Run, checked, needs_promtool, run
from tests.kpi.test_prometheus import LATER, MONTH, happened, kpi

MINUTE_NS = 60 * 10**9
WEEK = 7 * DAY
SHOP = (
    kpi("signups", Count(events("signup"))),
    kpi("in_fiji", Count(events("signup", country="FJ"))),
    kpi("complaints", Count(events("complaint")), direction="down"),
    kpi("mrr", Recurring("mrr")),
)


def at(since: int, until: int, country: str = "", label: str = "TV spot") -> Mark:
    """A mark from one minute of the test to another."""
    return Mark(label, since * MINUTE_NS, until * MINUTE_NS, country)


END = LATER + 900
OF_ALL = [("in_fiji", ""), ("mrr", "EUR"), ("signups", "")]
MEDIAN = 'bizspan:kpi_median:4w{kpi="signups"}'


def weekly(*rates: float, after: float) -> str:
    """A counter that grows so much a minute in each week, and so much after them."""
    told: list[str] = []
    total = 0.0
    for rate in rates:
        told.append(f"{total:g}+{rate:g}x{WEEK - 1}")
        total += rate * WEEK
    return " ".join([*told, f"{total:g}+{after:g}x{END - MONTH}"])


# An hour has 120, 720, 360 and 240 signups in the four weeks, and 60 now.
SERIES = {
    happened("signup"): weekly(1, 6, 3, 2, after=0.5),
    happened("signup", geo_country_iso_code="FJ"): weekly(1, 6, 3, 2, after=0.5),
    happened("complaint"): weekly(1, 1, 1, 1, after=3),
    'mrr{business_value_currency="EUR"}': f"1000x{MONTH} 100x{END - MONTH}",
    "bizspan_events_offered_total": f"0+1x{END}",
}
MARKS = (
    at(LATER - 30, LATER + 90),
    at(LATER + 330, LATER + 350, "DE"),
    at(LATER + 630, LATER + 650, "FJ"),
    *(at(hour - back * WEEK - 20, hour - back * WEEK - 10) for hour, back in (
        (LATER + 720, 1), (LATER + 780, 1), (LATER + 780, 3), (LATER + 840, 3),
    )),
)  # fmt: skip


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Four weeks without marks, but in some hours, and a day with them."""
    moments = (LATER - 120, LATER, LATER + 120, LATER + 240, LATER + 360, LATER + 660)
    return run(
        prometheus_rules(SHOP, marks=MARKS, now_ns=MONTH * MINUTE_NS).text,
        tmp_path_factory.mktemp("day"),
        SERIES,
        alerts=[(name, when) for name in ("KpiDropped", "KpiRisen") for when in moments],
        expressions=[(MEDIAN, hour) for hour in (LATER + 600, LATER + 720, LATER + 780, LATER + 840)],
        every="1h",
    )


@needs_promtool
def test_a_drop_is_silent_while_a_mark_lasts(day: Run) -> None:
    """
    And as long as the last hour has some of it; after that, what is still off the usual is said.
    """
    moments = (LATER - 120, LATER, LATER + 120, LATER + 240)

    assert [OF_ALL, [], [], OF_ALL] == [day.firing("KpiDropped", when) for when in moments]
    assert [1, 0, 0, 1] == [len(day.firing("KpiRisen", when)) for when in moments]


@needs_promtool
def test_a_marked_hour_is_no_part_of_the_median(day: Run) -> None:
    """
    Weeks in which this hour is marked don't count; of three that are left there is a median, of two there is none.
    """
    medians = [day.values[MEDIAN, hour] for hour in (LATER + 600, LATER + 720, LATER + 780, LATER + 840)]

    assert [300, 360, None, 240] == [told.get((("kpi", "signups"),)) for told in medians]


@needs_promtool
def test_a_mark_of_a_country_is_one_for_kpis_of_it_and_of_all(day: Run) -> None:
    """
    What happened in Germany is no reason to be silent about Fiji.
    """
    assert [("in_fiji", "")] == day.firing("KpiDropped", LATER + 360)
    assert [] == day.firing("KpiDropped", LATER + 660)


@needs_promtool
def test_hostile_labels_stay_labels(tmp_path: Path) -> None:
    """
    What people call a mark is text, for YAML and for Prometheus.
    """
    marks = [at(MONTH, MONTH + 1, label=label) for label in ('"}\n{{ $value }}', "- a: b # c", "\ud800 é", "x" * 500)]

    text = prometheus_rules(SHOP, marks=marks, now_ns=MONTH * MINUTE_NS).text

    assert "SUCCESS" in checked(text, tmp_path)
    labels = [rule["labels"]["mark"] for rule in yaml.safe_load(text)["groups"][0]["rules"] if "mark" in rule["labels"]]
    assert [mark.label for mark in marks for _ in range(2)] == labels


def test_rules_have_the_marks_that_matter() -> None:
    """
    Those of the last four weeks and of the year that comes, to whole seconds outwards; without any, nothing of them.
    """
    now_ns = 60 * WEEK * MINUTE_NS
    spot = Mark("TV spot", now_ns + 1, now_ns + 2)
    old = Mark("old", 1, now_ns - 5 * WEEK * MINUTE_NS)
    far = Mark("far", now_ns + 60 * WEEK * MINUTE_NS, now_ns + 61 * WEEK * MINUTE_NS)

    told = prometheus_rules(SHOP, marks=[old, spot, far], now_ns=now_ns).text
    rules = yaml.safe_load(told)["groups"][0]["rules"]

    assert ["vector(36288000)", "vector(36288001)"] == [rule["expr"] for rule in rules[:2]]
    assert 2 + 5 == len(rules)
    assert "Marks: 1. Export again" in told
    assert prometheus_rules(SHOP).text == prometheus_rules(SHOP, marks=[old, far], now_ns=now_ns).text
    assert "bizspan:marked" not in prometheus_rules(SHOP).text


@pytest.mark.once
@pytest.mark.parametrize("words", [["--marks", "lens.db"], ["--marks"]], ids=["named", "by itself"])
def test_marks_come_from_a_store(tmp_path: Path, words: list[str]) -> None:
    """
    Of the one that is named, or of this user's lens.
    """
    (tmp_path / "pyproject.toml").write_text(
        '[tool.bizspan.kpi.signups]\nkind = "count"\nevent = "signup"\nowner = "growth"\nmeaning = "Signups."\n',
        encoding="utf-8",
    )
    store = tmp_path / ("lens.db" if words[1:] else "state/bizspan/lens.db")
    store.parent.mkdir(parents=True, exist_ok=True)
    _marks.add(store, [Mark("TV spot", time.time_ns(), time.time_ns() + MINUTE_NS, "DE")])

    def export(*told: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bizspan", "export", "prometheus", *told],
            env=environment(None, XDG_STATE_HOME=str(tmp_path / "state")), cwd=tmp_path, capture_output=True, text=True,
            timeout=BOUND_S, check=False,
        )  # fmt: skip

    ran = export(*words)
    assert 0 == ran.returncode, ran.stderr
    group = yaml.safe_load(ran.stdout)["groups"][0]
    assert ("bizspan-marks", {"number": "1", "mark": "TV spot", "country": "DE"}) == (
        group["name"], group["rules"][0]["labels"],
    )  # fmt: skip
    none = export("--marks", "none.db")
    assert (2, True) == (none.returncode, "none.db does not exist" in none.stderr), none.stderr
