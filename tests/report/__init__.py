"""Reports, marks and alerts."""
