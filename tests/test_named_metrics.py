"""Business context on named instruments of other libraries: which dimensions, which instruments, and what it costs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

import bizspan
from _collector import Receiver
from bizspan import Attribute, Vocabulary, _entry, _guard, _signals, diagnostics
from bizspan._facts import Hasher
from bizspan.sdk import Exporters, set_up, with_business_context
from bizspan.sdk._named_metrics import Added, SharedBudgets
from bizspan.testing import capture
from bizspan.vocabulary import merged
from tests.bench.measure import CallCounter, Subject
from tests.child import run
from tests.providers import CUMULATIVE, DELTA, HASH_KEY, Set, log_exporter, points, reader, size, take

SEGMENT, COUNTRY, PLAN = "business.customer.segment", "geo.country.iso_code", "business.plan"
HTTP = "http.server.request.duration"
DURATION = {HTTP: ("segment", "country")}

Named = Mapping[str, Iterable[str] | None]


@contextmanager
def wrapped(named: Named, *readers: MetricReader, views: Sequence[View] = (), **options: Any) -> Generator[Meter]:
    """bizspan on an application's meter provider that is wrapped; gives the meter of another library."""
    inner = MeterProvider(readers, views=views, shutdown_on_exit=False)
    provider = with_business_context(inner, named, vocabulary=options.get("vocabulary", ()))
    try:
        with bizspan.configure(export="none", hash_key=HASH_KEY, meter_provider=provider, **options):
            yield provider.get_meter("other_library")
    finally:
        inner.shutdown()


@contextmanager
def built(named: Named, memory: Any) -> Generator[None]:
    """bizspan on providers of its own, the meter provider ending in this reader."""
    settings = _signals.Settings(declared=merged(()), hasher=Hasher(HASH_KEY, "k1"))
    checked: dict[str, tuple[str, ...] | None] = {
        name: None if facts is None else tuple(facts) for name, facts in named.items()
    }
    exporters = Exporters(None, memory, log_exporter())
    _, _, undo, _ = set_up(settings, (None, None, None), "shop", None, {}, exporters, named=checked)
    try:
        yield
    finally:
        undo(2.5)


@contextmanager
def request(source: Callable[[], Mapping[str, object]], sampler: Sampler = ALWAYS_ON) -> Generator[trace.Span]:
    """A request inside its server span, as a middleware of ours makes one; the scope is left, the span goes on."""
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    with provider.get_tracer("server").start_as_current_span("GET /", kind=trace.SpanKind.SERVER) as span:
        entry = _entry.begin(source)
        assert entry is not None
        entry.end()
        entry.leave()
        yield span


def sets(memory: Any, name: str) -> dict[Set, float]:
    """The points of one metric in one collection: count or value by attribute set."""
    return {frozenset(point.attributes.items()): size(point) for point in points(memory.get_metrics_data(), name)}


def one(**attributes: object) -> Set:
    """An attribute set, by the keywords of facts."""
    keys = {"segment": SEGMENT, "country": COUNTRY, "plan": PLAN}
    return frozenset((keys.get(name, name), value) for name, value in attributes.items())


# --- which dimensions -------------------------------------------------------------------------------------


def test_a_named_histogram_carries_the_named_dimensions_in_scope() -> None:
    """
    Of the facts in force those two that are named join what the measurement says itself.
    """
    memory = reader()
    with wrapped(DURATION, memory) as meter:
        histogram = meter.create_histogram(HTTP)
        with bizspan.context(segment="gold", country="DE", plan="pro", order="o-1"):
            histogram.record(0.2, {"route": "/"})
        histogram.record(0.3, {"route": "/"})

        assert {one(route="/", segment="gold", country="DE"): 1, one(route="/"): 1} == sets(memory, HTTP)


