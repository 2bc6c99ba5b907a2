"""
Damaged files: what comes out was told, byte by byte, and an event is lost only where one of its own bytes was damaged.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bizspan.spool import _frame
from bizspan.spool._ack import Ack
from bizspan.spool._batch import pack_scope
from bizspan.spool._directory import ACK, SEGMENT, Directory, Name
from bizspan.spool._frame import numbered, pack
from bizspan.spool._store import Store
from tests.spool.disk import PATH, Disk, DiskFiles

RESOURCE, UNKNOWN, SCOPE, URL = b"the shop's resource", b"unknown", b"scope", b"schema"
BATCHES = (64, 700, 4096, 1 << 20)  # bytes

# Gives the damaged content; the number says up to where it was taken.
Damage = Callable[[random.Random, bytes, int], bytes]


@dataclass
class Told:
    """A segment as its process left it, with its sidecar."""

    name: Name
    content: bytes
    sidecar: bytes
    events: list[tuple[int, int, bytes]]  # start, end, what is sent of it
    taken: int

    @property
    def acked(self) -> int:
        """Up to where it was taken."""
        return self.events[self.taken - 1][1] if self.taken else 0


def told(chance: random.Random) -> Told:
    """A random one: 1 to 25 events, some of which hold frames of other segments; some were taken."""
    name = Name(chance.getrandbits(60), f"{chance.getrandbits(80):020x}", chance.getrandbits(32), SEGMENT)
    head = pack(name.salt, _frame.RESOURCE, RESOURCE) + pack(name.salt, _frame.SCOPE, pack_scope(SCOPE, URL))
    content, events = head, list[tuple[int, int, bytes]]()
    for sequence in range(1, chance.randint(1, 25) + 1):
        payload = b"%d:" % sequence + chance.randbytes(chance.choice((0, 5, 100, 500)))
        if chance.random() < 0.2:
            payload += pack(name.salt ^ 1, _frame.EVENT, b"forged", sequence=sequence) + bytes(chance.randint(0, 40))
        frame = pack(name.salt, _frame.EVENT, payload, sequence=sequence, seconds=1_700_000_000)
        events.append((len(content), len(content) + len(frame), numbered(payload, sequence)))
        content += frame
    disk = Disk()
    sidecar = os.path.join(PATH, str(name.other(ACK)))
    ack = Ack(DiskFiles(disk), sidecar, name.salt, head)
    ack.write_head()
    taken = chance.choice((0, 0, chance.randrange(len(events))))
    for number in range(taken):
        ack.move(events[number][1], number + 1)
    return Told(name, content, bytes(disk.names[sidecar].data), events, taken)


def cut(chance: random.Random, content: bytes, taken: int) -> bytes:
    """The end is missing, or a piece from the middle; not of what was taken, whose end is known by its place alone."""
    if chance.random() < 0.5:
        start, end = chance.randrange(len(content)), len(content)
    else:
        start = chance.randrange(taken, len(content))
        end = min(len(content), start + chance.randint(1, 600))
    return content[:start] + content[end:]


def flip(chance: random.Random, content: bytes, taken: int) -> bytes:
    """One to three bits are other ones."""
    damaged = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def zero(chance: random.Random, content: bytes, taken: int) -> bytes:
    """Pages are zeros, also behind the end, as after a power cut."""
    page = chance.choice((64, 512, 4096))
    damaged = bytearray(content)
    for start in range(0, len(content), page):
        if chance.random() < 0.3:
            end = min(start + page, len(content))
            damaged[start:end] = bytes(end - start)
    if chance.random() < 0.3:
        damaged.extend(bytes(page))
    return bytes(damaged)


def drained(disk: Disk, most_bytes: int) -> tuple[list[bytes], set[tuple[bytes, bytes, bytes]], Store]:
    """What an adopting process sends: payloads, and under which resources and scopes."""
    directory = Directory(PATH, most_bytes=1 << 30, floor_bytes=0, files=DiskFiles(disk))
    store = Store(directory, None, "f" * 20, unknown_resource=UNKNOWN)
    payloads: list[bytes] = []
    about: set[tuple[bytes, bytes, bytes]] = set()
    store.adopt()
    while (batch := store.batch(most_bytes, 7)) is not None:
        for scope, url, entries in batch.groups:
            about.add((batch.resource, scope, url))
            payloads += entries
        batch.delivered()
    return payloads, about, store


@pytest.mark.fuzz
@pytest.mark.parametrize(("damage", "times"), [(cut, 20_000), (flip, 5_000), (zero, 2_000)])
def test_damage_costs_what_was_damaged_and_brings_nothing_up(damage: Damage, times: int) -> None:
    """
    20,000 cuts, 5,000 bit flips and 2,000 times zeroed pages: on segments, on sidecars, or on both.
    """
    lost = events = 0
    for number in range(times):
        chance = random.Random(f"{damage.__name__} {number}")
        given = told(chance)
        content, sidecar = given.content, given.sidecar
        where = chance.choice(("segment", "segment", "sidecar", "both"))
        if where != "sidecar":
            content = damage(chance, content, given.acked)
        if where != "segment":
            sidecar = damage(chance, sidecar, 0)
        disk = Disk()
        disk.new(os.path.join(PATH, str(given.name))).data[:] = content
        disk.new(os.path.join(PATH, str(given.name.other(ACK)))).data[:] = sidecar

        payloads, about, store = drained(disk, chance.choice(BATCHES))

        # With its sequence and salt, no frame has the bytes of another one.
        intact = [payload for start, end, payload in given.events if given.content[start:end] in content]
        waited = [payload for _, _, payload in given.events[given.taken :] if payload in intact]
        assert [payload for payload in intact if payload in payloads] == payloads, number  # in order, once, and told
        assert waited == payloads[len(payloads) - len(waited) :], number  # what was taken may come again
        assert about <= {(resource, *scope) for resource in (RESOURCE, UNKNOWN) for scope in ((SCOPE, URL), (b"", b""))}
        if where == "segment":
            assert about <= {(RESOURCE, SCOPE, URL)}, number
        assert store.counts.delivered == store.counts.adopted == len(payloads)
        lost += len(given.events) - len(intact)
        events += len(given.events)
    print(f"{damage.__name__}: {times} times, {events} events, {lost} lost by their own damage, 0 others, 0 garbage")
