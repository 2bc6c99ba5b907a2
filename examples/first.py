"""
The first receipts: needs bizspan alone, no OpenTelemetry SDK and no collector.

    python examples/first.py
"""

from __future__ import annotations

import bizspan
from bizspan import Money

PRICES = {"o-1": Money("42.00", "EUR"), "o-2": Money("4310.00", "EUR")}


def checkout(order: str, segment: str, *, card_is_good: bool = True) -> None:
    """Sell one order, or try to."""
    with bizspan.operation("checkout", segment=segment, order=order, value=PRICES[order]) as op:
        if not card_is_good:
            op.reject("card_declined")
            return
        op.revenue(PRICES[order])


if __name__ == "__main__":
    bizspan.configure(service_name="shop", export="console")
    with bizspan.context(country="DE", channel="web"):
        checkout("o-1", "smb")
        checkout("o-2", "enterprise", card_is_good=False)
    bizspan.refund("9.90", "EUR", order="o-1", reason="damaged")
    bizspan.feedback("nps", 9, segment="smb")
