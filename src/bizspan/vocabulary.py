"""
What may be said about an operation: `Attribute`, `Vocabulary`, and the standard vocabulary.

A declared fact has a key, a type, perhaps a list of allowed values, an owner and a meaning. Declaring a fact as a
*dimension* lets it onto metric points, within a budget of distinct values. Declaring it *personal* has it hashed
with a key before anything is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, cast

from bizspan import names
from bizspan._regions import CONTINENTS, COUNTRIES
from bizspan.errors import SetupError

Type = type[str] | type[int] | type[float] | type[bool]
Format = Literal["text", "country", "region", "continent"]

_FORMATS: Final = ("text", "country", "region", "continent")
_NAME_LIMIT: Final = 64
_RESERVED: Final = ("otel", "bizspan", "app", "business")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """
    One fact that may be told, by the keyword that tells it.

    Args:
        name: The keyword at the call site, an identifier: ``"stage"``.
        key: The OpenTelemetry attribute key; by default the vocabulary's prefix, a dot, and the name.
        type: ``str``, ``int``, ``float`` or ``bool``. What does not fit is dropped and counted.
        allowed: The only values that are taken, where the list is closed.
        dimension: Whether the fact goes onto metric points.
        budget: How many distinct values a dimension may have in one process; the tail becomes ``__other__``.
        personal: Whether the value is replaced by its keyed hash before anything is stored.
        propagate: Whether the fact may travel to other services, where that is switched on.
        owner: Who answers questions about this fact.
        meaning: One line that says what it means.
        format: A standard that the text follows: ``country`` is ISO 3166-1 alpha-2, ``region`` ISO 3166-2.

    Raises:
        SetupError: When the declaration contradicts itself. The text says what to change.
    """

    name: str
    key: str = ""
    type: Type = str
    allowed: frozenset[str | int | float | bool] | Iterable[str | int | float | bool] | None = None
    dimension: bool = False
    budget: int = 50
    personal: bool = False
    propagate: bool = False
    owner: str = ""
    meaning: str = ""
    format: Format = "text"

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name.isidentifier() and len(self.name) <= _NAME_LIMIT):
            raise SetupError(f"Attribute name {self.name!r} is not a keyword; use an identifier such as 'deal_stage'.")
        if self.name in OPTION_NAMES:
            raise SetupError(f"Attribute name {self.name!r} is an option of operation(); choose another name.")
        if self.type not in (str, int, float, bool):
            raise SetupError(f"Attribute {self.name!r}: type must be str, int, float or bool.")
        if self.personal and self.dimension:
            raise SetupError(f"Attribute {self.name!r} is personal, so it can't be a dimension; drop one of the two.")
        if self.personal and self.type is not str:
            raise SetupError(f"Attribute {self.name!r} is personal, so its type must be str.")
        if self.dimension and self.type is float:
            raise SetupError(
                f"Attribute {self.name!r}: a float has too many values for a dimension; group it into a str."
            )
        if isinstance(self.budget, bool) or not isinstance(self.budget, int) or not 1 <= self.budget <= 1900:
            raise SetupError(f"Attribute {self.name!r}: budget must be a whole number from 1 to 1900.")
        if self.format not in _FORMATS:
            raise SetupError(f"Attribute {self.name!r}: format {self.format!r} is unknown; use one of {_FORMATS}.")
        if self.format != "text" and self.type is not str:
            raise SetupError(f"Attribute {self.name!r}: format {self.format!r} needs type str.")
        if self.allowed is not None:
            object.__setattr__(self, "allowed", self._checked_allowed(self.allowed))

    def _checked_allowed(self, allowed: Iterable[object]) -> frozenset[object]:
        if isinstance(allowed, str) or not isinstance(allowed, Iterable):
            raise SetupError(f"Attribute {self.name!r}: allowed is one value; pass a list of values.")
        try:
            values = frozenset(allowed)
        except TypeError:
            raise SetupError(f"Attribute {self.name!r}: allowed holds what can't be a value; use texts.") from None
        wrong = [value for value in values if type(value) is not self.type]
        if wrong or not values:
            raise SetupError(
                f"Attribute {self.name!r}: allowed must be values of type {self.type.__name__}, got {wrong!r}."
            )
        return values


# Keywords of the recording calls that mean something else than a fact. `attributes={...}` takes such names.
OPTION_NAMES: Final = frozenset(
    {
        "name", "attributes", "revenue", "value", "cost", "tax", "rejects", "span", "idempotency_key", "result",
        "time", "amount", "currency", "reason", "score", "rounding", "emit",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """
    The facts of one domain, under one prefix.

    Args:
        prefix: Comes before each name to make its key, for example ``"shop"``.
        attributes: The facts.
        version: Yours; it goes out with the schema URL.
        propagate: Standard facts that may travel to other services too, by keyword: ``["segment", "plan"]``.

    Raises:
        SetupError: When two facts share a name or a key, a key is also a namespace, the prefix is reserved, or
            `propagate` names what can't travel.
    """

    prefix: str
    attributes: tuple[Attribute, ...] | Iterable[Attribute] = ()
    version: str = "1"
    propagate: tuple[str, ...] | Iterable[str] = ()
    by_name: Mapping[str, Attribute] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.prefix, str) or not _is_key(self.prefix):
            raise SetupError(f"Vocabulary prefix {self.prefix!r} is not a key; use one such as 'shop'.")
        if self.prefix.split(".")[0] in _RESERVED:
            raise SetupError(f"Vocabulary prefix {self.prefix!r} is reserved; use a prefix of your own.")
        if not isinstance(self.attributes, Iterable):
            raise SetupError(f"Vocabulary {self.prefix!r} takes a list of Attribute objects, got {self.attributes!r}.")
        attributes = tuple(self.attributes)
        for attribute in attributes:
            if not isinstance(attribute, Attribute):
                raise SetupError(f"Vocabulary {self.prefix!r} takes Attribute objects, got {attribute!r}.")
        object.__setattr__(self, "attributes", tuple(_keyed(a, self.prefix) for a in attributes))
        object.__setattr__(self, "by_name", _index(self))
        object.__setattr__(self, "propagate", _travelling(self.prefix, self.propagate))

    def __iter__(self) -> Iterator[Attribute]:
        return iter(self.attributes)

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    def __getitem__(self, name: str) -> Attribute:
        return self.by_name[name]


def merged(vocabularies: Iterable[Vocabulary]) -> dict[str, Attribute]:
    """
    All facts of the standard vocabulary and of these, by keyword.

    Raises:
        SetupError: When two of them share a keyword or a key.
    """
    vocabularies = tuple(vocabularies)
    everything = [attribute for vocabulary in (STANDARD, *vocabularies) for attribute in vocabulary]
    _check_keys(everything)
    declared = {attribute.name: attribute for attribute in everything}
    for name in {name for vocabulary in vocabularies for name in vocabulary.propagate}:
        declared[name] = replace(declared[name], propagate=True)
    return declared


def _travelling(prefix: str, told: object) -> tuple[str, ...]:
    """The names of a vocabulary's `propagate`, checked."""
    if isinstance(told, str) or not isinstance(told, Iterable):
        raise SetupError(f"Vocabulary {prefix!r}: propagate is a list of standard facts, such as ['segment'].")
    names_of = tuple(cast("Iterable[object]", told))
    for name in names_of:
        if name not in STANDARD:
            raise SetupError(
                f"Vocabulary {prefix!r}: propagate names {name!r}, which is no standard fact; facts of your own say"
                " Attribute(..., propagate=True)."
            )
        if name == "order":
            raise SetupError(
                f"Vocabulary {prefix!r}: the order's id does not travel by itself, because money is reconciled by it;"
                " pass it as an argument of the call."
            )
    return cast("tuple[str, ...]", names_of)


