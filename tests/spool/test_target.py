"""Where the spool sends to, as `OTEL_EXPORTER_OTLP_*` says, and a clear word for each mistake."""

from __future__ import annotations

from typing import Any

import pytest

from bizspan.errors import SetupError
from bizspan.spool._target import Target, from_environment

OTLP = "OTEL_EXPORTER_OTLP_"


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, "http://localhost:4318/v1/logs"),
        ({"ENDPOINT": "https://a.example"}, "https://a.example/v1/logs"),
        ({"ENDPOINT": " https://a.example:1/otlp/ "}, "https://a.example:1/otlp/v1/logs"),
        ({"ENDPOINT": "https://a.example", "LOGS_ENDPOINT": "http://b.example/x/"}, "http://b.example/x/"),
        ({"ENDPOINT": "https://a.example", "LOGS_ENDPOINT": " "}, "https://a.example/v1/logs"),
        ({"ENDPOINT": "http://[::1]:4318"}, "http://[::1]:4318/v1/logs"),
    ],
)
def test_the_endpoint_is_that_of_logs(variables: dict[str, str], url: str) -> None:
    """
    That of logs as it is; else the general one with the path of logs; else this machine.
    """
    assert url == from_environment({f"{OTLP}{name}": value for name, value in variables.items()}).url


def test_a_grpc_set_up_needs_an_endpoint_of_the_spool_s_own() -> None:
    """
    Without BIZSPAN_SPOOL_ENDPOINT a gRPC protocol is refused early, with that name; with it, it wins over all others.
    """
    variables = {f"{OTLP}PROTOCOL": "grpc", f"{OTLP}LOGS_ENDPOINT": "collector:4317"}
    with pytest.raises(SetupError, match="BIZSPAN_SPOOL_ENDPOINT"):
        from_environment(variables)

    own = {"BIZSPAN_SPOOL_ENDPOINT": "http://collector:4318/v1/logs"}
    assert own["BIZSPAN_SPOOL_ENDPOINT"] == from_environment(variables | own).url
    assert own["BIZSPAN_SPOOL_ENDPOINT"] == from_environment({f"{OTLP}ENDPOINT": "http://x"} | own).url


def test_an_endpoint_in_code_is_enough_for_a_grpc_set_up() -> None:
    """
    It is the whole URL, so the variables are asked for everything but where to; headers still come from them.
    """
    variables = {f"{OTLP}PROTOCOL": "grpc", f"{OTLP}ENDPOINT": "collector:4317", f"{OTLP}HEADERS": "api-key=k"}
    target = from_environment(variables, url="http://collector:4318/v1/logs")

    assert ("http://collector:4318/v1/logs", (("api-key", "k"),)) == (target.url, target.headers)
    with pytest.raises(SetupError, match="endpoint"):
        from_environment({}, url="collector:4318")


def test_headers_timeout_compression_and_files_are_taken() -> None:
    """
    Those of logs first; header values are percent-decoded; gzip unless told otherwise.
    """
    variables = {
        "HEADERS": "a=general",
        "LOGS_HEADERS": "Authorization=Basic%20abc=, x-tenant = t1 ,",
        "TIMEOUT": "2.5",
        "LOGS_COMPRESSION": "none",
        "CERTIFICATE": "ca.pem",
        "LOGS_CLIENT_CERTIFICATE": "c.pem",
        "CLIENT_KEY": "k.pem",
    }
    target = from_environment({f"{OTLP}{name}": value for name, value in variables.items()})

    assert (("authorization", "Basic abc="), ("x-tenant", "t1")) == target.headers
    assert (2.5, "none") == (target.timeout_s, target.compression)
    assert ("ca.pem", "c.pem", "k.pem") == (target.ca_file, target.client_certificate, target.client_key)
    silent = from_environment({f"{OTLP}HEADERS": " , ", f"{OTLP}COMPRESSION": "", f"{OTLP}TIMEOUT": "1e99"})
    assert ((), "gzip", 3600.0) == (silent.headers, silent.compression, silent.timeout_s)
    assert 10.0 == from_environment({}).timeout_s


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        (f"{OTLP}ENDPOINT", "collector.example:4318", "has no scheme"),
        (f"{OTLP}LOGS_ENDPOINT", "collector.example/v1/logs", "has no scheme"),
        (f"{OTLP}ENDPOINT", "https://me:s3cr3t@collector.example", "holds credentials"),
        (f"{OTLP}ENDPOINT", "http://", "has no host"),
        (f"{OTLP}ENDPOINT", "http://s3cr3t:99999", "has no host"),
        (f"{OTLP}ENDPOINT", "http://s3cr3t:port", "has no host"),
        (f"{OTLP}ENDPOINT", "http://[s3cr3t", "has no host"),
        (f"{OTLP}ENDPOINT", f"http://{'s3cr3t' * 20}/", "has no host"),
        (f"{OTLP}LOGS_ENDPOINT", "http://a/s3cr3t\r\nX: y", "percent-encode"),
        (f"{OTLP}LOGS_ENDPOINT", "http://a/s3cr3t b", "percent-encode"),
        (f"{OTLP}LOGS_ENDPOINT", "http://ä.example/s3cr3t", "percent-encode"),
        (f"{OTLP}HEADERS", "api-key=s3cr3t\nx: y", "line break"),
        (f"{OTLP}HEADERS", "api-key=s3cr3t%0d%0ax: y", "line break"),
        (f"{OTLP}HEADERS", "api-key=s3cr3t%E2%82%AC", "letters"),
        (f"{OTLP}HEADERS", "s3cr3t key=v", "a name"),
        (f"{OTLP}LOGS_HEADERS", "Bearer s3cr3t", "without '='"),
        (f"{OTLP}COMPRESSION", "s3cr3t", "use gzip or none"),
        (f"{OTLP}TIMEOUT", "s3cr3t", "a number above 0"),
        (f"{OTLP}TIMEOUT", "nan", "a number above 0"),
        (f"{OTLP}PROTOCOL", "http/json", "use 'http/protobuf' or 'grpc'"),
        ("BIZSPAN_SPOOL_ENDPOINT", "s3cr3t:4318", "has no scheme"),
        ("BIZSPAN_SPOOL_ENDPOINT", "http://s3cr3t:4318", "has no path"),
        ("BIZSPAN_SPOOL_ENDPOINT", "http://u:s3cr3t@h:4318/v1/logs", "holds credentials"),
    ],
)
def test_a_wrong_variable_is_refused_with_its_name_and_without_its_value(variable: str, value: str, says: str) -> None:
    """
    Set-up fails early, says which variable and what to do, and repeats no secret, in no cause either.
    """
    with pytest.raises(SetupError) as raised:
        from_environment({variable: value})

    assert variable in str(raised.value)
    assert says in str(raised.value)
    error: BaseException | None = raised.value
    while error is not None:
        assert "s3cr3t" not in str(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "localhost:4318"},
        {"url": "http://u:p@h/"},
        {"headers": (("a", "b\n"),)},
        {"timeout_s": 0},
        {"timeout_s": float("inf")},
        {"compression": "zip"},
    ],
)
def test_a_target_in_code_is_checked_too(wrong: dict[str, Any]) -> None:
    """
    The same rules without a variable.
    """
    with pytest.raises(SetupError):
        Target(**wrong)


def test_a_target_shows_no_path() -> None:
    """
    Scheme, host and port are enough for people; a token may stand in the path.
    """
    assert "Target('https://[::1]:443', timeout_s=10.0, compression='gzip')" == repr(Target("https://[::1]/s3cr3t"))
