"""
A Django shop behind gunicorn: real purchases over HTTP, and money counts only where its transaction committed.

    python examples/django_shop.py                600 purchases
    python examples/django_shop.py --quick        150 purchases
    python examples/django_shop.py --limit 6919   all of them

The project stands in ``_django_shop/``: its settings say who bizspan is and which functions say who acts. Orders are
written in transactions; where the card is declined, the order that was already written and told is rolled back. What
arrives at a small OTLP receiver is then compared with the file, and with the shop's own database.

Needs Django and gunicorn (``pip install django gunicorn``).
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from _collector import Receiver
from _customers import from_events, main, served, trade
from _purchases import Purchase
from _reconcile import ACCEPTED, CENT, REFUNDED, REVENUE, Ledger, Source, expected, from_metrics, print_comparison
from bizspan import names

# --- its server, what arrived, and what the shop itself wrote down --------------------------------------------------


def run(purchases: list[Purchase]) -> bool:
    """
    Serve the purchases, and compare what arrived with the file.

    Returns:
        Whether everything agrees.
    """
    with tempfile.TemporaryDirectory() as folder, Receiver() as receiver:
        database = Path(folder) / "shop.db"
        variables = {
            "PYTHONPATH": str(Path(__file__).parent),
            "DJANGO_SETTINGS_MODULE": "_django_shop.settings",
            "SHOP_DATABASE": str(database),
        }
        open_shop(database, variables, purchases)
        with served(gunicorn, receiver, **variables) as port:
            trade(port, purchases)
        # The server ended, and each of its workers with all that it held.
        sources = (from_events(receiver, names.ROLLED_BACK), money_of(from_metrics(receiver)), from_database(database))
    return print_comparison(expected(purchases), sources)


def gunicorn(port: int) -> tuple[str, ...]:
    """gunicorn with this shop."""
    workers = ("--workers", "2", "--threads", "2", "--log-level", "warning", "--no-control-socket")
    return ("-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *workers, "_django_shop.wsgi")


def open_shop(database: Path, variables: Mapping[str, str], purchases: list[Purchase]) -> None:
    """Make the tables, and write down who the customers are."""
    migrate = [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0"]
    subprocess.run(migrate, env={**os.environ, **variables}, check=True)
    with closing(sqlite3.connect(database)) as connection:
        customers = {(purchase.customer, purchase.segment) for purchase in purchases}
        connection.executemany("INSERT INTO customer (number, segment) VALUES (?, ?)", customers)
        connection.commit()


def money_of(metrics: Source) -> Source:
    """The money alone: the metrics have no reasons, and a declined card is one of several that roll back."""
    lines = (REVENUE, REFUNDED)
    ledger = Counter({key: figure for key, figure in metrics.ledger.items() if key[0] in lines})
    return Source("metrics", ledger, lines)


def from_database(database: Path) -> Source:
    """What the shop sold, as its own tables have it."""
    ledger: Ledger = Counter()
    query = "SELECT segment, total FROM order_placed JOIN customer ON customer_id = customer.number"
    with closing(sqlite3.connect(database)) as connection:
        for segment, total in connection.execute(query):
            ledger[ACCEPTED, segment] += 1
            ledger[REVENUE, segment] += int(Decimal(str(total)).quantize(CENT) * 100)
    return Source("database", ledger, (ACCEPTED, REVENUE))


if __name__ == "__main__":
    sys.exit(main(run, "Serve a Django shop, buy in it, and compare what arrives.", ["django", "gunicorn"]))
