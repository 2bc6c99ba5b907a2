"""
The web shop of the demo, a process of its own: baskets and checkouts, in the release that it is told.

Release 1.5 takes an IBAN only as it is stored, not as it is printed: the demo is about this mistake, in `form_takes`.
"""

from __future__ import annotations

import argparse
import re
from typing import Final

import bizspan
from bizspan.demo._goods import NEW
from bizspan.demo._ledger import PAID, Orders
from bizspan.demo._post import NotAnswered, post
from bizspan.demo._service import Told, serve

_IBAN: Final = re.compile(r"[A-Z]{2}\d{20}")
_CARD: Final = re.compile(r"\d{16}")


class _Shop:
    def __init__(self, version: str, orders: Orders, payment: int) -> None:
        self._version = version
        self._orders = orders
        self._payment = payment

    def basket(self, told: Told) -> tuple[int, Told]:
        with _facts(told), bizspan.operation("basket", order=told["order"]):
            return 200, {"version": self._version}

    def checkout(self, told: Told) -> tuple[int, Told]:
        order, minor, currency = str(told["order"]), int(told["minor"]), str(told["currency"])
        amount = bizspan.Money.from_minor(minor, currency)
        # A customer who got no answer asks again: the same key, so that it is the same event.
        with (
            _facts(told),
            bizspan.operation("checkout", order=order, idempotency_key=order) as op,
        ):
            op.value(amount)
            became = self._orders.became(order)
            if became is None:
                became = self._orders.settle(order, self._decided(told), minor, currency)
            if became == PAID:
                op.revenue(amount)
            else:
                op.reject(became)
        return 200, {"became": became, "version": self._version}

    def _decided(self, told: Told) -> str:
        if not form_takes(str(told["account"]), self._version):
            return "account_invalid"
        try:
            asked = {name: told[name] for name in ("order", "minor", "currency", "country")}
            return str(post(self._payment, "/authorize", asked)["became"])
        except NotAnswered:
            return "payment_unreachable"


def form_takes(account: str, version: str) -> bool:
    """
    Whether the payment form takes what was typed.

    Args:
        account: An IBAN, or the number of a card.
        version: Of the release.
    """
    typed = account if version == NEW else account.replace(" ", "")
    return bool(_IBAN.fullmatch(typed) or _CARD.fullmatch(typed))


def _facts(told: Told) -> bizspan.context:
    country, segment, campaign, customer = (
        str(told[name]) or None for name in ("country", "segment", "campaign", "customer")
    )
    return bizspan.context(country=country, segment=segment, campaign=campaign, customer=customer)


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    for name in ("version", "ledger", "spool"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("descriptor", "payment"):
        parser.add_argument(f"--{name}", required=True, type=int)
    options = parser.parse_args()
    telemetry = bizspan.configure(
        service_name="web",
        export=["otlp", "console"],
        spool=options.spool,
        resource_attributes={"service.version": options.version},
    )
    orders = Orders(options.ledger)
    shop = _Shop(options.version, orders, options.payment)
    serve(options.descriptor, {"/basket": shop.basket, "/checkout": shop.checkout})
    telemetry.shutdown()
    orders.close()


if __name__ == "__main__":
    main()
