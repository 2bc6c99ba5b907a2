"""
What a server's answer means for the events that were sent, and how long to wait after one that means "not now".

=====================================================  ===========================================================
2xx, protobuf or JSON that can be read, or no body     delivered, but for what ``partial_success`` says was rejected
2xx, anything else                                     hold: whoever answered is no OTLP receiver
400, 413                                               split: halves, down to the one event that is refused
401, 403, 404, 3xx, 5xx, all others                    hold: a wrong set-up is not the events' fault
429, 503                                               hold for as long as ``Retry-After`` says, at most 5 minutes
no answer                                              hold
=====================================================  ===========================================================

This departs from OTLP's list of codes that must not be retried, on purpose: a wrong credential is configuration.
"""

from __future__ import annotations

import json
import random
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Final, cast

MOST_ANSWER: Final = 64 * 1024
MOST_RETRY_AFTER_S: Final = 300.0
_PROTOBUF: Final = frozenset({"application/x-protobuf", "application/protobuf"})
_PLAIN_TO_TLS: Final = re.compile(rb"http request.{0,40}https|plain http", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What came back. Its repr holds nothing that a server wrote.

    Args:
        status: Of HTTP; 0 where nothing that is HTTP came back.
        problem: Why there is no status, a word of `FIXES`.
        content_type: The header.
        content_encoding: The header.
        retry_after: The header.
        body: At most `MOST_ANSWER` bytes.
        is_cut: Whether the body was longer.
    """

    status: int
    problem: str = ""
    content_type: str = field(default="", repr=False)
    content_encoding: str = field(default="", repr=False)
    retry_after: str = field(default="", repr=False)
    body: bytes = field(default=b"", repr=False)
    is_cut: bool = False


class Kind(Enum):
    """What to do with the events that an answer is about."""

    DELIVERED = "delivered"
    SPLIT = "split"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What an answer means.

    Args:
        kind: What to do.
        rejected: Of delivered events, how many the collector left out for good.
        warned: Whether the collector sent a message along.
        retry_after_s: For a hold, how long the server asks to wait.
        reason: For a split and a hold, a word of `FIXES`.
    """

    kind: Kind
    rejected: int = 0
    warned: bool = False
    retry_after_s: float | None = None
    reason: str = ""


# What is said once per reason; where it happened stands in front.
FIXES: Final = {
    "http_400": "It does not understand a request; what it refuses goes to the dead letters. Read the collector's log.",
    "http_413": "A request is too large for it; smaller ones are tried. Raise its body limit.",
    "http_401": "It wants credentials; check OTEL_EXPORTER_OTLP_HEADERS.",
    "http_403": "The credentials may not send log records; put a token that may write into OTEL_EXPORTER_OTLP_HEADERS.",
    "http_404": "Nothing takes OTLP log records under this path; check the path of OTEL_EXPORTER_OTLP_ENDPOINT.",
    "http_3xx": "It redirects, and redirects are not followed; set OTEL_EXPORTER_OTLP_ENDPOINT to where it leads.",
    "http_429": "It takes no more for now; raise its quota.",
    "http_4xx": "It refuses requests; read the collector's log, and check that the endpoint takes OTLP over HTTP.",
    "http_503": "It, or what stands behind it, is down or overloaded; read the collector's log.",
    "http_5xx": "It failed; read the collector's log.",
    "not_otlp": "It answers with something that no OTLP receiver sends; check OTEL_EXPORTER_OTLP_ENDPOINT.",
    "unreadable": "Its answer cannot be read as OTLP, so nothing counts as delivered; look at what stands in between.",
    "wants_tls": "It wants TLS; write https:// in OTEL_EXPORTER_OTLP_ENDPOINT.",
    "refused": "Nothing listens there; start the collector, or set OTEL_EXPORTER_OTLP_ENDPOINT.",
    "unreachable": "It is not reachable from here; check the network and OTEL_EXPORTER_OTLP_ENDPOINT.",
    "timeout": "No whole answer came in time; check the firewall, or raise OTEL_EXPORTER_OTLP_TIMEOUT.",
    "dns": "Its name is not known (DNS); check OTEL_EXPORTER_OTLP_ENDPOINT.",
    "certificate": "Its certificate is not trusted here; set OTEL_EXPORTER_OTLP_CERTIFICATE, or renew it.",
    "tls": "The TLS handshake fails; check https:// in OTEL_EXPORTER_OTLP_ENDPOINT, and the client's certificate.",
    "closed": "It hangs up without a whole answer; read the collector's log.",
    "garbled": "What it answers is not HTTP; a gRPC port does that: the spool needs the HTTP one, by default 4318.",
    "internal": "The spool itself failed, and goes on trying; see the accounts of swallowed errors.",
}


def judge(answer: Answer, now: float) -> Verdict:
    """
    What an answer means, by the table above.

    Args:
        answer: What came back.
        now: Seconds since the epoch, for a ``Retry-After`` that is a date.
    """
    status = answer.status
    if 200 <= status < 300:
        return _success(answer)
    if status in (400, 413):
        if status == 400 and _PLAIN_TO_TLS.search(answer.body):
            return Verdict(Kind.HOLD, reason="wants_tls")
        return Verdict(Kind.SPLIT, reason=f"http_{status}")
    if status in (429, 503):
        return Verdict(Kind.HOLD, retry_after_s=retry_after(answer.retry_after, now), reason=f"http_{status}")
    if not status:
        return Verdict(Kind.HOLD, reason=answer.problem)
    return Verdict(Kind.HOLD, reason=f"http_{status}" if status in (401, 403, 404) else _class(status))


def _class(status: int) -> str:
    return f"http_{status // 100}xx" if 300 <= status < 600 else "not_otlp"


def _success(answer: Answer) -> Verdict:
    if not answer.body:
        return Verdict(Kind.DELIVERED)
    kind = answer.content_type.partition(";")[0].strip().lower()
    if kind not in _PROTOBUF and kind != "application/json":
        return Verdict(Kind.HOLD, reason="not_otlp")
    try:
        body, is_cut = _plain(answer)
        rejected, warned = _of_protobuf(body, is_cut) if kind in _PROTOBUF else _of_json(body)
    except (ValueError, TypeError, IndexError, RecursionError, zlib.error):
        return Verdict(Kind.HOLD, reason="unreadable")
    return Verdict(Kind.DELIVERED, rejected=max(rejected, 0), warned=warned)


def _plain(answer: Answer) -> tuple[bytes, bool]:
    """The body without its compression, and whether it was cut."""
    encoding = answer.content_encoding.strip().lower()
    if encoding in ("", "identity"):
        return answer.body, answer.is_cut
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ValueError
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)  # either header
    plain = unpack.decompress(answer.body, MOST_ANSWER)
    if not unpack.eof and not unpack.unconsumed_tail and not answer.is_cut:
        raise ValueError
    return plain, not unpack.eof


