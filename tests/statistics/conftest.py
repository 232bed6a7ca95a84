from tests.world import make_world, password_hash, passwords, world

__all__ = ["make_world", "password_hash", "passwords", "world"]
