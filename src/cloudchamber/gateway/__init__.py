"""Shells that carry `wire/` over the network, and the hub of the device sessions that are open now."""
