"""
A Celery worker behind a shop: what the shop knows of a customer is on everything that the worker does for her.

    python examples/celery_shop.py               500 purchases, through Redis where it is installed
    python examples/celery_shop.py --files       through Celery's broker in the file system
    python examples/celery_shop.py --limit 50    only the first 50

The shop sends a task for each purchase, from within `bizspan.context(segment=...)`. A worker with two processes, each
replaced after a while, runs them. Its tasks say nothing of segments. What arrives at a small collector is then compared
with the file, to the cent.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import worker_init

import bizspan
from _collector import Receiver
from _purchases import Purchase, read_purchases
from _reconcile import (
    ACCEPTED,
    DECLINED,
    REFUNDED,
    REFUNDS,
    REVENUE,
    Ledger,
    Source,
    expected,
    from_metrics,
    print_comparison,
)
from _redis import redis_server, why_not
from bizspan import Money, names
from bizspan.integrations import celery

HERE = Path(__file__).parent
WAIT_S = 60.0

# --- the worker's side --------------------------------------------------------------------------------------

app: Any = Celery("celery_shop", broker=os.environ.get("SHOP_BROKER"), backend=os.environ.get("SHOP_RESULTS"))


class CardDeclined(Exception):  # noqa: N818 - named like what happened
    """The bank says no."""


@app.task(name="shop.charge", throws=(CardDeclined,))  # type: ignore[untyped-decorator]
def charge(order: str, total: str, is_declined: bool) -> None:
    """Take the money. The task as a whole is the operation `checkout`: see `set_up`."""
    bizspan.annotate(order=order)
    if is_declined:
        raise CardDeclined
    bizspan.event("payment.captured", revenue=Money(total, "USD"), idempotency_key=order)


@app.task(name="shop.give_back")  # type: ignore[untyped-decorator]
def give_back(order: str, total: str, share: str) -> None:
    """Refund the whole order, or half of it."""
    back = Decimal(total) if share == "whole" else Decimal(total) / 2
    bizspan.refund(Money.rounded(back, "USD"), order=order, idempotency_key=f"{order}/refund")


@worker_init.connect(weak=False)  # type: ignore[untyped-decorator]
def set_up(**about: Any) -> bizspan.Configuration:
    """Before the worker forks, and in the shop."""
    celery.instrument(tasks={"shop.charge": "checkout"})
    return bizspan.configure(hash_key="a demo key, known to everyone")


# --- the shop's side ----------------------------------------------------------------------------------------


def sell(purchases: Iterable[Purchase]) -> list[Any]:
    """Send what is to be done, in the scope of who buys."""
    sent: list[Any] = []
    for purchase in purchases:
        order, total = purchase.order, str(purchase.total)
        with bizspan.context(segment=purchase.segment, country="US", customer=purchase.customer):
            if purchase.declined_first:
                sent.append(charge.delay(order, total, True))
            sent.append(charge.delay(order, total, False))
            if purchase.refunded != "no":
                sent.append(give_back.delay(order, total, purchase.refunded))
    return sent


def run(purchases: list[Purchase], broker: str, folder: Path) -> bool:
    """
    Sell everything, and compare what arrived with the file.

    Args:
        purchases: From the file.
        broker: Its URL.
        folder: For results, and for messages where the broker is the file system.

    Returns:
        Whether everything agrees.
    """
    with Receiver() as receiver:
        point_opentelemetry_at(receiver)
        os.environ["SHOP_BROKER"] = broker
        os.environ["SHOP_RESULTS"] = f"file://{folder / 'results'}" if broker.startswith("file") else broker
        os.environ["SHOP_FOLDER"] = str(folder)
        settle(app)
        with set_up(), worker() as process:
            for result in sell(purchases):
                result.get(timeout=WAIT_S, interval=0.02, propagate=False)
            process.send_signal(signal.SIGTERM)  # what it still holds, it sends before it ends
            code = process.wait(WAIT_S)
        sources = (from_events(receiver), from_metrics(receiver))
        agrees = print_comparison(expected(purchases), sources)
    print(f"the worker ended with exit code {code}, after {len(writers(receiver))} processes")
    return agrees and code == 0


def from_events(receiver: Receiver) -> Source:
    """Return the figures of the book: the events, each counted once by its `log.record.uid`."""
    ledger: Ledger = Counter()
    for event in {str(event["attributes"][names.RECORD_UID]): event for event in receiver.events()}.values():
        told = event["attributes"]
        segment = str(told[names.SEGMENT])
        if event["event_name"] == names.EVENT_OPERATION:
            outcome = str(told[names.OPERATION_OUTCOME])
            ledger[{names.SUCCESS: ACCEPTED, names.REJECTED: DECLINED}.get(outcome, outcome), segment] += 1
        elif event["event_name"] == names.EVENT_REFUND:
            ledger[REFUNDS, segment] += 1
            ledger[REFUNDED, segment] += int(str(told[names.MINOR_UNITS_KEYS[names.REFUND]]))
        else:
            ledger[REVENUE, segment] += int(str(told[names.MINOR_UNITS_KEYS[names.REVENUE]]))
    return Source("events", ledger, (ACCEPTED, DECLINED, REFUNDS, REVENUE, REFUNDED))


def writers(receiver: Receiver) -> set[object]:
    """The processes that sent events."""
    return {str(event["origin"].resource["service.instance.id"]) for event in receiver.events()}


# --- the processes ------------------------------------------------------------------------------------------


@contextmanager
def worker() -> Generator[subprocess.Popen[bytes]]:
    """A worker with two processes; it ends with the block at the latest."""
    command = [
        sys.executable, "-m", "celery", "-A", "celery_shop", "worker", "--concurrency", "2", "--loglevel", "WARNING",
        "--max-tasks-per-child", "200", "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=HERE, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()  # its children end with it
            process.wait()


def settle(app: Any) -> None:
    """Broker and results of this run, in the shop and, by the environment, in the worker."""
    broker, results = os.environ.get("SHOP_BROKER", "memory://"), os.environ.get("SHOP_RESULTS", "cache+memory://")
    app.conf.update(
        broker_url=broker, result_backend=results, broker_connection_retry_on_startup=True, worker_prefetch_multiplier=1
    )
    folder = os.environ.get("SHOP_FOLDER")
    if folder is not None and broker.startswith("filesystem"):
        for name in ("messages", "control", "results"):
            (Path(folder) / name).mkdir(exist_ok=True)
        app.conf.broker_transport_options = {
            "data_folder_in": f"{folder}/messages",
            "data_folder_out": f"{folder}/messages",
            "control_folder": f"{folder}/control",
            "polling_interval": 0.02,
        }


def point_opentelemetry_at(receiver: Receiver) -> None:
    """Set the variables that an application gets from outside; the worker inherits them."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[name]
    os.environ["OTEL_SERVICE_NAME"] = "shop"
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.http_endpoint


