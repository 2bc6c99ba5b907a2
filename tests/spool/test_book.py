"""
A spool under `configure()`: events are on disk before they count as acknowledged, and arrive as they were told.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource

import bizspan
from bizspan.errors import SetupError
from bizspan.sdk.spool import SpoolLogRecordProcessor
from bizspan.spool import Spool
from tests.providers import metrics_of, reader, size
from tests.spool.receiving import Collector, collector, facts


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Generator[Collector]:
    with collector() as one:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", one.endpoint)
        yield one


def tell(count: int) -> None:
    for number in range(count):
        with bizspan.operation("checkout", segment="smb", country="DE", order=f"o-{number}") as op:
            op.revenue("42.00", "EUR")


@pytest.mark.parametrize("export", ["otlp", "none"])
def test_events_arrive_with_everything_that_was_told(running: Collector, tmp_path: Path, export: str) -> None:
    """
    With the SDK's providers and without any; uid, writer and sequence on each, the resource as everywhere.
    """
    with bizspan.configure(service_name="shop", export=export, spool=tmp_path / "spool") as telemetry:  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        tell(3)
        assert telemetry.force_flush()
        told = bizspan.diagnostics()
    records = running.records()

    assert ["o-0", "o-1", "o-2"] == [facts(record)["business.order.id"] for record in records]
    assert [1, 2, 3] == [facts(record)["bizspan.seq"] for record in records]
    assert 3 == len({facts(record)["log.record.uid"] for record in records})
    assert {("business.operation", 4200)} == {
        (record.event_name, facts(record)["business.revenue.minor_units"]) for record in records
    }
    [resource] = {str(request.resource_logs[0].resource) for request in running.requests}
    assert "shop" in resource
    assert told.spool is not None
    assert (3, 3, 0, 0) == (told.acknowledged, told.spool.delivered, told.pending, told.handed_over)


def test_what_the_collector_does_not_take_waits_for_the_next_process(running: Collector, tmp_path: Path) -> None:
    """
    The account shows it as pending; the next start delivers it.
    """
    running.status = 503
    with bizspan.configure(service_name="shop", export="none", spool=tmp_path / "spool") as telemetry:
        tell(5)
        assert not telemetry.force_flush(0.2)
        assert 5 == bizspan.diagnostics().pending
        telemetry.shutdown(0.1)
    running.status = 200
    with bizspan.configure(service_name="shop", export="none", spool=tmp_path / "spool"):
        assert 5 == len(running.wait_for(5))


def test_a_flush_waits_for_its_own_events_although_others_are_adopted(running: Collector, tmp_path: Path) -> None:
    """
    Orphans that are taken over meanwhile do not count for it.
    """
    running.status = 503
    for _ in range(2):
        with bizspan.configure(export="none", spool=tmp_path / "spool") as telemetry:
            tell(3)
            telemetry.shutdown(0.05)
    running.status = 200
    with bizspan.configure(export="none", spool=tmp_path / "spool") as telemetry:
        for number in range(20):
            bizspan.event("own", order=f"own-{number}")
            assert telemetry.force_flush()
            assert f"own-{number}" in {facts(record)["business.order.id"] for record in running.records()}


def test_the_disk_is_synchronised_while_the_collector_is_away(
    running: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Once a second, whatever the back-off: a power cut takes no more than that.
    """
    synced = threading.Semaphore(0)

    def sync(descriptor: int) -> None:
        synced.release()

    monkeypatch.setattr(os, "fdatasync", sync)
    running.status = 503
    with bizspan.configure(export="none", spool=tmp_path / "spool") as telemetry:
        for _ in range(3):
            bizspan.event("a")
            assert synced.acquire(timeout=20)
        telemetry.shutdown(0.05)


def test_metrics_of_the_spool_are_exported(running: Collector, tmp_path: Path) -> None:
    """
    Delivered, pending, size, and that it is durable.
    """
    source = reader()
    with bizspan.configure(
        export="none", spool=tmp_path / "spool", meter_provider=MeterProvider([source], shutdown_on_exit=False)
    ) as telemetry:
        tell(2)
        telemetry.force_flush()
        read = {
            metric.name: [size(point) for point in metric.data.data_points]
            for metric in metrics_of(source.get_metrics_data())
            if metric.name.startswith("bizspan.")
        }

    assert ([2], [2], [0], [0]) == (
        read["bizspan.events.acknowledged"], read["bizspan.events.delivered"],
        read["bizspan.events.adopted"], read["bizspan.events.pending"],
    )  # fmt: skip
    assert [1] == read["bizspan.spool.durable"]
    assert read["bizspan.spool.size"][0] > 500


