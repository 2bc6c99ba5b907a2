"""
The customers of the demo's shop: they come at a steady pace, on threads, and ask again when nobody answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from bizspan.demo._goods import Visit, visit
from bizspan.demo._post import NotAnswered, post

_THREADS: Final = 16
_PAUSE_S: Final = 0.1
_LOOK_S: Final = 0.02
_PATIENCE_S: Final = 20.0


class Customers:
    """
    Visits, one after the other, each the same for the same seed.

    Args:
        seed: Of the demo.
        count: How many come.
        per_s: How many in a second; fewer, where the machine is slower.
        port_of: The port of the shop that a visit gets.
    """

    def __init__(self, seed: int, count: int, per_s: float, port_of: Callable[[Visit], int]) -> None:
        self.count = count
        self._seed = seed
        self._per_s = per_s
        self._port_of = port_of
        self._next = 0
        self._allowed = count
        self._unanswered = 0
        self._lock = threading.Lock()
        self._no_more = threading.Event()
        self._hurry = threading.Event()
        self._start = time.monotonic()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(_THREADS)]

    def start(self) -> None:
        """Let them in."""
        self._start = time.monotonic()
        for thread in self._threads:
            thread.start()

    def allow(self, count: int) -> None:
        """
        Let so many in, and no more until this is called again: what happens in between happens to the same ones.

        Args:
            count: Since the start.
        """
        self._allowed = count

    @property
    def come(self) -> int:
        """How many have come."""
        return self._next

    @property
    def unanswered(self) -> int:
        """How many gave up waiting for an answer."""
        return self._unanswered

    @property
    def is_over(self) -> bool:
        """Whether all have come and gone."""
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self, timeout_s: float, *, in_order: bool = True) -> bool:
        """
        Let nobody in any more, and wait for those who are inside.

        Args:
            timeout_s: How long to wait.
            in_order: Whether who is inside gets an answer first.

        Returns:
            Whether all have gone.
        """
        self._no_more.set()
        if not in_order:
            self._hurry.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        return self.is_over

    def _work(self) -> None:
        while not self._no_more.is_set():
            with self._lock:
                if self._next >= self.count:
                    return
                number = self._next
                is_allowed = number < self._allowed
                self._next += is_allowed
            if not is_allowed:
                self._no_more.wait(_LOOK_S)
                continue
            until = self._start + number / self._per_s - time.monotonic()
            if until > 0 and self._no_more.wait(until):
                return
            self._come(visit(self._seed, number))

    def _come(self, who: Visit) -> None:
        told = {
            "order": who.order, "country": who.country, "segment": who.segment, "campaign": who.campaign,
            "customer": who.customer, "minor": who.minor, "currency": who.currency, "account": who.account,
        }  # fmt: skip
        port = self._port_of(who)
        with suppress(NotAnswered):
            post(port, "/basket", told)  # who gets no basket tries the checkout all the same
        if who.checks_out and not self._is_answered(port, told):
            with self._lock:
                self._unanswered += 1

    def _is_answered(self, port: int, told: dict[str, Any]) -> bool:
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline and not self._hurry.is_set():
            with suppress(NotAnswered):
                post(port, "/checkout", told)
                return True
            self._hurry.wait(_PAUSE_S)
        return False
