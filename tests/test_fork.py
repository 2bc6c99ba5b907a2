"""Forked processes: a child starts at zero, under its own ids, and never repeats or undoes what its parent told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest

from _collector import Receiver
from _otlp import Point
from tests.child import Ended, run

BUILT = """
    import bizspan
    configuration = bizspan.configure(service_name="shop")
"""
JOINED = """
    import netrc  # requests imports it in its first request; a fork at that moment hangs the stock exporters
    import bizspan
    from opentelemetry import _logs, metrics, trace
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    spans, logs = TracerProvider(), LoggerProvider()
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    trace.set_tracer_provider(spans)
    _logs.set_logger_provider(logs)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))
"""
SET_UPS = {
    "built": BUILT,
    "joined": JOINED + "    bizspan.configure()\n",
    "joined by the API": JOINED,
}
PAIRS = [("built", "cumulative"), ("built", "delta"), ("joined", "delta"), ("joined by the API", "cumulative")]
TELL = """
    import os, sys, threading, time
    def tell(times):
        for _ in range(times):
            with bizspan.operation("checkout", segment="gold") as op:
                op.revenue("1.00", "EUR")
    def wait(child):
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.fixture(params=["cumulative", "delta"])
def temporality(request: pytest.FixtureRequest) -> Iterator[str]:
    """What `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE` says."""
    yield request.param


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A running receiver."""
    with Receiver() as running:
        yield running


def forked(
    program: str, receiver: Receiver, set_up: str = "built", temporality: str = "cumulative", **variables: str
) -> Ended:
    """Run a program after this set-up; it has to end well and in silence."""
    preference = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": temporality}
    ended = run(SET_UPS[set_up] + TELL + program, receiver, **preference, **variables)
    assert (0, "") == (ended.code, ended.err)
    return ended


def told(receiver: Receiver, metric: str = "business.revenue") -> list[float]:
    """What each writer's points come to, smallest first; no point is below zero."""
    series: dict[str, list[Point]] = defaultdict(list)
    for point in receiver.points(metric):
        assert point["value"] >= 0
        assert point["count"] >= 0
        origin = point["origin"]
        series[f"{origin.resource.get('service.instance.id')!r} {origin.scope_attributes!r}"].append(point)
    return sorted(total for points in series.values() if (total := _total(points)))


def _total(points: list[Point]) -> float:
    values = [(point["time_unix_nano"], point["count"] or point["value"]) for point in points]
    if points[0]["temporality"] == "delta":
        return sum(value for _, value in values)
    return max(values)[1]


def uids(receiver: Receiver) -> list[str]:
    """The id of each event that arrived."""
    return [str(event["attributes"]["log.record.uid"]) for event in receiver.events("business.operation")]


def writers(receiver: Receiver) -> set[str]:
    """Who wrote the events."""
    return {str(event["attributes"]["bizspan.writer.id"]) for event in receiver.events("business.operation")}


@pytest.mark.parametrize("set_up", SET_UPS)
def test_a_child_counts_from_zero_and_its_parent_goes_on(set_up: str, temporality: str, receiver: Receiver) -> None:
    """
    3 before the fork, 2 in the child, 1 in the parent after it: 4 and 2 arrive, each event once.
    """
    forked(
        """
    tell(3)
    child = os.fork()
    tell(1 if child else 2)
    if child:
        wait(child)
        """,
        receiver,
        set_up,
        temporality,
    )

    assert [2, 4] == told(receiver)
    assert [2, 4] == told(receiver, "business.operation.duration")
    assert [2, 4] == told(receiver, "business.events")
    assert 6 == len(uids(receiver)) == len(set(uids(receiver)))
    assert 2 == len(writers(receiver))
    assert 6 == len({(span["trace_id"], span["span_id"]) for span in receiver.spans("checkout")})


@pytest.mark.parametrize(("set_up", "temporality"), PAIRS)
def test_a_child_that_tells_nothing_repeats_nothing(set_up: str, temporality: str, receiver: Receiver) -> None:
    """
    The parent's points do not leave a second time under the child's name.
    """
    forked(
        """
    tell(3)
    child = os.fork()
    if child:
        wait(child)
        tell(1)
        """,
        receiver,
        set_up,
        temporality,
    )

    assert [4] == told(receiver)
    assert [4] == told(receiver, "business.operation.duration")
    assert 4 == len(uids(receiver)) == len(set(uids(receiver)))


