"""
Posts JSON to a webhook, shaped as Slack takes it, and signed.

The signature is that of ``v1:TIMESTAMP:BODY`` by HMAC-SHA256, in hexadecimal digits after ``v1=``.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import json
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from bizspan.errors import BizspanError, SetupError

URL_VARIABLE: Final = "BIZSPAN_WEBHOOK_URL"
SECRET_VARIABLE: Final = "BIZSPAN_WEBHOOK_SECRET"
_SECRET_LEAST: Final = 16
_MOST_BYTES: Final = 64 * 1024
_MOST_SECTION, _MOST_BLOCKS = 2_900, 40
_AGAIN_AFTER_S: Final = 1.0
_TRIES: Final = 2


class WebhookError(BizspanError):
    """What was posted did not arrive, or it is not known that it did."""


class UnreachedError(WebhookError):
    """Nothing answered: another message would fare no better."""


class _Again(Exception):  # noqa: N818 - internal
    """It may work the next time."""

    def __init__(self, message: str, *, is_answer: bool = False) -> None:
        super().__init__(message)
        self.is_answer = is_answer


@dataclass(frozen=True, slots=True)
class Webhook:
    """
    Where reports and alerts are posted to. Nothing of it is ever printed: the address is often a secret itself.

    Args:
        url: Begins with ``https://``; ``http://`` for this machine alone.
        secret: Signs; of 16 characters or more. Without one, nothing is signed.
        timeout_s: How long one try may take, from looking the name up to the answer's status.
        again_after_s: How long until the second try, which is the last.
        trust: A file of certificates; by default the system's.

    Raises:
        SetupError: The address or the secret is none.
    """

    url: str = field(repr=False)
    secret: str = field(default="", repr=False)
    timeout_s: float = 10.0
    again_after_s: float = _AGAIN_AFTER_S
    trust: str | None = None

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        if not host or parts.scheme not in ("http", "https") or not self.url.isascii() or not self.url.isprintable():
            raise SetupError("the address of the webhook is one that begins with https://; it is not shown here.")
        if " " in self.url or parts.username or parts.password or port == 0:
            raise SetupError("the address of the webhook has no user, password or space in it; it is not shown here.")
        if parts.scheme == "http" and not _is_loopback(host):
            raise SetupError("the webhook needs https://, as it is not on this machine.")
        if self.secret and len(self.secret) < _SECRET_LEAST:
            raise SetupError(f"{SECRET_VARIABLE} has {_SECRET_LEAST} characters or more; make one with `openssl rand`.")

    def post(self, message: Mapping[str, Any], *, time_s: Callable[[], float] = time.time) -> None:
        """
        Post a message; once more, if the first try meets no answer, an overload or an error of the server.

        Args:
            message: What is sent, as JSON.
            time_s: The clock.

        Raises:
            WebhookError: It did not arrive.
        """
        body = json.dumps(message).encode()
        if len(body) > _MOST_BYTES:
            raise WebhookError(f"the message has over {_MOST_BYTES // 1024} KiB.")
        delivery = secrets.token_hex(16)
        for number in range(1, _TRIES + 1):
            try:
                self._within_time(body, self._headers(body, delivery, int(time_s())))
                return
            except _Again as error:
                if number == _TRIES:
                    kind = WebhookError if error.is_answer else UnreachedError
                    raise kind(f"the webhook was tried {_TRIES} times: {error}") from None
                time.sleep(self.again_after_s)

    def _headers(self, body: bytes, delivery: str, timestamp: int) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "bizspan",
            "X-Bizspan-Delivery": delivery,
            "X-Bizspan-Timestamp": str(timestamp),
        }
        if self.secret:
            headers["X-Bizspan-Signature"] = signature(self.secret, timestamp, body)
        return headers

    def _within_time(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Try once, on a thread of its own: neither a lookup of a name nor a slow answer has a bound by itself."""
        ended: list[Exception | None] = []
        connection = self._connection()

        def run() -> None:
            try:
                self._once(connection, body, headers)
                ended.append(None)
            except Exception as error:
                ended.append(error)

        thread = threading.Thread(target=run, name="bizspan-webhook", daemon=True)
        thread.start()
        thread.join(self.timeout_s)
        if not ended:
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)  # ends the thread's wait
            raise _Again(f"no answer within {self.timeout_s:g} s")
        if ended[0] is not None:
            raise ended[0]

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=self.timeout_s)
        context = ssl.create_default_context(cafile=self.trust)
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=self.timeout_s, context=context)

    def _once(self, connection: http.client.HTTPConnection, body: bytes, headers: Mapping[str, str]) -> None:
        parts = urlsplit(self.url)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", target, body, dict(headers))
            answer = connection.getresponse()  # its body says nothing more, and may never end
        except ssl.SSLCertVerificationError:
            raise WebhookError("the webhook's certificate is not valid.") from None
        except (OSError, http.client.HTTPException) as error:
            # The name of the error alone: its text may have the address in it.
            raise _Again(type(error).__name__) from None
        finally:
            connection.close()
        if answer.status in (408, 425, 429) or answer.status >= 500:
            raise _Again(f"HTTP {answer.status}", is_answer=True)
        if 300 <= answer.status < 400:
            raise WebhookError(f"the webhook answered HTTP {answer.status}: redirects are not followed.")
        if not 200 <= answer.status < 300:
            raise WebhookError(f"the webhook answered HTTP {answer.status}.")


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """
    What ``X-Bizspan-Signature`` has; for whoever checks it.

    Args:
        secret: Both sides' own.
        timestamp: As ``X-Bizspan-Timestamp`` has it; refuse one that is old.
        body: As it came, byte for byte.
    """
    told = b"v1:%d:" % timestamp + body
    return "v1=" + hmac.new(secret.encode(), told, hashlib.sha256).hexdigest()


def message(title: str, sections: Sequence[str]) -> dict[str, Any]:
    """
    A message as Slack shows it.

    Args:
        title: One line.
        sections: Plain text; what Slack would read as a link, a mention or markup is escaped.
    """
    kept = [section[:_MOST_SECTION] for section in sections[:_MOST_BLOCKS]]
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": title[:150]}}]
    blocks += [{"type": "section", "text": {"type": "mrkdwn", "text": _fenced(each)}} for each in kept]
    return {"text": _escaped("\n".join([title, *kept])[:_MOST_SECTION]), "blocks": blocks}


def _fenced(text: str) -> str:
    return f"```{_escaped(text).replace('```', '` ` `')}```"


def _escaped(text: str) -> str:
    # As Slack's documentation has it: these three, and no others.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
