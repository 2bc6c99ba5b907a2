"""What a shop leaves behind for a reconciliation: events as the Collector's file exporter writes them, and a ledger."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs

from _collector import Behaviour, Receiver
from _receiver import Request
from bizspan.testing import Capture
from tests.otlp_lines import otlp_json

HEAD = ("order", "amount", "currency", "time")


class FileReceiver(Receiver):
    """
    A receiver that also writes every accepted request of logs as one line of OTLP JSON.

    Args:
        file: Is appended to.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def __enter__(self) -> FileReceiver:
        super().__enter__()
        return self

    def take(self, request: Request, decode: Callable[[], Any]) -> Behaviour | None:
        """See `Receiver.take`."""
        if request.signal == "logs" and request.behaviour == "accept":
            message = decode()
            with self._file.open("a", encoding="utf-8") as file:
                file.write(otlp_json(message) + "\n")
            return super().take(request, lambda: message)
        return super().take(request, decode)


def write_events(path: Path, *captured: Capture) -> Path:
    """What was captured, one line of OTLP JSON for each capture."""
    with path.open("a", encoding="utf-8") as file:
        for told in captured:
            told.events()  # takes what still waits
            file.write(otlp_json(encode_logs(told._memory._logs.get_finished_logs())) + "\n")
    return path


def write_csv(path: Path, rows: Iterable[Sequence[object]], head: Sequence[str] = HEAD) -> Path:
    """A ledger as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
    return path


def write_sqlite(path: Path, rows: Iterable[Sequence[object]], head: Sequence[str] = HEAD) -> Path:
    """A ledger as the table `sales` of a SQLite database; columns have no types, values keep theirs."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"CREATE TABLE sales ({', '.join(head)})")
        database.executemany(f"INSERT INTO sales VALUES ({', '.join('?' for _ in head)})", rows)
        database.commit()
    return path
