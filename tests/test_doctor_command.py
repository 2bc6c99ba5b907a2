"""`bizspan doctor`: the command that starts the application, and a process that starts without code."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bizspan.doctor import Report, Request, examine
from bizspan.doctor._command import check_command, command
from bizspan.doctor._zero_code import check_zero_code, with_distro_defaults
from tests.child import environment
from tests.doctor_set_up import packages


def test_a_command_is_taken_apart() -> None:
    """
    Assignments, `env`, and the options of opentelemetry-instrument become variables, as they will be.
    """
    words = "env A=1 opentelemetry-instrument --traces_exporter console --exporter_otlp_endpoint=http://c:1"
    words += " --disabled_instrumentations flask python app.py --traces_exporter x"

    told = command(words.split(), {"A": "0", "B": "2"})

    assert {
        "A": "1", "B": "2", "OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask",
    } == told.environment  # fmt: skip
    assert (True, ("python", "app.py", "--traces_exporter", "x")) == (told.is_zero_code, told.program)


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A PATH with opentelemetry-instrument and python of this installation, and gunicorn of another one."""
    other = tmp_path / "other" / "bin"
    other.mkdir(parents=True)
    (tmp_path / "other" / "pyvenv.cfg").write_text("")
    for name, interpreter in (
        ("opentelemetry-instrument", sys.executable),
        ("python", "/bin/sh"),
        ("gunicorn", f"{other}/python"),
    ):
        (tmp_path / name).write_text(f"#!{interpreter}\n")
        (tmp_path / name).chmod(0o755)
    yield {"PATH": str(tmp_path)}


@pytest.mark.skipif(sys.platform == "win32", reason="scripts with a first line that names their interpreter")
@pytest.mark.parametrize(
    ("line", "levels"),
    [
        ("python app.py", ["green"]),
        ("opentelemetry-instrument python app.py", ["green"]),
        ("opentelemetry-instrument python -I app.py", ["green", "red"]),
        ("opentelemetry-instrument python -m app -I", ["green"]),
        ("opentelemetry-instrument python manage.py runserver", ["green", "yellow"]),
        ("opentelemetry-instrument python manage.py runserver --noreload", ["green"]),
        ("gunicorn shop:app", ["yellow"]),
        ("nowhere-to-be-found", ["red"]),
        ("", []),
    ],
)
def test_a_command_is_judged(line: str, levels: list[str], programs: Mapping[str, str]) -> None:
    """
    Found, in this installation, and nothing in it that keeps telemetry from starting.
    """
    found = list(check_command(line.split(), command(line.split(), programs)))

    assert levels == [each.level for each in found]
    assert [] == [each for each in found if each.level != "green" and not each.next_step]


def test_a_distro_s_defaults_apply_under_zero_code_only() -> None:
    """
    opentelemetry-distro sends over gRPC where nothing is set, and that is what is checked.
    """
    there = packages(("opentelemetry-distro", "0.66b1", []), ("opentelemetry-instrumentation", "0.66b1", []))

    told = with_distro_defaults({"OTEL_LOGS_EXPORTER": "none"}, there)
    (found,) = [each for each in check_zero_code({}, there, True) if each.check == "zero-code.protocol"]

    assert ("grpc", "none", "otlp") == (
        told["OTEL_EXPORTER_OTLP_PROTOCOL"], told["OTEL_LOGS_EXPORTER"], told["OTEL_TRACES_EXPORTER"],
    )  # fmt: skip
    assert {} == with_distro_defaults({}, {})
    assert ("yellow", "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf") == (found.level, found.next_step)


def test_zero_code_without_its_package_is_red() -> None:
    """
    opentelemetry-instrument that is not installed here is named with its pip line.
    """
    (found,) = check_zero_code({}, {}, True)

    assert ("red", "pip install opentelemetry-instrumentation") == (found.level, found.next_step)


def providers(report: Report) -> dict[str, str]:
    """Check and level of what was seen inside a process that starts without code."""
    inside = ("providers", "zero-code.bizspan", "double-export.logs", "order.logs")
    return {found.check: found.level for found in report.findings if found.check in inside}


@pytest.mark.once
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {"providers": "green", "zero-code.bizspan": "green"}),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "bizspan"}, {"providers": "green"}),
        ({"BIZSPAN_CAPACITY": "many"}, {"providers": "green", "zero-code.bizspan": "red"}),
    ],
    ids=str,
)
def test_a_process_without_code_is_looked_at(variables: dict[str, str], expected: dict[str, str]) -> None:
    """
    Under opentelemetry-instrument a process is started as the application's will be: providers, and bizspan itself.
    """
    pytest.importorskip("opentelemetry.distro")  # brings the launcher as well
    words = ("opentelemetry-instrument", "python", "app.py")
    # Nobody listens there: looking must not send anything, and must not wait for it.
    told = environment(None, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", **variables)

    report = examine(Request(told, canary=False, command=words))

    assert expected == providers(report)


def test_a_second_exporter_is_seen(tmp_path: Path) -> None:
    """
    What starts in the process and adds an exporter to the same endpoint is red.
    """
    pytest.importorskip("opentelemetry.distro")  # brings the launcher as well
    (tmp_path / "second_exporter.py").write_text(
        textwrap.dedent("""
            def add():
                from opentelemetry import _logs
                from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
                from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
                provider = _logs.get_logger_provider()
                for _ in range(2):
                    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
        """)
    )
    (tmp_path / "second-1.dist-info").mkdir()
    (tmp_path / "second-1.dist-info" / "METADATA").write_text("Name: second\nVersion: 1\n")
    (tmp_path / "second-1.dist-info" / "entry_points.txt").write_text(
        "[opentelemetry_post_instrument]\nsecond = second_exporter:add\n"
    )
    told = environment(PYTHONPATH=str(tmp_path))

    report = examine(Request(told, canary=False, command=("opentelemetry-instrument", "python", "app.py")))

    assert "red" == providers(report)["double-export.logs"]
