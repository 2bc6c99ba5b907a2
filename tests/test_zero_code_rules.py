"""Starting without code: who wins, what switches it off, and what is said when it can't be done."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from _receiver import Receiver
from bizspan import names
from tests.zero_code import (
    CONFIGURATION,
    DISTRO,
    LAUNCHER,
    NO_DISTRO,
    SHOP,
    TOLD,
    flask_shop,
    only,
    operations,
    ours,
    run,
    written,
)

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not LAUNCHER.is_file(), reason="opentelemetry-instrument is not installed"),
]
for needed in ("flask", "opentelemetry.instrumentation.flask"):
    pytest.importorskip(needed)

HAS_DISTRO: Final = pytest.mark.skipif(find_spec("opentelemetry.distro") is None, reason="there is no distro here")


# --- who wins -------------------------------------------------------------------------------------------------------


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    """
    Of a file that a variable names, wherever it lies.
    """
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "elsewhere" / "telemetry.toml"
    file.write_text(CONFIGURATION.replace("CF-IPCountry", "X-Nothing"), encoding="utf-8")
    flask_shop(tmp_path, configuration="[tool.other]\n")
    told = {"BIZSPAN_CONFIG": str(file), "BIZSPAN_COUNTRY_HEADER": "CF-IPCountry", "OTEL_SERVICE_NAME": "named"}
    with Receiver() as receiver:
        ended = run(tmp_path, receiver, NO_DISTRO, only("bizspan"), told)
        asked = operations(receiver, "checkout")
        services = {str(event["origin"].resource["service.name"]) for event in receiver.events()}

    assert (0, TOLD, []) == (ended.code, ended.out.splitlines(), ours(ended))
    assert ["DE"] * 3 == [each[names.COUNTRY] for each in asked]
    assert {"named"} == services


@pytest.mark.parametrize("providers", [NO_DISTRO, pytest.param(DISTRO, marks=HAS_DISTRO)], ids=["built", "distro"])
def test_code_beats_both(tmp_path: Path, providers: dict[str, str]) -> None:
    """
    The application's own `configure()` and `Bizspan(app)`, on the providers that are there; what it does not say stays.
    """
    code = """
import bizspan
from bizspan import Attribute, Vocabulary
from bizspan.integrations.flask import Bizspan

vocabulary = Vocabulary("shop", [Attribute(name="seat", meaning="The class of seat.", dimension=True, budget=4)])
bizspan.configure(vocabulary=vocabulary, revenue_basis="incl_tax")
import app as shop

Bizspan(shop.app, routes={"POST /checkout": {"operation": "bought", "facts": {"seat": "economy"}}})
headers = {"X-Segment": "s", "CF-IPCountry": "DE"}
print(shop.app.test_client().post("/checkout", data="o-0", headers=headers).text)
"""
    with Receiver() as receiver:
        ended = run(flask_shop(tmp_path), receiver, only("bizspan"), providers, code=code)
        bought, checkout = operations(receiver, "bought"), operations(receiver, "checkout")
        placed = operations(receiver, "order.place")

    assert (0, "o-0 s\n", []) == (ended.code, ended.out, ours(ended))
    assert [("economy", "DE", "s")] == [
        (each["shop.seat"], each[names.COUNTRY], each[names.SEGMENT]) for each in bought
    ]
    assert [] == checkout
    assert ["incl_tax"] == [each.get(names.REVENUE_BASIS) for each in placed]


def test_code_can_still_ask_for_an_export(tmp_path: Path) -> None:
    """
    The file said none; the providers are built then.
    """
    code = "import bizspan; bizspan.configure(export='otlp'); bizspan.event('hello')"
    written(tmp_path, pyproject='[tool.bizspan]\nexport = "none"\nservice_name = "shop"\n')
    with Receiver() as receiver:
        ended = run(tmp_path, receiver, NO_DISTRO, only("bizspan"), code=code)
        told = receiver.events("hello")

    assert (0, [], 1) == (ended.code, ours(ended), len(told))


OTEL_CONFIG: Final = """
file_format: "1.0"
resource:
  attributes:
    - name: service.name
      value: declared
logger_provider:
  processors:
    - batch:
        exporter:
          otlp_http:
            endpoint: {endpoint}/v1/logs
instrumentation/development:
  python:
    bizspan:
      requests:
        country_header: {header}
      routes:
        "POST /checkout": checkout
