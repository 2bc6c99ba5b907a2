"""Events of structlog: what the processor adds, and that it never stands in the way."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import bizspan
from bizspan.context import Scope
from bizspan.errors import SetupError
from bizspan.integrations.logging import instrument
from bizspan.integrations.structlog import BusinessContext, add_business_context
from tests.providers import Application, joined, reader, take

structlog = pytest.importorskip("structlog")

SEGMENT = "business.customer.segment"
COUNTRY = "geo.country.iso_code"
NAME = "business.operation.name"
ID = "business.operation.id"


@pytest.fixture
def application() -> Iterator[Application]:
    """An application's providers, joined."""
    with joined(reader(), export="otlp") as running:
        yield running


def logger(*processors: Any, wrapped: Any = None) -> Any:
    """A structlog logger whose calls give back the JSON that they would write."""
    chain = [*(processors or (add_business_context,)), structlog.processors.JSONRenderer()]
    return structlog.wrap_logger(wrapped or structlog.ReturnLogger(), processors=chain)


def test_an_event_in_a_scope_has_each_fact_under_its_key(application: Application) -> None:
    """
    Inside it has them, by the names that spans have for them; outside it stays as it is.
    """
    log = logger()
    before = log.info("hello", cart=3)
    with bizspan.context(segment="gold", country="DE"):
        inside = log.info("hello", cart=3)

    assert {"event": "hello", "cart": 3} == json.loads(before)
    assert {"event": "hello", "cart": 3, SEGMENT: "gold", COUNTRY: "DE"} == json.loads(inside)


def test_an_event_in_an_operation_leads_to_its_record(application: Application) -> None:
    """
    It has the operation's name and id.
    """
    with bizspan.operation("checkout"):
        inside = logger().info("hello")
    take()

    (record,) = application.logs()
    assert {"event": "hello", NAME: "checkout", ID: record.attributes[ID]} == json.loads(inside)


def test_what_the_event_says_itself_wins(application: Application) -> None:
    """
    Bound values and those of the call are kept.
    """
    with bizspan.context(segment="gold", country="DE", channel="web"):
        said = logger().bind(**{COUNTRY: "FR"}).info("hello", **{SEGMENT: "own"})

    assert {"event": "hello", SEGMENT: "own", COUNTRY: "FR", "business.channel": "web"} == json.loads(said)


def test_a_line_break_in_a_fact_starts_no_line(application: Application) -> None:
    """
    Facts are clean before they get here, so renderers for people are safe too.
    """
    people = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[add_business_context, people])
    with bizspan.context(segment="a\nFAKE"):
        said = log.info("hello")

    assert f"{SEGMENT}='a FAKE'" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("name", "stamped"), [("shop", True), ("noisy", False), ("noisy.pool", False), ("noisy2", True), ("bizspan", False)]
)
def test_excluded_loggers_carry_nothing(application: Application, name: str, stamped: bool) -> None:
    """
    By the logger's own name, or by `logger` in the event; opted out here or by instrument().
    """
    wrapped = structlog.ReturnLogger()
    wrapped.name = name
    here = BusinessContext(exclude=("noisy",))
    with bizspan.context(segment="gold"):
        said = [logger(here, wrapped=wrapped).info("hello"), logger(here).info("hello", logger=name)]
        with instrument(exclude=("noisy",)):
            said.append(logger(wrapped=wrapped).info("hello"))

    assert [stamped] * 3 == [SEGMENT in json.loads(event) for event in said]


def test_a_wrong_exclude_is_a_set_up_error() -> None:
    """
    It says what to write.
    """
    with pytest.raises(SetupError, match=r"exclude=\('noisy',\)"):
        BusinessContext(exclude="noisy")


def test_through_standard_logging_each_fact_is_exported_once(application: Application) -> None:
    """
    structlog on top of an instrumented `logging`, with OpenTelemetry's handler under it: one key per fact.
    """
    from opentelemetry.sdk._logs import LoggingHandler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it moved to contrib, and is still what many have
        handler = LoggingHandler(logger_provider=application.logger_provider)
    under = logging.getLogger("shop.structlog")
    under.setLevel(logging.INFO)
    under.addHandler(handler)
    log = structlog.wrap_logger(
        under,
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[add_business_context, structlog.stdlib.render_to_log_kwargs],
    )
    try:
        with instrument(), bizspan.context(segment="gold"):
            log.info("hello", cart=3)
    finally:
        under.removeHandler(handler)
        under.setLevel(logging.NOTSET)

    (record,) = application.logs()
    said = {key: value for key, value in record.attributes.items() if not key.startswith("code.")}
    assert ("hello", {"cart": 3, SEGMENT: "gold"}) == (record.body, said)


def test_records_of_other_libraries_are_stamped_by_structlogs_formatter(application: Application) -> None:
    """
    In a foreign_pre_chain the record's own logger decides.
    """
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[BusinessContext(exclude=("shop.http",))],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    shop = logging.getLogger("shop")
    shop.setLevel(logging.INFO)
    shop.propagate = False
    shop.addHandler(handler)
    try:
        with bizspan.context(segment="gold"):
            shop.info("one")
            logging.getLogger("shop.http").info("two")
    finally:
        shop.removeHandler(handler)
        shop.propagate, shop.level = True, logging.NOTSET

    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [{"event": "one", SEGMENT: "gold"}, {"event": "two"}] == said


def test_tasks_have_their_own_facts(application: Application) -> None:
    """
    Eight tasks side by side: each event has its own segment.
    """
    log = logger()

    async def task(segment: str) -> list[str]:
        with bizspan.context(segment=segment):
            said: list[str] = []
            for _ in range(20):
                await asyncio.sleep(0)
                said.append(json.loads(log.info(segment))[SEGMENT])
        return said

    async def tasks() -> list[list[str]]:
        return await asyncio.gather(*(task(f"s{n}") for n in range(8)))

    assert [[f"s{n}"] * 20 for n in range(8)] == asyncio.run(tasks())


def test_an_event_is_written_although_its_facts_fail(
    application: Application, production_guard: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The error is counted, and the event is as it was.
    """

    def broken(self: Scope, pipeline: object) -> Scope:
        raise RuntimeError("secret")

    monkeypatch.setattr(Scope, "resolve", broken)
    before = bizspan.diagnostics().swallowed.get("putting facts onto a structlog event", 0)
    with bizspan.context(segment="gold"):
        said = logger().info("hello")

    assert {"event": "hello"} == json.loads(said)
    assert before + 1 == bizspan.diagnostics().swallowed["putting facts onto a structlog event"]


def test_a_logger_without_a_usable_name_is_stamped(application: Application) -> None:
    """
    None, a name that is no text, and no name at all opt nothing out.
    """
    with bizspan.context(segment="gold"):
        said = [add_business_context(one, "info", {}) for one in (None, SimpleNamespace(name=7), object())]

    assert [{SEGMENT: "gold"}] * 3 == said


def test_the_processor_needs_no_structlog() -> None:
    """
    Importing it loads neither structlog nor the OpenTelemetry SDK.
    """
    code = (
        "import sys, bizspan.integrations.structlog, bizspan.integrations.logging\n"
        "print(sorted({'structlog', 'opentelemetry.sdk', 'wrapt'}.intersection(sys.modules)))"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (0, "[]\n", "") == (ran.returncode, ran.stdout, ran.stderr)
