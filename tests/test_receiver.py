"""The receiver that examples and tests read: what it keeps, how it waits, how it misbehaves when told to."""

from __future__ import annotations

import gzip
import socket
import threading
from urllib.parse import urlsplit

import pytest

from _collector import Behaviour, Receiver
from tests.wire import logs, post, revenue


@pytest.mark.parametrize(
    ("behaviour", "answer"),
    [
        ("accept", (200, "application/x-protobuf")),
        ("unavailable", (503, "text/plain")),
        ("html", (200, "text/html")),
    ],
)
def test_the_receiver_answers_as_told(behaviour: Behaviour, answer: tuple[int, str]) -> None:
    """
    Every request is noted with its behaviour; only "accept" keeps what came.
    """
    with Receiver(behaviour=behaviour) as receiver:
        assert answer == post(receiver.http_endpoint, "logs", logs("a"))
        assert [behaviour] == [request.behaviour for request in receiver.requests()]
        assert (1 if behaviour == "accept" else 0) == len(receiver.events())


def test_a_black_hole_never_answers() -> None:
    """
    The client is left waiting until the receiver closes, and then gets no answer either.
    """
    heard: list[bytes] = []
    with Receiver(behaviour="hang") as receiver:
        port = urlsplit(receiver.http_endpoint).port or 0
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            assert receiver.wait_for(lambda r: bool(r.requests()))
            listening = threading.Thread(target=lambda: heard.append(client.recv(100)))
            listening.start()
            receiver.behaviour = "accept"
            listening.join(5)

            assert [b""] == heard
            assert [] == receiver.events()


def test_gzip_is_undone() -> None:
    """
    A compressed request is kept like a plain one and noted as compressed.
    """
    with Receiver() as receiver:
        post(receiver.http_endpoint, "logs", gzip.compress(logs("a")), Content_Encoding="gzip")

        assert ["a"] == [event["event_name"] for event in receiver.events()]
        assert ["gzip"] == [request.compression for request in receiver.requests()]


def test_what_is_no_otlp_is_refused_with_a_reason() -> None:
    """
    Broken protobuf, broken gzip and an unknown path get a 4xx, and nothing is kept.
    """
    with Receiver() as receiver:
        assert 400 == post(receiver.http_endpoint, "logs", b"\xff\xff\xff")[0]
        assert 400 == post(receiver.http_endpoint, "logs", logs("a"), Content_Encoding="gzip")[0]
        assert 404 == post(receiver.http_endpoint, "profits", logs("a"))[0]
        assert [] == receiver.events()


def test_waiting_ends_when_it_is_there_and_when_the_time_is_over() -> None:
    """
    True as soon as another thread's record arrives, False after the time-out.
    """
    with Receiver() as receiver:
        sending = threading.Thread(target=post, args=(receiver.http_endpoint, "logs", logs("a")))
        sending.start()
        assert receiver.wait_for(lambda r: bool(r.events("a")))
        sending.join()
        assert not receiver.wait_for(lambda r: bool(r.events("b")), timeout_s=0.05)


def test_the_last_point_is_the_newest_of_each_process() -> None:
    """
    Point time decides, not arrival, and two instances of a service are two series.
    """
    with Receiver() as receiver:
        for total, at, instance in ((30, 3, "i-1"), (10, 1, "i-1"), (5, 2, "i-2")):
            post(receiver.http_endpoint, "metrics", revenue(total, at, instance))

        assert [30, 5] == [point["value"] for point in receiver.last_points("revenue")]


def test_the_last_of_several_deltas_is_refused() -> None:
    """
    It would be a part of the total, so the caller is told to add them up.
    """
    with Receiver() as receiver:
        post(receiver.http_endpoint, "metrics", revenue(1, at=1, temporality=1))

        with pytest.raises(ValueError, match="add up points"):
            receiver.last_points("revenue")


def test_a_receiver_without_grpc_says_how_to_get_it() -> None:
    """
    Asking for the address is an error that names the argument.
    """
    with Receiver() as receiver, pytest.raises(RuntimeError, match="grpc=True"):
        _ = receiver.grpc_endpoint


@pytest.mark.parametrize("behaviour", ["accept", "hang"])
def test_nothing_runs_on_after_the_block(behaviour: Behaviour) -> None:
    """
    Its threads have ended, with an idle connection open and with a request that hangs.
    """
    before = set(threading.enumerate())
    with Receiver(grpc=True, behaviour=behaviour) as receiver:
        port = urlsplit(receiver.http_endpoint).port or 0
        client = socket.create_connection(("127.0.0.1", port), timeout=5)
        client.sendall(b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert receiver.wait_for(lambda r: bool(r.requests()))
    client.close()

    assert set() == set(threading.enumerate()) - before