def test_a_named_counter_without_a_list_carries_every_dimension() -> None:
    """
    None stands for every declared dimension, yours too; other facts, personal ones among them, never.
    """
    memory = reader()
    shop = Vocabulary("shop", [Attribute(name="stage", dimension=True), Attribute(name="basket")])
    with wrapped({"orders": None}, memory, vocabulary=shop) as meter:
        with bizspan.context(segment="gold", stage="won", basket="b-1", order="o-1", customer="c-1", other="x"):
            meter.create_counter("orders").add(2)

        assert {frozenset({(SEGMENT, "gold"), ("shop.stage", "won")}): 2} == sets(memory, "orders")


def test_a_provider_wrapped_before_the_vocabulary_is_known_takes_every_dimension_later() -> None:
    """
    Without a list, the vocabulary is that of configure(), whenever it comes.
    """
    memory = reader()
    inner = MeterProvider([memory], shutdown_on_exit=False)
    provider = with_business_context(inner, {"orders": None})
    counter = provider.get_meter("other_library").create_counter("orders")
    counter.add(1)
    shop = Vocabulary("shop", [Attribute(name="stage", dimension=True)])
    with bizspan.configure(export="none", meter_provider=provider, vocabulary=shop), bizspan.context(stage="won"):
        counter.add(1)

    assert {frozenset[Any](): 1, frozenset({("shop.stage", "won")}): 1} == sets(memory, "orders")
    inner.shutdown()


def test_what_the_measurement_says_itself_wins() -> None:
    """
    An explicit attribute stays, and the ambient value of its key takes no room in the budget.
    """
    memory = reader()
    shop = Vocabulary("shop", [Attribute(name="stage", dimension=True, budget=1)])
    with wrapped({"orders": ("stage",)}, memory, vocabulary=shop) as meter:
        counter = meter.create_counter("orders")
        with bizspan.context(stage="lost"):
            counter.add(1, {"shop.stage": "told"})
        with bizspan.context(stage="won"):
            counter.add(1)

        assert {frozenset({("shop.stage", "told")}): 1, frozenset({("shop.stage", "won")}): 1} == sets(memory, "orders")


def test_the_callers_attributes_are_not_changed() -> None:
    """
    The dictionary that a library passes again and again stays as it is.
    """
    attributes = {"route": "/"}
    with wrapped({"orders": None}, reader()) as meter, bizspan.context(segment="gold"):
        meter.create_counter("orders").add(1, attributes)

    assert {"route": "/"} == attributes


def test_case_and_spaces_of_a_name_do_not_count() -> None:
    """
    Names are compared as OpenTelemetry compares them.
    """
    memory = reader()
    with wrapped({"Orders.Size": ("segment",)}, memory) as meter, bizspan.context(segment="gold"):
        meter.create_counter("orders.SIZE").add(1)

        assert {one(segment="gold"): 1} == sets(memory, "orders.size")


def test_only_dimensions_are_added_whatever_is_named() -> None:
    """
    Should another vocabulary make a named fact something else, it stays off the metric.
    """
    shop = Vocabulary("shop", [Attribute(name="stage", dimension=True)])
    told = Vocabulary("shop", [Attribute(name="stage")])
    memory = reader()
    inner = MeterProvider([memory], shutdown_on_exit=False)
    provider = with_business_context(inner, {"orders": ("stage",)}, vocabulary=shop)
    with bizspan.configure(export="none", meter_provider=provider, vocabulary=told), bizspan.context(stage="won"):
        provider.get_meter("other_library").create_counter("orders").add(1)

    assert {frozenset[Any](): 1} == sets(memory, "orders")
    assert Added(("stage",), SharedBudgets()).to(None, None) is None
    inner.shutdown()


# --- whose facts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [ALWAYS_ON, ALWAYS_OFF], ids=["sampled", "unsampled"])
def test_after_the_scope_was_left_the_facts_are_those_of_the_current_entry_span(sampler: Sampler) -> None:
    """
    An instrumentation measures when our scope is gone; its server span is still current, sampled or not.
    """
    memory = reader()
    with wrapped(DURATION, memory) as meter:
        histogram = meter.create_histogram(HTTP)
        with request(lambda: {"segment": "gold", "country": "DE"}, sampler):
            histogram.record(0.2)
        histogram.record(0.3)

        assert {one(segment="gold", country="DE"): 1, frozenset[Any](): 1} == sets(memory, HTTP)


