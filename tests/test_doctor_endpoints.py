"""`bizspan doctor`: the form of endpoints, before anything is sent."""

from __future__ import annotations

import pytest
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

from bizspan.doctor import _inside
from bizspan.doctor._endpoints import malformed, proxy_of, remarks
from bizspan.doctor._finding import shown_url, without
from bizspan.doctor._settings import Target, targets
from bizspan.sdk._delivery import CountedExporter
from bizspan.sdk._exporters import PerProcess
from bizspan.sdk._quick import quick


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


def test_an_exporter_is_named_with_its_endpoint_whatever_stands_before_it() -> None:
    """
    Those that `configure()` builds are counted, made anew in a forked child, and quicker.
    """

    class Processor:
        _exporter = CountedExporter(PerProcess(lambda: quick(OTLPLogExporter("http://collector:4318/v1/logs"))))

    assert "OTLPLogExporter http://collector:4318/v1/logs" == _inside._exporter(Processor())
