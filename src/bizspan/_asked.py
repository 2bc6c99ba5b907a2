"""
The facts of one request or task: asked for once and lazily, and added to by what is learned inside.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from bizspan._facts import EXTRACTOR_FAILED, FACTS_LIMIT, add_note
from bizspan.context import Frame, Scope
from bizspan.errors import type_name

if TYPE_CHECKING:
    from bizspan._facts import FactTable
    from bizspan._pipeline import Pipeline
    from bizspan._types import Attributes

Source = Callable[[], Mapping[str, object]]

_NOTHING: Final[Mapping[str, object]] = {}


def always() -> bool:
    """Yes."""
    return True


class Asked(Scope):
    """
    A scope whose facts come from functions, some of them the user's.

    No lock is held while one of them runs, and nobody waits for it: it may itself wait for another thread of the same
    request. Until it answered, that thread has the facts that are known.

    Args:
        pipeline: Resolves its facts.
        around: The frame around it.
        request_facts: Gives what the request says, by keyword. Called once, when it is first needed.
        identity_facts: The same for who acts, which wins.
        is_ready: Whether who acts is known yet: not before authentication. Until then `identity_facts` is not asked.
    """

    __slots__ = (
        "_added", "_changes", "_identity_facts", "_is_ready", "_missing", "_request_facts", "_writing", "is_eager",
        "pipeline",
    )  # fmt: skip

    def __init__(
        self,
        pipeline: Pipeline,
        around: Frame | None,
        request_facts: Source | None,
        identity_facts: Source | None,
        is_ready: Callable[[], bool],
    ) -> None:
        # Not the base class's, which would make it an attribute of itself: see `entry`.
        self.facts = _NOTHING
        self.outer, self.run = (None, None) if around is None else (around.ambient, around.run)
        self.late = None
        self.attributes = {}
        self._resolved_by = None
        self._epoch = 0
        self.pipeline = pipeline
        self._request_facts = request_facts
        self._identity_facts = identity_facts
        self._is_ready = is_ready
        self.is_eager = False  # whether what is learned is published at once
        self._changes = 0
        self._added: Mapping[str, object] = _NOTHING
        self._missing: tuple[str, ...] = ()
        self._writing = threading.RLock()  # held for assignments alone

    @property
    def is_entry(self) -> bool:
        """It is one."""
        return True

    @property
    def epoch(self) -> int:
        """Raised whenever its facts change; who acts becoming known is such a change."""
        if self._identity_facts is not None and self._is_ready():
            return self._changes + 1  # scopes fill in again, and that asks
        return self._changes

    @property
    def would_ask(self) -> bool:
        """Whether the next that needs its facts calls a function for them."""
        return self._request_facts is not None or (self._identity_facts is not None and self._is_ready())

    def resolve(self, pipeline: Pipeline) -> Scope:
        """See `Scope.resolve`: asked by each span inside, seldom with anything to do."""
        is_settled = self._identity_facts is None and self._epoch == self._changes
        if is_settled and self._resolved_by is pipeline.facts:
            return self
        if self._identity_facts is None and self.outer is None:
            self._fill(pipeline.facts)  # nothing around it has to be filled in first
        else:
            super().resolve(pipeline)
        return self

    def _fill(self, facts: FactTable) -> None:
        if self._request_facts is not None or self._identity_facts is not None:
            self.ask()
        epoch = self._changes if self._identity_facts is None else self.epoch
        attributes: Attributes = {} if self.outer is None else {**self.outer.attributes}
        if self._added:
            facts.resolve(self._added, attributes)
        facts.resolve(self.facts, attributes)
        if self.late:
            facts.resolve(self.late, attributes)
        for name in self._missing:
            add_note(attributes, f"{name}:{EXTRACTOR_FAILED}")
        if len(attributes) > FACTS_LIMIT:
            facts.drop_surplus(attributes, attributes)
        with self._writing:
            # Not over what another thread filled in from more than was known here.
            if epoch >= self._epoch or self._resolved_by is not facts:
                self.attributes, self._epoch, self._resolved_by = attributes, epoch, facts
        if self.is_eager:
            self.publish()

    def publish(self) -> None:
        """Say what is known where somebody else may end it."""

    def ask(self, *, ready: bool = False) -> None:
        """
        Ask for what can be known by now.

        Args:
            ready: Whether who acts is known by now, whatever `is_ready` says.
        """
        if self._request_facts is not None:
            # Forgotten first, so that what a source itself records does not ask it again.
            with self._writing:
                request_facts, self._request_facts = self._request_facts, None
            if request_facts is not None:
                given = self._given(request_facts, "request facts")
                with self._writing:
                    self.facts = {**given, **self.facts}
                    self._changes += 1
        if self._identity_facts is not None and (ready or self._is_ready()):
            with self._writing:
                identity_facts, self._identity_facts = self._identity_facts, None
                self._changes += 1  # as `epoch` said it would be
            if identity_facts is not None:
                given = self._given(identity_facts, "resolver")
                with self._writing:
                    self.facts = {**self.facts, **given}
                    self._changes += 1

    def _given(self, source: Source, name: str) -> Mapping[str, object]:
        try:
            given: dict[str, object] = {}
            for keyword, value in source().items():  # not a comprehension: it would be a call more
                if value is not None:
                    given[keyword] = value
        except Exception as error:  # the user's code: counted as such, and never fatal
            self.failed(name, error)
            return _NOTHING
        return given

    def learned(self, facts: Mapping[str, object], *, wins: bool) -> Mapping[str, object]:
        """
        Take facts that were learned inside.

        Args:
            facts: By keyword.
            wins: Whether they replace what is known, or only add to it.

        Returns:
            Those that are new.
        """
        with self._writing:
            if wins:
                self.late = {**(self.late or _NOTHING), **facts}
            else:
                known = {**self._added, **self.facts, **(self.late or _NOTHING)}
                facts = {name: value for name, value in facts.items() if known.get(name) is None}
                if not facts:
                    return facts
                self._added = {**self._added, **facts}
            self._changes += 1
        return facts

    def failed(self, name: str, error: Exception) -> None:
        """A function of the user's raised: counted, and noted on everything of the request."""
        self.lacks((name,))
        self.refuse(name, "extractor_failed", f"Its function raised {type_name(error)}.")

    def lacks(self, names: tuple[str, ...]) -> None:
        """Note on everything of the request that these are missing, because their functions raised."""
        with self._writing:
            self._missing = (*self._missing, *(name for name in names if name not in self._missing))
            self._changes += 1

    def refuse(self, name: str, reason: str, hint: str) -> None:
        """Count a value of this request that was dropped; see `Accounts.refuse_value`."""
        self.pipeline.accounts.refuse_value(name, reason, hint)
