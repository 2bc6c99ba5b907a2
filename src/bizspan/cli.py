"""
The command ``bizspan``. Each command imports its room when it is called, so that ``bizspan --help`` needs none of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Final, TextIO

from bizspan import _cli_compare, _cli_demo, _cli_export, _cli_kpi, _cli_mark, _cli_report, _cli_vocabulary

_USAGE, _INTERRUPTED = 2, 130
_MOST_TIMEOUT_S: Final = 300.0
_MOST_TOLERANCE_S: Final = 86_400.0
_MOST_DAYS: Final = 36_500.0


@dataclass(frozen=True, slots=True)
class Command:
    """
    One command.

    Args:
        name: As it is typed.
        help: One line.
        arguments: Adds its options to a parser.
        run: Does it, with the options and the words after ``--``; gives the exit code.
        takes_command: Whether ``-- COMMAND`` may follow.
    """

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Sequence[str]], int]
    takes_command: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    Args:
        arguments: Without the program's name; by default those of the process.

    Returns:
        The exit code: 0 it went well, 1 it did not, 130 it was interrupted.

    Raises:
        SystemExit: With 2 for wrong arguments, with 0 after ``--help`` and ``--version``.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Apart before argparse sees them: it would take options of the other command for ours.
    words, command = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, None)
    parser = _parser()
    options = parser.parse_args(words)
    chosen = _BY_NAME.get(options.command or "")
    if chosen is None:
        parser.print_help(sys.stderr)
        return _USAGE
    if command is not None and not chosen.takes_command:
        parser.error(f"{chosen.name} takes no command after --")
    try:
        return chosen.run(options, command or ())
    except KeyboardInterrupt:
        print("bizspan: interrupted", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bizspan", description="Business telemetry for OpenTelemetry.")
    parser.add_argument("--version", action="version", version=f"bizspan {metadata.version('bizspan')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for each in _COMMANDS:
        usage = f"bizspan {each.name} [options]{' [-- COMMAND ...]' if each.takes_command else ''}"
        each.arguments(commands.add_parser(each.name, help=each.help, description=each.help, usage=usage))
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _MOST_TIMEOUT_S:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, at most {_MOST_TIMEOUT_S:g}")
    return seconds


def _print(text: str) -> None:
    """Print it; whoever reads may have gone, as ``| head`` does."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The interpreter's own last flush would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _has_colours(stream: TextIO) -> bool:
    """As https://no-color.org has it: no colours where the variable is set and not empty."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


# --- doctor -------------------------------------------------------------------------------------------------------


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", metavar="FILE", help="the configuration file; by default the one that would be used"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    parser.add_argument(
        "--timeout-s", type=_seconds, default=10.0, metavar="N", help="how long to wait for an endpoint (default: 10)"
    )
    parser.add_argument("--no-canary", action="store_true", help="send nothing; endpoints are not tried")
    parser.epilog = (
        "After --, the command that starts the application, for example: -- opentelemetry-instrument python app.py."
        " It is read, not run. Exit code: 0 without a red finding, 1 with one, 2 for wrong arguments."
    )


def _doctor(options: argparse.Namespace, command: Sequence[str]) -> int:
    from bizspan.doctor import Request, examine

    report = examine(
        Request(
            environment=os.environ,
            config=options.config,
            timeout_s=options.timeout_s,
            canary=not options.no_canary,
            command=tuple(command),
        )
    )
    if options.format == "json":
        _print(report.as_json())
    else:
        _print(report.as_text(colour=_has_colours(sys.stdout), encoding=sys.stdout.encoding or "ascii"))
    return report.exit_code


# --- spool --------------------------------------------------------------------------------------------------------


def _spool_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    status = actions.add_parser("status", help="what waits, whose it is, and since when")
    drain = actions.add_parser("drain", help="send what processes that are gone have left")
    inspect = actions.add_parser("inspect", help="print waiting events, a line of JSON each")
    retry = actions.add_parser("retry", help="have dead letters wait again, to be sent once more")
    purge = actions.add_parser("purge", help="delete dead letters and unreadable files")
    for action in (status, drain, inspect, retry, purge):
        action.add_argument("directory", metavar="DIR", help="the spool's directory")
    for action in (status, drain, retry, purge):
        action.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    drain.add_argument("--timeout-s", type=_positive, metavar="N", help="how long to try (default: until it is done)")
    inspect.add_argument("--dead", action="store_true", help="dead letters instead")
    inspect.add_argument("--most", type=_count, metavar="N", help="how many at most (default: all)")
    purge.add_argument("--waiting", action="store_true", help="also delete events that wait: they are lost")
    parser.epilog = "Exit code: 0 nothing waits (any more), 1 something does, 2 wrong arguments."


def _spool(options: argparse.Namespace, command: Sequence[str]) -> int:
    from bizspan._progress import terminal
    from bizspan.errors import SetupError
    from bizspan.spool import _command

    try:
        if options.action == "inspect":
            return _command.inspect(options.directory, options.dead, options.most, _print)
        as_json = options.format == "json"
        if options.action == "status":
            return _command.status(options.directory, as_json, _print)
        if options.action == "retry":
            return _command.retried(options.directory, as_json, _print)
        if options.action == "purge":
            return _command.purged(options.directory, options.waiting, as_json, _print)
        return _command.drain(options.directory, options.timeout_s, as_json, _print, terminal())
    except SetupError as error:
        print(f"bizspan: {error}", file=sys.stderr)
        return _USAGE


def _positive(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return seconds


# --- reconcile ----------------------------------------------------------------------------------------------------


def _columns(text: str) -> dict[str, str]:
    told = {role: column for role, _, column in (pair.partition("=") for pair in text.split(","))}
    roles = ("order", "amount", "currency", "time", "key", "kind")
    if not all(told.values()) or not told.keys() <= {*roles}:
        raise argparse.ArgumentTypeError(f"must be ROLE=COLUMN,... with roles of {', '.join(roles)}")
    return told


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= sys.maxsize):
        raise argparse.ArgumentTypeError("must be a whole number above 0")
    return int(text)


def _tolerance(text: str) -> float:
    seconds = float(text) if text.replace(".", "", 1).isdigit() and text.isascii() else -1.0
    if not 0 <= seconds <= _MOST_TOLERANCE_S:
        raise argparse.ArgumentTypeError(f"must be a number of seconds, at most {_MOST_TOLERANCE_S:g}")
    return seconds


def _reconcile_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--events", nargs="+", required=True, metavar="PATH",
        help="OTLP JSON lines: files, or directories of them; directories of spools; stores of the lens",
    )  # fmt: skip
    add("--ledger", required=True, metavar="FILE", help="the system of record: a CSV file or a SQLite database")
    add("--ledger-query", default="", metavar="SQL", help="one SELECT, for SQLite")
    add(
        "--columns", type=_columns, default={}, metavar="ROLE=COLUMN,...",
        help="columns that are not called order, amount, currency, time, key or kind",
    )  # fmt: skip
    add("--currency", default="", metavar="CODE", help="of all lines, where no column tells it")
    add("--minor-units", action="store_true", help="the ledger's amounts are whole minor units")
    add("--operation", action="append", default=[], metavar="NAME", help="its successes are sales; may be repeated")
    add("--event", action="append", default=[], metavar="NAME", help="these events are sales; may be repeated")
    add("--no-refunds", action="store_true", help="compare sales alone")
    add("--time-zone", default="UTC", metavar="ZONE", help="whose days are compared (default: UTC)")
    add("--ledger-time-zone", default="UTC", metavar="ZONE", help="of ledger times without an offset (default: UTC)")
    add("--since", default="", metavar="TIME", help="the first day, or moment, to compare")
    add("--until", default="", metavar="TIME", help="the first day, or moment, not to compare any more")
    add(
        "--tolerance-s",
        type=_tolerance,
        default=0.0,
        metavar="N",
        help="both sides of midnight are one day (default: 0)",
    )
    add("--most", type=_count, default=20, metavar="N", help="how many of each kind to show (default: 20)")
    add("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    add("--backfill", action="store_true", help="emit what the events lack, with the same uid")
    add("--dry-run", action="store_true", help="with --backfill: say what it would emit")
    parser.epilog = "Exit code: 0 both sides are equal, 1 they differ, 2 wrong arguments or an unreadable ledger."


def _reconcile(options: argparse.Namespace, command: Sequence[str]) -> int:
    from bizspan import reconcile as room
    from bizspan.errors import SetupError

    try:
        report = room.reconcile(
            room.Request(
                source=room.source_of(options.events),
                ledger=room.Ledger(
                    options.ledger, options.ledger_query, options.columns, options.currency, options.minor_units
                ),
                selection=room.Selection(
                    frozenset(options.operation), frozenset(options.event), not options.no_refunds
                ),
                time_zone=options.time_zone,
                ledger_time_zone=options.ledger_time_zone,
                since=options.since,
                until=options.until,
                tolerance_s=options.tolerance_s,
                most=options.most,
                backfill=options.backfill,
                dry_run=options.dry_run,
            )
        )
    except SetupError as error:
        print(f"bizspan reconcile: error: {error}", file=sys.stderr)
        return _USAGE
    if options.format == "json":
        _print(report.as_json())
    else:
        _print(report.as_text(encoding=sys.stdout.encoding or "ascii"))
    return report.exit_code


# --- kpi ----------------------------------------------------------------------------------------------------------


def _kpi(options: argparse.Namespace, command: Sequence[str]) -> int:
    return _cli_kpi.run(options, _print)


def _mark(options: argparse.Namespace, command: Sequence[str]) -> int:
    return _cli_mark.run(options, _print)


def _report(options: argparse.Namespace, command: Sequence[str]) -> int:
    return _cli_report.run(options, _print, colour=_has_colours(sys.stdout), encoding=sys.stdout.encoding or "ascii")


def _export(options: argparse.Namespace, command: Sequence[str]) -> int:
    return _cli_export.run(options, _print)


def _vocabulary(options: argparse.Namespace, command: Sequence[str]) -> int:
    return _cli_vocabulary.run(options, _print)


def _compare(options: argparse.Namespace, command: Sequence[str]) -> int:
    return _cli_compare.run(options, _print)


def _demo(options: argparse.Namespace, command: Sequence[str]) -> int:
    return _cli_demo.run(options, _print)


# --- lens ---------------------------------------------------------------------------------------------------------


def _lens_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--port", type=_port, default=4318, metavar="N", help="where to listen, 0 is any free port (default: 4318)")
    add("--host", default="127.0.0.1", metavar="HOST", help="the address; beyond loopback it needs a token")
    add("--store", metavar="FILE", help="where events are kept (default: bizspan/lens.db in XDG_STATE_HOME)")
    add("--retention-days", type=_days, default=90.0, metavar="N", help="how long they are kept (default: 90)")
    add("--max-size", type=_size, default=10 << 30, metavar="SIZE", help="of the store, as 500MB (default: 10 GiB)")
    add("--token", default="", metavar="TEXT", help="every request needs it (default: BIZSPAN_LENS_TOKEN)")
    add("--allow-host", action="append", default=[], metavar="NAME", help="a further name to be asked under")
    add("--config", metavar="FILE", help="the file that declares KPIs for the page (default: the one that applies)")
    add("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    parser.epilog = "Exit code: 0 after Ctrl-C or SIGTERM, 2 wrong arguments, or a port or store that can't be used."


def _lens(options: argparse.Namespace, command: Sequence[str]) -> int:
    from bizspan.errors import SetupError
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
    try:
        return _command.serve(told, _print, furnish=lambda lens: add_page_from(lens, options.config))
    except SetupError as error:
        print(f"bizspan lens: error: {error}", file=sys.stderr)
        return _USAGE


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65_536):
        raise argparse.ArgumentTypeError("must be a port: a whole number below 65536")
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


# --- import -------------------------------------------------------------------------------------------------------


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "bizspan import PATH ... [options]"
    parser.add_argument(
        "paths", nargs="+", metavar="PATH",
        help="OTLP JSON lines, plain or gzipped: files, or directories of them; directories of spools",
    )  # fmt: skip
    parser.add_argument("--store", metavar="FILE", help="of the lens (default: as bizspan lens)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    parser.epilog = "Exit code: 0 all is in the store, 1 some of it can't be read or kept, 2 wrong arguments."


def _import(options: argparse.Namespace, command: Sequence[str]) -> int:
    from bizspan import _importing
    from bizspan._progress import terminal
    from bizspan.errors import SetupError

    try:
        found = _importing.import_into(options.store, options.paths, terminal())
    except SetupError as error:
        print(f"bizspan import: error: {error}", file=sys.stderr)
        return _USAGE
    if options.format == "json":
        _print(json.dumps(asdict(found)))
    else:
        damaged = f", {found.damaged:,} unreadable" if found.damaged else ""
        _print(f"stored {found.stored:,}, already there {found.already:,}, refused {found.refused:,}{damaged}")
        for problem in found.problems:
            _print(f"  {problem}")
    return found.exit_code


_COMMANDS: Final = (
    Command("compare", "Compare a release with the one before, by KPIs.", _cli_compare.arguments, _compare),
    Command("demo", "Run a shop with a release that hurts, and show it.", _cli_demo.arguments, _demo),
    Command("doctor", "Check the set-up as it will run.", _doctor_arguments, _doctor, takes_command=True),
    Command("export", "Write what others take: rules, a dashboard, a catalogue.", _cli_export.arguments, _export),
    Command("import", "Put events from files and spools into the lens's store.", _import_arguments, _import),
    Command("kpi", "Look at the KPIs that are declared, and evaluate them.", _cli_kpi.arguments, _kpi),
    Command("lens", "Take in what applications send, and keep it.", _lens_arguments, _lens),
    Command("mark", "Say what no application tells: a holiday, a TV spot.", _cli_mark.arguments, _mark),
    Command("reconcile", "Compare the events with the system of record.", _reconcile_arguments, _reconcile),
    Command("report", "What happened, against target and the period before.", _cli_report.arguments, _report),
    Command("spool", "Look at events on disk, and send them.", _spool_arguments, _spool),
    Command("vocabulary", "Show declared facts, and what a change breaks.", _cli_vocabulary.arguments, _vocabulary),
)
_BY_NAME: Final = {command.name: command for command in _COMMANDS}
