"""Programs that tell into one spool, in processes of their own, and what came of it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from _collector import Receiver
from tests.child import Ended, run_for

SET_UP = """
    import ctypes, gc, multiprocessing, os, signal, sys, threading, time
    import bizspan
    from bizspan.spool import Spool
    DIR = os.environ["DIR"]
    configuration = bizspan.configure(
        export="none", service_name="shop", spool=Spool(DIR, min_free_bytes=0, durability=os.environ["DURABILITY"])
    )
    PARENT = bizspan._active.current.ids.writer_id
    def tell(times):
        for _ in range(times):
            with bizspan.operation("checkout", segment="gold") as operation:
                operation.revenue("1.00", "EUR")
    def wait(child):
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    def inherited():
        "The parent's files that are open here, and not only looked at by a scan."
        for _ in range(100):
            if not (links := open_now()):
                break
            time.sleep(0.01)
        return links
    def open_now():
        links = []
        for number in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
            try:
                links.append(os.readlink(f"/proc/self/fd/{number}"))
            except OSError:
                pass
        return [link for link in links if link.startswith(DIR) and PARENT in link]
    def child_tells(then=os._exit):
        tell(7)
        account = bizspan.diagnostics()
        if account.acknowledged != 7 or account.refused or inherited():
            print("child:", account, inherited(), file=sys.stderr, flush=True)
            os._exit(1)
        then(0)
"""
LOAD = """
    stop, told = threading.Event(), [0, 0, 0, 0]
    def keep_telling(number):
        while not stop.wait(0.002):
            tell(1)
            told[number] += 1
    threads = [threading.Thread(target=keep_telling, args=(number,), daemon=True) for number in range(3)]
    for thread in threads:
        thread.start()
    tell(1)
    told[3] += 1
"""
END = """
    stop.set()
    for thread in threads:
        thread.join()
    account = bizspan.diagnostics()
    assert account.offered == sum(told) == account.acknowledged, account
    print(account.acknowledged)
"""


class Spooling:
    """Programs that share one spool, and what came of it."""

    def __init__(self, path: Path, receiver: Receiver) -> None:
        self.path = path
        self.receiver = receiver

    def run(self, program: str, bound_s: float = 60.0, durability: str = "process", may_say: str = "") -> Ended:
        """Run one to its end, which has to be a good one, in silence but for lines with this word."""
        ended = run_for(bound_s, SET_UP + program, self.receiver, DIR=str(self.path), DURABILITY=durability)
        said = [line for line in ended.err.splitlines() if not may_say or may_say not in line]
        if ended.code or said:
            pytest.fail(f"It ended with {ended.code} and said: {ended.err[:2000]}")
        return ended

    def arrived(self, expected: int) -> dict[str, list[int]]:
        """
        Have another process send what is left: the numbers that came, by writer, once each; there are so many in all.
        """
        if not self._wait(expected, 0.5):
            self.run(
                """
    deadline = time.monotonic() + 30
    while any(name.endswith(".seg") for name in os.listdir(DIR)) and time.monotonic() < deadline:
        configuration.force_flush(1.0)
        time.sleep(0.05)
                """
            )
        assert self._wait(expected, 5.0), len(self._uids())
        found: dict[str, set[int]] = defaultdict(set)
        for event in self.receiver.events():
            found[str(event["attributes"]["bizspan.writer.id"])].add(int(str(event["attributes"]["bizspan.seq"])))
        events = self.receiver.events()
        print(f"{len(events)} events came, {len(self._uids())} told, {len(events) - len(self._uids())} of them twice")
        assert expected == len(self._uids()) == sum(map(len, found.values()))
        return {writer: sorted(numbers) for writer, numbers in found.items()}

    def _uids(self) -> set[str]:
        return {str(event["attributes"]["log.record.uid"]) for event in self.receiver.events()}

    def _wait(self, expected: int, timeout_s: float) -> bool:
        return self.receiver.wait_for(lambda _: len(self._uids()) >= expected, timeout_s)