def test_each_process_has_an_instance_id_of_its_own(receiver: Receiver) -> None:
    """
    Spans, events and points of one process share one service.instance.id, those of its child another.
    """
    forked(
        """
    tell(1)
    child = os.fork()
    tell(1)
    if child:
        wait(child)
        """,
        receiver,
    )

    kinds = (receiver.spans("checkout"), receiver.events("business.operation"), receiver.points("business.revenue"))
    ids = [{str(record["origin"].resource["service.instance.id"]) for record in records} for records in kinds]
    assert 2 == len(ids[0])
    assert ids[0] == ids[1] == ids[2]
    assert {"shop"} == {str(span["origin"].resource["service.name"]) for span in receiver.spans()}


@pytest.mark.parametrize(("set_up", "temporality"), PAIRS)
def test_a_grandchild_counts_from_zero_too(set_up: str, temporality: str, receiver: Receiver) -> None:
    """
    A daemon's double fork: three writers, each with its own count.
    """
    forked(
        """
    tell(5)
    child = os.fork()
    if child:
        wait(child)
    else:
        tell(2)
        grandchild = os.fork()
        if grandchild:
            wait(grandchild)
        else:
            tell(3)
        """,
        receiver,
        set_up,
        temporality,
    )

    assert [2, 3, 5] == told(receiver)
    assert 10 == len(set(uids(receiver)))
    assert 3 == len(writers(receiver))


@pytest.mark.parametrize("set_up", SET_UPS)
def test_a_fork_while_threads_tell_and_collect_leaves_a_child_that_works(
    set_up: str, receiver: Receiver, long: bool
) -> None:
    """
    Whatever locks other threads hold at that moment, each child tells, flushes and ends.
    """
    rounds = 20 if long else 3
    ended = forked(
        f"""
    stop = threading.Event()
    def keep_telling():
        while not stop.wait(0.0005):  # full speed is more than the exporters take
            tell(1)
    threads = [threading.Thread(target=keep_telling) for _ in range(2)]
    for thread in threads:
        thread.start()
    tell(1)
    for number in range({rounds}):
        child = os.fork()
        if not child:
            stop.set()
            tell(7)
            sys.exit()
        wait(child)
    stop.set()
    for thread in threads:
        thread.join()
    print(bizspan.diagnostics().offered)
        """,
        receiver,
        set_up,
        # The stock exporters of a forked child write into their parent's connection; ours do not.
        **({} if set_up == "built" else {"OTEL_EXPORTER_OTLP_HEADERS": "connection=close"}),
        OTEL_METRIC_EXPORT_INTERVAL="20",
        OTEL_BLRP_SCHEDULE_DELAY="20",
        OTEL_BLRP_MAX_QUEUE_SIZE="200000",
        OTEL_BSP_MAX_QUEUE_SIZE="200000",
        OTEL_BLRP_MAX_EXPORT_BATCH_SIZE="4096",
    )

    parents = int(ended.out)
    # Before SDK 1.40 or so the children of stock providers had no instance id, and their series were one.
    children = rounds if all("service.instance.id" in e["origin"].resource for e in receiver.events()) else 1
    assert [7] * children + [parents] == told(receiver)
    assert 7 * rounds + parents == len(set(uids(receiver))) == len(uids(receiver))


@pytest.mark.parametrize("set_up", SET_UPS)
@pytest.mark.parametrize("moment", ["collecting", "exporting"])
def test_a_fork_in_the_middle_of_a_collection_leaves_a_child_that_works(
    moment: str, set_up: str, receiver: Receiver
) -> None:
    """
    The SDK's locks are held by a thread that the child does not have; it tells and exports all the same.
    """
    stop_at = {
        "collecting": "metrics.get_meter('app').create_observable_gauge('slow', callbacks=[stop])",
        "exporting": "OTLPMetricExporter.export = stop_first(OTLPMetricExporter.export)",
    }
    forked(
        f"""
    from opentelemetry import metrics
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    parent, reached, go_on = os.getpid(), threading.Event(), threading.Event()
    def stop(options=None):
        if os.getpid() == parent:
            reached.set()
            go_on.wait()
        return []
    def stop_first(method):
        return lambda *args, **more: (stop(), method(*args, **more))[1]
    tell(3)
    {stop_at[moment]}
    flushing = threading.Thread(target=metrics.get_meter_provider().force_flush)
    flushing.start()
    reached.wait()
    child = os.fork()
    if not child:
        tell(2)
        sys.exit()
    wait(child)
    go_on.set()
    flushing.join()
        """,
        receiver,
        set_up,
    )

    assert [2, 3] == told(receiver)
    assert 5 == len(set(uids(receiver))) == len(uids(receiver))


