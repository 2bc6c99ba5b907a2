"""Objects that tests pass where an application would pass a value: odd, lying, and raising ones."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple


class Raising:
    """An object that raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __index__(self) -> int:
        raise RuntimeError("index")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __str__(self) -> str:
        raise RuntimeError("str")

    __repr__ = __str__


class Pair:
    """Any money object."""

    def __init__(self, amount: object, currency: object) -> None:
        self.amount = amount
        self.currency = currency


class Coded:
    """A currency object, with its code under the name that some library gives it."""

    def __init__(self, **names: object) -> None:
        self.__dict__.update(names)


class Price(int, enum.Enum):
    """An amount as some applications keep them."""

    BASIC = 9


class Loud(str):
    """Text whose own methods must stay uncalled."""

    def __str__(self) -> str:
        raise RuntimeError("called")

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        raise RuntimeError("called")


touched: list[str] = []


def touch(name: str) -> Any:
    def method(*args: object, **named: object) -> Any:
        touched.append(name)
        raise RuntimeError(name)

    return method


DUNDERS = """
    __str__ __repr__ __eq__ __ne__ __hash__ __bool__ __len__ __iter__ __next__ __getitem__
    __contains__ __index__ __int__ __float__ __format__ __getattribute__ __getattr__ __lt__
    __gt__ __bytes__ __fspath__ __call__ keys items __reduce_ex__ __sizeof__ __dir__ isoformat
    utcoffset encode isprintable strip append copy __html__ as_tuple
"""


class Meta(type):
    """A class that minds being asked about itself."""

    __hash__ = touch("meta.__hash__")
    __eq__ = touch("meta.__eq__")
    __instancecheck__ = touch("meta.__instancecheck__")
    __subclasscheck__ = touch("meta.__subclasscheck__")


def hostile(base: type, *args: object, meta: type = Meta) -> Any:
    """An instance of a subclass of `base`, all of whose methods record the call and raise."""
    kind = meta(f"Hostile{base.__name__.title()}", (base,), {name: touch(name) for name in DUNDERS.split()})
    return base.__new__(kind, *args)


class Plan(enum.Enum):
    """Members of every kind of value."""

    PRO = "pro"
    FREE = 0
    RATIO = 0.5
    ODD = (1, 2)


class Level(enum.IntEnum):
    """An int with a name."""

    HIGH = 3


class Text(str):
    """A str of an application."""


class Row(NamedTuple):
    """A row as database drivers return it."""

    a: int


class SecretStr(str):
    """A str that is not to be shown."""
