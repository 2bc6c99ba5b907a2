"""
A real server under load: eight clients that buy, and what must have arrived when they are through.

The application under test answers ``POST /checkout``: the body is the order's id, the header ``X-Segment`` says who
buys, the answer is ``200`` with ``"<order> <segment>"`` as text. By its configuration the request is the operation
``checkout`` with that segment; inside, the view tells ``annotate(order=...)`` and one event `INNER` with that order.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from _collector import Receiver
from bizspan import names
from tests.child import BOUND_S, environment

OPERATION: Final = "checkout"
INNER: Final = "stock.reserved"
SEGMENTS: Final = 40
TRIES: Final = 5

# OpenTelemetry drops what waits beyond 2,048, in silence: here nothing may be lost by anyone else.
ROOMY: Final = {"OTEL_BSP_MAX_QUEUE_SIZE": "200000", "OTEL_BLRP_MAX_QUEUE_SIZE": "200000"}


@dataclass(slots=True)
class Driven:
    """
    What the clients did.

    Args:
        orders: The segment of each order that was sent.
        errors: One sentence for each request that was not answered, or not rightly.
        resent: How often a kept-alive connection was found closed, so that the request went again on a new one.
    """

    orders: dict[str, str] = field(default_factory=dict[str, str])
    errors: list[str] = field(default_factory=list[str])
    resent: int = 0


def drive(port: int, requests: int, clients: int = 8, *, keep_alive: bool = True, prefix: str = "o") -> Driven:
    """
    Buy so many times over HTTP, on loopback.

    Args:
        port: Where the server listens.
        requests: How many, over all clients.
        clients: Threads, each with a connection of its own.
        keep_alive: Whether a connection serves more than one request.
        prefix: What the ids of the orders begin with.

    Returns:
        What was sent, and what went wrong; of answers, the status and the text are checked.
    """
    driven = Driven()
    for number in range(requests):
        driven.orders[f"{prefix}-{number:05}"] = f"s{number % SEGMENTS}"
    queue = iter(list(driven.orders.items()))
    lock = threading.Lock()

    def buy() -> None:
        client = _Client(port, keep_alive)
        try:
            while True:
                with lock:
                    order, segment = next(queue, ("", ""))
                if not order:
                    return
                error = client.buy(order, segment)
                if error:
                    with lock:
                        driven.errors.append(error)
        finally:
            client.close()
            with lock:
                driven.resent += client.resent

    threads = [threading.Thread(target=buy, name=f"client-{number}") for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return driven


class _Client:
    def __init__(self, port: int, keep_alive: bool) -> None:
        self._port = port
        self._keep_alive = keep_alive
        self._connection: http.client.HTTPConnection | None = None
        self.resent = 0

    def buy(self, order: str, segment: str) -> str | None:
        """What went wrong, or None."""
        for _ in range(TRIES):
            is_reused = self._connection is not None
            try:
                status, text = self._post(order, segment)
            except (ConnectionError, http.client.BadStatusLine) as error:
                self.close()
                # Only what the server may do between two requests: closing a connection that it kept.
                if not is_reused:
                    return f"{order}: {type(error).__name__}"
                self.resent += 1
                continue
            except (OSError, http.client.HTTPException) as error:
                self.close()
                return f"{order}: {type(error).__name__}"
            if (200, f"{order} {segment}") != (status, text):
                return f"{order}: {status} {text[:80]!r}"
            return None
        return f"{order}: no connection"

    def _post(self, order: str, segment: str) -> tuple[int, str]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=BOUND_S)
        headers = {"X-Segment": segment, "Content-Type": "text/plain"}
        if not self._keep_alive:
            headers["Connection"] = "close"
        self._connection.request("POST", "/checkout", body=order.encode(), headers=headers)
        answer = self._connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        if answer.will_close:
            self.close()
        return answer.status, text

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def wait_for_all(receiver: Receiver, driven: Driven, timeout_s: float = BOUND_S) -> bool:
    """Whether as many operations and inner events have arrived as orders were sent."""
    wanted = len(driven.orders)
    return receiver.wait_for(
        lambda receiver: len(_of(receiver, OPERATION)) >= wanted and len({*_uids(receiver.events(INNER))}) >= wanted,
        timeout_s,
    )


def problems(receiver: Receiver, driven: Driven, *, span: str | None = OPERATION) -> list[str]:
    """
    What arrived and should not, or should and did not: lost, doubled, or with another request's segment.

    Args:
        receiver: Where the server sent its telemetry.
        driven: What the clients sent.
        span: The name of the span that carries the operation; None looks at no spans.
    """
    operations = [event["attributes"] for event in _of(receiver, OPERATION)]
    inner = [event["attributes"] for event in _once(receiver.events(INNER))]
    found = _differences("operation", operations, driven.orders) + _differences(INNER, inner, driven.orders)
    if span is not None:
        found += _differences(f"span {span}", [each["attributes"] for each in receiver.spans(span)], driven.orders)
    return found


def _of(receiver: Receiver, operation: str) -> list[Any]:
    events = _once(receiver.events(names.EVENT_OPERATION))
    return [event for event in events if event["attributes"].get(names.OPERATION_NAME) == operation]


def _uids(events: Iterable[Any]) -> list[object]:
    return [event["attributes"].get(names.RECORD_UID) for event in events]


def _once(events: Sequence[Any]) -> list[Any]:
    """The book counts each `log.record.uid` once: an exporter may send a batch again."""
    return list(dict(zip(_uids(events), events, strict=True)).values())


def _differences(what: str, told: Sequence[Mapping[str, Any]], orders: Mapping[str, str]) -> list[str]:
    times = Counter(str(attributes.get(names.ORDER)) for attributes in told)
    leaks = [
        f"{what} of {order}: segment {attributes.get(names.SEGMENT)!r} instead of {orders[order]!r}"
        for attributes in told
        if (order := str(attributes.get(names.ORDER))) in orders and attributes.get(names.SEGMENT) != orders[order]
    ]
    counted = {f"{what}: lost": orders.keys() - times.keys(), f"{what}: unknown": times.keys() - orders.keys()}
    counted[f"{what}: doubled"] = {order for order, number in times.items() if number > 1 and order in orders}
    return [f"{name} {len(ids)}, {sorted(ids)[:3]}" for name, ids in counted.items() if ids] + leaks[:3]


# --- the server -----------------------------------------------------------------------------------------------------


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextmanager
def serving(
    command: Sequence[str], port: int, receiver: Receiver | None, folder: Path, /, **variables: str
) -> Generator[subprocess.Popen[bytes]]:
    """
    A server in a process of its own, from when its port answers; it and what it forked end with the block.

    Args:
        command: What starts it.
        port: Where it will listen.
        receiver: Where its telemetry goes.
        folder: Its working directory; its output goes to ``server.log`` there.
        variables: Of its environment; see `child.environment`.

    Raises:
        AssertionError: When it ends, or does not listen within 30 seconds; with its output.
    """
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(receiver, **{**ROOMY, "PYTHONUNBUFFERED": "1", **variables}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + BOUND_S
        while not _answers(port):
            told = log.read_text("utf-8", "replace") if process.poll() is not None else ""
            assert process.poll() is None and time.monotonic() < deadline, f"the server does not listen: {told[-3000:]}"
            time.sleep(0.02)  # nothing to wait on: a port does not tell when it opens
        yield process
    finally:
        with suppress(ProcessLookupError, PermissionError):  # it ended, and so did all that it forked
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(BOUND_S)


def stopped(process: subprocess.Popen[bytes]) -> int:
    """Ask the server to end, as an init system does; its exit code."""
    process.send_signal(signal.SIGTERM)
    return process.wait(BOUND_S)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True
