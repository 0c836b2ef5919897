"""The reference and the torch network are the same function, with the same gradients and steps."""

import ast
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from model import gpt, reference  # noqa: E402  (only where torch is)
from model.config import ModelConfig  # noqa: E402
from tests.programs import run_program  # noqa: E402

SOURCE = Path(reference.__file__)
TOLERANCE = 1e-9  # of float64 sums taken in another order
CONFIG = ModelConfig(
    vocab_size=256,
    n_layer=2,
    n_head=2,
    n_kv_head=1,
    n_embd=8,
    n_inner=8,
    head_dim=4,
    block_size=8,
    rope_theta=1000.0,
)
IDS = [3, 250, 3, 17, 96, 5]


class TinyReference(reference.GPT):
    """The reference in the shape of CONFIG."""

    n_layer, n_embd, n_inner = CONFIG.n_layer, CONFIG.n_embd, CONFIG.n_inner
    n_head, n_kv_head, head_dim = CONFIG.n_head, CONFIG.n_kv_head, CONFIG.head_dim
    rope_theta, norm_eps = CONFIG.rope_theta, CONFIG.norm_eps


def by_tensor_name(network: reference.GPT) -> dict[str, reference.Matrix]:
    """Name the reference's weights as the checkpoint does."""
    named = {f"model.{name}.weight": rows for name, rows in network.ends.items()}
    for i, layer in enumerate(network.layers):
        for name, rows in layer.items():
            if name.endswith("layernorm"):
                part = ""
            else:
                part = "mlp." if name in ("gate_proj", "up_proj", "down_proj") else "self_attn."
            named[f"model.layers.{i}.{part}{name}.weight"] = rows
    return named


def values_of(network: reference.GPT) -> Iterator[tuple[str, reference.Value]]:
    for name, rows in by_tensor_name(network).items():
        for row in rows:
            for value in row:
                yield name, value


def twins() -> tuple[gpt.GPT, reference.GPT]:
    """Return both networks with the same random weights, gains included."""
    torch.manual_seed(0)
    network = gpt.GPT(CONFIG).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5 + 0.1)
    twin = TinyReference(CONFIG.vocab_size)
    tensors = network.state_dict()
    named = by_tensor_name(twin)
    assert named.keys() == tensors.keys()
    for name, rows in named.items():
        numbers = tensors[name].reshape(len(rows), -1).tolist()
        for row, new in zip(rows, numbers, strict=True):
            for value, number in zip(row, new, strict=True):
                value.data = number
    return network, twin


def reference_logits(network: reference.GPT, ids: list[int]) -> torch.Tensor:
    cache: list[reference.Past] = [[] for _ in network.layers]
    return as_tensor([network.forward(token, cache) for token in ids])


def as_tensor(rows: list[reference.Vector]) -> torch.Tensor:
    return torch.tensor([[value.data for value in row] for row in rows], dtype=torch.float64)


def torch_loss(network: gpt.GPT, ids: list[int], n_given: int = 1) -> torch.Tensor:
    logits = network(torch.tensor([ids[:-1]]))[0, n_given - 1 :]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(ids[n_given:]))


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)


def numbers(network: reference.GPT, name: str, attribute: str) -> torch.Tensor:
    rows = by_tensor_name(network)[name]
    data = [[getattr(value, attribute) for value in row] for row in rows]
    return torch.tensor(data, dtype=torch.float64)


def assert_same_weights(network: gpt.GPT, twin: reference.GPT) -> None:
    for name, tensor in network.state_dict().items():
        ours = numbers(twin, name, "data")
        assert_close(ours, tensor.reshape(ours.shape))


def test_logits_agree() -> None:
    network, twin = twins()
    with torch.no_grad():
        assert_close(reference_logits(twin, IDS), network(torch.tensor([IDS]))[0])


@pytest.mark.parametrize("n_given", [1, 3])
def test_loss_and_every_gradient_agree(n_given: int) -> None:
    network, twin = twins()
    theirs = torch_loss(network, IDS, n_given)
    theirs.backward()
    ours = twin.loss(IDS, n_given)
    ours.backward()

    assert abs(ours.data - theirs.item()) < TOLERANCE
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        gradient = numbers(twin, name, "grad")
        assert gradient.abs().max() > 1e-6, f"{name} has no gradient to compare"
        assert_close(gradient, parameter.grad.reshape(gradient.shape))


