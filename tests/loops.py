"""The loops that tests run on."""

import warnings

import uvloop


class Uvloop(uvloop.Loop):
    """uvloop warns of each transport that is left open while it closes, and waits for all of them to be closed. Where
    warnings are errors, the first one keeps it from closing that transport: `close` then never returns, and neither
    does the test run. Here the warnings come once all is closed."""

    def close(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            super().close()
        for warning in caught:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
