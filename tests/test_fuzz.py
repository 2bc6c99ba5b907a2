"""Whatever is passed to a public entry: nothing escapes, business goes on, and what goes out can be encoded.

Each example runs against the real pipeline in memory, against a sampled-out one, or with nothing configured.
"""

from __future__ import annotations

import io
import logging
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import CoroutineType, FunctionType
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

import bizspan
from bizspan import AmountError, Attribute, CurrencyMismatch, Money, SetupError, Vocabulary, _active, gauges
from bizspan._accounts import INVALID_NAME, NOT_CONFIGURED
from bizspan._console import Receipts
from bizspan.context import frame
from bizspan.errors import REASONS
from bizspan.testing import capture
from tests import strategies as our
from tests.strategies import MARKER, Business, Call, CardDeclined, Thing

pytestmark = pytest.mark.fuzz
EXAMPLES = 20_000
_LONG = settings.get_current_profile_name() == "long"
_FACTOR = 10 if _LONG else 1
_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)

VOCABULARY = Vocabulary(
    "fuzz",
    [
        Attribute(name="level", type=int, dimension=True, budget=3),
        Attribute(name="count", type=int),
        Attribute(name="ratio", type=float),
        Attribute(name="stage", allowed=["open", "won"], dimension=True),
        Attribute(name="new", type=bool, dimension=True),
    ],
)
MODES = ("captured", "captured", "captured", "sampled out", "unconfigured")
modes = st.sampled_from(MODES)
shares: dict[str, int] = {}
Test = Callable[..., None]


def fuzz(share: int, **drawn: st.SearchStrategy[Any]) -> Callable[[Test], Test]:
    """
    A test of `share` examples, ten times as many with ``--long``, that fails if fewer were run.
    """

    def decorate(body: Test) -> Test:
        shares[body.__name__] = share * _FACTOR
        ran = 0

        @settings(max_examples=share * _FACTOR, suppress_health_check=_SLOW, deadline=None)
        @given(**drawn)
        def examples(**values: Any) -> None:
            nonlocal ran
            ran += 1
            body(**values)

        def test(log_lines: None) -> None:
            nonlocal ran
            ran = 0
            examples()
            assert ran >= share * _FACTOR

        test.__name__, test.__doc__ = body.__name__, body.__doc__
        return test

    return decorate


# --- the world around one example ---------------------------------------------------------------------------------


lines: list[str] = []


def keep(record: logging.LogRecord) -> bool:
    """Keep what bizspan says here; handlers, pytest's too, get none of these many lines."""
    lines.append(record.getMessage())
    return False


@pytest.fixture
def log_lines() -> Iterator[None]:
    """What bizspan says goes to `lines`."""
    logger = logging.getLogger("bizspan")
    logger.addFilter(keep)
    yield
    logger.removeFilter(keep)


class World:
    """
    What one example told, seen from outside.

    Args:
        captured: The capture; None while nothing is configured.
        receipts: What the console printed.
    """

    def __init__(self, captured: Any, receipts: io.StringIO) -> None:
        self.captured = captured
        self.receipts = receipts

    def of(self, event_name: str) -> int:
        """How many events of this name went out."""
        self.captured._take()
        logs = self.captured._memory.logs()
        return sum(log.event_name == event_name for log in logs)

    def verify(self, told: int, event_name: str | None) -> None:
        """
        The accounts hold, all goes through the real encoders, and no secret shows.

        Args:
            told: How many records were told.
            event_name: The one name that their events have; None where they have several.
        """
        account = bizspan.diagnostics()
        assert account.offered == account.acknowledged + sum(account.refused.values())
        assert MARKER not in repr(account)
        if self.captured is None:
            return
        captured, memory = self.captured, self.captured._memory
        captured._take()
        account = bizspan.diagnostics()
        sent = memory._logs.get_finished_logs()
        assert len(sent) == account.acknowledged == account.handed_over
        assert set(account.refused) <= {INVALID_NAME}
        # A second currency is a further event; everything else that was told is one event, or has no valid name.
        further = self.of("business.revenue")
        assert told == len(sent) - further + account.refused.get(INVALID_NAME, 0)
        if event_name is not None:
            assert told == self.of(event_name)
        if "total_range" in account.values_refused:  # what no total can hold is on its event alone
            memory.metrics()
        else:
            captured.assert_consistent()
        wire = encode_logs(sent).SerializeToString() + encode_spans(memory.spans()).SerializeToString()
        if memory._metrics.last is not None:
            wire += encode_metrics(memory._metrics.last).SerializeToString()
        assert MARKER.encode() not in wire
        assert MARKER not in self.receipts.getvalue()


