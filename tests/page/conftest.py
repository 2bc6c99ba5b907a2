"""A lens with its page, of a test's own."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from bizspan.lens import Lens
from bizspan.page import add_page


@pytest.fixture
def lens(tmp_path: Path) -> Generator[Lens]:
    """A lens with its page, on a free port."""
    with Lens(tmp_path / "lens.db") as started:
        add_page(started)
        yield started.start(0)


@pytest.fixture
def lens_of_all(tmp_path: Path) -> Generator[Lens]:
    """The same, with a page that shows groups of any size."""
    with Lens(tmp_path / "lens.db") as started:
        add_page(started, minimum_group=1)
        yield started.start(0)
