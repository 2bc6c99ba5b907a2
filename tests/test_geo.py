"""Country and region by the client's address, from an MMDB file that the test writes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bizspan import _guard, names
from bizspan.errors import MissingExtra, SetupError
from bizspan.integrations import _geo
from bizspan.integrations._place import parsed_address
from bizspan.testing import Capture
from tests.arrivals import arrived, facts_of, missing, refused, rules, send

pytest.importorskip("maxminddb")
pytest.importorskip("mmdb_writer")

COUNTRY, REGION = names.COUNTRY, names.REGION
BERLIN, BAVARIA, LONDON, NOWHERE = "192.0.2.7", "198.51.100.7", "203.0.113.7", "10.0.0.1"

GEOLITE: dict[str, Any] = {
    "192.0.2.0/24": {"country": {"iso_code": "DE"}, "registered_country": {"iso_code": "US"}},
    "198.51.100.0/24": {
        "city": {"names": {"en": "Munich"}},
        "country": {"iso_code": "DE", "names": {"en": "Germany"}},
        "subdivisions": [{"iso_code": "BY", "names": {"en": "Bavaria"}}],
    },
    "203.0.113.0/24": {"country": {"iso_code": "GB"}, "subdivisions": [{"iso_code": "ENG"}, {"iso_code": "LND"}]},
    "2001:db8::/32": {"country": {"iso_code": "FR"}},
}


def written(path: Path, records: dict[str, Any], *, version: int = 6, kind: str = "GeoLite2-City") -> Path:
    """An MMDB file with these records."""
    from mmdb_writer import MMDBWriter
    from netaddr import IPSet

    writer: Any = MMDBWriter(version, kind, ipv4_compatible=version == 6)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    return path


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small GeoLite2-City."""
    return written(tmp_path_factory.mktemp("geo") / "city.mmdb", GEOLITE)


def place(database: Path, address: str) -> tuple[str | None, str | None]:
    """What a file says about an address."""
    parsed = parsed_address(address)
    assert parsed is not None
    return _geo.opened(database).place_of(parsed)


# --- shapes of files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"country": {"iso_code": "DE"}}, ("DE", None)),
        ({"country": {"iso_code": "DE"}, "subdivisions": [{"iso_code": "BY"}]}, ("DE", "DE-BY")),
        ({"country": {"iso_code": "GB"}, "subdivisions": [{"iso_code": "ENG"}, {"iso_code": "LND"}]}, ("GB", "GB-ENG")),
        ({"country": {"iso_code": "DE"}, "subdivisions": [{"names": {"en": "Bavaria"}}]}, ("DE", None)),  # DB-IP Lite
        ({"country": "DE", "country_name": "Germany", "continent": "EU"}, ("DE", None)),  # ipinfo country
        ({"country": "DE", "region": "Bavaria", "region_code": "BY"}, ("DE", "DE-BY")),  # ipinfo location
        ({"country": "Germany", "country_code": "DE", "asn": "AS1"}, ("DE", None)),  # ipinfo Lite
        ({"country_code": "de"}, ("DE", None)),
        ({"registered_country": {"iso_code": "US"}}, (None, None)),  # where the owner is
        ({"country": {"iso_code": "EU"}}, (None, None)),
        ({"country": {"iso_code": 49}}, (None, None)),
        ({"country": {}}, (None, None)),
        ({"country": {"iso_code": "DE"}, "subdivisions": "BY"}, ("DE", None)),
        ({"country": {"iso_code": "DE"}, "subdivisions": [17]}, ("DE", None)),
        ({"country": {"iso_code": "DE"}, "subdivisions": []}, ("DE", None)),
        ({"autonomous_system_number": 1}, (None, None)),
        (None, (None, None)),
        ("DE", (None, None)),
        (["DE"], (None, None)),
    ],
)
def test_the_shapes_of_the_usual_files_are_read(record: object, expected: tuple[str | None, str | None]) -> None:
    """
    GeoLite2 and DB-IP nest, ipinfo is flat, and what is none of them says nothing. The widest region counts.
    """
    assert expected == _geo.place_in(record)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (BERLIN, ("DE", None)),
        (BAVARIA, ("DE", "DE-BY")),
        (LONDON, ("GB", "GB-ENG")),
        ("2001:db8::7", ("FR", None)),
        ("::ffff:198.51.100.7", ("DE", "DE-BY")),
        (NOWHERE, (None, None)),
        ("fe80::1%eth0", (None, None)),
    ],
)
def test_a_file_answers_for_both_kinds_of_addresses(
    database: Path, address: str, expected: tuple[str | None, str | None]
) -> None:
    """
    IPv4, IPv6, IPv4 inside IPv6, and addresses that it does not know.
    """
    assert expected == place(database, address)


