"""
A model of the whole spool on a disk that fails: processes tell, send, adopt, and end at any system call, in the middle
of one, or with the power. What was acknowledged comes, and nothing comes that was not told.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from bizspan.spool._directory import DEAD, Unusable, name_of
from bizspan.spool._frame import EVENT, Frame, scan
from tests.spool.disk import Crash, Disk, DiskFiles, Fate
from tests.spool.process import CLOCK, Books, Process

_ROOMY = 1 << 30
_CHANCE = random.Random()  # in place of the system's: the same sequence always makes the same names
_FAILURES: tuple[str | int, ...] = ("short", "late", errno.EIO, errno.ENOSPC, errno.EROFS)
_KINDS: tuple[str | int, ...] = ("before", "after", "middle", "visit", *_FAILURES)
_AFTER = (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 10, 12, 15)  # most steps take few calls

fates = st.one_of(
    st.none(),
    st.builds(Fate, st.sampled_from(_AFTER), st.sampled_from(_KINDS), st.integers(0, 1000)),
)
which = st.integers(0, 2)


class SpoolModel(RuleBasedStateMachine):
    """
    Three processes at most, at one directory.

    Attributes:
        books: What they told, and what became of it.
        is_harsh: Whether the disk fails too; else processes only end.
    """

    sequences = 0
    steps = 0
    fired: dict[str, int] = {}  # noqa: RUF012 - of the whole run, for its figures

    def __init__(self) -> None:
        super().__init__()
        SpoolModel.sequences += 1
        CLOCK.reset()
        _CHANCE.seed(0)
        self.disk = Disk()
        self.processes: list[Process] = []
        self.books = Books()
        self.is_harsh = False
        self.may_repeat = False
        self.max_age_s: float | None = None
        self._texts = 0
        self._processes = 0

    @initialize(is_power=st.booleans(), ages=st.booleans(), is_harsh=st.booleans())
    def begin(self, is_power: bool, ages: bool, is_harsh: bool) -> None:
        """Half of the sequences end processes only, so that what was settled there must not come again."""
        self.books.is_power = is_power
        self.is_harsh = is_harsh
        self.max_age_s = 100.0 if ages else None
        self.start(None, 0)

    def _of(self, number: int) -> Process:
        return self.processes[number % len(self.processes)]

    def _under(self, process: Process, fate: Fate | None, act: Callable[[], object], other: int = 0) -> bool:
        """Do this while fate strikes; whether it came to its end without."""
        SpoolModel.steps += 1
        CLOCK.elapsed += 2.0
        files = process.files
        before = len(files.fired)
        files.expect(fate if fate is None or self.is_harsh or fate.kind not in _FAILURES else None)
        files.visitor = lambda: self._visit(process, other)
        try:
            act()
        except Crash:
            self.processes.remove(process)
        files.expect(None)
        fired = files.fired[before:]
        for kind in fired:
            SpoolModel.fired[str(kind)] = SpoolModel.fired.get(str(kind), 0) + 1
        if any(kind in _FAILURES for kind in fired):
            self._failed(process)
        if not files.is_dead:
            assert process.pending >= 0
            assert process.acknowledged == set(range(1, process.writer.sequence + 1))
            held = [*process.store.own, *process.store.adopted]
            assert files.open_count == sum(segment.is_intact for segment in held)
        return not fired

    def _failed(self, process: Process) -> None:
        """What it gives up now, others may take over; and what was settled may come once more."""
        process.has_failed = True
        process.is_alone = process.is_alone and len(self.processes) == 1
        self.books.settled.clear()

    def _visit(self, process: Process, other: int) -> None:
        """Between two system calls of a process, another one runs, or another thread of its own tells an event."""
        if self._of(other) is not process:
            self._scan(other)
        elif not process.writer._lock._is_owned():  # type: ignore[attr-defined]
            process.tell(self._text(0))

    def _scan(self, number: int) -> None:
        if self.processes:
            self._of(number).store.adopt()
            self._of(number).drain()

    def _text(self, padding: int) -> bytes:
        self._texts += 1
        return b"event %d %b" % (self._texts, b"." * padding)

    # --- rules --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.processes) < 3)
    @rule(fate=fates, other=which)
    def start(self, fate: Fate | None, other: int) -> None:
        self._processes += 1
        for each in self.processes:
            each.is_alone = each.is_alone and not each.has_failed
        files = DiskFiles(self.disk)
        files.expect(fate if fate is None or fate.kind not in _FAILURES or self.is_harsh else None)
        files.visitor = lambda: self._scan(other)
        try:
            self.processes.append(Process(self._processes, files, self.books, self.max_age_s))
        except Crash:
            return
        except Unusable:
            assert self.is_harsh and files.fired, files.fired  # its events wait in memory, which is another test's
            assert errno.ENOSPC not in files.fired
        files.expect(None)

    @precondition(lambda self: self.processes)
    @rule(number=which, count=st.integers(1, 6), padding=st.integers(0, 60), fate=fates, other=which)
    def tell(self, number: int, count: int, padding: int, fate: Fate | None, other: int) -> None:
        process = self._of(number)
        texts = [self._text(padding) for _ in range(count)]
        self._under(process, fate, lambda: process.tell(*texts), other)

    @precondition(lambda self: self.processes)
    @rule(
        number=which,
        most=st.integers(1, 5),
        how=st.sampled_from(["delivered", "delivered", "rejected", "not", "halves", "dead"]),
        fate=fates,
        other=which,
    )
    def take(self, number: int, most: int, how: str, fate: Fate | None, other: int) -> None:
        process = self._of(number)
        if most > 3:
            process.store.adopt()
        taken: list[bytes] = []
        if not self._under(process, fate, lambda: self._take(process, most, how, taken), other):
            return
        if not self.may_repeat:
            self.books.settled.update(taken)
        if how == "dead" and self.disk.room == _ROOMY:
            assert {*taken} <= self.dead_letters

    @property
    def dead_letters(self) -> set[bytes]:
        """What is in the files of them."""
        found: set[bytes] = set()
        for text, inode in self.disk.names.items():
            if (name := name_of(text.rpartition("/")[2])) is not None and name.kind == DEAD:
                frames = scan(bytes(inode.data), name.salt)
                found |= {each.entry for each in frames if isinstance(each, Frame) and each.kind == EVENT}
        return found

    def _take(self, process: Process, most: int, how: str, taken: list[bytes]) -> None:
        batch = process.store.batch(500, 1 if how == "dead" else most)
        if batch is None:
            return
        self.books.seen(batch)
        parts: list[Any] = [batch]
        if how == "halves" and batch.events > 1:
            parts = list(batch.halves())
            assert batch.entries == [*parts[0].entries, *parts[1].entries]
        for part in parts[: 0 if how == "not" else 2]:
            entries = [frame.entry for frame in part.entries]
            self.books.settling(entries)
            if how == "dead":
                part.dead(0, "http_400")
            else:
                part.delivered(1 if how == "rejected" else 0)
            taken += entries

    @precondition(lambda self: self.processes)
    @rule(number=which, fate=fates, other=which)
    def drain(self, number: int, fate: Fate | None, other: int) -> None:
        process = self._of(number)
        if self._under(process, fate, process.drain, other) and not process.has_failed:
            assert 0 == process.pending

    @precondition(lambda self: self.processes)
    @rule(number=which, fate=fates, other=which)
    def adopt(self, number: int, fate: Fate | None, other: int) -> None:
        process = self._of(number)
        self._under(process, fate, process.store.adopt, other)

    @precondition(lambda self: self.processes)
    @rule(number=which, fate=fates)
    def seal(self, number: int, fate: Fate | None) -> None:
        process = self._of(number)
        self._under(process, fate, process.writer.seal)

    @precondition(lambda self: self.processes)
    @rule(number=which, fate=fates, other=which)
    def close(self, number: int, fate: Fate | None, other: int) -> None:
        process = self._of(number)

        def end() -> None:
            process.writer.close()
            process.store.release()
            assert process.files.open_count == 0 or process.has_failed

        self._under(process, fate, end, other)
        if process in self.processes:
            process.files.die()
            self.processes.remove(process)

    @precondition(lambda self: self.processes)
    @rule(number=which, kind=st.sampled_from(["kill", "closerange"]))
    def strike(self, number: int, kind: str) -> None:
        """SIGKILL; or the application closes all descriptors: the locks go too, so two processes may send the same."""
        process = self._of(number)
        if kind == "kill" or not self.is_harsh:
            process.files.die()
            self.processes.remove(process)
            return
        process.files.close_all()
        self._failed(process)
        self.may_repeat = True

    @rule(room=st.sampled_from([0, 10, 100, 300, _ROOMY, _ROOMY]), seconds=st.sampled_from([-3600.0, 0.0, 150.0]))
    def change(self, room: int, seconds: float) -> None:
        """The disk fills up, or is emptied; the clock is set."""
        self.disk.room = room if self.is_harsh else _ROOMY
        self.may_repeat = self.may_repeat or self.disk.room < _ROOMY  # a sidecar that can't be made
        CLOCK.now += seconds

    @rule(data=st.data(), page=st.sampled_from([16, 64, 512]))
    def cut_the_power(self, data: st.DataObject, page: int) -> None:
        for process in self.processes:
            process.files.die()
        self.processes.clear()
        seed = data.draw(st.randoms(use_true_random=False))
        self.disk.power_cut(seed.randrange, page)
        self.books.settled.clear()
        if self.books.is_power:
            self.books.waiting -= self.books.unsure
        else:
            self.books.waiting.clear()

    def teardown(self) -> None:
        """
        The disk works again: who still lives goes on by itself. Or nobody does: everything comes at the next start.
        """
        self.disk.room = _ROOMY
        CLOCK.elapsed += 10.0
        for process in self.processes[1:]:
            process.files.die()
        last = self.processes[0] if self.processes else Process(0, DiskFiles(self.disk), self.books, None)
        for _ in range(2):  # what it can no longer read, it gives up, and finds in its next scan
            last.store.adopt()
            last.drain()
        assert set() == self.books.waiting
        assert not last.is_alone or 0 == last.pending
        CLOCK.elapsed += 10.0
        assert last.writer.append(b"the last") is None
        last.writer.close()
        last.store.release()
        assert 0 == last.files.open_count
        CLOCK.now += 1e6  # however far it was set back: a file without its final name is left alone for a minute
        next_one = Process(99, DiskFiles(self.disk), self.books, None)
        next_one.store.adopt()
        next_one.drain()
        counts = next_one.store.counts
        assert (0, counts.adopted) == (next_one.pending, counts.delivered)
        left = {name.kind for path in self.disk.names if (name := name_of(path.rpartition("/")[2]))}
        assert left <= {".dead", ".bad"}


@pytest.fixture(autouse=True)
def same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks and chance that the model turns."""
    for module in ("_directory", "_segment", "_writer", "_dead"):
        monkeypatch.setattr(f"bizspan.spool.{module}.time", CLOCK.as_module())
    monkeypatch.setattr("os.urandom", _CHANCE.randbytes)


