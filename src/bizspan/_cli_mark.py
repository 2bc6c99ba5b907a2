"""
``bizspan mark``: its options.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from bizspan._cli_declared import everything


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.usage = "bizspan mark LABEL --from TIME [options] | --csv FILE | list | remove ID"
    add = parser.add_argument
    add("words", nargs="*", metavar="LABEL", help="what it is called; or: list, or: remove ID")
    add("--from", dest="since", default="", metavar="TIME", help="a day, or a moment: 2026-03-01T20:15")
    add("--to", dest="until", default="", metavar="TIME", help="the last day, or the moment at which it ends")
    add("--country", default="", metavar="CODE", help="where, as DE (default: everywhere)")
    add(
        "--kind", choices=("holiday", "price", "outage", "release", "campaign", "other"), default="other",
        help="what it is (default: other)",
    )  # fmt: skip
    add("--csv", metavar="FILE", help="marks of a file with the columns label, from, to, country, kind")
    add("--store", metavar="FILE", help="of the lens (default: as bizspan lens)")
    add("--config", metavar="FILE", help="the file with the time zone (default: the one that applies)")
    add("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    parser.set_defaults(module=[])
    parser.epilog = "Exit code: 0 it went well, 1 there is no such mark, 2 wrong arguments or file."


def run(options: argparse.Namespace, show: Callable[[str], None]) -> int:
    """
    Do what was asked.

    Args:
        options: What was typed.
        show: Prints.

    Raises:
        SetupError: What was asked can not be done; the text says what to do instead.
    """
    from bizspan.errors import SetupError
    from bizspan.lens import default_path
    from bizspan.report import _marking

    calendar = everything(options).calendar
    path = Path(options.store) if options.store else default_path()
    as_json = options.format == "json"
    words: list[str] = options.words
    if options.csv:
        if words or options.since:
            raise SetupError("--csv has its own labels and times; leave the others out.")
        return _marking.add(path, _marking.marks_of_file(Path(options.csv), calendar), as_json, show)
    if words == ["list"] and not options.since:
        return _marking.list_all(path, calendar, as_json, show)
    if words[:1] == ["remove"] and not options.since:
        if len(words) != 2 or not (words[1].isascii() and words[1].isdigit() and len(words[1]) < 19):
            raise SetupError("remove takes the number that bizspan mark list shows.")
        return _marking.remove(path, int(words[1]), as_json, show)
    if not words or not options.since:
        raise SetupError('a mark has a label and a start: bizspan mark "TV spot" --from 2026-03-01T20:15.')
    told = (" ".join(words), options.since, options.until, options.country, options.kind)
    return _marking.add(path, [_marking.mark_of(*told, calendar)], as_json, show)
