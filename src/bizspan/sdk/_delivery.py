"""
Which events the receiver took: what the end of a process has to say where it is not all of them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from bizspan import _guard, names

if TYPE_CHECKING:
    from bizspan._pipeline import Pipeline

_FAILURE = "FAILURE"


class CountedExporter:
    """
    An exporter of log records that counts which events of ours its receiver took.

    Args:
        exporter: The real one.
    """

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter
        self._pid = os.getpid()
        self._taken = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exporter, name)

    @property
    def taken(self) -> int:
        """How many events of this process were taken."""
        return self._taken if self._pid == os.getpid() else 0

    def export(self, batch: Any) -> Any:
        """Export, and count. The processor exports one batch at a time."""
        result = self._exporter.export(batch)
        if getattr(result, "name", "") != _FAILURE:
            ours = sum(record.instrumentation_scope.name == names.SCOPE for record in batch)
            self._taken, self._pid = self.taken + ours, os.getpid()
        return result

    def shutdown(self, *args: Any, **kwargs: Any) -> Any:
        """Shut down."""
        return self._exporter.shutdown(*args, **kwargs)


class Delivery:
    """
    The events of one configuration, and how many of them arrived.
    """

    def __init__(self) -> None:
        self._exporter: CountedExporter | None = None
        self._pipelines: list[Pipeline] = []

    def counted(self, exporter: Any) -> Any:
        """This exporter, with its events counted; None stays None."""
        if exporter is not None:
            exporter = self._exporter = CountedExporter(exporter)
        return exporter

    def of(self, pipeline: Pipeline) -> Pipeline:
        """Have this pipeline's events counted."""
        self._pipelines = [each for each in self._pipelines if each.pid == os.getpid()]
        self._pipelines.append(pipeline)
        return pipeline

    def say_unconfirmed(self) -> None:
        """
        Write one line where events are not known to have arrived. Without an exporter of ours, that of the application
        knows what arrives, and bizspan what still waits here.
        """
        # What a book took stays on disk.
        running = [each for each in self._pipelines if each.pid == os.getpid() and each.book is None]
        told = sum(pipeline.accounts.acknowledged.value for pipeline in running)
        if self._exporter is None:
            missing = sum(pipeline.pending for pipeline in running)
        else:
            missing = told - self._exporter.taken
        if missing <= 0:
            return
        who = "the logger provider did not take" if self._exporter is None else "the collector did not confirm"
        _guard.say_once(
            f"unconfirmed:{os.getpid()}",
            f"bizspan: at the end of this process {who} {missing} of {told} events in time; they may be lost. See what"
            " answers at OTEL_EXPORTER_OTLP_ENDPOINT (bizspan doctor); configure(spool=DIR) keeps events on disk until"
            " it does.",
        )
