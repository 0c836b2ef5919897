"""The funnel's rows add up and stand in the order of the questions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.repositories import MIT, new_repository
from training.data import filters
from training.data.dedup import NEAR_EVALUATION
from training.data.funnel import ORDER, Refusals, format_funnel, funnel_rows
from training.data.prepare import prepare
from training.data.recipe import CorpusRecipe, FilterSettings


def refusals(**n_bytes: int) -> Refusals:
    counted = Refusals()
    for reason, size in n_bytes.items():
        counted.add(reason.replace("_", " "), size)
    return counted


def test_rest_of_a_row_is_what_the_next_one_saw() -> None:
    several = [refusals(duplicate=30, vendored=100), refusals(too_small=5, vendored=50)]
    rows = funnel_rows((10, 1000), several, (6, 800))
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
    rows = funnel_rows((2, 20), [refusals(new_reason=10, duplicate=5)], (0, 0))
    assert [row["step"] for row in rows] == ["seen", "duplicate", "new reason", "kept"]


@pytest.mark.parametrize(
    ("path", "text", "n_bytes"),
    [
        ("node_modules/a.js", "", 100),
        ("locale/a.py", "", 100),
        ("a.py", "", 0),
        ("a.py", "", 1 << 30),
        ("tests/a.py", "", 100),
        ("a.py", "var a=1;" * 200, 100),
        ("a.py", ("word " * 25 + "\n") * 5, 100),
        ("a.py", "# do not edit\n", 100),
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
    code = "".join(f"def area_{i}(width):\n    return width * {i}\n\n" for i in range(10))
    files: dict[str, str | bytes] = {
        "a.py": code,
        "b.py": code,
        "t.py": "x\n",
        "bad.py": b"\xff" * 100,
    }
    new_repository(tmp_path / "a+one", files | {"LICENSE": MIT})
    new_repository(tmp_path / "b+two", {"c.py": code})
    recipe = CorpusRecipe(sources=(f"{tmp_path}/*+*",), processes=1)
    rows = prepare(recipe, tmp_path / "out")["funnel"]
    n_bytes = len(code)
    assert [(row["step"], row["files_left"], row["bytes_left"]) for row in rows] == [
        ("seen", 4, 2 * n_bytes + 102),
        ("too small", 3, 2 * n_bytes + 100),
        ("undecodable", 2, 2 * n_bytes),
        ("duplicate", 1, n_bytes),
        ("kept", 1, n_bytes),
    ]
