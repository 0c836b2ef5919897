"""Rows of an epoch: the repository whole, others in their shares, and fresh holes each time."""

import dataclasses
from pathlib import Path

import pytest

from model.tokenizer import Tokenizer
from tests.doubles import tiny_info, tiny_tokenizer_json
from training.data.collect import Kept
from training.data.shards import ShardReader
from training.errors import TuneError
from training.finetune import texts
from training.finetune.texts import GENERAL, REPOSITORY


def some_texts(source: str, n_files: int, n_lines: int = 20) -> tuple[Kept, ...]:
    return tuple(
        Kept(
            source=source,
            path=f"{source}/{number}.py",
            text="".join(f"value_{number}_{line} = {line}\n" for line in range(n_lines)),
            sha256=str(number),
        )
        for number in range(n_files)
    )


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    path = tmp_path / "tokenizer.json"
    path.write_text(tiny_tokenizer_json())
    return Tokenizer.from_file(path)


def n_bytes(made: texts.TuneTexts, epoch: int) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for document in made.epoch(epoch, seed=0):
        kind = document.path.partition("/")[0]
        sizes[kind] = sizes.get(kind, 0) + len(document.text)
    return sizes


def test_a_quarter_of_an_epoch_is_general() -> None:
    made = texts.TuneTexts(own=some_texts(REPOSITORY, 9), general=some_texts(GENERAL, 40))
    sizes = n_bytes(made, 0)
    assert sizes[REPOSITORY] == made.n_own_bytes
    assert sizes[GENERAL] / sum(sizes.values()) == pytest.approx(0.25, abs=0.01)


def test_epochs_replay_other_general_files() -> None:
    made = texts.TuneTexts(own=some_texts(REPOSITORY, 9), general=some_texts(GENERAL, 40))
    first, second = (
        {item.path for item in made.epoch(epoch, 0) if item.source == GENERAL} for epoch in (0, 1)
    )
    assert len(first & second) <= 1  # the one that was cut


def test_few_general_files_come_again() -> None:
    made = texts.TuneTexts(own=some_texts(REPOSITORY, 9), general=some_texts(GENERAL, 1))
    assert n_bytes(made, 5)[GENERAL] > 0


def test_rows_are_written_for_each_epoch(tmp_path: Path, tokenizer: Tokenizer) -> None:
    made = texts.TuneTexts(own=some_texts(REPOSITORY, 9), general=some_texts(GENERAL, 9))
    settings = texts.pack_settings(tiny_info(), seed=1)
    texts.write_rows(tmp_path / "rows", made, tokenizer, settings, n_epochs=2)
    readers = [ShardReader(texts.epoch_folder(tmp_path / "rows", epoch)) for epoch in range(2)]
    assert texts.count_rows(tmp_path / "rows", 2) == tuple(map(len, readers))
    assert readers[0][0].tolist() != readers[1][0].tolist()


def test_too_little_for_a_row_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    made = texts.TuneTexts(own=some_texts(REPOSITORY, 1, n_lines=2), general=())
    settings = texts.pack_settings(tiny_info(), seed=1)
    with pytest.raises(TuneError, match="too little"):
        texts.write_rows(tmp_path, made, tokenizer, settings, n_epochs=1)


def test_base_without_snippets_gets_none() -> None:
    info = dataclasses.replace(tiny_info(), snippet_tokens=0)
    settings = texts.pack_settings(info, seed=0)
    assert (settings.snippet_frac, settings.snippet_tokens) == (0.0, 0)
    assert texts.pack_settings(tiny_info(), seed=0).snippet_frac == 0.5


def test_rows_have_the_layout_of_the_base() -> None:
    info = dataclasses.replace(tiny_info(), fim_layout="psm")
    settings = texts.pack_settings(info, seed=0)
    assert settings.psm_frac > settings.spm_frac


def test_base_with_a_short_context_is_refused() -> None:
    with pytest.raises(TuneError, match="reads 64 tokens at once"):
        texts.pack_settings(tiny_info(block_size=64), seed=0)
