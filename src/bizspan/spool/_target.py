"""
Where the spool sends to: one OTLP/HTTP endpoint for log records, from code or from the environment, never from a file.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

from bizspan._otlp import COMPRESSIONS, check, check_endpoint, parsed_headers, told
from bizspan.errors import SetupError

SPOOL_ENDPOINT: Final = "BIZSPAN_SPOOL_ENDPOINT"
_PATH: Final = "/v1/logs"
_DEFAULT_URL: Final = f"http://localhost:4318{_PATH}"
_MOST_TIMEOUT_S: Final = 3600.0  # some read the variable as milliseconds; a socket takes no number of any size
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # a header's name: RFC 9110, 5.6.2
_URL: Final = re.compile(r"[!-~]+")  # what may stand in a request line
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Target:
    """
    Where the spool sends to, and how. Its repr holds no path, no header value and no file name: they may be secrets.

    Args:
        url: ``http://`` or ``https://``, host, port, path.
        headers: Sent along, as they are.
        timeout_s: For one request, from the connection to the last byte of the answer.
        compression: ``gzip``, ``deflate`` or ``none``.
        ca_file: PEM file of the authorities to trust, instead of the system's.
        client_certificate: PEM file, shown to the server.
        client_key: PEM file without a passphrase; where empty, the certificate's file holds it.

    Raises:
        SetupError: When one of them cannot work.
    """

    url: str = field(default=_DEFAULT_URL, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    timeout_s: float = 10.0
    compression: str = "gzip"
    ca_file: str = field(default="", repr=False)
    client_certificate: str = field(default="", repr=False)
    client_key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        _check_url("the endpoint", self.url)
        _check_pairs("headers", self.headers)
        if not 0 < self.timeout_s < float("inf"):
            raise SetupError("timeout_s must be a number above 0.")
        if self.compression not in COMPRESSIONS:
            raise SetupError("compression is unknown; use gzip or none.")

    def __repr__(self) -> str:
        return f"Target({self.shown!r}, timeout_s={self.timeout_s}, compression={self.compression!r})"

    @property
    def parts(self) -> SplitResult:
        """The URL's parts."""
        return urlsplit(self.url)

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.parts.scheme == "https"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = self.parts
        return parts.hostname or "", parts.port or (443 if self.uses_tls else 80)

    @property
    def shown(self) -> str:
        """Scheme, host and port, for people: some servers take a token in the path."""
        host, port = self.address
        return f"{self.parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    def tls(self) -> ssl.SSLContext | None:
        """
        What the connection is encrypted with; None where it is not.

        Raises:
            SetupError: When a certificate's file cannot be used.
        """
        if not self.uses_tls:
            return None
        context = _authorities(self.ca_file)
        if context is None:
            raise SetupError(
                "OTEL_EXPORTER_OTLP_CERTIFICATE is not a readable PEM file of certificate authorities; check its path."
            )
        if self.client_certificate and not _has_loaded(context, self.client_certificate, self.client_key):
            raise SetupError(
                "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY are not a readable pair of"
                " PEM files; check their paths, and take the passphrase off the key."
            )
        return context


def from_environment(environment: Mapping[str, str] | None = None, *, url: str | None = None) -> Target:
    """
    The target that the ``OTEL_EXPORTER_OTLP_*`` variables name for logs: HTTP on this machine where they are silent.

    ``BIZSPAN_SPOOL_ENDPOINT`` is the whole URL for the spool alone. It is needed where the protocol is gRPC, because
    the spool always sends over HTTP.

    Args:
        environment: The variables; by default the process's.
        url: Where to, from code: it wins over all variables, which then tell the rest alone.

    Raises:
        SetupError: When the URL or a variable is wrong. Values are not repeated: they may hold secrets.
    """
    variables = os.environ if environment is None else environment
    over_http = _is_http(variables)
    check(variables, "logs", over_http=over_http)
    if url is None:
        variable, url = _url(variables, over_http)
        _check_url(variable, url)
    headers = told(variables, "logs", "HEADERS")
    pairs = parsed_headers(headers.value)
    _check_pairs(headers.variable, pairs)
    timeout = told(variables, "logs", "TIMEOUT")
    return Target(
        url=url,
        headers=pairs,
        timeout_s=min(float(timeout.value), _MOST_TIMEOUT_S) if timeout.is_set else 10.0,
        compression=told(variables, "logs", "COMPRESSION").value or "gzip",
        ca_file=told(variables, "logs", "CERTIFICATE").value,
        client_certificate=told(variables, "logs", "CLIENT_CERTIFICATE").value,
        client_key=told(variables, "logs", "CLIENT_KEY").value,
    )


# The errors of files are over before a SetupError is raised: they hold the file's name, and would be its context.


def _authorities(ca_file: str) -> ssl.SSLContext | None:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        return None


def _has_loaded(context: ssl.SSLContext, certificate: str, key: str) -> bool:
    try:
        # Without a password of ours, OpenSSL would ask the terminal for one, and wait.
        context.load_cert_chain(certificate, key or None, password="")
    except (OSError, ValueError):
        return False
    return True


def _is_http(variables: Mapping[str, str]) -> bool:
    protocol = told(variables, "logs", "PROTOCOL")
    if protocol.value not in ("", "http/protobuf", "grpc"):
        raise SetupError(f"{protocol.variable} is {protocol.value[:32]!r}; use 'http/protobuf' or 'grpc'.")
    return protocol.value != "grpc"


def _url(variables: Mapping[str, str], over_http: bool) -> tuple[str, str]:
    """The variable that names the URL, and the URL."""
    own = variables.get(SPOOL_ENDPOINT, "").strip()
    if own:
        _check_url(SPOOL_ENDPOINT, own)
        if not urlsplit(own).path:
            raise SetupError(f"{SPOOL_ENDPOINT} has no path; write http://host:4318{_PATH}.")
        return SPOOL_ENDPOINT, own
    if not over_http:
        raise SetupError(
            "The spool sends over HTTP, and the OTLP protocol of logs is grpc;"
            f" set {SPOOL_ENDPOINT} to the collector's HTTP receiver, as http://host:4318{_PATH}."
        )
    endpoint = told(variables, "logs", "ENDPOINT")
    if not endpoint.is_set:
        return endpoint.variable, _DEFAULT_URL
    _check_url(endpoint.variable, endpoint.value)  # before the path: it would make a host of "http://"
    if "_LOGS_" in endpoint.variable:
        return endpoint.variable, endpoint.value
    return endpoint.variable, endpoint.value.removesuffix("/") + _PATH


def _check_url(what: str, url: str) -> None:
    check_endpoint(what, url, over_http=True)
    if not _URL.fullmatch(url):
        raise SetupError(f"{what} has a character that no URL holds; percent-encode it.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0 or max(map(len, host.split("."))) > 63:
        raise SetupError(f"{what} has no host, or a port that is no number up to 65535; write http://host:4318{_PATH}.")


def _check_pairs(what: str, headers: tuple[tuple[str, str], ...]) -> None:
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise SetupError(f"{what} has a name that no HTTP header may have; use letters, digits and dashes.")
        if _CONTROL.search(value) or not _is_latin(value):
            raise SetupError(f"{what} has a value with a line break or letters that no HTTP header holds.")


def _is_latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeError:
        return False
    return True
