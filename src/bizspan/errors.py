"""
Everything that bizspan raises or warns, as one tree.

::

    Exception
    └── BizspanError                    catch this one to catch them all
        ├── SetupError                  a wrong set-up, told early: configure(), Vocabulary, decoration
        │   └── MissingExtra            (also ImportError) a part that needs an optional package
        ├── AmountError                 (also ValueError) an amount that is not kept; .reason says why
        └── CurrencyMismatch            (also TypeError) two currencies in one sum or comparison
    UserWarning
    └── BizspanWarning                  said once, business code goes on

Recording calls raise none of these: at run time they drop what is wrong, count it and say it once.
"""

from __future__ import annotations

REASONS = frozenset({"nonfinite", "negative", "precision", "range", "parse", "type", "currency"})
"""What `AmountError.reason` can be; also the values of the ``amount_invalid`` count."""

_type_name = type.__dict__["__name__"].__get__


class BizspanError(Exception):
    """Any error of bizspan."""


class SetupError(BizspanError):
    """A set-up that cannot work, raised where it is written rather than where it is used."""


class MissingExtra(SetupError, ImportError):  # noqa: N818 - it says what to install
    """
    A part of bizspan needs packages that are not installed; the text holds the pip line.

    Args:
        part: What the user asked for, for example ``"configure(export='otlp')"``.
        extra: The extra that brings it, for example ``"otlp"``.
    """

    def __init__(self, part: str, extra: str) -> None:
        super().__init__(part, extra)
        self.part = part
        self.extra = extra

    def __str__(self) -> str:
        return f'{self.part} needs packages that are not installed; run: pip install "bizspan[{self.extra}]"'


class AmountError(BizspanError, ValueError):
    """
    An amount of money that cannot be kept exactly.

    Args:
        reason: One word for counting: ``nonfinite``, ``negative``, ``precision``, ``range``, ``parse``,
            ``type`` or ``currency``.
        message: One sentence for people, with what to do instead.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


class CurrencyMismatch(BizspanError, TypeError):  # noqa: N818 - named like what happened
    """Two currencies met in one sum or comparison."""


class BizspanWarning(UserWarning):
    """Something was dropped or could not be done; it is counted, and business code goes on."""


def type_name(value: object) -> str:
    """
    The name of a value's type, at most 80 characters, without running code of that type.

    ``type(value).__name__`` would run a property of the metaclass, if it has one.
    """
    name: str = _type_name(type(value))
    return name[:80]
