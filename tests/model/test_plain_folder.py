"""Folders of others: random checkpoints of transformers give our logits, tokenizers our ids."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.folder import ModelFolderError
from model.gguf_model import load_model
from model.plain_folder import PlainFolder
from model.runtime import open_runtime
from model.tokenizer import PATTERNS, Tokenizer

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")

STAR = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<file_sep>"]
TEXT = Path(__file__).read_text(encoding="utf-8")
SHAPE: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "eos_token_id": 0,
}  # fmt: skip
FAMILIES = {
    "Llama": {"tie_word_embeddings": False, "rms_norm_eps": 1e-5},
    "Qwen2": {"tie_word_embeddings": True},
    "Qwen3": {"tie_word_embeddings": True, "head_dim": 16},
}


def split_by(name: str) -> Any:
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(PATTERNS[name]), "isolated")
    level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return tokenizers.pre_tokenizers.Sequence([split, level])


def digits_apart() -> Any:
    digits = tokenizers.pre_tokenizers.Digits(individual_digits=True)
    level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizers.pre_tokenizers.Sequence([digits, level])


def trained(pre_tokenizer: Any) -> Any:
    found = tokenizers.Tokenizer(tokenizers.models.BPE())
    found.pre_tokenizer = pre_tokenizer
    found.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|endoftext|>", *STAR],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    found.train_from_iterator([TEXT], trainer)
    return found


def folder_of(path: Path, family: str, tokenizer: Any, **changes: Any) -> Any:
    """Write a random network and a vocabulary; return the network."""
    config = getattr(transformers, f"{family}Config")(
        vocab_size=tokenizer.get_vocab_size() + 12, **SHAPE | FAMILIES[family] | changes
    )
    torch.manual_seed(0)
    network = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    network.save_pretrained(path)
    tokenizer.save(str(path / "tokenizer.json"))
    return network


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("shared_cache")
@pytest.mark.parametrize("family", FAMILIES)
def test_gives_the_logits_of_transformers(tmp_path: Path, family: str) -> None:
    theirs = folder_of(tmp_path / "them", family, trained(split_by("gpt-2")))
    found = load_model(tmp_path / "them")
    assert isinstance(found, PlainFolder)
    assert (found.info.fim_layout, found.info.languages) == ("spm", ())
    ids = np.random.default_rng(0).integers(0, found.config.vocab_size, 60)
    ours = open_runtime(found, max_len=128, bits=32).append(ids.tolist(), all_logits=True)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(ids)[None]).logits[0].float().numpy()
    assert np.abs(ours - expected).max() < 1e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("them")
    folder_of(path, "Qwen2", trained(split_by("qwen2")))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["gpt-2", "starcoder", "qwen2", "llama-bpe", "digits"])
def test_gives_the_ids_of_tokenizers(folder: Path, tmp_path: Path, pattern: str) -> None:
    theirs = trained(digits_apart() if pattern == "digits" else split_by(pattern))
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    theirs.save(str(copy / "tokenizer.json"))
    ours = load_model(copy).tokenizer()
    table = json.loads(theirs.to_str())
    table["added_tokens"] = []  # their encode would turn a marker's text into the marker
    plain = tokenizers.Tokenizer.from_str(json.dumps(table))
    markers = st.sampled_from(STAR)

    @settings(deadline=None)
    @given(st.lists(st.one_of(st.text(st.characters(exclude_categories=["Cs"])), markers)))
    def same(parts: list[str]) -> None:
        text = "".join(parts)
        assert ours.encode(text) == plain.encode(text).ids
        assert not any(map(ours.is_special, ours.encode(text)))

    same()
    assert ours.encode(TEXT) == plain.encode(TEXT).ids
    assert ours.special_id("<|fim_middle|>") == theirs.token_to_id("<fim_middle>")
    assert ours.end_id == 0


@pytest.mark.slow
def test_a_text_begins_as_its_template_says(folder: Path, tmp_path: Path) -> None:
    theirs = trained(split_by("llama-bpe"))
    theirs.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    theirs.save(str(copy / "tokenizer.json"))
    found: Tokenizer = load_model(copy).tokenizer()
    assert found.start_ids == (0,)


def config(**changes: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        table = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(table | changes))

    return change


def vocabulary(change: Callable[[Any], object]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        table = json.loads((path / "tokenizer.json").read_text())
        change(table)
        (path / "tokenizer.json").write_text(json.dumps(table))

    return apply


def shards(path: Path) -> None:
    (path / "model.safetensors.index.json").write_text("{}")


def cut_off(path: Path) -> None:
    data = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(data[:-5])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (config(rope_parameters={"rope_type": "yarn", "factor": 4.0}), "scaled rotary positions"),
        (config(model_type="starcoder2"), "model_type must be qwen3, qwen2 or llama"),
        (config(use_sliding_window=True), "sliding window"),
        (config(eos_token_id=None), "names no eos_token_id"),
        (config(num_hidden_layers=3), "is missing"),
        (shards, "weights are in several files"),
        (cut_off, "model.safetensors"),
        (vocabulary(lambda t: t["model"].update(type="Unigram")), "not a byte-level BPE"),
        (vocabulary(lambda t: t["model"]["merges"].reverse()), "merges in another order"),
        (vocabulary(lambda t: t.update(normalizer={"type": "NFKC"})), "changes texts"),
        (vocabulary(lambda t: t.update(pre_tokenizer={"type": "Metaspace"})), "'Metaspace'"),
        (vocabulary(lambda t: t["model"].pop("merges")), "not a byte-level BPE"),
    ],
)
def test_what_it_cannot_do_is_refused_in_a_line(
    folder: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    spoil(copy)
    with pytest.raises(ModelFolderError, match=message) as caught:
        load_model(copy).tokenizer()
    assert "\n" not in str(caught.value)
