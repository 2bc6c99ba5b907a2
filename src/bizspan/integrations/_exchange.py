"""
One request from its arrival to its last byte: the steps that every web framework's integration calls.

``begin`` - ``routed`` - ``ready`` - ``responded`` or ``raised`` - ``leave`` - ``end``. None of them raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Concatenate, Final, ParamSpec, TypeVar, cast

from opentelemetry import trace
from opentelemetry.trace import Span

from bizspan import _entry, _guard
from bizspan._entry import Entry
from bizspan._streaming import Steps
from bizspan.integrations._caller import caller_of
from bizspan.integrations._campaign import keep_touch
from bizspan.integrations._http import Arrived, request_facts, visitor_facts
from bizspan.integrations._routes import Route
from bizspan.integrations._rules import Rules

P = ParamSpec("P")
T = TypeVar("T")

_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500


def _guarded(method: Callable[Concatenate[Exchange, P], None]) -> Callable[Concatenate[Exchange, P], None]:
    @wraps(method)
    def guarded(self: Exchange, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            _guard.swallowed(f"a request: {method.__name__}", error)

    return cast("Callable[Concatenate[Exchange, P], None]", guarded)


class Exchange:
    """
    A request under way.

    Args:
        rules: The integration's.
        arrived: The request.
    """

    __slots__ = ("_arrived", "_error", "_has_ended", "_is_ready", "_responded", "_route", "_rules", "entry")

    def __init__(self, rules: Rules, arrived: Arrived) -> None:
        self._rules = rules
        self._arrived = arrived
        self._route: Route | None = None
        self._is_ready = False
        self._responded = self._has_ended = False
        self._error: BaseException | None = None
        self.entry: Entry

    @_guarded
    def routed(self, *names: str | None, late: bool = False) -> None:
        """
        The framework knows the route: begin its operation, where the map has one. May be called again.

        Args:
            names: What the framework calls it: the view or endpoint, and its template of the path.
            late: Whether the view ran already: a span of the operation's own then does not become the current one.
        """
        if self._route is not None:
            return
        arrived = self._arrived
        route = self._rules.route_map.find(arrived.method, arrived.path, names)
        if route is None:
            return
        self._route = route
        facts = route.all_facts()
        if facts:
            self.entry.told_inside(facts, wins=False)
        if route.operation is not None:
            caller = self._caller() if self.entry.span is None else None
            self.entry.operate(route.operation, {}, caller=caller, becomes_current=not late)

    def _caller(self) -> Span | None:
        """The parent of the operation's own span; None is the current span."""
        if trace.get_current_span().get_span_context().is_valid and not self.entry.is_apart:
            return None
        return caller_of(self._arrived.header)

    def ready(self) -> None:
        """Whoever acts is known now: authentication ran."""
        self._is_ready = True

    @_guarded
    def settle(self) -> None:
        """Ask for what was not asked yet: where the application's session is written before the answer is final."""
        self.entry.complete()
        if self._arrived.touch is not None:
            keep_touch(self._rules, self._arrived, self.entry.pipeline.accounts)

    @_guarded
    def responded(
        self, status: int, response: object = None, *, reason: str | None = None, is_whole: bool = True
    ) -> None:
        """
        There is an answer: its status gives the outcome, and the entry span gets everything that is known.

        Args:
            status: Of HTTP: from 400 the operation was rejected, from 500 it failed.
            response: The framework's own, for the route's revenue.
            reason: Why, where it was; by default ``http_`` and the status.
            is_whole: Whether the response is all there; if not, `earned` is called when it is.
        """
        if self._responded:
            return
        self._responded = True
        self.entry.complete()
        if self._arrived.touch is not None:
            keep_touch(self._rules, self._arrived, self.entry.pipeline.accounts)
        run = self.entry.operation
        if run is None:
            return
        if status >= _SERVER_ERROR:
            run.fail(reason or f"http_{status}")
        elif status >= _CLIENT_ERROR:
            run.reject(reason or f"http_{status}")
        elif is_whole:
            self.earned(response)

    @property
    def is_routed(self) -> bool:
        """Whether its route was found, or none can be: `routed` has nothing more to say."""
        return self._route is not None or not self._rules.route_map

    @property
    def wants_response(self) -> bool:
        """Whether the route's revenue is read from the response."""
        return self._route is not None and self._route.revenue is not None

    @_guarded
    def earned(self, response: object) -> None:
        """
        The response of a success is all there: the route's revenue can be read.

        Args:
            response: The framework's own.
        """
        run = self.entry.operation
        if run is not None and self._route is not None and self._route.revenue is not None:
            try:
                run.revenue(self._route.revenue(self._arrived.request, response))
            except Exception as error:  # the user's code: counted as such
                self.entry.refuse("revenue", "extractor_failed", f"Its function raised {type(error).__name__}.")

    @_guarded
    def sealed(self) -> None:
        """
        The last byte leaves now, and the entry span may end with it: the operation's outcome, money and duration are
        what they are. For servers that go on with background work in the same call.
        """
        self.entry.seal()

    @_guarded
    def raised(self, error: BaseException) -> None:
        """The application raised."""
        self._error = error

    @_guarded
    def abandoned(self) -> None:
        """There is neither an answer nor an error: the operation was cancelled."""
        run = self.entry.operation
        if run is not None and not self._responded and self._error is None:
            run.abandon()

    @_guarded
    def leave(self) -> None:
        """Stop being this thread's or task's request."""
        self.entry.leave()

    @_guarded
    def end(self) -> None:
        """The last byte was sent: the operation is recorded. The second time, nothing happens."""
        if not self._has_ended:
            self._has_ended = True
            self.entry.end(self._error)

    def stream(self, body: Iterable[T]) -> Steps[T]:
        """
        A body that is sent after `leave`: every step runs in the request's scope, and its end is the request's.
        """

        def done(error: BaseException | None) -> None:
            if error is not None:
                self.raised(error)
            self.end()

        try:
            self.entry.publish()  # it will have ended before the body does
        except Exception as error:
            _guard.swallowed("a request: publish", error)
        return Steps(self.entry, body, done)

    @property
    def is_ready(self) -> bool:
        """Whether `ready` was called."""
        return self._is_ready


def begin(rules: Rules, arrived: Arrived, is_ready: Callable[[], bool] | None = None) -> Exchange | None:
    """
    The request, its scope entered; None where it is left alone, or nothing is configured. Never raises.

    Args:
        rules: The integration's.
        arrived: The request.
        is_ready: Whether authentication ran; by default after `Exchange.ready`.
    """
    try:
        if rules.leaves_alone(arrived.path):
            return None
        exchange = Exchange(rules, arrived)
        replaced = rules.facts
        entry = _entry.begin(
            None if replaced is not None else lambda: request_facts(rules, arrived, exchange.entry.pipeline),
            (lambda: replaced(arrived.request))
            if replaced is not None
            else (lambda: visitor_facts(rules, arrived, exchange.entry.pipeline)),
            is_ready or (lambda: exchange.is_ready),
            apart=True,
        )
        if entry is None:
            return None
        exchange.entry = entry
        return exchange
    except Exception as error:
        _guard.swallowed("a request: begin", error)
        return None
