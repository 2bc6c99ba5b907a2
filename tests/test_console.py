"""Receipts: what a person reads on the console for each record, and why something was refused."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import bizspan
from bizspan import Money, _guard

pytestmark = pytest.mark.bare


class CardDeclined(Exception):  # noqa: N818 - named like what happened
    pass


class Printed:
    """What went to the standard error stream."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured

    def lines(self) -> list[str]:
        """The lines since the last call, with durations, which vary, as N."""
        return [re.sub(r"  [\d.]+ ms", "  N ms", line) for line in self._captured.readouterr().err.splitlines()]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Iterator[Printed]:
    _guard.forget_said()
    with bizspan.configure(service_name="shop", export="console", hash_key=b"0123456789abcdef", hash_key_id="k"):
        yield Printed(capsys)


def test_the_receipt_of_a_success(printed: Printed) -> None:
    """
    The receipt of product.md, word by word.
    """
    with bizspan.operation("checkout", segment="enterprise", country="DE", order="o-1") as op:
        op.revenue("42.00", "EUR")

    assert ["checkout ✓ 42.00 EUR  segment=enterprise country=DE order=o-1  N ms"] == printed.lines()


def test_the_receipts_of_other_outcomes_say_why(printed: Printed) -> None:
    """
    A reason, else the class of the error; what was told as revenue is shown still.
    """
    with bizspan.operation("checkout") as op:
        op.revenue(5, "EUR")
        op.reject("card_declined")
    with pytest.raises(CardDeclined), bizspan.operation("checkout", rejects=CardDeclined):
        raise CardDeclined
    with pytest.raises(KeyError), bizspan.operation("checkout"):
        raise KeyError("secret")
    with pytest.raises(KeyboardInterrupt), bizspan.operation("checkout"):
        raise KeyboardInterrupt

    assert [
        "checkout ✗ rejected (card_declined) 5.00 EUR  N ms",
        "checkout ✗ rejected (card_declined)  N ms",
        "checkout ✗ failed (KeyError)  N ms",
        "checkout ∅ cancelled (keyboard_interrupt)  N ms",
    ] == printed.lines()


def test_the_receipt_of_a_refused_amount_says_so_and_the_log_says_what_to_do(
    printed: Printed, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The record says what is missing; the warning names the line and the way out.
    """
    with bizspan.operation("checkout") as op:
        op.revenue(0.1 + 0.2, "EUR")

    assert ["checkout ✓ revenue refused (precision)  N ms"] == printed.lines()
    (text,) = [record.message for record in caplog.records]
    assert text.startswith("bizspan: revenue (test_console.py:")
    assert "refused (precision)" in text
    assert "Money.rounded()" in text


def test_the_receipts_of_events_refunds_costs_and_feedback(printed: Printed) -> None:
    """
    One line each, with money and facts by their keywords.
    """
    bizspan.event("invoice.paid", revenue=Money("99.00", "EUR"), channel="web", own=3)
    bizspan.refund(Money("9.90", "EUR"), order="o-1")
    bizspan.cost("0.35", "EUR")
    bizspan.feedback("nps", 9, segment="smb")

    assert [
        "invoice.paid · 99.00 EUR  channel=web own=3",
        "business.refund · refund 9.90 EUR  order=o-1",
        "business.cost · cost 0.35 EUR",
        "business.feedback · nps=9  segment=smb",
    ] == printed.lines()


def test_a_dropped_fact_is_noted_on_the_receipt(printed: Printed) -> None:
    """
    Its keyword and the reason, never the value.
    """
    bizspan.event("told", country="Atlantis")

    assert ["told ·  ! country:iso_3166_1"] == printed.lines()


def test_a_personal_fact_is_printed_as_its_hash(printed: Printed) -> None:
    """
    A console is a store too.
    """
    bizspan.event("told", customer="ada@example.org")

    (line,) = printed.lines()
    assert line.startswith("told ·  customer=k:")
    assert "ada" not in line


def test_a_second_currency_is_a_line_of_its_own(printed: Printed) -> None:
    """
    Nothing is summed over currencies.
    """
    with bizspan.operation("checkout") as op:
        op.revenue(1, "EUR")
        op.revenue(2, "JPY")

    assert ["checkout ✓ 1.00 EUR  N ms", "checkout · 2 JPY"] == printed.lines()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_stream_that_knows_no_check_mark_gets_a_receipt_all_the_same(
    printed: Printed, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """
    What it can't write is replaced.
    """
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    monkeypatch.setattr(sys, "stderr", stream)

    with bizspan.operation("checkout"):
        pass

    assert raw.getvalue().startswith(b"checkout ? ")


@pytest.mark.parametrize("stream", [None, io.StringIO()], ids=["none", "closed"])
def test_a_program_without_streams_goes_on(
    printed: Printed, monkeypatch: pytest.MonkeyPatch, production_guard: None, stream: Any
) -> None:
    """
    A windowed program has no standard error; a closed one is swallowed and counted.
    """
    if stream is not None:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)

    with bizspan.operation("checkout"):
        done = True

    assert done
