"""A shop's day: operations, money, refunds, features, staff, a release that fails more often, and the spans of it."""

from __future__ import annotations

import random
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bizspan import names
from bizspan.lens import Intake

HOUR_NS: Final = 3_600 * 10**9
START_NS: Final = 1_790_000_000 * 10**9 // HOUR_NS * HOUR_NS
DAY: Final = "period=2026-09-21..2026-09-23"
_COUNTRIES: Final = {"DE": "EUR", "FR": "EUR", "NL": "EUR", "US": "USD", "GB": "GBP"}


def pair(key: str, value: Any) -> KeyValue:
    """One attribute."""
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    if isinstance(value, float):
        return KeyValue(key=key, value=AnyValue(double_value=value))
    return KeyValue(key=key, value=AnyValue(string_value=str(value)))


def event(
    intake: Intake, uid: str, time_ns: int, facts: dict[str, Any], *, name: str = names.EVENT_OPERATION,
    trace_id: str = "", resource: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Store one event."""
    request = ExportLogsServiceRequest()
    add_event(request, uid, time_ns, facts, name=name, trace_id=trace_id, resource=resource)
    intake.take("logs", "protobuf", request.SerializeToString())


def add_event(
    request: ExportLogsServiceRequest, uid: str, time_ns: int, facts: dict[str, Any], *,
    name: str = names.EVENT_OPERATION, trace_id: str = "", resource: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Add one event to a request; to its last resource, where it is the same."""
    told = [pair(*each) for each in (resource or {"service.name": "shop"}).items()]
    if not request.resource_logs or list(request.resource_logs[-1].resource.attributes) != told:
        request.resource_logs.add().resource.attributes.extend(told)
        request.resource_logs[-1].scope_logs.add()
    record = request.resource_logs[-1].scope_logs[0].log_records.add()
    record.time_unix_nano, record.event_name = time_ns, name
    record.attributes.extend([pair(names.RECORD_UID, uid), *(pair(*each) for each in facts.items())])
    if trace_id:
        record.trace_id, record.span_id = bytes.fromhex(trace_id), bytes.fromhex(trace_id[:16])


def sold(minor: int, currency: str, kind: str = names.REVENUE) -> dict[str, Any]:
    """The facts of an amount."""
    return {names.MINOR_UNITS_KEYS[kind]: minor, names.CURRENCY_KEYS[kind]: currency}


def fill(intake: Intake, *, visits: int = 600, hours: int = 24, start_ns: int = START_NS, seed: int = 3) -> None:
    """
    Store a day of this shop.

    Args:
        intake: Where to.
        visits: How many customers look at something; about half of them check out.
        hours: How long the day is. Release 1.5 comes after half of it.
        start_ns: When it begins.
        seed: Of what happens.
    """
    chance = random.Random(seed)
    logs, traces = ExportLogsServiceRequest(), ExportTraceServiceRequest()
    for number in range(visits):
        at = start_ns + round(hours * HOUR_NS * (number + chance.random()) / visits)
        _visit(chance, logs, traces, number, at, is_late=number > visits / 2)
        if number % 400 == 399 or number == visits - 1:
            intake.take("logs", "protobuf", logs.SerializeToString())
            intake.take("traces", "protobuf", traces.SerializeToString())
            logs, traces = ExportLogsServiceRequest(), ExportTraceServiceRequest()


def _visit(
    chance: random.Random, logs: ExportLogsServiceRequest, traces: ExportTraceServiceRequest, number: int, at: int,
    *, is_late: bool,
) -> None:  # fmt: skip
    country = chance.choices([*_COUNTRIES], (5, 3, 2, 3, 1))[0]
    currency = _COUNTRIES[country]
    version = "1.5" if is_late and chance.random() < 0.9 else "1.4"
    resource = {"service.name": "shop", "service.version": version}
    common: dict[str, Any] = {
        names.COUNTRY: country,
        names.SEGMENT: chance.choices(("consumer", "smb", "enterprise"), (6, 3, 1))[0],
        names.CHANNEL: chance.choice(("web", "app")),
        names.CUSTOMER: f"{number:032x}",
    }
    if chance.random() < 0.6:
        common[names.CAMPAIGN] = chance.choice(("spring", "newsletter", "tv"))
    if chance.random() < 0.05:
        common[names.TRAFFIC] = "staff"

    def tell(what: str, facts: dict[str, Any], at: int, *, name: str = names.EVENT_OPERATION, trace: str = "") -> None:
        told = {names.OPERATION_NAME: what, **common, **facts} if name == names.EVENT_OPERATION else {**common, **facts}
        add_event(logs, f"{number}-{what}", at, told, name=name, trace_id=trace, resource=resource)

    def ends(outcome: str, seconds: float, reason: str = "") -> dict[str, Any]:
        why = {names.OPERATION_REASON: reason} if reason else {}
        return {names.OPERATION_OUTCOME: outcome, names.OPERATION_DURATION: seconds, **why}

    tell("product.view", ends(names.SUCCESS, 0.02 + chance.random() / 20), at)
    if chance.random() < 0.3:
        return
    tell("cart.add", ends(names.SUCCESS, 0.03 + chance.random() / 20), at + 20 * 10**9)
    if chance.random() < 0.25:
        return
    seconds = min(4.0, chance.lognormvariate(-1.6, 0.8))
    minor = chance.randrange(900, 24_000)
    odds = 0.9 - (0.35 if seconds > 1 else 0) - (0.25 if version == "1.5" and country == "DE" else 0)
    outcome = names.SUCCESS if chance.random() < odds else chance.choice((names.REJECTED, names.REJECTED, names.FAILED))
    reason = "" if outcome == names.SUCCESS else "card_declined" if outcome == names.REJECTED else "PaymentError"
    trace = f"{chance.getrandbits(127) + 1:032x}"
    checkout = {
        **ends(outcome, seconds, reason), **sold(minor, currency, names.VALUE),
        **(sold(minor, currency) if outcome == names.SUCCESS else {}),
        names.FEATURE: chance.choices(("checkout", "one-click", "gift-card"), (60, 39, 1))[0],
        names.ORDER: f"o-{number}",
    }  # fmt: skip
    tell("checkout", checkout, at + 60 * 10**9, trace=trace)
    if chance.random() < 0.03 and outcome == names.SUCCESS:
        tell("refund", sold(minor // 2, currency, names.REFUND), at + 90 * 10**9, name=names.EVENT_REFUND)
    add_trace(traces, trace, at + 60 * 10**9, seconds, is_failed=outcome == names.FAILED, version=version)


def add_trace(
    request: ExportTraceServiceRequest, trace_id: str, at: int, seconds: float, *, is_failed: bool, version: str = "1.4"
) -> None:
    """Add a request's spans: the entry, the operation in it, a payment and a query."""
    resource = request.resource_spans.add()
    resource.resource.attributes.extend([pair("service.name", "shop"), pair("service.version", version)])
    spans = resource.scope_spans.add().spans
    root = trace_id[:16]
    length = round(seconds * 1e9)
    told = (
        ("POST /checkout", Span.SPAN_KIND_SERVER, 0.0, 1.0, None),
        ("checkout", Span.SPAN_KIND_INTERNAL, 0.05, 0.95, 0),
        ("SELECT carts", Span.SPAN_KIND_CLIENT, 0.08, 0.2, 1),
        ("POST payments", Span.SPAN_KIND_CLIENT, 0.25, 0.9, 1),
    )
    for number, (name, kind, begin, end, parent) in enumerate(told):
        span = spans.add(name=name, kind=kind)
        span.trace_id = bytes.fromhex(trace_id)
        span.span_id = bytes.fromhex(root[:15] + f"{number:x}")
        if parent is not None:
            span.parent_span_id = bytes.fromhex(root[:15] + f"{parent:x}")
        span.start_time_unix_nano, span.end_time_unix_nano = at + round(begin * length), at + round(end * length)
        if name == "checkout":
            span.attributes.extend([pair(names.OPERATION_NAME, "checkout")])
        if is_failed and number in (0, 1):
            span.status.code = Status.STATUS_CODE_ERROR
            span.status.message = "PaymentError"
