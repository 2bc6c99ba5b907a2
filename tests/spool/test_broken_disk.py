"""
Disks that are full, broken, read-only or gone, through the whole library: events are refused and counted, business code
sees nothing, and when the disk works again, so does the spool.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import bizspan
from _collector import Receiver
from bizspan import _guard
from bizspan._accounts import DISK_FULL, LOW_SPACE, SPOOL_ERROR
from bizspan.names import METRIC_SPOOL_DURABLE
from bizspan.spool import Spool
from bizspan.spool._files import Files
from tests.providers import log_exporter, reader

ROUND = 400  # events; more than one segment of the smallest spool holds
_FULL = {"create": errno.ENOSPC, "pwrite": errno.ENOSPC}
_CALLS = (
    "pwrite", "pread", "ftruncate", "fdatasync", "rename", "unlink", "lstat", "listdir", "fstat", "create", "open",
    "lock", "free_bytes", "sync_directory", "make_directory",
)  # fmt: skip
_CHANGES = ("pwrite", "create", "open", "rename", "unlink", "ftruncate", "make_directory")


class Broken(Files):
    """The real file system, but for the calls that were told to fail."""

    errors: dict[str, int] = {}  # noqa: RUF012 - of all processes' books

    def __init__(self) -> None:
        super().__init__()
        for name in _CALLS:
            setattr(self, name, self._failing(name, getattr(self, name)))

    def _failing(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            if name in Broken.errors:
                raise OSError(Broken.errors[name], "told to")
            return call(*arguments)

        return called


class Unsupported(Files):
    """A system without advisory locks."""

    is_supported = False


@pytest.fixture(autouse=True)
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A disk that can be told to fail, and that is looked at each time."""
    monkeypatch.setattr("bizspan.spool._book.Files", Broken)
    monkeypatch.setattr("bizspan.spool._directory._STALE_S", 0.0)
    monkeypatch.setattr("bizspan.spool._book.SCAN_S", 0.1)
    monkeypatch.setattr(Broken, "errors", {})
    _guard.forget_said()
    yield
    _guard.forget_said()


@contextmanager
def spooling(path: Path, receiver: Receiver) -> Generator[bizspan.Configuration]:
    """bizspan with a spool there, as small as one may be."""
    spool = Spool(path, max_bytes=1 << 20, min_free_bytes=0, endpoint=f"{receiver.http_endpoint}/v1/logs")
    configuration = bizspan.configure(export="none", service_name="shop", spool=spool)
    try:
        yield configuration
    finally:
        Broken.errors = {}
        configuration.shutdown()


def tell(times: int = ROUND) -> int:
    """Operations, as an application has them; how many."""
    for number in range(times):
        with bizspan.operation("order.place", plan="x" * 200) as operation:
            operation.revenue(f"{number}.00", "EUR")
    return times


def check(offered: int, *reasons: str) -> int:
    """The accounts close; how many events were acknowledged."""
    account = bizspan.diagnostics()
    assert offered == account.offered == account.acknowledged + sum(account.refused.values())
    assert set(account.refused) <= set(reasons)
    assert {} == account.swallowed
    spool = account.spool
    assert spool is not None
    settled = spool.delivered + spool.rejected_by_collector + spool.dead_lettered + spool.expired
    assert account.acknowledged + spool.adopted == settled + spool.pending
    return account.acknowledged


def arrived(receiver: Receiver) -> list[str]:
    """The uids of the events that came."""
    return [str(event["attributes"]["log.record.uid"]) for event in receiver.events("business.operation")]


def recovered(configuration: bizspan.Configuration, receiver: Receiver, offered: int, *reasons: str) -> None:
    """From now on everything is taken, and all that was ever taken arrives, once."""
    before = check(offered, *reasons)
    time.sleep(0.25)  # longer than between two attempts to begin a segment
    offered += tell()
    assert before + ROUND == check(offered, *reasons)
    assert configuration.force_flush(10.0)
    assert receiver.wait_for(lambda receiver: len(arrived(receiver)) >= before + ROUND)
    uids = arrived(receiver)
    assert before + ROUND == len(uids) == len(set(uids))
    spool = bizspan.diagnostics().spool
    assert spool is not None
    assert (0, before + ROUND) == (spool.pending, spool.delivered)


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        pytest.param(_FULL, DISK_FULL, id="disk full"),
        pytest.param({"create": errno.ENOSPC}, DISK_FULL, id="no inode left"),
        pytest.param({"pwrite": errno.EDQUOT}, DISK_FULL, id="over quota"),
        pytest.param({"pwrite": errno.EIO}, SPOOL_ERROR, id="EIO in writes"),
        pytest.param(dict.fromkeys(_CALLS, errno.EIO), SPOOL_ERROR, id="EIO everywhere"),
        pytest.param(dict.fromkeys(_CHANGES, errno.EROFS), SPOOL_ERROR, id="read-only"),
        pytest.param(
            dict.fromkeys(("create", "open", "rename", "unlink", "listdir", "lstat"), errno.EACCES),
            SPOOL_ERROR,
            id="permission taken",
        ),
    ],
)
@pytest.mark.parametrize("collector", ["accept", "unavailable"])
def test_a_disk_that_fails_refuses_and_recovers(
    tmp_path: Path, errors: dict[str, int], reason: str, collector: Any
) -> None:
    """
    Each event is refused or kept, nothing raises, and what was kept arrives once, whether or not it was sent before.
    """
    with Receiver(behaviour=collector) as receiver, spooling(tmp_path / "spool", receiver) as configuration:
        offered = tell(50)
        assert 50 == check(offered)
        Broken.errors = errors
        offered += tell(2 * ROUND)
        assert check(offered, reason) < offered
        Broken.errors = {}
        receiver.behaviour = "accept"
        recovered(configuration, receiver, offered, reason)


