"""
A shop that others wrote, django-oscar, gets operations and revenue by a file beside it. Not a line of it is changed.

Skipped where it is not installed; the gate has a session of its own for it.
"""

from __future__ import annotations

import http.cookiejar
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from _receiver import Receiver
from bizspan import Money, names
from tests.child import BOUND_S, environment
from tests.load import free_port, serving, stopped
from tests.oscar_shop.stock import PRICES, VOUCHER
from tests.zero_code import LAUNCHER, NO_DISTRO, instrumented, only, operations, written

NEEDED: Final = ("oscar", "gunicorn", "opentelemetry.instrumentation.django")
pytestmark = [
    pytest.mark.skipif(find_spec(needed) is None, reason=f"{needed} is not installed") for needed in NEEDED
] + [pytest.mark.skipif(not LAUNCHER.is_file(), reason="opentelemetry-instrument is not installed")]

ROOT: Final = Path(__file__).resolve().parent.parent
CONFIGURATION: Final = """
[tool.bizspan]
service_name = "oscar"

[tool.bizspan.requests]
country_header = "CF-IPCountry"

[tool.bizspan.routes]
"POST /checkout/preview/" = { operation = "checkout", feature = "checkout" }
"basket:add" = "basket.add"

[tool.bizspan.operations."oscar.apps.order.utils:OrderCreator.place_order"]
name = "order.place"
revenue = "result.total_incl_tax"
currency = "result.currency"
rejects = "builtins:ValueError"
emit = "on_commit"
facts = { order = "result.number" }
"""
BUYERS: Final = 20
REFUSED: Final = 3  # each has the voucher in the basket that somebody before could use
FORGERS: Final = 2


class Guest:
    """
    Somebody who buys without an account, as a browser does.

    Args:
        port: Of the shop.
        country: What the proxy in front of the shop says.
    """

    def __init__(self, port: int, country: str) -> None:
        self._address = f"http://127.0.0.1:{port}"
        self._cookies = http.cookiejar.CookieJar()
        self._browser = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self._cookies)
        )
        self._browser.addheaders = [("User-Agent", "Mozilla/5.0 (X11)"), ("CF-IPCountry", country)]

    def get(self, path: str) -> str:
        """Where it leads."""
        with self._browser.open(self._address + path, timeout=BOUND_S) as answer:
            return path_of(answer.geturl())

    def post(self, path: str, **fields: object) -> str:
        """Where it leads; with the token against forged requests, unless one is given."""
        token = next((cookie.value for cookie in self._cookies if cookie.name == "csrftoken"), "")
        data = urllib.parse.urlencode({"csrfmiddlewaretoken": token, **fields}).encode()
        with self._browser.open(self._address + path, data, timeout=BOUND_S) as answer:
            return path_of(answer.geturl())

    def fill(self, number: int, *, voucher: bool) -> None:
        """Come from a newsletter, take one or two of a book, and say who and where to."""
        book = number % len(PRICES)
        self.get(f"/catalogue/book-{book}_{book + 1}/")
        self.post(f"/basket/add/{book + 1}/", quantity=1 + number % 2)
        if voucher:
            self.post("/basket/vouchers/add/", code=VOUCHER)
        self.get("/checkout/")
        self.post("/checkout/?utm_source=newsletter", username=f"guest{number}@example.org", options="anonymous")
        to = {"first_name": "A", "last_name": "B", "line1": "1 Road", "line4": "York", "postcode": "N1 9RT"}
        assert "/checkout/payment-details/" == self.post("/checkout/shipping-address/", country="GB", **to)
        assert "/checkout/preview/" == self.get("/checkout/preview/")

    def place(self, **fields: object) -> str:
        """Where the order leads: to a thank-you, or nowhere."""
        return self.post("/checkout/preview/", action="place_order", **fields)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shop's database, and the configuration beside it."""
    folder = written(tmp_path_factory.mktemp("oscar"), pyproject=CONFIGURATION)
    variables = environment(SHOP_FOLDER=str(folder), PYTHONPATH=str(ROOT))
    subprocess.run([sys.executable, "-m", "tests.oscar_shop.stock"], env=variables, check=True, timeout=BOUND_S * 2)
    return folder


