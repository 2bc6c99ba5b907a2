"""
The middleware: one request of Django, as the steps of an exchange.
"""

# pyright: basic
# Django and asgiref ship no types.
from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async

from bizspan import _guard
from bizspan.integrations._django_commit import Block, atomic_databases, view_blocks
from bizspan.integrations._exchange import Exchange, begin
from bizspan.integrations._rules import Rules
from bizspan.integrations.django._bodies import follow
from bizspan.integrations.django._options import current_options, functions_of
from bizspan.integrations.django._request import ArrivedAtDjango, loads_session, names_of
from bizspan.integrations.django._who import Who, is_someone_else

_VISIT: Final = "_bizspan_visit"
_SERVER_ERROR: Final = 500


class Middleware:
    """
    Django's middleware, for WSGI and ASGI. Stands after ``AuthenticationMiddleware``.

    Args:
        get_response: What answers, as Django gives it.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response
        self._asking = Asking(current_options().rules)
        self._is_async = bool(iscoroutinefunction(get_response))
        if self._is_async:
            markcoroutinefunction(self)
            # Django would run the plain one in a thread, for each request.
            setattr(self, "process_view", self._process_view_async)  # noqa: B010 - mypy refuses the assignment

    def __call__(self, request: Any) -> Any:
        """The answer, or a promise of it under ASGI."""
        if _VISIT in request.__dict__:  # listed twice: the outer one does it all
            return self._get_response(request)
        if self._is_async:
            return self._answer_async(request)
        with Visit(self._asking, request) as visit:
            response = self._get_response(request)
            visit.ask_again()
            visit.answered(response)
        return response

    async def _answer_async(self, request: Any) -> Any:
        with Visit(self._asking, request) as visit:
            response = await self._get_response(request)
            if not visit.was_asked:
                await visit.ask_async()
            await visit.ask_again_async()
            visit.answered(response)
        return response

    def process_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> Any:
        """
        The view is known, and every middleware has seen the request.

        The facts are asked now, and not when something first needs them: that may be on an event loop, where Django
        allows no queries, or in a transaction of the view, which a query that fails would break.
        """
        visit: Visit | None = request.__dict__.get(_VISIT)
        if visit is not None:
            visit.routed()
            visit.ask()
            visit.follow(view)

    async def _process_view_async(self, request: Any, view: Any, args: Any, kwargs: Any) -> Any:
        visit = visit_of(request)
        if visit is not None:
            visit.routed()
            await visit.ask_async()
            await visit.follow_async(view)

    def process_exception(self, request: Any, error: Exception) -> None:
        """A view raised: it is told if the answer is a server's error, and not for a 404."""
        visit = visit_of(request)
        if visit is not None:
            visit.error = error


class Asking:
    """
    The rules, and where their functions may be asked.

    Args:
        rules: Of the settings.
    """

    __slots__ = ("_has_functions", "_reads_session", "rules", "who")

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        who = rules.facts or rules.resolver
        self.who = who if isinstance(who, Who) else None
        self._has_functions = any(not isinstance(each, Who) or not each.is_async for each in functions_of(rules))
        self._reads_session = rules.facts is None and (rules.campaign != "off" or rules.bots)

    def uses_database(self, request: Any) -> bool:
        """Whether plain functions, or the session, may query a database for this request."""
        return self._has_functions or (self._reads_session and loads_session(request))


