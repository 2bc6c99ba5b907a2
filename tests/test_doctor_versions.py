"""`bizspan doctor`: versions, and packages that do not accept each other."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bizspan.doctor._packages import check_extras, check_instrumented, check_versions, installed
from bizspan.doctor._settings import targets
from bizspan.doctor._specifiers import requirement, satisfies
from tests.doctor_set_up import packages


@pytest.mark.parametrize(
    ("version", "specifiers", "fits"),
    [
        ("1.45.1", ">=1.38,<2", True),
        ("1.37.0", ">=1.38,<2", False),
        ("2.0", ">=1.38,<2", False),
        ("2.0b1", "<2", False),
        ("0.66b1", "==0.66b1", True),
        ("0.66b2", "==0.66b1", False),
        ("0.66b10", ">0.66b9", True),
        ("0.66", ">0.66b9", True),
        ("0.66.dev1", "<0.66b1", True),
        ("0.66.post1", ">0.66", True),
        ("1.45.1", "~=1.45.0", True),
        ("1.46.0", "~=1.45.0", False),
        ("1.46", "~=1.45", True),
        ("1.15", "~= 1.12", True),
        ("1.45.0", "==1.45", True),
        ("1.45.9", "==1.45.*", True),
        ("1.4.5", "==1.45.*", False),
        ("1.46", "!=1.45.*", True),
        ("1.0+local", "==1.0", True),
        ("1.0", "", True),
        ("no version", ">=1", True),
        ("1.0", "roughly 1", True),
    ],
)
def test_versions_are_compared_as_pip_does(version: str, specifiers: str, fits: bool) -> None:
    """
    PEP 440 as far as these packages need it; what is not understood is no finding.
    """
    assert fits == satisfies(version, specifiers)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("opentelemetry-api==1.45.1", ("opentelemetry-api", "==1.45.1", "", False)),
        ("Opentelemetry_API (>=1.38,<2)", ("opentelemetry-api", ">=1.38,<2", "", False)),
        ('flask<4,>=1.0; extra == "instruments"', ("flask", "<4,>=1.0", "instruments", False)),
        ("x[y]~=1.2 ; python_version < '3.8'", ("x", "~=1.2", "", True)),
        ("django ; (extra == 'instruments')", ("django", "", "instruments", False)),
    ],
)
def test_a_requirement_is_taken_apart(line: str, expected: tuple[str, str, str, bool]) -> None:
    """
    Name, range, extra, and whether it depends on anything else.
    """
    found = requirement(line)

    assert found is not None
    assert expected == (found.name, found.specifiers, found.extra, found.is_conditional)


def test_packages_that_do_not_accept_each_other_are_named() -> None:
    """
    An instrumentation that pins another version of the conventions is red, with a pip line; an optional one is not.
    """
    there = packages(
        ("opentelemetry-semantic-conventions", "0.66b2", []),
        ("opentelemetry-instrumentation-flask", "0.66b1", ["opentelemetry-semantic-conventions==0.66b1"]),
        ("opentelemetry-sdk", "1.45.2", ['opentelemetry-configuration==0.66b1; extra == "file-configuration"']),
        ("unrelated", "1", ["opentelemetry-semantic-conventions==0.1"]),
    )

    (found,) = check_versions(there)

    assert ("red", "versions.opentelemetry-instrumentation-flask") == (found.level, found.check)
    assert "needs opentelemetry-semantic-conventions==0.66b1, but 0.66b2 is installed" in found.text
    assert found.next_step.startswith("pip install --upgrade opentelemetry-")


def test_a_missing_requirement_is_named() -> None:
    """
    What an OpenTelemetry package needs and is not there is red.
    """
    (found,) = check_versions(packages(("opentelemetry-sdk", "1.45.2", ["opentelemetry-api==1.45.2"])))

    assert ("red", 'pip install "opentelemetry-api==1.45.2"') == (found.level, found.next_step)


def test_what_is_installed_is_read_from_its_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A distribution on the path counts, a damaged one is left out.
    """
    for name, text in {
        "opentelemetry_thing": "Name: OpenTelemetry.Thing\nVersion: 7\nRequires-Dist: opentelemetry-api>=99\n",
        "damaged": "",
    }.items():
        (tmp_path / f"{name}-7.dist-info").mkdir()
        (tmp_path / f"{name}-7.dist-info" / "METADATA").write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    there = installed()

    assert ("7", "bizspan") == (there["opentelemetry-thing"].version, there["bizspan"].name)
    assert "damaged" not in there
    assert "versions.opentelemetry-thing" in {found.check for found in check_versions(there) if found.level == "red"}


def test_an_instrumentation_that_stays_off_is_yellow() -> None:
    """
    A library outside its instrumentation's range is told: that only stands in a log otherwise.
    """
    flask = ("opentelemetry-instrumentation-flask", "0.66b1", ['flask<4,>=1; extra == "instruments"'])

    (found,) = check_instrumented(packages(flask, ("flask", "4.1", [])))
    none = list(check_instrumented(packages(flask, ("flask", "3.1", []))))

    assert ("yellow", True, []) == (found.level, "4.1 is here, so it stays off" in found.text, none)


def test_extras_are_asked_for_what_is_configured() -> None:
    """
    gRPC that is configured and not installed is red with the extra's pip line.
    """
    there = packages(("opentelemetry-sdk", "1.45.1", []), ("opentelemetry-exporter-otlp-proto-http", "1.45.1", []))
    wanted = targets({"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"})

    found = {each.check: (each.level, each.next_step) for each in check_extras(there, wanted)}

    assert {"extra.otlp": ("green", ""), "extra.grpc": ("red", 'pip install "bizspan[grpc]"')} == found
