"""What a corpus lost to each reason adds up."""

from pathlib import Path

import pytest

from tests.repositories import MIT, new_repository
from training.data.corpus import format_summary, main
from training.data.prepare import prepare
from training.recipe import CorpusRecipe

CODE = "".join(f"def area_{i}(width):\n    return width * {i}\n\n" for i in range(10))


def test_files_of_a_corpus_add_up(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "a.py": CODE,
        "b.py": CODE,
        "t.py": "x\n",
        "bad.py": b"\xff" * 100,
    }
    new_repository(tmp_path / "a+one", files | {"LICENSE": MIT})
    new_repository(tmp_path / "b+two", {"c.py": CODE})
    recipe = CorpusRecipe(sources=(f"{tmp_path}/*+*",), processes=1)
    lines = format_summary(prepare(recipe, tmp_path / "out")).splitlines()
    assert [line.strip() for line in lines[1:-1]] == [
        "4 files seen",
        "-1 duplicate",
        "-1 too small",
        "-1 undecodable",
        "1 files in train, 0.0 MB",
        "0 files in validation, 0.0 MB",
    ]


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
