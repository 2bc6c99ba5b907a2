"""
The findings, as lines for people or as JSON for programs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from bizspan.doctor._finding import LEVELS, Finding, Level

FORMAT: Final = 1  # of the JSON; grows when a key goes or changes its meaning
_SYMBOLS: Final[dict[Level, str]] = {"green": "✓", "yellow": "!", "red": "✗"}
_PLAIN: Final[dict[Level, str]] = {"green": "+", "yellow": "!", "red": "x"}
_COLOURS: Final[dict[Level, str]] = {"green": "\x1b[32m", "yellow": "\x1b[33m", "red": "\x1b[31m"}
_OFF: Final = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Report:
    """
    What the doctor found.

    Args:
        version: Of bizspan.
        findings: In the order of the checks.
    """

    version: str
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst of all."""
        levels = {finding.level for finding in self.findings}
        worst: Level = "green"
        for level in LEVELS:
            worst = level if level in levels else worst
        return worst

    @property
    def exit_code(self) -> int:
        """0 without a red finding, else 1."""
        return 1 if self.level == "red" else 0

    def count(self, level: Level) -> int:
        """How many findings have this level."""
        return sum(finding.level == level for finding in self.findings)

    def as_json(self) -> str:
        """One JSON object; its shape is in the reference of the command line."""
        return json.dumps(
            {
                "format": FORMAT,
                "bizspan": self.version,
                "level": self.level,
                "exit_code": self.exit_code,
                "counts": {level: self.count(level) for level in LEVELS},
                "checks": [
                    {"check": each.check, "level": each.level, "text": each.text, "next_step": each.next_step}
                    for each in self.findings
                ],
            },
            indent=2,
        )

    def as_text(self, *, colour: bool, encoding: str = "utf-8") -> str:
        """
        One line for each check, and one more with the next step where it is not green.

        Args:
            colour: With the terminal's colours.
            encoding: Of the stream; symbols that it cannot write are replaced.
        """
        symbols = _SYMBOLS if _can_write("".join(_SYMBOLS.values()), encoding) else _PLAIN
        lines: list[str] = []
        for (level, text, step), same in groupby(self.findings, lambda each: (each.level, each.text, each.next_step)):
            name = _joined([each.check for each in same])
            mark = f"{_COLOURS[level]}{symbols[level]}{_OFF}" if colour else symbols[level]
            lines.append(f"{mark} {name}: {text}")
            if step:
                lines.append(f"  next: {step}")
        counted = ", ".join(f"{self.count(level)} {level}" for level in LEVELS)
        lines.append(f"\n{counted}")
        return "\n".join(lines).encode(encoding, "replace").decode(encoding)


def _joined(checks: Sequence[str]) -> str:
    """``endpoint.traces`` and ``endpoint.logs`` as ``endpoint.traces,logs``."""
    first, separator, _ = checks[0].rpartition(".")
    if len(checks) == 1 or any(check.rpartition(".")[0] != first for check in checks):
        return ", ".join(checks)
    return f"{first}{separator}{','.join(check.rpartition('.')[2] for check in checks)}"


def _can_write(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True
