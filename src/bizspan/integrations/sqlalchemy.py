"""
SQLAlchemy's transactions, for emission on commit: ``bizspan.integrations.sqlalchemy.instrument()``.

Listens to public events of ORM sessions, version 2.0 or later; those of an `AsyncSession` are the events of the session
inside it. What is told while a session has a transaction open waits for its commit.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakSet, ref

from bizspan import _commit, _guard
from bizspan.errors import MissingExtra, SetupError, type_name

try:
    from sqlalchemy import event
    from sqlalchemy.engine import Connection, Engine
    from sqlalchemy.orm import Session, SessionTransaction, SessionTransactionOrigin, scoped_session, sessionmaker
except ModuleNotFoundError as missing:
    if missing.name != "sqlalchemy":
        raise
    raise MissingExtra("bizspan.integrations.sqlalchemy", "sqlalchemy") from None

if TYPE_CHECKING:
    from collections.abc import Callable

    from bizspan._commit import Held

    Target = Session | type[Session] | sessionmaker[Any] | scoped_session[Any]

__all__ = ["instrument", "uninstrument"]

_WORK: Final = "bizspan.work"  # in Session.info
# What changes nothing by itself, by its first letters.
_HARMLESS: Final = frozenset({"SELECT", "SAVEPO", "RELEAS", "ROLLBA"})


class Work:
    """
    What one session did since its last commit, and what waits for it.

    Args:
        session: The session.
    """

    def __init__(self, session: Session) -> None:
        self.itself = ref(session)
        self.wrote = False
        self._committed = False
        self._over: SessionTransaction | None = None  # committed or rolled back, and about to be closed
        self._over_well = False
        self._held: dict[SessionTransaction, list[Held]] = {}

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
        if session.new or session.dirty or session.deleted:
            self.wrote = True
        return self.wrote or not self._committed or root.origin is not SessionTransactionOrigin.AUTOBEGIN

    def hold(self, held: Held) -> None:
        """Tell `held` how the innermost savepoint or transaction ended."""
        session = self.itself()
        innermost = None if session is None else _innermost(session)
        if innermost is None:
            held.unknown()
        else:
            self._held.setdefault(innermost, []).append(held)

    def began(self) -> None:
        """A new transaction, no savepoint."""
        self.wrote = False

    def decided(self, transaction: SessionTransaction | None, *, well: bool) -> None:
        """It was committed or released, or else rolled back."""
        self._over, self._over_well = transaction, well

    def closed(self, transaction: SessionTransaction) -> None:
        """A transaction or savepoint is over: tell what waits for it, or have it wait for the one around."""
        decided = self._over is transaction
        well = decided and self._over_well
        if decided:
            self._over = None
        waiting = self._held.pop(transaction, [])
        lost = not well and (decided or self.wrote)
        around = transaction.parent
        if around is None:
            self._committed = well or (self._committed and not self.wrote)
        elif not lost:
            self._held.setdefault(_boundary(around), []).extend(waiting)
            return
        for held in waiting:
            if lost:
                held.rolled_back()
            else:
                held.committed()  # a session that is closed without a commit and wrote nothing lost nothing

    def give_up(self) -> None:
        """Nobody listens any more."""
        for waiting in list(self._held.values()):
            for held in waiting:
                held.unknown()
        self._held.clear()


def _boundary(transaction: SessionTransaction) -> SessionTransaction:
    """The transaction or savepoint that this one, which may be that of a flush, is a part of."""
    while not transaction.nested and transaction.parent is not None:
        transaction = transaction.parent
    return transaction


def _innermost(session: Session) -> SessionTransaction | None:
    return session.get_nested_transaction() or session.get_transaction()


_works: WeakSet[Work] = WeakSet()
_by_connection: WeakKeyDictionary[Connection, Work] = WeakKeyDictionary()
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


class SessionTransactions:
    """The transactions of the sessions that are used in this thread or task."""

    def open_transactions(self) -> list[Work]:
        """One for each session."""
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
    _use(_work(session))


def _executes(connection: Connection, cursor: Any, statement: str, *more: Any) -> None:
    work = _by_connection.get(connection)
    if work is not None:
        if not work.wrote and statement.lstrip()[:6].upper() not in _HARMLESS:
            work.wrote = True
        _use(work)


def _committed(session: Session) -> None:
    _work(session).decided(_innermost(session), well=True)


def _rolled_back(session: Session) -> None:
    _work(session).decided(_innermost(session), well=False)


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