@contextmanager
def world(mode: str) -> Generator[World]:
    """
    One example's surroundings; what was current before must be current after.
    """
    before = frame.get(), otel.get_current(), trace.get_current_span()
    lines.clear()
    receipts = io.StringIO()
    if mode == "unconfigured":
        previous = _active.swap(None)
        try:
            yield World(None, receipts)
            assert _active.current is None
        finally:
            _active.swap(previous)
    else:
        with capture(vocabulary=VOCABULARY, sampled=mode == "captured", check=False) as captured:
            pipeline = captured._pipeline
            pipeline.sinks = (*pipeline.sinks, Receipts(pipeline.declared, receipts))
            # As if its thread ran already: this thread takes what it told, and no example waits for another one.
            pipeline._consumer.awake = True
            yield World(captured, receipts)
    after = frame.get(), otel.get_current(), trace.get_current_span()
    for one, other in zip(before, after, strict=True):
        assert one is other
    assert [] == [line for line in lines if MARKER in line]


def check_business(act: Callable[[], Any], business: Business) -> None:
    """
    The very object that business code gives arrives, or the very exception that it raises, with nothing added.
    """
    outcome: Any
    caught: BaseException | None
    try:
        outcome, caught = act(), None
    except BaseException as error:
        outcome, caught = None, error
    expected = None if business.error is None else business.error.value
    if caught is not expected:
        # Not raised again as it came: an interrupt would end the run of the tests, and Hypothesis hashes its class.
        where = "".join(traceback.format_tb(None if caught is None else caught.__traceback__)[-4:])
        raise AssertionError(f"{our.class_name(caught)} instead of {our.class_name(expected)}\n{where}")
    if caught is None:
        assert outcome is business.value.value
    else:
        assert caught.__cause__ is None
        assert caught.__context__ is None


def unconfigured_refusals() -> int:
    """How many events were told while nothing was configured."""
    return bizspan.diagnostics().refused.get(NOT_CONFIGURED, 0)


def is_plain(name: Thing) -> bool:
    """Whether anyone would call this a valid name."""
    return type(name.value) is str and name.value.isprintable() and bool(name.value.strip())


# --- operations ---------------------------------------------------------------------------------------------------


def in_block(block: Any, calls: list[Call], business: Business) -> Any:
    """Business code inside an operation."""
    with block as run:
        for call in calls:
            call.make(run)
        return business.act()


@fuzz(
    3_000, mode=modes, name=our.names, facts=our.facts, attributes=our.attributes, kind=st.sampled_from(
        ["revenue", "value", "cost", "tax"]), money=our.money_values, rejects=our.rejects, span=our.spans, key=our.keys,
    business=our.business,
)  # fmt: skip
def test_a_block_takes_anything(
    mode: str, name: Thing, facts: Thing, attributes: Thing, kind: str, money: Thing, rejects: Thing, span: Thing,
    key: Thing, business: Business,
) -> None:  # fmt: skip
    """
    Whatever an operation is declared with, its block runs, and its event is kept if it has a name.
    """
    assume(type(name.value) is not FunctionType)  # a decorator without its parentheses: a set-up error
    with world(mode) as around:
        options: dict[str, Any] = {kind: money.value, **facts.value}
        block = bizspan.operation(
            name.value, attributes=attributes.value, rejects=rejects.value, span=span.value,
            idempotency_key=key.value, **options,
        )  # fmt: skip
        check_business(lambda: in_block(block, [], business), business)
        around.verify(1, "business.operation" if is_plain(name) else None)


@fuzz(2_750, mode=modes, calls=st.lists(our.calls, max_size=4), business=our.business)
def test_a_run_takes_anything(mode: str, calls: list[Call], business: Business) -> None:
    """
    Whatever is told inside a block, it runs to its end, and later calls on its run change nothing.
    """
    with world(mode) as around:
        block = bizspan.operation("checkout", rejects=CardDeclined, customer=MARKER)
        check_business(lambda: in_block(block, calls, business), business)
        for call in calls:
            call.make(block._run)
        around.verify(1, "business.operation")


@fuzz(
    1_250, mode=modes, facts=our.facts, more=our.facts, attributes=our.attributes, money=our.money_values, key=our.keys,
    business=our.business,
)  # fmt: skip
def test_a_fresh_run_takes_anything(
    mode: str, facts: Thing, more: Thing, attributes: Thing, money: Thing, key: Thing, business: Business
) -> None:
    """
    A kept declaration runs again with whatever is added, and itself stays as it was.
    """
    with world(mode) as around:
        kept = bizspan.operation("checkout", rejects=KeyError, **facts.value)
        fresh: Any = kept
        block = fresh(attributes=attributes.value, revenue=money.value, idempotency_key=key.value, **more.value)
        check_business(lambda: in_block(block, [], business), business)
        check_business(lambda: in_block(kept, [], business), business)
        around.verify(2, "business.operation")


