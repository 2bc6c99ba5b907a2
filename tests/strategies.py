"""What Hypothesis throws at bizspan: plain values, and objects that raise, lie, never end, or hold a secret."""

from __future__ import annotations

import asyncio
import enum
import itertools
import sys
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import MagicMock, Mock
from uuid import UUID

import numpy
from hypothesis import strategies as st

from bizspan.errors import AmountError
from bizspan.money import Money

# Stands where a secret would: it must never be seen in a signal, a log line or a receipt.
MARKER = "s3cr3t-jane@example.org"


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """A value with a label, because its own repr may raise."""

    label: str
    value: Any

    def __repr__(self) -> str:
        return self.label


class UnspeakableError(Exception):
    """An error whose text cannot be read."""

    def __str__(self) -> str:
        raise ValueError(MARKER)

    __repr__ = __str__


ERRORS: tuple[Callable[[], Exception], ...] = (
    lambda: ValueError(MARKER),
    lambda: TypeError(MARKER),
    lambda: AttributeError(MARKER),
    lambda: KeyError(MARKER),
    lambda: StopIteration(MARKER),
    lambda: RecursionError(MARKER),
    lambda: MemoryError(MARKER),
    lambda: AmountError(MARKER, MARKER),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, MARKER),
    lambda: UnspeakableError(MARKER),
)


def class_name(value: object) -> str:
    """The name of a value's class, whatever its metaclass says."""
    return str(vars(type)["__name__"].__get__(type(value)))


def class_of(value: object) -> type[object]:
    """The class of a value, without asking the value."""
    return type(value)


def raising(error: Callable[[], BaseException]) -> Any:
    """A method that raises a new error at each call."""

    def method(*args: object, **named: object) -> Any:
        raise error()

    return method


def giving(value: object) -> Any:
    """A method that gives this."""

    def method(*args: object, **named: object) -> Any:
        return value

    return method


_METHODS = """
    __str__ __repr__ __format__ __eq__ __ne__ __lt__ __gt__ __hash__ __bool__ __len__ __iter__ __next__
    __getitem__ __contains__ __getattr__ __getattribute__ __index__ __int__ __float__ __bytes__ __fspath__
    __call__ __abs__ __neg__ __add__ __radd__ __mul__ __round__ __reduce_ex__ __dir__ __sizeof__
    keys items encode isoformat utcoffset as_integer_ratio
"""
METHODS = tuple(_METHODS.split())
MONEY_PROPERTIES = ("amount", "currency", "code", "value", "numerator", "denominator")
PROPERTIES = ("__class__", "__dict__", "_value_", "name", *MONEY_PROPERTIES)
_LIES: dict[str, object] = {
    "__str__": giving(MARKER), "__repr__": giving(MARKER), "__format__": giving(MARKER), "__eq__": giving(True),
    "__ne__": giving(MARKER), "__hash__": giving(hash("segment")), "__bool__": giving(False), "__len__": giving(10**30),
    "__iter__": giving(itertools.repeat(MARKER)), "__index__": giving(10**400), "__int__": giving(MARKER),
    "__float__": giving(float("nan")), "__getattr__": giving(MARKER), "__call__": giving(MARKER),
    "__contains__": giving(True), "__add__": giving(MARKER), "__radd__": giving(MARKER),
    "items": giving(itertools.repeat(("k", "v"))), "keys": giving(itertools.repeat("k")),
    "encode": giving(MARKER), "isoformat": giving(MARKER), "utcoffset": giving(MARKER),
    "as_integer_ratio": giving((1, 0)),
    **{name: property(giving(MARKER)) for name in MONEY_PROPERTIES},
}  # fmt: skip


def _class(name: str, bases: tuple[type, ...], members: dict[str, Any]) -> Any:
    members.setdefault("__hash__", bases[0].__dict__.get("__hash__") or object.__hash__)
    return type(name, bases, members)


