"""
Django's transactions, for emission on commit.

Django says when a transaction committed (`on_commit`), and drops its callbacks in silence when one is rolled back. So
the connection is watched while something waits: after each call that may drop callbacks, those of ours that are gone
were told in what was undone.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from bizspan import _commit, _guard, names
from bizspan._commit import Held

_WATCH: Final = "_bizspan_watch"
Step = Callable[..., Any]


class DjangoTransactions:
    """
    The transactions that are open on this thread's connections.

    Those of `django.test.TestCase` alone are one, the first database's: the code under test has none there.
    """

    def open_transactions(self) -> list[Watch]:
        """One for each database with an atomic block, or with autocommit switched off."""
        connections: Any = import_module("django.db").connections
        of_application: list[Watch] = []
        of_tests: list[Watch] = []
        for connection in connections.all(initialized_only=True):
            if _is_open(connection):
                (of_tests if _is_of_test_case(connection) else of_application).append(_watch(connection))
        return of_application or of_tests[:1]


def _is_open(connection: Any) -> bool:
    # Not get_autocommit(), which connects.
    return bool(connection.in_atomic_block or (connection.connection is not None and not connection.autocommit))


def _is_of_test_case(connection: Any) -> bool:
    blocks = getattr(connection, "atomic_blocks", ())
    return bool(blocks) and all(getattr(block, "_from_testcase", False) for block in blocks)


def _watch(connection: Any) -> Watch:
    watch: Watch | None = getattr(connection, _WATCH, None)
    if watch is None:
        watch = Watch(connection)
        setattr(connection, _WATCH, watch)
    return watch


class Block:
    """
    An atomic block that is about to begin on a connection.

    Args:
        connection: Django's.
    """

    __slots__ = ("_depth", "_is_inside", "reason")

    def __init__(self, connection: Any) -> None:
        self._is_inside = _is_open(connection)  # then it is a savepoint
        self._depth = len(connection.savepoint_ids)
        self.reason: str | None = None  # why nothing of it is left

    def is_undone_by(self, connection: Any, *, savepoint: bool) -> bool:
        """Whether the rollback that this connection has just made, of a savepoint or of all, was this block's."""
        return not savepoint or (self._is_inside and len(connection.savepoint_ids) <= self._depth)


class Watch:
    """
    One connection, and what waits for its transaction.

    Args:
        connection: Django's wrapper of it, which belongs to one thread.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._hooks: dict[int, tuple[Step, Held]] = {}  # by the identity of the callback that Django keeps
        self._manual: list[Held] = []
        self._block: Block | None = None
        self._wrapped: dict[str, tuple[Step, Step | None]] = {}  # ours, and what somebody else had put there

    def hold(self, held: Held) -> None:
        """Tell `held` how the atomic block, the savepoint, or the transaction without autocommit ended."""
        if self._connection.in_atomic_block:
            hook = held.committed
            self._hooks[id(hook)] = (hook, held)
            self._connection.on_commit(hook, robust=True)
        else:
            self._manual.append(held)
        self._begin()

    def follow(self) -> Block:
        """The atomic block that begins next, as it will have ended."""
        self._block = block = Block(self._connection)
        self._begin()
        return block

    def _begin(self) -> None:
        if not self._wrapped:
            self._wrap("run_and_clear_commit_hooks", before=self._hooks_run)
            self._wrap("commit", after=self._committed)
            self._wrap("rollback", after=self._rolled_back)
            self._wrap("savepoint_rollback", after=self._savepoint_rolled_back)
            self._wrap("close", after=self._closed)

    def _wrap(self, name: str, *, before: Step | None = None, after: Step | None = None) -> None:
        original: Step = getattr(self._connection, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            if before is not None:
                self._step(before)
            try:
                result = original(*args, **kwargs)
            except BaseException:
                if name == "close":  # its callbacks are gone, whatever the database said
                    self._step(self._closed)
                raise
            if after is not None:
                self._step(after)
            return result

        self._wrapped[name] = (watched, original if name in vars(self._connection) else None)
        setattr(self._connection, name, watched)

    def _step(self, step: Step) -> None:
        try:
            step()
            if not self._hooks and not self._manual and self._block is None:
                self._unwrap()
        except Exception as error:
            _guard.swallowed("watching a connection", error)

    def _unwrap(self) -> None:
        for name, (watched, before) in self._wrapped.items():
            if getattr(self._connection, name) is not watched:
                continue  # somebody has wrapped it again
            if before is None:
                delattr(self._connection, name)
            else:
                setattr(self._connection, name, before)
        self._wrapped = {}

    # --- what happened to the connection --------------------------------------------------------------------------

    def _hooks_run(self) -> None:
        # Before the first callback: one that raises keeps those behind it from running, and the commit took place.
        if self._connection.in_atomic_block:
            return
        waiting = self._kept()
        for identity in list(self._hooks):
            if identity in waiting:
                self._hooks.pop(identity)[1].committed()

    def _committed(self) -> None:
        self._block = None
        manual, self._manual = self._manual, []
        for held in manual:
            held.committed()

    def _rolled_back(self) -> None:
        self._end_block(names.ROLLED_BACK)
        self._dropped()
        manual, self._manual = self._manual, []
        for held in manual:
            held.rolled_back()

    def _savepoint_rolled_back(self) -> None:
        self._end_block(names.ROLLED_BACK, savepoint=True)
        self._dropped()

    def _end_block(self, reason: str, *, savepoint: bool = False) -> None:
        block = self._block
        if block is not None and block.is_undone_by(self._connection, savepoint=savepoint):
            block.reason, self._block = reason, None

    def _dropped(self) -> None:
        kept = self._kept()
        for identity in list(self._hooks):
            if identity not in kept:
                self._hooks.pop(identity)[1].rolled_back()

    def _closed(self) -> None:
        # Also where a commit failed because the connection was lost: nobody knows whether it took place.
        if self._connection.closed_in_transaction:
            self._end_block(names.UNKNOWN)
        elif not self._connection.in_atomic_block:
            self._block = None
        kept = self._kept()
        for identity in list(self._hooks):
            if identity not in kept:
                self._hooks.pop(identity)[1].unknown()
        if self._connection.connection is None:  # close() leaves SQLite's databases in memory as they are
            manual, self._manual = self._manual, []
            for held in manual:
                held.unknown()

    def _kept(self) -> set[int]:
        return {id(entry[1]) for entry in self._connection.run_on_commit}


def view_blocks(view: Any) -> list[Block]:
    """
    The transactions of ATOMIC_REQUESTS that this view is about to run in, one for each such database. Called in the
    view's thread, whose connections they are.
    """
    connections: Any = import_module("django.db").connections
    return [_watch(connections[alias]).follow() for alias in atomic_databases(view)]


def atomic_databases(view: Any) -> list[str]:
    """The databases with ATOMIC_REQUESTS that this view is not exempt from, as Django's own handler finds them."""
    connections: Any = import_module("django.db").connections
    exempt = getattr(view, "_non_atomic_requests", ())
    return [alias for alias, about in connections.settings.items() if about["ATOMIC_REQUESTS"] and alias not in exempt]


_SOURCE: Final = DjangoTransactions()


def install() -> None:
    """
    Let ``emit="on_commit"`` wait for Django's transactions. The second time, nothing happens.
    """
    _commit.register(_SOURCE)


def uninstall() -> None:
    """No longer wait; what waits already is still told."""
    _commit.unregister(_SOURCE)
