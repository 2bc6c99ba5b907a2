"""Export requests with the events of a busy shop, encoded as bizspan's own spool encodes them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.trace import SpanContext, TraceFlags

from bizspan import names
from bizspan._clock import Ids
from bizspan._record import Record
from bizspan.spool import _wire
from bizspan.spool._encode import Encoder

START_NS: Final = 1_790_000_000 * 10**9
SEGMENTS: Final = ("consumer", "smb", "enterprise")
COUNTRIES: Final = ("DE", "FR", "NL", "AT", "CH", "US", "GB", "IT")
CHANNELS: Final = ("web", "app", "partner")
CAMPAIGNS: Final = ("spring", "newsletter", "retargeting", "brand", "tv")
FEATURES: Final = ("checkout", "one-click", "gift-card")
REASONS: Final = ("card_declined", "out_of_stock", "fraud_suspected")
_CURRENCIES: Final = {"US": "USD", "GB": "GBP", "CH": "CHF"}


@dataclass(frozen=True, slots=True)
class Sold:
    """What one event said: for a recomputation in plain Python."""

    uid: str
    time_ns: int
    outcome: str
    segment: str
    country: str
    currency: str
    minor: int | None


class Shop:
    """
    Tells operations as several processes of a shop do.

    Args:
        seed: Of what happens.
        processes: How many writers there are.
        per_second: Events in one second of the shop's time.
    """

    def __init__(self, seed: int = 7, *, processes: int = 4, per_second: int = 2_000) -> None:
        self._random = random.Random(seed)
        self._ids = [Ids(f"{self._random.getrandbits(80):020x}") for _ in range(processes)]
        self._encoders = [Encoder(ids.writer_id, time_ns=lambda: self._now) for ids in self._ids]
        self._sequences = [0] * processes
        self._now = START_NS
        self._step = 10**9 // per_second
        self._count = 0
        self.sold: list[Sold] = []

    def entry(self, process: int) -> bytes:
        """One encoded log record, as it stands inside a ScopeLogs."""
        chance, ids, encoder = self._random, self._ids[process], self._encoders[process]
        self._now += self._step
        self._count += 1
        outcome = chance.choices((names.SUCCESS, names.REJECTED, names.FAILED), (85, 12, 3))[0]
        country = chance.choice(COUNTRIES)
        currency = _CURRENCIES.get(country, "EUR")
        minor = chance.randrange(500, 25_000) if outcome == names.SUCCESS else None
        facts: dict[str, Any] = {
            names.OPERATION_NAME: "checkout",
            names.OPERATION_ID: ids.new(),
            names.OPERATION_OUTCOME: outcome,
            names.SEGMENT: chance.choice(SEGMENTS),
            names.COUNTRY: country,
            names.CHANNEL: chance.choice(CHANNELS),
            names.CAMPAIGN: chance.choice(CAMPAIGNS),
            names.FEATURE: chance.choice(FEATURES),
            names.CUSTOMER: f"{chance.randrange(50_000):032x}",
            names.ORDER: f"o-{self._count}",
        }
        if minor is None:
            facts[names.OPERATION_REASON] = chance.choice(REASONS)
        else:
            facts |= {
                names.AMOUNT_KEYS[names.REVENUE]: minor / 100,
                names.MINOR_UNITS_KEYS[names.REVENUE]: minor,
                names.CURRENCY_KEYS[names.REVENUE]: currency,
                names.REVENUE_BASIS: "excl_tax",
            }
        record = Record(
            names.EVENT_OPERATION, "checkout", ids.new(), self._now, facts, (),
            SpanContext(chance.getrandbits(128), chance.getrandbits(64), False, TraceFlags(1)),
            outcome, chance.randrange(2_000_000, 900_000_000),
        )  # fmt: skip
        self._sequences[process] += 1
        self.sold.append(
            Sold(record.uid, self._now, outcome, str(facts[names.SEGMENT]), country, currency if minor else "", minor)
        )
        return encoder.finish(encoder.prefix(record), self._sequences[process])

    def requests(self, events: int, *, size: int = 500) -> Iterator[bytes]:
        """Export requests of this many events in all, each of one process."""
        resources = [
            _wire.resource(
                {
                    "service.name": "shop", "service.version": f"1.{number % 2 + 4}",
                    "service.instance.id": f"shop-{number}", "deployment.environment.name": "production",
                    "telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": "python",
                }
            )
            for number in range(len(self._ids))
        ]  # fmt: skip
        scope = _wire.scope(names.SCOPE, "0.1.0")
        for number, start in enumerate(range(0, events, size)):
            process = number % len(self._ids)
            entries: Sequence[bytes] = [self.entry(process) for _ in range(min(size, events - start))]
            yield _wire.export_request(resources[process], [(scope, names.SCHEMA_URL.encode(), entries)])
