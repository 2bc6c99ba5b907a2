"""A client of the lens: one request at a time, or raw bytes; and queries to its store."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bizspan.lens import Lens, Store

PROTOBUF, JSON = "application/x-protobuf", "application/json"
TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    lens: Lens,
    path: str,
    body: bytes | None = None,
    *,
    method: str = "POST",
    kind: str = PROTOBUF,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request, and read its answer."""
    parts = urlsplit(lens.url)
    client = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=TIMEOUT_S)
    try:
        client.request(method, path, body, {"Content-Type": kind, **(headers or {})})
        answer = client.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        client.close()


def raw(lens: Lens, data: bytes) -> bytes:
    """Send these bytes and no more; everything that comes back until the other side ends it."""
    parts = urlsplit(lens.url)
    with socket.create_connection((str(parts.hostname), parts.port), timeout=TIMEOUT_S) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        found = b""
        while part := client.recv(65_536):
            found += part
        return found


def rows(store: Store, sql: str, *values: object) -> list[Any]:
    """What a query finds; a row of one column is its value."""
    with store.reading() as connection:
        found = connection.execute(sql, values).fetchall()
    return [row[0] if len(row) == 1 else row for row in found]