def call_decorated(decorated: Any, *args: object) -> Any:
    """What a decorated function gives; a coroutine is run to its end."""
    result: Any = decorated(*args)
    if not issubclass(our.class_of(result), CoroutineType):  # isinstance would ask the business's own object
        return result
    try:
        result.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits for something")


def decorated_by(operation: Any, business: Business, *, is_async: bool) -> Any:
    """Business code as a decorated function."""

    def plain(cart: object, extra: object = None) -> Any:
        return business.act()

    async def asynchronous(cart: object, extra: object = None) -> Any:
        return business.act()

    return operation(asynchronous if is_async else plain)


def fits_coroutines(business: Business) -> bool:
    """Python itself turns StopIteration in a coroutine into a RuntimeError."""
    return business.error is None or not issubclass(type(business.error.value), StopIteration)


@fuzz(
    1_250, mode=modes, facts=our.facts, attributes=our.attributes, money=our.money_values, rejects=our.rejects,
    key=our.keys, business=our.business, is_async=st.booleans(),
)  # fmt: skip
def test_a_decorated_function_takes_any_constants(
    mode: str,
    facts: Thing,
    attributes: Thing,
    money: Thing,
    rejects: Thing,
    key: Thing,
    business: Business,
    is_async: bool,
) -> None:
    """
    Decoration takes constants of any kind or says what is wrong; then each call runs.
    """
    with world(mode) as around:
        operation = bizspan.operation(
            "checkout", attributes=attributes.value, value=money.value, rejects=rejects.value,
            idempotency_key=key.value, **facts.value,
        )  # fmt: skip
        is_async = is_async and fits_coroutines(business)
        try:
            decorated = decorated_by(operation, business, is_async=is_async)
        except SetupError:
            return
        check_business(lambda: call_decorated(decorated, MARKER), business)
        around.verify(1, "business.operation")


def extractor_of(given: Business, sort: str) -> Any:
    """An extractor that gives anything or raises anything."""

    def of_result(result: object) -> object:
        return given.act()

    def of_arguments(cart: object, extra: object) -> object:
        return given.act()

    return {"result": of_result, "argument": of_arguments}.get(sort, given.act)


def the_cart(cart: object) -> object:
    """An extractor that gives the argument, which is a secret."""
    return cart


def a_secret(result: object) -> object:
    """An extractor that gives a secret."""
    return MARKER


_failures = st.sampled_from(our.ERRORS).map(lambda make: Thing("error", make()))
extractors = st.builds(
    extractor_of,
    st.builds(Business, our.anything, st.one_of(st.none(), st.none(), _failures)),
    st.sampled_from(["argument", "argument", "result", "nothing"]),
)


@fuzz(
    2_000, mode=modes, segment=extractors, order=extractors, custom=extractors, revenue=extractors, cost=extractors,
    customer=st.sampled_from([the_cart, a_secret]), business=our.business, is_async=st.booleans(),
    keyed=st.booleans(),
)  # fmt: skip
def test_a_decorated_function_takes_any_extractor(
    mode: str, segment: Any, order: Any, custom: Any, revenue: Any, cost: Any, customer: Any, business: Business,
    is_async: bool, keyed: bool,
) -> None:  # fmt: skip
    """
    Whatever extractors give or raise, the call gives and raises what the function does.
    """
    with world(mode) as around:
        operation = bizspan.operation(
            "checkout", segment=segment, order=order, whatever=custom, revenue=revenue, cost=cost, customer=customer,
            rejects=CardDeclined, idempotency_key=the_cart if keyed else None,
        )  # fmt: skip
        decorated = decorated_by(operation, business, is_async=is_async and fits_coroutines(business))
        check_business(lambda: call_decorated(decorated, MARKER), business)
        around.verify(1, "business.operation")


# --- context ------------------------------------------------------------------------------------------------------


