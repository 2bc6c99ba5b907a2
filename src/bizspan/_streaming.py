"""
What a request still does after its scope was left: the steps of a body that is sent later.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from bizspan._entry import Entry
from bizspan.context import frame

T = TypeVar("T")


@contextmanager
def within(entry: Entry) -> Generator[None]:
    """
    The block runs in this scope again, in any thread or task, with the span of its operation as the current one.
    """
    # What is restored is kept here and not in the entry: several threads of one request may be in it.
    before = frame.get()
    frame.set(entry)
    outside = entry.resume()
    try:
        yield
    finally:
        if entry.is_around(frame.get()):
            frame.set(before)
        if outside is not None:
            entry.restore(outside)


class Steps(Generic[T]):
    """
    A streaming body whose every step runs in the scope of its request.

    Not a generator: closing one that was never started would neither close the body nor end the request, and that is
    how servers answer a HEAD request.

    Args:
        entry: The request's.
        body: What the application streams.
        done: Called once, at the end, with what the body raised.
    """

    def __init__(self, entry: Entry, body: Iterable[T], done: Callable[[BaseException | None], None]) -> None:
        self._entry = entry
        self._body = body
        self._iterator: Iterator[T] | None = None
        self._done = done
        self._is_done = False

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            with within(self._entry):
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
        """Close the body, in the scope; the client may have left in the middle of it."""
        close = getattr(self._body, "close", None) or getattr(self._iterator, "close", None)
        failure: BaseException | None = None
        try:
            if close is not None:
                with within(self._entry):
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
