"""
What `configure()` was told, checked: wrong set-up raises here, with what to do instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from bizspan import _active, _commit, _signals, names
from bizspan._signals import Settings
from bizspan.errors import SetupError
from bizspan.vocabulary import Attribute, Vocabulary, merged

if TYPE_CHECKING:
    from bizspan._dimensions import Named
    from bizspan._hosts import Hosts
    from bizspan._pipeline import Sink
    from bizspan.spool import Spool

_EXPORTS: Final = ("otlp", "console", "none")
_KEY_VARIABLE: Final = "BIZSPAN_HASH_KEY"
_KEY_ID_VARIABLE: Final = "BIZSPAN_HASH_KEY_ID"
_KEY_MIN_BYTES: Final = 16
_SPOOL_VARIABLE: Final = "BIZSPAN_SPOOL_DIR"


class Arguments:
    """
    The arguments of `configure()`, ready for use.

    Args:
        exports: Where signals go.
        given: Tracer, meter and logger provider; None is the global one.
        service_name: Of built providers.
        environment: Of built providers.
        resource_attributes: Of built providers.
        settings: What the pipeline is built from.
        named: Metrics of other libraries, with the dimensions that they get.
        spool: Where events are kept before they are acknowledged; None is in memory.
        baggage_hosts: Where facts may travel; None is off.
    """

    # Not a dataclass: making one takes 0.7 ms of the import.
    __slots__ = (
        "baggage_hosts", "environment", "exports", "given", "named", "resource_attributes", "service_name", "settings",
        "spool",
    )  # fmt: skip

    def __init__(
        self,
        exports: tuple[str, ...],
        given: tuple[Any, Any, Any],
        service_name: str | None,
        environment: str | None,
        resource_attributes: Mapping[str, str],
        settings: Settings,
        named: Named,
        spool: Spool | None,
        baggage_hosts: Hosts | None,
    ) -> None:
        self.exports = exports
        self.given = given
        self.service_name = service_name
        self.environment = environment
        self.resource_attributes = dict(resource_attributes)
        self.settings = settings
        self.named = named
        self.spool = spool
        self.baggage_hosts = baggage_hosts


def checked(told: Mapping[str, Any]) -> Arguments:
    """
    All arguments of `configure()`, checked.

    Raises:
        SetupError: When one is wrong; the text says what to do.
    """
    exports = _checked_exports(told["export"])
    given = (told["tracer_provider"], told["meter_provider"], told["logger_provider"])
    service_name, environment = told["service_name"], told["environment"]
    resource_attributes: Any = told["resource_attributes"]
    _check_texts(service_name=service_name, environment=environment, hash_key_id=told["hash_key_id"])
    if resource_attributes is not None and not isinstance(resource_attributes, Mapping):
        raise SetupError("resource_attributes= must be a dict of texts.")
    attributes: dict[str, str] = dict(cast("Mapping[str, str]", resource_attributes or {}))
    settings = _settings(told, exports, _active.environment_name(environment, attributes, given))
    named = _checked_named(told["metric_dimensions"], settings.declared)
    spool = _checked_spool(told["spool"])
    hosts = _checked_hosts(told["baggage_hosts"])
    return Arguments(exports, given, service_name, environment, attributes, settings, named, spool, hosts)


def _checked_hosts(told: Any) -> Hosts | None:
    if told is None:
        return None
    from bizspan._hosts import Hosts  # and ipaddress, a millisecond for those who send none

    return Hosts(told)


def _settings(told: Mapping[str, Any], exports: tuple[str, ...], environment: str) -> Settings:
    key = _checked_key(told["hash_key"])
    revenue_basis, capacity = told["revenue_basis"], told["capacity"]
    on_commit = _checked_emit(told["emit"])
    vocabularies = _checked_vocabularies(told["vocabulary"])
    if revenue_basis not in ("excl_tax", "incl_tax"):
        raise SetupError(f"revenue_basis={revenue_basis!r} is unknown; use 'excl_tax' or 'incl_tax'.")
    if not _is_whole(capacity) or capacity < 1:
        raise SetupError("capacity= must be a whole number above 0: how many events may wait.")
    declared = merged(vocabularies)
    key_id = told["hash_key_id"] or os.environ.get(_KEY_ID_VARIABLE) or "k1"
    return Settings(
        declared=declared,
        hasher=_active.hasher_for(key, key_id, environment),
        schema_url="+".join([names.SCHEMA_URL, *(f"{v.prefix}:{v.version}" for v in vocabularies)]),
        consoles=_consoles(declared) if "console" in exports else (),
        revenue_basis=revenue_basis,
        capacity=capacity,
        on_commit=on_commit,
    )


def _checked_emit(emit: object) -> bool:
    if not _commit.is_emit(emit):
        raise SetupError(f"emit={emit!r} is unknown; use 'now' or 'on_commit'.")
    if emit == _commit.ON_COMMIT:
        _commit.refuse_impossible()
    return emit == _commit.ON_COMMIT


def _checked_vocabularies(given: object) -> tuple[Vocabulary, ...]:
    items: list[object] = [given]
    if not isinstance(given, Vocabulary) and isinstance(given, Iterable):
        items = list(cast("Iterable[object]", given))
    vocabularies = tuple(item for item in items if isinstance(item, Vocabulary))
    if len(vocabularies) < len(items):
        raise SetupError(f"vocabulary= takes Vocabulary objects, got {given!r}.")
    return vocabularies


def _checked_named(given: object, declared: Mapping[str, Attribute]) -> Named:
    if given is None:
        return {}
    from bizspan import _dimensions  # for those that use it

    return _dimensions.checked(given, declared)


def _checked_spool(given: object) -> Spool | None:
    if given is None:
        given = os.environ.get(_SPOOL_VARIABLE, "").strip() or None
    if given is None:
        return None
    from bizspan.spool import Spool  # for those that use it

    if isinstance(given, Spool):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise SetupError(f"spool= takes a directory or a Spool, got {type(given).__name__}.")
    return Spool(cast("str", given))


def refuse_unbuilt(arguments: Arguments) -> None:
    """
    Where no meter provider is built, metrics can't be named.

    Raises:
        SetupError: When a provider is set that could have been wrapped.
    """
    if arguments.named:
        from bizspan import _dimensions

        _dimensions.refuse_unbuilt(arguments.given[1] is not None or _signals.providers_set()[1])


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _consoles(declared: Mapping[str, Attribute]) -> tuple[Sink, ...]:
    from bizspan._console import Receipts

    return (Receipts(declared),)


def _check_texts(**texts: object) -> None:
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise SetupError(f"{name}= must be a text, got {type(text).__name__}.")


def _checked_exports(export: object) -> tuple[str, ...]:
    several = cast("Sequence[object]", export) if isinstance(export, (list, tuple)) else ()
    exports = (export,) if isinstance(export, str) else tuple(str(name) for name in several)
    if not exports or any(name not in _EXPORTS for name in exports):
        raise SetupError(f"export={export!r} is unknown; use 'otlp', 'console', 'none', or a list of them.")
    return exports


def _checked_key(key: object) -> bytes | None:
    if key is None:
        key = os.environ.get(_KEY_VARIABLE) or None
    if key is None:
        return None
    secret = key.encode() if isinstance(key, str) else key
    if not isinstance(secret, bytes) or len(secret) < _KEY_MIN_BYTES:
        raise SetupError(f"hash_key= must be a secret of at least {_KEY_MIN_BYTES} bytes; use secrets.token_bytes(32).")
    return secret
