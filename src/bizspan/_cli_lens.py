"""
``bizspan lens``: its options, and starting it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Final

_MOST_DAYS: Final = 36_500.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--port", type=_port, default=4318, metavar="N", help="where to listen, 0 is any free port (default: 4318)")
    add("--host", default="127.0.0.1", metavar="HOST", help="the address; beyond loopback it needs a token")
    add("--store", metavar="FILE", help="where events are kept (default: bizspan/lens.db in XDG_STATE_HOME)")
    add("--retention-days", type=_days, default=90.0, metavar="N", help="how long they are kept (default: 90)")
    add("--max-size", type=_size, default=10 << 30, metavar="SIZE", help="of the store, as 500MB (default: 10 GiB)")
    add("--token", default="", metavar="TEXT", help="every request needs it (default: BIZSPAN_LENS_TOKEN)")
    add("--allow-host", action="append", default=[], metavar="NAME", help="a further name to be asked under")
    add("--config", metavar="FILE", help="the file that declares KPIs for the page (default: the one that applies)")
    add(
        "--minimum-group",
        type=_group,
        metavar="N",
        help="smaller ones are not shown (default: 5; 1: all are)",
    )
    add("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    parser.epilog = "Exit code: 0 after Ctrl-C or SIGTERM, 2 wrong arguments, or a port or store that can't be used."


def run(options: argparse.Namespace, show: Callable[[str], None]) -> int:
    """
    Do what was asked.

    Args:
        options: What was typed.
        show: Prints.

    Raises:
        SetupError: What was asked can not be done; the text says what to do instead.
    """
    from bizspan.lens import Retention, _command
    from bizspan.page import add_page_from

    told = _command.Options(
        host=options.host,
        port=options.port,
        store=options.store,
        # A variable is not shown to everybody who lists processes.
        token=options.token or os.environ.get("BIZSPAN_LENS_TOKEN", ""),
        allow_hosts=options.allow_host,
        retention=Retention(days=options.retention_days, bytes=options.max_size),
        as_json=options.format == "json",
    )
    least: int | None = options.minimum_group
    return _command.serve(told, show, furnish=lambda lens: add_page_from(lens, options.config, minimum_group=least))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65_536):
        raise argparse.ArgumentTypeError("must be a port: a whole number below 65536")
    return int(text)


def _group(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError("must be a whole number from 1 on")
    return int(text)


def _days(text: str) -> float:
    days = float(text) if text.replace(".", "", 1).isdigit() and text.isascii() else 0.0
    if not 0 < days <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"must be a number of days above 0, at most {_MOST_DAYS:g}")
    return days


def _size(text: str) -> int:
    from bizspan.lens._command import size_of

    try:
        return size_of(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a size of at least 1MB, as 500MB or 2GB") from None
