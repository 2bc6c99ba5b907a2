"""
What a canary's outcome means, and what to do about it.
"""

from __future__ import annotations

from typing import Final

from bizspan.doctor._finding import Finding, green, host_and_port, red, shown_url, yellow
from bizspan.doctor._outcome import CANARY, Outcome
from bizspan.doctor._settings import GRPC, Target

_SKEW_MOST_S: Final = 120.0
_WHAT: Final = {"traces": "span", "metrics": "metric", "logs": "event"}
_OTLP_TYPES: Final = ("application/x-protobuf", "application/protobuf", "application/json")
_BATCHES: Final = {
    "traces": "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "logs": "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
    "metrics": "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
}


def explain(target: Target, found: Outcome, timeout_s: float) -> Finding:
    """
    One line about what became of a canary.

    Args:
        target: Where it went.
        found: What became of it.
        timeout_s: How long it was waited for.
    """
    check = f"endpoint.{target.signal}"
    if found.setup_error:
        return red(check, f"bizspan.configure() refuses this: {found.setup_error}", _variable_step(target))
    if found.not_made:
        return red(
            check,
            f"the {target.protocol} exporter refuses its settings ({found.not_made}).",
            "check the OTEL_EXPORTER_OTLP_* variables, certificate files among them",
        )
    if found.status is not None:
        return _http(check, target, found)
    if found.grpc_code and found.grpc_code not in _GRPC_UNCLEAR:
        return _grpc(check, target, found)
    if found.accepted:
        return green(check, f"{shown_url(target.url)} took the canary {_WHAT[target.signal]} {CANARY}")
    return _unreached(check, target, found, timeout_s)


def clock(outcomes: list[Outcome]) -> Finding | None:
    """The server's clock against ours; None when no answer had a date."""
    skews = [found.clock_skew_s for found in outcomes if found.clock_skew_s is not None]
    if not skews:
        return None
    skew = min(skews, key=abs)
    if abs(skew) <= _SKEW_MOST_S:
        return green("clock", "this clock and the server's agree")
    return yellow(
        "clock",
        f"this clock is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the server's: times will be wrong.",
        "timedatectl set-ntp true",
    )


# --- HTTP ---------------------------------------------------------------------------------------------------------


def _http(check: str, target: Target, found: Outcome) -> Finding:
    status = found.status or 0
    where = shown_url(target.url)
    if not found.is_whole:
        return red(
            check, f"{where} answered {status}, and its body never came to an end.", "look at the proxy in between"
        )
    if 200 <= status < 300:
        return _success(check, target, found)
    if 300 <= status < 400:
        leads = found.location or "somewhere else"
        return red(
            check,
            f"{where} answered {status}, a redirect to {leads}; exporters may count that as delivered.",
            f"export {target.variable}={_base(target, found.location)}" if found.location else _variable_step(target),
        )
    said, step = _status(target, status, found)
    return red(check, f"{where} answered {status}: {said}", step)


def _status(target: Target, status: int, found: Outcome) -> tuple[str, str]:
    names = ", ".join(name for name, _ in target.headers)
    sent = f"the headers sent were {names} (values are not shown)" if names else "no headers are set"
    headers = f"OTEL_EXPORTER_OTLP_{target.signal.upper()}_HEADERS" if target.is_own else "OTEL_EXPORTER_OTLP_HEADERS"
    if status == 401:
        return f"it wants credentials; {sent}.", f"export {headers}=authorization=Bearer%20TOKEN"
    if status == 403:
        return f"the credentials may not send {target.signal}; {sent}.", f"put a token that may write into {headers}"
    if status == 404:
        return "nothing takes OTLP under this path.", _path_step(target)
    if status == 405:
        return "this path takes no POST: it is not an OTLP receiver.", _path_step(target)
    if status == 407:
        return "a proxy in between wants credentials.", f"export NO_PROXY={_host(target)}"
    if status == 413:
        return "one canary is too large for it.", f"raise its body limit; export {_BATCHES[target.signal]}=64"
    if status == 415:
        return "it does not take protobuf.", "point it to a receiver that takes OTLP with protobuf over HTTP"
    if status == 400:
        return "it does not understand OTLP with protobuf.", _path_step(target)
    if status == 426:
        return "it wants another protocol.", "export OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
    if status == 429:
        wait = f", Retry-After {found.retry_after}" if found.retry_after else ""
        return f"it takes no more for now{wait}.", "wait, or raise the quota; then run bizspan doctor again"
    if status in (502, 503, 504):
        return (
            "it, or what stands behind it, is down or overloaded.",
            "read the collector's log; run bizspan doctor again",
        )
    if status >= 500:
        return "it failed.", "read the collector's log"
    return "it refuses.", "read the collector's log"


