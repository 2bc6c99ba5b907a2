"""The interval of a difference holds at every look, finds what is there, and is not fooled by a share that changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, isclose, log, sqrt
from random import Random

import pytest

from bizspan.kpi._sequential import (
    TIGHTEST,
    Apart,
    Measure,
    Stratum,
    Sums,
    between_blocks,
    difference,
    merged,
    sums,
)

Draw = Callable[[Random], float]


def rate(p: float) -> Draw:
    return lambda random: float(random.random() < p)


def money(sigma: float) -> Draw:
    """Half buy nothing; the others' baskets are lognormal, a few of them huge."""
    return lambda random: random.lognormvariate(3, sigma) if random.random() < 0.5 else 0.0


def looks(
    arms: tuple[Draw, Draw], *, users: int, share: float, measure: Measure, seed: int, per_minute: int = 100
) -> tuple[int | None, int | None]:
    """
    At how many users the interval left 0, and at how many a test made for one look did; looked at every 10 users.
    """
    random = Random(seed)
    closed: list[Stratum] = []
    minute, over_all = [Sums(), Sums()], [Sums(), Sums()]
    naive: int | None = None
    for user in range(1, users + 1):
        arm = random.random() < share
        told = sums([arms[arm](random)])
        minute[arm] += told
        over_all[arm] += told
        if user % per_minute == 0:
            closed.append(Stratum(minute[0], minute[1]))
            minute = [Sums(), Sums()]
        if user % 10:
            continue
        if naive is None and min(each.n for each in over_all) >= 10:
            error = sqrt(sum(each.squares / (each.n - 1) / each.n for each in over_all))
            baseline, candidate = (each.y / each.n for each in over_all)
            naive = user if error and abs(candidate - baseline) > 1.96 * error else None
        found = difference([*closed, Stratum(minute[0], minute[1])], alpha=0.05, measure=measure)
        if found.verdict("up") in ("better", "worse"):
            return user, naive
    return None, naive


