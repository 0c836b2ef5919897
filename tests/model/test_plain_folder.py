"""Folders of others: random checkpoints of transformers give our logits, tokenizers our ids."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from model.folder import ModelFolderError, load_folder
from model.foreign import PlainFolder, load_model, write_reference
from model.onnx_cache import OnnxCacheError
from model.runtime import RuntimeLoadError, open_runtime
from model.runtime_torch import TorchRuntime
from model.tokenizer import Tokenizer
from tests.doubles import tiny_folder
from tests.foreign_folders import (
    FAMILIES,
    STAR,
    TEXT,
    digits_apart,
    folder_of,
    split_by,
    tokenizers,
    trained,
)
from tests.programs import run_program


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
    by_torch = TorchRuntime(found, max_len=128, dtype="float32").append(
        ids.tolist(), all_logits=True
    )
    with torch.no_grad():
        expected = theirs(torch.from_numpy(ids)[None]).logits[0].float().numpy()
    assert np.abs(ours - expected).max() < 1e-3
    assert np.abs(by_torch - expected).max() < 1e-3


@pytest.mark.slow
def test_runs_on_torch_where_a_gpu_is_asked_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(open_runtime(load_model(folder), gpu_layers=1), TorchRuntime)
    ours = load_folder(tiny_folder(tmp_path))  # small: a GPU would only delay it
    assert not isinstance(open_runtime(ours, gpu_layers=1), TorchRuntime)
    monkeypatch.setitem(sys.modules, "model.runtime_torch", None)
    with pytest.raises(RuntimeLoadError, match="install torch"):
        open_runtime(load_model(folder), gpu_layers=1)


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


def cut_off(path: Path) -> None:
    data = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(data[:-5])


def header(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Change the first bytes of the weights: their header's length, and the header."""

    def apply(path: Path) -> None:
        data = (path / "model.safetensors").read_bytes()
        n_header = 8 + int.from_bytes(data[:8], "little")
        (path / "model.safetensors").write_bytes(change(data[:n_header]) + data[n_header:])

    return apply


def entries(change: Callable[[Any], object]) -> Callable[[Path], None]:
    def apply(data: bytes) -> bytes:
        table = json.loads(data[8:])
        change(table)
        text = json.dumps(table).encode()
        return len(text).to_bytes(8, "little") + text

    return header(apply)


def split(path: Path, *, twice: bool = False) -> None:
    """Put the weights into two files, all norms into the second, and write their index.

    With `twice` the first one has all of them.
    """
    tensors = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    places = {name: "ab"["norm" in name] + ".safetensors" for name in tensors}
    for file in sorted(set(places.values())):
        its = {n: t for n, t in tensors.items() if places[n] == file or (twice and file[0] == "a")}
        save_file(its, path / file)
    table = {"metadata": {"total_size": 1}, "weight_map": places}
    (path / "model.safetensors.index.json").write_text(json.dumps(table))


def index(
    changes: dict[str, Any],
    *,
    drop: str = "",
    text: str = "",
    cut: str = "",
    gone: str = "",
    twice: bool = False,
) -> Callable[[Path], None]:
    """Split the weights and spoil the index, or the end of a shard."""

    def apply(path: Path) -> None:
        split(path, twice=twice)
        place = path / "model.safetensors.index.json"
        table = json.loads(place.read_text())
        table["weight_map"] = {
            name: file for name, file in (table["weight_map"] | changes).items() if name != drop
        }
        place.write_text(text or json.dumps(table))
        if cut:
            shard = path / f"{cut}.safetensors"
            shard.write_bytes(shard.read_bytes()[:-4])
        if gone:
            (path / f"{gone}.safetensors").unlink()

    return apply