@fuzz(
    1_250, mode=modes, facts=our.facts, attributes=our.attributes, inner=our.facts, late=our.facts, more=our.attributes,
    business=our.business, as_decorator=st.booleans(),
)  # fmt: skip
def test_context_and_annotate_take_anything(
    mode: str, facts: Thing, attributes: Thing, inner: Thing, late: Thing, more: Thing, business: Business,
    as_decorator: bool,
) -> None:  # fmt: skip
    """
    Scopes and late facts of any kind leave the code in them alone, and are gone after it.
    """

    def work() -> Any:
        bizspan.annotate(attributes=more.value, **late.value)
        bizspan.event("seen")
        with bizspan.context(**inner.value), bizspan.operation("checkout"):
            bizspan.annotate(attributes=attributes.value, **late.value)
            return business.act()

    with world(mode) as around:
        bizspan.annotate(attributes=more.value, **late.value)
        scope = bizspan.context(attributes=attributes.value, **facts.value)
        if as_decorator:
            check_business(scope(work), business)
        else:

            def in_scope() -> Any:
                with scope:
                    return work()

            check_business(in_scope, business)
        around.verify(2, None)


@fuzz(500, mode=modes, facts=our.facts, late=our.facts, more=our.attributes)
def test_annotating_a_span_of_another_library_takes_anything(mode: str, facts: Thing, late: Thing, more: Thing) -> None:
    """
    Facts for the current span of any library can be encoded with it.
    """
    with world(mode) as around:
        provider = trace.get_tracer_provider() if around.captured is None else around.captured._memory.tracer_provider
        tracer = provider.get_tracer("shop")
        with bizspan.context(**facts.value), tracer.start_as_current_span("GET /"):
            bizspan.annotate(attributes=more.value, **late.value)
        with tracer.start_as_current_span("GET /"):
            bizspan.annotate(attributes=more.value, **late.value)
        around.verify(0, None)


# --- events -------------------------------------------------------------------------------------------------------


@fuzz(
    2_500, mode=modes, name=our.names, revenue=our.money_values, second=st.sampled_from(["value", "cost", "tax"]),
    money=our.money_values, time=our.times, key=our.keys, facts=our.facts_of(our.anything), attributes=our.attributes,
)  # fmt: skip
def test_an_event_takes_anything(
    mode: str, name: Thing, revenue: Thing, second: str, money: Thing, time: Thing, key: Thing, facts: Thing,
    attributes: Thing,
) -> None:  # fmt: skip
    """
    An event with a name is kept, whatever else it was told.
    """
    with world(mode) as around:
        before = unconfigured_refusals()
        options: dict[str, Any] = {second: money.value, **facts.value}
        bizspan.event(
            name.value, revenue=revenue.value, time=time.value, idempotency_key=key.value,
            attributes=attributes.value, **options,
        )  # fmt: skip
        if around.captured is None:
            assert before + 1 == unconfigured_refusals()
        elif is_plain(name) and name.value.strip() != "business.cost":
            assert 1 == around.captured._pipeline.accounts.acknowledged.value
        around.verify(1, None)


@fuzz(
    1_500, mode=modes, verb=st.sampled_from([bizspan.refund, bizspan.cost]),
    amount=st.one_of(our.amounts, our.money_values), currency=our.currencies,
    rounding=our.roundings, time=our.times, key=our.keys, order=our.things, reason=our.things,
    facts=our.facts, attributes=our.attributes,
)  # fmt: skip
def test_refunds_and_costs_take_anything(
    mode: str, verb: Any, amount: Thing, currency: Thing, rounding: Thing, time: Thing, key: Thing, order: Thing,
    reason: Thing, facts: Thing, attributes: Thing,
) -> None:  # fmt: skip
    """
    Money that went back or was spent is one event, whatever was told with it.
    """
    with world(mode) as around:
        verb(
            amount.value, currency.value, rounding=rounding.value, time=time.value, idempotency_key=key.value,
            attributes=attributes.value, **{**facts.value, "order": order.value, "reason": reason.value},
        )  # fmt: skip
        around.verify(1, f"business.{verb.__name__}")


@fuzz(
    750, mode=modes, name=our.names, score=st.one_of(our.amounts, our.anything), time=our.times, key=our.keys,
    facts=our.facts, attributes=our.attributes,
)  # fmt: skip
def test_feedback_takes_anything(
    mode: str, name: Thing, score: Thing, time: Thing, key: Thing, facts: Thing, attributes: Thing
) -> None:
    """
    An answer is one event, whatever the question and the score.
    """
    with world(mode) as around:
        bizspan.feedback(
            name.value, score.value, time=time.value, idempotency_key=key.value, attributes=attributes.value,
            **facts.value,
        )  # fmt: skip
        around.verify(1, "business.feedback")


# --- gauges -------------------------------------------------------------------------------------------------------


def rows_of(values: list[Thing], told: list[Thing]) -> Any:
    """A generator as a gauge's function."""
    for value, facts in zip(values, told, strict=False):
        yield value.value, facts.value
    for value in values:
        yield value.value


