"""The tables that `python -m tests.bench` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .breakdown import BY_EMIT, EVENT, LIGHT, SPAN, Step
from .compare import Comparison
from .encoding import Encoding
from .measure import Cost
from .served import ALONE, REQUEST_AT_MOST, WITH, Served
from .spooled import APP_AT_MOST, EMIT, EMIT_AT_MOST, TAIL_AT_MOST_US, TOTAL_AT_MOST, Spooled
from .startup import Startup
from .targets import BARE, BLOCK, BY_HAND, DECORATOR, IMPORT_ADDS_MS, TARGETS, TOTALS_TO_PROMETHEUS

_HEAD = f"{'':22}{'app us':>9}{'/ H':>7}{'total us':>11}{'/ H':>7}{'calls':>9}{'/ H':>7}{'all threads':>13}"


def comparison_table(comparison: Comparison) -> str:
    """One state: a line per subject, then what was to be reached."""
    calls_h = comparison.calls[BY_HAND].app
    lines = [comparison.state.upper(), _HEAD]
    for name in (BARE, BY_HAND, BLOCK, DECORATOR):
        cost, ratio, calls = comparison.costs[name], comparison.to_by_hand[name], comparison.calls[name]
        lines.append(
            f"{name:22}{cost.app_us:9.2f}{ratio.app_us:7.3f}{cost.total_us:11.2f}{ratio.total_us:7.3f}"
            f"{calls.app:9.1f}{calls.app / calls_h:7.3f}{calls.total:13.1f}"
        )
    target, worst = TARGETS[comparison.state], comparison.worst()
    lines.append(f"{'target, app thread':22}{'<=':>9}{target.app:7.3f}  {verdict(worst.app_us, target.app)}")
    if target.total is not None:
        lines.append(f"{'target, total':22}{'<=':>27}{target.total:7.3f}  {verdict(worst.total_us, target.total)}")
    return "\n".join(lines)


def totals_table(costs: Mapping[str, Cost], ratio: Cost, ours: str, theirs: str) -> str:
    """Metrics alone: ours against prometheus_client."""
    worst = max(ratio.app_us, ratio.total_us)
    lines = ["METRICS ALONE (one duration, two counters; reading them out is in total)"]
    lines += [f"{name:22}{cost.app_us:9.2f}{'':7}{cost.total_us:11.2f}" for name, cost in costs.items()]
    lines.append(
        f"{ours} / {theirs}: app {ratio.app_us:.3f}, total {ratio.total_us:.3f}, "
        f"target <= {TOTALS_TO_PROMETHEUS}  {verdict(worst, TOTALS_TO_PROMETHEUS)}"
    )
    return "\n".join(lines)


def startup_table(startup: Startup) -> str:
    """What an import costs, and what the first decoration adds."""
    added = f"target <= {IMPORT_ADDS_MS:.0f}  {verdict(startup.added_ms, IMPORT_ADDS_MS)}"
    return "\n".join(
        [
            "START-UP (CPU of a fresh interpreter)",
            f"opentelemetry trace, metrics, _logs   {startup.api_ms:8.1f} ms",
            f"the same and bizspan                  {startup.bizspan_ms:8.1f} ms",
            f"bizspan adds                          {startup.added_ms:8.1f} ms   {added}",
            f"the first decoration (imports wrapt)  {startup.first_decoration_ms:8.1f} ms",
        ]
    )


def breakdown_table(steps: Sequence[Step], whole: Cost, by_hand: Cost) -> str:
    """Where ours goes while recording, and what a span of our own would leave."""
    costs = {step.name: step.cost for step in steps}
    span = Cost(sum(costs[name].app_us for name in SPAN), sum(costs[name].total_us for name in SPAN))
    event, light = costs[EVENT], costs[LIGHT]
    rest = Cost(whole.app_us - span.app_us, whole.total_us - span.total_us - event.total_us)
    lighter = Cost(rest.app_us + light.app_us, rest.total_us + event.total_us + light.total_us)
    part = Cost(lighter.app_us / by_hand.app_us, lighter.total_us / by_hand.total_us)
    rows = [
        *((f"  {name}", costs[name]) for name in SPAN),
        ("the SDK's span", span),
        (EVENT, event),
        (BY_EMIT, costs[BY_EMIT]),
        ("bizspan: facts, money, the record, totals, both threads", rest),
        ("the whole operation", whole),
        (LIGHT, light),
        ("the whole operation with it", lighter),
        ("the same, in parts of H", part),
    ]
    lines = [f"{'WHERE THE REST GOES (bizspan as block, recording)':58}{'app us':>9}{'total us':>10}"]
    return "\n".join(lines + [f"{name:58}{cost.app_us:9.2f}{cost.total_us:10.2f}" for name, cost in rows])


def spooled_table(spooled: Spooled) -> str:
    """What a spool costs."""
    blocks = (
        ("ONE EVENT TO DISK", spooled.emit, EMIT),
        ("ONE OPERATION, events to disk, exporters doing nothing", spooled.operation, BY_HAND),
        ("THE SAME, everything sent over OTLP/HTTP to a collector", spooled.sent, BY_HAND),
    )
    figures = (
        (spooled.emit_ratio, EMIT_AT_MOST, "app thread"),
        (spooled.operation_ratio, APP_AT_MOST, "app thread"),
        (spooled.sent_ratio, TOTAL_AT_MOST, "all threads"),
    )
    lines: list[str] = []
    for (title, costs, base), (ratio, most, what) in zip(blocks, figures, strict=True):
        lines += [f"{title:58}{'app us':>9}{'total us':>10}"]
        lines += [f"{name:58}{cost.app_us:9.2f}{cost.total_us:10.2f}" for name, cost in costs.items()]
        lines.append(f"ours / {base}, {what}: {ratio:.3f}  target <= {most:.2f}  {verdict(ratio, most)}")
    lines.append(
        f"p99.9 of one event to disk: {spooled.tail_us:.0f} us  target <= {TAIL_AT_MOST_US:.0f}"
        f"  {verdict(spooled.tail_us, TAIL_AT_MOST_US)}"
    )
    return "\n".join(lines)


def served_table(exporting: str, requests: Sequence[Served]) -> str:
    """What a request costs the server, by framework."""
    title = f"A REQUEST, {exporting}, server's CPU"
    lines = [f"{title:38}{ALONE:>23}{WITH:>15}{'ratio':>8}{'quartiles':>16}"]
    for each in requests:
        lines.append(
            f"{each.name:38}{each.alone_us:20.0f} us{each.with_us:12.0f} us"
            f"{each.ratio:8.3f}{each.low:9.3f} {each.high:6.3f}"
            f"  target <= {REQUEST_AT_MOST:.2f}  {verdict(each.ratio, REQUEST_AT_MOST)}"
        )
    return "\n".join(lines)


def encoding_table(encoding: Encoding) -> str:
    """A request of spans, and one of events."""
    rows = (
        ("encoded", f"{encoding.sdk_us:.1f} us", f"{encoding.ours_us:.1f} us"),
        ("an event, encoded", f"{encoding.events_sdk_us:.1f} us", f"{encoding.events_ours_us:.1f} us"),
        ("compressed, gzip at level 9 and 1", f"{encoding.gzip_9_us:.1f} us", f"{encoding.gzip_1_us:.1f} us"),
        ("the batch, compressed", f"{encoding.gzip_9_bytes} By", f"{encoding.gzip_1_bytes} By"),
    )
    head = f"{'A REQUEST OF SPANS, per span of a batch':42}{'the SDK':>12}{'ours':>12}"
    return "\n".join((head, *(f"{name:42}{theirs:>12}{ours:>12}" for name, theirs, ours in rows)))


def verdict(figure: float, target: float) -> str:
    """`reached` or `missed`."""
    return "reached" if figure <= target else "missed"