def test_an_ipv4_file_knows_no_ipv6_address(tmp_path: Path) -> None:
    """
    Asked for one, it gives nothing instead of an error with the address in its text.
    """
    file = written(tmp_path / "v4.mmdb", {"192.0.2.0/24": {"country": {"iso_code": "DE"}}}, version=4)

    assert ("DE", None) == place(file, BERLIN)
    assert (None, None) == place(file, "2001:db8::7")


# --- set-up -----------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_a_set_up_error(tmp_path: Path) -> None:
    """
    It names the path and what is needed.
    """
    with pytest.raises(SetupError, match=r"missing\.mmdb.* can't be read \(No such file or directory\); give the path"):
        rules(geo=str(tmp_path / "missing.mmdb"))


@pytest.mark.parametrize("path", [5, True, "\0", b"\xff", ["a.mmdb"]])
def test_what_is_no_path_is_a_set_up_error(path: object) -> None:
    """
    Of whatever type.
    """
    with pytest.raises(SetupError, match="can't be read"):
        rules(geo=path)


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"\xab\xcd\xefMaxMind.com", b"\xab\xcd\xefMaxMind.com\xe1\x00" * 9]
)
def test_a_file_that_is_no_mmdb_is_a_set_up_error(tmp_path: Path, content: bytes) -> None:
    """
    A download that went wrong is found at the start.
    """
    (tmp_path / "broken.mmdb").write_bytes(content)

    with pytest.raises(SetupError, match="is no MMDB file, or damaged"):
        rules(geo=tmp_path / "broken.mmdb")


