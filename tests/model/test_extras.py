"""2026-12-01: what was advised for an extra failed where foretype is installed as README says.

`python -m pip` is not there in what uv makes, nor in what pipx makes where there is uv.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

from model.extras import how_to_add


@pytest.mark.parametrize(
    ("has_pip", "is_pipx", "advice"),
    [
        (True, True, '"/a b/bin/python" -m pip install "foretype[serve]"'),
        (False, True, 'pipx runpip foretype-2 install "foretype[serve]"'),
        (False, False, 'uv pip install --python "/a b/bin/python" "foretype[serve]"'),
    ],
)
def test_an_extra_is_added_by_what_made_the_environment(
    has_pip: bool, is_pipx: bool, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "foretype-2"
    place.mkdir()
    if is_pipx:
        (place / "pipx_metadata.json").touch()
    monkeypatch.setattr(sys, "prefix", str(place))
    monkeypatch.setattr(sys, "executable", "/a b/bin/python")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object() if has_pip else None)
    assert how_to_add("serve") == advice
