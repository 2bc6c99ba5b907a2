"""
What became of every event that was offered, and of every value that did not fit.

``offered = acknowledged + refused`` holds at every moment: each offer ends in exactly one of the two counts, and
offered is their sum. That no offer escapes both is what the tests count from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bizspan import _guard
from bizspan._guard import Tallies, Tally

if TYPE_CHECKING:
    from bizspan._book_account import BookAccount

# Refusals of events.
NOT_CONFIGURED = "not_configured"
NO_LOGGER_PROVIDER = "no_logger_provider"
QUEUE_FULL = "queue_full"
INVALID_NAME = "invalid_name"
INTERNAL_ERROR = "internal_error"
FORKED = "forked"
SHUT_DOWN = "shut_down"

_READINGS = 100  # one is enough unless another thread comes between

# What a book says, here because most get a sentence below.
SPOOL_FULL, LOW_SPACE, DISK_FULL, SPOOL_ERROR = "spool_full", "low_space", "disk_full", "spool_error"
TOO_LARGE = "too_large"

_FIXES = {
    SPOOL_FULL: "The spool holds max_bytes; see that the collector answers, or raise it.",
    LOW_SPACE: "The spool's file system has less than min_free_bytes left; make room.",
    DISK_FULL: "The spool's file system is full; make room.",
    SPOOL_ERROR: "The spool can't be written; see the system's log. It is tried again.",
    NO_LOGGER_PROVIDER: "No logger provider is set; set one, or let configure(export='otlp') build it.",
    QUEUE_FULL: "They are told faster than they are taken, or nothing takes them; see that the collector answers.",
}


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """
    The accounts of this process at one moment, in events and in values.

    Args:
        offered: Events that the application told, which is acknowledged + refused.
        acknowledged: Events that bizspan took on; with a spool, that are on disk.
        refused: Events that it did not take, by reason.
        handed_over: Acknowledged events that a logger provider or the console took over.
        pending: Acknowledged events that still wait; with a spool, those of others that it adopted, too.
        values_refused: Facts and amounts that were dropped or changed, by reason. Their events were kept.
        swallowed: Errors of bizspan's own steps, by step.
        undeclared: Keywords that no vocabulary declares, as far as they were seen.
        configured: Whether anything can take events: `configure()` ran, or OpenTelemetry providers are set.
        spool: What became of the spool's events; None without a spool.
    """

    offered: int
    acknowledged: int
    refused: dict[str, int]
    handed_over: int
    pending: int
    values_refused: dict[str, int]
    swallowed: dict[str, int]
    undeclared: tuple[str, ...]
    configured: bool
    spool: BookAccount | None = None


class Reading(Tally):
    """
    A count that somebody else keeps.

    Args:
        read: Gives it.
    """

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[], int]) -> None:
        super().__init__()
        self._read = read

    @property
    def value(self) -> int:
        """The count, at this moment."""
        return self._read()


class Accounts:
    """
    The counts behind `Diagnostics`.
    """

    __slots__ = ("acknowledged", "handed_over", "problems", "refused", "undeclared", "values_refused")

    _UNDECLARED_LIMIT = 256
    _PROBLEMS_LIMIT = 256

    def __init__(self) -> None:
        self.acknowledged: Tally = Tally()
        self.handed_over = Tally()
        self.refused = Tallies()
        self.values_refused = Tallies()
        self.undeclared: dict[str, None] = {}
        self.problems: dict[str, None] = {}

    def flow(self) -> tuple[int, int]:
        """
        Acknowledged and handed over, of one moment: between two readings another thread may hand over a whole batch,
        and its events would show as pending.
        """
        handed_over = self.handed_over.value
        for _ in range(_READINGS):
            acknowledged, before = self.acknowledged.value, handed_over
            handed_over = self.handed_over.value
            if handed_over == before:
                break
        else:
            acknowledged = self.acknowledged.value
        return acknowledged, handed_over

    def refuse(self, reason: str) -> None:
        """Count one offered event as refused, and say it the first time."""
        self.refused.add(reason)
        if reason in _FIXES:
            _guard.say_once(f"event:{reason}", f"bizspan: events are refused ({reason}). {_FIXES[reason]}")

    def refuse_value(self, name: str, reason: str, hint: str) -> None:
        """
        Count one value that was dropped or changed, and say it once per keyword and reason.

        Args:
            name: The keyword or the kind of money, never the value.
            reason: A word such as ``type``.
            hint: What to do instead, a sentence.
        """
        self.values_refused.add(reason)
        problem = f"{name}: {reason}"
        if problem not in self.problems and len(self.problems) < self._PROBLEMS_LIMIT:
            self.problems[problem] = None
            _guard.say_once(f"value:{problem}", f"bizspan: {name} was refused ({reason}). {hint}")

    def note_undeclared(self, name: str, declared: list[str]) -> None:
        """
        Remember a keyword that no vocabulary declares, and say it once, with the nearest declared one.
        """
        if name in self.undeclared or len(self.undeclared) >= self._UNDECLARED_LIMIT:
            return
        self.undeclared[name] = None
        from difflib import get_close_matches  # 2 ms to import, for a sentence that is said once

        near = get_close_matches(name, declared, n=1)
        question = f" Did you mean {near[0]!r}?" if near else ""
        _guard.say_once(
            f"undeclared:{name}",
            f"bizspan: the fact {name!r} is not declared; it goes to spans and events as"
            f" 'business.custom.{name}', never to metrics.{question}"
            " Declare it in a Vocabulary to silence this.",
        )


# Events that were told while nothing could take them.
idle = Accounts()
