"""Every runtime gives the numbers of the plain network, whatever the way its cache was filled."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.config import ModelConfig
from model.folder import ModelFolder, load_folder
from model.gpt import GPT
from model.onnx_graph import write_graph
from model.runtime import Runtime, RuntimeLoadError, open_runtime
from model.runtime_onnx import OnnxRuntime
from model.runtime_torch import TorchRuntime
from tests.doubles import tiny_config, tiny_folder
from tests.e2e.watched_server import used_mb

MAX_LEN = 640
TOLERANCE = 1e-4
# Activations are rounded to 8 bits: differences of 1e-6 can move one by a whole step, and a network
# this narrow averages little of it away. Logits have a standard deviation of about one.
STEP_TOLERANCE = 0.1
FAMILIES = {
    "qwen3": tiny_config(),
    "qwen2": tiny_config(qk_norm=False, qkv_bias=True),
    "llama": tiny_config(  # sizes that no block divides
        qk_norm=False, tie_embeddings=False, n_embd=50, n_inner=70, n_head=3, n_kv_head=1, n_layer=3
    ),
}


def ids_of(config: ModelConfig, n_ids: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, config.vocab_size, n_ids).tolist()


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return load_folder(tiny_folder(tmp_path_factory.mktemp("m"), config=FAMILIES[request.param]))


@pytest.fixture(scope="module")
def plain(folder: ModelFolder) -> Callable[[list[int]], NDArray[np.float32]]:
    """ids -> logits (T, V), by the network itself, without any cache."""
    gpt = GPT(folder.config)
    gpt.load_state_dict({name: torch.tensor(value) for name, value in folder.tensors().items()})

    @torch.no_grad()
    def logits(ids: list[int]) -> NDArray[np.float32]:
        return gpt(torch.tensor([ids]))[0].numpy()

    return logits


def make_onnx(folder: ModelFolder, path: Path, bits: int, max_len: int = MAX_LEN) -> OnnxRuntime:
    write_graph(folder.config, folder.tensor, path, bits)
    return OnnxRuntime(path / "graph.onnx", folder.config, max_len=max_len)


@pytest.fixture(scope="module")
def onnx(folder: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> OnnxRuntime:
    return make_onnx(folder, tmp_path_factory.mktemp("g"), 32)


@pytest.fixture(scope="module")
def int8(folder: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> OnnxRuntime:
    return make_onnx(folder, tmp_path_factory.mktemp("g"), 8)


@pytest.fixture(params=["onnx", "torch"])
def runtime(request: pytest.FixtureRequest, folder: ModelFolder) -> Iterator[Runtime]:
    if request.param == "torch":
        yield TorchRuntime(folder, max_len=MAX_LEN, dtype="float32")
        return
    shared: OnnxRuntime = request.getfixturevalue("onnx")
    shared.rewind(0)
    yield shared


def close(
    found: NDArray[np.float32], expected: NDArray[np.float32], within: float = TOLERANCE
) -> bool:
    return found.shape == expected.shape and float(np.abs(found - expected).max()) < within


def test_append_gives_the_networks_logits(
    folder: ModelFolder, runtime: Runtime, plain: Callable[[list[int]], NDArray[np.float32]]
) -> None:
    ids = ids_of(folder.config, 40)
    expected = plain(ids)
    assert close(runtime.append(ids, all_logits=True), expected)
    runtime.rewind(0)
    assert close(runtime.append(ids), expected[-1])
    assert runtime.length == 40


def test_many_appends_equal_one(
    folder: ModelFolder, runtime: Runtime, plain: Callable[[list[int]], NDArray[np.float32]]
) -> None:
    ids = ids_of(folder.config, 30)
    expected = plain(ids)
    parts = [ids[:1], ids[1:8], ids[8:9], ids[9:29], ids[29:]]
    found = np.concatenate([runtime.append(part, all_logits=True) for part in parts])
    assert close(found, expected)


def test_long_prompts_run_in_pieces_unnoticed(
    folder: ModelFolder, runtime: Runtime, plain: Callable[[list[int]], NDArray[np.float32]]
) -> None:
    ids = ids_of(folder.config, 2 * Runtime.at_once_tokens + 3)
    assert close(runtime.append(ids, all_logits=True), plain(ids))


def test_rewind_forgets_later_tokens(
    folder: ModelFolder, runtime: Runtime, plain: Callable[[list[int]], NDArray[np.float32]]
) -> None:
    first, second = ids_of(folder.config, 30), ids_of(folder.config, 30, seed=1)
    runtime.append(first)
    runtime.rewind(11)
    assert runtime.length == 11
    both = first[:11] + second
    assert close(runtime.append(second, all_logits=True), plain(both)[11:])


TREES = [
    ([-1], "one node"),
    ([-1, 0, 1, 2], "a chain"),
    ([-1, -1, -1], "three roots"),
    ([-1, 0, 0, 1, 1, 2, -1, 6, 6, 3], "branches"),
    ([-1, 0, 1, 0, 3, -1, 5, 2, 2, 8, 4], "branches, mixed order"),
]


@pytest.mark.parametrize("parents", [tree[0] for tree in TREES], ids=[tree[1] for tree in TREES])
@pytest.mark.parametrize("past", [0, 17])
def test_tree_equals_its_separate_paths(
    folder: ModelFolder,
    runtime: Runtime,
    plain: Callable[[list[int]], NDArray[np.float32]],
    parents: list[int],
    past: int,
) -> None:
    prefix, nodes = ids_of(folder.config, past), ids_of(folder.config, len(parents), seed=2)
    if past:
        runtime.append(prefix)
    found = runtime.tree(nodes, parents)
    assert runtime.length == past
    for node in range(len(nodes)):
        path, at = [], node
        while at >= 0:
            path.append(nodes[at])
            at = parents[at]
        assert close(found[node], plain(prefix + path[::-1])[-1])


def test_tree_leaves_the_cache_unchanged(
    folder: ModelFolder, runtime: Runtime, plain: Callable[[list[int]], NDArray[np.float32]]
) -> None:
    ids = ids_of(folder.config, 20)
    runtime.append(ids[:15])
    runtime.tree([1, 2, 3], [-1, 0, 0])
    assert close(runtime.append(ids[15:], all_logits=True), plain(ids)[15:])


def test_answers_stay_valid_after_later_calls(folder: ModelFolder, runtime: Runtime) -> None:
    first = runtime.append([5])
    tree = runtime.tree([1, 2], [-1, 0])
    copies = first.copy(), tree.copy()
    runtime.append([6])
    runtime.tree([3, 4], [-1, 0])
    runtime.tree([3, 4, 5], [-1, 0, 0])  # of other lengths, too
    runtime.append([7, 8, 9], all_logits=True)
    np.testing.assert_array_equal(first, copies[0])
    np.testing.assert_array_equal(tree, copies[1])


def test_cache_can_be_filled_to_the_last_slot(folder: ModelFolder, runtime: Runtime) -> None:
    runtime.append(ids_of(folder.config, MAX_LEN - 1))
    runtime.tree([1], [-1])
    runtime.append([1])
    assert runtime.length == MAX_LEN
    with pytest.raises(ValueError, match="do not fit"):
        runtime.append([1])
    with pytest.raises(ValueError, match="do not fit"):
        runtime.tree([1], [-1])


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda runtime: runtime.append([]), "must not be empty"),
        (lambda runtime: runtime.append([-1]), "ids must be in 0"),
        (lambda runtime: runtime.append([runtime.vocab_size]), "ids must be in 0"),
        (lambda runtime: runtime.append([1] * (MAX_LEN - 2)), "5 . 638 tokens do not fit"),
        (lambda runtime: runtime.rewind(6), "cannot rewind to 6"),
        (lambda runtime: runtime.rewind(-1), "cannot rewind to -1"),
        (lambda runtime: runtime.tree([], []), "must not be empty"),
        (lambda runtime: runtime.tree([1, 2], [-1]), "2 ids need as many parents, got 1"),
        (lambda runtime: runtime.tree([1, 2], [-1, 1]), r"parents\[1\] must be in -1..0, got 1"),
        (lambda runtime: runtime.tree([1, 2], [-2, 0]), r"parents\[0\] must be in -1..-1"),
    ],
)
def test_impossible_calls_are_refused_and_change_nothing(
    folder: ModelFolder, runtime: Runtime, call: Callable[[Runtime], object], reason: str
) -> None:
    runtime.append(ids_of(folder.config, 5))
    with pytest.raises(ValueError, match=reason):
        call(runtime)
    assert runtime.length == 5


def test_restored_cache_is_the_saved_one(folder: ModelFolder, runtime: Runtime) -> None:
    first, second = ids_of(folder.config, 30), ids_of(folder.config, 50, seed=1)
    runtime.append(first)
    saved = runtime.save()
    expected = runtime.append([7])
    runtime.rewind(0)
    runtime.append(second)
    runtime.restore(saved)
    assert runtime.length == 30
    assert np.array_equal(runtime.append([7]), expected)
    assert np.array_equal(saved, runtime.save()[..., :30, :])  # later calls leave the copy alone


def test_tokens_of_the_last_call_are_put_back_without_running_them(
    folder: ModelFolder, onnx: OnnxRuntime
) -> None:
    """A node's state is what an append of its branch leaves."""
    onnx.rewind(0)
    onnx.append(ids_of(folder.config, 20))
    onnx.tree([5, 6, 7, 8], [-1, 0, 0, 2])
    five, _, seven, eight = onnx.states()
    onnx.append([5, 7, 8])
    expected = onnx.append([9])
    assert [state.shape for state in onnx.states()] == [five.shape]
    onnx.rewind(20)
    onnx.extend([five, seven, eight])
    assert onnx.length == 23
    assert np.allclose(onnx.append([9]), expected, atol=1e-4)
    onnx.rewind(0)
    onnx.tree([5, 6], [-1, 0])
    assert onnx.states() == []  # it was run branch by branch


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_history_equals_a_fresh_run(
    folder: ModelFolder,
    onnx: OnnxRuntime,
    plain: Callable[..., NDArray[np.float32]],
    data: st.DataObject,
) -> None:
    """Appends, rewinds and trees in any order leave what a fresh run of the kept ids would."""
    onnx.rewind(0)
    kept: list[int] = []
    for _ in range(data.draw(st.integers(1, 8))):
        n_ids = data.draw(st.integers(1, 40))
        ids = ids_of(folder.config, n_ids, seed=data.draw(st.integers(0, 99)))
        action = data.draw(st.sampled_from(["append", "rewind", "tree"]))
        if action == "append":
            onnx.append(ids)
            kept += ids
        elif action == "rewind":
            kept = kept[: data.draw(st.integers(0, len(kept)))]
            onnx.rewind(len(kept))
        else:
            onnx.tree(ids, [data.draw(st.integers(-1, i - 1)) for i in range(n_ids)])
    assert onnx.length == len(kept)
    assert close(onnx.append([7]), plain([*kept, 7])[-1])