def test_the_context_of_the_measurement_names_the_request() -> None:
    """
    A server span that was left is found in `context=`, whatever is current.
    """
    memory = reader()
    with wrapped(DURATION, memory) as meter:
        histogram = meter.create_histogram(HTTP)
        with request(lambda: {"segment": "gold"}) as first:
            pass
        with request(lambda: {"segment": "silver"}):
            histogram.record(0.2, {}, set_span_in_context(first, Context()))
            histogram.record(0.2, {}, Context())

        assert {one(segment="gold"): 1, frozenset[Any](): 1} == sets(memory, HTTP)


def test_a_fact_learned_mid_request_is_on_the_measurement() -> None:
    """
    What annotate() tells inside the request counts for the measurement after it.
    """
    memory = reader()
    with wrapped(DURATION, memory) as meter:
        histogram = meter.create_histogram(HTTP)
        with (
            TracerProvider(shutdown_on_exit=False)
            .get_tracer("server")
            .start_as_current_span("GET /", kind=trace.SpanKind.SERVER)
        ):
            entry = _entry.begin(lambda: {"segment": "gold"})
            assert entry is not None
            bizspan.annotate(country="DE")
            entry.leave()
            histogram.record(0.2)

        assert {one(segment="gold", country="DE"): 1} == sets(memory, HTTP)


def test_inside_a_request_the_scope_in_force_wins() -> None:
    """
    An inner context is closer than the request, and the request closer than another one's span.
    """
    memory = reader()
    with wrapped(DURATION, memory) as meter, request(lambda: {"segment": "other", "country": "FR"}) as other:
        histogram = meter.create_histogram(HTTP)
        entry = _entry.begin(lambda: {"segment": "gold"})
        assert entry is not None
        with bizspan.context(country="DE"):
            histogram.record(0.2, {}, set_span_in_context(other))
        entry.leave()

        assert {one(segment="gold", country="DE"): 1} == sets(memory, HTTP)


def test_a_scope_around_the_request_does_not_hide_it() -> None:
    """
    A test client runs inside the test's own context(): the request has those facts and its own.
    """
    memory = reader()
    with wrapped(DURATION, memory) as meter, bizspan.context(country="DE", segment="outer"):
        histogram = meter.create_histogram(HTTP)
        with request(lambda: {"segment": "gold"}), trace.use_span(trace.get_current_span()):
            histogram.record(0.2)

        assert {one(segment="gold", country="DE"): 1} == sets(memory, HTTP)


def test_a_scope_of_its_own_after_the_request_wins() -> None:
    """
    A context() opened when the request's scope was left is what is in force.
    """
    memory = reader()
    with wrapped(DURATION, memory) as meter, request(lambda: {"segment": "gold", "country": "DE"}):
        with bizspan.context(segment="later"):
            meter.create_histogram(HTTP).record(0.2)

        assert {one(segment="later"): 1} == sets(memory, HTTP)


def test_without_configure_the_providers_that_are_set_are_enough() -> None:
    """
    An application that never calls configure() but sets a wrapped provider gets its context too.
    """
    ended = run(
        """
        import bizspan
        from bizspan.sdk import with_business_context
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from tests.providers import points, reader
        memory = reader()
        metrics.set_meter_provider(with_business_context(MeterProvider([memory]), {"orders": ("segment",)}))
        with bizspan.context(segment="gold"):
            metrics.get_meter("shop").create_counter("orders").add(1)
        print([dict(point.attributes) for point in points(memory.get_metrics_data(), "orders")])
        """
    )

    assert (0, "[{'business.customer.segment': 'gold'}]\n", "") == (ended.code, ended.out, ended.err)


