"""Operations by configuration, of functions that a decorator gave to a registry while their module was imported."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bizspan.integrations._functions import wrap_when_imported
from bizspan.testing import Capture

Import = Callable[..., ModuleType]
CHECKOUT: dict[str, Any] = {"name": "checkout"}


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Import]:
    """Imports a module of somebody's, whose text is given."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    name = f"shop_{tmp_path.name.replace('-', '_').replace('[', '_').replace(']', '_')}"

    def module(text: str, path: str = "place") -> ModuleType:
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        wrap_when_imported(f"{name}:{path}", CHECKOUT)
        return importlib.import_module(name)

    yield module
    sys.modules.pop(name, None)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said at the start."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


FLASK = """
from flask import Flask
app = Flask(__name__)
@app.post("/checkout")
def place():
    return "placed"
"""
FASTAPI = """
from fastapi import FastAPI
app = FastAPI()
@app.post("/checkout")
def place() -> str:
    return "placed"
"""
SIGNAL = """
from blinker import Signal
placed = Signal()
@placed.connect
def place(sender=None):
    return "placed"
"""
HANDLERS = """
handlers = []
def handler(function):
    handlers.append(function)
    return function
@handler
def place():
    return "placed"
"""


@pytest.mark.parametrize(
    ("needs", "text", "holder"),
    [
        ("flask", FLASK, "a dict"),
        ("fastapi", FASTAPI, "fastapi."),
        ("blinker", SIGNAL, "a weak reference, as signals keep"),
        ("sys", HANDLERS, "a list"),
    ],
)
def test_a_function_that_a_registry_holds_is_said(
    needs: str, text: str, holder: str, imported: Import, caplog: pytest.LogCaptureFixture, capbiz: Capture
) -> None:
    """
    Once, with what took it and what to do instead; a call by its name is recorded as ever.
    """
    pytest.importorskip(needs)

    shop = imported(text)
    (line,) = said(caplog)

    assert "recorded only where that name is called" in line
    assert holder in line
    assert "[tool.bizspan.routes]" in line
    assert "placed" == shop.place()
    assert 1 == len(capbiz.operations("checkout"))


PLAIN = """
def place():
    return "placed"
"""
DECORATED = """
import functools
def logged(function):
    @functools.wraps(function)
    def inner(*args):
        return function(*args)
    return inner
@logged
@functools.lru_cache
def place():
    return "placed"
"""
CALLED = """
def place():
    return "placed"
def checkout():
    return place()
"""
MADE_TWICE = """
from dataclasses import dataclass
@dataclass(slots=True)
class Service:
    def place(self):
        return "placed"
"""


@pytest.mark.parametrize("text", [PLAIN, DECORATED, CALLED], ids=["plain", "decorated", "called"])
def test_a_function_that_only_its_module_holds_is_not(
    text: str, imported: Import, caplog: pytest.LogCaptureFixture, capbiz: Capture
) -> None:
    """
    Also behind decorators that only wrap.
    """
    shop = imported(text)

    assert ([], "placed", 1) == (said(caplog), shop.place(), len(capbiz.operations("checkout")))


def test_a_class_that_was_replaced_holds_nothing(
    imported: Import, caplog: pytest.LogCaptureFixture, capbiz: Capture
) -> None:
    """
    A dataclass with slots is made twice; the first one is garbage.
    """
    shop = imported(MADE_TWICE, "Service.place")

    assert ([], "placed", 1) == (said(caplog), shop.Service().place(), len(capbiz.operations("checkout")))


CELERY = """
from celery import Celery
app = Celery("shop", set_as_current=False)
made = []
@app.task
def place():
    return "placed"
"""


def test_a_celery_task_is_sent_to_where_tasks_are_named(imported: Import, caplog: pytest.LogCaptureFixture) -> None:
    """
    It stays a task, and is not made before Celery makes it.
    """
    pytest.importorskip("celery")

    shop = imported(CELERY)
    (line,) = said(caplog)

    assert "name it under [tool.bizspan.tasks]" in line
    assert not shop.app.finalized
    assert "placed" == shop.place.apply().get()