@pytest.mark.parametrize("n_steps", [1, 3])
def test_adamw_steps_agree(n_steps: int) -> None:
    network, twin = twins()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=0.02, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1
    )
    values = [value for _, value in values_of(twin)]
    moments = [[0.0, 0.0] for _ in values]
    for step in range(1, n_steps + 1):
        optimizer.zero_grad()
        torch_loss(network, IDS).backward()
        optimizer.step()
        twin.loss(IDS).backward()
        reference.adamw(values, moments, step, lr=0.02, decay=0.1)

    assert_same_weights(network, twin)
    assert all(value.grad == 0.0 for value in values)


def test_given_ids_are_not_learned() -> None:
    _, twin = twins()
    each = [twin.loss(IDS[: end + 1], n_given=end).data for end in range(1, len(IDS))]
    assert abs(twin.loss(IDS, n_given=3).data - sum(each[2:]) / 3) < TOLERANCE
    assert abs(twin.loss(IDS).data - sum(each) / 5) < TOLERANCE


def test_reference_rewinds_by_cutting_the_cache() -> None:
    _, twin = twins()
    cache: list[reference.Past] = [[] for _ in twin.layers]
    for token in [*IDS[:3], 200, 201, 202]:
        twin.forward(token, cache)
    for past in cache:
        del past[3:]
    ours = as_tensor([twin.forward(token, cache) for token in IDS[3:]])
    assert_close(ours, reference_logits(twin, IDS)[3:])


def test_torch_decode_agrees_with_reference_at_every_position() -> None:
    network, twin = twins()
    cache = gpt.KVCache(CONFIG, max_len=8, dtype=torch.float64)
    with torch.no_grad():
        steps = [network(torch.tensor([[token]]), cache)[0, 0] for token in IDS]
        assert_close(torch.stack(steps), reference_logits(twin, IDS))
        cache.length = 2
        network(torch.tensor([[200, 201, 202]]), cache)
        cache.length = 2
        again = network(torch.tensor([IDS[2:]]), cache)[0]
    assert_close(again, reference_logits(twin, IDS)[2:])


def test_backward_follows_long_and_shared_paths() -> None:
    x = reference.Value(1.0)
    total = x
    for _ in range(20_000):  # far beyond the recursion limit
        total = total + x
    (total * total).backward()
    assert x.grad == 2 * 20_001.0 * 20_001.0


def test_prompt_puts_the_suffix_first() -> None:
    ids = reference.prompt("row = ", "(rows)")
    named = {
        reference.FIM_PREFIX: "<P>",
        reference.FIM_SUFFIX: "<S>",
        reference.FIM_MIDDLE: "<M>",
        **dict(enumerate(reference.CHARS)),
    }
    assert "".join(named[i] for i in ids) == "<P><S>(rows)<M>row = "


def test_infill_stops_at_end_or_at_its_limit() -> None:
    random.seed(0)
    network = reference.GPT(reference.VOCAB_SIZE)
    favourite = network.ends["embed_tokens"]
    for rows in network.layers[0].values():
        for value in (value for row in rows for value in row):
            value.data = 0.0  # the network now only compares the last token with all others
    for i, row in enumerate(favourite):
        for value in row:
            value.data = 2.0 if i == reference.END else 1.0
    assert reference.infill(network, "row", "") == ""
    for value in favourite[reference.END]:
        value.data = -1.0
    for value in favourite[reference.CHARS.index("m")]:
        value.data = 2.0
    assert reference.infill(network, "row", "") == "m" * 12


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_lesson_runs_alone_and_learns(tmp_path: Path) -> None:
    done = run_program([sys.executable, "-I", str(SOURCE), "24"], cwd=tmp_path, timeout=110)
    assert (done.returncode, done.stderr) == (0, "")
    losses = [float(number) for number in re.findall(r"loss (\d+\.\d+)", done.stdout)]
    assert len(losses) == 12
    assert sum(losses[-3:]) / 3 < sum(losses[:3]) / 3 - 0.3, done.stdout
    assert done.stdout.count("[") == 2 * len(reference.LINES[::5])


def test_reference_is_short_and_needs_only_the_standard_library() -> None:
    text = SOURCE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    imported = set[str]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.level == 0
            imported.add(node.module.partition(".")[0])
    assert imported
    assert imported <= sys.stdlib_module_names, imported - sys.stdlib_module_names
