"""
``bizspan import``: its options.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.usage = "bizspan import PATH ... [options]"
    parser.add_argument(
        "paths", nargs="+", metavar="PATH",
        help="OTLP JSON lines, plain or gzipped: files, or directories of them; directories of spools",
    )  # fmt: skip
    parser.add_argument("--store", metavar="FILE", help="of the lens (default: as bizspan lens)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    parser.epilog = "Exit code: 0 all is in the store, 1 some of it can't be read or kept, 2 wrong arguments."


def run(options: argparse.Namespace, show: Callable[[str], None]) -> int:
    """
    Do what was asked.

    Args:
        options: What was typed.
        show: Prints.

    Raises:
        SetupError: What was asked can not be done; the text says what to do instead.
    """
    from bizspan import _importing
    from bizspan._progress import terminal

    found = _importing.import_into(options.store, options.paths, terminal())
    if options.format == "json":
        show(json.dumps(asdict(found)))
    else:
        damaged = f", {found.damaged:,} unreadable" if found.damaged else ""
        show(f"stored {found.stored:,}, already there {found.already:,}, refused {found.refused:,}{damaged}")
        for problem in found.problems:
            show(f"  {problem}")
    return found.exit_code
