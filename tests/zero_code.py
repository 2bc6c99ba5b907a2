"""A program of somebody's, started by `opentelemetry-instrument` beside an installed bizspan."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from _receiver import Receiver
from bizspan import names
from tests.child import BOUND_S, Ended, environment

LAUNCHER: Final = Path(sys.executable).with_name("opentelemetry-instrument")

# Where no distro is installed; where one is, its two entry points are passed over.
NO_DISTRO: Final = {"OTEL_PYTHON_DISTRO": "none", "OTEL_PYTHON_CONFIGURATOR": "none"}
DISTRO: Final = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_SERVICE_NAME": "shop"}

FLASK_SHOP: Final = """
from flask import Flask, request

from shop import place

app = Flask(__name__)


@app.post("/checkout")
def checkout():
    order = request.get_data(as_text=True)
    place(order)
    return f"{order} {request.headers['X-Segment']}"


if __name__ == "__main__":
    client = app.test_client()
    for number in range(3):
        headers = {"X-Segment": f"s{number}", "CF-IPCountry": "DE"}
        print(client.post("/checkout?utm_source=news", data=f"o-{number}", headers=headers).text)
"""
SHOP: Final = """
class Order:
    total = "42.00"

    def __init__(self, id):
        self.id = id


def place(id):
    return Order(id)
"""
TELEMETRY: Final = """
def who(request):
    return {"segment": request.headers["X-Segment"]}
"""
CONFIGURATION: Final = """
[tool.bizspan]
service_name = "shop"

[tool.bizspan.requests]
country_header = "CF-IPCountry"
resolver = "telemetry:who"

[tool.bizspan.routes]
"POST /checkout" = { operation = "checkout", feature = "buying" }

[tool.bizspan.operations."shop:place"]
name = "order.place"
revenue = "result.total"
currency = "EUR"
facts = { order = "result.id" }
"""
TOLD: Final = [f"o-{number} s{number}" for number in range(3)]


def written(folder: Path, **files: str) -> Path:
    """These files in a folder; `pyproject` is the .toml, the others are modules."""
    for name, text in files.items():
        path = folder / ("pyproject.toml" if name == "pyproject" else f"{name}.py")
        path.write_text(text, encoding="utf-8")
    return folder


def flask_shop(folder: Path, configuration: str = CONFIGURATION, **more: str) -> Path:
    """The shop with Flask, which knows nothing of telemetry, and what is configured beside it."""
    return written(folder, app=FLASK_SHOP, shop=SHOP, telemetry=TELEMETRY, pyproject=configuration, **more)


def instrumented(*command: str) -> list[str]:
    """The command line that starts this under `opentelemetry-instrument`."""
    return [str(LAUNCHER), *command]


def only(*instrumentations: str) -> dict[str, str]:
    """The variables that switch every other instrumentation off: each that is installed imports its framework."""
    installed = {entry.name for entry in entry_points(group="opentelemetry_instrumentor")}
    return {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(sorted(installed - {*instrumentations}))}


def run(
    folder: Path,
    receiver: Receiver | None,
    /,
    *variables: Mapping[str, str],
    command: Sequence[str] = (),
    code: str = "",
) -> Ended:
    """
    Run a program in this folder under `opentelemetry-instrument`, to its end.

    Args:
        folder: Its working directory.
        receiver: Where its telemetry goes.
        variables: Of its environment; later ones win.
        command: What to run; by default ``app.py``.
        code: Instead of a command.
    """
    told: dict[str, str] = {"PATH": f"{LAUNCHER.parent}:/usr/bin:/bin"}
    for each in variables:
        told |= each
    what = [sys.executable, "-c", code] if code else [*command] or [sys.executable, "app.py"]
    ended = subprocess.run(
        instrumented(*what), cwd=folder, env=environment(receiver, **told), capture_output=True, text=True,
        timeout=BOUND_S, check=False,
    )  # fmt: skip
    return Ended(ended.returncode, ended.stdout, ended.stderr, time.monotonic())


def ours(ended: Ended) -> list[str]:
    """The lines of bizspan on its standard error stream."""
    return [line for line in ended.err.splitlines() if "bizspan" in line]


def operations(receiver: Receiver, name: str) -> list[dict[str, Any]]:
    """The attributes of each operation of this name that arrived, in the order of their orders."""
    events = [dict(event["attributes"]) for event in receiver.events(names.EVENT_OPERATION)]
    found = [event for event in events if event.get(names.OPERATION_NAME) == name]
    return sorted(found, key=lambda event: str(event.get(names.ORDER)))
