"""
The demo's buttons on the page: pressed on a thread of the lens, done by the story, which answers.
"""

from __future__ import annotations

import queue
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from functools import partial
from typing import TYPE_CHECKING, Final

from bizspan.demo._goods import OLD

if TYPE_CHECKING:
    from bizspan.page import Action

ROLL_BACK, KILL = "r", "k"
_PATIENCE_S: Final = 10.0
_CLOSED: Final = "the shop has closed."


class Buttons:
    """What was pressed on the page and is not done yet; a key of the terminal stands for each button."""

    def __init__(self) -> None:
        self._pressed: queue.SimpleQueue[tuple[str, Future[str]]] = queue.SimpleQueue()
        self._is_over = False

    def actions(self) -> list[Action]:
        """The buttons."""
        from bizspan.page import Action

        return [
            Action(
                "roll-back", "Roll back", f"All customers get release {OLD} again, and the conversion recovers.",
                partial(self._press, ROLL_BACK),
            ),
            Action(
                "kill", "kill -9", "A process of the web shop is killed and started again; the total stays.",
                partial(self._press, KILL),
            ),
        ]  # fmt: skip

    def _press(self, key: str) -> str:
        answer = Future[str]()
        self._pressed.put((key, answer))
        if self._is_over:
            self.end()
        try:
            return answer.result(_PATIENCE_S)
        except NotInTime:
            answer.cancel()
            return "the demo was busy; press it again."

    def pressed(self) -> tuple[str, Future[str]] | None:
        """The next one, to be answered with a sentence; None without any."""
        try:
            while True:
                key, answer = self._pressed.get_nowait()
                if answer.set_running_or_notify_cancel():
                    return key, answer
        except queue.Empty:
            return None

    def end(self) -> None:
        """Answer all that nobody does any more."""
        self._is_over = True
        while (waiting := self.pressed()) is not None:
            waiting[1].set_result(_CLOSED)
