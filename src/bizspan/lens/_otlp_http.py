"""
OTLP over HTTP: three paths, two encodings, and answers in the encoding of the request.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Final

from bizspan.lens._bodies import decompressed
from bizspan.lens._decoding import Encoding, Signal
from bizspan.lens._intake import Intake
from bizspan.lens._logs import Damaged
from bizspan.lens._records import TooMany
from bizspan.lens._routes import Refusal, Request, Response, Routes
from bizspan.lens._store import Stored, StoreError

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_ENCODINGS: Final[dict[str, Encoding]] = {_PROTOBUF: "protobuf", "application/protobuf": "protobuf", _JSON: "json"}
_OTHER_MOST: Final = 8 << 20  # of JSON, spans and metrics: an object each, before they are counted
_REJECTED: Final[dict[Signal, str]] = {
    "logs": "rejectedLogRecords", "traces": "rejectedSpans", "metrics": "rejectedDataPoints",
}  # fmt: skip
SIGNALS: Final[tuple[Signal, ...]] = ("logs", "traces", "metrics")


def add_to(routes: Routes, intake: Intake) -> None:
    """Have the three paths of OTLP take requests."""
    for signal in SIGNALS:
        routes.add("POST", f"/v1/{signal}", partial(_take, intake, signal))


def _take(intake: Intake, signal: Signal, request: Request) -> Response:
    told = (request.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    encoding = _ENCODINGS.get(told)
    if encoding is None:
        raise Refusal(415, f"Content-Type has to be {_PROTOBUF} or {_JSON}.")
    try:
        body = decompressed(request.body, request.headers.get("Content-Encoding"))
        if len(body) > _OTHER_MOST and (encoding == "json" or signal != "logs"):
            raise Refusal(413, f"The body is larger than {_OTHER_MOST >> 20} MiB; send fewer records at once.")
        return _answer(encoding, signal, intake.take(signal, encoding, body))
    except Damaged as why:
        return _error(encoding, 400, str(why))
    except TooMany:
        return _error(encoding, 413, "The request has too many records; send fewer at once.")
    except StoreError as why:
        return _error(encoding, 503, f"Not stored: {why}.", {"Retry-After": "1"})
    except Refusal as why:
        return _error(encoding, why.status, why.text, why.headers)


def _answer(encoding: Encoding, signal: Signal, stored: Stored) -> Response:
    """An Export...ServiceResponse: the field partial_success is 1 in all three, and so are its own two."""
    if encoding == "json":
        told = {"partialSuccess": {_REJECTED[signal]: str(stored.refused), "errorMessage": stored.why}}
        return Response(json.dumps(told if stored.refused else {}).encode(), _JSON)
    if not stored.refused:
        return Response(b"", _PROTOBUF)
    refused = b"\x08" + _varint(stored.refused) + _field(0x12, stored.why)
    return Response(b"\x0a" + _varint(len(refused)) + refused, _PROTOBUF)


def _error(encoding: Encoding, status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    """A google.rpc.Status, as OTLP wants it: with field 2, the message."""
    body = json.dumps({"message": text}).encode() if encoding == "json" else _field(0x12, text)
    return Response(body, _JSON if encoding == "json" else _PROTOBUF, status, headers or {})


def _field(tag: int, text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    return bytes((tag,)) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
