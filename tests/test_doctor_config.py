"""`bizspan doctor`: the configuration file."""

from __future__ import annotations

from pathlib import Path

from tests.doctor_set_up import look


def test_the_file_fills_what_the_environment_leaves_open(tmp_path: Path) -> None:
    """
    Service and environment of the file count; a variable wins over them.
    """
    file = tmp_path / "bizspan.toml"
    file.write_text('service_name = "from-file"\nenvironment = "staging"\n')

    of_file, of_variable = look(file), look(file, OTEL_SERVICE_NAME="from-variable")

    assert "service.name is from-file" == of_file["service-name"].text
    assert "deployment.environment.name is staging" == of_file["environment"].text
    assert "service.name is from-variable" == of_variable["service-name"].text
    assert ("green", True) == (of_file["config"].level, str(file) in of_file["config"].text)


def test_the_file_of_the_variable_is_found(tmp_path: Path) -> None:
    """
    Without --config the file is the one that the application would take.
    """
    file = tmp_path / "bizspan.toml"
    file.write_text('service_name = "from-file"\n')

    assert "service.name is from-file" == look(BIZSPAN_CONFIG=str(file))["service-name"].text


def test_a_wrong_file_is_one_red_line(tmp_path: Path) -> None:
    """
    File, key, and what was expected; the other checks go on.
    """
    file = tmp_path / "bizspan.toml"
    file.write_text("capacity = 'many'\n")

    found = look(file)

    assert "red" == found["config"].level
    assert [True] * 3 == [word in found["config"].text for word in (str(file), "capacity", "whole number")]
    assert "hash-key" in found


def test_an_application_that_ends_the_process_while_the_file_is_read_is_one_red_line(tmp_path: Path) -> None:
    """
    The file names an object of the application, and importing it exits; the doctor does not.
    """
    (tmp_path / "shop_facts.py").write_text("import os; os._exit(7)\n")
    file = tmp_path / "bizspan.toml"
    file.write_text('vocabulary = "shop_facts:VOCABULARY"\n')

    found = look(file, PYTHONPATH=str(tmp_path))["config"]

    assert ("red", True) == (found.level, "exit code 7" in found.text)


def test_a_file_that_sends_nothing_has_no_endpoints(tmp_path: Path) -> None:
    """
    With export = "console" nothing goes over the wire, and the report says so.
    """
    file = tmp_path / "bizspan.toml"
    file.write_text('export = "console"\n')

    found = look(file)

    assert "yellow" == found["export"].level
    assert [] == [check for check in found if check.startswith("endpoint.")]
