"""Where everything lives that must outlast the process: SQLite by default, PostgreSQL for many processes."""
