"""Snippets in training rows: from other files, never from the hole's own, in the serving format."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from model.tokenizer import Tokenizer
from tests.code_samples import SAMPLES
from tests.scripted import small_tokenizer
from tests.training.data.packed import neighbours_of, pack_alone
from training.data.corpus import Document, Split, SplitWriter, write_manifest
from training.data.rows import Chunks, CrossFileSnippets, PackSettings, pack_group

SHOWN = PackSettings(block_size=512, spm_frac=1.0, psm_frac=0.0, snippet_frac=1.0)


def repository(source: str, n_files: int = 6) -> list[Document]:
    """Return files that use what others define; every line is of one file only."""
    files = []
    for n in range(n_files):
        other = (n + 1) % n_files
        text = f"from pkg.part{other} import Part{other}\n\n\nclass Part{n}:\n"
        text += "".join(
            f"    def step_{n}_{i}(self, part: Part{other}):\n"
            f"        return part.step_{other}_{i}(Part{other}, {n * 100 + i})\n\n"
            for i in range(12)
        )
        files.append(Document(source=source, path=f"pkg/part{n}.py", text=text))
    return files


def split_at(ids: list[int], id_: int) -> list[list[int]]:
    parts: list[list[int]] = [[]]
    for each in ids:
        if each == id_:
            parts.append([])
        else:
            parts[-1].append(each)
    return parts[1:]


def texts(row: list[int], tokenizer: Tokenizer) -> list[str]:
    """Return what stands behind each file mark of a row."""
    parts = split_at(row, tokenizer.special_id("<|file_sep|>"))
    return [tokenizer.decode_bytes(part).decode("utf-8", "ignore") for part in parts]


def test_holes_are_led_by_code_of_other_files_of_the_repository() -> None:
    tokenizer = small_tokenizer("qwen2")
    packed = pack_alone([*repository("a/b"), *repository("c/d")], tokenizer, SHOWN)
    assert packed.counts["with snippets"] > 0.8 * packed.counts["spm"] > 0
    assert packed.counts["snippet tokens"] <= SHOWN.snippet_tokens * packed.counts["with snippets"]


def test_share_of_snippets_is_of_all_chunks() -> None:
    tokenizer = small_tokenizer("qwen2")
    documents = [each for i in range(30) for each in repository(f"a/{i}")]
    wanted = PackSettings(spm_frac=0.5, psm_frac=0.1, snippet_frac=0.3)
    counts = pack_alone(documents, tokenizer, wanted).counts
    n_chunks = counts["spm"] + counts["psm"] + counts["plain"]
    assert counts["with snippets"] / n_chunks == pytest.approx(0.3, abs=0.06)


def test_without_a_share_or_a_budget_there_are_none() -> None:
    tokenizer = small_tokenizer("qwen2")
    for off in ({"snippet_frac": 0.0}, {"snippet_tokens": 0}):
        packed = pack_alone(repository("a/b"), tokenizer, dataclasses.replace(SHOWN, **off))
        assert packed.counts["with snippets"] == 0
        assert packed.counts["spm"] > 0


def test_file_alone_in_its_repository_has_none() -> None:
    packed = pack_alone(
        [*repository("a/b", 1), *repository("c/d", 1)], small_tokenizer("qwen2"), SHOWN
    )
    assert packed.counts["with snippets"] == 0
    assert packed.counts["spm"] > 0


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), budget=st.integers(40, 256))
@example(seed=4, budget=188)
def test_no_snippet_is_of_the_file_that_has_the_hole(seed: int, budget: int) -> None:
    tokenizer = small_tokenizer("qwen2")
    wanted = dataclasses.replace(SHOWN, seed=seed, snippet_tokens=budget)
    packed = pack_alone(repository("a/b"), tokenizer, wanted)
    assume(packed.counts["plain"] == 0)  # a file's plain text looks like a snippet of it here
    middle = tokenizer.special_id("<|fim_middle|>")
    for row in packed.rows.tolist():
        assert row[0] == tokenizer.special_id("<|file_sep|>")
        shown: set[str] = set()
        for ids, text in zip(
            split_at(row, tokenizer.special_id("<|file_sep|>")), texts(row, tokenizer), strict=True
        ):
            path = text.partition("\n")[0]
            if middle in ids:
                assert path not in shown
                shown = set()
            else:
                shown.add(path)


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_text_comes_back_and_its_hole_is_not_shown_in_every_language(name: str, seed: int) -> None:
    ending = name.rpartition(".")[2]
    own = Document(source="a/b", path=f"src/{name}", text=SAMPLES[name])
    others = [
        Document(source="a/b", path=f"src/other{n}.{ending}", text=_renamed(SAMPLES[name], n))
        for n in range(3)
    ]
    tokenizer = small_tokenizer("qwen2")
    chunks = Chunks(own, tokenizer)
    neighbours = neighbours_of([own, *others])
    rng = np.random.default_rng(seed)
    parts = chunks.cut(0, chunks.n_lines, rng)
    assert parts.prefix + parts.middle + parts.suffix == own.text
    hole = (len(parts.prefix), len(parts.prefix) + len(parts.middle))
    shown = [snippet.path for snippet in neighbours.snippets(own, hole, 600, rng)]
    assert own.path not in shown


def _renamed(text: str, n: int) -> str:
    """Return code that is like another, line by line, and nowhere the same."""
    return "\n".join(
        f"{line} {n}{i}" if line.strip() else "" for i, line in enumerate(text.split("\n"))
    )


def test_group_is_packed_alone_as_among_others_with_snippets(tmp_path: Path) -> None:
    with SplitWriter(tmp_path, "train") as writer:
        for document in [*repository("a/b"), *repository("c/d")]:
            text = document.text.encode()
            writer.add(source=document.source, path=document.path, text=text, sha256="")
    write_manifest(tmp_path, {})
    tokenizer = small_tokenizer("qwen2")
    wanted = dataclasses.replace(SHOWN, group_documents=4)
    shared = CrossFileSnippets(Split(tmp_path).files_of)

    def rows(group: int, neighbours: CrossFileSnippets) -> list[list[int]]:
        packed = pack_group(
            Split(tmp_path), tokenizer, wanted, epoch=0, group=group, neighbours=neighbours
        )
        assert packed.counts["with snippets"]
        return [[int(id_) for id_ in row] for row in packed.rows]

    assert [rows(group, shared) for group in (2, 0, 1)] == [
        rows(group, CrossFileSnippets(Split(tmp_path).files_of)) for group in (2, 0, 1)
    ]
