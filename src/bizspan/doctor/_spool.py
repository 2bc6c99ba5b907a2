"""
The spool, where one is configured: its directory, what waits there, and where it sends to. Nothing is made or taken.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bizspan.doctor._finding import Finding, green, one_line, red, yellow
from bizspan.errors import SetupError

_NETWORK: Final = re.compile(r"(fuse\.)?(nfs4?|cifs|smb3|smbfs|9p|afs|ceph|glusterfs|lustre|gpfs|sshfs|s3fs|gcsfuse)")
_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_MOUNTS: Final = Path("/proc/self/mountinfo")
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
_LATE_S: Final = 300
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """
    What the variables and the file say about it.

    Args:
        directory: Where it lies, absolute.
        max_bytes: How much it may hold.
        min_free_bytes: How much has to stay free beside it.
    """

    directory: str
    max_bytes: int
    min_free_bytes: int


def told_of(value: Any) -> dict[str, Any] | None:
    """The same as JSON, of what the configuration has: nothing, a path, or a `Spool`."""
    if value is None:
        return None
    from bizspan.spool import Spool

    options = value if isinstance(value, Spool) else Spool(value)
    return {
        "directory": os.path.abspath(os.fspath(options.directory)),
        "max_bytes": options.max_bytes,
        "min_free_bytes": options.min_free_bytes,
    }


def check_spool(told: SpoolSettings, environment: Mapping[str, str], timeout_s: float | None) -> Iterator[Finding]:
    """
    Everything about it.

    Args:
        told: What it was told.
        environment: As the application will have it.
        timeout_s: How long to wait for its endpoint; None leaves that alone.
    """
    from bizspan.spool._files import Files

    if not Files.is_supported:
        yield red(
            "spool",
            "this system has no advisory file locks, so there is no spool: events wait in memory and can be lost.",
            "run the application on Linux or macOS",
        )
        return
    found = _directory(told.directory)
    yield found
    there = _nearest(told.directory)
    yield from _file_system(there)
    yield _space(there, told)
    if found.level == "green" and there == told.directory:
        yield from _waiting(told.directory)
    yield _endpoint(environment, timeout_s)


def _nearest(path: str) -> str:
    """It, or the first directory above it that is there."""
    while not os.path.exists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path


def _directory(path: str) -> Finding:
    from bizspan.spool._directory import name_of

    elsewhere = "export BIZSPAN_SPOOL_DIR=/a/directory/of/its/own"
    try:
        is_there = os.path.lexists(path)
        told = os.lstat(path if is_there else _nearest(path))
        if not is_there:
            parent = _nearest(path)
            if stat.S_ISDIR(told.st_mode) and os.access(parent, os.W_OK | os.X_OK):
                return green("spool", f"{path} will be made, for its owner alone")
            return red("spool", f"{path} can't be made: {parent} can't be written.", elsewhere)
        if not stat.S_ISDIR(told.st_mode):
            return red("spool", f"{path} is no directory, or a link to one.", elsewhere)
        if told.st_uid != os.geteuid():
            return red(
                "spool",
                f"{path} belongs to another user (uid {told.st_uid}).",
                "run the application, and the doctor, as that user; or chown it",
            )
        if stat.S_IMODE(told.st_mode) & 0o077:
            if any(name_of(name) is None for name in os.listdir(path)):
                return red("spool", f"others may enter {path}, and it holds more than a spool.", elsewhere)
            return yellow("spool", f"others may enter {path}; bizspan ends that when it starts.", f"chmod 700 {path}")
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            return red("spool", f"{path} can't be read and written by this user.", f"chmod 700 {path}, or {elsewhere}")
    except OSError as error:
        return red("spool", f"{path} can't be looked at ({error.strerror}).", elsewhere)
    return green("spool", f"{path} is there, for its owner alone")


def _file_system(path: str) -> Iterator[Finding]:
    kind = file_system_of(os.path.realpath(path))
    check, step = "spool.file-system", "export BIZSPAN_SPOOL_DIR to a disk of this machine, or a volume that stays"
    if _NETWORK.fullmatch(kind):
        yield yellow(
            check, f"{path} is on {kind}, over a network: locks may not hold there, and each event waits for it.", step
        )
    elif kind in _MEMORY:
        yield yellow(check, f"{path} is on {kind}, in memory: what waits is lost when the machine restarts.", step)
    elif kind == "overlay":
        yield yellow(check, f"{path} is in a container's own layer: what waits is lost with the container.", step)
    elif kind:
        yield green(check, f"{path} is on {kind}")


def file_system_of(path: str, mounts: Path = _MOUNTS) -> str:
    """The type of the file system that a path is on; empty where the system does not say."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for line in lines:
        front, _, back = line.partition(" - ")
        point = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), (front.split(" ") + [""] * 5)[4])
        is_under = path == point or path.startswith(point.rstrip("/") + "/")
        if point and is_under and len(point) >= len(best):  # of two on one point, the later one is seen
            best, kind = point, back.partition(" ")[0]
    return kind