def _hostile_classes() -> list[Any]:
    cycled = itertools.cycle(ERRORS)
    found = [_class(f"Raising{name}", (object,), {name: raising(next(cycled))}) for name in METHODS]
    found += [_class(f"Raising{name}", (object,), {name: property(raising(next(cycled)))}) for name in PROPERTIES]
    for error in ERRORS:
        members: dict[str, Any] = {name: raising(error) for name in METHODS}
        found.append(_class("RaisingAll", (object,), {**members, "__getattribute__": raising(error)}))
        found.append(_class("Raising", (object,), members))
    found += [_class(f"Lying{name}", (object,), {name: lie}) for name, lie in _LIES.items()]
    for lie in (str, int, bool, float, Decimal, dict, tuple, Money, datetime, type, type(lambda: 0)):
        found.append(_class(f"Pretending{lie.__name__}", (object,), {"__class__": property(giving(lie))}))
    found.append(_class("Lying", (object,), dict(_LIES)))
    return found


_MINDING: dict[str, Any] = {
    **{
        name: raising(error) for name, error in zip(("__eq__", "__hash__", "__str__", "__repr__"), ERRORS, strict=False)
    },
    "__name__": property(raising(ERRORS[4])),
    "__module__": property(raising(ERRORS[6])),
    "__instancecheck__": raising(ERRORS[2]),
}
# A class that minds being asked about itself. Raising an error asks the error's class whether it is a subclass, so
# that a `raise` of one that minds this too would end elsewhere.
Minding: Any = type("Minding", (type,), {**_MINDING, "__subclasscheck__": raising(ERRORS[3])})
MindingErrors: Any = type("MindingErrors", (type,), _MINDING)
Minded: Any = Minding("Minded", (), {})
MindedText: Any = Minding("MindedText", (str,), {})
MindedError: Any = MindingErrors("MindedError", (Exception,), {})
MindedBase: Any = MindingErrors("MindedBase", (BaseException,), {})

_BASES: tuple[tuple[type, tuple[Any, ...]], ...] = (
    (str, ("gold",)), (int, (7,)), (float, (1.5,)), (dict, ({"a": 1},)), (tuple, ((1, 2),)), (list, ([1],)),
    (set, ({1},)), (Decimal, ("1.50",)), (bytes, (b"x",)), (datetime, (2026, 1, 1)), (Fraction, (1, 2)),
    (OrderedDict, ({"a": 1},)), (UserDict, ({"a": 1},)), (UUID, ("0" * 32,)),
)  # fmt: skip


def _subclasses() -> list[tuple[str, Callable[[], Any]]]:
    found: list[tuple[str, Callable[[], Any]]] = []
    cycled = itertools.cycle(ERRORS)
    skipped = {"__getattribute__", "__reduce_ex__", "__class__", "__dict__"}
    for base, arguments in _BASES:
        for label, members in (
            ("Raising", {name: raising(next(cycled)) for name in METHODS if name not in skipped}),
            ("Lying", {name: lie for name, lie in _LIES.items() if name not in PROPERTIES}),
        ):
            kind = _class(f"{label}{base.__name__}", (base,), members)
            found.append((f"{label}{base.__name__}", partial(_made, kind, base, arguments)))
    return found


def _made(kind: Any, base: Any, arguments: tuple[Any, ...]) -> Any:
    value = base.__new__(kind, *arguments)
    if base in (dict, list, set, OrderedDict, UserDict):
        try:
            type.__getattribute__(base, "__init__")(value, *arguments)
        except Exception:  # its own methods took part in filling it
            return value
    return value


class BrokenZone(tzinfo):
    """A time zone that raises, or gives no offset that makes sense."""

    def __init__(self, offset: Callable[[], Any]) -> None:
        self._offset = offset

    def utcoffset(self, dt: datetime | None) -> Any:
        return self._offset()

    def dst(self, dt: datetime | None) -> Any:
        return self._offset()

    def tzname(self, dt: datetime | None) -> str:
        return MARKER


class SecretStr:
    """As pydantic's: it holds what must not be shown, and its repr has dots."""

    def __init__(self) -> None:
        self._secret_value = MARKER

    def get_secret_value(self) -> str:
        return self._secret_value


class SecretText(str):
    """A str that is not to be shown."""


class Plan(enum.Enum):
    """Members of several kinds of value."""

    PRO = "pro"
    FREE = 0
    ODD = (1, 2)
    BAD = "\ud800"


class Row(NamedTuple):
    """A price as a database driver returns it."""

    amount: Any
    currency: Any


class Duck:
    """Any money object."""

    def __init__(self, amount: object, currency: object) -> None:
        self.amount = amount
        self.currency = currency


