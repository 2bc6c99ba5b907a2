"""Integrations: one framework per file, none of which is imported before you ask for it."""
