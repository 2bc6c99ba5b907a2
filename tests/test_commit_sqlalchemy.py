"""Emission on commit with SQLAlchemy's sessions, on SQLite databases in memory."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any, TypeAlias
from weakref import ref

import pytest

pytest.importorskip("sqlalchemy", minversion="2.0")

from sqlalchemy import Connection, Engine, ForeignKey, create_engine, event, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker
from sqlalchemy.pool import QueuePool, StaticPool

import bizspan
from bizspan import SetupError, _commit, names
from bizspan.integrations import sqlalchemy as integration
from bizspan.testing import START_NS, Capture, capture

Said: TypeAlias = "list[tuple[str, str | None, str | None]]"
Use: TypeAlias = Callable[[Session], object]


class Base(DeclarativeBase):
    pass


class Sale(Base):
    __tablename__ = "sale"
    name: Mapped[str] = mapped_column(primary_key=True)


class Part(Base):
    __tablename__ = "part"
    name: Mapped[str] = mapped_column(primary_key=True)
    sale: Mapped[str] = mapped_column(ForeignKey("sale.name", deferrable=True, initially="DEFERRED"))


def new_engine() -> Engine:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})

    # sqlite3 begins transactions by itself, and too late for savepoints: SQLAlchemy's documented way around it.
    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = new_engine()
    yield engine
    engine.dispose()


@pytest.fixture
def instrumented(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_commit, "_sources", [])
    integration.instrument()
    yield
    integration.uninstrument()


@pytest.fixture
def told(instrumented: None) -> Iterator[Capture]:
    with capture() as captured:
        yield captured
        captured.assert_consistent()
        assert 0 == len(captured._pipeline.waiting)


def sell(session: Session, name: str) -> None:
    with bizspan.operation(name, emit="on_commit") as op:
        session.add(Sale(name=name))
        op.revenue(42, "EUR")


def said(captured: Capture) -> Said:
    return [(event.name, event.outcome, event.reason) for event in captured.operations()]


def rows(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(select(Sale.name).order_by(Sale.name)))


def undone(name: str) -> tuple[str, str, str]:
    return (name, "failed", "rolled_back")


UNKNOWN = ("failed", "unknown")


def kept(name: str) -> tuple[str, str, None]:
    return (name, "success", None)


# --- how a transaction ends -----------------------------------------------------------------------------------------


def test_a_commit(told: Capture, engine: Engine) -> None:
    """
    Told at the commit, with the time at which the operation ended.
    """
    with Session(engine) as session:
        sell(session, "kept")
        told.tick(60)
        assert [] == said(told)
        session.commit()
        assert [kept("kept")] == said(told)

    assert START_NS == told.operations("kept")[0].time_ns == told.spans("kept")[0].end_time
    assert 42 == told.metric(names.REVENUE)


def test_a_rollback(told: Capture, engine: Engine) -> None:
    """
    By call, by an exception in `with session.begin()`, and by leaving the session without a commit.
    """
    with Session(engine) as session:
        sell(session, "by call")
        session.rollback()
    with pytest.raises(ValueError, match="mine"), Session(engine) as session, session.begin():
        sell(session, "by exception")
        raise ValueError("mine")
    with Session(engine) as session:
        sell(session, "added and left")
    with Session(engine) as session:
        sell(session, "flushed and left")
        session.flush()
    with Session(engine) as session:
        sell(session, "invalidated")
        session.flush()
        session.invalidate()

    expected = ["by call", "by exception", "added and left", "flushed and left", "invalidated"]
    assert [undone(name) for name in expected] == said(told)
    assert 0 == told.metric(names.REVENUE)


def test_an_operation_around_the_transaction(told: Capture, engine: Engine) -> None:
    """
    It ends after the commit, or with the exception that undid it: nothing is left to wait for.
    """
    with bizspan.operation("around", emit="on_commit"), Session(engine) as session, session.begin():
        session.add(Sale(name="around"))

    assert [kept("around")] == said(told)


def test_savepoints(told: Capture, engine: Engine) -> None:
    """
    What was told inside a savepoint goes with it; a released one waits for the transaction around.
    """
    with Session(engine) as session, session.begin():
        sell(session, "outer")
        savepoint = session.begin_nested()
        sell(session, "inner undone")
        with session.begin_nested():
            sell(session, "innermost, released")
        savepoint.rollback()
        assert [undone("inner undone"), undone("innermost, released")] == said(told)
        with session.begin_nested():
            sell(session, "inner kept")
        assert 2 == len(said(told))

    assert [kept("outer"), kept("inner kept")] == said(told)[2:]
    assert ["inner kept", "outer"] == rows(engine)


def test_a_rollback_with_open_savepoints(told: Capture, engine: Engine) -> None:
    """
    The outermost rollback undoes what was told in savepoints, open or released.
    """
    with Session(engine) as session:
        sell(session, "outer")
        with session.begin_nested():
            sell(session, "released")
        session.begin_nested()
        sell(session, "open")
        transaction = session.get_transaction()
        assert transaction is not None
        transaction.rollback()

    assert sorted(undone(name) for name in ("outer", "released", "open")) == sorted(said(told))


def test_a_commit_with_an_open_savepoint(told: Capture, engine: Engine) -> None:
    """
    Committing the session commits what is open inside it.
    """
    with Session(engine) as session:
        session.begin_nested()
        sell(session, "open")
        session.commit()

    assert [kept("open")] == said(told)


def test_a_flush_that_fails(told: Capture, engine: Engine) -> None:
    """
    The transaction is undone with the failing flush; what was told in it is, once the session is rolled back.
    """
    with Session(engine) as session:
        sell(session, "once")
        session.commit()
        session.expunge_all()
        sell(session, "twice")
        session.add(Sale(name="once"))
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()
        sell(session, "again")
        session.commit()

    assert [kept("once"), undone("twice"), kept("again")] == said(told)


def test_a_flush_that_fails_in_a_savepoint(told: Capture, engine: Engine) -> None:
    """
    Only the savepoint is undone.
    """
    with Session(engine) as session, session.begin():
        sell(session, "outer")
        with pytest.raises(IntegrityError), session.begin_nested():
            sell(session, "inner")
            session.execute(insert(Sale).values(name="outer"))

    assert [undone("inner"), kept("outer")] == said(told)


def test_a_commit_that_fails(told: Capture, engine: Engine) -> None:
    """
    A constraint that is checked at the commit undoes it, and the application gets its error.
    """
    with pytest.raises(IntegrityError, match="FOREIGN KEY"), Session(engine) as session, session.begin():
        sell(session, "undone")
        session.add(Part(name="part", sale="nothing"))

    assert [undone("undone")] == said(told)
    assert [] == rows(engine)


def test_operations_inside_a_flush(told: Capture, engine: Engine) -> None:
    """
    What an event handler tells during a flush belongs to the transaction around the flush.
    """

    def after_flush(session: Session, *more: object) -> None:
        bizspan.event("flushed", emit="on_commit")
        with session.begin_nested():
            bizspan.event("flushed", emit="on_commit")

    with Session(engine) as session:
        event.listen(session, "after_flush", after_flush)
        session.add(Sale(name="one"))
        session.flush()
        assert [] == told.events()
        session.commit()

    assert [None, None] == [each.outcome for each in told.events("flushed")]


# --- what is no transaction -----------------------------------------------------------------------------------------


def test_reading_after_the_commit_is_no_transaction(told: Capture, engine: Engine) -> None:
    """
    An object that is read again after the commit begins another transaction, which is closed or rolled back later.
    """
    with Session(engine) as session:
        sale = Sale(name="kept")
        session.add(sale)
        with bizspan.operation("sell", emit="on_commit"):
            session.commit()
            assert "kept" == sale.name
        bizspan.event("sold", emit="on_commit", order=sale.name)
        assert session.in_transaction()
        assert [kept("sell")] == said(told)
        assert 1 == len(told.events("sold"))
        session.rollback()
        assert "kept" == sale.name
        with session.begin_nested():
            session.refresh(sale)
        bizspan.event("read again", emit="on_commit")
        assert 1 == len(told.events("read again"))


WRITES: dict[str, Use] = {
    "add": lambda session: session.add(Sale(name="next")),
    "insert": lambda session: session.execute(insert(Sale).values(name="next")),
    "text": lambda session: session.execute(text("INSERT INTO sale VALUES ('next')")),
    "connection": lambda session: session.connection().exec_driver_sql("DELETE FROM sale"),
    "bulk": lambda session: session.bulk_insert_mappings(Sale, [{"name": "next"}]),
    "delete": lambda session: session.delete(session.get(Sale, "kept")),
    "update": lambda session: session.query(Sale).update({"name": "next"}),
    "attribute": lambda session: setattr(session.get(Sale, "kept"), "name", "next"),
    "comment": lambda session: session.execute(text("-- one\n/* two */ insert into sale values ('next')")),
    "replace": lambda session: session.execute(text("REPLACE INTO sale VALUES ('next')")),
    "with": lambda session: session.execute(text("WITH one AS (SELECT 'next') INSERT INTO sale SELECT * FROM one")),
    "with delete": lambda session: session.execute(text("WITH one AS (SELECT 1) DELETE FROM sale")),
    "ddl": lambda session: session.execute(text("CREATE TABLE next (name TEXT)")),
}
READS = [
    "SELECT name FROM sale",
    "(SELECT name FROM sale)",
    "/* a */ /* b */ SELECT name FROM sale -- insert into",
    "WITH one AS (SELECT name FROM sale) SELECT * FROM one",
    "WITH one AS (SELECT name FROM sale WHERE name <> '(DELETE FROM x') SELECT lower(replace(name, 'a', 'b')) FROM one",
    "PRAGMA user_version",
    "EXPLAIN SELECT name FROM sale",
    "VALUES (1)",
]


@pytest.mark.parametrize("way", WRITES)
def test_writing_after_the_commit_is_one(told: Capture, engine: Engine, way: str) -> None:
    """
    Whatever way the session writes: the next transaction decides again.
    """
    with Session(engine) as session:
        session.add(Sale(name="kept"))
        session.commit()
        WRITES[way](session)
        bizspan.event("told", emit="on_commit")
        assert [] == told.events()
        session.rollback()

    assert ["rolled_back"] == [each.reason for each in told.events("told")]
    assert ["kept"] == rows(engine)


@pytest.mark.parametrize("statement", READS)
def test_no_reading_statement_undoes_a_sale(told: Capture, engine: Engine, statement: str) -> None:
    """
    However it begins: a sale was committed, and the session reads on and is closed.
    """
    with Session(engine) as session, bizspan.operation("sell", emit="on_commit"):
        session.add(Sale(name="kept"))
        session.commit()
        if statement.startswith("("):  # SQLite does not know it: as the listener is told by other databases
            integration._executes(session.connection(), None, statement)
        else:
            session.execute(text(statement))

    assert [kept("sell")] == said(told)
    assert ["kept"] == rows(engine)


@pytest.mark.parametrize("way", ["rollback", "close", "exception", "begin"])
def test_a_session_that_only_reads_loses_nothing(told: Capture, engine: Engine, way: str) -> None:
    """
    However it is left, there was nothing to undo: the operation succeeded.
    """
    session = Session(engine)
    if way == "begin":
        session.begin()
    with bizspan.operation("search", emit="on_commit"):
        assert [] == list(session.scalars(select(Sale)))
    assert [] == said(told)
    if way == "exception":
        with pytest.raises(ValueError, match="mine"), session:
            raise ValueError("mine")
    elif way == "close":
        session.close()
    else:
        session.rollback()

    assert [kept("search")] == said(told)


def test_a_rollback_of_a_session_that_only_reads_is_not_anothers(told: Capture, engine: Engine) -> None:
    """
    One session commits the sale; the other read, and is rolled back by call.
    """
    other = new_engine()
    with Session(engine) as session, Session(other) as reader:
        reader.execute(select(Sale)).all()
        sell(session, "kept")
        session.commit()
        assert [] == said(told)
        reader.rollback()
    other.dispose()

    assert [kept("kept")] == said(told)
    assert ["kept"] == rows(engine)


def test_a_savepoint_that_only_reads_decides_nothing(told: Capture, engine: Engine) -> None:
    """
    Its rollback undoes nothing; the transaction around it decides, which wrote or did not.
    """
    for name in ("kept", "undone"):
        with Session(engine) as session:
            session.add(Sale(name=name))
            with bizspan.operation(name, emit="on_commit"):
                savepoint = session.begin_nested()
                session.execute(select(Sale)).all()
                with bizspan.operation(f"inside {name}", emit="on_commit"):
                    pass
                savepoint.rollback()
            assert 0 == len(told.operations(name)) + len(told.operations(f"inside {name}"))
            (session.commit if name == "kept" else session.rollback)()

    expected = [kept("inside kept"), kept("kept"), undone("inside undone"), undone("undone")]
    assert sorted(expected, key=str) == sorted(said(told), key=str)


def test_what_a_savepoint_wrote_and_undid_is_not_the_transactions(told: Capture, engine: Engine) -> None:
    """
    Told outside of the savepoint: its rollback left nothing that the transaction could lose.
    """
    with Session(engine) as session:
        session.execute(select(Sale)).all()
        with bizspan.operation("outer", emit="on_commit"):
            pass
        savepoint = session.begin_nested()
        sell(session, "inner")
        session.flush()
        savepoint.rollback()
        assert [undone("inner")] == said(told)

    assert [undone("inner"), kept("outer")] == said(told)


@pytest.mark.parametrize("way", ["rollback", "close"])
@pytest.mark.parametrize("flushed", [False, True])
def test_what_is_written_later_in_the_transaction_counts(
    told: Capture, engine: Engine, way: str, flushed: bool
) -> None:
    """
    Told before the first write of its transaction, which is then lost, sent or not.
    """
    with Session(engine) as session:
        session.execute(select(Sale)).all()
        with bizspan.operation("early", emit="on_commit"):
            pass
        session.add(Sale(name="lost"))
        if flushed:
            session.flush()
        getattr(session, way)()

    assert [undone("early")] == said(told)


@pytest.mark.parametrize("way", ["change", "delete"])
def test_what_was_changed_and_not_sent_is_undone(told: Capture, engine: Engine, way: str) -> None:
    """
    An explicit rollback takes back what the session would have sent.
    """
    with Session(engine) as session:
        session.add(Sale(name="kept"))
        session.commit()
        session.begin()
        sale = session.scalars(select(Sale)).one()
        with bizspan.operation("early", emit="on_commit"):
            pass
        if way == "change":
            sale.name = "lost"
        else:
            session.delete(sale)
        session.rollback()

    assert [undone("early")] == said(told)


def test_sessions_that_are_over_decide_nothing(told: Capture, engine: Engine) -> None:
    """
    Without a session in a transaction operations are told at once.
    """
    with Session(engine) as session:
        sell(session, "one")
        session.commit()
    with bizspan.operation("two", emit="on_commit"):
        pass

    assert [kept("one"), kept("two")] == said(told)


# --- which sessions -------------------------------------------------------------------------------------------------


def test_two_sessions(told: Capture, engine: Engine) -> None:
    """
    Both must commit; the rollback of one decides.
    """
    other = new_engine()
    with Session(engine) as first, Session(other) as second:
        first.add(Sale(name="a"))
        second.add(Sale(name="a"))
        with bizspan.operation("both", emit="on_commit"):
            pass
        first.commit()
        assert [] == said(told)
        second.commit()
        first.add(Sale(name="b"))
        second.add(Sale(name="b"))
        with bizspan.operation("half", emit="on_commit"):
            pass
        second.commit()
        first.rollback()
    other.dispose()

    assert [kept("both"), undone("half")] == said(told)


def test_threads_have_sessions_of_their_own(told: Capture, engine: Engine) -> None:
    """
    A thread without a session is told at once while another one's transaction is open; its end may come from anywhere.
    """

    def work() -> None:
        with bizspan.operation("elsewhere", emit="on_commit"):
            pass

    def run(function: Callable[[], object]) -> None:
        thread = threading.Thread(target=function)
        thread.start()
        thread.join()

    with Session(engine) as session:
        sell(session, "here")
        run(work)
        assert [kept("elsewhere")] == said(told)
        run(session.commit)

    assert [kept("elsewhere"), kept("here")] == said(told)


@pytest.mark.parametrize("way", ["flush", "execute", "add"])
def test_a_transaction_that_was_begun_elsewhere(told: Capture, engine: Engine, way: str) -> None:
    """
    Begun in another context, as by a dependency of a web framework: it counts where the session is used.
    """
    session = Session(engine)
    copy_context().run(session.begin)
    if way == "flush":
        copy_context().run(session.add, Sale(name="a"))
    else:
        copy_context().run(session.connection)

    def endpoint() -> None:
        if way == "flush":
            session.flush()
        elif way == "execute":
            session.execute(insert(Sale).values(name="b"))
        else:
            session.add(Sale(name="b"))
        with bizspan.operation("sell", emit="on_commit"):
            pass

    copy_context().run(endpoint)
    assert [] == said(told)
    session.rollback()
    session.close()

    assert [undone("sell")] == said(told)


def in_async_session(work: Callable[[AsyncSession], Coroutine[Any, Any, None]]) -> None:
    pytest.importorskip("aiosqlite")

    async def main() -> None:
        engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with async_sessionmaker(engine)() as session:
            await work(session)
        await engine.dispose()

    asyncio.run(main())


def test_asynchronous_sessions(told: Capture) -> None:
    """
    Commit, rollback and savepoints of an AsyncSession, and a task beside it that has none.
    """

    async def elsewhere() -> None:
        with bizspan.operation("elsewhere", emit="on_commit"):
            pass

    async def work(session: AsyncSession) -> None:
        async def begin_and_sell() -> None:
            sell(session.sync_session, "kept")
            await session.flush()

        await asyncio.create_task(begin_and_sell())
        await elsewhere()
        assert [kept("elsewhere")] == said(told)
        await session.commit()
        async with session.begin():
            with bizspan.operation("outer", emit="on_commit"):
                session.add(Sale(name="outer"))
                await session.flush()
            with pytest.raises(ValueError, match="mine"):
                async with session.begin_nested():
                    with bizspan.operation("inner", emit="on_commit"):
                        session.add(Sale(name="inner"))
                    raise ValueError("mine")
        with bizspan.operation("undone", emit="on_commit"):
            await session.execute(insert(Sale).values(name="undone"))
        await session.rollback()
        assert ["kept", "outer"] == list(await session.scalars(select(Sale.name).order_by(Sale.name)))

    in_async_session(work)

    assert [kept("elsewhere"), kept("kept"), undone("inner"), kept("outer"), undone("undone")] == said(told)


def test_a_session_of_a_test_that_undoes_everything(told: Capture, engine: Engine) -> None:
    """
    Joined into a transaction that the test rolls back: the session's own commit is what counts, as for the application.
    """
    with engine.connect() as connection, connection.begin() as transaction:
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            sell(session, "kept")
            session.commit()
        transaction.rollback()

    assert [kept("kept")] == said(told)
    assert [] == rows(engine)


# --- setting up -----------------------------------------------------------------------------------------------------


class Own(Session):
    pass


@pytest.mark.parametrize("kind", ["class", "sessionmaker", "scoped_session", "session", "async"])
def test_instrumenting_some_sessions(engine: Engine, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """
    Only these sessions decide; the second call adds nothing, and after uninstrument() none does.
    """
    monkeypatch.setattr(_commit, "_sources", [])
    makers: dict[str, tuple[Any, Callable[[], Any]]] = {
        "class": (Own, lambda: Own(engine)),
        "sessionmaker": ((maker := sessionmaker(engine)), maker),
        "scoped_session": ((scoped := scoped_session(sessionmaker(engine))), scoped),
        "session": ((session := Session(engine)), lambda: session),
        "async": (AsyncSession(sync_session_class=Own), lambda: Own(engine)),
    }
    target, make = makers[kind]
    if kind == "async":
        make = lambda: target.sync_session  # noqa: E731 - as in the table
        target.sync_session.bind = engine
    with capture() as captured:
        integration.instrument(target)
        integration.instrument(target)
        with Session(engine) as foreign:
            sell(foreign, "foreign")
            assert [kept("foreign")] == said(captured)
        made = make()
        sell(made, "own")
        assert 1 == len(said(captured))
        made.rollback()
        made.add(Sale(name="left"))
        bizspan.event("left", emit="on_commit")
        integration.uninstrument()
        assert ["unknown"] == [each.reason for each in captured.events("left")]
        made.close()
        with pytest.raises(SetupError, match=r"call bizspan\.integrations\.sqlalchemy\.instrument"):
            sell(made, "refused")

        assert [kept("foreign"), undone("own")] == said(captured)
        captured.assert_consistent()
    if kind == "scoped_session":
        target.remove()


def test_instrumenting_every_session_after_some(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each transaction tells once, in whatever order sessions are named.
    """
    monkeypatch.setattr(_commit, "_sources", [])
    with capture() as captured, Session(engine) as session:
        integration.instrument(session)
        integration.instrument()
        integration.instrument(session)
        sale = Sale(name="read")
        session.add(sale)
        sell(session, "own")
        session.commit()
        assert "read" == sale.name
        bizspan.event("told", emit="on_commit")
        assert 1 == len(captured.events())
        with Session(engine) as other:
            sell(other, "other")
            other.rollback()
        integration.uninstrument()

        assert [kept("own"), undone("other")] == said(captured)


