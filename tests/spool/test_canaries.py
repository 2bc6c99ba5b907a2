"""
Canaries: a secret, an e-mail address and a spoofed header go in; they come out nowhere.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import threading
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

import bizspan
from _collector import Behaviour, Receiver
from _receiver import Request
from bizspan import Attribute, SetupError, Vocabulary, _active, names
from bizspan.configure import Configuration
from bizspan.spool import Spool
from bizspan.spool._target import from_environment
from tests.child import BOUND_S

pytest.importorskip("flask")

MARK: Final = "c4nary"  # in each of them
SECRET: Final = f"b34rer-{MARK}-token"
KEY: Final = f"hash-key-{MARK}-0123456789"
EMAIL: Final = f"ada.{MARK}@example.org"
SPOOFED: Final = f"sp00fed-{MARK}"
MONEY: Final = 424_242_424_242
FORBIDDEN: Final = (
    MARK, str(MONEY), quote(SECRET), quote(EMAIL), SECRET.encode().hex(), EMAIL.encode().hex(),
    *(hashlib.new(kind, text.encode()).hexdigest() for kind in ("md5", "sha1", "sha256") for text in (EMAIL, SECRET)),
)  # fmt: skip

SHOP: Final = Vocabulary(
    "shop",
    [
        Attribute(name="tier", allowed=["gold", "basic"], propagate=True),
        Attribute(name="note", propagate=True),
        Attribute(name="contact", personal=True, propagate=True),
        Attribute(name="margin"),
    ],
    propagate=["segment", "customer"],
)
SPOOFS: Final = (
    ",".join(
        f"{key}={SPOOFED}"
        for key in (
            names.OPERATION_NAME, names.OPERATION_ID, names.OPERATION_OUTCOME, names.OPERATION_REASON, names.RECORD_UID,
            names.WRITER_ID, names.SEQUENCE, names.ORDER, names.NOTES, names.TRAFFIC, "business.revenue.currency",
            "shop.margin", "shop.tier", "session.id", "business.custom.x", "vendor", "enduser.pseudo.id",
        )
    ),
    ",".join(f"business.{kind}.{part}={MONEY}" for kind in ("revenue", "refund", "cost", "value")
             for part in ("minor_units", "amount")),
    f"shop.note={SPOOFED}%0d%0aset-cookie:{SPOOFED}",
    f"shop.note={SPOOFED}%00,shop.contact={quote(EMAIL)},enduser.pseudo.id={quote(EMAIL)}",
    f"shop.note={SPOOFED}" + "x" * 60_000,
    f"shop.note={SPOOFED}" + "x" * 2**20,
    ",".join(f"k{number}={SPOOFED}" for number in range(3_000)),
)  # fmt: skip


class Wire(Receiver):
    """A receiver that keeps every body that it was sent, also those that it refused."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[tuple[str, bytes, str]] = []

    def __enter__(self) -> Wire:
        super().__enter__()
        return self

    def take(self, request: Request, decode: Callable[[], Any]) -> Behaviour | None:
        """See `Receiver.take`."""
        message = decode()
        self.bodies.append((request.signal, message.SerializeToString(), str(message)))
        return super().take(request, lambda: message)


