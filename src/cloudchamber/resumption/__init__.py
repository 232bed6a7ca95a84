"""DTLS sessions that outlive their connection, the process and the sleep of their device."""
