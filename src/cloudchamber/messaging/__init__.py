"""Events, streams of events, function calls and variable reads."""
