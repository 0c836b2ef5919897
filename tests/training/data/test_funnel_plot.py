"""The funnel's picture: well-formed, as wide as the numbers say, and shown again on demand."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.repositories import MIT, new_repository
from training.data.corpus import MANIFEST
from training.data.funnel import FUNNEL, Refusals, funnel_rows
from training.data.funnel_plot import funnel_svg, main
from training.data.prepare import prepare
from training.data.recipe import CorpusRecipe

CODE = "".join(f"def area_{i}(width):\n    return width * {i}\n\n" for i in range(10))
SVG = "{http://www.w3.org/2000/svg}"


def refusals(reason: str, n_files: int, n_bytes: int) -> Refusals:
    counted = Refusals()
    for _ in range(n_files):
        counted.add(reason, n_bytes // n_files)
    return counted


def test_bars_are_as_long_as_what_is_left_and_what_went() -> None:
    rows = funnel_rows((10, 1_000_000), [refusals("duplicate", 4, 250_000)], (6, 750_000))
    picture = ET.fromstring(funnel_svg(rows))
    widths = [
        (bar.get("class"), float(bar.get("width", "")))
        for bar in picture.iter(f"{SVG}rect")
        if bar.get("class") != "page"
    ]
    full = widths[0][1]
    assert widths[4:8] == [
        ("left", 0.6 * full),
        ("gone", 0.4 * full),
        ("left", 0.75 * full),
        ("gone", 0.25 * full),
    ]
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"duplicate", "6 (-4)", "0.8 (-0.2)"} <= set(texts)


def test_names_are_escaped_and_an_empty_corpus_has_a_picture() -> None:
    rows = funnel_rows((1, 10), [refusals("<&>", 1, 10)], (0, 0))
    assert "&lt;&amp;&gt;" in funnel_svg(rows)
    assert ET.fromstring(funnel_svg(funnel_rows((0, 0), [], (0, 0)))).tag == f"{SVG}svg"


def test_command_shows_a_corpus_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new_repository(tmp_path / "a+one", {"LICENSE": MIT, "x.py": CODE, "t.py": "1\n"})
    out = tmp_path / "out"
    prepare(CorpusRecipe(sources=(f"{tmp_path}/a+one",), processes=1), out)
    assert FUNNEL in json.loads((out / MANIFEST).read_text())["files"]
    assert main([str(out)]) == 0
    shown = capsys.readouterr().out
    assert "too small" in shown
    assert shown.endswith(f"plot: {out / FUNNEL}\n")


def test_command_says_what_is_wrong_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"foretype data funnel: {tmp_path} is not a prepared")
    (tmp_path / MANIFEST).write_text(json.dumps({"format_version": 1}))
    assert main([str(tmp_path)]) == 1
    assert "prepared without a funnel" in capsys.readouterr().err
