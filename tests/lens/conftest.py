"""A store, and a lens that listens, of a test's own."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from bizspan.lens import Intake, Lens, Store


@pytest.fixture
def store(tmp_path: Path) -> Generator[Store]:
    """An empty store."""
    with Store(tmp_path / "lens.db") as opened:
        yield opened


@pytest.fixture
def intake(store: Store) -> Intake:
    """What takes requests into the store."""
    return Intake(store)


@pytest.fixture
def lens(tmp_path: Path) -> Generator[Lens]:
    """A lens on a free port."""
    with Lens(tmp_path / "lens.db") as started:
        yield started.start(0)
