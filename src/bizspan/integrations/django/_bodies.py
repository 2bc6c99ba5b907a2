"""
Bodies that are sent after the view: each of their steps runs in the request's scope.
"""

# pyright: basic
# Django ships no types.
from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncIterator, Awaitable
from typing import Any
from weakref import finalize

from bizspan._departed import ClientDisconnected
from bizspan._streaming import Place, within
from bizspan.integrations._exchange import Exchange


def follow(exchange: Exchange, response: Any) -> None:
    """Run the body's steps, and what closing the response runs, in the request's scope; its end is the request's."""
    closed, steps = response.close, None
    if response.is_async:
        response.streaming_content = steps = AsyncSteps(exchange, aiter(response.streaming_content))
    else:
        response.streaming_content = exchange.stream(response.streaming_content)

    def close() -> None:
        try:
            with within(exchange.entry):
                if steps is not None:
                    steps.close()
                closed()
        finally:
            exchange.end()

    response.close = close
    # A middleware further out may put another response in its place, which then is the one that is closed.
    finalize(response, exchange.end).atexit = False


class AsyncSteps:
    """
    An asynchronous body whose every step runs in the scope of its request.

    Args:
        exchange: The request's.
        body: What the application streams.
    """

    def __init__(self, exchange: Exchange, body: AsyncIterator[Any]) -> None:
        self._exchange = exchange
        self._body: AsyncIterator[Any] | None = body
        self._is_under_way = False
        self._place = Place(exchange.entry)

    def __aiter__(self) -> AsyncSteps:
        return self

    async def __anext__(self) -> Any:
        """Its next part."""
        if self._body is None:
            raise StopAsyncIteration
        self._is_under_way = True
        step: Awaitable[Any] = anext(self._body)
        try:
            with self._place.step():
                return await step
        except StopAsyncIteration:
            self._end(None)
            raise
        except CancelledError:  # so Django stops an answer whose client left
            self._end(ClientDisconnected())
            raise
        except BaseException as error:
            self._end(error)
            raise

    def close(self) -> None:
        """
        The response is closed; in the middle of its body the client has left. Called in the scope: where the last
        reference to an asynchronous generator goes, there the event loop runs its clean-up.
        """
        if self._is_under_way:
            self._end(ClientDisconnected())
        self._body = None

    def _end(self, error: BaseException | None) -> None:
        self._is_under_way = False
        if error is not None:
            self._exchange.raised(error)
        self._exchange.end()
