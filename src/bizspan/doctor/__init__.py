"""
The room of ``bizspan doctor``: it checks a set-up as it will run, and says what to do about what it finds.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Final

from bizspan.doctor import _command, _config, _endpoints, _environment, _packages, _spool, _zero_code
from bizspan.doctor._answers import clock, explain
from bizspan.doctor._children import ask
from bizspan.doctor._config import Settings
from bizspan.doctor._django import check_django
from bizspan.doctor._finding import Finding, Level, red, yellow
from bizspan.doctor._functions import check_functions
from bizspan.doctor._inside import check_inside, is_installed
from bizspan.doctor._outcome import Outcome, outcome
from bizspan.doctor._report import Report
from bizspan.doctor._settings import SPOOL_VARIABLE, Target, targets

__all__ = ["Finding", "Level", "Report", "Request", "examine"]

_START_S: Final = 15.0  # for an interpreter and its imports, on a busy machine
_PROBE_S: Final = 3.0
_DJANGO_S: Final = 30.0
_ISSUES: Final = "report this check as a bug of bizspan; the others stand"


@dataclass(frozen=True, slots=True)
class Request:
    """
    What to examine.

    Args:
        environment: The variables, as the application will have them.
        config: The configuration file; None looks where the application would.
        timeout_s: How long to wait for an endpoint, in seconds. Default: 10.
        canary: Whether to send canaries. Default: True.
        command: How the application is started; it is not run.
    """

    environment: Mapping[str, str] = field(repr=False)
    config: str | None = None
    timeout_s: float = 10.0
    canary: bool = True
    command: Sequence[str] = ()


def examine(request: Request) -> Report:
    """
    Run every check. One that crashes becomes a red finding; none of the others is left out for it.

    Args:
        request: What to examine.
    """
    findings: list[Finding] = []

    def run(name: str, check: Callable[[], Iterable[Finding]]) -> None:
        try:
            findings.extend(check())
        except Exception as error:
            # The error's text may hold a value; where it happened does not.
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.name}, line {place.lineno}"
            findings.append(red(name, f"the check itself failed: {type(error).__name__} in {where}.", _ISSUES))

    told = _command.command(request.command, request.environment)
    packages: dict[str, _packages.Package] = {}
    over_the_wire: list[Target] = []

    def look_around() -> Iterable[Finding]:
        packages.update(_packages.installed())
        return ()

    run("packages", look_around)
    environment = _zero_code.with_distro_defaults(told.environment, packages) if told.is_zero_code else told.environment
    settings = Settings()

    def read_config() -> Iterable[Finding]:
        nonlocal settings
        settings, said = _config.read(request.config, environment)
        return said

    def read_targets() -> Iterable[Finding]:
        if "otlp" in settings.exports:
            over_the_wire.extend(target for target in targets(environment) if target.is_otlp)
        return ()

    run("command", lambda: _command.check_command(request.command, told))
    run("python", lambda: _packages.check_python(packages))
    run("versions", lambda: _packages.check_versions(packages))
    run("instrumented", lambda: _packages.check_instrumented(packages))
    run("config", read_config)
    # Where the application is imported, it may configure itself, and would send what waits in its spool.
    without_spool = {name: value for name, value in environment.items() if name != SPOOL_VARIABLE}
    if settings.names_functions:
        run("function", lambda: check_functions(request.config, without_spool))
    run("sdk-disabled", lambda: _environment.check_disabled(environment))
    run("exporter", lambda: _environment.check_exporters(environment, told.is_zero_code))
    run("otlp", lambda: _environment.check_otlp_values(environment))
    run("identity", lambda: _environment.check_identity(environment, settings))
    run("double-export", lambda: _environment.check_double_export(environment, packages))
    run("zero-code", lambda: _zero_code.check_zero_code(told.environment, packages, told.is_zero_code))
    if told.is_zero_code and is_installed():
        run("providers", lambda: check_inside(told.environment, _START_S, settings.spool is not None))
    run("variable", lambda: _environment.check_variables(environment))
    run("endpoint", read_targets)
    run("extra", lambda: _packages.check_extras(packages, over_the_wire))
    run("tls-files", lambda: _endpoints.check_files(environment, over_the_wire))
    run("proxy", lambda: _endpoints.check_proxies(environment, over_the_wire))
    far = FarEnd(request, environment, settings, told.is_zero_code)
    # Without its exporter a signal has a red line already, and nothing to be sent with.
    run("endpoint", lambda: far.check([each for each in over_the_wire if _packages.can_export(packages, each)]))
    spool = settings.spool
    if spool is not None:
        bound_s = request.timeout_s if request.canary else None
        run("spool", lambda: _spool.check_spool(spool, environment, bound_s))
    run("django", lambda: check_django(without_spool, _DJANGO_S, told.is_zero_code))
    return Report(metadata.version("bizspan"), tuple(findings))


@dataclass(frozen=True, slots=True)
class FarEnd:
    """
    The endpoints: their form, and what they answer.

    Args:
        request: What to examine.
        environment: As the application will have it.
        settings: Of the configuration file.
        is_zero_code: Whether OpenTelemetry's configurator makes the exporters.
    """

    request: Request
    environment: Mapping[str, str]
    settings: Settings
    is_zero_code: bool

    def check(self, wanted: Sequence[Target]) -> Iterable[Finding]:
        """One finding for each endpoint, and one about the clock."""
        refused = {target.signal: said for target in wanted if (said := _endpoints.malformed(target))}
        well_formed = [target for target in wanted if target.signal not in refused]
        yield from refused.values()
        for target in well_formed:
            yield from _endpoints.remarks(target)
        if not well_formed:
            return
        if not self.request.canary:
            for target in well_formed:
                yield yellow(f"endpoint.{target.signal}", "not tried (--no-canary).", "bizspan doctor")
            return
        outcomes = self._send(well_formed)
        for target in well_formed:
            found = outcomes.get(target.signal, Outcome(target.signal))
            yield explain(target, found, self.request.timeout_s)
        said = clock(list(outcomes.values()))
        if said is not None:
            yield said

    def _send(self, wanted: Sequence[Target]) -> dict[str, Outcome]:
        timeout_s = self.request.timeout_s
        probe_s = min(_PROBE_S, timeout_s)
        task = {
            "signals": [target.signal for target in wanted],
            "no_probe": [target.signal for target in wanted if _endpoints.proxy_of(self.environment, target)],
            "ask_configure": not self.is_zero_code,
            "service_name": self.settings.service_name,
            "environment": self.settings.environment,
            "timeout_s": timeout_s,
            "probe_s": probe_s,
        }
        answered = ask("bizspan.doctor._canary", task, self._bounded(), timeout_s + probe_s + _START_S)
        return {str(line["signal"]): outcome(line) for line in answered.lines if "signal" in line}

    def _bounded(self) -> dict[str, str]:
        """The environment, with exporters that give up in time."""
        bounded = {
            name: value
            for name, value in self.environment.items()
            if not (name.startswith("OTEL_EXPORTER_OTLP_") and name.endswith("_TIMEOUT"))
        }
        bounded["OTEL_EXPORTER_OTLP_TIMEOUT"] = f"{self.request.timeout_s:g}"
        return bounded