class Lines(logging.Handler):
    """Every log line of every logger, as a file would have it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s %(args)r"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> Generator[Lines]:
    """With every logger at DEBUG, also those that have a level of their own."""
    handler, root = Lines(), logging.getLogger()
    loggers = [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    before = [(each, each.level) for each in loggers]
    root.addHandler(handler)
    for each in loggers:
        each.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    for each, level in before:
        each.setLevel(level)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without telemetry settings but for the secrets."""
    for name in [name for name in os.environ if name.startswith(("OTEL_", "BIZSPAN_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer%20{SECRET}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("BIZSPAN_HASH_KEY", KEY)


def found(where: bytes | str) -> list[str]:
    """The canaries in it."""
    text = where if isinstance(where, str) else where.decode("latin-1")
    return [each for each in FORBIDDEN if each.lower() in text.lower()]


@contextmanager
def serving() -> Generator[int]:
    """A shop in Flask that trusts baggage, over HTTP; its port."""
    from flask import Flask, request
    from werkzeug.serving import make_server

    from bizspan.integrations.flask import Bizspan

    instrumentation: Any = pytest.importorskip("opentelemetry.instrumentation.flask")
    telemetry = instrumentation.FlaskInstrumentor()
    app = Flask(__name__)
    app.logger.setLevel(logging.DEBUG)
    Bizspan(
        app,
        routes={"POST /checkout": "checkout"},
        resolver=lambda request: {"customer": request.headers.get("X-Customer")},
        trust_baggage=True,
        session=lambda request: request.headers.get("X-Customer"),
    )
    telemetry.instrument_app(app)

    @app.post("/checkout")
    def checkout() -> str:  # pyright: ignore[reportUnusedFunction]
        customer = request.headers["X-Customer"]
        logging.getLogger("shop").info("checkout")
        bizspan.annotate(order="o-visible", customer=customer)
        bizspan.event("invoice.paid", revenue=("9.90", "EUR"), order="o-visible", customer=customer)
        bizspan.refund("1.00", "EUR", order="o-visible", attributes={"shop.contact": customer})
        bizspan.feedback("nps", 9, customer=customer)
        with bizspan.context(contact=customer), bizspan.operation("inner", customer=[customer]):
            pass
        return "thanks"

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        telemetry.uninstrument_app(app)


def post(port: int, baggage: str) -> int:
    """Check out, with this header; the answer's status. A server may hang up on one that is too long."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_S)
    try:
        connection.request("POST", "/checkout", headers={"X-Customer": EMAIL, "baggage": baggage})
        return connection.getresponse().status
    except (TimeoutError, ConnectionError):
        return 0
    finally:
        connection.close()


def reprs(telemetry: Configuration, options: Spool) -> str:
    """What a debugger, or an error tracker that keeps local variables, would show."""
    pipeline = _active.pipeline()
    assert pipeline is not None
    book: Any = pipeline.book
    sender = book._sender
    shown = [
        telemetry, options, from_environment(), pipeline, pipeline.hasher, pipeline.facts, book, sender,
        sender._poster, sender._poster._target, book._store, book._writer, book._directory, *book._store.own,
        telemetry.settings,
    ]  # fmt: skip
    return "\n".join(map(repr, shown))


def on_disk(path: Path) -> list[tuple[str, bytes]]:
    """Every file's name and content."""
    return [(each.name, each.read_bytes()) for each in sorted(path.rglob("*")) if each.is_file()]


@pytest.mark.usefixtures("environment")
def test_no_canary_comes_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: Lines,
    capfd: pytest.CaptureFixture[str],
    production_guard: None,
) -> None:
    """
    Not on the wire, in any signal, whether the collector took it or not; not on the disk; not in a log line of any
    logger; not in a repr. What is no secret is in all of these places.
    """
    directory = tmp_path / "spool"
    with Wire() as wire:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", wire.http_endpoint)
        wire.behaviour = "unavailable"
        options = Spool(directory, endpoint=f"{wire.http_endpoint}/v1/logs")
        with bizspan.configure(service_name="shop", vocabulary=SHOP, spool=options) as telemetry:
            with serving() as port:
                statuses = [post(port, each) for each in SPOOFS]
                telemetry.force_flush(0.5)
                stored = on_disk(directory)
                shown = reprs(telemetry, options)
                wire.behaviour = "accept"
                statuses.append(post(port, SPOOFS[0]))
                assert telemetry.force_flush()
                stored += on_disk(directory)
            shown += reprs(telemetry, options)
            refused = bizspan.diagnostics().values_refused
    stored += on_disk(directory)

    # Werkzeug itself answers to a header that is longer than 64 KiB.
    assert 6 <= statuses.count(200) <= len(statuses), statuses
    assert {"traces", "metrics", "logs"} == {signal for signal, _, _ in wire.bodies}
    assert [] == [(signal, canary) for signal, raw, text in wire.bodies for canary in (*found(raw), *found(text))]
    assert [] == [(name, canary) for name, content in stored for canary in (*found(name), *found(content))]
    assert [] == [(line[:200], canary) for line in lines.lines for canary in found(line)]
    assert [] == found(shown)
    assert [] == [canary for stream in capfd.readouterr() for canary in found(stream)]
    assert {"reserved", "invalid", "size", "too_many"} <= refused.keys(), refused
    # The places that were looked at are the ones where things are.
    assert any(b"o-visible" in content and b"k1:" in content for _, content in stored)
    assert all(
        any(b"o-visible" in raw for signal, raw, _ in wire.bodies if signal == kind) for kind in ("traces", "logs")
    )
    assert {"shop", "bizspan", "werkzeug"} <= {line.partition(" ")[0] for line in lines.lines}
    assert "Target(" in shown and "Spool(" in shown


SAID_WRONG: Final[dict[str, dict[str, str]]] = {
    "a user in the endpoint": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:{SECRET}@collector:4318"},
    "a user without a host": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{SECRET}@"},
    "no scheme": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"user:{SECRET}@collector:4318"},
    "a port": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://collector:{SECRET}"},
    "a space": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://collector:4318/ {SECRET}"},
    "the logs endpoint": {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"https://user:{SECRET}@collector/v1/logs"},
    "the spool's endpoint": {"BIZSPAN_SPOOL_ENDPOINT": f"http://user:{SECRET}@collector:4318/v1/logs"},
    "the spool's scheme": {"BIZSPAN_SPOOL_ENDPOINT": f"grpc://{SECRET}:4318/v1/logs"},
    "the spool's path": {"BIZSPAN_SPOOL_ENDPOINT": f"http://{SECRET}"},
    "a header's line break": {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {SECRET}\r\nx: y"},
    "a header's escaped line break": {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{SECRET}%0d%0ax:y"},
    "a header's name": {"OTEL_EXPORTER_OTLP_HEADERS": f"x {SECRET}=y"},
    "a header's letters": {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization={SECRET}€"},
    "compression": {"OTEL_EXPORTER_OTLP_COMPRESSION": SECRET},
    "a timeout": {"OTEL_EXPORTER_OTLP_TIMEOUT": SECRET},
    "a certificate": {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4318", "OTEL_EXPORTER_OTLP_CERTIFICATE": f"/run/{SECRET}.pem"
    },
    "a client's key": {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4318", "OTEL_EXPORTER_OTLP_CLIENT_KEY": f"/run/{SECRET}.pem",
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": f"/run/{SECRET}.crt",
    },
    "a short key": {"BIZSPAN_HASH_KEY": MARK},
}  # fmt: skip


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("variables", [pytest.param(told, id=what) for what, told in SAID_WRONG.items()])
def test_a_wrong_set_up_is_said_without_it(
    variables: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: Lines,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """
    Refused before anything is sent; neither the error nor one that it came from repeats the value.
    """
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SetupError) as caught:
        bizspan.configure(export="none", spool=tmp_path / "spool")

    assert [] == found(said(caught.value)) + found("\n".join(lines.lines)) + found("".join(capfd.readouterr()))
    assert all(not found(content) for _, content in on_disk(tmp_path))


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    "options",
    [
        {"hash_key": MARK},
        {"hash_key": MARK.encode()},
        {"spool": Spool("spool", endpoint=f"http://user:{SECRET}@collector:4318/v1/logs")},
        {"spool": Spool("spool", endpoint=f"{SECRET}:4318")},
    ],
    ids=["text", "bytes", "user", "scheme"],
)
def test_a_wrong_argument_is_said_without_it(options: dict[str, Any]) -> None:
    """
    In code, too.
    """
    with pytest.raises(SetupError) as caught:
        bizspan.configure(export="none", **options)

    assert [] == found(said(caught.value)) + found(repr(options.get("spool")))


def said(error: BaseException) -> str:
    """An error as an error tracker has it: texts, arguments, and those of the errors that it came from."""
    whole = [traceback.format_exception_only(error)]
    cause: BaseException | None = error
    while cause is not None:
        whole.append([str(cause), repr(cause), repr(cause.args)])
        cause = cause.__cause__ or cause.__context__
    return "\n".join(line for part in whole for line in part)


def test_the_checker_sees_canaries() -> None:
    """
    In bytes, in text, in other forms.
    """
    assert found(f"x{SECRET}".encode()) and found(quote(EMAIL)) and found(str(MONEY))
    assert found(hashlib.sha256(EMAIL.encode()).hexdigest())
    assert [] == found("ada")
