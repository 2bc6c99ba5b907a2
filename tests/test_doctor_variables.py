"""`bizspan doctor`: what the variables say."""

from __future__ import annotations

import pytest

from bizspan import SetupError
from bizspan.configure import configure
from bizspan.doctor import Report
from bizspan.doctor._environment import KEY_MIN_BYTES, check_double_export
from bizspan.doctor._variables import check_misspelled, known_variables
from tests.doctor_set_up import look, packages


@pytest.mark.once
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


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OTEL_EXPORTER_OLTP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_EXPORTER_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_SERVICENAME", "OTEL_SERVICE_NAME"),
        ("OTEL_TRACE_EXPORTER", "OTEL_TRACES_EXPORTER"),
        ("OTEL_RESSOURCE_ATTRIBUTES", "OTEL_RESOURCE_ATTRIBUTES"),
        ("OTEL_BLRP_SCHEDULE_DELAI", "OTEL_BLRP_SCHEDULE_DELAY"),
        ("OTEL_PYTHON_DISABLED_INSTRUMENTATION", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"),
        ("OTEL_SEMCONV_STABILITY_OPTIN", "OTEL_SEMCONV_STABILITY_OPT_IN"),
        ("BIZSPAN_HASHKEY", "BIZSPAN_HASH_KEY"),
        ("BIZSPAN_COUNTRY_HEADR", "BIZSPAN_COUNTRY_HEADER"),
        ("BIZSPAN_CONFG", "BIZSPAN_CONFIG"),
        ("BIZSPAN_SOMETHING_ELSE", ""),
    ],
)
def test_a_misspelled_variable_is_told_with_the_one_that_was_meant(name: str, meant: str) -> None:
    """
    Of OpenTelemetry's and ours; one with our prefix that is like none is told as well.
    """
    found = list(check_misspelled({name: "x"}))

    (said,) = found
    assert ("variable", "yellow", True) == (said.check, said.level, name in said.text)
    assert bool(meant) == ("did you mean" in said.text)
    assert (f"export {meant}" if meant else f"unset {name}") == said.next_step


def test_variables_that_somebody_reads_are_no_slips() -> None:
    """
    Every one that is known, those of single instrumentations, of other languages, and of newer specifications.
    """
    others = [
        "OTEL_PYTHON_FLASK_EXCLUDED_URLS", "OTEL_PYTHON_DJANGO_TRACED_REQUEST_ATTRS", "OTEL_PYTHON_DJANGO_INSTRUMENT",
        "OTEL_JAVAAGENT_ENABLED", "OTEL_NODE_RESOURCE_DETECTORS", "OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "OTEL_SERVICE_VERSION_OF_OURS", "PATH",
    ]  # fmt: skip

    assert [] == list(check_misspelled(dict.fromkeys([*known_variables(), *others], "x")))
    assert {"OTEL_SERVICE_NAME", "OTEL_PYTHON_DISTRO", "OTEL_CONFIG_FILE", "BIZSPAN_HASH_KEY"} <= known_variables()
