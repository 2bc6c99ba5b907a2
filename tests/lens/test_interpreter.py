"""What a lens sets in a process of its own, and leaves as it was."""

from __future__ import annotations

import gc
import sys

import pytest

from bizspan.lens._interpreter import serving

Told = tuple[float, tuple[int, int, int], int]


def told() -> Told:
    return sys.getswitchinterval(), gc.get_threshold(), gc.get_freeze_count()


def test_what_serving_sets_is_as_it_was_afterwards() -> None:
    """
    Meanwhile threads take turns sooner, and cycles are looked for less often; also an error ends it.
    """
    gc.unfreeze()  # some versions of Python, and of what runs tests, start with frozen objects
    before, meanwhile = told(), list[Told]()

    with pytest.raises(KeyboardInterrupt), serving():
        meanwhile.append(told())
        raise KeyboardInterrupt

    ((interval, threshold, frozen),) = meanwhile
    assert before == told()
    assert interval < before[0]
    assert threshold[0] > before[1][0]
    assert frozen > before[2]