# A subclass of ours that lies about what it holds.
ForgedMoney: Any = type(
    "ForgedMoney",
    (Money,),
    {"minor_units": property(giving(MARKER)), "currency": property(raising(ERRORS[0]))},
)


def _cyclic_list() -> Any:
    value: list[Any] = ["x"]
    value.append(value)
    return value


def _cyclic_dict() -> Any:
    value: dict[Any, Any] = {}
    value["self"] = (value,)
    return value


def _deep() -> Any:
    value: Any = "x"
    for level in range(600):
        value = [value] if level % 2 else {"d": value}
    return value


async def _coroutine_function() -> None:
    """Nobody calls it."""


class Point(NamedTuple):
    """A named tuple that is no price."""

    x: int
    y: int


_ODD: list[tuple[str, Callable[[], Any]]] = [
    ("None", lambda: None), ("...", lambda: ...), ("NotImplemented", lambda: NotImplemented),
    ("True", lambda: True), ("object()", object), ("a class", lambda: dict), ("a module", lambda: sys),
    ("a generator", lambda: (n for n in itertools.count())), ("an endless iterator", lambda: itertools.repeat(MARKER)),
    ("a range", lambda: range(10**12)), ("Mock()", Mock), ("MagicMock()", MagicMock),
    ("Mock(spec=Money)", lambda: Mock(spec=Money)), ("an exception", lambda: ValueError(MARKER)),
    ("bytes", lambda: MARKER.encode()),
    ("bytearray", lambda: bytearray(b"x")), ("memoryview", lambda: memoryview(b"x")),
    ("numpy.float64", lambda: numpy.float64("19.99")), ("numpy.int64", lambda: numpy.int64(7)),
    ("numpy.nan", lambda: numpy.float32("nan")), ("numpy.array", lambda: numpy.array([1, 2])),
    ("numpy.bool", lambda: numpy.bool_(True)), ("numpy.datetime64", lambda: numpy.datetime64("2026-01-01")),
    ("sNaN", lambda: Decimal("sNaN")), ("Decimal inf", lambda: Decimal("-Infinity")),
    ("1E+999999", lambda: Decimal("1E+999999")), ("1E-999999", lambda: Decimal("1E-999999")),
    ("Fraction", lambda: Fraction(1, 3)), ("huge Fraction", lambda: Fraction(1, 10**400)),
    ("2**63", lambda: 2**63), ("-2**63 - 1", lambda: -(2**63) - 1), ("10**400", lambda: 10**400),
    ("nan", lambda: float("nan")), ("inf", lambda: float("inf")), ("1e308", lambda: 1e308), ("complex", lambda: 1j),
    ("a lone surrogate", lambda: "a\ud800b"), ("controls", lambda: "\x00\x1b[31m\r\n\u202ex"), ("''", str),
    ("long text", lambda: "ß" * 20_000), ("Arabic digits", lambda: "١٢"), ("blank", lambda: "  \u2003 "),
    ("a cyclic list", _cyclic_list), ("a cyclic dict", _cyclic_dict), ("600 deep", _deep),
    ("10,000 entries", lambda: {str(n): n for n in range(10_000)}), ("deque", lambda: deque([1, "x"])),
    ("defaultdict", lambda: defaultdict(list, {1: [2]})), ("Counter", lambda: Counter("abc")),
    ("odd keys", lambda: {1: 1, None: 2, (1,): 3, b"k": 4, "\ud800": 5}), ("mixed set", lambda: {1, "a", None}),
    ("mappingproxy", lambda: MappingProxyType({"segment": "gold"})), ("UserDict", lambda: UserDict(segment="gold")),
    ("namespace", lambda: SimpleNamespace(amount=1, currency="EUR", code=MARKER)), ("Point", lambda: Point(1, 2)),
    ("naive datetime", lambda: datetime(2026, 1, 1)),
    ("year 1", lambda: datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9)))),
    ("year 9999", lambda: datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-9)))),
    ("date", lambda: date(2026, 1, 1)),
    ("raising time zone", lambda: datetime(2026, 1, 1, tzinfo=BrokenZone(raising(ERRORS[0])))),
    ("lying time zone", lambda: datetime(2026, 1, 1, tzinfo=BrokenZone(giving(MARKER)))),
    ("timedelta", lambda: timedelta(days=1)), ("UUID", lambda: UUID(int=7)), ("Path", lambda: PurePosixPath("a/b")),
    ("SecretStr", SecretStr), ("SecretText", lambda: SecretText(MARKER)),
    *[(str(member), lambda member=member: member) for member in Plan],
    ("Money", lambda: Money("42.00", "EUR")), ("negative Money", lambda: Money("-1.00", "EUR")),
    ("hollow Money", lambda: object.__new__(Money)), ("forged Money", lambda: object.__new__(ForgedMoney)),
    ("Minded", Minded), ("class Minded", lambda: Minded), ("MindedText", lambda: MindedText("gold")),
    ("weak", lambda: type("Weak", (), {"__slots__": ()})()),
]  # fmt: skip
_POOL: list[tuple[str, Callable[[], Any]]] = [
    *_ODD,
    *[(kind.__name__, lambda kind=kind: object.__new__(kind)) for kind in _hostile_classes()],
    *_subclasses(),
]
_FUNCTIONS: list[tuple[str, Callable[[], Any]]] = [
    ("len", lambda: len), ("a lambda", lambda: lambda: MARKER), ("a method", lambda: "x".upper),
    ("a coroutine function", lambda: _coroutine_function), ("a bound method", lambda: Mock().method),
]  # fmt: skip


