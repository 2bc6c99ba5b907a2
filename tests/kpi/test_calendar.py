"""Periods: time zones, daylight saving, starts of the week, and what a text names."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bizspan.errors import SetupError
from bizspan.kpi import Calendar, Period
from bizspan.kpi._calendar import ns_of

HOUR = 3_600_000_000_000
BERLIN = Calendar("Europe/Berlin")
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo"]


def at(text: str, zone: str = "Europe/Berlin") -> int:
    moment = datetime.fromisoformat(text)
    return ns_of(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone)))


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("Europe/Berlin", "2026-10-26", 24),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("America/Sao_Paulo", "2018-11-04", 23),  # the clock is set forward at midnight
        ("UTC", "2026-03-29", 24),
    ],
)
def test_a_day_has_the_hours_that_it_has(zone: str, day: str, hours: float) -> None:
    """
    Days on which the clock changes have 23, 25 or other hours, by their own zone's rules.
    """
    calendar = Calendar(zone)
    whole = calendar.day(date.fromisoformat(day))

    assert hours * HOUR == whole.until_ns - whole.since_ns
    assert whole.until_ns == calendar.day(date.fromisoformat(day) + timedelta(days=1)).since_ns


def test_the_hours_of_the_long_night_are_25_and_each_is_one_hour() -> None:
    """
    The hour that comes twice is two hours, told apart by their offset.
    """
    hours = list(BERLIN.split(BERLIN.read("2026-10-25", 0), "hour"))

    assert 25 == len(hours)
    assert {HOUR} == {hour.until_ns - hour.since_ns for hour in hours}
    assert ["2026-10-25T02:00+0200", "2026-10-25T02:00+0100"] == [each.label for each in hours[2:4]]


@given(
    zone=st.sampled_from(ZONES),
    seconds=st.integers(0, 4_000_000_000),
    unit=st.sampled_from(["hour", "day", "week", "month"]),
    week_start=st.sampled_from(["monday", "sunday", "saturday"]),
)
def test_periods_meet_without_gap_or_overlap(zone: str, seconds: int, unit: str, week_start: str) -> None:
    """
    A moment lies in one period of each kind; the next period begins where it ends.
    """
    calendar = Calendar(zone, week_start)
    here = calendar.around(seconds * 1_000_000_000, unit)  # type: ignore[arg-type]
    following = calendar.around(here.until_ns, unit)  # type: ignore[arg-type]

    assert here.has(seconds * 1_000_000_000)
    if zone != "Australia/Lord_Howe" or unit != "hour":  # an hour is cut there when the clock moves by half of one
        assert here.until_ns == following.since_ns
    assert here.until_ns < following.until_ns


@pytest.mark.parametrize(
    ("week_start", "first"), [("monday", "2026-11-23"), ("sunday", "2026-11-22"), ("saturday", "2026-11-21")]
)
def test_a_week_starts_on_the_day_that_was_chosen(week_start: str, first: str) -> None:
    """
    The same Friday lies in weeks that start on different days.
    """
    week = Calendar("Europe/Berlin", week_start).around(at("2026-11-27T12:00"), "week")

    assert at(first) == week.since_ns
    assert first == week.label


def test_one_event_lies_on_two_days_in_two_zones() -> None:
    """
    Half past eleven in New York is the next day in Berlin.
    """
    moment = at("2026-03-07T23:30", "America/New_York")

    assert "2026-03-07" == Calendar("America/New_York").around(moment, "day").label
    assert "2026-03-08" == BERLIN.around(moment, "day").label


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("today", "2026-03-30", "2026-03-31"),
        ("yesterday", "2026-03-29", "2026-03-30"),
        ("this-week", "2026-03-30", "2026-04-06"),
        ("last-week", "2026-03-23", "2026-03-30"),
        ("this-month", "2026-03-01", "2026-04-01"),
        ("last-month", "2026-02-01", "2026-03-01"),
        ("7d", "2026-03-24", "2026-03-31"),
        ("2w", "2026-03-23", "2026-04-06"),
        ("3m", "2026-01-01", "2026-04-01"),
        ("2h", "2026-03-30T09:00", "2026-03-30T11:00"),
        ("2026-02", "2026-02-01", "2026-03-01"),
        ("2026-03-29", "2026-03-29", "2026-03-30"),
        ("2026-03-01..2026-03-08", "2026-03-01", "2026-03-08"),
        ("2026-03-01T10:00+00:00..2026-03-01T12:00+01:00", "2026-03-01T11:00", "2026-03-01T12:00"),
    ],
)
def test_a_text_names_a_period(text: str, since: str, until: str) -> None:
    """
    Words, days, months, and the last so many, in the calendar's zone.
    """
    period = BERLIN.read(text, at("2026-03-30T10:30"))

    assert (at(since), at(until)) == (period.since_ns, period.until_ns)


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-13", "2026-02-30", "0d", "x..y", "2026-03-08..2026-03-01", "this-year"]
)
def test_a_text_that_names_none_says_what_would(text: str) -> None:
    """
    The error has examples, or says what is wrong with the order.
    """
    with pytest.raises(SetupError, match=r"is no period; use today|ends after it starts"):
        BERLIN.read(text, 0)


@pytest.mark.parametrize(
    ("text", "zone", "said"),
    [
        ("2011-12-30", "Pacific/Apia", "2011-12-30 does not exist in Pacific/Apia: its clock went past it."),
        ("1969-07-20", "Europe/Berlin", "1969-07-20 is before 1970 in UTC, from which time is counted."),
        ("1969-07", "UTC", "1969-07 is before 1970 in UTC, from which time is counted."),
        ("tomorrow", "UTC", "'tomorrow' has not begun: nothing has happened in it yet."),
        ("next-week", "UTC", "'next-week' has not begun: nothing has happened in it yet."),
    ],
)
def test_a_period_that_has_no_figure_says_why(text: str, zone: str, said: str) -> None:
    """
    A day that the clock left out, one before time is counted, and one that is still to come.
    """
    with pytest.raises(SetupError) as error:
        Calendar(zone).read(text, at("2026-03-30T10:30"))

    assert said == str(error.value)


def test_the_days_around_one_that_does_not_exist_meet() -> None:
    """
    In Apia the 31st follows the 29th.
    """
    apia = Calendar("Pacific/Apia")
    last, first = apia.read("2011-12-29", 0), apia.read("2011-12-31", 0)

    assert last.until_ns == first.since_ns
    assert (last.since_ns, last.until_ns) == (apia.before(first).since_ns, apia.before(first).until_ns)
    assert 30 == sum(1 for _ in apia.split(apia.month(2011, 12), "day"))


def test_the_period_before_has_the_same_number_of_days() -> None:
    """
    The seven days before the last seven, though one of them has 23 hours.
    """
    period = BERLIN.read("7d", at("2026-04-03T10:00"))
    before = BERLIN.before(period)

    assert (at("2026-03-21"), at("2026-03-28")) == (before.since_ns, before.until_ns)
    assert "2026-02" == BERLIN.before(BERLIN.read("2026-03", 0)).label.partition("-01..")[0]


def test_what_has_gone_by_of_a_period() -> None:
    """
    A period that goes on is cut at the moment; one that is over, or to come, is whole.
    """
    today = BERLIN.read("today", at("2026-03-30T10:30"))

    assert at("2026-03-30T10:30") == today.elapsed(at("2026-03-30T10:30")).until_ns
    assert today == today.elapsed(at("2026-04-01"))
    assert today == today.elapsed(at("2026-03-01"))
    assert at("2026-03-30T02:00") == today.first(2 * HOUR).until_ns


@pytest.mark.parametrize(
    ("zone", "week_start", "said"),
    [("Europe/Berln", "monday", "time zone"), ("UTC", "Mon", "week_start"), ("../etc/passwd", "monday", "time zone")],
)
def test_a_calendar_of_nonsense_is_refused(zone: str, week_start: str, said: str) -> None:
    """
    An unknown zone or day is a set-up error that names it.
    """
    with pytest.raises(SetupError, match=said):
        Calendar(zone, week_start)


def test_a_period_that_ends_before_it_starts_is_refused() -> None:
    """
    So is one before 1970.
    """
    for since, until in ((2, 1), (1, 1), (-1, 1)):
        with pytest.raises(SetupError, match="ends after it starts"):
            Period(since, until)
    assert datetime(1970, 1, 2, tzinfo=UTC).timestamp() == Calendar().around(0, "day").until_ns / 10**9
