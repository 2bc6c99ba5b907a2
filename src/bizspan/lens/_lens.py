"""
The lens: a store, and the server that fills it.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bizspan.errors import SetupError
from bizspan.lens import _otlp_http
from bizspan.lens._access import Access
from bizspan.lens._apart import Apart
from bizspan.lens._database import default_path
from bizspan.lens._intake import Intake, needs_protobuf
from bizspan.lens._retention import Retention
from bizspan.lens._routes import Routes
from bizspan.lens._server import Server
from bizspan.lens._store import Store

PORT: Final = 4318  # of OTLP over HTTP
_SHORTEST_TOKEN: Final = 16
_NEW_TOKEN: Final = "python -c 'import secrets; print(secrets.token_urlsafe())'"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")


class Lens:
    """
    Takes OTLP over HTTP into a store, between `start` and `stop`.

    Args:
        store: The file; by default ``bizspan/lens.db`` in the user's directory for state.
        host: Where to listen. Beyond loopback it needs a token, of 16 characters at least.
        token: What every request has to carry, as ``Authorization: Bearer``.
        allow_hosts: Further names under which requests may come, where there is no token.
        retention: What is kept, and for how long.
        apart: Decode requests of 32 KiB and more in a process of its own, as ``bizspan lens`` does.

    Raises:
        MissingExtra: ``bizspan[lens]`` is not installed.
        SetupError: The store can't be used, or the host is unknown, or beyond loopback without a token.
    """

    def __init__(
        self,
        store: str | Path | None = None,
        *,
        host: str = "127.0.0.1",
        token: str = "",
        allow_hosts: Iterable[str] = (),
        retention: Retention | None = None,
        apart: bool = False,
    ) -> None:
        needs_protobuf()
        _check_host(host)
        if not _is_loopback(host) and len(token) < _SHORTEST_TOKEN:
            what = "a longer token" if token else "a token"
            raise SetupError(
                f"Listening on {host} lets other machines in; pass {what}, of {_SHORTEST_TOKEN} characters at least, as"
                f" {_NEW_TOKEN} makes one, or listen on 127.0.0.1 (the default)."
            )
        if not token.isascii() or any(character.isspace() for character in token):
            raise SetupError("The token has to be ASCII without spaces: it travels in a header.")
        self._host = host
        self.access = Access(token, (*_LOOPBACK, _bracketed(host), *allow_hosts))
        self.store = Store(store or default_path(), retention=retention)
        self._apart = Apart() if apart else None
        self.intake = Intake(self.store, apart=self._apart)
        self.routes = Routes()
        self.page_path = ""  # of the page that people open, where there is one
        _otlp_http.add_to(self.routes, self.intake)
        self._server: Server | None = None

    def start(self, port: int = PORT) -> Self:
        """
        Listen, and answer on threads.

        Args:
            port: 0 is any free one; see `url`.

        Raises:
            SetupError: The port is taken, or the address can't be used.
        """
        try:
            self._server = Server((self._host, port), self.routes, self.access)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise SetupError(
                f"Port {port} of {self._host} can't be used ({why}): a collector or another lens may have it; "
                "choose another one with --port, and have the exporters send there."
            ) from None
        self._server.start()
        return self

    @property
    def url(self) -> str:
        """Where it answers, for ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
        if self._server is None:
            raise SetupError("The lens has no address before start().")
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::") else _bracketed(self._host)
        return f"http://{host}:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Stop listening, write what waits, and close the store."""
        if self._apart is not None:
            self._apart.close()  # so that no connection waits for it
        if self._server is not None:
            self._server.stop()
            self._server = None
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()


def _check_host(host: str) -> None:
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no name"
        raise SetupError(
            f"The host {host} is not known here ({why}); name an address of this machine, such as 127.0.0.1 (the"
            " default) or 0.0.0.0 (all of them)."
        ) from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
