"""Log-ins through a browser: authorization codes with PKCE, the implicit flow of old clients, devices without a
keyboard (RFC 8628), and the sessions of the hosted pages that carry them.

`model` values, `rules` what decides, `store` SQL, and a service for each: `authorization`, `device_grants`, `sessions`,
`consents`. The grants that turn a code into tokens stand with the other grants.
"""
