"""
Where the demo is shown: a terminal that is redrawn and has keys, or lines one after the other.
"""

from __future__ import annotations

import os
import select
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Protocol, Self, TextIO

_RED, _BOLD, _PLAIN = "\x1b[31m", "\x1b[1m", "\x1b[0m"
_HIDE, _SHOW, _REST, _BELOW = "\x1b[?25l", "\x1b[?25h", "\x1b[K", "\x1b[J"


class Screen(Protocol):
    """What is shown, and what is pressed."""

    has_keys: bool

    def say(self, line: str) -> None:
        """A line that stays."""
        ...

    def draw(self, lines: Sequence[str]) -> None:
        """The state, in place of the one before."""
        ...

    def key(self, timeout_s: float) -> str:
        """The key that was pressed; empty for none within the time."""
        ...


class Lines:
    """
    No terminal: what happens is printed, what changes is not.

    Args:
        show: Prints a line.
        wait: Waits so many seconds, or less.
    """

    has_keys = False

    def __init__(self, show: Callable[[str], None], wait: Callable[[float], object]) -> None:
        self._show = show
        self._wait = wait

    def say(self, line: str) -> None:
        """See `Screen`."""
        self._show(line)

    def draw(self, lines: Sequence[str]) -> None:
        """See `Screen`."""

    def key(self, timeout_s: float) -> str:
        """See `Screen`."""
        self._wait(timeout_s)
        return ""


class Terminal:
    """
    A terminal, as long as the block lasts: no echo, no cursor, each key at once.

    Args:
        keys: Where keys come from.
        out: Where it is drawn.
    """

    has_keys = True

    def __init__(self, keys: TextIO, out: TextIO) -> None:
        self._keys = keys
        self._out = out
        self._drawn: Sequence[str] = ()
        self._height = 0  # in lines of the terminal
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        import termios
        import tty

        self._before = termios.tcgetattr(self._keys)
        tty.setcbreak(self._keys)
        self._write(_HIDE)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        import termios

        self._write(_SHOW)
        termios.tcsetattr(self._keys, termios.TCSADRAIN, self._before)

    def say(self, line: str) -> None:
        """See `Screen`."""
        drawn = self._drawn
        self._erase()
        self._write(line + "\n")
        self.draw(drawn)

    def draw(self, lines: Sequence[str]) -> None:
        """See `Screen`."""
        width, height = shutil.get_terminal_size()
        self._erase()
        shown = [
            f"{on}{piece}{off}" for line in lines for on, off in [_colours(line)] for piece in _fitted(line, width)
        ]
        shown = shown[: height - 1]
        self._write("".join(f"{line}{_REST}\n" for line in shown))
        self._drawn, self._height = lines, len(shown)

    def key(self, timeout_s: float) -> str:
        """See `Screen`."""
        ready, _, _ = select.select([self._keys], [], [], timeout_s)
        if not ready:
            return ""
        read = os.read(self._keys.fileno(), 1)
        if not read:  # the terminal has gone
            time.sleep(timeout_s)
        return read.decode("ascii", "ignore").lower()

    def _erase(self) -> None:
        if self._height:
            self._write(f"\x1b[{self._height}A{_BELOW}")
        self._drawn, self._height = (), 0

    def _write(self, text: str) -> None:
        encoding = self._out.encoding or "ascii"
        self._out.write(text.encode(encoding, "replace").decode(encoding))
        self._out.flush()


def _fitted(line: str, width: int) -> list[str]:
    """A sentence in the lines that it needs; the line of a table is cut, so that columns stay columns."""
    if len(line) < width:
        return [line]
    return [line[: width - 1]] if "  " in line else textwrap.wrap(line, width - 1)


def _colours(line: str) -> tuple[str, str]:
    """The release that hurts in red, headings bold; as https://no-color.org has it."""
    if os.environ.get("NO_COLOR"):
        return "", ""
    if line.startswith("release "):
        return _RED, _PLAIN
    return (_BOLD, _PLAIN) if line.startswith("bizspan demo") else ("", "")


def is_terminal() -> bool:
    """Whether a person sits here."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


WAIT_S: Final = 0.25
