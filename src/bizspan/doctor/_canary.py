"""
The program that sends the canaries, through the exporters as they are configured. It runs in a process of its own.

In a process of its own, because an exporter may hang for longer than anybody wants to wait: a process can be ended.
It reads one JSON object from standard input and writes one JSON line for each signal.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TextIO
from uuid import uuid4

from bizspan import names
from bizspan.doctor._finding import host_and_port
from bizspan.doctor._outcome import CANARY, Outcome
from bizspan.doctor._probe import probe
from bizspan.doctor._settings import GRPC, Target, bundle_variable, targets
from bizspan.doctor._watch import Watch, watched_client, watched_session
from bizspan.errors import SetupError


def main() -> None:
    """Send a canary for each signal that standard input names."""
    # What libraries print must not get among our lines.
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    task: dict[str, Any] = json.load(sys.stdin)
    wanted = [target for target in targets(os.environ) if target.is_otlp and target.signal in task["signals"]]
    lock = threading.Lock()
    threads = [threading.Thread(target=_examine, args=(target, task, lines, lock), daemon=True) for target in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _examine(target: Target, task: dict[str, Any], lines: TextIO, lock: threading.Lock) -> None:
    found = Outcome(target.signal)
    try:
        found = _sent(target, task)
        if _is_unclear(found) and target.signal not in task["no_probe"]:
            found = _probed(target, found, task["probe_s"])
    except Exception as error:
        found = replace(found, error=type(error).__name__)
    with lock:
        lines.write(json.dumps(found.as_dict()) + "\n")
        lines.flush()


def _sent(target: Target, task: dict[str, Any]) -> Outcome:
    found = Outcome(target.signal)
    try:
        if task["ask_configure"]:
            wanted = tuple(target.signal == signal for signal in ("traces", "metrics", "logs"))
            import_module("bizspan.sdk._exporters").from_environment(wanted)
    except SetupError as error:
        return replace(found, setup_error=str(error))
    watch = Watch(target)
    try:
        exporter = _exporter(target, watch)
        resource = import_module("bizspan.sdk._resource").build_resource(task["service_name"], task["environment"], {})
    except Exception as error:
        return replace(found, not_made=type(error).__name__)
    sending = threading.Thread(target=_send, args=(target.signal, exporter, resource, watch), daemon=True)
    sending.start()
    deadline = time.monotonic() + task["timeout_s"]
    watch.seen.wait(task["timeout_s"])
    if watch.is_good:  # the exporter has the last word, and it comes at once
        sending.join(max(0.0, deadline - time.monotonic()))
    with watch.lock:
        found = watch.outcome
    if sending.is_alive():
        # Ends the exporter's own waiting for a next attempt; what it knows is enough.
        threading.Thread(target=exporter.shutdown, daemon=True).start()
    else:
        exporter.shutdown()
    return found


def _exporter(target: Target, watch: Watch) -> Any:
    """The configured exporter, with its request in sight."""
    name = "otlp_proto_grpc" if target.protocol == GRPC else "otlp_proto_http"
    (entry,) = list(entry_points(group=f"opentelemetry_{target.signal}_exporter", name=name))[:1]
    make: Any = entry.load()
    if target.protocol == GRPC:
        exporter = make()
        client = getattr(exporter, "_client", None)
        if hasattr(client, "Export"):
            exporter._client = watched_client(client, watch)
        return exporter
    own = f"OTEL_PYTHON_EXPORTER_OTLP_HTTP_{target.signal.upper()}_CREDENTIAL_PROVIDER"
    if os.environ.get(own) or os.environ.get("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER"):
        return make()  # the provider makes the session; what the exporter says has to do
    return make(session=watched_session(watch))


class Through:
    """
    Hands a batch to the exporter and keeps what it said.

    Args:
        exporter: The real one.
        watch: Told about it.
    """

    def __init__(self, exporter: Any, watch: Watch) -> None:
        self._exporter = exporter
        self._watch = watch

    def export(self, batch: Any) -> Any:
        """Export."""
        result = self._exporter.export(batch)
        self._watch.update(accepted=str(getattr(result, "name", "")) == "SUCCESS")
        return result

    def shutdown(self) -> None:
        """The exporter is shut down elsewhere."""

    def force_flush(self, timeout_millis: int = 0) -> bool:
        """Nothing waits here."""
        return True


def _send(signal: str, exporter: Any, resource: Any, watch: Watch) -> None:
    try:
        _SENDERS[signal](Through(exporter, watch), resource)
    except Exception as error:
        watch.update(error=type(error).__name__)
    watch.seen.set()


def _send_trace(through: Any, resource: Any) -> None:
    from opentelemetry.sdk.trace import TracerProvider, sampling
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    # Sampled for certain, whatever OTEL_TRACES_SAMPLER says of the application's own.
    provider = TracerProvider(resource=resource, sampler=sampling.ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(through))
    provider.get_tracer(names.SCOPE).start_span(CANARY, attributes={names.TRAFFIC: "test"}).end()


def _send_metric(through: Any, resource: Any) -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], resource, shutdown_on_exit=False)
    provider.get_meter(names.SCOPE).create_gauge(CANARY).set(1, {names.TRAFFIC: "test"})
    through.export(reader.get_metrics_data())


def _send_log(through: Any, resource: Any) -> None:
    from opentelemetry._logs import SeverityNumber
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(through))
    provider.get_logger(names.SCOPE).emit(
        event_name=CANARY,
        timestamp=time.time_ns(),
        severity_number=SeverityNumber.INFO,
        attributes={names.TRAFFIC: "test", names.RECORD_UID: str(uuid4())},
    )


_SENDERS = {"traces": _send_trace, "metrics": _send_metric, "logs": _send_log}


def _is_unclear(found: Outcome) -> bool:
    if found.setup_error or found.not_made or found.status is not None:
        return False
    return found.grpc_code not in ("OK", "UNAUTHENTICATED", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED")


def _probed(target: Target, found: Outcome, timeout_s: float) -> Outcome:
    where = host_and_port(target.url, target.default_port)
    if where is None:
        return found
    client = (target.client_certificate, target.client_key) if target.client_certificate else None
    is_grpc = target.protocol == GRPC
    bundle = "" if is_grpc else bundle_variable(os.environ)
    seen = probe(*where, target.uses_tls, timeout_s, os.environ.get(bundle, target.ca_file), client, h2=is_grpc)
    return replace(found, stage=seen.stage, problem=seen.problem, ca_variable=bundle)
