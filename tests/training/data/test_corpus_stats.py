"""`foretype data funnel` shows again what a corpus was made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.repositories import MIT, new_repository
from training.data.corpus import MANIFEST
from training.data.corpus_stats import main
from training.data.prepare import prepare
from training.data.recipe import CorpusRecipe

CODE = "".join(f"def area_{i}(width):\n    return width * {i}\n\n" for i in range(10))


def test_command_shows_a_corpus_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new_repository(tmp_path / "a+one", {"LICENSE": MIT, "x.py": CODE, "t.py": "1\n"})
    out = tmp_path / "out"
    prepare(CorpusRecipe(sources=(f"{tmp_path}/a+one",), processes=1), out)
    assert main([str(out)]) == 0
    shown = capsys.readouterr().out
    assert "too small" in shown


def test_command_says_what_is_wrong_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"foretype data funnel: {tmp_path} is not a prepared")
    (tmp_path / MANIFEST).write_text(json.dumps({"format_version": 1}))
    assert main([str(tmp_path)]) == 1
    assert "prepared without a funnel" in capsys.readouterr().err
