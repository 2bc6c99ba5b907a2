"""A small Django project, for tests: as an application has it, with sessions, users and orders in SQLite."""
