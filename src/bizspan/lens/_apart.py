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
_REPLY_MOST: Final = 1 << 32
_READY: Final = os.fsencode(__file__)  # the first reply: another bizspan would have other rows
_PIPE_BYTES: Final = 1 << 20  # so that most requests are written without waiting; 64 KiB by default
_STARTS_MOST: Final = 3  # in a row that fail


class Apart:
    """
    The process, from the side of whoever has requests. It is started at once, and is ready a moment later.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._is_closed = False
        self._is_ready = False
        self._failed = 0  # starts in a row
        self._process = _started()

    @property
    def pid(self) -> int:
        """Of the process; 0 where there is none."""
        process = self._process
        return 0 if process is None else process.pid

    def prepared(self, signal: Signal, encoding: Encoding, data: bytes, received_ns: int) -> Prepared | None:
        """
        What a request brings; see `Decoder.prepared`. None where there is no process, and none can be started.

        Raises:
            Damaged: It is no such request.
            TooMany: It has more records than are taken at once.
            StoreError: The process ended over it.
            RuntimeError: What nobody expects happened there.
        """
        head = _REQUEST.pack(_SIGNALS.index(signal), _ENCODINGS.index(encoding), received_ns, len(data))
        with self._turn:
            process = self._ready()
            if process is None:
                return None
            try:
                reply = _read_reply(process) if _is_written(process, head, data) else None
            except BaseException:
                self._end()  # or the next request would be given this one's reply
                raise
            if reply is None:
                self._end()
        if reply is None:
            raise StoreError("the process that decodes requests has ended")
        told: Prepared | Exception = pickle.loads(reply)  # by our own process, and nobody else's
        if isinstance(told, Exception):
            raise told
        return told

    def is_ready(self) -> bool:
        """Whether there is a process that decodes; waits until it has started."""
        with self._turn:
            return self._ready() is not None

    def _ready(self) -> subprocess.Popen[bytes] | None:
        if self._process is not None and self._process.poll() is not None and self._is_ready:
            self._end()  # it ended between two requests
        if self._is_ready or self._is_closed or self._failed == _STARTS_MOST:
            return self._process
        process = self._process = self._process or _started()
        self._is_ready = process is not None and _read_reply(process) == _READY
        if self._is_ready:
            self._failed = 0
            return process
        self._end()
        self._failed += 1
        if self._failed == _STARTS_MOST and not self._is_closed:
            print("bizspan lens: no second process can be started; this one decodes all requests", file=sys.stderr)
        return None

    def _end(self) -> None:
        if self._process is not None:
            _ended(self._process)
        self._process, self._is_ready = None, False

    def close(self) -> None:
        """End the process; what it has not answered is not stored."""
        self._is_closed = True
        process = self._process
        if process is not None:
            process.kill()  # whoever waits for it waits no longer
        with self._turn:
            self._end()


def _started() -> subprocess.Popen[bytes] | None:
    if not sys.executable or getattr(sys, "frozen", False):
        return None  # a program of its own would start itself
    # -P: a file of the working directory is no module. What this process finds, that one finds.
    command = [sys.executable, "-P", "-c", f"from {__name__} import main; main()"]
    paths: list[object] = [*sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path and type(path) is str)}
    for size in (_PIPE_BYTES, -1):  # not every user may have so large a pipe
        with contextlib.suppress(OSError, ValueError):
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
    except OSError:  # nobody reads it
        return False
    return True


def _read_reply(process: subprocess.Popen[bytes]) -> bytes | None:
    """The next reply; nothing where the process ended before, or writes what is none."""
    head = _read(process, _REPLY.size)
    if head is None:
        return None
    (size,) = _REPLY.unpack(head)
    return _read(process, size) if size < _REPLY_MOST else None


def _read(process: subprocess.Popen[bytes], size: int) -> bytes | None:
    assert process.stdout is not None
    data = process.stdout.read(size)
    return data if len(data) == size else None


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # what could not be written
            if pipe is not None:
                pipe.close()


# --- in the process ---------------------------------------------------------------------------------------------------


def main() -> None:
    """Answer requests until there are no more."""
    sink = _own_output()
    for number in (signals.SIGINT, signals.SIGTERM):  # meant for who started it, and ends this one by ending
        signals.signal(number, signals.SIG_IGN)
    source = sys.stdin.buffer
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
            _tell(sink, _answer(decoder, _SIGNALS[signal], _ENCODINGS[encoding], data, received_ns))
            del data


def _own_output() -> IO[bytes]:
    """The standard output, which from now on is the standard error stream: who prints is not in the way."""
    sink = os.fdopen(os.dup(1), "wb")
    try:
        os.dup2(2, 1)
    except OSError:  # there is none
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return sink


def _answer(decoder: Decoder, signal: Signal, encoding: Encoding, data: bytes, received_ns: int) -> bytes:
    told: Prepared | Exception
    try:
        told = decoder.prepared(signal, encoding, data, received_ns)
    except (Damaged, TooMany) as why:
        told = why
    except Exception as error:
        what = f"{type(error).__name__} while decoding"
        print(f"bizspan lens: {what}", file=sys.stderr)
        told = RuntimeError(what)
    return pickle.dumps(told, pickle.HIGHEST_PROTOCOL)


def _tell(sink: IO[bytes], reply: bytes) -> None:
    sink.write(_REPLY.pack(len(reply)))
    sink.write(reply)
    sink.flush()