# --- which instruments ------------------------------------------------------------------------------------

KINDS = [
    "create_counter",
    "create_histogram",
    "create_up_down_counter",
    "create_gauge",
    "create_observable_counter",
    "create_observable_gauge",
    "create_observable_up_down_counter",
]
REFUSED = KINDS[2:]


@pytest.mark.parametrize("create", KINDS)
def test_an_instrument_that_is_not_named_is_the_underlying_one(create: str) -> None:
    """
    Nothing stands between a library and its instrument: it is the SDK's own object.
    """
    inner = MeterProvider(shutdown_on_exit=False)
    meter = with_business_context(inner, DURATION).get_meter("other_library", "1", "urn:x", {"a": "b"})

    ours = getattr(meter, create)("requests", unit="1", description="How many.")

    theirs = getattr(inner.get_meter("other_library", "1", "urn:x", {"a": "b"}), create)
    assert theirs("requests", unit="1", description="How many.") is ours


def test_an_instrument_that_is_not_named_makes_no_further_call() -> None:
    """
    Adding to it costs as many calls with the wrapped provider as with the plain one; to a named one, more.
    """
    calls: dict[str, float] = {}
    cases: dict[str, Named | None] = {"plain": None, "not named": {"others": None}, "named": {"orders": None}}
    for name, named in cases.items():
        inner = MeterProvider([reader()], shutdown_on_exit=False)
        provider = inner if named is None else with_business_context(inner, named)
        with bizspan.configure(export="none", meter_provider=provider), bizspan.context(segment="gold"):
            counter = provider.get_meter("other_library").create_counter("orders")
            calls[name] = CallCounter().count(Subject(name, partial(counter.add, 1), lambda: None), 100).app
        inner.shutdown()

    assert calls["plain"] == calls["not named"]
    assert calls["named"] > calls["plain"]


@pytest.mark.parametrize("create", REFUSED)
def test_other_kinds_are_left_alone_and_said_once(create: str, caplog: pytest.LogCaptureFixture) -> None:
    """
    A named gauge, up-down counter or observable is the underlying one, and a warning says which and why.
    """
    _guard.forget_said()
    inner = MeterProvider(shutdown_on_exit=False)
    meter = with_business_context(inner, {"requests.active": None}).get_meter("other_library")

    with caplog.at_level(logging.WARNING, "bizspan"):
        instruments = [getattr(meter, create)("requests.active") for _ in range(2)]

    assert instruments[0] is getattr(inner.get_meter("other_library"), create)("requests.active")
    (said,) = [record.message for record in caplog.records if record.name == "bizspan"]
    assert "'requests.active', which is a" in said
    assert said.endswith("Take it out of metric_dimensions.")


def test_wrapped_instruments_are_still_what_they_were() -> None:
    """
    They are counters and histograms of the API, and give away what the SDK's say about themselves.
    """
    inner = MeterProvider(shutdown_on_exit=False)
    meter = with_business_context(inner, {"a": None, "b": None}).get_meter("lib", "1")

    counter = meter.create_counter("a", "1", "The a.")
    histogram = meter.create_histogram("b", unit="s", explicit_bucket_boundaries_advisory=[1.0])

    assert isinstance(counter, metrics.Counter)
    assert isinstance(histogram, metrics.Histogram)
    assert ["a", "1", "The a."] == [getattr(counter, part) for part in ("name", "unit", "description")]
    assert hasattr(histogram, "unit")
    assert ("lib", "1", inner.get_meter("lib", "1").schema_url) == (meter.name, meter.version, meter.schema_url)
    assert not hasattr(counter, "missing")


