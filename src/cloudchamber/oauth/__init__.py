"""The OAuth server: clients, tokens, and one file for each grant (RFC 6749 with the vendor's extensions)."""
