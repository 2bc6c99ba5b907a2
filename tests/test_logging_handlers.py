"""Log records on their way: filters, queues, threads, forked children, and the handlers of OpenTelemetry."""

from __future__ import annotations

import asyncio
import contextvars
import io
import logging
import logging.config
import logging.handlers
import pickle
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import _logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

import bizspan
from bizspan import _active
from bizspan._entry import Entry
from bizspan.integrations.logging import BusinessContext, instrument, uninstrument
from bizspan.sdk._providers import stamp_logs
from tests.child import run
from tests.log_lines import (
    COUNTRY,
    ID,
    MAKE_RECORD,
    NAME,
    SEGMENT,
    TEXT,
    Lines,
    attributes,
    contrib_handler,
    handled,
    sdk_handler,
    text_lines,
)
from tests.providers import Application, joined, log_exporter, reader, take

HANDLERS = pytest.mark.parametrize("otel", [sdk_handler, contrib_handler])


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


# --- handlers, threads, processes -------------------------------------------------------------------------------


def test_a_filter_from_dict_config_does_the_same(application: Application) -> None:
    """
    Without instrument(): the filter on a handler, with its own opt-out.
    """
    stream = io.StringIO()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"business": {"()": "bizspan.integrations.logging.BusinessContext", "exclude": ["shop.http"]}},
            "formatters": {"line": {"format": f"%(message)s|%({TEXT})s"}},
            "handlers": {
                "out": {
                    "class": "logging.StreamHandler",
                    "stream": stream,
                    "filters": ["business"],
                    "formatter": "line",
                }
            },
            "loggers": {"shop": {"handlers": ["out"], "level": "INFO", "propagate": False}},
        }
    )
    logger = logging.getLogger("shop")
    try:
        with bizspan.context(segment="gold"):
            logger.info("1")
            logging.getLogger("shop.http").info("2")
        logger.info("3")
    finally:
        logger.handlers.clear()
        logger.propagate, logger.level = True, logging.NOTSET

    assert ["1|segment=gold", "2|", "3|"] == stream.getvalue().splitlines()


def test_facts_are_taken_when_the_record_is_made(application: Application) -> None:
    """
    Through a queue the listener's thread writes them, on OTLP too, though no scope is open there.
    """
    written = text_lines()
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(waiting, written.handler, sdk_handler(application.logger_provider))
    with handled(logging.handlers.QueueHandler(waiting)), instrument():
        with bizspan.context(segment="gold"):
            logging.getLogger("shop").info("inside")
        listener.start()
        listener.stop()

    assert ["inside|segment=gold"] == written()
    assert [{SEGMENT: "gold"}] == [attributes(record) for record in application.logs()]


def test_a_filter_on_a_queue_handler_runs_on_the_logging_thread(application: Application) -> None:
    """
    So the record in the queue has the facts.
    """
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(waiting)
    handler.addFilter(BusinessContext())
    with handled(handler), bizspan.context(segment="gold"):
        logging.getLogger("shop").info("inside")

    assert "gold" == vars(waiting.get())[SEGMENT]


def test_a_record_pickles_for_those_who_do_not_have_bizspan(application: Application) -> None:
    """
    A socket handler's other end finds text and plain values.
    """
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    with handled(logging.handlers.QueueHandler(waiting)), instrument(), bizspan.context(segment="gold"):
        logging.getLogger("shop").info("inside")
    pickled = pickle.dumps(vars(waiting.get()))
    fields = pickle.loads(pickled)

    assert b"bizspan." not in pickled  # no class of ours
    assert (str, "segment=gold", "gold") == (type(fields[TEXT]), fields[TEXT], fields[SEGMENT])