def _thing(named: tuple[str, Callable[[], Any]]) -> Thing:
    return Thing(named[0], named[1]())


def plain(value: Any) -> Thing:
    """A thing that shows itself."""
    return Thing(repr(value), value)


def _nested(items: list[Thing], shape: str) -> Thing:
    label = f"{shape}{items}"
    values = [item.value for item in items]
    if shape == "dict":
        return Thing(label, {f"k{n}": value for n, value in enumerate(values)})
    if shape == "tuple":
        return Thing(label, tuple(values))
    return Thing(label, values)


_odd = st.sampled_from(_POOL).map(_thing)
_scalars = st.one_of(
    st.text(max_size=12), st.integers(), st.floats(), st.booleans(), st.decimals(),
    st.text(st.characters(), max_size=6), st.binary(max_size=6), st.datetimes(),
).map(plain)  # fmt: skip
_small = st.builds(_nested, st.lists(_odd, max_size=2), st.sampled_from(["list", "tuple", "dict"]))

# Weighted by repetition: most examples stay cheap to make.
things = st.one_of(_odd, _odd, _scalars, _odd, _small)
functions = st.sampled_from(_FUNCTIONS).map(_thing)
anything = st.one_of(_odd, _odd, _scalars, _odd, _small, functions)

KEYWORDS: tuple[str, ...] = (
    "segment", "country", "order", "customer", "traffic", "region", "plan", "segmnt", "level", "count", "ratio",
    "stage", "geo.country.iso_code", "business.order.id", "otel.status", "", " ", "\ud800", "a b", "x" * 300,
    "\x1b[31m", "result", "self", "é",
)  # fmt: skip
_keyword: st.SearchStrategy[str] = st.sampled_from(KEYWORDS)


def facts_of(values: st.SearchStrategy[Thing]) -> st.SearchStrategy[Thing]:
    """Facts by keyword. What `customer` gets is always a secret."""

    def facts(told: list[tuple[str, Thing]]) -> Thing:
        values = {name: MARKER if name == "customer" else thing.value for name, thing in told}
        return Thing(repr(dict(told)), values)

    pairs: st.SearchStrategy[list[tuple[str, Thing]]] = st.lists(st.tuples(_keyword, values), max_size=2)
    return pairs.map(facts)


def _with_odd_keys(items: list[tuple[Thing, Thing]]) -> Thing:
    found: dict[Any, Any] = {}
    for key, value in items:
        try:
            found[key.value] = value.value
        except Exception:  # it has no hash, or minds being compared
            found["left out"] = key.label
    return Thing(repr(dict(items)), found)


facts = facts_of(things)
attributes = st.one_of(
    st.just(Thing("None", None)), facts, anything, st.lists(st.tuples(things, things), max_size=2).map(_with_odd_keys)
)
names = st.one_of(
    st.sampled_from(["checkout", "checkout", "Ünïcode", " padded ", "x" * 500, "business.cost"]).map(plain),
    anything,
)  # fmt: skip

