"""How much memory this process takes."""

from __future__ import annotations

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_mib() -> float:
    """The most that it ever had resident. What the kernel tells of resources starts with its parent's, on Linux."""
    return _told("VmHWM")


def now_mib() -> float:
    """What it has resident now; where only the most is known, that."""
    return _told("VmRSS")


def _told(name: str) -> float:
    if _STATUS.exists():
        lines = _STATUS.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
