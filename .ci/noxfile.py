"""
The one gate: every check of the project, cheap ones first.

    uvx -c .ci/constraints.txt nox -f .ci/noxfile.py                    everything
    uvx -c .ci/constraints.txt nox -f .ci/noxfile.py -s lint types      some of it
    uvx -c .ci/constraints.txt nox -f .ci/noxfile.py -s tests -- --long  with the long loops
    uvx -c .ci/constraints.txt nox -f .ci/noxfile.py -s coverage        what the suite does not reach

All sessions run, also after one has failed; the exit code tells whether any did.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import nox
from nox.command import CommandFailed

GATE = Path(__file__).resolve().parent
ROOT = GATE.parent
PINNED = ("-c", str(GATE / "constraints.txt"))
SUPPORTED = ("3.11", "3.12", "3.13")
SUITE = ("-n", "3", "-m", "not bench")  # two cores: servers mostly wait; what is measured runs alone
# Thousands of examples would take twice as long, and a signal may come while coverage holds a lock of its own.
COVERED = ("-n", "3", "-m", "not (bench or fuzz or signals)")
# On further versions without those, with fewer examples of the others, and without the servers under load. They also
# leave out what is marked `once`: commands that are started again and again, promtool, replays of a real shop and long
# loops over a store, because faster tests run the same lines there.
AGAIN = ("-n", "3", "--examples", "25", "-m", "not (bench or fuzz or signals or server or once)")


def without(*paths: str) -> tuple[str, ...]:
    """What makes pytest leave out tests."""
    return tuple(f"--ignore=tests/{path}" for path in paths)


# Prose, and programs that are shown, run once.
PROSE = without("demo", "test_docs.py", "test_docs_commands.py")
# What stands on the standard library and the lens alone has nothing to try with older dependencies.
INDEPENDENT = without("kpi", "report", "page", "lens")
NO_TESTS_COLLECTED = 5
REPORTS = ROOT / ".nox" / "reports"
FOUND: list[Path] = []  # one for each run of pytest
TOLD_LINES = 12
# A test that hangs ends after this many seconds with the stack of each thread, and is a failure by its name.
HANGS_S = 3600 if "--long" in sys.argv else 240
BOUNDED = ("-o", f"faulthandler_timeout={HANGS_S}", "-o", "faulthandler_exit_on_timeout=true")

# Written bytecode halves the time of every subprocess that a test starts.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# What is on the machine counts: a download would hide a missing interpreter, and fails on a closed network.
os.environ["UV_PYTHON_DOWNLOADS"] = "never"
# A VIRTUAL_ENV of the caller would be taken for the session's own by uv.
os.environ.pop("VIRTUAL_ENV", None)

nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.envdir = str(ROOT / ".nox")
nox.options.error_on_missing_interpreters = False
nox.options.stop_on_first_error = False


def show_pyenv_versions() -> None:
    """Let pyenv's shims answer for every supported version, not for the chosen one alone."""
    if "PYENV_VERSION" in os.environ or not shutil.which("pyenv"):
        return
    listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False)
    known = [version for version in listed.stdout.split() if version.rpartition(".")[0] in SUPPORTED]
    if known:
        os.environ["PYENV_VERSION"] = ":".join(known)


def present(version: str) -> bool:
    """Whether uv finds this interpreter on the machine."""
    found = subprocess.run(["uv", "python", "find", "--no-project", version], capture_output=True, check=False)
    return found.returncode == 0


def recorded(session: nox.Session) -> tuple[str, str]:
    """What makes pytest write down what failed, for the end of the run."""
    FOUND.append(REPORTS / f"{session.name}-{len(FOUND)}.xml")
    return "--junitxml", str(FOUND[-1])


@atexit.register
def tell_failures() -> None:
    """Each test that failed, once more after everything else: whoever reads the end of a long log sees them."""
    for path in FOUND:
        if not path.exists():
            print(f"gate: {path.stem} ended without a report: a test that hung, or pytest did not start")
            continue
        for case in ElementTree.parse(path).iter("testcase"):
            for failure in (*case.iter("failure"), *case.iter("error")):
                print(f"gate: {path.stem}: {case.get('classname')}::{case.get('name')}")
                print("\n".join((failure.text or "").splitlines()[-TOLD_LINES:]))


