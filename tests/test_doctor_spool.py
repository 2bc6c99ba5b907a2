"""`bizspan doctor`: a spool's directory, what waits in it, and its endpoint."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import bizspan
from bizspan.doctor import Request, examine
from bizspan.doctor._spool import SpoolSettings, check_spool, file_system_of
from bizspan.spool._files import Files
from tests.child import environment
from tests.doctor_set_up import look
from tests.spool.receiving import collector, until

if not Files.is_supported:
    pytest.skip("no spool on this system", allow_module_level=True)


def levels(path: Path, **options: int) -> dict[str, str]:
    """Check and worst level; no endpoint is tried."""
    settings = SpoolSettings(str(path), **{"max_bytes": 1 << 20, "min_free_bytes": 0, **options})
    order = ("green", "yellow", "red")
    found = sorted(check_spool(settings, {}, None), key=lambda each: order.index(each.level))
    assert [] == [each for each in found if each.level != "green" and not each.next_step]
    return {each.check: each.level for each in found}


def test_without_a_spool_nothing_is_said() -> None:
    """
    Nothing about it is wrong then.
    """
    assert [] == [check for check in look() if check.startswith("spool")]


def test_a_spool_of_the_environment_is_checked(tmp_path: Path) -> None:
    """
    The directory is not made by that; its variables are known ones.
    """
    found = look(
        BIZSPAN_SPOOL_DIR=str(tmp_path / "a" / "spool"), BIZSPAN_SPOOL_ENDPOINT="http://collector:4318/v1/logs"
    )

    assert ("green", True) == (found["spool"].level, "will be made" in found["spool"].text)
    assert ("yellow", "http://collector:4318 was not tried (--no-canary).") == (
        found["spool.endpoint"].level, found["spool.endpoint"].text
    )  # fmt: skip
    assert {"spool", "spool.space", "spool.endpoint"} <= found.keys()
    assert "variable" not in found
    assert [] == list(tmp_path.iterdir())


def test_a_spool_of_the_file_is_checked(tmp_path: Path) -> None:
    """
    With its options.
    """
    config = tmp_path / "bizspan.toml"
    config.write_text(f'[spool]\ndirectory = "{tmp_path / "spool"}"\nmin_free_bytes = {1 << 60}\n')

    found = look(config)

    assert ("green", "red") == (found["spool"].level, found["spool.space"].level), found["config"]


def nothing(path: Path) -> None:
    pass


def a_file(path: Path) -> None:
    path.write_text("")


def made(path: Path) -> None:
    path.mkdir(0o700)


def open_to_others(path: Path) -> None:
    path.mkdir()
    path.chmod(0o755)


def with_more(path: Path) -> None:
    open_to_others(path)
    (path / "notes.txt").write_text("")


def a_link(path: Path) -> None:
    made(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("make", "level"),
    [
        (nothing, "green"),
        (made, "green"),
        (open_to_others, "yellow"),
        (with_more, "red"),
        (a_link, "red"),
        (a_file, "red"),
    ],
    ids=["missing", "its own", "open", "open, with more", "a link", "a file"],
)
def test_a_directory_is_judged(tmp_path: Path, make: Callable[[Path], object], level: str) -> None:
    """
    As the spool itself would judge it at its start.
    """
    make(tmp_path / "spool")

    assert level == levels(tmp_path / "spool")["spool"]


def test_a_directory_of_another_user_is_red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The spool would not use it.
    """
    made(tmp_path / "spool")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)

    assert "red" == levels(tmp_path / "spool")["spool"]


def test_below_a_file_nothing_can_be_made(tmp_path: Path) -> None:
    """
    Nor where the directory above can't be written.
    """
    (tmp_path / "file").write_text("")

    assert "red" == levels(tmp_path / "file" / "spool")["spool"]


@pytest.mark.parametrize(
    ("options", "level"),
    [({}, "green"), ({"max_bytes": 1 << 60}, "yellow"), ({"min_free_bytes": 1 << 60}, "red")],
    ids=str,
)
def test_free_space_is_held_against_the_floor(tmp_path: Path, options: dict[str, int], level: str) -> None:
    """
    Red where every event would be refused, yellow where the spool can't become as large as it may.
    """
    assert level == levels(tmp_path / "spool", **options)["spool.space"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/spool", "ext4"), ("/data", "ext4"), ("/database", "overlay"), ("/mnt/a b/c", "nfs4"),
        ("/tmp/x", "tmpfs"),
    ],
)  # fmt: skip
def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path, path: str, kind: str) -> None:
    """
    By the system's own table.
    """
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 0:1 / / rw - overlay overlay rw\n"
        "2 1 8:1 / /data rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "3 1 0:2 / /mnt/a\\040b rw - nfs4 server:/x rw\n"
        "4 1 0:3 / /tmp rw - ext4 /dev/sda2 rw\n"
        "5 1 0:3 / /tmp rw - tmpfs tmpfs rw\n"
    )

    assert kind == file_system_of(path, mounts)
    assert "" == file_system_of(path, tmp_path / "gone")


