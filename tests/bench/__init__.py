"""What a business operation costs, measured: ``python -m tests.bench``; see docs/explanation/cost.md."""