show_pyenv_versions()
shutil.rmtree(REPORTS, ignore_errors=True)
PRESENT = [version for version in SUPPORTED if present(version)]
# The interpreter of nox itself stands in on a machine that has only a newer one than we name.
PYTHONS = PRESENT or [f"{sys.version_info.major}.{sys.version_info.minor}"]
FIRST, MIDDLE, NEWEST = PYTHONS[0], PYTHONS[len(PYTHONS) // 2], PYTHONS[-1]
for absent in sorted({*SUPPORTED} - {*PRESENT}):
    print(f"gate: Python {absent} is not on this machine, its sessions are skipped", file=sys.stderr)


def succeeds(session: nox.Session, command: tuple[str, ...]) -> bool:
    """Run a command; whether it succeeded."""
    try:
        session.run(*command)
    except CommandFailed:
        return False
    return True


def every(session: nox.Session, *commands: tuple[str, ...], side_by_side: bool = False) -> None:
    """Run each command, also where one fails; then fail if any did."""
    with ThreadPoolExecutor(len(commands) if side_by_side else 1) as threads:
        succeeded = [*threads.map(partial(succeeds, session), commands)]
    failed = [" ".join(command[:2]) for command, is_good in zip(commands, succeeded, strict=True) if not is_good]
    if failed:
        session.error(f"failed: {', '.join(failed)}")


@nox.session(python=FIRST)
def lint(session: nox.Session) -> None:
    """Format and lint."""
    session.chdir(ROOT)
    session.install(*PINNED, "--group", "lint")
    every(session, ("ruff", "format", "--check", "."), ("ruff", "check", "."))


@nox.session(python=FIRST)
def bare(session: nox.Session) -> None:
    """The built wheel with the core's dependencies alone: it imports, and what needs no SDK works."""
    session.chdir(ROOT)
    out = Path(session.create_tmp()) / "wheel"
    shutil.rmtree(out, ignore_errors=True)
    # Built here: uv would take a cached wheel of this folder while pyproject.toml stays as it is.
    session.run("uv", "build", "--quiet", "--wheel", "--out-dir", str(out), ".", external=True)
    session.install(*PINNED, *map(str, out.glob("*.whl")))
    session.run("python", "-c", "import bizspan")
    session.install(*PINNED, "pytest")
    session.run("pytest", "-m", "bare", *recorded(session))


@nox.session(python=FIRST)
def docs(session: nox.Session) -> None:
    """The documentation builds without a warning."""
    session.chdir(ROOT)
    session.install(*PINNED, "-e", ".[otlp,flask,django,celery,sqlalchemy]", "--group", "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-E", "-b", "html", "docs", "docs/_build/html")


@nox.session(python=FIRST)
def types(session: nox.Session) -> None:
    """mypy and pyright, both strict, on a core each."""
    session.chdir(ROOT)
    session.install(*PINNED, "-e", ".[grpc]", "--group", "test", "--group", "types")
    # Named settings: pyright would prefer a pyrightconfig.json that happens to lie in a folder above.
    pyright = ("pyright", "--project", "pyproject.toml", "--pythonpath", f"{session.bin}/python")
    every(session, ("mypy", "src", "tests"), pyright, side_by_side=True)


@nox.session(python=FIRST)
def tests(session: nox.Session) -> None:
    """The full suite with the pinned versions."""
    session.chdir(ROOT)
    session.install(*PINNED, "-e", ".[grpc]", "--group", "test", "--group", "declarative")
    session.run("pytest", *SUITE, *BOUNDED, *recorded(session), *session.posargs)


@nox.session(python=FIRST, default=False)
def coverage(session: nox.Session) -> None:
    """The suite with branch coverage, when it is asked for: it takes a fifth longer."""
    session.chdir(ROOT)
    session.install(*PINNED, "-e", ".[grpc]", "--group", "test", "--group", "declarative")
    session.run("coverage", "erase")
    every(
        session,
        ("coverage", "run", "-m", "pytest", *COVERED, *BOUNDED, *session.posargs),
        ("coverage", "combine", "--quiet"),
        ("coverage", "report"),
    )


@nox.session(python=FIRST)
def third_party(session: nox.Session) -> None:
    """A shop that others wrote, started without code. Apart: it holds Django back, which `newest` must not."""
    session.chdir(ROOT)
    shop = ("-r", str(GATE / "third-party.txt"))
    session.install(*PINNED, *shop, "-e", ".[otlp,auto]", "--group", "test")
    session.run("python", "-c", "import gunicorn, opentelemetry.instrumentation.django, oscar")  # or it is skipped
    session.run("pytest", "tests/test_zero_code_oscar.py", *BOUNDED, *recorded(session), *session.posargs)


@nox.session(python=FIRST)
def clickhouse(session: nox.Session) -> None:
    """KPIs on ClickHouse itself, in the tests' process. Apart: it takes 900 MB."""
    session.chdir(ROOT)
    session.install(*PINNED, "-e", ".[otlp]", "--group", "test", "--group", "clickhouse")
    session.run("python", "-c", "import chdb")  # or its tests are skipped
    paths = ("tests/kpi", "tests/report", "tests/test_reconcile_clickhouse.py", "tests/test_docs_commands.py")
    chosen = ("-n", "2", "-k", "clickhouse or older_table")
    session.run("pytest", *paths, *chosen, *BOUNDED, *recorded(session), *session.posargs)


@nox.session(python=FIRST)
def bench(session: nox.Session) -> None:
    """What is measured: alone on the machine, one test at a time."""
    session.chdir(ROOT)
    session.install(*PINNED, "-e", ".[grpc]", "--group", "test")
    session.run(
        "pytest", "-m", "bench", *BOUNDED, *recorded(session), *session.posargs, success_codes=[0, NO_TESTS_COLLECTED]
    )


@nox.session(python=MIDDLE)
def lowest(session: nox.Session) -> None:
    """The suite with the lowest version of each direct dependency that the ranges allow, on a Python in the middle."""
    session.chdir(ROOT)
    floor = Path(session.create_tmp()) / "lowest.txt"
    options = ("--quiet", "--no-header", "--resolution", "lowest-direct", "--python", f"{session.bin}/python")
    extras = ("--extra", "grpc", "--extra", "test")
    session.run("uv", "pip", "compile", *options, *extras, "pyproject.toml", "-o", str(floor), external=True)
    session.install("-c", str(floor), "-e", ".[grpc]", "--group", "test")
    session.run(
        "pytest", *AGAIN, *PROSE, *INDEPENDENT, *BOUNDED[:2], *recorded(session), *session.posargs
    )  # pytest 8 tells where it hangs, and goes on


@nox.session(python=NEWEST)
def newest(session: nox.Session) -> None:
    """The suite with whatever is newest today, on the newest Python that is here."""
    session.chdir(ROOT)
    session.install("--upgrade", "-e", ".[grpc]", "--group", "test")
    session.run("pytest", *AGAIN, *PROSE, *BOUNDED, *recorded(session), *session.posargs)