def _whole_life(model: SpoolModel, fate: Fate) -> bool:
    """A process tells, adopts, sends and ends, after another one that died on the way; whether fate struck."""
    dead = model.processes[0]
    dead.tell(*(b"of the dead %d" % number for number in range(12)))
    model.take(0, 3, "delivered", None, 0)
    model.strike(0, "kill")
    model.start(None, 0)
    living = model.processes[0]
    if fate.kind in _FAILURES:
        model.books.settled.clear()

    def live() -> None:
        living.tell(*(b"told %d" % number for number in range(7)))
        living.store.adopt()
        letters: list[bytes] = []
        for how, taken in (("dead", letters), ("halves", []), ("dead", letters), ("delivered", [])):
            model._take(living, 3, how, taken)
        assert len(letters) - 1 <= len({*letters} & model.dead_letters)  # one may have failed
        living.tell(b"in between")
        living.drain()
        living.writer.seal()
        living.tell(b"at the end")
        living.drain()
        living.store.adopt()
        living.drain()

    return not model._under(living, fate, live)


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("is_power", [False, True])
def test_each_system_call_may_end_or_fail(kind: str | int, is_power: bool) -> None:
    """
    Each of a whole life's calls, in turn: what was acknowledged comes, and nothing stays locked or behind.
    """
    struck = 0
    for cut in (0, 500, 1000) if kind in ("middle", "short", "late") else (0,):
        for after in range(1000):
            model = SpoolModel()
            model.begin(is_power, False, True)
            has_struck = _whole_life(model, Fate(after, kind, cut))
            model.teardown()
            if not has_struck:
                break
            struck += 1
    assert struck > 100
    print(f"{kind}: {struck} system calls")


@pytest.mark.fuzz
def test_what_was_acknowledged_comes_whatever_ends_a_process(long: bool) -> None:
    """
    2,000 sequences of up to 40 steps, 50,000 with --long.
    """
    SpoolModel.sequences = SpoolModel.steps = 0
    SpoolModel.fired = {}
    for _ in range(25 if long else 1):  # Hypothesis keeps each example of a run: 50,000 at once would take 7 GB
        run_state_machine_as_test(
            SpoolModel,
            settings=settings(
                max_examples=2_000,
                stateful_step_count=40,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
            ),
        )
    print(f"{SpoolModel.sequences} sequences, {SpoolModel.steps} steps, fates: {SpoolModel.fired}")