def test_half_a_file_is_a_set_up_error(tmp_path: Path, database: Path) -> None:
    """
    Cut in the middle, or without its search tree.
    """
    content = database.read_bytes()
    for part in (
        content[: len(content) // 2],
        content[len(content) // 2 :],
        content[content.index(b"MaxMind.com") - 3 :],
    ):
        (tmp_path / "half.mmdb").write_bytes(part)

        with pytest.raises(SetupError, match="is no MMDB file, or damaged"):
            rules(geo=tmp_path / "half.mmdb")


def test_a_file_without_countries_is_a_set_up_error(tmp_path: Path) -> None:
    """
    GeoLite2-ASN opens well, and would never give a country.
    """
    file = written(tmp_path / "asn.mmdb", {"192.0.2.0/24": {"autonomous_system_number": 64496}}, kind="GeoLite2-ASN")

    with pytest.raises(SetupError, match="has no countries; use a Country or City file"):
        rules(geo=file)


def test_without_maxminddb_the_pip_line_is_told(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    At set-up, where it is written.
    """
    monkeypatch.setitem(sys.modules, "maxminddb", None)

    with pytest.raises(MissingExtra) as missing:
        rules(geo=database)

    assert 'geo= needs packages that are not installed; run: pip install "bizspan[geo]"' == str(missing.value)


@pytest.mark.parametrize("without", ["memfd_create", "the reader in C"])
def test_the_reader_in_python_is_as_good(database: Path, monkeypatch: pytest.MonkeyPatch, without: str) -> None:
    """
    On systems without the faster way, the file is read all the same.
    """
    import maxminddb

    if without == "memfd_create":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    else:
        monkeypatch.setattr(maxminddb, "_extension", None)

    assert ("DE", "DE-BY") == place(database, BAVARIA)


def test_a_file_that_is_truncated_later_does_no_harm(tmp_path: Path) -> None:
    """
    What was read stays: an update in place must not kill the process that has it open.
    """
    file = written(tmp_path / "city.mmdb", GEOLITE)
    geo = _geo.opened(file)
    os.truncate(file, 0)
    address = parsed_address(BAVARIA)
    assert address is not None

    assert ("DE", "DE-BY") == geo.place_of(address)


# --- in a request -----------------------------------------------------------------------------------------------------


def test_the_peers_address_gives_country_and_region(capbiz: Capture, database: Path) -> None:
    """
    Without a proxy in front.
    """
    assert {COUNTRY: "DE", REGION: "DE-BY"} == facts_of(capbiz, rules(geo=database), arrived(client=BAVARIA))


FORWARDED = f"{LONDON}, {BAVARIA}, {BERLIN}"


@pytest.mark.parametrize(
    ("hops", "forwarded", "country"),
    [
        (1, BAVARIA, "DE"),
        (1, f"{LONDON}, {BAVARIA}", "DE"),  # what stands left is the client's own
        (2, FORWARDED, "DE"),
        (3, FORWARDED, "GB"),
        (1, "  [2001:db8::7]:4711  ", "FR"),
        (2, f"{LONDON}:80,{NOWHERE}", "GB"),
    ],
)
def test_the_address_that_the_outermost_proxy_saw_counts(
    capbiz: Capture, database: Path, hops: int, forwarded: str, country: str
) -> None:
    """
    The N-th from the right of X-Forwarded-For, whatever the client put in front.
    """
    request = arrived({"X-Forwarded-For": forwarded}, client="2001:db8::1")

    assert country == facts_of(capbiz, rules(geo=database, trusted_hops=hops), request)[COUNTRY]


def test_without_trusted_proxies_the_forwarded_address_is_ignored(capbiz: Capture, database: Path) -> None:
    """
    Anyone can send the header.
    """
    request = arrived({"X-Forwarded-For": LONDON}, client=BERLIN)

    assert {COUNTRY: "DE"} == facts_of(capbiz, rules(geo=database), request)


@pytest.mark.parametrize(
    ("hops", "forwarded"),
    [(1, None), (1, ""), (2, LONDON), (1, f"{LONDON}, unknown"), (1, f"{LONDON},"), (1, "a" * 2**20), (9, "," * 2**20)],
)
def test_without_a_readable_address_there_is_no_place(
    capbiz: Capture, database: Path, caplog: pytest.LogCaptureFixture, hops: int, forwarded: str | None
) -> None:
    """
    It is counted, and the likely reason is said once, without the header's content.
    """
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    ruled = rules(geo=database, trusted_hops=hops)

    assert {} == facts_of(capbiz, ruled, arrived(headers, client=BERLIN))
    assert {} == facts_of(capbiz, ruled, arrived(headers, client=BERLIN))

    assert {"no_address": 2} == refused(capbiz)
    [said] = caplog.messages
    assert "trusted_hops=" in said
    assert LONDON not in said


def test_an_address_that_nobody_knows_is_counted_in_silence(
    capbiz: Capture, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Private networks have no country.
    """
    assert {} == facts_of(capbiz, rules(geo=database), arrived(client=NOWHERE))

    assert {"unknown_place": 1} == refused(capbiz)
    assert [] == caplog.messages


@pytest.mark.parametrize(
    ("header", "client", "expected"),
    [
        ("FR", BAVARIA, {COUNTRY: "FR"}),  # never Bavaria in France
        ("DE", BAVARIA, {COUNTRY: "DE", REGION: "DE-BY"}),
        ("XX", BAVARIA, {COUNTRY: "DE", REGION: "DE-BY"}),
        (None, BAVARIA, {COUNTRY: "DE", REGION: "DE-BY"}),
        ("T1", BAVARIA, {}),  # Tor: the address is the exit's
        ("DE", NOWHERE, {COUNTRY: "DE"}),
    ],
)
def test_the_header_comes_first_and_the_address_fills(
    capbiz: Capture, database: Path, header: str | None, client: str, expected: dict[str, str]
) -> None:
    """
    Where the proxy says nothing the file does, never about two places at once.
    """
    request = arrived({} if header is None else {"CF-IPCountry": header}, client=client)

    assert expected == facts_of(capbiz, rules(country_header="CF-IPCountry", geo=database), request)


def test_a_region_by_header_keeps_the_addresss_country_only_where_they_agree(capbiz: Capture, database: Path) -> None:
    """
    A trusted region outweighs the file.
    """
    ruled = rules(region_header="X-Region", geo=database)

    assert {COUNTRY: "DE", REGION: "DE-BE"} == facts_of(capbiz, ruled, arrived({"X-Region": "DE-BE"}, client=BERLIN))
    assert {REGION: "FR-75C"} == facts_of(capbiz, ruled, arrived({"X-Region": "FR-75C"}, client=BERLIN))


def test_a_record_that_cannot_be_read_leaves_the_rest(
    capbiz: Capture, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """
    A file that is damaged in the middle costs its own answers only, and its error's text is not said.
    """

    class Damaged:
        def get(self, address: object) -> object:
            raise ValueError(f"Error looking up {address}")

        def metadata(self) -> Any:
            return _geo.opened(database)._reader.metadata()  # pyright: ignore[reportPrivateUsage]

    ruled = rules(geo=_geo.Geo("damaged.mmdb", Damaged()), channel="web")

    assert {names.CHANNEL: "web", **missing("geo")} == facts_of(capbiz, ruled, arrived(client=BERLIN))

    capbiz.allow("extractor_failed")
    assert {"extractor_failed": 1} == refused(capbiz)
    assert BERLIN not in caplog.text


def test_the_address_is_in_nothing_that_leaves_or_stays(
    capbiz: Capture, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Not on spans, points, events and logs, nor in what bizspan keeps in memory after the request.
    """
    ruled = rules(geo=database, trusted_hops=1, country_header="CF-IPCountry")
    send(ruled, arrived({"X-Forwarded-For": BAVARIA, "CF-IPCountry": "XX"}, client="192.0.2.99"))
    send(ruled, arrived({"X-Forwarded-For": "unreadable-198.51.100.7"}, client="192.0.2.99"))

    everything = [event.attributes for event in capbiz.operations()]
    everything += [dict(span.attributes) for span in capbiz.spans()]
    everything += [dict(point.attributes) for point in capbiz.points(names.METRIC_DURATION)]
    assert {"DE-BY", None} == {attributes.get(REGION) for attributes in everything}
    told = [str(everything), caplog.text, str(_guard._said), str(capbiz.problems())]  # pyright: ignore[reportPrivateUsage]
    told.append(str([slot.memo for slot in capbiz._pipeline.facts.slots.values()]))  # pyright: ignore[reportPrivateUsage]
    assert [] == [text for text in told if "198.51" in text or "192.0.2" in text]


# --- threads and forks ------------------------------------------------------------------------------------------------


def in_threads(work: Callable[[], list[object]], number: int = 4) -> list[object]:
    """What threads that begin together give, all in one list."""
    start = threading.Barrier(number)
    given: list[object] = []

    def run() -> None:
        start.wait(10)
        given.extend(work())

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return given


def test_threads_share_one_file(database: Path) -> None:
    """
    Look-ups of several threads at once give each its own answer.
    """
    geo = _geo.opened(database)
    asked = [parsed_address(text) for text in (BERLIN, BAVARIA, LONDON)]

    def work() -> list[object]:
        return [geo.place_of(address) for _ in range(500) for address in asked if address is not None]

    given = in_threads(work)

    assert 6000 == len(given)
    assert {("DE", None), ("DE", "DE-BY"), ("GB", "GB-ENG")} == set(given)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_goes_on_with_what_was_read(database: Path) -> None:
    """
    A pre-fork server opens the file once, before its workers.
    """
    geo = _geo.opened(database)
    address = parsed_address(BAVARIA)
    assert address is not None

    child = os.fork()
    if child == 0:
        os._exit(0 if geo.place_of(address) == ("DE", "DE-BY") else 1)
    _, status = os.waitpid(child, 0)

    assert 0 == os.waitstatus_to_exitcode(status)
    assert ("DE", "DE-BY") == geo.place_of(address)