def test_a_directory_that_is_removed_is_made_again(tmp_path: Path) -> None:
    """
    What this process has open still arrives: the events are in the file although its name is gone.
    """
    with Receiver() as receiver, spooling(tmp_path / "spool", receiver) as configuration:
        offered = tell(50)
        shutil.rmtree(tmp_path / "spool")
        offered += tell(50)
        recovered(configuration, receiver, offered, SPOOL_ERROR)
        assert (tmp_path / "spool").is_dir()


def test_a_process_that_starts_on_a_full_disk_sends_what_waits_there(tmp_path: Path) -> None:
    """
    That is what makes room. Its own events are refused until there is some.
    """
    with Receiver(behaviour="unavailable") as receiver:
        with spooling(tmp_path / "spool", receiver):
            tell(50)
        receiver.behaviour = "accept"
        Broken.errors = _FULL
        with spooling(tmp_path / "spool", receiver) as configuration:
            assert receiver.wait_for(lambda receiver: 50 == len({*arrived(receiver)}), 10.0)
            offered = tell(10)
            assert 0 == check(offered, DISK_FULL)
            Broken.errors = {}
            time.sleep(0.25)
            assert 1 == check(offered + tell(1), DISK_FULL)
            assert configuration.force_flush(10.0)
            assert 51 == len(set(arrived(receiver)))


# --- a real file system that is small -----------------------------------------------------------------------------


@contextmanager
def mounted(path: Path, options: str) -> Generator[None]:
    """A memory file system of its own there; skips where this user can't have one."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"{options},mode=0700", "tmpfs", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip("this user can't mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts as Linux does")
@pytest.mark.parametrize("kind", ["bytes", "inodes", "read-only"])
def test_a_real_disk_that_is_full_or_read_only_refuses_and_recovers(tmp_path: Path, kind: str) -> None:
    """
    On a file system of 2 MiB or of 12 inodes that something else fills up, and one that is remounted read-only.
    """
    options = {"bytes": "size=2m", "inodes": "size=8m,nr_inodes=12", "read-only": "size=8m"}[kind]
    disk = tmp_path / "disk"
    reasons = (SPOOL_ERROR,) if kind == "read-only" else (DISK_FULL, LOW_SPACE)
    with (
        Receiver(behaviour="unavailable") as receiver,
        mounted(disk, options),
        spooling(disk / "spool", receiver) as configuration,
    ):
        offered = tell(50)
        if kind == "read-only":
            # A file that is open for writing keeps a file system from becoming read-only.
            subprocess.run(["umount", "-l", str(disk)], check=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(disk)], check=True)
        else:
            for number in range(12):
                with suppress(OSError):
                    (disk / f"other-{number}").write_bytes(bytes(180_000 if kind == "bytes" else 0))
        offered += tell(3 * ROUND)
        assert check(offered, *reasons) < offered
        receiver.behaviour = "accept"
        if kind == "read-only":
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        for other in disk.glob("other-*"):
            other.unlink()
        assert configuration.force_flush(10.0)
        recovered(configuration, receiver, offered, *reasons)


# --- no directory at all --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["EROFS", "EACCES", "a file", "unsupported"])
def test_without_a_writable_directory_events_wait_in_memory(
    tmp_path: Path, why: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Said once, `bizspan.spool.durable` is exported as 0, and events go out through the logger provider.
    """
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider

    if why == "a file":
        (tmp_path / "spool").write_text("x")
    elif why == "unsupported":
        monkeypatch.setattr("bizspan.spool._book.Files", Unsupported)
    else:
        Broken.errors = dict.fromkeys(("create", "make_directory"), getattr(errno, why))
    logs, metrics, kept = LoggerProvider(), reader(), log_exporter()
    logs.add_log_record_processor(SimpleLogRecordProcessor(kept))
    with bizspan.configure(
        export="none",
        spool=Spool(tmp_path / "spool", endpoint="http://127.0.0.1:9/v1/logs"),
        logger_provider=logs,
        meter_provider=MeterProvider([metrics]),
    ) as configuration:
        tell(20)
        bizspan.event("order.packed")
        assert configuration.force_flush(5.0)

        assert 21 == len(kept.get_finished_logs())
        assert [("there is no spool" in said) for said in caplog.messages].count(True) == 1
        data = metrics.get_metrics_data()
        assert data is not None
        points = {m.name: m.data.data_points for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}
        assert [0] == [getattr(point, "value", None) for point in points[METRIC_SPOOL_DURABLE]]
        account = bizspan.diagnostics()
        assert (21, 21, {}, None) == (account.offered, account.handed_over, account.refused, account.spool)
    assert os.listdir(tmp_path) == (["spool"] if why == "a file" else [])
