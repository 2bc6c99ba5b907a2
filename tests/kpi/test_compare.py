"""Two versions over the same minutes, and before and after a moment: what a store of events says of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import isclose
from pathlib import Path
from typing import Literal

import pytest

from bizspan import names
from bizspan._columns import SERVICE_VERSION
from bizspan.errors import SetupError
from bizspan.kpi import (
    KPI,
    AverageOrderValue,
    Calendar,
    CompareOptions,
    Comparison,
    Conversion,
    Count,
    Definition,
    Distinct,
    Line,
    Period,
    Quantile,
    Ratio,
    Recurring,
    Retention,
    Source,
    SqliteSource,
    Sum,
    before_after,
    compare,
    concurrent,
    operations,
    refunds,
)
from bizspan.kpi._compared_render import as_data, as_markdown, as_text
from bizspan.kpi._plan import plan
from bizspan.lens import Mark
from tests.kpi.releases import (
    CHECKOUT,
    FAILED,
    HOUR,
    MINUTE,
    NOW,
    PAID,
    REVENUE,
    SUCCESS,
    WEEK,
    always,
    checkout,
    kpi,
    rollout,
)
from tests.kpi.stores import HAS_CHDB, NO_CHDB, SECOND, ChdbSource, Told, sqlite_store
from tests.report.shops import lens_store

UTC_DAYS = Calendar()
TODAY = Period(NOW - 6 * HOUR, NOW)


def versions(
    source: Source, kpis: Iterable[KPI], options: CompareOptions | None = None, by: str = "service.version"
) -> Comparison:
    return compare(kpis, source, concurrent(by, "1.4", "1.5", TODAY, UTC_DAYS), options, as_of_ns=NOW)


def by_name(found: Comparison) -> Mapping[str, Line]:
    return {f"{line.kpi.name} {line.currency}".rstrip(): line for line in found.lines}


def store(path: Path, told: Iterable[Told]) -> Source:
    return sqlite_store(path / "store.db", told)


# --- concurrent -------------------------------------------------------------------------------------------------------


def test_a_release_that_hurts_is_worse(tmp_path: Path) -> None:
    """
    Success falls from 61 to 48 %: worse by each KPI's own direction, with the truth inside the interval; exit code 1.
    """
    source = store(tmp_path, rollout(lambda _, new: 0.48 if new else 0.61))

    found = versions(source, [SUCCESS, FAILED, REVENUE])

    lines = by_name(found)
    assert ["worse", "worse"] == [lines[name].verdict for name in ("success", "failed")]
    difference = lines["success"].difference
    assert difference is not None
    assert difference.low <= -0.13 <= difference.high < 0
    assert {"1.4": difference.of_baseline, "1.5": difference.of_candidate} == dict(found.seen)
    assert 1 == found.exit_code()


def test_a_release_that_changes_nothing_is_unclear(tmp_path: Path) -> None:
    """
    Equal versions are not told apart; nothing is worse, but nothing is shown to be better either.
    """
    found = versions(store(tmp_path, rollout(always(0.61))), [SUCCESS, FAILED, REVENUE])

    assert ["unclear"] * 3 == [line.verdict for line in found.lines]
    assert (0, 3) == (found.exit_code(), found.exit_code(is_better_required=True))


def test_a_better_release_passes_where_better_is_required(tmp_path: Path) -> None:
    """
    Exit code 0 as soon as every KPI is better.
    """
    found = versions(store(tmp_path, rollout(lambda _, new: 0.75 if new else 0.55)), [SUCCESS, FAILED])

    assert ["better", "better"] == [line.verdict for line in found.lines]
    assert 0 == found.exit_code(is_better_required=True)


def test_few_records_are_too_few(tmp_path: Path) -> None:
    """
    In the first minute there is no verdict, with the reason.
    """
    found = versions(store(tmp_path, rollout(always(0.6), lambda _: 0.2, minutes=1, per_minute=60)), [SUCCESS])

    assert "too few" == found.lines[0].verdict
    assert "candidate has" in found.lines[0].reason
    assert (0, 3) == (found.exit_code(), found.exit_code(is_better_required=True))


def test_a_version_without_records_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    """
    A version that nobody runs can't be compared: exit code 3, and what there is instead.
    """
    source = store(tmp_path, rollout(always(0.6), minutes=2))

    found = compare([SUCCESS], source, concurrent("version", "1.4", "1.6", TODAY, UTC_DAYS), as_of_ns=NOW)

    assert (("1.6",), (), 3) == (found.absent, found.lines, found.exit_code())
    assert {"1.4", "1.5"} == set(found.seen)


def test_a_rollout_whose_share_grows_while_conversion_falls_is_not_worse(tmp_path: Path) -> None:
    """
    The same minutes are compared: a bad afternoon, in which most traffic is the candidate's, is not the candidate's.
    """
    told = rollout(lambda gone, _: 0.7 - 0.4 * gone, lambda gone: 0.05 + 0.9 * gone, minutes=120)

    (line,) = versions(store(tmp_path, told), [SUCCESS]).lines

    assert "unclear" == line.verdict
    crude = [value or 0.0 for value in line.crude]
    assert crude[1] < crude[0] - 0.1  # what a plain comparison would have said


def test_the_error_is_shared_by_all_kpis(tmp_path: Path) -> None:
    """
    With five KPIs each interval is that of a fifth of alpha; what can't be compared takes no share.
    """
    source = store(tmp_path, rollout(always(0.6)))
    five = [replace(SUCCESS, name=f"success_{number}") for number in range(5)]

    alone = versions(source, [SUCCESS], CompareOptions(alpha=0.01)).lines[0]
    found = versions(source, [*five, kpi("p95", Quantile(0.95, of=CHECKOUT))])

    assert 5 == found.tests
    assert [alone.difference] * 5 == [line.difference for line in found.lines[:5]]


def test_money_is_compared_for_each_currency_apart(tmp_path: Path) -> None:
    """
    Euros and yen are two lines, each in its major units, over all checkouts.
    """
    told = rollout(always(0.9), currency=lambda random, _: random.choice(["EUR", "JPY"]))
    events = list(told)

    lines = by_name(versions(store(tmp_path, events), [REVENUE]))

    assert {"revenue EUR", "revenue JPY"} == set(lines)
    for currency, scale in (("EUR", 100), ("JPY", 1)):
        minor = names.MINOR_UNITS_KEYS[names.REVENUE]
        of = [each for each in events if each[SERVICE_VERSION] == "1.4"]
        total = sum(each[minor] or 0 for each in of if each[names.CURRENCY_KEYS[names.REVENUE]] == currency)
        assert isclose(total / scale / len(of), lines[f"revenue {currency}"].crude[0] or 0.0)


def test_a_second_currency_of_an_operation_is_no_second_unit(tmp_path: Path) -> None:
    """
    The event of its own that a second currency is counts for its operation.
    """
    events = list(rollout(always(0.9)))
    further = [
        Told(f"{each.uid}-2", each.time_ns, names.EVENT_REVENUE, {
            **{key: value for key, value in each.attributes.items() if key in (
                names.OPERATION_NAME, names.OPERATION_ID, names.OPERATION_OUTCOME, SERVICE_VERSION)},
            names.MINOR_UNITS_KEYS[names.REVENUE]: 500, names.CURRENCY_KEYS[names.REVENUE]: "USD",
        })
        for each in events if each[names.OPERATION_OUTCOME] == "success"
    ]  # fmt: skip

    lines = by_name(versions(store(tmp_path, [*events, *further]), [REVENUE]))

    euros, dollars = (lines[f"revenue {currency}"].difference for currency in ("EUR", "USD"))
    assert euros is not None
    assert dollars is not None
    assert len(events) == euros.of_baseline + euros.of_candidate == dollars.of_baseline + dollars.of_candidate
    assert dollars.baseline is not None
    assert isclose(5 * 0.9, dollars.baseline, rel_tol=0.05)


def test_what_does_not_count_is_counted(tmp_path: Path) -> None:
    """
    Bots are hidden, refused amounts missing, records without a customer unnamed.
    """
    events = [
        *rollout(always(0.9), customer=lambda _, index: f"c{index}"),
        *(checkout(f"bot-{n}", NOW - MINUTE, "1.5", paid=True, customer="b", traffic="bot") for n in range(7)),
        *(checkout(f"bad-{n}", NOW - MINUTE, "1.4", paid=True, customer=f"x{n}",
                   invalid="parse") for n in range(3)),
        *(checkout(f"who-{n}", NOW - MINUTE, "1.4", paid=True) for n in range(4)),
    ]  # fmt: skip

    (line,) = versions(store(tmp_path, events), [kpi("all", Sum("revenue"))]).lines

    # Of the bots none has an amount; they are hidden where the KPI would count them.
    assert {"hidden": 0, "missing": 3, "unnamed": 4, "crossed": 0} == dict(line.beside)
    assert 7 == by_name(versions(store(tmp_path, events), [SUCCESS]))["success"].beside["hidden"]


def test_a_customer_in_both_versions_counts_for_the_first(tmp_path: Path) -> None:
    """
    Where customers meet both versions, the one with more traffic has more records of each; that is no effect.
    """
    events = list(
        rollout(always(0.6), lambda _: 0.2, per_minute=60, customer=lambda random, _: f"c{random.randrange(700)}")
    )

    (line,) = versions(store(tmp_path, events), [kpi("all", Sum("revenue"))]).lines

    seen: dict[str, set[str]] = {}
    for each in events:
        seen.setdefault(each[names.CUSTOMER], set()).add(each[SERVICE_VERSION])
    assert line.difference is not None
    assert sum(len(each) == 2 for each in seen.values()) == line.beside["crossed"] > 300
    assert len(seen) == line.difference.of_baseline + line.difference.of_candidate
    assert "unclear" == line.verdict


def test_slices_have_no_verdict_and_small_ones_are_not_shown(tmp_path: Path) -> None:
    """
    Where it happens is shown by country; a country of three customers is not, nor one that would give it away.
    """

    def rate(random: object, index: int) -> str:
        return "LU" if index in (100, 101, 102, 103) else ("DE", "AT", "CH")[index % 3]

    found = versions(
        store(tmp_path, rollout(lambda _, new: 0.4 if new else 0.6, country=rate)),
        [SUCCESS],
        CompareOptions(slices=("country",)),
    )

    (line,) = found.lines
    assert 2 == line.suppressed
    assert 2 == len(line.slices)
    assert all(each.value in ("DE", "AT", "CH") and (each.difference.value or 0) < 0 for each in line.slices)


def test_the_loss_in_an_hour_is_told(tmp_path: Path) -> None:
    """
    The difference of revenue, times the candidate's checkouts, over the 61 minutes that an hour lies in.
    """
    (line,) = versions(store(tmp_path, rollout(lambda _, new: 0.2 if new else 0.6)), [REVENUE]).lines

    assert line.difference is not None
    assert line.difference.value is not None
    assert line.per_hour is not None
    assert "worse" == line.verdict
    assert isclose(line.difference.value * line.difference.of_candidate * 60 / 61, line.per_hour)


def test_money_at_risk_is_per_attempt(tmp_path: Path) -> None:
    """
    What failed checkouts were worth is over all checkouts: a version that fails more often has more at risk.
    """
    value = names.MINOR_UNITS_KEYS[names.VALUE], names.CURRENCY_KEYS[names.VALUE]
    events = [
        replace(each, attributes={**each.attributes, value[0]: 1000, value[1]: "EUR"})
        for each in rollout(lambda _, new: 0.4 if new else 0.6)
    ]
    at_risk = kpi("at_risk", Sum("value", operations("checkout", outcome="failed")), "down")

    (line,) = versions(store(tmp_path, events), [at_risk]).lines

    failed = [each for each in events if each[SERVICE_VERSION] == "1.5" and each[names.OPERATION_OUTCOME] == "failed"]
    many = sum(each[SERVICE_VERSION] == "1.5" for each in events)
    assert ("worse", "EUR") == (line.verdict, line.currency)
    assert isclose(10 * len(failed) / many, line.crude[1] or 0.0)


def test_an_order_is_a_unit_like_any_other(tmp_path: Path) -> None:
    """
    `unit="order"` counts per order, although orders are also the unit of an average order value.
    """
    events = rollout(always(1.0), order=lambda random, index: f"o{index // 2}")

    (line,) = versions(store(tmp_path, events), [kpi("checkouts", Count(CHECKOUT))], CompareOptions(unit="order")).lines

    assert line.difference is not None
    assert 1200 == line.difference.of_baseline + line.difference.of_candidate
    assert (2.0, 2.0) == line.crude


def test_a_variant_of_a_flag_is_compared_like_a_version(tmp_path: Path) -> None:
    """
    Any fact tells the arms; records of other flags are left out by a condition.
    """
    shown = rollout(
        always(0.6), seed=2, flag=lambda random, _: random.choice(["banner", "basket"]),
        variant=lambda random, _: random.choice(["on", "off"]),
    )  # fmt: skip
    events = [
        replace(each, attributes={**each.attributes, names.OPERATION_OUTCOME: "failed"})
        if each[names.FLAG] == "basket" and each[names.VARIANT] == "on"
        else each
        for each in shown
    ]
    source = store(tmp_path, events)
    design = concurrent("variant", "off", "on", TODAY, UTC_DAYS)

    of_basket = compare([SUCCESS], source, design, CompareOptions(where=(("flag", "basket"),)), as_of_ns=NOW)
    of_banner = compare([SUCCESS], source, design, CompareOptions(where=(("flag", "banner"),)), as_of_ns=NOW)

    assert ["worse", "unclear"] == [found.lines[0].verdict for found in (of_basket, of_banner)]
    assert sum(each[names.FLAG] == "banner" for each in events) == sum(of_banner.seen.values())


@pytest.mark.parametrize(
    ("direction", "slower", "verdict"), [("down", True, "worse"), ("down", False, "better"), ("up", True, "better")]
)
def test_a_quantile_is_compared_by_the_part_within_its_target(
    tmp_path: Path, direction: Literal["up", "down"], slower: bool, verdict: str
) -> None:
    """
    Of a duration, fewer within two seconds are worse; of a score, more above the limit are better.
    """

    def took(number: int, version: str) -> float:
        if version == "1.4":
            return 4.0 if number % 5 == 0 else 1.0
        return 2.2 if slower and number % 3 else 0.5

    events = [
        replace(each, attributes={**each.attributes, names.OPERATION_DURATION: took(number, each[SERVICE_VERSION])})
        for number, each in enumerate(rollout(always(0.6)))
    ]
    p95 = KPI("p95", Quantile(0.95, of=CHECKOUT), owner="it", meaning="Slow.", direction=direction, target=2)

    (line,) = versions(store(tmp_path, events), [p95]).lines

    assert line.plan is not None
    assert (verdict, "of checkout within 2") == (line.verdict, line.plan.per)
    within = [
        each for each in events if each[SERVICE_VERSION] == "1.5"
        and ((each[names.OPERATION_DURATION] <= 2) if direction == "down" else (each[names.OPERATION_DURATION] >= 2))
    ]  # fmt: skip
    assert isclose(len(within) / sum(each[SERVICE_VERSION] == "1.5" for each in events), line.crude[1] or 0.0)


def test_hostile_values_are_only_values(tmp_path: Path) -> None:
    """
    A version with SQL in it is compared like any other, and nothing is executed.
    """
    hostile = "1.5'); DROP TABLE events; --"
    events = [
        replace(each, attributes={**each.attributes, SERVICE_VERSION: hostile})
        if each[SERVICE_VERSION] == "1.5"
        else each
        for each in rollout(lambda _, new: 0.3 if new else 0.6)
    ]
    source = store(tmp_path, events)

    for _ in range(2):
        found = compare([SUCCESS], source, concurrent("version", "1.4", hostile, TODAY, UTC_DAYS), as_of_ns=NOW)
        assert "worse" == found.lines[0].verdict


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (Count(CHECKOUT), "a count grows with its arm's traffic"),
        (Quantile(0.95, of=CHECKOUT), "give it a target"),
        (Retention(PAID), "retention needs whole periods"),
        (Recurring("mrr"), "a gauge is one value for all"),
        (Sum("refund", refunds(), dated="order"), "not the one that refunds"),
        (Ratio(Sum("refund", refunds(), dated="order"), Sum("revenue")), "not the one that refunds"),
        (Distinct("customer"), "every customer counts"),
        (Ratio(Distinct("customer", PAID), Distinct("session", CHECKOUT)), "no unit in common"),
    ],
)
def test_what_cannot_be_compared_says_why(of: Definition, said: str, tmp_path: Path) -> None:
    """
    It is unclear, with the reason, and never worse or better.
    """
    found = versions(store(tmp_path, rollout(lambda _, new: 0.2 if new else 0.8, minutes=5)), [kpi("it", of)])

    assert ("unclear", 0, None) == (found.lines[0].verdict, found.tests, found.lines[0].difference)
    assert said in found.lines[0].reason


def test_each_kind_has_its_unit() -> None:
    """
    The subject where a KPI has one, the record or the order where not, or what the user names.
    """
    basket = operations("basket")
    assert [
        "rate record of checkout", "mean customer per customer", "mean operation per checkout", "mean order per order",
        "rate customer of all customers", "rate customer of customers that entered", "ratio record per basket",
        "ratio session per checkout", "mean customer per customer", "mean order per order",
    ] == [
        f"{how.measure} {how.unit} {how.per}"
        for how in (
            plan(Count(PAID)), plan(Count(CHECKOUT), "customer"), plan(Sum(of=CHECKOUT)),
            plan(AverageOrderValue(of=CHECKOUT)), plan(Distinct("customer", PAID)),
            plan(Conversion((basket, PAID))), plan(Ratio(Sum(of=CHECKOUT), Count(basket))),
            plan(Ratio(Count(PAID), Count(CHECKOUT)), "session"), plan(Sum("refund", refunds())),
            plan(Count(CHECKOUT), "order"),
        )
        if not isinstance(how, str)
    ]  # fmt: skip


@pytest.mark.skipif(not HAS_CHDB, reason=NO_CHDB)
def test_clickhouse_says_what_the_lens_says(tmp_path: Path) -> None:
    """
    The same differences and verdicts from both engines.
    """
    events = [
        replace(each, attributes={**each.attributes, names.FEEDBACK_SCORE: float(index % 11)})
        for index, each in enumerate(
            rollout(
                lambda _, new: 0.48 if new else 0.61,
                country=lambda random, _: random.choice(["DE", "AT"]),
                customer=lambda random, _: f"c{random.randrange(900)}",
            )
        )
    ]
    score = KPI("seven", Quantile(0.5, "score", CHECKOUT), owner="it", meaning="A test.", target=7)
    kpis = [SUCCESS, FAILED, REVENUE, score, kpi("average", AverageOrderValue(of=CHECKOUT)), kpi("all", Sum())]
    options = CompareOptions(slices=("country",))
    clickhouse = ChdbSource()
    clickhouse.load(events)

    lens, other = (versions(source, kpis, options) for source in (store(tmp_path, events), clickhouse))

    assert [(line.verdict, line.beside) for line in lens.lines] == [(line.verdict, line.beside) for line in other.lines]
    for one, two in zip(lens.lines, other.lines, strict=True):
        assert one.difference is not None
        assert two.difference is not None
        assert isclose(one.difference.low, two.difference.low, rel_tol=1e-9)
        assert [each.value for each in one.slices] == [each.value for each in two.slices]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("version", "1.4", "1.4"), "two different values"),
        (("version", "", "1.5"), "two different values"),
        (("versoin", "1.4", "1.5"), "did you mean 'version'"),
        (("duration", "1.4", "1.5"), "too many values"),
    ],
)
def test_wrong_arms_are_refused(arguments: tuple[str, str, str], said: str, tmp_path: Path) -> None:
    """
    With what to write instead.
    """
    source = store(tmp_path, rollout(always(0.6), minutes=1))

    with pytest.raises(SetupError, match=said):
        compare([SUCCESS], source, concurrent(*arguments, TODAY, UTC_DAYS), as_of_ns=NOW)


@pytest.mark.parametrize(("alpha", "minimum"), [(0.0, 30), (1.0, 30), (0.05, 1)])
def test_options_out_of_range_are_refused(alpha: float, minimum: int) -> None:
    """
    Nobody compares with an error of 0.
    """
    with pytest.raises(SetupError):
        CompareOptions(alpha, minimum)


# --- before and after -------------------------------------------------------------------------------------------------


def weeks(now: float, before: float, at_ns: int, minutes: int = 60) -> Iterable[Told]:
    """
    The same hour of five Mondays; what comes before them that day is far worse, as nights are.
    """
    for week in range(5):
        until_ns = at_ns + minutes * MINUTE - week * WEEK
        rate = before if week else now
        yield from rollout(always(rate), minutes=minutes, until_ns=until_ns, seed=week + 10)
        yield from rollout(
            always(0.2), minutes=minutes, until_ns=until_ns - minutes * MINUTE, seed=week + 20
        )  # fmt: skip


@pytest.mark.parametrize(("now", "verdict", "code"), [(0.61, "unclear", 0), (0.45, "worse", 1)])
def test_after_is_compared_with_the_same_hours_of_the_weeks_before(
    tmp_path: Path, now: float, verdict: str, code: int
) -> None:
    """
    A bad morning before the moment does not make it better; a drop against the same hours of other weeks is found.
    """
    at_ns = NOW - 60 * MINUTE
    source = store(tmp_path, weeks(now, 0.61, at_ns))

    found = compare([SUCCESS], source, before_after(at_ns, NOW, 4, UTC_DAYS), as_of_ns=NOW)

    assert (verdict, code) == (found.lines[0].verdict, found.exit_code())
    assert not found.design.is_concurrent
    assert {"after": 2400, "before": 4 * 2400} == dict(found.seen)


def test_windows_keep_the_clock_of_the_wall() -> None:
    """
    Ten in the morning is that on both sides of the change of the clock; long times do not meet themselves.
    """
    berlin = Calendar("Europe/Berlin")
    at = datetime(2026, 10, 26, 10, tzinfo=berlin.zone)
    at_ns = round(at.timestamp()) * 1_000_000_000

    short = before_after(at_ns, at_ns + 2 * HOUR, 2, berlin)
    long = before_after(at_ns, at_ns + 10 * 24 * HOUR, 2, berlin)

    def shown(time_ns: int) -> str:
        return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).isoformat(timespec="minutes")[:16]

    assert [
        ("after", "2026-10-26T09:00", "2026-10-26T11:00"),
        ("before", "2026-10-19T08:00", "2026-10-19T10:00"),
        ("before", "2026-10-12T08:00", "2026-10-12T10:00"),
    ] == [(arm, shown(period.since_ns), shown(period.until_ns)) for arm, period in short.windows]
    assert ["2026-10-26", "2026-10-12", "2026-09-28"] == [shown(each.since_ns)[:10] for _, each in long.windows]


def test_a_marked_week_is_left_out_and_the_one_before_it_stands_in(tmp_path: Path) -> None:
    """
    A bad week that is marked makes nothing look better; the answer says which was left out.
    """
    at_ns = NOW - 60 * MINUTE
    rates = {0: 0.45, 1: 0.61, 2: 0.1, 3: 0.61}
    source = store(
        tmp_path,
        [
            event
            for week, rate in rates.items()
            for event in rollout(always(rate), minutes=60, until_ns=NOW - week * WEEK, seed=week + 1)
        ],
    )
    flood = Mark("flood", at_ns - 2 * WEEK + 10 * MINUTE, at_ns - 2 * WEEK + 11 * MINUTE)
    beside = Mark("ended before", 0, at_ns - 2 * WEEK), Mark("starts after", NOW - WEEK, NOW)

    plain = compare([SUCCESS], source, before_after(at_ns, NOW, 2, UTC_DAYS), as_of_ns=NOW)
    skipped = compare([SUCCESS], source, before_after(at_ns, NOW, 2, UTC_DAYS, [flood]), as_of_ns=NOW)
    design = before_after(at_ns, NOW, 1, UTC_DAYS, beside)

    assert ["unclear", "worse"] == [found.lines[0].verdict for found in (plain, skipped)]
    assert [0, 1, 3] == [(NOW - period.until_ns) // WEEK for _, period in skipped.design.windows]
    assert [(2, ("flood",))] == [
        ((NOW - each.period.until_ns) // WEEK, each.labels) for each in skipped.design.left_out
    ]
    assert ((), ()) == (plain.design.left_out, design.left_out)
    text = as_text(skipped)
    assert "marked, so left out of what came before: 1 time (1 h); 2 without a mark are compared with" in text
    assert ["flood"] == as_data(skipped, 1)["left_out"][0]["marks"]


def test_what_is_missing_before_is_said(tmp_path: Path) -> None:
    """
    A marked time with its hours, a week without any record, one that the store has dropped in part, and hours that have
    no counterpart: each in the text, and in the data.
    """
    at_ns = NOW - 3 * HOUR
    events = [
        event
        for week, minutes in {0: 180, 1: 120, 2: 120, 4: 120}.items()
        for event in rollout(always(0.6), minutes=minutes, until_ns=NOW - week * WEEK, seed=week + 1)
    ]
    flood = Mark("flood", at_ns - WEEK, at_ns - WEEK + 1)
    source = lens_store(tmp_path / "lens.db", events)
    with closing(sqlite3.connect(source)) as database:
        database.execute("INSERT INTO dropped VALUES ('events', 'age', 1, ?)", (NOW - 4 * WEEK - HOUR,))
        database.commit()

    design = before_after(at_ns, NOW, 3, UTC_DAYS, [flood])
    found = compare([SUCCESS], SqliteSource(source), design, as_of_ns=NOW)

    text, data = as_text(found), as_data(found, 0)
    day = datetime.fromtimestamp(at_ns / 1e9, UTC)
    alone = sum(each.time_ns < NOW - 2 * HOUR - 800 * SECOND for each in events if each.time_ns >= at_ns)
    week = [(day - timedelta(weeks=back)).isoformat(timespec="seconds") for back in range(5)]
    kept = datetime.fromtimestamp((NOW - 4 * WEEK - HOUR) // SECOND, UTC).isoformat(timespec="seconds")
    said = [
        "marked, so left out of what came before: 1 time (3 h); 3 without a mark are compared with",
        f"left out: {week[1]} to {(day - timedelta(days=7, hours=-3)).isoformat(timespec='seconds')} (3 h), flood",
        f"no record in 1 of 3 times before, so nothing to compare with: from {week[3]}",
        f"the store has dropped what happened before {kept}: 1 of 3 times before is incomplete: from {week[4]}",
        f"success: 1 of 4 hours (by weekday) has records on one side alone, so that {alone:,} units are left out",
    ]
    assert said == [note for note in data["notes"] if note in said]
    assert said == [line for line in text.splitlines() if line in said]
    assert 5 == sum(f"- {note.replace('[', '')}" in as_markdown(found) for note in said)
    assert [3.0] == [each["hours"] for each in data["left_out"]]
    assert [(7200, False), (4800, False), (0, False), (4800, True)] == [
        (each["records"], each["incomplete"]) for each in data["windows"]
    ]
    (line,) = data["kpis"]
    assert (4, 3, alone) == (line["hours"], line["hours_matched"], line["unmatched"])


def test_weeks_that_are_all_marked_are_none_to_compare_with() -> None:
    """
    At most 12 are passed over.
    """
    at_ns = NOW - 60 * MINUTE
    most = Mark("outage", NOW - 11 * WEEK, at_ns)

    assert 10 == len(before_after(at_ns, NOW, 4, UTC_DAYS, [most]).left_out)
    with pytest.raises(SetupError, match="each of the last 13 times before has a mark in it"):
        before_after(at_ns, NOW, 4, UTC_DAYS, [Mark("outage", 0, at_ns)])


def test_conversions_that_still_have_time_are_not_held_against_after(tmp_path: Path) -> None:
    """
    Only attempts whose window is over are compared; within the same minutes all are, since both arms have as much time.
    """

    def visits(until_ns: int, is_over: bool, seed: int) -> Iterable[Told]:
        for each in rollout(always(1.0), minutes=60, until_ns=until_ns, seed=seed):
            customer = {names.CUSTOMER: each.uid}
            basket = {**customer, names.OPERATION_NAME: "basket", names.OPERATION_ID: f"b-{each.uid}"}
            yield Told(f"b-{each.uid}", each.time_ns, names.EVENT_OPERATION, {**each.attributes, **basket})
            if is_over or each.time_ns < until_ns - 30 * MINUTE:
                yield replace(each, time_ns=each.time_ns + 29 * MINUTE, attributes={**each.attributes, **customer})

    at_ns = NOW - HOUR
    events = [event for week in range(3) for event in visits(NOW - week * WEEK, week > 0, week + 1)]
    conversion = kpi("conversion", Conversion((operations("basket"), PAID), window="30min"))
    source = store(tmp_path, events)

    found = compare([conversion], source, before_after(at_ns, NOW, 2, UTC_DAYS), as_of_ns=NOW)

    difference = found.lines[0].difference
    assert difference is not None
    assert "unclear" == found.lines[0].verdict
    assert isclose(0.0, difference.value or 0.0, abs_tol=1e-9)
    assert 1100 < difference.of_candidate < 1300


@pytest.mark.parametrize(("at", "many"), [(NOW + HOUR, 4), (NOW - HOUR, 0), (NOW - HOUR, 60)])
def test_wrong_moments_are_refused(at: int, many: int) -> None:
    """
    A moment that lies ahead, no week and too many weeks are said to be wrong.
    """
    with pytest.raises(SetupError):
        before_after(at, NOW, many, UTC_DAYS)
