"""
A program that sells until it is killed, and writes down each sale that was acknowledged.

    python -m tests.spool.shopper KIND NAME ACKS [LEDGER]

KIND is ``bizspan`` (with ``BIZSPAN_SPOOL_DIR``), ``bizspan+otlp`` (spans and metrics too) or ``stock`` (OpenTelemetry's
own pipeline of log records). With LEDGER, an SQLite file, each sale is committed there before it is told, and the
program kills itself between the two at its thirtieth.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

import bizspan
from bizspan import Money, names

THREADS: Final = 3
SALES_UNTIL_KILLED: Final = 30
_PAUSE_S: Final = 0.002

# Tells one sale: its order, its cents, and whether as an operation. Gives its uid.
Tell = Callable[[str, int, bool], str]


def uid_of(name: str, key: str) -> str:
    """The ``log.record.uid`` of a fact with an idempotency key."""
    return sha256(f"{name}\0{key}".encode()).hexdigest()[:32]


def ours(export: str) -> Tell:
    """Telling with bizspan; the program ends where an event is refused."""
    bizspan.configure(service_name="shop", export="otlp" if export == "otlp" else "none")

    def tell(order: str, cents: int, is_operation: bool) -> str:
        if is_operation:
            with bizspan.operation("checkout", segment="gold", order=order, idempotency_key=order) as op:
                op.revenue(Money(f"{cents // 100}.{cents % 100:02}", "EUR"))
            uid = uid_of("checkout", order)
        else:
            money = Money(f"{cents // 100}.{cents % 100:02}", "EUR")
            bizspan.event("invoice.paid", revenue=money, order=order, idempotency_key=order)
            uid = uid_of("invoice.paid", order)
        if refused := bizspan.diagnostics().refused:
            os.write(2, f"refused: {refused}\n".encode())
            os._exit(9)
        return uid

    return tell


def stock() -> Tell:
    """Telling with OpenTelemetry's logger, as its documentation sets it up."""
    from opentelemetry._logs import SeverityNumber
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    logger = provider.get_logger("shop")
    writer, lock, sequence = os.urandom(10).hex(), threading.Lock(), 0

    def tell(order: str, cents: int, is_operation: bool) -> str:
        nonlocal sequence
        uid = uid_of("checkout" if is_operation else "invoice.paid", order)
        with lock:  # so that a number is in the queue before the next one
            sequence += 1
            attributes: dict[str, Any] = {
                names.RECORD_UID: uid,
                names.WRITER_ID: writer,
                names.SEQUENCE: sequence,
                names.ORDER: order,
                names.MINOR_UNITS_KEYS[names.REVENUE]: cents,
                names.CURRENCY_KEYS[names.REVENUE]: "EUR",
            }
            logger.emit(
                timestamp=time.time_ns(),
                severity_number=SeverityNumber.INFO,
                event_name=names.EVENT_OPERATION if is_operation else "invoice.paid",
                attributes=attributes,
            )
        return uid

    return tell


def sell(tell: Tell, name: str, thread: int, descriptor: int) -> None:
    """Sell without end."""
    number = 0
    while True:
        number += 1
        order, cents = f"{name}-{thread}-{number}", cents_of(thread, number)
        uid = tell(order, cents, number % 2 == 0)
        os.write(descriptor, f"{uid} {order} {cents}\n".encode())  # one call: whole, or cut by the kill
        time.sleep(_PAUSE_S)


def sell_committed(tell: Tell, name: str, descriptor: int, ledger: str) -> None:
    """Sell what stands in a database before it is told; die between the two at the last one."""
    database = sqlite3.connect(ledger, timeout=10)
    for number in range(1, SALES_UNTIL_KILLED + 1):
        order, cents = f"{name}-0-{number}", cents_of(0, number)
        with database:
            database.execute("INSERT INTO sales (order_id, cents) VALUES (?, ?)", (order, cents))
        if number == SALES_UNTIL_KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        uid = tell(order, cents, True)
        os.write(descriptor, f"{uid} {order} {cents}\n".encode())


def cents_of(thread: int, number: int) -> int:
    """What a sale earns."""
    return (number * 7919 + thread * 104_729) % 49_999 + 1


def main(kind: str, name: str, acks: str, ledger: str = "") -> None:
    """Sell until killed."""
    descriptor = os.open(acks, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    tell = stock() if kind == "stock" else ours(kind.partition("+")[2])
    if ledger:
        sell_committed(tell, name, descriptor, ledger)
    for thread in range(1, THREADS):
        threading.Thread(target=sell, args=(tell, name, thread, descriptor), daemon=True).start()
    sell(tell, name, 0, descriptor)


if __name__ == "__main__":
    main(*sys.argv[1:])
