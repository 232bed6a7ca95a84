"""Transfers: somebody asks the owner of a device for it, and the owner answers."""
