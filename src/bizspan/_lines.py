"""
Files of OTLP JSON lines: which ones, and their lines, plain or gzipped, each within bounds.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final, cast

from bizspan.errors import SetupError

SUFFIXES: Final = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")
_LINE_LIMIT: Final = 64 * 1024 * 1024  # a collector's batch is seldom above 10 MB; without a newline a file is one line
_GZIP: Final = b"\x1f\x8b"


def files_of(path: Path) -> list[Path]:
    """
    The file, or the files of a directory.

    Raises:
        SetupError: It does not exist, or has no such file.
    """
    if not path.exists():
        raise SetupError(f"{path} does not exist; pass the file, or the directory, of the collector's file exporter.")
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.iterdir() if each.is_file() and each.name.endswith(SUFFIXES))
    if not found:
        raise SetupError(f"{path} has no file that ends in {', '.join(SUFFIXES)}; pass the files by name.")
    return found


def lines_of(
    file: Path, bad: Callable[[str, str], object], at: Callable[[int], object] = lambda position: None
) -> Iterator[tuple[str, bytes]]:
    """
    Each line that is not empty, and where it stands, as ``name:number``.

    Args:
        file: Plain, or gzipped whatever its name is.
        bad: Called with a place and a reason, for what can't be read.
        at: Called with how many bytes of the file were read.

    Raises:
        SetupError: The file can't be read.
    """
    try:
        with file.open("rb") as stream:
            # By its first bytes: a rotated file may have any name.
            start = stream.read(2)
            stream.seek(0)
            plain = stream if start != _GZIP else cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
            for line in _bounded(plain, file.name, bad):
                at(stream.tell())
                yield line
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror or type(error).__name__}.") from None


def _bounded(stream: IO[bytes], name: str, bad: Callable[[str, str], object]) -> Iterator[tuple[str, bytes]]:
    number = 0
    while True:
        number += 1
        where = f"{name}:{number}"
        try:
            line = stream.readline(_LINE_LIMIT)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            bad(where, "the gzip file is damaged or ends early; its rest is not read")
            return
        if not line:
            return
        if len(line) == _LINE_LIMIT and not line.endswith(b"\n"):
            bad(where, f"longer than {_LINE_LIMIT >> 20} MiB")
            while (line := stream.readline(_LINE_LIMIT)) and not line.endswith(b"\n"):
                pass
            continue
        if line.strip():
            yield where, line
