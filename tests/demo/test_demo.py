"""``bizspan demo`` as people start it: to its end without a terminal, with keys on one, and ended early."""

from __future__ import annotations

import html
import os
import pty
import re
import signal
import socket
import sqlite3
import subprocess
import termios
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.demo.running import BOUND_S, left, read_until, started, until

pytestmark = [pytest.mark.server, pytest.mark.skipif(os.name != "posix", reason="there is no spool on Windows")]

KILLED = re.compile(r"kill -9 of web (1\.\d), process (\d+)")


@dataclass(frozen=True)
class Told:
    """What a run said, and where its files are."""

    code: int
    text: str
    directory: Path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """One run in its short form, without a terminal."""
    temporary = tmp_path_factory.mktemp("demo")
    kept = temporary / "kept"
    with started("--seconds", "8", "--keep", str(kept), temporary=temporary) as process:
        out, _ = process.communicate(timeout=BOUND_S)
    return Told(process.returncode, out.decode(), kept)


def test_it_says_where_the_release_hurts(whole: Told) -> None:
    """
    The sentence names the release and the country whose customers it turns away, with what that costs.
    """
    found = re.search(
        r"release 1\.5: checkout conversion in (\w+) (\d+) -> (\d+) % \(n=\d+\), about [\d,]+ (\w+)/h lost", whole.text
    )

    assert found, whole.text
    assert ("Germany", "EUR") == (found[1], found[4])
    assert int(found[2]) > int(found[3]) + 15


def test_the_book_and_the_events_agree_although_a_process_was_killed(whole: Told) -> None:
    """
    After a kill -9 the shop's own orders and the events in the store are the same to the cent, by currency.
    """
    killed = KILLED.search(whole.text)
    with closing(sqlite3.connect(whole.directory / "ledger.db")) as ledger:
        book = dict(ledger.execute("SELECT currency, sum(minor) FROM orders WHERE became = 'paid' GROUP BY 1"))
    with closing(sqlite3.connect(whole.directory / "lens.db")) as store:
        events = dict(
            store.execute(
                "SELECT revenue_currency, sum(revenue_minor) FROM events WHERE operation = 'checkout'"
                " AND outcome = 'success' GROUP BY 1"
            )
        )

    assert killed and killed[1] == "1.5", whole.text
    assert book == events
    assert {"CHF", "EUR"} == book.keys()
    assert 0 == whole.code, whole.text
    assert ["0.00 CHF", "0.00 EUR"] == re.findall(r"^ledger .* - events .* = (\S+ \S+)", whole.text, re.MULTILINE)


def test_it_shows_receipts_and_the_table(whole: Told) -> None:
    """
    It prints receipts of checkouts, the conversion by country and version, and how it is since the roll back.
    """
    table = re.findall(r"^(\w+) +(?:\d+ % \(\d+\)|-) +(?:\d+ % \(\d+\)|-)$", whole.text, re.MULTILINE)

    assert re.search(r"^  checkout ✓ value \S+ \w+ \S+ \w+  country=", whole.text, re.MULTILINE), whole.text
    assert ["Germany", "Austria", "France", "Switzerland"] * 2 == table
    assert "rolled back to 1.4" in whole.text
    assert re.search(r"since the roll back: checkout conversion in Germany \d+ %", whole.text), whole.text


def test_it_leaves_nothing_running(whole: Told) -> None:
    """
    After its end no process of the shop lives, and nothing waits in the spool.
    """
    assert [] == left(whole.directory)
    assert [] == [path.name for path in (whole.directory / "spool").iterdir()]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ended_early_it_takes_everything_along(tmp_path: Path, number: int, code: int) -> None:
    """
    Ctrl-C and SIGTERM end its processes, free its ports and remove its files, in bounded time.
    """
    with started("--seconds", "60", temporary=tmp_path) as process:
        assert process.stdout is not None
        said = read_until(process.stdout.fileno(), "receipts of release 1.4:")
        page = re.search(r"page  (http://\S+)", said)
        assert page is not None, said
        with urllib.request.urlopen(page[1], timeout=10) as answer:
            assert "bizspan lens" in answer.read().decode()
        address = re.search(r"http://127\.0\.0\.1:(\d+)", said)
        were = left(tmp_path)
        process.send_signal(number)
        ended = process.wait(timeout=15)

    assert address and len(were) >= 2, said
    assert code == ended
    assert [] == left(tmp_path)
    assert [] == [*tmp_path.iterdir()]
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", int(address[1])), timeout=5):
        pass


