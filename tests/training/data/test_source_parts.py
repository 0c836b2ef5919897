"""An interrupted run goes on where it was, and ends with the same corpus."""

import dataclasses
from pathlib import Path

import pytest

from tests.repositories import MIT, new_repository, plain_git
from training.data import collect as parts
from training.data.collect import Collected, Rules, collect
from training.data.prepare import prepare
from training.data.sources import Source
from training.recipe import CorpusRecipe

MAIL = "jane" + "@firm.io"


def code(name: str) -> str:
    return "".join(f"def {name}_{i}(value):\n    return value + {i}\n\n" for i in range(12))


class Counted:
    """Collects sources and remembers which; stops before one, as a user would."""

    def __init__(self, stop_before: str = "") -> None:
        self.names: list[str] = []
        self._stop_before = stop_before

    def __call__(self, source: Source, rules: Rules) -> Collected:
        if source.name == self._stop_before:
            raise KeyboardInterrupt
        self.names.append(source.name)
        return collect(source, rules)


@pytest.fixture
def recipe(tmp_path: Path) -> CorpusRecipe:
    for name in ("a+one", "b+two", "c+three"):
        text = f"# by {MAIL}\n{code(name[0])}"
        files = {"LICENSE": MIT, "x.py": text, "tiny.py": "x\n", "y.py": code(f"y{name[0]}")}
        new_repository(tmp_path / name, files)
    return CorpusRecipe(sources=(f"{tmp_path}/*+*",), processes=1)


def run(
    recipe: CorpusRecipe, out: Path, monkeypatch: pytest.MonkeyPatch, stop_before: str = ""
) -> list[str]:
    counted = Counted(stop_before)
    monkeypatch.setattr(parts, "collect", counted)
    if stop_before:
        with pytest.raises(KeyboardInterrupt):
            prepare(recipe, out)
    else:
        prepare(recipe, out)
    return counted.names


def test_interrupted_run_goes_on_and_ends_with_the_same_files(
    recipe: CorpusRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    assert run(recipe, out, monkeypatch, "c/three") == ["a/one", "b/two"]
    assert not out.exists()
    assert run(recipe, out, monkeypatch) == ["c/three"]
    assert run(recipe, whole, monkeypatch) == ["a/one", "b/two", "c/three"]
    for path in whole.iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name


def test_larger_corpus_reads_only_what_is_new(
    recipe: CorpusRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past failure (2026-11-29): parts went with the end of a run, 30 more sources cost all."""
    out = tmp_path / "out"
    run(recipe, out, monkeypatch)
    new_repository(tmp_path / "d+four", {"LICENSE": MIT, "x.py": code("d")})
    with monkeypatch.context() as patch:
        counted = Counted()
        patch.setattr(parts, "collect", counted)
        prepare(recipe, out, replace=True)
    assert counted.names == ["d/four"]


def test_parts_that_no_corpus_will_use_go_with_the_end_of_a_run(
    recipe: CorpusRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(recipe, tmp_path / "out", monkeypatch, "c/three")
    before = {path.name for path in (tmp_path / "out.parts").iterdir()}
    run(dataclasses.replace(recipe, seed=1), tmp_path / "out", monkeypatch)
    after = {path.name for path in (tmp_path / "out.parts").iterdir()}
    assert (len(before), len(after), before & after) == (2, 3, set())


def test_other_rules_and_other_commits_are_collected_again(
    recipe: CorpusRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(recipe, out, monkeypatch, "c/three")
    stricter = dataclasses.replace(
        recipe, filters=dataclasses.replace(recipe.filters, min_bytes=100)
    )
    assert run(stricter, out, monkeypatch, "c/three") == ["a/one", "b/two"]
    (tmp_path / "b+two" / "x.py").write_text(code("new"))
    plain_git(tmp_path / "b+two", "commit", "-q", "-a", "-m", "second")
    assert run(recipe, out, monkeypatch) == ["b/two", "c/three"]
    assert b"new_1" in (out / "train.bin").read_bytes()


def test_settings_that_change_no_source_keep_the_parts(
    recipe: CorpusRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(recipe, out, monkeypatch, "c/three")
    other = dataclasses.replace(recipe, validation=("a/one",), near_duplicate=0.0)
    assert run(other, out, monkeypatch) == ["c/three"]


def test_damaged_part_is_collected_again(
    recipe: CorpusRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(recipe, out, monkeypatch, "c/three")
    first, second = sorted((tmp_path / "out.parts").iterdir())
    first.write_bytes(first.read_bytes()[:-5])
    second.write_bytes(b"{}")
    assert sorted(run(recipe, out, monkeypatch)) == ["a/one", "b/two", "c/three"]


def test_folder_without_a_commit_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a+one", "b+two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "LICENSE").write_text(MIT)
        (tmp_path / name / "x.py").write_text(code(name[0]))
    recipe = CorpusRecipe(sources=(f"{tmp_path}/*+*",), processes=1)
    assert run(recipe, tmp_path / "out", monkeypatch, "b/two") == ["a/one"]
    assert run(recipe, tmp_path / "out", monkeypatch) == ["a/one", "b/two"]


def test_files_of_others_beside_the_parts_stay(
    recipe: CorpusRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out.parts").mkdir()
    (tmp_path / "out.parts" / "notes.txt").write_text("mine")
    run(recipe, tmp_path / "out", monkeypatch)
    assert (tmp_path / "out.parts" / "notes.txt").read_text() == "mine"