@pytest.mark.slow
@pytest.mark.usefixtures("shared_cache")
def test_weights_in_several_files_are_the_same_network(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    split(copy)
    whole, parts = load_model(folder), load_model(copy)
    assert isinstance(whole, PlainFolder)
    assert isinstance(parts, PlainFolder)
    found = parts.tensors()
    assert found.keys() == whole.tensors().keys()
    assert all(np.array_equal(found[name], values) for name, values in whole.tensors().items())
    before = parts.content_hash
    write_reference(tmp_path / "listed", copy)
    shard = bytearray((copy / "b.safetensors").read_bytes())
    shard[-1] ^= 1
    (copy / "b.safetensors").write_bytes(bytes(shard))
    assert load_model(copy).content_hash != before
    with pytest.raises(ModelFolderError, match="is not the model that was added"):
        load_model(tmp_path / "listed")
    (copy / "b.safetensors").unlink()
    with pytest.raises(ModelFolderError, match="No such file"):
        load_model(tmp_path / "listed")


def first(table: Any) -> Any:
    return table["model.norm.weight"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (config(rope_parameters={"rope_type": "yarn", "factor": 4.0}), "scaled rotary positions"),
        (config(model_type="starcoder2"), "model_type must be qwen3, qwen2 or llama"),
        (config(use_sliding_window=True), "sliding window"),
        (config(eos_token_id=None), "names no eos_token_id"),
        (config(num_hidden_layers=3), "is missing"),
        (cut_off, "model.safetensors"),
        (vocabulary(lambda t: t["model"].update(type="Unigram")), "not a byte-level BPE"),
        (vocabulary(lambda t: t["model"]["merges"].reverse()), "merges in another order"),
        (vocabulary(lambda t: t.update(normalizer={"type": "NFKC"})), "changes texts"),
        (vocabulary(lambda t: t.update(pre_tokenizer={"type": "Metaspace"})), "'Metaspace'"),
        (vocabulary(lambda t: t["model"].pop("merges")), "not a byte-level BPE"),
        (index({"model.norm.weight": "../../../etc/passwd"}), "no weights file beside the index"),
        (index({"model.norm.weight": "/dev/zero"}), "no weights file beside the index"),
        (index({"model.norm.weight": ["a"]}), "no weights file beside the index"),
        (index({}, gone="b"), "No such file"),
        (index({"model.norm.weight": "a.safetensors"}), "model.norm.weight is missing"),
        (index({"other": "a.safetensors"}), "other does not belong"),
        (index({}, drop="model.norm.weight"), "model.norm.weight is missing"),
        (index({}, twice=True), "does not belong"),
        (index({}, text="[]"), "the index maps no tensors"),
        (index({}, text='{"weight_map": ' + "[" * 900_000), "the index maps no tensors"),
        (index({}, cut="b"), "it holds"),
        (header(lambda data: data[:5]), "header is cut off or of absurd length"),
        (header(lambda data: b"\xff" * 8 + data[8:]), "header is cut off or of absurd length"),
        (header(lambda data: data[:8] + b"[" * (len(data) - 8)), "header is not JSON"),
        (entries(lambda t: first(t).update(data_offsets=[0, 1 << 60])), "not the size of its"),
        (entries(lambda t: first(t).update(data_offsets=[-256, 0])), "starts at byte -256"),
        (entries(lambda t: first(t).update(shape=[1 << 40])), "config.json asks for"),
        (entries(lambda t: first(t).update(dtype="I64")), "is of type"),
        (entries(lambda t: t.update(extra=first(t))), "does not belong"),
        (config(vocab_size=1 << 40), "vocab_size must be a whole number"),
        (config(vocab_size=300), "config.json asks for"),
        (config(num_hidden_layers=10**6), "n_layer must be"),
        (config(intermediate_size=1e30), "intermediate_size must be a whole number"),
        (config(eos_token_id=10**9), "names no eos_token_id"),
        (vocabulary(lambda t: t["model"]["vocab"].update(x=10**12)), "token ids must be"),
        (vocabulary(lambda t: t["model"]["vocab"].update({"\u4e00": 3})), "tokenizer.json"),
        (vocabulary(lambda t: t["added_tokens"][0].update(id=-1)), "token ids must be"),
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


@pytest.mark.slow
@pytest.mark.usefixtures("shared_cache")
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(
    folder: Path, tmp_path: Path, number: float
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-4:] = np.float32(number).tobytes()
    (copy / "model.safetensors").write_bytes(bytes(data))
    with pytest.raises(OnnxCacheError, match="holds values that are no numbers"):
        open_runtime(load_model(copy))


BOMBS = {
    "config.json": b'{"a": ' + b"[" * 900_000,
    "tokenizer.json": b'{"model": {"vocab": {' + b'"a":[],' * 4_000_000,
    "model.safetensors": (4 << 20).to_bytes(8, "little") + b"[[]" + b",[]" * 1_390_000,
}
_LOAD = """
import resource, sys
from pathlib import Path
from model.folder import ModelFolderError
from model.foreign import load_model
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
try:
    load_model(Path(sys.argv[1])).tokenizer()
except ModelFolderError as error:
    print(str(error)[:1_000])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory")
@pytest.mark.parametrize("name", [*BOMBS, "sparse", "too large"])
def test_hostile_files_are_refused_within_bounded_memory(
    folder: Path, tmp_path: Path, name: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    if name in BOMBS:
        (copy / name).write_bytes(BOMBS[name])
    else:
        place = "model.safetensors" if name == "sparse" else "tokenizer.json"
        with (copy / place).open("r+b") as file:
            file.truncate(40 << 30)
    done = run_program([sys.executable, "-c", _LOAD, str(copy)])
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there are no FIFOs")
def test_a_fifo_is_not_waited_for(folder: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "model.safetensors"):
        copy = tmp_path / name
        shutil.copytree(folder, copy)
        (copy / name).unlink()
        os.mkfifo(copy / name)
        with pytest.raises(ModelFolderError, match="is not a regular file"):
            load_model(copy)
