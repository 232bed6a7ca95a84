"""The command line: one module a command group. The outermost layer; it may use everything."""