@fuzz(
    750, sampled=st.booleans(), given=st.one_of(our.anything, our.money_values), rows=st.lists(our.things, max_size=2),
    told=st.lists(our.attributes, max_size=2), failing=st.one_of(st.none(), st.sampled_from(our.ERRORS)),
)  # fmt: skip
def test_gauges_may_give_anything(
    sampled: bool, given: Thing, rows: list[Thing], told: list[Thing], failing: Any
) -> None:
    """
    A pull gives points that can be encoded, or none.
    """

    def function() -> Any:
        if failing is not None:
            raise failing()
        return rows_of(rows, told) if rows else given.value

    with world("captured" if sampled else "sampled out") as around:
        bizspan.gauge("fuzz.gauge", timeout_s=0.05)(function)
        around.captured.gauge("fuzz.gauge")
        around.verify(0, None)
    gauges._gauges.pop("fuzz.gauge").retire()


# --- money and the rest -------------------------------------------------------------------------------------------


def never_raises(money: Money, other: Any) -> None:
    """What any code may do with money that it was handed."""
    assert money == money
    for answer in (other == money, other != money):
        assert answer is not None
    assert isinstance(hash(money), int)
    assert bool(money) is (money.minor_units != 0)
    assert money.currency in str(money) + repr(money) + format(money, ">20")
    assert money == +money == -1 * -money == abs(money) * (1 if money.minor_units >= 0 else -1)
    assert sum([money]) == money


@fuzz(
    750, money=st.builds(Money.from_minor, st.integers(-(2**62), 2**62), st.sampled_from(["EUR", "JPY", "BHD"])),
    other=our.things,
)  # fmt: skip
def test_money_beside_anything_is_itself(money: Money, other: Thing) -> None:
    """
    Money compares, prints and adds up beside any object; only that object's own methods may raise.
    """
    never_raises(money, money)
    if other.label in ("hollow Money", "forged Money"):  # made past our constructor: these have no amount
        return
    for method in (money.__add__, money.__sub__, money.__lt__, money.__ge__):
        try:
            method(other.value)
        except (AmountError, CurrencyMismatch):
            assert type(other.value) is Money
        else:
            assert type(other.value) is Money or money.__eq__(other.value) is NotImplemented


@fuzz(
    750, amount=st.one_of(our.amounts, our.money_values), currency=our.currencies, rounding=st.booleans()
)  # fmt: skip
def test_making_money_of_anything_raises_one_kind_of_error(amount: Thing, currency: Thing, rounding: bool) -> None:
    """
    Money is made of an amount, or AmountError says why not; nothing else gets out.
    """
    make: Any = Money.rounded if rounding else Money
    try:
        money = make(amount.value, currency.value)
    except AmountError as error:
        assert error.reason in {*REASONS, MARKER}  # the object's own error, of our type, is passed on
    else:
        never_raises(money, money)


# --- all together -------------------------------------------------------------------------------------------------

steps = st.tuples(
    st.sampled_from(["event", "refund", "cost", "feedback", "annotate", "operation", "context"]), our.facts, our.amounts
)


def take(step: tuple[str, Thing, Thing], rest: list[Any]) -> int:
    """One step of a program and, inside it, those that follow; how many records it told."""
    verb, facts, amount = step
    told = 0 if verb in ("annotate", "context") else 1
    if verb == "event":
        bizspan.event("seen", revenue=(amount.value, "EUR"), **facts.value)
    elif verb in ("refund", "cost"):
        getattr(bizspan, verb)(amount.value, "EUR", **facts.value)
    elif verb == "feedback":
        bizspan.feedback("nps", amount.value, **facts.value)
    elif verb == "annotate":
        bizspan.annotate(**facts.value)
    elif verb == "operation":
        with bizspan.operation("checkout", **facts.value) as run:
            run.revenue(amount.value, "EUR")
            return told + program(rest)
    else:
        with bizspan.context(**facts.value):
            return told + program(rest)
    return told + program(rest)


def program(left: list[Any]) -> int:
    """Business code of several steps."""
    return take(left[0], left[1:]) if left else 0


@fuzz(1_000, mode=modes, told=st.lists(steps, max_size=5))
def test_whole_programs_stay_whole(mode: str, told: list[Any]) -> None:
    """
    Entries nested in each other, all with odd values, keep their accounts and their surroundings.
    """
    with world(mode) as around:
        around.verify(program(told), None)


def test_the_examples_add_up(record_property: Callable[[str, object], None]) -> None:
    """
    All entries together get 20,000 examples, and 200,000 with --long.
    """
    total = sum(shares.values())
    record_property("examples", total)
    print(f"{total:,} examples over {len(shares)} tests")

    assert total >= EXAMPLES * _FACTOR
