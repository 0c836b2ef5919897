"""One wheel for all packaging tests of a run: building it takes seconds."""

from pathlib import Path

import pytest

from tests.packaging.installs import build


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))
