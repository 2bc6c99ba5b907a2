"""What the demo draws on a terminal, and what it takes as options."""

from __future__ import annotations

import io
import os
import pty
import termios
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import TextIO

import pytest

from bizspan.cli import main
from bizspan.demo._screen import Lines, Terminal, is_terminal
from tests.demo.running import read_until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there is no spool on Windows")


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A terminal of 40 columns: the person's side, and the program's."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "10")
    monkeypatch.delenv("NO_COLOR", raising=False)
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def shown(sides: tuple[int, int]) -> str:
    """What comes out when a state is drawn, a line is said, and another state is drawn."""
    ours, theirs = sides
    with _open(theirs) as out, Terminal(out, out) as terminal:
        terminal.draw(["bizspan demo", "release 1.5: it hurts", "a  " + "x" * 60])
        terminal.say("it happened")
        terminal.draw(["the end"])
    return read_until(ours, "\x1b[?25h")


def _open(descriptor: int) -> TextIO:
    """Text on a terminal, which has no position to seek."""
    return io.TextIOWrapper(open(descriptor, "r+b", buffering=0, closefd=False), encoding="utf-8", write_through=True)


def test_a_state_takes_the_place_of_the_one_before(sides: tuple[int, int]) -> None:
    """
    The lines of the old state are erased, what is said stays above, no line is wider than the terminal.
    """
    text = shown(sides)

    assert "\x1b[3A\x1b[Jit happened\r\n\x1b[1mbizspan demo\x1b[0m" in text
    assert text.endswith("\x1b[3A\x1b[Jthe end\x1b[K\r\n\x1b[?25h")
    assert "x" * 36 in text and "x" * 37 not in text
    assert "\x1b[31mrelease 1.5: it hurts\x1b[0m" in text


def test_a_sentence_takes_the_lines_that_it_needs(sides: tuple[int, int]) -> None:
    """
    What a person should see is told to its end, in its colour, and erased as a whole; a table's line is cut.
    """
    ours, theirs = sides
    sentence = "release 1.5: checkout conversion in Germany 61 -> 48 % (n=412), about 1,240 EUR/h"
    with _open(theirs) as out, Terminal(out, out) as terminal:
        terminal.draw([sentence, "country  revenue  " + "y" * 60])
        terminal.say("it happened")
        terminal.draw([])
    text = read_until(ours, "\x1b[?25h")

    pieces = ["release 1.5: checkout conversion in", "Germany 61 -> 48 % (n=412), about 1,240", "EUR/h"]
    drawn = (
        "".join(f"\x1b[31m{piece}\x1b[0m\x1b[K\r\n" for piece in pieces) + "country  revenue  " + "y" * 21 + "\x1b[K"
    )
    assert f"{drawn}\r\n\x1b[4A\x1b[Jit happened\r\n{drawn}\r\n\x1b[4A\x1b[J" in text


def test_no_color_is_heeded(sides: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With NO_COLOR the state is drawn in place all the same, without colours.
    """
    monkeypatch.setenv("NO_COLOR", "1")
    text = shown(sides)

    assert "\x1b[3A\x1b[Jit happened\r\nbizspan demo\x1b[K" in text
    assert "\x1b[1m" not in text and "\x1b[31m" not in text


def test_keys_come_one_by_one_and_settings_come_back(sides: tuple[int, int]) -> None:
    """
    A key counts without Enter, in either case; afterwards the terminal is as it was.
    """
    ours, theirs = sides
    before = termios.tcgetattr(theirs)
    with _open(theirs) as out:
        with Terminal(out, out) as terminal:
            os.write(ours, b"kR")
            keys = [terminal.key(5.0), terminal.key(5.0), terminal.key(0.0)]
        after = termios.tcgetattr(theirs)

    assert ["k", "r", ""] == keys
    assert before == after


def test_without_a_terminal_states_are_not_printed() -> None:
    """
    Lines that are said are printed; states are not, and there is no key.
    """
    said: list[str] = []
    lines = Lines(said.append, Event().wait)
    lines.say("it happened")
    lines.draw(["a state"])

    assert "" == lines.key(0.0)
    assert ["it happened"] == said
    assert not is_terminal()  # pytest holds standard input


@pytest.mark.parametrize("seconds", ["4", "601", "-5", "soon", "nan"])
def test_a_time_out_of_range_is_refused(
    seconds: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Nothing starts with a time that is too short, without an end, or none.
    """
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["demo", f"--seconds={seconds}", "--keep", "kept"])

    assert 2 == ended.value.code
    assert "must be a number of seconds from 5 to 600" in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()
