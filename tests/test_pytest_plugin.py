"""The capbiz fixture in a test run of its own: failures, markers, the ini option, xdist."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]

INSTALLED = any(point.name == "bizspan" for point in entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "bizspan.pytest_plugin")


def run(pytester: pytest.Pytester, code: str, *options: str) -> pytest.RunResult:
    pytester.makeini("[pytest]")  # its own: the gate's temporary folders lie below our pyproject.toml
    pytester.makepyfile(f"import bizspan\nimport pytest\nfrom bizspan import Money\n\n{code}")
    return pytester.runpytest_subprocess(*PLUGIN, "-p", "no:cacheprovider", *options)


def test_an_invalid_value_fails_the_test_itself(pytester: pytest.Pytester) -> None:
    """
    A failure rather than an error of the teardown, unless it was expected; its own failure is shown as it is.
    """
    result = run(
        pytester,
        """
def test_valid(capbiz):
    with bizspan.operation("checkout", segment="gold") as op:
        op.revenue("42.00", "EUR")
    assert capbiz.revenue("EUR", segment="gold") == Money("42.00", "EUR")
    capbiz.assert_consistent()

def test_invalid(capbiz):
    with bizspan.operation("checkout") as op:
        op.revenue(0.1 + 0.2, "EUR")

def test_expected(capbiz):
    capbiz.allow("precision")
    bizspan.refund(0.1 + 0.2, "EUR")

def test_own_failure(capbiz):
    bizspan.refund(0.1 + 0.2, "EUR")
    assert 1 == 2
""",
    )

    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["*revenue (test_an_invalid_value_fails_the_test_itself.py:*): precision"])
    result.stdout.fnmatch_lines(["*assert 1 == 2"])
    told = [line for line in result.stdout.lines if line.startswith("E ") and "bizspan refused or changed" in line]
    assert 1 == len(told)  # the summary repeats it where the terminal is wide enough


def test_strict_by_marker_and_by_ini(pytester: pytest.Pytester) -> None:
    """
    The marker wins over the ini option; markers are registered.
    """
    code = """
def test_plain(capbiz):
    bizspan.event("told", segmnet="gold")

@pytest.mark.bizspan(strict=True)
def test_strict(capbiz):
    bizspan.event("told", segmnet="gold")

@pytest.mark.bizspan(strict=False)
def test_lenient(capbiz):
    bizspan.event("told", segmnet="gold")

@pytest.mark.bizspan(sampled=False)
def test_unsampled(capbiz):
    with bizspan.operation("checkout"):
        pass
    assert ([], 1) == (capbiz.spans(), len(capbiz.operations()))
"""
    run(pytester, code, "--strict-markers").assert_outcomes(passed=3, failed=1)
    run(pytester, code, "-o", "bizspan_strict=true").assert_outcomes(passed=2, failed=2)


def test_workers_of_xdist_don_t_mix(pytester: pytest.Pytester) -> None:
    """
    Each worker has its own pipeline: twelve tests on two workers each see their own events.
    """
    pytest.importorskip("xdist")
    result = run(
        pytester,
        """
@pytest.mark.parametrize("number", range(12))
def test_it(capbiz, number):
    for _ in range(number):
        bizspan.event("told", order=number)
    assert number == len(capbiz.events("told")) == len(capbiz.events("told", order=number))
    capbiz.assert_consistent()
""",
        "-n",
        "2",
    )

    result.assert_outcomes(passed=12)


def test_a_run_without_capbiz_never_loads_the_sdk(pytester: pytest.Pytester) -> None:
    """
    Having the plugin installed costs other projects' tests nothing of OpenTelemetry's SDK.
    """
    result = run(
        pytester,
        """
import sys

def test_it():
    unwanted = ("opentelemetry.sdk", "bizspan.testing", "wrapt")
    assert [] == [name for name in sys.modules if name.startswith(unwanted)]
""",
    )

    result.assert_outcomes(passed=1)