def test_workers_of_a_preloading_server_each_count_for_themselves(temporality: str, receiver: Receiver) -> None:
    """
    Like gunicorn --preload: the master tells before it forks, four workers tell, get SIGTERM and leave by sys.exit.
    """
    forked(
        """
    import signal
    tell(2)
    def worker():
        asked = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: asked.set())
        tell(4)
        os.write(ready[1], b"x")
        asked.wait()
        tell(1)
        sys.exit()
    ready = os.pipe()
    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            worker()
        children.append(child)
    for _ in children:
        os.read(ready[0], 1)
    for child in children:
        os.kill(child, signal.SIGTERM)
    for child in children:
        wait(child)
        """,
        receiver,
        temporality=temporality,
    )

    assert [2, 5, 5, 5, 5] == told(receiver)
    assert 22 == len(set(uids(receiver))) == len(uids(receiver))


def test_a_multiprocessing_worker_delivers_before_it_ends(temporality: str, receiver: Receiver) -> None:
    """
    multiprocessing ends its forked workers without exit handlers; what they told arrives all the same.
    """
    forked(
        """
    import multiprocessing
    tell(1)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=tell, args=(3,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        """,
        receiver,
        temporality=temporality,
    )

    assert [1, 3, 3] == told(receiver)
    assert 7 == len(set(uids(receiver))) == len(uids(receiver))


def test_an_operation_that_is_open_at_the_fork_is_told_once(receiver: Receiver) -> None:
    """
    The parent tells it; the child's copy is refused and counted, and what the child does next works.
    """
    ended = forked(
        """
    op = bizspan.operation("deploy").__enter__()
    child = os.fork()
    if child:
        wait(child)
        op.revenue("5.00", "EUR")
        op.ended(None, ())
    else:
        op.ended(None, ())
        tell(1)
        d = bizspan.diagnostics()
        print(d.offered, d.acknowledged, d.refused)
        """,
        receiver,
    )

    assert "2 1 {'forked': 1}\n" == ended.out
    assert ["checkout", "deploy"] == sorted(
        str(event["attributes"]["business.operation.name"]) for event in receiver.events("business.operation")
    )


def test_an_operation_that_nobody_leaves_is_abandoned_by_its_own_process_alone(receiver: Receiver) -> None:
    """
    A child that exits inside a block of its parent does not end it.
    """
    forked(
        """
    tell(1)
    op = bizspan.operation("deploy").__enter__()
    child = os.fork()
    if child:
        wait(child)
    else:
        tell(1)
        """,
        receiver,
    )

    (deploy,) = [e for e in receiver.events() if "deploy" == e["attributes"]["business.operation.name"]]
    assert "abandoned" == deploy["attributes"]["business.operation.outcome_reason"]
    assert 1 == len(receiver.spans("deploy"))


def test_a_fork_that_runs_no_hooks_is_noticed(receiver: Receiver) -> None:
    """
    A fork in C (uWSGI): the child's first record is refused and counted, the next ones arrive.
    """
    ended = forked(
        """
    import ctypes
    tell(3)
    configuration.force_flush()
    child = ctypes.PyDLL(None).fork()
    if child:
        wait(child)
    else:
        tell(3)
        d = bizspan.diagnostics()
        print(d.offered, d.acknowledged, d.refused, flush=True)
        configuration.force_flush()
        os._exit(0)
        """,
        receiver,
        OTEL_METRIC_EXPORT_INTERVAL="600000",
    )

    assert "3 2 {'forked': 1}" == ended.out.splitlines()[0]
    assert 5 == len(set(uids(receiver))) == len(uids(receiver))
