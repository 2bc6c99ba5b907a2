"""
``bizspan demo``: its options.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

_MOST_S: Final = 600.0
_LEAST_S: Final = 5.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add(
        "--seconds", type=_seconds, metavar="N",
        help="how long customers come (default: 60 on a terminal, 15 without)",
    )  # fmt: skip
    add("--seed", type=int, default=5, metavar="N", help="which customers come (default: 5)")
    add("--keep", metavar="DIR", help="a new directory for its files, which stays")
    parser.epilog = (
        "Exit code: 0 the shop's own book and the events agree, 1 they differ, 2 wrong arguments or a missing extra,"
        " 130 after Ctrl-C, 143 after SIGTERM."
    )


def run(options: argparse.Namespace, show: Callable[[str], None]) -> int:
    """
    Do what was asked.

    Args:
        options: What was typed.
        show: Prints.

    Raises:
        SetupError: What was asked can not be done; the text says what to do instead.
    """
    from bizspan import demo

    return demo.run(demo.Options(options.seed, options.seconds, options.keep), show)


def _seconds(text: str) -> float:
    seconds = float(text) if text.replace(".", "", 1).isdigit() and text.isascii() else 0.0
    if not _LEAST_S <= seconds <= _MOST_S:
        raise argparse.ArgumentTypeError(f"must be a number of seconds from {_LEAST_S:g} to {_MOST_S:g}")
    return seconds
