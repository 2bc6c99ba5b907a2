"""
The demo's state as lines of text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bizspan.demo._figures import Rate, Table
from bizspan.demo._goods import COUNTRIES, NEW, OLD

_NONE = Rate(0, 0)


def state(table: Table) -> Iterator[str]:
    """
    Revenue, and the checkout conversion by country and version.

    Args:
        table: What the store says.
    """
    money = "  ".join(f"{amount:,.2f} {currency}" for currency, amount in sorted(table.revenue.items()))
    checkouts = sum(each.of for each in table.rates.values())
    yield f"revenue  {money or 'none yet'}   from {table.baskets:,} baskets and {checkouts:,} checkouts"
    yield ""
    yield f"{'checkout conversion':20}  {OLD:>14}  {NEW:>14}"
    for code, country in COUNTRIES.items():
        cells = [str(table.rates.get((code, version), _NONE)) for version in (OLD, NEW)]
        yield f"{country:20}  {cells[0]:>14}  {cells[1]:>14}"


def frame(address: str, progress: str, table: Table, receipts: Sequence[str], told: Sequence[str]) -> list[str]:
    """
    All that a terminal shows.

    Args:
        address: Of the lens.
        progress: How far it is.
        table: What the store says.
        receipts: The last ones.
        told: What a person should see, and what may be done.
    """
    return [
        f"bizspan demo  {address}  {progress}",
        "",
        *state(table),
        "",
        *receipts,
        "",
        *told,
    ]
