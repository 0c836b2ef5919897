"""Names, whole files and runs of words that stay out."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import ConfigError
from training.data.decontaminate import (
    Overlap,
    benchmark_texts,
    content_hash,
    find_reason,
    hash_runs,
    load_never_train,
    words_of,
)
from training.data.sources import name_hash

PROBLEM = {
    "task_id": "SingleLine/0",
    "prompt": "def longest_common_prefix(first, second):\n    shared = 0\n",
    "canonical_solution": "    while shared < min(len(first), len(second)):\n",
    "suffix": "        if first[shared] != second[shared]:\n            break\n",
}


def hash_list(path: Path, *names: str) -> Path:
    path.write_text("# a comment\n\n" + "".join(f"{name_hash(name)}\n" for name in names))
    return path


@pytest.mark.parametrize("listed", ["some-owner/my-lib", "my-lib", "some-owner/*"])
@pytest.mark.parametrize(
    "name", ["Some_Owner/my.lib", "some-owner/MY--LIB", "some.owner/my_lib-1.2"]
)
def test_any_form_of_a_hashed_name_is_enough(listed: str, name: str, tmp_path: Path) -> None:
    never = load_never_train([hash_list(tmp_path / "list", listed)], [])
    assert find_reason(name, never) == "never-train list"


def test_fork_and_archive_go_by_the_bare_name(tmp_path: Path) -> None:
    never = load_never_train([hash_list(tmp_path / "list", "my-lib")], [])
    assert find_reason("somebody-else/My_Lib", never) == "never-train list"
    assert find_reason("my_lib-2.0.1", never) == "never-train list"
    assert find_reason("my-library", never) is None


def test_evaluation_repositories_and_their_forks_stay_out(tmp_path: Path) -> None:
    path = tmp_path / "repositories.json"
    path.write_text(
        json.dumps({"note": "x/y", "repos": [{"repo": "a/Lib_One"}], "reserve": ["b/two"]})
    )
    never = load_never_train([], [path])
    names = ["A/lib-one", "fork/lib.one", "c/two", "a/other", "x/y"]
    assert [find_reason(name, never) for name in names] == ["evaluation repository"] * 3 + [
        None
    ] * 2


def test_no_lists_refuse_nothing() -> None:
    assert find_reason("a/b", {}) is None


def test_broken_lists_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("not a hash\n")
    with pytest.raises(ConfigError, match="not a SHA-256"):
        load_never_train([bad], [])
    with pytest.raises(ConfigError, match="cannot read"):
        load_never_train([], [bad])
    with pytest.raises(ConfigError, match="cannot read"):
        load_never_train([tmp_path / "missing"], [])
    bad.write_text("{}")
    with pytest.raises(ConfigError, match="names no repository"):
        load_never_train([], [bad])


def test_content_hash_ignores_the_line_ends_of_a_checkout() -> None:
    assert content_hash(b"a\r\nb\r\n") == hashlib.sha256(b"a\nb\n").digest()


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_problem_is_found_across_its_hole(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"problems{suffix}"
    line = json.dumps(PROBLEM).encode() + b"\n"
    path.write_bytes(gzip.compress(line) if suffix == ".jsonl.gz" else line)
    overlap = Overlap(benchmark_texts([path]), 10)
    solved = PROBLEM["prompt"] + PROBLEM["canonical_solution"] + PROBLEM["suffix"]
    assert overlap.find(f"import os\n\n\n{solved}") is not None
    assert overlap.find(solved.upper().replace("\n", " ")) is not None  # other case and layout
    assert overlap.find("def longest_common_prefix(first, second):\n    return ''\n") is None


def test_solutions_of_other_layouts_are_read(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text(json.dumps({"solution_code": "alpha beta gamma delta epsilon"}) + "\n")
    assert Overlap(benchmark_texts([path]), 5).find("x alpha beta gamma delta epsilon y")


@pytest.mark.parametrize("content", ["[1]\n", "{", "\ud800"])
def test_broken_benchmark_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError, match="cannot read benchmark"):
        list(benchmark_texts([path]))


def test_counting_and_months_are_in_every_code_base() -> None:
    texts = ["0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11", "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov"]
    overlap = Overlap(texts, 10)
    assert [overlap.find(text) for text in texts] == [None, None]


@pytest.mark.parametrize(
    "text",
    [
        "[a, b, c, d, e, f, g, h, i, j, k]",
        "for (int i = 0; i < n; i++) for (int j = 0; j < n; j++) s += a[i][j];",
    ],
)
def test_letters_and_loops_are_in_every_code_base(text: str) -> None:
    """Past failure (2026-11-29): a third of the hits were runs of single letters."""
    assert Overlap([text], 10).find(text) is None


def test_no_benchmark_finds_nothing() -> None:
    overlap = Overlap([], 10)
    assert (len(overlap), overlap.find("a b c d e f g h i j k l")) == (0, None)


words = st.lists(st.sampled_from("alpha beta gamma delta epsilon zeta eta".split()), max_size=40)


@settings(max_examples=60)
@given(known=words, text=words)
def test_hashed_runs_agree_with_plain_comparison(known: list[str], text: list[str]) -> None:
    def runs(items: list[str]) -> set[tuple[str, ...]]:
        return {tuple(items[i : i + 4]) for i in range(len(items) - 3)}

    telling = {run for run in runs(known) & runs(text) if len(set(run)) >= 4}
    assert bool(telling) == (Overlap([" ".join(known)], 4).find(" ".join(text)) is not None)


def test_digest_tells_sets_of_problems_apart() -> None:
    words = "one two three four five six seven eight nine ten"
    assert Overlap([words], 5).digest() == Overlap([words, words], 5).digest()
    assert Overlap([words], 5).digest() != Overlap([words + " eleven"], 5).digest()


def test_only_words_count_and_their_case_does_not() -> None:
    one, other = "def add(first, second): return first", "DEF add first second\n return FIRST;"
    assert words_of(one) == ["def", "add", "first", "second", "return", "first"]
    assert hash_runs(words_of(one), 5).tolist() == hash_runs(words_of(other), 5).tolist()
    assert len(hash_runs(words_of(one), 5)) == 2


def test_order_counts() -> None:
    ab, ba = hash_runs(["a", "b", "a"], 2).tolist()
    assert ab != ba
    assert hash_runs(["b", "a"], 2).tolist() == [ba]


def test_fewer_words_than_a_run_have_none() -> None:
    assert len(hash_runs(["a", "b"], 3)) == 0


def test_hash_is_the_same_on_every_machine() -> None:
    (found,) = hash_runs(["Word"], 1).tolist()
    assert found == 5378651625018068629
