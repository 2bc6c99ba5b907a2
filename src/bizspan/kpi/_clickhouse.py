"""
ClickHouse over its HTTP interface, with the standard library.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from bizspan.errors import SetupError
from bizspan.kpi._dialect import CLICKHOUSE, Dialect, Parameter
from bizspan.kpi._emit import Statement
from bizspan.kpi._source import Row

_VARIABLES: Final = {
    "url": "BIZSPAN_CLICKHOUSE_URL",
    "user": "BIZSPAN_CLICKHOUSE_USER",
    "password": "BIZSPAN_CLICKHOUSE_PASSWORD",
    "database": "BIZSPAN_CLICKHOUSE_DATABASE",
}
_MOST_BYTES: Final = 64 * 1024 * 1024
_MOST_SAID: Final = 400
_BLOCK: Final = 256 * 1024
_ESCAPES: Final = str.maketrans(
    {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\0": "\\0"}
)


@dataclass(frozen=True, slots=True)
class ClickHouseSource:
    """
    The tables of the Collector's ClickHouse exporter.

    Args:
        url: Of the HTTP interface: ``http://localhost:8123``.
        user: Who asks; one that may only read is enough.
        password: Theirs.
        database: Where the tables are.
        timeout_s: How long a statement may take.
        dialect: How the tables are called, where not as by default.

    Raises:
        SetupError: When the URL is none, or has a password in it.
    """

    url: str
    user: str = "default"
    password: str = field(default="", repr=False)
    database: str = "default"
    timeout_s: float = 60.0
    dialect: Dialect = CLICKHOUSE

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SetupError("the address of ClickHouse is one such as http://localhost:8123.")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise SetupError(
                "the address of ClickHouse has no user, password or query in it; pass user= and password=."
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ClickHouseSource:
        """
        The one that ``BIZSPAN_CLICKHOUSE_URL``, ``_USER``, ``_PASSWORD`` and ``_DATABASE`` name.

        Raises:
            SetupError: When the first is not set.
        """
        told = {name: environment.get(variable, "").strip() for name, variable in _VARIABLES.items()}
        if not told["url"]:
            raise SetupError("set BIZSPAN_CLICKHOUSE_URL to the address of ClickHouse, such as http://localhost:8123.")
        return cls(told["url"], told["user"] or "default", told["password"], told["database"] or "default")

    def rows(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """
        The rows of each statement.

        Raises:
            SetupError: When it can't be reached, or answers with an error.
        """
        return [self._ask(each) for each in statements]

    def stream(self, statement: Statement) -> Iterator[Row]:
        """
        The rows of one statement as they arrive, however many there are.

        Raises:
            SetupError: When it can't be reached, answers with an error, or fails half-way.
        """
        rest = b""
        with self._answer(statement, "JSONCompactEachRow") as answer:
            while block := answer.read(_BLOCK):
                *lines, rest = (rest + block).split(b"\n")
                for number, line in enumerate(lines):
                    row = _row_of(line)
                    if row is None:  # an error half-way stands where a row would
                        raise _no_answer(self.url, _said(b"\n".join([*lines[number:], rest])))
                    yield row
                if len(rest) > _MOST_BYTES:
                    raise SetupError(f"{self.url}: a row of the answer has over 64 MiB.")
            if rest or answer.length:  # of a known length, a broken connection is an end like any other
                raise SetupError(f"{self.url}: the answer ends half-way: {_one_line(_said(rest))}")

    def _ask(self, statement: Statement) -> list[Row]:
        with self._answer(statement, "JSONCompact") as answer:
            body = answer.read(_MOST_BYTES + 1)
        if len(body) > _MOST_BYTES:
            raise SetupError(f"{self.url}: the answer has over 64 MiB; break down by fewer facts.")
        return rows_of(body, self.url)

    @contextmanager
    def _answer(self, statement: Statement, form: str) -> Generator[HTTPResponse]:
        query = {"database": self.database, **parameters_of(statement.parameters)}
        request = Request(
            f"{self.url.rstrip('/')}/?{urlencode(query)}",
            data=f"{statement.sql}\nFORMAT {form}".encode(),
            headers={
                "X-ClickHouse-User": self.user,
                "X-ClickHouse-Key": self.password,
                "Content-Type": "text/plain; charset=utf-8",
            },
            method="POST",
        )
        try:
            with build_opener(_NoRedirect).open(request, timeout=self.timeout_s) as answer:
                yield answer
        except HTTPError as error:
            with error:
                said = error.read(_MOST_SAID).decode("utf-8", "replace")
            raise SetupError(f"{self.url}: HTTP {error.code}: {_one_line(said)}") from None
        except (URLError, OSError, HTTPException) as error:
            raise SetupError(f"{self.url}: {getattr(error, 'reason', error)}.") from None


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would take the password elsewhere."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow none: it is an error with its code."""


def parameters_of(parameters: Mapping[str, Parameter]) -> dict[str, str]:
    """The parameters of a statement as the HTTP interface takes them: texts with escapes, as in TSV."""
    return {
        f"param_{name}": value.translate(_ESCAPES) if isinstance(value, str) else repr(value)
        for name, value in parameters.items()
    }


def rows_of(body: bytes, where: str) -> list[Row]:
    """
    The rows of an answer in JSONCompact.

    Raises:
        SetupError: When it is none: ClickHouse ends one with an error where it fails half-way.
    """
    try:
        document: Any = json.loads(body)
        return [tuple(row) for row in document["data"]]
    except (ValueError, KeyError, TypeError):
        raise _no_answer(where, _said(body[-_MOST_SAID:])) from None


def _row_of(line: bytes) -> Row | None:
    if not line.startswith(b"["):
        return None
    try:
        return tuple(json.loads(line))
    except ValueError:
        return None


def _no_answer(where: str, said: str) -> SetupError:
    return SetupError(f"{where}: this is no answer of ClickHouse: {_one_line(said)}")


def _said(body: bytes) -> str:
    return body[:_MOST_SAID].decode("utf-8", "replace")


def _one_line(text: str) -> str:
    return " ".join(text.split()) or "no reason given."
