"""
The pytest plugin: the ``capbiz`` fixture. Imports nothing of bizspan until a test asks for it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bizspan.testing import Capture


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option ``bizspan_strict``."""
    parser.addini("bizspan_strict", "An undeclared business fact fails a test that uses capbiz.", "bool", False)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker ``bizspan``."""
    config.addinivalue_line(
        "markers", "bizspan(strict=, vocabulary=, sampled=): how the capbiz fixture captures in this test."
    )


@pytest.fixture
def capbiz(request: pytest.FixtureRequest) -> Iterator[Capture]:
    """
    Everything that bizspan was told during the test. The test fails when something was refused; see `Capture`.
    """
    from bizspan.testing import capture

    options: dict[str, Any] = {"strict": request.config.getini("bizspan_strict")}
    marker = request.node.get_closest_marker("bizspan")
    if marker is not None:
        options.update(marker.kwargs)
    with capture(**options, check=False) as captured:
        yield captured


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Check while the test itself runs, so that a refusal fails it rather than its teardown."""
    result = yield
    captured = getattr(item, "funcargs", {}).get("capbiz")
    if captured is not None:
        captured.check()
    return result
