"""One shop on each framework, with OpenTelemetry's instrumentation, and with bizspan where BENCH_OURS says so."""
