"""What the tests of this folder share."""

from tests.integration.conftest import vendor

__all__ = ["vendor"]
