"""The lifetime of ASGI requests and websockets: how they end, what is learned late, and that they stay apart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from typing import Any, Final

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import bizspan
from bizspan import _active, _pipeline, names
from bizspan.context import frame
from bizspan.integrations.asgi import Bizspan
from tests.asgi_app import (
    BODY,
    CALLER,
    PLAN,
    ROUTES,
    SEGMENT,
    START,
    TRACEPARENT,
    Message,
    Receive,
    Scope,
    Send,
    Server,
    event_of,
    http,
    run,
    shop,
    span_of,
    with_status,
)
from tests.providers import Application, joined, points, reader, take


@pytest.fixture
def memory() -> InMemoryMetricReader:
    """The application's metric reader."""
    return reader()


@pytest.fixture
def application(memory: InMemoryMetricReader) -> Iterator[Application]:
    """An application's providers, joined."""
    with joined(memory, export="otlp") as running:
        yield running


def refused() -> dict[str, int]:
    """How many values were refused, by reason."""
    pipeline = _active.current
    assert pipeline is not None
    return pipeline.accounts.values_refused.values()


# --- how it ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "outcome", "reason"),
    [(200, "success", None), (303, "success", None), (402, "rejected", "http_402"), (503, "failed", "http_503")],
)
def test_the_status_gives_the_outcome(application: Application, status: int, outcome: str, reason: str | None) -> None:
    """
    On the event and on the server's span.
    """
    run(Server(Bizspan(with_status(status), routes=ROUTES), application.tracer_provider))
    operation, span = event_of(application, "checkout"), span_of(application, "POST").attributes

    assert (outcome, reason) == (operation[names.OPERATION_OUTCOME], operation.get(names.OPERATION_REASON))
    assert (outcome, reason) == (span[names.OPERATION_OUTCOME], span.get(names.OPERATION_REASON))