def test_the_boundaries_that_a_library_advises_reach_the_histogram() -> None:
    """
    Everything that a library says when it makes an instrument is handed on.
    """
    memory = reader()
    with wrapped(DURATION, memory) as meter:
        meter.create_histogram(HTTP, "s", explicit_bucket_boundaries_advisory=[1.0, 2.0]).record(1.5)
        (point,) = points(memory.get_metrics_data(), HTTP)

    assert ((1.0, 2.0), [0, 1, 0]) == (tuple(point.explicit_bounds), list(point.bucket_counts))


# --- readers, views, budgets ------------------------------------------------------------------------------


def test_a_view_sees_the_dimensions_and_may_drop_them() -> None:
    """
    Dimensions are attributes like any other: a View that keeps one key keeps that one alone.
    """
    memory = reader()
    view = View(instrument_name=HTTP, attribute_keys={COUNTRY})
    with wrapped(DURATION, memory, views=[view]) as meter:
        histogram = meter.create_histogram(HTTP)
        for segment in ("gold", "silver"):
            with bizspan.context(segment=segment, country="DE"):
                histogram.record(0.2, {"route": "/"})

        assert {one(country="DE"): 2} == sets(memory, HTTP)


def test_every_reader_gets_them_in_its_own_temporality() -> None:
    """
    A cumulative and a delta reader beside each other report the same sets.
    """
    total, delta = reader(CUMULATIVE), reader(DELTA)
    with wrapped({"orders": None}, total, delta) as meter:
        counter = meter.create_counter("orders")
        read: list[tuple[dict[Set, float], dict[Set, float]]] = []
        for _ in range(2):
            with bizspan.context(segment="gold"):
                counter.add(3)
            read.append((sets(total, "orders"), sets(delta, "orders")))

    gold = one(segment="gold")
    assert [({gold: 3}, {gold: 3}), ({gold: 6}, {gold: 3})] == read


def test_beyond_its_budget_a_dimension_is_folded_alone() -> None:
    """
    The tail of one dimension becomes __other__ on every named instrument; the other dimension stays right.
    """
    memory = reader()
    shop = Vocabulary("shop", [Attribute(name="stage", dimension=True, budget=2)])
    with wrapped({"orders": None, "orders.size": None}, memory, vocabulary=shop) as meter:
        counter, histogram = meter.create_counter("orders"), meter.create_histogram("orders.size")
        for number in range(100):
            with bizspan.context(stage=f"s{number}", segment="gold"):
                counter.add(1)
        with bizspan.context(stage="s99", segment="gold"):
            histogram.record(1)
        with bizspan.context(stage="s1", segment="gold"):
            histogram.record(1)

        gold = (SEGMENT, "gold")
        assert {
            frozenset({("shop.stage", "s0"), gold}): 1,
            frozenset({("shop.stage", "s1"), gold}): 1,
            frozenset({("shop.stage", "__other__"), gold}): 98,
        } == sets(memory, "orders")
        assert {
            frozenset({("shop.stage", "__other__"), gold}): 1,
            frozenset({("shop.stage", "s1"), gold}): 1,
        } == sets(memory, "orders.size")


def test_threads_at_once_stay_within_the_budget_and_lose_nothing() -> None:
    """
    Eight threads with values of their own: exactly as many kept as the budget allows, and every measurement is there.
    """
    memory = reader()
    shop = Vocabulary("shop", [Attribute(name="stage", dimension=True, budget=10)])
    started = threading.Barrier(8)
    with wrapped({"orders": None}, memory, vocabulary=shop) as meter:
        counter = meter.create_counter("orders")

        def work(worker: int) -> None:
            started.wait()
            for number in range(200):
                with bizspan.context(stage=f"s{worker}-{number}"):
                    counter.add(1)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        read = sets(memory, "orders")

    other = frozenset({("shop.stage", "__other__")})
    assert (11, 1590, 1600) == (len(read), read[other], sum(read.values()))


