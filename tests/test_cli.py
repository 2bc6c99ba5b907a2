"""The command `bizspan`: arguments, exit codes, and how it behaves in pipes, terminals and under Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from _collector import Receiver
from tests.child import BOUND_S, environment

DOCTOR = [sys.executable, "-m", "bizspan", "doctor"]
HEALTHY = {"OTEL_SERVICE_NAME": "shop", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"}


def bizspan(
    words: list[str], receiver: Receiver | None = None, /, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `python -m bizspan` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "bizspan", *words],
        env=environment(receiver, PYTHONUTF8="1", **variables),
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )


def test_the_version_is_that_of_the_package() -> None:
    """
    `bizspan --version` prints name and version, and ends well.
    """
    ran = bizspan(["--version"])

    assert (0, f"bizspan {metadata.version('bizspan')}\n") == (ran.returncode, ran.stdout)


def test_the_installed_command_is_the_same() -> None:
    """
    The script `bizspan` leads to the same place as `python -m bizspan`.
    """
    (entry,) = list(metadata.entry_points(group="console_scripts", name="bizspan"))

    assert "bizspan.cli:main" == entry.value


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "usage: bizspan"),
        (["surgeon"], "invalid choice: 'surgeon'"),
        (["doctor", "--timeout-s", "soon"], "must be a number of seconds above 0"),
        (["doctor", "--timeout-s", "0"], "must be a number of seconds above 0"),
        (["doctor", "--timeout-s", "nan"], "must be a number of seconds above 0"),
        (["doctor", "--format", "xml"], "invalid choice: 'xml'"),
        (["doctor", "--colour"], "unrecognized arguments: --colour"),
    ],
    ids=str,
)
def test_wrong_arguments_end_in_2(words: list[str], said: str) -> None:
    """
    What cannot be understood ends with exit code 2 and a sentence on the error stream.
    """
    ran = bizspan(words)

    assert (2, "", True) == (ran.returncode, ran.stdout, said in ran.stderr), ran.stderr


def test_help_needs_no_room() -> None:
    """
    `--help` lists the commands without importing what they need.
    """
    code = "import sys; from bizspan.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([name for name in sys.modules if name.startswith(('bizspan.doctor', 'bizspan.reconcile'))])"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=BOUND_S, check=True)

    assert "doctor" in ran.stdout
    assert ran.stdout.endswith("[]\n")


def test_exit_codes_say_whether_anything_is_red() -> None:
    """
    0 when nothing is red, 1 when something is.
    """
    with Receiver() as receiver:
        well = bizspan(["doctor"], receiver, **HEALTHY)
        receiver.behaviour = "html"
        ill = bizspan(["doctor"], receiver, **HEALTHY)

    assert (0, 1) == (well.returncode, ill.returncode), well.stdout
    assert ("", "") == (well.stderr, ill.stderr)


def test_json_has_the_documented_shape() -> None:
    """
    The keys are those of the reference, and counts and exit code agree with the checks.
    """
    with Receiver() as receiver:
        ran = bizspan(["doctor", "--format", "json"], receiver, **HEALTHY)
    report = json.loads(ran.stdout)

    assert ["format", "bizspan", "level", "exit_code", "counts", "checks"] == [*report]
    assert (1, metadata.version("bizspan"), ran.returncode) == (
        report["format"],
        report["bizspan"],
        report["exit_code"],
    )
    assert {("check", "level", "text", "next_step")} == {tuple(check) for check in report["checks"]}
    levels = [check["level"] for check in report["checks"]]
    assert {level: levels.count(level) for level in ("green", "yellow", "red")} == report["counts"]
    assert [] == [check for check in report["checks"] if check["level"] != "green" and not check["next_step"]]


def test_a_pipe_gets_no_colours_and_each_check_is_a_line() -> None:
    """
    Without a terminal there are symbols and no escape codes; each line that is not green is followed by its next step.
    """
    ran = bizspan(["doctor", "--no-canary"])
    lines = ran.stdout.splitlines()

    assert "\x1b" not in ran.stdout
    assert re.fullmatch(r"\d+ green, \d+ yellow, \d+ red", lines[-1])
    bad = [position for position, line in enumerate(lines) if line[:1] in "!✗" and line]
    assert bad
    assert [] == [lines[position] for position in bad if not lines[position + 1].startswith("  next: ")]


def test_a_stream_that_cannot_write_the_symbols_gets_others() -> None:
    """
    An ASCII stream gets + ! x instead of an error.
    """
    ran = bizspan(["doctor", "--no-canary"], PYTHONIOENCODING="ascii", LC_ALL="C")

    assert "" == ran.stderr
    assert ran.stdout.isascii()
    assert "+ python: " in ran.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["tty", "NO_COLOR"])
def test_a_terminal_gets_colours_unless_told_otherwise(variables: dict[str, str], coloured: bool) -> None:
    """
    Colours on a terminal; none with NO_COLOR.
    """
    ours, theirs = os.openpty()
    env = environment(None, TERM="xterm", **variables)
    if "NO_COLOR" not in variables:
        env.pop("NO_COLOR", None)
    with subprocess.Popen([*DOCTOR, "--no-canary"], env=env, stdout=theirs) as process:
        os.close(theirs)
        written = bytearray()
        while True:
            try:
                more = os.read(ours, 4096)
            except OSError:  # the other side is closed
                break
            if not more:
                break
            written += more
        os.close(ours)
        process.wait(BOUND_S)

    assert b"python: " in written
    assert coloured == (b"\x1b[3" in written)


def test_a_reader_that_went_away_is_no_error() -> None:
    """
    `bizspan doctor | head` ends without a traceback, and with the exit code that it would have had.
    """
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [*DOCTOR, "--no-canary"],
        env=environment(OTEL_SDK_DISABLED="true"),
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=BOUND_S,
        check=False,
    )
    os.close(writing)

    assert (1, b"") == (ran.returncode, ran.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_ends_everything() -> None:
    """
    Interrupted while an endpoint hangs, the command says so, ends with 130, and what it started is gone.
    """
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        listening.settimeout(BOUND_S)
        endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        variables = environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none"
        )
        words = [*DOCTOR, "--timeout-s", "120"]
        with subprocess.Popen(
            words,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell starts what it runs in the background with the interrupt ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process:
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(BOUND_S)
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=BOUND_S)
                while connection.recv(4096):  # ends when the canary's process is gone
                    pass

    assert (130, "bizspan: interrupted\n") == (process.returncode, err)


def test_the_words_after_two_dashes_are_the_command() -> None:
    """
    They are read and not run, options of theirs are not ours, and other commands don't take any.
    """
    words = ["doctor", "--no-canary", "--format=json", "--"]
    ran = bizspan([*words, "OTEL_SERVICE_NAME=from-command", "no-such-program", "--format"])
    checks = {check["check"]: check for check in json.loads(ran.stdout)["checks"]}

    assert "service.name is from-command" == checks["service-name"]["text"]
    assert ("red", True) == (checks["command"]["level"], "no-such-program is not found" in checks["command"]["text"])


def test_a_file_of_the_working_directory_is_not_imported(tmp_path: Path) -> None:
    """
    A random.py that lies around does not get in the way of the canary.
    """
    (tmp_path / "uuid.py").write_text("raise SystemExit('imported')\n")
    with Receiver() as receiver:
        ran = subprocess.run(
            [sys.executable, "-P", "-m", "bizspan", "doctor", "--format", "json"],
            env=environment(receiver, **HEALTHY),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=BOUND_S,
            check=False,
        )
        levels = {check["check"]: check["level"] for check in json.loads(ran.stdout)["checks"]}

        assert "green" == levels["endpoint.logs"]
        assert receiver.events("bizspan.doctor.canary")
