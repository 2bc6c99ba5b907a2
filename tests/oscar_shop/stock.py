"""Makes the shop's tables and puts something on its shelves: ``python -m tests.oscar_shop.stock``."""

# pyright: basic
# Neither Django nor django-oscar ships types.
from __future__ import annotations

import os
import warnings
from decimal import Decimal
from importlib import import_module
from typing import Final

PRICES: Final = ("12.34", "5.55", "99.99", "0.01")
VOUCHER: Final = "ONCE"


def main() -> None:
    """Tables from the models as they are now, which takes 2 s; all migrations of theirs would take 10."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.oscar_shop.settings")
    warnings.simplefilter("ignore")
    import django
    from django.conf import settings

    class NoMigrations(dict[str, None]):
        def __contains__(self, label: object) -> bool:
            return True

        def __getitem__(self, label: str) -> None:
            return None

    settings.MIGRATION_MODULES = NoMigrations()
    django.setup()
    from django.core.management import call_command

    get_model = import_module("oscar.core.loading").get_model
    factories = import_module("oscar.test.factories")
    call_command("migrate", run_syncdb=True, verbosity=0)
    country = {"iso_3166_1_a2": "GB", "name": "UK", "printable_name": "United Kingdom", "is_shipping_country": True}
    get_model("address", "Country").objects.create(**country)
    for number, price in enumerate(PRICES):
        factories.create_product(title=f"Book {number}", price=Decimal(price), num_in_stock=1000)
    voucher = factories.VoucherFactory(code=VOUCHER, usage="Single use")
    voucher.offers.add(factories.create_offer(offer_type="Voucher"))  # 20 % off


if __name__ == "__main__":
    main()
