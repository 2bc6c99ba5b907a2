"""
Compares two arms by KPIs: each with its difference, an interval that holds at every look, and one verdict.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from bizspan._currencies import EXPONENTS
from bizspan.errors import SetupError
from bizspan.kpi._arms_reader import CompareOptions, Read, Reader, seen_records
from bizspan.kpi._compared import Comparison, Line, Slice, good_of
from bizspan.kpi._design import Design
from bizspan.kpi._kpi import KPI
from bizspan.kpi._plan import Plan
from bizspan.kpi._sequential import Apart, Difference, Stratum, Sums, difference
from bizspan.kpi._small import too_small
from bizspan.kpi._source import Source, kept_since_ns

_MOST_SLICES: Final = 8


def compare(
    kpis: Iterable[KPI],
    source: Source,
    design: Design,
    options: CompareOptions | None = None,
    *,
    as_of_ns: int | None = None,
) -> Comparison:
    """
    Compare two arms by each KPI.

    Args:
        kpis: What is compared.
        source: Where the events are.
        design: Which records against which.
        options: How strict it is, and what it shows.
        as_of_ns: What is now.

    Raises:
        SetupError: A fact is not known, or the source can't answer.
    """
    options = options or CompareOptions()
    chosen = list(kpis)
    if not chosen:
        raise SetupError("there is no KPI to compare; declare one.")
    now_ns = time.time_ns() if as_of_ns is None else as_of_ns
    seen = seen_records(chosen[0], source, design, options, now_ns)
    is_there = all(seen.arms.get(arm, 0) for arm in (design.baseline, design.candidate))
    read = [part for kpi in chosen for part in Reader(kpi, source, design, options, now_ns).parts()] if is_there else []
    tests = sum(not isinstance(part.how, str) for part in read)
    return Comparison(
        design=design,
        alpha=options.alpha,
        tests=tests,
        as_of_ns=now_ns,
        seen=seen.arms,
        windows=seen.windows,
        kept_since_ns=kept_since_ns(source, "events"),
        lines=tuple(_line(part, design, options, options.alpha / max(1, tests)) for part in read),
    )


def _line(part: Read, design: Design, options: CompareOptions, alpha: float) -> Line:
    kpi, plan_of = part.kpi, part.how
    if isinstance(plan_of, str):
        return Line(kpi, "", "unclear", f"not supported: {plan_of}")
    scale = 10.0 ** -EXPONENTS[part.currency] if part.currency and kpi.is_money else 1.0

    def of(strata: Iterable[Stratum], apart: Apart) -> Difference:
        return difference(
            strata, alpha=alpha, measure=plan_of.measure, minimum=options.minimum, apart=apart
        ).scaled(scale)  # fmt: skip

    found = of(part.strata, part.apart)
    slices, suppressed = _slices(part, of)
    arms = (sum((getattr(each, arm) for each in part.strata), Sums()) for arm in ("baseline", "candidate"))
    return Line(
        kpi, part.currency, found.verdict(good_of(kpi, plan_of)), found.too_few, plan_of, found,
        tuple(None if each.value is None else each.value * scale for each in arms), slices, suppressed,
        part.beside or {}, _per_hour(plan_of, found, part.strata) if design.is_concurrent else None,
        None if design.is_concurrent else (sum(each.is_matched for each in part.strata), len(part.strata)),
    )  # fmt: skip


def _per_hour(how: Plan, found: Difference, strata: Iterable[Stratum]) -> float | None:
    """What the difference comes to in an hour, with as many units as the candidate had."""
    minutes = sum(each.until - each.at for each in strata if each.is_matched)
    if how.money is None or how.measure != "mean" or found.value is None or not minutes:
        return None
    return found.value * found.of_candidate * 60 / minutes


def _slices(part: Read, of: Callable[[Iterable[Stratum], Apart], Difference]) -> tuple[tuple[Slice, ...], int]:
    found: list[Slice] = []
    suppressed = 0
    for fact in dict.fromkeys(fact for fact, *_ in part.sliced):
        told = {value: of(strata, apart) for name, value, strata, apart in part.sliced if name == fact}
        sizes = {value: min(each.of_baseline, each.of_candidate) for value, each in told.items()}
        small = too_small(sizes, part.kpi.minimum_group, lambda _: ("all",))
        suppressed += len(small)
        shown = sorted((value for value in told if value not in small), key=lambda value: (-sizes[value], value or ""))
        found += [Slice(fact, value, told[value]) for value in shown[:_MOST_SLICES]]
    return tuple(found), suppressed
