"""Programs that sell are killed; every acknowledged sale is written down, and compared with what arrived."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tests.child import BOUND_S, environment
from tests.spool.collector_process import ROOT, Arrived, Behaviour, Collector

Kind = Literal["bizspan", "stock"]

LIFE_S: Final = 0.25
_FEWEST: Final = 20  # sales of each program before it is killed
_DRAIN_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    What goes wrong, beside the kills.

    Args:
        name: For people.
        behaviour: How the collector answers until the last program is dead.
        programs: How many sell at once, in one directory.
        at_once: How many of them are killed at the same moment.
        kills_collector: Whether it is killed too, at every second kill, and started again at the next one.
        export: "otlp" has the first program of each set up spans and metrics as well.
    """

    name: str
    behaviour: Behaviour = "accept"
    programs: int = 1
    at_once: int = 1
    kills_collector: bool = False
    export: str = ""


SCENARIOS: Final = (
    Scenario("healthy", programs=2, export="otlp"),
    Scenario("503", "unavailable"),
    Scenario("resets", "reset", programs=2),
    Scenario("collector killed", programs=2, kills_collector=True),
    Scenario("orphan races", programs=4, at_once=2),
)


@dataclass(frozen=True, slots=True)
class Result:
    """
    One line of the table.

    Args:
        scenario: Its name.
        kills: SIGKILLs to programs.
        acknowledged: Sales whose call had returned, by what the programs wrote down.
        arrived: Of those, the ones that a collector acknowledged.
        beyond: Sales that arrived although the kill came before they were written down: at most one per thread.
        gaps: Numbers that are missing in ``bizspan.seq``, over all writers.
        difference_cents: Revenue that was acknowledged, minus that of the same sales as they arrived.
        doubled: Events that arrived more than once, and count once by their uid.
        seconds: How long it took.
    """

    scenario: str
    kills: int
    acknowledged: int
    arrived: int
    beyond: int
    gaps: int
    difference_cents: int
    doubled: int
    seconds: float

    @property
    def lost(self) -> int:
        """Acknowledged, and not arrived."""
        return self.acknowledged - self.arrived


class Program:
    """One that sells until it is killed; `environ` is added to its environment."""

    def __init__(self, kind: str, name: str, folder: Path, environ: Mapping[str, str], ledger: str = "") -> None:
        self.acks = folder / f"{name}.acks"
        self.acks.touch()
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.spool.shopper",
                    kind,
                    name,
                    str(self.acks),
                    *([ledger] if ledger else []),
                ],
                cwd=ROOT,
                env=environment(None, **environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_until_sold(self) -> None:
        """Wait for its first acknowledged sales."""
        deadline = time.monotonic() + BOUND_S
        while self.acks.read_bytes().count(b"\n") < _FEWEST:
            assert self._process.poll() is None and time.monotonic() < deadline, self._log.read_text("utf-8", "replace")
            time.sleep(0.01)  # nothing to wait on: files don't tell

    def kill(self) -> None:
        """SIGKILL, without waiting."""
        self._process.kill()

    def wait(self) -> None:
        """Until it is dead, of that."""
        assert -signal.SIGKILL == self._process.wait(BOUND_S), self._log.read_text("utf-8", "replace")

    def end(self) -> None:
        """In any case."""
        self._process.kill()
        self._process.wait(BOUND_S)


def acknowledged(folder: Path) -> dict[str, tuple[str, int]]:
    """Order and cents by uid of each sale that a program wrote down; a line that a kill cut is none."""
    found: dict[str, tuple[str, int]] = {}
    for file in folder.glob("*.acks"):
        for line in file.read_bytes().split(b"\n")[:-1]:
            uid, order, cents = line.decode().split()
            found[uid] = (order, int(cents))
    return found


def run(kind: Kind, scenario: Scenario, kills: int, folder: Path, *, life_s: float = LIFE_S, seed: int = 1) -> Result:
    """
    Kill so many programs, let the rest be sent, and count.

    Args:
        kind: What they sell with.
        scenario: What else goes wrong.
        kills: How many, at least.
        folder: An empty one.
        life_s: How long a program sells at most, in seconds, from its twentieth acknowledged sale.
        seed: Of the moments.
    """
    began = time.monotonic()
    chance = random.Random(seed)
    with Collector(folder) as collector:
        collector.behave(scenario.behaviour)
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "BIZSPAN_SPOOL_DIR": str(folder / "spool")}
        with _selling(kind, scenario, folder, environ) as (programs, start):
            killed = 0
            while killed < kills:
                doomed = programs[: scenario.at_once]
                for program in doomed:
                    program.wait_until_sold()
                time.sleep(chance.random() * life_s)
                if scenario.kills_collector:
                    collector.kill() if collector.is_up else collector.start()
                for program in doomed:
                    program.kill()
                for program in doomed:
                    program.wait()
                    programs.remove(program)
                killed += len(doomed)
                while len(programs) < scenario.programs and killed + len(programs) < kills:
                    start()
            for program in programs:  # more than one sold, and some still do
                program.wait_until_sold()
                program.kill()
                program.wait()
                killed += 1
            programs.clear()
        if not collector.is_up:
            collector.start()
        collector.behave("accept")
        if kind == "bizspan":
            drain(environ)
        return _counted(scenario.name, killed, acknowledged(folder), collector.arrived(), time.monotonic() - began)