# As Starlette names what it raises.
ClientDisconnect: Final = type("ClientDisconnect", (Exception,), {})


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (ValueError("x"), "failed", None),
        (asyncio.CancelledError(), "cancelled", "cancelled_error"),
        (ClientDisconnect(), "cancelled", "client_disconnected"),
    ],
)
@pytest.mark.parametrize("is_streaming", [False, True])
def test_what_the_application_raises_goes_on_and_gives_the_outcome(
    application: Application, error: BaseException, outcome: str, reason: str | None, is_streaming: bool
) -> None:
    """
    The very same exception, before the answer and in the middle of it; and the scope is left.
    """
    left: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if is_streaming:
            await send(dict(START))
            await send({**BODY, "more_body": True})
        raise error

    async def outside(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await Bizspan(app, routes=ROUTES)(scope, receive, send)
        except BaseException as raised:
            left.append(raised)
        left.append(frame.get())

    run(outside)
    operation = event_of(application, "checkout")

    assert [error, None] == left
    assert (outcome, reason) == (operation[names.OPERATION_OUTCOME], operation.get(names.OPERATION_REASON))


INCOMPLETE: Final[list[tuple[list[Message], str, str]]] = [
    ([], "failed", "no_response"),
    ([START, {**BODY, "more_body": True}], "cancelled", "incomplete_response"),
]


@pytest.mark.parametrize(("messages", "outcome", "reason"), INCOMPLETE)
def test_an_answer_that_is_not_complete_is_no_success(
    application: Application, messages: list[Message], outcome: str, reason: str
) -> None:
    """
    Frameworks return in the middle of a stream when the client has left.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    run(Bizspan(app, routes=ROUTES))
    operation = event_of(application, "checkout")

    assert (outcome, reason) == (operation[names.OPERATION_OUTCOME], operation[names.OPERATION_REASON])


EXTENSIONS: Final[list[list[Message]]] = [
    [{"type": "http.response.early_hint", "links": [b"</a.css>"]}, START, BODY],
    [START, {"type": "http.response.pathsend", "path": "/srv/a"}],
    [START, {"type": "http.response.zerocopysend", "file": 3}],
    [{**START, "trailers": True}, BODY, {"type": "http.response.trailers", "headers": [], "more_trailers": False}],
]


@pytest.mark.parametrize("messages", EXTENSIONS)
def test_extensions_pass_and_end_the_answer(application: Application, messages: list[Message]) -> None:
    """
    Every message goes through as it is; the outcome is on the server's span before the last one.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    sent = run(Server(Bizspan(app, routes=ROUTES), application.tracer_provider))

    assert messages == sent
    assert "success" == event_of(application, "checkout")[names.OPERATION_OUTCOME]


# --- late -----------------------------------------------------------------------------------------------------------


def test_what_is_learned_inside_reaches_everything_of_the_request(
    application: Application, memory: InMemoryMetricReader
) -> None:
    """
    Told in a thread, in a task, and in an inner context: entry span, later events, and the operation's point.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(bizspan.annotate, segment="gold")

        async def tell() -> None:
            bizspan.annotate(plan="pro")

        await asyncio.create_task(tell())
        with bizspan.context(channel="app"):
            pass
        await shop(scope, receive, send)

    run(Server(Bizspan(app, routes=ROUTES), application.tracer_provider))
    learned = {SEGMENT: "gold", PLAN: "pro", "business.channel": "app"}
    operation = event_of(application, "checkout")
    [point] = points(memory.get_metrics_data(), names.METRIC_DURATION)

    for attributes in (
        span_of(application, "POST").attributes, event_of(application, "seen"), operation, point.attributes
    ):  # fmt: skip
        assert learned.items() <= attributes.items()


def test_after_the_entry_spans_end_facts_reach_what_is_still_to_come(
    application: Application, memory: InMemoryMetricReader
) -> None:
    """
    In a background task: later events. The operation was recorded with the answer's last byte, and does not wait for a
    task that may take hours or be killed; what comes after is counted as late.
    """
    delay_s = 0.1

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await with_status(200)(scope, receive, send)
        await asyncio.sleep(delay_s)
        bizspan.annotate(plan="pro")
        bizspan.event("mailed")
        raise ValueError("the mail server")

    with pytest.raises(ValueError, match="the mail server"):
        run(Server(Bizspan(app, routes=ROUTES), application.tracer_provider))
    operation = event_of(application, "checkout")
    [point] = points(memory.get_metrics_data(), names.METRIC_DURATION)

    assert "pro" == event_of(application, "mailed")[PLAN]
    assert {PLAN}.isdisjoint({*operation, *point.attributes})
    assert PLAN not in span_of(application, "POST").attributes
    assert 1 == refused()["late"]
    assert "success" == operation[names.OPERATION_OUTCOME] == point.attributes[names.OPERATION_OUTCOME]
    assert delay_s > operation[names.OPERATION_DURATION]


def test_a_stream_is_over_with_its_last_part(application: Application) -> None:
    """
    What is told between two parts is on the server's span, and its time counts.
    """
    delay_s = 0.05

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(dict(START))
        for part in (b"a", b"b"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(delay_s)
            bizspan.annotate(plan=part.decode())
        await send({"type": "http.response.body"})

    run(Server(Bizspan(app, routes=ROUTES), application.tracer_provider))
    operation = event_of(application, "checkout")

    assert "b" == operation[PLAN] == span_of(application, "POST").attributes[PLAN]
    assert 2 * delay_s <= operation[names.OPERATION_DURATION]


def test_what_is_sent_after_the_end_changes_nothing(application: Application) -> None:
    """
    A task that outlives its request may still send; that is the server's business.
    """
    tasks: list[asyncio.Task[None]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def late() -> None:
            await asyncio.sleep(0)
            await with_status(500)(scope, receive, send)

        tasks.append(asyncio.create_task(late()))

    async def outside(scope: Scope, receive: Receive, send: Send) -> None:
        await Bizspan(app, routes=ROUTES)(scope, receive, send)
        await tasks[0]

    sent = run(outside)

    assert [500] == [message["status"] for message in sent if "status" in message]
    assert "no_response" == event_of(application, "checkout")[names.OPERATION_REASON]


# --- apart ----------------------------------------------------------------------------------------------------------


def test_many_requests_of_one_loop_keep_their_facts_apart(application: Application) -> None:
    """
    They wait for each other inside, in tasks and threads of theirs, and each event carries its own request's segment.
    """
    number = 64
    arrived: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        everybody: asyncio.Event = scope["everybody"]
        arrived.append(1)
        if len(arrived) == number:
            everybody.set()
        await everybody.wait()
        own = scope["headers"][0][1].decode()

        async def tell() -> None:
            bizspan.event("task", order=own)

        await asyncio.gather(tell(), asyncio.to_thread(bizspan.event, "thread", order=own))
        bizspan.annotate(order=own)
        await with_status(200)(scope, receive, send)

    wrapped = Bizspan(app, routes=ROUTES, resolver=lambda request: {"segment": request.headers["x-segment"]})

    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    async def sent(message: Message) -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        everybody = asyncio.Event()
        await asyncio.gather(
            *(
                wrapped(http(headers=[(b"x-segment", f"s{k}".encode())], everybody=everybody), nothing, sent)
                for k in range(number)
            )
        )

    asyncio.run(main())
    take()
    told = [(record.attributes[names.ORDER], record.attributes[SEGMENT]) for record in application.logs()]

    assert sorted((f"s{k}", f"s{k}") for k in range(number) for _ in range(3)) == sorted(told)


def test_a_request_in_the_context_of_an_earlier_one_is_not_inside_it(application: Application) -> None:
    """
    As event loops do it to the requests of one connection: neither facts nor span of the other one.
    """
    nested: list[asyncio.Task[None]] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        bizspan.event("inner")
        await with_status(200)(scope, receive, send)

    async def nothing(message: Message) -> None:
        pass

    wrapped = Bizspan(inner, routes={"GET /slow": "slow"})

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        with bizspan.context(region="DE-BY"):
            nested.append(asyncio.create_task(wrapped(http("GET", "/slow", [TRACEPARENT]), receive, nothing)))
            await nested[0]
        bizspan.event("outer")
        await with_status(200)(scope, receive, send)

    run(Server(Bizspan(outer, routes=ROUTES, channel="web"), application.tracer_provider))

    assert {"business.channel", "geo.region.iso_code"}.isdisjoint(event_of(application, "inner"))
    assert {"business.channel", "geo.region.iso_code"}.isdisjoint(event_of(application, "slow"))
    assert "web" == event_of(application, "outer")["business.channel"]
    assert CALLER == span_of(application, "slow").context.trace_id
    assert "checkout" == span_of(application, "POST").attributes[names.OPERATION_NAME]


def test_what_the_application_leaves_open_stays_in_its_request(application: Application) -> None:
    """
    Neither an operation that nobody closed nor its span is current afterwards.
    """
    left: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bizspan.context(region="DE-BY").__enter__()
        bizspan.operation("never.closed").__enter__()
        bizspan.context(segment="gold").__enter__()
        await shop(scope, receive, send)

    async def outside(scope: Scope, receive: Receive, send: Send) -> None:
        await Bizspan(app, routes=ROUTES)(scope, receive, send)
        left.extend([frame.get(), trace.get_current_span()])

    run(outside)

    assert [None, trace.INVALID_SPAN] == left


def test_twice_in_one_application_the_outer_one_counts(application: Application) -> None:
    """
    One operation, with the facts of the outer one.
    """
    run(Bizspan(Bizspan(shop, routes=ROUTES, channel="inner"), routes=ROUTES, channel="outer"))

    assert "outer" == event_of(application, "checkout")["business.channel"]


def test_a_request_that_is_tried_again_is_recorded_again(application: Application) -> None:
    """
    Something around bizspan may call it twice with one scope: each is an operation, also after one that raised.
    """
    statuses = iter([0, 503, 200])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not (status := next(statuses)):
            raise ConnectionError
        await with_status(status)(scope, receive, send)

    async def trying(scope: Scope, receive: Receive, send: Send) -> None:
        inside = Bizspan(app, routes=ROUTES)
        for _ in range(2):
            with suppress(ConnectionError):
                await inside(scope, receive, ignored)
        await inside(scope, receive, send)

    async def ignored(message: Message) -> None:
        """An answer that its client does not see."""

    run(trying)
    take()

    assert ["failed", "failed", "success"] == [log.attributes[names.OPERATION_OUTCOME] for log in application.logs()]


def test_context_around_the_server_is_kept(application: Application) -> None:
    """
    It belongs to no request: a test's or a process's.
    """
    with bizspan.context(region="DE-BY"):
        run(Bizspan(shop, routes=ROUTES))

    assert "DE-BY" == event_of(application, "checkout")["geo.region.iso_code"]


# --- other kinds ----------------------------------------------------------------------------------------------------


def websocket(**more: Any) -> Scope:
    """A websocket's scope."""
    return {"type": "websocket", "path": "/chat", "query_string": b"", "headers": [], "client": None, **more}


ACCEPT: Final[dict[str, Any]] = {"type": "websocket.accept"}
LEFT: Final[dict[str, Any]] = {"type": "websocket.disconnect", "code": 1001}


CONVERSATIONS: Final[list[tuple[list[Message], str, str | None]]] = [
    ([ACCEPT, {"type": "websocket.close"}], "success", None),
    ([ACCEPT, {"type": "websocket.close", "code": 4401}], "rejected", "websocket_4401"),
    ([ACCEPT, {"type": "websocket.close", "code": 1011}], "failed", "websocket_1011"),
    ([ACCEPT], "success", None),
    ([{"type": "websocket.close"}], "rejected", "http_403"),
    ([{"type": "websocket.http.response.start", "status": 401, "headers": []}], "rejected", "http_401"),
    ([], "failed", "no_response"),
]


@pytest.mark.parametrize(("messages", "outcome", "reason"), CONVERSATIONS)
def test_a_websocket_is_one_operation_where_the_map_says_so(
    application: Application, messages: list[Message], outcome: str, reason: str | None
) -> None:
    """
    From the first message to the last; the facts are in force for the whole connection.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        bizspan.event("said")

    run(
        Server(Bizspan(app, routes={"WEBSOCKET /chat": "chat"}, channel="web"), application.tracer_provider),
        websocket(),
    )
    operation, span = event_of(application, "chat"), span_of(application, "POST").attributes

    assert (outcome, reason) == (operation[names.OPERATION_OUTCOME], operation.get(names.OPERATION_REASON))
    assert outcome == span[names.OPERATION_OUTCOME]
    assert "web" == event_of(application, "said")["business.channel"] == span["business.channel"]


def test_a_client_that_leaves_ends_the_conversation(application: Application) -> None:
    """
    That is no failure, even where the application does not catch what its framework raises then.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(dict(ACCEPT))
        await receive()
        raise ConnectionError("WebSocketDisconnect")

    with pytest.raises(ConnectionError):
        run(Bizspan(app, routes={"WEBSOCKET /chat": "chat"}), websocket(), [LEFT])

    assert "success" == event_of(application, "chat")[names.OPERATION_OUTCOME]


def test_a_websocket_is_no_operation_by_its_path_alone(application: Application) -> None:
    """
    A route without a method is one of HTTP.
    """
    run(Bizspan(lambda scope, receive, send: send(dict(ACCEPT)), routes={"/chat": "chat"}), websocket())
    take()

    assert [] == application.logs()


def test_a_kind_of_scope_that_is_new_passes_untouched(application: Application) -> None:
    """
    The very same objects reach the application, and its failure goes on.
    """
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([scope, receive, send, frame.get()])
        raise ValueError("startup")

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        pass

    scope: Scope = {"type": "something.new"}
    with pytest.raises(ValueError, match="startup"):
        asyncio.run(_awaited(Bizspan(app)(scope, receive, send)))

    assert [scope, receive, send, None] == seen


async def _awaited(waiting: Awaitable[None]) -> None:
    await waiting


LIFESPANS: Final[list[list[Message]]] = [
    [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}],
    [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.failed", "message": "x"}],
    [{"type": "lifespan.startup.failed", "message": "x"}],
]


@pytest.mark.parametrize("messages", LIFESPANS)
def test_what_waits_is_handed_over_before_the_server_ends(application: Application, messages: list[Message]) -> None:
    """
    At the end of the lifespan; every message passes, and so does what the application raises.
    """
    exported: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bizspan.event("seen")
        for message in messages:
            await send(message)
        raise ValueError("lifespan")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        exported.append(len(application.logs()))

    async def receive() -> Message:
        return {}

    with pytest.raises(ValueError, match="lifespan"):
        asyncio.run(_awaited(Bizspan(app)({"type": "lifespan"}, receive, send)))

    assert messages == sent
    assert int("shutdown" in messages[-1]["type"]) == exported[-1]


def test_unconfigured_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The application gets what the server gave.
    """
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([dict(scope), frame.get()])
        await send(dict(START))

    monkeypatch.setattr(_active, "pipeline", lambda: None)
    scope = http()

    assert [START] == run(Bizspan(app, routes=ROUTES), scope)
    assert [scope, None] == seen


def test_broken_telemetry_changes_no_answer(
    application: Application, production_guard: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A pipeline that raises at every step, a session that raises when it is touched, a route object that does.
    """

    class Hostile(dict[str, Any]):
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

    class Route:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    def broken(*args: object, **named: object) -> None:
        raise RuntimeError("broken")

    for step in ("accept", "count_now"):
        monkeypatch.setattr(_pipeline.Pipeline, step, broken)
    scope = http(session=Hostile(), route=Route(), user=Route(), query_string=b"utm_source=\xff\xfe")

    assert [START, BODY] == run(Bizspan(shop, routes=ROUTES, session=True), scope)
