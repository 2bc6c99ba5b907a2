"""
What a spool is told: where it lies, how much it may hold, and what an acknowledged event survives.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Final, Literal

from bizspan.errors import SetupError

_LEAST_BYTES: Final = 1 << 20
_SEGMENT_MOST: Final = 8 << 20
_SEGMENTS: Final = 8  # at least so many fit in, so that what was sent makes room soon


@dataclass(frozen=True, slots=True)
class Spool:
    """
    A spool, for ``configure(spool=...)``; a path alone means the defaults.

    Args:
        directory: A directory of its own, on a disk of this machine. It is made where it is missing. Several processes
            share it; each sends what others left when they ended.
        max_bytes: How much may lie in it, of all processes. Beyond that, the newest events are refused.
        min_free_bytes: How much must stay free on its file system.
        max_age_s: Events that wait longer expire, and are counted; None keeps them for as long as there is room.
        durability: ``"process"``: an acknowledged event survives the process, however it ends. ``"power"``: it survives
            a power cut too; every call waits for the disk.
        block_s: How long a call waits for room in a full spool before its event is refused; 0 never waits.
        endpoint: Where events go, a whole URL; by default as the ``OTEL_EXPORTER_OTLP_*`` variables say.

    Raises:
        SetupError: When a value is wrong.
    """

    directory: str | os.PathLike[str]
    max_bytes: int = 512 << 20
    min_free_bytes: int = 64 << 20
    max_age_s: float | None = None
    durability: Literal["process", "power"] = "process"
    block_s: float = 0.0
    endpoint: str | None = field(default=None, repr=False)  # some servers take a token in the path

    def __post_init__(self) -> None:
        if not os.fspath(self.directory):
            raise SetupError("Spool(directory) is empty; name a directory of its own.")
        if not _is_whole(self.max_bytes) or self.max_bytes < _LEAST_BYTES:
            raise SetupError(f"max_bytes= must be a whole number, at least {_LEAST_BYTES}.")
        if not _is_whole(self.min_free_bytes) or self.min_free_bytes < 0:
            raise SetupError("min_free_bytes= must be a whole number from 0.")
        if self.max_age_s is not None and not _is_seconds(self.max_age_s, above=0):
            raise SetupError("max_age_s= must be a number of seconds above 0, or None.")
        if self.durability not in ("process", "power"):
            raise SetupError(f"durability={self.durability!r} is unknown; use 'process' or 'power'.")
        if not _is_seconds(self.block_s):
            raise SetupError("block_s= must be a number of seconds from 0.")

    @property
    def segment_bytes(self) -> int:
        """How large one file becomes."""
        return min(_SEGMENT_MOST, max(_LEAST_BYTES // _SEGMENTS, self.max_bytes // _SEGMENTS))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_seconds(value: object, above: float = -1.0) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return math.isfinite(value) and value >= 0 and value > above