def _success(check: str, target: Target, found: Outcome) -> Finding:
    where = shown_url(target.url)
    if found.error or (found.content_type not in _OTLP_TYPES and not found.is_empty):
        what = "a web page" if found.content_type == "text/html" else f"{found.content_type[:40] or 'no content type'}"
        return red(
            check,
            f"{where} answered {found.status} with {what}: no OTLP receiver, and exporters count it as delivered.",
            _path_step(target),
        )
    return _taken(check, target, found)


def _taken(check: str, target: Target, found: Outcome) -> Finding:
    where, what = shown_url(target.url), _WHAT[target.signal]
    said = f": {found.message}" if found.message else ""
    if found.rejected:
        return red(check, f"{where} answered, and left the canary {what} out{said}", "read the collector's log")
    if found.rejected is not None and found.message:
        return yellow(check, f"{where} took the canary {what} with a warning{said}", "read the collector's log")
    if found.accepted is False:
        return red(check, f"{where} answered, and the exporter counts it as failed.", "read the collector's log")
    return green(check, f"{where} took the canary {what} {CANARY}")


# --- gRPC ---------------------------------------------------------------------------------------------------------

_GRPC_UNCLEAR: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN", "INTERNAL", "CANCELLED"})


def _grpc(check: str, target: Target, found: Outcome) -> Finding:
    if found.grpc_code == "OK":
        return _taken(check, target, found)
    names = ", ".join(name for name, _ in target.headers)
    sent = f"the headers sent were {names} (values are not shown)" if names else "no headers are set"
    said, step = {
        "UNAUTHENTICATED": (
            f"it wants credentials; {sent}.",
            "export OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20TOKEN",
        ),
        "PERMISSION_DENIED": (
            f"the credentials may not send {target.signal}; {sent}.",
            "put a token that may write into OTEL_EXPORTER_OTLP_HEADERS",
        ),
        "UNIMPLEMENTED": (
            f"it speaks gRPC, and has no receiver for {target.signal}.",
            f"give its {target.signal} pipeline an otlp receiver, or set OTEL_{target.signal.upper()}_EXPORTER=none",
        ),
        "RESOURCE_EXHAUSTED": ("it takes no more for now, or not that much.", "wait, or raise the quota"),
    }.get(found.grpc_code, ("it refuses.", "read the collector's log"))  # fmt: skip
    return red(check, f"{shown_url(target.url)} answered {found.grpc_code}: {said}", step)


# --- no answer ----------------------------------------------------------------------------------------------------


def _unreached(check: str, target: Target, found: Outcome, timeout_s: float) -> Finding:
    host, port = host_and_port(target.url, target.default_port) or ("?", 0)
    where = f"{host}:{port}"
    if found.stage == "dns":
        return red(check, f"the name {host} is not known (DNS).", f"export {target.variable}={_like(target, 'HOST')}")
    if found.stage == "connect":
        return _unconnected(check, target, found, where, timeout_s)
    if found.stage == "tls":
        return _untrusted(check, target, found, where)
    if found.stage == "answer":
        return _misunderstood(check, target, found, where, timeout_s)
    if found.error in ("ProxyError", "ConnectTimeout", "ReadTimeout", "ConnectionError", "SSLError"):
        return red(check, f"no answer from {where} ({found.error}).", f"export NO_PROXY={host}")
    what = found.error or found.grpc_code or f"nothing within {timeout_s:g} s"
    return red(check, f"no answer from {where} ({what}).", "run bizspan doctor again; read the collector's log")


def _unconnected(check: str, target: Target, found: Outcome, where: str, timeout_s: float) -> Finding:
    if found.problem == "refused":
        said = f"{where} refuses connections: nothing listens there."
        if target.is_default:
            return red(
                check, f"{said} (no endpoint is set, this is the default)", f"export {target.variable}=http://HOST:PORT"
            )
        return red(check, said, f"start the collector, or export {target.variable}={_like(target, 'HOST')}")
    if found.problem == "timeout":
        return red(
            check,
            f"{where} swallows connections: no answer within {timeout_s:g} s.",
            f"let the firewall pass it, or export {target.variable}={_like(target, 'HOST')}",
        )
    return red(check, f"{where} is not reachable from here.", f"export {target.variable}={_like(target, 'HOST')}")


