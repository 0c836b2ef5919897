"""Packing a corpus into shards, through the command itself."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from model.config import ConfigError
from model.files import sha256_file
from tests.doubles import tiny_tokenizer_json
from training.data import packing
from training.data.corpus import SplitWriter, write_manifest
from training.data.packing import PackJob, main, pack
from training.data.rows import Packed, PackSettings, pack_group
from training.data.shards import ShardReader

SETTINGS = PackSettings(block_size=160, suffix_tokens=40, group_documents=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus of ten documents and a tokenizer file."""
    folder = tmp_path_factory.mktemp("corpus")
    with SplitWriter(folder, "train") as train, SplitWriter(folder, "validation"):
        for n in range(10):
            text = "".join(f"value_{n}_{i} = count_{n % 5}_{i}({i * n})\n" for i in range(40))
            train.add(source="o/n", path=f"m{n}.py", text=text.encode(), sha256="")
    write_manifest(folder, {})
    tokenizer = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.write_text(tiny_tokenizer_json())
    return folder, tokenizer


def job(made: tuple[Path, Path], out: Path, **changes: object) -> PackJob:
    values: dict[str, object] = {"corpus": made[0], "tokenizer": made[1], "out": out}
    return PackJob(**(values | {"processes": 1} | changes))  # type: ignore[arg-type]


def test_shards_say_how_they_were_made(made: tuple[Path, Path], tmp_path: Path) -> None:
    pack(job(made, tmp_path / "out", epochs=2), SETTINGS)
    reader = ShardReader(tmp_path / "out")
    first, second = reader.index["first_row_of_epoch"]
    assert (first, reader.block_size) == (0, 160)
    assert 0 < second < len(reader)
    assert reader.index["tokenizer_sha256"] == sha256_file(made[1])
    assert reader.index["corpus_manifest_sha256"] == sha256_file(made[0] / "manifest.json")
    assert reader.index["counts"]["documents"] == 20
    assert reader[0].tolist() != reader[second].tolist()
    assert str(tmp_path) not in json.dumps(reader.index)


@pytest.mark.slow
def test_two_processes_pack_what_one_does(made: tuple[Path, Path], tmp_path: Path) -> None:
    pack(job(made, tmp_path / "one"), SETTINGS)
    pack(job(made, tmp_path / "two", processes=2), SETTINGS)
    one, two = (tmp_path / name / "tokens.bin" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


class Counted:
    """Packs groups and remembers which; stops before one, as a user would."""

    def __init__(self, stop_before: int = -1) -> None:
        self.groups: list[int] = []
        self._stop_before = stop_before

    def __call__(self, *inputs: Any, group: int, **options: Any) -> Packed:
        if group == self._stop_before:
            raise KeyboardInterrupt
        self.groups.append(group)
        return pack_group(*inputs, group=group, **options)


def test_interrupted_packing_goes_on_to_the_same_rows(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past failure (2026-11-29): a kill after half an hour lost every row."""
    pack(job(made, tmp_path / "whole"), SETTINGS)
    monkeypatch.setattr(packing, "pack_group", Counted(stop_before=2))
    with pytest.raises(KeyboardInterrupt):
        pack(job(made, tmp_path / "out"), SETTINGS)
    assert not (tmp_path / "out").exists()

    again = Counted()
    monkeypatch.setattr(packing, "pack_group", again)
    pack(job(made, tmp_path / "out"), SETTINGS)
    assert again.groups == [2]
    for name in ("tokens.bin", "index.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "out.parts").exists()

    monkeypatch.setattr(packing, "pack_group", Counted(stop_before=2))
    with pytest.raises(KeyboardInterrupt):
        pack(job(made, tmp_path / "other"), SETTINGS)
    monkeypatch.setattr(packing, "pack_group", others := Counted())
    pack(job(made, tmp_path / "other"), dataclasses.replace(SETTINGS, seed=1))
    assert others.groups == [0, 1, 2]  # rows of other settings are not these


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_packing_stops_at_a_size(made: tuple[Path, Path], tmp_path: Path, processes: int) -> None:
    pack(job(made, tmp_path / "whole", epochs=2), SETTINGS)
    whole = ShardReader(tmp_path / "whole")
    wanted = job(made, tmp_path / "some", epochs=2, tokens=320, processes=processes)
    index = pack(wanted, SETTINGS)
    some = ShardReader(tmp_path / "some")
    assert 320 <= len(some) * 160 < len(whole) * 160 / 2
    assert (index["epochs"], index["first_row_of_epoch"]) == (1, [0])
    numbers = range(len(some))
    assert [some[n].tolist() for n in numbers] == [whole[n].tolist() for n in numbers]


def test_command_packs(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = [str(made[0]), "--tokenizer", str(made[1]), "--out", str(out)]
    arguments += ["--block-size", "160", "--suffix-tokens", "20", "--processes", "1"]
    assert main(arguments) == 0
    reader = ShardReader(out)
    said = f"{len(reader)} rows, {len(reader) * 160 / 1e6:.1f} M tokens in {out}\n"
    assert capsys.readouterr().out == said
    assert main(arguments) == 1
    assert capsys.readouterr().err == f"foretype data pack: {out} exists; --force replaces it\n"
    assert main([*arguments, "--force"]) == 0


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--split", "validation"], "has no documents in validation"),
        (["--spm", "2"], "spm_frac and psm_frac must be shares of one"),
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--tokens", "-1"], "tokens must be at least 0"),
        (["--tokenizer", "/nowhere/tokenizer.json"], "cannot read /nowhere/tokenizer.json"),
        (["--block-size", "16384"], "too little text for one row"),
    ],
)
def test_command_says_what_is_wrong_in_one_line(
    extra: list[str],
    message: str,
    made: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [str(made[0]), "--tokenizer", str(made[1]), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--processes", "1", *extra]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("foretype data pack: ")
    assert message in error
    assert not (tmp_path / "out").exists()


def test_snippets_that_are_asked_for_are_in_the_index(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    arguments = [str(made[0]), "--tokenizer", str(made[1]), "--block-size", "512"]
    arguments += ["--processes", "1", "--spm", "0.9", "--psm", "0.1"]
    assert main([*arguments, "--out", str(tmp_path / "some"), "--snippets", "1"]) == 0
    index = ShardReader(tmp_path / "some").index
    assert index["settings"]["snippet_frac"] == 1
    assert index["settings"]["snippet_tokens"] == 128  # a quarter of the row
    assert index["counts"]["with snippets"] > 0
    more = ["--out", str(tmp_path / "none"), "--snippets", "0", "--snippet-tokens", "60"]
    assert main([*arguments, *more]) == 0
    index = ShardReader(tmp_path / "none").index
    assert index["settings"]["snippet_tokens"] == 60
    assert index["counts"]["with snippets"] == 0


def test_no_process_is_an_error(made: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="processes must be at least 1"):
        job(made, tmp_path / "out", processes=0)
