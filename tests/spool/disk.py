"""
A file system in memory that several processes share, and that fails as told: at any system call, or within one.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from bizspan.spool._files import Files

PATH = "/spool"
T = TypeVar("T")


class Crash(BaseException):
    """The process ends here."""


@dataclass(eq=False)
class Inode:
    """A file: its content now, and as it was when it last reached the disk."""

    number: int
    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    links: int = 1
    holder: object = None


@dataclass(eq=False)
class Opened:
    """What a descriptor stands for."""

    inode: Inode
    position: int = 0


@dataclass(frozen=True)
class Fate:
    """
    What happens at one of the next system calls.

    Args:
        after: How many calls go well before it.
        kind: ``before``, ``after`` and ``middle`` end the process; ``short`` writes a part; ``late`` fails although it
            was done; a number is raised as that error; ``visit`` lets somebody else do something first.
        cut: Where a write ends in the middle, in thousandths.
    """

    after: int
    kind: str | int
    cut: int = 0


class Disk:
    """
    What is left when a process ends.

    Attributes:
        room: How many further bytes fit.
        names: What lies in the directory.
    """

    def __init__(self) -> None:
        self.room = 1 << 30
        self.names: dict[str, Inode] = {}
        self.synced_names: dict[str, Inode] = {}
        self._numbers = 0

    def new(self, path: str) -> Inode:
        """An empty file of this name."""
        self._numbers += 1
        inode = self.names[path] = Inode(self._numbers)
        return inode

    def power_cut(self, choose: Callable[[int], int], page: int) -> None:
        """
        Lose what was not synchronised, as far as fate will have it.

        Args:
            choose: Gives a number below the one that it gets.
            page: Of how many bytes at a time content reaches the disk.
        """
        for path in sorted({*self.names, *self.synced_names}):
            now, before = self.names.get(path), self.synced_names.get(path)
            if now is not before and choose(2):
                if before is None:
                    del self.names[path]
                else:
                    self.names[path] = before
        for inode in {id(each): each for each in self.names.values()}.values():
            self._lose(inode, choose, page)
            inode.links, inode.holder, inode.synced = 1, None, bytes(inode.data)
        self.synced_names = dict(self.names)

    def _lose(self, inode: Inode, choose: Callable[[int], int], page: int) -> None:
        now, kept = bytes(inode.data), inode.synced
        if now == kept:
            return
        # The length reaches the disk by itself: a file can be cut, or end in zeros.
        size = (len(kept), len(now), len(now) // page * page)[choose(3)]
        content = bytearray(max(size, len(kept)))
        content[: len(kept)] = kept
        for start in range(0, size, page):
            if now[start : start + page] != kept[start : start + page] and choose(2):
                content[start : start + page] = now[start : start + page]
        inode.data = content[:size] if size >= len(kept) else content


class DiskFiles(Files):
    """
    One process's way to a `Disk`.

    Args:
        disk: Shared.

    Attributes:
        visitor: See `Fate`.
        fired: The kinds of fates that came true.
        calls: How many system calls were made.
    """

    is_supported = True

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.fate: Fate | None = None
        self.visitor: Callable[[], object] = lambda: None
        self.is_dead = False
        self.fired: list[str | int] = []
        self.calls = 0
        self._left = 0
        self._opened: dict[int, Opened] = {}
        self._numbers = 2
        self.pwrite = self._pwrite
        self.lseek = self._lseek
        self.pread = self._pread
        self.close = self._close
        self.fstat = self._fstat
        self.ftruncate = self._ftruncate
        self.fdatasync = self._fdatasync
        self.rename = self._rename
        self.unlink = self._unlink
        self.lstat = self._lstat
        self.listdir = self._listdir
        self.chmod = self._chmod

    def expect(self, fate: Fate | None) -> None:
        """From now on, this; a fate that did not come in time is forgotten."""
        self.fate = fate
        self._left = 0 if fate is None else fate.after

    def die(self) -> None:
        """The process ends: the system closes its descriptors."""
        self.is_dead = True
        self.close_all()

    def close_all(self) -> None:
        """Everything above the standard streams, as a daemon does it."""
        for number in list(self._opened):
            self._release(number)

    @property
    def open_count(self) -> int:
        """How many descriptors are open."""
        return len(self._opened)

    # --- system calls -------------------------------------------------------------------------------------------------

    def _call(self, effect: Callable[[], T]) -> T:
        fate = self._met()
        if fate is None:
            return effect()
        if fate.kind == "visit":
            self.visitor()
            return effect()
        if fate.kind in ("before", "middle"):
            self._crash()
        if isinstance(fate.kind, int):
            raise OSError(fate.kind, "told to")
        result = effect()
        if fate.kind == "after":
            self._crash()
        if fate.kind == "late":
            raise OSError(errno.EIO, "told to")
        return result

    def _met(self) -> Fate | None:
        if self.is_dead:
            raise Crash
        self.calls += 1
        fate = self.fate
        if fate is None:
            return None
        if self._left:
            self._left -= 1
            return None
        self.fate = None
        self.fired.append(fate.kind)
        return fate

    def _crash(self) -> None:
        self.die()
        raise Crash

    def _at(self, descriptor: int) -> Opened:
        if self.is_dead:
            raise Crash
        try:
            return self._opened[descriptor]
        except KeyError:
            raise OSError(errno.EBADF, "not open") from None

    def _named(self, path: str) -> Inode:
        try:
            return self.disk.names[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such file") from None

    def _release(self, number: int) -> None:
        opened = self._opened.pop(number)
        if opened.inode.holder is opened:
            opened.inode.holder = None

    def _open(self, inode: Inode) -> int:
        self._numbers += 1
        self._opened[self._numbers] = Opened(inode)
        return self._numbers

    def create(self, path: str) -> int:
        def effect() -> Inode:
            if path in self.disk.names:
                raise FileExistsError(errno.EEXIST, "there")
            if self.disk.room <= 0:
                raise OSError(errno.ENOSPC, "no inode")
            return self.disk.new(path)

        return self._open(self._call(effect))  # where it failed late, the file is there, and no descriptor

    def open(self, path: str) -> int:
        return self._open(self._call(lambda: self._named(path)))

    def _close(self, descriptor: int) -> None:
        self._at(descriptor)
        self._release(descriptor)  # also where the system says that it failed
        self._call(lambda: None)

    def lock(self, descriptor: int) -> bool:
        def effect() -> bool:
            opened = self._at(descriptor)
            if opened.inode.holder not in (None, opened):
                return False
            opened.inode.holder = opened
            return True

        return self._call(effect)

    def _pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        inode = self._at(descriptor).inode
        fate = self._met()
        if fate is None or fate.kind not in ("before", "after", "middle", "short", "late"):
            if fate is not None and fate.kind == "visit":
                self.visitor()
            elif fate is not None and isinstance(fate.kind, int):
                raise OSError(fate.kind, "told to")
            return self._put(inode, data, offset)
        if fate.kind == "before":
            self._crash()
        cut = fate.cut if fate.kind != "late" else min(2 * fate.cut, 1000)  # as often all of it
        part = len(data) * cut // 1000 if fate.kind in ("middle", "short", "late") else len(data)
        written = self._put(inode, data[:part], offset)
        if fate.kind in ("middle", "after"):
            self._crash()
        if fate.kind == "late":
            raise OSError(errno.EIO, "told to")
        return written

    def _put(self, inode: Inode, data: bytes, offset: int) -> int:
        grown = max(0, offset + len(data) - max(len(inode.data), offset))
        if data and grown > self.disk.room:
            data = data[: max(0, len(data) - grown + self.disk.room)]
            grown = max(0, self.disk.room)
            if not data:
                raise OSError(errno.ENOSPC, "full")
        self.disk.room -= grown
        if len(inode.data) < offset and data:
            inode.data.extend(bytes(offset - len(inode.data)))
        inode.data[offset : offset + len(data)] = data
        return len(data)

    def _lseek(self, descriptor: int, offset: int, whence: int) -> int:
        opened = self._at(descriptor)
        if whence == os.SEEK_SET:
            opened.position = offset
        return opened.position

    def _pread(self, descriptor: int, size: int, offset: int) -> bytes:
        return self._call(lambda: bytes(self._at(descriptor).inode.data[offset : offset + size]))

    def _ftruncate(self, descriptor: int, size: int) -> None:
        def effect() -> None:
            del self._at(descriptor).inode.data[size:]

        self._call(effect)

    def _fdatasync(self, descriptor: int) -> None:
        def effect() -> None:
            inode = self._at(descriptor).inode
            inode.synced = bytes(inode.data)

        self._call(effect)

    def _rename(self, old: str, new: str) -> None:
        def effect() -> None:
            self.disk.names[new] = self._named(old)
            del self.disk.names[old]

        self._call(effect)

    def _unlink(self, path: str) -> None:
        def effect() -> None:
            inode = self._named(path)
            inode.links -= 1
            self.disk.room += len(inode.data)
            del self.disk.names[path]

        self._call(effect)

    def _listdir(self, path: str) -> list[str]:
        return self._call(lambda: [os.path.basename(name) for name in self.disk.names])

    def sync_directory(self, path: str) -> None:
        def effect() -> None:
            self.disk.synced_names = dict(self.disk.names)

        self._call(effect)

    def _stat(self, inode: Inode) -> os.stat_result:
        return os.stat_result((stat.S_IFREG | 0o600, inode.number, 1, inode.links, 1, 1, len(inode.data), 0, 0, 0))

    def _fstat(self, descriptor: int) -> os.stat_result:
        return self._call(lambda: self._stat(self._at(descriptor).inode))

    def _lstat(self, path: str) -> os.stat_result:
        if path == PATH:
            return os.stat_result((stat.S_IFDIR | 0o700, 1, 1, 1, 1, 1, 0, 0, 0, 0))
        return self._call(lambda: self._stat(self._named(path)))

    def _chmod(self, path: str, mode: int) -> None:
        raise AssertionError(path)

    def make_directory(self, path: str) -> None:
        raise AssertionError(path)

    def free_bytes(self, path: str) -> int:
        return self._call(lambda: self.disk.room)

    def owner(self) -> int:
        return 1
