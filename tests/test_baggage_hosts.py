"""Which hosts facts may go to: how a list of them is read, and what is one of them."""

from __future__ import annotations

from typing import Any

import pytest

from bizspan._hosts import Hosts
from bizspan.errors import SetupError

pytestmark = pytest.mark.bare


@pytest.mark.parametrize(
    ("patterns", "host"),
    [
        (["api.shop.internal"], "api.shop.internal"),
        (["api.shop.internal"], "API.Shop.INTERNAL"),
        (["api.shop.internal"], "api.shop.internal."),
        (["API.shop.internal."], "api.shop.internal"),
        (["*.shop.internal"], "api.shop.internal"),
        (["*.shop.internal"], "a.b.shop.internal"),
        (["stock_service"], "stock_service"),
        (["10.0.0.7"], "10.0.0.7"),
        (["10.0.0.7"], "10.0.0.7."),
        (["::1"], "[::1]"),
        (["[0:0:0:0:0:0:0:1]"], "::1"),
        (["xn--bcher-kva.example"], "XN--BCHER-KVA.example"),
    ],
)
def test_a_host_is_on_the_list(patterns: list[str], host: str) -> None:
    """
    By its name in any case, with the root's dot or without, by its address, or by being below a name.
    """
    assert host in Hosts(patterns)


@pytest.mark.parametrize(
    ("patterns", "host"),
    [
        (["*.shop.internal"], "shop.internal"),
        (["*.shop.internal"], "evilshop.internal"),
        (["*.shop.internal"], ".shop.internal"),
        (["*.shop.internal"], "api.shop.internal.evil.example"),
        (["*.shop.internal"], "evil.example/.shop.internal"),
        (["*.shop.internal"], "evil.example#.shop.internal"),
        (["*.shop.internal"], "evil.example@x.shop.internal"),
        (["*.shop.internal"], "a..shop.internal"),
        (["*.shop.internal"], "api.shop.internal\n"),
        (["*.shop.internal"], "api.shop.internal:443"),
        (["*.shop.internal"], "api.shop.internal.."),
        (["api.shop.internal"], "api.shop.internal:443"),
        (["127.0.0.1"], "127.1"),
        (["127.0.0.1"], "0x7f.0.0.1"),
        (["127.0.0.1"], "2130706433"),
        (["127.0.0.1"], "::ffff:127.0.0.1"),
        (["localhost"], "127.0.0.1"),
        (["strasse.example"], "straße.example"),
        (["xn--bcher-kva.example"], "bücher.example"),
        (["api.shop.internal"], ""),
        (["api.shop.internal"], None),
        (["api.shop.internal"], b"api.shop.internal"),
        (["api.shop.internal"], "a" * 10_000),
        ([], "api.shop.internal"),
    ],
)
def test_anything_else_is_not(patterns: list[str], host: object) -> None:
    """
    Not the name above, not a name that looks like it, not another spelling of an address, nothing that is no host.
    """
    assert host not in Hosts(patterns)


@pytest.mark.parametrize(
    "pattern",
    [
        "", "*", "*.", "*.*.internal", "api.*.internal", "http://api.shop.internal", "api.shop.internal:8080",
        "api.shop.internal/stock", "jane:hunter2@api.shop.internal", "bücher.example", "a b", "*.0.0.1", "*.10.0.0.7",
        "10.0.0", "-api.internal", "10.0.0.0/8", 7, None,
    ],
)  # fmt: skip
def test_what_is_no_host_is_refused_without_being_shown(pattern: Any) -> None:
    """
    At set-up, with the number of the entry: one that is a URL may hold credentials.
    """
    with pytest.raises(SetupError, match=r"entry 2 is no host\. Write it without scheme") as refused:
        Hosts(["api.shop.internal", pattern])

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("patterns", ["api.shop.internal", b"x", 7])
def test_one_host_is_no_list(patterns: Any) -> None:
    """
    A text alone would be a list of letters.
    """
    with pytest.raises(SetupError, match="must be a list"):
        Hosts(patterns)
