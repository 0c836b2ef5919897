"""llama.cpp behind the same protocol as the other runtimes, and its vocabularies."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from assistant.errors import ModelError
from assistant.generate.backend import open_backend
from model import gguf_export
from model.fim import FORMATS, find_format, header, prompt, repository_header
from model.foreign import GgufModel, load_model
from model.healing import TokenTable
from model.prefix_cache import PrefixCache
from model.runtime import Runtime, RuntimeLoadError, open_runtime
from model.runtime_gguf import MAX_BRANCHES, _binding
from model.tokenizer import Tokenizer
from tests.gguf_files import USER_DEFINED, write_gguf

pytest.importorskip("ik_llama_cpp", reason="the extra `gguf` is not installed")
STAR = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<file_sep>", "<repo_name>"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> GgufModel:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    found = load_model(write_gguf(path, markers=STAR, marker_kind=USER_DEFINED))
    assert isinstance(found, GgufModel)
    return found


@pytest.fixture
def runtime(model: GgufModel) -> Runtime:
    return open_runtime(model, max_len=256)


@pytest.fixture(scope="module")
def tokenizer(model: GgufModel) -> Tokenizer:
    return model.tokenizer()


def test_appends_in_any_portions(runtime: Runtime) -> None:
    ids = [id_ % 250 for id_ in range(200)]
    whole = runtime.append(ids, all_logits=True)
    assert whole.shape == (200, runtime.vocab_size)
    runtime.rewind(0)
    assert np.allclose(runtime.append(ids[:150]), whole[149], atol=1e-4)
    assert np.allclose(runtime.append(ids[150:], all_logits=True), whole[150:], atol=1e-4)
    runtime.rewind(7)
    assert np.allclose(runtime.append(ids[7:9]), whole[8], atol=1e-4)
    assert runtime.length == 9


@pytest.mark.parametrize("past", [0, 5])
def test_a_tree_is_scored_as_branch_by_branch(runtime: Runtime, past: int) -> None:
    if past:
        runtime.append(list(range(past)))
    ids, parents = [1, 2, 3, 4, 5, 6, 7], [-1, 0, 0, 2, -1, 4, 2]
    found = runtime.tree(ids, parents)
    expected = Runtime._tree(runtime, np.array(ids), parents)
    assert np.allclose(found, expected, atol=1e-4)
    assert runtime.length == past
    again = runtime.tree(ids, parents)
    assert np.array_equal(again, found)


def test_more_branches_than_sequences_are_scored_one_by_one(runtime: Runtime) -> None:
    n = MAX_BRANCHES + 3
    found = runtime.tree(list(range(n)), [-1] * n)
    assert np.allclose(found[n - 1], runtime.append([n - 1]), atol=1e-4)


def test_a_saved_cache_comes_back(runtime: Runtime) -> None:
    runtime.append(list(range(30)))
    expected, saved = runtime.tree([9], [-1]), runtime.save()
    runtime.rewind(3)
    runtime.append([200] * 40)
    runtime.restore(saved)
    assert runtime.length == 30
    assert np.array_equal(runtime.tree([9], [-1]), expected)


WIDE_HEADS = {
    "llama.attention.head_count": 2,
    "llama.attention.head_count_kv": 1,
    "llama.rope.dimension_count": 32,
}


def test_a_cache_in_8_bits_is_half_as_large_and_near(tmp_path: Path) -> None:
    found = load_model(write_gguf(tmp_path / "a.gguf", changes=WIDE_HEADS))
    whole, eight = (open_runtime(found, max_len=64, kv_cache=kind) for kind in ("f16", "q8_0"))
    first, second = (each.append(list(range(40)), all_logits=True) for each in (whole, eight))
    assert not np.array_equal(first, second)
    assert np.allclose(first, second, atol=0.02 * np.abs(first).max())
    assert eight.save().nbytes < 0.85 * whole.save().nbytes  # keys alone
    ids, parents = [1, 2, 3], [-1, 0, 0]
    expected = Runtime._tree(eight, np.array(ids), parents)
    assert np.allclose(eight.tree(ids, parents), expected, atol=1e-3)


def test_heads_that_are_no_whole_blocks_are_refused(tmp_path: Path) -> None:
    """Regression, 2026-11-30: with such a cache the library ends the process."""
    with pytest.raises(ModelError, match=r"kv_cache q8_0 needs heads of 32, .*a\.gguf has 16"):
        open_backend(str(write_gguf(tmp_path / "a.gguf")), kv_cache="q8_0")


@pytest.mark.parametrize("flash", [False, True])
def test_values_in_8_bits_need_flash_attention(
    flash: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not run here: there are processors on which it ends the process."""
    asked = []

    def refuse(_: object, options: Any) -> int:
        asked.append((options.flash_attn, options.type_k, options.type_v))
        return 0

    found = load_model(write_gguf(tmp_path / "a.gguf", changes=WIDE_HEADS))
    monkeypatch.setattr(_binding().api, "llama_init_from_model", refuse)
    with pytest.raises(RuntimeLoadError, match="no room"):
        open_runtime(found, max_len=64, flash_attention=flash, kv_cache="q8_0")
    assert asked == [(flash, 8, 8 if flash else 1)]


