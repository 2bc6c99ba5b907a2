"""How much memory a process takes, and how much of the processor; this one by default."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path


def peak_mib(pid: int = 0) -> float:
    """The most that it ever had resident. What the kernel tells of resources starts with its parent's, on Linux."""
    return _told("VmHWM", pid)


def now_mib(pid: int = 0) -> float:
    """What it has resident now; where only the most is known, that."""
    return _told("VmRSS", pid)


def cpu_s(pid: int = 0) -> float:
    """The processor time that it has taken, in seconds; of another process on Linux alone."""
    if not pid:
        return time.process_time()
    # Behind the name, which may have anything in it.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _told(name: str, pid: int) -> float:
    status = Path(f"/proc/{pid or 'self'}/status")
    if status.exists():
        lines = status.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
