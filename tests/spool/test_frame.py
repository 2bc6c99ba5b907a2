"""
Frames are found again whatever happened to the bytes around them.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bizspan.spool import _frame
from bizspan.spool._frame import Damage, Frame, frame_at, pack, scan

SALT = 0x5EED_0001
payloads = st.lists(st.binary(max_size=300), min_size=1, max_size=20)


def frames_of(buffer: bytes, salt: int = SALT) -> list[Frame]:
    return [found for found in scan(buffer, salt) if isinstance(found, Frame)]


def packed(payloads: list[bytes]) -> list[bytes]:
    return [
        pack(SALT, _frame.EVENT, payload, scope=1, sequence=number, seconds=7)
        for number, payload in enumerate(payloads, 1)
    ]


@given(payloads)
def test_what_was_packed_is_found(given_payloads: list[bytes]) -> None:
    """
    Every frame comes back with what it was packed with, in order.
    """
    found = list(scan(b"".join(packed(given_payloads)), SALT))

    expected = [(_frame.EVENT, 1, number, 7, payload) for number, payload in enumerate(given_payloads, 1)]
    assert expected == [(f.kind, f.scope, f.sequence, f.seconds, f.payload) for f in found if isinstance(f, Frame)]
    assert len(found) == len(given_payloads)


@given(payloads, st.data())
def test_one_flipped_bit_costs_the_frame_that_it_is_in(given_payloads: list[bytes], data: st.DataObject) -> None:
    """
    All other frames are found, and nothing else is.
    """
    parts = packed(given_payloads)
    whole = bytearray(b"".join(parts))
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= 1 << data.draw(st.integers(0, 7))
    hit = next(n for n in range(1, len(parts) + 1) if position < sum(map(len, parts[:n])))

    expected = [payload for number, payload in enumerate(given_payloads, 1) if number != hit]
    assert expected == [frame.payload for frame in frames_of(bytes(whole))]


@given(payloads, st.data())
def test_a_cut_costs_what_is_behind_it(given_payloads: list[bytes], data: st.DataObject) -> None:
    """
    The frames before the cut are found.
    """
    parts = packed(given_payloads)
    whole = b"".join(parts)
    cut = data.draw(st.integers(0, len(whole)))
    kept = [p for n, p in enumerate(given_payloads, 1) if sum(map(len, parts[:n])) <= cut]

    assert kept == [frame.payload for frame in frames_of(whole[:cut])]


def test_zeros_hold_no_frame() -> None:
    """
    A file that the system filled with zeros has no phantom in it.
    """
    assert [Damage(0, 8192)] == list(scan(bytes(8192), 0))


def test_text_that_looks_like_a_frame_is_not_found_after_damage() -> None:
    """
    A payload may hold a frame of another segment; where its own frame is broken, that one is not taken for an event.
    """
    inner = pack(SALT + 1, _frame.EVENT, b"forged", sequence=1)
    outer = bytearray(pack(SALT, _frame.EVENT, b"told: " + inner, sequence=1))
    outer[8] ^= 1

    assert [] == frames_of(bytes(outer))


def test_a_frame_of_another_salt_or_longer_than_an_event_is_none() -> None:
    """
    Both are told from the head alone.
    """
    good = pack(SALT, _frame.EVENT, b"x")
    too_long = _frame.EVENT_MOST + 1

    assert frame_at(good, SALT) is not None
    assert frame_at(good, SALT + 1) is None
    assert frame_at(pack(SALT, _frame.EVENT, bytes(too_long)), SALT) is None
