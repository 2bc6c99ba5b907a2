"""Which attributes have columns of their own."""

from __future__ import annotations

from bizspan import names
from bizspan._columns import COLUMNS
from bizspan.vocabulary import STANDARD


def test_each_column_stands_for_one_attribute() -> None:
    """
    No two attributes share a column.
    """
    assert len(COLUMNS) == len({column.name for column in COLUMNS.values()})


def test_every_dimension_of_the_standard_vocabulary_has_a_column() -> None:
    """
    What metrics are broken down by, KPIs are too; money has all three columns of each kind.
    """
    dimensions = {attribute.key for attribute in STANDARD if attribute.dimension}
    assert set() == dimensions - set(COLUMNS)
    for keys in (names.MINOR_UNITS_KEYS, names.CURRENCY_KEYS, names.AMOUNT_INVALID_KEYS):
        assert set(keys.values()) <= set(COLUMNS)
