"""
What a request's body is after transport: chunks joined, decompressed, and bounded on the way.
"""

from __future__ import annotations

import zlib
from typing import Final, Protocol

from bizspan.lens._routes import Refusal

BODY_MOST: Final = 16 << 20
PLAIN_MOST: Final = 32 << 20
_PIECE: Final = 1 << 20
_LINE_MOST: Final = 4_096
_GZIP, _ZLIB, _RAW = 31, 15, -15  # of zlib: the window's size, and which header is expected


class Stream(Protocol):
    """Where a body comes from."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self, size: int, /) -> bytes: ...


def read_body(stream: Stream, length: str | None, coding: str | None) -> bytes:
    """
    The bytes of a body, as they were sent.

    Args:
        stream: Where they come from.
        length: The header ``Content-Length``.
        coding: The header ``Transfer-Encoding``.

    Raises:
        Refusal: Too long, cut short, or its length is not told.
    """
    if coding is not None:
        if coding.strip().lower() != "chunked" or length is not None:
            raise Refusal(400, "The body needs Content-Length, or Transfer-Encoding: chunked.", closes=True)
        return _read_chunks(stream)
    if length is None:
        return b""
    if not (length.isascii() and length.isdigit()) or len(length) > 18:
        raise Refusal(400, "Content-Length is no number.", closes=True)
    return _read_exactly(stream, _bounded(int(length)))


def _bounded(size: int) -> int:
    if size > BODY_MOST:
        raise Refusal(413, f"The body is larger than {BODY_MOST >> 20} MiB; send fewer records at once.", closes=True)
    return size


def _read_exactly(stream: Stream, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise Refusal(400, "The body ends early.", closes=True)
    return data


def _read_chunks(stream: Stream) -> bytes:
    parts: list[bytes] = []
    total = 0
    while True:
        line = stream.readline(_LINE_MOST)
        try:
            size = int(line.partition(b";")[0].strip() or b"x", 16)
        except ValueError:
            raise Refusal(400, "The body is not chunked, or ends early.", closes=True) from None
        if size < 0:
            raise Refusal(400, "The body is not chunked.", closes=True)
        if size == 0:
            break
        total = _bounded(total + size)
        parts.append(_read_exactly(stream, size))
        if stream.readline(_LINE_MOST).strip():
            raise Refusal(400, "The body is not chunked.", closes=True)
    for _ in range(100):  # trailers
        if not stream.readline(_LINE_MOST).strip():
            return b"".join(parts)
    raise Refusal(400, "The body has too many trailers.", closes=True)


def decompressed(data: bytes, coding: str | None) -> bytes:
    """
    The body without its compression.

    Args:
        data: The body.
        coding: The header ``Content-Encoding``.

    Raises:
        Refusal: Unknown, damaged, or larger than is taken.
    """
    coding = (coding or "identity").strip().lower()
    if coding in ("identity", ""):
        return data
    if coding in ("gzip", "x-gzip"):
        return _inflated(data, _GZIP)
    if coding == "deflate":
        # Some send what the name says, and some with the header of zlib, which the specification means.
        try:
            return _inflated(data, _ZLIB)
        except Refusal as why:
            if why.status != 400:
                raise
            return _inflated(data, _RAW)
    raise Refusal(415, "The body's compression is unknown; use gzip, deflate, or none.")


def _inflated(data: bytes, window: int) -> bytes:
    parts: list[bytes] = []
    total = 0
    while data:
        inflater = zlib.decompressobj(window)
        while not inflater.eof:
            try:
                part = inflater.decompress(data, _PIECE)
            except zlib.error:
                raise Refusal(400, "The body is not what its Content-Encoding says, or is damaged.") from None
            total += len(part)
            if total > PLAIN_MOST:
                raise Refusal(
                    413, f"The body is larger than {PLAIN_MOST >> 20} MiB decompressed; send fewer records at once."
                )
            parts.append(part)
            data = inflater.unconsumed_tail
            if not part and not data and not inflater.eof:
                raise Refusal(400, "The compressed body ends early.")
        data = inflater.unused_data  # gzip may have several members
    return b"".join(parts)
