"""
Who may ask: by a token, by a name of this machine, or by a session of a browser.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from email.message import Message
from http.cookies import CookieError, SimpleCookie
from typing import Final

from bizspan.lens._routes import Refusal

COOKIE: Final = "bizspan_lens"
SESSION_S: Final = 12 * 3600.0
_SESSIONS_MOST: Final = 100


class Access:
    """
    Who may ask.

    Args:
        token: What ``Authorization: Bearer`` has to hold; empty for everybody who can connect.
        hosts: Names that ``Host`` may have where there is no token, so that no web page reaches the lens through a
            name of its own that it has pointed here.
        clock: Seconds, for how long sessions last.
    """

    def __init__(self, token: str, hosts: Iterable[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._token = token.encode()
        self._hosts = frozenset(host.lower() for host in hosts)
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[bytes, float] = {}  # by digest: when it is over
        self._key = b""  # the digest of that of the link
        self._login = ""
        self._open: tuple[str, ...] = ()
        self._acts = ""

    def check(self, headers: Message, method: str = "POST", path: str = "") -> None:
        """
        Look at a request before anything of it is done.

        Args:
            headers: Its headers.
            method: A session is good for GET and HEAD alone: what a browser sends by itself may not store anything.
                And for what `add_actions` names, which looks itself at where it comes from.
            path: Where it goes.

        Raises:
            Refusal: 401, or 303 to the log-in for a browser; 403 for a wrong host.
        """
        if not self._token:
            if _name_of(headers.get("Host") or "") not in self._hosts:
                raise Refusal(403, "The lens does not answer under this host name; see --allow-host.")
            return
        if self._login and (path == self._login or path.startswith(self._open)):
            return
        scheme, _, told = (headers.get("Authorization") or "").partition(" ")
        if self._is_token(told) and scheme.lower() == "bearer":
            return
        is_act = method == "POST" and self._acts and path.startswith(self._acts)
        if (method in ("GET", "HEAD") or is_act) and self._has_session(headers):
            return
        if self._login and method == "GET" and "text/html" in (headers.get("Accept") or ""):
            raise Refusal(303, "Log in first.", {"Location": self._login})
        raise Refusal(401, "Authorization: Bearer TOKEN is missing or wrong.", {"WWW-Authenticate": "Bearer"})

    def add_pages(self, login: str, *open_paths: str) -> str:
        """
        Have pages that are for browsers.

        Args:
            login: The path of the log-in, which needs no token.
            open_paths: Beginnings of paths with nothing secret behind them, which need none either.

        Returns:
            The path to open: with a token, that of the log-in with a key that works once.
        """
        self._login, self._open = login, open_paths
        if not self._token:
            return "/"
        key = secrets.token_urlsafe(24)
        self._key = _digest(key)
        return f"{login}?key={key}"

    def add_actions(self, path: str) -> None:
        """
        Have a session be good for POST as well.

        Args:
            path: The beginning of the paths; what answers there has to refuse what another site sent.
        """
        self._acts = path

    def redeem(self, key: str) -> str | None:
        """A new session for the key of the link, which does not work any more then; None for another key."""
        with self._lock:
            if not self._key or not hmac.compare_digest(_digest(key), self._key):
                return None
            self._key = b""
        return self._new_session()

    def log_in(self, token: str) -> str | None:
        """A new session for the token; None for another one."""
        return self._new_session() if self._token and self._is_token(token) else None

    def _is_token(self, told: str) -> bool:
        # Whatever was told, and however long it is, takes the same time.
        return hmac.compare_digest(told.strip().encode("utf-8", "replace"), self._token)

    def _new_session(self) -> str:
        session = secrets.token_urlsafe(32)
        now = self._clock()
        with self._lock:
            self._sessions = {each: until for each, until in self._sessions.items() if until > now}
            while len(self._sessions) >= _SESSIONS_MOST:
                del self._sessions[min(self._sessions, key=self._sessions.__getitem__)]
            self._sessions[_digest(session)] = now + SESSION_S
        return session

    def _has_session(self, headers: Message) -> bool:
        for line in headers.get_all("Cookie", []):
            try:
                told = SimpleCookie(line).get(COOKIE)
            except CookieError:
                continue
            if told is not None:
                with self._lock:
                    return self._sessions.get(_digest(told.value), 0.0) > self._clock()
        return False


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def _name_of(host: str) -> str:
    """A host's name without its port."""
    name = host.strip().lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0].rstrip(".")
