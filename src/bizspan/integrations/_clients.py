"""
Clients that carry facts to other services: requests, httpx, aiohttp, urllib3 and gRPC.

The header is written where a client hands one request to one connection. There the destination is the client's own, not
a span's attribute (which an unsampled span has not), each redirect and each attempt comes by, and what OpenTelemetry's
instrumentation wrote is there already, in whichever order the two were set up. Headers that the application keeps stay
as they are, so that a client that copies them for a redirect copies nothing of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit

import wrapt

from bizspan import _baggage, _guard
from bizspan._baggage import HEADER, carried, keep_out_of_logs

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
# Of the client's object, its positional and its named arguments, what is handed on instead.
Change = Callable[[Any, tuple[Any, ...], dict[str, Any]], Arguments]

_installed: set[str] = set()


def install() -> None:
    """Stand in the clients that are imported, and in the others when they are. Once; `_baggage.hosts` switches it."""
    keep_out_of_logs()
    for module, stand_in in _CLIENTS.items():
        if module not in _installed:
            _installed.add(module)
            wrapt.register_post_import_hook(partial(_imported, stand_in=stand_in), module)


def _imported(module: Any, *, stand_in: Callable[[Any], None]) -> None:
    try:
        stand_in(module)
    except Exception:  # a version that looks different; an error here would be one of the application's import
        name = module.__name__
        _guard.say_once(f"baggage: {name}", f"bizspan: {name} is of no known version; no facts travel with it.")


def _stand(kind: Any, name: str, change: Change) -> None:
    """Have this method take what `change` makes of its arguments."""

    def standing(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        args, options = _changed(change, instance, args, options)
        return wrapped(*args, **options)  # of an asynchronous client, for its caller to await

    wrapt.wrap_function_wrapper(kind, name, standing)


def _changed(change: Change, instance: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Arguments:
    if _baggage.hosts is not None:
        try:
            return change(instance, args, options)
        except Exception as error:
            _guard.swallowed("sending facts to another service", error)
    return args, options


def _argument(args: tuple[Any, ...], options: Mapping[str, Any], at: int, name: str) -> Any:
    return args[at] if len(args) > at else options.get(name)


def _replaced(args: tuple[Any, ...], options: dict[str, Any], at: int, name: str, value: object) -> Arguments:
    if len(args) > at:
        return (*args[:at], value, *args[at + 1 :]), options
    return args, {**options, name: value}


def _text(part: object) -> str:
    return part.decode("latin-1") if isinstance(part, bytes) else str(part)


def _is_header(name: object) -> bool:
    return _text(name).lower() == HEADER


# --- urllib3, and requests on top of it -------------------------------------------------------------------------------


def _stand_in_urllib3(module: Any) -> None:
    _stand(module.HTTPConnection, "request", _urllib3_request)
    if hasattr(module.HTTPConnection, "request_chunked"):  # urllib3 1 sends a body of unknown length by it
        _stand(module.HTTPConnection, "request_chunked", _urllib3_request)


def _urllib3_request(connection: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Arguments:
    # (method, url, body, headers)
    headers = _argument(args, options, 3, "headers")
    found: list[tuple[object, object]] = [] if headers is None else list(headers.items())
    present = [_text(value) for name, value in found if _is_header(name)]
    header = carried(present, _urllib3_hosts(connection, _text(_argument(args, options, 1, "url"))))
    if header is None:
        return args, options
    changed: Any = {} if headers is None else headers.copy()
    for name in {name for name, _ in found if _is_header(name)}:
        changed.pop(name, None)
    if header:
        changed[HEADER] = header
    return _replaced(args, options, 3, "headers", changed)


def _urllib3_hosts(connection: Any, url: str) -> Iterator[object]:
    is_whole = not url.startswith("/") and "://" in url
    if is_whole:
        yield urlsplit(url).hostname
    if not is_whole or getattr(connection, "proxy", None) is None:
        # Inside a tunnel, `host` is the proxy's.
        yield getattr(connection, "_tunnel_host", None) or connection.host


# --- httpx ------------------------------------------------------------------------------------------------------------


def _stand_in_httpcore(module: Any) -> None:
    _stand(module.ConnectionPool, "handle_request", _httpcore_request)
    _stand(module.AsyncConnectionPool, "handle_async_request", _httpcore_request)


def _httpcore_request(pool: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Arguments:
    request = _argument(args, options, 0, "request")  # made of httpx's for this one hop
    headers: list[tuple[bytes, bytes]] = request.headers
    header = carried([_text(value) for name, value in headers if _is_header(name)], [_text(request.url.host)])
    if header is not None:
        kept = [(name, value) for name, value in headers if not _is_header(name)]
        request.headers = [*kept, (HEADER.encode(), header.encode("latin-1"))] if header else kept
    return args, options


# --- aiohttp ----------------------------------------------------------------------------------------------------------


def _stand_in_aiohttp(module: Any) -> None:
    _stand(module.ClientRequest, "send", _aiohttp_request)


def _aiohttp_request(request: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Arguments:
    headers: Any = request.headers  # its own, also on a redirect
    # CONNECT goes to a proxy, with the destination in its URL.
    header = carried(headers.getall(HEADER, ()), [] if request.method == "CONNECT" else [request.url.raw_host])
    if header is not None:
        headers.popall(HEADER, None)
        if header:
            headers[HEADER] = header
    return args, options


# --- gRPC -------------------------------------------------------------------------------------------------------------

# Each with the base class of its asynchronous interceptors.
_KINDS: Final = {
    "unary_unary": "UnaryUnaryClientInterceptor",
    "unary_stream": "UnaryStreamClientInterceptor",
    "stream_unary": "StreamUnaryClientInterceptor",
    "stream_stream": "StreamStreamClientInterceptor",
}


def hosts_of(target: object) -> list[str]:
    """
    The hosts of a gRPC target: ``host:port``, ``dns:///host:port``, ``ipv4:address:port,address:port``. What names a
    socket, or asks a resolver of somebody else's, is no host.
    """
    text = _text(target)
    scheme, _, rest = text.partition(":")
    if scheme.lower() in ("ipv4", "ipv6"):
        return [_without_port(address) for address in rest.split(",")]
    if scheme.lower() == "dns":
        return [_without_port(rest[2:].partition("/")[2] if rest.startswith("//") else rest)]
    return [_without_port(text)]


def _without_port(address: str) -> str:
    if address.startswith("[") or address.count(":") > 1:
        host, bracket, _ = address.partition("]")
        return host + bracket
    return address.partition(":")[0] if address.rpartition(":")[2].isdigit() else address


def _metadata(present: Any, hosts: Iterable[str]) -> list[tuple[Any, Any]] | None:
    """The metadata of one call; None where it can stay as it is."""
    entries: list[tuple[Any, Any]] = [] if present is None else list(present)
    header = carried([_text(value) for name, value in entries if _is_header(name)], hosts)
    if header is None:
        return None
    kept = [entry for entry in entries if not _is_header(entry[0])]
    return [*kept, (HEADER, header)] if header else kept


def _stand_in_grpc(module: Any) -> None:
    def method(wrapped: Callable[..., Any], channel: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        target: object = getattr(channel, "_target", None)
        return _Method(wrapped(*args, **options), () if target is None else hosts_of(target))

    for kind in _KINDS:
        wrapt.wrap_function_wrapper(module.Channel, kind, method)


class _Method:
    """
    One method of a service on one channel: gRPC's, with facts in the metadata of its calls.

    Args:
        method: gRPC's.
        hosts: Of its channel.
    """

    def __init__(self, method: Any, hosts: Iterable[str]) -> None:
        self._method = method
        self._hosts = tuple(hosts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method, name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        args, options = _changed(self._change, None, args, options)
        return self._method(*args, **options)

    def with_call(self, *args: Any, **options: Any) -> Any:
        """See `grpc.UnaryUnaryMultiCallable`."""
        args, options = _changed(self._change, None, args, options)
        return self._method.with_call(*args, **options)

    def future(self, *args: Any, **options: Any) -> Any:
        """See `grpc.UnaryUnaryMultiCallable`."""
        args, options = _changed(self._change, None, args, options)
        return self._method.future(*args, **options)

    def _change(self, instance: object, args: tuple[Any, ...], options: dict[str, Any]) -> Arguments:
        # (request, timeout, metadata)
        changed = _metadata(_argument(args, options, 2, "metadata"), self._hosts)
        return (args, options) if changed is None else _replaced(args, options, 2, "metadata", tuple(changed))


def _stand_in_grpc_aio(module: Any) -> None:
    _stand(module.Channel, "__init__", _grpc_aio_channel)


def _grpc_aio_channel(channel: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Arguments:
    # (target, options, credentials, compression, interceptors), of which the last interceptor is the innermost
    hosts = hosts_of(_argument(args, options, 0, "target"))
    interceptors = [*(_argument(args, options, 4, "interceptors") or ()), *_interceptors(hosts)]
    return _replaced(args, options, 4, "interceptors", interceptors)


def _interceptors(hosts: list[str]) -> list[Any]:
    """One for each kind of call: gRPC takes an object for the first kind that it is."""
    aio: Any = import_module("grpc.aio")

    def change(instance: object, args: tuple[Any, ...], options: dict[str, Any]) -> Arguments:
        details = args[0]
        changed = _metadata(details.metadata, hosts)
        return args if changed is None else (details._replace(metadata=aio.Metadata(*changed)),), options

    async def intercept(_: Any, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        (details,), _options = _changed(change, None, (details,), {})
        return await continuation(details, request)

    return [type("Facts", (getattr(aio, base),), {f"intercept_{kind}": intercept})() for kind, base in _KINDS.items()]


_CLIENTS: Final[Mapping[str, Callable[[Any], None]]] = {
    "urllib3.connection": _stand_in_urllib3,
    "httpcore": _stand_in_httpcore,
    "httpcore2": _stand_in_httpcore,
    "aiohttp.client_reqrep": _stand_in_aiohttp,
    "grpc._channel": _stand_in_grpc,
    "grpc.aio._channel": _stand_in_grpc_aio,
}
