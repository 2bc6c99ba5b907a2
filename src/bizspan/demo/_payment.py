"""
The payment service of the demo, a process of its own: says yes or no to an amount.
"""

from __future__ import annotations

import argparse
import random

import bizspan
from bizspan.demo._goods import OLD
from bizspan.demo._ledger import PAID
from bizspan.demo._service import Told, serve

_DECLINED, _WITHOUT_FUNDS = 0.12, 0.22


def authorize(told: Told) -> tuple[int, Told]:
    """
    The answer for one order, the same each time it is asked.

    Args:
        told: Order, amount, currency and country.
    """
    with bizspan.operation("payment.authorize", order=told["order"], country=told["country"]) as op:
        op.value(bizspan.Money.from_minor(int(told["minor"]), str(told["currency"])))
        drawn = random.Random(f"payment of {told['order']} {told['minor']}").random()
        became = "card_declined" if drawn < _DECLINED else "no_funds" if drawn < _WITHOUT_FUNDS else PAID
        if became != PAID:
            op.reject(became)
    return 200, {"became": became}


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--descriptor", required=True, type=int)
    parser.add_argument("--spool", required=True)
    options = parser.parse_args()
    telemetry = bizspan.configure(
        service_name="payment",
        export="otlp",
        spool=options.spool,
        resource_attributes={"service.version": OLD},
    )
    serve(options.descriptor, {"/authorize": authorize})
    telemetry.shutdown()


if __name__ == "__main__":
    main()
