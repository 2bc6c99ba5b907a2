"""Records of the standard logging: what they carry, what stays off them, and that logging goes on whatever happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest

import bizspan
from bizspan import _log_context
from bizspan.context import Scope, ambient_scope
from bizspan.errors import SetupError
from bizspan.integrations.logging import instrument, uninstrument
from tests.log_lines import (
    COUNTRY,
    ID,
    MAKE_RECORD,
    NAME,
    SEGMENT,
    TEXT,
    Lines,
    handled,
    text_lines,
)
from tests.providers import Application, joined, reader, take


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Every test leaves logging as it was."""
    yield
    uninstrument()
    assert MAKE_RECORD is logging.Logger.makeRecord


@pytest.fixture
def application() -> Iterator[Application]:
    """An application's providers, joined."""
    with joined(reader(), export="otlp") as running:
        yield running


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Lines of the logger shop, as people read them."""
    written = text_lines()
    with handled(written.handler):
        yield written


@pytest.fixture
def documents() -> Iterator[Lines]:
    """Lines of the logger shop, as machines read them."""
    json_formatter = pytest.importorskip("pythonjsonlogger.json").JsonFormatter()
    written = Lines(json_formatter)
    with handled(written.handler):
        yield written


# --- what a record carries --------------------------------------------------------------------------------------


def test_a_line_in_a_scope_has_its_facts_as_text(application: Application, lines: Lines) -> None:
    """
    Inside they are told by keyword; before and after the field is there, and empty.
    """
    logger = logging.getLogger("shop.cart")
    with instrument():
        logger.info("before")
        with bizspan.context(segment="gold", country="DE"):
            logger.info("inside")
        logger.info("after")

    assert ["before|", "inside|segment=gold country=DE", "after|"] == lines()


def test_json_has_each_fact_under_its_key(application: Application, documents: Lines) -> None:
    """
    Without the text each fact is told once, by the name that spans and events have for it.
    """
    with instrument(text=False), bizspan.context(segment="gold", country="DE", colour="red"):
        logging.getLogger("shop").info("hello")

    assert {"message": "hello", SEGMENT: "gold", COUNTRY: "DE", "business.custom.colour": "red"} == documents.last()


def test_a_line_in_an_operation_leads_to_its_event(application: Application, documents: Lines) -> None:
    """
    It has the operation's name and id beside the facts of the scopes; what the operation was told is on its event.
    """
    with instrument(text=False), bizspan.context(segment="gold"), bizspan.operation("checkout", order="o-1"):
        logging.getLogger("shop").info("inside")
    take()

    (event,) = application.logs()
    expected = {"message": "inside", NAME: "checkout", ID: event.attributes[ID], SEGMENT: "gold"}
    assert expected == documents.last()


def test_the_innermost_open_operation_is_named(application: Application, lines: Lines) -> None:
    """
    Around, inside, around again, and none after the end.
    """
    logger = logging.getLogger("shop")
    with instrument():
        with bizspan.operation("checkout"):
            logger.info("1")
            with bizspan.operation("pay"), bizspan.context(segment="gold"):
                logger.info("2")
            logger.info("3")
        logger.info("4")

    assert ["1|operation=checkout", "2|operation=pay segment=gold", "3|operation=checkout", "4|"] == lines()


def test_a_task_that_outlives_its_operation_is_not_in_it(application: Application, lines: Lines) -> None:
    """
    The scope's facts stay with the task; the operation that ended does not.
    """

    async def serve() -> None:
        ended = asyncio.Event()

        async def later() -> None:
            with bizspan.context(country="DE"):
                await ended.wait()
                logging.getLogger("shop").info("later")

        with bizspan.context(segment="gold"):
            with bizspan.operation("checkout"):
                task = asyncio.create_task(later())
                await asyncio.sleep(0)
            ended.set()
            await task

    with instrument():
        asyncio.run(serve())

    assert ["later|segment=gold country=DE"] == lines()


def test_facts_learned_late_are_on_the_lines_after(application: Application, lines: Lines) -> None:
    """
    annotate() in a scope adds to the lines that follow.
    """
    with instrument(), bizspan.context(segment="gold"):
        logging.getLogger("shop").info("early")
        bizspan.annotate(plan="pro")
        logging.getLogger("shop").info("late")

    assert ["early|segment=gold", "late|segment=gold plan=pro"] == lines()


def test_a_customer_is_a_pseudonym(application: Application, documents: Lines) -> None:
    """
    Neither the text nor a field has the raw value.
    """
    with instrument(), bizspan.context(customer="c-17"):
        logging.getLogger("shop").info("hello")

    assert documents.last()["enduser.pseudo.id"].startswith("k1:")
    assert "c-17" not in documents()[-1]


def test_nothing_is_computed_for_a_record_that_is_not_made(application: Application, lines: Lines) -> None:
    """
    A call below the logger's level resolves no fact.
    """
    with instrument(), bizspan.context(segment="gold"):
        logging.getLogger("shop").debug("quiet")
        scope = ambient_scope()
        assert scope is not None
        untouched = scope.attributes
        logging.getLogger("shop").info("loud")

    assert ({}, {SEGMENT: "gold"}) == (untouched, scope.attributes)
    assert ["loud|segment=gold"] == lines()


def test_unconfigured_records_are_made_as_ever(lines: Lines) -> None:
    """
    Without a pipeline there is no vocabulary: no facts, and the field is there.
    """
    with instrument(), bizspan.context(segment="gold"):
        logging.getLogger("shop").info("hello %s", "you")

    assert ["hello you|"] == lines()


# --- hostile values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ("a\nFAKE", 'segment="a FAKE"'),
        ("a\r\n2026 ERROR root FAKE", 'segment="a 2026 ERROR root FAKE"'),
        ("\x1b[31mred\x1b[0m", "segment=red"),
        ("gold country=XX", 'segment="gold country=XX"'),
        ('a"b', 'segment="a\\"b"'),
        ("x" * 200, f"segment={'x' * 99}…"),
        ("größe", "segment=größe"),
    ],
)
def test_a_value_stays_one_value_on_one_line(application: Application, lines: Lines, told: str, text: str) -> None:
    """
    Line breaks and escapes are gone, and what could be read as a further fact is quoted.
    """
    with instrument(), bizspan.context(segment=told):
        logging.getLogger("shop").info("hello")

    assert [f"hello|{text}"] == lines()


def test_a_fact_that_logs_while_it_is_cleaned_is_asked_once(application: Application, lines: Lines) -> None:
    """
    The code of a time zone may log; that record has no facts, and the one that asked has.
    """

    class Chatty(tzinfo):
        def utcoffset(self, when: datetime | None) -> timedelta:
            logging.getLogger("shop").info("asked")
            return timedelta(hours=1)

        dst = tzname = lambda self, when: None

    with instrument(), bizspan.context(since=datetime(2026, 1, 1, tzinfo=Chatty())):
        logging.getLogger("shop").info("hello")

    assert lines()[:-1] == ["asked|"] * (len(lines()) - 1)
    assert "hello|since=2025-12-31T23:00:00" in lines()[-1]


def test_a_record_is_made_although_its_facts_fail(
    application: Application, lines: Lines, production_guard: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The error is counted, and the line has the empty field.
    """

    def broken(self: Scope, pipeline: object) -> Scope:
        raise RuntimeError("secret")

    monkeypatch.setattr(Scope, "resolve", broken)
    before = bizspan.diagnostics().swallowed.get("putting facts onto a log record", 0)
    with instrument(), bizspan.context(segment="gold"):
        logging.getLogger("shop").info("hello")

    assert ["hello|"] == lines()
    assert before + 1 == bizspan.diagnostics().swallowed["putting facts onto a log record"]


