"""Rows of ids: whole documents, fresh spans, and nothing that depends on what came before."""

import dataclasses
import functools
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import ConfigError
from model.tokenizer import SPECIAL_TOKENS, Tokenizer
from tests.scripted import small_tokenizer
from tests.training.data.packed import pack_alone
from training.data.corpus import MANIFEST, Document, Split, SplitWriter, write_manifest
from training.data.rows import (
    CrossFileSnippets,
    Packed,
    PackSettings,
    document_order,
    n_groups,
    pack_group,
)
from training.data.spans import cut_hole

SETTINGS = PackSettings(block_size=160, suffix_tokens=40)
PLAIN = dataclasses.replace(SETTINGS, spm_frac=0.0, psm_frac=0.0)


@dataclasses.dataclass(frozen=True)
class Example:
    """One example as it stands in a row."""

    path: str
    layout: str
    body: str  # prefix + middle + suffix
    is_ended: bool


def examples(row: list[int], tokenizer: Tokenizer) -> list[Example]:
    """Take a row apart at its special ids."""
    starts = [i for i, id_ in enumerate(row) if id_ == tokenizer.special_id("<|file_sep|>")]
    assert starts[0] == 0  # every row begins with a header
    return [
        example(row[start + 1 : end], tokenizer)
        for start, end in zip(starts, [*starts[1:], len(row)], strict=True)
    ]


def example(ids: list[int], tokenizer: Tokenizer) -> Example:
    markers = [tokenizer.special_id(f"<|fim_{name}|>") for name in ("prefix", "suffix", "middle")]
    parts: list[list[int]] = [[]]
    order: list[int] = []
    for id_ in ids:
        if id_ in markers:
            order.append(markers.index(id_))
            parts.append([])
        else:
            parts[-1].append(id_)
    texts = [tokenizer.decode_bytes(part).decode("utf-8", "ignore") for part in parts]
    is_ended = tokenizer.end_id in ids
    if not order:
        path, _, body = texts[0].partition("\n")
        return Example(path, "plain", body, is_ended)
    assert order == [0, 1, 2]
    path = texts[0].removesuffix("\n")
    if texts[1] == "":  # suffix first; an empty prefix reads the same either way
        return Example(path, "spm", texts[3] + texts[2], is_ended)
    return Example(path, "psm", texts[1] + texts[3] + texts[2], is_ended)


def code(name: str, n_lines: int) -> str:
    """Return a text in which every line is different."""
    return "".join(f"    {name}_{i} = 'größe {i * 7}'\n" for i in range(n_lines))


def documents(*sizes: int) -> list[Document]:
    return [
        Document(source="a/b", path=f"pkg/m{n}.py", text=code(f"m{n}", size))
        for n, size in enumerate(sizes)
    ]


def uncovered(document: Document, packed: Packed, tokenizer: Tokenizer) -> str:
    """Return the characters of a document that no row holds; each body must be a part of it."""
    held = np.zeros(len(document.text), bool)
    for row in packed.rows.tolist():
        for found in examples(row, tokenizer):
            if found.path == document.path:
                start = document.text.find(found.body)
                assert start >= 0, found
                held[start : start + len(found.body)] = True
    return "".join(char for char, is_held in zip(document.text, held, strict=True) if not is_held)


@pytest.mark.parametrize("plain", [True, False])
@settings(max_examples=12)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    epoch=st.integers(0, 3),
    pattern=st.sampled_from(["gpt-2", "qwen2"]),
)
@hypothesis.example(
    sizes=[1, 42], epoch=1, pattern="qwen2"
)  # a line longer than its hole and suffix
def test_rows_give_the_documents_back(
    plain: bool, sizes: list[int], epoch: int, pattern: str
) -> None:
    tokenizer = small_tokenizer(pattern)
    tail = documents(*sizes, 200)  # the last row of all may be left out: let it be of the tail
    packed = pack_alone(tail, tokenizer, PLAIN if plain else SETTINGS, epoch=epoch)
    for document in tail[:-1]:
        assert uncovered(document, packed, tokenizer) == ""
    assert packed.counts["bytes"] == sum(len(document.text.encode()) for document in tail)


def test_rows_are_full_and_little_is_repeated() -> None:
    tokenizer = small_tokenizer()
    packed = pack_alone(documents(*[40] * 10), tokenizer, SETTINGS)
    assert packed.rows.dtype == np.uint16
    assert packed.rows.shape[1] == SETTINGS.block_size + 1
    assert packed.counts["filler"] < 0.3 * packed.rows.size  # rows are very short here
    assert not (packed.rows == tokenizer.special_id("<|fim_pad|>")).any()