def _is_key(text: str) -> bool:
    return len(text) <= 200 and all(part.isidentifier() and part.isascii() for part in text.split("."))


def _is_ours(key: str) -> bool:
    """Whether bizspan writes this key, or OpenTelemetry keeps its namespace."""
    return key.split(".")[0] in (*_RESERVED, "log") or key in (names.ERROR_TYPE, "error")


def _keyed(attribute: Attribute, prefix: str) -> Attribute:
    if attribute.key:
        if not isinstance(attribute.key, str) or not _is_key(attribute.key) or _is_ours(attribute.key):
            raise SetupError(f"Attribute {attribute.name!r}: key {attribute.key!r} is reserved or malformed.")
        return attribute
    return replace(attribute, key=f"{prefix}.{attribute.name}")


def _index(vocabulary: Vocabulary) -> dict[str, Attribute]:
    _check_keys(tuple(vocabulary))
    return {attribute.name: attribute for attribute in vocabulary}


def _check_keys(attributes: Iterable[Attribute]) -> None:
    by_name: dict[str, Attribute] = {}
    by_key: dict[str, Attribute] = {}
    for attribute in attributes:
        if attribute.name in by_name:
            raise SetupError(f"The fact {attribute.name!r} is declared twice; rename one of them.")
        if attribute.key in by_key:
            other = by_key[attribute.key].name
            raise SetupError(f"{attribute.name!r} and {other!r} share the key {attribute.key!r}; change one.")
        by_name[attribute.name] = by_key[attribute.key] = attribute
    for key in by_key:
        parts = key.split(".")
        for length in range(1, len(parts)):
            namespace = ".".join(parts[:length])
            if namespace in by_key:
                raise SetupError(f"The key {namespace!r} is also the namespace of {key!r}; rename one.")


