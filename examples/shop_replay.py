"""
A year and a half of a real shop, replayed in a few seconds, and not a cent is missing at the other end.

    python examples/shop_replay.py                      6,919 purchases over OTLP/HTTP
    python examples/shop_replay.py --protocol grpc      the same over gRPC
    python examples/shop_replay.py --no-rotel           without a collector in between
    python examples/shop_replay.py --limit 500          only the first 500

Every purchase is a checkout. Some cards are declined first, some orders are refunded later. Each of these
becomes an event, metric points and (a checkout) a span. They go through `rotel`, a real collector, where it
is installed, to a small receiver. What arrives there is then compared with the file.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from typing import Literal

import bizspan
from _collector import Receiver, Rotel
from _purchases import Purchase, read_purchases
from _reconcile import expected, from_events, from_metrics, from_spans, print_comparison, print_ties
from bizspan import Money, names

Protocol = Literal["http", "grpc"]

# --- the business -------------------------------------------------------------------------------------------


def checkout(purchase: Purchase, attempt: int, *, card_is_declined: bool = False) -> None:
    """Sell, or try to."""
    with bizspan.operation(
        "checkout",
        segment=purchase.segment,
        country="US",
        order=purchase.order,
        customer=purchase.customer,
        idempotency_key=f"{purchase.order}/{attempt}",
    ) as op:
        op.revenue(purchase.total, "USD")
        if card_is_declined:
            op.reject("card_declined")


def give_back(purchase: Purchase) -> None:
    """Refund the whole order, or half of it."""
    share = purchase.total if purchase.refunded == "whole" else purchase.total / 2
    bizspan.refund(
        Money.rounded(share, "USD"),
        order=purchase.order,
        segment=purchase.segment,
        idempotency_key=f"{purchase.order}/refund",
    )


def trade(purchases: Iterable[Purchase]) -> None:
    """Open the shop, serve everybody, and settle the complaints afterwards."""
    complaints: list[Purchase] = []
    for purchase in purchases:
        if purchase.declined_first:
            checkout(purchase, 1, card_is_declined=True)
        checkout(purchase, 2 if purchase.declined_first else 1)
        if purchase.refunded != "no":
            complaints.append(purchase)
    for purchase in complaints:
        give_back(purchase)


# --- the telemetry ------------------------------------------------------------------------------------------


def run(purchases: list[Purchase], protocol: Protocol, *, use_rotel: bool) -> bool:
    """
    Replay the purchases, and compare what arrived with the file.

    Args:
        purchases: From the file.
        protocol: "http" or "grpc".
        use_rotel: Whether a collector stands in between.

    Returns:
        Whether everything agrees.
    """
    with ExitStack() as stack:  # at its end: bizspan shuts down, the collector drains, the receiver closes
        with phase("start"):
            receiver = stack.enter_context(Receiver(grpc=protocol == "grpc"))
            collector: Receiver | Rotel = receiver
            if use_rotel:
                onward = endpoint(receiver, protocol)
                collector = stack.enter_context(Rotel(onward, forward_protocol=protocol))
            point_opentelemetry_at(endpoint(collector, protocol), protocol)
            telemetry = bizspan.configure(service_name="shop", hash_key="a demo key, known to everyone")
            stack.enter_context(telemetry)
        with phase("replay"):
            trade(purchases)
        with phase("flush"):
            flushed = telemetry.force_flush(5.0)
        with phase("arrive"):
            wait_until_arrived(receiver, purchases)
    with phase("reconcile"):
        sources = (from_events(receiver), from_metrics(receiver), from_spans(receiver))
        wanted = expected(purchases)
    print()
    agrees = [print_comparison(wanted, sources), print_ties(receiver, purchases)]
    if not flushed:
        print("force_flush says that not everything was handed over within 5 s ✗")
    return flushed and all(agrees)


def endpoint(collector: Receiver | Rotel, protocol: Protocol) -> str:
    """Return where this protocol is spoken."""
    return collector.grpc_endpoint if protocol == "grpc" else collector.http_endpoint


def point_opentelemetry_at(address: str, protocol: Protocol) -> None:
    """Set the variables that an application gets from outside."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[name]  # a sampler from your shell would make the spans differ, and rightly so
    # OpenTelemetry drops spans beyond 2,048 that wait, in silence, and here 18 months pass in two seconds.
    os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = "20000"
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = address
    os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc" if protocol == "grpc" else "http/protobuf"


def wait_until_arrived(receiver: Receiver, purchases: list[Purchase]) -> None:
    """Wait until every record is there, at most 5 s; what is missing then shows in the table."""
    attempts = sum(2 if purchase.declined_first else 1 for purchase in purchases)
    refunds = sum(purchase.refunded != "no" for purchase in purchases)

    def arrived(receiver: Receiver) -> bool:
        counted = sum(point["count"] for point in receiver.last_points(names.METRIC_DURATION))
        return (
            len(receiver.events(names.EVENT_OPERATION)) >= attempts
            and len(receiver.events(names.EVENT_REFUND)) >= refunds
            and len(receiver.spans("checkout")) >= attempts
            and counted >= attempts
        )

    receiver.wait_for(arrived, timeout_s=5.0)


# --- the command --------------------------------------------------------------------------------------------


def main() -> int:
    """Return 0 when everything agrees, else 1."""
    parser = argparse.ArgumentParser(description="Replay a real shop, and compare what arrives with its file.")
    parser.add_argument("--protocol", choices=["http", "grpc"], default="http", help="which OTLP; default: http")
    parser.add_argument("--no-rotel", action="store_true", help="send to the receiver itself")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N purchases")
    options = parser.parse_args()

    started = time.perf_counter()
    with phase("read"):
        purchases = read_purchases(options.limit)
    alone = "--no-rotel" if options.no_rotel else Rotel.why_not()
    route = f"straight to the receiver ({alone})" if alone else "through rotel to the receiver"
    print(f"{len(purchases):,} purchases, OTLP/{options.protocol}, {route}")
    agrees = run(purchases, options.protocol, use_rotel=not alone)
    verdict = "Everything agrees" if agrees else "THERE ARE DIFFERENCES"
    print(f"\n{verdict}. {time.perf_counter() - started:.2f} s in all.")
    return 0 if agrees else 1


@contextmanager
def phase(name: str) -> Generator[None]:
    """Print how long the block took."""
    started = time.perf_counter()
    yield
    print(f"  {name:10} {time.perf_counter() - started:6.2f} s")


if __name__ == "__main__":
    sys.exit(main())
