"""
How the interpreter runs in a process that is a lens and nothing else.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

# The thread that writes gives up the interpreter's lock at each statement. By default it then waits 5 ms for it, which
# is ten times as long as the statement takes; a page that reads waits as often.
_SWITCH_S: Final = 0.001
_OBJECTS: Final = 20_000  # that may be made before cycles are looked for, 700 by default: rows are in none


@contextmanager
def serving() -> Generator[None]:
    """Have threads take turns sooner, and cycles be looked for less often."""
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_OBJECTS, *threshold[1:])
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*threshold)
        gc.unfreeze()
