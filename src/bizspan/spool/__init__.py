"""The durable event pipe."""
