"""`bizspan doctor` without the network: versions, variables, files, commands, Django, and checks that crash."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import pytest

from bizspan import SetupError, doctor
from bizspan.configure import configure
from bizspan.doctor import Finding, Report, Request, _environment, examine
from bizspan.doctor._command import check_command, command
from bizspan.doctor._django import run_checks
from bizspan.doctor._endpoints import malformed, proxy_of, remarks
from bizspan.doctor._environment import KEY_MIN_BYTES, check_double_export
from bizspan.doctor._finding import shown_url, without
from bizspan.doctor._packages import Package, check_extras, check_instrumented, check_versions, installed
from bizspan.doctor._settings import Target, targets
from bizspan.doctor._specifiers import requirement, satisfies
from bizspan.doctor._zero_code import check_zero_code, with_distro_defaults
from tests.child import environment

REFERENCE: Final = Path(__file__).resolve().parent.parent / "docs" / "reference" / "command-line.md"


def look(config: Path | None = None, words: Iterable[str] = (), /, **variables: str) -> dict[str, Finding]:
    """Every finding of an examination that sends nothing, by its check; of several, the worst."""
    told = environment(None, **variables)
    if variables.get("BIZSPAN_HASH_KEY") == "":
        del told["BIZSPAN_HASH_KEY"]
    request = Request(told, None if config is None else str(config), canary=False, command=tuple(words))
    order = ("green", "yellow", "red")
    return {found.check: found for found in sorted(examine(request).findings, key=lambda each: order.index(each.level))}


# --- versions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "specifiers", "fits"),
    [
        ("1.45.1", ">=1.38,<2", True),
        ("1.37.0", ">=1.38,<2", False),
        ("2.0", ">=1.38,<2", False),
        ("2.0b1", "<2", False),
        ("0.66b1", "==0.66b1", True),
        ("0.66b2", "==0.66b1", False),
        ("0.66b10", ">0.66b9", True),
        ("0.66", ">0.66b9", True),
        ("0.66.dev1", "<0.66b1", True),
        ("0.66.post1", ">0.66", True),
        ("1.45.1", "~=1.45.0", True),
        ("1.46.0", "~=1.45.0", False),
        ("1.46", "~=1.45", True),
        ("1.15", "~= 1.12", True),
        ("1.45.0", "==1.45", True),
        ("1.45.9", "==1.45.*", True),
        ("1.4.5", "==1.45.*", False),
        ("1.46", "!=1.45.*", True),
        ("1.0+local", "==1.0", True),
        ("1.0", "", True),
        ("no version", ">=1", True),
        ("1.0", "roughly 1", True),
    ],
)
def test_versions_are_compared_as_pip_does(version: str, specifiers: str, fits: bool) -> None:
    """
    PEP 440 as far as these packages need it; what is not understood is no finding.
    """
    assert fits == satisfies(version, specifiers)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("opentelemetry-api==1.45.1", ("opentelemetry-api", "==1.45.1", "", False)),
        ("Opentelemetry_API (>=1.38,<2)", ("opentelemetry-api", ">=1.38,<2", "", False)),
        ('flask<4,>=1.0; extra == "instruments"', ("flask", "<4,>=1.0", "instruments", False)),
        ("x[y]~=1.2 ; python_version < '3.8'", ("x", "~=1.2", "", True)),
        ("django ; (extra == 'instruments')", ("django", "", "instruments", False)),
    ],
)
def test_a_requirement_is_taken_apart(line: str, expected: tuple[str, str, str, bool]) -> None:
    """
    Name, range, extra, and whether it depends on anything else.
    """
    found = requirement(line)

    assert found is not None
    assert expected == (found.name, found.specifiers, found.extra, found.is_conditional)


def packages(*told: tuple[str, str, list[str]]) -> dict[str, Package]:
    """Installed packages: name, version, requirements."""
    return {
        name: Package(name, version, tuple(line for line in map(requirement, requires) if line is not None))
        for name, version, requires in told
    }


def test_packages_that_do_not_accept_each_other_are_named() -> None:
    """
    An instrumentation that pins another version of the conventions is red, with a pip line; an optional one is not.
    """
    there = packages(
        ("opentelemetry-semantic-conventions", "0.66b2", []),
        ("opentelemetry-instrumentation-flask", "0.66b1", ["opentelemetry-semantic-conventions==0.66b1"]),
        ("opentelemetry-sdk", "1.45.2", ['opentelemetry-configuration==0.66b1; extra == "file-configuration"']),
        ("unrelated", "1", ["opentelemetry-semantic-conventions==0.1"]),
    )

    (found,) = check_versions(there)

    assert ("red", "versions.opentelemetry-instrumentation-flask") == (found.level, found.check)
    assert "needs opentelemetry-semantic-conventions==0.66b1, but 0.66b2 is installed" in found.text
    assert found.next_step.startswith("pip install --upgrade opentelemetry-")


def test_a_missing_requirement_is_named() -> None:
    """
    What an OpenTelemetry package needs and is not there is red.
    """
    (found,) = check_versions(packages(("opentelemetry-sdk", "1.45.2", ["opentelemetry-api==1.45.2"])))

    assert ("red", 'pip install "opentelemetry-api==1.45.2"') == (found.level, found.next_step)


def test_what_is_installed_is_read_from_its_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A distribution on the path counts, a damaged one is left out.
    """
    for name, text in {
        "opentelemetry_thing": "Name: OpenTelemetry.Thing\nVersion: 7\nRequires-Dist: opentelemetry-api>=99\n",
        "damaged": "",
    }.items():
        (tmp_path / f"{name}-7.dist-info").mkdir()
        (tmp_path / f"{name}-7.dist-info" / "METADATA").write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    there = installed()

    assert ("7", "bizspan") == (there["opentelemetry-thing"].version, there["bizspan"].name)
    assert "damaged" not in there
    assert "versions.opentelemetry-thing" in {found.check for found in check_versions(there) if found.level == "red"}