def test_killed_itself_it_leaves_no_process(tmp_path: Path) -> None:
    """
    When the demo is killed, the shop's processes end by themselves.
    """
    with started("--seconds", "60", temporary=tmp_path) as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), "receipts of release 1.4:")
        were = left(tmp_path)
        process.kill()
        process.wait(timeout=5)

    assert were
    assert until(lambda: not left(tmp_path)), left(tmp_path)


def test_keys_kill_and_roll_back(tmp_path: Path) -> None:
    """
    On a terminal the state is drawn, k kills a process, r rolls the release back, q ends it with a book that agrees.
    """
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    with open(theirs, "r+b", buffering=0) as terminal:
        with started("--seconds", "10", temporary=tmp_path, keys=terminal, out=terminal) as process:
            drawn = read_until(ours, "release 1.5 beside 1.4", "r  roll back")
            os.write(ours, b"k")
            killed = read_until(ours, "it is started again")
            os.write(ours, b"r")
            rolled = read_until(ours, "rolled back to 1.4")
            os.write(ours, b"q")
            end = read_until(ours, "equal: ")
            code = process.wait(timeout=BOUND_S)
        after = termios.tcgetattr(theirs)
    os.close(ours)

    assert "checkout conversion" in drawn and "bizspan demo  http://127.0.0.1:" in drawn
    assert KILLED.search(killed), killed
    assert "release 1.5: " in rolled
    assert "= 0.00 EUR" in end, end
    assert "\x1b[31m" not in drawn + killed + rolled + end  # NO_COLOR
    assert 0 == code
    assert before == after


def test_buttons_of_the_page_kill_and_roll_back(tmp_path: Path) -> None:
    """
    Without a terminal as well: each does what its key does and says so on the page, and the total stays.
    """
    with started("--seconds", "10", temporary=tmp_path) as process:
        assert process.stdout is not None
        said = read_until(process.stdout.fileno(), "receipts of release 1.4:")
        found = re.search(r"page  (http://\S+)/", said)
        assert found is not None, said
        early = press(found[1], "roll-back")
        said += read_until(process.stdout.fileno(), "release 1.5 beside 1.4")
        killed = press(found[1], "kill")
        again = press(found[1], "kill")
        rolled = press(found[1], "roll-back")
        twice = press(found[1], "roll-back")
        os.set_blocking(process.stdout.fileno(), True)
        out, _ = process.communicate(timeout=BOUND_S)
    text = out.decode()

    assert "Roll back: there is no release 1.5 yet." in early
    assert KILLED.search(killed), killed
    assert "one was killed just now" in again
    assert "Roll back: rolled back to 1.4; release 1.5: " in rolled
    assert "it was rolled back to 1.4 before" in twice
    assert (1, 1) == (len(KILLED.findall(text)), text.count("] rolled back to 1.4"))
    assert ["0.00 CHF", "0.00 EUR"] == re.findall(r"^ledger .* - events .* = (\S+ \S+)", text, re.MULTILINE)
    assert 0 == process.returncode


def press(url: str, name: str) -> str:
    """Press a button as a browser does; the text of the page afterwards."""
    with urllib.request.urlopen(f"{url}/", timeout=10) as answer:
        page = answer.read().decode()
    (token,) = set(re.findall(r'name="token" value="(\w+)"', page))
    assert f'action="/do/{name}"' in page
    sent = urllib.request.Request(f"{url}/do/{name}", f"token={token}".encode(), {"Origin": url})
    with urllib.request.urlopen(sent, timeout=20) as answer:
        return html.unescape(answer.read().decode())


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    """
    Files of an earlier run would be counted again: a directory that is not empty is refused, with what to do.
    """
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "ledger.db").touch()
    with started("--keep", "kept", temporary=tmp_path, out=subprocess.PIPE) as process:
        out, _ = process.communicate(timeout=BOUND_S)

    assert 2 == process.returncode
    assert "bizspan demo: error: kept is not empty; name a new directory.\n" == out.decode()
