"""The funnel's rows add up and stand in the order of the questions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.repositories import MIT, new_repository
from training.data import filters
from training.data.collect import Refusals
from training.data.corpus import MANIFEST
from training.data.dedup import NEAR_EVALUATION
from training.data.funnel import ORDER, format_funnel, funnel_rows, main
from training.data.prepare import prepare
from training.data.recipe import CorpusRecipe, FilterSettings

CODE = "".join(f"def area_{i}(width):\n    return width * {i}\n\n" for i in range(10))


def counted(*items: tuple[str, int]) -> Refusals:
    refusals = Refusals()
    for reason, n_bytes in items:
        refusals.add(reason, n_bytes)
    return refusals


def counts(files: int, n_bytes: int) -> dict[str, int]:
    return {"files": files, "bytes": n_bytes}


def test_rest_of_a_row_is_what_the_next_one_saw() -> None:
    refusals = counted(("duplicate", 30), ("vendored", 100), ("too small", 5), ("vendored", 50))
    rows = funnel_rows(counts(10, 1000), refusals, counts(6, 800))
    table = [tuple(row.values()) for row in rows]
    assert table == [
        ("seen", 0, 0, 10, 1000),
        ("vendored", 2, 150, 8, 850),
        ("too small", 1, 5, 7, 845),
        ("duplicate", 1, 30, 6, 815),
        ("kept", 0, 0, 6, 800),
    ]
    assert format_funnel(rows).splitlines()[2] == (
        "       -2      -0.0             8       0.0  vendored"
    )


def test_reason_that_is_not_in_the_list_is_still_counted() -> None:
    refusals = counted(("new reason", 10), ("duplicate", 5))
    rows = funnel_rows(counts(2, 20), refusals, counts(0, 0))
    assert [row["step"] for row in rows] == ["seen", "duplicate", "new reason", "kept"]


@pytest.mark.parametrize(
    ("path", "text", "n_bytes"),
    [
        ("credentials.json", "", 100),
        ("node_modules/a.js", "", 100),
        ("locale/a.py", "", 100),
        ("a.py", "", 0),
        ("a.py", "", 1 << 30),
        ("tests/a.py", "", 100),
        ("a.py", "var a=1;" * 200, 100),
        ("a.py", ("word " * 25 + "\n") * 5, 100),
        ("a.py", "# do not edit\n", 100),
        ("a.ts", "<?xml version='1.0'?>\n", 100),
        ("a.py", "+-*/ \n" * 20, 100),
        ("a.py", "0x1f, 0x22,\n" * 20, 100),
    ],
)
def test_reasons_of_the_filters_have_a_place(path: str, text: str, n_bytes: int) -> None:
    settings = FilterSettings(test_keep_frac=0.0)
    reason = filters.path_reason(path, n_bytes, settings, "") or filters.text_reason(text, settings)
    assert reason in ORDER
    assert NEAR_EVALUATION in ORDER


def test_bytes_of_a_corpus_add_up(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "a.py": CODE,
        "b.py": CODE,
        "t.py": "x\n",
        "bad.py": b"\xff" * 100,
    }
    new_repository(tmp_path / "a+one", files | {"LICENSE": MIT})
    new_repository(tmp_path / "b+two", {"c.py": CODE})
    recipe = CorpusRecipe(sources=(f"{tmp_path}/*+*",), processes=1)
    rows = prepare(recipe, tmp_path / "out")["funnel"]
    n_bytes = len(CODE)
    assert [(row["step"], row["files_left"], row["bytes_left"]) for row in rows] == [
        ("seen", 4, 2 * n_bytes + 102),
        ("too small", 3, 2 * n_bytes + 100),
        ("undecodable", 2, 2 * n_bytes),
        ("duplicate", 1, n_bytes),
        ("kept", 1, n_bytes),
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
    (tmp_path / MANIFEST).write_text(json.dumps({"format_version": 1}))
    assert main([str(tmp_path)]) == 1
    assert "prepared without a funnel" in capsys.readouterr().err