def test_an_instrumentation_that_stays_off_is_yellow() -> None:
    """
    A library outside its instrumentation's range is told: that only stands in a log otherwise.
    """
    flask = ("opentelemetry-instrumentation-flask", "0.66b1", ['flask<4,>=1; extra == "instruments"'])

    (found,) = check_instrumented(packages(flask, ("flask", "4.1", [])))
    none = list(check_instrumented(packages(flask, ("flask", "3.1", []))))

    assert ("yellow", True, []) == (found.level, "4.1 is here, so it stays off" in found.text, none)


def test_extras_are_asked_for_what_is_configured() -> None:
    """
    gRPC that is configured and not installed is red with the extra's pip line.
    """
    there = packages(("opentelemetry-sdk", "1.45.1", []), ("opentelemetry-exporter-otlp-proto-http", "1.45.1", []))
    wanted = targets({"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"})

    found = {each.check: (each.level, each.next_step) for each in check_extras(there, wanted)}

    assert {"extra.otlp": ("green", ""), "extra.grpc": ("red", 'pip install "bizspan[grpc]"')} == found


# --- variables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "check", "level", "step"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, "sdk-disabled", "red", "unset OTEL_SDK_DISABLED"),
        ({"OTEL_SDK_DISABLED": "1"}, "sdk-disabled", "yellow", "unset OTEL_SDK_DISABLED"),
        ({"OTEL_TRACES_EXPORTER": "none"}, "exporter.traces", "yellow", "unset OTEL_TRACES_EXPORTER"),
        ({"OTEL_LOGS_EXPORTER": "none"}, "exporter.logs", "red", "unset OTEL_LOGS_EXPORTER"),
        ({"OTEL_METRICS_EXPORTER": "console"}, "exporter.metrics", "yellow", "export OTEL_METRICS_EXPORTER=otlp"),
        ({"OTEL_LOGS_EXPORTER": "otlp,otlp"}, "exporter.logs", "red", "export OTEL_LOGS_EXPORTER=otlp"),
        ({"OTEL_LOGS_EXPORTER": "otlp,console"}, "exporter.logs", "red", "export OTEL_LOGS_EXPORTER=otlp"),
        ({"OTEL_LOGS_EXPORTER": "carrier_pigeon"}, "exporter.logs", "red", "export OTEL_LOGS_EXPORTER=otlp"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "protocol", "red", "export OTEL_EXPORTER_OTLP_PROTOCOL="),
        ({"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "tcp"}, "protocol", "red", "export OTEL_EXPORTER_OTLP_LOGS_PROTOCOL="),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "just-a-token"}, "headers", "red", "export OTEL_EXPORTER_OTLP_HEADERS="),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a=b\nc"}, "headers", "red", "export OTEL_EXPORTER_OTLP_HEADERS="),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a=é"}, "headers", "red", "export OTEL_EXPORTER_OTLP_HEADERS="),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}, "compression", "red", "export OTEL_EXPORTER_OTLP_COMPRESSION="),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "10000"}, "timeout", "yellow", "export OTEL_EXPORTER_OTLP_TIMEOUT=10"),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, "timeout", "red", "export OTEL_EXPORTER_OTLP_TIMEOUT=10"),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "-1"}, "timeout", "red", "export OTEL_EXPORTER_OTLP_TIMEOUT=10"),
        ({}, "service-name", "yellow", "export OTEL_SERVICE_NAME="),
        ({"OTEL_SERVICE_NAME": "shop"}, "service-name", "green", ""),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop"}, "service-name", "green", ""),
        ({}, "environment", "yellow", "export OTEL_RESOURCE_ATTRIBUTES="),
        ({"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=x"}, "environment", "green", ""),
        ({"BIZSPAN_HASH_KEY": ""}, "hash-key", "yellow", "export BIZSPAN_HASH_KEY"),
        ({"OTEL_EXPORTER_OLTP_ENDPOINT": "http://c"}, "variable", "yellow", "export OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_CONFIG_FILE": "/no/such.yaml"}, "otel-config-file", "red", "unset OTEL_CONFIG_FILE"),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask, bizspan"}, "zero-code", "yellow", "take bizspan out of"),
        ({"OTEL_SEMCONV_STABILITY_OPT_IN": "http/dup"}, "semantic-conventions", "green", ""),
    ],
    ids=str,
)
def test_a_variable_is_judged(variables: dict[str, str], check: str, level: str, step: str) -> None:
    """
    Each setting has its level, and its next step names the variable.
    """
    found = look(**variables)[check]

    assert (level, True) == (found.level, found.next_step.startswith(step)), found