def _untrusted(check: str, target: Target, found: Outcome, where: str) -> Finding:
    ca = "export OTEL_EXPORTER_OTLP_CERTIFICATE=/path/to/ca.pem"
    if found.ca_variable:
        ca = f"add its authority to the file of {found.ca_variable}, or unset that and {ca}"
    said, step = {
        "expired": ("has expired", "renew the server's certificate"),
        "not_yet_valid": ("is not valid yet", "check both clocks; renew the server's certificate"),
        "self_signed": ("is self-signed", ca),
        "hostname": ("is for another name", f"export {target.variable}=https://NAME-IN-THE-CERTIFICATE"),
        "untrusted": ("comes from an authority that is not trusted here", ca),
    }.get(found.problem, ("", ""))
    if said:
        return red(check, f"the TLS certificate of {where} {said}.", step)
    if found.problem == "plain":
        step = f"export {target.variable}={_like(target, _host(target), 'http')}"
        return red(check, f"{where} does not speak TLS.", step)
    if found.problem == "files":
        return red(
            check,
            "the certificate files cannot be read.",
            "check OTEL_EXPORTER_OTLP_CERTIFICATE and the client's files",
        )
    if found.problem == "timeout":
        return red(
            check, f"{where} accepts the connection and never answers the TLS handshake.", _variable_step(target)
        )
    return red(
        check, f"the TLS handshake with {where} fails.", "read the server's log; it may want a client certificate"
    )


def _misunderstood(check: str, target: Target, found: Outcome, where: str, timeout_s: float) -> Finding:
    speaks = found.problem
    own = f"OTEL_EXPORTER_OTLP_{target.signal.upper()}_PROTOCOL" if target.is_own else "OTEL_EXPORTER_OTLP_PROTOCOL"
    if target.protocol == GRPC and speaks == "http1":
        return red(check, f"{where} speaks HTTP/1, and the protocol is grpc.", f"export {own}=http/protobuf")
    if target.protocol != GRPC and speaks == "http2":
        http = _like(target, _host(target), port=4318) + (f"/v1/{target.signal}" if target.is_own else "")
        return red(
            check, f"{where} is a gRPC port, and the protocol is {target.protocol}.",
            f"export {own}=grpc (needs bizspan[grpc]), or export {target.variable}={http}",
        )  # fmt: skip
    if speaks == "tls":
        step = f"export {target.variable}={_like(target, _host(target), 'https')}"
        return red(check, f"{where} wants TLS.", step)
    if speaks == "timeout":
        return red(
            check, f"{where} accepts the connection and answers nothing within {timeout_s:g} s.", _variable_step(target)
        )
    if speaks == "nothing":
        return red(check, f"{where} hangs up without an answer.", "read the collector's log")
    step = "run bizspan doctor again; read the collector's log"
    if target.protocol == GRPC and found.grpc_code == "UNAVAILABLE":
        return red(check, f"{where} answered UNAVAILABLE: it, or what stands behind it, is down or overloaded.", step)
    what = found.grpc_code or found.error or f"nothing within {timeout_s:g} s"
    return red(check, f"{where} can be reached, and does not answer the canary ({what}).", step)


# --- next steps ---------------------------------------------------------------------------------------------------


def _host(target: Target) -> str:
    where = host_and_port(target.url, target.default_port)
    return where[0] if where else "HOST"


def _like(target: Target, host: str, scheme: str = "", port: int = 0) -> str:
    """The endpoint as it is written, with another host, scheme or port."""
    where = host_and_port(target.url, target.default_port)
    scheme = scheme or ("https" if target.uses_tls else "http")
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or (where[1] if where else 4318)}"


def _base(target: Target, location: str) -> str:
    """The endpoint that a redirect's URL stands for."""
    return location if target.is_own else location.removesuffix(f"/v1/{target.signal}")


def _variable_step(target: Target) -> str:
    port = 4317 if target.protocol == GRPC else 4318
    return f"export {target.variable}=http://HOST:{port}"


def _path_step(target: Target) -> str:
    if target.is_own:
        return f"export {target.variable}={_like(target, _host(target))}/v1/{target.signal}"
    return f"export {target.variable}=http://HOST:4318 (the receiver's base URL; /v1/... is added to it)"
