"""Benchmarks of a whole cloud, beside a bare ASGI application in the same run: `python -m bench --help`."""