# --- what the record says itself --------------------------------------------------------------------------------


def test_extra_of_the_same_name_wins(application: Application, documents: Lines) -> None:
    """
    logging refuses extra= over a field that is there already; ours come after it, and yield to it.
    """
    with instrument(), bizspan.context(segment="gold", country="DE"):
        logging.getLogger("shop").info("hello", extra={COUNTRY: "FR"})
        one = documents.last()
        logging.getLogger("shop").info("hello", extra={TEXT: "mine"})

    assert ("gold", "FR", "segment=gold country=FR") == (one[SEGMENT], one[COUNTRY], one[TEXT])
    assert "mine" == documents.last()[TEXT]


def test_an_object_in_extra_is_not_asked_for_its_text(application: Application, lines: Lines) -> None:
    """
    The text then has the scope's value.
    """

    class Refuses:
        def __str__(self) -> str:
            raise AssertionError("asked")

    with instrument(), bizspan.context(segment="gold"):
        logging.getLogger("shop").info("hello", extra={SEGMENT: Refuses()})

    assert ["hello|segment=gold"] == lines()


# --- opting out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logger", "text"),
    [
        ("shop", "segment=gold"),
        ("shop.http", ""),
        ("shop.http.pool", ""),
        ("shop.https", "segment=gold"),
        ("shop.noisy.module", ""),
        ("shop.noisy", "segment=gold"),
    ],
)
def test_excluded_loggers_carry_nothing(application: Application, lines: Lines, logger: str, text: str) -> None:
    """
    A name stands for all below it, as in logging's own hierarchy.
    """
    with instrument(exclude=("shop.http", "shop.noisy.module")), bizspan.context(segment="gold"):
        logging.getLogger(logger).info("hello")

    assert [f"hello|{text}"] == lines()