def test_a_lock_that_a_parent_held_does_not_hold_the_child() -> None:
    """
    Budgets of another process take a fresh lock: the thread that held the old one is not there.
    """
    budgets = SharedBudgets()
    budgets.declare({"k": 1})
    held = budgets._lock
    holder = threading.Thread(target=held.acquire)
    holder.start()
    holder.join()
    budgets._pid = -1

    assert [{"k": "a"}, {"k": "__other__"}] == [budgets.fit({"k": "a"}), budgets.fit({"k": "b"})]


# --- nothing is lost --------------------------------------------------------------------------------------


class Unreadable(NonRecordingSpan):
    """A span of someone else's that cannot be looked up."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError("secret-in-the-text")


def test_a_step_that_fails_loses_the_dimensions_and_not_the_measurement(production_guard: None) -> None:
    """
    The measurement is there as it was told, nothing is raised, and the failure is counted.
    """
    memory = reader()
    before = _guard.swallowed_errors.values().get("adding dimensions", 0)
    span = Unreadable(SpanContext(1, 2, False, TraceFlags(0)))
    with wrapped({"orders": None}, memory) as meter:
        meter.create_counter("orders").add(1, {"route": "/"}, set_span_in_context(span))

        assert {one(route="/"): 1} == sets(memory, "orders")
    assert before + 1 == _guard.swallowed_errors.values()["adding dimensions"]


def test_a_resolver_that_raises_loses_its_facts_only() -> None:
    """
    Facts of a request whose function fails are missing, and counted; its measurement is there.
    """
    memory = reader()

    def fails() -> Mapping[str, object]:
        raise ValueError("no user")

    with wrapped(DURATION, memory) as meter, request(fails):
        meter.create_histogram(HTTP).record(0.2, {"route": "/"})

        assert {one(route="/"): 1} == sets(memory, HTTP)
        assert 1 == diagnostics().values_refused["extractor_failed"]


def test_the_error_of_the_inner_instrument_is_the_callers() -> None:
    """
    What the SDK raises for a wrong amount, it raises as without us.
    """
    with wrapped({"orders": None}, reader()) as meter, bizspan.context(segment="gold"):
        counter: Any = meter.create_counter("orders")
        with pytest.raises(TypeError):
            counter.add("three")


def test_instruments_outlive_the_configuration() -> None:
    """
    After shutdown() they hand their measurements on as they are.
    """
    memory = reader()
    inner = MeterProvider([memory], shutdown_on_exit=False)
    provider = with_business_context(inner, {"orders": None})
    counter = provider.get_meter("other_library").create_counter("orders")
    with bizspan.configure(export="none", meter_provider=provider):
        pass
    with bizspan.context(segment="gold"):
        counter.add(1)

    assert {frozenset[Any](): 1} == sets(memory, "orders")
    inner.shutdown()


# --- providers --------------------------------------------------------------------------------------------


def test_the_provider_that_configure_builds_is_wrapped_and_taken_back() -> None:
    """
    The global provider adds the dimensions until shutdown(); then none is set, and a next one may be.
    """
    for segment in ("gold", "silver"):
        memory = reader()
        with built({"orders": ("segment",)}, memory), bizspan.context(segment=segment):
            metrics.get_meter("other_library").create_counter("orders").add(1)
            metrics.get_meter("other_library").create_counter("others").add(1)

            assert {one(segment=segment): 1} == sets(memory, "orders")
            assert {frozenset[Any](): 1} == sets(memory, "others")
        assert not _signals.providers_set()[1]


def test_instruments_made_before_configure_work_as_well() -> None:
    """
    A library that got its meter and its instrument from the API at import is connected to the wrapped provider.
    """
    early = metrics.get_meter("other_library")
    counter, histogram = early.create_counter("orders"), early.create_histogram(HTTP)
    active = early.create_up_down_counter("active")
    memory = reader()
    with built({"orders": None, **DURATION}, memory), bizspan.context(segment="gold"):
        counter.add(1)
        histogram.record(0.2)
        active.add(1)
        early.create_counter("orders").add(1)

        assert [{one(segment="gold"): 2}, {one(segment="gold"): 1}, {frozenset[Any](): 1}] == [
            sets(memory, name) for name in ("orders", HTTP, "active")
        ]


def test_bizspans_own_metrics_go_past_the_wrapper() -> None:
    """
    Its meter is the SDK's own, its points are as ever, and so is its flush.
    """
    memory = reader()
    inner = MeterProvider([memory], shutdown_on_exit=False)
    provider: Any = with_business_context(inner, {"orders": None})
    assert inner.get_meter("bizspan", "1") is provider.get_meter("bizspan", "1")

    with bizspan.configure(export="none", meter_provider=provider), bizspan.context(segment="gold"):
        with bizspan.operation("checkout") as op:
            op.revenue("42.00", "EUR")
        take()
        (point,) = points(memory.get_metrics_data(), "business.revenue")

    assert (42.0, "gold") == (point.value, point.attributes[SEGMENT])
    assert provider.force_flush()
    provider.shutdown()
    assert inner._shutdown


def test_a_capture_leaves_the_wrapper_in_force() -> None:
    """
    In a test that captures, the application's instruments carry the facts of the test's own scope.
    """
    memory = reader()
    with wrapped({"orders": None}, memory) as meter, capture(), bizspan.context(segment="gold"):
        meter.create_counter("orders").add(1)

        assert {one(segment="gold"): 1} == sets(memory, "orders")


FORKS = """
    import os, sys
    import bizspan
    from bizspan import _entry, _guard
    _guard.fatal = True
    from bizspan.sdk import with_business_context
    from opentelemetry import _logs, metrics
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from tests.providers import DELTA, points, reader, take
    memory = reader(DELTA)
    _logs.set_logger_provider(LoggerProvider())
    metrics.set_meter_provider(with_business_context(MeterProvider([memory]), {"orders": ("segment",)}))
    bizspan.configure(export="none", hash_key="k" * 32)
    counter = metrics.get_meter("shop").create_counter("orders")

    def told(segment):
        with bizspan.context(segment=segment):
            counter.add(1)
        data = memory.get_metrics_data()
        return sorted(point.attributes["business.customer.segment"] for point in points(data, "orders"))

    print(told("parent"), flush=True)
    child = os.fork()
    if not child:
        print(told("child"), flush=True)
        with bizspan.operation("checkout", segment="child"):
            pass
        take()
        print(len(points(memory.get_metrics_data(), "business.operation.duration")), flush=True)
        os._exit(0)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(told("parent"))
