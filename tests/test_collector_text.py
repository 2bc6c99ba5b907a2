"""
The Collector's configuration in docs/ keeps what it says: on disk before the answer, without giving up.

No OpenTelemetry Collector runs here: this reads the text, and `rotel`, which does run, has another configuration.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from tests.test_docs import blocks_of

yaml: Any = pytest.importorskip("yaml", reason="PyYAML is not installed")

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "how-to" / "keep-events-on-disk.md"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="docs/ is not in this copy")


@pytest.fixture(scope="module")
def config() -> Any:
    [block] = [block for block in blocks_of(PAGE.read_text("utf-8")) if block.info == "yaml"]
    return yaml.safe_load(block.text)


def test_the_queue_is_on_disk_and_nobody_gives_up(config: Any) -> None:
    """
    The pipeline's exporter has its queue in a storage that is switched on, waits when it is full, and retries for ever.
    """
    [exporter] = config["service"]["pipelines"]["logs/business"]["exporters"]
    queue = config["exporters"][exporter]["sending_queue"]

    assert queue["storage"] in config["service"]["extensions"]
    assert config["extensions"][queue["storage"]]["create_directory"] is True
    assert (True, "items") == (queue["block_on_overflow"], queue["sizer"])
    assert 0 == config["exporters"][exporter]["retry_on_failure"]["max_elapsed_time"]
    # Both are on by default, and switching one off would undo the rest.
    assert "enabled" not in {*queue, *config["exporters"][exporter]["retry_on_failure"]}


def test_nothing_answers_before_the_event_is_on_disk(config: Any) -> None:
    """
    No processor stands between the receiver and the queue: a batch processor holds in memory what was answered.
    """
    [pipeline] = config["service"]["pipelines"].values()

    assert [] == pipeline["processors"]
    assert ["otlp"] == pipeline["receivers"]
    assert "http" in config["receivers"]["otlp"]["protocols"]  # the spool sends nothing else


def test_what_is_named_is_there(config: Any) -> None:
    """
    Each component that the service uses is configured, and none is configured in vain.
    """
    service = config["service"]
    [pipeline] = service["pipelines"].values()

    assert [*config["extensions"]] == service["extensions"]
    assert [*config["receivers"]] == pipeline["receivers"]
    assert [*config["exporters"]] == pipeline["exporters"]
