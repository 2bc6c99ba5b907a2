"""
Whether endpoints are well-formed, and what stands in their way, before anything is sent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Final

from bizspan.doctor._finding import Finding, green, host_and_port, red, shown_url, yellow
from bizspan.doctor._settings import GRPC, HTTP, Target, bundle_variable

_USUAL_PORTS: Final = {4317: GRPC, 4318: HTTP}


def malformed(target: Target) -> Finding | None:
    """Why nothing can be sent to this endpoint; None when it can. Credentials in it are not repeated."""
    check, variable = f"endpoint.{target.signal}", target.variable
    example = f"export {variable}=http://HOST:{4317 if target.protocol == GRPC else 4318}"
    if target.protocol not in (HTTP, GRPC):
        return red(check, "its protocol is unknown.", "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")
    url = target.url
    if "@" in re.split(r"[/?#]", url.partition("://")[2] or url, maxsplit=1)[0]:
        return red(
            check,
            f"{variable} holds a user or a password; bizspan.configure() refuses it.",
            "put credentials into OTEL_EXPORTER_OTLP_HEADERS",
        )
    if url[:1] in "\"'" or any(character.isspace() for character in url):
        return red(check, f"{variable} holds a quote or a space.", example)
    scheme, separator, _ = url.partition("://")
    if target.protocol == HTTP and (not separator or scheme.lower() not in ("http", "https")):
        return red(check, f"{variable} has no scheme.", example)
    if target.protocol == GRPC and separator and scheme.lower() not in ("http", "https"):
        return red(check, f"{variable} has a scheme that is neither http nor https.", example)
    if host_and_port(url, 1) is None:
        return red(check, f"{variable} has no host, or a port that is no number up to 65535.", example)
    return _misplaced(check, target)


def _misplaced(check: str, target: Target) -> Finding | None:
    doubled = re.search(r"/v1/(traces|metrics|logs)/v1/", target.url)
    if doubled:
        return red(
            check,
            f"{target.variable} ends in /v1/{doubled[1]}, and the exporter adds /v1/{target.signal} to it.",
            f"export {target.variable}={shown_url(target.url.partition(doubled[0])[0])}",
        )
    return None


def remarks(target: Target) -> Iterator[Finding]:
    """What looks like a slip, although something can be sent."""
    check, url = f"endpoint-form.{target.signal}", target.url
    where = host_and_port(url, target.default_port)
    usual = _USUAL_PORTS.get(where[1]) if where else None
    if usual is not None and usual != target.protocol:
        own = f"OTEL_EXPORTER_OTLP_{target.signal.upper()}_PROTOCOL" if target.is_own else "OTEL_EXPORTER_OTLP_PROTOCOL"
        port = where[1] if where else 0
        yield yellow(
            check,
            f"port {port} is the usual one for {usual}, and the protocol is {target.protocol}.",
            f"export {own}={usual}, or change the port in {target.variable}",
        )
    if target.protocol == HTTP and target.is_own and not url.partition("://")[2].partition("/")[2]:
        yield yellow(
            check,
            f"{target.variable} is the whole URL of one signal, and has no path.",
            f"export {target.variable}={shown_url(url).removesuffix('/')}/v1/{target.signal}",
        )
    if target.protocol == GRPC and "://" not in url and target.uses_tls:
        yield yellow(
            check,
            f"{target.variable} has no scheme: gRPC uses TLS then.",
            f"export {target.variable}=http://{shown_url(url)} for plain text, https:// for TLS",
        )


def check_files(environment: Mapping[str, str], targets: list[Target]) -> Iterator[Finding]:
    """Whether the certificate files are there, and are the ones that are used."""
    bundle = bundle_variable(environment)
    if bundle and any(target.ca_file and target.protocol == HTTP for target in targets):
        yield yellow(
            "tls-files",
            f"{bundle} is set; over HTTP, newer exporters use it instead of OTEL_EXPORTER_OTLP_CERTIFICATE.",
            f"unset {bundle}, or add the authority to its file",
        )
    for kind in ("ca_file", "client_certificate", "client_key"):
        name = {"ca_file": "CERTIFICATE"}.get(kind, kind.upper())
        for path in sorted({str(getattr(target, kind)) for target in targets} - {""}):
            if not os.access(path, os.R_OK) or not os.path.isfile(path):
                variable = f"OTEL_EXPORTER_OTLP_{name}"
                yield red(
                    "tls-files", f"{variable} names a file that cannot be read.", f"export {variable}=/path/to/file.pem"
                )


def proxy_of(environment: Mapping[str, str], target: Target) -> str:
    """
    The proxy that this target's requests would go through, as it may be shown; empty when there is none.
    """
    where = host_and_port(target.url, target.default_port)
    if where is None:
        return ""
    scheme = "https" if target.uses_tls else "http"
    proxies = {name.lower()[:-6]: value for name, value in environment.items() if name.lower().endswith("_proxy")}
    # A lower-case name wins over an upper-case one, as in urllib and requests.
    proxies |= {name[:-6]: value for name, value in environment.items() if name.endswith("_proxy")}
    names = ["grpc", "https", "http"] if target.protocol == GRPC else [scheme, "all"]
    proxy = next((proxies[name] for name in names if proxies.get(name)), "")
    no_proxy = proxies.get("no_grpc") if target.protocol == GRPC and proxies.get("no_grpc") else proxies.get("no", "")
    return shown_url(proxy) if proxy and not _is_bypassed(*where, no_proxy or "") else ""


def _is_bypassed(host: str, port: int, no_proxy: str) -> bool:
    """Whether ``no_proxy`` has this host: as itself, as the end of it, with its port, or as ``*``."""
    for name in (part.strip().lower().lstrip(".") for part in no_proxy.split(",")):
        if name == "*" or (
            name and any(each == name or each.endswith(f".{name}") for each in (host, f"{host}:{port}"))
        ):
            return True
    return False


def check_proxies(environment: Mapping[str, str], targets: list[Target]) -> Iterator[Finding]:
    """Proxies that catch an endpoint."""
    found = dict.fromkeys((proxy_of(environment, target), _host(target)) for target in targets)
    caught = [(proxy, host) for proxy, host in found if proxy]
    for proxy, host in caught:
        yield yellow("proxy", f"requests to {host} go through the proxy {proxy}.", f"export NO_PROXY={host}")
    if not caught and targets:
        yield green("proxy", "no proxy catches the endpoints")


def _host(target: Target) -> str:
    where = host_and_port(target.url, target.default_port)
    return where[0] if where else ""
