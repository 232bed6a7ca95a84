"""The TCP transport: RSA handshake, AES-128-CBC frames, and both ends of a connection."""