"""


@HAS_DISTRO
@pytest.mark.skipif(find_spec("opentelemetry.configuration") is None, reason="no opentelemetry-configuration here")
def test_it_reads_its_part_of_opentelemetrys_own_file(tmp_path: Path) -> None:
    """
    `instrumentation/development: python: bizspan` of `OTEL_CONFIG_FILE`, once, although the launcher asks again.
    """
    flask_shop(tmp_path, configuration="")
    with Receiver() as receiver:
        config = tmp_path / "otel.yaml"
        config.write_text(OTEL_CONFIG.format(endpoint=receiver.http_endpoint, header="CF-IPCountry"), encoding="utf-8")
        ended = run(tmp_path, receiver, only("bizspan"), {"OTEL_CONFIG_FILE": str(config)})
        asked = operations(receiver, "checkout")
        services = {str(event["origin"].resource["service.name"]) for event in receiver.events()}
        unasked = (receiver.spans(), receiver.points())
        config.write_text(OTEL_CONFIG.format(endpoint=receiver.http_endpoint, header="3"), encoding="utf-8")
        wrong = run(tmp_path, receiver, only("bizspan"), {"OTEL_CONFIG_FILE": str(config)})

    assert (0, TOLD, []) == (ended.code, ended.out.splitlines(), ours(ended))
    assert ["DE"] * 3 == [each[names.COUNTRY] for each in asked]
    assert {"declared"} == services
    assert ([], []) == unasked  # that file has neither a tracer nor a meter provider
    assert (0, TOLD) == (wrong.code, wrong.out.splitlines())
    assert ["bizspan: OTEL_CONFIG_FILE: bizspan: requests.country_header: expected a text."] == [
        line.partition(" The application")[0] for line in ours(wrong)
    ]


# --- switched off ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [{"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask, bizspan"}, {"OTEL_SDK_DISABLED": "true", **only("bizspan")}],
    ids=["by name", "with the SDK"],
)
def test_it_can_be_switched_off(tmp_path: Path, variables: dict[str, str]) -> None:
    """
    Not even the file is read.
    """
    with Receiver() as receiver:
        ended = run(flask_shop(tmp_path, configuration="[tool.bizspan]\nwrong = 1"), receiver, NO_DISTRO, variables)
        arrived = receiver.events()

    assert (0, TOLD, []) == (ended.code, ended.out.splitlines(), ours(ended))
    assert [] == arrived


# --- what can't be done ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ("[tool.bizspan\n", "it is no TOML file ("),
        ("[tool.bizspan]\nservce_name = 1", "servce_name: expected one of the keys "),
        ("[tool.bizspan.requests]\ntrusted_hops = -1", "requests.trusted_hops: expected a whole number from 0."),
        ("[tool.bizspan.requests]\nexclude = ['health']", "requests.exclude: exclude= must be a list of paths"),
        (
            "[tool.bizspan.requests]\ncountry_header = 'a b'",
            "requests.country_header: country_header= must be the name",
        ),
        ("[tool.bizspan.routes]\n'/{a}{b}' = 'x'", "routes.\"/{a}{b}\": The route '/{a}{b}' is ambiguous"),
        ("[tool.bizspan]\ncapacity = 0", "capacity: capacity= must be a whole number above 0"),
        ("[tool.bizspan]\nvocabulary = 'nowhere:V'", "vocabulary: 'nowhere:V' can't be imported"),
        ("[tool.bizspan.metrics]\n'http.server.duration' = ['segmnt']", "metrics: "),
        ("[tool.bizspan.operations.'shop.place']\n", 'operations."shop.place": expected a name such as'),
    ],
)
def test_a_wrong_file_is_one_line_and_the_application_runs(tmp_path: Path, configuration: str, said: str) -> None:
    """
    With the file, the key, and what was expected; output and exit code stay the application's.
    """
    flask_shop(tmp_path, configuration)
    code = "import sys; from shop import place; print(place('o').id); sys.exit(3)"
    ended = run(tmp_path, None, NO_DISTRO, only("bizspan"), code=code)

    assert (3, "o\n", 1) == (ended.code, ended.out, len(ours(ended)))
    assert ours(ended)[0].startswith(f"bizspan: {tmp_path / 'pyproject.toml'}: {said}")
    assert "Traceback" not in ended.err


def test_a_wrong_variable_is_one_line_too(tmp_path: Path) -> None:
    """
    By its own name, also where only `configure()` can tell.
    """
    flask_shop(tmp_path)
    ended = run(tmp_path, None, NO_DISTRO, only("bizspan"), {"BIZSPAN_CAPACITY": "0"})

    assert (0, TOLD) == (ended.code, ended.out.splitlines())
    assert ["bizspan: BIZSPAN_CAPACITY: capacity= must be a whole number above 0: how many events may wait."] == [
        line.partition(" The application")[0] for line in ours(ended)
    ]


def test_operations_that_name_nothing_are_said_once_each(tmp_path: Path) -> None:
    """
    A function, a class, a module: the rest is recorded.
    """
    wrong = ("shop:palce", "shop:Shop.place", "shop.orders:place")
    more = "".join(f'[tool.bizspan.operations."{target}"]\n' for target in wrong)
    with Receiver() as receiver:
        ended = run(flask_shop(tmp_path, CONFIGURATION + more), receiver, NO_DISTRO, only("bizspan"))
        placed = operations(receiver, "order.place")

    assert (0, TOLD, 3) == (ended.code, ended.out.splitlines(), len(placed))
    assert [
        "'shop.orders:place' is not recorded: there is no module 'shop.orders'.",
        "'shop:Shop.place' is not recorded: shop has no 'Shop'.",
        "'shop:palce' is not recorded: shop has no 'palce' of its own (did you mean 'place'?)",
    ] == sorted(line.partition(";")[0].removeprefix("bizspan: the operation of ") for line in ours(ended))


def test_an_operation_that_may_wait_for_no_commit_does_not(tmp_path: Path) -> None:
    """
    `emit = "on_commit"` where the application has no transactions: in code that raises, here nobody wrote code.
    """
    with Receiver() as receiver:
        configuration = f'{CONFIGURATION}emit = "on_commit"\n'
        ended = run(flask_shop(tmp_path, configuration), receiver, NO_DISTRO, only("bizspan"))
        placed = operations(receiver, "order.place")

    assert (0, TOLD, [], 3) == (ended.code, ended.out.splitlines(), ours(ended), len(placed))


def test_a_framework_that_is_too_old_stays_as_it_is(tmp_path: Path) -> None:
    """
    It is said, and the rest is recorded.
    """
    (tmp_path / "flask").mkdir()
    (tmp_path / "flask" / "app.py").write_text("class App: pass\n", encoding="utf-8")
    written(tmp_path / "flask", __init__="from flask.app import App\n")
    written(tmp_path, app="import flask, shop; print(shop.place('o').id)", shop=SHOP, pyproject=CONFIGURATION)
    with Receiver() as receiver:
        ended = run(tmp_path, receiver, NO_DISTRO, only("bizspan"))
        placed = operations(receiver, "order.place")

    assert (0, "o\n", 1) == (ended.code, ended.out, len(placed))
    assert ["bizspan: flask is not switched on: bizspan.integrations.flask needs packages that are not installed"] == [
        line.partition(";")[0] for line in ours(ended)
    ]


def test_the_applications_logging_is_its_own(tmp_path: Path) -> None:
    """
    What bizspan said before is no reason for `logging.basicConfig()` to do nothing.
    """
    code = """
