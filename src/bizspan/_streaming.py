"""
What a request still does after its scope was left: the steps of a body that is sent later.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from opentelemetry import context as otel

from bizspan._departed import ClientDisconnected
from bizspan._entry import Entry
from bizspan.context import Frame, frame

if TYPE_CHECKING:
    from opentelemetry.context import Context

T = TypeVar("T")


class Place:
    """
    Where a body is in its request. What is current at the end of one step is current in the next one, and in nothing
    between them: a generator may hold a span or an operation open over a ``yield``, and a worker's thread serves
    others meanwhile.

    Args:
        entry: The request's.
    """

    __slots__ = ("_before", "_context", "_entry", "_frame")

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._frame: Frame = entry
        self._context: Context | None = None  # what the body left current
        self._before: Context | None = None  # and what was current before it did

    @contextmanager
    def step(self) -> Generator[None]:
        """The block is one step of the body, in any thread or task."""
        outer, outside = frame.get(), otel.get_current()
        inside = self._context or self._entry.inside or outside
        frame.set(self._frame)
        if inside is not outside:
            otel.attach(inside)
        try:
            yield
        finally:
            innermost, left = frame.get(), otel.get_current()
            self._frame = self._entry if innermost is None else innermost
            if self._context is None:
                self._before = inside
            self._context = None if left is self._before else left
            frame.set(outer)
            if left is not outside:
                otel.attach(outside)


def within(entry: Entry) -> AbstractContextManager[None]:
    """
    The block runs in this scope again, in any thread or task, with the span of its operation as the current one.
    """
    return Place(entry).step()


class Steps(Generic[T]):
    """
    A streaming body whose every step runs in the scope of its request.

    Not a generator: closing one that was never started would neither close the body nor end the request, and that is
    how servers answer a HEAD request.

    Args:
        entry: The request's.
        body: What the application streams.
        done: Called once, at the end, with what the body raised, or with a `ClientDisconnected`.
    """

    def __init__(self, entry: Entry, body: Iterable[T], done: Callable[[BaseException | None], None]) -> None:
        self._place = Place(entry)
        self._body = body
        self._iterator: Iterator[T] | None = None
        self._done = done
        self._is_done = False

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            with self._place.step():
                if self._iterator is None:  # not before: it may run the application's code
                    self._iterator = iter(self._body)
                return next(self._iterator)
        except StopIteration:
            self._end(None)
            raise
        except BaseException as error:
            self._end(error)
            raise

    def close(self) -> None:
        """Close the body, in the scope. In the middle of it, the client has left: `done` is told so."""
        close = getattr(self._body, "close", None) or getattr(self._iterator, "close", None)
        # Servers close a body in its middle when the client left; one that never began is that of a HEAD request.
        is_cut = self._iterator is not None and not self._is_done
        failure: BaseException | None = ClientDisconnected() if is_cut else None
        try:
            if close is not None:
                with self._place.step():
                    close()
        except BaseException as error:
            failure = error
            raise
        finally:
            self._end(failure)

    def _end(self, error: BaseException | None) -> None:
        if not self._is_done:
            self._is_done = True
            self._done(error)
