"""Several pipelines of one process, one after the other."""

from __future__ import annotations

from tests.child import run


def test_what_was_told_before_configure_is_counted_once_beside_what_came_after() -> None:
    """
    A program that records before it configures: both pipelines' points arrive, no duration twice.
    """
    told = run("""
        import bizspan
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from tests.providers import Far, built

        trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
        with bizspan.operation("early"):
            pass
        far = Far()
        with built(far) as flush:
            with bizspan.operation("late"):
                pass
            flush()
        found = []
        for resource in far.exported[-1].resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == "business.operation.duration":
                        found += [(p.attributes["business.operation.name"], p.count) for p in metric.data.data_points]
        print(sorted(found))
    """)
    assert "[('early', 1), ('late', 1)]" in str(told)
