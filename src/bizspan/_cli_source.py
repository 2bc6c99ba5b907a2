"""
Where commands read events from: what an option tells, else the environment's ClickHouse, else the lens's store.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from bizspan import _read_only
from bizspan.errors import SetupError

if TYPE_CHECKING:
    from bizspan.kpi import ClickHouseSource, Source

_VARIABLE = "BIZSPAN_CLICKHOUSE_URL"


def needed(options: argparse.Namespace) -> Source:
    """
    The source; see `found`.

    Raises:
        SetupError: There is none.
    """
    source = found(options)
    if source is None:
        raise SetupError("say where the events are: --store FILE, or --clickhouse URL.")
    return source


def found(options: argparse.Namespace) -> Source | None:
    """
    What ``--clickhouse`` or ``--store`` names, else ClickHouse where the environment names it, else the lens's store
    where it is there. With ``--clickhouse``, the store is not for events.

    Raises:
        SetupError: No address of ClickHouse is told.
    """
    from bizspan.kpi import SqliteSource
    from bizspan.lens import default_path

    if options.clickhouse is None and options.store:
        return SqliteSource(options.store)
    if options.clickhouse is None and os.environ.get(_VARIABLE, "").strip():
        return clickhouse("")
    path = default_path()
    return clickhouse_of(options) or (SqliteSource(path) if _read_only.is_there(path) else None)


def clickhouse_of(options: argparse.Namespace) -> ClickHouseSource | None:
    """
    What ``--clickhouse`` names; None without it.

    Raises:
        SetupError: No address of ClickHouse is told.
    """
    return None if options.clickhouse is None else clickhouse(options.clickhouse)


def clickhouse(url: str) -> ClickHouseSource:
    """
    ClickHouse at this address, or at the environment's where it is empty; the environment has user and password.

    Raises:
        SetupError: No address is told.
    """
    from bizspan.kpi import ClickHouseSource

    return ClickHouseSource.from_environment({**os.environ, _VARIABLE: url} if url else os.environ)