_amounts = st.one_of(
    st.sampled_from([MARKER, "12.50", "-1", "1e3", 19.99, 0.1 + 0.2, -0.0, 7, 10**17, True]).map(plain), things
)
_currencies = st.one_of(st.sampled_from(["EUR", "EUR", "JPY", "BHD", "eur", "XXQ", MARKER]).map(plain), things)
currencies = st.one_of(st.just(Thing("None", None)), _currencies)
amounts = _amounts
keys = st.one_of(st.sampled_from([None, None, MARKER, "order-1", 7]).map(plain), things)


def _told(shape: str, amount: Thing, currency: Thing) -> Thing:
    label = f"{shape}({amount}, {currency})"
    if shape == "duck":
        return Thing(label, Duck(amount.value, currency.value))
    if shape == "row":
        return Thing(label, Row(amount.value, currency.value))
    return Thing(label, (amount.value, currency.value))


money_values = st.one_of(
    st.just(Thing("None", None)),
    st.builds(_told, st.sampled_from(["tuple", "duck", "row"]), _amounts, _currencies),
    things,
)
times = st.one_of(
    st.integers(-(2**64), 2**65).map(plain),
    st.datetimes().map(plain),
    st.sampled_from([MARKER, -1, 1.5]).map(plain),
    anything,
)
roundings = st.one_of(st.sampled_from([None, None, "half_even", "up"]).map(plain), things)
spans = st.one_of(st.sampled_from(["new", "new", "current", "old"]).map(plain), things)


class CardDeclined(Exception):  # noqa: N818 - as shops call it
    """A business refusal."""


# An error that minds being asked for its class.
LyingError: Any = type("LyingError", (Exception,), {"__class__": property(raising(ERRORS[0]))})


_OddlyNamed: Any = type("OddlyNamed", (Exception,), {"__module__": 7, "__qualname__": "a\ud800\x1b[31m"})

_BUSINESS_ERRORS: tuple[tuple[str, Callable[[], BaseException]], ...] = (
    *[(f"error {n}", error) for n, error in enumerate(ERRORS)],
    ("CardDeclined", lambda: CardDeclined(MARKER)), ("LyingError", LyingError),
    ("OddlyNamed", lambda: _OddlyNamed(MARKER)),
    ("MindedError", lambda: MindedError(MARKER)), ("MindedBase", lambda: MindedBase(MARKER)),
    ("KeyboardInterrupt", lambda: KeyboardInterrupt(MARKER)), ("SystemExit", lambda: SystemExit(MARKER)),
    ("GeneratorExit", lambda: GeneratorExit(MARKER)), ("CancelledError", lambda: asyncio.CancelledError(MARKER)),
    ("StopAsyncIteration", lambda: StopAsyncIteration(MARKER)),
    ("ExceptionGroup", lambda: ExceptionGroup(MARKER, [ValueError(MARKER)])),
)  # fmt: skip

errors = st.sampled_from(_BUSINESS_ERRORS).map(_thing)
rejects = st.one_of(
    st.sampled_from([(), CardDeclined, (CardDeclined, KeyError), BaseException]).map(plain), things, errors
)


@dataclass(frozen=True, slots=True)
class Business:
    """What business code does: give back this value, or raise this."""

    value: Thing
    error: Thing | None

    def act(self) -> Any:
        """Do it."""
        if self.error is not None:
            raise self.error.value
        return self.value.value


business = st.builds(Business, things, st.one_of(st.none(), st.none(), errors))

VERBS = ("revenue", "cost", "value", "tax", "annotate", "reject", "fail")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a run's method."""

    verb: str
    first: Thing
    second: Thing
    rounding: Thing

    def make(self, run: Any) -> None:
        """Make the call on this run."""
        method = getattr(run, self.verb)
        if self.verb in ("reject", "fail"):
            method(self.rounding.value)
        elif self.verb == "annotate":
            method(attributes=self.first.value, segment=self.rounding.value, customer=MARKER)
        else:
            method(self.first.value, self.second.value, rounding=self.rounding.value)


calls = st.builds(Call, st.sampled_from(VERBS), st.one_of(_amounts, anything), currencies, roundings)
