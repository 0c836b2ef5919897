"""A model folder is used whole and right, or refused with the reason and the remedy."""

import hashlib
import json
import os
import re
import shutil
import stat
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model import folder as folder_module
from model.folder import ModelFolderError, bundled_for, load_folder
from model.weights import from_bf16, to_bf16
from tests.doubles import (
    names_in,
    random_tensors,
    tiny_config,
    tiny_folder,
    tiny_info,
    tiny_tokenizer_json,
)

FILES = [
    "README.md",
    "SHA256SUMS",
    "config.json",
    "foretype.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
]
INFO = tiny_info()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "copy"))


def seal(path: Path) -> None:
    """Renew the sums, as one who prepares an evil folder would."""
    names = [name for name in FILES if name != "SHA256SUMS"]
    sums = [hashlib.sha256((path / name).read_bytes()).hexdigest() for name in names]
    lines = [f"{digest}  {name}\n" for digest, name in zip(sums, names, strict=True)]
    (path / "SHA256SUMS").write_text("".join(lines))


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    seal(path.parent)


def read_header(path: Path) -> tuple[dict[str, Any], bytes]:
    data = (path / "model.safetensors").read_bytes()
    n_header = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + n_header]), data[8 + n_header :]


def write_header(path: Path, header: Any, data: bytes) -> None:
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + data
    (path / "model.safetensors").write_bytes(content)
    seal(path)


def test_saved_folder_loads_with_everything_in_it(sound: Path) -> None:
    folder = load_folder(sound)
    assert folder.config == tiny_config()
    assert folder.info == INFO
    tensors, original = folder.tensors(), random_tensors(tiny_config())
    assert tensors.keys() == original.keys()
    for name, tensor in tensors.items():
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor, from_bf16(to_bf16(original[name])))
    tokenizer = folder.tokenizer()
    text = "def f(self):\n    return 1"
    assert tokenizer.vocab_size == folder.config.vocab_size
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.encode()


def test_saved_folder_holds_known_private_files_and_nothing_else(sound: Path) -> None:
    assert names_in(sound) == FILES
    assert names_in(sound.parent) == [sound.name]
    assert {stat.S_IMODE((sound / name).stat().st_mode) for name in FILES} == {0o600}


def test_content_hash_follows_the_model_but_not_its_card(copy: Path, tmp_path: Path) -> None:
    before = load_folder(copy).content_hash
    (copy / "README.md").write_text("another card")
    seal(copy)
    assert load_folder(copy).content_hash == before
    edit_json(copy / "foretype.json", name="other")
    assert load_folder(copy).content_hash != before
    assert load_folder(tiny_folder(tmp_path, seed=1)).content_hash != before


def test_unknown_files_are_ignored(copy: Path) -> None:
    (copy / "modeling_evil.py").write_text("raise SystemExit")
    (copy / "pytorch_model.bin").write_bytes(b"\x80\x04")
    load_folder(copy)