def test_eight_bits_stay_near_full_precision(
    folder: ModelFolder, int8: OnnxRuntime, plain: Callable[[list[int]], NDArray[np.float32]]
) -> None:
    int8.rewind(0)
    ids = ids_of(folder.config, 200)
    expected = plain(ids)
    error = int8.append(ids, all_logits=True) - expected
    assert 0 < error.std() < 0.05 * expected.std()


def test_eight_bits_in_steps_stay_near_one_pass(folder: ModelFolder, int8: OnnxRuntime) -> None:
    int8.rewind(0)
    ids = ids_of(folder.config, 60)
    whole = int8.append(ids, all_logits=True)
    int8.rewind(0)
    steps = np.stack([int8.append([id_]) for id_ in ids])
    assert close(steps, whole, STEP_TOLERANCE)
    int8.rewind(20)
    assert close(int8.append(ids[20:], all_logits=True), whole[20:], STEP_TOLERANCE)


def test_eight_bit_results_repeat_exactly(folder: ModelFolder, int8: OnnxRuntime) -> None:
    int8.rewind(0)
    ids = ids_of(folder.config, 60)
    first = int8.append(ids)
    int8.rewind(0)
    np.testing.assert_array_equal(int8.append(ids), first)


def test_steps_of_many_shapes_keep_memory_bounded(folder: ModelFolder, int8: OnnxRuntime) -> None:
    for n_ids in range(1, 80):
        int8.rewind(0)
        int8.append([1] * n_ids, all_logits=bool(n_ids % 2))
    assert len(int8._steps) <= 24


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc what is in use")
def test_each_length_of_the_cache_leaves_no_memory_behind(int8: OnnxRuntime) -> None:
    """The library plans for each pair of T and S, and kept all plans (2026-11-30)."""
    ids = [1] * 600

    def use_lengths(lengths: range) -> None:
        int8.rewind(0)
        int8.append(ids)
        for length in reversed(lengths):
            int8.rewind(length)
            int8.tree([2, 3, 4], [-1, 0, 0])

    use_lengths(range(500, 600))
    before_mb = used_mb()
    use_lengths(range(20, 500))
    assert used_mb() - before_mb < 0.1


def test_unreadable_graph_raises_and_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Left alone, the library prints its fall-back notes to stdout: the editor's channel."""
    (tmp_path / "graph.onnx").write_bytes(b"\x08\x09garbage" * 100)
    with pytest.raises(RuntimeLoadError, match=r"cannot load .*graph\.onnx.*built anew"):
        OnnxRuntime(tmp_path / "graph.onnx", tiny_config(), max_len=16)
    assert capfd.readouterr().out == ""


def test_open_runtime_offers_every_kind(tmp_path: Path, shared_cache: Path) -> None:
    folder = load_folder(tiny_folder(tmp_path))
    ids = ids_of(folder.config, 20)
    answers = {
        "exact": open_runtime(folder, bits=32, max_len=64).append(ids),
        "torch": TorchRuntime(folder, max_len=64).append(ids),
        "eight": open_runtime(folder, max_len=64).append(ids),
    }
    assert close(answers["torch"], answers["exact"], 0.1)  # bfloat16 on some machines
    assert close(answers["eight"], answers["exact"], 0.5)


def test_cache_without_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_len"):
        open_runtime(load_folder(tiny_folder(tmp_path)), max_len=0)