def test_threads_and_tasks_have_their_own_facts(application: Application, lines: Lines) -> None:
    """
    Eight threads and eight tasks side by side: each line has its own segment.
    """
    logger = logging.getLogger("shop")
    together = threading.Barrier(8)

    def thread(segment: str) -> None:
        together.wait()
        with bizspan.context(segment=segment):
            for _ in range(50):
                logger.info("%s", segment)

    async def task(segment: str) -> None:
        with bizspan.context(segment=segment):
            for _ in range(50):
                await asyncio.sleep(0)
                logger.info("%s", segment)

    async def tasks() -> None:
        await asyncio.gather(*(task(f"task{n}") for n in range(8)))

    with instrument():
        threads = [threading.Thread(target=thread, args=(f"thread{n}",)) for n in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        asyncio.run(tasks())

    pairs = [line.split("|segment=") for line in lines()]
    assert 800 == len(pairs)
    assert [] == [pair for pair in pairs if pair[0] != pair[1]]


def test_a_line_never_waits_for_another_threads_resolver(application: Application) -> None:
    """
    Two threads of one request: one asks the application for the request's facts, and its resolver logs; the other logs
    meanwhile, inside the handler that the resolver needs. The line goes out without those facts.
    """
    asked, written = threading.Event(), threading.Event()

    def facts() -> dict[str, str]:
        asked.set()
        assert written.wait(10)
        logging.getLogger("shop.users").info("SELECT")
        return {"segment": "gold"}

    def beside() -> None:
        assert asked.wait(10)
        logging.getLogger("shop").info("beside")
        written.set()

    assert _active.current is not None
    with handled(sdk_handler(application.logger_provider)) as logger:
        request = Entry(_active.current, None, facts)
        request.enter(None)
        other = threading.Thread(target=contextvars.copy_context().run, args=(beside,), daemon=True)
        other.start()
        with application.tracer_provider.get_tracer("database").start_as_current_span("SELECT"):
            logger.info("after")
        other.join(10)
        request.leave()

    assert not other.is_alive()
    assert [("beside", {}), ("SELECT", {}), ("after", {SEGMENT: "gold"})] == [
        (record.body, attributes(record)) for record in application.logs()
    ]


@pytest.mark.parametrize("works", [True, False])
def test_a_forked_child_has_facts_before_its_first_operation(works: bool) -> None:
    """
    The child starts no pipeline for a line, and its lines have the facts; after shutdown they have none.
    """
    ended = run(
        f"""
        import logging, os, sys
        import bizspan
        from bizspan import _active
        from bizspan.integrations.logging import instrument
        telemetry = bizspan.configure(export="none")
        logging.basicConfig(format="%(message)s|%(business_context)s", stream=sys.stdout, level=logging.INFO)
        logging.getLogger("bizspan").setLevel(logging.ERROR)  # nothing takes its events, as it says
        instrument()
        with bizspan.context(segment="gold"):
            child = os.fork()
            if child == 0:
                logging.info("child %s", _active.current)
                if {works}:
                    with bizspan.operation("checkout"):
                        logging.info("operation")
                telemetry.shutdown()
                logging.info("over")
                sys.stdout.flush()
                os._exit(0)
            assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            logging.info("parent")
            telemetry.shutdown()
            logging.info("over")
        """
    )
    worked = ["operation|operation=checkout segment=gold"] if works else []

    assert (0, "") == (ended.code, ended.err)
    assert ["child None|segment=gold", *worked, "over|", "parent|segment=gold", "over|"] == ended.out.splitlines()


# --- OTLP -------------------------------------------------------------------------------------------------------


@HANDLERS
@pytest.mark.parametrize("instrumented", [False, True])
def test_an_exported_record_says_each_fact_once(
    application: Application, otel: Callable[[Any], logging.Handler], instrumented: bool
) -> None:
    """
    OpenTelemetry's handlers copy every field of a record, and the provider is stamped: both use the same keys, and
    the text for people stays behind.
    """
    if instrumented:
        instrument()
    with handled(otel(application.logger_provider)) as logger:
        logger.info("before")
        with bizspan.context(segment="gold", country="DE"), bizspan.operation("checkout"):
            logger.info("inside", extra={"cart": 3})
    take()

    before, inside, event = application.logs()
    expected = {"cart": 3, NAME: "checkout", ID: event.attributes[ID], SEGMENT: "gold", COUNTRY: "DE"}
    assert {} == attributes(before)
    assert expected == attributes(inside)


@HANDLERS
def test_what_the_record_says_itself_is_exported(
    application: Application, otel: Callable[[Any], logging.Handler]
) -> None:
    """
    extra= wins on OTLP too, and so does a field of the application that has the name of our text.
    """
    with handled(otel(application.logger_provider)) as logger, instrument(), bizspan.context(segment="gold"):
        logger.info("hello", extra={SEGMENT: "own", TEXT: "mine"})

    assert {SEGMENT: "own", TEXT: "mine"} == attributes(application.logs()[-1])


@HANDLERS
def test_excluded_loggers_are_exported_without_facts(
    application: Application, otel: Callable[[Any], logging.Handler]
) -> None:
    """
    The opt-out holds for attributes too, until it is taken back.
    """
    with handled(otel(application.logger_provider)), bizspan.context(segment="gold"):
        with instrument(exclude=("shop.http",)):
            logging.getLogger("shop.http.pool").info("1")
            logging.getLogger("shop").info("2")
        logging.getLogger("shop.http.pool").info("3")

    assert [{}, {SEGMENT: "gold"}, {SEGMENT: "gold"}] == [attributes(record) for record in application.logs()]


def test_the_text_stays_behind_where_values_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A limit on the length of values makes a new text of ours; it is still known as ours.
    """
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "16")
    exported = log_exporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    stamp_logs(provider)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exported))
    try:
        with (
            bizspan.configure(export="none"),
            handled(sdk_handler(provider)) as logger,
            instrument(),
            bizspan.context(segment="enterprise", country="DE"),
        ):
            logger.info("hello")
    finally:
        provider.shutdown()

    (item,) = exported.get_finished_logs()
    assert {SEGMENT: "enterprise", COUNTRY: "DE"} == attributes(item.log_record)
    assert all(len(str(value)) <= 16 for value in item.log_record.attributes.values())


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_contribs_instrumentation_works_beside_ours(
    application: Application, lines: Lines, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """
    In either order, its trace ids and our facts are on the same line, and each takes back its own only.
    """
    instrumentor = pytest.importorskip("opentelemetry.instrumentation.logging").LoggingInstrumentor()
    monkeypatch.setattr(_logs, "get_logger_provider", lambda: application.logger_provider)
    factory = logging.getLogRecordFactory()
    lines.handler.setFormatter(logging.Formatter(f"%(otelTraceID)s|%({TEXT})s", defaults={"otelTraceID": "", TEXT: ""}))
    options = {
        "tracer_provider": application.tracer_provider,
        "inject_trace_context": True,
        "enable_log_auto_instrumentation": False,
    }

    def hello() -> str:
        with bizspan.context(segment="gold"), bizspan.operation("checkout"):
            logging.getLogger("shop").info("hello")
        return lines()[-1].replace(format(application.spans()[-1].context.trace_id, "032x"), "trace")

    try:
        if first == "ours":
            instrument()
            instrumentor.instrument(**options)
        else:
            instrumentor.instrument(**options)
            instrument()
        both = hello()
        uninstrument()
        theirs = hello()
        with instrument():
            instrumentor.uninstrument()
            ours = hello()
    finally:
        instrumentor.uninstrument()

    assert ["trace|operation=checkout segment=gold", "trace|", "|operation=checkout segment=gold"] == [
        both, theirs, ours,
    ]  # fmt: skip
    assert factory is logging.getLogRecordFactory()