def test_bizspans_own_logger_carries_nothing(application: Application) -> None:
    """
    Its warnings are made while facts are cleaned.
    """
    written = text_lines()
    with handled(written.handler, "bizspan"), instrument(), bizspan.context(segment="gold"):
        logging.getLogger("bizspan").warning("hello")

    assert ["hello|"] == written()


@pytest.mark.parametrize("exclude", ["urllib3", 7, (7,), ("",), (logging.getLogger("urllib3"),)])
def test_a_wrong_exclude_is_a_set_up_error(exclude: Any) -> None:
    """
    It says what to write, and changes nothing.
    """
    with pytest.raises(SetupError, match="exclude="):
        instrument(exclude=exclude)

    assert MAKE_RECORD is logging.Logger.makeRecord


# --- act, undo, scoped twin -------------------------------------------------------------------------------------


def test_undoing_restores_what_was_in_force_before(application: Application, lines: Lines) -> None:
    """
    A block inside an instrumented application has its own settings, and the application's come back.
    """
    logger = logging.getLogger("shop.http")
    instrument(exclude=("shop.http",))
    with bizspan.context(segment="gold"):
        with instrument():
            logger.info("1")
        logger.info("2")
    uninstrument()

    assert ["1|segment=gold", "2|"] == lines()
    assert MAKE_RECORD is logging.Logger.makeRecord


def test_undoing_out_of_order_ends_with_nothing_in_force() -> None:
    """
    The outer one is taken back first; the inner stays until its own turn, and twice changes nothing.
    """
    outer, inner = instrument(exclude=("a",)), instrument(exclude=("b",))
    outer.uninstrument()
    assert (False, True) == (outer.is_active, inner.is_active)
    assert ("a" not in _log_context.excluded, "b" in _log_context.excluded) == (True, True)
    inner.uninstrument()
    inner.uninstrument()

    assert MAKE_RECORD is logging.Logger.makeRecord
    assert "b" not in _log_context.excluded


def test_who_wraps_after_us_stays(application: Application, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Ours does nothing below theirs, and works again when it is asked for.
    """
    lines.handler.setFormatter(logging.Formatter(f"%(message)s %({TEXT})s", defaults={TEXT: "none"}))
    with monkeypatch.context() as patch, bizspan.context(segment="gold"):
        patch.setattr(logging.Logger, "makeRecord", MAKE_RECORD)  # for the end of the block
        with instrument():
            ours: Callable[..., logging.LogRecord] = logging.Logger.makeRecord

            def theirs(self: logging.Logger, *args: Any, **options: Any) -> logging.LogRecord:
                record = ours(self, *args, **options)
                record.msg = f"theirs {record.msg}"
                return record

            setattr(logging.Logger, "makeRecord", theirs)  # noqa: B010 - mypy refuses the assignment
        logging.getLogger("shop").info("off")
        assert theirs is vars(logging.Logger)["makeRecord"]
        with instrument():
            logging.getLogger("shop").info("on")

    assert ["theirs off none", "theirs on segment=gold"] == lines()


def test_another_record_factory_stays_in_use(application: Application, lines: Lines) -> None:
    """
    A factory that was set before or is set after works beside us.
    """
    factory = logging.getLogRecordFactory()

    def branded(*args: Any, **options: Any) -> logging.LogRecord:
        record = factory(*args, **options)
        record.msg = f"branded {record.msg}"
        return record

    try:
        with instrument(), bizspan.context(segment="gold"):
            logging.setLogRecordFactory(branded)
            logging.getLogger("shop").info("hello")
    finally:
        logging.setLogRecordFactory(factory)

    assert ["branded hello|segment=gold"] == lines()