def test_a_directory_that_cannot_be_used_means_memory_mode(tmp_path: Path, production_guard: None) -> None:
    """
    It is said, and events are told as without a spool.
    """
    (tmp_path / "spool").write_text("a file")
    with bizspan.configure(export="none", spool=tmp_path / "spool"):
        tell(1)
        assert bizspan.diagnostics().spool is None
        assert {"no_logger_provider": 1} == bizspan.diagnostics().refused


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (3, "takes a directory or a Spool"),
        ("", "is empty"),
    ],
)
def test_a_wrong_spool_is_refused_early(wrong: object, says: str) -> None:
    """
    Set-up raises, with what to do.
    """
    with pytest.raises(SetupError, match=says):
        bizspan.configure(export="none", spool=wrong)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "options",
    [
        {"max_bytes": 10},
        {"max_bytes": True},
        {"min_free_bytes": -1},
        {"max_age_s": 0},
        {"max_age_s": float("nan")},
        {"durability": "paper"},
        {"block_s": -1},
    ],
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    """
    Each with its name.
    """
    with pytest.raises(SetupError, match=next(iter(options))):
        Spool("spool", **options)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def test_the_variable_names_the_directory(running: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    `BIZSPAN_SPOOL_DIR`, where the call says nothing.
    """
    monkeypatch.setenv("BIZSPAN_SPOOL_DIR", str(tmp_path / "spool"))
    with bizspan.configure(export="none"):
        assert bizspan.diagnostics().spool is not None


def test_personal_facts_are_hashed_on_disk(running: Collector, tmp_path: Path) -> None:
    """
    Neither the customer nor the key is in any file.
    """
    running.status = 503
    with bizspan.configure(export="none", spool=tmp_path / "spool", hash_key=b"a secret of sixteen") as telemetry:
        bizspan.event("newsletter.signup", customer="ada@example.org")
        stored = b"".join(file.read_bytes() for file in (tmp_path / "spool").iterdir())
        telemetry.shutdown(0.1)

    assert b"newsletter.signup" in stored
    assert b"ada@example.org" not in stored
    assert b"a secret of sixteen" not in stored


def test_any_log_record_can_be_spooled(running: Collector, tmp_path: Path) -> None:
    """
    Through a processor of the SDK: several loggers, each under its own scope, with a uid and a sequence.
    """
    provider = LoggerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    processor = SpoolLogRecordProcessor(tmp_path / "spool")
    provider.add_log_record_processor(processor)
    for number in range(3):
        for name in ("one", "two"):
            provider.get_logger(name, "1.0").emit(
                body=f"{name} {number}", attributes={"n": number}, severity_text="INFO"
            )
    assert provider.force_flush()
    records = running.records()
    account = processor.account()
    provider.shutdown()

    assert sorted(f"{name} {n}" for n in range(3) for name in ("one", "two")) == sorted(
        record.body.string_value for record in records
    )
    assert list(range(1, 7)) == sorted(facts(record)["bizspan.seq"] for record in records)
    assert {"one", "two"} == {
        scope.scope.name for request in running.requests for r in request.resource_logs for scope in r.scope_logs
    }
    assert account is not None
    assert (6, 0) == (account.delivered, account.pending)
    assert {} == processor.refused.values()


def test_logging_goes_through_a_spool(running: Collector, tmp_path: Path) -> None:
    """
    The standard library's logging, by the SDK's handler.
    """
    handlers = pytest.importorskip("opentelemetry.instrumentation.logging.handler")

    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SpoolLogRecordProcessor(tmp_path / "spool"))
    logger = logging.getLogger("shop.spooled")
    handler = handlers.LoggingHandler(logger_provider=provider)
    logger.addHandler(handler)
    try:
        logger.warning("paid %s", "o-1")
    finally:
        logger.removeHandler(handler)
    provider.force_flush()
    provider.shutdown()

    assert ["paid o-1"] == [record.body.string_value for record in running.records()]
