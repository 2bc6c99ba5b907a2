"""
What is at the other end of a connection: name, port, certificate, and which protocol answers.

For diagnosis only, after an exporter failed: it sends one short HTTP/1.1 request without any header of the user's.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Final

_REQUEST: Final = "GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bizspan-doctor\r\nConnection: close\r\n\r\n"
_MOST_BYTES: Final = 4096
_EXPIRED, _NOT_YET_VALID, _HOSTNAME, _ADDRESS = 10, 9, 62, 64  # OpenSSL's X509_V_ERR_*
_SELF_SIGNED: Final = frozenset({18, 19})


@dataclass(frozen=True, slots=True)
class Probed:
    """
    How far a connection came.

    Args:
        stage: Where it ended: ``dns``, ``connect``, ``tls`` or ``answer``.
        problem: One word: at ``dns`` unknown, timeout; at ``connect`` refused, timeout, unreachable; at ``tls`` plain,
            expired, not_yet_valid, self_signed, hostname, untrusted, files, timeout, closed, other; at ``answer`` what
            speaks there: http1, http2, tls, other, or nothing, timeout.
    """

    stage: str
    problem: str


def probe(host: str, port: int, tls: bool, timeout_s: float, ca_file: str = "", client: tuple[str, str] | None = None,
          h2: bool = False) -> Probed:  # fmt: skip
    """
    How far a connection comes, within the bound (name resolution has the operating system's).

    Args:
        host: A name or an address.
        port: Of the server.
        tls: Whether to encrypt.
        timeout_s: For all of it, in seconds.
        ca_file: The authorities to trust; by default those of the exporter's library, or of the system.
        client: Certificate and key of the client.
        h2: Offer HTTP/2 in the handshake, as gRPC does.
    """
    deadline = time.monotonic() + timeout_s
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        return Probed("dns", "unknown")
    connection: socket.socket | None = None
    problem = "unreachable"
    for family, kind, protocol, _, address in addresses:
        try:
            connection = socket.socket(family, kind, protocol)
            connection.settimeout(_left(deadline))
            connection.connect(address)
            break
        except OSError as error:
            problem = _connect_problem(error)
            if connection is not None:
                connection.close()
                connection = None
    if connection is None:
        return Probed("connect", problem)
    with connection:
        if not tls:
            return Probed("answer", _answer(connection, host, deadline))
        try:
            context = _context(ca_file, client, h2)
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            return Probed("tls", "files")
        try:
            connection.settimeout(_left(deadline))
            with context.wrap_socket(connection, server_hostname=host) as encrypted:
                if encrypted.selected_alpn_protocol() == "h2":
                    return Probed("answer", "http2")
                return Probed("answer", _answer(encrypted, host, deadline))
        except (OSError, ValueError) as error:
            return Probed("tls", _tls_problem(error))


def _left(deadline: float) -> float:
    return max(0.05, deadline - time.monotonic())


def _connect_problem(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "timeout" if isinstance(error, TimeoutError) else "unreachable"


def _context(ca_file: str, client: tuple[str, str] | None, h2: bool) -> ssl.SSLContext:
    is_folder = os.path.isdir(ca_file)
    context = ssl.create_default_context(
        cafile=None if is_folder else ca_file or None, capath=ca_file if is_folder else None
    )
    if not ca_file:
        try:
            import certifi

            context.load_verify_locations(certifi.where())
        except ImportError:  # gRPC alone: the system's authorities stand in
            context.load_default_certs()
    if client is not None:
        context.load_cert_chain(client[0], client[1] or None)
    if h2:
        context.set_alpn_protocols(["h2"])
    return context


def _tls_problem(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code in _SELF_SIGNED:
            return "self_signed"
        known = {_EXPIRED: "expired", _NOT_YET_VALID: "not_yet_valid", _HOSTNAME: "hostname", _ADDRESS: "hostname"}
        return known.get(code, "untrusted")
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
        return "closed"
    reason = getattr(error, "reason", "") or ""
    if isinstance(error, ssl.SSLError) and reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return "plain"
    return "other"


def _answer(connection: socket.socket, host: str, deadline: float) -> str:
    """What speaks at the other end, by its first bytes."""
    received = b""
    try:
        connection.sendall(_REQUEST.format(host=host.encode("idna").decode()).encode())
        while len(received) < _MOST_BYTES and time.monotonic() < deadline:
            connection.settimeout(_left(deadline))
            more = connection.recv(_MOST_BYTES)
            received += more
            if not more or len(received) >= 9:
                break
    except TimeoutError:
        return _spoken(received) if received else "timeout"
    except (OSError, UnicodeError):
        pass
    return _spoken(received)


def _spoken(received: bytes) -> str:
    if received.startswith(b"HTTP/1"):
        return "http1"
    # The first frame of an HTTP/2 server is SETTINGS (RFC 9113, 3.4): type 4, on stream 0.
    if len(received) >= 9 and received[3] == 4 and received[5:9] == bytes(4):
        return "http2"
    if received[:2] in (b"\x15\x03", b"\x16\x03"):
        return "tls"
    return "other" if received else "nothing"
