"""Django behind real servers, over real HTTP: gunicorn, uvicorn and Django's own."""

# pyright: basic
# mypy: ignore-errors
# Django ships no types.
from __future__ import annotations

import json
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from _collector import Receiver
from tests.child import BOUND_S
from tests.load import drive, free_port, problems, serving, stopped, wait_for_all

MISSING = [package for package in ("django", "gunicorn", "uvicorn") if find_spec(package) is None]
pytestmark = [pytest.mark.server, pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")]

ROOT = Path(__file__).resolve().parent.parent
REQUESTS, FEWER_REQUESTS, LONG_REQUESTS = 2_000, 500, 20_000
TELEMETRY = "tests.django_site.telemetry"
SETTING: dict[str, Any] = {
    "SERVICE_NAME": "shop",
    "CAPACITY": 200_000,
    "ROUTES": {"checkout": "checkout"},
    "RESOLVER": f"{TELEMETRY}.by_header",
}
SERVER = "tests.django_site.server"


def command(server: str, port: int) -> list[str]:
    """How the server is started."""
    address = f"127.0.0.1:{port}"
    python = [sys.executable, "-m"]
    gthread = ["gunicorn", "-k", "gthread", "--threads", "8", "--no-control-socket", "-b", address]
    return {
        "gunicorn": [*python, *gthread, f"{SERVER}:wsgi"],
        "gunicorn preload": [*python, *gthread, "--workers", "2", "--preload", f"{SERVER}:wsgi"],
        "uvicorn": [*python, "uvicorn", "--host", "127.0.0.1", "--port", str(port), f"{SERVER}:asgi"],
        "runserver": [*python, "django", "runserver", address],
        "runserver --noreload": [*python, "django", "runserver", address, "--noreload"],
    }[server]


def child_of(process: int) -> int:
    """The autoreloader's child, which serves. To its own SIGTERM the parent answers by killing it."""
    children = Path(f"/proc/{process}/task/{process}/children")
    if not children.exists():
        pytest.skip("needs Linux's list of child processes")
    (child,) = children.read_text("ascii").split()
    return int(child)


def site(folder: Path, /, setting: Any = SETTING, **more: str) -> dict[str, str]:
    """The environment of a server."""
    return {
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "tests.django_site.settings",
        "SITE_FOLDER": str(folder),
        "SITE_BIZSPAN": json.dumps(setting),
        **more,
    }


@pytest.mark.parametrize(
    ("server", "variables"),
    [
        pytest.param("gunicorn", {}, id="gunicorn"),
        pytest.param("gunicorn", {"SITE_INSTRUMENTED": "1"}, id="gunicorn instrumented"),
        pytest.param("uvicorn", {}, id="uvicorn"),
        pytest.param("uvicorn", {"SITE_INSTRUMENTED": "1"}, id="uvicorn instrumented"),
        pytest.param("uvicorn", {"SITE_ASYNC": "1"}, id="uvicorn async"),
    ],
)
def test_each_request_keeps_its_own_facts_under_load(
    server: str, variables: dict[str, str], long: bool, tmp_path: Path
) -> None:
    """
    Eight clients buy: each operation, inner event and span carries its own request's segment, and none is missing.
    """
    port = free_port()
    with Receiver() as receiver:
        resolver = f"{TELEMETRY}.by_header" + ("_async" if "SITE_ASYNC" in variables else "")
        more = site(tmp_path, {**SETTING, "RESOLVER": resolver}, **variables)
        with serving(command(server, port), port, receiver, tmp_path, **more) as process:
            driven = drive(port, LONG_REQUESTS if long else FEWER_REQUESTS if variables else REQUESTS)
            stopped(process)
            wait_for_all(receiver, driven)

        assert [] == driven.errors
        # With OpenTelemetry the operation is on the server's span.
        assert [] == problems(
            receiver, driven, span="POST checkout" if "SITE_INSTRUMENTED" in variables else "checkout"
        )


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_no_answer_is_lost_while_telemetry_fails_at_every_step(server: str, tmp_path: Path) -> None:
    """
    The collector is down, the resolver and the staff's predicate raise, the session's store is broken: all is sold.
    """
    broken = {"RESOLVER": f"{TELEMETRY}.broken", "STAFF": f"{TELEMETRY}.broken", "SESSION": True, "CAPACITY": 100}
    port = free_port()
    with Receiver(behaviour="unavailable") as receiver:
        sessions = "tests.django_site.hostile_sessions"
        more = site(tmp_path, {**SETTING, **broken}, SITE_SESSIONS=sessions)
        with serving(command(server, port), port, receiver, tmp_path, **more) as process:
            driven = drive(port, FEWER_REQUESTS)
            stopped(process)

    assert [] == driven.errors
    assert "Traceback" not in (tmp_path / "server.log").read_text("utf-8")


@pytest.mark.parametrize("server", ["gunicorn preload", "runserver --noreload", "runserver"])
def test_what_was_told_arrives_when_the_server_is_asked_to_end(server: str, tmp_path: Path) -> None:
    """
    SIGTERM loses nothing: behind a fork, without exit handlers, and in the child of an autoreloader.
    """
    port = free_port()
    with Receiver() as receiver:
        with serving(command(server, port), port, receiver, tmp_path, **site(tmp_path)) as process:
            driven = drive(port, 200)
            if server == "runserver":
                os.kill(child_of(process.pid), signal.SIGTERM)
                process.wait(BOUND_S)
            else:
                stopped(process)
            wait_for_all(receiver, driven)

        assert [] == driven.errors
        assert [] == problems(receiver, driven)
