"""What the tests of the command line share."""

from collections.abc import Iterator

import pytest

from tests.site import World, world


@pytest.fixture(scope="module")
def vendor() -> Iterator[World]:
    """An Opencast whose rows are all at rest but those of the last hours; no test of a module moves its clock."""
    with world() as found:
        yield found