def test_what_does_not_fit_changes_nothing(runtime: Runtime) -> None:
    runtime.append([1, 2, 3])
    for ids in ([], [-1], [runtime.vocab_size], [0] * 254):
        with pytest.raises(ValueError, match=r"ids|fit"):
            runtime.append(ids)
    with pytest.raises(ValueError, match="cannot rewind"):
        runtime.rewind(4)
    assert runtime.length == 3


def test_behind_the_prefix_cache(runtime: Runtime) -> None:
    cache = PrefixCache(runtime)
    first, _ = cache.replace(list(range(100)), chunk_tokens=32, should_stop=lambda: False)
    cache.replace([*range(20), *range(120, 200)], chunk_tokens=32, should_stop=lambda: False)
    again, n_shared = cache.replace(list(range(100)), chunk_tokens=32, should_stop=lambda: False)
    assert first is not None
    assert again is not None
    assert n_shared == 99
    assert np.allclose(first, again, atol=1e-4)


def test_says_nothing_on_our_streams(
    model: GgufModel, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = load_model(write_gguf(tmp_path / "b.gguf", seed=1))
    open_runtime(found, max_len=64).append([1, 2, 3])
    assert capfd.readouterr() == ("", "")


def test_without_the_extra_one_line_says_what_to_install(
    model: GgufModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ik_llama_cpp", None)
    _binding.cache_clear()
    try:
        with pytest.raises(RuntimeLoadError, match=r"install the extra `gguf`"):
            load_model(model.path).tokenizer()
    finally:
        _binding.cache_clear()


def test_what_llama_cpp_refuses_is_one_line(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf", changes={"general.architecture": "unheard-of"} | {
        f"unheard-of.{name}": value
        for name, value in (("block_count", 2), ("embedding_length", 64), ("context_length", 64))
    })  # fmt: skip
    with pytest.raises(ValueError, match=r"llama\.cpp cannot load"):
        open_runtime(load_model(path), max_len=64)


@pytest.mark.parametrize(("kind", "number", "n_bytes"), [("q4_1", 3, 16), ("q5_1", 7, 20)])
def test_many_tokens_at_once_are_scored_as_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, number: int, n_bytes: int
) -> None:
    """Regression, 2026-11-30: the binding's products of these kinds are wrong from 32 tokens on."""

    def packed(name: str, values: NDArray[np.float32]) -> bytes:
        if name != kind:
            return values.astype("<f4").tobytes()
        digits = np.random.default_rng(0).integers(0, 256, (values.size // 32, n_bytes), np.uint8)
        scales = np.array([0.03, -0.2], "<f2").view(np.uint8)  # of a block, and its least value
        return np.hstack([np.tile(scales, (len(digits), 1)), digits]).tobytes()

    monkeypatch.setitem(gguf_export._TYPES, kind, number)
    monkeypatch.setattr(gguf_export, "_packed", packed)
    found = load_model(write_gguf(tmp_path / "a.gguf", kind=kind))
    runtime, ids = open_runtime(found, max_len=128), [*range(100)]
    together = runtime.append(ids, all_logits=True)
    runtime.rewind(0)
    apart = np.stack([runtime.append([id_]) for id_ in ids])
    assert np.abs(together - apart).max() < 0.02 * np.abs(apart).max()


def test_weights_that_are_no_numbers_are_refused_in_a_line(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf")
    path.write_bytes(path.read_bytes()[:-4] + np.float32(np.nan).tobytes())
    with pytest.raises(ModelError, match=r"a\.gguf: it holds weights that are no numbers$"):
        open_backend(str(path), threads=1)


# --- vocabularies


@given(text=st.lists(st.one_of(st.text(), st.sampled_from([*STAR, "<|endoftext|>"]))).map("".join))
def test_markers_in_a_text_stay_text(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert not any(map(tokenizer.is_special, ids))
    assert tokenizer.decode_bytes(ids) == text.encode("utf-8", "surrogatepass")


@given(data=st.binary())
def test_any_bytes_are_spelled(tokenizer: Tokenizer, data: bytes) -> None:
    assert tokenizer.decode_bytes(tokenizer.encode_bytes(data)) == data


def test_no_marker_may_be_written_but_the_end(tokenizer: Tokenizer) -> None:
    table = TokenTable(tokenizer)
    assert tokenizer.end_id not in table.forbidden
    assert all(map(tokenizer.is_special, table.forbidden))


# --- infilling


MARKERS = {
    "foretype": ("<|fim_prefix|> <|fim_suffix|> <|fim_middle|> <|file_sep|> <|end|>", "PSsMp"),
    "Qwen": ("<|fim_prefix|> <|fim_suffix|> <|fim_middle|> <|file_sep|> <|repo_name|>", "PpSsM"),
    "CodeGemma": ("<|fim_prefix|> <|fim_suffix|> <|fim_middle|> <|file_separator|>", "PpSsM"),
    "StarCoder2": ("<fim_prefix> <fim_suffix> <fim_middle> <file_sep> <repo_name>", "PSsMp"),
    "Granite": ("<fim_prefix> <fim_suffix> <fim_middle> <|endoftext|>", "PSsMp"),
    "Granite 4": ("<|fim_prefix|> <|fim_suffix|> <|fim_middle|> <|end_of_text|>", "PpSsM"),
    "CodeLlama": ("▁<PRE> ▁<SUF> ▁<MID> ▁<EOT>", "PSsMp"),
    "DeepSeek": ("<｜fim▁begin｜> <｜fim▁hole｜> <｜fim▁end｜>", "PpSsM"),  # noqa: RUF001
    "Codestral": ("[PREFIX] [SUFFIX]", "SsPp"),
    "": ("<pad>", "p"),
}


def test_each_family_has_a_case() -> None:
    assert {known.family for known in FORMATS} == MARKERS.keys() - {""}


@pytest.mark.parametrize("family", MARKERS)
def test_the_parts_stand_as_the_family_was_trained(family: str, tmp_path: Path) -> None:
    names, order = MARKERS[family]
    markers = [name for name in names.split() if name != "<|endoftext|>"]
    found = load_model(write_gguf(tmp_path / "a.gguf", markers=markers))
    assert isinstance(found, GgufModel)
    assert found.family == family == find_format(found.header.tokens).family
    tokenizer = found.tokenizer()
    ids = prompt(tokenizer, (), tokenizer.encode("p"), tokenizer.encode("s"),
                 found.info.fim_layout)  # type: ignore[arg-type]  # fmt: skip
    ours = {"P": "<|fim_prefix|>", "S": "<|fim_suffix|>", "M": "<|fim_middle|>"}
    letters = {tokenizer.special_id(n): letter for letter, n in ours.items()
               if tokenizer.has_special(n)}  # fmt: skip
    letters |= {ord("p"): "p", ord("s"): "s"}
    single = {tokenizer.encode(letter)[0]: letter for letter in "ps"}
    assert "".join((letters | single)[id_] for id_ in ids) == order
    assert bool(repository_header(tokenizer, "app")) == ("repo_name" in names)
    assert bool(header(tokenizer, "a.py")) == ("file_sep|>" in names or "file_sep>" in names)


def test_a_prompt_begins_as_the_vocabulary_wants(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf", changes={"tokenizer.ggml.add_bos_token": True})
    tokenizer = load_model(path).tokenizer()
    assert prompt(tokenizer, (), [1, 2], [], "left") == [tokenizer.end_id, 1, 2]
