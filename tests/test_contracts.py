"""
Every private name of OpenTelemetry that bizspan leans on. When one of these fails, the installed version changed it,
and the docstring says what bizspan then does without it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
from opentelemetry import _logs, metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk import _logs as sdk_logs
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ConsoleMetricExporter,
    InMemoryMetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from bizspan import _inherited, names
from bizspan._clock import Ids
from bizspan._record import Record
from bizspan.sdk import _events
from bizspan.sdk._resource import INSTANCE_ID, ProcessResource
from tests.providers import DELTA, log_exporter, temporality

API = [(trace, "_TRACER_PROVIDER"), (metrics, "_METER_PROVIDER"), (_logs, "_LOGGER_PROVIDER")]


@pytest.fixture
def provider() -> Iterator[MeterProvider]:
    """A meter provider with one reader, and a measurement in it."""
    reader = InMemoryMetricReader()
    made = MeterProvider([reader], shutdown_on_exit=False)
    made.get_meter(names.SCOPE).create_histogram("h").record(1)
    yield made
    made.shutdown()


def nothing(*arguments: Any, **more: Any) -> None:
    """A reader's collect callback that collects nothing."""


@pytest.mark.parametrize(("api", "variable"), API)
def test_the_api_keeps_its_global_provider_in_a_variable(api: Any, variable: str) -> None:
    """
    Without it: whether a provider is set is read from its class's name, and shutdown() cannot set it back.
    """
    home = getattr(api, "_internal", api)
    once = getattr(home, f"{variable}_SET_ONCE")

    assert getattr(home, variable) is None
    assert once._done is False


def test_the_default_global_providers_are_proxies_by_name() -> None:
    """
    The fall-back for the variable above.
    """
    getters = (trace.get_tracer_provider, metrics.get_meter_provider, _logs.get_logger_provider)

    assert [True] * 3 == [type(getter()).__name__.lstrip("_").startswith("Proxy") for getter in getters]


def test_a_proxy_meter_knows_its_real_one() -> None:
    """
    Without it: a child forked after providers were set late may report its parent's joined histograms again.
    """
    meter = cast("Any", metrics)._internal._ProxyMeterProvider().get_meter("x")

    assert meter._real_meter is None


def test_log_processors_stand_in_a_tuple_behind_a_lock() -> None:
    """
    Without it: the stamp is added last, and misses what a SimpleLogRecordProcessor sent already.
    """
    multi: Any = sdk_logs.LoggerProvider(shutdown_on_exit=False)._multi_log_record_processor

    assert () == multi._log_record_processors
    with multi._lock:
        pass


def test_metric_exporters_tell_their_preferences() -> None:
    """
    Without it: histograms from our own buckets are cumulative whatever the exporter asks for.
    """
    exporter: Any = OTLPMetricExporter(preferred_temporality=temporality(DELTA))
    try:
        assert AggregationTemporality.DELTA is exporter._preferred_temporality[Histogram]
        assert exporter._preferred_aggregation is not None
    finally:
        exporter.shutdown()


def test_a_meter_leads_to_its_readers_storages(provider: MeterProvider) -> None:
    """
    Without any of these: a forked child's cumulative reader repeats its parent's joined histograms.
    """
    consumer: Any = cast("Any", provider.get_meter(names.SCOPE))._measurement_consumer
    (storage,) = consumer._reader_storages.values()
    ((instrument, matches),) = storage._instrument_view_instrument_matches.items()

    assert names.SCOPE == instrument.instrumentation_scope.name
    assert 1 == len(matches)


def test_the_locks_of_the_metrics_sdk_are_where_a_fork_needs_them(provider: MeterProvider) -> None:
    """
    Without any of these: a child that was forked in the middle of a collection waits for ever in its first one.
    """
    lock, reentrant = type(threading.Lock()), type(threading.RLock())
    consumer: Any = cast("Any", provider.get_meter(names.SCOPE))._measurement_consumer
    ((reader, storage),) = consumer._reader_storages.items()
    ((match,),) = storage._instrument_view_instrument_matches.values()
    (aggregation,) = match._attributes_aggregation.values()

    assert isinstance(consumer._lock, lock)
    assert isinstance(storage._lock, (lock, reentrant))
    assert isinstance(match._lock, lock)
    assert isinstance(aggregation._lock, lock)
    assert hasattr(aggregation, "_reservoir")
    periodic: Any = PeriodicExportingMetricReader(ConsoleMetricExporter(), export_interval_millis=60_000)
    assert isinstance(periodic._export_lock, lock)
    periodic._set_collect_callback(nothing)
    periodic.shutdown()
    assert hasattr(reader, "collect")


def test_dropping_what_was_inherited_empties_our_scope_alone(provider: MeterProvider) -> None:
    """
    Our measurements go, and those of the application stay; both scopes work afterwards.
    """
    consumer: Any = cast("Any", provider)._measurement_consumer
    (reader,) = consumer._reader_storages
    meter = provider.get_meter(names.SCOPE)
    provider.get_meter("app").create_histogram("own").record(1)
    _inherited.meters.add(meter)
    try:
        _inherited.drop_inherited()
        data = reader.get_metrics_data()
        scopes = [scope.scope.name for scope in data.resource_metrics[0].scope_metrics]
        assert ["app"] == scopes
        provider.get_meter("app").create_histogram("own").record(1)
        assert reader.get_metrics_data() is not None
    finally:
        _inherited.meters.discard(meter)


def test_a_resource_may_compute_its_attributes() -> None:
    """
    Without it: a forked child has its parent's service.instance.id.
    """
    resource = ProcessResource({INSTANCE_ID: "i-1", "service.name": "shop"})
    merged = Resource({"a": "b"}).merge(resource)
    child = resource.merge(Resource({"a": "b"}))
    resource._process = (resource._process[0], 0)

    assert "i-1" == merged.attributes[INSTANCE_ID]
    assert isinstance(child, ProcessResource)
    assert "i-1" != resource.attributes[INSTANCE_ID]
    assert "shop" == resource.attributes["service.name"]
    for provider in (TracerProvider(resource=resource, shutdown_on_exit=False),):
        assert provider.resource is resource
        provider.shutdown()


def test_a_finished_log_record_is_taken_as_it_is() -> None:
    """
    Without any of these names: events go through the API's `Logger.emit`, which checks each attribute again.
    """
    exporter = log_exporter()
    provider = sdk_logs.LoggerProvider(shutdown_on_exit=False)
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    sink = _events.ReadyEventSink(provider.get_logger(names.SCOPE), Ids("w"))
    sink(Record("business.operation", "x", "uid", 5, {"a": 1}, (), None), 1)
    provider.shutdown()

    (item,) = exporter.get_finished_logs()
    assert ("business.operation", 5) == (item.log_record.event_name, item.log_record.timestamp)
    assert "uid" == item.log_record.attributes["log.record.uid"]
    if hasattr(sdk_logs, "ReadWriteLogRecord"):
        assert sink._ready


def test_the_current_context_is_one_variable_of_the_api() -> None:
    """
    `_contexts` reads and sets it directly; where the API keeps it elsewhere, it goes through the functions.
    """
    from opentelemetry import context as api

    from bizspan import _contexts

    marked = api.set_value("bizspan-test", 1)
    token = api.attach(marked)
    try:
        assert marked is _contexts.get_current()
    finally:
        api.detach(token)
    before = api.get_current()
    _contexts.attach(marked)
    try:
        assert marked is api.get_current()
    finally:
        _contexts.attach(before)
    assert before is api.get_current()
    assert (api.get_current, api.attach) != (_contexts.get_current, _contexts.attach)