@pytest.mark.once
@pytest.mark.parametrize(
    ("what", "draw", "share", "measure"),
    [
        ("61 % of orders, half and half", rate(0.61), 0.5, "rate"),
        ("2 % of orders, a tenth in the candidate", rate(0.02), 0.1, "rate"),
        ("lognormal baskets, a twentieth in the candidate", money(2.0), 0.05, "mean"),
    ],
)
def test_looking_often_rejects_no_more_than_alpha(
    what: str, draw: Draw, share: float, measure: Measure, long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Two equal arms, looked at every 10 users, are told apart in at most 5 % of the runs; a test for one look fails.
    """
    runs, users = (1_000, 4_000) if long else (60, 1_000)

    found = [looks((draw, draw), users=users, share=share, measure=measure, seed=seed) for seed in range(runs)]
    false = sum(at is not None for at, _ in found)
    naive = sum(at is not None for _, at in found)

    with capsys.disabled():
        print(
            f"\n  A/A, {what}: {runs} runs of {users:,} users, told apart {false / runs:.1%}, z-test {naive / runs:.1%}"
        )
    assert false <= 0.05 * runs
    assert naive >= 0.2 * runs


def test_a_drop_is_found_within_so_many_users(long: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A conversion that falls from 61 to 48 % is found in nearly every run, and always as worse.
    """
    runs = 400 if long else 40

    found = [
        looks((rate(0.61), rate(0.48)), users=4_000, share=0.5, measure="rate", seed=seed)[0] for seed in range(runs)
    ]
    at = sorted(users if users is not None else 10**9 for users in found)

    with capsys.disabled():
        print(f"\n  61 -> 48 %, half and half: found after {at[runs // 2]:,} users (half of the runs),"
              f" {at[int(runs * 0.9)]:,} (nine of ten)")  # fmt: skip
    assert at[runs // 2] < 900
    assert at[int(runs * 0.9)] < 2_000


def test_an_interval_covers_the_difference_at_every_look(long: bool) -> None:
    """
    Where the arms differ, the true difference is inside at all looks of at least 95 % of the runs.
    """
    runs = 600 if long else 60
    missed = 0
    for seed in range(runs):
        random = Random(seed)
        strata: list[Stratum] = []
        for _ in range(40):
            baseline = sums(float(random.random() < 0.61) for _ in range(random.randint(5, 20)))
            candidate = sums(float(random.random() < 0.48) for _ in range(random.randint(2, 8)))
            strata.append(Stratum(baseline, candidate))
            found = difference(strata, alpha=0.05, measure="rate")
            if not found.too_few and not found.low <= -0.13 <= found.high:
                missed += 1
                break

    assert missed <= 0.05 * runs


def rollout(seed: int, effect: float) -> list[Stratum]:
    """
    From 5 to 95 % of traffic in a day in which conversion falls from 70 to 30 % for everyone.
    """
    random = Random(seed)
    strata: list[Stratum] = []
    for minute in range(200):
        share, p = 0.05 + 0.9 * minute / 199, 0.7 - 0.4 * minute / 199
        arms = [Sums(), Sums()]
        for _ in range(20):
            arm = random.random() < share
            arms[arm] += sums([float(random.random() < p + effect * arm)])
        strata.append(Stratum(arms[0], arms[1], minute, minute + 1))
    return strata


def test_a_rollout_whose_share_grows_while_the_rate_falls_is_not_worse() -> None:
    """
    Summed up over the day, the candidate looks far worse although it is equal (Simpson); minute by minute it does not.
    """
    verdicts: list[str] = []
    for seed in range(10):
        strata = rollout(seed, 0.0)
        together = [Stratum(sum((e.baseline for e in strata), Sums()), sum((e.candidate for e in strata), Sums()))]
        assert "worse" == difference(together, alpha=0.05, measure="rate").verdict("up")
        verdicts.append(difference(merged(strata, 2, 60), alpha=0.05, measure="rate").verdict("up"))

    assert ["unclear"] * 10 == verdicts


def test_a_better_candidate_is_seen_through_such_a_rollout() -> None:
    """
    The day looks worse for it when summed up; minute by minute it is better, with the effect inside the interval.
    """
    strata = rollout(1, 0.12)
    together = [Stratum(sum((e.baseline for e in strata), Sums()), sum((e.candidate for e in strata), Sums()))]
    found = difference(merged(strata, 2, 60), alpha=0.05, measure="rate")

    assert (difference(together, alpha=0.05, measure="rate").value or 0) < 0
    assert "better" == found.verdict("up")
    assert found.low <= 0.12 <= found.high


def test_the_interval_is_the_one_of_the_paper() -> None:
    """
    For one stratum of two equal arms it is the asymptotic confidence sequence, written out with its rho.
    """
    random = Random(7)
    one, other = ([random.gauss(5, 2) for _ in range(400)] for _ in range(2))

    found = difference([Stratum(sums(one), sums(other))], alpha=0.05, measure="mean")

    def spread(values: Sequence[float]) -> float:
        mean = sum(values) / len(values)
        return sum((value - mean) ** 2 for value in values) / (len(values) - 1)

    t = 200.0  # 400 * 400 / 800
    # The variance is that of both arms, where it is greater.
    sigma = sqrt(t * max(spread(one) / 400 + spread(other) / 400, spread(one + other) / 200))
    rho = sqrt((-2 * log(0.05) + log(-2 * log(0.05) + 1)) / TIGHTEST)
    radius = sigma * sqrt(2 * (t * rho**2 + 1) / (t * rho) ** 2 * log(sqrt(t * rho**2 + 1) / 0.05))
    mean = sum(other) / 400 - sum(one) / 400
    assert isclose(mean - radius, found.low, rel_tol=1e-9)
    assert isclose(mean + radius, found.high, rel_tol=1e-9)


def test_the_p_value_agrees_with_the_interval() -> None:
    """
    The always-valid p-value is below alpha exactly where the interval leaves 0 out.
    """
    for effect in range(0, 40, 2):
        arms = Stratum(sums([0.0] * 40 + [1.0] * 60), sums([0.0] * (40 + effect) + [1.0] * (60 - effect)))
        found = difference([arms], alpha=0.05, measure="rate")
        assert (found.p < 0.05) == (found.high < 0)


def test_a_ratio_has_the_variance_of_the_delta_method(long: bool) -> None:
    """
    The estimate of a ratio's error is the spread that its value really has over many samples.
    """
    random = Random(3)

    def arm() -> Sums:
        total = Sums()
        for _ in range(200):
            x = random.choice([1.0, 2.0, 5.0])
            y = x * random.uniform(0, 10) + random.gauss(0, 1)
            total += Sums(1, y, x, y * y, x * x, x * y, 1, y)
        return total

    found = [difference([Stratum(arm(), arm())], alpha=0.05, measure="ratio") for _ in range(1_000 if long else 250)]
    values = [each.value or 0.0 for each in found]
    spread = sqrt(sum(value * value for value in values) / len(values))
    # Of a half width, what the error is multiplied by is the same each time.
    factor = _factor(100.0)
    told = sum((each.high - each.low) / 2 for each in found) / len(found) / factor

    assert isclose(spread, told, rel_tol=0.12)


def _factor(t: float) -> float:
    rho2 = (-2 * log(0.05) + log(-2 * log(0.05) + 1)) / TIGHTEST
    return sqrt(2 * (t * rho2 + 1) / (t * rho2) * log(sqrt(t * rho2 + 1) / 0.05))


@pytest.mark.parametrize(
    ("baseline", "candidate", "measure", "said"),
    [
        ([1.0] * 40, [1.0] * 29, "rate", "the candidate has 29 of at least 30"),
        ([0.0] * 90 + [5.0] * 9, [0.0] * 99, "mean", "both together have 9 values that are not 0, of at least 20"),
        ([1.0, 2.0] * 50, [1.0, 2.0] * 49 + [900.0], "mean", "one value makes up 99% of the candidate's variance"),
        ([5.0] * 50, [5.0] * 50, "mean", "all values are the same"),
    ],
)
def test_too_few_says_why(baseline: list[float], candidate: list[float], measure: Measure, said: str) -> None:
    """
    Few units, few values, one huge value, or no spread at all are no verdict.
    """
    found = difference([Stratum(sums(baseline), sums(candidate))], alpha=0.05, measure=measure)

    assert (said, "too few") == (found.too_few, found.verdict("up"))


def test_arms_that_never_meet_are_too_few() -> None:
    """
    Minutes with only one arm say nothing, and are counted.
    """
    strata = [Stratum(sums([1.0] * 50), Sums()), Stratum(Sums(), sums([0.0] * 50))]
    found = difference(strata, alpha=0.05, measure="rate")

    assert ("too few", 100, None, -inf, inf) == (
        found.verdict("up"), found.unmatched, found.value, found.low, found.high,
    )  # fmt: skip


def test_an_outage_is_seen_at_once() -> None:
    """
    A candidate in which nothing succeeds any more is worse after 40 units, although it shows no variance.
    """
    found = difference([Stratum(sums([1.0] * 35 + [0.0] * 5), sums([0.0] * 40))], alpha=0.05, measure="rate")

    assert "worse" == found.verdict("up")


def test_the_direction_decides_what_is_worse() -> None:
    """
    Less is worse where up is good, and better where down is.
    """
    found = difference([Stratum(sums([1.0] * 300), sums([0.0] * 300))], alpha=0.05, measure="rate")

    assert ("worse", "better") == (found.verdict("up"), found.verdict("down"))


def test_minutes_are_put_together_by_counts_up_to_an_hour() -> None:
    """
    A minute that lacks an arm is joined with the next; a long time with only one arm stays apart.
    """
    one, two = sums([1.0]), sums([1.0, 0.0])
    strata = [
        Stratum(two, Sums(), 0, 1), Stratum(two, two, 90, 91), Stratum(one, Sums(), 100, 101),
        Stratum(Sums(), one, 101, 102), Stratum(one, one, 102, 103), Stratum(two, two, 103, 104),
    ]  # fmt: skip

    found = merged(strata, 2, 60)

    assert [(0, 1, 2, 0), (90, 91, 2, 2), (100, 103, 2, 2), (103, 104, 2, 2)] == [
        (each.at, each.until, each.baseline.n, each.candidate.n) for each in found
    ]


def test_hours_of_weeks_that_differ_widen_the_interval() -> None:
    """
    Where the same hour of four weeks differs by more than its users explain, before and after can't be told apart.
    """
    random = Random(11)
    hours = [sums(float(random.random() < p) for _ in range(1_000)) for p in (0.5, 0.6, 0.4, 0.55)]
    alike = [sums(float(random.random() < 0.5) for _ in range(1_000)) for _ in range(4)]
    after = sums(float(random.random() < 0.6) for _ in range(1_000))

    def verdict(before: list[Sums]) -> str:
        stratum = Stratum(sum(before, Sums()), after, blocks=(4, 1))
        apart = Apart(hours=between_blocks([before]), weeks=4)
        return difference([stratum], alpha=0.05, measure="rate", apart=apart).verdict("up")

    # The variance of these four rates is 0.0073.
    assert isclose(0.0073, between_blocks([hours]), rel_tol=0.2)
    assert between_blocks([alike]) < 0.0005
    assert ("unclear", "better") == (verdict(hours), verdict(alike))


def test_days_that_differ_as_a_whole_make_no_release(long: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Twelve hours against four equal times before: where each day has 3 points of its own, at most 5 % find a release; by
    the users alone it would be most of them.
    """
    runs, false, plain = (600 if long else 100), 0, 0
    for seed in range(runs):
        random = Random(seed)
        days = [random.gauss(0.6, 0.03) for _ in range(5)]
        hours = [[_visits(random, 1_000, p) for p in days] for _ in range(12)]
        strata = [Stratum(sum(hour[:4], Sums()), hour[4], blocks=(4, 1)) for hour in hours]
        weeks = [sum((hour[week] for hour in hours), Sums()) for week in range(4)]
        apart = Apart(between_blocks([hour[:4] for hour in hours]), between_blocks([weeks]), 4)
        false += difference(strata, alpha=0.05, measure="rate", apart=apart).verdict("up") != "unclear"
        plain += difference(strata, alpha=0.05, measure="rate").verdict("up") != "unclear"

    with capsys.disabled():
        print(f"\n  days of their own: {false / runs:.1%} find a release, by users alone {plain / runs:.1%}")
    assert false <= 0.05 * runs
    assert plain >= 0.4 * runs


def _visits(random: Random, n: int, p: float) -> Sums:
    """So many users, of whom about this part succeeds."""
    hits = round(random.gauss(n * p, sqrt(n * p * (1 - p))))
    return Sums(n, hits, n, hits, n, hits, hits, 1.0)
