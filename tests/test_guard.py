"""The guard: telemetry's own errors are swallowed, counted and said once; business code never notices."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from bizspan import _guard
from bizspan._guard import Tallies, Tally


@pytest.fixture(autouse=True)
def nothing_said() -> Iterator[None]:
    """Each test may say everything again."""
    _guard.forget_said()
    yield
    _guard.forget_said()


class RefusedError(Exception):
    """An error whose text holds a personal value."""


@pytest.mark.usefixtures("production_guard")
def test_an_error_is_counted_each_time_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """
    Three errors in one step: three in the count, one sentence, without the error's own text.
    """
    before = _guard.swallowed_errors.values().get("testing", 0)
    with caplog.at_level(logging.WARNING, "bizspan"):
        for _ in range(3):
            _guard.swallowed("testing", RefusedError("customer c-17"))

    assert before + 3 == _guard.swallowed_errors.values()["testing"]
    (said,) = caplog.messages
    assert "RefusedError" in said
    assert "c-17" not in said


def test_in_our_own_tests_an_error_is_fatal() -> None:
    """
    The autouse fixture makes what production swallows fail the test.
    """
    with pytest.raises(RefusedError):
        _guard.swallowed("testing", RefusedError())


@pytest.mark.usefixtures("production_guard")
def test_a_logging_handler_that_raises_is_swallowed_too() -> None:
    """
    Saying a sentence never raises, and the failure is counted.
    """

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RefusedError

    handler = Broken()
    _guard.logger.addHandler(handler)
    before = _guard.swallowed_errors.values().get("logging", 0)
    try:
        _guard.say_once("a key of this test", "Do X instead.")
    finally:
        _guard.logger.removeHandler(handler)

    assert before + 1 == _guard.swallowed_errors.values()["logging"]


def test_what_is_said_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """
    10,000 different problems write 512 sentences at most.
    """
    with caplog.at_level(logging.WARNING, "bizspan"):
        for number in range(10_000):
            _guard.say_once(f"key {number}", "Do X instead.")

    assert 512 == len(caplog.records)


def test_a_percent_sign_in_a_sentence_is_no_format(caplog: pytest.LogCaptureFixture) -> None:
    """
    Names of users end up in sentences; they are not formats.
    """
    with caplog.at_level(logging.WARNING, "bizspan"):
        _guard.say_once("percent", "100 %s of %d")

    assert ["100 %s of %d"] == caplog.messages


def test_a_tally_counts_every_add_of_every_thread(long: bool) -> None:
    """
    Eight threads, one tally, no lock: no add is lost.
    """
    rounds = 200_000 if long else 20_000
    tally, tallies = Tally(), Tallies()

    def add() -> None:
        for _ in range(rounds):
            tally.add()
            tallies.add("reason")

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 8 * rounds == tally.value
    assert {"reason": 8 * rounds} == tallies.values()
