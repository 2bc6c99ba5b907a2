"""Loggers and handlers for tests of log records: one logger, one handler, and what was written."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import pytest

SEGMENT: Final = "business.customer.segment"
COUNTRY: Final = "geo.country.iso_code"
NAME: Final = "business.operation.name"
ID: Final = "business.operation.id"
TEXT: Final = "business_context"
MAKE_RECORD: Final = logging.Logger.makeRecord


@contextmanager
def handled(handler: logging.Handler, name: str = "shop") -> Generator[logging.Logger]:
    """This handler alone on a logger."""
    logger = logging.getLogger(name)
    before = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
        handler.close()


class Lines:
    """What a stream handler wrote."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self.handler = logging.StreamHandler(io.StringIO())
        self.handler.setFormatter(formatter)

    def __call__(self) -> list[str]:
        return self.handler.stream.getvalue().splitlines()

    def last(self) -> Any:
        """The last one, from JSON."""
        return json.loads(self()[-1])


def text_lines() -> Lines:
    """Lines as people read them."""
    return Lines(logging.Formatter(f"%(message)s|%({TEXT})s"))


def sdk_handler(provider: Any) -> logging.Handler:
    """The handler of OpenTelemetry's SDK."""
    from opentelemetry.sdk._logs import LoggingHandler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it moved to contrib, and is still what many have
        return LoggingHandler(logger_provider=provider)


def contrib_handler(provider: Any) -> logging.Handler:
    """The handler of opentelemetry-instrumentation-logging."""
    handler: logging.Handler = pytest.importorskip("opentelemetry.instrumentation.logging.handler").LoggingHandler(
        logger_provider=provider
    )
    return handler


def attributes(record: Any) -> dict[str, Any]:
    """An exported record's attributes, without those that say where in the code it was made."""
    told: dict[str, Any] = dict(record.attributes or {})
    return {key: value for key, value in told.items() if not key.startswith("code.")}
