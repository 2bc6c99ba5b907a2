"""The tree of errors: what each is, what it says, and that it travels between processes."""

from __future__ import annotations

import pickle

import pytest

from bizspan import errors
from bizspan.errors import (
    AmountError,
    BizspanError,
    BizspanWarning,
    CurrencyMismatch,
    MissingExtra,
    SetupError,
    type_name,
)

pytestmark = pytest.mark.bare

EVERY_ERROR: list[BizspanError | BizspanWarning] = [
    BizspanError("a"),
    SetupError("b"),
    MissingExtra("configure()", "otlp"),
    AmountError("parse", "c"),
    CurrencyMismatch("d"),
    BizspanWarning("e"),
]


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
def test_every_error_survives_pickling(error: Exception) -> None:
    """Type, text and attributes arrive in another process as they were."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(error, protocol))

        assert (type(error), str(error), error.__dict__) == (type(copy), str(copy), copy.__dict__)


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
def test_the_drawn_tree_names_every_error(error: Exception) -> None:
    """A class that is added without a line in the drawing is noticed."""
    assert errors.__doc__ is not None
    assert type(error).__name__ in errors.__doc__


def test_errors_can_be_caught_as_what_python_calls_them() -> None:
    """An amount is a ValueError, currencies that meet a TypeError, a missing package an ImportError."""
    expected = {
        AmountError: ValueError,
        CurrencyMismatch: TypeError,
        MissingExtra: ImportError,
        BizspanWarning: UserWarning,
    }

    assert expected == {kind: base for kind, base in expected.items() if issubclass(kind, base)}
    assert issubclass(MissingExtra, SetupError)
    assert not issubclass(BizspanWarning, BizspanError)


def test_a_missing_extra_says_what_to_install() -> None:
    """The text can be pasted into a shell."""
    assert 'configure() needs packages that are not installed; run: pip install "bizspan[otlp]"' == str(
        MissingExtra("configure()", "otlp")
    )


def test_an_amount_error_has_a_word_for_machines_and_a_sentence_for_people() -> None:
    """The reason is counted, the text is read."""
    error = AmountError("range", "too much")

    assert ("range", "too much", "too much") == (error.reason, error.message, str(error))


def test_the_name_of_a_type_is_read_without_running_its_code() -> None:
    """A metaclass that raises on every question is not asked."""

    class Meta(type):
        def __getattribute__(cls, name: str) -> object:
            raise RuntimeError(name)

    class Cart(metaclass=Meta):
        pass

    assert "Cart" == type_name(Cart())
    assert 80 == len(type_name(type("x" * 500, (), {})()))