# --- partial success ------------------------------------------------------------------------------------------------


def _of_protobuf(body: bytes, is_cut: bool) -> tuple[int, bool]:
    """
    Rejected records, and whether there is a message: fields 1 and 2 of field 1 of ExportLogsServiceResponse.

    By hand, because the spool needs no protobuf package. Unknown fields are passed over, as protobuf asks.
    """
    rejected, warned = 0, False
    for number, partial in _fields(body, is_cut):
        if number != 1:
            continue
        if not isinstance(partial, bytes):
            raise ValueError
        for inner, value in _fields(partial, is_cut):
            if inner == 1 and isinstance(value, int):
                rejected = value - (1 << 64) if value >> 63 else value
            elif inner == 2 and isinstance(value, bytes):
                warned = warned or bool(value)
            elif inner in (1, 2):
                raise ValueError
    return rejected, warned


def _fields(data: bytes, is_cut: bool) -> Iterator[tuple[int, int | bytes | None]]:
    """Number and value of each field; the last one of a message that was cut may be shorter than it says."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not number:
            raise ValueError
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError
        end = at + length
        if end > len(data) and not is_cut:
            raise ValueError
        yield number, data[at:end] if wire == 2 else None
        at = end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]  # IndexError at the end
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > 63:
            raise ValueError


def _of_json(body: bytes) -> tuple[int, bool]:
    """The same from OTLP's JSON, where an int64 is a text or a number."""
    partial = _member(json.loads(body), "partialSuccess", "partial_success")
    if partial is None:
        return 0, False
    count = _member(partial, "rejectedLogRecords", "rejected_log_records")
    message = _member(partial, "errorMessage", "error_message")
    if isinstance(count, bool) or (isinstance(count, float) and not count.is_integer()):
        raise ValueError
    return 0 if count is None else int(count), bool(message)


def _member(value: Any, *names: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError
    members = cast("dict[str, Any]", value)
    return next((members[name] for name in names if members.get(name) is not None), None)


# --- waiting --------------------------------------------------------------------------------------------------------


def retry_after(text: str, now: float) -> float | None:
    """
    How many seconds a ``Retry-After`` asks to wait, at most 300; None where it says nothing that can be used.

    Args:
        text: Seconds, or a date (RFC 9110, 10.2.3).
        now: Seconds since the epoch.
    """
    try:
        wanted = float(text)
    except ValueError:
        try:
            wanted = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, IndexError, OverflowError, OSError):
            return None
    return min(wanted, MOST_RETRY_AFTER_S) if wanted > 0 else None  # a NaN is not above 0 either


class Backoff:
    """
    How long to wait after each failure in a row: twice as long each time, up to a limit, and never quite the same.

    Args:
        first_s: After the first failure, at most; also the least that a server's own wish is stretched to.
        most_s: At most, after any.
        chance: A number from 0 to 1, so that many processes don't come back at the same moment.
    """

    def __init__(self, first_s: float = 1.0, most_s: float = 30.0, chance: Callable[[], float] | None = None) -> None:
        self.first_s = first_s
        self._most_s = most_s
        self._chance = chance or random.SystemRandom().random  # the usual one goes on alike in each forked child
        self._next_s = first_s

    def after_failure(self, asked_s: float | None = None) -> float:
        """
        Seconds to wait now.

        Args:
            asked_s: What the server asked for, if it did.
        """
        limit, self._next_s = self._next_s, min(self._next_s * 2, self._most_s)
        if asked_s is not None:
            return min(max(asked_s, self.first_s), MOST_RETRY_AFTER_S)
        return limit * (0.5 + self._chance() / 2)

    def after_success(self) -> None:
        """The next failure is a first one again."""
        self._next_s = self.first_s
