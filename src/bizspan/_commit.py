"""
Emission tied to the commit: what a database transaction that is still open has to decide.

A source knows the transactions that are open here; integrations register one. What is told inside them waits in its
pipeline's `Waiting` until all of them committed, one was rolled back, or nobody said so in time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from itertools import count
from typing import TYPE_CHECKING, Final, Literal, Protocol

from bizspan import _guard, names
from bizspan.errors import SetupError

if TYPE_CHECKING:
    from bizspan._accounts import Accounts

Emit = Literal["now", "on_commit"]

NOW: Final = "now"
ON_COMMIT: Final = "on_commit"
BOUND_S: Final = 900
LIMIT: Final = 10_000
_NANOS: Final = 1_000_000_000
_OVERDUE: Final = 1
_ALL: Final = 2
_HOW: Final = (
    "add 'bizspan.integrations.django' to INSTALLED_APPS (and let django.setup() run first), or call"
    " bizspan.integrations.sqlalchemy.instrument()."
)

# Makes the signals: None means committed, a text why there is no success.
Finish = Callable[[str | None], None]


class Transaction(Protocol):
    """A database transaction that is open."""

    def hold(self, held: Held, /) -> None:
        """Tell `held` how the transaction ended, once, on whatever thread."""


class Source(Protocol):
    """What knows transactions: a framework's."""

    def open_transactions(self) -> Iterable[Transaction]:
        """Those of this thread or task; none while the database commits by itself."""
        ...


class Held:
    """
    One emission, as one transaction holds it. The first word counts; none of these raises.
    """

    __slots__ = ("_emission",)

    def __init__(self, emission: Emission) -> None:
        self._emission = emission

    def committed(self) -> None:
        """The transaction took place; once all of them did, so did what was told."""
        if self._is_first() and not self._emission.parts:
            self._emission.end(None)

    def rolled_back(self) -> None:
        """The transaction, or the savepoint that this was told in, was rolled back."""
        if self._is_first():
            self._emission.end(names.ROLLED_BACK)

    def unknown(self) -> None:
        """Nobody can say any more how the transaction ended."""
        if self._is_first():
            self._emission.end(names.UNKNOWN)

    def _is_first(self) -> bool:
        try:
            self._emission.parts.remove(self)  # one step: two threads can't both succeed
        except KeyError:
            return False
        return True


class Emission:
    """
    What waits: how to make its signals, and which transactions still have to say.
    """

    __slots__ = ("_finish", "_number", "_waiting", "due_ns", "parts")

    def __init__(self, waiting: Waiting, number: int, finish: Finish, due_ns: int, transactions: int) -> None:
        self._waiting = waiting
        self._number = number
        self._finish = finish
        self.due_ns = due_ns
        self.parts = {Held(self) for _ in range(transactions)}

    def end(self, reason: str | None) -> None:
        """Make the signals, the first time."""
        if self._waiting.take_out(self._number):
            self._finish(reason)


class _GivingUp(threading.local):
    """What this thread is giving up at the moment."""

    extent = 0


