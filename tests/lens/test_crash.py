"""kill -9 while requests come in: what was answered with 200 is there, once, and the counts per minute agree."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from bizspan.lens import Store, reading
from tests.child import BOUND_S, environment
from tests.lens.asking import rows
from tests.lens.requests import Shop


class Sender(threading.Thread):
    """
    Sends requests until one gets no answer; an unanswered one is sent again in the next life.

    Args:
        requests: What to send, from the end.
        answered: Takes those that got a 200.
        enough: Set when this many were answered.
    """

    def __init__(
        self, url: str, requests: list[bytes], answered: list[bytes], enough: threading.Event, at: int
    ) -> None:
        super().__init__()
        self._url, self._requests, self._answered, self._enough, self._at = url, requests, answered, enough, at

    def run(self) -> None:
        while self._requests:
            data = self._requests.pop()
            request = urllib.request.Request(f"{self._url}/v1/logs", data, {"Content-Type": "application/x-protobuf"})
            try:
                with urllib.request.urlopen(request, timeout=BOUND_S) as answer:
                    assert 200 == answer.status
            except OSError:
                self._requests.insert(0, data)
                break
            self._answered.append(data)
            if len(self._answered) >= self._at:
                self._enough.set()
        self._enough.set()


@pytest.mark.server
@pytest.mark.server
def test_what_was_answered_survives_kill_9(tmp_path: Path, long: bool) -> None:
    """
    Several lives, each killed at a moment of its own; after each the store opens, and has what was answered.
    """
    lives, chance = (100 if long else 6), random.Random(11)
    path = tmp_path / "lens.db"
    shop = Shop()
    requests = list(shop.requests(lives * 40 * 50, size=50))
    uids = {bytes(data): {each.uid for each in shop.sold[n * 50 : n * 50 + 50]} for n, data in enumerate(requests)}
    waiting, answered = list(reversed(requests)), list[bytes]()
    for _ in range(lives):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.lens.crash", str(path)],
            cwd=Path(__file__).resolve().parents[2], env=environment(), stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            enough = threading.Event()
            at = len(answered) + chance.randrange(1, 40)
            senders = [Sender(url, waiting, answered, enough, at) for _ in range(3)]
            for sender in senders:
                sender.start()
            assert enough.wait(BOUND_S)
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        for sender in senders:
            sender.join(BOUND_S)
        with reading(path) as connection:
            stored = {uid for (uid,) in connection.execute("SELECT uid FROM events")}
            assert set() == set().union(*(uids[data] for data in answered)) - stored
            assert ("ok",) == connection.execute("PRAGMA integrity_check").fetchone()
            (counted,) = connection.execute("SELECT sum(count) FROM minute_counts WHERE dimension = ''").fetchone()
            assert len(stored) == counted

    with Store(path) as store:  # whoever comes next goes on writing
        assert len(answered) * 50 <= rows(store, "SELECT count(*) FROM events")[0]
    assert len(answered) >= lives