@contextmanager
def broker(folder: Path, *, files: bool) -> Generator[str]:
    """A broker's URL: Redis where it is installed, else the file system."""
    if files or why_not():
        print("through the file system" + ("" if files else f" ({why_not()})"))
        yield "filesystem://"
    else:
        with redis_server() as url:
            print("through Redis")
            yield url


settle(app)


def main() -> int:
    """Return 0 when everything agrees, else 1."""
    parser = argparse.ArgumentParser(
        description="Sell through a Celery worker, and compare what arrives with the file."
    )
    parser.add_argument("--limit", type=int, default=500, metavar="N", help="only the first N purchases; default: 500")
    parser.add_argument("--files", action="store_true", help="use the file system as the broker, not Redis")
    options = parser.parse_args()

    started = time.perf_counter()
    purchases = read_purchases(options.limit)
    with tempfile.TemporaryDirectory() as name, broker(Path(name), files=options.files) as url:
        agrees = run(purchases, url, Path(name))
    total = sum((purchase.total for purchase in purchases), Decimal(0))
    verdict = "Everything agrees" if agrees else "THERE ARE DIFFERENCES"
    print(f"\n{verdict}: {len(purchases):,} purchases, {total:,.2f} USD. {time.perf_counter() - started:.2f} s in all.")
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