def test_rows_hold_the_ids_of_a_large_vocabulary() -> None:
    tokens = [bytes([byte]) for byte in range(256)]
    tokens += [b"\xff" + number.to_bytes(3) for number in range(1 << 16)]  # in no text
    tokenizer = Tokenizer(
        {token: id_ for id_, token in enumerate(tokens)},
        {name: id_ for id_, name in enumerate(SPECIAL_TOKENS, len(tokens))},
        "gpt-2",
    )
    packed = pack_alone(documents(*[40] * 10), tokenizer, SETTINGS)
    assert packed.rows[0, 0] == tokenizer.special_id("<|file_sep|>") > 1 << 16
    assert packed.rows.max() < tokenizer.vocab_size


def test_layouts_have_the_shares_asked_for() -> None:
    wide = dataclasses.replace(SETTINGS, spm_frac=0.5, psm_frac=0.25)
    counts = pack_alone(documents(*[8] * 300), small_tokenizer(), wide).counts
    total = counts["spm"] + counts["psm"] + counts["plain"]
    assert counts["spm"] / total == pytest.approx(0.5, abs=0.1)
    assert counts["psm"] / total == pytest.approx(0.25, abs=0.1)


def test_short_chunks_make_more_holes() -> None:
    wide = PackSettings(block_size=512)
    texts, tokenizer = documents(*[60] * 30), small_tokenizer()
    long, short = (
        pack_alone(texts, tokenizer, dataclasses.replace(wide, short_frac=share))
        for share in (0.0, 0.6)
    )
    assert short.counts["spm"] > 1.3 * long.counts["spm"]
    assert len(short.rows) < 1.3 * len(long.rows)


def test_hole_of_several_lines_has_its_whole_suffix(monkeypatch: pytest.MonkeyPatch) -> None:
    statements = functools.partial(cut_hole, kind="statement")
    monkeypatch.setattr("training.data.rows.cut_hole", statements)
    tokenizer = small_tokenizer()
    settings = dataclasses.replace(SETTINGS, spm_frac=1.0, psm_frac=0.0)
    rows = pack_alone(documents(*[30] * 30), tokenizer, settings).rows.tolist()
    start, end = (tokenizer.special_id(f"<|fim_{name}|>") for name in ("suffix", "middle"))
    n_empty = sum(id_ == start and row[i + 1] == end for row in rows for i, id_ in enumerate(row))
    n_holes = sum(row.count(end) for row in rows)
    assert n_empty < 0.05 * n_holes


def test_suffix_keeps_to_its_budget() -> None:
    tokenizer = small_tokenizer()
    settings = dataclasses.replace(SETTINGS, spm_frac=1.0, psm_frac=0.0)
    start, end = (tokenizer.special_id(f"<|fim_{name}|>") for name in ("suffix", "middle"))
    lengths = []
    for row in pack_alone(documents(*[30] * 20), tokenizer, settings).rows.tolist():
        for i, id_ in enumerate(row):
            if id_ == start:
                lengths.append(row.index(end, i) - i - 1)
    assert max(lengths) <= settings.suffix_tokens
    assert max(lengths) > settings.suffix_tokens - 10
    assert min(lengths) < 5


def test_plain_chunk_ends_with_a_mark_only_where_the_document_does() -> None:
    tokenizer = small_tokenizer()
    rows = pack_alone(documents(60, 200), tokenizer, PLAIN).rows.tolist()
    found = [e for row in rows for e in examples(row, tokenizer) if e.path == "pkg/m0.py"]
    assert [e.is_ended for e in found] == [False] * (len(found) - 1) + [True]


def test_same_seed_same_rows_and_other_epochs_other_spans() -> None:
    tokenizer = small_tokenizer()
    texts = documents(30, 30, 30)

    def rows(epoch: int, seed: int = 0) -> list[list[int]]:
        settings = dataclasses.replace(SETTINGS, seed=seed)
        packed = pack_alone(texts, tokenizer, settings, epoch=epoch)
        return [[int(id_) for id_ in row] for row in packed.rows]

    assert rows(0) == rows(0)
    assert rows(0) != rows(1)
    assert rows(0) != rows(0, seed=1)


