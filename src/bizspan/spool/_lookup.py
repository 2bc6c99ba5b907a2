"""
A host's addresses within a given time: the system's look-up takes no time-out, and can take a minute.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from typing import Any, Final

_MOST_S: Final = 3600.0

# Family, kind, protocol, canonical name, address: as the socket module gives them.
Addresses = list[tuple[Any, Any, int, str, Any]]


class Lookup:
    """
    Looks one host up. What takes too long goes on, and the next call waits for the same one: there is never a second.

    Args:
        host: A name or an address.
        port: Of the service.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._running: _Running | None = None

    def addresses(self, deadline: float) -> Addresses:
        """
        The addresses, never none.

        Args:
            deadline: On the monotonic clock.

        Raises:
            TimeoutError: When they are not known by then.
            socket.gaierror: When the name is not known.
        """
        try:
            return socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
        except socket.gaierror:
            pass  # a name
        running = self._running
        if running is None:
            running = _Running(self._host, self._port)
            if not running.has_started():
                running.look()
            self._running = running
        if not running.done.wait(min(max(0.0, deadline - time.monotonic()), _MOST_S)):
            raise TimeoutError
        self._running = None
        if isinstance(running.found, Exception):
            raise running.found
        return running.found

    def forget(self) -> None:
        """Begin anew: in a forked child the thread is not there."""
        self._running = None


class _Running:
    """One look-up on a thread of its own."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self.done = threading.Event()
        self.found: Addresses | Exception = []

    def has_started(self) -> bool:
        """Whether there was a thread for it: at the interpreter's end there is none."""
        if sys.is_finalizing():
            return False
        try:
            threading.Thread(target=self.look, name="bizspan-spool-dns", daemon=True).start()
        except RuntimeError:
            return False
        return True

    def look(self) -> None:
        """Look it up."""
        try:
            self.found = socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM)
        except Exception as error:
            self.found = error
        finally:
            self.done.set()