def _space(path: str, told: SpoolSettings) -> Finding:
    from bizspan.spool._files import Files

    check = "spool.space"
    try:
        free = Files().free_bytes(path)
    except OSError as error:
        return red(check, f"the free space of {path} can't be read ({error.strerror}).", f"df {path}")
    shown = f"{free // _MIB:,} MiB are free"
    floor, most = told.min_free_bytes // _MIB, told.max_bytes // _MIB
    if free <= told.min_free_bytes:
        return red(
            check, f"{shown}, and {floor:,} MiB have to stay so: every event is refused.", f"make room: df {path}"
        )
    if free < told.min_free_bytes + told.max_bytes:
        step = f"make room, or let it hold less than max_bytes ({most:,} MiB)"
        return yellow(check, f"{shown}, and {floor:,} MiB have to stay so: the spool can't hold {most:,} MiB.", step)
    return green(check, f"{shown}; the spool holds {most:,} MiB, and leaves {floor:,}")


def _waiting(path: str) -> Iterator[Finding]:
    from bizspan.spool._inspect import status_of

    check = "spool.waiting"
    try:
        found = status_of(path)
    except SetupError as error:
        yield red(check, str(error), f"bizspan spool status {path}")
        return
    left = sum(segment.waiting for segment in found.segments if not segment.is_living)
    oldest = min((each.oldest_s for each in found.segments if each.oldest_s is not None), default=None)
    if left:
        yield yellow(check, f"{left:,} events wait whose processes are gone.", f"bizspan spool drain {path}")
    elif oldest is not None and time.time() - oldest > _LATE_S:
        minutes = round((time.time() - oldest) / 60)
        yield yellow(
            check, f"{found.waiting:,} events wait, the oldest for {minutes:,} minutes.", "see spool.endpoint below"
        )
    else:
        yield green(check, f"{found.waiting:,} events wait" if found.waiting else "nothing waits")
    if found.dead_letters:
        yield yellow(
            check,
            f"a collector refused {found.dead_letters:,} events (400): they are dead letters.",
            f"bizspan spool inspect --dead {path}; when the cause is mended, bizspan spool retry {path}",
        )
    if found.unreadable:
        yield yellow(check, f"{found.unreadable:,} files could not be read.", f"bizspan spool purge {path}")


def _endpoint(environment: Mapping[str, str], timeout_s: float | None) -> Finding:
    from bizspan.spool._answers import FIXES, Kind, judge
    from bizspan.spool._post import Poster
    from bizspan.spool._target import SPOOL_ENDPOINT, from_environment

    check = "spool.endpoint"
    try:
        target = from_environment(environment)
        poster = Poster(target)
    except SetupError as error:  # says which variable, and never its value
        step = f"export {SPOOL_ENDPOINT}=http://HOST:4318/v1/logs" if SPOOL_ENDPOINT in str(error) else ""
        return red(check, one_line(str(error)), step or "correct the variable that it names")
    if timeout_s is None:
        return yellow(check, f"{target.shown} was not tried (--no-canary).", "bizspan doctor")
    try:
        # No events in it: what a collector answers to that is what it would answer to more.
        verdict = judge(poster.post(b"", timeout_s), time.time())
    finally:
        poster.close()
    if verdict.kind is Kind.DELIVERED:
        return green(check, f"{target.shown} takes what the spool sends, over HTTP")
    return red(check, f"{target.shown} does not take what the spool sends ({verdict.reason}).", FIXES[verdict.reason])