def test_order_is_another_one_in_each_epoch() -> None:
    orders = [document_order(50, 3, epoch).tolist() for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == list(range(50))


def test_group_is_packed_alone_as_among_others(tmp_path: Path) -> None:
    texts = documents(*range(5, 25))
    with SplitWriter(tmp_path, "train") as writer:
        for document in texts:
            writer.add(source="a/b", path=document.path, text=document.text.encode(), sha256="")
    write_manifest(tmp_path, {})
    assert (tmp_path / MANIFEST).is_file()
    settings = dataclasses.replace(SETTINGS, group_documents=7)
    assert n_groups(20, settings) == 3
    shared = CrossFileSnippets(Split(tmp_path).files_of)
    tokenizer = small_tokenizer()

    def paths(group: int) -> set[str]:
        split = Split(tmp_path)
        packed, again = (
            pack_group(split, tokenizer, settings, epoch=1, group=group, neighbours=neighbours)
            for neighbours in (shared, CrossFileSnippets(split.files_of))
        )
        assert (packed.rows == again.rows).all()
        found = {e.path for row in packed.rows.tolist() for e in examples(row, tokenizer)}
        return {path for path in found if path.endswith(".py")}  # a row may end within a path

    groups = [paths(group) for group in range(3)]
    assert set().union(*groups) == {document.path for document in texts}
    assert sum(map(len, groups)) == len(texts)


def test_line_longer_than_a_row_and_endless_path_are_survived() -> None:
    tokenizer = small_tokenizer()
    long_line = "x = '" + "abc " * 400 + "'\n"
    texts = [
        Document(source="a/b", path="d/" * 3000 + "a.py", text=long_line + code("a", 20)),
        Document(source="a/b", path="b.py", text=code("b", 1) + long_line * 2 + code("c", 5)),
        *documents(100),
    ]
    packed = pack_alone(texts, tokenizer, SETTINGS)
    assert len(packed.rows) > 5
    assert all(row[0] == tokenizer.special_id("<|file_sep|>") for row in packed.rows.tolist())


def test_too_little_text_makes_no_row() -> None:
    assert pack_alone([], small_tokenizer(), SETTINGS).rows.shape == (0, 161)
    empty = [Document(source="a/b", path="a.py", text="")]
    assert pack_alone(empty, small_tokenizer(), SETTINGS).rows.shape == (0, 161)


def test_form_feed_does_not_end_a_line() -> None:
    tokenizer = small_tokenizer()
    document = Document(source="a/b", path="f.py", text="a = 1\n\fb\u2028c\x85d\n" * 40)
    packed = pack_alone([document, *documents(200)], tokenizer, PLAIN)
    bodies = [
        found.body
        for row in packed.rows.tolist()
        for found in examples(row, tokenizer)
        if found.path == "f.py"
    ]
    assert all(body in document.text for body in bodies)
    assert all(body.startswith(("a = 1\n", "\fb")) for body in bodies)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"spm_frac": 0.8, "psm_frac": 0.3}, "spm_frac"),
        ({"spm_frac": -0.1}, "spm_frac"),
        ({"block_size": 100}, "block_size"),
        ({"suffix_tokens": 300}, "suffix_tokens"),
        ({"snippet_tokens": 300}, "snippet_tokens"),
        ({"snippet_frac": 1.5}, "snippet_frac"),
        ({"short_frac": -0.5}, "short_frac"),
        ({"group_documents": 0}, "group_documents"),
    ],
)
def test_setting_out_of_range_is_named(values: dict[str, float], name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        PackSettings(**values)  # type: ignore[arg-type]


def test_a_padded_row_has_one_chunk_and_then_padding() -> None:
    tokenizer = small_tokenizer()
    texts = [f"x{i} = {i}\n" * 20 for i in range(6)]
    documents = [Document(source="o/n", path=f"{i}.py", text=t) for i, t in enumerate(texts)]
    padded = dataclasses.replace(PLAIN, padded=True)
    packed = pack_alone(documents, tokenizer, padded)
    pad_id, header_id = (tokenizer.special_id(f"<|{name}|>") for name in ("fim_pad", "file_sep"))
    assert len(packed.rows) > len(pack_alone(documents, tokenizer, PLAIN).rows)
    assert packed.counts["padding"] == int((packed.rows == pad_id).sum()) > 0
    for row in packed.rows.tolist():
        assert row[0] == header_id
        assert row.count(header_id) == 1
        text, _, rest = "".join("p" if id_ == pad_id else "t" for id_ in row).partition("p")
        assert set(text) <= {"t"}
        assert set(rest) <= {"p"}
