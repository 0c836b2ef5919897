"""What the tests of whole programs share."""

from collections.abc import Iterator

import pytest

from tests.e2e.raw_client import ServerProcess


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    """A server of scripted models, started as an editor starts one."""
    with ServerProcess() as process:
        yield process
