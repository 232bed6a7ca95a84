"""DTLS 1.2 as Device OS speaks it over UDP: one suite, raw public keys, sessions that outlive addresses and restarts.

    Endpoint (endpoint.py)       the cloud: one socket, many devices
      cookies.py                 a first hello is answered without remembering anything
      ServerHandshake            one for each address that returned its cookie (server.py)
      DtlsSession                what a handshake leaves behind, and what survives (session.py, state.py)
    DtlsClient (client.py)       a device, for the simulator
    records.py, handshake_messages.py, prf.py, raw_keys.py      layouts and keys, used by both

What differs from the RFCs, because shipped firmware wants it so:

* The server sends no Certificate message: a device that gets one answers `unexpected_message`. It knows the server's
  key beforehand and checks the signature of ServerKeyExchange with it.
* The connection id is the one of a draft: extension number 254, and its own order of additional data. The number and
  order of RFC 9146 (54) are understood too.
* A device that wakes, reboots or changes its network goes on with the next record of its saved session. It marks such
  records with type 253, or with type 254 and its device id behind the record, until it hears from the server.

The clock, randomness and keys are handed in. Only the nonce inside an ECDSA signature is OpenSSL's own.
"""