@contextmanager
def _selling(
    kind: Kind, scenario: Scenario, folder: Path, environ: Mapping[str, str]
) -> Generator[tuple[list[Program], Callable[[], None]]]:
    programs: list[Program] = []
    started = 0

    def start() -> None:
        nonlocal started
        started += 1
        with_all = kind == "bizspan" and scenario.export == "otlp" and started == 1
        programs.append(Program(f"{kind}+otlp" if with_all else kind, f"p{started:04}", folder, environ))

    try:
        for _ in range(scenario.programs):
            start()
        yield programs, start
    finally:
        for program in programs:
            program.end()


DRAIN: Final = """
import os, sys, time
import bizspan
configuration = bizspan.configure(service_name="drain", export="none")
deadline = time.monotonic() + float(sys.argv[1])
while any(name.endswith(".seg") for name in os.listdir(os.environ["BIZSPAN_SPOOL_DIR"])):
    if time.monotonic() > deadline:
        sys.exit(1)
    time.sleep(0.02)
configuration.shutdown()
"""


def drain(environ: Mapping[str, str], timeout_s: float = _DRAIN_S) -> None:
    """Have a new process send what the dead ones left in its ``BIZSPAN_SPOOL_DIR``; it tells nothing itself."""
    ended = subprocess.run(
        [sys.executable, "-c", DRAIN, str(timeout_s)],
        env=environment(None, **environ),
        capture_output=True,
        text=True,
        timeout=timeout_s + BOUND_S,
        check=False,
    )
    assert 0 == ended.returncode, f"{os.listdir(environ['BIZSPAN_SPOOL_DIR'])} is left. {ended.stderr}"


def _counted(
    scenario: str, kills: int, sold: Mapping[str, tuple[str, int]], arrived: Sequence[Arrived], seconds: float
) -> Result:
    by_uid = {event.uid: event for event in arrived}
    both = sold.keys() & by_uid.keys()
    assert all(sold[uid][0] == by_uid[uid].order for uid in both)
    return Result(
        scenario,
        kills,
        acknowledged=len(sold),
        arrived=len(both),
        beyond=len(by_uid.keys() - sold.keys()),
        gaps=gaps(arrived),
        difference_cents=sum(cents for _, cents in sold.values()) - sum(by_uid[uid].cents for uid in both),
        doubled=len(arrived) - len(by_uid),
        seconds=seconds,
    )


def gaps(arrived: Iterable[Arrived]) -> int:
    """How many numbers are missing, from 1 to each writer's last one."""
    numbers: dict[str, set[int]] = defaultdict(set)
    for event in arrived:
        numbers[event.writer].add(event.sequence)
    return sum(max(found) - len(found) for found in numbers.values())
