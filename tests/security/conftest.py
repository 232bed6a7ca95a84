from tests.api.conftest import migrated_cloud

__all__ = ["migrated_cloud"]
