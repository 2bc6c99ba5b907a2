"""
SQLAlchemy's transactions, for emission on commit: ``bizspan.integrations.sqlalchemy.instrument()``.

Listens to public events of ORM sessions, version 2.0 or later; those of an `AsyncSession` are the events of the session
inside it. What is told while a session has a transaction open waits for its commit.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakKeyDictionary, WeakSet, finalize, ref

from bizspan import _commit, _guard
from bizspan.errors import MissingExtra, SetupError, type_name
from bizspan.integrations._statements import may_write

try:
    from sqlalchemy import event, inspect
    from sqlalchemy.engine import Connection, Engine
    from sqlalchemy.orm import Session, SessionTransaction, SessionTransactionOrigin, scoped_session, sessionmaker
except ModuleNotFoundError as missing:
    if missing.name != "sqlalchemy":
        raise
    raise MissingExtra("bizspan.integrations.sqlalchemy", "sqlalchemy") from None

if TYPE_CHECKING:
    from collections.abc import Callable

    from bizspan._commit import Held

    # A key: it finds its transaction's entry, and does not keep session and connection alive.
    Weakly: TypeAlias = ref[SessionTransaction]
    Target = Session | type[Session] | sessionmaker[Any] | scoped_session[Any]

__all__ = ["instrument", "uninstrument"]

_WORK: Final = "bizspan.work"  # in Session.info


class Work:
    """
    What one session did since its last commit, and what waits for it. Keeps neither session nor connection alive.

    Args:
        session: The session.
    """

    def __init__(self, session: Session) -> None:
        self.itself = ref(session)
        self._wrote: set[Weakly] = set()  # transactions and savepoints, each by itself
        self._committed = False
        self._over: Weakly | None = None  # committed or rolled back, and about to be closed
        self._over_well = False
        self._held: dict[Weakly, list[Held]] = {}
        self._is_watched = False
        root = session.get_transaction()
        if root is not None:  # not followed from its beginning, so it may have written
            self._wrote.add(ref(root))

    def is_open(self) -> bool:
        """
        Whether a transaction is open that has something to decide.

        After a commit a session begins the next transaction by itself, as soon as an object is read again. Until that
        one writes, what is told belongs to what was committed.
        """
        session = self.itself()
        root = None if session is None else session.get_transaction()
        if session is None or root is None:
            return False
        self._look(session)
        return bool(self._wrote) or not self._committed or root.origin is not SessionTransactionOrigin.AUTOBEGIN

    def hold(self, held: Held) -> None:
        """Tell `held` how the innermost savepoint or transaction ended."""
        session = self.itself()
        innermost = None if session is None else _innermost(session)
        if session is None or innermost is None:
            held.unknown()
            return
        if not self._is_watched:
            self._is_watched = True
            finalize(session, _dropped.append, self).atexit = False
        self._held.setdefault(ref(innermost), []).append(held)

    def began(self) -> None:
        """A new transaction, no savepoint."""
        self.give_up()  # what the one before left, if it could not be closed
        self._wrote.clear()

    def writes(self) -> None:
        """The innermost savepoint or transaction changes something, or would."""
        session = self.itself()
        innermost = None if session is None else _innermost(session)
        if innermost is not None:
            self._wrote.add(ref(innermost))

    def _look(self, session: Session) -> None:
        if session.new or session.dirty or session.deleted:
            self.writes()

    def decided(self, session: Session, *, well: bool) -> None:
        """The innermost one was committed or released, or else rolled back."""
        if not well:
            self._look(session)
        innermost = _innermost(session)
        self._over = None if innermost is None else ref(innermost)
        self._over_well = well

    def closed(self, transaction: SessionTransaction) -> None:
        """
        A transaction or savepoint is over: tell what waits for it, or have it wait for the one around.

        One that wrote nothing decides nothing, however it ended: it is as if it had not been there.
        """
        itself = ref(transaction)
        well = self._over_well and self._over == itself
        wrote = itself in self._wrote
        self._wrote.discard(itself)
        waiting = self._held.pop(itself, [])
        around = transaction.parent
        if around is None:
            self._committed = well or (self._committed and not wrote)
        elif well or not wrote:
            outer = ref(_boundary(around))
            if wrote:
                self._wrote.add(outer)
            if waiting:
                self._held.setdefault(outer, []).extend(waiting)
            return
        for held in waiting:
            if well or not wrote:
                held.committed()
            else:
                held.rolled_back()

    def dropped(self) -> None:
        """The session is no more, and nobody ended its transaction."""
        if self._wrote:
            self.give_up()
        for held in self._taken():
            held.committed()

    def give_up(self) -> None:
        """Nobody says any more how it went."""
        for held in self._taken():
            held.unknown()

    def _taken(self) -> list[Held]:
        taken = [held for waiting in list(self._held.values()) for held in waiting]
        self._held.clear()
        return taken


def _boundary(transaction: SessionTransaction) -> SessionTransaction:
    """The transaction or savepoint that this one, which may be that of a flush, is a part of."""
    while not transaction.nested and transaction.parent is not None:
        transaction = transaction.parent
    return transaction


def _innermost(session: Session) -> SessionTransaction | None:
    return session.get_nested_transaction() or session.get_transaction()


_works: WeakSet[Work] = WeakSet()
_by_connection: WeakKeyDictionary[Connection, Work] = WeakKeyDictionary()
# Of sessions that nobody closed. The garbage collector may find them anywhere, so they are only noted there.
_dropped: deque[Work] = deque()
# Of the sessions that were used in this thread or task and had a transaction then.
_used: ContextVar[tuple[Work, ...]] = ContextVar("bizspan_sessions", default=())


def _work(session: Session) -> Work:
    work: Work | None = session.info.get(_WORK)
    if work is None or work.itself() is not session:  # sessions may be made with each other's info
        work = session.info[_WORK] = Work(session)
        _works.add(work)
    return work


def _use(work: Work) -> None:
    used = _used.get()
    if work not in used:
        still = tuple(each for each in used if (session := each.itself()) is not None and session.in_transaction())
        _used.set((*still, work))


def _end_dropped() -> None:
    found: list[Work] = []
    with suppress(IndexError):  # all of them first: what is told may come back here
        while True:
            found.append(_dropped.popleft())
    for work in found:
        work.dropped()


class SessionTransactions:
    """The transactions of the sessions that are used in this thread or task."""

    def open_transactions(self) -> list[Work]:
        """One for each session."""
        if _dropped:
            _end_dropped()
        return [work for work in _used.get() if work.is_open()]


# --- what SQLAlchemy tells ------------------------------------------------------------------------------------------


def _guarded(listener: Callable[..., None]) -> Callable[..., None]:
    def listen(*told: Any) -> None:
        try:
            listener(*told)
        except Exception as error:
            _guard.swallowed("following a session", error)

    return listen


def _created(session: Session, transaction: SessionTransaction) -> None:
    work = _work(session)
    if transaction.parent is None:
        work.began()
    _use(work)


def _begun(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    work = _by_connection[connection] = _work(session)
    _use(work)


def _attached(session: Session, instance: object) -> None:
    work = _work(session)
    if inspect(instance).pending:
        work.writes()
    _use(work)


def _executes(connection: Connection, cursor: Any, statement: str, *more: Any) -> None:
    work = _by_connection.get(connection)
    if work is not None:
        if may_write(statement):
            work.writes()
        _use(work)


def _committed(session: Session) -> None:
    _work(session).decided(session, well=True)


def _rolled_back(session: Session) -> None:
    _work(session).decided(session, well=False)


def _closed(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None or transaction.nested:
        work = _work(session)
        work.closed(transaction)
        if transaction.parent is None:
            _used.set(tuple(each for each in _used.get() if each is not work))


_LISTENERS: Final = (
    ("after_transaction_create", _guarded(_created)),
    ("after_begin", _guarded(_begun)),
    ("after_attach", _guarded(_attached)),
    ("after_commit", _guarded(_committed)),
    ("after_rollback", _guarded(_rolled_back)),
    ("after_transaction_end", _guarded(_closed)),
)
_ON_STATEMENTS: Final = ("before_cursor_execute", _guarded(_executes))
_SOURCE: Final = SessionTransactions()
_targets: list[Any] = []


def instrument(target: Target | None = None) -> None:
    """
    Let ``emit="on_commit"`` wait for the transactions of SQLAlchemy's sessions. Again, it adds to what is there.

    Args:
        target: A session, a class of sessions, a `sessionmaker` or a `scoped_session`; by default every session.

    Raises:
        SetupError: When the target is none of these.
    """
    target = Session if target is None else getattr(target, "sync_session", target)
    is_class = isinstance(target, type) and issubclass(target, Session)
    if not is_class and not isinstance(target, (Session, sessionmaker, scoped_session)):
        raise SetupError(
            f"instrument() takes a session, a class of sessions, a sessionmaker or a scoped_session, got"
            f" {type_name(target)}; for async_sessionmaker pass its sync_session_class, or nothing for every session."
        )
    if any(known is target or known is Session for known in _targets):
        return
    if target is Session:
        uninstrument()
    if not _targets:
        event.listen(Engine, *_ON_STATEMENTS)
    for name, listener in _LISTENERS:
        event.listen(target, name, listener)
    _targets.append(target)
    _commit.register(_SOURCE)


def uninstrument() -> None:
    """
    Listen no more. What still waits becomes ``failed``, reason ``unknown``.
    """
    _commit.unregister(_SOURCE)
    if _targets:
        event.remove(Engine, *_ON_STATEMENTS)
    for target in _targets:
        for name, listener in _LISTENERS:
            event.remove(target, name, listener)
    _targets.clear()
    for work in list(_works):
        work.give_up()


def switch_on() -> None:
    """For starting without code: every session, unless the application named its own."""
    if not _targets:
        instrument()