def test_a_wrong_target_is_refused() -> None:
    """
    The text says what can be instrumented, and what to do with an async_sessionmaker.
    """
    wrong: list[Any] = [async_sessionmaker(), int, 5, Engine]
    for target in wrong:
        with pytest.raises(SetupError, match="for async_sessionmaker pass its sync_session_class, or nothing"):
            integration.instrument(target)

    assert [] == integration._targets


def test_a_session_that_is_dropped(instrumented: None, engine: Engine) -> None:
    """
    Nobody ends its transaction: unknown after a quarter of an hour.
    """
    with capture() as captured:
        session = Session(engine)
        sell(session, "dropped")
        del session
        captured.tick(900)
        gc.collect()

        assert [("dropped", *UNKNOWN)] == said(captured)


def test_dropped_sessions_give_their_connections_back(told: Capture, tmp_path: Path) -> None:
    """
    With a pool of two: what waits keeps no session and no connection, in this thread, in another context, in a new one.
    """
    engine = create_engine(
        f"sqlite:///{tmp_path / 'shop.db'}",
        poolclass=QueuePool,
        pool_size=2,
        max_overflow=0,
        pool_timeout=5,
        connect_args={"check_same_thread": False},
    )
    Base.metadata.create_all(engine)
    sessions: list[ref[Session]] = []

    def request(name: str) -> None:
        session = Session(engine)
        sessions.append(ref(session))
        session.execute(select(Sale)).all()
        with bizspan.operation(name, emit="on_commit"):
            if name == "wrote":
                session.add(Sale(name="wrote"))
                session.flush()
        if name == "savepoint":
            session.begin_nested()
            bizspan.event("inside", emit="on_commit")

    for turn in range(6):
        name = ("read", "wrote", "savepoint")[turn % 3]
        if turn % 2:
            request(name)
        else:
            copy_context().run(request, name)
        gc.collect()
        assert [None] * (turn + 1) == [each() for each in sessions]
    assert "Current Checked out connections: 0" in engine.pool.status()
    with Session(engine) as session:
        sell(session, "next")
        session.commit()
    engine.dispose()

    assert [kept("read"), ("wrote", *UNKNOWN), kept("savepoint")] * 2 + [kept("next")] == said(told)
    assert [None, None] == [each.outcome for each in told.events("inside")]


def test_a_session_that_lives_on_after_what_it_held_was_given_up(told: Capture, engine: Engine) -> None:
    """
    After a quarter of an hour it is unknown; the session's late commit tells nothing twice.
    """
    with Session(engine) as session:
        sell(session, "late")
        told.tick(900)
        assert [("late", *UNKNOWN)] == said(told)
        session.commit()

    assert 1 == len(said(told))


def test_a_session_instrumented_in_the_middle_of_its_transaction(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What it wrote before is not known: it counts as having written.
    """
    monkeypatch.setattr(_commit, "_sources", [])
    with Session(engine) as session, capture() as captured:
        session.execute(insert(Sale).values(name="before"))
        integration.instrument()
        sale = session.scalars(select(Sale)).one()
        with bizspan.operation("sell", emit="on_commit"), session.begin_nested() as savepoint:
            assert "before" == sale.name
            savepoint.rollback()
        session.rollback()
        integration.uninstrument()

        assert [undone("sell")] == said(captured)
