"""Naming instruments that carry business context: what is refused at set-up, by both doors, and what it says."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider

import bizspan
from bizspan import Attribute, Vocabulary, _guard, _signals
from bizspan.errors import SetupError
from bizspan.sdk import with_business_context
from bizspan.testing import capture

DURATION = {"http.server.request.duration": ("segment", "country")}

WRONG: list[tuple[Any, str]] = [
    (["orders"], "metric_dimensions= must be a dict"),
    ({"orders*": None}, "'orders*', which is no instrument's name; use the whole name"),
    ({"": None}, "'', which is no instrument's name"),
    ({1: None}, "1, which is no instrument's name"),
    ({"business.revenue": None}, "'business.revenue', which is bizspan's own"),
    ({"bizspan.events.offered": None}, "which is bizspan's own and has its dimensions already; take it out."),
    ({"orders": None, "Orders": None}, "names 'orders' twice"),
    ({"orders": "segment"}, "must be several facts, got 'segment'; use ('segment',) for one"),
    ({"orders": ()}, "must be several facts, got ()"),
    ({"orders": 3}, "must be several facts, got 3"),
    ({"orders": ("segmnet",)}, "the fact 'segmnet' is not declared. Did you mean 'segment'?"),
    ({"orders": ("geo.country.iso_code",)}, "Did you mean 'country'?"),
    ({"orders": ("xyzzy",)}, "the fact 'xyzzy' is not declared. Use the keyword of a standard fact"),
    ({"orders": (3,)}, "the fact 3 is not declared."),
    ({"orders": ("order",)}, "'order' is no dimension, so metrics don't carry it. Declare a fact of few values"),
    ({"orders": ("customer",)}, "'customer' is no dimension"),
]


@pytest.mark.parametrize(("named", "said"), WRONG, ids=[said[:40] for _, said in WRONG])
def test_wrong_names_and_facts_are_set_up_errors(named: Any, said: str) -> None:
    """
    Both doors refuse them, with what to do instead, and nothing is set up.
    """
    provider = MeterProvider(shutdown_on_exit=False)
    with pytest.raises(SetupError) as first:
        bizspan.configure(export="none", metric_dimensions=named)
    with pytest.raises(SetupError) as second:
        with_business_context(provider, named)

    assert said in str(first.value)
    assert str(first.value) == str(second.value)


def test_a_capture_checks_the_names_too() -> None:
    """
    A test that captures finds the wrong fact of the application's set-up.
    """
    with capture(), pytest.raises(SetupError, match="segmnet"):
        bizspan.configure(metric_dimensions={"orders": ("segmnet",)})


def test_facts_of_a_vocabulary_may_be_named() -> None:
    """
    With the vocabulary, or after configure() took it, its facts are known.
    """
    shop = Vocabulary("shop", [Attribute(name="stage", dimension=True)])
    provider = MeterProvider(shutdown_on_exit=False)
    with pytest.raises(SetupError, match="'stage' is not declared"):
        with_business_context(provider, {"orders": ("stage",)})

    early = with_business_context(provider, {"orders": ("stage",)}, vocabulary=[shop])
    with bizspan.configure(export="none", vocabulary=shop):
        late = with_business_context(provider, {"orders": ("stage",)})

    assert [True, True] == [isinstance(each, metrics.MeterProvider) for each in (early, late)]


@pytest.mark.parametrize("export", ["none", "otlp"])
def test_a_provider_that_is_there_already_cannot_be_wrapped_by_configure(export: Any) -> None:
    """
    The error says to wrap it before it is set; nothing is changed, and the next call works.
    """
    provider = MeterProvider(shutdown_on_exit=False)
    with pytest.raises(SetupError, match=r"Wrap that one before it is set: .*with_business_context\(provider"):
        bizspan.configure(export=export, meter_provider=provider, metric_dimensions=DURATION)

    assert (False, False, False) == _signals.providers_set()
    with bizspan.configure(export="none", meter_provider=provider) as configuration:
        assert configuration.is_active


def test_without_any_meter_provider_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """
    Receipts in development need no error: nothing measures there.
    """
    _guard.forget_said()
    with (
        caplog.at_level(logging.WARNING, "bizspan"),
        bizspan.configure(export="console", metric_dimensions=DURATION),
    ):
        pass

    assert ["metric_dimensions= does nothing here"] == [
        record.message[len("bizspan: ") :].split(",")[0] for record in caplog.records
    ]


def test_what_is_no_provider_is_refused() -> None:
    """
    Neither something else nor the API's stand-in can be wrapped: the stand-in would end up inside itself.
    """
    wrong: Any = "a provider"
    with pytest.raises(SetupError, match="takes a meter provider, got 'a provider'"):
        with_business_context(wrong, DURATION)
    with pytest.raises(SetupError, match="No meter provider is set yet"):
        with_business_context(metrics.get_meter_provider(), DURATION)
    not_one: Any = ["shop"]
    with pytest.raises(SetupError, match="vocabulary= takes Vocabulary objects"):
        with_business_context(MeterProvider(shutdown_on_exit=False), DURATION, vocabulary=not_one)