import logging, sys

logging.basicConfig(format="APP %(levelname)s %(message)s", stream=sys.stdout)
logging.getLogger("shop").warning("sold")
logging.getLogger("bizspan").warning("from now on the application decides")
"""
    flask_shop(tmp_path, "[tool.bizspan]\nwrong = 1")
    ended = run(tmp_path, None, NO_DISTRO, only("bizspan"), code=code)

    assert "APP WARNING sold\nAPP WARNING from now on the application decides\n" == ended.out
    assert 1 == len(ours(ended))


def test_it_is_said_where_the_log_goes_to_opentelemetry_alone(tmp_path: Path) -> None:
    """
    Its instrumentation of logging puts a handler on the root before the application starts.
    """
    pytest.importorskip("opentelemetry.instrumentation.logging")
    more = '[tool.bizspan.operations."shop:palce"]\n'
    ended = run(flask_shop(tmp_path, CONFIGURATION + more), None, NO_DISTRO, only("bizspan", "logging"))

    assert ["bizspan: the operation of 'shop:palce' is not recorded"] == [
        ": ".join(line.split(": ")[:2]) for line in ours(ended)
    ]


# --- metrics of other libraries -------------------------------------------------------------------------------------

METRICS: Final = '[tool.bizspan.metrics]\n"http.server.duration" = ["segment", "country"]\n'


def test_metrics_of_others_carry_dimensions_where_bizspan_builds_the_provider(tmp_path: Path) -> None:
    """
    OpenTelemetry's own duration of a request, by segment and country.
    """
    with Receiver() as receiver:
        ended = run(flask_shop(tmp_path, CONFIGURATION + METRICS), receiver, NO_DISTRO, only("bizspan", "flask"))
        points = receiver.points("http.server.duration")

    assert (0, TOLD, []) == (ended.code, ended.out.splitlines(), ours(ended))
    assert {("s0", "DE"), ("s1", "DE"), ("s2", "DE")} == {
        (str(point["attributes"].get(names.SEGMENT)), str(point["attributes"].get(names.COUNTRY))) for point in points
    }


@HAS_DISTRO
def test_a_distro_that_built_it_is_named_with_the_way_out(tmp_path: Path) -> None:
    """
    One line; everything else is recorded.
    """
    told = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    with Receiver() as receiver:
        ended = run(flask_shop(tmp_path, CONFIGURATION + METRICS), receiver, only("bizspan", "flask"), told)
        points, placed = receiver.points("http.server.duration"), operations(receiver, "order.place")

    file = tmp_path / "pyproject.toml"
    assert (0, TOLD, 3) == (ended.code, ended.out.splitlines(), len(placed))
    assert [
        f"bizspan: {file}: metrics: needs a meter provider that bizspan builds, and one is set already",
        f"bizspan: {file}: service_name: providers are set already, with no name",
    ] == [line.partition(";")[0] for line in ours(ended)]
    assert "start with OTEL_PYTHON_CONFIGURATOR=none" in ended.err
    assert "start with OTEL_SERVICE_NAME=shop." in ended.err
    assert set() == {str(point) for point in points if names.SEGMENT in point["attributes"]}
    assert points
