"""Intervals, and groups that are too small to be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bizspan.kpi._small import too_small, wilson


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_the_interval_is_wilsons(hits: int, of: int, low: float, high: float) -> None:
    """
    The published examples come out, to four digits.
    """
    found = wilson(hits, of)

    assert found is not None
    assert (low, high) == (round(found[0], 4), round(found[1], 4))


def test_there_is_no_interval_of_nothing() -> None:
    """
    A rate of nothing has none.
    """
    assert wilson(0, 0) is None


def _lines(cell: tuple[str, str]) -> tuple[object, ...]:
    first, second = cell
    return ("all", ("first", first), ("second", second))


_cells = st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), st.integers(1, 12))


@given(sizes=_cells, minimum=st.integers(1, 6))
def test_no_small_group_is_what_remains_of_a_total(sizes: dict[tuple[str, str], int], minimum: int) -> None:
    """
    In each total, what is not shown is nothing, or two groups or more with the minimum between them; or all of it.
    """
    hidden = too_small(sizes, minimum, _lines)

    assert {cell for cell, size in sizes.items() if size < minimum} <= hidden
    for line in {line for cell in sizes for line in _lines(cell)}:
        members = [cell for cell in sizes if line in _lines(cell)]
        dark = [cell for cell in members if cell in hidden]
        is_all = len(dark) == len(members)
        assert not dark or is_all or (len(dark) > 1 and sum(sizes[cell] for cell in dark) >= minimum)


def test_a_second_group_is_hidden_where_the_total_would_give_the_first_away() -> None:
    """
    The smallest of the others goes with it; the rest stays.
    """
    sizes = {"DE": 100, "AT": 20, "CH": 2}

    assert {"CH", "AT"} == too_small(sizes, 5, lambda cell: ("all",))
    assert {"CH", "LI"} == too_small({**sizes, "CH": 4, "LI": 3}, 5, lambda cell: ("all",))
    assert set() == too_small({"DE": 100, "AT": 20}, 5, lambda cell: ("all",))
