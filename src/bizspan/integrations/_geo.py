"""
Country and region by the client's address, from an MMDB file of the user's.

The file is read once, at set-up, into memory: replacing it later changes nothing until the application starts again.
Children of a fork and threads share what was read.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from bizspan._regions import is_country
from bizspan.errors import MissingExtra, SetupError, type_name
from bizspan.integrations._place import whole_region

if TYPE_CHECKING:
    from bizspan.integrations._place import Address

_LOOKED_AT: Final = 1000


class Geo:
    """
    An opened file. It keeps no address.

    Args:
        path: Of the MMDB file.
        reader: Of maxminddb.
    """

    __slots__ = ("_is_ipv4_only", "_reader", "path")

    def __init__(self, path: str, reader: Any) -> None:
        self.path = path
        self._reader = reader
        self._is_ipv4_only = reader.metadata().ip_version == 4

    def __repr__(self) -> str:
        return f"Geo({self.path!r})"

    def place_of(self, address: Address) -> tuple[str | None, str | None]:
        """The country and the region of an address; None where the file does not know them."""
        if self._is_ipv4_only and address.version != 4:
            return None, None
        return place_in(self._reader.get(address))

    def knows_countries(self) -> bool:
        """Whether its first records have a country: a file of networks or domains has none."""
        return any(place_in(record)[0] for _, record in islice(self._reader, _LOOKED_AT))


def place_in(record: object) -> tuple[str | None, str | None]:
    """
    Country and region of a record, in the shapes of GeoLite2 and DB-IP (nested) and of ipinfo (flat).
    """
    if not isinstance(record, dict):
        return None, None
    told = cast("dict[str, object]", record)
    # Not registered_country: it says where the network's owner is.
    code = told.get("country_code") or _code(told.get("country"))
    if not isinstance(code, str) or not is_country(code.upper()):
        return None, None
    divisions = told.get("subdivisions")
    # The first is the widest one: GB-ENG before GB-LND. A dimension should have few values.
    first = cast("list[object]", divisions)[0] if isinstance(divisions, list) and divisions else None
    part = told.get("region_code") or _code(first)
    region = whole_region(code.upper(), part) if isinstance(part, str) else None
    return code.upper(), region


def _code(named: object) -> object:
    return cast("dict[str, object]", named).get("iso_code") if isinstance(named, dict) else named


def opened(path: str | os.PathLike[str] | Geo) -> Geo:
    """
    The file, ready for use.

    Args:
        path: Of an MMDB file with countries, such as GeoLite2-Country.mmdb.

    Raises:
        MissingExtra: Without the package maxminddb.
        SetupError: When the file can't be read, is damaged, or has no countries.
    """
    if isinstance(path, Geo):
        return path
    try:
        import maxminddb
    except ImportError:
        raise MissingExtra("geo=", "geo") from None
    try:
        where = os.fspath(path)
        content = Path(where).read_bytes()
    except (OSError, TypeError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else type_name(error)
        raise SetupError(f"geo={path!r} can't be read ({said}); give the path of an MMDB file.") from None
    try:
        geo = Geo(where, _reader(maxminddb, where, content))
        known = geo.knows_countries()
    except Exception as error:  # a damaged file makes its reader raise anything
        raise SetupError(f"geo={path!r} is no MMDB file, or damaged ({type_name(error)}); download it again.") from None
    if not known:
        raise SetupError(f"geo={path!r} has no countries; use a Country or City file, such as GeoLite2-Country.mmdb.")
    return geo


def _reader(maxminddb: Any, path: str, content: bytes) -> Any:
    # The reader in C takes 10 us for a City record, the one in Python 110. The one in C maps a file, and who truncates
    # a mapped file kills this process (SIGBUS): so it maps a copy that nobody else can reach.
    if hasattr(os, "memfd_create"):
        copy = os.memfd_create("bizspan-geo", os.MFD_CLOEXEC)
        try:
            with open(copy, "wb", closefd=False) as file:
                file.write(content)
            return maxminddb.open_database(f"/proc/self/fd/{copy}", maxminddb.MODE_MMAP_EXT)
        except (OSError, ValueError):  # no /proc, or no reader in C
            pass
        finally:
            os.close(copy)
    return maxminddb.open_database(path, maxminddb.MODE_MEMORY)
