"""The price of one operation: call counts and ratios to the same signals by hand, never nanoseconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bizspan.sdk import _replay
from tests.bench import ours
from tests.bench.by_hand import ByHand
from tests.bench.measure import CallCounter, Calls, Cost, Subject, ratios
from tests.bench.pipelines import (
    NO_SDK,
    RECORDING,
    SAMPLED_OUT,
    STATES,
    Exporters,
    NullLogs,
    NullMetrics,
    signals,
)
from tests.bench.served import FRAMEWORKS, REQUEST_AT_MOST, REQUESTS
from tests.bench.shop import COUNTRY, ORDER, SEGMENT
from tests.bench.targets import BLOCK, DECORATOR, OURS, TARGETS, TOTALS_TO_PROMETHEUS

ROOT: Final = Path(__file__).resolve().parent.parent

# Calls per operation on the application's thread, Python and C. Measured with Python 3.11 and the SDK 1.45.1,
# plus about a tenth: other versions of both make a few more or a few less.
CALLS_AT_MOST: Final = {
    NO_SDK: {BLOCK: 26, DECORATOR: 20},
    SAMPLED_OUT: {BLOCK: 102, DECORATOR: 106},
    RECORDING: {BLOCK: 210, DECORATOR: 213},
}
SDK: Final = tuple(int(part) for part in version("opentelemetry-sdk").split(".")[:2])
# Calls that bizspan adds to a request, on the thread that serves it. Measured: 144, 139 and 176.
REQUEST_CALLS_AT_MOST: Final = {"flask": 159, "django": 153, "fastapi": 194}
# The same on bizspan's own thread, with an SDK whose histogram keeps its sets as 1.45.1 does. Measured: 67.
OWN_CALLS_AT_MOST: Final = 75
# A shared machine measures CPU badly: what the benchmark promises is checked with room, the calls are exact.
ROOM: Final = 1.35


def run_bench(*arguments: str) -> dict[str, Any]:
    """The benchmark's JSON, from a fresh interpreter: no SDK means that nobody set a provider before."""
    command = [sys.executable, "-m", "tests.bench", "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.fixture(scope="module")
def quick_report() -> dict[str, Any]:
    """A short run of what is gated."""
    return run_bench("--part", "states", "--part", "totals", "--rounds", "7", "--operations", "500")


def too_dear(report: dict[str, Any]) -> list[str]:
    """What misses its target even with room."""
    missed: list[str] = []
    for state in STATES:
        target = TARGETS[state]
        for name in OURS:
            cost = report["states"][state]["to_by_hand"][name]
            if cost["app_us"] > ROOM * target.app:
                missed.append(f"{state}, {name}: app thread {cost['app_us']:.2f} of H, target {target.app}")
            if target.total is not None and cost["total_us"] > ROOM * target.total:
                missed.append(f"{state}, {name}: total {cost['total_us']:.2f} of H, target {target.total}")
    if report["totals_ratio"]["total_us"] > ROOM * TOTALS_TO_PROMETHEUS:
        missed.append(f"totals: {report['totals_ratio']['total_us']:.2f} of prometheus_client")
    return missed


@pytest.mark.bench
@pytest.mark.parametrize("state", STATES)
def test_an_operation_makes_few_calls(quick_report: dict[str, Any], state: str) -> None:
    """
    Calls on the application's thread stay within their limit, in each state, as block and as decorator.
    """
    calls = quick_report["states"][state]["calls"]

    over = {name: calls[name]["app"] for name, limit in CALLS_AT_MOST[state].items() if calls[name]["app"] > limit}

    assert {} == over


@pytest.mark.bench
@pytest.mark.skipif(SDK < (1, 45), reason="an older SDK makes H itself cheaper; the calls are gated all the same")
def test_an_operation_costs_a_part_of_the_same_by_hand(quick_report: dict[str, Any]) -> None:
    """
    CPU in parts of the hand-written version stays near the targets; if not, a second run decides.
    """
    missed = too_dear(quick_report)
    if missed:
        again = run_bench("--part", "states", "--part", "totals", "--rounds", "15", "--operations", "1000")
        missed = too_dear(again)

    assert [] == missed


def calls_of_a_request(framework: str, *, ours: bool) -> Calls:
    """Counted in a fresh interpreter: providers can be set once."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.in_process", framework],
        cwd=ROOT,
        env={**os.environ, "BENCH_OURS": "1" if ours else "", "OTEL_SEMCONV_STABILITY_OPT_IN": "http"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return Calls(**json.loads(done.stdout))


@pytest.mark.bench
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_request_makes_few_calls_more(framework: str) -> None:
    """
    What bizspan adds to a request over OpenTelemetry's instrumentation stays within its limit, on each thread.
    """
    ours, alone = calls_of_a_request(framework, ours=True), calls_of_a_request(framework, ours=False)

    assert ours.app - alone.app <= REQUEST_CALLS_AT_MOST[framework]
    if _replay._hashed is not None:
        assert (ours.total - ours.app) - (alone.total - alone.app) <= OWN_CALLS_AT_MOST


@pytest.mark.bench
def test_a_checkout_with_a_database_costs_little_more() -> None:
    """
    CPU of the server for a real checkout stays near that without bizspan; if not, a longer run decides.
    """
    missed = dear_requests(run_bench("--part", "requests", "--rounds", "2", "--operations", "400"))
    if missed:
        missed = dear_requests(run_bench("--part", "requests", "--rounds", "3", "--operations", "800"))

    assert {} == missed


def dear_requests(report: dict[str, Any]) -> dict[str, float]:
    """The ratios of checkouts with a database that are over the target with room, by name."""
    return {
        each["name"]: each["ratio"]
        for each in report["requests"]
        if each["name"].endswith(REQUESTS["/orders"]) and each["ratio"] > ROOM * REQUEST_AT_MOST
    }


def test_by_hand_and_ours_emit_the_same_keys() -> None:
    """
    The comparison is between equals: span, event and every metric carry the same attribute keys.

    Ours adds `bizspan.` keys and metrics for its own accounting; they are measured, and left out here.
    """
    kept = Kept()
    by_hand = signals(RECORDING, kept.exporters)
    ByHand(by_hand).checkout(SEGMENT, COUNTRY, ORDER)
    by_hand.flush()
    by_hand.close()
    expected = kept.keys()
    for position in (0, 1):
        kept = Kept()
        with ours.pipeline(RECORDING, kept.exporters) as pair:
            pair[position].run()
            pair[position].flush()

        assert expected == kept.keys()


def test_the_counter_counts_python_and_c_calls() -> None:
    """
    Two C calls inside one Python call are three calls.
    """

    def measured() -> None:
        len(())
        len(())

    calls = CallCounter().count(Subject("three", measured, measured), 10)

    assert Calls(3.0, 3.3) == calls


def test_ratios_are_taken_round_by_round() -> None:
    """
    A machine that is slow for one round slows both sides, so the ratio stays.
    """
    costs = {
        "ours": [Cost(1.0, 3.0), Cost(10.0, 30.0), Cost(2.0, 6.0)],
        "theirs": [Cost(2.0, 4.0), Cost(20.0, 40.0), Cost(4.0, 8.0)],
    }

    assert Cost(0.5, 0.75) == ratios(costs, "ours", "theirs")


class Kept:
    """Exporters that keep what they get."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        self.logs = KeptLogs()
        self.metrics = KeptMetrics()
        self.exporters = Exporters(self.spans, self.logs, self.metrics)

    def keys(self) -> dict[str, set[str]]:
        """The attribute keys of every signal, by its name, without bizspan's own accounting."""
        found = {f"span {span.name}": set(span.attributes or ()) for span in self.spans.get_finished_spans()}
        for record in self.logs.records:
            found[f"event {record.log_record.event_name}"] = set(record.log_record.attributes or ())
        for data in self.metrics.collected:
            for metric in (m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics):
                points = [set(point.attributes or ()) for point in metric.data.data_points]
                if points and not metric.name.startswith("bizspan."):
                    found[f"metric {metric.name}"] = set[str]().union(*points)
        return {name: {key for key in keys if not key.startswith("bizspan.")} for name, keys in found.items()}


class KeptLogs(NullLogs):
    """Keeps log records."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def export(self, batch: Sequence[Any]) -> None:
        self.records.extend(batch)


class KeptMetrics(NullMetrics):
    """Keeps what was collected."""

    def __init__(self) -> None:
        super().__init__()
        self.collected: list[MetricsData] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object) -> MetricExportResult:
        self.collected.append(metrics_data)
        return MetricExportResult.SUCCESS
