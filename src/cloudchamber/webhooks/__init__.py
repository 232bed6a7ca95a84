"""Webhooks on record. Delivering events to them comes with a later change; `docs/compatibility.md` says so."""