def test_any_truncation_is_refused_by_name(copy: Path) -> None:
    for name in FILES:
        data = (copy / name).read_bytes()
        for n_bytes in {0, 1, 7, 8, 9, len(data) // 3, len(data) // 2, len(data) - 1}:
            if name == "SHA256SUMS" and n_bytes == len(data) - 1:
                continue  # only the last line's end: nothing is lost
            (copy / name).write_bytes(data[:n_bytes])
            with pytest.raises(ModelFolderError, match=r"SHA256SUMS.*; copy the folder again"):
                load_folder(copy)
        (copy / name).write_bytes(data)
    load_folder(copy)


def test_any_flipped_bit_is_refused_by_name(copy: Path) -> None:
    dice = np.random.default_rng(0)
    for name in (name for name in FILES if name != "SHA256SUMS"):
        original = (copy / name).read_bytes()
        for at in dice.integers(0, len(original), 20):
            data = bytearray(original)
            data[at] ^= 1 << int(dice.integers(8))
            (copy / name).write_bytes(data)
            with pytest.raises(ModelFolderError, match=re.escape(f"{name} is not the file that")):
                load_folder(copy)
        (copy / name).write_bytes(original)


def test_sealed_damage_of_the_weights_never_crashes(copy: Path) -> None:
    """Flips in header and length that carry right sums are refused or harmless."""
    original = (copy / "model.safetensors").read_bytes()
    n_header = 8 + int.from_bytes(original[:8], "little")
    dice = np.random.default_rng(1)
    n_refused = 0
    for at in dice.integers(0, n_header, 60):
        data = bytearray(original)
        data[at] ^= 1 << int(dice.integers(8))
        (copy / "model.safetensors").write_bytes(data)
        seal(copy)
        try:
            load_folder(copy).tensors()
        except ModelFolderError:
            n_refused += 1
    assert n_refused > 40


Damage = Callable[[Path], object]


def remove_file(name: str) -> Damage:
    return lambda path: (path / name).unlink()


def replace_by_link(path: Path) -> None:
    (path / "config.json").rename(path.parent / "elsewhere.json")
    (path / "config.json").symlink_to(path.parent / "elsewhere.json")


def add_hard_link(path: Path) -> None:
    (path.parent / "second-name").hardlink_to(path / "model.safetensors")


def replace_by_fifo(path: Path) -> None:
    (path / "tokenizer.json").unlink()
    os.mkfifo(path / "tokenizer.json")


def grow_config(path: Path) -> None:
    (path / "config.json").write_text(" " * (2 << 20))
    seal(path)


def list_another_file(path: Path) -> None:
    with (path / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  gate.json\n")


def list_a_path(path: Path) -> None:
    with (path / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  ../../etc/passwd\n")


def config_is(text: str) -> Damage:
    def damage(path: Path) -> None:
        (path / "config.json").write_text(text)
        seal(path)

    return damage


def config_has(**changes: Any) -> Damage:
    return lambda path: edit_json(path / "config.json", **changes)


def info_has(**changes: Any) -> Damage:
    return lambda path: edit_json(path / "foretype.json", **changes)


def header_has(change: Callable[[dict[str, Any]], object]) -> Damage:
    def damage(path: Path) -> None:
        header, data = read_header(path)
        change(header)
        write_header(path, header, data)

    return damage


def claim_huge_header(path: Path) -> None:
    data = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes((1 << 60).to_bytes(8, "little") + data[8:])
    seal(path)


def append_bytes(path: Path) -> None:
    with (path / "model.safetensors").open("ab") as file:
        file.write(b"hidden")
    seal(path)


def overlap(header: dict[str, Any]) -> None:
    gains = [name for name in header if name.endswith("layernorm.weight")]
    header[gains[0]]["data_offsets"] = header[gains[1]]["data_offsets"]


def entry(name: str, **changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda header: header[name].update(changes)


NORM = "model.norm.weight"
GALLERY: dict[str, tuple[Damage, str]] = {
    **{f"no {name}": (remove_file(name), f"cannot open .*{name}") for name in FILES},
    "a link": (replace_by_link, "config.json is a symbolic link"),
    "a hard link": (add_hard_link, r"model.safetensors has 2 names"),
    "a fifo": (replace_by_fifo, "tokenizer.json is not a regular file"),
    "a huge config": (grow_config, "config.json has .* at most"),
    "a listed stranger": (list_another_file, "lists the unknown file gate.json"),
    "a listed path": (list_a_path, "a line that is not 'hash  name'"),
    "config not JSON": (config_is("{"), "config.json is not JSON"),
    "config a list": (config_is("[]"), "config.json is not a JSON object"),
    "config too deep": (config_is("[" * 200_000), "config.json is not JSON"),
    "config of another family": (config_has(model_type="gpt2"), "model_type must be"),
    "no layers": (config_has(num_hidden_layers=0), "n_layer must be"),
    "a million layers": (config_has(num_hidden_layers=10**6), "n_layer must be"),
    "a layer too many": (config_has(num_hidden_layers=3), "layers.2.* is missing"),
    "a layer too few": (config_has(num_hidden_layers=1), "layers.1.* does not belong"),
    "absurd width": (config_has(hidden_size=1 << 40), "n_embd must be"),
    "great width": (config_has(hidden_size=16_384), "but config.json asks for"),
    "great vocabulary": (config_has(vocab_size=300_000), "but config.json asks for"),
    "negative vocabulary": (config_has(vocab_size=-1), "vocab_size must be"),
    "true as a number": (config_has(num_attention_heads=True), "num_attention_heads must be"),
    "text as a number": (config_has(rope_theta="1"), "rope_theta must be"),
    "another version": (info_has(format_version=2), "format_version is 2; .* reads 1"),
    "unknown layout": (info_has(fim_layout="xyz"), "fim_layout must be spm or psm"),
    "unknown setting": (info_has(trust_remote_code=True), "unknown setting .*trust_remote_code"),
    "long context": (info_has(block_size=512), "512 exceeds the 256 of config.json"),
    "no context": (info_has(block_size=0), "block_size must be in"),
    "great suffix": (info_has(suffix_tokens=256), "suffix_tokens must be in 0..255"),
    "languages as text": (info_has(languages="python"), "languages must be a list"),
    "huge header": (claim_huge_header, "header is cut off or of absurd length"),
    "hidden bytes": (append_bytes, r"holds \d+ bytes of tensors, not"),
    "overlapping tensors": (header_has(overlap), "starts at byte"),
    "missing tensor": (header_has(lambda header: header.pop(NORM)), "model.norm.weight is missing"),
    "extra tensor": (header_has(lambda header: header.update(evil={})), "evil does not belong"),
    "header a list": (lambda path: write_header(path, [], b""), "not a JSON object"),
    "entry incomplete": (header_has(entry(NORM, data_offsets=[1])), "norm.weight is incomplete"),
    "wrong type": (header_has(entry(NORM, dtype="I64")), "of type 'I64'"),
    "wrong shape": (header_has(entry(NORM, shape=[8, 8])), r"shape \[8, 8\], but"),
    "wrong size": (header_has(entry(NORM, data_offsets=[0, 2])), "not the size of its shape"),
    "float offsets": (header_has(entry(NORM, data_offsets=[0.0, 128.0])), "not the size"),
}  # fmt: skip


@pytest.mark.parametrize("name", GALLERY)
def test_bad_folder_is_refused_with_reason_and_remedy(copy: Path, name: str) -> None:
    damage, reason = GALLERY[name]
    damage(copy)
    with pytest.raises(ModelFolderError, match=reason) as caught:
        load_folder(copy)
    assert str(copy) in str(caught.value)
    assert str(caught.value).endswith("copy the folder again from where it came, or export it anew")


def test_declared_size_is_checked_before_memory_is_taken(copy: Path) -> None:
    edit_json(copy / "config.json", hidden_size=16_384, intermediate_size=65_536)
    tracemalloc.start()
    with pytest.raises(ModelFolderError):
        load_folder(copy)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"there is no model folder at .*check the path"):
        load_folder(tmp_path / "missing")


def test_bundled_folder_may_be_hard_linked_by_an_installer(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_hard_link(copy)
    monkeypatch.setattr(folder_module, "BUNDLED", copy.parent / "other")
    load_folder(copy).tensors()


@pytest.mark.usefixtures("two_bundled")
def test_bundled_model_is_the_one_that_knows_the_language() -> None:
    names = {name: bundled_for(name).name for name in ("python", "go", "cobol")}
    assert names == {"python": "python", "go": "polyglot", "cobol": "python"}


@pytest.mark.parametrize("damage", ["{", "{}", "[]", '{"languages": 3}'])
def test_damaged_bundled_model_is_not_chosen(two_bundled: Path, damage: str) -> None:
    (two_bundled / "polyglot" / "foretype.json").write_text(damage)
    assert bundled_for("go").name == "python"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "tokenizer.json is not JSON"),
        ("{}", "tokenizer.json is not a byte-level BPE"),
        (tiny_tokenizer_json()[:-1], "tokenizer.json is not JSON"),
    ],
)
def test_bad_vocabulary_is_refused(copy: Path, text: str, reason: str) -> None:
    (copy / "tokenizer.json").write_text(text)
    seal(copy)
    with pytest.raises(ModelFolderError, match=reason):
        load_folder(copy).tokenizer()


def test_weights_that_vanish_after_loading_are_reported(copy: Path) -> None:
    folder = load_folder(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelFolderError, match=r"model.safetensors: cannot open"):
        folder.tensor("model.norm.weight")
