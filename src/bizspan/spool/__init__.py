"""
The durable event pipe: an event is written to a file before it counts as acknowledged, and sent until a collector has
answered that it took it. Standard library only.
"""
