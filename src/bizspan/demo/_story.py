"""
What happens in the demo, and when: a release, a kill, a roll back, and the comparison with the shop's own book.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bizspan.demo import _figures
from bizspan.demo._buttons import KILL, ROLL_BACK, Buttons
from bizspan.demo._customers import Customers
from bizspan.demo._figures import Hurt, until_now
from bizspan.demo._frame import frame, state
from bizspan.demo._goods import COUNTRIES, NEW, OLD
from bizspan.demo._ledger import QUERY
from bizspan.demo._screen import WAIT_S, Screen
from bizspan.demo._shop import SHARE, Shop
from bizspan.errors import SetupError
from bizspan.money import Money
from bizspan.reconcile import Ledger, Report, Request, Selection, reconcile, source_of

if TYPE_CHECKING:
    from bizspan.lens import Lens

_PER_S: Final = 60.0
# Parts of the visits after which something happens; on a terminal only the release happens by itself.
_RELEASE, _KILL, _ROLL_BACK = 0.3, 0.5, 0.7
_RECEIPTS: Final = 5
_LOOK_S: Final = 1.0
_PATIENCE_S: Final = 30.0
_GOING_S: Final = 6.0
_AGAIN_S: Final = 3.0
_TOLERANCE_S: Final = 300.0  # a day may end between an order and its event
_KEYS: Final = "r  roll back    k  kill -9 a shop process    q  quit    (or on the page)"


class Story:
    """
    The demo from its start to its end.

    Args:
        seed: See `Customers`.
        seconds: How long customers come.
        directory: For all files.
        screen: Where it is shown.
        ended: Ends it early.
    """

    def __init__(self, seed: int, seconds: float, directory: Path, screen: Screen, ended: threading.Event) -> None:
        self._seed = seed
        self._seconds = seconds
        self._directory = directory
        self._screen = screen
        self._ended = ended
        self._began = time.monotonic()
        self._since_ns = time.time_ns()
        self._store = directory / "lens.db"
        self._hurt: Hurt | None = None
        self._looked = 0.0
        self._killed = 0.0
        self._is_quit = False
        self._buttons = Buttons()

    def run(self) -> int:
        """The exit code: 0 when the shop's book and the events agree, 1 when they differ, or it was ended early."""
        from bizspan.lens import Lens
        from bizspan.page import add_page

        with Lens(self._store).start(0) as lens:
            add_page(lens, _figures.shown(), actions=self._buttons.actions())
            shop = Shop(self._directory, lens.url)
            customers = Customers(self._seed, max(1, round(self._seconds * _PER_S)), _PER_S, shop.port_of)
            try:
                shop.start()
                self._introduce(lens, shop)
                customers.allow(self._after(_RELEASE, customers))
                customers.start()
                self._watch(lens, shop, customers)
                if self._ended.is_set():
                    return 1
                return self._conclude(shop, customers)
            finally:
                self._buttons.end()
                customers.stop(0.0, in_order=False)
                shop.close(in_order=False)
                customers.stop(_GOING_S, in_order=False)

    def _introduce(self, lens: Lens, shop: Shop) -> None:
        self._screen.say(f"a shop in two services, and {round(self._seconds * _PER_S):,} customers (seed {self._seed})")
        self._screen.say(f"page  {lens.url}/  with buttons for roll back and kill -9")
        deadline = time.monotonic() + _PATIENCE_S
        while not self._ended.is_set() and not shop.is_ready:
            if time.monotonic() > deadline:
                raise SetupError(f"the demo's shop did not answer within {_PATIENCE_S:g} seconds.")
        self._began = time.monotonic()

    # --- while customers come ---------------------------------------------------------------------------------------

    def _watch(self, lens: Lens, shop: Shop, customers: Customers) -> None:
        deadline = self._began + 2 * self._seconds + _PATIENCE_S
        is_prepared = has_receipts = False
        while not (customers.is_over or self._ended.is_set() or self._is_quit):
            key = self._screen.key(WAIT_S)
            if time.monotonic() > deadline:  # the machine is too slow for all of them
                break
            if not is_prepared and customers.come >= self._after(_RELEASE / 2, customers):
                is_prepared = True
                shop.prepare()
            if not has_receipts and not self._screen.has_keys and len(shop.receipts) >= _RECEIPTS:
                has_receipts = True
                self._say_all(shop, f"receipts of release {OLD}:")
            self._happen(shop, customers)
            if key:
                self._do(key, shop)
            while (pressed := self._buttons.pressed()) is not None:
                button, answer = pressed
                answer.set_result(self._do(button, shop))
            if time.monotonic() >= self._looked + _LOOK_S and self._screen.has_keys:
                self._look(lens, shop)
        self._buttons.end()

    def _after(self, part: float, customers: Customers) -> int:
        return round(part * customers.count)

    def _happen(self, shop: Shop, customers: Customers) -> None:
        """What happens by itself."""
        is_alone = not self._screen.has_keys
        come = customers.come
        if not shop.released_ns and come >= self._after(_RELEASE, customers):
            shop.release()
            self._happened(f"release {NEW} beside {OLD}, for {100 * SHARE:.0f} % of the customers")
        if is_alone and not self._killed and come >= self._after(_KILL, customers):
            self._kill(shop)
        if is_alone and self._killed and shop.is_released and come >= self._after(_ROLL_BACK, customers):
            self._roll_back(shop)
        customers.allow(self._after(self._until(shop), customers))

    def _until(self, shop: Shop) -> float:
        """The part of the customers who come until something happens by itself, so that it happens to the same ones."""
        if not shop.released_ns:
            return _RELEASE
        if self._screen.has_keys:
            return 1.0
        if not self._killed:
            return _KILL
        return _ROLL_BACK if shop.is_released else 1.0

    def _do(self, key: str, shop: Shop) -> str:
        """What a person asked for by a key or a button, where it is possible; a sentence about it."""
        if key == "q":
            self._is_quit = True
        if key == ROLL_BACK:
            if shop.is_released:
                return self._roll_back(shop)
            return f"it was rolled back to {OLD} before." if shop.rolled_back_ns else f"there is no release {NEW} yet."
        if key == KILL:
            # One that was just started again has customers to serve first.
            if time.monotonic() >= self._killed + _AGAIN_S:
                return self._kill(shop)
            return "one was killed just now; press it again in a moment."
        return ""

    def _kill(self, shop: Shop) -> str:
        self._killed = time.monotonic()
        version, killed = shop.kill()
        return self._happened(f"kill -9 of web {version}, process {killed}; it is started again")

    def _roll_back(self, shop: Shop) -> str:
        if not self._screen.has_keys:
            self._say_all(shop, f"receipts of both releases, {OLD} and {NEW}:")
            self._say_state()
        shop.roll_back()
        self._see(shop)
        said = _figures.sentence(NEW, self._hurt)
        self._screen.say(said)
        self._happened(f"rolled back to {OLD}")
        return f"rolled back to {OLD}; {said}"

    def _see(self, shop: Shop) -> None:
        if shop.released_ns:
            until_ns = shop.rolled_back_ns or time.time_ns()
            self._hurt = _figures.hurt(self._store, OLD, NEW, (shop.released_ns, until_ns))

    def _look(self, lens: Lens, shop: Shop) -> None:
        """Draw the state anew."""
        self._looked = time.monotonic()
        self._see(shop)
        told = [*self._told(shop), "", _KEYS]
        progress = f"{self._looked - self._began:.0f} s of {self._seconds:.0f} s"
        receipts = [*shop.receipts][-_RECEIPTS:]
        found = _figures.table(self._store, until_now(self._since_ns))
        self._screen.draw(frame(lens.url, progress, found, receipts, told))

    def _told(self, shop: Shop) -> Iterator[str]:
        if shop.released_ns:
            yield _figures.sentence(NEW, self._hurt)
        if shop.rolled_back_ns and self._hurt is not None:
            yield self._recovered(shop, self._hurt)

    def _recovered(self, shop: Shop, found: Hurt) -> str:
        since = _figures.rates(self._store, until_now(shop.rolled_back_ns), ("country",))
        country = COUNTRIES.get(found.country, found.country)
        return f"since the roll back: checkout conversion in {country} {since.get((found.country,), '-')}"

    # --- at the end -------------------------------------------------------------------------------------------------

    def _conclude(self, shop: Shop, customers: Customers) -> int:
        self._screen.draw(["the shop closes: the last customers are served, and what waits on disk is sent"])
        deadline = time.monotonic() + _PATIENCE_S
        while not customers.stop(WAIT_S) and time.monotonic() < deadline and not self._ended.is_set():
            pass
        shop.close(in_order=not self._ended.is_set())
        self._screen.draw([])
        if self._ended.is_set():
            return 1
        self._see(shop)
        self._say_state()
        for line in self._told(shop):
            self._screen.say(line)
        if customers.unanswered:
            self._screen.say(f"{customers.unanswered:,} customers gave up: the shop did not answer")
        report = reconcile(
            Request(
                source=source_of([str(self._store)]),
                ledger=Ledger(str(shop.ledger), QUERY, is_minor=True),
                selection=Selection(frozenset({"checkout"}), refunds=False),
                tolerance_s=_TOLERANCE_S,
            )
        )
        self._say_book(report)
        return report.exit_code

    def _say_book(self, report: Report) -> None:
        for (_, _, currency), sums in report.totals.items():
            if currency:
                ledger, events, less = (
                    Money.from_minor(minor, currency)
                    for minor in (sums.ledger_minor, sums.events_minor, sums.ledger_minor - sums.events_minor)
                )
                self._screen.say(f"ledger {ledger} - events {events} = {less}   ({sums.ledger_count:,} orders)")
        self._screen.say(report.as_text().splitlines()[-1])

    def _say_state(self) -> None:
        for line in state(_figures.table(self._store, until_now(self._since_ns))):
            self._screen.say(line)

    def _say_all(self, shop: Shop, head: str) -> None:
        self._screen.say(head)
        for receipt in [*shop.receipts][-_RECEIPTS:]:
            self._screen.say(f"  {receipt}")

    def _happened(self, what: str) -> str:
        self._screen.say(f"[{time.monotonic() - self._began:4.1f} s] {what}")
        return what
