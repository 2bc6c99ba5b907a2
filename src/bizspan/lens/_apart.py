"""
A process of its own that decodes requests: the interpreter of the one that stores and answers is free for that.

It reads requests from its standard input and answers on its standard output, one after the other, and ends when its
input does. A request that brings it down is answered as not stored, and the next one finds a new process.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal as signals
import subprocess
import sys
import threading
from struct import Struct
from typing import IO, Final

from bizspan.lens._decoding import Decoder, Encoding, Signal
from bizspan.lens._interpreter import serving
from bizspan.lens._logs import Damaged
from bizspan.lens._prepared import Prepared
from bizspan.lens._records import TooMany
from bizspan.lens._store import StoreError

_SIGNALS: Final[tuple[Signal, ...]] = ("logs", "traces", "metrics")
_ENCODINGS: Final[tuple[Encoding, ...]] = ("protobuf", "json")
_REQUEST: Final = Struct("<BBQQ")  # signal, encoding, when it came, bytes that follow
_REPLY: Final = Struct("<Q")  # bytes that follow: a pickle of what is prepared, or of why it is not
_READY: Final = b"ready"
_PIPE_BYTES: Final = 1 << 20  # so that a request fits, and is written without waiting; 64 KiB by default


class Apart:
    """
    The process, from the side of whoever has requests. It is started at once, and is ready a moment later.
    """

    def __init__(self) -> None:
        self._sending, self._receiving = threading.Lock(), threading.Lock()
        self._is_closed = False
        self._is_ready = False
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    @property
    def pid(self) -> int:
        """Of the process; 0 where there is none."""
        return 0 if self._process is None else self._process.pid

    def is_ready(self) -> bool:
        """Whether there is a process; where none can be started, its work is to be done here."""
        with self._sending:
            if self._process is None:
                self._start()
            if self._process is not None and not self._is_ready:
                self._is_ready = _read(self._process, len(_READY)) == _READY
                if not self._is_ready:
                    self._gone(self._process)
                    self._is_closed = True
            return self._is_ready

    def prepared(self, signal: Signal, encoding: Encoding, data: bytes, received_ns: int) -> Prepared:
        """
        What a request brings; see `Decoder.prepared`.

        Raises:
            Damaged: It is no such request.
            TooMany: It has more records than are taken at once.
            StoreError: The process ended over it.
        """
        head = _REQUEST.pack(_SIGNALS.index(signal), _ENCODINGS.index(encoding), received_ns, len(data))
        reply = self._reply(head, data)
        if reply is None:
            raise StoreError("the process that decodes requests has ended")
        told: Prepared | Exception = pickle.loads(reply)  # by our own process, and nobody else's
        if isinstance(told, Exception):
            raise told
        return told

    def _reply(self, head: bytes, data: bytes) -> bytes | None:
        """What the process answers; nothing where it ended. Meanwhile the next request may be on its way already."""
        with self._sending:
            process = self._process
            if process is None:
                return None
            if not _is_written(process, head, data):
                self._gone(process)
                return None
            self._receiving.acquire()  # answers come in the order of requests
        try:
            size = _read(process, _REPLY.size)
            reply = _read(process, *_REPLY.unpack(size)) if size else None
        finally:
            self._receiving.release()
        if reply is None:
            self._gone(process)
        return reply

    def _start(self) -> None:
        if not self._is_closed:
            self._is_ready = False
            self._process = _started()

    def _gone(self, process: subprocess.Popen[bytes]) -> None:
        _end(process)
        if self._process is process:
            self._process, self._is_ready = None, False

    def close(self) -> None:
        """End the process; what it has not answered is not stored."""
        self._is_closed = True
        if self._process is not None:
            self._gone(self._process)


def _started() -> subprocess.Popen[bytes] | None:
    # -P: a file of the working directory is no module. What this process finds, that one finds.
    command = [sys.executable, "-P", "-c", f"from {__name__} import main; main()"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for size in (_PIPE_BYTES, -1):  # not every user may have so large a pipe
        with contextlib.suppress(OSError):
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, pipesize=size
            )
    return None


def _is_written(process: subprocess.Popen[bytes], *parts: bytes) -> bool:
    assert process.stdin is not None
    try:
        for part in parts:
            process.stdin.write(part)
        process.stdin.flush()
    except (OSError, ValueError):  # nobody reads it, or it is closed
        return False
    return True


def _read(process: subprocess.Popen[bytes], size: int) -> bytes | None:
    """So many bytes; nothing where the process ended before."""
    assert process.stdout is not None
    try:
        data = process.stdout.read(size)
    except (OSError, ValueError):
        return None
    return data if len(data) == size else None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # what could not be written
            if pipe is not None:
                pipe.close()


# --- in the process ---------------------------------------------------------------------------------------------------


def main() -> None:
    """Answer requests until there are no more."""
    for number in (signals.SIGINT, signals.SIGTERM):  # meant for who started it, and ends this one by ending
        signals.signal(number, signals.SIG_IGN)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    decoder = Decoder()
    with serving(), contextlib.suppress(BrokenPipeError):
        _tell(sink, _READY)
        while head := source.read(_REQUEST.size):
            signal: int
            encoding: int
            signal, encoding, received_ns, size = _REQUEST.unpack(head)
            data = source.read(size)
            if len(data) != size:
                return
            reply = pickle.dumps(_answer(decoder, _SIGNALS[signal], _ENCODINGS[encoding], data, received_ns), 5)
            _tell(sink, _REPLY.pack(len(reply)) + reply)


def _answer(
    decoder: Decoder, signal: Signal, encoding: Encoding, data: bytes, received_ns: int
) -> Prepared | Exception:
    try:
        return decoder.prepared(signal, encoding, data, received_ns)
    except (Damaged, TooMany) as why:
        return why
    except Exception as error:
        return RuntimeError(f"{type(error).__name__} while decoding")


def _tell(sink: IO[bytes], data: bytes) -> None:
    sink.write(data)
    sink.flush()
