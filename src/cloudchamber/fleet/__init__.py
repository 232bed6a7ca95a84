"""Products and their devices: the registry, imports, device keys and who trusts them."""
