"""Virtual devices: the device half of `wire/` with application firmware above and sockets below."""
