"""
The command ``bizspan``. Each command imports its room when it is called, so that ``bizspan --help`` needs none of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from typing import Final, TextIO

from bizspan import (
    _cli_compare,
    _cli_demo,
    _cli_export,
    _cli_import,
    _cli_kpi,
    _cli_lens,
    _cli_mark,
    _cli_reconcile,
    _cli_report,
    _cli_vocabulary,
)
from bizspan._cli_words import count
from bizspan.errors import SetupError

_USAGE, _INTERRUPTED = 2, 130
_MOST_TIMEOUT_S: Final = 300.0


Run = Callable[[argparse.Namespace, Sequence[str]], int]


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
    run: Run
    takes_command: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    Args:
        arguments: Without the program's name; by default those of the process.

    Returns:
        The exit code: 0 it went well, 1 it did not, 2 it can't be done as asked or printed, 130 it was interrupted.

    Raises:
        SystemExit: With 2 for wrong arguments, with 0 after ``--help`` and ``--version``.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with _streams():
        try:
            return _called(words)
        except _OutputError as error:
            _say(f"bizspan: error: the output can't be written ({error}).")
        except Exception:  # 1 has a meaning: of compare, it is to roll back
            _say(traceback.format_exc().rstrip())
        return _USAGE


def _called(words: list[str]) -> int:
    # Apart before argparse sees them: it would take options of the other command for ours.
    words, command = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, None)
    parser = _parser()
    try:
        options = parser.parse_args(words)
    except SystemExit:
        _print("", end="")
        raise
    chosen = _BY_NAME.get(options.command or "")
    if chosen is None:
        parser.print_help(sys.stderr)
        return _USAGE
    if command is not None and not chosen.takes_command:
        parser.error(f"{chosen.name} takes no command after --")
    try:
        return chosen.run(options, command or ())
    except SetupError as error:
        _say(f"bizspan {chosen.name}: error: {error}")
        return _USAGE
    except KeyboardInterrupt:
        _say("bizspan: interrupted")
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


class _OutputError(Exception):
    """Standard output takes no more."""


@contextmanager
def _streams() -> Generator[None]:
    """Streams that whoever called has closed (``>&-``) lead nowhere, and no file gets their number."""
    with ExitStack() as stack:
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            if getattr(sys, name) is None:
                setattr(sys, name, stack.enter_context(open(os.devnull, mode, encoding="utf-8")))
                stack.callback(setattr, sys, name, None)
        yield


def _print(text: str, end: str = "\n") -> None:
    """
    Print it; whoever reads may have gone, as ``| head`` does.

    Raises:
        _OutputError: It can't be written, as on a full disk.
    """
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        # The interpreter's own last flush would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise _OutputError(error.strerror) from None


def _say(sentence: str) -> None:
    with suppress(OSError):
        print(sentence, file=sys.stderr)


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
    inspect.add_argument("--most", type=count, metavar="N", help="how many at most (default: all)")
    purge.add_argument("--waiting", action="store_true", help="also delete events that wait: they are lost")
    parser.epilog = "Exit code: 0 nothing waits (any more), 1 something does, 2 wrong arguments."


def _spool(options: argparse.Namespace, command: Sequence[str]) -> int:
    from bizspan._progress import terminal
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
        _say(f"bizspan: {error}")
        return _USAGE


def _positive(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return seconds


def _plain(run: Callable[[argparse.Namespace, Callable[[str], None]], int]) -> Run:
    """A command that takes options alone."""
    return lambda options, command: run(options, _print)


def _report(options: argparse.Namespace, command: Sequence[str]) -> int:
    return _cli_report.run(options, _print, colour=_has_colours(sys.stdout), encoding=sys.stdout.encoding or "ascii")


_COMMANDS: Final = (
    Command(
        "compare", "Compare a release with the one before, by KPIs.", _cli_compare.arguments, _plain(_cli_compare.run)
    ),
    Command("demo", "Run a shop with a release that hurts, and show it.", _cli_demo.arguments, _plain(_cli_demo.run)),
    Command("doctor", "Check the set-up as it will run.", _doctor_arguments, _doctor, takes_command=True),
    Command(
        "export",
        "Write what others take: rules, a dashboard, a catalogue.",
        _cli_export.arguments,
        _plain(_cli_export.run),
    ),
    Command(
        "import",
        "Put events from files and spools into the lens's store.",
        _cli_import.arguments,
        _plain(_cli_import.run),
    ),
    Command("kpi", "Look at the KPIs that are declared, and evaluate them.", _cli_kpi.arguments, _plain(_cli_kpi.run)),
    Command("lens", "Take in what applications send, and keep it.", _cli_lens.arguments, _plain(_cli_lens.run)),
    Command("mark", "Say what no application tells: a holiday, a TV spot.", _cli_mark.arguments, _plain(_cli_mark.run)),
    Command(
        "reconcile",
        "Compare the events with the system of record.",
        _cli_reconcile.arguments,
        _plain(_cli_reconcile.run),
    ),
    Command("report", "What happened, against target and the period before.", _cli_report.arguments, _report),
    Command("spool", "Look at events on disk, and send them.", _spool_arguments, _spool),
    Command(
        "vocabulary",
        "Show declared facts, and what a change breaks.",
        _cli_vocabulary.arguments,
        _plain(_cli_vocabulary.run),
    ),
)
_BY_NAME: Final = {command.name: command for command in _COMMANDS}