@pytest.mark.parametrize(("name", "level"), [("fastapi", "red"), ("flask", "yellow")])
def test_fastapi_s_own_export_is_told(name: str, level: str) -> None:
    """
    With FastAPI installed, its own set-up beside ours exports everything twice.
    """
    (found,) = check_double_export({"FASTAPI_OTEL_AUTO_CONFIGURE": "True"}, packages((name, "1", [])))

    assert (level, "unset FASTAPI_OTEL_AUTO_CONFIGURE") == (found.level, found.next_step)


def test_production_without_a_key_is_red() -> None:
    """
    Where personal facts would be dropped, the missing key is red.
    """
    where = "deployment.environment.name=production"

    assert "red" == look(BIZSPAN_HASH_KEY="", OTEL_RESOURCE_ATTRIBUTES=where)["hash-key"].level
    assert "green" == look(OTEL_RESOURCE_ATTRIBUTES=where)["hash-key"].level


def test_the_shortest_key_is_that_of_configure() -> None:
    """
    A key that `configure()` refuses is red, the shortest one that it takes is green.
    """
    short, enough = "k" * (KEY_MIN_BYTES - 1), "k" * KEY_MIN_BYTES

    with pytest.raises(SetupError):
        configure(export="none", hash_key=short)
    with configure(export="none", hash_key=enough):
        pass
    assert ("red", "green") == (
        look(BIZSPAN_HASH_KEY=short)["hash-key"].level,
        look(BIZSPAN_HASH_KEY=enough)["hash-key"].level,
    )


def test_the_values_of_headers_and_keys_are_not_in_the_report() -> None:
    """
    The names of headers are, and a wrong header is not repeated.
    """
    good = Report("1", tuple(look(OTEL_EXPORTER_OTLP_HEADERS="api-key=hush-hush,x=y-secret").values()))
    bad = Report("1", tuple(look(OTEL_EXPORTER_OTLP_HEADERS="hush-hush").values()))

    for secret in ("hush-hush", "y-secret", "k" * 32):
        assert secret not in good.as_json() + bad.as_json()
    assert "api-key, x" in good.as_json()


# --- endpoints ----------------------------------------------------------------------------------------------------