class Waiting:
    """
    What waits for a commit, of one pipeline.

    Args:
        accounts: Where what is beyond the limit is counted.
        monotonic_ns: Elapsed time.
        wake: Called when the first begins to wait, so that somebody looks at the time.
    """

    __slots__ = ("_accounts", "_emissions", "_here", "_monotonic_ns", "_numbers", "_pid", "_wake")

    def __init__(self, accounts: Accounts, monotonic_ns: Callable[[], int], wake: Callable[[], None]) -> None:
        self._accounts = accounts
        self._monotonic_ns = monotonic_ns
        self._wake = wake
        self._pid = os.getpid()
        self._numbers = count()
        self._emissions: dict[int, Emission] = {}  # in the order in which they are due
        self._here = _GivingUp()

    def __len__(self) -> int:
        return len(self._emissions)

    def hold(self, finish: Finish) -> bool:
        """
        Have the transactions that are open here decide; whether there are any.

        Args:
            finish: Called once, on whatever thread. Must not raise.
        """
        transactions = _open_transactions()
        if not transactions:
            return False
        if self._emissions:
            self.give_up_overdue()
        if len(self._emissions) >= LIMIT:
            self._accounts.refuse_value(
                "emit", "too_many_held", f"At most {LIMIT} wait for their commit; tell less in one transaction."
            )
            finish(names.UNKNOWN)
            return True
        number = next(self._numbers)
        due_ns = self._monotonic_ns() + BOUND_S * _NANOS
        emission = Emission(self, number, finish, due_ns, len(transactions))
        self._emissions[number] = emission
        if len(self._emissions) == 1:
            self._wake()
        for transaction, held in zip(transactions, tuple(emission.parts), strict=True):
            try:
                transaction.hold(held)
            except Exception as error:
                held.committed()  # it can't say: as if it were not there
                _guard.swallowed("waiting for a commit", error)
        return True

    def take_out(self, number: int) -> bool:
        """Whether this emission still waited; it no longer does. Never in a forked child: there it is the parent's."""
        return self._emissions.pop(number, None) is not None and self._pid == os.getpid()

    def due_in_s(self) -> float | None:
        """How long until the next one has waited for too long; None while nothing waits."""
        oldest = self._oldest()
        return None if oldest is None else max(0.0, (oldest.due_ns - self._monotonic_ns()) / _NANOS)

    def give_up_overdue(self) -> None:
        """End what has waited for 15 minutes: how it went is unknown."""
        self._give_up(_OVERDUE, self._monotonic_ns())

    def give_up(self) -> None:
        """
        End everything that waits: the process or its telemetry ends.

        What another thread, or what this call interrupts, is giving up at the moment is left to that one.
        """
        self._give_up(_ALL, None)

    def _give_up(self, extent: int, until_ns: int | None) -> None:
        outer = self._here.extent
        if extent <= outer:  # the signals of one that ends may come back here, as deep as there are others
            return
        self._here.extent = extent
        try:
            while (oldest := self._oldest()) is not None and (until_ns is None or oldest.due_ns <= until_ns):
                oldest.end(names.UNKNOWN)
        finally:
            self._here.extent = outer

    def _oldest(self) -> Emission | None:
        while True:
            try:
                return next(iter(self._emissions.values()), None)
            except RuntimeError:  # another thread changed it in between
                continue


_sources: list[Source] = []


def register(source: Source) -> None:
    """Ask this source from now on; the second time, nothing happens."""
    if source not in _sources:
        _sources.append(source)


def unregister(source: Source) -> None:
    """No longer ask this source."""
    if source in _sources:
        _sources.remove(source)


def _open_transactions() -> list[Transaction]:
    found: list[Transaction] = []
    for source in tuple(_sources):
        try:
            found.extend(source.open_transactions())
        except Exception as error:
            _guard.swallowed("asking for open transactions", error)
    return found


def is_emit(value: object) -> bool:
    """Whether this is a word that ``emit=`` takes."""
    return type(value) is str and value in (NOW, ON_COMMIT)


def refuse_untied(emit: object) -> None:
    """
    Refuse what an operation itself asks for, where nothing can do it.

    Raises:
        SetupError: For ``"on_commit"`` while no source is registered.
    """
    if not _sources and type(emit) is str and emit == ON_COMMIT:
        raise SetupError(f"emit='on_commit' needs to know your database's transactions: {_HOW}")


def refuse_impossible() -> None:
    """
    Refuse ``"on_commit"`` for the process, where no source is registered and none can be.

    Raises:
        SetupError: When neither Django nor SQLAlchemy is installed.
    """
    from importlib.util import find_spec

    if not _sources and find_spec("django") is None and find_spec("sqlalchemy") is None:
        raise SetupError(f"emit='on_commit' needs Django or SQLAlchemy, and neither is installed. With one: {_HOW}")


def is_tied(emit: object, of_process: bool, accounts: Accounts) -> bool:
    """
    Whether to wait for the commit. Never raises.

    Args:
        emit: As told at the call; None is the process's setting.
        of_process: The process's setting: whether it is ``"on_commit"``.
        accounts: Where a wrong value, and the lack of a source, are counted.
    """
    tied = of_process
    if is_emit(emit):
        tied = emit == ON_COMMIT
    elif emit is not None:
        accounts.refuse_value("emit", "type", "Pass 'now' or 'on_commit'.")
    if tied and not _sources:
        accounts.refuse_value("emit", "no_transactions", f"It is sent at once; for emission on commit, {_HOW}")
        return False
    return tied