def test_an_unmodified_shop_gets_operations_and_revenue_by_configuration(shop: Path) -> None:
    """
    Real checkouts over HTTP, some refused: the money in its database is the money that arrived, to the penny.
    """
    port = free_port()
    bind = ("--bind", f"127.0.0.1:{port}", "--workers", "2", "--no-control-socket")
    command = instrumented(sys.executable, "-m", "gunicorn", *bind, "django.core.wsgi:get_wsgi_application()")
    variables = {
        **NO_DISTRO, **only("bizspan", "django"), "DJANGO_SETTINGS_MODULE": "tests.oscar_shop.settings",
        "SHOP_FOLDER": str(shop), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    with Receiver() as receiver:
        with serving(command, port, receiver, shop, **variables) as server:
            thanked, refused = buy(port)
            code = stopped(server)
        placed = operations(receiver, "order.place")
        asked, baskets = operations(receiver, "checkout"), operations(receiver, "basket.add")
        revenue = [point["value"] for point in receiver.points("business.revenue")]
        spans = receiver.spans("POST checkout/preview/")
    in_database = orders(shop)

    assert (BUYERS, REFUSED + FORGERS, 0) == (thanked, refused, code), (shop / "server.log").read_text("utf-8")[-3000:]
    assert {"success": BUYERS, "rejected": REFUSED} == Counter(each[names.OPERATION_OUTCOME] for each in placed)
    arrived = {each[names.ORDER]: money(each) for each in placed if names.ORDER in each}
    assert in_database == arrived
    assert sum(each.minor_units for each in in_database.values()) == round(sum(revenue) * 100)
    # What the shop answered, by its status: a refused order is a page that says so, a forged one is forbidden.
    told = Counter((each[names.OPERATION_OUTCOME], each.get(names.OPERATION_REASON)) for each in asked)
    assert {("success", None): BUYERS + REFUSED, ("rejected", "http_403"): FORGERS} == told
    assert BUYERS + REFUSED + FORGERS == len(baskets) == len(spans)
    about = {(each[names.COUNTRY], each[names.CAMPAIGN_SOURCE], each[names.FEATURE]) for each in placed}
    assert {("GB", "newsletter", "checkout"), ("FR", "newsletter", "checkout")} == about


def path_of(address: str) -> str:
    """Its path."""
    return urllib.parse.urlsplit(address).path


def buy(port: int) -> tuple[int, int]:
    """How many guests were thanked, and how many refused."""
    guests = [Guest(port, "FR" if number % 3 else "GB") for number in range(BUYERS + REFUSED + FORGERS)]
    for number, guest in enumerate(guests):
        # The first buyer and those who will be refused have the voucher in their baskets before anybody uses it.
        guest.fill(number, voucher=number == 0 or BUYERS <= number < BUYERS + REFUSED)
    thanked = [guest.place() for guest in guests[: BUYERS + REFUSED]].count("/checkout/thank-you/")
    refused = REFUSED + BUYERS - thanked
    for guest in guests[BUYERS + REFUSED :]:
        with pytest.raises(urllib.error.HTTPError, match="403"):
            guest.place(csrfmiddlewaretoken="x" * 64)
        refused += 1
    return thanked, refused


def orders(shop: Path) -> dict[str, Money]:
    """What the shop's own database says that it earned."""
    connection = sqlite3.connect(shop / "shop.db")
    try:
        rows: list[tuple[Any, str, str]] = connection.execute(
            "SELECT total_incl_tax, currency, number FROM order_order"
        ).fetchall()
    finally:
        connection.close()
    return {number: Money(str(total), currency) for total, currency, number in rows}


def money(told: dict[str, Any]) -> Money:
    """What an operation earned."""
    return Money.from_minor(told["business.revenue.minor_units"], told["business.revenue.currency"])