def logs(**variables: str) -> Target:
    """Where events go."""
    return targets(variables)[-1]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "no scheme"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "//collector:4318"}, "no scheme"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "grpc://collector:4318"}, "no scheme"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "grpc://c:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "neither http nor https",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:pw@collector:4318"}, "a user or a password"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "me:pw@collector:4318"}, "a user or a password"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:port"}, "no host, or a port"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:70000"}, "no host, or a port"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://:4318"}, "no host, or a port"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": '"http://collector:4318"'}, "a quote or a space"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/v1/logs"}, "adds /v1/logs"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "protocol is unknown"),
    ],
    ids=str,
)
def test_a_malformed_endpoint_is_red(variables: dict[str, str], said: str) -> None:
    """
    Nothing is sent to it; the variable is named, what may be a password is not.
    """
    found = malformed(logs(**variables))

    assert found is not None
    assert ("red", True, False) == (found.level, said in found.text, "pw" in found.text + found.next_step), found
    assert found.next_step


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otlp.example.com/otlp/"}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1]:4318"}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, ["usual one for grpc"]),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            ["usual one for http/protobuf"],
        ),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c:4318"}, ["has no path"]),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c:4318/v1/logs"}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "c:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ["uses TLS then"]),
    ],
)
def test_a_slip_in_an_endpoint_is_yellow(variables: dict[str, str], said: list[str]) -> None:
    """
    It can be tried, and is probably not what was meant.
    """
    target = logs(**variables)
    found = list(remarks(target))

    assert malformed(target) is None
    assert [("yellow", True)] * len(said) == [
        (each.level, words in each.text) for each, words in zip(found, said, strict=True)
    ]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:pw@host:1/p?q=s#f", "http://***@host:1/p"),
        ("me:p/w@host", "***@host"),
        ("https://host/p", "https://host/p"),
        ("http://a@b@c/", "http://***@c/"),
        ("http://h/\r\nx", "http://h/ x"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    """
    User, password, query and fragment are left out.
    """
    assert shown == shown_url(url)


def test_what_a_server_repeats_is_blanked() -> None:
    """
    The longest secret goes first, so that nothing of it stays.
    """
    assert "*** and ***" == without("tokentoken and token", ["token", "tokentoken", "", "an"])


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ({"http_proxy": "http://q:1", "HTTP_PROXY": "http://p:1"}, "http://q:1"),
        ({"ALL_PROXY": "socks5://p:1"}, "socks5://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, ""),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "example.com"}, ""),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "x, .example.com"}, ""),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "otlp.example.com:4318"}, ""),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, ""),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "ample.com"}, "http://p:1"),
    ],
)
def test_a_proxy_is_found_as_the_exporter_would(variables: dict[str, str], proxy: str) -> None:
    """
    By scheme, lower case first, and not for hosts that NO_PROXY has.
    """
    told = {**variables, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otlp.example.com:4318"}

    assert proxy == proxy_of(told, logs(**told))


# --- the configuration file ---------------------------------------------------------------------------------------


def test_the_file_fills_what_the_environment_leaves_open(tmp_path: Path) -> None:
    """
    Service and environment of the file count; a variable wins over them.
    """
    file = tmp_path / "bizspan.toml"
    file.write_text('service_name = "from-file"\nenvironment = "staging"\n')

    of_file, of_variable = look(file), look(file, OTEL_SERVICE_NAME="from-variable")

    assert "service.name is from-file" == of_file["service-name"].text
    assert "deployment.environment.name is staging" == of_file["environment"].text
    assert "service.name is from-variable" == of_variable["service-name"].text
    assert ("green", True) == (of_file["config"].level, str(file) in of_file["config"].text)


def test_the_file_of_the_variable_is_found(tmp_path: Path) -> None:
    """
    Without --config the file is the one that the application would take.
    """
    file = tmp_path / "bizspan.toml"
    file.write_text('service_name = "from-file"\n')

    assert "service.name is from-file" == look(BIZSPAN_CONFIG=str(file))["service-name"].text


def test_a_wrong_file_is_one_red_line(tmp_path: Path) -> None:
    """
    File, key, and what was expected; the other checks go on.
    """
    file = tmp_path / "bizspan.toml"
    file.write_text("capacity = 'many'\n")

    found = look(file)

    assert "red" == found["config"].level
    assert [True] * 3 == [word in found["config"].text for word in (str(file), "capacity", "whole number")]
    assert "hash-key" in found


def test_an_application_that_ends_the_process_while_the_file_is_read_is_one_red_line(tmp_path: Path) -> None:
    """
    The file names an object of the application, and importing it exits; the doctor does not.
    """
    (tmp_path / "shop_facts.py").write_text("import os; os._exit(7)\n")
    file = tmp_path / "bizspan.toml"
    file.write_text('vocabulary = "shop_facts:VOCABULARY"\n')

    found = look(file, PYTHONPATH=str(tmp_path))["config"]

    assert ("red", True) == (found.level, "exit code 7" in found.text)


def test_a_file_that_sends_nothing_has_no_endpoints(tmp_path: Path) -> None:
    """
    With export = "console" nothing goes over the wire, and the report says so.
    """
    file = tmp_path / "bizspan.toml"
    file.write_text('export = "console"\n')

    found = look(file)

    assert "yellow" == found["export"].level
    assert [] == [check for check in found if check.startswith("endpoint.")]


# --- the command --------------------------------------------------------------------------------------------------


def test_a_command_is_taken_apart() -> None:
    """
    Assignments, `env`, and the options of opentelemetry-instrument become variables, as they will be.
    """
    words = "env A=1 opentelemetry-instrument --traces_exporter console --exporter_otlp_endpoint=http://c:1"
    words += " --disabled_instrumentations flask python app.py --traces_exporter x"

    told = command(words.split(), {"A": "0", "B": "2"})

    assert {
        "A": "1", "B": "2", "OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask",
    } == told.environment  # fmt: skip
    assert (True, ("python", "app.py", "--traces_exporter", "x")) == (told.is_zero_code, told.program)


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A PATH with opentelemetry-instrument and python of this installation, and gunicorn of another one."""
    other = tmp_path / "other" / "bin"
    other.mkdir(parents=True)
    (tmp_path / "other" / "pyvenv.cfg").write_text("")
    for name, interpreter in (
        ("opentelemetry-instrument", sys.executable),
        ("python", "/bin/sh"),
        ("gunicorn", f"{other}/python"),
    ):
        (tmp_path / name).write_text(f"#!{interpreter}\n")
        (tmp_path / name).chmod(0o755)
    yield {"PATH": str(tmp_path)}


@pytest.mark.skipif(sys.platform == "win32", reason="scripts with a first line that names their interpreter")
@pytest.mark.parametrize(
    ("line", "levels"),
    [
        ("python app.py", ["green"]),
        ("opentelemetry-instrument python app.py", ["green"]),
        ("opentelemetry-instrument python -I app.py", ["green", "red"]),
        ("opentelemetry-instrument python -m app -I", ["green"]),
        ("opentelemetry-instrument python manage.py runserver", ["green", "yellow"]),
        ("opentelemetry-instrument python manage.py runserver --noreload", ["green"]),
        ("gunicorn shop:app", ["yellow"]),
        ("nowhere-to-be-found", ["red"]),
        ("", []),
    ],
)
def test_a_command_is_judged(line: str, levels: list[str], programs: Mapping[str, str]) -> None:
    """
    Found, in this installation, and nothing in it that keeps telemetry from starting.
    """
    found = list(check_command(line.split(), command(line.split(), programs)))

    assert levels == [each.level for each in found]
    assert [] == [each for each in found if each.level != "green" and not each.next_step]


def test_a_distro_s_defaults_apply_under_zero_code_only() -> None:
    """
    opentelemetry-distro sends over gRPC where nothing is set, and that is what is checked.
    """
    there = packages(("opentelemetry-distro", "0.66b1", []), ("opentelemetry-instrumentation", "0.66b1", []))

    told = with_distro_defaults({"OTEL_LOGS_EXPORTER": "none"}, there)
    (found,) = [each for each in check_zero_code({}, there, True) if each.check == "zero-code.protocol"]

    assert ("grpc", "none", "otlp") == (
        told["OTEL_EXPORTER_OTLP_PROTOCOL"], told["OTEL_LOGS_EXPORTER"], told["OTEL_TRACES_EXPORTER"],
    )  # fmt: skip
    assert {} == with_distro_defaults({}, {})
    assert ("yellow", "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf") == (found.level, found.next_step)


def test_zero_code_without_its_package_is_red() -> None:
    """
    opentelemetry-instrument that is not installed here is named with its pip line.
    """
    (found,) = check_zero_code({}, {}, True)

    assert ("red", "pip install opentelemetry-instrumentation") == (found.level, found.next_step)


def providers(report: Report) -> dict[str, str]:
    """Check and level of what was seen inside a process that starts without code."""
    inside = ("providers", "zero-code.bizspan", "double-export.logs", "order.logs")
    return {found.check: found.level for found in report.findings if found.check in inside}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {"providers": "green", "zero-code.bizspan": "green"}),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "bizspan"}, {"providers": "green"}),
        ({"BIZSPAN_CAPACITY": "many"}, {"providers": "green", "zero-code.bizspan": "red"}),
    ],
    ids=str,
)
def test_a_process_without_code_is_looked_at(variables: dict[str, str], expected: dict[str, str]) -> None:
    """
    Under opentelemetry-instrument a process is started as the application's will be: providers, and bizspan itself.
    """
    pytest.importorskip("opentelemetry.distro")  # brings the launcher as well
    words = ("opentelemetry-instrument", "python", "app.py")
    # Nobody listens there: looking must not send anything, and must not wait for it.
    told = environment(None, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", **variables)

    report = examine(Request(told, canary=False, command=words))

    assert expected == providers(report)


def test_a_second_exporter_is_seen(tmp_path: Path) -> None:
    """
    What starts in the process and adds an exporter to the same endpoint is red.
    """
    pytest.importorskip("opentelemetry.distro")  # brings the launcher as well
    (tmp_path / "second_exporter.py").write_text(
        textwrap.dedent("""
            def add():
                from opentelemetry import _logs
                from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
                from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
                provider = _logs.get_logger_provider()
                for _ in range(2):
                    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
        """)
    )
    (tmp_path / "second-1.dist-info").mkdir()
    (tmp_path / "second-1.dist-info" / "METADATA").write_text("Name: second\nVersion: 1\n")
    (tmp_path / "second-1.dist-info" / "entry_points.txt").write_text(
        "[opentelemetry_post_instrument]\nsecond = second_exporter:add\n"
    )
    told = environment(PYTHONPATH=str(tmp_path))

    report = examine(Request(told, canary=False, command=("opentelemetry-instrument", "python", "app.py")))

    assert "red" == providers(report)["double-export.logs"]


# --- Django -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        ("[]", [("django", "green", "")]),
        ('[Error("order", hint="move it", id="bizspan.E1"), Info("x", id="bizspan.I1")]',
         [("django.bizspan.E1", "red", "move it")]),
        ('[Warning("late", id="bizspan.W2")]',
         [("django.bizspan.W2", "yellow", "python manage.py check --tag bizspan")]),
        ('[Warning("late", id="bizspan.W9")]', [("django", "green", "")]),
        ("1/0", [("django", "red", "python manage.py check")]),
        ("__import__('os')._exit(3)", [("django", "red", "python manage.py check")]),
    ],
    ids=["fine", "error", "warning", "silenced", "crash", "exit"],
)  # fmt: skip
def test_django_s_own_checks_are_passed_on(checks: str, expected: list[tuple[str, str, str]], tmp_path: Path) -> None:
    """
    Checks with our tag run in the application's own settings; what they say keeps its id and its hint.
    """
    pytest.importorskip("django")
    (tmp_path / "shop_settings.py").write_text(
        'INSTALLED_APPS = ["shop_app"]\nSECRET_KEY = "x"\nSILENCED_SYSTEM_CHECKS = ["bizspan.W9"]\nprint("noise")\n'
    )
    (tmp_path / "shop_app.py").write_text(
        textwrap.dedent(f"""
            from django.core.checks import Error, Info, Warning, register

            @register("bizspan")
            def check(app_configs, **options):
                return {checks}
        """)
    )
    told = environment(PYTHONPATH=str(tmp_path), DJANGO_SETTINGS_MODULE="shop_settings")

    found = list(run_checks(told, 30.0))

    assert expected == [(each.check, each.level, each.next_step) for each in found]


def test_django_without_our_app_is_yellow(tmp_path: Path) -> None:
    """
    Where nobody registered a check of ours, the app is missing.
    """
    pytest.importorskip("django")
    (tmp_path / "bare_settings.py").write_text("INSTALLED_APPS = []\n")
    told = environment(PYTHONPATH=str(tmp_path), DJANGO_SETTINGS_MODULE="bare_settings")

    (found,) = run_checks(told, 30.0)

    assert ("yellow", True) == (found.level, "INSTALLED_APPS" in found.next_step)


def test_a_django_application_that_hangs_is_ended(tmp_path: Path) -> None:
    """
    Settings that never come to their end are a red line after the bound.
    """
    pytest.importorskip("django")
    (tmp_path / "slow_settings.py").write_text("import threading\nthreading.Event().wait()\n")
    told = environment(PYTHONPATH=str(tmp_path), DJANGO_SETTINGS_MODULE="slow_settings")

    (found,) = run_checks(told, 2.0)

    assert ("red", True) == (found.level, "did not start within 2 s" in found.text)


# --- the examination itself ---------------------------------------------------------------------------------------


def test_a_check_that_crashes_is_a_red_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The others stand, and the error's own text, which may hold a value, is left out.
    """

    def crash(told: Mapping[str, str]) -> Iterator[Finding]:
        raise ValueError("hush-hush")

    monkeypatch.setattr(_environment, "check_disabled", crash)
    report = examine(Request(environment(), canary=False))

    (found,) = [each for each in report.findings if each.check == "sdk-disabled"]
    assert ("red", True, 1) == (found.level, "ValueError in crash" in found.text, report.exit_code)
    assert "hush-hush" not in report.as_json()
    assert {"python", "hash-key", "endpoint.logs"} <= {each.check for each in report.findings}


def test_every_finding_that_is_not_green_has_a_next_step() -> None:
    """
    A set-up that is wrong in many ways gets a step for each of them.
    """
    found = look(
        OTEL_SDK_DISABLED="yes", OTEL_EXPORTER_OTLP_ENDPOINT="c", OTEL_EXPORTER_OTLP_PROTOCOL="x",
        OTEL_EXPORTER_OTLP_HEADERS="x", OTEL_LOGS_EXPORTER="a,b", BIZSPAN_HASH_KEY="x",
    )  # fmt: skip

    assert 8 <= len([each for each in found.values() if each.level != "green"])
    assert [] == [each for each in found.values() if each.level != "green" and not each.next_step]


def test_lines_that_say_the_same_are_one() -> None:
    """
    As text; JSON keeps them apart.
    """
    same = [Finding(f"endpoint.{signal}", "red", "gone", "start it") for signal in ("traces", "logs")]
    report = Report("1", (*same, Finding("python", "green", "fine")))

    assert "✗ endpoint.traces,logs: gone\n  next: start it\n✓ python: fine\n\n1 green, 0 yellow, 2 red" == (
        report.as_text(colour=False)
    )
    assert 3 == report.as_json().count('"check"')


def test_nothing_in_a_report_moves_the_terminal() -> None:
    """
    Escape codes and line breaks of a value that is shown are taken out.
    """
    found = look(OTEL_SERVICE_NAME="shop\x1b[2J\r\nred\u202e")["service-name"]

    assert "service.name is shop [2J red" == found.text


def said_in_the_source() -> Iterator[str]:
    """The check of each finding that the doctor's source makes; `*` stands for what is filled in."""
    for file in sorted(Path(doctor.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="green" | "yellow" | "red"), args=[ast.Constant(value=str(check)), *_]):
                    yield check
                case ast.Call(
                    func=ast.Name(id="green" | "yellow" | "red"),
                    args=[ast.JoinedStr(values=[ast.Constant(value=str(begin)), *_]), *_],
                ):
                    yield f"{begin}*"
                case _:
                    pass


@pytest.mark.skipif(not REFERENCE.is_file(), reason="docs/ is not in this copy")
def test_every_check_is_in_the_reference() -> None:
    """
    The table of checks names each one that the source makes.
    """
    table = REFERENCE.read_text("utf-8").split("### Checks")[1].split("### JSON")[0]
    shown = re.findall(r"`([a-z.-]+(?:[A-Z]+)?)`", table)

    said = {*said_in_the_source()}
    assert {"python", "endpoint.*", "versions.*"} <= said
    assert [] == [check for check in said if not any(fnmatchcase(name, check) for name in shown)]