@pytest.mark.parametrize(
    ("kind", "level"),
    [("ext4", "green"), ("nfs4", "yellow"), ("fuse.sshfs", "yellow"), ("tmpfs", "yellow"), ("overlay", "yellow"),
     ("", None)],
)  # fmt: skip
def test_a_file_system_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, level: str | None) -> None:
    """
    Yellow over a network, in memory, and in a container's own layer.
    """

    def told(path: str) -> str:
        return kind

    monkeypatch.setattr("bizspan.doctor._spool.file_system_of", told)

    assert level == levels(tmp_path / "spool").get("spool.file-system")


def test_what_waits_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of a process that lives: green, until the oldest waits for minutes. Of one that is gone, and dead letters: yellow.
    """
    path = tmp_path / "spool"
    with collector() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.endpoint)
        running.status = 503
        with bizspan.configure(export="none", spool=path) as telemetry:
            bizspan.event("sale")
            living = levels(path)["spool.waiting"]
            now = time.time()
            monkeypatch.setattr(time, "time", lambda: now + 400)
            late = levels(path)["spool.waiting"]
            monkeypatch.undo()
            telemetry.shutdown(0.1)
        left = levels(path)["spool.waiting"]
        running.status = 400
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.endpoint)
        with bizspan.configure(export="none", spool=path):
            assert until(lambda: (spool := bizspan.diagnostics().spool) is not None and spool.dead_lettered == 1)
    settings = SpoolSettings(str(path), 1 << 20, 0)
    dead = [each for each in check_spool(settings, {}, None) if each.check == "spool.waiting"]

    assert ("green", "yellow", "yellow") == (living, late, left)
    assert [("green", "nothing waits"), ("yellow", "a collector refused 1 events (400): they are dead letters.")] == [
        (each.level, each.text) for each in dead
    ]
    assert f"bizspan spool retry {path}" in dead[1].next_step


@pytest.mark.once
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "export BIZSPAN_SPOOL_ENDPOINT=http://HOST:4318/v1/logs"),
        ({"BIZSPAN_SPOOL_ENDPOINT": "http://collector:4318"}, "export BIZSPAN_SPOOL_ENDPOINT=http://HOST:4318/v1/logs"),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, "correct the variable that it names"),
    ],
    ids=str,
)
def test_an_endpoint_that_the_spool_cannot_use_is_red(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    """
    gRPC without an endpoint of the spool's own above all: the application would not start.
    """
    found = look(BIZSPAN_SPOOL_DIR=str(tmp_path / "spool"), **variables)["spool.endpoint"]

    assert ("red", said) == (found.level, found.next_step)


@pytest.mark.once
@pytest.mark.parametrize(
    ("status", "level", "said"),
    [(200, "green", ""), (401, "red", "It wants credentials"), (404, "red", "check the path")],
)
def test_the_endpoint_is_tried(tmp_path: Path, status: int, level: str, said: str) -> None:
    """
    With a request that holds no event.
    """
    with collector() as running:
        running.status = status
        told = environment(
            BIZSPAN_SPOOL_DIR=str(tmp_path / "spool"),
            BIZSPAN_SPOOL_ENDPOINT=f"{running.endpoint}/v1/logs",
            OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        )
        report = examine(Request(told, timeout_s=1.0))
        (found,) = [each for each in report.findings if each.check == "spool.endpoint"]

    assert (level, True) == (found.level, said in found.next_step), found
    assert [] == running.records()
    assert not (tmp_path / "spool").exists()


@pytest.mark.once
@pytest.mark.parametrize("by", ["variable", "file"])
def test_the_process_that_is_looked_into_leaves_the_spool_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """
    Under opentelemetry-instrument it is configured as the application's, and would send what waits.
    """
    pytest.importorskip("opentelemetry.distro")
    path, config = tmp_path / "spool", tmp_path / "bizspan.toml"
    config.write_text(f'spool = "{path}"\n' if by == "file" else "")
    with collector() as running:
        running.status = 503
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.endpoint)
        with bizspan.configure(export="none", spool=path) as telemetry:
            bizspan.event("sale")
            telemetry.shutdown(0.1)
        running.status = 200
        told = environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=running.endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            BIZSPAN_CONFIG=str(config), BIZSPAN_SPOOL_DIR=str(path) if by == "variable" else "",
        )  # fmt: skip
        words = ("opentelemetry-instrument", "python", "app.py")
        found = {each.check: each for each in examine(Request(told, canary=False, command=words)).findings}

    assert ("green", "yellow") == (found["zero-code.bizspan"].level, found["spool.waiting"].level), found
    assert [] == running.records()
    assert 1 == len([*path.glob("*.seg")])