def _standard() -> Vocabulary:
    def fact(name: str, key: str, meaning: str, *, dimension: int = 0, personal: bool = False,
             allowed: Iterable[str] | None = None, form: Format = "text") -> Attribute:  # fmt: skip
        return Attribute(
            name=name, key=key, meaning=meaning, dimension=bool(dimension), budget=dimension or 1,
            personal=personal, allowed=allowed, format=form, owner="bizspan",
        )  # fmt: skip

    facts = (
        fact("customer", names.CUSTOMER, "Who acted, as a keyed hash.", personal=True),
        fact("segment", names.SEGMENT, "The customer's segment.", dimension=50),
        fact("plan", names.PLAN, "The subscription plan.", dimension=50),
        fact("tenant", names.TENANT, "The tenant that the customer belongs to.", dimension=200),
        fact("community", names.COMMUNITY, "The community that the customer belongs to.", dimension=50),
        fact("country", names.COUNTRY, "ISO 3166-1 alpha-2.", dimension=len(COUNTRIES), form="country"),
        fact("region", names.REGION, "ISO 3166-2.", dimension=200, form="region"),
        fact("continent", names.CONTINENT, "Two letters.", dimension=len(CONTINENTS), form="continent"),
        fact("locality", names.LOCALITY, "The city or place."),
        fact("channel", names.CHANNEL, "How the customer came: web, app, partner.", dimension=30),
        fact("campaign", names.CAMPAIGN, "The campaign that led here.", dimension=100),
        fact("campaign_source", names.CAMPAIGN_SOURCE, "Where the campaign was seen.", dimension=50),
        fact("campaign_medium", names.CAMPAIGN_MEDIUM, "The campaign's medium: cpc, email.", dimension=30),
        fact("campaign_content", names.CAMPAIGN_CONTENT, "The campaign's creative."),
        fact("campaign_term", names.CAMPAIGN_TERM, "The campaign's search term."),
        fact("order", names.ORDER, "The order's id."),
        fact("product", names.PRODUCT, "The product's id."),
        fact("category", names.CATEGORY, "The product's category.", dimension=100),
        fact("feature", names.FEATURE, "The feature that served this.", dimension=100),
        fact("traffic", names.TRAFFIC, "Who makes the traffic; missing means customer.", dimension=4,
             allowed=("customer", "staff", "test", "bot")),
        fact("session", names.SESSION, "The session's id, as a keyed hash.", personal=True),
        fact("flag", names.FLAG, "The feature flag that was evaluated.", dimension=50),
        fact("variant", names.VARIANT, "The variant that the flag gave.", dimension=50),
    )  # fmt: skip
    standard = object.__new__(Vocabulary)  # the reserved prefix is ours, so the public check does not apply
    object.__setattr__(standard, "prefix", "business")
    object.__setattr__(standard, "attributes", facts)
    object.__setattr__(standard, "version", names.SCHEMA_URL.rsplit(":", 1)[-1])
    object.__setattr__(standard, "propagate", ())
    object.__setattr__(standard, "by_name", _index(standard))
    return standard


STANDARD: Final = _standard()
