"""
``bizspan spool status|drain|inspect|retry|purge DIR``. Exit codes: 0 nothing waits, 1 something does, 2 wrong
arguments.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TextIO

from bizspan._progress import Bar
from bizspan.spool import _wire
from bizspan.spool._batch import StoredBatch
from bizspan.spool._inspect import Status, events_in, opened, purge, status_of
from bizspan.spool._post import Poster
from bizspan.spool._retry import retry
from bizspan.spool._sender import Outcome, Sender
from bizspan.spool._store import Store
from bizspan.spool._target import from_environment

Print = Callable[[str], None]
_NOTHING_WAITS, _SOMETHING_WAITS = 0, 1
_LOOK_S = 0.1  # how often a drain looks whether the progress line is due


def status(path: str, as_json: bool, show: Print) -> int:
    """Print what waits."""
    found = status_of(path)
    show(json.dumps({**asdict(found), "waiting": found.waiting}) if as_json else _as_text(path, found))
    return _SOMETHING_WAITS if found.waiting else _NOTHING_WAITS


def _as_text(path: str, found: Status) -> str:
    lines = [f"{path}: {found.waiting:,} events wait, {found.bytes:,} bytes"]
    for segment in found.segments:
        held = "held by a process" if segment.is_living else "left by its process"
        oldest = "" if segment.oldest_s is None else f", oldest {_when(segment.oldest_s * 10**9)}"
        damaged = f", {segment.damaged_bytes:,} bytes damaged" if segment.damaged_bytes else ""
        lines.append(f"  {segment.name}  {segment.waiting:,} events, {segment.bytes:,} bytes, {held}{oldest}{damaged}")
    if found.dead_letters:
        lines.append(f"  {found.dead_letters:,} dead letters: a collector refused them; see inspect --dead, and retry")
    if found.unreadable:
        lines.append(f"  {found.unreadable:,} unreadable files, put aside; see purge")
    return "\n".join(lines)


def inspect(path: str, dead: bool, most: int | None, show: Print) -> int:
    """Print each event that waits, or each dead letter, as one line of JSON."""
    for number, (resource, event) in enumerate(events_in(path, dead=dead)):
        if number == most:
            break
        show(
            json.dumps(
                {
                    "time": _when(event.time_ns),
                    "event_name": event.event_name,
                    "attributes": event.attributes,
                    "trace_id": event.trace_id,
                    "span_id": event.span_id,
                    **({} if event.body is None else {"body": event.body}),
                    "resource": resource,
                },
                default=str,
                ensure_ascii=False,
            )
        )
    return 0


def purged(path: str, waiting: bool, as_json: bool, show: Print) -> int:
    """Delete, and print what."""
    files, events = purge(path, waiting=waiting)
    if as_json:
        show(json.dumps({"files": files, "events_lost": events}))
    else:
        show(f"{files:,} files deleted" + (f", {events:,} events with them" if waiting else ""))
    return 0


def retried(path: str, as_json: bool, show: Print) -> int:
    """Have dead letters wait again, and print how many; 1 where some of them could not be moved."""
    result = retry(path)
    if as_json:
        show(json.dumps(asdict(result)))
    else:
        put_aside = f"; {result.files_put_aside:,} damaged files put aside" if result.files_put_aside else ""
        left = (
            f"; {result.files_left:,} files left: in use, or the disk is full; try again" if result.files_left else ""
        )
        show(f"{result.events:,} events wait again; the next process, or a drain, sends them{put_aside}{left}")
    return 1 if result.files_left else 0


def drain(path: str, timeout_s: float | None, as_json: bool, show: Print, progress: TextIO | None) -> int:
    """
    Send what processes that are gone have left, until nothing of theirs waits.

    Args:
        path: The directory.
        timeout_s: How long to try; None until it is done.
        as_json: Print the account as JSON.
        show: Prints a line.
        progress: A terminal for the progress bar, or None.
    """
    source = _Orphans(path)
    sender = Sender(source, Poster(from_environment()), _wire.export_request)
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    bar = Bar(progress, source.total)
    try:
        while deadline is None or time.monotonic() < deadline:
            outcome = sender.run_once(deadline)
            bar.show(source.store.counts.settled)
            if outcome is Outcome.NOTHING:
                break
            if outcome is Outcome.HELD:
                left = sender.due_in_s if deadline is None else min(sender.due_in_s, deadline - time.monotonic())
                time.sleep(max(0.0, min(left, _LOOK_S)))
    finally:
        bar.end()
        sender.stop()
        source.store.release()
    counts = source.store.counts
    waiting = status_of(path).waiting
    account = {
        "delivered": counts.delivered, "rejected_by_collector": counts.rejected, "dead_lettered": counts.dead_lettered,
        "damaged_bytes": counts.damaged_bytes, "waiting": waiting,
    }  # fmt: skip
    show(
        json.dumps(account) if as_json else ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in account.items())
    )
    return _SOMETHING_WAITS if waiting else _NOTHING_WAITS


class _Orphans:
    """Everything in the directory that no process holds."""

    def __init__(self, path: str) -> None:
        self.store = Store(opened(path), None, os.urandom(10).hex())
        self.store.adopt()
        held = {str(segment.name) for segment in self.store.adopted}
        self.total = sum(each.waiting for each in status_of(path).segments if each.name in held)

    def batch(self, most_bytes: int, most_events: int) -> StoredBatch | None:
        """The oldest."""
        return self.store.batch(most_bytes, most_events)

    def waiting(self) -> int:
        """As it was counted at the start."""
        return max(0, self.total - self.store.counts.settled)

    def settled(self) -> int:
        """Of all that was left."""
        return self.store.counts.settled

    def tick(self) -> None:
        """Nothing comes while it is drained."""


def _when(time_ns: int) -> str:
    try:
        return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return str(time_ns)
