from tests.api.conftest import cloud, http, maker, migrated_cloud, profile, stranger
from tests.world import make_world, password_hash, passwords, world

__all__ = [
    "cloud",
    "http",
    "make_world",
    "maker",
    "migrated_cloud",
    "password_hash",
    "passwords",
    "profile",
    "stranger",
    "world",
]
