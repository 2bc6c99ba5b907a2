"""
What became of the canary of one signal: written by the process that sends, read by the one that explains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

CANARY: Final = "bizspan.doctor.canary"


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of one canary.

    Args:
        signal: traces, metrics or logs.
        setup_error: What `configure()` said when it was asked for its exporters; such texts hold no values.
        not_made: The exception's type, when the exporter could not be made.
        accepted: What the exporter said; None when it said nothing in time.
        error: The exception's type, when the exporter's request had no answer.
        status: Of HTTP.
        content_type: Of the answer.
        is_empty: Whether the answer had no body.
        is_whole: Whether the answer's body came to its end.
        location: Where a redirect leads, without what may be secret.
        retry_after: As the server wrote it.
        clock_skew_s: The server's clock minus ours, in seconds.
        grpc_code: The status of gRPC, by name.
        rejected: How many items the server said that it left out; None when it did not say.
        message: What the server said about them, without the values that were sent to it.
        stage: How far a connection of our own came; see `Probed`.
        problem: Why it came no further.
        ca_variable: Which variable named the authorities that were trusted, where it is not OpenTelemetry's.
    """

    signal: str
    setup_error: str = ""
    not_made: str = ""
    accepted: bool | None = None
    error: str = ""
    status: int | None = None
    content_type: str = ""
    is_empty: bool = True
    is_whole: bool = True
    location: str = ""
    retry_after: str = ""
    clock_skew_s: float | None = None
    grpc_code: str = ""
    rejected: int | None = None
    message: str = ""
    stage: str = ""
    problem: str = ""
    ca_variable: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def outcome(read: Mapping[str, Any]) -> Outcome:
    """What `Outcome.as_dict` made, read again; what is not known is left out."""
    names = {field.name for field in fields(Outcome)}
    return Outcome(**{name: value for name, value in read.items() if name in names})
