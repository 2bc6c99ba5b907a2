"""A newcomer adds three lines to an app of their own, and sees the first number: no collector, no SDK."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

FIRST_NUMBER_WITHIN_S: Final = 60  # of the promised five minutes; the rest is for typing three lines

IMPORT: Final = "import bizspan"
CONFIGURE: Final = 'bizspan.configure(service_name="shop", export="console")'

FLASK: Final = """
from flask import Flask, request

app = Flask(__name__)


@app.post("/checkout")
def checkout():
    return {"total": request.get_json()["total"]}
"""
DJANGO: Final = """
import json

from django.conf import settings
from django.http import JsonResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="secret", ALLOWED_HOSTS=["testserver"])


def checkout(request):
    return JsonResponse({"total": json.loads(request.body)["total"]})


urlpatterns = [path("checkout", checkout)]
"""
FASTAPI: Final = """
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Cart(BaseModel):
    total: str


@app.post("/checkout")
async def checkout(cart: Cart):
    return {"total": cart.total}
"""

# The newcomer's browser: one request, and what the app answered.
SENT: Final = '{"total": "42.00"}'
BROWSERS: Final = {
    "flask": f"from shop import app; print(app.test_client().post('/checkout', json={SENT}).get_json())",
    "django": (
        "import shop, django; django.setup(); from django.test import Client;"
        f"print(Client().post('/checkout', data={SENT}, content_type='application/json').json())"
    ),
    "fastapi": (
        "from shop import app; from fastapi.testclient import TestClient;"
        f"print(TestClient(app).post('/checkout', json={SENT}).json())"
    ),
}
NO_SDK: Final = "import sys; assert 'opentelemetry.sdk' not in sys.modules"
ANSWER: Final = "{'total': '42.00'}"

PER_RESULT: Final = '@bizspan.operation("checkout", revenue=lambda result: (result["total"], "EUR"))'
PER_CART: Final = '@bizspan.operation("checkout", revenue=lambda cart: (cart.total, "EUR"))'
PER_REQUEST: Final = (
    '@bizspan.operation("checkout", revenue=lambda request: (json.loads(request.body)["total"], "EUR"))'
)

APPS: Final = [
    pytest.param("flask", FLASK, PER_RESULT, "checkout ✓ 42.00 EUR", id="flask"),
    pytest.param("django", DJANGO, PER_REQUEST, "checkout ✓ 42.00 EUR", id="django"),
    pytest.param("fastapi", FASTAPI, PER_CART, "checkout ✓ 42.00 EUR", id="fastapi"),
]


def with_three_lines(app: str, decorator: str) -> str:
    """The newcomer's app after the newcomer's edit: the import, the set-up, and one decorator."""
    edited: list[str] = []
    for line in app.strip("\n").splitlines():
        if line.startswith(("def checkout", "async def checkout")):
            edited.append(decorator)
        edited.append(line)
    return "\n".join([IMPORT, CONFIGURE, *edited]) + "\n"


def visit(folder: Path, framework: str, app: str) -> subprocess.CompletedProcess[str]:
    """Send the app one request, in a process of its own."""
    if find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    if framework == "fastapi" and not (find_spec("httpx2") or find_spec("httpx")):
        pytest.skip("FastAPI's test client needs httpx2, which is not installed")
    (folder / "shop.py").write_text(app, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-X", "utf8", "-c", f"{BROWSERS[framework]}; {NO_SDK}"],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=FIRST_NUMBER_WITHIN_S,
        check=False,
    )


@pytest.mark.parametrize(("framework", "app", "decorator", "receipt"), APPS)
def test_three_lines_in_an_app_of_ones_own_show_the_first_number(
    tmp_path: Path, framework: str, app: str, decorator: str, receipt: str
) -> None:
    """
    The app answers as before, and the receipt of its checkout is there, within a minute.
    """
    before = visit(tmp_path, framework, app.lstrip("\n"))
    edited = with_three_lines(app, decorator)
    started = time.monotonic()

    after = visit(tmp_path, framework, edited)

    assert 3 == len(edited.splitlines()) - len(app.strip("\n").splitlines())
    assert ANSWER == before.stdout.strip(), before.stderr
    assert ANSWER == after.stdout.strip(), after.stderr
    assert [receipt] == [line[: len(receipt)] for line in after.stderr.splitlines() if "checkout" in line]
    assert time.monotonic() - started < FIRST_NUMBER_WITHIN_S
