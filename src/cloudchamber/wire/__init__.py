"""The device protocol, both ends, as pure state machines: bytes and `now` in, events, bytes and a deadline out.

Nothing here opens a socket, reads a clock or draws randomness: nonces, credentials and first tokens are handed in,
and RSA work that takes a millisecond is an event (`DecryptHandshake`, `IdentifyDevice`) that the shell answers.
"""
