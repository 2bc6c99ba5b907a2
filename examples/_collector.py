"""
A real OpenTelemetry collector for the length of a block: `Rotel`, forwarding to a readable `Receiver`.

`rotel` is a native collector inside a Python wheel (`pip install rotel`), for Linux and macOS.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sysconfig
import tempfile
import time
import weakref
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import IO, Literal

from _receiver import Behaviour, Receiver

__all__ = ["Behaviour", "Receiver", "Rotel"]


class Rotel:
    """
    A running `rotel` collector on free loopback ports, from `with Rotel(...) as rotel:` until the block ends.

    Args:
        forward_to: Where it sends what it gets, for example `receiver.http_endpoint`.
        forward_protocol: How it sends that: "http" (default) or "grpc".
        start_timeout_s: Seconds until it must accept connections. Default: 5.
        stop_timeout_s: Seconds that it has for draining after SIGTERM before it is killed. Default: 3.
    """

    def __init__(
        self,
        forward_to: str,
        *,
        forward_protocol: Literal["http", "grpc"] = "http",
        start_timeout_s: float = 5.0,
        stop_timeout_s: float = 3.0,
    ) -> None:
        self._forward_to = forward_to
        self._forward_protocol = forward_protocol
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._grpc_port = 0
        self._http_port = 0

    @staticmethod
    def available() -> bool:
        """Say whether the native collector is installed for this interpreter, and runs here."""
        return Rotel.why_not() == ""

    @staticmethod
    def why_not() -> str:
        """Return the reason why it is not available, to show to a person; empty when it is."""
        return _why_not()

    @property
    def http_endpoint(self) -> str:
        """The base address for OTEL_EXPORTER_OTLP_ENDPOINT with http/protobuf."""
        return f"http://127.0.0.1:{self._http_port}"

    @property
    def grpc_endpoint(self) -> str:
        """The address for OTEL_EXPORTER_OTLP_ENDPOINT with grpc."""
        return f"http://127.0.0.1:{self._grpc_port}"

    def __enter__(self) -> Rotel:
        """
        Start the collector and wait until it accepts connections.

        Raises:
            RuntimeError: It is not available, or it did not come up in time; the message holds what it said.
        """
        if reason := self.why_not():
            raise RuntimeError(f"{reason}; send to the Receiver itself instead.")
        deadline = time.monotonic() + self._start_timeout_s
        said = ""
        # A port that was free may be taken a moment later, and rotel cannot choose one: it panics on port 0.
        for _ in range(3):
            try:
                if self._accepts(self._start(), deadline):
                    return self
                said = self.log()
            except BaseException:
                self.stop()
                raise
            self.stop()
        raise RuntimeError(f"rotel did not accept within {self._start_timeout_s} s. It said:\n{said}")

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send SIGTERM, on which it drains, wait for its end, and kill it after `stop_timeout_s`."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(self._stop_timeout_s)
            except subprocess.TimeoutExpired:
                pass
            finally:  # also on Ctrl-C; on a process that has ended, kill does nothing
                process.kill()
                process.wait()
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def log(self) -> str:
        """Return what it has written to stdout and stderr so far; empty when it is not running."""
        if self._log is None:
            return ""
        # A position of its own: the file's offset is shared with the process that is writing.
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode("utf-8", "replace")

    def _start(self) -> subprocess.Popen[bytes]:
        self._grpc_port, self._http_port = _free_ports(2)
        # Short times, so that a flush is seen at once and a failing first try is not a wait of 5 s. A large
        # batch, because rotel answers 200 to a request of more than twice as many records and drops them all.
        options = {
            "--otlp-grpc-endpoint": f"127.0.0.1:{self._grpc_port}",
            "--otlp-http-endpoint": f"127.0.0.1:{self._http_port}",
            "--otlp-grpc-max-recv-msg-size-mib": "64",
            "--batch-timeout": "20ms",
            "--batch-max-size": "100000",
            "--exporter": "otlp",
            "--otlp-exporter-protocol": self._forward_protocol,
            "--otlp-exporter-endpoint": self._forward_to,
            "--otlp-exporter-request-timeout": "2s",
            "--otlp-exporter-retry-initial-backoff": "50ms",
            "--otlp-exporter-retry-max-backoff": "500ms",
        }
        arguments = [word for option in options.items() for word in option]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - stop() closes it
        self._process = subprocess.Popen(
            [str(_binary()), "start", *arguments],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        # For a caller without a with block: at exit it is gone, too.
        weakref.finalize(self, self._process.kill)
        return self._process

    def _accepts(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        for port in (self._grpc_port, self._http_port):
            while process.poll() is None:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        return False
                    time.sleep(0.005)  # nothing to wait on: a port does not tell when it opens
        return process.poll() is None


def _binary() -> Path | None:
    spec = importlib.util.find_spec("rotel")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).with_name("rotel-agent")


def _environment() -> dict[str, str]:
    # Nothing of the person's shell, where ROTEL_* would change what is tested. And rotel needs libpython,
    # which the loader does not find beside an interpreter that lives outside the system's folders.
    folder = str(sysconfig.get_config_var("LIBDIR") or "")
    return {"LD_LIBRARY_PATH": folder, "DYLD_LIBRARY_PATH": folder}


@cache
def _why_not() -> str:
    binary = _binary()
    if binary is None or not os.access(binary, os.X_OK):
        return "rotel is not installed here (pip install rotel)"
    command = [str(binary), "--version"]
    try:
        subprocess.run(command, env=_environment(), capture_output=True, text=True, check=True, timeout=10)
    except subprocess.CalledProcessError as error:
        return f"rotel does not run here: {str(error.stderr).strip()}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"rotel does not run here: {error}"
    return ""


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
