"""
The file system, as the spool uses it: one small seam that tests replace to fill disks and to crash between two calls.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any, Final

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: no advisory locks, so there is no spool on disk
    fcntl = None

_SAFELY: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Files:
    """
    System calls by their names. Each raises `OSError` as the call does.
    """

    is_supported: bool = fcntl is not None

    def __init__(self) -> None:
        if not self.is_supported:
            return
        # On the way of every event: the system's own functions, without a step between.
        self.pwrite: Callable[[int, bytes, int], int] = os.pwrite
        self.lseek: Callable[[int, int, int], int] = os.lseek
        self.pread: Callable[[int, int, int], bytes] = os.pread
        self.close: Callable[[int], None] = os.close
        self.fstat: Callable[[int], os.stat_result] = os.fstat
        self.ftruncate: Callable[[int, int], None] = os.ftruncate
        self.fdatasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
        self.rename: Callable[[str, str], None] = os.rename
        self.unlink: Callable[[str], None] = os.unlink
        self.lstat: Callable[[str], os.stat_result] = os.lstat
        self.listdir: Callable[[str], list[str]] = os.listdir
        self.chmod: Callable[[str, int], None] = os.chmod

    def create(self, path: str) -> int:
        """A new file, open for reading and writing, for its owner alone."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFELY, 0o600)

    def open(self, path: str) -> int:
        """A file that is there, open for reading and writing; never through a link."""
        return os.open(path, os.O_RDWR | _SAFELY)

    def put_away(self, descriptor: int) -> None:
        """Close it; also where the system says that this failed, it is closed."""
        with suppress(OSError):
            self.close(descriptor)

    def make_directory(self, path: str) -> None:
        """This directory for its owner alone, and the ones above it, where they are missing."""
        parent = os.path.dirname(path)
        if parent:
            os.makedirs(parent, exist_ok=True)
        os.mkdir(path, 0o700)
        with suppress(OSError):  # some file systems refuse it
            self.sync_directory(parent)

    def sync_directory(self, path: str) -> None:
        """Make names in it survive a power cut."""
        descriptor = os.open(path, os.O_RDONLY | _SAFELY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, descriptor: int) -> bool:
        """
        Take the file's lock, without waiting; whether it is ours now.

        ``flock``, not ``lockf``: that one is lost when the process opens and closes the same file elsewhere.
        """
        locks: Any = fcntl
        try:
            locks.flock(descriptor, locks.LOCK_EX | locks.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def free_bytes(self, path: str) -> int:
        """How much an unprivileged process may still write there."""
        told: Any = os.statvfs(path)
        return int(told.f_bavail * told.f_frsize)

    def owner(self) -> int:
        """The user that files of ours belong to."""
        return os.geteuid()
