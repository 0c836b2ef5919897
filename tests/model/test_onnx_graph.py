"""The written graph is valid and keeps its weights where the runtime can map them."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from model.onnx_graph import main, write_graph
from tests.doubles import random_tensors, tiny_config, tiny_folder


@pytest.mark.parametrize("bits", [4, 8, 32])
def test_large_tensors_lie_at_page_borders_outside_the_graph(tmp_path: Path, bits: int) -> None:
    config = tiny_config()
    write_graph(config, random_tensors(config).__getitem__, tmp_path, bits)
    model = onnx.load(tmp_path / "graph.onnx", load_external_data=False)
    places = [
        {entry.key: entry.value for entry in tensor.external_data}
        for tensor in model.graph.initializer
        if tensor.external_data
    ]
    assert len(places) > 5
    assert {place["location"] for place in places} == {"weights.bin"}
    assert all(int(place["offset"]) % 4096 == 0 for place in places)
    ends = [int(place["offset"]) + int(place["length"]) for place in places]
    assert max(ends) == (tmp_path / "weights.bin").stat().st_size
    assert (tmp_path / "graph.onnx").stat().st_size < 100_000


def test_fewer_bits_make_smaller_files(tmp_path: Path) -> None:
    config = tiny_config()
    sizes = []
    for bits in (4, 8, 32):
        folder = tmp_path / str(bits)
        folder.mkdir()
        write_graph(config, random_tensors(config).__getitem__, folder, bits)
        sizes.append((folder / "weights.bin").stat().st_size)
    assert sizes[0] < sizes[1] < sizes[2]


def test_existing_weights_are_never_overwritten(tmp_path: Path) -> None:
    config = tiny_config()
    (tmp_path / "weights.bin").write_bytes(b"mapped by a running server")
    with pytest.raises(FileExistsError):
        write_graph(config, random_tensors(config).__getitem__, tmp_path, 8)


def test_head_width_that_the_operator_cannot_take_is_refused(tmp_path: Path) -> None:
    config = tiny_config(head_dim=8)
    with pytest.raises(ValueError, match="head_dim is 8, but the CPU graph needs"):
        write_graph(config, random_tensors(config).__getitem__, tmp_path, 8)


def test_command_writes_the_graph_of_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert main([str(tiny_folder(tmp_path)), str(out), "8"]) == 0
    assert {path.name for path in out.iterdir()} == {"graph.onnx", "weights.bin"}


def test_serving_modules_do_not_import_the_writer() -> None:
    program = "import sys, model.runtime_onnx, model.onnx_cache; sys.exit('onnx' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0