"""


def test_a_forked_child_adds_its_own_context() -> None:
    """
    In the child the first measurement already carries what is in force there, and bizspan's metrics still work.
    """
    ended = run(FORKS)

    expected = "['parent']\n['child']\n1\n['parent']\n"
    assert (0, expected, "") == (ended.code, ended.out, ended.err)


BUILT_FORKS = """
    import os
    import bizspan
    from bizspan import _guard
    _guard.fatal = True
    bizspan.configure(service_name="shop", metric_dimensions={"orders": ("segment",)})
    from opentelemetry import metrics
    counter = metrics.get_meter("shop").create_counter("orders")

    def tell(segment, times):
        with bizspan.context(segment=segment):
            counter.add(times)
            with bizspan.operation("checkout"):
                pass

    child = os.fork()
    tell("parent" if child else "child", 3 if child else 2)
    if child:
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def test_providers_that_were_built_export_both_processes_context_at_exit() -> None:
    """
    Over OTLP, with nobody flushing: parent and child each report their own, beside bizspan's own metrics.
    """
    with Receiver() as receiver:
        ended = run(BUILT_FORKS, receiver)
        told = {
            metric: {(str(point["attributes"].get(SEGMENT)), point["value"]) for point in receiver.points(metric)}
            for metric in ("orders", "business.events")
        }

    assert (0, "") == (ended.code, ended.err)
    assert {
        "orders": {("parent", 3), ("child", 2)},
        "business.events": {("parent", 1), ("child", 1)},
    } == told
