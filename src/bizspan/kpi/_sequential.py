"""
Whether two arms differ, by an interval that stays valid however often one looks.

Source: the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central
limit theory and asymptotic confidence sequences" (Annals of Statistics 52, 2024). Its normal mixture is that of the
mixture sequential probability ratio test (mSPRT) of Johari, Koomen, Pekelis and Walsh, "Always valid inference"
(Operations Research 70, 2022). Arms are compared minute by minute and the differences added up with the weights of
Mantel and Haenszel (1959), so that a share of traffic that changes while the rate changes makes no difference of its
own (Simpson's paradox). Ratios go by the delta method.

Why added-up differences may be looked at as a mean is: with the weights n1 n0 / (n1 + n0), the weighted sum of
differences is a process with independent increments, and its variance is in proportion to the sum of the weights, in
whatever shares the units come.

What is assumed: units are independent of each other, and within a minute it is chance which arm gets one; values have a
finite variance, and no single one makes up much of it (as Lindeberg's condition asks: checked, nothing is cut off or
winsorised); and there are enough units for the central limit theorem, of which a minimum is checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import exp, inf, log, sqrt
from typing import Final, Literal

Measure = Literal["rate", "mean", "ratio"]
Verdict = Literal["better", "worse", "unclear", "too few"]

# The weight at which the interval is narrowest for what it could be: 1,000 units in two equal arms. Fixed beforehand.
TIGHTEST: Final = 250.0
# The part of an arm's variance that one value may make up.
MOST_OF_ONE: Final = 0.25
# The values above zero that both arms have together, below which a mean is not judged.
FEWEST_VALUES: Final = 20
# Units that each arm has in a stratum: two have a variance; a ratio of sums is biased where there are few.
LEAST_OF: Final[dict[Measure, int]] = {"rate": 2, "mean": 2, "ratio": 20}


@dataclass(frozen=True, slots=True)
class Sums:
    """
    What is known of the units of one arm in one stretch of time.

    Args:
        n: How many units.
        y: The sum of their values; of a ratio, of what is above the line.
        x: The sum of what is below the line; 1 for each unit, where nothing is.
        yy: The sum of the squares of `y`.
        xx: The sum of the squares of `x`.
        xy: The sum of the products.
        told: How many units have a `y` that is not 0.
        most: The greatest `y`.
    """

    n: int = 0
    y: float = 0.0
    x: float = 0.0
    yy: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    told: int = 0
    most: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.n + other.n, self.y + other.y, self.x + other.x, self.yy + other.yy, self.xx + other.xx,
            self.xy + other.xy, self.told + other.told, max(self.most, other.most),
        )  # fmt: skip

    @property
    def value(self) -> float | None:
        """The mean, or the ratio; None where there is nothing to divide by."""
        return self.y / self.x if self.x > 0 else None

    @property
    def squares(self) -> float:
        """The sum of squares around the value, of a ratio those of its residuals."""
        if self.x <= 0:
            return 0.0
        ratio = self.y / self.x
        return max(0.0, self.yy - 2 * ratio * self.xy + ratio * ratio * self.xx)


def sums(values: Iterable[float]) -> Sums:
    """The sums of these values, one for each unit."""
    total = Sums()
    for value in values:
        total += Sums(1, value, 1.0, value * value, 1.0, value, int(value != 0), max(value, 0.0))
    return total


@dataclass(frozen=True, slots=True)
class Stratum:
    """Units of both arms that are compared with each other: those of one minute."""

    baseline: Sums
    candidate: Sums
    at: int = 0
    until: int = 0
    """From when, until when; in whatever unit the caller counts."""
    blocks: tuple[int, int] = (1, 1)
    """Of how many hours, of different days, each arm is made."""

    @property
    def is_matched(self) -> bool:
        """Whether both arms have something to divide by."""
        return self.baseline.x > 0 and self.candidate.x > 0


@dataclass(frozen=True, slots=True)
class Apart:
    """
    By how much times that should be alike differ beyond what their units explain, as variances; see `between_blocks`.

    Args:
        hours: The same hour of different weeks.
        windows: The whole time of different weeks: what a day has in common, such as its weather.
        weeks: How many of these the baseline is made of.
    """

    hours: float = 0.0
    windows: float = 0.0
    weeks: int = 1


NOT_APART: Final = Apart()


@dataclass(frozen=True, slots=True)
class Difference:
    """
    Candidate less baseline.

    Args:
        baseline: The value of the baseline over the strata that both have, weighted alike.
        candidate: That of the candidate.
        low: The lower end of the interval.
        high: Its upper end.
        p: The always-valid p-value, of this comparison alone.
        of_baseline: The baseline's units, in strata that both arms have.
        of_candidate: The candidate's.
        unmatched: Units of strata that only one arm has; they say nothing.
        too_few: Why there is no verdict; empty where there may be one.
    """

    baseline: float | None
    candidate: float | None
    low: float
    high: float
    p: float
    of_baseline: int
    of_candidate: int
    unmatched: int
    too_few: str = ""

    def scaled(self, by: float) -> Difference:
        """The same in another unit, such as euros instead of cents."""
        baseline = None if self.baseline is None else self.baseline * by
        candidate = None if self.candidate is None else self.candidate * by
        return replace(self, baseline=baseline, candidate=candidate, low=self.low * by, high=self.high * by)

    @property
    def value(self) -> float | None:
        """The difference; None where an arm has no value."""
        return None if self.baseline is None or self.candidate is None else self.candidate - self.baseline

    def verdict(self, direction: Literal["up", "down"]) -> Verdict:
        """
        What it says, where `direction` is good.

        Args:
            direction: Of the KPI.
        """
        if self.too_few:
            return "too few"
        if self.low > 0:
            return "better" if direction == "up" else "worse"
        if self.high < 0:
            return "worse" if direction == "up" else "better"
        return "unclear"


def merged(strata: Sequence[Stratum], least: int, most_span: int) -> list[Stratum]:
    """
    Strata put together with those that follow, until each has this many units of both arms.

    Only counts decide, never values.

    Args:
        strata: In order of time.
        least: How many units of each arm.
        most_span: How much time a stratum may be of, in the unit of `Stratum.at`.
    """
    found: list[Stratum] = []
    for each in strata:
        last = found[-1] if found else None
        is_short = last is not None and min(last.baseline.n, last.candidate.n) < least
        if last is not None and is_short and each.until - last.at <= most_span:
            found[-1] = Stratum(
                last.baseline + each.baseline, last.candidate + each.candidate, last.at, each.until
            )  # fmt: skip
        else:
            found.append(each)
    return found


def difference(
    strata: Iterable[Stratum], *, alpha: float, measure: Measure, minimum: int = 30, apart: Apart = NOT_APART
) -> Difference:
    """
    The difference of two arms, with an interval that holds its value at every look, all looks together, with the
    probability 1 - `alpha`.

    Args:
        strata: What is compared with each other.
        alpha: The probability of an error, over all looks; for several KPIs, divided by their number.
        measure: ``rate``: units with 0 or 1; ``mean``: units with a number; ``ratio``: units with two.
        minimum: Fewer units than this in an arm are too few.
        apart: What the strata of one arm differ by on their own, where they are of different days.
    """
    told = list(strata)
    pairs = [each for each in told if each.is_matched]
    left_out = sum(each.baseline.n + each.candidate.n for each in told if not each.is_matched)
    baseline = _added(each.baseline for each in pairs)
    candidate = _added(each.candidate for each in pairs)
    if not pairs:
        return Difference(None, None, -inf, inf, 1.0, 0, 0, left_out, "no minute has both")
    weights = [each.baseline.x * each.candidate.x / (each.baseline.x + each.candidate.x) for each in pairs]
    total = sum(weights)
    of_baseline = sum(w * each.baseline.y / each.baseline.x for w, each in zip(weights, pairs, strict=True)) / total
    of_candidate = sum(w * each.candidate.y / each.candidate.x for w, each in zip(weights, pairs, strict=True)) / total
    value = of_candidate - of_baseline
    spread = _spread(pairs, weights, baseline, candidate, measure)
    # Hours that are noise of their own average out over many hours; what a day has in common does not.
    hours = sum(w * w * apart.hours * sum(1 / n for n in each.blocks) for w, each in zip(weights, pairs, strict=True))
    spread += max(hours, total * total * apart.windows * (1 + 1 / apart.weeks))
    time = sum(_harmonic(each.baseline.n, each.candidate.n) for each in pairs)
    error = sqrt(spread) / total
    radius, p = _boundary(value, error, time, alpha)
    return Difference(
        of_baseline, of_candidate, value - radius, value + radius, p, baseline.n, candidate.n, left_out,
        _too_few(baseline, candidate, measure, minimum, error),
    )  # fmt: skip


def _added(each: Iterable[Sums]) -> Sums:
    return sum(each, Sums())


def _harmonic(one: float, other: float) -> float:
    return one * other / (one + other)


def _spread(
    pairs: Sequence[Stratum], weights: Sequence[float], baseline: Sums, candidate: Sums, measure: Measure
) -> float:
    """
    The variance of the weighted sum of differences: unbiased within each stratum, so that it may be added up over many
    small ones.
    """
    variances = _variance(baseline, candidate, measure), _variance(candidate, baseline, measure)
    within = floor = 0.0
    for weight, pair in zip(weights, pairs, strict=True):
        for arm, of_arm in zip((pair.baseline, pair.candidate), variances, strict=True):
            share = weight * weight * arm.n / (arm.x * arm.x)
            within += share * (arm.squares / (arm.n - 1) if arm.n > 1 else of_arm)
            floor += share * of_arm
    return max(within, floor)


def _variance(arm: Sums, other: Sums, measure: Measure) -> float:
    """
    The least variance of one unit that is believed.

    Strata where hardly any unit has a value, or all have, show none at all. And a small arm has rarely met the huge
    values that it will meet: what both arms show together holds it up, at the price of a wider interval where they
    really differ.
    """
    if measure == "rate":
        # One hit and one miss more than were seen (Agresti and Caffo, 2000): never 0.
        rate = (arm.y + 1) / (arm.n + 2)
        return rate * (1 - rate)
    both = arm + other
    return both.squares / (both.n - 1) if both.n > 1 else 0.0


def between_blocks(groups: Iterable[Sequence[Sums]]) -> float:
    """
    By how much times that should be alike differ beyond what their units explain: the variance between them, by the
    method of moments (DerSimonian and Laird, 1986).

    Args:
        groups: Times that should be alike: the same hour of several weeks.
    """
    apart = scale = 0.0
    free = 0
    for group in groups:
        blocks = [each for each in group if each.x > 0 and each.n > 1]
        total = _added(blocks)
        if len(blocks) < 2 or total.squares <= 0:
            continue
        unit = total.squares / (total.n - 1)
        weights = [each.x * each.x / (each.n * unit) for each in blocks]
        weight = sum(weights)
        middle = sum(w * each.y / each.x for w, each in zip(weights, blocks, strict=True)) / weight
        apart += sum(w * (each.y / each.x - middle) ** 2 for w, each in zip(weights, blocks, strict=True))
        scale += weight - sum(w * w for w in weights) / weight
        free += len(blocks) - 1
    return max(0.0, (apart - free) / scale) if scale > 0 else 0.0


def _boundary(value: float, error: float, time: float, alpha: float) -> tuple[float, float]:
    """The half width of the interval, and the p-value."""
    if error <= 0:
        return inf, 1.0
    doubled = -2 * log(alpha)
    mixed = time * (doubled + log(doubled + 1)) / TIGHTEST  # t rho^2, with rho as the paper has it for one time
    radius = error * sqrt(2 * (mixed + 1) / mixed * (log(mixed + 1) / 2 - log(alpha)))
    exponent = log(mixed + 1) / 2 - (value / error) ** 2 * mixed / (2 * (mixed + 1))
    return radius, exp(min(0.0, exponent))


def _too_few(baseline: Sums, candidate: Sums, measure: Measure, minimum: int, error: float) -> str:
    for name, arm in (("baseline", baseline), ("candidate", candidate)):
        if arm.n < minimum:
            return f"the {name} has {arm.n:,} of at least {minimum:,}"
    if measure == "rate":
        return ""
    told = baseline.told + candidate.told
    if told < FEWEST_VALUES:
        return f"both together have {told:,} values that are not 0, of at least {FEWEST_VALUES}"
    for name, arm in (("baseline", baseline), ("candidate", candidate)):
        part = _part_of_one(arm)
        if part > MOST_OF_ONE:
            return f"one value makes up {part:.0%} of the {name}'s variance"
    return "" if error > 0 else "all values are the same"


def _part_of_one(arm: Sums) -> float:
    """The part of an arm's variance that its greatest value makes up."""
    if arm.told < 2 or arm.squares <= 0 or arm.n < 2:
        return 0.0
    apart = arm.most - arm.y / arm.n
    spread = arm.yy - arm.y * arm.y / arm.n
    return apart * apart / spread if spread > 0 else 0.0
