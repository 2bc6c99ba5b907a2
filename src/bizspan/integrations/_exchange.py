"""
One request from its arrival to its last byte: the steps that every web framework's integration calls.

``begin`` - ``routed`` - ``ready`` - ``responded`` or ``raised`` - ``leave`` - ``end``. None of them raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from opentelemetry import trace
from opentelemetry.trace import Span

from bizspan import _baggage, _entry, _guard, names
from bizspan._entry import Entry
from bizspan._facts import EXTRACTOR_FAILED
from bizspan._streaming import Steps
from bizspan.integrations._caller import caller_of
from bizspan.integrations._campaign import keep_touch
from bizspan.integrations._http import Arrived, request_facts, visitor_facts, who_acts
from bizspan.integrations._routes import Route
from bizspan.integrations._rules import Rules

if TYPE_CHECKING:
    from bizspan._pipeline import Pipeline
    from bizspan._types import Attributes

T = TypeVar("T")

_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500


class Exchange:
    """
    A request under way.

    Args:
        rules: The integration's.
        arrived: The request.
    """

    __slots__ = (
        "_error", "_has_ended", "_is_ready", "_is_settled", "_responded", "_route", "arrived", "entry", "is_routed",
        "rules", "wants_response",
    )  # fmt: skip

    def __init__(self, rules: Rules, arrived: Arrived) -> None:
        self.rules = rules
        self.arrived = arrived
        self._route: Route | None = None
        self._is_ready = self._is_settled = False
        self.is_routed = False  # whether its route was found, or none can be: `routed` has nothing more to say
        self.wants_response = False  # whether the route's revenue is read from the response
        self._responded = self._has_ended = False
        self._error: BaseException | None = None
        self.entry: Entry

    def routed(self, names: Iterable[str | None] = (), *, late: bool = False) -> None:
        """
        The framework knows the route: begin its operation, where the map has one. May be called again.

        Args:
            names: What the framework calls it: the view or endpoint, and its template of the path. Read where the path
                itself is not in the map.
            late: Whether the view ran already: a span of the operation's own then does not become the current one.
        """
        if self.is_routed:
            return
        try:
            arrived, route_map = self.arrived, self.rules.route_map
            route = route_map.find(arrived.method, arrived.path, names)
            if route is None:
                self.is_routed = not route_map
                return
            self._route, self.is_routed = route, True
            self.wants_response = route.revenue is not None
            if route.feature or route.facts:
                self.entry.told_inside(route.all_facts(), wins=False)
            if route.operation is not None:
                self.entry.operate(route.operation, {}, caller=self._caller, becomes_current=not late)
        except Exception as error:
            _guard.swallowed("a request: routed", error)

    def _caller(self) -> Span | None:
        """The parent of the operation's own span; None is the current span."""
        if trace.get_current_span().get_span_context().is_valid and not self.entry.is_apart:
            return None
        return caller_of(self.arrived.header)

    @property
    def request(self) -> Any:
        """The framework's own."""
        return self.arrived.request

    def ready(self) -> None:
        """
        Authentication ran, so who acts is known: ask now, and not in the view, whose database session or lock a
        function of the user's may share.
        """
        try:
            # Said only then: what the request says comes first, and a session's query is a span, which would ask who.
            self.entry.ask(ready=True)
        except Exception as error:
            _guard.swallowed("a request: ready", error)
        self._is_ready = True

    def knows_who(self) -> bool:
        """Whether `ready` was called."""
        return self._is_ready

    def request_facts(self) -> Mapping[str, object]:
        """What the request itself says."""
        facts = request_facts(self.rules, self.arrived, self.entry.pipeline)
        if self.arrived.failed:
            self._tell_missing()
        return facts

    def received(self, pipeline: Pipeline) -> Attributes:
        """The facts that a service which is trusted sent along."""
        try:
            return _baggage.received(pipeline, self.arrived.header(_baggage.HEADER))
        except Exception as error:
            _guard.swallowed("a request: its baggage", error)
            return {}

    def identity_facts(self) -> Mapping[str, object]:
        """What is known once `ready` was called; every fact, where the rules have a function for that."""
        if self.rules.facts is not None:
            return who_acts(self.rules.facts, self.arrived)
        facts = visitor_facts(self.rules, self.arrived, self.entry.pipeline)
        if self.arrived.failed:
            self._tell_missing()
        return facts

    def _tell_missing(self) -> None:
        failed, self.arrived.failed = self.arrived.failed, ()
        self.entry.lacks(failed)

    def ask_again(self) -> None:
        """
        The view is through: somebody may have logged in, where the function that says who acts knew nobody before.
        What it gives now is late, like what `annotate()` tells, and changes nothing that was known.
        """
        if not self.arrived.knows_nobody:
            return
        function = self.rules.facts or self.rules.resolver
        if function is None:
            return
        self.arrived.knows_nobody = False
        try:
            facts = {name: value for name, value in who_acts(function, self.arrived).items() if value is not None}
        except Exception as error:  # the user's code: counted as such
            self.entry.failed("resolver", error)
            return
        try:
            self.entry.told_inside(facts, wins=False)
        except Exception as error:
            _guard.swallowed("a request: ask again", error)

    def settle(self) -> None:
        """Ask for what was not asked yet: where the application's session is written before the answer is final."""
        try:
            self.entry.complete()
            self._is_settled = True
            if self.arrived.touch is not None:
                keep_touch(self.rules, self.arrived, self.entry.pipeline.accounts)
        except Exception as error:
            _guard.swallowed("a request: settle", error)

    def responded(
        self,
        status: int,
        response: object = None,
        *,
        reason: str | None = None,
        undone: str | None = None,
        is_whole: bool = True,
    ) -> None:
        """
        There is an answer: its status gives the outcome, and the entry span gets everything that is known.

        Args:
            status: Of HTTP: from 400 the operation was rejected, from 500 it failed.
            response: The framework's own, for the route's revenue.
            reason: Why, where it was; by default ``http_`` and the status.
            undone: Why a success is none: what became of the view's transaction.
            is_whole: Whether the response is all there; if not, `earned` is called when it is.
        """
        if self._responded:
            return
        self._responded = True
        entry = self.entry
        # An operation writes everything at its end, in one go, unless its request's span may end before.
        if not self._is_settled or self.arrived.touch is not None or entry.operation is None or entry.is_eager:
            self.settle()
        try:
            run = entry.operation
            if run is None:
                return
            if status >= _SERVER_ERROR:
                run.fail(reason or f"http_{status}")
            elif status >= _CLIENT_ERROR:
                run.reject(reason or f"http_{status}")
            elif undone is not None:
                run.fail(undone)
            elif is_whole and self.wants_response:
                self.earned(response)
        except Exception as error:
            _guard.swallowed("a request: responded", error)

    @property
    def is_tied(self) -> bool:
        """Whether it is an operation, and the commit decides about operations of this process."""
        return self.entry.operation is not None and self.entry.pipeline.on_commit

    def earned(self, response: object) -> None:
        """
        The response of a success is all there: the route's revenue can be read.

        Args:
            response: The framework's own.
        """
        run = self.entry.operation
        if run is not None and self._route is not None and self._route.revenue is not None:
            try:
                run.revenue(self._route.revenue(self.arrived.request, response))
            except Exception as error:  # the user's code: counted as such
                run.missed(names.REVENUE)
                self.entry.refuse(
                    f"the revenue of {run.name}", EXTRACTOR_FAILED, f"Its function raised {type(error).__name__}."
                )

    def raised(self, error: BaseException) -> None:
        """The application raised."""
        self._error = error

    def leave(self) -> None:
        """Stop being this thread's or task's request."""
        try:
            self.entry.leave()
        except Exception as error:
            _guard.swallowed("a request: leave", error)

    def end(self, *, or_abandoned: bool = False) -> None:
        """
        The last byte was sent: the operation is recorded. The second time, nothing happens.

        Args:
            or_abandoned: Whether it was cancelled, where there is neither an answer nor an error.
        """
        if self._has_ended:
            return
        self._has_ended = True
        try:
            if or_abandoned and not self._responded and self._error is None and self.entry.operation is not None:
                self.entry.operation.abandon()
            self.entry.end(self._error)
        except Exception as error:
            _guard.swallowed("a request: end", error)

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


E = TypeVar("E", bound=Exchange)


def begin(exchange: E, is_ready: Callable[[], bool] | None = None) -> E | None:
    """
    The request, its scope entered; None where it is left alone, or nothing is configured. Never raises.

    Args:
        exchange: The request.
        is_ready: Whether authentication ran; by default after `Exchange.ready`.
    """
    try:
        rules, arrived = exchange.rules, exchange.arrived
        if rules.exclude and rules.leaves_alone(arrived.path):
            return None
        trusts = rules.trust_baggage is not False and rules.trusts_baggage(arrived.method, arrived.path)
        entry = _entry.begin(
            None if rules.facts is not None else exchange.request_facts,
            exchange.identity_facts,
            is_ready or exchange.knows_who,
            apart=True,
            received=exchange.received if trusts else None,
            yields=True,
        )
        if entry is None:
            return None
        exchange.entry = entry
        return exchange
    except Exception as error:
        _guard.swallowed("a request: begin", error)
        return None