class Visit:
    """
    One request under way. None of its steps raises, and each does nothing where the request is left alone.

    Args:
        asking: The middleware's.
        request: Django's.
    """

    __slots__ = ("_asking", "_blocks", "_is_routed", "_is_streaming", "error", "exchange", "request", "was_asked")

    def __init__(self, asking: Asking, request: Any) -> None:
        self._asking = asking
        self.request = request
        self.exchange: Exchange | None = None
        self.error: Exception | None = None
        self.was_asked = False
        self._is_routed = self._is_streaming = False
        self._blocks: list[Block] = []

    def __enter__(self) -> Visit:
        try:
            self.exchange = begin(Exchange(self._asking.rules, ArrivedAtDjango(self.request)))
            if self.exchange is not None:
                setattr(self.request, _VISIT, self)
        except Exception as error:
            _guard.swallowed("a request: begin", error)
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        exchange = self.exchange
        if exchange is None:
            return
        self.request.__dict__.pop(_VISIT, None)  # the request would be work for the garbage collector
        if error is not None:
            self.routed(late=True)
            exchange.raised(error)
        exchange.leave()
        if not self._is_streaming:
            exchange.end()

    # --- who acts -------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Ask for the facts, here."""
        exchange = self.exchange
        if exchange is None:
            return
        self.was_asked = True
        try:
            exchange.ready()
            exchange.entry.complete()
        except Exception as error:
            _guard.swallowed("a request: facts", error)

    async def ask_async(self) -> None:
        """Ask for the facts, each function where it may use the database."""
        if self.exchange is None:
            return
        try:
            who = self._asking.who
            if who is not None and who.is_async:
                await who.prepare(self.request)
            if self._asking.uses_database(self.request):
                await sync_to_async(self.ask, thread_sensitive=True)()
            else:
                self.ask()
        except Exception as error:
            _guard.swallowed("a request: facts", error)

    def ask_again(self) -> None:
        """Somebody logged in meanwhile: ask who, once more."""
        who = self._asking.who
        if who is not None and self.exchange is not None and is_someone_else(self.request):
            self._told_again(who)

    async def ask_again_async(self) -> None:
        """As `ask_again`."""
        who = self._asking.who
        if who is None or self.exchange is None or not is_someone_else(self.request):
            return
        try:
            if who.is_async:
                await who.prepare(self.request)
                self._told_again(who)
            else:
                await sync_to_async(self._told_again, thread_sensitive=True)(who)
        except Exception as error:
            _guard.swallowed("a request: facts", error)

    def _told_again(self, who: Who) -> None:
        exchange = self.exchange
        assert exchange is not None
        try:
            facts = {name: value for name, value in who(self.request).items() if value is not None}
        except Exception as error:  # the user's code: counted as such
            exchange.entry.failed("resolver", error)
            return
        try:
            exchange.entry.told_inside(facts, wins=False)
        except Exception as error:
            _guard.swallowed("a request: facts", error)

    # --- its steps ------------------------------------------------------------------------------------------------

    def routed(self, *, late: bool = False) -> None:
        """The view is known, or it ran already."""
        exchange = self.exchange
        if exchange is not None and not self._is_routed:
            self._is_routed = True
            try:
                exchange.routed(names_of(self.request), late=late)
            except Exception as error:
                _guard.swallowed("a request: its view", error)

    def follow(self, view: Any) -> None:
        """The view is about to run, in transactions where ATOMIC_REQUESTS says so: they decide about a success."""
        try:
            if self.exchange is not None and self.exchange.is_tied:
                self._blocks = view_blocks(view)
        except Exception as error:
            _guard.swallowed("a request: its transaction", error)

    async def follow_async(self, view: Any) -> None:
        """As `follow`, in Django's thread for synchronous code, where such a view runs."""
        try:
            if self.exchange is not None and self.exchange.is_tied and atomic_databases(view):
                await sync_to_async(self.follow, thread_sensitive=True)(view)
        except Exception as error:
            _guard.swallowed("a request: its transaction", error)

    def answered(self, response: Any) -> None:
        """There is a response; of a streaming one the end is still to come."""
        exchange = self.exchange
        if exchange is None:
            return
        if not self._is_routed:
            self.routed(late=True)  # another middleware may have answered before the view: a refused CSRF token
        status = getattr(response, "status_code", 200)
        if self.error is not None and status >= _SERVER_ERROR:
            exchange.raised(self.error)
        undone: str | None = None
        if self._blocks:
            undone = next((block.reason for block in self._blocks if block.reason is not None), None)
        exchange.responded(status, response, undone=undone)
        # A file's body is the server's to send, and runs none of the application's code.
        if getattr(response, "streaming", False) and getattr(response, "file_to_stream", None) is None:
            try:
                follow(exchange, response)
                self._is_streaming = True
            except Exception as error:
                _guard.swallowed("a request: streaming", error)


def visit_of(request: Any) -> Visit | None:
    """The request's visit; None where it is left alone."""
    visit: Visit | None = request.__dict__.get(_VISIT)
    return visit
