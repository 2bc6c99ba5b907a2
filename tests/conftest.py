"""What every test shares: the long form of a test, Hypothesis settings, and collection without the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run what takes minutes, and the long forms of loops")
    parser.addoption("--examples", type=int, default=100, help="of each property, without --long (default: 100)")


def pytest_configure(config: pytest.Config) -> None:
    if find_spec("hypothesis") is None:  # the bare environment has pytest alone
        return
    from hypothesis import settings

    # The same examples in every run: a red gate is red again on the next machine. --long looks for new ones.
    settings.register_profile(
        "ci", derandomize=True, deadline=None, database=None, print_blob=True,
        max_examples=config.getoption("--examples"),
    )  # fmt: skip
    settings.register_profile("long", deadline=None, database=None, print_blob=True, max_examples=1_000)
    settings.load_profile("long" if config.getoption("--long") else "ci")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Under `-m bare` a file without a bare test is not even imported: its imports may need the SDK."""
    if config.getoption("markexpr") != "bare" or collection_path.suffix != ".py":
        return None
    return True if "mark.bare" not in collection_path.read_text(encoding="utf-8") else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; --long runs it"))


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the run asked for the long form of a loop (`--long`)."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(autouse=True)
def proxies_end_with_their_test() -> Iterator[None]:
    """
    Instruments that were made while no meter provider was set would come to life when a later test sets one, with the
    totals of the test that made them.
    """
    yield
    from opentelemetry.metrics import _internal

    home: Any = _internal
    if getattr(home, "_METER_PROVIDER", None) is None and hasattr(home, "_PROXY_METER_PROVIDER"):
        home._PROXY_METER_PROVIDER = type(home._PROXY_METER_PROVIDER)()


@pytest.fixture(autouse=True)
def guard_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that production would swallow fails the test."""
    from bizspan import _guard

    monkeypatch.setattr(_guard, "fatal", True)


@pytest.fixture
def production_guard(guard_is_fatal: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the guard itself: errors of bizspan's own steps are swallowed and counted, as in production."""
    from bizspan import _guard

    monkeypatch.setattr(_guard, "fatal", False)
